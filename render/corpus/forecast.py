"""What making a corpus will take, in words, and whether the disk has room for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import is_remote

__all__ = ["RECORD_BYTES_PER_STEM_S", "check_room", "cost_in_words", "in_short"]

# Envelopes, for a channel: all that is large of a corpus that keeps no audio.
RECORD_BYTES_PER_STEM_S: Final = 80


def check_room(folder: Path, n_bytes: int, fewer: str, what: str = "the corpus") -> None:
    """Refuse what the disk cannot hold.

    Parameters
    ----------
    folder : Path
        What is to be filled, which need not be there yet. An object store has room.
    n_bytes : int
        Size of all that is written into it.
    fewer : str
        What else a user may do than to make room, as in "draw fewer --songs".
    what : str
        What is written.

    Raises
    ------
    UsageError
        Naming the folder, what is needed and what is free.
    """
    if is_remote(folder):  # which has room for whoever pays
        return
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    usage = shutil.disk_usage(above)
    if usage.total and n_bytes > usage.free:  # what is no disk says 0, and fails otherwise
        raise UsageError(
            f"{folder}: {what} needs about {in_short(n_bytes / 1e9)} GB, and "
            f"{in_short(usage.free / 1e9)} GB are free; make room, choose another disk, or {fewer}"
        )


def cost_in_words(n_bytes: int, core_s: float, n_workers: int) -> str:
    """Return gigabytes and time for a person; 0 workers are one process, this one."""
    return f"about {in_short(n_bytes / 1e9)} GB and {_in_words(core_s / max(n_workers, 1))}"


def in_short(value: float) -> str:
    """Return a number with two digits, or all digits before the point."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _in_words(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{in_short(seconds / 3600)} h"
