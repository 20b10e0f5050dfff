"""The space of renditions of a piece: A x (C x D x E)^J (Miron et al. 2017, section 3.4).

A point is one tempo of A for all parts and, for each of J parts, one timbre of C, one dynamic of D
and one shift of E. Points are numbered, and found by their number: no space is ever built.

Departure from the paper's text, which counts A * C * D * E * J: its factors are vectors with one
value for each part (its Algorithm 3), so that they count once for every part, as in the authors'
code. That code also leaves points out, which `Rule` names.
"""

from __future__ import annotations

import math
import operator
from bisect import insort
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from stemsmith.render.renditions.factors import Rule

__all__ = ["Point", "Space"]

PartIndices = tuple[int, int, int]


class Point(NamedTuple):
    """One rendition as 0-based indices: the tempo, and (timbre, dynamic, shift) of each part."""

    tempo: int
    parts: tuple[PartIndices, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """All renditions there are.

    Attributes
    ----------
    n_tempos, n_timbres, n_dynamics, n_shifts, n_parts : int
        A, C, D, E and J of the paper, each at least 1.
    rule : Rule
        Which combinations of timbre, dynamic and shift count.

    Raises
    ------
    ValueError
        If a number is less than 1.
    """

    n_tempos: int
    n_timbres: int
    n_dynamics: int
    n_shifts: int
    n_parts: int
    rule: Rule = Rule.ANY

    def __post_init__(self) -> None:
        """Refuse what is no space."""
        for name in ("n_tempos", "n_timbres", "n_dynamics", "n_shifts", "n_parts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def n_points(self) -> int:
        """Number of points, exact however large; 0 if the rule leaves none."""
        return self.n_tempos * self._n_per_tempo

    @property
    def _n_per_tempo(self) -> int:
        n_per_tempo: int
        match self.rule:
            case Rule.ANY:
                n_per_tempo = self._n_tuples**self.n_parts
            case Rule.DISTINCT:
                n_per_tempo = math.perm(self._n_tuples, self.n_parts)
            case Rule.SHIFTS_DIFFER:
                n_per_tempo = self._n_sounds**self.n_parts * self._n_unequal
        return n_per_tempo

    @property
    def _n_tuples(self) -> int:
        return self._n_sounds * self.n_shifts

    @property
    def _n_sounds(self) -> int:
        """Timbres and dynamics of one part."""
        return self.n_timbres * self.n_dynamics

    @property
    def _n_unequal(self) -> int:
        """Shifts of all parts that are not all the same."""
        n_unequal: int = self.n_shifts**self.n_parts - self.n_shifts
        return n_unequal

    def point(self, index: int) -> Point:
        """Return the point of a number.

        Parameters
        ----------
        index : int
            From 0 to `n_points` - 1. Points are in order of tempo, then of the parts' tuples; with
            `Rule.SHIFTS_DIFFER`, of tempo, the parts' timbres and dynamics, the parts' shifts.

        Raises
        ------
        ValueError
            If there is no such point.
        """
        index = operator.index(index)  # integers of NumPy would overflow
        if not 0 <= index < self.n_points:
            raise ValueError(f"point {index} of {self.n_points}")
        tempo, rest = divmod(index, self._n_per_tempo)
        return Point(tempo, tuple(map(self._tuple_of, self._codes_of(rest))))

    def draw(self, rng: np.random.Generator, n: int) -> list[int]:
        """Draw different points, every set of n alike likely (the paper's random sampling).

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the draws come from.
        n : int
            How many, 0 to `n_points`.

        Returns
        -------
        list of int
            Numbers of n points, ascending. Memory and time grow with n, not with the space.

        Raises
        ------
        ValueError
            If the space has fewer points, saying how many.
        """
        n_points = self.n_points
        if not 0 <= n <= n_points:
            raise ValueError(f"{n} points of a space that has {n_points}")
        drawn: set[int] = set()
        for last in range(n_points - n, n_points):  # Floyd's algorithm
            index = _below(rng, last + 1)
            drawn.add(last if index in drawn else index)
        return sorted(drawn)

    def _radices(self) -> list[int]:
        """Return how many tuples each part may have, given those of the parts before it."""
        n_taken = 1 if self.rule is Rule.DISTINCT else 0
        return [self._n_tuples - n_taken * k for k in range(self.n_parts)]

    def _codes_of(self, rank: int) -> list[int]:
        """Return the parts' tuples, as numbers, of a point's place within its tempo."""
        if self.rule is Rule.SHIFTS_DIFFER:
            sounds, shifts = divmod(rank, self._n_unequal)
            pairs = zip(
                _digits(sounds, [self._n_sounds] * self.n_parts),
                _unequal(shifts, self.n_shifts, self.n_parts),
                strict=True,
            )
            return [sound * self.n_shifts + shift for sound, shift in pairs]
        digits = _digits(rank, self._radices())
        return _distinct(digits) if self.rule is Rule.DISTINCT else digits

    def _tuple_of(self, code: int) -> PartIndices:
        sound, shift = divmod(code, self.n_shifts)
        timbre, dynamic = divmod(sound, self.n_dynamics)
        return timbre, dynamic, shift


def _digits(number: int, radices: list[int]) -> list[int]:
    """Return the digits of a number in mixed radix, the most significant first."""
    digits = []
    for radix in reversed(radices):
        number, digit = divmod(number, radix)
        digits.append(digit)
    return digits[::-1]


def _distinct(ranks: list[int]) -> list[int]:
    """Turn ranks, each among the values that are left, into different values."""
    values: list[int] = []
    taken: list[int] = []  # ascending
    for rank in ranks:
        value = rank
        for other in taken:
            if other > value:
                break
            value += 1
        values.append(value)
        insort(taken, value)
    return values


def _unequal(rank: int, n_values: int, n_places: int) -> list[int]:
    """Return the rank-th vector, in lexicographic order, of values that are not all equal.

    Read as numbers, the vectors of equal values are the multiples of 11...1: before each but the
    first lie as many others.
    """
    ones = (n_values**n_places - 1) // (n_values - 1)
    return _digits(rank + rank // (ones - 1) + 1, [n_values] * n_places)


def _below(rng: np.random.Generator, n: int) -> int:
    """Draw an integer from 0 to n - 1, of any size; NumPy's end at 2^64."""
    n_bits = (n - 1).bit_length()
    n_bytes = (n_bits + 7) // 8
    while True:
        number = int.from_bytes(rng.bytes(n_bytes), "little") >> (8 * n_bytes - n_bits)
        if number < n:
            return number
