"""Workers: results, errors, deaths, addresses."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from stemsmith.manifests import cluster
from stemsmith.manifests.cluster import _Dask, default_jobs, open_workers
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Died


def squares() -> Callable[[int], int]:
    def square(job: int) -> int:
        return job * job

    return square


@pytest.mark.parametrize("n_jobs", [0, 1, 2])
def test_every_job_is_done_once(n_jobs: int) -> None:
    with open_workers(n_jobs, None) as pool:
        assert sorted(pool.map(squares(), range(20))) == [k * k for k in range(20)]
        assert list(pool.map(squares(), [])) == []


def test_jobs_are_taken_as_workers_become_free() -> None:
    taken: list[int] = []

    def jobs():
        for k in range(100):
            taken.append(k)
            yield k

    with open_workers(2, None) as pool:
        results = pool.map(squares(), jobs())
        next(results)
        assert len(taken) < 10
        assert len(list(results)) == 99


@pytest.mark.parametrize("n_jobs", [0, 1])
def test_an_error_ends_the_map(n_jobs: int) -> None:
    def fail(job: int) -> int:
        raise PermissionError(13, "Permission denied", f"/file{job}")

    with open_workers(n_jobs, None) as pool, pytest.raises(PermissionError, match="file0"):
        list(pool.map(fail, [0]))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_only_jobs_that_kill_their_worker_twice_are_given_up(tmp_path: Path, n_jobs: int) -> None:
    always, first_time = {3, 11, 19}, {5, 12, 13, 23}

    def deadly(job: int) -> int:
        with (tmp_path / f"tries{job}").open("a") as file:
            file.write("x")
        is_first = (tmp_path / f"tries{job}").stat().st_size == 1
        if job in always or (job in first_time and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    with open_workers(n_jobs, None) as pool:
        results = list(pool.map(deadly, range(24)))
    assert {result.job for result in results if isinstance(result, Died)} == always
    assert sorted(r for r in results if isinstance(r, int)) == sorted({*range(24)} - always)
    tries = {job: (tmp_path / f"tries{job}").stat().st_size for job in range(24)}
    # Twice alone, and once among others unless it did not come to that.
    assert {tries[job] for job in always} <= {2, 3}
    assert {tries[job] for job in first_time} == {2}


class _Deserted:
    """A scheduler without workers, and the future of a result that was lost with them."""

    status = "running"

    def nthreads(self) -> dict[str, int]:
        return {}

    def result(self, timeout: float) -> None:
        raise TimeoutError


def test_workers_that_are_gone_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsmith.manifests.cluster._POLL_S", 0.01)
    monkeypatch.setattr("stemsmith.manifests.cluster._WORKERLESS_S", 0.1)
    with pytest.raises(UsageError, match="all Dask workers are gone"):
        _Dask(_Deserted())._next(queue.SimpleQueue())
    with pytest.raises(UsageError, match="all Dask workers are gone"):
        _Dask(_Deserted())._result(_Deserted())


def test_a_job_may_raise_a_timeout_of_its_own() -> None:
    def wait(job: int) -> int:
        raise TimeoutError(110, "Connection timed out", "/net/file")

    with open_workers(1, None) as pool, pytest.raises(TimeoutError, match="/net/file"):
        list(pool.map(wait, [0]))


def test_a_running_scheduler_is_used() -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as running,
        open_workers(0, running.scheduler_address) as pool,
    ):
        assert sorted(pool.map(squares(), range(5))) == [0, 1, 4, 9, 16]


def test_an_address_where_nobody_answers_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsmith.manifests.cluster._CONNECT_TIMEOUT_S", 1)
    with (
        pytest.raises(UsageError, match="no Dask scheduler answers"),
        open_workers(1, "tcp://127.0.0.1:9"),
    ):
        pass


# Starting.


def test_workers_that_were_killed_while_they_start_are_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, tries = cluster._new_cluster, []

    def fail_at_first(n_workers: int) -> Any:
        tries.append(n_workers)
        if len(tries) < 3:
            raise RuntimeError("Nanny failed to start.")
        return start(n_workers)

    monkeypatch.setattr(cluster, "_new_cluster", fail_at_first)
    with open_workers(1) as pool:
        assert list(pool.map(squares(), [3])) == [9]
    assert tries == [1, 1, 1]


def test_workers_that_never_start_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(n_workers: int) -> Any:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(cluster, "_new_cluster", fail)
    with pytest.raises(UsageError, match=r"^--jobs 2: .*Nanny failed.* --jobs 0$"), open_workers(2):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_interrupt_while_workers_start_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Started:
        def close(self) -> None:
            done.append("closed")

    def start(n_workers: int) -> Any:
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.SIGINT in masked, "or workers would have the terminal's Ctrl-C"
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        done.append("started")
        return Started()

    monkeypatch.setattr(cluster, "_start_cluster", start)
    with pytest.raises(KeyboardInterrupt), open_workers(2):
        raise AssertionError("nobody wants workers any more")
    assert done == ["started", "closed"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_whose_workers_are_starting(
    band_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Interrupted, it stops; where a worker is killed, it goes on."""
    command = [sys.executable, "-m", "stemsmith.cli.main", "render", band_folder, tmp_path / "c"]
    process = subprocess.Popen(
        [*map(str, command), "--jobs", "2", "--songs", "2", "--sample-rate", "8000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (workers := workers_of(process.pid)):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(workers[0] if number is signal.SIGKILL else process.pid, number)
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    if number is signal.SIGKILL:
        assert process.returncode == 0
    else:
        assert process.returncode == 1
        assert err.splitlines()[-1] == "Aborted! The same command goes on where it was."
        assert not (tmp_path / "c").exists()


def workers_of(parent: int) -> list[int]:
    """Return the worker processes that a process has started, by /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            is_child = int(status.read_text().rpartition(")")[2].split()[1]) == parent
            if is_child and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
    return found


@pytest.mark.slow
def test_the_death_of_the_scheduler_is_one_line(
    band_folder: Path, tmp_path: Path, stemsmith
) -> None:
    module = "distributed.cli.dask_"
    contact = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [sys.executable, "-m", f"{module}scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", contact], **quiet,
    )  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", f"{module}worker", "--scheduler-file", contact, "--nthreads", "1",
         "--no-dashboard", "--local-directory", tmp_path], **quiet,
    )  # fmt: skip
    try:
        while not contact.exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = json.loads(contact.read_text())["address"]
        command = ("render", band_folder, tmp_path / "c", "--scheduler", address)
        command += ("--sample-rate", 8000, "--quiet")
        with ThreadPoolExecutor(1) as thread, Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            client.run(hold_renders)
            running = thread.submit(stemsmith, *command)
            while not (tmp_path / "c" / ".render" / "plan.json").exists():
                assert not running.done(), running.result().stderr
                time.sleep(0.05)
            scheduler.kill()
            done = running.result()
        assert done.returncode == 2
        assert done.stderr == "Error: the Dask scheduler is gone; run again to go on\n"
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def hold_renders() -> None:
    """Have a worker take its time for every song."""
    from stemsmith.render.songs import render

    quick = render._write_track

    def slow(job: Any, staged: Path) -> Any:
        time.sleep(5)
        return quick(job, staged)

    render._write_track = slow


@pytest.mark.slow
def test_validating_with_workers_ends(corpus: Path, stemsmith) -> None:
    """On a machine with other work for all its processors, and in two minutes at the most."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(default_jobs())
    ]
    try:
        done = stemsmith("validate", corpus, "--jobs", 2, timeout=120)
        assert done.returncode == 0, done.stderr
    finally:
        for process in others:
            process.kill()
            process.wait()
