"""A folder that results are going into: resuming it, separating ahead of it, and closing it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stemsmith.evaluate.benchmark.plan import EvaluationPlan, why_nothing
from stemsmith.evaluate.benchmark.pooled import mean_over_targets, median_over_windows
from stemsmith.evaluate.benchmark.report import plain, score_table, summarise_scores
from stemsmith.evaluate.benchmark.results import (
    FITS,
    REJECTED_BY,
    REJECTIONS,
    SCORES,
    STAGE,
    STATE_FOLDER,
    SUMMARY,
    TABLE,
    TIMES,
    EstimateFit,
    SeparationTime,
    SongScore,
)
from stemsmith.evaluate.benchmark.score_informed import ScoreInformed
from stemsmith.evaluate.benchmark.score_song import ScoringJob
from stemsmith.evaluate.benchmark.systems import JointRuns
from stemsmith.manifests import shards, storage
from stemsmith.manifests.audio.read import audio_info
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.run_folder import RunFolder

__all__ = ["ResultsDestination"]


class ResultsDestination:
    """A folder that results go into while songs are being scored.

    Parameters
    ----------
    root : Path
        The folder that results go into.
    evaluation_plan : EvaluationPlan
        All decisions of the evaluation that fills it.
    """

    def __init__(self, root: Path, evaluation_plan: EvaluationPlan) -> None:
        self._root, self._plan = root, evaluation_plan
        state = root / STATE_FOLDER
        self._staged = {job.song.name: job.staged for job in evaluation_plan.jobs}
        self._folder = RunFolder(root, STAGE, state, evaluation_plan.fingerprint)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder; see `RunFolder.opened`."""
        with self._folder.opened():
            if not self._folder.is_closed:
                place(self._plan.jobs[0].scores).parent.mkdir(exist_ok=True)  # of all jobs
            yield

    def open_jobs(self) -> list[ScoringJob]:
        """Return the jobs that are not finished."""
        if self._folder.is_closed:
            return []
        return [job for job in self._plan.jobs if not _is_finished(job)]

    def prepared(self, jobs: list[ScoringJob]) -> Iterator[ScoringJob]:
        """Yield jobs, each when its estimates are there.

        Runs and NMF separate their mixtures here, one whenever a job is asked for, so that two
        are ahead for each worker.
        """
        for job in jobs:
            estimator = self._plan.estimators[job.song.name]
            if isinstance(estimator, JointRuns | ScoreInformed):
                start = time.perf_counter()
                try:
                    estimator.separate(job.song, place(job.staged))
                    _write_time(job, time.perf_counter() - start)
                except (InvalidCorpus, UsageError) as error:  # of this song, and no other
                    self.reject(job, Reason.NO_ESTIMATE, str(error))
            yield job

    def forget(self, song: str) -> None:
        """Remove what was separated of a song that is done."""
        storage.remove_tree(place(self._staged[song]))

    def reject(self, job: ScoringJob, reason: Reason, detail: str) -> Rejection:
        """Record that a job could not be done at all, unless it was done before it died."""
        rejection = Rejection(job.song.name, REJECTED_BY, reason, detail)
        if not _is_finished(job):
            place(job.frames).unlink(missing_ok=True)  # museval would count the song
            shards.write_records(place(job.rejection), Rejection, [rejection])
        return rejection

    def close(self) -> None:
        """Gather the scores, write what they say, and the manifest.

        Raises
        ------
        NothingToDo
            If every song was rejected.
        """
        if self._folder.is_closed:
            return
        done = [job for job in self._plan.jobs if place(job.scores).exists()]
        refused = [
            place(job.rejection) for job in self._plan.jobs if not place(job.scores).exists()
        ]
        rejections = [*self._plan.rejections, *shards.read_records(refused, Rejection)]
        rejections.sort(key=lambda rejection: rejection.id)
        if not done:
            self._folder.abandon()
            raise NothingToDo(why_nothing(self._plan.header["system"], rejections))
        scores = shards.read_records([place(job.scores) for job in done], SongScore)
        files = [self._root / SCORES, self._root / REJECTIONS]
        shards.write_records(files[0], SongScore, scores)
        left_out = [*rejections, *self._plan.left_out]
        shards.write_records(files[1], Rejection, left_out)
        fitted = self._fitted(done)
        if fitted is not None:
            files.append(self._root / FITS)
            shards.write_records(files[2], EstimateFit, fitted)
        if times := [place(job.time) for job in done if place(job.time).exists()]:
            of_songs = shards.read_records(times, SeparationTime)
            shards.write_records(self._root / TIMES, SeparationTime, of_songs)
        summary = self._summary(scores, len(done), fitted)
        text = json.dumps(summary, indent=2, allow_nan=False)
        storage.write_atomic(self._root / SUMMARY, text.encode() + b"\n")
        storage.write_atomic(self._root / TABLE, score_table(summary).encode())
        frames = [place(job.frames) for job in done if place(job.frames).exists()]
        reasons = Counter(str(rejection.reason) for rejection in left_out)
        header = {
            **self._plan.header,
            "n_songs": len(done),
            "rejections": dict(sorted(reasons.items())),
            "shards": [shards.shard_entry(file) for file in files],
            "files": [self._entry(f) for f in (self._root / SUMMARY, self._root / TABLE, *frames)],
        }
        self._folder.close(header)

    def _entry(self, file: Path) -> dict[str, str]:
        # Jobs have absolute paths, and the folder may have been given as it is from here.
        path = file.absolute().relative_to(self._root.absolute())
        return {"file": path.as_posix(), "sha256": storage.file_hash(file)}

    def _fitted(self, done: Sequence[ScoringJob]) -> list[EstimateFit] | None:
        """Return what was fitted; None where nothing was to be."""
        if self._plan.header["config"].get("lengths") is None:
            return None
        paths = [place(job.fits) for job in done if place(job.fits).exists()]
        return shards.read_records(paths, EstimateFit)

    def _summary(
        self, scores: Sequence[SongScore], n_scored: int, fitted: Sequence[EstimateFit] | None
    ) -> dict[str, Any]:
        header, folds = self._plan.header, self._plan.folds
        songs = [job.song.name for job in self._plan.jobs]
        targets = header["config"]["targets"]
        counts = {} if fitted is None else {"fitted": _counts(fitted)}
        summaries = summarise_scores(scores, targets, folds)
        return {
            **{key: header[key] for key in ("system", "dataset")},
            **header["config"],
            "songs": sorted([*songs, *(rejection.id for rejection in self._plan.rejections)]),
            "n_scored": n_scored,
            **counts,
            "folds": folds,
            "scores": plain(summaries),
            "mean_over_targets": plain(mean_over_targets(scores, summaries, folds)),
            "windows": plain(median_over_windows(scores, targets, folds)),
        }


def _write_time(job: ScoringJob, separation_s: float) -> None:
    """Record how long the separation of a song took, unless it could not be read."""
    for estimate in place(job.staged).glob("*.wav"):
        info = audio_info(estimate)
        row = SeparationTime(job.song.name, info.n_samples / info.sample_rate, separation_s)
        shards.write_records(place(job.time), SeparationTime, [row])
        return


def _counts(fitted: Sequence[EstimateFit]) -> dict[str, int]:
    """Return how often estimates were cut, padded, and taken for more than one channel."""
    return {
        "cut": sum(fit.n_added < 0 for fit in fitted),
        "padded": sum(fit.n_added > 0 for fit in fitted),
        "copied": sum(fit.is_copied for fit in fitted),
    }


def _is_finished(job: ScoringJob) -> bool:
    return place(job.scores).exists() or place(job.rejection).exists()
