"""Third-octave spectra, and how far up the sources of a song reach.

Bands have the centres of IEC 61260 in base ten, 50 Hz to 16 kHz. A song's spectrum is the mean
power in each band over the whole song, against its K-weighted power: spectra of songs are compared
as if all were played equally loud.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.mixing.level.loudness import k_weighting

__all__ = ["CENTRES_HZ", "LOWEST_LEVEL_DB", "PowerSpectrum", "has_bands"]

# fmt: off
CENTRES_HZ: Final = (
    50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500,
    3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000,
)
# fmt: on
_NUMBERS: Final = range(17, 17 + len(CENTRES_HZ))  # the exact centre is 10^(n/10) Hz
LOWEST_LEVEL_DB: Final = -70.0  # less in a band is nothing that anybody hears
_FRAME_S: Final = 0.37  # 2.7 Hz: four bins in the narrowest band
_SURE_HZ: Final = 11_300.0  # what every source of 24 kHz reaches, more or less
_LOWEST_CLIFF_HZ: Final = 8000.0
_CLIFF_DB: Final = 10.0
_SLICE_HZ: Final = 250.0
_FLOOR_DB: Final = -120.0  # of a power spectrum against its own power: beyond 16 bits


def _edges_hz() -> Float64s:
    return np.array([10 ** ((n + half) / 10) for n in _NUMBERS for half in (-0.5, 0.5)])


class PowerSpectrum:
    """The mean power spectrum of a signal that comes in pieces.

    Parameters
    ----------
    sample_rate : int
        Sample rate in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._n_frame = 1 << round(np.log2(_FRAME_S * sample_rate))
        self._window = np.hanning(self._n_frame).astype(np.float32)
        self._sum = np.zeros(self._n_frame // 2 + 1)
        self._n_frames = 0

    def add(self, audio: Float32s) -> None:
        """Take a piece of the signal, (n_channels, n_samples); what is less than a frame is not.

        A signal that is shorter than a frame is lengthened by silence.
        """
        import scipy.fft  # takes a while, which processes that only plan do without

        n_samples = audio.shape[1]
        if n_samples < self._n_frame:
            if self._n_frames or not n_samples:
                return
            audio = np.pad(audio, ((0, 0), (0, self._n_frame - n_samples)))
        frames = np.lib.stride_tricks.sliding_window_view(audio, self._n_frame, axis=1)
        for channel in frames[:, :: self._n_frame // 2]:
            spectra = scipy.fft.rfft(channel * self._window, axis=1)
            self._sum += np.square(np.abs(spectra)).sum(axis=0, dtype=np.float64)
        self._n_frames += 1 + (audio.shape[1] - self._n_frame) // (self._n_frame // 2)

    @property
    def power(self) -> Float64s:
        """Mean power of each bin, summed over the channels, in an arbitrary unit."""
        return self._sum / max(self._n_frames, 1)

    def k_weighted(self) -> float:
        """Return the K-weighted power, in the unit of `power`."""
        return float(np.dot(self.power, _k_response(self._sample_rate, self._n_frame)))

    def levels_db(self) -> Float64s | None:
        """Return the level of each band against the K-weighted power.

        Returns
        -------
        numpy.ndarray or None
            (n_bands,) in dB, not below `LOWEST_LEVEL_DB`; NaN for bands that the sample rate does
            not hold whole. None for silence.
        """
        total = self.k_weighted()
        if total <= 0:
            return None
        step_hz = self._sample_rate / self._n_frame
        # Bins have edges half a step from their centres; a band has its share of those it cuts.
        upto = np.concatenate([[0.0], np.cumsum(self.power)])
        edges = _edges_hz()
        at_edges = np.interp(edges / step_hz + 0.5, np.arange(len(upto)), upto).reshape(-1, 2)
        power = (at_edges[:, 1] - at_edges[:, 0]) / total
        levels: Float64s = 10 * np.log10(np.maximum(power, 10 ** (LOWEST_LEVEL_DB / 10)))
        levels[edges[1::2] > self._sample_rate / 2] = np.nan
        return levels

    def reach_hz(self) -> float:
        """Return the frequency above which a source has nothing: the lowest cliff from 8 kHz on.

        Recordings of 24 kHz and lossy codecs end like this: within half a kHz the level falls by
        10 dB or more. What fades out is not cut off.

        Returns
        -------
        float
            In Hz; half the sample rate where there is no cliff.
        """
        half_rate = self._sample_rate / 2
        n_slices = int((half_rate - _LOWEST_CLIFF_HZ) / _SLICE_HZ) + 2
        if n_slices < 5:
            return half_rate
        power = self.power
        starts_hz = _LOWEST_CLIFF_HZ + _SLICE_HZ * np.arange(-2, n_slices - 2)
        edges_hz = np.append(starts_hz, starts_hz[-1] + _SLICE_HZ)
        bins = np.round(edges_hz / self._sample_rate * self._n_frame).astype(int)
        slices = [power[a:b].mean() for a, b in pairwise(bins)]
        floor = 10 ** (_FLOOR_DB / 10) * max(float(power.sum()), 1e-30)
        level = 10 * np.log10(np.maximum(slices, floor))
        for k in range(2, len(level) - 2):
            if (level[k - 2] + level[k - 1] - level[k + 1] - level[k + 2]) / 2 >= _CLIFF_DB:
                return float(starts_hz[k])
        return half_rate


def has_bands(reach_hz: float) -> npt.NDArray[np.bool_]:
    """Tell which bands count of a song: above 11 kHz, those that its sources reach."""
    upper = _edges_hz()[1::2]
    return (upper <= _SURE_HZ) | (upper <= reach_hz)


@cache
def _k_response(sample_rate: int, n_frame: int) -> Float64s:
    """Return the power response of K-weighting at each bin."""
    import scipy.signal

    bins = np.arange(n_frame // 2 + 1) * (2 * np.pi / n_frame)
    _, response = scipy.signal.sosfreqz(k_weighting(sample_rate), worN=bins)
    return np.asarray(np.square(np.abs(response)), np.float64)
