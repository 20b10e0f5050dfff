"""Names of notes: ``F#4``, or ``F4#`` as Bach10 spells it; middle C is C4, MIDI number 60."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["name_of_pitch", "pitch_of"]

_SHARPS: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS: Final = {name: step for step, name in enumerate(_SHARPS)}
_ACCIDENTALS: Final = {"#": 1, "b": -1, "": 0}
_NAME: Final = re.compile(r"([A-G])([#b]?)(-?[0-9]{1,2})([#b]?)")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")


def pitch_of(text: str) -> int | None:
    """Return the MIDI number of a note.

    Parameters
    ----------
    text : str
        A MIDI number from 0 to 127, or a name: a letter in upper case and an octave, with one
        accidental (``#`` or ``b``) before or after the octave.

    Returns
    -------
    int or None
        0 to 127; None if the text is no note, or one out of this range.

    Examples
    --------
    >>> pitch_of("F#4"), pitch_of("F4#"), pitch_of("Bb-1"), pitch_of("60"), pitch_of("H4")
    (66, 66, 10, 60, None)
    """
    pitch = -1
    if _NUMBER.fullmatch(text):
        pitch = int(text)
    elif match := _NAME.fullmatch(text):
        letter, before, octave, after = match.groups()
        if not (before and after):
            pitch = 12 * (int(octave) + 1) + _STEPS[letter] + _ACCIDENTALS[before or after]
    return pitch if 0 <= pitch <= 127 else None


def name_of_pitch(pitch: int) -> str:
    """Return the name of a MIDI number with a sharp, if any, after the octave, as Bach10 has it.

    Examples
    --------
    >>> name_of_pitch(66), name_of_pitch(60)
    ('F4#', 'C4')
    """
    octave, step = divmod(pitch, 12)
    return f"{_SHARPS[step][0]}{octave - 1}{_SHARPS[step][1:]}"
