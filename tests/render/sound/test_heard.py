"""Which notes of a stem are heard: on signals that are written down here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.compass import Compass
from stemsmith.render.sound.heard import Expected, expected_levels, heard_notes

RATE = 44100
BLOCK = 64
Floats = npt.NDArray[np.float32]


def stem(*tones: tuple[int, int, float], n_samples: int = 4 * RATE) -> Floats:
    """Return tones of (start, length in samples, peak)."""
    audio = np.zeros(n_samples, np.float32)
    for start, length, peak in tones:
        wave = peak * np.cos(np.arange(length) * 2 * np.pi / 100)
        audio[start : start + length] += wave.astype(np.float32)
    return audio


def heard(
    onsets: list[int], audio: Floats, levels: list[float] | None = None, gain_db: float = 0.0
) -> list[bool]:
    expected = Expected(np.array(onsets, np.int64), np.array(levels or [0.0] * len(onsets)))
    return heard_notes(expected, audio[None], [(0, len(audio))], gain_db, RATE).tolist()


FIRST, SECOND = 100 * BLOCK, 1000 * BLOCK
SHORT = 2000  # samples


def db(level: float) -> float:
    return float(10 ** (level / 20))


@pytest.mark.parametrize(("below_db", "is_heard"), [(59.9, True), (60.1, False)])
def test_a_note_after_silence_is_heard_down_to_60_db_below_the_peak(
    below_db: float, is_heard: bool
) -> None:
    audio = stem((FIRST, SHORT, 1.0), (SECOND, SHORT, db(-below_db)))
    assert heard([FIRST, SECOND], audio) == [True, is_heard]


@pytest.mark.parametrize(("level_db", "is_heard"), [(-69.9, True), (-70.1, False)])
@pytest.mark.parametrize("gain_db", [0.0, 30.0, -12.0])
def test_a_note_after_silence_is_heard_down_to_70_db_below_full_scale(
    level_db: float, is_heard: bool, gain_db: float
) -> None:
    audio = stem((FIRST, SHORT, db(-40 - gain_db)), (SECOND, SHORT, db(level_db - gain_db)))
    assert heard([FIRST, SECOND], audio, gain_db=gain_db) == [True, is_heard]


def test_the_peak_must_come_within_250_ms() -> None:
    early, late = SECOND + round(0.2 * RATE), SECOND + round(0.26 * RATE)
    assert heard([FIRST, SECOND], stem((FIRST, SHORT, 1), (early, SHORT, 0.5))) == [True, True]
    assert heard([FIRST, SECOND], stem((FIRST, SHORT, 1), (late, SHORT, 0.5))) == [True, False]


def test_a_note_in_the_middle_of_others_is_heard_as_expected() -> None:
    audio = stem((FIRST, 3 * RATE, 1.0))
    inside = [FIRST + k * 500 * BLOCK for k in range(1, 4)]
    found = heard([FIRST, *inside], audio, [0.0, -59.0, -61.0, -np.inf])
    assert found == [True, True, False, False]


def test_notes_that_start_together_are_heard_as_expected() -> None:
    audio = stem((FIRST, SHORT, 1.0))
    assert heard([FIRST, FIRST], audio, [0.0, -np.inf]) == [True, False]


def test_silence_says_that_none_of_those_that_start_together_is_heard() -> None:
    audio = stem((FIRST, SHORT, 1.0))
    assert heard([FIRST, SECOND, SECOND], audio) == [True, False, False]


def test_a_note_alone_is_heard_whatever_was_expected() -> None:
    """A patch may need a controller that the part sends and the measurement did not."""
    audio = stem((FIRST, SHORT, 1.0), (SECOND, SHORT, 0.5))
    assert heard([FIRST, SECOND], audio, [0.0, -np.inf]) == [True, True]


def test_nothing_is_heard_of_a_silent_stem_and_after_its_end() -> None:
    audio = stem((FIRST, SHORT, 1.0))
    assert heard([FIRST, len(audio) + BLOCK], audio) == [True, False]
    assert heard([FIRST, SECOND], np.zeros_like(audio)) == [False, False]
    assert heard([], audio) == []


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_note_that_starts_after_silence_is_what_the_samples_say(seed: int) -> None:
    """A plain loop over samples is the oracle."""
    rng = np.random.default_rng(seed)
    onsets = (np.sort(rng.integers(0, 3 * RATE, 12)) // BLOCK * BLOCK).tolist()
    tones = [
        (onset, int(rng.integers(100, 20000)), db(float(rng.uniform(-90, 0))))
        for onset in onsets
        if rng.random() < 0.7
    ]
    audio = stem(*tones)
    found = heard(onsets, audio)
    magnitude = np.abs(audio)
    is_loud = magnitude > max(db(-70), db(-60) * float(magnitude.max()))
    for onset, is_heard in zip(onsets, found, strict=True):
        is_after_silence = not is_loud[max(onset - int(0.05 * RATE), 0) : onset].any()
        if is_after_silence and not is_loud[onset : onset + int(0.25 * RATE)].any():
            assert not is_heard, onset


def test_only_spans_are_looked_at() -> None:
    audio = stem((FIRST, SHORT, 1.0))
    audio[SECOND:] = np.nan
    expected = Expected(np.array([FIRST, SECOND]), np.zeros(2))
    spans = [(FIRST, FIRST + SHORT // BLOCK * BLOCK)]
    assert heard_notes(expected, audio[None], spans, 0.0, RATE).tolist() == [True, False]


# What is expected.


@dataclass
class Sent:
    """Messages on channel 3 by sample."""

    messages: list[tuple[int, bytes]]

    def levels(self, *onsets: int) -> list[float]:
        events = [Event(0, data) for _, data in self.messages]
        frames = np.array([frame for frame, _ in self.messages], np.int64)
        everything = np.zeros((1, 128), np.float32)
        compass = Compass(np.array([1], np.int32), everything - 12, everything)
        keys, velocities = np.full(len(onsets), 60), np.full(len(onsets), 100)
        found = expected_levels(np.array(onsets), keys, velocities, compass, events, frames, RATE)
        return found.level_db.tolist()


def cc(frame: int, controller: int, value: int) -> tuple[int, bytes]:
    return frame, bytes((0xB3, controller, value))


@pytest.mark.parametrize("controller", [7, 11])
def test_volume_and_expression_at_zero_silence_notes(controller: int) -> None:
    sent = Sent([cc(SECOND, controller, 0)])
    assert sent.levels(FIRST, SECOND) == [-12.0, -np.inf]


def test_what_is_turned_up_within_250_ms_is_heard() -> None:
    soon, late = SECOND + round(0.2 * RATE), SECOND + round(0.3 * RATE)
    assert Sent([cc(0, 7, 0), cc(soon, 7, 100)]).levels(SECOND) == [-12.0]
    assert Sent([cc(0, 7, 0), cc(late, 7, 100)]).levels(SECOND) == [-np.inf]


def test_volume_and_expression_follow_the_curve_of_the_specification() -> None:
    assert Sent([cc(0, 7, 50)]).levels(FIRST) == pytest.approx([-12 - 40 * np.log10(2)])
    assert Sent([cc(0, 11, 64)]).levels(FIRST) == pytest.approx([-12 + 40 * np.log10(64 / 127)])


@pytest.mark.parametrize(
    ("message", "volume", "expression"),
    [
        (bytes((0xB3, 121, 0)), -np.inf, -12.0),  # reset all controllers leaves the volume alone
        (bytes.fromhex("f07e7f0901f7"), -12.0, -12.0),  # GM system on
        (bytes.fromhex("f04110421240007f0041f7"), -12.0, -12.0),  # GS reset
        (bytes.fromhex("f043104c00007e00f7"), -12.0, -12.0),  # XG system on
        (bytes.fromhex("f04110421240001f0041f7"), -np.inf, -np.inf),  # another parameter of GS
        (bytes.fromhex("f7"), -np.inf, -np.inf),
    ],
)
def test_resets(message: bytes, volume: float, expression: float) -> None:
    for controller, expected in ((7, volume), (11, expression)):
        sent = Sent([cc(0, controller, 0), (FIRST, message)])
        assert sent.levels(SECOND) == [expected]


def test_nothing_is_known_of_a_plugin() -> None:
    onset = np.array([0, 64])
    found = expected_levels(onset, [60, 61], [1, 127], None, [], np.zeros(0, np.int64), RATE)
    assert found.level_db.tolist() == [0.0, 0.0]
