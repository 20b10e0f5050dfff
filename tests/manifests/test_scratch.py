"""Records and numbers on disk are those that were given, in any amount of memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import scratch
from stemsmith.manifests.scratch import (
    ComparedTexts,
    OnDemand,
    ScratchColumn,
    ScratchMapping,
    ScratchRecords,
    in_order,
    prefixes_of,
    text_order,
)

# Letters that sort otherwise in UTF-16, that are no text in UTF-8, and the end of a C string.
LETTERS = st.sampled_from(["a", "b", "/", "\0", "é", "\udc80", "\ue000", "😀"])
TEXTS = st.builds(
    "".join, st.tuples(st.sampled_from(["", "x" * 46, "x" * 47, "x" * 48]), st.text(LETTERS))
)


@pytest.fixture(autouse=True, params=[1 << 20, 40])
def in_memory(request: pytest.FixtureRequest) -> Iterator[int]:
    """Keep everything in memory, or next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_IN_MEMORY", "_WRITTEN", "_N_TAKEN"):
            patch.setattr(scratch, name, request.param)
        yield request.param


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.integers() | st.none())), st.data())
def test_records_are_those_that_were_given(records: list[Any], data: Any) -> None:
    found = ScratchRecords(records[:2])
    found.extend(records[2:])
    assert found == records and list(found) == records and len(found) == len(records)
    assert found != [*records, None]
    if records:
        place = data.draw(st.integers(-len(records), len(records) - 1))
        assert found[place] == records[place]
        assert found[place::2] == records[place::2]
        found.append("more")  # after something was read
        assert found[-1] == "more" and found[0] == records[0]
    with pytest.raises(IndexError):
        found[len(found)]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=20)))
def test_numbers_are_those_that_were_given(parts: list[list[float]]) -> None:
    column = ScratchColumn[np.float32](np.float32)
    taken = [column.mapped]
    for part in parts:
        column.append(np.array(part, np.float32))
        taken.append(column.read(0, len(column)) if len(taken) % 2 else column.mapped)
    for number, values in enumerate(taken):  # what was taken before stays what it was
        expected = [value for part in parts[:number] for value in part]
        np.testing.assert_array_equal(values, np.array(expected, np.float32))
    assert len(column) == sum(map(len, parts))


@settings(deadline=None)
@given(st.integers(0, 60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_numbers_are_read_from_any_place(n: int, spans: list[tuple[int, int]]) -> None:
    column, numbers = ScratchColumn[np.int32](np.int32), np.arange(100, 100 + n, dtype=np.int32)
    for start in range(0, n, 7):
        column.append(numbers[start : start + 7])
    spans = [(first, length) for first, length in spans if first + length <= n]
    for first, length in spans:
        np.testing.assert_array_equal(column.read(first, length), numbers[first : first + length])
    firsts, lengths = np.array(spans, np.int64).reshape(-1, 2).T
    rows = column.rows(firsts, lengths)
    assert rows.shape == (len(spans), max(lengths, default=0))
    for row, (first, length) in zip(rows, spans, strict=True):
        assert row.tolist() == [*numbers[first : first + length], *[0] * (len(row) - length)]
    places = np.array([first for first, _ in spans if first < n], np.int64)
    np.testing.assert_array_equal(column.take(places), numbers[places])


@pytest.mark.parametrize("width", [1, 4])
def test_rows_that_follow_one_another_are_right(width: int) -> None:
    column = ScratchColumn[np.float32](np.float32)
    column.append(np.arange(40, dtype=np.float32))
    firsts = np.array([0, 4, 8, 20, 24, 3, 4], np.int64)
    lengths = np.array([4, 4, 4, width, 4, 1, 4], np.int64)
    for row, first, n in zip(column.rows(firsts, lengths), firsts, lengths, strict=True):
        assert row.tolist() == [*range(first, first + n), *[0] * (4 - n)]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=30))
def test_texts_are_sorted_as_python_sorts_them(texts: list[str]) -> None:
    expected = sorted(range(len(texts)), key=texts.__getitem__)
    assert text_order(prefixes_of(texts), texts.__getitem__).tolist() == expected
    records = ScratchRecords(enumerate(texts))
    assert [number for number, _ in in_order(records, lambda row: row[1])] == expected


def test_only_texts_that_begin_alike_are_read() -> None:
    texts = ["b", "x" * 50 + "b", "a", "x" * 50 + "a"]
    asked = []

    def text(number: int) -> str:
        asked.append(number)
        return texts[number]

    assert text_order(prefixes_of(texts), text).tolist() == [2, 0, 3, 1]
    assert sorted(asked) == [1, 3]


@settings(deadline=None)
@given(st.lists(TEXTS), st.lists(TEXTS))
def test_texts_are_compared(texts: list[str], others: list[str]) -> None:
    compared = ComparedTexts(texts)
    numbers, firsts = compared.numbers(), compared.firsts()
    for i, text in enumerate(texts):
        assert firsts[i] == texts.index(text)
        assert [n == numbers[i] for n in numbers] == [other == text for other in texts]
    repeated = [i for i, text in enumerate(texts) if text in texts[:i]]
    assert compared.first_repeated() == (repeated[0] if repeated else None)
    last = {text: place for place, text in enumerate(others)}
    assert compared.places_in(ComparedTexts(others)).tolist() == [last.get(t, -1) for t in texts]


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers())), TEXTS)
def test_a_mapping_is_that_of_its_items(items: list[tuple[str, int]], name: str) -> None:
    found, expected = ScratchMapping(items), dict(items)
    assert dict(found) == expected and len(found) == len(expected)
    assert found.get(name) == expected.get(name)


def test_records_on_demand_are_made_each_time() -> None:
    made = []

    def square(place: int) -> int:
        made.append(place)
        return place * place

    found = OnDemand(square, range(10))
    assert (len(found), made) == (10, [])
    assert (found[3], found[-1], found[2:5]) == (9, 81, [4, 9, 16])
    assert list(found[1::4]) == [1, 25, 81]
    assert OnDemand(square, np.array([7, 2])) == (49, 4)
    assert found[0:0] == []
    with pytest.raises(IndexError):
        found[10]


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import numpy as np, sys\n"
        "from stemsmith.manifests import scratch\n"
        "scratch._IN_MEMORY = scratch._WRITTEN = 1000\n"
        "records = scratch.ScratchRecords('x' * 100 for _ in range(1000))\n"
        "column = scratch.ScratchColumn(np.float32)\n"
        "column.append(np.ones(10_000, np.float32))\n"
        "print(records[999], column.mapped.sum(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["x" * 100, "10000.0"]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_IN_MEMORY", 10)
    records = ScratchRecords[str]()
    monkeypatch.setattr(scratch, "_WRITTEN", 10)

    def full(self: Any, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(records._file), "write", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        records.append("x" * 100)
    assert error.value.filename == tempfile.gettempdir()
