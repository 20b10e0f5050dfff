"""Mono stems of presets whose channels do not add up: the rule, what plays, what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone, write_sf2
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.records import Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.render.audit.reference import reference_of
from stemsmith.render.audit.stem_notes import as_played
from stemsmith.render.audit.voices import decimated
from stemsmith.render.checking import audit_corpus, validate_corpus
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.attack import attack_s
from stemsmith.render.sound.known_fonts import KNOWN, find_fonts
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.mono import MonoFrom, is_lossy, mono_from
from stemsmith.render.sound.patches import Patch, bank_from_soundfonts
from stemsmith.render.sound.synth import Preset, Synth, on_grid
from stemsmith.render.workflow import render_corpus, render_renditions

RATE = 16000
PAN = 17  # generator: -500 is left
Floats = npt.NDArray[np.float32]


def sides(key_low: int, key_high: int, left: int, right: int) -> list[Zone]:
    """Return zones that play a sample on the left and another on the right."""
    return [
        Zone(sample, (key_low, key_high), None, {SAMPLE_MODES: 1, PAN: pan})
        for sample, pan in ((left, -500), (right, 500))
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a font whose keys are in phase up to 59 and opposed from 60 on, the left louder."""
    plain, opposed = tone(level=0.5), tone(level=-0.35)
    zones = sides(0, 59, 0, 0) + sides(60, 127, 0, 1)
    programs = [Program([Zone(0)], 0, number) for number in range(128)]
    return write_sf2(tmp_path / "opposed.sf2", [plain, opposed], [zones], programs)


def patch_of(path: Path, number: int = 0, bank: int = 0) -> Patch:
    patches = with_compasses(bank_from_soundfonts([path])).patches
    return next(p for p in patches if p.preset == Preset(str(path.resolve()), bank, number))


def test_equal_independent_and_lone_channels_are_added_up() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 1 << 20))
    for a, b in ((left, left), (left, right), (left, 0 * left), (left, 0.5 * left)):
        powers = [np.array([np.mean(x**2)]) for x in (a, b, (a + b) / 2)]
        assert not is_lossy(*powers).any()
        assert mono_from(*powers) is MonoFrom.SUM


@pytest.mark.parametrize(("correlation", "is_lost"), [(0.02, False), (-0.05, True), (-1, True)])
def test_what_is_opposed_is_not(correlation: float, is_lost: bool) -> None:
    """Channels of power 1 that correlate by r have a sum of (1 + r) / 2."""
    one, both = np.ones(1), np.array([(1 + correlation) / 2])
    assert is_lossy(one, one, both).tolist() == [is_lost]


def test_one_channel_is_taken_for_all_notes_if_one_note_needs_it() -> None:
    left, right, both = np.array([[1.0, 4.0], [1.0, 2.0], [1.0, 0.1]])
    assert mono_from(left, right, both) is MonoFrom.LEFT
    assert mono_from(right, left, both) is MonoFrom.RIGHT
    assert mono_from(left[:1], right[:1], both[:1]) is MonoFrom.SUM


def played(path: Path, keys: Sequence[int], shape: tuple[int, ...], what: MonoFrom) -> Floats:
    synth, out = Synth(RATE, (str(path),)), np.empty(shape, np.float32)
    events = [Event(0, bytes((0x90, key, 100))) for key in keys]
    frames = on_grid(0.5 * np.arange(len(keys)), RATE)
    synth.render(events, frames, Preset(str(path), 0, 0), out, what)
    return out


def test_a_channel_alone_is_that_of_two_bit_for_bit(path: Path) -> None:
    n = 3 * RATE
    both = played(path, [50, 70], (2, n), MonoFrom.SUM)
    for row, what in enumerate((MonoFrom.LEFT, MonoFrom.RIGHT)):
        assert both[row].any()
        for shape in ((n,), (1, n)):
            assert np.array_equal(played(path, [50, 70], shape, what).ravel(), both[row])
    total = played(path, [50, 70], (1, n), MonoFrom.SUM)[0]
    np.testing.assert_allclose(total, both.mean(axis=0), atol=1e-6)


def test_keys_are_measured_as_their_stems_will_be(path: Path) -> None:
    patch = patch_of(path)
    assert patch.compass is not None
    assert patch.mono_from([50, 55], [100, 100]) is MonoFrom.SUM
    assert patch.mono_from([50, 70], [100, 100]) is MonoFrom.LEFT
    assert patch.compass.plays([70], [100]).all()
    # The left channel of an opposed key is as loud as the sum of one in phase.
    in_phase, opposed = patch.compass.notes_db([50, 70], [100, 100], MonoFrom.LEFT)
    assert opposed == pytest.approx(in_phase, abs=0.3)
    # 0.35 on the right against 0.5 on the left.
    right = patch.compass.notes_db([70], [100], MonoFrom.RIGHT)[0]
    assert right - opposed == pytest.approx(20 * np.log10(0.35 / 0.5), abs=0.1)


def test_the_attack_is_that_of_the_channel(path: Path) -> None:
    preset = Preset(str(path), 0, 0)
    for what in MonoFrom:
        assert attack_s(preset, 70, 100, RATE, what) < 0.01


@pytest.fixture
def scores(tmp_path: Path, make_song: Callable[..., Path]) -> Path:
    """Write a song of two parts."""
    make_song(tmp_path / "midi" / "song.mid", ((0, 0), (40, 1)))
    return tmp_path / "midi"


def render(scores: Path, font: Path, name: str = "corpus", **options: Any) -> Corpus:
    how = {"band": None, "sample_rate": RATE, "tail_s": 1.0, **options}
    return render_corpus(scores, scores.parent / name, soundfonts=[font], **how)


def audio_of(corpus: Corpus, stem: Stem | RenditionStem) -> Floats:
    audio, _ = soundfile.read(corpus.root / stem.path, dtype="float32", always_2d=True)
    return np.asarray(audio.T)


def likeness(a: Floats, b: Floats) -> float:
    return float(np.vdot(a, b) / np.sqrt(np.vdot(a, a) * np.vdot(b, b)))


def test_a_stem_is_the_louder_channel_and_says_so(scores: Path, path: Path) -> None:
    mono, stereo = render(scores, path), render(scores, path, "stereo", n_channels=2)
    pairs = list(zip(mono.stem_records(), stereo.stem_records(), strict=True))
    assert len(pairs) == 2
    for stem, wide in pairs:
        assert (stem.mono_from, wide.mono_from) == ("left", None)
        left, right = audio_of(stereo, wide)
        (audio,) = audio_of(mono, stem)
        assert likeness(audio, left) > 0.9999
        assert likeness(audio, left + right) < 0.99
        assert stem.n_notes_unheard == 0
        assert stem.audit == ()
    validate_corpus(mono.root)
    assert not any(stem.defects for stem in audit_corpus(mono.root, soundfonts=[path]))


def test_a_part_in_phase_is_the_sum(tmp_path: Path, path: Path) -> None:
    write_notes(tmp_path / "midi" / "low.mid", [48, 50, 52])
    corpus = render(tmp_path / "midi", path)
    assert [stem.mono_from for stem in corpus.stem_records()] == ["sum"]


def test_what_is_rendered_whole_has_stems_that_add_up_to_it(scores: Path, path: Path) -> None:
    how = {"mix_source": "unsplit", "patch_choice": "program"}
    corpus = render(scores, path, **how)
    assert {stem.mono_from for stem in corpus.stem_records()} == {"sum"}


def test_workers_write_the_same_bytes(scores: Path, path: Path) -> None:
    one, other = render(scores, path), render(scores, path, "other", jobs=2)
    for a, b in zip(one.stem_records(), other.stem_records(), strict=True):
        assert (a.sha256, a.mono_from) == (b.sha256, b.mono_from)


def test_renditions_are_of_one_channel_too(tmp_path: Path, path: Path) -> None:
    write_notes(tmp_path / "midi" / "a.mid", [50, 70, 72])
    write_notes(tmp_path / "midi" / "b.mid", [50, 52, 55])
    how = {"sample_rate": RATE, "headroom_db": 24.0, "band": None}
    corpus = render_renditions(tmp_path / "midi", tmp_path / "c", soundfonts=[path], **how)
    found = {s.note_pitch.max(): s.mono_from for s in corpus.rendition_stem_records()}
    assert found == {72: "left", 55: "sum"}
    validate_corpus(corpus.root)


def write_notes(path: Path, keys: Sequence[int]) -> None:
    track = mido.MidiTrack()
    for key in keys:
        track.append(mido.Message("note_on", note=key, velocity=100))
        track.append(mido.Message("note_off", note=key, time=480))
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(tracks=[track]).save(path)


@pytest.mark.slow
def test_the_grand_piano_of_fluidr3_is_one_channel_and_audited_as_such() -> None:
    """Its channels correlate by -0.5 at key 72; the reference must be of the same channel."""
    fluid = next(font for font in KNOWN if font.file == "FluidR3_GM.sf2")
    found = find_fonts([fluid])
    if not found:
        pytest.skip("FluidR3_GM.sf2 is not installed")
    patch = patch_of(found[fluid])
    assert patch.preset is not None
    assert patch.mono_from([36, 43, 48], [100] * 3) is MonoFrom.SUM
    keys = [48, 60, 67, 72, 76, 79]
    what = patch.mono_from(keys, [100] * 6)
    assert what is not MonoFrom.SUM
    onset = on_grid(np.arange(6.0), RATE)
    offset = onset + on_grid(0.5, RATE)
    table = np.column_stack([onset, offset, keys, [100] * 6]).astype(np.int64)
    rows = [(on, bytes((0x90, key, 100))) for on, _, key, _ in table.tolist()]
    rows += [(off, bytes((0x80, key, 0))) for _, off, key, _ in table.tolist()]
    events = [Event(0, data) for _, data in sorted(rows)]
    frames = np.array([frame for frame, _ in sorted(rows)], np.int64)
    out = np.empty(8 * RATE, np.float32)
    Synth(RATE, (patch.preset.soundfont,)).render(events, frames, patch.preset, out, what)
    notes = as_played(table, RATE, is_drum=False, events=events, frames=frames)

    def left_db(of: MonoFrom) -> float:
        arguments = (notes, events, frames, patch.preset, RATE, len(out))
        reference = reference_of(*arguments, mono_from=of)
        assert reference is not None
        low = decimated(out, reference.factor)
        left = low - reference.audio[: len(low)]
        return float(10 * np.log10(np.vdot(left, left) / np.vdot(low, low)))

    assert left_db(what) < -45
    assert left_db(MonoFrom.SUM) > -10
