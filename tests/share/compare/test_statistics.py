"""Paired differences: exact p values, corrections by hand, intervals that hold what they say."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.share.compare.statistics import (
    holm,
    paired_difference,
    paired_values,
    signed_rank_test,
)

INF = math.inf
NAMES = ("b", "a", "bass")


def by_song(*values: float) -> dict[str, float]:
    return {f"s{k}": value for k, value in enumerate(values)}


def every_sign(differences: list[float]) -> float:
    """Return the p value by its definition: of all ways to set the signs of the ranks."""
    values = np.array(differences)
    ranks = scipy.stats.rankdata(np.abs(values))[values != 0]
    positive = ranks[values[values != 0] > 0].sum()
    smaller = min(positive, ranks.sum() - positive)
    ways = [np.dot(signs, ranks) for signs in product((0, 1), repeat=len(ranks))]
    return min(1.0, 2 * float(np.mean([way <= smaller for way in ways])))


def test_five_differences_of_one_sign_are_two_of_thirty_two_ways() -> None:
    assert signed_rank_test([1, 2, 3, 4, 5]) == 2 / 32
    assert signed_rank_test([-1, -2, -3, -4, -5]) == 2 / 32
    # The rank sums of the minority that are at most 1: none, or the smallest alone.
    assert signed_rank_test([-1, 2, 3, 4, 5]) == 4 / 32
    # At most 3: {}, {1}, {2}, {3}, {1, 2}.
    assert signed_rank_test([1, 2, -3, 4, 5]) == 10 / 32


def test_nothing_that_differs_is_no_difference() -> None:
    assert signed_rank_test([0.0, 0.0, 0.0]) == 1.0
    assert signed_rank_test([2.0, -2.0]) == 1.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, INF]), max_size=9))
def test_ties_zeros_and_infinities_are_counted_exactly(differences: list[float]) -> None:
    assert signed_rank_test(differences) == pytest.approx(every_sign(differences), abs=1e-12)


@pytest.mark.parametrize("n", [6, 23, 49])
def test_without_ties_it_is_that_of_scipy(n: int) -> None:
    for seed in range(5):
        differences = np.random.default_rng([n, seed]).standard_normal(n) + 0.3
        expected = scipy.stats.wilcoxon(differences, method="exact").pvalue
        assert signed_rank_test(differences) == pytest.approx(expected, abs=1e-12)


def test_many_differences_are_normal_with_ties_and_zeros_of_pratt() -> None:
    differences = np.round(np.random.default_rng(0).standard_normal(400) + 0.1, 1)
    expected = scipy.stats.wilcoxon(
        differences, zero_method="pratt", method="approx", correction=False
    ).pvalue
    assert signed_rank_test(differences) == pytest.approx(expected)
    # The exact one is next to it where both can be had.
    assert signed_rank_test(differences[:300]) == pytest.approx(
        scipy.stats.wilcoxon(differences[:300], zero_method="pratt", method="approx").pvalue,
        abs=2e-3,
    )


def test_holm_by_hand() -> None:
    # Of five: 5 * 0.001, 4 * 0.01, 3 * 0.02, 2 * 0.04, and 1 * 0.05, which is less than the fourth.
    p_values = [0.04, 0.001, 0.05, 0.02, 0.01]
    assert holm(p_values) == pytest.approx([0.08, 0.005, 0.08, 0.06, 0.04])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_is_between_the_p_value_and_bonferroni(p: list[float]) -> None:
    corrected = holm(p)
    for one, other in zip(p, corrected, strict=True):
        assert one <= other <= min(1.0, len(p) * one) + 1e-15
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_infinite_scores_of_both_systems_differ_by_nothing() -> None:
    found = paired_values([INF, -INF, 1.0, -INF], [INF, -INF, -INF, 2.0])
    assert found.tolist() == [0.0, 0.0, INF, -INF]


def test_a_difference_is_the_mean_or_the_median_of_those_of_songs() -> None:
    mean = paired_difference(NAMES, by_song(1, 2, 6), "mean", is_tested=True)
    assert (mean.system, mean.baseline, mean.target) == NAMES
    assert (mean.n, mean.difference, mean.p, mean.p_holm) == (3, 3.0, 2 / 8, None)
    assert mean.interval == (1.0, 6.0)  # a draw is of one song alone in 1 of 27 cases
    median = paired_difference(NAMES, by_song(1, 2, 6), "median")
    assert (median.difference, median.p) == (2.0, None)
    none = paired_difference(NAMES, {}, "mean", is_tested=True)
    assert none.n == 0 and math.isnan(none.difference) and none.p is None


def test_songs_of_a_fold_count_as_one() -> None:
    folds = {"s0": 1, "s1": 1, "s2": 2, "s3": 3}
    found = paired_difference(NAMES, by_song(1, 3, 5, 9), "mean", folds, is_tested=True)
    assert (found.n, found.difference) == (3, (2 + 5 + 9) / 3)
    assert found.p == 2 / 8
    assert found.interval == (2.0, 9.0)


def test_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    rng, n_covered = np.random.default_rng(0), 0
    for _ in range(100):
        found = paired_difference(NAMES, by_song(*(rng.standard_normal(40) + 0.5)), "mean")
        n_covered += found.interval[0] <= 0.5 <= found.interval[1]
    assert 88 <= n_covered <= 99


def test_p_values_of_nothing_are_uniform() -> None:
    """With ranks of either sign by chance, p is below 0.1 in a tenth of all cases at most."""
    rng = np.random.default_rng(1)
    p_values = np.array([signed_rank_test(rng.standard_normal(12)) for _ in range(400)])
    assert 0.05 <= (p_values <= 0.1).mean() <= 0.13


def test_infinities_of_both_signs_have_no_mean_and_are_not_tested() -> None:
    found = paired_difference(NAMES, by_song(INF, -INF, 1), "mean", {"s0": 1, "s1": 1, "s2": 2},
                              is_tested=True)  # fmt: skip
    assert math.isnan(found.difference) and found.p is None
