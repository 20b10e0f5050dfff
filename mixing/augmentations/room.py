"""``room``: all sources of a mixture play in one room, each at a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.mixing.augmentation import (
    Augmentation,
    Decided,
    DrawRng,
    Parameter,
    SourceEffect,
    number,
    parameter,
)
from stemsmith.mixing.production.room import (
    SPEED_M_S,
    Room,
    convolve,
    draw_position,
    draw_room,
    impulse_response,
)

__all__ = ["AUGMENTATION", "InRoom", "Rooms"]

_SMALLEST_M: Final = 1.0
_LARGEST_M: Final = 50.0
# Reflections off the nearest walls within the decay time; the work grows with the third power.
_MOST_REFLECTIONS: Final = 120


def _within(low: float, high: float) -> Parameter:
    """Return the rule of three numbers of metres."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 3
            and all(type(metres) in (int, float) and low <= metres <= high for metres in value)
        )

    return Parameter(f"three numbers of metres from {low:g} to {high:g}", holds)


@dataclass(frozen=True)
class InRoom(SourceEffect):
    """Reflections of a shoebox, added to the direct sound, which stays as it is."""

    name = "room"
    size_m: list[float] = parameter(_within(_SMALLEST_M, _LARGEST_M))
    rt60_s: float = number(0.05, 5)
    microphone_m: list[float] = parameter(_within(0, _LARGEST_M))
    spacing_m: float = number(0, 5)
    brightness_hz: float = number(20, 100_000)
    position_m: list[float] = parameter(_within(0, _LARGEST_M))

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Convolve the audio with what the room makes of a click at the source's place."""
        sides = (-0.5, 0.5)
        x, y, z = self.microphone_m
        places = [self.position_m, *([x, y + side * self.spacing_m, z] for side in sides)]
        if not all(0 < a < b for place in places for a, b in zip(place, self.size_m, strict=True)):
            raise InvalidCorpus("room: the source or a microphone is not inside")
        if SPEED_M_S * self.rt60_s / min(self.size_m) > _MOST_REFLECTIONS:
            raise InvalidCorpus(f"room: a decay of {self.rt60_s:g} s in a room so small")
        length_m, width_m, height_m = self.size_m
        room = Room(
            size_m=(length_m, width_m, height_m),
            rt60_s=self.rt60_s,
            microphone_m=(x, y, z),
            spacing_m=self.spacing_m,
            brightness_hz=self.brightness_hz,
        )
        x, y, z = self.position_m
        return convolve(audio, impulse_response(room, (x, y, z), sample_rate, len(audio)))


class Rooms(Augmentation):
    """A room a mixture, and a place a source."""

    name = "room"
    summary = "one room a mixture, decay time 0.2 to 0.7 s, and a place in it for each source"
    effects = (InRoom,)
    place = 6
    packages = ("pyroomacoustics",)

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Draw the room of the mixture, and the place of the source."""
        room = draw_room((decided.rng_of_mixture or rng)())
        position_m = draw_position(room, rng())
        return (
            InRoom(
                size_m=list(room.size_m),
                rt60_s=room.rt60_s,
                microphone_m=list(room.microphone_m),
                spacing_m=room.spacing_m,
                brightness_hz=room.brightness_hz,
                position_m=list(position_m),
            ),
        )


AUGMENTATION: Final = Rooms()
