"""A corpus of songs while it is being rendered, resumed, and closed.

The plan is written before the first song. A run that is started again on the same folder goes on
where the last one was killed if its plan is the same, byte for byte, and is refused otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards
from stemsmith.manifests.corpus import CORPUS, PIECES, Corpus
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.records import Reason, Rejection, Song, Stem
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.audit.rates import defect_rates
from stemsmith.render.corpus.card import write_records_card
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.corpus.lazy_sources import lazy_fingerprint
from stemsmith.render.corpus.manifest import why_nothing
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.plan import CorpusPlan

__all__ = ["CorpusDestination"]

_SONGS_PER_SHARD: Final = 256


class CorpusDestination:
    """A corpus folder while it is being rendered.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be there yet.
    plan : CorpusPlan
        What goes into it.
    fingerprint : str, optional
        Hash of all that decides the run; by default that of the plan.
    """

    def __init__(self, root: Path, plan: CorpusPlan, fingerprint: str | None = None) -> None:
        self._layout = Layout(root)
        self._plan = plan
        self._of_audio = fingerprint or plan.fingerprint()
        own = self._of_audio if plan.lazy is None else lazy_fingerprint(self._of_audio)
        self._folder = RunFolder(root, CORPUS, self._layout.run, own)

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
            yield

    @property
    def is_closed(self) -> bool:
        """Whether the corpus is finished."""
        return self._folder.is_closed

    def open_jobs(self) -> list[RenderJob]:
        """Return the jobs that are not finished, the longest first.

        The order balances the load of workers; it does not change a byte.
        """
        jobs = [job for job in self._plan.jobs if not self._is_finished(job)]
        return sorted(jobs, key=lambda job: job.song.duration_s * len(job.patches), reverse=True)

    def _is_finished(self, job: RenderJob) -> bool:
        layout = self._layout
        return (
            layout.track(job.split, job.track).is_dir()
            or layout.record(job.track, "rejections").exists()
        )

    def died(self, job: RenderJob) -> Rejection:
        """Record that a job killed its worker twice, unless it was done before."""
        detail = "killed the rendering process twice"
        rejection = Rejection(job.song.path, "render", Reason.RENDERER_DIED, detail)
        if not self._is_finished(job):
            path = self._layout.record(job.track, "rejections")
            shards.write_records(path, Rejection, [rejection])
        return rejection

    def reopen(self, reasons: Container[Reason]) -> list[Rejection]:
        """Forget the rejections for some reasons, so that their songs are tried again.

        Returns
        -------
        list of Rejection
            What was forgotten.
        """
        forgotten = []
        for job in [] if self._folder.is_closed else self._plan.jobs:
            path = self._layout.record(job.track, "rejections")
            if path.exists():
                (rejection,) = shards.read_records(path, Rejection)
                if rejection.reason in reasons:
                    path.unlink()
                    forgotten.append(rejection)
        return forgotten

    def close(self) -> Corpus:
        """Gather the records into shards, write card and manifest, remove the run's own files.

        Raises
        ------
        NothingToDo
            If every song was rejected.
        """
        if not self._folder.is_closed:
            self.finish(self.gather())
        return Corpus(self._layout.root)

    def gather(self) -> dict[str, Any]:
        """Gather the records into shards; return what the manifest is to say.

        Raises
        ------
        NothingToDo
            If every song was rejected.
        """
        layout = self._layout
        tracks = [job.track for job in self._plan.jobs]
        refused = [t for t in tracks if layout.record(t, "rejections").exists()]
        rejections = [
            *self._plan.rejections,
            *shards.read_records([layout.record(t, "rejections") for t in refused], Rejection),
        ]
        done = [track for track in tracks if track not in set(refused)]
        if not done:
            self._folder.abandon()
            raise NothingToDo(why_nothing(layout.root, len(tracks), rejections))
        files = self._write_shards("songs", Song, done) + self._write_shards("stems", Stem, done)
        if self._plan.jobs[0].config.drum_pieces:
            files += self._write_shards(PIECES, Stem, done)
        path = layout.root / "rejections-00000.parquet"
        shards.write_records(path, Rejection, sorted(rejections, key=lambda r: r.id))
        reasons = Counter(str(r.reason) for r in rejections)
        return {
            **self._plan.header,
            "n_songs": self._count_by_split(set(done)),
            "n_duplicates_grouped": self._plan.selection.n_grouped,
            "rejections": dict(sorted(reasons.items())),
            **self._audited(done),
            **({} if self._plan.lazy is None else {"lazy": {"fingerprint": self._of_audio}}),
            "shards": [shards.shard_entry(file) for file in [*files, path]],
        }

    def finish(self, header: Mapping[str, Any]) -> None:
        """Write card and manifest, and remove the run's own files."""
        if self._plan.lazy is not None:
            self._plan.lazy.write(self._layout.root)
        write_records_card(self._layout.root, header)
        self._folder.close(dict(header))

    def _count_by_split(self, done: set[str]) -> dict[str, int]:
        counts = Counter(job.split for job in self._plan.jobs if job.track in done)
        return {split: counts[split] for split in SPLITS}

    def _audited(self, done: Sequence[str]) -> dict[str, Any]:
        """Return what the audit found: how many stems have a defect of each kind."""
        records = (shards.read_records(self._layout.record(t, "stems"), Stem) for t in done)
        audits = [stem.audit for stems in records for stem in stems if stem.audit is not None]
        return {"audit": defect_rates(audits)} if audits else {}

    def _write_shards(self, kind: str, record_type: type, tracks: Sequence[str]) -> list[Path]:
        written = []
        for number, start in enumerate(range(0, len(tracks), _SONGS_PER_SHARD)):
            members = tracks[start : start + _SONGS_PER_SHARD]
            records: list[Any] = shards.read_records(
                [self._layout.record(track, kind) for track in members], record_type
            )
            written.append(self._layout.root / f"{kind}-{number:05d}.parquet")
            shards.write_records(written[-1], record_type, records)
        return written
