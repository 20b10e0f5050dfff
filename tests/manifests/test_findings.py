"""The first offender by name is the error, whoever finishes first, and so is a check that dies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.findings import raise_first_offence
from stemsmith.manifests.jobs import QUIET, Died, InProcess, Workers
from stemsmith.manifests.records import Finding


def check(name: str) -> Finding:
    return Finding(name, f"{name}: is bad" if name.startswith("bad") else None)


class DeadlyWorkers:
    """Workers that one job kills."""

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        for job in jobs:
            yield Died(job) if job == "bad1" else function(job)


def run(workers: Workers, *names: str) -> None:
    raise_first_offence(workers, check, names, lambda name: name, QUIET)


def test_nothing_wrong_raises_nothing() -> None:
    run(InProcess())
    run(InProcess(), "good", "fine")


def test_the_first_by_name_is_raised() -> None:
    with pytest.raises(InvalidCorpus, match=r"^bad2: is bad$"):
        run(InProcess(), "good", "bad3", "bad2", "fine")


def test_a_check_that_kills_its_worker_is_an_offence() -> None:
    with pytest.raises(InvalidCorpus, match=r"^bad1: checking it killed the worker$"):
        run(DeadlyWorkers(), "bad2", "bad1")
