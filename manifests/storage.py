"""Atomic files and folders: a name appears only when what it names is complete and on disk.

An object store does that by itself for a file, and cannot rename: there, files are made in the
system's temporary folder and uploaded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from filelock import FileLock, Timeout
from stemsmith.manifests.errors import InUse, InvalidCorpus, StoreError, UsageError
from stemsmith.manifests.leases import is_leased, leased
from stemsmith.manifests.stores import ObjectPath, is_object

__all__ = [
    "atomic_file",
    "checksum_path",
    "exclusive",
    "fetched_folder",
    "file_hash",
    "has_its_checksum",
    "inside",
    "is_held",
    "naming",
    "publish_folder",
    "relative",
    "remove_tree",
    "scratch_folder",
    "short_name",
    "staged_folder",
    "sync",
    "write_atomic",
    "write_once",
    "write_with_checksum",
]

_SCRATCH_LOCK: Final = "lock"
_LONGEST_NAME: Final = 255  # bytes; of ext4, XFS, APFS and, in other units, NTFS
_N_HASH: Final = 12
_LARGEST_CHECKSUM: Final = 4096  # bytes of a file that has a line or two


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file, or of an object, which is not kept in the cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path | ObjectPath, temporary: Path | None = None) -> Iterator[None]:
    """Name a path in errors of the body that name none: a full disk is found when writing.

    So do errors that name the `temporary` file, which users did not ask for.
    """
    try:
        yield
    except OSError as error:
        is_ours = error.filename is None or error.filename == str(temporary)
        if is_ours and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, sync it, and rename it."""
    if is_object(path):
        path.write_bytes(data)
        return
    with atomic_file(path) as file:
        file.write(data)


def write_once(path: Path, data: bytes) -> None:
    """Write a file unless it is there; of several processes that do so at once, one wins.

    This holds of file systems without locks, too: a link to a file is made by one of them only.
    """
    if is_object(path):
        path.conditionally(data, None)
        return
    if path.exists():
        return
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with naming(path, own):
        try:
            own.write_bytes(data)
            sync(own)
            _link(own, path)
        finally:
            own.unlink(missing_ok=True)
    sync(path.parent)


def _link(own: Path, path: Path) -> None:
    """Give a file a second name that nobody has; where there are no links, its only one."""
    try:
        path.hardlink_to(own)
    except FileExistsError:
        return
    except OSError:  # FAT, and some that are mounted from elsewhere
        if not path.exists():
            own.replace(path)


@contextmanager
def atomic_file(path: Path, staging: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that has its name only when the body has ended without an error.

    The temporary name is fixed, for a file that has one writer. One that may have two, a worker
    that was given up and the one that took over, is written in `staging`, a folder on the same
    file system that somebody sweeps, under a name of its own.
    """
    if is_object(path):
        with _temporary_folder() as folder, naming(path):
            made = folder / "data"
            with made.open("wb") as file:
                yield file
            path.upload(made)
        return
    temporary = path.with_name(f".{short_name(path.name, len('..tmp'))}.tmp")
    if staging is not None:
        temporary = staging / f"{path.name}.{secrets.token_hex(8)}"
    with naming(path, temporary):
        with temporary.open("wb") as file:
            yield file
        sync(temporary)
        temporary.replace(path)
    sync(path.parent)


def short_name(name: str, n_added: int = 0) -> str:
    """Return a file name that leaves room for what is added to it.

    Parameters
    ----------
    name : str
        A name, which may come from a user and be as long as file systems allow.
    n_added : int
        Number of bytes that are added: an ending, a dot before it.

    Returns
    -------
    str
        The name as it is if there is room; else its beginning and a part of its hash, so that
        other names become other ones.
    """
    data, room = os.fsencode(name), _LONGEST_NAME - n_added
    if len(data) <= room:
        return name
    ending = f"-{hashlib.sha256(data).hexdigest()[:_N_HASH]}"
    beginning = data[: room - len(ending)]
    while beginning and data[len(beginning)] & 0xC0 == 0x80:  # not within a letter of UTF-8
        beginning = beginning[:-1]
    return os.fsdecode(beginning) + ending


def checksum_path(path: Path) -> Path:
    """Return where the checksum of a file is: beside it, as ``sha256sum --check`` reads it."""
    return path.with_name(f"{path.name}.sha256")


def write_with_checksum(path: Path, data: bytes | memoryview) -> None:
    """Write a file atomically, and its SHA-256 beside it.

    Killed at any moment, this leaves the file of before or the new one, and a checksum that holds
    of it: until the new file has its name, both are listed.
    """
    checksum = checksum_path(path)
    known = _checksums(checksum)
    if not checksum.exists() and path.exists():
        known = [file_hash(path)]
    new = hashlib.sha256(data).hexdigest()
    write_atomic(checksum, _listing([new, *known], path.name))
    with atomic_file(path) as file:
        file.write(data)
    write_atomic(checksum, _listing([new], path.name))


def has_its_checksum(path: Path, data: bytes) -> bool | None:
    """Return whether the content of a file has the SHA-256 beside it; None if there is none."""
    checksum = checksum_path(path)
    if not checksum.exists():
        return None
    return hashlib.sha256(data).hexdigest() in _checksums(checksum)


def _listing(hashes: list[str], name: str) -> bytes:
    return "".join(f"{digest}  {name}\n" for digest in dict.fromkeys(hashes)).encode()


def _checksums(path: Path) -> list[str]:
    """Return the hashes that a file of them lists; none if it is missing or damaged."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_CHECKSUM).decode("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    return [line.split(" ")[0] for line in text.splitlines()]


def publish_folder(staged: Path, final: Path) -> None:
    """Give a complete folder its final name; the one step that makes it count as finished.

    If `final` is there already (a worker of a killed run finished it in the meantime), it
    holds the same bytes, and the staged copy is dropped.

    In an object store the files appear one after the other: there, something that is written
    afterwards has to say that they are complete.
    """
    if is_object(final):
        final.upload_below(staged)
        shutil.rmtree(staged)
        return
    for folder, _, names in os.walk(staged, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.rename(final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        shutil.rmtree(staged)
    sync(final.parent)


def inside(root: Path, relative: str) -> Path:
    """Resolve a path of a record against its root.

    Raises
    ------
    InvalidCorpus
        If the path is absolute, leads out of the root, or has a null byte.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts:
        raise InvalidCorpus(f"{root}: the path {relative!r} leads out of the corpus")
    if "\0" in relative:
        raise InvalidCorpus(f"{root}: the path {relative!r} cannot be one: it has a null byte")
    return root / pure


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, for a header that moves with both (POSIX).

    Between a disk and a store, and between two buckets, there is no such path, and it is the whole
    one.
    """
    stores = [one for one in (path, folder) if is_object(one)]
    if len({(one.protocol, one.bucket) for one in stores}) > 1 or len(stores) == 1:
        return path.resolve().as_posix()
    if stores:
        return Path(os.path.relpath(f"/{stores[0].key}", f"/{stores[1].key}")).as_posix()
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


@contextmanager
def exclusive(
    path: Path, said: str | None = None, *, wait_s: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Hold a lock file while the body runs; a process that dies releases it.

    In an object store it is a lease (`stemsmith.manifests.leases`).

    Parameters
    ----------
    path : Path
        The lock file, in a folder that is there.
    said : str, optional
        What is said if another process holds it; by default that the folder above its own is in
        use.
    wait_s : float
        Seconds for which another process may hold it meanwhile; -1 waits as long as it does.

    Yields
    ------
    callable
        Raises `InUse` if it is held no longer, as a lease may have run out.

    Raises
    ------
    InUse
        If another process holds it, or has just removed its folder.
    """
    if is_object(path):
        with leased(path, path.parent.parent, said, wait_s) as check:
            yield check
        return
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_s)
    except (Timeout, FileNotFoundError):
        raise InUse(
            said or f"{path.parent.parent}: another run is writing here; wait for it to end"
        ) from None
    try:
        yield _held
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Tell whether a process holds a lock file, which need not be there.

    It is held for a moment to find out: nobody else should try to hold it meanwhile.
    """
    if is_object(path):
        return is_leased(path)
    if not path.exists():
        return False
    try:
        with exclusive(path):
            return False
    except InUse:
        return True


def _held() -> None:
    """Do nothing: a lock is held until it is released."""


def remove_tree(folder: Path, but: Path | None = None) -> None:
    """Remove a folder and all that is in it, as far as it can be; nothing if it is not there.

    Parameters
    ----------
    folder : Path
        The folder to remove.
    but : Path, optional
        Of an object store, a lease that whoever holds it removes.
    """
    if not is_object(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(StoreError):  # who may write need not be allowed to remove
        folder.remove_below(but)


@contextmanager
def staged_folder(staging: Path, name: str) -> Iterator[Path]:
    """Make a local folder for what is to be published; what is left of it is removed.

    Parameters
    ----------
    staging : Path
        Where it lies: a folder that somebody sweeps, on the file system of what is published. In
        place of one in an object store, the system's temporary folder.
    name : str
        Of what is made there; several may be made of one name.
    """
    if is_object(staging):
        with _temporary_folder() as folder:
            made = folder / name
            made.mkdir()
            yield made
        return
    made = staging / f"{name}-{uuid.uuid4().hex}"
    made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def fetched_folder(folder: Path) -> Iterator[Path]:
    """Hand out a folder whose files are read one after the other; of a store, a copy of it.

    Parameters
    ----------
    folder : Path
        A folder of many small files. What a list does not show, since it lags, is not in the copy.
    """
    if not is_object(folder):
        yield folder
        return
    with _temporary_folder() as temporary:
        copy = temporary / "copy"
        copy.mkdir()
        folder.fetch_below(copy)
        yield copy


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Make a folder of this machine, and sweep those that killed processes left."""
    with scratch_folder(Path(tempfile.gettempdir()), "stemsmith-scratch-") as folder:
        yield folder


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder that lasts as long as the body, and sweep those that killed processes left.

    A folder is locked while it is in use: several processes may have one each.

    Parameters
    ----------
    parent : Path
        A folder that is there.
    prefix : str
        Of the names of such folders, and of nothing else in `parent`.
    """
    for left in parent.glob(f"{prefix}*"):
        with suppress(UsageError, OSError), exclusive(left / _SCRATCH_LOCK):
            shutil.rmtree(left)
    with ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            lock = folder / _SCRATCH_LOCK
            # Another process may sweep it before it is locked; then once more.
            with suppress(UsageError, FileNotFoundError):
                stack.enter_context(exclusive(lock))
                if lock.exists():
                    break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
