"""Notes in sounding time: read back by mido and pretty_midi, and the text of Bach10."""

from __future__ import annotations

import io
from pathlib import Path

import mido
import numpy as np
import numpy.typing as npt
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.errors import UsageError
from stemsmith.render.midi.notes import read_aligned_text, sounding_midi, write_aligned_text
from stemsmith.render.midi.score import read_score
from stemsmith.render.sound.synth import on_grid

Notes = list[tuple[int, int, int, int]]  # onset, offset, pitch, velocity
EXACT_RATES = (8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)


def midi_of(notes: Notes, sample_rate: int = 44_100, **changes: object) -> bytes:
    onset, offset, pitch, velocity = np.array(notes or np.zeros((0, 4)), np.int64).T
    settings = {"program": 73, "is_drum": False, "name": "flute", **changes}
    return sounding_midi(onset, offset, pitch, velocity, sample_rate=sample_rate, **settings)  # type: ignore[arg-type]


def by_mido(data: bytes, sample_rate: int) -> list[tuple[float, float, int, int]]:
    """Return the notes in samples, each ended by the first note-off of its pitch."""
    now_s, sounding, found = 0.0, {}, []
    for message in mido.MidiFile(file=io.BytesIO(data)):
        now_s += message.time
        if message.type == "note_on" and message.velocity:
            sounding[message.note] = now_s, message.velocity
        elif message.type in ("note_on", "note_off"):
            start_s, velocity = sounding.pop(message.note)
            found.append(
                (start_s * sample_rate, now_s * sample_rate, int(message.note), int(velocity))
            )
    return sorted(found)


def by_pretty_midi(data: bytes, sample_rate: int) -> list[tuple[float, float, int, int]]:
    file = pretty_midi.PrettyMIDI(io.BytesIO(data))
    return sorted(
        (note.start * sample_rate, note.end * sample_rate, note.pitch, note.velocity)
        for instrument in file.instruments
        for note in instrument.notes
    )


def assert_close(
    found: list[tuple[float, float, int, int]], notes: Notes, within: float = 0.5
) -> None:
    assert len(found) == len(notes)
    for read, written in zip(found, sorted(notes), strict=True):
        assert abs(read[0] - written[0]) < within
        assert abs(read[1] - written[1]) < within
        assert read[2:] == written[2:]


@st.composite
def melodies(draw: st.DrawFn, most_blocks: int = 3000) -> Notes:
    """Return notes on the grid of 64 samples that overlap, but not on one pitch."""
    free = dict.fromkeys(range(128), 0)
    notes = []
    for _ in range(draw(st.integers(0, 30))):
        pitch = draw(st.sampled_from((0, 36, 60, 61, 127)))
        start = free[pitch] + draw(st.integers(0, most_blocks))
        free[pitch] = start + draw(st.integers(1, most_blocks))
        notes.append((64 * start, 64 * free[pitch], pitch, draw(st.integers(1, 127))))
    return notes


# ---------------------------------------------------------------------------------------------
# MIDI


@settings(deadline=None)
@given(melodies(), st.sampled_from(EXACT_RATES))
def test_other_readers_find_every_note_at_its_sample(notes: Notes, sample_rate: int) -> None:
    data = midi_of(notes, sample_rate)
    assert_close(by_mido(data, sample_rate), notes)
    assert_close(by_pretty_midi(data, sample_rate), notes)


@settings(deadline=None, max_examples=50)
@given(melodies(), st.sampled_from(EXACT_RATES))
def test_the_scanner_finds_the_samples_of_the_stem(notes: Notes, sample_rate: int) -> None:
    if not notes:
        return
    score = read_score(midi_of(notes, sample_rate), max_duration_s=np.inf)
    found = score.notes(0)
    seconds = [score.tempo_map.seconds(t) for t in (found.onset_tick, found.offset_tick)]
    rows = [*(on_grid(s, sample_rate) for s in seconds), found.pitch, found.velocity]
    assert sorted(zip(*(row.tolist() for row in rows), strict=True)) == sorted(notes)


@pytest.mark.parametrize("sample_rate", [8000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_an_hour_is_exact_to_half_a_sample(sample_rate: int) -> None:
    end = 3600 * sample_rate // 64 * 64
    notes = [(0, 64, 60, 1), (end - 640, end, 60, 127)]
    assert_close(by_mido(midi_of(notes, sample_rate), sample_rate), notes)


def test_a_tick_is_64_samples() -> None:
    for sample_rate in (44_100, 48_000, 8000, 96_000):
        file = mido.MidiFile(file=io.BytesIO(midi_of([], sample_rate)))
        assert file.ticks_per_beat == sample_rate // 100
        assert [m.tempo for m in file.tracks[0] if m.type == "set_tempo"] == [640_000]


def test_the_error_of_other_rates_is_the_one_stated() -> None:
    for sample_rate in (8001, 11_111, 37_800, 44_056, 47_999, 88_211, 171_123, 199_999):
        file = mido.MidiFile(file=io.BytesIO(midi_of([], sample_rate)))
        (tempo_us,) = [m.tempo for m in file.tracks[0] if m.type == "set_tempo"]
        tick_samples = tempo_us / 1e6 / file.ticks_per_beat * sample_rate
        assert abs(tick_samples / 64 - 1) < 4e-8


@pytest.mark.parametrize("sample_rate", [0, 999, 200_001])
def test_impossible_rates_are_refused(sample_rate: int) -> None:
    with pytest.raises(ValueError, match="sample rate"):
        midi_of([], sample_rate)


def test_notes_without_length_get_a_tick() -> None:
    data = midi_of([(128, 128, 60, 80), (192, 192, 60, 81), (640, 640, 72, 1)])
    expected = [(128, 192, 60, 80), (192, 256, 60, 81), (640, 704, 72, 1)]
    assert_close(by_mido(data, 44_100), expected)
    assert_close(by_pretty_midi(data, 44_100), expected)


def test_the_end_of_a_stem_is_rounded_to_a_tick() -> None:
    assert_close(by_mido(midi_of([(0, 44_100, 60, 80)]), 44_100), [(0, 44_100, 60, 80)], within=33)


def test_a_pitch_that_begins_again_ends_the_note_before() -> None:
    data = midi_of([(0, 640, 60, 80), (320, 960, 60, 81), (0, 960, 61, 82)])
    expected = [(0, 320, 60, 80), (320, 960, 60, 81), (0, 960, 61, 82)]
    assert_close(by_mido(data, 44_100), expected)
    assert_close(by_pretty_midi(data, 44_100), expected)


def test_notes_of_one_pitch_that_begin_together_end_together() -> None:
    data = midi_of([(64, 64, 60, 80), (64, 640, 60, 81), (640, 704, 60, 82)])
    expected = [(64, 640, 60, 80), (64, 640, 60, 81), (640, 704, 60, 82)]
    assert_close(by_pretty_midi(data, 44_100), expected)


def test_name_program_and_channel() -> None:
    file = pretty_midi.PrettyMIDI(io.BytesIO(midi_of([(0, 64, 60, 80)], name="Flûte 1")))
    (instrument,) = file.instruments
    assert (instrument.name, instrument.program, instrument.is_drum) == ("Flûte 1", 73, False)
    for program, kit in ((128, 0), (25, 25)):
        data = midi_of([(0, 64, 38, 80)], program=program, is_drum=True)
        part = read_score(data).parts[0]
        assert (part.is_drum, part.kit, part.name) == (True, kit, "flute")
        assert pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments[0].is_drum


def test_a_name_that_latin_1_lacks_is_kept() -> None:
    data = midi_of([(0, 64, 60, 80)], name="二胡 solo")
    assert read_score(data).parts[0].name == "二胡 solo"
    assert len(pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments[0].notes) == 1


def test_the_same_notes_in_another_order_are_the_same_file() -> None:
    notes = [(0, 64, 60, 80), (64, 128, 60, 81), (0, 640, 40, 82), (64, 640, 41, 83)]
    assert midi_of(notes) == midi_of(notes[::-1])


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ((-64, 0, 60, 80), "before 0"),
        ((64, 0, 60, 80), "ends before"),
        ((0, 64, 128, 80), "pitches"),
        ((0, 64, 60, 0), "velocities"),
        ((0, 64, 60, 128), "velocities"),
    ],
)
def test_impossible_notes_are_refused(note: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        midi_of([note])


def test_impossible_programs_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="program 128"):
        midi_of([], program=128)
    with pytest.raises(ValueError, match="of one length"):
        sounding_midi([0], [64, 64], [60], [80], 0, False, "", 44_100)


# ---------------------------------------------------------------------------------------------
# Text


def read(tmp_path: Path, text: str | bytes) -> tuple[list[float], list[float], list[int]]:
    path = tmp_path / "violin_g.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    onset_s, offset_s, pitch = read_aligned_text(path)
    assert (onset_s.dtype, offset_s.dtype, pitch.dtype) == (np.float64, np.float64, np.uint8)
    return onset_s.tolist(), offset_s.tolist(), pitch.tolist()


def test_the_published_form_of_a_line(tmp_path: Path) -> None:
    assert read(tmp_path, "6.1600,6.7000,F4#\n") == ([6.16], [6.7], [66])
    assert write_aligned_text([6.16], [6.7], [66]) == "6.1600,6.7000,F4#\n"


@pytest.mark.parametrize(
    ("name", "pitch"),
    [
        ("C4", 60),
        ("A4", 69),
        ("F4#", 66),
        ("F#4", 66),
        ("B3b", 58),
        ("Bb3", 58),
        ("C4b", 59),
        ("B3#", 60),
        ("C-1", 0),
        ("C#-1", 1),
        ("G9", 127),
        ("60", 60),
        ("0", 0),
        ("127", 127),
    ],
)
def test_names_of_notes(tmp_path: Path, name: str, pitch: int) -> None:
    assert read(tmp_path, f"0,1,{name}")[2] == [pitch]


@pytest.mark.parametrize(
    "line",
    [
        "0.5,1.5,60",
        "0.5 1.5 C4",
        " 0.5\t1.5  C4 ",
        "0.5 , 1.5 , C4",
        "+.5,15e-1,C4 ! held",
        "\ufeff0.5,1.5,C4",
    ],
)
def test_forms_of_a_line(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, line) == ([0.5], [1.5], [60])


def test_comments_and_empty_lines_are_skipped_and_order_is_kept(tmp_path: Path) -> None:
    text = "! violin\r\n\r\n3,4,C4\r\n  ! more\r\n1,2,D4\r\n"
    assert read(tmp_path, text) == ([3, 1], [4, 2], [60, 62])
    assert read(tmp_path, "! nothing\n") == ([], [], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2,1,C4", "ends at 1 s, before it begins at 2 s"),
        ("nan,1,C4", "'nan' is not a time"),
        ("0,nan,C4", "'nan' is not a time"),
        ("0,inf,C4", "'inf' is not a time"),
        ("0,1e999,C4", "'1e999' is not a time"),
        ("-1,1,C4", "'-1' is not a time"),
        ("0,1_0,C4", "'1_0' is not a time"),
        ("0,٣,C4", "is not a time"),
        ("0,1", "is not onset,offset,note"),
        ("0,1,C4,80", "is not onset,offset,note"),
        ("0,,C4", "'' is not a time"),
        ("0,1,H4", "'H4' is not a note"),
        ("0,1,c4", "'c4' is not a note"),
        ("0,1,F#4#", "'F#4#' is not a note"),
        ("0,1,C", "'C' is not a note"),
        ("0,1,C-1b", "'C-1b' is not a note"),
        ("0,1,G9#", "'G9#' is not a note"),
        ("0,1,128", "'128' is not a note"),
        ("0,1,6.5", "'6.5' is not a note"),
        ("0,1," + "9" * 5000, "is not a note"),
    ],
)
def test_anything_else_is_refused_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"violin_g\.txt: line 3: ") as refused:
        read(tmp_path, f"! a comment\n0,1,C4\n{line}\n")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"violin_g\.txt: not a text file"):
        read(tmp_path, b"\xff\xfe0\0")
    with pytest.raises(UsageError, match=r"none\.txt: cannot be read: No such file"):
        read_aligned_text(tmp_path / "none.txt")


times = st.floats(0, 10_000)


@settings(deadline=None)
@given(st.lists(st.tuples(times, times, st.integers(0, 127))))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[float, float, int]]
) -> None:
    ordered = [(*sorted(pair), pitch) for *pair, pitch in notes]
    columns: npt.NDArray[np.float64] = np.array(ordered).reshape(-1, 3)
    onset_s, offset_s, pitch = columns.T
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_text(write_aligned_text(onset_s, offset_s, pitch))
    found = read_aligned_text(path)
    np.testing.assert_allclose(found.onset_s, onset_s, atol=5.1e-5, rtol=0)
    np.testing.assert_allclose(found.offset_s, offset_s, atol=5.1e-5, rtol=0)
    np.testing.assert_array_equal(found.pitch, pitch)


@pytest.mark.parametrize(
    ("onset_s", "offset_s", "pitch", "message"),
    [
        ([0.0], [1.0], [128], "pitches"),
        ([0.0], [1.0], [-1], "pitches"),
        ([2.0], [1.0], [60], "before it begins"),
        ([-1.0], [1.0], [60], "before 0"),
        ([0.0], [np.nan], [60], "before 0"),
        ([0.0], [np.inf], [60], "never"),
        ([0.0], [1.0], [60, 61], "of one length"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    onset_s: list[float], offset_s: list[float], pitch: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_aligned_text(onset_s, offset_s, pitch)
