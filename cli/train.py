"""`stemsmith train`: mixtures become a trained model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import Common, common_options, decorate

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.train.data.store import Decoding
    from stemsmith.train.request import Machine, Request, Result
    from stemsmith.train.schedule import TrainConfig

__all__ = ["require_torch", "train", "train_model"]

_PATH = click.Path(path_type=Path)
_MODEL_OPTIONS = decorate(
    click.option(
        "--model",
        type=click.Choice(["blstm", "umx", "cnn", "resnet"]),
        default="blstm",
        show_default=True,
        help="Of Manilow 2019, Stöter 2019 as in Chiu 2020, Miron 2017, Brunner 2019.",
    ),
    click.option("--target", help="What blstm and umx separate, by a name of the taxonomy."),
    click.option("--targets", help="What cnn and resnet separate: names with commas."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of the model that is not the paper's, e.g. n_units=64; may be repeated.",
    ),
    click.option("--init", type=_PATH, metavar="RUN", help="Begin with the best weights of a run."),
    click.option("--resume", is_flag=True, help="Go on with RUN from its last whole epoch."),
)
# Values that a model's paper, or this package for it, has a default for.
_TRAINING_OPTIONS = decorate(
    click.option("--epochs", type=int, help="At most.  [default: the model's]"),
    click.option("--batch-size", type=int, help="Examples of a step.  [default: the model's]"),
    click.option("--learning-rate", type=float, help="[default: the model's]"),
    click.option("--weight-decay", type=float, help="[default: the model's]"),
    click.option(
        "--plateau-epochs",
        type=int,
        help="Epochs without a lower validation loss that lower the learning rate; 0: never.",
    ),
    click.option("--plateau-factor", type=float, help="By which it is multiplied then."),
    click.option("--plateau-cooldown", type=int, help="Epochs after that which are not counted."),
    click.option(
        "--stop-epochs",
        type=int,
        help="Epochs without a lower validation loss that end training; 0: never.",
    ),
    click.option(
        "--stop-change",
        type=float,
        help="Training ends when its loss changes by less in an epoch; 0: never.",
    ),
    click.option("--clip-gradient", type=float, help="Largest norm of the gradient; 0: any."),
    click.option(
        "--precision",
        type=click.Choice(["32-true", "bf16-mixed", "16-mixed"]),
        help="Of the network's arithmetic.  [default: 32-true]",
    ),
)
_DATA_OPTIONS = decorate(
    click.option(
        "--validation",
        multiple=True,
        type=_PATH,
        metavar="MIXTURES",
        help="Whose validation mixtures count; may be repeated.  [default: those trained on]",
    ),
    click.option("--examples", type=int, help="Examples of an epoch.  [default: all]"),
    click.option(
        "--remix",
        type=float,
        default=0.0,
        show_default=True,
        help="Share of examples whose sources come from different mixtures.",
    ),
    click.option(
        "--gain",
        metavar="LOW,HIGH",
        help="Range of a random gain of every source, linear; Open-Unmix: 0.25,1.25.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Of all random choices."),
)
_MACHINE_OPTIONS = decorate(
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
    ),
    click.option(
        "--devices", "n_devices", type=click.IntRange(min=1), default=1, show_default=True,
        help="Devices, or processes on the CPU, that share a step (DDP).",
    ),
    click.option(
        "--nodes", "n_nodes", type=click.IntRange(min=1), default=1, show_default=True,
        help="Machines.",
    ),
    click.option(
        "--loader",
        type=click.Choice(["auto", "stream", "resident"]),
        default="auto",
        show_default=True,
        help="Decode mixtures again and again, or once.",
    ),
    click.option(
        "--workers", "n_workers", type=click.IntRange(min=0), default=0, show_default=True,
        help="Processes that load examples ahead.",
    ),
    click.option(
        "--cache", type=_PATH, help="Folder for decoded mixtures.  [default: the user's cache]"
    ),
)  # fmt: skip


@click.command()
@click.argument("mixtures", nargs=-1, required=True, type=_PATH)
@click.argument("run", type=_PATH)
@_MODEL_OPTIONS
@_TRAINING_OPTIONS
@_DATA_OPTIONS
@_MACHINE_OPTIONS
@common_options
def train(mixtures: tuple[Path, ...], run: Path, common: Common, **options: Any) -> None:
    """Train a model on MIXTURES that `stemsmith mix` made; the folder RUN holds what comes of it.

    Several MIXTURES are concatenated. Killed at any moment, the same command with --resume goes
    on and, on a CPU, ends with the same weights.
    """
    from stemsmith.cli.console import print_summary

    require_torch()
    request, machine = _request(mixtures, options), _machine(options, common)
    summary = train_model(common, request, run, machine, options["resume"])
    if _speaks():
        print_summary(common, summary)


def _speaks() -> bool:
    """Return whether this process of a run speaks for all that Lightning has started."""
    from stemsmith.train.trainer import is_first_process

    return is_first_process()


def require_torch() -> None:
    """Check that what training needs is installed.

    Raises
    ------
    UsageError
        If not, saying how to install it.
    """
    from importlib.util import find_spec

    from stemsmith.manifests.errors import UsageError, install_command

    if absent := [name for name in ("torch", "lightning", "tensorboard") if not find_spec(name)]:
        raise UsageError(f"training needs {absent[0]}: {install_command('train')}")


def train_model(
    common: Common, request: Request, run: Path, machine: Machine, is_resumed: bool
) -> Summary:
    """Train a model, decoding its mixtures with the command's workers; return what came of it."""
    import sys

    from stemsmith.train.trainer import fit

    def say(line: str) -> None:
        if not common.is_quiet and _speaks():
            print(line, file=sys.stderr)

    def decode(decodings: list[Decoding]) -> None:
        _decode(common, decodings)

    return _summary(run, request, fit(request, run, machine, is_resumed, decode, say))


def _decode(common: Common, decodings: list[Decoding]) -> None:
    """Fill the stores that are not full."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.jobs import do_jobs, needed
    from stemsmith.train.data import store

    if all(decoding.is_closed for decoding in decodings):
        return
    with open_workers(common.n_jobs, common.scheduler) as pool:
        for decoding in decodings:
            with decoding.opened():
                if not decoding.is_closed:
                    with progress(common, "decode", decoding.n_clips) as ticker:
                        jobs = decoding.jobs()
                        for n_clips in do_jobs(pool, store.run, jobs, needed(lambda j: j.path)):
                            ticker.advance(n_clips)
                decoding.close()


def _request(mixtures: tuple[Path, ...], options: Mapping[str, Any]) -> Request:
    from stemsmith.train.data.examples import ExampleRules
    from stemsmith.train.models.registry import configure
    from stemsmith.train.request import Request

    name = options["model"]
    model = configure(name, _targets(options), dict(map(_setting, options["settings"])))
    low, high = _gain(options["gain"])
    rules = ExampleRules(
        seed=options["seed"],
        segment_samples=model.segment_samples,
        step_samples=model.block_frames * model.hop,
        n_examples=options["examples"],
        remix=options["remix"],
        gain_low=low,
        gain_high=high,
    )
    return Request(
        mixtures=mixtures,
        validation=options["validation"],
        model=name,
        settings=model,
        training=_training(name, options),
        rules=rules,
        init=options["init"],
    )


def _targets(options: Mapping[str, Any]) -> tuple[str, ...]:
    from stemsmith.manifests.errors import UsageError

    if (options["target"] is None) == (options["targets"] is None):
        raise UsageError("say what to separate: --target bass, or --targets bass,drums,...")
    names: str = options["targets"] or options["target"]
    return tuple(name.strip() for name in names.split(","))


def _setting(text: str) -> tuple[str, str]:
    from stemsmith.manifests.errors import UsageError

    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write NAME=VALUE")
    return name, value


def _gain(text: str | None) -> tuple[float, float]:
    from stemsmith.manifests.errors import UsageError

    if text is None:
        return 1.0, 1.0
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--gain {text}: write two numbers, e.g. 0.25,1.25") from None
    return low, high


def _training(name: str, options: Mapping[str, Any]) -> TrainConfig:
    """Return the model's own way of training with what the user wants otherwise."""
    from stemsmith.train.models.registry import MODELS
    from stemsmith.train.schedule import Precision

    default = MODELS[name].training
    wanted = {
        field.name: options[field.name]
        for field in dataclasses.fields(default)
        if options.get(field.name) is not None
    }
    if "precision" in wanted:
        wanted["precision"] = Precision(wanted["precision"])
    return dataclasses.replace(default, **wanted)


def _machine(options: Mapping[str, Any], common: Common) -> Machine:
    import sys

    from stemsmith.train.data.loaders import Loader
    from stemsmith.train.request import Machine

    return Machine(
        device=options["device"],
        n_devices=options["n_devices"],
        n_nodes=options["n_nodes"],
        loader=Loader(options["loader"]),
        n_workers=options["n_workers"],
        cache=options["cache"],
        is_with_progress=not common.is_quiet and sys.stderr.isatty(),
    )


def _summary(run: Path, request: Request, result: Result) -> Summary:
    from stemsmith.cli.console import Summary

    best, last = result.best, result.history[-1]
    targets = ", ".join(request.settings.targets)
    return Summary(
        f"{run}: {request.model} for {targets}, {result.n_parameters:,} parameters; "
        f"{len(result.history)} epochs of {result.n_examples} examples, validation loss "
        f"{best.validation_loss:.4g} in epoch {best.epoch}",
        {
            "run": str(run),
            "model": request.model,
            "targets": list(request.settings.targets),
            "n_parameters": result.n_parameters,
            "n_epochs": len(result.history),
            "n_examples": result.n_examples,
            "loader": str(result.choice.loader),
            "is_on_device": result.choice.is_on_device,
            "best": dataclasses.asdict(best),
            "last": dataclasses.asdict(last),
        },
    )
