"""What the scores of many songs say, as numbers and as a table in the shape of the papers'.

SI-SDR is one number a song, and the papers print its mean over songs (Manilow et al. 2019, Tables 2
and 3). BSS Eval is many frames a song: the median over songs of the median over a song's frames
(SiSEC 2018, museval); frames that are NaN or infinite do not count. All means and medians have 95 %
intervals, as the error bars of Martel et al. 2017, figure 1; theirs are not explained, ours are a
bootstrap over songs.

With folds (Brunner et al. 2019, section V-C, after Li et al.: "train 10 models and then average the
results") each fold is summarised by itself; mean and median are the means of those of the folds,
and intervals a bootstrap over folds.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.evaluate.benchmark.score_song import SI_SDR, Score
from stemsmith.evaluate.metrics.ratios import Summary, bootstrap_interval, summarise
from stemsmith.manifests.errors import InvalidCorpus, UsageError

__all__ = [
    "SUMMARY",
    "TABLE",
    "check_comparable",
    "compare",
    "plain",
    "read_summary",
    "summarise_scores",
]

SUMMARY: Final = "summary.json"
TABLE: Final = "summary.md"
# What must be the same for scores to stand in one table.
_SAME: Final = ("metrics", "taxonomy", "splits", "n_folds", "songs")
_NEEDED: Final = frozenset((*_SAME, "system", "dataset", "n_scored", "scores"))

Summaries = dict[str, dict[str, Summary]]


def summarise_scores(
    scores: Iterable[Score], targets: Sequence[str], folds: Mapping[str, int] | None = None
) -> Summaries:
    """Summarise the scores of all songs.

    Parameters
    ----------
    scores : iterable of Score
        Of one metric of a target and song all frames, or one score of the whole song.
    targets : sequence of str
        In the order in which they are reported.
    folds : mapping of str to int, optional
        Number of each song's fold.

    Returns
    -------
    dict of str to dict of str to Summary
        By target and metric.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for score in scores:
        songs = values.setdefault((score.target, score.metric), {})
        songs.setdefault(score.song, []).append(score.value)
    found: Summaries = {target: {} for target in targets}
    for target in targets:
        for (of_target, metric), songs in values.items():
            if of_target == target:
                by_song = {song: _song_value(metric, frames) for song, frames in songs.items()}
                found[target][metric] = _summary(by_song, folds)
    return found


def _song_value(metric: str, values: Sequence[float]) -> float:
    if metric == SI_SDR:
        return values[0]
    counted = np.array(values)[np.isfinite(values)]
    return float(np.median(counted)) if len(counted) else math.nan


def _summary(by_song: Mapping[str, float], folds: Mapping[str, int] | None) -> Summary:
    with np.errstate(invalid="ignore"):  # the mean of infinities of both signs is NaN
        return _summary_of_songs(by_song, folds)


def _summary_of_songs(by_song: Mapping[str, float], folds: Mapping[str, int] | None) -> Summary:
    if folds is None:
        return summarise(list(by_song.values()))
    members: dict[int, list[float]] = {}
    for song, value in by_song.items():
        members.setdefault(folds[song], []).append(value)
    every = [summarise(members[fold]) for fold in sorted(members)]
    counted = [summary for summary in every if summary.n]
    n_left_out = sum(summary.n_left_out for summary in every)
    if not counted:
        return dataclasses.replace(every[0], n_left_out=n_left_out)
    means, medians = [s.mean for s in counted], [s.median for s in counted]
    return Summary(
        n=sum(summary.n for summary in counted),
        n_left_out=n_left_out,
        mean=float(np.mean(means)),
        mean_interval=bootstrap_interval(means, np.mean),
        median=float(np.mean(medians)),
        median_interval=bootstrap_interval(medians, np.mean),
    )


def plain(summaries: Summaries) -> dict[str, Any]:
    """Return summaries as strict JSON has them: NaN is null, and infinity a text."""
    return {
        target: {metric: _plain(dataclasses.asdict(s)) for metric, s in by_metric.items()}
        for target, by_metric in summaries.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def read_summary(results: Path) -> dict[str, Any]:
    """Read the summary of a finished evaluation.

    Raises
    ------
    InvalidCorpus
        If there is none.
    """
    path = results / SUMMARY
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing; not a finished folder of scores") from None
    except (OSError, ValueError) as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not content.keys() >= _NEEDED:
        raise InvalidCorpus(f"{path}: not a summary of scores")
    return content


def check_comparable(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Check that summaries, with scores or yet without, may stand in one table.

    Raises
    ------
    UsageError
        If they are of other songs, other references or other metrics.
    """
    first = summaries[0]
    for other in summaries[1:]:
        if names := [name for name in _SAME if first[name] != other[name]]:
            raise UsageError(
                f"{other['system']} on {other['dataset']}: other {names[0]} than "
                f"{first['system']} on {first['dataset']}; not for one table"
            )


def compare(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Return Markdown tables of systems: a row for each, a column for each target.

    In brackets stand 95 % intervals, and in parentheses the number of songs that count, where some
    are left out.

    Parameters
    ----------
    summaries : sequence of mapping
        From `read_summary`.

    Returns
    -------
    str
        One table a metric.

    Raises
    ------
    UsageError
        See `check_comparable`.
    """
    check_comparable(summaries)
    targets = list(dict.fromkeys(t for summary in summaries for t in summary["scores"]))
    metrics = list(dict.fromkeys(m for s in summaries for by in s["scores"].values() for m in by))
    return "\n".join(_table(summaries, metric, targets) for metric in metrics)


def _table(summaries: Sequence[Mapping[str, Any]], metric: str, targets: Sequence[str]) -> str:
    rows = [["system", "songs", *targets], ["---", *["--:"] * (1 + len(targets))]]
    for summary in summaries:
        cells = [
            _cell(summary["scores"].get(target, {}).get(metric), metric, summary["n_scored"])
            for target in targets
        ]
        rows.append([summary["system"].replace("|", "\\|"), str(summary["n_scored"]), *cells])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{_title(summaries[0], metric)}**", "", *lines, ""])


def _title(summary: Mapping[str, Any], metric: str) -> str:
    options, n_folds = summary["metrics"], summary["n_folds"]
    folds = f"mean over {n_folds} folds of the " if n_folds else ""
    if metric == SI_SDR:
        return f"SI-SDR [dB], mono at {options['si_sdr_rate']} Hz: {folds}mean over songs"
    bss = options["bss"]
    windows = f"{bss['window_s']:g} s every {bss['hop_s']:g} s"
    channels = ", mono" if bss["is_mono"] else ""
    return (
        f"{metric} [dB], BSS Eval {bss['version']}{channels}, {windows}: "
        f"{folds}median over songs of the median over frames"
    )


def _cell(score: Mapping[str, Any] | None, metric: str, n_songs: int) -> str:
    """Return a value with its interval, and the number of songs where some are left out."""
    if score is None or score["n"] == 0:
        return "-"
    name = "mean" if metric == SI_SDR else "median"
    # null: a perfect and a silent estimate have no mean.
    numbers = (score[name], *score[f"{name}_interval"])
    middle, low, high = (math.nan if number is None else float(number) for number in numbers)
    value = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    return value if score["n"] == n_songs else f"{value} ({score['n']})"
