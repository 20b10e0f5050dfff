"""Closing a corpus of songs that are all rendered: shards of records, card and manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import PIECES, Corpus
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.job_array import Outline
from stemsmith.manifests.records import Rejection, Song, Stem
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.scratch import ScratchRecords, in_order
from stemsmith.manifests.splits import SPLITS
from stemsmith.manifests.stores import is_object
from stemsmith.render.audit.rates import defect_rates
from stemsmith.render.corpus.card import write_records_card
from stemsmith.render.corpus.layout import Layout, SongTar
from stemsmith.render.corpus.lazy_sources import publish_lazy_sources
from stemsmith.render.corpus.manifest import why_nothing
from stemsmith.render.songs.plan import CorpusPlan
from stemsmith.render.songs.tars import tar_entries, write_song_tar

__all__ = ["CorpusOutline", "PlannedTrack", "close_corpus"]

_SONGS_PER_SHARD: Final = 256


class PlannedTrack(NamedTuple):
    """A song of the plan: its label, the split it lies in, and the tar, if it goes into one."""

    track: str
    split: str
    tar: str = ""


@dataclass(frozen=True, slots=True)
class CorpusOutline:
    """What of a plan is needed to close a corpus of songs.

    Attributes
    ----------
    tracks : sequence of PlannedTrack
        All songs, in order of track number.
    rejections : sequence of Rejection
        Songs that were left out by scanning and selecting.
    header : dict
        What the manifest will say, as far as the plan decides it.
    n_grouped : int
        Songs that are the same music as another one, or nearly so.
    is_number_wanted : bool
        Whether a number of songs was asked for: fewer, because files cannot be read, will not do.
    """

    tracks: Sequence[PlannedTrack]
    rejections: Sequence[Rejection]
    header: dict[str, Any]
    n_grouped: int
    is_number_wanted: bool

    @classmethod
    def of(cls, plan: CorpusPlan) -> CorpusOutline:
        """Return the outline of a plan."""
        tracks = [
            PlannedTrack(job.track, job.split, "" if job.tar is None else job.tar.name)
            for job in plan.jobs
        ]
        is_number_wanted = plan.jobs[0].config.n_wanted is not None
        n_grouped = plan.selection.n_grouped
        return cls(tracks, plan.rejections, plan.header, n_grouped, is_number_wanted)

    @property
    def tars(self) -> list[SongTar]:
        """The tars that songs go into; none where songs have folders."""
        members: dict[str, list[str]] = {}
        for planned in self.tracks:
            if planned.tar:
                members.setdefault(planned.tar, []).append(planned.track)
        return [SongTar(name, tuple(tracks)) for name, tracks in members.items()]

    @classmethod
    def read(cls, kept: Outline) -> CorpusOutline:
        """Return what the jobs of an array have kept."""
        tracks = [PlannedTrack(*item) for item in kept.items]
        return cls(tracks, kept.rejections, dict(kept.header), **kept.facts)

    def to_keep(self) -> Outline:
        """Return what the jobs of an array keep."""
        facts = {"n_grouped": self.n_grouped, "is_number_wanted": self.is_number_wanted}
        return Outline(self.header, self.tracks, self.rejections, facts)


def close_corpus(
    layout: Layout,
    folder: RunFolder,
    outline: CorpusOutline,
    settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Corpus:
    """Gather the records into shards, write card and manifest, remove the run's own files.

    Parameters
    ----------
    layout : Layout
        Where things lie in the corpus.
    folder : RunFolder
        The folder, held by this process.
    outline : CorpusOutline
        What there is, every song of it rendered or rejected.
    settled : callable, optional
        Returns what the manifest says in the end, when shards are written; may raise.

    Raises
    ------
    NothingToDo
        If every song was rejected.
    """
    if folder.is_closed:
        return Corpus(layout.root)
    with storage.fetched_folder(layout.records) as records:
        here = Layout(layout.root)
        here.records = records
        if is_object(layout.root):
            _fetch_unlisted(layout, here, outline)
        return _close(here, folder, outline, settled)


def _fetch_unlisted(layout: Layout, here: Layout, outline: CorpusOutline) -> None:
    """Copy the records that a list of the store, which lags, did not show."""
    has_pieces = outline.header["config"].get("drum_pieces")
    for tar in outline.tars:
        _fetch_if_there(layout.tar_record(tar), here.tar_record(tar))
    for track in (planned.track for planned in outline.tracks):
        if here.record(track, "rejections").exists():
            continue
        names = ["songs", "stems", *([PIECES] if has_pieces else [])]
        missing = [name for name in names if not here.record(track, name).exists()]
        for name in [*missing, "rejections"] if "songs" in missing else missing:
            _fetch_if_there(layout.record(track, name), here.record(track, name))


def _fetch_if_there(path: Path, copy: Path) -> None:
    if not copy.exists():
        with suppress(FileNotFoundError):
            copy.write_bytes(path.read_bytes())


def _close(
    layout: Layout,
    folder: RunFolder,
    outline: CorpusOutline,
    settled: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> Corpus:
    tracks = [planned.track for planned in outline.tracks]
    refused = [t for t in tracks if layout.record(t, "rejections").exists()]
    rejections = ScratchRecords(outline.rejections)
    records = (layout.record(track, "rejections") for track in refused)
    rejections.extend(shards.iter_records(records, Rejection))
    left_out = set(refused)
    done = [track for track in tracks if track not in left_out]
    if not done:
        folder.abandon()
        raise NothingToDo(why_nothing(layout.root, len(tracks), rejections))
    files = _write_shards(layout, "songs", Song, done) + _write_shards(layout, "stems", Stem, done)
    if outline.header["config"].get("drum_pieces"):
        files += _write_shards(layout, PIECES, Stem, done)
    path = layout.root / "rejections-00000.parquet"
    shards.write_records(path, Rejection, in_order(rejections, lambda row: row.id))
    reasons = Counter(str(r.reason) for r in rejections)
    counts = Counter(one.split for one in outline.tracks if one.track not in left_out)
    tars = outline.tars
    for tar in tars:  # the last song of which was rejected, or whose worker was killed
        write_song_tar(layout, tar, folder.staging, is_lazy="lazy" in outline.header)
    header = {
        **outline.header,
        "n_songs": {split: counts[split] for split in SPLITS},
        "n_duplicates_grouped": outline.n_grouped,
        "rejections": dict(sorted(reasons.items())),
        **_audited(layout, done),
        "shards": [shards.shard_entry(file) for file in [*files, path]],
        **({"tars": tar_entries(layout, tars)} if tars else {}),
    }
    if settled is not None:
        header = settled(header)
    publish_lazy_sources(layout)
    write_records_card(layout.root, header)
    folder.close(header)
    return Corpus(layout.root)


def _audited(layout: Layout, done: Sequence[str]) -> dict[str, Any]:
    """Return what the audit found: how many stems have a defect of each kind."""
    records = (shards.read_records(layout.record(t, "stems"), Stem) for t in done)
    audits = ScratchRecords(
        stem.audit for stems in records for stem in stems if stem.audit is not None
    )
    return {"audit": defect_rates(audits)} if audits else {}


def _write_shards(
    layout: Layout, kind: str, record_type: type, tracks: Sequence[str]
) -> list[Path]:
    written = []
    for number, start in enumerate(range(0, len(tracks), _SONGS_PER_SHARD)):
        members = tracks[start : start + _SONGS_PER_SHARD]
        records: list[Any] = shards.read_records(
            [layout.record(track, kind) for track in members], record_type
        )
        written.append(layout.root / f"{kind}-{number:05d}.parquet")
        shards.write_records(written[-1], record_type, records)
    return written
