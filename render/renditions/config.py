"""What a corpus of renditions shall vary (Miron et al. 2017, sections 3.4 and 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.renditions.performance import (
    AS_WRITTEN,
    DEFAULT_VELOCITIES,
    Deviations,
    Dynamic,
    Tempo,
    TempoMode,
)
from stemsmith.render.renditions.space import Rule

__all__ = ["PRESETS", "RenditionConfig", "parse_dynamics", "parse_shifts", "parse_tempos"]

_NONE: Final = Deviations()


@dataclass(frozen=True, slots=True)
class RenditionConfig:
    """Options of ``render --renditions``.

    Attributes
    ----------
    base : RenderConfig
        Songs, splits, seed, tail, sample rate.
    n_renditions : int or None
        Of each piece; None makes all there are.
    tempos : tuple of Tempo
        One a rendition.
    tempo_mode : TempoMode
        What BPM do to tempo changes.
    n_timbres : int
        Patches of each part's instrument.
    dynamics : tuple of Dynamic
        Of each part.
    shifts_s : tuple of float
        Circular shifts of each part in seconds, multiples of 0.1 s.
    rule : Rule
        Which points of the space count.
    deviations : Deviations
        Of single notes.
    headroom_db : float
        All stems are this much softer than the synthesiser plays them, so that none clips and
        soft ones stay softer.
    aligned : str or None
        Folder of scores whose timing replaces the scores' own
        (`stemsmith.render.renditions.aligned`).
    """

    base: RenderConfig
    n_renditions: int | None = 1
    tempos: tuple[Tempo, ...] = (Tempo(AS_WRITTEN),)
    tempo_mode: TempoMode = TempoMode.SCALE
    n_timbres: int = 1
    dynamics: tuple[Dynamic, ...] = (Dynamic(AS_WRITTEN, None),)
    shifts_s: tuple[float, ...] = (0.0,)
    rule: Rule = Rule.ANY
    deviations: Deviations = _NONE
    headroom_db: float = 18.0
    aligned: str | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range, naming the option."""
        names = [tempo.name for tempo in self.tempos], [d.name for d in self.dynamics]
        checks = {
            "--renditions must be at least 1": self.n_renditions is None or self.n_renditions >= 1,
            "--timbres must be between 1 and 1000": 1 <= self.n_timbres <= 1000,
            "--tempo names one twice": len(set(names[0])) == len(names[0]),
            "--dynamics names one twice": len(set(names[1])) == len(names[1]),
            "--shift names one twice": len(set(self.shifts_s)) == len(self.shifts_s),
            "--jitter must be between 0 and 1 s": 0 <= self.deviations.onset_s <= 1,
            "--tuning must be between 0 and 50 cents": 0 <= self.deviations.cents <= 50,
            "--headroom must be between 0 and 60 dB": 0 <= self.headroom_db <= 60,
        }
        is_retimed = any(tempo.name != AS_WRITTEN for tempo in self.tempos)
        checks["--aligned scores have their own tempo: not with --tempo"] = not (
            self.aligned and is_retimed
        )
        for message, holds in checks.items():
            if not holds:
                raise UsageError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            **self.base.to_dict(),
            "renditions": self.n_renditions,
            "tempo": [tempo.name for tempo in self.tempos],
            "tempo_mode": str(self.tempo_mode),
            "timbres": self.n_timbres,
            "dynamics": {dynamic.name: dynamic.velocity for dynamic in self.dynamics},
            "shift_s": list(self.shifts_s),
            "rule": str(self.rule),
            "jitter_s": self.deviations.onset_s,
            "tuning_cents": self.deviations.cents,
            "headroom_db": self.headroom_db,
            "is_aligned": self.aligned is not None,
        }


def parse_tempos(text: str) -> tuple[Tempo, ...]:
    """Read ``80,100,120`` (BPM), ``0.8,1.2`` (factors) or ``as-written``."""
    return tuple(Tempo.parse(field) for field in text.split(","))


def parse_dynamics(text: str, velocities: str | None) -> tuple[Dynamic, ...]:
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


def parse_shifts(text: str) -> tuple[float, ...]:
    """Read ``0,0.1,0.2``: seconds, multiples of 0.1 so that envelopes can be shifted too.

    Raises
    ------
    UsageError
        For anything else.
    """
    shifts = []
    for field in text.split(","):
        try:
            tenths = float(field) * 10
        except ValueError:
            tenths = -1.0
        if not 0 <= tenths <= 600 or abs(tenths - round(tenths)) > 1e-6:
            raise UsageError(f"--shift {field}: multiples of 0.1 s from 0 to 60")
        shifts.append(round(tenths) / 10)
    return tuple(shifts)


_PAPER_SHIFTS: Final = parse_shifts("0,0.1,0.2")
# Section 4.1; which combinations count is read from the authors' code.
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    # b) RWC: 27 * 26 * 25 * 24 points for four parts, of which 400 were drawn.
    "miron-rwc": {
        "n_renditions": 400,
        "tempos": parse_tempos("100"),
        "n_timbres": 3,
        "dynamics": parse_dynamics("p,m,f", None),
        "shifts_s": _PAPER_SHIFTS,
        "rule": Rule.DISTINCT,
    },
    # a) Sibelius: the 78 combinations of shifts that are not all equal, at every tempo.
    "miron-sibelius": {
        "n_renditions": None,
        "tempos": parse_tempos("80,100,120"),
        "n_timbres": 1,
        "shifts_s": _PAPER_SHIFTS,
        "rule": Rule.SHIFTS_DIFFER,
    },
}
