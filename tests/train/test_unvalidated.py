"""Training without validation: the last weights are the run's, and everything says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

import stemsmith
from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.jobs import Quiet
from stemsmith.train import TrainedRun, list_runs
from stemsmith.train.module import SeparationModule
from stemsmith.train.schedule import Monitor, TrainConfig, without_validation

SETTINGS = {"n_layers": 1, "n_units": 4, "n_fft": 256, "hop": 128, "segment_frames": 50}
TINY = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
BASE = ("--target", "bass", *TINY, "--batch-size", 1, "--device", "cpu", "--jobs", 0)
NONE = ("--validation", "none")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(run: str, **options: Any) -> stemsmith.Run:
    wanted: dict[str, Any] = {
        "target": "bass", "settings": SETTINGS, "epochs": 3, "batch_size": 1, "device": "cpu",
        "validation": None, "logger": "csv", **options,
    }  # fmt: skip
    return stemsmith.train_model("mixtures", run, **wanted)


def weights(run: TrainedRun) -> dict[str, Any]:
    return dict(run.model().state_dict())


def are_equal(one: TrainedRun, other: TrainedRun) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_last_weights_are_the_runs_and_all_that_reads_runs_says_so(
    workshop: Path, here, tmp_path: Path
) -> None:
    done = here("train", "mixtures", "new", *BASE, *NONE, "--epochs", 2, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["best"] is None
    assert summary["last"]["epoch"] == 1
    assert summary["last"]["validation_loss"] is summary["last"]["si_sdr_db"] is None
    assert "validation: none, and so without the model's --plateau-epochs 5\n" in done.stderr

    run = stemsmith.Run("new")
    assert sorted(path.name for path in (run.root / "checkpoints").glob("*.ckpt")) == ["last.ckpt"]
    assert (run.is_validated, run.checkpoint_name, run.best) == (False, "last", None)
    assert run.config["data"]["validation"] == run.content["data"]["validation"] == []
    assert run.config["training"]["plateau_epochs"] == 0
    lines = (run.root / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in lines] == ["validation_loss", "", ""]
    last = torch.load(run.root / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, last[f"model.{key}"]) for key, value in weights(run).items())
    with pytest.raises(InvalidCorpus, match="validated nothing, so that no epoch is the best"):
        run.model("best")

    assert here("validate", "new").returncode == 0
    again = here("train", "mixtures", "new", *BASE, *NONE, "--epochs", 2, "--resume")
    assert again.stdout.endswith("at last; nothing was validated\n")
    (listed,) = [row for row in list_runs(workshop) if row.run == "new"]
    assert (listed.best_epoch, listed.validation_loss, listed.n_epochs) == (None, None, 2)
    assert listed.data["validation mixtures"] == "none"
    assert here("runs", workshop).returncode == 0

    song = next(workshop.glob("corpus/test/*/mix.flac"))
    assert here("separate", "new", song, tmp_path / "s", "--device", "cpu").returncode == 0
    done = here("report", "new", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "of the last epoch: nothing was validated" in page
    assert "best epoch" not in page
    assert "Nothing was validated: there are no clips" in page


def test_its_one_file_has_the_last_weights(workshop: Path, here) -> None:
    run = train("new", epochs=1)
    done = here("export", "new", "new.ckpt", "--format", "checkpoint")
    assert done.returncode == 0, done.stderr
    packed = stemsmith.Run("new.ckpt")
    assert are_equal(run, packed)
    assert (packed.checkpoint_name, packed.best, packed.is_file) == ("last", None, True)
    assert here("validate", "new.ckpt").returncode == 0
    with pytest.raises(InvalidCorpus, match="validated nothing"):
        packed.model("best")
    assert len(packed.weights_hash()) == 64
    assert are_equal(train("tuned", init=packed, epochs=1), train("other", init=run, epochs=1))
    assert here("report", "new.ckpt", "--out", "page.html").returncode == 0


@pytest.mark.parametrize("point", ["step", "last.ckpt", "last.ckpt.sha256", "metrics.csv"])
@pytest.mark.parametrize("at", [0, 1])
def test_killed_and_resumed_it_is_as_if_it_had_not_been(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, point: str, at: int
) -> None:
    class Killed(BaseException):
        """Stands for the end of the process."""

    whole = train("whole")
    step, replace, left = SeparationModule.training_step, Path.replace, [at]

    def dying_step(self: SeparationModule, batch: Any, index: int) -> Any:
        if (self.current_epoch, index) == (at, 1):
            raise Killed
        return step(self, batch, index)

    def dying_replace(self: Path, target: Path) -> Path:
        if Path(target).name == point:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        if point == "step":
            patch.setattr(SeparationModule, "training_step", dying_step)
        else:
            patch.setattr(Path, "replace", dying_replace)
        with pytest.raises(Killed):
            train("r")
    resumed = train("r", resume=True)
    assert are_equal(resumed, whole)
    assert [e.train_loss for e in resumed.history] == [e.train_loss for e in whole.history]


def test_validation_changes_no_weight_of_an_epoch(workshop: Path) -> None:
    unvalidated = train("one", plateau_epochs=0)
    validated = train("other", plateau_epochs=0, validation="mixtures")
    last = validated.model("last").state_dict().values()
    pairs = zip(weights(unvalidated).values(), last, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_run_begins_with_the_last_weights_of_another(workshop: Path) -> None:
    first = train("new", epochs=1)
    tuned = train("tuned", epochs=1, init=first, learning_rate=1e-9)
    assert tuned.config["init"] == storage.file_hash(first.root / "checkpoints" / "last.ckpt")
    pairs = zip(weights(first).values(), weights(tuned).values(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_training_ends_by_its_cost(workshop: Path) -> None:
    assert len(train("new", epochs=9, stop_change=1e9).history) == 2


def test_going_on_with_or_without_validation_is_refused(workshop: Path) -> None:
    train("new", epochs=1)
    with pytest.raises(UsageError, match="the run here has another "):
        train("new", validation=(), resume=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--monitor", "si-sdr"), "--monitor si-sdr: needs validation mixtures"),
        (("--plateau-epochs", 3), "--plateau-epochs 3: needs validation mixtures"),
        (("--plateau-factor", 0.7), "--plateau-factor 0.7: needs validation mixtures"),
        (("--plateau-cooldown", 2), "--plateau-cooldown 2: needs validation mixtures"),
        (("--stop-epochs", 3), "--stop-epochs 3: needs validation mixtures"),
        (("--validation-examples", 3), "--validation-examples 3: needs validation mixtures"),
        (("--validation", "mixtures"), "--validation none: stands alone"),
    ],
)
def test_what_needs_validation_is_refused(workshop: Path, here, options: Any, text: str) -> None:
    done = here("train", "mixtures", "new", *BASE, *NONE, *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {text}")
    assert not Path("new").exists()


def test_options_of_the_model_that_need_validation_are_left_out() -> None:
    config = TrainConfig(plateau_epochs=5, stop_epochs=7, monitor=Monitor.SI_SDR, epochs=3)
    settled, left_out = without_validation(config, ["epochs"])
    assert settled == TrainConfig(epochs=3)
    assert left_out == "--monitor si-sdr, --plateau-epochs 5, --stop-epochs 7"
    assert without_validation(TrainConfig(), ["plateau_epochs"]) == (TrainConfig(), "")


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_of_a_run_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    told: list[str] = []

    class Told(Quiet):
        def note(self, message: str) -> None:
            told.append(message)

    monkeypatch.setenv("NODE_RANK", str(rank))
    with pytest.raises(InvalidCorpus):  # there are no mixtures
        stemsmith.train_model(
            tmp_path / "none", tmp_path / "new", target="bass", settings={"n_channels": 1},
            validation=None, progress=Told(),
        )  # fmt: skip
    assert ["--plateau-epochs 5" in text for text in told] == [True] * (rank == 0)


def test_validation_examples_are_drawn_anew_and_resumed_as_they_would_have_been(
    workshop: Path,
) -> None:
    def drawn(run: str, **options: Any) -> stemsmith.Run:
        return train(run, validation=(), n_validation=5, learning_rate=1e-12, **options)

    whole = drawn("whole", epochs=4)
    assert whole.config["rules"]["n_validation"] == 5
    losses = [epoch.validation_loss for epoch in whole.history]
    assert len(set(losses)) == 4  # of weights that hardly change
    drawn("r", epochs=2)
    resumed = drawn("r", epochs=4, resume=True)
    assert [epoch.validation_loss for epoch in resumed.history] == losses
    assert resumed.history[-1].si_sdr_db == whole.history[-1].si_sdr_db


def test_threads_are_those_asked_for_and_given_back(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    step = SeparationModule.training_step

    def noted(self: SeparationModule, batch: Any, index: int) -> Any:
        seen.append(torch.get_num_threads())
        return step(self, batch, index)

    monkeypatch.setattr(SeparationModule, "training_step", noted)
    run = train("new", epochs=1, n_threads=2)
    assert (set(seen), torch.get_num_threads(), run.machine["n_threads"]) == ({2}, 1, 2)


def test_a_set_without_validation_mixtures_says_what_helps(workshop: Path, here) -> None:
    manifest = json.loads(Path("mixtures/manifest.json").read_text())
    for part in ("shards", "audio_shards"):
        manifest[part] = [s for s in manifest[part] if "validation" not in s["file"]]
    shutil.copytree("mixtures", "fewer")
    Path("fewer/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(NothingToDo) as caught:
        stemsmith.train_model("fewer", "new", target="bass", settings=SETTINGS, device="cpu")
    for text in ("fewer: no validation mixtures", "--validation-songs", "--validation none"):
        assert text in str(caught.value)
    run = stemsmith.train_model(
        "fewer", "new", target="bass", settings=SETTINGS, device="cpu", epochs=1, validation=None
    )
    assert len(run.history) == 1
