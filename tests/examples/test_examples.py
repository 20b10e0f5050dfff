"""The rules by which clips become examples: tables of an epoch, and turns of processes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.train.data.examples import (
    VALIDATION,
    EpochTable,
    ExampleRules,
    Turns,
    validation_of,
)

N_SEGMENT = 100
RULES = ExampleRules(seed=5, segment_samples=N_SEGMENT)
BLOCKS = replace(RULES, step_samples=30)
AUGMENTED = replace(RULES, remix=0.5, gain_low=0.25, gain_high=1.25)
LENGTHS = np.random.default_rng(0).integers(20, 700, 50)

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=30).map(np.array)


def columns(table: EpochTable) -> tuple[bytes, ...]:
    return table.clip.tobytes(), table.start.tobytes(), table.gain.tobytes()


def is_one_place(table: EpochTable) -> np.ndarray:
    """Return whether all sources of each example come from one clip and place."""
    return (table.clip == table.clip[:, :1]).all(1) & (table.start == table.start[:, :1]).all(1)


@pytest.mark.parametrize("rules", [RULES, BLOCKS, AUGMENTED, replace(AUGMENTED, n_examples=7)])
def test_a_table_is_of_a_seed_and_an_epoch(rules: ExampleRules) -> None:
    tables = {
        (seed, epoch): columns(replace(rules, seed=seed).table(LENGTHS, 3, epoch))
        for seed in (0, 1)
        for epoch in range(20)
    }
    assert len(set(tables.values())) == len(tables)
    for (seed, epoch), table in reversed(tables.items()):
        assert columns(replace(rules, seed=seed).table(LENGTHS, 3, epoch)) == table


def test_a_table_is_the_same_in_another_process() -> None:
    program = (
        "import numpy as np; from stemsmith.train.data.examples import ExampleRules;"
        "t = ExampleRules(5, 100, remix=0.5, gain_low=0.25).table(np.arange(90, 300), 2, 3);"
        "print(t.clip.sum(), t.start.sum(), float(t.gain.sum(dtype=float)))"
    )
    scope: dict[str, object] = {}
    lines = []
    exec(program.replace("print(", "line = ("), scope)
    lines.append(" ".join(map(str, scope["line"])))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == lines[0], done.stderr


@given(lengths, st.none() | st.integers(1, 100), st.integers(0, 5), st.sampled_from([0, 30]))
def test_every_unit_comes_once_before_any_comes_again(n_samples, n_examples, epoch, step) -> None:
    rules = replace(RULES, n_examples=n_examples, step_samples=step)
    table = rules.table(n_samples, 2, epoch)
    units = replace(rules, n_examples=None).table(n_samples, 2, epoch)
    n_units = len(units)
    assert len(table) == (n_units if n_examples is None else n_examples)
    if not step:
        assert sorted(units.clip[:, 0]) == list(range(len(n_samples)))
    for first in range(0, len(table), n_units):
        turn = slice(first, first + n_units)
        clip, start = table.clip[turn, 0], table.start[turn, 0] * bool(step)
        assert len(set(zip(clip, start, strict=True))) == len(clip)


@given(lengths, st.integers(0, 3), st.floats(0, 1), st.sampled_from([0, 30, 100]))
def test_excerpts_lie_inside_their_clips(n_samples, epoch, remix, step) -> None:
    table = replace(RULES, remix=remix, step_samples=step).table(n_samples, 3, epoch)
    assert table.clip.shape == table.start.shape == table.gain.shape == (len(table), 4)
    assert (table.start >= 0).all()
    last = np.maximum(n_samples - N_SEGMENT, 0)  # a short clip is taken from its beginning
    assert (table.start <= last[table.clip]).all()


def test_places_are_spread_over_the_whole_clip() -> None:
    starts = [int(RULES.table(np.array([N_SEGMENT + 9]), 1, e).start[0, 0]) for e in range(2000)]
    counts = Counter(starts)
    assert set(counts) == set(range(10))  # both ends included
    assert min(counts.values()) > 140


def test_no_crop_comes_twice_by_accident() -> None:
    """In 40 epochs of clips with a million places, no two crops begin at the same one."""
    n_samples = np.full(20, 1_000_000 + N_SEGMENT)
    tables = [RULES.table(n_samples, 1, epoch) for epoch in range(40)]
    crops = {crop for t in tables for crop in zip(t.clip[:, 0], t.start[:, 0], strict=True)}
    assert len(crops) >= 40 * 20 - 1
    orders = {tuple(table.clip[:, 0]) for table in tables}
    assert len(orders) == 40


@given(lengths, st.integers(1, 120))
def test_blocks_are_those_of_algorithm_1(n_samples, step) -> None:
    """Miron et al. 2017: blocks of one length from every step that leaves room for a whole one."""
    table = replace(RULES, step_samples=step).table(n_samples, 2, 4)
    wanted = []
    for clip, n in enumerate(n_samples):
        start = 0
        while start == 0 or start + N_SEGMENT <= n:
            wanted.append((clip, start))
            start += step
    assert sorted(zip(table.clip[:, 0], table.start[:, 0], strict=True)) == wanted
    assert is_one_place(table).all()
    assert table.is_plain


def test_validation_is_plain_and_in_order_and_never_changes() -> None:
    for rules in (RULES, BLOCKS, replace(AUGMENTED, n_examples=7)):
        table = rules.table(LENGTHS, 3, VALIDATION)
        assert table.is_plain
        assert (table.gain == 1).all()
        assert is_one_place(table).all()
        assert (np.diff(table.clip[:, 0]) >= 0).all()
        assert set(table.clip[:, 0]) == set(range(len(LENGTHS)))
        assert columns(rules.table(LENGTHS, 3, VALIDATION)) == columns(table)
    same = [replace(r, gain_low=0.5, remix=1.0) for r in (RULES, replace(RULES, n_examples=3))]
    assert len({columns(r.table(LENGTHS, 3, VALIDATION)) for r in (RULES, *same)}) == 1


@pytest.mark.parametrize("step", [0, 30])
def test_drawn_validation_is_plain_and_another_in_every_epoch(step: int) -> None:
    rules = replace(AUGMENTED, step_samples=step, n_validation=5)
    tables = [rules.table(LENGTHS, 3, validation_of(epoch)) for epoch in range(20)]
    for table in tables:
        assert len(table) == 5
        assert table.is_plain
        assert (table.gain == 1).all()
        assert is_one_place(table).all()
    assert len(set(map(columns, tables))) == 20
    assert len({clip for table in tables for clip in table.clip[:, 0]}) > 25
    again = replace(rules, remix=0.0, gain_low=1.0, gain_high=1.0, n_examples=9)
    assert columns(again.table(LENGTHS, 3, validation_of(3))) == columns(tables[3])
    assert columns(replace(rules, seed=6).table(LENGTHS, 3, validation_of(3))) != columns(tables[3])
    fixed = replace(rules, n_validation=None).table(LENGTHS, 3, VALIDATION)
    assert columns(rules.table(LENGTHS, 3, VALIDATION)) == columns(fixed)


def test_drawn_validation_follows_its_epoch_and_keeps_its_last_batch() -> None:
    turns = Turns(7, 3, epoch=validation_of(0))
    turns.set_epoch(4)
    assert [len(batch) for batch in turns] == [3, 3, 1]
    assert {epoch for batch in turns for epoch, _ in batch} == {validation_of(4)}
    assert len({VALIDATION, *map(validation_of, range(9))}) == 10


def test_no_validation_examples_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="0 validation examples an epoch: at least one"):
        replace(RULES, n_validation=0)


def test_as_many_examples_are_remixed_as_asked() -> None:
    n_samples = np.full(4000, 5000)
    for share in (0.0, 0.3, 1.0):
        table = replace(RULES, remix=share).table(n_samples, 2, 0)
        found = 1 - is_one_place(table).mean()
        assert found == pytest.approx(share, abs=0.03)
        assert table.is_plain == (share == 0)
        assert (table.gain == 1).all()
    mixed = ~is_one_place(table)
    for a, b in ((0, 1), (0, 2), (1, 2)):  # every source from a place of its own
        assert (table.clip[mixed, a] != table.clip[mixed, b]).mean() > 0.99
    for column in range(3):  # and from everywhere
        assert len(set(table.clip[mixed, column])) > 0.6 * len(n_samples)


def test_gains_are_in_their_range_and_independent() -> None:
    table = replace(RULES, gain_low=0.25, gain_high=1.25).table(np.full(3000, 5000), 2, 0)
    assert table.gain.dtype == np.float32
    assert 0.25 <= table.gain.min() < 0.26
    assert 1.24 < table.gain.max() <= 1.25
    assert table.gain.mean() == pytest.approx(0.75, abs=0.01)
    assert np.abs(np.corrcoef(table.gain.T) - np.eye(3)).max() < 0.06
    assert not table.is_plain
    assert is_one_place(table).all()
    fixed = replace(RULES, gain_low=0.5, gain_high=0.5).table(LENGTHS, 2, 0)
    assert (fixed.gain == 0.5).all()
    assert not fixed.is_plain


@pytest.mark.parametrize(
    "change",
    [
        {"remix": -0.1}, {"remix": 1.1}, {"remix": float("nan")}, {"gain_low": 0.0},
        {"gain_low": 2.0}, {"gain_high": float("inf")}, {"gain_high": float("nan")},
        {"n_examples": 0}, {"n_examples": -1},
    ],
    ids=str,
)  # fmt: skip
def test_rules_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        replace(RULES, **change)


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3))
def test_ranks_share_the_batches_of_one_process(n, n_batch, n_ranks, epoch) -> None:
    one = list(Turns(n, n_batch * n_ranks, epoch=epoch))
    ranks = [Turns(n, n_batch, rank, n_ranks, epoch) for rank in range(n_ranks)]
    batches = [list(turns) for turns in ranks]
    assert {len(own) for own in batches} == {len(one)} == {len(turns) for turns in ranks}
    for number, whole in enumerate(one):
        shared = [row for own in batches for row in own[number]]
        assert sorted(set(shared)) == sorted(whole)
        if n >= n_batch * n_ranks:
            assert sorted(shared) == sorted(whole)
            assert {len(own[number]) for own in batches} == {n_batch}
    rows = [row for batch in one for _, row in batch]
    whole_batch = n_batch * n_ranks
    n_kept = n // whole_batch * whole_batch if n >= whole_batch else n
    assert rows == list(range(n_kept))
    assert {e for batch in one for e, _ in batch} == {epoch}


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 5))
def test_validation_counts_every_example_once(n, n_batch, n_ranks) -> None:
    counted: list[int] = []
    n_steps = set()
    for rank in range(n_ranks):
        turns = Turns(n, n_batch, rank, n_ranks, VALIDATION)
        batches = list(turns)
        assert all(batches)
        n_steps.add(len(batches))
        assert len(turns) == len(batches)
        for number, batch in enumerate(batches):
            assert {epoch for epoch, _ in batch} == {VALIDATION}
            assert turns.n_own(number) in (0, len(batch))
            counted += [row for _, row in batch[: turns.n_own(number)]]
    assert sorted(counted) == list(range(n))
    assert len(n_steps) == 1


def test_turns_go_to_an_epoch_and_validation_stays() -> None:
    turns = Turns(4, 2)
    assert list(turns) == [[(0, 0), (0, 1)], [(0, 2), (0, 3)]]
    turns.set_epoch(7)
    assert list(turns) == [[(7, 0), (7, 1)], [(7, 2), (7, 3)]]
    validation = Turns(3, 2, epoch=VALIDATION)
    validation.set_epoch(7)
    assert list(validation) == [[(VALIDATION, 0), (VALIDATION, 1)], [(VALIDATION, 2)]]


def test_too_few_examples_for_a_batch_are_one_batch() -> None:
    assert list(Turns(3, 8)) == [[(0, 0), (0, 1), (0, 2)]]
    assert [len(list(Turns(3, 2, rank, 4))) for rank in range(4)] == [1] * 4
