"""Corpora without audio: a song is rendered when a file of it is opened, into a bounded cache.

`stemsmith.manifests.places.opened` comes here for a file that is not there, in whatever process it
is called: the calling one, workers, and the processes that load examples for training. What is
rendered has the SHA-256 that the records have, or nobody gets to see it.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.cache import BoundedCache, cache_folder, most_cached_bytes
from stemsmith.manifests.corpus import PIECES, Corpus
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError
from stemsmith.manifests.places import LAZY, place
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.mixing.level.balance import Balance
from stemsmith.render.again.pack import RENDERED
from stemsmith.render.again.plan import config_of, differing_versions
from stemsmith.render.again.restore import why_not_the_same
from stemsmith.render.again.sources import bank_of_manifest, check_bank
from stemsmith.render.corpus.config import Drums, OnDefect
from stemsmith.render.corpus.layout import Layout, SongTar
from stemsmith.render.corpus.lazy_sources import LazySources, read_lazy_sources
from stemsmith.render.corpus.selection import Chosen, patches_of
from stemsmith.render.midi.scan import plan_scan, scan_files
from stemsmith.render.renditions.closing import SCORES_FOLDER
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.renditions.render import StemJob, StemSpec, write_stem
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.plan import plan_songs
from stemsmith.render.songs.render import write_track
from stemsmith.render.songs.tars import TAR
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.patches import Bank, bank_from_yaml

__all__ = ["LazyCorpus", "lazy_corpus"]

_N_CORPORA: Final = 4  # that a process remembers
_SONGS: Final = "songs"  # folder of the user's cache
_N_SHARDS: Final = 8  # whose hashes it remembers


@dataclass(frozen=True, slots=True)
class _StemAudio:
    """The audio of a stem or a piece, as its record has it: some columns of `Stem`."""

    track: str
    path: str
    sha256: str
    dry_path: str | None = None
    dry_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _SongAudio:
    """The audio of a song beside its stems: some columns of `Song`."""

    track: str
    mix_path: str
    mix_sha256: str
    master_path: str | None = None
    master_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _RenditionAudio:
    """What a stem of renditions is made of: some columns of `RenditionStem`."""

    stem_id: str
    song_id: str
    track: str
    split: str
    stem: str
    notes_sha256: str
    patch: str
    tempo: str
    dynamic: str
    dynamic_changes: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a score was found: some columns of `Rendition`."""

    track: str
    source: str


def lazy_corpus(root: Path) -> LazyCorpus:
    """Return a corpus without audio, which a process opens once."""
    status = (root / shards.MANIFEST).stat()
    return _opened(root.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_N_CORPORA)
def _opened(root: Path, n_bytes: int, changed_ns: int) -> LazyCorpus:
    """Open a corpus; another size or time of its manifest means another one."""
    return LazyCorpus(root)


class LazyCorpus:
    """A corpus without audio, whose files of audio can be opened nevertheless.

    Parameters
    ----------
    root : Path
        Folder of the corpus.

    Raises
    ------
    InvalidCorpus
        If the folder holds no finished corpus.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._corpus = Corpus(root)
        shards.check_header(root, self._corpus.header, RENDERED)
        self._name = str(root)
        self._hashes_in = lru_cache(maxsize=_N_SHARDS)(self._read_hashes)

    @property
    def changed_ns(self) -> int:
        """When the manifest was written, in nanoseconds: it has the hashes of all records."""
        return (self.root / shards.MANIFEST).stat().st_mtime_ns

    def has_file(self, path: Path) -> bool:
        """Tell whether records name a file of audio."""
        return self._sha256_of(self._file_of(path)) is not None

    def open_file(self, path: Path) -> BinaryIO:
        """Open a file of audio; its song is rendered unless the cache has it.

        Raises
        ------
        FileNotFoundError
            If no record names it.
        InvalidCorpus
            If what is rendered is not what the records say, naming the versions that differ.
        UsageError
            If a soundfont or another source is not there, naming it.
        """
        name = self._file_of(path)
        if self._sha256_of(name) is None:
            raise FileNotFoundError(2, "no record names it", str(path))
        fingerprint = self._corpus.header["fingerprint"]
        cache = BoundedCache(cache_folder() / _SONGS, most_cached_bytes())
        if self._is_of_renditions:
            return cache.open_file(f"{fingerprint} {name}", name, lambda f: self._stem(name, f))
        folder, inner = _song_and_file(name)
        return cache.open_file(f"{fingerprint} {folder}", inner, lambda f: self._song(folder, f))

    @property
    def _is_of_renditions(self) -> bool:
        return self._corpus.kind == RENDITIONS

    def _file_of(self, path: Path) -> str:
        """Return the path of a file as records have it."""
        absolute = path if path.is_absolute() else path.absolute()
        if not absolute.is_relative_to(self.root):  # the root is resolved, and has no links
            absolute = absolute.resolve()
        return absolute.relative_to(self.root).as_posix()

    # What records say.

    def _sha256_of(self, name: str) -> str | None:
        """Return the hash of a file of audio that records name, or None."""
        if self._is_of_renditions:
            row = self._renditions.get(name)
            return None if row is None else row.sha256
        number = self._shard_of.get(_song_and_file(name)[0].rpartition("/")[2])
        return None if number is None else self._hashes_in(number).get(name)

    @cached_property
    def _shard_of(self) -> dict[str, int]:
        """Which shard the records of each song are in."""
        return {
            row.track: number
            for number, path in enumerate(self._shards("songs"))
            for row in shards.read_records(path, _SongAudio)
        }

    def _shards(self, kind: str) -> list[Path]:
        names = (str(entry["file"]) for entry in self._corpus.header["shards"])
        return [storage.inside(self.root, name) for name in names if name.startswith(f"{kind}-")]

    def _read_hashes(self, number: int) -> dict[str, str]:
        """Return the hashes of the audio of those songs that are in one shard."""
        found: dict[str | None, str | None] = {}
        for kind in ("stems", PIECES):
            for path in self._shards(kind)[number : number + 1]:
                for stem in shards.read_records(path, _StemAudio):
                    found |= {stem.path: stem.sha256, stem.dry_path: stem.dry_sha256}
        for song in shards.read_records(self._shards("songs")[number], _SongAudio):
            found |= {song.mix_path: song.mix_sha256, song.master_path: song.master_sha256}
        return {name: sha256 for name, sha256 in found.items() if name and sha256}

    @cached_property
    def _renditions(self) -> dict[str, _RenditionAudio]:
        rows = (shards.read_records(path, _RenditionAudio) for path in self._shards("stems"))
        return {row.path: row for several in rows for row in several}

    @cached_property
    def _source_of(self) -> dict[str, str]:
        """Path of each score below the folder that the corpus was made from, by its label."""
        rows = (shards.read_records(path, _Source) for path in self._shards("renditions"))
        return {row.track: row.source for several in rows for row in several}

    @cached_property
    def _by_tempo(self) -> dict[tuple[str, str], list[_RenditionAudio]]:
        """The stems of a score at one tempo, which share places and length."""
        found: dict[tuple[str, str], list[_RenditionAudio]] = defaultdict(list)
        for row in self._renditions.values():
            found[row.track, row.tempo].append(row)
        return found

    # What they are made of.

    @cached_property
    def _sources(self) -> LazySources:
        return read_lazy_sources(self.root)

    @cached_property
    def _bank(self) -> Bank:
        sources, header = self._sources, self._corpus.header
        where = f"{self.root / LAZY}"
        if sources.bank is not None:
            bank = bank_from_yaml(place(sources.bank))
            check_bank(bank, header, where)
        else:
            named = [place(path) for path in sources.soundfonts.values()]
            bank = bank_of_manifest(header, [path for path in named if path.is_file()], where)
        return with_compasses(bank)

    @cached_property
    def _made_with(self) -> tuple[Any, Any, str]:
        """Options, production, and versions that differ here, for people."""
        sources, header = self._sources, self._corpus.header
        config, production, versions = config_of(
            header,
            sources.dynamics,
            self._bank,
            None if sources.aligned is None else Path(sources.aligned),
            None if sources.room is None else Path(sources.room),
            self._name,
        )
        of_production = header.get("production", {}).get("versions", {})
        then = {**header["versions"], **of_production}
        return config, production, differing_versions(then, versions)

    # Rendering.

    def _song(self, folder: str, destination: Path) -> None:
        """Render a song into a folder, and leave only its audio there."""
        config, production, differences = self._made_with
        outer, track = folder.split("/")
        tars = {track: SongTar(outer, (track,))} if outer.endswith(TAR) else {}
        split = outer.rpartition("-")[0] if tars else outer
        score = f"{folder}/{slakh.SOURCE_MIDI}"
        if config.on_defect is OnDefect.KEEP:
            config = replace(config, audit=False)  # which changes no sample
        (job,) = plan_scan(
            self.root,
            [score],
            config.max_duration_s,
            are_drums_joined=config.drums is Drums.JOINED,
        )
        (scanned,) = scan_files(job)
        if isinstance(scanned, Rejection):
            raise InvalidCorpus(f"{self.root / score}: cannot be rendered: {scanned.detail}")
        levels = self._corpus.header.get("balance")
        balance = None if levels is None else Balance.from_dict(levels, self._name)
        patches = patches_of(scanned, config, self._bank)
        chosen = Chosen(scanned, track, split, patches, scanned.notes_sha256)
        (song_job,) = plan_songs(
            [chosen], self.root, self.root, config, self._bank, balance, production, tars
        )
        made: dict[str | None, str | None] = {}
        with self._explained(folder, differences):
            song, stems, pieces = write_track(song_job, destination)
        for stem in (*stems, *pieces):
            made |= {stem.path: stem.sha256, stem.dry_path: stem.dry_sha256}
        made |= {song.mix_path: song.mix_sha256, song.master_path: song.master_sha256}
        audio = {name: sha256 for name, sha256 in made.items() if name and sha256}
        self._check(audio, differences)
        for path in list(destination.rglob("*")):
            if path.is_file() and path.suffix != slakh.AUDIO:
                path.unlink()

    def _stem(self, name: str, destination: Path) -> None:
        """Render a stem of renditions into a folder, where it has its path in the corpus."""
        config, _, differences = self._made_with
        assert isinstance(config, RenditionConfig)
        row = self._renditions[name]
        by_name = {patch.name: patch for patch in self._bank.patches}
        dynamics = {dynamic.name: dynamic for dynamic in config.dynamics}
        specs = [
            StemSpec(
                one.stem_id,
                int(one.stem[1:]),
                by_name[one.patch],
                dynamics[one.dynamic],
                one.dynamic_changes,
            )
            for one in self._by_tempo[row.track, row.tempo]
        ]
        source = f"{SCORES_FOLDER}/{row.track}.mid"
        job = StemJob(
            song_id=row.song_id,
            notes_sha256=row.notes_sha256,
            track=row.track,
            split=row.split,
            source=self._source_of[row.track],
            midi_root=str(self.root),
            corpus=str(destination),
            staging=str(Layout(destination).staging),
            record="",
            tempo=next(tempo for tempo in config.tempos if tempo.name == row.tempo),
            specs=tuple(specs),
            config=config,
            licence=None,
            duplicate_group=None,
            score_path=source,
        )
        layout = Layout(destination)
        layout.staging.mkdir(parents=True)
        with self._explained(name, differences):
            stem = write_stem(job, row.stem_id)
        self._check({stem.path: stem.sha256}, differences)
        shutil.rmtree(layout.run)
        (destination / stem.midi_path).unlink()

    def _check(self, made: Mapping[str, str], differences: str) -> None:
        """Refuse audio that is not what records say."""
        for name, sha256 in made.items():
            if sha256 != self._sha256_of(name):
                raise InvalidCorpus(
                    f"{self.root / name}: rendered again, it is not what its record says"
                    f"{why_not_the_same(differences)}"
                )

    @contextmanager
    def _explained(self, name: str, differences: str) -> Iterator[None]:
        """Say of what cannot be rendered again what may be why."""
        try:
            yield
        except StemsmithError as error:
            why = why_not_the_same(differences)
            raise InvalidCorpus(f"{self.root / name}: {error}{why}") from error


def _song_and_file(name: str) -> tuple[str, str]:
    """Part the path of a file into that of its song and the rest."""
    split, _, rest = name.partition("/")
    track, _, inner = rest.partition("/")
    return f"{split}/{track}", inner
