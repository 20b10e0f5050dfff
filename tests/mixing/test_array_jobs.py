"""Jobs of an array that mix into one folder: the bytes of one run, whatever happens to them."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stemsmith
from stemsmith.manifests.cache import CACHE_VARIABLE
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.shares import FinishedJob
from stemsmith.mixing import destination
from stemsmith.mixing.sources import measure

Command = Callable[..., subprocess.CompletedProcess[str]]
SHORT = ("--clip", 1, "--min-rms", -60, "--mixtures", 23, "--jobs", 0, "-q")
AUDIO = ("--audio", "--stems", "bass")


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


@pytest.fixture
def corpus() -> Path:
    """Return a tiny corpus; read only."""
    return Path(__file__).resolve().parents[1] / "data" / "0.1" / "corpus"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have enough shards for some jobs."""
    monkeypatch.setattr(destination, "_PER_SHARD", 4)
    monkeypatch.setattr(destination, "_PER_AUDIO_SHARD", 4)


@pytest.mark.parametrize("n_jobs", [1, 2, 5, 50])
@pytest.mark.parametrize("more", [(), AUDIO], ids=["recipes", "audio"])
def test_jobs_and_merge_make_the_bytes_of_one_run(
    corpus: Path, tmp_path: Path, here: Command, n_jobs: int, more: tuple[object, ...]
) -> None:
    done = here("mix", corpus, tmp_path / "w", *SHORT, *more)
    assert done.returncode == 0, done.stderr
    numbers = list(range(1, min(n_jobs, 20) + 1))  # others have nothing to do, and need not run
    random.Random(n_jobs).shuffle(numbers)
    n_mixtures = 0
    for number in numbers:
        job = ("--job", f"{number}/{n_jobs}", "--json")
        done = here("mix", corpus, tmp_path / "m", *SHORT, *more, *job)
        assert done.returncode == 0, done.stderr
        n_mixtures += json.loads(done.stdout)["n_mixtures"]
        assert not (tmp_path / "m" / "manifest.json").exists()
    done = here("merge", tmp_path / "m", "--json")
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["n_mixtures"].values()) == n_mixtures
    assert tree(tmp_path / "m") == tree(tmp_path / "w")
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0
    assert here("merge", tmp_path / "m").returncode == 0


def test_jobs_that_start_at_the_same_moment(corpus: Path, tmp_path: Path, here: Command) -> None:
    command = ["mix", corpus, tmp_path / "m", *SHORT, *AUDIO, "--mixtures", 600]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stemsmith.cli.main", *map(str, command),
             "--job", f"{number}/3"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    for process in processes:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    assert here("merge", tmp_path / "m").returncode == 0
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0
    assert len(list((tmp_path / "m").glob("audio-train-*.tar"))) > 0


def test_in_python(corpus: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"target": "bass", "n_mixtures": 9, "clip_s": 1, "min_rms_dbfs": -60}
    done = [
        stemsmith.mix(corpus, tmp_path / "m", job=job, **options) for job in ("1/3", "2/3", "3/3")
    ]
    assert all(isinstance(one, FinishedJob) for one in done)
    merged = stemsmith.merge(tmp_path / "m")
    assert isinstance(merged, stemsmith.Mixtures)
    assert len(merged) == sum(one.n_made for one in done)
    whole = stemsmith.mix(corpus, tmp_path / "w", **options)
    assert merged.fingerprint == whole.fingerprint
    assert tree(tmp_path / "m") == tree(tmp_path / "w")
    with pytest.raises(UsageError, match="such as 3/8"):
        stemsmith.mix(corpus, tmp_path / "n", job="", **options)


KILLED = """
import os, signal, sys
from stemsmith.mixing import audio_shards, destination
destination._PER_AUDIO_SHARD = 4
members, n_left = audio_shards._members, int(sys.argv[1])
def dying(*arguments):
    global n_left
    n_left -= 1
    if n_left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return members(*arguments)
audio_shards._members = dying
from stemsmith.cli.main import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("n_left", [0, 6])
def test_a_job_that_was_killed_goes_on(
    corpus: Path, tmp_path: Path, here: Command, n_left: int
) -> None:
    folder = tmp_path / "m"
    command = ("mix", corpus, folder, *SHORT, *AUDIO)
    assert here(*command, "--job", "1/2").returncode == 0
    arguments = [*map(str, command), "--job", "2/2"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(n_left), *arguments], capture_output=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    staging = folder / ".mix" / "staging" / "2-of-2"
    assert any(staging.iterdir()), "nothing to sweep"
    n_done = n_left // 4
    assert_one_line_error(here("merge", folder), 1, f"2/2 has {9 - n_done} of 9 shards left")
    sibling = tree(folder / ".mix" / "staging" / "1-of-2")
    assert here(*command, "--job", "2/2").returncode == 0
    assert not any(staging.iterdir())
    assert tree(folder / ".mix" / "staging" / "1-of-2") == sibling
    assert here("merge", folder).returncode == 0
    assert here("mix", corpus, tmp_path / "w", *command[3:]).returncode == 0
    assert tree(folder) == tree(tmp_path / "w")


@pytest.mark.parametrize("what", ["job", "merge"])
def test_killed_at_every_step(
    corpus: Path, tmp_path: Path, here: Command, killed_after, what: str
) -> None:
    folder = tmp_path / "m"
    command = ("mix", corpus, folder, *SHORT, *AUDIO)
    for job in ("1/2",) if what == "job" else ("1/2", "2/2"):
        assert here(*command, "--job", job).returncode == 0
    one = (*command, "--job", "2/2") if what == "job" else ("merge", folder)
    ended = False
    for n_steps in (*range(8), *range(8, 300, 9)):
        with killed_after(n_steps):
            here(*one)
            ended = True
        if ended:
            break
    assert here(*one).returncode == 0
    assert here("merge", folder).returncode == 0
    assert here("mix", corpus, tmp_path / "w", *command[3:]).returncode == 0
    assert tree(folder) == tree(tmp_path / "w")


def test_a_whole_run_goes_on_with_what_jobs_left(
    corpus: Path, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    command = ("mix", corpus, folder, *SHORT, *AUDIO)
    assert here(*command, "--job", "2/3").returncode == 0
    tars = {path: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    assert tars
    assert here(*command).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tars} == tars
    assert here("mix", corpus, tmp_path / "w", *command[3:]).returncode == 0
    assert tree(folder) == tree(tmp_path / "w")
    assert here(*command, "--job", "1/3").returncode == 0  # there is nothing left to do
    assert tree(folder) == tree(tmp_path / "w")


@pytest.mark.parametrize(
    ("job", "more", "said"),
    [
        ("2/3", (), "its jobs are of 2, such as --job 1/2"),
        ("2/2", ("--seed", 1), "other arguments"),
        ("2/2", AUDIO, "other arguments"),
        ("0/2", (), "--job 0/2: "),
        ("x", (), "--job x: "),
    ],
    ids=str,
)
def test_what_is_no_job_of_the_array_is_refused(
    corpus: Path, tmp_path: Path, here: Command, job: str, more: tuple[object, ...], said: str
) -> None:
    command = ("mix", corpus, tmp_path / "m", *SHORT)
    assert here(*command, "--job", "1/2").returncode == 0
    before = tree(tmp_path / "m")
    assert_one_line_error(here(*command, *more, "--job", job), 2, said)
    assert tree(tmp_path / "m") == before


def test_what_is_left_out_is_in_the_manifest(
    musdb: Path, tmp_path: Path, here: Command, make_noise: Callable[..., Path]
) -> None:
    """Files that no mixture can have are known to the plan alone, and to every job."""
    source = Path(shutil.copytree(musdb, tmp_path / "musdb"))
    make_noise(source / "train" / "A - One" / "extra.wav", 2)
    (source / "train" / "B - Two" / "bass.wav").write_bytes(b"RIFF")
    command = (f"musdb:{source}", "--taxonomy", "musdb", "--mode", "incoherent")
    where = {name: (command[0], tmp_path / name, *command[1:], *SHORT) for name in ("w", "m")}
    done = here("mix", *where["w"], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rejections"]
    for job in ("1/2", "2/2"):
        assert here("mix", *where["m"], "--job", job).returncode == 0
    merged = here("merge", tmp_path / "m", "--json")
    assert json.loads(merged.stdout)["rejections"] == json.loads(done.stdout)["rejections"]
    assert tree(tmp_path / "m") == tree(tmp_path / "w")


# ---------------------------------------------------------------------------------------------
# Files of others are measured by all jobs together


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Return the names of files in the order in which they are measured, from an empty cache."""
    names: list[str] = []
    measure_file = measure.measure_file

    def seen(job: Any) -> Any:
        names.append(str(Path(job.path).relative_to(Path(job.path).parents[1])))
        return measure_file(job)

    monkeypatch.setattr(measure, "measure_file", seen)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return names


def test_every_job_begins_with_its_own_files(
    musdb: Path, tmp_path: Path, here: Command, measured: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    orders = []
    for number in (1, 2, 3):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / f"cache{number}"))
        done = here("mix", f"musdb:{musdb}", tmp_path / "m", "--taxonomy", "musdb", *SHORT,
                    "--job", f"{number}/3")  # fmt: skip
        assert done.returncode == 0, done.stderr
        orders.append(list(measured))
        measured.clear()
    assert {*orders[0]} == {*orders[1]} == {*orders[2]}
    n_files = len(orders[0])
    first = [order[: n_files // 3] for order in orders]
    assert len({*first[0], *first[1], *first[2]}) == 3 * (n_files // 3)
    assert here("merge", tmp_path / "m").returncode == 0


def test_what_another_job_has_measured_meanwhile_is_not_measured_again(
    musdb: Path, tmp_path: Path, here: Command, measured: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A job that comes upon a file which a sibling has done passes it by."""
    measure_file, is_first = measure.measure_file, True

    def with_sibling(job: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            done = here("mix", *command, "--job", "2/2")
            assert done.returncode == 0, done.stderr
        return measure_file(job)

    command = (f"musdb:{musdb}", tmp_path / "m", "--taxonomy", "musdb", *SHORT)
    monkeypatch.setattr(measure, "measure_file", with_sibling)
    done = here("mix", *command, "--job", "1/2")
    assert done.returncode == 0, done.stderr
    twice = {name for name in measured if measured.count(name) > 1}
    assert len(twice) == 1, "only the file that both were at"
    assert here("merge", tmp_path / "m").returncode == 0
    assert here("mix", command[0], tmp_path / "w", *command[2:]).returncode == 0
    assert tree(tmp_path / "m") == tree(tmp_path / "w")
