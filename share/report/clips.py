"""Sound that a page carries with it: MP3, in base64.

MP3 and not Opus: all browsers have decoded it for ten years, at every rate from 8 to 48 kHz, while
Safari decodes Ogg Opus only since 2025, and libsndfile writes Opus at five rates only, none of them
44.1 kHz. MP3 begins late by the delay of encoder and decoder together, which a header may tell and
a decoder may or may not trim: so a page brings a click of its own for each rate (`calibration`),
measures where its browser finds it, and subtracts that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import MP3_RATES, encode_mp3

__all__ = [
    "CLICK_SAMPLE",
    "WAVEFORM_HZ",
    "AudioClip",
    "calibration",
    "make_clip",
    "waveform_of",
]

WAVEFORM_HZ: Final = 10  # as the envelopes of a corpus
_MOST_CHANNELS: Final = 2
CLICK_SAMPLE: Final = 3000  # where the click of `calibration` is
_N_CLICK: Final = 6000


@dataclass(frozen=True, slots=True, eq=False)
class AudioClip:
    """A stretch of sound as a page carries it.

    Attributes
    ----------
    mp3 : bytes
        The encoded sound.
    sample_rate : int
        Sample rate of the MP3 in Hz.
    n_samples : int
        Length of what was encoded; decoders may add silence before and after.
    n_channels : int
        One or two.
    waveform : sequence of float
        Root mean square of each 1 / `WAVEFORM_HZ` s, full scale 1.
    """

    mp3: bytes
    sample_rate: int
    n_samples: int
    n_channels: int
    waveform: Sequence[float]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


def make_clip(
    audio: Float32s, sample_rate: int, waveform: Sequence[float] | None = None
) -> AudioClip:
    """Encode a stretch of sound for a page.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, full scale 1. More than two channels become one.
    sample_rate : int
        Sample rate in Hz. Rates that MP3 does not have are resampled to the next one.
    waveform : sequence of float, optional
        What `AudioClip` says, where it is known; otherwise it is measured.
    """
    if len(audio) > _MOST_CHANNELS:
        audio = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    if waveform is None:
        waveform = waveform_of(audio, sample_rate)
    rate = next((rate for rate in MP3_RATES if rate >= sample_rate), MP3_RATES[-1])
    if rate != sample_rate:
        import soxr

        audio = soxr.resample(audio.T, sample_rate, rate).T
    return AudioClip(encode_mp3(audio, rate), rate, audio.shape[1], len(audio), waveform)


def waveform_of(audio: Float32s, sample_rate: int) -> list[float]:
    """Return the root mean square of each 1 / `WAVEFORM_HZ` s of (n_channels, n_samples) audio."""
    power = np.mean(np.square(audio, dtype=np.float64), axis=0)
    n_block = max(1, round(sample_rate / WAVEFORM_HZ))
    n_blocks = -(-len(power) // n_block)
    padded = np.zeros(n_blocks * n_block)
    padded[: len(power)] = power
    return [float(value) for value in np.sqrt(padded.reshape(n_blocks, n_block).mean(axis=1))]


def calibration(sample_rate: int) -> bytes:
    """Return the MP3 of a click at sample `CLICK_SAMPLE`, by which a page measures the delay."""
    click = np.zeros((1, _N_CLICK), np.float32)
    click[0, CLICK_SAMPLE] = 0.9
    return encode_mp3(click, sample_rate)
