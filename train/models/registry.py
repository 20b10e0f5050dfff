"""The models by name, with how their papers train them."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.blstm import BLSTM, BLSTMConfig
from stemsmith.train.models.cnn import CNN, CNNConfig
from stemsmith.train.models.resnet import ResNet, ResNetConfig
from stemsmith.train.models.umx import UMX, UMXConfig
from stemsmith.train.schedule import Optimiser, TrainConfig

__all__ = ["MODELS", "ModelKind", "configure", "from_settings", "make_model"]

_TRUTH: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A model, its configuration, and how it is trained unless told otherwise."""

    config: type[ModelConfig]
    model: type[SeparationModel[Any]]
    training: TrainConfig


MODELS: Final[Mapping[str, ModelKind]] = {
    # Slakh, section 3.1. Ours: batch size, number of epochs, clipping.
    "blstm": ModelKind(
        BLSTMConfig, BLSTM, TrainConfig(batch_size=32, plateau_epochs=5, clip_gradient=5.0)
    ),
    # Chiu, section V-A, and what Open-Unmix does where that says nothing; its patience of 80 is
    # PyTorch's, which acts an epoch later.
    "umx": ModelKind(
        UMXConfig,
        UMX,
        TrainConfig(
            epochs=1000,
            batch_size=16,
            weight_decay=1e-5,
            plateau_epochs=81,
            plateau_factor=0.3,
            plateau_cooldown=10,
            stop_epochs=140,
        ),
    ),
    # Miron, section 4.2: training stops when the cost changes by less than 0.05, which is 0.0174
    # of our loss (`CNN.loss`). AdaDelta's rate of 1 is its paper's; the number of epochs is the
    # largest in the authors' code.
    "cnn": ModelKind(
        CNNConfig,
        CNN,
        TrainConfig(
            epochs=40,
            batch_size=32,
            optimiser=Optimiser.ADADELTA,
            learning_rate=1.0,
            stop_change=0.0174,
        ),
    ),
    # Brunner, section IV-A. Ours: batch size and number of epochs.
    "resnet": ModelKind(ResNetConfig, ResNet, TrainConfig(batch_size=16, learning_rate=5e-5)),
}


def configure(name: str, targets: tuple[str, ...], settings: Mapping[str, str]) -> ModelConfig:
    """Return the configuration of a model.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    targets : tuple of str
        What it is to separate.
    settings : mapping of str to str
        Fields of the configuration that differ from the paper's, as text.

    Raises
    ------
    UsageError
        If a field is unknown or its value cannot be.
    """
    kind = MODELS[name].config
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "targets"]
    values: dict[str, Any] = {"targets": targets}
    for field, text in settings.items():
        if field not in fields:
            raise UsageError(f"{name} has no setting {field!r}; it has {', '.join(sorted(fields))}")
        try:
            values[field] = _TRUTH[text] if hints[field] is bool else hints[field](text)
        except (ValueError, KeyError):
            raise UsageError(f"{field}={text}: not a value of that setting of {name}") from None
    return _checked(name, kind, values)


def from_settings(name: str, content: Mapping[str, Any]) -> ModelConfig:
    """Return a configuration that was written as JSON.

    Raises
    ------
    UsageError
        If it is none of this model.
    """
    kind = MODELS[name].config
    hints = typing.get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}
    if set(content) != fields:
        odd = ", ".join(sorted(set(content) ^ fields))
        raise UsageError(f"not the settings of a {name} of this version: {odd}")
    values = {
        field: tuple(value) if field == "targets" else value for field, value in content.items()
    }
    for field, hint in hints.items():
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            values[field] = hint(str(values[field]))
    return _checked(name, kind, values)


def _checked(name: str, kind: type[ModelConfig], values: Mapping[str, Any]) -> ModelConfig:
    try:
        config = kind(**values)
        _ = config.stft  # has rules of its own
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
    for field in ("sample_rate", "segment_frames"):
        if getattr(config, field) < 1:
            raise UsageError(f"{name}: {field} must be above 0, not {getattr(config, field)}")
    return config


def make_model(name: str, config: ModelConfig) -> SeparationModel[Any]:
    """Return a model with new weights, drawn from PyTorch's random generator.

    Raises
    ------
    UsageError
        If there is no such network.
    """
    try:
        return MODELS[name].model(config)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UsageError(f"{name}: {error}") from error
