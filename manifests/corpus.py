"""Opening a corpus: its manifest, its records, and the audio and notes of one song after another.

Whatever opens a corpus folder does it by `Corpus`. There are two kinds. A corpus of songs has a
mixture and stems for each MIDI file; a corpus of renditions has each stem once, and says which
stems, shifts and gains make a rendition.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.documents import Every, Optional
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.matched import MATCHED, MatchedStem
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Note, Rejection, Song, Stem
from stemsmith.manifests.renditions import RENDITIONS, Rendition, RenditionStem
from stemsmith.manifests.scratch import ComparedTexts, ScratchRecords
from stemsmith.manifests.shards import RecordTable, Table

__all__ = ["CORPUS", "PIECES", "SONGS", "Corpus", "Track", "TrackStem", "kit_of"]

CORPUS: Final = "corpus"  # the stage that a manifest names
PIECES: Final = "pieces"  # folder of a song, and name of its shards
SONGS: Final = "songs"  # the kind of a corpus whose manifest names none
_COUNTS: Final = Optional(Every(dict, int))
_SHAPE: Final = {  # of what readers ask of the manifest
    "kind": Optional(str),
    "config": Optional({"target_lufs": Optional(float), "target_peak_dbfs": Optional(float)}),
    "shards": Optional(Every(list, {"file": str})),
    "tars": Optional(Every(list, {"file": str, "n_bytes": int, "sha256": str})),
    "n_songs": _COUNTS,
    "rejections": _COUNTS,
    "n_stems": Optional(int),
    "n_renditions": Optional(int),
    "n_duplicates_grouped": Optional(int),
    "versions": Optional(Every(dict, str)),
    "soundfonts": Optional(Every(list, dict)),
    "lazy": Optional({"fingerprint": str}),
}


class HasStemId(Protocol):
    """A record of a stem."""

    @property
    def stem_id(self) -> str: ...


R = TypeVar("R")
P = TypeVar("P", bound=HasStemId)


@dataclass(frozen=True, slots=True)
class _Named:
    """The name of a stem alone."""

    stem_id: str


def kit_of(piece: HasStemId) -> str:
    """Return the `stem_id` of the kit that a piece is of: of ``<song_id>/S03`` for its kick."""
    return piece.stem_id.rpartition("_")[0]


class Corpus(Mapping[str, "Track"]):
    """A finished corpus folder.

    It is a mapping of names to songs, in the order of the records: ``len(corpus)`` is the number
    of songs, ``for name in corpus`` goes through their names, and ``corpus["Track00001"]`` is one
    of them. In a corpus of renditions each rendition is a song, called by its score's label and
    the number of its point, ``Track00001-17``.

    Opening a corpus reads its manifest. Records are read when they are asked for; audio is read
    anew each time.

    Parameters
    ----------
    folder : path
        What `stemsmith render` wrote: a folder, or the address of one in an object store.

    Attributes
    ----------
    root : Path
        Where the corpus is, as it was given.
    header : dict
        The content of ``manifest.json``.
    kind : str
        What the corpus holds: ``songs`` or ``renditions``; or, within a folder of mixtures,
        ``matched``: stems alone, of which `matched_stem_records` has the records.

    Raises
    ------
    InvalidCorpus
        If the folder has no manifest of a corpus, or one that this version cannot read.

    Examples
    --------
    >>> import stemsmith
    >>> corpus = stemsmith.Corpus("corpus")
    >>> list(corpus)
    ['Track00001', 'Track00002', 'Track00003']
    >>> track = corpus["Track00001"]
    >>> track.sample_rate, track.mixture.shape
    (16000, (1, 32000))
    >>> track.stems["S01"].record.inst_class, track.stems["S01"].notes.num_rows
    ('Bass', 4)
    >>> corpus.stems.group_by("split").aggregate([("n_notes", "sum")]).num_rows
    3
    """

    __eq__ = object.__eq__  # one by identity: comparing the songs would read all files
    __hash__ = object.__hash__

    def __init__(self, folder: str | Path) -> None:
        self.root = place(folder)
        self.header: dict[str, Any] = shards.read_manifest(self.root, CORPUS)
        self.kind = str(self.header.get("kind") or SONGS)
        shards.check_header(self.root, self.header, _SHAPE)

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"Corpus({str(self.root)!r})"

    def verify(self) -> Corpus:
        """Compare the shards with the manifest; return the corpus.

        Raises
        ------
        InvalidCorpus
            Naming the first shard that is missing or not as the manifest says.
        """
        shards.check_shards(self.root, self.header)
        return self

    @property
    def tars(self) -> dict[str, str]:
        """SHA-256 of the tars that the songs lie in, by their names; empty where they have folders.

        Nobody who reads audio or notes needs it: paths of records lead into tars.
        """
        return {str(entry["file"]): str(entry["sha256"]) for entry in self.header.get("tars") or ()}

    @cached_property
    def songs(self) -> Table:
        """The songs as a table, with a column for every field of `Song`."""
        return shards.read_table(self._song_files, Song)

    @cached_property
    def stems(self) -> Table:
        """The stems as a table: the fields of `Stem`, or of `RenditionStem`."""
        return shards.read_table(self._files("stems"), self._stem_type)

    @cached_property
    def pieces(self) -> Table:
        """The pieces of drum kits as a table with the fields of `Stem`; empty if there are none.

        The stem of a piece is called by its kit and itself, ``S03_hi-hat``. Pieces are not among
        the stems: those of a kit add up to its stem, sample by sample.
        """
        return shards.read_table(self._piece_files, Stem)

    @cached_property
    def renditions(self) -> Table:
        """The renditions as a table, with a column for every field of `Rendition`."""
        return shards.read_table(self._rendition_files, Rendition)

    @cached_property
    def rejections(self) -> Table:
        """The MIDI files that were left out, as a table with the fields of `Rejection`."""
        return shards.read_table(self._files("rejections"), Rejection)

    def song_records(self) -> list[Song]:
        """Return the songs as records."""
        return shards.read_records(self._song_files, Song)

    def stem_records(self) -> list[Stem]:
        """Return the stems of a corpus of songs as records."""
        self._refuse_unless(SONGS, "stem_records", "rendition_stem_records")
        return shards.read_records(self._files("stems"), Stem)

    def piece_records(self) -> list[Stem]:
        """Return the pieces of drum kits as records, in the order of their kits."""
        return shards.read_records(self._piece_files, Stem)

    def iter_in_pieces(self, record_type: type[P]) -> Iterator[P]:
        """Yield the stems of a corpus of songs, and then the pieces in place of their kits.

        Parameters
        ----------
        record_type : type
            `Stem`, or a dataclass with some of its fields, `stem_id` among them.

        Raises
        ------
        UsageError
            If the corpus was rendered without them.
        """
        if not self.has_pieces:
            raise UsageError(
                f"{self.root}: has no pieces of drum kits; render it with --drum-pieces"
            )
        kits = {kit_of(piece) for piece in self.iter_records(PIECES, _Named)}
        for stem in self.iter_records("stems", record_type):
            if stem.stem_id not in kits:
                yield stem
        yield from self.iter_records(PIECES, record_type)

    @property
    def has_pieces(self) -> bool:
        """Whether the corpus was rendered with the pieces of its drum kits."""
        return self.kind == SONGS and bool(self._piece_files)

    def rendition_stem_records(self) -> list[RenditionStem]:
        """Return the stems of a corpus of renditions as records."""
        self._refuse_unless(RENDITIONS, "rendition_stem_records", "stem_records")
        return shards.read_records(self._files("stems"), RenditionStem)

    def rendition_records(self) -> list[Rendition]:
        """Return the renditions as records."""
        return shards.read_records(self._rendition_files, Rendition)

    def rejection_records(self) -> list[Rejection]:
        """Return what was left out as records."""
        return shards.read_records(self._files("rejections"), Rejection)

    def matched_stem_records(self) -> list[MatchedStem]:
        """Return the stems that were rendered to match others, of a folder within mixtures."""
        self._refuse_unless(MATCHED, "matched_stem_records", "iter_stems")
        return shards.read_records(self._files("stems"), MatchedStem)

    def iter_stems(self) -> Iterator[Stem | RenditionStem]:
        """Yield the stems of songs or renditions, of which a thousand are in memory."""
        yield from self.iter_records("stems", self._stem_type)

    def iter_records(self, name: str, record_type: type[R]) -> Iterator[R]:
        """Yield the records of one kind, of which a thousand are in memory.

        Parameters
        ----------
        name : str
            ``songs``, ``stems``, ``pieces``, ``renditions`` or ``rejections``.
        record_type : type
            The type of the records, or a dataclass with some of their fields: no others are read.
        """
        return shards.iter_records(self._record_files(name), record_type)

    def iter_with_stems(self) -> Iterator[tuple[Song, tuple[Stem, ...], tuple[Stem, ...]]]:
        """Yield the songs with their stems and the pieces of their kits, one in memory at a time.

        Stems of no song are passed over.
        """
        stems = _Grouped(self, "stems")
        pieces = _Grouped(self, PIECES)
        for song in self.iter_records("songs", Song):
            yield song, stems.next(), pieces.next()

    def _record_files(self, name: str) -> list[Path]:
        if name == "stems":
            if self.kind == MATCHED:
                self._refuse_unless(SONGS, "iter_stems", "matched_stem_records")
            return self._files(name)
        if name == "rejections":
            return self._files(name)
        files = {"songs": "_song_files", PIECES: "_piece_files", "renditions": "_rendition_files"}
        found: list[Path] = getattr(self, files[name])
        return found

    def iter_tables(self, name: str) -> Iterator[Table]:
        """Yield the records of one kind as tables, one shard in memory at a time.

        Parameters
        ----------
        name : str
            ``songs``, ``stems``, ``pieces`` or ``renditions``, of which a corpus need not have all.
        """
        for path in self._files(name):
            yield RecordTable[Any](path, self.record_type(name)).table

    def record_type(self, name: str) -> type:
        """Return the type of the records of one kind, as `iter_tables` names them."""
        types: dict[str, type] = {"songs": Song, "pieces": Stem, "renditions": Rendition}
        return self._stem_type if name == "stems" else types[name]

    @property
    def _stem_type(self) -> type[Stem] | type[RenditionStem]:
        return RenditionStem if self.kind == RENDITIONS else Stem

    @property
    def _song_files(self) -> list[Path]:
        self._refuse_unless(SONGS, "songs", "renditions")
        return self._files("songs")

    @property
    def _piece_files(self) -> list[Path]:
        self._refuse_unless(SONGS, "pieces", "stems")
        return self._files(PIECES)

    @property
    def _rendition_files(self) -> list[Path]:
        self._refuse_unless(RENDITIONS, "renditions", "songs")
        return self._files("renditions")

    def _refuse_unless(self, kind: str, asked: str, other: str) -> None:
        if self.kind == MATCHED != kind:
            raise UsageError(f"{self.root}: stems of a folder of mixtures; open that instead")
        if self.kind != kind:
            raise UsageError(f"{self.root}: a corpus of {self.kind}: no {asked}; use {other}")

    def _files(self, kind: str) -> list[Path]:
        try:
            names = [str(entry["file"]) for entry in self.header["shards"]]
        except (KeyError, TypeError):
            manifest = self.root / shards.MANIFEST
            raise InvalidCorpus(f"{manifest}: does not list its shards") from None
        return [storage.inside(self.root, n) for n in names if n.startswith(f"{kind}-")]

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __getitem__(self, name: str) -> Track:
        if name not in self._index:
            raise KeyError(f"{self.root}: no song {name!r}")
        record = self._index[name].record()
        if isinstance(record, Rendition):
            parts = [
                TrackStem(
                    source.stem,
                    self._rendition_stem(record, source.stem_id),
                    self.root,
                    source.shift,
                    source.gain_db,
                )
                for source in record.sources
            ]
        else:
            stems = [row.record() for row in self._stem_index[record.song_id, ""]]
            parts = [TrackStem(stem.stem, stem, self.root) for stem in stems]
        return Track(name, record, self.root, {part.name: part for part in parts})

    def _rendition_stem(self, rendition: Rendition, stem_id: str) -> RenditionStem:
        """Return the record of a stem that a rendition names."""
        rows = self._stem_index.get((rendition.song_id, stem_id))
        if rows is None:
            name = f"{rendition.track}-{rendition.point}"
            raise InvalidCorpus(f"{self.root}: no record is of the stem {stem_id!r} of {name!r}")
        record: RenditionStem = rows[0].record()
        return record

    @cached_property
    def _index(self) -> dict[str, _Row]:
        """Where the record of each song is, by its name."""
        if self.kind == RENDITIONS:
            rows = _rows_by(self._rendition_files, Rendition, "track", "point")
            return {f"{track}-{point}": row for (track, point), row in rows}
        return {track: row for (track,), row in _rows_by(self._song_files, Song, "track")}

    @cached_property
    def _stem_index(self) -> dict[tuple[str, str], list[_Row]]:
        """Where the records of stems are: by song, and of renditions by stem as well."""
        found: dict[tuple[str, str], list[_Row]] = defaultdict(list)
        is_by_stem = self.kind == RENDITIONS
        files = self._files("stems")
        for (song_id, stem_id), row in _rows_by(files, self._stem_type, "song_id", "stem_id"):
            found[song_id, stem_id if is_by_stem else ""].append(row)
        return found


@dataclass(frozen=True, slots=True)
class _OfSong:
    """The song of a record alone."""

    song_id: str


class _Grouped:
    """Stems by song, asked for in the order of the songs.

    They mostly lie in this order. Where they do not, they are read once and lie on disk.
    """

    def __init__(self, corpus: Corpus, name: str) -> None:
        songs = ComparedTexts(song.song_id for song in corpus.iter_records("songs", _OfSong))
        of_stems = ComparedTexts(stem.song_id for stem in corpus.iter_records(name, _OfSong))
        places = of_stems.places_in(songs)
        order = np.argsort(places, kind="stable")
        self._n_stems = np.bincount(places[places >= 0], minlength=len(songs)).tolist()
        self._next_song = 0
        stems = corpus.iter_records(name, Stem)
        if (np.diff(order) != 1).any():
            lying = ScratchRecords(stems)
            stems = map(lying.__getitem__, order.tolist())
        self._stems = itertools.islice(stems, int((places < 0).sum()), None)

    def next(self) -> tuple[Stem, ...]:
        """Return the stems of the next song."""
        n_stems = self._n_stems[self._next_song]
        self._next_song += 1
        return tuple(itertools.islice(self._stems, n_stems))


@dataclass(frozen=True, slots=True)
class _Row:
    """The place of a record, which is made when it is asked for."""

    table: RecordTable[Any]
    number: int

    def record(self) -> Any:
        return self.table[self.number]


def _rows_by(
    files: Sequence[Path], record_type: type, *names: str
) -> Iterator[tuple[tuple[str, ...], _Row]]:
    """Yield the place of every record of some shards, with some of its fields."""
    for path in files:
        records: RecordTable[Any] = RecordTable(path, record_type)
        table = records.table
        keys = zip(*(table.column(name).to_pylist() for name in names), strict=True)
        for number, key in enumerate(keys):
            yield key, _Row(records, number)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One song of a corpus, or one rendition.

    Attributes
    ----------
    name : str
        Its key in the corpus: ``Track00001``, or ``Track00001-17`` for a rendition.
    record : Song or Rendition
        What the corpus knows of it.
    root : Path
        Folder of the corpus, which the paths of the record are relative to.
    stems : mapping of str to TrackStem
        Its stems by name, ``S00`` and so on, in order of part.
    """

    name: str
    record: Song | Rendition
    root: Path
    stems: Mapping[str, TrackStem]

    @property
    def sample_rate(self) -> int:
        """Sample rate of the mixture and all stems in Hz."""
        return self.record.sample_rate

    @property
    def mixture(self) -> Float32s:
        """The mixture, (n_channels, n_samples) float32, full scale 1.

        Of a song it is read from its file. Of a rendition it is the sum of the stems, without
        any gain against clipping: peaks may pass full scale.
        """
        if isinstance(self.record, Song):
            path = storage.inside(self.root, self.record.mix_path)
            return read_excerpt(path, 0, self.record.n_samples)
        mixture: Float32s = np.sum([stem.audio for stem in self.stems.values()], axis=0)
        return mixture

    @property
    def master(self) -> Float32s | None:
        """The mixture after bus and codec, as `mixture` has it; None where there is none."""
        path = self.record.master_path if isinstance(self.record, Song) else None
        if path is None:
            return None
        return read_excerpt(storage.inside(self.root, path), 0, self.record.n_samples)


@dataclass(frozen=True, slots=True, eq=False)
class TrackStem:
    """One stem of a song or of a rendition.

    Attributes
    ----------
    name : str
        Which part it is: ``S00`` and so on.
    record : Stem or RenditionStem
        What the corpus knows of its file.
    root : Path
        Folder of the corpus, which the paths of the record are relative to.
    shift : int
        Samples by which a rendition moves the stem later, in a circle; 0 in songs.
    gain_db : float
        Gain in dB that a rendition gives to the file of the stem; 0 in songs.
    """

    name: str
    record: Stem | RenditionStem
    root: Path
    shift: int = 0
    gain_db: float = 0.0

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.record.sample_rate

    @property
    def audio(self) -> Float32s:
        """The stem as it is in the mixture, (1, n_samples) float32, full scale 1."""
        path = storage.inside(self.root, self.record.path)
        audio = read_excerpt(path, 0, self.record.n_samples)
        if self.shift:
            audio = np.roll(audio, self.shift, axis=1)
        return audio * np.float32(10 ** (self.gain_db / 20)) if self.gain_db else audio

    @property
    def dry(self) -> Float32s | None:
        """The stem before all effects, as `audio` has it; None where that is not written."""
        path = self.record.dry_path if isinstance(self.record, Stem) else None
        if path is None:
            return None
        return read_excerpt(storage.inside(self.root, path), 0, self.record.n_samples)

    @property
    def notes(self) -> Table:
        """The notes as a table with the columns of `Note`, in order of onset.

        Times are samples of `audio`. A shift that carries a note over the end of the stem cuts it
        in two, of which the second begins at 0; there is no second one where only a pedal holds
        the note so long.
        """
        record = self.record
        onset, offset = (n.astype(np.int64) for n in (record.note_onset, record.note_offset))
        sounding = record.note_sounding_offset if isinstance(record, Stem) else None
        end = offset if sounding is None else sounding.astype(np.int64)
        rows = np.arange(len(onset))
        if self.shift:
            onset, offset, end, rows = _turned(onset, offset, end, self.shift, record.n_samples)
        pitch, velocity = record.note_pitch[rows], record.note_velocity[rows]
        columns = [column.tolist() for column in (onset, offset, pitch, velocity)]
        for column in (record.note_heard, record.note_sounding_pitch):
            columns.append([None] * len(rows) if column is None else column[rows].tolist())
        columns.append([None] * len(rows) if sounding is None else end.tolist())
        return shards.table_of([Note(*row) for row in zip(*columns, strict=True)], Note)


def _turned(
    onset: Int64s, offset: Int64s, end: Int64s, shift: int, n_samples: int
) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Move notes later in a circle; cut those whose key is down at the end of the stem.

    Return onsets, offsets and ends of the sound, and which note each piece is of.
    """
    # What rings on after the end of the stem is not in its audio, nor are notes from there on.
    (rows,) = np.nonzero(onset < n_samples)
    start = (onset[rows] + shift) % n_samples
    moved = start - onset[rows]
    (over,) = np.nonzero(np.minimum(offset[rows], n_samples) + moved > n_samples)
    starts = np.concatenate([start, np.zeros(len(over), np.int64)])
    order = np.argsort(starts, kind="stable")

    def cut(stop: Int64s) -> Int64s:
        turned = np.minimum(stop[rows], n_samples) + moved
        pieces = np.concatenate([np.minimum(turned, n_samples), turned[over] - n_samples])
        return pieces[order]

    return starts[order], cut(offset), cut(end), np.concatenate([rows, rows[over]])[order]
