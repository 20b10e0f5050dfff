"""The cache that stays small: made once, least used first out, readers keep what they read."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from stemsmith.manifests.cache import CACHE_VARIABLE, BoundedCache, cache_folder
from stemsmith.manifests.errors import UsageError


def _filled(content: bytes, made: list[str] | None = None) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "a.flac").write_bytes(content)
        if made is not None:
            made.append(folder.name)

    return make


def _read(
    cache: BoundedCache, key: str, content: bytes = b"x", made: list[str] | None = None
) -> bytes:
    with cache.open_file(key, "a.flac", _filled(content, made)) as file:
        return file.read()


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache, made = BoundedCache(tmp_path / "cache", 1000), list[str]()
    assert [_read(cache, "key", b"abc", made) for _ in range(3)] == [b"abc"] * 3
    assert _read(BoundedCache(tmp_path / "cache", 1000), "key", b"abc", made) == b"abc"
    assert len(made) == 1


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache, made = BoundedCache(tmp_path, 250), list[str]()
    for age, key in enumerate("abc"):
        _read(cache, key, bytes(100), made)
        for entry in tmp_path.iterdir():  # older than the clock's steps
            if entry.is_dir():
                status = entry.stat()
                os.utime(entry, ns=(0, status.st_mtime_ns - 10**9))
        if age == 1:
            _read(cache, "a", bytes(100), made)
    assert len(made) == 3
    _read(cache, "a", bytes(100), made)
    _read(cache, "c", bytes(100), made)
    assert len(made) == 3
    _read(cache, "b", bytes(100), made)
    assert len(made) == 4


def test_the_whole_is_looked_at_now_and_then_whoever_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(BoundedCache, "_shrink", lambda _, entry: looks.append(entry.name))
    for number in range(33):  # 16 is a sixteenth, which is still waited with
        _read(BoundedCache(tmp_path, 256), str(number), b"x")
    assert len(looks) == 2
    _read(BoundedCache(tmp_path, 512), "another bound", b"x")
    assert len(looks) == 3


def test_an_entry_that_cannot_go_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a folder of an open file is not renamed."""
    _read(BoundedCache(tmp_path, 100), "a", bytes(80))

    def refuse(_: BoundedCache, entry: Path) -> None:
        raise PermissionError(13, "in use", str(entry))

    monkeypatch.setattr(BoundedCache, "_remove", refuse)
    assert _read(BoundedCache(tmp_path, 100), "b", bytes(80)) == bytes(80)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_what_is_read_stays_readable(tmp_path: Path) -> None:
    cache = BoundedCache(tmp_path, 100)
    with cache.open_file("a", "a.flac", _filled(b"first" * 20)) as file:
        _read(cache, "b", bytes(100))
        assert file.read() == b"first" * 20


def test_an_entry_larger_than_the_bound_is_handed_out(tmp_path: Path) -> None:
    cache = BoundedCache(tmp_path, 10)
    assert _read(cache, "a", bytes(100)) == bytes(100)
    assert _read(cache, "a", bytes(100)) == bytes(100)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a.flac").write_bytes(b"half")
        raise ValueError("no")

    cache = BoundedCache(tmp_path, 1000)
    with pytest.raises(ValueError, match="no"):
        cache.open_file("key", "a.flac", fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert _read(cache, "key", b"whole") == b"whole"


def test_a_file_that_the_entry_lacks_is_not_there(tmp_path: Path) -> None:
    cache = BoundedCache(tmp_path, 1000)
    with pytest.raises(FileNotFoundError):
        cache.open_file("key", "b.flac", _filled(b"x"))


def _many_reads(root: Path) -> int:
    cache = BoundedCache(root, 5000)
    wrong = 0
    for turn in range(200):
        key = str(turn * 7 % 31)
        wrong += _read(cache, key, key.encode() * 500) != key.encode() * 500
    return wrong


def test_several_processes_share_it(tmp_path: Path) -> None:
    with get_context("spawn").Pool(3) as pool:
        assert pool.map(_many_reads, [tmp_path] * 3) == [0] * 3


def test_a_cache_in_a_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "s3://bucket/cache")
    with pytest.raises(UsageError, match=r"STEMSMITH_CACHE=s3://bucket/cache: the cache lies on"):
        cache_folder()
