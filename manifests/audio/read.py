"""Reading samples: the only file that touches soundfile. For FLAC see `manifests.flac`.

A stem on disk is mono 16-bit FLAC, and the integer k stands for k / 32768 of full scale: reading
gives back exactly what was quantised.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio import stem_mp4
from stemsmith.manifests.errors import InvalidCorpus

__all__ = [
    "AUDIO_ENDINGS",
    "FULL_SCALE_16",
    "FULL_SCALE_24",
    "AudioInfo",
    "audio_info",
    "decode",
    "encode_wav",
    "is_audio",
    "read_blocks",
    "read_excerpt",
    "read_int16",
]

FULL_SCALE_16: Final = 32768
FULL_SCALE_24: Final = 1 << 23

# Formats that are headerless, or whose files are as often something else: MATLAB's variables, and
# Sound Designer's, whose header is a fork that only Macintoshes have.
_NO_AUDIO_BY_NAME: Final = frozenset({"RAW", "MAT4", "MAT5", "SD2"})
# Endings of a format beside its name in libsndfile.
_FURTHER_ENDINGS: Final = {
    "AIFF": ("aif", "aifc"),
    "AU": ("snd",),
    "IRCAM": ("sf",),
    "NIST": ("sph",),
    "OGG": ("oga", "opus"),
    "SVX": ("8svx", "iff"),
    "WAV": ("wave",),
}
AUDIO_ENDINGS: Final = frozenset(
    f".{ending}"
    for name in soundfile.available_formats()
    if name not in _NO_AUDIO_BY_NAME
    for ending in (name.lower(), *_FURTHER_ENDINGS.get(name, ()))
)


class AudioInfo(NamedTuple):
    """What a file says of its audio: rate in Hz, channels, samples of each channel."""

    sample_rate: int
    n_channels: int
    n_samples: int


def is_audio(path: Path) -> bool:
    """Tell by the ending of a file's name, in any case, whether libsndfile would read it."""
    return path.suffix.lower() in AUDIO_ENDINGS


def encode_wav(samples: Float32s, sample_rate: int) -> bytes:
    """Return samples as a 32-bit float WAV file, the same bytes for the same samples.

    Parameters
    ----------
    samples : numpy.ndarray
        Samples to write, (n_channels, n_samples) float32.
    sample_rate : int
        Sample rate in Hz.
    """
    # Not libsndfile, which stamps float files with the time of day (the PEAK chunk). Imported
    # here since it takes longer than all other imports of a worker together.
    from scipy.io import wavfile

    encoded = io.BytesIO()
    wavfile.write(encoded, sample_rate, samples.astype(np.float32, copy=False).T)
    return encoded.getvalue()


def decode(data: bytes, name: str) -> tuple[Float32s, int]:
    """Decode a file that lies in memory.

    Parameters
    ----------
    data : bytes
        Content of a file in any format that libsndfile reads.
    name : str
        What to call it in an error.

    Returns
    -------
    audio : numpy.ndarray
        (n_channels, n_samples) float32 as in `read_excerpt`.
    sample_rate : int
        Sample rate in Hz.

    Raises
    ------
    InvalidCorpus
        If it cannot be decoded.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return _read(file, Path(name), file.frames), file.samplerate
    except soundfile.LibsndfileError as error:
        raise InvalidCorpus(f"{name}: cannot be decoded: {error}") from error


def read_int16(path: Path) -> tuple[Int16s, int]:
    """Read a whole mono 16-bit file as integers.

    Returns
    -------
    samples : numpy.ndarray
        Samples as they lie on disk, (n_samples,) int16.
    sample_rate : int
        Sample rate in Hz.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged, or not mono 16-bit.
    """
    with _opened(path) as file:
        if file.channels != 1 or file.subtype != "PCM_16":
            raise InvalidCorpus(
                f"{path}: {file.channels} channels of {file.subtype}, not mono PCM_16"
            )
        return file.read(dtype="int16"), file.samplerate


def audio_info(path: Path, stream: int = 0) -> AudioInfo:
    """Return what a file says of its audio, without decoding it.

    Parameters
    ----------
    path : Path
        Whatever libsndfile reads, or ``.mp4``.
    stream : int
        0-based audio stream; other than 0 only in an ``.mp4``.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged, or has no such stream.
    UsageError
        If it is an ``.mp4`` and PyAV is not installed.
    """
    if _is_mp4(path):
        return AudioInfo(*stem_mp4.stream_info(path, stream))
    with _opened(path, stream) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames)


def read_excerpt(path: Path, start: int, n_samples: int, stream: int = 0) -> Float32s:
    """Read one stretch of a file.

    Parameters
    ----------
    path, stream : Path, int
        The file and its audio stream, as in `audio_info`.
    start, n_samples : int
        First sample and length, in samples of the file.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32, full scale at 1: 16-bit integers k are exactly k / 32768.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged, or ends before the stretch does; if `start` is negative.
    UsageError
        If it is an ``.mp4`` and PyAV is not installed.
    """
    if _is_mp4(path):
        whole = stem_mp4.decode_stream(path, stream)
        _check_inside(path, start, n_samples, whole.shape[1])
        return whole[:, start : start + n_samples].copy()
    with _opened(path, stream) as file:
        _check_inside(path, start, n_samples, file.frames)
        file.seek(start)
        return _read(file, path, n_samples)


def read_blocks(path: Path, n_block: int, stream: int = 0) -> Iterator[Float32s]:
    """Read a whole file block by block; memory is bounded unless it is an ``.mp4``.

    Parameters
    ----------
    path, stream : Path, int
        The file and its audio stream, as in `audio_info`.
    n_block : int
        Samples in a block.

    Yields
    ------
    numpy.ndarray
        (n_channels, n_block) float32 as in `read_excerpt`; the last one may be shorter.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged or cut.
    UsageError
        If it is an ``.mp4`` and PyAV is not installed.
    """
    if _is_mp4(path):
        whole = stem_mp4.decode_stream(path, stream)
        for start in range(0, whole.shape[1], n_block):
            yield whole[:, start : start + n_block].copy()
        return
    with _opened(path, stream) as file:
        for start in range(0, file.frames, n_block):
            yield _read(file, path, min(n_block, file.frames - start))


def _is_mp4(path: Path) -> bool:
    return path.suffix.lower() == ".mp4"


@contextmanager
def _opened(path: Path, stream: int = 0) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if stream:
                raise InvalidCorpus(f"{path}: has one audio stream, and none of number {stream}")
            yield file
    except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
        raise InvalidCorpus(f"{path}: cannot be decoded: {error}") from error


def _check_inside(path: Path, start: int, n_samples: int, n_file: int) -> None:
    if start < 0:
        raise InvalidCorpus(f"{path}: an excerpt cannot start at sample {start}")
    if start + n_samples > n_file:
        raise InvalidCorpus(
            f"{path}: ends at sample {n_file}, before the excerpt does ({start + n_samples})"
        )


def _read(file: soundfile.SoundFile, path: Path, n_samples: int) -> Float32s:
    frames: Float32s = file.read(n_samples, dtype="float32", always_2d=True)
    if len(frames) != n_samples:
        raise InvalidCorpus(f"{path}: cannot be decoded: {n_samples - len(frames)} samples missing")
    if file.channels == 1:
        return frames.reshape(1, n_samples)  # ascontiguousarray would copy it
    return np.ascontiguousarray(frames.T)
