"""What version 0.1 wrote stays readable by every command that takes such a folder.

``tests/data/0.1`` was written once by the code of commit e6e16c6; its README has the commands.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stemsmith.manifests.errors import upgrade_command

Command = Callable[..., subprocess.CompletedProcess[str]]
OLD = Path(__file__).parent / "data" / "0.1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Copy the folders of version 0.1, which lie beside each other as they did."""
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("kind", ["corpus", "renditions", "mixtures", "results"])
def test_it_is_valid(old: Path, here: Command, kind: str) -> None:
    done = here("validate", old / kind, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert ": valid; " in done.stdout


def test_its_corpora_are_mixed(old: Path, here: Command, tmp_path: Path) -> None:
    sizes = ("--clip", 1, "--mixtures", 4, "--min-rms", -60, "--jobs", 0)
    done = here("mix", old / "corpus", tmp_path / "coherent", *sizes)
    assert done.returncode == 0, done.stderr
    renditions = ("--mode", "renditions", "--taxonomy", "bach10", "--jobs", 0)
    done = here("mix", old / "renditions", tmp_path / "renditions", *renditions)
    assert done.returncode == 0, done.stderr


def test_its_renditions_are_exported(old: Path, here: Command, tmp_path: Path) -> None:
    done = here("export", old / "renditions", tmp_path / "x", "--format", "bach10", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "x").rglob("*.wav"))


def test_its_run_separates_and_is_scored(old: Path, here: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = here("validate", old / "run")
    assert done.returncode == 0, done.stderr
    mixture = next((old / "corpus" / "test").glob("*/mix.flac"))
    done = here("separate", old / "run", mixture, tmp_path / "separated", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "separated").rglob("*.wav"))
    options = ("--bss", "none", "--device", "cpu", "--jobs", 0)
    done = here("evaluate", f"run:{old / 'run'}", old / "corpus", tmp_path / "scores", *options)
    assert done.returncode == 0, done.stderr


def test_its_run_goes_on_and_is_a_beginning(old: Path, here: Command, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    shape = {"n_layers": 1, "n_units": 4, "n_fft": 256, "hop": 128, "segment_frames": 50}
    settings = [word for name, value in shape.items() for word in ("--set", f"{name}={value}")]
    options = ("--target", "bass", *settings, "--epochs", 3, "--batch-size", 2)
    options += ("--device", "cpu", "--jobs", 0)
    done = here("train", old / "mixtures", old / "run", "--resume", *options)
    assert done.returncode == 0, done.stderr
    assert len((old / "run" / "metrics.csv").read_text().splitlines()) == 1 + 3
    done = here("train", old / "mixtures", tmp_path / "new", "--init", old / "run", *options)
    assert done.returncode == 0, done.stderr


def test_its_results_are_compared(old: Path, here: Command, tmp_path: Path) -> None:
    known = json.loads((old / "results" / "summary.json").read_bytes())
    splits = [word for split in known["splits"] for word in ("--split", split)]
    done = here("evaluate", "mixture", old / "corpus", tmp_path / "r", *splits, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    done = here("compare", old / "results", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert "mixture" in done.stdout
    assert "oracle:irm" in done.stdout


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the table of a shard, and tell the manifest beside it."""
    table = pq.read_table(path)
    pq.write_table(change(table), path)
    manifest = path.parent / "manifest.json"
    content = json.loads(manifest.read_bytes())
    for entry in content["shards"]:
        if entry["file"] == path.name:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


def test_a_column_of_a_later_version_is_no_obstacle(
    old: Path, here: Command, tmp_path: Path
) -> None:
    def grown(table: pa.Table) -> pa.Table:
        return table.append_column("of_tomorrow", pa.array([1.5] * len(table)))

    rewritten(old / "corpus" / "stems-00000.parquet", grown)
    assert here("validate", old / "corpus", "--jobs", 0).returncode == 0
    sizes = ("--clip", 1, "--mixtures", 3, "--min-rms", -60, "--jobs", 0)
    done = here("mix", old / "corpus", tmp_path / "m", *sizes)
    assert done.returncode == 0, done.stderr


def test_a_required_column_that_is_missing_is_named(old: Path, here: Command) -> None:
    rewritten(old / "corpus" / "stems-00000.parquet", lambda table: table.drop_columns(["patch"]))
    done = here("validate", old / "corpus", "--jobs", 0)
    assert done.returncode == 1
    assert "stems-00000.parquet" in done.stderr
    assert "the column patch is missing" in done.stderr


@pytest.mark.parametrize("kind", ["corpus", "renditions", "mixtures", "results"])
def test_a_folder_of_a_newer_version_says_what_to_install(
    old: Path, here: Command, kind: str
) -> None:
    manifest = old / kind / "manifest.json"
    content = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**content, "schema_version": 2}))
    done = here("validate", old / kind, "--jobs", 0)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f": {upgrade_command()}")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_of_a_newer_version_says_what_to_install(old: Path, here: Command) -> None:
    pytest.importorskip("lightning")
    content = json.loads((old / "run" / "run.json").read_bytes())
    (old / "run" / "run.json").write_text(json.dumps({**content, "version": 2}))
    done = here("validate", old / "run")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f": {upgrade_command()}")
