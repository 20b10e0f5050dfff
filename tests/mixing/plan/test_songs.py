"""Which songs a set is made of, and in which split: left out, pooled, for validation, limited."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.records import Song
from stemsmith.mixing import Mixtures, mix
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.plan.recipes import n_of_splits
from stemsmith.mixing.plan.songs import chosen_stems, divided, limited
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import Taxonomy

DUO = Taxonomy("duo", {"violin": ["violin"], "piano": ["piano"]})


def stem(
    song: str, split: str = "train", root: str = "data", stem: str = "violin", **changes: Any
) -> CatalogueStem:
    """Return a stem of 10 s without a file."""
    power = np.full(changes.pop("n_steps", 100), 0.01, np.float32)
    place = f"{split}/{song}"
    made = CatalogueStem(
        stem_id=f"{root}:{place}/{stem}",
        song_id=f"{root}:{place}",
        content_id=f"{root}:{place}/{stem}",
        split=split,
        classes=(stem,),
        root=root,
        path=f"{place}/{stem}.wav",
        stream=0,
        sha256="",
        sample_rate=8000,
        n_samples=800 * len(power),
        k_power=power,
        power=power,
        label=song,
        song_key=place,
    )
    return dataclasses.replace(made, **changes)


def splits_of(stems: Iterable[CatalogueStem]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in stems:
        found.setdefault(one.split, set()).add(one.label)
    return found


def config(**options: Any) -> MixConfig:
    return MixConfig(**options)


DIVIDED = [
    stem(name, split)
    for name, split in zip("ABCDEF", ["train", "validation", "test"] * 2, strict=True)
]


# ---------------------------------------------------------------------------------------------
# Left out


def test_test_songs_of_others_stay_out_of_training() -> None:
    stems, warnings = divided(DIVIDED, config(left_out=["A"]))
    assert splits_of(stems) == {"train": {"D"}, "validation": {"B", "E"}, "test": {"A"}}
    assert warnings == [
        "2 test songs are not left out, and not used; --train-on test trains on them"
    ]


def test_what_is_asked_for_is_trained_on() -> None:
    stems, warnings = divided(DIVIDED, config(left_out=["A"], pooled=["test"]))
    assert splits_of(stems) == {"train": {"C", "D", "F"}, "validation": {"B", "E"}, "test": {"A"}}
    assert warnings == []
    stems, _ = divided(DIVIDED, config(pooled=["test", "validation"]))
    assert splits_of(stems) == {"train": set("ABCDEF")}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_data_set_of_one_split_is_divided(split: str) -> None:
    stems, _ = divided([stem(name, split) for name in "ABC"], config(left_out=["B"]))
    assert splits_of(stems) == {"train": {"A", "C"}, "test": {"B"}}


def test_a_data_set_of_test_songs_is_only_divided_where_songs_of_it_are_left_out() -> None:
    stems = [stem("A"), stem("B"), stem("C", "test", "real")]
    kept, warnings = divided(stems, config(left_out=["A"]))
    assert splits_of(kept) == {"train": {"B"}, "test": {"A"}}
    assert len(warnings) == 1


def test_without_training_songs_it_says_what_to_do() -> None:
    with pytest.raises(
        NothingToDo, match=r"no other song is for training: 1 test .* --train-on test"
    ):
        divided([stem("A"), stem("C", "test")], config(left_out=["A"]))
    kept, _ = divided([stem("A"), stem("C", "test")], config(left_out=["A"], splits=["test"]))
    assert splits_of(kept) == {"test": {"A"}}
    kept, _ = divided([stem("A"), stem("C", "test")], config(left_out=["*"]))  # a test set
    assert splits_of(kept) == {"test": {"A", "C"}}


@pytest.mark.parametrize("names", [["A*"], ["data:A*"], ["train/A?"], ["A1", "A2"], ["A[12]"]])
def test_names_and_patterns(names: list[str]) -> None:
    stems = [stem(name) for name in ("A1", "A2", "B", "A", "[A]")] + [stem("A3", root="other")]
    kept = chosen_stems(stems, names)
    expected = {"A1", "A2", *(["A3"] if names in (["A*"], ["train/A?"]) else [])}
    expected |= {"A"} if names in (["A*"], ["data:A*"]) else set()
    assert {one.label for one in kept} == expected
    assert [one.label for one in chosen_stems(stems, ["[A]"])] == ["[A]"]  # a name before a pattern
    with pytest.raises(UsageError, match="--songs kazoo: no song of this name; there is A"):
        chosen_stems(stems, [*names, "kazoo"])


def test_a_file_has_a_name_a_line(tmp_path: Path) -> None:
    path = tmp_path / "songs.txt"
    path.write_text("\ufeffB \n\n@C\nA\n", encoding="utf-8")
    made = config(songs=f"@{path}")
    assert made.songs == ("A", "B", "[@]C")
    assert dataclasses.replace(made, seed=1).songs == made.songs
    stems = [stem(name) for name in ("A", "B", "@C", "D")]
    assert {one.label for one in chosen_stems(stems, made.songs)} == {"A", "B", "@C"}
    path.write_text("\n")
    with pytest.raises(UsageError, match=r"--leave-out @.*: names no song"):
        config(left_out=[f"@{path}"])
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match=r"--songs @.*: cannot be read: not UTF-8"):
        config(songs=[f"@{path}"])
    with pytest.raises(UsageError, match=r"--songs @.*: cannot be read: No such file"):
        config(songs=[f"@{tmp_path / 'none'}"])


# ---------------------------------------------------------------------------------------------
# For validation


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.text("abcdefghij", min_size=1, max_size=3), min_size=3, max_size=30),
    st.sets(st.text("klmnopqrst", min_size=1, max_size=3), max_size=10),
    st.integers(1, 2),
    st.randoms(use_true_random=False),
)
def test_songs_that_are_added_put_no_other_song_into_validation(
    names: set[str], added: set[str], n: int, random: Any
) -> None:
    stems = [stem(name) for name in sorted(names)]
    few = splits_of(divided(stems, config(validation_songs=n))[0])
    more = [*stems, *(stem(name) for name in added)]
    random.shuffle(more)
    many = splits_of(divided(more, config(validation_songs=n, seed=7))[0])
    assert len(few["validation"]) == len(many["validation"]) == n
    assert many["validation"] <= few["validation"] | added
    share = splits_of(divided(stems, config(validation_songs=0.3))[0])
    both = splits_of(divided(more, config(validation_songs=0.3))[0])
    assert share["train"]
    if len(share["validation"]) > 1:  # else the song of the least hash
        assert both["validation"] - added == share["validation"]


def test_a_share_is_about_that_of_the_songs() -> None:
    stems = [stem(f"{k:04d}") for k in range(2000)]
    found = splits_of(divided(stems, config(validation_songs=0.2))[0])
    assert abs(len(found["validation"]) - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8)


def test_songs_that_share_music_go_together() -> None:
    twins = [
        stem(f"{k}", root=root, content_id=f"music {k}", song_key=f"music {k}")
        for k in range(12)
        for root in ("slakh", "flakh")
    ]
    made, _ = divided(twins, config(validation_songs=5))
    found = splits_of(made)
    assert len(found["validation"]) == 5
    assert not found["validation"] & found["train"]


@pytest.mark.parametrize(
    ("n", "text"), [(3, "there are 3 different"), (9, "there are 3 different")]
)
def test_one_song_must_stay(n: float, text: str) -> None:
    with pytest.raises(UsageError, match=f"--validation-songs {n}: {text}"):
        divided([stem(name) for name in "ABC"], config(validation_songs=n))


@pytest.mark.parametrize("number", [0, -1, 1.5, float("nan")])
def test_numbers_of_songs_that_make_no_sense(number: float) -> None:
    with pytest.raises(UsageError, match="--validation-songs"):
        config(validation_songs=number)


# ---------------------------------------------------------------------------------------------
# Limits of material


def material(*names: str) -> list[CatalogueStem]:
    return [stem(name, stem=part) for name in names for part in ("violin", "piano")]


def seconds(stems: Iterable[CatalogueStem], part: str) -> float:
    return sum(one.n_steps for one in stems if one.classes == (part,)) / 10


@pytest.mark.parametrize("mode", ["incoherent", "coherent"])
@pytest.mark.parametrize("wanted_s", [10, 37, 41, 96])
def test_less_material_is_part_of_more(mode: str, wanted_s: float) -> None:
    stems = [*material(*map(str, range(12))), stem("solo"), stem("V", "validation")]
    made = config(mode=mode, clip_s=2, source_hours=wanted_s / 3600)
    kept = limited(stems, made, DUO)
    training = [one for one in kept if one.split == "train"]
    rest = wanted_s % 10
    expected = wanted_s - (rest if rest < 2 else 0)
    assert seconds(training, "violin") == expected
    assert seconds(training, "piano") == expected or mode == "coherent"
    assert [one.label for one in kept if one.split == "validation"] == ["V"]
    more = {
        one.stem_id: one.n_steps
        for one in limited(stems, dataclasses.replace(made, source_hours=1), DUO)
    }
    assert all(more[one.stem_id] >= one.n_steps for one in kept)
    for one in training:  # the beginning of the stem, of both its envelopes
        whole = next(other for other in stems if other.stem_id == one.stem_id)
        assert np.array_equal(one.power, whole.power[: one.n_steps])
        assert len(one.k_power) == one.n_steps
    if mode == "coherent":  # songs are whole or cut at one moment
        assert len({(one.song_id, one.n_steps) for one in training}) == len(
            {one.song_id for one in training}
        )


def test_too_little_material_for_a_clip_is_said() -> None:
    with pytest.raises(NothingToDo, match=r"--source-hours 0\.0001: shorter than a clip of 2 s"):
        limited([stem("A"), stem("B", "test")], config(source_hours=1e-4, clip_s=2), DUO)


def test_nothing_is_cut_unless_asked_for() -> None:
    stems = StemTable.of(material("A", "B"))
    assert limited(stems, config(), DUO) is stems
    for hours in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--source-hours"):
            config(source_hours=hours)


# ---------------------------------------------------------------------------------------------
# Numbers


def test_numbers_are_of_training_and_others_have_their_share() -> None:
    songs = {"train": 1500, "validation": 375, "test": 225}  # Slakh2100's
    assert n_of_splits(config(hours=43), songs) == {
        "train": 15480,
        "validation": 3870,
        "test": 2322,
    }
    said = config(hours=43, validation_hours=1, n_test_mixtures=0)
    assert n_of_splits(said, songs) == {"train": 15480, "validation": 360, "test": 0}
    assert n_of_splits(config(n_mixtures=10), {"train": 100, "test": 1}) == {"train": 10, "test": 1}
    assert n_of_splits(config(n_mixtures=9), {"validation": 2, "test": 1}) == {
        "validation": 6,
        "test": 3,
    }
    with pytest.raises(NothingToDo, match="no validation song has a clip; --validation-songs"):
        n_of_splits(config(n_validation_mixtures=5), {"train": 3})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_test_mixtures": 3, "test_hours": 1}, "give either --test-mixtures or --test-hours"),
        ({"n_validation_mixtures": -1}, "must ask for 0 to"),
        ({"validation_hours": float("nan")}, "must ask for 0 to"),
        ({"test_hours": 1, "splits": ["train"]}, "not with --split train alone"),
        ({"test_hours": 1, "mode": "combinations"}, "makes all of them"),
        ({"pooled": ["train"]}, "--train-on train: validation or test"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as error:
        config(**options)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------
# Folders


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory, make_noise: Callable[..., Path]) -> Path:
    """Return songs of a violin and a piano, in no split."""
    folder = tmp_path_factory.mktemp("songs")
    for k, name in enumerate("ABCDE"):
        for j, part in enumerate(("violin", "piano")):
            make_noise(folder / name / f"{part}.wav", 2, 8000, 1, 2 * k + j)
    return folder


QUICK: dict[str, Any] = {"taxonomy": "violin-piano", "clip_s": 0.5, "n_mixtures": 6}


def songs_in(mixtures: Mixtures) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in mixtures.records():
        names = {source.song_id.rpartition(":")[2] for source in record.sources}
        found.setdefault(record.split, set()).update(names)
    return found


def test_a_split_without_songs_is_told_how_to_get_some(songs: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match=r"--split train: no song of it; all are of test \(--lea"):
        mix(f"folder:{songs}", tmp_path / "m", splits=["train"], **QUICK)


def test_leave_one_out_has_validation_songs(songs: Path, tmp_path: Path) -> None:
    made = mix(f"folder:{songs}", tmp_path / "m", left_out="B", validation_songs=1, **QUICK)
    found = songs_in(made)
    assert found["test"] == {"B"}
    assert [len(found[split]) for split in ("train", "validation")] == [3, 1]
    assert made.splits == {"train": 6, "validation": 2, "test": 2}
    said = made.header["config"]
    assert (said["left_out"], said["validation_songs"]) == (["B"], 1.0)
    again = mix(f"folder:{songs}", tmp_path / "n", left_out="C", validation_songs=1, **QUICK)
    assert "B" in songs_in(again)["train"] | songs_in(again)["validation"]


def test_test_songs_that_alone_are_wanted_stay_out_of_training(songs: Path, tmp_path: Path) -> None:
    # `songs` has none of its songs in a split; here one is, which nobody wants.
    folder = tmp_path / "data"
    shutil.copytree(songs, folder / "test")
    shutil.copytree(songs / "A", folder / "train" / "Z")
    options: dict[str, Any] = {**QUICK, "songs": ["A", "B"], "left_out": "B"}
    with pytest.raises(NothingToDo, match="1 test songs are not left out"):
        mix(f"folder:{folder}", tmp_path / "m", **options)
    made = mix(f"folder:{folder}", tmp_path / "m", pooled=["test"], **options)
    assert songs_in(made) == {"train": {"test/A"}, "test": {"test/B"}}


def test_songs_of_a_corpus_that_are_not_wanted_say_that_it_is_divided() -> None:
    stems, _ = divided(DIVIDED, config(songs=["A", "C", "F"], left_out=["C"]))
    assert splits_of(stems) == {"train": {"A"}, "test": {"C"}}


def test_songs_that_are_nearly_the_same_are_drawn_together(
    unsplit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Corpus.iter_records

    def joined(self: Corpus, name: str, record_type: type) -> Iterator[Any]:
        for record in read(self, name, record_type):
            is_song = isinstance(record, Song)
            changes = {"duplicate_group": "of all", "split": "train"} if is_song else {}
            yield dataclasses.replace(record, **changes)

    monkeypatch.setattr(Corpus, "iter_records", joined)
    stems = read_stems(find_sources([unsplit], Path("nowhere")), {}, 1)
    assert len({one.song_id for one in stems}) > 1
    assert {one.song_key for one in stems} == {"of all"}


def test_only_the_songs_that_are_wanted_are_read(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., Any]
) -> None:
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "three.txt").write_text("A\nC\nE\n")
    done = here("mix", f"folder:{songs}", tmp_path / "m", "--songs", f"@{tmp_path}/three.txt",
                "--taxonomy", "violin-piano", "--clip", 0.5, "--mixtures", 6,
                "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert songs_in(Mixtures(tmp_path / "m")) == {"test": {"A", "C", "E"}}
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 6
    done = here("mix", f"folder:{songs}", tmp_path / "n", "--songs", "Z", "--jobs", 0)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --songs Z: no song of this name")


def test_a_folder_of_the_time_when_numbers_were_of_all_splits_goes_on(
    songs: Path, tmp_path: Path
) -> None:
    options = {**QUICK, "left_out": "B", "validation_songs": 1}
    made = mix(f"folder:{songs}", tmp_path / "m", **options)
    assert made.header["n_mixtures_of"] == "train"
    # As the code before wrote it: 6 mixtures of 3, 1 and 1 songs.
    numbers = {"n_mixtures": 4, "n_validation_mixtures": 1, "n_test_mixtures": 1}
    old = mix(f"folder:{songs}", tmp_path / "old", **{**options, **numbers})
    header = {**old.header, "config": {**old.header["config"], "n_mixtures": 6}}
    del header["n_mixtures_of"]
    from stemsmith.mixing.mixtures import fingerprint_of

    header["fingerprint"] = fingerprint_of(header)
    shards.write_manifest(tmp_path / "old", header)
    opened = mix(f"folder:{songs}", tmp_path / "old", **options)
    assert opened.splits == {"train": 4, "validation": 1, "test": 1}
    with pytest.raises(UsageError, match="choose another folder"):
        mix(f"folder:{songs}", tmp_path / "old", **{**options, "n_mixtures": 7})
    assert Mode(opened.header["config"]["mode"]) is Mode.COHERENT
