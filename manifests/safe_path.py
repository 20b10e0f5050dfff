"""Importing, here and in new processes, not what lies about in the current folder.

A new process of `multiprocessing` is a ``python -c``, which looks into the current folder first:
a ``re.py`` there, among somebody's scores, would be executed in place of Python's own. A notebook
looks there first itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["current_folder_last", "safe_path"]

_VARIABLE: Final = "PYTHONSAFEPATH"
_DASK: Final = "Dask Worker"  # how Dask calls its processes
_lock: Final = threading.Lock()
_n_open = 0
_restore: Callable[[], None]


@contextmanager
def current_folder_last() -> Iterator[None]:
    """Have imports of the body look into the current folder last."""
    before, ordered = list(sys.path), _with_last(sys.path, _current())
    sys.path[:] = ordered
    try:
        yield
    finally:
        if sys.path == ordered:
            sys.path[:] = before


@contextmanager
def safe_path() -> Iterator[None]:
    """Have processes that are started while the body runs import nothing from the current folder.

    A notebook and ``python -c`` look there themselves. Then their processes do so last, for modules
    that are found nowhere else.
    """
    global _n_open, _restore
    with _lock:
        _n_open += 1
        if _n_open == 1:
            _restore = _make_safe()
    try:
        yield
    finally:
        with _lock:
            _n_open -= 1
            if _n_open == 0:
                _restore()


def _make_safe() -> Callable[[], None]:
    """Change the environment, and multiprocessing, which has no setting; return the way back."""
    from multiprocessing import process, spawn

    prepare, variable = spawn.get_preparation_data, os.environ.get(_VARIABLE)

    def prepare_safely(name: str) -> dict[str, Any]:
        """Return what a new process is told."""
        data: dict[str, Any] = prepare(name)
        original: str = process.ORIGINAL_DIR  # type: ignore[attr-defined]
        data["sys_path"] = _with_last(data["sys_path"], {original, *_current()})
        if name.startswith(_DASK):
            # Workers have by value what is defined in the main module, which need not be
            # importable: a script that is not guarded by its name, a notebook, standard input.
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    def restore() -> None:
        """Undo all this."""
        spawn.get_preparation_data = prepare
        if variable is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = variable

    spawn.get_preparation_data = prepare_safely
    os.environ[_VARIABLE] = "1"
    return restore


def _current() -> set[str]:
    """Return what the current folder is called in a search path."""
    names = {""}
    with suppress(OSError):  # it may have been removed
        names.add(str(Path.cwd()))
    return names


def _with_last(path: list[str], current: set[str]) -> list[str]:
    """Return a search path with the current folder at its end, unless PYTHONPATH names it."""
    wanted = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    last = [folder for folder in path if folder in current and folder not in wanted]
    return [folder for folder in path if folder not in last] + last
