"""Non-negative matrix factorisation by the beta-divergence, with multiplicative updates.

Magnitudes V (n_bins, n_frames) are taken for ``W H + floor``: bases times gains, and a constant
that keeps powers finite. For 1 <= beta <= 2 the updates below never let the divergence grow
(Fevotte and Idier 2011, section 4.1, where the exponent of the updates is 1 in this range); the
constant is one more term of the model, which changes nothing about that. A gain that is 0 stays 0,
since it is multiplied.
"""

from __future__ import annotations

from typing import Final

import torch
from stemsmith.manifests.errors import UsageError
from torch import Tensor

__all__ = ["BETA", "FLOOR", "divergence", "fit_gains", "learn_base", "updated_gains"]

BETA: Final = 1.3  # Miron et al. 2017, section 4.3.2
# Of the model, where magnitudes are at most 1: 140 dB below the largest.
FLOOR: Final = 1e-7
_LEARNING_ROUNDS: Final = 4  # of one base: in trials the divergence stands still after two


def divergence(magnitudes: Tensor, bases: Tensor, gains: Tensor, beta: float = BETA) -> Tensor:
    """Return the beta-divergence of magnitudes from their model.

    Parameters
    ----------
    magnitudes : Tensor
        (n_bins, n_frames), at least 0.
    bases, gains : Tensor
        (n_bins, n_rows) and (n_rows, n_frames), at least 0.
    beta : float
        From 1, the Kullback-Leibler divergence, to 2, half the squared error.

    Returns
    -------
    Tensor
        (n_frames,) sums over the bins.
    """
    model = bases @ gains + FLOOR
    if beta == 1:
        log_ratio = torch.where(magnitudes > 0, (magnitudes / model).log(), 0)
        return (magnitudes * log_ratio - magnitudes + model).sum(dim=0)
    summed = magnitudes**beta + (beta - 1) * model**beta - beta * magnitudes * model ** (beta - 1)
    return summed.sum(dim=0) / (beta * (beta - 1))


def updated_gains(magnitudes: Tensor, bases: Tensor, gains: Tensor, beta: float = BETA) -> Tensor:
    """Return gains after one update; parameters as for `divergence`.

    ``H * (W^T (V M^(beta - 2))) / (W^T M^(beta - 1))`` with the model ``M = W H + floor``.
    """
    model = bases @ gains + FLOOR
    weights = (model.log() * (beta - 2)).exp()  # a third of the time of a power
    wanted = bases.T @ (magnitudes * weights)
    present = bases.T @ (weights * model)
    return gains * wanted / present.clamp_min(torch.finfo(present.dtype).tiny)


def fit_gains(
    magnitudes: Tensor,
    bases: Tensor,
    is_open: Tensor | None = None,
    n_updates: int = 50,
    beta: float = BETA,
) -> Tensor:
    """Return the gains of bases that are kept as they are.

    Each frame is scaled by its loudest bin, so that neither its level nor its neighbours change
    what is found, and a recording may be fitted block by block.

    Parameters
    ----------
    magnitudes, bases, beta
        As for `divergence`.
    is_open : Tensor, optional
        (n_rows, n_frames) bool: gains begin with 1 where it is true, and are 0 elsewhere. All are
        open by default.
    n_updates : int
        Number of updates, at least 1.

    Returns
    -------
    Tensor
        (n_rows, n_frames), at least 0.

    Raises
    ------
    UsageError
        If beta is not from 1 to 2.
    """
    if not 1 <= beta <= 2:
        raise UsageError(f"a beta of {beta:g}: from 1 to 2, where updates let no divergence grow")
    loudest = magnitudes.amax(dim=0, keepdim=True)
    scaled = magnitudes / torch.where(loudest > 0, loudest, 1)
    gains = bases.new_ones(bases.shape[1], magnitudes.shape[1])
    if is_open is not None:
        gains *= is_open
    for _ in range(n_updates):
        gains = updated_gains(scaled, bases, gains, beta)
    return gains * loudest


def learn_base(magnitudes: Tensor, beta: float = BETA) -> Tensor:
    """Return the one spectrum that a note's frames are multiples of, as nearly as can be.

    Parameters
    ----------
    magnitudes : Tensor
        (n_bins, n_frames) of the note alone.
    beta : float
        From 1 to 2, as for `divergence`.

    Returns
    -------
    Tensor
        (n_bins,) with a largest value of 1; all 0 for silence.
    """
    loudest = magnitudes.max()
    if not loudest > 0:
        return torch.zeros_like(magnitudes[:, 0])
    scaled = magnitudes / loudest
    base, gains = scaled.mean(dim=1, keepdim=True), scaled.mean(dim=0, keepdim=True)
    for _ in range(_LEARNING_ROUNDS):
        gains = updated_gains(scaled, base, gains, beta)
        base = updated_gains(scaled.T, gains.T, base.T, beta).T
    return base[:, 0] / base.max()
