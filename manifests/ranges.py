"""What values a column of records can have, by its name.

Names are the field's standard terms with their units, and so one of them means one thing in every
record. Somebody else may have written the file: a length of 2**62 samples or a path out of the
folder is found when it is read, and not where it does harm.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from stemsmith.manifests.splits import SPLITS

__all__ = ["LONGEST", "Interval", "TextRule", "interval_of", "text_rule_of"]

LONGEST: Final = 1 << 36  # samples of audio: as many as FLAC counts, 17 days at 44.1 kHz


class Interval(NamedTuple):
    """What a number may be: NaN, which says that nobody knows it, is none unless that is said.

    Attributes
    ----------
    least, greatest : float
        The bounds, which are allowed.
    is_nan_allowed : bool
        Whether NaN is a value.
    """

    least: float
    greatest: float
    is_nan_allowed: bool = False


class TextRule(NamedTuple):
    """What the text of a column must be.

    Attributes
    ----------
    pattern : str
        A regular expression as RE2 has it.
    is_offence : bool
        Whether text that has the pattern is wrong, and not text that lacks it.
    complaint : str
        What is wrong with other text, in words.
    """

    pattern: str
    is_offence: bool
    complaint: str


_COUNT: Final = Interval(0, LONGEST)
_PLACE: Final = Interval(-LONGEST, LONGEST)
_MIDI: Final = Interval(0, 127)
_NUMBERS: Final = {
    "sample_rate": Interval(1, 1 << 24),
    "n_channels": Interval(1, 2),
    "program": Interval(0, 128),
    "stream": Interval(0, 1 << 16),
    "frame": _COUNT,
    "start": _PLACE,
    "end": _PLACE,
    "shift": _PLACE,
    "n_added": _PLACE,  # cut, where negative
    "power": Interval(0, 1e30),
    "k_power": Interval(0, 1e30),
    "note_onset": _COUNT,
    "note_offset": _COUNT,
    "note_sounding_offset": _COUNT,
    "note_pitch": _MIDI,
    "pan": _MIDI,
    "note_velocity": _MIDI,
    "level_db": Interval(-math.inf, 1000),  # of a key that is silent
    "tempo_bpm": Interval(1e-3, 1e9),
    "bar_quarters": Interval(1e-3, 1e6),
    "note_cents": Interval(-1e6, 1e6),
    # Of an instrument whose voices start when they like, or of a note that it does not play.
    "attack_s": Interval(0, 1e9, is_nan_allowed=True),
    "release_s": Interval(0, 1e9, is_nan_allowed=True),
}
_ENDINGS: Final = {
    "_db": Interval(-1000, 1000),
    "_dbfs": Interval(-1000, 1000),
    "_lufs": Interval(-1000, 1000),
    "_lu": Interval(-1000, 1000),
    "_s": Interval(-1e9, 1e9),
    "_power": Interval(0, 1e30),
}
_PATH: Final = TextRule(
    r"(?s)\x00|^/|^(.*/)?\.\.(/.*)?$|^$", True, "which leads out of the corpus, or is no path"
)
_LABEL: Final = TextRule(r"[/\x00]|^\.{0,2}$", True, "which is not the name of a file")
_TEXTS: Final = {
    "split": TextRule(f"^({'|'.join(SPLITS)})$", False, f"not {' or '.join(SPLITS)}"),
    "path": _PATH,
    "mix_path": _PATH,
    "master_path": _PATH,
    "dry_path": _PATH,
    "midi_path": _PATH,
    "source": _PATH,
    "track": _LABEL,
    "stem": _LABEL,
    "mixture_id": _LABEL,
    "group": _LABEL,
    "mono_from": TextRule("^(sum|left|right)$", False, "not sum, left or right"),
}


def interval_of(name: str) -> Interval | None:
    """Return what the numbers of a column may be; None if anything."""
    if name in _NUMBERS:
        return _NUMBERS[name]
    if name.startswith("n_"):
        return _COUNT
    return next((found for end, found in _ENDINGS.items() if name.endswith(end)), None)


def text_rule_of(name: str) -> TextRule | None:
    """Return what the text of a column must be; None if anything."""
    return _TEXTS.get(name)
