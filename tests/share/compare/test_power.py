"""What a design can see: by hand, and by drawing designs of which the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from stemsmith.share.compare.clusters import sign_test
from stemsmith.share.compare.power import training_deviation, visible_difference

EIGHT = [f"a{k}" for k in range(8)]
FACTOR = scipy.stats.t.ppf(0.975, 7) + scipy.stats.t.ppf(0.8, 7)


def test_by_hand() -> None:
    """Eight artists, one song each; every number from the formulas of the module."""
    null = np.array([1.0, -1, 1, -1, 1, -1, 1, -1]) + 0.2
    values = {"a": np.zeros(8), "b": null, "c": 2 * null + 3}
    seeds = {"a": (0.0, 0.2, -0.2), "b": (0.2, 0.6, -0.2)}
    found = visible_difference("bass", ("b", "a"), values, seeds, EIGHT, [("c", "a")])
    assert found is not None
    assert (found.n_songs, found.n_groups, found.n_seeds) == (8, 8, 1)  # c has one
    assert found.null_difference == pytest.approx(0.2)
    sd = np.std(null, ddof=1)
    assert found.group_sd == pytest.approx(sd)
    # Squares of seeds: 2 of 0.04 and 2 of 0.16; of the null arm 0.04 over 1/3 + 1/3.
    variance = (2 * 0.04 + 2 * 0.16 + 0.04 * 3 / 2) / 5
    assert (found.training_sd, found.training_df) == (pytest.approx(math.sqrt(variance)), 5)
    # The null arm's squared error is for 1/3 + 1/3; with one training of c it is twice that.
    effect = 4 * sd**2 / 8 - 2 * sd**2 / 8
    assert found.effect_se == pytest.approx(math.sqrt(effect))
    assert found.visible_as_trained == pytest.approx(FACTOR * sd / math.sqrt(8))
    assert found.visible == pytest.approx(FACTOR * math.sqrt(effect + 2 * variance))
    assert found.visible_at_best == pytest.approx(FACTOR * math.sqrt(effect))
    assert found.n_seeds_needed is None  # no number of seeds sees 0.5
    far = visible_difference("bass", ("b", "a"), values, seeds, EIGHT, [("c", "a")], aim=3.0)
    assert far is not None
    n = far.n_seeds_needed
    assert n is not None
    assert FACTOR * math.sqrt(effect + 2 * variance / n) <= 3.0
    assert n == 1 or FACTOR * math.sqrt(effect + 2 * variance / (n - 1)) > 3.0


def test_seeds_alone_are_overcome_by_seeds() -> None:
    values = {"a": np.zeros(8), "b": np.full(8, 0.4)}
    found = visible_difference("bass", ("b", "a"), values, {}, EIGHT)
    assert found is not None
    # Nothing was trained twice: the null arm is all there is, 0.16 over 2, with one degree.
    assert (found.training_sd, found.training_df) == (pytest.approx(math.sqrt(0.08)), 1)
    assert found.visible == pytest.approx(FACTOR * 0.4)
    assert (found.visible_as_trained, found.visible_at_best) == (0.0, 0.0)
    assert found.n_seeds_needed == math.ceil(0.16 * (FACTOR / 0.5) ** 2)


@pytest.mark.parametrize("n_groups", [1, 2, 3, 5])
def test_few_artists_see_nothing(n_groups: int) -> None:
    """Of five artists no p is below 0.0625, so that there is no difference to be seen."""
    groups = EIGHT[:n_groups]
    values = {"a": np.zeros(n_groups), "b": np.arange(n_groups) / 10}
    found = visible_difference("bass", ("b", "a"), values, {}, groups)
    assert found is not None and found.n_groups == n_groups
    assert math.isnan(found.visible) and math.isnan(found.visible_as_trained)
    assert found.n_seeds_needed is None


def test_infinite_and_missing_null_arms_say_nothing() -> None:
    values = {"a": np.zeros(8), "b": np.array([math.inf, *np.zeros(7)])}
    assert visible_difference("bass", ("b", "a"), values, {}, EIGHT) is None
    assert visible_difference("bass", ("c", "a"), values, {}, EIGHT) is None
    assert math.isnan(training_deviation([1.0]))
    assert math.isnan(training_deviation([1.0, -math.inf]))


def test_a_difference_of_that_size_is_found_in_four_of_five_cases() -> None:
    """Songs of eight artists whose differences vary by artist: drawn, seen and tested."""
    rng, seen = np.random.default_rng(0), []
    groups = list(np.repeat(EIGHT, 2))
    error = 0.5 / math.sqrt(8)  # of the mean, by artists of deviation 0.5
    for _ in range(400):
        difference = FACTOR * error + np.repeat(0.5 * rng.standard_normal(8), 2)
        p = sign_test(difference, groups)
        assert p is not None
        seen.append(p < 0.05)
    assert 0.74 <= np.mean(seen) <= 0.88


def test_trainings_and_artists_are_told_apart() -> None:
    """Means over many drawn designs are the variances that they were drawn with."""
    rng, training, effect = np.random.default_rng(1), [], []
    for _ in range(250):
        arms = {}
        for name in ("a", "b", "c"):
            of_artists = rng.normal(0, 1.0, 8) if name == "c" else 0.0
            arms[name] = [of_artists + rng.normal(0, 0.4) + rng.normal(0, 0.8, 8) for _ in range(3)]
        found = visible_difference(
            "bass", ("b", "a"), {n: np.mean(of, axis=0) for n, of in arms.items()},
            {n: tuple(float(x.mean()) for x in of) for n, of in arms.items()}, EIGHT, [("c", "a")],
        )  # fmt: skip
        assert found is not None
        training.append(found.training_sd**2)
        effect.append(found.effect_se**2)
    assert np.mean(training) == pytest.approx(0.4**2 + 0.8**2 / 8, rel=0.1)
    assert np.mean(effect) == pytest.approx(1.0 / 8, rel=0.2)  # floored at 0, thus a bit more
