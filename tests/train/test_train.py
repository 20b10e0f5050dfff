"""`stemsmith train`: losses fall, runs go on as if they had not been killed, errors are a line."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

from stemsmith.manifests import errors, storage
from stemsmith.manifests.errors import InvalidCorpus, install_command
from stemsmith.train import TrainedRun
from stemsmith.train.destination import RunDestination
from stemsmith.train.module import SeparationModule
from stemsmith.train.optimisation import make_optimiser, make_plateau
from stemsmith.train.schedule import Epoch, TrainConfig, is_over

BAND = "piano,bass,guitar,drums"
SIZES = {
    "blstm": ("n_fft=256", "hop=128", "segment_frames=60", "n_units=16", "n_layers=2"),
    "umx": (
        "sample_rate=16000", "n_fft=256", "hop=64", "segment_frames=80", "n_units=16", "n_layers=1",
    ),
    "cnn": (
        "sample_rate=16000", "n_fft=512", "hop=256", "n_filters=8", "filter_bins=16",
        "n_bottleneck=64",
    ),
    "resnet": (
        "sample_rate=16000", "n_fft=128", "hop=64", "segment_frames=100", "n_latent=8",
        "n_blocks=1",
    ),
    "chandna": (
        "sample_rate=16000", "n_fft=512", "hop=256", "n_filters=8", "n_bottleneck=64",
        "step_frames=25", "loss=magnitude",
    ),
}  # fmt: skip
WANTED = {"blstm": ("--target", "bass"), "umx": ("--target", "drums")}
CPU = ("--device", "cpu", "--jobs", 0)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def options(model: str = "blstm", *, n_batch: int = 8) -> tuple[object, ...]:
    sizes = [word for size in SIZES[model] for word in ("--set", size)]
    targets = WANTED.get(model, ("--targets", BAND))
    return ("--model", model, *targets, *sizes, "--batch-size", n_batch, *CPU)


TINY = options()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def losses(run: Path) -> list[tuple[str, ...]]:
    """Return ``metrics.csv`` without what depends on the machine."""
    return [
        tuple(v for k, v in row.items() if k not in ("examples_per_s", "elapsed_s"))
        for row in rows(run)
    ]


def weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return dict(content["state_dict"])


def assert_same_run(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    for name in ("best", "last"):
        ours, others = weights(one, name), weights(other, name)
        assert list(ours) == list(others)
        assert all(torch.equal(ours[key], others[key]) for key in ours), name


def train(here, mixtures: Path, run: Path, *more: object, n: int | None = None, base=TINY):
    epochs = () if n is None else ("--epochs", n)
    done = here("train", mixtures / "recipes", run, *base, *epochs, *more)
    assert done.returncode == 0, done.stderr
    return done


def assert_one_line_error(done, code: int, *texts: object) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("loader: ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    for text in texts:
        assert str(text) in lines[0], (text, done.stderr)


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture(scope="module")
def whole(mixtures: Path, here, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of five epochs that nothing interrupted; read only."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(here, mixtures, run, n=5)
    return run


def test_a_run_is_validated(whole: Path, tmp_path: Path, here) -> None:
    done = here("validate", whole, "--json")
    assert done.returncode == 0, done.stderr
    expected = {"run": str(whole), "model": "blstm", "targets": ["bass"], "n_epochs": 5}
    assert json.loads(done.stdout) == expected

    def spoil(checkpoint: Path) -> None:
        content = torch.load(checkpoint, weights_only=True)
        next(iter(content["state_dict"].values())).fill_(torch.nan)
        torch.save(content, checkpoint)
        storage.checksum_path(checkpoint).unlink()

    def of_another_model(run: Path) -> None:
        (run / "run.json").write_text((run / "run.json").read_text().replace("blstm", "umx"))

    damage: list[tuple[Callable[[Path], object], str]] = [
        (lambda run: (run / "run.json").write_text("{"), "run.json: cannot be read"),
        (lambda run: (run / "checkpoints" / "best.ckpt").unlink(), "best.ckpt: missing"),
        (lambda run: (run / "checkpoints" / "last.ckpt").write_bytes(b"x"), "last.ckpt: cannot be"),
        (lambda run: spoil(run / "checkpoints" / "last.ckpt"), "last.ckpt: has weights that are"),
        (of_another_model, "run.json: "),
    ]
    for number, (change, text) in enumerate(damage):
        copy = tmp_path / str(number)
        shutil.copytree(whole, copy)
        change(copy)
        done = here("validate", copy)
        assert done.returncode == 1, done.stdout
        (line,) = [line for line in done.stderr.splitlines() if "has no checksum" not in line]
        assert line.startswith(f"Error: {copy}/"), done.stderr
        assert text in line


# Checksums.


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["best", "last"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9])
def test_a_checkpoint_with_one_other_bit_is_not_believed(
    mixtures: Path, whole: Path, tmp_path: Path, here, name: str, place: float
) -> None:
    run = tmp_path / "r"
    shutil.copytree(whole, run)
    flip(run / "checkpoints" / f"{name}.ckpt", place)
    text = f"{run}/checkpoints/{name}.ckpt: cannot be used: its SHA-256 is not the one in {name}."
    with pytest.raises(InvalidCorpus, match=re.escape(text)):
        TrainedRun(run).model(name)
    assert_one_line_error(here("validate", run), 1, text)
    resumed = here("train", mixtures / "recipes", run, *TINY, "--epochs", 6, "--resume")
    assert_one_line_error(resumed, 1, text)
    if name == "best":
        more = ("--epochs", 1, "--init", run)
        done = here("train", mixtures / "recipes", tmp_path / "new", *TINY, *more)
        assert_one_line_error(done, 1, text)


def test_a_checkpoint_with_one_other_bit_does_not_separate(
    corpus: Path, whole: Path, tmp_path: Path, here
) -> None:
    run = tmp_path / "r"
    shutil.copytree(whole, run)
    flip(run / "checkpoints" / "best.ckpt", 0.5)
    mixture = next(corpus.glob("*/*/mix.flac"))
    done = here("separate", run, mixture, tmp_path / "s", "--device", "cpu")
    assert_one_line_error(done, 1, "best.ckpt: cannot be used: its SHA-256")
    options = ("--bss", "none", "--device", "cpu", "--jobs", 0)
    done = here("evaluate", f"run:{run}", corpus, tmp_path / "e", *options)
    assert_one_line_error(done, 1, "best.ckpt: cannot be used: its SHA-256")
    assert not (tmp_path / "s").exists()


def test_a_run_without_checksums_is_used_with_one_line(
    mixtures: Path, whole: Path, tmp_path: Path, here
) -> None:
    run = tmp_path / "r"
    shutil.copytree(whole, run)
    for path in run.glob("checkpoints/*.sha256"):
        path.unlink()
    done = here("validate", run)
    lines = [
        f"warning: {run}/checkpoints/{name}.ckpt: has no checksum" for name in ("best", "last")
    ]
    assert done.returncode == 0
    assert sorted({line.split(",")[0] for line in done.stderr.splitlines()}) == lines
    train(here, mixtures, run, "--resume", n=6)
    assert (run / "checkpoints" / "last.ckpt.sha256").exists()
    for path in run.glob("checkpoints/*.sha256"):
        digest, name = path.read_text().split()
        assert digest == storage.file_hash(path.with_name(name))


def test_nothing_in_a_run_names_the_machine(whole: Path) -> None:
    names = [path.name for path in whole.rglob("*")]
    assert not [name for name in names if socket.gethostname() in name]
    (events,) = (whole / "tensorboard").iterdir()
    assert re.fullmatch(r"events\.out\.tfevents\.\d+", events.name)
    assert socket.gethostname().encode() not in events.read_bytes()


# The models.


@pytest.mark.parametrize(
    ("model", "share", "more"),
    [
        ("blstm", 0.98, ("--epochs", 4, "--learning-rate", 0.01)),
        ("umx", 0.98, ("--epochs", 4, "--learning-rate", 0.01)),
        ("cnn", 0.99, ("--epochs", 5, "--stop-change", 0)),
        ("chandna", 0.99, ("--epochs", 2, "--learning-rate", 0.1)),
        ("resnet", 0.998, ("--epochs", 5, "--learning-rate", 0.005, "--examples", 32)),
    ],
)
def test_every_model_lowers_its_validation_loss(
    mixtures: Path, tmp_path: Path, here, model: str, share: float, more: Sequence[object]
) -> None:
    done = train(here, mixtures, tmp_path / "r", *more, "--json", base=options(model, n_batch=4))
    found = [float(row["validation_loss"]) for row in rows(tmp_path / "r")]
    assert min(found[1:]) < share * found[0], found
    summary = json.loads(done.stdout)
    assert summary["best"]["validation_loss"] == min(found)
    network = TrainedRun(tmp_path / "r").model()
    assert summary["n_parameters"] == network.n_parameters
    assert not network.training


# What a run leaves, and says.


def test_a_run_says_what_it_was(mixtures: Path, whole: Path) -> None:
    content = json.loads((whole / "run.json").read_bytes())
    config = content["config"]
    assert config["model"] == "blstm"
    assert config["settings"]["n_units"] == 16
    assert config["settings"]["targets"] == ["bass"]
    assert config["training"]["epochs"] == 5
    assert config["rules"]["seed"] == 0
    header = json.loads((mixtures / "recipes" / "manifest.json").read_bytes())
    assert config["data"] == {name: [header["fingerprint"]] for name in ("train", "validation")}
    assert (whole / content["data"]["train"][0]).resolve() == (mixtures / "recipes").resolve()
    assert {"stemsmith", "torch", "lightning", "numpy"} <= set(content["versions"])
    # Wheels of some platforms name their build ("+cu130") in the module only.
    assert content["versions"]["torch"] == version("torch")
    assert content["versions"]["torch"] in {torch.__version__, torch.__version__.partition("+")[0]}


def test_a_run_leaves_metrics_events_and_checkpoints_that_load_safely(whole: Path) -> None:
    found = rows(whole)
    assert [row["epoch"] for row in found] == ["0", "1", "2", "3", "4"]
    assert all(float(row["examples_per_s"]) > 0 for row in found)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("validation_loss")]
    assert logged == pytest.approx([float(row["validation_loss"]) for row in found], rel=1e-6)
    for name in ("best", "last"):
        content = torch.load(whole / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert content["stemsmith"]["history"]
        network = TrainedRun(whole).model(name)
        for key, value in network.state_dict().items():
            assert torch.equal(value, content["state_dict"][f"model.{key}"])
    assert sorted(p.name for p in whole.iterdir()) == [
        "checkpoints", "metrics.csv", "run.json", "tensorboard",
    ]  # fmt: skip


def test_the_best_checkpoint_is_of_the_epoch_with_the_lowest_loss(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [3.0, 2.0, 2.5, 2.0, 4.0]
    crafted(monkeypatch, wanted)
    done = train(here, mixtures, tmp_path / "r", "--json", n=5)
    assert json.loads(done.stdout)["best"]["epoch"] == 1
    best = torch.load(tmp_path / "r" / "checkpoints" / "best.ckpt", weights_only=True)
    assert [epoch["validation_loss"] for epoch in best["stemsmith"]["history"]] == wanted[:2]


def test_json_is_all_that_is_printed(mixtures: Path, tmp_path: Path, stemsmith) -> None:
    """The real command, warnings being errors: nothing else on either stream."""
    done = stemsmith(
        "train", mixtures / "recipes", tmp_path / "r", *TINY, "--epochs", 2, "--json", "-q"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert summary["n_epochs"] == 2
    assert summary["run"] == str(tmp_path / "r")
    assert summary["targets"] == ["bass"]
    assert summary["loader"] == "resident"
    assert summary["last"]["epoch"] == 1


def test_people_are_told_the_loader_and_the_result(mixtures: Path, tmp_path: Path, here) -> None:
    done = train(here, mixtures, tmp_path / "a", "--loader", "stream", n=1)
    assert done.stderr == "loader: stream, as asked\n"
    assert done.stdout.startswith(f"{tmp_path / 'a'}: blstm for bass, ")
    assert done.stdout.count("\n") == 1
    quiet = train(here, mixtures, tmp_path / "b", "--loader", "resident", "-q", n=1)
    assert quiet.stderr == ""
    assert_same_run(tmp_path / "a", tmp_path / "b")


# Seeds.


def test_the_same_seed_gives_the_same_numbers(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    train(here, mixtures, tmp_path / "r", "--seed", 0, n=5)
    assert_same_run(whole, tmp_path / "r")
    train(here, mixtures, tmp_path / "s", "--seed", 1, n=1)
    assert losses(tmp_path / "s")[0] != losses(whole)[0]


def test_every_epoch_takes_other_crops(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    step = SeparationModule.training_step

    def noted(self, batch, index):
        seen.append((self.current_epoch, float(batch[0].double().square().sum())))
        return step(self, batch, index)

    monkeypatch.setattr(SeparationModule, "training_step", noted)
    train(here, mixtures, tmp_path / "r", n=3)
    train(here, mixtures, tmp_path / "r", "--resume", n=4)
    assert [epoch for epoch, _ in seen] == [epoch for epoch in range(4) for _ in range(3)]
    assert len({energy for _, energy in seen}) == len(seen)


# Killed and resumed.


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(here, mixtures: Path, run: Path, *more: object, base=TINY) -> None:
    with pytest.raises(Killed):
        here("train", mixtures / "recipes", run, *base, *more)


@pytest.mark.parametrize(
    "point",
    [
        "step", "validation", "best", "last", "best.ckpt.sha256", "last.ckpt.sha256", "metrics",
        "run.json",
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, 2])
def test_killed_and_resumed_is_as_if_it_had_not_been(
    mixtures: Path, tmp_path: Path, here, whole: Path, monkeypatch, point: str, at: int
) -> None:
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        if point == "step":
            step = SeparationModule.training_step

            def dying_step(self, batch, index):
                if (self.current_epoch, index) == (at, 1):
                    raise Killed
                return step(self, batch, index)

            patch.setattr(SeparationModule, "training_step", dying_step)
        elif point == "validation":
            validate = SeparationModule.validation_step

            def dying_validation(self, batch, index):
                if self.current_epoch == at:
                    raise Killed
                validate(self, batch, index)

            patch.setattr(SeparationModule, "validation_step", dying_validation)
        else:
            replace, left = Path.replace, [at]
            names = {"metrics": "metrics.csv", "best": "best.ckpt", "last": "last.ckpt"}
            name = names.get(point, point)
            if point == "run.json":
                left[0] = 0  # it is written once a start

            def dying_replace(self: Path, target: Path) -> Path:
                if Path(target).name == name:
                    if left[0] == 0:
                        raise Killed
                    left[0] -= 1
                return replace(self, target)

            patch.setattr(Path, "replace", dying_replace)
        killed(here, mixtures, run, "--epochs", 5)
    train(here, mixtures, run, "--resume", n=5)
    assert_same_run(run, whole)


def test_killed_after_every_epoch_and_resumed(
    mixtures: Path, tmp_path: Path, here, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, start = tmp_path / "r", SeparationModule.on_train_epoch_start
    for n_epochs in range(1, 5):

        def dying_start(self, n_epochs=n_epochs) -> None:
            if self.current_epoch == n_epochs:
                raise Killed
            start(self)

        with monkeypatch.context() as patch:
            patch.setattr(SeparationModule, "on_train_epoch_start", dying_start)
            killed(here, mixtures, run, "--epochs", 5, "--resume")
        assert losses(run) == losses(whole)[:n_epochs]
    train(here, mixtures, run, "--resume", n=5)
    assert_same_run(run, whole)


def test_resumed_in_another_place_with_another_loader(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    train(here, mixtures, tmp_path / "r", "--loader", "stream", n=3)
    (tmp_path / "r").rename(tmp_path / "moved")
    train(here, mixtures, tmp_path / "moved", "--resume", "--loader", "resident", n=5)
    assert_same_run(tmp_path / "moved", whole)


def test_a_moved_run_keeps_its_best_epoch(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    crafted(monkeypatch, [3.0, 1.0, 2.0, 2.5])
    train(here, mixtures, tmp_path / "r", n=3)
    best = weights(tmp_path / "r", "best")
    (tmp_path / "r").rename(tmp_path / "moved")
    crafted(monkeypatch, [2.5])
    train(here, mixtures, tmp_path / "moved", "--resume", n=4)
    after = weights(tmp_path / "moved", "best")
    assert all(torch.equal(best[key], after[key]) for key in best)


@pytest.mark.parametrize("model", ["umx", "cnn", "resnet", "chandna"])
def test_every_model_goes_on_as_if_it_had_not_been_killed(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    more = ("--examples", 16, "--remix", 0.5, "--gain", "0.25,1.25")
    base = options(model)
    train(here, mixtures, tmp_path / "whole", *more, n=3, base=base)
    train(here, mixtures, tmp_path / "r", *more, n=2, base=base)
    train(here, mixtures, tmp_path / "r", *more, "--resume", n=3, base=base)
    assert_same_run(tmp_path / "r", tmp_path / "whole")


@pytest.mark.slow
def test_killed_by_the_system_and_resumed(mixtures: Path, tmp_path: Path, stemsmith, here) -> None:
    arguments = [*TINY, "--epochs", 60, "-q"]
    done = stemsmith("train", mixtures / "recipes", tmp_path / "whole", *arguments)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "r"
    command = [sys.executable, "-m", "stemsmith.cli.main", "train", mixtures / "recipes", run]
    n_interrupted = 0
    for n_epochs in (1, 4, 9, 20, 35, 50):
        more = ["--resume"] if run.exists() else []
        process = subprocess.Popen([*map(str, [*command, *arguments, *more])])
        while process.poll() is None:
            if (run / "metrics.csv").exists() and len(rows(run)) >= n_epochs:
                process.send_signal(signal.SIGKILL)
                n_interrupted += 1
                break
            time.sleep(0.001)
        process.wait()
    assert n_interrupted >= 4
    done = stemsmith("train", mixtures / "recipes", run, *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_run(run, tmp_path / "whole")


# --resume on what is there.


def test_a_finished_run_is_left_alone_and_says_what_it_was(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    run = tmp_path / "r"
    shutil.copytree(whole, run)
    before = [p.read_bytes() for p in sorted(run.rglob("*.ckpt"))]
    done = train(here, mixtures, run, "--resume", "--json", n=5)
    summary = json.loads(done.stdout)
    assert summary["n_epochs"] == 5
    assert summary["last"]["validation_loss"] == float(losses(whole)[-1][2])
    assert before == [p.read_bytes() for p in sorted(run.rglob("*.ckpt"))]
    assert losses(run) == losses(whole)


def test_a_run_that_stopped_early_does_no_more(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    crafted(monkeypatch, [1.0, 2.0, 3.0, 4.0, 5.0])
    more = ("--stop-epochs", 2)
    first = train(here, mixtures, tmp_path / "r", *more, "--json", n=50)
    assert json.loads(first.stdout)["n_epochs"] == 3
    for n in (50, 70):
        again = train(here, mixtures, tmp_path / "r", *more, "--json", "--resume", n=n)
        assert again.stdout == first.stdout
    assert len(rows(tmp_path / "r")) == 3


def test_more_epochs_go_on(mixtures: Path, tmp_path: Path, here, whole: Path) -> None:
    train(here, mixtures, tmp_path / "r", n=2)
    train(here, mixtures, tmp_path / "r", "--resume", n=5)
    assert_same_run(tmp_path / "r", whole)


def test_fewer_epochs_than_there_are_do_nothing(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    shutil.copytree(whole, tmp_path / "r")
    done = train(here, mixtures, tmp_path / "r", "--resume", "--json", n=3)
    assert json.loads(done.stdout)["n_epochs"] == 5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (("--seed", 1), "seed"),
        (("--set", "n_units=17"), "n_units"),
        (("--target", "drums"), "targets"),
        (("--batch-size", 4), "batch_size"),
        (("--learning-rate", 0.1), "learning_rate"),
        (("--examples", 5), "n_examples"),
        (("--remix", 0.1), "remix"),
        (("--gain", "0.5,1"), "gain_low"),
        (("--precision", "bf16-mixed"), "precision"),
        (("--model", "umx", "--set", "sample_rate=16000"), ""),
    ],
    ids=str,
)
def test_going_on_with_other_settings_is_refused(
    mixtures: Path, here, whole: Path, change: tuple[object, ...], name: str
) -> None:
    before = state(whole)
    base = ("--target", "bass") if change[0] == "--model" else TINY
    done = here(
        "train", mixtures / "recipes", whole, *base, "--epochs", 5, "--resume", *change, *CPU
    )
    assert_one_line_error(done, 2, whole, "another", name)
    assert state(whole) == before


def test_going_on_with_other_mixtures_is_refused(mixtures: Path, here, whole: Path) -> None:
    done = here("train", mixtures / "audio", whole, *TINY, "--epochs", 5, "--resume")
    assert_one_line_error(done, 2, whole, "another")


def test_a_run_is_not_overwritten(mixtures: Path, here, whole: Path) -> None:
    before = state(whole)
    done = here("train", mixtures / "recipes", whole, *TINY, "--epochs", 5)
    assert_one_line_error(done, 2, f"{whole}: holds a run")
    assert state(whole) == before


def test_resume_begins_a_run_where_there_is_none(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        train(here, mixtures, tmp_path / name, "--resume", n=1)
        assert losses(tmp_path / name) == losses(whole)[:1]


def test_other_files_in_the_destination(mixtures: Path, tmp_path: Path, here) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    for more in ((), ("--resume",)):
        done = here("train", mixtures / "recipes", tmp_path, *TINY, *more)
        assert_one_line_error(done, 2, f"{tmp_path}: not empty")
        done = here("train", mixtures / "recipes", tmp_path / "thesis.txt", *TINY, *more)
        assert_one_line_error(done, 2, "thesis.txt: not empty and no run")
        done = here("train", mixtures / "recipes", mixtures / "recipes", *TINY, *more)
        assert_one_line_error(done, 2, "holds mixtures; choose another folder")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_in_one_folder(mixtures: Path, tmp_path: Path, here) -> None:
    (tmp_path / "r" / "checkpoints").mkdir(parents=True)
    with storage.exclusive(tmp_path / "r" / "checkpoints" / ".lock"):
        done = here("train", mixtures / "recipes", tmp_path / "r", *TINY)
    assert_one_line_error(done, 2, f"{tmp_path / 'r'}: another run is writing here")
    train(here, mixtures, tmp_path / "r", n=1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_damaged_last_checkpoint_is_named(
    mixtures: Path, tmp_path: Path, here, whole: Path, share: float
) -> None:
    shutil.copytree(whole, tmp_path / "r")
    path = tmp_path / "r" / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    done = here("train", mixtures / "recipes", tmp_path / "r", *TINY, "--epochs", 6, "--resume")
    assert_one_line_error(done, 1, path)


# --init.


def test_fine_tuning_begins_with_the_weights_of_a_run(
    mixtures: Path, tmp_path: Path, here, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[dict[str, torch.Tensor]] = []
    start = SeparationModule.on_train_epoch_start

    def noted(self) -> None:
        first.append({key: value.clone() for key, value in self.model.state_dict().items()})
        start(self)

    monkeypatch.setattr(SeparationModule, "on_train_epoch_start", noted)
    train(here, mixtures, tmp_path / "r", "--init", whole, "--seed", 3, n=1)
    best = TrainedRun(whole).model().state_dict()
    assert list(best) == list(first[0])
    assert all(torch.equal(best[key], first[0][key]) for key in best)
    content = json.loads((tmp_path / "r" / "run.json").read_bytes())
    assert content["config"]["init"] == storage.file_hash(whole / "checkpoints" / "best.ckpt")
    train(here, mixtures, tmp_path / "r", "--init", whole, "--seed", 3, "--resume", n=2)
    done = here(
        "train", mixtures / "recipes", tmp_path / "r", *TINY, "--seed", 3, "--resume",
        "--epochs", 2,
    )  # fmt: skip
    assert_one_line_error(done, 2, "another init")


def test_fine_tuning_of_another_model_is_refused(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    def init(run: Path, *more: object, base=TINY):
        return here("train", mixtures / "recipes", tmp_path / "r", *base, "--init", run, *more)

    assert_one_line_error(init(whole, base=options("umx")), 2, whole, "is a blstm, not a umx")
    assert_one_line_error(init(whole, "--set", "n_units=17"), 2, whole, "other targets or settings")
    assert_one_line_error(init(whole, "--target", "drums"), 2, whole, "other targets or settings")
    assert_one_line_error(init(tmp_path / "no"), 1, tmp_path / "no" / "run.json", "missing")
    assert not (tmp_path / "r").exists()


# A run that cannot be loaded.


def spoiled(whole: Path, tmp_path: Path, change) -> Path:
    run = tmp_path / "r"
    shutil.copytree(whole, run)
    content = json.loads((run / "run.json").read_bytes())
    change(content)
    (run / "run.json").write_text(json.dumps(content))
    return run


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(version=2),
        lambda content: content.pop("version"),
        lambda content: content.pop("config"),
        lambda content: content.update(config=[]),
        lambda content: content["config"].pop("model"),
        lambda content: content["config"].update(model="transformer"),
        lambda content: content["config"].update(model=["blstm"]),
        lambda content: content["config"].pop("settings"),
        lambda content: content["config"].update(settings=3),
        lambda content: content["config"]["settings"].pop("n_units"),
        lambda content: content["config"]["settings"].update(colour="red"),
        lambda content: content["config"]["settings"].update(window="kaiser"),
        lambda content: content["config"]["settings"].update(n_units="many"),
        lambda content: content["config"]["settings"].update(n_units=0),
        lambda content: content["config"]["settings"].update(n_layers=-1),
        lambda content: content["config"]["settings"].update(targets=[]),
        lambda content: content["config"]["settings"].update(targets=3),
    ],
)  # fmt: skip
def test_a_run_whose_description_is_damaged(whole: Path, tmp_path: Path, change) -> None:
    run = spoiled(whole, tmp_path, change)
    with pytest.raises(InvalidCorpus, match=str(run / "run.json")) as caught:
        TrainedRun(run).model()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_description_that_is_no_json(whole: Path, tmp_path: Path, content: bytes) -> None:
    run = spoiled(whole, tmp_path, lambda _: None)
    (run / "run.json").write_bytes(content)
    with pytest.raises(InvalidCorpus, match=str(run / "run.json")):
        TrainedRun(run).model()


def test_no_run_and_no_checkpoint(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"run\.json: missing"):
        TrainedRun(tmp_path).model()
    run = spoiled(whole, tmp_path, lambda _: None)
    (run / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(InvalidCorpus, match=r"best\.ckpt: missing; the run has not ended an epoch"):
        TrainedRun(run).model()
    TrainedRun(run).model("last")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no checkpoint"),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: torch.save([1], path),
        lambda path: torch.save({"state_dict": 3}, path),
        lambda path: torch.save({"state_dict": {}}, path),
        lambda path: torch.save({"state_dict": {"model.x": torch.zeros(3)}}, path),
        lambda path: torch.save({"state_dict": SeparationModule}, path),  # would run code
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_checkpoint_is_named(whole: Path, tmp_path: Path, spoil) -> None:
    run = spoiled(whole, tmp_path, lambda _: None)
    path = run / "checkpoints" / "best.ckpt"
    spoil(path)
    with pytest.raises(InvalidCorpus, match=str(path)) as caught:
        TrainedRun(run).model()
    assert "\n" not in str(caught.value)


def test_weights_of_another_model(whole: Path, tmp_path: Path) -> None:
    run = spoiled(whole, tmp_path, lambda c: c["config"]["settings"].update(n_units=17))
    with pytest.raises(InvalidCorpus, match=r"best\.ckpt: not of the model") as caught:
        TrainedRun(run).model()
    assert "\n" not in str(caught.value)


# The schedule.


def crafted(monkeypatch: pytest.MonkeyPatch, wanted: Sequence[float]) -> None:
    """Have validation find these losses, one after the other."""
    left, mean = list(wanted), SeparationModule._mean

    def craft(self, name: str) -> float:
        found = mean(self, name)
        return left.pop(0) if name == "validation" else found

    monkeypatch.setattr(SeparationModule, "_mean", craft)


def epoch(number: int, train_loss: float, validation_loss: float) -> Epoch:
    return Epoch(number, train_loss, validation_loss, 1e-3, 1.0)


def rates(losses_: Sequence[float], **config: object) -> list[float]:
    """Return the learning rate of each epoch and of the one after the last."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    training = TrainConfig(learning_rate=1.0, **config)  # type: ignore[arg-type]
    optimiser = make_optimiser([parameter], training)
    plateau = make_plateau(optimiser, training)
    assert plateau is not None
    found = [1.0]
    for loss in losses_:
        plateau.step(loss)
        found.append(optimiser.param_groups[0]["lr"])
    return found


def test_five_bad_epochs_in_a_row_halve_the_rate() -> None:
    better, bad = [3.0], [3.0] * 5  # equal is no improvement
    assert rates(better + bad, plateau_epochs=5) == [1.0] * 6 + [0.5]
    assert rates([*better, *bad[:4], 2.999, *bad[:4]], plateau_epochs=5) == [1.0] * 11
    assert rates(better + 3 * bad, plateau_epochs=5)[-1] == 0.125
    assert rates([3.0, 4.0], plateau_epochs=1) == [1.0, 1.0, 0.5]


def test_epochs_of_a_cooldown_are_not_counted() -> None:
    found = rates([1.0] * 12, plateau_epochs=2, plateau_cooldown=3, plateau_factor=0.1)
    lowered = [n for n in range(1, 13) if found[n] < found[n - 1]]
    assert lowered == [3, 8]  # two bad ones; three that do not count, and two


@pytest.mark.parametrize("n_before", [None, 1, 3, 5, 6])
def test_the_plateau_is_counted_through_a_kill(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch, n_before: int | None
) -> None:
    wanted = [2.0, 2.0, 2.5, 2.0, 3.0, 2.0, 1.9, 1.9]
    more = ("--learning-rate", 0.001, "--plateau-epochs", 5, "--examples", 8)
    run = tmp_path / "r"
    crafted(monkeypatch, wanted)
    if n_before is not None:
        train(here, mixtures, run, *more, n=n_before)
    train(here, mixtures, run, *more, "--resume", n=8)
    assert [float(row["learning_rate"]) for row in rows(run)] == [0.001] * 6 + [0.0005] * 2


def test_training_ends_after_epochs_without_a_lower_loss() -> None:
    config = TrainConfig(epochs=100, stop_epochs=3)
    history = [epoch(n, 1, loss) for n, loss in enumerate([5.0, 4.0, 4.0, 4.5, 3.0, 3.0, 9, 3.1])]
    assert [is_over(history[:n], config) for n in range(9)] == [False] * 8 + [True]


def test_training_ends_when_its_loss_hardly_changes() -> None:
    config = TrainConfig(epochs=100, stop_change=0.05)
    history = [epoch(n, loss, 1) for n, loss in enumerate([5.0, 4.0, 4.06, 4.1])]
    assert [is_over(history[:n], config) for n in range(5)] == [False] * 4 + [True]
    assert is_over(history, TrainConfig(epochs=4))
    assert not is_over(history, TrainConfig(epochs=5))


# What goes wrong.


def test_a_loss_that_is_not_finite_is_one_line(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    crafted(monkeypatch, [1.0, float("nan")])
    done = here("train", mixtures / "recipes", tmp_path / "r", *TINY, "--epochs", 3)
    assert_one_line_error(done, 1, "the loss of epoch 1 is not finite", "learning rate")
    assert len(rows(tmp_path / "r")) == 1
    network = TrainedRun(tmp_path / "r").model("last")
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_a_gpu_without_memory_is_one_line(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.\nGPU 0 has ...")

    with monkeypatch.context() as patch:
        patch.setattr(SeparationModule, "training_step", exhausted)
        done = here("train", mixtures / "recipes", tmp_path / "r", *TINY, "--epochs", 1)
    assert_one_line_error(done, 2, "memory is too small", "--batch-size", "--loader stream")


def test_a_learning_rate_that_is_too_high(mixtures: Path, tmp_path: Path, here) -> None:
    done = here(
        "train", mixtures / "recipes", tmp_path / "r", *options("cnn"), "--epochs", 5,
        "--learning-rate", 1e30,
    )  # fmt: skip
    assert_one_line_error(done, 1, "is not finite")


@pytest.mark.parametrize("package", ["torch", "lightning", "tensorboard"])
def test_what_training_needs_and_is_not_there(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        errors, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    done = here("train", mixtures / "recipes", tmp_path / "r", *TINY)
    assert_one_line_error(done, 2, f"training needs {package}: {install_command('train')}")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("--epochs", 0), "epochs must be above 0"),
        (("--batch-size", -1), "batch_size"),
        (("--learning-rate", 0), "learning_rate"),
        (("--learning-rate", "nan"), "learning_rate"),
        (("--weight-decay", -1), "weight_decay"),
        (("--plateau-epochs", -1), "plateau_epochs"),
        (("--plateau-factor", 1), "plateau_factor"),
        (("--plateau-factor", 0), "plateau_factor"),
        (("--plateau-cooldown", -1), "plateau_cooldown"),
        (("--stop-epochs", -1), "stop_epochs"),
        (("--stop-change", "nan"), "stop_change"),
        (("--clip-gradient", -1), "clip_gradient"),
        (("--examples", 0), "0 examples"),
        (("--remix", 1.5), "between 0 and 1"),
        (("--gain", "1"), "--gain 1: write two numbers"),
        (("--gain", "1,2,3"), "write two numbers"),
        (("--gain", "0,1"), "not a range"),
        (("--gain", "0.5,inf"), "not a range"),
        (("--gain", "2,1"), "not a range"),
        (("--set", "n_units"), "NAME=VALUE"),
        (("--set", "colour=red"), "no setting 'colour'"),
        (("--set", "n_units=many"), "n_units=many"),
        (("--set", "n_units=0"), "blstm"),
        (("--set", "n_units=-3"), "blstm"),
        (("--set", "n_layers=0"), "blstm"),
        (("--set", "dropout=2"), "blstm"),
        (("--set", "hop=0"), "hop"),
        (("--set", "hop=1000"), "hop"),
        (("--set", "n_fft=-2"), ""),
        (("--set", "n_fft=7"), ""),
        (("--set", "sample_rate=0"), "rate"),
        (("--set", "segment_frames=0"), "segment"),
        (("--set", "segment_frames=-5"), "segment"),
        (("--set", "window=kaiser"), "window=kaiser"),
        (("--set", "sample_rate=48000"), "48000"),
        (("--target", "vocals"), "'vocals'"),
        (("--target", "bass,drums"), ""),
        (("--target", ""), ""),
        (("--targets", "bass"), "say what to separate"),
        (("--device", "cuda"), "--device cuda"),
        (("--precision", "16-mixed"), "needs a GPU"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_values_that_cannot_be(
    mixtures: Path, tmp_path: Path, here, change: tuple[object, ...], text: str
) -> None:
    if change[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    done = here("train", mixtures / "recipes", tmp_path / "r", *TINY, *change)
    assert_one_line_error(done, 2, text)
    assert not (tmp_path / "r").exists()


def test_mixtures_that_cannot_be_trained_on(mixtures: Path, tmp_path: Path, here) -> None:
    done = here("train", tmp_path / "no", tmp_path / "r", *TINY)
    assert_one_line_error(done, 1, tmp_path / "no" / "manifest.json", "missing")
    shutil.copytree(mixtures / "audio", tmp_path / "m")
    (tmp_path / "m" / "audio-validation-00000.tar").unlink()
    done = here("train", tmp_path / "m", tmp_path / "r", *TINY)
    assert_one_line_error(done, 1, tmp_path / "m" / "audio-validation-00000.tar", "missing")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("loader", ["stream", "resident"])
def test_audio_that_is_damaged_is_named(mixtures: Path, tmp_path: Path, here, loader: str) -> None:
    shutil.copytree(mixtures / "audio", tmp_path / "m")
    path = tmp_path / "m" / "audio-train-00000.tar"
    data = bytearray(path.read_bytes())
    for place in range(2000, len(data), 5000):
        data[place] ^= 0xFF
    path.write_bytes(data)
    done = here(
        "train", tmp_path / "m", tmp_path / "r", *TINY, "--epochs", 1, "--loader", loader,
        "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert_one_line_error(done, 1, path)


def test_a_damaged_cache_is_named(mixtures: Path, tmp_path: Path, here) -> None:
    more = ("--cache", tmp_path / "cache")
    train(here, mixtures, tmp_path / "a", *more, n=1)
    (path,) = [p for p in tmp_path.glob("cache/decoded/*/*.i16") if p.stat().st_size > 2_000_000]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    done = here("train", mixtures / "recipes", tmp_path / "b", *TINY, *more, "--epochs", 1)
    assert_one_line_error(done, 1, path, "remove")
    shutil.rmtree(path.parent)
    train(here, mixtures, tmp_path / "b", *more, "--resume", n=1)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_no_permission_to_write(mixtures: Path, tmp_path: Path, here) -> None:
    (tmp_path / "file").write_text("")
    done = here("train", mixtures / "recipes", tmp_path / "file" / "r", *TINY)
    assert_one_line_error(done, 1, tmp_path / "file")
    assert_one_line_error(here("train", mixtures / "recipes", "/proc/r", *TINY), 1, "/proc/r")
    done = here(
        "train", mixtures / "recipes", tmp_path / "r", *TINY, "--cache", tmp_path / "file" / "c"
    )
    assert_one_line_error(done, 1, tmp_path / "file")


@pytest.mark.parametrize(
    ("n_bytes", "name"), [(500, "r"), (100_000, "cache"), (200_000, "r/checkpoints/best.ckpt")],
    ids=["run", "cache", "checkpoint"],
)  # fmt: skip
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_can_be_gone_on_from(
    mixtures: Path, tmp_path: Path, stemsmith, here, whole: Path, n_bytes: int, name: str
) -> None:
    """A limit on the size of files stands in for the full disk: writing fails in the same way."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    cache = ("--cache", tmp_path / "cache")
    if name != "cache":
        train(here, mixtures, tmp_path / "other", *cache, n=1)
    arguments = (mixtures / "recipes", tmp_path / "r", *TINY, *cache, "--epochs", 5)
    done = stemsmith("train", *arguments, preexec_fn=limit)
    assert_one_line_error(done, 1, tmp_path / name, "File too large")
    train(here, mixtures, tmp_path / "r", *cache, "--resume", n=5)
    assert_same_run(tmp_path / "r", whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_goes_on(
    mixtures: Path, tmp_path: Path, here, number: int
) -> None:
    run = tmp_path / "r"
    arguments = ["train", mixtures / "recipes", run, *TINY, "--epochs", 5000]
    command = [sys.executable, "-m", "stemsmith.cli.main", *map(str, arguments)]

    def heed() -> None:  # what runs tests in the background has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    while not (run / "metrics.csv").exists() or len(rows(run)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    lines = [line for line in err.splitlines() if line and not line.startswith("loader: ")]
    assert lines == ["Aborted! The same command with --resume goes on after the last whole epoch."]
    n = len(rows(run))
    done = here(*arguments[:-1], n + 1, "--resume", "--json")
    assert json.loads(done.stdout)["n_epochs"] == n + 1


# Options that change what is computed.


def test_the_gradient_is_clipped(
    mixtures: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []

    def noted(self, optimizer) -> None:
        total = sum(float(p.grad.square().sum()) for p in self.parameters() if p.grad is not None)
        norms.append(total**0.5)

    monkeypatch.setattr(SeparationModule, "on_before_zero_grad", noted)
    for name, limit in (("free", 0), ("held", 1e-3)):
        norms.clear()
        train(here, mixtures, tmp_path / name, "--clip-gradient", limit, n=2)
        found = [norm for norm in norms if norm]
        assert len(found) >= 3
        assert (max(found) <= 1e-3 * (1 + 1e-5)) == (name == "held"), found


def test_half_precision_trains_on_the_cpu(
    mixtures: Path, tmp_path: Path, here, whole: Path
) -> None:
    train(here, mixtures, tmp_path / "r", "--precision", "bf16-mixed", n=2)
    ours = [[float(x) for x in row[:3]] for row in losses(tmp_path / "r")]
    exact = [[float(x) for x in row[:3]] for row in losses(whole)[:2]]
    assert ours != exact
    assert [x for row in ours for x in row] == pytest.approx(
        [x for row in exact for x in row], rel=0.02
    )
    dtypes = {value.dtype for value in weights(tmp_path / "r", "best").values()}
    assert torch.bfloat16 not in dtypes


def test_validation_on_other_mixtures(
    mixtures: Path, corpus: Path, tmp_path: Path, here, whole: Path
) -> None:
    done = here("mix", corpus, tmp_path / "v", "--clip", 1, "--mixtures", 8, "--seed", 9,
                "--sample-rate", 16000, "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    train(here, mixtures, tmp_path / "r", "--validation", tmp_path / "v", n=2)
    ours, others = losses(tmp_path / "r"), losses(whole)
    assert [row[1] for row in ours] == [row[1] for row in others[:2]]  # training's
    assert ours[0][2] != others[0][2]
    config = json.loads((tmp_path / "r" / "run.json").read_bytes())["config"]
    assert config["data"]["train"] != config["data"]["validation"]
    train(here, mixtures, tmp_path / "s", "--validation", mixtures / "recipes", n=2)
    assert losses(tmp_path / "s") == others[:2]


def test_several_mixtures_are_concatenated(mixtures: Path, tmp_path: Path, here) -> None:
    done = here("train", mixtures / "recipes", mixtures / "audio", tmp_path / "r", *TINY,
                "--epochs", 1, "--json")  # fmt: skip
    assert json.loads(done.stdout)["n_examples"] == 2 * 27


def test_as_many_examples_an_epoch_as_asked(mixtures: Path, tmp_path: Path, here) -> None:
    done = train(here, mixtures, tmp_path / "r", "--examples", 40, "--json", n=2)
    assert json.loads(done.stdout)["n_examples"] == 40
    last = torch.load(tmp_path / "r" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * 5


def test_a_run_among_its_mixtures_changes_nothing_in_them(
    mixtures: Path, tmp_path: Path, here
) -> None:
    shutil.copytree(mixtures, tmp_path / "m", symlinks=True)
    before = {path: path.read_bytes() for path in (tmp_path / "m" / "audio").iterdir()}
    run = tmp_path / "m" / "audio" / "run"
    for more in ((), ("--resume",)):
        done = here("train", tmp_path / "m" / "audio", run, *TINY, "--epochs", 1, *more)
        assert done.returncode == 0, done.stderr
    assert {p: p.read_bytes() for p in before} == before


# Several processes.


def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_TWO_PROCESSES)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    processes = [
        subprocess.Popen(
            [sys.executable, program, str(rank), tmp_path / "meet"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    found = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], found
    assert found[0][0] == "blstm umx cnn resnet\n"


_TWO_PROCESSES = """
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from stemsmith.train.models.registry import configure, make_model

rank = int(sys.argv[1])
distributed.init_process_group(
    "gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2
)
torch.set_num_threads(1)
SIZES = {
    "blstm": {"n_units": "8", "n_layers": "2", "dropout": "0", "n_fft": "64", "hop": "32",
              "segment_frames": "20"},
    "umx": {"n_units": "8", "n_layers": "1", "dropout": "0", "n_fft": "64", "hop": "16",
            "segment_frames": "20"},
    "cnn": {"n_fft": "64", "hop": "8", "n_filters": "3", "filter_bins": "6", "n_bottleneck": "8"},
    "resnet": {"n_fft": "64", "hop": "16", "segment_frames": "16", "n_latent": "8",
               "n_blocks": "1"},
}


class Loss(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, mixture, references):
        spectrum, targets = self.model.stft(mixture), self.model.stft(references)
        return self.model.loss(self.model(spectrum), targets, spectrum)


done = []
for name, sizes in SIZES.items():
    targets = ("bass",) if name in ("blstm", "umx") else ("bass", "drums")
    config = configure(name, targets, sizes)
    torch.manual_seed(1)
    one = make_model(name, config)
    torch.manual_seed(1)
    shared = DistributedDataParallel(Loss(make_model(name, config)), find_unused_parameters=False)
    references = 0.1 * torch.randn(6, 1 + len(targets), config.segment_samples)
    mixture, references = references.sum(1), references[:, :-1]
    for network in (one, shared.module.model):
        network.train()
        for part in network.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.eval()
    own = slice(3 * rank, 3 * rank + 3)
    shared(mixture[own], references[own]).backward()
    Loss(one)(mixture, references).backward()
    for (key, a), b in zip(one.named_parameters(), shared.module.model.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None, (name, key)
        scale = a.grad.abs().max()
        assert (a.grad - b.grad).abs().max() <= 1e-5 * scale + 1e-9, (name, key)
    done.append(name)
print(*done)
distributed.destroy_process_group()
"""


def ddp(stemsmith, mixtures: Path, run: Path, *more: object):
    return stemsmith("train", mixtures / "recipes", run, *TINY, "--set", "dropout=0", *more)


@pytest.mark.slow
@pytest.mark.parametrize("n_validation", [None, 7])
def test_two_processes_train_as_one_with_twice_the_batch(
    mixtures: Path, corpus: Path, tmp_path: Path, stemsmith, here, n_validation: int | None
) -> None:
    more: tuple[object, ...] = ("--epochs", 3)
    if n_validation is not None:  # the last batch is not full, and one process has none
        done = here("mix", corpus, tmp_path / "v", "--clip", 1, "--mixtures", n_validation,
                    "--split", "validation", "--sample-rate", 16000, "--jobs", 0)  # fmt: skip
        assert done.returncode == 0, done.stderr
        more = (*more, "--validation", tmp_path / "v")
    one, two = tmp_path / "one", tmp_path / "two"
    done = ddp(stemsmith, mixtures, one, *more, "--batch-size", 6, "--json")
    assert done.returncode == 0, done.stderr
    shared = ("--batch-size", 3, "--devices", 2, "--cache", tmp_path / "cache")
    done = ddp(stemsmith, mixtures, two, *more, *shared, "--json", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads(done.stdout)  # once
    assert summary["n_epochs"] == 3
    for ours, others in zip(losses(one), losses(two), strict=True):
        assert [float(x) for x in ours] == pytest.approx([float(x) for x in others], rel=1e-5)
    # A run of two that goes on, with the cache that is there.
    before = state(tmp_path / "cache")
    (tmp_path / "half").mkdir()
    done = ddp(stemsmith, mixtures, tmp_path / "half", *more, *shared, "--epochs", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("loader: ") == 1
    done = ddp(stemsmith, mixtures, tmp_path / "half", *more, *shared, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_run(two, tmp_path / "half")
    done = ddp(stemsmith, mixtures, tmp_path / "half", *more, *shared, "--resume", "--json")
    assert json.loads(done.stdout)["n_epochs"] == 3
    assert state(tmp_path / "cache") == before


@pytest.mark.slow
def test_errors_of_two_processes_are_one_line(mixtures: Path, tmp_path: Path, stemsmith) -> None:
    more = ("--devices", 2, "--epochs", 1)
    assert ddp(stemsmith, mixtures, tmp_path / "r", *more).returncode == 0
    done = ddp(stemsmith, mixtures, tmp_path / "r", *more)
    assert_one_line_error(done, 2, "holds a run")
    done = stemsmith("train", mixtures / "recipes", tmp_path / "s", *options("cnn"), *more,
                     "--learning-rate", 1e30)  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the loss of epoch 0 is not finite" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_models_with_batch_norm_train_in_two_processes(
    mixtures: Path, tmp_path: Path, stemsmith
) -> None:
    done = stemsmith("train", mixtures / "recipes", tmp_path / "r", *options("resnet"),
                     "--devices", 2, "--epochs", 1, "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_run_dir_says_where_its_checkpoints_are(tmp_path: Path) -> None:
    folder = RunDestination(tmp_path)
    assert folder.checkpoint("best") == tmp_path / "checkpoints" / "best.ckpt"
