"""Which clips of two groups may meet in a mixture (Chiu et al. 2020, sections IV-B and IV-C).

Stems that were played together share their key and sound at the same time. A statistic of every
pair of clips says how near two clips of different songs come to that, and a threshold which of
them may meet. Every statistic is a matrix product of what is known of single clips, so that no
clip is decoded once per pair. Audio comes from the caller; clips are mono and equally long.

Departures from the paper and from the code of its authors
----------------------------------------------------------
* The authors cut both clips of a pair to the stretches where both are within 30 dB of their
  loudest, before either statistic; the paper does not say so. Here clips are taken whole, since
  else a feature would belong to a pair and not to a clip. Frames of digital silence have no chroma
  and draw the mean to zero: distances are shorter (bass and guitar of one song: 0.74 in the mean,
  theirs 1.0), and more pairs of sparse clips may meet. Correlations hardly change: where one clip
  is soft, products are small.
* The paper correlates "the waveform magnitude". The authors' code does not rectify waveforms, and
  the paper's range of 2 to 30 is only reached by waveforms with their sign: so here.
* The paper does not say on which side of 20 a pair is selected. Above: true pairs lie higher.
* `Pairing.PEARSON` is not in the paper.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.mixing.plan.config import Pairing

__all__ = [
    "DEFAULT_THRESHOLDS",
    "chroma_distances",
    "chroma_feature",
    "correlations",
    "inner_products",
    "may_meet",
    "pearson",
    "scaled_threshold",
]

Reader = Callable[[int], Float32s]


DEFAULT_THRESHOLDS: Final[Mapping[Pairing, float]] = {
    Pairing.CHROMA: 0.48,  # Table I
    Pairing.CORRELATION: 20.0,  # Table I, for clips of `_PAPER_SAMPLES`
    Pairing.PEARSON: 0.02,  # ours: some 3 % of pairs across songs lie above, 15 to 40 % within
}
_PAPER_SAMPLES: Final = 441_000  # 10 s at 44.1 kHz
_PIECE_SAMPLES: Final = 4096  # summed in float32
_B_SHARE: Final = 8  # an eighth of the memory holds clips of b: more would be read more often
_DECIMALS: Final = 6
_LIBROSA_WARNINGS: Final = "Trying to estimate tuning from empty frequency set|n_fft=.* too large"


def chroma_feature(audio: Float32s, sample_rate: int) -> Float32s:
    """Return the mean chroma of a clip (section IV-B), with librosa's defaults.

    The tuning is estimated for each clip: a clip in its own tuning has the chroma of its scale.
    A frame's chroma is divided by its largest: soft frames count as loud ones do.

    Parameters
    ----------
    audio : numpy.ndarray
        The clip, mono, (n_samples,) float32.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (12,) float32 from C to B, each in [0, 1]; zeros for digital silence.

    Raises
    ------
    UsageError
        If librosa is not installed.
    librosa.ParameterError
        If a sample is not finite.
    """
    try:
        import librosa
    except ImportError:
        raise UsageError(f"pairing by chroma needs librosa: {install_command('augment')}") from None
    with warnings.catch_warnings():
        # No partials to tell the tuning from (silence, deep tones): it is taken as exact. Clips
        # shorter than a window: the frames reach over their ends anyway.
        warnings.filterwarnings("ignore", _LIBROSA_WARNINGS, UserWarning)
        chroma: Float32s = librosa.feature.chroma_stft(y=audio, sr=sample_rate)
    mean: Float32s = chroma.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean


def chroma_distances(a: Float32s, b: Float32s) -> Float32s:
    """Return the Euclidean distance of every feature of one group to every one of another.

    Parameters
    ----------
    a, b : numpy.ndarray
        (n_a, 12) and (n_b, 12) float32 from `chroma_feature`.

    Returns
    -------
    numpy.ndarray
        (n_a, n_b) float32, in steps of 1e-6.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2 ab cancels for near features: in float64, whose rest vanishes
    # in rounding. Rounded also because the last bits of a product differ between processors.
    x, y = a.astype(np.float64), b.astype(np.float64)
    squares = (x * x).sum(axis=1)[:, np.newaxis] + (y * y).sum(axis=1) - 2 * (x @ y.T)
    distances: Float64s = np.sqrt(squares.clip(min=0))
    return distances.round(_DECIMALS).astype(np.float32)


def inner_products(
    read_a: Reader, n_a: int, read_b: Reader, n_b: int, n_samples: int, max_bytes: int
) -> Float32s:
    """Return the inner product sum_n a[n] b[n] of every clip of one group with every of another.

    Parameters
    ----------
    read_a, read_b : callable
        Return clip i, from 0, as (n_samples,) float32. Every clip of a is read once, every clip of
        b once for each block of clips of a.
    n_a, n_b : int
        Number of clips of either group.
    n_samples : int
        Length of every clip.
    max_bytes : int
        Memory for the audio of both blocks, for two clips at least. The more, the fewer readings
        of b. The clip being read, the result and its sums in float64 come on top.

    Returns
    -------
    numpy.ndarray
        (n_a, n_b) float32, off by less than 1e-5 of the product of the clips' norms.

    Raises
    ------
    ValueError
        If two clips do not fit `max_bytes`, or a clip does not have n_samples samples.
    """
    n_fit = max_bytes // (4 * max(n_samples, 1))
    if n_fit < 2:
        raise ValueError(f"two clips of {n_samples} samples do not fit {max_bytes} bytes")
    size_a = min(n_a, n_fit - max(1, min(n_b, n_fit // _B_SHARE)))
    size_b = min(n_b, n_fit - size_a)
    buffer_a = np.empty((size_a, n_samples), np.float32)
    buffer_b = np.empty((size_b, n_samples), np.float32)
    products = np.empty((n_a, n_b), np.float32)
    for rows, block_a in _blocks(read_a, n_a, buffer_a):
        for columns, block_b in _blocks(read_b, n_b, buffer_b):
            products[rows, columns] = _products(block_a, block_b)
    return products


def _blocks(read: Reader, n_clips: int, buffer: Float32s) -> Iterator[tuple[slice, Float32s]]:
    """Fill the buffer again and again; yield which clips it holds, and these."""
    for start in range(0, n_clips, len(buffer) or 1):
        stop = min(start + len(buffer), n_clips)
        for row, i in enumerate(range(start, stop)):
            clip = read(i)
            if clip.shape != buffer.shape[1:]:  # a clip of one sample would be spread over the row
                raise ValueError(f"clip {i} is {clip.shape}, not {buffer.shape[1:]}")
            buffer[row] = clip
        yield slice(start, stop), buffer[: stop - start]


def _products(a: Float32s, b: Float32s) -> Float64s:
    # One long sum in float32 loses up to 6e-6 of the norms at 10 s, and more for longer clips.
    # Pieces lose 1e-6 at any length and cost no time; float64 throughout costs three times as much.
    total = np.zeros((len(a), len(b)))
    for start in range(0, a.shape[1], _PIECE_SAMPLES):
        piece = slice(start, start + _PIECE_SAMPLES)
        total += a[:, piece] @ b[:, piece].T
    return total


def correlations(products: Float32s) -> Float32s:
    """Return the paper's correlation (section IV-C): |sum a[n] b[n]| of the waveforms.

    The authors' ``scipy.signal.correlate2d(..., mode="valid")`` of equally long columns is this
    one number, at a lag of zero. It grows with the level of both clips.

    Parameters
    ----------
    products : numpy.ndarray
        (n_a, n_b) float32 from `inner_products`, of waveforms with full scale at 1.

    Returns
    -------
    numpy.ndarray
        (n_a, n_b) float32, 0 or more.
    """
    return np.abs(products)


def pearson(products: Float32s, norms_a: Float64s, norms_b: Float64s) -> Float32s:
    """Return the correlation free of levels: |cos| of the angle between two waveforms.

    It is Pearson's coefficient for waveforms without offset, as those of music are.

    Parameters
    ----------
    products : numpy.ndarray
        (n_a, n_b) float32 from `inner_products`.
    norms_a, norms_b : numpy.ndarray
        (n_a,) and (n_b,) Euclidean norms of the same waveforms.

    Returns
    -------
    numpy.ndarray
        (n_a, n_b) float32 in [0, 1], in steps of 1e-6; 0 where a norm is 0.
    """
    scale = np.outer(norms_a, norms_b)
    cosines = np.divide(np.abs(products), scale, out=np.zeros_like(scale), where=scale > 0)
    return cosines.clip(max=1).round(_DECIMALS).astype(np.float32)


def scaled_threshold(threshold: float, n_samples: int) -> float:
    """Return a threshold of `correlations` for clips that are not 10 s at 44.1 kHz.

    A correlation is a sum over samples. That of stems which keep going together grows with their
    number, and so does the threshold. That of unrelated clips grows with its square root: the
    longer clips are, the fewer of those meet.

    Parameters
    ----------
    threshold : float
        For the paper's clips of 441000 samples.
    n_samples : int
        Length of the clips.

    Returns
    -------
    float
        Threshold for these clips.
    """
    return threshold * n_samples / _PAPER_SAMPLES


def may_meet(pairing: Pairing, statistic: Float32s, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which clips may meet.

    Parameters
    ----------
    pairing : Pairing
        Whose statistic it is: distances are below the threshold, correlations above. With
        `Pairing.RANDOM` any two clips may meet.
    statistic : numpy.ndarray
        Distance or correlation of every pair of clips, (n_a, n_b) float32.
    threshold : float
        In the unit of the statistic.

    Returns
    -------
    numpy.ndarray
        (n_a, n_b) bool.
    """
    if pairing is Pairing.RANDOM:
        return np.ones(statistic.shape, bool)
    return statistic < threshold if pairing is Pairing.CHROMA else statistic > threshold
