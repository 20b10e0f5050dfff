"""The page of results: tables, boxes, songs, and the best and the worst of them to listen to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from stemsmith.evaluate.benchmark.datasets import Dataset, DatasetSong
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.benchmark.song import SongAudio
from stemsmith.evaluate.benchmark.systems import Kind
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError, UsageError
from stemsmith.manifests.jobs import Progress
from stemsmith.share.charts import Caption, box_plots, heat_map
from stemsmith.share.compare.comparison import SystemComparison, compare_systems
from stemsmith.share.compare.grids import tables_of
from stemsmith.share.compare.metric_tables import MetricTable
from stemsmith.share.compare.plot import comparison_plot
from stemsmith.share.compare.systems import system_of_results
from stemsmith.share.compare.tables import remarks_of
from stemsmith.share.report.clips import (
    WAVEFORM_HZ,
    busiest_start_s,
    clock,
    make_clip,
    waveform_of,
)
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    PageSection,
    PlayerMode,
    PlayerTrack,
    Prose,
    StemPlayer,
    isolated,
    setting_rows,
)
from stemsmith.share.report.listening import CLIP_S, try_each
from stemsmith.share.report.scored_songs import Estimator, estimator_of, find_scored, read_scored

__all__ = ["results_sections"]

_MOST_ROWS: Final = 40  # songs of a heat map; a table has all
_MOST_COLUMNS: Final = 12


def results_sections(
    results: Sequence[Results], config: ReportConfig, progress: Progress
) -> list[PageSection]:
    """Return the sections of results, side by side where they can be compared.

    Parameters
    ----------
    results : sequence of Results
        Folders of results, at least one. The first one is what others are compared with.
    config : ReportConfig
        How many songs can be played, the worst ones and the best ones, and how long.
    progress : Progress
        Is told how far the work is, and warned of what cannot be played.

    Raises
    ------
    InvalidCorpus
        If the scores cannot be read.
    """
    try:
        comparison = compare_systems([system_of_results(one) for one in results])
    except UsageError as error:
        if len(results) == 1:
            return [
                PageSection("Scores", [Notice(f"There are no scores to show: {error}")]),
                *_provenance(results, None),
            ]
        notice = Notice(f"These results cannot stand side by side: {error}")
        alone = [
            PageSection(f"Results {one.root}", (), results_sections([one], config, progress))
            for one in results
        ]
        return [PageSection("Scores", [notice]), *alone]
    table = comparison.tables[0]
    listening = _Listening(comparison, table, results).blocks(config, progress)
    return [
        PageSection("Scores", [_facts(comparison), *_table_blocks(comparison, table)]),
        PageSection("Song by song", _songs(comparison, table)),
        *([PageSection("Listen", listening)] if listening else []),
        *_other_metrics(comparison),
        *_provenance(results, comparison),
    ]


def _facts(comparison: SystemComparison) -> Facts:
    songs = {s for table in comparison.tables for c in table.columns for s in c.songs}
    targets = dict.fromkeys(c.target for table in comparison.tables for c in table.columns)
    metrics = dict.fromkeys(table.metric.name for table in comparison.tables)
    n_left_out = sum(len(row.songs) for row in comparison.left_out)
    return Facts(
        [
            ("systems", str(len(comparison.systems))),
            ("songs", f"{len(songs):,}"),
            ("songs left out", f"{n_left_out:,}"),
            ("targets", str(len(targets))),
            ("metrics", str(len(metrics))),
        ]
    )


def _table_blocks(comparison: SystemComparison, table: MetricTable) -> list[Block]:
    """Return the tables of a metric with their pictures."""
    tables = [
        DataTable(grid.title, grid.head, grid.rows, note=grid.foot)
        for grid in tables_of(comparison, table, False)
    ]
    first, *others = tables
    note = "Brackets hold 95 % intervals; the number of songs that count stands with the target."
    first = DataTable(first.caption, first.headings, first.rows, note=note)
    words = f"{table.metric.average} of each system"
    words = "differences of the same songs" if table.differences else words
    intervals = Chart(
        comparison_plot(table, is_narrow=True), f"{_named(table)}: {words}, with 95 % intervals."
    )
    return [first, *others, _boxes(comparison, table), intervals]


def _named(table: MetricTable) -> str:
    return f"{table.metric.name} of {table.part}"


def _boxes(comparison: SystemComparison, table: MetricTable) -> Chart:
    series = {
        system: [column.values.get(system, ()) for column in table.columns]
        for system in comparison.systems
    }
    title = f"{_named(table)}: each point is a song"
    said = "; ".join(
        f"{column.target}, {system}: median {np.median(values):.1f}"
        for column in table.columns
        for system, values in column.values.items()
        if values
    )
    unit = f" / {table.metric.unit}" if table.metric.unit else ""
    caption = Caption(title, said, y=f"{table.metric.name}{unit}")
    svg = box_plots([column.target for column in table.columns], series, caption, is_narrow=True)
    hidden = sum(not math.isfinite(v) for boxes in series.values() for b in boxes for v in b)
    more = f" {hidden} values are infinite, and not drawn." if hidden else ""
    return Chart(svg, f"{title}; boxes from quartile to quartile.{more}")


def _other_metrics(comparison: SystemComparison) -> list[PageSection]:
    """Return a section with all tables but the first."""
    others = comparison.tables[1:]
    parts = [PageSection(_named(table), _table_blocks(comparison, table)) for table in others]
    return [PageSection("Other metrics", (), parts)] if parts else []


def _by_song(table: MetricTable) -> tuple[list[str], list[tuple[str, str]], Float64s]:
    """Return the songs of a table from the worst to the best, its columns, and all values.

    Values are (n_songs, n_columns), NaN where a song lacks one; columns are of target and system.
    """
    columns = [(c.target, system) for c in table.columns for system in c.values]
    found: dict[str, dict[tuple[str, str], float]] = {}
    for column in table.columns:
        for system, values in column.values.items():
            for song, value in zip(column.songs, values, strict=True):
                found.setdefault(song, {})[column.target, system] = value
    ranked = sorted(found, key=lambda song: (_average(list(found[song].values())), song))
    rows = [[found[song].get(column, math.nan) for column in columns] for song in ranked]
    return ranked, columns, np.array(rows, np.float64).reshape(len(ranked), len(columns))


def _average(values: Sequence[float]) -> float:
    """Return a mean that can be ranked: infinities of both signs cancel out."""
    with np.errstate(invalid="ignore"):
        mean = float(np.mean(values))
    return 0.0 if math.isnan(mean) else mean


def _songs(comparison: SystemComparison, table: MetricTable) -> list[Block]:
    songs, columns, values = _by_song(table)
    rows = np.arange(len(songs))
    shown = "from the worst to the best"
    if len(songs) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        rows = np.r_[rows[:half], rows[-half:]]
        shown = f"the {half} worst and the {half} best of {len(songs):,}"
    is_one = len(comparison.systems) == 1
    names = [target if is_one else f"{target}: {system}" for target, system in columns]
    unit = f" in {table.metric.unit}" if table.metric.unit else ""
    charts: list[Block] = []
    for group in _column_groups(columns):
        title = f"{_named(table)}, song by song"
        if len(group) < len(columns):
            title += f": {columns[group[0]][0]}"
        said = f"The worst is {songs[0]}, the best {songs[-1]}."
        svg = heat_map(
            [songs[row] for row in rows],
            [names[column] for column in group],
            values[rows][:, group],
            Caption(title, said, y=table.metric.unit),
        )
        words = f"{title}{unit}: {shown}, by the mean of all columns."
        charts.append(Chart(svg, words, is_wide=True))
    cells = [
        (song, *(None if math.isnan(v) else f"{v:.2f}" for v in row))
        for song, row in zip(songs, values.tolist(), strict=True)
    ]
    return [*charts, DataTable("All songs", ("song", *names), cells, is_folded=True)]


def _column_groups(columns: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Return which columns stand in one heat map: all, or those of a target, as many as fit."""
    if len(columns) <= _MOST_COLUMNS:
        return [list(range(len(columns)))]
    of_target: dict[str, list[int]] = {}
    for number, (target, _) in enumerate(columns):
        of_target.setdefault(target, []).append(number)
    return [
        group[first : first + _MOST_COLUMNS]
        for group in of_target.values()
        for first in range(0, len(group), _MOST_COLUMNS)
    ]


class _Listening:
    """Makes players of the worst and the best songs."""

    def __init__(
        self, comparison: SystemComparison, table: MetricTable, results: Sequence[Results]
    ) -> None:
        self._table = table
        self._results = dict(zip(comparison.systems, results, strict=True))
        self._songs, self._columns, self._values = _by_song(table)

    def blocks(self, config: ReportConfig, progress: Progress) -> list[Block]:
        """Return a player for each of the songs; a line where there is nothing to play."""
        if not config.n_songs:
            return []
        first = next(iter(self._results.values()))
        try:
            dataset = find_scored(first)
        except StemsmithError as error:
            progress.warn(f"no song can be played on the page: {error}")
            return [Notice(f"No song can be played here: {error}")]
        estimators, blocks = self._estimators(progress)
        clip_s = CLIP_S if config.clip_s is None else config.clip_s
        players = try_each(
            self._chosen(config.n_songs),
            lambda pair: pair[1],
            lambda pair: self._player(*pair, dataset, estimators, clip_s),
            progress,
        )
        about = (
            f"The worst and the best songs by {self._table.metric.name}, averaged over targets and "
            "systems: the mixture, what is true, and the estimates. Switch between them at the "
            "same place."
        )
        return [Prose(about), *blocks, *players]

    def _estimators(self, progress: Progress) -> tuple[dict[str, Estimator], list[Block]]:
        """Return what gives the estimates of each system, and a line for those without."""
        found: dict[str, Estimator] = {}
        blocks: list[Block] = []
        for system, results in self._results.items():
            if results.header.get("config", {}).get("kind") == Kind.MIXTURE:
                continue  # it is played anyway
            try:
                found[system] = estimator_of(results)
            except (StemsmithError, KeyError, TypeError, ValueError) as error:
                progress.warn(f"{system} cannot be played on the page: {error}")
                blocks.append(Notice(f"{system} cannot be played here: {error}"))
        return found, blocks

    def _chosen(self, n_songs: int) -> list[tuple[str, str]]:
        """Return the songs to play, each with what it is: the worst ones first."""
        n = min(n_songs, len(self._songs))
        n_best = n // 2
        worst = [("Worst", song) for song in self._songs[: n - n_best]]
        best = [("Best", song) for song in reversed(self._songs[len(self._songs) - n_best :])]
        return [*worst, *best]

    def _player(
        self,
        rank: str,
        name: str,
        dataset: Dataset,
        estimators: Mapping[str, Estimator],
        clip_s: float,
    ) -> StemPlayer:
        song = _song_of(dataset, name)
        targets = tuple(dict.fromkeys(target for target, _ in self._columns))
        audio = read_scored(song, targets)
        rate = audio.sample_rate
        where = _busiest(audio, clip_s)
        made: dict[str, Mapping[str, Float32s]] = {}
        absent = []
        for system, make in estimators.items():
            try:
                made[system] = make(song, audio, where)
            except StemsmithError as error:
                absent.append(f"; {system} cannot be played: {error}")
        tracks = [
            PlayerTrack(
                "mixture", make_clip(audio.mixture[:, where], rate), self._label_of_mixture(name)
            )
        ]
        for target in (target for target in targets if target in audio.targets):
            row = audio.targets.index(target)
            true = make_clip(audio.references[row][:, where], rate)
            tracks.append(PlayerTrack(f"{target}: true", true))
            tracks += [
                PlayerTrack(
                    f"{target}: {isolated(system)}",
                    make_clip(estimates[target], rate),
                    self._label(name, target, system),
                )
                for system, estimates in made.items()
                if target in estimates
            ]
        row = self._songs.index(name)
        mean = _average([value for value in self._values[row] if not math.isnan(value)])
        score = f"{self._table.metric.name} {mean:.1f} {self._table.metric.unit}".strip()
        title = f"{isolated(name)} ({score})"
        if len(self._songs) > 1:
            title = f"{rank}: {title}"
        start_s, whole_s = where.start / rate, audio.mixture.shape[1] / rate
        caption = f"{clock(start_s)} to {clock(where.stop / rate)} of {clock(whole_s)}"
        caption += "".join(absent)
        return StemPlayer(title, tracks, PlayerMode.SWITCH, caption, start_s)

    def _value(self, song: str, target: str, system: str) -> float:
        if (target, system) not in self._columns:
            return math.nan
        column = self._columns.index((target, system))
        return float(self._values[self._songs.index(song), column])

    def _label(self, song: str, target: str, system: str) -> str:
        value = self._value(song, target, system)
        metric = self._table.metric
        return "" if math.isnan(value) else f"{metric.name} {value:.1f} {metric.unit}".strip()

    def _label_of_mixture(self, song: str) -> str:
        """Return the scores of the mixture itself, where it is one of the systems."""
        parts = [
            f"{target} {self._label(song, target, system)}"
            for target, system in self._columns
            if self._results[system].header.get("config", {}).get("kind") == Kind.MIXTURE
            and self._label(song, target, system)
        ]
        return "; ".join(parts)


def _song_of(dataset: Dataset, name: str) -> DatasetSong:
    for song in dataset.songs:
        if song.name == name:
            return song
    raise InvalidCorpus(f"{dataset.root}: has no song {name} any more")


def _busiest(audio: SongAudio, clip_s: float) -> slice:
    """Return the stretch in which most targets sound, beginning at a whole second."""
    rate, n_samples = audio.sample_rate, audio.mixture.shape[1]
    waves = [waveform_of(reference, rate, WAVEFORM_HZ) for reference in audio.references]
    start_s = busiest_start_s([np.square(wave, dtype=np.float32) for wave in waves], clip_s)
    n_clip = min(n_samples, round(clip_s * rate))
    start = min(round(start_s * rate), n_samples - n_clip)
    return slice(start, start + n_clip)


def _provenance(
    results: Sequence[Results], comparison: SystemComparison | None
) -> Iterator[PageSection]:
    """Yield sections about what was left out, and about how scores were made."""
    blocks: list[Block] = []
    remarks = [] if comparison is None else remarks_of(comparison)
    if remarks:
        rows = [(line,) for line in remarks]
        blocks.append(DataTable("To be minded", ("remark",), rows))
    for one in results:
        rejections = one.rejection_records()
        if rejections:
            counts = Counter((str(r.reason), r.stage) for r in rejections)
            counted = [(reason, stage, n) for (reason, stage), n in counts.most_common()]
            caption = f"Left out of {one.system}"
            blocks.append(DataTable(caption, ("reason", "stage", "files"), counted))
    yield PageSection("Left out", blocks or [Prose("Nothing was left out.")])
    yield PageSection("Settings", [_settings(one) for one in results])


def _settings(results: Results) -> DataTable:
    config: Mapping[str, Any] = results.header.get("config") or {}
    versions: Mapping[str, Any] = results.header.get("versions") or {}
    rows = [("folder", str(results.root)), ("data set", results.dataset)]
    for values in (config, versions):
        rows += setting_rows({k: v for k, v in values.items() if v not in (None, "", {}, [])})
    return DataTable(f"How {results.system} was scored", ("setting", "value"), rows, is_folded=True)
