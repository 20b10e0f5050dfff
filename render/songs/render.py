"""Rendering one song: from a MIDI file to a published track folder, or to arrays."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.corpus import PIECES
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.records import Reason, Rejection, Song, Stem
from stemsmith.render.corpus.config import Drums, OnDefect
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score, collector_paused
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.job import RenderedSong, RenderJob
from stemsmith.render.songs.mixdown import Mixdown
from stemsmith.render.songs.players import is_played, played
from stemsmith.render.songs.tars import is_complete, write_song_tar
from stemsmith.render.songs.track_folder import TrackWriter
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.workspace import AT_WORK

__all__ = ["Check", "publish_song", "render_song", "stems_of_song", "write_track"]

Check: TypeAlias = Callable[[Path, Song, Sequence[Stem], Sequence[Stem]], None]

_SILENT: Final = "no stem passes the gate of -70 LUFS"


def render_song(job: RenderJob) -> RenderedSong | Rejection:
    """Render one song and publish its folder; or its tar, if it is the last song of it.

    Parameters
    ----------
    job : RenderJob
        The song, and all decisions about it.

    Returns
    -------
    RenderedSong or Rejection
        A rejection is recorded in the corpus like a song is.

    Raises
    ------
    OSError
        If the corpus cannot be written.
    """
    try:
        song = publish_song(job)
        return RenderedSong(song.n_samples / song.sample_rate)
    except Unusable as finding:
        return _reject(job, finding.reason, finding.detail)
    except Unplayable as finding:
        return _reject(job, Reason.UNPLAYABLE, str(finding))


def publish_song(job: RenderJob, checked: Check | None = None) -> Song:
    """Render one song and publish its folder, or its tar, and its records; or none of them.

    Parameters
    ----------
    job : RenderJob
        The song, and all decisions about it.
    checked : callable, optional
        Is given the folder with the files of the song, and the records of the song, of its stems
        and of the pieces of its drum kits, before anything is published; may raise.

    Returns
    -------
    Song
        The record of the song.

    Raises
    ------
    Unusable, Unplayable
        If the score cannot be used, or its notes cannot be played.
    OSError
        If the corpus cannot be written.
    """
    layout, staging = Layout(place(job.corpus)), place(job.staging)
    with AT_WORK, storage.naming(layout.root), collector_paused():
        staging.mkdir(parents=True, exist_ok=True)
        with storage.staged_folder(staging, job.track) as staged:
            song, stems, pieces = _write_track(job, staged)
            if checked is not None:
                checked(staged, song, stems, pieces)
            _publish(job, layout, staged, song, stems, pieces)
        _finish_tar(job, layout)
    return song


def _publish(
    job: RenderJob,
    layout: Layout,
    staged: Path,
    song: Song,
    stems: Sequence[Stem],
    pieces: Sequence[Stem],
) -> None:
    """Publish the folder of a song that is rendered, and its records."""
    shards.write_records(layout.record(job.track, "stems"), Stem, stems)
    if job.config.drum_pieces:
        shards.write_records(layout.record(job.track, PIECES), Stem, pieces)
    record, folder = layout.record(job.track, "songs"), layout.track(job.split, job.track, job.tar)
    # On a disk the rename says that the song is finished. In a store, where its files appear one
    # after the other, its record does, which is written last.
    is_stored = is_remote(layout.root)
    if not is_stored:
        shards.write_records(record, Song, [song])
    storage.publish_folder(staged, folder)
    if is_stored:
        shards.write_records(record, Song, [song])


def _finish_tar(job: RenderJob, layout: Layout) -> None:
    """Write the tar that a song goes into, if it is the last one of it."""
    if job.tar is not None and is_complete(layout, job.tar):
        write_song_tar(layout, job.tar, place(job.staging), is_lazy=job.is_lazy)


def write_track(job: RenderJob, folder: Path) -> tuple[Song, list[Stem], list[Stem]]:
    """Render one song into a folder, and into no corpus.

    Parameters
    ----------
    job : RenderJob
        The song, and all decisions about it.
    folder : Path
        Where the files of its track folder go.

    Returns
    -------
    song : Song
        Record of the song.
    stems, pieces : list of Stem
        Records of its stems, and of the pieces of its drum kits.

    Raises
    ------
    UsageError
        If the score cannot be used, no stem of it sounds, or its notes cannot be played.
    """
    with AT_WORK, storage.naming(folder), collector_paused():
        try:
            return _write_track(job, folder)
        except Unusable as finding:
            raise UsageError(f"{job.score}: cannot be rendered: {finding.detail}") from finding


def _write_track(job: RenderJob, staged: Path) -> tuple[Song, list[Stem], list[Stem]]:
    data, score = _read_score(job)
    folders = [slakh.STEMS, "MIDI"]
    folders += [slakh.DRY] * job.config.dry + [PIECES] * job.config.drum_pieces
    for name in folders:
        (staged / name).mkdir(parents=True)
    mixdown = Mixdown(job, score, staged)
    mix = mixdown.mix()
    if mix is None:
        raise Unusable(Reason.SILENT, _SILENT)
    return mixdown.write(mix, TrackWriter(job, data, score, staged, mixdown.n_samples))


def stems_of_song(job: RenderJob) -> dict[str, Float32s]:
    """Render one song into memory.

    Parameters
    ----------
    job : RenderJob
        The song, and all decisions about it; nothing is written to its corpus.

    Returns
    -------
    dict of str to numpy.ndarray
        (1, n_samples) float32 for each stem by its name, at the level it has in a corpus.

    Raises
    ------
    UsageError
        If the file cannot be used, its notes cannot be played, or no stem of it sounds.
    """
    path = job.score
    with AT_WORK, collector_paused(), tempfile.TemporaryDirectory() as folder:
        try:
            _, score = _read_score(job)
        except Unusable as finding:
            raise UsageError(f"{path}: cannot be used: {finding.detail}") from finding
        unaudited = replace(job.config, audit=False, on_defect=OnDefect.KEEP, dry=False)
        mixdown = Mixdown(replace(job, config=unaudited), score, Path(folder))
        mix = mixdown.mix()
        if mix is None:
            raise UsageError(f"{path}: {_SILENT}")
        return dict(mixdown.stems(mix))


def _read_score(job: RenderJob) -> tuple[bytes, Score]:
    config = job.config
    is_moved = is_played(config)
    data, score = load_score(
        job.score,
        config.max_duration_s,
        are_drums_joined=config.drums is Drums.JOINED,
        is_fine=is_moved,
    )
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != job.song.md5:
        changed = Unusable(Reason.CHANGED, "the file has changed since it was scanned")
        recheck(changed)
        raise changed
    return data, played(score, config, job.song.md5) if is_moved else score


def _reject(job: RenderJob, reason: Reason, detail: str) -> Rejection:
    layout = Layout(place(job.corpus))
    rejection = Rejection(job.song.path, "render", reason, detail)
    with storage.naming(layout.root):
        layout.reject(job.track, rejection)
        _finish_tar(job, layout)
    return rejection
