"""The space of renditions: closed forms, enumeration by itertools, bijection, uniform draws."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.render.renditions.factors import Rule
from stemsmith.render.renditions.space import Point, Space

SMALL = [
    (2, 2, 2, 2, 2),
    (1, 2, 1, 3, 3),
    (3, 1, 1, 3, 4),
    (2, 1, 2, 1, 3),
    (2, 1, 1, 4, 1),
    (1, 1, 1, 1, 1),
    (1, 3, 2, 1, 2),
    (2, 1, 1, 2, 3),
]
HUGE = (7, 100, 10, 50, 16)  # 7 x 50,000^16, about 2^252


def enumerated(sizes: tuple[int, ...], rule: Rule) -> list[Point]:
    """Every point in order of tempo and tuples, filtered by the rule's own words."""
    n_tempos, n_timbres, n_dynamics, n_shifts, n_parts = sizes
    tuples = list(itertools.product(range(n_timbres), range(n_dynamics), range(n_shifts)))
    points = []
    for tempo, parts in itertools.product(
        range(n_tempos), itertools.product(tuples, repeat=n_parts)
    ):
        if rule is Rule.DISTINCT and len(set(parts)) < n_parts:
            continue
        if rule is Rule.SHIFTS_DIFFER and len({shift for _, _, shift in parts}) == 1:
            continue
        points.append(Point(tempo, parts))
    return points


def place_of(rule: Rule) -> Callable[[Point], Any]:
    """Return the key of the order in which points are numbered."""
    if rule is Rule.SHIFTS_DIFFER:
        return lambda p: (p.tempo, [part[:2] for part in p.parts], [part[2] for part in p.parts])
    return lambda p: p


# ---------------------------------------------------------------------------------------------
# Counts


@pytest.mark.parametrize(
    ("space", "n_points"),
    [
        (Space(3, 3, 3, 3, 4), 3 * 27**4),
        (Space(3, 3, 3, 3, 4), 1_594_323),
        (Space(1, 3, 3, 3, 4, Rule.DISTINCT), 421_200),  # RWC: permutations(27, 4)
        (Space(1, 3, 3, 1, 4, Rule.DISTINCT), 3_024),  # RWC, aligned scores
        (Space(1, 1, 1, 3, 4, Rule.SHIFTS_DIFFER), 78),  # Sibelius, one tempo
        (Space(3, 1, 1, 3, 4, Rule.SHIFTS_DIFFER), 3 * 78),
        (Space(*HUGE), 7 * 50_000**16),
        (Space(2, 1, 1, 3, 4, Rule.DISTINCT), 0),  # four parts, three tuples
        (Space(2, 5, 5, 1, 4, Rule.SHIFTS_DIFFER), 0),
        (Space(2, 5, 5, 3, 1, Rule.SHIFTS_DIFFER), 0),  # a single part's shifts are all equal
    ],
)
def test_published_counts_and_closed_forms(space: Space, n_points: int) -> None:
    assert space.n_points == n_points


@pytest.mark.parametrize("sizes", [(0, 1, 1, 1, 1), (1, 1, 1, 1, 0), (1, 1, -2, 1, 1)])
def test_a_factor_without_values_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Space(*sizes)


# ---------------------------------------------------------------------------------------------
# Numbers of points


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("sizes", SMALL)
def test_all_points_are_those_of_an_enumeration(sizes: tuple[int, ...], rule: Rule) -> None:
    space, expected = Space(*sizes, rule), enumerated(sizes, rule)
    points = [space.point(index) for index in range(space.n_points)]
    assert len(points) == len(expected)
    assert set(points) == set(expected)
    if rule is not Rule.SHIFTS_DIFFER:  # documented orders
        assert points == expected
    else:
        assert points == sorted(expected, key=place_of(rule))


factors = st.integers(1, 60)


@given(
    st.tuples(factors, factors, factors, factors, st.integers(1, 24)),
    st.sampled_from(Rule),
    st.data(),
)
def test_numbers_and_points_are_one_to_one(
    sizes: tuple[int, ...], rule: Rule, data: st.DataObject
) -> None:
    space = Space(*sizes, rule)
    if not space.n_points:
        return
    index, other = (data.draw(st.integers(0, space.n_points - 1)) for _ in range(2))
    point, place = space.point(index), place_of(rule)
    # Numbers are in the order of the points: none has two, and two never have the same.
    assert (place(point) < place(space.point(other))) == (index < other)
    assert (point == space.point(other)) == (index == other)
    assert 0 <= point.tempo < sizes[0]
    assert len(point.parts) == sizes[4]
    for part in point.parts:
        assert all(0 <= i < n for i, n in zip(part, sizes[1:4], strict=True))
        assert all(type(i) is int for i in part)
    if rule is Rule.DISTINCT:
        assert len(set(point.parts)) == len(point.parts)
    if rule is Rule.SHIFTS_DIFFER:
        assert len({part[2] for part in point.parts}) > 1


@pytest.mark.parametrize("rule", Rule)
def test_first_and_last_point_and_none_beyond(rule: Rule) -> None:
    space = Space(3, 2, 2, 2, 3, rule)
    assert space.point(0).tempo == 0
    assert space.point(np.int64(space.n_points - 1)).tempo == 2
    for index in (-1, space.n_points):
        with pytest.raises(ValueError, match=f"of {space.n_points}"):
            space.point(index)


# ---------------------------------------------------------------------------------------------
# Draws


@given(st.sampled_from(SMALL), st.sampled_from(Rule), st.integers(0, 1000), st.data())
def test_draws_are_different_points_in_order(
    sizes: tuple[int, ...], rule: Rule, seed: int, data: st.DataObject
) -> None:
    space = Space(*sizes, rule)
    n = data.draw(st.integers(0, space.n_points))
    drawn = space.draw(np.random.default_rng(seed), n)
    assert len(drawn) == n
    assert drawn == sorted(set(drawn))
    assert all(0 <= index < space.n_points for index in drawn)
    assert drawn == space.draw(np.random.default_rng(seed), n)


@pytest.mark.parametrize("rule", Rule)
def test_as_many_draws_as_points_are_all_points(rule: Rule) -> None:
    space = Space(2, 2, 2, 3, 2, rule)
    drawn = space.draw(np.random.default_rng(1), space.n_points)
    assert drawn == list(range(space.n_points))


def test_all_subsets_are_alike_likely() -> None:
    space, rng = Space(1, 1, 1, 7, 1), np.random.default_rng(0)
    subsets = dict.fromkeys(itertools.combinations(range(7), 3), 0)
    for _ in range(200 * len(subsets)):
        subsets[tuple(space.draw(rng, 3))] += 1  # type: ignore[index]
    assert scipy.stats.chisquare(list(subsets.values())).pvalue > 1e-3


def test_points_of_a_huge_space_are_uniform_in_every_factor() -> None:
    space, rng = Space(*HUGE), np.random.default_rng(0)
    points = [space.point(index) for index in space.draw(rng, 7000)]
    assert scipy.stats.chisquare(np.bincount([p.tempo for p in points])).pvalue > 1e-3
    for part in (0, 7, 15):
        for factor, n_values in enumerate(HUGE[1:4]):
            counts = np.bincount([p.parts[part][factor] for p in points], minlength=n_values)
            assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_another_seed_draws_other_points() -> None:
    space = Space(3, 3, 3, 3, 4)
    first, second = (space.draw(np.random.default_rng(seed), 400) for seed in (1, 2))
    assert len(set(first) & set(second)) < 10


@pytest.mark.parametrize("rule", Rule)
def test_huge_spaces_take_no_memory(rule: Rule) -> None:
    space = Space(1000, 1000, 1000, 1000, 100, rule)
    assert space.n_points > 2**2900
    tracemalloc.start()
    drawn = space.draw(np.random.default_rng(0), 50)
    points = [space.point(index) for index in drawn]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2_000_000
    places = [place_of(rule)(point) for point in points]
    assert all(one < other for one, other in itertools.pairwise(places))
    # The mean of 50 uniform numbers, in units of the space.
    assert abs(sum(drawn) * 1000 // (50 * space.n_points) - 500) < 200
    assert max(map(math.log2, drawn)) > 2900


@pytest.mark.parametrize("sizes", [(2, 1, 1, 3, 4), (3, 1, 2, 2, 3)])
def test_too_many_draws_say_how_many_points_there_are(sizes: tuple[int, ...]) -> None:
    space = Space(*sizes, Rule.DISTINCT)
    with pytest.raises(ValueError, match=f"has {space.n_points}$"):
        space.draw(np.random.default_rng(0), space.n_points + 1)


def test_an_empty_space_has_no_points() -> None:
    space = Space(2, 1, 1, 3, 4, Rule.DISTINCT)
    assert space.n_points == 0
    assert space.draw(np.random.default_rng(0), 0) == []
    with pytest.raises(ValueError, match="of 0"):
        space.point(0)
