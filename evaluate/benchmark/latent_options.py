"""Options of `stemsmith latents`, in Python and on the command line; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle
from stemsmith.manifests.splits import SPLITS
from stemsmith.train.machine import Device

__all__ = ["LatentConfig", "LatentOptions"]


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Which latents are drawn, and how.

    Attributes
    ----------
    splits : tuple of str
        Splits of the data set whose songs are taken; Brunner et al. take the test set.
    taxonomy : str or None
        What groups stems to targets; None takes the data set's own.
    n_segments : int
        Number of segments of a song, at regular distances; fewer of a song that has no more.
    perplexity : float
        About how many neighbours of a point are kept near it; above 1, and below the number of
        points.
    seed : int
        Seed of the embedding.
    device : Device
        Where the network runs: ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UsageError
        For values that make no sense, naming the option of the command.
    """

    splits: tuple[str, ...] = option(
        ("test",),
        "Take the songs of this split; may be repeated.",
        flag="--split",
        choices=lambda: SPLITS,
        default_text="test",
        is_repeatable=True,
    )
    taxonomy: str | None = option(
        None, "Targets, as of `stemsmith evaluate`.", default_text="the data set's own"
    )
    n_segments: int = option(20, "Segments of each song.", flag="--segments")
    perplexity: float = option(30.0, "Number of neighbours that t-SNE keeps near a point.")
    seed: int = option(0, "Seed of the embedding.")
    device: Device = option(Device.AUTO, "Where the network runs.")

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse values out of range."""
        settle(self)
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise UsageError(f"--split {unknown[0]}: unknown; known: {', '.join(SPLITS)}")
        if self.n_segments < 1:
            raise UsageError(f"--segments {self.n_segments}: at least 1")
        if not self.perplexity > 1:
            raise UsageError(f"--perplexity {self.perplexity:g}: above 1")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed {self.seed}: from 0 to {2**32 - 1}")


class LatentOptions(TypedDict, total=False):
    """The fields of `LatentConfig` as keyword arguments."""

    splits: Sequence[str]
    taxonomy: str | None
    n_segments: int
    perplexity: float
    seed: int
    device: Device | str
