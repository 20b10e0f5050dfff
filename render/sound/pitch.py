"""The pitch of a recorded or synthesised note, against the one its key names.

The period is found as in YIN (de Cheveigne and Kawahara, "YIN, a fundamental frequency estimator
for speech and music", JASA 111(4), 2002): where the note differs least from itself, shifted.
Departure: the difference is divided by the energy of both stretches instead of by its cumulative
mean, so that 1 is noise at any lag; and the octave is settled in the spectrum, where a period that
is a multiple of the real one leaves harmonics empty. Bells and the like have partials that are no
harmonics; where their common period is no octave of the key, the strongest partial is heard.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s, Float64s

__all__ = ["UNSTABLE", "Pitch", "find_pitch", "hertz"]

# A note that differs from its next period by more of its energy has no pitch to be judged.
UNSTABLE: Final = 0.15
_OCTAVES: Final = 2.2  # how far from the key the period is sought
_MARGIN: Final = 0.015  # a shorter period may fit so much less well, and half as well again
_EMPTY: Final = 0.006  # share of the energy below which harmonics are not there
_ABSENT: Final = 0.0005  # the same where they would make the pitch that of the key
_BUZZ: Final = 0.2  # share of the energy that a pitch below the key has at least
_SMALLEST_PERIOD: Final = 2.0  # samples
_CLOSE_CENTS: Final = 30.0
_NOTHING: Final = 1e-9  # a magnitude that rounding makes


class Pitch(NamedTuple):
    """What was found.

    Attributes
    ----------
    cents : float
        Deviation from the expected frequency, at most 2.2 octaves; NaN without any period.
    aperiodicity : float
        Share of the energy that does not repeat, 0 for a periodic note and about 1 for noise.
    """

    cents: float
    aperiodicity: float


def hertz(key: float) -> float:
    """Return the frequency that a MIDI number names, 440 Hz for 69."""
    return 440.0 * float(2.0 ** ((key - 69) / 12))


def find_pitch(audio: Float32s, sample_rate: int, expected_hz: float) -> Pitch:
    """Find the fundamental frequency of a note.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) one note, its attack left out; five of its periods at least.
    sample_rate : int
        Sample rate in Hz.
    expected_hz : float
        Frequency that the note should have.

    Returns
    -------
    Pitch
        Its deviation, to about 3 cents where the note is stable; to 6 where a period has fewer than
        14 samples.
    """
    period = sample_rate / expected_hz
    longest = int(min(period * 2**_OCTAVES, 0.6 * len(audio)))
    shortest = max(2, int(period / 2**_OCTAVES))
    note = audio - audio.mean(dtype=np.float64)
    if float(np.abs(note).max()) < _NOTHING:
        return Pitch(math.nan, 1.0)
    differences = _differences(note, longest)
    lags = np.arange(shortest, longest)
    dips = lags[
        (differences[lags] <= differences[lags - 1]) & (differences[lags] <= differences[lags + 1])
    ]
    if not len(dips):
        return Pitch(math.nan, 1.0)
    best = float(differences[dips].min())
    lag = int(dips[differences[dips] <= 1.5 * best + _MARGIN][0])
    found = _refined(differences, lag)
    power = _power(note)
    found /= _times_too_long(power, found, shortest)
    found *= _doubted(power, found, period)
    cents = 1200 * math.log2(period / found)
    if abs(_from_octave(cents)) > _CLOSE_CENTS:
        loudest = 1200 * math.log2(_loudest(power) * period)
        if abs(_from_octave(loudest)) <= _CLOSE_CENTS and abs(loudest) < 1200 * _OCTAVES:
            cents = loudest
    return Pitch(cents, float(differences[lag]))


def _from_octave(cents: float) -> float:
    """Return the deviation from the nearest octave, -600 to 600."""
    return (cents + 600) % 1200 - 600


def _power(audio: Float64s) -> Float64s:
    """Return the power spectrum, with zeros up to a power of two samples."""
    size = 1 << (len(audio) - 1).bit_length()
    power: Float64s = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), size)) ** 2
    return power


def _loudest(power: Float64s) -> float:
    """Return the frequency of the strongest partial, in cycles a sample."""
    peak = int(power[2:-1].argmax()) + 2
    before, here, after = np.log(power[peak - 1 : peak + 2] + 1e-30)
    curvature = before - 2 * here + after
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return (peak + min(max(float(shift), -0.5), 0.5)) / (2 * (len(power) - 1))


def _differences(audio: Float64s, longest: int) -> Float64s:
    """Return how much a note differs from itself at each lag, (longest + 1,), 0 to about 1."""
    width = len(audio) - longest
    size = 1 << (len(audio) + width).bit_length()
    spectra = np.fft.rfft(audio, size), np.fft.rfft(audio[:width], size)
    products = np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(audio**2)])
    moved = energy[width : width + longest + 1] - energy[: longest + 1]
    both = moved + moved[0]
    differences: Float64s = (both - 2 * products) / np.maximum(both, 1e-30)
    return differences


def _refined(differences: Float64s, lag: int) -> float:
    """Return the period in fractions of a sample, from the dips at its multiples."""
    period, times = _lowest_point(differences, lag), 1
    while 2 * times * period < len(differences) - 2 and times < 16:
        times *= 2
        near = round(times * period)
        reach = max(1, round(0.1 * period))
        around = np.arange(near - reach, min(near + reach + 1, len(differences) - 1))
        dip = int(around[differences[around].argmin()])
        if dip in (around[0], around[-1]) or differences[dip] > differences[lag] + 0.2:
            break  # the note does not hold its pitch for so long
        period = _lowest_point(differences, dip) / times
    return period


def _lowest_point(differences: Float64s, lag: int) -> float:
    """Return the minimum of the parabola through a dip and its neighbours."""
    before, here, after = (float(d) for d in differences[lag - 1 : lag + 2])
    curvature = before - 2 * here + after
    return lag + 0.5 * (before - after) / curvature if curvature > 0 else float(lag)


def _times_too_long(power: Float64s, period: float, shortest: int) -> int:
    """Return how many real periods a period is: 1, unless harmonics of it are empty."""
    for times in (8, 6, 5, 4, 3, 2):
        is_possible = period / times >= max(shortest, _SMALLEST_PERIOD)
        if is_possible and _share_between(power, period, times) < _EMPTY:
            return times
    return 1


def _doubted(power: Float64s, period: float, expected: float) -> float:
    """Return what to multiply a period with that is some octaves, or twelfths, off.

    A buzz repeats at a multiple of the period, and an even harmonic may be far stronger than the
    fundamental: the key is believed as long as the spectrum allows it.
    """
    for times in (2, 3, 4):
        if abs(1200 * math.log2(period / (times * expected))) < _CLOSE_CENTS:
            return 1 / times if _share_between(power, period, times) < _BUZZ else 1.0
        if abs(1200 * math.log2(times * period / expected)) < _CLOSE_CENTS:
            return times if _share_between(power, times * period, times) > _ABSENT else 1.0
    return 1.0


def _share_between(power: Float64s, period: float, times: int) -> float:
    """Return the share of energy in the harmonics that a period of 1 / `times` would not have."""
    spacing = 2 * (len(power) - 1) / period  # of the harmonics, in bins
    numbers = np.arange(1, int((len(power) - 3) / spacing) + 1)
    centres = np.rint(numbers * spacing).astype(np.int64)
    energies = power[np.clip(centres + np.arange(-2, 3)[:, None], 0, len(power) - 1)].sum(axis=0)
    total = float(energies.sum())
    return float(energies[numbers % times != 0].sum()) / total if total else 0.0
