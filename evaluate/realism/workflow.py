"""Comparing synthetic songs with real ones, and fitting levels to real ones.

These functions print nothing; they tell of their progress to whoever is given, and use workers
only where asked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Unpack

from stemsmith.evaluate.realism.fit import LevelFit, fit_levels
from stemsmith.evaluate.realism.gap import Gap, compare_sounds, pair_sounds, song_gaps
from stemsmith.evaluate.realism.options import GapConfig, GapOptions
from stemsmith.evaluate.realism.song_sound import (
    MEASURED_BY,
    MIXTURE,
    SongSound,
    SoundJob,
    measure_song,
)
from stemsmith.evaluate.realism.songs import KnownSong, SongSet, find_songs, read_known_songs
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing.level.balance import GROUPS, SUMMED, VOCALS
from stemsmith.mixing.sources.find import parse_source

__all__ = ["fit_balance", "measure_gap"]

Datasets = str | PathLike[str] | Sequence[str | PathLike[str]]


def measure_gap(
    corpus: str | PathLike[str],
    real: Datasets,
    config: GapConfig | None = None,
    *,
    baseline: str | PathLike[str] | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[GapOptions],
) -> Gap:
    """Measure how far the songs of a corpus are from real ones.

    Mixtures are sums of drums, bass and other, and of vocals too if the corpus has any.

    Parameters
    ----------
    corpus : str or path
        A corpus, or a data set as `evaluate_system` takes it.
    real : str, path, or sequence of them
        Data sets with real songs, such as ``musdb:PATH`` or ``folder:PATH``.
    config : GapConfig, optional
        Options to begin with; None takes the defaults.
    baseline : str or path, optional
        The same songs without the option in question: distances of each song to the real ones are
        compared with and without it.
    jobs : int or Workers
        Number of worker processes, where 0 works in this process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do the jobs.
    progress : Progress
        Is told how far the work is; by default nobody is.
    **options
        Fields of `GapConfig` that replace those of `config`.

    Returns
    -------
    Gap
        What was found, with the songs that do not count.

    Raises
    ------
    UsageError
        If a folder is none that can be read, or corpus and baseline have no song in common.
    NothingToDo
        If either side has no song in which every group sounds.
    InvalidCorpus
        If a folder is not what it was said to be.

    Examples
    --------
    >>> import stemsmith
    >>> gap = stemsmith.measure_gap("corpus", "corpus")  # a corpus is as it is itself
    >>> gap.gap_db, gap.groups
    (0.0, ('drums', 'bass', 'other'))
    """
    wanted = _config(config, options)
    known = read_known_songs(wanted.songs) if wanted.songs is not None else None
    for dataset in (corpus, *_several(real), *([] if baseline is None else [baseline])):
        parse_source(str(dataset))  # before any of them is read
    ours = find_songs([corpus], splits=wanted.splits, is_master=wanted.masters)
    theirs = find_songs(_several(real), known, splits=wanted.splits)
    before = None if baseline is None else find_songs([baseline], splits=wanted.splits)
    _tell_of_artists(theirs, known, progress)
    rejections: list[Rejection] = []
    with open_workers(jobs, scheduler) as workers:
        sounds = _measure(ours.summing(GROUPS), workers, progress, rejections)
        groups = GROUPS if any(VOCALS in song.sounds for song in sounds) else SUMMED
        if groups == SUMMED and theirs.has_vocals:
            progress.note("the corpus has no vocals: mixtures are drums, bass and other")
        real_sounds, sounds_before = (
            [] if side is None else _measure(side.summing(groups), workers, progress, rejections)
            for side in (theirs, before)
        )
    spectra, measures = compare_sounds(
        sounds, real_sounds, groups, seed=wanted.seed, n_halves=wanted.halves
    )
    paired = {}
    if before is not None:
        paired = pair_sounds(sounds, sounds_before, real_sounds, groups, wanted.seed)
    return Gap(
        corpus=ours.names,
        real=theirs.names,
        groups=groups,
        n_artists=len({song.artist for song in real_sounds if MIXTURE in song.sounds}),
        spectra=spectra,
        measures=measures,
        song_gaps_db=song_gaps(sounds, real_sounds),
        paired=paired,
        rejections=(*ours.left_out, *theirs.left_out, *rejections),
    )


def fit_balance(
    real: Datasets,
    config: GapConfig | None = None,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[GapOptions],
) -> LevelFit:
    """Measure how loud groups are in real songs, for ``render --balance``.

    Parameters
    ----------
    real, config, jobs, scheduler, progress, **options
        As for `measure_gap`.

    Returns
    -------
    LevelFit
        The levels; ``to_yaml()`` is the file.

    Raises
    ------
    NothingToDo
        If no song has drums, bass and other.
    UsageError, InvalidCorpus
        As for `measure_gap`.

    Examples
    --------
    >>> import stemsmith
    >>> fit = stemsmith.fit_balance("corpus")
    >>> sorted(fit.groups)
    ['bass', 'drums', 'other']
    """
    wanted = _config(config, options)
    known = read_known_songs(wanted.songs) if wanted.songs is not None else None
    found = find_songs(_several(real), known, splits=wanted.splits)
    _tell_of_artists(found, known, progress)
    rejections: list[Rejection] = []
    with open_workers(jobs, scheduler) as workers:
        sounds = _measure(found, workers, progress, rejections)
    if not sounds:
        raise NothingToDo(rejections[0].detail)
    return fit_levels(sounds, found.names, (*found.left_out, *rejections))


def _config(config: GapConfig | None, options: GapOptions) -> GapConfig:
    return replace(config, **options) if config else GapConfig(**options)  # type: ignore[arg-type]


def _several(datasets: Datasets) -> list[str | PathLike[str]]:
    several = [datasets] if isinstance(datasets, str | PathLike) else list(datasets)
    if not several:
        raise UsageError("no real songs are given")
    return several


def _tell_of_artists(real: SongSet, known: dict[str, KnownSong] | None, progress: Progress) -> None:
    names = {job.song for job in real.jobs}
    if known is not None and (unknown := sorted(set(known) - names)) == sorted(known):
        progress.warn(f"--songs: none of its songs is there, such as {unknown[0]}")
    n_own = sum(job.is_artist_unknown for job in real.jobs)
    if n_own:
        progress.note(
            f"{n_own} of {len(real.jobs)} real songs have no known artist, and count as an artist "
            "each (--songs)"
        )


def _measure(
    side: SongSet, workers: Workers, progress: Progress, rejections: list[Rejection]
) -> list[SongSound]:
    """Measure the songs of one side, in an order that does not depend on workers."""
    files = (file.path for job in side.jobs for _, stems in job.groups for file in stems)
    found: list[SongSound] = []
    refused: list[Rejection] = []
    with (
        preflight(workers, inputs=[files]),
        progress.loop("measure", len(side.jobs)) as ticker,
    ):
        for result in do_jobs(workers, measure_song, side.jobs, _died):
            if isinstance(result, Rejection):
                refused.append(result)
                ticker.advance()
            else:
                found.append(result)
                ticker.advance(audio_s=result.duration_s)
    found.sort(key=lambda song: (song.song, song.artist, song.identity))
    refused += [
        Rejection(song.song, MEASURED_BY, Reason.INCOMPLETE, _lacks(song))
        for song in found
        if song.missing
    ]
    rejections += sorted(refused, key=lambda rejection: (rejection.id, rejection.detail))
    return found


def _lacks(song: SongSound) -> str:
    missing = " and ".join(song.missing)
    return f"{song.song}: {missing} not heard; left out wherever the mixture counts"


def _died(job: SoundJob) -> Rejection:
    detail = "killed the process that measured it, twice"
    return Rejection(job.song, MEASURED_BY, Reason.WORKER_DIED, detail)
