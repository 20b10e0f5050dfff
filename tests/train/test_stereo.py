"""Models of stereo: examples of two channels, runs that record them, recordings of one and two."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

import stemsmith
from stemsmith.manifests.jobs import InProcess
from stemsmith.train import MixtureDataset, TrainedRun
from stemsmith.train.data import store
from stemsmith.train.data.clips import Clips, find_clips
from stemsmith.train.data.examples import VALIDATION, ExampleRules, Turns
from stemsmith.train.data.module import ResidentLoader, StreamLoader
from stemsmith.train.data.store import ClipStore, Decoding
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.stft import Window
from stemsmith.train.module import SeparationModule
from stemsmith.train.report import Reporter
from stemsmith.train.schedule import TrainConfig
from torch import Tensor

TARGETS = ("bass", "drums", "vocals")
RATE = 8000
PLAIN = ExampleRules(seed=3, segment_samples=3000)
RULES = {
    "plain": PLAIN,
    "remixed": replace(PLAIN, remix=0.6, gain_low=0.25, gain_high=1.25),
    "blocks": replace(PLAIN, step_samples=3000, n_examples=9, remix=0.5),
    "short": replace(PLAIN, segment_samples=20_000, remix=0.5),  # clips have 8000
}
SIZES = {
    "blstm": ("n_fft=256", "hop=128", "segment_frames=20", "n_units=8", "n_layers=1"),
    "umx": ("n_fft=256", "hop=64", "segment_frames=20", "n_units=8", "n_layers=1"),
    "cnn": ("n_fft=256", "hop=128", "n_filters=4", "filter_bins=16", "n_bottleneck=8"),
    "resnet": ("n_fft=128", "hop=64", "segment_frames=40", "n_latent=16", "n_blocks=1"),
    "chandna": ("n_fft=256", "hop=128", "n_filters=4", "n_bottleneck=8", "step_frames=25"),
}
ALL = "vocals,drums,bass,other"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory, musdb: Path) -> Path:
    """Return a folder of the same mixtures as ``stereo``, ``audio`` (stereo) and ``mono``."""
    folder = tmp_path_factory.mktemp("stereo")
    for name, n_channels, audio_format in (
        ("stereo", 2, None), ("audio", 2, "flac"), ("mono", 1, None)
    ):  # fmt: skip
        stemsmith.mix(
            f"musdb:{musdb}", folder / name, taxonomy="musdb", n_mixtures=12, clip_s=1,
            sample_rate=RATE, n_channels=n_channels, audio_format=audio_format,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def clips(stereo: Path) -> Clips:
    return find_clips([stereo / "audio"], "train", TARGETS, RATE, 2)


@pytest.fixture(scope="module")
def decoded(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_PER_PART", 3)
        decoding = Decoding(clips, tmp_path_factory.mktemp("store"))
        decoding.fill(InProcess())
        return decoding.store()


def test_mixtures_keep_what_stereo_sources_have(stereo: Path, musdb: Path) -> None:
    mixtures = stemsmith.Mixtures(stereo / "stereo")
    assert mixtures.n_channels == 2
    made = mixtures[0].realise()
    assert {audio.shape for audio in made.values()} == {(2, RATE)}
    assert not np.allclose(made["bass"][0], made["bass"][1])
    mono = stemsmith.Mixtures(stereo / "mono")
    assert mono.n_channels == 1


def test_clips_have_two_channels_and_sum_exactly(stereo: Path, clips: Clips) -> None:
    whole = find_clips([stereo / "audio"], "train", tuple(ALL.split(",")), RATE, 2)
    of_recipe = find_clips([stereo / "stereo"], "train", TARGETS, RATE, 2)
    downmix = find_clips([stereo / "audio"], "train", TARGETS, RATE)
    assert clips.n_bytes == 2 * downmix.n_bytes
    for number in range(len(clips.clips)):
        read = clips.read(number)
        assert read.shape == (4, 2, RATE)
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, of_recipe.read(number))
        parts = whole.read(number).astype(int)
        np.testing.assert_array_equal(parts[0], parts[1:].sum(axis=0))
        mono = np.rint(read.mean(axis=1, dtype=np.float64))
        assert np.abs(mono - downmix.read(number)).max() <= 1  # of halves, either neighbour


@pytest.mark.parametrize("name", RULES)
def test_all_loaders_give_the_same_stereo(clips: Clips, decoded: ClipStore, name: str) -> None:
    rules, n_batch = RULES[name], 2

    def turns(epoch: int) -> Turns:
        return Turns(len(rules.table(clips.n_samples, 3, epoch)), n_batch, epoch=epoch)

    for epoch in (0, 2, VALIDATION):
        loaders = [
            StreamLoader(MixtureDataset(clips, rules), turns(epoch)),
            StreamLoader(MixtureDataset(decoded, rules), turns(epoch)),
            ResidentLoader(decoded, rules, turns(epoch), torch.device("cpu")),
        ]
        first, *others = ([*loader] for loader in loaders)
        assert first
        mixture, references = first[0]
        assert mixture.shape == (n_batch, 2, rules.segment_samples)
        assert references.shape == (n_batch, 3, 2, rules.segment_samples)
        for other in others:
            for a, b in zip(first, other, strict=True):
                assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_stereo_examples_are_what_the_table_says(clips: Clips) -> None:
    """Examples against sums written out in numpy float64."""
    for rules in RULES.values():
        dataset, table = MixtureDataset(clips, rules), rules.table(clips.n_samples, 3, 2)
        for row in range(0, len(table), 3):
            sources = []
            for column in range(4):
                whole = clips.read(int(table.clip[row, column])).astype(float) / 32768
                parts = [whole[0] - whole[1:].sum(axis=0), *whole[1:]]
                start = int(table.start[row, column])
                excerpt = parts[column][:, start : start + rules.segment_samples]
                missing = rules.segment_samples - excerpt.shape[1]
                sources.append(np.pad(excerpt, ((0, 0), (0, missing))) * table.gain[row, column])
            mixture, references = dataset[2, row]
            assert np.abs(mixture.numpy() - np.sum(sources, axis=0)).max() < 1e-6
            assert np.abs(references.numpy() - sources[1:]).max() < 1e-6


class Recorder(SeparationModel[ModelConfig]):
    """Keeps the shapes that it is given, and returns half of the mixture."""

    config_type = ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, mixture: Tensor) -> Tensor:
        self.shapes.append(tuple(mixture.shape))
        return 0.5 * mixture.abs()[:, None]


def test_models_of_one_channel_are_trained_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss and the SI-SDR of a batch, against those of both channels written out."""
    config = ModelConfig(
        targets=("x",), sample_rate=RATE, n_fft=128, hop=32, window=Window.HANN, segment_frames=9,
        loss="magnitude", n_channels=2,
    )  # fmt: skip
    model = Recorder(config)
    module = SeparationModule(model, TrainConfig(), 0, Reporter())
    torch.manual_seed(0)
    mixture = torch.randn(3, 2, config.segment_samples)
    references = 0.3 * mixture[:, None] + 0.1 * torch.randn(3, 1, 2, config.segment_samples)
    singles = module._one_by_one((mixture, references))
    spectrum, targets = model.stft(singles[0]), model.stft(singles[1])
    estimate = model(spectrum)
    assert model.shapes == [(6, 65, 9)]
    of_channels = []
    for c in (0, 1):
        channel = model.stft(mixture[:, c])
        parts = 0.5 * channel.abs()[:, None], model.stft(references[:, :, c]), channel
        of_channels.append(model.loss(*parts))
    torch.testing.assert_close(
        model.loss(estimate, targets, spectrum), torch.stack(of_channels).mean()
    )
    module._count_si_sdr(estimate, spectrum, references)
    total_db, n_ratios = module._si_sdr.sum_and_number
    assert n_ratios == 3
    inner = slice(64, 64 + 8 * 32)
    e = 0.5 * mixture.mean(dim=1)[:, inner].double()
    s = references[:, 0].mean(dim=1)[:, inner].double()
    p = ((e * s).sum(-1) / s.square().sum(-1))[:, None] * s
    ratios_db = 10 * torch.log10(p.square().sum(-1) / (e - p).square().sum(-1))
    assert total_db == pytest.approx(float(ratios_db.sum()), abs=0.05)


def words(model: str, *settings: str) -> list[object]:
    targets = ("--target", "bass") if model in ("blstm", "umx") else ("--targets", ALL)
    sizes = [f"sample_rate={RATE}", *SIZES[model], *settings]
    return ["--model", model, *targets, *(w for size in sizes for w in ("--set", size)),
            "--batch-size", 4, "--epochs", 1, "--device", "cpu", "--jobs", 0]  # fmt: skip


@pytest.mark.parametrize("model", SIZES)
def test_a_model_of_stereo_mixtures_trains_separates_and_scores(
    stereo: Path, musdb: Path, tmp_path: Path, here: Callable, model: str
) -> None:
    done = here("train", stereo / "audio", tmp_path / "run", *words(model), "--loader", "stream")
    assert done.returncode == 0, done.stderr
    run = stemsmith.Run(tmp_path / "run")
    assert run.settings.n_channels == run.config["settings"]["n_channels"] == 2
    assert run.best.si_sdr_db is not None
    done = here("train", stereo / "stereo", tmp_path / "same", *words(model))
    assert done.returncode == 0, done.stderr  # resident, of recipes: the same weights
    weights = [stemsmith.Run(tmp_path / name).model().state_dict() for name in ("run", "same")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name])
    assert here("validate", tmp_path / "run").returncode == 0
    song = musdb / "test/C - Three/mixture.wav"
    audio, rate = soundfile.read(song, dtype="float32")
    estimates = run.separate(audio.T, rate, device="cpu")
    assert {values.shape for values in estimates.values()} == {audio.T.shape}
    mono = run.separate(audio[:, 0], rate, device="cpu")
    assert {values.shape for values in mono.values()} == {(1, len(audio))}
    results = tmp_path / "results"
    done = here("evaluate", f"run:{tmp_path / 'run'}", f"musdb:{musdb}", results, "--bss", "none",
                "--device", "cpu", "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert stemsmith.Results(results).scores.num_rows > 0


def test_channels_are_set_gone_on_with_and_kept_apart(
    stereo: Path, tmp_path: Path, here: Callable
) -> None:
    def train(name: str, *folders: str, **extra: object) -> object:
        given = [stereo / folder for folder in folders]
        more = [word for key, value in extra.items() if key != "settings"
                for word in ([f"--{key}"] if value is True else [f"--{key}", value])]  # fmt: skip
        settings = extra.get("settings", ())
        return here("train", *given, tmp_path / name, *words("umx", *settings), *more)

    assert train("mid", "stereo", settings=["n_channels=1"]).returncode == 0
    assert train("mono", "mono").returncode == 0
    assert train("both", "stereo", "mono").returncode == 0
    for name in ("mid", "mono", "both"):
        assert TrainedRun(tmp_path / name).settings.n_channels == 1, name
    refused = train("no", "mono", settings=["n_channels=2"])
    assert refused.returncode == 2
    assert "is mono and the model has 2 channels; mix with --channels 2" in refused.stderr
    assert not (tmp_path / "no").exists()
    refused = train("no", "stereo", settings=["n_channels=3"])
    assert "n_channels=3: models take 1 or 2" in refused.stderr
    # A run goes on with its own channels, as one of an earlier version does, which was mono.
    content = json.loads((tmp_path / "mid/run.json").read_text())
    del content["config"]["settings"]["n_channels"]
    (tmp_path / "mid/run.json").write_text(json.dumps(content))
    assert TrainedRun(tmp_path / "mid").settings.n_channels == 1
    done = train("mid", "stereo", resume=True, epochs=2)
    assert done.returncode == 0, done.stderr
    assert len(TrainedRun(tmp_path / "mid").history) == 2
    refused = train("fine", "stereo", init=tmp_path / "mid")
    assert "has other targets or settings: n_channels 1, not 2" in refused.stderr
    assert train("fine", "stereo", init=tmp_path / "mid", settings=["n_channels=1"]).returncode == 0


def test_a_data_set_of_a_config_has_its_channels(stereo: Path) -> None:
    config = ModelConfig(
        targets=("bass",), sample_rate=RATE, n_fft=128, hop=32, window=Window.HANN,
        segment_frames=9, loss="magnitude", n_channels=2,
    )  # fmt: skip
    mixture, references = MixtureDataset.of([stereo / "stereo"], config)[0]
    assert mixture.shape == (2, config.segment_samples)
    assert references.shape == (1, 2, config.segment_samples)
