"""Oracles: masks made from the true sources, the bounds of what masking can do.

Manilow et al. 2019 (Slakh), sections 3.1 and 3.3 and Tables 2 and 3. With X the transform of the
mixture, S that of the target, and N = X - S that of everything else, bin by bin::

    ibm      1 where |S| > |N|, else 0
    irm      |S| / (|S| + |N|)
    wiener   |S|^2 / (|S|^2 + |N|^2)
    tpsa     |S| cos(angle S - angle X) / |X|, cut to [0, 1]

and the estimate is the inverse transform of the masked X, so that its phase is the mixture's. The
last mask is the paper's truncated phase-sensitive one (equation 1, divided by ``|X|``): of all real
masks in [0, 1] it makes ``|M X - S|`` smallest in every bin.

The paper does not write down the first three. Two definitions are in use: against N, as here
(Erdogan et al. 2015, which it cites), and against the sum over all sources, each by itself,
``|S|^p / sum_c |S_c|^p``. Both are the same for two sources. For more, N is what the sources sum
to, not the sum of their magnitudes: the masks of different targets then need not add up to one, but
depend on nothing else than the target and the mixture.

SiSEC 2018's oracles (sigsep-mus-oracle) differ in much: a Hann window of 2048 samples at 44.1 kHz,
sums over all sources (IRM1, IRM2), a binary mask against the mixture
(``|S|^a >= |X|^a / 2``), and MWF, a multichannel Wiener filter. Its figures are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.fft

__all__ = [
    "MASKS",
    "Oracle",
    "inverse_transform",
    "oracle_estimates",
    "transform",
    "window_samples",
]

_HOP_S: Final = 0.016  # Slakh 3.1: windows of 32 ms, 512 samples at 16 kHz

Array = npt.NDArray[Any]


class Oracle(StrEnum):
    """The masks that Tables 2 and 3 of the Slakh paper compare."""

    IBM = "ibm"
    IRM = "irm"
    WIENER = "wiener"
    TPSA = "tpsa"


def _binary(target: Array, mixture: Array) -> Array:
    is_louder = np.abs(target) > np.abs(mixture - target)
    return np.asarray(is_louder, target.real.dtype)


def _ratio(target: Array, mixture: Array) -> Array:
    magnitude = np.abs(target)
    return _quotient(magnitude, magnitude + np.abs(mixture - target))


def _wiener(target: Array, mixture: Array) -> Array:
    power = _power(target)
    return _quotient(power, power + _power(mixture - target))


def _phase_sensitive(target: Array, mixture: Array) -> Array:
    product = target.real * mixture.real + target.imag * mixture.imag
    return np.clip(_quotient(product, _power(mixture)), 0, 1)


def _power(spectrum: Array) -> Array:
    return np.asarray(np.square(spectrum.real) + np.square(spectrum.imag))


def _quotient(numerator: Array, denominator: Array) -> Array:
    """Divide; 0 where there is nothing to divide."""
    zeros = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


# Each takes the transforms of target and mixture, and returns a real mask in [0, 1].
MASKS: Final[Mapping[Oracle, Callable[[Array, Array], Array]]] = {
    Oracle.IBM: _binary,
    Oracle.IRM: _ratio,
    Oracle.WIENER: _wiener,
    Oracle.TPSA: _phase_sensitive,
}


def oracle_estimates(oracle: Oracle, references: Array, mixture: Array, sample_rate: int) -> Array:
    """Return what masks made from the true sources take out of the mixture.

    Parameters
    ----------
    oracle : Oracle
        The mask that is made.
    references : numpy.ndarray
        (n_targets, n_channels, n_samples) float. Every channel has its own mask.
    mixture : numpy.ndarray
        (n_channels, n_samples) float, what the mask is applied to.
    sample_rate : int
        Sample rate in Hz. The window is 32 ms long at every rate: 512 samples at 16 kHz, 1412 at
        44.1 kHz.

    Returns
    -------
    numpy.ndarray
        (n_targets, n_channels, n_samples) float, of the same type.
    """
    n_fft = window_samples(sample_rate)
    estimates = np.empty_like(references)
    for channel, audio in enumerate(mixture):  # one transform of each at a time, for memory
        whole = transform(audio, n_fft)
        for row, reference in enumerate(references):
            target = transform(reference[channel], n_fft)
            np.multiply(whole, MASKS[oracle](target, whole), out=target)
            estimates[row, channel] = inverse_transform(target, len(audio))
    return estimates


def window_samples(sample_rate: int) -> int:
    """Return the length of the oracles' window, twice the hop, in samples."""
    return 2 * max(round(_HOP_S * sample_rate), 1)


def transform(audio: Array, n_fft: int) -> Array:
    """Return the short-time Fourier transform of a whole recording.

    The same as `stemsmith.train.models.stft.Stft.whole` with a square-root Hann window and a hop of
    half a window, without torch.

    Parameters
    ----------
    audio : numpy.ndarray
        (..., n_samples) float; silence is assumed before and after.
    n_fft : int
        Length of window and transform; even.

    Returns
    -------
    numpy.ndarray
        (..., 1 + ceil(n_samples / hop), n_fft // 2 + 1) complex of the same precision.
    """
    hop = n_fft // 2
    margins = [(0, 0)] * (audio.ndim - 1) + [(hop, hop + -audio.shape[-1] % hop)]
    padded = np.pad(audio, margins)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[..., ::hop, :]
    return np.asarray(scipy.fft.rfft(frames * _window(n_fft, audio.dtype)))


def inverse_transform(spectrum: Array, n_samples: int) -> Array:
    """Return the recording whose `transform` is nearest to a spectrum.

    Parameters
    ----------
    spectrum : numpy.ndarray
        (..., n_frames, n_bins) complex.
    n_samples : int
        Length of the result.

    Returns
    -------
    numpy.ndarray
        (..., n_samples) float.
    """
    n_fft = 2 * (spectrum.shape[-1] - 1)
    hop = n_fft // 2
    frames = scipy.fft.irfft(spectrum, n_fft)
    frames *= _window(n_fft, frames.dtype)
    # The squares of overlapping windows sum to one. Halves of neighbours make a stretch of a hop.
    stretches: Array = frames[..., 1:, :hop] + frames[..., :-1, hop:]
    return stretches.reshape(*spectrum.shape[:-2], -1)[..., :n_samples]


def _window(n_fft: int, dtype: npt.DTypeLike) -> Array:
    """Return the square root of the periodic Hann window, which is half a sine wave."""
    return np.sin(np.pi * np.arange(n_fft) / n_fft).astype(dtype)
