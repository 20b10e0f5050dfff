"""A stem is the sum of its notes as the patch plays them alone, whatever else is in its score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from stemsmith.manifests.records import DefectKind
from stemsmith.render.audit import signal_checks
from stemsmith.render.audit.comparison import compare
from stemsmith.render.audit.faults import EXPECTED, SINGLE, FaultKind, PlayedPart, inject
from stemsmith.render.audit.reference import Reference, reference_of
from stemsmith.render.audit.setups import setups
from stemsmith.render.audit.stem import audit_stem
from stemsmith.render.audit.stem_notes import StemNotes, as_played
from stemsmith.render.audit.voices import decimated, decimation
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, on_grid, shared_synth

RATE = 32000  # 500 blocks of the synthesiser a second: equal notes have equal lengths
FONT = str(default_soundfont())
PIANO, STRINGS, KIT = Preset(FONT, 0, 0), Preset(FONT, 0, 48), Preset(FONT, 128, 0)
N_S = 12


def played(
    rows: Sequence[tuple[float, float, int, int]],
    preset: Preset,
    controls: Sequence[tuple[float, bytes]] = (),
) -> tuple[npt.NDArray[np.float32], StemNotes, Reference, PlayedPart]:
    """Return a stem of notes (on and off in seconds, key, velocity), and its reference."""
    order = sorted(rows)
    onset, offset = (on_grid([row[i] for row in order], RATE) for i in (0, 1))
    keys = [[row[2], row[3]] for row in order]
    table = np.column_stack([onset, offset, keys]).astype(np.int64)
    timed = [(off, 0, bytes((0x80, key, 0))) for _, off, key, _ in table.tolist()]
    timed += [(int(on_grid(at, RATE)), 1, data) for at, data in controls]
    timed += [(on, 2, bytes((0x90, key, force))) for on, _, key, force in table.tolist()]
    ordered = sorted(timed)
    events = [Event(0, data) for *_, data in ordered]
    frames = np.array([frame for frame, *_ in ordered], np.int64)
    notes = as_played(table, RATE, is_drum=preset.bank == 128, events=events, frames=frames)
    part = PlayedPart(events, frames, table, preset, RATE, N_S * RATE)
    audio, _ = part.audio(1.0)
    reference = reference_of(notes, events, frames, preset, RATE, len(audio))
    assert reference is not None
    return audio, notes, reference, part


def left_db(audio: npt.NDArray[np.float32], reference: Reference) -> float:
    """Return the energy of what the notes alone do not give, against that of the stem."""
    low = decimated(audio, reference.factor)
    left = low - reference.audio[: len(low)]
    return float(10 * np.log10(np.vdot(left, left) / np.vdot(low, low) + 1e-12))


def chords(
    lengths: Sequence[float], velocities: Sequence[int]
) -> list[tuple[float, float, int, int]]:
    """Return chords of four voices, each with a length and a velocity of its own."""
    return [
        (0.5 + beat, 0.5 + beat + lengths[beat % len(lengths)], 48 + 5 * voice + beat % 3, force)
        for beat, force in enumerate(velocities)
        for voice in range(4)
    ]


@pytest.mark.parametrize("preset", [PIANO, STRINGS], ids=["piano", "strings"])
def test_notes_of_one_length_add_up_to_the_stem(preset: Preset) -> None:
    audio, _, reference, _ = played(chords([0.5], [100] * 8), preset)
    assert left_db(audio, reference) < -45


def test_notes_of_many_lengths_and_velocities_add_up_nearly() -> None:
    rng = np.random.default_rng(0)
    velocities = rng.integers(30, 127, 8).tolist()
    audio, _, reference, _ = played(chords([0.3, 0.41, 0.5, 0.77, 0.9], velocities), PIANO)
    assert left_db(audio, reference) < -30


def test_a_closed_hihat_ends_an_open_one() -> None:
    rows = [(0.5 + beat, 0.6 + beat, 46, 100) for beat in range(5)]
    rows += [(0.7 + beat, 0.8 + beat, 42, 100) for beat in range(5)]
    audio, _, reference, _ = played(rows, KIT)
    assert left_db(audio, reference) < -30


def test_a_key_that_is_struck_again_lets_go_of_its_voice_unless_the_pedal_is_down() -> None:
    rows = [(0.5, 3.0, 60, 100), (1.5, 2.5, 60, 100)]
    audio, notes, reference, _ = played(rows, PIANO)
    assert notes.voice_end.tolist()[0] == on_grid(1.5, RATE)
    assert left_db(audio, reference) < -30
    pedal = [(1.0, bytes((0xB0, 64, 127))), (4.0, bytes((0xB0, 64, 0)))]
    audio, notes, reference, _ = played(rows, PIANO, pedal)
    assert notes.voice_end.tolist() == [on_grid(4.0, RATE)] * 2
    assert left_db(audio, reference) < -30


def test_notes_are_played_with_the_controllers_that_are_set() -> None:
    set_up = [
        (0.1, bytes((0xB0, 7, 60))),
        (0.1, bytes((0xB0, 10, 20))),
        *((0.1, bytes((0xB0, n, v))) for n, v in ((101, 0), (100, 0), (6, 12), (38, 0))),
        *((0.1, bytes((0xB0, n, v))) for n, v in ((101, 0), (100, 1), (6, 70), (38, 3))),
        (0.1, bytes((0xE0, 0, 80))),
    ]
    audio, _, reference, _ = played(chords([0.5], [90] * 6), PIANO, set_up)
    assert left_db(audio, reference) < -45
    assert not reference.doubtful.any()


def test_what_a_controller_does_to_a_note_that_sounds_is_doubtful_from_there() -> None:
    bend = [(2.0, bytes((0xE0, 0, 90)))]
    audio, _, reference, _ = played([(0.5, 1.0, 60, 100), (1.6, 3.0, 64, 100)], PIANO, bend)
    doubtful = np.flatnonzero(reference.doubtful)
    low_rate = RATE / reference.factor
    assert doubtful[0] == pytest.approx(2.0 * low_rate, abs=64)
    assert doubtful[-1] > 2.9 * low_rate
    found = compare(audio, reference, RATE)
    assert found is not None
    assert found.agrees(0, int(1.9 * RATE))
    assert not found.agrees(int(2.1 * RATE), int(2.9 * RATE))


def test_tied_notes_have_no_reference() -> None:
    table = np.array([[640, 6400, 60, 100], [5120, 9600, 64, 100]])
    events = [Event(0, bytes((0xB0, 126, 1)))]
    notes = as_played(table, RATE, events=events, frames=[0])
    assert reference_of(notes, events, np.array([0]), PIANO, RATE, 10 * RATE) is None


def test_a_parameter_is_selected_once_for_all_that_is_entered() -> None:
    data = [(101, 0), (100, 1), (6, 70), (38, 3), (7, 90)]
    events = [Event(0, bytes((0xB9, n, v))) for n, v in data]
    found = setups(events, np.zeros(len(data), np.int64))
    assert found.start.tolist() == [-1, 0]
    assert [tuple(m[1:]) for m in found.messages[-1]] == [
        (7, 90),
        (101, 0),
        (100, 1),
        (6, 70),
        (38, 3),
    ]


@pytest.mark.parametrize(
    ("rate", "factor"), [(8000, 1), (16000, 2), (22050, 2), (44100, 4), (48000, 4), (96000, 8)]
)
def test_stems_are_compared_at_8_khz_or_more(rate: int, factor: int) -> None:
    assert decimation(rate) == factor


def dense(preset: Preset, seed: int) -> list[tuple[float, float, int, int]]:
    """Return two voices that sound together all the time."""
    rng = np.random.default_rng(seed)
    low = [35, 36, 38, 45, 49] if preset.bank == 128 else [48, 50, 53, 55, 57]
    high = [42, 44, 46, 51, 56] if preset.bank == 128 else [71, 73, 76, 78, 80]
    rows = []
    for beat in range(16):
        force = int(rng.integers(80, 110))
        rows.append((0.5 + beat / 2, 0.95 + beat / 2, int(rng.choice(low)), force))
        rows.append((0.75 + beat / 2, 1.2 + beat / 2, int(rng.choice(high)), force))
    return rows


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("preset", [PIANO, STRINGS, KIT], ids=["piano", "strings", "kit"])
def test_faults_are_found_while_other_notes_sound(kind: FaultKind, preset: Preset) -> None:
    pitched = {FaultKind.OCTAVE_UP, FaultKind.OCTAVE_DOWN, FaultKind.SEMITONE, FaultKind.HUNG}
    if preset is KIT and kind in {*pitched, FaultKind.HALF_SEMITONE}:
        pytest.skip("drums have no pitch, and no end")
    _, notes, reference, part = played(dense(preset, 0), preset)
    assert audit_stem(part.audio()[0][None], notes, RATE, None, reference) == ()
    missed = []
    for note in range(4, 24, 2):
        fault = inject(kind, part, note, np.random.default_rng(note))
        if fault is None:
            continue  # the key is struck again, or the note has died away
        found = audit_stem(fault.audio[None], notes, RATE, None, reference)
        if not any(
            d.kind in EXPECTED[kind] and d.start < fault.end and d.end > fault.start for d in found
        ):
            missed.append((note, found))
    # What hangs is soon softer than what else sounds.
    assert len(missed) <= (2 if kind is FaultKind.HUNG else 1), missed


def test_a_late_note_is_late_by_so_much_and_a_wrong_one_wrong_by_so_much() -> None:
    _, notes, reference, part = played(dense(PIANO, 1), PIANO)
    rng = np.random.default_rng(0)
    late = inject(FaultKind.LATE, part, 8, rng)
    assert late is not None
    (defect,) = audit_stem(late.audio[None], notes, RATE, None, reference)
    assert (defect.kind, defect.start) == (DefectKind.LATE_ONSET, int(notes.onset[8]) // 2 * 2)
    assert defect.size == pytest.approx(10, abs=0.3)
    wrong = inject(FaultKind.SEMITONE, part, 8, rng)
    assert wrong is not None
    (defect,) = audit_stem(wrong.audio[None], notes, RATE, None, reference)
    assert defect.kind is DefectKind.WRONG_PITCH
    assert defect.size == pytest.approx(100, abs=10)


@pytest.mark.parametrize("semitones", [-12, -1, 1, 12])
def test_a_stem_that_is_off_as_a_whole_is_one_defect(semitones: int) -> None:
    _, notes, reference, part = played(dense(PIANO, 2), PIANO)
    audio, _ = part.transposed(semitones).audio()
    (defect,) = audit_stem(audio[None], notes, RATE, None, reference)
    octaves = semitones in (-12, 12)
    assert defect.kind is (DefectKind.WRONG_OCTAVE if octaves else DefectKind.WRONG_PITCH)
    assert defect.size == pytest.approx(semitones / 12 if octaves else 100 * semitones, abs=11)
    assert (defect.start, defect.end) == (0, len(audio))


def test_a_dropout_is_found_where_a_note_begins() -> None:
    _, notes, reference, part = played(dense(PIANO, 3), PIANO)
    audio, _ = part.audio()
    start = int(notes.onset[8]) - 64
    audio[start : start + 160] = 0
    found = audit_stem(audio[None], notes, RATE, None, reference)
    assert DefectKind.DROPOUT in {defect.kind for defect in found}
    assert DefectKind.DROPOUT not in {d.kind for d in audit_stem(audio[None], notes, RATE)}


def test_a_patch_of_noise_is_no_noisy_stem(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(0.1 + n / 4, 0.2 + n / 4, 49, 100) for n in range(40)]  # crash cymbals
    audio, notes, reference, _ = played(rows, KIT)
    monkeypatch.setattr(signal_checks, "noise_db", lambda *_: -30.0)
    assert {d.kind for d in audit_stem(audio[None], notes, RATE)} == {DefectKind.WHITE_NOISE}
    assert audit_stem(audio[None], notes, RATE, None, reference) == ()
    rms = float(np.sqrt(np.mean(audio**2)))
    noise = np.random.default_rng(0).standard_normal(len(audio)) * rms * 10 ** (-30 / 20)
    found = audit_stem((audio + noise)[None].astype(np.float32), notes, RATE, None, reference)
    assert [defect.kind for defect in found] == [DefectKind.WHITE_NOISE]


def test_voices_that_the_synthesiser_steals_are_missing() -> None:
    """More voices than FluidSynth has: what is cut off is found, though no event says so."""
    pedal = [(0.1, bytes((0xB0, 64, 127))), (11.0, bytes((0xB0, 64, 0)))]
    rows = [(0.2 + n / 40, 0.22 + n / 40, 40 + n % 45, 100) for n in range(360)]
    audio, notes, reference, _ = played(rows, STRINGS, pedal)
    assert audit_stem(audio[None], notes, RATE, None, reference)
    few = rows[:100]
    audio, notes, reference, _ = played(few, STRINGS, pedal)
    assert audit_stem(audio[None], notes, RATE, None, reference) == ()


def test_the_reference_leaves_the_synthesiser_as_it_was() -> None:
    audio, *_ = played(chords([0.5], [100] * 8), PIANO)
    again, *_ = played(chords([0.5], [100] * 8), PIANO)
    assert np.array_equal(audio, again)
    assert shared_synth(RATE, (FONT,)) is shared_synth(RATE, (FONT,))
