"""``label-noise``: two targets of some mixtures have each other's labels (SDX'23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stemsmith.mixing.augmentation import (
    Augmentation,
    DrawRng,
    Parameter,
    SourceEffect,
    parameter,
)

__all__ = ["AUGMENTATION", "LabelNoise", "Mislabel"]

_P_SWAPPED: Final = 0.2


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not {*value} & {"/", "\0"}


@dataclass(frozen=True)
class Mislabel(SourceEffect):
    """Says which target the source is recorded as, and does nothing to its audio."""

    name = "label"
    target: str = parameter(Parameter("the name of a target", _is_name))

    @property
    def label(self) -> str:
        """The target."""
        return self.target


class LabelNoise(Augmentation):
    """With probability 0.2 two targets of a mixture, any two alike likely, are swapped.

    Whole targets are, so that the recordings of a mixture still sum to it.
    """

    name = "label-noise"
    summary = "with p = 0.2 two targets of a mixture have each other's labels"
    after = "SDX'23"
    excluded_modes = frozenset({"across"})  # which joins mixtures that were drawn by themselves
    effects = (Mislabel,)
    excludes = frozenset({"drums-bass-noise"})
    is_fault = True
    swapped: tuple[str, ...] = ()  # the targets among which two are swapped; empty for all

    def draw_faults(
        self, rng: DrawRng, rng_of_mixture: DrawRng, group: str, groups: Sequence[str]
    ) -> Sequence[SourceEffect]:
        """Return the label of a source's target, if it is one of the two."""
        draw, names = rng_of_mixture(), groups
        if self.swapped:
            names = [name for name in groups if name in self.swapped]
        if draw.random() >= _P_SWAPPED or len(names) < 2:
            return ()
        one, other = (names[i] for i in draw.choice(len(names), 2, replace=False))
        if group not in (one, other):
            return ()
        return (Mislabel(other if group == one else one),)


AUGMENTATION: Final = LabelNoise()
