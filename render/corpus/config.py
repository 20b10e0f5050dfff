"""What decides the content of a corpus: every option that changes a byte of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.programs import players
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.midi.score import DEFAULT_MAX_DURATION_S
from stemsmith.render.sound.patches import PatchChoice

__all__ = ["DEFAULT_BAND", "MixSource", "RenderConfig", "Splits", "parse_band"]

DEFAULT_BAND: Final = ("piano", "bass", "guitar", "drums")
_FLUID_RATES_HZ: Final = (8000, 96000)
_SIZE: Final = r"\d{1,9}(/\d{1,9}|\.\d{1,9})?|\.\d{1,9}"
_STEPS_HZ: Final = 10  # of the envelopes


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


@dataclass(frozen=True, slots=True)
class RenderConfig:
    """Options of `render`; defaults are Slakh's.

    Attributes
    ----------
    seed : int
        Of every random choice.
    n_songs : int or None
        Songs to draw; None takes all that fit.
    splits : Splits
        Train, validation, test.
    band : tuple of str or None
        Players a song must have; None takes any song.
    min_notes : int
        Notes each player must have.
    patch_choice : PatchChoice
        ``class`` or ``program``.
    render_omitted : bool
        Whether programs that Slakh leaves out are rendered.
    mix_source : MixSource
        ``automix`` or ``unsplit``.
    target_lufs : float
        Loudness of each stem before the uniform gain.
    max_gain_db : float
        Largest gain of a stem towards that loudness.
    target_peak_dbfs : float
        Highest sample peak of mixture and stems.
    tail_s : float
        Seconds after the last note.
    max_duration_s : float
        Longest score.
    sample_rate : int
        In Hz.

    Raises
    ------
    UsageError
        For a value out of range, naming the option.
    """

    seed: int = 0
    n_songs: int | None = None
    splits: Splits = Splits((Fraction(7, 10), Fraction(2, 10), Fraction(1, 10)))
    band: tuple[str, ...] | None = DEFAULT_BAND
    min_notes: int = 50
    patch_choice: PatchChoice = PatchChoice.CLASS
    render_omitted: bool = False
    mix_source: MixSource = MixSource.AUTOMIX
    target_lufs: float = -13.0
    max_gain_db: float = 30.0
    target_peak_dbfs: float = -1.0
    tail_s: float = 5.0
    max_duration_s: float = DEFAULT_MAX_DURATION_S
    sample_rate: int = 44100

    def __post_init__(self) -> None:
        lowest, highest = _FLUID_RATES_HZ
        checks = {
            "--songs must be at least 1": self.n_songs is None or self.n_songs >= 1,
            "--min-notes must be at least 1": self.min_notes >= 1,
            "--target-lufs must be between -70 and 0": -70 < self.target_lufs <= 0,
            "--max-gain must be between 0 and 100": 0 <= self.max_gain_db <= 100,
            "--target-peak must be between -40 and 0": -40 <= self.target_peak_dbfs <= 0,
            "--tail must be between 0 and 60": 0 <= self.tail_s <= 60,
            "--max-duration must be positive and at most 7200": 0 < self.max_duration_s <= 7200,
            f"--sample-rate must be between {lowest} and {highest} and a multiple of {_STEPS_HZ}": (
                lowest <= self.sample_rate <= highest and self.sample_rate % _STEPS_HZ == 0
            ),
            "--mix-source unsplit needs --patch-choice program: the unsplit rendering follows "
            "the score's programs": (
                self.mix_source is MixSource.AUTOMIX or self.patch_choice is PatchChoice.PROGRAM
            ),
        }
        for message, holds in checks.items():
            if not holds:
                raise UsageError(message)
        if self.splits.are_counts and self.n_songs not in (None, sum(self.splits.sizes)):
            raise UsageError(
                f"--songs {self.n_songs} is not the sum of --splits {self.splits}; leave one out"
            )
        if self.band is not None:
            try:
                players(self.band)
            except KeyError as error:
                raise UsageError(f"--band: {error.args[0]}") from None

    def to_dict(self) -> dict[str, str | int | float | bool | list[str] | None]:
        """Return the options as JSON values."""
        return {
            "seed": self.seed,
            "songs": self.n_songs,
            "splits": str(self.splits),
            "band": None if self.band is None else list(self.band),
            "min_notes": self.min_notes,
            "patch_choice": str(self.patch_choice),
            "render_omitted": self.render_omitted,
            "mix_source": str(self.mix_source),
            "target_lufs": self.target_lufs,
            "max_gain_db": self.max_gain_db,
            "target_peak_dbfs": self.target_peak_dbfs,
            "tail_s": self.tail_s,
            "max_duration_s": self.max_duration_s,
            "sample_rate": self.sample_rate,
        }


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
