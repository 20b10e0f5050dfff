"""The audit finds faults that are put in on purpose, and nothing where nothing is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.audit.blocks import block_levels
from stemsmith.render.audit.faults import EXPECTED, SINGLE, FaultKind, PlayedPart, inject
from stemsmith.render.audit.rates import defect_rates
from stemsmith.render.audit.signal_checks import noise_db
from stemsmith.render.audit.stem import audit_stem
from stemsmith.render.audit.stem_notes import StemNotes, as_played
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, on_grid

RATE = 44100
N_STEMS = 20
# Pianos, guitars, a bass, an organ, strings, winds and a lead of the default soundfont.
PROGRAMS = (0, 1, 2, 4, 24, 25, 27, 29, 34, 56, 57, 60, 68, 71, 73, 75, 80, 81, 104, 105)
DRUM_KEYS = (36, 38, 40, 45, 48)
PITCHED = frozenset(
    {
        FaultKind.OCTAVE_UP, FaultKind.OCTAVE_DOWN, FaultKind.SEMITONE, FaultKind.HALF_SEMITONE,
        FaultKind.HUNG, FaultKind.STEM_SEMITONE, FaultKind.STEM_HALF_SEMITONE,
        FaultKind.STEM_OCTAVE,
    }
)  # fmt: skip


def make_part(number: int, is_drum: bool) -> tuple[PlayedPart, StemNotes]:
    """Return a part of two dozen notes, each after silence, and a chord after every fourth."""
    rng = np.random.default_rng(number)
    low = 36 if PROGRAMS[number] == 34 else 55
    scale = low + np.array([0, 2, 4, 5, 7])
    rows = []
    for beat in range(24):
        key = int(rng.choice(DRUM_KEYS if is_drum else scale))
        keys = [key, key + 4, key + 7] if beat % 4 == 3 and not is_drum else [key]
        rows += [(0.2 + beat * 1.2, 0.6 + beat * 1.2, k, int(rng.integers(70, 120))) for k in keys]
    onset, offset, pitch, velocity = np.array(rows).T
    table = np.stack([on_grid(onset, RATE), on_grid(offset, RATE), pitch, velocity], axis=1)
    table = table.astype(np.int64)
    strikes = [(on, 1, bytes((0x90, key, force))) for on, _, key, force in table.tolist()]
    releases = [(off, 0, bytes((0x80, key, 0))) for _, off, key, _ in table.tolist()]
    ordered = sorted(strikes + releases)
    events = [Event(0, data) for _, _, data in ordered]
    frames = np.array([frame for frame, _, _ in ordered], np.int64)
    preset = Preset(
        str(default_soundfont()), 128 if is_drum else 0, 0 if is_drum else PROGRAMS[number]
    )
    part = PlayedPart(events, frames, table, preset, RATE, 34 * RATE)
    return part, as_played(table, RATE, is_drum=is_drum, events=events, frames=frames)


@pytest.fixture(scope="module")
def parts() -> list[tuple[PlayedPart, StemNotes]]:
    """Return twenty parts, every fifth a drum kit."""
    return [make_part(number, number % 5 == 4) for number in range(N_STEMS)]


@pytest.fixture(scope="module")
def pitched() -> list[tuple[PlayedPart, StemNotes]]:
    """Return twenty parts without drums."""
    return [make_part(number, False) for number in range(N_STEMS)]


def kinds(defects: tuple[Defect, ...]) -> set[DefectKind]:
    return {defect.kind for defect in defects}


def test_nothing_is_found_where_nothing_is_wrong(parts, pitched) -> None:
    for part, notes in [*parts, *pitched]:
        audio, _ = part.audio()
        assert audit_stem(audio[None], notes, RATE) == (), part.preset
        rounded = np.rint(audio * 32768) / 32768
        assert audit_stem(rounded.astype(np.float32)[None], notes, RATE) == (), part.preset


@pytest.mark.parametrize("kind", FaultKind)
def test_faults_are_found(kind: FaultKind, parts, pitched) -> None:
    """Of twenty stems each; single notes begin after silence."""
    missed = []
    for number, (part, notes) in enumerate(pitched if kind in PITCHED else parts):
        rng = np.random.default_rng(number)
        beats = np.flatnonzero(np.diff(notes.onset, prepend=-1, append=1 << 40)[:-1] > 0)
        alone = [b for b in beats if b + 1 in beats]
        tries = (inject(kind, part, int(note), rng) for note in rng.permutation(alone))
        fault = next(fault for fault in tries if fault is not None)
        found = audit_stem(fault.audio[None], notes, RATE)
        if not any(
            d.kind in EXPECTED[kind] and d.start < fault.end and d.end > fault.start for d in found
        ):
            missed.append((number, part.preset.number, kinds(found)))
    # A second strike of a piano that still rings is no rise, and ends with the first.
    allowed = {FaultKind.DOUBLED: 4}.get(kind, 1 if kind in SINGLE else 0)
    assert len(missed) <= allowed, missed


def test_the_same_stem_gives_the_same_findings(parts) -> None:
    part, notes = parts[0]
    fault = inject(FaultKind.MUTED, part, 5, np.random.default_rng(0))
    assert fault is not None
    assert audit_stem(fault.audio[None], notes, RATE) == audit_stem(
        fault.audio.copy()[None], notes, RATE
    )


def test_the_gain_of_a_stem_does_not_matter(parts) -> None:
    part, notes = parts[1]
    fault = inject(FaultKind.MUTED, part, 5, np.random.default_rng(0))
    assert fault is not None
    softer = audit_stem(fault.audio[None] * np.float32(0.25), notes, RATE)
    assert kinds(softer) == kinds(audit_stem(fault.audio[None], notes, RATE))


def sines(notes: StemNotes, n_samples: int, cents: float = 0.0) -> Float32s:
    """Return tones of six partials without any synthesiser."""
    audio = np.zeros(n_samples)
    for on, off, pitch in zip(notes.onset, notes.offset, notes.pitch, strict=True):
        time = np.arange(off - on) / RATE
        f0_hz = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
        tone = sum(np.sin(2 * np.pi * h * f0_hz * time) / h for h in range(1, 7))
        fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.003)
        audio[on:off] += 0.1 * tone * fade
    return audio.astype(np.float32)


def melody(n_notes: int = 12) -> StemNotes:
    onset = 4410 + np.arange(n_notes) * 26460
    pitch = 60 + np.arange(n_notes) % 3 * 2
    return as_played(np.stack([onset, onset + 13230, pitch, np.full(n_notes, 100)], axis=1), RATE)


@pytest.mark.parametrize("cents", [-100, -50, 50, 100])
def test_the_size_of_a_wrong_pitch_is_in_cents(cents: float) -> None:
    notes = melody()
    (defect,) = audit_stem(sines(notes, 12 * 26460 + RATE, cents)[None], notes, RATE)
    assert defect.kind is DefectKind.WRONG_PITCH
    assert defect.size == pytest.approx(cents, abs=15)


def test_the_size_of_noise_is_its_power_against_the_stems() -> None:
    notes = melody()
    audio = sines(notes, 12 * 26460)
    rng = np.random.default_rng(3)
    for wanted_db in (-15.0, -30.0):
        rms = np.sqrt(np.mean(audio**2)) * 10 ** (wanted_db / 20)
        noisy = audio + (rms * rng.standard_normal(len(audio))).astype(np.float32)
        found_db = noise_db(noisy, RATE, block_levels(noisy, RATE))
        assert found_db == pytest.approx(wanted_db, abs=1.5)


def test_a_note_without_volume_need_not_be_heard() -> None:
    table = [[0, 100, 60, 90], [20000, 20100, 60, 90]]
    events = [Event(0, bytes((0xB0, 7, 0)))]
    notes = as_played(table, RATE, events=events, frames=[15000])
    assert notes.is_heard.tolist() == [True, False]
    assert as_played(table, RATE, heard=[False, True]).is_heard.tolist() == [False, True]


def test_a_pedal_holds_and_a_bend_moves() -> None:
    controls = [(0, (0xB0, 64, 127)), (5000, (0xB0, 64, 0)), (6000, (0xE0, 0, 0x60))]
    events = [Event(0, bytes(data)) for _, data in controls]
    frames = [frame for frame, _ in controls]
    notes = as_played(
        [[64, 640, 60, 90], [40000, 50000, 60, 90]], RATE, events=events, frames=frames
    )
    assert notes.offset.tolist() == [5000, 50000]
    assert notes.pitch.tolist() == [60.0, 61.0]
    assert notes.is_steady.tolist() == [False, True]


def test_rates_count_stems_and_not_findings() -> None:
    twice = (Defect(DefectKind.DROPOUT, 0, 9, 1.0), Defect(DefectKind.DROPOUT, 20, 29, 1.0))
    rates = defect_rates([twice, (), (), ()])
    assert rates["n_defective"] == 1
    assert rates["kinds"] == {"dropout": {"n_stems": 1, "rate": 0.25}}


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 96000])
def test_stems_of_any_sample_rate_are_judged_by_their_labels(rate: int) -> None:
    n_notes, step = 24, rate // 2
    onset = np.arange(n_notes) * step
    table = np.stack(
        [onset, onset + step, 60 + np.arange(n_notes) % 8, np.full(n_notes, 90)], axis=1
    )
    time = np.arange(n_notes * step) / rate
    hz = np.repeat(440 * 2 ** ((table[:, 2] - 69) / 12), step)
    tones = sum(
        np.sin(2 * np.pi * k * np.cumsum(hz) / rate) * (k * hz < rate / 2) / k for k in range(1, 9)
    )
    audio = (0.2 * tones * np.exp(-5 * (time % 0.5))).astype(np.float32)
    assert audit_stem(audio[None], as_played(table, rate), rate) == ()


def test_a_stem_without_notes_or_sound_is_no_error() -> None:
    nothing = as_played(np.zeros((0, 4)), RATE)
    for n_samples in (0, 10, RATE):
        assert audit_stem(np.zeros((1, n_samples), np.float32), nothing, RATE) == ()


@pytest.mark.parametrize(("level_db", "is_found"), [(-58.0, False), (-20.0, True)])
def test_only_what_sounds_before_the_next_strike_is_unexpected(
    level_db: float, is_found: bool
) -> None:
    # A cymbal that has all but ended swells a little just before it is struck again.
    rng = np.random.default_rng(3)
    onset = np.array([4410, 4 * RATE])
    table = np.stack([onset, onset + 2205, [49, 49], [100, 100]], axis=1)
    audio = np.zeros(6 * RATE, np.float32)
    ring = 0.5 * rng.uniform(-1, 1, RATE) * np.exp(-np.arange(RATE) / (0.1 * RATE))
    for start in onset:
        audio[start : start + RATE] += ring.astype(np.float32)
    audio[4 * RATE - 1500 : 4 * RATE] += 0.5 * 10 ** (level_db / 20) * rng.choice([-1, 1], 1500)
    frames = np.sort(np.concatenate([onset, onset + 2205]))
    events = [Event(0, bytes((0x99, 49, velocity))) for velocity in (100, 0, 100, 0)]
    notes = as_played(table, RATE, is_drum=True, events=events, frames=frames)
    found = audit_stem(audio[None], notes, RATE)
    assert (DefectKind.UNEXPECTED_SOUND in kinds(found)) == is_found
    assert found == () or is_found
