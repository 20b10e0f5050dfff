"""`validate` finds every kind of damage and names the first offender."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stemsmith.manifests import shards, storage
from stemsmith.manifests.records import Song, Stem


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    shutil.copytree(corpus, tmp_path / "c")
    return tmp_path / "c"


def rewrite_shard(root: Path, kind: str, record_type: type, change: Callable) -> None:
    """Change the first record of a shard and make the manifest agree with it."""
    path = root / f"{kind}-00000.parquet"
    first, *others = shards.read_records(path, record_type)
    shards.write_records(path, record_type, [*change(first), *others])
    manifest = root / "manifest.json"
    header = json.loads(manifest.read_text())
    for k, entry in enumerate(header["shards"]):
        if entry["file"] == path.name:
            header["shards"][k] = shards.shard_entry(path)
    manifest.write_text(json.dumps(header))


def rewrite_audio(root: Path, relative: str, kind: str, change: Callable) -> None:
    """Change samples of a file and make the records agree with its new checksum."""
    samples, sample_rate = soundfile.read(root / relative, dtype="int16")
    soundfile.write(root / relative, change(samples), sample_rate, subtype="PCM_16")
    file, content = storage.file_hash(root / relative), sha256_of_samples(root / relative)
    if kind == "songs":
        rewrite_shard(root, kind, Song, lambda first: [replace(first, mix_sha256=file)])
    else:
        hashes = {"sha256": file, "samples_sha256": content}
        rewrite_shard(root, kind, Stem, lambda first: [replace(first, **hashes)])


def sha256_of_samples(path: Path) -> str:
    samples, _ = soundfile.read(path, dtype="int16")
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def first_song(root: Path) -> Song:
    return shards.read_records(root / "songs-00000.parquet", Song)[0]


def first_stem(root: Path) -> Stem:
    return shards.read_records(root / "stems-00000.parquet", Stem)[0]


def flip(path: Path, at: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def one_sample(samples: np.ndarray) -> np.ndarray:
    samples[len(samples) // 3] += 1
    return samples


def mark_first_note(stem: Stem) -> list[Stem]:
    heard = stem.note_heard.copy()
    heard[0] = False
    return [replace(stem, note_heard=heard, n_notes_unheard=stem.n_notes_unheard + 1)]


def move_last_note(stem: Stem) -> list[Stem]:
    """Move a note into the silence at the end of the song."""
    onset = stem.note_onset.copy()
    onset[-1] = stem.n_samples - 64 * 200
    return [replace(stem, note_onset=onset)]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda c: (c / "manifest.json").unlink(), "manifest.json: missing"),
    "broken manifest": (lambda c: (c / "manifest.json").write_text("{"), "cannot be read"),
    "missing shard": (lambda c: (c / "songs-00000.parquet").unlink(), "songs-00000.parquet"),
    "changed shard": (lambda c: flip(c / "stems-00000.parquet"), "stems-00000.parquet: SHA-256"),
    "missing stem": (lambda c: (c / first_stem(c).path).unlink(), "S00.flac: missing"),
    "changed stem": (lambda c: flip(c / first_stem(c).path), "S00.flac: SHA-256"),
    "changed stem midi": (lambda c: flip(c / first_stem(c).midi_path, 40), "S00.mid: SHA-256"),
    "changed score": (lambda c: flip(c / first_song(c).path / "all_src.mid"), "all_src.mid"),
    "changed metadata": (lambda c: flip(c / first_song(c).path / "metadata.yaml"), "metadata.yaml"),
    "missing mixture": (lambda c: (c / first_song(c).mix_path).unlink(), "mix.flac: missing"),
    "mixture is not the sum": (
        lambda c: rewrite_audio(c, first_song(c).mix_path, "songs", one_sample),
        "mix.flac: not the sum of the stems at sample",
    ),
    "stem is not in the sum": (
        lambda c: rewrite_audio(c, first_stem(c).path, "stems", one_sample),
        "mix.flac: not the sum of the stems at sample",
    ),
    "stem of other samples": (
        lambda c: rewrite_shard(c, "stems", Stem, lambda s: [replace(s, samples_sha256="0" * 64)]),
        "S00.flac: SHA-256 of its samples",
    ),
    "stem of another loudness": (
        lambda c: rewrite_audio(c, first_stem(c).path, "stems", lambda s: s // 2),
        "S00.flac: loudness",
    ),
    "short stem": (
        lambda c: rewrite_audio(c, first_stem(c).path, "stems", lambda s: s[:-1]),
        "S00.flac",
    ),
    "peak above the ceiling": (
        lambda c: rewrite_audio(
            c, first_stem(c).path, "stems", lambda s: np.where(s == s.max(), 32767, s).astype("i2")
        ),
        "dBFS is above",
    ),
    "gain that was not applied": (
        lambda c: rewrite_shard(c, "stems", Stem, lambda s: [replace(s, gain_db=s.gain_db - 1)]),
        "gain of S00 differs",
    ),
    "a heard note marked as unheard": (
        lambda c: rewrite_shard(c, "stems", Stem, mark_first_note),
        "S00.mid: has",
    ),
    "a count of unheard notes": (
        lambda c: rewrite_shard(c, "stems", Stem, lambda s: [replace(s, n_notes_unheard=3)]),
        "S00.flac: 3 notes unheard",
    ),
    "a short note column": (
        lambda c: rewrite_shard(
            c, "stems", Stem, lambda s: [replace(s, note_sounding_pitch=s.note_sounding_pitch[1:])]
        ),
        "stems-00000.parquet: not readable as Stem records: note_sounding_pitch has not as many",
    ),
    "a note in silence": (
        lambda c: rewrite_shard(c, "stems", Stem, move_last_note),
        "is not heard, and not marked",
    ),
    "wrong id": (
        lambda c: rewrite_shard(c, "songs", Song, lambda s: [replace(s, song_id="0" * 32)]),
        "belongs to no song",
    ),
    "stem recorded twice": (
        lambda c: rewrite_shard(c, "stems", Stem, lambda s: [s, s]),
        "is recorded twice",
    ),
    "path out of the corpus": (
        lambda c: rewrite_shard(c, "stems", Stem, lambda s: [replace(s, path="../../x.flac")]),
        "leads out of the corpus",
    ),
    "wrong counts": (
        lambda c: (c / "manifest.json").write_text(
            (c / "manifest.json").read_text().replace('"not-midi": 1', '"not-midi": 2')
        ),
        "counts of rejections",
    ),
    "stray folder": (lambda c: (c / "train" / "Track09999").mkdir(), "Track09999: no record"),
    "remains of a run": (lambda c: (c / ".render").mkdir(), ".render: left by a run"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_named(copy: Path, damage: str, here) -> None:
    change, text = DAMAGE[damage]
    change(copy)
    done = here("validate", copy, "--jobs", 0)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert str(copy) in done.stderr


def test_a_stem_without_a_hash_of_its_samples_is_one_of_version_01(copy: Path, here) -> None:
    unknown = dict.fromkeys(
        (
            "samples_sha256",
            "note_heard",
            "note_sounding_offset",
            "note_sounding_pitch",
            "n_notes_unheard",
        )
    )
    rewrite_shard(copy, "stems", Stem, lambda stem: [replace(stem, **unknown)])
    done = here("validate", copy, "--jobs", 0)
    assert done.returncode == 0, done.stderr


def test_duplicates_in_two_splits_are_found(copy: Path, here) -> None:
    songs = shards.read_records(copy / "songs-00000.parquet", Song)
    other = next(song for song in songs if song.split != songs[0].split)
    rewrite_shard(
        copy, "songs", Song, lambda song: [replace(song, notes_sha256=other.notes_sha256)]
    )
    done = here("validate", copy, "--jobs", 0)
    assert done.returncode == 1
    assert "which is in another split" in done.stderr


def test_a_sound_corpus_is_valid_for_any_number_of_workers(corpus: Path, here) -> None:
    for n_jobs in (0, 2):
        done = here("validate", corpus, "--jobs", n_jobs)
        assert done.returncode == 0, done.stderr
        assert "valid; 6 songs" in done.stdout


def test_a_folder_that_is_no_corpus(tmp_path: Path, here) -> None:
    done = here("validate", tmp_path, "--jobs", 0)
    assert done.returncode == 1
    assert "manifest.json: missing" in done.stderr
