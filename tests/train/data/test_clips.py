"""Clips for training: decoded from recipes and from tar shards, and what is wrong with them."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stemsmith.manifests import shards
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, StemsmithError, UsageError
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.audio.realise import quantised, realise
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.train.data.clips import Clips, find_clips, read_clip

SLAKH = ("piano", "bass", "guitar", "drums", "residual")
N_TRAIN = 27  # of `mixtures`


def clips_of(folder: Path, targets: tuple[str, ...] = SLAKH, rate: int = 16000) -> Clips:
    return find_clips([folder], "train", targets, rate)


def mix(here, *arguments: object) -> Path:
    done = here("mix", *arguments, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    return Path(str(next(a for a in reversed(arguments) if isinstance(a, Path))))


def copied(folder: Path, destination: Path) -> Path:
    shutil.copytree(folder, destination)
    manifest = destination / shards.MANIFEST
    header = json.loads(manifest.read_bytes())
    header["roots"] = {
        name: str((folder / path).resolve()) for name, path in header["roots"].items()
    }
    manifest.write_text(json.dumps(header))
    return destination


def test_recipes_and_tar_shards_give_the_same_integers(mixtures: Path) -> None:
    recipes, audio = (clips_of(mixtures / name) for name in ("recipes", "audio"))
    assert len(recipes.clips) == len(audio.clips) == N_TRAIN
    assert not any(clip.tar for clip in recipes.clips)
    assert all(clip.tar for clip in audio.clips)
    for number in range(N_TRAIN):
        ours = recipes.read(number)
        assert ours.dtype == np.int16
        assert ours.shape == (6, 32000) == (6, recipes.n_samples[number])
        assert (ours == audio.read(number)).all()
        assert ours[0].any()


def test_the_mixture_is_the_exact_sum_of_all_its_groups(mixtures: Path) -> None:
    for name in ("recipes", "audio"):
        clips = clips_of(mixtures / name)
        for number in range(N_TRAIN):
            whole = clips.read(number).astype(int)
            assert (whole[0] == whole[1:].sum(axis=0)).all()


def test_a_target_is_its_row_of_all_targets_whichever_others_are_wanted(mixtures: Path) -> None:
    whole = clips_of(mixtures / "recipes").read(3)
    for targets in (("bass",), ("drums", "bass"), tuple(reversed(SLAKH))):
        rows = [0, *(1 + SLAKH.index(target) for target in targets)]
        for name in ("recipes", "audio"):
            assert (clips_of(mixtures / name, targets).read(3) == whole[rows]).all()


def test_a_target_that_a_clip_lacks_is_silence(mixtures: Path) -> None:
    clips = clips_of(mixtures / "recipes")
    mixture = replace(
        clips.clips[0].mixture,
        sources=tuple(s for s in clips.clips[0].mixture.sources if s.group != "guitar"),
    )
    groups = {source.group for source in mixture.sources}
    found = read_clip(replace(clips.clips[0], mixture=mixture), SLAKH, 16000)
    assert [row.any() for row in found] == [True, True, True, False, True, "residual" in groups]
    assert (found[0] == found[1:].sum(axis=0)).all()


def test_stems_that_were_not_written_are_made_from_recipes(
    corpus: Path, mixtures: Path, tmp_path: Path, here
) -> None:
    mixed = ("--clip", 2, "--mixtures", 40, "--sample-rate", 16000)
    folder = mix(here, corpus, tmp_path / "m", *mixed, "--audio", "--stems", "bass")
    assert all(clip.tar for clip in clips_of(folder, ("bass",)).clips)
    drums = clips_of(folder, ("drums",))
    assert not any(clip.tar for clip in drums.clips)
    assert (drums.read(5) == clips_of(mixtures / "audio", ("drums",)).read(5)).all()


def test_float_shards_are_within_a_rounding_of_recipes(
    corpus: Path, mixtures: Path, tmp_path: Path, here
) -> None:
    mixed = ("--clip", 2, "--mixtures", 40, "--sample-rate", 16000)
    folder = mix(here, corpus, tmp_path / "m", *mixed, "--audio", "--audio-format", "wav")
    for number in range(0, N_TRAIN, 5):
        ours = clips_of(folder).read(number).astype(int)
        others = clips_of(mixtures / "recipes").read(number).astype(int)
        assert (ours[1:] == others[1:]).all()
        assert np.abs(ours[0] - others[0]).max() <= (len(SLAKH) + 1) / 2  # it was rounded once


@pytest.mark.parametrize("extra", [(), ("--audio",)], ids=["recipes", "audio"])
def test_stereo_becomes_the_mean_of_left_and_right(
    musdb: Path, tmp_path: Path, here, extra: tuple[str, ...]
) -> None:
    stems = ("drums", "bass", "other", "vocals")
    folder = mix(
        here, f"musdb:{musdb}", tmp_path / "m", "--taxonomy", "musdb", "--channels", 2,
        "--clip", 1, "--mixtures", 8, *extra,
    )  # fmt: skip
    clips = clips_of(folder, stems, 44100)
    mixture = clips.clips[1].mixture
    parts = quantised(realise(mixture, Mixtures(folder).roots))
    whole = clips.read(1)
    for row, name in zip(whole, ("mixture", *stems), strict=True):
        assert parts[name].shape == (2, 44100)
        assert (row == np.rint(parts[name].astype(float).mean(axis=0))).all()
    assert np.abs(whole[0] - whole[1:].sum(axis=0, dtype=int)).max() <= 3  # each is rounded


@pytest.mark.parametrize("rate", [16000, 22050, 8000])
@pytest.mark.parametrize("extra", [(), ("--audio",)], ids=["recipes", "audio"])
def test_mixtures_at_another_rate_are_resampled(
    musdb: Path, tmp_path: Path, here, rate: int, extra: tuple[str, ...]
) -> None:
    folder = mix(
        here, f"musdb:{musdb}", tmp_path / "m", "--taxonomy", "musdb", "--clip", 1.3,
        "--mixtures", 4, *extra,
    )  # fmt: skip
    clips = clips_of(folder, ("bass", "drums"), rate)
    exact = clips_of(folder, ("bass", "drums"), 44100)
    n_samples = 57330 * rate // 44100
    assert set(clips.n_samples) == {n_samples}
    for number in range(len(clips.clips)):
        found, original = clips.read(number), exact.read(number)
        assert found.shape == (3, n_samples)
        # Below half the lower rate both have the same spectrum.
        n_bins = int(0.4 * rate * 1.3)
        for a, b in zip(found, original, strict=True):
            ours, theirs = [
                np.abs(np.fft.rfft(x * np.hanning(len(x))))[:n_bins] / len(x) for x in (a, b)
            ]
            assert np.sum((ours - theirs) ** 2) < 1e-4 * np.sum(theirs**2)


def test_several_folders_are_concatenated(
    mixtures: Path, corpus: Path, tmp_path: Path, here
) -> None:
    other = mix(here, corpus, tmp_path / "m", "--clip", 1, "--mixtures", 10, "--seed", 7)
    one, two = clips_of(mixtures / "audio", ("bass",)), clips_of(other, ("bass",))
    both = find_clips([mixtures / "audio", other], "train", ("bass",), 16000)
    assert len(both.clips) == len(one.clips) + len(two.clips)
    assert (both.n_samples == [*one.n_samples, *two.n_samples]).all()
    assert set(both.n_samples) == {32000, 16000}
    assert (both.read(0) == one.read(0)).all()
    assert (both.read(len(one.clips)) == two.read(0)).all()
    assert both.n_bytes == one.n_bytes + two.n_bytes == 2 * 2 * int(both.n_samples.sum())


def test_what_decides_the_samples_is_in_the_identity(mixtures: Path) -> None:
    folder = mixtures / "audio"
    seen = {
        find_clips([folder] * n, split, targets, rate).identity
        for n in (1, 2)
        for split in ("train", "validation")
        for targets in (("bass",), ("drums",), ("bass", "drums"), ("drums", "bass"))
        for rate in (8000, 16000)
    }
    assert len(seen) == 2 * 2 * 4 * 2
    assert clips_of(folder).identity == clips_of(folder).identity


def refuse(kind: type[StemsmithError], folder: Path, *texts: object, **options) -> None:
    """Check that clips cannot be found, or else not be read, for a reason on one line."""
    with pytest.raises(kind) as caught:
        clips = clips_of(folder, **options)
        for number in range(len(clips.clips)):
            clips.read(number)
    for text in texts:
        assert str(text) in str(caught.value), (text, caught.value)
    assert "\n" not in str(caught.value)


def test_a_target_that_the_taxonomy_lacks(mixtures: Path) -> None:
    folder = mixtures / "audio"
    refuse(UsageError, folder, folder, "'vocals'", "bass, drums", targets=("bass", "vocals"))


def test_a_model_above_the_mixtures_rate(mixtures: Path) -> None:
    refuse(UsageError, mixtures / "audio", mixtures / "audio", "16000", "44100", rate=44100)


def test_no_mixtures_of_a_split(corpus: Path, tmp_path: Path, here) -> None:
    folder = mix(here, corpus, tmp_path / "m", "--clip", 1, "--mixtures", 3, "--split", "test")
    refuse(NothingToDo, folder, folder, "no train mixtures")


def test_a_target_that_is_in_no_mixture(musdb: Path, tmp_path: Path, here) -> None:
    folder = mix(
        here, f"musdb:{musdb}", tmp_path / "m", "--taxonomy", "slakh", "--clip", 1,
        "--mixtures", 4,
    )  # fmt: skip
    refuse(NothingToDo, folder, folder, "no train mixture has piano", targets=("bass", "piano"))


def test_a_folder_that_is_not_finished(mixtures: Path, tmp_path: Path) -> None:
    refuse(InvalidCorpus, tmp_path / "no", tmp_path / "no" / "manifest.json")
    folder = copied(mixtures / "audio", tmp_path / "m")
    (folder / "manifest.json").unlink()
    refuse(InvalidCorpus, folder, folder / "manifest.json", "not a finished")


def test_a_folder_of_another_stage(corpus: Path) -> None:
    refuse(InvalidCorpus, corpus, corpus, "holds a corpus, not mixtures; mix it first")


KEYS = ("taxonomy", "sample_rate", "shards", "fingerprint", "audio", "roots", "config")


# "audio" is null in a folder of recipes.
@pytest.mark.parametrize(
    ("key", "value"), [*((k, "absent") for k in KEYS), *((k, None) for k in KEYS if k != "audio")]
)
def test_a_manifest_without_one_of_its_keys(
    mixtures: Path, tmp_path: Path, key: str, value: object
) -> None:
    folder = copied(mixtures / "recipes", tmp_path / "m")
    header = json.loads((folder / "manifest.json").read_bytes())
    assert key in header
    del header[key]
    if value is None:
        header[key] = None
    (folder / "manifest.json").write_text(json.dumps(header))
    refuse(InvalidCorpus, folder, folder / "manifest.json")


@pytest.mark.parametrize("entry", [1, {}, {"file": 1}, {"file": "../x.parquet"}])
def test_a_manifest_with_an_odd_shard(mixtures: Path, tmp_path: Path, entry: object) -> None:
    folder = copied(mixtures / "recipes", tmp_path / "m")
    header = json.loads((folder / "manifest.json").read_bytes())
    header["shards"].append(entry)
    (folder / "manifest.json").write_text(json.dumps(header))
    refuse(InvalidCorpus, folder, folder)


def truncate(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x10
    path.write_bytes(data)


SPOIL: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(b"no such thing" * 1000),
    "a third": lambda path: truncate(path, 1 / 3),
    "nearly all": lambda path: truncate(path, 0.97),
    "flipped": lambda path: flip(path, 0.5),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("name", ["audio-train-00000.tar", "mixtures-train-00000.parquet"])
def test_a_damaged_file_is_named(mixtures: Path, tmp_path: Path, how: str, name: str) -> None:
    folder = copied(mixtures / "audio", tmp_path / "m")
    SPOIL[how](folder / name)
    refuse(InvalidCorpus, folder, folder / name)


def test_a_tar_that_lacks_a_clip(mixtures: Path, tmp_path: Path) -> None:
    folder = copied(mixtures / "audio", tmp_path / "m")
    path = folder / "audio-train-00000.tar"
    with tarfile.open(path) as old, tarfile.open(tmp_path / "new.tar", "w:") as new:
        for member in old:
            if member.name != "train-00000002.bass.flac":
                new.addfile(member, old.extractfile(member))
    (tmp_path / "new.tar").replace(path)
    refuse(InvalidCorpus, folder, path, "train-00000002.bass")
    clips_of(folder, ("drums",)).read(2)  # is there


def test_audio_of_another_recipe(mixtures: Path, corpus: Path, tmp_path: Path, here) -> None:
    folder = copied(mixtures / "audio", tmp_path / "m")
    other = mix(here, corpus, tmp_path / "o", "--clip", 1, "--mixtures", 40, "--audio",
                "--sample-rate", 16000)  # fmt: skip
    shutil.copy(other / "audio-train-00000.tar", folder)
    refuse(InvalidCorpus, folder, folder / "audio-train-00000.tar", "train-00000000.mixture")


@pytest.mark.parametrize("how", SPOIL)
def test_a_stem_that_is_missing_or_has_changed(musdb: Path, tmp_path: Path, here, how: str) -> None:
    root = tmp_path / "hq"
    shutil.copytree(musdb, root)
    folder = mix(here, f"musdb:{root}", tmp_path / "m", "--taxonomy", "musdb", "--clip", 1,
                 "--mixtures", 6)  # fmt: skip
    source = shards.read_records(folder / "mixtures-train-00000.parquet", Mixture)[0].sources[0]
    SPOIL[how](root / source.path)
    refuse(InvalidCorpus, folder, root / source.path, targets=("bass",))


def test_a_root_that_has_gone(musdb: Path, tmp_path: Path, here) -> None:
    root = tmp_path / "hq"
    shutil.copytree(musdb, root)
    folder = mix(here, f"musdb:{root}", tmp_path / "m", "--taxonomy", "musdb", "--clip", 1,
                 "--mixtures", 6)  # fmt: skip
    shutil.rmtree(root)
    refuse(InvalidCorpus, folder, root, targets=("bass",))
