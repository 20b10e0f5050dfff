"""Renditions in Bach10's layout, behind the command that has all exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from exported_files import content
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.share import export_dataset, forecast_export

RENDITIONS = Path(__file__).parents[2] / "data" / "0.1" / "renditions"
SOURCES = ("bassoon", "violin")  # of its duets


def test_a_rendition_is_audio_and_score_of_each_source(tmp_path: Path) -> None:
    done = export_dataset(RENDITIONS, tmp_path / "x", "bach10")
    corpus = Corpus(RENDITIONS)
    assert sum(done.header["n_songs"].values()) == len(corpus) > 1
    files = sorted(path for path in (tmp_path / "x").glob("*/*") if path.is_file())
    assert len(files) == 2 * len(SOURCES) * len(corpus)
    for piece in (tmp_path / "x").glob("*/"):
        n_styles = len(list(piece.glob("violin_g_*.txt")))
        for number in range(n_styles):
            for source in SOURCES:
                audio = piece / f"{piece.name}_r{number:05d}_{source}.wav"
                assert soundfile.info(audio).subtype == "FLOAT"
                lines = (piece / f"{source}_g_r{number:05d}.txt").read_text().splitlines()
                assert lines and all(len(line.split(",")) == 3 for line in lines)


def test_the_bytes_are_those_of_the_renditions(tmp_path: Path) -> None:
    """Sources add up to the sum of the stems at the gains of the rendition, but for one guard."""
    export_dataset(RENDITIONS, tmp_path / "x", "bach10", limit=1)
    corpus = Corpus(RENDITIONS)
    pieces = list((tmp_path / "x").glob("*/"))
    assert pieces
    for piece in pieces:
        total = sum(
            soundfile.read(path, dtype="float32")[0] for path in piece.glob("*_r00000_*.wav")
        )
        (song, *_) = [s for s in corpus.values() if Path(s.record.source).stem == piece.name]
        mixture = song.mixture[0]
        gain = np.dot(total, mixture) / np.dot(mixture, mixture)
        assert gain <= 1 + 1e-6
        assert np.abs(total - gain * mixture).max() < 1e-5


def test_other_sources_and_few_splits(tmp_path: Path) -> None:
    taxonomy = tmp_path / "two.toml"
    taxonomy.write_text('[targets]\nhigh = ["violin", "clarinet"]\nlow = ["*"]\n')
    export_dataset(RENDITIONS, tmp_path / "x", "bach10", taxonomy=str(taxonomy), splits=("test",))
    names = {path.stem.split("_")[-1] for path in (tmp_path / "x").rglob("*.wav")}
    assert names == {"high", "low"}
    with pytest.raises(NothingToDo, match="has no song to export"):
        export_dataset(RENDITIONS, tmp_path / "y", "bach10", splits=("validation",))


def test_a_forecast_is_what_comes(tmp_path: Path) -> None:
    forecast = forecast_export(RENDITIONS, "bach10")
    export_dataset(RENDITIONS, tmp_path / "x", "bach10")
    files = {path: path.stat().st_size for path in (tmp_path / "x").glob("*/*")}
    assert {p.relative_to(tmp_path / "x").as_posix() for p in files} == set(forecast.paths)
    n_audio = sum(size for path, size in files.items() if path.suffix == ".wav")
    n_other = sum(size for path, size in files.items() if path.suffix == ".txt")
    assert n_audio < forecast.n_bytes < n_audio + 10 * n_other + 100_000


def test_killed_at_any_moment_it_goes_on(tmp_path: Path, killed_after: Any) -> None:
    export_dataset(RENDITIONS, tmp_path / "whole", "bach10")
    for n in (0, 9, 30, 77):
        with killed_after(n):
            export_dataset(RENDITIONS, tmp_path / "killed", "bach10")
    export_dataset(RENDITIONS, tmp_path / "killed", "bach10")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_a_damaged_stem_costs_its_renditions_only(tmp_path: Path) -> None:
    shutil.copytree(RENDITIONS, tmp_path / "r")
    stem = min((tmp_path / "r").rglob("*.flac"))
    stem.write_bytes(stem.read_bytes()[:200])
    done = export_dataset(tmp_path / "r", tmp_path / "x", "bach10")
    rejections = done.rejection_records()
    assert 0 < len(rejections) < len(Corpus(RENDITIONS))
    for rejection in rejections:
        assert rejection.reason == "damaged" and str(stem) in rejection.detail
        piece, _, style = rejection.id.rpartition("_")
        assert not list((tmp_path / "x" / piece).glob(f"*{style}*"))


def test_one_score_in_two_corpora_is_one_piece(tmp_path: Path) -> None:
    shutil.copytree(RENDITIONS, tmp_path / "r")
    export_dataset([RENDITIONS, tmp_path / "r"], tmp_path / "x", "bach10")
    n_styles = [len(list(p.glob("violin_g_*.txt"))) for p in (tmp_path / "x").glob("*/")]
    assert sum(n_styles) == 2 * len(Corpus(RENDITIONS))


def test_songs_are_no_renditions(corpus: Path, tmp_path: Path, here: Any) -> None:
    text = "is a corpus of songs; the format bach10 takes a corpus of renditions"
    with pytest.raises(UsageError, match=text):
        export_dataset(corpus, tmp_path / "x", "bach10")
    done = here("export", RENDITIONS, tmp_path / "x", "--format", "bach10", "--json", "--jobs", 0)
    assert json.loads(done.stdout)["format"] == "bach10"
