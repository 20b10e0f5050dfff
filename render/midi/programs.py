"""Which program a channel plays at each moment, and whether it plays drums.

Bank selects, resets and rhythm parts act as in FluidSynth, with what GM2 and XG have beyond it
(bank 120 under GM2, part modes under XG). A bank select counts from the next program change on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stemsmith.render.midi.streams import N_CHANNELS, Ordered
from stemsmith.render.midi.system import BankMode, PartMode, Reset, read_system

__all__ = ["Place", "Setting", "Timeline", "effective_systems"]

Place = tuple[int, int, int]  # tick, track and place of an event

_DRUM_CHANNEL: Final = 9
_DRUM_BANK: Final = 128
_BANK_MSB: Final = 0
_BANK_LSB: Final = 32
_XG_DRUMS: Final = (120, 126, 127)
_GM2_DRUMS: Final = 120
_GM2_MELODIES: Final = 121
_SYSTEM: Final = -1
_NEVER: Final = 1 << 62


class Setting(NamedTuple):
    """What a channel is set to."""

    program: int
    bank: int
    is_drum: bool


def effective_systems(events: Iterable[Ordered]) -> list[tuple[Ordered, Reset | PartMode]]:
    """Return the resets and part modes of a device that its mode at the time obeys, by time."""
    mode = BankMode.POWER_ON
    effective = []
    known = ((event, read_system(event.data)) for event in sorted(events))
    for event, message in known:
        if isinstance(message, Reset):
            mode = message.mode
        if message is not None and (
            message.mode is mode or (message.mode is BankMode.GS and mode is BankMode.POWER_ON)
        ):
            effective.append((event, message))
    return effective


class _Bank:
    """The bank of a channel as FluidSynth keeps it: 128 and more are drums."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self.reset(BankMode.POWER_ON)

    def reset(self, mode: BankMode) -> None:
        self._mode = mode
        self.msb = 0
        self.set_rhythm(self._channel == _DRUM_CHANNEL)

    def set_rhythm(self, is_rhythm: bool) -> None:
        self._is_rhythm = is_rhythm
        self._bank = _DRUM_BANK if is_rhythm else 0

    @property
    def is_drum(self) -> bool:
        return self._bank >= _DRUM_BANK

    def select(self, control: int, value: int) -> None:
        """Take a bank select; it counts from the next program change on."""
        mode = self._mode
        if control == _BANK_MSB:
            self.msb = value
        if mode is BankMode.XG:
            if control == _BANK_MSB:
                self._is_rhythm = value in _XG_DRUMS
            if self._is_rhythm:
                self._bank = _DRUM_BANK
            elif control == _BANK_LSB:
                self._bank = value
        elif mode is BankMode.GM2:
            if control == _BANK_MSB and value in (_GM2_DRUMS, _GM2_MELODIES):
                self.set_rhythm(value == _GM2_DRUMS)
        elif mode is not BankMode.GM and control == _BANK_MSB:
            is_gm2_drums = value == _GM2_DRUMS and mode is BankMode.POWER_ON
            self._bank = value + (_DRUM_BANK if self._is_rhythm or is_gm2_drums else 0)


class _Changes:
    """Programs by the place from which they hold."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._settings: list[tuple[int, int]] = []

    def add(self, place: Place, program: int, bank: int) -> None:
        self._places.append(place)
        self._settings.append((program, bank))

    def at(self, place: Place) -> tuple[Place, tuple[int, int]]:
        """Return the last change at a place: its own place, program and bank."""
        last = bisect_right(self._places, place) - 1
        if last < 0:
            return (-1, -1, -1), (0, 0)
        return self._places[last], self._settings[last]


class Timeline:
    """The programs of one line.

    The program of a note is that of the last change in its own track or in a track that plays no
    notes on the line; a track without any program change follows the other tracks of the line.

    Parameters
    ----------
    line : int
        Number of the line.
    controls, changes : sequence of Ordered
        Controllers and program changes of the line.
    systems : sequence
        What `effective_systems` says of its device.
    players : container of int
        Tracks that play notes on the line.
    """

    def __init__(
        self,
        line: int,
        controls: Sequence[Ordered],
        changes: Sequence[Ordered],
        systems: Sequence[tuple[Ordered, Reset | PartMode]],
        players: frozenset[int],
    ) -> None:
        channel = line % N_CHANNELS
        self._is_drum_channel = channel == _DRUM_CHANNEL
        self._own: dict[int, _Changes] = {}
        self._common, self._all = _Changes(), _Changes()
        self._drum_places: list[Place] = []
        self._are_drums: list[bool] = []
        messages: dict[bytes, Reset | PartMode] = {e.data: m for e, m in systems}
        relevant = [
            event
            for event, message in systems
            if isinstance(message, Reset) or message.channel == channel
        ]
        selects = [e for e in controls if e.data[0] >> 4 == 0xB and e.data[1] in (0, 32)]
        bank = _Bank(channel)
        for event in sorted([*selects, *changes, *relevant]):
            kind, place = event.data[0] >> 4, event[:3]
            if kind == 0xB:
                bank.select(event.data[1], event.data[2])
                continue
            if kind == 0xC:
                self._add(event.track, place, event.data[1], bank.msb, players)
            else:
                message = messages[event.data]
                if isinstance(message, Reset):
                    bank.reset(message.mode)
                else:
                    bank.set_rhythm(message.is_drum)
                if message.mode is not BankMode.XG or isinstance(message, Reset):
                    self._add(_SYSTEM, place, 0, 0, players)
            self._drum_places.append(place)
            self._are_drums.append(bank.is_drum)

    def _add(
        self, donor: int, place: Place, program: int, bank: int, players: frozenset[int]
    ) -> None:
        if donor == _SYSTEM or donor not in players:
            self._common.add(place, program, bank)
        if donor != _SYSTEM:
            self._own.setdefault(donor, _Changes()).add(place, program, bank)
        self._all.add(place, program, bank)

    def next_tick(self, place: Place) -> int:
        """Return the tick of the first change of anything on the line behind a place."""
        following = bisect_right(self._drum_places, place)
        return self._drum_places[following][0] if following < len(self._drum_places) else _NEVER

    def at(self, track: int, place: Place) -> Setting:
        """Return what a track's note at a place is played with."""
        own = self._own.get(track)
        if own is None:
            _, (program, bank) = self._all.at(place)
        else:
            _, (program, bank) = max(own.at(place), self._common.at(place))
        last = bisect_right(self._drum_places, place) - 1
        is_drum = self._are_drums[last] if last >= 0 else self._is_drum_channel
        return Setting(program, bank, is_drum)
