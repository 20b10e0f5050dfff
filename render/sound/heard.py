"""Which notes of a rendered stem are to be heard.

A note is heard if its peak is above -70 dBFS and above -60 dB of the stem's within 250 ms of its
onset. Where it starts after silence the stem itself says so. In the middle of others, and for notes
that start together, it follows from what was measured of the patch (`Compass.notes_db`) and from
volume and expression at that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.render.midi.channel import (
    EXPRESSION,
    RESET_CONTROLLERS,
    VOLUME,
)
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.compass import Compass, velocity_db
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.synth import Spans

__all__ = ["SILENCE_S", "WITHIN_S", "Expected", "check_heard", "expected_levels", "heard_notes"]

SILENCE_S: Final = 0.05  # before a note, for the stem to say whether it is heard
WITHIN_S: Final = 0.25  # of its onset a note is heard
LOWEST_DBFS: Final = -70.0
RANGE_DB: Final = 60.0  # below the peak of the stem

_TOLERANCE_DB: Final = 1.0  # for the rounding of what was written

_AT_RESET: Final = {VOLUME: 100, EXPRESSION: 127}
_SYSTEM_RESETS: Final = (  # GM on and off, GM2 on, GS and XG reset, without device numbers
    (0x7E, 0x09),
    (0x41, 0x42, 0x12, 0x40, 0x00, 0x7F),
    (0x43, 0x4C, 0x00, 0x00, 0x7E),
)


class Expected(NamedTuple):
    """What can be known of the notes of a part before it is heard, two arrays (n_notes,).

    Attributes
    ----------
    onset : numpy.ndarray
        Sample at which the voice starts.
    level_db : numpy.ndarray
        Peak in dB below full scale before any gain; -inf for notes that cannot be heard. Only
        differences count for a patch whose levels are not known.
    """

    onset: Int64s
    level_db: Float64s


def expected_levels(
    onset: Int64s,
    pitch: npt.ArrayLike,
    velocity: npt.ArrayLike,
    compass: Compass | None,
    events: Sequence[Event],
    frames: Int64s,
    sample_rate: int,
    mono_from: MonoFrom | None = None,
) -> Expected:
    """Say how loud notes should be.

    Parameters
    ----------
    onset : numpy.ndarray
        (n_notes,) in samples.
    pitch, velocity : array_like
        (n_notes,) MIDI numbers as sent.
    compass : Compass or None
        What plays them; None for a patch of which nothing is known, which plays every key.
    events : sequence of Event
        All messages of the part, on one channel.
    frames : numpy.ndarray
        (n_events,) sample of each.
    sample_rate : int
        Sample rate in Hz.
    mono_from : MonoFrom or None
        What of the two channels a mono stem is; None where it has both.
    """
    if compass is None:
        return Expected(onset, np.zeros(len(onset)))
    within = round(WITHIN_S * sample_rate)
    levels = compass.notes_db(pitch, velocity, mono_from or MonoFrom.SUM)
    for controller in (VOLUME, EXPRESSION):
        values = _highest(_settings(events, frames, controller), onset, onset + within)
        with np.errstate(divide="ignore"):
            change = velocity_db(values) - velocity_db(_AT_RESET[controller])
        levels = levels + change
    return Expected(onset, levels)


def _settings(events: Sequence[Event], frames: Int64s, controller: int) -> tuple[Int64s, Int64s]:
    """Return the samples at which a controller is set, and its values; the first at the start."""
    at, values = [0], [_AT_RESET[controller]]
    for frame, (_, data) in zip(frames.tolist(), events, strict=True):
        if data[0] >> 4 == 0xB and data[1] == controller:
            value = data[2]
        elif _is_reset(data, controller):
            value = _AT_RESET[controller]
        else:
            continue
        at.append(frame)
        values.append(value)
    return np.array(at, np.int64), np.array(values, np.int64)


def _is_reset(data: bytes, controller: int) -> bool:
    """Tell what sets a controller back: resetting all controllers leaves the volume alone."""
    if data[0] >> 4 == 0xB:
        return data[1] == RESET_CONTROLLERS and controller == EXPRESSION
    if data[0] != 0xF0 or len(data) < 4:
        return False
    body = (data[1], *data[3:])  # without the device number
    return any(body[: len(reset)] == reset for reset in _SYSTEM_RESETS)


def _highest(settings: tuple[Int64s, Int64s], start: Int64s, stop: Int64s) -> Int64s:
    """Return the highest value that a controller has in each stretch of time, (n_notes,)."""
    at, values = settings
    first = np.searchsorted(at, start, side="right") - 1
    last = np.searchsorted(at, stop, side="left")
    # Of two that are set at one sample, the later one is in force there.
    return np.array(
        [values[a:b].max() for a, b in zip(first.tolist(), last.tolist(), strict=True)], np.int64
    )


def heard_notes(
    expected: Expected, audio: Float32s, spans: Spans, gain_db: float, sample_rate: int
) -> Bools:
    """Say which notes of a stem are heard.

    Parameters
    ----------
    expected : Expected
        The notes, and how loud they should be.
    audio : numpy.ndarray
        (n_channels, n_samples) the stem before `gain_db`.
    spans : list of (int, int)
        Where it may be other than zero; elsewhere it is not looked at.
    gain_db : float
        Gain with which the stem is written.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_notes,) bool.
    """
    peaks = _block_peaks(audio, spans) * np.float32(10 ** (gain_db / 20))
    floor = _floor(peaks)
    if not np.isfinite(floor):
        return np.zeros(len(expected.onset), np.bool_)
    with np.errstate(invalid="ignore"):
        below_loudest = expected.level_db - expected.level_db.max(initial=-np.inf)
    stem_db = 20 * np.log10(peaks.max())
    is_expected = (below_loudest >= -RANGE_DB) & (stem_db + below_loudest >= LOWEST_DBFS)
    is_exposed, is_there = _exposed(expected.onset, peaks, floor, sample_rate)
    is_alone = is_exposed & _alone(expected.onset, round(WITHIN_S * sample_rate))
    is_in_time = expected.onset < audio.shape[1]
    heard: Bools = np.where(is_alone, is_there, is_expected & (is_there | ~is_exposed)) & is_in_time
    return heard


def _starts_unheard(
    onset: Int64s, audio: Float32s, sample_rate: int, tolerance_db: float = 0.0
) -> Bools:
    """Return which notes start after silence and are followed by silence, (n_notes,).

    Parameters
    ----------
    onset : numpy.ndarray
        (n_notes,) in samples.
    audio : numpy.ndarray
        (n_channels, n_samples) a stem as it is written, full scale 1.
    sample_rate : int
        Sample rate in Hz.
    tolerance_db : float
        How far below the limits of `heard_notes` a peak must be to count as silence.
    """
    peaks = _block_peaks(audio, [(0, audio.shape[1])])
    floor = _floor(peaks)
    if not np.isfinite(floor):
        return np.ones(len(onset), np.bool_)
    is_exposed, is_there = _exposed(onset, peaks, floor * 10 ** (-tolerance_db / 20), sample_rate)
    unheard: Bools = is_exposed & ~is_there
    return unheard


def check_heard(path: Path, stem: Stem | RenditionStem, audio: Float32s) -> None:
    """Check the columns that say which notes of a stem are heard.

    Parameters
    ----------
    path : Path
        The file of the stem, which errors name.
    stem : Stem or RenditionStem
        Its record; one of version 0.1 says nothing.
    audio : numpy.ndarray
        (n_channels, n_samples) the stem as it is written, full scale 1.

    Raises
    ------
    InvalidCorpus
        If a column is of another length, the count is not that of the column, or a note starts and
        ends in silence without being marked.
    """
    heard, sounding = stem.note_heard, stem.note_sounding_pitch
    if any(column is not None and len(column) != stem.n_notes for column in (heard, sounding)):
        raise InvalidCorpus(f"{path}: note columns do not have {stem.n_notes} notes")
    if stem.n_notes_unheard != (None if heard is None else int((~heard).sum())):
        raise InvalidCorpus(f"{path}: {stem.n_notes_unheard} notes unheard, not as its column says")
    if heard is None:
        return
    onset = stem.note_onset.astype(np.int64)
    unmarked = _starts_unheard(onset, audio, stem.sample_rate, _TOLERANCE_DB) & heard
    if unmarked.any():
        first = int(onset[unmarked][0])
        raise InvalidCorpus(f"{path}: the note at sample {first} is not heard, and not marked")


def _floor(peaks: Float32s) -> float:
    """Return the magnitude from which on a stem is heard; infinite for silence."""
    loudest = float(peaks.max(initial=0.0))
    lowest = 10 ** (LOWEST_DBFS / 20)
    return max(lowest, loudest * 10 ** (-RANGE_DB / 20)) if loudest >= lowest else np.inf


def _block_peaks(audio: Float32s, spans: Spans) -> Float32s:
    """Return the largest magnitude of every 64 samples of any channel."""
    peaks = np.zeros(-(-audio.shape[1] // BLOCK), np.float32)
    for start, stop in spans:
        edges = np.arange(start // BLOCK * BLOCK, stop, BLOCK)
        edges[0] = start
        blocks = slice(start // BLOCK, start // BLOCK + len(edges))
        for channel in audio[:, :stop]:
            highest = np.maximum.reduceat(channel, edges)
            lowest = np.minimum.reduceat(channel, edges)
            np.maximum(peaks[blocks], np.maximum(highest, -lowest), out=peaks[blocks])
    return peaks


def _exposed(onset: Int64s, peaks: Float32s, floor: float, sample_rate: int) -> tuple[Bools, Bools]:
    """Return which notes start after silence, and which have something in the time after it."""
    is_loud = np.concatenate([[0], np.cumsum(peaks >= floor)])
    at = np.minimum(onset // BLOCK, len(peaks))
    # Whole blocks: silence of a block less, and a peak that comes a block earlier at the most.
    before = np.maximum(at - int(SILENCE_S * sample_rate) // BLOCK, 0)
    after = np.minimum(at + int(WITHIN_S * sample_rate) // BLOCK, len(peaks))
    is_exposed: Bools = is_loud[at] == is_loud[before]
    return is_exposed, is_loud[after] > is_loud[at]


def _alone(onset: Int64s, within: int) -> Bools:
    """Return which notes have no other one that starts in the time in which they are heard."""
    starts = np.sort(onset)
    first = np.searchsorted(starts, onset - within, side="right")
    last = np.searchsorted(starts, onset + within, side="left")
    alone: Bools = last - first == 1
    return alone
