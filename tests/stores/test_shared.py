"""What is certified, shown, exported, separated by or compared may lie in a store."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from stemsmith.manifests.stores import ObjectPath
from stemsmith.render.checking import certify_corpus
from stemsmith.share import export_dataset, write_report

# What says where the sources are: the manifest of an export, which has what it was asked for.
NAMING = "manifest.json"
IDENTIFIER = re.compile(r"\bc[0-9a-f]{10}-")
FORMATS = (
    "babyslakh", "demucs", "hf", "mirdata", "msst", "musdb", "slakh", "sourcefolder",
    "transcription", "webdataset",
)  # fmt: skip


def test_a_corpus_is_certified_there(
    disk: Path,
    bucket: ObjectPath,
    upload: Callable[..., ObjectPath],
    contents,
    here,
    tmp_path: Path,
) -> None:
    corpus = upload(disk / "corpus", bucket / "corpus")
    certify_corpus(shutil.copytree(disk / "corpus", tmp_path / "corpus"))
    done = here("certify", corpus, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert contents(corpus) == contents(tmp_path / "corpus")
    assert front.validate(str(corpus))


@pytest.mark.parametrize("kind", ["corpus", "mixtures"])
def test_a_page_is_the_one_of_a_disk(
    disk: Path, stored: ObjectPath, tmp_path: Path, here, kind: str
) -> None:
    pages = []
    for root in (disk, stored):
        done = here("report", root / kind, "--out", tmp_path / "page.html", "--songs", 1)
        assert done.returncode == 0, done.stderr
        page = (tmp_path / "page.html").read_text("utf-8")
        page = page.replace(str(root), "ROOT").replace(f"{root.name}/", "ROOT/")
        pages.append(IDENTIFIER.sub("c-", page))  # of a drawing, which goes by what it says
    assert pages[0] == pages[1]


def exported(
    source: Path | ObjectPath, out: Path, contents: Any, layout: str, **options: Any
) -> dict[str, bytes]:
    """Return what an export writes, which is the same folder for all: some names go by it."""
    shutil.rmtree(out, ignore_errors=True)
    export_dataset(str(source), out, layout, **options)
    assert front.validate(out)
    return {name: data for name, data in contents(out).items() if name != NAMING}


@pytest.mark.parametrize("layout", FORMATS)
def test_exports_are_those_of_a_disk(
    disk: Path, stored: ObjectPath, tmp_path: Path, layout: str, contents
) -> None:
    roots = (disk, stored)
    local, remote = (exported(root / "corpus", tmp_path / "x", contents, layout) for root in roots)
    assert local == remote
    assert len(local) > 4


def test_renditions_mixtures_and_runs_are_exported(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, upload: Callable[..., ObjectPath],
    trained: Any, tmp_path: Path, contents,
) -> None:  # fmt: skip
    config = front.RenditionConfig(headroom_db=36, sample_rate=8000, band=None, n_songs=1)
    renditions = front.render_renditions(disk / "midi", tmp_path / "renditions", config).root
    places = (renditions, upload(renditions, bucket / "renditions"))
    how: dict[str, Any] = {"layout": "bach10", "taxonomy": "slakh"}
    local, remote = (exported(place, tmp_path / "x", contents, **how) for place in places)
    assert local == remote
    places = (disk / "mixtures", stored / "mixtures")
    local, remote = (exported(place, tmp_path / "x", contents, "musdb") for place in places)
    assert local == remote
    upload(trained.root, bucket / "run")
    export_dataset(str(bucket / "run"), tmp_path / "run.pt", "checkpoint")
    assert (tmp_path / "run.pt").stat().st_size


def test_recordings_are_separated_by_a_run_of_a_store(
    disk: Path, bucket: ObjectPath, upload: Callable[..., ObjectPath], trained: Any, here, contents,
    tmp_path: Path,
) -> None:  # fmt: skip
    run = upload(trained.root, bucket / "run")
    song = disk / "corpus" / front.Corpus(disk / "corpus")["Track00001"].record.mix_path
    front.separate_files(trained.root, [song], tmp_path / "disk")
    done = here("separate", run, song, tmp_path / "stored")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "disk") == contents(tmp_path / "stored")


def test_the_gap_is_the_same(disk: Path, stored: ObjectPath, bucket: ObjectPath, here) -> None:
    found = []
    for root in (disk, stored):
        done = here("gap", root / "corpus", root / "corpus", "--json", "--jobs", 0)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.replace(str(root), "ROOT")))
    assert found[0] == found[1]


def test_other_data_sets_are_read_there(
    disk: Path, bucket: ObjectPath, upload: Callable[..., ObjectPath], tmp_path: Path, here
) -> None:
    """An export as MUSDB18 has it, put into a store, is shown and measured."""
    export_dataset(disk / "corpus", tmp_path / "musdb", "musdb")
    stored = upload(tmp_path / "musdb", bucket / "musdb")
    found = []
    for root in (tmp_path / "musdb", stored):
        done = here("gap", disk / "corpus", f"musdb:{root}", "--json", "--jobs", 0)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.replace(str(root), "ROOT")))
    assert found[0] == found[1]
    done = here("report", f"musdb:{stored}", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    done = here("export", f"musdb:{stored}", tmp_path / "msst", "--format", "msst", "--jobs", 0)
    assert done.returncode == 0, done.stderr


def test_results_are_shown_with_what_was_scored(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, upload: Callable[..., ObjectPath],
    trained: Any, tmp_path: Path,
) -> None:  # fmt: skip
    """Songs and estimates of a run are found again where they lie, to be listened to."""
    upload(trained.root, bucket / "run")
    found = []
    for root, run, out in ((disk, trained.root, tmp_path / "e"), (stored, bucket / "run", bucket)):
        how: dict[str, Any] = {"bss": "none", "splits": ("test",)}
        results = front.evaluate_system(f"run:{run}", str(root / "corpus"), str(out / "r"), **how)
        page = write_report(str(results.root), tmp_path / "page.html").read_text("utf-8")
        found.append((page.count('class="mp3"'), page.count("make the page where")))
    assert found[0] == found[1]
    assert found[0][0] > 2


def test_what_is_not_there_is_one_line(bucket: ObjectPath, here, tmp_path: Path) -> None:
    for command in (
        ("certify", bucket / "none"),
        ("report", bucket / "none", "--out", tmp_path / "page.html"),
        ("export", bucket / "none", tmp_path / "out", "--format", "musdb"),
        ("gap", bucket / "none", bucket / "none"),
        ("separate", bucket / "none", tmp_path / "song.wav", tmp_path / "out"),
    ):
        done = here(*command)
        assert done.returncode in (1, 2), command
        assert str(bucket / "none") in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert not list(tmp_path.iterdir())
