"""Models by name: their configurations from what a user or a run says, and the networks.

Importing this imports no model.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from stemsmith.manifests.documents import misfit
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.registry import Registry

if TYPE_CHECKING:
    from stemsmith.train.models.base import ModelConfig, SeparationModel
    from torch import Tensor

__all__ = [
    "MODELS",
    "check_shapes",
    "configure",
    "from_settings",
    "is_model_name",
    "make_model",
    "model_class",
]

MODELS: Final[Registry[type[SeparationModel[Any]]]] = Registry(
    "model", "stemsmith.train.models.architectures", "MODEL"
)
_LARGEST: Final = 1 << 20  # whole number that a setting may be; and in loops of Python:
_MOST: Final = {"n_layers": 1000, "n_blocks": 1000}
_TRUTH: Final = {"true": True, "false": False}


def is_model_name(name: object) -> bool:
    """Return whether something may be the name of a model: one of ours, or of anyone's."""
    return isinstance(name, str) and (name in MODELS or ":" in name)


def model_class(name: str) -> type[SeparationModel[Any]]:
    """Return the class of a model.

    Parameters
    ----------
    name : str
        One of `MODELS`, or ``package.module:Class``.

    Raises
    ------
    UsageError
        If there is no such class, or it is not a separation model with a configuration.
    """
    from stemsmith.train.models.base import ModelConfig, SeparationModel

    found: Any = MODELS.load(name)
    if not (isinstance(found, type) and issubclass(found, SeparationModel)):
        raise UsageError(f"model {name!r}: is no subclass of stemsmith.train.SeparationModel")
    config_type = getattr(found, "config_type", None)
    if not (isinstance(config_type, type) and issubclass(config_type, ModelConfig)):
        raise UsageError(f"model {name!r}: its config_type is no subclass of ModelConfig")
    if inspect.isabstract(found):
        raise UsageError(f"model {name!r}: does not define forward")
    return found


def configure(name: str, targets: tuple[str, ...], settings: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration of a model.

    Parameters
    ----------
    name : str
        Name of the model, as for `model_class`.
    targets : tuple of str
        Names of the targets that it is to separate.
    settings : mapping of str to object
        Fields of the configuration that differ from the model's defaults, as values or as text.

    Raises
    ------
    UsageError
        If a field is unknown or its value cannot be.
    """
    config_type = model_class(name).config_type
    hints = typing.get_type_hints(config_type)
    fields = [field.name for field in dataclasses.fields(config_type) if field.name != "targets"]
    values: dict[str, Any] = {"targets": targets}
    for field, value in settings.items():
        if field not in fields:
            raise UsageError(f"{name} has no setting {field!r}; it has {', '.join(sorted(fields))}")
        try:
            values[field] = _value(value, hints[field])
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{field}={value}: not a value of that setting of {name}") from None
    return _checked(name, config_type, values)


def _value(value: Any, hint: Any) -> Any:
    """Return a setting as its field has it, from a value or from text."""
    if typing.get_origin(hint) is tuple:  # of any number of one kind
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_value(part, typing.get_args(hint)[0]) for part in parts)
    if hint is bool:
        return value if isinstance(value, bool) else _TRUTH[value]
    if isinstance(value, str) and isinstance(hint, type):
        return hint(value)  # a number, a text, or the member of an enumeration
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if (isinstance(hint, type) and not isinstance(value, hint)) or (hint is int and not is_number):
        raise TypeError(value)
    return value


def from_settings(name: str, content: Mapping[str, Any]) -> ModelConfig:
    """Return a configuration that was written as JSON.

    Raises
    ------
    UsageError
        If there is no such model, or the configuration is not one of it.
    """
    config_type = model_class(name).config_type
    hints = typing.get_type_hints(config_type)
    fields = {field.name for field in dataclasses.fields(config_type)}
    if set(content) != fields:
        odd = ", ".join(sorted(set(content) ^ fields))
        raise UsageError(f"not the settings of a {name} of this version: {odd}")
    try:
        values = {field: _from_json(value, hints[field]) for field, value in content.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"not the settings of a {name}: {error}") from error
    for field, value in values.items():
        if isinstance(value, int) and abs(value) > _MOST.get(field, _LARGEST):
            raise UsageError(f"{name}: {field} is {value}, which no network has")
    return _checked(name, config_type, values)


def _from_json(value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is not a list")
        return tuple(_from_json(item, typing.get_args(hint)[0]) for item in value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint in (bool, int, float, str) and (problem := misfit(value, hint, repr(value))):
        raise TypeError(problem)
    return value


def check_shapes(name: str, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
    """Check that weights are those of a model, before there is memory for it.

    Somebody else's settings may ask for any amount. Of a model of anyone's nothing is known before
    it is made.

    Parameters
    ----------
    name : str
        Name of the model.
    config : ModelConfig
        Configuration of the model.
    weights : mapping of str to Tensor
        Weights that it is to have, by their names in it.

    Raises
    ------
    UsageError
        If there is no such network.
    ValueError
        Naming the first weight that is missing or has another shape.
    """
    import torch

    if name not in MODELS:
        return
    with torch.device("meta"):
        wanted = make_model(name, config).state_dict()
    for key, value in wanted.items():
        if key not in weights or weights[key].shape != value.shape:
            raise ValueError(f"{key} is not of shape {tuple(value.shape)}")


def _checked(name: str, config_type: type[ModelConfig], values: Mapping[str, Any]) -> ModelConfig:
    try:
        config = config_type(**values)
        _ = config.stft  # has rules of its own
    except (ValueError, TypeError) as error:
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
        return model_class(name)(config)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UsageError(f"{name}: {error}") from error
