"""Studies: whole experiments, declared in a file, from scores to tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.studies.plan import StudyPlan
    from stemsmith.studies.workflow import StudyOutcome, plan_study, run_study

__all__ = ["StudyOutcome", "StudyPlan", "plan_study", "run_study"]

_HOMES = {
    "StudyOutcome": "studies.workflow",
    "StudyPlan": "studies.plan",
    "plan_study": "studies.workflow",
    "run_study": "studies.workflow",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
