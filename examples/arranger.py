"""A small arranging kit: chord charts and rhythm grids in, standard MIDI files out.

Time is counted in quarter-note beats from the start. A *grid* is a text of bars parted by blanks;
each bar is split evenly among its characters, ``.`` is a rest and ``-`` holds the one before it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Final

import mido

PPQ: Final = 480
DRUM_CHANNEL: Final = 9
LEFT_HAND: Final = 40  # the lowest pitch for a pianist's left hand

PITCH_CLASSES: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
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
# A chart's degree, and the tones it may stand for in a chord, the likeliest first.
DEGREES: Final = {"3": (4, 3, 5), "5": (7, 6), "6": (9,), "7": (10, 11), "8": (12,)}
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

Event = tuple[float, mido.Message]  # beat and what is sent then; its channel is set when written


@dataclass(frozen=True)
class Note:
    """One note; times are in beats."""

    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Chord:
    """A chord of a chart: where it stands, its bass and root pitch class, and its intervals."""

    start: float
    length: float
    bass: int
    root: int
    intervals: tuple[int, ...]


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


@dataclass(frozen=True)
class Part:
    """One track. ``program`` None is the drum kit."""

    name: str
    program: int | None
    notes: Sequence[Note]
    volume: int = 96
    pan: int = 64
    events: Sequence[Event] = ()


@dataclass(frozen=True)
class Score:
    """A piece: what the conductor's track needs, and its parts."""

    title: str
    key: str
    tempos: tuple[tuple[float, float], ...]
    parts: tuple[Part, ...]
    seed: int
    meter: tuple[int, int] = (4, 4)
    swing: bool = False
    jitter: float = 0.0


def _pitch_class(name: str) -> int:
    return (PITCH_CLASSES[name[0]] + ACCIDENTALS[name[1:]]) % 12


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
    """
    bars = [cell.split() for cell in text.split("|")]
    chords = []
    for number, names in enumerate(bars):
        length = bar / len(names)
        for place, name in enumerate(names):
            match = re.fullmatch(r"([A-G][#b]?)([^/]*)/?(.*)", name)
            if match is None:
                raise ValueError(f"not a chord: {name}")
            root, quality, bass = match.groups()
            start = number * bar + place * length
            low = _pitch_class(bass or root)
            chords.append(Chord(start, length, low, _pitch_class(root), QUALITIES[quality]))
    return Chart(tuple(chords), len(bars), bar, ending)


def _cells(rows: Iterable[str], bar: float) -> Iterator[tuple[float, float, str]]:
    """Yield start, length and symbol of everything that is struck in the grid rows."""
    for number, row in enumerate(rows):
        step = bar / len(row)
        for hit in re.finditer(r"[^.-]-*", row):
            yield number * bar + hit.start() * step, len(hit[0]) * step, hit[0][0]


def _velocity(base: int, symbol: str, beat: float) -> int:
    on_the_beat = abs(beat - round(beat)) < 1e-6
    return base + ACCENTS.get(symbol, 0) + (5 if on_the_beat else 0)


def _stacks(chord: Chord, low: int, high: int, style: str) -> list[tuple[int, ...]]:
    """Return the ways to play ``chord`` between two pitches."""
    if style in ("power", "barre"):
        root = low + (chord.root - low) % 12
        if style == "power":
            return [(root, root + 7, root + 12)]
        _, third, fifth, seventh = (*chord.intervals, 12)[:4]
        return [tuple(root + i for i in (0, fifth, seventh, 12 + third, 12 + fifth))]
    tones = sorted({(chord.root + interval) % 12 for interval in chord.intervals})
    left = (LEFT_HAND + (chord.bass - LEFT_HAND) % 12,) if style == "piano" else ()
    found = []
    for bottom in range(low, high + 1):
        if bottom % 12 in tones:
            stack = sorted(bottom + (tone - bottom) % 12 for tone in tones)
            if style == "drop2":
                stack = sorted([*stack[:-2], stack[-2] - 12, stack[-1]])
            if stack[0] >= low and stack[-1] <= high:
                found.append((*left, *stack))
    return found


def _voicings(piece: Chart, low: int, high: int, style: str) -> list[tuple[int, ...]]:
    """Voice every chord so that the hand moves as little as it can."""
    voiced: list[tuple[int, ...]] = []
    before: tuple[int, ...] = ((low + high) // 2,)
    for chord in piece.chords:
        stacks = _stacks(chord, low, high, style)
        costs = [
            sum(min(abs(pitch - other) for other in before) for pitch in stack)
            + sum(min(abs(pitch - other) for pitch in stack) for other in before)
            for stack in stacks
        ]
        before = stacks[costs.index(min(costs))]
        voiced.append(before)
    return voiced


def _changes(piece: Chart, grids: str) -> Iterator[tuple[float, float, str, int]]:
    """Yield what is struck and the index of its chord; a hold moves on where the chord does."""
    for start, length, symbol in _cells(piece.rows(grids), piece.bar):
        stop = start + length
        index = piece.at(start) + (symbol == "p")
        while start < stop - 1e-6:
            end = min(stop, piece.chords[index].start + piece.chords[index].length)
            yield start, end - start, symbol, index
            start, index = end, index + 1


def comp(
    piece: Chart,
    grids: str,
    low: int,
    high: int,
    *,
    style: str = "close",
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
        The range, as MIDI pitches.
    style : str
        ``close``, ``drop2`` (second voice from the top an octave down), ``piano`` (close, and the
        bass in the left hand), and for guitars ``barre`` and ``power``.
    level : int
        Velocity of an ``x`` off the beat.
    gate : float
        The part of its written length that a note sounds.
    strum : float
        Beats from one string to the next.
    """
    voiced = _voicings(piece, low, high, style)
    notes = []
    for start, length, symbol, index in _changes(piece, grids):
        stack = voiced[index]
        if symbol.isdigit():
            octave, voice = divmod(int(symbol), len(stack))
            stack = (stack[voice] + 12 * octave,)
        for place, pitch in enumerate(stack):
            late = min(place * strum, length / 2)
            velocity = _velocity(level, symbol, start)
            notes.append(Note(start + late, length * gate - late, pitch, velocity))
    return notes


def _bass_pitch(chord: Chord, following: Chord, symbol: str, low: int) -> int:
    def lowest(tone: int) -> int:
        return low + (tone - low) % 12

    if symbol in "ab":
        goal = lowest(following.bass)
        return goal - 1 if symbol == "b" and goal > low else goal + 1
    tones = DEGREES.get(symbol)
    if tones is None:
        return lowest(chord.bass)
    interval = next((tone for tone in tones if tone in chord.intervals), tones[0])
    return lowest(chord.root) + interval


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
    """
    notes = []
    for start, length, symbol in _cells(piece.rows(grids), piece.bar):
        index = piece.at(start)
        following = piece.chords[min(index + 1, len(piece.chords) - 1)]
        pitch = _bass_pitch(piece.chords[index], following, symbol, low)
        notes.append(Note(start, length * gate, pitch, _velocity(level, symbol, start)))
    return notes


def _kit_rows(text: str) -> dict[str, list[str]]:
    fields = (line.split() for line in text.split(";"))
    return {name: rows for name, *rows in fields}


def drums(piece: Chart, groove: str, fill: str, every: int = 4) -> list[Note]:
    """Return a groove with a fill in every ``every``-th bar, and the crash cymbal at the end.

    Parameters
    ----------
    piece : Chart
    groove, fill : str
        Lines parted by ``;``, each the name of a piece of the kit and its grid.
    every : int
        How many bars a phrase has.
    """
    play, turn = _kit_rows(groove), _kit_rows(fill)
    notes = []
    for name in sorted({"kick", "crash", *play, *turn}):
        pitch, level = KIT[name]
        rows = []
        for number in range(piece.bars - 1):
            source = turn if number % every == every - 1 else play
            choices = source.get(name, ["."])
            rows.append(choices[number % len(choices)])
        rows.append("X..." if name in ("kick", "crash") else ".")
        for start, length, symbol in _cells(rows, piece.bar):
            velocity = _velocity(level, symbol, start)
            notes.append(Note(start, min(length, 0.25), pitch, velocity))
    return notes


def line(text: str, start: float = 0.0, level: int = 84, gate: float = 0.95) -> list[Note]:
    """Return a written-out melody, its high notes a little louder than its low ones.

    Parameters
    ----------
    text : str
        Notes such as ``F#4:1.5``: name, octave and beats. ``r`` rests. Without beats a note is as
        long as the one before it. Bar lines are for the reader.
    start : float
        The beat of the first note.
    level, gate
        As for `comp`.
    """
    spans: list[tuple[float, float, int]] = []
    length = 1.0
    for token in text.replace("|", " ").split():
        name, _, beats = token.partition(":")
        length = float(beats) if beats else length
        if name != "r":
            pitch = 12 * (int(name[-1]) + 1) + PITCH_CLASSES[name[0]] + ACCIDENTALS[name[1:-1]]
            spans.append((start, length, pitch))
        start += length
    middle = sum(pitch for _, _, pitch in spans) // len(spans)
    return [
        Note(beat, length * gate, pitch, _velocity(level + pitch - middle, "", beat))
        for beat, length, pitch in spans
    ]


def harmony(notes: Sequence[Note], piece: Chart, level: int = -8) -> list[Note]:
    """Return a second voice: under each note the next chord tone at least a third below."""
    second = []
    for note in notes:
        chord = piece.chords[piece.at(note.start)]
        tones = {(chord.root + interval) % 12 for interval in chord.intervals}
        pitch = next(p for p in range(note.pitch - 3, 0, -1) if p % 12 in tones)
        second.append(Note(note.start, note.length, pitch, note.velocity + level))
    return second


def between(notes: Sequence[Note], start: float, stop: float) -> list[Note]:
    """Return the notes that start at or after ``start`` and before ``stop``."""
    return [note for note in notes if start <= note.start + 1e-6 < stop]


def ramp(number: int, *points: tuple[float, int]) -> list[Event]:
    """Return a controller's moves in straight lines through points of beat and value."""
    events = []
    for (start, low), (stop, high) in pairwise(points):
        steps = max(1, round((stop - start) * 4))
        for step in range(steps):
            value = low + (high - low) * step // steps
            beat = start + (stop - start) * step / steps
            events.append((beat, mido.Message("control_change", control=number, value=value)))
    beat, value = points[-1]
    return [*events, (beat, mido.Message("control_change", control=number, value=value))]


def swells(piece: Chart, low: int = 70, high: int = 110, bars: int = 4) -> list[Event]:
    """Return an expression controller that swells once in every phrase of ``bars`` bars."""
    phrase = piece.bar * bars
    points = [(0.0, low)]
    for number in range(-(-piece.bars // bars)):
        points += [((number + 0.6) * phrase, high), ((number + 1) * phrase, low)]
    return [event for event in ramp(11, *points) if event[0] < piece.bars * piece.bar]


def pedal(piece: Chart) -> list[Event]:
    """Return a sustain pedal pressed after each chord change and lifted before the next."""
    events = []
    for chord in piece.chords:
        for beat, value in ((0.1, 127), (chord.length - 0.05, 0)):
            message = mido.Message("control_change", control=64, value=value)
            events.append((chord.start + beat, message))
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


def _tick(beat: float, swing: bool) -> int:
    """Return the time in ticks; swing moves the off-beat to two thirds of the beat."""
    whole, part = divmod(beat + 1e-9, 1)
    if swing:
        part = part * 4 / 3 if part < 0.5 else 2 / 3 + (part - 0.5) * 2 / 3
    return round((whole + part) * PPQ)


def _played(part: Part, score: Score, rng: random.Random) -> list[tuple[int, int, Note]]:
    """Return each note with its ticks: played by a human, and never twice at once on a key."""
    played: list[tuple[int, int, Note]] = []
    cut: dict[int, int] = {}  # the latest start of each pitch, as the notes are taken backwards
    for note in sorted(part.notes, key=lambda note: (note.start, note.pitch), reverse=True):
        late = round(rng.uniform(0, score.jitter) * PPQ)
        start = _tick(note.start, score.swing) + late
        stop = max(_tick(note.start + note.length, score.swing) + late, start + PPQ // 16)
        stop = min(stop, cut.get(note.pitch, stop))
        velocity = min(127, max(1, note.velocity + rng.randint(-5, 5)))
        if stop > start:
            cut[note.pitch] = start
            played.append((start, stop, Note(note.start, note.length, note.pitch, velocity)))
    return played


def _track(timed: Iterable[tuple[int, int, mido.Message]]) -> mido.MidiTrack:
    """Return a track from messages with their tick and their rank among those of one tick."""
    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(timed, key=lambda item: item[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def _part_track(part: Part, score: Score, channel: int, rng: random.Random) -> mido.MidiTrack:
    opening = [
        mido.MetaMessage("track_name", name=part.name),
        mido.Message("program_change", program=part.program or 0, channel=channel),
        mido.Message("control_change", control=7, value=part.volume, channel=channel),
        mido.Message("control_change", control=10, value=part.pan, channel=channel),
    ]
    timed = [(0, 0, message) for message in opening]
    for beat, message in part.events:
        timed.append((_tick(beat, score.swing), 2, message.copy(channel=channel)))
    for start, stop, note in _played(part, score, rng):
        on = mido.Message("note_on", note=note.pitch, velocity=note.velocity, channel=channel)
        off = mido.Message("note_off", note=note.pitch, velocity=64, channel=channel)
        # At one tick keys are let go first, then controllers move, then keys go down.
        timed += [(start, 3, on), (stop, 1, off)]
    return _track(timed)


def save(score: Score, path: Path) -> None:
    """Write a score as a type-1 MIDI file.

    Parameters
    ----------
    score : Score
    path : pathlib.Path
        Where to; a file there is replaced. One score always gives the same bytes.
    """
    rng = random.Random(score.seed)
    midi = mido.MidiFile(type=1, ticks_per_beat=PPQ)
    upper, lower = score.meter
    conductor = [
        (0, 0, mido.MetaMessage("track_name", name=score.title)),
        (0, 1, mido.MetaMessage("time_signature", numerator=upper, denominator=lower)),
        (0, 1, mido.MetaMessage("key_signature", key=score.key)),
    ]
    for beat, bpm in score.tempos:
        message = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))
        conductor.append((_tick(beat, False), 2, message))
    midi.tracks.append(_track(conductor))
    channels = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    for part in score.parts:
        channel = DRUM_CHANNEL if part.program is None else next(channels)
        midi.tracks.append(_part_track(part, score, channel, rng))
    midi.save(path)
