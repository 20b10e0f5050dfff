"""The squared distance of complex spectra (Brunner et al. 2019, section IV-A)."""

from __future__ import annotations

from typing import Final

import torch
from stemsmith.train.models.loss import Loss
from torch import Tensor

__all__ = ["LOSS", "complex_loss"]


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


def _loss(estimate: Tensor, reference: Tensor, _: Tensor) -> Tensor:
    return complex_loss(estimate, reference)


LOSS: Final = Loss(_loss, is_complex=True)
