"""The models: shapes, masks, parameter counts of the papers, gradients, silence."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.errors import UsageError

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.train.models.architectures.blstm import BLSTM, BLSTMConfig
from stemsmith.train.models.architectures.chandna import Chandna, ChandnaConfig
from stemsmith.train.models.architectures.cnn import CNN, CNNConfig
from stemsmith.train.models.architectures.resnet import ResNet, ResNetConfig
from stemsmith.train.models.architectures.umx import UMX, UMXConfig
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.recurrent import run_lstm
from torch import Tensor, nn

Model = SeparationModel[Any]

FOUR = ("bassoon", "clarinet", "saxophone", "violin")
BLSTM_SMALL = BLSTMConfig(
    targets=("bass",), n_fft=64, hop=32, segment_frames=16, n_layers=2, n_units=16, dropout=0.2
)
UMX_SMALL = UMXConfig(
    targets=("bass",), n_fft=64, hop=16, segment_frames=16, n_units=16, n_layers=2, dropout=0.2
)
CNN_SMALL = CNNConfig(
    targets=("bass", "drums", "piano"),
    n_fft=64,
    hop=8,
    segment_frames=12,
    n_filters=6,
    filter_bins=6,
    n_bottleneck=16,
    step_frames=10,
)
RESNET_SMALL = ResNetConfig(
    targets=("bass", "drums"), n_fft=64, hop=16, segment_frames=16, n_latent=16, n_blocks=2
)
SOURCES = ("bass", "drums", "other", "vocals")
CHANDNA_SMALL = ChandnaConfig(
    targets=SOURCES, n_fft=64, hop=32, segment_frames=12, n_filters=6, n_bottleneck=16
)
SMALL: dict[str, Callable[[], Model]] = {
    "blstm": lambda: BLSTM(BLSTM_SMALL),
    "umx": lambda: UMX(UMX_SMALL),
    "cnn": lambda: CNN(CNN_SMALL),
    "chandna": lambda: Chandna(CHANDNA_SMALL),
    "resnet": lambda: ResNet(RESNET_SMALL),
    "resnet-4": lambda: ResNet(replace(RESNET_SMALL, targets=FOUR, is_decoder_shared=False)),
}
FULL: dict[str, Callable[[], Model]] = {
    "blstm": lambda: BLSTM(BLSTMConfig(targets=("bass",))),
    "umx": lambda: UMX(UMXConfig(targets=("bass",))),
    "cnn": lambda: CNN(CNNConfig(targets=FOUR)),
    "chandna": lambda: Chandna(ChandnaConfig(targets=SOURCES)),
    "resnet": lambda: ResNet(ResNetConfig(targets=FOUR)),
    "resnet-separate": lambda: ResNet(ResNetConfig(targets=FOUR, is_decoder_shared=False)),
}
every_model = pytest.mark.parametrize("name", SMALL)


def small(name: str) -> Model:
    torch.manual_seed(0)
    return SMALL[name]()


def on_meta(name: str) -> Model:
    """Return a model of the paper's size without its weights: shapes only."""
    with torch.device("meta"):
        return FULL[name]()


def example(model: Model, n_batch: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return spectra of a mixture and of its targets: tones and noise, and what is no target."""
    config, rng = model.config, np.random.default_rng(seed)
    n_samples = config.segment_samples
    shape = (n_batch, len(config.targets) + 1, 1)
    frequency = rng.uniform(0.02, 0.4, shape)
    tones = np.sin(2 * np.pi * (frequency * np.arange(n_samples) + rng.random(shape)))
    audio = tones + 0.1 * rng.standard_normal((*shape[:2], n_samples))
    sources = model.stft(torch.from_numpy(audio).float())
    return sources.sum(dim=1), sources[:, :-1]


def n_trained(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


# ---------------------------------------------------------------------------------------------
# What every model does


@every_model
def test_estimates_have_the_shape_and_kind_the_model_says(name: str) -> None:
    model = small(name)
    mixture, reference = example(model)
    estimate = model(mixture)
    assert estimate.shape == reference.shape
    assert estimate.dtype == (torch.complex64 if model.is_complex else torch.float32)
    assert model.loss(estimate, reference, mixture).shape == ()


@pytest.mark.parametrize("name", FULL)
def test_models_of_the_papers_sizes_give_all_bins_and_frames_back(name: str) -> None:
    model = on_meta(name)
    config = model.config
    n_frames = config.segment_frames if model.is_fixed_length else 3  # slow to step through
    shape = (2, config.stft.n_bins, n_frames)
    estimate = model(torch.empty(shape, dtype=torch.complex64, device="meta"))
    assert estimate.shape == (2, len(config.targets), *shape[1:])


@pytest.mark.parametrize(
    ("name", "n_bins", "seconds"),
    [
        ("blstm", 257, 6.4),
        ("umx", 2049, 6.0),
        ("cnn", 2049, 0.4),
        ("chandna", 513, 0.36),
        ("resnet", 513, 0.83),
    ],
)
def test_segments_are_as_long_as_the_papers_say(name: str, n_bins: int, seconds: float) -> None:
    config = on_meta(name).config
    assert config.stft.n_bins == n_bins
    # 400 frames, 6.0 s, twice 30 frames ("300 ms" of hops and one window), "about 0.8 seconds"
    assert config.segment_samples / config.sample_rate == pytest.approx(seconds, abs=0.03)


@every_model
def test_gradients_reach_every_parameter(name: str) -> None:
    model = small(name)
    mixture, reference = example(model)
    model.loss(model(mixture), reference, mixture).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("blstm", 0.3),
        ("umx", 0.1),
        ("cnn", 0.3),
        ("chandna", 0.3),
        ("resnet", 0.4),
        ("resnet-4", 0.3),
    ],
)
def test_one_batch_is_learnt_by_heart(name: str, factor: float) -> None:
    model = small(name)
    mixture, reference = example(model)
    model.fit_statistics([mixture])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = model.loss(model(mixture), reference, mixture)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < factor * losses[0]


@every_model
def test_separation_is_deterministic_and_of_each_example_alone(name: str) -> None:
    model = small(name)
    mixture, _ = example(model)
    model(mixture)  # moves the running statistics
    model.eval()
    with torch.no_grad():
        estimate = model(mixture)
        torch.testing.assert_close(model(mixture), estimate, rtol=0, atol=0)
        torch.testing.assert_close(model(mixture[1:2]), estimate[1:2], rtol=1e-4, atol=1e-5)


@every_model
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("is_reference_silent", [True, False])  # sources may cancel each other
def test_silence_gives_finite_estimates_and_gradients(
    name: str, is_training: bool, is_reference_silent: bool
) -> None:
    model = small(name).train(is_training)
    mixture, reference = example(model)
    silence = torch.zeros_like(mixture)
    estimate = model(silence)
    assert torch.isfinite(torch.view_as_real(estimate) if model.is_complex else estimate).all()
    if not model.is_complex:
        assert not estimate.any()
    model.loss(estimate, reference * (not is_reference_silent), silence).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_model
def test_statistics_of_silence_leave_a_model_that_separates(name: str) -> None:
    model = small(name)
    mixture, _ = example(model)
    model.fit_statistics([torch.zeros_like(mixture)])
    assert model(mixture).abs().isfinite().all()


def test_an_lstm_is_left_in_float32_by_bfloat16_autocast() -> None:
    """The one of cuDNN would run in float16 instead."""
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 7, num_layers=2, bidirectional=True, batch_first=True)
    features = torch.randn(3, 11, 5)
    expected, _ = lstm(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm(features)[0].dtype == torch.bfloat16  # what is to be avoided
        found = run_lstm(lstm, features)
        from_bfloat16 = run_lstm(lstm, features.bfloat16())
    assert found.dtype == from_bfloat16.dtype == torch.float32
    assert torch.equal(found, expected)
    torch.testing.assert_close(from_bfloat16, expected, atol=0.02, rtol=0.1)
    assert torch.equal(run_lstm(lstm, features), expected)


@every_model
def test_bfloat16_autocast_trains_on_the_cpu(name: str) -> None:
    model = small(name)
    mixture, reference = example(model)
    with torch.autocast("cpu", torch.bfloat16):
        estimate = model(mixture)
        loss = model.loss(estimate, reference, mixture)
    assert estimate.dtype == (torch.complex64 if model.is_complex else torch.float32)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    exact = model.loss(model(mixture), reference, mixture).item()
    assert loss.item() == pytest.approx(exact, rel=0.3)  # dropout differs too


@every_model
def test_weights_survive_a_file_that_holds_nothing_but_tensors(name: str) -> None:
    model, file = small(name), io.BytesIO()
    mixture, _ = example(model)
    model.fit_statistics([mixture])
    model(mixture)
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = SMALL[name]()
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(mixture), model.eval()(mixture), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["blstm", "umx"])
@pytest.mark.parametrize("n_frames", [1, 7, 100])
def test_recurrent_models_take_any_number_of_frames(name: str, n_frames: int) -> None:
    model = small(name)
    assert not model.is_fixed_length
    mixture = torch.ones(2, 33, n_frames, dtype=torch.complex64)
    assert model(mixture).shape == (2, 1, 33, n_frames)


@pytest.mark.parametrize("name", ["cnn", "chandna", "resnet"])
def test_convolutional_models_say_that_their_length_is_fixed(name: str) -> None:
    assert small(name).is_fixed_length


@pytest.mark.parametrize("name", ["cnn", "chandna", "resnet"])
def test_models_whose_paper_normalises_nothing_have_no_statistics(name: str) -> None:
    model = small(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.fit_statistics([example(model)[0]])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# ---------------------------------------------------------------------------------------------
# Numbers of parameters


def n_lstm(n_input: int, n_units: int, n_layers: int) -> int:
    """Count a bidirectional LSTM: four gates, with PyTorch's two biases each."""
    first = 4 * n_units * (n_input + n_units + 2)
    others = (n_layers - 1) * 4 * n_units * (2 * n_units + n_units + 2)
    return 2 * (first + others)


def test_blstm_has_the_parameters_of_its_layers() -> None:
    dense = 1200 * 257 + 257
    assert on_meta("blstm").n_parameters == n_lstm(257, 600, 4) + dense == 30_380_657


def n_open_unmix(n_channels: int) -> int:
    """Count Open-Unmix: dense layers without bias, batch normalisation, trained statistics."""
    n_crop, n_bins, n_units = 1487, 2049, 512  # 16 kHz are bin 1486.08
    dense = n_channels * n_crop * n_units + 2 * n_units * n_units + n_units * n_channels * n_bins
    norms = 2 * (n_units + n_units + n_channels * n_bins)
    return dense + norms + n_lstm(n_units, n_units // 2, 3) + 2 * n_crop + 2 * n_bins


def test_umx_has_the_parameters_of_the_published_network() -> None:
    # Published are stereo networks, of 8.9 million parameters each and 35.6 for four targets.
    assert round(n_open_unmix(2) / 1e6, 1) == 8.9
    assert round(4 * n_open_unmix(2) / 1e6, 1) == 35.6
    assert on_meta("umx").n_parameters == n_open_unmix(1) == 7_078_818


def test_umx_of_two_channels_is_the_published_network() -> None:
    """Its parameters counted by hand, and the shapes of the published weights (umxhq, umxl)."""
    with torch.device("meta"):
        model = UMX(UMXConfig(targets=("bass",), n_channels=2))
    assert model.n_parameters == n_open_unmix(2) == 8_893_348
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["fc1.weight"] == (512, 2974)
    assert shapes["fc2.weight"] == (512, 1024)
    assert shapes["fc3.weight"] == (4098, 512)
    assert shapes["bn3.weight"] == (4098,)
    assert shapes["input_mean"] == shapes["input_scale"] == (1487,)
    assert shapes["output_mean"] == shapes["output_scale"] == (2049,)
    mixture = torch.empty((3, 2, 2049, 5), dtype=torch.complex64, device="meta")
    assert model(mixture).shape == (3, 1, 2, 2049, 5)


def test_umx_of_two_channels_is_a_mono_one_where_it_hears_one_channel() -> None:
    """First layer: left alone; last layer: the mono network's for both. The oracle is mono."""
    mono = small("umx").eval()
    assert isinstance(mono, UMX)
    torch.manual_seed(5)
    stereo = UMX(replace(UMX_SMALL, n_channels=2)).eval()
    weights = mono.state_dict()
    for name in ("fc3.weight", *(f"bn3.{part}" for part in ("weight", "bias", "running_mean"))):
        weights[name] = weights[name].repeat(2, *[1] * (weights[name].ndim - 1))
    weights["bn3.running_var"] = weights["bn3.running_var"].repeat(2)
    n_input = mono.config.n_input_bins
    weights["fc1.weight"] = torch.cat([weights["fc1.weight"], torch.zeros(16, n_input)], dim=1)
    stereo.load_state_dict(weights)
    left, right = example(mono, seed=1)[0], example(mono, seed=2)[0]
    of_left = mono(left)[:, 0]
    estimate = stereo(torch.stack([left, right], dim=1))[:, 0]
    torch.testing.assert_close(estimate[:, 0], of_left)
    torch.testing.assert_close(estimate[:, 1], of_left / left.abs() * right.abs())
    # Where the first layer hears both, each channel's mask depends on both.
    torch.nn.init.normal_(stereo.fc1.weight)
    other = stereo(torch.stack([left, 2 * right], dim=1))[:, 0]
    both = stereo(torch.stack([left, right], dim=1))[:, 0]
    assert not torch.allclose(other[:, 0], both[:, 0])


def test_umx_of_two_channels_is_normalised_by_the_mean_magnitude_as_published() -> None:
    model = UMX(replace(UMX_SMALL, n_channels=2))
    mixtures = [torch.stack([example(model, seed=k)[0], example(model, seed=9 + k)[0]], dim=1)
                for k in range(3)]  # fmt: skip
    model.fit_statistics(mixtures)
    frames = torch.cat([m.abs().mean(dim=1).transpose(1, 2).flatten(0, 1) for m in mixtures])
    cropped = frames.double()[:, : model.config.n_input_bins]
    torch.testing.assert_close(-model.input_mean.double(), cropped.mean(dim=0), rtol=1e-5, atol=0)
    deviation = cropped.std(dim=0, correction=0)
    torch.testing.assert_close(1 / model.input_scale.double(), deviation, rtol=1e-4, atol=0)


def test_models_have_one_channel_or_two() -> None:
    for n_channels in (0, 3):
        with pytest.raises(UsageError, match=f"n_channels={n_channels}: models take 1 or 2"):
            replace(BLSTM_SMALL, n_channels=n_channels)


def test_cnn_has_171_million_parameters_nearly_all_of_them_dense() -> None:
    model = on_meta("cnn")
    assert isinstance(model, CNN)
    p2, f1, t2 = 30, (2049 - 30) // 5 + 1, 30 - 20 + 1
    assert model.config.feature_shape == (p2, f1, t2) == (30, 404, 11)
    n_features = p2 * f1 * t2
    convolutions = (30 * 30 + 30) + (30 * 30 * 20 + 30)
    assert n_trained(model.vertical) + n_trained(model.horizontal) == convolutions == 18_960
    assert n_trained(model.bottleneck) == n_features * 256 + 256 == 34_130_176
    assert n_trained(model.expansion) == 4 * (256 * n_features + n_features) == 137_052_960
    assert model.n_parameters == 171_202_096


def test_chandna_has_the_parameters_of_its_layers() -> None:
    model = on_meta("chandna")
    assert isinstance(model, Chandna)
    convolutions = (50 * 513 + 50) + (50 * 50 * 15 + 50)
    assert n_trained(model.vertical) + n_trained(model.horizontal) == convolutions == 63_250
    n_features = 50 * (30 - 15 + 1)
    assert model.config.n_features == n_features == 800
    assert n_trained(model.bottleneck) == n_features * 128 + 128 == 102_528
    assert n_trained(model.expansion) == 4 * (128 * n_features + n_features) == 412_800
    assert model.n_parameters == 63_250 + 102_528 + 412_800 + 4 == 578_582


def test_umx_takes_the_ten_seconds_of_chiu() -> None:
    """Section IV-A: songs are divided into 10-second chunks."""
    config = UMXConfig(targets=("violin",), segment_frames=427)
    assert config.segment_samples == 426 * 1024 + 4096
    assert config.segment_samples / config.sample_rate == pytest.approx(10, abs=0.02)
    assert UMX(config).n_parameters == 7_078_818


def test_resnet_has_the_parameters_of_table_1() -> None:
    model = on_meta("resnet")
    assert isinstance(model, ResNet)
    assert n_trained(model.encoder) == 1_486_208
    assert n_trained(model.separator) == 7_084_032
    assert n_trained(model.decoders) == 605_608
    assert model.n_parameters == 1_486_208 + 7_084_032 + 605_608
    separate = on_meta("resnet-separate")
    assert separate.n_parameters == 1_486_208 + 7_084_032 + 4 * 605_608


# ---------------------------------------------------------------------------------------------
# Masks


@pytest.mark.parametrize("name", ["blstm", "cnn", "chandna"])
def test_masks_lie_between_0_and_1(name: str) -> None:
    model = small(name)
    mixture, _ = example(model)
    estimate = model(mixture)
    assert (estimate >= 0).all()
    assert (estimate <= mixture.abs()[:, None] * (1 + 1e-6)).all()


def test_masks_of_umx_are_not_negative() -> None:
    model = small("umx")
    assert (model(example(model)[0]) >= 0).all()


def test_umx_hears_16_khz_and_masks_the_full_band() -> None:
    model = small("umx").eval()
    assert isinstance(model, UMX)
    n_input = model.config.n_input_bins
    assert n_input == 24 == sum(k * 44100 / 64 <= 16000 for k in range(33))
    mixture, _ = example(model)
    louder = mixture.clone()
    louder[:, n_input:] *= 3
    estimate, other = model(mixture)[:, 0], model(louder)[:, 0]
    torch.testing.assert_close(other[:, :n_input], estimate[:, :n_input])
    torch.testing.assert_close(other[:, n_input:], 3 * estimate[:, n_input:])
    assert estimate[:, n_input:].any()


@pytest.mark.parametrize("name", ["cnn", "chandna"])
def test_estimates_of_ratio_masks_sum_to_the_mixture(name: str) -> None:
    model = small(name)
    mixture, _ = example(model)
    torch.testing.assert_close(model(mixture).sum(dim=1), mixture.abs())


def slow_cnn(model: CNN, magnitude: Float64s) -> Float64s:
    """Return the estimates for (n_bins, n_frames) magnitudes by the sums of Miron, section 3.1."""
    weight = {name: p.detach().numpy() for name, p in model.named_parameters()}
    vertical, horizontal = (
        weight["vertical.weight"][:, 0, :, 0],
        weight["horizontal.weight"][:, :, 0],
    )
    stride, (_, n_rows, n_columns) = model.config.stride_bins, model.config.feature_shape
    n_high, n_wide = vertical.shape[1], horizontal.shape[2]
    x = magnitude / np.sqrt(model.config.n_fft)
    rows = [vertical @ x[stride * f : stride * f + n_high] for f in range(n_rows)]
    first = np.stack(rows, 1) + weight["vertical.bias"][:, None, None]
    columns = [
        np.einsum("qpl,pfl->qf", horizontal, first[:, :, t : t + n_wide]) for t in range(n_columns)
    ]
    second = np.stack(columns, 2) + weight["horizontal.bias"][:, None, None]
    hidden = weight["bottleneck.weight"] @ second.ravel() + weight["bottleneck.bias"]
    expanded = weight["expansion.weight"] @ np.maximum(hidden, 0) + weight["expansion.bias"]
    size = np.zeros((len(model.config.targets), *x.shape))
    for j, features in enumerate(np.maximum(expanded, 0).reshape(-1, *second.shape)):
        wide = np.zeros_like(first)
        for t in range(n_columns):
            wide[:, :, t : t + n_wide] += np.einsum("qpl,qf->pfl", horizontal, features[:, :, t])
        for f in range(n_rows):
            size[j, stride * f : stride * f + n_high] += vertical.T @ wide[:, f]
    total = np.abs(size).sum(axis=0)
    shares = np.divide(np.abs(size), total, out=np.full_like(size, 1 / len(size)), where=total > 0)
    return shares * magnitude  # equation 1


def test_cnn_is_the_sums_of_its_paper() -> None:
    model = small("cnn").double()
    assert isinstance(model, CNN)
    mixture = example(model)[0].to(torch.complex128)
    expected = np.stack([slow_cnn(model, m) for m in mixture.abs().numpy()])
    # Filters of 6 bins every 5 of 33 do not reach the last two.
    np.testing.assert_allclose(expected[:, 0, 31:], mixture.abs().numpy()[:, 31:] / 3)
    np.testing.assert_allclose(model(mixture).detach().numpy(), expected, atol=1e-9)


def test_cnn_shares_equally_where_it_estimates_nothing() -> None:
    model = small("cnn")
    assert isinstance(model, CNN)
    nn.init.zeros_(model.expansion.weight)
    nn.init.zeros_(model.expansion.bias)
    mixture, reference = example(model)
    estimate = model(mixture)
    torch.testing.assert_close(estimate, mixture.abs()[:, None].expand_as(estimate) / 3)
    model.loss(estimate, reference, mixture).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def slow_chandna(model: Chandna, magnitude: Float64s) -> Float64s:
    """Return the estimates for (n_bins, n_frames) magnitudes by loops over frames and targets."""
    weight = {name: p.detach().numpy() for name, p in model.named_parameters()}
    vertical, horizontal = weight["vertical.weight"][:, 0, :, 0], weight["horizontal.weight"]
    x = 0.3 * magnitude / np.sqrt(model.config.n_fft)
    n_frames, n_wide = x.shape[1], horizontal.shape[3]
    first = vertical @ x + weight["vertical.bias"][:, None]
    second = np.zeros((len(vertical), n_frames - n_wide + 1))
    for t in range(second.shape[1]):
        for k in range(n_wide):
            second[:, t] += horizontal[:, :, 0, k] @ first[:, t + k]
    second += weight["horizontal.bias"][:, None]
    hidden = np.maximum(weight["bottleneck.weight"] @ second.ravel() + weight["bottleneck.bias"], 0)
    size = np.zeros((len(model.config.targets), *x.shape))
    dense = zip(
        np.split(weight["expansion.weight"], len(size)),
        np.split(weight["expansion.bias"], len(size)),
        strict=True,
    )
    for j, (matrix, bias) in enumerate(dense):
        features = np.maximum(matrix @ hidden + bias, 0).reshape(second.shape)
        wide = np.zeros_like(first)
        for t in range(features.shape[1]):
            for k in range(n_wide):
                wide[:, t + k] += horizontal[:, :, 0, k].T @ features[:, t]
        size[j] = np.maximum(vertical.T @ wide + weight["bias"][j], 0) + 1e-8
    return size / size.sum(axis=0) * magnitude


def test_chandna_is_the_sums_of_its_code() -> None:
    model = small("chandna").double()
    assert isinstance(model, Chandna)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(value, std=0.1)
    mixture = example(model)[0].to(torch.complex128)
    expected = np.stack([slow_chandna(model, m) for m in mixture.abs().numpy()])
    np.testing.assert_allclose(model(mixture).detach().numpy(), expected, atol=1e-9)
    assert np.ptp(expected / mixture.abs().numpy()[:, None]) > 0.1


def test_chandna_begins_as_its_code_does() -> None:
    """Weights of Glorot's range, each decoder's dense layer by itself, and biases of 0."""
    model = Chandna(ChandnaConfig(targets=SOURCES))
    weight = dict(model.named_parameters())
    assert not any(value.any() for name, value in weight.items() if name.endswith("bias"))
    sizes = {"vertical": (513, 50 * 513), "horizontal": (50 * 15, 50 * 15),
             "bottleneck": (800, 128), "expansion": (128, 800)}  # fmt: skip
    for name, (n_in, n_out) in sizes.items():
        largest = weight[f"{name}.weight"].detach().abs().max().item()
        assert largest == pytest.approx((6 / (n_in + n_out)) ** 0.5, rel=2e-3), name


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"step_frames": 13}, "a step of 13 frames leaves gaps between segments of 12"),
        ({"segment_frames": 1, "step_frames": 1}, "at least 2 frames"),
        ({"targets": ("bass",)}, "name at least two"),
    ],
)
def test_a_chandna_that_cannot_be(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        replace(CHANDNA_SMALL, **settings)


# ---------------------------------------------------------------------------------------------
# Inside


def test_the_inverse_of_cnn_is_the_adjoint_of_its_convolutions() -> None:
    model = small("cnn").double()
    assert isinstance(model, CNN)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 33, 12, generator=generator, dtype=torch.float64)
    y = torch.randn(4, *model.config.feature_shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        linear = model.encode(x) - model.encode(torch.zeros_like(x))  # less the biases
        back = model.decode(y)
    assert back.shape == x.shape
    assert float((linear * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-12)


def test_the_inverse_of_cnn_has_no_parameters_of_its_own() -> None:
    model = small("cnn")
    assert isinstance(model, CNN)
    n_filters, n_bins, n_frames = model.config.feature_shape
    features = torch.ones(1, n_filters, n_bins, n_frames)
    before = model.decode(features)
    with torch.no_grad():
        model.vertical.weight *= 2
        model.horizontal.weight *= 3
    torch.testing.assert_close(model.decode(features), 6 * before)


def test_the_loss_of_cnn_is_a_distance_per_example() -> None:
    model = small("cnn")
    mixture, reference = example(model)
    estimate = model(mixture).detach()
    expected = np.sum((estimate.numpy() - np.abs(reference.numpy())) ** 2) / 64 / 3
    assert model.loss(estimate, reference, mixture).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_chandna_is_that_of_its_code() -> None:
    """Vocals, bass, drums, other by name, whatever their order; example by example, by loops."""
    model = small("chandna")
    mixture, reference = example(model)
    estimate = model(mixture).detach()
    scaled = [0.3 * x.abs().double().numpy() / np.sqrt(64) for x in (estimate, reference)]
    made, true = (dict(zip(SOURCES, x.swapaxes(0, 1), strict=True)) for x in scaled)
    three = ("vocals", "bass", "drums")
    total = 0.0
    for one in three:
        total += np.sum((made[one] - true[one]) ** 2)
        for other in set(three) - {one}:
            total -= 0.001 * np.sum((made[one] - true[other]) ** 2)
    for one, weight in (("vocals", 0.03), ("bass", 0.01), ("drums", 0.01)):
        total -= weight * np.sum((made[one] - true["other"]) ** 2)
    assert model.loss(estimate, reference, mixture).item() == pytest.approx(total / 3, rel=1e-5)
    with pytest.raises(UsageError, match="'dissimilarity' is of vocals, bass, drums, other, and"):
        Chandna(replace(CHANDNA_SMALL, targets=FOUR))
    assert Chandna(replace(CHANDNA_SMALL, targets=FOUR, loss="magnitude")).config.targets == FOUR


def test_latents_of_resnet_are_127_frequencies_wide() -> None:
    model = on_meta("resnet")
    assert isinstance(model, ResNet)
    latent = model.encoder(torch.empty(1, 2, 513, 140, device="meta"))
    assert model.separator(latent).shape == latent.shape == (1, 256, 127, 35)


def test_blocks_of_resnet_add_to_what_they_are_fed() -> None:
    model = small("resnet")
    assert isinstance(model, ResNet)
    for module in model.separator.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.BatchNorm2d):
            nn.init.zeros_(module[-1].weight)
    latent = torch.randn(2, 16, 7, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.separator(latent), latent)  # and no ReLU follows


@pytest.mark.parametrize("is_decoder_shared", [True, False])
def test_each_target_of_resnet_has_its_own_latents(is_decoder_shared: bool) -> None:
    model = ResNet(replace(RESNET_SMALL, is_decoder_shared=is_decoder_shared)).eval()
    latents: list[Tensor] = []
    model.separator.register_forward_hook(lambda *args: latents.append(args[2]))
    estimate = model(example(model)[0])
    for j in range(2):
        power = torch.view_as_real(estimate[:, j]).square().sum()
        (gradient,) = torch.autograd.grad(power, latents[0], retain_graph=True)
        own = torch.zeros(16, dtype=torch.bool)
        own[8 * j : 8 * (j + 1)] = True
        assert gradient[:, own].any()
        assert not gradient[:, ~own].any()


def test_a_shared_decoder_of_resnet_does_the_same_to_every_target() -> None:
    model = ResNet(RESNET_SMALL).eval()
    latents = torch.randn(3, 8, 7, 4, generator=torch.Generator().manual_seed(0))
    model.separator = nn.Identity()
    model.encoder = nn.Module()
    model.encoder.forward = lambda _: latents.repeat(1, 2, 1, 1)  # type: ignore[method-assign]
    with torch.no_grad():
        estimate = model(example(model)[0])
    torch.testing.assert_close(estimate[:, 0], estimate[:, 1])
    assert len(model.decoders) == 1


def test_resnet_starts_with_the_weights_of_its_authors() -> None:
    weights = [p.detach() for p in small("resnet").parameters() if p.ndim == 4]
    assert len(weights) == 3 + 2 * 2 + 4
    assert all(float(w.abs().max()) <= 0.04 for w in weights)
    assert all(float(w.std()) == pytest.approx(0.0176, rel=0.2) for w in weights[:-1])


# ---------------------------------------------------------------------------------------------
# Statistics of the input


def batches(n: int = 4) -> list[Tensor]:
    """Return spectra whose bins differ in level, in batches of unequal sizes."""
    rng = np.random.default_rng(0)
    level = np.geomspace(1e-2, 10, 33)[:, None]
    parts = [rng.standard_normal((2, 1 + k, 33, 5 + k)) * level for k in range(n)]
    return [torch.from_numpy(real + 1j * imag) for real, imag in parts]


def frames_of(mixtures: list[Tensor]) -> Float64s:
    return np.concatenate([m.abs().movedim(1, 2).flatten(0, 1).numpy() for m in mixtures])


def test_blstm_sees_zero_mean_and_unit_variance() -> None:
    model = small("blstm")
    assert isinstance(model, BLSTM)
    model.fit_statistics(batches())
    inputs: list[Tensor] = []
    model.lstm.register_forward_pre_hook(lambda _, args: inputs.append(args[0].flatten(0, 1)))
    for mixture in batches():
        model(mixture.to(torch.complex64))
    seen = torch.cat(inputs).numpy()
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-5)


def test_umx_sees_zero_mean_and_unit_variance_below_16_khz() -> None:
    model = small("umx")
    assert isinstance(model, UMX)
    model.fit_statistics(batches())
    inputs: list[Tensor] = []
    model.fc1.register_forward_pre_hook(lambda _, args: inputs.append(args[0].flatten(0, 1)))
    for mixture in batches():
        model(mixture.to(torch.complex64))
    seen = torch.cat(inputs).detach().numpy()
    assert seen.shape == (len(frames_of(batches())), 24)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-5)
    assert model.input_mean.requires_grad  # trained on, as published
    assert model.input_scale.requires_grad


def test_umx_does_not_blow_up_nearly_silent_bins() -> None:
    model = small("umx")
    assert isinstance(model, UMX)
    mixtures = batches()
    for mixture in mixtures:
        mixture[:, :3] *= 1e-6
        mixture[:, 30] *= 100  # the largest deviation lies above 16 kHz
    model.fit_statistics(mixtures)
    largest = frames_of(mixtures).std(axis=0).max()
    np.testing.assert_allclose(model.input_scale.detach()[:3], 1 / (1e-4 * largest), rtol=1e-5)


# ---------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (BLSTM_SMALL, {"targets": ()}, "must be named"),
        (CNN_SMALL, {"targets": ("bass", "bass")}, "each once"),
        (BLSTM_SMALL, {"targets": ("bass", "drums")}, "one target, not bass, drums"),
        (UMX_SMALL, {"targets": ("bass", "drums")}, "one target, not bass, drums"),
        (UMX_SMALL, {"n_units": 15}, "even number of units, not 15"),
        (CNN_SMALL, {"targets": ("bass",)}, "at least two"),
        (CNN_SMALL, {"n_fft": 8, "hop": 4}, "at least 6 bins and 2 frames, not 5 and 12"),
        (CNN_SMALL, {"segment_frames": 1, "step_frames": 1}, "2 frames, not 33 and 1"),
        (CNN_SMALL, {"step_frames": 13}, "gaps between segments of 12"),
        (CNN_SMALL, {"step_frames": 0}, "step of 0 frames"),
        (RESNET_SMALL, {"targets": FOUR[:3]}, "16 latent channels .* by 3 targets"),
        (RESNET_SMALL, {"n_latent": 6}, "divide by 4"),
        (RESNET_SMALL, {"n_fft": 36, "hop": 9}, "not 36"),
        (RESNET_SMALL, {"n_fft": 24, "hop": 6}, "not 24"),
        (RESNET_SMALL, {"segment_frames": 18}, "not 18"),
        (RESNET_SMALL, {"segment_frames": 4}, "not 4"),
    ],
)
def test_shapes_that_cannot_be_are_refused(
    config: ModelConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize("n_fft", [32, 40, 48])
def test_the_smallest_resnet_gives_all_bins_back(n_fft: int) -> None:
    model = ResNet(replace(RESNET_SMALL, n_fft=n_fft, hop=n_fft // 4, segment_frames=8))
    mixture, reference = example(model)
    assert model(mixture).shape == reference.shape


@pytest.mark.parametrize("n_fft", [10, 20, 22, 24, 26, 28, 30])
@pytest.mark.parametrize("segment_frames", [2, 3, 4, 30])
def test_cnn_of_any_size_gives_all_bins_back(n_fft: int, segment_frames: int) -> None:
    sizes = {"n_fft": n_fft, "hop": 2, "segment_frames": segment_frames, "step_frames": 1}
    model = CNN(replace(CNN_SMALL, **sizes))
    mixture, reference = example(model)
    assert model(mixture).shape == reference.shape
