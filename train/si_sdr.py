"""The scale-invariant signal-to-distortion ratio of the validation set (Le Roux et al. 2019).

Of the estimate e of a target and its reference s, with the projection ``p = (e . s / s . s) s``, it
is ``10 log10(|p|^2 / |e - p|^2)`` (equation 5), per example and target. No mean is removed first,
as in `stemsmith.evaluate.metrics`.

Two departures make a mean over all examples of a validation set mean something:

* an example whose reference is silent has no ratio, and is left out;
* ratios beyond ``LIMIT_DB`` either way count as that, because one silent estimate would make the
  mean minus infinity, and a perfect one infinity.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["LIMIT_DB", "SiSdrTotal", "si_sdr_db"]

LIMIT_DB: Final = 80.0


def si_sdr_db(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the SI-SDR of mono recordings.

    Parameters
    ----------
    estimate, reference : Tensor
        (..., n_samples) float.

    Returns
    -------
    Tensor
        (...) float64 in dB, from ``-LIMIT_DB`` to ``LIMIT_DB``; NaN where the reference is silent.
        A silent estimate has ``-LIMIT_DB``.
    """
    e, s = estimate.double(), reference.double()
    energy, power = s.square().sum(-1), e.square().sum(-1)
    along = (e * s).sum(-1)
    scale = along / energy  # |p|^2 = along * scale
    residual = (e - scale[..., None] * s).square().sum(-1)
    ratio = (10 * torch.log10(along * scale / residual)).clamp(-LIMIT_DB, LIMIT_DB)
    ratio = torch.where(power > 0, ratio, -LIMIT_DB)
    return torch.where(energy > 0, ratio, torch.nan)


class SiSdrTotal:
    """The sum of many ratios and their number; both stay on the device, which nobody waits for."""

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0
        self._n: Tensor | float = 0.0

    def add(self, estimate: Tensor, reference: Tensor) -> None:
        """Count the ratios of (..., n_samples) whose reference sounds."""
        ratios = si_sdr_db(estimate, reference)
        is_counted = ~ratios.isnan()
        self._sum = self._sum + torch.where(is_counted, ratios, 0.0).sum()
        self._n = self._n + is_counted.sum()

    @property
    def sum_and_number(self) -> list[float]:
        """Sum in dB, and how many there are."""
        return [float(self._sum), float(self._n)]
