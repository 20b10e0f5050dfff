"""Public data sets: every stem is found, named and put into its split, or the folder is refused."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import yaml
from stemsmith.manifests.audio.read import AUDIO_ENDINGS, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import slug
from stemsmith.manifests.records import Stem
from stemsmith.manifests.shards import read_records
from stemsmith.mixing.sources import layouts
from stemsmith.mixing.sources.files import find_files, load_layout
from stemsmith.mixing.sources.find import parse_source
from stemsmith.mixing.sources.layouts import LAYOUTS
from stemsmith.mixing.sources.layouts.musdb import MUSDB_VALIDATION
from stemsmith.mixing.sources.song_folders import are_solos, find_folders
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

STEMS = ("bass", "drums", "other", "vocals")
BACH10 = ("bassoon", "clarinet", "saxphone", "violin")
# What has to be in files that are more than there.
WRITTEN = {
    "Audio/A_X/A_X_METADATA.yaml": "stems: {S01: {instrument: violin}}",
    "moisesdb_v0.1/00ff/data.json": (
        '{"stems": [{"stemName": "bass", "tracks": '
        '[{"id": "1", "trackType": "bass guitar", "extension": "wav"}]}]}'
    ),
    "train/Track00001/metadata.yaml": "stems: {S00: {inst_class: Bass, program_num: 33}}",
}


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(WRITTEN.get(path, ""))


def songs(folder: str, *names: str, stems: Iterable[str] = (*STEMS, "mixture")) -> list[str]:
    return [f"{folder}/{name}/{stem}.wav" for name in names for stem in stems]


def refusal(layout: str, root: Path) -> str:
    with pytest.raises(InvalidCorpus) as refused:
        find_files(layout, root)
    text = str(refused.value)
    assert "\n" not in text
    assert str(root) in text
    return text


# MUSDB18


def test_musdb_hq_has_four_stems_a_song_and_no_mixture(tmp_path: Path) -> None:
    touch(tmp_path, *songs("train", "A - X", "Leaf - Summerghost"), *songs("test", "B - Y"))
    found = find_files("musdb", tmp_path)
    assert found == [
        SourceFile(f"{subset}/{song}", stem, split, stem, f"{subset}/{song}/{stem}.wav")
        for subset, song, split in (
            ("test", "B - Y", "test"),
            ("train", "A - X", "train"),
            ("train", "Leaf - Summerghost", "validation"),
        )
        for stem in STEMS
    ]


def test_musdb_mp4_stems_are_streams_of_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "train/ANiMAL - Rockshow.stem.mp4", "train/A - X.stem.mp4", "train/notes.txt")
    found = find_files("musdb", tmp_path)
    assert [(f.song_id, f.stem, f.split, f.path, f.stream) for f in found] == [
        (f"train/{song}", stem, split, f"train/{song}.stem.mp4", stream)
        for song, split in (("A - X", "train"), ("ANiMAL - Rockshow", "validation"))
        for stem, stream in (("bass", 2), ("drums", 1), ("other", 3), ("vocals", 4))
    ]


@pytest.mark.parametrize("subset", ["train", "test"])
def test_musdb_may_have_one_subset_only(tmp_path: Path, subset: str) -> None:
    touch(tmp_path, *songs(subset, "A - X"))
    assert {file.split for file in find_files("musdb", tmp_path)} == {subset}


def test_a_musdb_song_of_the_test_set_is_never_validation(tmp_path: Path) -> None:
    touch(tmp_path, *songs("test", "Leaf - Summerghost"))
    assert {file.split for file in find_files("musdb", tmp_path)} == {"test"}


def test_a_musdb_song_that_lacks_a_stem_is_refused_by_the_name_of_it(tmp_path: Path) -> None:
    touch(tmp_path, *songs("train", "A - X"), *songs("test", "B - Y", stems=STEMS[:-1]))
    assert str(tmp_path / "test" / "B - Y" / "vocals.wav") in refusal("musdb", tmp_path)


def test_a_musdb_song_in_both_formats_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, *songs("train", "A - X"), "train/A - X.stem.mp4")
    text = refusal("musdb", tmp_path)
    assert "A - X.stem.mp4" in text
    assert "A - X/bass.wav" in text


def musdb_setup() -> dict[str, dict[str, object]]:
    spec = importlib.util.find_spec("musdb")  # found, not imported: it wants ffmpeg
    assert spec is not None
    assert spec.origin is not None
    setup = Path(spec.origin).parent / "configs" / "mus.yaml"
    content: dict[str, dict[str, object]] = yaml.safe_load(setup.read_text("utf-8"))
    return content


def test_validation_songs_and_streams_are_those_of_musdb(tmp_path: Path) -> None:
    setup = musdb_setup()
    assert len(MUSDB_VALIDATION) == 14
    assert sorted(MUSDB_VALIDATION) == sorted(setup["validation_tracks"])
    touch(tmp_path, "train/A - X.stem.mp4")
    streams = {file.stem: file.stream for file in find_files("musdb", tmp_path)}
    assert streams | {"mixture": 0} == setup["stem_ids"]
    assert set(streams) == set(setup["sources"])


@pytest.fixture
def musdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the reference reader, which refuses to be imported if ffmpeg is not on PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("ffmpeg", "ffprobe"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{programs}")
    before = set(sys.modules)
    yield importlib.import_module("musdb")
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("musdb", "stempeg"):
            del sys.modules[name]  # whoever has no ffmpeg cannot import it: not here either


def test_the_musdb_package_reads_the_same_songs(tmp_path: Path, musdb: ModuleType) -> None:
    root = tmp_path / "musdb"
    names = ("A - X", "B & C - Y's (Z)", "Leaf - Summerghost", "James May - On The Line")
    # Without mixture.wav, of which musdb would ask ffprobe.
    touch(root, *songs("train", *names, stems=STEMS), *songs("test", "D - W", stems=STEMS))
    found = find_files("musdb", root)

    subsets = {
        "train": ("train", "train"),
        "validation": ("train", "valid"),
        "test": ("test", None),
    }
    for split, (subset, musdb_split) in subsets.items():
        tracks = musdb.DB(root=str(root), is_wav=True, subsets=subset, split=musdb_split)
        expected = {
            (f"{track.subset}/{track.name}", stem, str(Path(source.path).relative_to(root)))
            for track in tracks
            for stem, source in track.sources.items()
        }
        ours = {(file.song_id, file.stem, file.path) for file in found if file.split == split}
        assert ours == expected
        assert len(ours) == 4 * len(tracks) > 0


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="musdb reads audio through ffmpeg")
def test_a_rendered_song_in_musdbs_layout_sounds_the_same_through_musdb(
    tmp_path: Path, corpus: Path, musdb: ModuleType
) -> None:
    root = tmp_path / "musdb"
    files = sorted(corpus.glob("stems-*.parquet"))
    stems = read_records(files, Stem)
    song_id = stems[0].song_id
    own = [stem for stem in stems if stem.song_id == song_id]
    groups: dict[str, np.ndarray] = {
        name: np.zeros((own[0].n_samples, 2), np.float32)
        for name in ("vocals", "drums", "bass", "other")
    }
    for stem in own:
        target = TAXONOMIES["musdb"].target_of((slug(stem.inst_class),))
        audio = read_excerpt(corpus / stem.path, 0, stem.n_samples)
        groups[str(target)] += np.repeat(audio.T, 2, axis=1)
    folder = root / "train" / "Somebody - Something"
    folder.mkdir(parents=True)
    mixture = np.sum(list(groups.values()), axis=0)
    for name, audio in {**groups, "mixture": mixture}.items():
        soundfile.write(folder / f"{name}.wav", audio, 44100, subtype="FLOAT")
    (track,) = musdb.DB(root=str(root), is_wav=True, subsets="train")
    assert np.abs(track.audio - mixture).max() < 1e-4
    for found in find_files("musdb", root):
        ours = read_excerpt(root / found.path, 0, own[0].n_samples)
        theirs = track.targets[found.stem].audio
        assert np.abs(ours.T - groups[found.stem]).max() == 0
        assert np.abs(ours.T - theirs).max() < 1e-4  # they go through 16 bits


# folders of solos


def test_every_solo_is_a_song_of_its_own(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/violin/take 1.wav",
        "train/violin/take 2.flac",
        "train/Grand Piano_2/a.b.OGG",
        "train/violin/notes.txt",
        "train/violin/deeper/c.wav",
        "train/loose.wav",
        "docs/violin/d.wav",
    )
    assert find_files("folder", tmp_path) == [
        SourceFile(f"train/{folder}/{name}", folder, "train", inst_class, f"train/{folder}/{file}")
        for folder, name, inst_class, file in (
            ("Grand Piano_2", "a.b", "grand-piano-2", "a.b.OGG"),
            ("violin", "take 1", "violin", "take 1.wav"),
            ("violin", "take 2", "violin", "take 2.flac"),
        )
    ]


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("valid", "validation"),
        ("VALIDATION", "validation"),
        ("val", "validation"),
        ("test", "test"),
    ],
)
def test_splits_have_one_name_whatever_the_folder_is_called(
    tmp_path: Path, folder: str, split: str
) -> None:
    touch(tmp_path, *(f"{folder}/violin/{k}{suffix}" for k, suffix in enumerate(suffixes())))
    found = find_files("folder", tmp_path)
    assert Counter(file.split for file in found) == {split: len(suffixes())}


def suffixes() -> tuple[str, ...]:
    return (".wav", ".flac", ".ogg", ".aif", ".aiff", ".WAV", ".mp3", ".opus", ".w64", ".caf")


@pytest.mark.parametrize("folder", ["dev", "training", "eval"])
def test_a_folder_that_is_no_split_is_left_alone(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, f"{folder}/violin/a.wav")
    assert "no solos: expected train/<class>/<name>.wav" in refusal("folder", tmp_path)


def test_two_solos_that_differ_in_suffix_only_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/violin/a.wav", "train/violin/a.flac", "train/piano/a.wav")
    text = refusal("folder", tmp_path)
    assert str(tmp_path / "train/violin/a.wav") in text
    assert str(tmp_path / "train/violin/a.flac") in text


def test_a_name_that_no_recipe_can_hold_is_refused(tmp_path: Path) -> None:
    try:
        touch(tmp_path, "train/violin/caf\udce9.wav")
    except OSError as error:
        pytest.skip(f"this file system has UTF-8 names only: {error}")
    assert "not UTF-8" in refusal("folder", tmp_path)


# folders of songs


def test_every_file_of_a_song_is_a_stem_but_mixtures(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "One/bass.wav",
        "One/Lead Vocals.FLAC",
        "One/mixture.wav",
        "One/Mix.wav",
        "One/info.json",
        "VAL/Two/drums.aiff",
    )
    assert find_files("folder", tmp_path) == [
        SourceFile("One", "Lead Vocals", "test", "lead-vocals", "One/Lead Vocals.FLAC"),
        SourceFile("One", "bass", "test", "bass", "One/bass.wav"),
        SourceFile("VAL/Two", "drums", "validation", "drums", "VAL/Two/drums.aiff"),
    ]


@pytest.mark.parametrize(
    ("paths", "classes", "expected"),
    [
        (["train/violin/a", "test/piano/b"], (), True),
        (["train/violin/a", "train/theremin/a"], (), True),
        (["train/theremin/1", "train/saw/2"], (), True),
        (["train/violin/bass", "train/piano/drums"], (), True),
        (["docs/a", "train/violin/a"], (), True),
        (["violin/a", "piano/a"], (), True),
        (["One/bass", "Two/bass"], (), False),
        (["train/One/bass", "train/Two/kazoo"], (), False),
        (["train/One/mixture"], (), False),
        (["One/kazoo"], (), False),
        (["train/One/kazoo"], (), True),
        (["train/One/kazoo"], ("kazoo",), False),
        (["train/kazoo/bass"], ("kazoo",), True),
        ([], (), False),
    ],
)
def test_solos_and_songs_are_told_apart_by_names(
    tmp_path: Path, paths: list[str], classes: tuple[str, ...], expected: bool
) -> None:
    touch(tmp_path, *(f"{path}.wav" for path in paths))
    known = {"violin", "piano", "bass", "drums", *classes}
    assert are_solos(find_folders(tmp_path), known) is expected


def test_the_class_names_of_an_own_taxonomy_tell_songs_from_solos(tmp_path: Path) -> None:
    touch(tmp_path, "train/One/kazoo.wav", "train/Two/kazoo.wav")
    assert {file.inst_class for file in find_files("folder", tmp_path)} == {"one", "two"}
    found = find_files("folder", tmp_path, {"kazoo"})
    assert {(file.song_id, file.inst_class) for file in found} == {
        ("train/One", "kazoo"),
        ("train/Two", "kazoo"),
    }


def test_solos_are_refused_where_songs_are_needed(tmp_path: Path) -> None:
    touch(tmp_path, "train/violin/a.wav")
    with pytest.raises(UsageError, match=r"folders of solos \(violin\), which are not played"):
        find_files("folder", tmp_path, is_played_together=True)


@pytest.mark.parametrize("ending", sorted(AUDIO_ENDINGS))
def test_every_ending_that_libsndfile_knows_is_audio(tmp_path: Path, ending: str) -> None:
    touch(tmp_path, f"One/bass{ending.upper()}", "One/notes.mat", "One/raw.raw", "One/x.mp4")
    assert [file.stem for file in find_files("folder", tmp_path)] == ["bass"]


# DSD100, HHDS


def test_dsd100_needs_its_sources_only(tmp_path: Path) -> None:
    touch(tmp_path, *songs("Sources/Dev", "055 - A - X", stems=STEMS))
    touch(tmp_path, *songs("Sources/Test", "001 - B - Y", stems=STEMS), "dsd100.xlsx")
    assert find_files("dsd100", tmp_path) == [
        SourceFile(f"{subset}/{song}", stem, split, stem, f"Sources/{subset}/{song}/{stem}.wav")
        for subset, song, split in (
            ("Dev", "055 - A - X", "train"),
            ("Test", "001 - B - Y", "test"),
        )
        for stem in STEMS
    ]


def test_a_dsd100_song_that_lacks_a_stem_is_refused_by_the_name_of_it(tmp_path: Path) -> None:
    touch(tmp_path, *songs("Sources/Dev", "055 - A - X", stems=("bass", "drums", "vocals")))
    assert str(tmp_path / "Sources/Dev/055 - A - X/other.wav") in refusal("dsd100", tmp_path)


# Bach10


@pytest.mark.parametrize("below", ["", "Sources/"])
@pytest.mark.parametrize("saxophone", ["saxphone", "saxophone"])
def test_bach10_is_four_players_in_either_spelling(
    tmp_path: Path, below: str, saxophone: str
) -> None:
    files = {
        (song, "saxophone" if player == "saxphone" else player): (
            f"{below}{song}/{song}-{saxophone if player == 'saxphone' else player}.wav"
        )
        for song in ("01-AchGottundHerr", "10-NunBitten")
        for player in BACH10
    }
    touch(tmp_path, *files.values(), f"{below}01-AchGottundHerr/01-AchGottundHerr.wav")
    touch(tmp_path, f"{below}Code/readme.txt")
    assert find_files("bach10", tmp_path) == [
        SourceFile(song, player, "train", player, path) for (song, player), path in files.items()
    ]


def test_a_bach10_piece_that_lacks_a_player_is_refused_by_the_name_of_the_file(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *(f"02-B/02-B-{player}.wav" for player in BACH10 if player != "saxphone"))
    assert str(tmp_path / "02-B/02-B-saxphone.wav") in refusal("bach10", tmp_path)


# anyone's


def takes(root: Path) -> list[SourceFile]:
    """Find the files of a made-up data set."""
    return [
        SourceFile(path.stem, "take", "train", "kazoo", path.name)
        for path in sorted(root.glob("*.take"))
    ]


def in_another_split(root: Path) -> list[SourceFile]:
    return [SourceFile("a", "take", "dev", "kazoo", "a.take")]


NO_LAYOUT = 5
OWN = "stemsmith_layouts_of_a_test"


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the functions above importable."""
    monkeypatch.setitem(sys.modules, OWN, sys.modules[__name__])
    return OWN


def test_a_function_is_a_layout(tmp_path: Path, own_module: str) -> None:
    touch(tmp_path, "b.take", "a.take")
    found = find_files(f"{own_module}:takes", tmp_path)
    assert [file.song_id for file in found] == ["a", "b"]
    text = f"{own_module}:takes:{tmp_path}"
    assert parse_source(text) == (f"{own_module}:takes", tmp_path)
    assert load_layout(f"{own_module}:takes").taxonomy == "musdb"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:nothing", "cannot be imported"),
        ("{}.nothing:takes", "cannot be imported"),
        ("{}:NO_LAYOUT", "neither a function nor a SourceLayout"),
        ("{}:in_another_split", "gives the split 'dev', not train, validation, test"),
        (
            "kazoo",
            "layout 'kazoo': unknown; known: bach10, bach10-sibelius, cocochorales, dsd100, ",
        ),
    ],
)
def test_what_is_no_layout_is_one_line(
    tmp_path: Path, own_module: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        find_files(name.format(own_module), tmp_path)
    assert "\n" not in str(error.value)


def test_a_source_that_is_no_folder_is_told_all_layouts(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        parse_source(f"kazoo:{tmp_path}")
    assert all(f"{name}:PATH" in str(error.value) for name in LAYOUTS.names)
    assert parse_source(str(tmp_path)) == ("corpus", tmp_path)
    assert parse_source(f"folder:{tmp_path}") == ("folder", tmp_path)
    (tmp_path / "a:b:c").mkdir()
    assert parse_source(tmp_path / "a:b:c") == ("corpus", tmp_path / "a:b:c")


# all of them

A_DATA_SET = {
    "musdb": songs("train", "A - X"),
    "folder": ["train/violin/a.wav", "train/piano/a.wav"],
    "dsd100": songs("Sources/Dev", "055 - A - X"),
    "bach10": [f"02-B/02-B-{player}.wav" for player in BACH10],
    "bach10-sibelius": [
        f"02-B/02-B_gt_{player}.wav" for player in ("bassoon", "clarinet", "saxophone", "violin")
    ],
    "cocochorales": ["train/string_track000001/stems_audio/0_violin.wav"],
    "medleydb": ["Audio/A_X/A_X_STEMS/A_X_STEM_01.wav", "Audio/A_X/A_X_METADATA.yaml"],
    "moisesdb": ["moisesdb_v0.1/00ff/bass/1.wav", "moisesdb_v0.1/00ff/data.json"],
    "slakh": ["train/Track00001/stems/S00.flac", "train/Track00001/metadata.yaml"],
    "flakh": ["train/Track00001/stems/S00.flac", "train/Track00001/metadata.yaml"],
    "synthsod": ["SynthSOD_data/one/Tree/Violin_1.flac"],
    "urmp": ["01_Jupiter_vn_vc/AuSep_1_vn_01_Jupiter.wav"],
}


def test_every_layout_is_tested() -> None:
    assert set(A_DATA_SET) == set(LAYOUTS.names)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (
            "musdb",
            "no MUSDB18 songs: expected train/<song>/vocals.wav or train/<song>.stem.mp4",
        ),
        (
            "folder",
            "no songs: expected <song>/<stem>.wav or test/<song>/<stem>.wav, "
            "and no solos: expected train/<class>/<name>.wav or .flac",
        ),
        ("dsd100", "no DSD100 songs: expected Sources/Dev/<song>/vocals.wav"),
        ("bach10", "no Bach10 pieces: expected <NN-name>/<NN-name>-violin.wav"),
        (
            "bach10-sibelius",
            "no pieces of Bach10 Sibelius: expected <NN-name>/<NN-name>_original_violin.wav",
        ),
        (
            "cocochorales",
            "no tracks of CocoChorales: expected train/string_track000001/stems_audio/0_violin.wav",
        ),
        ("medleydb", "no MedleyDB songs: expected Audio/<song>/<song>_STEMS/<song>_STEM_01.wav"),
        ("moisesdb", "no songs of MoisesDB: expected moisesdb_v0.1/<song>/data.json"),
        ("slakh", "no tracks of Slakh: expected [train/]Track00001/{metadata.yaml,stems}"),
        ("flakh", "no tracks of Slakh: expected [train/]Track00001/{metadata.yaml,stems}"),
        ("synthsod", "no songs of SynthSOD: expected SynthSOD_data/<song>/Tree/Violin_1.flac"),
        ("urmp", "no pieces of URMP: expected <piece>/AuSep_1_vn_<piece>.wav"),
    ],
)
def test_an_empty_or_wrong_folder_is_told_what_was_expected(
    tmp_path: Path, layout: str, expected: str
) -> None:
    assert refusal(layout, tmp_path) == f"{tmp_path}: {expected}"
    touch(tmp_path, "train/a.mid", "x.wav", "test/.hidden/vocals.wav", "readme.txt")
    if layout != "folder":  # to which this is a song of one stem
        touch(tmp_path, "Sources/x.wav")
    assert refusal(layout, tmp_path) == f"{tmp_path}: {expected}"


@pytest.mark.parametrize("layout", LAYOUTS.names)
def test_what_is_no_folder_is_a_usage_error(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, "file")
    for root in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(UsageError, match=re.escape(f"{root}: not a folder")):
            find_files(layout, root)


@pytest.mark.parametrize("layout", LAYOUTS.names)
def test_hidden_files_are_no_audio(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, *A_DATA_SET[layout])
    found = find_files(layout, tmp_path)
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        touch(folder, "._x.wav", ".x.stem.mp4", ".hidden/vocals.wav", ".DS_Store")
    assert find_files(layout, tmp_path) == found


@pytest.mark.parametrize("layout", LAYOUTS.names)
def test_links_are_as_good_as_files(tmp_path: Path, layout: str) -> None:
    touch(tmp_path / "disk", *A_DATA_SET[layout])
    (tmp_path / "root").mkdir()
    for path in (tmp_path / "disk").iterdir():
        (tmp_path / "root" / path.name).symlink_to(path)
    assert find_files(layout, tmp_path / "root") == find_files(layout, tmp_path / "disk")
    # The files themselves, too, as download managers leave them.
    for path in A_DATA_SET[layout]:
        link = tmp_path / "links" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "disk" / path)
    assert find_files(layout, tmp_path / "links") == find_files(layout, tmp_path / "disk")


@pytest.mark.parametrize("layout", LAYOUTS.names)
def test_stems_are_unique_sorted_and_there(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, *A_DATA_SET[layout])
    found = find_files(layout, tmp_path)
    keys = [(file.song_id, file.stem) for file in found]
    assert keys == sorted(set(keys))
    assert all((tmp_path / file.path).is_file() for file in found)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", file.inst_class) for file in found)
    assert {file.split for file in found} <= {"train", "validation", "test"}


def test_one_more_layout_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_noise, here
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "flat_takes.py").write_text(
        "from stemsmith.manifests.mixtures import SourceFile\n"
        "from stemsmith.mixing.sources.layout import SourceLayout\n\n"
        "class FlatTakes(SourceLayout):\n"
        "    taxonomy = 'violin-piano'\n\n"
        "    def find(self, root, classes):\n"
        "        return [SourceFile(path.stem.rpartition('-')[0], 's', 'test',\n"
        "                           path.stem.rpartition('-')[2], path.name)\n"
        "                for path in root.glob('*-*.wav')]\n\n"
        "LAYOUT = FlatTakes()\n"
    )
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(folder)])
    monkeypatch.delitem(LAYOUTS.__dict__, "names", raising=False)
    assert "flat-takes" in LAYOUTS.names
    for seed, name in enumerate(("a-violin", "b-violin", "a-piano")):
        make_noise(tmp_path / "data" / f"{name}.wav", 2, seed=seed)
        make_noise(tmp_path / "data2" / f"{name}.wav", 2, seed=seed)
    (tmp_path / "data" / "a-piano.wav").rename(tmp_path / "data" / "c-piano.wav")
    done = here("mix", f"flat-takes:{tmp_path / 'data'}", tmp_path / "m", "--mode", "incoherent",
                "--taxonomy", "violin-piano", "--clip", 1, "--mixtures", 4)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 incoherent mixtures (4 test)" in done.stdout
    done = here("mix", tmp_path / "no", tmp_path / "n")
    assert "flat-takes:PATH" in done.stderr
    done = here("evaluate", "mixture", f"flat-takes:{tmp_path / 'data'}", tmp_path / "r",
                "--bss", "none", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    LAYOUTS.__dict__.pop("names")
