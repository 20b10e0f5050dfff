"""`stemsmith evaluate`: how well a system separates the songs of a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    ANY_PATH,
    LAYOUT_NAMES,
    SOURCE,
    Common,
    cache_option,
    command,
    common_options,
    config_options,
    read_config,
)
from stemsmith.evaluate.benchmark.options import EvaluationConfig
from stemsmith.evaluate.metrics.options import MetricConfig
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.separation.options import SeparationConfig
from stemsmith.manifests.options import fields_of

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.manifests.records import Rejection

__all__ = ["evaluate"]

_PARTS = MetricConfig, SeparationConfig, NmfConfig
_OF_PARTS = [field.name for part in _PARTS for field in fields_of(part)]


@command(
    "stemsmith evaluate run:run musdb:musdb18 results",
    "stemsmith evaluate oracle:irm corpus results/irm --target bass --bss none",
    "stemsmith evaluate nmf:,informed bach10:Bach10 results --device cpu",
    "stemsmith evaluate estimates:spleeter folder:songs results --lengths fit",
    epilog=LAYOUT_NAMES,
)
@click.argument("system", type=SOURCE)
@click.argument("dataset", type=SOURCE)
@click.argument("results", type=ANY_PATH)
@config_options(EvaluationConfig, omitted=_OF_PARTS, group="Songs and estimates")
@config_options(MetricConfig, group="Metrics")
@config_options(SeparationConfig, omitted=("is_streaming",), group="Trained runs only")
@config_options(NmfConfig, group="NMF only")
@cache_option
@common_options
def evaluate(
    system: str,
    dataset: str,
    results: Path,
    common: Common,
    **options: Any,
) -> None:
    """Score a SYSTEM on the songs of a DATASET; the folder RESULTS holds what comes of it.

    SYSTEM is mixture (as it is), oracle:ibm, oracle:irm, oracle:wiener, oracle:tpsa,
    run:DIR[,run:DIR...] of `stemsmith train`, estimates:DIR with anyone's separated files,
    DIR/SONG/TARGET.wav or by --pattern, or nmf:[SCORES][,informed], factorisation by the scores
    beside the stems or in a folder. DATASET is a corpus, LAYOUT:PATH such as musdb:PATH, or
    folder:PATH with songs as PATH/SONG/STEM.wav, or package.module:function:PATH.

    Killed at any moment, the same command goes on and ends with the same bytes.
    """
    # Sums depend on the number of threads that BLAS has, and the workers' has one. It looks when
    # NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from stemsmith.cli.console import Terminal, print_rejections, print_summary
    from stemsmith.evaluate.benchmark.report import score_table
    from stemsmith.evaluate.workflow import evaluate_system

    done = evaluate_system(
        system,
        dataset,
        results,
        read_config(EvaluationConfig, options),
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    rejections = done.rejection_records()
    print_rejections(common, rejections)
    if not common.is_json and not common.is_quiet:
        print(score_table(done.summary))
    print_summary(common, _summary(done, rejections))


def _summary(done: Results, rejections: list[Rejection]) -> Summary:
    from stemsmith.cli.console import Summary
    from stemsmith.evaluate.benchmark.results import REJECTED_BY

    n_songs = done.header["n_songs"]
    n_left_out = sum(rejection.stage == REJECTED_BY for rejection in rejections)
    line = f"{done.root}: {done.system} on {n_songs} songs of {done.dataset}, {n_left_out} left out"
    values: dict[str, Any] = {}
    if len(rejections) > n_left_out:
        line += f"; {len(rejections) - n_left_out} files not used"
    if (fitted := done.summary.get("fitted")) is not None:
        values["fitted"] = fitted
        line += "; estimates " + ", ".join(f"{what} {n} times" for what, n in fitted.items())
    if times := done.times:
        separation_s = sum(time.separation_s for time in times)
        values["separation_s_per_song"] = separation_s / len(times)
        values["real_time_factor"] = separation_s / sum(time.duration_s for time in times)
        line += (
            f"; separated in {values['separation_s_per_song']:.3g} s a song, "
            f"{values['real_time_factor']:.3g} of its duration"
        )
    return Summary(
        line,
        {
            **values,
            "results": str(done.root),
            "system": done.system,
            "dataset": done.dataset,
            "n_scored": n_songs,
            "rejections": done.header["rejections"],
            "scores": done.summary["scores"],
        },
    )
