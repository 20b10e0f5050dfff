"""The shapes of published data sets, as their own loaders and descriptions have them.

Repository, file and commit that a shape was taken from stand in the test of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import PROGRAM_NAMES, classes_of
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing import mix
from stemsmith.mixing.sources.files import find_files, load_layout, unused_files
from stemsmith.mixing.sources.find import find_sources
from stemsmith.mixing.sources.instruments import instrument_classes
from stemsmith.mixing.sources.taxonomy import TAXONOMIES


def write(root: Path, *paths: str, **texts: str) -> Path:
    for path, text in {**dict.fromkeys(paths, ""), **texts}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def found_in(layout: str, root: Path) -> tuple[list[SourceFile], list[Rejection]]:
    """Return what is used, and what is not, with the files that no layout knows."""
    left_out: list[Rejection] = []
    files = find_files(layout, root, left_out=left_out)
    known = {*(file.path for file in files), *(row.id for row in left_out)}
    return files, left_out + unused_files(layout, root, known)


def targets_of(files: Sequence[SourceFile], taxonomy: str) -> dict[str, str | None]:
    known = TAXONOMIES[taxonomy]
    return {f"{file.song_id}/{file.stem}": known.target_of(file.classes) for file in files}


def refusal(layout: str, root: Path) -> str:
    with pytest.raises((InvalidCorpus, UsageError)) as refused:
        find_files(layout, root)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Slakh


def track(
    root: Path,
    place: str,
    programs: Mapping[str, int] = {"S00": 33},
    *,
    midi_id: str = "",
    ending: str = ".flac",
    without: Sequence[str] = (),
) -> None:
    """Write a track as Slakh has it; stems in `without` have no loudness and no audio."""
    stems: dict[str, dict[str, object]] = {}
    for name, program in programs.items():
        classes = classes_of(program)
        stems[name] = {
            "audio_rendered": False,  # so in the published files, whatever was rendered
            "inst_class": classes[-1].title(),
            "is_drum": program == 128,
            "midi_program_name": PROGRAM_NAMES[program],
            "program_num": program,
        }
        if name not in without:
            stems[name]["integrated_loudness"] = -20.0
            write(root, f"{place}/stems/{name}{ending}")
        write(root, f"{place}/MIDI/{name}.mid")
    content = {"UUID": midi_id or place, "audio_dir": "stems", "stems": stems}
    write(root, f"{place}/all_src.mid", f"{place}/mix{ending}")
    (root / place / "metadata.yaml").write_text(yaml.safe_dump(content))


BAND = {"S00": 30, "S01": 128, "S02": 1, "S03": 33, "S04": 52, "S05": 103, "S06": 40}


def test_slakh_has_its_stems_by_class_and_its_splits_by_folder(tmp_path: Path) -> None:
    """The shape of mir-dataset-loaders/mirdata, mirdata/datasets/slakh.py, commit 002cc47.

    There a split is the folder above the track, and groups are ranges of ``program_num``; stems
    without audio, such as sound effects, are listed all the same. ``audio_rendered`` is false in
    tests/resources/mir_datasets/slakh (commit b95bf38) of stems with audio, too.
    """
    for split, number in (("train", 1), ("validation", 1501), ("test", 1876), ("omitted", 49)):
        track(tmp_path, f"{split}/Track{number:05}", BAND, without=["S05"])
    files, left_out = found_in("slakh", tmp_path)
    songs = {file.song_id: file.split for file in files}
    assert songs == {f"{s}/Track{n:05}": s for s, n in
                     (("train", 1), ("validation", 1501), ("test", 1876))}  # fmt: skip
    groups = targets_of(files, "slakh")
    assert [groups[f"train/Track00001/S0{k}"] for k in (0, 1, 2, 3, 4, 6)] == [
        "guitar", "drums", "piano", "bass", "residual", "residual"
    ]  # fmt: skip
    violin = next(file for file in files if file.stem == "S06")
    assert violin.classes == ("strings", "violin")
    assert {row.reason for row in left_out} == {Reason.OMITTED, Reason.MIXTURE}
    assert sum(row.reason is Reason.OMITTED for row in left_out) == 6
    # Nothing is said of MIDI files and metadata, which belong to the data set.
    assert not [row for row in left_out if not row.id.endswith(".flac")]


def test_baby_slakh_is_wav_without_splits_and_has_its_own_mixtures(tmp_path: Path) -> None:
    track(tmp_path, "Track00001", BAND, ending=".wav", without=["S05"])
    files, _ = found_in("slakh", tmp_path)
    assert {(file.song_id, file.split) for file in files} == {("Track00001", "train")}
    mixture = load_layout("slakh").mixture_of(files[0])
    assert mixture is not None
    assert mixture.path == "Track00001/mix.wav"
    dataset = find_dataset(f"slakh:{tmp_path}", None, ["train"])
    assert dataset.taxonomy == "slakh"
    assert dataset.targets == ("piano", "bass", "guitar", "drums", "residual")
    assert dataset.songs[0].mixture is not None
    assert dataset.songs[0].mixture.path == str(tmp_path / "Track00001" / "mix.wav")
    assert not dataset.left_out
    with pytest.raises(UsageError, match="there are 1 of train"):
        find_dataset(f"slakh:{tmp_path}", None, ["test"])


@pytest.mark.parametrize(("name", "split"), [("test", "test"), ("part", "train")])
def test_a_part_of_slakh_is_of_the_split_that_it_is_called(
    tmp_path: Path, name: str, split: str
) -> None:
    track(tmp_path / name, "Track00007")
    assert {file.split for file in find_files("slakh", tmp_path / name)} == {split}
    (alone,) = find_files("slakh", tmp_path / name / "Track00007")
    assert (alone.song_id, alone.path) == ("Track00007", "stems/S00.flac")


# Some groups of duplicates.json with the splits of the original release, and what redux.json does.
DUPLICATES = {
    "c613ddce3ded35d2e8cadf3511a1ffb9": ["train/Track00004", "test/Track01939"],
    "3346642dd3941a11aaccdf1b24ae10aa": ["train/Track00021", "validation/Track01831"],
    "2a6db94a25e4bedfb7ed677567eda713": [
        "train/Track00509", "train/Track01171", "train/Track01295", "validation/Track01638",
        "validation/Track01798", "test/Track02078",
    ],
    "1a81ae092884234f3264e2f45927f00a": ["train/Track00001"],
}  # fmt: skip


def test_the_original_release_gives_the_tracks_of_redux(tmp_path: Path) -> None:
    """ethman/slakh-utils, splits/duplicates.json and splits/redux.json, commit 3f62d6a.

    In these files, of all tracks with one ``midi_md5`` (which is the UUID of ``metadata.yaml``)
    the first is kept and all others have the action ``omit``: 1710 of 2100 tracks stay.
    """
    for midi_id, places in DUPLICATES.items():
        for place in places:
            track(tmp_path, place, midi_id=midi_id)
    files, left_out = found_in("slakh", tmp_path)
    assert [file.song_id for file in files] == sorted(places[0] for places in DUPLICATES.values())
    omitted = {row.id: row.detail for row in left_out if row.reason is Reason.OMITTED}
    assert len(omitted) == 7
    assert omitted["test/Track01939/stems/S00.flac"].endswith(
        "not used: from the same MIDI file as train/Track00004"
    )
    # Nothing stops a part of it in which the first is not.
    shutil.rmtree(tmp_path / "train")
    assert {f.song_id for f in found_in("slakh", tmp_path)[0]} == {
        "validation/Track01831", "validation/Track01638", "test/Track01939"
    }  # fmt: skip


def test_a_track_that_lacks_audio_that_was_mixed_is_left_out(tmp_path: Path) -> None:
    track(tmp_path, "train/Track00001", BAND, without=["S05"])
    track(tmp_path, "train/Track00002", BAND, without=["S05"])
    (tmp_path / "train/Track00002/stems/S03.flac").unlink()
    files, left_out = found_in("slakh", tmp_path)
    assert {file.song_id for file in files} == {"train/Track00001"}
    assert {row.id: row.reason for row in left_out if "Track00002/stems" in row.id} == {
        f"train/Track00002/stems/S0{k}.flac": Reason.MISSING if k == 3 else Reason.INCOMPLETE
        for k in (0, 1, 2, 3, 4, 6)
    }


def test_a_stem_that_baby_slakh_lacks_is_called_as_the_others_are(tmp_path: Path) -> None:
    track(tmp_path, "Track00001", BAND, ending=".wav", without=["S05"])
    (tmp_path / "Track00001" / "stems" / "S03.wav").unlink()
    assert "Track00001/stems/S03.wav: missing" in refusal("slakh", tmp_path)


def test_metadata_that_is_none_of_slakh_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"a/metadata.yaml": "instrument_name: {0: violin}"})
    text = refusal("slakh", tmp_path)
    assert text.startswith(f"{tmp_path / 'a' / 'metadata.yaml'}: not the metadata of a track")
    write(tmp_path, **{"a/metadata.yaml": "stems: {S00: {program_num: x}}"})
    assert "stems.S00.program_num is not a whole number" in refusal("slakh", tmp_path)
    write(tmp_path, **{"a/metadata.yaml": "stems: {../S00: {integrated_loudness: -20}}"})
    assert "'../S00' is no name of a stem, like S00" in refusal("slakh", tmp_path)


def test_tracks_without_a_layout_are_told_how_to_be_named(tmp_path: Path) -> None:
    track(tmp_path, "Track00001")
    with pytest.raises(InvalidCorpus, match=rf"write it: slakh:{tmp_path}, \.\.\."):
        find_sources([str(tmp_path)], tmp_path / "cache")


def test_a_corpus_of_ours_is_the_same_as_a_published_one(corpus: Path, tmp_path: Path) -> None:
    records = Corpus(corpus).stem_records()
    splits = {stem.split for stem in records}
    for split in splits:  # a copy without its manifest, which would say what it is
        shutil.copytree(corpus / split, tmp_path / split)
    files, _ = found_in("slakh", tmp_path)
    assert {(f.path, f.split, f.classes) for f in files} == {
        (s.path, s.split, tuple(dict.fromkeys(map(slug, (s.inst_class, s.rendering_class)))))
        for s in records
    }
    with pytest.raises(InvalidCorpus, match="a corpus, which is written without a layout"):
        find_sources([f"slakh:{corpus}"], tmp_path / "cache")


@pytest.fixture
def flakh(tmp_path: Path, make_noise: Callable[..., Path]) -> Path:
    """Return two tracks whose mixtures have twice the drums, and one whose mixture is short."""
    data = tmp_path / "slakh"
    for number, split in ((1, "test"), (2, "test"), (3, "train")):
        place = f"{split}/Track0000{number}"
        track(data, place, {"S00": 33, "S01": 128}, midi_id=str(number))
        for k in range(2):
            path = data / place / "stems" / f"S0{k}.flac"
            make_noise(path, 2, sample_rate=8000, seed=10 * number + k, level=0.05)
        stems = [soundfile.read(data / place / "stems" / f"S0{k}.flac")[0] for k in range(2)]
        mixture = (stems[0] + 2 * stems[1])[number == 3 :]
        soundfile.write(data / place / "mix.flac", mixture, 8000)
    return data


def test_slakh_is_mixed_and_its_own_mixtures_are_scored(tmp_path: Path, flakh: Path, here) -> None:
    data = flakh
    shutil.rmtree(data / "train")
    done = here("mix", f"slakh:{data}", tmp_path / "m", "--clip", 1, "--mixtures", 4, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "4 coherent mixtures (4 test)" in done.stdout
    rows = pq.read_table(tmp_path / "m" / "mixtures-test-00000.parquet").to_pylist()
    assert {source["group"] for row in rows for source in row["sources"]} == {"bass", "drums"}
    done = here("evaluate", "mixture", f"slakh:{data}", tmp_path / "r", "--bss", "none",
                "--json", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    found = [scores[target]["SI-SDR"]["mean"] for target in ("bass", "drums")]
    # Independent noise of one level: 10 lg of 1/4 and of 4.
    assert found == pytest.approx([-6.02, 6.02], abs=0.2)


def test_coherent_mixtures_of_flakh_are_excerpts_of_its_own(tmp_path: Path, flakh: Path) -> None:
    options: dict[str, Any] = {"clip_s": 1, "n_mixtures": 4}
    mixtures = mix(f"flakh:{flakh}", tmp_path / "own", **options)
    assert mixtures.n_own_mixtures == 4
    for mixture in mixtures:
        recipe = mixture.record
        assert recipe.own_mixture is not None
        assert recipe.own_mixture.path == recipe.sources[0].path.replace("stems/S00", "mix")
        audio = mixture.realise()
        twice = audio["bass"] + 2 * audio["drums"]
        assert np.abs(audio["mixture"] - twice).max() < 1e-4  # of 16 bits
    # A mixture of another length than its stems is no excerpt of theirs.
    rows = {row["id"]: row["reason"] for row in mixtures.rejections.to_pylist()}
    assert rows == {
        "flakh:train/Track00003/mix.flac": Reason.MISMATCH,
        "flakh:train/Track00003/stems/S00.flac": Reason.INCOMPLETE,
        "flakh:train/Track00003/stems/S01.flac": Reason.INCOMPLETE,
    }
    sums = mix(f"slakh:{flakh}", tmp_path / "sums", **options)
    assert not sums.n_own_mixtures
    assert mix(f"flakh:{flakh}", tmp_path / "i", mode="incoherent", **options).n_own_mixtures == 0


# MedleyDB


def medley(root: Path, song: str, stems: Sequence[tuple[object, str]], metadata: str = "") -> None:
    content = {
        "artist": song,
        "stem_dir": f"{song}_STEMS",
        "stems": {
            f"S{k:02}": {
                "component": component,
                "filename": f"{song}_STEM_{k:02}.wav",
                "instrument": instrument,
                "raw": {"R01": {"filename": f"{song}_RAW_{k:02}_01.wav", "instrument": "x"}},
            }
            for k, (instrument, component) in enumerate(stems, 1)
        },
    }
    for k in range(1, len(stems) + 1):
        write(
            root,
            f"{song}/{song}_STEMS/{song}_STEM_{k:02}.wav",
            f"{song}/{song}_RAW/{song}_RAW_{k:02}_01.wav",
        )
    write(root, f"{song}/{song}_MIX.wav")
    folder = root / song if not metadata else root.parent / metadata
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{song}_METADATA.yaml").write_text(yaml.safe_dump(content))


SONG = (
    ("female singer", "melody"), ("acoustic guitar", ""), ("drum set", ""), ("double bass", "bass"),
    ("synthesizer", "bass"), ("synthesizer", ""), ("tack piano", ""), ("violin", ""),
    ("double bass", ""), ("fx/processed sound", ""), (["male singer", "vocalists"], ""),
)  # fmt: skip


@pytest.mark.parametrize("metadata", ["", "Metadata"])
@pytest.mark.parametrize("folder", ["Audio", "V2"])
def test_medleydb_has_stems_by_instrument(tmp_path: Path, folder: str, metadata: str) -> None:
    """marl/medleydb, medleydb/__init__.py, medleydb/multitrack.py and medleydb/data/Metadata.

    All at commit 537bb7b, where audio lies in ``Audio/<song>/<song>_STEMS`` and the metadata in
    the repository; version 1 has them beside its stems (data/Audio at commit b086d8e).
    """
    medley(tmp_path / folder, "LizNelson_Rainfall", SONG, metadata)
    files, left_out = found_in("medleydb", tmp_path)
    assert not left_out  # raw recordings, mixes and metadata are known
    assert {(file.song_id, file.split) for file in files} == {("LizNelson_Rainfall", "train")}
    assert files[0].path.endswith("/LizNelson_Rainfall_STEMS/LizNelson_Rainfall_STEM_01.wav")
    musdb = list(targets_of(files, "musdb").values())
    assert musdb == ["vocals", "other", "drums", "bass", "bass", *["other"] * 5, "vocals"]
    slakh = list(targets_of(files, "slakh").values())
    assert slakh[1:9] == [
        "guitar", "drums", "bass", "bass", "residual", "piano", "residual", "residual"
    ]  # fmt: skip
    pair = list(targets_of(files, "violin-piano").values())
    assert [pair[k] for k in (6, 7)] == ["piano", "violin"]
    assert targets_of(files[8:9], "orchestra") == {"LizNelson_Rainfall/S09": "double-bass"}
    assert load_layout("medleydb").mixture_of(files[0]) is None


def test_medleydb_without_metadata_is_told_where_they_are(tmp_path: Path) -> None:
    medley(tmp_path, "A_B", SONG)
    metadata = tmp_path / "A_B" / "A_B_METADATA.yaml"
    text = metadata.read_text()
    metadata.write_text(text.replace("S01", "../S01"))
    assert "'../S01' is no name of a stem" in refusal("medleydb", tmp_path)
    metadata.write_text("stems: {1: {instrument: violin}}")
    assert "1 is no name of a stem, like S01" in refusal("medleydb", tmp_path)
    metadata.write_text("stems: [1]")
    assert f"{metadata}: not the metadata of a song of MedleyDB" in refusal("medleydb", tmp_path)
    metadata.unlink()
    assert "medleydb/data/Metadata of github.com/marl/medleydb" in refusal("medleydb", tmp_path)


# medleydb/resources/taxonomy.yaml of marl/medleydb at commit 537bb7b, but for "Main System" and
# "Unlabeled", and what the metadata there have besides.
MEDLEYDB_INSTRUMENTS = """\
erhu|violin|viola|cello|double bass|violin section|viola section|cello section|string section
|acoustic guitar|banjo|guzheng|harp|harpsichord|liuqin|mandolin|oud|slide guitar|ukulele|zhongruan
|sitar|dulcimer|yangqin|piano|tack piano|dizi|flute|flute section|piccolo|bamboo flute|panpipes
|recorder|alto saxophone|baritone saxophone|bass clarinet|clarinet|clarinet section
|tenor saxophone|soprano saxophone|oboe|english horn|bassoon|bagpipe|trumpet|cornet|trombone
|french horn|euphonium|tuba|brass section|french horn section|trombone section|horn section
|trumpet section|harmonica|concertina|accordion|bandoneon|harmonium|pipe organ|melodica
|male singer|female singer|male speaker|female speaker|male rapper|female rapper|beatboxing
|vocalists|crowd|triangle|sleigh bells|cowbell|cabasa|high hat|gong|guiro|gu|cymbal|chimes
|castanet|claps|rattle|shaker|maracas|xylophone|vibraphone|marimba|glockenspiel|whistle|timpani
|toms|snare drum|kick drum|bass drum|bongo|conga|tambourine|darbuka|doumbek|tabla
|auxiliary percussion|drum set|clean electric guitar|distorted electric guitar|electric bass
|lap steel guitar|drum machine|electric piano|electronic organ|synthesizer|theremin
|fx/processed sound|scratches|sampler|male screamer|snaps|dilruba|choir|woodwind section"""


def test_instruments_without_a_class_are_those_that_the_docs_list() -> None:
    names = [name.strip() for name in MEDLEYDB_INSTRUMENTS.split("|")]
    alone = [name for name in names if len(instrument_classes(name)) == 1]
    assert sorted(alone) == sorted(
        {
            "erhu", "guzheng", "liuqin", "mandolin", "oud", "ukulele", "zhongruan", "yangqin",
            "dizi", "crowd", "synthesizer", "theremin", "fx/processed sound", "scratches",
            "sampler", "dilruba", "woodwind section",
        }
    )  # fmt: skip
    docs = Path(__file__).resolve().parents[3] / "docs" / "datasets.md"
    listed = docs.read_text("utf-8").replace("\n", " ")
    assert all(name in listed for name in alone)


# MoisesDB


def moises(root: Path, song: str, stems: Mapping[str, Sequence[str]]) -> None:
    content = []
    for stem, kinds in stems.items():
        tracks = [
            {"id": f"{stem}{k}", "trackType": kind, "extension": "wav", "has_bleed": False}
            for k, kind in enumerate(kinds)
        ]
        content.append({"stemName": stem, "tracks": tracks})
        write(root, *(f"{song}/{stem}/{track['id']}.wav" for track in tracks))
    data = {"artist": "A", "song": "B", "stems": content}
    (root / song / "data.json").write_text(json.dumps(data))


def test_moisesdb_has_tracks_by_stem(tmp_path: Path) -> None:
    """moises-ai/moises-db, moisesdb/dataset.py, track.py and defaults.py, commit 1fbc5c7."""
    stems = {
        "vocals": ["lead female singer", "background vocals"],
        "bass": ["tuba (bass of brass)"],
        "percussion": ["a-tonal percussion (claps, shakers, congas, cowbell etc)"],
        "piano": ["electric piano (rhodes, wurlitzer, piano sound alike)"],
        "bowed_strings": ["violin (solo)"],
        "guitar": ["distorted electric guitar"],
    }
    moises(tmp_path / "moisesdb_v0.1", "0f1e", stems)
    files, left_out = found_in("moisesdb", tmp_path)
    assert not left_out
    assert {(file.song_id, file.split) for file in files} == {("moisesdb_v0.1/0f1e", "train")}
    song = "moisesdb_v0.1/0f1e"
    groups = targets_of(files, "musdb")
    assert groups == {  # as its `mix_4_stems`
        f"{song}/vocals-vocals0": "vocals",
        f"{song}/vocals-vocals1": "vocals",
        f"{song}/bass-bass0": "bass",
        f"{song}/percussion-percussion0": "other",
        f"{song}/piano-piano0": "other",
        f"{song}/bowed_strings-bowed_strings0": "other",
        f"{song}/guitar-guitar0": "other",
    }
    slakh = targets_of(files, "slakh")
    assert [slakh[f"{song}/{name}-{name}0"] for name in ("bass", "piano", "guitar")] == [
        "bass", "piano", "guitar"
    ]  # fmt: skip
    pair = targets_of(files, "violin-piano")
    assert pair[f"{song}/bowed_strings-bowed_strings0"] == "violin"
    # The folder of songs itself will do as well.
    inside, _ = found_in("moisesdb", tmp_path / "moisesdb_v0.1")
    assert {file.song_id for file in inside} == {"0f1e"}
    assert [file.stem for file in inside] == [file.stem for file in files]


def test_moisesdb_with_a_list_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    moises(tmp_path, "one", {"bass": ["bass guitar"]})
    path = tmp_path / "one" / "data.json"
    path.write_text(path.read_text().replace('"id": "bass0"', '"id": "../../bass0"'))
    assert f"{path}: bass/../../bass0.wav is no file below its folder" in refusal(
        "moisesdb", tmp_path
    )
    path.write_text('{"stems": [{"stemName": "bass"}]}')
    assert "stems.0.tracks is missing" in refusal("moisesdb", tmp_path)


# URMP, CocoChorales, SynthSOD: the classes of their instruments

CODES = {
    "vn": "violin", "va": "viola", "vc": "cello", "db": "double-bass", "fl": "flute", "ob": "oboe",
    "cl": "clarinet", "sax": "saxophone", "bn": "bassoon", "tpt": "trumpet", "hn": "horn",
    "tbn": "trombone", "tba": "tuba",
}  # fmt: skip


@pytest.mark.parametrize("below", ["", "Dataset/"])
def test_urmp_has_a_file_a_player(tmp_path: Path, below: str) -> None:
    """repertorium/SynthSOD-Baseline, datasets.py (`URMPDataset`), commit 192b861.

    ``AuSep_`` files are the players, ``_vn_`` and so on their instruments. The loader there sums
    them, as we do, and does not read ``AuMix_``.
    """
    piece = f"{below}99_All_{'_'.join(CODES)}"
    players = [f"{piece}/AuSep_{k}_{code}_99_All.wav" for k, code in enumerate(CODES, 1)]
    beside = [f"{piece}/AuMix_99.wav", f"{piece}/Sco_99.mid", f"{piece}/Notes_1_vn_99_All.txt"]
    write(tmp_path, *players, *beside, f"{below}01_Duo_vn_vn/AuSep_1_vn_01_Duo.wav",
          f"{below}01_Duo_vn_vn/AuSep_2_vn_01_Duo.wav")  # fmt: skip
    files, left_out = found_in("urmp", tmp_path)
    assert not left_out
    assert {file.split for file in files} == {"train"}
    by_path = {file.path: file for file in files}
    assert sorted(by_path) == sorted([*players, *(p for p in by_path if "_Duo" in p)])
    orchestra = TAXONOMIES["orchestra"]
    assert [orchestra.target_of(by_path[path].classes) for path in players] == [*CODES.values()]
    assert [file.stem for file in files if "Duo" in file.path] == ["1-violin", "2-violin"]


def test_cocochorales_has_splits_by_folder_or_by_number(tmp_path: Path) -> None:
    """lukewys/chamber-ensemble-generator, data_format.md, commit 4647edb.

    Folders of splits are those of data_download/extract_tars.py, and names of instruments those of
    utils/instrument_utils.py, of the same commit.
    """
    stems = ("0_violin", "1_violin", "2_viola", "3_cello", "4_double bass", "5_horn")
    tracks = {
        "main_dataset/train/string_track000001": "train",
        "main_dataset/valid/brass_track192001": "validation",
        "main_dataset/test/woodwind_track216001": "test",
        "main_dataset/random_track192000": "train",
        "main_dataset/random_track216000": "validation",
        "main_dataset/random_track240000": "test",
    }
    for place in tracks:
        write(tmp_path, *(f"{place}/stems_audio/{stem}.wav" for stem in stems))
        write(tmp_path, f"{place}/metadata.yaml", f"{place}/mix.mid", f"{place}/mix.wav",
              f"{place}/stems_MIDI/0_violin.mid")  # fmt: skip
    files, left_out = found_in("cocochorales", tmp_path)
    assert {file.song_id: file.split for file in files} == tracks
    assert {row.reason for row in left_out} == {Reason.MIXTURE}
    one = [file for file in files if file.song_id.endswith("track000001")]
    assert list(targets_of(one, "orchestra").values()) == [
        "violin", "violin", "viola", "cello", "double-bass", "horn"
    ]  # fmt: skip
    mixture = load_layout("cocochorales").mixture_of(one[0])
    assert mixture is not None
    assert mixture.path == "main_dataset/train/string_track000001/mix.wav"


SYNTHSOD = {
    "Violin_1": "violin", "Violin_2": "violin", "Viola": "viola", "Cello": "cello",
    "Bass": "double-bass", "Flute": "flute", "Piccolo": "flute", "Clarinet": "clarinet",
    "Oboe": "oboe", "coranglais": "oboe", "Bassoon": "bassoon", "Horn": "horn",
    "Trumpet": "trumpet", "Trombone": "trombone", "Tuba": "tuba", "Harp": "harp",
    "Timpani": "timpani", "untunedpercussion": "percussion",
}  # fmt: skip


def test_synthsod_has_its_splits_in_lists(tmp_path: Path) -> None:
    """repertorium/SynthSOD-Baseline, datasets.py (`SynthSODDataset`) and eval.py, commit 192b861.

    Names and joined targets are those of `SynthSODDataset`: both violins, piccolo with flute,
    English horn with oboe.
    """
    for song in ("one", "two", "three", "spare"):
        names = SYNTHSOD if song == "one" else ("Violin_1", "Tuba")
        write(tmp_path, *(f"SynthSOD_data/{song}/Tree/{name}.flac" for name in names))
        write(tmp_path, f"SynthSOD_data/{song}/Close/Tuba.flac")
    files, left_out = found_in("synthsod", tmp_path)
    assert {file.split for file in files} == {"train"}
    assert {row.reason for row in left_out} == {Reason.NO_STEM}
    for name, song in (("train", "one"), ("evaluation", "two"), ("test", "three")):
        content = {"songs": {"7": {"song_name": song, "duration": 12.5}}}
        (tmp_path / f"SynthSOD_metadata_{name}.json").write_text(json.dumps(content))
    files, left_out = found_in("synthsod", tmp_path)
    assert {file.song_id: file.split for file in files} == {
        "one": "train", "two": "validation", "three": "test"
    }  # fmt: skip
    omitted = [row for row in left_out if row.reason is Reason.OMITTED]
    assert {row.id for row in omitted} == {
        "SynthSOD_data/spare/Tree/Tuba.flac", "SynthSOD_data/spare/Tree/Violin_1.flac"
    }  # fmt: skip
    one = [file for file in files if file.song_id == "one"]
    assert targets_of(one, "orchestra") == {f"one/{k}": group for k, group in SYNTHSOD.items()}
    (tmp_path / "SynthSOD_metadata_test.json").write_text("[]")
    assert "SynthSOD_metadata_test.json: not a list of songs" in refusal("synthsod", tmp_path)


# Bach10 Sibelius


def test_bach10_sibelius_has_four_songs_a_piece(tmp_path: Path) -> None:
    """MTG/DeepConvSep, examples/bach10/compute_features_bach10sibelius.py, commit 22d546a.

    Audio is ``<piece>/<piece>_<style>_<source>.wav``; the styles are ``gt``, and ``fast``,
    ``slow`` and ``original``.
    """
    players = ("bassoon", "clarinet", "saxophone", "violin")
    styles = ("fast", "gt", "original", "slow")
    piece = "01-AchGottundHerr"
    paths = [f"{piece}/{piece}_{style}_{player}.wav" for style in styles for player in players]
    write(tmp_path, *paths, f"{piece}/bassoon_g_fast20.txt", f"{piece}/violin_b.txt")
    files, left_out = found_in("bach10-sibelius", tmp_path)
    assert not left_out
    assert [file.path for file in files] == paths
    assert {(file.song_id, file.split) for file in files} == {
        (f"{piece}_{style}", "train") for style in styles
    }
    assert [file.inst_class for file in files] == [*players] * 4
    dataset = find_dataset(f"bach10-sibelius:{tmp_path}", None, ["train"])
    assert (dataset.taxonomy, len(dataset.songs)) == ("bach10", 4)
    (tmp_path / paths[-1]).unlink()
    assert f"{paths[-1]}: missing" in refusal("bach10-sibelius", tmp_path)


@pytest.mark.parametrize("name", ["babyslakh_16k", "slakh2100_flac_redux"])
def test_published_slakh_is_read(shared: Path, name: str) -> None:
    root = shared / "audio" / "babyslakh" / name
    if not root.is_dir():
        pytest.skip("needs Slakh's sample")
    files, _ = found_in("slakh", root)
    groups = list(targets_of(files, "slakh").values())
    assert {group: groups.count(group) for group in dict.fromkeys(groups)} == {
        "guitar": 3, "drums": 1, "piano": 1, "bass": 1, "residual": 4
    }  # fmt: skip
    song = find_dataset(f"slakh:{root}", None, ["train"]).songs[0]
    assert song.mixture is not None
    mixture, _ = soundfile.read(song.mixture.path)
    total = np.sum([soundfile.read(stem.path)[0] for stem in song.stems], axis=0)
    assert np.abs(mixture - total).max() < 1e-3  # each was rounded to 16 bits
