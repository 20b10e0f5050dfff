"""Checking a finished folder of scores: checksums, counts, nothing missing, nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from stemsmith.evaluate.benchmark.plan import STAGE, STATE_FOLDER
from stemsmith.evaluate.benchmark.report import read_summary
from stemsmith.evaluate.benchmark.score_song import SI_SDR, Score
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.run_folder import refuse_unfinished

__all__ = ["Checked", "check_results"]


class Checked(NamedTuple):
    """How much there is in a folder of scores."""

    n_songs: int
    n_scores: int
    n_rejections: int


def check_results(root: Path) -> Checked:
    """Check what ``stemsmith evaluate`` wrote.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    Checked
        Counts.

    Raises
    ------
    InvalidCorpus
        Naming the first offender.
    """
    header = shards.read_manifest(root, STAGE)
    refuse_unfinished(root / STATE_FOLDER, "evaluate")
    shards.check_shards(root, header)
    _check_files(root, header)
    scores = shards.read_records(root / "scores.parquet", Score)
    rejections = shards.read_records(root / "rejections.parquet", Rejection)
    manifest = root / shards.MANIFEST
    if header.get("rejections") != Counter(str(rejection.reason) for rejection in rejections):
        raise InvalidCorpus(f"{manifest}: counts of rejections are not the shard's")
    scored = {score.song for score in scores}
    if header.get("n_songs") != len(scored):
        raise InvalidCorpus(f"{manifest}: has {len(scored)} songs, not as it says")
    summary = read_summary(root)
    if sorted([*scored, *(rejection.id for rejection in rejections)]) != summary["songs"]:
        raise InvalidCorpus(f"{root}: songs that are scored or left out are not the summary's")
    found = Counter((score.song, score.target) for score in scores if score.metric == SI_SDR)
    if found != Counter((song, target) for song in scored for target in summary["scores"]):
        raise InvalidCorpus(f"{root / 'scores.parquet'}: not one {SI_SDR} a song and target")
    return Checked(len(scored), len(scores), len(rejections))


def _check_files(root: Path, header: dict[str, Any]) -> None:
    """Check the files beside the shards, and that museval would read no others."""
    entries = header.get("files")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and entry.keys() == {"file", "sha256"} for entry in entries
    ):
        raise InvalidCorpus(f"{root / shards.MANIFEST}: does not list its files")
    paths = {storage.inside(root, str(entry["file"])): entry["sha256"] for entry in entries}
    for path, sha256 in paths.items():
        if not path.is_file():
            raise InvalidCorpus(f"{path}: missing")
        if storage.file_hash(path) != sha256:
            raise InvalidCorpus(f"{path}: SHA-256 is not the one in {shards.MANIFEST}")
    for path in sorted((root / "museval").rglob("*.json")):
        if path not in paths:
            raise InvalidCorpus(f"{path}: not in {shards.MANIFEST}")
