"""What errors tell people to type."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from stemsmith.manifests import errors
from stemsmith.manifests.errors import UsageError, install_command

ROOT = Path(__file__).resolve().parents[2]


def test_a_clone_installs_from_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("train") == "pip install '.[train]'"
    monkeypatch.chdir(tmp_path)  # where "." would be another project
    assert install_command("train") == f"pip install '{ROOT}[train]'"


@pytest.mark.parametrize(
    ("is_clone", "folder"), [(False, "site-packages/stemsmith"), (True, "it's a clone")]
)
def test_an_installed_package_is_named_and_a_shell_reads_any_path(
    tmp_path: Path, is_clone: bool, folder: str
) -> None:
    module = tmp_path / folder / "manifests" / "errors.py"
    module.parent.mkdir(parents=True)
    module.write_bytes(Path(errors.__file__).read_bytes())
    if is_clone:
        (tmp_path / folder / "pyproject.toml").touch()
    show = "import errors as e; print(e.install_command('effects'), e.upgrade_command(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=module.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    source = str(tmp_path.resolve() / folder) if is_clone else "stemsmith"
    install, upgrade = map(shlex.split, done.stdout.splitlines())
    assert install == ["pip", "install", f"{source}[effects]"]
    git = ["git", "-C", source, "pull"]
    assert upgrade == (git if is_clone else ["pip", "install", "--upgrade", "stemsmith"])


def test_only_one_function_types_the_command_and_extras_are_real() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    packages = (
        *("cli", "evaluate", "front", "manifests", "mixing"),
        *("render", "share", "studies", "train"),
    )
    n_calls = 0
    for path in (p for package in packages for p in (ROOT / package).rglob("*.py")):
        text = path.read_text("utf-8")
        if path != ROOT / "manifests" / "errors.py":
            assert "pip install" not in text, path
            used = re.findall(r"(?:install_command|require)\([\"'](\w+)[\"']", text)
            assert set(used) <= set(project["optional-dependencies"])
            n_calls += len(used)
    assert n_calls > 5


def test_an_error_is_one_line_whatever_a_file_is_called() -> None:
    path = "a\nb/\x1b[2J/caf\udce9  'x' \\ ä.mid"
    assert str(UsageError(f"{path}: no")) == r"a\nb/\x1b[2J/caf\udce9  'x' \ ä.mid: no"
    assert str(UsageError("a  'quoted' \\ path: no")) == r"a  'quoted' \ path: no"
