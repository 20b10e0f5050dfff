"""Checking a finished folder of results: checksums, counts, nothing missing, nothing else."""

from __future__ import annotations

from collections import Counter
from os import PathLike
from typing import Any, NamedTuple

from stemsmith.evaluate.benchmark.results import REJECTED_BY, SCORES, STATE_FOLDER, Results
from stemsmith.evaluate.metrics.registry import known_metric
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.run_folder import refuse_unfinished

__all__ = ["ResultCounts", "validate_results"]


class ResultCounts(NamedTuple):
    """How much there is in a folder of results.

    Attributes
    ----------
    n_songs : int
        Number of songs that have scores.
    n_scores : int
        Number of scores of all of them.
    n_rejections : int
        Number of songs that were left out.
    """

    n_songs: int
    n_scores: int
    n_rejections: int


def validate_results(folder: str | PathLike[str]) -> ResultCounts:
    """Check every checksum and count of what `stemsmith evaluate` wrote.

    Parameters
    ----------
    folder : path or Results
        The folder of results.

    Returns
    -------
    ResultCounts
        How many songs, scores and rejections there are.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is not what the manifest says, or what is missing in it.
    """
    results = Results(folder)
    refuse_unfinished(results.root / STATE_FOLDER, "evaluate")
    results.verify()
    _check_files(results)
    rejections = results.rejection_records()
    manifest = results.root / shards.MANIFEST
    reasons = Counter(str(rejection.reason) for rejection in rejections)
    if results.header.get("rejections") != reasons:
        raise InvalidCorpus(f"{manifest}: counts of rejections are not the shard's")
    scores = results.score_records()
    scored = {score.song for score in scores}
    if results.header.get("n_songs") != len(scored):
        raise InvalidCorpus(f"{manifest}: has {len(scored)} songs, not as it says")
    left_out = [rejection.id for rejection in rejections if rejection.stage == REJECTED_BY]
    songs = sorted([*scored, *left_out])
    if songs != results.summary["songs"]:
        raise InvalidCorpus(
            f"{results.root}: songs that are scored or left out are not the summary's"
        )
    _check_scores(results, Counter((s.metric, s.song, s.target) for s in scores), scored)
    return ResultCounts(len(scored), len(scores), len(rejections))


def _check_scores(results: Results, found: Counter[tuple[str, str, str]], songs: set[str]) -> None:
    """Check that metrics of one number a song have one for every song and target."""
    settings, by_target = results.summary["metrics"], results.summary["scores"]
    for metric in dict.fromkeys(name for summaries in by_target.values() for name in summaries):
        if known_metric(metric, settings).per == "song":
            once = {(metric, song, target): 1 for song in songs for target in by_target}
            if once != {key: n for key, n in found.items() if key[0] == metric}:
                raise InvalidCorpus(f"{results.root / SCORES}: not one {metric} a song and target")


def _check_files(results: Results) -> None:
    """Check the files beside the shards, and that museval would read no others."""
    entries = results.header.get("files")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise InvalidCorpus(f"{results.root / shards.MANIFEST}: does not list its files")
    paths = {storage.inside(results.root, str(entry["file"])): entry["sha256"] for entry in entries}
    for path, sha256 in paths.items():
        if not path.is_file():
            raise InvalidCorpus(f"{path}: missing")
        if storage.file_hash(path) != sha256:
            raise InvalidCorpus(f"{path}: SHA-256 is not the one in {shards.MANIFEST}")
    for path in sorted((results.root / "museval").rglob("*.json")):
        if path not in paths:
            raise InvalidCorpus(f"{path}: not in {shards.MANIFEST}")


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == {"file", "sha256"}
        and all(isinstance(value, str) for value in entry.values())
    )
