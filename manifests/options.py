"""Options: fields of a configuration that also say how commands and manifests spell them.

A stage's configuration is a frozen dataclass. Each of its fields that a user may set is made by
`option`, and this one description serves the dataclass, the command line, ``--config`` files and
the manifest. Modules with configurations import nothing heavy: ``stemsmith --help`` reads them.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.paths import local_path

__all__ = [
    "Field",
    "Option",
    "fields_of",
    "from_manifest",
    "json_value",
    "member",
    "option",
    "settle",
    "to_manifest",
]

C = TypeVar("C")
E = TypeVar("E", bound=Enum)

_KEY: Final = "stemsmith.option"


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is spelled outside Python.

    Attributes
    ----------
    help : str
        One line for people.
    flag : str or None
        Name on the command line, such as ``--max-gain``; None derives it from the field's name.
    key : str or None
        Name in the manifest; None is the field's name.
    parse : callable or None
        Makes the value of the text, or of the texts, that a user gave; raises a `UsageError` that
        names the flag. None where the type of the field says how.
    choices : callable or None
        Returns the names a user may give, where the type of the field does not say.
    metavar : str or None
        Stands for the value in help texts.
    default_text : str or None
        Says what the default is where its value does not: ``all that fit``.
    is_repeatable : bool
        Whether the flag may be given several times.
    is_in_manifest : bool
        Whether the manifest says the value. What decides a byte of a result must be there.
    group : str or None
        Heading under which help texts list the option; None leaves it to the command.
    """

    help: str
    flag: str | None = None
    key: str | None = None
    parse: Callable[[Any], Any] | None = None
    choices: Callable[[], typing.Sequence[str]] | None = None
    metavar: str | None = None
    default_text: str | None = None
    is_repeatable: bool = False
    is_in_manifest: bool = True
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a configuration that is an option.

    Attributes
    ----------
    name : str
        Name of the field in Python.
    flag : str
        On the command line.
    type : type
        Type of the values, leaving None aside.
    is_optional : bool
        Whether it may be None.
    default : object
        Its value where the user gives none.
    option : Option
        Description of the option for people and programs.
    """

    name: str
    flag: str
    type: Any
    is_optional: bool
    default: Any
    option: Option


def option(default: Any, help: str, **description: Any) -> Any:
    """Return a dataclass field that is an option.

    Parameters
    ----------
    default : object
        Value of the field where the user gives none.
    help : str
        One line for people.
    **description
        Further attributes of `Option`.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Config:
    ...     max_gain_db: float = option(30.0, "Largest gain of a stem in dB.", flag="--max-gain")
    >>> Config().max_gain_db
    30.0
    >>> [field.flag for field in fields_of(Config)]
    ['--max-gain']
    """
    metadata = {_KEY: Option(help, **description)}
    return dataclasses.field(default=default, metadata=metadata)


def fields_of(config_type: type) -> Iterator[Field]:
    """Yield the options of a configuration, in the order of its fields."""
    hints = typing.get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        description = field.metadata.get(_KEY)
        if description is None:
            continue
        hint = hints[field.name]
        is_optional = isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint)
        if is_optional:
            (hint,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
        flag = description.flag or "--" + field.name.replace("_", "-")
        yield Field(field.name, flag, hint, is_optional, field.default, description)


def member(choices: type[E], value: E | str, flag: str) -> E:
    """Return the member of an enumeration that is given as itself or as its text.

    Parameters
    ----------
    choices : type
        Enumeration that has the member.
    value : Enum or str
        What was given.
    flag : str
        The option to name in an error, such as ``--phase``.

    Raises
    ------
    UsageError
        If there is no such member; the text lists those that there are.
    """
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(str(choice.value) for choice in choices)
        raise UsageError(f"{flag} {value}: unknown; known: {known}") from None


def settle(config: Any) -> None:
    """Give the values of a new configuration the types of their fields; for ``__post_init__``.

    What has a text form on the command line may be given as text in Python too, members of
    enumerations and paths among them; sequences may be lists, and numbers of any kind: a manifest
    says 10.0 for 10, so that both make the same folder.

    Parameters
    ----------
    config : object
        A frozen dataclass whose fields `option` made.

    Raises
    ------
    UsageError
        For text that stands for no value, naming the option.
    """
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        is_class = isinstance(field.type, type)
        parse = None if field.option.is_repeatable else field.option.parse
        if value is None:
            continue
        if is_class and issubclass(field.type, Enum):
            value = member(field.type, value, field.flag)
        elif parse is not None and isinstance(value, str) and field.type is not str:
            value = parse(value)
        elif isinstance(value, list):
            value = tuple(value)
        elif field.type is float:
            value = float(value)
        elif field.type is Path:
            value = local_path(value)
        object.__setattr__(config, field.name, value)


def to_manifest(config: Any) -> dict[str, Any]:
    """Return the options of a configuration as JSON values, by their keys.

    Parameters
    ----------
    config : object
        An instance of a configuration.

    Returns
    -------
    dict of str to object
        In the order of the fields.
    """
    return {
        field.option.key or field.name: json_value(getattr(config, field.name))
        for field in fields_of(type(config))
        if field.option.is_in_manifest
    }


def from_manifest(config_type: type[C], values: Mapping[str, Any], **others: Any) -> C:
    """Return the configuration that a manifest describes: what `to_manifest` has written.

    Parameters
    ----------
    config_type : type
        A dataclass whose fields `option` made.
    values : mapping of str to object
        JSON values by their keys. What an older version did not know is left at its default.
    **others
        Fields that a manifest does not have, or has in a form of its own.

    Raises
    ------
    UsageError
        For a key that this version does not know, or a value that is none of its option.
    """
    fields = {field.option.key or field.name: field for field in fields_of(config_type)}
    given = {}
    for key, value in values.items():
        field = fields.get(key)
        if field is None or not field.option.is_in_manifest:
            raise UsageError(f"config.{key}: is no option of this version")
        given[field.name] = _from_json(field, key, value)
    made = config_type(**given, **others)
    for key, value in to_manifest(made).items():
        if key in values and values[key] != value:
            raise UsageError(f"config.{key} is {values[key]!r}, which this version takes for other")
    return made


def _from_json(field: Field, key: str, value: Any) -> Any:
    """Return the value of an option that a manifest has."""
    parse, is_number = field.option.parse, field.type in (int, float, bool)
    if value is None:
        is_right = field.is_optional
    elif isinstance(value, list):
        is_right = parse is not None and all(isinstance(v, str | int | float) for v in value)
    elif is_number:
        wanted = (int, float) if field.type is float else field.type
        is_right = isinstance(value, wanted) and isinstance(value, bool) == (field.type is bool)
    else:
        is_right = isinstance(value, str)
    if not is_right:
        raise UsageError(f"config.{key} is {value!r}, which is no value of {field.flag}")
    if parse is None or value is None or is_number or field.type is str:
        return value
    return parse(",".join(map(str, value)) if isinstance(value, list) else value)


def json_value(value: Any) -> Any:
    """Return a value of a configuration as JSON has it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum | Path | str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    if dataclasses.is_dataclass(value) and type(value).__str__ is object.__str__:
        return {f.name: json_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value)
