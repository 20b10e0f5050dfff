"""Arrays that are kept once they were computed, as long as there are not too many."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from stemsmith.manifests.arrays import Int32s

__all__ = ["KeptArrays"]

_MOST_BYTES: Final = 32 << 20
_OVERHEAD: Final = 300  # of an array, its key and its place


class KeptArrays:
    """Arrays by their keys, all of which are forgotten when they take more than 32 MiB."""

    def __init__(self) -> None:
        self._arrays: dict[Hashable, Int32s] = {}
        self._n_bytes = 0

    def get(self, key: Hashable) -> Int32s | None:
        """Return an array that is kept, or None."""
        return self._arrays.get(key)

    def keep(self, key: Hashable, values: Int32s) -> Int32s:
        """Keep an array; return it."""
        if self._n_bytes > _MOST_BYTES:
            self._arrays.clear()
            self._n_bytes = 0
        self._arrays[key] = values
        self._n_bytes += values.nbytes + _OVERHEAD
        return values

    def made(self, key: Hashable, make: Callable[[], Int32s]) -> Int32s:
        """Return an array that is kept, or make and keep it."""
        known = self._arrays.get(key)
        return self.keep(key, make()) if known is None else known
