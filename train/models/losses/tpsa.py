"""The truncated phase-sensitive loss of the Slakh paper (Manilow et al. 2019, equation 1)."""

from __future__ import annotations

from typing import Final

import torch
from stemsmith.train.models.loss import Loss
from torch import Tensor

__all__ = ["LOSS", "tpsa_loss", "tpsa_target"]


def tpsa_target(reference: Tensor, mixture: Tensor) -> Tensor:
    """Return the truncated phase-sensitive target of a masked mixture.

    ``min(max(|S| cos(angle S - angle X), 0), |X|)`` (Slakh, equation 1): the projection of the
    source on the mixture's phase, as far as a mask in [0, 1] reaches it.

    Parameters
    ----------
    reference, mixture : Tensor
        Complex spectra S and X, of shapes that broadcast.

    Returns
    -------
    Tensor
        Real, in [0, |X|]; 0 where the mixture is silent.
    """
    magnitude = mixture.abs()
    tiny = torch.finfo(magnitude.dtype).tiny
    # |S| cos(angle S - angle X) = Re(S conj(X)) / |X|, and |X| / |X| is a phase: no underflow
    phase = mixture / magnitude.clamp_min(tiny)
    projection = reference.real * phase.real + reference.imag * phase.imag
    return torch.minimum(projection.clamp_min(0), magnitude)


def tpsa_loss(estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
    """Return the mean absolute difference from the truncated phase-sensitive target.

    Parameters
    ----------
    estimate : Tensor
        (...) masked magnitudes M |X|.
    reference, mixture : Tensor
        Complex spectra S and X, of shapes that broadcast to that of `estimate`.

    Returns
    -------
    Tensor
        Mean loss over all values, a scalar.
    """
    return (estimate - tpsa_target(reference, mixture)).abs().mean()


LOSS: Final = Loss(tpsa_loss, is_complex=False)
