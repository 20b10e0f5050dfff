"""NMF: what its updates never do, and a loop over numbers that says what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.nmf.factorisation import (
    FLOOR,
    divergence,
    fit_gains,
    learn_base,
    updated_gains,
)
from stemsmith.manifests.errors import UsageError


def problem(seed: int, n_rows: int = 4, n_frames: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Return magnitudes (9, n_frames), of which some are 0, and bases (9, n_rows), in float64."""
    rng = np.random.default_rng(seed)
    magnitudes = rng.gamma(0.5, size=(9, n_frames)) * (rng.random((9, n_frames)) > 0.2)
    return torch.from_numpy(magnitudes), torch.from_numpy(rng.gamma(0.5, size=(9, n_rows)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), beta=st.just(1.0) | st.floats(1.01, 2.0))
def test_no_update_lets_the_divergence_grow(seed: int, beta: float) -> None:
    magnitudes, bases = problem(seed)
    gains = torch.ones(4, 5, dtype=torch.float64)
    before = divergence(magnitudes, bases, gains, beta)
    for _ in range(20):
        gains = updated_gains(magnitudes, bases, gains, beta)
        after = divergence(magnitudes, bases, gains, beta)
        assert (after <= before + 1e-9 * before.abs().clamp_min(1)).all()
        before = after


def divergence_of_numbers(x: float, y: float, beta: float) -> float:
    """Return the beta-divergence as Fevotte and Idier 2011, equation 2, have it."""
    if beta == 1:
        return float((x * np.log(x / y) if x else 0.0) - x + y)
    return float((x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (beta**2 - beta))


@pytest.mark.parametrize("beta", [1.0, 1.3, 2.0])
def test_gains_are_those_of_a_loop_over_numbers(beta: float) -> None:
    magnitudes, bases = map(np.asarray, problem(3))
    is_open = np.random.default_rng(1).random((4, 5)) > 0.3
    gains = is_open.astype(np.float64)
    loudest = magnitudes.max(axis=0)
    for _ in range(7):
        new = gains.copy()
        for frame in range(5):
            scaled = magnitudes[:, frame] / loudest[frame]
            model = [sum(bases[f] * gains[:, frame]) + FLOOR for f in range(9)]
            for row in range(4):
                above = sum(bases[f, row] * scaled[f] * model[f] ** (beta - 2) for f in range(9))
                below = sum(bases[f, row] * model[f] ** (beta - 1) for f in range(9))
                new[row, frame] = gains[row, frame] * above / below
        gains = new
    found = fit_gains(*problem(3), torch.from_numpy(is_open), 7, beta)
    np.testing.assert_allclose(found.numpy(), gains * loudest, rtol=1e-9)
    whole = bases @ gains + FLOOR
    expected = [
        sum(divergence_of_numbers(magnitudes[f, t], whole[f, t], beta) for f in range(9))
        for t in range(5)
    ]
    of_tensors = divergence(*problem(3), torch.from_numpy(gains), beta)
    np.testing.assert_allclose(of_tensors.numpy(), expected, rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_closed_gains_are_0_and_frames_do_not_know_each_other(seed: int) -> None:
    magnitudes, bases = problem(seed, n_frames=6)
    is_open = torch.from_numpy(np.random.default_rng(seed).random((4, 6)) > 0.5)
    gains = fit_gains(magnitudes, bases, is_open)
    assert (gains[~is_open] == 0).all()
    assert (gains >= 0).all() and gains.isfinite().all()
    halves = [fit_gains(magnitudes[:, k], bases, is_open[:, k]) for k in (slice(4), slice(4, 6))]
    torch.testing.assert_close(torch.cat(halves, dim=1), gains)
    louder = fit_gains(1000 * magnitudes, bases, is_open)
    torch.testing.assert_close(louder, 1000 * gains)


def test_silence_has_no_gains() -> None:
    gains = fit_gains(torch.zeros(9, 3), problem(0)[1].float())
    assert (gains == 0).all()


@pytest.mark.parametrize("beta", [0.9, 2.1, float("nan")])
def test_a_beta_whose_updates_could_diverge_is_refused(beta: float) -> None:
    with pytest.raises(UsageError, match="from 1 to 2"):
        fit_gains(*problem(0), beta=beta)


def test_a_base_is_the_spectrum_that_frames_are_multiples_of() -> None:
    rng = np.random.default_rng(0)
    base, gains = rng.gamma(0.5, size=(9, 1)), rng.gamma(1.0, size=(1, 7))
    learned = learn_base(torch.from_numpy(base @ gains))
    np.testing.assert_allclose(learned.numpy(), base[:, 0] / base.max(), atol=1e-6)
    assert (learn_base(torch.zeros(9, 7)) == 0).all()
