"""What a user may choose of training examples and where they come from.

Imports nothing heavy: commands read their options from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option

__all__ = ["ExampleConfig", "Loader"]


class Loader(StrEnum):
    """Where examples come from."""

    AUTO = "auto"
    STREAM = "stream"  # decoded from recipes or shards again and again
    RESIDENT = "resident"  # decoded once


def _parse_gain(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--gain {text}: write two numbers, e.g. 0.25,1.25") from None
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleConfig:
    """Which examples an epoch has.

    With the sizes of a model it makes `stemsmith.train.data.examples.ExampleRules`, which checks
    the values.

    Attributes
    ----------
    seed : int
        Seed of all random choices: examples, first weights and dropout.
    n_examples : int or None
        Number of examples of an epoch, drawn anew each time; None takes all there are.
    n_validation : int or None
        Number of validation examples of an epoch, drawn anew each time; None takes one from each
        mixture, or all its blocks, the same in every epoch.
    remix : float
        Share of examples whose sources come from different mixtures, from 0 to 1.
    gain : (float, float)
        Range of a random linear gain of every source.
    """

    seed: int = option(0, "Seed of all random choices.")
    n_examples: int | None = option(
        None, "Examples of an epoch.", flag="--examples", default_text="all"
    )
    n_validation: int | None = option(
        None,
        "Validation examples of an epoch, drawn anew for each.",
        flag="--validation-examples",
        default_text="all, the same in every epoch",
    )
    remix: float = option(0.0, "Share of examples whose sources come from different mixtures.")
    gain: tuple[float, float] = option(
        (1.0, 1.0),
        "Range of a random gain of every source, linear; Open-Unmix: 0.25,1.25.",
        parse=_parse_gain,
        metavar="LOW,HIGH",
    )
