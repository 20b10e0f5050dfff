"""Starting Python processes that do not import what lies about in the current folder.

A new process of `multiprocessing` is a ``python -c``, which looks into the current folder first:
a ``re.py`` there, among somebody's scores, would be executed in place of Python's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import process, spawn
from pathlib import Path
from typing import Any, Final

__all__ = ["safe_path"]

_VARIABLE: Final = "PYTHONSAFEPATH"
_DASK: Final = "Dask Worker"  # how Dask calls its processes
_lock: Final = threading.Lock()
_n_open = 0
_before: str | None = None


@contextmanager
def safe_path() -> Iterator[None]:
    """Have processes that are started while the body runs import nothing from the current folder.

    A notebook and ``python -c`` look there themselves. Then their processes do so last, for modules
    that are found nowhere else.
    """
    global _n_open, _before
    with _lock:
        _n_open += 1
        if _n_open == 1:
            _before = os.environ.get(_VARIABLE)
            os.environ[_VARIABLE] = "1"
            spawn.get_preparation_data = _safe_preparation_data
    try:
        yield
    finally:
        with _lock:
            _n_open -= 1
            if _n_open == 0:
                spawn.get_preparation_data = _get_preparation_data
                if _before is None:
                    del os.environ[_VARIABLE]
                else:
                    os.environ[_VARIABLE] = _before


_get_preparation_data: Final = spawn.get_preparation_data


def _safe_preparation_data(name: str) -> dict[str, Any]:
    """Return what a new process is told by multiprocessing, whose setting this cannot be."""
    data: dict[str, Any] = _get_preparation_data(name)
    current = {"", str(process.ORIGINAL_DIR), str(Path.cwd())}  # type: ignore[attr-defined]
    wanted = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    moved = [path for path in data["sys_path"] if path in current and path not in wanted]
    data["sys_path"] = [path for path in data["sys_path"] if path not in moved] + moved
    if name.startswith(_DASK):
        # Workers have by value what is defined in the main module, which need not be importable:
        # it may be a script that is not guarded by its name, a notebook, or standard input.
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data
