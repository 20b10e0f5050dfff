"""The pieces of a song's drum kits: played apart from one another, and added up to the kit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.audio.read import FULL_SCALE_16
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import DrumPiece
from stemsmith.mixing.level.loudness import envelope
from stemsmith.render.midi.drum_pieces import pieces_of_keys
from stemsmith.render.midi.score import Score
from stemsmith.render.midi.smf import Event
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.track_folder import RenderedPart, RenderedPiece
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.player import play_apart
from stemsmith.render.sound.synth import Spans
from stemsmith.render.sound.velocity_layers import Layers, velocity_layers

__all__ = ["KitPieces", "highest_peak"]

_CHUNK: Final = 1 << 12  # samples that are looked at together, whether they are silent
# Rounding adds half a step of 16 bits for every piece to a kit; a kit whose peak decides the
# uniform gain leaves room for it down to a gain of -12 dB.
_ROOM_OF_A_PIECE: Final = 2 / FULL_SCALE_16


@cache
def _layers(soundfont: str) -> dict[tuple[int, int], Layers]:
    return velocity_layers(place(soundfont))


class KitPieces:
    """The drum kits of one song, if their pieces are wanted.

    Parameters
    ----------
    job : RenderJob
        All decisions about the song.
    score : Score
        The score, as it is played.

    Attributes
    ----------
    n_pieces : int
        Number of pieces of all kits, at most.
    """

    def __init__(self, job: RenderJob, score: Score) -> None:
        self._job, self._score = job, score
        self._first: dict[int, int] = {}
        self.n_pieces = 0
        for index, part in enumerate(score.parts):
            patches = [job.patches[index], *job.second_patches[index : index + 1]]
            if job.config.drum_pieces and part.is_drum and patches[0] is not None:
                self._first[index] = self.n_pieces
                self.n_pieces += max(len(self._played(index, p)[0]) for p in patches if p)
        self._kits: dict[int, tuple[list[DrumPiece], tuple[DrumPiece, ...], Float32s]] = {}

    def keep_in(self, place: Float32s | Path, shape: tuple[int, int]) -> None:
        """Say where samples are kept: an array, or a folder where memory would not do."""
        self._place, self._shape = place, shape

    def are_of(self, part_index: int) -> bool:
        """Tell whether a part is a kit of which the pieces are wanted."""
        return part_index in self._first

    def _played(
        self, part_index: int, patch: Patch
    ) -> tuple[list[DrumPiece], tuple[DrumPiece, ...]]:
        """Return the pieces that a part plays, and the piece of each key."""
        part, kit = self._score.parts[part_index], None
        exclusive_class: Callable[[int], int] = lambda key: 0  # noqa: E731
        if patch.preset is not None:
            kit = patch.preset.number
            layers = _layers(patch.preset.soundfont).get(patch.preset[1:])
            exclusive_class = exclusive_class if layers is None else layers.exclusive_class
        of_keys = pieces_of_keys(part, kit, exclusive_class)
        played = {of_keys[key] for key in np.unique(self._score.notes(part_index).pitch).tolist()}
        return [piece for piece in DrumPiece if piece in played], of_keys

    def play(
        self,
        part_index: int,
        patch: Patch,
        events: Sequence[Event],
        frames: Int64s,
        notes: Callable[[], tuple[npt.ArrayLike, npt.ArrayLike | None]],
        out: Float32s,
        sample_rate: int,
        dynamic: str | None,
        mono_from: MonoFrom,
    ) -> Spans:
        """Synthesise the pieces of a kit, and their sum; parameters are those of `synthesise`."""
        pieces, of_keys = self._played(part_index, patch)
        audio = self._memory(part_index, len(pieces))
        # Messages of keys that are never struck may go to any piece.
        groups = [pieces.index(piece) if piece in pieces else 0 for piece in of_keys]
        spans = play_apart(
            patch, events, frames, notes, audio, sample_rate, groups, dynamic, mono_from
        )
        out.fill(0.0)
        for start, stop in spans:
            for native in audio:
                out[:, start:stop] += native[:, start:stop]
        self._kits[part_index] = (pieces, of_keys, audio)
        return spans

    def _memory(self, part_index: int, n_pieces: int) -> Float32s:
        if isinstance(self._place, Path):
            path = self._place / f"pieces-{part_index}.f32"
            return np.memmap(path, np.float32, "w+", shape=(n_pieces, *self._shape))
        first = self._first[part_index]
        memory: Float32s = self._place[first : first + n_pieces]
        return memory

    def forget(self, part_index: int) -> None:
        """Remove the file of a part's pieces, if there is one."""
        if isinstance(self._place, Path):
            (self._place / f"pieces-{part_index}.f32").unlink(missing_ok=True)

    def measured(
        self, part_index: int, spans: Spans, sample_rate: int
    ) -> tuple[RenderedPiece, ...]:
        """Return the pieces of a part that was played; none if it is no kit."""
        if part_index not in self._kits:
            return ()
        pieces, of_keys, audio = self._kits[part_index]
        rendered = []
        for piece, native in zip(pieces, audio, strict=True):
            sounding = _sounding(native, spans)
            rendered.append(
                RenderedPiece(
                    piece=piece,
                    keys=frozenset(key for key in range(128) if of_keys[key] is piece),
                    native=native,
                    spans=sounding,
                    levels=envelope(native, sample_rate, sounding),
                )
            )
        return tuple(rendered)


def highest_peak(part: RenderedPart) -> float:
    """Return the highest peak before any gain of a part and its pieces, with room for rounding.

    The room is one of stems alone: the gain of a song in which no kit has the highest peak is the
    same with pieces and without.
    """
    room = _ROOM_OF_A_PIECE * len(part.pieces)
    return max(part.levels.peak + room, *(piece.levels.peak for piece in part.pieces), 0.0)


def _sounding(native: Float32s, spans: Spans) -> Spans:
    """Return the stretches of some in which there is any sample other than zero."""
    found: Spans = []
    for start, stop in spans:
        for first in range(start, stop, _CHUNK):
            last = min(first + _CHUNK, stop)
            if not native[:, first:last].any():
                continue
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
    return found
