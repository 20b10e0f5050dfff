"""One part of a song as one patch plays it: its sound, how loud its notes should be, its audit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.records import Defect
from stemsmith.render.audit.reference import reference_of
from stemsmith.render.audit.stem import audit_stem
from stemsmith.render.audit.stem_notes import as_played
from stemsmith.render.corpus.config import MixSource, RenderConfig
from stemsmith.render.midi.score import Score
from stemsmith.render.songs.kit_pieces import KitPieces
from stemsmith.render.sound.heard import Expected, expected_levels
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.player import synthesise
from stemsmith.render.sound.synth import Spans

__all__ = ["PatchedPart"]


class PatchedPart:
    """A part of a score with the patch that plays it.

    Parameters
    ----------
    score : Score
        The score, as it is played.
    part_index : int
        Index of the part in it.
    patch : Patch
        Patch that plays the part.
    config : RenderConfig
        Options of the corpus.

    Attributes
    ----------
    patch : Patch
        The same patch, which the record of the stem names.
    mono_from : MonoFrom or None
        What of the patch's two channels the stem is; None if both, or no preset plays it.
    expected : Expected
        How loud its notes should be.
    """

    def __init__(self, score: Score, part_index: int, patch: Patch, config: RenderConfig) -> None:
        self._part_index, self.patch, self._sample_rate = part_index, patch, config.sample_rate
        self._is_drum = score.parts[part_index].is_drum
        self._dynamic = score.playing(part_index).dynamic

        def frames_of(ticks: npt.ArrayLike) -> Int64s:
            return patch.samples_at(score.tempo_map.seconds(ticks), config.sample_rate)

        self._events = score.events(part_index)
        self._frames = frames_of([event.tick for event in self._events])
        onset, offset, pitch, velocity, *_, is_silenced, self._cents = score.notes(part_index)
        self._notes = np.stack([frames_of(onset), frames_of(offset), pitch, velocity], axis=1)
        self.mono_from = self._channels(config)
        self.expected = self._expected(is_silenced | ~patch.has_sound_for(pitch, velocity))

    def _channels(self, config: RenderConfig) -> MonoFrom | None:
        if config.n_channels == 2:
            return None
        *_, pitch, velocity = self._notes.T
        found = self.patch.mono_from(pitch, velocity)
        # A rendering of the whole file is the sum, and its stems shall add up to it.
        return MonoFrom.SUM if found and config.mix_source is MixSource.UNSPLIT else found

    def _expected(self, is_unheard: npt.NDArray[np.bool_]) -> Expected:
        onset, _, pitch, velocity = self._notes.T
        expected = expected_levels(
            onset,
            pitch,
            velocity,
            self.patch.compass,
            self._events,
            self._frames,
            self._sample_rate,
            self.mono_from,
        )
        return expected._replace(level_db=np.where(is_unheard, -np.inf, expected.level_db))

    def synthesise(self, out: Float32s, pieces: KitPieces) -> Spans:
        """Synthesise the part without the patch's effects, a drum kit by way of its pieces.

        Parameters
        ----------
        out : numpy.ndarray
            (n_channels, n_samples) float32, contiguous; receives the part.
        pieces : KitPieces
            The drum kits of the song whose pieces are wanted.

        Returns
        -------
        list of (int, int)
            Where `out` may be other than zero.
        """
        dynamic = self._dynamic
        how = (
            self.patch,
            self._events,
            self._frames,
            lambda: (self._notes, self._cents),
            out,
            self._sample_rate,
            None if dynamic is None or dynamic.velocity is None else dynamic.name,
            self.mono_from or MonoFrom.SUM,
        )
        if pieces.are_of(self._part_index):
            return pieces.play(self._part_index, *how)
        return synthesise(*how)

    def audit(self, native: Float32s, spans: Spans) -> tuple[Defect, ...]:
        """Check the part as it was synthesised against its notes.

        Parameters
        ----------
        native : numpy.ndarray
            (n_channels, n_samples) float32, after the patch's effects.
        spans : list of (int, int)
            Where it may be other than zero.
        """
        notes = as_played(
            self._notes,
            self._sample_rate,
            cents=self._cents,
            is_drum=self._is_drum,
            events=self._events,
            frames=self._frames,
            heard=np.isfinite(self.expected.level_db),
        )
        reference = None
        if self.patch.preset is not None and not self.patch.effects and not self._cents.any():
            reference = reference_of(
                notes,
                self._events,
                self._frames,
                self.patch.preset,
                self._sample_rate,
                native.shape[1],
                mono_from=self.mono_from or MonoFrom.SUM,
            )
        return audit_stem(native, notes, self._sample_rate, spans, reference)
