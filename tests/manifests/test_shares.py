"""Jobs of an array: what is whose, and how they are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.shares import Share, array_text, share_of

N_JOBS = st.integers(1, 12)
N_ITEMS = st.integers(0, 40)


@given(N_JOBS, N_ITEMS)
def test_every_item_is_the_share_of_one_job(n_jobs: int, n_items: int) -> None:
    items = list(range(n_items))
    shares = [Share(number, n_jobs) for number in range(1, n_jobs + 1)]
    assert sorted(item for share in shares for item in share.of(items)) == items
    for share in shares:
        assert list(share.of(items)) == [item for item in items if share.takes(item)]
    sizes = [len(share.of(items)) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@given(N_JOBS, N_ITEMS, st.data())
def test_what_all_need_is_begun_in_different_places(
    n_jobs: int, n_items: int, data: st.DataObject
) -> None:
    share = Share(data.draw(st.integers(1, n_jobs)), n_jobs)
    items = list(range(n_items))
    in_turn = share.first_of(items)
    own = list(share.of(items))
    assert sorted(in_turn) == items
    assert in_turn[: len(own)] == own


@pytest.mark.parametrize("text", ["1/1", "3/8", "8/8", "007/8", "1/999999999"])
def test_names_of_jobs(text: str) -> None:
    number, n_jobs = map(int, text.split("/"))
    share = share_of(text)
    assert share == Share(number, n_jobs)
    assert Share.parse(str(share)) == share
    assert Path(share.label).name == share.label == f"{number}-of-{n_jobs}"


@pytest.mark.parametrize(
    "text",
    ["", "x", "3", "0/8", "9/8", "-1/8", "1/0", "0/0", "1/8/2", " 1/8", "1/8 ", "1.0/8", "1/8\n",
     "\u0661/\u0668", "1/", "/8", "+1/8", "1e0/8", "1/9999999999"],
)  # fmt: skip
def test_what_names_no_job_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="such as 3/8") as caught:
        share_of(text)
    assert "\n" not in str(caught.value)


def test_no_job_is_the_whole_work() -> None:
    assert share_of(None) is None


@given(st.sets(st.integers(1, 50)))
def test_numbers_as_batch_systems_write_them(numbers: set[int]) -> None:
    found: list[int] = []
    for part in filter(None, array_text(numbers).split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert found == sorted(numbers)
