"""Which stages are done at a time, and what fails with what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET
from stemsmith.studies import schedule
from stemsmith.studies.destination import StudyDestination
from stemsmith.studies.perform import StudyMachine
from stemsmith.studies.stages import StageKind, StudyStage, fingerprints


class Recorder:
    """Workers that say what they were given at a time, and do it here."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        some = list(jobs)
        if some:
            self.batches.append([job.stage.name for job in some])
        return map(function, some)


def stage(kind: StageKind, name: str, *needs: StudyStage) -> StudyStage:
    return StudyStage(kind=kind, name=name, work={}, needs=tuple(one.id for one in needs))


MIX = stage(StageKind.MIXTURES, "m")
RUNS = [stage(StageKind.RUN, f"r{k}", MIX) for k in range(5)]
TUNED = stage(StageKind.RUN, "tuned", RUNS[3])
SCORES = stage(StageKind.RESULTS, "s", RUNS[0], RUNS[1])
STAGES = [MIX, RUNS[0], RUNS[1], SCORES, RUNS[2], RUNS[3], TUNED, RUNS[4]]


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def perform(one: StudyStage, machine: StudyMachine) -> None:
        if one.name in broken:
            raise UsageError("does not work")
        names.append(one.name)

    broken: set[str] = set()
    monkeypatch.setattr(schedule, "perform", perform)
    monkeypatch.setattr(perform, "broken", broken, raising=False)
    return names


def done(
    tmp_path: Path, n: int, stages: Iterable[StudyStage] = STAGES
) -> tuple[Recorder, schedule.StudySchedule]:
    workers = Recorder()
    machine = StudyMachine(tmp_path, tmp_path, workers, "cpu", QUIET)
    destination = StudyDestination(tmp_path / "out", "a study", "tiny")
    hashes = fingerprints(stages)
    with destination.opened():
        made = schedule.StudySchedule(
            destination, machine, hashes, {name: {} for name in hashes}, n
        )
        made.do(list(stages))
    return workers, made


def test_one_training_at_a_time_is_in_the_order_of_the_plan(
    tmp_path: Path, performed: list[str]
) -> None:
    workers, made = done(tmp_path, 1)
    assert performed == [one.name for one in STAGES]
    assert not workers.batches and not made.failed


def test_trainings_go_together_and_scores_wait_for_them(
    tmp_path: Path, performed: list[str]
) -> None:
    workers, _ = done(tmp_path, 3)
    # "tuned" begins with the weights of "r3", and cannot be trained beside it.
    assert workers.batches == [["r0", "r1", "r2"], ["r3"], ["tuned", "r4"]]
    assert performed == ["m", "r0", "r1", "r2", "s", "r3", "tuned", "r4"]


@pytest.mark.parametrize("n_trainings", [1, 2])
def test_what_needs_a_stage_that_failed_is_left_out(
    tmp_path: Path, performed: list[str], n_trainings: int
) -> None:
    schedule.perform.broken.update({"r1", "r3"})  # type: ignore[attr-defined]
    _, made = done(tmp_path, n_trainings)
    assert made.failed == {
        "runs/r1": "does not work",
        "results/s": "needs runs/r1",
        "runs/r3": "does not work",
        "runs/tuned": "needs runs/r3",
    }
    assert sorted(performed) == ["m", "r0", "r2", "r4"]
