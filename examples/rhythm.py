"""Rhythm grids, and the drum kit that plays from them.

A *grid* is a text of bars parted by blanks; each bar is split evenly among its characters, ``.`` is
a rest and ``-`` holds the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from stemsmith.examples.theory import Chart

__all__ = ["Note", "drums", "struck", "velocity"]

PHRASE: Final = 4  # bars from one drum fill to the next
ACCENTS: Final = {"X": 16, "o": -30}
KIT: Final = {  # name: key, velocity
    "kick": (36, 98),
    "stick": (37, 72),
    "snare": (38, 94),
    "clap": (39, 84),
    "hat": (42, 68),
    "open": (46, 72),
    "tom1": (50, 92),
    "tom2": (47, 92),
    "tom3": (43, 94),
    "crash": (49, 84),
    "ride": (51, 70),
    "tamb": (54, 62),
    "shaker": (70, 56),
}


@dataclass(frozen=True)
class Note:
    """One note; times are in beats."""

    start: float
    length: float
    pitch: int
    velocity: int


def struck(rows: Iterable[str], bar: float) -> Iterator[tuple[float, float, str]]:
    """Yield start, length and symbol of everything that is struck in one grid row for each bar."""
    for number, row in enumerate(rows):
        step = bar / len(row)
        for hit in re.finditer(r"[^.-]-*", row):
            yield number * bar + hit.start() * step, len(hit[0]) * step, hit[0][0]


def velocity(level: int, symbol: str, beat: float) -> int:
    """Return how hard a symbol is struck: ``X`` harder, ``o`` hardly, all harder on the beat."""
    on_the_beat = abs(beat - round(beat)) < 1e-6
    return level + ACCENTS.get(symbol, 0) + (5 if on_the_beat else 0)


def drums(piece: Chart, groove: str, fill: str) -> list[Note]:
    """Return a groove with a fill at the end of every phrase, and the crash cymbal in the last bar.

    Parameters
    ----------
    piece : Chart
    groove, fill : str
        Lines parted by ``;``, each the name of a piece of the kit and its grid.

    Returns
    -------
    list of Note
    """
    play, turn = _lines(groove), _lines(fill)
    notes = []
    for name in sorted({"kick", "crash", *play, *turn}):
        pitch, level = KIT[name]
        rows = []
        for number in range(piece.bars - 1):
            source = turn if number % PHRASE == PHRASE - 1 else play
            choices = source.get(name, ["."])
            rows.append(choices[number % len(choices)])
        rows.append("X..." if name in ("kick", "crash") else ".")
        for start, length, symbol in struck(rows, piece.bar):
            notes.append(Note(start, min(length, 0.25), pitch, velocity(level, symbol, start)))
    return notes


def _lines(text: str) -> dict[str, list[str]]:
    fields = (line.split() for line in text.split(";"))
    return {name: rows for name, *rows in fields}
