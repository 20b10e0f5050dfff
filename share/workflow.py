"""What the commands of this stage do, as functions: `export_dataset`, `write_report`."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias, Unpack

from stemsmith.manifests import shards, storage
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.places import lies_in
from stemsmith.manifests.preflight import preflight
from stemsmith.render.corpus.forecast import check_room
from stemsmith.share.exports.destination import (
    STATE_FOLDER,
    ExportDestination,
    ExportPlan,
    plan_export,
    write_song,
)
from stemsmith.share.exports.exported import EXPORT, Exported
from stemsmith.share.exports.one_file import write_one_file
from stemsmith.share.exports.options import ExportConfig, ExportOptions
from stemsmith.share.exports.sources import find_export_sources
from stemsmith.share.exports.target_songs import TargetFormat
from stemsmith.share.report.config import ReportConfig, ReportOptions
from stemsmith.share.report.page import check_page_path, render_page
from stemsmith.share.report.report import make_page
from stemsmith.share.report.subjects import locate_subject, open_subject

__all__ = ["ExportForecast", "export_dataset", "forecast_export", "write_report"]


Given: TypeAlias = str | PathLike[str]  # of which an opened corpus is one


@dataclass(frozen=True, slots=True)
class ExportForecast:
    """What an export will write.

    Attributes
    ----------
    n_songs : dict of str to int
        Number of songs of each split.
    n_files : int
        Number of files of all songs.
    n_bytes : int
        Size of those that are no hard links.
    n_linked_bytes : int
        Size of those that are, where the file system has hard links.
    paths : tuple of str
        The files, below the destination.
    """

    n_songs: dict[str, int]
    n_files: int
    n_bytes: int
    n_linked_bytes: int
    paths: tuple[str, ...]


def forecast_export(
    sources: Given | Sequence[Given],
    layout: str,
    config: ExportConfig | None = None,
    **options: Unpack[ExportOptions],
) -> ExportForecast:
    """Say what an export would write, and how much; nothing is written.

    Parameters
    ----------
    sources, layout, config, **options
        As for `export_dataset`.

    Returns
    -------
    ExportForecast
        Sizes of WAV are exact; those of what is compressed are estimates.
    """
    return _forecast(_plan(sources, layout, config, options))


def _plan(
    sources: Given | Sequence[Given],
    layout: str,
    config: ExportConfig | None,
    options: ExportOptions,
) -> ExportPlan:
    several = [sources] if isinstance(sources, str | PathLike) else list(sources)
    given = [one if isinstance(one, str) else Path(one) for one in several]
    config = dataclasses.replace(config or ExportConfig(), **options)  # type: ignore[arg-type]
    return plan_export(layout, find_export_sources(given), config)


def _forecast(plan: ExportPlan) -> ExportForecast:
    files = [file for _, file in plan.files()]
    return ExportForecast(
        n_songs=dict(sorted(Counter(song.split for song in plan.songs).items())),
        n_files=len(files),
        n_bytes=sum(file.n_bytes for file in files if not file.is_linked),
        n_linked_bytes=sum(file.n_bytes for file in files if file.is_linked),
        paths=tuple(file.path for file in files),
    )


def export_dataset(
    sources: Given | Sequence[Given],
    destination: str | Path,
    layout: str,
    config: ExportConfig | None = None,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[ExportOptions],
) -> Exported:
    """Write corpora, mixtures, other data sets or a run as other programs read them.

    Killed at any moment, the same call goes on, and ends with the same bytes.

    Parameters
    ----------
    sources : path or sequence of path
        Folders that stemsmith wrote, opened or not, or other data sets as ``LAYOUT:PATH``.
    destination : path
        Folder that is written to: a new one, or that of the same call before. For formats that
        are one file, that file.
    layout : str
        Name of the format, of `stemsmith.share.exports.formats.FORMATS`, or
        ``package.module:Object``.
    config : ExportConfig, optional
        What is wanted: everything, as users of the format expect it, by default.
    jobs : int or Workers
        Number of local worker processes, where 0 works in this process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler to use in place of local workers.
    progress : Progress, optional
        Is told how far the export is. Nothing is shown by default.
    **options
        Fields of `ExportConfig`, such as ``taxonomy="slakh"``; they win over `config`.

    Returns
    -------
    Exported
        The finished export.

    Raises
    ------
    NothingToDo
        If no song can be exported.
    UsageError
        For options that make no sense, a folder that holds something else or lies in a source, or
        a disk that has no room.

    Examples
    --------
    >>> from stemsmith.share import export_dataset
    >>> exported = export_dataset("corpus", "as-musdb", "musdb", splits=("test",))
    >>> exported.header["n_songs"], (exported.root / "test/Track00003/bass.wav").exists()
    ({'test': 1}, True)
    """
    root = local_path(destination)
    plan = _plan(sources, layout, config, options)
    for source in plan.sources:
        if lies_in(root.resolve(), source.root):
            raise UsageError(f"{root}: lies in the source {source.root}; choose another folder")
    if plan.layout.is_one_file:
        return write_one_file(plan, root)
    filled = ExportDestination(root, plan)
    with open_workers(jobs, scheduler) as workers, filled.opened():
        open_jobs = filled.open_jobs()
        files = (file for job in open_jobs for file in plan.layout.files(job.song, plan.config))
        check_room(
            root, sum(file.n_bytes for file in files), "ask for fewer songs (--limit)", "the export"
        )
        n_done = len(plan.songs) - len(open_jobs)
        manifests = (source.root / shards.MANIFEST for source in plan.sources)
        with (
            preflight(workers, inputs=[manifests], destination=(root / STATE_FOLDER).absolute()),
            progress.loop(EXPORT, len(plan.songs), n_done=n_done) as ticker,
        ):
            for _ in do_jobs(workers, write_song, open_jobs, filled.died):
                ticker.advance()
        exported = filled.close()
    for warning in _doubts(exported, plan):
        progress.warn(warning)
    return exported


def _doubts(exported: Exported, plan: ExportPlan) -> Iterator[str]:
    """Yield what is probably not meant: trainers find nothing, nothing but silence, or sums."""
    header = exported.header
    config = header["config"]
    if "train" in config["splits"] and not header["n_songs"].get("train"):
        yield f"{exported.root}: no song of the split train, which trainers read"
    counts = header.get("n_sounding") or {}
    wanted = config["stems"] or list(counts)
    if silent := [target for target in wanted if counts.get(target) == 0]:
        names = " or ".join(silent)
        yield f"{exported.root}: no song has {names}: silent files, or none (--missing)"
    if isinstance(plan.layout, TargetFormat) and (
        n_unheard := plan.layout.n_unheard_mixtures(plan.songs, plan.config)
    ):
        yield (
            f"{exported.root}: {n_unheard} songs have mixtures of their own, which the format does "
            "not have for training: trainers hear the sums of the stems"
        )


def write_report(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str] = "report.html",
    config: ReportConfig | None = None,
    *,
    progress: Progress = QUIET,
    **options: Unpack[ReportOptions],
) -> Path:
    """Write a page to look at and to listen to: one file, which a browser opens without a network.

    Parameters
    ----------
    paths : str, path, or sequence of them
        What the page is of: corpora, mixtures, runs, results, folders of recordings that were
        separated, and data sets of others such as ``musdb:PATH``, in any number.
    out : str or path
        The file that is written. A page that is there is replaced, another file is not.
    config : ReportConfig, optional
        Options to begin with; None takes the defaults.
    progress : Progress
        Is told how far the work is, and warned of songs that cannot be played.
    **options
        Fields of `ReportConfig` that replace those of `config`, such as ``n_songs=5``.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UsageError
        If a path leads to nothing that a page can be of or is given twice, or the file cannot be
        written.
    InvalidCorpus
        If records of a folder cannot be read.

    Examples
    --------
    >>> from stemsmith.share import write_report
    >>> page = write_report("corpus", "corpus.html", n_songs=1, clip_s=2)
    >>> page.read_text("utf-8")[:15]
    '<!DOCTYPE html>'
    """
    several = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not several:
        raise UsageError("nothing is given that a page could be of")
    wanted = dataclasses.replace(config or ReportConfig(), **options)
    destination = local_path(out)
    check_page_path(destination)
    places: set[tuple[str, Path]] = set()
    for path in several:  # before any of them is read
        layout, root = locate_subject(path)
        if (layout, root.resolve()) in places:
            raise UsageError(f"{os.fspath(path)}: given twice")
        places.add((layout, root.resolve()))
    subjects = [(os.fspath(path), open_subject(path)) for path in several]
    page = make_page(subjects, wanted, progress)
    storage.write_atomic(destination, render_page(page).encode())
    return destination
