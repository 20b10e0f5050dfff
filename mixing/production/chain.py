"""Chains of effects through pedalboard (extra `effects`, GPL-3), their parameters and ranges.

Processing is sample by sample from a clean state: the same audio gives the same bytes. None of the
effects comes late: an onset stays where it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import UsageError, optional_package
from stemsmith.mixing.production.parameters import draw_evenly, draw_in_octaves

__all__ = [
    "EFFECTS",
    "DrawnEffect",
    "Effect",
    "apply_effects",
    "chain_entries",
    "chain_from_json",
    "chain_to_json",
    "draw_chain",
    "parse_drawn_effects",
    "parse_effects",
]

# pedalboard's own names; parameters are pedalboard's too.
EFFECTS: Final = (
    "Chorus",
    "Compressor",
    "Delay",
    "Distortion",
    "Gain",
    "HighShelfFilter",
    "HighpassFilter",
    "Limiter",
    "LowShelfFilter",
    "LowpassFilter",
    "PeakFilter",
    "Reverb",
)
_PROBABILITY: Final = "probability"  # of ours, beside pedalboard's
_IN_OCTAVES: Final = ("_hz", "_ms", "_seconds", "q")
_BLOCK_SAMPLES: Final = 8192
_FEWEST_SAMPLES: Final = 3  # pedalboard takes (2, 2) for two samples of mono
_QUIETEST: Final = 1e-9  # -180 dBFS; above it a gain is heard by dividing


class Effect(NamedTuple):
    """One effect: pedalboard's class name and its parameters, sorted by name."""

    name: str
    parameters: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class DrawnEffect:
    """One effect whose parameters are drawn.

    Attributes
    ----------
    name : str
        Class name in pedalboard.
    ranges : tuple of (str, (float, float))
        Least and greatest value of each parameter, sorted by name.
    probability : float
        How likely the effect is there at all.
    """

    name: str
    ranges: tuple[tuple[str, tuple[float, float]], ...]
    probability: float = 1.0

    def draw(self, rng: np.random.Generator) -> Effect:
        """Draw the parameters: frequencies, times and q evenly in octaves, others evenly."""
        values = []
        for name, (low, high) in self.ranges:
            is_in_octaves = low > 0 and name.endswith(_IN_OCTAVES)
            value = low
            if low < high:
                value = (draw_in_octaves if is_in_octaves else draw_evenly)(rng, low, high)
            values.append((name, value))
        return Effect(self.name, tuple(values))


def draw_chain(effects: Sequence[DrawnEffect], rng: np.random.Generator) -> tuple[Effect, ...]:
    """Draw a chain: which effects are there, and their parameters.

    Parameters
    ----------
    effects : sequence of DrawnEffect
        What may be drawn, in the order in which it is applied.
    rng : numpy.random.Generator
        Generator that belongs to the stem.
    """
    # What one effect draws does not depend on whether another is there.
    drawn = [(rng.random() < effect.probability, effect.draw(rng)) for effect in effects]
    return tuple(effect for is_there, effect in drawn if is_there)


def chain_entries(effects: Sequence[Effect]) -> list[dict[str, dict[str, float]]]:
    """Return a chain as `parse_effects` takes it: ``[{"Gain": {"gain_db": 2.0}}]``."""
    return [{effect.name: dict(effect.parameters)} for effect in effects]


def chain_to_json(effects: Sequence[Effect]) -> str:
    """Return the entries of a chain as one line of JSON."""
    return json.dumps(chain_entries(effects))


def chain_from_json(text: str) -> tuple[Effect, ...]:
    """Return the chain that `chain_to_json` has written.

    Raises
    ------
    UsageError
        If the text is no such JSON.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise UsageError(f"not a chain of effects: {error}") from error
    return parse_effects(entries, "a chain of effects")


def _pedalboard() -> Any:
    return optional_package("pedalboard", "effects", "effects need")


def parse_effects(entries: object, where: str) -> tuple[Effect, ...]:
    """Check a chain of effects whose parameters are numbers, as a patch of a bank has it.

    Parameters
    ----------
    entries : object
        A list of one-key mappings, ``[{Reverb: {room_size: 0.3}}, ...]``.
    where : str
        File and patch, for messages.

    Returns
    -------
    tuple of Effect
        The effects in the order in which they are applied.

    Raises
    ------
    UsageError
        For an unknown effect or parameter, or a value pedalboard refuses.
    """
    return tuple(
        Effect(name, tuple(sorted(values.items())))
        for name, values in _parsed(entries, where, _number)
    )


def parse_drawn_effects(entries: object, where: str) -> tuple[DrawnEffect, ...]:
    """Check a chain of effects whose parameters may be ranges.

    Parameters
    ----------
    entries : object
        A list of one-key mappings, ``[{Compressor: {ratio: [2, 4], threshold_db: -20}}, ...]``;
        ``probability``, from 0 to 1, says how likely an effect is there.
    where : str
        File and class, for messages.

    Returns
    -------
    tuple of DrawnEffect
        The effects in the order in which they are applied.

    Raises
    ------
    UsageError
        For an unknown effect or parameter, a value pedalboard refuses, or a range that is none.
    """
    drawn = []
    for name, ranges in _parsed(entries, where, _range):
        low, high = ranges.pop(_PROBABILITY, (1.0, 1.0))
        if not 0 <= low == high <= 1:
            raise UsageError(f"{where}: {name}: {_PROBABILITY} is a number from 0 to 1")
        drawn.append(DrawnEffect(name, tuple(sorted(ranges.items())), low))
    return tuple(drawn)


def _number(name: str, value: Any) -> float:
    # YAML's on and yes are no numbers, though float() takes them for 1; its 1e3 is a text.
    if isinstance(value, bool):
        raise ValueError(f"{name} is a number, not {value!r}")
    return float(value)


def _range(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _number(name, value), _number(name, value)
    ends = [_number(name, end) for end in value]
    if len(ends) != 2 or not ends[0] <= ends[1]:
        raise ValueError(f"{name} is a number or a range [low, high], not {value!r}")
    return ends[0], ends[1]


def _parsed(
    entries: object, where: str, parse: Callable[[str, Any], Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the effects of a list, each with its parameters as `parse` makes them."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UsageError(f"{where}: effects must be a list")
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise UsageError(f"{where}: an effect is one name with its parameters, not {entry!r}")
        ((name, parameters),) = entry.items()
        if name not in EFFECTS:
            raise UsageError(f"{where}: no effect {name!r}; known: {', '.join(EFFECTS)}")
        if not isinstance(parameters, Mapping | None):
            raise UsageError(f"{where}: {name}: parameters must be a mapping")
        try:
            values = {str(key): parse(str(key), v) for key, v in (parameters or {}).items()}
            _try(name, values)
        except (TypeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise UsageError(f"{where}: {name}: {first}") from error
        found.append((name, values))
    return found


def _try(name: str, values: Mapping[str, Any]) -> None:
    """Let pedalboard see the parameters, and both ends of ranges."""
    for end in (0, 1):
        numbers = {
            key: value[end] if isinstance(value, tuple) else value for key, value in values.items()
        }
        if not all(math.isfinite(value) for value in numbers.values()):
            raise ValueError("a parameter is not a finite number")
        if isinstance(next(iter(values.values()), None), tuple):
            numbers.pop(_PROBABILITY, None)
        kind = getattr(_pedalboard(), name)
        known = _parameters_of(kind)
        if unknown := sorted(numbers.keys() - set(known)):
            raise ValueError(f"no parameter {unknown[0]!r}; known: {', '.join(known)}")
        kind(**numbers)


def _parameters_of(kind: type) -> list[str]:
    """Return what an effect can be told: its properties but those that every effect has."""
    every = dir(_pedalboard().Plugin)
    return [
        name
        for name in dir(kind)
        if name not in every and isinstance(getattr(kind, name), property)
    ]


def apply_effects(audio: Float32s, effects: Sequence[Effect], sample_rate: int) -> Float32s:
    """Run audio through a chain.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, one or two channels.
    effects : sequence of Effect
        Effects in the order in which they are applied.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32; what rings on after the end is cut.

    Raises
    ------
    UsageError
        For a filter that does not lie below half the sample rate.

    Notes
    -----
    Both channels of stereo get the gain of one compressor, which hears the louder of the two:
    pedalboard has one for each channel, which would move what is on one side.
    """
    for effect in effects:
        cutoff_hz = dict(effect.parameters).get("cutoff_frequency_hz", 0.0)
        if cutoff_hz >= sample_rate / 2:
            raise UsageError(
                f"{effect.name}: cutoff_frequency_hz {cutoff_hz:g} is not below half the sample "
                f"rate of {sample_rate} Hz"
            )
    n_samples = audio.shape[1]
    processed = np.pad(audio, ((0, 0), (0, max(0, _FEWEST_SAMPLES - n_samples))))
    together: list[Effect] = []
    for effect in effects:
        if effect.name == "Compressor" and len(audio) > 1:
            processed = _linked(_run(processed, together, sample_rate), effect, sample_rate)
            together = []
        else:
            together.append(effect)
    return _run(processed, together, sample_rate)[:, :n_samples]


def _run(audio: Float32s, effects: Sequence[Effect], sample_rate: int) -> Float32s:
    if not effects:
        return audio
    pedalboard = _pedalboard()
    board = pedalboard.Pedalboard(
        [getattr(pedalboard, effect.name)(**dict(effect.parameters)) for effect in effects]
    )
    processed: Float32s = board(audio, sample_rate, buffer_size=_BLOCK_SAMPLES, reset=True)
    return processed


def _linked(audio: Float32s, compressor: Effect, sample_rate: int) -> Float32s:
    """Compress all channels by the gain that the loudest one of each sample gets."""
    loudest = np.maximum(np.abs(audio).max(axis=0, keepdims=True), np.float32(_QUIETEST))
    compressed: Float32s = audio * (_run(loudest, [compressor], sample_rate) / loudest)
    return compressed
