"""Options that commands share, and the configuration file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from stemsmith.cli.cluster import default_jobs
from stemsmith.manifests.errors import UsageError

__all__ = ["Common", "common_options", "decorate", "score_options", "serial_options"]


@dataclass(frozen=True, slots=True)
class Common:
    """Values of the options every command has."""

    n_jobs: int
    scheduler: str | None
    is_json: bool
    is_quiet: bool
    is_verbose: bool


def decorate(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return one decorator that applies several, the first one outermost."""

    def apply(function: Any) -> Any:
        """Add the options to a command."""
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _load_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take the values of a TOML file as defaults; flags win."""
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    options = {
        flag.lstrip("-"): parameter
        for parameter in context.command.params
        if isinstance(parameter, click.Option) and parameter.name != "config"
        for flag in parameter.opts
        if flag.startswith("--")
    }
    defaults = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        if name not in options:
            known = ", ".join(sorted(options))
            raise UsageError(f"{path}: unknown key {key!r}; known: {known}")
        option = options[name]
        if not isinstance(value, str | int | float | list):  # TOML knows dates and tables too
            raise UsageError(f"{path}: {key}: expected text, a number, true, false or a list")
        if not isinstance(value, list | bool):
            value = str(value)  # read as a flag would be: 4.5 is no whole number
        items = [str(item) for item in value] if isinstance(value, list) else [value]
        if option.multiple:
            value = items
        elif isinstance(value, list):
            value = ",".join(items)
        defaults[option.name] = value
    context.default_map = {**(context.default_map or {}), **defaults}


_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    help="TOML file with values for these options (same names); flags win.",
)

_WORKERS = decorate(
    click.option(
        "--jobs",
        type=click.IntRange(min=0),
        default=default_jobs,
        show_default="number of processors",
        help="Local worker processes; 0 runs in this process.",
    ),
    click.option("--scheduler", metavar="ADDRESS", help="Use a running Dask scheduler instead."),
)
_OUTPUT = decorate(
    click.option("--json", "is_json", is_flag=True, help="Print the summary as one JSON object."),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no tables."),
    click.option("-v", "--verbose", is_flag=True, help="Say more."),
    _CONFIG,
)


def common_options(function: Any) -> Any:
    """Add the options of commands with workers; the function gets them as `common`."""
    return _WORKERS(serial_options(function))


def serial_options(function: Any) -> Any:
    """Add the options of every command; the function gets them as `common`, with no workers."""

    def wrapped(
        *args: Any,
        jobs: int = 0,
        scheduler: str | None = None,
        is_json: bool,
        quiet: bool,
        verbose: bool,
        **kwargs: Any,
    ) -> Any:
        common = Common(jobs, scheduler, is_json, quiet, verbose)
        return function(*args, common=common, **kwargs)

    wrapped.__doc__ = function.__doc__
    wrapped.__name__ = function.__name__
    wrapped.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return _OUTPUT(wrapped)


score_options = decorate(
    click.option("--seed", type=int, default=0, show_default=True, help="Of all random choices."),
    click.option(
        "--band",
        default="piano,bass,guitar,drums",
        show_default=True,
        help="Players a song must have: instrument classes, e.g. violin,cello.",
    ),
    click.option("--no-band", is_flag=True, help="Take any song."),
    click.option(
        "--min-notes",
        type=int,
        default=50,
        show_default=True,
        help="Notes each player of the band must have.",
    ),
    click.option(
        "--soundfont",
        "soundfonts",
        multiple=True,
        type=click.Path(path_type=Path),
        help="SoundFont file (.sf2, .sf3); may be repeated.  [default: TimGM6mb.sf2]",
    ),
    click.option(
        "--patches",
        type=click.Path(path_type=Path),
        help="Patch bank (YAML) instead of soundfonts.",
    ),
    click.option(
        "--render-omitted", is_flag=True, help="Also render the programs that Slakh leaves out."
    ),
    click.option(
        "--max-duration",
        type=float,
        default=1200.0,
        show_default=True,
        help="Longest score in seconds.",
    ),
)
