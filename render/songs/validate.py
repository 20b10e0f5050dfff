"""Checking a finished corpus of songs against its checksums and invariants."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import mido
import numpy as np
from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.arrays import Int32s
from stemsmith.manifests.audio import read as audio
from stemsmith.manifests.audio.flac import SampleHash
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.corpus import PIECES, Corpus, kit_of
from stemsmith.manifests.documents import Every, misfit, parse_json, read_yaml
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Finding, Rejection, Song, Stem
from stemsmith.manifests.run_folder import refuse_unfinished
from stemsmith.manifests.scratch import ComparedTexts
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.render.corpus.config import MixSource
from stemsmith.render.corpus.layout import RUN_FOLDER
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.balance import group_of, wanted_levels
from stemsmith.render.songs.validate_tars import check_tar_names
from stemsmith.render.sound.heard import check_heard

__all__ = ["SongValidation", "SongValidations", "plan_validation", "validate_song"]

T = TypeVar("T")

_METADATA: Final = {  # what is compared of it
    "UUID": str,
    "stems": Every(dict, {"audio_rendered": bool}),
    "stemsmith": {"stems": Every(dict, dict)},
}
_LOUDNESS_TOLERANCE_LU: Final = 0.1
# Rounding to 16 bits is noise at about -98 LUFS; quieter stems than this are not comparable.
_LOWEST_COMPARED_LUFS: Final = -60.0


@dataclass(frozen=True, slots=True)
class SongValidation:
    """One song to check.

    Attributes
    ----------
    root : str
        Folder of the corpus.
    song : Song
        Record of the song.
    stems : tuple of Stem
        Records of all its stems.
    pieces : tuple of Stem or None
        Records of the pieces of its drum kits; None if the corpus has none.
    target_lufs, target_peak_dbfs : float
        Options of the corpus: loudness of its stems, and highest sample peak.
    """

    root: str
    song: Song
    stems: tuple[Stem, ...]
    pieces: tuple[Stem, ...] | None
    target_lufs: float
    target_peak_dbfs: float


class SongValidations:
    """The checks of the songs of a corpus, each with the records of its stems: made one by one.

    Parameters
    ----------
    corpus : Corpus
        A corpus of songs.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        try:
            config = corpus.header["config"]
            self._levels: tuple[float, float] = config["target_lufs"], config["target_peak_dbfs"]
        except KeyError as error:
            raise InvalidCorpus(f"{corpus.root / shards.MANIFEST}: {error} is missing") from error
        self._n_songs: int = sum(corpus.header["n_songs"].values())

    def __len__(self) -> int:
        return self._n_songs

    def __iter__(self) -> Iterator[SongValidation]:
        corpus = self._corpus
        for song, stems, pieces in corpus.iter_with_stems():
            yield SongValidation(
                str(corpus.root), song, stems, pieces if corpus.has_pieces else None, *self._levels
            )


def plan_validation(corpus: Corpus) -> SongValidations:
    """Check what concerns a corpus of songs as a whole, and plan the checks of its songs.

    The whole is: the shards and the manifest's counts, unique ids, duplicates within one split,
    folders that no record names, nothing left of a run.

    Raises
    ------
    InvalidCorpus
        Naming the first offender.
    """
    corpus.verify()
    _check_counts(corpus)
    _check_whole(corpus)
    _check_pieces_of(corpus)
    return SongValidations(corpus)


@dataclass(frozen=True, slots=True)
class _StemNames:
    """The names of a stem, or of a piece."""

    stem_id: str
    song_id: str


def _check_counts(corpus: Corpus) -> None:
    manifest = corpus.root / shards.MANIFEST
    found = Counter(song.split for song in corpus.iter_records("songs", Song))
    counted = {split: found[split] for split in SPLITS}
    if corpus.header.get("n_songs") != counted:
        raise InvalidCorpus(f"{manifest}: has {counted} songs, not as it says")
    reasons = Counter(str(row.reason) for row in corpus.iter_records("rejections", Rejection))
    if corpus.header.get("rejections") != dict(reasons):
        raise InvalidCorpus(f"{manifest}: counts of rejections are not the shard's")


def _check_whole(corpus: Corpus) -> None:
    """Check what songs have to be to each other; of all of them, little is in memory at a time."""
    root = corpus.root
    refuse_unfinished(root / RUN_FOLDER, "render")

    def songs() -> Iterator[Song]:
        return corpus.iter_records("songs", Song)

    def stems() -> Iterator[_StemNames]:
        return corpus.iter_records("stems", _StemNames)

    song_ids = _unique(root, "song", lambda: (song.song_id for song in songs()))
    _unique(root, "track", lambda: (song.track for song in songs()))
    _unique(root, "stem", lambda: (stem.stem_id for stem in stems()))
    places = ComparedTexts(stem.song_id for stem in stems()).places_in(song_ids)
    if (places < 0).any():
        stem = _nth(stems(), int((places < 0).argmax()))
        raise InvalidCorpus(f"{root}: stem {stem.stem_id} belongs to no song")
    for other, one in _divided(songs, lambda song: song.notes_sha256):
        raise InvalidCorpus(
            f"{root / one.path}: has the notes of {other.path}, which is in another split"
        )
    for other, one in _divided(songs, lambda song: song.duplicate_group or f"of {song.song_id}"):
        raise InvalidCorpus(
            f"{root / one.path}: is nearly the same music as {other.path}, which is in another "
            "split"
        )
    expected = ComparedTexts(song.path for song in songs())
    for split in SPLITS:
        folder = root / split
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        found = ComparedTexts(f"{split}/{name}" for name in names).places_in(expected)
        if (found < 0).any():
            name = names[int((found < 0).argmax())]
            raise InvalidCorpus(f"{folder / name}: no record names it")
    check_tar_names(root, corpus.tars, (song.path for song in songs()))


def _divided(
    songs: Callable[[], Iterator[Song]], key: Callable[[Song], str]
) -> Iterator[tuple[Song, Song]]:
    """Yield the first song that has the key of an earlier one in another split, after that one."""
    keys, splits = ComparedTexts(), bytearray()
    for song in songs():
        keys.append(key(song))
        splits.append(SPLITS.index(song.split))
    of_song = np.frombuffer(bytes(splits), np.uint8)
    firsts = keys.firsts()
    divided = np.flatnonzero(of_song != of_song[firsts])
    if len(divided):
        place = int(divided[0])
        yield _nth(songs(), int(firsts[place])), _nth(songs(), place)


def _check_pieces_of(corpus: Corpus) -> None:
    """Check that pieces have names of their own, and songs."""

    def pieces() -> Iterator[_StemNames]:
        return corpus.iter_records(PIECES, _StemNames)

    _unique(corpus.root, "piece", lambda: (piece.stem_id for piece in pieces()))
    songs = ComparedTexts(stem.song_id for stem in corpus.iter_records("stems", _StemNames))
    is_lost = ComparedTexts(piece.song_id for piece in pieces()).places_in(songs) < 0
    lost = itertools.compress(pieces(), is_lost.tolist())
    if (piece := min(lost, key=lambda piece: piece.song_id, default=None)) is not None:
        raise InvalidCorpus(f"{corpus.root}: piece {piece.stem_id} is of no song")


def _unique(root: Path, what: str, ids: Callable[[], Iterator[str]]) -> ComparedTexts:
    """Check that no name comes twice; return the names."""
    names = ComparedTexts(ids())
    if (place := names.first_repeated()) is not None:
        raise InvalidCorpus(f"{root}: {what} {_nth(ids(), place)} is recorded twice")
    return names


def _nth(items: Iterator[T], place: int) -> T:
    return next(itertools.islice(items, place, None))


def validate_song(job: SongValidation) -> Finding:
    """Check the files of one song against its records."""
    try:
        _SongChecker(job).check()
    except InvalidCorpus as error:
        recheck(error)
        return Finding(job.song.track, str(error))
    return Finding(job.song.track, None)


class _SongChecker:
    """Checks the files of one song."""

    def __init__(self, job: SongValidation) -> None:
        self._job = job
        self._root = place(job.root)

    def check(self) -> None:
        """Check everything; raise InvalidCorpus at the first offender."""
        job, song = self._job, self._job.song
        folder = storage.inside(self._root, song.path)
        midi = folder / slakh.SOURCE_MIDI
        self._hash(midi, song.midi_sha256)
        if hashlib.md5(places.read_bytes(midi), usedforsecurity=False).hexdigest() != song.song_id:
            raise InvalidCorpus(f"{midi}: MD5 is not the song's id {song.song_id}")
        metadata = folder / slakh.YAML
        self._hash(metadata, song.metadata_sha256)
        self._check_metadata(metadata)
        if len(job.stems) != song.n_stems:
            raise InvalidCorpus(f"{folder}: {len(job.stems)} stem records, {song.n_stems} stems")
        total = np.zeros((song.n_channels or 1, song.n_samples), np.int32)
        of_groups: dict[str, Int32s] = {}
        for stem in job.stems:
            samples = self._check_stem(stem)
            self._check_pieces(stem, samples)
            total += samples
            if song.balance is not None:
                group = group_of(stem.program, stem.rendering_class)
                of_groups.setdefault(group, np.zeros_like(total))
                of_groups[group] += samples
        if song.balance is not None:
            self._check_balance(song.balance, of_groups)
        kits = {stem.stem_id for stem in job.stems if stem.program == DRUMS}
        for piece in job.pieces or ():
            if kit_of(piece) not in kits:
                raise InvalidCorpus(f"{self._root / piece.path}: no drum kit is recorded for it")
        mix = self._audio(song.mix_path, song.mix_sha256)
        if song.mix_source == MixSource.AUTOMIX and not np.array_equal(mix, total):
            first = int(np.flatnonzero((mix != total).any(axis=0))[0])
            raise InvalidCorpus(
                f"{self._root / song.mix_path}: not the sum of the stems at sample {first}"
            )
        self._check_peak(song.mix_path, mix)
        self._check_extra(song.master_path, song.master_sha256)

    def _hash(self, path: Path, expected: str) -> None:
        if not places.is_file(path):
            raise InvalidCorpus(f"{path}: missing")
        if places.sha256_of(path) != expected:
            raise InvalidCorpus(f"{path}: SHA-256 is not the recorded one")

    def _audio(self, relative: str, sha256: str) -> np.ndarray[Any, np.dtype[np.int16]]:
        path, song = storage.inside(self._root, relative), self._job.song
        self._hash(path, sha256)
        samples, sample_rate = audio.read_int16(path)
        n_channels, n_samples = samples.shape
        if n_channels != (song.n_channels or 1):
            raise InvalidCorpus(f"{path}: {n_channels} channels, recorded {song.n_channels or 1}")
        if (n_samples, sample_rate) != (song.n_samples, song.sample_rate):
            raise InvalidCorpus(
                f"{path}: {n_samples} samples at {sample_rate} Hz, "
                f"recorded {song.n_samples} at {song.sample_rate} Hz"
            )
        return samples

    def _check_extra(self, relative: str | None, sha256: str | None) -> None:
        """Check a file that not every corpus has: sample-aligned with the others, so as long."""
        if (relative is None) != (sha256 is None):
            raise InvalidCorpus(f"{self._root}: {relative or sha256}: path or SHA-256 is missing")
        if relative is not None and sha256 is not None:
            self._audio(relative, sha256)

    def _check_peak(self, relative: str, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        peak = int(np.abs(samples.astype(np.int32)).max()) / FULL_SCALE_16
        if peak > db_to_linear(self._job.target_peak_dbfs):
            raise InvalidCorpus(
                f"{self._root / relative}: peak {20 * math.log10(peak):.3f} dBFS is above "
                f"{self._job.target_peak_dbfs} dBFS"
            )

    def _check_pieces(self, stem: Stem, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        """Check the pieces of a stem, if it is a drum kit: that they are whole, and add up."""
        if self._job.pieces is None or stem.program != DRUMS:
            return
        pieces = [piece for piece in self._job.pieces if kit_of(piece) == stem.stem_id]
        total = np.zeros(samples.shape, np.int32)
        for piece in pieces:
            total += self._check_stem(piece, is_piece=True)
            if piece.gain_db != stem.gain_db:
                raise InvalidCorpus(f"{self._root / piece.path}: gain differs from its kit's")
        if not np.array_equal(total, samples):
            first = int(np.flatnonzero((total != samples).any(axis=0))[0])
            raise InvalidCorpus(
                f"{self._root / stem.path}: not the sum of its pieces at sample {first}"
            )
        if sum(piece.n_notes for piece in pieces) != stem.n_notes:
            raise InvalidCorpus(f"{self._root / stem.path}: has other notes than its pieces")

    def _check_stem(
        self, stem: Stem, is_piece: bool = False
    ) -> np.ndarray[Any, np.dtype[np.int16]]:
        """Check the files of a stem, or of a piece, whose level and heard notes are its kit's."""
        samples = self._audio(stem.path, stem.sha256)
        path = self._root / stem.path
        if stem.samples_sha256 is not None:
            found = SampleHash(n_bits=16)
            found.update(samples)
            if found.hexdigest() != stem.samples_sha256:
                raise InvalidCorpus(f"{path}: SHA-256 of its samples is not the recorded one")
        self._check_peak(stem.path, samples)
        self._check_extra(stem.dry_path, stem.dry_sha256)
        midi = storage.inside(self._root, stem.midi_path)
        self._hash(midi, stem.midi_sha256)
        try:
            file = mido.MidiFile(file=io.BytesIO(places.read_bytes(midi)))
        except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
            raise InvalidCorpus(f"{midi}: not readable MIDI: {error}") from error
        columns = (stem.note_onset, stem.note_offset, stem.note_pitch, stem.note_velocity)
        n_notes = {len(column) for column in columns}
        if stem.note_sounding_offset is not None:
            n_notes.add(len(stem.note_sounding_offset))
        if n_notes != {stem.n_notes}:
            raise InvalidCorpus(f"{path}: note columns do not have {stem.n_notes} notes")
        if stem.is_silent != (stem.loudness_lufs is None):
            raise InvalidCorpus(f"{path}: flagged silent, but has a loudness")
        if stem.loudness_lufs != integrated_loudness(stem.k_power):
            raise InvalidCorpus(f"{path}: loudness is not that of its envelope")
        self._check_loudness(stem, samples, is_piece)
        if not is_piece:
            check_heard(path, stem, samples.astype(np.float32) / np.float32(FULL_SCALE_16))
        self._check_strikes(stem, file)
        return samples

    def _check_strikes(self, stem: Stem, file: mido.MidiFile) -> None:
        """Compare the notes of a stem's MIDI with those that are recorded as heard."""
        if stem.n_notes_unheard is None:  # version 0.1 wrote all notes
            return
        messages = (message for track in file.tracks for message in track)
        n_struck = sum(m.type == "note_on" and m.velocity > 0 for m in messages)
        n_heard = stem.n_notes - stem.n_notes_unheard
        if n_struck != n_heard:
            raise InvalidCorpus(
                f"{self._root / stem.midi_path}: has {n_struck} notes, but {n_heard} are recorded "
                "as heard"
            )

    def _check_loudness(
        self, stem: Stem, samples: np.ndarray[Any, np.dtype[np.int16]], is_piece: bool
    ) -> None:
        """Compare the loudness on disk with the recorded one plus the recorded gain."""
        expected = integrated_loudness(stem.k_power, stem.gain_db)
        song = self._job.song
        level = self._job.target_lufs + song.overall_gain_db
        is_equal = song.mix_source == MixSource.AUTOMIX and song.balance is None
        is_matched = is_equal and not stem.is_gain_limited
        is_matched = is_matched and not is_piece
        if is_matched and expected is not None and abs(expected - level) > _LOUDNESS_TOLERANCE_LU:
            raise InvalidCorpus(
                f"{self._root / stem.path}: loudness {expected:.2f} LUFS, the song's is {level:.2f}"
            )
        if expected is None or expected < _LOWEST_COMPARED_LUFS:
            return
        native = samples.astype(np.float32) / np.float32(FULL_SCALE_16)
        levels = envelope(native, stem.sample_rate)
        measured = integrated_loudness(levels.k_power)
        if measured is None or abs(measured - expected) > _LOUDNESS_TOLERANCE_LU:
            raise InvalidCorpus(
                f"{self._root / stem.path}: loudness {measured} LUFS, recorded {expected:.2f} LUFS"
            )

    def _check_balance(self, text: str, sums: Mapping[str, Int32s]) -> None:
        """Compare the loudness of each group's sum with the levels that were drawn."""
        song, folder = self._job.song, self._root / self._job.song.path
        try:
            drawn = parse_json(text)
        except ValueError as error:
            raise InvalidCorpus(f"{folder}: balance is no JSON: {error}") from error
        if problem := misfit(drawn, dict.fromkeys(sums, float), "balance"):
            raise InvalidCorpus(f"{folder}: {problem}")
        stems: dict[str, list[Stem]] = {}
        for stem in self._job.stems:
            group = group_of(stem.program, stem.rendering_class)
            if stem.balance_lu != drawn[group]:
                raise InvalidCorpus(f"{self._root / stem.path}: balance is not that of its group")
            if not stem.is_silent:
                stems.setdefault(group, []).append(stem)
        wanted_lu = wanted_levels(drawn, list(stems))
        for group, members in stems.items():
            if any(stem.is_gain_limited for stem in members):
                continue
            level = self._job.target_lufs + song.overall_gain_db + wanted_lu[group]
            native = sums[group].astype(np.float32) / np.float32(FULL_SCALE_16)
            found = integrated_loudness(envelope(native, song.sample_rate).k_power)
            if found is None or abs(found - level) > _LOUDNESS_TOLERANCE_LU:
                raise InvalidCorpus(
                    f"{folder}: {group} together have {found} LUFS, their level is {level:.2f}"
                )
            own = [integrated_loudness(stem.k_power, stem.gain_db) for stem in members]
            levels = [loudness for loudness in own if loudness is not None]
            if levels and max(levels) - min(levels) > _LOUDNESS_TOLERANCE_LU:
                raise InvalidCorpus(f"{folder}: {group} are not equally loud")

    def _check_metadata(self, path: Path) -> None:
        song = self._job.song
        content = read_yaml(path, InvalidCorpus)
        if problem := misfit(content, _METADATA):
            raise InvalidCorpus(f"{path}: {problem}")
        if content["UUID"] != song.song_id:
            raise InvalidCorpus(f"{path}: UUID is not the song's id")
        rendered = {name for name, stem in content["stems"].items() if stem["audio_rendered"]}
        recorded = {stem.stem: stem for stem in self._job.stems}
        if rendered != set(recorded):
            raise InvalidCorpus(f"{path}: stems differ from the records'")
        for name, stem in recorded.items():
            ours = content["stemsmith"]["stems"].get(name, {})
            if ours.get("gain_db") != stem.gain_db:
                raise InvalidCorpus(f"{path}: gain of {name} differs from the record's")
