"""Corpora in tars that lie in a store: written as on a disk, and read where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from stemsmith.manifests.stores import ObjectPath
from stored_songs import MIXED, RENDERED, killed_after

IN_TARS: dict[str, Any] = {**RENDERED, "splits": "3,0,1", "tracks_per_tar": 2}
# Songs of the four go into two tars of train (two songs and one), and one of test.
TARS = ("test-00000.tar", "train-00000.tar", "train-00001.tar")


@pytest.fixture(scope="session")
def tars(disk: Path) -> Path:
    """Return a corpus in tars on a disk."""
    front.render_corpus(disk / "midi", disk.parent / "tars", **IN_TARS)
    return disk.parent / "tars"


@pytest.mark.parametrize("n_jobs", [0, 2])
def test_the_same_tars_are_written(
    disk: Path, tars: Path, bucket: ObjectPath, contents, n_jobs: int
) -> None:
    corpus = bucket / "corpus"
    front.render_corpus(disk / "midi", str(corpus), jobs=n_jobs, **IN_TARS)
    assert contents(corpus) == contents(tars)
    assert sorted(path.name for path in corpus.glob("*.tar")) == list(TARS)
    front.validate(str(corpus))


def test_jobs_of_an_array_write_them(disk: Path, tars: Path, bucket: ObjectPath, contents) -> None:
    corpus = bucket / "corpus"
    for job in ("2/2", "1/2"):
        front.render_corpus(disk / "midi", str(corpus), job=job, **IN_TARS)
    front.merge(str(corpus))
    assert contents(corpus) == contents(tars)


@pytest.mark.parametrize("n_writes", [0, 7, 20, 33, 45, 55, 58, 60, 62, 64, 66, 69])
def test_writing_them_is_killed_and_goes_on(
    disk: Path, tars: Path, contents, n_writes: int
) -> None:
    corpus = ObjectPath(f"memory://killed-tars-{n_writes}/corpus")
    with killed_after(n_writes):
        front.render_corpus(disk / "midi", str(corpus), **IN_TARS)
    whole = contents(tars)
    left = contents(corpus)
    assert all(left[name] == whole[name] for name in left if not name.startswith(".render/"))
    front.render_corpus(disk / "midi", str(corpus), **IN_TARS)
    assert contents(corpus) == whole


def test_a_list_that_lags_does_no_harm(
    disk: Path, tars: Path, contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = ObjectPath("memory://lagging-tars/corpus")
    with killed_after(45):
        front.render_corpus(disk / "midi", str(corpus), **IN_TARS)
    files_below = ObjectPath.files_below

    def lagging(self: ObjectPath) -> Any:
        return [] if self.name == "records" else files_below(self)

    monkeypatch.setattr(ObjectPath, "files_below", lagging)
    monkeypatch.setattr(ObjectPath, "fetch_below", lambda self, folder: None)
    front.render_corpus(disk / "midi", str(corpus), **IN_TARS)
    assert contents(corpus) == contents(tars)


def test_they_are_mixed_and_only_members_are_fetched(
    tars: Path,
    bucket: ObjectPath,
    tmp_path: Path,
    upload: Callable[..., ObjectPath],
    contents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = upload(tars, bucket / "corpus")
    monkeypatch.setenv("STEMSMITH_CACHE", str(tmp_path / "cache"))
    fetched: Counter[ObjectPath] = Counter()
    stretch = ObjectPath.read_stretch

    def counted(self: ObjectPath, start: int, n_bytes: int) -> bytes:
        data = stretch(self, start, n_bytes)
        fetched[self] += len(data)
        return data

    fetch = ObjectPath.fetch

    def whole(self: ObjectPath, path: Path) -> None:
        assert self.suffix != ".tar"
        fetch(self, path)

    options = {**MIXED, "n_validation_mixtures": 0, "n_mixtures": 2, "target": "drums"}
    front.mix(tars, tmp_path / "mixtures", **options)
    monkeypatch.setattr(ObjectPath, "read_stretch", counted)
    monkeypatch.setattr(ObjectPath, "fetch", whole)
    front.mix(str(corpus), str(bucket / "mixtures"), **options)
    ours, theirs = contents(bucket / "mixtures"), contents(tmp_path / "mixtures")
    changed = {name for name in ours if ours[name] != theirs[name]}
    assert ours.keys() == theirs.keys()
    assert changed <= {"manifest.json"}  # which says where the sources are
    for tar, n_bytes in fetched.items():
        assert n_bytes < tar.stat().st_size
