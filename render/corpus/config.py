"""What decides the content of a corpus: every option that changes a byte of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import from_manifest, option, settle, to_manifest
from stemsmith.manifests.programs import players
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.production.codec import Codec
from stemsmith.render.corpus.licences import parse_licence, parse_licences
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S
from stemsmith.render.midi.playing import Dynamic, parse_dynamics
from stemsmith.render.sound.patch_choice import PatchChoice

__all__ = [
    "DEFAULT_BAND",
    "EQUAL_STEMS",
    "NONE",
    "PRODUCTION",
    "REAL_LEVELS",
    "SCORES",
    "SOUND",
    "STEMS",
    "Drums",
    "Master",
    "MixSource",
    "OnDefect",
    "Pan",
    "RenderConfig",
    "RenderOptions",
    "SoundOptions",
    "Splits",
    "parse_band",
]

NONE: Final = "none"  # of effects and rooms
DEFAULT_BAND: Final = ("piano", "bass", "guitar", "drums")
HUMAN_VELOCITY: Final = 8.0  # half of what real players have
HUMAN_ONSET_S: Final = 0.008
_FLUID_RATES_HZ: Final = (8000, 96000)
_SIZE: Final = r"\d{1,9}(/\d{1,9}|\.\d{1,9})?|\.\d{1,9}"
_STEPS_HZ: Final = 10  # of the envelopes
EQUAL_STEMS: Final = "slakh"
REAL_LEVELS: Final = "real"
# Headings of the options in help texts.
SCORES: Final = "Songs"
SOUND: Final = "Sound"
STEMS: Final = "Stems and mixtures, not of renditions"
PRODUCTION: Final = "Production, not of renditions"


class Drums(StrEnum):
    """Which parts the drums of a score are."""

    TRACKS = "tracks"  # one for each track, and kit, as of all instruments (Slakh)
    JOINED = "joined"  # one for each channel and kit


class OnDefect(StrEnum):
    """What becomes of a stem in which the audit finds a defect."""

    KEEP = "keep"  # it stays, and its record says what was found
    DROP = "drop"  # it is left out, as a part without a patch is
    REDRAW = "redraw"  # another patch is drawn, once; then it stays


class Pan(StrEnum):
    """Where parts stand between left and right."""

    SCORE = "score"  # as the score says
    DRAWN = "drawn"  # drawn for songs that say it of no part


class Master(StrEnum):
    """What makes master.flac of mix.flac, before a codec."""

    NONE = "none"
    BUS = "bus"  # a compressor and a limiter


class MixSource(StrEnum):
    """What mix.flac is."""

    AUTOMIX = "automix"  # stems of equal loudness, summed (Slakh)
    UNSPLIT = "unsplit"  # the whole file in one rendering (Flakh)


@dataclass(frozen=True, slots=True)
class Splits:
    """Sizes of train, validation and test: fractions that sum to 1, or numbers of songs."""

    sizes: tuple[Fraction, ...]

    @classmethod
    def parse(cls, text: str) -> Splits:
        """Read ``0.7,0.2,0.1`` or ``14,4,2``.

        Raises
        ------
        UsageError
            Unless three fractions that sum to 1, or three whole numbers, are given.
        """
        try:
            fields = text.split(",")
            is_plain = all(re.fullmatch(_SIZE, field.strip()) for field in fields)
            sizes = tuple(Fraction(field.strip()) for field in fields) if is_plain else ()
        except ZeroDivisionError:
            sizes = ()
        splits = cls(sizes)
        is_valid = len(sizes) == len(SPLITS) and min(sizes) >= 0 and sum(sizes) > 0
        if not is_valid or not (splits.are_counts or sum(sizes) == 1):
            raise UsageError(
                f"--splits {text}: give train,validation,test as three fractions that sum to 1 "
                "(0.7,0.2,0.1) or as three numbers of songs (14,4,2)"
            )
        return splits

    @property
    def are_counts(self) -> bool:
        """Whether the sizes are numbers of songs."""
        return sum(self.sizes) != 1 and all(size.denominator == 1 for size in self.sizes)

    def __str__(self) -> str:
        decimals = [f"{float(size):g}" for size in self.sizes]
        return ",".join(
            text if Fraction(text) == size else str(size)
            for text, size in zip(decimals, self.sizes, strict=True)
        )


def parse_band(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the players named by ``piano,bass`` or by a list.

    Raises
    ------
    UsageError
        If none is named.
    """
    fields = names.split(",") if isinstance(names, str) else names
    band = tuple(name.strip() for name in fields if name.strip())
    if not band:
        raise UsageError("--band: name at least one player, or use --no-band")
    return band


@dataclass(frozen=True, slots=True)
class RenderConfig:
    """Options of a corpus; the defaults are Slakh's. Choices may be given as their text.

    Attributes
    ----------
    seed : int
        Seed of all random choices.
    n_songs : int or None
        Number of songs to draw; None takes all that fit.
    splits : Splits
        Sizes of train, validation and test.
    band : tuple of str or None
        Players a song must have, which are instrument classes; None takes any song.
    min_notes : int
        Notes that each player of the band must have.
    patch_choice : PatchChoice
        ``class`` draws from all patches of a part's class, ``program`` takes the preset of its
        program.
    render_omitted : bool
        Whether programs that Slakh leaves out, such as sound effects, are rendered too.
    mix_source : MixSource
        ``automix`` sums stems of equal loudness, ``unsplit`` renders the whole file at once.
    target_lufs : float
        Loudness of each stem in LUFS before the uniform gain.
    max_gain_db : float
        Largest gain in dB that a stem gets towards that loudness.
    target_peak_dbfs : float
        Highest sample peak of mixtures and stems in dBFS.
    tail_s : float
        Seconds of audio after the end of the last note.
    max_duration_s : float
        Length in seconds of the longest score that is a song.
    sample_rate : int
        Sample rate in Hz, a multiple of 10 from 8000 to 96,000.
    near_duplicates : bool
        Whether songs that are nearly the same music lie in one split, as those with equal notes
        always do: copies in other keys, tempi or instruments, and copies without some parts.
    min_stem_notes : int
        Notes that a part must have to be rendered. By default every part is: of 1171 parts of 178
        real songs 4 have one note and 12 at most three, and nearly all of these are meant so (a
        held chord, a drum, an effect). None is merged into another part, whose instrument the
        score did not ask for.
    licence : str or None
        SPDX licence of the scores that no ``licences.tsv`` names; None if it is not known.
    licence_ok : tuple of str or None
        SPDX licences of the songs that are taken; None takes any song.
    audit : bool
        Whether every stem is checked against its score; see `stemsmith.render.audit`.
    on_defect : OnDefect
        What becomes of a stem with a defect: ``keep``, ``drop``, or ``redraw`` another patch once.
    n_channels : int
        1 for mono, (left + right) / 2, or 2 for stereo: what the patches have and the scores say.
    pan : Pan
        ``score`` places parts by the scores' controller 10 alone; ``drawn`` draws it for the parts
        of songs that have none, as `stemsmith.render.midi.panorama` says.
    balance : str
        Levels of the stems: ``slakh`` makes all equally loud; ``real`` draws for each song how
        loud the sum of its drums, of its basses and of all others is, as
        `stemsmith.mixing.level.balance` says; anything else is a file of such levels. Inside a
        group, parts are equally loud.
    drums : Drums
        ``tracks`` makes a part of the drums of each track; ``joined`` makes one of the tracks that
        play drums on one channel and have a kit in common: a file may spread one kit over tracks,
        a hi-hat here and a snare there.
    effects : str
        Chains of effects that stems get by their classes: ``none``, ``class`` for the built-in
        ones, or a YAML file.
    room : str
        ``none``, ``drawn`` for a room of each song's own, or a sound file that is an impulse
        response, or a folder of such, of which each song has one.
    equalise : bool
        Whether stems are filtered such that they mask each other less.
    master : Master
        ``bus`` writes master.flac, the mixture after a compressor and a limiter.
    codec : Codec or None
        Codec that master.flac has been through last, such as ``mp3:128``.
    dry : bool
        Whether stems are written without any effect too, into ``dry/``.
    dynamics : tuple of Dynamic
        Dynamics of which every part is played at one that is drawn; with none, velocities are as
        written.
    jitter_s, tuning_cents : float
        Standard deviations of the onsets of notes in seconds, and of their tuning in cents.
    humanise : bool
        Whether parts that a machine wrote are played as by humans: those of which more than 95 % of
        the onsets are sixteenths or triplets of eighths, or all notes have one velocity.
    humanise_velocity, humanise_onset_s : float
        Standard deviations of the velocities of these parts, and of onsets in seconds. The latter
        is of what all notes of the song share that begin together; a note has three eighths of it
        on its own.
    drum_pieces : bool
        Whether the pieces of drum kits are written too: kick, snare, toms, hi-hat, ride, crash and
        percussion, which add up to the stem of the kit.
    tracks_per_tar : int or None
        Number of songs in a tar: songs are written into tars, a series of them for each split, and
        not into folders of files. None writes folders.

    Raises
    ------
    UsageError
        For a value out of range, naming the option of the command.

    Examples
    --------
    >>> import stemsmith
    >>> stemsmith.RenderConfig(n_songs=20, patch_choice="program").sample_rate
    44100
    """

    seed: int = option(0, "Seed of all random choices.", group=SCORES)
    n_songs: int | None = option(
        None,
        "Songs to draw.",
        flag="--songs",
        key="songs",
        default_text="all that fit",
        group=SCORES,
    )
    splits: Splits = option(
        Splits((Fraction(7, 10), Fraction(2, 10), Fraction(1, 10))),
        "Train, validation and test: fractions (approximate) or numbers of songs (exact).",
        parse=Splits.parse,
        group=SCORES,
    )
    band: tuple[str, ...] | None = option(
        DEFAULT_BAND,
        "Players a song must have: instrument classes, e.g. violin,cello.",
        parse=parse_band,
        group=SCORES,
    )
    min_notes: int = option(50, "Notes each player of the band must have.", group=SCORES)
    patch_choice: PatchChoice = option(
        PatchChoice.CLASS,
        "Draw from all patches of a part's class (Slakh), or take its program's preset.",
        group=STEMS,
    )
    render_omitted: bool = option(
        False, "Also render the programs that Slakh leaves out.", group=SCORES
    )
    mix_source: MixSource = option(
        MixSource.AUTOMIX,
        "Sum stems of equal loudness (Slakh), or render the whole file at once (Flakh).",
        group=STEMS,
    )
    target_lufs: float = option(
        -13.0, "Loudness of each stem before the uniform gain, in LUFS.", group=STEMS
    )
    max_gain_db: float = option(
        30.0,
        "Largest gain in dB a stem gets towards that loudness.",
        flag="--max-gain",
        group=STEMS,
    )
    target_peak_dbfs: float = option(
        -1.0,
        "Highest sample peak in dBFS of mixtures and stems.",
        flag="--target-peak",
        group=STEMS,
    )
    tail_s: float = option(5.0, "Seconds after the last note.", flag="--tail", group=SOUND)
    max_duration_s: float = option(
        DEFAULT_MAX_DURATION_S, "Longest score in seconds.", flag="--max-duration", group=SCORES
    )
    sample_rate: int = option(44100, "Sample rate in Hz, a multiple of 10.", group=SOUND)
    near_duplicates: bool = option(
        True,
        "Keep songs that are nearly the same music in one split, in any key and tempo.",
        group=SCORES,
    )
    min_stem_notes: int = option(
        1, "Notes a part must have; others are not rendered, but listed.", group=SCORES
    )
    licence: str | None = option(
        None,
        "SPDX licence of the scores that no licences.tsv beside them names.",
        metavar="SPDX",
        group=SCORES,
    )
    licence_ok: tuple[str, ...] | None = option(
        None,
        "Take only songs of these licences: CC0-1.0,CC-BY-4.0.",
        parse=parse_licences,
        metavar="SPDX,...",
        group=SCORES,
    )
    audit: bool = option(True, "Check every stem against its score.", group=STEMS)
    on_defect: OnDefect = option(
        OnDefect.KEEP,
        "Stems in which the audit finds a defect: keep, drop, redraw a patch once.",
        group=STEMS,
    )
    n_channels: int = option(1, "Channels: 1 or 2.", flag="--channels", group=SOUND)
    pan: Pan = option(
        Pan.SCORE,
        "Left and right as the scores say, or drawn for songs that say nothing.",
        group=SOUND,
    )
    balance: str = option(
        EQUAL_STEMS,
        "Levels: slakh (all stems equally loud), real (groups as in real songs), or a file of gap.",
        metavar="slakh|real|FILE",
        group=STEMS,
    )
    drums: Drums = option(
        Drums.TRACKS,
        "A drum part a track, or tracks of one channel and kit joined to one.",
        group=SOUND,
    )
    effects: str = option(
        NONE,
        "Effects of each class of instruments: none, class (the built-in ones), or a YAML file.",
        metavar="none|class|FILE",
        group=PRODUCTION,
    )
    room: str = option(
        NONE,
        "Room of each song: none, drawn, or an impulse response, or a folder of such.",
        metavar="none|drawn|PATH",
        group=PRODUCTION,
    )
    equalise: bool = option(
        False, "Filter stems so that they mask each other less.", group=PRODUCTION
    )
    master: Master = option(
        Master.NONE,
        "Also write master.flac: the mixture after a compressor and a limiter.",
        group=PRODUCTION,
    )
    codec: Codec | None = option(
        None,
        "Codec that master.flac has been through: mp3:128, aac:192, opus:96 (kbit/s).",
        parse=Codec.parse,
        metavar="NAME:KBPS",
        group=PRODUCTION,
    )
    dry: bool = option(False, "Also write stems before all effects, into dry/.", group=PRODUCTION)
    dynamics: tuple[Dynamic, ...] = option(
        (),
        "Dynamics of each part: p,m,f or as-written.",
        parse=parse_dynamics,
        default_text="as-written",
        is_in_manifest=False,  # which has a mapping of names to velocities
        group=SOUND,
    )
    jitter_s: float = option(
        0.0,
        "Standard deviation of note onsets in seconds.",
        flag="--jitter",
        default_text="0",
        group=SOUND,
    )
    tuning_cents: float = option(
        0.0,
        "Standard deviation of note tuning in cents.",
        flag="--tuning",
        default_text="0",
        group=SOUND,
    )
    humanise: bool = option(
        False, "Play parts that are on the grid, or of one velocity, as humans do.", group=STEMS
    )
    humanise_velocity: float = option(
        HUMAN_VELOCITY, "Standard deviation of the velocities of such parts.", group=STEMS
    )
    humanise_onset_s: float = option(
        HUMAN_ONSET_S,
        "Standard deviation of their onsets in seconds.",
        flag="--humanise-onset",
        group=STEMS,
    )
    drum_pieces: bool = option(
        False, "Also write the pieces of drum kits, which add up to the kits' stems.", group=STEMS
    )
    tracks_per_tar: int | None = option(
        None,
        "Write songs into tars, so many into each, and not into folders.",
        metavar="N",
        default_text="folders",
        is_in_manifest=False,  # which says it where there are tars, as `to_dict` has it
        group=STEMS,
    )

    def __post_init__(self) -> None:
        """Make values of what was given as text, and refuse values out of range."""
        settle(self)
        checks = self._checks_of_numbers() | self._checks_of_sound() | self._checks_of_players()
        for message, holds in checks.items():
            if not holds:
                raise UsageError(message)
        if self.splits.are_counts and self.n_songs not in (None, sum(self.splits.sizes)):
            raise UsageError(
                f"--songs {self.n_songs} is not the sum of --splits {self.splits}; leave one out"
            )
        if self.licence is not None:
            object.__setattr__(self, "licence", parse_licence(self.licence))
        if self.licence_ok is not None:
            object.__setattr__(self, "licence_ok", parse_licences(self.licence_ok))
        if self.band is not None:
            try:
                players(self.band)
            except KeyError as error:
                raise UsageError(f"--band: {error.args[0]}") from None

    @property
    def n_wanted(self) -> int | None:
        """The number of songs that was asked for; None if it is all that fit."""
        if self.n_songs is None and self.splits.are_counts:
            return int(sum(self.splits.sizes))
        return self.n_songs

    @property
    def is_produced(self) -> bool:
        """Whether something is done to stems after synthesis."""
        return self.effects != NONE or self.room != NONE or self.equalise

    @property
    def has_master(self) -> bool:
        """Whether songs have a master.flac."""
        return self.master is not Master.NONE or self.codec is not None

    def _checks_of_numbers(self) -> dict[str, bool]:
        """Return what must hold of the values of options by themselves."""
        lowest, highest = _FLUID_RATES_HZ
        return {
            "--songs must be at least 1": self.n_songs is None or self.n_songs >= 1,
            "--min-notes must be at least 1": self.min_notes >= 1,
            "--tracks-per-tar must be at least 1": (
                self.tracks_per_tar is None or self.tracks_per_tar >= 1
            ),
            "--min-stem-notes must be at least 1": self.min_stem_notes >= 1,
            "--target-lufs must be between -70 and 0": -70 < self.target_lufs <= 0,
            "--max-gain must be between 0 and 100": 0 <= self.max_gain_db <= 100,
            "--target-peak must be between -40 and 0": -40 <= self.target_peak_dbfs <= 0,
            "--tail must be between 0 and 60": 0 <= self.tail_s <= 60,
            "--max-duration must be positive and at most 7200": 0 < self.max_duration_s <= 7200,
            f"--sample-rate must be between {lowest} and {highest} and a multiple of {_STEPS_HZ}": (
                lowest <= self.sample_rate <= highest and self.sample_rate % _STEPS_HZ == 0
            ),
            "--channels must be 1 or 2": self.n_channels in (1, 2),
        }

    def _checks_of_sound(self) -> dict[str, bool]:
        """Return what must hold of options that decide channels, levels and effects together."""
        is_automix = self.mix_source is MixSource.AUTOMIX
        return {
            "--pan drawn needs --channels 2": self.pan is Pan.SCORE or self.n_channels == 2,
            "--pan drawn cannot be with --mix-source unsplit, which plays the scores as they are": (
                self.pan is Pan.SCORE or is_automix
            ),
            "--balance cannot be with --mix-source unsplit, which plays the scores as they are": (
                self.balance == EQUAL_STEMS or is_automix
            ),
            "--mix-source unsplit needs --patch-choice program: the unsplit rendering follows "
            "the score's programs": (is_automix or self.patch_choice is PatchChoice.PROGRAM),
            "--mix-source unsplit cannot be with --effects, --room or --equalise": (
                is_automix or not self.is_produced
            ),
            "--on-defect needs the audit: not with --no-audit": (
                self.audit or self.on_defect is OnDefect.KEEP
            ),
            "--on-defect redraw cannot be with --mix-source unsplit, which has one patch": (
                is_automix or self.on_defect is not OnDefect.REDRAW
            ),
        }

    def _checks_of_players(self) -> dict[str, bool]:
        """Return what must hold of the options that say how parts are played."""
        every = bool(self.dynamics or self.jitter_s or self.tuning_cents)
        is_automix = self.mix_source is MixSource.AUTOMIX
        is_default = self.humanise_velocity == HUMAN_VELOCITY
        return {
            "--jitter must be between 0 and 1 s": 0 <= self.jitter_s <= 1,
            "--tuning must be between 0 and 50 cents": 0 <= self.tuning_cents <= 50,
            "--dynamics names one twice": (
                len({dynamic.name for dynamic in self.dynamics}) == len(self.dynamics)
            ),
            "--tuning cannot be with --mix-source unsplit: there all parts share one tuning": (
                is_automix or not self.tuning_cents
            ),
            "--humanise-velocity must be between 0 and 40": 0 <= self.humanise_velocity <= 40,
            "--humanise-onset must be between 0 and 1 s": 0 <= self.humanise_onset_s <= 1,
            "--humanise cannot be with --jitter, --tuning or --dynamics, which are of every part": (
                not (self.humanise and every)
            ),
            "--drum-pieces cannot be with --mix-source unsplit, which has no stem of the kit": (
                is_automix or not self.drum_pieces
            ),
            "--drum-pieces cannot be with --effects, --room, --equalise or --dry: pieces would not "
            "add up to the kit": not (self.drum_pieces and (self.is_produced or self.dry)),
            "--humanise-velocity needs --humanise": self.humanise or is_default,
            "--humanise-onset needs --humanise": (
                self.humanise or self.humanise_onset_s == HUMAN_ONSET_S
            ),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values, as the manifest has them."""
        dynamics = {dynamic.name: dynamic.velocity for dynamic in self.dynamics}
        tars = {} if self.tracks_per_tar is None else {"tracks_per_tar": self.tracks_per_tar}
        return {**to_manifest(self), "dynamics": dynamics, **tars}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], dynamics: Sequence[Dynamic]) -> RenderConfig:
        """Return the options that a manifest describes.

        Parameters
        ----------
        content : mapping of str to object
            What `to_dict` gave, or a part of it.
        dynamics : sequence of Dynamic
            The dynamics in the order in which they were asked for, which a manifest does not keep.

        Raises
        ------
        UsageError
            For what this version does not know, naming the key.
        """
        others: dict[str, Any] = {"dynamics": tuple(dynamics)}
        if "tracks_per_tar" in content:
            n_songs = others["tracks_per_tar"] = content["tracks_per_tar"]
            if type(n_songs) is not int:
                raise UsageError(
                    f"config.tracks_per_tar is {n_songs!r}, which is no value of --tracks-per-tar"
                )
        values = {key: value for key, value in content.items() if key not in others}
        return from_manifest(cls, values, **others)


class SoundOptions(TypedDict, total=False):
    """Those options of `RenderConfig` that decide what a single song sounds like."""

    seed: int
    patch_choice: PatchChoice | str
    render_omitted: bool
    mix_source: MixSource | str
    target_lufs: float
    max_gain_db: float
    target_peak_dbfs: float
    tail_s: float
    max_duration_s: float
    sample_rate: int
    min_stem_notes: int
    n_channels: int
    pan: Pan | str
    balance: str
    drums: Drums | str
    effects: str
    room: str
    equalise: bool
    dynamics: Sequence[Dynamic]
    jitter_s: float
    tuning_cents: float
    humanise: bool
    humanise_velocity: float
    humanise_onset_s: float


class RenderOptions(SoundOptions, total=False):
    """The fields of `RenderConfig` as keyword arguments."""

    n_songs: int | None
    splits: Splits
    band: Sequence[str] | None
    min_notes: int
    near_duplicates: bool
    licence: str | None
    licence_ok: Sequence[str] | None
    drum_pieces: bool
    audit: bool
    on_defect: OnDefect | str
    master: Master | str
    codec: Codec | str | None
    dry: bool
    tracks_per_tar: int | None
