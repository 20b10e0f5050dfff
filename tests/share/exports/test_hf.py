"""The format of the Hugging Face Hub: read offline by `datasets`, `mlcroissant`, `webdataset`."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
import stemsmith
import yaml
from stemsmith.manifests.corpus import Corpus
from stemsmith.render.checking import certify_corpus
from stemsmith.share import export_dataset
from stemsmith.share.exports import hub_tables
from stemsmith.share.exports.hub_tables import record_json

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets.disable_progress_bars()


def load(folder: Path, name: str, cache: Path) -> dict[str, Any]:
    loaded = datasets.load_dataset(str(folder), name, cache_dir=str(cache))
    plain = datasets.Audio(decode=False)
    for split, rows in loaded.items():
        for column, feature in rows.features.items():
            if isinstance(feature, datasets.Audio):
                loaded[split] = loaded[split].cast_column(column, plain)
    return dict(loaded)


@pytest.mark.parametrize("name", ["stems", "songs"])
def test_datasets_gives_every_row_and_column_and_the_bytes_of_every_file(
    corpus: Path, tmp_path: Path, name: str
) -> None:
    export_dataset(corpus, tmp_path / "x", "hf")
    loaded = load(tmp_path / "x", name, tmp_path / "cache")
    opened = Corpus(corpus)
    table = opened.stems if name == "stems" else opened.songs
    assert set(loaded) == set(table.column("split").to_pylist())
    found = {
        row["sha256" if name == "stems" else "mix_sha256"]: row
        for split in loaded.values()
        for row in split
    }
    assert len(found) == table.num_rows
    for row in table.to_pylist():
        key, path = ("sha256", "path") if name == "stems" else ("mix_sha256", "mix_path")
        theirs = found[row[key]]
        assert {column: theirs[column] for column in row} == row  # lists of notes and envelopes too
        audio = theirs["audio"]
        assert audio["path"] == row[path]
        assert hashlib.sha256(audio["bytes"]).hexdigest() == row[key]
        samples, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="int16")
        original, _ = soundfile.read(corpus / row[path], dtype="int16")
        assert rate == row["sample_rate"] and np.array_equal(samples, original)
        assert hashlib.sha256(theirs["midi"]).hexdigest() == row["midi_sha256"]
        schema = pyarrow.parquet.read_schema(
            tmp_path / "x" / name / f"{row['split']}-00000.parquet"
        )
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert features == {"audio": {"sampling_rate": 44100, "_type": "Audio"}}
    for split, rows in loaded.items():
        assert set(rows["split"]) == {split}


def test_renditions_have_their_own_tables(workshop: Path, tmp_path: Path) -> None:
    export_dataset("renditions", "x", "hf")
    opened = Corpus("renditions")
    renditions = load(workshop / "x", "renditions", tmp_path)
    assert sorted(renditions) == ["test", "train"]  # a split without rows has no file
    rows = [row for split in renditions.values() for row in split]
    assert sorted(rows, key=str) == sorted(opened.renditions.to_pylist(), key=str)
    stems = load(workshop / "x", "stems", tmp_path)
    assert sum(len(split) for split in stems.values()) == opened.stems.num_rows


def test_stereo_audio_and_names_of_all_the_world(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "hf")
    songs = load(tmp_path / "x", "songs", tmp_path / "cache")["train"]
    assert all("Żółć, noc <1> ночь" in source for source in songs["source"])
    for row in songs:
        samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), always_2d=True)
        assert samples.shape == (row["n_samples"], 2)
    assert set(songs["licence"]) == {"CC0-1.0"}


def test_pieces_of_kits_and_masters_are_there(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "hf")
    opened = Corpus(stereo)
    pieces = load(tmp_path / "x", "pieces", tmp_path / "cache")["train"]
    assert len(pieces) == opened.pieces.num_rows > 0
    songs = load(tmp_path / "x", "songs", tmp_path / "cache")["train"]
    for rows, columns in (
        (pieces, {"audio": "sha256"}),
        (songs, {"audio": "mix_sha256", "master_audio": "master_sha256"}),
    ):
        for row in rows:
            for column, digest in columns.items():
                assert hashlib.sha256(row[column]["bytes"]).hexdigest() == row[digest]


def test_dry_stems_are_there(workshop: Path, tmp_path: Path) -> None:
    options: Any = {"band": None, "min_notes": 1, "sample_rate": 8000, "dry": True}
    made = stemsmith.render_corpus("scores/duets", "dry", n_songs=1, **options)
    export_dataset(made, "x", "hf")
    (split,) = load(workshop / "x", "stems", tmp_path).values()
    assert len(split) == made.stems.num_rows
    for row in split:
        assert row["dry_audio"]["path"] == row["dry_path"]
        assert hashlib.sha256(row["dry_audio"]["bytes"]).hexdigest() == row["dry_sha256"]


def test_files_and_groups_of_rows_are_bounded(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_dataset("corpus", "whole", "hf", splits=("train",))
    monkeypatch.setattr(hub_tables, "SHARD_BYTES", 30_000)
    monkeypatch.setattr(hub_tables, "_GROUP_BYTES", 1)
    export_dataset("corpus", "small", "hf", splits=("train",))
    assert len(list((workshop / "small" / "stems").iterdir())) > 1
    whole, small = (load(workshop / f, "stems", tmp_path / f)["train"] for f in ("whole", "small"))
    assert whole.to_list() == small.to_list()


def test_mlcroissant_validates_and_reads_the_tables(corpus: Path, tmp_path: Path) -> None:
    export_dataset(corpus, tmp_path / "x", "hf", limit=1)
    logging.getLogger("absl").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rdflib's own deprecations
        mlcroissant = pytest.importorskip("mlcroissant")
        dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "x" / "croissant.json"))
        assert not dataset.metadata.ctx.issues.errors
        opened = Corpus(corpus)
        for name, table in (("songs", opened.songs), ("stems", opened.stems)):
            rows = {row[f"{name}/path"].decode(): row for row in dataset.records(name)}
            originals = [row for row in table.to_pylist() if row["path"] in rows]
            assert len(originals) == len(rows) > 1
            for original in originals:
                row = rows[original["path"]]
                assert set(row) == {f"{name}/{column}" for column in (*original, "audio", "midi")}
                assert row[f"{name}/n_samples"] == original["n_samples"]
                key = "sha256" if name == "stems" else "mix_sha256"
                assert hashlib.sha256(row[f"{name}/audio"]).hexdigest() == original[key]
            if name == "stems":
                assert list(row["stems/note_pitch"]) == original["note_pitch"]


def test_the_card_says_what_is_there_and_has_the_certificate(workshop: Path) -> None:
    certify_corpus("corpus")
    export_dataset("corpus", "x", "hf")
    text = (workshop / "x" / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert [config["config_name"] for config in front["configs"]] == ["songs", "stems"]
    assert front["license"] == "unknown"
    assert "`CERTIFICATE.md` says what was checked" in text and "torchcodec" in text
    for name in ("CERTIFICATE.md", "CERTIFICATE.json"):
        assert (workshop / "x" / name).read_bytes() == (workshop / "corpus" / name).read_bytes()
    original = (workshop / "corpus" / "manifest.json").read_bytes()
    assert (workshop / "x" / "corpus-manifest.json").read_bytes() == original
    (workshop / "corpus" / "CERTIFICATE.md").write_text("no longer")
    export_dataset("corpus", "y", "hf")
    assert not (workshop / "y" / "CERTIFICATE.md").exists()
    assert "no certificate that holds" in (workshop / "y" / "README.md").read_text()


def test_webdataset_is_loaded_by_datasets_and_by_webdataset(stereo: Path, tmp_path: Path) -> None:
    export_dataset(stereo, tmp_path / "x", "hf", variant="webdataset")
    loaded = load(tmp_path / "x", "stems", tmp_path / "cache")["train"]
    stems = {row["sha256"]: row for row in Corpus(stereo).stems.to_pylist()}
    assert len(loaded) == len(stems)
    for row in loaded:
        assert row["json"] == stems[row["json"]["sha256"]]
        assert hashlib.sha256(row["flac"]).hexdigest() == row["json"]["sha256"]
        assert hashlib.sha256(row["mid"]).hexdigest() == row["json"]["midi_sha256"]
    plain = loaded.cast_column("flac", datasets.Audio(decode=False))
    assert plain[0]["flac"]["bytes"] == loaded[0]["flac"]
    webdataset = pytest.importorskip("webdataset")
    files = str(tmp_path / "x" / "stems" / "train-00000.tar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file to the collector
        samples = list(webdataset.WebDataset(files, shardshuffle=False))
        gc.collect()
    assert [sample["__key__"] for sample in samples] == list(loaded["__key__"])
    assert [json.loads(sample["json"])["sha256"] for sample in samples] == [
        row["sha256"] for row in loaded["json"]
    ]


def test_a_record_as_json_has_no_nan() -> None:
    assert json.loads(record_json({"attack_s": float("nan"), "x": [1.5]})) == {
        "attack_s": None,
        "x": [1.5],
    }
