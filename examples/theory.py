"""Pitches, chords, and how a hand moves from one chord to the next.

Pitches are MIDI numbers, pitch classes run from 0 (C) to 11, and times are counted in quarter-note
beats from the start of the piece.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final, Literal

__all__ = ["Chart", "Chord", "Style", "chart", "pitch", "voicings"]

Style = Literal["close", "drop2", "piano", "barre", "power"]

LEFT_HAND: Final = 40  # the lowest pitch for a pianist's left hand
NATURALS: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS: Final = {"": 0, "#": 1, "b": -1}
# Semitones above the root. From the ninth chords on the root is left to the bass player.
QUALITIES: Final = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "sus4": (0, 5, 7),
    "add9": (0, 2, 4, 7),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7b5": (0, 3, 6, 10),
    "maj9": (4, 7, 11, 2),
    "m9": (3, 7, 10, 2),
    "13": (4, 9, 10, 2),
    "7b9": (4, 7, 10, 1),
    "7#9": (4, 7, 10, 3),
}
# The semitones that a degree may stand for in a chord, the likeliest first.
DEGREES: Final = {"3": (4, 3, 5), "5": (7, 6), "6": (9,), "7": (10, 11), "8": (12,)}


@dataclass(frozen=True)
class Chord:
    """A chord of a chart: where it stands, its bass and root pitch class, and its intervals."""

    start: float
    length: float
    bass: int
    root: int
    intervals: tuple[int, ...]

    def tones(self) -> list[int]:
        """Return the pitch classes of the chord, without its bass, in order."""
        return sorted({(self.root + interval) % 12 for interval in self.intervals})

    def degree(self, symbol: str, low: int) -> int:
        """Return the pitch of a degree above the first root from ``low`` up; 1 is the bass."""
        if symbol not in DEGREES:
            return _first(self.bass, low)
        semitones = DEGREES[symbol]
        chosen = next((s for s in semitones if s in self.intervals), semitones[0])
        return _first(self.root, low) + chosen


@dataclass(frozen=True)
class Chart:
    """The chords of a whole piece, whose last bar is played as ``ending`` says."""

    chords: tuple[Chord, ...]
    bars: int
    bar: float
    ending: str

    def at(self, beat: float) -> int:
        """Return the index of the chord that sounds at ``beat``."""
        return max(i for i, chord in enumerate(self.chords) if chord.start <= beat + 1e-6)

    def rows(self, grids: str) -> list[str]:
        """Return one grid row for each bar: ``grids`` over and over, then the ending."""
        return [*islice(cycle(grids.split()), self.bars - 1), self.ending]


def chart(text: str, bar: float = 4.0, ending: str = "X-------") -> Chart:
    """Return the chords that a text spells out.

    Parameters
    ----------
    text : str
        Bars parted by ``|``; the chords of a bar (``G``, ``Bbmaj7``, ``D/F#``) share it evenly.
    bar : float
        Beats in a bar.
    ending : str
        The grid row of the last bar.

    Returns
    -------
    Chart

    Raises
    ------
    ValueError
        If something between the bar lines is not a chord.
    """
    bars = [cell.split() for cell in text.split("|")]
    chords = []
    for number, names in enumerate(bars):
        length = bar / len(names)
        for place, name in enumerate(names):
            chords.append(_chord(name, number * bar + place * length, length))
    return Chart(tuple(chords), len(bars), bar, ending)


def pitch(name: str) -> int:
    """Return the pitch of a note name with its octave, such as ``F#4``; ``C4`` is 60."""
    return 12 * (int(name[-1]) + 1) + _semitones(name[:-1])


def voicings(piece: Chart, low: int, high: int, style: Style) -> list[tuple[int, ...]]:
    """Voice every chord so that the hand moves as little as it can.

    Parameters
    ----------
    piece : Chart
    low, high : int
        The range.
    style : str
        ``close``, ``drop2`` (second voice from the top an octave down), ``piano`` (close, and the
        bass in the left hand), and for guitars ``barre`` and ``power``.

    Returns
    -------
    list of tuple of int
        The pitches of each chord, from below.
    """
    voiced: list[tuple[int, ...]] = []
    before: tuple[int, ...] = ((low + high) // 2,)
    for chord in piece.chords:
        stacks = _stacks(chord, low, high, style)
        costs = [_movement(before, stack) + _movement(stack, before) for stack in stacks]
        before = stacks[costs.index(min(costs))]
        voiced.append(before)
    return voiced


def _semitones(name: str) -> int:
    return NATURALS[name[0]] + ACCIDENTALS[name[1:]]


def _first(pitch_class: int, low: int) -> int:
    """Return the first pitch of a class from ``low`` up."""
    return low + (pitch_class - low) % 12


def _chord(name: str, start: float, length: float) -> Chord:
    match = re.fullmatch(r"([A-G][#b]?)([^/]*)/?(.*)", name)
    if match is None or match[2] not in QUALITIES:
        raise ValueError(f"not a chord: {name}")
    root, quality, bass = match.groups()
    bass_class, root_class = _semitones(bass or root) % 12, _semitones(root) % 12
    return Chord(start, length, bass_class, root_class, QUALITIES[quality])


def _stacks(chord: Chord, low: int, high: int, style: Style) -> list[tuple[int, ...]]:
    """Return the ways to play ``chord`` between two pitches."""
    root = _first(chord.root, low)
    if style == "power":
        return [(root, root + 7, root + 12)]
    if style == "barre":
        _, third, fifth, seventh = (*chord.intervals, 12)[:4]
        return [tuple(root + i for i in (0, fifth, seventh, 12 + third, 12 + fifth))]
    tones = chord.tones()
    left = (_first(chord.bass, LEFT_HAND),) if style == "piano" else ()
    found = []
    for bottom in range(low, high + 1):
        if bottom % 12 in tones:
            stack = sorted(_first(tone, bottom) for tone in tones)
            if style == "drop2":
                stack = sorted([*stack[:-2], stack[-2] - 12, stack[-1]])
            if stack[0] >= low and stack[-1] <= high:
                found.append((*left, *stack))
    return found


def _movement(before: Sequence[int], after: Sequence[int]) -> int:
    """Return how far the pitches of ``after`` lie from the nearest ones of ``before``."""
    return sum(min(abs(key - other) for other in before) for key in after)
