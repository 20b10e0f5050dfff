"""Ways to spoil a file: bytes of any, values of JSON and of records, words of YAML and TOML.

All are strategies of Hypothesis over real files, so that a test has the same examples each time, a
campaign has others with every seed, and what fails is made small.
"""

from __future__ import annotations

import copy
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

__all__ = ["Case", "spoiled_bytes", "spoiled_json", "spoiled_records", "spoiled_words"]

NUMBERS = (0, 1, -1, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 1 << 31, 1 << 62, -(1 << 63), 10**30, 0.5, -0.0, 1e308,
    1e999, math.nan,
    "", " ", "x", "../../evil", "/etc/hostname", "..", ".", "a/b", "a\0b", "a\nb", "\u202e",
    "ä" * 300, "x" * 5000,
    "cuda", "os:system", "json:JSONDecoder", "[]", [], {}, [[]], {"a": 1}, [None], [1, 2], ["a"],
    {"": {}},
)  # fmt: skip
WORDS = (
    "*a", "&a ", "&a [*a]", "<<: *a", "<<: {a: 1}", "!!int ", "!!python/object:os.system ",
    "!!binary ", "!!set ",
    "!!timestamp ", "!x ", "{", "}", "[", "]", "- ", "? ", ": ", ",", "|", ">", "\t", "\n", "\r",
    "#", "'", '"', '"""',
    "---", "...", "%YAML 9.9\n", "[" * 40, "[" * 3000, "{a: " * 40, "a.b." * 40, "[[a]]", "[a.b]",
    "1:2:3", "0x", "0b2",
    "0o9", "1_000", "1e999", ".inf", ".nan", "nan", "-1", "99999999999999999999", "2001-99-99",
    "2001-01-01T25:00:00",
    "07:32:61", "~", "null", "yes", "=", "\0", "\x85", "\ufeff", "é", "\\u0000", "\\x",
    "../../evil", "x" * 2000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A file to be read: its content, and which file of those that a target has it is."""

    name: str
    data: bytes

    def __repr__(self) -> str:
        return f"Case({self.name!r}, {self.data[:300]!r}...)"


Step = tuple[int, int, int]  # which way, where, with what


def steps(most: int = 6) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, (1 << 32) - 1)
    return st.lists(st.tuples(st.integers(0, 255), number, number), min_size=1, max_size=most)


def _index(items: Sequence[object]) -> st.SearchStrategy[int]:
    return st.integers(0, len(items) - 1)  # and not the items, which Hypothesis would print


def spoiled_bytes(seeds: Sequence[Case]) -> st.SearchStrategy[Case]:
    """Return files of which some bytes are changed, left out, doubled or taken from another."""

    def spoil(index: int, todo: list[Step]) -> Case:
        seed = seeds[index]
        data = bytearray(seed.data)
        for way, where, value in todo:
            place = where % (len(data) + 1)
            _WAYS[way % len(_WAYS)](data, place, value, seeds)
        return Case(seed.name, bytes(data))

    return st.builds(spoil, _index(seeds), steps())


def _flip(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    if place < len(data):
        data[place] ^= 1 << value % 8


def _set(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    if place < len(data):
        data[place] = value % 256


def _number(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    form = (">H", "<H", ">I", "<I", ">Q", "<Q")[value % 6]
    size = struct.calcsize(form)
    number = NUMBERS[value // 6 % len(NUMBERS)] & ((1 << 8 * size) - 1)
    data[place : place + size] = struct.pack(form, number)


def _cut(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    del data[place : place + 1 + value % 64]


def _end(data: bytearray, place: int, *_: object) -> None:
    del data[place:]


def _double(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    data[place:place] = data[place : place + 1 + value % 256]


def _insert(data: bytearray, place: int, value: int, _: Sequence[Case]) -> None:
    data[place:place] = value.to_bytes(4, "big")[: 1 + value % 4]


def _splice(data: bytearray, place: int, value: int, seeds: Sequence[Case]) -> None:
    other = seeds[value % len(seeds)].data
    start = value // 7 % (len(other) + 1)
    data[place : place + 64] = other[start : start + 64]


Way = Callable[[bytearray, int, int, Sequence[Case]], None]
_WAYS: tuple[Way, ...] = (
    _flip, _flip, _set, _number, _number, _cut, _end, _double, _insert, _splice,
)  # fmt: skip


def spoiled_json(seeds: Sequence[Case]) -> st.SearchStrategy[Case]:
    """Return JSON of which some values are others, missing, elsewhere, or nested deep."""

    def spoil(index: int, todo: list[Step]) -> Case:
        seed = seeds[index]
        box = [json.loads(seed.data)]
        for way, where, value in todo:
            _spoil_value(box, way, where, value)
        return Case(seed.name, json.dumps(box[0]).encode("utf-8", "surrogatepass"))

    return st.builds(spoil, _index(seeds), steps(3)) | spoiled_bytes(seeds)


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Return all places in a document: what they are in, and their key there."""
    found: list[tuple[Any, Any]] = []
    todo = [content]
    while todo:
        item = todo.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        found += [(item, key) for key in keys]
        todo += [item[key] for key in keys if isinstance(item[key], dict | list)]
    return found


def _spoil_value(box: list[Any], way: int, where: int, value: int) -> None:
    places = _places(box)
    owner, key = places[where % len(places)]
    if way < 150:
        owner[key] = copy.deepcopy(VALUES[value % len(VALUES)])
    elif way < 180 and owner is not box:
        del owner[key]
    elif way < 200 and isinstance(owner, dict):
        owner[str(VALUES[value % len(VALUES)])[:100]] = owner.pop(key)
    elif way < 220:
        other, other_key = places[value % len(places)]
        owner[key] = json.loads(json.dumps(other[other_key]))
    elif way < 235:
        for _ in range(1 + value % 60):
            owner[key] = [owner[key]]
    elif isinstance(owner[key], int | float) and not isinstance(owner[key], bool):
        owner[key] = owner[key] * -1 + value % 3


def spoiled_words(seeds: Sequence[Case]) -> st.SearchStrategy[Case]:
    """Return text of which some words are such as its format gives a meaning to."""

    def spoil(index: int, todo: list[Step]) -> Case:
        seed = seeds[index]
        words = re.findall(r"\w+|\s+|[^\w\s]", seed.data.decode())
        for way, where, value in todo:
            place = where % len(words)
            word = WORDS[value % len(WORDS)]
            if way < 120:
                words[place] = word
            elif way < 200:
                words.insert(place, word)
            elif way < 230:
                words[place:place] = words[place : place + 1 + value % 20]
            else:
                words[place] = ""
        return Case(seed.name, "".join(words).encode())

    return st.builds(spoil, _index(seeds), steps()) | spoiled_bytes(seeds)


def spoiled_records(
    rows: Sequence[tuple[str, list[dict[str, Any]]]],
    encode: Callable[[str, list[dict[str, Any]], Step], bytes],
) -> st.SearchStrategy[Case]:
    """Return Parquet files of records of which some values are such as no record has."""

    def spoil(index: int, todo: list[Step], shape: Step) -> Case:
        name, content = rows[index]
        spoiled: Any = json.loads(json.dumps(content))
        for _, where, value in todo:
            places = [
                place for place in _places(spoiled) if not isinstance(place[0][place[1]], dict)
            ]
            owner, key = places[where % len(places)]
            before = owner[key]
            if isinstance(before, list):
                owner[key] = before[1:] if value % 2 else before + before[:1]
                continue
            alike = [v for v in VALUES if isinstance(v, type(before)) or v is None]
            owner[key] = copy.deepcopy(alike[value % len(alike)])
        return Case(name, encode(name, spoiled, shape))

    number = st.integers(0, (1 << 32) - 1)
    return st.builds(spoil, _index(rows), steps(2), st.tuples(number, number, number))
