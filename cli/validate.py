"""`stemsmith validate`: check what a command wrote against checksums and invariants."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import ANY_PATH, Common, command, common_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.mixing.mixtures import Mixtures

__all__ = ["validate"]


@command(
    "stemsmith validate corpus",
    "stemsmith validate results --json",
)
@click.argument("folder", type=ANY_PATH)
@common_options
def validate(folder: Path, common: Common) -> None:
    """Check every checksum and invariant of FOLDER; name the first offender.

    Of a corpus: checksums of shards and files, MD5 of the scores, equal lengths, mixture = exact
    sum of the stems, loudness and peaks on disk as recorded, duplicates within one split, no stray
    folders. Of mixtures: checksums of shards, of audio and of every stem a recipe names, and that
    every recipe can be followed. Of both, where songs have mixtures of their own (--mix-source
    unsplit): how far these are from the sums of their stems. Of scores of `stemsmith evaluate`:
    checksums of all files, and a score for every song and target. Of an export: checksums of all
    files. Of a run of `stemsmith train`: that its checkpoints can be loaded and are of the model it
    says.
    """
    from stemsmith.cli.console import print_summary
    from stemsmith.folders import open_folder

    check = {
        "Corpus": _check_corpus,
        "Exported": _check_export,
        "Mixtures": _check_mixtures,
        "Results": _check_results,
        "Run": _check_run,
    }[type(open_folder(folder)).__name__]
    print_summary(common, check(folder, common))


def _check_corpus(folder: Path, common: Common) -> Summary:
    from stemsmith.cli.console import Summary, Terminal
    from stemsmith.manifests.renditions import RENDITIONS
    from stemsmith.render.checking import validate_corpus

    corpus = validate_corpus(
        folder, jobs=common.n_jobs, scheduler=common.scheduler, progress=Terminal(common)
    )
    n_stems = corpus.stems.num_rows
    if corpus.kind == RENDITIONS:
        n_scores, n_renditions = sum(corpus.header["n_songs"].values()), len(corpus)
        line = f"{n_renditions} renditions of {n_scores} scores, {n_stems} stems"
        counts = {"n_renditions": n_renditions, "n_stems": n_stems}
    else:
        line = f"{len(corpus)} songs, {n_stems} stems"
        counts = {"n_songs": len(corpus), "n_stems": n_stems}
    said, residuals = _residuals(corpus, common)
    values = {"corpus": str(folder), **counts, **residuals}
    return Summary(f"{folder}: valid; {line}{said}", values)


def _residuals(opened: Corpus | Mixtures, common: Common) -> tuple[str, dict[str, Any]]:
    """Say how far the own mixtures of songs are from the sums of their stems; nothing of sums."""
    from stemsmith.cli.console import Terminal
    from stemsmith.mixing.residuals import mixture_residuals

    found = mixture_residuals(
        opened, jobs=common.n_jobs, scheduler=common.scheduler, progress=Terminal(common)
    )
    if not found:
        return "", {}
    middle, worst = median(found.values()), max(found, key=lambda song: found[song])
    text = (
        f"; the own mixtures of {len(found)} songs are not the sums of their stems: residual "
        f"{middle:.1f} dB in the median, {found[worst]:.1f} dB at worst ({worst})"
    )
    # JSON knows no infinity, which is what an exact sum has.
    values = {song: round(db, 2) if isfinite(db) else None for song, db in found.items()}
    return text, {"residual_db": values}


def _check_export(folder: Path, common: Common) -> Summary:
    from stemsmith.cli.console import Summary
    from stemsmith.share.exports.exported import Exported

    header = Exported(folder).verify().header
    n_songs, n_files = sum(header["n_songs"].values()), header["n_files"]
    line = f"{folder}: valid; {n_files} files of {n_songs} songs, {header['format']}"
    return Summary(line, {"export": str(folder), "n_songs": n_songs, "n_files": n_files})


def _check_mixtures(folder: Path, common: Common) -> Summary:
    from stemsmith.cli.console import Summary, Terminal
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.mixing.workflow import validate_mixtures

    found = validate_mixtures(
        folder, jobs=common.n_jobs, scheduler=common.scheduler, progress=Terminal(common)
    )
    said, residuals = _residuals(Mixtures(folder), common)
    line = f"{folder}: valid; {found.n_mixtures} mixtures of {found.n_files} files{said}"
    return Summary(line, {"mixtures": str(folder), **found._asdict(), **residuals})


def _check_results(folder: Path, common: Common) -> Summary:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.workflow import validate_results

    found = validate_results(folder.resolve())
    line = f"{folder}: valid; {found.n_scores} scores of {found.n_songs} songs"
    return Summary(line, {"results": str(folder), **found._asdict()})


def _check_run(folder: Path, common: Common) -> Summary:
    from stemsmith.cli.console import Summary, Terminal
    from stemsmith.train.workflow import validate_run

    run = validate_run(folder, progress=Terminal(common))
    targets, n_epochs = list(run.targets), len(run.history)
    return Summary(
        f"{folder}: valid; {run.model_name} for {', '.join(targets)}, {n_epochs} epochs",
        {"run": str(folder), "model": run.model_name, "targets": targets, "n_epochs": n_epochs},
    )
