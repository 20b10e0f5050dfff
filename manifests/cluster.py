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
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from stemsmith.manifests.documents import misfit, read_json
from stemsmith.manifests.errors import StemsmithError, UsageError
from stemsmith.manifests.interrupts import stop_if_wanted
from stemsmith.manifests.jobs import Died, InProcess, Unconfirmed, Workers, telling_of_doubts
from stemsmith.manifests.safe_path import current_folder_last, safe_path

__all__ = ["default_jobs", "open_workers", "scheduler_in", "tls_files"]

J = TypeVar("J")
R = TypeVar("R")

_DEATHS_ALLOWED: Final = 0  # by Dask; further tries are ours
_DEATHS_ALONE: Final = 2
_CONNECT_TIMEOUT_S: Final = 10
_LOCAL_TIMEOUT_S: Final = 300  # to connect within a machine, which may have other things to do
_START_TRIES: Final = 3
_JOBS_PER_WORKER: Final = 2  # one in work, one at hand: between two jobs Dask takes 17 ms
_MALLOC: Final = "distributed.nanny.pre-spawn-environ.MALLOC_{}_THRESHOLD_"
_PACKAGES: Final = ("asyncio", "distributed", "tornado")
_POLL_S: Final = 5
_FILE_POLL_S: Final = 0.2
_WRITING_S: Final = 5  # in which the file of a scheduler, once it is there, becomes whole
_FETCH_S: Final = 60  # longer than any result takes to come
_WORKERLESS_S: Final = 300  # in which a cluster may start others
_COMING_S: Final = 60  # in which a scheduler and a first worker that were started with us are there
_HAS_MASKS: Final = hasattr(signal, "pthread_sigmask")  # Windows has none


_Check = tuple[str, Callable[[], str | None]]  # with a name, by which a worker knows it again
_passed: set[str] = set()  # names of the checks that this process has passed, if it is a worker


@dataclass(frozen=True, slots=True)
class _Unfit:
    """A worker that sees other things than the process that gives it jobs."""

    line: str


@dataclass(frozen=True, slots=True)
class _Doubtful:
    """A job that failed on a worker for a reason that may be the worker's own."""

    host: str
    reason: str


_Outcome: TypeAlias = R | _Unfit | _Doubtful


def _do(function: Callable[[J], R], job: J, checks: tuple[_Check, ...]) -> R | _Unfit | _Doubtful:
    """Do a job on a worker."""
    if (line := _unfitness(checks)) is not None:
        return _Unfit(line)

    def leave_to_the_caller(error: Exception) -> NoReturn:
        raise Unconfirmed(_text(error)) from error

    with telling_of_doubts(leave_to_the_caller):
        try:
            return function(job)
        except (Unconfirmed, ImportError, OSError, StemsmithError) as error:
            if isinstance(error, UsageError) and not isinstance(error.__cause__, OSError):
                raise  # what was asked for makes no sense anywhere
            return _Doubtful(socket.gethostname(), _text(error))


def _unfitness(checks: tuple[_Check, ...]) -> str | None:
    """Return what is wrong with this worker in one line, or None."""
    for name, check in checks:
        if name not in _passed:
            if (difference := check()) is not None:
                return f"worker {socket.gethostname()}: {difference}"
            _passed.add(name)
    return None


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _Dask:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._checks: tuple[_Check, ...] = ()

    @contextlib.contextmanager
    def checked(self, check: Callable[[], str | None]) -> Iterator[None]:
        before = self._checks
        named = (uuid.uuid4().hex, check)
        self._check_all((named,))
        self._checks = (*before, named)
        try:
            yield
        finally:
            self._checks = before

    def _check_all(self, checks: tuple[_Check, ...]) -> None:
        """Check the workers that are there; those that come later check themselves."""
        self._n_workers()
        try:
            self._client.run_on_scheduler(_unfitness, ())  # it reads all jobs
        except (ImportError, AttributeError) as error:
            address = self._client.scheduler.address
            raise UsageError(
                f"scheduler {address}: has not the stemsmith of this process: {error}"
            ) from error
        found = self._client.run(_unfitness, checks, on_error="return")
        for address, line in sorted(found.items()):
            if isinstance(line, OSError):  # it has just died, and its successor checks itself
                continue
            if isinstance(line, Exception):  # there is no stemsmith, or another version
                line = f"worker {address}: has not the stemsmith of this process: {line}"
            if line is not None:
                raise UsageError(line)

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R | Died[J]]:
        waiting = iter(jobs)
        suspects: list[J] = []
        for job, outcome in self._run(function, waiting, _JOBS_PER_WORKER * self._n_workers()):
            if isinstance(outcome, Died):
                suspects.append(job)
            else:
                yield _settled(function, job, outcome)
        for job in suspects:
            outcome = self._alone(function, job)
            yield outcome if isinstance(outcome, Died) else _settled(function, job, outcome)

    def _alone(self, function: Callable[[J], R], job: J) -> _Outcome[R] | Died[J]:
        """Return a job's result, or that it died twice."""
        for _ in range(_DEATHS_ALONE):
            ((_, outcome),) = self._run(function, iter([job]), 1)
            if not isinstance(outcome, Died):
                break
        return outcome

    def _run(
        self, function: Callable[[J], R], jobs: Iterator[J], n_running: int
    ) -> Iterator[tuple[J, _Outcome[R] | Died[J]]]:
        """Keep a number of jobs running; yield each with its result, or with its death."""
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        running: dict[str, tuple[Any, J]] = {}  # Dask forgets a future that nobody holds
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit_next() -> None:
            for job in jobs:
                future = self._client.submit(_do, function, job, self._checks, pure=False)
                running[future.key] = future, job
                future.add_done_callback(finished.put)
                return

        for _ in range(n_running):
            submit_next()
        while running:
            future = self._next(finished)
            _, job = running.pop(future.key)
            try:
                outcome: _Outcome[R] | Died[J] = self._result(future)
            except KilledWorker:
                outcome = Died(job)
            except ImportError as error:  # of a worker that came later
                raise UsageError(
                    f"a worker has not the stemsmith of this process: {error}"
                ) from error
            except (CancelledError, CommClosedError) as error:
                self._last_alive(time.monotonic())
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


def _settled(function: Callable[[J], R], job: J, outcome: _Outcome[R]) -> R:
    """Return the result of a job, which this process does itself where its failure is in doubt."""
    if isinstance(outcome, _Unfit):
        raise UsageError(outcome.line)
    if not isinstance(outcome, _Doubtful):
        return outcome
    confirmed: list[Exception] = []
    with telling_of_doubts(confirmed.append):
        result = function(job)  # an error is the job's own, and raised here as it is
    if confirmed:
        return result
    raise UsageError(
        f"worker {outcome.host}: {outcome.reason}; not so here: give it the same folders and "
        "packages, or leave it out, and run again"
    )


def default_jobs() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local_cluster(n_workers: int) -> Any:
    """Start local workers; a Ctrl-C meanwhile is not lost, and stops them again."""
    from multiprocessing import resource_tracker

    starting: Future[Any] = Future()

    def start() -> None:
        # This thread and all that come of it, processes included, leave Ctrl-C to the main thread:
        # that one ends the workers, without a traceback from each.
        if _HAS_MASKS:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            starting.set_result(_start_cluster(n_workers))
        except BaseException as error:  # raised again by whoever asks for the result
            starting.set_exception(error)

    if _HAS_MASKS:
        resource_tracker.ensure_running()  # it would let Ctrl-C into the thread that starts it
    try:
        threading.Thread(target=start, name="start workers", daemon=True).start()
        return starting.result()
    except KeyboardInterrupt:
        with contextlib.suppress(Exception):  # what is half started cannot be stopped
            starting.result(_LOCAL_TIMEOUT_S).close()
        raise


def _start_cluster(n_workers: int) -> Any:
    """Start local workers; once more if one of them did not survive that."""
    for n_tries_left in reversed(range(_START_TRIES)):
        try:
            return _new_cluster(n_workers)
        except (RuntimeError, OSError) as error:
            if not n_tries_left:
                raise UsageError(
                    f"--jobs {n_workers}: the worker processes do not start, or are killed at once "
                    f"({error.__cause__ or error}); take fewer, or --jobs 0"
                ) from error
    raise AssertionError


def _new_cluster(n_workers: int) -> Any:
    from distributed import LocalCluster

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
        the same paths; the number of `jobs` is then not used. A first worker is waited for, for a
        minute. How many deaths such a scheduler allows a job is its own setting
        (``distributed.scheduler.allowed-failures``), and so is what is to be known for TLS
        (``distributed.comm.tls``).

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
    with current_folder_last():
        import dask
        from distributed import Client
    stop_if_wanted()

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
        stack.enter_context(safe_path())
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_silence())
        if scheduler is None:
            cluster = stack.enter_context(_local_cluster(jobs))
            client = Client(cluster, timeout=_LOCAL_TIMEOUT_S, set_as_default=False)
        else:
            try:
                client = Client(scheduler, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)
            except (OSError, RuntimeError, TimeoutError, TypeError, ValueError) as error:
                raise UsageError(f"{scheduler}: no Dask scheduler answers: {error}") from error
        stack.enter_context(client)
        if scheduler is not None:
            _wait_for_a_worker(client)
        yield _Dask(client)


def _wait_for_a_worker(client: Any) -> None:
    """Wait for the first worker of a scheduler: batch systems start them with us."""
    try:
        client.wait_for_workers(1, timeout=_COMING_S)
    except (TimeoutError, OSError):
        address = client.scheduler.address
        raise UsageError(f"{address}: the scheduler has no workers") from None


def scheduler_in(path: Path) -> str:
    """Return the address that a scheduler has written to a file, as ``--scheduler-file`` has it do.

    A file that is not there yet is waited for: batch systems start the scheduler with us.

    Parameters
    ----------
    path : Path
        The file, in JSON.

    Raises
    ------
    UsageError
        If it does not come, or has no address.
    """
    until = time.monotonic() + _COMING_S
    while not path.exists():
        if time.monotonic() > until:
            raise UsageError(f"{path}: no Dask scheduler has written it")
        time.sleep(_FILE_POLL_S)
    content = _read_when_written(path)
    if problem := misfit(content, {"address": str}):
        raise UsageError(f"{path}: not what a Dask scheduler writes: {problem}")
    return str(content["address"])


def _read_when_written(path: Path) -> Any:
    until = time.monotonic() + _WRITING_S
    while True:
        try:
            return read_json(path)
        except UsageError:
            if time.monotonic() > until:
                raise
        time.sleep(_FILE_POLL_S)


@contextlib.contextmanager
def tls_files(ca: Path | None, cert: Path | None, key: Path | None) -> Iterator[None]:
    """Connect to schedulers with TLS, for the time of the body.

    The files become settings of Dask, ``distributed.comm.tls``; whoever has these in Dask's own
    configuration, or in its environment, needs none of this.

    Parameters
    ----------
    ca : Path or None
        Certificates of the authorities that have signed the scheduler's, in PEM.
    cert, key : Path or None
        Certificate of this client, and its key, which may be in the same file.

    Raises
    ------
    UsageError
        If a file is missing, or the key has no certificate.
    """
    given = {
        "--tls-ca": ("distributed.comm.tls.ca-file", ca),
        "--tls-cert": ("distributed.comm.tls.client.cert", cert),
        "--tls-key": ("distributed.comm.tls.client.key", key),
    }
    settings = {name: str(path) for name, path in given.values() if path is not None}
    if not settings:
        yield
        return
    for flag, (_, path) in given.items():
        if path is not None and not path.is_file():
            raise UsageError(f"{flag} {path}: no such file")
    if key is not None and cert is None:
        raise UsageError("--tls-key: the certificate is missing; give --tls-cert, too")
    with current_folder_last():
        import dask

    with dask.config.set({**settings, "distributed.comm.require-encryption": True}):
        yield


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back what Dask and its loop log of deaths: what there is to say, we say in one line."""
    with contextlib.ExitStack() as stack:
        for name in (*_PACKAGES, *logging.root.manager.loggerDict):
            if name.partition(".")[0] in _PACKAGES:
                logger = logging.getLogger(name)
                stack.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL)
        yield
