"""What can be made or fetched again: the user's cache folder, and a part of it that stays small."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import platformdirs
from filelock import FileLock, Timeout
from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.stores import is_address
from stemsmith.manifests.variables import number_in

__all__ = [
    "CACHE_VARIABLE",
    "SIZE_VARIABLE",
    "BoundedCache",
    "cache_folder",
    "most_cached_bytes",
]

CACHE_VARIABLE: Final = "STEMSMITH_CACHE"
SIZE_VARIABLE: Final = "STEMSMITH_CACHE_GB"
_USUAL_GB: Final = 8.0
_N_LOCKS: Final = 256  # entries share locks by their hash, so that no locks pile up
_SLACK: Final = 16  # a process looks at the size after each sixteenth of the bound that it adds
# Bytes that this process has added to each folder, of a bound, since it last looked at its size.
_n_unseen: dict[tuple[Path, int], int] = {}


def cache_folder() -> Path:
    """Return where measured envelopes, fetched files and other things made again are kept.

    ``$STEMSMITH_CACHE``, or where the system keeps caches of a user: on Linux in ``stemsmith``
    below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises
    ------
    UsageError
        If the variable names an object store, from which the cache is what spares us reading.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        if is_address(own):
            raise UsageError(f"{CACHE_VARIABLE}={own}: the cache lies on a disk; name its folder")
        return local_path(own)
    return platformdirs.user_cache_path("stemsmith", appauthor=False)


def most_cached_bytes() -> int:
    """Return the bytes that what is made or fetched again may take.

    ``$STEMSMITH_CACHE_GB``, in 10^9 bytes, or 8 of them. Processes that this one starts have the
    same variable, and so the same bound.

    Raises
    ------
    UsageError
        If the variable is no positive number.
    """
    return round(number_in(SIZE_VARIABLE, _USUAL_GB, 1e9, "gigabytes") * 1e9)


class BoundedCache:
    """A folder of entries, each a few files, of which the least recently used are removed.

    Several processes may use it at once: an entry is made by one of them while the others that
    want it wait, and a file that is being read is not taken from its reader.

    Parameters
    ----------
    root : Path
        Folder of the entries, which is made.
    most_bytes : int
        Bytes that entries may take. A process that adds one looks at the whole only now and then,
        so that for each process a sixteenth of it may come on top.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        self._root, self._most_bytes = root, most_bytes

    def open_file(self, key: str, name: str, make: Callable[[Path], None]) -> BinaryIO:
        """Open a file of an entry for reading; the entry is made if it is not there.

        Parameters
        ----------
        key : str
            All that decides what the files of the entry hold.
        name : str
            Path of the file below the entry.
        make : callable
            Writes the files of the entry to an empty folder.

        Raises
        ------
        FileNotFoundError
            If the entry has no such file. What `make` raises is passed on, and nothing is kept.
        """
        entry = self.path_of(key)
        if file := _opened(entry, name):
            return file
        self._root.mkdir(parents=True, exist_ok=True)
        with self._lock_of(entry):
            if file := _opened(entry, name):  # another process made it meanwhile
                return file
            if entry.exists():
                raise FileNotFoundError(errno.ENOENT, "no such file of the entry", name)
            n_bytes = self._make(entry, make)
            file = (entry / name).open("rb")
        self._added(n_bytes, entry)
        return file

    def path_of(self, key: str) -> Path:
        """Return where the folder of an entry is, or would be."""
        return self._root / hashlib.sha256(os.fsencode(key)).hexdigest()

    def _lock_of(self, entry: Path) -> FileLock:
        """Return the lock that is held while an entry is made and opened, or removed."""
        return FileLock(self._root / f"{int(entry.name[:8], 16) % _N_LOCKS:02x}.lock")

    def _make(self, entry: Path, make: Callable[[Path], None]) -> int:
        """Make an entry; return its bytes."""
        with storage.scratch_folder(self._root, ".making-") as scratch:
            files = scratch / "files"
            files.mkdir()
            make(files)
            n_bytes = _size_of(files)
            files.rename(entry)
        return n_bytes

    def _added(self, n_bytes: int, entry: Path) -> None:
        """Count what was added; look at the whole when it is much, or the first of this process."""
        key = self._root, self._most_bytes
        is_first = key not in _n_unseen
        _n_unseen[key] = _n_unseen.get(key, 0) + n_bytes
        if is_first or _n_unseen[key] > self._most_bytes // _SLACK:
            self._shrink(entry)
            _n_unseen[key] = 0

    def _shrink(self, newest: Path) -> None:
        """Remove the least recently used entries until the others fit, but for the newest one."""
        with FileLock(self._root / "size.lock"):
            entries = []
            for path in self._root.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another cache's user removed it
                    if path.is_dir() and not path.name.startswith("."):
                        entries.append((path.stat().st_mtime_ns, path, _size_of(path)))
            n_bytes = sum(size for _, _, size in entries)
            for _, path, size in sorted(entries):
                if n_bytes <= self._most_bytes:
                    break
                if path == newest and size <= self._most_bytes:
                    continue
                # One that was just made is opened by its maker first; it can go next time. So can
                # one that is being read on Windows, which renames no folder of an open file.
                busy = contextlib.suppress(Timeout, OSError)
                with busy, self._lock_of(path).acquire(timeout=0):
                    self._remove(path)
                    n_bytes -= size

    def _remove(self, entry: Path) -> None:
        """Remove an entry; renamed first, so that whoever opens a file finds all of it, or none."""
        with storage.scratch_folder(self._root, ".removing-") as scratch:
            entry.rename(scratch / entry.name)


def _opened(entry: Path, name: str) -> BinaryIO | None:
    """Open a file of an entry, which then is the one used last; None if it is not there."""
    try:
        file = (entry / name).open("rb")
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # removed meanwhile: the open file stays
        os.utime(entry)
    return file


def _size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    sizes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes += Path(parent, name).stat().st_size
    return sizes
