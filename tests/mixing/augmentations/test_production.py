"""Production, faults of recordings and masters: heard in the audio, written in the example."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.realise import TRUE, quantised, realise
from stemsmith.mixing.audio.transforms import effect_of, encode
from stemsmith.mixing.augmentation import Decided, SourceEffect
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.plan.recipes import n_per_split
from stemsmith.mixing.workflow import mix, validate_mixtures

RATE = 16000


@pytest.fixture(scope="module")
def band(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight songs of noise, tones and clicks in two channels: 3 s each, four stems."""
    root = tmp_path_factory.mktemp("band")
    t = np.arange(3 * RATE) / RATE
    for song in range(8):
        rng = np.random.default_rng(song)
        split = ("train", "train", "train", "train", "train", "train", "valid", "test")[song]
        for k, name in enumerate(("bass", "drums", "guitar", "piano")):
            audio = 0.02 * rng.standard_normal((len(t), 2))
            audio += 0.2 * np.sin(2 * np.pi * (110 * (k + 1) + 7 * song) * t)[:, None]
            path = root / split / f"Song {song}" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, RATE, subtype="PCM_16")
    return root


def made(band: Path, folder: Path, *augment: str, **options: Any) -> Mixtures:
    """Make so many mixtures of all splits together."""
    options = {"n_mixtures": 12, "clip_s": 1, "n_channels": 2, **options}
    numbers = n_per_split(options["n_mixtures"], {"train": 6, "validation": 1, "test": 1})
    options |= {
        "n_mixtures": numbers["train"],
        "n_validation_mixtures": numbers["validation"],
        "n_test_mixtures": numbers["test"],
    }
    return mix(f"folder:{band}", folder, augment=augment, **options)


def source(root: Path, name: str, audio: Float32s, *transforms: str) -> MixtureSource:
    path = root / f"{name}.wav"
    soundfile.write(path, audio.T, RATE, subtype="FLOAT")
    return MixtureSource(
        stem_id=f"song/{name}", song_id="song", root="root", path=path.name, stream=0,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(), group=name, role="source",
        sample_rate=RATE, n_stem_samples=audio.shape[1], start=0, n_read=audio.shape[1], shift=0,
        is_shift_padded=False, transforms=transforms, target_lufs=None, gain_db=0.0,
    )  # fmt: skip


def recipe(*sources: MixtureSource, n_channels: int = 1, master: str | None = None) -> Mixture:
    return Mixture(
        mixture_id="train-00000000", mode="coherent", split="train", sample_rate=RATE,
        n_samples=sources[0].n_read, n_channels=n_channels, peak_ceiling_dbfs=-1.0,
        sources=sources, master=master,
    )  # fmt: skip


def effects(mixtures: Mixtures, kind: str) -> list[list[SourceEffect]]:
    """Return the effects of one name, a list a mixture."""
    return [
        [e for s in m.record.sources for e in map(effect_of, s.transforms) if e.name == kind]
        for m in mixtures
    ]


def level_db(a: Float32s, b: Float32s) -> float:
    return 20 * math.log10(float(np.sqrt(np.mean(a**2) / np.mean(b**2))))


ALL = ("class-effects", "room", "bleed", "label-noise", "master")


@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_the_same_recipe_gives_the_same_bytes_and_does_not_depend_on_workers(
    band: Path, tmp_path: Path, mode: str
) -> None:
    folders = []
    for name, jobs in (("one", 0), ("two", 2 if mode == "coherent" else 0)):
        options = {"audio_format": "flac", "mode": mode, "jobs": jobs, "n_mixtures": 4}
        folders.append(made(band, tmp_path / name, *ALL, "wet", **options).root)
        assert validate_mixtures(folders[-1]).n_mixtures == 4
    files = [path.name for path in sorted(folders[0].glob("*.*")) if path.is_file()]
    assert any(name.endswith(".tar") for name in files)
    for name in files:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    header = Mixtures(folders[0]).header
    assert {"pyroomacoustics", "pedalboard", "av", "libavcodec"} <= set(header["versions"])


def test_a_recipe_without_them_is_what_it_was(band: Path, tmp_path: Path) -> None:
    """Faults and masters leave the true sources alone, to the bit."""
    plain = made(band, tmp_path / "plain", "gain")
    other = made(band, tmp_path / "other", "gain", "bleed", "label-noise")
    mastered = made(band, tmp_path / "mastered", "gain", "master")
    for one, two, three in zip(plain, other, mastered, strict=True):
        audio, again, third = one.realise(), two.realise(), three.realise()
        np.testing.assert_array_equal(audio["mixture"], again["mixture"])
        for name in audio.keys() - {"mixture"}:
            np.testing.assert_array_equal(audio[name], again[name + TRUE])
            # A master that would exceed the ceiling turns everything down alike.
            factor = 10 ** ((third.guard_gain_db - audio.guard_gain_db) / 20)
            np.testing.assert_allclose(factor * audio[name], third[name], rtol=1e-4, atol=1e-7)
        assert not np.allclose(audio["mixture"], third["mixture"], atol=1e-2)
        assert one.record.sums
        assert two.record.sums
        assert not three.record.sums


# Rooms


def test_all_sources_of_a_mixture_are_in_one_room_at_places_of_their_own(
    band: Path, tmp_path: Path
) -> None:
    for mode in ("coherent", "incoherent"):
        found = effects(made(band, tmp_path / mode, "room", mode=mode), "room")
        rooms = [{dataclasses.astuple(e)[:5].__repr__() for e in row} for row in found]
        assert all(len(row) == 1 for row in rooms)
        assert len(set.union(*rooms)) == len(found)
        assert all(len({tuple(e.position_m) for e in row}) == len(row) == 4 for row in found)
        assert all(0.2 <= e.rt60_s <= 0.7 for row in found for e in row)


def schroeder_s(response: Float32s) -> float:
    """Fit the decay from -5 to -25 dB of the energy that remains, extrapolated to -60 dB."""
    energy = np.cumsum(response[::-1].astype(float) ** 2)[::-1]
    decay_db = 10 * np.log10(energy[energy > 0] / energy[0])
    span = (decay_db < -5) & (decay_db > -25)
    slope, _ = np.polyfit(np.flatnonzero(span) / RATE, decay_db[span], 1)
    return float(-60 / slope)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_click_in_an_augmented_example_decays_in_the_rooms_time(
    tmp_path: Path, n_channels: int
) -> None:
    rooms = AUGMENTATIONS.load("room")
    for k in range(3):
        (drawn,) = rooms.draw_effects(lambda k=k: rng_for(k, "room"), Decided())
        click = np.zeros((n_channels, 2 * RATE), np.float32)
        click[:, RATE // 4] = 0.5
        example = recipe(
            source(tmp_path, "piano", click, encode(drawn.record())), n_channels=n_channels
        )
        audio = realise(example, {"root": tmp_path})
        np.testing.assert_allclose(audio["mixture"], audio["piano"], atol=1e-6)
        for channel in audio["piano"]:
            assert np.argmax(np.abs(channel)) == RATE // 4  # labels stay right
            assert np.abs(channel[: RATE // 4]).max() < 1e-7  # but for an FFT's rounding
            late = channel[RATE // 4 + 1 :]
            assert schroeder_s(late) == pytest.approx(drawn.rt60_s, rel=0.15)
        if n_channels == 2:
            assert not np.array_equal(*audio["piano"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"position_m": [99.0, 1.0, 1.0]}, "position_m must be three numbers"),
        ({"position_m": [40.0, 1.0, 1.0]}, "not inside"),
        ({"spacing_m": 4.99}, "not inside"),
        ({"size_m": [1.0, 1.0, 1.0], "rt60_s": 5, "position_m": [0.5] * 3,
          "microphone_m": [0.5] * 3, "spacing_m": 0.1}, "in a room so small"),
    ],
)  # fmt: skip
def test_a_room_that_cannot_be_is_one_line(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    (drawn,) = AUGMENTATIONS.load("room").draw_effects(lambda: rng_for(0, "room"), Decided())
    text = json.dumps({**drawn.record(), **change})
    silence = np.zeros((1, RATE), np.float32)
    with pytest.raises(InvalidCorpus, match=problem):
        realise(recipe(source(tmp_path, "piano", silence, text)), {"root": tmp_path})


# Effects of classes


def test_effects_are_those_of_the_finest_class_and_keep_the_level(
    band: Path, tmp_path: Path
) -> None:
    production = AUGMENTATIONS.load("class-effects")

    def names(*classes: str) -> set[str]:
        decided = Decided(classes=classes, sample_rate=RATE)
        (drawn,) = production.draw_effects(lambda: rng_for(1, "x"), decided)
        return {name for effect in drawn.chain for name in effect}

    assert "Distortion" in names("guitar", "distorted-electric-guitar")
    assert "Distortion" not in names("guitar", "acoustic-guitar")
    assert "Distortion" not in names("bass")
    assert names("kazoo") == names("harp")  # others
    plain = made(band, tmp_path / "plain")
    wet = made(band, tmp_path / "wet", "class-effects")
    for one, two in zip(plain, wet, strict=True):
        audio, other = one.realise(), two.realise()
        total = np.sum([other[s.group] for s in two.record.sources], axis=0)
        np.testing.assert_allclose(total, other["mixture"], atol=1e-6)
        for name in ("bass", "drums", "guitar", "piano"):
            assert not np.allclose(audio[name], other[name], atol=1e-3)
            guard_db = other.guard_gain_db - audio.guard_gain_db
            assert abs(level_db(other[name], audio[name]) - guard_db) < 0.5


def test_effects_that_pedalboard_refuses_are_one_line(tmp_path: Path) -> None:
    silence = np.zeros((1, RATE), np.float32)
    for chain, problem in (
        ([{"Kazoo": {}}], "chain must be a list of effects"),
        ([{"Gain": {"gain_db": "loud"}}], "chain must be a list of effects"),
        ([{"Gain": {"loudness": 3.0}}], "class-effects: Gain: "),
    ):
        text = json.dumps({"name": "class-effects", "chain": chain})
        with pytest.raises(InvalidCorpus, match=problem) as error:
            realise(recipe(source(tmp_path, "piano", silence, text)), {"root": tmp_path})
        assert "\n" not in str(error.value)


def test_a_filter_above_what_the_rate_holds_does_nothing() -> None:
    chain = [{"HighShelfFilter": {"cutoff_frequency_hz": 7000.0, "gain_db": -12.0}}]
    effect = effect_of(json.dumps({"name": "class-effects", "chain": chain}))
    audio = np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32)
    np.testing.assert_allclose(effect.apply(audio, 8000), audio, rtol=1e-5)
    assert not np.allclose(effect.apply(audio, 44100), audio, rtol=1e-2)


# Bleed


def test_sources_leak_into_other_recordings_at_the_level_that_is_written(tmp_path: Path) -> None:
    """A tone of each target in the recording of each other one, against its own."""
    t = np.arange(RATE) / RATE
    hz = {"bass": 100, "drums": 300, "piano": 700}
    levels_db = {"bass": -10.0, "drums": -17.5, "piano": -30.0}
    sources = [
        source(
            tmp_path, name, (0.2 * np.sin(2 * np.pi * f * t)[None]).astype(np.float32),
            json.dumps({"name": "bleed", "level_db": levels_db[name]}),
        )
        for name, f in hz.items()
    ]  # fmt: skip
    audio = realise(recipe(*sources), {"root": tmp_path})

    def tone_db(signal: Float32s, name: str) -> float:
        return 20 * math.log10(np.abs(np.fft.rfft(signal[0]))[hz[name]] / (RATE / 2) / 0.2)

    for own in hz:
        for other in hz:
            expected = 0.0 if own == other else levels_db[other]
            assert tone_db(audio[own], other) == pytest.approx(expected, abs=0.01), (own, other)
        assert tone_db(audio[own + TRUE], own) == pytest.approx(0, abs=0.01)
        others = np.abs(np.fft.rfft(audio[own + TRUE][0]))
        assert all(others[hz[name]] < 1e-2 for name in hz if name != own)
    total = np.sum([audio[name + TRUE] for name in hz], axis=0)
    np.testing.assert_allclose(total, audio["mixture"], atol=1e-6)
    integers = quantised(audio)
    true = np.sum([integers[name + TRUE].astype(int) for name in hz], axis=0)
    np.testing.assert_array_equal(true, integers["mixture"])


def test_levels_of_bleed_are_drawn_evenly_for_each_source(band: Path, tmp_path: Path) -> None:
    found = effects(made(band, tmp_path / "m", "bleed", n_mixtures=100), "bleed")
    levels_db = np.array([[e.level_db for e in row] for row in found])
    assert levels_db.shape == (100, 4)
    assert -30 <= levels_db.min() < -29
    assert -11 < levels_db.max() <= -10
    assert levels_db.mean() == pytest.approx(-20, abs=3 * 20 / math.sqrt(12 * 400))
    assert len(np.unique(levels_db)) > 300
    alone = made(band, tmp_path / "alone", "bleed", taxonomy=_one(tmp_path))
    assert not any(effects(alone, "bleed"))  # nobody to leak into


def _one(folder: Path) -> str:
    path = folder / "one.toml"
    path.write_text('[targets]\nall = ["*"]\n')
    return str(path)


# Labels


@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_two_targets_of_a_fifth_of_the_mixtures_have_each_others_labels(
    band: Path, tmp_path: Path, mode: str
) -> None:
    mixtures = made(band, tmp_path / "m", "label-noise", n_mixtures=400, mode=mode)
    swaps: Counter[tuple[str, ...]] = Counter()
    for stored in mixtures:
        labels = {
            s.group: e.target for s in stored.record.sources for e in map(effect_of, s.transforms)
        }
        if labels:
            one, two = sorted(labels)
            assert labels == {one: two, two: one}
            swaps[one, two] += 1
    n = sum(swaps.values())
    assert n / 400 == pytest.approx(0.2, abs=3 * math.sqrt(0.16 / 400))
    assert len(swaps) == 6  # any two of four
    for stored in mixtures[:30]:
        audio = stored.realise()
        integers = quantised(audio)
        is_swapped = any(s.transforms for s in stored.record.sources)
        names = [s.group for s in stored.record.sources]
        total = np.sum([integers[name].astype(int) for name in names], axis=0)
        np.testing.assert_array_equal(total, integers["mixture"])
        assert (names[0] + TRUE in audio) == is_swapped
        for s in stored.record.sources:
            label = next((effect_of(text).target for text in s.transforms), s.group)
            true = audio[s.group + TRUE] if is_swapped else audio[s.group]
            np.testing.assert_array_equal(audio[label], true)


def test_drums_and_bass_alone_have_each_others_labels(band: Path, tmp_path: Path) -> None:
    records = list(made(band, tmp_path / "m", "drums-bass-noise", n_mixtures=400).records())
    labels = [
        {s.group: e.target for s in record.sources for e in map(effect_of, s.transforms)}
        for record in records
    ]
    swapped = [found for found in labels if found]
    assert all(found == {"bass": "drums", "drums": "bass"} for found in swapped)
    assert len(swapped) / len(records) == pytest.approx(0.2, abs=3 * math.sqrt(0.16 / 400))


def test_drums_and_bass_must_be_there_and_have_no_other_labels(band: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(band, folder, ignore=shutil.ignore_patterns("bass.wav"))
    with pytest.raises(NothingToDo, match=r"--augment drums-bass-noise: no stem .* target bass"):
        made(folder, tmp_path / "m", "drums-bass-noise")
    with pytest.raises(UsageError, match="drums-bass-noise and label-noise exclude each other"):
        MixConfig(augment=("label-noise", "drums-bass-noise"))


def test_what_is_wrong_and_what_is_true_are_asked_for_by_name(band: Path, tmp_path: Path) -> None:
    mixtures = made(band, tmp_path / "m", "label-noise", n_mixtures=40)
    swapped = next(m for m in mixtures if any(s.transforms for s in m.record.sources))
    right = next(m for m in mixtures if not any(s.transforms for s in m.record.sources))
    names = ["bass", "bass.true", "vocals", "vocals.true"]
    for stored in (swapped, right):
        audio = stored.realise(names)
        assert list(audio) == ["mixture", *names]
        assert not audio["vocals"].any()
        assert not audio["vocals.true"].any()
        np.testing.assert_array_equal(
            audio["bass.true"], stored.realise(["bass.true"])["bass.true"]
        )
    np.testing.assert_array_equal(*(right.realise(names)[n] for n in ("bass", "bass.true")))


def test_a_label_of_no_target_is_found(band: Path, tmp_path: Path) -> None:
    mixtures = made(band, tmp_path / "m", "label-noise", n_mixtures=8)
    from stemsmith.manifests import shards
    from stemsmith.mixing.validate import plan_checks

    record = mixtures[0].record
    wrong = encode({"name": "label", "target": "kazoo"})
    changed = dataclasses.replace(
        record,
        sources=(dataclasses.replace(record.sources[0], transforms=(wrong,)), *record.sources[1:]),
    )
    shard = mixtures.recipe_shards[0].path
    rest = list(mixtures.records("train"))[1:]
    shards.write_records(shard, Mixture, [changed, *rest])
    mixtures.__dict__.pop("recipe_shards")
    with pytest.raises(InvalidCorpus, match="is labelled kazoo, which is no target"):
        plan_checks(mixtures)


# Masters


@pytest.mark.parametrize(("rate", "n_channels"), [(8000, 1), (16000, 2), (22050, 1), (44100, 2)])
def test_every_master_that_is_drawn_can_be_made(rate: int, n_channels: int) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(rate) / rate
    audio = 0.1 * np.sin(2 * np.pi * 440 * t) + 0.01 * rng.standard_normal((n_channels, rate))
    audio = audio.astype(np.float32)
    codecs = set()
    for k in range(14):
        effect = AUGMENTATIONS.load("master").draw_master(lambda k=k: rng_for(k, "master"))
        assert effect is not None
        assert effect_of(encode(effect.record())) == effect
        codecs.add(effect.codec)
        mastered = effect.apply(audio.copy(), rate)
        assert mastered.shape == audio.shape
        assert np.isfinite(mastered).all()
        # Aligned: no delay makes it more alike.
        a, b = audio[0, rate // 4 : -rate // 4], mastered[0, rate // 4 : -rate // 4]
        lags = np.arange(-4, 5)
        likeness = [float(np.dot(a, np.roll(b, lag))) for lag in lags]
        assert lags[int(np.argmax(likeness))] == 0
        assert np.corrcoef(a, b)[0, 1] > 0.97
    assert None in codecs
    assert len({c.partition(":")[0] for c in codecs if c}) == 3


def test_a_master_changes_the_mixture_alone_and_says_so(band: Path, tmp_path: Path) -> None:
    mixtures = made(band, tmp_path / "m", "master", n_mixtures=16, audio_format="flac", stems="all")
    assert not mixtures.is_sum
    assert not mixtures.is_recorded_faulty
    n_coded = 0
    for stored in mixtures:
        record, audio = stored.record, stored.realise()
        effect = effect_of(record.master)
        n_coded += effect.codec is not None
        total = np.sum([audio[s.group] for s in record.sources], axis=0)
        assert audio.addends == ()
        assert np.abs(audio["mixture"] - total).max() > 0.05
        assert np.abs(audio["mixture"]).max() <= 10 ** (-1 / 20) + 1e-6
        expected = effect.apply(total / np.abs(total).max(), record.sample_rate)  # of any level
        assert np.corrcoef(audio["mixture"].ravel(), expected.ravel())[0, 1] > 0.999
    assert 3 <= n_coded <= 13
    tars = sorted(mixtures.root.glob("audio-train-*.tar"))
    with tarfile.open(tars[0]) as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    example = json.loads(content["train-00000000.json"])
    assert example["sums"] is False
    assert effect_of(example["master"]) == effect_of(mixtures[0].record.master)
    read = {
        name: soundfile.read(io.BytesIO(content[f"train-00000000.{name}.flac"]), dtype="int16")[0].T
        for name in ("mixture", "bass", "drums", "guitar", "piano")
    }
    for name, samples in quantised(mixtures[0].realise()).items():
        np.testing.assert_array_equal(read[name], samples)


def test_a_sum_says_nothing_new(band: Path, tmp_path: Path) -> None:
    mixtures = made(band, tmp_path / "m", "gain", n_mixtures=8, audio_format="flac")
    with tarfile.open(next(mixtures.root.glob("audio-train-*.tar"))) as tar:
        example = json.load(tar.extractfile("train-00000000.json"))
    assert "sums" not in example
    assert example["master"] is None
    assert mixtures.is_sum


def test_faulty_shards_have_what_is_true_beside_every_target(band: Path, tmp_path: Path) -> None:
    mixtures = made(
        band, tmp_path / "m", "label-noise", "bleed", n_mixtures=24, audio_format="flac",
        stems=["bass", "drums"],
    )  # fmt: skip
    assert mixtures.audio_targets == ("bass", "bass.true", "drums", "drums.true")
    assert mixtures.is_recorded_faulty
    assert not mixtures.is_sum
    for tar_path in mixtures.root.glob("audio-*.tar"):
        with tarfile.open(tar_path) as tar:
            names = Counter(name.partition(".")[2] for name in tar.getnames())
        assert set(names) == {
            "mixture.flac", "bass.flac", "bass.true.flac", "drums.flac", "drums.true.flac", "json"
        }  # fmt: skip
        assert len(set(names.values())) == 1
    assert validate_mixtures(mixtures).n_mixtures == 24


def test_a_silent_mixture_stays_silent(tmp_path: Path) -> None:
    silence = np.zeros((2, RATE), np.float32)
    for k in range(8):
        master = AUGMENTATIONS.load("master").draw_master(lambda k=k: rng_for(k, "master"))
        (room,) = AUGMENTATIONS.load("room").draw_effects(lambda: rng_for(0, "x"), Decided())
        leak = json.dumps({"name": "bleed", "level_db": -20})
        one = source(tmp_path, "piano", silence, encode(room.record()), leak)
        audio = realise(
            recipe(one, n_channels=2, master=encode(master.record())), {"root": tmp_path}
        )
        assert not any(values.any() for values in audio.values())


def test_a_package_that_is_missing_is_named(
    band: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    mixtures = made(band, tmp_path / "m", "room", n_mixtures=8)
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    from stemsmith.mixing.production.room import impulse_response

    impulse_response.cache_clear()
    with pytest.raises(UsageError, match="rooms need pyroomacoustics; install it with"):
        mixtures[0].realise()


def test_a_configuration_names_them_in_any_mode() -> None:
    for name in ALL:
        for mode in ("coherent", "incoherent", "renditions"):
            assert MixConfig(mode=mode, augment=name).augment == (name,)
        if name in ("bleed", "label-noise"):
            with pytest.raises(UsageError, match=f"--augment {name}: not with --mode across"):
                MixConfig(mode="across", coherence=0.5, augment=name)
        else:
            assert MixConfig(mode="across", coherence=0.5, augment=name).augment == (name,)
    with pytest.raises(UsageError, match="--weights activity: only with --mode coherent"):
        MixConfig(mode="across", coherence=0.5, weights="activity")


@pytest.mark.parametrize("model", ["mono", "stereo"])
def test_training_hears_what_is_recorded_and_validates_on_what_is_true(
    band: Path, tmp_path: Path, here: Callable, model: str
) -> None:
    pytest.importorskip("torch")
    from stemsmith.train.data.clips import find_clips

    n_channels = 1 if model == "mono" else 2
    for audio_format in (None, "flac"):
        mixtures = made(
            band, tmp_path / f"m{audio_format}", "label-noise", "bleed", n_mixtures=24,
            n_channels=n_channels, audio_format=audio_format,
        )  # fmt: skip
        clips = find_clips([mixtures.root], "train", ("bass",), RATE, n_channels)
        true = find_clips([mixtures.root], "train", ("bass",), RATE, n_channels, is_true=True)
        assert clips.identity != true.identity
        assert true.targets == ("bass",)
        for number, stored in enumerate(m for m in mixtures if m.record.split == "train"):
            integers = quantised(stored.realise())
            shape = (2, -1) if n_channels == 1 else (2, 2, -1)
            for read, name in ((clips, "bass"), (true, "bass.true")):
                expected = np.stack([integers["mixture"], integers[name]]).reshape(shape)
                np.testing.assert_array_equal(read.read(number), expected)
        plain = made(band, tmp_path / f"p{audio_format}", n_mixtures=24, audio_format=audio_format,
                     n_channels=n_channels)  # fmt: skip
        one, two = (find_clips([plain.root], "train", ("bass",), RATE, n_channels, is_true=is_true)
                    for is_true in (False, True))  # fmt: skip
        assert one.identity == two.identity
        np.testing.assert_array_equal(one.read(0), two.read(0))
        both = find_clips([plain.root, mixtures.root], "train", ("bass",), RATE, n_channels, True)
        np.testing.assert_array_equal(both.read(0), one.read(0))
        np.testing.assert_array_equal(both.read(len(one.clips)), true.read(0))


def test_training_refuses_to_remix_what_does_not_sum(
    band: Path, tmp_path: Path, here: Callable
) -> None:
    pytest.importorskip("lightning")
    sizes = ("n_fft=256", "hop=128", "segment_frames=20", "n_units=8", "n_layers=1")
    words = [word for size in sizes for word in ("--set", size)]
    common = ("--target", "bass", *words, "--epochs", 1, "--device", "cpu", "--jobs", 0)
    for name in ("bleed", "master", "label-noise"):
        made(band, tmp_path / name, name)
        for option in (("--remix", 0.5), ("--gain", "0.5,1"), ()):
            run = tmp_path / f"{name}{len(option)}{option[:1]}"
            done = here("train", tmp_path / name, run, *common, *option)
            if option and name != "label-noise":
                assert done.returncode == 2
                assert "not the sum of their recordings" in done.stderr
                assert not run.exists()
            else:
                assert done.returncode == 0, done.stderr
