"""Rooms: impulse responses of shoeboxes by pyroomacoustics (extra `effects`), and those of files.

A room adds reflections to what a stem was. The direct sound stays where and what it is: the time
that it takes to a microphone is left out, so that labels stay right, and its level is 1 in every
channel, so that a stereo stem keeps its place.

Reflections are those of Allen & Berkley (1979, "Image method for efficiently simulating
small-room acoustics", JASA 65): all images that come within the decay time. As there, what lies
below 100 Hz is taken off, since images of one sign would add up to a rumble; and what lies above
a drawn frequency, since walls and instruments reflect and radiate less of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.signal
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, UsageError, optional_package
from stemsmith.mixing.level.spans import Spans, whole_if_none, with_tails
from stemsmith.mixing.production.parameters import Parameters, draw_evenly, draw_in_octaves

__all__ = [
    "SPEED_M_S",
    "Position",
    "Room",
    "convolve",
    "decay_time_s",
    "draw_position",
    "draw_room",
    "impulse_response",
    "read_impulse_response",
]

Position = tuple[float, float, float]

SPEED_M_S: Final = 343.0  # of sound
_SIZES_M: Final = ((4.0, 10.0), (3.5, 8.0), (2.5, 4.5))
_RT60_S: Final = (0.2, 0.7)
_SPACING_M: Final = (0.2, 0.5)
_BRIGHTNESS_HZ: Final = (3000.0, 8000.0)
_DISTANCES_M: Final = (0.4, 1.6)
_WALL_M: Final = 0.5  # nearest that anything comes to a wall
_LOWEST_HZ: Final = 100.0
_HIGHEST: Final = 0.45  # of the sample rate: the brightness that audio can hold
_FRACTIONAL_TAPS: Final = 40  # of pyroomacoustics' 81, before the time of arrival
_DECAY_DB: Final = (-5.0, -25.0)  # T20 of ISO 3382
_LONGEST_S: Final = 30  # of an impulse response in a file
_CORRECTIONS: Final = 3  # of the decay time, which is not that of one straight line
_QUIETEST_TAP: Final = 1e-5  # of the direct sound: -100 dB


@dataclass(frozen=True, slots=True)
class Room(Parameters):
    """A shoebox with two microphones, or for mono one between them.

    Attributes
    ----------
    size_m : tuple of float
        Length, width and height in metres.
    rt60_s : float
        Time in seconds in which reflections decay by 60 dB.
    microphone_m : tuple of float
        Place in the middle of the two microphones, in metres from a corner.
    spacing_m : float
        Distance of the microphones from each other in metres.
    brightness_hz : float
        Frequency above which reflections fall by 6 dB an octave.
    """

    size_m: Position
    rt60_s: float
    microphone_m: Position
    spacing_m: float
    brightness_hz: float

    @property
    def absorption(self) -> float:
        """Share of the energy that every wall takes, by Eyring's formula."""
        length, width, height = self.size_m
        surface_m2 = 2 * (length * width + length * height + width * height)
        volume_m3 = length * width * height
        return 1 - math.exp(-24 * math.log(10) * volume_m3 / (SPEED_M_S * surface_m2 * self.rt60_s))


def draw_room(rng: np.random.Generator) -> Room:
    """Draw the room of a song."""
    length, width, height = (draw_in_octaves(rng, *limits) for limits in _SIZES_M)
    return Room(
        size_m=(length, width, height),
        rt60_s=draw_in_octaves(rng, *_RT60_S),
        microphone_m=(
            draw_evenly(rng, 0.35 * length, 0.65 * length),
            draw_evenly(rng, 0.35 * width, 0.65 * width),
            draw_evenly(rng, 1.1, 1.7),
        ),
        spacing_m=draw_evenly(rng, *_SPACING_M),
        brightness_hz=draw_in_octaves(rng, *_BRIGHTNESS_HZ),
    )


def draw_position(room: Room, rng: np.random.Generator) -> Position:
    """Draw where in a room a part plays: around the microphones, and away from the walls."""
    angle = rng.uniform(0, 2 * math.pi)
    distance_m = draw_in_octaves(rng, *_DISTANCES_M)
    height_m = float(rng.uniform(0.8, 1.6))
    x, y, _ = room.microphone_m
    place = (x + distance_m * math.cos(angle), y + distance_m * math.sin(angle), height_m)
    inside = [
        float(f"{min(max(metres, _WALL_M), size - _WALL_M):.3f}")
        for metres, size in zip(place, room.size_m, strict=True)
    ]
    return inside[0], inside[1], inside[2]


def _pyroomacoustics() -> Any:
    return optional_package("pyroomacoustics", "effects", "rooms need")


@lru_cache(maxsize=16)
def impulse_response(
    room: Room, position_m: Position, sample_rate: int, n_channels: int
) -> Float32s:
    """Return what a room makes of a click at a place.

    Parameters
    ----------
    room : Room
        The room and its microphones.
    position_m : tuple of float
        Place of the click in metres from a corner.
    sample_rate : int
        Sample rate in Hz.
    n_channels : int
        1, or 2 for both microphones.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_taps) float32, read-only. The first tap is the direct sound: 1. The decay
        time is the room's, as `decay_time_s` measures it after the direct sound.

    Raises
    ------
    UsageError
        If pyroomacoustics is not installed.
    """
    x, y, z = room.microphone_m
    sides = (0.0,) if n_channels == 1 else (-0.5, 0.5)
    reflections = [
        _reflections(room, position_m, (x, y + side * room.spacing_m, z), sample_rate)
        for side in sides
    ]
    taps = np.zeros((n_channels, max(map(len, reflections)) + 1), np.float32)
    taps[:, 0] = 1
    for channel, reflected in zip(taps, reflections, strict=True):
        channel[1 : len(reflected) + 1] += reflected
    taps.setflags(write=False)
    return taps


def _reflections(
    room: Room, position_m: Position, microphone_m: Position, sample_rate: int
) -> Float32s:
    """Return what comes after the direct sound, against that: its first tap is one sample later."""
    with_walls, direct = (
        _by_images(room, position_m, microphone_m, sample_rate, order)
        for order in (math.ceil(SPEED_M_S * room.rt60_s / min(room.size_m)), 0)
    )
    with_walls[: len(direct)] -= direct
    arrival = round(math.dist(position_m, microphone_m) / SPEED_M_S * sample_rate)
    late = with_walls[_FRACTIONAL_TAPS + arrival + 1 :] / direct.sum()
    late = _filtered(late[: round(1.5 * room.rt60_s * sample_rate)], room, sample_rate)
    # Walls alone do not give the time that Eyring's formula wants of them: sound between the far
    # walls of a box meets fewer of them. The air takes the rest.
    seconds = np.arange(len(late)) / sample_rate
    for _ in range(_CORRECTIONS):
        found_s = decay_time_s(late, sample_rate)
        late *= np.exp(-math.log(1000) * (1 / room.rt60_s - 1 / found_s) * seconds)
    late = late[: round(room.rt60_s * sample_rate)]
    audible = np.flatnonzero(np.abs(late) > _QUIETEST_TAP)
    n_taps = audible[-1] + 1 if len(audible) else 0
    return np.asarray(late[:n_taps], np.float32)


def _by_images(
    room: Room, position_m: Position, microphone_m: Position, sample_rate: int, order: int
) -> Any:
    acoustics = _pyroomacoustics()
    constants = acoustics.constants
    # One thread, as sums of float32 depend on how many there are; no filter that looks ahead.
    wanted = {"num_threads": 1, "rir_hpf_enable": False}
    before = {name: constants.get(name) for name in wanted}
    try:
        for name, value in wanted.items():
            constants.set(name, value)
        box = acoustics.ShoeBox(
            room.size_m,
            fs=sample_rate,
            materials=acoustics.Material(room.absorption),
            max_order=order,
            air_absorption=False,
        )
        box.set_sound_speed(SPEED_M_S)
        box.add_source(list(position_m))
        box.add_microphone(np.array(microphone_m)[:, np.newaxis])
        box.compute_rir()
        return np.asarray(box.rir[0][0], np.float64)
    finally:
        for name, value in before.items():
            constants.set(name, value)


def _filtered(taps: Any, room: Room, sample_rate: int) -> Any:
    highest_hz = min(room.brightness_hz, _HIGHEST * sample_rate)
    low_cut = scipy.signal.butter(2, _LOWEST_HZ, "highpass", fs=sample_rate, output="sos")
    high_cut = scipy.signal.butter(1, highest_hz, "lowpass", fs=sample_rate, output="sos")
    return scipy.signal.sosfilt(np.concatenate([low_cut, high_cut]), taps)


def decay_time_s(taps: Any, sample_rate: int) -> float:
    """Return the time in which an impulse response decays by 60 dB.

    Parameters
    ----------
    taps : numpy.ndarray
        (n_taps,) of one channel.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    float
        In seconds, from the straight line through Schroeder's curve from -5 to -25 dB (T20 of
        ISO 3382).
    """
    energy = np.cumsum(np.asarray(taps, np.float64)[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(np.maximum(energy / energy[0], 1e-30))
    first, last = (int(np.argmax(level_db < limit)) for limit in _DECAY_DB)
    seconds = np.arange(first, last) / sample_rate
    slope_db_s = np.polyfit(seconds, level_db[first:last], 1)[0]
    return float(-60 / slope_db_s)


def convolve(audio: Float32s, taps: Float32s, spans: Spans | None = None) -> Float32s:
    """Play audio in a room.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32.
    taps : numpy.ndarray
        (n_channels, n_taps) impulse response, or (1, n_taps) for all channels.
    spans : sequence of (int, int), optional
        Where the audio may be other than zero, which saves time; by default everywhere. The result
        may be so in these spans with tails of n_taps samples.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32; what rings on after the end is cut.
    """
    n_channels, n_samples = audio.shape
    n_taps = taps.shape[1]
    wet = np.zeros((n_channels, n_samples), np.float32)
    for start, stop in with_tails(whole_if_none(spans, n_samples), n_taps, n_samples):
        if stop > start:
            stretch = scipy.signal.oaconvolve(
                audio[:, start:stop], np.broadcast_to(taps, (n_channels, n_taps)), axes=1
            )
            wet[:, start:stop] = stretch[:, : stop - start]
    return wet


def read_impulse_response(path: Path, sample_rate: int) -> Float32s:
    """Read a measured impulse response, so that its direct sound is the first tap.

    Parameters
    ----------
    path : Path
        Sound file of one or two channels.
    sample_rate : int
        Sample rate in Hz that the audio has.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_taps) float32. What comes before the largest tap of any channel, which is
        the direct sound, is cut, and this tap is 1.

    Raises
    ------
    UsageError
        If the file cannot be read, is silent, or has another sample rate or more channels.
    """
    try:
        found = audio_info(path)
        if found.sample_rate != sample_rate:
            raise UsageError(
                f"{path}: an impulse response of {found.sample_rate} Hz; resample it to "
                f"{sample_rate} Hz"
            )
        if found.n_channels > 2 or found.n_samples > _LONGEST_S * sample_rate:
            raise UsageError(
                f"{path}: not an impulse response of one or two channels and at most {_LONGEST_S} s"
            )
        taps = read_excerpt(path, 0, found.n_samples)
    except InvalidCorpus as error:
        raise UsageError(str(error)) from error
    loudest = np.abs(taps).max(axis=0)
    peak = float(loudest.max()) if loudest.size else 0.0
    if not 0 < peak < np.inf:
        raise UsageError(f"{path}: not an impulse response: silent, or not finite")
    return np.ascontiguousarray(taps[:, int(loudest.argmax()) :] / np.float32(peak))
