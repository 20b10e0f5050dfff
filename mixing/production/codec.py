"""What a lossy codec leaves of a mixture, sample-aligned: MP3, AAC and Opus through PyAV.

The packets of the encoder go to the decoder without a container. By how much the pair is late is
measured, once for each codec, rate and number of channels: what libraries say of it differs between
their versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from stemsmith.manifests.errors import UsageError, install_command, one_line
from stemsmith.mixing.production.parameters import Parameters

if TYPE_CHECKING:
    from stemsmith.manifests.arrays import Float32s

__all__ = ["CODECS", "Codec", "apply_codec", "libav_version"]

# Encoder and decoder of libav, and the sample rates in Hz that they have.
_MPEG_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_PAIRS: Final = {
    "mp3": ("libmp3lame", "mp3float", _MPEG_RATES),
    "aac": ("aac", "aac", (*_MPEG_RATES, 64000, 88200, 96000)),
    "opus": ("libopus", "libopus", (48000,)),
}
CODECS: Final = tuple(_PAIRS)
_KBPS: Final = (8, 512)
_PROBE_S: Final = 0.5
_SILENCE_S: Final = 0.25  # around the probe; no codec is later than that


@dataclass(frozen=True, slots=True)
class Codec(Parameters):
    """A codec and its bit rate.

    Attributes
    ----------
    name : str
        One of `CODECS`.
    bitrate_kbps : int
        Bits of all channels together, in thousands a second.

    Raises
    ------
    UsageError
        For another codec, or a bit rate out of range.
    """

    name: str
    bitrate_kbps: int

    def __post_init__(self) -> None:
        """Refuse what is no codec."""
        low, high = _KBPS
        if self.name not in CODECS or not low <= self.bitrate_kbps <= high:
            raise _no_codec(str(self))

    @classmethod
    def parse(cls, text: str) -> Codec:
        """Read ``mp3:128``.

        Raises
        ------
        UsageError
            If the text is no codec and bit rate.
        """
        name, _, kbps = text.strip().lower().partition(":")
        if not re.fullmatch(r"[0-9]{1,4}", kbps):
            raise _no_codec(text)
        return cls(name, int(kbps))

    def __str__(self) -> str:
        return f"{self.name}:{self.bitrate_kbps}"


def _no_codec(text: str) -> UsageError:
    low, high = _KBPS
    return UsageError(
        f"--codec {text}: give {', '.join(CODECS)} and {low} to {high} kbit/s, such as mp3:128"
    )


def libav_version() -> str:
    """Return the version of libavcodec that PyAV brings along.

    Raises
    ------
    UsageError
        If PyAV is not installed.
    """
    return ".".join(map(str, _pyav().library_versions["libavcodec"]))


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise UsageError(
            f"codecs need PyAV; install it with: {install_command('effects')}"
        ) from None
    return av


def apply_codec(audio: Float32s, codec: Codec, sample_rate: int) -> Float32s:
    """Encode and decode a mixture.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32, one or two channels.
    codec : Codec
        What encodes it.
    sample_rate : int
        Sample rate in Hz. Where the codec has another, the next higher one it has is used, or its
        highest, by way of soxr.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32, sample-aligned with what came in. It may exceed what full
        scale was.

    Raises
    ------
    UsageError
        If PyAV is not installed, or the codec refuses.
    """
    import numpy as np
    import soxr

    n_samples = audio.shape[1]
    if not n_samples:
        return audio
    rates = _PAIRS[codec.name][2]
    rate = min((r for r in rates if r >= sample_rate), default=max(rates))
    lag = _lag(codec, rate, len(audio))
    fitted = audio
    if rate != sample_rate:
        fitted = soxr.resample(audio.T, sample_rate, rate, quality="VHQ").T
    n_late = round(_SILENCE_S * rate)  # so that the end of the audio is decoded
    decoded = _decoded(np.pad(fitted, ((0, 0), (0, n_late))), codec, rate)[:, lag:]
    if rate != sample_rate:
        decoded = soxr.resample(decoded.T, rate, sample_rate, quality="VHQ").T
    missing = max(0, n_samples - decoded.shape[1])
    return np.ascontiguousarray(np.pad(decoded, ((0, 0), (0, missing)))[:, :n_samples], np.float32)


@cache
def _lag(codec: Codec, sample_rate: int, n_channels: int) -> int:
    """Return by how many samples a codec is late, by correlating a burst of noise."""
    import numpy as np
    import scipy.signal

    noise = np.random.default_rng(0).standard_normal(round(_PROBE_S * sample_rate))
    burst = scipy.signal.lfilter([0.05], [1, -0.95], noise)
    n_silent = round(_SILENCE_S * sample_rate)
    probe = np.pad(burst * 0.3, (n_silent, 2 * n_silent)).astype(np.float32)
    decoded = _decoded(np.tile(probe, (n_channels, 1)), codec, sample_rate)[0]
    correlation = scipy.signal.correlate(decoded, probe, method="fft")[len(probe) - 1 :]
    return int(np.argmax(correlation[: n_silent + 1]))


def _decoded(audio: Float32s, codec: Codec, sample_rate: int) -> Float32s:
    import numpy as np

    av = _pyav()
    try:
        return np.concatenate(list(_blocks(av, audio, codec, sample_rate)), axis=1)
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"--codec {codec}: refuses {len(audio)} channels of {sample_rate} Hz: {one_line(error)}"
        ) from error


def _blocks(av: Any, audio: Float32s, codec: Codec, sample_rate: int) -> Iterator[Float32s]:
    """Yield what comes out of the decoder."""
    import numpy as np

    encoder_name, decoder_name, _ = _PAIRS[codec.name]
    layout = "mono" if len(audio) == 1 else "stereo"
    encoder = av.CodecContext.create(encoder_name, "w")
    encoder.sample_rate, encoder.layout = sample_rate, layout
    encoder.format = "flt" if codec.name == "opus" else "fltp"
    encoder.bit_rate = codec.bitrate_kbps * 1000
    encoder.time_base = Fraction(1, sample_rate)
    encoder.thread_count = 1  # the same bytes whatever the machine
    encoder.open()
    decoder = av.CodecContext.create(decoder_name, "r")
    decoder.sample_rate, decoder.layout, decoder.thread_count = sample_rate, layout, 1
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    cut = av.AudioResampler(encoder.format, encoder.layout, sample_rate, encoder.frame_size)
    planar = av.AudioResampler(format="fltp")
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
    pieces = [*cut.resample(frame), *cut.resample(None), None]
    for piece in pieces:
        for packet in encoder.encode(piece):
            for decoded in decoder.decode(packet):
                yield from (p.to_ndarray() for p in planar.resample(decoded))
    for decoded in decoder.decode(None):
        yield from (p.to_ndarray() for p in planar.resample(decoded))
