"""Samples on disk: what is read is what was written, or the file is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile
from stemsmith.manifests.arrays import Int16s
from stemsmith.manifests.audio.flac import encode_flac
from stemsmith.manifests.audio.read import (
    FULL_SCALE_16,
    audio_info,
    encode_wav,
    read_blocks,
    read_excerpt,
    read_int16,
)
from stemsmith.manifests.errors import InvalidCorpus

RATES = (8000, 16000, 22050, 32000, 44100, 48000, 96000)
samples_16 = hnp.arrays(
    np.int16,
    st.integers(1, 5000),
    elements=st.one_of(st.sampled_from([-32768, 32767, 0]), st.integers(-32768, 32767)),
    fill=st.sampled_from([-32768, 32767, 0, 1]).map(np.int16),
)


def write_flac(path: Path, samples: Int16s, sample_rate: int) -> None:
    """Write a stem."""
    path.write_bytes(encode_flac(samples[np.newaxis], sample_rate))


def tone(n_samples: int = 20_000) -> Int16s:
    return (9000 * np.sin(np.arange(n_samples) / 20)).astype(np.int16)


def noise(n_samples: int = 20_000) -> Int16s:
    return np.random.default_rng(0).integers(-32768, 32768, n_samples).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audio")


@settings(deadline=None)
@example(np.array([-32768], np.int16), 44100)
@example(np.array([32767, -32768] * 5000, np.int16), 44100)
@example(np.zeros(9999, np.int16), 44100)
@given(samples_16, st.sampled_from(RATES))
def test_flac_gives_back_every_bit(folder: Path, samples: Int16s, sample_rate: int) -> None:
    path = folder / "a.flac"
    write_flac(path, samples, sample_rate)
    read, read_rate = read_int16(path)
    assert read.dtype == np.int16
    assert read.shape == (1, len(samples))
    np.testing.assert_array_equal(read[0], samples)
    assert read_rate == sample_rate


def test_every_16_bit_value_survives(tmp_path: Path) -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    write_flac(tmp_path / "a.flac", samples, 44100)
    np.testing.assert_array_equal(read_int16(tmp_path / "a.flac")[0], samples[None])


def test_a_stem_is_mono_16_bit_flac(tmp_path: Path) -> None:
    write_flac(tmp_path / "a.flac", tone(), 44100)
    info = soundfile.info(tmp_path / "a.flac")
    assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
    assert (info.samplerate, info.frames) == (44100, 20_000)


def test_an_integer_k_reads_as_k_over_32768_of_full_scale(tmp_path: Path) -> None:
    samples = np.array([-32768, -1, 0, 1, 16384, 32767], np.int16)
    write_flac(tmp_path / "a.flac", samples, 44100)
    as_float, _ = soundfile.read(tmp_path / "a.flac", dtype="float64")
    np.testing.assert_array_equal(as_float * FULL_SCALE_16, samples)


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.flac", "b.flac"):
        write_flac(tmp_path / name, noise(), 44100)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


@pytest.mark.parametrize(("n_channels", "subtype"), [(1, "PCM_24"), (2, "PCM_24"), (1, "PCM_S8")])
def test_a_file_that_is_not_of_16_bits_is_refused(
    tmp_path: Path, n_channels: int, subtype: str
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((100, n_channels)), 44100, format="FLAC", subtype=subtype)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))) as refusal:
        read_int16(path)
    assert f"{subtype}, not PCM_16" in str(refusal.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=re.escape(str(tmp_path / "a.flac"))):
        read_int16(tmp_path / "a.flac")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=re.escape(str(tmp_path))):
        read_int16(tmp_path)


@pytest.mark.parametrize("content", [b"", b"fLaC", b"RIFF", b"no audio at all" * 100])
def test_a_file_that_is_no_audio_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(content)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        read_int16(path)


@pytest.mark.parametrize("signal", [tone(), noise()], ids=["tone", "noise"])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path, signal: Int16s) -> None:
    path = tmp_path / "a.flac"
    write_flac(path, signal, 44100)
    content = path.read_bytes()
    # FLAC frames begin with this code: a cut there leaves whole frames only.
    frames = [found.start() for found in re.finditer(b"\xff\xf8", content)]
    assert len(frames) >= 4
    for cut in {0, 30, 42, 100, *frames, len(content) // 2, len(content) - 1}:
        path.write_bytes(content[:cut])
        with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
            read_int16(path)


def test_a_file_with_overwritten_samples_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_flac(path, noise(), 44100)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        read_int16(path)


def test_a_folder_whose_name_is_not_utf_8_holds_audio_like_any_other(folder: Path) -> None:
    odd = folder / "caf\udce9"
    try:
        odd.mkdir()
    except OSError as error:
        pytest.skip(f"this file system has UTF-8 names only: {error}")
    write_flac(odd / "a.flac", tone(), 44100)
    np.testing.assert_array_equal(read_int16(odd / "a.flac")[0], tone()[None])


def write_pair(path: Path, n_samples: int = 20_000) -> npt.NDArray[np.float64]:
    """Write two channels of 16-bit noise in the format of the suffix; return (2, n_samples)."""
    samples = np.random.default_rng(1).integers(-32768, 32768, (2, n_samples)) / FULL_SCALE_16
    soundfile.write(path, samples.T, 48000, subtype="PCM_16")
    return samples


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
@pytest.mark.parametrize(
    ("start", "n_samples"), [(0, 20_000), (0, 1), (4095, 2), (7777, 9000), (19_999, 1), (20_000, 0)]
)
def test_an_excerpt_is_exactly_that_stretch(
    tmp_path: Path, suffix: str, start: int, n_samples: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = write_pair(path)
    excerpt = read_excerpt(path, start, n_samples)
    assert excerpt.dtype == np.float32
    assert excerpt.flags.c_contiguous
    np.testing.assert_array_equal(excerpt, whole[:, start : start + n_samples])
    assert audio_info(path) == (48000, 2, 20_000)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_an_excerpt_of_every_16_bit_value_is_exact(tmp_path: Path, suffix: str) -> None:
    integers = np.arange(-32768, 32768)
    soundfile.write(tmp_path / f"a.{suffix}", integers.astype(np.int16), 44100, subtype="PCM_16")
    excerpt = read_excerpt(tmp_path / f"a.{suffix}", 0, 65536)
    assert excerpt.shape == (1, 65536)
    assert excerpt.flags.c_contiguous
    np.testing.assert_array_equal(excerpt[0], integers / 32768)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_an_excerpt_that_is_not_inside_the_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_pair(path)
    for start, n_samples in ((0, 20_001), (19_999, 2), (20_001, 0), (50_000, 10)):
        with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: ends at sample 20000, before")):
            read_excerpt(path, start, n_samples)
    with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: an excerpt cannot start at")):
        read_excerpt(path, -1, 10)


@pytest.mark.parametrize("n_block", [1000, 8192, 20_000, 30_000])
def test_blocks_are_the_whole_file_in_order(tmp_path: Path, n_block: int) -> None:
    whole = write_pair(tmp_path / "a.flac")
    blocks = list(read_blocks(tmp_path / "a.flac", n_block))
    assert [block.shape[1] for block in blocks[:-1]] == [n_block] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)


def test_a_file_without_samples_has_no_blocks(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 44100)
    assert list(read_blocks(tmp_path / "a.wav", 100)) == []
    assert read_excerpt(tmp_path / "a.wav", 0, 0).shape == (2, 0)


def test_a_missing_or_foreign_file_is_refused_by_every_reader(tmp_path: Path) -> None:
    foreign = tmp_path / "b.wav"
    foreign.write_bytes(b"no audio at all" * 100)
    for path in (tmp_path / "a.wav", foreign, tmp_path):
        for read in (
            lambda path=path: audio_info(path),
            lambda path=path: read_excerpt(path, 0, 10),
            lambda path=path: list(read_blocks(path, 10)),
        ):
            with pytest.raises(InvalidCorpus, match=re.escape(str(path))) as refusal:
                read()
            assert "\n" not in str(refusal.value)


def test_a_damaged_stretch_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    whole = write_pair(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_excerpt(path, 0, 4000), whole[:, :4000])
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        read_excerpt(path, 6000, 8000)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        list(read_blocks(path, 3000))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_cut_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_pair(path)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))):
        read_excerpt(path, 10_000, 10_000)


def test_only_mp4_has_more_than_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_pair(path)
    for read in (lambda: audio_info(path, 1), lambda: read_excerpt(path, 0, 10, 1)):
        with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: has one audio stream")):
            read()


@pytest.mark.parametrize("n_channels", [1, 2])
def test_flac_of_any_channels_gives_back_every_bit(n_channels: int) -> None:
    samples = np.random.default_rng(2).integers(-32768, 32768, (n_channels, 9000)).astype(np.int16)
    read, sample_rate = soundfile.read(
        io.BytesIO(encode_flac(samples, 32000)), dtype="int16", always_2d=True
    )
    np.testing.assert_array_equal(read.T, samples)
    assert sample_rate == 32000


@pytest.mark.parametrize("n_channels", [1, 2])
def test_float_wav_gives_back_every_bit_also_beyond_full_scale(
    tmp_path: Path, n_channels: int
) -> None:
    samples = np.random.default_rng(3).standard_normal((n_channels, 9000)).astype(np.float32) * 3
    path = tmp_path / "a.wav"
    path.write_bytes(encode_wav(samples, 44100))
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate) == ("WAV", "FLOAT", 44100)
    np.testing.assert_array_equal(read_excerpt(path, 0, 9000), samples)
    np.testing.assert_array_equal(np.atleast_2d(wavfile.read(path)[1].T), samples)


def test_float_wav_holds_samples_and_nothing_else() -> None:
    samples = np.zeros((2, 100), np.float32)
    content = encode_wav(samples, 44100)
    assert content == encode_wav(samples.copy(), 44100)
    assert b"PEAK" not in content  # libsndfile's chunk has the time of day in it
    assert len(content) - samples.nbytes == 58  # RIFF 12, fmt 26, fact 12, data 8
