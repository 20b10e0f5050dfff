"""`stemsmith validate`: check what a command wrote against checksums and invariants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from stemsmith.cli.options import Common, common_options

if TYPE_CHECKING:
    from stemsmith.manifests.records import Finding

__all__ = ["validate"]

J = TypeVar("J")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@common_options
def validate(folder: Path, common: Common) -> None:
    """Check every checksum and invariant of FOLDER; name the first offender.

    Of a corpus: checksums of shards and files, MD5 of the scores, equal lengths, mixture = exact
    sum of the stems, loudness and peaks on disk as recorded, duplicates within one split, no stray
    folders. Of mixtures: checksums of shards, of audio and of every stem a recipe names, and that
    every recipe can be followed. Of scores of `stemsmith evaluate`: checksums of all files, and a
    score for every song and target. Of a run of `stemsmith train`: that its checkpoints can be
    loaded and are of the model it says.
    """
    from stemsmith.manifests.renditions import RENDITIONS
    from stemsmith.manifests.shards import read_manifest

    if (folder / "run.json").exists():
        _check_run(folder, common)
        return
    header = read_manifest(folder.resolve(), "corpus", "mixtures", "evaluation")
    if header["stage"] == "mixtures":
        _check_mixtures(folder, common)
    elif header["stage"] == "evaluation":
        _check_results(folder, common)
    elif header.get("kind") == RENDITIONS:
        _check_renditions(folder, common)
    else:
        _check_corpus(folder, common)


def _check_corpus(corpus: Path, common: Common) -> None:
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.render.songs import validate as checks

    content = checks.CorpusContent.read(corpus.resolve())
    checks.check_whole(content)
    jobs = list(checks.plan(content))
    _check_all(common, checks.run, jobs, lambda job: job.song.track)
    summary = Summary(
        f"{corpus}: valid; {len(content.songs)} songs, {len(content.stems)} stems",
        {"corpus": str(corpus), "n_songs": len(content.songs), "n_stems": len(content.stems)},
    )
    print_summary(common, summary)


def _check_renditions(corpus: Path, common: Common) -> None:
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.render.renditions import validate as checks

    content = checks.RenditionContent.read(corpus.resolve())
    jobs = list(checks.plan(content))
    _check_all(common, checks.run, jobs, lambda job: job.track)
    n_stems, n_renditions = len(content.stems), len(content.renditions)
    summary = Summary(
        f"{corpus}: valid; {n_renditions} renditions of {len(jobs)} scores, {n_stems} stems",
        {"corpus": str(corpus), "n_renditions": n_renditions, "n_stems": n_stems},
    )
    print_summary(common, summary)


def _check_mixtures(folder: Path, common: Common) -> None:
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.mixing import validate as check

    n_mixtures, jobs = check.plan(folder.resolve())
    _check_all(common, check.run, jobs, lambda job: job.path)
    summary = Summary(
        f"{folder}: valid; {n_mixtures} mixtures of {len(jobs)} files",
        {"mixtures": str(folder), "n_mixtures": n_mixtures, "n_files": len(jobs)},
    )
    print_summary(common, summary)


def _check_results(folder: Path, common: Common) -> None:
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.evaluate.benchmark.validate import check_results

    found = check_results(folder.resolve())
    line = f"{folder}: valid; {found.n_scores} scores of {found.n_songs} songs"
    print_summary(common, Summary(line, {"results": str(folder), **found._asdict()}))


def _check_run(folder: Path, common: Common) -> None:
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.manifests.errors import UsageError, install_command

    if any(find_spec(name) is None for name in ("torch", "lightning")):
        raise UsageError(f"checking a run needs torch: {install_command('train')}")
    from stemsmith.train.validate import check_run

    found = check_run(folder)
    line = f"{folder}: valid; {found.model} for {', '.join(found.targets)}, {found.n_epochs} epochs"
    print_summary(common, Summary(line, {"run": str(folder), **found._asdict()}))


def _check_all(
    common: Common,
    check: Callable[[J], Finding],
    jobs: Sequence[J],
    name_of: Callable[[J], str],
) -> None:
    """Run all checks; raise the finding of the first offender by name."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.errors import InvalidCorpus
    from stemsmith.manifests.jobs import Died
    from stemsmith.manifests.records import Finding

    offenders: dict[str, str] = {}
    with (
        open_workers(common.n_jobs, common.scheduler) as pool,
        progress(common, "validate", len(jobs)) as ticker,
    ):
        for finding in pool.map(check, jobs):
            if isinstance(finding, Died):
                name = name_of(finding.job)
                finding = Finding(name, f"{name}: checking it killed the worker")
            if finding.offence:
                offenders[finding.name] = finding.offence
            ticker.advance()
    if offenders:
        raise InvalidCorpus(offenders[min(offenders)])
