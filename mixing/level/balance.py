"""How loud groups of instruments are in real songs, and levels drawn from that.

A balance says of each group (drums, bass, other) how its loudness lies against that of the sum of
all three, as quantiles over songs. It is read from YAML, which ``stemsmith gap REAL --fit FILE``
writes; `BUILT_IN` comes with the package and says itself what it was measured on::

    groups:
      drums:
        quantiles_lu: {0: -6.9, 50: -3.4, 100: -1.4}
      ...

Levels are drawn for a song by its identity: each group's own, uniformly between the quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests.documents import Every, misfit, read_yaml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.seeds import unit_hash

__all__ = ["BUILT_IN", "GROUPS", "SUMMED", "VOCALS", "Balance", "read_balance"]

VOCALS: Final = "vocals"
SUMMED: Final = ("drums", "bass", "other")  # what levels are against; every balance has them
GROUPS: Final = (*SUMMED, VOCALS)
BUILT_IN: Final = Path(__file__).with_name("balance.yaml")
_SHAPE: Final = {"groups": Every(dict, {"quantiles_lu": Every(dict, float)})}
_LOWEST_LU: Final = -40.0
_HIGHEST_LU: Final = 10.0


@dataclass(frozen=True, slots=True)
class Balance:
    """Levels of groups against the sum of drums, bass and other.

    Attributes
    ----------
    quantiles_lu : dict of str to tuple of (float, float)
        For each group its quantiles: percent from 0 to 100, and LU, both ascending.
    """

    quantiles_lu: dict[str, tuple[tuple[float, float], ...]]

    def draw(self, seed: int, song_id: str) -> dict[str, float]:
        """Return the level of each group of a song in LU, rounded to 0.01.

        Parameters
        ----------
        seed : int
            The user's seed.
        song_id : str
            Identity of the song; the same one has the same levels in any corpus.
        """
        return {
            group: round(_at(100 * unit_hash(seed, song_id, group, "balance"), quantiles), 2)
            for group, quantiles in self.quantiles_lu.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the balance as JSON values, as manifests have it."""
        return {
            group: {f"{percent:g}": level for percent, level in quantiles}
            for group, quantiles in self.quantiles_lu.items()
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> Balance:
        """Return the balance that a manifest has.

        Parameters
        ----------
        content : mapping of str to object
            What `to_dict` gave.
        where : str
            What it was read from, for messages.

        Raises
        ------
        UsageError
            If it is no balance.
        """
        groups: dict[str, Any] = {}
        for group, quantiles in content.items():
            try:
                levels = {float(percent): level for percent, level in quantiles.items()}
            except (AttributeError, ValueError) as error:
                raise UsageError(f"{where}: levels of {group} are no quantiles") from error
            groups[group] = {"quantiles_lu": levels}
        return _parsed({"groups": groups}, where)


def _at(percent: float, quantiles: Sequence[tuple[float, float]]) -> float:
    percents, levels = zip(*quantiles, strict=True)
    return float(np.interp(percent, percents, levels))


def read_balance(path: Path) -> Balance:
    """Read a balance from YAML.

    Raises
    ------
    UsageError
        If it cannot be read, lacks a group, or has levels that make no sense; the text names file
        and group.
    """
    return _parsed(read_yaml(path, UsageError), str(path))


def _parsed(content: Any, where: str) -> Balance:
    if problem := misfit(content, _SHAPE):
        raise UsageError(f"{where}: {problem}; stemsmith gap REAL --fit writes such a file")
    groups: Mapping[str, Any] = content["groups"]
    if missing := [group for group in SUMMED if group not in groups]:
        raise UsageError(f"{where}: no group {missing[0]!r}; {', '.join(SUMMED)} are wanted")
    if unknown := [group for group in groups if group not in GROUPS]:
        raise UsageError(f"{where}: unknown group {unknown[0]!r}; known: {', '.join(GROUPS)}")
    return Balance(
        {
            group: _checked(where, group, groups[group]["quantiles_lu"])
            for group in GROUPS
            if group in groups
        }
    )


def _checked(
    where: str, group: str, quantiles: Mapping[Any, float]
) -> tuple[tuple[float, float], ...]:
    are_numbers = all(
        isinstance(percent, int | float) and not isinstance(percent, bool) for percent in quantiles
    )
    if not quantiles or not are_numbers or not all(0 <= percent <= 100 for percent in quantiles):
        raise UsageError(f"{where}: quantiles_lu of {group}: percents from 0 to 100 are wanted")
    pairs = sorted((float(percent), float(level)) for percent, level in quantiles.items())
    levels = [level for _, level in pairs]
    if not all(math.isfinite(v) and _LOWEST_LU <= v <= _HIGHEST_LU for v in levels):
        raise UsageError(
            f"{where}: quantiles_lu of {group}: levels from {_LOWEST_LU:g} to {_HIGHEST_LU:g} LU "
            "are wanted"
        )
    if levels != sorted(levels):
        raise UsageError(f"{where}: quantiles_lu of {group}: must rise with their percents")
    return tuple(pairs)
