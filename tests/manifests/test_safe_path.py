"""Processes that are started in a folder of somebody's Python files execute none of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.manifests.safe_path import safe_path

# What Python, Dask, and the jobs import; in the test's folder each of them is a trap.
CANARIES = ("re", "random", "numpy", "socket", "dask", "distributed", "stemsmith", "click")
TRAP = (
    "open('SPRUNG', 'a').write(__name__ + '\\n')\nraise SystemExit('a file of this folder ran')\n"
)
# What the installed script does: its folder, and not the current one, is where Python looks.
COMMAND = "import sys\nfrom stemsmith.cli.main import main\nmain()\n"
# Without the guard that processes of multiprocessing want otherwise.
PYTHON = "import stemsmith\nprint(len(stemsmith.scan('.', jobs=2)))\n"
# A notebook looks into the current folder first, and has imported much before.
NOTEBOOK = """
import multiprocessing.process, os, random, re, socket, sys
import click, stemsmith
os.chdir({folder!r})
multiprocessing.process.ORIGINAL_DIR = {folder!r}
sys.path.insert(0, "")
__file__ = None
print(len(stemsmith.scan(".", jobs=2)))
assert sys.path[0] == ""
print(os.environ.get("PYTHONSAFEPATH"))
"""
# Loaders of training are made in this way.
FORKSERVER = """
import multiprocessing, sys
from stemsmith.manifests.safe_path import safe_path
if __name__ == "__main__":
    with safe_path():
        process = multiprocessing.get_context("forkserver").Process(target=print, args=("ran",))
        process.start()
        process.join()
    sys.exit(process.exitcode)
"""


@pytest.fixture
def trapped(tmp_path: Path, make_song: Callable[..., Path]) -> Path:
    """Return a folder of a score and many traps."""
    folder = tmp_path / "scores"
    make_song(folder / "song.mid")
    for name in CANARIES:
        (folder / f"{name}.py").write_text(TRAP)
    return folder


def run_in(folder: Path, script: str, *arguments: str) -> str:
    path = folder.parent / "elsewhere" / "script.py"
    path.parent.mkdir()
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "SPRUNG").exists()
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_command_executes_nothing_of_the_current_folder(trapped: Path, jobs: str) -> None:
    assert "1 files: 1 songs" in run_in(trapped, COMMAND, "scan", ".", "--jobs", jobs)


def test_python_executes_nothing_of_the_current_folder(trapped: Path) -> None:
    assert run_in(trapped, PYTHON) == "1\n"


@pytest.mark.parametrize("python_path", [None, "", os.devnull])
def test_processes_of_a_notebook_execute_nothing_of_its_folder(
    trapped: Path, monkeypatch: pytest.MonkeyPatch, python_path: str | None
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if python_path is not None:
        monkeypatch.setenv("PYTHONPATH", python_path)
    # That one would be the notebook's own: nothing else is found before the current folder.
    (trapped / "stemsmith.py").unlink()
    script = NOTEBOOK.format(folder=str(trapped))
    assert run_in(trapped, script) == "1\nNone\n", "and nothing is left in the environment"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no forkserver")
def test_a_fork_server_executes_nothing_of_the_current_folder(trapped: Path) -> None:
    assert run_in(trapped, FORKSERVER) == "ran\n"


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in (None, "1", ""):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if before is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", before)
        with safe_path(), safe_path():
            assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ.get("PYTHONSAFEPATH") == before


def test_what_python_path_names_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multiprocessing import spawn

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/a", str(tmp_path), "/b"])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with safe_path():
        path = spawn.get_preparation_data("name")["sys_path"]
        assert path[:2] == ["/a", "/b"]
        monkeypatch.setattr(sys, "path", [str(tmp_path), "/a"])
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        assert spawn.get_preparation_data("name")["sys_path"] == [str(tmp_path), "/a"]
    monkeypatch.delenv("PYTHONPATH")
    assert spawn.get_preparation_data("name")["sys_path"] == [str(tmp_path), "/a"]
