"""The studies that come with the project, as files."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.sizes import SIZES
from stemsmith.studies.workflow import plan_study

STUDIES = Path(__file__).resolve().parents[2] / "examples" / "studies"
READY = ["bach10", "hiphop", "resnet", "slakh", "useful", "violin-piano"]


def test_all_are_known_here() -> None:
    found = {
        path.stem
        for path in STUDIES.glob("*.toml")
        if "title" in tomllib.loads(path.read_text(encoding="utf-8"))
    }
    assert found == set(READY)


@pytest.mark.parametrize("name", READY)
def test_a_study_can_be_planned_at_every_size(name: str) -> None:
    plans = {size: plan_study(STUDIES / f"{name}.toml", size) for size in SIZES}
    for plan in plans.values():
        in_tables = {row for table in plan.study.tables for row in table.rows}
        assert in_tables <= set(plan.study.rows)
        for table in plan.study.tables:
            assert set(table.printed) <= set(table.rows or plan.study.rows)
    tiny, small, paper = (tuple(plans[size].study.rows) for size in SIZES)
    assert tiny == small == paper[: len(small)]
    # At the size of papers there may be more corpora, of which a prediction is made, and useful
    # trains on real songs with one more of them.
    predicted = {row for one in plans["paper"].study.predictions for row in one.rows}
    assert set(paper[len(small) :]) - {"real-humanised"} <= predicted


@pytest.mark.parametrize("name", READY)
def test_a_study_names_no_path(name: str) -> None:
    content = tomllib.loads((STUDIES / f"{name}.toml").read_text(encoding="utf-8"))
    for text in _texts({key: content[key] for key in ("corpora", "mixtures", "rows", "tests")}):
        assert not text.startswith(("/", "~", "../", "./")), text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _options(plan: StudyPlan, mixtures: str) -> dict[str, Any]:
    return dict(plan.study.mixtures[mixtures].mix)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("study", "base", "other", "factors"),
    [
        ("violin-piano", "random", "chroma", {"pairing", "pairing_threshold"}),
        ("violin-piano", "random", "correlation", {"pairing"}),
        ("violin-piano", "random", "wet", {"augment"}),
        ("violin-piano", "random", "silence", {"augment"}),
        ("violin-piano", "random", "random-rich", {"n_mixtures", "source_hours"}),
        ("violin-piano", "random-rich", "correlation-rich", {"pairing"}),
        ("hiphop", "hh", "hh-cs", {"augment"}),
        ("hiphop", "hh", "hh-ia", {"augment"}),
        ("resnet", "dsd100", "dsd100-tempo", {"augment"}),
        ("resnet", "musdb", "musdb-tempo", {"augment"}),
        ("slakh", "slakh", "flakh", set()),
        ("slakh", "musdb", "slakh-redux", set()),
        ("bach10", "sibelius", "rwc", set()),
    ],
)
def test_matched_sets_differ_in_the_declared_factor_alone(
    study: str, base: str, other: str, factors: set[str], size: str
) -> None:
    plan = plan_study(STUDIES / f"{study}.toml", size)
    one, two = _options(plan, base), _options(plan, other)
    differing = {key for key in {*one, *two} if one.get(key) != two.get(key)}
    assert differing <= factors
    same_sources = plan.study.mixtures[base].sources == plan.study.mixtures[other].sources
    assert bool(differing) == same_sources
