"""What `stemsmith mix` takes: corpora and public data sets, good and bad, and the cache."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyloudnorm
import pytest
import soundfile
from stemsmith.manifests import shards
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.mixtures import MeasuredFile, Mixture
from stemsmith.mixing.mixtures import Mixtures

SHORT = ("--clip", 1, "--mixtures", 6, "--jobs", 0)


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


def recipes_of(folder: Path) -> list[Mixture]:
    return shards.read_records(sorted(folder.glob("mixtures-*.parquet")), Mixture)


def rejections_of(folder: Path) -> dict[str, tuple[str, str]]:
    """Return reason and detail of every file that was left out, by root and path."""
    rows = Mixtures(folder).rejection_records()
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: (str(row.reason), row.detail) for row in rows}


def audio_of(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the samples of a folder by mixture and name, as integers of 16 bits."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(folder.glob("audio-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, name, *_ = member.name.split(".")
                if name != "json":
                    data = io.BytesIO(tar.extractfile(member).read())
                    found.setdefault(key, {})[name] = soundfile.read(
                        data, dtype="int16", always_2d=True
                    )[0].T
    return found


def state(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STEMSMITH_CACHE", str(folder))
    return folder


def records_of(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_musdb_songs_keep_their_splits_and_stems(musdb: Path, tmp_path: Path, here) -> None:
    done = here("mix", f"musdb:{musdb}", tmp_path / "m", *SHORT, "--taxonomy", "musdb", "--audio",
                "--stems", "all", "--channels", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    header = shards.read_manifest(tmp_path / "m", "mixtures")
    assert header["n_mixtures"] == {"train": 6, "validation": 3, "test": 3}
    assert header["sources"] == [{"root": "musdb", "layout": "musdb"}]
    audio = audio_of(tmp_path / "m")
    for mixture in recipes_of(tmp_path / "m"):
        assert [s.group for s in mixture.sources] == ["bass", "drums", "other", "vocals"]
        (song,) = {source.song_id for source in mixture.sources}
        is_validation = song == "musdb:train/Leaf - Summerghost"
        assert mixture.split == ("validation" if is_validation else song[6:].split("/")[0])
        made = audio[mixture.mixture_id]
        assert np.array_equal(made["mixture"], sum(made[s.group] for s in mixture.sources))
        for source in mixture.sources:
            stop = source.start + mixture.n_samples
            given = soundfile.read(musdb / source.path, start=source.start, stop=stop)[0].T
            ratio = made[source.group] / 32768 / np.where(given == 0, 1, given)
            loud = np.abs(given) > 0.05
            assert np.ptp(ratio[loud]) < 2e-3, "one gain for both channels"


def test_mono_is_the_mean_of_the_channels(musdb: Path, tmp_path: Path, here) -> None:
    done = here("mix", f"musdb:{musdb}", tmp_path / "m", *SHORT, "--taxonomy", "musdb", "--audio",
                "--stems", "vocals", "--min-rms", -40)  # fmt: skip
    assert done.returncode == 0, done.stderr
    audio = audio_of(tmp_path / "m")
    for mixture in recipes_of(tmp_path / "m"):
        vocals = next(s for s in mixture.sources if s.group == "vocals")
        stop = vocals.start + mixture.n_samples
        given = soundfile.read(musdb / vocals.path, start=vocals.start, stop=stop)[0].mean(axis=1)
        made = audio[mixture.mixture_id]["vocals"][0] / 32768
        gain = made @ given / (given @ given)
        assert np.abs(made - gain * given).max() < 1e-4
        assert 0.3 < gain <= 1.0001


def test_rates_meet_at_the_lowest_or_at_the_one_asked_for(
    musdb: Path, make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    for name, rate, n_channels in (("flute", 16000, 1), ("oboe", 22050, 2)):
        make_noise(tmp_path / "solos" / "train" / name / "a.wav", 3, rate, n_channels, seed=rate)
    sources = [f"musdb:{musdb}", f"folder:{tmp_path / 'solos'}"]
    (tmp_path / "own.toml").write_text(
        '[targets]\nflute = ["flute"]\noboe = ["oboe"]\nvocals = ["vocals"]\n'
    )
    options = ("--taxonomy", tmp_path / "own.toml", "--mode", "incoherent", "--split", "train",
               "--audio", "--stems", "all", "--channels", 2)  # fmt: skip
    for rate, more in ((16000, ()), (32000, ("--sample-rate", 32000))):
        folder = tmp_path / f"m{rate}"
        done = here("mix", *sources, folder, *SHORT, *options, *more)
        assert done.returncode == 0, done.stderr
        assert shards.read_manifest(folder, "mixtures")["sample_rate"] == rate
        audio = audio_of(folder)
        meter = pyloudnorm.Meter(rate, filter_class="DeMan")
        for mixture in recipes_of(folder):
            assert (mixture.sample_rate, mixture.n_samples) == (rate, rate)
            found = {s.group: s.sample_rate for s in mixture.sources}
            assert found == {"flute": 16000, "oboe": 22050, "vocals": 44100}
            made = audio[mixture.mixture_id]
            assert all(samples.shape == (2, rate) for samples in made.values())
            assert np.array_equal(made["flute"][0], made["flute"][1])
            assert not np.array_equal(made["oboe"][0], made["oboe"][1])
            levels = [meter.integrated_loudness(made[g].T / 32768) for g in found]
            assert np.ptp(levels) < 0.1, "equally loud, whatever the rate"
        assert here("validate", folder, "--jobs", 0).returncode == 0


def test_vocals_over_a_rendered_band(corpus: Path, musdb: Path, tmp_path: Path, here) -> None:
    done = here("mix", corpus, f"musdb:{musdb}", tmp_path / "m", "--clip", 1, "--mixtures", 40,
                "--jobs", 0, "--taxonomy", "musdb", "--overlay", "vocals")  # fmt: skip
    assert done.returncode == 0, done.stderr
    roots = {"corpus": corpus, "musdb": musdb}
    known: dict[str, float] = {}

    def loudness_lufs(source) -> float:
        if source.stem_id not in known:
            audio, rate = soundfile.read(roots[source.root] / source.path, always_2d=True)
            # The meter is exact on whole 100 ms alone.
            mono = audio.mean(axis=1)[: len(audio) // (rate // 10) * (rate // 10)]
            meter = pyloudnorm.Meter(rate, filter_class="DeMan")
            known[source.stem_id] = meter.integrated_loudness(mono)
        return known[source.stem_id]

    n_overlaid = 0
    for mixture in recipes_of(tmp_path / "m"):
        band = [s for s in mixture.sources if s.root == "corpus"]
        vocals = [s for s in mixture.sources if s.group == "vocals"]
        assert len(vocals) == 1
        assert all(s.gain_db == 0 and s.target_lufs is None for s in band)
        if not band:  # a song of MUSDB has its own
            assert vocals[0].gain_db == 0
            assert len({s.song_id for s in mixture.sources}) == 1
            continue
        n_overlaid += 1
        assert vocals[0].root == "musdb"
        assert vocals[0].path.split("/")[0] in (mixture.split, "train")
        median = np.median([loudness_lufs(s) for s in band])
        assert loudness_lufs(vocals[0]) + vocals[0].gain_db == pytest.approx(median, abs=0.05)
    assert n_overlaid > 10
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0


def test_two_corpora(corpus: Path, make_song, tmp_path: Path, here) -> None:
    for k in range(2):
        make_song(tmp_path / "midi" / f"{k}.mid", seed=100 + k)
    done = here("render", tmp_path / "midi", tmp_path / "c2", "--splits", "2,0,0", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    done = here("mix", corpus, tmp_path / "c2", tmp_path / "m", *SHORT, "--audio")
    assert done.returncode == 0, done.stderr
    mixtures = recipes_of(tmp_path / "m")
    assert {s.root for m in mixtures for s in m.sources} == {"corpus", "corpus2"}
    assert all(len({s.root for s in m.sources}) == 1 for m in mixtures)
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0
    # The same notes in another split, from a corpus with other splits.
    done = here("render", tmp_path / "midi", tmp_path / "c3", "--splits", "0,0,2", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    done = here("mix", tmp_path / "c2", tmp_path / "c3", tmp_path / "n", *SHORT)
    assert_one_line_error(done, 2, "same music", "train", "test", "corpus2:")
    assert not (tmp_path / "n").exists()


def test_the_same_recording_in_two_splits_of_two_sources(musdb: Path, tmp_path: Path, here) -> None:
    solo = tmp_path / "solos" / "test" / "vocals" / "known.wav"
    solo.parent.mkdir(parents=True)
    shutil.copyfile(musdb / "train" / "A - One" / "vocals.wav", solo)
    sources = [f"musdb:{musdb}", f"folder:{tmp_path / 'solos'}"]
    for given in (sources, sources[::-1]):
        done = here("mix", *given, tmp_path / "m", *SHORT, "--taxonomy", "musdb")
        assert_one_line_error(done, 2, "same music", "A - One", "known")
    assert not (tmp_path / "m").exists()
    solo.parents[1].rename(tmp_path / "solos" / "train")
    done = here("mix", *sources, tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert done.returncode == 0, done.stderr


def test_the_same_source_twice(corpus: Path, musdb: Path, tmp_path: Path, here) -> None:
    (tmp_path / "link").symlink_to(corpus)
    for pair in ((corpus, corpus), (corpus, tmp_path / "link"), (f"musdb:{musdb}",) * 2):
        assert_one_line_error(here("mix", *pair, tmp_path / "m", *SHORT), 2, "given twice")
    assert not (tmp_path / "m").exists()


def test_folders_of_solos_dsd100_and_bach10(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    for k, split in enumerate(("train", "valid", "test")):
        for j, name in enumerate(("Violin", "piano")):
            make_noise(tmp_path / "solos" / split / name / "x.wav", 2, 16000, 1, 2 * k + j)
        for j, stem in enumerate(("drums", "bass", "other", "vocals")):
            if split != "valid":
                folder = "Dev" if split == "train" else "Test"
                path = tmp_path / "dsd" / "Sources" / folder / "001 - A - B" / f"{stem}.wav"
                make_noise(path, 2, seed=50 + 4 * k + j)
    for j, name in enumerate(("bassoon", "clarinet", "saxphone", "violin")):
        make_noise(tmp_path / "bach" / "01-Ach" / f"01-Ach-{name}.wav", 2, 44100, 1, 90 + j)
    # What macOS leaves on foreign disks is no audio.
    (tmp_path / "solos" / "train" / "piano" / "._x.wav").write_bytes(b"\0\5\x16\7")
    cases = [
        ("folder", "solos", "violin-piano", "incoherent", {"train", "validation", "test"}, 2),
        ("dsd100", "dsd", "musdb", "coherent", {"train", "test"}, 4),
        ("bach10", "bach", "bach10", "coherent", {"train"}, 4),
    ]
    for layout, name, taxonomy, mode, splits, n_sources in cases:
        done = here("mix", f"{layout}:{tmp_path / name}", tmp_path / layout, *SHORT, "--taxonomy",
                    taxonomy, "--mode", mode, "--audio")  # fmt: skip
        assert done.returncode == 0, (layout, done.stderr)
        mixtures = recipes_of(tmp_path / layout)
        assert {m.split for m in mixtures} == splits, layout
        assert {len(m.sources) for m in mixtures} == {n_sources}
        assert len(audio_of(tmp_path / layout)) == 6 * len(splits)
        assert here("validate", tmp_path / layout, "--jobs", 0).returncode == 0
    cymbal = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "none", *SHORT, "--taxonomy",
                  "violin-piano", "--split", "train", "--target", "violin", "--min-rms", "-1",
                  "--mode", "incoherent")  # fmt: skip
    assert_one_line_error(cymbal, 1, "--min-rms")


def test_a_stem_that_is_missing(make_musdb, tmp_path: Path, here) -> None:
    root = make_musdb(tmp_path / "hq")
    missing = root / "train" / "B - Two" / "bass.wav"
    missing.unlink()
    done = here("mix", f"musdb:{root}", tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert done.returncode == 0, done.stderr
    assert {m.sources[0].song_id for m in recipes_of(tmp_path / "m")} == {
        "musdb:train/A - One", "musdb:train/Leaf - Summerghost", "musdb:test/C - Three"
    }  # fmt: skip
    rows = rejections_of(tmp_path / "m")
    song = "musdb:train/B - Two"
    assert rows[f"{song}/bass.wav"] == (
        "missing", f"{missing}: missing; a song needs all of its stems"
    )  # fmt: skip
    for stem in ("drums", "other", "vocals"):
        reason, detail = rows[f"{song}/{stem}.wav"]
        assert reason == "incomplete" and "its song lacks bass" in detail
    # What is called a mixture is in no place of a stem, and said to be one.
    mixtures = [name for name, (reason, _) in rows.items() if reason == "mixture"]
    assert len(mixtures) == 4 and len(rows) == 8
    assert done.stdout.endswith("; 8 left out\n")
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0
    for path in root.glob("*/*/bass.wav"):
        path.unlink()
    done = here("mix", f"musdb:{root}", tmp_path / "n", *SHORT, "--taxonomy", "musdb")
    assert_one_line_error(done, 1, "bass.wav: missing")
    assert not (tmp_path / "n").exists()


def test_what_is_no_source(corpus: Path, musdb: Path, tmp_path: Path, here, monkeypatch) -> None:
    monkeypatch.chdir(corpus)
    cases = {
        "/nowhere": (2, "/nowhere: not a folder"),
        "": (2, "not a folder"),
        "musdb:": (2, "'musdb:': not a folder"),
        "musdb:/nowhere": (2, "/nowhere: not a folder"),
        str(corpus / "manifest.json"): (2, "not a folder"),
        str(musdb): (1, f"holds audio files; say in which layout: folder:{musdb}"),
        f"folder:{corpus}": (1, "holds a corpus, which is written without a layout"),
        f"dsd100:{musdb}": (1, "no DSD100 songs"),
        f"bach10:{musdb}": (1, "no Bach10 pieces"),
        f"musdb:{corpus}": (1, "holds a corpus, which is written without a layout"),
        f"MUSDB:{musdb}": (2, "musdb:PATH"),
    }
    for source, (code, text) in cases.items():
        assert_one_line_error(here("mix", source, tmp_path / "m", *SHORT), code, text)
    assert not (tmp_path / "m").exists()


def write_samples(path: Path, samples: np.ndarray, rate: int = 44100, subtype="FLOAT") -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


def with_last(n_samples: int, value: float) -> np.ndarray:
    samples = np.full(n_samples, 0.1, np.float32)
    samples[-1] = value
    return samples


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("not audio"), "cannot be decoded"),
    "no-bytes": (lambda p: p.write_bytes(b""), "cannot be decoded"),
    "nan": (lambda p: write_samples(p, with_last(88200, np.nan)), "not finite"),
    "inf": (lambda p: write_samples(p, with_last(88200, np.inf)), "not finite"),
    "nan-in-the-last-100-ms": (lambda p: write_samples(p, with_last(90000, np.nan)), "not finite"),
    "huge": (lambda p: write_samples(p, with_last(88200, 1e30)), "full scale"),
    "3-channels": (lambda p: write_samples(p, np.zeros((88200, 3))), "3 channels"),
    "11025-hz": (lambda p: write_samples(p, np.zeros(22050), 11025), "11025 Hz"),
    "2000-hz": (lambda p: write_samples(p, np.zeros(4000), 2000), "2000 Hz"),
    "dangling": (lambda p: p.symlink_to(p.with_name("nowhere")), "not in a place"),
}


BAD_REASONS = {
    "text": "damaged", "no-bytes": "damaged", "nan": "not-finite", "inf": "not-finite",
    "nan-in-the-last-100-ms": "not-finite", "huge": "not-finite", "3-channels": "unsupported",
    "11025-hz": "unsupported", "2000-hz": "unsupported", "dangling": "no-stem",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_audio_that_cannot_be_used(
    make_noise: Callable[..., Path], tmp_path: Path, here, name: str
) -> None:
    solos = tmp_path / "solos" / "train"
    for k, folder in enumerate(("violin", "piano")):
        make_noise(solos / folder / "good.wav", 2, seed=k)
    write, text = BAD_FILES[name]
    write(solos / "piano" / "bad.wav")
    before = state(tmp_path / "solos")
    done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "m", *SHORT,
                "--taxonomy", "violin-piano", "--mode", "incoherent")  # fmt: skip
    assert done.returncode == 0, done.stderr
    ((row, (reason, detail)),) = rejections_of(tmp_path / "m").items()
    assert row == "folder:train/piano/bad.wav" and reason in BAD_REASONS[name]
    assert str(solos / "piano" / "bad.wav") in detail and text in detail and "\n" not in detail
    assert done.stdout.endswith("; 1 left out\n")
    assert {s.path for m in recipes_of(tmp_path / "m") for s in m.sources} == {
        "train/piano/good.wav", "train/violin/good.wav"
    }  # fmt: skip
    assert state(tmp_path / "solos") == before
    if name != "dangling":
        (solos / "piano" / "good.wav").unlink()
        (solos / "violin" / "good.wav").unlink()
        done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "n", *SHORT,
                    "--taxonomy", "violin-piano", "--mode", "incoherent")  # fmt: skip
        assert_one_line_error(done, 1, "bad.wav", text)
        assert not (tmp_path / "n").exists()


def test_a_decode_error_in_a_worker(make_noise: Callable[..., Path], tmp_path: Path, here) -> None:
    solos = tmp_path / "solos" / "train"
    for k, folder in enumerate(("violin", "piano")):
        make_noise(solos / folder / "good.wav", 2, seed=k)
    audio = np.random.default_rng(0).standard_normal(88200) * 0.1
    soundfile.write(solos / "piano" / "cut.flac", audio, 44100)
    data = (solos / "piano" / "cut.flac").read_bytes()
    (solos / "piano" / "cut.flac").write_bytes(data[: len(data) // 2])
    done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "m", "--clip", 1,
                     "--taxonomy", "violin-piano", "--mode", "incoherent", "--jobs", 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    ((row, (reason, detail)),) = rejections_of(tmp_path / "m").items()
    assert (row, reason) == ("folder:train/piano/cut.flac", "damaged")
    assert "cut.flac: cannot be decoded" in detail


def test_empty_and_short_and_silent_files_are_left_alone(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    solos = tmp_path / "solos"
    for split in ("train", "test"):
        for k, folder in enumerate(("violin", "piano")):
            make_noise(solos / split / folder / "good.wav", 2, seed=k + 2 * (split == "test"))
        for k, n_samples in enumerate((0, 1, 4409, 40000, 90000)):  # silence, alike in two splits
            write_samples(solos / split / "piano" / f"z{k}.wav", np.zeros(n_samples))
    for mode in ("incoherent", "coherent"):
        done = here("mix", f"folder:{solos}", tmp_path / mode, *SHORT, "--audio", "--mode", mode,
                    "--taxonomy", "violin-piano")  # fmt: skip
        assert done.returncode == 0, done.stderr
        paths = {s.path for m in recipes_of(tmp_path / mode) for s in m.sources}
        assert {Path(path).name for path in paths} == {"good.wav"}
        rows = rejections_of(tmp_path / mode)
        assert rows.keys() == {
            f"folder:{split}/piano/z{k}.wav" for split in ("train", "test") for k in range(5)
        }
        for row, (reason, detail) in rows.items():
            is_long = row.endswith(("z4.wav",))  # 90000 samples of silence; a clip has 44100
            assert reason == ("too-quiet" if is_long else "too-short"), row
            assert ("no clip of 1 s" if is_long else "and clips have 1 s") in detail
        assert done.stdout.endswith("; 10 left out\n")
        assert here("validate", tmp_path / mode, "--jobs", 0).returncode == 0


def test_stems_of_a_song_with_two_rates(make_musdb, tmp_path: Path, make_noise, here) -> None:
    root = make_musdb(tmp_path / "hq")
    make_noise(root / "train" / "A - One" / "vocals.wav", 4, 48000, seed=77)
    done = here("mix", f"musdb:{root}", tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert done.returncode == 0, done.stderr
    rows = rejections_of(tmp_path / "m")
    for stem in ("bass", "drums", "other", "vocals"):
        reason, detail = rows[f"musdb:train/A - One/{stem}.wav"]
        assert reason == "mismatch" and "2 sample rates: 44100 Hz, 48000 Hz" in detail
    assert not any("A - One" in s.song_id for m in recipes_of(tmp_path / "m") for s in m.sources)


def test_files_are_measured_once(musdb: Path, tmp_path: Path, cache: Path, here) -> None:
    before = state(musdb)
    arguments = ("mix", f"musdb:{musdb}")
    done = here(*arguments, tmp_path / "one", *SHORT, "--taxonomy", "musdb")
    assert done.returncode == 0, done.stderr
    records = state(cache)
    assert len(records_of(cache)) == 4 * 4, "four stems of four songs, no mixture"
    done = here(*arguments, tmp_path / "two", *SHORT, "--taxonomy", "musdb", "--seed", 1)
    assert done.returncode == 0, done.stderr
    done = here(*arguments, tmp_path / "three", *SHORT, "--channels", 2, "--mode", "incoherent")
    assert done.returncode == 0, done.stderr
    assert state(cache) == records
    assert state(musdb) == before


def test_a_file_that_has_changed_is_measured_again(
    make_musdb, make_noise, tmp_path: Path, cache: Path, here
) -> None:
    root = make_musdb(tmp_path / "hq")
    arguments = ("mix", f"musdb:{root}", tmp_path / "m", *SHORT, "--taxonomy", "musdb", "--audio")
    assert here(*arguments).returncode == 0
    make_noise(root / "train" / "A - One" / "bass.wav", 4, seed=1234)
    done = here(*arguments)
    assert_one_line_error(done, 2, "other input files")
    assert len(records_of(cache)) == 17
    other = (*arguments[:2], tmp_path / "n", *arguments[3:])
    assert here(*other).returncode == 0
    assert here("validate", tmp_path / "n", "--jobs", 0).returncode == 0
    done = here("validate", tmp_path / "m", "--jobs", 0)
    assert_one_line_error(done, 1, "bass.wav", "has changed")


def test_a_damaged_cache_record_is_measured_again(
    musdb: Path, tmp_path: Path, cache: Path, here
) -> None:
    arguments = ("mix", f"musdb:{musdb}", tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert here(*arguments).returncode == 0
    whole = {path: path.read_bytes() for path in records_of(cache)}
    one, two, three, four, *_ = whole
    one.write_bytes(b"")
    two.write_bytes(whole[two][: len(whole[two]) // 2])
    three.write_bytes(whole[three].replace(b"PAR1", b"XXXX"))
    data = bytearray(whole[four])
    column = pq.ParquetFile(four).metadata.row_group(0).column(4)
    end = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
    data[end - 20] ^= 1  # in the measured numbers: any number could have been measured
    four.write_bytes(data)
    again = (*arguments[:2], tmp_path / "n", *arguments[3:])
    assert here(*again).returncode == 0
    assert {path: path.read_bytes() for path in records_of(cache)} == whole


def test_flipped_bits_of_a_cache_record_are_found(tmp_path: Path) -> None:
    """Of all the bits there are, one in a hundred may go unseen (in headers nobody reads)."""
    rng = np.random.default_rng(0)
    rows = [rng.random(100).astype(np.float32) for _ in range(4)]
    shards.write_records(tmp_path / "r", MeasuredFile, [MeasuredFile("ab", 44100, 2, 99, *rows)])
    data = (tmp_path / "r").read_bytes()
    n_wrong = 0
    for i in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[i] ^= 1 << int(rng.integers(8))
        (tmp_path / "r").write_bytes(flipped)
        try:
            (found,) = shards.read_records(tmp_path / "r", MeasuredFile)
        except shards.InvalidCorpus:
            continue
        read = (found.k_power, found.power, found.k_power_mono, found.power_mono)
        n_wrong += not all(np.array_equal(a, b) for a, b in zip(read, rows, strict=True))
    assert n_wrong <= len(data) / 700


def test_two_runs_may_measure_at_the_same_time(musdb: Path, tmp_path: Path, cache: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stemsmith.cli.main", "mix", f"musdb:{musdb}",
             tmp_path / f"m{k}", *map(str, SHORT), "--taxonomy", "musdb"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for k in range(2)
    ]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(records_of(cache)) == 16
    contents = [(tmp_path / f"m{k}" / "manifest.json").read_bytes() for k in range(2)]
    assert contents[0] == contents[1]


def test_one_file_under_two_names(
    make_noise: Callable[..., Path], tmp_path: Path, cache: Path, here
) -> None:
    for k, folder in enumerate(("violin", "piano")):
        make_noise(tmp_path / "solos" / "train" / folder / "a.wav", 2, seed=k)
        for n in range(3):
            (tmp_path / "solos" / "train" / folder / f"b{n}.wav").symlink_to("a.wav")
    done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "m", *SHORT,
                "--taxonomy", "violin-piano", "--mode", "incoherent")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(records_of(cache)) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where Linux keeps caches")
def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMSMITH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "stemsmith"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "stemsmith"
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_cache_that_cannot_be_written(
    musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "file" / "cache"))
    done = here("mix", f"musdb:{musdb}", tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert_one_line_error(done, 1, str(tmp_path / "file"))


@pytest.mark.parametrize("damage", ["vanished", "changed", "cut"])
def test_a_corpus_whose_audio_is_no_longer_what_it_was(
    corpus: Path, tmp_path: Path, here, damage: str
) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    stems = sorted((tmp_path / "c").glob("*/*/stems/*.flac"))
    for stem in stems:
        data = stem.read_bytes()
        if damage == "vanished":
            stem.unlink()
        else:
            stem.write_bytes(data[:-500] if damage == "cut" else data[:-9] + b"\0" + data[-8:])
    arguments = ("mix", tmp_path / "c", tmp_path / "m", *SHORT)
    done = here(*arguments, "--audio")
    assert_one_line_error(done, 1, str(tmp_path / "c"), ".flac")
    assert not list((tmp_path / "m").glob("*.tar"))
    assert not (tmp_path / "m" / "manifest.json").exists()
    for stem in stems:
        whole = corpus / stem.relative_to(tmp_path / "c")
        stem.write_bytes(whole.read_bytes())
    assert here(*arguments, "--audio").returncode == 0, "it goes on when the files are back"
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"corpus"', '"recipes"'),
        lambda text: text.replace('"schema_version": 1', '"schema_version": 99'),
        lambda text: json.dumps({**json.loads(text), "shards": [1, 2]}),
        lambda text: json.dumps({**json.loads(text), "shards": None}),
        lambda text: text.replace('"file": "s', '"file": "x'),
        lambda text: text.replace('"file": "s', '"file": "/s'),
        lambda text: text.replace('"sha256": "', '"sha256": "0'),
    ],
)
def test_a_corpus_whose_manifest_is_damaged(corpus: Path, tmp_path: Path, here, change) -> None:
    (tmp_path / "c").mkdir()
    for path in corpus.glob("*.parquet"):
        shutil.copyfile(path, tmp_path / "c" / path.name)
    text = change((corpus / "manifest.json").read_text("utf-8"))
    (tmp_path / "c" / "manifest.json").write_text(text, "utf-8")
    done = here("mix", tmp_path / "c", tmp_path / "m", *SHORT)
    assert_one_line_error(done, 1, str(tmp_path / "c"))
    assert not (tmp_path / "m").exists()


def test_a_source_is_never_written_to(corpus: Path, musdb: Path, tmp_path: Path, here) -> None:
    (tmp_path / "link").symlink_to(corpus)
    sources = (corpus, f"musdb:{musdb}")
    before = state(corpus) | state(musdb)
    for folder in (
        corpus,
        corpus / "mixtures",
        corpus / "train" / "deep" / "er",
        tmp_path / "link" / "mixtures",
        musdb / "mixtures",
        musdb / "train" / ".." / "x",
    ):
        done = here("mix", *sources, folder, *SHORT, "--taxonomy", "musdb")
        assert_one_line_error(done, 2, "in the source", str(folder))
    assert state(corpus) | state(musdb) == before


def test_names_of_any_script_keep_their_difference(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    """Piano and violin in Chinese, and flutes in both of Unicode's forms."""
    piano, violin, flute = "\u94a2\u7434", "\u5c0f\u63d0\u7434", "Fl\u00f6te"
    for k, song in enumerate(("One", "Two")):
        form = ("NFC", "NFD")[k]
        for j, name in enumerate((piano, violin, unicodedata.normalize(form, flute))):
            make_noise(tmp_path / "songs" / song / f"{name}.wav", 3, 16000, 1, 10 * k + j)
    taxonomy = tmp_path / "band.toml"
    lines = [f'"{name.lower()}" = ["{name}"]' for name in (piano, violin, flute)]
    taxonomy.write_text("\n".join(["[targets]", *lines]), "utf-8")
    done = here("mix", f"folder:{tmp_path / 'songs'}", tmp_path / "m", *SHORT,
                "--taxonomy", taxonomy, "--target", "flo\u0308te")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for mixture in recipes_of(tmp_path / "m"):
        found = {unicodedata.normalize("NFC", Path(s.path).stem): s.group for s in mixture.sources}
        assert found == {name: name.lower() for name in (piano, violin, flute)}
    assert not rejections_of(tmp_path / "m")
    done = here("mix", f"folder:{tmp_path / 'songs'}", tmp_path / "n", *SHORT,
                "--taxonomy", "violin-piano")  # fmt: skip
    assert_one_line_error(done, 1, "no stem of any source belongs to a target")


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (("C#", "C"), ("'C#'", "'C'", "are both the class 'c'; rename one of them")),
        (("C", "\u266a\u266b"), ("'\u266a\u266b' has no letter or digit",)),
    ],
)
@pytest.mark.parametrize("is_solo", [False, True])
def test_names_that_lose_their_difference_are_refused(
    make_noise: Callable[..., Path],
    tmp_path: Path,
    here,
    names,
    texts: tuple[str, ...],
    is_solo: bool,
) -> None:
    for k, name in enumerate(names):
        place = f"train/{name}/a.wav" if is_solo else f"Song {k}/{name}.wav"
        make_noise(tmp_path / "s" / place, 2, 16000, 1, k)
    done = here("mix", f"folder:{tmp_path / 's'}", tmp_path / "m", *SHORT)
    assert_one_line_error(done, 1, str(tmp_path / "s"), *texts)
    assert not (tmp_path / "m").exists()


def test_a_source_without_a_song_says_why(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    """The file that cannot be used is named, and not one that is missed beside it."""
    for name, n_channels in (("bass", 8), ("drums", 2), ("piano", 1)):
        make_noise(tmp_path / "s" / "Song" / f"{name}.wav", 2, 16000, n_channels, 0)
    done = here("mix", f"folder:{tmp_path / 's'}", tmp_path / "m", *SHORT)
    assert_one_line_error(done, 1, "no song can be used", "bass.wav: 8 channels")


def test_whatever_is_not_used_has_a_row(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    """One good solo among files of all kinds: the mixtures are of it, and all else is listed."""
    solos = tmp_path / "solos"
    for k, name in enumerate(("violin/good", "piano/good", "tuba/a")):
        make_noise(solos / "train" / f"{name}.wav", 2, 16000, 1, k)
    for k in range(20):
        make_noise(solos / "train" / "piano" / f"short{k}.wav", 0.9, 16000, 1, 50 + k)
        (solos / "train" / "piano" / f"{k}.wma").write_bytes(b"")
    make_noise(solos / "more" / "piano" / "deep.wav", 2, 16000, 1, 99)
    (solos / "readme.txt").write_text("")
    make_noise(solos / "train" / "mixture.wav", 2, 16000, 1, 98)
    for hidden in ("train/piano/._good.wav", "train/@eaDir/good.wav", "__MACOSX/x/good.wav",
                   "train/piano/Thumbs.db", ".DS_Store"):  # fmt: skip
        (solos / hidden).parent.mkdir(parents=True, exist_ok=True)
        (solos / hidden).write_bytes(b"")
    command = ("mix", f"folder:{solos}", tmp_path / "m", *SHORT, "--taxonomy", "violin-piano",
               "--mode", "incoherent")  # fmt: skip
    done = here(*command, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row: reason for row, (reason, _) in rejections_of(tmp_path / "m").items()}
    assert rows == {
        **{f"folder:train/piano/short{k}.wav": "too-short" for k in range(20)},
        **{f"folder:train/piano/{k}.wma": "not-audio" for k in range(20)},
        "folder:more/piano/deep.wav": "no-stem",
        "folder:readme.txt": "not-audio",
        "folder:train/mixture.wav": "mixture",
        "folder:train/tuba/a.wav": "no-target",
    }
    counts = {"too-short": 20, "not-audio": 21, "no-stem": 1, "mixture": 1, "no-target": 1}
    assert json.loads(done.stdout)["rejections"] == counts
    (shard,) = (tmp_path / "m").glob("rejections-*.parquet")
    assert shard.name == "rejections-00000.parquet"
    again = here(*command)
    assert again.returncode == 0 and again.stdout.endswith("; 44 left out\n"), again.stderr
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0
    shard.write_bytes(shard.read_bytes()[:-9] + bytes(9))
    done = here("validate", tmp_path / "m", "--jobs", 0)
    assert_one_line_error(done, 1, "rejections-00000.parquet: SHA-256")


def test_what_storage_boxes_leave_ends_no_run(make_musdb, tmp_path: Path, here) -> None:
    root = make_musdb(tmp_path / "hq")
    recipes = []
    for name in ("clean", "littered"):
        done = here("mix", f"musdb:{root}", tmp_path / name, *SHORT, "--taxonomy", "musdb")
        assert done.returncode == 0, done.stderr
        recipes.append([(m.mixture_id, m.sources) for m in recipes_of(tmp_path / name)])
        for litter in ("train/@eaDir", "test/__MACOSX", "train/#recycle", "train/notes"):
            (root / litter).mkdir(exist_ok=True)
            (root / litter / "x.txt").write_text("")
    assert recipes[0] == recipes[1]
    rows = rejections_of(tmp_path / "littered").keys() - rejections_of(tmp_path / "clean").keys()
    assert rows == {"musdb:train/notes", "musdb:train/notes/x.txt"}


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_file_that_does_not_say_its_length(
    make_noise: Callable[..., Path], tmp_path: Path, here, monkeypatch, is_installed: bool
) -> None:
    if not is_installed:
        monkeypatch.setitem(sys.modules, "av", None)
    solos = tmp_path / "solos" / "train"
    make_noise(solos / "violin" / "good.wav", 2, 16000, 1)
    path = solos / "piano" / "piped.flac"
    make_noise(path, 3, 16000, 1, 5)
    make_noise(solos / "piano" / "good.wav", 2, 16000, 1, 6)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the total of samples: unknown
    data[22:26] = bytes(4)
    path.write_bytes(data)
    done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "m", "--clip", 1, "--mixtures",
                60, "--jobs", 0, "--taxonomy", "violin-piano", "--mode", "incoherent",
                "--audio")  # fmt: skip
    assert done.returncode == 0, done.stderr
    used = {s.path: s for m in recipes_of(tmp_path / "m") for s in m.sources}
    if is_installed:
        assert not rejections_of(tmp_path / "m")
        assert used["train/piano/piped.flac"].n_stem_samples == 3 * 16000
        last = max(s.start for m in recipes_of(tmp_path / "m") for s in m.sources)
        assert last > 16000, "clips come from all of it"
    else:
        ((row, (reason, detail)),) = rejections_of(tmp_path / "m").items()
        assert (row, reason) == ("folder:train/piano/piped.flac", "unsupported")
        assert "piped.flac" in detail and "needs PyAV: pip install" in detail
        assert "train/piano/piped.flac" not in used


def test_homes_and_addresses_after_a_prefix(
    musdb: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(musdb.parent))
    done = here("mix", f"musdb:~/{musdb.name}", tmp_path / "m", *SHORT, "--taxonomy", "musdb")
    assert done.returncode == 0, done.stderr
    done = here("mix", "musdb:https://host/musdb", tmp_path / "n", *SHORT)
    assert_one_line_error(done, 2, "https://host/musdb: is an address of a kind that cannot be")


def test_a_song_is_left_out_of_training_in_either_form(
    make_noise: Callable[..., Path], tmp_path: Path, here
) -> None:
    for k, song in enumerate(("Caf\u00e9", "Other")):
        for j, name in enumerate(("drums", "bass")):
            make_noise(tmp_path / "s" / song / f"{name}.wav", 2, 16000, 1, 2 * k + j)
    done = here("mix", f"folder:{tmp_path / 's'}", tmp_path / "m", *SHORT, "--leave-out",
                "Cafe\u0301")  # fmt: skip
    assert done.returncode == 0, done.stderr
    songs = {(m.split, s.song_id) for m in recipes_of(tmp_path / "m") for s in m.sources}
    assert songs == {("test", "folder:Caf\u00e9"), ("train", "folder:Other")}
