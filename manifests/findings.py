"""Checking many things with workers: the first offender, by name, is the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import Progress, Workers, do_jobs
from stemsmith.manifests.records import Finding

__all__ = ["Several", "raise_first_offence"]

J = TypeVar("J")
K = TypeVar("K", covariant=True)


class Several(Protocol[K]):
    """Things whose number is known, and which may be made one by one."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[K]: ...


def raise_first_offence(
    workers: Workers,
    validate: Callable[[J], Finding],
    jobs: Several[J],
    name_of: Callable[[J], str],
    progress: Progress,
) -> None:
    """Do all checks, and raise what the first of the offenders by name has done.

    Parameters
    ----------
    workers : Workers
        Who does the checks.
    validate : callable
        A top-level function that checks one song or file.
    jobs : several
        What it is called with.
    name_of : callable
        Name of a job, as its finding has it: of a check that killed its worker.
    progress : Progress
        Is told how far the checks are.

    Raises
    ------
    InvalidCorpus
        With the text of the finding, if something is wrong.
    """

    def died(job: J) -> Finding:
        return Finding(name_of(job), f"{name_of(job)}: checking it killed the worker")

    offences: dict[str, str] = {}
    with progress.loop("validate", len(jobs)) as ticker:
        for finding in do_jobs(workers, validate, jobs, died):
            if finding.offence:
                offences[finding.name] = finding.offence
            ticker.advance()
    if offences:
        raise InvalidCorpus(offences[min(offences)])
