"""The two passes over one song.

The first pass synthesises and measures each part, finds the gains and sums the mixture; the second
pass quantises and writes, or gives the stems out as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Defect, Song, Stem
from stemsmith.mixing.level.gains import (
    StemGain,
    db_to_linear,
    peak_of,
    quantise,
    stem_gain,
    uniform_gain_db,
)
from stemsmith.mixing.level.loudness import (
    ENVELOPE_HZ,
    envelope,
    integrated_loudness,
    loudness_when_played_at,
)
from stemsmith.mixing.production.equaliser import least_masking
from stemsmith.render.corpus.config import MixSource, OnDefect, Pan
from stemsmith.render.midi.panorama import place_parts
from stemsmith.render.midi.score import Score
from stemsmith.render.songs.balance import group_of, reach_levels, wanted_levels
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.kit_pieces import KitPieces, highest_peak
from stemsmith.render.songs.metadata import stem_name
from stemsmith.render.songs.patched_part import PatchedPart
from stemsmith.render.songs.production import SongProduction
from stemsmith.render.songs.track_folder import DryPart, RenderedPart, TrackWriter
from stemsmith.render.sound.heard import heard_notes
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.player import infinite, run_effects
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.synth import Spans, on_grid, shared_synth
from stemsmith.render.sound.workspace import shared_workspace

__all__ = ["Mix", "Mixdown", "n_staged_bytes"]

_PIECE: Final = 1 << 16  # samples handled at a time, so that they stay in the cache
_MIXING_TURNS: Final = 3
_AUDIBLE_DB: Final = 0.02  # smaller changes of gain are not worth mixing again
_MAX_BYTES_IN_MEMORY: Final = 720 << 20  # of a song; beyond, stems are on disk between passes


class Mix(NamedTuple):
    """What the first pass finds: the parts, each with its gain, and the gain of all.

    Attributes
    ----------
    parts : list of RenderedPart
        The parts that are rendered, in score order.
    overall_gain_db : float
        Uniform gain in dB on top of each part's, so that nothing clips; 0 or less.
    """

    parts: list[RenderedPart]
    overall_gain_db: float

    def gain_db(self, part: RenderedPart) -> float:
        """Return the whole gain of a part in dB."""
        return round(part.gain.gain_db + self.overall_gain_db, 4)


class Mixdown:
    """Renders one song: `mix` is the first pass, `write` or `stems` the second.

    Parameters
    ----------
    job : RenderJob
        All decisions about the song.
    score : Score
        The score, as read from its file.
    staged : Path
        Folder for stems that memory does not hold between the passes.

    Attributes
    ----------
    n_samples : int
        Length of the mixture and of all stems.

    Notes
    -----
    Whatever is audio here is (n_channels, n_samples), with one channel or two.
    """

    def __init__(self, job: RenderJob, score: Score, staged: Path) -> None:
        self._job, self._score, self._staged = job, score, staged
        config = self._config = job.config
        steps = math.ceil(round((score.duration_s + config.tail_s) * ENVELOPE_HZ, 6))
        self.n_samples = steps * (config.sample_rate // ENVELOPE_HZ)
        self._pieces = KitPieces(job, score)
        n_natives, shape = len(job.patches), (config.n_channels, self.n_samples)
        n_pieces, size = self._pieces.n_pieces, math.prod(shape)
        self._fits_in_memory = _n_bytes(size, n_natives + n_pieces) <= _MAX_BYTES_IN_MEMORY
        if not self._fits_in_memory:
            n_natives, n_pieces = 1, 0  # one after the other
        memory = shared_workspace().take(_n_bytes(size, n_natives + n_pieces))
        floats = memory[: 4 * size * (n_natives + n_pieces + 1)].view(np.float32)
        floats = floats.reshape(n_natives + n_pieces + 1, *shape)
        self._natives, self._mixture = floats[:n_natives], floats[-1]
        self._pieces.keep_in(floats[n_natives:-1] if self._fits_in_memory else staged, shape)
        self._mix = memory[floats.nbytes :].view(np.int16).reshape(shape)
        self._is_unsplit = config.mix_source is MixSource.UNSPLIT
        self._production = SongProduction(config, job.production, job.song.md5)
        self._dry: dict[int, DryPart] = {}
        self._pans: dict[int, int] = {}
        if config.pan is Pan.DRAWN:
            # Recorded notes know no controllers.
            placed = [i for i, patch in enumerate(job.patches) if patch and not patch.folder]
            self._pans = place_parts(score, placed, config.seed, job.song.md5)

    def mix(self) -> Mix | None:
        """Synthesise the parts and find their gains; return None if all are silent."""
        rendered = [
            self._first_pass(part_index, patch)
            for part_index, patch in enumerate(self._job.patches)
            if patch is not None
        ]
        config = self._config
        is_dropped = config.on_defect is OnDefect.DROP
        parts = []
        for part in rendered:
            if is_dropped and part.audit:
                self._discard(part)
            else:
                parts.append(part)
        if rendered and not parts:
            raise Unplayable("the audit finds defects in all its stems")
        if all(part.loudness_lufs is None for part in parts):
            return None
        if config.equalise:
            self._equalise(parts)
        return Mix(parts, self._mix_unsplit(parts) if self._is_unsplit else self._mix_stems(parts))

    def write(self, mix: Mix, writer: TrackWriter) -> tuple[Song, list[Stem], list[Stem]]:
        """Write all files of the song; return its records: song, stems, and pieces of drum kits."""
        self._mix.fill(0)
        stems, pieces = [], []
        for part in mix.parts:
            stem, of_stem = self._second_pass(part, mix.gain_db(part), writer)
            stems.append(stem)
            pieces += of_stem
        if self._is_unsplit:
            gain_db = mix.overall_gain_db
            for piece in _pieces([(0, self.n_samples)]):
                mixture = self._mixture[:, piece]
                self._mix[:, piece] = quantise(mixture, gain_db, FULL_SCALE_16)
        room, master = self._production.room, self._production.master(self._mix)
        return (
            writer.write_song(mix.parts, self._mix, mix.overall_gain_db, room, master),
            stems,
            pieces,
        )

    def stems(self, mix: Mix) -> Iterator[tuple[str, Float32s]]:
        """Yield the name of each stem and its audio, not quantised, as float32."""
        for part in mix.parts:
            native, factor = self._native(part), np.float32(db_to_linear(mix.gain_db(part)))
            audio = np.zeros(native.shape, np.float32)
            for piece in _pieces(part.spans):
                np.multiply(native[:, piece], factor, out=audio[:, piece])
            yield stem_name(part.part_index), audio

    def _first_pass(self, part_index: int, patch: Patch) -> RenderedPart:
        native = self._buffer(part_index)
        played, spans, audit = self._play(part_index, patch, native)
        second = self._job.second_patches[part_index] if self._job.second_patches else None
        if audit and second is not None:
            played, spans, audit = self._play(part_index, second, native)
        part = self._score.parts[part_index]
        with self._naming_song():
            name = stem_name(part_index)
            spans, produced = self._production.play(name, part.program, native, spans)
        levels = envelope(native, self._config.sample_rate, spans)
        return RenderedPart(
            part_index=part_index,
            part=part,
            mono_from=played.mono_from,
            patch=played.patch,
            native=self._kept(part_index, native, spans),
            spans=spans,
            levels=levels,
            loudness_lufs=integrated_loudness(levels.k_power),
            gain=StemGain(0.0, False),
            expected=played.expected,
            audit=audit,
            pan=self._pans.get(part_index),
            produced=produced,
            dry=self._dry.get(part_index),
            pieces=self._pieces.measured(part_index, spans, self._config.sample_rate),
        )

    def _play(
        self, part_index: int, patch: Patch, out: Float32s
    ) -> tuple[PatchedPart, Spans, tuple[Defect, ...] | None]:
        """Synthesise a part with a patch and its effects; return what the audit finds, too."""
        played = PatchedPart(self._score, part_index, patch, self._config)
        with self._naming_song():
            spans = played.synthesise(out, self._pieces)
            _refuse_infinite(patch, out)
            if self._config.dry:
                path = self._staged_file(f"dry-{part_index}.f32", out, spans)
                self._dry[part_index] = DryPart(path, spans, peak_of(out))
            spans = run_effects(patch, out, spans, self._config.sample_rate)
            _refuse_infinite(patch, out)
        return played, spans, played.audit(out, spans) if self._config.audit else None

    def _kept(self, part_index: int, native: Float32s, spans: Spans) -> Float32s | Path:
        """Return what holds a part between the passes: memory, or a file with its spans."""
        if self._fits_in_memory:
            return native
        return self._staged_file(f"native-{part_index}.f32", native, spans)

    def _staged_file(self, name: str, native: Float32s, spans: Spans) -> Path:
        path = self._staged / name
        with path.open("wb") as file:
            for start, stop in spans:
                file.writelines(channel[start:stop].data for channel in native)
        return path

    def _discard(self, part: RenderedPart) -> None:
        """Remove the files of a part, of which nothing is written."""
        self._pieces.forget(part.part_index)
        for native in (part.native, part.dry and part.dry.native):
            if isinstance(native, Path):
                native.unlink()

    def _equalise(self, parts: Sequence[RenderedPart]) -> None:
        """Filter the stems so that they mask each other less at the levels that they get."""
        energies = []
        for part, offset_lu in zip(parts, self._offsets_lu(parts), strict=True):
            power = db_to_linear(self._gain(part, offset_lu, 0.0).gain_db) ** 2
            energies.append(self._production.energies(self._native(part)) * power)
        for part, found in zip(parts, least_masking(energies), strict=True):
            native = self._native(part)
            part.spans = self._production.equalise(native, found, part.spans)
            part.native = self._kept(part.part_index, native, part.spans)
            part.levels = envelope(native, self._config.sample_rate, part.spans)
            part.loudness_lufs = integrated_loudness(part.levels.k_power)
            part.produced = part.produced._replace(equaliser=json.dumps(found.gains_db))

    def _buffer(self, part_index: int) -> Float32s:
        """Return the memory for a part: its own, or one for all where that would not do."""
        buffer: Float32s = self._natives[part_index % len(self._natives)]
        return buffer

    def _mix_stems(self, parts: Sequence[RenderedPart]) -> float:
        """Give each part its gain, and mix; return the uniform gain.

        Stems shall be as loud as they are meant to be as written, after the uniform gain, which is
        only known when they are mixed: where it makes a difference, they are mixed again.
        """
        offsets_lu = self._offsets_lu(parts)
        overall_gain_db = 0.0
        for turn in range(_MIXING_TURNS):
            gains = [
                self._gain(part, offset_lu, overall_gain_db)
                for part, offset_lu in zip(parts, offsets_lu, strict=True)
            ]
            changes = [abs(g.gain_db - p.gain.gain_db) for g, p in zip(gains, parts, strict=True)]
            if turn > 0 and max(changes) < _AUDIBLE_DB:
                break
            for part, gain in zip(parts, gains, strict=True):
                part.gain = gain
            self._sum(parts)
            overall_gain_db = self._uniform_gain_db(parts, peak_of(self._mixture))
        return overall_gain_db

    def _gain(self, part: RenderedPart, offset_lu: float, overall_gain_db: float) -> StemGain:
        """Return the gain of a part that shall be louder than the target by an offset."""
        level_lufs = self._config.target_lufs + offset_lu
        loudness = loudness_when_played_at(part.levels.k_power, level_lufs + overall_gain_db)
        return stem_gain(loudness, level_lufs, self._config.max_gain_db)

    def _offsets_lu(self, parts: Sequence[RenderedPart]) -> list[float]:
        """Return how much louder than the target each part is meant to be: 0 without a balance."""
        if not self._job.levels_lu:
            return [0.0] * len(parts)
        groups = [
            None
            if part.loudness_lufs is None
            else group_of(part.part.program, part.patch.rendering_class)
            for part in parts
        ]
        sounding = [group for group in groups if group is not None]

        def k_power_at(group: str, levels_lu: Sequence[float]) -> Float32s:
            levels = iter(levels_lu)
            members = []
            for part, own in zip(parts, groups, strict=True):
                offset_lu = 0.0 if own is None else next(levels)
                if own == group:
                    part.gain = self._gain(part, offset_lu, 0.0)
                    members.append(part)
            return self._k_power_of(members)

        wanted_lu = wanted_levels(dict(self._job.levels_lu), sounding)
        offsets_lu = iter(reach_levels(sounding, wanted_lu, self._config.target_lufs, k_power_at))
        return [0.0 if group is None else next(offsets_lu) for group in groups]

    def _k_power_of(self, parts: Sequence[RenderedPart]) -> Float32s:
        """Return the envelope of the sum of some parts under their gains."""
        if len(parts) == 1:
            (part,) = parts
            return part.levels.k_power * np.float32(10 ** (part.gain.gain_db / 10))
        self._sum(parts)
        spans = sorted(span for part in parts for span in part.spans)
        return envelope(self._mixture, self._config.sample_rate, spans).k_power

    def _sum(self, parts: Sequence[RenderedPart]) -> None:
        self._mixture.fill(0.0)
        for part in parts:
            native = self._native(part)
            factor = np.float32(db_to_linear(part.gain.gain_db))
            for piece in _pieces(part.spans):
                self._mixture[:, piece] += native[:, piece] * factor

    def _uniform_gain_db(self, parts: Sequence[RenderedPart], mixture_peak: float) -> float:
        # What is before the effects is written with the gain of what is after them.
        natives = [max(highest_peak(part), part.dry.peak if part.dry else 0.0) for part in parts]
        stem_peaks = [
            native * db_to_linear(part.gain.gain_db)
            for native, part in zip(natives, parts, strict=True)
        ]
        return uniform_gain_db(
            mixture_peak, stem_peaks, self._config.target_peak_dbfs, FULL_SCALE_16
        )

    @contextmanager
    def _naming_song(self) -> Iterator[None]:
        """Say in errors of a patch or of effects which song it was."""
        try:
            yield
        except Unplayable:
            raise
        except UsageError as error:
            raise UsageError(f"{self._job.song.path}: {error}") from error

    def _mix_unsplit(self, parts: Sequence[RenderedPart]) -> float:
        """Render the whole file at once; return the uniform gain."""
        sample_rate = self._config.sample_rate
        self._sum(parts)
        sum_peak = peak_of(self._mixture)
        synth = shared_synth(sample_rate, self._job.soundfonts)
        device_audio = np.empty_like(self._mixture) if self._score.n_devices > 1 else self._mixture
        for device in range(self._score.n_devices):
            events = self._score.unsplit_events(device)
            seconds = self._score.tempo_map.seconds([event.tick for event in events])
            frames = on_grid(seconds, sample_rate)
            synth.render(events, frames, None, device_audio)
            if device_audio is not self._mixture:
                if device == 0:
                    self._mixture.fill(0.0)
                self._mixture += device_audio
        return self._uniform_gain_db(parts, max(sum_peak, peak_of(self._mixture)))

    def _second_pass(
        self, part: RenderedPart, gain_db: float, writer: TrackWriter
    ) -> tuple[Stem, list[Stem]]:
        """Write a stem, and the pieces of a drum kit before it; return their records."""
        native = self._native(part)
        if isinstance(part.native, Path):
            part.native.unlink()
        sample_rate = self._config.sample_rate
        heard = heard_notes(part.expected, native, part.spans, gain_db, sample_rate)
        # The blocks of the stem are all written before the first one of its dry form is asked for,
        # which takes the same memory.
        dry = self._dry_blocks(part, gain_db)
        if not part.pieces:
            blocks = self._quantised(native, part.spans, gain_db, self._mix)
            return writer.write_stem(part, blocks, dry, gain_db, heard), []
        kit = np.zeros(self._mix.shape, np.int16)
        pieces = []
        for piece in part.pieces:
            blocks = self._quantised(piece.native, piece.spans, gain_db, kit)
            pieces.append(writer.write_stem(part, blocks, None, gain_db, heard, piece))
        self._pieces.forget(part.part_index)
        self._mix += kit
        whole = (kit[:, piece] for piece in _pieces([(0, self.n_samples)]))
        return writer.write_stem(part, whole, dry, gain_db, heard), pieces

    def _dry_blocks(self, part: RenderedPart, gain_db: float) -> Iterator[Int16s] | None:
        """Return what a stem was before all effects, block by block, at the gain of the stem."""
        if part.dry is None:
            return None

        def blocks(dry: DryPart) -> Iterator[Int16s]:
            native = self._read(dry.native, self._buffer(part.part_index), dry.spans)
            dry.native.unlink()
            yield from self._quantised(native, dry.spans, gain_db)

        return blocks(part.dry)

    def _quantised(
        self, native: Float32s, spans: Spans, gain_db: float, into: Int16s | None = None
    ) -> Iterator[Int16s]:
        """Yield a stem block by block, each added to a mixture if there is one."""
        silence = np.zeros((len(native), _PIECE), np.int16)
        now = 0
        for start, stop in [*spans, (self.n_samples, self.n_samples)]:
            yield from (silence[:, : gap.stop - gap.start] for gap in _pieces([(now, start)]))
            for piece in _pieces([(start, stop)]):
                quantised = quantise(native[:, piece], gain_db, FULL_SCALE_16)
                # Partial sums may wrap around; the whole sum is below full scale, and integers
                # modulo 2^16 add up to it exactly.
                if into is not None:
                    into[:, piece] += quantised
                yield quantised
            now = stop

    def _native(self, part: RenderedPart) -> Float32s:
        """Return a part's audio, from memory or from its file."""
        if not isinstance(part.native, Path):
            return part.native
        return self._read(part.native, self._buffer(part.part_index), part.spans)

    def _read(self, path: Path, native: Float32s, spans: Spans) -> Float32s:
        """Return what `_staged_file` has written, in some memory."""
        native.fill(0.0)
        with path.open("rb") as file:
            for start, stop in spans:
                for channel in native:
                    file.readinto(channel[start:stop].data)
        return native


def _n_bytes(n_samples: int, n_natives: int) -> int:
    """Return the size of stems and mixture in float32, and of the mixture in int16."""
    return (4 * (n_natives + 1) + 2) * n_samples


def n_staged_bytes(n_samples: int, n_stems: int, has_dry: bool) -> int:
    """Return the room on disk that a song needs between the passes; 0 where memory is enough.

    The samples are those of all channels. Stems before their effects are on disk in any case.
    """
    fits = _n_bytes(n_samples, n_stems) <= _MAX_BYTES_IN_MEMORY
    return 4 * n_samples * n_stems * ((not fits) + has_dry)


def _pieces(spans: Sequence[tuple[int, int]]) -> Iterator[slice]:
    for start, stop in spans:
        for first in range(start, stop, _PIECE):
            yield slice(first, min(first + _PIECE, stop))


def _refuse_infinite(patch: Patch, out: Float32s) -> None:
    is_ours = patch.preset is not None and not patch.effects
    if not is_ours and not np.isfinite(out).all():
        raise infinite(patch)
