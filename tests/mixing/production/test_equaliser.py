"""Tests of the automatic equaliser: bands, masking, filters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.mixing.production.equaliser import (
    BANDS_HZ,
    Equaliser,
    apply_equaliser,
    band_energies,
    least_masking,
    masked_shares,
    n_taps,
)

RATE = 16000


def band_noise(low_hz: float, high_hz: float, seed: int, seconds: float = 6) -> np.ndarray:
    """Return noise in a band, above a floor that reaches everywhere."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(round(seconds * RATE))
    sections = scipy.signal.butter(2, [low_hz, high_hz], "bandpass", fs=RATE, output="sos")
    audio = scipy.signal.sosfilt(sections, white) + 0.02 * white
    return (0.1 * audio / audio.std()).astype(np.float32)[np.newaxis]


def loudness_lufs(audio: np.ndarray) -> float:
    found = integrated_loudness(envelope(audio, RATE).k_power)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def stems() -> list[np.ndarray]:
    return [
        band_noise(60, 400, 0),
        band_noise(200, 1500, 1),
        band_noise(400, 3000, 2),
        band_noise(1000, 6000, 3),
    ]


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("frequency_hz", [BANDS_HZ[0], BANDS_HZ[7], BANDS_HZ[17]])
def test_a_tone_lies_in_its_band(rate: int, frequency_hz: float) -> None:
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(2 * rate) / rate).astype(np.float32)
    energies = band_energies(tone[np.newaxis], rate)
    assert energies.shape[1] == len(BANDS_HZ)
    assert abs(BANDS_HZ.index(frequency_hz) - int(energies.sum(axis=0).argmax())) == 0
    assert energies[:, np.array(BANDS_HZ) > 0.6 * rate].sum() == 0


def test_channels_add_up_and_short_audio_has_one_frame() -> None:
    audio = band_noise(100, 1000, 5, 2)
    both = band_energies(np.repeat(audio, 2, axis=0), RATE)
    np.testing.assert_allclose(both, 2 * band_energies(audio, RATE), rtol=1e-5)
    assert band_energies(audio[:, :10], RATE).shape == (1, len(BANDS_HZ))


def test_masked_shares_are_counted_by_hand() -> None:
    energies = np.ones((3, 1, 4))
    energies[0, 0] = [1, 1, 10, 0]
    energies[1, 0] = [5, 3, 1, 0]  # 7 dB above in the first band, 4.8 dB in the second
    energies[2, 0] = [0, 0, 0, 0]
    np.testing.assert_allclose(masked_shares(energies), [1 / 12, 1 / 9, 0])


def test_masking_falls_and_levels_stay(stems: list[np.ndarray]) -> None:
    energies = [band_energies(audio, RATE) for audio in stems]
    filters = least_masking(energies)
    filtered = [
        apply_equaliser(audio, found, RATE) for audio, found in zip(stems, filters, strict=True)
    ]
    levelled = [
        after * np.float32(10 ** ((loudness_lufs(before) - loudness_lufs(after)) / 20))
        for before, after in zip(stems, filtered, strict=True)
    ]
    before = masked_shares(np.stack(energies))
    after = masked_shares(np.stack([band_energies(audio, RATE) for audio in levelled]))
    assert after.mean() < 0.8 * before.mean()
    for one, other in zip(stems, levelled, strict=True):
        assert abs(loudness_lufs(one) - loudness_lufs(other)) < 0.1
    gains = np.array([found.gains_db for found in filters])
    assert gains.min() >= -6 and gains.max() <= 4
    assert np.abs(np.diff(gains, axis=1)).max() <= 5.1  # no steps


def test_the_same_stems_get_the_same_filters(stems: list[np.ndarray]) -> None:
    energies = [band_energies(audio, RATE) for audio in stems]
    assert least_masking(energies) == least_masking([energy.copy() for energy in energies])


def test_the_slope_is_that_of_the_masked_share() -> None:
    from stemsmith.mixing.production import equaliser

    rng = np.random.default_rng(0)
    levels_db = rng.uniform(-20, 0, (3, 5, len(BANDS_HZ)))

    def share(levels: np.ndarray) -> float:
        other_db, _ = equaliser._loudest_other(levels)
        energy = 10 ** (levels / 10)
        masked = 1 / (1 + np.exp(-(other_db - levels - 6) / 2))
        return float(((energy * masked).sum(axis=(1, 2)) / energy.sum(axis=(1, 2))).sum())

    slope = equaliser._slope(levels_db)
    for stem, band in ((0, 3), (1, 10), (2, 26)):
        moved = [levels_db.copy() for _ in range(2)]
        moved[0][stem, :, band] -= 1e-4
        moved[1][stem, :, band] += 1e-4
        numeric = (share(moved[1]) - share(moved[0])) / 2e-4
        assert slope[stem, band] == pytest.approx(numeric, rel=1e-3, abs=1e-9)


def test_one_stem_alone_and_silence_stay_flat(stems: list[np.ndarray]) -> None:
    silent = np.zeros((3, len(BANDS_HZ)))
    energy = band_energies(stems[0], RATE)
    assert not any(any(found.gains_db) for found in least_masking([energy]))
    assert not any(any(found.gains_db) for found in least_masking([energy, silent[:1]]))
    assert least_masking([]) == []
    both = least_masking([energy, silent[:1].repeat(len(energy), axis=0), energy])
    assert not any(both[1].gains_db)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_filter_has_its_gains_and_is_of_minimum_phase(rate: int) -> None:
    gains_db = tuple(
        round(4 * np.cos(k / 3) - 1, 1) if 3 < k < 20 else 0.0 for k in range(len(BANDS_HZ))
    )
    click = np.zeros((1, rate), np.float32)
    click[0, 100] = 1
    taps = apply_equaliser(click, Equaliser(gains_db), rate)[0]
    assert np.abs(taps[:100]).max() < 1e-7  # but for rounding
    assert np.argmax(np.abs(taps)) == 100  # nothing comes late
    frequency_hz, response = scipy.signal.freqz(taps[100:], worN=rate // 2, fs=rate)
    for band_hz, gain_db in zip(BANDS_HZ, gains_db, strict=True):
        if 100 < band_hz < rate / 3:
            found = 20 * np.log10(np.abs(response[np.argmin(np.abs(frequency_hz - band_hz))]))
            assert found == pytest.approx(gain_db, abs=0.4)
    assert not np.abs(taps[100 + n_taps(rate) :]).max() > 1e-7


def test_a_flat_filter_changes_nothing(stems: list[np.ndarray]) -> None:
    flat = Equaliser((0.0,) * len(BANDS_HZ))
    assert apply_equaliser(stems[0], flat, RATE) is stems[0]
    assert Equaliser.from_json(flat.to_json()) == flat
