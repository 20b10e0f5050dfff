"""`stemsmith mix` as a user runs it: bytes, audio shards, options, nonsense."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shutil
import subprocess
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset
from stemsmith.manifests import shards
from stemsmith.manifests.audio import flac
from stemsmith.manifests.mixtures import Mixture

SHORT = ("--clip", 1, "--mixtures", 8)  # of training: 12 of the songs of `corpus`
SLAKH = ("piano", "bass", "guitar", "drums", "residual")


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.rstrip("\n").split("\n")
    assert lines[-1].startswith("Error: "), done.stderr
    assert len(lines) == 1 or lines[0].startswith("Usage: "), done.stderr
    for text in texts:
        assert text in lines[-1], (text, done.stderr)


def recipes_of(folder: Path) -> list[Mixture]:
    return shards.read_records(sorted(folder.glob("mixtures-*.parquet")), Mixture)


def samples_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the samples of all audio shards by key, as the webdataset package reads them."""
    found = {}
    for path in sorted(folder.glob("audio-*.tar")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # webdataset closes no file
            samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
        for sample in samples:
            assert sample["__key__"] not in found
            found[sample["__key__"]] = {k: v for k, v in sample.items() if k[:2] != "__"}
    return found


def decode(data: bytes, dtype: str) -> tuple[np.ndarray, int]:
    audio, sample_rate = soundfile.read(io.BytesIO(data), dtype=dtype, always_2d=True)
    return audio.T, sample_rate


@pytest.fixture(scope="module")
def audio_set(corpus: Path, tmp_path_factory: pytest.TempPathFactory, here) -> Path:
    """Return mixtures with audio, made beside the corpus in another process; read only."""
    folder = corpus.parent / "audio-set"
    done = here("mix", corpus, folder, *SHORT, "--audio", "--stems", "all", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("n_jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_same_bytes_for_any_number_of_workers(
    audio_set: Path, corpus: Path, tmp_path: Path, here, n_jobs: int
) -> None:
    folder = corpus.parent / f"jobs{n_jobs}"
    done = here("mix", corpus, folder, *SHORT, "--audio", "--stems", "all", "--jobs", n_jobs)
    assert done.returncode == 0, done.stderr
    assert tree(folder) == tree(audio_set)


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "incoherent", "--pairing", "correlation", "--augment", "gain", "--audio"),
        pytest.param(
            ("--augment", "shift", "--augment", "remix", "--audio", "--sample-rate", 16000),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["paired", "augmented"],
)
def test_same_bytes_of_other_kinds_with_and_without_workers(
    corpus: Path, tmp_path: Path, stemsmith, here, options
) -> None:
    (tmp_path / "c").symlink_to(corpus)  # a link beside the mixtures is not where the corpus is
    for n_jobs, run in ((0, here), (1, stemsmith)):
        done = run("mix", tmp_path / "c", tmp_path / f"m{n_jobs}", *SHORT, *options,
                   "--min-rms", -50, "--jobs", n_jobs)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "m0") == tree(tmp_path / "m1")


def test_same_bytes_for_a_corpus_copied_elsewhere(
    audio_set: Path, corpus: Path, tmp_path: Path, here
) -> None:
    shutil.copytree(corpus, tmp_path / "far" / corpus.name)
    folder = tmp_path / "far" / audio_set.name
    done = here(
        "mix", tmp_path / "far" / corpus.name, folder, *SHORT, "--audio", "--stems", "all",
        "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tree(folder) == tree(audio_set)
    assert shards.read_manifest(folder, "mixtures")["roots"] == {"corpus": f"../{corpus.name}"}
    (tmp_path / "far").rename(tmp_path / "moved")
    done = here("validate", tmp_path / "moved" / audio_set.name, "--jobs", 0)
    assert done.returncode == 0, done.stderr


def test_same_bytes_for_sources_in_another_order(
    corpus: Path, musdb: Path, tmp_path: Path, here
) -> None:
    sources = [corpus, f"musdb:{musdb}"]
    for name, given in (("one", sources), ("two", sources[::-1])):
        done = here("mix", *given, tmp_path / name, *SHORT, "--taxonomy", "musdb", "--jobs", 0)
        assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_same_bytes_for_options_in_another_order(corpus: Path, tmp_path: Path, here) -> None:
    options = (("--split", "train"), ("--split", "test"), ("--augment", "gain,polarity"))
    again = (("--augment", "polarity"), ("--split", "test"), ("--augment", "gain"),
             ("--split", "train"), ("--split", "test"))  # fmt: skip
    for name, given in (("one", options), ("two", again)):
        done = here("mix", corpus, tmp_path / name, *SHORT, *sum(given, ()), "--jobs", 0)
        assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_another_seed_makes_other_mixtures(audio_set: Path, corpus: Path, here) -> None:
    folder = corpus.parent / "seed1"
    assert here("mix", corpus, folder, *SHORT, "--seed", 1, "--jobs", 0).returncode == 0
    ours = [[(s.stem_id, s.start) for s in m.sources] for m in recipes_of(folder)]
    theirs = [[(s.stem_id, s.start) for s in m.sources] for m in recipes_of(audio_set)]
    assert len(ours) == len(theirs)
    assert ours != theirs


def test_a_folder_holds_what_its_manifest_lists_and_nothing_else(
    audio_set: Path, corpus: Path
) -> None:
    header = shards.read_manifest(audio_set, "mixtures")
    listed = [entry["file"] for entry in header["shards"] + header["audio_shards"]]
    assert set(tree(audio_set)) == {"manifest.json", *listed}
    assert [path for path in audio_set.iterdir() if path.is_dir()] == []
    assert sum(header["n_mixtures"].values()) == len(recipes_of(audio_set)) == 12
    text = (audio_set / "manifest.json").read_text()
    assert str(corpus.parent) not in text, "the manifest moves with the folder"


def test_recipes_name_stems_of_their_split(audio_set: Path, corpus: Path) -> None:
    for mixture in recipes_of(audio_set):
        assert (mixture.sample_rate, mixture.n_samples, mixture.n_channels) == (44100, 44100, 1)
        assert len({source.song_id for source in mixture.sources}) == 1
        for source in mixture.sources:
            assert source.path.startswith(f"{mixture.split}/")
            assert (corpus / source.path).is_file()


def test_the_manifest_names_the_library_that_wrote_its_flac(
    audio_set: Path, corpus: Path, tmp_path: Path, here
) -> None:
    assert (
        shards.read_manifest(audio_set, "mixtures")["versions"]["libflac"]
        == flac.encoder_version()["libflac"]
    )
    assert here("mix", corpus, tmp_path / "recipes", *SHORT, "--jobs", 0).returncode == 0
    assert "libflac" not in shards.read_manifest(tmp_path / "recipes", "mixtures")["versions"]


def test_audio_shards_are_read_by_webdataset(audio_set: Path) -> None:
    recipes = {mixture.mixture_id: mixture for mixture in recipes_of(audio_set)}
    samples = samples_of(audio_set)
    assert list(samples) == sorted(recipes)
    for key, sample in samples.items():
        assert set(sample) == {"json", "mixture.flac", *(f"{name}.flac" for name in SLAKH)}
        described = json.loads(sample["json"])
        gains_db, guard_db = described.pop("gains_db"), described.pop("guard_gain_db")
        recipe = dataclasses.asdict(recipes[key])
        assert recipe.pop("own_mixture") is None  # and then JSON does not have it
        assert described == json.loads(json.dumps(recipe))
        assert set(gains_db) == {source.stem_id for source in recipes[key].sources}
        assert guard_db <= 0


def test_the_mixture_is_the_exact_integer_sum_of_all_targets(audio_set: Path) -> None:
    for sample in samples_of(audio_set).values():
        mixture, sample_rate = decode(sample["mixture.flac"], "int16")
        assert (mixture.shape, sample_rate) == ((1, 44100), 44100)
        total = sum(decode(sample[f"{name}.flac"], "int16")[0].astype(int) for name in SLAKH)
        assert np.array_equal(mixture, total)
        assert 0 < np.abs(mixture.astype(int)).max() <= 32768 * 10 ** (-1 / 20)


def test_without_libflac_a_warning_is_given_once_and_only_for_flac(
    corpus: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flac, "_libflac", lambda: None)
    for name, options, n_warnings in (
        ("recipes", (), 0),
        ("wav", ("--audio", "--audio-format", "wav"), 0),
        ("flac", ("--audio",), 1),
    ):
        done = here("mix", corpus, tmp_path / name, *SHORT, *options, "--jobs", 0)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("libsndfile") == n_warnings
        versions = shards.read_manifest(tmp_path / name, "mixtures")["versions"]
        assert ("libsndfile" in versions) == bool(n_warnings)


def test_coherent_audio_is_what_lies_on_disk(audio_set: Path, corpus: Path) -> None:
    samples = samples_of(audio_set)
    for mixture in recipes_of(audio_set):
        described = json.loads(samples[mixture.mixture_id]["json"])
        for name in SLAKH:
            total = np.zeros(mixture.n_samples)
            for source in mixture.sources:
                if source.group == name:
                    stop = source.start + source.n_read
                    total += soundfile.read(corpus / source.path, start=source.start, stop=stop)[0]
            audio = decode(samples[mixture.mixture_id][f"{name}.flac"], "float64")[0][0]
            expected = total * 10 ** (described["guard_gain_db"] / 20)
            assert np.abs(audio - expected).max() < 0.51 / 32768 + 1e-6


def listed(tar: bytes) -> list[str]:
    """Return names of files as the format's own rules find them (POSIX.1-1988, ustar)."""
    names, at = [], 0
    while any(header := tar[at : at + 512]):
        name, size, checksum = header[:100], int(header[124:135], 8), int(header[148:154], 8)
        assert checksum == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
        assert header[156:157] == b"0" and header[257:263] == b"ustar\0"
        names.append(name.rstrip(b"\0").decode())
        at += 512 + -(-size // 512) * 512
    assert not any(tar[at:]) and len(tar) - at >= 1024 and len(tar) % 512 == 0
    return names


def test_a_tar_says_nothing_of_who_made_it_and_when(audio_set: Path) -> None:
    for path in audio_set.glob("audio-*.tar"):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        names = [member.name for member in members]
        assert listed(path.read_bytes()) == names == sorted(names)
        split = path.name.split("-")[1]
        assert all(name.startswith(f"{split}-") for name in names)
        for member in members:
            assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
            assert (member.uname, member.gname, member.mode) == ("", "", 0o644)
            assert member.isfile()


def test_wav_has_float_samples_and_stems_of_choice(corpus: Path, tmp_path: Path, here) -> None:
    done = here("mix", corpus, tmp_path / "m", *SHORT, "--audio", "--audio-format", "wav",
                "--stems", "drums,piano", "--channels", 2, "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for key, sample in samples_of(tmp_path / "m").items():
        assert set(sample) == {"json", "mixture.wav", "drums.wav", "piano.wav"}
        info = soundfile.info(io.BytesIO(sample["mixture.wav"]))
        assert (info.subtype, info.channels, info.frames) == ("FLOAT", 2, 44100), key
        audio = decode(sample["mixture.wav"], "float32")[0]
        assert np.array_equal(audio[0], audio[1]), "mono stems"
        assert 0 < np.abs(audio).max() <= 10 ** (-1 / 20)
    with tarfile.open(tmp_path / "m" / "audio-train-00000.tar") as tar:
        assert tar.getnames() == sorted(tar.getnames())


def test_the_target_alone_is_written_if_there_is_one(corpus: Path, tmp_path: Path, here) -> None:
    done = here("mix", corpus, tmp_path / "m", *SHORT, "--audio", "--target", "bass", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    for sample in samples_of(tmp_path / "m").values():
        assert set(sample) == {"json", "mixture.flac", "bass.flac"}
        audio = decode(sample["bass.flac"], "float64")[0]
        assert 10 * math.log10(np.mean(audio**2)) > -30 - 10  # present before the guard gain
    for mixture in recipes_of(tmp_path / "m"):
        roles = {source.group: source.role for source in mixture.sources}
        assert roles.pop("bass") == "target"
        assert set(roles.values()) == {"interference"}


def test_shards_are_cut_and_numbered(corpus: Path, tmp_path: Path, here) -> None:
    done = here("mix", corpus, tmp_path / "m", "--mixtures", 300, "--clip", 0.4, "--split",
                     "train", "--audio", "--stems", "bass", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [f"train-{k:05d}" for k in (0, 1)]
    assert sorted(tree(tmp_path / "m")) == [
        *(f"audio-{name}.tar" for name in names),
        "manifest.json",
        *(f"mixtures-{name}.parquet" for name in names),
    ]
    assert list(samples_of(tmp_path / "m")) == [f"train-{k:08d}" for k in range(300)]
    for k, name in enumerate(names):
        rows = shards.read_records(tmp_path / "m" / f"mixtures-{name}.parquet", Mixture)
        with tarfile.open(tmp_path / "m" / f"audio-{name}.tar") as tar:
            keys = list(dict.fromkeys(n.split(".")[0] for n in tar.getnames()))
        assert [row.mixture_id for row in rows] == keys
        assert len(keys) == (256, 44)[k]


def test_hours_are_those_of_training_and_others_have_their_share(
    corpus: Path, tmp_path: Path, here
) -> None:
    done = here("mix", corpus, tmp_path / "m", "--hours", 0.01, "--clip", 2, "--jobs", 0, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    n_songs = {p.name: len(list(p.glob("Track*"))) for p in corpus.iterdir() if p.is_dir()}
    assert summary["n_mixtures"]["train"] == 18
    assert summary["n_mixtures"] == {
        s: math.floor(18 * n / n_songs["train"] + 0.5) for s, n in n_songs.items() if n
    }
    assert summary["hours"] == round(sum(summary["n_mixtures"].values()) * 2 / 3600, 6)
    assert (summary["sample_rate"], summary["n_audio_shards"]) == (44100, 0)
    assert summary["n_shards"] == len(summary["n_mixtures"])
    assert summary["mixtures"] == str(tmp_path / "m")


def test_options_from_a_file_and_flags_that_win(corpus: Path, tmp_path: Path, here) -> None:
    config = tmp_path / "mix.toml"
    config.write_text(
        'mixtures = 6\nclip = 1\nchannels = 2\naudio = true\nstems = ["bass", "drums"]\n'
        'augment = ["gain", "polarity"]\nsplit = ["train", "test"]\njobs = 0\nseed = 5\n'
    )
    done = here("mix", corpus, tmp_path / "m", "--config", config, "--seed", 6)
    assert done.returncode == 0, done.stderr
    header = shards.read_manifest(tmp_path / "m", "mixtures")
    assert header["audio"] == {"format": "flac", "targets": ["bass", "drums"]}
    found = {key: header["config"][key] for key in ("augment", "splits", "n_channels", "seed")}
    assert found == {
        "augment": ["gain", "polarity"],
        "splits": ["test", "train"],
        "n_channels": 2,
        "seed": 6,
    }
    assert set(header["n_mixtures"]) <= {"train", "test"}
    config.write_text("mixture = 6\n")
    done = here("mix", corpus, tmp_path / "n", "--config", config)
    assert_one_line_error(done, 2, "mix.toml: unknown key 'mixture'", "mixtures")


def test_warnings_and_quiet(corpus: Path, tmp_path: Path, here) -> None:
    options = ("--mixtures", 60, "--clip", 8, "--min-rms", -60, "--jobs", 0)
    done = here("mix", corpus, tmp_path / "loud", *options)
    assert done.returncode == 0, done.stderr
    assert "different clips" in done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    done = here("mix", corpus, tmp_path / "quiet", *options, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert tree(tmp_path / "quiet") != {}


@pytest.mark.parametrize(
    ("options", "code", "texts"),
    [
        (("--target", "kazoo"), 2, ("--target kazoo", "piano")),
        (("--target", "vocals", "--taxonomy", "musdb"), 1, ("vocals", "bass, drums, other")),
        (("--overlay", "vocals", "--taxonomy", "musdb"), 1, ("vocals", "bass, drums, other")),
        (("--overlay", "kazoo"), 2, ("--overlay kazoo", "piano")),
        (("--overlay", "piano", "--target", "piano"), 2, ("--overlay",)),
        (("--taxonomy", "nosuch"), 2, ("nosuch", "slakh")),
        (("--augment", "echo"), 2, ("--augment echo", "polarity")),
        (("--augment", "silence"), 2, ("silence", "coherent")),
        (("--augment", "shift", "--mode", "incoherent"), 2, ("shift", "incoherent")),
        (("--augment", "shift,shift-padded"), 2, ("shift",)),
        (("--pairing", "chroma"), 2, ("--pairing chroma", "incoherent")),
        (("--pairing", "x", "--mode", "incoherent"), 2, ("--pairing",)),
        (("--split", "dev"), 2, ("--split dev", "validation")),
        (("--stems", "kazoo", "--audio"), 2, ("--stems kazoo", "piano")),
        (("--stems", "", "--audio"), 2, ("--stems",)),
        (("--audio-format", "mp3"), 2, ("--audio-format",)),
        (("--taxonomy", "bach10"), 1, ("no stem", "taxonomy")),
        (("--taxonomy", "bach10", "--mode", "incoherent"), 1, ("no stem", "taxonomy")),
        (("--clip", "60"), 1, ("--clip 60", "8.5 s")),
        (("--clip", "7200"), 1, ("--clip 7200", "8.5 s")),
        (("--min-rms", "0"), 1, ("--min-rms",)),
        (("--mode", "incoherent", "--target", "bass", "--min-rms", "0"), 1, ("--min-rms",)),
        (("--clip", "0.25"), 2, ("--clip 0.25",)),
        (("--clip", "0.3"), 2, ("--clip 0.3",)),
        (("--clip", "0"), 2, ("--clip 0",)),
        (("--clip", "-1"), 2, ("--clip -1",)),
        (("--clip", "nan"), 2, ("--clip nan",)),
        (("--clip", "inf"), 2, ("--clip inf",)),
        (("--clip", "1e300"), 2, ("--clip 1e+300",)),
        (("--mixtures", "0"), 2, ("--mixtures",)),
        (("--mixtures", "-4"), 2, ("--mixtures",)),
        (("--mixtures", "4.5"), 2, ("--mixtures",)),
        (("--mixtures", "1000000000000"), 2, ("--mixtures",)),
        (("--hours", "1"), 2, ("--mixtures", "--hours")),
        (("--sample-rate", "16001"), 2, ("--sample-rate",)),
        (("--sample-rate", "0"), 2, ("--sample-rate",)),
        (("--sample-rate", "-44100"), 2, ("--sample-rate",)),
        (("--sample-rate", "1000000"), 2, ("--sample-rate",)),
        (("--min-rms", "nan"), 2, ("--min-rms",)),
        (("--min-rms", "inf"), 2, ("--min-rms",)),
        (("--min-rms", "1e308"), 2, ("--min-rms",)),
        (("--peak-ceiling", "3"), 2, ("--peak-ceiling",)),
        (("--peak-ceiling", "nan"), 2, ("--peak-ceiling",)),
        (("--peak-ceiling", "-90"), 2, ("--peak-ceiling",)),
        (("--target-lufs", "nan"), 2, ("--target-lufs",)),
        (("--target-lufs", "1e9"), 2, ("--target-lufs",)),
        (("--target-lufs", "-200"), 2, ("--target-lufs",)),
        (("--pairing-threshold", "nan"), 2, ("--pairing-threshold",)),
        (("--channels", "3"), 2, ("--channels",)),
        (("--seed", "x"), 2, ("--seed",)),
        (("--jobs", "-1"), 2, ("--jobs",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_makes_no_sense_is_one_line(
    corpus: Path, tmp_path: Path, here, options, code, texts
) -> None:
    given = (*SHORT, "--jobs", 0)
    done = here("mix", corpus, tmp_path / "m", *given, *options)
    assert_one_line_error(done, code, *texts)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "0", "1e308", "1e300", "1e-9"])
def test_hours_that_make_no_sense(corpus: Path, tmp_path: Path, here, hours: str) -> None:
    done = here("mix", corpus, tmp_path / "m", "--hours", hours, "--clip", 1, "--jobs", 0)
    assert_one_line_error(done, 2, "--hours")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "text",
    ["clip = nan\n", 'mixtures = "many"\n', "mode = 1\n", 'stems = []\n', "clip = \n",
     'augment = [["gain"]]\n', "target = {a = 1}\n"],
)  # fmt: skip
def test_configurations_that_make_no_sense(corpus: Path, tmp_path: Path, here, text) -> None:
    (tmp_path / "mix.toml").write_text(text)
    done = here("mix", corpus, tmp_path / "m", "--config", tmp_path / "mix.toml", "--jobs", 0)
    assert_one_line_error(done, 2)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[targets\n", "not valid TOML"),
        ("[groups]\na = ['piano']\n", "[targets]"),
        ("[targets]\n'My Piano' = ['piano']\n", "My Piano"),
        ("[targets]\nmixture = ['piano']\n", "mixture"),
        ("[targets]\npiano = 'piano'\n", "[targets]"),
    ],
)
def test_taxonomy_files_that_are_none(corpus: Path, tmp_path: Path, here, text, message) -> None:
    (tmp_path / "own.toml").write_text(text)
    done = here("mix", corpus, tmp_path / "m", "--taxonomy", tmp_path / "own.toml", "--jobs", 0)
    assert_one_line_error(done, 2, "own.toml", message)


def test_an_own_taxonomy(corpus: Path, tmp_path: Path, here) -> None:
    (tmp_path / "own.toml").write_text('[targets]\nrhythm = ["Drums", "Bass"]\nkeys = ["piano"]\n')
    done = here("mix", corpus, tmp_path / "m", *SHORT, "--taxonomy", tmp_path / "own.toml",
                "--audio", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for sample in samples_of(tmp_path / "m").values():
        assert set(sample) == {"json", "mixture.flac", "rhythm.flac", "keys.flac"}
    groups = [sorted(s.group for s in m.sources) for m in recipes_of(tmp_path / "m")]
    assert groups == [["keys", "rhythm", "rhythm"]] * 12


def test_a_missing_argument(corpus: Path, here) -> None:
    for arguments in ((), (corpus,)):
        assert_one_line_error(here("mix", *arguments), 2, "Missing argument")


def test_a_list_of_stems_opens_in_other_tools(audio_set: Path, tmp_path: Path) -> None:
    """Recipes are plain Parquet: another reader sees the same numbers."""
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(audio_set / "mixtures-train-00000.parquet")
    flat = table.drop_columns(["sources", "own_mixture"])  # records have no place in a cell
    pyarrow.csv.write_csv(flat, tmp_path / "flat.csv")
    with (tmp_path / "flat.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    recipes = [m for m in recipes_of(audio_set) if m.split == "train"]
    assert [row["mixture_id"] for row in rows] == [m.mixture_id for m in recipes]
    assert [len(cell) for cell in table["sources"]] == [len(m.sources) for m in recipes]


@pytest.mark.parametrize(
    "places", [("{}/violin/a", "{}/piano/a"), ("{}/One {}/violin", "{}/One {}/piano")]
)
@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_folders_of_solos_and_of_songs_in_any_ending(
    tmp_path: Path, make_noise, here, places: tuple[str, str], mode: str
) -> None:
    is_songs = "One" in places[0]
    endings = {"TRAIN": ".ogg", "val": ".aiff", "Test": ".mp3"}
    for number, (split, ending) in enumerate(endings.items()):
        for k, place in enumerate(places):
            noise = make_noise(tmp_path / "raw.wav", 3, 22050, 1, 10 * number + k)
            audio, rate = soundfile.read(noise)
            path = tmp_path / "data" / f"{place.format(split, split)}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, rate)
    done = here("mix", f"folder:{tmp_path / 'data'}", tmp_path / "m", *SHORT, "--mode", mode,
                "--taxonomy", "violin-piano", "--audio", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    recipes = recipes_of(tmp_path / "m")
    assert {m.split for m in recipes} == {"train", "validation", "test"}
    for mixture in recipes:
        groups = sorted(source.group for source in mixture.sources)
        assert len(set(groups)) == len(groups)
        if is_songs or mode == "incoherent":
            assert groups == ["piano", "violin"]
        assert all(s.path.endswith(endings[s.path.split("/")[0]]) for s in mixture.sources)
    assert len(samples_of(tmp_path / "m")) == 3 * 8
    done = here("validate", tmp_path / "m", "--jobs", 0)
    assert done.returncode == 0, done.stderr
