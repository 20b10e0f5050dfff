"""Jobs of an array that render one corpus: the bytes of one run, whatever happens to them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stemsmith
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import InUse, InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.jobs import Died
from stemsmith.manifests.records import Reason, Rejection, ScannedSong
from stemsmith.manifests.shares import FinishedJob
from stemsmith.render.corpus.kept_scan import KeptScan

Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--seed", 3, "--sample-rate", 8000, "--tail", 0.5, "--no-audit")


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory, band_folder: Path) -> Path:
    """Return scores of six songs, and a file that is none; read only."""
    return Path(shutil.copytree(band_folder, tmp_path_factory.mktemp("scores") / "midi"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, midi: Path, here: Command) -> dict[str, bytes]:
    """Return every file of the corpus that one run makes."""
    folder = tmp_path_factory.mktemp("whole") / "c"
    done = here("render", midi, folder, *QUICK, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    return tree(folder)


@pytest.fixture
def run_job(midi: Path, tmp_path: Path, here: Command) -> Command:
    """Return a function that runs a job on the folder ``c`` in this process."""

    def run(job: str, *more: object) -> subprocess.CompletedProcess[str]:
        return here("render", midi, tmp_path / "c", *QUICK, "--jobs", 0, "--job", job, *more)

    return run


@pytest.fixture(scope="module")
def first_of_two(tmp_path_factory: pytest.TempPathFactory, midi: Path, here: Command) -> Path:
    """Return what the first of two jobs has left; read only."""
    folder = tmp_path_factory.mktemp("half") / "c"
    done = here("render", midi, folder, *QUICK, "--jobs", 0, "--job", "1/2")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def half(first_of_two: Path, tmp_path: Path) -> Path:
    """Return the folder ``c``, in which the first of two jobs has finished."""
    return Path(shutil.copytree(first_of_two, tmp_path / "c"))


def program(body: str, midi: Path, folder: Path, *more: str) -> list[str]:
    """Return a command that renders, with something of the renderer replaced before."""
    arguments = ["render", str(midi), str(folder), *map(str, QUICK), "--jobs", "0", *more]
    head = "import os, signal, sys, time\nfrom pathlib import Path\n"
    head += "from stemsmith.render.songs import render\nwrite = render.Mixdown.write\n"
    tail = "\nrender.Mixdown.write = replaced\nfrom stemsmith.cli.main import main\n"
    return [sys.executable, "-c", f"{head}{body}{tail}main({arguments!r})"]


DIES = """
n_left = int(os.environ['N_LEFT'])
def replaced(self, *arguments):
    global n_left
    n_left -= 1
    if n_left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, *arguments)
"""
WAITS = """
def replaced(self, *arguments):
    Path(os.environ['HERE']).touch()
    while not Path(os.environ['GO']).exists():
        time.sleep(0.01)
    return write(self, *arguments)
"""


@contextlib.contextmanager
def at_work(midi: Path, folder: Path, *more: str) -> Iterator[Callable[[], str]]:
    """Have a run in the middle of a song; what is yielded lets it go on to its end."""
    marks = folder.with_name(f"{folder.name}-{'-'.join(more).replace('/', '-of-')}")
    marks.mkdir()
    environment = {**os.environ, "HERE": str(marks / "here"), "GO": str(marks / "go")}
    process = subprocess.Popen(
        program(WAITS, midi, folder, *more), env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def end() -> str:
        (marks / "go").touch()
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        return error

    try:
        while not (marks / "here").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        yield end
    finally:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------------------------------------
# Same bytes


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 9])
def test_jobs_and_merge_make_the_bytes_of_one_run(
    whole: dict[str, bytes], tmp_path: Path, run_job: Command, here: Command, n_jobs: int
) -> None:
    numbers = list(range(1, n_jobs + 1))
    random.Random(n_jobs).shuffle(numbers)
    n_songs = 0
    for number in numbers:
        done = run_job(f"{number}/{n_jobs}", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["job"] == f"{number}/{n_jobs}"
        n_songs += told["n_songs"]
        assert not (tmp_path / "c" / "manifest.json").exists()
    done = here("merge", tmp_path / "c", "--json")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "c") == whole
    assert sum(json.loads(done.stdout)["n_songs"].values()) == n_songs
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0


def test_jobs_that_start_at_the_same_moment(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, here: Command
) -> None:
    command = [sys.executable, "-m", "stemsmith.cli.main", "render", midi, tmp_path / "c", *QUICK]
    processes = [
        subprocess.Popen(
            [*map(str, command), "--jobs", "0", "--job", f"{number}/4"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in (1, 2, 3, 4)
    ]  # fmt: skip
    for process in processes:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    assert here("merge", tmp_path / "c").returncode == 0
    assert tree(tmp_path / "c") == whole


def test_jobs_with_workers_of_their_own(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, stemsmith: Command, here: Command
) -> None:
    for job in ("1/2", "2/2"):
        done = stemsmith("render", midi, tmp_path / "c", *QUICK, "--jobs", 1, "--job", job)
        assert done.returncode == 0, done.stderr
    assert here("merge", tmp_path / "c").returncode == 0
    assert tree(tmp_path / "c") == whole


def test_in_python(midi: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": 3, "sample_rate": 8000, "tail_s": 0.5, "audit": False}
    undivided = stemsmith.render_corpus(midi, tmp_path / "w", **options)
    for number in (1, 2):
        done = stemsmith.render_corpus(midi, tmp_path / "c", job=f"{number}/2", **options)
        assert isinstance(done, FinishedJob)
        assert (done.root, done.job, done.n_made) == (tmp_path / "c", f"{number}/2", 3)
        assert done.rejections == ()
    merged = stemsmith.merge(tmp_path / "c")
    assert isinstance(merged, stemsmith.Corpus)
    assert list(merged) == list(undivided)
    assert tree(tmp_path / "c") == tree(tmp_path / "w")
    with pytest.raises(UsageError, match="such as 3/8"):
        stemsmith.render_corpus(midi, tmp_path / "d", job="3", **options)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("more", [("--drum-pieces",), ("--dry", "--effects", "class")], ids=str)
def test_what_has_more_files(
    midi: Path, tmp_path: Path, run_job: Command, here: Command, more: tuple[str, ...]
) -> None:
    for job in ("2/2", "1/2"):
        assert run_job(job, *more, "--splits", "2,1,1").returncode == 0
    done = here("render", midi, tmp_path / "w", *QUICK, *more, "--splits", "2,1,1", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert here("merge", tmp_path / "c").returncode == 0
    assert tree(tmp_path / "c") == tree(tmp_path / "w")


# ---------------------------------------------------------------------------------------------
# Killed and gone on


@pytest.mark.parametrize("n_left", [0, 1])
def test_a_job_that_was_killed_goes_on(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, run_job: Command, here: Command,
    n_left: int,
) -> None:  # fmt: skip
    folder = tmp_path / "c"
    for number in (1, 2):
        command = program(DIES, midi, folder, "--job", f"{number}/2")
        environment = {**os.environ, "N_LEFT": str(n_left)}
        killed = subprocess.run(command, env=environment, capture_output=True, timeout=120)
        assert killed.returncode == -signal.SIGKILL
        left = folder / ".render" / "staging" / f"{number}-of-2"
        assert any(left.iterdir()), "nothing to sweep"
        before = times(folder / "train")
        assert_one_line_error(
            here("merge", folder),
            1,
            f"{number}/2 has {3 - n_left} of 3 songs left",
            f"--job {number}/2",
        )
        assert run_job(f"{number}/2").returncode == 0
        assert not any(left.iterdir())
        assert (
            times(folder / "train").items()
            >= {path: time for path, time in before.items() if path.is_file()}.items()
        )
    assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


def test_the_sweep_of_a_job_leaves_others_at_work_alone(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    with at_work(midi, folder, "--job", "1/3") as end:
        staged = tree(folder / ".render" / "staging" / "1-of-3")
        assert staged or any((folder / ".render" / "staging" / "1-of-3").iterdir())
        killed = subprocess.run(
            program(DIES, midi, folder, "--job", "2/3"), env={**os.environ, "N_LEFT": "1"},
            capture_output=True, timeout=120,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL
        for job in ("2/3", "3/3"):
            assert run_job(job).returncode == 0
        assert tree(folder / ".render" / "staging" / "1-of-3") == staged
        assert_one_line_error(here("merge", folder), 1, "1/3 is at work; wait for those at work")
        assert tree(folder / ".render" / "staging" / "1-of-3") == staged
        end()
    assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


@pytest.mark.parametrize("what", ["job", "merge"])
def test_killed_at_every_step(
    whole: dict[str, bytes], tmp_path: Path, run_job: Command, here: Command, killed_after,
    what: str,
) -> None:  # fmt: skip
    folder = tmp_path / "c"
    assert run_job("1/2").returncode == 0
    if what == "merge":
        assert run_job("2/2").returncode == 0
    for n_steps in (*range(8), *range(8, 400, 13)):
        ended = False
        with killed_after(n_steps):
            done = run_job("2/2") if what == "job" else here("merge", folder)
            ended = True
            assert done.returncode == 0, done.stderr
        if ended:
            break
    assert ended
    if what == "job":
        assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


def test_a_merge_that_was_killed_at_the_very_end(
    whole: dict[str, bytes], tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    assert run_job("1/1").returncode == 0
    state = shutil.copytree(folder / ".render", tmp_path / "state")
    assert here("merge", folder).returncode == 0
    shutil.copytree(state, folder / ".render")
    assert_one_line_error(here("validate", folder, "--jobs", 0), 1, ".render")
    assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


# ---------------------------------------------------------------------------------------------
# Who may be at work beside whom


def test_a_job_that_is_started_twice(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    with at_work(midi, folder, "--job", "1/2") as end:
        staged = tree(folder / ".render" / "staging")
        assert_one_line_error(run_job("1/2"), 2, f"{folder}: job 1/2 is at work here already")
        assert tree(folder / ".render" / "staging") == staged
        end()
    assert run_job("1/2").returncode == 0
    assert run_job("2/2").returncode == 0
    assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


def test_a_whole_run_beside_jobs(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    with at_work(midi, folder, "--job", "1/2") as end:
        done = here("render", midi, folder, *QUICK, "--jobs", 0)
        assert_one_line_error(done, 2, f"{folder}: job 1/2 is writing here; wait for it to end")
        end()
    before = {path: time for path, time in times(folder).items() if path.suffix == ".flac"}
    assert before
    done = here("render", midi, folder, *QUICK, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert tree(folder) == whole
    assert times(folder).items() >= before.items(), "what jobs have left was rendered again"
    closed = times(folder)
    assert run_job("2/2").returncode == 0  # there is nothing left to do
    assert times(folder) == closed


def test_jobs_after_a_whole_run(
    whole: dict[str, bytes], midi: Path, tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    with at_work(midi, folder):
        assert_one_line_error(run_job("1/2"), 2, f"{folder}: another run is writing here")
        assert_one_line_error(here("merge", folder), 2, f"{folder}: no job with --job has begun")
    # The run was killed; jobs go on with what it has left.
    assert_one_line_error(here("merge", folder), 2, "repeat the command to go on")
    assert run_job("2/2").returncode == 0
    assert_one_line_error(here("merge", folder), 1, "1/2 has not begun")
    assert run_job("1/2").returncode == 0
    assert here("merge", folder).returncode == 0
    assert tree(folder) == whole


@pytest.mark.parametrize(
    ("job", "more", "said"),
    [
        ("2/3", (), "its jobs are of 2, such as --job 1/2"),
        ("1/1", (), "its jobs are of 2"),
        ("2/2", ("--tail", 1), "other arguments"),
        ("2/2", ("--songs", 4), "other arguments"),
        ("0/2", (), "--job 0/2: "),
        ("3/2", (), "--job 3/2: "),
        ("x", (), "--job x: "),
    ],
    ids=str,
)
def test_what_is_no_job_of_the_array_is_refused(
    half: Path, run_job: Command, job: str, more: tuple[object, ...], said: str
) -> None:
    before = tree(half)
    assert_one_line_error(run_job(job, *more), 2, said)
    scans = tuple(name for name in tree(half) if name.startswith(".render/scans/"))
    after = {name: data for name, data in tree(half).items() if name not in scans}
    assert after == {name: data for name, data in before.items() if name not in scans}


def test_two_arrays_that_start_at_the_same_moment(
    midi: Path, tmp_path: Path, here: Command
) -> None:
    """One of them gets the folder; all jobs of the other are refused."""
    folder = tmp_path / "c"
    command = [sys.executable, "-m", "stemsmith.cli.main", "render", midi, folder, *QUICK]
    processes = {
        (seed, number): subprocess.Popen(
            [*map(str, command), "--jobs", "0", "--job", f"{number}/2", "--seed", seed],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in (1, 2)
        for seed in ("3", "4")
    }  # fmt: skip
    codes: dict[str, set[int]] = {"3": set(), "4": set()}
    for (seed, _), process in processes.items():
        error = process.communicate(timeout=300)[1]
        codes[seed].add(process.returncode)
        assert process.returncode == 0 or "other arguments" in error, error
    assert sorted(codes.values(), key=str) == [{0}, {2}]
    assert here("merge", folder).returncode == 0
    assert here("validate", folder, "--jobs", 0).returncode == 0


# ---------------------------------------------------------------------------------------------
# What is left out


class WithDeaths:
    """Workers that die of some songs."""

    def __init__(self, deadly: str) -> None:
        self._deadly = deadly

    def map(self, function: Any, jobs: Any) -> Iterator[Any]:
        for job in jobs:
            path = getattr(getattr(job, "song", None), "path", "")
            yield Died(job) if path == self._deadly else function(job)


def test_a_renderer_that_died_is_a_rejection(midi: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": 3, "sample_rate": 8000, "tail_s": 0.5, "audit": False}
    workers = WithDeaths("album1/song1.mid")
    stemsmith.render_corpus(midi, tmp_path / "w", jobs=workers, **options)
    done = [
        stemsmith.render_corpus(midi, tmp_path / "c", job=job, jobs=workers, **options)
        for job in ("1/2", "2/2", "1/2", "2/2")  # a second time: nothing is tried again
    ]
    assert [one.n_made for one in done[:2]] == [one.n_made for one in done[2:]]
    assert sum(one.n_made for one in done[:2]) == 5
    found = [rejection for one in done[:2] for rejection in one.rejections]
    assert [(r.id, r.reason) for r in found] == [("album1/song1.mid", Reason.RENDERER_DIED)]
    corpus = stemsmith.merge(tmp_path / "c")
    assert corpus.header["rejections"] == {"not-midi": 1, "renderer-died": 1}
    assert tree(tmp_path / "c") == tree(tmp_path / "w")


def changed_after_the_scan(midi: Path, make_song: Callable[..., Path]) -> Any:
    """Return a renderer that finds every score of a folder changed."""
    from stemsmith.render import workflow

    render_song = workflow.render_song

    def changed(job: Any) -> Any:
        make_song(midi / job.song.path, [(40, 0)], seed=99)
        return render_song(job)

    return changed


def test_nothing_is_left(
    tmp_path: Path, make_song, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render import workflow

    midi = tmp_path / "midi"
    lines = []
    for folder in (tmp_path / "w", tmp_path / "c"):
        for k in range(3):
            make_song(midi / f"{k}.mid", seed=k)
        monkeypatch.setattr(workflow, "render_song", changed_after_the_scan(midi, make_song))
        command = ("render", midi, folder, *QUICK, "--jobs", 0, "-q")
        if folder.name == "w":
            done = here(*command)
        else:
            # Its share is rejected, and that is a job done.
            assert [here(*command, "--job", f"{k}/2").returncode for k in (1,)] == [0]
            for k in range(3):
                make_song(midi / f"{k}.mid", seed=k)
            assert here(*command, "--job", "2/2").returncode == 0
            done = here("merge", folder)
        monkeypatch.undo()
        lines.append(done.stderr.replace(str(folder), "FOLDER"))
        assert_one_line_error(done, 1, "none of 3 files can be rendered: 3 changed")
        assert not any(path.is_file() for path in folder.rglob("*"))
    assert lines[0] == lines[1]


def test_fewer_songs_than_wanted_because_files_cannot_be_read(
    tmp_path: Path, make_song, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemsmith.render import workflow

    midi, folder = tmp_path / "midi", tmp_path / "c"
    for k in range(4):
        make_song(midi / f"{k}.mid", seed=k)
    command = ("render", midi, folder, *QUICK, "--songs", 4, "--jobs", 0, "-q")
    assert here(*command, "--job", "1/2").returncode == 0
    scores = tree(midi)
    with monkeypatch.context() as patch:
        patch.setattr(workflow, "render_song", changed_after_the_scan(midi, make_song))
        assert_one_line_error(here(*command, "--job", "2/2"), 1, "4 songs wanted")
    assert_one_line_error(here("merge", folder), 1, "2/2 has 2 of 2 songs left")
    for name, data in scores.items():
        (midi / name).write_bytes(data)
    assert here(*command, "--job", "2/2").returncode == 0
    assert here("merge", folder).returncode == 0
    assert here("render", midi, tmp_path / "w", *command[3:]).returncode == 0
    assert tree(folder) == tree(tmp_path / "w")


def test_a_job_killed_before_it_forgot_what_it_could_not_read(
    tmp_path: Path, make_song, here: Command
) -> None:
    """A number was asked for: merging must not take the rejection for good."""
    midi, folder = tmp_path / "midi", tmp_path / "c"
    for k in range(2):
        make_song(midi / f"{k}.mid", seed=k)
    command = ("render", midi, folder, *QUICK, "--songs", 2, "--jobs", 0)
    assert here(*command, "--job", "1/2").returncode == 0
    assert here(*command, "--job", "2/2").returncode == 0
    (track,) = (path for path in folder.glob("*/Track00002"))
    shutil.rmtree(track)
    rejection = Rejection("1.mid", "render", Reason.CHANGED, "the file has changed")
    path = folder / ".render" / "records" / "Track00002.rejections.parquet"
    shards.write_records(path, Rejection, [rejection])
    assert_one_line_error(here("merge", folder), 1, "2/2 has 1 of 1 songs left")


# ---------------------------------------------------------------------------------------------
# One of the jobs reads the scores


def test_scores_are_read_by_one_job(
    whole: dict[str, bytes], half: Path, run_job: Command, here: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from stemsmith.render import workflow

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "scan_files", lambda _: pytest.fail("reads the scores again"))
        assert run_job("2/2").returncode == 0
    assert here("merge", half).returncode == 0
    assert tree(half) == whole


@pytest.mark.parametrize("what", ["touched", "added", "removed", "damaged", "other-length"])
def test_what_was_kept_of_other_files_is_not_taken(
    midi: Path, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from stemsmith.render import workflow

    scores = Path(shutil.copytree(midi, tmp_path / "scores"))
    command = ("render", scores, tmp_path / "c", *QUICK, "--jobs", 0, "--job", "1/2")
    assert here(*command).returncode == 0
    read: list[str] = []
    scan_files = workflow.scan_files

    def seen(job: Any) -> Any:
        read.extend(job.paths)
        return scan_files(job)

    monkeypatch.setattr(workflow, "scan_files", seen)
    more: tuple[object, ...] = ()
    if what == "touched":
        os.utime(scores / "twin.MIDI", ns=(1, 1))
    elif what == "added":
        shutil.copy(scores / "twin.MIDI", scores / "new.mid")
    elif what == "removed":
        (scores / "twin.MIDI").unlink()
    elif what == "damaged":
        for path in (tmp_path / "c" / ".render" / "scans").glob("*/songs.parquet"):
            path.write_bytes(path.read_bytes()[:-9])
    else:
        more = ("--max-duration", 100)
    here(*command, *more)
    assert len(read) == len(list(scores.rglob("*.*")))
    read.clear()
    here(*command, *more)
    assert not read


def test_what_is_kept_is_what_was_found(midi: Path, tmp_path: Path) -> None:
    from stemsmith.manifests.jobs import QUIET

    found = list(stemsmith.scan(midi).found)
    paths = [f.path if isinstance(f, ScannedSong) else f.id for f in found]
    kept = KeptScan(tmp_path, midi, paths, [1.0])
    assert kept.found(lambda: found, QUIET) is found
    again = kept.found(lambda: pytest.fail("is kept"), QUIET)
    by_path = sorted(again, key=lambda f: f.path if isinstance(f, ScannedSong) else f.id)
    assert by_path == found
    for one, other in zip(by_path, found, strict=True):
        if isinstance(one, ScannedSong) and isinstance(other, ScannedSong):
            for part, wanted in zip(one.parts, other.parts, strict=True):
                assert part.strikes is not None
                assert wanted.strikes is not None
                assert part.strikes.dtype == wanted.strikes.dtype
                assert part.strikes.tolist() == wanted.strikes.tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text(midi: Path, tmp_path: Path, here: Command) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    for k, name in enumerate((b"\xff.mid", b"\xe4\xf6.mid", b"plain.mid")):
        song = midi / "album0" / f"song{2 * k}.mid"
        (scores / os.fsdecode(name)).write_bytes(song.read_bytes())
    (scores / os.fsdecode(b"\xfe.mid")).write_bytes(b"MThd")
    (scores / "none.mid").write_bytes(b"MThd")
    command = (*QUICK, "--jobs", 0)
    assert here("render", scores, tmp_path / "w", *command).returncode == 0
    for job in ("1/2", "2/2"):
        assert here("render", scores, tmp_path / "c", *command, "--job", job).returncode == 0
    assert here("merge", tmp_path / "c").returncode == 0
    assert tree(tmp_path / "c") == tree(tmp_path / "w")


def test_a_job_waits_for_the_one_that_reads(
    midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from stemsmith.manifests.jobs import Quiet

    told: list[str] = []

    class Told(Quiet):
        def note(self, message: str) -> None:
            told.append(message)

    kept = [KeptScan(tmp_path, midi, ["a"], []) for _ in range(2)]
    rejection = Rejection("a", "scan", Reason.NO_NOTES, "none")
    with ThreadPoolExecutor(2) as pool:

        def read() -> list[ScannedSong | Rejection]:
            other = pool.submit(kept[1].found, lambda: pytest.fail("read twice"), Told())
            others.append(other)
            while not told:
                time.sleep(0.01)
            return [rejection]

        others: list[Any] = []
        assert kept[0].found(read, Told()) == [rejection]
        assert others[0].result(timeout=60) == [rejection]
    assert told == ["another job is reading the scores; waiting for what it finds"]


# ---------------------------------------------------------------------------------------------
# What can be merged


def test_merging_names_the_jobs_and_what_to_run(
    tmp_path: Path, run_job: Command, here: Command
) -> None:
    folder = tmp_path / "c"
    assert run_job("4/6").returncode == 0
    before = tree(folder)
    assert_one_line_error(
        here("merge", folder), 1,
        "1/6 has not begun, 2/6 has not begun, 3/6 has not begun, 5/6 has not begun, 6/6",
        "repeat the command with --job 1/6 and so on (--array=1-3,5-6), and merge then",
    )  # fmt: skip
    assert tree(folder) == before
    with pytest.raises(NothingToDo, match="--array=1-3,5-6"):
        stemsmith.merge(folder)


def test_merging_what_is_merged(
    whole: dict[str, bytes], tmp_path: Path, run_job: Command, here: Command
) -> None:
    assert run_job("1/1").returncode == 0
    first = here("merge", tmp_path / "c")
    before = times(tmp_path / "c")
    again = here("merge", tmp_path / "c")
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    assert times(tmp_path / "c") == before


def test_what_cannot_be_merged(tmp_path: Path, midi: Path, mixtures: Path, here: Command) -> None:
    assert_one_line_error(here("merge", tmp_path / "no"), 2, f"{tmp_path / 'no'}: is not there")
    assert_one_line_error(here("merge", midi), 2, "holds MIDI files; expected what jobs")
    assert_one_line_error(here("merge", tmp_path), 2, "is an empty folder")
    (tmp_path / "f").write_text("")
    assert_one_line_error(here("merge", tmp_path / "f"), 2, "is a file")
    (tmp_path / "c" / ".render").mkdir(parents=True)
    assert_one_line_error(here("merge", tmp_path / "c"), 1, "no job has made its plan here")
    assert here("merge", mixtures / "recipes").returncode == 0  # is finished


@pytest.mark.parametrize("name", ["array.json", "outline/header.json", "outline/items-00000.json"])
def test_what_jobs_have_in_common_is_damaged(half: Path, here: Command, name: str) -> None:
    path = half / ".render" / "array" / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 64
    for text in (b"", b"{}", b"[]", b'{"n_jobs": "x"}', b"{", b"nonsense", b"\xff", flipped):
        path.write_bytes(text)
        assert_one_line_error(here("merge", half), 2, str(half), "damaged")
    path.write_bytes(whole)
    assert_one_line_error(here("merge", half), 1, "2/2 has not begun")
    path.unlink()
    assert here("merge", half).returncode in (1, 2)


def test_other_commands_on_a_folder_of_jobs(
    tmp_path: Path, run_job: Command, here: Command
) -> None:
    assert run_job("1/1").returncode == 0
    for command in (("validate",), ("mix", "--target", "bass")):
        name, *more = command
        more = [*more] if name == "validate" else [tmp_path / "m", *more]
        done = here(name, tmp_path / "c", *more, "--jobs", 0)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1
        assert f"stemsmith merge {tmp_path / 'c'}" in done.stderr
    with pytest.raises(InvalidCorpus, match="merge"):
        stemsmith.Corpus(tmp_path / "c")


def test_a_job_is_refused_the_folder_of_something_else(
    midi: Path, tmp_path: Path, mixtures: Path, here: Command
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("precious")
    for folder, said in ((tmp_path / "d", "not empty"), (mixtures / "recipes", "holds mixtures")):
        before = tree(folder)
        done = here("render", midi, folder, *QUICK, "--jobs", 0, "--job", "1/2")
        assert_one_line_error(done, 2, said)
        assert tree(folder) == before


def test_the_room_is_that_for_all_jobs(
    midi: Path, tmp_path: Path, run_job: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of which each has room for its own share alone have none for both."""
    from stemsmith.render.songs import forecast

    asked: list[int] = []
    monkeypatch.setattr(forecast, "check_room", lambda _, n_bytes, __: asked.append(n_bytes))
    for job in ("1/1", "1/2", "1/3"):
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        assert run_job(job).returncode == 0
    assert len(set(asked)) == 1


def test_a_lock_file_that_a_job_has_left_is_held_by_nobody(half: Path) -> None:
    lock = half / ".render" / "array" / "1.lock"
    assert lock.exists()
    assert not storage.is_held(lock)
    with storage.exclusive(lock):
        assert storage.is_held(lock)
        with pytest.raises(InUse), storage.exclusive(lock, "held"):
            pass
    assert not storage.is_held(lock.with_name("9.lock"))
