"""A corpus of renditions while it is being rendered, resumed, and closed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import Rendition, RenditionSource
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.shares import FinishedJob, Share
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.renditions.closing import (
    SCORES_FOLDER,
    PlannedPiece,
    PlannedStems,
    RenditionOutline,
    close_renditions,
    refusal_of,
)
from stemsmith.render.renditions.plan import Piece, RenditionPlan
from stemsmith.render.renditions.render import RefusedStems, StemJob, StemSpec, stem_path
from stemsmith.render.songs.metadata import stem_name

__all__ = ["RenditionDestination", "merge_renditions"]


class RenditionDestination:
    """The folder of a corpus of renditions while it is being rendered.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be there yet.
    plan : RenditionPlan
        What goes into it.
    share : Share, optional
        Job of an array, whose stems are rendered here; None for all stems.
    fingerprint : str, optional
        Hash of all that decides the run; by default that of the plan.
    """

    def __init__(
        self,
        root: Path,
        plan: RenditionPlan,
        share: Share | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self._root, self._plan, self._share = root, plan, share
        self._layout = Layout(root)
        fingerprint = fingerprint or plan.fingerprint()
        self._folder = RunFolder(root, CORPUS, self._layout.run, fingerprint, share)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder; see `RunFolder.opened`."""
        with self._folder.opened():
            if not self._folder.is_closed:
                self._layout.records.mkdir(exist_ok=True)
                if self._plan.lazy is not None:
                    self._plan.lazy.keep(self._layout)
                if self._share is not None:
                    self._folder.array.save(self._outline.to_keep())
            yield

    @property
    def jobs(self) -> Sequence[StemJob]:
        """The jobs that are done here, finished ones included."""
        return self._own

    @property
    def n_jobs(self) -> int:
        """Number of jobs that are done here, finished ones included."""
        return len(self._own)

    def open_jobs(self) -> list[StemJob]:
        """Return the jobs that are not finished, the largest first."""
        if self._folder.is_closed:
            return []
        jobs = [job for job in self._own if not self._is_finished(job)]
        return sorted(jobs, key=lambda job: len(job.specs), reverse=True)

    def n_all_open(self) -> int:
        """Return how many jobs of the whole plan are not finished."""
        return sum(not self._is_finished(job) for job in self._jobs)

    @cached_property
    def _jobs(self) -> Sequence[StemJob]:
        return [job for piece in self._plan.pieces for job in self._jobs_of(piece)]

    @property
    def _own(self) -> Sequence[StemJob]:
        return self._jobs if self._share is None else self._share.of(self._jobs)

    def _is_finished(self, job: StemJob) -> bool:
        refusal = self._layout.record(_name_of(job.record), "rejections")
        return place(job.record).exists() or refusal.exists()

    def _jobs_of(self, piece: Piece) -> Iterator[StemJob]:
        chosen = piece.chosen
        by_tempo: dict[int, list[StemSpec]] = {}
        for (tempo, *_), spec in sorted(piece.specs.items(), key=lambda item: item[0]):
            by_tempo.setdefault(tempo, []).append(spec)
        for tempo, specs in by_tempo.items():
            name = f"{chosen.track}-{tempo}"
            yield StemJob(
                song_id=chosen.song.md5,
                notes_sha256=chosen.song.notes_sha256,
                track=chosen.track,
                split=chosen.split,
                source=chosen.song.path,
                midi_root=self._plan.midi_root,
                corpus=str(self._root.resolve()),
                staging=str(self._folder.staging.resolve()),
                record=str(self._layout.record(name, "stems").resolve()),
                tempo=self._plan.config.tempos[tempo],
                specs=tuple(specs),
                config=self._plan.config,
                licence=chosen.song.licence,
                duplicate_group=chosen.group,
                score_path=piece.score_path,
                is_lazy=self._plan.lazy is not None,
            )

    @cached_property
    def _outline(self) -> RenditionOutline:
        jobs: dict[str, list[PlannedStems]] = {}
        for job in self._jobs:
            name = _name_of(job.record)
            jobs.setdefault(job.track, []).append(PlannedStems(name, len(job.specs)))
        pieces = [
            PlannedPiece(piece.chosen.track, piece.chosen.split, jobs[piece.chosen.track])
            for piece in self._plan.pieces
        ]
        return RenditionOutline(pieces, self._plan.rejections, dict(self._plan.header))

    def reject(self, refused: RefusedStems) -> None:
        """Record that a piece cannot be rendered; all its renditions are left out."""
        (job,) = (job for job in self._own if job.record == refused.record)
        for spec in job.specs:
            for suffix in ("flac", "mid"):
                (self._root / stem_path(spec, suffix)).unlink(missing_ok=True)
        self._layout.reject(_name_of(job.record), refused.rejection)

    def died(self, job: StemJob) -> RefusedStems:
        """Return what is to be recorded of a job that killed its worker twice."""
        detail = "killed its process twice"
        rejection = Rejection(job.source, "render", Reason.RENDERER_DIED, detail)
        return RefusedStems(job.record, rejection)

    def finish_job(self) -> FinishedJob:
        """Add what is left of a job's share; the folder is left to whoever closes it.

        Whoever renders the first stems of a piece writes its renditions, without their lengths, and
        copies its score.

        Returns
        -------
        FinishedJob
            What the job has done.
        """
        assert self._share is not None
        rendered = [job for job in self._own if place(job.record).exists()]
        refused = [self._layout.rejection(_name_of(job.record)) for job in self._own]
        if not self._folder.is_closed:
            firsts = {piece.jobs[0].name for piece in self._outline.pieces}
            own = {job.track for job in rendered if _name_of(job.record) in firsts}
            for planned in self._outline.pieces:
                if planned.track in own:
                    drafts = list(self._drafts_of(planned))
                    shards.write_records(_drafts_path(self._layout, planned), Rendition, drafts)
                    self._copy_score(planned)
        n_stems = sum(len(job.specs) for job in rendered)
        rejections = tuple(rejection for rejection in refused if rejection is not None)
        return FinishedJob(self._root, str(self._share), n_stems, rejections)

    def close(self, settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Corpus:
        """Gather the records, write renditions, scores, card and manifest.

        Parameters
        ----------
        settled : callable, optional
            As of `close_renditions`.

        Raises
        ------
        NothingToDo
            If every piece was rejected.
        """
        return close_renditions(
            self._layout, self._folder, self._outline, self._drafts_of, self._copy_score, settled
        )

    @cached_property
    def _pieces(self) -> dict[str, Piece]:
        return {piece.chosen.track: piece for piece in self._plan.pieces}

    def _copy_score(self, planned: PlannedPiece) -> None:
        piece = self._pieces[planned.track]
        song = piece.chosen.song
        path = place(self._plan.midi_root) / (piece.score_path or song.path)
        data = path.read_bytes()
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != song.md5:
            raise UsageError(f"{path}: has changed since it was rendered; restore it")
        copy = _score_path(self._layout, planned)
        copy.parent.mkdir(exist_ok=True)
        storage.write_atomic(copy, data)

    def _drafts_of(self, planned: PlannedPiece) -> Iterator[Rendition]:
        piece, config = self._pieces[planned.track], self._plan.config
        chosen, sample_rate = piece.chosen, config.sample_rate
        shifts = [round(shift_s * sample_rate) for shift_s in config.shifts_s]
        for number in piece.points:
            point = piece.space.point(number)
            yield Rendition(
                rendition_id=f"{chosen.song.md5}/{number}",
                song_id=chosen.song.md5,
                track=chosen.track,
                split=chosen.split,
                source=chosen.song.path,
                point=str(number),
                tempo=config.tempos[point.tempo].name,
                sample_rate=sample_rate,
                n_samples=0,
                sources=tuple(
                    RenditionSource(spec.stem_id, stem_name(spec.part_index), shifts[shift], 0.0)
                    for spec, shift in piece.stems_of(point)
                ),
            )


def _name_of(record: str) -> str:
    """Return the name of a job's records: of ``.../Track00001-0.stems.parquet`` what is first."""
    return place(record).name.removesuffix(".stems.parquet")


def _drafts_path(layout: Layout, piece: PlannedPiece) -> Path:
    return layout.record(piece.track, "renditions")


def _score_path(layout: Layout, piece: PlannedPiece) -> Path:
    return layout.root / SCORES_FOLDER / f"{piece.track}.mid"


def merge_renditions(layout: Layout, folder: RunFolder) -> Corpus:
    """Close a corpus of renditions that the jobs of an array have rendered.

    Parameters
    ----------
    layout : Layout
        Where things lie in the corpus.
    folder : RunFolder
        The folder of the corpus, which is not closed.

    Raises
    ------
    NothingToDo
        If a job has not finished, naming it; or if every piece was rejected.
    InUse
        If a job is at work.
    """
    outline = RenditionOutline.read(folder.array.outline())
    missing, n_items = [], 0
    for piece in outline.pieces:
        is_whole = refusal_of(layout, piece) is not None or (
            _drafts_path(layout, piece).exists() and _score_path(layout, piece).exists()
        )
        for index, job in enumerate(piece.jobs, n_items):
            kinds = ("stems", "rejections")
            is_there = any(layout.record(job.name, kind).exists() for kind in kinds)
            if not is_there or (index == n_items and not is_whole):
                missing.append(index)
        n_items += len(piece.jobs)
    folder.array.refuse_unfinished(missing, n_items, "scores and tempi")

    def drafts_of(piece: PlannedPiece) -> Iterator[Rendition]:
        yield from shards.read_records(_drafts_path(layout, piece), Rendition)

    with folder.opened():
        return close_renditions(layout, folder, outline, drafts_of, lambda _: None)
