"""A job of an array: which share of a run's work it does, and what it says when it has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Rejection

__all__ = ["FinishedJob", "Share", "array_text", "share_of"]

T = TypeVar("T")

_TEXT: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Share:
    """One of several jobs that fill one folder together, each with files of its own.

    Attributes
    ----------
    number : int
        Which job it is, from 1.
    n_jobs : int
        Number of all jobs.
    """

    number: int
    n_jobs: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Return the job that a text such as ``3/8`` names.

        Raises
        ------
        UsageError
            If it names none.
        """
        found = _TEXT.fullmatch(text)
        number, n_jobs = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= n_jobs:
            raise UsageError(
                f"--job {text}: expected a number from 1 to N, a slash and N, such as 3/8"
            )
        return cls(number, n_jobs)

    def __str__(self) -> str:
        return f"{self.number}/{self.n_jobs}"

    @property
    def label(self) -> str:
        """The job as part of a file name."""
        return f"{self.number}-of-{self.n_jobs}"

    def takes(self, index: int) -> bool:
        """Tell whether an item of the whole run is this job's.

        Parameters
        ----------
        index : int
            Place of the item, from 0, in the order of the whole run.
        """
        return index % self.n_jobs == self.number - 1

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items that are this job's, in their order."""
        return items[self.number - 1 :: self.n_jobs]

    def first_of(self, items: Sequence[T]) -> list[T]:
        """Return all items, those of this job first, then those of the next one, and so on.

        Where every job needs all of the items and any of them may make one, each begins with its
        own, and takes over what others have not done.
        """
        turns = range(self.number - 1, self.number - 1 + self.n_jobs)
        return [item for turn in turns for item in items[turn % self.n_jobs :: self.n_jobs]]


def share_of(job: str | None) -> Share | None:
    """Return the share that the argument ``job`` of a workflow names; None for all of the work.

    Raises
    ------
    UsageError
        If it names none.
    """
    return None if job is None else Share.parse(job)


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What a job of an array has done, when its share is complete.

    The folder can be opened when all jobs have finished and `stemsmith.merge` has closed it.

    Attributes
    ----------
    root : Path
        The folder that all jobs of the array fill.
    job : str
        Which job it is, such as ``3/8``.
    n_made : int
        Number of songs, of stems of renditions, or of mixtures that the job has made, before a kill
        or after it.
    rejections : tuple of Rejection
        What of its share was left out. Files that no job can use are not among them.
    """

    root: Path
    job: str
    n_made: int
    rejections: tuple[Rejection, ...] = ()


def array_text(numbers: Iterable[int]) -> str:
    """Return numbers of jobs as batch systems write them.

    Parameters
    ----------
    numbers : iterable of int
        In any order.

    Examples
    --------
    >>> array_text([9, 2, 3, 4])
    '2-4,9'
    """
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
