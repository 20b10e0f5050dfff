"""SI-SDR, SNR and the bootstrap against closed forms and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
from stemsmith.evaluate.metrics.per_song.snr import snr_db
from stemsmith.evaluate.metrics.summary import bootstrap_interval, summarise
from stemsmith.manifests.arrays import Float64s


def orthonormal(n: int, n_samples: int = 400) -> Float64s:
    """Return n signals of energy 1, orthogonal to each other and of mean 0."""
    noise = np.random.default_rng(0).standard_normal((n_samples, n))
    columns, _ = np.linalg.qr(noise - noise.mean(axis=0))
    return columns.T


@pytest.mark.parametrize("gain", [1.0, -0.3, 1e-4, 50.0])
@pytest.mark.parametrize("error", [1e-6, 0.1, 1.0, 30.0])
def test_si_sdr_of_orthogonal_signals_is_the_ratio_of_their_gains(
    gain: float, error: float
) -> None:
    s, noise = orthonormal(2)
    expected = 20 * math.log10(abs(gain) / error)
    assert si_sdr_db(s, gain * s + error * noise) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_si_sdr_does_not_depend_on_the_scales(of_reference: float, of_estimate: float) -> None:
    s, noise = orthonormal(2)
    expected = si_sdr_db(s, s + noise)
    assert si_sdr_db(of_reference * s, of_estimate * (s + noise)) == pytest.approx(expected)


def test_si_sdr_keeps_the_mean_of_the_signals() -> None:
    s = orthonormal(1)[0]
    offset = 0.5 / math.sqrt(len(s))  # of energy 0.25, and orthogonal to what has mean 0
    assert si_sdr_db(s, s + offset) == pytest.approx(10 * math.log10(4.0))


def test_silent_references_have_no_score_and_silent_estimates_the_worst() -> None:
    s, noise = orthonormal(2)
    silence = np.zeros_like(s)
    for metric in (si_sdr_db, snr_db):
        assert math.isnan(metric(silence, noise))
        assert math.isnan(metric(silence, silence))
        assert metric(s, s) == math.inf
    assert si_sdr_db(s, silence) == -math.inf
    assert snr_db(s, silence) == 0.0


def test_si_sdr_is_of_mono_alone() -> None:
    s, noise = orthonormal(2)
    assert si_sdr_db(s[None], (s + noise)[None]) == si_sdr_db(s, s + noise)
    for shape in ((2, -1), (1, 2, -1), (-1, 1)):
        with pytest.raises(ValueError, match="mono"):
            si_sdr_db(s.reshape(shape), noise.reshape(shape))


def test_snr_is_over_all_channels() -> None:
    s, noise = orthonormal(2)
    reference = np.stack([3 * s, 4 * s])
    assert snr_db(reference, reference + 0.5 * noise) == pytest.approx(
        10 * math.log10(25 / (2 * 0.25))
    )


@pytest.mark.parametrize("metric", [si_sdr_db, snr_db])
def test_bad_signals_are_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match=r"of shape \(1, 3\) and the estimate of \(1, 4\)"):
        metric(np.ones((1, 3)), np.ones((1, 4)))
    with pytest.raises(ValueError, match="a sample of the estimate is not finite"):
        metric(np.ones(3), np.array([1.0, np.nan, 1.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ratios_are_those_of_torchmetrics(dtype: type) -> None:
    functional = pytest.importorskip("torchmetrics.functional.audio")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for level_db in (-40, -10, 0, 20, 60):
        reference = rng.standard_normal(16000).astype(dtype)
        noise = rng.standard_normal(16000)
        estimate = (0.7 * reference + 10 ** (-level_db / 20) * noise + 0.01).astype(dtype)
        tensors = [torch.from_numpy(x.astype(np.float64)) for x in (estimate, reference)]
        expected = functional.scale_invariant_signal_distortion_ratio(*tensors).item()
        assert si_sdr_db(reference, estimate) == pytest.approx(expected, abs=1e-6)
        expected = functional.signal_noise_ratio(*tensors).item()
        assert snr_db(reference[None], estimate[None]) == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------------------------------------
# The bootstrap


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    # 200 independent scores: the drawn mean is normal, of standard deviation s / sqrt(n).
    scores = np.random.default_rng(0).standard_normal(200)
    low, high = bootstrap_interval(scores, np.mean)
    error = 1.96 * scores.std() / math.sqrt(200)
    assert low == pytest.approx(scores.mean() - error, abs=0.01)
    assert high == pytest.approx(scores.mean() + error, abs=0.01)


def test_the_interval_of_the_median_of_three_is_known() -> None:
    # A drawn median of (1, 2, 3) is 1 with probability 7/27, and 3 likewise.
    assert bootstrap_interval([1.0, 2.0, 3.0], np.median) == (1.0, 3.0)
    assert bootstrap_interval([1.0, 2.0, 3.0], np.median, level=0.4) == (2.0, 2.0)


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    n_covered = 0
    for seed in range(100):
        low, high = bootstrap_interval(rng.standard_normal(30), np.mean, seed)
        n_covered += low <= 0.0 <= high
    assert 88 <= n_covered <= 99


def test_the_seed_decides_the_interval() -> None:
    scores = np.random.default_rng(0).standard_normal(20)
    intervals = [bootstrap_interval(scores, np.mean, seed) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_one_score_has_no_interval() -> None:
    assert all(map(math.isnan, bootstrap_interval([4.5], np.mean)))


# ---------------------------------------------------------------------------------------------
# The summary


def test_what_has_no_score_is_counted_and_left_out() -> None:
    summary = summarise([1.0, math.nan, 2.0, 6.0, math.nan])
    assert (summary.n, summary.n_left_out) == (3, 2)
    assert (summary.mean, summary.median) == (3.0, 2.0)
    assert summary.mean_interval == bootstrap_interval([1.0, 2.0, 6.0], np.mean)
    assert summary.median_interval == bootstrap_interval([1.0, 2.0, 6.0], np.median)


@pytest.mark.parametrize("scores", [[], [math.nan] * 3])
def test_a_summary_of_nothing_is_nan(scores: list[float]) -> None:
    summary = summarise(scores)
    assert (summary.n, summary.n_left_out) == (0, len(scores))
    assert math.isnan(summary.mean) and math.isnan(summary.median)
    assert all(map(math.isnan, (*summary.mean_interval, *summary.median_interval)))


def test_infinite_scores_count() -> None:
    summary = summarise([1.0, math.inf, 3.0, 2.0])
    assert (summary.n, summary.mean, summary.median) == (4, math.inf, 2.5)


@pytest.mark.filterwarnings("error")
def test_infinite_scores_of_both_signs_have_no_mean_and_warn_of_nothing() -> None:
    summary = summarise([1.0, 2.0, -math.inf, math.inf])
    assert math.isnan(summary.mean) and summary.median == 1.5 and summary.n == 4
