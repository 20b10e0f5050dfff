"""Reading ``.stem.mp4``, the container of MUSDB18, and ``.m4a``: the only file that touches PyAV.

A ``.stem.mp4`` holds one AAC stream for the mixture and one for each stem, and AAC has no
sample-exact seeking: a stream is decoded as a whole, and the last few are kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError, install_command

if TYPE_CHECKING:
    from av import AudioLayout, AudioResampler
    from av.container import InputContainer

__all__ = ["decode_stream", "opened", "planar_floats", "stream_info"]

_N_KEPT: Final = 4  # the stems of one song: some 350 MB for four minutes in stereo
_MAX_MISSING_S: Final = 0.05  # two AAC frames: containers round durations, also upwards


def stream_info(path: Path, stream: int) -> tuple[int, int, int]:
    """Return what the container says of one audio stream.

    Parameters
    ----------
    path : Path
        Path of the ``.stem.mp4`` file.
    stream : int
        0-based among its audio streams. In MUSDB18: mixture, drums, bass, other, vocals.

    Returns
    -------
    sample_rate, n_channels, n_samples : int
        In Hz, and the length of the shortest audio stream, so that stems of a song are equally
        long.

    Raises
    ------
    InvalidCorpus
        If the file is missing or damaged, or has no such stream.
    UsageError
        If PyAV is not installed.
    """
    with opened(path) as container:
        return _info(container, path, stream)


def decode_stream(path: Path, stream: int) -> Float32s:
    """Return all samples of one audio stream.

    What ffmpeg does with encoder delay applies: the edit list is honoured, so that priming samples
    are gone if the file declares them. Streams are placed by their time stamps, which keeps stems
    aligned even if one of them begins late.

    Parameters
    ----------
    path, stream : Path, int
        As in `stream_info`.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32, read-only since it is kept for the next call; of the length
        that `stream_info` gives.

    Raises
    ------
    InvalidCorpus
        If the file is missing, damaged or cut, or has no such stream.
    UsageError
        If PyAV is not installed.
    """
    try:
        modified_ns = places.status_of(path).changed_ns
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
    return _decode(path, modified_ns, stream)


@lru_cache(maxsize=_N_KEPT)
def _decode(path: Path, modified_ns: int, stream: int) -> Float32s:  # modified_ns: for the cache
    with opened(path) as container:
        sample_rate, n_channels, n_samples = _info(container, path, stream)
        planar = planar_floats()  # AAC decodes to it, ALAC does not
        samples = np.zeros((n_channels, n_samples), np.float32)
        end = 0
        for frame in container.decode(audio=stream):
            if frame.time is not None:
                end = round(frame.time * sample_rate)
            for part in planar.resample(frame):
                block = part.to_ndarray()
                first, end = end, end + block.shape[1]
                kept = block[:, max(-first, 0) : max(n_samples - first, 0)]
                samples[:, max(first, 0) : max(first, 0) + kept.shape[1]] = kept
    if n_samples - end > _MAX_MISSING_S * sample_rate:
        raise InvalidCorpus(f"{path}: stream {stream} ends at sample {end} of {n_samples}")
    samples.setflags(write=False)
    return samples


def _info(container: InputContainer, path: Path, stream: int) -> tuple[int, int, int]:
    streams = container.streams.audio
    if not 0 <= stream < len(streams):
        raise InvalidCorpus(
            f"{path}: has {len(streams)} audio streams, and none of number {stream}"
        )
    sample_rate, n_channels = streams[stream].sample_rate, streams[stream].channels
    ends_s = [
        (one.start_time or 0) * one.time_base + one.duration * one.time_base
        for one in streams
        if one.duration is not None and one.time_base is not None
    ]
    if len(ends_s) < len(streams):
        raise InvalidCorpus(f"{path}: has audio streams without a duration")
    return sample_rate, n_channels, max(round(min(ends_s) * sample_rate), 0)


@contextmanager
def opened(
    path: Path, kind: str = "mp4", why: str = "reading .mp4 and .m4a"
) -> Iterator[InputContainer]:
    """Open a file for PyAV.

    Parameters
    ----------
    path : Path
        The file, as a user named it.
    kind : str
        Its format, as ffmpeg names it: guessing may end at formats that open other files.
    why : str
        What needs PyAV, for the error.

    Raises
    ------
    InvalidCorpus
        If the file is missing or cannot be decoded, here or in the body.
    UsageError
        If PyAV is not installed.
    """
    av = _pyav(f"{path}: {why}")
    try:
        # As a file object: PyAV takes a name for UTF-8, and ffmpeg one with a colon for a protocol.
        with places.opened(path) as file, av.open(file, format=kind) as container:
            yield container
    except OSError as error:  # first, for some of PyAV's errors are also of this kind
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise InvalidCorpus(f"{path}: cannot be decoded: {error}") from error


def planar_floats(layout: AudioLayout | None = None) -> AudioResampler:
    """Return what makes (n_channels, n_samples) float32 of the frames of a stream.

    Parameters
    ----------
    layout : AudioLayout, optional
        Channels that all frames get, where some may have others; by default those of the first.
    """
    return _pyav("decoding").AudioResampler(format="fltp", layout=layout)


def _pyav(task: str) -> ModuleType:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UsageError(f"{task} needs PyAV: {install_command('evaluate')}") from error
