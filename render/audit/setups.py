"""How a channel is set while notes are struck: what a note must be played with to sound the same.

Pedals are left out: they say when a note ends, which its label says too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Int64s
from stemsmith.render.midi.channel import (
    ALL_SOUND_OFF,
    DATA_LSB,
    DATA_MSB,
    NRPN,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
    SOSTENUTO,
    SUSTAIN,
    VOLUME,
)
from stemsmith.render.midi.smf import Event

__all__ = ["Setup", "Setups", "setups"]

Setup = tuple[bytes, ...]

_LEFT_OUT: Final = frozenset({0, 32, SUSTAIN, SOSTENUTO})  # banks, and pedals
# What "reset all controllers" leaves as it is (RP-015), and FluidSynth with it.
_KEPT: Final = frozenset({VOLUME, 10, *range(70, 80), *range(91, 96)})
_NO_PARAMETER: Final = (127, 127)


class Setups(NamedTuple):
    """The settings of a channel over time.

    Attributes
    ----------
    start : numpy.ndarray
        (n_setups,) sample from which each holds; the first is that of a channel that nobody has
        set, from before the beginning.
    messages : list of tuple of bytes
        (n_setups,) channel messages, on channel 0, and system exclusives that bring it about.
    """

    start: Int64s
    messages: list[Setup]


class _Settings:
    def __init__(self) -> None:
        self._controllers: dict[int, int] = {}
        self._parameters: dict[tuple[tuple[int, int], int], int] = {}
        self._selected = _NO_PARAMETER
        self._pressure: dict[int, bytes] = {}  # of the channel and of keys, and the bend
        self._exclusives: Setup = ()

    def read(self, data: bytes) -> None:
        kind = data[0] >> 4
        if kind == 0xB:
            self._control(data[1], data[2])
        elif kind == 0xA:
            self._pressure[data[1]] = bytes((0xA0, data[1], data[2]))
        elif kind in (0xD, 0xE):
            self._pressure[kind << 8] = bytes((kind << 4, *data[1:]))
        elif kind == 0xF:
            self._exclusives += (data,)

    def _control(self, number: int, value: int) -> None:
        if number in (RPN_LSB, RPN_MSB):
            msb, lsb = self._selected
            self._selected = (value, lsb) if number == RPN_MSB else (msb, value)
        elif number in NRPN:
            self._selected = _NO_PARAMETER
        elif number in (DATA_MSB, DATA_LSB):
            if self._selected != _NO_PARAMETER:
                self._parameters[self._selected, number] = value
        elif number == RESET_CONTROLLERS:
            self._controllers = {n: v for n, v in self._controllers.items() if n in _KEPT}
            self._pressure.clear()
        elif number < ALL_SOUND_OFF and number not in _LEFT_OUT:
            self._controllers[number] = value

    def messages(self) -> Setup:
        found = list(self._exclusives)
        found += [bytes((0xB0, n, v)) for n, v in sorted(self._controllers.items())]
        selected = _NO_PARAMETER
        for ((msb, lsb), number), value in sorted(self._parameters.items()):
            if selected != (msb, lsb):  # selecting it again would clear what was entered
                found += [bytes((0xB0, RPN_MSB, msb)), bytes((0xB0, RPN_LSB, lsb))]
                selected = msb, lsb
            found.append(bytes((0xB0, number, value)))
        return (*found, *(self._pressure[key] for key in sorted(self._pressure)))


def setups(events: Sequence[Event], frames: Int64s) -> Setups:
    """Return how a part's channel is set over time.

    Parameters
    ----------
    events : sequence of Event
        Channel messages of the part and system exclusives, in order.
    frames : numpy.ndarray
        (n_events,) sample of each.
    """
    channel = _Settings()
    start, messages = [-1], [()]
    found: list[Setup] = messages  # type: ignore[assignment]
    for event, frame in zip(events, frames.tolist(), strict=True):
        if event.data[0] >> 4 <= 0x9 or event.data[0] >> 4 == 0xC:
            continue
        channel.read(event.data)
        now = channel.messages()
        if now != found[-1]:
            if frame == start[-1]:
                found[-1] = now
            else:
                start.append(frame)
                found.append(now)
    return Setups(np.array(start, np.int64), found)
