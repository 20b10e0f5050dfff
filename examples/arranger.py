"""What the players of a band play: chord charts and grids in, notes and controller moves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import mido
from stemsmith.examples.rhythm import Note, struck, velocity
from stemsmith.examples.score import Event
from stemsmith.examples.theory import Chart, Style, pitch, voicings

__all__ = [
    "bass",
    "between",
    "comp",
    "harmony",
    "line",
    "pedal",
    "program",
    "ramp",
    "scoops",
    "swells",
]


def comp(
    piece: Chart,
    grids: str,
    low: int,
    high: int,
    *,
    style: Style = "close",
    level: int = 72,
    gate: float = 0.92,
    strum: float = 0.0,
) -> list[Note]:
    """Return an accompaniment in chords.

    Parameters
    ----------
    piece : Chart
    grids : str
        ``x`` the chord, ``X`` accented, ``o`` hardly heard, ``p`` the chord that comes next, a
        digit one voice of it, counted from below (past the top they go on an octave higher).
    low, high : int
        The range.
    style : str
        As for `voicings`.
    level : int
        Velocity of an ``x`` off the beat.
    gate : float
        The part of its written length that a note sounds.
    strum : float
        Beats from one string to the next.

    Returns
    -------
    list of Note
    """
    voiced = voicings(piece, low, high, style)
    notes = []
    for start, length, symbol, index in _changes(piece, grids):
        stack = voiced[index]
        if symbol.isdigit():
            octave, voice = divmod(int(symbol), len(stack))
            stack = (stack[voice] + 12 * octave,)
        for place, key in enumerate(stack):
            late = min(place * strum, length / 2)
            loud = velocity(level, symbol, start)
            notes.append(Note(start + late, length * gate - late, key, loud))
    return notes


def _changes(piece: Chart, grids: str) -> Iterator[tuple[float, float, str, int]]:
    """Yield what is struck and the index of its chord; a hold moves on where the chord does."""
    for start, length, symbol in struck(piece.rows(grids), piece.bar):
        stop = start + length
        index = piece.at(start) + (symbol == "p")
        while start < stop - 1e-6:
            end = min(stop, piece.chords[index].start + piece.chords[index].length)
            yield start, end - start, symbol, index
            start, index = end, index + 1


def bass(piece: Chart, grids: str, low: int = 28, level: int = 84, gate: float = 0.9) -> list[Note]:
    """Return a bass line.

    Parameters
    ----------
    piece : Chart
    grids : str
        ``1`` the chord's bass, ``X`` accented, ``o`` hardly heard, ``3 5 6 7 8`` its degrees, ``a``
        and ``b`` the semitone above or below the next chord's bass.
    low : int
        The lowest pitch.
    level, gate
        As for `comp`.

    Returns
    -------
    list of Note
    """
    notes = []
    for start, length, symbol in struck(piece.rows(grids), piece.bar):
        index = piece.at(start)
        if symbol in "ab":
            goal = piece.chords[min(index + 1, len(piece.chords) - 1)].degree("1", low)
            key = goal - 1 if symbol == "b" and goal > low else goal + 1
        else:
            key = piece.chords[index].degree(symbol, low)
        notes.append(Note(start, length * gate, key, velocity(level, symbol, start)))
    return notes


def line(text: str, start: float = 0.0, level: int = 84) -> list[Note]:
    """Return a written-out melody, its high notes a little louder than its low ones.

    Parameters
    ----------
    text : str
        Notes such as ``F#4:1.5``: name, octave and beats. ``r`` rests. Without beats a note is as
        long as the one before it. Bar lines are for the reader.
    start : float
        The beat of the first note.
    level : int
        Velocity of a note of middle height off the beat.

    Returns
    -------
    list of Note
    """
    spans: list[tuple[float, float, int]] = []
    length = 1.0
    for token in text.replace("|", " ").split():
        name, _, beats = token.partition(":")
        length = float(beats) if beats else length
        if name != "r":
            spans.append((start, length, pitch(name)))
        start += length
    middle = sum(key for _, _, key in spans) // len(spans)
    return [
        Note(beat, length * 0.95, key, velocity(level + key - middle, "", beat))
        for beat, length, key in spans
    ]


def harmony(notes: Sequence[Note], piece: Chart) -> list[Note]:
    """Return a softer second voice: the next chord tone at least a third below each note."""
    second = []
    for note in notes:
        tones = piece.chords[piece.at(note.start)].tones()
        key = next(key for key in range(note.pitch - 3, 0, -1) if key % 12 in tones)
        second.append(Note(note.start, note.length, key, note.velocity - 8))
    return second


def between(notes: Sequence[Note], start: float, stop: float) -> list[Note]:
    """Return the notes that start at or after ``start`` and before ``stop``."""
    return [note for note in notes if start <= note.start + 1e-6 < stop]


def ramp(number: int, *points: tuple[float, int]) -> list[Event]:
    """Return a controller's moves in straight lines through points of beat and value."""
    moves = []
    for (start, low), (stop, high) in pairwise(points):
        steps = max(1, round((stop - start) * 4))
        for step in range(steps):
            beat = start + (stop - start) * step / steps
            moves.append((beat, low + (high - low) * step // steps))
    return [(beat, _control(number, value)) for beat, value in [*moves, points[-1]]]


def swells(piece: Chart, low: int = 70, high: int = 110) -> list[Event]:
    """Return an expression controller that swells once in every four bars."""
    phrase = piece.bar * 4
    points = [(0.0, low)]
    for number in range(-(-piece.bars // 4)):
        points += [((number + 0.6) * phrase, high), ((number + 1) * phrase, low)]
    return [event for event in ramp(11, *points) if event[0] < piece.bars * piece.bar]


def pedal(piece: Chart) -> list[Event]:
    """Return a sustain pedal pressed after each chord change and lifted before the next."""
    events = []
    for chord in piece.chords:
        down, up = chord.start + 0.1, chord.start + (chord.length - 0.05)
        events += [(down, _control(64, 127)), (up, _control(64, 0))]
    return events


def scoops(notes: Sequence[Note], shortest: float = 1.0, semitones: float = 1.0) -> list[Event]:
    """Return bends from (at most two) ``semitones`` below into notes of ``shortest`` beats on."""
    events = []
    for note in notes:
        if note.length >= shortest:
            for step in range(9):
                value = -round(8191 * semitones / 2 * (1 - step / 8))
                beat = note.start + 0.3 * step / 8
                events.append((beat, mido.Message("pitchwheel", pitch=value)))
    return events


def program(number: int) -> mido.Message:
    """Return a program change, for a part that changes its sound on the way."""
    return mido.Message("program_change", program=number)


def _control(number: int, value: int) -> mido.Message:
    return mido.Message("control_change", control=number, value=value)
