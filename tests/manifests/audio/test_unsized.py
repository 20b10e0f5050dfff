"""Files that do not say how long they are: all of their samples come out, or one line says why."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_blocks, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError, install_command

RATE = 44100
N_SAMPLES = 6 * RATE
DELAY = 1105  # samples: LAME's 576 and a decoder's 529, which a LAME tag would have taken away


def sound() -> Float32s:
    """Return a tone and then noise, of which an MP3 needs other numbers of bits."""
    t = np.arange(N_SAMPLES) / RATE
    noise = np.random.default_rng(0).standard_normal(N_SAMPLES)
    return np.where(t < 3, 0.3 * np.sin(2 * np.pi * 440 * t), 0.2 * noise).astype(np.float32)


def without_first_frame(data: bytes) -> bytes:
    """Return an MP3 without the frame that has the Xing header."""
    name = max(data.find(b"Xing"), data.find(b"Info"))
    start = data.rindex(data[:2] if data[:3] != b"ID3" else b"\xff\xfb", 0, name)
    return data[data.index(data[start : start + 2], start + 100) :]


def write_mp3(path: Path, mode: str) -> None:
    soundfile.write(path, sound(), RATE, format="MP3", bitrate_mode=mode, compression_level=0.5)
    path.write_bytes(without_first_frame(path.read_bytes()))


def write_piped_flac(path: Path) -> None:
    soundfile.write(path, sound(), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the total of samples is the last 36 bits before the MD5
    data[22:26] = bytes(4)
    path.write_bytes(data)


def write_unfinished_wav(path: Path) -> None:
    soundfile.write(path, sound(), RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    path.write_bytes(data)


UNSIZED: dict[str, Callable[[Path], None]] = {
    "constant.mp3": lambda path: write_mp3(path, "CONSTANT"),
    "variable.mp3": lambda path: write_mp3(path, "VARIABLE"),
    "pipe.flac": write_piped_flac,
    "killed.wav": write_unfinished_wav,
}


@pytest.fixture(params=UNSIZED)
def unsized(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    UNSIZED[request.param](path)
    return path


def test_all_samples_come_out(unsized: Path, capfd: pytest.CaptureFixture[str]) -> None:
    info = audio_info(unsized)
    whole = np.concatenate(list(read_blocks(unsized, 10007)), axis=1)
    assert (info.sample_rate, info.n_channels, info.n_samples) == (RATE, *whole.shape)
    assert all(block.shape == (1, 10007) for block in list(read_blocks(unsized, 10007))[:-1])
    if unsized.suffix == ".mp3":
        assert N_SAMPLES + DELAY <= info.n_samples <= N_SAMPLES + DELAY + 2 * 1152
        decoded, exact = whole[0, DELAY : DELAY + N_SAMPLES], sound()
        tone, noise = slice(1000, 3 * RATE - 1000), slice(3 * RATE + 1000, -1000)
        assert np.corrcoef(decoded[tone], exact[tone])[0, 1] > 0.999
        assert np.corrcoef(decoded[noise], exact[noise])[0, 1] > 0.6  # its treble is gone
    else:
        assert info.n_samples == N_SAMPLES
        assert np.abs(whole[0] - sound()).max() <= 2**-15
    np.testing.assert_array_equal(read_excerpt(unsized, 70_001, 50_000), whole[:, 70_001:120_001])
    assert whole.dtype == np.float32 and whole.flags.writeable
    with pytest.raises(InvalidCorpus, match="ends at sample"):
        read_excerpt(unsized, info.n_samples - 10, 11)
    assert capfd.readouterr() == ("", ""), "decoders keep to themselves what they think of a file"


def test_integers_are_those_of_libsndfile(tmp_path: Path) -> None:
    """Full scale is at 1, and k of 16 bits is k / 32768, whoever decodes."""
    samples = np.random.default_rng(1).integers(-(2**15), 2**15, (30_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", samples, RATE, subtype="PCM_16")
    expected = read_excerpt(tmp_path / "a.flac", 0, 30_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    np.testing.assert_array_equal(read_excerpt(tmp_path / "a.flac", 0, 30_000), expected)


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\x00\x00\x00\x00\x02\x00" + bytes(256)])
def test_an_mp3_that_says_its_length_is_libsndfiles(
    tmp_path: Path, tag: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mp3"
    soundfile.write(path, sound(), RATE, format="MP3")
    expected, _ = soundfile.read(path, dtype="float32")
    assert expected.shape == (N_SAMPLES,)
    path.write_bytes(tag + path.read_bytes() + b"TAG" + bytes(125))  # ID3v1
    assert audio_info(path).n_samples == N_SAMPLES
    np.testing.assert_array_equal(read_excerpt(path, 0, N_SAMPLES)[0], expected)


def test_an_appended_mp3_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, sound(), RATE, format="MP3")
    path.write_bytes(2 * path.read_bytes())
    assert audio_info(path).n_samples >= 2 * N_SAMPLES


def test_an_ogg_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, sound(), RATE)
    one = path.read_bytes()
    assert audio_info(path).n_samples == N_SAMPLES
    # The same again as another stream; decoders look at the checksums of its pages.
    serial, other = one[14:18], bytearray(one)
    start = 0
    while (start := other.find(b"OggS", start)) >= 0:
        n_segments = other[start + 26]
        end = start + 27 + n_segments + sum(other[start + 27 : start + 27 + n_segments])
        other[start + 14 : start + 18] = bytes(byte ^ 0x55 for byte in serial)
        other[start + 22 : start + 26] = bytes(4)
        checksum = 0
        for byte in other[start:end]:
            checksum ^= byte << 24
            for _ in range(8):
                checksum = checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)
                checksum &= 0xFFFFFFFF
        struct.pack_into("<I", other, start + 22, checksum)
        start = end
    path.write_bytes(one + other)
    assert 2 * N_SAMPLES <= audio_info(path).n_samples < 2 * N_SAMPLES + 2048
    whole = np.concatenate(list(read_blocks(path, 1 << 16)), axis=1)[0]
    for part in (whole[: 2 * RATE], whole[-N_SAMPLES:][: 2 * RATE]):  # both begin with the tone
        peak = np.abs(np.fft.rfft(part)).argmax() / 2
        assert abs(peak - 440) < 1


def test_a_cut_mp3_is_never_a_short_one(tmp_path: Path, capfd) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, sound(), RATE, format="MP3")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InvalidCorpus, match=r"a\.mp3: cannot be decoded: \d+ samples missing"):
        list(read_blocks(path, 1000))
    assert capfd.readouterr() == ("", "")


def test_what_is_an_mp3_by_its_name_alone_is_one_line(tmp_path: Path, capfd) -> None:
    path = tmp_path / "a.MP3"
    path.write_text("hello" * 99)
    with pytest.raises(InvalidCorpus, match=r"a\.MP3: cannot be decoded"):
        audio_info(path)
    assert capfd.readouterr() == ("", "")


def test_an_empty_wav_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0), RATE)
    text = b"LIST" + struct.pack("<I", 40) + bytes(40)
    data = bytearray(path.read_bytes() + text)
    struct.pack_into("<I", data, 4, len(data) - 8)
    path.write_bytes(data)
    assert audio_info(path).n_samples == 0
    assert list(read_blocks(path, 10)) == []


def test_without_pyav_it_is_refused_with_the_command(
    unsized: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (
        lambda: audio_info(unsized),
        lambda: read_excerpt(unsized, 0, 10),
        lambda: list(read_blocks(unsized, 10)),
    ):
        with pytest.raises(UsageError, match=re.escape(install_command("evaluate"))) as refusal:
            read()
        assert "\n" not in str(refusal.value)


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    import os

    path = tmp_path / "a.flac"
    write_piped_flac(path)
    assert audio_info(path).n_samples == N_SAMPLES
    soundfile.write(path, sound()[:1000], RATE)
    os.utime(path, ns=(1, 1))
    assert audio_info(path).n_samples == 1000


def test_damaged_ones_are_refused_by_name(unsized: Path) -> None:
    data = unsized.read_bytes()
    unsized.write_bytes(data[:30])
    with pytest.raises(InvalidCorpus, match=re.escape(str(unsized))) as refusal:
        list(read_blocks(unsized, 10))
    assert "\n" not in str(refusal.value)


def test_a_mistyped_path_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.wav", tmp_path / "none" / "a.flac"):
        with pytest.raises(Unreadable, match="not there"):
            audio_info(path)
    with pytest.raises(InvalidCorpus, match="is a folder, and no audio"):
        audio_info(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(InvalidCorpus, match="no regular file"):
        audio_info(tmp_path / "a.wav")


def test_m4a_is_read_like_mp4(tmp_path: Path) -> None:
    import av

    for name in ("a.m4a", "a.mp4"):
        with av.open(tmp_path / name, "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=RATE, layout="mono")
            samples = sound()[: 100 * 1024]
            for start in range(0, len(samples), 1024):
                block = np.ascontiguousarray(samples[None, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    infos = [audio_info(tmp_path / name) for name in ("a.m4a", "a.mp4")]
    assert infos[0] == infos[1] == (RATE, 1, 100 * 1024)
    read = [read_excerpt(tmp_path / name, 5000, 9000) for name in ("a.m4a", "a.mp4")]
    np.testing.assert_array_equal(*read)
