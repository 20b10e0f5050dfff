"""Folders of results with scores that tests choose."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from stemsmith.evaluate.benchmark.report import plain, summarise_scores
from stemsmith.evaluate.benchmark.results import (
    REJECTED_BY,
    REJECTIONS,
    SCORES,
    STAGE,
    SUMMARY,
    SongScore,
)
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.shards import shard_entry, write_manifest, write_records

BSS = {"version": "v4", "window_s": 1.0, "hop_s": 1.0, "silence": "all", "engine": "stemsmith",
       "is_mono": False}  # fmt: skip


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder of results."""

    def make(
        name: str,
        values: Mapping[str, Sequence[float]],
        metric: str = "SI-SDR",
        rejected: Sequence[str] = (),
        **changes: Any,
    ) -> Path:
        """Write the scores of ``s0``, ``s1``, ... by target; `changes` are those of the summary."""
        root = tmp_path / name
        root.mkdir()
        songs = changes.pop("songs", None) or [f"s{k}" for k in range(99)]
        frame = None if metric in ("SI-SDR", "SNR") else 0
        scores = [
            SongScore(song, target, frame, metric, float(value))
            for target, of_target in values.items()
            for song, value in zip(songs, of_target, strict=False)
        ]
        scores.sort(key=lambda score: score.song)
        scored = sorted({score.song for score in scores})
        rows = [
            Rejection(song, REJECTED_BY, Reason.NO_ESTIMATE, f"{song}: no") for song in rejected
        ]
        write_records(root / SCORES, SongScore, scores)
        write_records(root / REJECTIONS, Rejection, rows)
        summary = {
            "system": name,
            "dataset": "corpus",
            "taxonomy": "musdb",
            "splits": ["test"],
            "n_folds": 0,
            "metrics": {"si_sdr_rate": 16000, "bss": BSS},
            "songs": sorted([*scored, *rejected]),
            "n_scored": len(scored),
            "folds": None,
            "scores": plain(summarise_scores(scores, list(values))),
            **changes,
        }
        (root / SUMMARY).write_text(json.dumps(summary))
        header = {
            "stage": STAGE,
            "system": summary["system"],
            "dataset": summary["dataset"],
            "shards": [shard_entry(root / SCORES), shard_entry(root / REJECTIONS)],
        }
        write_manifest(root, header)
        return root

    return make
