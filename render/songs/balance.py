"""Levels of the groups of a song: drawn when it is planned, and reached when it is mixed.

A level is that of the sum of a group's stems, as it is measured, and not of the powers of stems as
if they were independent: parts that double each other add up to more. Inside a group stems are
equally loud. The loudest group is at the target loudness, the others lie below by as much as their
drawn levels do; groups that a song lacks change nothing for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy.typing as npt
from stemsmith.manifests.names import slug
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.programs import inst_class_of
from stemsmith.manifests.records import ScannedSong
from stemsmith.mixing.level.balance import BUILT_IN, Balance, read_balance
from stemsmith.mixing.level.loudness import integrated_loudness
from stemsmith.mixing.sources.taxonomy import TAXONOMIES
from stemsmith.render.corpus.config import EQUAL_STEMS, REAL_LEVELS, RenderConfig

__all__ = ["balance_of", "group_of", "levels_of", "reach_levels", "wanted_levels"]

_GROUPS: Final = TAXONOMIES["musdb"]
_TURNS: Final = 3
_REACHED_LU: Final = 0.005


def balance_of(config: RenderConfig) -> Balance | None:
    """Return the balance of a corpus; None where all stems are equally loud.

    Raises
    ------
    UsageError
        If it is a file that cannot be read or is none; the text names it.
    """
    if config.balance == EQUAL_STEMS:
        return None
    path = BUILT_IN if config.balance == REAL_LEVELS else local_path(config.balance)
    return read_balance(path)


def levels_of(
    balance: Balance | None, config: RenderConfig, song: ScannedSong
) -> tuple[tuple[str, float], ...]:
    """Draw the level of each group for a song; nothing where there is no balance."""
    return () if balance is None else tuple(balance.draw(config.seed, song.md5).items())


def group_of(program: int, rendering_class: str) -> str:
    """Return the group of a stem by its program and its patch's class: drums, bass or other."""
    classes = (slug(inst_class_of(program)), slug(rendering_class))
    group = _GROUPS.target_of(classes)
    assert group is not None  # one of them takes all that is left
    return group


def wanted_levels(levels_lu: Mapping[str, float], groups: Sequence[str]) -> dict[str, float]:
    """Return how far below the target loudness the sum of each group of a song is, in LU.

    Parameters
    ----------
    levels_lu : mapping of str to float
        Levels as they were drawn.
    groups : sequence of str
        Groups of the song's stems that sound.
    """
    there = {group: levels_lu[group] for group in dict.fromkeys(groups)}
    highest = max(there.values(), default=0.0)
    return {group: level - highest for group, level in there.items()}


def reach_levels(
    groups: Sequence[str],
    wanted_lu: Mapping[str, float],
    target_lufs: float,
    k_power_at: Callable[[str, Sequence[float]], npt.ArrayLike],
) -> list[float]:
    """Find levels of stems at which the sums of their groups have the wanted loudness.

    Parameters
    ----------
    groups : sequence of str
        Group of each stem that sounds.
    wanted_lu : mapping of str to float
        Levels of the groups in LU, from `wanted_levels`.
    target_lufs : float
        Loudness that the wanted levels are against.
    k_power_at : callable
        Takes a group and the levels of all stems, in LU against the target, and returns the
        envelope of the group's sum with the stems at these levels, or as near as their gains may
        bring them.

    Returns
    -------
    list of float
        Level of each stem in LU against the target, the same for all of a group.
    """
    n_stems = {group: groups.count(group) for group in wanted_lu}
    level = {group: wanted_lu[group] - 10 * math.log10(n) for group, n in n_stems.items()}
    for group in wanted_lu:
        for _ in range(_TURNS):
            levels = [level[other] for other in groups]
            loudness = integrated_loudness(k_power_at(group, levels))
            if loudness is None:
                break
            missing_lu = target_lufs + wanted_lu[group] - loudness
            level[group] += missing_lu
            if abs(missing_lu) < _REACHED_LU:
                break
    return [level[group] for group in groups]
