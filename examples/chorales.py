"""The four-part chorales, voice by voice."""

from __future__ import annotations

from typing import Final, NamedTuple

from stemsmith.examples.arranger import line
from stemsmith.examples.score import Part, Score

__all__ = ["chorales"]


class Chorale(NamedTuple):
    """A chorale: its four voices are melodies as `line` reads them."""

    title: str
    key: str
    bpm: float
    meter: tuple[int, int]
    soprano: str
    alto: str
    tenor: str
    bass: str


VOICES: Final = (  # name, program, pan
    ("Soprano Violin", 40, 44),
    ("Alto Clarinet", 71, 56),
    ("Tenor Sax", 66, 72),
    ("Bass Bassoon", 70, 84),
)
CHORALES: Final = (
    Chorale(
        "Old Hundredth",  # melody: Genevan Psalter, 1551
        "G",
        90,
        (4, 4),
        "G4:2 G4:1 F#4 | E4 D4 G4:2 | A4 B4 | B4 B4:1 B4 | A4 G4 C5:2 | B4 A4 |"
        "G4 A4:1 B4 | A4 G4 E4:2 | F#4 G4 | D5 B4:1 G4 | A4 C5 B4:2 | A4 G4",
        "D4:2 D4:1 D4 | B3 B3 B3:2 | D4 D4 | G4 G4:1 G4 | F#4 G4 G4:2 | G4 F#4 |"
        "D4 D4:1 D4 | D4 B3 C4:2 | A3 B3 | G4 G4:1 D4 | E4 D4 D4:2 | C4 B3",
        "B3:2 B3:1 A3 | G3 F#3 G3:2 | F#3 G3 | D4 D4:1 D4 | D4 B3 E4:2 | D4 D4 |"
        "B3 C4:1 B3 | F#3 G3 G3:2 | D3 D3 | B3 D4:1 D4 | A3 F#3 G3:2 | E3:1 F#3 G3:2",
        "G3:2 G3:1 D3 | E3 B2 E3:2 | D3 G2 | G3 G3:1 B2 | D3 E3 C3:2 | G2 D3 |"
        "G3 F#3:1 G3 | D3 G2 C3:2 | D3 G2 | G3 G3:1 B2 | C3 D3 G2:2 | C3:1 D3 G2:2",
    ),
    Chorale(
        "Hymn to Joy",  # melody: Ludwig van Beethoven, 1824
        "F",
        84,
        (4, 4),
        "A4 A4 Bb4 C5 | C5 Bb4 A4 G4 | F4 F4 G4 A4 | A4:1.5 G4:.5 G4:2 |"
        "A4:1 A4 Bb4 C5 | C5 Bb4 A4 G4 | F4 F4 G4 A4 | G4:1.5 F4:.5 F4:2",
        "F4 F4 F4 F4 | F4 E4 F4 C4 | C4 D4 D4 F4 | F4:1.5 E4:.5 E4:2 |"
        "F4:1 F4 G4 G4 | A4 F4 F4 C4 | C4 D4 D4 C4 | C4:2 A3",
        "C4 D4 D4 C4 | A3 G3 F3 G3 | A3 A3 Bb3 C4 | C4:2 C4 |"
        "C4:1 D4 D4 E4 | F4 D4 C4 G3 | A3 A3 Bb3 F3 | E3:2 F3",
        "F3 D3 Bb2 A2 | F3 C3 D3 E3 | F3 D3 Bb2 A2 | C3:2 C3 |"
        "F3:1 D3 G2 C3 | F3 Bb2 F3 E3 | F3:.5 E3 D3:1 G2 C3 | C3:2 F2",
    ),
    Chorale(
        "Evening Bell",
        "Am",
        76,
        (4, 4),
        "A4 B4 C5 B4 | A4 G#4 A4:2 | C5:1 D5 E5 D5 | C5 B4 C5:2 | E5:1 D5 C5 B4 | C5 A4 B4:2 |"
        "C5:1 E5 D5 B4 | C5 A4 B4 G#4 | A4:4",
        "E4 E4 E4 E4 | C4 E4 E4:2 | E4:1 G4 G4 G4 | E4 F4 E4:2 | E4:1 F4 E4 E4 | E4 C4 E4:2 |"
        "E4:1 E4 F4 D4 | E4 C4 E4 D4 | C#4:4",
        "C4 B3 A3 G#3 | A3 B3 C4:2 | A3:1 G3 C4 B3 | C4 D4 C4:2 | C4:1 A3 A3 G#3 | A3 A3 G#3:2 |"
        "A3:1 A3 A3 G3 | G3 A3 G#3 B3 | A3:4",
        "A2 G#2 A2 E3 | F3 E3 A2:2 | A2:1 B2 C3 G3 | A3 G3 C3:2 | A2:1 D3 A2 E3 | A2 F3 E3:2 |"
        "A2:1 C3 D3 G2 | C3 F3 E3:2 | A2:4",
    ),
    Chorale(
        "Lamplighters",
        "Bb",
        84,
        (3, 4),
        "Bb4:2 C5:1 | D5 Eb5 D5 | C5:3 | D5:2 Eb5:1 | F5 Eb5 D5 | C5:3 |"
        "C5:2 D5:1 | Eb5 D5 C5 | D5:3 | D5:1 Eb5 C5 | D5 C5:2 | Bb4:3",
        "F4:2 F4:1 | F4 G4 F4 | F4:3 | F4:2 G4:1 | F4 G4 G4 | E4 F4:2 |"
        "G4:2 G4:1 | G4 G4 G4 | F#4:3 | G4:1 G4 G4 | F4 Eb4:2 | D4:3",
        "D4:2 C4:1 | Bb3 Bb3 Bb3 | A3:3 | Bb3:2 G3:1 | Bb3 Bb3 Bb3 | Bb3 A3:1.5 C4:.5 |"
        "Eb4:2 D4:1 | C4 Bb3 C4 | A3:3 | Bb3:1 G3 G3 | Bb3 A3:2 | Bb3:3",
        "Bb2:2 A2:1 | Bb2 Eb3 Bb2 | F3:2 Eb3:1 | D3:2 C3:1 | D3 Eb3 G2 | C3 F2:2 |"
        "C3:2 B2:1 | C3 G2 Eb3 | D3:3 | G2:1 C3 Eb3 | F3 F2:2 | Bb2:3",
    ),
)


def chorales() -> list[Score]:
    """Return the chorales as scores, each slowing down on its last bar."""
    scores = []
    for number, chorale in enumerate(CHORALES):
        voices = (chorale.soprano, chorale.alto, chorale.tenor, chorale.bass)
        lines = [line(text, level=80) for text in voices]
        last = lines[0][-1].start
        parts = tuple(
            Part(name, program, notes, 100, pan)
            for (name, program, pan), notes in zip(VOICES, lines, strict=True)
        )
        bpm = chorale.bpm
        tempos = ((0, bpm), (last - 2, 0.92 * bpm), (last, 0.8 * bpm))
        seed = 30 + number
        scores.append(Score(chorale.title, chorale.key, tempos, parts, seed, chorale.meter))
    return scores
