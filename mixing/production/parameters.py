"""Parameters of production: drawn within ranges, and written to records as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Parameters", "draw_evenly", "draw_in_octaves"]

_SIGNIFICANT: Final = 4  # digits of what is drawn, so that records are short and say it exactly


class Parameters:
    """Base of frozen dataclasses whose fields are numbers, texts, or tuples of such."""

    def to_json(self) -> str:
        """Return the parameters as one line of JSON, the same text for the same values."""
        fields = dataclasses.asdict(self)  # type: ignore[call-overload]
        return json.dumps(fields, sort_keys=True, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the parameters that `to_json` has written.

        Raises
        ------
        ValueError
            If the text is no such JSON.
        """
        fields = json.loads(text)
        if not isinstance(fields, Mapping):
            raise ValueError(f"not the parameters of a {cls.__name__}: {text!r}")
        try:
            return cls(**{name: _tuples(value) for name, value in fields.items()})
        except TypeError as error:
            raise ValueError(f"not the parameters of a {cls.__name__}: {text!r}") from error


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def draw_evenly(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number of a range, all alike likely; four digits of it count."""
    return _rounded(float(rng.uniform(low, high)), low, high)


def draw_in_octaves(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a frequency or a time of a range, every octave of it alike likely.

    Parameters
    ----------
    rng : numpy.random.Generator
        Generator that belongs to what is drawn.
    low, high : float
        The range; both are above 0.
    """
    exponent = float(rng.uniform(math.log2(low), math.log2(high)))
    return _rounded(2.0**exponent, low, high)


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{_SIGNIFICANT}g}"), low), high)
