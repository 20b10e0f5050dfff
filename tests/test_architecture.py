"""The structure: who may import whom, what is packaged, examples in docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Import direction is the direction of data.
MAY_IMPORT = {
    "manifests": set(),
    "mixing": {"manifests"},
    "render": {"manifests", "mixing"},
    "train": {"manifests", "mixing"},
    "evaluate": {"manifests", "mixing", "render", "train"},  # which plays the notes of a score
    "share": {"manifests", "mixing", "render", "train", "evaluate"},
    "studies": {"manifests", "mixing", "render", "train", "evaluate", "share"},
    "cli": {"manifests", "mixing", "render", "train", "evaluate", "share", "studies", "front"},
    # `stemsmith` itself: the front door
    "front": {"manifests", "mixing", "render", "train", "evaluate", "share", "studies", "cli"},
}
# What stands above its folder: `train_model` returns a run that separates.
ABOVE = {"train/workflow.py": {"evaluate"}}
# Floors inside a folder, from the lowest: a module imports its own floor and those below it.
# Sub-packages and modules that are not named here stand above all that are.
FLOORS: dict[str, tuple[str, ...]] = {
    "manifests": (
        "arrays",
        "errors",
        "variables",
        "azure_store",
        "stores",
        "leases",
        "storage",
        "paths",
        "tar_shards",
        "cache",
        "places",
        "audio",
    ),
    "mixing": ("level", "production", "sources", "augmentation", "augmentations", "audio", "plan"),
    "render": ("midi", "sound", "audit", "corpus", "songs", "renditions", "matched", "again"),
    "train": ("schedule", "models", "data"),
    "evaluate": ("metrics", "separation", "nmf", "benchmark", "realism"),
    "share": ("charts", "compare", "exports", "report"),
    "studies": ("sizes", "study", "stages", "inputs", "plan"),
    "cli": (),
    "front": (),
}
# The only files that touch a library.
OWNERS = {
    "soundfile": ("manifests/audio/flac.py", "manifests/audio/read.py"),
    "dask": ("manifests/cluster.py",),
    "distributed": ("manifests/cluster.py",),
    "pyloudnorm": ("mixing/level/loudness.py",),
    "pedalboard": (
        "mixing/augmentations/wet.py",
        "mixing/production/chain.py",
        "render/sound/vst3.py",
    ),
    "pyroomacoustics": ("mixing/production/room.py",),
    "matplotlib": ("share/charts.py",),
    "jinja2": ("share/report/page.py",),
    "sklearn": ("evaluate/benchmark/latents.py",),
    "librosa": ("mixing/augmentations/tempo.py", "mixing/plan/pairing.py"),
    "colorednoise": ("mixing/augmentations/wet.py",),
    "fluidsynth": ("render/sound/fluid.py",),
    "av": ("manifests/audio/stem_mp4.py", "mixing/production/codec.py"),
    "pyarrow": ("manifests/shards.py",),
    "pysfizz": ("render/sound/sfz/sampler.py",),
    "tomllib": ("manifests/documents.py",),
    "yaml": ("manifests/documents.py", "render/songs/metadata.py"),
    "filelock": ("manifests/cache.py", "manifests/storage.py"),
    "fsspec": ("manifests/azure_store.py", "manifests/stores.py"),
    "adlfs": ("manifests/azure_store.py",),
    **dict.fromkeys(("s3fs", "gcsfs", "botocore", "upath"), ()),
    "platformdirs": ("manifests/cache.py",),
    # Windows has none of these, and importing must not fail there.
    **dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios"), ()),
    "lightning": (
        "train/checkpoints.py",
        "train/data/loaders.py",
        "train/module.py",
        "train/trainer.py",
    ),
}
HEAVY = {
    "numpy",
    "scipy",
    "pyarrow",
    "dask",
    "distributed",
    "jinja2",
    "matplotlib",
    "soundfile",
    "fsspec",
    "yaml",
    "rich",
    "lightning",
    "sklearn",
    "tensorboard",
    "torch",
}

MODULES = sorted(p for package in MAY_IMPORT for p in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the name under which a module is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "front" else parts
    return ".".join(("stemsmith", *parts)).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """Return the module of ours that an imported name is, or is in."""
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name or None


def folder_of(module: str) -> str:
    return NAMES[module].relative_to(ROOT).parts[0]


def floor_of(module: str) -> int:
    package, *rest = NAMES[module].relative_to(ROOT).with_suffix("").parts
    rest = [part for part in rest if part != "__init__"]
    floors = FLOORS[package]
    if not rest:  # the folder itself, which gathers what its users need
        return len(floors) + 1
    return floors.index(rest[0]) if rest[0] in floors else len(floors)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_follow_the_direction_of_data(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        if (module := module_of(name)) is not None:
            other = folder_of(module)
            above = ABOVE.get(path.relative_to(ROOT).as_posix(), set())
            assert other == package or other in MAY_IMPORT[package] | above, name
        elif (owners := OWNERS.get(name.split(".")[0])) is not None:
            assert path in {ROOT / owner for owner in owners}, f"{name} belongs into {owners}"


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_down_the_floors_of_a_folder(name: str) -> None:
    package = folder_of(name)
    for imported in imports(NAMES[name]):
        other = module_of(imported)
        if other is not None and folder_of(other) == package:
            assert floor_of(other) <= floor_of(name), f"{name} imports {imported}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    # Imports inside functions count: they may hide a circle, not make it one less.
    graph = {
        name: {other for i in imports(path) if (other := module_of(i)) not in (None, name)}
        for name, path in NAMES.items()
    }
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, sorted(graph)


def test_commands_import_heavy_packages_only_when_they_run() -> None:
    for path in (ROOT / "cli").glob("*.py"):
        if path.name == "console.py":  # imported inside the commands
            continue
        tops = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not tops & HEAVY, path


def test_every_package_is_packaged_and_typed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = config["tool"]["setuptools"]["packages"]
    folders = {p.parent.relative_to(ROOT).as_posix() for p in ROOT.glob("*/**/__init__.py")}
    folders = {f for f in folders if not f.startswith((".", "tests", "build"))}
    assert set(packages) == {name_of(ROOT / folder / "__init__.py") for folder in folders}
    assert config["tool"]["setuptools"]["package-dir"] == {
        name_of(ROOT / folder / "__init__.py"): folder for folder in MAY_IMPORT
    }
    assert all((ROOT / folder / "py.typed").is_file() for folder in folders)
    assert not (ROOT / "stemsmith").exists(), "would shadow the installed namespace"
    links = ROOT / ".links" / "stemsmith"
    assert (links / "__init__.py").resolve() == ROOT / "front" / "__init__.py"
    assert all(
        (links / folder).resolve() == ROOT / folder for folder in FLOORS if folder != "front"
    )


def test_core_needs_neither_torch_nor_gpl_packages() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    core = " ".join(config["project"]["dependencies"])
    assert not any(name in core for name in ("torch", "pedalboard", "librosa", "museval"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_say_what_they_are_and_what_they_offer(
    path: Path, request: pytest.FixtureRequest
) -> None:
    name = name_of(path)
    module = importlib.import_module(name)
    assert module.__doc__
    if path.name == "__init__.py":
        return
    assert sorted(module.__all__, key=str.lower)
    for public in module.__all__:
        item = getattr(module, public)
        if inspect.isclass(item) or inspect.isroutine(item):
            assert item.__doc__, f"{name}.{public} has no docstring"
    if ">>> " in path.read_text("utf-8"):
        request.getfixturevalue("workshop")
        assert doctest.testmod(module).failed == 0


def definitions() -> Iterator[tuple[Path, ast.ClassDef | ast.FunctionDef]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield path, node


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path, node in definitions():
        if isinstance(node, ast.ClassDef):
            places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_jobs_and_plans_are_called_by_what_they_do() -> None:
    vague = {"run", "plan", "process", "handle"}
    assert not [
        (path.relative_to(ROOT).as_posix(), node.name)
        for path, node in definitions()
        if isinstance(node, ast.FunctionDef) and node.name in vague
    ]


ENTRY = re.compile(r"\*{0,2}\w[\w, *]*( : .*)?")


def test_parameters_and_results_are_described_in_words() -> None:
    curt = []
    for path, node in definitions():
        lines = (ast.get_docstring(node) or "").splitlines()
        for index, line in enumerate(lines):
            text = list(itertools.takewhile(lambda s: s.startswith("    "), lines[index + 1 :]))
            if ENTRY.fullmatch(line) and text and len(" ".join(text).split()) <= 2:
                curt.append((path.relative_to(ROOT).as_posix(), node.name, line))
    assert not curt
