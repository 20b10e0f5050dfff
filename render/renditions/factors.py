"""What renditions of a score vary beside how their parts are played: tempo, and combinations.

Reference: Miron et al. 2017, section 3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.playing import AS_WRITTEN

if TYPE_CHECKING:
    from stemsmith.render.midi.score import TempoMap

__all__ = ["Rule", "Tempo", "TempoMode"]

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


class Rule(StrEnum):
    """Which combinations of factors count, read from the authors' code."""

    ANY = "any"
    DISTINCT = "distinct"  # no two parts share timbre, dynamic and shift (the RWC set)
    SHIFTS_DIFFER = "shifts-differ"  # not all parts share the shift (the Sibelius set)
