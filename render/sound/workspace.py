"""What the jobs of a process share: one piece of memory, and the lock of the one at work.

Fresh memory costs more than the work done on it: the page faults of a new array took 9 ns a
sample where adding two channels into a warm one took 0.3.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["AT_WORK", "Workspace", "shared_workspace"]

# Lock held by the one job that renders in this process: a Dask worker may have several threads.
AT_WORK: Final = threading.Lock()


class Workspace:
    """Memory that only grows, for one user at a time."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def take(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Return (n_bytes,) with whatever is in it: the same memory at every call."""
        if len(self._memory) < n_bytes:
            self._memory = np.empty(0, np.uint8)  # given back before more is asked for
            self._memory = np.empty(n_bytes, np.uint8)
        return self._memory[:n_bytes]


@cache
def shared_workspace() -> Workspace:
    """Return this process's workspace."""
    return Workspace()
