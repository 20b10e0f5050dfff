"""What a page shows of its subject; this module imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle

__all__ = ["ReportConfig", "ReportOptions"]


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What a page shows of the folders that it is of.

    Attributes
    ----------
    n_songs : int
        Songs, clips or recordings of each folder that can be played on the page; 0 for none.
    seed : int
        Decides which ones.
    clip_s : float or None
        Length of what is played of each, in seconds. None takes 30 s, and all of a recording that
        was separated.

    Raises
    ------
    UsageError
        For values that make no sense.
    """

    n_songs: int = option(
        3, "Songs of each folder that can be played; 0 for none.", flag="--songs", key="songs"
    )
    seed: int = option(0, "Decides which songs these are.")
    clip_s: float | None = option(
        None,
        "Seconds that are played of each.",
        flag="--clip-seconds",
        metavar="SECONDS",
        default_text="30; all of what was separated",
    )

    def __post_init__(self) -> None:
        """Give values their types, and refuse those that make no sense."""
        settle(self)
        if self.n_songs < 0:
            raise UsageError("--songs must be at least 0")
        if self.clip_s is not None and not 0.5 <= self.clip_s <= 3600:
            raise UsageError("--clip-seconds must be between 0.5 and 3600")


class ReportOptions(TypedDict, total=False):
    """The fields of `ReportConfig`, as keyword arguments."""

    n_songs: int
    seed: int
    clip_s: float | None
