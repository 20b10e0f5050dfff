"""Rendering one song: from a MIDI file to a complete Slakh track folder and its records."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests import audio, shards, storage
from stemsmith.manifests.audio import FULL_SCALE_16
from stemsmith.manifests.programs import inst_class_of
from stemsmith.manifests.records import Part, Reason, Rejection, ScannedSong, Song, Stem
from stemsmith.mixing.automix import (
    StemGain,
    db_to_linear,
    quantise,
    stem_gain,
    uniform_gain_db,
)
from stemsmith.mixing.loudness import ENVELOPE_HZ, Envelope, envelope, integrated_loudness
from stemsmith.render import slakh
from stemsmith.render.config import MixSource, RenderConfig
from stemsmith.render.effects import apply_effects, play_instrument
from stemsmith.render.inventory import load_score
from stemsmith.render.layout import Layout
from stemsmith.render.midi import Score
from stemsmith.render.patches import Patch
from stemsmith.render.smf import Event, Unusable
from stemsmith.render.synth import Spans, on_grid, shared_synth
from stemsmith.render.workspace import shared_workspace

__all__ = ["RenderedSong", "SongJob", "run"]

Int16s = npt.NDArray[np.int16]
Float32s = npt.NDArray[np.float32]

_PIECE: Final = 1 << 16  # samples handled at a time, so that they stay in the cache
_MAX_BYTES_IN_MEMORY: Final = 384 << 20  # of stems between the two passes; beyond, on disk


@dataclass(frozen=True, slots=True)
class SongJob:
    """Everything `run` needs; all decisions are made.

    Attributes
    ----------
    song : ScannedSong
        As scanned.
    track, split : str
        Label and split.
    patches : tuple of Patch or None
        Of each part; None is not rendered.
    midi_root, corpus : str
        Folders.
    soundfonts : tuple of str
        All of the bank, for the unsplit mixture.
    config : RenderConfig
        Options.
    """

    song: ScannedSong
    track: str
    split: str
    patches: tuple[Patch | None, ...]
    midi_root: str
    corpus: str
    soundfonts: tuple[str, ...]
    config: RenderConfig


@dataclass(frozen=True, slots=True)
class RenderedSong:
    """What `run` reports of a finished song."""

    track: str
    n_stems: int
    duration_s: float


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
    layout = Layout(Path(job.corpus))
    try:
        data, score = load_score(Path(job.midi_root) / job.song.path, job.config.max_duration_s)
    except Unusable as finding:
        return _reject(job, layout, finding.reason, finding.detail)
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != job.song.md5:
        return _reject(job, layout, Reason.CHANGED, "the file has changed since it was scanned")
    staged = layout.staging / f"{job.track}-{os.getpid()}"
    (staged / "stems").mkdir(parents=True)
    (staged / "MIDI").mkdir()
    try:
        renderer = _SongRenderer(job, data, score, staged)
        records = renderer.render()
        if records is None:
            return _reject(job, layout, Reason.SILENT, "no stem passes the gate of -70 LUFS")
        song, stems = records
        shards.write_records(layout.record(job.track, "stems"), Stem, stems)
        shards.write_records(layout.record(job.track, "songs"), Song, [song])
        storage.publish_folder(staged, layout.track(job.split, job.track))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return RenderedSong(job.track, song.n_stems, song.n_samples / song.sample_rate)


def _reject(job: SongJob, layout: Layout, reason: Reason, detail: str) -> Rejection:
    rejection = Rejection(job.song.path, "render", reason, detail)
    shards.write_records(layout.record(job.track, "rejections"), Rejection, [rejection])
    return rejection


@dataclass(slots=True)
class _RenderedPart:
    """One part between the two passes."""

    k: int
    part: Part
    patch: Patch
    native: Float32s | Path  # a file where memory would not do
    spans: Spans
    levels: Envelope
    loudness_lufs: float | None
    gain: StemGain


class _SongRenderer:
    """Renders one song in two passes.

    The first synthesises and measures each part and adds it to the mixture; the second, when the
    uniform gain is known, quantises and writes.
    """

    def __init__(self, job: SongJob, data: bytes, score: Score, staged: Path) -> None:
        self._job, self._data, self._score, self._staged = job, data, score, staged
        config = self._config = job.config
        steps = math.ceil(round((score.duration_s + config.tail_s) * ENVELOPE_HZ, 6))
        self._n_samples = steps * (config.sample_rate // ENVELOPE_HZ)
        n_rendered = sum(patch is not None for patch in job.patches)
        self._fits_in_memory = n_rendered * self._n_samples * 4 <= _MAX_BYTES_IN_MEMORY
        self._workspace = shared_workspace()
        self._is_unsplit = config.mix_source is MixSource.UNSPLIT

    def render(self) -> tuple[Song, list[Stem]] | None:
        """Write all files of the song; return its records, or None if it is silent."""
        mixture = self._workspace.take("mixture", self._n_samples, np.float32)
        mixture.fill(0.0)
        parts = [
            self._first_pass(k, patch, mixture)
            for k, patch in enumerate(self._job.patches)
            if patch is not None
        ]
        if all(part.loudness_lufs is None for part in parts):
            return None
        peak = _peak(mixture)
        if self._is_unsplit:
            self._render_unsplit(mixture)
            peak = max(peak, _peak(mixture))
        overall_gain_db = uniform_gain_db(
            peak,
            [part.levels.peak * db_to_linear(part.gain.gain_db) for part in parts],
            self._config.target_peak_dbfs,
            FULL_SCALE_16,
        )
        mix = self._workspace.take("mix", self._n_samples, np.int16)
        mix.fill(0)
        stems = [self._second_pass(part, overall_gain_db, mix) for part in parts]
        if self._is_unsplit:
            for piece in _pieces([(0, self._n_samples)]):
                mix[piece] = quantise(mixture[piece], overall_gain_db, FULL_SCALE_16)
        return self._write_song(parts, mix, overall_gain_db), stems

    def _first_pass(self, k: int, patch: Patch, mixture: Float32s) -> _RenderedPart:
        config = self._config
        native = self._workspace.take(
            f"native {k}" if self._fits_in_memory else "native", self._n_samples, np.float32
        )
        spans = self._synthesise(k, patch, native)
        levels = envelope(native, config.sample_rate, spans)
        loudness_lufs = integrated_loudness(levels.k_power)
        gain = StemGain(0.0, False)
        if not self._is_unsplit:
            gain = stem_gain(loudness_lufs, config.target_lufs, config.max_gain_db)
        factor = np.float32(db_to_linear(gain.gain_db))
        for piece in _pieces(spans):
            mixture[piece] += native[piece] * factor
        kept: Float32s | Path = native
        if not self._fits_in_memory:
            kept = self._staged / f"native-{k}.f32"
            native.tofile(kept)
        part = self._score.parts[k]
        return _RenderedPart(k, part, patch, kept, spans, levels, loudness_lufs, gain)

    def _synthesise(self, k: int, patch: Patch, out: Float32s) -> Spans:
        sample_rate = self._config.sample_rate
        everywhere = [(0, len(out))]
        events = self._score.events(k)
        seconds = self._seconds(events)
        if patch.preset is None:
            assert patch.instrument is not None
            out[:] = play_instrument(patch.instrument, events, seconds, len(out), sample_rate)
            spans = everywhere
        else:
            synth = shared_synth(sample_rate, (patch.preset.soundfont,))
            frames = on_grid(seconds, sample_rate)
            spans = synth.render(events, frames, patch.preset, out)
        if patch.effects:
            out[:] = apply_effects(out, patch.effects, sample_rate)
            spans = everywhere
        return spans

    def _seconds(self, events: Sequence[Event]) -> npt.NDArray[np.float64]:
        return self._score.tempo_map.seconds([event.tick for event in events])

    def _render_unsplit(self, out: Float32s) -> None:
        sample_rate = self._config.sample_rate
        events = self._score.unsplit_events()
        frames = on_grid(self._seconds(events), sample_rate)
        synth = shared_synth(sample_rate, self._job.soundfonts)
        synth.render(events, frames, None, out)

    def _second_pass(self, part: _RenderedPart, overall_gain_db: float, mix: Int16s) -> Stem:
        gain_db = round(part.gain.gain_db + overall_gain_db, 4)
        samples = self._workspace.take("stem", self._n_samples, np.int16)
        samples.fill(0)
        native = self._native(part)
        for piece in _pieces(part.spans):
            quantised = quantise(native[piece], gain_db, FULL_SCALE_16)
            samples[piece] = quantised
            # Partial sums may wrap around; the whole sum is below full scale, and integers
            # modulo 2^16 add up to it exactly.
            mix[piece] += quantised
        return self._write_stem(part, samples, gain_db)

    def _native(self, part: _RenderedPart) -> Float32s:
        """Return a part's audio, from memory or from its file."""
        if not isinstance(part.native, Path):
            return part.native
        native = self._workspace.take("native", self._n_samples, np.float32)
        with part.native.open("rb") as file:
            file.readinto(native.data)
        part.native.unlink()
        return native

    def _write_stem(self, part: _RenderedPart, samples: Int16s, gain_db: float) -> Stem:
        job, config = self._job, self._config
        name = slakh.stem_name(part.k)
        flac, midi = self._staged / f"stems/{name}.flac", self._staged / f"MIDI/{name}.mid"
        audio.write_flac(flac, samples, config.sample_rate)
        midi.write_bytes(self._score.midi(part.k))
        notes = self._score.notes(part.k)
        folder = f"{job.split}/{job.track}"
        return Stem(
            stem_id=f"{job.song.md5}/{name}",
            song_id=job.song.md5,
            track=job.track,
            split=job.split,
            stem=name,
            program=part.part.program,
            inst_class=inst_class_of(part.part.program),
            rendering_class=part.patch.rendering_class,
            patch=part.patch.name,
            path=f"{folder}/stems/{name}.flac",
            midi_path=f"{folder}/MIDI/{name}.mid",
            sample_rate=config.sample_rate,
            n_samples=self._n_samples,
            loudness_lufs=part.loudness_lufs,
            gain_db=gain_db,
            is_silent=part.loudness_lufs is None,
            is_gain_limited=part.gain.is_limited,
            n_notes=len(notes.pitch),
            sha256=storage.file_hash(flac),
            midi_sha256=storage.file_hash(midi),
            k_power=part.levels.k_power,
            power=part.levels.power,
            note_onset=self._frames_of(notes.onset_tick),
            note_offset=self._frames_of(notes.offset_tick),
            note_pitch=notes.pitch,
            note_velocity=notes.velocity,
        )

    def _frames_of(self, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        seconds = self._score.tempo_map.seconds(ticks)
        return on_grid(seconds, self._config.sample_rate).astype(np.int32)

    def _write_song(
        self, parts: Sequence[_RenderedPart], mix: Int16s, overall_gain_db: float
    ) -> Song:
        job, config, staged = self._job, self._config, self._staged
        entries = {
            part.k: slakh.StemEntry(
                patch=part.patch.name,
                loudness_lufs=part.loudness_lufs,
                gain_db=round(part.gain.gain_db + overall_gain_db, 4),
                is_gain_limited=part.gain.is_limited,
            )
            for part in parts
        }
        (staged / slakh.SOURCE_MIDI).write_bytes(self._data)
        (staged / slakh.YAML).write_bytes(
            slakh.metadata(job.song, entries, overall_gain_db, config)
        )
        audio.write_flac(staged / slakh.MIX, mix, config.sample_rate)
        peak = int(max(mix.max(), -mix.min().astype(np.int32)))
        folder = f"{job.split}/{job.track}"
        return Song(
            song_id=job.song.md5,
            track=job.track,
            split=job.split,
            source=job.song.path,
            notes_sha256=job.song.notes_sha256,
            path=folder,
            mix_path=f"{folder}/{slakh.MIX}",
            sample_rate=config.sample_rate,
            n_samples=self._n_samples,
            mix_source=str(config.mix_source),
            overall_gain_db=overall_gain_db,
            mix_peak_dbfs=round(20 * math.log10(peak / FULL_SCALE_16), 4) if peak else None,
            n_stems=len(parts),
            midi_sha256=storage.file_hash(staged / slakh.SOURCE_MIDI),
            mix_sha256=storage.file_hash(staged / slakh.MIX),
            metadata_sha256=storage.file_hash(staged / slakh.YAML),
        )


def _pieces(spans: Sequence[tuple[int, int]]) -> Iterator[slice]:
    for start, stop in spans:
        for first in range(start, stop, _PIECE):
            yield slice(first, min(first + _PIECE, stop))


def _peak(samples: Float32s) -> float:
    return max(float(samples.max()), -float(samples.min()))
