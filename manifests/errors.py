"""The errors a user can cause, each one line that names the file and what to do.

StemsmithError
├── UsageError     the request cannot be meant that way: exit code 2
├── NothingToDo    the request is sound but gives no result: exit code 1
├── StoreError     an object store refuses: exit code 1
│   └── NoAnswer   it does not answer
└── InvalidCorpus  a corpus or manifest does not hold what it says: exit code 1
    └── Unreadable the system does not hand out a file
"""

from __future__ import annotations

import importlib
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "InUse",
    "InvalidCorpus",
    "NoAnswer",
    "NothingToDo",
    "StemsmithError",
    "StoreError",
    "Unreadable",
    "UsageError",
    "install_command",
    "one_line",
    "optional_package",
    "require",
    "upgrade_command",
]


class StemsmithError(Exception):
    """Base of all errors that end a command with one line instead of a traceback.

    Examples
    --------
    >>> import stemsmith
    >>> try:
    ...     stemsmith.scan("no-such-folder")
    ... except stemsmith.StemsmithError as error:
    ...     print(error)
    no-such-folder: not a folder of MIDI files
    """

    def __str__(self) -> str:
        """Return the one line, whatever the names of files in it are."""
        return _printable(super().__str__())


class UsageError(StemsmithError):
    """The request itself is wrong: bad value, clashing options, unusable file.

    Examples
    --------
    >>> import stemsmith
    >>> stemsmith.RenderConfig(min_notes=0)
    Traceback (most recent call last):
        ...
    stemsmith.manifests.errors.UsageError: --min-notes must be at least 1
    """


class InUse(UsageError):
    """Another process writes to the folder; what it makes is there when it has ended."""


class NothingToDo(StemsmithError):
    """Nothing could be produced from the input; the text says why and what to change.

    Examples
    --------
    >>> import stemsmith
    >>> try:
    ...     stemsmith.render_corpus("scores/duets", "no-corpus")
    ... except stemsmith.NothingToDo as error:
    ...     print(error)  # doctest: +ELLIPSIS
    scores/duets: none of 2 files can be rendered: 2 no-band; loosen --band or --min-notes, or ...
    """


class InvalidCorpus(StemsmithError):
    """A corpus breaks one of its invariants; the text names the first offender.

    Examples
    --------
    >>> import stemsmith
    >>> try:
    ...     stemsmith.Corpus("scores").songs
    ... except stemsmith.InvalidCorpus as error:
    ...     print(error)
    scores: holds MIDI files, not a corpus; render them first: stemsmith render scores CORPUS
    """


class StoreError(StemsmithError):
    """An object store does not answer, or refuses what is asked; the text names the address.

    It is no `OSError`: those of single files may be an item's rejection, and a store that refuses
    one file refuses the next one as well.
    """


class NoAnswer(StoreError):
    """An object store has not answered for as long as it was asked; it may, later."""


class Unreadable(InvalidCorpus):
    """The system does not hand out a file: it is not there, or may not be read.

    Where it is one of many it is that item's rejection. Another machine may be able to read it.
    """


def one_line(error: object) -> str:
    r"""Return the text of somebody else's error as part of a line of ours.

    Parameters
    ----------
    error : object
        An exception, or what it says. Parsers quote what they have read, whatever that is.

    Returns
    -------
    str
        The text without line breaks and what a terminal would obey; the kind of an exception that
        says nothing.

    Examples
    --------
    >>> one_line(ValueError("no type:\n \x1b[2J"))
    'no type: \\x1b[2J'
    """
    return _printable(" ".join(str(error).split()) or type(error).__name__)


def _printable(text: str) -> str:
    """Return text with escapes for what is no sign: line breaks, commands to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
    source = _clone() or "stemsmith"
    return f"pip install {shlex.quote(f'{source}[{extra}]')}"


def upgrade_command() -> str:
    """Return the command that brings a newer stemsmith, for what a newer one has written."""
    clone = _clone()
    return f"git -C {shlex.quote(clone)} pull" if clone else "pip install --upgrade stemsmith"


def _clone() -> str | None:
    """Return the clone that stemsmith runs from, as a shell here may write it, or None."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "pyproject.toml").is_file():
        return None
    return "." if folder == Path.cwd() else str(folder)


def optional_package(name: str, extra: str, needed_by: str) -> Any:
    """Import a package that an extra has.

    Parameters
    ----------
    name : str
        Name under which it is imported.
    extra : str
        Name of the extra in ``pyproject.toml``.
    needed_by : str
        What cannot do without, and the verb: ``rooms need``.

    Raises
    ------
    UsageError
        If it is not installed; the text says how it is.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{needed_by} {name}; install it with: {install_command(extra)}") from None


def require(extra: str, *packages: str, task: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Parameters
    ----------
    extra : str
        Name of the extra in ``pyproject.toml``.
    *packages : str
        Names under which they are imported.
    task : str
        What needs them, such as ``training``: the message begins with it.

    Raises
    ------
    UsageError
        If one is missing, naming it and the command that installs it.
    """
    if absent := [name for name in packages if find_spec(name) is None]:
        raise UsageError(f"{task} needs {absent[0]}: {install_command(extra)}")
