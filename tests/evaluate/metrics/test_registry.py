"""Metrics: what is known of one is known everywhere, from scoring to tables and checks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.benchmark.report import score_table
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.metrics.per_song.snr import snr_db
from stemsmith.evaluate.metrics.registry import (
    BSS_EVAL,
    SCORED_ANYWAY,
    SONG_METRICS,
    Metric,
    known_metric,
    song_metrics,
)

RATE = 8000
Command = Callable[..., subprocess.CompletedProcess[str]]

# Of the audio as it is, smaller for better estimates, and in samples: nothing like SI-SDR.
OF_OTHERS = """
import numpy as np
from stemsmith.evaluate.metrics.registry import Metric

def worst_sample(reference, estimate, sample_rate):
    assert sample_rate == 8000 and reference.shape == estimate.shape == (2, 8000)
    return np.abs(reference - estimate).max()

WORST = Metric("worst", worst_sample, unit="", average="median")
NO_METRIC = 3
SDR = Metric("SDR", worst_sample)
"""


@pytest.fixture
def of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module of somebody else, with metrics, where it is found."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "somebodys_metrics.py").write_text(OF_OTHERS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "somebodys_metrics", raising=False)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """One song of two stereo stems, a second at 8 kHz."""
    root = tmp_path / "songs"
    (root / "One").mkdir(parents=True)
    for number, name in enumerate(("drums", "bass")):
        audio = 0.1 * np.random.default_rng(number).standard_normal((RATE, 2))
        soundfile.write(root / "One" / f"{name}.wav", audio, RATE, subtype="FLOAT")
    return root


def read(path: Path) -> Any:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("bss", ["v4", "none"])
def test_one_more_metric_is_scored_summarised_shown_and_checked(
    songs: Path, tmp_path: Path, here: Command, bss: str
) -> None:
    """With no BSS Eval beside it, its title once ended in a traceback."""
    command = ("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", "--jobs", 0)
    done = here(*command, "--metric", "snr", "--bss", bss)
    assert done.returncode == 0, done.stderr
    assert "**SNR [dB]: mean over songs**" in done.stdout
    stems = {name: read(songs / "One" / f"{name}.wav") for name in ("bass", "drums")}
    scores = Results(tmp_path / "r").score_records()
    for name, stem in stems.items():
        (value,) = (s.value for s in scores if (s.metric, s.target) == ("SNR", name))
        assert value == pytest.approx(snr_db(stem, stems["bass"] + stems["drums"]), abs=1e-5)
    done = here("validate", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "r" / "manifest.json").read_text())["config"]["metrics"]
    assert found["more"] == {
        "SNR": {"metric": "snr", "unit": "dB", "average": "mean", "conditions": ""}
    }


def test_without_more_metrics_nothing_is_said_of_them(
    songs: Path, tmp_path: Path, here: Command
) -> None:
    command = ("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", "--jobs", 0)
    assert here(*command, "--metric", "si-sdr", "--bss", "none").returncode == 0
    found = json.loads((tmp_path / "r" / "manifest.json").read_text())["config"]["metrics"]
    assert found == {"si_sdr_rate": 16000, "bss": None}


@pytest.mark.usefixtures("of_others")
def test_anyones_metric_is_named_by_its_module(songs: Path, tmp_path: Path, here: Command) -> None:
    command = ("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", "--jobs", 0)
    done = here(*command, "--bss", "none", "--metric", "somebodys_metrics:WORST")
    assert done.returncode == 0, done.stderr
    assert "**worst: median over songs**" in done.stdout
    results = Results(tmp_path / "r")
    other = {"bass": "drums", "drums": "bass"}
    for score in results.score_records():
        if score.metric == "worst":
            error = read(songs / "One" / f"{other[score.target]}.wav")
            assert score.value == pytest.approx(np.abs(error).max(), rel=1e-5)
    # What reads the results need not have it.
    assert known_metric("worst", results.summary["metrics"]).average == "median"
    for name, text in (
        (
            "kazoo",
            f"metric 'kazoo': unknown; known: {', '.join(SONG_METRICS.names)}, or package.module:",
        ),
        ("somebodys_metrics:NONE", "cannot be imported"),
        ("somebodys_metrics:NO_METRIC", "not a metric of one number a song"),
        ("somebodys_metrics:SDR", "another metric is called SDR, too"),
    ):
        done = here(*command, "--metric", name)
        assert done.returncode == 2 and text in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1


def test_a_score_that_is_missing_is_found_of_every_metric(
    songs: Path, tmp_path: Path, here: Command
) -> None:
    from stemsmith.evaluate.benchmark.results import SongScore
    from stemsmith.manifests import shards

    command = ("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", "--jobs", 0)
    assert here(*command, "--bss", "none", "--metric", "snr").returncode == 0
    path = tmp_path / "r" / "scores.parquet"
    scores = shards.read_records(path, SongScore)
    shards.write_records(path, SongScore, [s for s in scores if s.metric != "SNR"])
    header = json.loads((tmp_path / "r" / "manifest.json").read_text())
    header["shards"][0] = shards.shard_entry(path)
    (tmp_path / "r" / "manifest.json").write_text(json.dumps(header))
    done = here("validate", tmp_path / "r")
    assert done.returncode == 1 and "not one SNR a song and target" in done.stderr


def test_a_metric_that_nothing_is_known_of_is_shown_all_the_same() -> None:
    settings: dict[str, Any] = {"si_sdr_rate": 16000, "bss": None}
    score = {"n": 1, "mean": 2.0, "mean_interval": [1.0, 3.0]}
    summary = {
        "system": "s", "dataset": "d", "taxonomy": "musdb", "splits": ["test"], "n_folds": 0,
        "metrics": settings, "songs": ["a"], "n_scored": 1, "scores": {"bass": {"SDR": score}},
    }  # fmt: skip
    assert score_table(summary).splitlines()[0] == "**SDR: mean over songs**"


def test_every_built_in_metric_says_what_it_is() -> None:
    assert set(SCORED_ANYWAY) <= set(SONG_METRICS.names)
    every = song_metrics([name for name in SONG_METRICS.names if name not in SCORED_ANYWAY])
    assert all(metric.per == "song" and metric.compute is not None for metric in every)
    metrics = song_metrics(["snr"])
    signal = np.random.default_rng(0).standard_normal((1, 100)).astype(np.float32)
    for metric in metrics:
        assert metric.compute is not None
        assert metric.compute(signal, signal, RATE) == math.inf
    settings = {
        "si_sdr_rate": 16000,
        "bss": {"version": "v4", "window_s": 1.0, "hop_s": 0.5, "is_mono": True},
    }
    assert [metric.title(settings, 0) for metric in (*metrics, BSS_EVAL[0])] == [
        "SI-SDR [dB], mono at 16000 Hz: mean over songs",
        "SNR [dB]: mean over songs",
        "SDR [dB], BSS Eval v4, mono, 1 s every 0.5 s: median over songs of the median over frames",
    ]
    assert Metric("L1", unit="", is_mono=True).title(settings, 3) == (
        "L1, mono at 16000 Hz: mean over 3 folds of the mean over songs"
    )
