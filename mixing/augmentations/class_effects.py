"""``class-effects``: every source is produced as its class of instruments usually is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.mixing.augmentation import (
    Augmentation,
    Decided,
    DrawRng,
    Parameter,
    SourceEffect,
    parameter,
)
from stemsmith.mixing.production.chain import EFFECTS, chain_entries, parse_effects
from stemsmith.mixing.production.class_effects import (
    apply_class_effects,
    built_in_class_effects,
)

__all__ = ["AUGMENTATION", "ChainOfClass", "ProductionByClass"]


_CUTOFF: Final = "cutoff_frequency_hz"


def _is_chain(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(effect, dict)
        and len(effect) == 1
        and all(name in EFFECTS and _are_numbers(values) for name, values in effect.items())
        for effect in value
    )


def _are_numbers(values: Any) -> bool:
    return isinstance(values, dict) and all(
        isinstance(name, str) and type(value) in (int, float) and math.isfinite(value)
        for name, value in values.items()
    )


_CHAIN: Final = Parameter("a list of effects with numbers, [{NAME: {PARAMETER: VALUE}}]", _is_chain)


@dataclass(frozen=True)
class ChainOfClass(SourceEffect):
    """The chain of effects of a class, at the level that it is made for; the level stays."""

    name = "class-effects"
    chain: list[dict[str, dict[str, float]]] = parameter(_CHAIN)

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Run the audio through the chain."""
        try:
            effects = parse_effects(self.chain, self.name)
        except UsageError as error:
            if "install" in str(error):
                raise
            raise InvalidCorpus(str(error)) from error
        # There is nothing to raise or cut above half the sample rate.
        held = [e for e in effects if dict(e.parameters).get(_CUTOFF, 0.0) < sample_rate / 2]
        return apply_class_effects(audio, held, sample_rate)


class ProductionByClass(Augmentation):
    """Chains with ranges, by class: compressors, equalisers, amplifiers and cabinets."""

    name = "class-effects"
    summary = "compressors, equalisers and amplifiers, drawn for the class of each source"
    effects = (ChainOfClass,)
    place = 4
    packages = ("pedalboard",)

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Draw the chain of the finest class that has one."""
        finest_first = decided.classes[::-1]
        drawn = built_in_class_effects().draw(finest_first, rng(), decided.sample_rate)
        if not drawn:
            return ()
        return (ChainOfClass(chain_entries(drawn)),)


AUGMENTATION: Final = ProductionByClass()
