"""Slakh2100's folders and BabySlakh's: what they hold, and who reads them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from exported_files import content, integers
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.share import export_dataset, forecast_export

REDUX, BABY = "slakh2100_flac_redux", "babyslakh_16k"
FORMATS = {"slakh": (REDUX, "flac"), "babyslakh": (BABY, "wav")}


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory, band_folder: Path, here: Any) -> Path:
    """Return a corpus of two songs of two channels at 48 kHz."""
    folder = tmp_path_factory.mktemp("stereo") / "c"
    options = ("--channels", 2, "--sample-rate", 48000, "--splits", "1,0,1", "--jobs", 0)
    done = here("render", band_folder, folder, *options)
    assert done.returncode == 0, done.stderr
    return folder


def audio_of(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.rglob(f"*.{ending}"))


def test_a_corpus_in_slakhs_folders_is_the_same_with_md5s(corpus: Path, tmp_path: Path) -> None:
    export_dataset(corpus, tmp_path / "x", "slakh")
    root = tmp_path / "x" / REDUX
    places = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    assert places == {path.relative_to(corpus) for path in corpus.glob("*/Track*/**/*.*")}
    for place in places:
        own, given = (root / place).read_bytes(), (corpus / place).read_bytes()
        if place.suffix == ".flac":
            samples = soundfile.read(corpus / place, dtype="int16")[0]
            assert own[26:42] == hashlib.md5(samples.astype("<i2").tobytes()).digest()
            assert own[:26] + own[42:] == given[:26] + given[42:]
        else:
            assert (root / place).samefile(corpus / place)


@pytest.mark.clients
def test_flac_finds_nothing_to_say_of_an_export(
    stereo: Path, tmp_path: Path, program: Callable[..., str]
) -> None:
    flac = program("flac")
    export_dataset(stereo, tmp_path / "x", "slakh")
    files = audio_of(tmp_path / "x", "flac")
    command = [flac, "--test", "--warnings-as-errors", "--totally-silent", *map(str, files)]
    assert files and subprocess.run(command).returncode == 0


def test_babyslakh_has_one_channel_at_16_khz(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "babyslakh")
    root = tmp_path / "x" / BABY
    assert {path.name for path in root.iterdir()} == {"Track00001", "Track00002"}
    for track in root.iterdir():
        (song,) = stereo.glob(f"*/{track.name}")
        for path in audio_of(track, "wav"):
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            own = soundfile.read(path)[0]
            original, _ = soundfile.read(song / path.relative_to(track).with_suffix(".flac"))
            expected = soxr.resample(original.mean(axis=1), 48000, 16000, quality="VHQ")
            assert len(own) == round(len(original) / 3)
            n_same = min(len(own), len(expected))
            assert np.abs(own[:n_same] - expected[:n_same]).max() < 12 / 32768  # of eleven files
        stems = [integers(path) for path in audio_of(track / "stems", "wav")]
        assert np.array_equal(integers(track / "mix.wav"), sum(stems))
        for name in ("all_src.mid", "metadata.yaml", "MIDI"):
            assert (track / name).exists()


def test_a_mixture_that_is_no_sum_stays_none(tmp_path: Path, make_song: Any, here: Any) -> None:
    """That of the synthesiser, which plays all parts at once."""
    make_song(tmp_path / "midi" / "a.mid")
    options = ("--mix-source", "unsplit", "--patch-choice", "program", "--sample-rate", 16000)
    done = here("render", tmp_path / "midi", tmp_path / "c", *options, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    export_dataset(tmp_path / "c", tmp_path / "x", "babyslakh")
    (mix,) = (tmp_path / "x").rglob("mix.wav")
    (original,) = (tmp_path / "c").rglob("mix.flac")
    assert np.array_equal(integers(mix), integers(original))  # already at 16 kHz


@pytest.mark.parametrize("layout", FORMATS)
def test_songs_of_several_corpora_are_numbered_anew(
    layout: str, corpus: Path, stereo: Path, tmp_path: Path
) -> None:
    export_dataset([corpus, stereo], tmp_path / "x", layout)
    n_songs = len(Corpus(corpus)) + len(Corpus(stereo))
    names = sorted(path.parent.name for path in (tmp_path / "x").rglob("metadata.yaml"))
    assert names == [f"Track{number:05d}" for number in range(1, n_songs + 1)]
    export_dataset([corpus, stereo], tmp_path / "few", layout, limit=1, splits=("test",))
    assert len(list((tmp_path / "few").rglob("metadata.yaml"))) == 2


@pytest.mark.parametrize("layout", FORMATS)
def test_a_forecast_is_what_comes(layout: str, corpus: Path, tmp_path: Path) -> None:
    forecast = forecast_export(corpus, layout, limit=1)
    export_dataset(corpus, tmp_path / "x", layout, limit=1)
    files = {p: p.stat() for p in (tmp_path / "x" / FORMATS[layout][0]).rglob("*") if p.is_file()}
    assert set(forecast.paths) == {p.relative_to(tmp_path / "x").as_posix() for p in files}
    assert forecast.n_bytes == sum(s.st_size for s in files.values() if s.st_nlink == 1)
    assert forecast.n_linked_bytes == sum(s.st_size for s in files.values() if s.st_nlink > 1) > 0


def test_where_there_are_no_hard_links_files_are_copied(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_dataset(corpus, tmp_path / "linked", "slakh", limit=1)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    export_dataset(corpus, tmp_path / "copied", "slakh", limit=1)
    for path in (tmp_path / "linked" / REDUX).rglob("*.*"):
        copy = tmp_path / "copied" / path.relative_to(tmp_path / "linked")
        assert copy.read_bytes() == path.read_bytes() and copy.stat().st_nlink == 1
    sums = [(tmp_path / name / "SHA256SUMS").read_bytes() for name in ("linked", "copied")]
    assert sums[0] == sums[1]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("pattern", "damage", "reason"),
    [
        ("stems/*.flac", "cut", "damaged"),
        ("mix.flac", "flip", "damaged"),
        ("MIDI/*.mid", "flip", "damaged"),
        ("all_src.mid", "gone", "missing"),
        ("stems/*.flac", "gone", "missing"),
        ("metadata.yaml", "folder", "unreadable"),
    ],
)
def test_a_song_with_a_damaged_file_is_left_out(
    layout: str, pattern: str, damage: str, reason: str, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    path = min((tmp_path / "c").glob(f"train/*/{pattern}"))
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    done = export_dataset(tmp_path / "c", tmp_path / "x", layout)
    (rejection,) = done.rejection_records()
    song = path.relative_to(tmp_path / "c").parts[1]
    assert (rejection.id, rejection.reason) == (song, reason)
    assert rejection.detail.startswith(f"{path}: ")
    left = {p.parent.name for p in (tmp_path / "x").rglob("metadata.yaml")}
    assert left == {p.name for p in corpus.glob("*/Track*")} - {song}
    assert not [p for p in (tmp_path / "x").rglob("*") if song in p.parts]


@pytest.mark.parametrize("layout", FORMATS)
def test_the_same_bytes_killed_or_not(
    layout: str, corpus: Path, tmp_path: Path, killed_after: Any
) -> None:
    export_dataset(corpus, tmp_path / "whole", layout, limit=1)
    for n in (0, 7, 31, 60):
        with killed_after(n):
            export_dataset(corpus, tmp_path / "killed", layout, limit=1)
    export_dataset(corpus, tmp_path / "killed", layout, limit=1)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    for path in corpus.rglob("*.mid"):  # what is linked is only ever replaced
        assert path.stat().st_size


@pytest.mark.parametrize("layout", FORMATS)
def test_other_kinds_and_options_are_refused(
    layout: str, mixtures: Path, musdb: Path, corpus: Path, tmp_path: Path
) -> None:
    renditions = Path(__file__).parents[2] / "data" / "0.1" / "renditions"
    for source in (mixtures / "recipes", f"musdb:{musdb}", renditions):
        with pytest.raises(UsageError, match=f"the format {layout} takes a corpus of songs"):
            export_dataset(source, tmp_path / "x", layout)
    with pytest.raises(UsageError, match="--taxonomy: has no effect in the format"):
        export_dataset(corpus, tmp_path / "x", layout, taxonomy="slakh")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("layout", FORMATS)
def test_what_version_0_1_rendered_is_exported(layout: str, tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "data" / "0.1" / "corpus"
    done = export_dataset(old, tmp_path / "x", layout)
    assert not done.rejection_records()
    stems = audio_of(tmp_path / "x", FORMATS[layout][1])
    assert len(stems) == len(audio_of(old, "flac")) > 0


def mirdata_index(root: Path, top: str, ending: str) -> dict[str, Any]:
    """Return an index as mirdata's scripts/make_slakh_index.py (at b95bf38) makes it."""
    index: dict[str, Any] = {"version": "2100-redux" if top == REDUX else "baby"}
    tracks: dict[str, Any] = {}
    multitracks: dict[str, Any] = {}

    def entry(path: Path) -> list[str]:
        return [path.relative_to(root).as_posix(), hashlib.md5(path.read_bytes()).hexdigest()]

    for metadata in (root / top).rglob("metadata.yaml"):
        track = metadata.parent
        own = {
            f"{track.name}-{path.stem}": {
                "audio": entry(path),
                "midi": entry(track / "MIDI" / f"{path.stem}.mid"),
                "metadata": entry(metadata),
            }
            for path in sorted((track / "stems").glob(f"*.{ending}"))
        }
        tracks |= own
        multitracks[track.name] = {
            "tracks": list(own),
            "midi": entry(track / "all_src.mid"),
            "mix": entry(track / f"mix.{ending}"),
            "metadata": entry(metadata),
        }
    return {**index, "tracks": tracks, "multitracks": multitracks}


# Of mirdata's own dependencies, as where it reads a corpus.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning")
@pytest.mark.parametrize("layout", FORMATS)
def test_mirdatas_slakh_loader_opens_an_export(layout: str, corpus: Path, tmp_path: Path) -> None:
    from mirdata.datasets import slakh

    top, ending = FORMATS[layout]
    export_dataset(corpus, tmp_path / "x", layout)
    index = mirdata_index(tmp_path / "x", top, ending)
    songs = {song.track: song for song in Corpus(corpus).song_records()}
    assert set(index["multitracks"]) == set(songs)
    for name, song in songs.items():
        multitrack = slakh.MultiTrack(
            name, str(tmp_path / "x"), "slakh", index, slakh.Track, lambda: None
        )
        assert multitrack.uuid == song.song_id
        assert multitrack.split == (song.split if layout == "slakh" else None)
        assert len(multitrack.tracks) == song.n_stems
        mix, rate = multitrack.audio
        assert rate == (song.sample_rate if layout == "slakh" else 16000)
        for track in multitrack.tracks.values():
            audio, _ = track.audio
            assert audio.shape == mix.shape
            assert track.is_drum == (track.program_number == 128)
            assert track.midi.get_end_time() > 0
