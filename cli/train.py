"""`stemsmith train`: mixtures become a trained model."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from stemsmith.cli.options import (
    ANY_PATH,
    SOURCE,
    Common,
    cache_option,
    command,
    common_options,
    config_options,
    decorate,
    given_options,
    grouped,
)
from stemsmith.manifests.errors import UsageError
from stemsmith.train.data.config import ExampleConfig
from stemsmith.train.machine import Machine
from stemsmith.train.models.loss import LOSSES
from stemsmith.train.models.registry import MODELS
from stemsmith.train.schedule import TrainConfig

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.train.run import TrainedRun

__all__ = ["summary_of", "train"]

_NONE: Final = "none"  # to validate nothing
_CONFIGS = (TrainConfig, ExampleConfig, Machine)
_model_option = functools.partial(grouped, "Model and data")
_MODEL_OPTIONS = decorate(
    _model_option(
        "--model",
        default="blstm",
        show_default=True,
        help=f"{', '.join(MODELS.names)}, or package.module:Class of your own.",
    ),
    _model_option("--target", help="What models of one target separate, as the taxonomy names it."),
    _model_option("--targets", help="What models of several separate: names with commas."),
    _model_option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the model that is not the paper's, e.g. n_units=64, or loss="
        f"{'|'.join(LOSSES.names)}; may be repeated.",
    ),
    _model_option("--init", type=ANY_PATH, metavar="RUN", help="Begin with the weights of a run."),
    _model_option("--resume", is_flag=True, help="Go on with RUN from its last whole epoch."),
    _model_option(
        "--validation",
        multiple=True,
        type=SOURCE,
        metavar="MIXTURES|none",
        help="Whose validation mixtures count; may be repeated. With none, nothing is validated, "
        "and the last weights are the run's.  [default: those trained on]",
    ),
)


@command(
    "stemsmith train mixtures run --target bass",
    "stemsmith train mixtures run --model umx --target vocals --epochs 50 --device cuda",
    "stemsmith train mixtures run --model cnn --targets bass,drums,other,vocals",
    "stemsmith train bach10 run --model cnn --targets violin,clarinet --validation none",
    "stemsmith train mixtures run --target bass --resume",
)
@click.argument("mixtures", nargs=-1, required=True, type=ANY_PATH)
@click.argument("run", type=ANY_PATH)
@_MODEL_OPTIONS
@config_options(TrainConfig, unset="the model's", group="Learning")
@config_options(ExampleConfig, group="Examples of an epoch")
@config_options(Machine, group="Machine")
@cache_option
@common_options
def train(
    mixtures: tuple[Path, ...],
    run: Path,
    common: Common,
    model: str,
    target: str | None,
    targets: str | None,
    settings: tuple[str, ...],
    init: Path | None,
    resume: bool,
    validation: tuple[str, ...],
    **options: Any,
) -> None:
    """Train a model on MIXTURES that `stemsmith mix` made; the folder RUN holds what comes of it.

    Several MIXTURES are concatenated. Killed at any moment, the same command with --resume goes
    on and, on a CPU, ends with the same weights.
    """
    from stemsmith.cli.console import Terminal, print_summary
    from stemsmith.train.workflow import train_model

    given: dict[str, Any] = {}
    for config_type in _CONFIGS:
        given |= given_options(config_type, options)
    trained = train_model(
        mixtures,
        run,
        model=model,
        target=target,
        targets=[name.strip() for name in targets.split(",")] if targets else (),
        settings=dict(map(_setting, settings)),
        validation=_validation(validation),
        init=init,
        resume=resume,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
        **given,
    )
    from stemsmith.train.trainer import is_first_process  # Lightning is there, now

    if is_first_process():
        print_summary(common, summary_of(trained))


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write NAME=VALUE")
    return name, value


def _validation(folders: tuple[str, ...]) -> tuple[Path, ...] | None:
    from stemsmith.manifests.places import place

    if _NONE not in folders:
        return tuple(map(place, folders))
    if len(folders) > 1:
        raise UsageError(f"--validation {_NONE}: stands alone; a folder of that name is ./{_NONE}")
    return None


def summary_of(run: TrainedRun) -> Summary:
    """Return what came of a run that has ended an epoch."""
    from stemsmith.cli.console import Summary

    best, last = run.best, run.history[-1]
    return Summary(
        f"{run.root}: {run.model_name} for {', '.join(run.targets)}, {run.n_parameters:,} "
        f"parameters; {len(run.history)} epochs of {run.n_examples} examples, {_result(run)}",
        {
            "run": str(run.root),
            "model": run.model_name,
            "targets": list(run.targets),
            "n_parameters": run.n_parameters,
            "n_epochs": len(run.history),
            "n_examples": run.n_examples,
            "loader": run.machine["loader"],
            "is_on_device": run.machine["is_on_device"],
            "best": None if best is None else dataclasses.asdict(best),
            "last": dataclasses.asdict(last),
        },
    )


def _result(run: TrainedRun) -> str:
    """Return what the weights of a run are, in words."""
    best = run.best
    if best is None:
        return f"training loss {run.history[-1].train_loss:.4g} at last; nothing was validated"
    si_sdr = "" if best.si_sdr_db is None else f", SI-SDR {best.si_sdr_db:.2f} dB"
    return f"validation loss {best.validation_loss:.4g} in epoch {best.epoch}{si_sdr}"
