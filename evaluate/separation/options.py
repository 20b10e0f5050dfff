"""What a user may ask of a separation, and whether the models at hand can do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stemsmith.evaluate.separation.estimation import step_of
from stemsmith.evaluate.separation.postprocess import Threshold
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import SeparationModel

__all__ = ["RESIDUAL", "SeparationOptions", "check_options"]

RESIDUAL: Final = "residual"
_REST: Final = "*"


@dataclass(frozen=True, kw_only=True)
class SeparationOptions:
    """How estimates are made and what is done to them; the defaults do nothing to them.

    Attributes
    ----------
    overlap : float, optional
        Of segments, of networks with segments of a fixed length; see `step_of`.
    mask_exponent : float, optional
        Replaces the estimates by shares of the mixture; see `shares`.
    thresholds : mapping of str to Threshold
        Make targets silent, by name; ``*`` stands for all that have no other. See `EnergyGate`.
    griffin_lim_iterations : int
        0 keeps the phases of the estimates: the mixture's, and resnet's own.
    is_with_residual : bool
        Whether mixture less all estimates is a target too, `RESIDUAL`.
    is_streaming : bool
        Whether every sample is given as early as can be.
    """

    overlap: float | None = None
    mask_exponent: float | None = None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    griffin_lim_iterations: int = 0
    is_with_residual: bool = False
    is_streaming: bool = False

    def __post_init__(self) -> None:
        if self.mask_exponent is not None and not 0 < self.mask_exponent < float("inf"):
            raise UsageError(f"a mask exponent of {self.mask_exponent:g}: it is above 0")
        for target, threshold in self.thresholds.items():
            if not (threshold.source >= 0 and threshold.mixture >= 0):
                raise UsageError(f"a threshold of {target}: powers are 0 or more")
        if self.griffin_lim_iterations < 0:
            raise UsageError(f"{self.griffin_lim_iterations} iterations: there are 0 or more")
        if self.is_streaming and (self.thresholds or self.griffin_lim_iterations):
            raise UsageError("streaming: thresholds and Griffin-Lim need audio that comes later")

    def threshold_of(self, target: str) -> Threshold:
        """Return what holds for a target."""
        return self.thresholds.get(target, self.thresholds.get(_REST, Threshold(0.0, 0.0)))


def check_options(
    options: SeparationOptions,
    models: Mapping[str, SeparationModel[Any]],
    targets: Sequence[str],
    n_transforms: int,
) -> None:
    """Check that options suit models.

    Parameters
    ----------
    options : SeparationOptions
        What is to be done.
    models : mapping of str to SeparationModel
        By what to call them.
    targets : sequence of str
        Of all models.
    n_transforms : int
        How many different transforms and sample rates the models have.

    Raises
    ------
    UsageError
        If not.
    """
    if not models:
        raise UsageError("no run is given")
    fixed = {name: model for name, model in models.items() if model.is_fixed_length}
    for name, model in models.items():
        if options.is_streaming and name not in fixed:
            raise UsageError(f"streaming: {name} is a recurrent network, which needs the whole")
        if name in fixed:
            step_of(model, options.overlap)
    if options.overlap is not None and not fixed:
        raise UsageError("overlap: only of networks with segments of a fixed length (cnn, resnet)")
    if options.mask_exponent is not None and (len(targets) < 2 or n_transforms > 1):
        raise UsageError("masks share the mixture among two or more targets of one transform")
    if unknown := sorted({*options.thresholds} - {*targets, _REST}):
        raise UsageError(f"threshold of {unknown[0]}: not a target; known: {', '.join(targets)}")
    if options.is_with_residual and RESIDUAL in targets:
        raise UsageError(f"the residual: a run separates a target of that name, {RESIDUAL}")
