"""The front door: `import stemsmith` is cheap, and its names are what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import stemsmith

ROOT = Path(__file__).resolve().parents[2]
FRONT = ROOT / "front" / "__init__.py"
NAMES = [name for name in stemsmith.__all__ if name != "__version__"]
# What `import stemsmith` and `stemsmith --help` may take from outside the standard library.
HELP_NEEDS = {"click", "stemsmith"}


def test_the_names_are_these() -> None:
    assert stemsmith.__all__ == [
        "Corpus",
        "InvalidCorpus",
        "MixConfig",
        "Mixtures",
        "NothingToDo",
        "RenderConfig",
        "RenditionConfig",
        "Results",
        "Run",
        "SeparationModel",
        "StemsmithError",
        "Terminal",
        "TrainConfig",
        "UsageError",
        "__version__",
        "bss_eval",
        "evaluate_system",
        "fit_balance",
        "integrated_loudness",
        "make_bank",
        "measure_gap",
        "merge",
        "mix",
        "open_folder",
        "open_workers",
        "pack",
        "realise",
        "render_corpus",
        "render_midi",
        "render_renditions",
        "restore",
        "scan",
        "separate_files",
        "si_sdr_db",
        "train_model",
        "validate",
    ]
    assert set(NAMES) == set(stemsmith._HOMES)
    assert set(NAMES) <= set(dir(stemsmith))


def test_type_checkers_and_python_find_a_name_in_one_place() -> None:
    (checked,) = (n for n in ast.parse(FRONT.read_text("utf-8")).body if isinstance(n, ast.If))
    told = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {name: f"stemsmith.{home}" for name, home in stemsmith._HOMES.items()}


def every_module() -> list[str]:
    links = ROOT / ".links" / "stemsmith"
    paths = [path for folder in links.iterdir() for path in folder.rglob("*.py")]
    parts = [path.relative_to(links).with_suffix("").parts for path in paths]
    return [
        ".".join(("stemsmith", *part)).removesuffix(".__init__")
        for part in parts
        if part[0] not in ("benchmarks", "examples")
    ]


def test_no_name_is_that_of_a_module() -> None:
    pytest.importorskip("lightning")
    for module in every_module():
        importlib.import_module(module)
    for name in NAMES:
        assert not inspect.ismodule(getattr(stemsmith, name)), name
        assert callable(getattr(stemsmith, name)), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("workshop")
def test_every_name_is_documented_with_an_example_that_runs(name: str) -> None:
    pytest.importorskip("lightning")
    item = getattr(stemsmith, name)
    own = vars(sys.modules[item.__module__])
    (example,) = doctest.DocTestFinder(recurse=False).find(item, name, globs=dict(own))
    done = doctest.DocTestRunner().run(example)
    assert done.attempted, f"{name} has no example"
    assert not done.failed


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stemsmith.nonsense


@pytest.mark.parametrize("package", ["evaluate", "mixing", "render", "train"])
def test_a_folder_of_the_clone_is_no_package_of_its_own(package: str) -> None:
    """Python that is started in the clone finds its folders first, Hugging Face's evaluate too."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {package}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {package}/ is a folder of stemsmith's source")
    assert "'python -P'" in last


def imported_by(code: str) -> set[str]:
    """Return the packages outside the standard library that some code imports."""
    report = "import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\n{report}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    started = subprocess.run(
        [sys.executable, "-P", "-c", report], capture_output=True, text=True, check=True
    )
    new = set(done.stdout.split()) - set(started.stdout.split())
    return {name.partition(".")[0] for name in new} - sys.stdlib_module_names


def test_importing_stemsmith_imports_nothing_else() -> None:
    assert imported_by("import stemsmith") == {"stemsmith"}


def test_help_imports_click_alone() -> None:
    code = (
        "import contextlib, io\n"
        "from stemsmith.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'], standalone_mode=False)"
    )
    assert imported_by(code) <= HELP_NEEDS


def test_the_packages_of_the_stages_are_there_without_importing_them() -> None:
    assert stemsmith.share.export_dataset.__module__ == "stemsmith.share.workflow"
    with pytest.raises(AttributeError, match="has no attribute 'shared'"):
        stemsmith.shared  # noqa: B018
