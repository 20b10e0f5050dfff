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

import errno
import hashlib
import importlib
import io
import itertools
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from stemsmith.manifests.cache import BoundedCache, cache_folder, most_cached_bytes
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.stores import (
    ObjectPath,
    SeekableBytes,
    is_address,
    is_object,
    with_two_slashes,
)
from stemsmith.manifests.tar_shards import TarIndex, TarMember, read_index

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "LAZY",
    "FileStatus",
    "is_file",
    "is_remote",
    "joined",
    "lies_in",
    "local_copy",
    "members_of",
    "opened",
    "place",
    "read_bytes",
    "read_stretch",
    "sha256_of",
    "size_of",
    "status_of",
]

LAZY: Final = "lazy.json"  # in the folder of a corpus without audio
_RENDERER: Final = "stemsmith.render.again.lazy"  # which this package must not import
_MOST_LEVELS: Final = 4  # of folders between the folder of a corpus and a file of audio
_IN_TAR: Final = ".tar/"  # of a path that leads into one
_N_INDICES: Final = 256  # of tars that a process remembers; each has some 1.5 kB for a song
_FETCHED: Final = "fetched"  # folder of the user's cache
_COPIES: Final = "copies"  # another one
_CONTENT: Final = "content"  # name of a file that was fetched, before its ending
_INDEX: Final = "index"  # name of a tar's index that was fetched
_LAZY_FOLDERS: Final[set[Path]] = set()  # of stores, that have been found to have no audio


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
        If it is an address of another kind, has no bucket or only one slash, or the package that it
        takes is missing.
    """
    if is_object(path):
        return cast(Path, path)
    text = os.fspath(path)
    if is_address(text):
        return cast(Path, ObjectPath(text))
    if whole := with_two_slashes(text):
        raise UsageError(
            f"{text}: is an address with one slash; write it as text with two: {whole}"
        )
    return local_path(path)


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


class FileStatus(NamedTuple):
    """What the system says of a file.

    Attributes
    ----------
    n_bytes : int
        Its size; of a member of a tar, that of the member; -1 of a file that is rendered when it is
        opened.
    changed_ns : int
        When it was changed last, in nanoseconds; of a member of a tar, when the tar was, and of a
        file that is rendered, when the manifest of its corpus was.
    is_regular : bool
        Whether it is a file, and no folder, pipe or device: reading one of these may never end.
    """

    n_bytes: int
    changed_ns: int
    is_regular: bool


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, wherever its bytes are.

    What lies in an object store is fetched into the user's cache first, a tar member by member; a
    file of a corpus without audio is rendered into it.

    Raises
    ------
    OSError
        As `Path.open` does.
    InvalidCorpus
        If it is a member of a tar that is damaged, or a song cannot be rendered again.
    StoreError
        If an object store does not answer or refuses.
    """
    try:
        return _fetched(path) if is_object(path) else _opened_here(path)
    except FileNotFoundError:
        if (corpus := _lazy_corpus_of(path)) is None:
            raise
    return cast(BinaryIO, corpus.open_file(path))


def status_of(path: Path) -> FileStatus:
    """Return size and time of a file, wherever it is; errors as of `opened`."""
    try:
        return _status_of(path)
    except FileNotFoundError:
        if (corpus := _lazy_corpus_of(path)) is None or not corpus.has_file(path):
            raise
    return FileStatus(-1, corpus.changed_ns, is_regular=True)


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


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, wherever it is; errors as of `opened`."""
    with opened(path) as file:
        return file.read()


def read_stretch(path: Path, offset: int, n_bytes: int) -> bytes:
    """Return some bytes of a plain file or an object, such as a member of a tar by its place."""
    if is_object(path):
        return path.read_stretch(offset, n_bytes)
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(n_bytes)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, wherever it is; errors as of `opened`."""
    with opened(path) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Return the bytes of a file, wherever it is; errors as of `opened`."""
    if (n_bytes := status_of(path).n_bytes) >= 0:
        return n_bytes
    with opened(path) as file:
        return file.seek(0, os.SEEK_END)


def local_copy(path: Path) -> Path:
    """Return a file of this machine with the content of another one, which keeps its name.

    For what a library opens by its name, such as a soundfont. Copies of what lies in an object
    store are in the user's cache, by their content, beside what is fetched otherwise; those that
    were used least recently go first, and this one is there, however large it is.

    Parameters
    ----------
    path : Path
        A plain file, which is returned as it is, or an object.
    """
    if not is_object(path):
        return path
    key, n_bytes = _key_of(path), path.recent_stat().st_size
    cache = BoundedCache(cache_folder() / _COPIES, max(most_cached_bytes(), n_bytes))
    cache.open_file(key, path.name, lambda made: path.fetch(made / path.name)).close()
    return cache.path_of(key) / path.name


def members_of(tar: Path) -> dict[str, TarMember]:
    """Return where the members of a tar are, by name.

    Raises
    ------
    InvalidCorpus
        If it is damaged, or cannot be read.
    """
    try:
        status = tar.stat()
    except OSError as error:
        raise InvalidCorpus(f"{tar}: cannot be read as tar: {error.strerror}") from error
    return _index_of(tar, status.st_size, status.st_mtime_ns).members()


def _opened_here(path: Path) -> BinaryIO:
    """Open a file of this machine, or a member of a tar that is one."""
    try:
        return path.open("rb")
    except (NotADirectoryError, FileNotFoundError):
        if (found := _in_tar(path)) is None:
            raise
    return cast(BinaryIO, io.BufferedReader(_Span(found.tar.open("rb", buffering=0), found.member)))


def _stat(path: Path) -> Any:
    """Return what the system or the store says of a file; the store is not asked for each read."""
    return path.recent_stat() if is_object(path) else path.stat()


def _status_of(path: Path) -> FileStatus:
    """Return what is known of a file that is there, or in a tar."""
    # Of an object, a question is saved by looking for the tar first.
    found = _in_tar(path) if is_remote(path) else None
    if found is None:
        try:
            status = _stat(path)
            return FileStatus(status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))
        except (NotADirectoryError, FileNotFoundError):
            if (found := _in_tar(path)) is None:
                raise
    return FileStatus(found.member.n_bytes, found.changed_ns, is_regular=True)


def _lazy_corpus_of(path: Path) -> Any:
    """Return the corpus without audio that a file is of, by what can render its songs; or None."""
    if path.suffix != ".flac":
        return None
    for folder in itertools.islice(path.parents, _MOST_LEVELS):
        if folder in _LAZY_FOLDERS or (folder / LAZY).is_file():
            if is_remote(folder):  # where each question takes its time, and a song has many files
                _LAZY_FOLDERS.add(folder)
            return importlib.import_module(_RENDERER).lazy_corpus(folder)
    return None


class _InTar(NamedTuple):
    """A member of a tar: the tar, when that was changed, and where the member lies in it."""

    tar: Path
    changed_ns: int
    member: TarMember


def _in_tar(path: Path) -> _InTar | None:
    """Return the member of a tar that a path leads to; None if it leads into no tar.

    Linux says of a member that the tar is no folder, Windows that nothing is there.
    """
    text, end = path.as_posix(), 0
    while (end := text.find(_IN_TAR, end) + len(_IN_TAR)) >= len(_IN_TAR):
        tar, name = type(path)(text[: end - 1]), text[end:]
        try:
            status = _stat(tar)
        except OSError:
            return None
        if stat.S_ISREG(status.st_mode):
            member = _index_of(tar, status.st_size, status.st_mtime_ns).find(name)
            if member is None:
                raise FileNotFoundError(errno.ENOENT, "the tar has no such member", str(path))
            return _InTar(tar, status.st_mtime_ns, member)
    return None


@lru_cache(maxsize=_N_INDICES)
def _index_of(tar: Path, n_bytes: int, changed_ns: int) -> TarIndex:
    """Return where the members of a tar are; another size or time means another tar."""
    if not is_object(tar):
        return read_index(tar)

    def write(made: Path) -> None:
        (made / _INDEX).write_bytes(read_index(cast(Path, tar)).text)

    # One that has no index is asked for each header: once on a machine, and not by each process.
    with _cache().open_file(f"{_key_of(tar)}|{_INDEX}", _INDEX, write) as file:
        return TarIndex(cast(Path, tar), file.read(), n_bytes)


def _fetched(path: ObjectPath) -> BinaryIO:
    """Open an object, or a member of a tar that is one, in the cache."""
    name = f"{_CONTENT}{path.suffix}"
    if (found := _in_tar(cast(Path, path))) is None:
        return _cache().open_file(_key_of(path), name, lambda made: path.fetch(made / name))
    tar, member = cast(ObjectPath, found.tar), found.member

    def fetch(made: Path) -> None:
        (made / name).write_bytes(tar.read_stretch(member.offset, member.n_bytes))

    return _cache().open_file(f"{_key_of(tar)}|{path.relative_to(tar)}", name, fetch)


def _key_of(path: ObjectPath) -> str:
    """Return what decides the content of an object."""
    status = path.recent_stat()
    return f"{path}|{status.tag}|{status.st_size}"


def _cache() -> BoundedCache:
    return BoundedCache(cache_folder() / _FETCHED, most_cached_bytes())


class _Span(SeekableBytes):
    """A stretch of an open file as if it were a file."""

    def __init__(self, file: Any, member: TarMember) -> None:
        super().__init__(member.n_bytes)
        self._file, self._start = file, member.offset

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
