"""How busy songs are: spectral flux, how many notes sound together, how far onsets are off a grid.

All three are taken of the audio alone, by methods that were made for it and make mistakes: they are
for comparing sets of songs with each other, and no transcription.

* Flux (Dixon 2006, "Onset detection revisited", section 2.1): frames of 46 ms every 10 ms; the
  magnitude that a frame has more than the one before it, summed over bins to 8 kHz, against all of
  its magnitude. Dixon does not divide; here it is the same for loud and soft songs.
* Onsets are maxima of that sum by Dixon's peak picking (section 2.5: largest within 30 ms, and by
  half a standard deviation above the mean of 90 ms before to 30 ms after), between frames by a
  parabola. The grid of a stretch is the period of 0.1 to 0.25 s (sixteenths of 60 to 150 beats a
  minute) and the phase to which its onsets keep best: those of the longest mean vector of their
  phases (circular statistics: Fisher 1993, section 2.3). The deviation is the circular standard
  deviation, in ms; onsets at random have about a quarter of the period. Swing, and tempo that
  changes within a stretch, count as deviation.
* Polyphony (Klapuri 2006, "Multiple fundamental frequency estimation by summing harmonic
  amplitudes"): frames of 93 ms, whitened, in which the fundamental frequency with the largest
  weighted sum of harmonics is found and taken away, again and again; the number of notes j makes
  ``sum of the saliences / j^0.7`` largest (section 2.4). Departures: candidates lie a quarter of a
  tone apart, a partial is taken away by damping its bins, and a frame every half second is enough
  for means. Of all groups but drums.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s, Float64s, Int64s

__all__ = ["Texture", "TextureMeter", "grid_deviation_ms", "onset_times_s", "polyphony"]

_FLUX_FRAME_S: Final = 0.046
_HOPS_HZ: Final = 100
_HIGHEST_HZ: Final = 8000.0
_NEIGHBOURS: Final = 3  # frames on either side in which an onset is the largest
_BEFORE: Final = 9
_LEAST_RISE: Final = 0.5  # standard deviations
_LEAST_ONSETS: Final = 12  # of a stretch; fewer keep to some grid or other by chance
_PERIODS_S: Final = (0.1, 0.25)
_PERIOD_STEP: Final = 4e-4  # so that the last onset of a stretch is off by 0.05 of a period

_NOTE_FRAME_S: Final = 0.093
_NOTE_HOP_S: Final = 0.5
_FAINT: Final = 1e-3  # of the mean power of a stretch: frames in which nothing is played
_LOWEST_POWER: Final = 1e-9
_FUNDAMENTALS_HZ: Final = (40.0, 2100.0)
_STEPS_PER_OCTAVE: Final = 24
_N_PARTIALS: Final = 20
_ALPHA_HZ: Final = 52.0  # Klapuri 2006, section 2.2, for frames of 93 ms
_BETA_HZ: Final = 320.0
_WHITENING: Final = 0.33
_DAMPING: Final = 0.89
_EXPONENT: Final = 0.7
_MOST_NOTES: Final = 10


class Texture(NamedTuple):
    """How busy a song is.

    Attributes
    ----------
    flux_percent : float
        Share of the magnitude of a frame that is more than 10 ms before; NaN for silence.
    onset_deviation_ms : float
        How far onsets are off their grid, the mean over stretches; NaN where onsets are too few.
    polyphony : float
        Notes that sound at the same time, the mean over frames in which any does; NaN for none.
    """

    flux_percent: float
    onset_deviation_ms: float
    polyphony: float


class TextureMeter:
    """Measures a song that comes in stretches.

    Parameters
    ----------
    sample_rate : int
        Sample rate in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._hop_s = _hop(sample_rate) / sample_rate
        self._rise = self._magnitude = 0.0
        self._deviations: list[float] = []
        self._notes: list[int] = []

    def add(self, mixture: Float32s, pitched: Float32s) -> None:
        """Take a stretch.

        Parameters
        ----------
        mixture, pitched : numpy.ndarray
            (n_channels, n_samples) of all groups, and of all but drums.
        """
        magnitudes = _magnitudes(mixture.mean(axis=0), self._sample_rate)
        rise = np.maximum(np.diff(magnitudes, axis=0), 0).sum(axis=1)
        self._rise += float(rise.sum())
        self._magnitude += float(magnitudes[1:].sum())
        deviation = grid_deviation_ms(_peaks(rise) * self._hop_s)
        if not math.isnan(deviation):
            self._deviations.append(deviation)
        self._notes += polyphony(pitched.mean(axis=0), self._sample_rate)

    def found(self) -> Texture:
        """Return what was measured."""
        return Texture(
            100 * self._rise / self._magnitude if self._magnitude else math.nan,
            float(np.mean(self._deviations)) if self._deviations else math.nan,
            float(np.mean(self._notes)) if self._notes else math.nan,
        )


def onset_times_s(audio: Float32s, sample_rate: int) -> Float64s:
    """Return the onsets of a signal.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) one channel.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_onsets,) times in seconds, in ascending order.
    """
    magnitudes = _magnitudes(audio, sample_rate)
    peaks = _peaks(np.maximum(np.diff(magnitudes, axis=0), 0).sum(axis=1))
    return np.asarray(peaks * _hop(sample_rate) / sample_rate)


def grid_deviation_ms(times_s: Float64s) -> float:
    """Return how far onsets are off the grid that they keep to best.

    Parameters
    ----------
    times_s : numpy.ndarray
        (n_onsets,) times in seconds, of some 12 s.

    Returns
    -------
    float
        Circular standard deviation in ms; NaN for fewer than twelve onsets.
    """
    if len(times_s) < _LEAST_ONSETS:
        return math.nan
    n_periods = math.ceil(math.log(_PERIODS_S[1] / _PERIODS_S[0]) / _PERIOD_STEP)
    periods = np.geomspace(*_PERIODS_S, n_periods)
    phases = np.exp(2j * np.pi * (times_s - times_s[0]) / periods[:, None])
    lengths = np.abs(phases.mean(axis=1))
    best = int(lengths.argmax())
    length = min(1.0, float(lengths[best]))
    return float(periods[best]) * math.sqrt(-2 * math.log(length)) / (2 * math.pi) * 1000


def polyphony(audio: Float32s, sample_rate: int) -> list[int]:
    """Return how many notes sound in frames of a signal.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_samples,) one channel.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    list of int
        One for each frame in which anything sounds, 1 to 10.
    """
    n_frame = _frame_length(_NOTE_FRAME_S, sample_rate)
    frames = _frames(audio, n_frame, int(_NOTE_HOP_S * sample_rate))
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    is_heard = power > max(_LOWEST_POWER, _FAINT * float(power.mean()) if len(power) else 0.0)
    return [_count_notes(spectrum, sample_rate) for spectrum in _spectra(frames[is_heard], 2)]


def _count_notes(spectrum: Float64s, sample_rate: int) -> int:
    """Return the number of notes of a magnitude spectrum (Klapuri 2006, figure 1)."""
    places, weights = _partials(len(spectrum), sample_rate)
    rest = _whitened(spectrum, sample_rate)
    total, best, n_best = 0.0, 0.0, 1
    for n in range(1, _MOST_NOTES + 1):
        nearest = np.maximum(rest, np.maximum(np.roll(rest, 1), np.roll(rest, -1)))
        saliences = (weights * nearest[places]).sum(axis=1)
        note = int(saliences.argmax())
        total += float(saliences[note])
        if total / n**_EXPONENT > best:
            best, n_best = total / n**_EXPONENT, n
        kept = 1 - _DAMPING * weights[note] / weights[note, 0]
        for offset in (-2, -1, 0, 1, 2):
            near = np.clip(places[note] + offset, 0, len(rest) - 1)
            np.multiply.at(rest, near, kept)
    return n_best


def _whitened(spectrum: Float64s, sample_rate: int) -> Float64s:
    """Return a spectrum of which all bands are about as loud (Klapuri 2006, section 2.1)."""
    responses, centres = _bands(len(spectrum), sample_rate)
    deviations = np.sqrt(responses @ np.square(spectrum) / len(spectrum))
    factors = np.maximum(deviations, 1e-12) ** (_WHITENING - 1)
    return np.asarray(spectrum * np.interp(np.arange(len(spectrum)), centres, factors))


@cache
def _bands(n_bins: int, sample_rate: int) -> tuple[Float64s, Float64s]:
    """Return the triangular responses of bands, (n_bands, n_bins), and their centres in bins."""
    per_bin = sample_rate / 2 / (n_bins - 1)
    edges = 229 * (10 ** (np.arange(1, 33) / 21.4) - 1) / per_bin
    edges = edges[edges < n_bins]
    bins = np.arange(n_bins)
    triangles = [np.interp(bins, edges[b : b + 3], [0.0, 1.0, 0.0]) for b in range(len(edges) - 2)]
    return np.array(triangles), edges[1:-1]


@cache
def _partials(n_bins: int, sample_rate: int) -> tuple[Int64s, Float64s]:
    """Return the bins of the partials of each fundamental frequency, and their weights."""
    low, high = _FUNDAMENTALS_HZ
    n_steps = int(_STEPS_PER_OCTAVE * math.log2(high / low)) + 1
    fundamentals = low * 2 ** (np.arange(n_steps) / _STEPS_PER_OCTAVE)
    numbers = np.arange(1, _N_PARTIALS + 1)
    partials_hz = fundamentals[:, None] * numbers
    weights = (fundamentals[:, None] + _ALPHA_HZ) / (partials_hz + _BETA_HZ)
    per_bin = sample_rate / 2 / (n_bins - 1)
    places = np.rint(partials_hz / per_bin).astype(np.int64)
    is_there = (places < n_bins - 1) & (partials_hz <= _HIGHEST_HZ)
    return np.where(is_there, places, n_bins - 1), np.where(is_there, weights, 0.0)


def _magnitudes(audio: Float32s, sample_rate: int) -> Float64s:
    """Return the magnitudes of frames every 10 ms, (n_frames, n_bins), up to 8 kHz."""
    n_frame = _frame_length(_FLUX_FRAME_S, sample_rate)
    spectra = _spectra(_frames(audio, n_frame, _hop(sample_rate)), 1)
    return spectra[:, : int(_HIGHEST_HZ * n_frame / sample_rate) + 1]


def _frame_length(duration_s: float, sample_rate: int) -> int:
    return round(duration_s * sample_rate)  # the same bins in Hz at any rate


def _hop(sample_rate: int) -> int:
    return round(sample_rate / _HOPS_HZ)


def _frames(audio: Float32s, n_frame: int, n_hop: int) -> Float32s:
    if len(audio) < n_frame:
        return np.zeros((0, n_frame), np.float32)
    return np.lib.stride_tricks.sliding_window_view(audio, n_frame)[::n_hop]


def _spectra(frames: Float32s, n_times: int) -> Float64s:
    """Return the magnitudes of frames through Hann windows, zero-padded to so many lengths."""
    import scipy.fft  # takes a while, which processes that only plan do without

    n_frame = frames.shape[1]
    window = np.hanning(n_frame).astype(np.float32)
    spectra = scipy.fft.rfft(frames * window, n_times * n_frame, axis=1)
    return np.asarray(np.abs(spectra), np.float64)


def _peaks(rise: Float64s) -> Float64s:
    """Return the maxima of a rise, in frames and parts of them (Dixon 2006, section 2.5)."""
    if len(rise) < 2 * _NEIGHBOURS + 1 or not rise.std():
        return np.zeros(0)
    curve = (rise - rise.mean()) / rise.std()
    padded = np.pad(curve, (_BEFORE, _NEIGHBOURS), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, _BEFORE + _NEIGHBOURS + 1)
    near = around[:, _BEFORE - _NEIGHBOURS :]
    is_peak = (curve >= near.max(axis=1)) & (curve >= around.mean(axis=1) + _LEAST_RISE)
    is_peak[[0, -1]] = False
    found = np.flatnonzero(is_peak)
    before, at, after = curve[found - 1], curve[found], curve[found + 1]
    bend = before - 2 * at + after
    shift = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1.0), 0.0)
    return np.asarray(found + shift)
