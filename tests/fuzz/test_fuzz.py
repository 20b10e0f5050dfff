"""A fixed number of spoiled files of every kind, always the same; `make fuzz` tries more."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_mutations import Case
from fuzz_targets import TARGETS, try_case
from hypothesis import HealthCheck, given, settings


@pytest.mark.parametrize("kind", TARGETS)
def test_spoiled_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    if kind in ("checkpoint", "run.json"):
        pytest.importorskip("lightning")
    target = TARGETS[kind]
    target.prepare(tmp_path)

    @settings(
        max_examples=target.n_in_tests,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases())
    def attempt(case: Case) -> None:
        try_case(target, tmp_path, case)

    attempt()
