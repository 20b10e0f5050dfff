"""Files of exports: WAV of 16 bits, other sample rates, and hard links to what does not change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s, Int16s

__all__ = ["link_or_copy", "n_resampled", "n_wav_bytes", "resampled", "write_wav"]

_WAV_HEADER_BYTES: Final = 44


def write_wav(path: Path, samples: Int16s, sample_rate: int) -> None:
    """Write a WAV file of 16-bit integers: the same bytes for the same samples.

    Parameters
    ----------
    path : Path
        File to write, in a folder that is there.
    samples : numpy.ndarray
        (n_channels, n_samples) int16.
    sample_rate : int
        Sample rate in Hz.
    """
    from scipy.io import wavfile

    with storage.naming(path), path.open("wb") as file:
        wavfile.write(file, sample_rate, np.ascontiguousarray(samples.T))


def n_wav_bytes(n_samples: int, n_channels: int) -> int:
    """Return the size of a WAV file of 16 bits."""
    return _WAV_HEADER_BYTES + 2 * n_samples * n_channels


def resampled(audio: Float32s, sample_rate: int, wanted: int) -> Float32s:
    """Return (n_channels, n_samples) audio at another sample rate; as it is if that is its own."""
    if sample_rate == wanted:
        return audio
    import soxr

    made: Float32s = soxr.resample(audio.T, sample_rate, wanted, quality="VHQ").T
    n_samples = n_resampled(audio.shape[1], sample_rate, wanted)
    made = made[:, :n_samples]
    return np.pad(made, ((0, 0), (0, n_samples - made.shape[1])))


def n_resampled(n_samples: int, sample_rate: int, wanted: int) -> int:
    """Return how many samples a signal has at another sample rate: the nearest whole number."""
    return round(n_samples * wanted / sample_rate)


def link_or_copy(source: Path, place: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links.

    Parameters
    ----------
    source : Path
        File that is there. With a hard link it shares its content: whoever changes one in place
        changes both.
    place : Path
        File that is not there yet; its folder is made.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except OSError:  # another device, or a system without links
        with storage.naming(place):
            shutil.copyfile(source, place)
