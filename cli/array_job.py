"""What a command says when it was one job of an array."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.shares import FinishedJob

__all__ = ["job_summary"]


def job_summary(done: FinishedJob, kind: str, what: str) -> Summary:
    """Return what is said of a job of an array when it has finished.

    Parameters
    ----------
    done : FinishedJob
        What it has done.
    kind : str
        Name of the folder among the JSON values: ``corpus`` or ``mixtures``.
    what : str
        What the job has made, in the plural.
    """
    from stemsmith.cli.console import Summary

    reasons = Counter(str(row.reason) for row in done.rejections)
    left_out = f", {len(done.rejections)} left out" if done.rejections else ""
    return Summary(
        f"{done.root}: job {done.job} has finished ({what}: {done.n_made}{left_out}); when all "
        f"have: stemsmith merge {shlex.quote(str(done.root))}",
        {
            kind: str(done.root),
            "job": done.job,
            f"n_{what}": done.n_made,
            "rejections": dict(sorted(reasons.items())),
        },
    )
