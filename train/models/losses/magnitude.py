"""The squared error of magnitudes (Chiu et al. 2020, section II-B; Miron et al. 2017)."""

from __future__ import annotations

from typing import Final

from stemsmith.train.models.loss import Loss
from torch import Tensor

__all__ = ["LOSS", "magnitude_loss"]


def magnitude_loss(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared difference of magnitudes (Chiu, section II-B).

    Parameters
    ----------
    estimate : Tensor
        Estimated magnitudes, of any shape (...).
    reference : Tensor
        (...) complex spectra of the targets.

    Returns
    -------
    Tensor
        Mean loss over all values, a scalar.
    """
    return (estimate - reference.abs()).square().mean()


def _loss(estimate: Tensor, reference: Tensor, _: Tensor) -> Tensor:
    return magnitude_loss(estimate, reference)


LOSS: Final = Loss(_loss, is_complex=False)
