"""What a set of mixtures shall be: the options that decide its recipes; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.options import option, settle, to_manifest
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.level.grid import ENVELOPE_HZ

__all__ = [
    "ACROSS",
    "MIXTURES",
    "MOST_MIXTURES",
    "Level",
    "Match",
    "MixConfig",
    "MixOptions",
    "Mode",
    "Pairing",
    "Weights",
]


# Headings of the options in help texts.
MIXTURES: Final = "Mixtures"
ACROSS: Final = "Mixtures across songs only"
_CLIPS: Final = "Clips and sound"
_INCOHERENT: Final = "Incoherent mixtures only"

_DEFAULT_CLIP_S: Final = 10.0
_DEFAULT_HOURS: Final = 1.0
_DEFAULT_LUFS: Final = -25.0
_LONGEST_CLIP_S: Final = 7200
MOST_MIXTURES: Final = 10**8  # names have eight digits


class Mode(StrEnum):
    """How the sources of a mixture belong together (Slakh section 3.2)."""

    COHERENT = "coherent"
    INCOHERENT = "incoherent"
    RENDITIONS = "renditions"  # of a corpus of renditions, as they are (Miron 3.4)
    ACROSS = "across"  # each source from the anchor's song with some probability


class Match(StrEnum):
    """What a source from another song shares with the anchor; each has all of those before it."""

    NONE = "none"
    KEY = "key"
    TEMPO = "key,tempo"
    DOWNBEAT = "key,tempo,downbeat"

    @property
    def is_retimed(self) -> bool:
        """Whether the beats of the sources fall together."""
        return self in (Match.TEMPO, Match.DOWNBEAT)


class Pairing(StrEnum):
    """How clips are paired: any with any, or by a statistic."""

    RANDOM = "random"
    CHROMA = "chroma"
    CORRELATION = "correlation"
    PEARSON = "pearson"


class Level(StrEnum):
    """How loud the stems of renditions are."""

    NATIVE = "native"  # as the synthesiser played them
    EQUAL = "equal"


class Weights(StrEnum):
    """What is drawn more often than its share."""

    INVERSE_CLASS = "inverse-class"  # stems of rare classes
    ACTIVITY = "activity"  # excerpts in which much is played


def _split_at_commas(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for text in texts for name in text.split(",") if name)


@dataclass(frozen=True, slots=True)
class MixConfig:
    """Options of `stemsmith.mixing.mix`; names of modes and the like may be given as text.

    Attributes
    ----------
    mode : Mode
        How the sources of a mixture belong together.
    target : str or None
        Target that must be present; None asks for a present mixture (coherent) or for no more
        than that no source is silent (incoherent).
    n_mixtures : int or None
        Number of mixtures of all splits together, which is divided in proportion to their songs.
    hours : float or None
        The same as a duration, 1 where neither is given. Renditions are all taken.
    left_out : tuple of str
        Songs that are the test split, all others being the training split; empty for the splits
        of the sources.
    splits : tuple of str
        Splits to make; empty for all.
    clip_s : float or None
        Length of a mixture, a multiple of 0.1 s; None stands for 10 s, and for whole renditions.
    min_rms_dbfs : float
        The target's RMS over the clip, as the stem lies on disk, is above it.
    pairing : Pairing
        Which clips may meet in incoherent mixtures.
    pairing_threshold : float or None
        Threshold of the pairing's statistic; None takes the default. That of correlation is for
        10 s at 44.1 kHz, and is scaled to the clips.
    augment : tuple of str
        Names of augmentations, of `stemsmith.mixing.augmentations`.
    overlay : str or None
        Target that is put over coherent songs that lack it, from other songs.
    level : Level or None
        How loud the stems of renditions are; None stands for native.
    sample_rate : int or None
        In Hz, a multiple of 10; None takes the lowest of the sources.
    n_channels : int
        Number of channels: 1, for which stereo becomes (left + right) / 2, or 2.
    target_lufs : float
        Loudness of every source of an incoherent mixture. Well below Slakh's -13, so that the
        guard gain, which would take the loudness away again, is seldom needed.
    peak_ceiling_dbfs : float
        Highest sample peak in dBFS; what exceeds it is turned down as a whole.
    seed : int
        Seed of all random choices.
    weights : Weights or None
        What is drawn more often in coherent and incoherent mixtures; None draws evenly.
    coherence : float or None
        For the mode ``across``: the probability with which a source other than the anchor's comes
        from the anchor's song, 0 to 1. The anchor is the target, or where none is asked for the
        loudest of the mixture.
    match : Match
        For the mode ``across``: what sources from other songs share with the anchor.

    Raises
    ------
    UsageError
        For values that make no sense, alone or together; the text names the command's option.

    Examples
    --------
    >>> config = MixConfig(mode="incoherent", target="bass", hours=0.5)
    >>> config.mode, config.n_wanted
    (<Mode.INCOHERENT: 'incoherent'>, 180)
    """

    mode: Mode = option(
        Mode.COHERENT,
        "All stems of a moment of a song; clips of any song, equally loud; renditions; or what "
        "--coherence says.",
        group=MIXTURES,
    )
    target: str | None = option(
        None, "Must be present in every mixture; names come from --taxonomy.", group=MIXTURES
    )
    n_mixtures: int | None = option(
        None,
        "Number of mixtures of all splits.",
        flag="--mixtures",
        is_in_manifest=False,
        group=MIXTURES,
    )
    hours: float | None = option(
        None, "The same as a duration.", default_text="1", is_in_manifest=False, group=MIXTURES
    )
    left_out: tuple[str, ...] = option(
        (),
        "Splits anew: this song in test, all others in train; may be repeated.",
        flag="--leave-out",
        metavar="SONG",
        is_repeatable=True,
        group=MIXTURES,
    )
    splits: tuple[str, ...] = option(
        (),
        "Only this split; may be repeated.",
        flag="--split",
        is_repeatable=True,
        group=MIXTURES,
    )
    clip_s: float | None = option(
        None,
        "Seconds of a mixture.",
        flag="--clip",
        default_text="10; renditions are taken whole",
        is_in_manifest=False,
        group=_CLIPS,
    )
    min_rms_dbfs: float = option(
        -30.0, "The target's RMS in dBFS is above it.", flag="--min-rms", group=_CLIPS
    )
    pairing: Pairing = option(
        Pairing.RANDOM, "Which clips may meet in incoherent mixtures.", group=_INCOHERENT
    )
    pairing_threshold: float | None = option(
        None,
        "Of that statistic (correlation: for 10 s at 44.1 kHz).",
        default_text="the paper's",
        group=_INCOHERENT,
    )
    augment: tuple[str, ...] = option(
        (),
        f"{', '.join(AUGMENTATIONS.names[:-1])} or {AUGMENTATIONS.names[-1]}; may be repeated.",
        parse=_split_at_commas,
        is_repeatable=True,
        group=_CLIPS,
    )
    overlay: str | None = option(
        None, "Put it over coherent songs that lack it.", metavar="TARGET", group=_CLIPS
    )
    level: Level | None = option(
        None,
        "Stems of renditions keep their levels, or have --target-lufs.",
        default_text="native",
        is_in_manifest=False,
        group="Renditions only",
    )
    sample_rate: int | None = option(
        None,
        "In Hz, a multiple of 10.",
        default_text="lowest of the sources",
        group=_CLIPS,
    )
    n_channels: int = option(
        1,
        "Mono is (left + right) / 2.",
        flag="--channels",
        choices=lambda: ("1", "2"),
        parse=int,
        group=_CLIPS,
    )
    target_lufs: float = option(
        _DEFAULT_LUFS, "Loudness in LUFS of every source; not of coherent mixtures.", group=_CLIPS
    )
    peak_ceiling_dbfs: float = option(
        -1.0, "In dBFS, of samples.", flag="--peak-ceiling", group=_CLIPS
    )
    seed: int = option(0, "Of all random choices.", group=MIXTURES)
    weights: Weights | None = option(
        None,
        "Draw rare classes, or excerpts with many notes, more often.",
        default_text="evenly",
        is_in_manifest=False,
        group=MIXTURES,
    )
    coherence: float | None = option(
        None,
        "With --mode across: how probably a source is of the anchor's song, 0 to 1.",
        metavar="P",
        is_in_manifest=False,
        group=ACROSS,
    )
    match: Match = option(
        Match.NONE,
        "With --mode across: what sources of other songs share with the anchor.",
        is_in_manifest=False,
        group=ACROSS,
    )

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse what makes no sense."""
        self._settle()
        self._check_length()
        self._check_levels()
        self._check_kind()
        self._check_coherence()
        self._check_augmentations()

    def _settle(self) -> None:
        """Give every value the type of its field, and what has no order the same one each time."""
        settle(self)
        for name in ("target", "overlay"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else normal_name(given))
        for name in ("augment", "splits", "left_out"):
            object.__setattr__(self, name, tuple(sorted(set(_items(getattr(self, name))))))

    def _check_length(self) -> None:
        if not (
            0.4 <= self.length_s <= _LONGEST_CLIP_S
            and math.isclose(self.clip_steps, self.length_s * ENVELOPE_HZ)
        ):
            raise UsageError(
                f"--clip {self.length_s:g}: must be a multiple of 0.1 s, at least 0.4 s and at "
                f"most {_LONGEST_CLIP_S} s"
            )
        is_asked = self.n_mixtures is not None or self.hours is not None
        if self.mode is Mode.RENDITIONS and is_asked:
            raise UsageError("--mode renditions makes all of them: not with --mixtures or --hours")
        if self.n_mixtures is not None and self.hours is not None:
            raise UsageError("give either --mixtures or --hours")
        if not 1 <= self.n_wanted <= MOST_MIXTURES:
            raise UsageError(
                "--mixtures and --hours must ask for at least one mixture and at most "
                f"{MOST_MIXTURES}"
            )

    def _check_levels(self) -> None:
        if not -math.inf < self.min_rms_dbfs <= 0:
            raise UsageError("--min-rms must be a number of dBFS, at most 0")
        if not -70 < self.target_lufs <= 0:
            raise UsageError("--target-lufs must be between -70 and 0")
        if self.sample_rate is not None and not (
            8000 <= self.sample_rate <= 192000 and self.sample_rate % ENVELOPE_HZ == 0
        ):
            raise UsageError("--sample-rate must be a multiple of 10 Hz from 8000 to 192000")
        if self.n_channels not in (1, 2):
            raise UsageError(f"--channels {self.n_channels}: 1 or 2")
        if not -40 <= self.peak_ceiling_dbfs <= 0:
            raise UsageError("--peak-ceiling must be between -40 and 0 dBFS")

    def _check_kind(self) -> None:
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise UsageError(f"--split {unknown[0]}: unknown; known: {', '.join(SPLITS)}")
        if self.mode is not Mode.RENDITIONS and self.level is not None:
            raise UsageError("--level: only with --mode renditions")
        keeps_levels = self.is_coherent or (
            self.mode is Mode.RENDITIONS and not self.is_equally_loud
        )
        if keeps_levels and self.target_lufs != _DEFAULT_LUFS:
            raise UsageError(
                f"--target-lufs: not with --mode {self.mode}, whose sources keep their levels"
                + (" but for --level equal" if self.mode is Mode.RENDITIONS else "")
            )
        if self.pairing_threshold is not None and self.pairing is Pairing.RANDOM:
            raise UsageError("--pairing-threshold: only with a --pairing that is not random")
        if self.pairing_threshold is not None and not math.isfinite(self.pairing_threshold):
            raise UsageError("--pairing-threshold must be a number")
        if self.pairing is not Pairing.RANDOM and self.mode is not Mode.INCOHERENT:
            raise UsageError(f"--pairing {self.pairing}: only with --mode incoherent")
        if self.weights is not None and (
            self.mode not in (Mode.COHERENT, Mode.INCOHERENT) or self.pairing is not Pairing.RANDOM
        ):
            raise UsageError(
                f"--weights {self.weights}: only with --mode coherent or incoherent, and not with "
                "--pairing"
            )
        if self.overlay is not None and (not self.is_coherent or self.overlay == self.target):
            raise UsageError("--overlay needs --mode coherent and another --target")

    def _check_coherence(self) -> None:
        if self.mode is not Mode.ACROSS:
            if self.coherence is not None:
                raise UsageError("--coherence: only with --mode across")
            if self.match is not Match.NONE:
                raise UsageError(f"--match {self.match}: only with --mode across")
        elif self.coherence is None:
            raise UsageError("--mode across needs --coherence, a probability from 0 to 1")
        elif not 0 <= self.coherence <= 1:
            raise UsageError(f"--coherence {self.coherence:g}: a probability from 0 to 1")

    def _check_augmentations(self) -> None:
        known = AUGMENTATIONS.names
        if unknown := [name for name in self.augment if name not in known]:
            raise UsageError(f"--augment {unknown[0]}: unknown; known: {', '.join(known)}")
        chosen = [AUGMENTATIONS.load(name) for name in self.augment]
        if wrong := [one.name for one in chosen if self.mode in one.excluded_modes]:
            raise UsageError(f"--augment {', '.join(wrong)}: not with --mode {self.mode}")
        for one in chosen:
            if clashing := sorted(one.excludes & set(self.augment)):
                raise UsageError(f"--augment {one.name} and {clashing[0]} exclude each other")
        if self.pairing is not Pairing.RANDOM:
            changed = [one.name for one in chosen if not one.is_as_recorded]
            if changed:
                raise UsageError(
                    f"--pairing compares clips as recorded: not with {' or '.join(changed)}"
                )

    @property
    def is_coherent(self) -> bool:
        """Whether sources come from one moment of one song."""
        return self.mode is Mode.COHERENT

    @property
    def is_whole(self) -> bool:
        """Whether renditions are taken whole, instead of cut into clips."""
        return self.mode is Mode.RENDITIONS and self.clip_s is None

    @property
    def is_equally_loud(self) -> bool:
        """Whether stems of renditions are brought to `target_lufs`."""
        return self.level is Level.EQUAL

    @property
    def length_s(self) -> float:
        """Length of a mixture in seconds."""
        return _DEFAULT_CLIP_S if self.clip_s is None else self.clip_s

    @property
    def clip_steps(self) -> int:
        """Length of a mixture in 100 ms."""
        return round(self.length_s * ENVELOPE_HZ)

    @property
    def n_wanted(self) -> int:
        """Number of mixtures of all splits, whichever way it was asked for."""
        if self.n_mixtures is not None:
            return self.n_mixtures
        hours = _DEFAULT_HOURS if self.hours is None else self.hours
        wanted = hours * 3600 / self.length_s
        return round(wanted) if math.isfinite(wanted) else 0

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the options."""
        said = {
            **to_manifest(self),
            "clip_s": self.length_s,
            "n_mixtures": self.n_wanted,
            "is_whole": self.is_whole,
            "is_equally_loud": self.is_equally_loud,
        }
        if self.weights is not None:  # other manifests stay as they were
            said["weights"] = str(self.weights)
        if self.mode is Mode.ACROSS:  # manifests of other modes stay as they were
            said |= {"coherence": self.coherence, "match": str(self.match)}
        return said

    def with_mode(self, mode: Mode) -> MixConfig:
        """Return the options of the same mixtures in another mode, without those of ``across``."""
        return replace(self, mode=mode, coherence=None, match=Match.NONE)


class MixOptions(TypedDict, total=False):
    """The fields of `MixConfig` as keywords of `stemsmith.mixing.mix`."""

    mode: Mode | str
    target: str | None
    n_mixtures: int | None
    hours: float | None
    left_out: Sequence[str]
    splits: Sequence[str]
    clip_s: float | None
    min_rms_dbfs: float
    pairing: Pairing | str
    pairing_threshold: float | None
    augment: Sequence[str]
    overlay: str | None
    level: Level | str | None
    sample_rate: int | None
    n_channels: int
    target_lufs: float
    peak_ceiling_dbfs: float
    seed: int
    weights: Weights | str | None
    coherence: float | None
    match: Match | str


def _items(names: str | Sequence[str]) -> Sequence[str]:
    """Return names, of which one may stand alone."""
    return [names] if isinstance(names, str) else names
