"""The two passes over one song.

The first pass synthesises and measures each part; then gains are found and the mixture is summed;
the second pass quantises and writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.audio import FULL_SCALE_16
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Song, Stem
from stemsmith.mixing.automix import (
    StemGain,
    db_to_linear,
    quantise,
    stem_gain,
    uniform_gain_db,
)
from stemsmith.mixing.loudness import (
    ENVELOPE_HZ,
    envelope,
    integrated_loudness,
    loudness_when_played_at,
)
from stemsmith.render.config import MixSource
from stemsmith.render.job import SongJob
from stemsmith.render.midi import Score
from stemsmith.render.patches import Patch
from stemsmith.render.player import play
from stemsmith.render.sample_folder import Unplayable
from stemsmith.render.smf import Event
from stemsmith.render.synth import Spans, on_grid, shared_synth
from stemsmith.render.track_folder import RenderedPart, TrackWriter
from stemsmith.render.workspace import shared_workspace

__all__ = ["Mixdown"]

Int16s = npt.NDArray[np.int16]
Float32s = npt.NDArray[np.float32]

_PIECE: Final = 1 << 16  # samples handled at a time, so that they stay in the cache
_MIXING_TURNS: Final = 3
_AUDIBLE_DB: Final = 0.02  # smaller changes of gain are not worth mixing again
_MAX_BYTES_IN_MEMORY: Final = 640 << 20  # of a song; beyond, stems are on disk between passes


class Mixdown:
    """Renders one song.

    Parameters
    ----------
    job : SongJob
        All decisions.
    data : bytes
        The MIDI file.
    score : Score
        What it holds.
    staged : Path
        The folder to write into.
    """

    def __init__(self, job: SongJob, data: bytes, score: Score, staged: Path) -> None:
        self._job, self._score, self._staged = job, score, staged
        config = self._config = job.config
        steps = math.ceil(round((score.duration_s + config.tail_s) * ENVELOPE_HZ, 6))
        self._n_samples = steps * (config.sample_rate // ENVELOPE_HZ)
        self._writer = TrackWriter(job, data, score, staged, self._n_samples)
        # All stems and the mixture in float32; the mixture and one stem in int16.
        n_bytes = (4 * len(job.patches) + 8) * self._n_samples
        self._fits_in_memory = n_bytes <= _MAX_BYTES_IN_MEMORY
        self._workspace = shared_workspace()
        self._is_unsplit = config.mix_source is MixSource.UNSPLIT

    def render(self) -> tuple[Song, list[Stem]] | None:
        """Write all files of the song; return its records, or None if it is silent."""
        parts = [
            self._first_pass(k, patch)
            for k, patch in enumerate(self._job.patches)
            if patch is not None
        ]
        if all(part.loudness_lufs is None for part in parts):
            return None
        mixture, overall_gain_db = self._unsplit(parts) if self._is_unsplit else self._mix(parts)
        mix = self._workspace.take("mix", self._n_samples, np.int16)
        mix.fill(0)
        stems = [self._second_pass(part, overall_gain_db, mix) for part in parts]
        if self._is_unsplit:
            for piece in _pieces([(0, self._n_samples)]):
                mix[piece] = quantise(mixture[piece], overall_gain_db, FULL_SCALE_16)
        return self._writer.write_song(parts, mix, overall_gain_db), stems

    def _first_pass(self, k: int, patch: Patch) -> RenderedPart:
        native = self._buffer(k)
        spans = self._synthesise(k, patch, native)
        levels = envelope(native, self._config.sample_rate, spans)
        if not math.isfinite(levels.peak):
            raise UsageError(f"{patch.name}: its effects or instrument give infinite samples")
        kept: Float32s | Path = native
        if not self._fits_in_memory:
            kept = self._staged / f"native-{k}.f32"
            with kept.open("wb") as file:
                for start, stop in spans:
                    file.write(native[start:stop].data)
        return RenderedPart(
            k=k,
            part=self._score.parts[k],
            patch=patch,
            native=kept,
            spans=spans,
            levels=levels,
            loudness_lufs=integrated_loudness(levels.k_power),
            gain=StemGain(0.0, False),
        )

    def _buffer(self, k: int) -> Float32s:
        """Return the memory for a part: its own, or one for all where that would not do."""
        n, n_parts = self._n_samples, len(self._job.patches)
        if not self._fits_in_memory:
            k, n_parts = 0, 1
        return self._workspace.take("native", n_parts * n, np.float32)[k * n : (k + 1) * n]

    def _mix(self, parts: Sequence[RenderedPart]) -> tuple[Float32s, float]:
        """Give each part its gain; return the mixture and the uniform gain.

        Stems shall be equally loud as written, after the uniform gain, which is only known when
        they are mixed: where it makes a difference, they are mixed again.
        """
        config = self._config
        overall_gain_db = 0.0
        for turn in range(_MIXING_TURNS):
            level_lufs = config.target_lufs + overall_gain_db
            gains = [
                stem_gain(
                    loudness_when_played_at(part.levels.k_power, level_lufs),
                    config.target_lufs,
                    config.max_gain_db,
                )
                for part in parts
            ]
            changes = [abs(g.gain_db - p.gain.gain_db) for g, p in zip(gains, parts, strict=True)]
            if turn > 0 and max(changes) < _AUDIBLE_DB:
                break
            for part, gain in zip(parts, gains, strict=True):
                part.gain = gain
            mixture = self._sum(parts)
            overall_gain_db = self._uniform_gain_db(parts, _peak(mixture))
        return mixture, overall_gain_db

    def _sum(self, parts: Sequence[RenderedPart]) -> Float32s:
        mixture = self._workspace.take("mixture", self._n_samples, np.float32)
        mixture.fill(0.0)
        for part in parts:
            native = self._native(part)
            factor = np.float32(db_to_linear(part.gain.gain_db))
            for piece in _pieces(part.spans):
                mixture[piece] += native[piece] * factor
        return mixture

    def _uniform_gain_db(self, parts: Sequence[RenderedPart], mixture_peak: float) -> float:
        stem_peaks = [part.levels.peak * db_to_linear(part.gain.gain_db) for part in parts]
        return uniform_gain_db(
            mixture_peak, stem_peaks, self._config.target_peak_dbfs, FULL_SCALE_16
        )

    def _synthesise(self, k: int, patch: Patch, out: Float32s) -> Spans:
        events = self._score.events(k)
        frames = on_grid(self._seconds(events), self._config.sample_rate)
        notes = partial(self._notes, k)
        try:
            return play(patch, events, frames, notes, out, self._config.sample_rate)
        except Unplayable:
            raise
        except UsageError as error:
            raise UsageError(f"{self._job.song.path}: {error}") from error

    def _notes(self, k: int) -> tuple[npt.NDArray[np.int64], None]:
        """Return the notes of a part at the samples that the note table gives."""
        onset, offset, pitch, velocity = self._score.notes(k)
        times = [self._score.tempo_map.seconds(ticks) for ticks in (onset, offset)]
        frames = [on_grid(seconds, self._config.sample_rate) for seconds in times]
        return np.stack([*frames, pitch, velocity], axis=1), None

    def _seconds(self, events: Sequence[Event]) -> npt.NDArray[np.float64]:
        return self._score.tempo_map.seconds([event.tick for event in events])

    def _unsplit(self, parts: Sequence[RenderedPart]) -> tuple[Float32s, float]:
        """Render the whole file at once; return it and the uniform gain."""
        sample_rate = self._config.sample_rate
        sum_peak = _peak(self._sum(parts))
        events = self._score.unsplit_events()
        frames = on_grid(self._seconds(events), sample_rate)
        synth = shared_synth(sample_rate, self._job.soundfonts)
        mixture = self._workspace.take("mixture", self._n_samples, np.float32)
        synth.render(events, frames, None, mixture)
        return mixture, self._uniform_gain_db(parts, max(sum_peak, _peak(mixture)))

    def _second_pass(self, part: RenderedPart, overall_gain_db: float, mix: Int16s) -> Stem:
        gain_db = round(part.gain.gain_db + overall_gain_db, 4)
        samples = self._workspace.take("stem", self._n_samples, np.int16)
        samples.fill(0)
        native = self._native(part)
        if isinstance(part.native, Path):
            part.native.unlink()
        for piece in _pieces(part.spans):
            quantised = quantise(native[piece], gain_db, FULL_SCALE_16)
            samples[piece] = quantised
            # Partial sums may wrap around; the whole sum is below full scale, and integers
            # modulo 2^16 add up to it exactly.
            mix[piece] += quantised
        return self._writer.write_stem(part, samples, gain_db)

    def _native(self, part: RenderedPart) -> Float32s:
        """Return a part's audio, from memory or from its file: then it is right in its spans."""
        if not isinstance(part.native, Path):
            return part.native
        native = self._buffer(part.k)
        with part.native.open("rb") as file:
            for start, stop in part.spans:
                file.readinto(native[start:stop].data)
        return native


def _pieces(spans: Sequence[tuple[int, int]]) -> Iterator[slice]:
    for start, stop in spans:
        for first in range(start, stop, _PIECE):
            yield slice(first, min(first + _PIECE, stop))


def _peak(samples: Float32s) -> float:
    return max(float(samples.max()), -float(samples.min()))
