"""Taking notes out of the messages of a part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from stemsmith.render.midi.smf import Event

__all__ = ["without_strikes"]


def without_strikes(
    events: Iterable[Event], strikes: Collection[tuple[int, int, int]]
) -> Iterator[Event]:
    """Yield the events of a part without some of its notes.

    A note-off that belonged to a note that is left out goes with it. One that is left out may have
    ended another of the same key by striking it again: that one is then ended by a note-off.

    Parameters
    ----------
    events : iterable of Event
        In playing order.
    strikes : collection of (int, int, int)
        Tick, pitch and velocity of the note-ons to leave out.
    """
    sounding: set[tuple[int, int]] = set()  # channels and keys
    left_out: set[tuple[int, int]] = set()  # those whose last strike was left out
    for event in events:
        kind, channel = event.data[0] >> 4, event.data[0] & 0x0F
        key = channel, event.data[1]
        if kind == 0x9 and event.data[2] > 0:
            if (event.tick, event.data[1], event.data[2]) in strikes:
                if key in sounding:
                    yield Event(event.tick, bytes((0x80 | channel, event.data[1], 0)))
                sounding.discard(key)
                left_out.add(key)
                continue
            sounding.add(key)
            left_out.discard(key)
        elif kind in (0x8, 0x9):
            sounding.discard(key)
            if key in left_out:
                continue
        yield event
