"""Writing Standard MIDI Files from raw events.

Reference: Standard MIDI Files 1.0 (RP-001), MIDI Manufacturers Association.
"""

from __future__ import annotations

import struct
from typing import Final

from stemsmith.render.midi.smf import META, Event

__all__ = ["serialise"]

_MAX_DELTA: Final = 0x0FFFFFFF
_EMPTY_TEXT: Final = b"\xff\x01\0"


def serialise(division: int, tracks: list[list[Event]]) -> bytes:
    """Write a format 1 file.

    Parameters
    ----------
    division : int
        Time division of the header, as in `RawFile`.
    tracks : list of list of Event
        Events by time; end-of-track is added.

    Returns
    -------
    bytes
        The file, without running status, so that every event stands for itself.
    """
    chunks = [struct.pack(">4sLHHh", b"MThd", 6, 1, len(tracks), division)]
    for events in tracks:
        body = bytearray()
        now = 0
        for tick, data in events:
            delta = tick - now
            while delta > _MAX_DELTA:  # splitting may leave gaps longer than the format allows
                body += _encoded_varint(_MAX_DELTA) + _EMPTY_TEXT
                delta -= _MAX_DELTA
            body += _encoded_varint(delta)
            now = tick
            if data[0] == META:
                body += data[:2] + _encoded_varint(len(data) - 2) + data[2:]
            elif data[0] >= 0xF0:
                body += data[:1] + _encoded_varint(len(data) - 1) + data[1:]
            else:
                body += data
        body += b"\0\xff\x2f\0"
        chunks.append(struct.pack(">4sL", b"MTrk", len(body)) + bytes(body))
    return b"".join(chunks)


def _encoded_varint(value: int) -> bytes:
    encoded = [value & 0x7F]
    while value := value >> 7:
        encoded.append(0x80 | (value & 0x7F))
    return bytes(reversed(encoded))
