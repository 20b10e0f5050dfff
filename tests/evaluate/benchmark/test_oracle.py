"""Oracle masks: their definitions, their bounds, and the transform they are made on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.benchmark import oracle
from stemsmith.evaluate.benchmark.oracle import (
    MASKS,
    Oracle,
    inverse_transform,
    oracle_estimates,
    transform,
    window_samples,
)
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db

Array = npt.NDArray[Any]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def spectrum(*shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.mark.parametrize("n_fft", [512, 1412])
@pytest.mark.parametrize("n_samples", [1, 511, 512, 5000])
def test_the_transform_is_that_of_training(n_fft: int, n_samples: int) -> None:
    torch = pytest.importorskip("torch")
    from stemsmith.train.models.stft import Stft, StftConfig, Window

    stft = Stft(StftConfig(n_fft, n_fft // 2, Window.SQRT_HANN))
    assert transform(noise(n_samples), n_fft).dtype == np.complex64
    audio = noise(2, n_samples).astype(np.float64)
    expected = stft.whole(torch.from_numpy(audio))
    np.testing.assert_allclose(transform(audio, n_fft).swapaxes(1, 2), expected.numpy(), atol=1e-10)
    masked = expected * torch.linspace(0, 1, expected.shape[-1])
    back = inverse_transform(masked.numpy().swapaxes(1, 2), n_samples)
    np.testing.assert_allclose(back, stft.inverse(masked, n_samples).numpy(), atol=1e-10)


@given(n_samples=st.integers(1, 3000), hop=st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_what_is_transformed_comes_back(n_samples: int, hop: int) -> None:
    audio = noise(n_samples).astype(np.float64)
    back = inverse_transform(transform(audio, 2 * hop), n_samples)
    np.testing.assert_allclose(back, audio, atol=1e-12)


def test_windows_are_32_ms_at_every_rate() -> None:
    assert [window_samples(rate) for rate in (8000, 16000, 44100, 48000)] == [256, 512, 1412, 1536]


def test_masks_of_one_bin() -> None:
    # |S| = 3 beside |N| = 4, at a right angle: |X| = 5 and the angle to S has cosine 3 / 5.
    target, mixture = np.array([3.0 + 0j]), np.array([3.0 + 4j])
    values = {oracle: float(mask(target, mixture)[0]) for oracle, mask in MASKS.items()}
    assert values == pytest.approx({"ibm": 0, "irm": 3 / 7, "wiener": 9 / 25, "tpsa": 9 / 25})
    # In phase the wiener mask takes too little, and in opposite phase no mask helps.
    assert MASKS[Oracle.TPSA](target, np.array([4.0 + 0j])) == pytest.approx(0.75)
    assert MASKS[Oracle.WIENER](target, np.array([4.0 + 0j])) == pytest.approx(0.9)
    assert MASKS[Oracle.TPSA](target, np.array([-1.0 + 0j])) == 0
    assert MASKS[Oracle.TPSA](target, np.array([1.0 + 0j])) == 1
    assert MASKS[Oracle.IBM](target, np.array([4.0 + 0j])) == 1


@pytest.mark.parametrize("kind", Oracle)
def test_masks_are_real_and_between_0_and_1(kind: Oracle) -> None:
    target, mixture = spectrum(40, 30), spectrum(40, 30, seed=1)
    target[0], mixture[1], target[2], mixture[2] = 0, 0, 0, 0
    mask = MASKS[kind](target, mixture)
    assert mask.dtype == np.float64
    assert ((mask >= 0) & (mask <= 1)).all()
    assert not mask[0].any()
    assert not mask[2].any()


@pytest.mark.parametrize("kind", [Oracle.IBM, Oracle.IRM, Oracle.WIENER])
def test_masks_of_a_target_and_of_the_rest_add_up(kind: Oracle) -> None:
    target, rest = spectrum(40, 30), spectrum(40, 30, seed=1)
    masks = [MASKS[kind](source, target + rest) for source in (target, rest)]
    np.testing.assert_allclose(masks[0] + masks[1], 1, atol=1e-12)


BIN = st.complex_numbers(max_magnitude=1e3, allow_nan=False, allow_infinity=False)


@given(target=BIN, mixture=BIN, other=st.floats(0, 1))
@settings(max_examples=500, deadline=None)
def test_no_mask_in_0_to_1_beats_the_truncated_phase_sensitive_one(
    target: complex, mixture: complex, other: float
) -> None:
    best = MASKS[Oracle.TPSA](np.array([target]), np.array([mixture]))[0]
    error, worse = abs(best * mixture - target), abs(other * mixture - target)
    assert error <= worse * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("kind", Oracle)
def test_estimates_of_easy_mixtures(kind: Oracle) -> None:
    low = np.sin(2 * np.pi * 250 * np.arange(16000) / 16000, dtype=np.float32)[None]
    high = np.sin(2 * np.pi * 4000 * np.arange(16000) / 16000, dtype=np.float32)[None]
    alone, nothing = oracle_estimates(kind, np.stack([low, np.zeros_like(low)]), low, 16000)
    np.testing.assert_allclose(alone, low, atol=1e-5)
    assert alone.dtype == np.float32
    assert not nothing.any()
    for source, estimate in zip(
        (low, high), oracle_estimates(kind, np.stack([low, high]), low + high, 16000), strict=True
    ):
        assert si_sdr_db(source, estimate) > 40


def test_every_target_and_channel_has_its_own_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    references, mixture = noise(3, 2, 4000), noise(2, 4000, seed=1)
    transformed = []

    def counted(audio: Array, n_fft: int) -> Array:
        transformed.append(audio)
        return transform(audio, n_fft)

    with monkeypatch.context() as patch:
        patch.setattr(oracle, "transform", counted)
        every = oracle_estimates(Oracle.IRM, references, mixture, 44100)
    assert len(transformed) == 2 + 3 * 2  # the mixture's is not made anew for every target
    for target in range(3):
        for channel in range(2):
            at = slice(channel, channel + 1)
            one = references[target : target + 1, at]
            alone = oracle_estimates(Oracle.IRM, one, mixture[at], 44100)
            np.testing.assert_array_equal(every[target, channel], alone[0, 0])


def test_oracles_of_rendered_songs_come_in_the_order_of_tables_2_and_3(
    corpus: Path, tmp_path: Path, here
) -> None:
    """Manilow et al. 2019: the unprocessed mixture is the worst, then IRM, Wiener-like and tPSA."""
    means: dict[str, dict[str, float]] = {}
    for system in ("mixture", *(f"oracle:{kind}" for kind in Oracle)):
        results = tmp_path / system.replace(":", "-")
        splits = [f"--split={split}" for split in ("train", "validation", "test")]
        done = here("evaluate", system, corpus, results, *splits, "--bss", "none", "--jobs", 0)
        assert done.returncode == 0, done.stderr
        scores = Results(results).summary["scores"]
        means[system] = {target: by["SI-SDR"]["mean"] for target, by in scores.items()}
    for target in ("piano", "bass", "guitar", "drums"):
        mixture, ibm, irm, wiener, tpsa = (by[target] for by in means.values())
        assert mixture + 5 < min(ibm, irm) < max(ibm, irm) < wiener < tpsa, target
        # Tables 2 and 3: 0.9 to 1.1 dB from the one to the other, in every column.
        assert 0.5 < tpsa - wiener < 1.5
