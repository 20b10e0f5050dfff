"""Streams of a .stem.mp4: the right one, as long as its siblings, and aligned with them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import correlate
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio import stem_mp4
from stemsmith.manifests.audio.read import audio_info, read_blocks, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, UsageError, install_command

RATE = 44100
N_STREAMS = 5  # mixture, drums, bass, other, vocals


def sines(n_samples: int) -> list[Float32s]:
    """Return stereo sines of 300, 500, ... Hz under an envelope, so that they have a position."""
    t = np.arange(n_samples) / RATE
    swell = np.sin(2 * np.pi * 0.7 * t) ** 2
    left = [0.3 * swell * np.sin(2 * np.pi * (300 + 200 * k) * t) for k in range(N_STREAMS)]
    return [np.stack([x, 0.5 * x]).astype(np.float32) for x in left]


def write_mp4(
    path: Path, streams: Sequence[Float32s], codec: str = "aac", sample_format: str = "fltp"
) -> None:
    with av.open(path, "w", format="mp4") as container:
        outs = [container.add_stream(codec, rate=RATE, layout="stereo") for _ in streams]
        for out, samples in zip(outs, streams, strict=True):
            if sample_format == "s16p":
                samples = (samples * 32768).astype(np.int16)
            for start in range(0, samples.shape[1], 1024):
                block = np.ascontiguousarray(samples[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format=sample_format, layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(out.encode(frame))
            container.mux(out.encode(None))


@pytest.fixture(scope="module")
def musdb_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mp4") / "A - B: C.stem.mp4"
    write_mp4(path, sines(3 * RATE))
    return path


@pytest.mark.parametrize("n_samples", [100 * 1024, 100 * 1024 + 1, 3 * RATE])
def test_streams_are_equally_long_and_where_they_were(tmp_path: Path, n_samples: int) -> None:
    path = tmp_path / "a.stem.mp4"
    originals = sines(n_samples)
    write_mp4(path, originals)
    lengths = set()
    for k, original in enumerate(originals):
        info = audio_info(path, k)
        samples = read_excerpt(path, 0, info.n_samples, k)
        assert (info.sample_rate, info.n_channels) == (RATE, 2)
        assert samples.dtype == np.float32
        assert samples.shape == (2, info.n_samples)
        lengths.add(info.n_samples)
        for read, written in zip(samples, original, strict=True):
            lag = int(correlate(read, written).argmax()) - (n_samples - 1)
            assert lag == 0, f"stream {k}"
        n = min(info.n_samples, n_samples)
        error = samples[:, :n] - original[:, :n]
        assert np.mean(error**2) < 1e-4 * np.mean(original**2)
    assert len(lengths) == 1
    # MP4 edit lists count in milliseconds.
    assert abs(lengths.pop() - n_samples) <= RATE / 1000


def test_a_lossless_stream_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    integers = np.random.default_rng(0).integers(-32768, 32768, (2, 50_000)) / 32768
    write_mp4(path, [integers.astype(np.float32)], "alac", "s16p")
    assert audio_info(path) == (RATE, 2, 50_000)
    np.testing.assert_array_equal(read_excerpt(path, 0, 50_000), integers)


def test_streams_of_different_length_are_read_as_long_as_the_shortest(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    one, other, *_ = sines(60_000)
    write_mp4(path, [one, other[:, :50_000]], "alac", "s16p")
    assert {audio_info(path, k).n_samples for k in (0, 1)} == {50_000}
    read = read_excerpt(path, 0, 50_000, 0)
    np.testing.assert_allclose(read, one[:, :50_000], atol=1 / 32768)


def test_excerpts_and_blocks_are_stretches_of_the_whole(musdb_file: Path) -> None:
    n_samples = audio_info(musdb_file, 2).n_samples
    whole = read_excerpt(musdb_file, 0, n_samples, 2)
    excerpt = read_excerpt(musdb_file, 12_345, 1000, 2)
    np.testing.assert_array_equal(excerpt, whole[:, 12_345:13_345])
    blocks = list(read_blocks(musdb_file, 50_000, 2))
    assert [block.shape[1] for block in blocks[:2]] == [50_000, 50_000]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)


def test_changing_an_excerpt_does_not_change_what_is_read_next(musdb_file: Path) -> None:
    first = read_excerpt(musdb_file, 20_000, 1000, 1)
    kept = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(read_excerpt(musdb_file, 20_000, 1000, 1), kept)
    with pytest.raises(ValueError, match="read-only"):
        stem_mp4.decode_stream(musdb_file, 1)[:] = 7


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    one, other, *_ = sines(20_000)
    write_mp4(path, [one], "alac", "s16p")
    before = read_excerpt(path, 0, 20_000)
    write_mp4(path, [other], "alac", "s16p")
    assert not np.array_equal(read_excerpt(path, 0, 20_000), before)


@pytest.mark.parametrize("stream", [-1, N_STREAMS])
def test_a_stream_that_is_not_there_is_refused_by_name(musdb_file: Path, stream: int) -> None:
    for call in (
        lambda: audio_info(musdb_file, stream),
        lambda: read_excerpt(musdb_file, 0, 10, stream),
    ):
        with pytest.raises(InvalidCorpus, match=re.escape(str(musdb_file))) as refusal:
            call()
        assert f"5 audio streams, and none of number {stream}" in str(refusal.value)


def test_an_excerpt_beyond_the_end_is_refused(musdb_file: Path) -> None:
    n_samples = audio_info(musdb_file, 0).n_samples
    with pytest.raises(InvalidCorpus, match=f"ends at sample {n_samples}, before"):
        read_excerpt(musdb_file, n_samples - 10, 11, 0)
    with pytest.raises(InvalidCorpus, match="cannot start at sample -1"):
        read_excerpt(musdb_file, -1, 10, 0)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for call in (lambda: audio_info(path), lambda: read_excerpt(path, 0, 1)):
        with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: cannot be read: No such")):
            call()


def test_a_file_that_is_no_mp4_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for content in (b"", b"no audio at all" * 100):
        path.write_bytes(content)
        with pytest.raises(InvalidCorpus, match=re.escape(f"{path}: cannot be")) as refusal:
            audio_info(path)
        assert "\n" not in str(refusal.value)


def test_a_file_cut_or_overwritten_is_refused_by_name(musdb_file: Path, tmp_path: Path) -> None:
    content = musdb_file.read_bytes()
    index = content.rindex(b"moov")
    path = tmp_path / "a.mp4"
    for damaged in (
        content[: len(content) // 2],  # the index is at the end, and gone
        content[index - 4 :] + content[: index - 4],  # the index points to other bytes
        content[:1000] + bytes(index - 2000) + content[index - 1000 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InvalidCorpus, match=re.escape(str(path))) as refusal:
            read_excerpt(path, 0, 10, 3)
        assert "\n" not in str(refusal.value)


def test_without_pyav_one_line_says_what_to_install(
    musdb_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=re.escape(install_command("evaluate"))):
        audio_info(musdb_file)
