"""Tuning by MIDI: of single notes, and of a channel.

Single notes have tuning program 0, whose keys are tuned before they are struck. FluidSynth follows
the MIDI tuning standard's messages for single keys, and the registered parameters (RPN) 3 and 4
that select a tuning. RPN 1 and 2 tune all keys of a channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.render.midi.channel import ChannelState, is_relevant
from stemsmith.render.midi.programs import effective_systems
from stemsmith.render.midi.smf import Event
from stemsmith.render.midi.streams import Ordered
from stemsmith.render.midi.system import BankMode, Reset

__all__ = ["channel_tuning", "tunable", "tuning_of", "with_tuning_selected"]

_SYSEX: Final = 0xF0
_RESETS: Final = (  # after maker and device
    (b"\x7e", b"\x09"),
    (b"\x41", b"\x42\x12\x40\x00\x7f"),
    (b"\x43", b"\x4c\x00\x00\x7e"),
)


def channel_tuning(events: Sequence[Event], channel: int) -> Float32s:
    """Return by how many semitones a channel is tuned as each of its notes begins.

    Parameters
    ----------
    events : sequence of Event
        All messages to the channel and all system exclusives, in playing order.
    channel : int
        The channel, from 0 to 15.

    Returns
    -------
    numpy.ndarray
        (n_notes,) float32, one for each note-on: coarse and fine tuning (RPN 2 and 1) together.
    """
    placed = [Ordered(place, 0, 0, event.data) for place, event in enumerate(events)]
    systems = effective_systems(event for event in placed if event.data[0] == _SYSEX)
    messages = {event.tick: message for event, message in systems}
    state, semitones = ChannelState(), []
    for place, (_, data) in enumerate(events):
        message = messages.get(place)
        if data[0] >> 4 == 0x9 and data[2] > 0:
            semitones.append(state.shift)
        elif is_relevant(data):
            state.control(data[1], data[2], len(semitones))
        elif isinstance(message, Reset):
            state.reset()
        elif message is not None and message.mode is BankMode.GS and message.channel == channel:
            state.reset_controllers()
    return np.array(semitones, np.float32)


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
