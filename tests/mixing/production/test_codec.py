"""Tests of codecs: alignment, length, what is said of bad ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.signal
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.mixing.production.codec import CODECS, Codec, apply_codec, libav_version

RATES = (8000, 16000, 44100, 48000, 96000)


@pytest.fixture
def av() -> None:
    pytest.importorskip("av", reason="needs the extra effects")


def music(n_samples: int, n_channels: int = 1) -> np.ndarray:
    """Return noise that is loudest at low frequencies, as music is."""
    white = np.random.default_rng(4).standard_normal((n_channels, n_samples))
    return scipy.signal.lfilter([0.03], [1, -0.97], white).astype(np.float32)


def lag(audio: np.ndarray, reference: np.ndarray) -> int:
    correlation = scipy.signal.correlate(audio, reference, method="fft")
    return int(np.argmax(correlation)) - len(reference) + 1


@pytest.mark.usefixtures("av")
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", CODECS)
def test_a_codec_comes_neither_late_nor_early_and_keeps_the_length(
    name: str, rate: int, n_channels: int
) -> None:
    audio = music(round(1.2345 * rate), n_channels)
    decoded = apply_codec(audio, Codec(name, 128), rate)
    assert decoded.shape == audio.shape
    assert decoded.dtype == np.float32
    for channel, before in zip(decoded, audio, strict=True):
        assert lag(channel, before) == 0
        for part in (slice(None, rate // 4), slice(-rate // 4, None)):  # both ends are there
            error = np.square(channel[part] - before[part]).mean()
            assert 10 * np.log10(np.square(before[part]).mean() / error) > 6


@pytest.mark.usefixtures("av")
@pytest.mark.parametrize("n_samples", [1, 10, 1000])
@pytest.mark.parametrize("name", CODECS)
def test_short_audio_and_silence_keep_their_length(name: str, n_samples: int) -> None:
    silence = np.zeros((1, n_samples), np.float32)
    assert np.abs(apply_codec(silence, Codec(name, 64), 44100)).max() < 1e-3
    assert apply_codec(music(n_samples, 2), Codec(name, 64), 44100).shape == (2, n_samples)
    assert apply_codec(np.zeros((1, 0), np.float32), Codec(name, 64), 44100).shape == (1, 0)


@pytest.mark.usefixtures("av")
@pytest.mark.parametrize("name", CODECS)
def test_a_codec_gives_the_same_bytes_and_more_bits_are_nearer(name: str) -> None:
    audio = music(44100, 2)
    errors = []
    for kbps in (32, 192):
        first, again = (apply_codec(audio, Codec(name, kbps), 44100) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        errors.append(float(np.square(first - audio).mean()))
    assert errors[1] < errors[0]


def test_a_codec_is_read_from_its_text_and_written_back() -> None:
    codec = Codec.parse(" MP3:128 ")
    assert codec == Codec("mp3", 128)
    assert str(codec) == "mp3:128"
    assert Codec.from_json(codec.to_json()) == codec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mp3",
        "mp3:",
        "mp3:0",
        "mp3:9999",
        "mp3:12.5",
        "vorbis:128",
        "mp3:-64",
        ":128",
        "mp3:abc",
    ],
)
def test_what_is_no_codec_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--codec") as caught:
        Codec.parse(text)
    assert "mp3, aac, opus" in str(caught.value)
    assert str(caught.value).startswith(f"--codec {text}: ")


def test_without_pyav_one_line_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (libav_version, lambda: apply_codec(music(10), Codec("opus", 77), 44100)):
        with pytest.raises(UsageError) as caught:
            use()
        assert install_command("effects") in str(caught.value)
