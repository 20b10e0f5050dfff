"""Whether the distance of corpora to real songs predicts what training on them gains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.share.compare.grids import TextTable, probability_text
from stemsmith.share.compare.prediction import CorpusGain, GapPrediction, predict_gains
from stemsmith.share.compare.systems import ScoredSystem
from stemsmith.share.compare.tables import markdown_of
from stemsmith.studies.comparisons import system_of_row
from stemsmith.studies.gaps import read_distances
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.plan import PlannedPrediction, StudyPlan
from stemsmith.studies.tables import csv_of, used_data

__all__ = ["RowPrediction", "predict_rows", "prediction_tables", "write_predictions"]

_NONE: Final = "-"
_SPECTRA: Final = "gap of "  # what the names of distances between spectra begin with


@dataclass(frozen=True)
class RowPrediction:
    """Whether the distance of corpora to the songs of tests predicts the gain of rows.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What people read above it.
    corpora : tuple of CorpusGain
        By the title of each row, how far its corpus is from the songs and what the row gained.
    found : tuple of GapPrediction
        What each measure of distance predicts.
    gain : str
        What the gain is, with its unit.
    remarks : tuple of str
        What has to be known of all this.
    """

    name: str
    title: str
    corpora: tuple[CorpusGain, ...]
    found: tuple[GapPrediction, ...]
    gain: str
    remarks: tuple[str, ...]

    @property
    def claims_nothing(self) -> str:
        """Why no measure of distance is said to predict anything; empty if one is."""
        if any(one.correlation is not None for one in self.found):
            return ""
        most = max(self.found, key=lambda one: one.n, default=None)
        return f"Nothing is claimed: {most.reason if most else 'no distance is known'}."


def predict_rows(
    plan: StudyPlan, rows: Sequence[ScoredRow], root: Path, missing: Sequence[str] = ()
) -> tuple[list[RowPrediction], list[str]]:
    """Say of rows whether the sound of their corpora predicts their scores, as a study declares.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.
    rows : sequence of ScoredRow
        The scores of every row in every test.
    root : Path
        Folder of the study.
    missing : sequence of str
        Stages that could not be done; rows without scores or without a gap do not count.

    Returns
    -------
    predictions : list of RowPrediction
        One for each that the study declares.
    failed : list of str
        A line for each that cannot be made.
    """
    found: list[RowPrediction] = []
    failed: list[str] = []
    for planned in plan.predictions:
        try:
            found.append(_predict(plan, planned, rows, root, missing))
        except (UsageError, InvalidCorpus) as error:
            failed.append(f"{planned.spec.name}: {error}")
    return found, failed


def prediction_tables(prediction: RowPrediction) -> list[TextTable]:
    """Return what each measure predicts, unless nothing is claimed, and what is known of corpora.

    Parameters
    ----------
    prediction : RowPrediction
        One of those that `predict_rows` returned.
    """
    tables = [] if prediction.claims_nothing else [_measures_table(prediction)]
    return [*tables, _corpora_table(prediction)]


def write_predictions(predictions: Sequence[RowPrediction], folder: Path) -> None:
    """Write every prediction as Markdown, and its numbers and those of its corpora as CSV.

    Parameters
    ----------
    predictions : sequence of RowPrediction
        What `predict_rows` returned.
    folder : Path
        A folder that is there.
    """
    for one in predictions:
        parts = [f"# {one.title}\n", *([f"{one.claims_nothing}\n"] if one.claims_nothing else [])]
        parts += [markdown_of(table) for table in prediction_tables(one)]
        storage.write_atomic(folder / f"{one.name}.md", "\n".join(parts).encode())
        storage.write_atomic(folder / f"{one.name}.csv", csv_of(_numbers(one)).encode())
        corpora = csv_of(_corpus_numbers(one))
        storage.write_atomic(folder / f"{one.name}-corpora.csv", corpora.encode())


def _predict(
    plan: StudyPlan,
    planned: PlannedPrediction,
    rows: Sequence[ScoredRow],
    root: Path,
    missing: Sequence[str],
) -> RowPrediction:
    spec = planned.spec
    gaps = {row: stage for row, stage in planned.gaps.items() if stage not in missing}
    systems = {
        row: system
        for row in dict.fromkeys((spec.base, *gaps))
        if (system := system_of_row(plan, row, spec.tests, rows)) is not None
    }
    if spec.base not in systems:
        raise UsageError(f"{spec.base} has no scores")
    gains, n_songs = _gains(systems, spec.base, (spec.target, spec.metric))
    corpora = tuple(
        CorpusGain(plan.title_of(row), spec.rows[row], read_distances(root / gaps[row]), gains[row])
        for row in gaps
        if row in systems
    )
    unit = systems[spec.base].metrics[spec.metric].metric.unit
    over = f"over {plan.title_of(spec.base)!r}"
    tests = [test.title for test in plan.tests if test.spec.name in spec.tests]
    return RowPrediction(
        name=spec.name,
        title=plan.inputs.filled(spec.title),
        corpora=corpora,
        found=predict_gains(corpora),
        gain=f"gain of {spec.target}{f', {unit}' if unit else ''}",
        remarks=(
            f"size {plan.study.size}",
            f"gain in {spec.metric} of {spec.target} {over}, mean over the {n_songs} songs that "
            f"all rows have scores of ({', '.join(tests)})",
            "corpora of the same factors count as one",
            *used_data(plan),
        ),
    )


def _gains(
    systems: dict[str, ScoredSystem], base: str, key: tuple[str, str]
) -> tuple[dict[str, float], int]:
    """Return the mean gain of each row over the base, and of how many songs it is the mean."""
    scores = {row: system.values.get(key, {}) for row, system in systems.items()}
    known = [{s for s, value in own.items() if math.isfinite(value)} for own in scores.values()]
    songs = sorted(set.intersection(*known))
    if not songs:
        target, metric = key
        raise UsageError(f"no song has {metric} of {target} by every row")
    means = {row: float(np.mean([own[song] for song in songs])) for row, own in scores.items()}
    return {row: mean - means[base] for row, mean in means.items()}, len(songs)


def _measures_table(prediction: RowPrediction) -> TextTable:
    rows = tuple(
        (one.measure, _signed(one.correlation), _p(one.p), _p(one.p_holm), str(one.n))
        for one in prediction.found
    )
    notes = [one.to_text() for one in prediction.found if one.correlation is None]
    n_factors = max(one.n_factors for one in prediction.found)
    return TextTable(
        title="What the distance of a corpus to the songs says of the gain",
        head=("distance", "Spearman's rho", "p", "p, Holm", "corpora"),
        rows=rows,
        foot="; ".join(
            [
                "rho is below zero where closer corpora gain more",
                "p by permutation, and with Holm's correction for all distances",
                f"corpora differ in {n_factors} factors",
                *notes,
                *prediction.remarks,
            ]
        ),
    )


def _corpora_table(prediction: RowPrediction) -> TextTable:
    """Return the corpora with their gains and the distances of their spectra."""
    factors, measures = _factors(prediction), _measures(prediction)
    spectra = [name for name in measures if name.startswith(_SPECTRA)]
    rows = tuple(
        (
            corpus.name,
            *(corpus.factors.get(factor, _NONE) for factor in factors),
            _signed(corpus.gain),
            *(f"{corpus.gaps[name]:.2f}" if name in corpus.gaps else _NONE for name in spectra),
        )
        for corpus in prediction.corpora
    )
    return TextTable(
        title="The corpora",
        head=("", *factors, prediction.gain, *spectra),
        rows=rows,
        foot="; ".join(prediction.remarks),
    )


def _factors(prediction: RowPrediction) -> list[str]:
    return list(dict.fromkeys(f for corpus in prediction.corpora for f in corpus.factors))


def _measures(prediction: RowPrediction) -> list[str]:
    return [one.measure for one in prediction.found]


def _numbers(prediction: RowPrediction) -> Iterator[Sequence[object]]:
    """Yield a row for each measure of distance."""
    yield "distance", "n_corpora", "n_factors", "rho", "p", "p_holm", "reason"
    for one in prediction.found:
        yield (
            one.measure, one.n, one.n_factors, one.correlation, one.p, one.p_holm, one.reason,
        )  # fmt: skip


def _corpus_numbers(prediction: RowPrediction) -> Iterator[Sequence[object]]:
    """Yield a row for each corpus, with its factors, its gain and all its distances."""
    factors, measures = _factors(prediction), _measures(prediction)
    yield "row", *factors, prediction.gain, *measures
    for corpus in prediction.corpora:
        levels = [corpus.factors.get(factor, "") for factor in factors]
        yield corpus.name, *levels, corpus.gain, *(corpus.gaps.get(name) for name in measures)


def _signed(value: float | None) -> str:
    return _NONE if value is None else f"{value:+.2f}"


def _p(value: float | None) -> str:
    return _NONE if value is None else probability_text(value)
