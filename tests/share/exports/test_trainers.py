"""Trainers open exports: each folder is read as the trainer's own code reads it."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import trainers
from exported_files import integers
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Quiet
from stemsmith.mixing.audio.realise import quantised
from stemsmith.mixing.workflow import mix
from stemsmith.share import export_dataset, forecast_export

TARGETS = ("drums", "bass", "other")  # that songs of the corpus have
GROUPS = ("piano", "bass", "guitar", "drums", "residual")
SUBSETS = {"train": "train", "validation": "valid", "test": "test"}
TYPES = ("1", "2", "3", "4", "6", "7")


class Told(Quiet):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def names_of(corpus: Path, split: str) -> set[str]:
    return {path.name for path in corpus.glob(f"{split}/*/")}


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory, make_noise: Any) -> Path:
    """Return a folder of songs of which none has all instruments, and one that has none."""
    root = tmp_path_factory.mktemp("sparse") / "songs"
    songs = {
        "train/Solo": ("flute",),
        "train/Duo, \u201eSo\u201c": ("flute", "violin"),
        "train/Trio": ("violin", "cello", "oboe"),
        "test/End": ("cello", "oboe"),
    }
    for number, (song, instruments) in enumerate(songs.items()):
        for place, name in enumerate(instruments):
            path = root / song / f"{name}.wav"
            make_noise(path, 1.5, 8000, 1, seed=10 * number + place)
    taxonomy = root.parent / "winds.toml"
    taxonomy.write_text(
        "[targets]\n" + "".join(f'{n} = ["{n}"]\n' for n in ("flute", "violin", "cello", "oboe"))
    )
    return root


def exported(sparse: Path, destination: Path, layout: str, **options: Any) -> Path:
    taxonomy = str(sparse.parent / "winds.toml")
    export_dataset(f"folder:{sparse}", destination, layout, taxonomy=taxonomy, **options)
    return destination


def test_openunmix_finds_a_folder_of_each_source(corpus: Path, tmp_path: Path) -> None:
    export_dataset(corpus, tmp_path / "x", "sourcefolder")
    for split, subset in SUBSETS.items():
        found = trainers.openunmix_sources(tmp_path / "x", subset, list(TARGETS), 1.0)
        for paths in found.values():
            assert {path.stem for path in paths} == names_of(corpus, split) != set()
        # No song has vocals, and a mixture would be a source.
        assert {path.name for path in (tmp_path / "x" / subset).iterdir()} == set(TARGETS)
    (song,) = names_of(corpus, "test")
    total = sum(integers(tmp_path / "x" / "test" / name / f"{song}.wav") for name in TARGETS)
    mix = integers(corpus / "test" / song / "mix.flac")
    assert np.array_equal(total, np.repeat(mix, 2, axis=1))


def test_openunmix_draws_from_the_songs_that_have_a_source(sparse: Path, tmp_path: Path) -> None:
    root = exported(sparse, tmp_path / "x", "sourcefolder")
    found = trainers.openunmix_sources(root, "train", ["flute", "violin", "cello"], 1.0)
    assert {name: len(paths) for name, paths in found.items()} == {
        "flute": 2, "violin": 2, "cello": 1,
    }  # fmt: skip
    silent = exported(sparse, tmp_path / "y", "sourcefolder", missing="silence")
    found = trainers.openunmix_sources(silent, "train", ["flute", "violin", "cello"], 1.0)
    assert {len(paths) for paths in found.values()} == {3}


def test_demucs_finds_songs_and_what_it_would_find_out(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "x"
    export_dataset(corpus, root, "demucs")
    cached = trainers.demucs_cached(str(root), root / "metadata")
    sources = [*TARGETS, "vocals"]
    for known, split in zip(cached, ("train", "validation"), strict=True):
        scanned = trainers.demucs_metadata(root / SUBSETS[split], sources)
        assert set(known) == set(scanned) == names_of(corpus, split)
        for song, values in scanned.items():
            assert known[song] == pytest.approx(values, rel=1e-6)
    assert set(trainers.demucs_metadata(root / "test", sources)) == names_of(corpus, "test")


def test_demucs_has_every_source_of_every_song(sparse: Path, tmp_path: Path) -> None:
    root = exported(sparse, tmp_path / "x", "demucs")
    instruments = ["flute", "violin", "cello", "oboe"]
    assert len(trainers.demucs_metadata(root / "train", instruments)) == 3
    for song in root.glob("*/*/mixture.wav"):
        files = [integers(song.with_name(f"{name}.wav")) for name in instruments]
        assert np.array_equal(np.sum(files, axis=0), integers(song))
    with pytest.raises(UsageError, match="--missing: has no effect in the format demucs"):
        exported(sparse, tmp_path / "y", "demucs", missing="skip")


def test_demucs_would_divide_by_silence(sparse: Path, tmp_path: Path) -> None:
    shutil.copytree(sparse.parent, tmp_path / "s")
    silent = tmp_path / "s" / "songs" / "train" / "Solo" / "flute.wav"
    soundfile.write(silent, np.zeros(8000, np.int16), 8000)
    done = export_dataset(f"folder:{silent.parents[2]}", tmp_path / "x", "demucs")
    (rejection,) = done.rejection_records()
    assert (rejection.id, rejection.reason) == ("Solo", "silent")
    assert len(trainers.demucs_metadata(tmp_path / "x" / "train", ["other"])) == 2


@pytest.mark.parametrize("kind", ["1", "4", "6"])
def test_msst_finds_all_sources_of_every_song(corpus: Path, tmp_path: Path, kind: str) -> None:
    export_dataset(corpus, tmp_path / "x", "msst", variant=kind)
    songs = trainers.msst_songs(str(tmp_path / "x" / "train"), list(TARGETS))
    assert {Path(path).name for path in songs} == names_of(corpus, "train")
    for path, (length, found) in songs.items():
        assert found == list(TARGETS)
        (mix,) = corpus.glob(f"train/{Path(path).name}/mix.flac")
        assert length == soundfile.info(mix).frames
        # What types 1 and 4 train on is the sum of the sources.
        assert Path(path, "mixture.wav").exists() == (kind == "6")
        assert not Path(path, "vocals.wav").exists()  # excerpts that are loud enough: it has none


@pytest.mark.parametrize("kind", ["2", "3"])
def test_msst_finds_the_songs_of_every_source(sparse: Path, tmp_path: Path, kind: str) -> None:
    root = exported(sparse, tmp_path / "x", "msst", variant=kind)
    instruments = ["flute", "violin", "cello"]
    if kind == "2":
        found = trainers.msst_of_targets(str(root / "train"), instruments)
        assert not (root / "train.csv").exists()
    else:
        found = trainers.msst_listed(str(root / "train.csv"), instruments)
        with (root / "train.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["instrum", "path"]
        assert len(rows) == 6 and all(Path(path).is_absolute() for _, path in rows)
    assert {name: len(files) for name, files in found.items()} == {
        "flute": 2, "violin": 2, "cello": 1,
    }  # fmt: skip
    assert {length for files in found.values() for _, length in files} == {12000}


def test_msst_draws_rare_sources_as_often_as_others(sparse: Path, tmp_path: Path) -> None:
    root = exported(sparse, tmp_path / "x", "msst", variant="7")
    instruments = ["flute", "violin", "cello", "oboe"]
    balanced = trainers.msst_balanced(str(root / "train"), instruments)
    assert {name: len(songs) for name, songs in balanced.items()} == {"cello": 1, "oboe": 1}
    for song in trainers.msst_songs(str(root / "train"), instruments):
        files = {path.stem: integers(path) for path in Path(song).iterdir()}
        assert np.array_equal(files.pop("mixture"), sum(files.values()))


@pytest.mark.parametrize("kind", TYPES)
def test_msst_validates_on_what_a_song_has(sparse: Path, tmp_path: Path, kind: str) -> None:
    root = exported(sparse, tmp_path / "x", "msst", variant=kind)
    assert not (root / "valid").exists()  # no song of this split
    found = trainers.msst_validation(str(root / "test"), ["flute", "violin", "cello", "oboe"])
    ((mixture, references),) = found.items()
    assert set(references) == {"cello", "oboe"}
    total = sum(integers(path) for path in references.values())
    assert np.array_equal(integers(mixture), total)


def test_msst_trains_on_no_silence_alone(sparse: Path, tmp_path: Path) -> None:
    """A source of test songs only is there, and not among those of training."""
    shutil.copytree(sparse.parent, tmp_path / "s")
    soloist = tmp_path / "s" / "songs" / "train" / "Trio" / "oboe.wav"
    soloist.unlink()
    root = exported(tmp_path / "s" / "songs", tmp_path / "x", "msst", variant="1")
    for path, (_, found) in trainers.msst_songs(
        str(root / "train"), ["flute", "violin", "cello", "oboe"]
    ).items():
        assert found == ["flute", "violin", "cello"], path
    ((_, references),) = trainers.msst_validation(str(root / "test"), ["oboe"]).items()
    assert set(references) == {"oboe"}


def test_msst_needs_some_things_of_its_types(sparse: Path, tmp_path: Path) -> None:
    for kind, missing, wanted in (("1", "skip", "silence"), ("7", "silence", "skip")):
        text = f"--missing {missing}: dataset type {kind} of MSST needs --missing {wanted}"
        with pytest.raises(UsageError, match=text):
            exported(sparse, tmp_path / "x", "msst", variant=kind, missing=missing)
    with pytest.raises(UsageError, match="--variant 5: the format msst has 1, 2, 3, 4, 6, 7"):
        exported(sparse, tmp_path / "x", "msst", variant="5")


def test_a_song_that_has_nothing_of_what_is_wanted_is_left_out(
    sparse: Path, tmp_path: Path
) -> None:
    """MSST takes the least of no lengths where a folder has none of its instruments."""
    for layout, variant in (("sourcefolder", None), ("msst", "7")):
        place = tmp_path / layout
        taxonomy = str(sparse.parent / "winds.toml")
        done = export_dataset(
            f"folder:{sparse}", place, layout, variant=variant, stems=("cello",), taxonomy=taxonomy
        )
        assert {(r.id, r.reason) for r in done.rejection_records()} == {
            ("Solo", "no-target"), ("Duo, \u201eSo\u201c", "no-target"),
        }  # fmt: skip
    assert len(trainers.msst_songs(str(tmp_path / "msst" / "train"), ["cello"])) == 1


@pytest.mark.parametrize("layout", ["sourcefolder", "msst"])
def test_songs_of_two_rates_are_one_rate_or_refused(
    layout: str, sparse: Path, musdb: Path, tmp_path: Path
) -> None:
    sources = [f"musdb:{musdb}", f"folder:{sparse}"]
    text = r"has 44100 Hz and .* 8000 Hz, which trainers read as one rate: give --sample-rate 44100"
    with pytest.raises(UsageError, match=text):
        export_dataset(sources, tmp_path / "x", layout, limit=1)
    export_dataset(sources, tmp_path / "x", layout, limit=1, sample_rate=16000)
    rates = {soundfile.info(path).samplerate for path in (tmp_path / "x").rglob("*.wav")}
    assert rates == {16000}
    export_dataset(sources, tmp_path / "demucs", "demucs", limit=1)  # converts by itself
    rates = {soundfile.info(path).samplerate for path in (tmp_path / "demucs").rglob("*.wav")}
    assert rates == {8000, 44100}


def test_musdb_finds_the_tracks(corpus: Path, tmp_path: Path) -> None:
    export_dataset(corpus, tmp_path / "x", "musdb")
    setup = json.loads((tmp_path / "x" / "mus.yaml").read_text())
    train = trainers.musdb_tracks(tmp_path / "x", "train", setup)
    assert set(train) == names_of(corpus, "train") | names_of(corpus, "validation")
    assert set(trainers.musdb_tracks(tmp_path / "x", "test", setup)) == names_of(corpus, "test")
    assert {frozenset(sources) for sources in train.values()} == {frozenset((*TARGETS, "vocals"))}


@pytest.mark.clients
def test_the_musdb_package_opens_an_export(
    corpus: Path, tmp_path: Path, program: Callable[..., str]
) -> None:
    """It asks for ffmpeg as it is imported."""
    program("ffmpeg")
    musdb = pytest.importorskip("musdb")
    export_dataset(corpus, tmp_path / "x", "musdb")
    for split, subset, part in (
        ("train", "train", "train"), ("validation", "train", "valid"), ("test", "test", None),
    ):  # fmt: skip
        tracks = musdb.DB(
            str(tmp_path / "x"), is_wav=True, setup_file="mus.yaml", subsets=subset, split=part
        )
        assert {track.name for track in tracks} == names_of(corpus, split)
        for track in tracks:
            (mix,) = corpus.glob(f"{split}/{track.name}/mix.flac")
            audio, rate = soundfile.read(mix)
            assert track.rate == rate and track.audio.shape == (len(audio), 2)
            # It reads 16 bits as k / 32768, in double precision.
            assert np.abs(track.audio - audio[:, None]).max() < 1e-4
            total = sum(source.audio for source in track.sources.values())
            assert np.abs(total - track.audio).max() < 1e-4
            assert not track.targets["vocals"].audio.any()
            accompaniment = track.targets["accompaniment"].audio
            assert np.abs(accompaniment - track.audio).max() < 1e-4
    plain = musdb.DB(str(tmp_path / "x"), is_wav=True)  # by its own settings
    assert len(plain) == len(list(corpus.glob("*/*/")))


def test_two_long_names_that_are_one_get_shorter(tmp_path: Path, make_noise: Any) -> None:
    name = "\u00e4" * 127
    for root in ("one", "two"):
        make_noise(tmp_path / root / "train" / name / "bass.wav", 0.5, 8000, 1)
    sources = [f"folder:{tmp_path / root}" for root in ("one", "two")]
    for layout in ("demucs", "sourcefolder"):
        done = export_dataset(sources, tmp_path / layout, layout)
        assert not done.rejection_records()
    assert len(list((tmp_path / "demucs").rglob("bass.wav"))) == 2
    assert len(list((tmp_path / "sourcefolder").rglob("*.wav"))) == 2


@pytest.mark.parametrize("layout", ["musdb", "sourcefolder", "demucs", "msst"])
def test_mixtures_and_renditions_are_songs(layout: str, mixtures: Path, tmp_path: Path) -> None:
    renditions = Path(__file__).parents[2] / "data" / "0.1" / "renditions"
    for number, source in enumerate((mixtures / "recipes", renditions)):
        place = tmp_path / str(number)
        taxonomy = "bach10" if source == renditions else None
        options = {"variant": "6"} if layout == "msst" else {}
        done = export_dataset(source, place, layout, limit=1, taxonomy=taxonomy, **options)
        files = list(place.rglob("*.wav"))
        assert files and not done.rejection_records()
        assert {soundfile.info(path).channels for path in files} == {2}
        for mixture in place.rglob("mixture.wav"):
            parts = [integers(path) for path in mixture.parent.iterdir() if path != mixture]
            assert np.array_equal(integers(mixture), sum(parts)) and integers(mixture).any()


def test_a_full_disk_ends_the_command_and_the_song_is_made_again(
    sparse: Path, tmp_path: Path, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import wavfile

    write, n_left = wavfile.write, 5

    def filling(file: Any, rate: int, data: Any) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            file.write(b"RIFF")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, rate, data)

    command = ("export", f"folder:{sparse}", tmp_path / "x", "--format", "demucs", "--jobs", 0)
    with monkeypatch.context() as patch:
        patch.setattr(wavfile, "write", filling)
        done = here(*command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {tmp_path / 'x'}") and done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
    done = here(*command)
    assert done.returncode == 0, done.stderr
    sums = (tmp_path / "x" / "SHA256SUMS").read_text().splitlines()
    for line in sums:
        digest, place = line.split("  ", 1)
        assert hashlib.sha256((tmp_path / "x" / place).read_bytes()).hexdigest() == digest
    assert len([line for line in sums if line.endswith(".wav")]) == 4 * 5


HOSTILE = (
    "CON",
    "a:b?",
    "x. ",
    "x" * 255,
    "Fl\u00f6te \U0001f3b5",
    "semi;colon,comma",
    "[ab]*",
)


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("musdb", {}),
        ("sourcefolder", {}),
        ("demucs", {}),
        *(("msst", {"variant": kind}) for kind in "123"),
    ],
)
def test_names_that_are_hard_for_files_are_tried(
    layout: str, options: Any, tmp_path: Path, make_noise: Any
) -> None:
    for number, name in enumerate(HOSTILE):
        for stem in ("bass", "drums"):
            path = tmp_path / "songs" / "train" / name / f"{stem}.wav"
            make_noise(path, 0.5, 8000, 1, seed=number)
    done = export_dataset(f"folder:{tmp_path / 'songs'}", tmp_path / "x", layout, **options)
    assert not done.rejection_records()
    files = [path for path in (tmp_path / "x").rglob("*") if path.is_file()]
    for path in files:
        for part in path.relative_to(tmp_path / "x").parts:
            assert not part.startswith(".") and not re.search(r'[<>:"|?*\\]', part)
    forecast = forecast_export(f"folder:{tmp_path / 'songs'}", layout, **options)
    assert set(forecast.paths) <= {p.relative_to(tmp_path / "x").as_posix() for p in files}
    train, instruments = str(tmp_path / "x" / "train"), ["bass", "drums"]
    if layout == "msst" and options["variant"] in "23":
        data = f"{tmp_path / 'x'}/train.csv" if options["variant"] == "3" else train
        read = trainers.msst_listed if options["variant"] == "3" else trainers.msst_of_targets
        assert {len(paths) for paths in read(data, instruments).values()} == {len(HOSTILE)}
    elif layout == "msst":
        assert len(trainers.msst_songs(train, instruments)) == len(HOSTILE)
    elif layout == "sourcefolder":
        found = trainers.openunmix_sources(tmp_path / "x", "train", instruments, 0.1)
        assert {len(paths) for paths in found.values()} == {len(HOSTILE)}
    else:
        assert len(trainers.demucs_metadata(tmp_path / "x" / "train", instruments)) == len(HOSTILE)


def test_a_corpus_rendered_as_a_whole_keeps_its_mixtures(unsplit: Path, tmp_path: Path) -> None:
    told = Told()
    export_dataset(unsplit, tmp_path / "musdb", "musdb", progress=told)
    assert not any("sums of the stems" in text for text in told.warnings)
    corpus = Corpus(unsplit)
    for song in corpus.song_records():
        subset = "test" if song.split == "test" else "train"
        mixture = integers(tmp_path / "musdb" / subset / song.track / "mixture.wav")
        np.testing.assert_array_equal(mixture[:, 0], integers(unsplit / song.mix_path)[:, 0])
    recipes = mix(unsplit, tmp_path / "m", n_mixtures=3, clip_s=1, min_rms_dbfs=-60)
    export_dataset(recipes.root, tmp_path / "clips", "musdb", progress=told)
    assert not any("sums of the stems" in text for text in told.warnings)
    for one in recipes:
        subset = "test" if one.record.split == "test" else "train"
        path = tmp_path / "clips" / subset / one.record.mixture_id / "mixture.wav"
        expected = quantised(one.realise())["mixture"]
        np.testing.assert_array_equal(integers(path)[:, 0], expected[0])


@pytest.mark.parametrize(("layout", "n_unheard"), [("sourcefolder", 1), ("demucs", 0)])
def test_formats_without_mixtures_say_that_trainers_hear_sums(
    unsplit: Path, tmp_path: Path, layout: str, n_unheard: int
) -> None:
    told = Told()
    export_dataset(unsplit, tmp_path / "x", layout, progress=told)
    said = [text for text in told.warnings if "trainers hear the sums of the stems" in text]
    assert len(said) == n_unheard
    assert all(f"{tmp_path / 'x'}: 1 songs have" in text for text in said)
