"""Pieces of drum kits: which key is which, that they add up, and who gets them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.programs import DrumPiece
from stemsmith.manifests.records import Part, Stem
from stemsmith.mixing.workflow import mix
from stemsmith.render.certificate import make_certificate
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.drum_pieces import pieces_of_keys
from stemsmith.render.midi.score import read_score
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.songs import mixdown
from stemsmith.render.sound.patches import Bank
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, on_grid, shared_synth
from stemsmith.render.workflow import make_bank, render_corpus

RATE = 16000
OPTIONS = {"band": None, "min_notes": 1, "sample_rate": RATE, "patch_choice": "program"}
# Kick, snare, a tom, closed and open hi-hat, ride, crash, cowbell.
KEYS = (36, 38, 45, 42, 46, 51, 49, 56)


def write(path: Path, seed: int = 0, n_notes: int = 120) -> Path:
    """Write a kit and a piano; many voices of the kit sound at a time."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, keys in ((9, KEYS), (0, (60, 64, 67))):
        track = mido.MidiTrack([mido.Message("program_change", program=0, channel=channel)])
        for _ in range(n_notes):
            key, velocity = int(rng.choice(keys)), int(rng.integers(40, 128))
            on = mido.Message("note_on", note=key, velocity=velocity, channel=channel)
            off = mido.Message("note_off", note=key, channel=channel, time=60)
            track.extend([on, off])
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def samples(corpus: Corpus, stem: Stem) -> np.ndarray:
    audio, _ = soundfile.read(corpus.root / stem.path, dtype="int16", always_2d=True)
    return audio.T.astype(np.int64)


def kit_of(corpus: Corpus) -> Stem:
    return next(stem for stem in corpus.stem_records() if stem.program == 128)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("pieces")
    write(folder / "midi" / "song.mid")
    return render_corpus(folder / "midi", folder / "corpus", **OPTIONS, drum_pieces=True)


def part(bank: int = 0, kit: int = 0) -> Part:
    return Part(0, 9, 128, bank, kit, 1, "")


@pytest.mark.parametrize(
    ("part", "key", "piece"),
    [
        *((part(), key, piece) for key, piece in zip(
            (35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55,
             56, 57, 59, 75, 81),
            ("kick", "kick", "snare", "snare", "percussion", "snare", "toms", "hi-hat", "toms",
             "hi-hat", "toms", "hi-hat", "toms", "toms", "crash", "toms", "ride", "crash", "ride",
             "percussion", "crash", "percussion", "crash", "ride", "percussion", "percussion"),
            strict=True,
        )),
        (part(), 25, "snare"), (part(), 27, "percussion"), (part(), 33, "percussion"),
        (part(), 86, "percussion"), (part(kit=25), 36, "kick"),
        (part(kit=40), 39, "snare"), (part(kit=48), 27, "hi-hat"), (part(kit=48), 30, "ride"),
        (part(kit=48), 42, "percussion"), (part(kit=48), 59, "crash"),
        (part(kit=56), 38, "percussion"),
        (part(127), 33, "kick"), (part(127), 31, "snare"), (part(127), 34, "snare"),
        (part(127), 13, "percussion"), (part(127, 24), 28, "percussion"), (part(127), 28, "snare"),
        (part(127), 42, "hi-hat"), (part(127), 82, "percussion"), (part(126), 38, "percussion"),
    ],
)  # fmt: skip
def test_keys_are_the_pieces_of_gm_gs_and_xg(part: Part, key: int, piece: str) -> None:
    assert pieces_of_keys(part)[key] == piece


def test_keys_that_choke_one_another_are_one_piece() -> None:
    groups = {42: 1, 44: 1, 46: 1, 54: 1, 71: 2, 72: 2}
    found = pieces_of_keys(part(), exclusive_class=lambda key: groups.get(key, 0))
    assert {found[key] for key in (42, 44, 46, 54)} == {DrumPiece.HI_HAT}
    assert found[56] is found[71] is DrumPiece.PERCUSSION
    assert pieces_of_keys(part(kit=0), 48)[42] is DrumPiece.PERCUSSION  # the kit that sounds


@pytest.mark.parametrize("n_channels", [1, 2])
def test_pieces_add_up_to_the_kit_as_it_is_rendered_at_once(
    tmp_path: Path, n_channels: int
) -> None:
    path = write(tmp_path / "midi" / "song.mid")
    options = {**OPTIONS, "n_channels": n_channels}
    corpus = render_corpus(tmp_path / "midi", tmp_path / "c", **options, drum_pieces=True)
    validate_corpus(corpus)
    kit, pieces = kit_of(corpus), corpus.piece_records()
    names = ["kick", "snare", "toms", "hi-hat", "ride", "crash", "percussion"]
    assert [piece.stem for piece in pieces] == [f"{kit.stem}_{name}" for name in names]
    total = sum(samples(corpus, piece) for piece in pieces)
    np.testing.assert_array_equal(total, samples(corpus, kit))
    score = read_score(path.read_bytes())
    index = int(kit.stem[1:])
    events = score.events(index)
    frames = on_grid(score.tempo_map.seconds([event.tick for event in events]), RATE)
    font = str(default_soundfont())
    at_once = np.zeros((n_channels, kit.n_samples), np.float32)
    shared_synth(RATE, (font,)).render(events, frames, Preset(font, 128, 0), at_once)
    expected = at_once.astype(np.float64) * 10 ** (kit.gain_db / 20) * 32768
    assert np.abs(expected).max() > 3000
    assert np.abs(samples(corpus, kit) - np.rint(expected)).max() <= 4
    plain = render_corpus(tmp_path / "midi", tmp_path / "plain", **options)
    assert not plain.has_pieces
    assert plain.pieces.num_rows == 0
    assert np.abs(samples(corpus, kit) - samples(plain, kit_of(plain))).max() <= 5
    others = [
        [s.samples_sha256 for s in c.stem_records() if s.program != 128] for c in (corpus, plain)
    ]
    assert others[0] == others[1]


def test_pieces_are_rows_of_their_own_with_the_notes_of_their_keys(corpus: Corpus) -> None:
    kit, pieces = kit_of(corpus), corpus.piece_records()
    assert "crash" not in "".join(stem.stem for stem in corpus.stem_records())
    assert corpus.pieces.num_rows == len(pieces) == 7
    assert [p.inst_class for p in pieces][:4] == ["Kick", "Snare", "Toms", "Hi-Hat"]
    assert {p.rendering_class for p in pieces} == {kit.rendering_class}
    assert {p.gain_db for p in pieces} == {kit.gain_db}
    assert sum(p.n_notes for p in pieces) == kit.n_notes
    (hats,) = (p for p in pieces if p.inst_class == "Hi-Hat")
    assert set(hats.note_pitch.tolist()) == {42, 46}
    own = np.isin(kit.note_pitch, [42, 46])
    np.testing.assert_array_equal(hats.note_onset, kit.note_onset[own])
    np.testing.assert_array_equal(hats.note_heard, kit.note_heard[own])
    assert (hats.path, hats.midi_path) == (
        f"train/Track00001/pieces/{kit.stem}_hi-hat.flac",
        f"train/Track00001/pieces/{kit.stem}_hi-hat.mid",
    )
    struck = [
        m.note for t in mido.MidiFile(corpus.root / hats.midi_path).tracks for m in t
        if m.type == "note_on" and m.velocity
    ]  # fmt: skip
    assert struck == hats.note_pitch[hats.note_heard].tolist()
    track = corpus["Track00001"]
    assert set(track.stems) == {stem.stem for stem in corpus.stem_records()}


def test_a_closed_hi_hat_ends_an_open_one(tmp_path: Path) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    for key, wait in ((46, 0), (42, 240), (46, 480 * 6)):
        track.append(mido.Message("note_on", note=key, velocity=110, channel=9, time=wait))
        track.append(mido.Message("note_off", note=key, channel=9, time=10))
    file.tracks.append(track)
    (tmp_path / "midi").mkdir()
    file.save(tmp_path / "midi" / "hats.mid")
    corpus = render_corpus(tmp_path / "midi", tmp_path / "c", **OPTIONS, drum_pieces=True)
    (hats,) = corpus.piece_records()
    audio = samples(corpus, hats)[0].astype(np.float64)
    late_s = 0.45  # after the open one; the closed one is over by then
    choked, free = (audio[onset + round(late_s * RATE) :][:1600] for onset in (
        hats.note_onset[0], hats.note_onset[2],
    ))  # fmt: skip
    assert np.sqrt((choked**2).mean()) < 0.2 * np.sqrt((free**2).mean())


def test_a_song_that_memory_does_not_hold_has_the_same_bytes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixdown, "_MAX_BYTES_IN_MEMORY", 0)
    midi = corpus.root.parent / "midi"
    small = render_corpus(midi, tmp_path / "c", **OPTIONS, drum_pieces=True)
    found = [[p.sha256 for p in c.stem_records() + c.piece_records()] for c in (corpus, small)]
    assert found[0] == found[1]
    assert not list(small.root.rglob("*.f32"))


def test_a_piece_that_is_not_as_recorded_is_found(corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(corpus.root, tmp_path / "c")
    hat = next((tmp_path / "c").rglob("*_hi-hat.flac"))
    hat.write_bytes(hat.read_bytes()[:-10])
    with pytest.raises(InvalidCorpus, match=r"_hi-hat\.flac: SHA-256"):
        validate_corpus(tmp_path / "c")
    hat.unlink()
    with pytest.raises(InvalidCorpus, match=r"_hi-hat\.flac: missing"):
        validate_corpus(tmp_path / "c")


def test_the_certificate_is_of_pieces_too(corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(corpus.root, tmp_path / "c")
    copy = Corpus(tmp_path / "c")
    certificate = make_certificate(copy, [])
    assert certificate.content["corpus"]["n_pieces"] == 7
    checks = {row["check"]: row["n_checked"] for row in certificate.content["checks"]}
    assert checks["drum kit = sum of its pieces"] == 1


def test_mixtures_have_pieces_in_place_of_kits(corpus: Corpus, tmp_path: Path) -> None:
    mixtures = mix(
        corpus.root, tmp_path / "m", taxonomy="drum-pieces", n_mixtures=3, clip_s=2,
        min_rms_dbfs=-90, mode="coherent", splits=("train",), sample_rate=RATE,
    )  # fmt: skip
    sources = mixtures[0].record.sources
    targets = {source.group for source in sources}
    assert targets <= {"kick", "snare", "toms", "hi-hat", "cymbals", "percussion"}
    assert {"kick", "snare", "hi-hat", "cymbals"} <= targets
    assert all("/pieces/" in source.path for source in sources)


def test_a_corpus_without_pieces_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    midi = corpus.root.parent / "midi"
    plain = render_corpus(midi, tmp_path / "plain", **OPTIONS)
    with pytest.raises(UsageError, match="has no pieces of drum kits; render it with --drum-p"):
        mix(plain.root, tmp_path / "m", taxonomy="drum-pieces", n_mixtures=3, clip_s=2)
    assert not (tmp_path / "m").exists()


def test_kits_of_recorded_notes_have_pieces(tmp_path: Path) -> None:
    write(tmp_path / "midi" / "song.mid")
    (tmp_path / "notes").mkdir()
    tone = np.sin(np.arange(4000) / 9) * np.linspace(1, 0, 4000) * 0.1
    for key in KEYS:
        soundfile.write(tmp_path / "notes" / f"{key}.wav", tone * key / 60, RATE)
    bank = tmp_path / "bank.yaml"
    bank.write_text("Drums:\n- {folder: notes}\n")
    corpus = render_corpus(
        tmp_path / "midi", tmp_path / "c", patches=bank, **{**OPTIONS, "patch_choice": "class"},
        drum_pieces=True,
    )  # fmt: skip
    validate_corpus(corpus)
    assert len(corpus.piece_records()) == 7


def test_what_does_not_add_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--drum-pieces cannot be with --mix-source unsplit"):
        RenderConfig(drum_pieces=True, mix_source="unsplit", patch_choice="program")
    with pytest.raises(UsageError, match="--drum-pieces: stems of renditions are whole parts"):
        RenditionConfig(drum_pieces=True)
    write(tmp_path / "midi" / "song.mid")
    bank = make_bank()
    kit = next(p for p in bank.patches if p.rendering_class == "Drums")
    rest = tuple(p for p in bank.patches if p is not kit)
    loud = Bank((*rest, replace(kit, effects=({"effect": "Compressor"},))), bank.soundfonts)
    with pytest.raises(UsageError, match="has effects, and so its pieces do not add up"):
        render_corpus(tmp_path / "midi", tmp_path / "c", bank=loud, **OPTIONS, drum_pieces=True)
    assert not (tmp_path / "c").exists()
