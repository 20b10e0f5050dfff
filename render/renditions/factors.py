"""What renditions of a score vary: tempo, dynamics, deviations of single notes.

Reference: Miron et al. 2017, section 3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from stemsmith.manifests.errors import UsageError

if TYPE_CHECKING:
    from stemsmith.render.midi.score import TempoMap

__all__ = [
    "AS_WRITTEN",
    "DEFAULT_VELOCITIES",
    "Deviations",
    "Dynamic",
    "Rule",
    "Tempo",
    "TempoMode",
]

AS_WRITTEN: Final = "as-written"
# Medians of a part's velocities. Layers of soundfonts mostly part near 64 and 100.
DEFAULT_VELOCITIES: Final = {"pp": 32, "p": 48, "mp": 64, "m": 80, "mf": 80, "f": 112, "ff": 124}
_HIGHEST_FACTOR: Final = 8.0  # numbers up to this one are factors, larger ones BPM


class TempoMode(StrEnum):
    """What a tempo in BPM does to the tempo changes of a score."""

    SCALE = "scale"  # all tempi in proportion, so that the first one is the one asked for
    REPLACE = "replace"  # one constant tempo


@dataclass(frozen=True, slots=True)
class Tempo:
    """A tempo of renditions: ``as-written``, BPM, or a factor.

    Attributes
    ----------
    name : str
        The tempo as it was asked for, which is also what records call it.
    bpm : float or None
        Quarter notes a minute, if it is given in these.
    factor : float or None
        Multiple of the tempo of the score, if it is given as one.
    """

    name: str
    bpm: float | None = None
    factor: float | None = None

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: str) -> Tempo:
        """Read ``as-written``, ``100`` (BPM) or ``0.8`` (a factor: up to 8).

        Raises
        ------
        UsageError
            For anything else.
        """
        text = text.strip()
        if text == AS_WRITTEN:
            return cls(text)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0.1 <= value <= 1000:
            raise UsageError(f"--tempo {text}: BPM (80), a factor (0.8), or {AS_WRITTEN}")
        return cls(text, factor=value) if value <= _HIGHEST_FACTOR else cls(text, bpm=value)

    def of(self, written: TempoMap, mode: TempoMode, first_tick: int = 0) -> TempoMap:
        """Return the tempo map of a score at this tempo; its first note is at `first_tick`."""
        if self.factor is not None:
            return written.faster(self.factor)
        if self.bpm is None:
            return written
        if mode is TempoMode.REPLACE:
            return written.constant(self.bpm)
        return written.faster(self.bpm / written.bpm_at(first_tick))


class Dynamic(NamedTuple):
    """A dynamic of renditions and its median velocity; None plays the velocities as written."""

    name: str
    velocity: int | None


@dataclass(frozen=True, slots=True)
class Deviations:
    """Small departures of single notes from the score; standard deviations, normal.

    Attributes
    ----------
    onset_s : float
        Standard deviation of note onsets in seconds. A note keeps its duration, and three times
        this is the most.
    cents : float
        Standard deviation of the tuning of notes in cents; three times this is the most.
    """

    onset_s: float = 0.0
    cents: float = 0.0


class Rule(StrEnum):
    """Which combinations of factors count, read from the authors' code."""

    ANY = "any"
    DISTINCT = "distinct"  # no two parts share timbre, dynamic and shift (the RWC set)
    SHIFTS_DIFFER = "shifts-differ"  # not all parts share the shift (the Sibelius set)
