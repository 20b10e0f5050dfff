"""The losses against slow float64 references that follow the papers' equations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.manifests.arrays import Complex128s
from stemsmith.train.models.losses.complex import complex_loss
from stemsmith.train.models.losses.dissimilarity import dissimilarity_loss
from stemsmith.train.models.losses.magnitude import magnitude_loss
from stemsmith.train.models.losses.tpsa import tpsa_loss, tpsa_target
from torch import Tensor


def spectra(*shape: int, seed: int = 0) -> Complex128s:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def slow_target(reference: Complex128s, mixture: Complex128s) -> npt.NDArray[np.float64]:
    """Return equation 1 of the Slakh paper, bin by bin, with angles."""
    target = np.empty(mixture.shape)
    for at in np.ndindex(*mixture.shape):
        s, x = reference[at], mixture[at]
        projection = abs(s) * np.cos(np.angle(s) - np.angle(x))
        target[at] = min(max(projection, 0.0), abs(x))
    return target


def target_of(s: complex, x: complex) -> float:
    return float(tpsa_target(torch.tensor(s), torch.tensor(x)))


def test_the_tpsa_target_is_equation_1() -> None:
    reference, mixture = spectra(3, 33, 20), spectra(3, 33, 20, seed=1)
    mixture[0, :5] = 0
    reference[1, :5] = 0
    mixture[2, :5] = reference[2, :5]
    expected = slow_target(reference, mixture)
    assert 0 < np.mean(expected == 0) < 1  # both truncations occur
    assert 0 < np.mean(expected == np.abs(mixture)) < 1
    exact = tpsa_target(torch.from_numpy(reference), torch.from_numpy(mixture))
    np.testing.assert_allclose(exact.numpy(), expected, rtol=0, atol=1e-12)
    single = tpsa_target(*(torch.from_numpy(a.astype(np.complex64)) for a in (reference, mixture)))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("s", "x", "expected"),
    [
        (1 + 0j, 2 + 0j, 1.0),  # in phase, weaker than the mixture
        (3 + 0j, 2 + 0j, 2.0),  # stronger than the mixture: at most the mixture
        (-1 + 0j, 2 + 0j, 0.0),  # opposite phase: at least nothing
        (1j, 2 + 0j, 0.0),  # at a right angle
        (1 + 1j, 2 + 0j, 1.0),  # at 45 degrees: the projection
        (2j, 3j, 2.0),
        (0j, 3j, 0.0),
        (1 + 1j, 0j, 0.0),  # a silent mixture
        (0j, 0j, 0.0),
    ],
)
def test_the_tpsa_target_is_truncated_both_ways(s: complex, x: complex, expected: float) -> None:
    assert target_of(s, x) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e-20, 1e15])
def test_the_tpsa_target_scales_and_stays_finite(scale: float) -> None:
    mixture = torch.tensor([3 + 4j, 4 - 3j]) * scale
    target = tpsa_target(0.5 * mixture, mixture)
    assert torch.isfinite(target).all()
    assert (target <= mixture.abs()).all()
    if scale > 1e-30:
        torch.testing.assert_close(target, 0.5 * mixture.abs())


parts = st.floats(-10, 10, allow_subnormal=False)
bins = st.builds(complex, parts, parts)


@given(bins, bins)
def test_the_tpsa_target_is_the_best_mask_between_0_and_1(s: complex, x: complex) -> None:
    target = tpsa_target(*(torch.tensor(v, dtype=torch.complex128) for v in (s, x))).item()
    masks = np.linspace(0, 1, 101)
    errors = np.abs(s - masks * x) ** 2
    phase = x / abs(x) if x else 0
    assert abs(s - target * phase) ** 2 <= errors.min() + 1e-9
    assert 0 <= target <= abs(x)


def test_the_tpsa_loss_is_a_mean_absolute_difference() -> None:
    reference, mixture = spectra(2, 3, 9, 7), spectra(2, 1, 9, 7, seed=1)
    estimate = np.abs(spectra(2, 3, 9, 7, seed=2))
    expected = np.abs(estimate - slow_target(reference, np.broadcast_to(mixture, (2, 3, 9, 7))))
    loss = tpsa_loss(*map(torch.from_numpy, (estimate, reference, mixture)))
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-12)


def test_the_magnitude_loss_is_a_mean_square() -> None:
    estimate, reference = np.abs(spectra(2, 1, 9, 7)), spectra(2, 1, 9, 7, seed=1)
    expected = sum((e - abs(r)) ** 2 for e, r in zip(estimate.flat, reference.flat, strict=True))
    loss = magnitude_loss(torch.from_numpy(estimate), torch.from_numpy(reference))
    assert float(loss) == pytest.approx(expected / estimate.size, rel=1e-12)


def test_the_complex_loss_is_a_mean_squared_distance() -> None:
    estimate, reference = spectra(2, 4, 9, 7), spectra(2, 4, 9, 7, seed=1)
    pairs = zip(estimate.flat, reference.flat, strict=True)
    expected = sum((e.real - r.real) ** 2 + (e.imag - r.imag) ** 2 for e, r in pairs)
    loss = complex_loss(torch.from_numpy(estimate), torch.from_numpy(reference))
    assert float(loss) == pytest.approx(expected / estimate.size, rel=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.05])  # other sources so near that the sum is below 0
def test_the_dissimilarity_loss_is_its_weighted_sum(factor: float) -> None:
    near, true = np.abs(spectra(2, 4, 9, 7, seed=2)), spectra(2, 4, 9, 7, seed=1)
    estimate = np.abs(true) + factor * near
    weights = [
        [1, -0.001, -0.001, -0.03], [-0.001, 1, -0.001, -0.01], [-0.001, -0.001, 1, -0.01]
    ]  # fmt: skip
    total = 0.0
    for b, i, j, f, t in np.ndindex(2, 3, 4, 9, 7):
        total += weights[i][j] * (estimate[b, i, f, t] - abs(true[b, j, f, t])) ** 2
    assert (total > 0) == (factor == 1.0)
    loss = dissimilarity_loss(*map(torch.from_numpy, (estimate, true)))
    assert float(loss) == pytest.approx(abs(total) / estimate.size, rel=1e-10)


@pytest.mark.parametrize("is_silent", [False, True])
def test_losses_of_a_perfect_estimate_are_0_with_finite_gradients(is_silent: bool) -> None:
    mixture = torch.from_numpy(spectra(2, 9, 7)) * (not is_silent)

    def gradient_of(loss: Tensor, estimate: Tensor) -> Tensor:
        assert loss.item() == pytest.approx(0, abs=1e-12)
        return torch.autograd.grad(loss, estimate)[0]

    magnitude = mixture.abs().requires_grad_()
    copy = mixture.clone().requires_grad_()
    assert gradient_of(tpsa_loss(magnitude, mixture, mixture), magnitude).isfinite().all()
    assert gradient_of(magnitude_loss(magnitude, mixture), magnitude).isfinite().all()
    assert gradient_of(complex_loss(copy, mixture), copy).isfinite().all()
