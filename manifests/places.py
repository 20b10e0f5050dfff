"""Where the bytes of a file are: the one place that opens files of corpora and data sets.

A path of a record means the same wherever its corpus lies. It may be a plain file; a member of a
tar, which stands in paths like a folder (``train-00000.tar/Track00001/mix.flac``); an object of an
object store (``s3://bucket/corpus/...``), which is fetched into a cache; or a file of a corpus
without audio, which is rendered into a cache.

Paths of object stores are of the class ``UPath``, which has the methods of `pathlib.Path`, and are
taken for one here: whoever lists folders, joins names or reads a small file need not know which one
it is. What they do not have are renames and locks (`stemsmith.manifests.storage`).
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from stemsmith.manifests.errors import UsageError, require
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.tar_shards import TarIndex, TarMember, read_index

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "FileStatus",
    "is_file",
    "is_remote",
    "opened",
    "place",
    "read_bytes",
    "sha256_of",
    "size_of",
    "status_of",
]

_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_EXTRAS: Final = {"s3": "s3", "gs": "gcs", "az": "azure", "memory": None}  # of each protocol
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_IN_TAR: Final = ".tar/"  # of a path that leads into one
_N_INDICES: Final = 256  # of tars that a process remembers; each has some 1.5 kB for a song


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
    address = _ADDRESS.match(text) if isinstance(text := _text_of(path), str) else None
    if address is None:
        return local_path(path)
    protocol = address[1].lower()
    if protocol not in _EXTRAS:
        known = ", ".join(f"{name}://" for name in _EXTRAS)
        raise UsageError(f"{text}: is an address of a kind that cannot be opened; known: {known}")
    if extra := _EXTRAS[protocol]:
        require(extra, _PACKAGES[protocol], task=f"{protocol}://")
    from upath import UPath

    found = UPath(text)
    if not str(found.path).strip("/"):
        raise UsageError(f"{text}: names no bucket")
    return cast(Path, found)


def _text_of(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    return path if isinstance(path, str) else str(path) if is_remote(path) else path


def is_remote(path: object) -> bool:
    """Return whether a path is one of an object store."""
    return not isinstance(path, (str, Path, bytes)) and hasattr(path, "fs")


class FileStatus(NamedTuple):
    """What the system says of a file.

    Attributes
    ----------
    n_bytes : int
        Its size; of a member of a tar, that of the member.
    changed_ns : int
        When it was changed last, in nanoseconds; of a member, when the tar was.
    is_regular : bool
        Whether it is a file, and no folder, pipe or device: reading one of these may never end.
    """

    n_bytes: int
    changed_ns: int
    is_regular: bool


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, wherever its bytes are.

    Raises
    ------
    OSError
        As `Path.open` does.
    InvalidCorpus
        If it is a member of a tar that is damaged.
    """
    try:
        return path.open("rb")
    except (NotADirectoryError, FileNotFoundError):
        if (found := _member_of(path)) is None:
            raise
    tar, _, member = found
    return cast(BinaryIO, io.BufferedReader(_Span(tar.open("rb", buffering=0), member)))


def status_of(path: Path) -> FileStatus:
    """Return size and time of a file, wherever it is; errors as of `opened`."""
    try:
        status = path.stat()
    except (NotADirectoryError, FileNotFoundError):
        if (found := _member_of(path)) is None:
            raise
        _, changed_ns, member = found
        return FileStatus(member.n_bytes, changed_ns, is_regular=True)
    return FileStatus(status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))


def is_file(path: Path) -> bool:
    """Return whether there is a file, wherever it would be.

    Raises
    ------
    InvalidCorpus
        If it would be a member of a tar that is damaged.
    """
    try:
        return status_of(path).is_regular
    except (OSError, ValueError):  # as Path.is_file does for names with a null byte
        return False


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
    return status_of(path).n_bytes


def _member_of(path: Path) -> tuple[Path, int, TarMember] | None:
    """Return the tar that a path leads into, when it was changed, and where the member lies in it.

    None if it leads into no tar. Linux says of a member that the tar is no folder, Windows that
    nothing is there.
    """
    text, end = path.as_posix(), 0
    while (end := text.find(_IN_TAR, end) + len(_IN_TAR)) >= len(_IN_TAR):
        tar, name = type(path)(text[: end - 1]), text[end:]
        try:
            status = tar.stat()
        except OSError:
            return None
        if stat.S_ISREG(status.st_mode):
            member = _index_of(tar, status.st_size, status.st_mtime_ns).find(name)
            if member is None:
                raise FileNotFoundError(errno.ENOENT, "the tar has no such member", str(path))
            return tar, status.st_mtime_ns, member
    return None


@lru_cache(maxsize=_N_INDICES)
def _index_of(tar: Path, n_bytes: int, changed_ns: int) -> TarIndex:
    """Return where the members of a tar are; another size or time means another tar."""
    return read_index(tar)


class _Span(io.RawIOBase):
    """A stretch of an open file as if it were a file."""

    def __init__(self, file: Any, member: TarMember) -> None:
        self._file, self._start, self._n_bytes = file, *member
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        # Decoders seek and read some 8 kB at a time: what is done here, they wait for.
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._n_bytes
        self._position = max(0, offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        n_left = self._n_bytes - self._position
        if n_left <= 0:
            return 0
        view = memoryview(buffer)
        self._file.seek(self._start + self._position)
        n_read: int = self._file.readinto(view[:n_left])
        self._position += n_read
        return n_read

    def close(self) -> None:
        self._file.close()
        super().close()
