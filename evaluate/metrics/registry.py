"""The metrics: what each is called, what it is taken of, and how its numbers are averaged.

What scores songs, summarises and checks scores, and prints tables learns here what there is to
know of a metric. Those of one number a song are the modules of the folder ``per_song``, and a new
one is a new file there; those of BSS Eval come from one computation and are listed here.
Importing this module imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.registry import Registry

__all__ = [
    "BSS_EVAL",
    "SCORED_ANYWAY",
    "SONG_METRICS",
    "SOURCE_SDR",
    "WHOLE_SONG",
    "Metric",
    "bss_metrics",
    "described",
    "known_metric",
    "song_metrics",
]

Settings = Mapping[str, Any]  # what a summary says of its metrics, see `MetricConfig.to_dict`


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of an estimate beside its reference.

    Attributes
    ----------
    name : str
        Its name in scores and tables.
    compute : callable or None
        Takes reference and estimate, (n_channels, n_samples) float32 of one shape, and the sample
        rate in Hz, and what it needs by name; returns the number. The reference is never silent,
        unless `is_of_silence`. None for BSS Eval.
    unit : str
        Unit of its numbers, or an empty text.
    per : {"song", "frame"}
        Whether there is one number for each song, or one for each frame of it; then the song's is
        the median over the frames that are finite.
    average : {"mean", "median"}
        What tables show of the numbers of all songs.
    is_mono : bool
        Whether it is taken of the mean of the channels at the sample rate of SI-SDR, as oracles
        are; else of the audio as it is.
    needs : tuple of {"others", "mixture"}
        What else `compute` takes by name: the other true sources of the song,
        (n_others, n_channels, n_samples), or its mixture, (n_channels, n_samples).
    is_of_silence : bool
        Whether targets that are silent throughout a song are scored, too; their reference is
        zeros.
    is_lower_better : bool
        Whether smaller numbers are better ones.
    conditions : callable or None
        Takes what a summary says of its metrics, and returns what the titles of tables say about
        how this one was taken. None says whether it is of mono audio.

    Examples
    --------
    >>> snr = SONG_METRICS.load("snr")
    >>> snr.title({"si_sdr_rate": 16000, "bss": None}, n_folds=0)
    'SNR [dB]: mean over songs'
    """

    name: str
    compute: Callable[..., float] | None = None
    unit: str = "dB"
    per: Literal["song", "frame"] = "song"
    average: Literal["mean", "median"] = "mean"
    is_mono: bool = False
    needs: tuple[Literal["others", "mixture"], ...] = ()
    is_of_silence: bool = False
    is_lower_better: bool = False
    conditions: Callable[[Settings], str] | None = None

    def taken(self, settings: Settings) -> str:
        """Return how the metric was taken, as in "mono at 16000 Hz"; empty if there is no more."""
        if self.conditions is not None:
            return self.conditions(settings)
        return f"mono at {settings['si_sdr_rate']} Hz" if self.is_mono else ""

    def title(self, settings: Settings, n_folds: int) -> str:
        """Return the title of a table of this metric.

        Parameters
        ----------
        settings : mapping
            What the summary says of its metrics.
        n_folds : int
            Number of folds of the cross-validation, 0 for none.
        """
        return self.title_of(self.taken(settings), n_folds)

    def title_of(self, taken: str, n_folds: int) -> str:
        """Return the title of a table from what `taken` says, and the number of folds."""
        unit = f" [{self.unit}]" if self.unit else ""
        better = ", lower is better" if self.is_lower_better else ""
        folds = f"mean over {n_folds} folds of the " if n_folds else ""
        frames = " of the median over frames" if self.per == "frame" else ""
        return (
            f"{self.name}{unit}{better}{', ' if taken else ''}{taken}: "
            f"{folds}{self.average} over songs{frames}"
        )


def _bss_eval(settings: Settings) -> str:
    bss = settings["bss"]
    channels = ", mono" if bss["is_mono"] else ""
    windows = "whole songs"
    if bss["window_s"] != WHOLE_SONG:
        windows = f"{bss['window_s']:g} s every {bss['hop_s']:g} s"
    return f"BSS Eval {bss['version']}{channels}, {windows}"


# In the order in which museval writes them.
BSS_EVAL: Final = tuple(
    Metric(name, per="frame", average="median", conditions=_bss_eval)
    for name in ("SDR", "SIR", "SAR", "ISR")
)
SOURCE_SDR: Final = replace(BSS_EVAL[0], name="source-SDR")  # Vincent et al. 2006
WHOLE_SONG: Final = "song"  # the length of a window that is the song, on command line and in JSON
SONG_METRICS: Final = Registry[Metric]("metric", "stemsmith.evaluate.metrics.per_song", "METRIC")
_NEEDS: Final = ("others", "mixture")
_BSS_NAMES: Final = frozenset(metric.name for metric in (*BSS_EVAL, SOURCE_SDR))
SCORED_ANYWAY: Final = ("si-sdr",)  # of each song, without being asked for


def song_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics of one number a song that are scored.

    Parameters
    ----------
    names : sequence of str
        Names that are asked for beside `SCORED_ANYWAY`: of `SONG_METRICS`, or
        ``package.module:Object``.

    Raises
    ------
    UsageError
        If there is no such metric, it is not one of a song, or two have one name.
    """
    metrics: dict[str, Metric] = {}
    for name in (*SCORED_ANYWAY, *names):
        metric = SONG_METRICS.load(name)
        if not isinstance(metric, Metric) or metric.compute is None:
            raise UsageError(f"--metric {name}: not a metric of one number a song")
        if unknown := [need for need in metric.needs if need not in _NEEDS]:
            raise UsageError(f"--metric {name}: needs {unknown[0]}; known: {', '.join(_NEEDS)}")
        if metric.name in metrics or metric.name in _BSS_NAMES:
            raise UsageError(f"--metric {name}: another metric is called {metric.name}, too")
        metrics[metric.name] = metric
    return tuple(metrics.values())


def bss_metrics(settings: Settings) -> tuple[Metric, ...]:
    """Return the metrics of BSS Eval that are scored, in the order in which they are written.

    Parameters
    ----------
    settings : mapping
        What the summary says of its metrics.
    """
    bss = settings.get("bss")
    if not bss:
        return ()
    metrics = (*BSS_EVAL, SOURCE_SDR) if bss.get("source_sdr") else BSS_EVAL
    if bss.get("window_s") == WHOLE_SONG:
        return tuple(replace(metric, per="song") for metric in metrics)
    return metrics


def described(names: Sequence[str], settings: Settings) -> dict[str, dict[str, str]]:
    """Return what a summary says of metrics that were asked for, so that it can be read anywhere.

    Parameters
    ----------
    names : sequence of str
        The names that are asked for, as for `song_metrics`.
    settings : mapping
        What the summary says of its metrics otherwise.

    Returns
    -------
    dict of str to dict of str to str
        By name in scores: what was asked for, unit, average, conditions, and what is better.
    """
    asked = song_metrics(names)[len(SCORED_ANYWAY) :]
    return {
        metric.name: {
            "metric": name,
            "unit": metric.unit,
            "average": metric.average,
            "conditions": metric.taken(settings),
            **({"better": "lower"} if metric.is_lower_better else {}),
        }
        for name, metric in zip(names, asked, strict=True)
    }


def known_metric(name: str, settings: Settings) -> Metric:
    """Return what is known of a metric in a summary.

    Parameters
    ----------
    name : str
        Its name in scores.
    settings : mapping
        What the summary says of its metrics. One that was asked for is described there, and need
        not be installed.

    Returns
    -------
    Metric
        With no more than its name and the defaults, but no unit, if nothing is known of it.
    """
    for metric in (*song_metrics(()), *bss_metrics(settings)):
        if metric.name == name:
            return metric
    try:
        found = settings["more"][name]
        conditions = str(found["conditions"])
        return Metric(
            name,
            unit=found["unit"],
            average=found["average"],
            is_lower_better=found.get("better") == "lower",
            conditions=lambda _: conditions,
        )
    except (KeyError, TypeError):
        return Metric(name, unit="")
