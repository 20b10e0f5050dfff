"""Training from Python: what `train_model` takes; models, losses and loggers of one's own."""

from __future__ import annotations

import csv
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

import stemsmith
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.train import BLSTM, BLSTMConfig, CNNConfig, Epoch, TrainConfig, Window
from stemsmith.train.models.registry import MODELS, configure, make_model, model_class
from stemsmith.train.models.stft import Stft, StftConfig
from stemsmith.train.module import SeparationModule

TINY = {"n_layers": 1, "n_units": 4, "n_fft": 256, "hop": 128, "segment_frames": 50}
pytestmark = pytest.mark.usefixtures("workshop")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(run: str = "new", **options: Any) -> stemsmith.Run:
    wanted: dict[str, Any] = {
        "target": "bass", "settings": TINY, "epochs": 2, "batch_size": 2, "device": "cpu",
        **options,
    }  # fmt: skip
    return stemsmith.train_model(wanted.pop("mixtures", "mixtures"), run, **wanted)


def weights(run: stemsmith.Run, checkpoint: str = "best") -> dict[str, Any]:
    return dict(run.model(checkpoint).state_dict())


def are_equal(one: stemsmith.Run, other: stemsmith.Run) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_function_and_the_command_do_the_same_and_the_function_is_silent(
    here, capsys: pytest.CaptureFixture[str]
) -> None:
    mixtures = stemsmith.Mixtures("mixtures")
    run = train(mixtures=mixtures, validation=[mixtures])
    assert capsys.readouterr() == ("", "")
    assert isinstance(run, stemsmith.Run)
    words = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    done = here("train", "mixtures", "commanded", "--target", "bass", *words, "--epochs", 2,
                "--batch-size", 2, "--device", "cpu", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    other = stemsmith.Run("commanded")
    assert are_equal(run, other)
    assert run.content == other.content
    assert f"SI-SDR {other.best.si_sdr_db:.2f} dB\n" in done.stdout
    assert run.n_examples == 2
    assert run.machine["loader"] == "resident"


def test_runs_are_given_as_paths_or_opened(tmp_path: Path) -> None:
    first = train()
    one = train("one", init=first, mixtures=["mixtures", stemsmith.Mixtures("mixtures")])
    other = train("other", init="new", mixtures=[Path("mixtures"), "mixtures"])
    assert are_equal(one, other)
    assert not are_equal(first, one)
    again = train("one", init=first, mixtures=["mixtures"] * 2, resume=True, epochs=3)
    assert (again.n_examples, len(again.history)) == (4, 3)


class Watcher:
    """Keeps what a workflow tells of itself."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.texts: list[str] = []

    def loop(
        self, title: str, total: int, *, n_done: int = 0, audio_s: float = 0.0
    ) -> AbstractContextManager[Watcher]:
        @contextmanager
        def bar() -> Iterator[Watcher]:
            self.told.append([title, total, 0, 0.0])
            yield self
            self.told.append("end")

        return bar()

    def advance(self, n: int = 1, audio_s: float = 0.0) -> None:
        bar = next(told for told in reversed(self.told) if isinstance(told, list))
        bar[2] += n
        bar[3] += audio_s

    def tell(self, text: str) -> None:
        self.texts.append(text)

    def warn(self, message: str) -> None:
        self.told.append(f"warning: {message}")

    def note(self, message: str) -> None:
        self.told.append(message)


def test_epochs_are_told_batch_by_batch(tmp_path: Path) -> None:
    watcher = Watcher()
    run = train(progress=watcher, cache=tmp_path / "cache")
    first, _ = run.history
    assert first.si_sdr_db is not None
    seconds = run.settings.segment_samples / run.settings.sample_rate
    note, *bars = watcher.told
    assert note.startswith("loader: resident, ")
    loops = [told for told in bars if told != "end"]
    assert [loop[:3] for loop in loops] == [
        ["decode", 2, 2],
        ["decode", 2, 2],
        ["epoch 1/2", 2, 2],
        [f"epoch 2/2, validation loss {first.validation_loss:.4g}, {first.si_sdr_db:.2f} dB", 2, 2],
    ]
    assert bars.count("end") == len(loops)
    assert loops[2][3] == pytest.approx((2 + 2) * seconds)
    # Of the first batch; the second one of the epoch is of validation.
    assert re.fullmatch(r"loss [\d.e-]+, all epochs in \d+:\d\d:\d\d", watcher.texts[0])
    assert float(watcher.texts[0].split()[1].rstrip(",")) == pytest.approx(
        first.train_loss, rel=1e-3
    )


# What decides which epoch is best.


def crafted(
    monkeypatch: pytest.MonkeyPatch, losses: Sequence[float], ratios: Sequence[Any]
) -> None:
    """Have validation find these losses and ratios, one after the other."""
    left, heard, mean = list(losses), list(ratios), SeparationModule._mean

    def craft(self: SeparationModule, name: str) -> float:
        found = mean(self, name)
        return left.pop(0) if name == "validation" else found

    monkeypatch.setattr(SeparationModule, "_mean", craft)
    monkeypatch.setattr(SeparationModule, "_mean_si_sdr", lambda _: heard.pop(0))


LOSSES, RATIOS = [3.0, 1.0, 2.0, 1.5], [1.0, 2.0, 5.0, 4.0]


@pytest.mark.parametrize(("monitor", "best"), [("loss", 1), ("si-sdr", 2)])
def test_the_monitor_chooses_the_best_checkpoint(
    monkeypatch: pytest.MonkeyPatch, monitor: str, best: int
) -> None:
    crafted(monkeypatch, LOSSES, RATIOS)
    run = train(epochs=4, monitor=monitor)
    kept = torch.load(run.checkpoint("best"), weights_only=True)["stemsmith"]["history"]
    assert len(kept) == best + 1
    assert run.best == Epoch(**kept[-1]) == run.history[best]


@pytest.mark.parametrize("n_before", [None, 1, 3])
def test_the_monitor_lowers_the_rate_and_ends_training(
    monkeypatch: pytest.MonkeyPatch, n_before: int | None
) -> None:
    """The loss gets better and better; SI-SDR is best in epoch 1."""
    losses = [1.0 / n for n in range(1, 9)]
    crafted(monkeypatch, losses, [1.0, 2.0, 1.5, 1.9, 1.0, 1.0, 1.0, 1.0])
    options = {
        "monitor": "si-sdr", "plateau_epochs": 2, "stop_epochs": 4, "learning_rate": 0.001,
    }  # fmt: skip
    if n_before is not None:
        train(epochs=n_before, **options)
    run = train(epochs=8, resume=True, **options)
    assert [epoch.learning_rate for epoch in run.history] == [0.001] * 4 + [0.0005] * 2
    assert run.best == run.history[1]


def test_a_run_does_not_go_on_by_another_monitor() -> None:
    train()
    with pytest.raises(UsageError, match="new: the run here has another monitor"):
        train(resume=True, epochs=3, monitor="si-sdr")


def test_si_sdr_cannot_be_monitored_where_nothing_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    crafted(monkeypatch, [1.0, 1.0], [None, None])
    with pytest.raises(NothingToDo, match="no validation example has a target that sounds"):
        train(monitor="si-sdr")


def test_where_nothing_sounds_the_cell_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    crafted(monkeypatch, [1.0, 1.0], [None, None])
    run = train()
    assert [epoch.si_sdr_db for epoch in run.history] == [None, None]
    rows = list(csv.DictReader((run.root / "metrics.csv").read_text().splitlines()))
    assert [row["si_sdr_db"] for row in rows] == ["", ""]


def test_the_inner_part_of_an_excerpt_comes_back() -> None:
    for config in (StftConfig(64, 32, Window.SQRT_HANN), StftConfig(64, 8, Window.BLACKMAN_HARRIS)):
        stft = Stft(config)
        for n_frames in (1, 2, 9):
            audio = torch.randn(2, 3, config.n_samples(n_frames), dtype=torch.float64)
            inner = stft.inverse_inner(stft(audio))
            assert inner.shape == (2, 3, (n_frames - 1) * config.hop)
            expected = audio[..., 32 : 32 + inner.shape[-1]]
            torch.testing.assert_close(inner, expected, rtol=0, atol=1e-12)


# Loggers.


def test_csv_is_the_record_alone() -> None:
    run = train(logger="csv")
    names = sorted(path.name for path in run.root.iterdir())
    assert names == ["checkpoints", "metrics.csv", "run.json"]


def test_tensorboard_has_every_value_of_the_record() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train()
    events = EventAccumulator(str(run.root / "tensorboard"))
    events.Reload()
    for name in ("train_loss", "validation_loss", "learning_rate", "si_sdr_db", "elapsed_s"):
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [0, 1]
        expected = [getattr(epoch, name) for epoch in run.history]
        assert [scalar.value for scalar in scalars] == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def own(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what writes a module ``of_mine`` that can be imported."""
    monkeypatch.syspath_prepend(workshop)

    def write(text: str) -> None:
        (workshop / "of_mine.py").write_text(textwrap.dedent(text))

    yield write
    sys.modules.pop("of_mine", None)


def test_a_logger_of_ones_own(own: Callable[[str], None]) -> None:
    own(
        """
        told = []

        class Mine:
            def __init__(self, root):
                told.append(str(root))

            def log(self, history):
                told.append([epoch.epoch for epoch in history])

            def close(self):
                told.append("close")
        """
    )
    run = train(logger="of_mine:Mine")
    assert sys.modules["of_mine"].told == ["new", [0], [0, 1], "close"]
    assert len(run.history) == 2
    assert run.machine["logger"] == "of_mine:Mine"


def test_a_logger_that_there_is_not_leaves_nothing() -> None:
    with pytest.raises(UsageError, match="logger 'nonsense': unknown; known: csv, "):
        train(logger="nonsense")
    assert not Path("new").exists()


# Models and losses.

SHARE = """
    from dataclasses import dataclass
    from enum import StrEnum

    import torch
    from stemsmith.train import ModelConfig, SeparationModel, TrainConfig, Window


    class Start(StrEnum):
        HALF = "half"
        FULL = "full"


    @dataclass(frozen=True, kw_only=True)
    class ShareConfig(ModelConfig):
        sample_rate: int = 16000
        n_fft: int = 256
        hop: int = 64
        window: Window = Window.HANN
        segment_frames: int = 60
        loss: str = "magnitude"
        start: Start = Start.HALF
        is_per_bin: bool = True
        sizes: tuple[int, ...] = ()


    class Share(SeparationModel[ShareConfig]):
        config_type = ShareConfig
        training_defaults = TrainConfig(epochs=3, batch_size=2, learning_rate=0.1)

        def __init__(self, config):
            super().__init__(config)
            n_bins = config.stft.n_bins if config.is_per_bin else 1
            start = 0.5 if config.start is Start.HALF else 1.0
            self.share = torch.nn.Parameter(torch.full((len(config.targets), n_bins, 1), start))

        def forward(self, mixture):
            return self.share.clamp(0, 1) * mixture.abs()[:, None]
    """


def test_a_model_of_ones_own_trains_goes_on_is_checked_separates_and_scores(
    own: Callable[[str], None], here
) -> None:
    own(SHARE)
    words = ("--model", "of_mine:Share", "--targets", "bass,drums", "--set", "start=full",
             "--set", "sizes=3,4", "--device", "cpu", "--jobs", 0)  # fmt: skip
    done = here("train", "mixtures", "new", *words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_epochs"] == 3, "its own default"
    settings = json.loads(Path("new/run.json").read_bytes())["config"]["settings"]
    assert (settings["start"], settings["sizes"], settings["is_per_bin"]) == ("full", [3, 4], True)
    run = stemsmith.Run("new")
    assert run.settings.sizes == (3, 4)
    assert run.history[-1].validation_loss < run.history[0].validation_loss
    done = here("train", "mixtures", "new", *words, "--resume", "--epochs", 4)
    assert done.returncode == 0, done.stderr
    for command in (
        ("validate", "new"),
        ("separate", "new", "corpus/test/Track00003/mix.flac", "separated", "--device", "cpu"),
        ("evaluate", "run:new", "corpus", "scored", "--bss", "none", "--device", "cpu",
         "--jobs", 0),
        ("train", "mixtures", "tuned", *words, "--init", "new", "--epochs", 1),
    ):  # fmt: skip
        done = here(*command)
        assert done.returncode == 0, done.stderr
    assert {run.model for run in stemsmith.train.list_runs(".")} == {"blstm", "of_mine:Share"}


def test_a_model_that_has_gone_is_one_line(own: Callable[[str], None], here) -> None:
    own(SHARE)
    stemsmith.train_model("mixtures", "new", model="of_mine:Share", target="bass", device="cpu")
    Path("of_mine.py").unlink()
    sys.modules.pop("of_mine")
    done = here("validate", "new")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: new/run.json: model 'of_mine:Share': cannot be imported")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nonsense", f"unknown; known: {', '.join(MODELS.names)}, or package.module:Object"),
        ("no_such_module:Model", "cannot be imported"),
        ("of_mine:Nothing", "cannot be imported"),
        ("of_mine:ShareConfig", "is no subclass of stemsmith.train.SeparationModel"),
        ("of_mine:Shapeless", "its config_type is no subclass of ModelConfig"),
        ("of_mine:Unfinished", "does not define forward"),
    ],
)
def test_what_is_no_model(own: Callable[[str], None], name: str, text: str) -> None:
    own(
        SHARE
        + """
    class Shapeless(SeparationModel):
        def forward(self, mixture):
            return mixture


    class Unfinished(SeparationModel):
        config_type = ShareConfig
    """
    )
    with pytest.raises(UsageError, match=text) as caught:
        model_class(name)
    assert str(caught.value).startswith(f"model {name!r}: ")


@pytest.mark.parametrize("name", MODELS.names)
def test_a_model_is_what_it_trains_with_by_default(name: str) -> None:
    kind = model_class(name)
    assert isinstance(kind.training_defaults, TrainConfig)
    targets = ("vocals", "bass", "drums", "other")  # chandna's loss is of these
    if name in ("blstm", "umx"):
        targets = targets[:1]
    with torch.device("meta"):
        model = make_model(name, configure(name, targets, {}))
    assert type(model) is kind


def test_settings_are_values_or_text() -> None:
    wanted = BLSTMConfig(targets=("bass",), n_units=32, dropout=0.0, window=Window.HANN)
    texts = {"n_units": "32", "dropout": "0", "window": "hann"}
    values = {"n_units": 32, "dropout": 0, "window": Window.HANN}
    assert configure("blstm", ("bass",), texts) == configure("blstm", ("bass",), values) == wanted
    shared = {"is_decoder_shared": False}
    assert not configure("resnet", ("bass", "drums"), shared).is_decoder_shared  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "settings",
    [{"n_units": 32.0}, {"n_units": True}, {"n_units": None}, {"dropout": [1]}, {"window": 3}],
)
def test_values_of_another_type_are_named(settings: dict[str, Any]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(UsageError, match="not a value of that setting of blstm") as caught:
        configure("blstm", ("bass",), settings)
    assert str(caught.value).startswith(f"{name}={value}: ")


def test_a_loss_is_chosen_by_name_and_says_what_it_is_of() -> None:
    torch.manual_seed(0)
    config = BLSTMConfig(targets=("bass",), n_fft=64, hop=32, n_layers=1, n_units=4)
    mixture = torch.randn(2, 33, 10, dtype=torch.complex64)
    reference, estimate = 0.5 * mixture[:, None], 0.25 * mixture.abs()[:, None]
    named = {
        name: BLSTM(configure("blstm", ("bass",), {"n_fft": 64, "hop": 32, "loss": name}))
        for name in ("tpsa", "magnitude")
    }
    magnitude = mixture.abs()
    expected = {"tpsa": 0.25 * magnitude.mean(), "magnitude": (0.25 * magnitude).square().mean()}
    for name, model in named.items():
        torch.testing.assert_close(model.loss(estimate, reference, mixture), expected[name])
    assert config.loss == "tpsa"
    with pytest.raises(UsageError, match="'complex' is of complex spectra, and BLSTM est"):
        make_model("blstm", configure("blstm", ("bass",), {"loss": "complex"}))
    with pytest.raises(UsageError, match="'tpsa' is of magnitudes, and ResNet estimates complex"):
        make_model("resnet", configure("resnet", ("bass", "drums"), {"loss": "tpsa"}))
    with pytest.raises(UsageError, match="loss 'l3': unknown; known: complex, "):
        make_model("blstm", configure("blstm", ("bass",), {"loss": "l3"}))
    with pytest.raises(UsageError, match="BLSTM has no loss: --set loss=NAME; known: complex, "):
        make_model("blstm", configure("blstm", ("bass",), {"loss": ""}))


def test_the_scale_of_the_cnn_holds_for_any_loss() -> None:
    sizes = {"n_fft": 64, "hop": 8, "segment_frames": 12, "n_filters": 3, "filter_bins": 6,
             "n_bottleneck": 4, "step_frames": 10, "loss": "tpsa"}  # fmt: skip
    config = configure("cnn", ("bass", "drums"), sizes)
    assert isinstance(config, CNNConfig)
    model = make_model("cnn", config)
    mixture = torch.randn(2, 33, 12, dtype=torch.complex64)
    reference = torch.stack([0.5 * mixture, 0.5 * mixture], dim=1)
    estimate = 0.25 * mixture.abs()[:, None].expand(-1, 2, -1, -1)
    expected = 0.25 * mixture.abs().sum() * 2 / 2 / 64  # of two targets, a mean over two examples
    torch.testing.assert_close(model.loss(estimate, reference, mixture), expected)


def test_a_loss_of_ones_own(own: Callable[[str], None]) -> None:
    own(
        """
        from stemsmith.train import Loss

        def largest(estimate, reference, mixture):
            return (estimate - reference.abs()).abs().max()

        LARGEST = Loss(largest, is_complex=False)
        """
    )
    run = train(settings={**TINY, "loss": "of_mine:LARGEST"})
    assert run.config["settings"]["loss"] == "of_mine:LARGEST"
    assert are_equal(
        run, train(settings={**TINY, "loss": "of_mine:LARGEST"}, resume=True, epochs=2)
    )
    with pytest.raises(UsageError, match="loss 'of_mine:largest': is no Loss, but a function"):
        train("other", settings={**TINY, "loss": "of_mine:largest"})


def test_a_model_with_a_loss_of_its_own_needs_no_name(own: Callable[[str], None]) -> None:
    own(
        SHARE.replace('"magnitude"', '""')
        + """
        def loss(self, estimate, reference, mixture):
            return (estimate - reference.abs()).abs().mean()
    """
    )
    run = train(model="of_mine:Share", settings={})
    assert run.history[-1].train_loss < run.history[0].train_loss
