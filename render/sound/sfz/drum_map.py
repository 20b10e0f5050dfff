"""What a kit plays for a General MIDI drum that it lacks: the nearest other drum of the kind."""

from __future__ import annotations

from functools import partial
from typing import Final

__all__ = ["DRUM_FALLBACKS"]

_TOMS: Final = (41, 43, 45, 47, 48, 50)
_CRASHES: Final = (49, 57)


def _distance(a: int, b: int) -> tuple[int, int]:
    return abs(a - b), b


# By key (General MIDI Level 1, percussion key map), the keys to try instead, best first.
DRUM_FALLBACKS: Final[dict[int, tuple[int, ...]]] = {
    35: (36,),  # acoustic bass drum, bass drum 1
    36: (35,),
    37: (38, 40),  # side stick
    38: (40,),  # acoustic and electric snare
    40: (38,),
    42: (44, 46),  # closed hi-hat, pedal, open
    44: (42, 46),
    46: (44, 42),
    **{tom: tuple(sorted(set(_TOMS) - {tom}, key=partial(_distance, tom))) for tom in _TOMS},
    49: (57,),  # crash 1 and 2
    57: (49,),
    52: (*_CRASHES, 55),  # Chinese cymbal
    55: (*_CRASHES, 52),  # splash
    51: (59, 53),  # ride 1 and 2, and its bell
    59: (51, 53),
    53: (51, 59),
}
