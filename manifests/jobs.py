"""What a workflow asks of its caller: workers that do its jobs, and somebody to tell of progress.

Two protocols, so that the stages know neither Dask nor terminals. `InProcess` and `Quiet` are the
plain ones: jobs are done here, one after the other, and nothing is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, Protocol, TypeVar, runtime_checkable

from stemsmith.manifests.errors import InvalidCorpus

__all__ = [
    "QUIET",
    "Died",
    "DistantWorkers",
    "InProcess",
    "Progress",
    "Quiet",
    "Ticker",
    "Unconfirmed",
    "Workers",
    "do_jobs",
    "needed",
    "recheck",
    "telling_of_doubts",
]

J = TypeVar("J")
R = TypeVar("R")

_LOGGER: Final = logging.getLogger("stemsmith")


@dataclass(frozen=True, slots=True)
class Died(Generic[J]):
    """A job that killed its worker process twice, with no other job beside it.

    Attributes
    ----------
    job : object
        The job as it was given to the workers.
    """

    job: J


class Workers(Protocol):
    """Something that does jobs, here or in other processes."""

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R | Died[J]]:
        """Yield results as they come, in any order.

        Parameters
        ----------
        function : callable
            A top-level function of one job.
        jobs : iterable
            Picklable; taken as workers become free.

        Raises
        ------
        Exception
            Whatever the function raises.
        """


@runtime_checkable
class DistantWorkers(Workers, Protocol):
    """Workers in other processes, which may see other files than this one does."""

    def checked(self, check: Callable[[], str | None]) -> AbstractContextManager[None]:
        """Have every worker checked before it does a job of the body.

        Parameters
        ----------
        check : callable
            Can be pickled; is called on each worker, those that come later included. Returns one
            line that says what is wrong there, or None.

        Raises
        ------
        UsageError
            If something is wrong, naming the worker's host.
        """


class Ticker(Protocol):
    """Counts what has been done of one loop."""

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        """Count finished items, and the seconds of audio they stand for."""

    def tell(self, text: str) -> None:
        """Show a text beside the count, in place of the last one."""


class Progress(Protocol):
    """Is told how far a workflow is, and what a person should know of it."""

    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> AbstractContextManager[Ticker]:
        """Open the count of a loop, for the time of the loop.

        Parameters
        ----------
        title : str
            What the loop does.
        total : int
            Number of items.
        n_done : int
            Number of those that an earlier run has done.
        audio_s : float
            Seconds of audio that the others stand for, from which the time that is left can be
            said better than from their number; 0 if nobody knows.
        """

    def warn(self, message: str) -> None:
        """Take one line about something that is probably not meant that way."""

    def note(self, message: str) -> None:
        """Take one line about something that was decided."""


class InProcess:
    """Does jobs in this process. A job that kills its process kills this one."""

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R | Died[J]]:
        """Yield the results in the order of the jobs; see `Workers.map`."""
        for job in jobs:
            yield function(job)


class Quiet:
    """Shows nothing; warnings and notes go to the logger ``stemsmith``, which prints none.

    ``logging.basicConfig()`` makes them visible.
    """

    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> AbstractContextManager[Ticker]:
        """Return a count that nobody sees."""
        return nullcontext(self)

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        """Count nothing."""

    def tell(self, text: str) -> None:
        """Show nothing."""

    def warn(self, message: str) -> None:
        """Log a warning."""
        _LOGGER.warning(message)

    def note(self, message: str) -> None:
        """Log a decision."""
        _LOGGER.info(message)


QUIET: Final = Quiet()
_LOGGER.addHandler(logging.NullHandler())


_told: ContextVar[Callable[[Exception], None] | None] = ContextVar("told", default=None)


class Unconfirmed(BaseException):
    """A worker met an error that may be its own: whoever gave it the job has to see for himself.

    This is no `Exception`, so that it passes by what turns the errors of items into rejections.
    """


def recheck(error: Exception) -> None:
    """Have an error confirmed before an item is given up for it.

    A job calls this where it is about to answer an error of input or output, or bytes that are not
    those expected, with a rejection or a finding. On a worker the job ends here, and is done again
    in the process that gave it: a worker may lack a mount. In that process, nothing happens.

    Parameters
    ----------
    error : Exception
        What was met.
    """
    if (tell := _told.get()) is not None:
        tell(error)


@contextmanager
def telling_of_doubts(tell: Callable[[Exception], None]) -> Iterator[None]:
    """Have `recheck` call a function, for the time of the body."""
    token = _told.set(tell)
    try:
        yield
    finally:
        _told.reset(token)


def do_jobs(
    workers: Workers,
    function: Callable[[J], R],
    jobs: Iterable[J],
    died: Callable[[J], R],
) -> Iterator[R]:
    """Yield the result of every job, in any order.

    Parameters
    ----------
    workers : Workers
        Who does them.
    function : callable
        A top-level function of one job.
    jobs : iterable
        Jobs to do, which can be pickled.
    died : callable
        What stands for the result of a job that killed its worker process twice, alone: a
        rejection of its item, where others can do without it; `needed` where they cannot.

    Yields
    ------
    object
        What `function` or `died` returns.
    """
    for result in workers.map(function, jobs):
        yield died(result.job) if isinstance(result, Died) else result


def needed(path_of: Callable[[J], str]) -> Callable[[J], NoReturn]:
    """Return what `do_jobs` calls for a job without which nothing can go on.

    Parameters
    ----------
    path_of : callable
        The file that a job works on.

    Returns
    -------
    callable
        Raises an `InvalidCorpus` that names the file.
    """

    def refuse(job: J) -> NoReturn:
        raise InvalidCorpus(f"{path_of(job)}: killed the process that worked on it, twice")

    return refuse
