"""Third-octave spectra and cut-off frequencies, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import soxr
from stemsmith.evaluate.realism.bands import (
    CENTRES_HZ,
    LOWEST_LEVEL_DB,
    PowerSpectrum,
    has_bands,
)
from stemsmith.mixing.level.loudness import k_weighting

RATE = 44100


def spectrum_of(audio: np.ndarray, sample_rate: int = RATE) -> PowerSpectrum:
    spectrum = PowerSpectrum(sample_rate)
    spectrum.add(np.atleast_2d(audio).astype(np.float32))
    return spectrum


def noise(seconds: float = 20.0, seed: int = 0, n_channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((n_channels, round(seconds * RATE)))


def test_bands_of_white_noise_rise_by_1_db() -> None:
    """Each band is 10^0.1 times as wide as the one below."""
    levels = spectrum_of(noise(60)).levels_db()
    assert levels is not None
    rises = np.diff(levels)
    assert np.abs(rises - 1.0).max() < 0.5  # few bins in the lowest bands
    assert rises.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("frequency_hz", [50.0, 200.0, 1000.0, 8000.0])
def test_a_sine_is_in_its_band_at_what_k_weighting_takes_or_adds(frequency_hz: float) -> None:
    audio = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(5 * RATE) / RATE)
    levels = spectrum_of(audio).levels_db()
    weighted = scipy.signal.sosfilt(k_weighting(RATE), audio)[RATE:]
    expected = 10 * np.log10(np.square(audio[RATE:]).mean() / np.square(weighted).mean())
    assert levels is not None
    band = CENTRES_HZ.index(round(frequency_hz))
    assert levels[band] == pytest.approx(expected, abs=0.05)
    far = [k for k in range(len(levels)) if abs(k - band) > 2]
    assert (levels[far] < expected - 40).all()


def test_levels_do_not_depend_on_gain_or_on_a_second_equal_channel() -> None:
    one = noise(5)
    levels = [spectrum_of(audio).levels_db() for audio in (one, 0.01 * one, np.vstack([one, one]))]
    for other in levels[1:]:
        np.testing.assert_allclose(other, levels[0], atol=1e-3)


def test_bands_beyond_half_the_rate_are_unknown_and_silence_has_no_spectrum() -> None:
    levels = spectrum_of(noise(5), 16000).levels_db()
    assert levels is not None
    assert [c for c, v in zip(CENTRES_HZ, levels, strict=True) if np.isnan(v)] == [
        8000,
        10000,
        12500,
        16000,
    ]
    assert spectrum_of(np.zeros(RATE)).levels_db() is None
    assert PowerSpectrum(RATE).levels_db() is None


def test_an_empty_band_has_the_lowest_level() -> None:
    audio = np.sin(2 * np.pi * 1000 * np.arange(5 * RATE) / RATE)
    levels = spectrum_of(audio).levels_db()
    assert levels is not None
    assert levels.min() == LOWEST_LEVEL_DB


def test_a_short_signal_has_a_spectrum_too() -> None:
    levels = spectrum_of(noise(0.1)).levels_db()
    assert levels is not None
    assert np.isfinite(levels).all()


@pytest.mark.parametrize(("rate", "reach_hz"), [(24000, 12000), (32000, 16000)])
def test_a_source_of_another_rate_ends_at_half_that_rate(rate: int, reach_hz: int) -> None:
    """With all else that a mixture may hold at that frequency, 15 dB softer."""
    source = soxr.resample(noise(10, 1)[0, : 10 * rate], rate, RATE)
    assert 0.9 * reach_hz < spectrum_of(source).reach_hz() <= reach_hz
    faint = noise(10, 2)[0, : len(source)] * 10 ** (-15 / 20)
    assert 0.9 * reach_hz < spectrum_of(source + faint).reach_hz() <= reach_hz


def test_noise_that_fades_out_is_not_cut_off() -> None:
    assert spectrum_of(noise()).reach_hz() == RATE / 2
    spectrum = np.fft.rfft(noise()[0])
    fading = spectrum / (1 + (np.arange(len(spectrum)) / 20 / 3000) ** 4)  # 24 dB an octave
    assert spectrum_of(np.fft.irfft(fading)).reach_hz() == RATE / 2


def test_bands_above_11_khz_count_where_sources_reach_them() -> None:
    counted = [CENTRES_HZ[k] for k in np.flatnonzero(~has_bands(9000.0))]
    assert counted == [12500, 16000]
    assert [CENTRES_HZ[k] for k in np.flatnonzero(~has_bands(15000.0))] == [16000]
    assert has_bands(22050.0).all()
