"""Tests of rooms: decay, direct sound, places, impulse responses of files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.production.room import (
    Room,
    convolve,
    decay_time_s,
    draw_position,
    draw_room,
    impulse_response,
    read_impulse_response,
)

RATE = 16000


@pytest.fixture
def acoustics() -> None:
    pytest.importorskip("pyroomacoustics", reason="needs the extra effects")


def noise(n_samples: int, n_channels: int = 1) -> np.ndarray:
    audio = np.random.default_rng(3).standard_normal((n_channels, n_samples))
    return (0.1 * audio).astype(np.float32)


def test_the_decay_time_of_a_falling_exponential_is_found() -> None:
    seconds = np.arange(RATE) / RATE
    envelope = 10 ** (-3 * seconds / 0.4)  # 60 dB in 0.4 s
    assert decay_time_s(envelope, RATE) == pytest.approx(0.4, rel=0.01)


@pytest.mark.usefixtures("acoustics")
@pytest.mark.parametrize("seed", range(4))
def test_reflections_decay_as_the_room_says(seed: int) -> None:
    room = draw_room(rng_for(seed, "room"))
    position = draw_position(room, rng_for(seed, "position"))
    for channel in impulse_response(room, position, RATE, 2):
        # Schroeder's curve of the reflections.
        taps = channel[1:]
        decay = np.cumsum(taps[::-1].astype(np.float64) ** 2)[::-1]
        level_db = 10 * np.log10(np.maximum(decay / decay[0], 1e-12))
        seconds = np.arange(len(taps)) / RATE
        is_fitted = (level_db < -5) & (level_db > -25)
        slope = np.polyfit(seconds[is_fitted], level_db[is_fitted], 1)[0]
        assert -60 / slope == pytest.approx(room.rt60_s, rel=0.05)


@pytest.mark.usefixtures("acoustics")
@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_direct_sound_comes_at_once_and_first(n_channels: int) -> None:
    room = draw_room(rng_for(0, "room"))
    position = draw_position(room, rng_for(0, "position"))
    taps = impulse_response(room, position, 44100, n_channels)
    assert len(taps) == n_channels
    np.testing.assert_array_equal(taps[:, 0], 1.0)
    # The nearest way by a wall is longer than the straight one; in ms of the difference.
    images = [np.array(position)]
    for axis, size in enumerate(room.size_m):
        for wall in (0.0, size):
            image = np.array(position)
            image[axis] = 2 * wall - image[axis]
            images.append(image)
    metres = np.array([np.linalg.norm(image - room.microphone_m) for image in images])
    if n_channels == 1:
        expected = round(float((metres[1:].min() - metres[0]) / 343 * 44100))
        loud = np.flatnonzero(np.abs(taps[0, 1:]) > 0.02)[0] + 1
        assert abs(int(loud) - expected) <= 4


@pytest.mark.usefixtures("acoustics")
def test_the_same_room_gives_the_same_bytes() -> None:
    room, position = draw_room(rng_for(5, "room")), (1.5, 1.5, 1.2)
    first = impulse_response(room, position, RATE, 2).copy()
    impulse_response.cache_clear()
    np.testing.assert_array_equal(first, impulse_response(room, position, RATE, 2))


@pytest.mark.usefixtures("acoustics")
def test_other_rooms_and_places_sound_other() -> None:
    rooms = [draw_room(rng_for(seed, "room")) for seed in (1, 2)]
    places = [draw_position(rooms[0], rng_for(seed, "position")) for seed in (1, 2)]
    first = impulse_response(rooms[0], places[0], RATE, 1)
    for room, place in ((rooms[0], places[1]), (rooms[1], places[0])):
        other = impulse_response(room, place, RATE, 1)
        n = min(first.shape[1], other.shape[1])
        assert np.abs(first[:, :n] - other[:, :n]).max() > 0.01


@pytest.mark.parametrize("seed", range(50))
def test_rooms_and_places_are_drawn_within_their_ranges(seed: int) -> None:
    room = draw_room(rng_for(seed, "room"))
    assert 0.2 <= room.rt60_s <= 0.7
    assert 0 < room.absorption < 1
    place = draw_position(room, rng_for(seed, "position"))
    for metres, size_m in zip(place, room.size_m, strict=True):
        assert 0.5 <= metres <= size_m - 0.5
    assert Room.from_json(room.to_json()) == room


def test_what_is_no_room_is_refused() -> None:
    for text in ("[]", "{}", '{"size_m": [1, 2, 3], "height": 2}', "{"):
        with pytest.raises(ValueError):
            Room.from_json(text)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_convolving_is_what_the_textbook_says(n_channels: int) -> None:
    audio, taps = noise(5000, n_channels), noise(300, 1)
    wet = convolve(audio, taps)
    assert wet.dtype == np.float32
    for channel, dry in zip(wet, audio, strict=True):
        expected = np.convolve(dry.astype(np.float64), taps[0].astype(np.float64))[:5000]
        np.testing.assert_allclose(channel, expected, atol=1e-6)


def test_silence_between_spans_is_skipped_and_their_tails_are_kept() -> None:
    audio, taps = np.zeros((1, 9000), np.float32), noise(400)
    spans = [(100, 1100), (1300, 2000), (5000, 5010), (8900, 9000)]
    for start, stop in spans:
        audio[:, start:stop] = noise(stop - start)
    np.testing.assert_allclose(convolve(audio, taps, spans), convolve(audio, taps), atol=1e-6)
    assert not convolve(np.zeros((1, 0), np.float32), taps).size
    assert not convolve(audio, taps, []).any()


def test_a_click_is_an_impulse_response_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "click.wav"
    path.write_bytes(encode_wav(np.array([[0, 0, -0.5, 0]], np.float32), RATE))
    taps = read_impulse_response(path, RATE)
    np.testing.assert_array_equal(np.abs(taps), [[1, 0]])
    audio = noise(1000, 2)
    np.testing.assert_allclose(convolve(audio, -taps), -convolve(audio, taps))


@pytest.mark.parametrize(
    ("audio", "rate", "expected"),
    [
        (np.zeros((1, 100), np.float32), RATE, "not an impulse response: silent"),
        (np.zeros((1, 0), np.float32), RATE, "not an impulse response: silent"),
        (np.full((1, 9), np.inf, np.float32), RATE, "not an impulse response: silent, or not"),
        (np.ones((1, 100), np.float32), 44100, "an impulse response of 44100 Hz; resample it to"),
        (np.ones((3, 100), np.float32), RATE, "not an impulse response of one or two channels"),
    ],
)
def test_what_is_no_impulse_response_is_refused(
    tmp_path: Path, audio: np.ndarray, rate: int, expected: str
) -> None:
    path = tmp_path / "hall.wav"
    path.write_bytes(encode_wav(audio, rate))
    with pytest.raises(UsageError) as caught:
        read_impulse_response(path, RATE)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_a_missing_impulse_response_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.wav: cannot be read"):
        read_impulse_response(tmp_path / "none.wav", RATE)


def test_without_pyroomacoustics_one_line_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    impulse_response.cache_clear()
    with pytest.raises(UsageError) as caught:
        impulse_response(draw_room(rng_for(9, "room")), (1.0, 1.0, 1.0), RATE, 1)
    assert install_command("effects") in str(caught.value)


@pytest.mark.usefixtures("acoustics")
def test_what_a_room_reflects_is_low_passed() -> None:
    room = draw_room(rng_for(3, "room"))
    taps = impulse_response(room, draw_position(room, rng_for(3, "position")), 44100, 1)[0, 1:]
    frequency_hz, power = scipy.signal.welch(taps, 44100, nperseg=1024)
    middle = power[(frequency_hz > 500) & (frequency_hz < room.brightness_hz / 2)].mean()
    high = power[frequency_hz > 15_000].mean()
    assert 10 * np.log10(high / middle) < -6
