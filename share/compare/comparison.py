"""Stored scores of several systems beside each other: numbers, before anybody prints them.

Nothing is scored again. A cell of a table is of the songs that all systems with that target have a
score of, so that every difference is of the same songs. Folds are averaged as in
`stemsmith.evaluate.benchmark.report`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final

from stemsmith.evaluate.benchmark.report import plain_value
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.realism.songs import read_known_songs
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import member
from stemsmith.share.compare.matching import (
    LeftOutSongs,
    check_alike,
    common_metrics,
    distinct,
    known_targets,
    left_out,
    no_common_song,
    of_songs,
    other_datasets,
    parts_of,
)
from stemsmith.share.compare.metric_tables import Design, MetricTable, Pairs, metric_table
from stemsmith.share.compare.published import read_published
from stemsmith.share.compare.seeds import pool_seeds
from stemsmith.share.compare.systems import ScoredSystem, SongKind, listed, system_of_results

__all__ = ["SystemComparison", "compare_results", "compare_systems"]

_LEAST_SHARE: Final = 0.5  # of the songs; a published system with fewer would take them from all
_DEPENDS_ON_OTHERS: Final = ("SIR", "SAR")


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
                        "seeds": dict(column.seeds),
                        "groups": column.groups,
                    }
                    for column in table.columns
                ],
                "differences": [dataclasses.asdict(row) for row in table.differences],
                "visible": [dataclasses.asdict(row) for row in table.visible],
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
    are_seeds: bool = False,
    groups: Mapping[str, str] | str | PathLike[str] | None = None,
    primary: tuple[str, str, str] | None = None,
    null: tuple[str, str] | None = None,
    aim: float = 0.5,
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
    are_seeds : bool
        Whether folders whose systems have one name (``evaluate --label``) are the same system,
        trained with several seeds. What is compared is the mean over seeds of each song.
    groups : mapping of str to str, or path, optional
        The artist, or any other group, of each song, or a table with the columns ``song`` and
        ``artist``. Intervals and tests are then of groups, see `stemsmith.share.compare.clusters`,
        and folds are not averaged by themselves.
    primary : (str, str, str), optional
        System, baseline and target of the one comparison that was declared before anybody saw a
        score. It is tested without correction; all others are exploratory. It takes one metric.
    null : (str, str), optional
        Names of two systems that differ by their seeds alone: from their difference comes what
        the design can see, see `stemsmith.share.compare.power`.
    aim : float
        Difference that the design should see, in the unit of the metric.

    Returns
    -------
    SystemComparison
        At least one table.

    Raises
    ------
    UsageError
        If a folder is given twice, the systems have no song or no metric in common, or were scored
        with other targets or folds; if a name is that of no system, or a song is in no group.
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
    if are_seeds:
        systems = pool_seeds(systems)
    if public is None and methods:
        raise UsageError(f"--method {methods[0]}: names a system of --public FILE; give that, too")
    notes: list[str] = []
    if public is not None:
        systems += read_published(public, methods)
        if not methods:
            systems, notes = _well_covered(systems)
    if groups is not None and not isinstance(groups, Mapping):
        groups = {song: known.artist for song, known in read_known_songs(groups).items()}
    found = compare_systems(
        systems,
        metrics=metrics,
        targets=targets,
        pairs=pairs,
        is_tested=is_tested,
        groups=groups,
        primary=primary,
        null=null,
        aim=aim,
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
    groups: Mapping[str, str] | None = None,
    primary: tuple[str, str, str] | None = None,
    null: tuple[str, str] | None = None,
    aim: float = 0.5,
) -> SystemComparison:
    """Compare systems that are at hand; parameters and errors as of `compare_results`."""
    if not systems:
        raise UsageError("nothing to compare: give folders of results, or --public FILE")
    notes: list[str] = []
    if groups is not None:
        systems, notes = _without_folds(systems, groups)
    check_alike(systems)
    systems = distinct(systems)
    names, notes_of_metrics = common_metrics(systems, metrics)
    known = known_targets(systems, targets)
    wanted_pairs = member(Pairs, pairs, "--pairs")
    is_tested = is_tested or primary is not None
    design = Design(wanted_pairs, is_tested, groups, primary, null, aim)
    _check_design(design, systems, names, known)
    part_of = parts_of(systems)
    tables: list[MetricTable] = []
    for part in SongKind:
        songs = {song for song, own in part_of.items() if own is part}
        of_part = [of_songs(system, songs) for system in systems]
        found = (metric_table(of_part, name, part, known, design) for name in names)
        tables += [table for table in found if table is not None]
    if not tables:
        raise UsageError(no_common_song(systems))
    _check_primary(design, tables)
    notes += [*notes_of_metrics, *other_datasets(systems), *_unseen(design, tables)]
    if any(system.is_published for system in systems) and set(names) & set(_DEPENDS_ON_OTHERS):
        notes.append(
            "SIR and SAR depend on the sources that a target was told apart from: museval takes "
            "those of vocals and accompaniment from that pair, where both were scored"
        )
    return SystemComparison(
        systems=tuple(system.name for system in systems),
        tables=tuple(tables),
        left_out=left_out(systems, part_of),
        notes=tuple(notes),
        is_tested=design.is_tested,
    )


def _without_folds(
    systems: Sequence[ScoredSystem], groups: Mapping[str, str]
) -> tuple[list[ScoredSystem], list[str]]:
    """Return the systems without folds, and a note of groups that lie in several of them."""
    notes = []
    for system in systems:
        folds: dict[str, set[int]] = {}
        for song, fold in (system.folds or {}).items():
            folds.setdefault(groups.get(song, song), set()).add(fold)
        if several := sorted(group for group, own in folds.items() if len(own) > 1):
            notes.append(
                f"{system.name}: songs of {listed(several)} are in several folds, so that others "
                "of them were trained on"
            )
    return [dataclasses.replace(system, folds=None) for system in systems], notes


def _check_design(
    design: Design,
    systems: Sequence[ScoredSystem],
    metrics: Sequence[str],
    targets: Sequence[str],
) -> None:
    """Check that what was declared is there."""
    names = [system.name for system in systems]
    for option, pair in (("--primary", design.primary), ("--null", design.null)):
        for name in pair[:2] if pair is not None else ():
            if name not in names:
                raise UsageError(f"{option} {name}: no system; there are {', '.join(names)}")
        if pair is not None and pair[0] == pair[1]:
            raise UsageError(f"{option} {pair[0]}: given twice; name two systems")
    if design.primary is not None and design.primary[2] not in targets:
        target = design.primary[2]
        raise UsageError(f"--primary {target}: no target in common; there are {', '.join(targets)}")
    if design.primary is not None and len(metrics) > 1:
        raise UsageError(
            f"--primary: is of one metric; choose it of {', '.join(metrics)} (--metric)"
        )
    if not design.aim > 0:
        raise UsageError(f"--aim {design.aim}: must be above 0")


def _unseen(design: Design, tables: Sequence[MetricTable]) -> list[str]:
    """Return a note of each metric of which nobody can say what the design sees."""
    if design.null is None:
        return []
    reasons = {
        table.metric.name: "its null arm has no finite difference"
        if table.metric.average == "mean"
        else "it is averaged by medians"
        for table in tables
        if not table.visible
    }
    return [f"what the design sees of {name} is not known: {why}" for name, why in reasons.items()]


def _check_primary(design: Design, tables: Sequence[MetricTable]) -> None:
    n_found = sum(row.is_primary for table in tables for row in table.differences)
    if design.primary is not None and n_found != 1:
        system, baseline, target = design.primary
        fault = "no song in common" if not n_found else "in tables of test and of other songs"
        raise UsageError(f"--primary {system} {baseline} {target}: {fault}")
