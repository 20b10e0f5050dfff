"""Container files: they hold what the project is made of, and say nothing of it that is not so."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTENT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = CONTENT["project"]
DOCKER = (ROOT / "containers" / "Dockerfile").read_text("utf-8")
APPTAINER = (ROOT / "containers" / "stemsmith.def").read_text("utf-8")
FOLDERS = sorted(CONTENT["tool"]["setuptools"]["package-dir"].values())
FILES = ["LICENSE", "README.md", "constraints.txt", "pyproject.toml"]
EXTRAS = {"docker": r"ARG EXTRAS=(\S+)", "apptainer": r"'\.\[(\S+)\]'"}
TEXTS = {"docker": DOCKER, "apptainer": APPTAINER}


def instructions(name: str) -> list[list[str]]:
    """Return the words of the lines of a Dockerfile that begin with a name."""
    joined = DOCKER.replace("\\\n", " ")
    return [line.split()[1:] for line in joined.splitlines() if line.startswith(f"{name} ")]


def section(name: str) -> list[str]:
    """Return the lines of a section of the Apptainer definition."""
    _, _, rest = APPTAINER.partition(f"%{name}\n")
    body = re.split(r"^%", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return [line.strip() for line in body.splitlines() if line.strip()]


def test_the_image_of_docker_has_every_package_and_what_building_needs() -> None:
    copies = instructions("COPY")
    assert sorted(copies[0][:-1]) == FILES
    assert copies[0][-1] == "./"
    assert sorted(copy[0] for copy in copies[1:]) == FOLDERS
    assert all(source == target for source, target in copies[1:])


def test_the_image_of_apptainer_has_the_same() -> None:
    pairs = [line.split() for line in section("files")]
    assert sorted(source for source, _ in pairs) == sorted([*FILES, *FOLDERS])
    assert all(target == f"/opt/stemsmith/{source}" for source, target in pairs)


def test_building_needs_no_other_file() -> None:
    named = [PROJECT["readme"], *PROJECT["license-files"]]
    assert {*named, "pyproject.toml", "constraints.txt"} == set(FILES)
    assert all((ROOT / name).exists() for name in (*FILES, *FOLDERS))


@pytest.mark.parametrize("kind", TEXTS)
def test_extras_are_all_of_the_project_but_training(kind: str) -> None:
    (found,) = re.findall(EXTRAS[kind], TEXTS[kind])
    (of_all,) = re.findall(r"\[(.*)\]", PROJECT["optional-dependencies"]["all"][0])
    assert set(found.split(",")) == {*of_all.split(",")} - {"train"}


@pytest.mark.parametrize("kind", TEXTS)
def test_python_is_the_newest_that_is_claimed(kind: str) -> None:
    prefix = "Programming Language :: Python :: 3."
    claimed = [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    newest = max(int(minor) for minor in claimed if minor.isdecimal())
    pattern = {"docker": r"ARG PYTHON=3\.(\d+)", "apptainer": r"From: python:3\.(\d+)-slim"}[kind]
    assert re.findall(pattern, TEXTS[kind]) == [str(newest)]


@pytest.mark.parametrize("kind", TEXTS)
def test_the_command_is_that_of_the_project(kind: str) -> None:
    assert "stemsmith" in PROJECT["scripts"]
    wanted = {"docker": 'CMD ["stemsmith", "--help"]', "apptainer": 'exec stemsmith "$@"'}[kind]
    assert wanted in TEXTS[kind]
    assert "--constraint constraints.txt" in TEXTS[kind]


def test_the_image_of_docker_runs_as_no_root() -> None:
    assert instructions("USER") == [["1000"]]


def test_what_is_ignored_is_nothing_that_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    ignored = {line for line in lines if line and not line.startswith("#")}
    assert not ignored & {*FILES, *FOLDERS}


@pytest.mark.clients
def test_hadolint_finds_nothing(program: Callable[..., str]) -> None:
    done = subprocess.run(
        [program("hadolint"), ROOT / "containers" / "Dockerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.clients
def test_shellcheck_finds_nothing_in_the_scripts_of_the_documentation(
    program: Callable[..., str], tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    scripts = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert scripts
    for number, script in enumerate(scripts):
        path = tmp_path / f"{number}.sh"
        path.write_text(script)
        done = subprocess.run([program("shellcheck"), path], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")
