"""Whether distances predict gains: correlations of scipy, and what is not claimed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from stemsmith.share.compare.prediction import CorpusGain, predict_gains


def corpora(gaps: list[float], gains: list[float], n_banks: int = 3) -> list[CorpusGain]:
    """Return corpora that differ in bank, and in a number."""
    return [
        CorpusGain(f"c{k}", {"bank": str(k % n_banks), "k": str(k)}, {"gap, dB": gap}, gain)
        for k, (gap, gain) in enumerate(zip(gaps, gains, strict=True))
    ]


def test_the_correlation_is_that_of_scipy_and_the_p_value_close_to_it() -> None:
    rng = np.random.default_rng(0)
    gaps = np.round(rng.uniform(1, 4, 14), 1)
    gains = -0.5 * gaps + rng.normal(0, 0.6, 14)
    (found,) = predict_gains(corpora(gaps.tolist(), gains.tolist()))
    expected = scipy.stats.spearmanr(gaps, gains)
    assert found.correlation == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, rel=0.25)
    assert (found.n, found.n_factors, found.p_holm, found.reason) == (14, 2, found.p, "")
    assert "over 14 corpora of 2 factors" in found.to_text()


def test_a_perfect_order_of_twelve_is_the_least_likely_one() -> None:
    (found,) = predict_gains(corpora(list(range(12)), list(range(12, 0, -1))))
    assert found.correlation == pytest.approx(-1.0)
    assert found.p == 1 / 100_000


def test_fewer_than_twelve_claim_nothing() -> None:
    (found,) = predict_gains(corpora(list(range(11)), list(range(11))))
    assert (found.correlation, found.p, found.p_holm, found.n) == (None, None, None, 11)
    assert found.to_text() == ("gap, dB: nothing is claimed: 11 different corpora, fewer than 12")


def test_corpora_of_the_same_levels_are_one() -> None:
    several = corpora(list(range(11)), list(range(11)))
    null_arm = CorpusGain("again", several[0].factors, {"gap, dB": 0.5}, 3.0)
    assert predict_gains([*several, null_arm])[0].n == 11


def test_corpora_that_differ_in_one_factor_claim_nothing() -> None:
    (found,) = predict_gains(corpora(list(range(13)), list(range(13)), n_banks=1))
    assert found.reason == "13 corpora that differ in 1 factor alone"


def test_what_is_not_known_does_not_count_and_all_measures_are_corrected() -> None:
    rows = corpora(list(range(14)), [*range(13), float("nan")])
    rows = [
        CorpusGain(r.name, r.factors, {**r.gaps, "flux": 1.0, "width": -r.gaps["gap, dB"]}, r.gain)
        for r in rows
    ]
    gap, flux, width = predict_gains(rows)
    assert (gap.n, width.n) == (13, 13)
    assert flux.reason == "13 corpora with the same distance or the same gain"
    assert gap.p is not None and gap.p_holm == pytest.approx(2 * gap.p)
    assert width.correlation == pytest.approx(-1.0)
    assert predict_gains([]) == ()


def test_p_values_of_nothing_are_uniform() -> None:
    rng = np.random.default_rng(1)
    found = [predict_gains(corpora(*rng.normal(size=(2, 12)).tolist()))[0].p for _ in range(40)]
    assert 0.25 <= np.mean([p is not None and p <= 0.5 for p in found]) <= 0.75
