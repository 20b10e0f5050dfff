"""The `stemsmith` command.

Importing this file must stay cheap: numpy, pyarrow, dask and the stages are imported inside the
commands, so that `stemsmith --help` answers at once.
"""

from __future__ import annotations

import errno
from importlib.metadata import version
from typing import IO, Any, Final

import click
from stemsmith.cli.audit import audit
from stemsmith.cli.banks import banks
from stemsmith.cli.certify import certify
from stemsmith.cli.compare import compare
from stemsmith.cli.demo import demo
from stemsmith.cli.evaluate import evaluate
from stemsmith.cli.export import export
from stemsmith.cli.gap import gap
from stemsmith.cli.latents import latents
from stemsmith.cli.merge import merge
from stemsmith.cli.mix import mix
from stemsmith.cli.pack import pack, restore
from stemsmith.cli.render import render
from stemsmith.cli.report import report
from stemsmith.cli.runs import runs
from stemsmith.cli.scan import scan
from stemsmith.cli.separate import separate
from stemsmith.cli.study import study
from stemsmith.cli.train import train
from stemsmith.cli.validate import validate
from stemsmith.manifests.errors import StemsmithError, UsageError
from stemsmith.manifests.interrupts import heeding_signals

__all__ = ["main"]


class _Failed(click.ClickException):
    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class _Misused(_Failed):
    exit_code = 2


class _Aborted(click.ClickException):
    """Somebody wants the command to stop; its last line says how to go on."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"\nAborted! {self.message}", file, err=True)  # the terminal has shown ^C


_GOES_ON: Final = "The same command goes on where it was."
_BEGINS_AGAIN: Final = "Nothing was written; the same command begins again."
_HOW_TO_GO_ON: Final = {
    "render": _GOES_ON,
    "mix": _GOES_ON,
    "merge": _GOES_ON,
    "restore": _GOES_ON,
    "evaluate": _GOES_ON,
    "demo": _GOES_ON,
    "train": "The same command with --resume goes on after the last whole epoch.",
    "separate": "What is finished stays; the same command with --overwrite separates all again.",
    "export": _GOES_ON,
    "study": _GOES_ON,
}


class _Group(click.Group):
    """Turns the errors a user can cause into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with heeding_signals():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Aborted(_HOW_TO_GO_ON.get(str(ctx.invoked_subcommand), _BEGINS_AGAIN)) from None
        except StemsmithError as error:
            kind = _Misused if isinstance(error, UsageError) else _Failed
            raise kind(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise _Failed(f"{where}{error.strerror or error}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("stemsmith"), prog_name="stemsmith")
def main() -> None:
    """Make multi-track corpora for music source separation from MIDI files."""


for _command in (
    scan,
    banks,
    render,
    audit,
    mix,
    merge,
    train,
    runs,
    separate,
    evaluate,
    compare,
    gap,
    latents,
    report,
    export,
    validate,
    certify,
    pack,
    restore,
    study,
    demo,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
