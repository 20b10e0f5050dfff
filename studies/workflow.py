"""What there is to do here: planning a study, and running it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.jobs import QUIET, Progress, Workers
from stemsmith.manifests.paths import local_path
from stemsmith.studies.comparisons import RowComparison, compare_rows, write_comparisons
from stemsmith.studies.destination import StudyDestination
from stemsmith.studies.files import hashes_of_files
from stemsmith.studies.inputs import read_inputs
from stemsmith.studies.known_options import check_options
from stemsmith.studies.outcome import ScoredRow, read_scores
from stemsmith.studies.page import write_page
from stemsmith.studies.perform import CACHE, StudyMachine
from stemsmith.studies.plan import StudyPlan, plan_stages
from stemsmith.studies.predictions import RowPrediction, predict_rows, write_predictions
from stemsmith.studies.schedule import StudySchedule
from stemsmith.studies.stages import fingerprints
from stemsmith.studies.study import read_study
from stemsmith.studies.tables import TABLES, table_texts, write_tables
from stemsmith.train.machine import Device

__all__ = ["StudyOutcome", "plan_study", "run_study"]

Inputs = Mapping[str, str | PathLike[str] | Sequence[str | PathLike[str]]]


@dataclass(frozen=True)
class StudyOutcome:
    """What a study has made.

    Attributes
    ----------
    root : Path
        Folder of the study.
    plan : StudyPlan
        What was planned.
    rows : tuple of ScoredRow
        The scores of every row in every test.
    comparisons : tuple of RowComparison
        The rows beside each other, as the study declares.
    predictions : tuple of RowPrediction
        Whether the sound of corpora predicts what training on them gains, as the study declares.
    failed : mapping of str to str
        Stages that could not be done, and why; those that need one are named with it.
    seconds : mapping of str to float
        How long each stage took.
    page : Path
        A page to look at.
    """

    root: Path
    plan: StudyPlan
    rows: tuple[ScoredRow, ...]
    comparisons: tuple[RowComparison, ...]
    predictions: tuple[RowPrediction, ...]
    failed: Mapping[str, str]
    seconds: Mapping[str, float]
    page: Path

    def tables(self) -> list[str]:
        """Return the tables as Markdown."""
        return table_texts(self.plan, self.rows, self.root)


def plan_study(
    study: str | PathLike[str],
    size: str = "small",
    *,
    inputs: Inputs | None = None,
    seeds: int | None = None,
) -> StudyPlan:
    """Plan a study; nothing is written.

    Parameters
    ----------
    study : path
        Its TOML file.
    size : str
        ``tiny``, ``small`` or ``paper``.
    inputs : mapping of str to path or sequence of path, optional
        What the study asks for, by name, such as ``{"musdb": "musdb18hq"}``; what is not given is
        rendered in its place, or left out.
    seeds : int, optional
        Number of trainings of each row; None takes the study's.

    Returns
    -------
    StudyPlan
        Its stages in order, with what is shared done once.

    Raises
    ------
    UsageError
        If the file cannot be read or is not what it should be, or it has no such input.
    """
    given = {
        name: [str(paths)] if isinstance(paths, str | PathLike) else list(map(str, paths))
        for name, paths in (inputs or {}).items()
    }
    plan = plan_stages(read_inputs(read_study(local_path(study), size), given), seeds)
    check_options(plan)
    return plan


def run_study(
    study: str | PathLike[str],
    out: str | PathLike[str],
    size: str = "small",
    *,
    inputs: Inputs | None = None,
    seeds: int | None = None,
    device: str = "auto",
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> StudyOutcome:
    """Run a study: render, mix, train, evaluate, and write its tables and a page.

    Killed at any moment, the same call goes on. With more seeds, or rows, the stages that are done
    are kept.

    Parameters
    ----------
    study, size, inputs, seeds
        As for `plan_study`.
    out : path
        Folder that is made, or gone on with.
    device : str
        What trains and separates: ``auto``, ``cpu`` or ``cuda``. On a GPU there is one training at
        a time, on CPUs one for each local worker.
    jobs : int or Workers
        Number of local worker processes that render, mix and score, where 0 works in this
        process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler to use in place of local workers.
    progress : Progress
        Is told how far the study is. Nothing is shown by default.

    Returns
    -------
    StudyOutcome
        What was made. A stage that could not be done is named there with the reason, and what
        needs it is left out of tables.

    Raises
    ------
    UsageError
        If the study, its inputs or the folder are not what they should be.
    NothingToDo
        If no row has a score; the text has the first reason.
    """
    plan = plan_study(study, size, inputs=inputs, seeds=seeds)
    root = local_path(out)
    destination = StudyDestination(root, plan.study.title, size)
    hashes = fingerprints(plan.stages)
    home = plan.study.path.absolute().parent
    files = {stage.id: hashes_of_files(stage, home) for stage in plan.stages}
    destination.check(hashes, files)
    failed: dict[str, str] = {}
    with destination.opened():
        destination.check(hashes, files)  # another process may have done something meanwhile
        todo = [stage for stage in plan.stages if not destination.is_done(stage)]
        if todo:
            with open_workers(jobs, scheduler) as workers:
                machine = StudyMachine(root.absolute(), home, workers, device, progress)
                n_trainings = _n_trainings(device, jobs, scheduler)
                schedule = StudySchedule(destination, machine, hashes, files, n_trainings)
                schedule.do(todo)
                failed = schedule.failed
        shutil.rmtree(root / CACHE, ignore_errors=True)
        rows = tuple(read_scores(plan, root, list(failed)))
        if not rows:
            why = next((f"; {stage}: {reason}" for stage, reason in failed.items()), "")
            raise NothingToDo(f"{root}: no row has a score{why}")
        seconds = destination.seconds_of(plan.stages)
        comparisons, undone = compare_rows(plan, rows)
        predictions, unknown = predict_rows(plan, rows, root, list(failed))
        for line in (*undone, *unknown):
            progress.warn(line)
        write_tables(plan, rows, root)
        write_comparisons(comparisons, root / TABLES)
        write_predictions(predictions, root / TABLES)
        page = write_page(plan, rows, comparisons, predictions, failed, seconds, root)
    return StudyOutcome(
        root, plan, rows, tuple(comparisons), tuple(predictions), failed, seconds, page
    )


def _n_trainings(device: str, jobs: int | Workers, scheduler: str | None) -> int:
    """Return how many trainings may go on at a time: one on a GPU, on CPUs one a local worker."""
    if scheduler is not None or not isinstance(jobs, int) or jobs < 2 or device == Device.CUDA:
        return 1
    if device == Device.AUTO:
        import torch

        if torch.cuda.is_available():
            return 1
    return jobs
