"""Benchmarks that a page names run, here with little of everything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_small_million_goes_from_scores_to_recipes_and_is_extrapolated(
    tmp_path: Path, band_folder: Path
) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "scale.py", "million", "--songs", "12",
               "--mixtures", "20", "--seconds", "6", "--folder", tmp_path / "m"]  # fmt: skip
    environment = {**os.environ, "PYTHONWARNINGS": "error", "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| \w+ \| ([\w ,]+) \| (\d+) \|", done.stdout, re.MULTILINE)
    assert dict(rows) == {
        "write scores": "12", "scan": "12", "select, split and plan": "12",
        "fingerprint of the plan": "12", "write records": "12", "mix, coherent": "20",
        "mix, incoherent": "20", "open mixtures": "20", "read one recipe": "1",
        "check all recipes": "20",
    }  # fmt: skip
    assert list((tmp_path / "scratch").iterdir()) == []
    table = tmp_path / "table.md"
    table.write_text(done.stdout)
    command = [*command[:2], "extrapolate", band_folder, table, "--songs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^\| (LMD|GigaMIDI) \| ([\w, ]+) \|(.*)\|", done.stdout, re.M)
    hours = [(name, stage, [float(h) for h in rest.split("|")[:3]]) for name, stage, rest in found]
    for collection in ("LMD", "GigaMIDI"):
        own = {stage: of_cores for name, stage, of_cores in hours if name == collection}
        total = own.pop("all")
        assert len(own) == 5 and all(a >= b >= c for a, b, c in own.values())
        sums = [sum(of_cores[place] for of_cores in own.values()) for place in range(3)]
        assert all(abs(a - b) < 0.04 for a, b in zip(sums, total, strict=True))
        assert own["render"][0] > 15 * own["render"][1] > 0
    of_both = [of_cores[0] for _, stage, of_cores in hours if stage == "render"]
    assert abs(of_both[1] / of_both[0] - 2_100_000 / 176_581) < 0.1
