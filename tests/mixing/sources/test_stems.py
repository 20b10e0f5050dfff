"""A table of stems has the stems that it was made of, whatever is taken of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import scratch
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.stems import CatalogueStem, OwnMixture, StemTable


@st.composite
def stems(draw: Any) -> CatalogueStem:
    song, n_steps = draw(st.integers(0, 4)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    power, k_power, voices = rng.random((3, n_steps), np.float32)
    return CatalogueStem(
        stem_id=f"r:{'x' * draw(st.sampled_from([0, 60]))}{song}/{draw(st.integers(0, 999))}",
        song_id=f"r:{song}",
        content_id=draw(st.sampled_from(["a", "b", ""])),
        split=draw(st.sampled_from(SPLITS)),
        classes=draw(st.sampled_from([("piano",), ("bass", "e-bass")])),
        root=draw(st.sampled_from(["r", "s"])),
        path=draw(st.text(max_size=5)),
        stream=draw(st.integers(0, 3)),
        sha256=draw(st.sampled_from(["", "0" * 64])),
        sample_rate=draw(st.sampled_from([8000, 44100])),
        n_samples=draw(st.integers(0, 1 << 40)),
        k_power=k_power,
        power=power,
        label=draw(st.sampled_from(["", "Track00001"])),
        song_key=draw(st.sampled_from(["", "key"])),
        voices=draw(st.sampled_from([None, voices])),
        tempo_bpm=draw(st.sampled_from([None, 120.0])),
        bar_quarters=draw(st.sampled_from([None, 3.0])),
        own_mixture=draw(st.sampled_from([None, OwnMixture("mix.flac", 0, "1" * 64)])),
    )


def assert_same(found: CatalogueStem, expected: CatalogueStem) -> None:
    for field in dataclasses.fields(CatalogueStem):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs and type(ours) is type(theirs), field.name


@pytest.mark.parametrize("in_memory", [1 << 20, 50])
@settings(deadline=None)
@given(given_stems=st.lists(stems(), max_size=12), data=st.data())
def test_stems_are_those_that_were_given(
    in_memory: int, given_stems: list[CatalogueStem], data: Any
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "_IN_MEMORY", in_memory)
        patch.setattr(scratch, "_WRITTEN", in_memory)
        table = StemTable.of(iter(given_stems))
        assert StemTable.of(table) is table and len(table) == len(given_stems)
        for found, expected in zip(table, given_stems, strict=True):
            assert_same(found, expected)
        numbers = table.song_numbers
        for i, one in enumerate(given_stems):
            same = [other.song_id == one.song_id for other in given_stems]
            assert (numbers == numbers[i]).tolist() == same
            same = [other.content_id == one.content_id for other in given_stems]
            assert (table.content_numbers == table.content_numbers[i]).tolist() == same
        order = sorted(range(len(given_stems)), key=lambda i: given_stems[i].stem_id)
        assert table.name_order().tolist() == order
        which = data.draw(st.permutations(range(len(given_stems))))
        some = table.take(np.array(which[1:], np.int64))
        for found, number in zip(some, which[1:], strict=True):
            assert_same(found, given_stems[number])
        joined = StemTable.joined([some, table])
        assert [stem.stem_id for stem in joined] == [
            given_stems[number].stem_id for number in [*which[1:], *range(len(given_stems))]
        ]


def test_stems_may_be_shorter_and_in_other_splits() -> None:
    power = np.arange(5, dtype=np.float32)
    one = CatalogueStem(
        "r:a/1", "r:a", "a", "train", ("piano",), "r", "a", 0, "", 8000, 4000, power + 1, power,
        voices=power + 2,
    )  # fmt: skip
    table = StemTable.of([one, dataclasses.replace(one, stem_id="r:a/2")])
    moved = table.in_splits(np.array([2, 0], np.int8)).beginnings(np.array([3, 9], np.int32))
    assert [(stem.split, stem.n_steps) for stem in moved] == [("test", 3), ("train", 5)]
    short = dataclasses.replace(
        one, split="test", k_power=power[:3] + 1, power=power[:3], voices=power[:3] + 2
    )
    assert_same(moved[0], short)
    assert moved != table and table == table.take(np.array([True, True]))
    k_powers, powers = moved.powers(np.array([1, 0]))
    assert powers.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 0, 0]]
    assert k_powers.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]
    assert moved.loudest_power == 4
