"""Workers that do not see what the process sees that gives them work."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from stemsmith.manifests import shards
from stemsmith.manifests.cluster import _do, _Doubtful, _settled, _Unfit, open_workers
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import InProcess, Unconfirmed, recheck, telling_of_doubts
from stemsmith.manifests.preflight import library_versions, preflight
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.storage import file_hash

HOST = socket.gethostname()
# Loaded by a worker where no namespace may be made: there is nothing below the folder.
BLINDFOLD = """
import builtins, io, os

def hide(function):
    def hidden(path, *arguments, **options):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith({masked!r}):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return function(path, *arguments, **options)
    return hidden

builtins.open = io.open = hide(io.open)
os.stat = hide(os.stat)
"""


def may_unshare() -> bool:
    """Whether a process here may have mounts of its own."""
    command = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def blind(worker: list[str], masked: Path, folder: Path) -> list[str]:
    """Return the command of a worker for which a folder is empty."""
    if may_unshare():
        mount = f"mount -t tmpfs none {shlex.quote(str(masked))}"
        script = f"{mount} && exec {shlex.join(worker)}"
        return ["unshare", "--mount", "--map-root-user", "sh", "-c", script]
    (folder / "blindfold.py").write_text(BLINDFOLD.format(masked=str(masked)))
    return [*worker, "--preload", str(folder / "blindfold.py")]


@contextlib.contextmanager
def cluster(folder: Path, *masks: Path | None) -> Iterator[str]:
    """Start a scheduler and workers elsewhere, each with a folder masked; yield the address."""
    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(
            LocalCluster(n_workers=0, processes=True, dashboard_address=":0")
        )
        address = scheduler.scheduler_address
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
        worker += ["--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        for masked in masks:
            command = worker if masked is None else blind(worker, masked, folder)
            process = subprocess.Popen(
                command, cwd=elsewhere, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(masks), timeout=60)
        yield address


@pytest.fixture
def songs(tmp_path: Path, make_song: Callable[..., Path]) -> Path:
    """Return a folder of six songs in three folders."""
    for number in range(6):
        make_song(tmp_path / "midi" / f"album{number // 2}" / f"{number}.mid", seed=number)
    return tmp_path / "midi"


RENDERED = ("--songs", 6, "--sample-rate", 8000)


def test_a_worker_without_the_mount_stops_the_run_before_it_begins(
    songs: Path, tmp_path: Path, here
) -> None:
    with cluster(tmp_path, None, songs) as address:
        done = here("render", songs, tmp_path / "c", *RENDERED, "--scheduler", address)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"Error: worker {HOST}: {songs}/album0/0.mid: cannot be read there: No such file or "
        "directory; mount the same folder"
    ]
    assert not (tmp_path / "c").exists()


def test_a_worker_that_lacks_some_files_makes_no_rejections(
    songs: Path, tmp_path: Path, here
) -> None:
    with cluster(tmp_path, songs / "album2") as address:
        done = here("render", songs, tmp_path / "c", *RENDERED, "--scheduler", address)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: worker {HOST}: {songs}/album2/4.mid: No such file")
    assert not (tmp_path / "c").exists()


def test_a_worker_that_writes_elsewhere_stops_the_run(songs: Path, tmp_path: Path, here) -> None:
    (tmp_path / "out").mkdir()
    with cluster(tmp_path, None, tmp_path / "out") as address:
        done = here("render", songs, tmp_path / "out/c", *RENDERED, "--scheduler", address)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"Error: worker {HOST}: {tmp_path}/out/c/.render: is another folder there than here; "
        "mount the same one"
    )
    again = here("render", songs, tmp_path / "out/c", *RENDERED, "--jobs", 0)
    assert again.returncode == 0, "nothing is in its way"
    assert not list((tmp_path / "out/c").rglob(".preflight*"))


@pytest.mark.slow
def test_every_command_with_workers_refuses_a_blind_one(workshop: Path, here) -> None:
    hidden = {
        "scores": [("scan", "scores"), ("render", "scores", "new", "--no-band", "--min-notes", 1)],
        "corpus": [
            ("validate", "corpus"),
            ("certify", "corpus"),
            ("pack", "corpus", "new.json"),
            ("audit", "corpus"),
            ("mix", "corpus", "new", "--mixtures", 4, "--clip", 1),
            ("evaluate", "oracle:irm", "corpus", "new", "--bss", "none"),
            ("validate", "mixtures"),
        ],
        "renditions": [
            ("validate", "renditions"),
            ("export", "renditions", "new", "--format", "bach10"),
        ],
    }
    for masked, commands in hidden.items():
        folder = workshop / f"with-{masked}"
        folder.mkdir()
        with cluster(folder, None, workshop / masked) as address:
            for command in commands:
                done = here(*command, "--scheduler", address)
                assert done.returncode == 2, command
                assert done.stderr.startswith(f"Error: worker {HOST}: "), (command, done.stderr)
                assert done.stderr.count("\n") == 1
                shutil.rmtree("new", ignore_errors=True)


@pytest.mark.slow
def test_workers_may_be_in_another_folder_than_relative_paths_mean(workshop: Path, here) -> None:
    with cluster(workshop, None) as address:
        for command in (
            ("render", "scores", "new/c", "--no-band", "--min-notes", 1),
            ("audit", "new/c"),
            ("validate", "new/c"),
            ("mix", "corpus", "new/m", "--mixtures", 4, "--clip", 1, "--min-rms", -60, "--audio"),
            ("export", "renditions", "new/x", "--format", "bach10"),
            ("evaluate", "oracle:irm", "corpus", "new/e", "--bss", "none"),
        ):
            done = here(*command, "--scheduler", address)
            assert done.returncode == 0, (command, done.stderr)
    assert len(list(Path("new/x").rglob("*.wav"))) == 8
    assert not list(Path("elsewhere").iterdir())


def test_a_file_that_nobody_can_read_is_a_rejection(songs: Path, tmp_path: Path, here) -> None:
    (songs / "album0/dangling.mid").symlink_to("nowhere")
    done = here("render", songs, tmp_path / "c", "--sample-rate", 8000, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    (rejection,) = shards.read_records(tmp_path / "c/rejections-00000.parquet", Rejection)
    assert (rejection.id, rejection.reason) == ("album0/dangling.mid", Reason.UNREADABLE)


# What is compared, and how.


class Colleague:
    """A worker that calls a check when it is told to."""

    def __init__(self) -> None:
        self.check: Callable[[], str | None] = lambda: None

    def map(self, function, jobs):
        return map(function, jobs)

    @contextlib.contextmanager
    def checked(self, check: Callable[[], str | None]) -> Iterator[None]:
        self.check = check
        yield


def versions() -> dict[str, str]:
    return {"numpy": os.environ.get("NUMPY_HERE", "2.0")}


def test_versions_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    colleague = Colleague()
    with preflight(colleague, versions=versions):
        assert colleague.check() is None
        monkeypatch.setenv("NUMPY_HERE", "1.26")
        assert colleague.check() == "numpy is 1.26 there and 2.0 here; install the same version"
    from stemsmith.render.corpus.manifest import sound_versions

    assert library_versions().keys() >= {"stemsmith", "numpy"}
    assert sound_versions().keys() == {"libfluidsynth", *library_versions()}


def test_the_first_input_of_each_place_is_compared(tmp_path: Path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b"
    first.write_bytes(b"abc")
    second.mkdir()
    (second / "file").touch()
    colleague = Colleague()
    with preflight(colleague, inputs=[[tmp_path / "dangling", first], [second]]):
        assert colleague.check() is None
        first.write_bytes(b"abd")
        assert colleague.check() == f"{first}: is another file there; mount the same folder"
        first.write_bytes(b"abc")
        (second / "file").unlink()
        assert colleague.check() == f"{second}: is another file there; mount the same folder"
        second.rmdir()
        text = "cannot be read there: No such file or directory; mount the same folder"
        assert colleague.check() == f"{second}: {text}"


def test_soundfonts_are_compared_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(bytes(1 << 20))
    colleague = Colleague()
    with preflight(colleague, hashed={str(path): file_hash(path)}):
        assert colleague.check() is None
        path.write_bytes(bytes((1 << 20) - 1) + b"\1")
        text = "its SHA-256 is not the same there; copy the file again"
        assert colleague.check() == f"{path}: {text}"
        path.unlink()
        assert colleague.check() == f"{path}: cannot be read there: No such file or directory"


def test_a_destination_is_the_same_folder_if_the_file_of_this_run_is_in_it(tmp_path: Path) -> None:
    colleague = Colleague()
    with preflight(colleague, destination=tmp_path):
        (nonce,) = tmp_path.iterdir()
        assert colleague.check() is None
        assert list(tmp_path.iterdir()) == [nonce], "what was written to try it is gone"
        text = nonce.read_text()
        for other in ("another run's", None):
            nonce.unlink() if other is None else nonce.write_text(other)
            assert colleague.check() == (
                f"{tmp_path}: is another folder there than here; mount the same one"
            )
        nonce.write_text(text)
        if os.geteuid():  # root may write anywhere
            tmp_path.chmod(0o500)
            assert colleague.check() == f"{tmp_path}: cannot be written there: Permission denied"
            tmp_path.chmod(0o700)
    assert not list(tmp_path.iterdir())


def test_this_process_needs_no_check(tmp_path: Path) -> None:
    with preflight(InProcess(), hashed={"nowhere": ""}, destination=tmp_path):
        assert not list(tmp_path.iterdir())


def test_workers_that_come_later_check_themselves() -> None:
    looked: list[int] = []

    def look() -> str | None:
        looked.append(1)
        return "has no mount" if len(looked) == 1 else None

    checks = (("name of this test", look),)
    assert _do(abs, -2, checks) == _Unfit(f"worker {HOST}: has no mount")
    assert [_do(abs, -2, checks), _do(abs, -3, checks)] == [2, 3]
    assert len(looked) == 2, "once is enough"


def nobody_knows() -> str | None:
    raise ModuleNotFoundError("No module named 'stemsmith'")


def test_a_worker_that_cannot_even_be_checked_is_named() -> None:
    text = r"worker tcp://127.0.0.1:\d+: has not the stemsmith of this process: No module"
    with (
        open_workers(1) as workers,
        pytest.raises(UsageError, match=text),
        workers.checked(nobody_knows),
    ):
        pass


# Errors that may be a worker's own.


def read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        recheck(error)
        return "rejected"


def open_it(path: str) -> str:
    return Path(path).read_text()


def damaged(path: str) -> str:
    raise InvalidCorpus(f"{path}: damaged")


def test_an_error_on_a_worker_is_confirmed_by_the_process_that_gave_the_job(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for function in (read, open_it):
        doubt = _do(function, str(path), ())
        assert doubt == _Doubtful(HOST, f"{path}: No such file or directory")
    assert _settled(read, str(path), doubt) == "rejected"
    with pytest.raises(FileNotFoundError):
        _settled(open_it, str(path), doubt)
    path.write_text("text")
    for function in (read, open_it):
        with pytest.raises(UsageError, match=f"^worker {HOST}: {path}: No such file"):
            _settled(function, str(path), doubt)
    with pytest.raises(InvalidCorpus, match="damaged"):
        _settled(damaged, "x", _do(damaged, "x", ()))


def senseless(path: str) -> str:
    raise UsageError("a stem would clip")


def test_what_makes_no_sense_is_not_tried_twice() -> None:
    with pytest.raises(UsageError, match="would clip"):
        _do(senseless, "x", ())


def test_doubts_are_told_to_whoever_asked_last() -> None:
    recheck(OSError())  # nobody has asked
    heard: list[Exception] = []
    error = OSError()
    with telling_of_doubts(heard.append):
        recheck(error)
    recheck(OSError())
    assert heard == [error]
    assert not issubclass(Unconfirmed, Exception), "it passes by `except Exception`"


# Fewer songs than were asked for.


def test_fewer_songs_for_an_unreadable_file_are_refused(songs: Path, tmp_path: Path, here) -> None:
    (songs / "dangling.mid").symlink_to("nowhere")
    command = ("render", songs, tmp_path / "c", "--sample-rate", 8000, "--jobs", 0, "--songs")
    done = here(*command, 7)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: {songs}: 7 songs wanted, 6 found, and 1 files cannot be read, such as "
        "dangling.mid: No such file or directory; see to that and run again, or ask for fewer "
        "--songs"
    ]
    assert not (tmp_path / "c").exists()
    assert here(*command, 6).returncode == 0, "six can be had"


class Thief:
    """Workers that lose a file before they come to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def map(self, function, jobs):
        for job in jobs:
            if getattr(job, "song", None) is not None:
                self.path.unlink(missing_ok=True)
            yield function(job)


def test_a_song_that_vanishes_while_rendering_is_tried_again(songs: Path, tmp_path: Path) -> None:
    import stemsmith
    from stemsmith.manifests.errors import NothingToDo

    stolen = songs / "album1/3.mid"
    content = stolen.read_bytes()
    options = {"sample_rate": 8000, "n_songs": 6}
    with pytest.raises(NothingToDo, match=r"6 songs wanted, 5 found.* such as album1/3\.mid"):
        stemsmith.render_corpus(songs, tmp_path / "c", jobs=Thief(stolen), **options)
    stolen.write_bytes(content)
    made = stemsmith.render_corpus(songs, tmp_path / "c", **options)
    assert (len(made), made.rejections.num_rows) == (6, 0)
    stolen.unlink()
    fewer = stemsmith.render_corpus(songs, tmp_path / "d", sample_rate=8000, n_songs=5)
    assert len(fewer) == 5


def test_a_scheduler_without_stemsmith_is_named(tmp_path: Path, here) -> None:
    contact = tmp_path / "scheduler.json"
    program = (
        "import sys; sys.modules['stemsmith'] = None\n"
        "from distributed.cli.dask_scheduler import main; main()"
    )
    scheduler = subprocess.Popen(
        [sys.executable, "-c", program, "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
         "--scheduler-file", contact],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", contact,
         "--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not contact.exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads(contact.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        (tmp_path / "song.mid").touch()
        done = here("scan", tmp_path, "--scheduler", address)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: scheduler {address}: has not the stemsmith of this process")
