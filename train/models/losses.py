"""What the papers minimise. Losses take (estimate, reference), as in PyTorch.

Sums over bins in the papers' equations are means here, unless said otherwise, so that losses of
other batch sizes and segment lengths compare; that scales gradients, which Adam does not notice.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["complex_loss", "magnitude_loss", "tpsa_loss", "tpsa_target"]


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
        Scalar.
    """
    return (estimate - tpsa_target(reference, mixture)).abs().mean()


def magnitude_loss(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared difference of magnitudes (Chiu, section II-B).

    Parameters
    ----------
    estimate : Tensor
        (...) magnitudes.
    reference : Tensor
        (...) complex spectra.

    Returns
    -------
    Tensor
        Scalar.
    """
    return (estimate - reference.abs()).square().mean()


def complex_loss(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared distance of complex spectra (Brunner, section IV-A).

    Parameters
    ----------
    estimate, reference : Tensor
        (...) complex spectra.

    Returns
    -------
    Tensor
        Scalar: squares of real and imaginary part added, and the mean of that over bins.
    """
    # not abs().square(): no root whose gradient must be guarded at 0
    return torch.view_as_real(estimate - reference).square().sum(dim=-1).mean()
