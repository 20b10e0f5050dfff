"""Sizes of data sets as the Slakh paper prints them, to put a corpus of ours beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PUBLISHED_SIZES", "SIZES_SOURCE", "PublishedSize"]

SIZES_SOURCE: Final = "Manilow et al., WASPAA 2019, Table 1"


@dataclass(frozen=True, slots=True)
class PublishedSize:
    """One row of the table, as printed.

    Attributes
    ----------
    name : str
        Name of the data set.
    n_songs : int
        Number of songs.
    hours : float
        Hours of mixtures.
    tracks : str
        Number of tracks of a song: a number, the least and the most, or the least alone.
    n_classes : int
        Number of categories of instruments.
    """

    name: str
    n_songs: int
    hours: float
    tracks: str
    n_classes: int


PUBLISHED_SIZES: Final = (
    PublishedSize("iKala", 306, 2, "2", 2),
    PublishedSize("MIR-1k", 110, 2.25, "2", 2),
    PublishedSize("DSD100", 100, 7, "4", 4),
    PublishedSize("MedleyDB", 122, 7.2, "1\u201326", 82),
    PublishedSize("MUSDB18", 150, 10, "4", 4),
    PublishedSize("Slakh2100", 2100, 145, "4\u201348", 34),
    PublishedSize("LMD (subset)", 20371, 1793, "4+", 129),
    PublishedSize("All LMD", 176581, 10521, "1+", 129),
)
