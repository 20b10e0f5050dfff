"""Options of `stemsmith gap`, in Python and on the command line; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle
from stemsmith.manifests.splits import SPLITS

__all__ = ["GapConfig", "GapOptions"]


@dataclass(frozen=True, slots=True)
class GapConfig:
    """How songs are compared.

    Attributes
    ----------
    splits : tuple of str
        Splits whose songs are measured; by default all.
    songs : Path or None
        Table of what is known of real songs, see
        `stemsmith.evaluate.realism.songs.read_known_songs`: their artists, by which they are
        divided into halves, and how far their sources reach. Without it the artist is what stands
        before `` - `` in the name of a song, and else each song has an artist of its own.
    masters : bool
        Whether the mixture of a corpus is its master in place of the sum of its stems, where a
        song has one. Real songs, and those of the baseline, are always sums.
    halves : int
        How often the real songs are divided into halves to find the floor.
    seed : int
        Seed of these divisions and of the bootstrap.

    Raises
    ------
    UsageError
        For values that make no sense, naming the option of the command.
    """

    splits: tuple[str, ...] = option(
        SPLITS,
        "Measure the songs of this split; may be repeated.",
        flag="--split",
        choices=lambda: SPLITS,
        default_text="all",
        is_repeatable=True,
    )
    songs: Path | None = option(
        None, "Table (TSV, CSV) of real songs: song, artist, reach_hz (a header names them)."
    )
    masters: bool = option(False, "Measure the masters of the corpus, where it has them.")
    halves: int = option(200, "Divisions of the real songs, by artist, that the floor is taken of.")
    seed: int = option(0, "Seed of the divisions and of the bootstrap.")

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse values out of range."""
        settle(self)
        if not 1 <= self.halves <= 100_000:
            raise UsageError("--halves must be between 1 and 100000")
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise UsageError(f"--split {unknown[0]}: unknown; known: {', '.join(SPLITS)}")


class GapOptions(TypedDict, total=False):
    """The fields of `GapConfig` as keyword arguments."""

    splits: Sequence[str]
    songs: str | Path | None
    masters: bool
    halves: int
    seed: int
