"""What a set of mixtures shall be: the options that decide its recipes; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.options import json_value, option, settle, to_manifest
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.level.grid import ENVELOPE_HZ

__all__ = [
    "ACROSS",
    "MIXTURES",
    "MOST_MIXTURES",
    "SONGS",
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
SONGS: Final = "Songs and splits"
ACROSS: Final = "Mixtures across songs only"
_CLIPS: Final = "Clips and sound"
_INCOHERENT: Final = "Incoherent mixtures only"

_DEFAULT_CLIP_S: Final = 10.0
_DEFAULT_HOURS: Final = 1.0
_DEFAULT_LUFS: Final = -25.0
_DEFAULT_RMS_DBFS: Final = -30.0
_SHARE: Final = "in proportion to its songs"
_OF_SONGS: Final = {"songs": "--songs", "left_out": "--leave-out"}
_LONGEST_CLIP_S: Final = 7200
MOST_MIXTURES: Final = 10**8  # names have eight digits


class Mode(StrEnum):
    """How the sources of a mixture belong together (Slakh section 3.2)."""

    COHERENT = "coherent"
    INCOHERENT = "incoherent"
    RENDITIONS = "renditions"  # of a corpus of renditions, as they are (Miron 3.4)
    ACROSS = "across"  # each source from the anchor's song with some probability
    COMBINATIONS = "combinations"  # every choice of one stem a target of a song (Chiu III-B)

    @property
    def is_exhaustive(self) -> bool:
        """Whether all mixtures that there are get made, instead of as many as are asked for."""
        return self in (Mode.RENDITIONS, Mode.COMBINATIONS)


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
    """How the chunks that songs are divided into are paired: any with any, or by a statistic."""

    RANDOM = "random"
    CHROMA = "chroma"
    CORRELATION = "correlation"
    PEARSON = "pearson"


class Level(StrEnum):
    """How loud the sources of a mixture are."""

    NATIVE = "native"  # as they lie on disk
    EQUAL = "equal"  # all the same by BS.1770 (Slakh section 2.2)


# What a mode does where nothing is said; sources of ``across`` are as loud as its own rule has it.
_DEFAULT_LEVELS: Final = {Mode.INCOHERENT: Level.EQUAL, Mode.ACROSS: None}


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
        Number of training mixtures. Other splits have their share in proportion to their songs, at
        least one; where there are no training songs, all splits share the number.
    hours : float or None
        The same as a duration, 1 where neither is given. Renditions and combinations are all taken.
    n_validation_mixtures, n_test_mixtures : int or None
        Numbers of those splits, 0 or more, where they are not to be shares.
    validation_hours, test_hours : float or None
        The same as durations.
    songs : tuple of str
        Songs to take of the sources: names, glob patterns, or ``@FILE`` for the lines of a file.
        ``ROOT:NAME`` is of one source. Empty for all.
    left_out : tuple of str
        Songs that are the test split, as in `songs`. Other training songs stay what they are, as do
        validation songs; of a data set that is all one split, and of which songs are left out, the
        others are training songs; other test songs are not used.
    pooled : tuple of str
        Splits whose songs become training songs, except those that are left out.
    validation_songs : float or None
        Number of training songs that become validation songs, or below 1 their approximate share;
        which ones is decided by a hash of each, whatever the seed.
    source_hours : float or None
        Hours of source material that training mixtures are made of: of songs, or in incoherent
        mixtures of each target. Songs come in the order of a hash, the last one is cut.
    splits : tuple of str
        Splits to make; empty for all.
    clip_s : float or None
        Length of a mixture, a multiple of 0.1 s; None stands for 10 s, and for whole renditions.
    min_rms_dbfs : float or None
        The target's RMS over the clip, as the stem lies on disk, is above it; None is -30, and with
        a pairing no condition.
    pairing : Pairing or None
        Songs are divided into chunks of one clip length, of which some may meet in incoherent
        mixtures (Chiu et al. 2020); None takes clips from wherever a stem sounds (Slakh).
    pairing_threshold : float or None
        Threshold of the pairing's statistic; None takes the default. That of correlation is for
        10 s at 44.1 kHz, and is scaled to the clips.
    augment : tuple of str
        Names of augmentations, of `stemsmith.mixing.augmentations`.
    overlay : str or None
        Target that is put over coherent songs that lack it, from other songs.
    level : Level or None
        How loud sources are: as they lie on disk, or all at `target_lufs`, which is measured over
        the clip in incoherent mixtures and over the whole stem in others. None stands for equal in
        incoherent mixtures, for what `stemsmith.mixing.plan.across` says in those across songs,
        and for native in others.
    sample_rate : int or None
        In Hz, a multiple of 10; None takes the lowest of the sources.
    n_channels : int
        Number of channels: 1, for which stereo becomes (left + right) / 2, or 2.
    target_lufs : float
        Loudness of every source where all are equally loud. Well below Slakh's -13, so that the
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
        "All stems of a moment of a song; clips of any song; renditions; what --coherence says; or "
        "every choice of one stem a target of a song.",
        group=MIXTURES,
    )
    target: str | None = option(
        None, "Must be present in every mixture; names come from --taxonomy.", group=MIXTURES
    )
    n_mixtures: int | None = option(
        None,
        "Number of training mixtures; other splits have a share by their songs.",
        flag="--mixtures",
        is_in_manifest=False,
        group=MIXTURES,
    )
    hours: float | None = option(
        None, "The same as a duration.", default_text="1", is_in_manifest=False, group=MIXTURES
    )
    n_validation_mixtures: int | None = option(
        None,
        "Number of validation mixtures.",
        flag="--validation-mixtures",
        default_text=_SHARE,
        is_in_manifest=False,
        group=MIXTURES,
    )
    validation_hours: float | None = option(
        None, "The same as a duration.", is_in_manifest=False, group=MIXTURES
    )
    n_test_mixtures: int | None = option(
        None,
        "Number of test mixtures.",
        flag="--test-mixtures",
        default_text=_SHARE,
        is_in_manifest=False,
        group=MIXTURES,
    )
    test_hours: float | None = option(
        None, "The same as a duration.", is_in_manifest=False, group=MIXTURES
    )
    splits: tuple[str, ...] = option(
        (),
        "Only this split; may be repeated.",
        flag="--split",
        is_repeatable=True,
        group=MIXTURES,
    )
    songs: tuple[str, ...] = option(
        (),
        "Only these songs: a name, a pattern, ROOT:NAME, or @FILE with a line each; may be "
        "repeated.",
        metavar="SONG",
        is_repeatable=True,
        is_in_manifest=False,
        group=SONGS,
    )
    left_out: tuple[str, ...] = option(
        (),
        "These are the test songs, as in --songs; may be repeated.",
        flag="--leave-out",
        metavar="SONG",
        is_repeatable=True,
        group=SONGS,
    )
    pooled: tuple[str, ...] = option(
        (),
        "Songs of this split are training songs, too; may be repeated.",
        flag="--train-on",
        metavar="SPLIT",
        is_repeatable=True,
        is_in_manifest=False,
        group=SONGS,
    )
    validation_songs: float | None = option(
        None,
        "So many training songs become validation songs; below 1: that share of them.",
        metavar="N",
        is_in_manifest=False,
        group=SONGS,
    )
    source_hours: float | None = option(
        None,
        "Hours of material to make training mixtures of; in incoherent ones of each target.",
        default_text="all",
        is_in_manifest=False,
        group=SONGS,
    )
    clip_s: float | None = option(
        None,
        "Seconds of a mixture.",
        flag="--clip",
        default_text="10; renditions are taken whole",
        is_in_manifest=False,
        group=_CLIPS,
    )
    min_rms_dbfs: float | None = option(
        None,
        "The target's RMS in dBFS is above it.",
        flag="--min-rms",
        default_text="-30; with --pairing no condition",
        group=_CLIPS,
    )
    pairing: Pairing | None = option(
        None,
        "Divide songs into chunks, and let these meet.",
        default_text="clips from anywhere",
        group=_INCOHERENT,
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
        "Sources keep their levels, or have --target-lufs.",
        default_text="native; equal in incoherent mixtures",
        is_in_manifest=False,
        group=_CLIPS,
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
        _DEFAULT_LUFS, "Loudness in LUFS of sources that are equally loud.", group=_CLIPS
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
        self._check_songs()
        self._check_coherence()
        self._check_augmentations()

    def _settle(self) -> None:
        """Give every value the type of its field, and what has no order the same one each time."""
        settle(self)
        for name in ("target", "overlay"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else normal_name(given))
        for name in ("augment", "splits", "left_out", "songs", "pooled"):
            items = _items(getattr(self, name))
            if name in _OF_SONGS:
                items = [line for item in items for line in _lines(item, _OF_SONGS[name])]
            object.__setattr__(self, name, tuple(sorted(set(items))))

    def _check_length(self) -> None:
        if not (
            0.4 <= self.length_s <= _LONGEST_CLIP_S
            and math.isclose(self.clip_steps, self.length_s * ENVELOPE_HZ)
        ):
            raise UsageError(
                f"--clip {self.length_s:g}: must be a multiple of 0.1 s, at least 0.4 s and at "
                f"most {_LONGEST_CLIP_S} s"
            )
        self._check_number("train", "--mixtures", self.n_mixtures, "--hours", self.hours)
        for split, n_mixtures, hours in self._said:
            flags = f"--{split}-mixtures", f"--{split}-hours"
            self._check_number(split, flags[0], n_mixtures, flags[1], hours)
        if not 1 <= self.n_wanted <= MOST_MIXTURES:
            raise UsageError(
                "--mixtures and --hours must ask for at least one mixture and at most "
                f"{MOST_MIXTURES}"
            )

    def _check_number(
        self, split: str, flag: str, number: int | None, hours_flag: str, hours: float | None
    ) -> None:
        """Check what is asked for of one split."""
        if number is None and hours is None:
            return
        if self.mode.is_exhaustive:
            raise UsageError(
                f"--mode {self.mode} makes all of them: not with {flag} or {hours_flag}"
            )
        if number is not None and hours is not None:
            raise UsageError(f"give either {flag} or {hours_flag}")
        if split != "train" and self.splits and split not in self.splits:
            raise UsageError(f"{flag} and {hours_flag}: not with --split {self.splits[0]} alone")
        if not 0 <= self._number(number, hours) <= MOST_MIXTURES:
            raise UsageError(f"{flag} and {hours_flag} must ask for 0 to {MOST_MIXTURES} mixtures")

    def _check_levels(self) -> None:
        if self.min_rms_dbfs is not None and not -math.inf < self.min_rms_dbfs <= 0:
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
        if self.levels is Level.NATIVE and self.target_lufs != _DEFAULT_LUFS:
            raise UsageError(
                f"--target-lufs: not with --mode {self.mode}, whose sources keep their levels "
                "but for --level equal"
            )
        if self.pairing_threshold is not None and not self.is_paired:
            raise UsageError("--pairing-threshold: only with a --pairing that is not random")
        if self.pairing_threshold is not None and not math.isfinite(self.pairing_threshold):
            raise UsageError("--pairing-threshold must be a number")
        if self.pairing is not None and self.mode is not Mode.INCOHERENT:
            raise UsageError(f"--pairing {self.pairing}: only with --mode incoherent")
        if self.weights is not None and (
            self.mode not in (Mode.COHERENT, Mode.INCOHERENT) or self.pairing is not None
        ):
            raise UsageError(
                f"--weights {self.weights}: only with --mode coherent or incoherent, and not with "
                "--pairing"
            )
        if self.overlay is not None and (not self.is_coherent or self.overlay == self.target):
            raise UsageError("--overlay needs --mode coherent and another --target")

    def _check_songs(self) -> None:
        if unknown := [split for split in self.pooled if split not in SPLITS[1:]]:
            raise UsageError(f"--train-on {unknown[0]}: {' or '.join(SPLITS[1:])}")
        number = self.validation_songs
        if number is not None and not (0 < number < 1 or (number >= 1 and number.is_integer())):
            raise UsageError(
                f"--validation-songs {number:g}: a number of songs, or a share of them below 1"
            )
        if self.source_hours is None:
            return
        if not 0 < self.source_hours < math.inf:
            raise UsageError(f"--source-hours {self.source_hours:g}: more than 0 hours")
        if self.mode.is_exhaustive:
            raise UsageError(
                f"--source-hours: not with --mode {self.mode}, which takes songs whole"
            )

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
        if self.is_paired:
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
        """Whether renditions and combinations are taken whole, instead of cut into clips."""
        return self.mode.is_exhaustive and self.clip_s is None

    @property
    def is_paired(self) -> bool:
        """Whether a statistic decides which chunks may meet."""
        return self.pairing not in (None, Pairing.RANDOM)

    @property
    def levels(self) -> Level | None:
        """How loud sources are; None for what the mode ``across`` does where nothing is said."""
        return self.level or _DEFAULT_LEVELS.get(self.mode, Level.NATIVE)

    @property
    def least_rms_dbfs(self) -> float:
        """What the target's RMS is above, where there is such a condition."""
        return _DEFAULT_RMS_DBFS if self.min_rms_dbfs is None else self.min_rms_dbfs

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
        """Number of training mixtures, whichever way it was asked for."""
        return self._number(self.n_mixtures, self.hours)

    @property
    def n_said(self) -> dict[str, int]:
        """Numbers of mixtures of the other splits for which one was asked for."""
        return {
            split: self._number(n_mixtures, hours)
            for split, n_mixtures, hours in self._said
            if n_mixtures is not None or hours is not None
        }

    @property
    def _said(self) -> Sequence[tuple[str, int | None, float | None]]:
        return (
            ("validation", self.n_validation_mixtures, self.validation_hours),
            ("test", self.n_test_mixtures, self.test_hours),
        )

    def _number(self, n_mixtures: int | None, hours: float | None) -> int:
        if n_mixtures is not None:
            return n_mixtures
        wanted = (_DEFAULT_HOURS if hours is None else hours) * 3600 / self.length_s
        return round(wanted) if math.isfinite(wanted) else -1

    def to_dict(self) -> dict[str, Any]:
        """Return what the manifest says of the options."""
        said = {
            **to_manifest(self),
            "clip_s": self.length_s,
            "n_mixtures": self.n_wanted,
            "is_whole": self.is_whole,
            "is_equally_loud": self.level is Level.EQUAL,
        }
        if self.pairing is None:  # manifests of version 0.1 say so
            said |= {"pairing": "random", "min_rms_dbfs": self.least_rms_dbfs}
        else:
            said["is_chunked"] = True
        # What follows is not said where it is not asked for: other manifests stay as they were.
        if self.mode is not Mode.RENDITIONS and self.level not in (
            None,
            _DEFAULT_LEVELS.get(self.mode, Level.NATIVE),
        ):
            said["level"] = str(self.level)
        for name in ("songs", "pooled", "validation_songs", "source_hours", "weights"):
            if (value := getattr(self, name)) not in (None, ()):
                said[name] = json_value(value)
        if self.mode is Mode.ACROSS:
            said |= {"coherence": self.coherence, "match": str(self.match)}
        return said

    def with_mode(self, mode: Mode) -> MixConfig:
        """Return the options of the same mixtures in another mode, without those of ``across``.

        Where sources keep their levels in that mode, there is no `target_lufs`.
        """
        is_native = (self.level or _DEFAULT_LEVELS.get(mode, Level.NATIVE)) is Level.NATIVE
        target_lufs = _DEFAULT_LUFS if is_native else self.target_lufs
        return replace(self, mode=mode, coherence=None, match=Match.NONE, target_lufs=target_lufs)


class MixOptions(TypedDict, total=False):
    """The fields of `MixConfig` as keywords of `stemsmith.mixing.mix`."""

    mode: Mode | str
    target: str | None
    n_mixtures: int | None
    hours: float | None
    n_validation_mixtures: int | None
    validation_hours: float | None
    n_test_mixtures: int | None
    test_hours: float | None
    splits: Sequence[str]
    songs: Sequence[str]
    left_out: Sequence[str]
    pooled: Sequence[str]
    validation_songs: float | None
    source_hours: float | None
    clip_s: float | None
    min_rms_dbfs: float | None
    pairing: Pairing | str | None
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


def _lines(name: str, flag: str) -> Sequence[str]:
    """Return a name, or the lines of the file that it stands for."""
    if not name.startswith("@"):
        return [name]
    path = local_path(name[1:])
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UsageError(f"{flag} {name}: cannot be read: {why}") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise UsageError(f"{flag} {name}: names no song")
    # As a pattern, a name that begins with @ is not taken for a file when it is read again.
    return [f"[@]{line[1:]}" if line.startswith("@") else line for line in names]
