"""The transforms of a source: physics, closed forms, sox's own algorithm, and recorded draws."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import InvalidCorpus, UsageError, install_command
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.transforms import (
    Transform,
    apply_transforms,
    decode,
    encode,
)
from stemsmith.mixing.augmentation import Decided
from stemsmith.mixing.augmentations import AUGMENTATIONS

pytest.importorskip("colorednoise")
pytest.importorskip("librosa")
pytest.importorskip("pedalboard")


RATE = 44_100
TEMPO_FACTORS = (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2)
COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)  # Freeverb, samples at 44.1 kHz
ALLPASSES = (225, 341, 441, 556)
EXAMPLES: list[Transform] = [
    {"name": "contrast", "amount": 33},
    {"name": "equalizer", "freq_hz": 440, "q": 2, "gain_db": -6.5},
    {"name": "invert"},
    {"name": "mute"},
    {"name": "noise", "level": 0.02, "exponent": 1, "seed": 7},
    {"name": "reverb", "reverberance": 40},
    {"name": "tempo", "factor": 1.5},
    {"name": "silence", "keep": [[0, 100], [300, 200]]},
]
by_name = pytest.mark.parametrize("transform", EXAMPLES, ids=lambda t: str(t["name"]))


def run(audio: npt.ArrayLike, *transforms: Transform, rate: int = RATE) -> Float32s:
    array = np.atleast_2d(np.asarray(audio, np.float32))
    return apply_transforms(array, rate, [encode(t) for t in transforms])


def impulse(n_samples: int) -> Float32s:
    audio = np.zeros((1, n_samples), np.float32)
    audio[0, 0] = 1
    return audio


def clip(n_channels: int, n_samples: int = 20_000, seed: int = 0) -> Float32s:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (n_channels, n_samples)).astype(np.float32)


# Every transform


@by_name
@pytest.mark.parametrize("n_channels", [1, 2])
def test_same_bytes_whatever_was_processed_before(transform: Transform, n_channels: int) -> None:
    audio = clip(n_channels)
    untouched = audio.copy()
    first = run(audio, transform)
    run(clip(n_channels, seed=1), transform)
    again = run(audio, transform)
    assert first.tobytes() == again.tobytes()
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert np.isfinite(first).all()
    assert not np.shares_memory(first, audio)
    np.testing.assert_array_equal(audio, untouched)


@by_name
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 2), (2, 3), (1, 500)])
def test_clips_of_a_few_samples_pass(transform: Transform, shape: tuple[int, int]) -> None:
    n_out = round(shape[1] / transform.get("factor", 1))
    assert run(np.full(shape, 0.1), transform).shape == (shape[0], n_out)


def test_order_is_kept_and_no_transform_gives_a_copy() -> None:
    audio = clip(2, 100)
    same = apply_transforms(audio, RATE, [])
    np.testing.assert_array_equal(same, audio)
    assert not np.shares_memory(same, audio)
    noise = EXAMPLES[4]
    assert not run(audio, noise, {"name": "mute"}).any()
    assert run(audio, {"name": "mute"}, noise).any()


def test_invert_and_mute() -> None:
    audio = clip(2)
    np.testing.assert_array_equal(run(audio, {"name": "invert"}), -audio)
    np.testing.assert_array_equal(run(audio, {"name": "invert"}, {"name": "invert"}), audio)
    np.testing.assert_array_equal(run(audio, {"name": "mute"}), np.zeros_like(audio))


def test_silence_is_cut_while_reading_and_not_here() -> None:
    audio = clip(2)
    np.testing.assert_array_equal(run(audio, EXAMPLES[7]), audio)
    for keep in ([[0]], [[0, 0]], [[-1, 5]], [0, 5], [[0, 5.5]], [[True, 5]], 5):
        with pytest.raises(UsageError, match=r"silence: keep must be a list of \[start, n_s"):
            encode({"name": "silence", "keep": keep})


# Contrast


@given(st.floats(0, 100), st.floats(-1, 1, width=32))
def test_contrast_is_sox_s_odd_and_bounded_function(amount: float, x: float) -> None:
    low, high = run([-x, x], {"name": "contrast", "amount": amount})[0]
    d = x * math.pi / 2
    assert high == pytest.approx(math.sin(d + amount / 750 * math.sin(4 * d)), abs=1e-7)
    assert low == -high
    assert abs(high) <= 1


def test_contrast_raises_soft_sounds_and_keeps_full_scale() -> None:
    for amount in (0, 1, 70):  # 0 is a sine and no identity: the slope at 0 is pi / 2
        soft, full, over = run([1e-4, 1.0, 1.5], {"name": "contrast", "amount": amount})[0]
        assert soft == pytest.approx(1e-4 * math.pi / 2 * (1 + 4 * amount / 750), rel=1e-4)
        assert full == over == 1


# Equaliser


def response_db(impulse_response: Float32s) -> tuple[Float64s, Float64s]:
    n = impulse_response.shape[1]
    spectrum = np.abs(np.fft.rfft(impulse_response[0].astype(np.float64)))
    return np.fft.rfftfreq(n, 1 / RATE), 20 * np.log10(spectrum)


@pytest.mark.parametrize("freq_hz", [32, 440, 4096, 15_000])
@pytest.mark.parametrize("gain_db", [-10.0, 5.0])
def test_equalizer_is_the_peaking_biquad_of_the_cookbook(freq_hz: int, gain_db: float) -> None:
    equalizer = {"name": "equalizer", "freq_hz": freq_hz, "q": 2, "gain_db": gain_db}
    frequencies, measured = response_db(run(impulse(1 << 17), equalizer))
    a, omega = 10 ** (gain_db / 40), 2 * math.pi * freq_hz / RATE
    alpha, middle = math.sin(omega) / (2 * 2), -2 * math.cos(omega)
    _, expected = scipy.signal.freqz(
        [1 + alpha * a, middle, 1 - alpha * a],
        [1 + alpha / a, middle, 1 - alpha / a],
        frequencies,
        fs=RATE,
    )
    assert measured == pytest.approx(20 * np.log10(np.abs(expected)), abs=0.1)
    assert np.interp(freq_hz, frequencies, measured) == pytest.approx(gain_db, abs=0.1)
    far = (frequencies < freq_hz / 20) | (frequencies > freq_hz * 20)
    assert np.abs(measured[far]).max() < 0.1


@pytest.mark.parametrize("freq_hz", [4000, 4096])
def test_equalizer_above_half_the_sample_rate_does_nothing(freq_hz: int) -> None:
    equalizer = {"name": "equalizer", "freq_hz": freq_hz, "q": 2, "gain_db": -10}
    audio = clip(1)
    np.testing.assert_array_equal(run(audio, equalizer, rate=8000), audio)
    assert not np.array_equal(run(audio, equalizer, rate=16_000), audio)


# Reverb


def sox_feedback(reverberance: float) -> float:
    a = -1 / math.log(1 - 0.3)
    b = 100 / (math.log(1 - 0.98) * a + 1)
    return 1 - math.exp((reverberance - b) / (a * b))


def sox_reverb(reverberance: float, n_samples: int) -> Float64s:
    """Impulse response of sox's reverb.c (left channel) from its transfer function."""
    n = 4 * n_samples  # what rings longer wraps around
    z = np.exp(-2j * np.pi * np.arange(n // 2 + 1) / n)
    damping = 0.5 * 0.3 + 0.2
    loop = sox_feedback(reverberance) * (1 - damping) / (1 - damping * z)
    wet = 0.015 * sum(z**length / (1 - loop * z**length) for length in COMBS)
    for length in ALLPASSES:
        wet = wet * (1.5 * z**length - 1) / (1 - 0.5 * z**length)
    return np.asarray(np.fft.irfft(1 + wet, n)[:n_samples], np.float64)


def test_sox_feedback_has_the_documented_ends() -> None:
    assert sox_feedback(0) == pytest.approx(0.3)
    assert sox_feedback(100) == pytest.approx(0.98)


@pytest.mark.parametrize("reverberance", [24, 50, 70])
def test_reverb_of_mono_is_sox_s(reverberance: int) -> None:
    reverb = {"name": "reverb", "reverberance": reverberance}
    measured = run(impulse(1 << 16), reverb)[0]
    np.testing.assert_allclose(measured, sox_reverb(reverberance, 1 << 16), atol=2e-6)
    assert measured[0] == pytest.approx(1, abs=1e-6)
    assert not measured[1 : min(COMBS)].any()


def test_reverb_of_stereo_hears_the_mean_of_both_channels() -> None:
    reverb = {"name": "reverb", "reverberance": 50}
    mono = run(impulse(1 << 15), reverb)
    both = run(np.repeat(impulse(1 << 15), 2, axis=0), reverb)
    np.testing.assert_allclose(both[0], mono[0], atol=1e-6)
    assert not np.allclose(both[0], both[1], atol=1e-4)
    one = run(np.vstack([impulse(1 << 15), np.zeros((1, 1 << 15))]), reverb)
    assert one[:, 0] == pytest.approx([1, 0], abs=1e-6)
    np.testing.assert_allclose(one[:, 1:], both[:, 1:] / 2, atol=1e-6)


def rt60_s(impulse_response: Float32s) -> float:
    """Reverberation time below 300 Hz from the Schroeder curve between -5 and -35 dB."""
    low = scipy.signal.butter(4, 300, fs=RATE, output="sos")
    tail = scipy.signal.sosfilt(low, impulse_response[0, 1:])
    decay = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    kept = np.flatnonzero((decay < -5) & (decay > -35))
    return float(-60 / np.polyfit(kept / RATE, decay[kept], 1)[0])


def test_reverb_decays_in_the_time_its_feedback_asks_for() -> None:
    times = []
    for reverberance in (24, 40, 55, 70):
        response = run(impulse(4 * RATE), {"name": "reverb", "reverberance": reverberance})
        times.append(rt60_s(response))
        loop_s = float(np.mean(COMBS)) / RATE
        expected = 3 * loop_s / -math.log10(sox_feedback(reverberance))
        assert times[-1] == pytest.approx(expected, rel=0.15)
    assert times == sorted(times)


def test_reverb_below_24_stays_at_the_least_feedback_there_is() -> None:
    assert sox_feedback(23) < 0.7 < sox_feedback(24)
    least, less, more = (
        run(impulse(8000), {"name": "reverb", "reverberance": r}) for r in (0, 23, 24)
    )
    np.testing.assert_array_equal(least, less)
    np.testing.assert_allclose(less, more, atol=1e-3)


# Noise


def test_pink_noise_falls_3_db_per_octave_and_has_its_level() -> None:
    n, power, slopes = 1 << 15, [], []
    for seed in range(60):
        noise: Transform = {"name": "noise", "level": 0.02, "exponent": 1, "seed": seed}
        audio = run(np.zeros((2, n)), noise)
        power.append(np.mean(audio.astype(np.float64) ** 2))
        slopes.append(np.abs(np.fft.rfft(audio, axis=1)) ** 2)
    assert math.sqrt(np.mean(power)) == pytest.approx(0.02, rel=0.05)
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    edges = np.geomspace(100, 10_000, 21)
    bands = np.digitize(frequencies, edges)
    spectrum = np.mean(slopes, axis=(0, 1))
    levels = [10 * math.log10(spectrum[bands == i].mean()) for i in range(1, 21)]
    octaves = np.log2([frequencies[bands == i].mean() for i in range(1, 21)])
    assert np.polyfit(octaves, levels, 1)[0] == pytest.approx(-10 * math.log10(2), abs=0.3)


def test_noise_is_added_and_differs_between_channels_and_seeds() -> None:
    audio = clip(2)
    noise: Transform = {"name": "noise", "level": 0.02, "exponent": 0, "seed": 1}
    alone = run(np.zeros_like(audio), noise)
    np.testing.assert_allclose(run(audio, noise), audio + alone, atol=1e-7)
    assert abs(np.corrcoef(alone)[0, 1]) < 0.05  # white: 7 sigma of 20 000 samples
    other = run(np.zeros_like(audio), noise | {"seed": 2})
    assert abs(np.corrcoef(alone[0], other[0])[0, 1]) < 0.05
    np.testing.assert_array_equal(run(audio, noise | {"level": 0}), audio)


# Tempo


@pytest.mark.parametrize("factor", TEMPO_FACTORS)
def test_tempo_changes_the_length_and_not_the_pitch(factor: float) -> None:
    n = 2 * RATE
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / RATE)
    stretched = run(sine, {"name": "tempo", "factor": factor})[0]
    assert len(stretched) == round(n / factor)
    middle = stretched[len(stretched) // 4 : -len(stretched) // 4].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    assert spectrum.argmax() * RATE / (1 << 18) == pytest.approx(440, rel=0.01)
    loss_db = -20 * math.log10(math.sqrt(np.mean(middle**2)) / (0.5 / math.sqrt(2)))
    assert loss_db == pytest.approx({0.5: 1.2, 0.75: 0.8}.get(factor, 0), abs=0.1)
    if factor == 1:
        np.testing.assert_array_equal(stretched, sine.astype(np.float32))


def test_tempo_moves_what_happens_in_time() -> None:
    audio = np.zeros(2 * RATE)
    audio[RATE : RATE + 100] = 0.5
    faster = run(audio, {"name": "tempo", "factor": 2})[0]
    assert np.abs(faster).argmax() == pytest.approx(RATE / 2, abs=2048)


# Recipes


def number(low: float, high: float) -> st.SearchStrategy[float | int]:
    return st.floats(low, high) | st.integers(math.ceil(low), math.floor(high))


transforms = st.one_of(
    st.builds(lambda a: {"name": "contrast", "amount": a}, number(0, 100)),
    st.builds(
        lambda f, q, g: {"name": "equalizer", "freq_hz": f, "q": q, "gain_db": g},
        number(1, 20_000),
        number(0.1, 10),
        number(-30, 30),
    ),
    st.builds(lambda r: {"name": "reverb", "reverberance": r}, number(0, 100)),
    st.builds(
        lambda v, e, s: {"name": "noise", "level": v, "exponent": e, "seed": s},
        number(0, 1),
        number(0, 2),
        st.integers(0, 2**53),
    ),
    st.builds(lambda f: {"name": "tempo", "factor": f}, number(0.25, 4)),
    st.sampled_from([{"name": "invert"}, {"name": "mute"}]),
    st.builds(
        lambda gaps: {
            "name": "silence",
            "keep": [[sum(gaps[: 2 * i]), gaps[2 * i]] for i in range(len(gaps) // 2)],
        },
        st.lists(st.integers(1, 10**6), min_size=2),
    ),
)


@given(transforms, st.randoms())
def test_recipes_are_canonical_and_come_back(transform: Transform, random: Any) -> None:
    text = encode(transform)
    assert decode(text) == transform
    assert encode(decode(text)) == text
    items = list(transform.items())
    random.shuffle(items)
    assert encode(dict(items)) == text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_whole_numbers_are_written_as_integers() -> None:
    assert encode({"name": "tempo", "factor": 2.0}) == '{"factor":2,"name":"tempo"}'
    assert encode({"name": "tempo", "factor": 0.5}) == '{"factor":0.5,"name":"tempo"}'


BROKEN: list[tuple[object, str]] = [
    ({"name": "flange"}, "no transform 'flange'; known: bleed, class-effects, contrast, "),
    ({"amount": 3}, "with a name"),
    ({"name": ["contrast"]}, "with a name"),
    ("contrast", "with a name"),
    ({"name": "contrast"}, "contrast: parameters are amount, not none"),
    ({"name": "mute", "amount": 3}, "mute: parameters are none, not amount"),
    ({"name": "contrast", "amount": 101}, "amount must be a number from 0 to 100, not 101"),
    ({"name": "contrast", "amount": "3"}, "amount must be a number from 0 to 100, not '3'"),
    ({"name": "contrast", "amount": True}, "not True"),
    ({"name": "contrast", "amount": math.nan}, "not nan"),
    ({"name": "tempo", "factor": 0}, "factor must be a number from 0.25 to 4, not 0"),
    ({"name": "noise", "level": 0.1, "exponent": 1, "seed": 0.5}, "seed must be"),
]


@pytest.mark.parametrize(("transform", "message"), BROKEN)
def test_what_is_no_transform_is_refused(transform: Any, message: str) -> None:
    with pytest.raises(UsageError) as usage:
        encode(transform)
    with pytest.raises(InvalidCorpus) as invalid:
        apply_transforms(clip(1), RATE, [json.dumps(transform)])
    for caught in (usage, invalid):
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidCorpus, match="transform 'contrast': not JSON"):
        decode("contrast")


@pytest.mark.parametrize(
    ("index", "package"),
    [(1, "pedalboard"), (4, "colorednoise"), (5, "pedalboard"), (6, "librosa")],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, index: int, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as caught:
        run(clip(1), EXAMPLES[index])
    assert str(caught.value) == (
        f"this augmentation needs {package}; install it with: {install_command('augment')}"
    )


# Draws

N_DRAWS = 4000


def draw_wet(rng: np.random.Generator) -> list[Transform]:
    drawn = AUGMENTATIONS.load("wet").draw_effects(lambda: rng, Decided())
    return [effect.record() for effect in drawn]


def draw_tempo(rng: np.random.Generator) -> float:
    return AUGMENTATIONS.load("tempo").draw_speed(lambda: rng)


def assert_share(count: int, p: float) -> None:
    assert count / N_DRAWS == pytest.approx(p, abs=3 * math.sqrt(p * (1 - p) / N_DRAWS))


def test_wet_effects_are_drawn_as_in_the_paper() -> None:
    draws = [draw_wet(rng_for(0, f"song{i}", "wet")) for i in range(N_DRAWS)]
    names = [tuple(t["name"] for t in draw) for draw in draws]
    for name in ("contrast", "equalizer", "reverb", "noise"):
        assert_share(sum(name in n for n in names), 0.3)
    assert_share(sum("contrast" in n and "reverb" in n for n in names), 0.09)
    assert_share(sum(not n for n in names), 0.7**4)
    order = ("contrast", "equalizer", "equalizer", "reverb", "noise")
    assert all(n == tuple(o for o in order if o in n) for n in names)

    drawn = [t for draw in draws for t in draw]
    values = {
        key: [t[key] for t in drawn if key in t] for key in {k for t in drawn for k in t} - {"name"}
    }
    for key in ("amount", "reverberance"):
        assert (min(values[key]), max(values[key])) == (1, 70)
        assert np.mean(values[key]) == pytest.approx(35.5, abs=3 * 20.2 / math.sqrt(1200))
    assert min(values["freq_hz"]) >= 32
    assert max(values["freq_hz"]) <= 4096
    assert np.mean(values["freq_hz"]) == pytest.approx(2064, abs=3 * 1173 / math.sqrt(2400))
    assert min(values["gain_db"]) >= -10
    assert max(values["gain_db"]) <= 5
    assert np.mean(values["gain_db"]) == pytest.approx(-2.5, abs=3 * 4.33 / math.sqrt(2400))
    assert min(values["level"]) >= 0.01
    assert max(values["level"]) <= 0.04
    assert set(values["q"]) == {2}
    assert set(values["exponent"]) == {1}
    assert len(set(values["seed"])) == len(values["seed"])


def test_wet_draws_are_repeatable_valid_and_short() -> None:
    for i in range(300):
        draw = draw_wet(rng_for(1, i))
        assert draw == draw_wet(rng_for(1, i))
        for transform in draw:
            text = encode(transform)
            assert decode(text) == transform
            assert len(text) < 80


def test_tempo_is_drawn_as_in_the_paper() -> None:
    counts = Counter(draw_tempo(rng_for(0, f"song{i}", "tempo")) for i in range(N_DRAWS))
    assert tuple(sorted(counts)) == TEMPO_FACTORS
    for factor, count in counts.items():
        assert_share(count, 0.4 if factor == 1 else 0.1)
