"""Names of notes: every MIDI number has one that is read back, and both spellings are one note."""

from __future__ import annotations

import pretty_midi
import pytest
from stemsmith.render.midi.note_names import name_of_pitch, pitch_of


@pytest.mark.parametrize("pitch", range(128))
def test_names_are_those_of_pretty_midi_in_either_spelling(pitch: int) -> None:
    sharp_first = pretty_midi.note_number_to_name(pitch)  # F#4
    assert pitch_of(sharp_first) == pitch_of(str(pitch)) == pitch_of(name_of_pitch(pitch)) == pitch
    letter, *rest = sharp_first
    accidental = "#" * ("#" in rest)
    assert name_of_pitch(pitch) == letter + "".join(rest).replace("#", "") + accidental


@pytest.mark.parametrize(
    ("text", "pitch"), [("Bb2", 46), ("B2b", 46), ("Cb-1", None), ("B#3", 60), ("Cb4", 59)]
)
def test_flats_and_sharps_across_an_octave(text: str, pitch: int | None) -> None:
    assert pitch_of(text) == pitch


@pytest.mark.parametrize(
    "text", ["", "C", "c4", "H4", "F#4#", "Fb4#", "C-2", "G#9", "128", "-1", "6.5", "C4 ", "٦٠"]
)
def test_what_is_no_note(text: str) -> None:
    assert pitch_of(text) is None
