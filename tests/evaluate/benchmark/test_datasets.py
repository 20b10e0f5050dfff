"""Data sets to score on: which songs, targets, references and mixtures they hold."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from stemsmith.evaluate.benchmark.datasets import (
    Dataset,
    DatasetSong,
    StemFile,
    find_dataset,
    folds_of,
)
from stemsmith.evaluate.benchmark.oracle import Oracle, oracle_estimates
from stemsmith.evaluate.benchmark.song import Unscorable, read_song
from stemsmith.evaluate.workflow import evaluate_system
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.records import Reason
from stemsmith.mixing.sources.layouts.musdb import MUSDB_VALIDATION
from stemsmith.mixing.sources.song_folders import find_songs

TEST = ("test",)
ALL = ("train", "validation", "test")
Noise = Callable[..., Path]


def names(dataset: Dataset) -> list[str]:
    return [song.name for song in dataset.songs]


def write_songs(root: Path, noise: Noise, *paths: str) -> Path:
    for seed, path in enumerate(paths):
        noise(root / path, 0.1, 8000, 1, seed)
    return root


def test_musdb_is_its_test_songs_and_its_own_mixture(musdb: Path) -> None:
    dataset = find_dataset(f"musdb:{musdb}", None, TEST)
    assert dataset.targets == ("vocals", "drums", "bass", "other")
    assert dataset.taxonomy == "musdb"
    (song,) = dataset.songs
    assert (song.name, song.split) == ("C - Three", "test")
    audio = read_song(song)
    folder = musdb / "test" / "C - Three"
    n_samples = audio.mixture.shape[1]
    np.testing.assert_array_equal(audio.mixture, read_excerpt(folder / "mixture.wav", 0, n_samples))
    bass = audio.references[audio.targets.index("bass")]
    np.testing.assert_array_equal(bass, read_excerpt(folder / "bass.wav", 0, n_samples))
    assert names(find_dataset(f"musdb:{musdb}", None, ("train",))) == ["A - One", "B - Two"]
    (validation,) = find_dataset(f"musdb:{musdb}", None, ("validation",)).songs
    assert validation.name in MUSDB_VALIDATION


def test_streams_of_mp4_are_their_numbers(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for path in (shared / "audio" / "musdb_stem_mp4").glob("*.mp4"):
        (tmp_path / "test" / path.name).symlink_to(path)
    decoded = shared / "audio" / "musdb7_wav" / "train"
    dataset = find_dataset(f"musdb:{tmp_path}", None, TEST)
    assert names(dataset) == sorted(path.name for path in decoded.iterdir())
    for song in dataset.songs:
        audio = read_song(song)
        parts = dict(zip(audio.targets, audio.references, strict=True), mixture=audio.mixture)
        for name, found in parts.items():
            whole = read_excerpt(decoded / song.name / f"{name}.wav", 0, found.shape[1])
            # Rounded to 16 bit, and clipped.
            np.testing.assert_allclose(found.clip(-1, 1), whole, atol=2e-4)
        # AAC: the mixture is not the sum.
        error = audio.mixture - audio.references.sum(axis=0)
        assert -45 < 10 * np.log10((error**2).mean() / (audio.mixture**2).mean()) < -10


def test_a_corpus_is_its_targets_and_their_sum(corpus: Path) -> None:
    dataset = find_dataset(str(corpus), None, ALL)
    assert dataset.targets == ("piano", "bass", "guitar", "drums", "residual")
    assert len(dataset.songs) == len(list(corpus.glob("*/Track*")))
    for song in dataset.songs:
        audio = read_song(song)
        mix = corpus / song.split / song.name / "mix.flac"
        written = read_excerpt(mix, 0, audio.mixture.shape[1])
        np.testing.assert_allclose(audio.mixture, written, atol=1e-6)
        np.testing.assert_allclose(audio.references.sum(axis=0), written, atol=1e-6)
    strings = find_dataset(str(corpus), "violin-piano", ALL)
    assert strings.targets == ("piano",)
    assert all(stem.target == "piano" for song in strings.songs for stem in song.stems)


@pytest.mark.parametrize("taxonomy", ["slakh", "musdb"])
def test_songs_that_were_rendered_as_a_whole_are_scored_on_that(
    unsplit: Path, taxonomy: str
) -> None:
    dataset = find_dataset(str(unsplit), taxonomy, ALL)
    corpus = Corpus(unsplit)
    songs = {song.track: song for song in corpus.song_records()}
    assert names(dataset) == sorted(songs)
    for song in dataset.songs:
        record, audio = songs[song.name], read_song(song)
        whole = read_excerpt(unsplit / record.mix_path, 0, record.n_samples)
        np.testing.assert_array_equal(audio.mixture, whole)
        stems = [s for s in corpus.stem_records() if s.track == song.name]
        total = sum(read_excerpt(unsplit / s.path, 0, record.n_samples) for s in stems)
        # What is beside the stems is in no target, whatever the rest of a song is called.
        np.testing.assert_allclose(audio.references.sum(axis=0), total, rtol=0, atol=1e-6)
        assert np.abs(audio.mixture - total).max() > 0.01


def test_oracles_and_the_mixture_are_those_of_the_own_mixture(
    unsplit: Path, tmp_path: Path
) -> None:
    rates: dict[str, Any] = {"si_sdr_rate": 8000, "bss": "none"}
    scores = {}
    for system in ("mixture", "oracle:ibm"):
        results = evaluate_system(
            system, unsplit, tmp_path / system.replace(":", "-"), targets=("bass",), **rates
        )
        scores[system] = {
            row.song: row.value for row in results.score_records() if row.metric == "SI-SDR"
        }
    for song in find_dataset(str(unsplit), None, TEST).songs:
        audio = read_song(song)
        bass = audio.references[list(audio.targets).index("bass")].mean(axis=0).astype(float)
        mixture = audio.mixture.mean(axis=0).astype(float)
        assert scores["mixture"][song.name] == pytest.approx(si_sdr_db(bass, mixture), abs=1e-3)
        (estimate,) = oracle_estimates(
            Oracle.IBM, bass[None, None], mixture[None].astype(float), 8000
        )
        expected = si_sdr_db(bass, estimate[0])
        assert scores["oracle:ibm"][song.name] == pytest.approx(expected, abs=1e-2)


def si_sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return SI-SDR as Le Roux et al. 2019 define it, equation 3."""
    target = (estimate @ reference) / (reference @ reference) * reference
    rest = estimate - target
    return float(10 * np.log10((target @ target) / (rest @ rest)))


def test_renditions_are_songs_with_shifts_and_gains(
    tmp_path: Path, make_song: Callable[..., Path], here
) -> None:
    make_song(tmp_path / "midi" / "a.mid", ((40, 0), (71, 1)), n_notes=4)
    done = here(
        "render", tmp_path / "midi", tmp_path / "c", "--renditions", "all", "--shift", "0,0.1",
        "--tail", 0.3, "--splits", "0,0,1", "--min-notes", 1, "--jobs", 0, "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dataset = find_dataset(str(tmp_path / "c"), "bach10", TEST)
    assert dataset.targets == ("violin", "clarinet")
    assert len(dataset.songs) == 4
    assert {stem.shift for song in dataset.songs for stem in song.stems} == {0, 4410}
    shifted = next(song for song in dataset.songs if all(stem.shift for stem in song.stems))
    plain = next(song for song in dataset.songs if not any(stem.shift for stem in song.stems))
    expected = np.roll(read_song(plain).mixture, 4410, axis=1)
    np.testing.assert_array_equal(read_song(shifted).mixture, expected)


def test_gains_are_in_db(tmp_path: Path, make_noise: Noise) -> None:
    path = make_noise(tmp_path / "a.wav", 0.1, 8000, 1)
    stems = (StemFile("bass", str(path), gain_db=-20.0), StemFile("drums", str(path)))
    audio = read_song(DatasetSong("a", "test", stems))
    np.testing.assert_allclose(audio.references[0], 0.1 * audio.references[1], rtol=1e-6)
    np.testing.assert_allclose(audio.mixture, audio.references.sum(axis=0))


def test_folders_of_songs_may_lie_in_folders_of_splits(tmp_path: Path, make_noise: Noise) -> None:
    write_songs(
        tmp_path, make_noise, "One/bass.wav", "One/drums.wav", "One/mixture.wav", "One/.x.wav",
        "One/Mix.wav", "One/linear_mixture.wav",
        "test/Two/bass.flac", "train/Three/Vocals.wav", "valid/Four/kazoo.wav", ".git/x.wav",
    )  # fmt: skip
    (tmp_path / "One" / "info.json").write_text("{}")
    dataset = find_dataset(f"folder:{tmp_path}", None, TEST)
    assert names(dataset) == ["One", "Two"]
    assert dataset.targets == ("drums", "bass")
    assert [stem.target for stem in dataset.songs[0].stems] == ["bass", "drums"]
    assert dataset.songs[0].mixture is None
    every = find_dataset(f"folder:{tmp_path}", None, ALL)
    splits = {song.name: song.split for song in every.songs}
    assert splits == {"Four": "validation", "One": "test", "Three": "train", "Two": "test"}
    assert every.targets == ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize(
    ("folder", "split"),
    [("val", "validation"), ("Valid", "validation"), ("Test", "test"), ("TRAIN", "train")],
)
@pytest.mark.parametrize("ending", [".ogg", ".aiff", ".mp3", ".WAV"])
def test_no_split_and_no_ending_is_lost(
    tmp_path: Path, make_noise: Noise, folder: str, split: str, ending: str
) -> None:
    write_songs(tmp_path, make_noise, "raw/bass.wav", "raw/drums.wav")
    for name in ("bass", "drums"):
        audio, rate = soundfile.read(tmp_path / "raw" / f"{name}.wav")
        (tmp_path / "songs" / folder / "One").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "songs" / folder / "One" / f"{name}{ending}", audio, rate)
    dataset = find_dataset(f"folder:{tmp_path / 'songs'}", None, ALL)
    assert [(song.name, song.split) for song in dataset.songs] == [("One", split)]
    assert dataset.targets == ("drums", "bass")
    assert read_song(dataset.songs[0]).mixture.shape[1] == len(audio)


def songs_of_mine(root: Path) -> list[SourceFile]:
    """Find the songs of a made-up data set."""
    return [SourceFile(path.stem, "bass", "test", "bass", path.name) for path in root.glob("*.wav")]


def test_a_function_is_a_layout_here_too(
    tmp_path: Path, make_noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "layouts_of_a_test", sys.modules[__name__])
    write_songs(tmp_path, make_noise, "One.wav", "Two.wav")
    dataset = find_dataset(f"layouts_of_a_test:songs_of_mine:{tmp_path}", None, TEST)
    assert names(dataset) == ["One", "Two"]
    assert (dataset.taxonomy, dataset.targets) == ("musdb", ("bass",))


def test_dsd100_and_bach10_are_read_as_for_mixing(tmp_path: Path, make_noise: Noise) -> None:
    stems = ("bass", "drums", "other", "vocals")
    dsd = [
        f"Sources/{part}/00{k} - A - B/{s}.wav"
        for k, part in enumerate(("Dev", "Test"))
        for s in stems
    ]
    write_songs(tmp_path / "dsd", make_noise, *dsd)
    dataset = find_dataset(f"dsd100:{tmp_path / 'dsd'}", None, TEST)
    assert names(dataset) == ["001 - A - B"]
    assert dataset.songs[0].mixture is None
    players = ("bassoon", "clarinet", "saxphone", "violin")
    write_songs(tmp_path / "b", make_noise, *(f"01-Ach/01-Ach-{p}.wav" for p in players))
    dataset = find_dataset(f"bach10:{tmp_path / 'b'}", None, TEST)
    assert names(dataset) == ["01-Ach"]
    assert dataset.targets == ("violin", "clarinet", "saxophone", "bassoon")


@pytest.mark.parametrize(
    ("layout", "place", "files"),
    [
        ("musdb", "test/{} - X/{}.wav", ("bass", "drums", "other", "vocals", "mixture")),
        ("dsd100", "Sources/Test/{} - X/{}.wav", ("bass", "drums", "other", "vocals")),
        ("bach10", "{0}-X/{0}-X-{1}.wav", ("bassoon", "clarinet", "saxphone", "violin")),
    ],
)
def test_a_song_that_lacks_a_file_is_left_out_alone(
    tmp_path: Path, make_noise: Noise, layout: str, place: str, files: tuple[str, ...]
) -> None:
    songs = [f"{number:02d}" for number in range(len(files) + 1)]
    write_songs(tmp_path, make_noise, *(place.format(s, f) for s in songs for f in files))
    removed = [tmp_path / place.format(*pair) for pair in zip(songs, files, strict=False)]
    for path in removed:
        path.unlink()
    *broken, whole = find_dataset(f"{layout}:{tmp_path}", None, TEST).songs
    assert len(read_song(whole).targets) == 4
    for song, path in zip(broken, removed, strict=True):
        with pytest.raises(Unscorable, match="missing; a song needs all of its files") as caught:
            read_song(song)
        assert caught.value.reason is Reason.MISSING
        assert caught.value.detail.startswith(f"{path}: ")


def test_a_song_whose_name_no_table_can_hold_is_left_out(tmp_path: Path, make_noise: Noise) -> None:
    write_songs(tmp_path, make_noise, "One/bass.wav", "Two/bass.wav")
    (tmp_path / "Two").rename(tmp_path / os.fsdecode(b"T\xff"))
    found = find_dataset(f"folder:{tmp_path}", None, TEST)
    assert [song.name for song in found.songs] == ["One"]
    (row,) = found.left_out
    assert row.reason is Reason.BAD_NAME and "not UTF-8" in row.detail
    shutil.rmtree(tmp_path / "One")
    with pytest.raises(InvalidCorpus, match="not UTF-8"):
        find_dataset(f"folder:{tmp_path}", None, TEST)


@pytest.mark.parametrize(
    ("paths", "text", "error", "message"),
    [
        (["One/bass.wav"], "musdb:{}", InvalidCorpus, "no MUSDB18 songs: expected train/<song>"),
        (["train/One/bass.wav"], "folder:{}", UsageError, "no songs of split test; .* 1 of train"),
        (["a.wav"], "folder:{}", InvalidCorpus, "no songs: expected <song>/<stem>.wav"),
        (["test/bass/a.wav", "test/drums/a.wav"], "folder:{}", UsageError, "folders of solos"),
        (["One/bass.wav"], "nothing:{}", UsageError, "not a folder; a source is a corpus"),
        (["One/bass.wav"], "{}", InvalidCorpus, "holds audio files; say in which layout"),
        (["One/bass.wav", "One/bass.flac"], "folder:{}", InvalidCorpus, "the same stem as bass"),
        (["One/a.wav", "test/One/a.wav"], "folder:{}", InvalidCorpus, "the same song as"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused_in_one_line(
    tmp_path: Path,
    make_noise: Noise,
    paths: list[str],
    text: str,
    error: type[Exception],
    message: str,
) -> None:
    write_songs(tmp_path, make_noise, *paths)
    with pytest.raises(error, match=message) as caught:
        find_dataset(text.format(tmp_path), None, TEST)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_taxonomy_without_a_stem_is_refused(tmp_path: Path, make_noise: Noise) -> None:
    write_songs(tmp_path, make_noise, "One/kazoo.wav")
    with pytest.raises(UsageError, match="no stem belongs to a target of the taxonomy bach10"):
        find_dataset(f"folder:{tmp_path}", "bach10", TEST)


def test_silent_targets_are_left_out(tmp_path: Path, make_noise: Noise) -> None:
    write_songs(tmp_path, make_noise, "One/bass.wav", "One/drums.wav")
    soundfile.write(tmp_path / "One" / "vocals.wav", np.zeros(800), 8000)
    (song,) = find_dataset(f"folder:{tmp_path}", None, TEST).songs
    assert read_song(song).targets == ("bass", "drums")
    left = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    for name in ("bass", "drums", "vocals"):  # museval's silence: channels that sum to zero
        path = tmp_path / "One" / f"{name}.wav"
        soundfile.write(path, np.stack([left, -left], axis=1), 8000, subtype="FLOAT")
    with pytest.raises(Unscorable, match="nothing sounds") as caught:
        read_song(song)
    assert caught.value.reason is Reason.SILENT


@pytest.mark.parametrize(
    ("rate", "n_channels", "n_samples"), [(16000, 1, 800), (8000, 2, 800), (8000, 1, 799)]
)
def test_stems_that_do_not_fit_together_are_named(
    tmp_path: Path, make_noise: Noise, rate: int, n_channels: int, n_samples: int
) -> None:
    write_songs(tmp_path, make_noise, "One/bass.wav")
    odd = tmp_path / "One" / "drums.wav"
    soundfile.write(odd, np.ones((n_samples, n_channels)) / 2, rate)
    (song,) = find_dataset(f"folder:{tmp_path}", None, TEST).songs
    with pytest.raises(Unscorable, match=f"{n_samples} samples at {rate} Hz") as caught:
        read_song(song)
    assert caught.value.reason is Reason.MISMATCH
    assert str(odd) in caught.value.detail


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
def test_samples_that_are_not_finite_are_named(
    tmp_path: Path, make_noise: Noise, value: float
) -> None:
    write_songs(tmp_path, make_noise, "One/bass.wav")
    odd = tmp_path / "One" / "drums.wav"
    soundfile.write(odd, np.full(800, value), 8000, subtype="FLOAT")
    (song,) = find_dataset(f"folder:{tmp_path}", None, TEST).songs
    with pytest.raises(Unscorable, match="not finite") as caught:
        read_song(song)
    assert caught.value.reason is Reason.NOT_FINITE
    odd.write_bytes(b"no audio")
    with pytest.raises(Unscorable, match=r"drums\.wav: cannot be decoded") as caught:
        read_song(song)
    assert caught.value.reason is Reason.DAMAGED


def test_songs_of_a_folder_without_songs(tmp_path: Path) -> None:
    assert find_songs(tmp_path) == []
    (tmp_path / "One").mkdir()
    assert find_songs(tmp_path) == []


@given(st.lists(st.text(min_size=1), min_size=2, max_size=30, unique=True), st.data())
def test_folds_are_of_equal_size_and_follow_names_alone(
    songs: list[str], data: st.DataObject
) -> None:
    n_folds = data.draw(st.integers(2, len(songs)))
    folds = folds_of(songs, n_folds)
    sizes = [list(folds.values()).count(fold) for fold in range(1, n_folds + 1)]
    assert sum(sizes) == len(songs)
    assert max(sizes) - min(sizes) <= 1
    assert folds_of(data.draw(st.permutations(songs)), n_folds) == folds


def test_there_are_no_more_folds_than_songs() -> None:
    with pytest.raises(UsageError, match="from 2 to 3"):
        folds_of(["a", "b", "c"], 4)
