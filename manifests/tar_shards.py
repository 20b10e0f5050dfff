"""Tar shards as stemsmith writes them: plain files in the USTAR format, and nothing else.

Python's ``tarfile`` also reads links, devices, sparse files and headers that change other headers.
A shard of ours has none of them, and one that has is somebody else's.

A tar has no directory: to find a member, the headers of all before it are read, each where the last
one ends. In an object store that is a request for each, and on a disk a seek. So the tars of
corpora begin with a list of their members, as a member called ``__index__``: one read finds any
file, there is no second file to lose or to be of another tar, and the hash of the tar is that of
the list, too. Readers of WebDataset pass over names of that kind.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from stemsmith.manifests.errors import InvalidCorpus

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

__all__ = [
    "INDEX",
    "TarIndex",
    "TarMember",
    "index_text",
    "read_index",
    "read_members",
    "writing_tar",
]

INDEX: Final = "__index__"

_BLOCK: Final = 512  # bytes, of which a tar file consists
_BUFFER: Final = 1 << 16  # bytes that are read at once, of which the headers matter alone
_RECORD: Final = 20 * _BLOCK  # bytes, of which it is a multiple: what tape drives wrote at once
_WIDTH: Final = 12  # digits of the numbers in an index, so that its size does not depend on them
_LINE: Final = re.compile(rb"([0-9]{12}) ([0-9]{12}) ")
_LARGEST_INDEX: Final = 1 << 28  # bytes; those of a million members have a quarter of that
_CHECKSUM: Final = slice(148, 156)
_MAGIC: Final = b"ustar\0"
_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
}


class TarMember(NamedTuple):
    """Where a file of a shard lies, in bytes of the shard."""

    offset: int
    n_bytes: int


class TarIndex:
    """Where the members of a tar are, as a text that is searched.

    A process may read from a thousand tars in turn: a text takes a quarter of the memory that a
    dictionary would, and is there as soon as it is read.

    Parameters
    ----------
    path : Path
        The tar, for errors.
    text : bytes
        Lines as `index_text` has them.
    n_bytes : int
        Size of the tar.
    """

    def __init__(self, path: Path, text: bytes, n_bytes: int) -> None:
        self._path, self.text, self._n_bytes = path, text, n_bytes

    def members(self) -> dict[str, TarMember]:
        """Return where all members are, by name.

        Raises
        ------
        InvalidCorpus
            If the index is damaged.
        """
        return dict(self._member(line) for line in self.text.split(b"\n")[:-1])

    def find(self, name: str) -> TarMember | None:
        """Return where a member is; None if there is none of this name.

        Raises
        ------
        InvalidCorpus
            If the index is damaged where the member is listed.
        """
        wanted, position = b" " + name.encode("utf-8", "surrogateescape") + b"\n", -1
        while (position := self.text.find(wanted, position + 1)) >= 0:
            start = self.text.rfind(b"\n", 0, position) + 1
            if position - start == 2 * _WIDTH + 1:  # and not the end of a name with a space in it
                return self._member(self.text[start : position + len(wanted) - 1])[1]
        return None

    def _member(self, line: bytes) -> tuple[str, TarMember]:
        """Return the name in a line of the text, and what it says."""
        numbers = _LINE.match(line)
        name = line[2 * _WIDTH + 2 :].decode("utf-8", "surrogateescape")
        member = TarMember(*map(int, numbers.groups())) if numbers else None
        if member is None or sum(member) > self._n_bytes:
            raise InvalidCorpus(f"{self._path}: has no {name!r} where its index says so")
        return name, member


def index_text(members: Sequence[tuple[str, int]]) -> bytes:
    """Return the content of the index that a tar begins with.

    Parameters
    ----------
    members : sequence of (str, int)
        Name and size in bytes of every file that follows the index, in their order.

    Returns
    -------
    bytes
        A line a member: where it begins in the tar, its size, both of twelve digits, and its name.
    """
    names = [name.encode("utf-8", "surrogateescape") for name, _ in members]
    offset = _BLOCK + _padded(sum(len(_line(name, 0, 0)) for name in names))
    lines = []
    for name, (_, n_bytes) in zip(names, members, strict=True):
        offset += _BLOCK
        lines.append(_line(name, offset, n_bytes))
        offset += _padded(n_bytes)
    return b"".join(lines)


def _line(name: bytes, offset: int, n_bytes: int) -> bytes:
    return b"%0*d %0*d %s\n" % (_WIDTH, offset, _WIDTH, n_bytes, name)


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _BLOCK) * _BLOCK


@contextmanager
def writing_tar(file: SupportsWrite[bytes]) -> Iterator[Callable[[str, bytes], None]]:
    """Write a tar that says nothing of who wrote it, and when; the same members, the same bytes.

    Parameters
    ----------
    file : file object
        Open for writing.

    Yields
    ------
    callable
        Takes the name of a member and its content, in the order of the tar.
    """
    n_written = 0

    def write(*parts: bytes) -> None:
        nonlocal n_written
        for part in parts:
            file.write(part)
            n_written += len(part)

    def add(name: str, content: bytes) -> None:
        header = tarfile.TarInfo(name)  # of no user, and of no time
        header.size, header.mode, header.mtime = len(content), 0o644, 0
        padding = bytes(_padded(len(content)) - len(content))
        write(header.tobuf(tarfile.USTAR_FORMAT), content, padding)

    yield add
    write(bytes(2 * _BLOCK))
    write(bytes(-n_written % _RECORD))


def read_index(path: Path) -> TarIndex:
    """Return where the members of a tar are: from the index that it begins with, if it has one.

    Raises
    ------
    InvalidCorpus
        If it is no tar file of ours, as `read_members` says. Where there is an index, only that is
        looked at.
    """
    with _reading(path), path.open("rb") as file:
        n_bytes = file.seek(0, 2)
        file.seek(0)
        first = file.read(_BLOCK)
        if first[: len(INDEX)] == INDEX.encode():
            name, size = _read_header(path, first)
            if name == INDEX:
                text = file.read(min(size, _LARGEST_INDEX))
                if len(text) != size:
                    raise InvalidCorpus(f"{path}: cannot be read as tar: its index is cut")
                return TarIndex(path, text, n_bytes)
    members = read_members(path).items()
    return TarIndex(path, b"".join(_line(name.encode(), *m) for name, m in members), n_bytes)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidCorpus(f"{path}: cannot be read as tar: {error.strerror}") from error


def read_members(path: Path) -> dict[str, TarMember]:
    """Return the files in a tar shard, by name.

    Parameters
    ----------
    path : Path
        A tar file that somebody says is a shard.

    Raises
    ------
    InvalidCorpus
        If it is no tar file, is cut, or has a member that no shard of ours has: a link or anything
        else that is no plain file, a name that is absolute, leads out of the shard or is there
        twice, or a size beyond its end. The text names the shard and the member.
    """
    with _reading(path), path.open("rb", buffering=_BUFFER) as file:
        n_bytes = file.seek(0, 2)
        return dict(_members(path, file, n_bytes))


def _members(path: Path, file: BinaryIO, n_bytes: int) -> Iterator[tuple[str, TarMember]]:
    offset, seen = 0, set[str]()
    while True:
        file.seek(offset)
        header = file.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        if len(header) < _BLOCK:
            raise InvalidCorpus(f"{path}: cannot be read as tar: it has no end")
        name, size = _read_header(path, header)
        if name in seen:
            raise InvalidCorpus(f"{path}: has two members {name!r}")
        seen.add(name)
        offset += _BLOCK
        if size > n_bytes - offset:
            raise InvalidCorpus(f"{path}: {name!r} ends beyond the end of the file")
        yield name, TarMember(offset, size)
        offset += _padded(size)


def _read_header(path: Path, header: bytes) -> tuple[str, int]:
    """Return name and size of a member."""
    blank = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    if header[257:263] != _MAGIC or _number(path, header[_CHECKSUM]) != sum(blank):
        raise InvalidCorpus(f"{path}: cannot be read as tar: a header is damaged")
    prefix, name = header[345:500].rstrip(b"\0"), header[:100].rstrip(b"\0")
    try:
        text = (prefix + b"/" + name if prefix else name).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidCorpus(f"{path}: a member has a name that is no text") from None
    if (kind := header[156:157]) != b"0":
        what = _KINDS.get(kind, f"of a kind {kind!r}")
        raise InvalidCorpus(f"{path}: {text!r} is {what}; a shard has plain files only")
    if {"", ".."} & set(text.split("/")) or set(text) & set("\\\0"):
        raise InvalidCorpus(f"{path}: {text!r} is no name of a member: it leads out of the shard")
    return text, _number(path, header[124:136])


def _number(path: Path, field: bytes) -> int:
    digits = field.rstrip(b" \0").lstrip(b" ")
    if not digits or digits.strip(b"01234567"):
        raise InvalidCorpus(f"{path}: cannot be read as tar: a header has no number in its place")
    return int(digits, 8)
