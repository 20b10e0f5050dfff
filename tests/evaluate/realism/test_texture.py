"""Flux, onsets and polyphony of sounds whose notes and times are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stemsmith.evaluate.realism.texture import (
    TextureMeter,
    grid_deviation_ms,
    onset_times_s,
    polyphony,
)

RATE = 16000
TIMES = np.arange(12 * RATE) / RATE


def clicks(times_s: np.ndarray, rate: int = RATE) -> np.ndarray:
    """Return bursts of noise at given times, as long as 12 s."""
    rng, audio = np.random.default_rng(0), np.zeros(13 * rate, np.float32)
    decay = np.exp(-np.arange(rate // 10) / (0.02 * rate))
    for time_s in times_s:
        start = round(time_s * rate)
        audio[start : start + len(decay)] += rng.standard_normal(len(decay)) * decay
    return audio[: 12 * rate]


def chord(*pitches: int) -> np.ndarray:
    """Return notes of twelve partials, each as loud as one over its number."""
    rng, audio = np.random.default_rng(0), np.zeros(len(TIMES))
    for pitch in pitches:
        f0 = 440 * 2 ** ((pitch - 69) / 12)
        for number in range(1, 13):
            if number * f0 < RATE / 2:
                phase = rng.uniform(0, 2 * np.pi)
                audio += np.sin(2 * np.pi * number * f0 * TIMES + phase) / number
    return audio.astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_onsets_are_found_where_they_are(rate: int) -> None:
    true = np.cumsum(np.random.default_rng(1).uniform(0.15, 0.4, 40))
    true = true[true < 11.5]
    found = onset_times_s(clicks(true, rate), rate)
    assert len(found) == len(true)
    offsets = found - true
    assert np.std(offsets) < 0.003  # the same delay for all


@pytest.mark.parametrize("period_s", [0.125, 0.25, 1 / 3, 0.5])
def test_onsets_on_a_grid_do_not_deviate(period_s: float) -> None:
    """Eighths and quarters keep to the grid of their sixteenths or twelfths."""
    assert grid_deviation_ms(np.arange(0.3, 11.9, period_s)) < 0.5


def test_deviations_come_out_as_they_were_drawn() -> None:
    grid = np.arange(0.2, 11.8, 0.25)
    for deviation_ms in (5, 10, 20):
        drawn = np.random.default_rng(2).normal(0, deviation_ms / 1000, (20, len(grid)))
        found = [grid_deviation_ms(np.sort(grid + row)) for row in drawn]
        assert np.mean(found) == pytest.approx(deviation_ms, rel=0.2)
    heard = onset_times_s(clicks(grid + drawn[0] / 2), RATE)
    assert grid_deviation_ms(heard) == pytest.approx(10, rel=0.25)
    anywhere = np.sort(np.random.default_rng(3).uniform(0, 12, 50))
    assert grid_deviation_ms(anywhere) > 25
    assert math.isnan(grid_deviation_ms(grid[:11]))


@pytest.mark.parametrize(
    "pitches", [(60,), (40,), (84,), (60, 67), (48, 64), (60, 64, 67), (45, 60, 64)]
)
def test_notes_of_chords_are_counted(pitches: tuple[int, ...]) -> None:
    found = polyphony(chord(*pitches), RATE)
    assert len(found) == 24  # two a second
    assert np.mean(found) == pytest.approx(len(pitches), abs=0.35)


def test_nothing_has_no_notes_and_no_flux() -> None:
    meter = TextureMeter(RATE)
    silence = np.zeros((2, 12 * RATE), np.float32)
    meter.add(silence, silence)
    assert all(map(math.isnan, meter.found()))
    meter.add(silence[:, :100], silence[:, :100])  # less than a frame
    assert polyphony(silence[0], RATE) == []


def test_flux_is_what_is_new_and_not_how_loud_it_is() -> None:
    steady, struck = chord(60), chord(60) * np.tile(np.exp(-TIMES[: RATE // 2] / 0.1), 24)
    fluxes = []
    for audio in (steady, struck, 0.01 * struck):
        meter = TextureMeter(RATE)
        meter.add(audio[None].astype(np.float32), audio[None].astype(np.float32))
        fluxes.append(meter.found().flux_percent)
    assert fluxes[0] < 0.5 < 2 < fluxes[1]
    assert fluxes[2] == pytest.approx(fluxes[1], rel=1e-3)


def test_the_flux_is_that_of_a_loop() -> None:
    audio = np.random.default_rng(4).standard_normal((1, RATE)).astype(np.float32)
    meter = TextureMeter(RATE)
    meter.add(audio, audio)
    n_frame, rise, total, before = 736, 0.0, 0.0, None  # 46 ms
    for start in range(0, RATE - n_frame + 1, 160):
        frame = audio[0, start : start + n_frame] * np.hanning(n_frame)
        now = np.abs(np.fft.rfft(frame))
        if before is not None:
            rise += np.maximum(now - before, 0).sum()
            total += now.sum()
        before = now
    assert meter.found().flux_percent == pytest.approx(100 * rise / total, rel=1e-5)
