"""Files of any length, written block by block, that have their name when they are whole."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.flac import encoding_flac
from stemsmith.manifests.audio.formats import FileFormat
from stemsmith.manifests.audio.read import (
    FULL_SCALE_16,
    FULL_SCALE_24,
    AudioInfo,
)
from stemsmith.manifests.errors import UsageError

__all__ = ["check_format", "writing"]

Write = Callable[[Float32s], object]


def check_format(info: AudioInfo, file_format: FileFormat) -> None:
    """Check that a file can hold what it is to hold: worth finding out before long work.

    Raises
    ------
    UsageError
        If it would be longer, or have more channels or a higher rate, than the format allows.
    """
    if file_format is FileFormat.FLAC:
        with encoding_flac(io.BytesIO(), info.sample_rate, info.n_channels, _FLAC_BITS):
            pass
    else:
        _wav_header(info, file_format)


@contextmanager
def writing(path: Path, info: AudioInfo, file_format: FileFormat) -> Iterator[Write]:
    """Open a file that has its name only when the body has ended without an error.

    Parameters
    ----------
    path : Path
        Path of the file to write.
    info : AudioInfo
        What it is going to hold.
    file_format : FileFormat
        Format of the file that is written.

    Yields
    ------
    callable
        Takes (n_channels, n_samples) float32, one block after the other.

    Raises
    ------
    OSError
        If it cannot be written, naming it.
    UsageError
        As `check_format` does.
    """
    # Made first: it may be refused.
    header = b"" if file_format is FileFormat.FLAC else _wav_header(info, file_format)
    with storage.atomic_file(path) as file:
        if file_format is FileFormat.FLAC:
            with encoding_flac(file, info.sample_rate, info.n_channels, _FLAC_BITS) as encode:
                yield lambda block: encode(_integers(block, FULL_SCALE_24))
        else:
            file.write(header)
            yield lambda block: file.write(_wav_data(block, file_format))


_FLAC_BITS: Final = 24
_WAV_TYPES: Final = {FileFormat.WAV: "<f4", FileFormat.WAV16: "<i2"}
_WAV_LIMIT: Final = 1 << 32  # what a size, and bytes per second, are below
_N_SAMPLES_AT: Final = 46  # in the chunk "fact" that files of floats have


def _integers(block: Float32s, full_scale: int) -> npt.NDArray[np.int32]:
    """Round k / full_scale to k."""
    scaled = np.rint(block.astype(np.float64) * full_scale)
    return np.clip(scaled, -full_scale, full_scale - 1).astype(np.int32)


def _wav_data(block: Float32s, file_format: FileFormat) -> bytes:
    values = _integers(block, FULL_SCALE_16) if file_format.is_integer else block
    return values.T.astype(_WAV_TYPES[file_format]).tobytes()


def _wav_header(info: AudioInfo, file_format: FileFormat) -> bytes:
    """Return a file of nothing, in the format of `encode_wav`, with the sizes of what is to come.

    Raises
    ------
    UsageError
        If they, or the rate, are too large for it.
    """
    from scipy.io import wavfile  # takes long, as said in `encode_wav`

    kind = np.dtype(_WAV_TYPES[file_format])
    n_bytes_of_time = info.n_channels * kind.itemsize
    n_bytes = n_bytes_of_time * info.n_samples
    if n_bytes_of_time * info.sample_rate >= _WAV_LIMIT:
        raise UsageError(f"{info.n_channels} channels at {info.sample_rate} Hz: not in a WAV file")
    encoded = io.BytesIO()
    wavfile.write(encoded, info.sample_rate, np.zeros((0, info.n_channels), kind))
    header = bytearray(encoded.getvalue())
    if len(header) + n_bytes >= _WAV_LIMIT:
        raise UsageError("longer than a WAV file can be (4 GiB); take FLAC")
    struct.pack_into("<I", header, 4, len(header) - 8 + n_bytes)
    struct.pack_into("<I", header, len(header) - 4, n_bytes)
    if not file_format.is_integer:
        struct.pack_into("<I", header, _N_SAMPLES_AT, info.n_samples)
    return bytes(header)
