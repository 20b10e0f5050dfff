"""A trained run in Python: arrays and files in, estimates out; the run here is of version 0.1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.evaluate.separation.run import Run
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.evaluate.workflow import evaluate_system, separate_files

RATE = 16000
Command = Callable[..., Any]
OLD = Path(__file__).resolve().parents[2] / "data" / "0.1"


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(OLD / "run")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Half a second of stereo noise at the run's rate."""
    audio = 0.1 * np.random.default_rng(0).standard_normal((RATE // 2, 2))
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    return tmp_path / "song.wav"


def test_arrays_and_files_are_separated_alike(run: Run, song: Path) -> None:
    audio = soundfile.read(song, dtype="float32")[0].T
    expected = Separator.of_runs([OLD / "run"], device="cpu").separate(audio, RATE)
    assert list(expected) == ["bass"]
    for found in (
        run.separate(audio, RATE, device="cpu"),
        run.separate(audio.astype(np.float64), RATE, device="cpu"),
        run.separate(song, device="cpu"),
        run.separate(str(song), device="cpu"),
    ):
        assert found["bass"].dtype == np.float32 and found["bass"].shape == audio.shape
        np.testing.assert_allclose(found["bass"], expected["bass"], atol=1e-6)
    mono = run.separate(audio[0], RATE, device="cpu")["bass"]
    assert mono.shape == (1, RATE // 2)
    np.testing.assert_allclose(mono, run.separate(audio[:1], RATE, device="cpu")["bass"], atol=1e-6)


def test_options_are_keywords_and_change_from_call_to_call(run: Run, song: Path) -> None:
    audio = soundfile.read(song, dtype="float32")[0].T
    both = run.separate(audio, RATE, device="cpu", is_with_residual=True)
    np.testing.assert_allclose(both["bass"] + both["residual"], audio, atol=1e-6)
    silent = run.separate(audio, RATE, device="cpu", thresholds={"bass": (1.0, 0.0)})
    assert not silent["bass"].any()
    assert run.separate(audio, RATE, device="cpu")["bass"].any()


def test_what_is_no_audio_is_one_line(run: Run, song: Path, tmp_path: Path) -> None:
    audio = soundfile.read(song, dtype="float32")[0].T
    with pytest.raises(UsageError, match="needs its sample rate"):
        run.separate(audio)
    with pytest.raises(UsageError, match=r"\(n_channels, n_samples\); transpose it"):
        run.separate(audio.T, RATE)
    with pytest.raises(UsageError, match="n_samples"):
        run.separate((1000 * audio).astype(np.int16), RATE)
    with pytest.raises(UsageError, match="two or more targets"):
        run.separate(audio, RATE, mask_exponent=2)
    with pytest.raises(InvalidCorpus, match=r"none\.wav"):
        run.separate(tmp_path / "none.wav")
    with pytest.raises(InvalidCorpus, match="holds audio files; expected a trained run"):
        Run(tmp_path).separate(audio, RATE)


def test_files_are_those_of_the_command(
    run: Run, song: Path, tmp_path: Path, here: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    done = separate_files(
        run, [song, tmp_path / "bad.wav"], tmp_path / "f", device="cpu", is_with_residual=True
    )
    assert capfd.readouterr() == ("", "")
    assert done.targets == ("bass", "residual")
    assert (done.audio_s, done.latency_s) == (0.5, None)
    assert done.real_time_factor == pytest.approx(2 * done.processing_s)
    (recording,) = done.recordings
    assert recording.files["bass"] == tmp_path / "f" / "song" / "bass.wav"
    assert [rejection.id for rejection in done.rejections] == [str(tmp_path / "bad.wav")]
    command = ("separate", OLD / "run", song, tmp_path / "c", "--residual", "--device", "cpu")
    assert here(*command).returncode == 0
    for path in recording.files.values():
        assert path.read_bytes() == (tmp_path / "c" / "song" / path.name).read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        separate_files(run, [song], tmp_path / "f", device="cpu")
    separate_files(run, [song], tmp_path / "f", device="cpu", is_overwriting=True)
    with pytest.raises(NothingToDo, match=r"bad\.wav"):
        separate_files(run, [tmp_path / "bad.wav"], tmp_path / "n", device="cpu")
    with pytest.raises(UsageError, match="--format ogg: unknown; known: wav, wav16, flac"):
        separate_files(run, [song], tmp_path / "n", file_format="ogg")


def test_a_run_is_a_system(run: Run, tmp_path: Path) -> None:
    songs = tmp_path / "songs" / "One"
    songs.mkdir(parents=True)
    for seed, name in enumerate(("drums", "bass")):
        audio = 0.1 * np.random.default_rng(seed).standard_normal(RATE)
        soundfile.write(songs / f"{name}.wav", audio, RATE, subtype="FLOAT")
    dataset, scores = f"folder:{tmp_path / 'songs'}", []
    for number, system in enumerate((run, OLD / "run", [run], f"run:{OLD / 'run'}")):
        results = evaluate_system(system, dataset, tmp_path / str(number), bss="none", device="cpu")
        assert results.system == f"run:{OLD / 'run'}"
        scores.append(results.score_records())
    assert scores[0] == scores[1] == scores[2] == scores[3]
    assert [score.target for score in scores[0]] == ["bass"]
