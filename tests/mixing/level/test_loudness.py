"""The meter against the standard's table, its closed forms, pyloudnorm and published signals."""

from __future__ import annotations

import math
import os
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.mixing.level.loudness import ENVELOPE_HZ, envelope, integrated_loudness, k_weighting

RATES = (16000, 22050, 44100, 48000)


def oracle(audio: npt.NDArray[np.floating], sample_rate: int) -> float:
    meter = pyloudnorm.Meter(sample_rate, filter_class="DeMan")
    return float(meter.integrated_loudness(audio.astype(np.float64)))


def measure(audio: Float32s, sample_rate: int, gain_db: float = 0.0) -> float | None:
    return integrated_loudness(envelope(audio, sample_rate).k_power, gain_db)


def noise(duration_s: float, sample_rate: int, level_db: float = -20.0, seed: int = 0) -> Float32s:
    rng = np.random.default_rng(seed)
    audio = rng.standard_normal(round(duration_s * sample_rate), np.float32)
    return audio * np.float32(10 ** (level_db / 20))


def sine(hz: float, duration_s: float, sample_rate: int, amplitude: float = 1.0) -> Float32s:
    t = np.arange(round(duration_s * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def sections(sample_rate: int, *parts: tuple[float, float]) -> Float32s:
    """Return noise of (level in dB, duration in s) one after the other."""
    pieces = [noise(s, sample_rate, db, seed) for seed, (db, s) in enumerate(parts)]
    return np.concatenate(pieces)


def power_of(loudness_lufs: float) -> float:
    """Return the K-weighted mean square of one channel of that loudness (BS.1770-4, eq. 2)."""
    return 10 ** ((loudness_lufs + 0.691) / 10)


# ---------------------------------------------------------------------------------------------
# The filter


def test_filter_at_48_khz_is_the_table_of_the_standard() -> None:
    # BS.1770-4, tables 1 and 2. The b of the high-pass is 1, -2, 1 as it stands there: it is not
    # normalised to 0 dB in its passband (its gain is 1.004), and pyloudnorm does not scale it.
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285]
    shelf += [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(k_weighting(48000), [shelf, high_pass], rtol=0, atol=1e-6)


@pytest.mark.parametrize("sample_rate", RATES)
def test_filter_has_the_same_response_at_every_rate(sample_rate: int) -> None:
    frequencies = np.array([30.0, 60.0, 200.0, 500.0, 997.0])
    _, expected = scipy.signal.sosfreqz(k_weighting(48000), frequencies, fs=48000)
    _, response = scipy.signal.sosfreqz(k_weighting(sample_rate), frequencies, fs=sample_rate)
    # The high-pass is not normalised, so that its passband differs by some hundredths of a dB.
    departure_db = 20 * np.log10(np.abs(response / expected))
    np.testing.assert_allclose(departure_db, 0, atol=0.15)


@pytest.mark.parametrize("sample_rate", RATES)
def test_filter_has_rung_out_after_300_ms(sample_rate: int) -> None:
    impulse = np.zeros(sample_rate)
    impulse[0] = 1.0
    response = scipy.signal.sosfilt(k_weighting(sample_rate), impulse)
    late = np.sum(response[3 * sample_rate // 10 :] ** 2)
    assert late < 1e-20 * np.sum(response**2)


# ---------------------------------------------------------------------------------------------
# The envelope


def test_envelope_has_ten_steps_a_second_of_mean_square() -> None:
    audio = np.repeat(np.array([0.5, -0.25, 0.0, 1.0], np.float32), 1600)
    levels = envelope(audio, 16000)
    assert ENVELOPE_HZ == 10
    assert levels.k_power.dtype == levels.power.dtype == np.float32
    assert len(levels.k_power) == 4
    np.testing.assert_array_equal(levels.power, [0.25, 0.0625, 0.0, 1.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_peak_is_the_largest_absolute_sample(sign: int) -> None:
    audio = np.zeros(48000 * 21, np.float32)
    audio[[5, 48000 * 20]] = [-0.25 * sign, 0.75 * sign]
    assert envelope(audio, 48000).peak == 0.75


def test_power_of_a_long_signal_is_the_same_as_of_its_pieces() -> None:
    audio = noise(23.0, 8000)
    expected = np.mean(audio.astype(np.float64).reshape(-1, 800) ** 2, axis=1)
    np.testing.assert_allclose(envelope(audio, 8000).power, expected, rtol=1e-5)


def test_k_power_of_a_long_signal_goes_on_where_a_stretch_ends() -> None:
    audio = noise(23.0, 8000)
    filtered = scipy.signal.sosfilt(k_weighting(8000), audio.astype(np.float64))
    expected = np.mean(filtered.reshape(-1, 800) ** 2, axis=1)
    np.testing.assert_allclose(envelope(audio, 8000).k_power, expected, rtol=2e-4)


def test_a_signal_without_samples_has_no_steps() -> None:
    levels = envelope(np.zeros(0, np.float32), 44100)
    assert (len(levels.k_power), len(levels.power), levels.peak) == (0, 0, 0.0)


@pytest.mark.parametrize(("n_samples", "sample_rate"), [(4411, 44100), (4409, 44100), (1, 44100)])
def test_a_length_off_the_grid_is_refused(n_samples: int, sample_rate: int) -> None:
    with pytest.raises(ValueError, match=f"{n_samples} samples at {sample_rate} Hz are not"):
        envelope(np.zeros(n_samples, np.float32), sample_rate)


def test_a_rate_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="11025 Hz"):
        envelope(np.zeros(11025, np.float32), 11025)


@pytest.mark.parametrize("sample_rate", [44100, 48000, 96000])
@pytest.mark.parametrize("hz", [27.5, 41.2, 55.0, 82.4, 110.0])
def test_bass_notes_read_as_with_float64_filters(hz: float, sample_rate: int) -> None:
    # The lowest notes of piano, bass and guitar: where the high-pass is steep.
    audio = sine(hz, 5.0, sample_rate, 0.3)
    assert measure(audio, sample_rate) == pytest.approx(oracle(audio, sample_rate), abs=0.001)


# ---------------------------------------------------------------------------------------------
# Against pyloudnorm

GATED = {
    "steady": [(-20.0, 5.0)],
    "loud and quiet": [(-20.0, 3.0), (-45.0, 4.0)],
    "quiet within the relative gate": [(-20.0, 3.0), (-26.0, 4.0)],
    "silent sections": [(-300.0, 1.5), (-12.0, 2.0), (-300.0, 3.0), (-15.0, 1.3)],
    "around the absolute gate": [(-60.0, 2.0), (-75.0, 3.0), (-80.0, 1.0)],
    "all gates": [(-10.0, 1.7), (-24.0, 2.2), (-62.0, 2.0), (-85.0, 1.0), (-13.0, 0.6)],
    "short": [(-20.0, 0.4)],
    "very loud": [(20.0, 2.0), (-5.0, 3.0)],
}


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("name", GATED)
def test_noise_reads_as_pyloudnorm_reads_it(name: str, sample_rate: int) -> None:
    audio = sections(sample_rate, *GATED[name])
    assert measure(audio, sample_rate) == pytest.approx(oracle(audio, sample_rate), abs=0.001)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([-300.0, -78.0, -60.0, -40.0, -22.0, -6.0]), st.integers(1, 12)),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence_of_levels_reads_as_pyloudnorm_reads_it(
    parts: list[tuple[float, int]],
) -> None:
    audio = sections(8000, *((level, n / 10) for level, n in parts))
    if len(audio) < 3200:
        assert measure(audio, 8000) is None
        return
    expected = oracle(audio, 8000)
    if math.isinf(expected):
        assert measure(audio, 8000) is None
    else:
        assert measure(audio, 8000) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("start", [0, 7, 33, 61, 150])
@pytest.mark.parametrize("n_steps", [30, 100])
def test_a_slice_of_the_envelope_is_the_loudness_of_that_excerpt(start: int, n_steps: int) -> None:
    sample_rate, step = 44100, 4410
    audio = sections(sample_rate, (-20.0, 8.0), (-32.0, 5.0), (-14.0, 12.0))
    excerpt = audio[start * step : (start + n_steps) * step]
    k_power = envelope(audio, sample_rate).k_power[start : start + n_steps]
    # The oracle's filters start cold at the excerpt, ours have heard what came before.
    expected = oracle(excerpt, sample_rate)
    assert integrated_loudness(k_power) == pytest.approx(expected, abs=0.15)


def test_blocks_are_counted_as_the_standard_does() -> None:
    steps = np.array([1.0, 2.0, 3.0, 6.0, 8.0])
    one_block = -0.691 + 10 * math.log10(12 / 4)
    assert integrated_loudness(steps[:4]) == pytest.approx(one_block, abs=1e-9)
    two_blocks = -0.691 + 10 * math.log10((12 / 4 + 19 / 4) / 2)
    assert integrated_loudness(steps) == pytest.approx(two_blocks, abs=1e-9)


def test_pyloudnorm_rounds_the_number_of_blocks_and_we_count_those_that_fit() -> None:
    audio = np.concatenate([noise(0.4, 48000, -20.0), noise(0.06, 48000, -20.0)])
    meter = pyloudnorm.Meter(48000, filter_class="DeMan")
    rounded = meter.integrated_loudness(audio.astype(np.float64))
    assert len(meter.blockwise_loudness) == 2
    ours = measure(audio[:19200], 48000)
    assert ours == pytest.approx(meter.blockwise_loudness[0], abs=0.001)
    assert ours is not None
    assert ours - rounded > 0.1  # its second block is 0.04 s short and read as if silent there


# ---------------------------------------------------------------------------------------------
# Closed forms


def test_a_full_scale_997_hz_sine_on_one_channel_reads_minus_3_01() -> None:
    assert measure(sine(997.0, 5.0, 48000), 48000) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("sample_rate", [44100, 48000])
@pytest.mark.parametrize("level_dbfs", [-10.0, -23.0, -40.0, -60.0])
def test_a_sine_reads_its_level_minus_3_01(level_dbfs: float, sample_rate: int) -> None:
    audio = sine(997.0, 5.0, sample_rate, 10 ** (level_dbfs / 20))
    assert measure(audio, sample_rate) == pytest.approx(level_dbfs - 3.01, abs=0.03)


steady_power = hnp.arrays(
    np.float64, st.integers(4, 60), elements=st.floats(power_of(-55.0), power_of(5.0))
)


@settings(deadline=None)
@given(steady_power, st.floats(-14.0, 60.0))
def test_a_gain_moves_the_loudness_by_itself_above_the_absolute_gate(
    k_power: Float64s, gain_db: float
) -> None:
    plain, moved = integrated_loudness(k_power), integrated_loudness(k_power, gain_db)
    assert plain is not None
    assert moved == pytest.approx(plain + gain_db, abs=1e-9)


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.integers(0, 60),
        elements=st.one_of(st.just(0.0), st.floats(power_of(-110.0), power_of(0.0))),
    ),
    st.floats(-60.0, 60.0),
)
def test_an_imagined_gain_is_a_gain_of_the_signal(k_power: Float64s, gain_db: float) -> None:
    expected = integrated_loudness(k_power * 10 ** (gain_db / 10))
    assert integrated_loudness(k_power, gain_db) == (
        None if expected is None else pytest.approx(expected, abs=1e-6)
    )


@settings(deadline=None)
@given(steady_power)
def test_loudness_lies_between_the_softest_and_the_loudest_step(k_power: Float64s) -> None:
    loudness = integrated_loudness(k_power)
    assert loudness is not None
    softest, loudest = (-0.691 + 10 * math.log10(p) for p in (k_power.min(), k_power.max()))
    assert softest - 1e-9 <= loudness <= loudest + 1e-9


def test_the_absolute_gate_acts_after_the_imagined_gain() -> None:
    # Half at -66 LUFS, half at -71 LUFS: the softer half counts only once it is above -70.
    k_power = np.repeat([power_of(-66.0), power_of(-71.0)], 1000)
    both = -0.691 + 10 * math.log10((power_of(-66.0) + power_of(-71.0)) / 2)
    assert integrated_loudness(k_power) == pytest.approx(-66.0, abs=0.01)
    assert integrated_loudness(k_power, 20.0) == pytest.approx(both + 20.0, abs=0.01)
    assert integrated_loudness(k_power, -3.0) == pytest.approx(-69.0, abs=0.01)
    assert integrated_loudness(k_power, -4.1) is None


@pytest.mark.parametrize(("softer_lufs", "is_counted"), [(-49.0, True), (-51.0, False)])
def test_the_relative_gate_is_10_lu_below_the_mean(softer_lufs: float, is_counted: bool) -> None:
    # One step in a hundred at -20 LUFS: the mean is a little above -40, the gate above -50.
    k_power = np.repeat([power_of(-20.0), power_of(softer_lufs)], [400, 39_600])
    mean = -0.691 + 10 * math.log10(k_power.mean())
    expected = mean if is_counted else -20.0
    assert integrated_loudness(k_power) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("n_steps", [0, 1, 3])
def test_less_than_400_ms_has_no_loudness(n_steps: int) -> None:
    assert integrated_loudness(np.ones(n_steps)) is None
    assert measure(noise(n_steps / 10, 44100, -6.0), 44100) is None


def test_400_ms_have_a_loudness() -> None:
    assert integrated_loudness(np.full(4, power_of(-30.0))) == pytest.approx(-30.0, abs=1e-9)


@pytest.mark.parametrize("sample_rate", RATES)
def test_silence_has_no_loudness(sample_rate: int) -> None:
    silence = np.zeros(3 * sample_rate, np.float32)
    assert measure(silence, sample_rate) is None
    assert measure(silence, sample_rate, 200.0) is None


def test_what_stays_below_the_absolute_gate_has_no_loudness() -> None:
    audio = sine(997.0, 3.0, 48000, 10 ** (-72 / 20))
    assert measure(audio, 48000) is None
    assert measure(audio, 48000, 10.0) == pytest.approx(-65.01, abs=0.01)


@pytest.mark.parametrize(("loudness_lufs", "is_measured"), [(-69.999, True), (-70.001, False)])
def test_the_absolute_gate_is_minus_70(loudness_lufs: float, is_measured: bool) -> None:
    assert (integrated_loudness(np.full(9, power_of(loudness_lufs))) is not None) == is_measured


def test_an_envelope_of_float32_reads_as_one_of_float64() -> None:
    k_power = np.random.default_rng(0).random(100)
    as_float32 = integrated_loudness(k_power.astype(np.float32))
    assert as_float32 == pytest.approx(integrated_loudness(k_power), abs=1e-6)


# ---------------------------------------------------------------------------------------------
# Spans


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 40_000), min_size=2, max_size=8, unique=True).map(sorted),
    st.sampled_from([0.0, 0.2]),
)
def test_spans_give_the_same_result_if_the_rest_is_silence(edges: list[int], offset: float) -> None:
    audio = np.zeros(40_000, np.float32)
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    for start, stop in spans:
        audio[start:stop] = noise(5.0, 8000)[start:stop] + np.float32(offset)
    whole, parts = envelope(audio, 8000), envelope(audio, 8000, spans)
    np.testing.assert_array_equal(parts.power, whole.power)
    np.testing.assert_allclose(parts.k_power, whole.k_power, rtol=1e-5, atol=1e-12)
    assert parts.peak == whole.peak
    expected = integrated_loudness(whole.k_power)
    assert integrated_loudness(parts.k_power) == (
        None if expected is None else pytest.approx(expected, abs=1e-6)
    )


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 40_000)],
        [(8_000, 16_000)],
        [(8_000, 12_000), (12_000, 16_000)],
        [(8_000, 12_345), (11_000, 16_000)],
        [(8_000, 16_000), (8_500, 9_000)],
        [(0, 0), (8_000, 16_000), (40_000, 40_000)],
        [(7_000, 39_999)],
    ],
    ids=["whole", "exact", "touching", "overlapping", "nested", "with empty ones", "too wide"],
)
def test_spans_may_touch_overlap_and_be_empty(spans: list[tuple[int, int]]) -> None:
    audio = np.zeros(40_000, np.float32)
    audio[8_000:16_000] = noise(1.0, 8000)
    whole, parts = envelope(audio, 8000), envelope(audio, 8000, spans)
    np.testing.assert_array_equal(parts.power, whole.power)
    expected = integrated_loudness(whole.k_power)
    assert integrated_loudness(parts.k_power) == pytest.approx(expected, abs=1e-6)


def test_what_lies_outside_the_spans_is_not_looked_at() -> None:
    audio = noise(5.0, 8000)
    levels = envelope(audio, 8000, [(8_000, 16_000)])
    assert not levels.k_power[:10].any()
    assert levels.k_power[10:20].all()
    assert not levels.k_power[23:].any()


def test_a_signal_without_spans_is_silent() -> None:
    levels = envelope(noise(5.0, 8000), 8000, [])
    assert not levels.power.any()
    assert not levels.k_power.any()
    assert levels.peak == 0.0


# ---------------------------------------------------------------------------------------------
# Published signals. EBU Tech 3341 asks for +-0.1 LU. What libebur128 reads is in its test/tests.c.

PUBLISHED = {
    "seq-3341-1-16bit.flac": -23.0,
    "seq-3341-2-16bit.flac": -33.0,
    "seq-3341-3-16bit-v02.flac": -23.0,
    "seq-3341-4-16bit-v02.flac": -23.0,
    "seq-3341-5-16bit-v02.flac": -23.0,
    "seq-3341-7_seq-3342-5-16bit.flac": -23.0,
    "1kHz_sine_-20LUFS-16bit.flac": -20.0,
    "1kHz_sine_-26LUFS-16bit.flac": -26.0,
    "1kHz_sine_-40LUFS-16bit.flac": -40.0,
    "1770-2_Comp_RelGateTest.wav": -10.0,
    "1770-2_Comp_AbsGateTest.wav": -69.5,
    "made/tech3341_1_44100Hz.flac": -23.0,
    "made/tech3341_1_96000Hz.flac": -23.0,
    "made/mono_1k_-23dBFS.flac": -26.0,  # one channel, so that 3 LU are missing
}
LIBEBUR128 = {  # value, tolerance
    "seq-3341-1-16bit.flac": (-22.953556442089987, 0.001),
    "seq-3341-2-16bit.flac": (-32.959860397340044, 0.001),
    "seq-3341-7_seq-3342-5-16bit.flac": (-22.980242495081757, 0.01),  # of its 24-bit original
}
TONES = [
    (f"made/bs1770_{level}LKFS_{hz}Hz_2ch.flac", -float(level))
    for level in (23, 24)
    for hz in (25, 100, 500, 1000, 2000, 10000)
]
WITHOUT_LOUDNESS = ["silence_10s", "short_300ms", "below_abs_gate_-75"]


@pytest.fixture(scope="module")
def signals() -> Path:
    default = Path(__file__).resolve().parents[4] / "shared"
    folder = Path(os.environ.get("STEMSMITH_SHARED", default)) / "loudness"
    if not folder.is_dir():
        pytest.skip(f"no published signals at {folder}; set STEMSMITH_SHARED to use some")
    return folder


def measure_file(path: Path) -> float | None:
    """Measure mono or stereo: channels of weight 1 add up as powers (BS.1770-4, eq. 2)."""
    audio, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    n_samples = len(audio) // (sample_rate // 10) * (sample_rate // 10)
    channels = np.ascontiguousarray(audio[:n_samples].T)
    assert len(channels) <= 2
    k_powers = [envelope(channel, sample_rate).k_power for channel in channels]
    return integrated_loudness(np.sum(k_powers, axis=0, dtype=np.float64))


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items())
def test_published_signals_read_as_published(signals: Path, name: str, expected: float) -> None:
    assert measure_file(signals / name) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("name", "expected"), LIBEBUR128.items())
def test_published_signals_read_as_libebur128_reads_them(
    signals: Path, name: str, expected: tuple[float, float]
) -> None:
    value, tolerance = expected
    assert measure_file(signals / name) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(("name", "expected"), TONES)
def test_tones_of_bs_2217_read_to_a_thousandth(signals: Path, name: str, expected: float) -> None:
    assert measure_file(signals / name) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("name", WITHOUT_LOUDNESS)
def test_signals_without_a_block_above_the_gate_have_no_loudness(signals: Path, name: str) -> None:
    assert measure_file(signals / "made" / f"{name}.flac") is None
