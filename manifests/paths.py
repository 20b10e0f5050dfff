"""Paths that users give, in commands and in Python, where they can only be local.

What may be in an object store as well is `stemsmith.manifests.places.place`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import UsageError

__all__ = ["local_path", "paths_between_commas"]

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What a `Path` has made of an address; Windows has drives of one letter.
_ADDRESS_AS_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user gave, with ``~`` for the user's home as shells have it.

    Shells leave it alone after a prefix or an equals sign, as in ``musdb:~/musdb18``.

    Parameters
    ----------
    path : str or path-like
        As it was given. A `Path` that begins with ``~`` is a folder of that name.

    Raises
    ------
    UsageError
        If it is an address, such as ``s3://bucket/corpus``: a folder called ``s3:`` is not meant;
        or empty: the current folder is not meant.
    """
    text = os.fspath(path)
    is_text = isinstance(path, str)
    if not text:
        raise UsageError("a path is empty; a variable of the shell may not be set")
    if (_ADDRESS if is_text else _ADDRESS_AS_PATH).match(text):
        raise UsageError(
            f"{text}: is an address, and only local files and folders can be given here; "
            "mount it or copy it first"
        )
    if is_text and text.startswith("~"):
        with suppress(RuntimeError):  # no such user: a name like any other
            return Path(text).expanduser()
    return Path(text)


def paths_between_commas(text: str) -> list[str]:
    """Return the paths that a text lists with commas between them; addresses have no commas.

    The comma of a path that is there stays in it: of what begins at a place, the longest that is
    there is taken.

    Parameters
    ----------
    text : str
        As it was given on the command line.
    """
    parts = text.split(",")
    found: list[str] = []
    while parts:
        candidates = (",".join(parts[:n]) for n in range(len(parts), 0, -1))
        there = (p for p in candidates if not _ADDRESS.match(p) and local_path(p).exists())
        found.append(next(there, parts[0]))
        parts = parts[found[-1].count(",") + 1 :]
    return found
