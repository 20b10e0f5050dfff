"""Tests of the bus: ceiling, alignment, place of what is on one side."""

from __future__ import annotations

import numpy as np
import pytest
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.production.bus import Bus, apply_bus, draw_bus, limit

pytest.importorskip("pedalboard", reason="needs the extra effects")

RATE = 16000


def bursts(n_channels: int) -> np.ndarray:
    """Return noise with beats, whose crest factor is that of drums."""
    rng = np.random.default_rng(1)
    beat = np.exp(-np.arange(RATE // 2) / (0.05 * RATE))
    audio = rng.standard_normal((n_channels, 4 * RATE)) * np.tile(beat, 8)
    return (0.1 * audio).astype(np.float32)


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_bus_reaches_its_ceiling_and_never_passes_it(seed: int, n_channels: int) -> None:
    bus = draw_bus(rng_for(seed, "bus"))
    mastered = apply_bus(bursts(n_channels), bus, RATE)
    ceiling = 10 ** (bus.ceiling_dbfs / 20)
    assert mastered.shape == (n_channels, 4 * RATE)
    assert np.abs(mastered).max() <= ceiling * (1 + 1e-6)
    assert np.abs(mastered).max() > 0.9 * ceiling
    assert Bus.from_json(bus.to_json()) == bus


def test_a_bus_makes_the_crest_smaller_whatever_the_level() -> None:
    bus = Bus(-15, 3, 10, 100, 4, 4)
    audio = bursts(1)
    quiet, loud = (apply_bus(audio * np.float32(gain), bus, RATE) for gain in (0.01, 8))
    np.testing.assert_allclose(quiet, loud, atol=1e-4)

    def crest_db(samples: np.ndarray) -> float:
        rms = np.sqrt(np.square(samples, dtype=np.float64).mean())
        return float(20 * np.log10(np.abs(samples).max() / rms))

    assert crest_db(loud) < crest_db(audio) - 2


def test_what_stays_under_the_ceiling_is_not_touched() -> None:
    audio = bursts(2)
    np.testing.assert_array_equal(limit(audio, 2.0, 5, RATE), audio)


def test_the_limiter_begins_before_a_peak_and_ends_after_it() -> None:
    audio = np.full((2, 4000), 0.5, np.float32)
    audio[1, 2000] = 1.0
    limited = limit(audio, 0.5, 10, RATE)  # 160 samples
    gain = limited[0] / audio[0]
    assert limited.max() <= 0.5
    changed = np.flatnonzero(gain < 1)
    assert (changed[0], changed[-1]) == (2000 - 160, 2000 + 160)
    assert gain[2000] == pytest.approx(0.5)
    np.testing.assert_allclose(gain[1840:2000], gain[2001:2161][::-1], atol=1e-6)
    assert np.abs(np.diff(gain)).max() < 0.01


def test_a_bus_keeps_the_place_of_what_is_on_one_side() -> None:
    mono = bursts(1)
    audio = np.concatenate([mono, 0.25 * mono])
    mastered = apply_bus(audio, draw_bus(rng_for(2, "bus")), RATE)
    np.testing.assert_allclose(mastered[1], 0.25 * mastered[0], atol=1e-5)


def test_silence_stays_silence() -> None:
    bus = draw_bus(rng_for(0, "bus"))
    assert not apply_bus(np.zeros((2, 1000), np.float32), bus, RATE).any()
    assert apply_bus(np.zeros((1, 0), np.float32), bus, RATE).shape == (1, 0)
