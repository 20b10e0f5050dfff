"""Options of metrics, in Python and on the command line; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypedDict

from stemsmith.evaluate.metrics.bsseval.frames import Framing, SilenceRule
from stemsmith.evaluate.metrics.registry import (
    SCORED_ANYWAY,
    SONG_METRICS,
    WHOLE_SONG,
    Metric,
    bss_metrics,
    described,
)
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of, option, settle

__all__ = ["BssVersion", "Engine", "MetricConfig", "MetricOptions"]

_LOWEST_RATE: Final = 1000
_WINDOWS_S: Final = (0.01, 3600)
_OF_BSS_EVAL: Final = ("window_s", "hop_s", "has_source_sdr", "silence", "engine")
_OTHERS: Final = ", ".join(name for name in SONG_METRICS.names if name not in SCORED_ANYWAY)


class BssVersion(StrEnum):
    """Which BSS Eval is computed, if any."""

    V4 = "v4"  # filters of the whole song
    V3 = "v3"  # filters of each window
    NONE = "none"


class Engine(StrEnum):
    """Who computes BSS Eval."""

    STEMSMITH = "stemsmith"
    MUSEVAL = "museval"


def _window_s(text: str) -> float:
    try:
        return math.inf if text == WHOLE_SONG else float(text)
    except ValueError:
        raise UsageError(f"--window {text}: write seconds, or {WHOLE_SONG}") from None


@dataclass(frozen=True, kw_only=True)
class MetricConfig:
    """What is scored; the defaults are SI-SDR and the BSS Eval of SiSEC 2018.

    Attributes
    ----------
    more_metrics : tuple of str
        Metrics of one number a song that are scored as well: names of `SONG_METRICS`, or
        ``package.module:Object`` of anyone's `Metric`.
    si_sdr_rate : int
        Sample rate in Hz of the mono audio that SI-SDR, and whatever else is of mono audio, is
        taken of; at least 1000.
    bss : BssVersion
        Which BSS Eval is computed.
    window_s : float
        Length of the windows of BSS Eval in seconds, from 0.01 to 3600; or infinite, or the text
        ``song``, for one window that is the whole song, as in the BSS Eval toolbox (Chiu et al.
        2020, section V-A).
    hop_s : float or None
        Distance from one window to the next in seconds; None takes the length of a window.
    is_mono : bool
        Whether BSS Eval is taken of the mean of the channels. Then estimates may have another
        number of channels than their song: their mean is what counts, too.
    has_source_sdr : bool
        Whether the SDR of sources is one more score of BSS Eval; see `bss_eval`.
    silence : SilenceRule
        Whose scores of BSS Eval a silent window voids.
    engine : Engine
        Who computes BSS Eval.

    Raises
    ------
    UsageError
        For values that make no sense, alone or together; the text names the command's option.

    Examples
    --------
    >>> MetricConfig(bss="v3", window_s=30, hop_s=15).framing
    Framing(window_s=30.0, hop_s=15.0, has_own_filters=True)
    """

    more_metrics: tuple[str, ...] = option(
        (),
        f"Score one more number a song: {_OTHERS}, or package.module:Object; may be repeated.",
        flag="--metric",
        metavar="NAME",
        is_repeatable=True,
    )
    si_sdr_rate: int = option(16000, "Rate in Hz of the mono audio that SI-SDR is taken of.")
    bss: BssVersion = option(
        BssVersion.V4, "BSS Eval with filters of the whole song, of each window, or not at all."
    )
    window_s: float = option(
        1.0,
        f"Length of a window of BSS Eval in seconds, or {WHOLE_SONG} for the whole song.",
        flag="--window",
        parse=_window_s,
    )
    hop_s: float | None = option(
        None, "Seconds from one window to the next.", flag="--hop", default_text="window"
    )
    is_mono: bool = option(
        False,
        "Take BSS Eval of the mean of the channels; estimates may have more or fewer.",
        flag="--mono",
    )
    has_source_sdr: bool = option(
        False,
        "Score BSS Eval's SDR of sources, too, which forgives any filter (Vincent 2006).",
        flag="--source-sdr",
    )
    silence: SilenceRule = option(
        SilenceRule.ALL,
        "A silent target voids a window for all targets, as in museval, or for itself.",
    )
    engine: Engine = option(Engine.STEMSMITH, "Who computes BSS Eval.")

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse what makes no sense."""
        named = [self.more_metrics] if isinstance(self.more_metrics, str) else self.more_metrics
        more = tuple(dict.fromkeys(name for name in named if name not in SCORED_ANYWAY))
        object.__setattr__(self, "more_metrics", more)
        settle(self)
        if self.si_sdr_rate < _LOWEST_RATE:
            raise UsageError(f"--si-sdr-rate {self.si_sdr_rate}: at least {_LOWEST_RATE} Hz")
        if self.bss is BssVersion.NONE:
            self._refuse_of_bss_eval()
        least_s, most_s = _WINDOWS_S
        if math.isinf(self.window_s) and self.hop_s is not None:
            raise UsageError(f"--hop: --window {WHOLE_SONG} is one window")
        hop_s = self.window_s if self.hop_s is None else self.hop_s
        is_fit = least_s <= hop_s <= most_s and least_s <= self.window_s <= most_s
        if not is_fit and self.window_s != math.inf:
            raise UsageError(
                f"--window {self.window_s:g} --hop {hop_s:g}: from {least_s:g} to {most_s:g} s"
            )
        if self.engine is Engine.MUSEVAL and self.silence is not SilenceRule.ALL:
            raise UsageError("--silence own: only with --engine stemsmith")
        if self.engine is Engine.MUSEVAL and self.has_source_sdr:
            raise UsageError("--source-sdr: only with --engine stemsmith")

    def _refuse_of_bss_eval(self) -> None:
        """Refuse options that would have no effect where there is no BSS Eval."""
        for field in fields_of(MetricConfig):
            is_given = getattr(self, field.name) != field.default
            if field.name in _OF_BSS_EVAL and is_given:
                raise UsageError(f"{field.flag}: is of BSS Eval, and --bss none takes none")

    @property
    def framing(self) -> Framing | None:
        """Windows of BSS Eval, or None if there is none."""
        if self.bss is BssVersion.NONE:
            return None
        hop_s = self.window_s if self.hop_s is None else self.hop_s
        return Framing(self.window_s, hop_s, self.bss is BssVersion.V3)

    def to_dict(self) -> dict[str, Any]:
        """Return what manifest and summary say of the options: all that decides what a score is."""
        values: dict[str, Any] = {"si_sdr_rate": self.si_sdr_rate, "bss": self._bss()}
        if self.is_mono and self.bss is BssVersion.NONE:  # says which estimates can be scored
            values["is_mono"] = True
        if self.more_metrics:
            values["more"] = described(self.more_metrics, values)
        return values

    @property
    def bss_metrics(self) -> tuple[Metric, ...]:
        """The metrics of BSS Eval that are scored."""
        return bss_metrics({"bss": self._bss()})

    def _bss(self) -> dict[str, Any] | None:
        framing = self.framing
        return framing and {
            "version": str(self.bss),
            "window_s": WHOLE_SONG if math.isinf(framing.window_s) else framing.window_s,
            "hop_s": WHOLE_SONG if math.isinf(framing.hop_s) else framing.hop_s,
            "silence": str(self.silence),
            "engine": str(self.engine),
            "is_mono": self.is_mono,
            **({"source_sdr": True} if self.has_source_sdr else {}),
        }


class MetricOptions(TypedDict, total=False):
    """The fields of `MetricConfig` as keywords of functions that score."""

    more_metrics: Sequence[str]
    si_sdr_rate: int
    bss: BssVersion | str
    window_s: float | str
    hop_s: float | None
    is_mono: bool
    has_source_sdr: bool
    silence: SilenceRule | str
    engine: Engine | str
