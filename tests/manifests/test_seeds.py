"""Random draws that depend on what they are for, and on nothing else."""

from __future__ import annotations

import hashlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import seeds
from stemsmith.manifests.seeds import rng_for, split_of, unit_hash

NAMES = ("train", "validation", "test")
Id = str | int


def fractions(*percent: int) -> list[Fraction]:
    return [Fraction(p, 100) for p in percent]


def draws(*arguments: Id, n: int = 4) -> list[int]:
    seed, *ids = arguments
    assert isinstance(seed, int)
    return [int(number) for number in rng_for(seed, *ids).integers(0, 1 << 62, n)]


ids = st.lists(st.one_of(st.text(max_size=4), st.integers(-99, 99)), max_size=4).map(tuple)


def test_draws_of_an_identity_do_not_depend_on_draws_for_others() -> None:
    songs = [f"song{k}" for k in range(20)]
    forward = {song: draws(3, song, "patch") for song in songs}
    backward = {song: draws(3, song, "patch") for song in reversed(songs)}
    assert forward == backward


def test_one_generator_does_not_advance_another_of_the_same_identity() -> None:
    first, second = rng_for(1, "a"), rng_for(1, "a")
    first.random(1000)
    assert second.random() == rng_for(1, "a").random()


def test_the_global_generator_plays_no_part() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = draws(0, "a"), unit_hash(0, "a")
    np.random.seed(2)  # noqa: NPY002
    assert (draws(0, "a"), unit_hash(0, "a")) == before


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("ab", "c"), ("a", "bc")),
        (("ab",), ("a", "b")),
        (("a", ""), ("a",)),
        (("",), ()),
        ((1,), ("1",)),
        ((1, 2), (12,)),
        ((1, 2), (2, 1)),
        (("a|str:1:b",), ("a", "b")),
        (("a", "str:1:b"), ("a|str:1:b",)),
        ((-1,), (1,)),
    ],
)
def test_ids_of_other_type_length_or_order_are_other_identities(
    left: tuple[Id, ...], right: tuple[Id, ...]
) -> None:
    assert unit_hash(0, *left) != unit_hash(0, *right)
    assert draws(0, *left) != draws(0, *right)


@settings(deadline=None)
@given(ids, ids, st.integers(), st.integers())
def test_two_identities_share_a_draw_only_if_they_are_equal(
    left: tuple[Id, ...], right: tuple[Id, ...], seed: int, other_seed: int
) -> None:
    is_same = (seed, left) == (other_seed, right)
    assert (unit_hash(seed, *left) == unit_hash(other_seed, *right)) == is_same
    assert (draws(seed, *left) == draws(other_seed, *right)) == is_same


def test_a_seed_is_not_an_id() -> None:
    assert unit_hash(1, 2) != unit_hash(2, 1)


def test_names_that_are_not_utf_8_are_identities_too() -> None:
    values = {unit_hash(0, name) for name in ("\udcff.mid", "\udcfe.mid", "\ufffd.mid")}
    assert len(values) == 3


def test_pinned_draws_stay_what_they_are() -> None:
    # Another value here is another corpus for the same seed: raise the schema version.
    numbers = rng_for(7, "song", 33, "patch").integers(0, 1000, 5)
    assert numbers.tolist() == [315, 396, 271, 598, 366]
    assert unit_hash(7, "song", 33, "patch") == pytest.approx(0.41569402091995655, abs=1e-15)
    splits = [split_of(7, f"song{k}", fractions(70, 20, 10), NAMES) for k in range(12)]
    assert "".join(split[:2] for split in splits) == "tetrtrvatrtrtrvavatrtrtr"


def test_unit_hash_is_uniform_over_identities() -> None:
    n_bins, n = 20, 20_000
    values = [unit_hash(0, f"song{k}") for k in range(n)]
    counts = np.bincount((np.array(values) * n_bins).astype(int), minlength=n_bins)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_unit_hashes_of_one_song_for_two_ends_are_independent() -> None:
    n = 5_000
    left = [unit_hash(0, f"song{k}", "left") for k in range(n)]
    right = [unit_hash(0, f"song{k}", "right") for k in range(n)]
    next_seed = [unit_hash(1, f"song{k}", "left") for k in range(n)]
    for other in (right, next_seed):
        assert abs(np.corrcoef(left, other)[0, 1]) < 4 / np.sqrt(n)


def test_first_draws_of_generators_are_uniform_over_identities() -> None:
    values = [rng_for(0, k).random() for k in range(5_000)]
    assert scipy.stats.kstest(values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_unit_hash_is_at_least_0_and_below_1_at_the_ends_of_the_hash(
    monkeypatch: pytest.MonkeyPatch, byte: bytes
) -> None:
    class Constant:
        def __init__(self, data: bytes) -> None: ...

        def digest(self) -> bytes:
            return byte * 32

    monkeypatch.setattr(hashlib, "sha256", Constant)
    assert 0 <= unit_hash(0, "a") < 1
    assert split_of(0, "a", fractions(50, 0, 50), NAMES) == ("train" if byte == b"\0" else "test")


@settings(deadline=None)
@given(st.integers(), st.text(), st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any))
def test_a_split_of_share_zero_gets_no_song(seed: int, group: str, weights: list[int]) -> None:
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    names = [f"split{k}" for k in range(len(shares))]
    assert shares[names.index(split_of(seed, group, shares, names))] > 0


def test_a_split_of_share_zero_gets_no_song_even_if_the_hash_is_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seeds, "unit_hash", lambda *ids: 0.0)
    assert split_of(0, "a", fractions(0, 0, 100), NAMES) == "test"


@pytest.mark.parametrize("percent", [(70, 20, 10), (50, 0, 50), (1, 1, 98), (100, 0, 0)])
def test_shares_converge_to_the_fractions(percent: tuple[int, ...]) -> None:
    n = 20_000
    splits = [split_of(5, f"song{k}", fractions(*percent), NAMES) for k in range(n)]
    for name, share in zip(NAMES, fractions(*percent), strict=True):
        deviation = (float(share) * (1 - float(share)) / n) ** 0.5
        assert abs(splits.count(name) / n - share) <= 4 * deviation


def test_a_larger_first_share_takes_groups_and_gives_none_away() -> None:
    for k in range(2_000):
        if split_of(0, f"song{k}", fractions(60, 20, 20), NAMES) == "train":
            assert split_of(0, f"song{k}", fractions(70, 10, 20), NAMES) == "train"


def test_other_seeds_split_otherwise() -> None:
    def splits(seed: int) -> list[str]:
        return [split_of(seed, f"song{k}", fractions(50, 50), NAMES[:2]) for k in range(64)]

    assert splits(0) == splits(0)
    assert len({tuple(splits(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("percent", [(50, 20, 20), (60, 30, 20), (0, 0, 0), (100, 100, 100)])
def test_fractions_that_do_not_sum_to_1_are_refused_for_every_group(
    percent: tuple[int, ...],
) -> None:
    for k in range(20):
        with pytest.raises(ValueError, match="sum to 1"):
            split_of(0, f"song{k}", fractions(*percent), NAMES)


def test_as_many_names_as_fractions_are_asked_for_every_group() -> None:
    for k, names in itertools.product(range(20), (NAMES[:2], (*NAMES, "more"))):
        with pytest.raises(ValueError, match=r"zip|names"):
            split_of(0, f"song{k}", fractions(40, 30, 30), names)
