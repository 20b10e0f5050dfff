"""A fixed number of spoiled files of every kind, always the same; `make fuzz` tries more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fuzz_kills
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


def campaign(*arguments: object) -> str:
    command = [sys.executable, Path(__file__).with_name("campaign.py"), *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_nights_of_a_campaign_add_up(tmp_path: Path) -> None:
    runs = tmp_path / "runs.jsonl"
    for _ in range(2):
        campaign("files", "--runs", runs, "--kind", "museval", "--examples", 20)
    first, second = map(json.loads, runs.read_text().splitlines())
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["n"] == second["n"] == 20
    assert first["faults"] == second["faults"] == {}
    row = next(line for line in campaign("totals", runs).splitlines() if "museval" in line)
    assert row.startswith(f"| museval | 40 | {first['n_read'] + second['n_read']} | 0 | 0 | ")


@pytest.mark.slow
def test_what_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    tiny = fuzz_kills.Tiny(tmp_path)
    n_kills = 0
    for seed, stage in enumerate(fuzz_kills.STAGES * 2):
        n, faults = tiny.kill_and_resume(stage, 2 * (seed // 4), seed)
        assert faults == []
        n_kills += n
    assert n_kills > 0
