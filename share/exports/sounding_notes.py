"""Notes of a stem as they sound, with pedals and bends, for transcription.

Times are those of the audio: a note begins where the synthesiser starts the voice, and ends where
it is told to end, pedals included. Notes that are not to be heard are left out. MIDI can hold one
note of a pitch at a time: where a pitch is struck again while it sounds, the first note ends there,
as MAESTRO's readers have it when they apply the pedal. What is struck twice within a millisecond is
one note.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import mido
from stemsmith.manifests.corpus import Track, TrackStem
from stemsmith.manifests.programs import DRUMS
from stemsmith.render.midi.channel import (
    DATA_LSB,
    DATA_MSB,
    NRPN,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
    SOSTENUTO,
    SUSTAIN,
)

__all__ = ["Control", "SoundingNote", "controls_of", "midi_of", "notes_of"]

_BEATS_PER_S: Final = 2  # 120 quarter notes a minute
_TICKS_PER_BEAT: Final = 2400  # a tick is about 0.2 ms
_MOST_TICKS: Final = 10_000_000  # pretty_midi, MAX_TICK: it refuses longer files
_LEAST_BETWEEN_S: Final = 0.001  # of strikes of one pitch, so that they do not share a tick
_DRUM_CHANNEL: Final = 9
_CHANNELS: Final = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)
_CENTRE: Final = 8192
_USUAL_RANGE: Final = 2.0  # semitones; of a pitch wheel of which nothing else is said
_PEDALS: Final = {SUSTAIN: "sustain", SOSTENUTO: "sostenuto"}


@dataclass(frozen=True, slots=True)
class SoundingNote:
    """A note as it sounds.

    Attributes
    ----------
    onset_s, offset_s : float
        Begin and end in seconds of the audio.
    key_offset_s : float
        When the key is released, which is before `offset_s` where a pedal holds the note.
    pitch : int
        MIDI number nearest to the pitch that sounds.
    sounding_pitch : float
        That pitch, with fractions; the key where nobody measured it. Bends are not in it.
    velocity : int
        MIDI velocity, 1 to 127.
    """

    onset_s: float
    offset_s: float
    key_offset_s: float
    pitch: int
    sounding_pitch: float
    velocity: int


@dataclass(frozen=True, slots=True)
class Control:
    """A pedal or a pitch wheel that moves.

    Attributes
    ----------
    time_s : float
        When, in seconds of the audio.
    kind : str
        ``sustain``, ``sostenuto`` or ``bend``.
    value : float
        0 to 127 of a pedal, which is down from 64 on; semitones of a bend.
    """

    time_s: float
    kind: str
    value: float


def notes_of(stem: TrackStem) -> list[SoundingNote]:
    """Return the notes of a stem that are to be heard, by onset and pitch.

    Parameters
    ----------
    stem : TrackStem
        A stem of a song or of a rendition.
    """
    rate, end = stem.sample_rate, stem.record.n_samples
    found: dict[tuple[int, int], SoundingNote] = {}
    for row in stem.notes.to_pylist():
        onset, key_offset = row["onset"], row["offset"]
        if row["is_heard"] is False or onset >= end:
            continue
        offset = key_offset if row["sounding_offset"] is None else row["sounding_offset"]
        sounding = row["pitch"] if row["sounding_pitch"] is None else row["sounding_pitch"]
        note = SoundingNote(
            onset_s=onset / rate,
            offset_s=min(max(offset, onset + 1), end) / rate,
            key_offset_s=min(max(key_offset, onset + 1), end) / rate,
            pitch=min(max(round(sounding), 0), 127),
            sounding_pitch=float(sounding),
            velocity=max(row["velocity"], 1),  # 0 would end a note
        )
        same = found.get((onset, note.pitch))
        if same is None or same.offset_s < note.offset_s:
            found[onset, note.pitch] = note
    return _one_at_a_time([found[key] for key in sorted(found)])


def _one_at_a_time(notes: list[SoundingNote]) -> list[SoundingNote]:
    """End notes where their pitch is struck again."""
    next_onset_s: dict[int, float] = {}
    kept = []
    for note in reversed(notes):
        again_s = next_onset_s.get(note.pitch, math.inf)
        if again_s - note.onset_s < _LEAST_BETWEEN_S:
            continue
        end_s = min(note.offset_s, again_s)
        key_end_s = min(note.key_offset_s, end_s)
        next_onset_s[note.pitch] = note.onset_s
        kept.append(
            SoundingNote(
                note.onset_s, end_s, key_end_s, note.pitch, note.sounding_pitch, note.velocity
            )
        )
    return kept[::-1]


def controls_of(stem: TrackStem, data: bytes) -> list[Control]:
    """Return how the pedals and the pitch wheel of a stem move, in order of time.

    Parameters
    ----------
    stem : TrackStem
        A stem of a song or of a rendition.
    data : bytes
        Content of its MIDI file.

    Raises
    ------
    ValueError, OSError, EOFError, KeyError, IndexError
        Whatever mido raises of a file that is none.
    """
    length_s = stem.record.n_samples / stem.sample_rate
    shift_s = stem.shift / stem.sample_rate
    controls = [
        Control((control.time_s + shift_s) % length_s, control.kind, control.value)
        for control in _controls(data)
        if control.time_s < length_s
    ]
    return sorted(controls, key=lambda control: control.time_s)


def _controls(data: bytes) -> Iterator[Control]:
    time_s, parameter, width, wheel = 0.0, [127, 127], [2, 0], 0
    for message in mido.MidiFile(file=io.BytesIO(data)):
        time_s += message.time
        if message.type == "pitchwheel":
            wheel = message.pitch
            yield Control(time_s, "bend", _semitones(wheel, width))
        elif message.type != "control_change":
            continue
        elif message.control in _PEDALS:
            yield Control(time_s, _PEDALS[message.control], float(message.value))
        elif message.control in (RPN_LSB, RPN_MSB):
            parameter[message.control == RPN_MSB] = message.value
        elif message.control in NRPN:
            parameter = [127, 127]
        elif message.control in (DATA_MSB, DATA_LSB) and parameter == [0, 0]:
            width[message.control == DATA_LSB] = message.value
            if wheel:
                yield Control(time_s, "bend", _semitones(wheel, width))
        elif message.control == RESET_CONTROLLERS:
            yield from (Control(time_s, kind, 0.0) for kind in (*_PEDALS.values(), "bend"))
            wheel = 0


def _semitones(wheel: int, width: list[int]) -> float:
    return round(wheel / _CENTRE * (width[0] + width[1] / 100), 4)


def midi_of(track: Track, notes: dict[str, list[SoundingNote]]) -> bytes:
    """Return notes as a MIDI file in the time of the audio: a track a stem.

    It has no pedals: the ends of notes have them already.

    Parameters
    ----------
    track : Track
        Song that the notes are of.
    notes : dict of str to list of SoundingNote
        Notes of those stems that are wanted, by their names.
    """
    length_s = track.record.n_samples / track.sample_rate
    per_beat = min(_TICKS_PER_BEAT, int(_MOST_TICKS / (_BEATS_PER_S * length_s + 1)))
    file = mido.MidiFile(ticks_per_beat=per_beat)
    tempo = mido.MetaMessage("set_tempo", tempo=1_000_000 // _BEATS_PER_S)
    file.tracks.append(mido.MidiTrack([tempo]))
    for number, (name, played) in enumerate(notes.items()):
        record = track.stems[name].record
        is_drum = record.program == DRUMS
        channel = _DRUM_CHANNEL if is_drum else _CHANNELS[number % len(_CHANNELS)]
        title = mido.MetaMessage("track_name", name=f"{name} {record.inst_class}")
        program = 0 if is_drum else record.program
        first = mido.Message("program_change", channel=channel, program=program)
        events = _events(played, channel, per_beat * _BEATS_PER_S)
        file.tracks.append(mido.MidiTrack([title, first, *events]))
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def _events(notes: list[SoundingNote], channel: int, ticks_per_s: int) -> Iterator[mido.Message]:
    """Yield the messages of notes; of those at one time, ends come before beginnings."""
    timed: list[tuple[int, int, int, int]] = []
    for note in notes:
        start = round(note.onset_s * ticks_per_s)
        stop = max(round(note.offset_s * ticks_per_s), start + 1)
        timed.append((start, 1, note.pitch, note.velocity))
        timed.append((stop, 0, note.pitch, 0))
    now = 0
    for tick, _, pitch, velocity in sorted(timed):
        yield mido.Message(
            "note_on", channel=channel, note=pitch, velocity=velocity, time=tick - now
        )
        now = tick
