"""What is fetched from a store: once, whole, from tars by the member, and within bounds."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from stemsmith.manifests import cache, places, stores
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.stores import ObjectPath


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of what is copied from stores from now on."""
    names: list[str] = []
    fetch, read_stretch = ObjectPath.fetch, ObjectPath.read_stretch

    def counting_fetch(self: ObjectPath, path: Path) -> None:
        names.append(self.name)
        fetch(self, path)

    def counting_stretch(self: ObjectPath, start: int, n_bytes: int) -> bytes:
        names.append(f"{self.name}:{start}:{n_bytes}")
        return read_stretch(self, start, n_bytes)

    monkeypatch.setattr(ObjectPath, "fetch", counting_fetch)
    monkeypatch.setattr(ObjectPath, "read_stretch", counting_stretch)
    return names


def tar_of(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return made.getvalue()


def test_an_object_is_fetched_once_until_it_changes(
    store: ObjectPath, own_folder: Path, fetched: list[str]
) -> None:
    path = store / "a.flac"
    for content in (b"one", b"another"):
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        for _ in range(3):
            assert places.read_bytes(path) == content
            assert places.sha256_of(path) == digest
            assert places.size_of(path) == len(content)
    assert fetched == ["a.flac", "a.flac"]
    with pytest.raises(FileNotFoundError):
        places.opened(store / "b.flac")


def test_the_cache_stays_small(
    store: ObjectPath, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0.0001")
    for k in range(12):
        (store / f"{k}").write_bytes(os.urandom(20_000))
    for _ in range(2):
        for k in range(12):
            content = places.read_bytes(store / f"{k}")
            assert content == (store / f"{k}").read_bytes()
    n_bytes = sum(path.stat().st_size for path in own_folder.rglob("*") if path.is_file())
    assert n_bytes <= 100_000 * (1 + 1 / 16) + 20_000


@pytest.mark.parametrize("text", ["much", "0", "-1", "inf", "nan"])
def test_a_size_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, text)
    with pytest.raises(UsageError, match=cache.SIZE_VARIABLE):
        cache.most_cached_bytes()


def test_members_of_a_tar_are_read_by_their_place(
    store: ObjectPath,
    tmp_path: Path,
    own_folder: Path,
    fetched: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "_SMALL", 1000)  # so that it is not read as a whole
    members = {
        "Track00001/mix.flac": os.urandom(300_000),
        "Track00001/empty": b"",
        "Track00002/stems/S00.flac": os.urandom(200_000),
        "Track00002/mix.flac": os.urandom(1000),
    }
    data = tar_of(members)
    (tmp_path / "train-00000.tar").write_bytes(data)
    (store / "train-00000.tar").write_bytes(data)
    for root in (tmp_path, store):
        for name, content in members.items():
            path = places.joined(root, f"train-00000.tar/{name}")
            assert places.read_bytes(path) == content
            assert places.sha256_of(path) == hashlib.sha256(content).hexdigest()
            assert places.size_of(path) == len(content)
        with pytest.raises(FileNotFoundError, match="no such member"):
            places.opened(root / "train-00000.tar" / "Track00003")
    n_bytes = sum(int(name.rpartition(":")[2]) for name in fetched)
    assert n_bytes < len(data) + 10 * (1 << 16)
    assert "train-00000.tar" not in fetched  # as a whole


def test_a_tar_that_is_damaged_is_named(store: ObjectPath, own_folder: Path) -> None:
    (store / "t.tar").write_bytes(tar_of({"a": b"1", "b": b"2"})[:1500])
    for _ in range(2):  # what is damaged is not kept
        with pytest.raises(InvalidCorpus, match=r"t\.tar: cannot be read as tar"):
            places.opened(store / "t.tar" / "b")


def test_a_folder_may_be_called_as_a_tar(store: ObjectPath, own_folder: Path) -> None:
    (store / "x.tar" / "a").write_bytes(b"1")
    assert places.read_bytes(store / "x.tar" / "a") == b"1"


def test_audio_is_read_by_its_samples(
    store: ObjectPath, tmp_path: Path, own_folder: Path, make_noise
) -> None:
    local = make_noise(tmp_path / "a.wav", seconds=1.0)
    (store / "a.wav").upload(local)
    (store / "t.tar").write_bytes(tar_of({"x/a.wav": local.read_bytes()}))
    for path in (store / "a.wav", store / "t.tar" / "x" / "a.wav"):
        assert audio_info(path) == audio_info(local)
        ours = read_excerpt(path, 100, 1000)
        assert (ours == read_excerpt(local, 100, 1000)).all()
    with pytest.raises(InvalidCorpus, match="not there"):
        audio_info(store / "b.wav")


def test_a_copy_keeps_its_name(store: ObjectPath, tmp_path: Path, own_folder: Path) -> None:
    path = store / "fonts" / "a b.sf2"
    path.write_bytes(b"one")
    first = places.local_copy(path)
    assert (first.name, first.read_bytes()) == ("a b.sf2", b"one")
    assert places.local_copy(path) == first
    path.write_bytes(b"another")
    second = places.local_copy(path)
    assert (second.name, second.read_bytes()) == ("a b.sf2", b"another")
    assert places.local_copy(tmp_path) == tmp_path


def test_a_copy_that_is_larger_than_the_cache_is_there(
    store: ObjectPath, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0.000001")  # 1000 bytes
    for name in ("a.sf2", "b.sf2"):
        (store / name).write_bytes(name.encode() * 400)
        assert places.local_copy(store / name).read_bytes() == name.encode() * 400
