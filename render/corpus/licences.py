"""Licences of scores: what ``licences.tsv`` says of each file, and which licences are wanted.

A ``licences.tsv`` lies in the folder of the scores or in any folder below. Each line has a path
relative to the file's own folder, a tab and an SPDX expression (https://spdx.org/licenses); what
follows a second tab is for people. A path may be that of a folder, and then holds for all files
below it that no nearer path names; ``.`` is the folder of the file itself. Empty lines, lines
that begin with ``#`` and a first line that begins with ``path`` say nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from stemsmith.manifests.errors import UsageError

__all__ = ["FILE_NAME", "is_among", "parse_licence", "parse_licences", "read_licences"]

FILE_NAME: Final = "licences.tsv"
_ID: Final = r"[A-Za-z0-9][A-Za-z0-9.+:-]*"
_EXPRESSION: Final = re.compile(rf"{_ID}( (AND|OR|WITH) {_ID})*")


def parse_licence(text: str, flag: str = "--licence") -> str:
    """Return an SPDX expression, such as ``CC0-1.0`` or ``GPL-2.0-only OR MIT``.

    Parameters
    ----------
    text : str
        Identifiers, joined by AND, OR and WITH, without brackets.
    flag : str
        The option, or the place in a file, that an error names.

    Raises
    ------
    UsageError
        If it is none.
    """
    expression = " ".join(text.split())
    if not _EXPRESSION.fullmatch(expression):
        raise UsageError(f"{flag} {text!r}: not an SPDX licence, such as CC0-1.0 or CC-BY-4.0")
    return expression


def parse_licences(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return the licences of ``CC0-1.0,CC-BY-4.0``, or of a list.

    Raises
    ------
    UsageError
        If none is named, or one is no SPDX expression.
    """
    fields = text.split(",") if isinstance(text, str) else text
    return tuple(parse_licence(field, "--licence-ok") for field in fields)


def is_among(licence: str, wanted: Sequence[str]) -> bool:
    """Tell whether a licence gives what one of the wanted ones does.

    Parameters
    ----------
    licence : str
        SPDX expression: of ``A OR B`` one must be wanted, of ``A AND B`` both.
    wanted : sequence of str
        SPDX expressions, in any case.

    Examples
    --------
    >>> is_among("GPL-2.0-only OR CC0-1.0", ["CC0-1.0"]), is_among("MIT AND X11", ["MIT"])
    (True, False)
    """
    known = {expression.casefold() for expression in wanted}
    return licence.casefold() in known or any(
        all(term.casefold() in known for term in choice.split(" AND "))
        for choice in licence.split(" OR ")
    )


def read_licences(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the licences of scores that a ``licences.tsv`` names.

    Parameters
    ----------
    root : Path
        Folder of the scores.
    paths : sequence of str
        POSIX paths of the scores relative to it.

    Returns
    -------
    dict of str to str
        SPDX expressions by path; a score whose licence is not known is missing.

    Raises
    ------
    UsageError
        Naming the file and the line that cannot be read, or that contradicts another.
    """
    folders = {folder for path in paths for folder in PurePosixPath(path).parents}
    said: dict[str, str] = {}
    for folder in sorted(folders):
        for path, licence, where in _entries(root, str(folder)):
            if said.setdefault(path, licence) != licence:
                raise UsageError(f"{where}: {path} is {said[path]} elsewhere; remove one of them")
    found = {path: _nearest(path, said) for path in paths} if said else {}
    return {path: licence for path, licence in found.items() if licence is not None}


def _nearest(path: str, said: Mapping[str, str]) -> str | None:
    places = (path, *map(str, PurePosixPath(path).parents))
    return next((said[place] for place in places if place in said), None)


def _entries(root: Path, folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield path below the root, licence, and place of the line, of the file in one folder."""
    file = root / folder / FILE_NAME
    if not file.is_file():
        return
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{file}: not a text file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        where = f"{file}: line {number}"
        name, *fields = line.split("\t")
        is_heading = number == 1 and name.strip().casefold() == "path"
        if not line.strip() or line.startswith("#") or is_heading:
            continue
        if not fields:
            raise UsageError(f"{where}: give a path, a tab and an SPDX licence")
        path = os.path.normpath(f"{folder}/{name.strip()}").replace(os.sep, "/")
        if name.strip().startswith("/") or path.split("/")[0] == "..":
            raise UsageError(f"{where}: {name} is not below the folder of the file")
        yield path, parse_licence(fields[0].strip(), f"{where}:"), where
