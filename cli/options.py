"""Options that commands share, how help texts list them, and the configuration file."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from stemsmith.manifests.cluster import default_jobs, scheduler_in, tls_files
from stemsmith.manifests.documents import read_toml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import Field, fields_of
from stemsmith.manifests.paths import local_path
from stemsmith.mixing.sources.layouts import LAYOUTS
from stemsmith.render.corpus.config import SCORES, SOUND, RenderConfig
from stemsmith.render.sound.bank_names import BANK_NAMES

__all__ = [
    "ANY_PATH",
    "LAYOUT_NAMES",
    "LOCAL_PATH",
    "OUTPUT",
    "SCORE_FIELDS",
    "SOURCE",
    "Command",
    "Common",
    "GroupedOption",
    "bank_options",
    "cache_option",
    "command",
    "common_options",
    "config_options",
    "decorate",
    "given_options",
    "grouped",
    "is_given",
    "job_option",
    "read_config",
    "score_options",
    "serial_options",
]

C = TypeVar("C")
LAYOUT_NAMES: Final = (
    f"Layouts: {', '.join(LAYOUTS.names)}, or package.module:function of your own."
)


class LocalPath(click.Path):
    """The type of every path that a command takes: see `local_path`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, parameter: Any, context: Any) -> Any:
        """Return the path, or refuse what is none."""
        return super().convert(local_path(value), parameter, context)


class AnyPath(LocalPath):
    """The type of a path that may be an address in an object store: see `place`."""

    def convert(self, value: Any, parameter: Any, context: Any) -> Any:
        """Return the path, or refuse what is none."""
        from stemsmith.manifests.places import is_remote, place

        where = place(value)
        return where if is_remote(where) else super().convert(where, parameter, context)


LOCAL_PATH: Final = LocalPath()
ANY_PATH: Final = AnyPath()


class _SourceType(click.types.StringParamType):
    """The text of a source or of a system, such as musdb:PATH; shells complete it as a path."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


SOURCE: Final = _SourceType()
OUTPUT: Final = "Workers and output"  # the heading of what every command has
_OTHERS: Final = "Options"


class GroupedOption(click.Option):
    """An option that help texts list under a heading.

    Parameters
    ----------
    *declarations, **settings
        As for `click.Option`.
    group : str, optional
        The heading under which it stands.
    """

    def __init__(self, *declarations: Any, group: str | None = None, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.group = group


class Command(click.Command):
    """A command whose help lists its options under headings, and ends with real commands.

    Parameters
    ----------
    *arguments, **settings
        As for `click.Command`.
    examples : sequence of str
        Commands as one types them; a test parses each with the command's own options.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def groups(self, ctx: click.Context) -> dict[str, list[click.Parameter]]:
        """Return the options that help texts show, by heading, what every command has at the end.

        Parameters
        ----------
        ctx : click.Context
            Of the command.
        """
        found: dict[str, list[click.Parameter]] = {}
        for parameter in self.get_params(ctx):
            is_option = isinstance(parameter, click.Option)
            if is_option and parameter.get_help_record(ctx) is not None:
                is_help = "--help" in parameter.opts
                heading = OUTPUT if is_help else getattr(parameter, "group", None) or _OTHERS
                found.setdefault(heading, []).append(parameter)
        common = found.pop(OUTPUT)
        return {**found, OUTPUT: common}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section for each heading."""
        for heading, parameters in self.groups(ctx).items():
            records = [parameter.get_help_record(ctx) for parameter in parameters]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record is not None])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog and the examples, which are not wrapped: one copies them."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def command(*examples: str, **settings: Any) -> Callable[[Any], Any]:
    """Return a decorator that makes a `Command` of a function.

    Parameters
    ----------
    *examples : str
        Commands as one types them, beginning with ``stemsmith``, for the end of the help text.
    **settings
        As for `click.command`.
    """
    return click.command(cls=Command, examples=examples, **settings)


def grouped(group: str, *declarations: str, **settings: Any) -> Callable[[Any], Any]:
    """Return a decorator that adds an option under a heading.

    Parameters
    ----------
    group : str
        The heading under which it stands.
    *declarations, **settings
        As for `click.option`.
    """
    return click.option(*declarations, cls=GroupedOption, group=group, **settings)


def is_given(name: str) -> bool:
    """Tell whether the user gave a parameter of the running command, or a file of --config did.

    Parameters
    ----------
    name : str
        Of the parameter in Python.
    """
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT)


class _BankType(AnyPath):
    """A patch bank: its file, or the name of one that needs no file."""

    def convert(self, value: Any, parameter: Any, context: Any) -> Any:
        return value if value in BANK_NAMES else super().convert(value, parameter, context)


@dataclass(frozen=True, slots=True)
class Common:
    """Values of the options every command has."""

    n_jobs: int = 0
    scheduler: str | None = None
    is_json: bool = False
    is_quiet: bool = False
    is_verbose: bool = False


def config_options(
    config_type: type,
    *,
    omitted: Sequence[str] = (),
    unset: str | None = None,
    group: str | None = None,
) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of a configuration; `read_config` takes them.

    Parameters
    ----------
    config_type : type
        A dataclass whose fields `stemsmith.manifests.options.option` made.
    omitted : sequence of str
        Fields that this command has no option for, or one of its own.
    unset : str, optional
        Says what the defaults are where they are not those of the dataclass, as in "the model's";
        an option that is not given is then None, and `read_config` leaves it out. With an empty
        text, options say of their defaults what their own descriptions do.
    group : str, optional
        Heading of the options whose descriptions name none.
    """
    fields = [field for field in fields_of(config_type) if field.name not in omitted]
    return decorate(*(_click_option(field, unset, group) for field in fields))


def _click_option(field: Field, unset: str | None, group: str | None) -> Callable[[Any], Any]:
    description = field.option
    is_flag = field.type is bool and description.parse is None
    settings: dict[str, Any] = {"help": description.help, "metavar": description.metavar}
    if is_flag:
        settings["is_flag"] = True
    elif description.is_repeatable:
        settings["multiple"] = True
    else:
        settings["default"] = _shown(field.default) if unset is None else None
    default_text = unset or description.default_text
    settings["show_default"] = default_text or (not is_flag and field.default not in (None, ()))
    if default_text:
        settings["help"] += f"  [default: {default_text}]"
        settings["show_default"] = False
    if not is_flag:
        settings["type"] = _click_type(field)
    flag = field.flag
    if is_flag and field.default is True:
        flag += "/--no-" + field.flag.removeprefix("--")
        settings["default"] = True if unset is None else None
    heading = description.group or group
    return click.option(flag, field.name, cls=GroupedOption, group=heading, **settings)


def _shown(default: Any) -> Any:
    if isinstance(default, Enum):
        return str(default)
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or None
    is_plain = default is None or isinstance(default, bool | int | float | str | Path)
    return default if is_plain else str(default)


def _click_type(field: Field) -> Any:
    if field.option.choices is not None:
        return click.Choice(field.option.choices())
    if field.option.parse is not None:
        return str
    if isinstance(field.type, type) and issubclass(field.type, Enum):
        return click.Choice([str(member.value) for member in field.type])
    if field.option.is_repeatable:
        (kind, *_) = typing.get_args(field.type)
        return kind
    if field.type is Path:
        return LOCAL_PATH
    return field.type


def read_config(
    config_type: type[C], options: Mapping[str, Any], *, base: C | None = None, **values: Any
) -> C:
    """Return the configuration that a command's options name.

    Parameters
    ----------
    config_type : type
        As given to `config_options`.
    options : mapping of str to object
        The values of the command; those that are None are left at their defaults.
    base : object, optional
        A configuration whose values are the defaults.
    **values
        Fields that the command decides itself.

    Raises
    ------
    UsageError
        For a value that makes no sense, naming the option.
    """
    others = {name: given for name, given in options.items() if name not in values}
    values = {**given_options(config_type, others), **values}
    return config_type(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]


def given_options(config_type: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration that a command was given, as Python has them.

    Raises
    ------
    UsageError
        For a value that makes no sense, naming the option.
    """
    return {
        field.name: _value(field, given)
        for field in fields_of(config_type)
        if (given := options.get(field.name)) is not None and given != ()
    }


def _value(field: Field, given: Any) -> Any:
    if field.option.parse is not None:
        return field.option.parse(given)
    if isinstance(field.type, type) and issubclass(field.type, Enum):
        return field.type(given)
    return tuple(given) if field.option.is_repeatable else given


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
    content = read_toml(path)
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


_output_option = functools.partial(grouped, OUTPUT)
_CONFIG = _output_option(
    "--config",
    type=LocalPath(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_load_config,
    help="TOML file with values for these options (same names); flags win.",
)

_WORKERS = decorate(
    _output_option(
        "--jobs",
        type=click.IntRange(min=0),
        default=default_jobs,
        show_default="number of processors",
        help="Local worker processes; 0 runs in this process.",
    ),
    _output_option("--scheduler", metavar="ADDRESS", help="Use a running Dask scheduler instead."),
    _output_option(
        "--scheduler-file",
        type=LOCAL_PATH,
        metavar="FILE",
        help="Use the Dask scheduler that wrote this file.",
    ),
    _output_option(
        "--tls-ca",
        type=LOCAL_PATH,
        metavar="FILE",
        help="With TLS: who signs certificates.",
    ),
    _output_option(
        "--tls-cert", type=LOCAL_PATH, metavar="FILE", help="With TLS: certificate of this client."
    ),
    _output_option(
        "--tls-key", type=LOCAL_PATH, metavar="FILE", help="With TLS: key of --tls-cert, if apart."
    ),
)
_OUTPUT = decorate(
    _output_option("--json", "is_json", is_flag=True, help="Print the summary as one JSON object."),
    _output_option("-q", "--quiet", is_flag=True, help="No progress and no tables."),
    _output_option("-v", "--verbose", is_flag=True, help="Say more."),
    _CONFIG,
)


def _bound_cache(context: click.Context, _: click.Parameter, size_gb: float | None) -> None:
    """Bound the cache of this process and of those that it starts, for the time of the command."""
    if size_gb is None:
        return
    from stemsmith.manifests.cache import SIZE_VARIABLE

    before = os.environ.get(SIZE_VARIABLE)
    os.environ[SIZE_VARIABLE] = str(size_gb)

    def restore() -> None:
        if before is None:
            os.environ.pop(SIZE_VARIABLE, None)
        else:
            os.environ[SIZE_VARIABLE] = before

    context.call_on_close(restore)


cache_option = decorate(
    _output_option(
        "--cache-gb",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GB",
        expose_value=False,
        callback=_bound_cache,
        help="Gigabytes that the cache keeps of songs that are rendered again (render --lazy), and "
        "as many of what is fetched from object stores.  [default: $STEMSMITH_CACHE_GB, or 8]",
    )
)


# Of commands of which several may share the work, without Dask.
job_option = decorate(
    _output_option(
        "--job",
        metavar="I/N",
        help="Do job I of N into the same folder as the others; `stemsmith merge` joins them.",
    )
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
        scheduler_file: Path | None = None,
        tls_ca: Path | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        is_json: bool,
        quiet: bool,
        verbose: bool,
        **kwargs: Any,
    ) -> Any:
        is_with_tls = any(path is not None for path in (tls_ca, tls_cert, tls_key))
        with tls_files(tls_ca, tls_cert, tls_key):
            address = _address(scheduler, scheduler_file, is_with_tls)
            common = Common(jobs, address, is_json, quiet, verbose)
            return function(*args, common=common, **kwargs)

    wrapped.__doc__ = function.__doc__
    wrapped.__name__ = function.__name__
    wrapped.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return _OUTPUT(wrapped)


def _address(scheduler: str | None, file: Path | None, is_with_tls: bool) -> str | None:
    """Return the address of the scheduler that options name, or None.

    Raises
    ------
    UsageError
        If options clash.
    """
    if file is not None:
        if scheduler is not None:
            raise UsageError("give either --scheduler or --scheduler-file")
        scheduler = scheduler_in(file)
    if not is_with_tls:
        return scheduler
    if scheduler is None:
        raise UsageError("--tls-ca, --tls-cert, --tls-key: only with --scheduler")
    protocol, _, _ = scheduler.rpartition("://")
    if protocol not in ("", "tls"):
        raise UsageError(
            f"{scheduler}: a scheduler without TLS; leave out --tls-ca, --tls-cert and --tls-key, "
            "or give its address as tls://HOST:PORT"
        )
    return scheduler if protocol else f"tls://{scheduler}"


# Those of `RenderConfig` that `scan` and `render` have in common.
SCORE_FIELDS = frozenset(
    {
        "seed",
        "band",
        "min_notes",
        "render_omitted",
        "max_duration_s",
        "near_duplicates",
        "min_stem_notes",
        "licence",
        "licence_ok",
        "drums",
    }
)


def bank_options(group: str) -> Callable[[Any], Any]:
    """Return a decorator that adds the options which say what plays.

    Parameters
    ----------
    group : str
        Heading of the options in help texts.
    """
    return decorate(
        grouped(
            group,
            "--soundfont",
            "soundfonts",
            multiple=True,
            type=ANY_PATH,
            help="SoundFont file (.sf2, .sf3); may be repeated.  [default: TimGM6mb.sf2]",
        ),
        grouped(
            group,
            "--bank",
            type=_BankType(),
            metavar=f"FILE|{'|'.join(BANK_NAMES)}",
            help="Patch bank instead of soundfonts: a YAML file; general, three soundfonts "
            "(`stemsmith banks` lists them); or installed, those of its list that are there.",
        ),
        click.option("--patches", type=LOCAL_PATH, hidden=True, help="Older name of --bank."),
    )


score_options = decorate(
    config_options(
        RenderConfig,
        omitted=[f.name for f in fields_of(RenderConfig) if f.name not in SCORE_FIELDS],
    ),
    grouped(SCORES, "--no-band", is_flag=True, help="Take any song."),
    bank_options(SOUND),
)
