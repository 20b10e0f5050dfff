"""Benchmarks that a page names run, here with little of everything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_small_million_goes_from_scores_to_recipes(tmp_path: Path) -> None:
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
