"""Rendering the songs of a pack again: each is proved as soon as it is made."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from stemsmith.manifests import shards
from stemsmith.manifests.corpus import PIECES
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Song, Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.render.again.pack import PackedSong
from stemsmith.render.again.proof import (
    check_files,
    check_records,
    check_sum,
    files_of_renditions,
    files_of_song,
    is_sum_of_stems,
)
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.renditions.render import RefusedStems, StemJob, render_stems, stem_path
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.render import publish_song
from stemsmith.render.sound.sample_folder import Unplayable

__all__ = [
    "ProvedSong",
    "SongToRestore",
    "StemsToRestore",
    "restore_song",
    "restore_stems",
    "why_not_the_same",
]

R = TypeVar("R", Song, Stem)

_SAME: Final = (
    "; no version differs: the processor may, a library that the pack does not name, or stemsmith "
    "between two versions"
)
_PLUGINS: Final = "; VST3 instruments play it, which need not play the same twice"


@dataclass(frozen=True, slots=True)
class SongToRestore:
    """A song of a pack.

    Attributes
    ----------
    job : RenderJob
        All decisions about the song.
    packed : PackedSong
        What it must become.
    differences : str
        What differs here from what made the corpus, for people; empty if nothing does.
    """

    job: RenderJob
    packed: PackedSong
    differences: str


@dataclass(frozen=True, slots=True)
class StemsToRestore:
    """Stems of a score of a pack of renditions, all at one tempo; as `SongToRestore`."""

    job: StemJob
    packed: PackedSong
    differences: str


@dataclass(frozen=True, slots=True)
class ProvedSong:
    """What is reported of a song that is the packed one.

    Attributes
    ----------
    audio_s : float
        Length of what was rendered in seconds.
    n_encoded_anew : int
        Number of FLAC files whose bytes are not those of the packed ones, while their samples are.
    """

    audio_s: float
    n_encoded_anew: int


def restore_song(task: SongToRestore) -> ProvedSong:
    """Render a song unless that is done, prove that it is the packed one, and publish it then.

    What is in the corpus is proved, so that nothing has to be removed again, of a tar or a store.

    Raises
    ------
    InvalidCorpus
        If it is not, naming the file that differs and what may be why. Nothing of it is left.
    OSError
        If the corpus cannot be written.
    """
    job, packed = task.job, task.packed
    layout = Layout(place(job.corpus))
    if layout.is_finished(job.split, job.track, job.tar):
        return _published(layout, job, packed)
    n_encoded_anew = 0

    def prove(folder: Path, song: Song, stems: Sequence[Stem], pieces: Sequence[Stem]) -> None:
        nonlocal n_encoded_anew
        try:
            n_encoded_anew = _prove(layout.root, packed, folder, song, stems, pieces)
        except StemsmithError as error:
            raise InvalidCorpus(f"{error}{_why_of(task)}") from error

    try:
        song = publish_song(job, prove)
    except (Unusable, Unplayable) as finding:
        why = f"{Reason.UNPLAYABLE}: {finding}"
        if isinstance(finding, Unusable):
            why = f"{finding.reason}: {finding.detail}"
        raise InvalidCorpus(
            f"{packed.name}: cannot be rendered here: {why}{_why_of(task)}"
        ) from finding
    return ProvedSong(song.n_samples / song.sample_rate, n_encoded_anew)


def _prove(
    root: Path,
    packed: PackedSong,
    folder: Path,
    song: Song,
    stems: Sequence[Stem],
    pieces: Sequence[Stem],
) -> int:
    """Prove a song that is not published yet; return how many FLAC files have other bytes."""
    (song,) = _as_recorded(Song, [song])
    stems, pieces = _as_recorded(Stem, stems), _as_recorded(Stem, pieces)
    found = files_of_song(song, stems, pieces)
    anew = list(check_files(root, packed, found, n_bits=16, folder=folder))
    if slakh.MIX in anew and packed.files[slakh.MIX].samples_sha256 is None:
        if not is_sum_of_stems(song):
            raise InvalidCorpus(f"{root / song.mix_path}: the pack has no hash of its samples")
        check_sum(root, song, stems, folder)
    check_records(packed, (song, *stems, *pieces))
    return len(anew)


def _as_recorded(record_type: type[R], records: Sequence[R]) -> list[R]:
    """Return records as they are read again: their hash is of that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "records.parquet")
        shards.write_records(path, record_type, records)
        return shards.read_records(path, record_type)


def _published(layout: Layout, job: RenderJob, packed: PackedSong) -> ProvedSong:
    """Return what is reported of a song that was proved before."""
    (song,) = shards.read_records(layout.record(packed.track, "songs"), Song)
    stems = shards.read_records(layout.record(packed.track, "stems"), Stem)
    pieces: list[Stem] = []
    if job.config.drum_pieces:
        pieces = shards.read_records(layout.record(packed.track, PIECES), Stem)
    found = files_of_song(song, stems, pieces).items()
    n_encoded_anew = sum(file.sha256 != packed.files[name].sha256 for name, file in found)
    return ProvedSong(song.n_samples / song.sample_rate, n_encoded_anew)


def _why_of(task: SongToRestore | StemsToRestore) -> str:
    job = task.job
    several = job.patches if isinstance(job, RenderJob) else [spec.patch for spec in job.specs]
    is_plugin = any(patch is not None and patch.instrument is not None for patch in several)
    return why_not_the_same(task.differences, has_plugins=is_plugin)


def why_not_the_same(differences: str, *, has_plugins: bool = False) -> str:
    """Return the end of a line that says why something may not be what was packed.

    Parameters
    ----------
    differences : str
        Versions that differ, for people; empty if none does.
    has_plugins : bool
        Whether VST3 instruments play it.
    """
    of_plugins = _PLUGINS if has_plugins else ""
    return f"; versions differ: {differences}{of_plugins}" if differences else of_plugins or _SAME


def restore_stems(task: StemsToRestore) -> ProvedSong:
    """Render stems of renditions unless that is done, and prove that they are the packed ones.

    Raises
    ------
    InvalidCorpus
        If they are not, naming the file that differs and what may be why. They are removed then.
    OSError
        If the corpus cannot be written.
    """
    job, packed, root = task.job, task.packed, place(task.job.corpus)
    record = place(job.record)
    if not record.exists():
        made = render_stems(job)
        if isinstance(made, RefusedStems):
            reason, detail = made.rejection.reason, made.rejection.detail
            line = f"{packed.name}: cannot be rendered here: {reason}: {detail}"
            raise InvalidCorpus(line + _why_of(task))
    try:
        stems = shards.read_records(record, RenditionStem)
        files = files_of_renditions(stems)
        wanted = [stem_path(spec, end) for end in ("mid", "flac") for spec in job.specs]
        anew = list(check_files(root, packed, files, n_bits=24, of=wanted))
    except StemsmithError as error:
        record.unlink(missing_ok=True)
        for spec in job.specs:
            for suffix in ("flac", "mid"):
                (root / stem_path(spec, suffix)).unlink(missing_ok=True)
        raise InvalidCorpus(f"{error}{_why_of(task)}") from error
    audio_s = sum(stem.n_samples / stem.sample_rate for stem in stems)
    return ProvedSong(audio_s, len(anew))
