"""Checking, before the work begins, that workers see what the process sees that gives them work.

Of two workers of a cluster one may lack a mount, have another soundfont under the same name, or an
older library: what it makes would be another corpus.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Final

from stemsmith.manifests import places, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import DistantWorkers, Workers
from stemsmith.manifests.places import is_remote, local_copy, place

__all__ = ["library_versions", "preflight"]

_HEAD_BYTES: Final = 1 << 16  # of an input: enough to tell it from another file
_N_TRIED: Final = 100  # inputs, for one that can be read here


def library_versions() -> dict[str, str]:
    """Return the versions of what decides the bytes of any stage."""
    packages = {name: package_version(name) for name in ("stemsmith", "numpy")}
    return {**packages, **flac.encoder_version()}


@contextmanager
def preflight(
    workers: Workers,
    *,
    inputs: Iterable[Iterable[str | Path]] = (),
    hashed: Mapping[str, str] | None = None,
    destination: Path | None = None,
    versions: Callable[[], Mapping[str, str]] = library_versions,
) -> Iterator[None]:
    """Check that workers see what this process sees; those that come during the body, too.

    Jobs that are done in this process need no check.

    Parameters
    ----------
    workers : Workers
        Who does the jobs of the body.
    inputs : iterable of iterable of path
        Files or folders of each place that jobs read from. The first of each place that can be
        read here must be the same there.
    hashed : mapping of str to str, optional
        Path and SHA-256 of each file that must be the same as a whole.
    destination : Path, optional
        A folder that workers write to. A file is put there for the time of the body. Where there
        is no such folder, there is nothing left to write.
    versions : callable
        A top-level function that returns the versions of libraries by their names.

    Raises
    ------
    UsageError
        At the first difference, in one line that names the worker's host.
    """
    if not isinstance(workers, DistantWorkers):
        yield
        return
    if destination is not None:
        _refuse_memory(destination)
    is_written = destination is not None and (is_remote(destination) or destination.is_dir())
    nonce = _Nonce.put(destination) if destination is not None and is_written else None
    try:
        seen = tuple(head for files in inputs if (head := _first_head(files)) is not None)
        check = _SharedView(
            versions, tuple(versions().items()), seen, tuple((hashed or {}).items()), nonce
        )
        with workers.checked(check):
            yield
    finally:
        if nonce is not None:
            place(nonce.path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Head:
    """An input, as its first bytes are here; of a folder, whether there is anything in it."""

    path: str
    n_bytes: int
    sha256: str


def _first_head(paths: Iterable[str | Path]) -> _Head | None:
    """Return what is seen of the first input that can be read, or None if none can."""
    for path in itertools.islice(paths, _N_TRIED):
        with suppress(OSError):
            _refuse_memory(place(path))
            return _read_head(place(path))
    return None


def _refuse_memory(path: Path) -> None:
    """Check that workers may see a path at all, which the memory of a process is not for."""
    if str(path).startswith("memory://"):
        raise UsageError(f"{path}: is in the memory of this process alone; use --jobs 0")


def _read_head(path: Path) -> _Head:
    if path.is_dir():
        return _Head(str(path), len(list(itertools.islice(path.iterdir(), 1))), "")
    with places.opened(path) as file:
        head = file.read(_HEAD_BYTES)
    return _Head(str(path), places.size_of(path), hashlib.sha256(head).hexdigest())


@dataclass(frozen=True, slots=True)
class _Nonce:
    """A file of this run in its destination: whoever reads it there sees the same folder."""

    path: str
    text: str

    @classmethod
    def put(cls, folder: Path) -> _Nonce:
        text = secrets.token_hex(16)
        path = folder / f".preflight-{text[:8]}"
        with storage.naming(path):
            path.write_text(text)
        return cls(str(path), text)

    def difference(self) -> str | None:
        path = place(self.path)
        try:
            is_same = path.read_text() == self.text
        except (OSError, ValueError):
            is_same = False
        if not is_same:
            return f"{path.parent}: is another folder there than here; mount the same one"
        try:
            if is_remote(path):
                own = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
                own.write_bytes(b"")
                own.unlink()
                return None
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name):
                return None
        except OSError as error:
            return f"{path.parent}: cannot be written there: {error.strerror}"


@dataclass(frozen=True, slots=True)
class _SharedView:
    """What this process sees; called in another one, it says what differs there."""

    versions_of: Callable[[], Mapping[str, str]]
    versions: tuple[tuple[str, str], ...]
    seen: tuple[_Head, ...]
    hashed: tuple[tuple[str, str], ...]
    nonce: _Nonce | None

    def __call__(self) -> str | None:
        found = self.versions_of()
        for name, version in self.versions:
            if (other := found.get(name, "none")) != version:
                return f"{name} is {other} there and {version} here; install the same version"
        if self.nonce is not None and (difference := self.nonce.difference()):
            return difference
        differences = itertools.chain(
            map(_head_difference, self.seen), itertools.starmap(_hash_difference, self.hashed)
        )
        return next(filter(None, differences), None)


def _head_difference(head: _Head) -> str | None:
    try:
        is_same = _read_head(place(head.path)) == head
    except OSError as error:
        return f"{head.path}: cannot be read there: {error.strerror}; mount the same folder"
    return None if is_same else f"{head.path}: is another file there; mount the same folder"


def _hash_difference(path: str, sha256: str) -> str | None:
    try:
        is_same = storage.file_hash(local_copy(place(path))) == sha256
    except OSError as error:
        return f"{path}: cannot be read there: {error.strerror}"
    return None if is_same else f"{path}: its SHA-256 is not the same there; copy the file again"
