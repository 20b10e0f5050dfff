"""Which differences between the rows of a study are more than chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from stemsmith.evaluate.realism.songs import read_known_songs
from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.share.compare.comparison import SystemComparison, compare_systems
from stemsmith.share.compare.matching import of_songs
from stemsmith.share.compare.seeds import joined_songs, mean_over_seeds
from stemsmith.share.compare.systems import ScoredSystem
from stemsmith.share.compare.tables import to_csv, to_markdown
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.study import ComparisonSpec

__all__ = ["RowComparison", "compare_rows", "system_of_row", "write_comparisons"]


@dataclass(frozen=True)
class RowComparison:
    """Rows of a study beside each other.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What people read above it.
    note : str
        How the primary comparison was chosen, or why there is none; may be empty.
    found : SystemComparison
        Averages, differences and tests.
    """

    name: str
    title: str
    note: str
    found: SystemComparison


def compare_rows(
    plan: StudyPlan, rows: Sequence[ScoredRow]
) -> tuple[list[RowComparison], list[str]]:
    """Compare the rows of a study as it declares.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    rows : sequence of ScoredRow
        The scores of every row in every test.

    Returns
    -------
    comparisons : list of RowComparison
        One for each that the study declares, and one for each primary comparison.
    failed : list of str
        A line for each that cannot be made.
    """
    found: list[RowComparison] = []
    failed: list[str] = []
    for spec in plan.study.comparisons:
        try:
            found += _compare(plan, spec, rows)
        except UsageError as error:
            failed.append(f"{spec.name}: {error}")
    return found, failed


def write_comparisons(comparisons: Sequence[RowComparison], folder: Path) -> None:
    """Write every comparison as Markdown, and its numbers as CSV.

    Parameters
    ----------
    comparisons : sequence of RowComparison
        What `compare_rows` returned.
    folder : Path
        A folder that is there.
    """
    for one in comparisons:
        note = f"{one.note}\n\n" if one.note else ""
        text = f"# {one.title}\n\n{note}{to_markdown(one.found)}"
        storage.write_atomic(folder / f"{one.name}.md", text.encode())
        storage.write_atomic(folder / f"{one.name}.csv", to_csv(one.found).encode())


def _compare(
    plan: StudyPlan, spec: ComparisonSpec, rows: Sequence[ScoredRow]
) -> list[RowComparison]:
    names = spec.rows or tuple(name for name, row in plan.study.rows.items() if row.train)
    wanted = dict.fromkeys((spec.base, *names, *spec.null, *spec.candidates))
    counts = Counter(map(plan.title_of, wanted))
    titles = {name: plan.title_of(name) for name in wanted}
    titles |= {name: f"{text} ({name})" for name, text in titles.items() if counts[text] > 1}
    systems = {
        name: replace(system, name=title)
        for name, title in titles.items()
        if (system := system_of_row(plan, name, spec.tests, rows)) is not None
    }
    if spec.base not in systems:
        raise UsageError(f"{spec.base} has no scores")
    groups = _groups(plan, spec, systems[spec.base])
    null = tuple(titles[name] for name in spec.null if name in systems)
    targets = spec.targets or plan.study.targets
    found = compare_systems(
        list(systems.values()),
        metrics=[spec.metric],
        targets=targets,
        is_tested=True,
        groups=groups,
        null=(null[0], null[1]) if len(null) == 2 else None,
    )
    title = plan.inputs.filled(spec.title)
    comparisons = [RowComparison(spec.name, title, "", found)]
    if spec.candidates:
        comparisons.append(_primary(plan, spec, systems, groups))
    return comparisons


def system_of_row(
    plan: StudyPlan, row: str, tests: Sequence[str], rows: Sequence[ScoredRow]
) -> ScoredSystem | None:
    """Return the scores of a row in several tests, of each song the mean over trainings.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    row : str
        Name of the row.
    tests : sequence of str
        Names of the tests, as the study declares them.
    rows : sequence of ScoredRow
        The scores of every row in every test.

    Returns
    -------
    ScoredSystem or None
        With the row's title; None where it has no scores.

    Raises
    ------
    UsageError
        If the scores of its tests or of its trainings do not fit together.
    """
    title = plan.title_of(row)
    parts = [one for one in rows if one.row == row and one.test.spec.name in tests]
    if not parts:
        return None
    systems = [mean_over_seeds(one.trainings) for one in parts]
    return replace(systems[0], name=title) if len(systems) == 1 else joined_songs(title, systems)


def _groups(
    plan: StudyPlan, spec: ComparisonSpec, system: ScoredSystem
) -> Mapping[str, str] | None:
    given = plan.inputs.given.get(spec.artists, ()) if spec.artists else ()
    if not given:
        return None
    known = read_known_songs(given[0])
    if missing := sorted(song for song in system.parts if song not in known):
        raise UsageError(f"{given[0]}: does not name the artist of {missing[0]}")
    return {song: known[song].artist for song in system.parts}


def _primary(
    plan: StudyPlan,
    spec: ComparisonSpec,
    systems: Mapping[str, ScoredSystem],
    groups: Mapping[str, str] | None,
) -> RowComparison:
    """Choose the best candidate on the songs of one artist, and compare it on all others."""
    key, base = (spec.target, spec.metric), systems[spec.base]
    known = [name for name in spec.candidates if name in systems and name != spec.base]
    if groups is None:
        raise UsageError(f"the primary comparison needs --{spec.artists or 'artists'}")
    if not known:
        raise UsageError("no candidate of the primary comparison has scores")
    values = {name: systems[name].values.get(key, {}) for name in (spec.base, *known)}
    scored = [  # a song that one of them has no number of says nothing of which is the best
        song
        for song in values[spec.base]
        if all(math.isfinite(own.get(song, math.nan)) for own in values.values())
    ]
    counts = Counter(groups[song] for song in scored)
    if len(counts) < 2:
        raise UsageError("the primary comparison needs songs of two artists at least")
    artist = min(counts, key=lambda name: (-counts[name], name))
    chosen_on = [song for song in scored if groups[song] == artist]
    means = {name: float(np.mean([values[name][song] for song in chosen_on])) for name in known}
    best = max(known, key=lambda name: means[name])
    rest = [song for song in base.parts if groups[song] != artist]
    found = compare_systems(
        [of_songs(system, rest) for system in (base, systems[best])],
        metrics=[spec.metric],
        targets=[spec.target],
        groups={song: groups[song] for song in rest},
        primary=(systems[best].name, base.name, spec.target),
    )
    note = (
        f"{systems[best].name} had the highest mean of {len(known)} candidates on the "
        f"{len(chosen_on)} songs of {artist}, which are left out here."
    )
    title = f"{plan.inputs.filled(spec.title)}: primary comparison"
    return RowComparison(f"{spec.name}-primary", title, note, found)
