"""Workers: results, errors, deaths, addresses."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import LocalCluster
from stemsmith.manifests.cluster import _Dask, open_workers
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
        ) as cluster,
        open_workers(0, cluster.scheduler_address) as pool,
    ):
        assert sorted(pool.map(squares(), range(5))) == [0, 1, 4, 9, 16]


def test_an_address_where_nobody_answers_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsmith.manifests.cluster._CONNECT_TIMEOUT_S", 1)
    with (
        pytest.raises(UsageError, match="no Dask scheduler answers"),
        open_workers(1, "tcp://127.0.0.1:9"),
    ):
        pass
