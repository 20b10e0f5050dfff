"""Reading samples: the only file that touches soundfile. For FLAC see `manifests.flac`.

A stem on disk is mono 16-bit FLAC, and the integer k stands for k / 32768 of full scale: reading
gives back exactly what was quantised. Files whose length is not certain are decoded to their end
(`unsized`), and so are ``.mp4`` and ``.m4a`` (`stem_mp4`).
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import soundfile
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio import stem_mp4
from stemsmith.manifests.audio.unsized import (
    format_if_unsized,
    is_mpeg,
    unsized_blocks,
    unsized_info,
    unsized_whole,
)
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError

__all__ = [
    "AUDIO_ENDINGS",
    "FULL_SCALE_16",
    "FULL_SCALE_24",
    "MP3_RATES",
    "AudioInfo",
    "audio_info",
    "decode",
    "encode_mp3",
    "encode_wav",
    "is_audio",
    "read_blocks",
    "read_excerpt",
    "read_int16",
]

FULL_SCALE_16: Final = 32768
FULL_SCALE_24: Final = 1 << 23
MP3_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # in Hz

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
_MP4_ENDINGS: Final = frozenset({".mp4", ".m4a"})
# A film is called .mp4 too: only who names one, as MUSDB18's layout does, means its sound.
AUDIO_ENDINGS: Final = frozenset({".m4a"}) | frozenset(
    f".{ending}"
    for name in soundfile.available_formats()
    if name not in _NO_AUDIO_BY_NAME
    for ending in (name.lower(), *_FURTHER_ENDINGS.get(name, ()))
)


_STDERR: Final = 2  # its file descriptor, which decoders in C write to
_STANDARD_ERROR: Final = threading.Lock()


class AudioInfo(NamedTuple):
    """What a file says of its audio: rate in Hz, channels, samples of each channel."""

    sample_rate: int
    n_channels: int
    n_samples: int


def is_audio(path: Path) -> bool:
    """Tell by the ending of a file's name, in any case, whether it is audio that can be read.

    These are the endings that libsndfile reads, and ``.m4a``, which needs PyAV.
    """
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


def encode_mp3(samples: Float32s, sample_rate: int, compression: float = 0.6) -> bytes:
    """Return samples as an MP3 file of variable bit rate, the same bytes for the same samples.

    Parameters
    ----------
    samples : numpy.ndarray
        (n_channels, n_samples) float32 of one or two channels, full scale at 1.
    sample_rate : int
        One of `MP3_RATES`, in Hz.
    compression : float
        Between 0, the best sound, and 1, the smallest file. A stem of one channel at 44.1 kHz
        takes about 42 kbit/s at the default.

    Raises
    ------
    UsageError
        If the libsndfile that is installed cannot write MP3.
    """
    if "MP3" not in soundfile.available_formats():
        raise UsageError(
            f"libsndfile {soundfile.__libsndfile_version__} writes no MP3, which pages need; "
            "the wheel of the package soundfile brings one that does"
        )
    encoded = io.BytesIO()
    soundfile.write(
        encoded,
        samples.T,
        sample_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=compression,
        bitrate_mode="VARIABLE",
    )
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
        with _silenced(is_mpeg(data[:4])), soundfile.SoundFile(io.BytesIO(data)) as file:
            return _read(file, Path(name), file.frames), file.samplerate
    except soundfile.LibsndfileError as error:
        raise InvalidCorpus(f"{name}: cannot be decoded: {error}") from error


def read_int16(path: Path) -> tuple[Int16s, int]:
    """Read a whole 16-bit file as integers.

    Returns
    -------
    samples : numpy.ndarray
        Samples as they lie on disk, (n_channels, n_samples) int16.
    sample_rate : int
        Sample rate in Hz.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged, or not of 16 bits.
    """
    with _opened(path) as file:
        sound = file.sound
        if sound.subtype != "PCM_16":
            raise InvalidCorpus(f"{path}: {sound.subtype}, not PCM_16")
        return sound.read(dtype="int16", always_2d=True).T, sound.samplerate


def audio_info(path: Path, stream: int = 0) -> AudioInfo:
    """Return what a file says of its audio; it is decoded only if it does not say its length.

    Parameters
    ----------
    path : Path
        Whatever libsndfile reads, or ``.mp4`` or ``.m4a``.
    stream : int
        0-based audio stream; other than 0 only in an ``.mp4``.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged, or has no such stream.
    UsageError
        If it needs PyAV, which is not installed.
    """
    if _is_mp4(path):
        return AudioInfo(*stem_mp4.stream_info(path, stream))
    with _opened(path, stream) as file:
        if file.unsized is None:
            return AudioInfo(file.sound.samplerate, file.sound.channels, file.sound.frames)
    return AudioInfo(*unsized_info(path, file.unsized))


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
        If it needs PyAV, which is not installed.
    """
    if _is_mp4(path):
        return _stretch(path, stem_mp4.decode_stream(path, stream), start, n_samples)
    with _opened(path, stream) as file:
        if file.unsized is None:
            _check_inside(path, start, n_samples, file.sound.frames)
            with _silenced(file.is_mpeg):
                file.sound.seek(start)
                return _read(file.sound, path, n_samples)
    return _stretch(path, unsized_whole(path, file.unsized), start, n_samples)


def _stretch(path: Path, whole: Float32s, start: int, n_samples: int) -> Float32s:
    _check_inside(path, start, n_samples, whole.shape[1])
    return whole[:, start : start + n_samples].copy()


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
        If it needs PyAV, which is not installed.
    """
    if _is_mp4(path):
        whole = stem_mp4.decode_stream(path, stream)
        for start in range(0, whole.shape[1], n_block):
            yield whole[:, start : start + n_block].copy()
        return
    with _opened(path, stream) as file:
        n_samples = file.sound.frames if file.unsized is None else 0
        for start in range(0, n_samples, n_block):
            with _silenced(file.is_mpeg):
                block = _read(file.sound, path, min(n_block, n_samples - start))
            yield block
    if file.unsized is not None:
        yield from _of_length(unsized_blocks(path, file.unsized), n_block)


def _of_length(pieces: Iterator[Float32s], n_block: int) -> Iterator[Float32s]:
    """Yield a recording in blocks of one length, of which the last may be shorter."""
    waiting: list[Float32s] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += piece.shape[1]
        if n_waiting >= n_block:
            joined = np.concatenate(waiting, axis=1)
            n_done = n_waiting - n_waiting % n_block
            for start in range(0, n_done, n_block):
                yield joined[:, start : start + n_block].copy()
            waiting, n_waiting = [joined[:, n_done:]], n_waiting - n_done
    if n_waiting:
        yield np.concatenate(waiting, axis=1)


def _is_mp4(path: Path) -> bool:
    return path.suffix.lower() in _MP4_ENDINGS


class _Opened(NamedTuple):
    """A file that libsndfile reads.

    Attributes
    ----------
    sound : soundfile.SoundFile
        The file, at its first sample.
    is_mpeg : bool
        Whether mpg123 decodes it.
    unsized : str or None
        Its format if its length is not certain, so that it is to be decoded to its end.
    """

    sound: soundfile.SoundFile
    is_mpeg: bool
    unsized: str | None


@contextmanager
def _opened(path: Path, stream: int = 0) -> Iterator[_Opened]:
    with _handed_out(path) as file:
        head = file.read(4)
        file.seek(0)
        # What is nothing else by its bytes goes to mpg123 by its name, which only a plain file has.
        source = os.fsencode(path) if getattr(file, "name", None) == path else file
        try:
            with _silenced(is_mpeg(head) or path.suffix.lower() == ".mp3"):
                sound = soundfile.SoundFile(source)
            with sound:
                if stream:
                    raise InvalidCorpus(
                        f"{path}: has one audio stream, and none of number {stream}"
                    )
                unsized = format_if_unsized(path, sound.format, sound.frames)
                yield _Opened(sound, is_mpeg(head), unsized)
        except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
            raise InvalidCorpus(f"{path}: cannot be decoded: {error}") from error


@contextmanager
def _handed_out(path: Path) -> Iterator[BinaryIO]:
    """Open a file; say what the system says where that fails."""
    try:
        # Of an object the store says so, at the price of a question.
        if not places.is_remote(path) and not places.status_of(path).is_regular:
            kind = "a folder" if path.is_dir() else "no regular file"  # a pipe may never end
            raise InvalidCorpus(f"{path}: is {kind}, and no audio")
        file = places.opened(path)
    except FileNotFoundError:
        raise Unreadable(f"{path}: cannot be read: not there") from None
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _silenced(is_mpeg: bool) -> Iterator[None]:
    """Keep what mpg123 writes to standard error, past Python, from a person's terminal."""
    if not is_mpeg:
        yield
        return
    with _STANDARD_ERROR:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # closed: nobody would see anything
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


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
