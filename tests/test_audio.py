"""Samples on disk: what is read is what was written, or the file is refused."""

from __future__ import annotations

import re
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stemsmith.manifests.audio import FULL_SCALE_16, read_int16, write_flac
from stemsmith.manifests.errors import InvalidCorpus

Int16s = npt.NDArray[np.int16]

RATES = (8000, 16000, 22050, 32000, 44100, 48000, 96000)
samples_16 = hnp.arrays(
    np.int16,
    st.integers(1, 5000),
    elements=st.one_of(st.sampled_from([-32768, 32767, 0]), st.integers(-32768, 32767)),
    fill=st.sampled_from([-32768, 32767, 0, 1]).map(np.int16),
)


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
    assert read.shape == samples.shape
    np.testing.assert_array_equal(read, samples)
    assert read_rate == sample_rate


def test_every_16_bit_value_survives(tmp_path: Path) -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    write_flac(tmp_path / "a.flac", samples, 44100)
    np.testing.assert_array_equal(read_int16(tmp_path / "a.flac")[0], samples)


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


@pytest.mark.parametrize(
    ("n_channels", "subtype"), [(2, "PCM_16"), (1, "PCM_24"), (2, "PCM_24"), (1, "PCM_S8")]
)
def test_a_file_that_is_not_mono_16_bit_is_refused(
    tmp_path: Path, n_channels: int, subtype: str
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((100, n_channels)), 44100, format="FLAC", subtype=subtype)
    with pytest.raises(InvalidCorpus, match=re.escape(str(path))) as refusal:
        read_int16(path)
    assert f"{n_channels} channels of {subtype}" in str(refusal.value)


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


def test_a_path_that_cannot_be_written_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "a.flac", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))):
            write_flac(path, tone(), 44100)


def test_a_folder_whose_name_is_not_utf_8_holds_audio_like_any_other(folder: Path) -> None:
    odd = folder / "caf\udce9"
    try:
        odd.mkdir()
    except OSError as error:
        pytest.skip(f"this file system has UTF-8 names only: {error}")
    write_flac(odd / "a.flac", tone(), 44100)
    np.testing.assert_array_equal(read_int16(odd / "a.flac")[0], tone())
