"""Order-independent randomness: every draw is keyed by what it is for, never by when it happens.

Adding a song, changing the number of workers or resuming a run changes no other song.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

__all__ = ["rng_for", "split_of", "unit_hash"]


def _digest(seed: int, ids: tuple[str | int, ...]) -> bytes:
    # Length-prefixed, so that ("ab", "c") and ("a", "bc") differ; typed, so that 1 and "1" do.
    parts = [f"{type(i).__name__}:{len(str(i))}:{i}" for i in (seed, *ids)]
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogateescape")).digest()


def rng_for(seed: int, *ids: str | int) -> np.random.Generator:
    """Return the random generator that belongs to one identity.

    Parameters
    ----------
    seed : int
        The user's seed.
    *ids : str or int
        What the draw is for, for example ``(song_id, program, "patch")``.

    Returns
    -------
    numpy.random.Generator
        PCG64 seeded with the SHA-256 of the arguments.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(seed, ids), "big")))


def unit_hash(seed: int, *ids: str | int) -> float:
    """Return a number in [0, 1) that depends on the arguments alone (uniform over identities)."""
    return (int.from_bytes(_digest(seed, ids)[:7], "big") >> 3) / float(1 << 53)


def split_of(seed: int, group: str, fractions: Sequence[Fraction], names: Sequence[str]) -> str:
    """Assign a group of songs to a split by a hash threshold.

    Stable (it depends on the group alone) and therefore approximate: with n groups the
    share of a split has a standard deviation of sqrt(p (1 - p) / n).

    Parameters
    ----------
    seed : int
        The user's seed.
    group : str
        Identity shared by all songs that must not be separated.
    fractions : sequence of Fraction
        Shares of the splits, sum 1.
    names : sequence of str
        Names of the splits, as many as fractions.

    Returns
    -------
    str
        One of `names`; never one whose fraction is zero.

    Raises
    ------
    ValueError
        If there are not as many names as fractions, or these do not sum to 1.
    """
    if len(names) != len(fractions):
        raise ValueError(f"{len(fractions)} fractions for {len(names)} names")
    if sum(fractions) != 1:
        raise ValueError(f"the fractions {list(map(float, fractions))} do not sum to 1")
    u = Fraction(unit_hash(seed, group, "split"))
    edge = Fraction(0)
    for name, fraction in zip(names, fractions, strict=True):
        edge += fraction
        if u < edge:
            return name
    raise ValueError(f"the fractions {list(map(float, fractions))} do not sum to 1")
