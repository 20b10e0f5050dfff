"""The options of training as keyword arguments, and the configurations that they make."""

from __future__ import annotations

import dataclasses
from os import PathLike
from typing import Any, TypedDict, TypeVar

from stemsmith.manifests.options import fields_of
from stemsmith.train.data.config import ExampleConfig
from stemsmith.train.machine import Machine
from stemsmith.train.schedule import TrainConfig

__all__ = ["TrainOptions", "read_options"]

C = TypeVar("C", TrainConfig, ExampleConfig, Machine)


class TrainOptions(TypedDict, total=False):
    """Fields of `TrainConfig`, `ExampleConfig` and `Machine`; enumerations as their text too."""

    epochs: int
    batch_size: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    plateau_epochs: int
    plateau_factor: float
    plateau_cooldown: int
    stop_epochs: int
    stop_change: float
    clip_gradient: float
    precision: str
    monitor: str
    seed: int
    n_examples: int | None
    n_validation: int | None
    remix: float
    gain: tuple[float, float]
    device: str
    n_devices: int
    n_nodes: int
    loader: str
    n_workers: int
    n_threads: int | None
    cache: str | PathLike[str] | None
    logger: str


def read_options(
    defaults: TrainConfig, options: TrainOptions
) -> tuple[TrainConfig, ExampleConfig, Machine]:
    """Return the configurations that options make.

    Parameters
    ----------
    defaults : TrainConfig
        How the model is trained where the options say nothing.
    options : TrainOptions
        Fields of any of the three that the user wants otherwise.

    Raises
    ------
    UsageError
        For a value that cannot be.
    TypeError
        For an option that there is not.
    """
    known = TrainOptions.__annotations__
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"no option of training: {unknown[0]!r}; there are {', '.join(known)}")
    return (
        _replaced(defaults, options),
        _replaced(ExampleConfig(), options),
        _replaced(Machine(), options),
    )


def _replaced(config: C, options: TrainOptions) -> C:
    given: dict[str, Any] = dict(options)
    names = [field.name for field in fields_of(type(config)) if field.name in given]
    return dataclasses.replace(config, **{name: given[name] for name in names})
