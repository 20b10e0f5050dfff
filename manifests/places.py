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

import hashlib
import importlib
import io
import itertools
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from stemsmith.manifests.errors import UsageError, require
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.tar_shards import TarMember, read_members

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "LAZY",
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

LAZY: Final = "lazy.json"  # in the folder of a corpus without audio
_RENDERER: Final = "stemsmith.render.again.lazy"  # which this package must not import
_MOST_LEVELS: Final = 4  # of folders between the folder of a corpus and a file of audio

_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_EXTRAS: Final = {"s3": "s3", "gs": "gcs", "az": "azure", "memory": None}  # of each protocol
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_TAR: Final = ".tar"
_N_INDICES: Final = 64  # of tars that a process remembers


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


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, wherever its bytes are.

    Raises
    ------
    OSError
        As `Path.open` does.
    InvalidCorpus
        If it is a member of a tar that is damaged, or a song cannot be rendered again.
    """
    try:
        return path.open("rb")
    except NotADirectoryError:
        return _opened_member(path)
    except FileNotFoundError:
        if (corpus := _lazy_corpus_of(path)) is None:
            raise
        return cast(BinaryIO, corpus.open_file(path))


def is_file(path: Path) -> bool:
    """Return whether there is a file, wherever it would be; nothing is rendered for the answer.

    Raises
    ------
    InvalidCorpus
        If it would be a member of a tar, or of a corpus without audio, that is damaged.
    """
    try:
        return status_of(path).is_regular
    except (OSError, ValueError):  # as Path.is_file does for names with a null byte
        return False


class FileStatus(NamedTuple):
    """What the system says of a file.

    Attributes
    ----------
    n_bytes : int
        Its size; -1 of a file that is rendered when it is opened.
    changed_ns : int
        When it was changed last, in nanoseconds; of a member of a tar, when the tar was, and of a
        file that is rendered, when the manifest of its corpus was.
    is_regular : bool
        Whether it is a file, and no folder, pipe or device: reading one of these may never end.
    """

    n_bytes: int
    changed_ns: int
    is_regular: bool


def status_of(path: Path) -> FileStatus:
    """Return size and time of a file, wherever it is; errors as of `opened`."""
    try:
        status = path.stat()
    except NotADirectoryError:
        if (tar := _tar_of(path)) is None:
            raise
        n_bytes = _member_of(tar, path).n_bytes
        return FileStatus(n_bytes, tar.stat().st_mtime_ns, is_regular=True)
    except FileNotFoundError:
        if (corpus := _lazy_corpus_of(path)) is None or not corpus.has_file(path):
            raise
        return FileStatus(-1, corpus.changed_ns, is_regular=True)
    return FileStatus(status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))


def _lazy_corpus_of(path: Path) -> Any:
    """Return the corpus without audio that a file is of, by what can render its songs; or None."""
    if not isinstance(path, Path) or path.suffix != ".flac":
        return None
    for folder in itertools.islice(path.parents, _MOST_LEVELS):
        if (folder / LAZY).is_file():
            return importlib.import_module(_RENDERER).lazy_corpus(folder)
    return None


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
    with opened(path) as file:
        return file.seek(0, os.SEEK_END)


def _tar_of(path: Path) -> Path | None:
    """Return the tar that a path leads into, if there is one."""
    return next((p for p in path.parents if p.suffix == _TAR and p.is_file()), None)


def _members_of(tar: Path) -> dict[str, TarMember]:
    status = tar.stat()
    return _index_of(tar, status.st_size, status.st_mtime_ns)


def _member_of(tar: Path, path: Path) -> TarMember:
    member = _members_of(tar).get(path.relative_to(tar).as_posix())
    if member is None:
        raise FileNotFoundError(2, "the tar has no such member", str(path))
    return member


def _opened_member(path: Path) -> BinaryIO:
    tar = _tar_of(path)
    if tar is None:
        return path.open("rb")  # raises what it raised
    member = _member_of(tar, path)
    return cast(BinaryIO, io.BufferedReader(_Span(tar.open("rb", buffering=0), member)))


@lru_cache(maxsize=_N_INDICES)
def _index_of(tar: Path, n_bytes: int, changed_ns: int) -> dict[str, TarMember]:
    """Return where the members of a tar are; another size or time means another tar."""
    return read_members(tar)


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
