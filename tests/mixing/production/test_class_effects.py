"""Tests of effects by class: the file, the draw, and what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import DRUMS, classes_of
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.production.chain import Effect
from stemsmith.mixing.production.class_effects import (
    ClassEffects,
    apply_class_effects,
    built_in_class_effects,
    n_ringing,
    read_class_effects,
)

pytest.importorskip("pedalboard", reason="needs the extra effects")

RATE = 16000


def names_of(effects: ClassEffects, program: int, sample_rate: int = 44100) -> list[str]:
    drawn = effects.draw(classes_of(program), rng_for(0, program), sample_rate)
    return [effect.name for effect in drawn]


def noise(n_samples: int, n_channels: int = 1) -> np.ndarray:
    audio = np.random.default_rng(3).standard_normal((n_channels, n_samples))
    return (0.05 * audio).astype(np.float32)


def test_only_electric_guitars_have_an_amplifier() -> None:
    built_in = built_in_class_effects()
    amplified = {p for p in range(DRUMS + 1) if "Distortion" in names_of(built_in, p)}
    assert amplified == {26, 27, 28, 29, 30, 31}
    drums = ["LowShelfFilter", "PeakFilter", "HighShelfFilter", "Compressor"]
    assert names_of(built_in, DRUMS) == drums
    assert names_of(built_in, 33) == ["Compressor", "PeakFilter"]
    assert names_of(built_in, 0) == ["LowShelfFilter", "PeakFilter", "Compressor"]


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000])
def test_filters_for_what_audio_cannot_hold_are_left_out(sample_rate: int) -> None:
    built_in = built_in_class_effects()
    for program in (0, 27, 29, 33, DRUMS):
        chain = built_in.draw(classes_of(program), rng_for(0, program), sample_rate)
        assert chain
        processed = apply_class_effects(noise(sample_rate), chain, sample_rate)
        assert np.isfinite(processed).all()
    assert "LowpassFilter" not in names_of(built_in, 27, 8000)


def test_a_file_says_the_effects_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "chains.yaml"
    path.write_text(
        "Guitar: [{Gain: {gain_db: [1, 2]}}]\nacoustic guitar: [{Reverb: }]\nothers: []\n"
    )
    effects = read_class_effects(path)
    assert [name for name, _ in effects.chains] == ["acoustic-guitar", "guitar", "others"]
    assert names_of(effects, 24) == ["Reverb"]  # the finer class counts
    assert names_of(effects, 27) == ["Gain"]
    assert names_of(effects, 0) == []
    assert effects.to_manifest()["guitar"] == [{"Gain": {"gain_db": [1.0, 2.0], "probability": 1}}]


def test_both_halves_of_the_strings_are_strings(tmp_path: Path) -> None:
    path = tmp_path / "chains.yaml"
    path.write_text("strings: [{Gain: }]\n")
    assert all(names_of(read_class_effects(path), p) == ["Gain"] for p in (40, 47, 48, 55))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it is not a table of names and values"),
        ("[]", "it is not a table of names and values"),
        ("bass: 3", "bass is not a list"),
        ("kazoo: []", "no class 'kazoo'; known: "),
        ("bass: []\nBass: []", "class bass is there twice"),
        ("bass: [{Flanger: }]", "bass: no effect 'Flanger'; known: "),
        ("bass: [{Gain: {gain_db: [2, 1]}}]", "bass: Gain: gain_db is a number or a range"),
        ("bass: [", ""),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "chains.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_class_effects(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_filter_that_audio_cannot_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chains.yaml"
    path.write_text("bass: [{HighpassFilter: {cutoff_frequency_hz: [100, 9000]}}]\n")
    effects = read_class_effects(path)
    effects.check(44100)
    with pytest.raises(UsageError, match="effects of bass: HighpassFilter up to 9000 Hz"):
        effects.check(16000)
    for sample_rate in (8000, 16000, 44100):
        built_in_class_effects().check(sample_rate)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        read_class_effects(tmp_path / "none.yaml")


@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_level_of_a_stem_neither_matters_nor_changes(n_channels: int) -> None:
    chain = built_in_class_effects().draw(classes_of(29), rng_for(0), RATE)
    audio = noise(2 * RATE, n_channels)
    once = apply_class_effects(audio, chain, RATE)
    softer = apply_class_effects(audio * np.float32(0.001), chain, RATE)
    np.testing.assert_allclose(softer * 1000, once, rtol=1e-3, atol=1e-5)
    assert np.square(once).mean() == pytest.approx(np.square(audio).mean(), rel=0.05)
    assert not np.allclose(once, audio, atol=0.01)


def test_silence_stays_silence_and_no_effects_are_no_effects() -> None:
    chain = built_in_class_effects().draw(classes_of(29), rng_for(0), RATE)
    assert not apply_class_effects(np.zeros((1, RATE), np.float32), chain, RATE).any()
    audio = noise(RATE)
    np.testing.assert_array_equal(apply_class_effects(audio, (), RATE), audio)


def test_spans_save_time_only() -> None:
    chain = built_in_class_effects().draw(classes_of(33), rng_for(0), RATE)
    audio = np.zeros((1, 6 * RATE), np.float32)
    spans = [(0, RATE), (4 * RATE, 5 * RATE)]
    for start, stop in spans:
        audio[:, start:stop] = noise(stop - start)
    whole = apply_class_effects(audio, chain, RATE)
    np.testing.assert_allclose(apply_class_effects(audio, chain, RATE, spans), whole, atol=1e-4)
    assert n_ringing(chain, RATE, 99_000) == RATE
    assert n_ringing((Effect("Delay", ()),), RATE, 99_000) == 99_000


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (("HighpassFilter", 7000.0, "cutoff_frequency_hz", 6), "they leave nothing of a stem"),
        (("Gain", 300.0, "gain_db", 4), "they give infinite samples"),
    ],
)
def test_effects_that_give_silence_or_infinity_are_refused(
    chain: tuple[str, float, str, int], expected: str
) -> None:
    name, value, key, n_times = chain
    seconds = np.arange(RATE, dtype=np.float32) / RATE
    hum = np.sin(2 * np.pi * 30 * seconds, dtype=np.float32)[np.newaxis] * np.hanning(RATE)
    effects = (Effect(name, ((key, value),)),) * n_times
    with pytest.raises(UsageError) as caught:
        apply_class_effects(hum.astype(np.float32), effects, RATE)
    assert str(caught.value) == f"effects {', '.join([name] * n_times)}: {expected}"
