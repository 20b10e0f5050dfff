"""Where the beats and bars of a score are, and which transpositions its patches can play."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float64s, UInt8s
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Part
from stemsmith.mixing.plan.score_grid import LARGEST_TRANSPOSITION, ScoreGrid
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch

__all__ = ["CorpusScore", "GridJob", "StemToMatch", "grid_of", "read_grid"]

_DEFAULT_BAR: Final = 4.0  # quarter notes, until a meter is set
_BEYOND: Final = 64.0  # quarter notes after the last one for which there are bars: the tail
_DIVISIONS: Final = (2, 3, 4)  # of a quarter note, on which notes gather where there is a beat
_LEAST_STRENGTH: Final = 0.3  # of that gathering; 1 is on the grid, 1 / sqrt(n_notes) is chance
_MIDDLE: Final = LARGEST_TRANSPOSITION


@dataclass(frozen=True, slots=True)
class StemToMatch:
    """A stem of a corpus that may be rendered again.

    Attributes
    ----------
    part_index : int
        Index of the part in the score.
    program, n_notes : int
        What the part was when the corpus was rendered.
    gain_db : float
        Gain with which the stem was written.
    n_channels : int
        Channels of the stem.
    pan : int or None
        Where the part was placed, by controller 10; None where the score says it.
    mono_from : MonoFrom
        What of the patch's two channels a stem of one is.
    patch : Patch
        Patch that plays it.
    """

    part_index: int
    program: int
    n_notes: int
    gain_db: float
    n_channels: int
    pan: int | None
    mono_from: MonoFrom
    patch: Patch


class CorpusScore(NamedTuple):
    """The score of a song of a corpus.

    Attributes
    ----------
    path : str
        Absolute path of the file.
    md5 : str
        MD5 that it must have.
    are_drums_joined : bool
        Whether the corpus has joined drums, as of `read_score`.
    """

    path: str
    md5: str
    are_drums_joined: bool = False

    def read(self) -> Score:
        """Read the score, with the parts that the corpus has.

        Raises
        ------
        InvalidCorpus
            If it cannot be read, or is not the one that the corpus was rendered from.
        """
        path = place(self.path)
        try:
            data, score = load_score(path, math.inf, are_drums_joined=self.are_drums_joined)
        except Unusable as finding:
            raise InvalidCorpus(f"{path}: cannot be read: {finding.detail}") from finding
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != self.md5:
            changed = InvalidCorpus(f"{path}: is not the score that its song was rendered from")
            recheck(changed)
            raise changed
        return score


@dataclass(frozen=True, slots=True)
class GridJob:
    """A score to read.

    Attributes
    ----------
    song : str
        Root and MD5 of the song, with a colon between.
    score : CorpusScore
        Score to read.
    stems : mapping of str to StemToMatch
        Its stems by name.
    """

    song: str
    score: CorpusScore
    stems: Mapping[str, StemToMatch]


def read_grid(job: GridJob) -> tuple[str, ScoreGrid]:
    """Read a score; return the name of its song and its beats."""
    return job.song, grid_of(job.score.read(), job.stems)


def grid_of(score: Score, stems: Mapping[str, StemToMatch]) -> ScoreGrid:
    """Return the beats of a score, and what some stems of it can play.

    A stem whose part is not what it was when the corpus was rendered (by another version) is left
    out.
    """
    quarter, tempo_map = score.ticks_per_quarter, score.tempo_map
    ticks = [tick for tick in tempo_map.changes if tick < score.end_tick]
    ticks.append(max(score.end_tick, ticks[-1] + quarter))
    return ScoreGrid(
        knot_beat=np.array(ticks) / quarter,
        knot_s=tempo_map.seconds(ticks),
        bars=_bars(score),
        has_beat=score.has_quarters and _gathers(score),
        transpositions={
            name: _transpositions(score.parts[stem.part_index], stem.patch)
            for name, stem in stems.items()
            if _is_same(score, stem)
        },
    )


def _is_same(score: Score, stem: StemToMatch) -> bool:
    if stem.part_index >= len(score.parts):
        return False
    part = score.parts[stem.part_index]
    return (part.program, part.n_notes) == (stem.program, stem.n_notes)


def _bars(score: Score) -> Float64s:
    quarter = score.ticks_per_quarter
    said = {tick / quarter: bar for tick, bar in score.meters.items() if bar > 0}
    meters = {0.0: _DEFAULT_BAR} | said
    starts = sorted(start for start in meters if start * quarter < max(score.end_tick, 1))
    ends = [*starts[1:], score.end_tick / quarter + _BEYOND]
    bars = [np.arange(start, end, meters[start]) for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(bars)


def _gathers(score: Score) -> bool:
    """Tell whether notes gather around halves, thirds or quarters of the quarter note."""
    onsets = [score.notes(part_index).onset_tick for part_index in range(len(score.parts))]
    beats = np.concatenate(onsets) / score.ticks_per_quarter
    strengths = [abs(np.exp(2j * np.pi * beats * n).mean()) for n in _DIVISIONS]
    return bool(max(strengths) >= _LEAST_STRENGTH)


def _transpositions(part: Part, patch: Patch) -> Bools:
    """Return which transpositions lose no note that is played without one, (13,)."""
    playable = np.zeros(2 * LARGEST_TRANSPOSITION + 1, np.bool_)
    playable[_MIDDLE] = True
    if part.is_drum or part.strikes is None:
        return playable
    most = patch.n_lost(part.strikes)
    for transposition in range(-LARGEST_TRANSPOSITION, LARGEST_TRANSPOSITION + 1):
        moved = _transposed(part.strikes, transposition)
        playable[_MIDDLE + transposition] = moved is not None and patch.n_lost(moved) <= most
    return playable


def _transposed(strikes: UInt8s, transposition: int) -> UInt8s | None:
    """Return strikes as in `Part` with other keys; None where MIDI has no such key."""
    table = strikes.reshape(-1, 3).astype(np.int64)
    table[:, 0] += transposition
    is_key = ((table[:, 0] >= 0) & (table[:, 0] <= 127)).all()
    return table.astype(np.uint8).ravel() if is_key else None
