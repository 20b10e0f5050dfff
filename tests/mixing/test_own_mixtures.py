"""Corpora whose songs have mixtures of their own: Flakh, Manilow et al. 2019, section 2.3."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.audio.realise import quantised, realise
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.residuals import ResidualJob, measure_residual, mixture_residuals
from stemsmith.mixing.workflow import mix, validate_mixtures

RATE = 8000
MIXED: dict[str, Any] = {"n_mixtures": 2, "clip_s": 1.0, "min_rms_dbfs": -60.0, "seed": 1}


def samples(path: Path) -> npt.NDArray[np.int64]:
    return np.atleast_2d(soundfile.read(path, dtype="int16")[0].T).astype(np.int64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, unsplit: Path) -> Mixtures:
    folder = tmp_path_factory.mktemp("own") / "m"
    return mix(unsplit, folder, target="bass", audio_format="flac", stems="all", **MIXED)


def test_a_coherent_mixture_is_the_excerpt_of_the_songs_own(made: Mixtures, unsplit: Path) -> None:
    songs = {f"corpus:{song.song_id}": song for song in Corpus(unsplit).song_records()}
    assert len(made) == made.n_own_mixtures == 6  # two of each split
    for one in made:
        record, audio = one.record, one.realise()
        song, own = songs[record.sources[0].song_id], record.own_mixture
        assert own is not None
        assert (own.path, own.sha256) == (song.mix_path, song.mix_sha256)
        first = record.sources[0].start
        whole = samples(unsplit / song.mix_path)
        factor = 10 ** (audio.guard_gain_db / 20)
        np.testing.assert_allclose(
            audio["mixture"], whole[:, first : first + RATE] / 32768 * factor, rtol=0, atol=1e-6
        )
        # The stems are what they are in all other mixtures, and something is beside them.
        plain = dataclasses.replace(record, own_mixture=None)
        assert plain.sums and not record.sums and audio.addends == ()
        sums = realise(plain, one.roots)
        assert sums.addends and list(sums) == list(audio)
        rest = audio["mixture"] - sum(audio[name] for name in sums.addends)
        assert np.abs(rest).max() > 0.01


def test_own_mixtures_are_rounded_by_themselves(made: Mixtures, unsplit: Path) -> None:
    for one in made:
        audio = one.realise()
        if audio.guard_gain_db == 0:
            own = one.record.own_mixture
            assert own is not None
            whole = samples(unsplit / own.path)[:, own.start : own.start + own.n_read]
            np.testing.assert_array_equal(quantised(audio)["mixture"], whole)


def test_the_guard_turns_mixture_and_stems_down_alike(made: Mixtures) -> None:
    record = dataclasses.replace(made[0].record, peak_ceiling_dbfs=-40.0)
    soft, loud = realise(record, made.roots), made[0].realise()
    assert np.abs(soft["mixture"]).max() <= 10 ** (-40 / 20)
    factor = np.float32(10 ** ((soft.guard_gain_db - loud.guard_gain_db) / 20))
    for name, audio in loud.items():
        np.testing.assert_allclose(soft[name], audio * factor, rtol=0, atol=1e-6)


def test_shards_of_audio_say_that_their_mixtures_are_no_sums(made: Mixtures) -> None:
    seen = 0
    for shard in made.recipe_shards:
        with tarfile.open(shard.tar) as tar:
            for name in (name for name in tar.getnames() if name.endswith(".json")):
                file = tar.extractfile(name)
                assert file is not None
                content = json.load(file)
                assert content["sums"] is False
                assert content["own_mixture"]["path"].endswith("mix.flac")
                seen += 1
    assert seen == len(made)


def test_recipes_and_shards_train_on_the_own_mixture(made: Mixtures, tmp_path: Path) -> None:
    from stemsmith.train.data.clips import find_clips

    from_audio = find_clips([made.root], "train", ("bass",), RATE)
    recipes = mix(made.roots["corpus"], tmp_path / "r", target="bass", **MIXED)
    from_recipes = find_clips([recipes.root], "train", ("bass",), RATE)
    assert from_audio.clips[0].tar and not from_recipes.clips[0].tar
    for number in range(len(from_audio.clips)):
        np.testing.assert_array_equal(from_audio.read(number), from_recipes.read(number))
    own = from_recipes.clips[0].mixture.own_mixture
    assert own is not None
    mixture = Path(from_recipes.clips[0].roots["corpus"]) / own.path
    audio = realise(from_recipes.clips[0].mixture, made.roots)
    if audio.guard_gain_db == 0:
        whole = samples(mixture)[0, own.start : own.start + RATE]
        np.testing.assert_array_equal(from_recipes.read(0)[0], whole)


@pytest.mark.parametrize(
    ("options", "is_own"),
    [
        ({"augment": ("bleed",)}, True),  # changes what is recorded of targets, and not the mixture
        ({"augment": ("label-noise",)}, True),
        ({"augment": ("shift",), "target": "bass"}, False),
        ({"augment": ("gain",)}, False),
        ({"level": "equal"}, False),
        ({"mode": "incoherent"}, False),
        ({"mode": "across", "coherence": 1.0}, False),
        ({"mode": "across", "coherence": 0.5}, False),
    ],
)
def test_whatever_changes_a_stem_leaves_sums(
    unsplit: Path, tmp_path: Path, options: dict[str, Any], is_own: bool
) -> None:
    mixtures = mix(unsplit, tmp_path / "m", taxonomy="musdb", **{**MIXED, **options})
    assert mixtures.n_own_mixtures == is_own * len(mixtures)
    assert mixtures.is_sum is (not is_own)
    assert mixtures.is_additive is ("bleed" not in options.get("augment", ()))
    assert ("own_mixtures_sha256" in mixtures.header) is ("mode" not in options)
    for one in mixtures:
        has_addends = bool(one.realise().addends)
        assert has_addends is (one.record.own_mixture is None)


def test_a_muted_instrument_makes_a_sum_and_the_rest_of_a_set_is_its_own(
    unsplit: Path, tmp_path: Path
) -> None:
    options = {**MIXED, "n_mixtures": 10, "augment": ("instrument",)}
    mixtures = mix(unsplit, tmp_path / "m", **options)
    assert 0 < mixtures.n_own_mixtures < len(mixtures)
    for record in mixtures.records():
        is_changed = any(source.transforms for source in record.sources)
        assert is_changed is (record.own_mixture is None)


def test_corpora_of_sums_have_no_own_mixtures(mixtures: Path) -> None:
    opened = Mixtures(mixtures / "recipes")
    assert opened.n_own_mixtures == 0 and opened.is_sum
    assert mixture_residuals(opened) == {}
    shard = next(iter(opened.recipe_shards))
    assert not any(record.own_mixture for record in shard.recipes[:])
    with tarfile.open(next((mixtures / "audio").glob("audio-*.tar"))) as tar:
        file = tar.extractfile(next(n for n in tar.getnames() if n.endswith(".json")))
        assert file is not None
        assert "own_mixture" not in json.load(file)


def test_the_residual_is_that_of_its_definition(unsplit: Path, made: Mixtures) -> None:
    corpus = Corpus(unsplit)
    found = mixture_residuals(corpus)
    expected = {}
    for song in corpus.song_records():
        mixture = samples(unsplit / song.mix_path)
        stems = [s for s in corpus.stem_records() if s.song_id == song.song_id]
        rest = mixture - sum(samples(unsplit / stem.path) for stem in stems)
        ratio = np.sum(rest.astype(float) ** 2) / np.sum(mixture.astype(float) ** 2)
        expected[song.track] = 10 * math.log10(ratio)
    assert found == pytest.approx(expected, abs=1e-6)
    assert max(found.values()) > -20  # the program that is no stem is loud
    of_mixtures = mixture_residuals(made)  # all stems have a target in the taxonomy of Slakh
    by_path = {f"corpus:{s.mix_path}": found[s.track] for s in corpus.song_records()}
    assert of_mixtures == pytest.approx({name: by_path[name] for name in of_mixtures})


def test_an_exact_sum_has_no_residual_and_silence_is_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(-9000, 9000, (2, 700)).astype(np.int16)
    for name, audio in (("a", one), ("b", other), ("sum", one + other), ("none", one * 0)):
        soundfile.write(tmp_path / f"{name}.wav", audio, RATE, subtype="PCM_16")

    def residual(mixture: str, *stems: str) -> float:
        places = [(str(tmp_path / f"{name}.wav"), 0) for name in (mixture, *stems)]
        return measure_residual(ResidualJob("song", places[0], tuple(places[1:]))).residual_db

    assert residual("sum", "a", "b") == residual("none", "none") == -math.inf
    assert residual("none", "a") == math.inf
    assert residual("a", "none") == 0
    assert residual("a", "a", "a") == 0  # all of it, with the other sign


def test_validate_says_how_far_mixtures_are_from_sums(
    unsplit: Path, made: Mixtures, corpus: Path, here: Any
) -> None:
    found = mixture_residuals(Corpus(unsplit))
    worst = max(found, key=lambda song: found[song])
    done = here("validate", unsplit, "--jobs", 0)
    middle = sorted(found.values())[1]
    assert done.stdout.strip().endswith(
        f"; the own mixtures of 3 songs are not the sums of their stems: residual {middle:.1f} dB "
        f"in the median, {found[worst]:.1f} dB at worst ({worst})"
    )
    done = here("validate", made.root, "--jobs", 0, "--json")
    values = json.loads(done.stdout)["residual_db"]
    assert all(name.startswith("corpus:") for name in values)
    done = here("validate", corpus, "--jobs", 0, "--json")
    assert "residual_db" not in json.loads(done.stdout)


def test_mix_says_how_many_are_excerpts(unsplit: Path, tmp_path: Path, here: Any) -> None:
    options = ("--mixtures", 1, "--clip", 1, "--min-rms", -60, "--jobs", 0)
    done = here("mix", unsplit, tmp_path / "a", *options)
    assert ", 3 of them excerpts of their songs' own mixtures" in done.stdout
    done = here("mix", unsplit, tmp_path / "b", *options, "--augment", "gain", "--json")
    assert json.loads(done.stdout)["n_own_mixtures"] == 0
    done = here("mix", unsplit, tmp_path / "c", *options, "--mode", "incoherent")
    assert "own" not in done.stdout


def test_what_is_not_as_recorded_is_named(made: Mixtures, unsplit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(unsplit, copy)
    mixtures = mix(copy, tmp_path / "m", **MIXED)
    assert validate_mixtures(mixtures).n_mixtures == 6
    own = mixtures[0].record.own_mixture
    assert own is not None
    other = next(p for p in sorted(copy.rglob("mix.flac")) if p != copy / own.path)
    shutil.copy(other, copy / own.path)
    with pytest.raises(InvalidCorpus, match=r"mix\.flac: SHA-256 is not the one recorded"):
        validate_mixtures(mixtures)
    with pytest.raises(InvalidCorpus, match=r"mix\.flac: has changed since"):
        mixtures[0].realise()
    (copy / own.path).unlink()
    with pytest.raises(InvalidCorpus, match=r"mix\.flac"):
        mixtures[0].realise(is_verified=False)
    with pytest.raises(InvalidCorpus, match=r"mix\.flac"):
        mixture_residuals(mixtures)


def test_an_own_mixture_of_another_moment_is_no_valid_recipe(
    made: Mixtures, tmp_path: Path
) -> None:
    copy = tmp_path / "m"
    shutil.copytree(made.root, copy)
    shard = next(copy.glob("mixtures-train-*.parquet"))
    first, *others = shards.read_records(shard, Mixture)
    assert first.own_mixture is not None
    moved = dataclasses.replace(first.own_mixture, start=first.own_mixture.start + 1)
    records = [dataclasses.replace(first, own_mixture=moved), *others]
    shards.write_records(shard, Mixture, records)
    header = json.loads((copy / shards.MANIFEST).read_text())
    header["roots"] = made.roots
    header["shards"] = [
        shards.shard_entry(shard) if entry["file"] == shard.name else entry
        for entry in header["shards"]
    ]
    (copy / shards.MANIFEST).write_text(json.dumps(header))
    with pytest.raises(InvalidCorpus, match="of another song or moment than the song's own"):
        validate_mixtures(copy)
