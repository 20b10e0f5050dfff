"""Checks that need no score, or hardly one: clipping, DC, dropouts and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int64s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit.blocks import BlockLevels
from stemsmith.render.audit.stem_notes import StemNotes

__all__ = ["clipping", "dc_offset", "dropouts", "runs", "white_noise"]

_STEP: Final = 1 / 32768  # of 16 bits
_FEWEST_CLIPPED: Final = 20
_CLIPPED_SHARE: Final = 1e-4
_PILE_UP: Final = 5.0  # samples at the extreme against those one step below it
_DC_OF_PEAK: Final = 0.005
_DC_STEP_S: Final = 0.1
_DC_QUIETEST: Final = 0.05  # of all steps
_SHORTEST_DROPOUT_S: Final = 0.0025
_LONGEST_DROPOUT_S: Final = 0.2
_DROPOUT_EDGE: Final = 10 ** (-68 / 20)  # of the stem's peak, on both sides
_SMALLEST_EDGE: Final = 8 * _STEP
_N_FRAMES: Final = 256
_FRAME: Final = 1024
_BANDS_FROM_HZ: Final = 1500.0
_N_BANDS: Final = 12
_FLOOR_QUANTILE: Final = 0.2  # of an exponential distribution it lies at 0.223 of the mean
_NOISE_DB: Final = -45.0


def runs(mask: Bools) -> tuple[Int64s, Int64s]:
    """Return first and last-plus-one index of each run of True, two arrays of (n_runs,)."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def clipping(audio: Float32s, levels: BlockLevels) -> Iterator[Defect]:
    """Find samples that pile up at the highest or the lowest value of a stem."""
    n_sounding = int(np.count_nonzero(levels.peak)) * levels.size
    where, n_clipped = [], 0
    for extremes, sign in ((levels.highest, 1), (-levels.lowest, -1)):
        top = float(extremes.max(initial=0.0))
        if top < 64 * _STEP:
            continue
        blocks = np.flatnonzero(extremes > top - 4 * _STEP)
        rows = sign * audio[: len(extremes) * levels.size].reshape(-1, levels.size)[blocks]
        is_top = rows > top - _STEP / 2
        n_top = int(is_top.sum())
        n_next = int((rows > top - 3.5 * _STEP).sum()) - n_top
        n_pairs = int((is_top[:, 1:] & is_top[:, :-1]).sum())
        if n_top >= _FEWEST_CLIPPED and n_pairs >= n_top / 4 and n_top > _PILE_UP * n_next / 3:
            n_clipped += n_top
            where.append(blocks[is_top.any(axis=1)])
    if n_clipped > _CLIPPED_SHARE * n_sounding:
        first, last = min(w[0] for w in where), max(w[-1] for w in where)
        share = n_clipped / n_sounding
        start, end = int(first) * levels.size, (int(last) + 1) * levels.size
        yield Defect(DefectKind.CLIPPING, start, end, share)


def dc_offset(levels: BlockLevels, sample_rate: int) -> Iterator[Defect]:
    """Find a constant that was added to the whole of a stem.

    It is looked for where the stem is quietest: recorded notes may have some DC of their own, which
    is gone when they are.
    """
    n_step = max(1, round(_DC_STEP_S * sample_rate / levels.size))
    n_steps = len(levels.mean) // n_step
    peak = float(levels.peak.max(initial=0.0))
    if not n_steps or not peak:
        return

    def steps(values: Float32s) -> Float32s:
        return values[: n_steps * n_step].reshape(n_steps, n_step)

    means = steps(levels.mean).mean(axis=1)
    extents = steps(levels.highest).max(axis=1) - steps(levels.lowest).min(axis=1)
    quietest = np.argsort(extents, kind="stable")[: max(1, int(_DC_QUIETEST * n_steps))]
    offset = float(np.median(means[quietest]))
    if abs(offset) > _DC_OF_PEAK * peak and float(np.median(extents[quietest])) < abs(offset):
        yield Defect(DefectKind.DC_OFFSET, 0, len(levels.mean) * levels.size, offset)


def dropouts(
    levels: BlockLevels,
    notes: StemNotes,
    sample_rate: int,
    is_promised: Callable[[int, int], bool] | None = None,
) -> Iterator[Defect]:
    """Find constant samples within a sound, where there must be sound.

    That is where no note begins and no controller moves, or where a function of the first sample
    and the one behind the last says so.
    """
    n_blocks = len(levels.peak)
    starts, stops = runs(levels.highest == levels.lowest)
    length = stops - starts
    shortest = max(2, round(_SHORTEST_DROPOUT_S * sample_rate / levels.size) - 1)
    longest = round(_LONGEST_DROPOUT_S * sample_rate / levels.size)
    kept = (length >= shortest) & (length <= longest) & (starts > 1) & (stops < n_blocks - 1)
    starts, stops = starts[kept], stops[kept]
    least = max(_DROPOUT_EDGE * float(levels.peak.max(initial=0.0)), _SMALLEST_EDGE)
    before = np.maximum(levels.peak[starts - 2], levels.peak[starts - 1])
    after = np.maximum(levels.peak[stops], levels.peak[stops + 1])
    is_cut = (before > least) & (after > least)
    events = np.sort(np.concatenate([notes.onset, notes.changes]))

    def is_undisturbed(first: int, last: int) -> bool:
        later = last + levels.size
        return bool(np.searchsorted(events, first) == np.searchsorted(events, later, side="right"))

    for start, stop in zip(starts[is_cut].tolist(), stops[is_cut].tolist(), strict=True):
        first, last = start * levels.size, stop * levels.size
        if is_undisturbed(first, last) or (is_promised and is_promised(first, last)):
            size_ms = 1000 * (stop - start) * levels.size / sample_rate
            yield Defect(DefectKind.DROPOUT, start * levels.size, stop * levels.size, size_ms)


def white_noise(audio: Float32s, sample_rate: int, levels: BlockLevels) -> Iterator[Defect]:
    """Find noise that is there at all times and in all bands.

    The quietest fifth of the frames shows it in each bin, since music leaves some bands empty at
    some times: where even the emptiest band has a floor, it is noise.
    """
    floor_db = noise_db(audio, sample_rate, levels)
    if floor_db > _NOISE_DB:
        yield Defect(DefectKind.WHITE_NOISE, 0, len(audio), floor_db)


def noise_db(audio: Float32s, sample_rate: int, levels: BlockLevels) -> float:
    """Return the power of the white noise that a stem may hold, in dB against the stem's."""
    import scipy.fft

    sounding = np.flatnonzero(levels.peak)
    if len(sounding) * levels.size < 4 * _FRAME:
        return -math.inf
    first, last = int(sounding[0]) * levels.size, (int(sounding[-1]) + 1) * levels.size
    starts = np.linspace(first, last - _FRAME, _N_FRAMES).astype(np.int64)
    frames = audio[starts[:, None] + np.arange(_FRAME)] * np.hanning(_FRAME).astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames, axis=1)) ** 2
    floor = np.quantile(power, _FLOOR_QUANTILE, axis=0) / -math.log(1 - _FLOOR_QUANTILE)
    lowest = round(_BANDS_FROM_HZ * _FRAME / sample_rate)
    bands: list[Float64s] = np.array_split(floor[lowest : int(0.95 * len(floor))], _N_BANDS)
    least = min(float(np.median(band)) for band in bands)
    whole = float(power.mean())
    return 10 * math.log10(least / whole) if least > 0 and whole > 0 else -math.inf
