"""Squared errors less what estimates have of other sources (Chandna et al. 2017; Martel 2017).

The published code of the authors (MTG/DeepConvSep, examples/dsd100/trainCNN.py at 6511208) adds the
squared errors of vocals, bass and drums, and takes off a little of their squared distances from
each other's sources and from "other", which has no term of its own: its mask is what the others
leave of the mixture. The absolute value of all that is minimised.
"""

from __future__ import annotations

from typing import Final

from stemsmith.train.models.loss import Loss
from torch import Tensor

__all__ = ["ALPHA", "BETA", "BETA_VOCALS", "LOSS", "SOURCES", "dissimilarity_loss"]

SOURCES: Final = ("vocals", "bass", "drums", "other")
ALPHA: Final = 0.001  # of vocals, bass and drums against each other
BETA: Final = 0.01  # of bass and drums against other
BETA_VOCALS: Final = 0.03  # of vocals against other
# A row for each estimate that counts, a column for each source that it is compared with.
_WEIGHTS: Final = (
    (1.0, -ALPHA, -ALPHA, -BETA_VOCALS),
    (-ALPHA, 1.0, -ALPHA, -BETA),
    (-ALPHA, -ALPHA, 1.0, -BETA),
)


def dissimilarity_loss(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the errors of three sources less their weighted distances from the other ones.

    Parameters
    ----------
    estimate : Tensor
        (n_batch, 4, ...) magnitudes of `SOURCES`.
    reference : Tensor
        Complex spectra of the same sources and shape.

    Returns
    -------
    Tensor
        Absolute value of the weighted sum of squares, divided by the number of values of
        `estimate`; a scalar. (The code sums over all values.)
    """
    n_rows = len(_WEIGHTS)
    errors = (estimate[:, :n_rows, None] - reference[:, None].abs()).square()
    weights = errors.new_tensor(_WEIGHTS)
    return (errors.flatten(3).mean(dim=(0, 3)) * weights).sum().abs() / len(SOURCES)


def _loss(estimate: Tensor, reference: Tensor, _: Tensor) -> Tensor:
    return dissimilarity_loss(estimate, reference)


LOSS: Final = Loss(_loss, is_complex=False, targets=SOURCES)
