"""What proves that a song was rendered again: the hashes of its files, and of what records say.

FLAC that another encoder has written is other bytes of the same samples, which have a hash of their
own. Mixtures that are the sum of their stems need none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Int32s
from stemsmith.manifests.audio.flac import SampleHash
from stemsmith.manifests.audio.read import FULL_SCALE_24, audio_info, read_excerpt, read_int16
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.render.again.pack import PackedFile, PackedSong
from stemsmith.render.corpus.config import MixSource
from stemsmith.render.renditions.closing import SCORES_FOLDER
from stemsmith.render.songs import metadata as slakh

__all__ = [
    "check_files",
    "check_records",
    "check_sum",
    "files_of_piece",
    "files_of_renditions",
    "files_of_song",
    "is_sum_of_stems",
    "records_hash",
    "samples_hash",
]

# Of FLAC files, whose bytes are their encoder's.
_OF_ENCODED: Final = frozenset({"sha256", "mix_sha256", "master_sha256", "dry_sha256"})


def samples_hash(path: Path, n_bits: int) -> str:
    """Return the SHA-256 of the samples of a FLAC file of 16 or 24 bits, as `SampleHash` has it."""
    found = SampleHash(n_bits)
    if n_bits == 16:
        found.update(read_int16(path)[0])
    else:
        audio = read_excerpt(path, 0, audio_info(path).n_samples)
        found.update(np.rint(audio.astype(np.float64) * FULL_SCALE_24).astype(np.int32))
    return found.hexdigest()


def files_of_song(
    song: Song, stems: Sequence[Stem], pieces: Sequence[Stem]
) -> dict[str, PackedFile]:
    """Return the files of a song by their paths below its folder, as its records have them.

    What others are made of comes first, so that the first one that differs is the cause.

    Raises
    ------
    InvalidCorpus
        If a record names a file outside the folder of its song.
    """
    found: list[tuple[str, PackedFile]] = [
        (f"{song.path}/{slakh.SOURCE_MIDI}", PackedFile(song.midi_sha256))
    ]
    found += [(stem.midi_path, PackedFile(stem.midi_sha256)) for stem in (*stems, *pieces)]
    for stem in stems:
        if stem.dry_path is not None and stem.dry_sha256 is not None:
            found.append((stem.dry_path, PackedFile(stem.dry_sha256)))
    found += [(s.path, PackedFile(s.sha256, s.samples_sha256)) for s in (*stems, *pieces)]
    found.append((song.mix_path, PackedFile(song.mix_sha256)))
    if song.master_path is not None and song.master_sha256 is not None:
        found.append((song.master_path, PackedFile(song.master_sha256)))
    found.append((f"{song.path}/{slakh.YAML}", PackedFile(song.metadata_sha256)))
    begin = f"{song.path}/"
    for path, _ in found:
        if not path.startswith(begin):
            raise InvalidCorpus(f"{path}: a record of {song.track} names it, outside {song.path}")
    return {path.removeprefix(begin): file for path, file in found}


def files_of_piece(
    track: str, stems: Sequence[RenditionStem], score_sha256: str
) -> dict[str, PackedFile]:
    """Return the files of a score of a corpus of renditions, by their paths below the corpus."""
    return {
        f"{SCORES_FOLDER}/{track}.mid": PackedFile(score_sha256),
        **files_of_renditions(stems),
    }


def files_of_renditions(stems: Sequence[RenditionStem]) -> dict[str, PackedFile]:
    """Return the files of stems of renditions, by their paths below the corpus."""
    midi = {stem.midi_path: PackedFile(stem.midi_sha256) for stem in stems}
    return midi | {stem.path: PackedFile(stem.sha256, stem.samples_sha256) for stem in stems}


def records_hash(records: Iterable[Any]) -> str:
    """Return a hash of what records say, but for the hashes of FLAC files.

    It does not depend on how the records are stored, nor on columns that are empty, which a later
    version may have more of.

    Parameters
    ----------
    records : iterable of dataclass instances
        Records as they are read from Parquet.
    """
    total = hashlib.sha256()
    for record in records:
        line = json.dumps([type(record).__name__, _plain(record)], sort_keys=True)
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
        return [value.dtype.name, value.shape, hashlib.sha256(content).hexdigest()]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return str(value)
    if dataclasses.is_dataclass(value):
        named = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {n: _plain(v) for n, v in named if v is not None and n not in _OF_ENCODED}
    return value


def check_files(
    root: Path,
    packed: PackedSong,
    found: Mapping[str, PackedFile],
    *,
    n_bits: int,
    of: Iterable[str] | None = None,
    folder: Path | None = None,
) -> Iterator[str]:
    """Compare files with those of a pack; yield those that only their encoder tells apart.

    Parameters
    ----------
    root : Path
        Folder of the corpus.
    packed : PackedSong
        What its files were.
    found : mapping of str to PackedFile
        What they are, by the same paths.
    n_bits : int
        Bits of a sample: 16 of songs, and 24 of renditions.
    of : iterable of str, optional
        The files that are looked at; by default all of the pack's.
    folder : Path, optional
        Where the files of a song are that is not published yet; by default in the corpus.

    Yields
    ------
    str
        FLAC of other bytes, whose samples are the same, or are for the caller to see: mixtures that
        are the sum of their stems have no hash of samples.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is another one.
    """
    wanted = list(packed.files) if of is None else list(of)
    if odd := sorted(set(wanted) ^ found.keys()):
        what = "is not rendered" if odd[0] in packed.files else "is rendered, and not in the pack"
        raise InvalidCorpus(f"{root / packed.path_of(odd[0])}: {what}")
    for name in wanted:
        expected, file = packed.files[name], found[name]
        if file.sha256 == expected.sha256:
            continue
        path = root / packed.path_of(name)
        if not name.endswith(slakh.AUDIO):
            raise InvalidCorpus(f"{path}: has other bytes than the packed one")
        wanted_samples = expected.samples_sha256
        if wanted_samples is not None and wanted_samples != (
            file.samples_sha256 or samples_hash(folder / name if folder else path, n_bits)
        ):
            raise InvalidCorpus(f"{path}: has other samples than the packed one")
        yield name


def is_sum_of_stems(song: Song) -> bool:
    """Tell whether the mixture of a song is the sum of its stems, sample by sample."""
    return song.mix_source == MixSource.AUTOMIX


def check_sum(root: Path, song: Song, stems: Sequence[Stem], folder: Path | None = None) -> None:
    """Check that the mixture of a song is the sum of its stems.

    Parameters
    ----------
    root : Path
        Folder of the corpus.
    song, stems : Song, sequence of Stem
        Records of the song and of all its stems.
    folder : Path, optional
        Where the files of the song are if it is not published yet; by default in the corpus.

    Raises
    ------
    InvalidCorpus
        If it is not, naming the mixture.
    """

    def samples(path: str) -> Int32s:
        where = storage.inside(root, path)
        if folder is not None:
            where = folder / path.removeprefix(f"{song.path}/")
        return read_int16(where)[0].astype(np.int32)

    total = np.zeros((song.n_channels or 1, song.n_samples), np.int32)
    for stem in stems:
        total += samples(stem.path)
    if not np.array_equal(samples(song.mix_path), total):
        raise InvalidCorpus(f"{root / song.mix_path}: is not the sum of its stems")


def check_records(packed: PackedSong, records: Iterable[Any]) -> None:
    """Check that records say what those of a pack said.

    Raises
    ------
    InvalidCorpus
        If they do not, naming the song.
    """
    if records_hash(records) != packed.records_sha256:
        raise InvalidCorpus(
            f"{packed.name}: its files are those of the pack, and its records (levels, notes or "
            "envelopes) are not"
        )
