"""Automatic equalisation: each stem gets the filter with which stems mask each other least.

Masked is what lies in a band where another stem is more than 6 dB louder at that moment. Hafezi &
Reiss (2015, "Autonomous multitrack equalization based on masking reduction", JAES 63) cut maskers
in bands that matter little to them and much to others, after rules; here the same is found by
descending the gradient of the masked share, averaged over stems, with gains of third octaves that
are bounded and cost something. Levels do not take part: a gain that a filter has on the whole of a
stem is taken off again, as loudness counts it.

Nothing is drawn. Gains are rounded to 0.1 dB, so that the last bits of logarithms, which differ
between processors, do not reach the audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.mixing.level.spans import Spans
from stemsmith.mixing.production.parameters import Parameters
from stemsmith.mixing.production.room import convolve

__all__ = [
    "BANDS_HZ",
    "Equaliser",
    "apply_equaliser",
    "band_energies",
    "least_masking",
    "masked_shares",
    "n_taps",
]

BANDS_HZ: Final = tuple(50 * 2 ** (k / 3) for k in range(27))  # third octaves, up to 20 kHz
_FRAME_S: Final = 0.0925
_FRAMES_HZ: Final = 3
_MASKED_DB: Final = 6.0
_LEAST_DB: Final = -6.0
_GREATEST_DB: Final = 4.0
_SOFTNESS_DB: Final = 2.0  # of the threshold, for a gradient to be there
_COST_PER_DB2: Final = 0.002  # in masked shares, of the mean square of a stem's gains
_TURNS: Final = 80
_FIRST_STEP_DB: Final = 1.0
_INERTIA: Final = 0.7
_N_TAPS_S: Final = 0.0925
_SILENCE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Equaliser(Parameters):
    """A filter of a stem.

    Attributes
    ----------
    gains_db : tuple of float
        Gain in dB at each of `BANDS_HZ`.
    """

    gains_db: tuple[float, ...]


def _frame_samples(seconds: float, sample_rate: int) -> int:
    return 1 << math.ceil(math.log2(seconds * sample_rate))


def band_energies(audio: Float32s, sample_rate: int) -> Float64s:
    """Return the energy of a stem in third octaves, three times a second.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_frames, n_bands) float64, of all channels together; a frame at least.
    """
    n_frame = _frame_samples(_FRAME_S, sample_rate)
    edges_hz = np.array(BANDS_HZ[:-1]) * 2 ** (1 / 6)
    frequencies_hz = np.fft.rfftfreq(n_frame, 1 / sample_rate)
    first_bins = np.concatenate([[0], np.searchsorted(frequencies_hz, edges_hz)])
    n_there = int(np.searchsorted(first_bins, len(frequencies_hz)))
    window = np.hanning(n_frame).astype(np.float32)
    short = max(0, n_frame - audio.shape[1])
    if short:
        audio = np.pad(audio, ((0, 0), (0, short)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, n_frame, axis=1)
    chosen = frames[:, :: sample_rate // _FRAMES_HZ]
    energies = np.zeros((chosen.shape[1], len(BANDS_HZ)))
    for k in range(chosen.shape[1]):
        spectra = np.abs(np.fft.rfft(chosen[:, k] * window)) ** 2
        energies[k, :n_there] = np.add.reduceat(spectra.sum(axis=0), first_bins[:n_there])
    return energies


def masked_shares(energies: npt.NDArray[Any]) -> Float64s:
    """Return which share of each stem's energy lies where another stem is 6 dB louder.

    Parameters
    ----------
    energies : numpy.ndarray
        (n_stems, n_frames, n_bands) of `band_energies`, at the levels of the mixture.

    Returns
    -------
    numpy.ndarray
        (n_stems,) from 0 to 1; 0 for a silent stem.
    """
    other, _ = _loudest_other(energies)
    masked = energies * (other > energies * 10 ** (_MASKED_DB / 10))
    shares: Float64s = masked.sum(axis=(1, 2)) / np.maximum(energies.sum(axis=(1, 2)), _SILENCE)
    return shares


def _loudest_other(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return for each stem the largest value among the others, and whose it is."""
    order = np.argsort(values, axis=0)
    first, second = order[-1], order[-2]
    who = np.where(np.arange(len(values))[:, None, None] == first, second, first)
    return np.take_along_axis(values, who, axis=0), who


def least_masking(energies: Sequence[Float64s]) -> list[Equaliser]:
    """Find the filters with which the stems of a song mask each other least.

    Parameters
    ----------
    energies : sequence of numpy.ndarray
        (n_frames, n_bands) of each stem, as `band_energies` gives them, at the levels that the
        stems have in the mixture.

    Returns
    -------
    list of Equaliser
        One for each stem, with gains from -6 to 4 dB; flat ones where fewer than two stems sound.
    """
    flat = Equaliser((0.0,) * len(BANDS_HZ))
    sounding = [k for k, energy in enumerate(energies) if energy.sum() > _SILENCE]
    found = [flat] * len(energies)
    if len(sounding) < 2:
        return found
    gains_db = _descend(np.stack([energies[k] for k in sounding]))
    for k, gains in zip(sounding, gains_db, strict=True):
        found[k] = Equaliser(tuple(round(float(gain), 1) + 0.0 for gain in gains))
    return found


def _descend(energies: Float64s) -> Float64s:
    """Return the gains of each stem in dB, (n_stems, n_bands)."""
    levels_db = 10 * np.log10(energies + _SILENCE * energies.max())
    loudness = energies.sum(axis=1) * _k_weights()
    gains_db, momentum = np.zeros(loudness.shape), np.zeros(loudness.shape)
    for turn in range(_TURNS):
        smooth_db = _smooth(gains_db)
        weighted = loudness * 10 ** (smooth_db / 10)
        shares = weighted / weighted.sum(axis=1, keepdims=True)
        makeup_db = -10 * np.log10(weighted.sum(axis=1) / loudness.sum(axis=1))
        slope = _slope(levels_db + (smooth_db + makeup_db[:, None])[:, None])
        slope -= shares * slope.sum(axis=1, keepdims=True)  # what the makeup gain takes back
        slope = _smooth(slope) + 2 * _COST_PER_DB2 * gains_db / gains_db.shape[1]
        steepness = math.sqrt(float((slope**2).mean())) or 1.0
        momentum = _INERTIA * momentum + (1 - _INERTIA) * slope / steepness
        step_db = _FIRST_STEP_DB * (1 - turn / _TURNS)
        gains_db = np.clip(gains_db - step_db * momentum, _LEAST_DB, _GREATEST_DB)
    return _smooth(gains_db)


def _slope(levels_db: Float64s) -> Float64s:
    """Return by how much the sum of masked shares grows with each gain, a dB."""
    per_db = math.log(10) / 10
    n_stems, _, n_bands = levels_db.shape
    other_db, who = _loudest_other(levels_db)
    slope = np.zeros((n_stems, n_bands))
    for stem, level_db in enumerate(levels_db):
        energy = 10 ** (level_db / 10)
        energy /= energy.sum()
        excess = (other_db[stem] - level_db - _MASKED_DB) / _SOFTNESS_DB
        masked = 1 / (1 + np.exp(-np.clip(excess, -30, 30)))
        sensitivity = energy * masked * (1 - masked) / _SOFTNESS_DB
        share = (energy * masked).sum()
        slope[stem] += per_db * ((energy * masked).sum(axis=0) - share * energy.sum(axis=0))
        slope[stem] -= sensitivity.sum(axis=0)
        for masker in range(n_stems):
            slope[masker] += (sensitivity * (who[stem] == masker)).sum(axis=0)
    return slope


def _smooth(bands: Float64s) -> Float64s:
    """Average each band with its neighbours, so that filters have no steps."""
    padded = np.pad(bands, ((0, 0), (1, 1)), mode="edge")
    smoothed: Float64s = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return smoothed


def _k_weights() -> Float64s:
    """Return about what BS.1770 makes of the energy of each band."""
    frequency_hz = np.array(BANDS_HZ)
    shelf_db = 4 / (1 + (1700 / frequency_hz) ** 2)
    high_pass = (frequency_hz / 38) ** 4 / (1 + (frequency_hz / 38) ** 2) ** 2
    weights: Float64s = high_pass * 10 ** (shelf_db / 10)
    return weights


def apply_equaliser(
    audio: Float32s, equaliser: Equaliser, sample_rate: int, spans: Spans | None = None
) -> Float32s:
    """Run a stem through its filter, which is of minimum phase: nothing comes early or late.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32.
    equaliser : Equaliser
        The gains of the filter.
    sample_rate : int
        Sample rate in Hz.
    spans : sequence of (int, int), optional
        Where the audio may be other than zero; what follows a span within `n_taps` is changed too.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32.
    """
    if not any(equaliser.gains_db):
        return audio
    return convolve(audio, _minimum_phase(equaliser, sample_rate)[np.newaxis], spans)


def n_taps(sample_rate: int) -> int:
    """Return the length of an equaliser's impulse response in samples."""
    return _frame_samples(_N_TAPS_S, sample_rate)


def _minimum_phase(equaliser: Equaliser, sample_rate: int) -> Float32s:
    """Return the taps of the filter, by way of the cepstrum of its gains."""
    n = 4 * n_taps(sample_rate)
    frequencies_hz = np.maximum(np.fft.rfftfreq(n, 1 / sample_rate), BANDS_HZ[0])
    gains_db = np.interp(np.log2(frequencies_hz), np.log2(BANDS_HZ), equaliser.gains_db)
    cepstrum = np.fft.irfft(gains_db * (math.log(10) / 20), n)
    folded = np.zeros(n)
    folded[0], folded[n // 2] = cepstrum[0], cepstrum[n // 2]
    folded[1 : n // 2] = 2 * cepstrum[1 : n // 2]
    taps = np.fft.irfft(np.exp(np.fft.rfft(folded)), n)[: n_taps(sample_rate)]
    fade = np.cos(np.pi / 2 * np.linspace(0, 1, len(taps) // 2)) ** 2
    taps[len(taps) - len(fade) :] *= fade
    return np.asarray(taps, np.float32)
