"""The order in which stages are done, and which of them at a time.

Stages use workers each by itself, one stage after the other. Trainings use a device instead: on a
GPU there is one at a time, and on CPUs as many as there are local workers, each with one thread.
Where several are trained at a time, scores that need them wait for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsmith.manifests.errors import StemsmithError
from stemsmith.manifests.jobs import QUIET, Died, InProcess
from stemsmith.studies.destination import StudyDestination
from stemsmith.studies.perform import CACHE, StudyMachine, perform, trim_cache
from stemsmith.studies.stages import StageKind, StudyStage

__all__ = ["StageOutcome", "StudySchedule", "TrainingJob", "train_stage"]


@dataclass(frozen=True)
class TrainingJob:
    """A training that a worker does.

    Attributes
    ----------
    stage : StudyStage
        The stage of the training.
    root, home : Path
        As of `StudyMachine`.
    device : str
        What trains: ``auto`` or ``cpu``.
    """

    stage: StudyStage
    root: Path
    home: Path
    device: str


@dataclass(frozen=True)
class StageOutcome:
    """What came of a stage.

    Attributes
    ----------
    stage : StudyStage
        The stage that was done, or was not.
    seconds : float
        How long it took.
    error : str
        Why it could not be done; empty if it could.
    """

    stage: StudyStage
    seconds: float
    error: str = ""


def train_stage(job: TrainingJob) -> StageOutcome:
    """Train in a worker; what a user can cause is told and not raised."""
    machine = StudyMachine(job.root, job.home, InProcess(), job.device, QUIET)
    return _outcome_of(job.stage, machine)


def _outcome_of(stage: StudyStage, machine: StudyMachine) -> StageOutcome:
    start = time.monotonic()
    error = ""
    try:
        perform(stage, machine)
    except StemsmithError as caught:
        error = str(caught)
    return StageOutcome(stage, time.monotonic() - start, error)


@dataclass
class StudySchedule:
    """Does stages, and keeps what has become of them.

    Attributes
    ----------
    destination : StudyDestination
        Is told of every stage that is done.
    machine : StudyMachine
        Where stages are done.
    hashes : mapping of str to str
        The fingerprint of every stage.
    files : mapping of str to object
        What is known of the files beside the study's that each stage reads.
    n_trainings : int
        Number of trainings at a time.
    failed : dict of str to str
        Stages that could not be done, and why.
    """

    destination: StudyDestination
    machine: StudyMachine
    hashes: Mapping[str, str]
    files: Mapping[str, Any]
    n_trainings: int = 1
    failed: dict[str, str] = field(default_factory=dict)
    _trainings: list[StudyStage] = field(default_factory=list)
    _waiting: list[StudyStage] = field(default_factory=list)

    def do(self, stages: Sequence[StudyStage]) -> None:
        """Do stages; one that fails takes those with it that need it, and no others.

        Parameters
        ----------
        stages : sequence of StudyStage
            Those that are not done, none before what it needs.
        """
        for stage in stages:
            pending = {other.id for other in (*self._trainings, *self._waiting)}
            if stage.kind is StageKind.RUN and self.n_trainings > 1:
                if not pending.isdisjoint(stage.needs):  # it goes on with the weights of another
                    self._train()
                self._trainings.append(stage)
                if len(self._trainings) >= self.n_trainings:
                    self._train()
            elif pending.isdisjoint(stage.needs):
                self._do(stage)
            else:
                self._waiting.append(stage)
        self._train()

    def _train(self) -> None:
        """Do the trainings that were put together, and then what waited for them."""
        trim_cache(self.machine.root / CACHE)
        ready = [stage for stage in self._trainings if not self._has_lost(stage)]
        machine = self.machine
        jobs = [TrainingJob(stage, machine.root, machine.home, machine.device) for stage in ready]
        for stage in ready:
            machine.progress.note(stage.id)
        for done in machine.workers.map(train_stage, jobs):
            if isinstance(done, Died):
                self._end(StageOutcome(done.job.stage, 0.0, "killed the process that trained"))
            else:
                self._end(done)
        waiting, self._waiting, self._trainings = self._waiting, [], []
        for stage in waiting:
            self._do(stage)

    def _do(self, stage: StudyStage) -> None:
        if self._has_lost(stage):
            return
        self.machine.progress.note(stage.id)
        if stage.kind is StageKind.RUN:
            trim_cache(self.machine.root / CACHE)
        self._end(_outcome_of(stage, self.machine))

    def _has_lost(self, stage: StudyStage) -> bool:
        """Say whether a stage needs one that has failed, and then fail it, too."""
        lost = next((name for name in stage.needs if name in self.failed), None)
        if lost is not None:
            self.failed[stage.id] = f"needs {lost}"
        return lost is not None

    def _end(self, done: StageOutcome) -> None:
        if done.error:
            self.failed[done.stage.id] = done.error
            self.machine.progress.warn(f"{done.stage.id}: {done.error}")
        else:
            name = done.stage.id
            self.destination.record(done.stage, self.hashes[name], done.seconds, self.files[name])
