"""Tar shards as `stemsmith mix` writes them: plain files in the USTAR format, and nothing else.

Python's ``tarfile`` also reads links, devices, sparse files and headers that change other headers.
A shard of ours has none of them, and one that has is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from stemsmith.manifests.errors import InvalidCorpus

__all__ = ["TarMember", "read_members"]

_BLOCK: Final = 512  # bytes, of which a tar file consists
_BUFFER: Final = 1 << 16  # bytes that are read at once, of which the headers matter alone
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
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            n_bytes = file.seek(0, 2)
            return dict(_members(path, file, n_bytes))
    except OSError as error:
        raise InvalidCorpus(f"{path}: cannot be read as tar: {error.strerror}") from error


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
        offset += -(-size // _BLOCK) * _BLOCK


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
