"""Rendering excerpts of one score, and the records that describe them."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Bools, Int16s
from stemsmith.manifests.audio.flac import SampleHash, encode_flac
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.matched import MatchedStem
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import inst_class_of
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.matcher import WantedStem
from stemsmith.render.matched.excerpt import Excerpt, excerpt_of
from stemsmith.render.matched.grid import CorpusScore, StemToMatch
from stemsmith.render.midi.score import Score
from stemsmith.render.sound.heard import expected_levels, heard_notes
from stemsmith.render.sound.player import infinite, play
from stemsmith.render.sound.workspace import AT_WORK, shared_workspace

__all__ = ["MatchJob", "MatchSpec", "RenderedMatches", "render_matches"]

_PEAK_DBFS: Final = -0.1  # what would clip is written with less gain


class MatchSpec(NamedTuple):
    """An excerpt to render.

    Attributes
    ----------
    wanted : WantedStem
        The excerpt that is wanted.
    stem : StemToMatch
        What it is an excerpt of.
    """

    wanted: WantedStem
    stem: StemToMatch


@dataclass(frozen=True, slots=True)
class MatchJob:
    """Some excerpts of one score.

    Attributes
    ----------
    score : CorpusScore
        Score that all of them are from.
    specs : tuple of MatchSpec
        The excerpts, in order of their names.
    folder, staging, record : str
        Where the files go, where they lie until they are complete, and the file of the records,
        which is written last.
    """

    score: CorpusScore
    specs: tuple[MatchSpec, ...]
    folder: str
    staging: str
    record: str


@dataclass(frozen=True, slots=True)
class RenderedMatches:
    """What `render_matches` reports of a finished job: how many excerpts, and seconds of audio."""

    n_stems: int
    audio_s: float


def render_matches(job: MatchJob) -> RenderedMatches:
    """Render the excerpts of a job, and write their records last.

    Raises
    ------
    InvalidCorpus
        If the score is not that of the song.
    UsageError
        If a patch cannot play its part.
    OSError
        If the files cannot be written.
    """
    with AT_WORK, storage.naming(place(job.folder)):
        score = job.score.read()
        for stem in {spec.stem.part_index: spec.stem for spec in job.specs}.values():
            if stem.pan is not None:
                score.place(stem.part_index, stem.pan)
        records = [_render(job, score, spec) for spec in job.specs]
        shards.write_records(place(job.record), MatchedStem, records)
    return RenderedMatches(len(records), sum(r.n_samples / r.sample_rate for r in records))


def _render(job: MatchJob, score: Score, spec: MatchSpec) -> MatchedStem:
    wanted = spec.wanted
    step = wanted.sample_rate // ENVELOPE_HZ
    excerpt = excerpt_of(
        score,
        spec.stem.part_index,
        wanted.transposition,
        wanted.tempo_map,
        wanted.sample_rate,
        (wanted.n_steps + 1) * step,
        spec.stem.patch.samples_at,
    )
    n_synthesised = excerpt.n_before + (wanted.n_steps + 1) * step
    shape = spec.stem.n_channels, n_synthesised
    native = shared_workspace().take(4 * math.prod(shape)).view(np.float32).reshape(shape)
    table = np.stack([excerpt.onset, excerpt.offset, excerpt.pitch, excerpt.velocity], axis=1)
    try:
        spans = play(
            spec.stem.patch,
            excerpt.events,
            excerpt.frames,
            lambda: (table, None),
            native,
            wanted.sample_rate,
            mono_from=spec.stem.mono_from,
        )
    except UsageError as error:
        raise UsageError(f"{job.score.path}: {error}") from error
    peak = float(np.abs(native).max(initial=0.0))
    if not math.isfinite(peak):
        raise infinite(spec.stem.patch)
    gain_db = spec.stem.gain_db
    if peak:
        gain_db = min(gain_db, math.floor(1e4 * (_PEAK_DBFS - 20 * math.log10(peak))) / 1e4)
    expected = expected_levels(
        excerpt.onset,
        excerpt.pitch,
        excerpt.velocity,
        spec.stem.patch.compass,
        excerpt.events,
        excerpt.frames,
        wanted.sample_rate,
    )
    expected = expected._replace(level_db=np.where(excerpt.is_silenced, -np.inf, expected.level_db))
    heard = heard_notes(expected, native, spans, gain_db, wanted.sample_rate)
    first = excerpt.n_before - step
    factor = np.float64(db_to_linear(gain_db) * FULL_SCALE_16)
    samples = np.rint(native[:, first:] * factor).astype(np.int16)
    return _record(job, spec, excerpt, samples, gain_db, heard, first)


def _record(
    job: MatchJob,
    spec: MatchSpec,
    excerpt: Excerpt,
    samples: Int16s,
    gain_db: float,
    heard: Bools,
    first: int,
) -> MatchedStem:
    """Write the file of an excerpt; return its record."""
    wanted, stem = spec.wanted, spec.stem
    encoded = encode_flac(samples, wanted.sample_rate, n_bits=16)
    path = place(job.folder) / wanted.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.atomic_file(path, place(job.staging)) as file:
        file.write(encoded)
    samples_hash = SampleHash(n_bits=16)
    samples_hash.update(samples)
    peak = int(np.abs(samples.astype(np.int32)).max(initial=0))
    n_samples = samples.shape[1]
    onset, offset = excerpt.onset - first, excerpt.offset - first
    is_inside = (offset > 0) & (onset < n_samples)
    return MatchedStem(
        stem_id=wanted.stem_id,
        song_id=wanted.song_id,
        stem=wanted.stem,
        original_sha256=wanted.original_sha256,
        transposition=wanted.transposition,
        tempo_map=json.dumps(wanted.tempo_map),
        program=stem.program,
        inst_class=inst_class_of(stem.program),
        rendering_class=stem.patch.rendering_class,
        patch=stem.patch.name,
        path=wanted.path,
        sample_rate=wanted.sample_rate,
        n_channels=len(samples),
        n_samples=n_samples,
        gain_db=gain_db,
        peak_dbfs=round(20 * math.log10(peak / FULL_SCALE_16), 4) if peak else None,
        n_notes=int(is_inside.sum()),
        sha256=hashlib.sha256(encoded).hexdigest(),
        samples_sha256=samples_hash.hexdigest(),
        note_onset=onset[is_inside].clip(min=0).astype(np.int32),
        note_offset=offset[is_inside].clip(max=n_samples).astype(np.int32),
        note_pitch=excerpt.pitch[is_inside],
        note_velocity=excerpt.velocity[is_inside],
        note_heard=heard[is_inside],
    )
