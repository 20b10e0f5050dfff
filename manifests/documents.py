"""YAML, TOML and JSON that somebody else may have written: read here, and nowhere else.

Whatever a parser does of such a file becomes one line that names it. Files are refused that are
larger or nested deeper than any of ours, and YAML that refers to itself: a few hundred bytes of
aliases stand for more than a machine can hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stemsmith.manifests.errors import StemsmithError, UsageError, one_line

if TYPE_CHECKING:
    import yaml

__all__ = [
    "Every",
    "Nullable",
    "Optional",
    "misfit",
    "parse_json",
    "read_json",
    "read_toml",
    "read_yaml",
]

_LARGEST: Final = {"YAML": 1 << 20, "TOML": 1 << 18, "JSON": 1 << 28}  # bytes
_DEEPEST: Final = 32  # levels; ours have up to six
_LONGEST_NUMBER: Final = 64  # characters in YAML; those of base 60 take time that grows as squares


class Every:
    """A shape of mappings with any keys, or of lists, whose members all have one shape.

    Parameters
    ----------
    kind : type
        ``dict`` or ``list``.
    member : object
        Shape of every member.
    """

    def __init__(self, kind: type, member: Any) -> None:
        self.kind, self.member = kind, member


class Nullable:
    """A shape of what may be None.

    Parameters
    ----------
    shape : object
        Shape of what is there otherwise.
    """

    def __init__(self, shape: Any) -> None:
        self.shape = shape


class Optional:
    """A shape of what a mapping may lack.

    Parameters
    ----------
    shape : object
        Shape of what is there otherwise.
    """

    def __init__(self, shape: Any) -> None:
        self.shape = shape


def misfit(content: Any, shape: Any, name: str = "") -> str:
    """Say in which way content of a file has not the shape it must have.

    Parameters
    ----------
    content : object
        As JSON, TOML or YAML has it.
    shape : object
        A type, where ``object`` takes anything, ``float`` whole numbers too, and neither that nor
        ``int`` a bool; a dict of the keys that must be there and their shapes, beside which there
        may be others; or `Every`, `Nullable` or `Optional`.
    name : str
        Name of the content where it is part of something.

    Returns
    -------
    str
        Such as ``"config.seed is not a whole number"``; empty if nothing is wrong.

    Examples
    --------
    >>> misfit({"n": 1, "names": ["a", 2]}, {"n": int, "names": Every(list, str)})
    'names.1 is not text'
    """
    if isinstance(shape, Nullable):
        return "" if content is None else misfit(content, shape.shape, name)
    if isinstance(shape, Every):
        if not isinstance(content, shape.kind):
            return f"{name or 'it'} is not {_NAMES[shape.kind]}"
        members: Any = content
        items: Iterable[tuple[Any, Any]]
        items = members.items() if shape.kind is dict else enumerate(members)
        return next(filter(None, (misfit(v, shape.member, _join(name, k)) for k, v in items)), "")
    if isinstance(shape, dict):
        if not isinstance(content, dict):
            return f"{name or 'it'} is not {_NAMES[dict]}"
        for key, inner in shape.items():
            if key not in content:
                if not isinstance(inner, Optional):
                    return f"{_join(name, key)} is missing"
                continue
            inner = inner.shape if isinstance(inner, Optional) else inner
            if problem := misfit(content[key], inner, _join(name, key)):
                return problem
        return ""
    wanted = (int, float) if shape is float else shape
    is_taken = shape in (bool, object) or not isinstance(content, bool)  # which is an int
    return (
        "" if isinstance(content, wanted) and is_taken else f"{name or 'it'} is not {_NAMES[shape]}"
    )


_NAMES: Final = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table of names and values",
    list: "a list",
}


def _join(name: str, key: object) -> str:
    text = str(key) if str(key).isprintable() else repr(key)
    return f"{name}.{text}" if name else text


def read_yaml(path: Path, error: type[StemsmithError] = UsageError) -> Any:
    """Read a YAML file: safe tags, no aliases.

    Parameters
    ----------
    path : Path
        File to read, at most 1 MiB.
    error : type
        What is raised if it cannot be read, naming the file.
    """
    return _read(path, "YAML", _parse_yaml, error)


def read_toml(path: Path, error: type[StemsmithError] = UsageError) -> dict[str, Any]:
    """Read a TOML file of at most 256 KiB; parameters as of `read_yaml`."""
    content: dict[str, Any] = _read(path, "TOML", _parse_toml, error)
    return content


def read_json(path: Path, error: type[StemsmithError] = UsageError) -> Any:
    """Read a JSON file of at most 256 MiB; parameters as of `read_yaml`.

    Raises
    ------
    FileNotFoundError
        If there is none: what that means is for the caller to say.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    return _read(path, "JSON", parse_json, error)


def parse_json(data: bytes | str) -> Any:
    """Return what JSON text stands for.

    Raises
    ------
    ValueError
        If it stands for nothing, or is nested too deep.
    """
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _shallow(content)


_TOO_DEEP: Final = f"nested more than {_DEEPEST} levels deep"


def _read(
    path: Path, kind: str, parse: Callable[[bytes], Any], failure: type[StemsmithError]
) -> Any:
    from stemsmith.manifests import places  # which --help does not need

    limit = _LARGEST[kind]
    try:
        with places.opened(path) as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise failure(f"{path}: cannot be read: {reason}") from error
    if len(data) > limit:
        raise failure(f"{path}: has more than {limit >> 10} KiB; no {kind} of ours is so large")
    try:
        return parse(data)
    except Exception as error:  # parsers raise whatever their helpers do
        complaint = "cannot be read as JSON" if kind == "JSON" else f"not valid {kind}"
        raise failure(f"{path}: {complaint}: {one_line(error)}") from error


def _shallow(content: Any) -> Any:
    """Return content unless it is nested too deep; level by level, and so without recursion."""
    level = [content]
    for _ in range(_DEEPEST):
        level = [
            member
            for item in level
            if isinstance(item, Mapping | list)
            for member in (item.values() if isinstance(item, Mapping) else item)
            if isinstance(member, Mapping | list)
        ]
        if not level:
            return content
    raise ValueError(_TOO_DEEP)


def _parse_toml(data: bytes) -> dict[str, Any]:
    import tomllib

    text = data.decode("utf-8")
    # A key of n parts takes the parser n squared steps.
    if any(part.count(".") > _DEEPEST for part in re.split(r"[,=\[\]\n\"']", text)):
        raise ValueError(_TOO_DEEP)
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _shallow(content)
    return content


def _parse_yaml(data: bytes) -> Any:
    import yaml

    return yaml.load(data, _loader())


def _loader() -> type[yaml.SafeLoader]:
    """Return a loader of plain values; made here, since importing YAML takes a while."""
    import yaml

    class PlainLoader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("an alias (*name): write out what it stands for")
            self.depth += 1
            if self.depth > _DEEPEST:
                raise ValueError(_TOO_DEEP)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_yaml_int(self, node: Any) -> Any:
            self._check_number(node)
            return super().construct_yaml_int(node)

        def construct_yaml_float(self, node: Any) -> Any:
            self._check_number(node)
            return super().construct_yaml_float(node)

        def _check_number(self, node: Any) -> None:
            if len(str(node.value)) > _LONGEST_NUMBER:
                raise ValueError(f"a number of more than {_LONGEST_NUMBER} characters")

    PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_yaml_int)
    PlainLoader.add_constructor("tag:yaml.org,2002:float", PlainLoader.construct_yaml_float)
    return PlainLoader
