"""Songs of corpora as Slakh has them: ``TrackNNNNN/{mix,stems/SNN,MIDI/SNN,all_src,metadata}``.

A corpus of ours has this layout already. What formats of Slakh's do is to convert the audio and to
link the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.records import Song, Stem
from stemsmith.render.songs.metadata import MIX, SOURCE_MIDI, YAML
from stemsmith.share.exports.base import ExportFormat, PlannedFile
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.recorded import n_recorded_bytes, read_recorded
from stemsmith.share.exports.sources import ExportSource, SourceKind
from stemsmith.share.exports.writing import link_or_copy

__all__ = ["TrackFile", "TrackFolderFormat", "TrackSong"]


@dataclass(frozen=True, slots=True)
class TrackFile:
    """One file of a song.

    Attributes
    ----------
    place : str
        Where it is below the folder of the song (POSIX).
    path : str
        Absolute path of the file in the corpus.
    sha256 : str
        SHA-256 of its content.
    """

    place: str
    path: str
    sha256: str

    @property
    def is_audio(self) -> bool:
        """Whether it is the mixture or a stem, and no score and no metadata."""
        return self.place.endswith(".flac")

    @property
    def n_bytes(self) -> int:
        """Size of the file; see `n_recorded_bytes`."""
        return n_recorded_bytes(place(self.path))

    def read(self) -> bytes:
        """Return the content; see `read_recorded`."""
        return read_recorded(place(self.path), self.sha256)


@dataclass(frozen=True, slots=True)
class TrackSong:
    """A song of a corpus.

    Attributes
    ----------
    name : str
        Folder of the song in the export, ``Track00001``.
    split : str
        ``train``, ``validation`` or ``test``.
    sample_rate, n_samples : int
        Rate in Hz and length of all its audio.
    is_sum : bool
        Whether the mixture is the sum of the stems.
    files : tuple of TrackFile
        Mixture, stems, scores and metadata.
    """

    name: str
    split: str
    sample_rate: int
    n_samples: int
    is_sum: bool
    files: tuple[TrackFile, ...]


class TrackFolderFormat(ExportFormat[TrackSong]):
    """A format with Slakh's folder for each song.

    Attributes
    ----------
    top : str
        The folder that the archive of the data set unpacks to.
    """

    takes = frozenset({SourceKind.SONGS})
    top: ClassVar[str]

    @abstractmethod
    def folder_of(self, song: TrackSong) -> str:
        """Return the folder of a song below `top` (POSIX)."""

    @abstractmethod
    def planned(self, song: TrackSong, file: TrackFile) -> PlannedFile:
        """Return what becomes of a file of audio, at a path below the folder of the song."""

    @abstractmethod
    def write_audio(self, song: TrackSong, folder: Path) -> Mapping[str, Any]:
        """Write mixture and stems into the folder of the song; return what is to be known."""

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> list[TrackSong]:
        """Find the songs; see `ExportFormat.songs`.

        Songs of several corpora are numbered anew, for each of these begins with ``Track00001``.
        """
        found = [song for source in sources for song in _songs(source, config)]
        if len(sources) == 1:
            return found
        return [replace(song, name=f"Track{number:05d}") for number, song in enumerate(found, 1)]

    def files(self, song: TrackSong, config: ExportConfig) -> list[PlannedFile]:
        """Return what will be written of a song; see `ExportFormat.files`."""
        folder = PurePosixPath(self.top, self.folder_of(song))
        planned = []
        for file in song.files:
            one = self.planned(song, file) if file.is_audio else _linked(file)
            planned.append(one._replace(path=str(folder / one.path)))
        return planned

    def write(self, song: TrackSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the files of a song; see `ExportFormat.write`."""
        home = folder / self.top / self.folder_of(song)
        for file in song.files:
            (home / file.place).parent.mkdir(parents=True, exist_ok=True)
            if not file.is_audio:
                file.read()  # is what it should be
                link_or_copy(place(file.path), home / file.place)
        return self.write_audio(song, home)


def _linked(file: TrackFile) -> PlannedFile:
    # Neither a member of a tar nor an object has a name on the disk to link to.
    where = place(file.path)
    return PlannedFile(file.place, file.n_bytes, is_linked=not is_remote(where) and where.is_file())


def _songs(source: ExportSource, config: ExportConfig) -> Iterator[TrackSong]:
    corpus = Corpus(source.root).verify()
    stems: dict[str, list[TrackFile]] = defaultdict(list)
    for stem in corpus.iter_stems():
        if isinstance(stem, Stem):
            stems[stem.song_id] += _stem_files(source.root, stem)
    counts: Counter[str] = Counter()
    for song in corpus.song_records():
        if song.split not in config.splits:
            continue
        counts[song.split] += 1
        if config.limit is None or counts[song.split] <= config.limit:
            yield _song(source.root, song, stems[song.song_id])


def _stem_files(root: Path, stem: Stem) -> tuple[TrackFile, TrackFile]:
    return (
        _file(root, stem.path, stem.sha256, f"stems/{stem.stem}.flac"),
        _file(root, stem.midi_path, stem.midi_sha256, f"MIDI/{stem.stem}.mid"),
    )


def _file(root: Path, path: str, sha256: str, place: str) -> TrackFile:
    return TrackFile(place, str(storage.inside(root, path)), sha256)


def _song(root: Path, song: Song, stems: Sequence[TrackFile]) -> TrackSong:
    files = [
        _file(root, song.mix_path, song.mix_sha256, MIX),
        *stems,
        _file(root, f"{song.path}/{SOURCE_MIDI}", song.midi_sha256, SOURCE_MIDI),
        _file(root, f"{song.path}/{YAML}", song.metadata_sha256, YAML),
    ]
    return TrackSong(
        name=song.track,
        split=song.split,
        sample_rate=song.sample_rate,
        n_samples=song.n_samples,
        is_sum=not song.has_own_mixture,
        files=tuple(files),
    )
