"""Realising recipes: exact arithmetic by NumPy, soxr and librosa by themselves, pyloudnorm."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.mixing.audio.realise import realise
from stemsmith.mixing.audio.transforms import encode
from stemsmith.mixing.level.loudness import excerpts_when_played_at
from stemsmith.mixing.sources.catalogue import split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

RATE = 16000
STEP = RATE // 10
# What a stem in 16 bits needs beside the ceiling (`automix.uniform_gain_db`).
ROOM = 1.5 / 32768


def noise(duration_s: float, rate: int = RATE, n_channels: int = 1, seed: int = 0) -> Float32s:
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((n_channels, round(duration_s * rate)), np.float32)


def sine(hz: float, duration_s: float, rate: int = RATE, amplitude: float = 0.3) -> Float32s:
    t = np.arange(round(duration_s * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)[np.newaxis]


def write(root: Path, name: str, audio: Float32s, rate: int = RATE, **changes: Any) -> Any:
    """Write (n_channels, n_samples) of audio; return a source that reads its first second."""
    path = root / f"{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, rate, subtype="FLOAT")
    source = MixtureSource(
        stem_id=f"song/{name}",
        song_id="song",
        root="root",
        path=path.relative_to(root).as_posix(),
        stream=0,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        group=name,
        role="source",
        sample_rate=rate,
        n_stem_samples=audio.shape[1],
        start=0,
        n_read=rate,
        shift=0,
        is_shift_padded=False,
        transforms=(),
        target_lufs=None,
        gain_db=0.0,
    )
    return dataclasses.replace(source, **changes)


def mixture_of(*sources: MixtureSource, **changes: Any) -> Any:
    mixture = Mixture("train-00000000", "coherent", "train", RATE, RATE, 1, -1.0, sources)
    return dataclasses.replace(mixture, **changes)


def names(*transforms: dict[str, Any]) -> tuple[str, ...]:
    return tuple(encode(transform) for transform in transforms)


def lufs(audio: npt.NDArray[np.floating], rate: int = RATE) -> float:
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    return float(meter.integrated_loudness(audio.astype(np.float64).T))


def gain(gain_db: float) -> np.float32:
    return np.float32(10 ** (gain_db / 20))


# ---------------------------------------------------------------------------------------------
# Sums


def test_a_source_without_changes_is_the_file(tmp_path: Path) -> None:
    audio = noise(3)
    source = write(tmp_path, "a", audio, start=12345)
    made = realise(mixture_of(source), {"root": tmp_path})
    assert list(made) == ["mixture", "a"]
    for name in made:
        np.testing.assert_array_equal(made[name], audio[:, 12345 : 12345 + RATE])
        assert made[name].dtype == np.float32
        assert made[name].shape == (1, RATE)
    assert (made.guard_gain_db, made.gains_db) == (0.0, {"song/a": 0.0})


def test_16_bit_stems_are_read_without_loss(tmp_path: Path) -> None:
    integers = np.random.default_rng(0).integers(-20000, 20000, RATE).astype(np.int16)
    path = tmp_path / "a.flac"
    soundfile.write(path, integers, RATE, subtype="PCM_16")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    source = dataclasses.replace(write(tmp_path, "b", noise(1)), path="a.flac", sha256=sha256)
    made = realise(mixture_of(source), {"root": tmp_path})
    np.testing.assert_array_equal(made["mixture"][0] * 32768, integers)


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[MixtureSource]]:
    root = tmp_path_factory.mktemp("stems")
    return root, [write(root, f"s{k}", noise(1, seed=k)) for k in range(8)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-40, 30)), min_size=1, max_size=8))
def test_the_mixture_is_the_sum_of_its_targets_below_the_ceiling(
    stems: tuple[Path, list[MixtureSource]], choice: list[tuple[int, float]]
) -> None:
    root, sources = stems
    used = [
        dataclasses.replace(source, group=f"g{group}", gain_db=round(gain_db, 4))
        for source, (group, gain_db) in zip(sources, choice, strict=False)
    ]
    made = realise(mixture_of(*used), {"root": root})
    groups = list(dict.fromkeys(source.group for source in used))
    assert list(made) == ["mixture", *groups]
    total = np.sum([made[group] for group in groups], axis=0, dtype=np.float64)
    assert np.abs(made["mixture"] - total).max() <= 1e-6
    assert max(np.abs(audio).max() for audio in made.values()) <= 10 ** (-1 / 20)
    # One gain for all: every target is its stems times their gains times the guard gain.
    for group in groups:
        expected = sum(
            soundfile.read(root / s.path)[0] * 10 ** ((s.gain_db + made.guard_gain_db) / 20)
            for s in used
            if s.group == group
        )
        np.testing.assert_allclose(made[group][0], expected, rtol=0, atol=1e-6)
    assert made.gains_db == {source.stem_id: source.gain_db for source in used}


def test_targets_may_be_chosen_and_the_mixture_stays(
    stems: tuple[Path, list[MixtureSource]],
) -> None:
    root, sources = stems
    every = realise(mixture_of(*sources[:3]), {"root": root})
    some = realise(mixture_of(*sources[:3]), {"root": root}, targets=["s1", "vocals"])
    assert list(some) == ["mixture", "s1", "vocals"]
    np.testing.assert_array_equal(some["mixture"], every["mixture"])
    np.testing.assert_array_equal(some["s1"], every["s1"])
    assert some["vocals"].shape == (1, RATE)
    assert not some["vocals"].any()
    assert list(realise(mixture_of(*sources[:3]), {"root": root}, targets=())) == ["mixture"]


# ---------------------------------------------------------------------------------------------
# Guard gain


@pytest.mark.parametrize("ceiling_dbfs", [-1.0, -6.0, 0.0])
def test_the_guard_gain_brings_the_peak_just_below_the_ceiling(
    tmp_path: Path, ceiling_dbfs: float
) -> None:
    one, two = sine(440, 1, amplitude=0.9), sine(440, 1, amplitude=0.7)
    sources = [write(tmp_path, "a", one), write(tmp_path, "b", two)]
    mixture = mixture_of(*sources, peak_ceiling_dbfs=ceiling_dbfs)
    made = realise(mixture, {"root": tmp_path})
    ceiling, peak = 10 ** (ceiling_dbfs / 20), float(np.abs(one + two).max())
    highest, lowest = (20 * math.log10(c / peak) for c in (ceiling, ceiling - 2 * ROOM))
    assert lowest - 2e-4 <= made.guard_gain_db <= highest
    assert ceiling - 4 * ROOM <= np.abs(made["mixture"]).max() <= ceiling
    np.testing.assert_allclose(made["a"], one * gain(made.guard_gain_db), atol=1e-6)
    np.testing.assert_allclose(made["b"], two * gain(made.guard_gain_db), atol=1e-6)


def test_targets_that_cancel_are_kept_from_clipping_too(tmp_path: Path) -> None:
    audio = sine(440, 1, amplitude=0.5)
    sources = [
        write(tmp_path, "a", audio, gain_db=12.0),
        write(tmp_path, "b", audio, gain_db=12.0, transforms=names({"name": "invert"})),
    ]
    made = realise(mixture_of(*sources), {"root": tmp_path})
    assert not made["mixture"].any()
    ceiling = 10 ** (-1 / 20)
    assert ceiling - 2 * ROOM <= np.abs(made["a"]).max() <= ceiling
    np.testing.assert_array_equal(made["a"], -made["b"])


def test_below_the_ceiling_nothing_is_turned_down(tmp_path: Path) -> None:
    audio = sine(440, 1, amplitude=0.89)  # the ceiling is at 0.8913
    made = realise(mixture_of(write(tmp_path, "a", audio)), {"root": tmp_path})
    assert made.guard_gain_db == 0.0
    np.testing.assert_array_equal(made["mixture"], audio)


def test_silence_stays_silence(tmp_path: Path) -> None:
    sources = [
        write(tmp_path, "a", np.zeros((1, RATE), np.float32), target_lufs=-25.0),
        write(tmp_path, "b", np.zeros((1, 2 * RATE), np.float32)),
    ]
    made = realise(mixture_of(*sources), {"root": tmp_path})
    assert made.guard_gain_db == 0.0
    assert not any(audio.any() for audio in made.values())


# ---------------------------------------------------------------------------------------------
# Shift

LENGTH = 3 * STEP + 7


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MixtureSource]:
    root = tmp_path_factory.mktemp("looped")
    return root, write(root, "a", noise(1)[:, :LENGTH])


@settings(deadline=None)
@given(
    st.integers(0, LENGTH - 1),
    st.integers(-2 * STEP, 2 * STEP),
    st.integers(1, 8),
    st.booleans(),
)
def test_any_excerpt_of_a_shifted_stem_is_numpys(
    looped: tuple[Path, MixtureSource], start: int, shift: int, n_steps: int, is_padded: bool
) -> None:
    root, source = looped
    audio = soundfile.read(root / source.path, dtype="float32")[0]
    n_read = n_steps * STEP
    moved = dataclasses.replace(
        source, start=start, n_read=n_read, shift=shift, is_shift_padded=is_padded
    )
    made = realise(mixture_of(moved, n_samples=n_read), {"root": root})["a"][0]
    if is_padded:
        space = np.zeros(16 * STEP, np.float32)
        space[4 * STEP + shift : 4 * STEP + shift + LENGTH] = audio
        expected = space[4 * STEP + start :][:n_read]
    else:
        expected = np.take(np.roll(audio, shift), np.arange(start, start + n_read), mode="wrap")
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("shift", [0, STEP, 2 * STEP, -STEP])
def test_a_circular_shift_is_numpys_roll_and_its_opposite_undoes_it(
    tmp_path: Path, shift: int
) -> None:
    audio = noise(1)
    once = realise(mixture_of(write(tmp_path, "a", audio, shift=shift)), {"root": tmp_path})["a"]
    np.testing.assert_array_equal(once, np.roll(audio, shift, axis=1))
    back = realise(mixture_of(write(tmp_path, "b", once, shift=-shift)), {"root": tmp_path})["b"]
    np.testing.assert_array_equal(back, audio)


def test_a_padded_shift_is_later_and_begins_with_silence(tmp_path: Path) -> None:
    audio = noise(1)
    source = write(tmp_path, "a", audio, shift=2 * STEP, is_shift_padded=True)
    made = realise(mixture_of(source), {"root": tmp_path})["a"]
    assert not made[:, : 2 * STEP].any()
    np.testing.assert_array_equal(made[:, 2 * STEP :], audio[:, : -2 * STEP])


# ---------------------------------------------------------------------------------------------
# Sample rates and channels


@pytest.mark.parametrize(("file_rate", "rate"), [(44100, 16000), (48000, 44100), (16000, 44100)])
def test_an_excerpt_is_resampled_as_the_whole_stem_would_be(
    tmp_path: Path, file_rate: int, rate: int
) -> None:
    audio = noise(6, file_rate, 2)
    start_s, duration_s = 2.3, 1.5
    source = write(
        tmp_path,
        "a",
        audio,
        file_rate,
        start=round(start_s * file_rate),
        n_read=round(duration_s * file_rate),
    )
    n_samples = round(duration_s * rate)
    mixture = mixture_of(source, sample_rate=rate, n_samples=n_samples, n_channels=2)
    made = realise(mixture, {"root": tmp_path})["a"]
    whole = soxr.resample(audio.T, file_rate, rate, quality="HQ").T
    expected = whole[:, round(start_s * rate) :][:, :n_samples]
    np.testing.assert_allclose(made, expected, rtol=0, atol=2e-5)  # -80 dB, at both ends too


@pytest.mark.parametrize("file_rate", [44100, 48000, 22050, 8000])
def test_a_resampled_sine_is_the_sine_at_the_new_rate(tmp_path: Path, file_rate: int) -> None:
    source = write(
        tmp_path,
        "a",
        sine(440, 3, file_rate),
        file_rate,
        start=file_rate,
        n_read=file_rate,
    )
    made = realise(mixture_of(source), {"root": tmp_path})["a"]
    np.testing.assert_allclose(made, sine(440, 3)[:, RATE : 2 * RATE], rtol=0, atol=1e-4)


def test_a_shift_of_a_resampled_stem_is_in_seconds(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        "a",
        sine(440, 3, 44100),
        44100,
        start=44100,
        n_read=44100,
        shift=8820,
    )
    made = realise(mixture_of(source), {"root": tmp_path})["a"]
    expected = sine(440, 3)[:, RATE - 2 * STEP : 2 * RATE - 2 * STEP]
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-4)


def test_a_resampled_beginning_hears_no_more_than_the_ringing_of_the_end(
    tmp_path: Path,
) -> None:
    # Loud at one end, silent at the other: the reading goes around, by what a filter rings.
    audio = np.zeros((1, 3 * 44100), np.float32)
    audio[:, -44100:] = sine(441, 1, 44100)
    for padded in (True, False):
        source = write(tmp_path, "a", audio, 44100, n_read=44100, is_shift_padded=padded)
        made = realise(mixture_of(source), {"root": tmp_path})["a"]
        assert np.abs(made[:, STEP:]).max() < 1e-6
        assert np.abs(made).max() < 0.02
        if padded:
            assert np.abs(made).max() < 1e-6


@pytest.mark.parametrize("file_rate", [RATE, 44100])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("n_file_channels", [1, 2])
def test_channels(tmp_path: Path, n_file_channels: int, n_channels: int, file_rate: int) -> None:
    audio = noise(1.4, file_rate, n_file_channels)
    source = write(tmp_path, "a", audio, file_rate, start=file_rate // 5)
    made = realise(mixture_of(source, n_channels=n_channels), {"root": tmp_path})
    expected = audio.astype(np.float64)
    if n_channels == 1:
        expected = expected.mean(axis=0, keepdims=True)
    if file_rate != RATE:
        expected = soxr.resample(expected.T, file_rate, RATE, quality="HQ").T
    expected = np.broadcast_to(expected[:, 2 * STEP : 2 * STEP + RATE], (n_channels, RATE))
    for made_audio in made.values():
        assert made_audio.shape == (n_channels, RATE)
        assert made_audio.flags.c_contiguous
        np.testing.assert_allclose(made_audio, expected, rtol=0, atol=2e-5)


def test_mono_and_stereo_stems_go_together(tmp_path: Path) -> None:
    mono, stereo = noise(1, seed=1), noise(1, n_channels=2, seed=2)
    sources = write(tmp_path, "a", mono), write(tmp_path, "b", stereo)
    made = realise(mixture_of(*sources, n_channels=2), {"root": tmp_path})
    np.testing.assert_allclose(made["mixture"], mono + stereo, atol=1e-7)
    made = realise(mixture_of(*sources), {"root": tmp_path})
    np.testing.assert_allclose(made["mixture"], mono + stereo.mean(axis=0), atol=1e-7)


# ---------------------------------------------------------------------------------------------
# Transforms and loudness


def test_a_muted_source_is_silent_and_the_rest_as_before(
    stems: tuple[Path, list[MixtureSource]],
) -> None:
    root, (one, two, *_) = stems
    muted = dataclasses.replace(one, transforms=names({"name": "mute"}), target_lufs=-25.0)
    made = realise(mixture_of(muted, two), {"root": root})
    assert not made["s0"].any()
    np.testing.assert_array_equal(made["mixture"], made["s1"])
    np.testing.assert_array_equal(made["s1"], soundfile.read(root / two.path)[0][np.newaxis])


def test_polarity_is_upside_down(stems: tuple[Path, list[MixtureSource]]) -> None:
    root, (one, *_) = stems
    turned = dataclasses.replace(one, transforms=names({"name": "invert"}))
    made = realise(mixture_of(turned), {"root": root})["s0"]
    np.testing.assert_array_equal(made, -realise(mixture_of(one), {"root": root})["s0"])


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 1.5, 1.75, 2.0])
def test_a_change_of_tempo_keeps_pitch_and_moves_events(tmp_path: Path, factor: float) -> None:
    pytest.importorskip("librosa")
    # 1000 Hz, which falls silent where 0.6 s of the mixture have gone by.
    n_read = math.ceil(10 * factor) * STEP
    audio = sine(1000, 3)
    audio[:, round(0.6 * factor * RATE) :] = 0
    transforms = names({"name": "tempo", "factor": factor})
    source = write(tmp_path, "a", audio, n_read=n_read, transforms=transforms)
    made = realise(mixture_of(source), {"root": tmp_path})["a"]
    assert made.shape == (1, RATE)
    steps = np.sqrt(np.mean(made.reshape(-1, 160) ** 2, axis=1))  # 10 ms
    assert (steps[15:50] > 0.1).all()
    assert (steps[70:] < 0.02).all()
    spectrum = np.abs(np.fft.rfft(made[0, STEP : 5 * STEP]))
    assert spectrum.argmax() == 1000 * 4 * STEP // RATE


def test_steps_are_taken_in_their_fixed_order(tmp_path: Path) -> None:
    librosa = pytest.importorskip("librosa")
    file_rate, factor = 44100, 1.5
    audio = noise(6, file_rate, 2)
    source = write(
        tmp_path,
        "a",
        audio,
        file_rate,
        start=2 * file_rate,
        n_read=3 * file_rate // 2,
        shift=file_rate // 10,
        transforms=names({"name": "tempo", "factor": factor}, {"name": "contrast", "amount": 60}),
        target_lufs=-30.0,
        gain_db=-2.0,
    )
    made = realise(mixture_of(source), {"root": tmp_path})
    whole = soxr.resample(audio.mean(axis=0), file_rate, RATE, quality="HQ")
    read = whole[19 * STEP : 34 * STEP]
    stretched = librosa.effects.time_stretch(read, rate=factor)[:RATE]
    angle = np.clip(stretched, -1, 1) * (np.pi / 2)
    effected = np.sin(angle + 60 / 750 * np.sin(4 * angle))
    gain_db = -30.0 - lufs(effected[np.newaxis]) - 2.0
    assert made.gains_db["song/a"] == pytest.approx(gain_db, abs=0.01)
    expected = effected * 10 ** (gain_db / 20)
    np.testing.assert_allclose(made["a"][0], expected, rtol=0, atol=5e-4)
    assert lufs(made["a"]) == pytest.approx(-32.0, abs=0.01)


TRANSFORMS: dict[str, Sequence[dict[str, Any]]] = {
    "contrast": [{"name": "contrast", "amount": 70}],
    "equalizer": [{"name": "equalizer", "freq_hz": 2000, "q": 2, "gain_db": 5}],
    "reverb": [{"name": "reverb", "reverberance": 70}],
    "noise": [{"name": "noise", "level": 0.04, "exponent": 1, "seed": 5}],
    "faster": [{"name": "tempo", "factor": 2}],
    "slower": [{"name": "tempo", "factor": 0.5}],
    "silence": [{"name": "silence", "keep": [[16000, 8000], [40000, 56000]]}],
    "all": [
        {"name": "tempo", "factor": 0.75},
        {"name": "contrast", "amount": 30},
        {"name": "equalizer", "freq_hz": 100, "q": 2, "gain_db": -10},
        {"name": "reverb", "reverberance": 20},
        {"name": "noise", "level": 0.02, "exponent": 1, "seed": 6},
        {"name": "invert"},
    ],
    "none": [],
}


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("file_rate", [RATE, 44100])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_was_transformed_has_the_loudness_of_the_recipe(
    tmp_path: Path, name: str, file_rate: int, n_channels: int
) -> None:
    for package in ("librosa", "pedalboard", "colorednoise"):
        pytest.importorskip(package)
    # Loud, soft, and so soft that the gates matter.
    levels_db = np.repeat([0.0, -25.0, -8.0, -55.0, -3.0, 0.0, -40.0, 0.0], file_rate)
    audio = noise(8, file_rate, 2) * (10 ** (levels_db / 20)).astype(np.float32)
    factor = next((t["factor"] for t in TRANSFORMS[name] if t["name"] == "tempo"), 1)
    source = write(
        tmp_path,
        "a",
        audio,
        file_rate,
        n_read=round(4 * factor * file_rate),
        transforms=names(*TRANSFORMS[name]),
        target_lufs=-33.0,
    )
    mixture = mixture_of(source, n_samples=4 * RATE, n_channels=n_channels)
    made = realise(mixture, {"root": tmp_path})
    assert made.guard_gain_db == 0
    assert lufs(made["a"]) == pytest.approx(-33.0, abs=0.15)
    softer = dataclasses.replace(source, gain_db=-4.5)
    changed = realise(dataclasses.replace(mixture, sources=(softer,)), {"root": tmp_path})
    np.testing.assert_allclose(changed["a"], made["a"] * gain(-4.5), rtol=1e-6, atol=1e-9)


def test_the_envelope_tells_how_loud_a_clip_of_music_is(corpus: Path, tmp_path: Path) -> None:
    # Without the ends of the songs: of a release that is cut, the filters of the envelope have
    # heard the beginning and those of the meter have not, which is up to 1.2 LU in clips of 1 s.
    stems = read_stems(find_sources([str(corpus)], tmp_path), {}, 1)
    misses = []
    for catalogue in split_catalogues(stems, TAXONOMIES["slakh"]).values():
        for k, stem in enumerate(catalogue.stems):
            audio, rate = soundfile.read(corpus / stem.path)
            for start in catalogue.loud_starts(k, 10, -30.0):
                clip = catalogue.clip_k_powers(np.array([k]), np.array([start]), 10)
                gain_db = -25.0 - excerpts_when_played_at(clip, -25.0)[0]
                played = audio[start * rate // 10 :][:rate] * 10 ** (gain_db / 20)
                misses.append(abs(lufs(played[np.newaxis], rate) + 25.0))
    assert len(misses) > 700
    assert np.mean(np.array(misses) <= 0.15) >= 0.999


# ---------------------------------------------------------------------------------------------
# The same recipe, the same bytes

REALISE = """
import hashlib, sys
from pathlib import Path
from stemsmith.manifests import shards
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.audio.realise import realise
root = Path(sys.argv[1])
for mixture in reversed(shards.read_records(root / "m.parquet", Mixture)):
    made = realise(mixture, {"root": root})
    print(hashlib.sha256(b"".join(a.tobytes() for a in made.values())).hexdigest())
"""


def test_a_stored_recipe_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for package in ("librosa", "pedalboard", "colorednoise"):
        pytest.importorskip(package)
    wet = {
        "n_read": 33075,
        "shift": 4410,
        "transforms": names(*TRANSFORMS["all"]),
        "target_lufs": -30.0,
    }
    sources = [
        write(tmp_path, "a", noise(3, 44100, 2), 44100, **wet),
        write(tmp_path, "b", noise(3), gain_db=-3.1234),
    ]
    mixtures = [mixture_of(*sources), mixture_of(sources[0], n_channels=2)]
    shards.write_records(tmp_path / "m.parquet", Mixture, mixtures)
    assert shards.read_records(tmp_path / "m.parquet", Mixture) == mixtures

    def digest(mixture: Mixture) -> str:
        made = realise(mixture, {"root": str(tmp_path)})
        return hashlib.sha256(b"".join(a.tobytes() for a in made.values())).hexdigest()

    here = [digest(mixture) for mixture in mixtures]
    assert here == [digest(mixture) for mixture in mixtures]
    elsewhere = subprocess.run(
        [sys.executable, "-c", REALISE, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=True,
    )
    assert elsewhere.stdout.split() == here[::-1]


# ---------------------------------------------------------------------------------------------
# What is wrong with a file


def test_a_changed_file_is_refused_by_name(tmp_path: Path) -> None:
    source = write(tmp_path, "album/a", noise(1), group="a")
    mixture = mixture_of(source)
    realise(mixture, {"root": tmp_path})
    write(tmp_path, "album/a", noise(1, seed=1))
    os.utime(tmp_path / "album/a.wav", (1, 1))  # a clock that goes by whole seconds
    with pytest.raises(InvalidCorpus, match=r"album/a\.wav: has changed"):
        realise(mixture, {"root": tmp_path})
    unverified = realise(mixture, {"root": tmp_path}, is_verified=False)
    np.testing.assert_array_equal(unverified["a"], noise(1, seed=1))


@pytest.mark.parametrize("is_verified", [True, False])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, is_verified: bool) -> None:
    source = write(tmp_path, "a", noise(1))
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InvalidCorpus, match=r"a\.wav: cannot be") as error:
        realise(mixture_of(source), {"root": tmp_path}, is_verified=is_verified)
    assert "\n" not in str(error.value)


def test_a_file_that_became_shorter_is_refused_by_name(tmp_path: Path) -> None:
    source = write(tmp_path, "a", noise(1))
    write(tmp_path, "a", noise(0.5))
    with pytest.raises(InvalidCorpus, match=r"a\.wav: ends at sample 8000"):
        realise(mixture_of(source), {"root": tmp_path}, is_verified=False)


def test_an_unknown_root_is_refused(tmp_path: Path) -> None:
    source = dataclasses.replace(write(tmp_path, "a", noise(1)), root="musdb")
    with pytest.raises(UsageError, match="musdb"):
        realise(mixture_of(source), {"root": tmp_path})


@pytest.mark.parametrize("path", ["../a.wav", "/a.wav"])
def test_a_path_out_of_its_root_is_refused(tmp_path: Path, path: str) -> None:
    source = write(tmp_path, "a", noise(1), path=path)
    with pytest.raises(InvalidCorpus, match=r"a\.wav"):
        realise(mixture_of(source), {"root": tmp_path / "inner"})


def test_a_recipe_with_an_unknown_transform_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "a", noise(1), transforms=('{"name":"reverse"}',))
    with pytest.raises(InvalidCorpus, match="reverse"):
        realise(mixture_of(source), {"root": tmp_path})
