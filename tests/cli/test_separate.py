"""`stemsmith separate`: files in, files of every target out, or one line that says why not."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stemsmith.manifests.audio import flac
from stemsmith.manifests.audio.formats import FileFormat
from stemsmith.manifests.audio.read import (
    AudioInfo,
    audio_info,
    encode_wav,
    read_blocks,
    read_excerpt,
)
from stemsmith.manifests.audio.write import writing
from stemsmith.manifests.errors import UsageError

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.evaluate.separation.files import folder_names
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.train import run as trained
from stemsmith.train.checkpoints import AtomicCheckpointIO
from stemsmith.train.destination import RunDestination
from stemsmith.train.models.architectures.blstm import BLSTMConfig
from stemsmith.train.models.architectures.cnn import CNNConfig
from stemsmith.train.models.base import ModelConfig
from stemsmith.train.models.registry import make_model

Command = Callable[..., subprocess.CompletedProcess[str]]
SIZES: dict[str, Any] = {"sample_rate": 8000, "n_fft": 128, "hop": 32}
CNN = CNNConfig(
    targets=("bass", "drums"),
    segment_frames=12,
    step_frames=10,
    n_filters=6,
    n_bottleneck=16,
    **SIZES,
)
BLSTM = BLSTMConfig(targets=("piano",), n_layers=1, n_units=8, segment_frames=16, **SIZES)


def write_run(root: Path, name: str, config: ModelConfig) -> Path:
    """Write a run of a network that has learned nothing."""
    torch.manual_seed(0)
    weights = {f"model.{key}": v for key, v in make_model(name, config).state_dict().items()}
    folder = RunDestination(root)
    folder.checkpoints.mkdir(parents=True)
    AtomicCheckpointIO().save_checkpoint({"state_dict": weights}, folder.checkpoint(trained.BEST))
    content = {
        "version": trained.VERSION,
        "config": {"model": name, "settings": dataclasses.asdict(config)},
    }
    (root / "run.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cnn", "cnn", CNN)


@pytest.fixture(scope="module")
def blstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "blstm", "blstm", BLSTM)


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("Error: ")
    for word in words:
        assert word in done.stderr


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_two_runs_separate_two_recordings(
    cnn: Path, blstm: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    first = make_noise(tmp_path / "first.wav", 1.0)
    second = make_noise(tmp_path / "second.wav", 0.7, sample_rate=8000, n_channels=1)
    out = tmp_path / "out"
    done = here("separate", f"{cnn},{blstm}", first, second, out, "--residual", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    names = ("bass", "drums", "piano", "residual")
    assert files(out) == [f"{song}/{name}.wav" for song in ("first", "second") for name in names]
    assert f"{out}: bass, drums, piano, residual of 2 recordings, 1.7 s; real-time" in done.stdout
    system = Separator.of_runs([cnn, blstm], device="cpu")
    for path in (first, second):
        mixture, rate = soundfile.read(path, dtype="float32", always_2d=True)
        estimates = system.separate(np.ascontiguousarray(mixture.T), rate)
        total = np.zeros_like(mixture)
        for name in names:
            written = out / path.stem / f"{name}.wav"
            info = soundfile.info(written)
            assert (info.samplerate, info.channels, info.frames) == (rate, *mixture.shape[::-1])
            assert info.subtype == "FLOAT"
            values, _ = soundfile.read(written, dtype="float32", always_2d=True)
            total += values
            if name in estimates:
                np.testing.assert_allclose(values.T, estimates[name], atol=1e-6)
        np.testing.assert_allclose(total, mixture, atol=1e-6)


def test_options_reach_the_system(cnn: Path, tmp_path: Path, make_noise, here: Command) -> None:
    song = make_noise(tmp_path / "song.wav", 1.5, sample_rate=8000)
    mixture, _ = soundfile.read(song, dtype="float32")

    def run(name: str, *options: object) -> dict[str, Any]:
        done = here("separate", cnn, song, tmp_path / name, "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def read(name: str, target: str) -> Any:
        return soundfile.read(tmp_path / name / "song" / f"{target}.wav", dtype="float32")[0]

    plain = run("plain")
    assert plain["n_recordings"] == 1 and plain["audio_s"] == 1.5 and not plain["rejections"]
    assert plain["real_time_factor"] == pytest.approx(plain["processing_s"] / 1.5)
    assert "latency_ms" not in plain
    run("masked", "--mask-exponent", 2, "--overlap", 0.5)
    np.testing.assert_allclose(read("masked", "bass") + read("masked", "drums"), mixture, atol=1e-6)
    assert np.abs(read("masked", "bass") - read("plain", "bass")).max() > 1e-4
    run("silent", "--threshold", "0,0", "--threshold", "drums=1,0")
    assert not read("silent", "drums").any()
    np.testing.assert_array_equal(read("silent", "bass"), read("plain", "bass"))
    run("phases", "--phase", "griffin-lim", "--iterations", 2)
    assert np.abs(read("phases", "bass") - read("plain", "bass")).max() > 1e-4
    streamed = run("streamed", "--streaming")
    assert streamed["latency_ms"] == pytest.approx(1000 * (11 * 32 + 128) / 8000)
    np.testing.assert_allclose(read("streamed", "bass"), read("plain", "bass"), atol=1e-6)


@pytest.mark.parametrize(("file_format", "n_warnings"), [("flac", 1), ("wav16", 0), ("wav", 0)])
def test_without_libflac_flac_is_written_with_one_warning(
    cnn: Path,
    tmp_path: Path,
    here: Command,
    monkeypatch: pytest.MonkeyPatch,
    file_format: str,
    n_warnings: int,
) -> None:
    monkeypatch.setattr(flac, "_libflac", lambda: None)
    songs = [tmp_path / f"{name}.wav" for name in ("a", "b")]
    for song in songs:
        soundfile.write(song, np.zeros((8000, 1)), 8000)
    done = here("separate", cnn, *songs, tmp_path / "out", "--format", file_format)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("libsndfile") == done.stderr.count("\n") == n_warnings
    for song in songs:
        (written,) = (tmp_path / "out" / song.stem).glob("bass.*")
        assert soundfile.info(written).frames == 8000


@pytest.mark.parametrize(
    ("file_format", "name", "subtype", "digits"),
    [("flac", "bass.flac", "PCM_24", 23), ("wav16", "bass.wav", "PCM_16", 15)],
)
def test_integers_clip_and_say_so(
    cnn: Path, tmp_path: Path, here: Command, file_format: str, name: str, subtype: str, digits: int
) -> None:
    """A float recording beyond full scale, of which a mask leaves about a half."""
    song = tmp_path / "song.wav"
    audio = 3 * np.random.default_rng(0).uniform(-1, 1, (8000, 1))
    soundfile.write(song, audio, 8000, subtype="FLOAT")
    done = here("separate", cnn, song, tmp_path / "i", "--format", file_format)
    assert done.returncode == 0 and done.stderr.count("clipped, the peak is") == 2, done.stderr
    assert str(tmp_path / "i" / "song" / name) in done.stderr
    done = here("separate", cnn, song, tmp_path / "f")
    assert done.returncode == 0 and not done.stderr
    exact, _ = soundfile.read(tmp_path / "f" / "song" / "bass.wav")
    path = tmp_path / "i" / "song" / name
    assert soundfile.info(path).subtype == subtype
    integers, _ = soundfile.read(path)
    assert np.abs(exact).max() > 1
    assert np.abs(integers - np.clip(exact, -1, 1)).max() <= 2.0**-digits


def test_what_cannot_be_read_is_left_out(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    good = make_noise(tmp_path / "good.wav", 0.5)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(9000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    bad = [tmp_path / "bad.wav", nan, tmp_path / "empty.wav", tmp_path / "none.wav", tmp_path]
    out = tmp_path / "out"
    done = here("separate", cnn, *bad, good, out)
    assert done.returncode == 0, done.stderr
    assert "5 left out" in done.stdout and "damaged" in done.stdout
    assert files(out) == ["good/bass.wav", "good/drums.wav"]
    assert [path.name for path in out.iterdir()] == ["good"]
    done = here("separate", cnn, *bad, out, "--json")
    assert_one_line_error(done, 1, "bad.wav")
    done = here("separate", cnn, nan, good, out, "--json", "--overwrite")
    assert list(json.loads(done.stdout)["rejections"]) == [str(nan)]


def unsized_flac(path: Path, n_samples: int = 12_000) -> Path:
    """Write a FLAC that does not say how long it is, as pipes do."""
    soundfile.write(path, np.random.default_rng(2).uniform(-0.3, 0.3, n_samples), 8000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


def test_a_recording_that_does_not_say_its_length_comes_out_whole(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    piped, good = unsized_flac(tmp_path / "piped.flac"), make_noise(tmp_path / "good.wav", 0.5)
    done = here("separate", cnn, piped, good, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rejections"] == {}
    assert soundfile.info(tmp_path / "out" / "piped" / "bass.wav").frames == 12_000
    exact, rate = read_excerpt(piped, 0, 12_000)[0], 8000
    estimate = Separator.of_runs([cnn], device="cpu").separate(exact[None], rate)["bass"]
    written, _ = soundfile.read(tmp_path / "out" / "piped" / "bass.wav", dtype="float32")
    np.testing.assert_allclose(written, estimate[0], atol=1e-6)


def test_without_pyav_it_is_left_out_with_the_command(
    cnn: Path, tmp_path: Path, make_noise, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    piped, good = unsized_flac(tmp_path / "piped.flac"), make_noise(tmp_path / "good.wav", 0.5)
    done = here("separate", cnn, piped, good, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (detail,) = json.loads(done.stdout)["rejections"].values()
    assert "needs PyAV: pip install" in detail and "piped.flac" in detail
    assert files(tmp_path / "out") == ["good/bass.wav", "good/drums.wav"]
    assert_one_line_error(here("separate", cnn, piped, tmp_path / "p"), 2, "pip install")


def test_a_mistyped_path_is_not_there(cnn: Path, tmp_path: Path, here: Command) -> None:
    done = here("separate", cnn, tmp_path / "typo.wav", tmp_path / "out")
    assert_one_line_error(done, 1, "typo.wav: cannot be read: not there")
    assert "System error" not in done.stderr


def test_what_goes_wrong_with_one_recording_is_its_own(
    cnn: Path, tmp_path: Path, make_noise, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [make_noise(tmp_path / f"{name}.wav", 0.2, sample_rate=8000) for name in "abc"]
    separated = Separator.separate_file

    def failing(self: Separator, path: Path) -> Iterator[dict[str, Any]]:
        if path.name == "b.wav":
            raise PermissionError(13, "Permission denied", str(path))
        if path.name == "c.wav" and is_full:
            raise OSError(28, "No space left on device", str(path))
        return separated(self, path)

    monkeypatch.setattr(Separator, "separate_file", failing)
    is_full = False
    done = here("separate", cnn, *songs, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rejections"] == {
        str(songs[1]): f"{songs[1]}: Permission denied"
    }
    assert files(tmp_path / "out") == [f"{s}/{t}.wav" for s in "ac" for t in ("bass", "drums")]
    is_full = True  # for everybody
    assert_one_line_error(here("separate", cnn, *songs, tmp_path / "f"), 1, "No space left")


def test_commas_and_homes_in_paths_of_runs(
    cnn: Path, blstm: Path, tmp_path: Path, make_noise, here: Command, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(cnn, tmp_path / "a,b")
    song = make_noise(tmp_path / "song.wav", 0.2, sample_rate=8000)
    done = here("separate", f"{tmp_path / 'a,b'},{blstm}", song, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "bass, drums, piano of 1 recordings" in done.stdout
    assert here("separate", "~/a,b", song, tmp_path / "home").returncode == 0
    assert files(tmp_path / "home") == ["song/bass.wav", "song/drums.wav"]


def test_a_name_as_long_as_there_can_be(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    name = "\u94a2" * 83 + "x"  # 250 bytes
    songs = [make_noise(tmp_path / f / f"{name}.wav", 0.2, sample_rate=8000) for f in "ab"]
    done = here("separate", cnn, *songs, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert len(files(tmp_path / "out")) == 4


def test_nothing_is_overwritten_unless_asked(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    song = make_noise(tmp_path / "bass.wav", 0.3)
    out = tmp_path / "out"
    assert here("separate", cnn, song, out).returncode == 0
    (out / "bass" / "other.wav").write_bytes(b"mine")
    (out / "bass" / "drums.wav").write_bytes(b"old")
    assert_one_line_error(here("separate", cnn, song, out), 2, "bass/bass.wav", "--overwrite")
    assert (out / "bass" / "drums.wav").read_bytes() == b"old"
    assert here("separate", cnn, song, out, "--overwrite").returncode == 0
    assert (out / "bass" / "drums.wav").read_bytes() != b"old"
    assert (out / "bass" / "other.wav").read_bytes() == b"mine"
    shutil.copytree(out / "bass", tmp_path / "moved" / "bass")
    itself = tmp_path / "moved" / "bass" / "bass.wav"
    done = here("separate", cnn, itself, tmp_path / "moved", "--overwrite")
    assert_one_line_error(done, 2, str(itself), "would be overwritten")


def test_the_same_files_have_the_same_bytes(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    song = make_noise(tmp_path / "song.wav", 0.3)
    for name in ("a", "b"):
        assert here("separate", cnn, song, tmp_path / name).returncode == 0
    for name in ("bass", "drums"):
        first, second = (tmp_path / folder / "song" / f"{name}.wav" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_names_of_recordings() -> None:
    assert folder_names([Path("A song.stem.mp4"), Path("b.stem.wav")]) == ["A song", "b.stem"]
    assert folder_names([Path("...wav"), Path(".wav")]) == ["...wav", ".wav"]
    assert folder_names([Path("x/a.wav"), Path("y/b.flac")]) == ["a", "b"]
    assert folder_names([Path("x/a.wav"), Path("y/a.wav")]) == ["x-a", "y-a"]
    # Only those that clash are renamed, and a new name clashes with nobody's.
    paths = ["x/a.wav", "y/a.wav", "z/b.wav", "x-a.wav"]
    assert folder_names(list(map(Path, paths)))[1:3] == ["y-a", "b"]
    assert len(set(folder_names(list(map(Path, paths))))) == 4
    assert folder_names([Path("x/flo\u0308te.wav"), Path("y/fl\u00f6te.flac"), Path("c.wav")]) == [
        "x-flo\u0308te", "y-fl\u00f6te", "c"
    ]  # fmt: skip
    long = ["x" * 250 + "1", "x" * 250 + "2"]
    names = folder_names([Path(f"{folder}/{name}.wav") for folder in "ab" for name in long])
    assert len(set(names)) == 4 and all(len(name) <= 255 for name in names)
    assert folder_names([Path("x/a.wav"), Path("x/a.flac")]) == ["x-a.wav", "x-a.flac"]
    for same in (["a.wav", "a.wav"], ["p/x/a.wav", "q/x/a.wav"], ["A.wav", "a.wav"]):
        with pytest.raises(UsageError):
            folder_names([Path(name) for name in same])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "loud"], "two powers"),
        (["--threshold", "tuba=0,0"], "tuba: not a target"),
        (["--overlap", "1"], "overlap"),
        (["--mask-exponent", "-1"], "above 0"),
        (["--iterations", "3"], "griffin-lim"),
        (["--phase", "griffin-lim", "--iterations", "0"], "--iterations"),
        (["--streaming", "--phase", "griffin-lim"], "later"),
        (["--streaming"], "song.wav: streaming: the audio has 44100 Hz, not 8000 Hz"),
    ],
)
def test_misuse(
    cnn: Path, tmp_path: Path, make_noise, here: Command, options: list[str], words: str
) -> None:
    song = make_noise(tmp_path / "song.wav", 0.2)
    assert_one_line_error(here("separate", cnn, song, tmp_path / "out", *options), 2, words)
    assert not files(tmp_path / "out")


@pytest.mark.parametrize("option", ["--jobs", "--scheduler"])
def test_there_are_no_workers(cnn: Path, tmp_path: Path, here: Command, option: str) -> None:
    done = here("separate", cnn, "song.wav", tmp_path / "out", option, "2")
    assert done.returncode == 2 and f"No such option '{option}'" in done.stderr
    config = tmp_path / "c.toml"
    config.write_text("jobs = 2")
    done = here("separate", cnn, "song.wav", tmp_path / "out", "--config", config)
    assert_one_line_error(done, 2, "unknown key 'jobs'")


def test_runs_that_cannot_be(
    cnn: Path, blstm: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    song = make_noise(tmp_path / "song.wav", 0.2, sample_rate=8000)
    out = tmp_path / "out"
    assert_one_line_error(here("separate", tmp_path, song, out), 1, "expected a trained run")
    assert_one_line_error(here("separate", f"{cnn},{cnn}", song, out), 2, "twice")
    shutil.copytree(cnn, tmp_path / "copy")
    both = f"{cnn},{tmp_path / 'copy'}"
    assert_one_line_error(here("separate", both, song, out), 2, str(cnn), "separates bass")
    assert_one_line_error(here("separate", blstm, song, out, "--streaming"), 2, "recurrent")
    (tmp_path / "copy" / "checkpoints" / "best.ckpt").write_bytes(b"x")
    assert_one_line_error(here("separate", tmp_path / "copy", song, out), 1, "best.ckpt")


def test_what_cannot_be_done_is_refused_before_anything_is_written(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    """With the first recording, which is fine, it is left out, and is no reason to do nothing."""
    first = make_noise(tmp_path / "first.wav", 0.2, sample_rate=8000)
    second = make_noise(tmp_path / "second.wav", 0.2)
    many, fast = tmp_path / "many.wav", tmp_path / "fast.wav"
    soundfile.write(many, np.zeros((100, 9)), 8000)
    soundfile.write(fast, np.zeros(100), 2_000_000_000)
    out = tmp_path / "out"

    def refuse(*arguments: object) -> str:
        done = here("separate", cnn, *arguments)
        assert_one_line_error(done, 2)
        assert not files(out)
        return done.stderr

    for other, options, text in (
        (second, ["--streaming"], f"{second}: streaming"),
        (many, ["--format", "flac"], f"{many}: 9 channels at 8000 Hz: not in a FLAC"),
        (fast, ["--format", "flac"], f"{fast}: 1 channels at"),
        (fast, [], f"{fast}: 1 channels at"),
    ):
        assert text in refuse(other, out, *options)
        done = here("separate", cnn, other, first, tmp_path / "both", *options, "--json")
        assert done.returncode == 0, done.stderr
        ((path, detail),) = json.loads(done.stdout)["rejections"].items()
        assert path == str(other) and text in detail
        assert [folder.name for folder in (tmp_path / "both").iterdir()] == ["first"]
        shutil.rmtree(tmp_path / "both")
    # Somebody forgot the destination.
    assert f"{second}: is not a folder" in refuse(first, second)
    (out / "first" / "drums.wav").mkdir(parents=True)
    assert "drums.wav: is a folder" in refuse(first, out, "--overwrite")
    (out / "second").write_bytes(b"")
    done = here("separate", cnn, second, out)
    assert_one_line_error(done, 2, f"{out / 'second'}: is not a folder")


def test_a_run_that_diverged_writes_nothing(tmp_path: Path, make_noise, here: Command) -> None:
    run = write_run(tmp_path / "run", "cnn", CNN)
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    for weights in content["state_dict"].values():
        weights.fill_(float("nan"))
    AtomicCheckpointIO().save_checkpoint(content, path)
    song, out = make_noise(tmp_path / "song.wav", 0.2), tmp_path / "out"
    done = here("separate", run, song, out, "--format", "wav16")
    assert_one_line_error(done, 1, str(song), "is no audio", "diverged")
    assert not list(out.iterdir())


def test_what_a_killed_run_left_is_swept(
    cnn: Path, tmp_path: Path, make_noise, here: Command
) -> None:
    song, out = make_noise(tmp_path / "song.wav", 60.0, sample_rate=8000), tmp_path / "out"
    script = "from stemsmith.cli.main import main; main()"
    command = [sys.executable, "-c", script, "separate", *map(str, (cnn, song, out)), "--streaming"]
    with subprocess.Popen(command) as process:
        while not list(out.glob(".separating-*/.*.tmp")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert [path.name.startswith(".separating-") for path in out.iterdir()] == [True]
    short = make_noise(tmp_path / "short.wav", 0.2, sample_rate=8000)
    assert here("separate", cnn, short, out).returncode == 0
    assert [path.name for path in out.iterdir()] == ["short"]


def test_the_mixture_of_a_stem_mp4(cnn: Path, tmp_path: Path, here: Command) -> None:
    """Its first stream, to which all that is written sums."""
    av = pytest.importorskip("av")
    song = tmp_path / "A song.stem.mp4"
    rng = np.random.default_rng(0)
    mixture = (0.2 * rng.standard_normal((2, 44100))).astype(np.float32)
    with av.open(str(song), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=44100, layout="stereo") for _ in range(2)]
        for stream, audio in zip(streams, (mixture, 0.3 * mixture), strict=True):
            frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="stereo")
            frame.sample_rate = 44100
            container.mux([*stream.encode(frame), *stream.encode(None)])
    out = tmp_path / "out"
    done = here("separate", cnn, song, out, "--residual")
    assert done.returncode == 0, done.stderr
    folder = out / "A song"
    assert files(folder) == ["bass.wav", "drums.wav", "residual.wav"]
    total = sum(soundfile.read(path)[0].T for path in folder.iterdir())
    info = audio_info(song)
    assert total.shape == (2, info.n_samples)
    np.testing.assert_allclose(total, next(read_blocks(song, info.n_samples)), atol=1e-6)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Limit the size of files, which makes writing fail in the same way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("file_format", ["wav", "flac", "wav16"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    cnn: Path, tmp_path: Path, make_noise, here: Command, file_format: str, request: Any
) -> None:
    song, out = make_noise(tmp_path / "song.wav", 2.0), tmp_path / "out"
    request.getfixturevalue("full_disk")
    done = here("separate", cnn, song, out, "--format", file_format)
    assert_one_line_error(done, 1, str(out))
    assert not files(out)


# ---------------------------------------------------------------------------------------------
# Writing block by block


@pytest.mark.parametrize("n_channels", [1, 2])
def test_float_files_are_those_written_at_once(tmp_path: Path, n_channels: int) -> None:
    audio = np.random.default_rng(0).standard_normal((n_channels, 1001)).astype(np.float32)
    info = AudioInfo(44100, n_channels, 1001)
    with writing(tmp_path / "a.wav", info, FileFormat.WAV) as write:
        for start in range(0, 1001, 100):
            write(audio[:, start : start + 100])
        assert not (tmp_path / "a.wav").exists()
    assert (tmp_path / "a.wav").read_bytes() == encode_wav(audio, 44100)


@pytest.mark.parametrize("file_format", [FileFormat.FLAC, FileFormat.WAV16])
def test_integers_are_rounded_and_clipped(tmp_path: Path, file_format: FileFormat) -> None:
    n_bits = 24 if file_format is FileFormat.FLAC else 16
    scale = 2.0 ** (n_bits - 1)
    integers = np.array([[0, 1, -1, scale - 1, -scale, 5000]])
    audio = np.concatenate([integers / scale, [[1.0, -1.5]]], axis=1).astype(np.float32)
    with writing(tmp_path / "a", AudioInfo(8000, 1, 8), file_format) as write:
        write(audio[:, :3])
        write(audio[:, 3:])
    values, _ = soundfile.read(tmp_path / "a", dtype="int32")
    expected = [*integers[0], scale - 1, -scale]
    np.testing.assert_array_equal(values >> (32 - n_bits), expected)


def test_what_no_wav_file_can_hold(tmp_path: Path) -> None:
    info = AudioInfo(44100, 2, 1 << 29)
    with pytest.raises(UsageError, match="FLAC"), writing(tmp_path / "a", info, FileFormat.WAV):
        pass
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------
# Memory

_MEASURED = """
import resource, sys
from pathlib import Path
import torch
from stemsmith.cli.main import main

torch.set_num_threads(1)
try:
    main.main(sys.argv[1:], "stemsmith")
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Twelve minutes in stereo need what a minute needs: a small network, 44.1 kHz, below 2 GiB."""
    settings = dataclasses.replace(CNN, sample_rate=44100, n_fft=1024, hop=512)
    run = write_run(tmp_path / "run", "cnn", settings)
    peaks = []
    for name, seconds in (("short", 60), ("long", 720)):
        song = tmp_path / f"{name}.flac"
        rng = np.random.default_rng(0)
        second = (3000 * rng.standard_normal((44100, 2))).astype(np.int16)
        with soundfile.SoundFile(song, "w", 44100, 2, "PCM_16") as file:
            for _ in range(seconds):
                file.write(second)
        command = [sys.executable, "-c", _MEASURED, "separate", run, song, tmp_path / name]
        done = subprocess.run(
            [*map(str, command), "--residual"], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
        shutil.rmtree(tmp_path / name)
    assert peaks[1] < 2048, peaks
    assert peaks[1] < 1.1 * peaks[0], peaks
