"""What stands about the project in several places is the same in all."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
    return content


def test_who_cites_it_cites_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    for key, named in (("version", "version"), ("title", "name"), ("abstract", "description")):
        assert citation[key] == PROJECT[named]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]


def test_the_workflow_has_every_version_of_python_that_is_claimed() -> None:
    matrix = workflow("tests.yml")["jobs"]["checks"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: 3."
    claimed = [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert matrix["python"] == [f"3.{minor}" for minor in claimed]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"


def test_the_workflow_of_lowest_versions_uses_the_lowest_python() -> None:
    steps = workflow("tests.yml")["jobs"]["lowest"]["steps"]
    (python,) = (
        s["with"]["python-version"] for s in steps if "python-version" in s.get("with", {})
    )
    assert PROJECT["requires-python"] == f">={python}"


def test_every_pinned_dependency_is_pinned_once_and_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    names = [normal(line.split("==")[0]) for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *(d for extra in extras.values() for d in extra)]
    wanted = {normal(d.split(">")[0].split("[")[0]) for d in asked} - {"stemsmith"}
    assert wanted <= set(names), wanted - set(names)


def normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")
