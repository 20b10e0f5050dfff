"""Files of museval, its medians, and the engine that runs it without ffmpeg."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from stemsmith.evaluate.metrics import museval_engine
from stemsmith.evaluate.metrics.bsseval.frames import BssScores, Framing
from stemsmith.evaluate.metrics.museval_engine import museval_bss_eval
from stemsmith.evaluate.metrics.museval_json import (
    METRICS,
    median_of_medians,
    read_track,
    write_track,
)
from stemsmith.manifests.errors import InvalidCorpus, UsageError, install_command

NAN, INF = math.nan, math.inf


def make_scores(n_targets: int = 2, n_frames: int = 4, seed: int = 0) -> BssScores:
    rng = np.random.default_rng(seed)
    sdr, isr, sir, sar = 10 * rng.standard_normal((4, n_targets, n_frames))
    sdr[0, 1] = isr[0, 1] = sir[0, 1] = sar[0, 1] = NAN
    sir[1, 0], sdr[1, 2] = INF, -INF
    return BssScores(sdr, isr, sir, sar, 0.5 * np.arange(n_frames), 1.0)


def test_a_file_has_museval_s_schema_with_five_decimals(tmp_path: Path) -> None:
    scores = make_scores()
    path = tmp_path / "test" / "A - Song.json"
    path.parent.mkdir()
    write_track(path, {"vocals": (scores, 0), "drums": (scores, 1)})
    track = json.loads(path.read_text())
    assert list(track) == ["targets", "museval_version"]
    assert [target["name"] for target in track["targets"]] == ["vocals", "drums"]
    frame = track["targets"][1]["frames"][3]
    assert list(frame) == ["time", "duration", "metrics"]
    assert (frame["time"], frame["duration"]) == (1.5, 1.0)
    assert list(frame["metrics"]) == list(METRICS)
    assert frame["metrics"]["SAR"] == round(float(scores.sar_db[1, 3]), 5)
    assert '"SIR": NaN' in path.read_text() and "Infinity" not in path.read_text()


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    scores = make_scores()
    write_track(tmp_path / "song.json", {"bass": (scores, 1), "other": (scores, 0)})
    read = read_track(tmp_path / "song.json")
    assert list(read) == ["bass", "other"]
    for name, target in (("bass", 1), ("other", 0)):
        for metric in METRICS:
            expected = getattr(scores, f"{metric.lower()}_db")[target]
            expected = np.where(np.isinf(expected), NAN, expected)
            np.testing.assert_allclose(read[name][metric], expected, atol=5e-6)


def test_museval_reads_the_files_and_has_the_same_medians(
    tmp_path: Path, museval: ModuleType
) -> None:
    (tmp_path / "test").mkdir()
    for seed in range(3):
        scores = make_scores(seed=seed)
        path = tmp_path / "test" / f"song {seed}.json"
        write_track(path, {"vocals": (scores, 0), "accompaniment": (scores, 1)})
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path)
    expected = store.agg_frames_tracks_scores()
    medians = median_of_medians(map(read_track, sorted((tmp_path / "test").iterdir())))
    for target in ("vocals", "accompaniment"):
        for metric in METRICS:
            assert medians[target][metric] == pytest.approx(expected[target][metric], abs=1e-9)


def test_a_track_file_is_the_one_museval_writes(tmp_path: Path, museval: ModuleType) -> None:
    scores = make_scores()
    store = museval.TrackStore("song", win=1.0, hop=0.5)
    for target, name in enumerate(("vocals", "drums")):
        values = {m: getattr(scores, f"{m.lower()}_db")[target].tolist() for m in METRICS}
        store.add_target(name, values)
    write_track(tmp_path / "song.json", {"vocals": (scores, 0), "drums": (scores, 1)})
    ours, theirs = (json.loads(t) for t in ((tmp_path / "song.json").read_text(), store.json))
    assert repr(ours) == repr(theirs)  # as NaN is not equal to itself


def test_medians_leave_out_frames_and_tracks_without_scores() -> None:
    def track(*sdr_db: float) -> dict[str, dict[str, np.ndarray]]:
        return {"bass": {metric: np.array(sdr_db) for metric in METRICS}}

    tracks = [track(1, NAN, 3, 8), track(NAN, NAN), track(INF, 5), track(7), track()]
    assert median_of_medians(tracks)["bass"]["SDR"] == 5.0
    assert math.isnan(median_of_medians([track(NAN)])["bass"]["SIR"])
    assert median_of_medians([]) == {}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"targets": [{"name": "x", "frames": [{}]}]}'])
def test_other_files_are_named_in_the_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "song.json").write_text(text)
    with pytest.raises(InvalidCorpus, match=r"song\.json: no scores in museval's format"):
        read_track(tmp_path / "song.json")


SISEC18_SDR_DB = {  # Stöter et al. 2018: vocals, drums, bass, other, accompaniment
    "IRM2": (9.431, 8.454, 7.125, 7.852, 15.638),
    "IRM1": (8.516, 7.329, 6.181, 6.920, 14.504),
    "IBM1": (7.666, 7.089, 5.191, 5.889, 10.034),
    "MWF": (9.126, 8.088, 6.751, 7.560, 15.402),
    "UHL2": (5.926, 5.923, 5.029, 4.194, 12.230),
}


@pytest.mark.parametrize("system", ["MIX", *SISEC18_SDR_DB])
def test_medians_of_sisec_2018_come_out(shared: Path, system: str, tmp_path: Path) -> None:
    folder = shared / "evaluation" / "sisec18"
    with tarfile.open(folder / f"{system}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    medians = median_of_medians(map(read_track, sorted(tmp_path.glob("**/test/*.json"))))
    expected = json.loads((folder / "median_of_track_medians.json").read_text())[system]
    assert set(medians) == set(expected)
    for target, scores in medians.items():
        for metric in METRICS:
            assert scores[metric] == pytest.approx(expected[target][metric], abs=1e-4)
    if system in SISEC18_SDR_DB:
        targets = ("vocals", "drums", "bass", "other", "accompaniment")
        printed = [round(medians[target]["SDR"], 3) for target in targets]
        assert printed == pytest.approx(SISEC18_SDR_DB[system], abs=1e-3)


# ---------------------------------------------------------------------------------------------
# The engine


def test_museval_runs_without_ffmpeg_and_nothing_of_it_stays() -> None:
    script = (
        "import os, sys\n"
        "os.environ['PATH'] = ''\n"
        "import numpy as np\n"
        "from stemsmith.evaluate.metrics.museval_engine import museval_bss_eval\n"
        "audio = np.random.default_rng(0).standard_normal((2, 1, 1000))\n"
        "scores, = museval_bss_eval(audio, audio + 1.0, 500)\n"
        "assert scores.sdr_db.shape == (2, 2), scores\n"
        "assert not {'museval', 'musdb', 'stempeg'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


def test_a_missing_museval_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    museval_engine._museval_metrics.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(install_command("evaluate"))):
        museval_bss_eval(np.ones((1, 1, 9)), np.ones((1, 1, 9)), 9)


def test_frames_are_where_ours_are() -> None:
    audio = np.random.default_rng(0).standard_normal((1, 2, 1999))
    framings = [Framing(1.0, 0.5), Framing(math.inf, math.inf), Framing(5.0, 5.0)]
    for framing, scores in zip(
        framings, museval_bss_eval(audio, -audio, 500, framings), strict=True
    ):
        starts = [start for start, _ in framing.windows(500, 1999)]
        assert scores.sdr_db.shape == (1, len(starts))
        np.testing.assert_allclose(scores.start_s, np.array(starts) / 500)
