"""Writing FLAC, with libFLAC where there is one: the only file that touches it.

libsndfile writes FLAC too, in twice the time. What it cannot switch off is the MD5 of the samples
in the header, most of the work where a stem is silent. Files written by libFLAC here have none,
which the format allows ("unknown", RFC 9639, section 8.2); ``flac -t`` says so in a warning. Each
frame has its CRC, and each file its SHA-256 in the manifest. `with_md5` fills in the MD5 where a
file is for others.

Where no libFLAC is found, libsndfile writes the same samples as other bytes. So the manifest names
the encoder, and a stem has a hash of its samples (`SampleHash`) beside that of its file.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import soundfile
from stemsmith.manifests.audio.native import find_library
from stemsmith.manifests.errors import InvalidCorpus, UsageError

__all__ = [
    "VARIABLE",
    "SampleHash",
    "encode_flac",
    "encoder_version",
    "encoder_warnings",
    "encoding_flac",
    "with_md5",
]

VARIABLE: Final = "STEMSMITH_LIBFLAC"
_LEVEL: Final = 3  # libFLAC's default, 5, takes a tenth longer and saves 1 % of stems' bytes
_PIECE: Final = 1 << 16  # samples converted at a time, so that they stay in the cache
_DONE, _FAILED = 0, 1  # what callbacks return
_MARKER: Final = b"fLaC"
_STREAMINFO: Final = (b"\x00", b"\x80")  # type of the first block; the top bit says it is the last
_MD5: Final = slice(26, 42)  # of the samples: the last 16 bytes of STREAMINFO, the first block

_Pointer = ctypes.c_void_p
_Write = ctypes.CFUNCTYPE(
    ctypes.c_int, _Pointer, _Pointer, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32, _Pointer
)
_Seek = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_uint64, _Pointer)
_Tell = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.POINTER(ctypes.c_uint64), _Pointer)
_PROTOTYPES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "new": (_Pointer, []),
    "delete": (None, [_Pointer]),
    "set_do_md5": (ctypes.c_int, [_Pointer, ctypes.c_int]),
    "set_streamable_subset": (ctypes.c_int, [_Pointer, ctypes.c_int]),
    "set_compression_level": (ctypes.c_int, [_Pointer, ctypes.c_uint32]),
    "set_channels": (ctypes.c_int, [_Pointer, ctypes.c_uint32]),
    "set_bits_per_sample": (ctypes.c_int, [_Pointer, ctypes.c_uint32]),
    "set_sample_rate": (ctypes.c_int, [_Pointer, ctypes.c_uint32]),
    "init_stream": (ctypes.c_int, [_Pointer, _Write, _Seek, _Tell, _Pointer, _Pointer]),
    "process": (ctypes.c_int, [_Pointer, ctypes.POINTER(_Pointer), ctypes.c_uint32]),
    "finish": (ctypes.c_int, [_Pointer]),
}

Integers = npt.NDArray[np.int16] | npt.NDArray[np.int32]


class SampleHash:
    """SHA-256 of samples, whatever format they are stored in.

    It is that of little-endian integers, channels interleaved: of 16 bits for samples of 16 bits,
    of 32 for samples of 24. ``sha256(soundfile.read(path, dtype="int16")[0].astype("<i2"))`` is
    that of a 16-bit file; for 24 bits it is ``(read(path, dtype="int32")[0] >> 8).astype("<i4")``.

    Parameters
    ----------
    n_bits : int
        16 or 24.
    """

    def __init__(self, n_bits: int) -> None:
        self._type = np.dtype("<i2" if n_bits == 16 else "<i4")
        self._sha256 = hashlib.sha256()

    def update(self, samples: Integers) -> None:
        """Go on with the next (n_channels, n_samples) integers."""
        if samples.dtype == np.int16 and len(samples) == 2 and self._type == "<i2":
            # A left and a right one are an integer of 32 bits: three times as fast as a transpose.
            left, right = samples.view(np.uint16).astype("<u4")
            self._sha256.update((left | right << np.uint32(16)).data)
        else:
            self._sha256.update(np.ascontiguousarray(samples.T, self._type).data)

    def hexdigest(self) -> str:
        """Return the digest of all samples up to now."""
        return self._sha256.hexdigest()


def encoder_version() -> dict[str, str]:
    """Return name and version of the library that writes FLAC, for manifests."""
    library = _libflac()
    if library is None:
        return {"libsndfile": soundfile.__libsndfile_version__}
    text = ctypes.c_char_p.in_dll(library, "FLAC__VERSION_STRING").value
    return {"libflac": (text or b"unknown").decode()}


def encoder_warnings() -> tuple[str, ...]:
    """Return the line about a lack of libFLAC that a command says once; none if there is one."""
    if _libflac() is not None:
        return ()
    return (
        "no libFLAC found, so that libsndfile writes FLAC, in twice the time; "
        f"install pygame-ce, or set {VARIABLE} to the library's path",
    )


def encode_flac(samples: Integers, sample_rate: int, n_bits: int = 16) -> bytes:
    """Return samples as a FLAC file.

    Parameters
    ----------
    samples : numpy.ndarray
        (n_channels, n_samples) integers of `n_bits`.
    sample_rate : int
        Sample rate of the audio in Hz.
    n_bits : int
        16 or 24.

    Raises
    ------
    UsageError
        As `encoding_flac` does.
    """
    encoded = io.BytesIO()
    with encoding_flac(encoded, sample_rate, len(samples), n_bits) as encode:
        encode(samples)
    return encoded.getvalue()


@contextmanager
def encoding_flac(
    file: BinaryIO, sample_rate: int, n_channels: int, n_bits: int
) -> Iterator[Callable[[Integers], None]]:
    """Write a FLAC file block by block.

    Parameters
    ----------
    file : BinaryIO
        Open for writing, and seekable.
    sample_rate, n_channels, n_bits : int
        Rate in Hz, channels, and bits of a sample.

    Yields
    ------
    callable
        Takes (n_channels, n_samples) integers of `n_bits`, one block after the other.

    Raises
    ------
    OSError
        Whatever writing to `file` raises.
    UsageError
        If FLAC has no such rate or not so many channels, or the libFLAC that was asked for cannot
        be loaded.
    """
    library = _libflac()
    sink = _Sink(file)
    if library is None:
        encoding = _by_libsndfile(sink, sample_rate, n_channels, n_bits)
    else:
        encoding = _by_libflac(library, sink, sample_rate, n_channels, n_bits)
    with encoding as encode:
        yield encode


def with_md5(data: bytes, name: str) -> bytes:
    """Return a FLAC file that has the MD5 of its samples in its header, so that tools check it.

    Sixteen bytes change and no sample: the file is decoded once, and not encoded again. A file that
    has an MD5 stays as it is.

    Parameters
    ----------
    data : bytes
        Content of a FLAC file.
    name : str
        What to call it in an error.

    Returns
    -------
    bytes
        The same file, of the same length. The MD5 is that of the samples as little-endian
        integers of as few whole bytes as hold them, channels interleaved (RFC 9639, section 8.2).

    Raises
    ------
    InvalidCorpus
        If it is no FLAC file, or cannot be decoded to its end.
    """
    if data[:4] != _MARKER or data[4:5] not in _STREAMINFO or len(data) < _MD5.stop:
        raise InvalidCorpus(f"{name}: not a FLAC file")
    if any(data[_MD5]):
        return data
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            n_bits = ((data[20] & 1) << 4 | data[21] >> 4) + 1
            left = file.frames
            while left > 0:
                frames = file.read(min(left, _PIECE), dtype="int32", always_2d=True)
                if not len(frames):
                    raise InvalidCorpus(f"{name}: cannot be decoded: {left} samples missing")
                digest.update(_as_bytes(frames, n_bits))
                left -= len(frames)
    except soundfile.LibsndfileError as error:
        raise InvalidCorpus(f"{name}: cannot be decoded: {error}") from error
    return b"".join((data[: _MD5.start], digest.digest(), data[_MD5.stop :]))


def _as_bytes(frames: npt.NDArray[np.int32], n_bits: int) -> bytes:
    """Return (n_frames, n_channels) integers as FLAC's MD5 takes them; they fill the upper bits."""
    n_bytes = -(-n_bits // 8)
    samples = (frames >> (32 - n_bits)).astype("<i4")
    return samples.view(np.uint8).reshape(*frames.shape, 4)[..., :n_bytes].tobytes()


def _refused(n_channels: int, sample_rate: int) -> UsageError:
    return UsageError(f"{n_channels} channels at {sample_rate} Hz: not in a FLAC file; take WAV")


@contextmanager
def _by_libflac(
    library: Any, sink: _Sink, sample_rate: int, n_channels: int, n_bits: int
) -> Iterator[Callable[[Integers], None]]:
    # Not kept by the sink: a circle would keep the whole file until somebody looks for circles.
    callbacks = _Write(sink.write), _Seek(sink.seek), _Tell(sink.tell)
    encoder = library.FLAC__stream_encoder_new()
    if not encoder:
        raise MemoryError("libFLAC has no memory for an encoder")
    try:
        for setting, value in {
            "do_md5": 0,
            "streamable_subset": 0,  # it knows a few rates only
            "compression_level": _LEVEL,
            "channels": n_channels,
            "bits_per_sample": n_bits,
            "sample_rate": sample_rate,
        }.items():
            getattr(library, f"FLAC__stream_encoder_set_{setting}")(encoder, value)
        if library.FLAC__stream_encoder_init_stream(encoder, *callbacks, None, None):
            sink.check()
            raise _refused(n_channels, sample_rate)

        def encode(samples: Integers) -> None:
            for start in range(0, samples.shape[1], _PIECE):
                piece = np.ascontiguousarray(samples[:, start : start + _PIECE], np.int32)
                rows = (_Pointer * n_channels)(*(row.ctypes.data for row in piece))
                if not library.FLAC__stream_encoder_process(encoder, rows, piece.shape[1]):
                    sink.check()
                    raise ValueError(f"a sample is beyond {n_bits} bits")

        yield encode
        library.FLAC__stream_encoder_finish(encoder)
        sink.check()
    finally:
        library.FLAC__stream_encoder_delete(encoder)


@contextmanager
def _by_libsndfile(
    sink: _Sink, sample_rate: int, n_channels: int, n_bits: int
) -> Iterator[Callable[[Integers], None]]:
    if sample_rate >= 1 << 16 and sample_rate % 10:  # not "streamable", which it insists on
        raise _refused(n_channels, sample_rate)
    try:
        file = soundfile.SoundFile(
            _SinkFile(sink), "w", sample_rate, n_channels, f"PCM_{n_bits}", format="FLAC"
        )
    except (soundfile.LibsndfileError, ValueError):
        sink.check()
        raise _refused(n_channels, sample_rate) from None
    full = 1 << (n_bits - 1)

    def encode(samples: Integers) -> None:
        for start in range(0, samples.shape[1], _PIECE):
            piece = samples[:, start : start + _PIECE].astype(np.int32)
            if not -full <= piece.min() <= piece.max() < full:
                raise ValueError(f"a sample is beyond {n_bits} bits")
            try:
                file.write(np.ascontiguousarray(piece.T) << (32 - n_bits))
            finally:
                sink.check()  # rather than whatever libsndfile says to it

    try:
        yield encode
    finally:
        file.close()
    sink.check()


class _Sink:
    """A file for a C library: it keeps the first error, since none can pass through C."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def write(self, _: int, data: int, n_bytes: int, *__: int) -> int:
        return self.attempt("write", ctypes.string_at(data, n_bytes))

    def seek(self, _: int, offset: int, __: int) -> int:
        return self.attempt("seek", offset)

    def tell(self, _: int, offset: Any, __: int) -> int:
        offset[0] = self.position()
        return _DONE

    def position(self) -> int:
        """Return where the file is."""
        return self._file.tell()

    def attempt(self, method: str, *arguments: bytes | int) -> int:
        """Call a method of the file, and no more after the first error."""
        if self._error is not None:
            return _FAILED
        try:
            getattr(self._file, method)(*arguments)
        except BaseException as error:  # raised again by `check`
            self._error = error
            return _FAILED
        return _DONE

    def check(self) -> None:
        """Raise the first error."""
        if self._error is not None:
            raise self._error


class _SinkFile:
    """The methods of a file that soundfile calls, by way of a sink."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        return len(data) if self._sink.attempt("write", data) == _DONE else 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._sink.attempt("seek", offset, whence)
        return self.tell()

    def tell(self) -> int:
        return self._sink.position()


@cache
def _libflac() -> Any:
    """Return the library, or None if there is none: not even one that was asked for."""
    name = find_library("FLAC", VARIABLE)
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        if not os.environ.get(VARIABLE):
            return None
        raise UsageError(
            f"libFLAC cannot be loaded from {name}: {error}; "
            f"install pygame-ce, or set {VARIABLE} to the library's path"
        ) from error
    for function, (result, arguments) in _PROTOTYPES.items():
        prototype = getattr(library, f"FLAC__stream_encoder_{function}")
        prototype.restype, prototype.argtypes = result, arguments
    return library
