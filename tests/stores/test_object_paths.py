"""Paths of objects: names as `pathlib` has them, and what a store does with them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import stat
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import storage, stores
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import joined, place
from stemsmith.manifests.stores import ObjectPath

NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(
        lambda name: name not in (".", "..")
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(NAMES)
def test_names_are_those_of_pure_paths(names: list[str]) -> None:
    path, pure = ObjectPath("memory://bucket"), PurePosixPath("bucket")
    for name in names:
        path, pure = path / name, pure / name
    assert str(path) == f"memory://{pure}"
    assert (path.name, path.stem, path.suffix, path.parts) == (
        pure.name,
        pure.stem,
        pure.suffix,
        pure.parts,
    )
    assert str(path.parent) == f"memory://{pure.parent}"
    assert len(path.parents) == len(names)
    assert path.relative_to(ObjectPath("memory://bucket")) == pure.relative_to("bucket")
    assert path == pickle.loads(pickle.dumps(path)) == place(str(path))
    assert hash(path) == hash(ObjectPath(str(path)))


def test_steps_up_end_at_the_bucket() -> None:
    path = ObjectPath("memory://bucket/a/b")
    assert str(path / ".." / "c") == "memory://bucket/a/c"
    assert str(path / "../../../../c") == "memory://bucket/c"
    assert path.parent.parent.parent == ObjectPath("memory://bucket/")


def test_other_stores_and_disks_are_other_places(tmp_path: Path) -> None:
    path = ObjectPath("memory://bucket/a")
    assert not path.is_relative_to(tmp_path)
    assert not path.is_relative_to(ObjectPath("memory://buckets"))
    with pytest.raises(ValueError, match="is not in"):
        path.relative_to(Path("/bucket"))
    assert path != "memory://bucket/a"


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("memory://b/x/corpus", "memory://b/x/mixtures", "../corpus"),
        ("memory://b/corpus", "memory://b/x/mixtures", "../../corpus"),
        ("memory://b/m/matched", "memory://b/m", "matched"),
        ("memory://other/corpus", "memory://b/m", "memory://other/corpus"),
        ("/data/corpus", "memory://b/m", "/data/corpus"),
        ("memory://b/corpus", "/data/m", "memory://b/corpus"),
    ],
)
def test_a_header_leads_back(path: str, folder: str, expected: str) -> None:
    said = storage.relative(place(path), place(folder))
    assert said == expected
    assert joined(place(folder), said) == place(path)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("s3://../x", "names no bucket"),
        ("http://host/x", "a kind that cannot be opened; known: s3://"),
        ("file:///tmp/x", "a kind that cannot be opened"),
        ("s3://key:secret@bucket/x", "credentials do not belong into an address"),
        ("gs://token@bucket/x", "credentials do not belong into an address"),
    ],
)
def test_what_is_no_address_of_a_store(address: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refusal:
        place(address)
    assert "secret" not in str(refusal.value)
    assert "token" not in str(refusal.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from stemsmith.manifests import errors

    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    for protocol, extra in (("s3", "s3"), ("gs", "gcs"), ("az", "azure")):
        with pytest.raises(
            UsageError, match=rf"{protocol}:// needs \w+: pip install .*\[{extra}\]"
        ):
            place(f"{protocol}://bucket/x")


def test_files_folders_and_nothing(store: ObjectPath) -> None:
    file = store / "a" / "b.txt"
    assert not file.exists()
    assert not (store / "a").exists()
    file.write_bytes(b"content")
    (store / "a" / "c" / "d.bin").write_bytes(b"")
    assert (file.is_file(), file.is_dir(), file.exists()) == (True, False, True)
    assert ((store / "a").is_file(), (store / "a").is_dir()) == (False, True)
    assert file.stat().st_size == 7
    assert stat.S_ISREG(file.stat().st_mode)
    assert sorted((store / "a").iterdir()) == [file, store / "a" / "c"]
    assert list((store / "a").glob("*.txt")) == [file]
    assert list(store.glob("*.txt")) == list((store / "nowhere").glob("*")) == []
    assert sorted(store.rglob("*")) == [file, store / "a" / "c" / "d.bin"]
    assert sorted(store.glob("a/**/*")) == sorted((store / "a").rglob("*"))
    assert (store / "a" / "c" / "d.bin").read_bytes() == b""
    with pytest.raises(FileNotFoundError) as missing:
        (store / "x").read_bytes()
    assert missing.value.filename == str(store / "x")
    with pytest.raises(FileNotFoundError):
        list((store / "x").iterdir())
    with pytest.raises(FileNotFoundError):
        (store / "x").open("rb")
    with pytest.raises(FileNotFoundError):
        (store / "x").stat()
    file.unlink()
    assert not file.exists()
    file.unlink(missing_ok=True)
    store.remove_below()
    assert sorted(store.rglob("*")) == []


def test_what_is_new_is_seen_at_once(store: ObjectPath) -> None:
    """No list of before is kept."""
    assert list(store.glob("*")) == []
    for k in range(3):
        (store / f"{k}").write_bytes(b"x")
        assert len(list(store.glob("*"))) == k + 1
    (store / "0").write_bytes(b"longer")
    assert (store / "0").stat().st_size == 6
    tags = {(store / name).stat().tag for name in ("0", "1")}
    assert len(tags) == 2


@pytest.mark.parametrize("n_bytes", [0, 1000, 20_000])
def test_a_file_is_read_as_a_plain_one(
    store: ObjectPath, tmp_path: Path, n_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is read as a whole, or is so large that it is read piece by piece."""
    monkeypatch.setattr(stores, "_SMALL", 5000)
    monkeypatch.setattr(stores, "_BUFFER", 256)
    data = os.urandom(n_bytes)
    path, plain = store / "data", tmp_path / "data"
    path.write_bytes(data)
    plain.write_bytes(data)
    with path.open("rb") as ours, plain.open("rb") as theirs:
        for seek in ((0, 0), (500, 0), (100, 1), (-200, 2), (n_bytes, 0), (n_bytes // 2, 0)):
            if seek[1] == 2 and n_bytes < 200:
                continue
            assert ours.seek(*seek) == theirs.seek(*seek)
            assert ours.read(300) == theirs.read(300)
            assert ours.tell() == theirs.tell()
        ours.seek(0)
        assert ours.read() == data
    assert storage.file_hash(path) == storage.file_hash(plain)
    path.fetch(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    (store / "again").upload(plain)
    assert (store / "again").read_bytes() == data


def test_text_is_read_as_text(store: ObjectPath) -> None:
    (store / "t").write_text("zwölf\nBoxkämpfer\n")
    with (store / "t").open() as file:
        assert file.readlines() == ["zwölf\n", "Boxkämpfer\n"]
    assert (store / "t").read_text() == "zwölf\nBoxkämpfer\n"
    with pytest.raises(ValueError, match="written as a whole"):
        (store / "t").open("w")


def test_names_with_signs_of_patterns_stay_names(store: ObjectPath) -> None:
    odd = ["[a]", "b*", "c?", "d d", "e%20f", "g#h", "ü+&=~"]
    for name in odd:
        (store / "x" / name).write_bytes(name.encode())
    assert {path.name: path.read_bytes() for path in store.rglob("*")} == {
        name: name.encode() for name in odd
    }
    (store / "x" / "[a]").unlink()
    assert len(list(store.rglob("*"))) == len(odd) - 1
    (store / "keep").write_bytes(b"")
    (store / "x").remove_below()
    assert list(store.rglob("*")) == [store / "keep"]


def test_more_objects_than_a_store_lists_or_removes_at_once(
    bucket: ObjectPath,
) -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for k in range(1001):
        backend.put_object(bucket.bucket, f"x/{k:04d}", b"")
    assert [path.name for path in sorted((bucket / "x").iterdir())] == [
        f"{k:04d}" for k in range(1001)
    ]
    (bucket / "x").remove_below(but=bucket / "x" / "0500")
    assert list(bucket.rglob("*")) == [bucket / "x" / "0500"]


def test_a_store_is_written_under_a_condition(store: ObjectPath) -> None:
    path = store / "lease"
    first = path.conditionally(b"one", None)
    assert first is not None
    assert path.conditionally(b"two", None) is None
    assert path.conditionally(b"two", "another tag") is None
    assert path.read_bytes() == b"one"
    second = path.conditionally(b"two", first)
    assert second not in (None, first)
    assert path.conditionally(b"three", first) is None
    assert path.read_bytes() == b"two"
    assert path.conditionally(b"two", None) == second  # asked again, the answer having been lost
    path.unlink()
    assert path.conditionally(b"three", second) is None
    assert not path.exists()


def _read(path: ObjectPath, answers: Any) -> None:
    answers.put(path.read_bytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_have_connections_of_their_own(bucket: ObjectPath, method: str) -> None:
    """Those of a process that was forked are of no use to it."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    (bucket / "x").write_bytes(b"content")
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=_read, args=(bucket / "x", answers))
    process.start()
    assert answers.get(timeout=120) == b"content"
    process.join()
    assert process.exitcode == 0


def test_files_are_written_whole_or_not_at_all(store: ObjectPath, tmp_path: Path) -> None:
    storage.write_atomic(store / "a", b"whole")
    with pytest.raises(RuntimeError), storage.atomic_file(store / "a") as file:
        file.write(b"half")
        raise RuntimeError
    assert (store / "a").read_bytes() == b"whole"
    with storage.atomic_file(store / "a", store / "staging") as file:
        file.write(b"new")
    assert (store / "a").read_bytes() == b"new"
    storage.write_with_checksum(store / "b", b"data")
    assert storage.has_its_checksum(store / "b", b"data") is True
    assert storage.has_its_checksum(store / "b", b"other") is False
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "x").write_bytes(b"1")
    (tmp_path / "made" / "deep" / "y").write_bytes(b"2")
    storage.publish_folder(tmp_path / "made", store / "published")
    assert {p.relative_to(store).as_posix() for p in (store / "published").rglob("*")} == {
        "published/x",
        "published/deep/y",
    }
    assert not (tmp_path / "made").exists()
    with storage.staged_folder(store / "staging", "song") as folder:
        assert isinstance(folder, Path)
        (folder / "x").write_bytes(b"")
    assert not folder.exists()
    storage.remove_tree(store / "published")
    assert sorted(path.name for path in store.rglob("*")) == ["a", "b", "b.sha256"]


def test_folders_that_are_objects_and_names_that_are_both(store: ObjectPath, request) -> None:
    """Consoles write an empty object for a folder; a name may have others below, too."""
    if store.protocol != "memory":  # where a file is no folder
        (store / "both").write_bytes(b"1")
        (store / "both" / "x").write_bytes(b"2")
        (store / "botheration" / "y").write_bytes(b"3")
    (store / "made" / "sub" / "a.mid").write_bytes(b"4")
    for name in ("made/", "made/sub/"):
        if store.protocol == "s3":
            client = request.getfixturevalue("s3_client")
            client.put_object(Bucket=store.bucket, Key=name, Body=b"")
        elif store.protocol == "az":
            client = request.getfixturevalue("azurite").get_container_client(store.bucket)
            client.upload_blob(name, b"")
    assert [path.name for path, _ in (store / "made").files_below()] == ["a.mid"]
    assert list((store / "made").iterdir()) == [store / "made" / "sub"]
    assert (store / "made" / "sub").is_dir()
    if store.protocol != "memory":
        assert (store / "both").is_file()
        assert list((store / "both").iterdir()) == [store / "both" / "x"]
        assert [path for path, _ in (store / "both").files_below()] == [store / "both" / "x"]
        (store / "both").remove_below()
        assert (store / "both").read_bytes() == b"1"
        assert (store / "botheration" / "y").read_bytes() == b"3"


@pytest.mark.parametrize("text", ["s3:/bucket/x", "gs:/b", "az:/c/x", Path("s3://bucket/x")])
def test_a_slash_that_is_lost_is_asked_for(text: str | Path) -> None:
    whole = str(text).replace(":/", "://")
    with pytest.raises(UsageError, match=f"with one slash; write it as text with two: {whole}"):
        place(text)
