"""Tests of chains of effects: parsing, drawing, and what they do to sound."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.production.chain import (
    EFFECTS,
    DrawnEffect,
    Effect,
    apply_effects,
    chain_from_json,
    chain_to_json,
    draw_chain,
    parse_drawn_effects,
    parse_effects,
)

pytest.importorskip("pedalboard", reason="needs the extra effects")


def noise(n_samples: int, n_channels: int = 1) -> Float32s:
    rng = np.random.default_rng(5)
    return (0.1 * rng.standard_normal((n_channels, n_samples))).astype(np.float32)


def sine(frequency_hz: float, sample_rate: int = 44100, n_samples: int = 44100) -> Float32s:
    time_s = np.arange(n_samples) / sample_rate
    return (0.25 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)[np.newaxis]


def level_db(audio: Float32s) -> float:
    return float(
        10 * np.log10(np.mean(np.square(audio[:, audio.shape[1] // 2 :], dtype=np.float64)))
    )


@pytest.mark.parametrize("n_samples", [1, 1000, 20001])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_is_deterministic_and_keeps_the_length(
    name: str, n_samples: int, n_channels: int
) -> None:
    chain = parse_effects([{name: None}], "here")
    audio = noise(n_samples, n_channels)
    before = audio.copy()
    first = apply_effects(audio, chain, 44100)
    apply_effects(noise(5000)[:, ::-1].copy(), chain, 44100)  # leaves no state behind
    second = apply_effects(audio, chain, 44100)
    assert first.shape == (n_channels, n_samples)
    assert first.dtype == np.float32
    assert np.all(np.isfinite(first))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(audio, before)


def test_a_gain_of_6_db_is_exact() -> None:
    audio = noise(10_000)
    louder = apply_effects(audio, (Effect("Gain", (("gain_db", 6.0),)),), 44100)
    np.testing.assert_allclose(louder, audio * 10 ** (6 / 20), rtol=1e-6)


def test_effects_are_applied_in_order() -> None:
    loud, limit = Effect("Gain", (("gain_db", 20.0),)), Effect("Distortion", (("drive_db", 0.0),))
    audio = sine(440.0)
    one, other = (apply_effects(audio, chain, 44100) for chain in ((loud, limit), (limit, loud)))
    assert np.max(np.abs(one)) <= 1.0
    assert np.max(np.abs(other)) > 2.0


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_a_lowpass_takes_away_a_high_tone_only(sample_rate: int) -> None:
    chain = (Effect("LowpassFilter", (("cutoff_frequency_hz", 500.0),)),)
    low, high = sine(50.0, sample_rate), sine(5000.0, sample_rate)
    assert level_db(apply_effects(low, chain, sample_rate)) > level_db(low) - 0.5
    assert level_db(apply_effects(high, chain, sample_rate)) < level_db(high) - 15


@pytest.mark.parametrize("name", ["LowpassFilter", "HighpassFilter"])
def test_a_filter_above_half_the_sample_rate_gives_no_infinite_audio(name: str) -> None:
    chain = (Effect(name, (("cutoff_frequency_hz", 9000.0),)),)
    try:
        audio = apply_effects(noise(20_000), chain, 16000)
    except UsageError as error:
        assert name in str(error)
    else:
        assert np.all(np.isfinite(audio))


@pytest.mark.parametrize("name", EFFECTS)
def test_no_effect_comes_late(name: str) -> None:
    click = np.zeros((1, 4000), np.float32)
    click[0, 1000] = 0.5
    heard = apply_effects(click, parse_effects([{name: None}], "here"), 44100)[0]
    assert np.flatnonzero(np.abs(heard) > 1e-4)[0] == 1000


def test_a_compressor_keeps_the_place_of_what_is_on_one_side() -> None:
    audio = np.concatenate([sine(220.0), 0.25 * sine(220.0)])
    compressor = Effect("Compressor", (("ratio", 8.0), ("threshold_db", -40.0)))
    squashed = apply_effects(audio, (compressor,), 44100)
    assert level_db(squashed[:1]) < level_db(audio[:1]) - 6
    np.testing.assert_allclose(squashed[1], 0.25 * squashed[0], rtol=1e-5, atol=1e-8)


def test_a_compressor_hears_equal_channels_as_one() -> None:
    compressor = (Effect("Compressor", (("ratio", 4.0), ("threshold_db", -30.0))),)
    mono = apply_effects(noise(30_000), compressor, 44100)
    stereo = apply_effects(np.repeat(noise(30_000), 2, axis=0), compressor, 44100)
    np.testing.assert_allclose(stereo, np.repeat(mono, 2, axis=0), rtol=1e-5, atol=1e-8)


def test_parameters_are_drawn_within_their_ranges() -> None:
    entries = [{"LowpassFilter": {"cutoff_frequency_hz": [500, 2000]}}, {"Gain": {"gain_db": 3}}]
    chain = parse_drawn_effects(entries, "here")
    drawn = [draw_chain(chain, rng_for(seed, "song")) for seed in range(200)]
    cutoffs_hz = [dict(effects[0].parameters)["cutoff_frequency_hz"] for effects in drawn]
    assert 500 <= min(cutoffs_hz) < 600
    assert 1800 < max(cutoffs_hz) <= 2000
    assert 0.4 < np.mean(np.array(cutoffs_hz) < 1000) < 0.6  # octaves are alike likely
    assert {effects[1] for effects in drawn} == {Effect("Gain", (("gain_db", 3.0),))}
    assert drawn[7] == draw_chain(chain, rng_for(7, "song"))


def test_an_effect_is_there_as_often_as_its_probability_says() -> None:
    chain = parse_drawn_effects([{"Chorus": {"probability": 0.25}}, {"Gain": None}], "here")
    drawn = [draw_chain(chain, rng_for(seed, "song")) for seed in range(400)]
    assert 0.18 < np.mean([effects[0].name == "Chorus" for effects in drawn]) < 0.32
    assert all(effects[-1].name == "Gain" for effects in drawn)


def test_a_chain_is_the_same_after_its_record() -> None:
    chain = (Effect("Gain", (("gain_db", 2.5),)), Effect("Reverb", ()))
    assert chain_to_json(chain) == '[{"Gain": {"gain_db": 2.5}}, {"Reverb": {}}]'
    assert chain_from_json(chain_to_json(chain)) == chain
    with pytest.raises(UsageError, match="not a chain of effects"):
        chain_from_json("[{")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"Gain": {"gain_db": [3, 1]}}, "Gain: gain_db is a number or a range"),
        ({"Gain": {"gain_db": [1, 2, 3]}}, "Gain: gain_db is a number or a range"),
        ({"Gain": {"gain_db": "loud"}}, "Gain: could not convert"),
        ({"Gain": {"gain_db": ["a", "b"]}}, "Gain: could not convert"),
        ({"Gain": {"gain_db": [0, float("inf")]}}, "Gain: a parameter is not a finite number"),
        ({"Gain": {"loudness": [1, 2]}}, "Gain: no parameter 'loudness'; known: gain_db"),
        ({"Gain": {"gain_db": True}}, "Gain: gain_db is a number, not True"),
        ({"Gain": {"gain_db": [False, 3]}}, "Gain: gain_db is a number, not False"),
        ({"PeakFilter": {"bypass": 1}}, "PeakFilter: no parameter 'bypass'; known: cutoff_"),
        ({"Reverb": {"room_size": [0.5, 5]}}, "Reverb: "),
        ({"Gain": {"probability": 2}}, "Gain: probability is a number from 0 to 1"),
        ({"Gain": {"probability": [0, 1]}}, "Gain: probability is a number from 0 to 1"),
        ({"Flanger": None}, "no effect 'Flanger'; known: Chorus, "),
    ],
)
def test_a_mistake_in_a_range_is_named(entry: object, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_drawn_effects([entry], "chain.yaml: bass")
    assert str(caught.value).startswith(f"chain.yaml: bass: {expected}")


def test_effects_of_numbers_alone_take_no_range() -> None:
    with pytest.raises(UsageError, match="Gain: "):
        parse_effects([{"Gain": {"gain_db": [1, 2]}}], "here")
    with pytest.raises(UsageError, match="Gain: "):
        parse_effects([{"Gain": {"probability": 0.5}}], "here")


def test_an_effect_without_ranges_draws_itself() -> None:
    assert DrawnEffect("Reverb", ()).draw(rng_for(0)) == Effect("Reverb", ())


def test_without_pedalboard_one_line_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pedalboard", None)
    with pytest.raises(UsageError) as caught:
        apply_effects(np.zeros((1, 10), np.float32), (Effect("Gain", ()),), 44100)
    assert install_command("effects") in str(caught.value)
    assert "\n" not in str(caught.value)
