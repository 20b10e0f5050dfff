"""Scores, and how they become standard MIDI files: played by humans, byte for byte the same."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mido
from stemsmith.examples.rhythm import Note

__all__ = ["Event", "Part", "Score", "save"]

PPQ: Final = 480
DRUM_CHANNEL: Final = 9

Event = tuple[float, mido.Message]  # beat and what is sent then; its channel is set when written


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
    """A piece: what the conductor's track needs, and its parts.

    Attributes
    ----------
    tempos : tuple of (float, float)
        Beats, and quarter notes a minute from there on.
    seed : int
        Of the players' small liberties.
    swing : bool
        Whether the off-beat comes at two thirds of the beat.
    jitter : float
        How many beats late a note is at most.
    """

    title: str
    key: str
    tempos: tuple[tuple[float, float], ...]
    parts: tuple[Part, ...]
    seed: int
    meter: tuple[int, int] = (4, 4)
    swing: bool = False
    jitter: float = 0.0

    def tick(self, beat: float) -> int:
        """Return the time of a beat in ticks."""
        whole, rest = divmod(beat + 1e-9, 1)
        if self.swing:
            rest = rest * 4 / 3 if rest < 0.5 else 2 / 3 + (rest - 0.5) * 2 / 3
        return round((whole + rest) * PPQ)


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
    midi.tracks.append(_conductor_track(score))
    channels = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    for part in score.parts:
        channel = DRUM_CHANNEL if part.program is None else next(channels)
        midi.tracks.append(_part_track(part, score, channel, rng))
    midi.save(path)


def _conductor_track(score: Score) -> mido.MidiTrack:
    upper, lower = score.meter
    timed = [
        (0, 0, mido.MetaMessage("track_name", name=score.title)),
        (0, 1, mido.MetaMessage("time_signature", numerator=upper, denominator=lower)),
        (0, 1, mido.MetaMessage("key_signature", key=score.key)),
    ]
    for beat, bpm in score.tempos:
        message = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))
        timed.append((score.tick(beat), 2, message))
    return _track(timed)


def _part_track(part: Part, score: Score, channel: int, rng: random.Random) -> mido.MidiTrack:
    opening = [
        mido.MetaMessage("track_name", name=part.name),
        mido.Message("program_change", program=part.program or 0, channel=channel),
        mido.Message("control_change", control=7, value=part.volume, channel=channel),
        mido.Message("control_change", control=10, value=part.pan, channel=channel),
    ]
    timed = [(0, 0, message) for message in opening]
    for beat, message in part.events:
        timed.append((score.tick(beat), 2, message.copy(channel=channel)))
    for start, stop, pitch, velocity in _played(part, score, rng):
        on = mido.Message("note_on", note=pitch, velocity=velocity, channel=channel)
        off = mido.Message("note_off", note=pitch, velocity=64, channel=channel)
        # At one tick keys are let go first, then controllers move, then keys go down.
        timed += [(start, 3, on), (stop, 1, off)]
    return _track(timed)


def _played(part: Part, score: Score, rng: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """Yield start, stop, pitch and velocity as a human plays, never twice at once on a key."""
    cut: dict[int, int] = {}  # the latest start of each pitch, as the notes are taken backwards
    for note in sorted(part.notes, key=lambda note: (note.start, note.pitch), reverse=True):
        late = round(rng.uniform(0, score.jitter) * PPQ)
        start = score.tick(note.start) + late
        stop = max(score.tick(note.start + note.length) + late, start + PPQ // 16)
        stop = min(stop, cut.get(note.pitch, stop))
        velocity = min(127, max(1, note.velocity + rng.randint(-5, 5)))
        if stop > start:
            cut[note.pitch] = start
            yield start, stop, note.pitch, velocity


def _track(timed: Iterable[tuple[int, int, mido.Message]]) -> mido.MidiTrack:
    """Return a track from messages with their tick and their rank among those of one tick."""
    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(timed, key=lambda item: item[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track
