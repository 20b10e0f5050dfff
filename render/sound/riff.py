"""RIFF files, which SoundFonts are: chunks of a type, a length and a content, one after another.

Reference: SoundFont Technical Specification 2.04, section 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Chunk", "DamagedRiff", "chunks", "form_of"]

_HEAD: Final = struct.Struct("<4sL")


class DamagedRiff(Exception):
    """The file does not hold what its headers say; the text says what."""


class Chunk(NamedTuple):
    """Where a chunk lies.

    Attributes
    ----------
    kind : bytes
        Its type: four characters.
    start : int
        Position of its content in the file.
    n_bytes : int
        Length of the content, as the file says; it may well say more than there is.
    """

    kind: bytes
    start: int
    n_bytes: int


def form_of(file: BinaryIO) -> bytes:
    """Read the first 12 bytes of a file; return the form of a RIFF file, else nothing."""
    head = file.read(12)
    return head[8:] if head[:4] == b"RIFF" else b""


def chunks(file: BinaryIO, end: int) -> Iterator[Chunk]:
    """Yield the chunks from where a file stands to a position.

    Whenever one is yielded, the file stands at its content; it may be moved.

    Parameters
    ----------
    file : binary file
        At the head of a chunk.
    end : int
        Where the chunks end: the end of the file, or of the chunk that holds them.

    Raises
    ------
    DamagedRiff
        If the file ends within the head of a chunk, before `end`.
    """
    position = file.tell()
    while position + _HEAD.size <= end:
        file.seek(position)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise DamagedRiff("a chunk is cut off")
        kind, n_bytes = _HEAD.unpack(head)
        start = position + _HEAD.size
        yield Chunk(kind, start, n_bytes)
        position = start + n_bytes
        if n_bytes % 2:  # padded to an even length with a zero byte, which some writers leave out
            file.seek(position)
            position += file.read(1) == b"\0"
