"""The beats of a song: where its quarter notes and bars are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float64s

__all__ = ["LARGEST_TRANSPOSITION", "ScoreGrid", "TempoKnots", "interpolated"]

LARGEST_TRANSPOSITION = 6  # semitones, up or down: every key is as near

# Quarter notes of a score, and the seconds at which each is played.
TempoKnots = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreGrid:
    """What a score says of time, and of what its stems can play.

    Attributes
    ----------
    knot_beat, knot_s : numpy.ndarray
        (n_knots,) at least two quarter notes and when they are played: where the tempo changes, and
        the end. Before the first and after the last one the nearest tempo goes on.
    bars : numpy.ndarray
        (n_bars,) quarter notes at which bars begin, ascending.
    has_beat : bool
        Whether the notes keep to the grid: not those of a performance that was recorded freely.
    transpositions : mapping of str to numpy.ndarray
        For every stem by its name (``S00``) that can be rendered again: which transpositions, from
        -6 to 6 semitones, leave no note out that is played without one.
    """

    knot_beat: Float64s
    knot_s: Float64s
    bars: Float64s
    has_beat: bool
    transpositions: Mapping[str, Bools]

    def seconds(self, beats: npt.ArrayLike) -> Float64s:
        """Return when quarter notes of the score are played, in seconds (same shape)."""
        return interpolated(np.asarray(beats, np.float64), self.knot_beat, self.knot_s)

    def beats(self, seconds: npt.ArrayLike) -> Float64s:
        """Return which quarter notes are played at some seconds (same shape)."""
        return interpolated(np.asarray(seconds, np.float64), self.knot_s, self.knot_beat)

    def knots(self, first: float, last: float) -> Float64s:
        """Return the quarter notes at which a stretch begins, changes its tempo, and ends."""
        inner = self.knot_beat[(self.knot_beat > first) & (self.knot_beat < last)]
        return np.concatenate([[first], inner, [last]])


def interpolated(x: Float64s, known: Float64s, values: Float64s) -> Float64s:
    """Interpolate, and go on beyond both ends as between the two knots that are nearest.

    Parameters
    ----------
    x : numpy.ndarray
        Where values are wanted.
    known, values : numpy.ndarray
        (n_knots,) at least two places, ascending, and the values there.
    """
    i = np.clip(np.searchsorted(known, x, side="right") - 1, 0, len(known) - 2)
    slope = (values[i + 1] - values[i]) / (known[i + 1] - known[i])
    found: Float64s = values[i] + (x - known[i]) * slope
    return found
