"""Losses by name: what one is, and where they are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stemsmith.manifests.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LOSSES", "Loss"]


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that training can minimise.

    Attributes
    ----------
    function : callable
        Takes the estimate, the reference and the mixture, and returns a scalar. The estimate is
        (n_batch, n_targets, n_bins, n_frames) of magnitudes or complex spectra, the reference
        complex spectra of the same shape, and the mixture (n_batch, 1, n_bins, n_frames) complex.
        Of a model that takes two channels together, all three have these before the bins.
    is_complex : bool
        Whether the estimates that it compares are complex spectra, or magnitudes.
    targets : tuple of str
        Names of the targets that it is of, in the order in which it takes them; empty where it
        treats all targets alike.
    """

    function: Callable[[Tensor, Tensor, Tensor], Tensor]
    is_complex: bool
    targets: tuple[str, ...] = ()


LOSSES: Final[Registry[Loss]] = Registry("loss", "stemsmith.train.models.losses", "LOSS")
