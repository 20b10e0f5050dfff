"""Options of a separation, in Python and on the command line; imports nothing heavy.

Whether the models at hand can do what is asked for, `stemsmith.evaluate.separation.checks` knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import option, settle, to_manifest

__all__ = ["RESIDUAL", "Phase", "SeparationConfig", "SeparationOptions", "Threshold"]

RESIDUAL: Final = "residual"
_REST: Final = "*"
_GRIFFIN_LIM_ITERATIONS: Final = 32  # librosa's default


class Phase(StrEnum):
    """Where the phases of estimates come from."""

    MIXTURE = "mixture"  # resnet has phases of its own
    GRIFFIN_LIM = "griffin-lim"


class Threshold(NamedTuple):
    """Powers below which a target is silent: mean squares of samples, full scale being 1.

    Brunner, section IV-D.2, has t_j = t_m = 0.001 (-30 dBFS), and for "other" 0.0001 and 0. The
    paper says "signal energies" and not how they are scaled; its authors' code has one function
    for the power of a signal, the mean square.

    Attributes
    ----------
    source : float
        t_j, the least power of the estimate.
    mixture : float
        t_m, the least power of the mixture.
    """

    source: float
    mixture: float


def _thresholds(texts: Sequence[str]) -> dict[str, Threshold]:
    return dict(map(_threshold, texts))


def _threshold(text: str) -> tuple[str, Threshold]:
    target, _, powers = text.rpartition("=")
    try:
        source, mixture = map(float, powers.split(","))
    except ValueError:
        raise UsageError(f"--threshold {text}: write two powers, e.g. 0.001,0.001") from None
    return target or _REST, Threshold(source, mixture)


@dataclass(frozen=True, kw_only=True)
class SeparationConfig:
    """How estimates are made and what is done to them; the defaults change nothing about them.

    Attributes
    ----------
    overlap : float or None
        Share by which segments of a fixed length overlap, from 0 to below 1; see `step_of`. None
        takes the step by which the model's training examples were cut.
    mask_exponent : float or None
        Exponent of the masks that share the mixture among all targets, above 0; see `shares`.
        None leaves the estimates as they are.
    thresholds : mapping of str to Threshold
        Powers below which a target is made silent, by its name; ``*`` stands for all targets that
        have no other. See `EnergyGate`.
    phase : Phase
        Where the phases of the estimates come from.
    n_iterations : int or None
        Number of iterations of Griffin and Lim's algorithm, where it is asked for; None takes 32.
    is_with_residual : bool
        Whether the mixture less all estimates is one more target, called `RESIDUAL`.
    is_streaming : bool
        Whether every sample is given as early as can be.

    Raises
    ------
    UsageError
        For values that make no sense, alone or together.
    """

    overlap: float | None = option(
        None,
        "Share by which segments of T frames overlap, 0 to (T - 1) / T; cnn, chandna and resnet.",
        metavar="GAMMA",
        default_text="the model's: 1/6 for cnn, 5/6 for chandna, 0 for resnet",
    )
    mask_exponent: float | None = option(
        None,
        "Share the mixture among all targets by |S|^ALPHA; 2 is the Wiener-like mask.",
        metavar="ALPHA",
    )
    thresholds: Mapping[str, Threshold] = option(
        None,
        "Silence a target in segments of 0.8 s where its power is below T_J or the mixture's "
        "below T_M (mean squares; Brunner: 0.001,0.001 and other=0.0001,0); may be repeated.",
        flag="--threshold",
        metavar="[TARGET=]T_J,T_M",
        is_repeatable=True,
        parse=_thresholds,
    )
    phase: Phase = option(
        Phase.MIXTURE,
        "Phases of the estimates: the mixture's (resnet has its own), or ones that fit.",
        is_in_manifest=False,  # said by the number of iterations
    )
    n_iterations: int | None = option(
        None,
        "Iterations of Griffin and Lim's algorithm.",
        flag="--iterations",
        key="griffin_lim_iterations",
        default_text=str(_GRIFFIN_LIM_ITERATIONS),
    )
    is_with_residual: bool = option(
        False, "Make the mixture less all estimates a target, too.", flag="--residual"
    )
    is_streaming: bool = option(
        False,
        "Give every sample as soon as can be, and report the algorithmic latency; cnn, chandna and "
        "resnet.",
        flag="--streaming",
    )

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse what makes no sense."""
        settle(self)
        thresholds = {
            name: Threshold(float(source), float(mixture))
            for name, (source, mixture) in (self.thresholds or {}).items()
        }
        object.__setattr__(self, "thresholds", thresholds)
        if self.mask_exponent is not None and not 0 < self.mask_exponent < math.inf:
            raise UsageError(f"a mask exponent of {self.mask_exponent:g}: it is above 0")
        for target, threshold in thresholds.items():
            if not (threshold.source >= 0 and threshold.mixture >= 0):
                raise UsageError(f"a threshold of {target}: powers are 0 or more")
        if self.n_iterations is not None:
            if self.phase is not Phase.GRIFFIN_LIM:
                raise UsageError("--iterations: only with --phase griffin-lim")
            if self.n_iterations < 1:
                raise UsageError(f"--iterations {self.n_iterations}: at least 1")
        if self.is_streaming and (thresholds or self.griffin_lim_iterations):
            raise UsageError("streaming: thresholds and Griffin-Lim need audio that comes later")

    @property
    def griffin_lim_iterations(self) -> int:
        """Number of iterations that give estimates other phases; 0 keeps those they have."""
        if self.phase is not Phase.GRIFFIN_LIM:
            return 0
        return _GRIFFIN_LIM_ITERATIONS if self.n_iterations is None else self.n_iterations

    def threshold_of(self, target: str) -> Threshold:
        """Return the threshold that holds for a target."""
        return self.thresholds.get(target, self.thresholds.get(_REST, Threshold(0.0, 0.0)))

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the options."""
        return {**to_manifest(self), "griffin_lim_iterations": self.griffin_lim_iterations}


class SeparationOptions(TypedDict, total=False):
    """The fields of `SeparationConfig` as keywords of functions that separate."""

    overlap: float | None
    mask_exponent: float | None
    thresholds: Mapping[str, tuple[float, float]] | None
    phase: Phase | str
    n_iterations: int | None
    is_with_residual: bool
    is_streaming: bool
