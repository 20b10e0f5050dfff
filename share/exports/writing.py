"""Files of exports: WAV of 16 bits, other sample rates, and hard links to what does not change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import places, storage
from stemsmith.manifests.arrays import Float32s, Int16s, Int32s
from stemsmith.manifests.audio.read import FULL_SCALE_16

__all__ = [
    "link_or_copy",
    "n_resampled",
    "n_wav_bytes",
    "resampled",
    "rounded_together",
    "write_wav",
]

_HIGHEST: Final = FULL_SCALE_16 - 1

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


def rounded_together(
    signals: Mapping[str, Float32s], total: str | None = None
) -> tuple[dict[str, Int16s], float]:
    """Round the signals of a song to integers of 16 bits, all softer by one gain if one would clip.

    Parameters
    ----------
    signals : mapping of str to numpy.ndarray
        (n_channels, n_samples) float32, full scale 1, of one shape.
    total : str, optional
        Name of the signal that is the sum of all others: it becomes the sum of their integers.

    Returns
    -------
    integers : dict of str to numpy.ndarray
        (n_channels, n_samples) int16 by the same names.
    gain_db : float
        Gain in dB of all of them; 0 where none would clip.
    """
    rounded = _rounded(signals, total, 1.0)
    gain_db = 0.0
    if (peak := max(map(_excess, rounded.values()))) > 1:
        gain = (1 - len(rounded) / _HIGHEST) / peak  # rounding adds half a step for each signal
        gain_db = float(20 * np.log10(gain))
        rounded = _rounded(signals, total, gain)
    return {name: signal.astype(np.int16) for name, signal in rounded.items()}, gain_db


def _rounded(signals: Mapping[str, Float32s], total: str | None, gain: float) -> dict[str, Int32s]:
    """Return signals as whole numbers of full scale 32768, which they may exceed."""
    scale = np.float32(FULL_SCALE_16 * gain)
    rounded = {
        name: np.rint(signal * scale).astype(np.int32)
        for name, signal in signals.items()
        if name != total
    }
    if total is not None:
        sums = np.zeros(signals[total].shape, np.int32)
        for signal in rounded.values():
            sums += signal
        rounded[total] = sums
    return rounded


def _excess(signal: Int32s) -> float:
    """Return by what factor a signal exceeds 16 bits; 1 or less if it does not."""
    if not signal.size:
        return 0.0
    return max(float(signal.max()) / _HIGHEST, -float(signal.min()) / FULL_SCALE_16)


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
    if not places.is_remote(source):
        with suppress(OSError):  # another device, a system without links, or a member of a tar
            os.link(source, place)
            return
    with places.opened(source) as file, storage.naming(place), place.open("wb") as copy:
        shutil.copyfileobj(file, copy)
