"""Writing the files of one song, and the records that describe them."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s, Int16s
from stemsmith.manifests.audio.flac import SampleHash, encode_flac, encoding_flac
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.corpus import PIECES
from stemsmith.manifests.programs import DrumPiece, inst_class_of
from stemsmith.manifests.records import Defect, Part, Song, Stem
from stemsmith.mixing.level.gains import StemGain
from stemsmith.mixing.level.loudness import Envelope, integrated_loudness
from stemsmith.render.midi.drum_pieces import piece_class
from stemsmith.render.midi.playing import Playing
from stemsmith.render.midi.score import Notes, Score
from stemsmith.render.songs import metadata as slakh
from stemsmith.render.songs.balance import group_of
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.production import Mastered, ProducedPart
from stemsmith.render.sound.heard import Expected
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.synth import Spans

__all__ = ["DryPart", "RenderedPart", "RenderedPiece", "TrackWriter"]


@dataclass(frozen=True, slots=True)
class DryPart:
    """A part before all effects, on disk between the two passes.

    Attributes
    ----------
    native : Path
        File with its spans, channel by channel, before any gain.
    spans : list of (int, int)
        Where it may be other than zero.
    peak : float
        Largest absolute sample.
    """

    native: Path
    spans: Spans
    peak: float


@dataclass(frozen=True, slots=True)
class RenderedPiece:
    """One piece of a drum kit between the two passes.

    Attributes
    ----------
    piece : DrumPiece
        Which one it is.
    keys : frozenset of int
        Keys that play it.
    native : numpy.ndarray
        (n_channels, n_samples) float32 before any gain.
    spans : list of (int, int)
        Where it may be other than zero.
    levels : Envelope
        Power of each 100 ms, and the peak.
    """

    piece: DrumPiece
    keys: frozenset[int]
    native: Float32s
    spans: Spans
    levels: Envelope


@dataclass(slots=True)
class RenderedPart:
    """One part between the two passes.

    Attributes
    ----------
    part_index : int
        Index of the part in the score.
    part, patch : Part, Patch
        What it is and what plays it.
    native : numpy.ndarray or Path
        (n_channels, n_samples) float32 before any gain; a file with its spans, channel by
        channel, where memory would not do.
    spans : list of (int, int)
        Where it may be other than zero.
    levels : Envelope
        Power of each 100 ms, and the peak.
    loudness_lufs : float or None
        Integrated loudness before any gain; None for a part that does not sound.
    gain : StemGain
        Gain before the uniform one.
    expected : Expected
        How loud its notes should be.
    audit : tuple of Defect or None
        What the audit found; None if it did not look.
    mono_from : MonoFrom or None
        What of the two channels it is; None if it has both, or its patch decides that.
    pan : int or None
        Controller 10 that was drawn; None where the score has its own, or its place is the middle.
    produced : ProducedPart
        What was done to it after synthesis.
    dry : DryPart or None
        What it was before; None where that is not wanted.
    pieces : tuple of RenderedPiece
        The pieces of a drum kit that add up to it; empty where they are not wanted.
    """

    part_index: int
    part: Part
    patch: Patch
    native: Float32s | Path
    spans: Spans
    levels: Envelope
    loudness_lufs: float | None
    gain: StemGain
    expected: Expected
    audit: tuple[Defect, ...] | None
    mono_from: MonoFrom | None
    pan: int | None
    produced: ProducedPart
    dry: DryPart | None
    pieces: tuple[RenderedPiece, ...] = ()


class TrackWriter:
    """Writes one track folder.

    Parameters
    ----------
    job : RenderJob
        All decisions about the song.
    data : bytes
        Content of the MIDI file.
    score : Score
        The score, as read from it.
    staged : Path
        Folder that is filled, and published when it is complete.
    n_samples : int
        Length of stems and mixture.
    """

    def __init__(
        self, job: RenderJob, data: bytes, score: Score, staged: Path, n_samples: int
    ) -> None:
        self._job, self._data, self._score, self._staged = job, data, score, staged
        self._config = job.config
        self._n_samples = n_samples
        self._levels_lu = dict(job.levels_lu)

    def write_stem(
        self,
        part: RenderedPart,
        blocks: Iterable[Int16s],
        dry_blocks: Iterable[Int16s] | None,
        gain_db: float,
        heard: Bools,
        piece: RenderedPiece | None = None,
    ) -> Stem:
        """Write the FLAC of a stem, or of a piece of it, and its MIDI; return its record.

        The MIDI file has the notes that are heard (`heard`, one a note of the part). Blocks of
        what the stem was before all effects become a file of their own.
        """
        job, config = self._job, self._config
        names = _names_of(part, piece)
        levels, loudness_lufs = part.levels, part.loudness_lufs
        notes = self._score.notes(part.part_index)
        own = np.ones(len(heard), np.bool_)
        if piece is not None:
            levels, loudness_lufs = piece.levels, integrated_loudness(piece.levels.k_power)
            own = np.isin(notes.pitch, list(piece.keys))
        sha256, samples_sha256 = self._write_audio(names.flac, blocks)
        dry_path = dry_sha256 = None
        if dry_blocks is not None:
            dry_path = f"{slakh.DRY}/{names.stem}.flac"
            dry_sha256, _ = self._write_audio(dry_path, dry_blocks)
        midi_sha256 = self._write_midi(names.midi, part, notes.only(~(heard & own)))
        notes = notes.only(own)
        folder = job.folder
        return Stem(
            stem_id=f"{job.song.md5}/{names.stem}",
            song_id=job.song.md5,
            track=job.track,
            split=job.split,
            stem=names.stem,
            program=part.part.program,
            inst_class=names.inst_class,
            rendering_class=part.patch.rendering_class,
            patch=part.patch.name,
            path=f"{folder}/{names.flac}",
            midi_path=f"{folder}/{names.midi}",
            sample_rate=config.sample_rate,
            n_samples=self._n_samples,
            loudness_lufs=loudness_lufs,
            gain_db=gain_db,
            is_silent=loudness_lufs is None,
            is_gain_limited=part.gain.is_limited,
            n_notes=len(notes.pitch),
            sha256=sha256,
            midi_sha256=midi_sha256,
            k_power=levels.k_power,
            power=levels.power,
            note_onset=self._frames_of(notes.onset_tick, part.patch),
            note_offset=self._frames_of(notes.offset_tick, part.patch),
            note_pitch=notes.pitch,
            note_velocity=notes.velocity,
            note_sounding_offset=self._frames_of(
                notes.offset_tick if part.patch.folder else notes.sounding_offset_tick, part.patch
            ),
            samples_sha256=samples_sha256,
            note_heard=heard[own],
            note_sounding_pitch=_sounding_pitch(part.patch, notes),
            n_notes_unheard=int((~heard[own]).sum()),
            audit=part.audit if piece is None else None,
            n_channels=config.n_channels,
            k_power_mono=levels.k_power_mono if config.n_channels == 2 else None,
            power_mono=levels.power_mono if config.n_channels == 2 else None,
            pan=part.pan,
            balance_lu=self._levels_lu.get(self._group(part)),
            effects=part.produced.effects,
            position=part.produced.position,
            equaliser=part.produced.equaliser,
            dry_path=dry_path and f"{folder}/{dry_path}",
            dry_sha256=dry_sha256,
            mono_from=part.mono_from,
            **self._playing(part.part_index, notes.cents),
        )

    def _write_midi(self, name: str, part: RenderedPart, left_out: Notes) -> str:
        """Write the MIDI of a part without some of its notes; return its SHA-256."""
        columns = (left_out.onset_tick, left_out.pitch, left_out.velocity)
        unheard = set(zip(*(column.tolist() for column in columns), strict=True))
        return self._write(name, self._score.midi(part.part_index, unheard))

    def _playing(self, part_index: int, cents: Float32s) -> dict[str, Any]:
        """Return the columns that say how a part is played; none where it is as written."""
        playing = self._score.playing(part_index)
        if playing == Playing():
            return {}
        return {
            "dynamic": playing.dynamic and playing.dynamic.name,
            "velocity_sd": playing.velocity_sd,
            "onset_sd_s": playing.onset_sd_s,
            "ensemble_sd_s": playing.ensemble_sd_s,
            "tuning_sd_cents": playing.tuning_sd_cents,
            "note_cents": cents if playing.tuning_sd_cents else None,
        }

    @staticmethod
    def _group(part: RenderedPart) -> str:
        return group_of(part.part.program, part.patch.rendering_class)

    def _write_audio(self, name: str, blocks: Iterable[Int16s]) -> tuple[str, str]:
        """Write a FLAC file of the folder; return its SHA-256 and that of its samples."""
        encoded, samples = io.BytesIO(), SampleHash(n_bits=16)
        rate, n_channels = self._config.sample_rate, self._config.n_channels
        with encoding_flac(encoded, rate, n_channels, 16) as encode:
            for block in blocks:
                encode(block)
                samples.update(block)
        return self._write(name, encoded.getvalue()), samples.hexdigest()

    def _write(self, name: str, data: bytes) -> str:
        """Write a file of the folder, unless it is audio that is not kept; return its SHA-256."""
        if not (self._job.is_lazy and name.endswith(slakh.AUDIO)):
            (self._staged / name).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def _frames_of(self, ticks: npt.NDArray[np.int64], patch: Patch) -> npt.NDArray[np.int32]:
        seconds = self._score.tempo_map.seconds(ticks)
        return patch.samples_at(seconds, self._config.sample_rate).astype(np.int32)

    def write_song(
        self,
        parts: Sequence[RenderedPart],
        mix: Int16s,
        overall_gain_db: float,
        room: str | None,
        master: Mastered | None,
    ) -> Song:
        """Write score, mixture, master and metadata; return the song's record."""
        job, config = self._job, self._config
        entries = {
            part.part_index: slakh.StemEntry(
                patch=part.patch.name,
                loudness_lufs=part.loudness_lufs,
                gain_db=round(part.gain.gain_db + overall_gain_db, 4),
                is_gain_limited=part.gain.is_limited,
            )
            for part in parts
        }
        groups = {self._group(part) for part in parts}
        drawn = {group: level for group, level in job.levels_lu if group in groups}
        metadata = slakh.metadata(job.song, entries, overall_gain_db, config, drawn)
        encoded = encode_flac(mix, config.sample_rate)
        peak = int(max(mix.max(), -mix.min().astype(np.int32)))
        folder = job.folder
        master_path = master_sha256 = None
        if master is not None:
            master_path = f"{folder}/{slakh.MASTER}"
            master_sha256 = self._write(slakh.MASTER, encode_flac(master.audio, config.sample_rate))
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
            midi_sha256=self._write(slakh.SOURCE_MIDI, self._data),
            mix_sha256=self._write(slakh.MIX, encoded),
            metadata_sha256=self._write(slakh.YAML, metadata),
            licence=job.song.licence,
            duplicate_group=job.duplicate_group,
            n_channels=config.n_channels,
            balance=json.dumps(drawn) if drawn else None,
            room=room,
            bus=master and master.bus,
            codec=master and master.codec,
            master_path=master_path,
            master_sha256=master_sha256,
            tempo_bpm=self._score.tempo_map.only_bpm,
            bar_quarters=self._score.only_bar_quarters,
        )


class _Names(NamedTuple):
    """What a stem, or a piece of it, is called: itself, its class, and its files in the folder."""

    stem: str
    inst_class: str
    flac: str
    midi: str


def _names_of(part: RenderedPart, piece: RenderedPiece | None) -> _Names:
    name = slakh.stem_name(part.part_index)
    if piece is None:
        flac, midi = f"{slakh.STEMS}/{name}.flac", f"MIDI/{name}.mid"
        return _Names(name, inst_class_of(part.part.program), flac, midi)
    name = f"{name}_{piece.piece}"
    place = f"{PIECES}/{name}"
    return _Names(name, piece_class(piece.piece), f"{place}.flac", f"{place}.mid")


def _sounding_pitch(patch: Patch, notes: Notes) -> Float32s | None:
    """Return the pitch of each note as it is heard, with its tuning; None where nobody knows."""
    sounding = patch.sounding_pitch(notes.pitch, notes.velocity)
    if sounding is None:
        return None
    tuning = notes.sounding_pitch - notes.pitch.astype(np.float32)
    # Recorded notes follow their own tuning, and not that of the channel.
    own = notes.cents / np.float32(100) if patch.folder else tuning
    return (sounding + own).astype(np.float32)
