"""Corpora of two channels: where the sound stands, how loud it is, and that it is checked."""

from __future__ import annotations

import math
from pathlib import Path

import mido
import numpy as np
import pyloudnorm
import pytest
import soundfile
import soundfont_maker as maker
from soundfont_maker import SAMPLE_MODES, Program, Zone, tone
from stemsmith.manifests.audio.flac import encode_flac
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import DefectKind, Stem
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.workflow import render_corpus, render_renditions

RATE = 16000
GRAND_PIANO, STRINGS, BASS, PAN = 0, 48, 32, 10
GM_RESET = bytes((0x7E, 0x7F, 0x09, 0x01))


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a soundfont whose presets are a looped sine, the same in both channels."""
    sine = [Zone(0, generators={SAMPLE_MODES: 1})]
    programs = [Program([Zone(0)], 0, number) for number in (GRAND_PIANO, STRINGS, BASS)]
    programs.append(Program([Zone(0)], 128, 0))
    return maker.write_sf2(tmp_path_factory.mktemp("font") / "f.sf2", [tone()], [sine], programs)


def write_song(
    path: Path, pans: dict[int, int | None], resets: tuple[int, ...] = (), seconds: int = 4
) -> Path:
    """Write a song of a part a program, each with its controller 10, if there is one."""
    file = mido.MidiFile(ticks_per_beat=480)
    first = mido.MidiTrack()
    now = 0
    for tick in resets:
        first.append(mido.Message("sysex", data=GM_RESET, time=tick - now))
        now = tick
    file.tracks.append(first)
    for channel, (program, pan) in enumerate(pans.items()):
        track = mido.MidiTrack()
        track.append(mido.Message("program_change", channel=channel, program=program))
        if pan is not None:
            track.append(mido.Message("control_change", channel=channel, control=PAN, value=pan))
        for beat in range(2 * seconds):
            note = {"channel": channel, "note": 60 + beat % 5}
            track.append(mido.Message("note_on", velocity=100, time=0 if beat else 480, **note))
            track.append(mido.Message("note_off", time=480, **note))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def rendered(folder: Path, font: Path, name: str = "corpus", **options: object) -> Corpus:
    settings = {"band": None, "sample_rate": RATE, "n_channels": 2, "tail_s": 1.0, **options}
    return render_corpus(
        folder / "midi",
        folder / name,
        RenderConfig(**settings),
        soundfonts=[font],  # type: ignore[arg-type]
    )


def read(corpus: Corpus, path: str) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    samples, _ = soundfile.read(corpus.root / path, dtype="int16", always_2d=True)
    return samples.T


@pytest.mark.parametrize("pan", [0, 1, 40, 64, 100, 127])
def test_controller_10_divides_the_power(tmp_path: Path, font: Path, pan: int) -> None:
    """FluidSynth's law: left and right are the cosine and the sine of an angle up to 90 degrees."""
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: pan})
    (stem,) = rendered(tmp_path, font).stem_records()
    left, right = read(Corpus(tmp_path / "corpus"), stem.path).astype(np.float64)
    angle = math.pi / 2 * (0 if pan == 0 else (pan - 1) / 126)
    share = (left @ left) / (left @ left + right @ right)
    assert share == pytest.approx(math.cos(angle) ** 2, abs=0.01)


def test_the_mean_of_the_channels_is_the_mono_stem(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 30})
    (stereo,) = rendered(tmp_path, font).stem_records()
    (mono,) = rendered(tmp_path, font, "mono", n_channels=1).stem_records()
    assert (mono.n_channels, mono.k_power_mono, mono.power_mono) == (1, None, None)
    assert stereo.k_power_mono is not None
    assert stereo.power_mono is not None
    np.testing.assert_allclose(stereo.k_power_mono, mono.k_power, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(stereo.power_mono, mono.power, rtol=1e-4, atol=1e-12)


def test_loudness_is_that_of_both_channels(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110})
    corpus = rendered(tmp_path, font)
    level = corpus.song_records()[0].overall_gain_db - 13.0
    for stem in corpus.stem_records():
        samples = read(corpus, stem.path).T / 32768
        meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
        assert meter.integrated_loudness(samples) == pytest.approx(level, abs=0.05)
        assert integrated_loudness(stem.k_power, stem.gain_db) == pytest.approx(level, abs=0.05)


def test_the_same_signal_on_both_channels_is_3_lu_louder() -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, RATE * 2).astype(np.float32)
    one, both = envelope(signal, RATE), envelope(np.stack([signal, signal]), RATE)
    np.testing.assert_allclose(both.k_power, 2 * one.k_power, rtol=1e-6)
    np.testing.assert_array_equal(both.power, one.power)
    np.testing.assert_allclose(both.k_power_mono, one.k_power, rtol=1e-6)


def test_opposite_signals_are_loud_in_stereo_and_silent_in_mono() -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    levels = envelope(np.stack([signal, -signal]), RATE)
    assert levels.k_power.min() > 0
    assert not levels.k_power_mono.any()
    assert not levels.power_mono.any()


def test_the_mixture_is_the_sum_of_the_stems_in_each_channel(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110, BASS: None})
    corpus = rendered(tmp_path, font)
    (song,) = corpus.song_records()
    total = sum(read(corpus, stem.path).astype(np.int32) for stem in corpus.stem_records())
    np.testing.assert_array_equal(read(corpus, song.mix_path), total)
    assert song.n_channels == 2
    validate_corpus(corpus.root)


def test_a_sample_that_is_wrong_in_one_channel_is_found(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110})
    corpus = rendered(tmp_path, font)
    path = corpus.root / corpus.song_records()[0].mix_path
    samples = read(corpus, corpus.song_records()[0].mix_path).copy()
    samples[1, 5000] += 1
    path.write_bytes(encode_flac(samples, RATE))
    with pytest.raises(InvalidCorpus, match=r"mix\.flac"):
        validate_corpus(corpus.root)


def test_stems_that_do_not_fit_into_memory_are_the_same(
    tmp_path: Path, font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110})
    hashes = [s.samples_sha256 for s in rendered(tmp_path, font).stem_records()]
    monkeypatch.setattr("stemsmith.render.songs.mixdown._MAX_BYTES_IN_MEMORY", 0)
    spilled = rendered(tmp_path, font, "spilled")
    assert [s.samples_sha256 for s in spilled.stem_records()] == hashes
    validate_corpus(spilled.root)


def test_nothing_is_found_wrong_with_stereo_stems(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 0, STRINGS: 127, BASS: 64})
    assert all(stem.audit == () for stem in rendered(tmp_path, font).stem_records())


def test_a_gap_in_one_channel_is_found(tmp_path: Path, font: Path) -> None:
    from stemsmith.render.checking import audit_corpus

    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 64})
    corpus = rendered(tmp_path, font)
    (stem,) = corpus.stem_records()
    samples = read(corpus, stem.path).copy()
    start = int(stem.note_onset[3]) + 2000
    samples[0, start : start + 400] = 0
    (corpus.root / stem.path).write_bytes(encode_flac(samples, RATE))
    (audited,) = audit_corpus(corpus.root, soundfonts=[font])
    assert DefectKind.DROPOUT in {defect.kind for defect in audited.defects}


# Drawn places.


def pans_of(corpus: Corpus) -> dict[int, int | None]:
    return {stem.program: stem.pan for stem in corpus.stem_records()}


def test_places_are_drawn_for_songs_without_any(tmp_path: Path, font: Path) -> None:
    for number in range(8):
        write_song(
            tmp_path / "midi" / f"{number}.mid",
            {GRAND_PIANO: None, STRINGS: None, BASS: None},
            seconds=1 + number,
        )
    corpus = rendered(tmp_path, font, pan="drawn", splits="1,0,0", near_duplicates=False)
    drawn: list[Stem] = corpus.stem_records()
    assert {s.pan for s in drawn if s.program == BASS} == {64}
    aside = [s for s in drawn if s.pan != 64]
    assert 3 <= len(aside) <= 13
    for stem in drawn:
        left, right = read(corpus, stem.path).astype(np.float64)
        assert stem.pan is not None
        if stem.pan == 64:
            np.testing.assert_array_equal(left, right)
        else:
            assert (left @ left > right @ right) == (stem.pan < 64)
        file = mido.MidiFile(corpus.root / stem.midi_path)
        sent = [m.value for t in file.tracks for m in t if m.is_cc(PAN)]
        assert sent == [stem.pan]
    again = rendered(tmp_path, font, "again", pan="drawn", splits="1,0,0", near_duplicates=False)
    assert [s.sha256 for s in again.stem_records()] == [s.sha256 for s in drawn]
    validate_corpus(corpus.root)


def test_songs_that_say_where_one_part_stands_are_left_alone(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: None, STRINGS: 20})
    drawn, plain = rendered(tmp_path, font, "drawn", pan="drawn"), rendered(tmp_path, font)
    assert set(pans_of(drawn).values()) == {None}
    hashes = [[s.sha256 for s in corpus.stem_records()] for corpus in (drawn, plain)]
    assert hashes[0] == hashes[1]


def test_a_drawn_place_outlives_resets(
    tmp_path: Path, font: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GM reset sets controller 10 back to the middle."""
    monkeypatch.setattr("stemsmith.render.midi.panorama.draw_pan", lambda *_: 10)
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: None}, resets=(0, 960))
    (stem,) = rendered(tmp_path, font, pan="drawn").stem_records()
    left, right = read(Corpus(tmp_path / "corpus"), stem.path).astype(np.float64)
    half = len(left) // 2
    for start in (0, half):
        part = slice(start, start + half)
        assert left[part] @ left[part] > 10 * right[part] @ right[part]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_channels": 3}, "--channels must be 1 or 2"),
        ({"n_channels": 1, "pan": "drawn"}, "--pan drawn needs --channels 2"),
        (
            {"pan": "drawn", "mix_source": "unsplit", "patch_choice": "program"},
            "--pan drawn cannot be with --mix-source unsplit",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RenderConfig(**{"n_channels": 2, **options})  # type: ignore[arg-type]


def test_the_unsplit_mixture_has_two_channels(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 0, STRINGS: 127})
    corpus = rendered(tmp_path, font, mix_source="unsplit", patch_choice="program")
    (song,) = corpus.song_records()
    mix = read(corpus, song.mix_path).astype(np.int32)
    total = sum(read(corpus, stem.path).astype(np.int32) for stem in corpus.stem_records())
    assert np.abs(mix - total).max() <= 4
    validate_corpus(corpus.root)


# What is made of them.


def test_renditions_have_two_channels(tmp_path: Path, font: Path) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110})
    made = render_renditions(
        tmp_path / "midi",
        tmp_path / "corpus",
        soundfonts=[font],
        n_channels=2,
        sample_rate=RATE,
        n_renditions=2,
        shifts_s=(0.0, 0.1),
        headroom_db=12.0,
    )
    validate_corpus(made.root)
    for stem in made.rendition_stem_records():
        left, right = (soundfile.read(made.root / stem.path)[0].T).astype(np.float64)
        assert (left @ left > right @ right) == (stem.program == GRAND_PIANO)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_mixtures_know_the_powers_of_their_channels(
    tmp_path: Path, font: Path, n_channels: int
) -> None:
    write_song(tmp_path / "midi" / "a.mid", {GRAND_PIANO: 20, STRINGS: 110})
    corpus = rendered(tmp_path, font)
    sources = find_sources([str(corpus.root)], tmp_path)
    by_path = {stem.path: stem for stem in read_stems(sources, {}, n_channels)}
    for path, stem in by_path.items():
        audio = read(corpus, path).astype(np.float32) / 32768
        audio = audio.mean(axis=0, keepdims=True) if n_channels == 1 else audio
        levels = envelope(audio, RATE)
        np.testing.assert_allclose(stem.k_power, levels.k_power, rtol=2e-3, atol=1e-9)
        np.testing.assert_allclose(stem.power, levels.power, rtol=2e-3, atol=1e-9)
