"""The notes of a part in sounding time, as other tools read them: MIDI and the text of Bach10.

Stems name the notes by the samples at which FluidSynth acts on them, multiples of 64. Their MIDI
files have one tick for every 64 samples, so that no time is rounded again.

Reference of the text: the aligned scores of Bach10 and of the data sets of Miron et al. 2017
(section 4.1), one ``onset_s,offset_s,NOTE`` a line.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s, Int64s, UInt8s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import DRUMS
from stemsmith.render.midi.note_names import name_of_pitch, pitch_of
from stemsmith.render.midi.smf import META, Event
from stemsmith.render.midi.smf_writer import serialise
from stemsmith.render.midi.streams import TEMPO

__all__ = [
    "BLOCK",
    "AlignedNotes",
    "end_at_next_strike",
    "read_aligned_text",
    "sounding_midi",
    "write_aligned_text",
]

# FluidSynth acts on events at multiples of so many samples (FLUID_BUFSIZE).
BLOCK: Final = 64

_TEMPO_US: Final = 640_000  # makes one tick 64 samples with sample_rate / 100 ticks a quarter
_MOST_TICKS: Final = 0x7FFF
_LONGEST_TEMPO_US: Final = 0xFFFFFF
_TRACK_NAME: Final = 0x03
_DRUM_CHANNEL: Final = 9

_SECONDS: Final = re.compile(r"\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def sounding_midi(
    onset: npt.ArrayLike,
    offset: npt.ArrayLike,
    pitch: npt.ArrayLike,
    velocity: npt.ArrayLike,
    program: int,
    is_drum: bool,
    name: str,
    sample_rate: int,
) -> bytes:
    """Write the notes of a part as a MIDI file in sounding time.

    Parameters
    ----------
    onset, offset : array_like
        (n_notes,) in samples, in any order. A tick is 64 samples: multiples of 64 are kept to the
        sample, others (the end of a stem) are rounded.
    pitch, velocity : array_like
        (n_notes,) MIDI numbers, velocities at least 1.
    program : int
        0-based General MIDI program; of drums the kit, or 128 for the standard kit.
    is_drum : bool
        Whether the part goes on channel 10.
    name : str
        Name of the track.
    sample_rate : int
        In Hz, 1000 to 200,000.

    Returns
    -------
    bytes
        A format 1 file of two tracks (tempo, part). Where the sample rate is a multiple of 100,
        and for other usual rates such as 11,025 Hz, times are exact; else they run fast or slow by
        less than 4e-8 from 8000 Hz on (0.15 ms in an hour).

        Every note lasts one tick at least. A channel has one note of a pitch at a time: a note
        ends when the next one of its pitch begins, and those that begin together end together.

    Raises
    ------
    ValueError
        If the arrays differ in length, or a number is out of its range.
    """
    onset, offset = np.asarray(onset, np.int64), np.asarray(offset, np.int64)
    pitch, velocity = np.asarray(pitch, np.int64), np.asarray(velocity, np.int64)
    program = 0 if is_drum and program == DRUMS else program
    _check(onset, offset, pitch, velocity, program)
    ticks_per_quarter, tempo_us = _resolution(sample_rate)
    channel = _DRUM_CHANNEL if is_drum else 0
    tempo = Event(0, bytes((META, TEMPO)) + tempo_us.to_bytes(3, "big"))
    head = [
        Event(0, bytes((META, _TRACK_NAME)) + _encoded(name)),
        Event(0, bytes((0xC0 | channel, program))),
    ]
    start, end = _ticks(onset, offset, pitch)
    ons = [
        (tick, 1, Event(tick, bytes((0x90 | channel, key, force))))
        for tick, key, force in zip(start.tolist(), pitch.tolist(), velocity.tolist(), strict=True)
    ]
    offs = [
        (tick, 0, Event(tick, bytes((0x80 | channel, key, 0))))
        for tick, key in zip(end.tolist(), pitch.tolist(), strict=True)
    ]
    # Ends come first: a key that is struck again at once would be released at once.
    notes = [event for _, _, event in sorted(offs + ons)]
    return serialise(ticks_per_quarter, [[tempo], head + notes])


def _encoded(name: str) -> bytes:
    """Return a name in Latin-1, for which readers take it; in UTF-8 if that lacks a letter."""
    try:
        return name.encode("latin-1")
    except UnicodeEncodeError:
        return name.encode("utf-8", "replace")


def _check(onset: Int64s, offset: Int64s, pitch: Int64s, velocity: Int64s, program: int) -> None:
    if onset.ndim != 1 or not onset.shape == offset.shape == pitch.shape == velocity.shape:
        raise ValueError("onset, offset, pitch and velocity are not of one length")
    if (onset < 0).any() or (offset < onset).any():
        raise ValueError("a note begins before 0 or ends before it begins")
    if (pitch < 0).any() or (pitch > 127).any() or (velocity < 1).any() or (velocity > 127).any():
        raise ValueError("pitches are from 0 to 127, velocities from 1 to 127")
    if not 0 <= program <= 127:
        raise ValueError(f"program {program} is not from 0 to 127")


def _resolution(sample_rate: int) -> tuple[int, int]:
    """Return ticks per quarter note and a tempo in us that make a tick 64 samples.

    Their ratio is 64e6 / sample_rate, or the nearest that a file can hold. Of equal ratios the one
    with a tempo near 0.64 s is taken, which every player knows how to show.
    """
    if not 1000 <= sample_rate <= 200_000:
        raise ValueError(f"a sample rate of {sample_rate} Hz is not from 1000 to 200,000 Hz")
    ratio = Fraction(BLOCK * 1_000_000, sample_rate)
    nearest = ratio.limit_denominator(min(_MOST_TICKS, math.floor(_LONGEST_TEMPO_US / ratio)))
    times = max(1, round(_TEMPO_US / nearest.numerator))
    return nearest.denominator * times, nearest.numerator * times


def _ticks(onset: Int64s, offset: Int64s, pitch: Int64s) -> tuple[Int64s, Int64s]:
    """Return the ticks at which notes begin and end; see `sounding_midi`."""
    start, end = ((frames + BLOCK // 2) // BLOCK for frames in (onset, offset))
    return start, end_at_next_strike(start, end, pitch, shortest=1)


def end_at_next_strike(
    onset: Int64s, offset: Int64s, pitch: npt.ArrayLike, shortest: int
) -> Int64s:
    """End notes where their key is struck again: a key sounds once at a time.

    Strikes of one key at one moment are one voice: they end together, at the last one's end.

    Parameters
    ----------
    onset, offset : numpy.ndarray
        (n_notes,) beginnings and ends in any unit of time, in any order.
    pitch : array_like
        (n_notes,) MIDI numbers of the keys that are struck.
    shortest : int
        Least length of a note, in the same unit, where its key is not struck again before.

    Returns
    -------
    numpy.ndarray
        (n_notes,) ends.
    """
    offset, keys = np.maximum(offset, onset + shortest), np.asarray(pitch)
    for key in np.unique(keys):
        (strikes,) = np.nonzero(keys == key)
        moments, group = np.unique(onset[strikes], return_inverse=True)
        ends = np.zeros_like(moments)
        np.maximum.at(ends, group, offset[strikes])
        ends[:-1] = np.minimum(ends[:-1], moments[1:])
        offset[strikes] = ends[group]
    return offset


class AlignedNotes(NamedTuple):
    """Notes of an aligned score; three arrays of shape (n_notes,).

    `onset_s` and `offset_s` are in seconds, `pitch` is a MIDI number, middle C 60.
    """

    onset_s: Float64s
    offset_s: Float64s
    pitch: UInt8s


def read_aligned_text(path: Path) -> AlignedNotes:
    """Read a score as Bach10 has it: ``6.1600,6.7000,F4#``.

    Parameters
    ----------
    path : Path
        A text with one note a line: onset and offset in seconds and the note, with commas or
        spaces between. The accidental follows the octave or comes before it; middle C is C4, and
        MIDI numbers are read as well. From ``!`` on a line is a comment.

    Returns
    -------
    AlignedNotes
        In order of the file; none, if it has none.

    Raises
    ------
    UsageError
        Naming the file, and the line that is anything else.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    notes = []
    for number, line in enumerate(lines, 1):
        content = line.partition("!")[0].strip()
        if not content:
            continue
        try:
            notes.append(_note_of(content))
        except ValueError as error:
            raise UsageError(f"{path}: line {number}: {error}") from None
    onset_s, offset_s, pitch = zip(*notes, strict=True) if notes else ((), (), ())
    return AlignedNotes(
        np.array(onset_s, np.float64), np.array(offset_s, np.float64), np.array(pitch, np.uint8)
    )


def _note_of(content: str) -> tuple[float, float, int]:
    fields = re.split(r"\s*,\s*|\s+", content)
    if len(fields) != 3:
        raise ValueError(f"{content!r} is not onset,offset,note")
    onset_s, offset_s = map(_seconds_of, fields[:2])
    if offset_s < onset_s:
        raise ValueError(f"the note ends at {offset_s:g} s, before it begins at {onset_s:g} s")
    if (pitch := pitch_of(fields[2])) is None:
        raise ValueError(f"{fields[2]!r} is not a note; notes are like F4#, B3b or 66")
    return onset_s, offset_s, pitch


def _seconds_of(text: str) -> float:
    if not _SECONDS.fullmatch(text) or math.isinf(float(text)):
        raise ValueError(f"{text!r} is not a time in seconds, 0 or later")
    return float(text)


def write_aligned_text(
    onset_s: npt.ArrayLike, offset_s: npt.ArrayLike, pitch: npt.ArrayLike
) -> str:
    """Write notes as Bach10 has them, one ``6.1600,6.7000,F4#`` a line.

    Parameters
    ----------
    onset_s, offset_s : array_like
        (n_notes,) in seconds; written with four decimals, so that 0.05 ms are lost at most.
    pitch : array_like
        (n_notes,) MIDI numbers; spelled with sharps, the accidental after the octave.

    Returns
    -------
    str
        What `read_aligned_text` reads, in the given order.

    Raises
    ------
    ValueError
        If it could not read it: different lengths, times that are no times, pitches beyond 127.
    """
    starts, ends = np.asarray(onset_s, np.float64), np.asarray(offset_s, np.float64)
    keys = np.asarray(pitch, np.int64)
    if not starts.shape == ends.shape == keys.shape:
        raise ValueError("onset, offset and pitch are not of one length")
    if not ((starts >= 0) & (ends >= starts) & np.isfinite(ends)).all():
        raise ValueError("a note begins before 0, ends before it begins, or never")
    if ((keys < 0) | (keys > 127)).any():
        raise ValueError("pitches are from 0 to 127")
    return "".join(
        f"{start:.4f},{end:.4f},{name_of_pitch(key)}\n"
        for start, end, key in zip(starts.tolist(), ends.tolist(), keys.tolist(), strict=True)
    )
