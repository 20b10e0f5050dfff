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
    "busiest_start_s",
    "calibration",
    "clock",
    "make_clip",
    "waveform_of",
]

WAVEFORM_HZ: Final = 10  # as the envelopes of a corpus
_N_POINTS: Final = 300  # of a waveform, at least
_MOST_CHANNELS: Final = 2
_SOUNDS: Final = 1e-6  # mean square from which on something is taken to sound: -60 dBFS
CLICK_SAMPLE: Final = 3000  # where the click of `calibration` is
_N_CLICK: Final = 6000
_N_AFTER: Final = 2304  # samples of silence after a clip: some decoders leave out the last frames


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
        Length of the stretch; silence follows it, and decoders may add some before.
    n_channels : int
        One or two.
    waveform : sequence of float
        Root mean square of stretches that are equally long, full scale 1.
    waveform_hz : float
        Number of these in a second.
    """

    mp3: bytes
    sample_rate: int
    n_samples: int
    n_channels: int
    waveform: Sequence[float]
    waveform_hz: float

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
        Root mean square of each 1 / `WAVEFORM_HZ` s where it is known; otherwise it is measured.
    """
    if len(audio) > _MOST_CHANNELS:
        audio = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    waveform_hz = float(WAVEFORM_HZ)
    if waveform is None:
        waveform_hz = max(waveform_hz, _N_POINTS * sample_rate / max(1, audio.shape[1]))
        waveform = waveform_of(audio, sample_rate, waveform_hz)
    rate = next((rate for rate in MP3_RATES if rate >= sample_rate), MP3_RATES[-1])
    if rate != sample_rate:
        import soxr

        audio = soxr.resample(audio.T, sample_rate, rate).T
    mp3 = encode_mp3(np.pad(audio, ((0, 0), (0, _N_AFTER))), rate)
    return AudioClip(mp3, rate, audio.shape[1], len(audio), waveform, waveform_hz)


def waveform_of(audio: Float32s, sample_rate: int, waveform_hz: float) -> list[float]:
    """Return the root mean square of each 1 / `waveform_hz` s of (n_channels, n_samples) audio."""
    power = np.mean(np.square(audio, dtype=np.float64), axis=0)
    starts = np.arange(0, len(power), max(1.0, sample_rate / waveform_hz)).astype(np.int64)
    if not starts.size:
        return []
    lengths = np.diff(starts, append=len(power))
    return [float(v) for v in np.sqrt(np.add.reduceat(power, starts) / lengths)]


def calibration(sample_rate: int) -> bytes:
    """Return the MP3 of a click at sample `CLICK_SAMPLE`, by which a page measures the delay."""
    click = np.zeros((1, _N_CLICK), np.float32)
    click[0, CLICK_SAMPLE] = 0.9
    return encode_mp3(click, sample_rate)


def busiest_start_s(powers: Sequence[Float32s], clip_s: float) -> float:
    """Return the whole second from which on most tracks sound for most of a clip.

    Parameters
    ----------
    powers : sequence of numpy.ndarray
        Mean square of each 1 / `WAVEFORM_HZ` s of each track, full scale 1.
    clip_s : float
        Length of the clip in seconds.
    """
    n_steps = min(len(power) for power in powers)
    n_clip = round(clip_s * WAVEFORM_HZ)
    if n_steps <= n_clip:
        return 0.0
    sounding = np.sum([power[:n_steps] > _SOUNDS for power in powers], axis=0)
    total = np.concatenate([[0], np.cumsum(sounding)])
    starts = np.arange(0, n_steps - n_clip + 1, WAVEFORM_HZ)
    best = starts[np.argmax(total[starts + n_clip] - total[starts])]
    return float(best) / WAVEFORM_HZ


def clock(seconds: float) -> str:
    """Return a time as players show it: minutes and seconds."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
