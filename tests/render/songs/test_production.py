"""Produced corpora: what is written, that it fits together, and what is said of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
from stemsmith.manifests.audio.flac import encode_flac
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError, install_command
from stemsmith.manifests.programs import DRUMS, classes_of
from stemsmith.manifests.records import Stem
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.mixing.production.bus import Bus
from stemsmith.mixing.production.chain import chain_from_json
from stemsmith.mixing.production.class_effects import built_in_class_effects
from stemsmith.mixing.production.codec import Codec
from stemsmith.mixing.production.equaliser import BANDS_HZ, band_energies, masked_shares
from stemsmith.mixing.production.room import Room
from stemsmith.render.audit.published import plan_audit
from stemsmith.render.checking import certify_corpus, validate_corpus
from stemsmith.render.renditions.config import RenditionConfig
from stemsmith.render.workflow import render_corpus, render_midi

RATE = 16000
ALL: dict[str, Any] = {
    "effects": "class",
    "room": "drawn",
    "equalise": True,
    "master": "bus",
    "codec": "mp3:96",
    "dry": True,
}
Samples = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture(scope="module")
def _packages() -> None:
    for package in ("pedalboard", "pyroomacoustics", "av"):
        pytest.importorskip(package, reason="needs the extra effects")


@pytest.fixture(scope="module")
def midi_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two songs of random notes, 6 s long."""
    folder = tmp_path_factory.mktemp("midi")
    for seed in range(2):
        rng = np.random.default_rng(seed)
        file = mido.MidiFile(ticks_per_beat=480)
        for channel, program in ((0, 0), (1, 33), (2, 27), (3, 48), (9, 0)):
            track = mido.MidiTrack()
            track.append(mido.Message("program_change", program=program, channel=channel))
            for _ in range(60):
                note = {"note": int(rng.integers(36, 72)), "channel": channel}
                velocity = int(rng.integers(50, 110))
                track.append(mido.Message("note_on", velocity=velocity, **note))
                track.append(mido.Message("note_off", time=90, **note))
            file.tracks.append(track)
        file.save(folder / f"song{seed}.mid")
    return folder


def rendered(midi_dir: Path, corpus: Path, **options: Any) -> Corpus:
    options = {"audit": False, **options}
    return render_corpus(midi_dir, corpus, sample_rate=RATE, tail_s=1.0, **options)


@pytest.fixture(scope="module")
def produced(midi_dir: Path, tmp_path_factory: pytest.TempPathFactory, _packages: None) -> Corpus:
    return rendered(midi_dir, tmp_path_factory.mktemp("produced") / "corpus", **ALL)


@pytest.fixture(scope="module")
def plain(midi_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return rendered(midi_dir, tmp_path_factory.mktemp("plain") / "corpus")


def read(corpus: Corpus, path: str | None) -> Samples:
    assert path is not None
    samples, _ = soundfile.read(corpus.root / path, dtype="int16", always_2d=True)
    return np.ascontiguousarray(samples.T)


def lag(audio: Samples, reference: Samples) -> int:
    """Return by how much audio is late: the peak of the correlation of the phases alone."""
    n = 2 * reference.shape[1]
    cross = np.fft.rfft(audio[0], n) * np.fft.rfft(reference[0], n).conj()
    peak = int(np.argmax(np.fft.irfft(cross / np.maximum(np.abs(cross), 1e-9))))
    return peak if peak < n // 2 else peak - n


def files_of(corpus: Corpus) -> dict[str, bytes]:
    return {
        path.relative_to(corpus.root).as_posix(): path.read_bytes()
        for path in sorted(corpus.root.rglob("*"))
        if path.is_file()
    }


def test_a_produced_corpus_is_valid_and_has_no_other_files(produced: Corpus) -> None:
    assert validate_corpus(produced.root).root == produced.root.resolve()
    for song in produced.song_records():
        names = {p.name for p in (produced.root / song.path).iterdir()}
        assert names == {
            "MIDI", "all_src.mid", "dry", "master.flac", "metadata.yaml", "mix.flac", "stems",
        }  # fmt: skip
        for folder in ("dry", "stems"):
            files = (produced.root / song.path / folder).iterdir()
            assert len({p.name for p in files}) == song.n_stems


def test_the_mixture_is_the_sum_of_the_wet_stems(produced: Corpus) -> None:
    for song in produced.song_records():
        stems = [s for s in produced.stem_records() if s.song_id == song.song_id]
        total = sum(read(produced, stem.path).astype(np.int32) for stem in stems)
        np.testing.assert_array_equal(read(produced, song.mix_path), total)


def test_all_that_was_drawn_is_recorded(produced: Corpus) -> None:
    built_in = built_in_class_effects()
    for song in produced.song_records():
        assert song.room is not None and song.bus is not None and song.codec is not None
        assert Room.from_json(song.room).rt60_s >= 0.2
        assert Bus.from_json(song.bus).ratio >= 1.5
        assert Codec.from_json(song.codec) == Codec("mp3", 96)
    for stem in produced.stem_records():
        assert stem.effects is not None and stem.position is not None
        drawn = built_in.draw(
            classes_of(stem.program), rng_for(0, stem.song_id, stem.stem, "effects"), RATE
        )
        assert chain_from_json(stem.effects) == drawn
        assert len(json.loads(stem.position)) == 3
        assert stem.equaliser is not None
        assert len(json.loads(stem.equaliser)) == len(BANDS_HZ)
    versions = produced.header["production"]["versions"]
    assert set(versions) == {"libavcodec", "pedalboard", "pyroomacoustics"}
    assert "bass" in produced.header["production"]["class_effects"]


def test_mix_and_master_are_aligned(produced: Corpus) -> None:
    for song in produced.song_records():
        mix, master = read(produced, song.mix_path), read(produced, song.master_path)
        assert mix.shape == master.shape
        assert lag(master, mix) == 0


def test_rooms_do_not_move_what_is_played(midi_dir: Path, tmp_path: Path, _packages: None) -> None:
    corpus = rendered(midi_dir, tmp_path / "corpus", room="drawn", dry=True)
    for stem in corpus.stem_records():
        dry, wet = read(corpus, stem.dry_path), read(corpus, stem.path)
        assert dry.shape == wet.shape
        assert lag(wet, dry) == 0


def test_a_dry_stem_is_the_synthesis_at_the_gain_of_the_wet_one(
    produced: Corpus, plain: Corpus
) -> None:
    before = {stem.stem_id: stem for stem in plain.stem_records()}
    for stem in produced.stem_records():
        as_plain = before[stem.stem_id]
        dry = read(produced, stem.dry_path).astype(np.float64)
        same = read(plain, as_plain.path) * 10 ** ((stem.gain_db - as_plain.gain_db) / 20)
        # Both were rounded, one of them before its gain.
        assert np.abs(dry - same).max() <= 1 + 10 ** ((stem.gain_db - as_plain.gain_db) / 20)


def test_the_level_of_wet_stems_is_the_songs(produced: Corpus) -> None:
    gains_db = {song.song_id: song.overall_gain_db for song in produced.song_records()}
    for stem in produced.stem_records():
        audio = read(produced, stem.path).astype(np.float32) / 32768
        measured = integrated_loudness(envelope(audio, RATE).k_power)
        assert measured == pytest.approx(-13 + gains_db[stem.song_id], abs=0.1)


def test_the_same_bytes_for_any_number_of_jobs(
    midi_dir: Path, produced: Corpus, tmp_path: Path
) -> None:
    again = rendered(midi_dir, tmp_path / "corpus", jobs=2, **ALL)
    assert files_of(again) == files_of(produced)


def test_without_production_there_is_none(plain: Corpus) -> None:
    assert "production" not in plain.header
    assert all(song.master_path is None and song.room is None for song in plain.song_records())
    for stem in plain.stem_records():
        assert (stem.effects, stem.position, stem.equaliser, stem.dry_path) == (None,) * 4
    assert not list(plain.root.rglob("master.flac")) + list(plain.root.rglob("dry"))


def test_a_master_and_dry_stems_change_no_stem(
    midi_dir: Path, plain: Corpus, tmp_path: Path, _packages: None
) -> None:
    more = rendered(midi_dir, tmp_path / "corpus", master="bus", dry=True)
    before = files_of(plain)
    for path, data in files_of(more).items():
        if path.endswith(".flac") and path in before:
            assert data == before[path]
    assert len(list(more.root.rglob("dry/*.flac"))) == len(plain.stem_records())
    assert more.song_records()[0].codec is None


def test_stems_too_large_for_memory_give_the_same_bytes(
    midi_dir: Path, produced: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsmith.render.songs.mixdown._MAX_BYTES_IN_MEMORY", 0)
    again = rendered(midi_dir, tmp_path / "corpus", **ALL)
    assert files_of(again) == files_of(produced)


def test_two_channels_are_produced_too(midi_dir: Path, tmp_path: Path, _packages: None) -> None:
    corpus = rendered(midi_dir, tmp_path / "corpus", n_channels=2, n_songs=1, **ALL)
    validate_corpus(corpus.root)
    (song,) = corpus.song_records()
    mix, master = read(corpus, song.mix_path), read(corpus, song.master_path)
    assert mix.shape == master.shape == (2, song.n_samples)
    assert lag(master, mix) == 0
    total = sum(read(corpus, stem.path).astype(np.int32) for stem in corpus.stem_records())
    np.testing.assert_array_equal(mix, total)


def test_equalised_stems_mask_each_other_less(
    midi_dir: Path, plain: Corpus, tmp_path: Path
) -> None:
    other = rendered(midi_dir, tmp_path / "corpus", equalise=True)

    def masked(corpus: Corpus) -> float:
        shares = []
        for song in corpus.song_records():
            stems = [s for s in corpus.stem_records() if s.song_id == song.song_id]
            audio = [read(corpus, stem.path).astype(np.float32) / 32768 for stem in stems]
            energies = np.stack([band_energies(one, RATE) for one in audio])
            shares.append(float(masked_shares(energies).mean()))
        return float(np.mean(shares))

    assert masked(other) < 0.8 * masked(plain)


def test_a_room_of_a_file_is_that_file(midi_dir: Path, plain: Corpus, tmp_path: Path) -> None:
    echo = np.zeros((1, 4001), np.float32)
    echo[0, 0], echo[0, 4000] = 0.5, 0.25
    path = tmp_path / "halls" / "echo.wav"
    path.parent.mkdir()
    path.write_bytes(encode_wav(echo, RATE))
    one = rendered(midi_dir, tmp_path / "one", room=str(path), dry=True)
    folder = rendered(midi_dir, tmp_path / "folder", room=str(path.parent), dry=True)
    for song, same in zip(one.song_records(), folder.song_records(), strict=True):
        assert song.room == same.room
        assert song.room is not None and json.loads(song.room)["file"] == "echo.wav"
        assert song.mix_sha256 == same.mix_sha256
    for stem in one.stem_records():
        dry = read(one, stem.dry_path).astype(np.float64)
        wet = read(one, stem.path).astype(np.float64)
        expected = dry + 0.5 * np.pad(dry, ((0, 0), (4000, 0)))[:, : dry.shape[1]]
        assert np.abs(wet - expected).max() <= 1.5
    assert "versions" not in one.header["production"]


def test_a_song_in_memory_sounds_as_in_a_corpus(midi_dir: Path, produced: Corpus) -> None:
    stems = render_midi(
        midi_dir / "song0.mid",
        sample_rate=RATE,
        tail_s=1.0,
        **{key: ALL[key] for key in ("effects", "room", "equalise")},
    )
    recorded = {
        stem.stem: stem
        for stem in produced.stem_records()
        if any(s.song_id == stem.song_id and s.source == "song0.mid"
               for s in produced.song_records())
    }  # fmt: skip
    for name, audio in stems.items():
        on_disk = read(produced, recorded[name].path).astype(np.float64) / 32768
        # Dry stems have a part in the uniform gain of the corpus.
        assert si_sdr_db(on_disk, audio.astype(np.float64)) > 60


def test_other_seeds_sound_other(midi_dir: Path, tmp_path: Path, _packages: None) -> None:
    rooms = {
        rendered(midi_dir, tmp_path / f"c{seed}", room="drawn", seed=seed, n_songs=1)
        .song_records()[0]
        .room
        for seed in (1, 2)
    }
    assert len(rooms) == 2


@pytest.mark.parametrize("which", ["master", "dry"])
@pytest.mark.parametrize("harm", ["bytes", "length", "missing"])
def test_what_is_wrong_with_masters_and_dry_stems_is_found(
    midi_dir: Path, tmp_path: Path, which: str, harm: str, _packages: None
) -> None:
    corpus = rendered(midi_dir, tmp_path / "corpus", n_songs=1, master="bus", dry=True)
    song, stem = corpus.song_records()[0], corpus.stem_records()[0]
    path = corpus.root / str(song.master_path if which == "master" else stem.dry_path)
    if harm == "missing":
        path.unlink()
    elif harm == "bytes":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        path.write_bytes(encode_flac(np.zeros((1, 100), np.int16), RATE))
    with pytest.raises(InvalidCorpus) as caught:
        validate_corpus(corpus.root)
    assert str(caught.value).startswith(str(path))


def test_the_audit_looks_at_dry_stems(
    midi_dir: Path, produced: Corpus, tmp_path: Path, _packages: None
) -> None:
    audited = plan_audit(str(produced.root))
    assert {Path(stem.path).parent.name for stem in audited} == {"dry"}
    wet = rendered(midi_dir, tmp_path / "wet", room="drawn", n_songs=1)
    with pytest.raises(UsageError, match="render it with --dry to have them audited"):
        plan_audit(str(wet.root))


def test_effects_do_not_change_what_the_audit_finds(
    midi_dir: Path, tmp_path: Path, _packages: None
) -> None:
    corpora = [
        rendered(midi_dir, tmp_path / name, audit=True, **options)
        for name, options in (("plain", {}), ("produced", ALL))
    ]
    plain, produced = ([stem.audit for stem in corpus.stem_records()] for corpus in corpora)
    assert plain == produced
    assert None not in plain


def test_certificates_count_all_files(produced: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(produced.root, folder)
    n_files = len(files_of(produced))
    assert certify_corpus(folder).content["bytes"]["n_files"] == n_files


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"effects": "nothing-here.yaml"}, "nothing-here.yaml"),
        ({"room": "nothing-here.wav"}, "nothing-here.wav"),
        ({"codec": "ogg:3"}, "--codec ogg:3: give mp3, aac, opus"),
        ({"codec": "opus:512"}, "--codec opus:512: refuses 1 channels of 48000 Hz"),
        ({"master": "loud"}, "--master loud: unknown; known: none, bus"),
        ({"effects": ""}, "a path is empty"),
    ],
)
def test_what_cannot_be_produced_is_one_line(
    midi_dir: Path, tmp_path: Path, options: dict[str, Any], expected: str, _packages: None
) -> None:
    with pytest.raises(UsageError) as caught:
        rendered(midi_dir, tmp_path / "corpus", **options)
    assert expected in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def test_effects_that_leave_nothing_name_the_song_and_the_stem(
    midi_dir: Path, tmp_path: Path, _packages: None
) -> None:
    chains = tmp_path / "mute.yaml"
    chains.write_text("bass: [{Gain: {gain_db: -300}}]\n")
    with pytest.raises(UsageError) as caught:
        rendered(midi_dir, tmp_path / "corpus", effects=str(chains))
    assert str(caught.value).endswith("effects Gain: they leave nothing of a stem")
    assert ".mid: S0" in str(caught.value)
    assert not list((tmp_path / "corpus").glob("t*/Track*"))


def test_production_does_not_go_with_unsplit_mixtures_or_renditions(tmp_path: Path) -> None:
    for options in ({"effects": "class"}, {"room": "drawn"}, {"equalise": True}):
        with pytest.raises(UsageError, match="--mix-source unsplit cannot be with --effects"):
            render_corpus(
                tmp_path, tmp_path / "c", mix_source="unsplit", patch_choice="program", **options
            )
    for options in ({"room": "drawn"}, {"master": "bus"}, {"codec": "mp3:128"}, {"dry": True}):
        with pytest.raises(UsageError, match="not of renditions"):
            RenditionConfig(**options)


@pytest.mark.parametrize(
    ("package", "option"),
    [
        ("pedalboard", {"effects": "class"}),
        ("pedalboard", {"master": "bus"}),
        ("pyroomacoustics", {"room": "drawn"}),
        ("av", {"codec": "aac:128"}),
    ],
)
def test_a_missing_package_is_one_line_before_the_first_song(
    midi_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    option: dict[str, Any],
) -> None:
    from stemsmith.manifests import errors

    found = errors.find_spec
    monkeypatch.setattr(errors, "find_spec", lambda n: None if n == package else found(n))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as caught:
        rendered(midi_dir, tmp_path / "corpus", **option)
    (key,) = option
    assert str(caught.value).startswith(f"--{key}")
    assert install_command("effects") in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def test_a_run_is_not_resumed_with_other_effects(
    midi_dir: Path, tmp_path: Path, _packages: None
) -> None:
    chains = tmp_path / "chains.yaml"
    chains.write_text("bass: [{Gain: {gain_db: 3}}]\n")
    corpus = rendered(midi_dir, tmp_path / "corpus", effects=str(chains))
    assert rendered(midi_dir, tmp_path / "corpus", effects=str(chains)).root == corpus.root
    chains.write_text("bass: [{Gain: {gain_db: 4}}]\n")
    with pytest.raises(UsageError):
        rendered(midi_dir, tmp_path / "corpus", effects=str(chains))


def test_the_command_produces(
    midi_dir: Path, tmp_path: Path, here: Callable[..., CompletedProcess[str]], _packages: None
) -> None:
    options = "--songs 1 --sample-rate 16000 --no-audit --effects class --room drawn --equalise"
    more = "--master bus --codec opus:64 --dry --tail 1"
    result = here("render", midi_dir, tmp_path / "c", *options.split(), *more.split())
    assert result.returncode == 0, result.stderr
    corpus = Corpus(tmp_path / "c")
    track = next(iter(corpus.values()))
    assert track.master is not None
    assert track.master.shape == track.mixture.shape
    assert all(stem.dry is not None for stem in track.stems.values())


def test_a_drum_kit_has_the_effects_of_drums(produced: Corpus) -> None:
    for stem in produced.stem_records():
        assert isinstance(stem, Stem) and stem.effects is not None
        if stem.program == DRUMS:
            names = [effect.name for effect in chain_from_json(stem.effects)]
            assert names[0] == "LowShelfFilter" and names[-1] == "Compressor"
