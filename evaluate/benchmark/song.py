"""A song in memory: its true sources, and the mixture that is separated.

A target that is silent is left out: nothing can be said of its estimate, and as a reference it
changes nothing for the others. Silence is museval's: the channels sum to zero throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
from stemsmith.evaluate.benchmark.datasets import DatasetSong, StemFile
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import AudioInfo, audio_info, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason

__all__ = ["Fit", "SongAudio", "Unscorable", "read_estimate", "read_song"]

# Powers of transforms of louder samples are beyond single precision. Bytes of another type that
# are read as floats are.
_LOUDEST: Final = 1e12
_LARGEST_FIT_S: Final = 0.1  # more than encoders add, less than another edit of a song


class Unscorable(Exception):
    """A song cannot be scored; carries the reason for its `Rejection`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SongAudio(NamedTuple):
    """A song in memory.

    Attributes
    ----------
    sample_rate : int
        Sample rate of the song in Hz.
    mixture : numpy.ndarray
        (n_channels, n_samples) float32, what is separated.
    targets : tuple of str
        Names of the targets that sound in the song.
    references : numpy.ndarray
        (n_targets, n_channels, n_samples) float32.
    """

    sample_rate: int
    mixture: Float32s
    targets: tuple[str, ...]
    references: Float32s


def read_song(song: DatasetSong, first: Sequence[str] = ()) -> SongAudio:
    """Read a song's references and its mixture.

    Parameters
    ----------
    song : DatasetSong
        The song with the files of its stems.
    first : sequence of str
        Names of targets that come before all others.

    Returns
    -------
    SongAudio
        With at least one target.

    Raises
    ------
    Unscorable
        If a file is missing, cannot be decoded or has samples that are not finite, files differ in
        rate, channels or length, or no reference sounds.
    """
    info = _common_info(song.files)
    names = sorted({stem.target for stem in song.stems}, key=lambda name: (name not in first, name))
    references = np.zeros((len(names), info.n_channels, info.n_samples), np.float32)
    for stem in song.stems:
        references[names.index(stem.target)] += _read(stem, info)
    mixture = references.sum(axis=0) if song.mixture is None else _read(song.mixture, info)
    is_heard = references.sum(axis=1).any(axis=1)
    if not is_heard.any():
        raise Unscorable(Reason.SILENT, f"{song.stems[0].path}: nothing sounds in this song")
    if not is_heard.all():
        references = references[is_heard]
    heard = tuple(name for name, sounds in zip(names, is_heard, strict=True) if sounds)
    return SongAudio(info.sample_rate, mixture, heard, references)


def _common_info(files: Sequence[StemFile]) -> AudioInfo:
    first = _info(files[0].path, files[0].stream)
    for file in files[1:]:
        _check_info(file.path, _info(file.path, file.stream), files[0].path, first)
    return first


def _info(path: str, stream: int = 0) -> AudioInfo:
    with _unscorable(path):
        if not (place(path).exists() or places.is_file(place(path))):
            raise Unscorable(Reason.MISSING, f"{path}: missing; a song needs all of its files")
        return audio_info(place(path), stream)


@contextmanager
def _unscorable(path: str) -> Iterator[None]:
    """Make of what is wrong with a file the reason why its song cannot be scored."""
    try:
        yield
    except UsageError as error:  # PyAV is not there
        raise Unscorable(Reason.UNSUPPORTED, str(error)) from error
    except Unreadable as error:
        raise Unscorable(Reason.UNREADABLE, str(error)) from error
    except InvalidCorpus as error:
        raise Unscorable(Reason.DAMAGED, str(error)) from error
    except OSError as error:
        detail = f"{path}: cannot be read: {error.strerror or error}"
        raise Unscorable(Reason.UNREADABLE, detail) from error


def _check_info(path: str, info: AudioInfo, other_path: str, other: AudioInfo) -> None:
    if info != other:
        raise Unscorable(
            Reason.MISMATCH, f"{path}: {_described(info)}; {other_path}: {_described(other)}"
        )


def _described(info: AudioInfo) -> str:
    channels = "channel" if info.n_channels == 1 else "channels"
    return f"{info.n_samples} samples at {info.sample_rate} Hz, {info.n_channels} {channels}"


def _read(file: StemFile, info: AudioInfo) -> Float32s:
    with _unscorable(file.path):
        audio = read_excerpt(file.location, 0, info.n_samples, file.stream)
    if not (np.abs(audio) < _LOUDEST).all():  # NaN is not below anything
        detail = f"{file.path}: has samples that are not finite, or {_LOUDEST:g} and more"
        raise Unscorable(Reason.NOT_FINITE, detail)
    if file.shift:
        audio = np.roll(audio, file.shift, axis=1)
    return audio * np.float32(10 ** (file.gain_db / 20)) if file.gain_db else audio


class Fit(NamedTuple):
    """What was done to a file so that it is as long as its song, and has as many channels.

    Attributes
    ----------
    file : str
        Name of the file.
    n_added : int
        Samples that were added at its end, or taken away where negative.
    is_copied : bool
        Whether its one channel was taken for all of the song's.
    """

    file: str
    n_added: int
    is_copied: bool


def read_estimate(
    paths: Sequence[str],
    audio: SongAudio,
    reference: str,
    fits: list[Fit] | None = None,
    *,
    is_mono: bool = False,
) -> Float32s:
    """Read the estimate of one target: the sum of a system's files.

    Parameters
    ----------
    paths : sequence of str
        The files that sum to the estimate.
    audio : SongAudio
        The song that was separated, whose shape the estimate has.
    reference : str
        A file of the song that errors name beside the estimate's.
    fits : list of Fit, optional
        Gets what was fitted; without it nothing is.
    is_mono : bool
        Whether only the mean of the channels counts, so that a file of another number of channels
        than the song stands for all of them by its mean.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32.

    Raises
    ------
    Unscorable
        If a file is missing, cannot be decoded or has samples that are not finite, or is of
        another rate, length or number of channels than the song.
    """
    info = AudioInfo(audio.sample_rate, *audio.mixture.shape)
    estimate = np.zeros_like(audio.mixture)
    for path in paths:
        found = _info(path)
        own = found._replace(n_channels=info.n_channels) if is_mono else found
        fit = None if fits is None else _fit_of(path, own, info)
        if fits is None or fit is None:
            _check_info(path, own, reference, info)
        else:
            fits.append(fit)
        read = _read(StemFile("", path), found)
        if len(read) not in (1, info.n_channels):
            read = read.mean(axis=0, keepdims=True)
        n_read = min(found.n_samples, info.n_samples)
        estimate[:, :n_read] += read[:, :n_read]
    return estimate


def _fit_of(path: str, own: AudioInfo, song: AudioInfo) -> Fit | None:
    """Return what makes a file fit its song; None if it does, or cannot be made to."""
    n_missing = song.n_samples - own.n_samples
    is_copied = own.n_channels == 1 < song.n_channels
    if (
        own == song
        or own.sample_rate != song.sample_rate
        or abs(n_missing) > _LARGEST_FIT_S * song.sample_rate
        or (own.n_channels != song.n_channels and not is_copied)
    ):
        return None
    return Fit(place(path).name, n_missing, is_copied)
