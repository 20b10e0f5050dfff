"""The gains of the automatic mix: what comes out is of equal loudness and never clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import scipy.signal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.mixing.level.gains import (
    StemGain,
    db_to_linear,
    quantise,
    stem_gain,
    uniform_gain_db,
)
from stemsmith.mixing.level.loudness import envelope, integrated_loudness

FULL_SCALE = 32768


@dataclass(frozen=True)
class Mix:
    gains: list[StemGain]
    overall_gain_db: float
    stems: list[Int16s]

    @property
    def sum(self) -> npt.NDArray[np.int64]:
        return np.asarray(np.sum(self.stems, axis=0, dtype=np.int64))


def peak(audio: Float32s) -> float:
    return float(np.abs(audio).max())


def mix_down(
    stems: Sequence[Float32s],
    loudnesses_lufs: Sequence[float | None],
    ceiling_dbfs: float = -1.0,
    target_lufs: float = -13.0,
    max_gain_db: float = 30.0,
) -> Mix:
    """Mix as the renderer does: sum in float32, one uniform gain, then quantise each stem."""
    gains = [stem_gain(loudness, target_lufs, max_gain_db) for loudness in loudnesses_lufs]
    mixture = np.zeros_like(stems[0])
    for stem, gain in zip(stems, gains, strict=True):
        mixture += stem * np.float32(db_to_linear(gain.gain_db))
    peaks = [
        peak(stem) * db_to_linear(gain.gain_db) for stem, gain in zip(stems, gains, strict=True)
    ]
    overall = uniform_gain_db(peak(mixture), peaks, ceiling_dbfs, FULL_SCALE)
    quantised = [
        quantise(stem, round(gain.gain_db + overall, 4), FULL_SCALE)
        for stem, gain in zip(stems, gains, strict=True)
    ]
    return Mix(gains, overall, quantised)


def make_stems(kind: str, n_stems: int, level: float, seed: int) -> list[Float32s]:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1.0, 1.0, (n_stems, 200)).astype(np.float32)
    if kind == "equal":  # peaks add up
        noise[:] = noise[0]
    elif kind == "nearly equal":
        noise = noise[:1] + np.float32(1e-4) * noise
    elif kind == "cancelling":  # all but nothing is left in the sum, and stems can clip alone
        noise = np.where(np.arange(n_stems)[:, None] % 2, -1, 1) * (noise[:1] + 1e-6 * noise)
    elif kind == "halves":  # one half of the stems against the other: large partial sums
        noise = np.where(np.arange(n_stems)[:, None] < n_stems // 2, -1, 1) * noise[:1]
    elif kind == "constant":  # all roundings go one way
        noise[:] = rng.uniform(0.2, 1.0)
    elif kind == "square":
        noise = np.sign(noise[:1]).repeat(n_stems, axis=0)
    return list((noise * np.float32(level)).astype(np.float32))


KINDS = ("noise", "equal", "nearly equal", "cancelling", "halves", "constant", "square")
loudness_values = st.none() | st.floats(-69.9, 20.0)


@settings(deadline=None, max_examples=300)
@example("square", 48, 1.0, 0, None, 0.0)
@example("cancelling", 48, 1e4, 0, -40.0, 0.0)
@example("halves", 48, 30.0, 1, -13.0, 0.0)
@given(
    kind=st.sampled_from(KINDS),
    n_stems=st.integers(1, 48),
    level=st.sampled_from([1e-6, 1e-3, 0.02, 0.1, 0.5, 0.99, 1.0, 3.0, 100.0, 1e4]),
    seed=st.integers(0, 1000),
    loudness_lufs=loudness_values,
    ceiling_dbfs=st.sampled_from([0.0, -0.1, -1.0, -3.0, -12.0, -40.0]),
)
def test_neither_the_sum_nor_a_stem_exceeds_the_ceiling(
    kind: str,
    n_stems: int,
    level: float,
    seed: int,
    loudness_lufs: float | None,
    ceiling_dbfs: float,
) -> None:
    stems = make_stems(kind, n_stems, level, seed)
    mix = mix_down(stems, [loudness_lufs] * n_stems, ceiling_dbfs)
    ceiling = 10 ** (ceiling_dbfs / 20) * FULL_SCALE
    assert np.abs(mix.sum).max() <= min(ceiling, 32767)
    for stem, quantised, gain in zip(stems, mix.stems, mix.gains, strict=True):
        assert np.abs(quantised.astype(int)).max() <= min(ceiling, 32767)
        # Nothing wrapped around: each integer is the rounded sample.
        factor = 10 ** ((gain.gain_db + mix.overall_gain_db) / 20) * FULL_SCALE
        np.testing.assert_allclose(quantised, stem.astype(np.float64) * factor, rtol=0, atol=0.51)


@settings(deadline=None, max_examples=100)
@given(
    n_stems=st.integers(1, 48),
    seed=st.integers(0, 1000),
    loudnesses=st.lists(loudness_values, min_size=48, max_size=48),
)
def test_stems_of_different_loudness_do_not_exceed_the_ceiling(
    n_stems: int, seed: int, loudnesses: list[float | None]
) -> None:
    stems = make_stems("noise", n_stems, 0.5, seed)
    mix = mix_down(stems, loudnesses[:n_stems], -1.0)
    ceiling = 10 ** (-1.0 / 20) * FULL_SCALE
    assert np.abs(mix.sum).max() <= ceiling
    assert max(np.abs(stem.astype(int)).max() for stem in mix.stems) <= ceiling


@settings(deadline=None)
@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), min_size=1, max_size=48))
def test_uniform_gain_is_never_positive_and_a_multiple_of_a_ten_thousandth(
    mixture_peak: float, stem_peaks: list[float]
) -> None:
    gain_db = uniform_gain_db(mixture_peak, stem_peaks, -1.0, FULL_SCALE)
    assert gain_db <= 0
    assert gain_db == round(gain_db, 4)


@settings(deadline=None)
@given(st.floats(0.9, 1e6), st.floats(0.5, 1e6), st.integers(1, 48))
def test_uniform_gain_lowers_no_more_than_it_must(
    mixture_peak: float, stem_peak: float, n_stems: int
) -> None:
    gain_db = uniform_gain_db(mixture_peak, [stem_peak] * n_stems, -1.0, FULL_SCALE)
    highest = max(mixture_peak, stem_peak) * 10 ** (gain_db / 20)
    ceiling = 10 ** (-1.0 / 20)
    room = (n_stems / 2 + 1) / FULL_SCALE
    assert highest <= ceiling
    if gain_db < 0:
        assert highest >= (ceiling - room) * 10 ** (-0.0001 / 20) - 1e-12


def test_what_stays_below_the_ceiling_keeps_its_level() -> None:
    assert uniform_gain_db(0.8, [0.8, 0.1], -1.0, FULL_SCALE) == 0.0
    assert uniform_gain_db(0.0, [0.0], -1.0, FULL_SCALE) == 0.0
    assert uniform_gain_db(0.0, [], -1.0, FULL_SCALE) == 0.0


def test_stems_that_cancel_in_the_sum_are_lowered_all_the_same() -> None:
    gain_db = uniform_gain_db(0.0, [2.0, 2.0], -1.0, FULL_SCALE)
    assert gain_db == pytest.approx(-1.0 - 20 * math.log10(2.0), abs=0.001)


def test_room_is_left_for_the_rounding_of_every_stem() -> None:
    # 40 stems of +0.5 steps each: rounding can lift their sum by 20 steps.
    for n_stems, n_steps in ((2, 2), (40, 21)):
        exact = 20 * math.log10(1 - n_steps / FULL_SCALE)
        gain_db = uniform_gain_db(1.0, [0.1] * n_stems, 0.0, FULL_SCALE)
        assert exact - 0.0001 < gain_db <= exact  # rounded down


@pytest.mark.parametrize(("ceiling_dbfs", "n_stems"), [(-62.5, 48), (-90.0, 1), (-200.0, 3)])
def test_a_ceiling_without_room_for_rounding_is_refused(ceiling_dbfs: float, n_stems: int) -> None:
    with pytest.raises(ValueError, match=f"{ceiling_dbfs} dBFS leaves no room"):
        uniform_gain_db(1.0, [1.0] * n_stems, ceiling_dbfs, FULL_SCALE)


@pytest.mark.parametrize(("ceiling_dbfs", "n_stems"), [(-62.0, 48), (-86.0, 1)])
def test_a_ceiling_with_just_enough_room_is_kept(ceiling_dbfs: float, n_stems: int) -> None:
    stems = make_stems("square", n_stems, 1.0, 0)
    mix = mix_down(stems, [None] * n_stems, ceiling_dbfs)
    assert np.abs(mix.sum).max() <= 10 ** (ceiling_dbfs / 20) * FULL_SCALE


# ---------------------------------------------------------------------------------------------
# The gain of one stem


@settings(deadline=None)
@given(st.floats(-70.0, 30.0), st.floats(-60.0, 0.0), st.floats(0.0, 60.0).map(lambda g: round(g)))
def test_a_gain_leads_to_the_target_and_is_a_multiple_of_a_ten_thousandth(
    loudness_lufs: float, target_lufs: float, max_gain_db: float
) -> None:
    gain = stem_gain(loudness_lufs, target_lufs, max_gain_db)
    assert gain.gain_db == round(gain.gain_db, 4)
    assert gain.gain_db <= max_gain_db
    if gain.is_limited:
        assert gain.gain_db == max_gain_db
        assert loudness_lufs + gain.gain_db < target_lufs
    else:
        assert loudness_lufs + gain.gain_db == pytest.approx(target_lufs, abs=5.1e-5)


@pytest.mark.parametrize(
    ("loudness_lufs", "expected"),
    [
        (-23.0, StemGain(10.0, False)),
        (-3.0, StemGain(-10.0, False)),
        (-43.0, StemGain(30.0, False)),  # just as much as allowed
        (-43.001, StemGain(30.0, True)),
        (-69.0, StemGain(30.0, True)),
        (-23.00004, StemGain(10.0, False)),
        (-23.00006, StemGain(10.0001, False)),
        (60.0, StemGain(-73.0, False)),  # lowering has no limit
        (None, StemGain(0.0, False)),
    ],
)
def test_gain_of_a_stem(loudness_lufs: float | None, expected: StemGain) -> None:
    assert stem_gain(loudness_lufs, -13.0, 30.0) == expected


@pytest.mark.parametrize(
    ("gain_db", "factor"), [(0.0, 1.0), (20.0, 10.0), (-20.0, 0.1), (-6.0205999, 0.5), (60.0, 1e3)]
)
def test_decibels_are_of_amplitude(gain_db: float, factor: float) -> None:
    assert db_to_linear(gain_db) == pytest.approx(factor, rel=1e-8)


# ---------------------------------------------------------------------------------------------
# Quantisation


def test_quantising_rounds_half_to_even() -> None:
    steps = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49, 0.51, 16384.5, 16385.5], np.float32)
    quantised = quantise(steps / np.float32(FULL_SCALE), 0.0, FULL_SCALE)
    assert quantised.dtype == np.int16
    assert quantised.tolist() == [0, 2, 2, 0, -2, -2, 0, 1, 16384, 16386]


def test_quantising_integers_changes_nothing() -> None:
    integers = np.arange(-32768, 32768)
    audio = (integers / FULL_SCALE).astype(np.float32)
    np.testing.assert_array_equal(quantise(audio, 0.0, FULL_SCALE), integers)


def test_quantising_applies_the_gain() -> None:
    audio = np.array([0.01, -0.01], np.float32)
    assert quantise(audio, 20.0, FULL_SCALE).tolist() == [3277, -3277]
    assert quantise(audio, -20.0, FULL_SCALE).tolist() == [33, -33]


def test_quantising_leaves_the_audio_as_it_is() -> None:
    audio = np.array([0.3, -0.7], np.float32)
    before = audio.copy()
    quantise(audio, -6.0, FULL_SCALE)
    np.testing.assert_array_equal(audio, before)


def test_silence_stays_silence_without_dither() -> None:
    assert not quantise(np.zeros(1000, np.float32), 60.0, FULL_SCALE).any()


# ---------------------------------------------------------------------------------------------
# Loudness of what comes out


def instruments(sample_rate: int) -> list[Float32s]:
    """Return stems as different as a bass, a hi-hat, a pad and a soloist who rests."""
    rng = np.random.default_rng(0)
    n_samples = 6 * sample_rate
    noise = rng.standard_normal(n_samples)
    low = scipy.signal.sosfilt(scipy.signal.butter(2, 150, output="sos", fs=sample_rate), noise)
    high = scipy.signal.sosfilt(
        scipy.signal.butter(2, 6000, "highpass", output="sos", fs=sample_rate), noise
    )
    t = np.arange(n_samples) / sample_rate
    beats = np.exp(-12 * (t % 0.5)) * high
    pad = np.sin(2 * np.pi * 440 * t) * (0.6 + 0.4 * np.sin(t))
    soloist = np.where(t % 3 < 1, np.sin(2 * np.pi * 880 * t), 0.0)
    levels = (0.5, 0.05, 0.03, 4e-3)
    return [
        (level * stem).astype(np.float32)
        for level, stem in zip(levels, (low, beats, pad, soloist), strict=True)
    ]


def loudness_of(stem: Float32s, sample_rate: int) -> float:
    loudness = integrated_loudness(envelope(stem, sample_rate).k_power)
    assert loudness is not None
    return loudness


def measure(stem: Float32s | Int16s, sample_rate: int) -> float:
    """Measure a stem with an independent meter."""
    audio = stem / FULL_SCALE if stem.dtype == np.int16 else stem.astype(np.float64)
    meter = pyloudnorm.Meter(sample_rate, filter_class="DeMan")
    return float(meter.integrated_loudness(audio))


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_quantised_stems_are_equally_loud(sample_rate: int) -> None:
    stems = instruments(sample_rate)
    measured = [loudness_of(stem, sample_rate) for stem in stems]
    assert max(measured) - min(measured) > 20
    mix = mix_down(stems, measured, max_gain_db=60.0)
    loudness = [measure(stem, sample_rate) for stem in mix.stems]
    assert max(loudness) - min(loudness) < 0.1
    assert loudness[0] == pytest.approx(-13.0 + mix.overall_gain_db, abs=0.1)


def test_a_stem_that_wants_too_much_is_softer_than_the_others() -> None:
    stems = instruments(16000)
    measured = [loudness_of(stem, 16000) for stem in stems]
    mix = mix_down(stems, measured, max_gain_db=30.0)
    assert [gain.is_limited for gain in mix.gains] == [False, False, False, True]
    loudness = [measure(stem, 16000) for stem in mix.stems]
    assert max(loudness[:3]) - min(loudness[:3]) < 0.1
    assert loudness[3] == pytest.approx(
        measure(stems[3], 16000) + 30 + mix.overall_gain_db, abs=0.1
    )
    assert loudness[3] < loudness[0] - 1


def test_measuring_again_under_the_gain_makes_up_for_the_absolute_gate() -> None:
    # Soft notes with long tails: what was below -70 LUFS counts after the gain, and one
    # measurement before it leaves the stem half a LU too soft.
    t = np.arange(6000) / 10
    k_power = 10 ** ((-35 + 0.691) / 10) * np.exp(-(t % 20) / 0.6)
    once = stem_gain(integrated_loudness(k_power), -13.0, 30.0).gain_db
    first = integrated_loudness(k_power, once)
    assert first is not None
    assert -1.0 < first + 13.0 < -0.3
    twice = stem_gain(first - once, -13.0, 30.0).gain_db
    assert integrated_loudness(k_power, twice) == pytest.approx(-13.0, abs=0.1)


def test_a_silent_stem_keeps_its_level_and_the_others_theirs() -> None:
    stems = [*instruments(16000), np.zeros(96000, np.float32)]
    measured = [integrated_loudness(envelope(stem, 16000).k_power) for stem in stems]
    assert measured[-1] is None
    with_silence, without = mix_down(stems, measured), mix_down(stems[:-1], measured[:-1])
    assert with_silence.gains[-1] == StemGain(0.0, False)
    assert with_silence.gains[:-1] == without.gains
    assert not with_silence.stems[-1].any()
    assert with_silence.overall_gain_db == pytest.approx(without.overall_gain_db, abs=3e-4)
