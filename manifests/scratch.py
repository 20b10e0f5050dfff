"""What is too much for memory and lasts no longer than its process: records and numbers on disk.

A little stays in memory. More goes to files without a name in the system's folder for temporary
files (``TMPDIR``): nothing is left of them, however the process ends. Where that folder is itself
in memory, as ``/tmp`` is on some systems, ``TMPDIR`` should name one that is on a disk.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import mmap
import operator
import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Int32s, Int64s

__all__ = [
    "N_PREFIX",
    "ComparedTexts",
    "OnDemand",
    "ScratchColumn",
    "ScratchMapping",
    "ScratchRecords",
    "in_order",
    "prefix_of",
    "prefixes_of",
    "text_order",
]

R = TypeVar("R")
S = TypeVar("S", bound=np.generic)

_IN_MEMORY: Final = 32 << 20  # bytes of each column and of each sequence of records
_WRITTEN: Final = 1 << 20  # bytes at a time
_N_TAKEN: Final = 1 << 20  # numbers at a time
_N_COMPARED: Final = 1 << 18  # texts at a time
N_PREFIX: Final = 48  # bytes of a text that are sorted without reading it
_N_DIGEST: Final = 16


def _scratch_file(owner: object, max_size: int) -> IO[bytes]:
    """Open a file that has a place on disk from a size on, and is closed when its owner is gone."""
    with storage.naming(Path(tempfile.gettempdir())):
        file = tempfile.SpooledTemporaryFile(max_size, prefix="stemsmith-")  # noqa: SIM115
        if not max_size:
            file.rollover()
    weakref.finalize(owner, file.close)
    return file


class _Records(Sequence[R]):
    """A sequence that equals any other one with the same records."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))


class OnDemand(_Records[R]):
    """Records that are made when they are asked for, and not kept.

    Parameters
    ----------
    make : callable
        Returns the record of a place.
    places : sequence of int
        The places of the records, in their order.
    """

    def __init__(self, make: Callable[[int], R], places: Sequence[int] | Int64s) -> None:
        self._make, self._places = make, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> OnDemand[R]: ...
    def __getitem__(self, index: int | slice) -> R | OnDemand[R]:
        if isinstance(index, slice):
            return OnDemand(self._make, self._places[index])
        return self._make(int(self._places[range(len(self))[index]]))

    def __iter__(self) -> Iterator[R]:
        return (self._make(int(place)) for place in self._places)


class ScratchRecords(_Records[R]):
    """Records that lie on disk and are made when they are asked for: eight bytes each in memory.

    Parameters
    ----------
    records : iterable
        The first of them: anything that can be pickled.
    """

    def __init__(self, records: Iterable[R] = ()) -> None:
        self._file = _scratch_file(self, _IN_MEMORY)
        self._ends = array("q", [0])
        self._pending = bytearray()
        self._n_written = 0
        self.extend(records)

    def append(self, record: R) -> None:
        """Add a record at the end."""
        self._pending += pickle.dumps(record, pickle.HIGHEST_PROTOCOL)
        self._ends.append(self._n_written + len(self._pending))
        if len(self._pending) >= _WRITTEN:
            self._write()

    def extend(self, records: Iterable[R]) -> None:
        """Add records at the end."""
        for record in records:
            self.append(record)

    def _write(self) -> None:
        with storage.naming(Path(tempfile.gettempdir())):
            self._file.seek(self._n_written)
            self._file.write(self._pending)
        self._n_written += len(self._pending)
        self._pending.clear()

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: int | slice) -> R | list[R]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]  # IndexError beyond the end
        return self._read(number, number + 1)[0]

    def __iter__(self) -> Iterator[R]:
        number = 0
        while number < len(self):
            stop = number + 1
            while stop < len(self) and self._ends[stop] - self._ends[number] < _WRITTEN:
                stop += 1
            yield from self._read(number, stop)
            number = stop

    def _read(self, first: int, stop: int) -> list[R]:
        if self._pending:
            self._write()
        start = self._ends[first]
        self._file.seek(start)
        data = memoryview(self._file.read(self._ends[stop] - start))
        ends = self._ends[first : stop + 1]
        return [pickle.loads(data[a - start : b - start]) for a, b in itertools.pairwise(ends)]


class ScratchColumn(Generic[S]):
    """Numbers that are added at the end and read from any place.

    Parameters
    ----------
    dtype : data type
        Type of the numbers, or of texts of one width.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._parts: list[npt.NDArray[S]] = []  # that are not in the file
        self._n_pending = 0
        self._n_written = 0
        self._file: IO[bytes] | None = None
        self._mapped: npt.NDArray[S] | None = None

    def __len__(self) -> int:
        return self._n_written + self._n_pending

    def append(self, values: npt.NDArray[S]) -> None:
        """Add an array of numbers at the end."""
        self._parts.append(np.ascontiguousarray(values, self._dtype))
        self._n_pending += len(values)
        self._mapped = None
        in_memory = _IN_MEMORY if self._file is None else _WRITTEN
        if self._n_pending * self._dtype.itemsize >= in_memory:
            self._write()

    def _write(self) -> None:
        with storage.naming(Path(tempfile.gettempdir())):
            if self._file is None:
                self._file = _scratch_file(self, 0)
            self._file.seek(0, os.SEEK_END)
            for part in self._parts:
                self._file.write(part.data)
            self._file.flush()
        self._n_written += self._n_pending
        self._parts, self._n_pending = [], 0

    @property
    def mapped(self) -> npt.NDArray[S]:
        """All numbers, (n,), of which nothing is read yet; what was taken of it stays valid.

        Pages of the file that are read from here count as memory of the process, and neighbours
        with them: `read` takes no more than it returns.
        """
        if self._mapped is None:
            self._mapped = self._whole() if self._file is None else self._of_file(self._file)
        return self._mapped

    def _whole(self) -> npt.NDArray[S]:
        """Return what is in memory, in one piece."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.zeros(0, self._dtype), *self._parts])]
        return self._parts[0]

    def _of_file(self, file: IO[bytes]) -> npt.NDArray[S]:
        self._write()
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), self._dtype)

    def read(self, first: int, n: int) -> npt.NDArray[S]:
        """Return n numbers from a place on, (n,)."""
        if self._file is None:
            return self._whole()[first : first + n]
        values: npt.NDArray[S] = np.empty(n, self._dtype)
        self._read_into(values, first)
        return values

    def _read_into(self, values: npt.NDArray[S], first: int) -> None:
        """Read contiguous numbers from a place on."""
        if self._file is None:
            values[...] = self._whole()[first : first + values.size].reshape(values.shape)
            return
        if self._parts:
            self._write()
        raw = self._raw_of(self._file)
        raw.seek(first * self._dtype.itemsize)
        if values.size and raw.readinto(values.view(np.uint8).data) != values.nbytes:
            raise OSError(errno.EIO, "scratch file is cut short", tempfile.gettempdir())

    @staticmethod
    def _raw_of(file: Any) -> Any:
        """Return the file without a buffer, which would be read whole for a few numbers."""
        return getattr(file, "_file", file).raw

    def rows(self, first: Int64s, n: Int32s | Int64s) -> npt.NDArray[S]:
        """Return n[i] numbers from the place first[i] on, for every i: (len(n), max(n)).

        What a row has less than others is zero. Rows that follow one another are read together.
        """
        width = int(n.max(initial=0))
        found: npt.NDArray[S] = np.zeros((len(n), width), self._dtype)
        if not width:
            return found
        is_next = (first[1:] == first[:-1] + n[:-1]) & (n[1:] == width) & (n[:-1] == width)
        begins = np.flatnonzero(np.concatenate([[True], ~is_next]))
        ends = [*begins[1:].tolist(), len(n)]
        for begin, end in zip(begins.tolist(), ends, strict=True):
            if end - begin > 1:
                self._read_into(found[begin:end], int(first[begin]))
            else:
                self._read_into(found[begin, : int(n[begin])], int(first[begin]))
        return found

    def take(self, places: Int32s | Int64s) -> npt.NDArray[S]:
        """Return the numbers at some places, (len(places),); the column is read once, in pieces."""
        found: npt.NDArray[S] = np.empty(len(places), self._dtype)
        for start in range(0, len(self), _N_TAKEN):
            is_here = np.flatnonzero((places >= start) & (places < start + _N_TAKEN))
            piece = self.read(start, min(_N_TAKEN, len(self) - start))
            found[is_here] = piece[places[is_here] - start]
        return found


class ComparedTexts:
    """Texts that are only compared with each other: 16 bytes each, whatever their length.

    Parameters
    ----------
    texts : iterable of str
        The first of them.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._digests = bytearray()
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add a text at the end."""
        data = text.encode("utf-8", "surrogatepass")
        self._digests += hashlib.blake2b(data, digest_size=_N_DIGEST).digest()

    def __len__(self) -> int:
        return len(self._digests) // _N_DIGEST

    @property
    def digests(self) -> npt.NDArray[np.bytes_]:
        """What stands for each text, (n,) ``S16``."""
        return np.frombuffer(bytes(self._digests), f"S{_N_DIGEST}")

    def numbers(self) -> Int32s:
        """Return a number for each text, (n,), the same for the same text, from 0."""
        numbers: Int32s = np.unique(self.digests, return_inverse=True)[1].astype(np.int32)
        return numbers

    def firsts(self) -> Int64s:
        """Return for each text the place of the first one that is the same, (n,)."""
        _, first, inverse = np.unique(self.digests, return_index=True, return_inverse=True)
        return first[inverse]

    def first_repeated(self) -> int | None:
        """Return the place of the first text that has come before, or None."""
        places = np.flatnonzero(self.firsts() != np.arange(len(self)))
        return int(places[0]) if len(places) else None

    def places_in(self, others: ComparedTexts) -> Int64s:
        """Return the place of each text among others, (n,); -1 where it is none of them.

        Of others that are the same it is the last one.
        """
        known, wanted = others.digests, self.digests
        if not len(known):
            return np.full(len(wanted), -1, np.int64)
        order = np.argsort(known, kind="stable")
        places = order[np.searchsorted(known, wanted, side="right", sorter=order) - 1]
        return np.where(known[places] == wanted, places, -1)


class ScratchMapping(Mapping[str, R]):
    """Records by their names, of which a hash is in memory.

    Parameters
    ----------
    items : iterable of (str, object)
        Name and record; of several with one name the last counts.
    """

    def __init__(self, items: Iterable[tuple[str, R]]) -> None:
        self._records, names = ScratchRecords[tuple[str, R]](), ComparedTexts()
        for item in items:
            self._records.append(item)
            names.append(item[0])
        digests = names.digests
        order = np.argsort(digests, kind="stable")
        is_last = np.ones(len(order), bool)
        is_last[:-1] = digests[order[1:]] != digests[order[:-1]]
        self._places = order[is_last].astype(np.int32)
        self._digests = digests[self._places]

    def __getitem__(self, name: str) -> R:
        (digest,) = ComparedTexts([name]).digests
        place = int(np.searchsorted(self._digests, digest))
        if place == len(self) or self._digests[place] != digest:
            raise KeyError(name)
        return self._records[int(self._places[place])][1]

    def __iter__(self) -> Iterator[str]:
        return (self._records[place][0] for place in np.sort(self._places).tolist())

    def __len__(self) -> int:
        return len(self._places)


def prefix_of(text: str) -> bytes:
    """Return the beginning of a text in bytes that sort as texts do, for `text_order`."""
    return text.encode("utf-8", "surrogatepass")[:N_PREFIX]


def prefixes_of(texts: Iterable[str]) -> npt.NDArray[np.bytes_]:
    """Return the `prefix_of` each text, (n,) ``S48``."""
    prefixes = bytearray()
    for text in texts:
        prefixes += prefix_of(text).ljust(N_PREFIX, b"\0")
    return np.frombuffer(bytes(prefixes), f"S{N_PREFIX}")


def text_order(prefixes: npt.NDArray[np.bytes_], text_of: Callable[[int], str]) -> Int64s:
    """Return the order of some texts, of which only a few are read; equal ones keep theirs.

    Parameters
    ----------
    prefixes : numpy.ndarray
        (n,) ``S48``, what `prefix_of` gives of each.
    text_of : callable
        Returns a whole text; asked where prefixes are equal.

    Returns
    -------
    numpy.ndarray
        (n,) int64, numbers of the texts in the order in which Python sorts them.
    """
    order: Int64s = np.argsort(prefixes, kind="stable")
    is_tied = np.zeros(len(order) + 1, bool)  # with the one before
    for start in range(1, len(order), _N_COMPARED):
        stop = min(start + _N_COMPARED, len(order))
        is_tied[start:stop] = prefixes[order[start:stop]] == prefixes[order[start - 1 : stop - 1]]
    edges = np.flatnonzero(np.diff(is_tied.astype(np.int8)))
    for first, last in edges.reshape(-1, 2).tolist():
        tied = order[first : last + 1]
        tied[:] = sorted(tied.tolist(), key=text_of)
    return order


def in_order(records: ScratchRecords[R], key: Callable[[R], str]) -> Iterator[R]:
    """Yield records in the order of a text of each; equal ones keep theirs."""
    prefixes = prefixes_of(map(key, records))
    order = text_order(prefixes, lambda number: key(records[number]))
    return map(records.__getitem__, order.tolist())
