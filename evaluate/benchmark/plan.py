"""The plan of an evaluation: which songs are scored for which targets, with whose estimates.

All that decides a score is in the plan's fingerprint: songs, size and time of every file, weights
of runs, options, versions of packages.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from stemsmith.evaluate.benchmark.datasets import Dataset, DatasetSong, folds_of
from stemsmith.evaluate.benchmark.options import EvaluationConfig, Lengths
from stemsmith.evaluate.benchmark.results import REJECTED_BY, STAGE, STATE_FOLDER
from stemsmith.evaluate.benchmark.score_informed import ScoreInformed
from stemsmith.evaluate.benchmark.score_song import ScoringJob
from stemsmith.evaluate.benchmark.systems import FOLD, EstimateFolder, JointRuns, Kind, System
from stemsmith.evaluate.metrics.options import Engine
from stemsmith.evaluate.metrics.registry import song_metrics
from stemsmith.manifests import places, storage
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError, install_command
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import lies_in, place
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.train.machine import Device

__all__ = ["EvaluationPlan", "EvaluationRequest", "plan_evaluation", "why_nothing"]

_FRAMES_ENDING: Final = ".json"
_PACKAGES: Final = ("numpy", "scipy", "soundfile", "soxr", "pyarrow")

# None: estimates are made while scoring.
Estimator = EstimateFolder | JointRuns | ScoreInformed | None


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Which system is to be scored on which songs, and how.

    Attributes
    ----------
    dataset : Dataset
        The songs that are scored.
    system : System
        The system that is scored on them.
    config : EvaluationConfig
        How it is scored.
    """

    dataset: Dataset
    system: System
    config: EvaluationConfig


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """All decisions of an evaluation.

    Attributes
    ----------
    jobs : tuple of ScoringJob
        One for each song that can be scored as far as is known, by name.
    rejections : tuple of Rejection
        Songs of which the system lacks an estimate.
    folds : dict of str to int, or None
        Number of each song's fold.
    estimators : dict of str to Estimator
        Where the estimates of each song come from.
    header : dict
        What the manifest says of the evaluation before it is done.
    fingerprint : str
        Hash of all that decides a score.
    unused : tuple of str
        Names of estimates that belong to no target.
    left_out : tuple of Rejection
        Files of the data set, and of folders of estimates, that are not used.
    """

    jobs: tuple[ScoringJob, ...]
    rejections: tuple[Rejection, ...]
    folds: dict[str, int] | None
    estimators: dict[str, Estimator]
    header: dict[str, Any]
    fingerprint: str
    unused: tuple[str, ...]
    left_out: tuple[Rejection, ...] = ()


def plan_evaluation(
    request: EvaluationRequest, results: Path, progress: Progress = QUIET
) -> EvaluationPlan:
    """Decide which songs are scored for which targets.

    Parameters
    ----------
    request : EvaluationRequest
        Which system is to be scored on which songs, and how.
    results : Path
        The folder that results are to go into.
    progress : Progress
        Is warned of weights that have no checksum.

    Returns
    -------
    EvaluationPlan
        All decisions, with at least one job.

    Raises
    ------
    UsageError
        If the parts of the request do not go together.
    NothingToDo
        If the system has estimates of none of the songs.
    InvalidCorpus
        If a run or a folder of estimates is not what it should be.
    """
    dataset, system, config = request.dataset, request.system, request.config
    _check_separation(request)
    if lies_in(results.resolve(), dataset.root):
        raise UsageError(f"{results}: lies in the data set {dataset.root}; choose another folder")
    if system.is_folded and config.n_folds is None:
        raise UsageError(f"{system.name}: {FOLD} stands for the number of a fold; give --folds")
    names = [song.name for song in dataset.songs]
    folds = folds_of(names, config.n_folds) if config.n_folds else None
    fold_of = folds if folds and system.is_folded else dict.fromkeys(names, 0)
    of_fold = {fold: _estimator(request, fold, progress) for fold in sorted(set(fold_of.values()))}
    targets, unused = _targets(request, [each for each in of_fold.values() if each])
    estimators = {name: of_fold[fold] for name, fold in fold_of.items()}
    jobs: list[ScoringJob] = []
    rejections: list[Rejection] = []
    for number, song in enumerate(dataset.songs):
        state = results.absolute() / STATE_FOLDER  # for workers elsewhere
        planned = _job(request, estimators[song.name], song, targets, state, f"{number:05d}")
        if isinstance(planned, ScoringJob):
            jobs.append(planned)
        else:
            rejections.append(planned)
    if not jobs:
        raise NothingToDo(why_nothing(system.name, rejections))
    header = {
        "stage": STAGE,
        "system": config.label or system.name,
        "dataset": dataset.name,
        "config": _config(request, targets, of_fold.values()),
        "versions": _versions(request),
    }
    fingerprint = _fingerprint(header, jobs, estimators)
    needed = {name for target in targets for name in config.sums.get(target, (target,))}
    left_out = [*dataset.left_out, *_unused_estimates(estimators, needed)]
    return EvaluationPlan(
        tuple(jobs),
        tuple(rejections),
        folds,
        estimators,
        header,
        fingerprint,
        unused,
        tuple(sorted(left_out, key=astuple)),
    )


def _unused_estimates(
    estimators: Mapping[str, Estimator], names: Collection[str]
) -> Iterator[Rejection]:
    """Yield a row for every file of folders of estimates that belongs to nothing scored."""
    songs: dict[EstimateFolder, list[str]] = {}
    for song, estimator in estimators.items():
        if isinstance(estimator, EstimateFolder):
            songs.setdefault(estimator, []).append(song)
    for folder, own in songs.items():
        yield from folder.unused(set(own), names)


def _check_separation(request: EvaluationRequest) -> None:
    """Check that options are the system's: other people's estimates are taken as they are."""
    known = request.dataset.targets
    for target, names in request.config.sums.items():
        if target not in known:
            given = f"--map {target}={'+'.join(names)}"
            raise UsageError(f"{given}: no target {target!r}; known: {', '.join(known)}")
    if request.system.kind is not Kind.RUN:
        request.config.refuse_separation()
    if request.system.kind is not Kind.NMF:
        request.config.refuse_nmf()
    is_separating = request.system.kind in (Kind.RUN, Kind.NMF)
    if not is_separating and request.config.device is not Device.AUTO:
        raise UsageError(f"--device {request.config.device}: only with run: and nmf:")
    is_fitting = request.config.lengths is Lengths.FIT
    if is_fitting and request.system.kind is not Kind.ESTIMATES:
        raise UsageError("--lengths fit: only with estimates:")
    if request.config.pattern and request.system.kind is not Kind.ESTIMATES:
        raise UsageError("--pattern: only with estimates:")


def _estimator(request: EvaluationRequest, fold: int, progress: Progress) -> Estimator:
    system = request.system.of_fold(fold)
    if system.kind is Kind.ESTIMATES:
        songs = [song.name for song in request.dataset.songs]
        return EstimateFolder(system.folders[0], request.config.pattern, songs)
    if system.kind is Kind.RUN:
        config = request.config
        return JointRuns(system.folders, config.separation, config.device, progress)
    if request.config.sums:
        raise UsageError("--map: only with run: and estimates:")
    if system.kind is Kind.NMF:
        config, dataset = request.config, request.dataset
        taxonomy = config.taxonomy or dataset.taxonomy
        return ScoreInformed(system, dataset, taxonomy, config.nmf, config.device, progress)
    return None


def _targets(
    request: EvaluationRequest, estimators: Sequence[EstimateFolder | JointRuns | ScoreInformed]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the targets to score, and names of estimates that none of them needs."""
    known, wanted = request.dataset.targets, request.config.targets
    if unknown := [target for target in wanted if target not in known]:
        raise UsageError(
            f"--target {unknown[0]}: no song of {request.dataset.name} has it; "
            f"there is {', '.join(known)}"
        )
    needed = {target: set(request.config.sums.get(target, (target,))) for target in known}
    offered: set[str] = set()
    if estimators:
        offered = set.intersection(*(set(estimator.names) for estimator in estimators))
    scored = [target for target in known if not estimators or needed[target] <= offered]
    lacking = [target for target in wanted or known if target not in scored]
    if lacking and (wanted or not scored):
        raise UsageError(
            f"{request.system.name}: has {', '.join(sorted(offered))}, which is no estimate of "
            f"{lacking[0]}; --map {lacking[0]}=NAME+NAME sums what it has"
        )
    targets = tuple(target for target in scored if target in wanted or not wanted)
    if request.config.engine is Engine.MUSEVAL:
        if targets != known:
            raise UsageError(f"--engine museval: scores all targets or none ({', '.join(known)})")
        if find_spec("museval") is None:
            raise UsageError(f"--engine museval: needs {install_command('evaluate')}")
    used = {name for target in scored for name in needed[target]}
    return targets, tuple(sorted(offered - used))


def _job(
    request: EvaluationRequest,
    estimator: Estimator,
    song: DatasetSong,
    targets: Sequence[str],
    state: Path,
    key: str,
) -> ScoringJob | Rejection:
    staged = state / "staging" / key
    estimates: dict[str, tuple[str, ...]] = {}
    present = {stem.target for stem in song.stems}
    is_of_silence = any(m.is_of_silence for m in song_metrics(request.config.more_metrics))
    wanted = [target for target in targets if is_of_silence or target in present]
    for target in wanted if estimator else ():
        files = []
        for name in request.config.sums.get(target, (target,)):
            if isinstance(estimator, EstimateFolder):
                file = estimator.find(song.name, name)
                if file is None and target not in present:  # nobody has to have an estimate of it
                    break
                if file is None:
                    detail = estimator.missing(song.name, name)
                    return Rejection(song.name, REJECTED_BY, Reason.NO_ESTIMATE, detail)
            else:
                file = staged / f"{name}.wav"
            files.append(str(file.absolute()))  # for workers elsewhere
        else:
            estimates[target] = tuple(files)
    return ScoringJob(
        song=song,
        targets=tuple(targets),
        oracle=request.system.oracle,
        estimates=tuple(estimates.items()) if estimator else None,
        metrics=request.config.metrics,
        staged=str(staged),
        scores=str(state / "songs" / f"{key}-scores.parquet"),
        rejection=str(state / "songs" / f"{key}-rejection.parquet"),
        frames=str(state.parent / "museval" / "test" / _frames_name(song.name)),
        lengths=request.config.lengths,
        fits=str(state / "songs" / f"{key}-fits.parquet"),
        time=str(state / "songs" / f"{key}-time.parquet"),
    )


def _frames_name(song: str) -> str:
    """Return the name of the file of a song's frames, which no name is too long for."""
    return storage.short_name(song, len(_FRAMES_ENDING)) + _FRAMES_ENDING


def _config(
    request: EvaluationRequest, targets: Sequence[str], estimators: Iterable[Estimator]
) -> dict[str, Any]:
    config, is_run = request.config, request.system.kind is Kind.RUN
    is_fitting = config.lengths is Lengths.FIT
    nmf = next((each for each in estimators if isinstance(each, ScoreInformed)), None)
    return {
        **({"lengths": str(config.lengths)} if is_fitting else {}),  # else as in version 0.1
        **({"pattern": config.pattern} if config.pattern else {}),
        "label": config.label,
        "kind": str(request.system.kind),
        "oracle": request.system.oracle,
        "map": dict(sorted(config.sums.items())),
        "taxonomy": request.dataset.taxonomy,
        "splits": sorted({song.split for song in request.dataset.songs}),
        "targets": list(targets),
        "n_folds": config.n_folds or 0,
        "separation": config.separation.to_dict() if is_run else None,
        **({"nmf": nmf.to_dict()} if nmf else {}),
        "metrics": config.metrics.to_dict(),
    }


def _versions(request: EvaluationRequest) -> dict[str, str]:
    names = list(_PACKAGES)
    names += ["torch"] * (request.system.kind in (Kind.RUN, Kind.NMF))
    names += ["museval"] * (request.config.engine is Engine.MUSEVAL)
    return {name: package_version(name) for name in ("stemsmith", *names)}


def _fingerprint(
    header: Mapping[str, Any], jobs: Sequence[ScoringJob], estimators: Mapping[str, Estimator]
) -> str:
    """Return a hash that does not depend on where things lie."""
    songs = []
    for job in jobs:
        stems = [
            (f.target, f.stream, f.shift, f.gain_db, _identity(f.path)) for f in job.song.files
        ]
        estimator, given = estimators[job.song.name], list[Any]()
        if isinstance(estimator, JointRuns):  # what they have separated is no input
            given = estimator.weights
        elif isinstance(estimator, ScoreInformed):
            given = estimator.inputs(job.song)
        elif job.estimates is not None:
            given = [[*map(_identity, paths)] for _, paths in job.estimates]
        songs.append((job.song.name, stems, given))
    text = json.dumps([header["config"], header["versions"], songs])
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(path: str) -> tuple[str, int, int]:
    """Return the name, size and time of a file; nothing of one that is not there."""
    try:
        n_bytes, changed_ns, _ = places.status_of(place(path))
    except (OSError, InvalidCorpus):  # of a tar that is damaged
        return place(path).name, -1, -1
    return place(path).name, n_bytes, changed_ns


def why_nothing(system: str, rejections: Sequence[Rejection]) -> str:
    """Say why no song is left, with the first as an example."""
    reasons = ", ".join(f"{n} {r}" for r, n in Counter(r.reason for r in rejections).most_common())
    first = rejections[0].detail
    return f"{system}: none of {len(rejections)} songs can be scored: {reasons}; {first}"
