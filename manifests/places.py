"""Where the bytes of a file are: the one place that opens files of corpora and data sets.

A path of a record means the same wherever its corpus lies. It may be a plain file; a member of a
tar, which stands in paths like a folder (``train-00000.tar/Track00001/mix.flac``); an object of an
object store (``s3://bucket/corpus/...``), which is fetched into a cache; or a file of a corpus
without audio, which is rendered into a cache.

Paths of object stores are of the class `stemsmith.manifests.stores.ObjectPath`, which has the
methods of `pathlib.Path`, and are taken for one here: whoever lists folders, joins names or reads a
small file need not know which one it is. What they do not have are renames and locks
(`stemsmith.manifests.storage`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from stemsmith.manifests.cache import BoundedCache, cache_folder, most_cached_bytes
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.stores import ObjectPath, is_address, is_object
from stemsmith.manifests.tar_shards import TarMember, read_members

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "is_remote",
    "joined",
    "lies_in",
    "local_copy",
    "members_of",
    "opened",
    "place",
    "read_bytes",
    "sha256_of",
    "size_of",
]

_TAR: Final = ".tar"
_N_INDICES: Final = 1024  # of tars that a process remembers
_FETCHED: Final = "fetched"  # folder of the user's cache
_CONTENT: Final = "content"  # name of a file that was fetched, before its ending


def place(path: str | os.PathLike[str]) -> Path:
    """Return where a path or an address of a user points to.

    Parameters
    ----------
    path : str or path-like
        A path as `stemsmith.manifests.paths.local_path` takes it, or an address such as
        ``s3://bucket/corpus``, ``gs://``, ``az://`` or ``memory://``. Credentials and endpoints
        are those of the environment, and never a part of it.

    Raises
    ------
    UsageError
        If it is an address of another kind, has no bucket, or the package that it takes is missing.
    """
    if is_object(path):
        return cast(Path, path)
    text = os.fspath(path)
    return cast(Path, ObjectPath(text)) if is_address(text) else local_path(path)


def joined(folder: Path, path: str) -> Path:
    """Return what a path of a header stands for, as `stemsmith.manifests.storage.relative` made it.

    Parameters
    ----------
    folder : Path
        Folder of the header.
    path : str
        A path as seen from there, or a whole one, which may be an address.
    """
    if is_address(path) or Path(path).is_absolute():
        return place(path).resolve()
    return (folder / path).resolve()


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or lies in it; what is on a disk lies in no store."""
    return is_object(path) == is_object(folder) and path.is_relative_to(folder)


def is_remote(path: object) -> bool:
    """Return whether a path is one of an object store."""
    return is_object(path)


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, wherever its bytes are.

    What lies in an object store is fetched into the user's cache first, a tar member by member.

    Raises
    ------
    OSError
        As `Path.open` does.
    InvalidCorpus
        If it is a member of a tar that is damaged.
    StoreError
        If an object store does not answer or refuses.
    """
    if is_object(path):
        return _fetched(path)
    try:
        return path.open("rb")
    except NotADirectoryError:
        return _opened_member(path)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, wherever it is; errors as of `opened`."""
    with opened(path) as file:
        return file.read()


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, wherever it is; errors as of `opened`."""
    with opened(path) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Return the bytes of a file, wherever it is; errors as of `opened`."""
    if is_object(path) and _tar_of(cast(Path, path)) is None:
        return path.stat().st_size
    with opened(path) as file:
        return file.seek(0, os.SEEK_END)


def local_copy(path: Path) -> Path:
    """Return a file of this machine with the content of another one, which keeps its name.

    For what a library opens by its name, such as a soundfont. Copies of what lies in an object
    store are in the user's cache, by their content, and stay there.

    Parameters
    ----------
    path : Path
        A plain file, which is returned as it is, or an object.
    """
    if not is_object(path):
        return path
    folder = cache_folder() / "copies"
    entry = BoundedCache(folder, most_cached_bytes())
    entry.open_file(_key_of(path), path.name, lambda made: path.fetch(made / path.name)).close()
    return entry.path_of(_key_of(path)) / path.name


def members_of(tar: Path) -> dict[str, TarMember]:
    """Return where the members of a tar are, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidCorpus
        If it is damaged.
    """
    status = tar.stat()
    return _index_of(tar, status.st_size, status.st_mtime_ns)


def _opened_member(path: Path) -> BinaryIO:
    tar = _tar_of(path)
    if tar is None:
        return path.open("rb")  # raises what it raised
    member = _member(tar, path)
    return cast(BinaryIO, io.BufferedReader(_Span(tar.open("rb", buffering=0), member)))


def _tar_of(path: Path) -> Path | None:
    """Return the tar that a path leads into, or None."""
    return next((p for p in path.parents if p.suffix == _TAR and p.is_file()), None)


def _member(tar: Path, path: Path) -> TarMember:
    member = members_of(tar).get(path.relative_to(tar).as_posix())
    if member is None:
        raise FileNotFoundError(2, "the tar has no such member", str(path))
    return member


def _fetched(path: ObjectPath) -> BinaryIO:
    """Open an object, or a member of a tar that is one, in the cache."""
    name = f"{_CONTENT}{path.suffix}"
    tar = cast("ObjectPath | None", _tar_of(cast(Path, path)))
    if tar is None:
        return _cache().open_file(_key_of(path), name, lambda made: path.fetch(made / name))
    member = _member(cast(Path, tar), cast(Path, path))

    def fetch(made: Path) -> None:
        (made / name).write_bytes(tar.read_stretch(member.offset, member.n_bytes))

    return _cache().open_file(f"{_key_of(tar)}|{path.relative_to(tar)}", name, fetch)


def _key_of(path: ObjectPath) -> str:
    """Return what decides the content of an object."""
    status = path.stat()
    return f"{path}|{status.tag}|{status.st_size}"


def _cache() -> BoundedCache:
    return BoundedCache(cache_folder() / _FETCHED, most_cached_bytes())


@lru_cache(maxsize=_N_INDICES)
def _index_of(tar: Path, n_bytes: int, changed_ns: int) -> dict[str, TarMember]:
    """Return where the members of a tar are; another size or time means another tar."""
    if not is_object(tar):
        return read_members(tar)
    # Of an object each header is asked for by itself: once, and then it is known here.
    name = "members.json"

    def write(made: Path) -> None:
        (made / name).write_text(json.dumps(read_members(cast(Path, tar))))

    with _cache().open_file(f"{_key_of(tar)}|{name}", name, write) as file:
        try:
            return {key: TarMember(*where) for key, where in json.load(file).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidCorpus(f"{file.name}: damaged; remove it") from error


class _Span(io.RawIOBase):
    """A stretch of an open file as if it were a file."""

    def __init__(self, file: Any, member: TarMember) -> None:
        self._file, self._member = file, member
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._member.n_bytes}
        self._position = max(0, start[whence] + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        n = max(0, min(len(view), self._member.n_bytes - self._position))
        self._file.seek(self._member.offset + self._position)
        n_read: int = self._file.readinto(view[:n])
        self._position += n_read
        return n_read

    def close(self) -> None:
        self._file.close()
        super().close()
