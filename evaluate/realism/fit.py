"""Levels of groups, measured on real songs and written for ``render --balance``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.evaluate.realism.song_sound import MIXTURE, SongSound
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.records import Rejection
from stemsmith.mixing.level.balance import GROUPS, SUMMED

__all__ = ["GroupLevels", "LevelFit", "fit_levels"]

_PERCENTS: Final = (0, 10, 25, 50, 75, 90, 100)
_HEAD: Final = """\
# How loud groups are in real songs: the K-weighted power of each against that of the sum of drums,
# bass and other over the whole song, in LU. Songs that lack one of the three do not count.
# `stemsmith gap REAL --fit FILE` writes this, and `stemsmith render --balance FILE` draws from
# `quantiles_lu` (percent: LU); the other numbers say where they come from.
"""


class GroupLevels(NamedTuple):
    """Levels of one group.

    Attributes
    ----------
    median_lu, mean_lu, sd_lu : float
        Of the levels of the songs; the standard deviation is 0 for one song.
    quantiles_lu : dict of int to float
        Levels in LU at the percentages of songs that the keys are.
    n_songs, n_artists : int
        How many they come from.
    """

    median_lu: float
    mean_lu: float
    sd_lu: float
    quantiles_lu: dict[int, float]
    n_songs: int
    n_artists: int


class LevelFit(NamedTuple):
    """What `fit_balance` found.

    Attributes
    ----------
    datasets : tuple of str
        Names of the folders that were measured.
    groups : dict of str to GroupLevels
        The groups that real songs have, drums, bass and other at least.
    songs : tuple of (str, str, dict of str to float)
        For each song its name, its artist, and the level of each group.
    rejections : tuple of Rejection
        Songs and files that do not count, and why.
    """

    datasets: tuple[str, ...]
    groups: dict[str, GroupLevels]
    songs: tuple[tuple[str, str, dict[str, float]], ...]
    rejections: tuple[Rejection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the levels as JSON has them."""
        return {
            group: {**levels._asdict(), "quantiles_lu": {
                str(percent): level for percent, level in levels.quantiles_lu.items()
            }}
            for group, levels in self.groups.items()
        }  # fmt: skip

    def to_yaml(self) -> str:
        """Return the file."""
        lines = [_HEAD + "measured_on:"]
        lines += [f"- {_quoted(name)}" for name in self.datasets]
        lines.append("groups:")
        for group, levels in self.groups.items():
            quantiles = ", ".join(f"{p}: {v:.2f}" for p, v in levels.quantiles_lu.items())
            lines += [
                f"  {group}:",
                f"    n_songs: {levels.n_songs}",
                f"    n_artists: {levels.n_artists}",
                f"    median_lu: {levels.median_lu:.2f}",
                f"    mean_lu: {levels.mean_lu:.2f}",
                f"    sd_lu: {levels.sd_lu:.2f}",
                f"    quantiles_lu: {{{quantiles}}}",
            ]
        lines.append("songs:")
        for song, artist, levels_lu in self.songs:
            values = ", ".join(f"{group}: {level:.2f}" for group, level in levels_lu.items())
            lines.append(f"- {{song: {_quoted(song)}, artist: {_quoted(artist)}, {values}}}")
        return "\n".join(lines) + "\n"


def fit_levels(
    songs: Sequence[SongSound], datasets: Sequence[str], rejections: Sequence[Rejection] = ()
) -> LevelFit:
    """Take the levels of groups from songs whose mixtures are drums, bass and other.

    Raises
    ------
    NothingToDo
        If no song has all three.
    """
    whole = [song for song in songs if MIXTURE in song.sounds]
    if not whole:
        raise NothingToDo(f"no song has all of {', '.join(SUMMED)}: there is nothing to fit")
    groups: dict[str, GroupLevels] = {}
    for group in GROUPS:
        having = [song for song in whole if group in song.sounds]
        if having:
            levels = np.array([song.level_lu(group) for song in having])
            quantiles = np.percentile(levels, _PERCENTS)
            groups[group] = GroupLevels(
                round(float(np.median(levels)), 2),
                round(float(levels.mean()), 2),
                round(float(levels.std(ddof=1)), 2) if len(levels) > 1 else 0.0,
                {p: round(float(q), 2) for p, q in zip(_PERCENTS, quantiles, strict=True)},
                len(having),
                len({song.artist for song in having}),
            )
    names = tuple(PurePath(name.rpartition(":")[2]).name for name in datasets)
    of_songs = tuple(
        (
            song.song,
            song.artist,
            {g: round(song.level_lu(g), 2) for g in groups if g in song.sounds},
        )
        for song in whole
    )
    return LevelFit(names, groups, of_songs, tuple(rejections))


def _quoted(text: str) -> str:
    """Return text as YAML has it between single quotes; line breaks become blanks."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "'" + plain.replace("'", "''") + "'"
