"""Whatever reads a corpus reads one in tars, and finds in it what it finds in the folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import stemsmith
from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.evaluate.nmf.scores import read_parts
from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.mixing.residuals import mixture_residuals
from stemsmith.render.checking import audit_corpus, certify_corpus
from stemsmith.share import export_dataset
from stemsmith.share.exports.formats import FORMATS

RENDERED: dict[str, Any] = {
    "band": None, "splits": "4,1,1", "sample_rate": 8000, "tail_s": 0.5, "drum_pieces": True,
}  # fmt: skip
MIXED: dict[str, Any] = {
    "n_mixtures": 3, "n_validation_mixtures": 2, "n_test_mixtures": 2, "clip_s": 1.0,
    "min_rms_dbfs": -60.0,
}  # fmt: skip
TINY_MODEL = {
    "n_layers": 1, "n_units": 4, "n_fft": 256, "hop": 128, "segment_frames": 50,
    "sample_rate": 8000,
}  # fmt: skip


class Twins(NamedTuple):
    """The same songs in folders, and two to a tar."""

    folders: Path
    tars: Path


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory, make_song: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("midi")
    for k in range(6):
        make_song(folder / f"{k}.mid", n_notes=24, seed=k)
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, midi: Path) -> Twins:
    root = tmp_path_factory.mktemp("twins")
    for name, n in (("folders", None), ("tars", 2)):
        stemsmith.render_corpus(midi, root / name / "c", tracks_per_tar=n, **RENDERED)
    return Twins(root / "folders" / "c", root / "tars" / "c")


def mixtures_of(twins: Twins, folder: Path, **options: Any) -> tuple[stemsmith.Mixtures, ...]:
    made = (
        stemsmith.mix(one, folder / name, **{**MIXED, **options})
        for name, one in zip(twins._fields, twins, strict=True)
    )
    return tuple(made)


def assert_equal_audio(ours: stemsmith.Mixtures, theirs: stemsmith.Mixtures) -> None:
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.record.mixture_id == other.record.mixture_id
        made, wanted = one.realise(), other.realise()
        assert list(made) == list(wanted)
        assert all(np.array_equal(made[name], wanted[name]) for name in made)
        if one.record.own_mixture is None:
            notes, known = one.labels(), other.labels()
            assert all(np.array_equal(notes[n].onset, known[n].onset) for n in known)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "coherent"},
        {"mode": "incoherent"},
        {"mode": "incoherent", "augment": "gain"},
        {"taxonomy": "drum-pieces"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_mixtures_are_the_same(twins: Twins, tmp_path: Path, options: dict[str, Any]) -> None:
    ours, theirs = mixtures_of(twins, tmp_path, **options)
    assert_equal_audio(ours, theirs)
    paths = {source.path for one in theirs for source in one.record.sources}
    assert all(path.partition("/")[0].endswith("-00000.tar") or "-00001" in path for path in paths)
    stemsmith.validate(theirs.root)


def test_own_mixtures(tmp_path: Path, midi: Path) -> None:
    options = {**RENDERED, "drum_pieces": False, "audit": False}
    options |= {"mix_source": "unsplit", "patch_choice": "program"}
    flakh = Twins(
        *(
            stemsmith.render_corpus(midi, tmp_path / f"{n}" / "c", tracks_per_tar=n, **options).root
            for n in (None, 4)
        )
    )
    ours, theirs = mixtures_of(flakh, tmp_path / "own")
    assert theirs.n_own_mixtures == len(theirs)
    assert_equal_audio(ours, theirs)
    residuals = [mixture_residuals(Corpus(one)) for one in flakh]
    assert residuals[0] == residuals[1] and residuals[0]


def test_audio_shards_and_clips_for_training(twins: Twins, tmp_path: Path) -> None:
    from stemsmith.train.data.clips import find_clips

    ours, theirs = mixtures_of(twins, tmp_path / "a", audio_format="flac", target="bass")
    members = []
    for one in (ours, theirs):
        with tarfile.open(next(one.root.glob("*train*.tar"))) as tar:
            audio = [m for m in tar.getmembers() if m.name.endswith(".flac")]
            members.append({m.name: tar.extractfile(m).read() for m in audio})  # type: ignore[union-attr]
    assert members[0] == members[1] and members[0]
    recipes = mixtures_of(twins, tmp_path / "r", target="bass")
    clips = [find_clips([one.root], "train", ("bass",), 8000) for one in recipes]
    assert len(clips[0].clips) == len(clips[1].clips) == 3
    assert all(np.array_equal(clips[0].read(k), clips[1].read(k)) for k in range(3))
    source = theirs[0].record.sources[0]
    tar = twins.tars / source.path.partition("/")[0]
    moved = tar.rename(tar.with_suffix(".gone"))
    try:
        with pytest.raises(InvalidCorpus, match=r"00\.tar/Track.*: is missing; restore it"):
            find_clips([recipes[1].root], "train", ("bass",), 8000)
    finally:
        moved.rename(tar)


def test_a_member_that_has_changed_is_named(twins: Twins, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(twins.tars, tmp_path / "c"))
    mixtures = stemsmith.mix(copy, tmp_path / "m", **MIXED)
    source = mixtures[0].record.sources[0]
    tar = copy / source.path.partition("/")[0]
    data = bytearray(tar.read_bytes())
    for start in range(200_000, len(data), 2_000):  # wherever the stem lies
        data[start] ^= 1
    tar.write_bytes(data)
    with pytest.raises(InvalidCorpus, match=r"\.tar/Track\d+/stems/.*has changed since"):
        for one in mixtures:
            one.realise()


def test_training_streams_from_recipes(twins: Twins, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Any] = {
        "target": "bass", "settings": TINY_MODEL, "epochs": 1, "batch_size": 1, "device": "cpu",
        "validation": None, "logger": "csv", "loader": "stream", "n_workers": 0,
    }  # fmt: skip
    weights = [
        stemsmith.train_model(one, tmp_path / f"run-{one.root.name}", **options)
        .model()
        .state_dict()
        for one in mixtures_of(twins, tmp_path, target="bass")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_scores_are_the_same(twins: Twins, tmp_path: Path) -> None:
    options: dict[str, Any] = {"splits": ("train", "test"), "bss": "none"}
    tables = []
    for name, one in zip(twins._fields, twins, strict=True):
        results = stemsmith.evaluate_system("oracle:irm", one, tmp_path / name, **options)
        assert not results.rejection_records()
        tables.append(results.scores)
    assert tables[0].num_rows and tables[0].equals(tables[1])


def test_a_tar_that_was_written_again_is_another_data_set(twins: Twins, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(twins.tars, tmp_path / "c"))
    stemsmith.evaluate_system("mixture", copy, tmp_path / "r", bss="none")
    for path in copy.glob("test-*.tar"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    with pytest.raises(UsageError, match="other arguments, other input files"):
        stemsmith.evaluate_system("mixture", copy, tmp_path / "r", bss="none")


@pytest.mark.parametrize("reason", ["missing", "damaged"])
def test_songs_of_a_tar_that_is_of_no_use_are_left_out(
    twins: Twins, tmp_path: Path, reason: str
) -> None:
    copy = Path(shutil.copytree(twins.tars, tmp_path / "c"))
    tar = copy / "train-00000.tar"
    tar.unlink() if reason == "missing" else tar.write_bytes(bytes(3) + tar.read_bytes())
    results = stemsmith.evaluate_system(
        "mixture", copy, tmp_path / "r", splits=("train",), bss="none"
    )
    rows = results.rejection_records()
    assert [row.reason for row in rows] == [reason, reason]
    assert all(str(tar) in row.detail for row in rows)
    for name in ("slakh", "webdataset"):
        rows = export_dataset(copy, tmp_path / name, name).rejection_records()
        assert [row.reason for row in rows] == [reason, reason]
        assert all(str(tar) in row.detail for row in rows)


def test_scores_of_stems_are_found(twins: Twins) -> None:
    found = [find_dataset(str(one), None, ("train",)) for one in twins]
    for ours, theirs in zip(*(dataset.songs for dataset in found), strict=True):
        for one, other in zip(ours.stems, theirs.stems, strict=True):
            parts = [read_parts(Path(stem.score)) for stem in (one, other)]
            for a, b in zip(*parts, strict=True):
                assert np.array_equal(a.onset_s, b.onset_s) and np.array_equal(a.pitch, b.pitch)


def test_certificates_and_audits(twins: Twins, tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(one, tmp_path / one.parent.name)) for one in twins]
    ours, theirs = (certify_corpus(one).content for one in copies)
    for key in ("corpus", "checks", "leaks", "audit", "licences"):
        assert ours[key] == theirs[key]
    assert ours["bytes"]["n_files"] == theirs["bytes"]["n_files"]
    stemsmith.validate(copies[1])
    found = [[(s.name, s.defects) for s in audit_corpus(str(one))] for one in twins]
    assert found[0] == found[1]


EXPORTED = sorted({*FORMATS.names} - {"bach10", "checkpoint"})


@pytest.mark.parametrize("name", EXPORTED)
def test_exports_are_the_same(twins: Twins, tmp_path: Path, name: str) -> None:
    hashes = []
    for kind, one in zip(twins._fields, twins, strict=True):
        # One name, of which songs of several sources are called.
        exported = export_dataset(one, tmp_path / kind / "x", name)
        exported.verify()
        files = {
            path.relative_to(exported.root).as_posix(): storage.file_hash(path)
            for path in exported.root.rglob("*")
            if path.suffix in (".wav", ".flac", ".mid", ".midi", ".csv", ".jams", ".yaml")
            or (path.suffix == ".tar" and name == "webdataset")
        }
        hashes.append(files)
    assert hashes[0].keys() == hashes[1].keys()
    if name != "webdataset":  # the records are in its JSON, paths included
        assert hashes[0] == hashes[1]


@pytest.mark.parametrize("variant", ["parquet", "webdataset"])
def test_tables_hold_the_files(twins: Twins, tmp_path: Path, variant: str) -> None:
    import pyarrow.parquet as pq

    exported = [
        export_dataset(one, tmp_path / kind, "hf", variant=variant).root
        for kind, one in zip(twins._fields, twins, strict=True)
    ]
    if variant == "parquet":
        ours, theirs = (pq.read_table(root / "stems/train-00000.parquet") for root in exported)
        for column in ("audio", "midi"):
            data = [
                [row["bytes"] if isinstance(row, dict) else row for row in t[column].to_pylist()]
                for t in (ours, theirs)
            ]
            assert data[0] == data[1]
    else:
        members = []
        for root in exported:
            with tarfile.open(root / "songs/train-00000.tar") as tar:
                audio = [m for m in tar.getmembers() if not m.name.endswith(".json")]
                members.append({m.name: tar.extractfile(m).read() for m in audio})  # type: ignore[union-attr]
        assert members[0] == members[1]


def test_pages_and_gaps(twins: Twins, tmp_path: Path, here) -> None:
    pages = []
    for kind, one in zip(twins._fields, twins, strict=True):
        done = here("report", one, "--out", tmp_path / f"{kind}.html", "--songs", 1)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
        page = (tmp_path / f"{kind}.html").read_text("utf-8")
        pages.append(re.findall(r'class="mp3">([^<]+)<', page))
    assert pages[0] == pages[1] and len(pages[0]) > 3
    gap = stemsmith.measure_gap(twins.tars, twins.folders)
    assert gap.gap_db == 0.0 and not gap.rejections


def test_a_dry_run_knows_the_sizes(twins: Twins, tmp_path: Path, here) -> None:
    for name in ("slakh", "webdataset", "hf"):
        said = []
        for one in twins:
            done = here(
                "export", one, tmp_path / "x", "--format", name, "--dry-run", "--json", "--jobs", 0
            )
            assert done.returncode == 0, done.stderr
            said.append(json.loads(done.stdout.splitlines()[-1]))
        n_linked = [one["n_linked_bytes"] for one in said]
        assert said[0]["n_bytes"] + n_linked[0] == said[1]["n_bytes"] > 0
        assert n_linked[1] == 0 and (n_linked[0] > 0) is (name == "slakh")


def test_mirdata_says_what_to_do(twins: Twins) -> None:
    pytest.importorskip("mirdata")
    from stemsmith.share import mirdata_dataset

    with pytest.raises(
        UsageError, match=r"in tars, which mirdata does not open; .*--format mirdata"
    ):
        mirdata_dataset(twins.tars)


def test_other_layouts_and_commands_say_what_it_is(twins: Twins, tmp_path: Path, here) -> None:
    for words in (
        ("audit", f"slakh:{twins.tars}"),
        ("mix", f"slakh:{twins.tars}", tmp_path / "m"),
        ("scan", twins.tars),
        ("render", twins.tars, tmp_path / "c"),
    ):
        done = here(*words, "--jobs", 0)
        assert done.returncode in (1, 2) and done.stderr.count("\n") == 1, done.stderr
        assert str(twins.tars) in done.stderr
