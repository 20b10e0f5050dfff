"""What there is to do here: scoring systems, separating files, checking results.

These functions print nothing; they tell of their progress to whoever is given, and use workers
only where asked to.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.evaluate.benchmark.destination import ResultsDestination
from stemsmith.evaluate.benchmark.options import EvaluationConfig, EvaluationOptions
from stemsmith.evaluate.benchmark.plan import EvaluationRequest, plan_evaluation
from stemsmith.evaluate.benchmark.results import STAGE, STATE_FOLDER, Results
from stemsmith.evaluate.benchmark.score_song import ScoringJob, score_song
from stemsmith.evaluate.benchmark.systems import Kind, require_torch, system_of
from stemsmith.evaluate.benchmark.validate import validate_results
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.separation.files import (
    SeparatedRecording,
    outputs_of,
    separate_to_files,
    unfit_recordings,
)
from stemsmith.evaluate.separation.options import SeparationConfig, SeparationOptions
from stemsmith.manifests.audio.flac import encoder_warnings
from stemsmith.manifests.audio.formats import FileFormat
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, Unreadable, UsageError
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs
from stemsmith.manifests.options import member
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.run_folder import refuse_foreign, refuse_other_kind

if TYPE_CHECKING:  # it needs torch
    from stemsmith.evaluate.separation.blockwise import BlockwiseSeparator

__all__ = [
    "SeparatedFiles",
    "evaluate_system",
    "separate_files",
    "validate_results",
]

# What a full disk is to one recording it is to all.
_OF_ALL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def evaluate_system(
    system: str | PathLike[str] | Sequence[PathLike[str]],
    dataset: str | PathLike[str],
    results: str | Path,
    config: EvaluationConfig | None = None,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[EvaluationOptions],
) -> Results:
    """Score a system on the songs of a data set.

    Killed at any moment, the same call goes on where it was, and ends with the same bytes. Results
    that are there already are not computed again.

    Parameters
    ----------
    system : str, path, or sequence of path
        A trained run, or several that are one system together: each as a `Run` or the path of its
        folder. Or a text as on the command line: ``mixture``, ``oracle:irm``,
        ``run:DIR[,run:DIR...]``, ``estimates:DIR``.
    dataset : str or path
        A `Corpus`, the path of one, or a text as on the command line, such as ``musdb:PATH``.
    results : path
        Folder that is made, or gone on with.
    config : EvaluationConfig, optional
        Options to begin with; None takes the defaults.
    jobs : int or Workers
        Number of worker processes, where 0 works in this process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do the jobs.
    progress : Progress
        Is told how far the work is; by default nobody is.
    **options
        Fields of `EvaluationConfig` that replace those of `config`.

    Returns
    -------
    Results
        The finished folder.

    Raises
    ------
    UsageError
        If system, data set, folder and options do not go together, or make no sense.
    NothingToDo
        If not one song can be scored.
    InvalidCorpus
        If the data set, a run, or a folder of estimates or results is not what it should be.

    Examples
    --------
    >>> import stemsmith
    >>> results = stemsmith.evaluate_system("oracle:irm", "corpus", "new-results", bss="none")
    >>> sorted(set(results.scores["target"].to_pylist()))
    ['bass', 'drums', 'guitar', 'piano']
    """
    root = place(results)
    refuse_foreign(root, STAGE, STATE_FOLDER)
    refuse_other_kind(root, STAGE)
    wanted = replace(config, **options) if config else EvaluationConfig(**options)  # type: ignore[arg-type]
    scored = system_of(system)
    named = str(dataset) if is_remote(dataset) else fspath(dataset)
    found = find_dataset(named, wanted.taxonomy, wanted.splits).of_songs(wanted.songs)
    plan = plan_evaluation(EvaluationRequest(found, scored, wanted), root, progress)
    if plan.unused:
        progress.warn(f"estimates of {', '.join(plan.unused)} belong to no target")
    destination = ResultsDestination(root, plan)
    with destination.opened():
        if open_jobs := destination.open_jobs():
            files = (file.path for job in open_jobs for file in job.song.files)
            with (
                open_workers(jobs, scheduler) as workers,
                preflight(workers, inputs=[files], destination=root.absolute() / STATE_FOLDER),
            ):
                _score_songs(destination, open_jobs, workers, progress)
        destination.close()
    return Results(root)


def _score_songs(
    destination: ResultsDestination,
    jobs: list[ScoringJob],
    workers: Workers,
    progress: Progress,
) -> None:
    def died(job: ScoringJob) -> Rejection:
        return destination.reject(job, Reason.WORKER_DIED, "killed the process that scored it")

    with progress.loop("evaluate", len(jobs)) as ticker:
        for result in do_jobs(workers, score_song, destination.prepared(jobs), died):
            if isinstance(result, Rejection):
                destination.forget(result.id)
                ticker.advance()
            else:
                destination.forget(result.song)
                ticker.advance(audio_s=result.duration_s)


@dataclass(frozen=True, slots=True)
class SeparatedFiles:
    """What `separate_files` has written.

    Attributes
    ----------
    targets : tuple of str
        Targets that have a file of every recording.
    recordings : tuple of SeparatedRecording
        Recordings that were separated, at least one.
    rejections : tuple of Rejection
        Files that were left out, and why.
    processing_s : float
        Seconds that separating took.
    latency_s : float or None
        Algorithmic latency in seconds, if streaming was asked for.
    """

    targets: tuple[str, ...]
    recordings: tuple[SeparatedRecording, ...]
    rejections: tuple[Rejection, ...]
    processing_s: float
    latency_s: float | None

    @property
    def audio_s(self) -> float:
        """Length of all recordings together in seconds."""
        return sum((recording.duration_s for recording in self.recordings), 0.0)

    @property
    def real_time_factor(self) -> float:
        """Seconds that separating takes for each second of audio."""
        return self.processing_s / self.audio_s


def separate_files(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    recordings: Sequence[str | PathLike[str]],
    destination: str | Path,
    config: SeparationConfig | None = None,
    *,
    nmf: NmfConfig | None = None,
    file_format: FileFormat | str = FileFormat.WAV,
    device: str = "auto",
    is_overwriting: bool = False,
    progress: Progress = QUIET,
    **options: Unpack[SeparationOptions],
) -> SeparatedFiles:
    """Separate recordings into ``DESTINATION/<recording>/<target>.wav``, in bounded memory.

    What can be refused is refused before anything is written. A recording that cannot be read, or
    that the options cannot do, is left out and named in what is returned.

    Parameters
    ----------
    runs : path or sequence of path
        Trained runs that are one system together: each a `Run`, or the path of its folder. Or
        the text ``nmf:SCORE[,informed]``, for the recording that the MIDI file is the score of.
    recordings : sequence of path
        Files of audio of any length, sample rate and number of channels.
    destination : path
        Folder that gets a folder for each recording.
    config : SeparationConfig, optional
        Options to begin with; None takes the defaults. They are for runs alone.
    nmf : NmfConfig, optional
        Options of ``nmf:``; None takes the defaults.
    file_format : FileFormat
        Format of the files: ``wav`` is 32-bit float; ``flac`` (24-bit) and ``wav16`` clip.
    device : str
        Where to separate: ``auto``, ``cpu`` or ``cuda``.
    is_overwriting : bool
        Whether files that are there are replaced.
    progress : Progress
        Is told how far the work is, and what has been clipped; by default nobody is.
    **options
        Fields of `SeparationConfig` that replace those of `config`.

    Returns
    -------
    SeparatedFiles
        What was written, and what was left out.

    Raises
    ------
    UsageError
        If options and runs do not go together, or with none of the recordings, or a file is in
        the way.
    NothingToDo
        If not one recording can be separated; the text says why the first one cannot.
    InvalidCorpus
        If a run cannot be read.

    Examples
    --------
    >>> import stemsmith
    >>> done = stemsmith.separate_files("run", ["corpus/test/Track00003/mix.flac"], "separated")
    >>> done.targets, len(done.recordings), done.rejections
    (('bass',), 1, ())
    """
    require_torch()  # before what imports it
    wanted = replace(config, **options) if config else SeparationConfig(**options)  # type: ignore[arg-type]
    separator = _separator(runs, recordings, wanted, nmf or NmfConfig(), device, progress)
    kind = member(FileFormat, file_format, "--format")
    paths = [local_path(path) for path in recordings]
    outputs = outputs_of(separator, paths, local_path(destination), kind, is_overwriting)
    errors: dict[Path, Exception] = {**unfit_recordings(separator, paths, kind)}
    if len(errors) == len(paths):
        raise errors[paths[0]]
    separated, processing_s = list[SeparatedRecording](), 0.0
    for warning in encoder_warnings() if kind is FileFormat.FLAC else ():
        progress.warn(warning)
    with progress.loop("separate", len(paths)) as ticker:
        for path, files in zip(paths, outputs, strict=True):
            if path in errors:
                ticker.advance()
                continue
            start = time.perf_counter()
            try:
                done = separate_to_files(separator, path, files, kind)
            except (InvalidCorpus, UsageError, OSError) as error:
                if isinstance(error, OSError) and error.errno in _OF_ALL:
                    raise
                errors[path] = error
                ticker.advance()
                continue
            processing_s += time.perf_counter() - start
            separated.append(done)
            _warn_of_clipping(done, kind, progress)
            ticker.advance(audio_s=done.duration_s)
    rejections = [_left_out(path, errors[path]) for path in paths if path in errors]
    if not separated:
        is_misused = all(isinstance(error, UsageError) for error in errors.values())
        raise (UsageError if is_misused else NothingToDo)(rejections[0].detail)
    latency_s = separator.latency_s if wanted.is_streaming else None
    return SeparatedFiles(
        separator.targets, tuple(separated), tuple(rejections), processing_s, latency_s
    )


def _separator(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    recordings: Sequence[str | PathLike[str]],
    config: SeparationConfig,
    nmf: NmfConfig,
    device: str,
    progress: Progress,
) -> BlockwiseSeparator:
    """Return trained runs as one system, or NMF by a score."""
    if not (isinstance(runs, str) and runs.startswith(f"{Kind.NMF}:")):
        from stemsmith.evaluate.separation.separator import Separator

        nmf.refuse_nmf()
        folders = [runs] if isinstance(runs, str | PathLike) else list(runs)
        return Separator.of_runs(folders, config, device, progress)
    from stemsmith.evaluate.nmf.separator import LearnedBases, NmfSeparator
    from stemsmith.render.workflow import make_bank

    system = system_of(runs)
    if config != SeparationConfig():
        raise UsageError(f"{runs}: has no options of trained runs")
    if not system.folders or len(recordings) != 1:
        raise UsageError(f"{runs}: needs one recording and its score, nmf:SCORE.mid")
    bases = LearnedBases(make_bank(nmf.soundfonts, nmf.bank, progress))
    return NmfSeparator.of_score(system.folders[0], bases, nmf, system.is_informed, device)


def _left_out(path: Path, error: Exception) -> Rejection:
    """Return the row of a recording that could not be separated."""
    detail = str(error)
    if isinstance(error, OSError):
        detail = f"{error.filename or path}: {error.strerror or error}"
    reasons = {UsageError: Reason.UNSUPPORTED, OSError: Reason.UNREADABLE}
    reasons |= {Unreadable: Reason.UNREADABLE, InvalidCorpus: Reason.DAMAGED}
    reason = next(reason for kind, reason in reasons.items() if isinstance(error, kind))
    return Rejection(str(path), "separate", reason, detail)


def _warn_of_clipping(
    done: SeparatedRecording, file_format: FileFormat, progress: Progress
) -> None:
    for target, peak in done.peaks.items():
        if peak > 1 and file_format.is_integer:
            progress.warn(
                f"{done.files[target]}: clipped, the peak is {peak:.2f}; WAV would hold it"
            )
