"""Songs in tar files, read by the webdataset package."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.corpus import Corpus
from stemsmith.share import export_dataset
from stemsmith.share.exports import hub_tables
from stemsmith.share.exports.formats import webdataset as layout

webdataset = pytest.importorskip("webdataset")


def samples_of(*files: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files to the collector
        found = list(webdataset.WebDataset(list(map(str, files)), shardshuffle=False))
        gc.collect()
    return found


def decoded(data: bytes) -> np.ndarray[Any, Any]:
    return soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0].astype(np.int64)


def test_a_sample_has_the_files_and_the_records_of_a_song(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "webdataset")
    opened = Corpus(stereo)
    samples = samples_of(tmp_path / "x" / "train-00000.tar")
    assert [sample["__key__"] for sample in samples] == list(opened)
    for sample in samples:
        track = opened[sample["__key__"]]
        records = json.loads(sample["json"])
        assert records["song"] == next(
            row for row in opened.songs.to_pylist() if row["track"] == track.name
        )
        assert hashlib.sha256(sample["mix.flac"]).hexdigest() == records["song"]["mix_sha256"]
        assert hashlib.sha256(sample["all_src.mid"]).hexdigest() == records["song"]["midi_sha256"]
        assert records["song"]["licence"] == "CC0-1.0"
        for name, stem in track.stems.items():
            row = records["stems"][name.lower()]
            assert row["note_pitch"] == stem.record.note_pitch.tolist()
            assert hashlib.sha256(sample[f"{name.lower()}.flac"]).hexdigest() == row["sha256"]
            assert hashlib.sha256(sample[f"{name.lower()}.mid"]).hexdigest() == row["midi_sha256"]
        total = sum(decoded(sample[f"{name.lower()}.flac"]) for name in track.stems)
        assert np.array_equal(total, decoded(sample["mix.flac"]))


def test_renditions_are_made(workshop: Path) -> None:
    export_dataset("renditions", "x", "webdataset")
    opened = Corpus("renditions")
    for sample in samples_of(*sorted((workshop / "x").glob("*.tar"))):
        track = opened[sample["__key__"]]
        total = sum(decoded(sample[f"{name.lower()}.flac"]) for name in track.stems)
        mixture = decoded(sample["mix.flac"])
        assert np.array_equal(total, mixture)
        assert json.loads(sample["json"])["gain_db"] == 0
        expected = np.rint(track.mixture.T * 32768)
        assert np.abs(mixture - expected).max() <= len(track.stems) / 2 + 0.5


def test_the_headers_say_nothing_of_who_and_when(workshop: Path) -> None:
    export_dataset("corpus", "x", "webdataset", splits=("train",))
    with tarfile.open(workshop / "x" / "train-00000.tar") as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "", "", 0o644)
    }
    names = [member.name for member in members]
    assert names == sorted(names)


def test_files_are_bounded_and_listed(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = workshop / "corpus" / "manifest.json"
    assert shards.exists() and hub_tables.SHARD_BYTES == layout.SHARD_BYTES == 500_000_000
    monkeypatch.setattr(layout, "SHARD_BYTES", 1)
    export_dataset(["corpus", "renditions"], "x", "webdataset")
    listing = json.loads((workshop / "x" / "shards.json").read_text())
    for split, entries in listing.items():
        assert [entry["file"] for entry in entries] == [
            path.name for path in sorted((workshop / "x").glob(f"{split}-*.tar"))
        ]
        assert {entry["n_samples"] for entry in entries} == {1}
    assert len(listing["train"]) == 3  # a song, and two renditions
