"""Signatures of scores: what they do not depend on, and what they estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Int64s
from stemsmith.manifests.records import ScannedSong
from stemsmith.render.midi.scan import plan_scan, scan_files
from stemsmith.render.midi.signature import N_HASHES, MelodicSignature, melodic_signature

Voice = tuple[Int64s, Int64s]


def random_voice(seed: int, n_notes: int = 200) -> Voice:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(60, 480, n_notes)), rng.integers(48, 84, n_notes)


def signature(*voices: Voice) -> MelodicSignature:
    found = melodic_signature(voices)
    assert found is not None
    return found


def agreement(a: MelodicSignature, b: MelodicSignature) -> float:
    return float((a.minima == b.minima).mean())


@given(
    semitones=st.integers(-6, 6),
    tempo=st.floats(0.8, 1.25),
    start=st.integers(0, 10**6),
    order=st.permutations(range(4)),
)
def test_key_tempo_start_and_order_of_voices_change_nothing(
    semitones: int, tempo: float, start: int, order: Sequence[int]
) -> None:
    voices = [random_voice(seed) for seed in range(4)]
    copies = [
        (start + np.round(onset * tempo).astype(np.int64), pitch + semitones)
        for onset, pitch in (voices[k] for k in order)
    ]
    assert str(signature(*copies)) == str(signature(*voices))


def test_notes_of_a_chord_may_come_in_any_order() -> None:
    onset, pitch = random_voice(0)
    chords = np.stack([pitch, pitch + 4, pitch + 7])
    together = signature((np.tile(onset, 3), chords.ravel()))
    rolled = signature((np.concatenate([onset + 4, onset, onset + 2]), chords.ravel()))
    assert str(rolled) == str(together)


def test_the_text_of_a_signature_is_read_back() -> None:
    written = signature(random_voice(0))
    read = MelodicSignature.parse(str(written))
    assert read.n_shingles == written.n_shingles
    assert np.array_equal(read.minima, written.minima)
    assert len(str(written)) == 8 + 4 * N_HASHES


@pytest.mark.parametrize("n_shared", [0, 1, 2, 3, 4])
def test_agreement_estimates_the_share_of_common_shingles(n_shared: int) -> None:
    shared = [random_voice(seed) for seed in range(n_shared)]
    a = signature(*shared, *(random_voice(10 + k) for k in range(4 - n_shared)))
    b = signature(*shared, *(random_voice(20 + k) for k in range(4 - n_shared)))
    share = n_shared / (8 - n_shared)  # of voices that are all equally long
    deviation = (share * (1 - share) / N_HASHES) ** 0.5
    assert agreement(a, b) == pytest.approx(share, abs=4 * deviation)
    assert a.n_shingles == pytest.approx(4 * (200 - 8), abs=4)


@pytest.mark.parametrize(
    "pitch",
    [
        np.full(500, 60),
        np.resize([60, 62], 500),
        np.arange(500) % 12 + 60,
        np.resize([60, 64, 67], 500),
    ],
    ids=["repeated note", "trill", "scale", "arpeggio"],
)
def test_what_is_in_all_music_has_no_signature(pitch: Int64s) -> None:
    assert melodic_signature([(np.arange(500) * 120, pitch)]) is None


def test_too_few_notes_have_no_signature() -> None:
    assert melodic_signature([]) is None
    assert melodic_signature([random_voice(0, n_notes=1)]) is None
    assert melodic_signature([random_voice(0, n_notes=20)]) is None
    assert melodic_signature([random_voice(0, n_notes=40)]) is not None


def scanned(path: Path) -> ScannedSong:
    (job,) = plan_scan(path.parent, [path.name], 7200.0)
    (found,) = scan_files(job)
    assert isinstance(found, ScannedSong)
    return found


def test_programs_and_drums_do_not_count(tmp_path: Path, make_song: Callable[..., Path]) -> None:
    path = make_song(tmp_path / "song.mid", ((0, 0), (33, 1), (0, 9)))
    before = scanned(path).melodic_signature
    assert before is not None
    file = mido.MidiFile(path)
    for number, message in enumerate(file.tracks[1]):
        if message.type == "program_change":
            message.program = 52
        if number == 60:
            change = mido.Message("program_change", program=53, channel=0)
    file.tracks[1].insert(61, change)  # the notes are now those of two parts
    for message in file.tracks[3]:
        if message.type in ("note_on", "note_off"):
            message.note = 127 - message.note
    file.save(path)
    after = scanned(path)
    assert len(after.parts) == 4
    assert after.melodic_signature == before
    make_song(path, ((0, 9),))
    assert scanned(path).melodic_signature is None
