"""`stemsmith study`: a whole experiment by one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from stemsmith.cli.options import LOCAL_PATH, Common, command, common_options
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.sizes import SIZES
from stemsmith.train.machine import Device

if TYPE_CHECKING:
    from stemsmith.studies.forecast import StageForecast
    from stemsmith.studies.plan import StudyPlan
    from stemsmith.studies.workflow import StudyOutcome

__all__ = ["study"]


@command(
    "stemsmith study examples/studies/slakh.toml out --size tiny",
    "stemsmith study examples/studies/slakh.toml out --musdb musdb18hq --midi lakh --dry-run",
    "stemsmith study examples/studies/useful.toml out --real folder:songs --seeds 5",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("study", type=LOCAL_PATH)
@click.argument("out", type=LOCAL_PATH)
@click.argument("inputs", nargs=-1, type=click.UNPROCESSED, metavar="[--INPUT PATH]...")
@click.option(
    "--size",
    type=click.Choice(SIZES),
    default="small",
    show_default=True,
    help="How much of everything: a minute, some hours, or what the paper did.",
)
@click.option("--seeds", type=int, help="Trainings of each row.  [default: the study's]")
@click.option(
    "--device",
    type=click.Choice([str(device) for device in Device]),
    default=str(Device.AUTO),
    show_default=True,
    help="What trains and separates.",
)
@click.option(
    "--dry-run", "is_dry", is_flag=True, help="Do nothing; print the stages and what they cost."
)
@common_options
def study(
    study: Path,
    out: Path,
    inputs: tuple[str, ...],
    size: str,
    seeds: int | None,
    device: str,
    is_dry: bool,
    common: Common,
) -> None:
    """Run the experiment that the file STUDY declares; the folder OUT holds all that comes of it.

    Corpora are rendered, mixtures mixed, models trained and tested, and tables written beside
    those of the paper. A study names what it can be given, such as --musdb PATH or --midi PATH;
    --dry-run lists these. What is not given is rendered in its place, and the tables say so.

    Killed at any moment, the same command goes on. With more --seeds it keeps what is done.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.studies.workflow import plan_study, run_study

    given = _given(inputs)
    if is_dry:
        _print_plan(common, plan_study(study, size, inputs=given, seeds=seeds))
        return
    outcome = run_study(
        study,
        out,
        size,
        inputs=given,
        seeds=seeds,
        device=device,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    if not common.is_json and not common.is_quiet:
        print("\n".join(outcome.tables()))
    print_summary(common, Summary(_line(outcome), _values(outcome)))


def _given(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths of each input, from ``--name PATH`` or ``--name=PATH``."""
    given: dict[str, list[str]] = {}
    rest = list(texts)
    while rest:
        flag, equals, path = rest.pop(0).partition("=")
        if not flag.startswith("--") or len(flag) < 3:
            raise UsageError(f"{flag}: not understood; inputs of a study are given as --NAME PATH")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"{flag}: needs a path")
            path = rest.pop(0)
        given.setdefault(flag.removeprefix("--"), []).append(path)
    return given


def _print_plan(common: Common, plan: StudyPlan) -> None:
    from dataclasses import asdict

    from stemsmith.cli.console import Summary, print_summary, print_table
    from stemsmith.studies.forecast import forecast_stages
    from stemsmith.studies.tables import used_data

    stages = forecast_stages(plan)
    if not common.is_json and not common.is_quiet:
        inputs = [(f"--{i.name}", i.kind, i.help) for i in plan.study.inputs.values()]
        print_table("What can be given", ("option", "kind", "what it is"), inputs)
        for stage in stages:
            print(_line_of(stage))
        for sentence in (*used_data(plan), *plan.left_out):
            print(sentence)
    runs = [s for s in stages if s.n_parameters is not None]
    line = f"{plan.study.title}: {len(stages)} stages, {len(runs)} trainings"
    if runs and all(s.hours is not None for s in runs):
        line += f", which see {sum(s.hours or 0.0 for s in runs):.1f} h of audio"
    if n_bytes := sum(s.n_bytes or 0 for s in stages):
        line += f"; corpora of {n_bytes / 1e9:.1f} GB at most"
    values = {
        "title": plan.study.title,
        "size": plan.study.size,
        "seeds": plan.seeds,
        "stages": [asdict(stage) for stage in stages],
        "left_out": plan.left_out,
    }
    print_summary(common, Summary(line, values))


def _line_of(stage: StageForecast) -> str:
    """Return what a stage does, and what it needs, in a line."""
    numbers = []
    if stage.n_parameters is not None:
        numbers.append(f"{stage.n_parameters:,} parameters")
    if stage.hours is not None:
        numbers.append(f"{stage.hours:.3g} h")
    if stage.n_bytes is not None:
        numbers.append(f"{stage.n_bytes / 1e9:.2g} GB")
    needs = f" <- {', '.join(stage.needs)}" if stage.needs else ""
    return f"{stage.id}{needs}: {', '.join([*numbers, stage.about])}"


def _line(outcome: StudyOutcome) -> str:
    hours = sum(outcome.seconds.values()) / 3600
    line = f"{outcome.page}: {len(outcome.plan.stages)} stages, {hours:.2f} h"
    if outcome.failed:
        line += f"; {len(outcome.failed)} stages could not be done"
    return line


def _values(outcome: StudyOutcome) -> dict[str, object]:
    return {
        "folder": str(outcome.root),
        "page": str(outcome.page),
        "size": outcome.plan.study.size,
        "n_stages": len(outcome.plan.stages),
        "seconds": dict(outcome.seconds),
        "failed": dict(outcome.failed),
        "left_out": list(outcome.plan.left_out),
    }
