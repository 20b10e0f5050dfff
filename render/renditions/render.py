"""Synthesising the stems of a piece at one tempo, each once, for all renditions that use it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Bools, Float32s
from stemsmith.manifests.audio.flac import SampleHash, encode_flac
from stemsmith.manifests.audio.read import FULL_SCALE_24
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import inst_class_of
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.loudness import (
    ENVELOPE_HZ,
    Envelope,
    envelope,
    integrated_loudness,
)
from stemsmith.render.corpus.config import Drums, Pan
from stemsmith.render.midi.notes import sounding_midi
from stemsmith.render.midi.panorama import place_parts
from stemsmith.render.midi.playing import AS_WRITTEN, Dynamic
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score, TempoMap
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.renditions.aligned import aligned_notes
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.renditions.factors import Tempo
from stemsmith.render.renditions.performance import PartNotes, Performance, TimedNotes, perform
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.sound.heard import expected_levels, heard_notes
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.player import attack_of, infinite, play
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.synth import Spans
from stemsmith.render.sound.workspace import AT_WORK, shared_workspace

__all__ = [
    "STEMS_FOLDER",
    "RefusedStems",
    "RenderedStems",
    "StemJob",
    "StemSpec",
    "render_stems",
    "stem_path",
    "write_stem",
]

STEMS_FOLDER: Final = "stems"


@dataclass(frozen=True, slots=True)
class StemSpec:
    """One stem to render.

    Attributes
    ----------
    stem_id : str
        Hash of all that decides its audio.
    part_index : int
        Index of the part in the score.
    patch : Patch
        Patch that plays it: its timbre.
    dynamic : Dynamic
        Dynamic it is played at.
    dynamic_changes : str
        What the dynamic changes in this patch, as in `RenditionStem`.
    """

    stem_id: str
    part_index: int
    patch: Patch
    dynamic: Dynamic
    dynamic_changes: str


@dataclass(frozen=True, slots=True)
class StemJob:
    """The stems of one piece at one tempo; all decisions are made.

    Attributes
    ----------
    song_id, notes_sha256, track, split, source : str
        MD5 and note hash of the score, label, split, path of the score below `midi_root`.
    midi_root, corpus, staging, record : str
        Folders, the last one of files that are not complete, and the file the records go to.
    tempo : Tempo
        Tempo that all of them are played at.
    specs : tuple of StemSpec
        The stems to render.
    config : RenditionConfig
        Options of the corpus.
    licence, duplicate_group : str or None
        As the records of the stems have them.
    score_path : str or None
        Where the score lies below `midi_root`, if not at the path that records have.
    is_lazy : bool
        Whether audio is hashed and not kept.
    """

    song_id: str
    notes_sha256: str
    track: str
    split: str
    source: str
    midi_root: str
    corpus: str
    staging: str
    record: str
    tempo: Tempo
    specs: tuple[StemSpec, ...]
    config: RenditionConfig
    licence: str | None
    duplicate_group: str | None
    score_path: str | None = None
    is_lazy: bool = False

    @property
    def score(self) -> Path:
        """The file of the score."""
        return place(self.midi_root) / (self.score_path or self.source)


@dataclass(frozen=True, slots=True)
class RenderedStems:
    """What `render_stems` reports of a finished job: how many stems, and seconds of audio."""

    n_stems: int
    audio_s: float


@dataclass(frozen=True, slots=True)
class RefusedStems:
    """What `render_stems` reports of a piece that it cannot render.

    Attributes
    ----------
    record : str
        The file that the records of the job would have gone to.
    rejection : Rejection
        Why the piece is left out.
    """

    record: str
    rejection: Rejection


def render_stems(job: StemJob) -> RenderedStems | RefusedStems:
    """Render the stems of a job, and write their records last.

    Parameters
    ----------
    job : StemJob
        The stems of one piece at one tempo, and all decisions about them.

    Returns
    -------
    RenderedStems or RefusedStems
        A rejection is of the whole piece; it is not recorded here.

    Raises
    ------
    UsageError
        If a stem would clip, saying which headroom it takes.
    OSError
        If the corpus cannot be written.
    """
    with AT_WORK, storage.naming(place(job.corpus)):
        try:
            studio = _studio_of(job)
        except Unusable as finding:
            return _refused(job, finding.reason, finding.detail)
        try:
            records = [studio.render(spec) for spec in job.specs]
        except Unplayable as finding:
            return _refused(job, Reason.UNPLAYABLE, str(finding))
        shards.write_records(place(job.record), RenditionStem, records)
    return RenderedStems(len(records), sum(r.n_samples / r.sample_rate for r in records))


def write_stem(job: StemJob, stem_id: str) -> RenditionStem:
    """Render one of the stems of a job.

    Parameters
    ----------
    job : StemJob
        All stems of a piece at one tempo, for what they share; the folder of its corpus has one
        for staging.
    stem_id : str
        Name of the stem that is written.

    Returns
    -------
    RenditionStem
        Record of the stem.

    Raises
    ------
    UsageError
        If the score cannot be used, or its notes cannot be played.
    """
    (spec,) = (spec for spec in job.specs if spec.stem_id == stem_id)
    with AT_WORK, storage.naming(place(job.corpus)):
        try:
            return _studio_of(job).render(spec)
        except Unusable as finding:
            raise UsageError(f"{job.score}: cannot be rendered: {finding.detail}") from finding


def _studio_of(job: StemJob) -> _Studio:
    data, score = load_score(
        job.score,
        job.config.max_duration_s,
        are_drums_joined=job.config.drums is Drums.JOINED,
    )
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != job.song_id:
        changed = Unusable(Reason.CHANGED, "changed since it was scanned")
        recheck(changed)
        raise changed
    return _Studio(job, score)


def _refused(job: StemJob, reason: Reason, detail: str) -> RefusedStems:
    return RefusedStems(job.record, Rejection(job.source, "render", reason, detail))


class _Studio:
    """Plays the parts of one piece at one tempo."""

    def __init__(self, job: StemJob, score: Score) -> None:
        self._job, self._score = job, score
        self._tempo_map: TempoMap = job.tempo.of(
            score.tempo_map, job.config.tempo_mode, score.first_tick
        )
        self._sample_rate = job.config.sample_rate
        self._pans: dict[int, int] = {}
        if job.config.pan is Pan.DRAWN:
            placed = [spec.part_index for spec in job.specs if not spec.patch.folder]
            self._pans = place_parts(score, placed, job.config.seed, job.song_id)
        self._aligned = self._read_aligned()
        ends_s = [float(notes.offset_s.max()) for notes in self._aligned.values()]
        written_s = max(ends_s, default=float(self._tempo_map.seconds(score.end_tick)))
        limit_s = job.config.max_duration_s
        if written_s > limit_s:  # a very slow tempo, or a first one of microseconds, scaled
            detail = f"lasts {written_s:.0f} s at tempo {job.tempo.name}, more than {limit_s:g} s"
            raise Unusable(Reason.TOO_LONG, detail)
        # All stems are equally long, whatever their deviations are.
        length_s = written_s + 3 * job.config.deviations.onset_s + job.config.tail_s
        steps = math.ceil(round(length_s * ENVELOPE_HZ, 6))
        self._n_samples = steps * (self._sample_rate // ENVELOPE_HZ)

    def _read_aligned(self) -> dict[int, TimedNotes]:
        """Return the aligned notes of every part that is rendered; none without `aligned`."""
        folder, drums = self._job.config.aligned, self._job.config.drums
        if folder is None:
            return {}
        source, parts = self._job.source, self._score.parts
        rendered = sorted({spec.part_index for spec in self._job.specs})
        found = {
            part_index: aligned_notes(
                Path(folder), source, parts, part_index, are_drums_joined=drums is Drums.JOINED
            )
            for part_index in rendered
        }
        for part_index, notes in found.items():
            if not len(notes.pitch):
                raise UsageError(
                    f"{folder}: no aligned note of {source}: {slakh.stem_name(part_index)}"
                )
        return found

    def render(self, spec: StemSpec) -> RenditionStem:
        """Render one stem, write its files, and return its record."""
        performance = self._performance(spec)
        shape = self._job.config.n_channels, self._n_samples
        native = shared_workspace().take(4 * math.prod(shape)).view(np.float32).reshape(shape)
        spans = self._play(spec, performance, native)
        levels = envelope(native, self._sample_rate, spans)
        heard = self._heard(spec, performance, native, spans)
        flac = self._path(spec, "flac")
        midi = self._path(spec, "mid")
        flac.parent.mkdir(parents=True, exist_ok=True)
        samples, peak_dbfs = self._quantised(native, levels.peak, spec)
        samples_hash = SampleHash(n_bits=24)
        samples_hash.update(samples)
        hashes = {
            "sha256": self._write(flac, encode_flac(samples, self._sample_rate, n_bits=24)),
            "midi_sha256": self._write(midi, self._sounding(spec, performance.notes, heard)),
            "samples_sha256": samples_hash.hexdigest(),
        }
        return self._record(spec, performance, heard, levels, peak_dbfs, hashes)

    def _heard(
        self, spec: StemSpec, performance: Performance, native: Float32s, spans: Spans
    ) -> Bools:
        notes, sample_rate = performance.notes, self._sample_rate
        expected = expected_levels(
            notes.onset,
            notes.pitch,
            notes.velocity,
            spec.patch.compass,
            performance.events,
            performance.frames,
            sample_rate,
            self._mono_from(spec, notes),
        )
        has_sound = spec.patch.has_sound_for(notes.pitch, notes.velocity)
        level_db = np.where(has_sound, expected.level_db, -np.inf)
        expected = expected._replace(level_db=level_db)
        return heard_notes(expected, native, spans, -self._job.config.headroom_db, sample_rate)

    def _write(self, path: Path, content: bytes) -> str:
        """Write a file that a worker which was given up may write too; return its SHA-256.

        Audio that is not kept is not written.
        """
        if self._job.is_lazy and path.suffix == slakh.AUDIO:
            return hashlib.sha256(content).hexdigest()
        with storage.atomic_file(path, place(self._job.staging)) as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    def _play(self, spec: StemSpec, performance: Performance, out: Float32s) -> Spans:
        notes = performance.notes
        table = np.stack([notes.onset, notes.offset, notes.pitch, notes.velocity], axis=1)
        try:
            return play(
                spec.patch,
                performance.events,
                performance.frames,
                lambda: (table, notes.cents),
                out,
                self._sample_rate,
                _recorded_dynamic(spec),
                self._mono_from(spec, notes) or MonoFrom.SUM,
            )
        except Unplayable:
            raise
        except UsageError as error:
            raise UsageError(f"{self._job.source}: {error}") from error

    def _attack_s(self, spec: StemSpec, notes: PartNotes) -> float:
        middle = int(np.argsort(notes.pitch, kind="stable")[len(notes.pitch) // 2])  # a real note
        pitch, velocity = int(notes.pitch[middle]), int(notes.velocity[middle])
        dynamic = _recorded_dynamic(spec)
        mono_from = self._mono_from(spec, notes) or MonoFrom.SUM
        return attack_of(spec.patch, pitch, velocity, dynamic, self._sample_rate, mono_from)

    def _mono_from(self, spec: StemSpec, notes: PartNotes) -> MonoFrom | None:
        """Return what of a patch's two channels a stem is; None if both, or no preset plays it."""
        if self._job.config.n_channels == 2:
            return None
        return spec.patch.mono_from(notes.pitch, notes.velocity)

    def _path(self, spec: StemSpec, suffix: str) -> Path:
        return place(self._job.corpus) / stem_path(spec, suffix)

    def _performance(self, spec: StemSpec) -> Performance:
        job, config = self._job, self._job.config
        return perform(
            self._score,
            spec.part_index,
            self._tempo_map,
            spec.dynamic,
            config.deviations,
            self._sample_rate,
            rng_for(config.seed, job.song_id, spec.part_index, "deviations"),
            self._aligned.get(spec.part_index),
        )

    def _quantised(
        self, native: Float32s, peak: float, spec: StemSpec
    ) -> tuple[npt.NDArray[np.int32], float | None]:
        headroom_db = self._job.config.headroom_db
        if not math.isfinite(peak):
            raise infinite(spec.patch)
        if not peak:
            return np.zeros(native.shape, np.int32), None
        peak_dbfs = round(20 * math.log10(peak) - headroom_db, 4)
        if peak_dbfs > -0.001:
            raise UsageError(
                f"{self._job.source}: {slakh.stem_name(spec.part_index)} with {spec.patch.name} "
                f"peaks {peak_dbfs:.1f} dB above full scale; "
                f"use --headroom {math.ceil(headroom_db + peak_dbfs + 1)}, in another folder"
            )
        factor = db_to_linear(-headroom_db) * FULL_SCALE_24
        return np.rint(native * np.float64(factor)).astype(np.int32), peak_dbfs

    def _sounding(self, spec: StemSpec, notes: PartNotes, heard: Bools) -> bytes:
        """Return the notes that are heard as MIDI."""
        part = self._score.parts[spec.part_index]
        return sounding_midi(
            notes.onset[heard],
            notes.offset[heard],
            notes.pitch[heard],
            notes.velocity[heard],
            program=part.kit if part.is_drum else part.program,
            is_drum=part.is_drum,
            name=part.name,
            sample_rate=self._sample_rate,
        )

    def _record(
        self,
        spec: StemSpec,
        performance: Performance,
        heard: Bools,
        levels: Envelope,
        peak_dbfs: float | None,
        hashes: dict[str, str],
    ) -> RenditionStem:
        job, part = self._job, self._score.parts[spec.part_index]
        notes = performance.notes
        sounding = spec.patch.sounding_pitch(notes.pitch, notes.velocity)
        if sounding is not None:
            tuning = notes.cents / 100
            if spec.patch.folder is None:
                tuning = tuning + performance.tuning
            sounding = (sounding + tuning).astype(np.float32)
        return RenditionStem(
            stem_id=spec.stem_id,
            song_id=job.song_id,
            track=job.track,
            split=job.split,
            stem=slakh.stem_name(spec.part_index),
            notes_sha256=job.notes_sha256,
            program=part.program,
            inst_class=inst_class_of(part.program),
            rendering_class=spec.patch.rendering_class,
            patch=spec.patch.name,
            tempo=job.tempo.name,
            dynamic=spec.dynamic.name,
            dynamic_changes=spec.dynamic_changes,
            attack_s=self._attack_s(spec, notes),
            path=stem_path(spec, "flac"),
            midi_path=stem_path(spec, "mid"),
            sample_rate=self._sample_rate,
            n_samples=self._n_samples,
            loudness_lufs=integrated_loudness(levels.k_power),
            gain_db=-job.config.headroom_db,
            peak_dbfs=peak_dbfs,
            n_notes=len(notes.pitch),
            k_power=levels.k_power,
            power=levels.power,
            note_onset=notes.onset.astype(np.int32),
            note_offset=np.minimum(notes.offset, self._n_samples).astype(np.int32),
            note_pitch=notes.pitch,
            note_velocity=notes.velocity,
            note_cents=notes.cents,
            licence=job.licence,
            duplicate_group=job.duplicate_group,
            note_heard=heard,
            note_sounding_pitch=sounding,
            n_notes_unheard=int((~heard).sum()),
            n_channels=job.config.n_channels,
            k_power_mono=levels.k_power_mono if job.config.n_channels == 2 else None,
            power_mono=levels.power_mono if job.config.n_channels == 2 else None,
            mono_from=self._mono_from(spec, notes),
            pan=None if spec.patch.folder else self._pans.get(spec.part_index),
            **hashes,
        )


def _recorded_dynamic(spec: StemSpec) -> str | None:
    """Return the dynamic whose recordings are taken; None if the velocities choose."""
    return None if spec.dynamic.name == AS_WRITTEN else spec.dynamic.name


def stem_path(spec: StemSpec, suffix: str) -> str:
    """Return the path of a stem's file below its corpus."""
    return f"{STEMS_FOLDER}/{spec.stem_id[:2]}/{spec.stem_id}.{suffix}"
