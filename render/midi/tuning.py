"""Tuning of single notes by MIDI: tuning program 0, whose keys are tuned before they are struck.

FluidSynth follows the MIDI tuning standard's messages for single keys, and the registered
parameters (RPN) 3 and 4 that select a tuning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s

__all__ = ["tunable", "tuning_of", "with_tuning_selected"]

_SYSEX: Final = 0xF0
_RESETS: Final = (  # after maker and device
    (b"\x7e", b"\x09"),
    (b"\x41", b"\x42\x12\x40\x00\x7f"),
    (b"\x43", b"\x4c\x00\x00\x7e"),
)


def tunable(cents: Float64s, pitch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Keep keys within what the tuning standard has words for: 0 to just below 128 semitones."""
    keys = pitch.astype(np.float64)
    return np.clip(cents, -100 * keys, 100 * (127 - keys) + 99).astype(np.float32)


def with_tuning_selected(
    sent: Sequence[tuple[int, bytes]], channel: int
) -> Iterator[tuple[int, bytes]]:
    """Select a tuning before all messages, and again after every reset.

    Before them, since the score's own selection of a parameter (RPN) holds for what it sends.
    """
    yield from ((0, data) for data in _tuning_selected(channel))
    for frame, data in sent:
        yield frame, data
        if _is_reset(data):
            yield from ((frame, again) for again in _tuning_selected(channel))


def _is_reset(data: bytes) -> bool:
    """Tell whether a message is a system reset of General MIDI, GS or XG."""
    maker, content = data[1:2], data[3:]
    return data[0] == _SYSEX and any(
        maker == known and content.startswith(start) for known, start in _RESETS
    )


def _tuning_selected(channel: int) -> list[bytes]:
    """Return the messages that put a channel under tuning program 0 of bank 0 (RPN 4 and 3)."""
    status = 0xB0 | channel
    selected = [(c, v) for rpn in (4, 3) for c, v in ((101, 0), (100, rpn), (6, 0))]
    # Then no parameter, as at the beginning: a score's data entry must not go to the tuning.
    return [bytes((status, c, v)) for c, v in (*selected, (101, 127), (100, 127))]


def tuning_of(pitch: int, cents: float) -> bytes:
    """Return the MIDI tuning standard's message for a key: later notes only (not real time)."""
    semitones = pitch + cents / 100
    whole = min(max(math.floor(semitones), 0), 127)
    fraction = min(round((semitones - whole) * 16384), 16383)
    return bytes(
        (0xF0, 0x7E, 0x7F, 8, 7, 0, 0, 1, pitch, whole, fraction >> 7, fraction & 127, 0xF7)
    )
