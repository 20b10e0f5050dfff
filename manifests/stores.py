"""Object stores, such as ``s3://bucket``: paths of objects, and how a store is asked.

This file and `stemsmith.manifests.azure_store` alone touch fsspec. A store has no folders, no
renames and no locks: an object appears under its name when all of it is there, and what looks like
a folder is what many names begin with. `ObjectPath` has of the methods of `pathlib.Path` those that
make sense then, so that whoever lists a folder, joins names or reads a file need not know where it
is.

What a store does not answer is asked again, for a minute by default, with pauses that double. What
it refuses ends the work in one line: it would refuse the next song as well.
"""

from __future__ import annotations

import errno
import fnmatch
import functools
import io
import os
import random
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TextIO, TypeGuard, TypeVar, cast

from stemsmith.manifests.errors import NoAnswer, StoreError, UsageError, one_line, require
from stemsmith.manifests.variables import number_in

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "PATIENCE_VARIABLE",
    "ObjectPath",
    "ObjectStatus",
    "SeekableBytes",
    "is_address",
    "is_object",
    "patience_s",
    "with_two_slashes",
]

T = TypeVar("T")

PATIENCE_VARIABLE: Final = "STEMSMITH_STORE_PATIENCE_S"
_PATIENCE_S: Final = 60.0  # for which one thing is asked again and again
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_N_TRIES: Final = 3  # at least, of an endpoint that takes connections and says nothing
_CONNECTING_S: Final = 5.0
_SMALL: Final = 1 << 23  # bytes of an object that is read as a whole
_BUFFER: Final = 1 << 22  # bytes that are read at once of a larger one
_N_AT_ONCE: Final = 1000  # objects that are copied with one call
_RECENT_S: Final = 10.0  # for which an object that is only read is taken to be as it was
_MOST_RECENT: Final = 10_000  # objects of which that is remembered

_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# Of each protocol: the extra that brings its package, the package, and the beginnings of variables
# that say who asks and where.
_EXTRAS: Final = {"s3": "s3", "gs": "gcs", "az": "azure", "memory": ""}
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_VARIABLES: Final = {
    "s3": ("AWS_",),
    "gs": ("GOOGLE_", "GCLOUD_", "STORAGE_EMULATOR_", "GCE_"),
    "az": ("AZURE_",),
    "memory": (),
}
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and _KEY",
    "memory": "",
}


def is_object(path: object) -> TypeGuard[ObjectPath]:
    """Return whether a path is one of an object store, and no `pathlib.Path`."""
    return isinstance(path, ObjectPath)


def is_address(text: str) -> bool:
    """Return whether text begins as an address does: ``s3://``, ``https://``, ``file://``."""
    return _ADDRESS.match(text) is not None


def with_two_slashes(text: str) -> str:
    """Return the address of a store that has lost a slash, as a `Path` of it has; or nothing."""
    protocol, colon, rest = text.partition(":/")
    is_one = colon and protocol.lower() in _EXTRAS and not rest.startswith("/")
    return f"{protocol}://{rest}" if is_one else ""


def patience_s() -> float:
    """Return for how long a store is asked that does not answer, in seconds.

    ``$STEMSMITH_STORE_PATIENCE_S``, or 60.
    """
    return number_in(PATIENCE_VARIABLE, _PATIENCE_S, 86_400, "seconds")


class ObjectStatus(NamedTuple):
    """What is known of an object, with the names that `os.stat_result` has for it.

    Attributes
    ----------
    st_size : int
        Bytes of the object; 0 for a folder.
    st_mtime_ns : int
        When it was written, in ns since 1970; 0 where the store does not say.
    st_mode : int
        Whether it is a file or a folder, as `stat` reads it.
    tag : str
        Another one means other content.
    """

    st_size: int
    st_mtime_ns: int
    st_mode: int
    tag: str

    @property
    def st_mtime(self) -> float:
        """When it was written, in seconds since 1970."""
        return self.st_mtime_ns / 1e9


@functools.total_ordering
class ObjectPath:
    """The address of an object, or of what many objects' names begin with.

    Parameters
    ----------
    address : str
        Such as ``s3://bucket/corpus``. Steps up (``..``) are taken, but not out of the bucket.

    Raises
    ------
    UsageError
        If it is of another kind, has no bucket, has credentials in it, or needs a package that is
        not installed.
    """

    __slots__ = ("_key", "_protocol")

    def __init__(self, address: str) -> None:
        found = _ADDRESS.match(address)
        if found is None:
            raise UsageError(f"{address}: is no address")
        self._protocol = found[1].lower()
        if self._protocol not in _EXTRAS:
            known = ", ".join(f"{name}://" for name in _EXTRAS)
            raise UsageError(
                f"{address}: is an address of a kind that cannot be opened; known: {known}"
            )
        bucket, _, rest = found[2].partition("/")
        if "@" in bucket:
            raise UsageError(
                f"{self._protocol}://...@{bucket.rpartition('@')[2]}: credentials do not belong "
                f"into an address; set {_CREDENTIALS[self._protocol] or 'none'} in the environment"
            )
        if bucket in ("", ".", ".."):
            raise UsageError(f"{address}: names no bucket")
        if extra := _EXTRAS[self._protocol]:
            require(extra, _PACKAGES[self._protocol], task=f"{self._protocol}://")
        self._key = PurePosixPath(bucket, *_steps(rest))

    @classmethod
    def _of(cls, protocol: str, key: PurePosixPath) -> ObjectPath:
        made = object.__new__(cls)
        made._protocol, made._key = protocol, key
        return made

    # What it is called

    def __str__(self) -> str:
        return f"{self._protocol}://{self._key}"

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectPath, (str(self),)

    def __hash__(self) -> int:
        return hash((self._protocol, self._key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectPath):
            return NotImplemented
        return (self._protocol, self._key) == (other._protocol, other._key)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, ObjectPath):
            return NotImplemented
        return (self._protocol, self._key) < (other._protocol, other._key)

    def __truediv__(self, other: str | PurePosixPath) -> ObjectPath:
        return self.joinpath(other)

    def joinpath(self, *others: str | PurePosixPath) -> ObjectPath:
        """Return the path of names below this one."""
        steps = [*self._key.parts[1:], *(part for one in others for part in _parts(str(one)))]
        return self._of(self._protocol, PurePosixPath(self._key.parts[0], *_taken(steps)))

    @property
    def protocol(self) -> str:
        """The kind of store: ``s3``, ``gs``, ``az`` or ``memory``."""
        return self._protocol

    @property
    def bucket(self) -> str:
        """The first part of the address: a bucket, or a container."""
        return self._key.parts[0]

    @property
    def key(self) -> str:
        """The name of the object in its bucket; empty for the bucket itself."""
        return "/".join(self._key.parts[1:])

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._key.name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self._key.stem

    @property
    def suffix(self) -> str:
        """The ending of the name."""
        return self._key.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the path, the bucket first."""
        return self._key.parts

    @property
    def parent(self) -> ObjectPath:
        """The folder that it is in; the bucket's is the bucket."""
        is_bucket = len(self._key.parts) == 1
        return self if is_bucket else self._of(self._protocol, self._key.parent)

    @property
    def parents(self) -> Sequence[ObjectPath]:
        """The folders that it is in, from the nearest to the bucket."""
        return tuple(self._of(self._protocol, one) for one in self._key.parents if one.parts)

    def with_name(self, name: str) -> ObjectPath:
        """Return the path of another name in the same folder."""
        return self._of(self._protocol, self._key.with_name(name))

    def with_suffix(self, suffix: str) -> ObjectPath:
        """Return the path with another ending."""
        return self._of(self._protocol, self._key.with_suffix(suffix))

    def as_posix(self) -> str:
        """Return the address."""
        return str(self)

    def absolute(self) -> ObjectPath:
        """Return the path, as all of these are absolute."""
        return self

    def resolve(self, strict: bool = False) -> ObjectPath:
        """Return the path, as there are no links."""
        return self

    def is_absolute(self) -> bool:
        """Return that it is."""
        return True

    def relative_to(self, other: object) -> PurePosixPath:
        """Return the path as seen from a folder that it is in.

        Raises
        ------
        ValueError
            If it is not in it.
        """
        if not isinstance(other, ObjectPath) or other._protocol != self._protocol:
            raise ValueError(f"{self} is not in {other}")
        return self._key.relative_to(other._key)

    def is_relative_to(self, other: object) -> bool:
        """Return whether it is another path, or in it."""
        is_of_store = isinstance(other, ObjectPath) and other._protocol == self._protocol
        return is_of_store and self._key.is_relative_to(cast(ObjectPath, other)._key)

    # What is there

    def stat(self) -> ObjectStatus:
        """Return what is known of the object, or of what is below.

        Raises
        ------
        FileNotFoundError
            If neither is there.
        """
        return _status_of(self._ask("info", str(self._key)))

    def recent_stat(self) -> ObjectStatus:
        """Return what was known of the object in the last ten seconds, or else is; as `stat` does.

        For sources, which are read many times and which nobody should write meanwhile. What this
        process writes is seen at once.
        """
        now_s = time.monotonic()
        told_s, status = _recent.get(self, (-_RECENT_S, None))
        if status is None or now_s - told_s > _RECENT_S:
            status = self.stat()
            if len(_recent) >= _MOST_RECENT:
                _recent.clear()
            _recent[self] = now_s, status
        return status

    def exists(self) -> bool:
        """Return whether there is such an object, or one below."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        """Return whether there is such an object."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Return whether there is an object below."""
        try:
            return stat.S_ISDIR(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def iterdir(self) -> Iterator[ObjectPath]:
        """Yield what is right below.

        Raises
        ------
        FileNotFoundError
            If nothing is.
        """
        return (path for path, _ in self.entries())

    def entries(self) -> Iterator[tuple[ObjectPath, ObjectStatus]]:
        """Yield what is right below, with what is known of it; errors as of `iterdir`."""
        for entry in self._ask("ls", str(self._key), detail=True):
            path = self._named(entry)
            if path != self:  # which some have for a folder
                yield path, _status_of(entry)

    def files_below(self) -> list[tuple[ObjectPath, ObjectStatus]]:
        """Return all objects below, in order of name, with what is known of them."""
        try:
            found = self._ask("find", str(self._key), detail=True)
        except FileNotFoundError:
            return []
        # Some have an empty object for a folder, whose name ends with a slash.
        named = [
            (self._named(entry), _status_of(entry))
            for name, entry in found.items()
            if not name.endswith("/")
        ]
        return sorted(
            (path, status)
            for path, status in named
            if path != self and stat.S_ISREG(status.st_mode)
        )

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield what is right below and has a name of some form, such as ``*.parquet``.

        ``stems/**/*`` are the objects anywhere below a folder.
        """
        if "/" in pattern:
            folder, _, name = pattern.partition("/**/")
            yield from self.joinpath(folder).rglob(name)
            return
        with suppress(FileNotFoundError):
            yield from (p for p in self.iterdir() if fnmatch.fnmatchcase(p.name, pattern))

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield the objects anywhere below that have a name of some form."""
        for path, _ in self.files_below():
            if fnmatch.fnmatchcase(path.name, pattern):
                yield path

    def _named(self, entry: Mapping[str, Any]) -> ObjectPath:
        return self._of(self._protocol, PurePosixPath(str(entry["name"]).strip("/")))

    # What it holds

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None) -> Any:
        """Open the object for reading, as bytes (``rb``) or text (``r``).

        Large ones, and those of which `buffering` says how many bytes are read at once, are read
        piece by piece, as they are asked for.
        """
        if mode not in ("r", "rb"):
            raise ValueError(f"mode {mode!r}: objects are written as a whole")
        file: BinaryIO
        begin = b"" if buffering > 0 else self._begin()
        if buffering > 0 or len(begin) > _SMALL:
            file = _buffered(_Stretches(self, self.stat().st_size), buffering)
        else:
            file = io.BytesIO(begin)
        return file if mode == "rb" else cast(TextIO, io.TextIOWrapper(file, encoding or "utf-8"))

    def _begin(self) -> bytes:
        """Return all of an object that is small, and of another one more than that would have."""
        try:
            return self._content(start=0, end=_SMALL + 1)
        except FileNotFoundError:
            if self.is_dir():
                raise IsADirectoryError(
                    errno.EISDIR, os.strerror(errno.EISDIR), str(self)
                ) from None
            raise

    def read_bytes(self) -> bytes:
        """Return what the object holds."""
        # Of S3, whoever asks for all of it asks for its size first, unless it is from a place on.
        return self._content(**({"start": 0} if self._protocol == "s3" else {}))

    def _content(self, **options: int) -> bytes:
        try:
            data: bytes = self._ask("cat_file", str(self._key), **options)
        except _PastEnd:
            return b""
        return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the text that the object holds."""
        return self.read_bytes().decode(encoding)

    def read_stretch(self, start: int, n_bytes: int) -> bytes:
        """Return some bytes of the object, fewer where it ends before."""
        return self._content(start=start, end=start + n_bytes) if n_bytes > 0 else b""

    def fetch(self, path: Path) -> None:
        """Copy the object to a local file."""
        self._ask("get_file", str(self._key), str(path))

    # What is written

    def write_bytes(self, data: bytes | memoryview) -> None:
        """Write the object: readers see the one of before, or all of this one."""
        self._ask("pipe_file", str(self._key), bytes(data))

    def write_text(self, text: str) -> None:
        """Write text as UTF-8."""
        self.write_bytes(text.encode())

    def upload(self, path: Path) -> None:
        """Write the object from a local file."""
        self._ask("put_file", str(path), str(self._key))

    def upload_below(self, folder: Path) -> None:
        """Write an object for each file in a local folder and below, several at a time."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for first in range(0, len(paths), _N_AT_ONCE):
            some = paths[first : first + _N_AT_ONCE]
            keys = [str(self._key / path.relative_to(folder).as_posix()) for path in some]
            self._ask("put", [str(path) for path in some], keys)

    def fetch_below(self, folder: Path) -> None:
        """Copy all objects right below to files in a local folder, several at a time."""
        with suppress(FileNotFoundError):
            paths = [path for path, status in self.entries() if stat.S_ISREG(status.st_mode)]
            for first in range(0, len(paths), _N_AT_ONCE):
                some = paths[first : first + _N_AT_ONCE]
                copies = [str(folder / path.name) for path in some]
                self._ask("get", [str(path._key) for path in some], copies)

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: what looks like a folder is there with the first object in it."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            self._ask("rm_file", str(self._key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_below(self, but: object = None) -> None:
        """Remove all objects below, a thousand at a time where the store can do that.

        Parameters
        ----------
        but : ObjectPath, optional
            One that stays.
        """
        paths = [path for path, _ in self.files_below() if path != but]
        # What has signs of a pattern in its name would be taken for one.
        plain = [path for path in paths if not set(str(path)) & set("*?[")]
        for path in sorted(set(paths) - set(plain)):
            path.unlink(missing_ok=True)
        if plain:
            with suppress(FileNotFoundError):
                self._ask("rm", [str(path._key) for path in plain])
        if self._protocol == "memory" and but is None:  # which keeps folders of its own
            with suppress(FileNotFoundError):
                self._ask("rm", str(self._key), recursive=True)

    def conditionally(self, data: bytes, tag: str | None) -> str | None:
        """Write the object if it is as it was; return its tag, or None if it is not.

        Parameters
        ----------
        data : bytes
            What it then holds.
        tag : str or None
            Its tag, as `stat` returns it; None if there must be no such object.

        Notes
        -----
        The store decides, so that of two that ask at once one succeeds: S3 and Azure by
        ``If-None-Match`` and ``If-Match``. Of the others the packages have it for new objects
        alone; there, an object that must be as it was is looked at and then written.
        """
        try:
            if tag is None:
                self._put_if(data, {"mode": "create"}, {"IfNoneMatch": "*"})
            elif self._protocol == "az":
                from azure.core import MatchConditions

                unchanged = {"etag": tag, "match_condition": MatchConditions.IfNotModified}
                self._put_if(data, unchanged, {})
            elif self._protocol == "s3" or self.stat().tag == tag:
                self._put_if(data, {}, {"IfMatch": tag})
            return self._tag_if(data)
        except (_Unmet, FileExistsError):
            # Asked again after an answer that was lost, it is there because we wrote it.
            return self._tag_if(data)
        except FileNotFoundError:
            return None

    def _put_if(self, data: bytes, options: dict[str, Any], headers: dict[str, str]) -> None:
        if self._protocol == "s3":
            place = {"Bucket": self.bucket, "Key": self.key}
            self._ask("call_s3", "put_object", Body=data, **place, **headers)
        else:
            self._ask("pipe_file", str(self._key), data, **options)

    def _tag_if(self, data: bytes) -> str | None:
        """Return the tag of the object if it holds something; None if it does not."""
        try:
            tag = self.stat().tag
            return tag if self.read_bytes() == data else None
        except FileNotFoundError:
            return None

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the file system until it answers; say in one line why it does not."""

        def call() -> Any:
            return getattr(_file_system(self._protocol), method)(*arguments, **options)

        try:
            return _patiently(call, self)
        except FileNotFoundError:
            if not self._has_bucket(is_known=bool(self.key) or method != "info"):
                raise _no_bucket(self) from None
            raise
        finally:
            if method not in _READING:
                _recent.clear()

    def _has_bucket(self, is_known: bool) -> bool:
        """Return whether there is the bucket of what is not there.

        S3 says so itself of a name in a bucket. The others are asked, once.
        """
        if self._protocol == "memory" or (self._protocol == "s3" and is_known):
            return True
        if not is_known:
            return False
        if (self._protocol, self.bucket) not in _buckets:
            try:
                _patiently(lambda: _file_system(self._protocol).info(self.bucket), self)
            except FileNotFoundError:
                return False
            except StoreError:  # who may read objects need not be allowed to ask
                return True
            _buckets.add((self._protocol, self.bucket))
        return True


def _parts(text: str) -> list[str]:
    return [part for part in text.split("/") if part]


def _steps(text: str) -> list[str]:
    return _taken(_parts(text))


def _taken(steps: Sequence[str]) -> list[str]:
    """Return names after the steps up among them, which end at the bucket."""
    taken: list[str] = []
    for step in steps:
        if step == "..":
            del taken[-1:]
        elif step != ".":
            taken.append(step)
    return taken


def _status_of(entry: Mapping[str, Any]) -> ObjectStatus:
    is_folder = entry.get("type") == "directory"
    size = 0 if is_folder else int(entry.get("size") or 0)
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    written = next((entry[name] for name in names if entry.get(name) is not None), None)
    written_ns = 0
    if written is not None and hasattr(written, "timestamp"):
        written_ns = int(written.timestamp() * 1e6) * 1000
    tags = (entry.get(name) for name in ("ETag", "etag", "generation"))
    tag = next((str(one) for one in tags if one), f"{written_ns}-{size}")
    return ObjectStatus(size, written_ns, stat.S_IFDIR if is_folder else stat.S_IFREG, tag)


class SeekableBytes(io.RawIOBase):
    """A file of a known size whose place is kept here; a class of it says how it is read.

    Parameters
    ----------
    n_bytes : int
        How many bytes the file has.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes, self._position = n_bytes, 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, and return it."""
        # Decoders seek and read some 8 kB at a time: what is done here, they wait for.
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._n_bytes
        self._position = max(0, offset)
        return self._position


class _Stretches(SeekableBytes):
    """An object that is read piece by piece."""

    def __init__(self, path: ObjectPath, n_bytes: int) -> None:
        super().__init__(n_bytes)
        self._path = path

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        n = max(0, min(len(view), self._n_bytes - self._position))
        data = self._path.read_stretch(self._position, n)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _buffered(file: _Stretches, n_bytes: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(file, n_bytes if n_bytes > 0 else _BUFFER))


# Asking

_file_systems: dict[tuple[Any, ...], Any] = {}
_buckets: set[tuple[str, str]] = set()  # that were found to be there
_READING: Final = frozenset({"info", "ls", "find", "cat_file", "get_file", "get"})
_recent: dict[ObjectPath, tuple[float, ObjectStatus]] = {}  # when it was told, and what


def _file_system(protocol: str) -> Any:
    """Return the file system of a protocol, for who this process is now.

    A process that was forked has its own connections, and other credentials mean other ones.
    """
    begins = _VARIABLES[protocol]
    said = tuple(sorted((k, v) for k, v in os.environ.items() if begins and k.startswith(begins)))
    identity = (os.getpid(), protocol, said)
    if (found := _file_systems.get(identity)) is None:
        found = _file_systems[identity] = _opened(protocol)
    return found


def _opened(protocol: str) -> Any:
    """Return a new file system, which asks once and gives up in time: `_patiently` asks again."""
    import fsspec

    reading_s = patience_s() / _N_TRIES
    connecting_s = min(_CONNECTING_S, reading_s)
    alone = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol == "s3":
        limits = {
            "connect_timeout": connecting_s,
            "read_timeout": reading_s,
            "retries": {"total_max_attempts": 1},
        }
        found = fsspec.filesystem("s3", config_kwargs=limits, **alone)
        found.retries = 1
        return found
    if protocol == "az":
        from stemsmith.manifests.azure_store import AzureStore

        try:
            return AzureStore(connecting_s, reading_s, **alone)
        except ValueError as error:
            raise _NoAccount(error) from error
    if protocol == "memory":  # all of the process have the same one
        return fsspec.filesystem("memory", use_listings_cache=False)
    return fsspec.filesystem(protocol, **alone)


def _patiently(call: Callable[[], T], path: ObjectPath) -> T:
    """Return what a call returns, which is repeated while the store does not answer."""
    longest_s = patience_s()
    begun, pause_s = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except Exception as error:
            if not _is_passing(error):
                raise _told(error, path) from error
            waited_s = time.monotonic() - begun
            if waited_s + pause_s > longest_s:
                raise NoAnswer(
                    f"{path}: the store does not answer, and was asked for {waited_s:.0f} s: "
                    f"{one_line(error)}"
                ) from error
        time.sleep(pause_s * random.uniform(0.75, 1.25))  # not all workers at once
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


# Errors by the names of their classes, which are those of packages that need not be installed.
_PASSING: Final = frozenset(
    {
        "ConnectionError",  # of Python, of botocore, of requests
        "HTTPClientError",
        "TimeoutError",
        "FSTimeoutError",
        "ClientConnectionError",  # of aiohttp
        "ClientPayloadError",
        "ServerTimeoutError",
        "IncompleteRead",
        "ResponseParserError",
        "ServiceRequestError",  # of azure
        "ServiceResponseError",
        "IncompleteReadError",
    }
)
_PASSING_NUMBERS: Final = frozenset(
    getattr(errno, name)
    for name in ("EBUSY", "EREMOTEIO", "ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT")
    if hasattr(errno, name)
)
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "DefaultCredentialsError",  # of google
        "_NoAccount",
    }
)
_ELSEWHERE: Final = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "301",
        "307",
    }
)
_DAMAGED_REQUEST: Final = "400"  # all that a question without a body is told in another region


class _Unmet(Exception):
    """A condition of a write does not hold."""


class _PastEnd(Exception):
    """An object ends before what is to be read of it begins."""


class _NoAccount(Exception):
    """Who asks, and where, is not said, or not in a way that can be read."""


def _is_passing(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _PASSING:
        return True
    status = _status_code_of(error)
    if status is not None and (status >= 500 or status == 429):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_NUMBERS


def _status_code_of(error: BaseException) -> int | None:
    """Return the status of HTTP with which a store has refused; None if it is not known."""
    found = (
        getattr(error, "status_code", None)
        or getattr(error, "code", None)
        or _s3_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    )
    return found if isinstance(found, int) else None


def _s3_answer(error: BaseException) -> Mapping[str, Any]:
    """Return what S3 has answered, which s3fs hides in the cause of another error."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return response if isinstance(response, dict) else {}


def _code_of(error: BaseException) -> str:
    """Return what the store calls its refusal, such as ``NoSuchBucket``; empty if nothing."""
    code = _s3_answer(error).get("Error", {}).get("Code") or getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")  # Azure's are of an enumeration


def _told(error: Exception, path: ObjectPath) -> Exception:
    """Return what is raised for an error of a store that it means."""
    code, names = _code_of(error), {kind.__name__ for kind in type(error).__mro__}
    if code in ("PreconditionFailed", "412", "ConditionalRequestConflict", "ConditionNotMet"):
        return _Unmet(code)
    if code == "InvalidRange":
        return _PastEnd(code)
    if code in ("NoSuchBucket", "ContainerNotFound") or _is_of_bucket(error):
        return _no_bucket(path)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
        return error
    status = getattr(error, "status_code", None)
    if names & _NO_CREDENTIALS or ("ClientAuthenticationError" in names and status is None):
        first_line = str(error).partition("\n")[0]  # Azure's has a paragraph of each way to sign in
        return StoreError(
            f"{path}: there are no credentials for it in the environment "
            f"({_CREDENTIALS[path.protocol]}): {one_line(first_line)}"
        )
    if code in _ELSEWHERE or (isinstance(error, OSError) and error.errno == _errno("EREMCHG")):
        return StoreError(
            f"{path}: the bucket {path.bucket!r} is in another region than "
            f"{os.environ.get('AWS_DEFAULT_REGION') or 'the one that was asked'}; set "
            f"AWS_DEFAULT_REGION: {one_line(error)}"
        )
    if status in (401, 403) or isinstance(error, PermissionError) or code == "403":
        return StoreError(
            f"{path}: the store refuses access; see to the credentials in the environment "
            f"({_CREDENTIALS[path.protocol]}) and to their rights: {one_line(error)}"
        )
    if code == _DAMAGED_REQUEST:
        return StoreError(
            f"{path}: the store does not take the request, as of a wrong region or of credentials "
            f"that have expired: {one_line(error)}"
        )
    return StoreError(f"{path}: {one_line(error)}")


def _no_bucket(path: ObjectPath) -> StoreError:
    kind = "container" if path.protocol == "az" else "bucket"
    return StoreError(f"{path}: there is no {kind} {path.bucket!r}; make it, or choose another")


def _errno(name: str) -> int:
    return int(getattr(errno, name, errno.ENOENT))


def _is_of_bucket(error: Exception) -> bool:
    """Return whether a store says of a bucket, and not of an object, that it is not there."""
    return isinstance(error, FileNotFoundError) and "bucket does not exist" in str(error)
