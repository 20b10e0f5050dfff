"""`stemsmith evaluate`: scores that are known, systems, folds, bad input, kills."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate import workflow
from stemsmith.evaluate.benchmark.datasets import find_dataset, folds_of
from stemsmith.evaluate.benchmark.destination import ResultsDestination
from stemsmith.evaluate.benchmark.options import EvaluationConfig
from stemsmith.evaluate.benchmark.plan import EvaluationRequest, plan_evaluation
from stemsmith.evaluate.benchmark.results import Results, SongScore
from stemsmith.evaluate.benchmark.score_song import ScoringJob, score_song
from stemsmith.evaluate.benchmark.systems import EstimateFolder, parse_system, system_of
from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import Reason

RATE = 8000
N_SAMPLES = 2 * RATE
STEMS = ("vocals", "drums", "bass")
SONGS = ("One", "Three", "Two")
DB = {"One": 3.0, "Two": 10.0, "Three": -4.0}  # SI-SDR of estimates
NO_BSS = ("--bss", "none", "--jobs", 0)
SHORT = ("--si-sdr-rate", RATE, *NO_BSS)


def write(path: Path, audio: Float64s, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return path


def stem(song: str, name: str) -> Float64s:
    rng = np.random.default_rng([SONGS.index(song), STEMS.index(name)])
    return 0.1 * rng.standard_normal(N_SAMPLES)


def with_noise(reference: Float64s, snr_db: float) -> Float64s:
    """Add noise that is orthogonal to a reference in each of its two seconds."""
    noise = np.random.default_rng(9).standard_normal((2, RATE))
    halves = reference.reshape(2, RATE)
    energy = np.square(halves).sum(axis=1, keepdims=True)
    noise -= (noise * halves).sum(axis=1, keepdims=True) / energy * halves
    noise *= np.sqrt(energy / np.square(noise).sum(axis=1, keepdims=True)) * 10 ** (-snr_db / 20)
    return reference + noise.ravel()


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three songs of three stems, mono, 2 s at 8 kHz; Three has no bass, Two a silent one."""
    root = tmp_path_factory.mktemp("songs")
    for song in SONGS:
        for name in STEMS:
            if (song, name) != ("Three", "bass"):
                is_silent = (song, name) == ("Two", "bass")
                write(root / song / f"{name}.wav", stem(song, name) * (not is_silent))
    return root


@pytest.fixture
def estimates(tmp_path: Path) -> Path:
    """Estimates of all songs with noise: SI-SDR and SDR are `DB`."""
    root = tmp_path / "estimates"
    for song in SONGS:
        for name in STEMS:
            write(root / song / f"{name}.wav", with_noise(stem(song, name), DB[song]))
    return root


def scores_of(results: Path) -> dict[tuple[str, str, int | None, str], float]:
    scores = Results(results).score_records()
    return {(s.song, s.target, s.frame, s.metric): s.value for s in scores}


def rejections_of(results: Path) -> dict[str, tuple[str, str]]:
    records = Results(results).rejection_records()
    return {r.id: (str(r.reason), r.detail) for r in records}


def summary_of(results: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((results / "summary.json").read_bytes())
    return content


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


def test_scores_of_estimates_with_known_noise(
    songs: Path, estimates: Path, tmp_path: Path, here
) -> None:
    system, dataset, results = f"estimates:{estimates}", f"folder:{songs}", tmp_path / "r"
    done = here("evaluate", system, dataset, results, "--si-sdr-rate", RATE, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    scores = scores_of(results)
    for song in SONGS:
        for name in STEMS:
            value = scores[song, name, None, "SI-SDR"]
            if name == "bass" and song != "One":  # silent, or not there at all
                assert math.isnan(value)
                assert math.isnan(scores[song, name, None, "SDR"])
                assert (song, name, 0, "SDR") not in scores
            else:
                assert value == pytest.approx(DB[song], abs=1e-4)
                # The estimate is not scaled, so that SDR is the same, in each frame.
                for frame in range(2):
                    assert scores[song, name, frame, "SDR"] == pytest.approx(DB[song], abs=1e-4)
                assert (song, name, 2, "SDR") not in scores
    found = summary_of(results)["scores"]
    assert list(found) == ["vocals", "drums", "bass"]
    assert list(found["bass"]) == ["SI-SDR", "SDR", "SIR", "SAR", "ISR"]
    for metric in ("SI-SDR", "SDR"):
        assert found["drums"][metric]["mean"] == pytest.approx(3, abs=1e-4)
        assert found["drums"][metric]["median"] == pytest.approx(3, abs=1e-4)
        assert (found["drums"][metric]["n"], found["drums"][metric]["n_left_out"]) == (3, 0)
        assert (found["bass"][metric]["n"], found["bass"][metric]["n_left_out"]) == (1, 2)
    assert "| 3.00 [-4.00, 10.00] |" in (results / "summary.md").read_text()
    assert "| 3.00 [-4.00, 10.00] |" in done.stdout


def test_results_may_be_named_from_where_one_is(
    songs: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With frames of BSS Eval, a relative path once ended in a traceback."""
    monkeypatch.chdir(tmp_path)
    options = ("--si-sdr-rate", RATE, "--target", "drums", "--jobs", 0)
    for results in ("r", tmp_path / "s"):
        done = here("evaluate", "mixture", f"folder:{songs}", results, *options)
        assert done.returncode == 0, done.stderr
    assert here("validate", "r").returncode == 0
    assert tree(tmp_path / "r") == tree(tmp_path / "s")


def test_museval_reads_what_is_written(
    songs: Path, estimates: Path, tmp_path: Path, here, museval: ModuleType
) -> None:
    results = tmp_path / "r"
    done = here("evaluate", f"estimates:{estimates}", f"folder:{songs}", results, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    store = museval.EvalStore()
    store.add_eval_dir(results / "museval")
    medians = store.agg_frames_tracks_scores()
    found = summary_of(results)["scores"]
    for target in STEMS:
        for metric in ("SDR", "SIR", "SAR", "ISR"):
            expected = found[target][metric]["median"]
            assert medians[target, metric] == pytest.approx(expected, abs=1e-5)


def test_musevals_engine_gives_the_same(songs: Path, estimates: Path, tmp_path: Path, here) -> None:
    command = ("evaluate", f"estimates:{estimates}", f"folder:{songs}")
    window = ("--window", 1, "--hop", 0.5, "--jobs", 0)
    assert here(*command, tmp_path / "ours", *window).returncode == 0
    done = here(*command, tmp_path / "museval", *window, "--engine", "museval")
    assert done.returncode == 0, done.stderr
    ours, theirs = scores_of(tmp_path / "ours"), scores_of(tmp_path / "museval")
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert theirs[key] == pytest.approx(value, abs=1e-5, nan_ok=True)
    done = here(*command, tmp_path / "x", "--engine", "museval", "--target", "bass")
    assert_one_line_error(done, 2, "--engine museval", "vocals, drums, bass")


def test_one_target_is_scored_against_all_sources(
    songs: Path, estimates: Path, tmp_path: Path, here
) -> None:
    command = ("evaluate", f"estimates:{estimates}", f"folder:{songs}")
    assert here(*command, tmp_path / "all", "--jobs", 0).returncode == 0
    assert here(*command, tmp_path / "one", "--target", "drums", "--jobs", 0).returncode == 0
    one = scores_of(tmp_path / "one")
    assert {target for _, target, _, _ in one} == {"drums"}
    every = scores_of(tmp_path / "all")
    for key, value in one.items():  # no estimate is silent in any frame
        assert value == pytest.approx(every[key], abs=1e-6)


def test_a_target_that_is_in_no_song_but_one(songs: Path, tmp_path: Path, here) -> None:
    for system in ("mixture", "oracle:irm"):
        results = tmp_path / system.replace(":", "-")
        command = ("evaluate", system, f"folder:{songs}", results, "--target", "bass")
        assert here(*command, "--jobs", 0).returncode == 0
        found = summary_of(results)["scores"]["bass"]
        assert list(found) == ["SI-SDR", "SDR", "SIR", "SAR", "ISR"]
        assert {(s["n"], s["n_left_out"]) for s in found.values()} == {(1, 2)}


@pytest.mark.parametrize("system", ["mixture", "oracle:irm", "estimates:{}"])
def test_bss_eval_of_mono_audio(tmp_path: Path, here, system: str) -> None:
    """The scores of stereo audio with --mono are those of its downmix."""
    for kind, seed in (("songs", 0), ("estimates", 1)):
        for number, name in enumerate(STEMS):
            audio = 0.1 * np.random.default_rng([seed, number]).standard_normal((N_SAMPLES, 2))
            audio += 0.1 * np.random.default_rng([9, number]).standard_normal((N_SAMPLES, 1))
            audio = audio.astype(np.float32)
            write(tmp_path / kind / "One" / f"{name}.wav", audio)
            write(tmp_path / f"{kind}-mono" / "One" / f"{name}.wav", audio.mean(axis=1))
    scores = []
    for ending, extra in (("", ["--mono"]), ("-mono", [])):
        results, estimates = tmp_path / f"r{ending}", tmp_path / f"estimates{ending}"
        command = ("evaluate", system.format(estimates), f"folder:{tmp_path / f'songs{ending}'}")
        done = here(*command, results, "--si-sdr-rate", RATE, "--jobs", 0, *extra)
        assert done.returncode == 0, done.stderr
        scores.append(scores_of(results))
    assert scores[0].keys() == scores[1].keys()
    for key, value in scores[0].items():  # the mixture has no artifacts: a SAR of rounding errors
        assert min(scores[1][key], 120) == pytest.approx(min(value, 120), abs=1e-4)
    assert "SDR [dB], BSS Eval v4, mono, 1 s" in (tmp_path / "r" / "summary.md").read_text()


def test_a_song_of_musdb_that_lacks_a_stem_is_left_out(
    tmp_path: Path, make_musdb: Callable[..., Path], here
) -> None:
    root = make_musdb(tmp_path / "hq", sample_rate=RATE)
    (root / "train" / "B - Two" / "bass.wav").unlink()
    command = ("evaluate", "mixture", f"musdb:{root}", tmp_path / "r", *SHORT, "--split", "train")
    done = here(*command)
    assert done.returncode == 0, done.stderr
    ((song, (reason, detail)),) = rejections_of(tmp_path / "r").items()
    assert (song, reason) == ("B - Two", "missing")
    assert "B - Two/bass.wav: missing" in detail
    assert {song for song, *_ in scores_of(tmp_path / "r")} == {"A - One"}
    assert_one_line_error(here("mix", f"musdb:{root}", tmp_path / "m"), 1, "bass.wav: missing")


def test_the_mixture_as_it_is(songs: Path, tmp_path: Path, here) -> None:
    done = here("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", *SHORT, "--json")
    assert done.returncode == 0, done.stderr
    values = scores_of(tmp_path / "r")
    for song in SONGS:
        drums, vocals = stem(song, "drums"), stem(song, "vocals")
        mixture = drums + vocals + (stem(song, "bass") if song == "One" else 0)
        part = (mixture @ drums) / (drums @ drums) * drums
        expected = 10 * np.log10(part @ part / np.square(mixture - part).sum())
        assert values[song, "drums", None, "SI-SDR"] == pytest.approx(expected, abs=1e-4)
    printed = json.loads(done.stdout)
    assert printed["n_scored"] == 3
    assert printed["scores"] == summary_of(tmp_path / "r")["scores"]
    assert not list((tmp_path / "r").rglob("*.json.tmp"))


def test_estimates_are_summed_to_targets(songs: Path, tmp_path: Path, here) -> None:
    """Chiu et al. 2020, section V-A: all of Spleeter's stems but the piano are the violin."""
    root = tmp_path / "estimates" / "test"  # as museval writes them
    for song in SONGS:
        half = 0.5 * with_noise(stem(song, "drums"), DB[song])
        write(root / song / "snare.flac.wav", half)
        write(root / song / "kick.wav", half)
        write(root / song / "piano.wav", half)
    (root.parent / "notes").mkdir()
    command = ("evaluate", f"estimates:{root.parent}", f"folder:{songs}", tmp_path / "r", *SHORT)
    assert_one_line_error(here(*command), 2, "has kick, piano, snare.flac", "no estimate of vocals")
    done = here(*command, "--map", "drums=kick+snare.flac")
    assert done.returncode == 0, done.stderr
    assert "estimates of piano belong to no target" in done.stderr
    for (song, target, _, _), value in scores_of(tmp_path / "r").items():
        assert target == "drums"
        assert value == pytest.approx(DB[song], abs=1e-4)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_row_of_spleeter(tmp_path: Path, here, n_channels: int) -> None:
    """Chiu et al. 2020, Table II: whole mono songs, and what is no piano is the violin.

    Spleeter writes two channels for a mixture of one.
    """
    spleeter = ("vocals", "drums", "bass", "other")
    for song in ("One", "Two"):
        write(tmp_path / "songs" / song / "violin.wav", stem(song, "vocals"))
        write(tmp_path / "songs" / song / "piano.wav", stem(song, "drums"))
        piano = with_noise(stem(song, "drums"), DB[song])
        violin = with_noise(stem(song, "vocals"), DB[song])
        for name, part in (("piano", piano), *((name, violin / 4) for name in spleeter)):
            audio = part[:, None] * ([[0.5, 1.5]] if n_channels == 2 else [[1.0]])
            write(tmp_path / "spleeter" / song / f"{name}.wav", audio)
    results = tmp_path / "r"
    command = (
        "evaluate", f"estimates:{tmp_path / 'spleeter'}", f"folder:{tmp_path / 'songs'}", results,
        "--taxonomy", "violin-piano", "--map", f"violin={'+'.join(spleeter)}", "--mono",
        "--window", "song", "--source-sdr", "--si-sdr-rate", RATE, "--jobs", 0,
    )  # fmt: skip
    done = here(*command)
    assert done.returncode == 0, done.stderr
    values = scores_of(results)
    for song in ("One", "Two"):
        for target in ("violin", "piano"):
            assert values[song, target, None, "SI-SDR"] == pytest.approx(DB[song], abs=1e-4)
            assert values[song, target, 0, "SDR"] == pytest.approx(DB[song], abs=1e-4)
            # Filters of the source explain a little of the noise.
            assert DB[song] < values[song, target, 0, "source-SDR"] < DB[song] + 1
    assert Results(results).song_values["violin", "SDR"]["One"] == pytest.approx(3, abs=1e-4)
    found = summary_of(results)
    assert found["metrics"]["bss"]["window_s"] == found["metrics"]["bss"]["hop_s"] == "song"
    table = (results / "summary.md").read_text()
    assert "**source-SDR [dB], BSS Eval v4, mono, whole songs: median over songs**" in table
    assert "all windows" not in table
    assert here("validate", results).returncode == 0
    assert here("compare", results, "--metric", "source-SDR").returncode == 0


def test_mono_song_s_estimates_have_one_channel_unless_their_mean_is_asked_for(
    songs: Path, tmp_path: Path, here
) -> None:
    for song in SONGS:
        for name in STEMS:
            pair = np.stack([0.5 * stem(song, name), 1.5 * stem(song, name)], axis=1)
            write(tmp_path / "stereo" / song / f"{name}.wav", pair)
    command = ("evaluate", f"estimates:{tmp_path / 'stereo'}", f"folder:{songs}")
    done = here(*command, tmp_path / "a", *SHORT)
    assert_one_line_error(done, 1, "none of 3 songs", "1 channel")
    assert here(*command, tmp_path / "b", *SHORT, "--mono").returncode == 0
    assert scores_of(tmp_path / "b")["One", "drums", None, "SI-SDR"] > 100
    done = here(*command, tmp_path / "b", *SHORT)  # another question, whose answer differs
    assert done.returncode == 2, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Two runs of networks that have learned nothing, for bass and drums."""
    torch = pytest.importorskip("torch")
    from stemsmith.train import run as trained
    from stemsmith.train.checkpoints import AtomicCheckpointIO
    from stemsmith.train.destination import RunDestination
    from stemsmith.train.models.architectures.blstm import BLSTMConfig
    from stemsmith.train.models.registry import make_model

    folders = []
    for name in ("bass", "drums"):
        config = BLSTMConfig(
            targets=(name,), sample_rate=RATE, n_fft=128, hop=32, n_layers=1, n_units=4
        )
        torch.manual_seed(0)
        model = make_model("blstm", config).state_dict()
        folder = RunDestination(tmp_path_factory.mktemp("runs") / name)
        folder.checkpoints.mkdir(parents=True)
        weights = {f"model.{key}": value for key, value in model.items()}
        AtomicCheckpointIO().save_checkpoint(
            {"state_dict": weights}, folder.checkpoint(trained.BEST)
        )
        content = {"model": "blstm", "settings": dataclasses.asdict(config)}
        text = json.dumps({"version": trained.VERSION, "config": content})
        (folder.root / "run.json").write_text(text)
        folders.append(folder.root)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other where a core is busy
    yield folders
    torch.set_num_threads(n_threads)


def test_runs_are_scored_as_what_they_separate(
    songs: Path, runs: list[Path], tmp_path: Path, here
) -> None:
    from stemsmith.evaluate.separation.separator import Separator

    system, results = ",".join(f"run:{run}" for run in runs), tmp_path / "r"
    done = here("evaluate", system, f"folder:{songs}", results, *SHORT)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in results.iterdir()) == [
        "manifest.json", "rejections.parquet", "scores.parquet", "summary.json", "summary.md",
        "times.parquet",
    ]  # fmt: skip
    times = Results(results).times
    assert [(time.song, time.duration_s) for time in times] == [(song, 2.0) for song in SONGS]
    assert all(time.separation_s > 0 for time in times)
    assert "separated in " in done.stdout and "of its duration" in done.stdout
    assert here("validate", results).returncode == 0
    (results / "times.parquet").unlink()  # no part of what is the same each time
    assert here("validate", results).returncode == 0
    assert Results(results).times == []
    scores = scores_of(results)
    assert {target for _, target, _, _ in scores} == {"bass", "drums"}
    separator = Separator.of_runs(runs)
    estimates = tmp_path / "estimates"
    for song in SONGS:
        names = STEMS if song == "One" else STEMS[:2]
        mixture = np.sum([stem(song, name).astype(np.float32) for name in names], axis=0)
        for name, audio in separator.separate(mixture[None], RATE).items():
            write(estimates / song / f"{name}.wav", audio.T)
    done = here("evaluate", f"estimates:{estimates}", f"folder:{songs}", tmp_path / "e", *SHORT)
    assert done.returncode == 0, done.stderr
    for key, value in scores_of(tmp_path / "e").items():
        assert value == pytest.approx(scores[key], abs=1e-3, nan_ok=True)


def test_runs_that_do_not_fit_are_refused(
    songs: Path, runs: list[Path], tmp_path: Path, here
) -> None:
    dataset = f"folder:{songs}"
    done = here("evaluate", f"run:{runs[0]}", dataset, tmp_path / "r", "--target", "vocals")
    assert_one_line_error(done, 2, "has bass, which is no estimate of vocals")
    done = here("evaluate", f"run:{tmp_path}", dataset, tmp_path / "r")
    assert_one_line_error(done, 1, "run.json")
    done = here("evaluate", f"run:{runs[0]},run:{runs[0]}", dataset, tmp_path / "r")
    assert_one_line_error(done, 2, "given twice")


@pytest.mark.slow
def test_runs_separate_ahead_of_workers(
    songs: Path, runs: list[Path], tmp_path: Path, here
) -> None:
    damaged = tmp_path / "songs"
    shutil.copytree(songs, damaged)
    (damaged / "Two" / "drums.wav").write_bytes(b"")
    command = ("evaluate", f"run:{runs[1]}", f"folder:{damaged}")
    scores = []
    for n_jobs in (0, 2):
        results = tmp_path / f"r{n_jobs}"
        done = here(*command, results, "--si-sdr-rate", RATE, "--jobs", n_jobs)
        assert done.returncode == 0, done.stderr
        assert rejections_of(results).keys() == {"Two"}
        assert not (results / ".evaluate").exists()
        scores.append(scores_of(results))
    assert scores[0].keys() == scores[1].keys()
    for key, value in scores[0].items():
        assert scores[1][key] == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_folds_have_systems_of_their_own(songs: Path, tmp_path: Path, here) -> None:
    folds = folds_of(SONGS, 2)
    for song, fold in folds.items():
        for name in ("vocals", "drums"):
            reference = stem(song, name)
            write(tmp_path / f"e{fold}" / song / f"{name}.wav", with_noise(reference, DB[song]))
            other = tmp_path / f"e{3 - fold}" / song / f"{name}.wav"
            write(other, with_noise(reference, 90))  # trained on it
    command = ("evaluate", f"estimates:{tmp_path}/e{{fold}}", f"folder:{songs}", tmp_path / "r")
    assert_one_line_error(here(*command), 2, "{fold} stands for the number of a fold")
    done = here(*command, *SHORT, "--folds", 2)
    assert done.returncode == 0, done.stderr
    found = summary_of(tmp_path / "r")
    assert found["folds"] == folds
    of_fold = [np.mean([DB[s] for s, fold in folds.items() if fold == k]) for k in (1, 2)]
    assert found["scores"]["drums"]["SI-SDR"]["mean"] == pytest.approx(np.mean(of_fold), abs=1e-4)
    assert "mean over 2 folds" in (tmp_path / "r" / "summary.md").read_text()
    done = here("evaluate", "mixture", f"folder:{songs}", tmp_path / "m", *SHORT, "--folds", 4)
    assert_one_line_error(done, 2, "--folds 4: from 2 to 3")


def test_estimates_in_one_folder_are_named_by_a_pattern(
    songs: Path, estimates: Path, tmp_path: Path, here
) -> None:
    """The same files, flat: the same scores, and every other file is named."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for song in SONGS:
        for name in STEMS:
            (estimates / song / f"{name}.wav").rename(flat / f"{song}_(my_{name})_v2.wav")
    write(flat / "Four_(my_bass)_v2.wav", np.ones(9))
    command = ("evaluate", f"estimates:{flat}", f"folder:{songs}")
    pattern = ("--pattern", "{song}_(my_{target})_v2.wav", *SHORT)
    done = here(*command, tmp_path / "r", *pattern)
    assert done.returncode == 0, done.stderr
    scores = scores_of(tmp_path / "r")
    for song in SONGS:
        assert scores[song, "drums", None, "SI-SDR"] == pytest.approx(DB[song], abs=1e-4)
    assert rejections_of(tmp_path / "r") == {
        "estimates:Four_(my_bass)_v2.wav": (
            "no-stem",
            f"{flat}/Four_(my_bass)_v2.wav: fits no song by its name",
        )
    }
    assert here("validate", tmp_path / "r").returncode == 0
    (flat / "Two_(my_drums)_v2.wav").unlink()
    assert here(*command, tmp_path / "s", *pattern).returncode == 0
    reason, detail = rejections_of(tmp_path / "s")["Two"]
    assert (reason, detail) == ("no-estimate", f"{flat}: no Two_(my_drums)_v2.wav")
    assert_one_line_error(here(*command, tmp_path / "t", *SHORT), 2, "--pattern '{song}_{target}")
    done = here(*command, tmp_path / "t", "--pattern", "{target}/{song}.wav", *SHORT)
    assert_one_line_error(done, 2, "no estimates: expected {target}/{song}.wav of a song")


def test_a_file_of_a_pattern_is_of_the_longest_song_that_it_fits(tmp_path: Path) -> None:
    for name in ("A_B_vocals.wav", "A_vocals.wav", "A_B_c_d.wav"):
        write(tmp_path / name, np.ones(9))
    folder = EstimateFolder(tmp_path, "{song}_{target}.wav", ["A", "A_B", "C"])
    assert folder.names == ("c_d", "vocals")
    assert folder.find("A_B", "vocals") == tmp_path / "A_B_vocals.wav"
    assert folder.find("A", "vocals") == tmp_path / "A_vocals.wav"
    assert folder.find("C", "vocals") is None
    other = EstimateFolder(tmp_path, "{target}_{song}.wav", ["vocals", "c_d", "d"])
    assert other.find("vocals", "A_B") == tmp_path / "A_B_vocals.wav"
    assert other.find("c_d", "A_B") == tmp_path / "A_B_c_d.wav"
    assert other.find("d", "A_B_c") is None


def test_a_pattern_without_an_ending_is_of_any_audio(tmp_path: Path) -> None:
    """MSST writes FLAC, and WAV where that would clip."""
    for name in ("A.b_bass.flac", "A.b_vocals.wav", "A.b_notes.txt"):
        (tmp_path / name).touch()
    folder = EstimateFolder(tmp_path, "{song}_{target}", ["A.b"])
    assert folder.names == ("bass", "vocals")
    assert folder.find("A.b", "bass") == tmp_path / "A.b_bass.flac"
    (tmp_path / "A.b_bass.wav").touch()
    with pytest.raises(InvalidCorpus, match="the same estimate as"):
        EstimateFolder(tmp_path, "{song}_{target}", ["A.b"])


def test_vocals_and_accompaniment_are_targets(tmp_path: Path, make_musdb, here) -> None:
    """As most public separators are scored on MUSDB18."""
    root = make_musdb(tmp_path / "hq", sample_rate=RATE)
    command = ("evaluate", "mixture", f"musdb:{root}", tmp_path / "r", *SHORT, "--split", "train")
    assert here(*command, "--taxonomy", "vocals-accompaniment").returncode == 0
    scores = scores_of(tmp_path / "r")
    assert {target for _, target, _, _ in scores} == {"vocals", "accompaniment"}
    song = root / "train" / "A - One"
    stems = {p.stem: soundfile.read(p, always_2d=True)[0].mean(axis=1) for p in song.glob("*.wav")}
    rest = stems["drums"] + stems["bass"] + stems["other"]
    part = (stems["mixture"] @ rest) / (rest @ rest) * rest
    expected = 10 * np.log10(part @ part / np.square(stems["mixture"] - part).sum())
    found = scores["A - One", "accompaniment", None, "SI-SDR"]
    assert found == pytest.approx(expected, abs=1e-3)


Break = Callable[[Path], object]
BROKEN: list[tuple[Break, str, str]] = [
    (lambda p: write(p, np.ones(N_SAMPLES - 1)), "mismatch", "15999 samples at 8000 Hz, 1 channel"),
    (lambda p: write(p, np.ones(N_SAMPLES), 16000), "mismatch", "at 16000 Hz"),
    (lambda p: write(p, np.ones((N_SAMPLES, 2))), "mismatch", "2 channels"),
    (lambda p: write(p, np.full(N_SAMPLES, np.nan)), "not-finite", "not finite"),
    (lambda p: write(p, np.full(N_SAMPLES, np.inf)), "not-finite", "not finite"),
    (lambda p: write(p, np.full(N_SAMPLES, 3e38)), "not-finite", "1e+12 and more"),
    (lambda p: p.write_bytes(b"RIFF"), "damaged", "cannot be decoded"),
    (lambda p: p.unlink(), "no-estimate", "no drums.wav or .flac"),
    (lambda p: shutil.rmtree(p.parent), "no-estimate", "no vocals.wav or .flac"),
]


@pytest.mark.parametrize(("damage", "reason", "text"), BROKEN, ids=[b[2] for b in BROKEN])
def test_a_broken_estimate_is_left_out_and_the_rest_is_scored(
    songs: Path, estimates: Path, tmp_path: Path, here, damage: Break, reason: str, text: str
) -> None:
    damage(estimates / "Two" / "drums.wav")
    done = here("evaluate", f"estimates:{estimates}", f"folder:{songs}", tmp_path / "r", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "1 left out" in done.stdout
    ((song, (found, detail)),) = rejections_of(tmp_path / "r").items()
    assert (song, found) == ("Two", reason)
    assert text in detail
    assert str(estimates / "Two") in detail
    assert {song for song, *_ in scores_of(tmp_path / "r")} == {"One", "Three"}


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (["magic", "folder:{songs}"], 2, ["magic: unknown system; known: mixture, oracle:ibm|irm"]),
        (["oracle:psf", "folder:{songs}"], 2, ["oracle:psf: unknown system"]),
        (["run:", "folder:{songs}"], 2, ["run:: unknown system"]),
        (["estimates:{tmp}/no", "folder:{songs}"], 2, ["/no: not a folder of estimates"]),
        (["estimates:{tmp}", "folder:{songs}"], 2, ["no estimates: expected <song>/<target>.wav"]),
        (["mixture", "folder:{tmp}"], 1, ["no songs"]),
        (["mixture", "{songs}"], 1, ["holds audio files; say in which layout: folder:"]),
        (["mixture", "folder:{songs}", "--split", "train"], 2, ["no songs of split train", "3 of"]),
        (["mixture", "folder:{songs}", "--target", "kazoo"], 2, ["--target kazoo: no song of"]),
        (["mixture", "folder:{songs}", "--map", "bass=a+b"], 2, ["--map: only with run:"]),
        (["mixture", "folder:{songs}", "--map", "bass"], 2, ["write TARGET=NAME+NAME"]),
        (["mixture", "folder:{songs}", "--map", "kazoo=a"], 2, ["no target 'kazoo'"]),
        (["mixture", "folder:{songs}", "--window", "0"], 2, ["--window 0"]),
        (["mixture", "folder:{songs}", "--hop", "nan"], 2, ["--hop nan"]),
        (
            ["mixture", "folder:{songs}", "--engine", "museval", "--silence", "own"],
            2,
            ["--silence own"],
        ),
        (["mixture", "folder:{songs}", "--pattern", "{{song}}_{{target}}"], 2, ["only with estim"]),
        (["mixture", "folder:{songs}", "--pattern", "{{song}}.wav"], 2, ["name {song} and {targ"]),
        (["mixture", "folder:{songs}", "--pattern", "{{song}}{{target}}"], 2, ["between"]),
        (
            ["mixture", "folder:{songs}", "--pattern", "{{song}}/{{target}}{{x}}"],
            2,
            ["no other br"],
        ),
        (["mixture", "folder:{songs}", "--pattern", "../{{song}}/{{target}}"], 2, ["no .. in it"]),
        (["mixture", "folder:{songs}", "--residual"], 2, ["--residual: only with run:"]),
        (["mixture", "folder:{songs}", "--device", "cpu"], 2, ["--device cpu: only with run:"]),
        (["mixture", "folder:{songs}", "--window", "all"], 2, ["write seconds, or song"]),
        (["mixture", "folder:{songs}", "--window", "song", "--hop", "1"], 2, ["--hop: --window s"]),
        (["mixture", "folder:{songs}", "--bss", "none", "--window", "30"], 2, ["--window: is of"]),
        (
            ["mixture", "folder:{songs}", "--bss", "none", "--source-sdr"],
            2,
            ["--source-sdr: is of"],
        ),
        (
            ["mixture", "folder:{songs}", "--engine", "museval", "--source-sdr"],
            2,
            ["--source-sdr: only with --engine stemsmith"],
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    songs: Path, tmp_path: Path, here, arguments: list[str], code: int, texts: list[str]
) -> None:
    system, dataset, *rest = (text.format(songs=songs, tmp=tmp_path) for text in arguments)
    done = here("evaluate", system, dataset, tmp_path / "r", *rest)
    assert_one_line_error(done, code, *texts)
    assert not (tmp_path / "r").exists()


def test_results_of_something_else_are_not_touched(songs: Path, tmp_path: Path, here) -> None:
    command = ("evaluate", "mixture", f"folder:{songs}")
    assert here(*command, tmp_path / "r", *SHORT).returncode == 0
    before = tree(tmp_path / "r")
    assert here(*command, tmp_path / "r", *SHORT).returncode == 0  # nothing to do
    done = here("evaluate", "oracle:irm", f"folder:{songs}", tmp_path / "r", *SHORT)
    assert_one_line_error(done, 2, "was made with other arguments")
    done = here(*command, tmp_path / "r", *SHORT, "--label", "another name")
    assert_one_line_error(done, 2, "was made with other arguments")
    assert tree(tmp_path / "r") == before
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").touch()
    assert_one_line_error(here(*command, tmp_path / "x"), 2, "not empty and no evaluation folder")
    assert_one_line_error(here(*command, songs / "r"), 2, "lies in the data set")


def test_museval_does_not_see_songs_whose_worker_died(songs: Path, tmp_path: Path) -> None:
    found = find_dataset(f"folder:{songs}", None, ("test",))
    request = EvaluationRequest(found, parse_system("mixture"), EvaluationConfig(bss="none"))
    plan = plan_evaluation(request, tmp_path / "r")
    destination = ResultsDestination(tmp_path / "r", plan)
    with destination.opened():
        for job in destination.open_jobs():
            if job.song.name == "Two":
                Path(job.frames).parent.mkdir(parents=True)
                Path(job.frames).write_text("{}")  # killed after this
                destination.reject(job, Reason.WORKER_DIED, "killed the process that scored it")
            else:
                score_song(job)
        destination.close()
    assert not (tmp_path / "r" / "museval" / "test" / "Two.json").exists()
    assert rejections_of(tmp_path / "r")["Two"][0] == "worker-died"


Damage = Callable[[Path], object]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def rewrite(folder: Path, change: Callable[[list[SongScore]], list[SongScore]]) -> None:
    """Change the scores and make the manifest agree with them."""
    path = folder / "scores.parquet"
    shards.write_records(path, SongScore, change(shards.read_records(path, SongScore)))
    header = json.loads((folder / "manifest.json").read_text())
    header["shards"][0] = shards.shard_entry(path)
    (folder / "manifest.json").write_text(json.dumps(header))


DAMAGE: list[tuple[Damage, str]] = [
    (lambda f: flip(f / "scores.parquet"), "scores.parquet: SHA-256"),
    (lambda f: (f / "rejections.parquet").unlink(), "rejections.parquet: shard is missing"),
    (lambda f: flip(f / "summary.json"), "summary.json: SHA-256"),
    (lambda f: (f / "summary.md").unlink(), "summary.md: missing"),
    (lambda f: flip(f / "museval" / "test" / "One.json"), "One.json: SHA-256"),
    (lambda f: (f / "museval" / "test" / "Four.json").touch(), "Four.json: not in manifest.json"),
    (lambda f: (f / ".evaluate").mkdir(), ".evaluate: left by a run"),
    (lambda f: rewrite(f, lambda s: [x for x in s if x.song != "One"]), "has 1 songs, not as"),
    (lambda f: rewrite(f, lambda s: s[1:]), "not one SI-SDR a song and target"),
]


def test_results_are_validated(songs: Path, estimates: Path, tmp_path: Path, here) -> None:
    results = tmp_path / "r"
    (estimates / "Two" / "drums.wav").unlink()
    command = ("evaluate", f"estimates:{estimates}", f"folder:{songs}", results)
    assert here(*command, "--si-sdr-rate", RATE, "--jobs", 0).returncode == 0
    done = here("validate", results, "--json")
    assert done.returncode == 0, done.stderr
    n_scores = len(scores_of(results))
    assert json.loads(done.stdout) == {
        "results": str(results), "n_songs": 2, "n_scores": n_scores, "n_rejections": 1
    }  # fmt: skip
    for number, (damage, text) in enumerate(DAMAGE):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(results, copy)
        damage(copy)
        assert_one_line_error(here("validate", copy), 1, text, str(copy))


def test_when_no_song_can_be_scored_nothing_is_left(songs: Path, tmp_path: Path, here) -> None:
    for song in SONGS:
        for name in STEMS:
            write(tmp_path / "e" / song / f"{name}.wav", np.ones(9))
    command = ("evaluate", f"estimates:{tmp_path / 'e'}", f"folder:{songs}", tmp_path / "r", *SHORT)
    assert_one_line_error(here(*command), 1, "none of 3 songs can be scored: 3 mismatch; ")
    shutil.move(tmp_path / "e" / "One", tmp_path / "e" / "Other")
    shutil.rmtree(tmp_path / "e" / "Two")
    shutil.rmtree(tmp_path / "e" / "Three")
    assert_one_line_error(here(*command), 1, "3 no-estimate", "e/One: no vocals.wav or .flac")


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_workers(songs: Path, tmp_path: Path, here) -> None:
    trees = []
    for n_jobs in (0, 1, 2):
        results = tmp_path / f"r{n_jobs}"
        command = ("evaluate", "oracle:irm", f"folder:{songs}", results, "--jobs", n_jobs)
        done = here(*command)
        assert done.returncode == 0, done.stderr
        trees.append(tree(results))
    assert trees[0] == trees[1] == trees[2]
    assert "museval/test/One.json" in trees[0]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_at_every_step_and_resumed(
    songs: Path, estimates: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends at the 1st, 2nd, ... sync or rename, the steps that files appear by."""
    (estimates / "Two" / "drums.wav").write_bytes(b"")

    def score(folder: Path) -> subprocess.CompletedProcess[str]:
        system = f"estimates:{estimates}"
        done: subprocess.CompletedProcess[str] = here(
            "evaluate", system, f"folder:{songs}", folder, *SHORT
        )
        return done

    assert score(tmp_path / "whole").returncode == 0
    whole = tree(tmp_path / "whole")
    sync, replace = storage.sync, Path.replace
    for n_steps in range(1000):
        folder = tmp_path / f"r{n_steps}"
        left = [n_steps]

        def step(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(storage, "sync", lambda path: (step(), sync(path))[1])
            patch.setattr(Path, "replace", lambda *paths: (step(), replace(*paths))[1])
            try:
                assert score(folder).returncode == 0
            except Killed:
                if (folder / "manifest.json").exists():
                    assert whole.items() <= tree(folder).items()
            else:
                break
        done = score(folder)
        assert done.returncode == 0, done.stderr
        assert tree(folder) == whole
        shutil.rmtree(folder)
    assert n_steps > 20


def test_songs_that_are_done_are_not_scored_again(
    songs: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def interrupted(job: ScoringJob) -> Any:
        if len(scored) == 2:
            raise Killed
        scored.append(job.song.name)
        return score_song(job)

    command = ("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", *SHORT)
    monkeypatch.setattr(workflow, "score_song", interrupted)
    with pytest.raises(Killed):
        here(*command)
    monkeypatch.setattr(
        workflow, "score_song", lambda job: (scored.append(job.song.name), score_song(job))[1]
    )
    assert here(*command).returncode == 0
    assert scored == ["One", "Three", "Two"]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["mixture", "oracle:tpsa"])
def test_real_songs(shared: Path, tmp_path: Path, here, system: str) -> None:
    """Seven songs of 20 s, four of them without a bass, and two of MUSDB18."""
    done = here(
        "evaluate", system, f"folder:{shared / 'audio' / 'cc0_everything_is_free_20s'}",
        tmp_path / "cc0", "--jobs", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = summary_of(tmp_path / "cc0")
    assert found["n_scored"] == 7
    assert found["scores"]["bass"]["SI-SDR"]["n_left_out"] == 4
    assert found["scores"]["bass"]["SDR"]["n"] == 3
    results = []
    (tmp_path / "hq").mkdir()
    (tmp_path / "hq" / "test").symlink_to(shared / "audio" / "musdb7_wav" / "train")
    (tmp_path / "mp4" / "test").mkdir(parents=True)
    for path in (shared / "audio" / "musdb_stem_mp4").glob("*.mp4"):
        (tmp_path / "mp4" / "test" / path.name).symlink_to(path)
    for kind in ("hq", "mp4"):
        dataset, folder = f"musdb:{tmp_path / kind}", tmp_path / f"r{kind}"
        done = here("evaluate", system, dataset, folder, "--jobs", 0)
        assert done.returncode == 0, done.stderr
        results.append(summary_of(tmp_path / f"r{kind}")["scores"])
    for target in ("vocals", "drums", "bass", "other"):
        values = [scores[target]["SI-SDR"]["mean"] for scores in results]
        assert values[0] == pytest.approx(values[1], abs=0.05)


def test_estimates_are_fitted_where_that_is_asked_for(
    songs: Path, estimates: Path, tmp_path: Path, here
) -> None:
    """What `--lengths fit` does to a file is what somebody else does by hand, and is counted."""
    by_hand = tmp_path / "by-hand"
    shutil.copytree(estimates, by_hand)
    long = with_noise(stem("One", "vocals"), 5.0)
    extra = np.random.default_rng(3).standard_normal(800)  # 0.1 s
    write(by_hand / "One" / "vocals.wav", long)
    write(estimates / "One" / "vocals.wav", np.concatenate([long, extra]))
    short = with_noise(stem("Two", "drums"), 7.0)[:-800]
    write(by_hand / "Two" / "drums.wav", np.concatenate([short, np.zeros(800)]))
    write(estimates / "Two" / "drums.wav", short)
    write(estimates / "Three" / "drums.wav", with_noise(stem("Three", "drums"), 1.0)[:-801])
    command = ("evaluate", f"estimates:{estimates}", f"folder:{songs}")
    done = here(*command, tmp_path / "refused", *SHORT)
    assert_one_line_error(done, 1, "none of 3 songs can be scored: 3 mismatch")
    done = here(*command, tmp_path / "r", *SHORT, "--lengths", "fit")
    assert done.returncode == 0, done.stderr
    assert "; estimates cut 1 times, padded 1 times, copied 0 times" in done.stdout
    assert rejections_of(tmp_path / "r")["Three"][0] == "mismatch"
    assert summary_of(tmp_path / "r")["fitted"] == {"cut": 1, "padded": 1, "copied": 0}
    assert Results(tmp_path / "r").fits.to_pylist() == [
        {
            "song": song, "target": target, "file": f"{target}.wav", "n_added": n_added,
            "is_copied": False,
        }
        for song, target, n_added in (("One", "vocals", -800), ("Two", "drums", 800))
    ]  # fmt: skip
    shutil.rmtree(by_hand / "Three")
    done = here("evaluate", f"estimates:{by_hand}", f"folder:{songs}", tmp_path / "h", *SHORT)
    assert done.returncode == 0, done.stderr
    by_hand_scores = scores_of(tmp_path / "h")
    assert sum(not math.isnan(value) for value in by_hand_scores.values()) == 5
    for key, value in by_hand_scores.items():
        np.testing.assert_equal(scores_of(tmp_path / "r")[key], value)
    assert here("validate", tmp_path / "r").returncode == 0
    assert "fitted" not in summary_of(tmp_path / "h")
    assert not (tmp_path / "h" / "fits.parquet").exists()
    again = here(*command, tmp_path / "r", *SHORT)
    assert_one_line_error(again, 2, "was made with other arguments")
    for system in ("mixture", "oracle:irm"):
        done = here("evaluate", system, f"folder:{songs}", tmp_path / "o", "--lengths", "fit")
        assert_one_line_error(done, 2, "--lengths fit: only with estimates:")


def test_a_mono_estimate_is_taken_for_both_channels(tmp_path: Path, here) -> None:
    for song in ("One", "Two"):
        pair = np.stack([stem(song, "vocals"), stem(song, "vocals")], axis=1)
        write(tmp_path / "songs" / song / "vocals.wav", pair)
        write(tmp_path / "songs" / song / "drums.wav", pair[::-1])
        for name, audio in (("vocals", pair), ("drums", pair[::-1])):
            noisy = with_noise(audio[:, 0], DB[song])
            is_mono = (song, name) == ("One", "vocals")
            both = noisy if is_mono else np.stack([noisy, noisy], axis=1)
            write(tmp_path / "estimates" / song / f"{name}.wav", both)
    command = ("evaluate", f"estimates:{tmp_path / 'estimates'}", f"folder:{tmp_path / 'songs'}")
    done = here(*command, tmp_path / "refused", *SHORT)
    assert rejections_of(tmp_path / "refused").keys() == {"One"}, done.stderr
    done = here(*command, tmp_path / "r", *SHORT, "--lengths", "fit")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "r")["fitted"] == {"cut": 0, "padded": 0, "copied": 1}
    assert not rejections_of(tmp_path / "r")
    value = scores_of(tmp_path / "r")["One", "vocals", None, "SI-SDR"]
    assert value == pytest.approx(DB["One"], abs=1e-4)


def test_names_in_either_form_and_as_long_as_there_can_be(tmp_path: Path, here) -> None:
    composed, decomposed = "Caf\u00e9 fl\u00fcchtig", "Cafe\u0301 flu\u0308chtig"
    names = {composed: decomposed, "x" * 249: "x" * 249, "\u94a2" * 85: "\u94a2" * 85}
    for in_songs, in_estimates in names.items():
        for name in STEMS[:2]:
            write(tmp_path / "songs" / in_songs / f"{name}.wav", stem("One", name))
            estimate = with_noise(stem("One", name), 3.0)
            write(tmp_path / "estimates" / in_estimates / f"{name}.wav", estimate)
    system, dataset = f"estimates:{tmp_path / 'estimates'}", f"folder:{tmp_path / 'songs'}"
    done = here("evaluate", system, dataset, tmp_path / "r", "--si-sdr-rate", RATE, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert not rejections_of(tmp_path / "r")
    assert {song for song, *_ in scores_of(tmp_path / "r")} == set(names)
    written = list((tmp_path / "r" / "museval" / "test").iterdir())
    assert len(written) == 3 and all(len(path.name.encode()) <= 255 for path in written)
    assert here("validate", tmp_path / "r").returncode == 0


def test_a_run_that_fails_at_one_song_scores_the_others(
    songs: Path, runs: list[Path], tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.evaluate.separation.separator import Separator

    separated, calls = Separator.separate, list[int]()

    def failing(self: Separator, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise UsageError("audio: the GPU's memory is too small; use --device cpu")
        return separated(self, *arguments)

    monkeypatch.setattr(Separator, "separate", failing)
    done = here("evaluate", f"run:{runs[0]}", f"folder:{songs}", tmp_path / "r", *SHORT)
    assert done.returncode == 0, done.stderr
    assert rejections_of(tmp_path / "r") == {
        "Three": ("no-estimate", "audio: the GPU's memory is too small; use --device cpu")
    }
    assert {song for song, *_ in scores_of(tmp_path / "r")} == {"One", "Two"}
    assert here("validate", tmp_path / "r").returncode == 0


def test_commas_and_homes_in_paths(
    songs: Path, runs: list[Path], tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(runs[0], tmp_path / "a,b")
    shutil.copytree(songs, tmp_path / "songs, mine")
    done = here("evaluate", f"run:~/a,b,run:{runs[1]}", "folder:~/songs, mine", tmp_path / "r",
                *SHORT)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {target for _, target, *_ in scores_of(tmp_path / "r")} == {"bass", "drums"}
    (run,) = parse_system(f"run:{tmp_path}/a,b").folders
    assert run == tmp_path / "a,b"
    assert system_of([tmp_path / "a,run:b", "c"]).folders == (tmp_path / "a,run:b", Path("c"))


def test_files_that_are_not_used_have_a_row_each(
    songs: Path, estimates: Path, tmp_path: Path, here
) -> None:
    mine = tmp_path / "songs"
    shutil.copytree(songs, mine)
    write(mine / "One" / "mixture.wav", stem("One", "vocals"))
    write(mine / "lonely.wav", stem("One", "vocals"))
    (mine / "One" / "notes.txt").write_text("")
    (mine / "One" / "._vocals.wav").write_text("")
    (mine / "@eaDir" / "One").mkdir(parents=True)
    (mine / "@eaDir" / "One" / "vocals.wav").write_text("")
    write(estimates / "Four" / "vocals.wav", stem("One", "vocals"))
    write(estimates / "One" / "piano.wav", stem("One", "vocals"))
    (estimates / "One" / "log.txt").write_text("")
    command = ("evaluate", f"estimates:{estimates}", f"folder:{mine}", tmp_path / "r", *SHORT)
    done = here(*command)
    assert done.returncode == 0, done.stderr
    assert {row: reason for row, (reason, _) in rejections_of(tmp_path / "r").items()} == {
        "folder:One/mixture.wav": "mixture",
        "folder:One/notes.txt": "not-audio",
        "folder:lonely.wav": "no-stem",
        "estimates:Four/vocals.wav": "no-song",
        "estimates:One/piano.wav": "no-target",
        "estimates:One/log.txt": "not-audio",
    }
    assert ", 0 left out; 6 files not used" in done.stdout
    header = shards.read_manifest(tmp_path / "r", "evaluation")
    assert header["rejections"] == {
        "mixture": 1, "no-song": 1, "no-stem": 1, "no-target": 1, "not-audio": 2
    }  # fmt: skip
    assert here("validate", tmp_path / "r").returncode == 0
    assert here(*command).returncode == 0, "it is there already"
