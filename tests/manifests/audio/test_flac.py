"""FLAC files: libsndfile reads from them every bit, and an error of the file is an error here."""

from __future__ import annotations

import ctypes
import errno
import gc
import hashlib
import io
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stemsmith.manifests.audio import flac, native
from stemsmith.manifests.audio.flac import SampleHash, encode_flac, encoding_flac, with_md5
from stemsmith.manifests.errors import InvalidCorpus, UsageError

Integers = npt.NDArray[np.int32]


def noise(n_channels: int, n_samples: int, n_bits: int) -> Integers:
    full = 1 << (n_bits - 1)
    return np.random.default_rng(0).integers(-full, full, (n_channels, n_samples)).astype(np.int32)


def read(data: bytes, n_bits: int) -> tuple[Integers, int]:
    """Return what libsndfile reads: (n_channels, n_samples) integers, and the rate."""
    frames, sample_rate = soundfile.read(io.BytesIO(data), dtype="int32", always_2d=True)
    return frames.T >> (32 - n_bits), sample_rate


@contextmanager
def written_by(library: str) -> Iterator[None]:
    """Write with libFLAC, which is there, or as where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        if library == "libsndfile":
            patch.setattr(flac, "_libflac", lambda: None)
        yield


@pytest.fixture(params=["libflac", "libsndfile"])
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have the test once with each of the two that write FLAC."""
    with written_by(request.param):
        yield request.param


@pytest.mark.parametrize("name", ["libflac", "libsndfile"])
@settings(deadline=None, max_examples=40)
@example(1, 0, 16, 44100, [])
@example(8, 5000, 24, 655350, [4096])
@given(
    st.integers(1, 8),
    st.integers(0, 9000),
    st.sampled_from([16, 24]),
    st.sampled_from([8000, 11025, 16000, 32001, 44100, 65537, 96000, 192000]),
    st.lists(st.integers(0, 9000), max_size=4),
)
def test_blocks_of_any_size_are_one_file_that_gives_back_every_bit(
    name: str, n_channels: int, n_samples: int, n_bits: int, sample_rate: int, cuts: list[int]
) -> None:
    samples = noise(n_channels, n_samples, n_bits)
    pieces = io.BytesIO()
    if name == "libsndfile" and sample_rate == 65537:  # its frames have no place for this rate
        with written_by(name), pytest.raises(UsageError, match="65537 Hz: not in a FLAC file"):
            encode_flac(samples, sample_rate, n_bits)
        return
    with written_by(name):
        whole = encode_flac(samples, sample_rate, n_bits)
        with encoding_flac(pieces, sample_rate, n_channels, n_bits) as encode:
            for piece in np.split(samples, sorted(cuts), axis=1):
                encode(piece)
    assert pieces.getvalue() == whole
    if n_samples:  # libsndfile takes a file without samples for damaged
        back, rate = read(whole, n_bits)
        np.testing.assert_array_equal(back, samples)
        assert rate == sample_rate


def test_more_than_one_piece_and_silence_between_sounds(library: str) -> None:
    samples = np.zeros((1, 300_000), np.int16)
    samples[0, 1000:2000] = 32767
    samples[0, 250_000:] = noise(1, 50_000, 16)
    np.testing.assert_array_equal(read(encode_flac(samples, 44100), 16)[0], samples)


def test_the_header_is_whole() -> None:
    """STREAMINFO (RFC 9639, section 8.2): sizes of frames and number of samples known, no MD5."""
    data = encode_flac(noise(2, 10_000, 16), 48000)
    assert data[:4] == b"fLaC"
    info = data[8:42]
    assert int.from_bytes(info[:2]) == int.from_bytes(info[2:4]) == 4096
    smallest, largest = int.from_bytes(info[4:7]), int.from_bytes(info[7:10])
    assert 0 < smallest <= largest < len(data)
    packed = int.from_bytes(info[10:18])
    assert packed >> 44 == 48000
    assert (packed >> 41 & 7) + 1 == 2
    assert (packed >> 36 & 31) + 1 == 16
    assert packed & (1 << 36) - 1 == 10_000
    assert info[18:] == bytes(16)


@pytest.mark.parametrize("n_bits", [16, 24])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_md5_in_the_header_is_that_of_the_samples(n_channels: int, n_bits: int) -> None:
    """The same that libsndfile writes, over more than one block, and nothing else has changed."""
    samples = noise(n_channels, 100_001, n_bits)
    data = encode_flac(samples, 44100, n_bits)
    patched = with_md5(data, "a.flac")
    samples_as_bytes = samples.T.astype("<i4").tobytes()
    if n_bits == 16:
        samples_as_bytes = samples.T.astype("<i2").tobytes()
    else:
        wide = np.frombuffer(samples_as_bytes, np.uint8).reshape(-1, 4)
        samples_as_bytes = wide[:, :3].tobytes()
    assert patched[26:42] == hashlib.md5(samples_as_bytes).digest()
    assert (patched[:26], patched[42:]) == (data[:26], data[42:])
    with written_by("libsndfile"):
        by_libsndfile = encode_flac(samples, 44100, n_bits)
    assert by_libsndfile[26:42] == patched[26:42]
    assert with_md5(by_libsndfile, "a.flac") is by_libsndfile
    assert with_md5(patched, "a.flac") is patched


@pytest.mark.clients
@pytest.mark.parametrize("n_bits", [16, 24])
def test_flac_itself_finds_nothing_to_say_of_a_file_with_its_md5(
    tmp_path: Path, n_bits: int, program: Callable[..., str]
) -> None:
    """``flac --test --warnings-as-errors`` takes a file without one for faulty, or a wrong one."""
    flac_program, path = program("flac"), tmp_path / "a.flac"
    data = encode_flac(noise(2, 50_000, n_bits), 44100, n_bits)
    wrong = bytearray(with_md5(data, "a.flac"))
    wrong[30] ^= 1
    for content, is_sound in ((data, False), (bytes(wrong), False), (with_md5(data, "a"), True)):
        path.write_bytes(content)
        command = [flac_program, "--silent", "--test", "--warnings-as-errors", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode == 0) == is_sound, done.stderr


@pytest.mark.parametrize("n_kept", [0, 3, 41, 42, 3000, 40_000])
def test_a_file_that_is_cut_gets_no_md5(n_kept: int) -> None:
    data = encode_flac(noise(1, 50_000, 16), 44100)
    with pytest.raises(InvalidCorpus, match=r"^a\.flac: (not a FLAC file|cannot be decoded)"):
        with_md5(data[:n_kept], "a.flac")


def test_a_file_with_a_damaged_frame_gets_no_md5() -> None:
    data = bytearray(encode_flac(noise(1, 50_000, 16), 44100))
    data[30_000:30_100] = bytes(100)
    with pytest.raises(InvalidCorpus, match=r"^a\.flac: cannot be decoded"):
        with_md5(bytes(data), "a.flac")


def test_what_is_no_flac_file_gets_no_md5() -> None:
    with pytest.raises(InvalidCorpus, match=r"^b\.wav: not a FLAC file$"):
        with_md5(b"RIFF" + bytes(100), "b.wav")


def test_samples_may_be_a_strided_view(library: str) -> None:
    samples = noise(4, 6000, 24)
    view = samples[::2, ::-1]
    np.testing.assert_array_equal(read(encode_flac(view, 16000, 24), 24)[0], view)


@pytest.mark.parametrize(("n_channels", "sample_rate"), [(9, 44100), (0, 44100), (1, 1_048_576)])
def test_what_flac_cannot_hold_is_refused(library: str, n_channels: int, sample_rate: int) -> None:
    with pytest.raises(UsageError, match=f"{n_channels} channels at {sample_rate} Hz.*take WAV"):
        encode_flac(np.zeros((n_channels, 10), np.int16), sample_rate)


@pytest.mark.parametrize("value", [32768, -32769, 1 << 30])
def test_a_sample_beyond_its_bits_is_an_error(library: str, value: int) -> None:
    with pytest.raises(ValueError, match="beyond 16 bits"):
        encode_flac(np.full((1, 5000), value, np.int32), 44100)


class Full(io.BytesIO):
    """A disk with room for so many bytes."""

    def __init__(self, room: int, error: BaseException) -> None:
        super().__init__()
        self.room, self.error = room, error

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self.room:
            raise self.error
        return super().write(data)


@pytest.mark.parametrize("room", [0, 50, 20_000, 99_000])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_error_of_the_file_comes_out(library: str, room: int, error: BaseException) -> None:
    """In the header, in a frame, in the last frame, which is written when all is over."""
    file = Full(room, error)
    with (
        pytest.raises(type(error)) as caught,
        encoding_flac(file, 44100, 1, 16) as encode,
    ):
        encode(noise(1, 50_000, 16))
    assert caught.value is error
    assert file.tell() <= room


def test_a_file_is_let_go_when_it_is_written(library: str) -> None:
    """Without a search for circles, which `render` does without."""
    file = Full(1 << 20, OSError())
    alive = weakref.ref(file)
    gc.disable()
    try:
        with encoding_flac(file, 44100, 1, 16) as encode:
            encode(noise(1, 5000, 16))
        del file, encode
        assert alive() is None
    finally:
        gc.enable()


def test_an_error_of_the_body_ends_the_encoder_and_comes_out(library: str) -> None:
    with pytest.raises(ZeroDivisionError), encoding_flac(io.BytesIO(), 44100, 1, 16) as encode:
        encode(noise(1, 5000, 16))
        1 / 0  # noqa: B018


def test_a_library_that_cannot_be_loaded_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "libFLAC.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setenv(flac.VARIABLE, str(broken))
    assert native.find_library("FLAC", flac.VARIABLE) == str(broken)
    flac._libflac.cache_clear()
    try:
        with pytest.raises(UsageError, match=rf"{broken}.*install pygame-ce.*{flac.VARIABLE}"):
            encode_flac(noise(1, 10, 16), 44100)
    finally:
        flac._libflac.cache_clear()


def test_the_library_comes_with_a_wheel() -> None:
    found = native.find_library("FLAC", flac.VARIABLE)
    assert found is not None
    assert "pygame" in found
    assert flac.encoder_version()["libflac"].split(".")[0] == "1"
    assert flac.encoder_warnings() == ()


def test_where_there_is_no_library_libsndfile_writes_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None that is found, or one that was found and cannot be loaded."""
    broken = tmp_path / "libFLAC.so"
    broken.write_bytes(b"not a library")
    for found in (None, str(broken)):
        monkeypatch.setattr(flac, "find_library", lambda name, variable, found=found: found)
        flac._libflac.cache_clear()
        try:
            samples = noise(1, 5000, 16)
            np.testing.assert_array_equal(read(encode_flac(samples, 44100), 16)[0], samples)
            assert flac.encoder_version() == {"libsndfile": soundfile.__libsndfile_version__}
            (warning,) = flac.encoder_warnings()
        finally:
            flac._libflac.cache_clear()
        assert "\n" not in warning
        assert "libsndfile" in warning and flac.VARIABLE in warning


@pytest.mark.parametrize(("n_bits", "kind"), [(16, "<i2"), (24, "<i4")])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_hash_of_samples_is_that_of_what_a_reader_has(
    library: str, n_bits: int, kind: str, n_channels: int
) -> None:
    """Whoever wrote the file, and whatever the blocks."""
    samples, digest = noise(n_channels, 70_000, n_bits), SampleHash(n_bits)
    for block in np.split(samples, [1, 4096], axis=1):
        digest.update(block)
    read_again, _ = soundfile.read(
        io.BytesIO(encode_flac(samples, 44100, n_bits)), dtype="int32", always_2d=True
    )
    plain = (read_again >> (32 - n_bits)).astype(kind).tobytes()
    assert digest.hexdigest() == hashlib.sha256(plain).hexdigest()
    assert digest.hexdigest() != SampleHash(n_bits).hexdigest()


def test_libraries_are_loaded_after_those_that_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a loader that finds nothing by itself, and says so as that of glibc does."""
    needed = {"top": ["middle", "other"], "middle": ["deep"], "deep": [], "other": ["deep"]}
    needed |= {"lost": ["nowhere"], "a": ["b"], "b": ["a"]}
    loaded: list[str] = []

    def load(path: str) -> None:
        name = Path(path).name
        for other in needed[name]:
            if other not in loaded:
                raise OSError(f"{other}: cannot open shared object file: No such file or directory")
        loaded.append(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    for name in needed:
        (tmp_path / name).touch()
    native.load_needed(tmp_path / "top")
    assert loaded == ["deep", "middle", "other", "top"]
    for name in ("lost", "a"):  # said later, by whoever wants it
        native.load_needed(tmp_path / name)
    assert loaded == ["deep", "middle", "other", "top"]


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="needs Linux and cc"
)
def test_what_a_library_needs_is_found_beside_it(tmp_path: Path) -> None:
    """As in wheels whose libraries do not say where the others are."""
    for name, code, needed in (
        ("stemsmith_deep", "int deep(void) { return 42; }", []),
        ("stemsmith_middle", "int deep(void); int middle(void) { return deep(); }", ["deep"]),
        ("stemsmith_top", "int middle(void); int top(void) { return middle(); }", ["middle"]),
    ):
        (tmp_path / f"{name}.c").write_text(code)
        flags = ["-shared", "-fPIC", "-Wl,--allow-shlib-undefined", f"-L{tmp_path}"]
        subprocess.run(
            ["cc", *flags, f"-Wl,-soname,lib{name}.so", "-o", f"{tmp_path}/lib{name}.so",
             f"{tmp_path}/{name}.c", *(f"-lstemsmith_{other}" for other in needed)],
            check=True,
        )  # fmt: skip
    top = tmp_path / "libstemsmith_top.so"
    with pytest.raises(OSError, match="libstemsmith_middle"):
        ctypes.CDLL(str(top))
    native.load_needed(top)
    assert ctypes.CDLL(str(top)).top() == 42
    native.load_needed(tmp_path / "libmissing.so")  # said later, by whoever wants it
