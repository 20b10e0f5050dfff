"""Correlations over stretches of a track, each as if there were silence around it.

All that BSS Eval needs to know of a window's audio are the correlations, at lags shorter than its
filters, of the references with the references and with the estimates::

    r[l, i, z] = sum_t x_i(t - l) z(t)

where t and t - l are inside the window. Windows overlap, and all of them lie in the track, whose
own correlations are needed too. The track is therefore cut wherever a window starts or ends. The
sum falls apart into those pairs (t - l, t) that lie in one segment and those that lie in two,
and pairs in the same windows are summed: they make a *cell*. The correlations of a window are the
sum of its cells; those of the track are the sum of all.

A segment's correlations are taken in blocks by FFT. With blocks of N - L + 1 samples of x, and of
the N samples of z from the same place on, the circular correlation of length N is the linear one
at lags 0 .. L - 1. Spectra of blocks are summed before the one inverse FFT of a segment. Blocks
are transformed along the first axis of a transposed view, which leaves the spectra with the bins
first, as the products by BLAS want them: no array is ever transposed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from stemsmith.manifests.arrays import Float64s

__all__ = ["Signals", "TrackCut", "correlate", "cut_track"]


# glibc returns what is free to the system when it is more than twice the largest block freed so
# far that was below 32 MiB. Freeing one of 31 MiB lets it keep the memory of the spectra, of
# which every page was else faulted in again for every segment: half of the time.
_FREED_BYTES: Final = 31 << 20
_BLOCKS_AT_ONCE: Final = 32  # a second at 44.1 kHz, 8 MiB of spectra for 24 signals


class Signals:
    """References, further references without an estimate, and estimates of one track.

    Attributes
    ----------
    n_targets, n_channels, n_samples : int
        Shape of the estimates.
    n_references : int
        Number of channels of all references together.
    n_signals : int
        Number of channels of references and estimates together.
    """

    def __init__(self, *groups: npt.NDArray[Any]) -> None:
        """Hold (n, n_channels, n_samples) references, further references and estimates."""
        self._channels = [channel for group in groups for source in group for channel in source]
        self.n_targets, self.n_channels, self.n_samples = groups[-1].shape
        self.n_references = sum(len(group) for group in groups[:-1]) * self.n_channels
        self.n_signals = len(self._channels)

    def read(self, origin: int, length: int, start: int, stop: int) -> Float64s:
        """Return (n_signals, length) samples from `origin` on, zero outside `start` to `stop`.

        The channels of the groups come in order. `origin` may be before the track.
        """
        audio = np.zeros((self.n_signals, length))
        first, last = max(origin, start), min(origin + length, stop)
        for row, channel in zip(audio, self._channels, strict=True):
            row[first - origin : last - origin] = channel[first:last]
        return audio


class TrackCut(NamedTuple):
    """Where a track is cut, and which windows each part of the sum belongs to.

    Attributes
    ----------
    edges : numpy.ndarray
        (n_segments + 1,) samples at which segments start and end, in order.
    is_inside : numpy.ndarray
        (n_windows, n_segments) bool: where a segment is inside a window.
    pairs : list of (int, int)
        Segments p <= q that are in a common window and less than n_lags apart.
    cell_of_pair : numpy.ndarray
        (n_pairs,) int, the cell that each pair of segments belongs to.
    is_part : numpy.ndarray
        (n_windows, n_cells) float64: 1.0 where a cell is part of a window.
    """

    edges: npt.NDArray[np.int64]
    is_inside: npt.NDArray[np.bool_]
    pairs: list[tuple[int, int]]
    cell_of_pair: npt.NDArray[np.int64]
    is_part: Float64s


def cut_track(windows: Sequence[tuple[int, int]], n_lags: int) -> TrackCut:
    """Cut a track at the starts and stops of windows.

    Parameters
    ----------
    windows : sequence of (int, int)
        Start and stop of each, in samples; at least one. The whole track is a window, too.
    n_lags : int
        Number of lags that will be asked for.

    Returns
    -------
    TrackCut
    """
    edges = np.unique(windows)
    starts, stops = np.array(windows).T[:, :, None]
    is_inside = (starts <= edges[:-1]) & (edges[1:] <= stops)
    pairs = []
    for q in range(len(edges) - 1):
        p = q
        while p >= 0 and (p == q or edges[q] - edges[p + 1] < n_lags - 1):
            pairs.append((p, q))
            p -= 1
    is_common = is_inside[:, [p for p, _ in pairs]] & is_inside[:, [q for _, q in pairs]]
    pairs = [
        pair for pair, is_wanted in zip(pairs, is_common.any(axis=0), strict=True) if is_wanted
    ]
    is_common = is_common[:, is_common.any(axis=0)]
    cells, cell_of_pair = np.unique(is_common, axis=1, return_inverse=True)
    return TrackCut(edges, is_inside, pairs, cell_of_pair.reshape(-1), cells.astype(np.float64))


def correlate(signals: Signals, cut: TrackCut, n_lags: int) -> Float64s:
    """Correlate the references with all signals.

    Parameters
    ----------
    signals : Signals
        All signals of the track.
    cut : TrackCut
        The segments and cells that it is cut into.
    n_lags : int
        Number of lags, from 0 on, as given to `cut_track`.

    Returns
    -------
    numpy.ndarray
        (n_cells, n_lags, n_references, n_signals): for each cell ``sum_t x_i(t - l) z(t)``.
    """
    n_cells, n = cut.is_part.shape[1], signals.n_references
    np.empty(_FREED_BYTES, np.uint8)
    correlations = np.zeros((n_cells, n_lags, n, signals.n_signals))
    borders: list[list[tuple[int, int]]] = [[] for _ in range(n_cells)]
    for (p, q), cell in zip(cut.pairs, cut.cell_of_pair, strict=True):
        if p == q:
            correlations[cell] += _within(signals, cut.edges[p], cut.edges[p + 1], n_lags)
        else:
            borders[cell].append((p, q))
    for cell, pairs in enumerate(borders):
        for first in range(0, len(pairs), _BLOCKS_AT_ONCE):
            some = pairs[first : first + _BLOCKS_AT_ONCE]
            correlations[cell] += _across(signals, cut.edges, some, n_lags)
    return correlations


def _within(signals: Signals, start: int, stop: int, n_lags: int) -> Any:
    """Correlate the samples of one segment."""
    n_fft = 4 * n_lags  # longer ones have fewer products and longer inverse transforms
    block = n_fft - n_lags + 1
    spectrum: Any = 0.0
    for first in range(start, stop, _BLOCKS_AT_ONCE * block):
        n_blocks = min(_BLOCKS_AT_ONCE, -(-(stop - first) // block))
        audio = signals.read(first, n_blocks * block + n_lags - 1, start, stop)
        z = np.lib.stride_tricks.sliding_window_view(audio, n_fft, axis=1)[:, ::block]
        x = np.zeros((signals.n_references, n_blocks, n_fft))
        x[:, :, :block] = z[: signals.n_references, :, :block]
        spectrum = spectrum + _cross_spectrum(x, z)
    return scipy.fft.irfft(spectrum, n_fft, axis=0)[:n_lags]


def _across(
    signals: Signals, edges: npt.NDArray[np.int64], pairs: list[tuple[int, int]], n_lags: int
) -> Any:
    """Correlate the ends of segments with the beginnings of later ones."""
    reach = n_lags - 1
    x = np.zeros((signals.n_references, len(pairs), 2 * n_lags))
    z = np.zeros((signals.n_signals, len(pairs), 2 * n_lags))
    for k, (p, q) in enumerate(pairs):
        origin = edges[p + 1] - reach
        start, end = max(edges[p], origin), edges[p + 1]
        x[:, k] = signals.read(origin, 2 * n_lags, start, end)[: len(x)]
        z[:, k] = signals.read(origin, 2 * n_lags, edges[q], min(edges[q + 1], end + reach))
    return scipy.fft.irfft(_cross_spectrum(x, z), 2 * n_lags, axis=0)[:n_lags]


def _cross_spectrum(x: Float64s, z: Float64s) -> Any:
    """Return (n_bins, n_x, n_z) spectra summed over the blocks of (n, n_blocks, n_fft) signals."""
    spectrum_x = scipy.fft.rfft(x.transpose(2, 0, 1), axis=0)
    spectrum_z = scipy.fft.rfft(z.transpose(2, 1, 0), axis=0)
    np.conjugate(spectrum_x, out=spectrum_x)
    return spectrum_x @ spectrum_z
