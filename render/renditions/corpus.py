"""A corpus of renditions while it is being rendered, resumed, and closed."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import Rendition, RenditionSource, RenditionStem
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.card import write_records_card
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.corpus.lazy_sources import lazy_fingerprint
from stemsmith.render.corpus.manifest import why_nothing
from stemsmith.render.renditions.plan import Piece, RenditionPlan
from stemsmith.render.renditions.render import STEMS_FOLDER, StemJob, StemSpec, stem_path
from stemsmith.render.songs.metadata import stem_name

__all__ = ["SCORES_FOLDER", "RenditionDestination"]

SCORES_FOLDER: Final = "scores"
_STEMS_PER_SHARD: Final = 1024
_RENDITIONS_PER_SHARD: Final = 4096


class RenditionDestination:
    """The folder of a corpus of renditions while it is being rendered.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be there yet.
    plan : RenditionPlan
        What goes into it.
    fingerprint : str, optional
        Hash of all that decides the run; by default that of the plan.
    """

    def __init__(self, root: Path, plan: RenditionPlan, fingerprint: str | None = None) -> None:
        self._root, self._plan = root, plan
        self._layout = Layout(root)
        self._of_audio = fingerprint or plan.fingerprint()
        own = self._of_audio if plan.lazy is None else lazy_fingerprint(self._of_audio)
        self._folder = RunFolder(root, CORPUS, self._layout.run, own)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder; see `RunFolder.opened`."""
        with self._folder.opened():
            if not self._folder.is_closed:
                self._layout.records.mkdir(exist_ok=True)
            yield

    @property
    def is_closed(self) -> bool:
        """Whether the corpus is finished."""
        return self._folder.is_closed

    @property
    def n_jobs(self) -> int:
        """Jobs of the whole run, finished ones included."""
        return len(self.jobs())

    def jobs(self) -> list[StemJob]:
        """Return the jobs of the whole run, finished ones included."""
        return [job for piece in self._plan.pieces for job in self._jobs(piece)]

    def open_jobs(self) -> list[StemJob]:
        """Return the jobs that are not finished, the largest first."""
        if self._folder.is_closed:
            return []
        jobs = [
            job
            for job in self.jobs()
            if not Path(job.record).exists() and not self._refusal(job.track).exists()
        ]
        return sorted(jobs, key=lambda job: len(job.specs), reverse=True)

    def _jobs(self, piece: Piece) -> Iterator[StemJob]:
        chosen = piece.chosen
        by_tempo: dict[int, list[StemSpec]] = {}
        for (tempo, *_), spec in sorted(piece.specs.items(), key=lambda item: item[0]):
            by_tempo.setdefault(tempo, []).append(spec)
        for tempo, specs in by_tempo.items():
            yield StemJob(
                song_id=chosen.song.md5,
                notes_sha256=chosen.song.notes_sha256,
                track=chosen.track,
                split=chosen.split,
                source=chosen.song.path,
                midi_root=self._plan.midi_root,
                corpus=str(self._root.resolve()),
                record=str(self._layout.record(f"{chosen.track}-{tempo}", "stems").resolve()),
                tempo=self._plan.config.tempos[tempo],
                specs=tuple(specs),
                config=self._plan.config,
                licence=chosen.song.licence,
                duplicate_group=chosen.group,
                score_path=piece.score_path,
                is_lazy=self._plan.lazy is not None,
            )

    def _refusal(self, track: str) -> Path:
        return self._layout.record(track, "rejections")

    def reject(self, rejection: Rejection) -> None:
        """Record that a piece cannot be rendered; all its renditions are left out."""
        tracks = {piece.chosen.song.path: piece.chosen.track for piece in self._plan.pieces}
        shards.write_records(self._refusal(tracks[rejection.id]), Rejection, [rejection])

    def died(self, job: StemJob) -> Rejection:
        """Return what is to be recorded of a job that killed its worker twice."""
        return Rejection(job.source, "render", Reason.RENDERER_DIED, "killed its process twice")

    def close(self) -> Corpus:
        """Gather the records, write renditions, scores, card and manifest.

        Raises
        ------
        NothingToDo
            If every piece was rejected.
        """
        if not self._folder.is_closed:
            self.finish(self.gather())
        return Corpus(self._root)

    def gather(self) -> dict[str, Any]:
        """Gather the records, write renditions and scores; return what the manifest is to say.

        Raises
        ------
        NothingToDo
            If every piece was rejected.
        """
        pieces = [p for p in self._plan.pieces if not self._refusal(p.chosen.track).exists()]
        refused = [p for p in self._plan.pieces if self._refusal(p.chosen.track).exists()]
        rejections = [
            *self._plan.rejections,
            *shards.read_records([self._refusal(p.chosen.track) for p in refused], Rejection),
        ]
        if not pieces:
            self._folder.abandon()
            shutil.rmtree(self._root / STEMS_FOLDER, ignore_errors=True)
            raise NothingToDo(why_nothing(self._root, len(refused), rejections))
        self._sweep(refused)
        self._copy_scores(pieces)
        stems = [
            stem
            for piece in pieces
            for job in self._jobs(piece)
            for stem in shards.read_records(Path(job.record), RenditionStem)
        ]
        lengths = {stem.stem_id: stem.n_samples for stem in stems}
        renditions = [r for piece in pieces for r in self._renditions(piece, lengths)]
        files = self._write("stems", RenditionStem, stems, _STEMS_PER_SHARD)
        files += self._write("renditions", Rendition, renditions, _RENDITIONS_PER_SHARD)
        rejections.sort(key=lambda r: r.id)
        files += self._write("rejections", Rejection, rejections, max(len(rejections), 1))
        splits = Counter(piece.chosen.split for piece in pieces)
        return {
            **self._plan.header,
            "n_songs": {split: splits[split] for split in SPLITS},
            "n_stems": len(stems),
            "n_renditions": len(renditions),
            "rejections": dict(sorted(Counter(str(r.reason) for r in rejections).items())),
            **({} if self._plan.lazy is None else {"lazy": {"fingerprint": self._of_audio}}),
            "shards": [shards.shard_entry(file) for file in files],
        }

    def finish(self, header: Mapping[str, Any]) -> None:
        """Write card and manifest, and remove the run's own files."""
        if self._plan.lazy is not None:
            self._plan.lazy.write(self._root)
        write_records_card(self._root, header)
        self._folder.close(dict(header))

    def _sweep(self, refused: Sequence[Piece]) -> None:
        """Remove the stems of pieces that were rejected after some of them were rendered."""
        for piece in refused:
            for spec in piece.specs.values():
                for suffix in ("flac", "mid"):
                    (self._root / stem_path(spec, suffix)).unlink(missing_ok=True)

    def _copy_scores(self, pieces: Sequence[Piece]) -> None:
        folder = self._root / SCORES_FOLDER
        folder.mkdir(exist_ok=True)
        for piece in pieces:
            path = Path(self._plan.midi_root, piece.score_path or piece.chosen.song.path)
            data = path.read_bytes()
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != piece.chosen.song.md5:
                raise UsageError(f"{path}: has changed since it was rendered; restore it")
            storage.write_atomic(folder / f"{piece.chosen.track}.mid", data)

    def _renditions(self, piece: Piece, lengths: dict[str, int]) -> Iterator[Rendition]:
        config, chosen = self._plan.config, piece.chosen
        sample_rate = config.sample_rate
        shifts = [round(shift_s * sample_rate) for shift_s in config.shifts_s]
        for number in piece.points:
            point = piece.space.point(number)
            stems = piece.stems_of(point)
            yield Rendition(
                rendition_id=f"{chosen.song.md5}/{number}",
                song_id=chosen.song.md5,
                track=chosen.track,
                split=chosen.split,
                source=chosen.song.path,
                point=str(number),
                tempo=config.tempos[point.tempo].name,
                sample_rate=sample_rate,
                n_samples=lengths[stems[0][0].stem_id],
                sources=tuple(
                    RenditionSource(spec.stem_id, stem_name(spec.part_index), shifts[shift], 0.0)
                    for spec, shift in stems
                ),
            )

    def _write(self, kind: str, record_type: type, records: Sequence[Any], size: int) -> list[Path]:
        written = []
        for number, start in enumerate(range(0, max(len(records), 1), size)):
            written.append(self._root / f"{kind}-{number:05d}.parquet")
            shards.write_records(written[-1], record_type, records[start : start + size])
        return written
