"""Corpora, renditions and single files whose patches are SFZ instruments."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from sfz_maker import RATE, kit, strings, write_sfz, write_wav
from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.jobs import InProcess
from stemsmith.manifests.records import Part, Reason, Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.render import workflow
from stemsmith.render.corpus.config import MixSource, RenderConfig
from stemsmith.render.midi.smf import Event
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.renditions.factors import Tempo
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.patches import bank_from_yaml
from stemsmith.render.sound.sfz.instrument import SfzInstrument
from stemsmith.render.sound.sfz.playing import play_sfz
from stemsmith.render.workflow import render_corpus, render_midi, render_renditions

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pysfizz") is None, reason="pysfizz is not installed"
)
CONFIG = RenderConfig(sample_rate=RATE, band=None, min_stem_notes=1, audit=True)
DRUMS = (36, 38, 42, 46, 49, 35, 44, 57)


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


@pytest.fixture(scope="module")
def bank_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruments")
    strings(folder / "strings")
    kit(folder / "kit")
    bank = folder / "bank.yaml"
    bank.write_text(
        "Violin:\n- {sfz: strings/Strings.sfz}\nDrums:\n- {sfz: kit/Kit.sfz, name: my kit}\n"
    )
    return bank


def write_duo(path: Path, keys: range = range(36, 72)) -> Path:
    """Write a violin, and drums that the kit has or has the likes of; onsets are on no grid."""
    file = mido.MidiFile(ticks_per_beat=480)
    for program, channel in ((40, 0), (0, 9)):
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        for i in range(16):
            key = DRUMS[i % len(DRUMS)] if channel == 9 else keys[(5 * i) % len(keys)]
            track.append(mido.Message("note_on", note=key, velocity=70 + 3 * i, time=31))
            track.append(mido.Message("note_off", note=key, time=217))
            for message in track[-2:]:
                message.channel = channel
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one song; read only."""
    return write_duo(tmp_path_factory.mktemp("midi") / "duo.mid").parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, duo: Path, bank_file: Path) -> Corpus:
    """Return a corpus of the song, made in this process; read only."""
    root = tmp_path_factory.mktemp("sfz") / "c"
    return render_corpus(duo, root, CONFIG, patches=bank_file)


def instruments(bank_file: Path) -> dict[str, SfzInstrument]:
    bank = bank_from_yaml(bank_file)
    return {patch.name: patch.sfz for patch in bank.patches if patch.sfz is not None}


def played(stem: Stem | RenditionStem, instrument: SfzInstrument) -> npt.NDArray[np.float32]:
    """Return what the instrument makes of the note table, at the level of the stem."""
    sent = []
    for onset, offset, pitch, velocity in zip(
        stem.note_onset, stem.note_offset, stem.note_pitch, stem.note_velocity, strict=True
    ):
        sent += [(onset, 1, bytes((0x90, pitch, velocity))), (offset, 0, bytes((0x80, pitch, 0)))]
    sent.sort()
    out = np.empty((stem.n_channels or 1, stem.n_samples), np.float32)
    events = [Event(0, data) for _, _, data in sent]
    play_sfz(instrument, events, np.array([s[0] for s in sent], np.int64), out, stem.sample_rate)
    return out * np.float32(10 ** (stem.gain_db / 20))


def read(corpus: Corpus, path: str) -> npt.NDArray[np.float32]:
    audio, _ = soundfile.read(corpus.root / path, dtype="float32", always_2d=True)
    return np.asarray(audio.T)


def test_stems_are_what_the_note_table_says(corpus: Corpus, bank_file: Path) -> None:
    violin, drums = corpus.stem_records()
    assert (violin.patch, drums.patch) == ("Strings.sfz", "my kit")
    for stem in (violin, drums):
        expected = played(stem, instruments(bank_file)[stem.patch])
        np.testing.assert_allclose(read(corpus, stem.path), expected, atol=1 / 32768)
        assert np.abs(expected).max() > 0.1
        # 120 beats a minute, 480 ticks a beat: a note starts every 248 ticks, 31 ticks late
        onset_s = (31 + 248 * np.arange(16)) / 960
        np.testing.assert_array_equal(stem.note_onset, np.rint(onset_s * RATE))
        assert stem.note_heard is not None and stem.note_heard.all()
        assert stem.n_notes_unheard == 0
        assert stem.note_sounding_pitch is None
        assert stem.audit == ()
    corpus.verify()


def test_onsets_are_those_of_the_audio(corpus: Corpus) -> None:
    drums = corpus.stem_records()[1]
    (audio,) = read(corpus, drums.path)
    for onset in drums.note_onset:
        before, after = (np.abs(audio[max(0, k) : k + 100]) for k in (onset - 100, onset))
        assert after.max() > 0.03
        assert after[:20].max() > 10 * before[-20:].max()


def test_workers_write_the_same_bytes(
    corpus: Corpus, duo: Path, bank_file: Path, tmp_path: Path
) -> None:
    again = render_corpus(duo, tmp_path / "c", CONFIG, patches=bank_file, jobs=2)
    assert hashes(again.root) == hashes(corpus.root)


def test_the_manifest_says_what_plays(corpus: Corpus, bank_file: Path) -> None:
    manifest = shards.read_manifest(corpus.root, "corpus")
    found = instruments(bank_file)
    assert manifest["sfz_instruments"] == [
        {
            "file": "Strings.sfz",
            "sha256": found["Strings.sfz"].fingerprint,
            "licence": "Free for all.",
        },
        {"file": "Kit.sfz", "sha256": found["my kit"].fingerprint, "licence": ""},
    ]
    assert manifest["versions"]["pysfizz"] == version("pysfizz")


def test_workers_must_have_the_same_files(bank_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        workflow, "preflight", lambda *_, **kwargs: asked.update(kwargs) or nullcontext()
    )
    workflow.same_sound(InProcess(), bank_from_yaml(bank_file))
    folder = bank_file.parent
    files = [
        *(folder / "strings/samples").iterdir(),
        *(folder / "kit/Drums").iterdir(),
        *(folder / "strings/Strings.sfz", folder / "kit/Kit.sfz"),
    ]
    assert asked["hashed"] == {str(file): storage.file_hash(file) for file in files}
    assert asked["versions"]()["pysfizz"] == version("pysfizz")


def test_another_instrument_is_not_resumed(
    duo: Path, bank_file: Path, tmp_path: Path, killed_after: Callable[[int], Any]
) -> None:
    folder = tmp_path / "instruments"
    shutil.copytree(bank_file.parent, folder)
    bank, root = folder / "bank.yaml", tmp_path / "c"
    with killed_after(5):
        render_corpus(duo, root, CONFIG, patches=bank)
    assert not (root / "manifest.json").exists()
    sample = folder / "kit/Drums/36.wav"
    before = sample.read_bytes()
    write_wav(sample, np.linspace(1, 0, 4000))
    with pytest.raises(UsageError, match="was made with other arguments, other input files"):
        render_corpus(duo, root, CONFIG, patches=bank)
    sample.write_bytes(before)
    assert hashes(render_corpus(duo, root, CONFIG, patches=bank).root)


def test_two_channels(duo: Path, bank_file: Path, tmp_path: Path, corpus: Corpus) -> None:
    stereo = render_corpus(duo, tmp_path / "c", CONFIG, patches=bank_file, n_channels=2)
    for stem, mono in zip(stereo.stem_records(), corpus.stem_records(), strict=True):
        expected = played(stem, instruments(bank_file)[stem.patch])
        np.testing.assert_allclose(read(stereo, stem.path), expected, atol=1 / 32768)
        np.testing.assert_array_equal(stem.note_onset, mono.note_onset)


def test_a_single_file_is_rendered_as_in_a_corpus(
    corpus: Corpus, duo: Path, bank_file: Path
) -> None:
    stems = render_midi(duo / "duo.mid", CONFIG, patches=bank_file)
    for stem in corpus.stem_records():
        np.testing.assert_allclose(stems[stem.stem], read(corpus, stem.path), atol=1 / 32768)


def test_renditions(duo: Path, bank_file: Path, tmp_path: Path) -> None:
    config = RenditionConfig(
        sample_rate=RATE,
        n_renditions=2,
        tempos=(Tempo.parse("100"),),
        shifts_s=(0.0, 0.1),
        jitter_s=0.01,
        headroom_db=24,
    )
    root = render_renditions(duo, tmp_path / "r", config, patches=bank_file)
    records = root.rendition_stem_records()
    assert {stem.patch for stem in records} == {"Strings.sfz", "my kit"}
    for stem in records:
        expected = played(stem, instruments(bank_file)[stem.patch])
        np.testing.assert_allclose(read(root, stem.path), expected, atol=1e-4)
        assert np.abs(expected).max() > 0.003
        assert math.isnan(stem.attack_s)
        assert stem.note_heard is not None and stem.note_heard.all()
    root.verify()
    with pytest.raises(UsageError, match=r"Strings\.sfz: single notes of an SFZ instrument cannot"):
        render_renditions(duo, tmp_path / "t", config, patches=bank_file, tuning_cents=5.0)


def test_an_unsplit_mixture_cannot_have_instruments(
    duo: Path, bank_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"unsplit cannot have .* nor SFZ instruments"):
        render_corpus(
            *(duo, tmp_path / "c", CONFIG),
            patches=bank_file,
            mix_source=MixSource.UNSPLIT,
            patch_choice=PatchChoice.PROGRAM,
        )


def test_a_song_out_of_reach_is_left_out(bank_file: Path, tmp_path: Path) -> None:
    write_duo(tmp_path / "midi/low.mid", range(12, 23))
    with pytest.raises(NothingToDo, match="1 unplayable"):
        render_corpus(tmp_path / "midi", tmp_path / "c", CONFIG, patches=bank_file)
    write_duo(tmp_path / "midi/fits.mid")
    corpus = render_corpus(tmp_path / "midi", tmp_path / "d", CONFIG, patches=bank_file)
    (rejection,) = corpus.rejection_records()
    assert (rejection.id, rejection.reason) == ("low.mid", Reason.UNPLAYABLE)
    assert "Strings.sfz: has no region for 16 of 16 notes" in rejection.detail


def test_lost_notes_are_marked_and_the_rest_is_sound(bank_file: Path, tmp_path: Path) -> None:
    # One of the 16 notes is below the instrument's lowest key.
    write_duo(tmp_path / "midi/a.mid", range(29, 86))
    corpus = render_corpus(tmp_path / "midi", tmp_path / "c", CONFIG, patches=bank_file)
    violin = corpus.stem_records()[0]
    assert violin.note_heard is not None
    np.testing.assert_array_equal(violin.note_heard, violin.note_pitch >= 30)
    assert violin.n_notes_unheard == 1
    assert violin.audit == ()
    corpus.verify()


def test_the_instrument_that_reaches_the_notes_is_drawn(duo: Path, bank_file: Path) -> None:
    folder = bank_file.parent
    write_sfz(folder / "high.sfz", "<region> sample=strings/samples/84.wav lokey=80 hikey=90")
    bank_file_2 = folder / "two.yaml"
    bank_file_2.write_text("Violin: [{sfz: high.sfz}, {sfz: strings/Strings.sfz}]")
    bank = bank_from_yaml(bank_file_2)
    part = Part(0, 0, 40, 0, 0, 2, "violin")
    strikes = np.array([60, 100, 2, 62, 90, 1], np.uint8)
    drawn = {bank.patch_for(part, PatchChoice.CLASS, seed, "song", strikes) for seed in range(20)}
    assert {patch and patch.name for patch in drawn} == {"Strings.sfz"}
    free = {bank.patch_for(part, PatchChoice.CLASS, seed, "song") for seed in range(20)}
    assert len(free) == 2
    assert bank.patches[0].n_lost(strikes) == 3
    assert bank.has_effects


def test_effects_follow_the_instrument(duo: Path, bank_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("pedalboard")
    bank = bank_file.parent / "effects.yaml"
    bank.write_text("Violin: [{sfz: strings/Strings.sfz, effects: [{Gain: {gain_db: -20}}]}]")
    config = dataclasses.replace(CONFIG, target_lufs=-60, max_gain_db=0)
    loud = render_midi(duo / "duo.mid", config, patches=bank_file)["S00"]
    soft = render_midi(duo / "duo.mid", config, patches=bank)["S00"]
    assert np.abs(loud).max() > 0
    np.testing.assert_allclose(soft / np.abs(soft).max(), loud / np.abs(loud).max(), atol=1e-4)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{sfz: gone.sfz}", "there is no file"),
        ("{sfz: strings/LICENSE.txt}", "is a file that ends in .sfz"),
        ("{sfz: strings/Strings.sfz, folder: strings}", "give either a soundfont or"),
        ("{sfz: 5}", "5: an SFZ instrument is a file that ends in .sfz"),
    ],
)
def test_mistakes_of_a_bank_file(bank_file: Path, entry: str, expected: str) -> None:
    wrong = bank_file.parent / "wrong.yaml"
    wrong.write_text(f"Violin: [{entry}]")
    with pytest.raises(UsageError) as caught:
        bank_from_yaml(wrong)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command(duo: Path, bank_file: Path, tmp_path: Path, here: Any, corpus: Corpus) -> None:
    done = here(
        *("render", duo, tmp_path / "c", "--patches", bank_file, "--no-band", "--audit"),
        *("--sample-rate", RATE, "--min-stem-notes", 1, "--jobs", 0),
    )
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "c") == hashes(corpus.root)
    done = here("validate", tmp_path / "c")
    assert done.returncode == 0, done.stdout + done.stderr
