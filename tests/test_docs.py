"""The documentation's examples run, and what it counts is counted."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytest.importorskip("torch")

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_training_loop_of_the_docs_trains(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--target", "bass", "--mixtures", 24, "--clip", 2, "--sample-rate", 16000)
    done = here("mix", corpus, tmp_path / "mixtures", *options, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    result = doctest.testfile(str(DOCS / "training.md"), module_relative=False)
    assert result.attempted >= 6
    assert result.failed == 0


def test_the_front_door_of_the_docs_opens(workshop: Path) -> None:
    pytest.importorskip("lightning")
    result = doctest.testfile(str(DOCS / "python.md"), module_relative=False)
    assert result.attempted >= 15
    assert result.failed == 0
