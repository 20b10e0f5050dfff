"""`TrainedRun` and `stemsmith runs`: what was written is read, old versions' too, and compared."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.train.history import METRICS, read_history, write_history
from stemsmith.train.listing import differing_settings
from stemsmith.train.run import TrainedRun
from stemsmith.train.schedule import Epoch, Monitor, best_epoch
from stemsmith.train.workflow import list_runs

OLD = Path(__file__).parents[1] / "data" / "0.1" / "run"
HISTORY = [
    Epoch(0, 0.5, 0.40, 1e-3, 10.25, 1.0, 2.5),
    Epoch(1, 0.4, 0.30, 1e-3, 20.5, 3.0, 1.25),
    Epoch(2, 0.3, 0.35, 5e-4, 20.5, 4.0, 1.25),
]


def write_run(
    root: Path, change: Callable[[dict[str, Any]], object] = lambda _: None, history=HISTORY
) -> Path:
    """Write a run as version 0.1 did, but for what is changed; without weights."""
    content = json.loads((OLD / "run.json").read_bytes())
    change(content)
    root.mkdir(parents=True)
    (root / "run.json").write_text(json.dumps(content))
    write_history(root, history)
    return root


# Histories.


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    silent = dataclasses.replace(HISTORY[2], si_sdr_db=None, validation_loss=1 / 3)
    write_history(tmp_path, [*HISTORY[:2], silent])
    assert read_history(tmp_path) == (*HISTORY[:2], silent)


def test_columns_may_come_and_go(tmp_path: Path) -> None:
    lines = [
        "epoch,train_loss,validation_loss,colour,learning_rate,examples_per_s",
        "0,0.5,0.4,red,0.001,41.75",
    ]
    (tmp_path / METRICS).write_text("\n".join(lines) + "\n")
    assert read_history(tmp_path) == (Epoch(0, 0.5, 0.4, 0.001, 41.75, None, None),)
    assert read_history(tmp_path / "no") == ()


@pytest.mark.parametrize(
    "content",
    [
        b"epoch,train_loss,validation_loss,learning_rate\n0,0.5,0.4,0.001\n",  # a column is missing
        b"epoch,train_loss,validation_loss,learning_rate,examples_per_s\n0,0.5,0.4\n",
        b"epoch,train_loss,validation_loss,learning_rate,examples_per_s\n0,0.5,low,0.001,41.75\n",
        b"epoch,train_loss,validation_loss,learning_rate,examples_per_s\n0.5,0.5,0.4,0.001,41.75\n",
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_history_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / METRICS).write_bytes(content)
    with pytest.raises(InvalidCorpus, match=str(tmp_path / METRICS)) as caught:
        read_history(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_best_epoch_is_of_the_lowest_loss_or_the_highest_si_sdr() -> None:
    assert best_epoch(HISTORY, Monitor.LOSS).epoch == 1
    assert best_epoch(HISTORY, Monitor.SI_SDR).epoch == 2
    twice = [*HISTORY, dataclasses.replace(HISTORY[2], epoch=3)]
    assert best_epoch(twice, Monitor.SI_SDR).epoch == 2, "of equal ones the first"


# Runs.


def test_a_run_of_version_0_1_is_read() -> None:
    run = TrainedRun(OLD)
    assert (run.model_name, run.targets, run.monitor) == ("blstm", ("bass",), Monitor.LOSS)
    assert run.config["settings"]["loss"] == "tpsa"
    assert (run.n_examples, run.machine) == (None, {})
    assert run.n_parameters == 5481
    (epoch,) = run.history
    assert run.best == epoch
    assert (epoch.si_sdr_db, epoch.elapsed_s) == (None, None)
    assert repr(run) == f"TrainedRun({str(OLD)!r})"
    assert Path(run) == OLD


def test_a_run_before_its_first_epoch_has_no_best(tmp_path: Path) -> None:
    run = TrainedRun(write_run(tmp_path / "r", history=()))
    assert (run.history, run.best) == ((), None)


def test_a_newer_version_says_so_without_reading_more(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"run\.json: is of version 2, .* reads up to 1"):
        TrainedRun(write_run(tmp_path / "r", lambda content: content.update(version=2)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda content: content.pop("n_parameters"), "n_parameters is missing"),
        (lambda content: content.update(n_parameters="1"), "n_parameters is not a whole number"),
        (lambda content: content["config"].update(training=None), "config.training is not a table"),
        (lambda content: content["config"].update(rules=[]), "config.rules is not a table"),
        (lambda content: content["config"].update(data={"train": 1}), "config.data.train is not"),
        (
            lambda content: content["config"]["settings"].update(targets=[1]),
            "targets.0 is not text",
        ),
        (lambda content: content["config"]["training"].update(monitor="x"), "monitors 'x', which"),
        (lambda content: content.update(machine=3), "machine is not a table"),
    ],
)
def test_a_run_that_says_something_else_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    root = write_run(tmp_path / "r", change)
    with pytest.raises(InvalidCorpus, match=re.escape(str(root / "run.json"))) as caught:
        assert TrainedRun(root).n_parameters
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_units", 1 << 62), ("n_layers", 10**6), ("n_units", 4.0), ("n_units", True), ("hop", "128"),
     ("dropout", None), ("window", "no"), ("segment_frames", -1),
     ("n_fft", 1 << 21), ("targets", [])],
)  # fmt: skip
def test_settings_that_no_model_has_are_refused_before_it_is_made(
    tmp_path: Path, name: str, value: object
) -> None:
    pytest.importorskip("torch")
    root = write_run(tmp_path / "r", with_settings("settings", **{name: value}))
    shutil.copytree(OLD / "checkpoints", root / "checkpoints")
    with pytest.raises(InvalidCorpus, match=r"run\.json: "):
        TrainedRun(root).model()


def test_a_model_larger_than_its_weights_is_not_made(tmp_path: Path) -> None:
    """Weights of 2**20 units take 32 TiB, for which nobody asks."""
    pytest.importorskip("torch")
    root = write_run(tmp_path / "r", with_settings("settings", n_units=1 << 20))
    shutil.copytree(OLD / "checkpoints", root / "checkpoints")
    with pytest.raises(InvalidCorpus, match=r"best\.ckpt: not of the model of run\.json: lstm"):
        TrainedRun(root).model()


# Runs beside each other.


def with_settings(part: str, **values: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["config"][part].update(values)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a folder with runs that differ in a few settings, and something that is no run."""
    root = tmp_path / "shelf"
    write_run(root / "a")
    write_run(root / "b" / "wide", with_settings("settings", n_units=8))
    write_run(root / "b" / "by ear", with_settings("training", monitor="si-sdr"))
    write_run(root / "seeded", with_settings("rules", seed=3), HISTORY[:1])
    write_run(root / "old", history=[Epoch(0, 0.5, 0.4, 1e-3, 10.0)])
    write_run(root / "new", history=())
    return root


def test_runs_are_listed_by_path_with_what_came_of_them(shelf: Path) -> None:
    found = {run.run: run for run in list_runs(shelf)}
    assert list(found) == ["a", "b/by ear", "b/wide", "new", "old", "seeded"]
    best = {name: (run.n_epochs, run.best_epoch) for name, run in found.items()}
    assert best == {
        "a": (3, 1), "b/by ear": (3, 2), "b/wide": (3, 1), "new": (0, None), "old": (1, 0),
        "seeded": (1, 0),
    }  # fmt: skip
    assert (found["a"].validation_loss, found["a"].si_sdr_db) == (0.30, 3.0)
    assert (found["b/by ear"].validation_loss, found["b/by ear"].si_sdr_db) == (0.35, 4.0)
    assert found["a"].elapsed_s == 5.0
    assert found["old"].elapsed_s is found["new"].elapsed_s is None
    assert found["new"].validation_loss is None
    assert found["a"].data["train mixtures"] == "mixtures b768ed"
    assert list_runs(shelf / "a")[0].run == "."


def test_only_settings_that_differ_are_worth_a_word(shelf: Path) -> None:
    assert differing_settings(list_runs(shelf)) == ["n_units", "monitor", "seed"]
    assert differing_settings(list_runs(shelf / "a")) == []
    assert differing_settings([]) == []


def test_settings_of_another_model_are_no_difference(shelf: Path) -> None:
    write_run(
        shelf / "umx",
        lambda content: content["config"].update(
            model="umx", settings={"targets": ["bass"], "n_fft": 4096}
        ),
    )
    assert differing_settings(list_runs(shelf)) == ["n_units", "monitor", "seed"]


def test_a_run_that_cannot_be_read_is_a_warning(shelf: Path, here) -> None:
    (shelf / "a" / "run.json").write_text("{")
    done = here("runs", shelf)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {shelf / 'a' / 'run.json'}: cannot be read")
    assert done.stderr.count("\n") == 1
    assert "seeded" in done.stdout


def test_the_command_prints_a_table(shelf: Path, here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = here("runs", shelf).stdout.splitlines()
    rows = {row[0]: row for row in ([c.strip() for c in line.split("│")[1:-1]] for line in lines)
            if row}  # fmt: skip
    assert rows["b/wide"] == [
        "b/wide", "blstm", "bass", "n_units=8, monitor=loss, seed=0", "3", "1", "0.3", "3.00",
        "5.0 s",
    ]  # fmt: skip
    assert rows["new"][4:] == ["0", "-", "-", "-", "-"]
    assert lines[-1] == f"{shelf}: 6 runs; highest SI-SDR 4.00 dB, of b/by ear"


def test_the_command_prints_json(shelf: Path, here) -> None:
    done = here("runs", shelf, "--json")
    found = json.loads(done.stdout)
    assert found["differing"] == ["n_units", "monitor", "seed"]
    rows = {row["run"]: row for row in found["runs"]}
    assert rows["b/wide"]["settings"]["n_units"] == 8
    assert rows["seeded"]["data"]["seed"] == 3
    assert rows["a"]["si_sdr_db"] == 3.0
    assert here("runs", shelf, "-q").stdout.count("\n") == 1


def test_no_runs_and_no_folder(tmp_path: Path, here) -> None:
    with pytest.raises(NothingToDo, match="no run of `stemsmith train` here or below"):
        list_runs(tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        list_runs(tmp_path / "no")
    assert here("runs", tmp_path).returncode == 1
    assert here("runs", tmp_path / "no").returncode == 2


def test_real_runs_are_listed(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "r")
    (run,) = list_runs(tmp_path)
    assert (run.run, run.n_epochs, run.settings["loss"]) == ("r", 1, "tpsa")
