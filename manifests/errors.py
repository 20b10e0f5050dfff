"""The errors a user can cause, each one line that names the file and what to do.

StemsmithError
├── UsageError     the request cannot be meant that way: exit code 2
├── NothingToDo    the request is sound but gives no result: exit code 1
└── InvalidCorpus  a corpus or manifest does not hold what it says: exit code 1
"""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["InvalidCorpus", "NothingToDo", "StemsmithError", "UsageError", "install_command"]


class StemsmithError(Exception):
    """Base of all errors that end a command with one line instead of a traceback."""


class UsageError(StemsmithError):
    """The request itself is wrong: bad value, clashing options, unusable file."""


class NothingToDo(StemsmithError):
    """Nothing could be produced from the input; the text says why and what to change."""


class InvalidCorpus(StemsmithError):
    """A corpus breaks one of its invariants; the text names the first offender."""


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra, for errors that miss one.

    Parameters
    ----------
    extra : str
        Name of an extra in ``pyproject.toml``, such as ``train``.

    Returns
    -------
    str
        What to type into a shell. Where stemsmith runs from a clone, the clone is named, as a
        package index need not have it.
    """
    folder = Path(__file__).resolve().parents[1]
    source = "stemsmith"
    if (folder / "pyproject.toml").is_file():
        source = "." if folder == Path.cwd() else str(folder)
    return f"pip install {shlex.quote(f'{source}[{extra}]')}"
