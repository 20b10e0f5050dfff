"""What a set of mixtures shall be, and what the plans of its kinds share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.mixing.level.loudness import ENVELOPE_HZ
from stemsmith.mixing.plan.pairing import Pairing
from stemsmith.mixing.sources.catalogue import CatalogueStem, SplitCatalogue

__all__ = [
    "GAIN_DECIMALS",
    "SILENCE_RMS_DBFS",
    "Augment",
    "MixConfig",
    "Mode",
    "common_sample_rate",
    "n_per_split",
    "recipe",
    "recipe_source",
    "role_of",
]

GAIN_DECIMALS: Final = 4
# A clip that is softer is no music: the tail of a release. Ours; the papers only say "silent".
SILENCE_RMS_DBFS: Final = -60.0
_LONGEST_CLIP_S: Final = 7200
_MOST_MIXTURES: Final = 10**8  # names have eight digits


class Mode(StrEnum):
    """How the sources of a mixture belong together (Slakh section 3.2)."""

    COHERENT = "coherent"
    INCOHERENT = "incoherent"
    RENDITIONS = "renditions"  # of a corpus of renditions, as they are (Miron 3.4)


class Augment(StrEnum):
    """Named augmentations of recipes."""

    WET = "wet"  # Chiu IV-A: contrast, equalisers, reverb, pink noise
    SILENCE = "silence"  # Chiu IV-D: clips are cut from what is left without silence
    TEMPO = "tempo"  # Brunner IV-C: phase vocoder
    SHIFT = "shift"  # Miron 3.4, Martel 3.2 c: circular shift of a source
    SHIFT_PADDED = "shift-padded"  # the same as the authors' code has it: filled with zeros
    INSTRUMENT = "instrument"  # Martel 3.2 a: one source is muted
    REMIX = "remix"  # Martel 3.2 b, Brunner IV-C: sources from different songs
    GAIN = "gain"  # amplitude times 0.25 to 1.25 (Open-Unmix)
    POLARITY = "polarity"  # half of the sources upside down


_EXCLUDED: Final = {
    Mode.COHERENT: frozenset({Augment.SILENCE}),
    # Clips come from other songs, and from any moment of them, as it is.
    Mode.INCOHERENT: frozenset({Augment.REMIX, Augment.SHIFT, Augment.SHIFT_PADDED}),
    # Tempo and shift are factors of the renditions themselves.
    Mode.RENDITIONS: frozenset(
        {
            Augment.SILENCE,
            Augment.REMIX,
            Augment.SHIFT,
            Augment.SHIFT_PADDED,
            Augment.TEMPO,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class MixConfig:
    """Options of `mix`.

    Attributes
    ----------
    seed : int
        Of all draws.
    mode : Mode
        Kind of mixtures.
    target : str or None
        Target that must be present; None asks for a present mixture (coherent) or for no more
        than that no source is silent (incoherent).
    n_mixtures : int
        Of all splits together; divided in proportion to their songs.
    clip_s : float
        Length, a multiple of 0.1 s.
    min_rms_dbfs : float
        The target's RMS over the clip, as the stem lies on disk, is above it.
    pairing : Pairing
        Which clips may meet in incoherent mixtures.
    pairing_threshold : float or None
        Of the pairing's statistic; None takes the default. That of correlation is for 10 s at
        44.1 kHz, and is scaled to the clips.
    augment : tuple of Augment
        Augmentations.
    overlay : str or None
        Target that is put over coherent songs that lack it, from other songs.
    sample_rate : int or None
        In Hz, a multiple of 10; None takes the lowest of the sources.
    n_channels : int
        1 or 2.
    target_lufs : float
        Loudness of every source of an incoherent mixture. Well below Slakh's -13, so that the
        guard gain, which would take the loudness away again, is seldom needed.
    peak_ceiling_dbfs : float
        Highest sample peak.
    splits : tuple of str
        Splits to make; empty for all.
    left_out : tuple of str
        Songs that are the test split, all others being the training split; empty for the splits
        of the sources.
    is_whole : bool
        Renditions are not cut into clips of `clip_s`.
    is_equally_loud : bool
        Stems of renditions are brought to `target_lufs`, instead of keeping their levels.
    """

    seed: int = 0
    mode: Mode = Mode.COHERENT
    target: str | None = None
    n_mixtures: int = 360
    clip_s: float = 10.0
    min_rms_dbfs: float = -30.0
    pairing: Pairing = Pairing.RANDOM
    pairing_threshold: float | None = None
    augment: tuple[Augment, ...] = ()
    overlay: str | None = None
    sample_rate: int | None = None
    n_channels: int = 1
    target_lufs: float = -25.0
    peak_ceiling_dbfs: float = -1.0
    splits: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    is_whole: bool = False
    is_equally_loud: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense, with one line."""
        augment = set(self.augment)
        if not (
            0.4 <= self.clip_s <= _LONGEST_CLIP_S
            and math.isclose(self.clip_steps, self.clip_s * ENVELOPE_HZ)
        ):
            raise UsageError(
                f"--clip {self.clip_s:g}: must be a multiple of 0.1 s, at least 0.4 s and at most "
                f"{_LONGEST_CLIP_S} s"
            )
        if not 1 <= self.n_mixtures <= _MOST_MIXTURES:
            raise UsageError(
                "--mixtures and --hours must ask for at least one mixture and at most "
                f"{_MOST_MIXTURES}"
            )
        if not -math.inf < self.min_rms_dbfs <= 0:
            raise UsageError("--min-rms must be a number of dBFS, at most 0")
        if not -70 < self.target_lufs <= 0:
            raise UsageError("--target-lufs must be between -70 and 0")
        if self.sample_rate is not None and not (
            8000 <= self.sample_rate <= 192000 and self.sample_rate % ENVELOPE_HZ == 0
        ):
            raise UsageError("--sample-rate must be a multiple of 10 Hz from 8000 to 192000")
        if not -40 <= self.peak_ceiling_dbfs <= 0:
            raise UsageError("--peak-ceiling must be between -40 and 0 dBFS")
        if self.pairing_threshold is not None and not math.isfinite(self.pairing_threshold):
            raise UsageError("--pairing-threshold must be a number")
        if wrong := augment & _EXCLUDED[self.mode]:
            raise UsageError(f"--augment {', '.join(sorted(wrong))}: not with --mode {self.mode}")
        if {Augment.SHIFT, Augment.SHIFT_PADDED} <= augment:
            raise UsageError("--augment shift and shift-padded exclude each other")
        if self.pairing is not Pairing.RANDOM:
            if self.mode is not Mode.INCOHERENT:
                raise UsageError(f"--pairing {self.pairing}: only with --mode incoherent")
            if augment & {Augment.TEMPO, Augment.SILENCE}:
                raise UsageError("--pairing compares clips as recorded: not with tempo or silence")
        if self.overlay is not None and (not self.is_coherent or self.overlay == self.target):
            raise UsageError("--overlay needs --mode coherent and another --target")

    @property
    def is_coherent(self) -> bool:
        """Whether sources come from one moment of one song."""
        return self.mode is Mode.COHERENT

    @property
    def clip_steps(self) -> int:
        """Length of a mixture in 100 ms."""
        return round(self.clip_s * ENVELOPE_HZ)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        return {**dataclasses.asdict(self), "augment": list(self.augment)}


def common_sample_rate(stems: Sequence[CatalogueStem], wanted: int | None) -> int:
    """Return the rate of the mixtures: the one asked for, or the lowest of the sources."""
    return wanted or min(stem.sample_rate for stem in stems)


def n_per_split(n_mixtures: int, n_songs: Mapping[str, int]) -> dict[str, int]:
    """Divide a number of mixtures in proportion to songs, by largest remainders."""
    total = sum(n_songs.values())
    exact = {split: n_mixtures * n / total for split, n in n_songs.items()}
    counts = {split: math.floor(share) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: counts[split] - exact[split])
    for split in by_remainder[: n_mixtures - sum(counts.values())]:
        counts[split] += 1
    return counts


def role_of(group: str, target: str | None) -> str:
    """Return the role of a source."""
    if target is None:
        return "source"
    return "target" if group == target else "interference"


def recipe_source(
    catalogue: SplitCatalogue,
    k: int,
    config: MixConfig,
    *,
    start_step: int,
    n_steps: int,
    shift_steps: int = 0,
    transforms: Sequence[str] = (),
    target_lufs: float | None = None,
    gain_db: float = 0.0,
) -> MixtureSource:
    """Return the record of one source; times in 100 ms."""
    stem = catalogue.stems[k]
    step = stem.step_samples
    group = catalogue.groups[k]
    return MixtureSource(
        stem_id=stem.stem_id,
        song_id=stem.song_id,
        root=stem.root,
        path=stem.path,
        stream=stem.stream,
        sha256=stem.sha256,
        group=group,
        role=role_of(group, config.target),
        sample_rate=stem.sample_rate,
        n_stem_samples=stem.n_samples,
        start=start_step * step,
        n_read=n_steps * step,
        shift=shift_steps * step,
        is_shift_padded=Augment.SHIFT_PADDED in config.augment,
        transforms=tuple(transforms),
        target_lufs=target_lufs,
        gain_db=gain_db,
    )


def recipe(
    split: str,
    number: int,
    config: MixConfig,
    sample_rate: int,
    sources: Sequence[MixtureSource],
    n_steps: int | None = None,
) -> Mixture:
    """Return the record of one mixture, of some 100 ms or of the ordinary clip length."""
    if n_steps is None:
        n_steps = config.clip_steps
    return Mixture(
        mixture_id=f"{split}-{number:08d}",
        mode=str(config.mode),
        split=split,
        sample_rate=sample_rate,
        n_samples=n_steps * (sample_rate // ENVELOPE_HZ),
        n_channels=config.n_channels,
        peak_ceiling_dbfs=config.peak_ceiling_dbfs,
        sources=tuple(sources),
    )
