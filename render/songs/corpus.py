"""A corpus of songs while it is being rendered, resumed, and closed.

The plan is written before the first song. A run that is started again on the same folder goes on
where the last one was killed if its plan is the same, byte for byte, and is refused otherwise.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.scratch import OnDemand
from stemsmith.manifests.shares import FinishedJob, Share
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.songs.closing import CorpusOutline, close_corpus
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.plan import CorpusPlan

__all__ = ["CorpusDestination", "merge_songs"]


class CorpusDestination:
    """A corpus folder while it is being rendered.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be there yet.
    plan : CorpusPlan
        What goes into it.
    share : Share, optional
        Job of an array, whose songs are rendered here; None for all songs.
    fingerprint : str, optional
        Hash of all that decides the run; by default that of the plan.
    """

    def __init__(
        self,
        root: Path,
        plan: CorpusPlan,
        share: Share | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self._layout = Layout(root)
        self._plan, self._share = plan, share
        self._tars = plan.tars
        self._own = _own_jobs(plan, share)
        fingerprint = fingerprint or plan.fingerprint()
        self._folder = RunFolder(root, CORPUS, self._layout.run, fingerprint, share)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder: check that it is new, or ours to go on with; sweep what was killed.

        Raises
        ------
        UsageError
            If the folder holds another run or other files, or another process holds it.
        """
        with self._folder.opened():
            if not self._folder.is_closed:
                self._layout.records.mkdir(exist_ok=True)
                if self._plan.lazy is not None:
                    self._plan.lazy.keep(self._layout)
                if self._share is not None:
                    self._folder.array.save(CorpusOutline.of(self._plan).to_keep())
            yield

    @property
    def n_songs(self) -> int:
        """Number of songs that are rendered here, finished ones included."""
        return len(self._own)

    def open_jobs(self) -> Sequence[RenderJob]:
        """Return the jobs that are not finished, the longest first.

        The order balances the load of workers; it does not change a byte. Tars come one after the
        other, with the longest song of each first, so that few songs wait as folders of files.
        """
        staging = str(self._folder.staging.resolve())
        orders = {tar.name: order for order, tar in enumerate(self._tars)}
        places = self._unfinished(self._own)
        sizes, of_tars = array("d"), array("q")
        for place in places:
            job = self._own[place]
            sizes.append(job.song.duration_s * len(job.patches))
            of_tars.append(0 if job.tar is None else orders[job.tar.name])
        longest_first = np.lexsort((-np.array(sizes), np.array(of_tars)))

        def staged(place: int) -> RenderJob:
            return dataclasses.replace(self._own[place], staging=staging)

        return OnDemand(staged, np.array(places, np.int64)[longest_first])

    def all_open_jobs(self) -> Sequence[RenderJob]:
        """Return what is not finished of the whole plan: other jobs of an array fill this disk."""
        jobs = self._plan.jobs
        return OnDemand(jobs.__getitem__, self._unfinished(jobs))

    def _unfinished(self, jobs: Sequence[RenderJob]) -> array[int]:
        """Return the places of jobs that are not finished."""
        if self._folder.is_closed:
            return array("q")
        finished = self._layout.finished(self._tars)
        return array("q", (place for place, job in enumerate(jobs) if job.track not in finished))

    def died(self, job: RenderJob) -> Rejection:
        """Record that a job killed its worker twice, unless it was done before."""
        detail = "killed the rendering process twice"
        rejection = Rejection(job.song.path, "render", Reason.RENDERER_DIED, detail)
        if not self._layout.is_finished(job.split, job.track, job.tar):
            self._layout.reject(job.track, rejection)
        return rejection

    def reopen(self, reasons: Container[Reason]) -> list[Rejection]:
        """Forget the rejections for some reasons, so that their songs are tried again.

        Returns
        -------
        list of Rejection
            What was forgotten.
        """
        forgotten = {} if self._folder.is_closed else self._rejections(reasons)
        for track in forgotten:
            self._layout.record(track, "rejections").unlink()
        return list(forgotten.values())

    def _rejections(self, reasons: Container[Reason]) -> dict[str, Rejection]:
        rejected = self._layout.rejected()  # one list, and no question for each song
        tracks = [job.track for job in self._own if job.track in rejected]
        found = {track: self._layout.read_rejection(track) for track in tracks}
        return {track: row for track, row in found.items() if row.reason in reasons}

    def finish_job(self) -> FinishedJob:
        """Return what a job of an array has done; the folder is left to whoever closes it."""
        assert self._share is not None
        rejections = self._rejections(frozenset(Reason)).values()
        rendered = self._layout.rendered(self._tars)
        n_songs = sum(job.track in rendered for job in self._own)
        return FinishedJob(self._layout.root, str(self._share), n_songs, tuple(rejections))

    def close(self, settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Corpus:
        """Gather the records into shards, write card and manifest, remove the run's own files.

        Parameters
        ----------
        settled : callable, optional
            As of `close_corpus`.

        Raises
        ------
        NothingToDo
            If every song was rejected.
        """
        return close_corpus(self._layout, self._folder, CorpusOutline.of(self._plan), settled)


def _own_jobs(plan: CorpusPlan, share: Share | None) -> Sequence[RenderJob]:
    """Return the songs of a job of an array: a tar is of one job, so that no two write it."""
    if share is None:
        return plan.jobs
    if not (tars := plan.tars):
        return share.of(plan.jobs)
    own = {tar.name for tar in share.of(tars)}
    return [job for job in plan.jobs if job.tar is not None and job.tar.name in own]


def merge_songs(layout: Layout, folder: RunFolder) -> Corpus:
    """Close a corpus of songs that the jobs of an array have rendered.

    Parameters
    ----------
    layout : Layout
        Where things lie in the corpus.
    folder : RunFolder
        The folder of the corpus, which is not closed.

    Raises
    ------
    NothingToDo
        If a job has not finished, naming it; or if every song was rejected.
    InUse
        If a job is at work.
    """
    outline = CorpusOutline.read(folder.array.outline())
    tars = outline.tars
    rendered, rejected = layout.rendered(tars), layout.rejected()
    if outline.is_number_wanted:
        rejected = {track for track in rejected if layout.is_rejected_for_good(track)}
    finished = rendered | rejected
    # What the jobs of an array share among them: songs, or the tars of these.
    units = [tar.tracks for tar in tars] or [(planned.track,) for planned in outline.tracks]
    missing = [index for index, tracks in enumerate(units) if not finished.issuperset(tracks)]
    folder.array.refuse_unfinished(missing, len(units), "tars" if tars else "songs")
    with folder.opened():
        return close_corpus(layout, folder, outline)
