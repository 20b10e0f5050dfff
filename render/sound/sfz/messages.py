"""What an SFZ instrument is told of a part: notes that it has, controllers, and the pitch wheel.

sfizz bends by what the file says (200 cents each way if it says nothing) and knows no registered
parameter. The score's own range (RPN 0) is put into the positions of the wheel; what lies beyond
the range of the file is cut. Program changes, bank selects, aftertouch, system exclusives and the
tunings of RPN 1 to 4 are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Int32s, Int64s
from stemsmith.render.midi.channel import (
    BANK_SELECTS,
    DATA_LSB,
    DATA_MSB,
    NRPN,
    RESET_CONTROLLERS,
    RPN_LSB,
    RPN_MSB,
)
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sample_folder import Unplayable
from stemsmith.render.sound.sfz.instrument import SfzInstrument
from stemsmith.render.sound.sfz.sampler import CONTROLLER, NOTE_OFF, NOTE_ON, WHEEL

__all__ = ["messages_of"]

_MAX_LOST: Final = 0.1  # share of a part's notes that an instrument may have no region for
_PARAMETERS: Final = frozenset({DATA_MSB, DATA_LSB, *NRPN, RPN_LSB, RPN_MSB})
_BEND_CENTS: Final = 200  # of a score that says nothing
_CENTRE: Final = 8192
_NO_PARAMETER: Final = (127, 127)


def messages_of(instrument: SfzInstrument, events: Sequence[Event], frames: Int64s) -> Int32s:
    """Return what sfizz is told.

    Parameters
    ----------
    instrument : SfzInstrument
        The instrument that plays the part.
    events : sequence of Event
        All messages of the part, on one channel, by time.
    frames : numpy.ndarray
        (n_events,) sample of each.

    Returns
    -------
    numpy.ndarray
        (n_messages, 4) sample, kind, and two numbers that the kind gives a meaning to. A note
        without a region is not among them: its key may be one that switches articulations.

    Raises
    ------
    Unplayable
        If there is no region for more than a tenth of the notes.
    """
    _check_notes(instrument, events)
    told = list(_Wheel(instrument).messages(events, frames.tolist()))
    return np.array(told, np.int32).reshape(-1, 4)


def _check_notes(instrument: SfzInstrument, events: Sequence[Event]) -> None:
    struck = np.array([e.data[1:3] for e in events if _is_note_on(e.data)], "S2")
    keys, velocities = struck.view(np.uint8).reshape(-1, 2).T.astype(np.int64)
    lost = keys[~instrument.plays(keys, velocities)]
    if len(lost) > _MAX_LOST * len(keys):
        found, counts = np.unique(lost, return_counts=True)
        raise Unplayable(
            f"{instrument.path}: has no region for {len(lost)} of {len(keys)} notes, such as "
            f"{counts.max()} of key {found[counts.argmax()]}"
        )


def _is_note_on(data: bytes) -> bool:
    return data[0] >> 4 == 0x9 and data[2] > 0


class _Wheel:
    """Follows a channel's bend range, and hands on what sfizz understands."""

    def __init__(self, instrument: SfzInstrument) -> None:
        self._instrument = instrument
        self._parameter = _NO_PARAMETER
        self._position = 0
        self._range = [_BEND_CENTS // 100, _BEND_CENTS % 100]  # semitones, cents

    def messages(
        self, events: Sequence[Event], frames: Sequence[int]
    ) -> Iterator[tuple[int, int, int, int]]:
        """Yield sample, kind and numbers of each message."""
        sent_keys = self._instrument.sent_keys
        sounding: dict[int, int] = {}
        for frame, (_, data) in zip(frames, events, strict=True):
            kind = data[0] >> 4
            if _is_note_on(data):
                if self._instrument.plays(data[1], data[2]):
                    sounding[data[1]] = sounding.get(data[1], 0) + 1
                    yield frame, NOTE_ON, sent_keys[data[1]], data[2]
            elif kind in (0x8, 0x9):
                if sounding.get(data[1]):
                    sounding[data[1]] -= 1
                    yield frame, NOTE_OFF, sent_keys[data[1]], data[2] if kind == 0x8 else 0
            elif kind == 0xE:
                self._position = (data[1] | data[2] << 7) - _CENTRE
                yield frame, WHEEL, self._bent(), 0
            elif kind == 0xB:
                if data[1] in _PARAMETERS:
                    if self._follow(data[1], data[2]):
                        yield frame, WHEEL, self._bent(), 0
                elif data[1] not in BANK_SELECTS:
                    yield frame, CONTROLLER, data[1], data[2]
                if data[1] == RESET_CONTROLLERS:
                    self._position = 0
                    yield frame, WHEEL, 0, 0

    def _follow(self, controller: int, value: int) -> bool:
        """Follow the controllers of RPN 0; return whether its range is set."""
        if controller == RPN_MSB:
            self._parameter = (value, self._parameter[1])
        elif controller == RPN_LSB:
            self._parameter = (self._parameter[0], value)
        elif controller in NRPN:
            self._parameter = _NO_PARAMETER
        elif self._parameter == (0, 0):
            self._range[controller == DATA_LSB] = value
            return True
        return False

    def _bent(self) -> int:
        """Return the position of the wheel that bends by as much as the score wants."""
        down, up = self._instrument.bend_cents
        reach = up if self._position > 0 else -down
        if not reach:
            return 0
        wanted = self._position * (100 * self._range[0] + self._range[1])
        return int(min(max(round(wanted / reach), -_CENTRE + 1), _CENTRE - 1))
