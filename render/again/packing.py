"""Making packs: what is kept of each song of a corpus, and what its manifest does not say."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.corpus import PIECES, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.renditions import RENDITIONS, Rendition, RenditionStem
from stemsmith.render.again.pack import PackedFile, PackedSong, is_place_of_song
from stemsmith.render.again.proof import (
    files_of_piece,
    files_of_song,
    is_sum_of_stems,
    records_hash,
    samples_hash,
)
from stemsmith.render.corpus.config import Drums, RenderConfig
from stemsmith.render.midi.playing import Dynamic
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.renditions.closing import SCORES_FOLDER
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.renditions.space import Space
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.players import played

__all__ = ["PackingJob", "dynamics_of", "pack_song", "pieces_of_shards", "plan_packing"]

R = TypeVar("R", Stem, RenditionStem, Rendition)

_N_BITS: Final = {False: 16, True: 24}  # of songs, and of renditions


@dataclass(frozen=True, slots=True)
class PackingJob:
    """One song of a corpus, or one score of a corpus of renditions.

    Attributes
    ----------
    root : str
        Folder of the corpus.
    song : Song or None
        Record of the song; None in a corpus of renditions.
    stems : tuple of Stem or RenditionStem
        Records of all its stems.
    pieces : tuple of Stem
        Records of the pieces of its drum kits.
    renditions : tuple of Rendition
        Records of the renditions of the score.
    """

    root: str
    song: Song | None
    stems: tuple[Stem, ...] | tuple[RenditionStem, ...]
    pieces: tuple[Stem, ...] = ()
    renditions: tuple[Rendition, ...] = ()

    @property
    def score(self) -> Path:
        """The score in the folder of the corpus."""
        if self.song is None:
            return places.place(self.root) / SCORES_FOLDER / f"{self.stems[0].track}.mid"
        return storage.inside(places.place(self.root), f"{self.song.path}/{slakh.SOURCE_MIDI}")


def plan_packing(corpus: Corpus) -> Iterator[PackingJob]:
    """Yield what there is to pack, song after song, with few records in memory at a time.

    Raises
    ------
    UsageError
        If the corpus is of a kind that cannot be made of scores alone.
    InvalidCorpus
        If records are missing or of no song.
    """
    if corpus.kind == MATCHED:
        raise UsageError(
            f"{corpus.root}: holds stems that match others, which are mixed again and not packed; "
            "pack the corpus that they were rendered of"
        )
    corpus.verify()
    stems = _by_track(corpus.iter_stems())
    root = str(corpus.root.resolve())
    if corpus.kind == RENDITIONS:
        renditions = _RecordsOfSongs(corpus, "renditions", _by_track(corpus.rendition_records()))
        for track, group in stems:
            yield PackingJob(root, None, group, renditions=renditions.of(track))
        renditions.check_end()
        return
    found = _RecordsOfSongs(corpus, "stems", stems)
    names = [str(entry["file"]) for entry in corpus.header["shards"]]
    pieces = _RecordsOfSongs(
        corpus, PIECES, _by_track(_records_in(corpus.root, names, PIECES, Stem))
    )
    are_in_tars = "tracks_per_tar" in corpus.header["config"]
    for song in corpus.iter_records("songs", Song):
        if not is_place_of_song(song.path, song.split, song.track, are_in_tars):
            raise UsageError(
                f"{corpus.root}: {song.track} lies in {song.path}, where a restoration does not "
                "put songs"
            )
        yield PackingJob(root, song, found.of(song.track), pieces.of(song.track))
    found.check_end()
    pieces.check_end()


def _records_in(root: Path, names: Iterable[str], kind: str, record_type: type[R]) -> Iterator[R]:
    """Yield the records of the shards of a kind, one shard in memory at a time."""
    for name in names:
        if name.startswith(f"{kind}-"):
            yield from shards.read_records(storage.inside(root, name), record_type)


def _by_track(records: Iterable[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for track, group in itertools.groupby(records, key=lambda record: record.track):
        yield track, tuple(group)


class _RecordsOfSongs:
    """Records of one kind, which are taken in the order of the songs."""

    def __init__(
        self, corpus: Corpus, name: str, groups: Iterator[tuple[str, tuple[Any, ...]]]
    ) -> None:
        self._root, self._name, self._groups = corpus.root, name, groups
        self._next = next(groups, None)

    def of(self, track: str) -> tuple[Any, ...]:
        """Return the records of a song; none if it is not the next that has some."""
        if self._next is None or self._next[0] != track:
            return ()
        found = self._next[1]
        self._next = next(self._groups, None)
        return found

    def check_end(self) -> None:
        """Refuse records that no song has taken."""
        if self._next is not None:
            raise InvalidCorpus(
                f"{self._root}: {self._name} of {self._next[0]} are of no song, or not in order"
            )


def pieces_of_shards(
    root: Path, entries: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, tuple[RenditionStem, ...], tuple[Rendition, ...]]]:
    """Yield label, stems and renditions of each score of a corpus of renditions.

    Parameters
    ----------
    root : Path
        Folder of the corpus, which need not be finished.
    entries : iterable of mapping
        Its shards, as a manifest lists them.
    """
    names = [str(entry["file"]) for entry in entries]
    stems = _by_track(_records_in(root, names, "stems", RenditionStem))
    renditions = dict(_by_track(_records_in(root, names, "renditions", Rendition)))
    for track, group in stems:
        yield track, group, renditions.get(track, ())


def pack_song(job: PackingJob) -> PackedSong:
    """Return what is kept of a song. Audio is read only where no record has a hash of its samples.

    Raises
    ------
    InvalidCorpus
        If the score in the corpus is not the one of the records, or audio cannot be read.
    """
    path = job.score
    try:
        data = places.read_bytes(path)
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: missing") from None
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(data).hexdigest()
    first = job.stems[0] if job.stems else None
    if first is None or md5 != first.song_id:
        raise InvalidCorpus(f"{path}: is not the score of its song")
    files = _files(job, sha256)
    return PackedSong(
        track=first.track,
        split=first.split,
        source=job.renditions[0].source if job.song is None else job.song.source,
        md5=md5,
        sha256=sha256,
        n_bytes=len(data),
        licence=_shared(job).licence,
        group=_shared(job).duplicate_group,
        folder="" if job.song is None else job.song.path,
        records_sha256=records_hash(
            record
            for record in (job.song, *job.stems, *job.pieces, *job.renditions)
            if record is not None
        ),
        files=files,
    )


def _shared(job: PackingJob) -> Song | RenditionStem:
    """Return the record that has what holds of the whole song."""
    first = job.stems[0]
    if job.song is None:
        assert isinstance(first, RenditionStem)
        return first
    return job.song


def _files(job: PackingJob, score_sha256: str) -> dict[str, PackedFile]:
    """Return the files of a song; audio that needs it with a hash of its samples."""
    root = places.place(job.root)
    if job.song is None:
        stems = [stem for stem in job.stems if isinstance(stem, RenditionStem)]
        if not job.renditions:
            raise InvalidCorpus(f"{root}: no rendition is of {stems[0].track}")
        folder, files = "", files_of_piece(stems[0].track, stems, score_sha256)
    else:
        songs_stems = [stem for stem in job.stems if isinstance(stem, Stem)]
        folder, files = job.song.path, files_of_song(job.song, songs_stems, job.pieces)
    n_bits = _N_BITS[job.song is None]

    def with_samples(name: str, file: PackedFile) -> PackedFile:
        is_known = file.samples_sha256 is not None or not name.endswith(slakh.AUDIO)
        is_sum = job.song is not None and name == slakh.MIX and is_sum_of_stems(job.song)
        if is_known or is_sum:
            return file
        path = storage.inside(root, f"{folder}/{name}" if folder else name)
        return file._replace(samples_sha256=samples_hash(path, n_bits))

    return {name: with_samples(name, file) for name, file in files.items()}


def dynamics_of(corpus: Corpus) -> tuple[Dynamic, ...]:
    """Return the dynamics of a corpus in the order in which they were asked for.

    Draws go by this order, and a manifest sorts its keys: what was drawn says it.

    Raises
    ------
    InvalidCorpus
        If what was drawn cannot have been.
    """
    named: Mapping[str, int | None] = corpus.header["config"].get("dynamics") or {}
    dynamics = tuple(Dynamic(name, velocity) for name, velocity in named.items())
    if len(dynamics) < 2:
        return dynamics
    drawn = _drawn_renditions if corpus.kind == RENDITIONS else _drawn_songs
    found: dict[int, str] = {}
    for number, name in drawn(corpus, dynamics):
        if found.setdefault(number, name) != name or name not in named:
            raise InvalidCorpus(f"{corpus.root}: dynamics of its records are not those of its seed")
        if len(found) == len(dynamics):
            break
    if len(set(found.values())) != len(found):
        raise InvalidCorpus(f"{corpus.root}: dynamics of its records are not those of its seed")
    others = iter(sorted(named.keys() - set(found.values())))  # which nothing was played at
    order = [found[n] if n in found else next(others) for n in range(len(dynamics))]
    return tuple(Dynamic(name, named[name]) for name in order)


def _drawn_songs(corpus: Corpus, dynamics: Sequence[Dynamic]) -> Iterator[tuple[int, str]]:
    """Yield number and name of the dynamic of each stem."""
    numbered = tuple(dynamic._replace(name=str(n)) for n, dynamic in enumerate(dynamics))
    config = RenderConfig.from_dict(corpus.header["config"], numbered)
    for job in plan_packing(corpus):
        assert job.song is not None
        try:
            _, score = load_score(
                job.score,
                config.max_duration_s,
                are_drums_joined=config.drums is Drums.JOINED,
                is_fine=True,
            )
        except Unusable as finding:
            raise InvalidCorpus(f"{job.score}: cannot be read: {finding.detail}") from finding
        score = played(score, config, job.song.song_id)
        for stem in job.stems:
            assert isinstance(stem, Stem)
            playing = score.playing(int(stem.stem[1:]))
            if playing.dynamic is not None and stem.dynamic is not None:
                yield int(playing.dynamic.name), stem.dynamic


def _drawn_renditions(corpus: Corpus, dynamics: Sequence[Dynamic]) -> Iterator[tuple[int, str]]:
    """Yield number and name of the dynamic of each stem of each rendition."""
    config = RenditionConfig.from_dict(corpus.header["config"], dynamics)
    for job in plan_packing(corpus):
        stems = {s.stem_id: s for s in job.stems if isinstance(s, RenditionStem)}
        for rendition in job.renditions:
            space = Space(
                n_tempos=len(config.tempos),
                n_timbres=config.n_timbres,
                n_dynamics=len(dynamics),
                n_shifts=len(config.shifts_s),
                n_parts=len(rendition.sources),
                rule=config.rule,
            )
            point = space.point(int(rendition.point))
            for (_, place, _), source in zip(point.parts, rendition.sources, strict=True):
                if source.stem_id not in stems:
                    raise InvalidCorpus(f"{corpus.root}: no record is of {source.stem_id!r}")
                yield place, stems[source.stem_id].dynamic
