"""Running jobs in this process, on local worker processes, or on a Dask cluster.

Dask does the distributing and restarts workers that die. All jobs that were on a worker when it
died, at work or at hand, are tried again, alone; one that then kills its worker twice is given up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Died, InProcess, Workers

__all__ = ["default_jobs", "open_workers"]

J = TypeVar("J")
R = TypeVar("R")

_DEATHS_ALLOWED: Final = 0  # by Dask; further tries are ours
_DEATHS_ALONE: Final = 2
_CONNECT_TIMEOUT_S: Final = 10
_JOBS_PER_WORKER: Final = 2  # one in work, one at hand: between two jobs Dask takes 17 ms
_MALLOC: Final = "distributed.nanny.pre-spawn-environ.MALLOC_{}_THRESHOLD_"
_POLL_S: Final = 5
_FETCH_S: Final = 60  # longer than any result takes to come
_WORKERLESS_S: Final = 300  # in which a cluster may start others


class _Dask:
    def __init__(self, client: Any) -> None:
        self._client = client

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R | Died[J]]:
        waiting = iter(jobs)
        suspects: list[J] = []
        for job, outcome in self._run(function, waiting, _JOBS_PER_WORKER * self._n_workers()):
            if isinstance(outcome, Died):
                suspects.append(job)
            else:
                yield outcome
        for job in suspects:
            yield self._alone(function, job)

    def _alone(self, function: Callable[[J], R], job: J) -> R | Died[J]:
        """Return a job's result, or that it died twice."""
        for _ in range(_DEATHS_ALONE):
            ((_, outcome),) = self._run(function, iter([job]), 1)
            if not isinstance(outcome, Died):
                break
        return outcome

    def _run(
        self, function: Callable[[J], R], jobs: Iterator[J], n_running: int
    ) -> Iterator[tuple[J, R | Died[J]]]:
        """Keep a number of jobs running; yield each with its result, or with its death."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        running: dict[str, tuple[Any, J]] = {}  # Dask forgets a future that nobody holds
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit_next() -> None:
            for job in jobs:
                future = self._client.submit(function, job, pure=False)
                running[future.key] = future, job
                future.add_done_callback(finished.put)
                return

        for _ in range(n_running):
            submit_next()
        while running:
            future = self._next(finished)
            _, job = running.pop(future.key)
            try:
                outcome: R | Died[J] = self._result(future)
            except KilledWorker:
                outcome = Died(job)
            except (CancelledError, CommClosedError) as error:
                raise UsageError("the Dask scheduler gave up a job; run again to go on") from error
            future.release()  # or Dask computes a result again that is lost with a later death
            submit_next()
            yield job, outcome

    def _next(self, finished: queue.SimpleQueue[Any]) -> Any:
        """Wait for a future, as long as there are a scheduler and workers to wait for."""
        alive_at = time.monotonic()
        while True:
            try:
                return finished.get(timeout=_POLL_S)
            except queue.Empty:
                alive_at = self._last_alive(alive_at)

    def _result(self, future: Any) -> Any:
        """Return a job's result; Dask computes one again that was lost with its worker."""
        alive_at = time.monotonic()
        while True:
            try:
                return future.result(timeout=_FETCH_S)
            except TimeoutError:
                if future.status == "error":  # it is the job's own
                    raise
                alive_at = self._last_alive(alive_at)

    def _last_alive(self, alive_at: float) -> float:
        """Return when there were workers last; an error if that, or the scheduler, is long gone."""
        try:
            is_scheduled = self._client.status in ("running", "connecting")
            if is_scheduled and self._client.nthreads():
                return time.monotonic()
        except OSError:
            is_scheduled = False
        if not is_scheduled:
            raise UsageError("the Dask scheduler is gone; run again to go on")
        if time.monotonic() - alive_at > _WORKERLESS_S:
            raise UsageError("all Dask workers are gone; run again to go on")
        return alive_at

    def _n_workers(self) -> int:
        n_threads = self._client.nthreads()
        if not n_threads:
            raise UsageError(f"{self._client.scheduler.address}: the scheduler has no workers")
        return len(n_threads)


def default_jobs() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local_cluster(n_workers: int) -> Any:
    from distributed import LocalCluster

    is_main = threading.current_thread() is threading.main_thread()
    # Processes inherit an ignored Ctrl-C: this one ends them, without a traceback from each.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        return LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            # Any free port, and not for the network.
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    finally:
        if is_main:
            signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def open_workers(jobs: int | Workers, scheduler: str | None = None) -> Iterator[Workers]:
    """Open workers for the time of a workflow.

    Parameters
    ----------
    jobs : int or Workers
        Number of local worker processes, where 0 does the jobs in this process; or workers that
        are open already, and stay so.
    scheduler : str or None
        Address of a running Dask scheduler, whose workers must see the same file system under
        the same paths; the number of `jobs` is then not used. How many deaths such a scheduler
        allows a job is its own setting (``distributed.scheduler.allowed-failures``).

    Raises
    ------
    UsageError
        If the scheduler cannot be reached.

    Examples
    --------
    >>> import stemsmith
    >>> with stemsmith.open_workers(0) as workers:  # any number of local processes, or a scheduler
    ...     inventory = stemsmith.scan("scores", jobs=workers)
    >>> inventory.songs.num_rows
    5
    """
    if not isinstance(jobs, int):
        yield jobs
        return
    if scheduler is None and jobs == 0:
        yield InProcess()
        return
    import dask
    from distributed import Client

    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS_ALLOWED,
        "distributed.admin.log-format": "%(message)s",
        # Nobody looks at these samplings of a worker, and each takes the interpreter from it.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "2s",
        # Some time after a death, Dask would close a worker that is only starting again.
        "distributed.deploy.lost-worker-timeout": "1000000s",
        # Dask has glibc give back all memory above 64 KiB at once, and a song then faults in
        # 60 times as many pages (18 % of its time); our buffers are kept, so nothing piles up.
        _MALLOC.format("TRIM"): 1 << 30,
        _MALLOC.format("MMAP"): 32 << 20,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        for name in ("distributed", "distributed.nanny", "distributed.worker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            address: Any = scheduler
            if scheduler is None:
                address = stack.enter_context(_local_cluster(jobs))
            client = stack.enter_context(
                Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"{scheduler}: no Dask scheduler answers: {error}") from error
        yield _Dask(client)
