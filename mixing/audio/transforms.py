"""Transforms as recipes have them: effects on one source, as JSON, in their order.

A transform is ``{"name": "contrast", "amount": 33}``: a `SourceEffect` of one of
`stemsmith.mixing.augmentations`, with its parameters.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.documents import parse_json
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.mixing.augmentation import SourceEffect, effects_by_name
from stemsmith.mixing.augmentations import AUGMENTATIONS

__all__ = [
    "Transform",
    "apply_transforms",
    "decode",
    "effect_of",
    "encode",
    "kept_stretches",
    "known_effects",
]

Transform = dict[str, Any]


@functools.cache
def known_effects() -> Mapping[str, type[SourceEffect]]:
    """Return all effects that augmentations write into recipes, by name."""
    return effects_by_name([AUGMENTATIONS.load(name) for name in AUGMENTATIONS.names])


def _problem(transform: object) -> str:
    """Return what is wrong with a transform, or the empty string."""
    name = transform.get("name") if isinstance(transform, dict) else None
    if not isinstance(transform, dict) or not isinstance(name, str):
        return f"a transform is an object with a name, not {transform!r}"
    known = known_effects()
    if name not in known:
        return f"no transform {name!r}; known: {', '.join(known)}"
    parameters = known[name].parameters()
    given = [str(key) for key in transform if key != "name"]
    if sorted(given) != sorted(parameters):
        wanted = ", ".join(parameters) or "none"
        return f"{name}: parameters are {wanted}, not {', '.join(given) or 'none'}"
    for key, parameter in parameters.items():
        if not parameter.holds(transform[key]):
            return f"{name}: {key} must be {parameter.wanted}, not {transform[key]!r}"
    return ""


def encode(transform: Transform) -> str:
    """Write a transform as it stands in a recipe.

    Parameters
    ----------
    transform : Transform
        Name and parameters, as `SourceEffect.record` returns them.

    Returns
    -------
    str
        Canonical JSON: equal transforms give equal text.

    Raises
    ------
    UsageError
        For an unknown name, a missing or unknown parameter, or a value out of its range.
    """
    if problem := _problem(transform):
        raise UsageError(problem)
    plain = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in transform.items()
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> Transform:
    """Read a transform from a recipe.

    Parameters
    ----------
    text : str
        As written by `encode`.

    Returns
    -------
    Transform
        Name and parameters.

    Raises
    ------
    InvalidCorpus
        If it is no JSON or no transform that `encode` would write.
    """
    try:
        transform = parse_json(text)
    except ValueError:
        raise InvalidCorpus(f"transform {text!r}: not JSON") from None
    if problem := _problem(transform):
        raise InvalidCorpus(f"transform {text!r}: {problem}")
    return dict(transform)


def effect_of(text: str) -> SourceEffect:
    """Return the effect that a transform of a recipe is; errors as in `decode`."""
    parameters = decode(text)
    return known_effects()[parameters.pop("name")](**parameters)


def kept_stretches(transforms: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return what a source reads after its transforms: (start, n_samples), in samples of the file.

    None for a source that reads one excerpt, the ordinary case.
    """
    for effect in map(effect_of, transforms):
        if effect.stretches is not None:
            return list(effect.stretches)
    return None


def apply_transforms(audio: Float32s, sample_rate: int, transforms: Sequence[str]) -> Float32s:
    """Apply the transforms of a source in their order.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, one or two channels; not modified.
    sample_rate : int
        Sample rate in Hz.
    transforms : sequence of str
        As written by `encode`.

    Returns
    -------
    numpy.ndarray
        (n_channels, m) float32, a new array; m is n_samples, and n_samples / factor rounded after
        a change of tempo. The same bytes at every call.

    Raises
    ------
    InvalidCorpus
        If a transform is not valid.
    UsageError
        If a package is missing.
    """
    processed = audio.copy()
    for text in transforms:
        processed = effect_of(text).apply(processed, sample_rate)
    return np.ascontiguousarray(processed)
