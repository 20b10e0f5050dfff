"""What a corpus of renditions shall vary (Miron et al. 2017, sections 3.4 and 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import Field, fields_of, from_manifest, option, to_manifest
from stemsmith.manifests.paths import local_path
from stemsmith.render.corpus.config import (
    RenderConfig,
    RenderOptions,
    parse_band,
)
from stemsmith.render.midi.playing import AS_WRITTEN, Deviations, Dynamic, parse_dynamics
from stemsmith.render.renditions.factors import Rule, Tempo, TempoMode

__all__ = [
    "NOT_OF_RENDITIONS",
    "ONLY_RENDITIONS",
    "PRESETS",
    "RenditionConfig",
    "RenditionOptions",
    "parse_shifts",
    "parse_tempos",
]

ONLY_RENDITIONS: Final = "Renditions only"  # a heading in help texts

_LEVELS: Final = "stems of renditions keep the synthesiser's level"
_SHARED: Final = "not of renditions, whose stems are shared between mixtures"
_AS_HUMANS: Final = "renditions have --jitter, --tuning and --dynamics"
# Options of `RenderConfig` that change nothing about renditions, and why.
NOT_OF_RENDITIONS: Final[Mapping[str, str]] = {
    "patch_choice": "a rendition's patches are of the very instrument; --timbres says how many",
    "mix_source": "a rendition is a recipe, and has no mixture of its own",
    "target_lufs": _LEVELS,
    "max_gain_db": _LEVELS,
    "target_peak_dbfs": f"{_LEVELS}; --headroom lowers it",
    "balance": _LEVELS,
    "audit": "renditions are not audited",
    "on_defect": "renditions are not audited",
    **dict.fromkeys(("effects", "room", "equalise", "master", "codec", "dry"), _SHARED),
    **dict.fromkeys(("humanise", "humanise_velocity", "humanise_onset_s"), _AS_HUMANS),
    "drum_pieces": "stems of renditions are whole parts",
    "tracks_per_tar": f"{_SHARED}, and have no folder of a song",
}


def parse_tempos(text: str) -> tuple[Tempo, ...]:
    """Read ``80,100,120`` (BPM), ``0.8,1.2`` (factors) or ``as-written``."""
    return tuple(Tempo.parse(field) for field in text.split(","))


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


def _parse_number(text: str) -> int | None:
    if text != "all" and not text.isdecimal():
        raise UsageError(f"--renditions {text}: a number, or all")
    return None if text == "all" else int(text)


def _parse_folder(text: str) -> str:
    folder = local_path(text)
    if not folder.is_dir():
        raise UsageError(f"--aligned {text}: not a folder of aligned scores")
    return str(folder.resolve())


@dataclass(frozen=True, slots=True)
class RenditionConfig(RenderConfig):
    """Options of a corpus of renditions: those of `RenderConfig`, and the factors that vary.

    Any score is taken, whoever plays in it: `band` is None by default.

    Attributes
    ----------
    n_renditions : int or None
        Number of renditions of each score; None makes all there are.
    tempos : tuple of Tempo
        Tempi, of which each rendition has one.
    tempo_mode : TempoMode
        What tempi in BPM do to the tempo changes of a score.
    n_timbres : int
        Number of patches of each part's instrument.
    dynamics : tuple of Dynamic
        Dynamics that a part may have.
    shifts_s : tuple of float
        Circular shifts that a part may have in seconds, multiples of 0.1 s.
    rule : Rule
        Which combinations of the factors count.
    headroom_db : float
        All stems are this much softer than the synthesiser plays them, so that none clips and
        soft ones stay softer.
    aligned : str or None
        Folder of scores whose timing replaces the scores' own; see
        `stemsmith.render.renditions.aligned`.

    Raises
    ------
    UsageError
        For a value out of range, naming the option of the command.

    Examples
    --------
    >>> import stemsmith
    >>> stemsmith.RenditionConfig(n_renditions=8, shifts_s=(0.0, 0.1, 0.2)).headroom_db
    18.0
    """

    band: tuple[str, ...] | None = option(
        None, "Players a score must have.", parse=parse_band, default_text="any"
    )
    n_renditions: int | None = option(
        1,
        "Renditions of each score: a number, or all.",
        flag="--renditions",
        key="renditions",
        parse=_parse_number,
        metavar="N",
        group=ONLY_RENDITIONS,
    )
    tempos: tuple[Tempo, ...] = option(
        (Tempo(AS_WRITTEN),),
        "One a rendition: BPM (80,100), factors (0.8,1.2), as-written.",
        flag="--tempo",
        key="tempo",
        parse=parse_tempos,
        group=ONLY_RENDITIONS,
    )
    tempo_mode: TempoMode = option(
        TempoMode.SCALE,
        "BPM scale the tempo changes of a score, or replace them.",
        default_text="scale",
        group=ONLY_RENDITIONS,
    )
    n_timbres: int = option(
        1,
        "Patches of each part's instrument.",
        flag="--timbres",
        key="timbres",
        default_text="1",
        group=ONLY_RENDITIONS,
    )
    dynamics: tuple[Dynamic, ...] = option(
        (Dynamic(AS_WRITTEN, None),),
        "Dynamics of each part: p,m,f or as-written.",
        parse=parse_dynamics,
        is_in_manifest=False,  # which has a mapping of names to velocities
    )
    shifts_s: tuple[float, ...] = option(
        (0.0,),
        "Circular shifts of each part in seconds: 0,0.1,0.2.",
        flag="--shift",
        key="shift_s",
        parse=parse_shifts,
        group=ONLY_RENDITIONS,
    )
    rule: Rule = option(Rule.ANY, "Which combinations of the factors count.", group=ONLY_RENDITIONS)
    headroom_db: float = option(
        18.0,
        "dB by which all stems are softer than the synthesiser plays them, so that none clips.",
        flag="--headroom",
        default_text="18",
        group=ONLY_RENDITIONS,
    )
    aligned: str | None = option(
        None,
        "Folder of aligned scores (MIDI, or Bach10's text) whose timing is played.",
        parse=_parse_folder,
        metavar="FOLDER",
        is_in_manifest=False,  # which says whether there is one; stems are named by its content
        group=ONLY_RENDITIONS,
    )

    @property
    def deviations(self) -> Deviations:
        """The deviations of single notes."""
        return Deviations(self.jitter_s, self.tuning_cents)

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse values out of range."""
        for field in fields_of(RenderConfig):
            reason = NOT_OF_RENDITIONS.get(field.name)
            if reason is not None and getattr(self, field.name) != field.default:
                raise UsageError(f"{_flag_that_is_given(field)}: {reason}")
        RenderConfig.__post_init__(self)
        if self.aligned is not None:
            object.__setattr__(self, "aligned", str(local_path(self.aligned).resolve()))
        names = [tempo.name for tempo in self.tempos]
        checks = {
            "--renditions must be at least 1": self.n_renditions is None or self.n_renditions >= 1,
            "--timbres must be between 1 and 1000": 1 <= self.n_timbres <= 1000,
            "--tempo names one twice": len(set(names)) == len(names),
            "--shift names one twice": len(set(self.shifts_s)) == len(self.shifts_s),
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
        """Return the options as JSON values, as the manifest has them."""
        # Stems of renditions are neither audited nor produced, and are whole parts.
        production = ("effects", "room", "equalise", "master", "codec", "dry")
        humanise = ("humanise", "humanise_velocity", "humanise_onset_s")
        absent = {"audit", "on_defect", "drum_pieces", *production, *humanise}
        values = {key: value for key, value in to_manifest(self).items() if key not in absent}
        return {
            **values,
            "dynamics": {dynamic.name: dynamic.velocity for dynamic in self.dynamics},
            "is_aligned": self.aligned is not None,
        }

    @classmethod
    def from_dict(
        cls,
        content: Mapping[str, Any],
        dynamics: Sequence[Dynamic],
        aligned: str | None = None,
    ) -> RenditionConfig:
        """Return the options that a manifest describes, as `RenderConfig.from_dict` does.

        Parameters
        ----------
        content, dynamics
            As of `RenderConfig.from_dict`.
        aligned : str, optional
            Folder of aligned scores, of which a manifest says only whether there was one.
        """
        values = {k: v for k, v in content.items() if k not in ("dynamics", "is_aligned")}
        return from_manifest(cls, values, dynamics=tuple(dynamics), aligned=aligned)


def _flag_that_is_given(field: Field) -> str:
    return "--no-audit" if field.name == "audit" else field.flag


class RenditionOptions(RenderOptions, total=False):
    """The fields of `RenditionConfig` as keyword arguments."""

    n_renditions: int | None
    tempos: Sequence[Tempo]
    tempo_mode: TempoMode | str
    n_timbres: int
    shifts_s: Sequence[float]
    rule: Rule | str
    headroom_db: float
    aligned: str | Path | None


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
