"""Loudness after ITU-R BS.1770-4, by way of a 10 Hz envelope of K-weighted power.

The gating blocks of BS.1770 last 400 ms and start every 100 ms, so their powers are means of four
100 ms powers. Keeping those ten numbers a second is enough to know the integrated loudness of the
signal, of any 100 ms-aligned excerpt of it, and of either under any gain, without the audio.

K-weighting uses the exact coefficients (pyloudnorm's ``DeMan`` design, which gives the table of
BS.1770 at 48 kHz and the same analogue response at other rates). pyloudnorm's default class rounds
the corner frequencies and reads 0.04 LU lower.

Departures from the standard
----------------------------
* Mono and stereo only: the weights of left and right are 1, so that ``L = -0.691 + 10 log10(z)``
  of the sum of their powers. A mono signal reads 3 LU less than the same signal on both channels
  of a stereo file, as the standard has it.
* The filters are cleared 0.3 s after the signal has become digital silence, when what they would
  still ring is 200 dB down.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.spans import Spans, whole_if_none, with_tails

__all__ = [
    "ABSOLUTE_GATE_LUFS",
    "BLOCK_STEPS",
    "ENVELOPE_HZ",
    "Envelope",
    "envelope",
    "excerpts_when_played_at",
    "integrated_loudness",
    "k_weighting",
    "loudness_when_played_at",
    "power_of",
]

BLOCK_STEPS: Final = 4  # a gating block is 400 ms
ABSOLUTE_GATE_LUFS: Final = -70.0
_RELATIVE_GATE_LU: Final = -10.0
_OFFSET_DB: Final = -0.691  # BS.1770-4 eq. 2
# In silence a filter's state falls to numbers so small that processors take a hundred times as long
# for them. With this constant it does not; its power is zero in float32, and beside any sample that
# float32 has it is less than the last bit of float64.
_FLOOR: Final = np.float64(1e-150)
_RINGING_STEPS: Final = 3  # 0.3 s of filter ringing are kept after a sound
_FILTERED_STEPS: Final = 40  # filtered at a time, so that they stay in the cache
_MATCHING_TURNS: Final = 6
_MATCHED_LU: Final = 1e-3


@cache
def k_weighting(sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the K-weighting filter: the shelf and the high-pass of BS.1770-4, Annex 1.

    Parameters
    ----------
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (2, 6) second-order sections for `scipy.signal.sosfilt`.
    """
    import pyloudnorm  # imports scipy.signal, which takes a second

    shelf = pyloudnorm.IIRfilter(
        3.99984385397, 0.7071752369554193, 1681.9744509555319, sample_rate, "high_shelf_DeMan"
    )
    high_pass = pyloudnorm.IIRfilter(
        0.0, 0.5003270373253953, 38.13547087613982, sample_rate, "high_pass_DeMan"
    )
    return np.array([np.r_[f.b, f.a] for f in (shelf, high_pass)])


class Envelope:
    """Power of a signal per 100 ms.

    Attributes
    ----------
    k_power : numpy.ndarray
        (n_samples / sample_rate * 10,) float32 K-weighted mean square, summed over the channels.
    power : numpy.ndarray
        (n_samples / sample_rate * 10,) float32 mean square of all samples of all channels.
    k_power_mono, power_mono : numpy.ndarray
        The same two of the mean of the channels; of one channel they are `k_power` and `power`.
    peak : float
        Largest absolute sample; NaN if a sample is not finite.
    """

    __slots__ = ("k_power", "k_power_mono", "peak", "power", "power_mono")

    def __init__(self, k_powers: Float32s, powers: Float32s, peak: float) -> None:
        """Take the powers of each channel; of two, also that of their mean in the last row."""
        n_channels = max(1, len(powers) - 1)
        self.k_power: Float32s = k_powers[:n_channels].sum(axis=0)
        self.power: Float32s = powers[:n_channels].mean(axis=0)
        self.k_power_mono, self.power_mono = k_powers[-1], powers[-1]
        self.peak = peak


def envelope(audio: Float32s, sample_rate: int, spans: Spans | None = None) -> Envelope:
    """Measure a signal.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) or (n_samples,) float32, one channel or two, a whole number of
        100 ms long.
    sample_rate : int
        In Hz; a multiple of 10.
    spans : sequence of (int, int), optional
        Start and stop of the stretches that may be other than zero, in order; what lies outside
        is not looked at.

    Returns
    -------
    Envelope
        With n_samples / sample_rate * 10 steps.

    Raises
    ------
    ValueError
        If the length is not a whole number of 100 ms.
    """
    import scipy.signal  # takes a second, which processes that only plan do without

    channels = np.atleast_2d(audio)
    n_channels, n_samples = channels.shape
    step, rest = divmod(sample_rate, ENVELOPE_HZ)
    if rest or n_samples % step:
        raise ValueError(
            f"{n_samples} samples at {sample_rate} Hz are not a whole number of 100 ms"
        )
    n_steps = n_samples // step
    # Of two channels, also of their mean: filters are linear, so that it need not be filtered.
    n_rows = n_channels + (n_channels > 1)
    k_powers, powers = np.zeros((2, n_rows, n_steps), np.float32)
    # In float64: the coefficients of the high-pass do not survive float32 (0.01 LU on bass notes).
    sections = k_weighting(sample_rate)
    peak = 0.0
    for first, last in _on_steps(whole_if_none(spans, n_samples), step, n_steps):
        state = np.zeros((2, n_channels, 2))
        for start in range(first, last, _FILTERED_STEPS):
            stop = min(start + _FILTERED_STEPS, last)
            block = channels[:, start * step : stop * step]
            peak = max(peak, float(block.max()), -float(block.min()))
            raised = block + _FLOOR
            weighted, state = scipy.signal.sosfilt(sections, raised, zi=state)
            k_powers[:, start:stop] = _mean_squares(weighted, step)
            powers[:, start:stop] = _mean_squares(block, step)
        if not np.isfinite(state).all():  # one bad sample stays in a recursive filter for ever
            peak = math.nan
    return Envelope(k_powers, powers, peak)


def _mean_squares(block: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """Return the power of each channel in each step; of two, also that of their mean."""
    rows = block.reshape(len(block), -1, step)
    means: npt.NDArray[Any] = np.einsum("kij,kij->ki", rows, rows) / rows.dtype.type(step)
    if len(rows) == 1:
        return means
    left, right = rows
    products = np.einsum("ij,ij->i", left, right) / rows.dtype.type(step)
    of_mean = np.maximum(means.sum(axis=0) + 2 * products, 0) / 4
    return np.concatenate([means, of_mean[None]])


def _on_steps(spans: Spans, step: int, n_steps: int) -> list[tuple[int, int]]:
    """Widen spans to whole steps and the ringing of the filter, and join those that touch."""
    on_steps = [(start // step, -(-stop // step)) for start, stop in spans]
    widened = with_tails(on_steps, _RINGING_STEPS, n_steps)
    return [(first, last) for first, last in widened if last > first]


def integrated_loudness(k_power: npt.ArrayLike, gain_db: float = 0.0) -> float | None:
    """Return the gated loudness of BS.1770-4 (eq. 3 to 7) from an envelope.

    Parameters
    ----------
    k_power : array_like
        (n_steps,) K-weighted mean square of each 100 ms; a slice gives that excerpt's loudness.
    gain_db : float
        Gain to imagine before measuring. It counts before the gate, which is absolute.

    Returns
    -------
    float or None
        In LUFS; None where no block passes the -70 LUFS gate or the signal is shorter than one
        block of 400 ms.

    Notes
    -----
    pyloudnorm rounds the number of blocks, so that a clip of 0.46 s has two; the standard, and
    this function, count the blocks that fit (one).

    Examples
    --------
    A signal whose K-weighted mean square is 1 has -0.691 LUFS:

    >>> import numpy as np
    >>> import stemsmith
    >>> round(stemsmith.integrated_loudness(np.ones(30)), 3)
    -0.691
    """
    steps = np.atleast_2d(np.asarray(k_power, np.float64))
    return _number(_gated(steps, np.array([gain_db])))


def loudness_when_played_at(k_power: npt.ArrayLike, level_lufs: float) -> float | None:
    """Return a signal's loudness as it will be measured after it was brought to a level.

    The gate of -70 LUFS is absolute, so that raising a soft, sparse signal lets blocks through
    that were gated before: a gain of target minus loudness misses the target, by up to 1 LU. A
    gain of ``level_lufs`` minus the value returned here does not.

    Parameters
    ----------
    k_power : array_like
        (n_steps,) K-weighted mean square of each 100 ms.
    level_lufs : float
        The level it will have.

    Returns
    -------
    float or None
        In LUFS; None where `integrated_loudness` is None.
    """
    return _number(excerpts_when_played_at(np.atleast_2d(k_power), level_lufs))


def excerpts_when_played_at(k_power: npt.ArrayLike, level_lufs: float) -> Float64s:
    """Return `loudness_when_played_at` of many excerpts of one length.

    Parameters
    ----------
    k_power : array_like
        (n_excerpts, n_steps) K-weighted mean square of each 100 ms.
    level_lufs : float
        The level they will have.

    Returns
    -------
    numpy.ndarray
        (n_excerpts,) in LUFS; NaN where there is none.
    """
    steps = np.asarray(k_power, np.float64)
    loudness_lufs = _gated(steps, np.zeros(len(steps)))
    open_rows = np.flatnonzero(~np.isnan(loudness_lufs))
    for _ in range(_MATCHING_TURNS):
        reached_lufs = _gated(steps[open_rows], level_lufs - loudness_lufs[open_rows])
        is_heard = ~np.isnan(reached_lufs)  # not brought below the gate
        open_rows, reached_lufs = open_rows[is_heard], reached_lufs[is_heard]
        loudness_lufs[open_rows] += reached_lufs - level_lufs
        open_rows = open_rows[np.abs(reached_lufs - level_lufs) >= _MATCHED_LU]
        if not len(open_rows):
            break
    return loudness_lufs


def _gated(steps: npt.NDArray[Any], gain_db: Float64s) -> Float64s:
    """Return the gated loudness of each row of (n, n_steps) powers under a gain; NaN for none."""
    n_blocks = steps.shape[1] - BLOCK_STEPS + 1
    loudness_lufs = np.full(len(steps), np.nan)
    if n_blocks < 1:
        return loudness_lufs
    factor = 10 ** (gain_db / 10) / BLOCK_STEPS
    blocks = sum(steps[:, i : n_blocks + i] for i in range(BLOCK_STEPS)) * factor[:, None]
    is_over = blocks > power_of(ABSOLUTE_GATE_LUFS)
    n_over = np.maximum(is_over.sum(axis=1), 1)
    relative_gate = (blocks * is_over).sum(axis=1) / n_over * 10 ** (_RELATIVE_GATE_LU / 10)
    is_over &= blocks > relative_gate[:, None]
    n_over = is_over.sum(axis=1)
    power = (blocks * is_over).sum(axis=1)
    for row in np.flatnonzero(n_over):
        # math.log10, and rounding: NumPy's logarithm has other last bits on other processors.
        loudness_lufs[row] = round(_OFFSET_DB + 10 * math.log10(power[row] / n_over[row]), 9)
    return loudness_lufs


def _number(loudness_lufs: Float64s) -> float | None:
    return None if math.isnan(loudness_lufs[0]) else float(loudness_lufs[0])


def power_of(loudness_lufs: float) -> float:
    """Return the K-weighted mean square that a loudness is of."""
    return float(10 ** ((loudness_lufs - _OFFSET_DB) / 10))
