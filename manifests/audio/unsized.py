"""Files whose headers do not say how long they are, decoded to their end by PyAV.

An MP3 without a Xing header has no length, and what libsndfile makes of its size and first frame
is an estimate: a third of the file where the bit rate varies. A FLAC that a pipe wrote has the
total 0, for "unknown", a WAV whose writer was killed has sizes of nothing, and of several Oggs in
one file libsndfile knows the first. Other files have a length that can be trusted: they are
libsndfile's, and so are their samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio import stem_mp4
from stemsmith.manifests.errors import InvalidCorpus, Unreadable

__all__ = ["format_if_unsized", "is_mpeg", "unsized_blocks", "unsized_info", "unsized_whole"]

_WHY: Final = "its header does not say how long it is; decoding it to its end"
_N_KEPT: Final = 4  # whole recordings, as of .mp4 files
_UNKNOWN: Final = 1 << 62  # samples, at least, that libsndfile makes of a total that is not there
_N_HEAD: Final = 1 << 16
_HAS_FRAMES, _HAS_BYTES = 1, 2  # flags of a Xing header
_MPEG_1: Final = 3
_PAGE: Final = b"OggS"
_BEGINS: Final = 2  # flag of a page: the first one of a stream


def is_mpeg(head: bytes) -> bool:
    """Tell from its first four bytes whether a file is MPEG audio, which mpg123 decodes."""
    return head[:3] == b"ID3" or _is_frame(head)


def format_if_unsized(path: Path, kind: str, n_samples: int) -> str | None:
    """Return what ffmpeg calls the format of a file whose length is not certain, and else None.

    Parameters
    ----------
    path : Path
        A file that libsndfile opens.
    kind : str
        What libsndfile calls its format.
    n_samples : int
        Its length as libsndfile has it.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if kind == "FLAC":
        return "flac" if n_samples >= _UNKNOWN else None
    if kind not in ("MP3", "OGG", "WAV", "WAVEX") or (kind.startswith("WAV") and n_samples):
        return None
    with places.opened(path) as file:
        if kind == "MP3":
            return None if _is_sized_mpeg(file) else "mp3"
        if kind == "OGG":
            return "ogg" if _is_chained_ogg(file, places.size_of(path)) else None
        (n_riff,) = struct.unpack("<I", file.read(8)[4:].ljust(4, b"\0"))
        return "wav" if n_riff + 8 < places.size_of(path) else None


def _is_frame(head: bytes) -> bool:
    """Tell whether bytes begin with the header of an MPEG audio frame."""
    return (
        len(head) >= 3
        and head[0] == 0xFF
        and head[1] & 0xE0 == 0xE0
        and head[1] & 0x18 != 0x08  # a reserved version
        and head[1] & 0x06 != 0  # a reserved layer
        and head[2] & 0xF0 != 0xF0
    )


def _is_sized_mpeg(file: BinaryIO) -> bool:
    """Tell whether the first frame says how many there are, and is right about where they end."""
    start = _end_of_tags(file)
    file.seek(start)
    head = file.read(_N_HEAD)
    first = next((k for k in range(len(head) - 3) if _is_frame(head[k : k + 4])), None)
    if first is None:
        return False
    is_mono, version = head[first + 3] >> 6 == 3, head[first + 1] >> 3 & 3
    side = (17 if is_mono else 32) if version == _MPEG_1 else (9 if is_mono else 17)
    xing = first + 4 + side
    if head[xing : xing + 4] not in (b"Xing", b"Info") or len(head) < xing + 16:
        return False
    flags, _, second = struct.unpack(">III", head[xing + 4 : xing + 16])
    if not flags & _HAS_FRAMES:
        return False
    if not flags & _HAS_BYTES:
        return True
    file.seek(start + first + second)  # another recording may be appended
    return not is_mpeg(file.read(4))


def _is_chained_ogg(file: BinaryIO, n_bytes: int) -> bool:
    """Tell whether the last page belongs to a stream that the first pages did not begin.

    Recordings of internet radio are such files, one stream a title; libsndfile ends at the first.
    """
    head = file.read(_N_HEAD)
    begun: set[bytes] = set()
    start = 0
    while head[start : start + 4] == _PAGE and head[start + 5] & _BEGINS:
        begun.add(head[start + 14 : start + 18])
        n_segments = head[start + 26]
        start += 27 + n_segments + sum(head[start + 27 : start + 27 + n_segments])
        if len(head) < start + 27:
            break
    file.seek(max(0, n_bytes - 2 * _N_HEAD))
    tail = file.read()
    last = tail.rfind(_PAGE)
    serial = tail[last + 14 : last + 18]
    return last >= 0 and len(serial) == 4 and serial not in begun


def _end_of_tags(file: BinaryIO) -> int:
    """Return where the audio begins, after ID3 tags."""
    start = 0
    while True:
        file.seek(start)
        tag = file.read(10)
        if tag[:3] != b"ID3" or len(tag) < 10:
            return start
        n_bytes = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + n_bytes + (10 if tag[5] & 0x10 else 0)


def unsized_info(path: Path, kind: str) -> tuple[int, int, int]:
    """Return sample rate in Hz, channels and samples of a file, which is decoded to count them.

    Parameters
    ----------
    path : Path
        The file, as a user named it.
    kind : str
        Its format, as `format_if_unsized` names it.

    Raises
    ------
    InvalidCorpus
        If it cannot be decoded.
    UsageError
        If PyAV is not installed.
    """
    return _counted(path, kind, _modified_ns(path))


def unsized_blocks(path: Path, kind: str) -> Iterator[Float32s]:
    """Yield (n_channels, n_samples) float32 of a file, a frame at a time, up to its end.

    Raises
    ------
    InvalidCorpus, UsageError
        As `unsized_info` does.
    """
    with stem_mp4.opened(path, kind, _WHY) as container:
        if not container.streams.audio:
            raise InvalidCorpus(f"{path}: cannot be decoded: no audio in it")
        layout = container.streams.audio[0].codec_context.layout
        planar = stem_mp4.planar_floats(layout)
        for frame in container.decode(audio=0):
            for part in planar.resample(frame):
                yield part.to_ndarray()


def unsized_whole(path: Path, kind: str) -> Float32s:
    """Return all samples, (n_channels, n_samples) float32, read-only: kept for the next call.

    Raises
    ------
    InvalidCorpus, UsageError
        As `unsized_info` does.
    """
    return _whole(path, kind, _modified_ns(path))


@lru_cache(maxsize=1024)
def _counted(path: Path, kind: str, modified_ns: int) -> tuple[int, int, int]:
    with stem_mp4.opened(path, kind, _WHY) as container:
        streams = container.streams.audio
        sample_rate = int(streams[0].sample_rate) if streams else 0
    n_channels, n_samples = 0, 0
    for block in unsized_blocks(path, kind):
        n_channels, n_samples = len(block), n_samples + block.shape[1]
    if not n_samples or not sample_rate:
        raise InvalidCorpus(f"{path}: cannot be decoded: no audio in it")
    return sample_rate, n_channels, n_samples


@lru_cache(maxsize=_N_KEPT)
def _whole(path: Path, kind: str, modified_ns: int) -> Float32s:
    samples = np.concatenate(list(unsized_blocks(path, kind)), axis=1)
    samples.setflags(write=False)
    return samples


def _modified_ns(path: Path) -> int:
    """Return the time of a file, by which one that was written anew is known."""
    try:
        return places.status_of(path).changed_ns
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
