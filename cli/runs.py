"""`stemsmith runs`: trained models beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from stemsmith.cli.options import ANY_PATH, Common, command, serial_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.train.listing import ListedRun

__all__ = ["runs"]

_NOTHING: Final = "-"
_RESULTS: Final = ("epochs", "best", "loss", "SI-SDR [dB]", "time")


@command(
    "stemsmith runs runs",
    "stemsmith runs . --json",
)
@click.argument("folder", type=ANY_PATH)
@serial_options
def runs(folder: Path, common: Common) -> None:
    """Compare the runs of `stemsmith train` in FOLDER and below: what differs, what came of it."""
    from stemsmith.cli.console import Terminal, print_summary, print_table
    from stemsmith.train.listing import differing_settings
    from stemsmith.train.workflow import list_runs

    found = list_runs(folder, progress=Terminal(common))
    differing = differing_settings(found)
    if not common.is_json and not common.is_quiet:
        columns = ("run", "model", "targets", "differs in", *_RESULTS)
        print_table("Runs", columns, [_row(run, differing) for run in found])
    print_summary(common, _summary(folder, found, differing))


def _row(run: ListedRun, differing: Sequence[str]) -> list[str]:
    known = {**run.settings, **run.data}
    return [
        run.run,
        run.model,
        ", ".join(run.targets),
        ", ".join(f"{name}={known[name]}" for name in differing if known.get(name) is not None),
        str(run.n_epochs),
        _NOTHING if run.best_epoch is None else str(run.best_epoch),
        _NOTHING if run.validation_loss is None else f"{run.validation_loss:.4g}",
        _NOTHING if run.si_sdr_db is None else f"{run.si_sdr_db:.2f}",
        _NOTHING if run.elapsed_s is None else _duration(run.elapsed_s),
    ]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _summary(folder: Path, found: Sequence[ListedRun], differing: Sequence[str]) -> Summary:
    from stemsmith.cli.console import Summary

    heard = [(run.si_sdr_db, run.run) for run in found if run.si_sdr_db is not None]
    best = "" if not heard else "; highest SI-SDR {:.2f} dB, of {}".format(*max(heard))
    return Summary(
        f"{folder}: {len(found)} run{'s' if len(found) > 1 else ''}{best}",
        {
            "folder": str(folder),
            "differing": list(differing),
            "runs": [dataclasses.asdict(run) for run in found],
        },
    )
