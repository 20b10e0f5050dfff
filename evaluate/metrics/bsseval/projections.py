"""Energies of an estimate's components in a window, from correlations or from the audio.

The components of an estimate y of a target s (BSS Eval, images) come from two projections: P1, of
y onto the delayed channels of s, and P2, of y onto those of all references. Wanted are the energies
of P1, of the spatial error P1 - s, of P2, of the interference P2 - P1 and of the artefacts y - P2.

The first four are a filtered sum of references, ``e(t) = sum_i sum_l h_i(l) x_i(t - l)``, of which
the energy is a quadratic form in the taps. With the correlations r of the window it reads ::

    |e|^2 = sum_ij sum_d q_ij(d) r_ij(d),        q_ij(d) = sum_l h_i(l + d) h_j(l)

over d = -L+1 .. L-1, and as r_ij(-d) = r_ji(d), negative lags double the positive ones. Artefacts
are ``|y|^2 - 2 <y, P2> + |P2|^2``, and the product with y is ``sum_i sum_l h_i(l) r_iy(l)``. All of
them are linear in r: one product of matrices gives them for all windows, and no signal is filtered.

A quadratic form is a sum of large terms that may leave a small one: rounding takes the digits of
components that are 80 dB below the terms. `component_energies` says where; there the references
are filtered, as museval does, but block by block.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from stemsmith.evaluate.metrics.bsseval.correlations import Signals
from stemsmith.evaluate.metrics.bsseval.levinson import solve_block_toeplitz
from stemsmith.manifests.arrays import Float64s

__all__ = ["COMPONENTS", "Filters", "component_energies", "filtered_energies", "solve_filters"]


COMPONENTS: Final = (
    "filtered", "spatial", "projected", "interference", "artefacts", "distortion",
)  # fmt: skip
# Smallest energy relative to the terms that it is left of: an error of 1e-6 dB.
_SMALLEST: Final = 1e-8
_BLOCKS_AT_ONCE: Final = 32


class Filters(NamedTuple):
    """Filters from each reference channel to each channel of each estimate.

    Attributes
    ----------
    own, all : numpy.ndarray
        (n_taps, n_references, n_targets * n_channels); `own` is zero for channels of others.
    """

    own: Float64s
    all: Float64s


def solve_filters(correlations: Float64s, n_targets: int, n_channels: int) -> Filters:
    """Project the estimates onto the delayed references, by least squares.

    Parameters
    ----------
    correlations : numpy.ndarray
        (n_taps, n_references, n_signals) of what the filters are fitted to.
    n_targets, n_channels : int
        Number of estimates, and of the channels of each.

    Returns
    -------
    Filters
        The filters of the least squared error.
    """
    n = correlations.shape[1]
    blocks, right = correlations[:, :, :n], correlations[:, :, n:]
    own_channels = [slice(k * n_channels, (k + 1) * n_channels) for k in range(n_targets)]
    own_filters = solve_block_toeplitz(
        np.stack([blocks[:, c, c] for c in own_channels]),
        np.stack([right[:, c, c] for c in own_channels]),
    )
    own = np.zeros_like(right)
    for c, filters in zip(own_channels, own_filters, strict=True):
        own[:, c, c] = filters
    if n == n_channels:  # the only reference there is: no interference, not even by rounding
        return Filters(own, own)
    return Filters(own, solve_block_toeplitz(blocks[None], right[None])[0])


def component_energies(
    correlations: Float64s, is_part: Float64s, estimate_energies: Float64s, filters: Filters
) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    """Return the energies of the components, from correlations.

    Parameters
    ----------
    correlations : numpy.ndarray
        (n_cells, n_taps, n_references, n_signals).
    is_part : numpy.ndarray
        (n_windows, n_cells), 1.0 where a cell is part of a window.
    estimate_energies : numpy.ndarray
        (n_windows, n_targets) of the estimates themselves.
    filters : Filters
        The filters of all these windows.

    Returns
    -------
    energies : numpy.ndarray
        (n_windows, 6, n_targets) in the order of `COMPONENTS`.
    is_exact : numpy.ndarray
        (n_windows, n_targets) bool: False where rounding took digits of one of them.
    """
    n_targets = estimate_energies.shape[1]
    forms = _forms(filters, n_targets)
    n_cells, n = len(correlations), forms.shape[1]
    values = correlations.reshape(n_cells, -1) @ forms.reshape(-1, 5 * n_targets)
    energies = (is_part @ values).reshape(-1, 5, n_targets)
    # What the terms of lag 0 add up to, i = j: none of the others is larger.
    diagonal = np.arange(n)
    powers = correlations[:, 0, diagonal, diagonal] @ forms[0, diagonal, diagonal].reshape(n, -1)
    terms = (is_part @ powers).reshape(energies.shape)
    terms[:, 4] = estimate_energies + terms[:, 2]
    energies[:, 4] = estimate_energies - 2 * energies[:, 4] + energies[:, 2]
    products = is_part @ _own_products(correlations, filters.own, n_targets)
    distortion = estimate_energies - 2 * products + energies[:, 0]
    energies = np.concatenate([energies, distortion[:, None]], axis=1)
    terms = np.concatenate([terms, (estimate_energies + terms[:, 0])[:, None]], axis=1)
    is_exact = np.atleast_1d((energies >= _SMALLEST * terms).all(axis=1))
    return energies, is_exact


def _own_products(correlations: Float64s, own: Float64s, n_targets: int) -> Float64s:
    """Return the (n_cells, n_targets) products of y and P1."""
    n, n_outputs = own.shape[1:]
    n_channels = n_outputs // n_targets
    products = np.zeros((len(correlations), n_targets))
    for target in range(n_targets):
        channels = slice(target * n_channels, (target + 1) * n_channels)
        right = correlations[:, :, channels, n:][:, :, :, channels]
        products[:, target] = np.tensordot(right, own[:, channels, channels], 3)
    return products


def _forms(filters: Filters, n_targets: int) -> Float64s:
    """Return (n_taps, n_references, n_signals, 5, n_targets) weights of the correlations.

    They give the energies of the first four components, and the products of y and P2.
    """
    n_taps, n, n_outputs = filters.all.shape
    identity = np.zeros_like(filters.own)
    identity[0, range(n_outputs), range(n_outputs)] = 1.0
    own, joint = filters.own, filters.all
    forms = np.zeros((n_taps, n, n + n_outputs, 5, n_targets))
    for component, taps in enumerate((own, own - identity, joint, joint - own)):
        spectra = scipy.fft.rfft(taps, 2 * n_taps, axis=0).reshape(
            -1, n, n_targets, n_outputs // n_targets
        )
        for target in range(n_targets):
            spectrum = spectra[:, :, target]
            power = spectrum @ np.conj(spectrum.transpose(0, 2, 1))
            form = 2 * scipy.fft.irfft(power, 2 * n_taps, axis=0)[:n_taps]
            form[0] /= 2
            forms[:, :, :n, component, target] = form
    for output in range(n_outputs):
        forms[:, :, n + output, 4, output * n_targets // n_outputs] = joint[:, :, output]
    return forms


def filtered_energies(signals: Signals, start: int, stop: int, filters: Filters) -> Float64s:
    """Return the energies of the components of one window, from its filtered references.

    Parameters
    ----------
    signals : Signals
        All signals of the track.
    start, stop : int
        First sample of the window, and the one after its last.
    filters : Filters
        The filters that hold for the window.

    Returns
    -------
    numpy.ndarray
        (6, n_targets) in the order of `COMPONENTS`.
    """
    n_taps, n, n_outputs = filters.all.shape
    n_fft, history = 4 * n_taps, n_taps - 1
    block = n_fft - history
    spectra = scipy.fft.rfft(np.concatenate([filters.own, filters.all], axis=2), n_fft, axis=0)
    energies = np.zeros((len(COMPONENTS), signals.n_targets))
    # The filters ring on for n_taps - 1 samples after the window, and have no past before it.
    for first in range(start, stop + history, _BLOCKS_AT_ONCE * block):
        n_blocks = min(_BLOCKS_AT_ONCE, -(-(stop + history - first) // block))
        audio = signals.read(first - history, history + n_blocks * block, start, stop)
        x = np.lib.stride_tricks.sliding_window_view(audio[:n], n_fft, axis=1)[:, ::block]
        spectrum = scipy.fft.rfft(x.transpose(2, 1, 0), axis=0) @ spectra
        outputs = scipy.fft.irfft(spectrum, n_fft, axis=0)[history:].transpose(2, 1, 0)
        own, joint = outputs.reshape(2, n_outputs, n_blocks * block)
        s, y = audio[:n_outputs, history:], audio[n:, history:]
        components = np.stack([own, own - s, joint, joint - own, y - joint, y - own])
        powers = np.square(components).sum(axis=2)
        energies += powers.reshape(len(COMPONENTS), signals.n_targets, -1).sum(axis=2)
    return energies
