"""Frame scores in museval's files, and its median of medians.

A file holds one track: its targets, their frames, and four metrics a frame. As museval 0.4.1 writes
it, scores have five decimals, inf is written as NaN, and NaN stands in the file as such, which is
not strict JSON. ``museval.EvalStore().add_eval_dir(folder)`` reads ``folder/test/*.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.bsseval.frames import BssScores
from stemsmith.evaluate.metrics.registry import BSS_EVAL
from stemsmith.manifests.documents import read_json
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.storage import write_atomic

__all__ = ["METRICS", "TrackScores", "median_of_medians", "read_track", "write_track"]

METRICS: Final = tuple(metric.name for metric in BSS_EVAL)  # in museval's order
# target -> metric -> (n_frames,) in dB, NaN where there is none
TrackScores = Mapping[str, Mapping[str, npt.NDArray[np.float64]]]

_MUSEVAL_VERSION: Final = "0.4.1"  # of which the schema and the scores are
_DECIMALS: Final = 5


def write_track(path: Path, scores: Mapping[str, tuple[BssScores, int]]) -> None:
    """Write the scores of a track.

    Parameters
    ----------
    path : pathlib.Path
        ``.../test/NAME OF THE TRACK.json``, for museval to find it.
    scores : mapping of str to (BssScores, int)
        For each target by name, the scores of a pass and the target's row in them. Targets may
        come from different passes: museval scores vocals against accompaniment in one of its own.
    """
    targets = [
        {"name": name, "frames": _frames(*where)} for name, where in scores.items()
    ]  # in museval's order of keys
    track = {"targets": targets, "museval_version": _MUSEVAL_VERSION}
    write_atomic(path, json.dumps(track, indent=2).encode())


def _frames(scores: BssScores, target: int) -> list[dict[str, Any]]:
    columns = np.stack([scores.values(metric)[target] for metric in METRICS], axis=1)
    return [
        {
            "time": time_s,
            "duration": scores.duration_s,
            "metrics": dict(zip(METRICS, map(_rounded, frame), strict=True)),
        }
        for time_s, frame in zip(scores.start_s.tolist(), columns.tolist(), strict=True)
    ]


def _rounded(score_db: float) -> float:
    return math.nan if math.isinf(score_db) else round(score_db, _DECIMALS)


def read_track(path: Path) -> TrackScores:
    """Read the scores of a track, from a file of this project or of museval.

    Parameters
    ----------
    path : pathlib.Path
        A file as museval writes it.

    Returns
    -------
    mapping of str to mapping of str to numpy.ndarray
        Target, metric (of `METRICS`), and (n_frames,) in dB; infinite scores are NaN.

    Raises
    ------
    InvalidCorpus
        If it is no file of frame scores.
    """
    try:
        targets = read_json(path, InvalidCorpus)["targets"]
        return {
            target["name"]: {
                metric: _finite([frame["metrics"][metric] for frame in target["frames"]])
                for metric in METRICS
            }
            for target in targets
        }
    except InvalidCorpus as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InvalidCorpus(f"{path}: no scores in museval's format: {reason}") from error
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise InvalidCorpus(f"{path}: no scores in museval's format ({error!r})") from error


def _finite(scores_db: Sequence[Any]) -> npt.NDArray[np.float64]:
    scores = np.array(scores_db, np.float64)
    return np.where(np.isinf(scores), np.nan, scores)


def median_of_medians(tracks: Iterable[TrackScores]) -> dict[str, dict[str, float]]:
    """Aggregate tracks as museval and SiSEC 2018 do.

    Parameters
    ----------
    tracks : iterable of TrackScores
        Scores of tracks, each of which may lack some of the targets.

    Returns
    -------
    dict of str to dict of str to float
        Target, metric, and in dB the median over tracks of the median over frames. Frames that
        are NaN or infinite, and tracks without others, do not count; NaN if none does.
    """
    medians: dict[str, dict[str, list[float]]] = {}
    for track in tracks:
        for target, scores in track.items():
            of_target = medians.setdefault(target, {metric: [] for metric in METRICS})
            for metric in METRICS:
                counted = scores[metric][np.isfinite(scores[metric])]
                if len(counted):
                    of_target[metric].append(float(np.median(counted)))
    return {
        target: {metric: float(np.median(m)) if m else math.nan for metric, m in of_target.items()}
        for target, of_target in medians.items()
    }
