"""Songs in groups: exact permutations, intervals that hold what they say, errors by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.share.compare.clusters import (
    cluster_interval,
    cluster_standard_error,
    least_p,
    sign_test,
    summarise_clusters,
)

INF = math.inf


def every_sign(values: list[float], groups: str, average: str) -> float:
    """Return the p value by its definition: of all ways to set the signs of groups."""
    names = sorted(set(groups))
    statistic = np.median if average == "median" else np.mean
    found = []
    for signs in product((1, -1), repeat=len(names)):
        of_group = dict(zip(names, signs, strict=True))
        found.append(abs(statistic([v * of_group[g] for v, g in zip(values, groups, strict=True)])))
    return float(np.mean(np.array(found) >= found[0] - 1e-9))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]), st.sampled_from("abcdef")),
        min_size=3,
        max_size=10,
    ),
    st.sampled_from(["mean", "median"]),
)
def test_all_ways_to_set_the_signs_are_counted(
    songs: list[tuple[float, str]], average: str
) -> None:
    values, groups = [value for value, _ in songs], "".join(group for _, group in songs)
    p = sign_test(values, groups, average)
    if len(set(groups)) < 3:
        assert p is None
    else:
        assert p == pytest.approx(every_sign(values, groups, average))


def test_songs_of_one_each_have_the_test_of_scipy() -> None:
    values = np.random.default_rng(0).standard_normal(9) + 0.4
    expected = scipy.stats.permutation_test(
        (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=1 << 9,
    ).pvalue  # fmt: skip
    assert sign_test(values, "abcdefghi") == pytest.approx(expected)


def test_artists_and_not_songs_are_what_is_counted() -> None:
    """Sixty songs of three artists, all better: 2 of 8 ways, however sure each artist is."""
    values, groups = np.full(60, 5.0), ["a"] * 20 + ["b"] * 20 + ["c"] * 20
    assert sign_test(values, groups) == 0.25 == least_p(3)
    assert sign_test([1, 2, 3, 4, 5, 6], "abcdef") == least_p(6) == 2 / 64


def test_few_artists_have_neither_an_interval_nor_a_test() -> None:
    for groups in ("aaa", "aab"):
        assert sign_test([1, 2, 3], groups) is None
        assert all(map(math.isnan, cluster_interval([1, 2, 3], groups, "mean")))
    assert math.isnan(cluster_standard_error([1, 2, 3], "aaa"))
    assert summarise_clusters([1, 2, 3], "aab").mean == 2.0


def test_many_artists_are_drawn_and_give_nearly_the_exact_p() -> None:
    values = np.random.default_rng(2).standard_normal(17) + 0.45
    groups = [f"a{k}" for k in range(17)]
    ways = np.array(list(product((1.0, -1.0), repeat=16)))  # of the first sixteen
    sums = ways @ values[:16]
    sums = np.abs(np.concatenate([sums + values[16], sums - values[16]]))
    exact = float((sums >= abs(values.sum()) - 1e-9).mean())
    found = sign_test(values, groups)
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 99_999))
    assert found == sign_test(values, groups) != sign_test(values, groups, seed=1)
    assert sign_test(np.ones(40), [f"a{k}" for k in range(40)]) == 1 / 100_000 == least_p(40)


def test_infinite_differences_have_a_median_and_no_mean() -> None:
    values = [INF, 1.0, 2.0, 3.0, -1.0]
    assert sign_test(values, "abcde") is None
    assert sign_test(values, "abcde", "median") == pytest.approx(
        every_sign(values, "abcde", "median")
    )
    assert sign_test([INF, -INF, INF, -INF], "abcd", "median") is None
    assert cluster_interval(values, "abcde", "mean")[1] == INF


def test_a_bootstrap_over_artists_draws_all_their_songs() -> None:
    """Three artists: a draw of one alone has the mean of the artist, and happens in 1 of 27."""
    values, groups = [0.0, 0.0, 0.0, 0.0, 3.0, 9.0], "aaaabc"
    assert cluster_interval(values, groups, "mean") == (0.0, 9.0)
    assert cluster_interval(values, groups, "median") == (0.0, 9.0)
    order = [5, 0, 4, 2, 3, 1]
    shuffled = [values[k] for k in order], [groups[k] for k in order]
    assert cluster_interval(*shuffled, "mean") == cluster_interval(values, groups, "mean")


def test_songs_of_one_artist_each_have_the_interval_of_songs() -> None:
    values = np.random.default_rng(3).standard_normal(30)
    low, high = cluster_interval(values, [str(k) for k in range(30)], "mean")
    error = values.std() / math.sqrt(30)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.06
    )
    tenfold = cluster_interval(
        np.repeat(values, 10), np.repeat(np.arange(30), 10).astype(str), "mean"
    )
    assert tenfold == pytest.approx((low, high), abs=0.02)  # more of the same is no news


def test_intervals_of_eight_artists_are_a_little_too_narrow() -> None:
    rng, n_covered = np.random.default_rng(4), 0
    groups = np.repeat(np.arange(8), [1, 1, 2, 2, 2, 3, 3, 4])
    for _ in range(150):
        values = rng.standard_normal(8)[groups] + 0.5 * rng.standard_normal(len(groups))
        low, high = cluster_interval(values, groups.astype(str), "mean")
        n_covered += low <= 0 <= high
    assert 0.82 <= n_covered / 150 <= 0.95


def test_p_values_of_nothing_are_at_most_what_they_say() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(8), [1, 1, 2, 2, 2, 3, 3, 4])
    p_values = np.array(
        [
            sign_test(rng.standard_normal(8)[groups] + rng.standard_normal(18), groups.astype(str))
            for _ in range(400)
        ]
    )
    assert 0.02 <= (p_values <= 0.05).mean() <= 0.08


def test_the_standard_error_is_that_of_artists() -> None:
    values, groups = [1.0, 3.0, 4.0, 8.0, 0.0, 2.0], "aabbcc"  # means 2, 6, 1
    expected = np.std([2, 6, 1], ddof=1) / math.sqrt(3)
    assert cluster_standard_error(values, groups) == pytest.approx(expected)
    # Unequal ones by the sums of deviations from the mean of songs, 4: -5 and +5 and 0.
    unequal = [1.0, 2.0, 9.0, 4.0]
    assert cluster_standard_error(unequal, "aabc") == pytest.approx(
        math.sqrt(3 / 2 * (25 + 25 + 0)) / 4
    )
