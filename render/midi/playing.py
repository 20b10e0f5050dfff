"""How players depart from what is written: dynamics, and deviations of single notes.

Reference of dynamics and of deviations of onset and tuning: Miron et al. 2017, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from stemsmith.manifests.errors import UsageError

__all__ = [
    "AS_WRITTEN",
    "DEFAULT_VELOCITIES",
    "Deviations",
    "Dynamic",
    "Playing",
    "parse_dynamics",
]

AS_WRITTEN: Final = "as-written"
# Medians of a part's velocities. Layers of soundfonts mostly part near 64 and 100.
DEFAULT_VELOCITIES: Final = {"pp": 32, "p": 48, "mp": 64, "m": 80, "mf": 80, "f": 112, "ff": 124}


class Dynamic(NamedTuple):
    """A dynamic and its median velocity; None plays the velocities as written."""

    name: str
    velocity: int | None


@dataclass(frozen=True, slots=True)
class Deviations:
    """Small departures of single notes from the score; standard deviations, normal.

    Attributes
    ----------
    onset_s : float
        Standard deviation of note onsets in seconds. A note keeps its duration, and three times
        this is the most.
    cents : float
        Standard deviation of the tuning of notes in cents; three times this is the most.
    """

    onset_s: float = 0.0
    cents: float = 0.0


@dataclass(frozen=True, slots=True)
class Playing:
    """How a part of a song is played, if it is not played as it is written.

    Attributes
    ----------
    dynamic : Dynamic or None
        Decides the velocities; None leaves them as written.
    velocity_sd : float
        Standard deviation of velocities, of which three times is the most.
    onset_sd_s : float
        Standard deviation of note onsets in seconds that is a note's own.
    ensemble_sd_s : float
        Standard deviation in seconds of what all notes of the song share that begin together.
    tuning_sd_cents : float
        Standard deviation of the tuning of notes in cents.
    """

    dynamic: Dynamic | None = None
    velocity_sd: float = 0.0
    onset_sd_s: float = 0.0
    ensemble_sd_s: float = 0.0
    tuning_sd_cents: float = 0.0


def parse_dynamics(text: str, velocities: str | None = None) -> tuple[Dynamic, ...]:
    """Read ``p,m,f``, and the velocities ``p=48,m=80,f=112`` if they are not the default ones.

    Raises
    ------
    UsageError
        For a dynamic without a velocity, or a velocity out of 1 to 127.
    """
    table: dict[str, int | None] = {AS_WRITTEN: None, **DEFAULT_VELOCITIES}
    for field in velocities.split(",") if velocities else []:
        name, _, value = field.partition("=")
        if not value.strip().isdecimal() or not 1 <= int(value) <= 127:
            raise UsageError(f"--velocities {field}: expected a name and 1 to 127, as p=48")
        table[name.strip()] = int(value)
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in table]:
        raise UsageError(
            f"--dynamics {unknown[0]}: give its velocity: --velocities {unknown[0]}=64"
        )
    return tuple(Dynamic(name, table[name]) for name in names)
