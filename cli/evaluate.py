"""`stemsmith evaluate`: how well a system separates the songs of a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import Common, common_options, decorate
from stemsmith.cli.separate import options_of, separation_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.benchmark.plan import Request
    from stemsmith.evaluate.benchmark.results import EvaluationRun
    from stemsmith.evaluate.benchmark.score_song import MetricOptions, SongJob
    from stemsmith.evaluate.benchmark.systems import System
    from stemsmith.evaluate.separation.options import SeparationOptions
    from stemsmith.manifests.jobs import Workers

__all__ = ["evaluate", "evaluate_system"]

_PATH = click.Path(path_type=Path)
_SONG_OPTIONS = decorate(
    click.option(
        "--split",
        "splits",
        multiple=True,
        type=click.Choice(["train", "validation", "test"]),
        help="Whose songs; may be repeated.  [default: test]",
    ),
    click.option(
        "--taxonomy",
        help="slakh, musdb, violin-piano, bach10, or a TOML file with a table [targets].  "
        "[default: slakh for corpora, bach10 for bach10:, else musdb]",
    ),
    click.option(
        "--target",
        "targets",
        multiple=True,
        help="Score only this one; may be repeated.  [default: all the songs and the system have]",
    ),
    click.option(
        "--map",
        "sums",
        multiple=True,
        metavar="TARGET=NAME+NAME",
        help="Sum estimates, e.g. violin=vocals+drums+bass+other; may be repeated.",
    ),
    click.option(
        "--folds",
        "n_folds",
        type=click.IntRange(min=2),
        help="Cross-validation: song k is scored by the system of its fold, '{fold}' in SYSTEM.",
    ),
)
_METRIC_OPTIONS = decorate(
    click.option(
        "--si-sdr-rate",
        type=click.IntRange(min=1000),
        default=16000,
        show_default=True,
        help="Rate in Hz of the mono audio that SI-SDR is taken of.",
    ),
    click.option(
        "--bss",
        type=click.Choice(["v4", "v3", "none"]),
        default="v4",
        show_default=True,
        help="BSS Eval with filters of the whole song, of each window, or not at all.",
    ),
    click.option(
        "--window", "window_s", type=float, default=1.0, show_default=True, help="Of BSS Eval, s."
    ),
    click.option("--hop", "hop_s", type=float, help="From window to window, s.  [default: window]"),
    click.option("--mono", "is_mono", is_flag=True, help="BSS Eval of the mean of the channels."),
    click.option(
        "--silence",
        type=click.Choice(["all", "own"]),
        default="all",
        show_default=True,
        help="A silent target voids a window for all targets, as in museval, or for itself.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["stemsmith", "museval"]),
        default="stemsmith",
        show_default=True,
        help="Who computes BSS Eval.",
    ),
)
_RUN_OPTIONS = decorate(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where runs separate.",
    ),
    click.option("--label", default="", help="What tables call the system.  [default: SYSTEM]"),
    click.option(
        "--compare",
        "others",
        multiple=True,
        type=_PATH,
        metavar="RESULTS",
        help="Print a table together with these results; may be repeated.",
    ),
)


@click.command()
@click.argument("system")
@click.argument("dataset")
@click.argument("results", type=_PATH)
@_SONG_OPTIONS
@_METRIC_OPTIONS
@separation_options
@_RUN_OPTIONS
@common_options
def evaluate(
    system: str,
    dataset: str,
    results: Path,
    others: tuple[Path, ...],
    common: Common,
    **options: Any,
) -> None:
    """Score a SYSTEM on the songs of a DATASET; the folder RESULTS holds what comes of it.

    SYSTEM is mixture (as it is), oracle:ibm, oracle:irm, oracle:wiener, oracle:tpsa,
    run:DIR[,run:DIR...] of `stemsmith train`, or estimates:DIR with anyone's separated files,
    DIR/SONG/TARGET.wav. DATASET is a corpus, musdb:PATH, dsd100:PATH, bach10:PATH, or folder:PATH
    with songs as PATH/SONG/STEM.wav.

    Killed at any moment, the same command goes on and ends with the same bytes.
    """
    # Sums depend on the number of threads that BLAS has, and the workers' has one. It looks when
    # NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from stemsmith.cli.console import print_summary
    from stemsmith.evaluate.benchmark.plan import STAGE, STATE_FOLDER
    from stemsmith.evaluate.benchmark.report import compare, read_summary
    from stemsmith.manifests.run_folder import refuse_foreign

    refuse_foreign(results, STAGE, STATE_FOLDER)
    known = [read_summary(other) for other in others]
    request = _request(system, dataset, options)
    summary = evaluate_system(common, request, results, known)
    if not common.is_json and not common.is_quiet:
        print(compare([*known, read_summary(results)]))
    print_summary(common, summary)


def evaluate_system(
    common: Common, request: Request, results: Path, known: Sequence[Mapping[str, Any]] = ()
) -> Summary:
    """Plan, score and close an evaluation; print what was left out, return what came of it.

    Summaries that it is to be compared with are known before, lest hours are spent in vain.
    """
    from stemsmith.cli.console import Summary, print_rejections, warn
    from stemsmith.evaluate.benchmark.plan import plan
    from stemsmith.evaluate.benchmark.report import check_comparable, read_summary
    from stemsmith.evaluate.benchmark.results import EvaluationRun
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.records import Rejection
    from stemsmith.manifests.shards import read_records

    evaluation_plan = plan(request, results)
    if evaluation_plan.unused:
        warn(common, f"estimates of {', '.join(evaluation_plan.unused)} belong to no target")
    run = EvaluationRun(results, evaluation_plan)
    check_comparable([*known, run.subject])
    with run.opened():
        if jobs := run.open_jobs():
            with open_workers(common.n_jobs, common.scheduler) as pool:
                _score_songs(common, pool, run, jobs)
        header = run.close()
    rejections = read_records(results / "rejections.parquet", Rejection)
    print_rejections(common, rejections)
    summary = read_summary(results)
    return Summary(
        f"{results}: {header['system']} on {header['n_songs']} songs of {header['dataset']}, "
        f"{len(rejections)} left out",
        {
            "results": str(results),
            "system": header["system"],
            "dataset": header["dataset"],
            "n_scored": header["n_songs"],
            "rejections": header["rejections"],
            "scores": summary["scores"],
        },
    )


def _score_songs(common: Common, pool: Workers, run: EvaluationRun, jobs: list[SongJob]) -> None:
    from stemsmith.cli.console import progress
    from stemsmith.evaluate.benchmark import score_song as benchmark
    from stemsmith.manifests.jobs import Died
    from stemsmith.manifests.records import Reason, Rejection

    with progress(common, "evaluate", len(jobs)) as ticker:
        for result in pool.map(benchmark.run, run.prepared(jobs)):
            if isinstance(result, Died):
                song, duration_s = result.job.song.name, 0.0
                run.reject(result.job, Reason.WORKER_DIED, "killed the process that scored it")
            elif isinstance(result, Rejection):
                song, duration_s = result.id, 0.0
            else:
                song, duration_s = result
            run.forget(song)
            ticker.advance(audio_s=duration_s)


def _request(system: str, dataset: str, options: Mapping[str, Any]) -> Request:
    from stemsmith.evaluate.benchmark.datasets import find_dataset
    from stemsmith.evaluate.benchmark.plan import Request
    from stemsmith.evaluate.benchmark.systems import parse_sums, parse_system

    parsed, metrics = parse_system(system), _metrics(options)
    found = find_dataset(dataset, options["taxonomy"], options["splits"] or ("test",))
    return Request(
        dataset=found,
        system=parsed,
        sums=parse_sums(options["sums"], found.targets),
        targets=tuple(dict.fromkeys(options["targets"])),
        metrics=metrics,
        n_folds=options["n_folds"] or 0,
        separation=_separation(parsed, options),
        device=options["device"],
        label=options["label"],
    )


def _separation(system: System, options: Mapping[str, Any]) -> SeparationOptions | None:
    """Return what is done with the estimates of runs; others' are taken as they are."""
    from stemsmith.evaluate.benchmark.systems import Kind
    from stemsmith.manifests.errors import UsageError

    if system.kind is Kind.RUN:
        return options_of(options)
    for name in ("overlap", "mask_exponent", "thresholds", "residual", "iterations"):
        if options[name]:
            raise UsageError(f"--{name.removesuffix('s').replace('_', '-')}: only with run:")
    return None


def _metrics(options: Mapping[str, Any]) -> MetricOptions:
    from stemsmith.evaluate.benchmark.score_song import Engine, MetricOptions
    from stemsmith.evaluate.metrics.bsseval.frames import Framing, SilenceRule
    from stemsmith.manifests.errors import UsageError

    window_s = options["window_s"]
    hop_s = window_s if options["hop_s"] is None else options["hop_s"]
    if not (0.01 <= hop_s <= 3600 and 0.01 <= window_s <= 3600):
        raise UsageError(f"--window {window_s:g} --hop {hop_s:g}: from 0.01 to 3600 s")
    if options["engine"] == Engine.MUSEVAL and options["silence"] != SilenceRule.ALL:
        raise UsageError("--silence own: only with --engine stemsmith")
    framing = Framing(window_s, hop_s, options["bss"] == "v3")
    return MetricOptions(
        si_sdr_rate=options["si_sdr_rate"],
        framing=None if options["bss"] == "none" else framing,
        silence=SilenceRule(options["silence"]),
        engine=Engine(options["engine"]),
        is_mono=options["is_mono"],
    )
