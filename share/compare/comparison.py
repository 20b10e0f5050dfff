"""Stored scores of several systems beside each other: numbers, before anybody prints them.

Nothing is scored again. A cell of a table is of the songs that all systems with that target have a
score of, so that every difference is of the same songs. Folds are averaged as in
`stemsmith.evaluate.benchmark.report`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from os import PathLike
from typing import Any, Final

from stemsmith.evaluate.benchmark.report import plain_value, summarise_songs
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.metrics.registry import Metric
from stemsmith.evaluate.metrics.summary import ScoreSummary
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.options import member
from stemsmith.share.compare.published import read_published
from stemsmith.share.compare.statistics import (
    PairedDifference,
    holm,
    paired_difference,
    paired_values,
)
from stemsmith.share.compare.systems import ScoredSystem, SongKind, listed, system_of_results

__all__ = [
    "LeftOutSongs",
    "MetricTable",
    "Pairs",
    "SystemComparison",
    "TargetColumn",
    "compare_results",
    "compare_systems",
]

_LEAST_SHARE: Final = 0.5  # of the songs; a published system with fewer would take them from all
_DEPENDS_ON_OTHERS: Final = ("SIR", "SAR")
_MAX_NAMED: Final = 3


class Pairs(StrEnum):
    """Which systems are subtracted from each other."""

    FIRST = "first"  # the first system from every other one
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """What a table says of one target.

    Attributes
    ----------
    target : str
        Name of the target.
    songs : tuple of str
        The songs that count: those of which every system of the column has a score.
    n_left_out : int
        Number of songs that all of them scored, but not all have a number of, since the target
        is silent there, or an estimate in every frame.
    values : mapping of str to tuple of float
        By system, the value of each of the songs. A system without the target is not there.
    summaries : mapping of str to ScoreSummary
        By system, mean and median with their intervals.
    """

    target: str
    songs: tuple[str, ...]
    n_left_out: int
    values: Mapping[str, tuple[float, ...]]
    summaries: Mapping[str, ScoreSummary]


@dataclass(frozen=True, slots=True)
class MetricTable:
    """The numbers of one metric on one kind of songs.

    Attributes
    ----------
    metric : Metric
        The metric, with its unit and its average.
    title : str
        What the numbers are, in one line.
    part : SongKind
        What songs they are of. Test songs and others are never in one table.
    columns : tuple of TargetColumn
        One for each target that has a song.
    differences : tuple of PairedDifference
        Paired differences of systems, by target and then by pair.
    """

    metric: Metric
    title: str
    part: SongKind
    columns: tuple[TargetColumn, ...]
    differences: tuple[PairedDifference, ...]


@dataclass(frozen=True, slots=True)
class LeftOutSongs:
    """Songs that are in no table, since a system has no scores of them.

    Attributes
    ----------
    part : SongKind
        What songs they are.
    reason : str
        Which system lacks them, and why.
    songs : tuple of str
        Names of the songs, in alphabetical order.
    """

    part: SongKind
    reason: str
    songs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemComparison:
    """Systems beside each other.

    Attributes
    ----------
    systems : tuple of str
        Names of the systems in the order in which they were given.
    tables : tuple of MetricTable
        A table for each kind of songs and each metric that all systems have.
    left_out : tuple of LeftOutSongs
        Songs that not all systems have scores of.
    notes : tuple of str
        What else was left out, and what to mind: a sentence each.
    is_tested : bool
        Whether differences were tested.
    """

    systems: tuple[str, ...]
    tables: tuple[MetricTable, ...]
    left_out: tuple[LeftOutSongs, ...]
    notes: tuple[str, ...]
    is_tested: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as strict JSON has it; metrics by their names."""
        tables = [
            {
                "metric": table.metric.name,
                "unit": table.metric.unit,
                "title": table.title,
                "part": str(table.part),
                "columns": [
                    {
                        "target": column.target,
                        "songs": column.songs,
                        "n_left_out": column.n_left_out,
                        "values": dict(column.values),
                        "summaries": {
                            name: dataclasses.asdict(summary)
                            for name, summary in column.summaries.items()
                        },
                    }
                    for column in table.columns
                ],
                "differences": [dataclasses.asdict(row) for row in table.differences],
            }
            for table in self.tables
        ]
        left_out = [{**dataclasses.asdict(row), "part": str(row.part)} for row in self.left_out]
        content: dict[str, Any] = plain_value(
            {
                "systems": self.systems,
                "tables": tables,
                "left_out": left_out,
                "notes": self.notes,
                "is_tested": self.is_tested,
            }
        )
        return content


def compare_results(
    results: Sequence[str | PathLike[str]],
    public: str | PathLike[str] | None = None,
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    targets: Sequence[str] = (),
    pairs: Pairs | str = Pairs.FIRST,
    is_tested: bool = False,
) -> SystemComparison:
    """Compare systems by the scores that are stored of them.

    Parameters
    ----------
    results : sequence of path
        Folders that `stemsmith.evaluate_system` made, each as `Results` or the path of one. The
        first one is what others are compared with.
    public : path, optional
        Scores that others have published; `stemsmith.share.compare.published` says in which shapes.
    methods : sequence of str
        Names of the published systems that are wanted; empty for all of them.
    metrics, targets : sequence of str
        Names of metrics, in any case, and of targets that are wanted; empty for all that the
        systems have in common.
    pairs : Pairs
        Whether the ``first`` system is subtracted from each of the others, or in ``all`` pairs the
        earlier from the later one.
    is_tested : bool
        Whether differences are tested, with p values that are corrected for their number.

    Returns
    -------
    SystemComparison
        At least one table.

    Raises
    ------
    UsageError
        If a folder is given twice, the systems have no song or no metric in common, or were scored
        with other targets or folds.
    InvalidCorpus
        If a folder or a file cannot be read.

    Examples
    --------
    >>> from stemsmith.share import compare_results
    >>> comparison = compare_results(["results"], metrics=["SI-SDR"])
    >>> [column.target for column in comparison.tables[0].columns]
    ['piano', 'bass', 'guitar', 'drums']
    """
    folders = [Results(folder).verify() for folder in results]
    paths = [folder.root.resolve() for folder in folders]
    if twice := [path for path, n in Counter(paths).items() if n > 1]:
        raise UsageError(f"{twice[0]}: given twice; a system differs from itself by nothing")
    systems = [system_of_results(folder) for folder in folders]
    if public is None and methods:
        raise UsageError(f"--method {methods[0]}: names a system of --public FILE; give that, too")
    notes: list[str] = []
    if public is not None:
        systems += read_published(public, methods)
        if not methods:
            systems, notes = _well_covered(systems)
    found = compare_systems(
        systems, metrics=metrics, targets=targets, pairs=pairs, is_tested=is_tested
    )
    return dataclasses.replace(found, notes=(*notes, *found.notes))


def _well_covered(systems: list[ScoredSystem]) -> tuple[list[ScoredSystem], list[str]]:
    """Return the systems without published ones that would leave few songs to all others."""
    own = [set(system.parts) for system in systems if not system.is_published]
    songs = set.intersection(*own) if own else None
    counts = [
        len(system.parts if songs is None else songs & system.parts.keys()) for system in systems
    ]
    rows = list(zip(systems, counts, strict=True))
    most = max((n for system, n in rows if system.is_published), default=0)
    few = [s for s, n in rows if s.is_published and n < _LEAST_SHARE * most]
    kept = [system for system in systems if system not in few]
    if not few:
        return kept, []
    names = listed([system.name for system in few])
    return kept, [f"left out, with less than half of the {most} songs: {names}"]


def compare_systems(
    systems: Sequence[ScoredSystem],
    *,
    metrics: Sequence[str] = (),
    targets: Sequence[str] = (),
    pairs: Pairs | str = Pairs.FIRST,
    is_tested: bool = False,
) -> SystemComparison:
    """Compare systems that are at hand; parameters and errors as of `compare_results`."""
    if not systems:
        raise UsageError("nothing to compare: give folders of results, or --public FILE")
    wanted_pairs = member(Pairs, pairs, "--pairs")
    _check_alike(systems)
    systems = _distinct(systems)
    names, notes = _common_metrics(systems, metrics)
    known = _known_targets(systems, targets)
    part_of = _parts(systems)
    tables: list[MetricTable] = []
    for part in SongKind:
        songs = {song for song, own in part_of.items() if own is part}
        of_part = [_of_songs(system, songs) for system in systems]
        for name in names:
            columns = [_column(of_part, target, name) for target in known]
            found = tuple(column for column in columns if column is not None)
            if found:
                tables.append(_table(systems, name, part, found, wanted_pairs, is_tested))
    if not tables:
        raise UsageError(_no_common_song(systems))
    notes += _other_datasets(systems)
    if any(system.is_published for system in systems) and set(names) & set(_DEPENDS_ON_OTHERS):
        notes.append(
            "SIR and SAR depend on the sources that a target was told apart from: museval takes "
            "those of vocals and accompaniment from that pair, where both were scored"
        )
    return SystemComparison(
        systems=tuple(system.name for system in systems),
        tables=tuple(tables),
        left_out=_left_out(systems, part_of),
        notes=tuple(notes),
        is_tested=is_tested,
    )


def _check_alike(systems: Sequence[ScoredSystem]) -> None:
    """Check that targets mean the same, and that songs are in the same folds."""
    first = systems[0]
    for other in systems[1:]:
        if None not in (first.taxonomy, other.taxonomy) and first.taxonomy != other.taxonomy:
            raise UsageError(
                f"{other.source}: of the taxonomy {other.taxonomy}, {first.source} of "
                f"{first.taxonomy}: their targets are not the same; evaluate with one --taxonomy"
            )
        common = first.parts.keys() & other.parts.keys()
        folds, others = first.folds or {}, other.folds or {}
        if any(folds.get(song) != others.get(song) for song in common):
            raise UsageError(
                f"{other.source}: songs in other folds than in {first.source}; evaluate both with "
                "the same --folds, on the same songs"
            )


def _distinct(systems: Sequence[ScoredSystem]) -> list[ScoredSystem]:
    """Return the systems with names that tell them apart, by their sources where need be."""
    counts = Counter(system.name for system in systems)
    return [
        system
        if counts[system.name] == 1
        else dataclasses.replace(system, name=f"{system.name} ({system.source})")
        for system in systems
    ]


def _common_metrics(
    systems: Sequence[ScoredSystem], wanted: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the metrics that all systems have, taken alike, and notes of the others."""
    notes, common = list[str](), list[str]()
    every = dict.fromkeys(name for system in systems for name in system.metrics)
    for name in every:
        lacking = [system.name for system in systems if name not in system.metrics]
        hows = {s.metrics[name].how: s for s in systems if name in s.metrics}
        if lacking:
            notes.append(f"{name} is left out: {listed(lacking)} without it")
        elif len(hows) > 1:
            one, other, *_ = hows.values()
            taken = [f"{_taken(s, name)} in {s.name}" for s in (one, other)]
            notes.append(f"{name} is left out: {' and '.join(taken)}")
        else:
            common.append(name)
    of_slug = {slug(name): name for name in common}  # `evaluate --metric` has them in lower case
    for name in wanted:
        if slug(name) not in of_slug:
            why = next((f"; {note}" for note in notes if note.startswith(f"{name} is")), "")
            raise UsageError(
                f"--metric {name}: not common to all; there are {', '.join(common) or 'none'}{why}"
            )
    if not common:
        raise UsageError(f"the systems have no metric in common: {'; '.join(notes)}")
    # Whoever names metrics knows of the others.
    chosen = list(dict.fromkeys(of_slug[slug(name)] for name in wanted))
    return (chosen, []) if wanted else (common, notes)


def _taken(system: ScoredSystem, name: str) -> str:
    taken = system.metrics[name]
    return taken.taken or taken.how


def _known_targets(systems: Sequence[ScoredSystem], wanted: Sequence[str]) -> list[str]:
    counts = Counter(target for system in systems for target in system.targets)
    least = min(2, len(systems))
    known = [target for target, n in counts.items() if n >= least]
    for target in wanted:
        if target not in known:
            raise UsageError(
                f"--target {target}: not common to two systems; there are {', '.join(known)}"
            )
    if not known:
        raise UsageError(
            "the systems have no target in common: "
            + "; ".join(f"{s.name} has {', '.join(s.targets)}" for s in systems[:_MAX_NAMED])
        )
    return list(dict.fromkeys(wanted)) if wanted else known


def _parts(systems: Sequence[ScoredSystem]) -> dict[str, SongKind]:
    """Return what each song is: what one system may have been trained on is no test of any."""
    found: dict[str, set[SongKind]] = {}
    for system in systems:
        for song, part in system.parts.items():
            found.setdefault(song, set()).add(part)
    order = (SongKind.TRAINING, SongKind.TEST, SongKind.UNKNOWN)
    return {song: next(p for p in order if p in parts) for song, parts in found.items()}


def _of_songs(system: ScoredSystem, songs: Collection[str]) -> ScoredSystem:
    values = {
        key: {song: value for song, value in by_song.items() if song in songs}
        for key, by_song in system.values.items()
    }
    return dataclasses.replace(system, values={key: by for key, by in values.items() if by})


def _column(systems: Sequence[ScoredSystem], target: str, metric: str) -> TargetColumn | None:
    having = [system for system in systems if (target, metric) in system.values]
    has_own = not all(system.is_published for system in systems)
    if len(having) < min(2, len(systems)):
        return None
    if has_own and all(system.is_published for system in having):
        return None  # nobody asked how published systems differ from each other
    scored = [system.values[target, metric] for system in having]
    common = sorted(set.intersection(*(set(by_song) for by_song in scored)))
    songs = [song for song in common if not any(math.isnan(by_song[song]) for by_song in scored)]
    if not songs:
        return None
    folds = having[0].folds
    return TargetColumn(
        target,
        tuple(songs),
        len(common) - len(songs),
        {s.name: tuple(by[song] for song in songs) for s, by in zip(having, scored, strict=True)},
        {
            system.name: summarise_songs({song: by_song[song] for song in songs}, folds)
            for system, by_song in zip(having, scored, strict=True)
        },
    )


def _table(
    systems: Sequence[ScoredSystem],
    name: str,
    part: SongKind,
    columns: tuple[TargetColumn, ...],
    pairs: Pairs,
    is_tested: bool,
) -> MetricTable:
    taken, folds = systems[0].metrics[name], systems[0].folds
    names = [system.name for system in systems]
    wanted = combinations(names, 2) if pairs is Pairs.ALL else ((names[0], n) for n in names[1:])
    differences = _differences(list(wanted), columns, taken.metric, folds, is_tested)
    n_folds = len(set(folds.values())) if folds else 0
    title = taken.metric.title_of(taken.taken, n_folds)
    title += "" if part is SongKind.UNKNOWN else f"; {part}"
    return MetricTable(taken.metric, title, part, columns, tuple(differences))


def _differences(
    pairs: Sequence[tuple[str, str]],
    columns: Iterable[TargetColumn],
    metric: Metric,
    folds: Mapping[str, int] | None,
    is_tested: bool,
) -> list[PairedDifference]:
    found = []
    for column in columns:
        for baseline, system in pairs:
            if baseline in column.values and system in column.values:
                values = paired_values(column.values[system], column.values[baseline])
                by_song = dict(zip(column.songs, values.tolist(), strict=True))
                names = (system, baseline, column.target)
                found.append(
                    paired_difference(names, by_song, metric.average, folds, is_tested=is_tested)
                )
    tested = [row for row in found if row.p is not None]
    corrected = holm([row.p for row in tested if row.p is not None])
    of_row = {id(row): p for row, p in zip(tested, corrected, strict=True)}
    return [dataclasses.replace(row, p_holm=of_row.get(id(row))) for row in found]


def _left_out(
    systems: Sequence[ScoredSystem], part_of: Mapping[str, SongKind]
) -> tuple[LeftOutSongs, ...]:
    """Return the songs that not all systems have scores of, by the reason."""
    every = dict.fromkeys(song for system in systems for song in (*system.parts, *system.rejected))
    songs: dict[tuple[SongKind, str], list[str]] = {}
    for song in every:
        lacking = [system for system in systems if song not in system.parts]
        # Of songs that results lack, nobody asks which published systems have them.
        lacking = [system for system in lacking if not system.is_published] or lacking
        if lacking:
            reasons = [f"{s.rejected[song]} in {s.name}" for s in lacking if song in s.rejected]
            if absent := [s.name for s in lacking if song not in s.rejected]:
                reasons.append(f"not scored in {listed(absent)}")
            key = part_of.get(song, SongKind.UNKNOWN), "; ".join(reasons)
            songs.setdefault(key, []).append(song)
    return tuple(LeftOutSongs(*key, tuple(sorted(found))) for key, found in songs.items())


def _other_datasets(systems: Sequence[ScoredSystem]) -> list[str]:
    """Return a note where songs of other data sets may have the same names."""
    names = list(dict.fromkeys(s.dataset for s in systems if not s.is_published))
    if len(names) < 2:
        return []
    return [f"songs are matched by name, and are those of {listed(names)}"]


def _no_common_song(systems: Sequence[ScoredSystem]) -> str:
    described = listed([_counted(system) for system in systems])
    return f"the systems have no song in common with scores: {described}"


def _counted(system: ScoredSystem) -> str:
    counts = Counter(system.parts.values())
    texts = [part.counted(counts[part]) for part in SongKind if counts[part]]
    example = next(iter(system.parts), "none")
    return f"{system.name} has {' and '.join(texts) or 'no songs'} ({example}, ...)"
