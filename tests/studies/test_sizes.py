"""Values that differ by size, and tables that are like others."""

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.sizes import SIZES, at_size, merged


@pytest.mark.parametrize(
    ("value", "tiny", "paper"),
    [
        ({"a": {"tiny": 1, "paper": 2}}, {"a": 1}, {"a": 2}),
        ({"a": {"small": 1}}, {}, {}),
        ({"a": {"small": 1, "b": 2}}, {"a": {"small": 1, "b": 2}}, {"a": {"small": 1, "b": 2}}),
        ({"a": {"b": {"c": {"tiny": 0}}}}, {"a": {"b": {"c": 0}}}, {"a": {"b": {}}}),
        ({"a": [1, {"tiny": 2}]}, {"a": [1, 2]}, {"a": [1]}),
        ({"a": {"tiny": {"b": {"tiny": 1, "paper": 2}}}}, {"a": {"b": 1}}, {}),
        ({"a": {}}, {"a": {}}, {"a": {}}),
    ],
)
def test_a_table_of_sizes_is_a_choice(value: object, tiny: object, paper: object) -> None:
    assert at_size(value, "tiny") == tiny
    assert at_size(value, "paper") == paper


def test_what_does_not_name_sizes_is_the_same_at_all() -> None:
    value = {"a": 1, "b": [{"c": "d"}]}
    assert [at_size(value, size) for size in SIZES] == [value] * 3


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--size large: unknown; known: tiny, small, paper"):
        at_size({}, "large")


def test_merging_leaves_both_as_they_were() -> None:
    base, own = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}
    assert merged(base, own) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert (base, own) == ({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]})
