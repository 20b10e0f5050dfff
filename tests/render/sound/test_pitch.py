"""The pitch of a note, on signals whose pitch is known."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.render.sound.pitch import UNSTABLE, find_pitch, hertz

RATE = 22050
SECONDS = 0.35


def harmonics(frequency_hz: float, *amplitudes: float) -> npt.NDArray[np.float32]:
    """Return a sum of sines at multiples of a frequency, with phases that differ."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    partials = [
        amplitude * np.sin(2 * np.pi * k * frequency_hz * time + k * k)
        for k, amplitude in enumerate(amplitudes, 1)
        if k * frequency_hz < RATE / 2
    ]
    return np.sum(partials, axis=0).astype(np.float32)


SAW = tuple(1 / k for k in range(1, 12))


@settings(max_examples=60, deadline=None)
@given(st.integers(28, 96), st.floats(-90, 90), st.sampled_from([(1.0,), SAW, (1, 0, 0.5, 0, 0.3)]))
def test_a_detuned_note_is_measured_to_three_cents(
    key: int, cents: float, amplitudes: tuple[float, ...]
) -> None:
    note = harmonics(hertz(key) * 2 ** (cents / 1200), *amplitudes)
    found = find_pitch(note, RATE, hertz(key))
    # Above key 90 a period has fewer than 14 samples.
    assert found.cents == pytest.approx(cents, abs=3 if key <= 90 else 6)
    assert found.aperiodicity < UNSTABLE


@pytest.mark.parametrize("octaves", [-2, -1, 1, 2])
@pytest.mark.parametrize("key", [48, 60, 72])
@pytest.mark.parametrize("amplitudes", [(1.0,), SAW])
def test_an_octave_is_measured_as_an_octave(
    key: int, octaves: int, amplitudes: tuple[float, ...]
) -> None:
    found = find_pitch(harmonics(hertz(key) * 2.0**octaves, *amplitudes), RATE, hertz(key))
    assert found.cents == pytest.approx(1200 * octaves, abs=3)


def test_a_weak_fundamental_keeps_its_octave() -> None:
    """Oboes and low harp strings have a second harmonic that is far stronger than the first."""
    found = find_pitch(harmonics(hertz(60), 0.1, 1.0, 0.08, 0.3), RATE, hertz(60))
    assert found.cents == pytest.approx(0, abs=3)


def test_a_buzz_below_a_note_does_not_move_it() -> None:
    note = harmonics(hertz(60), *SAW) + 0.3 * harmonics(hertz(60) / 3, 1.0)
    assert find_pitch(note, RATE, hertz(60)).cents == pytest.approx(0, abs=3)


def test_a_bell_is_heard_at_its_strongest_partial() -> None:
    """Its partials at 1, 2.71 and 5.23 times a frequency have no period in common."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    partials = [(1.0, 1.0), (0.3, 2.708), (0.1, 5.23)]
    note = sum(a * np.sin(2 * np.pi * r * hertz(60) * time) for a, r in partials)
    found = find_pitch(np.asarray(note, np.float32), RATE, hertz(60))
    assert found.aperiodicity >= UNSTABLE or found.cents == pytest.approx(0, abs=10)


def test_noise_has_no_stable_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(round(SECONDS * RATE)).astype(np.float32)
    for key in (36, 60, 84):
        assert find_pitch(noise, RATE, hertz(key)).aperiodicity > UNSTABLE


def test_a_constant_has_no_pitch() -> None:
    found = find_pitch(np.ones(round(SECONDS * RATE), np.float32), RATE, hertz(60))
    assert math.isnan(found.cents) or found.aperiodicity >= UNSTABLE
