"""Whether the models at hand can do what is asked of a separation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stemsmith.evaluate.separation.estimation import step_of
from stemsmith.evaluate.separation.options import RESIDUAL, SeparationConfig
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import SeparationModel

__all__ = ["check_models"]


def check_models(
    config: SeparationConfig,
    models: Mapping[str, SeparationModel[Any]],
    targets: Sequence[str],
    n_transforms: int,
) -> None:
    """Check that models can do what a configuration asks for.

    Parameters
    ----------
    config : SeparationConfig
        What is asked for.
    models : mapping of str to SeparationModel
        The models by the names that errors call them.
    targets : sequence of str
        Targets of all models together.
    n_transforms : int
        Number of different pairs of transform and sample rate that the models have.

    Raises
    ------
    UsageError
        If they cannot.
    """
    if not models:
        raise UsageError("no run is given")
    fixed = {name: model for name, model in models.items() if model.is_fixed_length}
    for name, model in models.items():
        if config.is_streaming and name not in fixed:
            raise UsageError(f"streaming: {name} is a recurrent network, which needs the whole")
        if name in fixed:
            step_of(model, config.overlap)
    if config.overlap is not None and not fixed:
        raise UsageError(
            "overlap: only of networks with segments of a fixed length (cnn, chandna, resnet)"
        )
    if config.mask_exponent is not None and (len(targets) < 2 or n_transforms > 1):
        raise UsageError("masks share the mixture among two or more targets of one transform")
    if unknown := sorted({*config.thresholds} - {*targets, "*"}):
        raise UsageError(f"threshold of {unknown[0]}: not a target; known: {', '.join(targets)}")
    if config.is_with_residual and RESIDUAL in targets:
        raise UsageError(f"the residual: a run separates a target of that name, {RESIDUAL}")
