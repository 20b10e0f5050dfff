"""Files and folders that are there completely or not at all, and locks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, UsageError

HOLDER = """
import sys
from pathlib import Path
from stemsmith.manifests import storage
with storage.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Killed(BaseException):
    """Stands for the end of the process."""


def die(*arguments: object, **options: object) -> None:
    raise Killed


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    folder = tmp_path / "staging" / "song"
    (folder / "stems").mkdir(parents=True)
    (folder / "mix.flac").write_bytes(b"mix")
    (folder / "stems" / "S00.flac").write_bytes(b"stem")
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus" / ".run"
    folder.mkdir(parents=True)
    return folder / "lock"


def test_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert storage.file_hash(tmp_path / "f") == hashlib.sha256(data).hexdigest()
    expected = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert storage.file_hash(tmp_path / "f", "md5") == expected


def test_an_atomic_write_leaves_one_file(tmp_path: Path) -> None:
    storage.write_atomic(tmp_path / "f", b"old")
    storage.write_atomic(tmp_path / "f", b"new")
    assert tree(tmp_path) == {"f": b"new"}


@pytest.mark.parametrize("step", ["write", "sync", "replace"])
def test_a_process_that_dies_in_a_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "f"
    storage.write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        if step != "write":
            patch.setattr(storage if step == "sync" else Path, step, die)
        with pytest.raises(Killed), storage.atomic_file(path) as file:
            file.write(b"ne")
            file.flush()
            if step == "write":
                die()
            file.write(b"w")
    assert path.read_bytes() == b"old"
    storage.write_atomic(path, b"newer")
    assert tree(tmp_path) == {"f": b"newer"}


def test_two_writers_with_a_staging_folder_do_not_meet(tmp_path: Path) -> None:
    """A worker that was given up may still write when another has taken over."""
    staging, path = tmp_path / "staging", tmp_path / "f"
    staging.mkdir()
    content = bytes(range(256)) * 1000
    with storage.atomic_file(path, staging) as lost:
        lost.write(content[:100_000])
        lost.flush()
        with storage.atomic_file(path, staging) as other:
            other.write(content)
            assert not path.exists()
        assert path.read_bytes() == content
        lost.write(content[100_000:])
    assert path.read_bytes() == content
    assert list(staging.iterdir()) == []


def test_a_process_that_dies_in_a_first_write_leaves_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(Killed):
        storage.write_atomic(tmp_path / "f.parquet", b"new")
    assert not (tmp_path / "f.parquet").exists()
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("name", ["no/f.parquet", "folder"])
def test_errors_name_the_file_that_was_wanted(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as raised:
        storage.write_atomic(tmp_path / name, b"new")
    assert raised.value.filename == str(tmp_path / name)


def test_content_is_on_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def log_fsync(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        size = os.fstat(descriptor).st_size
        steps.append("folder synced" if is_folder else f"{size} bytes synced")
        fsync(descriptor)

    def log_replace(self: Path, target: Path) -> Path:
        assert self.parent == target.parent, "a rename across file systems is not atomic"
        steps.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(Path, "replace", log_replace)
    storage.write_atomic(tmp_path / "f", b"12345")
    assert steps == ["5 bytes synced", "renamed", "folder synced"]


def test_a_published_folder_has_its_final_name_only(tmp_path: Path, staged: Path) -> None:
    content = tree(staged)
    final = tmp_path / "corpus" / "train" / "Track00001"
    storage.publish_folder(staged, final)
    assert tree(final) == content == {"mix.flac": b"mix", "stems/S00.flac": b"stem"}
    assert not staged.exists()


def test_a_folder_that_is_there_already_is_kept_and_the_copy_dropped(
    tmp_path: Path, staged: Path
) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "mix.flac").write_bytes(b"first")
    storage.publish_folder(staged, final)
    assert tree(final) == {"mix.flac": b"first"}
    assert not staged.exists()


def test_a_process_that_dies_in_publishing_leaves_no_folder_of_that_name(
    tmp_path: Path, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tree(staged)
    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(Killed):
        storage.publish_folder(staged, tmp_path / "train" / "Track00001")
    assert not (tmp_path / "train" / "Track00001").exists()
    assert tree(staged) == content


def test_every_file_and_folder_is_on_disk_before_it_is_published(
    tmp_path: Path, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    before: list[Path] = []
    rename = Path.rename

    def log_rename(self: Path, target: Path) -> Path:
        before.extend(synced)
        return rename(self, target)

    monkeypatch.setattr(storage, "sync", synced.append)
    monkeypatch.setattr(Path, "rename", log_rename)
    everything = {staged, *staged.rglob("*")}
    storage.publish_folder(staged, tmp_path / "final")
    assert set(before) == everything
    assert synced[len(before) :] == [tmp_path]


@pytest.mark.parametrize(
    "relative", ["a.flac", "train/Track00001/mix.flac", "a..b/..c", "./a", "a//b", "..."]
)
def test_a_path_below_the_root_is_resolved(tmp_path: Path, relative: str) -> None:
    path = storage.inside(tmp_path, relative)
    assert path == tmp_path / relative
    assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "relative", ["/etc/passwd", "//a", "..", "../a", "a/../b", "a/../../b", "a/..", "./../a"]
)
def test_a_path_that_is_absolute_or_goes_up_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(InvalidCorpus) as refusal:
        storage.inside(tmp_path, relative)
    assert repr(relative) in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_lock_has_one_holder(lock: Path) -> None:
    with storage.exclusive(lock):
        with pytest.raises(UsageError) as refusal, storage.exclusive(lock):
            pytest.fail("two runs hold the lock")
        assert str(refusal.value).startswith(f"{lock.parent.parent}: another run")


def test_a_refused_holder_takes_nothing_from_the_first(lock: Path) -> None:
    with storage.exclusive(lock):
        for _ in range(2):
            with pytest.raises(UsageError), storage.exclusive(lock):
                pytest.fail("two runs hold the lock")


def test_a_lock_is_free_after_the_block(lock: Path) -> None:
    for _ in range(2):
        with storage.exclusive(lock):
            assert lock.exists()


def test_a_lock_is_free_after_an_error_in_the_block(lock: Path) -> None:
    with pytest.raises(RuntimeError, match="in the block"), storage.exclusive(lock):
        raise RuntimeError("in the block")
    with storage.exclusive(lock):
        pass


SCRATCH = """
import sys
from pathlib import Path
from stemsmith.manifests import storage
with storage.scratch_folder(Path(sys.argv[1]), ".work-") as folder:
    (folder / "half").write_bytes(b"ha")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_scratch_folder_is_swept_when_its_process_is_gone_and_not_before(tmp_path: Path) -> None:
    (tmp_path / ".work-unlocked").mkdir()  # killed before it was locked
    (tmp_path / "song").mkdir()
    command = [sys.executable, "-c", SCRATCH, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            theirs = Path(other.stdout.readline().decode().rstrip())
            with storage.scratch_folder(tmp_path, ".work-") as ours:
                assert (theirs / "half").read_bytes() == b"ha"
                assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "song", theirs, ours])
        finally:
            other.kill()
            other.wait(60)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "song", theirs])
    with storage.scratch_folder(tmp_path, ".work-") as ours:
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "song", ours])
    assert [path.name for path in tmp_path.iterdir()] == ["song"]


def test_a_scratch_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exclusive, swept = storage.exclusive, []

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        with exclusive(path):
            if len(swept) < 2:  # by one that had the lock when ours was opened
                swept.append(path.parent)
                shutil.rmtree(path.parent)
            yield

    monkeypatch.setattr(storage, "exclusive", late)
    with storage.scratch_folder(tmp_path, ".work-") as folder:
        assert len(swept) == 2 and folder not in swept
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())


def test_locks_of_two_corpora_are_two_locks(tmp_path: Path) -> None:
    with storage.exclusive(tmp_path / "one"), storage.exclusive(tmp_path / "two"):
        pass


def test_a_lock_is_held_against_another_process_until_that_process_is_killed(lock: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(UsageError, match="another run"), storage.exclusive(lock):
                pytest.fail("two processes hold the lock")
        finally:
            holder.kill()
            holder.wait(60)
    with storage.exclusive(lock):
        pass


@pytest.mark.parametrize("letter", ["x", "\u00f6", "\u94a2", "\U0001f3b8"])
def test_long_names_leave_room_and_stay_different(tmp_path: Path, letter: str) -> None:
    for n in (1, 10, 60, 255 // len(letter.encode())):
        name = letter * n
        assert storage.short_name(name) == name
        (tmp_path / name).write_bytes(b"")
    names = [letter * 300 + ending for ending in ("a", "b")]
    for n_added in (0, 5, 40):
        short = [storage.short_name(name, n_added) for name in names]
        assert short[0] != short[1] and short[0][:50] == letter * 50
        assert all(len(name.encode()) <= 255 - n_added for name in short)
        (tmp_path / (short[0] + "e" * n_added)).write_bytes(b"")


@pytest.mark.parametrize("n_bytes", [10, 249, 250, 251, 255])
def test_a_file_of_any_name_is_written_at_once(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / ("n" * n_bytes)
    storage.write_atomic(path, b"content")
    assert path.read_bytes() == b"content"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


# Checksums beside files.


def test_a_checksum_is_what_sha256sum_writes(tmp_path: Path) -> None:
    path = tmp_path / "f.ckpt"
    storage.write_with_checksum(path, b"content")
    expected = f"{hashlib.sha256(b'content').hexdigest()}  f.ckpt\n".encode()
    assert tree(tmp_path) == {"f.ckpt": b"content", "f.ckpt.sha256": expected}
    assert storage.has_its_checksum(path, b"content") is True
    assert storage.has_its_checksum(path, b"contenT") is False
    storage.checksum_path(path).unlink()
    assert storage.has_its_checksum(path, b"content") is None


@pytest.mark.parametrize("is_checked", [False, True])
@pytest.mark.parametrize("n_renamed", [0, 1, 2])
def test_a_process_that_dies_leaves_a_file_and_a_checksum_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renamed: int, is_checked: bool
) -> None:
    path, replace, left = tmp_path / "f", Path.replace, [n_renamed]
    if is_checked:
        storage.write_with_checksum(path, b"old")
    else:
        path.write_bytes(b"old")  # as version 0.1 wrote it

    def dying_replace(self: Path, target: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying_replace)
        with pytest.raises(Killed):
            storage.write_with_checksum(path, b"new")
    assert path.read_bytes() == (b"new" if n_renamed == 2 else b"old")
    holds = None if n_renamed == 0 and not is_checked else True
    assert storage.has_its_checksum(path, path.read_bytes()) is holds
    storage.write_with_checksum(path, b"newer")
    assert storage.has_its_checksum(path, b"newer")
    assert not storage.has_its_checksum(path, b"old")


@pytest.mark.parametrize("content", [b"", b"\xff", b"0" * 10_000, b"\n\n"])
def test_a_damaged_checksum_holds_of_nothing(tmp_path: Path, content: bytes) -> None:
    storage.write_with_checksum(tmp_path / "f", b"content")
    storage.checksum_path(tmp_path / "f").write_bytes(content)
    assert storage.has_its_checksum(tmp_path / "f", b"content") is False
