"""Fixtures that many tests share: small scores written on the spot, and a corpus made of them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import mido
import numpy as np
import pytest
import soundfile

BAND = ((0, 0), (33, 1), (27, 2), (0, 9))  # program and channel: piano, bass, guitar, drums
NUMBERS = ("--mixtures", 27, "--validation-mixtures", 7, "--test-mixtures", 6)
MIXED = ("--clip", 2, *NUMBERS, "--sample-rate", 16000, "--jobs", 0)
Command = Callable[..., subprocess.CompletedProcess[str]]

# There is a process of tests for each core. PyTorch's threads of several wait for each other: two
# threads on a core that is busy took ten times the processor's time of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell ignores Ctrl-C for what it starts in the background, and this is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give each process its own cache of what numba compiles: two that write it spoil it."""
    folder = tempfile.mkdtemp(prefix="stemsmith-numba-")
    os.environ["NUMBA_CACHE_DIR"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the order of files: no file may need that another one was run before it."""
    parser.addoption("--seed", type=int, help="run the files of tests in this random order")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which order it is, for whoever wants it again."""
    seed = config.getoption("seed")
    return None if seed is None else f"random order of files: SEED={seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the files; tests of a file keep their order."""
    seed = config.getoption("seed")
    if seed is not None:
        paths = sorted({item.path for item in items})
        random.Random(seed).shuffle(paths)
        place = {path: k for k, path in enumerate(paths)}
        items.sort(key=lambda item: place[item.path])


def write_song(
    path: Path,
    parts: Sequence[tuple[int, int]] = BAND,
    n_notes: int = 56,
    seed: int = 0,
    ticks_per_note: int = 60,
) -> Path:
    """Write a song of random notes: (program, channel) a part, 16 notes a second by default."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    file.tracks.append(conductor)
    for program, channel in parts:
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=f"part {channel}")])
        track.append(mido.Message("program_change", program=program, channel=channel))
        for _ in range(n_notes):
            key, velocity = int(rng.integers(36, 72)), int(rng.integers(50, 110))
            on = mido.Message("note_on", note=key, velocity=velocity, channel=channel)
            off = mido.Message("note_off", note=key, channel=channel, time=ticks_per_note)
            track.extend([on, off])
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


@pytest.fixture(scope="session")
def make_song() -> Callable[..., Path]:
    """Return `write_song`."""
    return write_song


@pytest.fixture(scope="session")
def band_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short band songs, two of them with the same notes, and one file that is no song."""
    folder = tmp_path_factory.mktemp("midi")
    for k in range(5):
        extra = ((48, 3), (103, 4)) if k % 2 else ((103, 4),)
        write_song(folder / f"album{k % 2}" / f"song{k}.mid", (*BAND, *extra), seed=k)
    # The notes of song0, other programs and names.
    twin = mido.MidiFile(folder / "album0" / "song0.mid")
    for track in twin.tracks:
        for message in track:
            if message.type == "program_change" and message.channel == 0:
                message.program = 1
            elif message.type == "track_name":
                message.name = "another name"
    twin.save(folder / "twin.MIDI")
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


@pytest.fixture(scope="session")
def stemsmith() -> Command:
    """Return a function that runs the command in a process of its own."""

    def run(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stemsmith.cli.main", *map(str, arguments)]
        environment = {**os.environ, "PYTHONWARNINGS": "error", "COLUMNS": "200"}
        kwargs = {"timeout": 300, **kwargs}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command, capture_output=True, text=True, env=environment, **kwargs
        )

    return run


@pytest.fixture(scope="session")
def here() -> Command:
    """Return a function that runs the command in this process, which is 20 times as fast.

    An exception that the command does not turn into one line comes out and fails the test.
    """
    from stemsmith.cli.main import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.main([*map(str, arguments)], "stemsmith")
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Return a function that finds one of some programs, or skips the test with this reason.

    Tests that use it are marked ``clients``. With STEMSMITH_MUST_RUN in the environment, a lack of
    the program is a failure: CI has them.
    """

    def find(*names: str) -> str:
        for name in names:
            if (path := shutil.which(name)) is not None:
                return path
        reason = f"no {' or '.join(names)} on PATH"
        if os.environ.get("STEMSMITH_MUST_RUN"):
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's cache out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("STEMSMITH_CACHE", str(folder))
        yield folder


def write_noise(
    path: Path,
    seconds: float = 4.0,
    sample_rate: int = 44100,
    n_channels: int = 2,
    seed: int = 0,
    level: float = 0.1,
) -> Path:
    """Write a WAV file of noise, other noise on every channel."""
    rng = np.random.default_rng(seed)
    audio = level * rng.standard_normal((round(seconds * sample_rate), n_channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(audio, -0.99, 0.99), sample_rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def make_noise() -> Callable[..., Path]:
    """Return `write_noise`."""
    return write_noise


def write_musdb(root: Path, sample_rate: int = 44100, first_seed: int = 0) -> Path:
    """Write four songs as MUSDB18-HQ has them, with levels that differ: two train, one of each."""
    songs = ("train/A - One", "train/B - Two", "train/Leaf - Summerghost", "test/C - Three")
    for i, song in enumerate(songs):
        for j, stem in enumerate(("mixture", "drums", "bass", "other", "vocals")):
            path = root / song / f"{stem}.wav"
            seed = first_seed + 10 * i + j
            write_noise(path, sample_rate=sample_rate, seed=seed, level=0.05 * (j + 1))
    return root


@pytest.fixture
def make_musdb() -> Callable[..., Path]:
    """Return `write_musdb`."""
    return write_musdb


@pytest.fixture(scope="session")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in the layout of MUSDB18-HQ; read only."""
    return write_musdb(tmp_path_factory.mktemp("musdb") / "hq")


@pytest.fixture(scope="session")
def museval() -> ModuleType:
    """Return the package museval, imported without musdb, which needs ffmpeg on PATH.

    Only what museval does to audio files of MUSDB18 asks musdb for anything. For its metrics
    alone see `stemsmith.evaluate.museval_engine`.
    """
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "musdb", ModuleType("musdb"))
        package = importlib.import_module("museval")
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "museval":
            del sys.modules[name]  # no other test shall find what was imported in this way
    return package


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, band_folder: Path, here: Command) -> Path:
    """Return a corpus of `band_folder`, rendered in process; read only."""
    destination = tmp_path_factory.mktemp("corpus") / "c"
    done = here("render", band_folder, destination, "--seed", 3, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    return destination


@pytest.fixture(scope="session")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus of three songs that were rendered as a whole, too; read only.

    Its mixtures hold a program that is no stem.
    """
    from stemsmith.render.workflow import render_corpus

    folder = tmp_path_factory.mktemp("unsplit")
    for k in range(3):
        write_song(folder / "midi" / f"{k}.mid", (*BAND, (103, 4)), n_notes=40, seed=k)
    render_corpus(
        folder / "midi", folder / "c", mix_source="unsplit", patch_choice="program", band=None,
        splits="1,1,1", sample_rate=8000, tail_s=0.5, audit=False,
    )  # fmt: skip
    return folder / "c"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real scores and published signals; skip where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("STEMSMITH_SHARED", default))
    if not (folder / "midi" / "dev").is_dir():
        pytest.skip(f"no real scores at {folder}; set STEMSMITH_SHARED to use some")
    return folder


@pytest.fixture(scope="session")
def mixtures(tmp_path_factory: pytest.TempPathFactory, corpus: Path, here: Command) -> Path:
    """Return a folder of the same mixtures as ``recipes`` and as ``audio``; read only."""
    folder = tmp_path_factory.mktemp("mixtures")
    for name, extra in (("recipes", ()), ("audio", ("--audio",))):
        done = here("mix", corpus, folder / name, *MIXED, *extra)
        assert done.returncode == 0, done.stderr
    return folder


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def killed_after() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Return a context that ends, as a kill would end the process, after so many syncs and renames.

    What is left of its body is not done; nobody learns of it.
    """
    from stemsmith.manifests import storage

    @contextlib.contextmanager
    def dying(n_steps: int) -> Iterator[None]:
        sync, replace = storage.sync, Path.replace
        left = n_steps

        def step() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _Killed

        def dying_sync(path: Path) -> None:
            step()
            sync(path)

        def dying_replace(self: Path, target: Path) -> Path:
            step()
            return replace(self, target)

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(_Killed):
            patch.setattr(storage, "sync", dying_sync)
            patch.setattr(Path, "replace", dying_replace)
            yield

    return dying


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return, and go to, a folder with what the examples of the documentation begin with.

    ``scores``, ``corpus``, ``renditions``, ``mixtures``, ``run`` and ``results``, all tiny.
    """
    folder = tmp_path / "workshop"
    shutil.copytree(Path(__file__).parent / "data" / "0.1", folder)
    monkeypatch.chdir(folder)
    return folder
