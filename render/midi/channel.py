"""What a channel of FluidSynth knows beside its program: pedals, mono mode, and tuning.

It departs from other synthesisers in two points. "Reset all controllers" also resets tunings, and
the mode messages (124 to 127) count on the first channel of a group only, at first channel 1, for
the whole group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stemsmith.render.midi.streams import N_CHANNELS, Ordered

__all__ = [
    "ALL_NOTES_OFF",
    "ALL_SOUND_OFF",
    "BANK_SELECTS",
    "DATA_LSB",
    "DATA_MSB",
    "DOWN",
    "EXPRESSION",
    "LEGATO",
    "MODES",
    "MODULATION",
    "MONO",
    "NRPN",
    "PAN",
    "RESET_CONTROLLERS",
    "RPN_LSB",
    "RPN_MSB",
    "SOSTENUTO",
    "SUSTAIN",
    "VOLUME",
    "ChannelState",
    "is_relevant",
    "mode_messages",
]

BANK_SELECTS: Final = (0, 32)  # MSB and LSB
MODULATION: Final = 1
DATA_MSB: Final = 6
VOLUME: Final = 7
PAN: Final = 10
EXPRESSION: Final = 11
DATA_LSB: Final = 38
SUSTAIN: Final = 64
SOSTENUTO: Final = 66
LEGATO: Final = 68
NRPN: Final = (98, 99)  # LSB and MSB
RPN_LSB: Final = 100
RPN_MSB: Final = 101
ALL_SOUND_OFF: Final = 120
RESET_CONTROLLERS: Final = 121
ALL_NOTES_OFF: Final = 123
MODES: Final = (124, 125, 126, 127)

_FINE: Final = 1
_COARSE: Final = 2
DOWN: Final = 64  # of a pedal, or of a mode that a pedal sets: from here on
_NO_PARAMETER: Final = 127
MONO: Final = 126
_POLY: Final = 127

_RELEVANT: Final = frozenset(
    {SUSTAIN, SOSTENUTO, LEGATO, ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF}
    | {DATA_MSB, DATA_LSB, *NRPN, RPN_LSB, RPN_MSB}
)


def is_relevant(data: bytes) -> bool:
    """Tell the controllers that decide when and how high notes sound from all other messages."""
    return data[0] >> 4 == 0xB and data[1] in _RELEVANT


def mode_messages(
    messages: Iterable[Ordered], resets: Iterable[Ordered]
) -> list[list[tuple[Ordered, bool]]]:
    """Return the mode messages that each channel of a device obeys, and whether they make it mono.

    Parameters
    ----------
    messages : iterable of Ordered
        Mode messages of all channels of the device.
    resets : iterable of Ordered
        Its system resets, which make one group of all channels.

    Returns
    -------
    list of list of (Ordered, bool)
        By channel. Channels that FluidSynth would leave without a group, and silent, stay as they
        were: nobody who sends "mono, one channel" means that no other channel may sound.
    """
    obeyed: list[list[tuple[Ordered, bool]]] = [[] for _ in range(N_CHANNELS)]
    # Of each group by its first channel: its size, whether omni is off, whether it is mono.
    groups = {0: (N_CHANNELS, False, False)}
    for event in sorted([*messages, *resets]):
        if event.data[0] >> 4 != 0xB:
            groups = {0: (N_CHANNELS, False, False)}
            continue
        first, number, size = event.data[0] & 0x0F, event.data[1], event.data[2]
        if first not in groups:
            continue
        _, is_omni_off, is_mono = groups[first]
        if number in (MONO, _POLY):
            is_mono = number == MONO
        else:
            is_omni_off = number == MODES[0]
        if is_omni_off and not is_mono:
            size = 1
        size = size or N_CHANNELS - first
        if first + size > N_CHANNELS or any(first < other < first + size for other in groups):
            continue
        groups[first] = (size, is_omni_off, is_mono)
        for channel in range(first, first + size):
            obeyed[channel].append((event, is_mono))
    return obeyed


class ChannelState:
    """The controllers of one channel.

    Attributes
    ----------
    is_sustained, is_sostenuto : bool
        Whether the pedal is down.
    sostenuto_number : int
        Strikes below this number are held by the sostenuto pedal.
    is_mono : bool
        Whether mode or legato let one note sound at a time.
    shift : float
        Semitones by which coarse and fine tuning move all keys.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Take a system reset."""
        self._is_poly_off = self._is_nrpn = False
        self.reset_controllers()

    def reset_controllers(self) -> None:
        """Take "reset all controllers"."""
        self.is_sustained = self.is_sostenuto = self._is_legato = False
        self.sostenuto_number = 0
        self._coarse, self._fine = 0, 0.0
        self._parameter = [_NO_PARAMETER, _NO_PARAMETER]
        self._data_msb = self._data_lsb = 0
        self.is_mono, self.shift = self._is_poly_off, 0.0

    def set_mode(self, is_mono: bool) -> None:
        """Take a mode message."""
        self._is_poly_off = is_mono
        self.is_mono = is_mono or self._is_legato

    def control(self, number: int, value: int, next_strike: int) -> None:
        """Take a controller; `next_strike` is the number of the next note."""
        if number == SUSTAIN:
            self.is_sustained = value >= DOWN
        elif number == SOSTENUTO:
            self.is_sostenuto = value >= DOWN
            if self.is_sostenuto:
                self.sostenuto_number = next_strike
        elif number == LEGATO:
            self._is_legato = value >= DOWN
            self.is_mono = self._is_poly_off or self._is_legato
        elif number == RESET_CONTROLLERS:
            self.reset_controllers()
        elif number in NRPN:
            self._is_nrpn = True
            self._data_msb = self._data_lsb = 0
        elif number in (RPN_LSB, RPN_MSB):
            self._is_nrpn = False
            self._parameter[number == RPN_MSB] = value
            self._data_msb = self._data_lsb = 0
        elif number in (DATA_MSB, DATA_LSB):
            if number == DATA_MSB:
                self._data_msb = value
            else:
                self._data_lsb = value
            self._tune()

    def _tune(self) -> None:
        if self._is_nrpn:
            return
        if self._parameter == [_COARSE, 0]:
            self._coarse = self._data_msb - 64
        elif self._parameter == [_FINE, 0]:
            self._fine = ((self._data_msb << 7 | self._data_lsb) - 8192) / 8192
        self.shift = self._coarse + self._fine
