"""Rendering one song: from a MIDI file to a published track folder."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

from stemsmith.manifests import shards, storage
from stemsmith.manifests.records import Reason, Rejection, Song, Stem
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import collector_paused
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.songs.job import RenderedSong, SongJob
from stemsmith.render.songs.mixdown import Mixdown
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.workspace import AT_WORK

__all__ = ["run"]


def run(job: SongJob) -> RenderedSong | Rejection:
    """Render one song and publish its folder.

    Parameters
    ----------
    job : SongJob
        The song.

    Returns
    -------
    RenderedSong or Rejection
        A rejection is recorded in the corpus like a song is.

    Raises
    ------
    OSError
        If the corpus cannot be written.
    """
    with AT_WORK, storage.naming(Path(job.corpus)), collector_paused():
        return _run(job)


def _run(job: SongJob) -> RenderedSong | Rejection:
    layout = Layout(Path(job.corpus))
    try:
        data, score = load_score(Path(job.midi_root) / job.song.path, job.config.max_duration_s)
    except Unusable as finding:
        return _reject(job, layout, finding.reason, finding.detail)
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != job.song.md5:
        return _reject(job, layout, Reason.CHANGED, "the file has changed since it was scanned")
    staged = layout.staging / f"{job.track}-{uuid.uuid4().hex}"
    (staged / "stems").mkdir(parents=True)
    (staged / "MIDI").mkdir()
    try:
        records = Mixdown(job, data, score, staged).render()
        if records is None:
            return _reject(job, layout, Reason.SILENT, "no stem passes the gate of -70 LUFS")
        song, stems = records
        shards.write_records(layout.record(job.track, "stems"), Stem, stems)
        shards.write_records(layout.record(job.track, "songs"), Song, [song])
        storage.publish_folder(staged, layout.track(job.split, job.track))
    except Unplayable as finding:
        return _reject(job, layout, Reason.UNPLAYABLE, str(finding))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return RenderedSong(song.n_samples / song.sample_rate)


def _reject(job: SongJob, layout: Layout, reason: Reason, detail: str) -> Rejection:
    rejection = Rejection(job.song.path, "render", reason, detail)
    shards.write_records(layout.record(job.track, "rejections"), Rejection, [rejection])
    return rejection
