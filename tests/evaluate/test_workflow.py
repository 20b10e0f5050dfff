"""Scoring and separating from Python: what commands do, without a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.benchmark.options import EvaluationConfig
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.workflow import evaluate_system, validate_results
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError

RATE = 8000
Command = Callable[..., Any]


@dataclass
class Heard:
    """A `Progress` that remembers."""

    warnings: list[str] = field(default_factory=list)
    loops: list[tuple[str, int]] = field(default_factory=list)
    n_done: int = 0
    audio_s: float = 0.0

    @contextmanager
    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> Iterator[Heard]:
        self.loops.append((title, total))
        yield self

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        self.n_done += n
        self.audio_s += audio_s

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def note(self, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of two stems, mono, a second at 8 kHz."""
    root = tmp_path_factory.mktemp("songs")
    for number, song in enumerate(("One", "Two")):
        (root / song).mkdir()
        for other, name in enumerate(("drums", "bass")):
            audio = 0.1 * np.random.default_rng([number, other]).standard_normal(RATE)
            soundfile.write(root / song / f"{name}.wav", audio, RATE, subtype="FLOAT")
    return root


@pytest.fixture
def old() -> Path:
    """Return the folder of what version 0.1 wrote; read only."""
    return Path(__file__).resolve().parents[1] / "data" / "0.1"


def test_the_function_writes_what_the_command_writes(
    songs: Path, tmp_path: Path, here: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = f"folder:{songs}"
    heard = Heard()
    results = evaluate_system(
        "oracle:irm", dataset, tmp_path / "f", bss="v3", window_s=0.5, progress=heard
    )
    assert capfd.readouterr() == ("", "")
    assert (heard.loops, heard.n_done, heard.audio_s) == ([("evaluate", 2)], 2, 2.0)
    command = ("evaluate", "oracle:irm", dataset, tmp_path / "c", "--bss", "v3", "--window", 0.5)
    assert here(*command, "--jobs", 0).returncode == 0
    for name in ("manifest.json", "scores.parquet", "rejections.parquet", "summary.json"):
        assert (tmp_path / "f" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    assert results.system == "oracle:irm" and results.dataset == dataset
    # SI-SDR once, four metrics in two windows; of two targets of two songs
    assert results.scores.num_rows == len(results.score_records()) == (1 + 4 * 2) * 2 * 2
    assert results.scores.column_names == ["song", "target", "frame", "metric", "value"]
    assert results.rejections.num_rows == 0 and results.rejection_records() == []
    assert validate_results(results) == (2, 36, 0)
    assert repr(results) == f"Results({str(tmp_path / 'f')!r})"


def test_the_results_may_be_named_from_where_one_is(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = evaluate_system("mixture", f"folder:{songs}", "results", window_s=0.5, bss="v3")
    assert "museval/test/One.json" in {entry["file"] for entry in results.header["files"]}
    assert validate_results("results") == (2, 36, 0)


def test_results_that_are_there_are_not_computed_again(songs: Path, tmp_path: Path) -> None:
    heard = Heard()
    for _ in range(2):
        evaluate_system("mixture", f"folder:{songs}", tmp_path, bss="none", progress=heard)
    assert heard.loops == [("evaluate", 2)]


def test_options_come_from_a_configuration_and_from_keywords(songs: Path, tmp_path: Path) -> None:
    config = EvaluationConfig(bss="none", label="as it is", targets="bass")
    results = evaluate_system("mixture", f"folder:{songs}", tmp_path, config, label="other")
    assert results.system == "other"
    assert {score.target for score in results.score_records()} == {"bass"}
    with pytest.raises(TypeError, match="labels"):
        evaluate_system("mixture", f"folder:{songs}", tmp_path, labels="x")  # type: ignore[call-arg]


def test_what_progress_is_told_and_what_is_raised(songs: Path, tmp_path: Path) -> None:
    estimates = tmp_path / "e"
    for song in ("One", "Two"):
        (estimates / song).mkdir(parents=True)
        for name in ("drums", "kazoo"):
            soundfile.write(estimates / song / f"{name}.wav", np.ones(RATE), RATE, "FLOAT")
    heard, dataset = Heard(), f"folder:{songs}"
    system = f"estimates:{estimates}"
    evaluate_system(system, dataset, tmp_path / "r", bss="none", progress=heard)
    assert heard.warnings == ["estimates of kazoo belong to no target"]
    (estimates / "One" / "drums.wav").unlink()
    (estimates / "Two" / "drums.wav").write_bytes(b"RIFF")
    with pytest.raises(NothingToDo, match="none of 2 songs can be scored"):
        evaluate_system(system, dataset, tmp_path / "n", bss="none")
    with pytest.raises(UsageError, match="no run is given"):
        evaluate_system([], dataset, tmp_path / "n")
    with pytest.raises(InvalidCorpus, match=r"summary\.json: missing"):
        Results(tmp_path / "n")


def test_a_folder_of_something_else_is_no_results(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "manifest.json").write_text(json.dumps({"stage": "corpus", "schema_version": 1}))
    with pytest.raises(InvalidCorpus, match="holds a corpus; expected results of `evaluate`"):
        Results(tmp_path)


def test_results_of_version_0_1_are_read_compared_and_checked(
    old: Path, tmp_path: Path, here: Command
) -> None:
    known = Results(old / "results")
    assert (known.system, known.dataset) == ("oracle:irm", "corpus")
    n_frames = max(score.frame or 0 for score in known.score_records()) + 1
    assert known.scores.num_rows == 4 * (1 + 4 * n_frames)
    assert validate_results(known).n_songs == 1
    command = ("evaluate", "mixture", old / "corpus", tmp_path / "r", "--jobs", 0)
    assert here(*command).returncode == 0
    done = here("compare", old / "results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    systems = ("| oracle:irm |", "| mixture |")
    rows = [line.split("|")[1].strip() for line in lines if line.startswith(systems)]
    assert rows[:2] == ["oracle:irm", "mixture"]
    again = evaluate_system("oracle:irm", old / "corpus", tmp_path / "again")
    assert again.summary["metrics"] == known.summary["metrics"]
    for ours, theirs in zip(again.score_records(), known.score_records(), strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-3)
