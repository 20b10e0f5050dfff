"""Separation: known masks, slow loops beside fast code, pieces beside wholes, sums, alignment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, correlate, sosfiltfilt
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import InvalidCorpus, UsageError

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.evaluate.separation import estimation
from stemsmith.evaluate.separation.options import RESIDUAL, SeparationConfig, Threshold
from stemsmith.evaluate.separation.phase import GriffinLim, griffin_lim, inconsistency
from stemsmith.evaluate.separation.postprocess import EnergyGate, shares
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.evaluate.separation.streaming import Analysis, Resampler, Synthesis
from stemsmith.train.models.architectures.blstm import BLSTM, BLSTMConfig
from stemsmith.train.models.architectures.chandna import Chandna, ChandnaConfig
from stemsmith.train.models.architectures.cnn import CNN, CNNConfig
from stemsmith.train.models.architectures.resnet import ResNet, ResNetConfig
from stemsmith.train.models.architectures.umx import UMX, UMXConfig
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.stft import Stft, StftConfig, Window
from torch import Tensor

RATE = 8000
SIZES: dict[str, Any] = {"sample_rate": RATE, "n_fft": 128, "hop": 32}


class Fake(SeparationModel[ModelConfig]):
    """Multiplies every bin by a number: (n_targets, n_bins, 1)."""

    def __init__(self, config: ModelConfig, masks: Tensor) -> None:
        super().__init__(config)
        self.masks = masks

    def forward(self, mixture: Tensor) -> Tensor:
        return self.masks * (mixture if self.is_complex else mixture.abs())[:, None]

    def loss(self, estimate: Tensor, reference: Tensor, mixture: Tensor) -> Tensor:
        raise NotImplementedError


class FixedFake(Fake):
    is_fixed_length = True


class ComplexFake(FixedFake):
    is_complex = True


FAKES = pytest.mark.parametrize("kind", [Fake, FixedFake, ComplexFake])


def fake(
    kind: type[Fake] = Fake, masks: Sequence[Any] = (1.0,), rate: int = RATE, names: str = "abcdef"
) -> Fake:
    config = ModelConfig(
        targets=tuple(names[: len(masks)]),
        sample_rate=rate,
        n_fft=128,
        hop=32,
        window=Window.HANN,
        segment_frames=12,
    )
    columns = torch.stack([torch.as_tensor(m).expand(config.stft.n_bins) for m in masks])
    return kind(config, columns[..., None])


def system(*models: SeparationModel[Any], **options: Any) -> Separator:
    named = {f"run{i}": model for i, model in enumerate(models)}
    return Separator(named, SeparationConfig(**options), "cpu")


def noise(n_samples: int, n_channels: int = 2, seed: int = 0) -> Float32s:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((n_channels, n_samples))).astype(np.float32)


def small_cnn(**settings: Any) -> CNN:
    torch.manual_seed(1)
    return CNN(
        CNNConfig(
            **{"targets": ("x", "y"), "segment_frames": 12, "step_frames": 10, **SIZES, **settings},
            n_filters=6,
            n_bottleneck=16,
        )
    ).eval()


def small_chandna() -> Chandna:
    torch.manual_seed(5)
    config = ChandnaConfig(
        targets=("x", "y"), segment_frames=12, n_filters=6, n_bottleneck=16, loss="magnitude",
        **SIZES,
    )  # fmt: skip
    model = Chandna(config).eval()
    torch.nn.init.constant_(model.bias, 0.01)  # no ratio of two numbers that are nearly 0
    return model


def small_resnet() -> ResNet:
    torch.manual_seed(2)
    config = ResNetConfig(targets=("u", "v"), segment_frames=16, n_latent=8, n_blocks=1, **SIZES)
    return ResNet(config).eval()


def small_blstm(target: str = "bass") -> BLSTM:
    torch.manual_seed(3)
    config = BLSTMConfig(
        targets=(target,), n_layers=2, n_units=16, segment_frames=16, **SIZES, window=Window.HANN
    )
    return BLSTM(config).eval()


def small_umx(target: str = "piano") -> UMX:
    torch.manual_seed(4)
    config = UMXConfig(targets=(target,), n_units=16, n_layers=2, bandwidth_hz=3000, **SIZES)
    return UMX(config).eval()


NETWORKS: dict[str, Callable[[], SeparationModel[Any]]] = {
    "cnn": small_cnn,
    "chandna": small_chandna,
    "resnet": small_resnet,
    "blstm": small_blstm,
    "umx": small_umx,
}


# ---------------------------------------------------------------------------------------------
# Masks that are known


@FAKES
@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("n_samples", [1, 5, 32, 63, 64, 128, 1000, 12345])
def test_a_mask_of_ones_gives_back_the_audio(
    kind: type[Fake], n_channels: int, n_samples: int
) -> None:
    audio = noise(n_samples, n_channels)
    separated = system(fake(kind, (1.0, 0.0))).separate(audio, RATE)
    assert list(separated) == ["a", "b"]
    assert separated["a"].shape == audio.shape and separated["a"].dtype == np.float32
    np.testing.assert_allclose(separated["a"], audio, atol=1e-6)
    assert not separated["b"].any()


@FAKES
def test_every_bin_has_its_own_mask(kind: type[Fake]) -> None:
    mask = torch.linspace(0, 1.5, 65)
    model, audio = fake(kind, (mask,)), noise(5000)
    expected = model.stft.inverse(
        mask[:, None] * model.stft.whole(torch.from_numpy(audio)), audio.shape[1]
    )
    separated = system(model).separate(audio, RATE)["a"]
    np.testing.assert_allclose(separated, expected.numpy(), atol=1e-6)


def test_a_network_of_magnitudes_sees_the_mean_of_the_channels() -> None:
    model, audio = small_blstm(), noise(3000)
    with torch.no_grad():
        spectra = model.stft.whole(torch.from_numpy(audio))
        downmix = spectra.mean(dim=0)
        mask = model(downmix[None])[0, 0] / downmix.abs()
        expected = model.stft.inverse(mask * spectra, audio.shape[1]).numpy()
    np.testing.assert_allclose(system(model).separate(audio, RATE)["bass"], expected, atol=1e-6)


def test_a_complex_network_estimates_each_channel_by_itself() -> None:
    audio = noise(4000)
    both = system(small_resnet()).separate(audio, RATE)
    for channel in (0, 1):
        alone = system(small_resnet()).separate(audio[channel : channel + 1], RATE)
        for target, values in alone.items():
            np.testing.assert_allclose(both[target][channel], values[0], atol=1e-6)


def test_a_network_of_stereo_estimates_each_channel_by_itself() -> None:
    audio = noise(4000)
    for mono in (small_blstm(), small_cnn(), small_resnet()):
        model = type(mono)(dataclasses.replace(mono.config, n_channels=2)).eval()
        model.load_state_dict(mono.state_dict())
        both = system(model).separate(audio, RATE)
        for channel in (0, 1):
            alone = system(mono).separate(audio[channel : channel + 1], RATE)
            for target, values in alone.items():
                np.testing.assert_allclose(both[target][channel], values[0], atol=1e-6)


def umx_of_both() -> UMX:
    torch.manual_seed(4)
    config = UMXConfig(
        targets=("bass",), n_layers=1, n_units=16, n_channels=2, segment_frames=16, **SIZES
    )
    return UMX(config).eval()


def test_a_network_of_both_channels_hears_both_together() -> None:
    model, audio = umx_of_both(), noise(3000)
    with torch.no_grad():
        spectra = model.stft.whole(torch.from_numpy(audio))
        mask = model(spectra[None])[0, 0] / spectra.abs()
        expected = model.stft.inverse(mask * spectra, audio.shape[1]).numpy()
    np.testing.assert_allclose(system(model).separate(audio, RATE)["bass"], expected, atol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_network_of_both_channels_hears_the_mean_twice_where_there_are_not_two(
    n_channels: int,
) -> None:
    model, audio = umx_of_both(), noise(3000, n_channels)
    with torch.no_grad():
        spectra = model.stft.whole(torch.from_numpy(audio))
        mean = spectra.mean(dim=0).expand(2, -1, -1)
        mask = (model(mean[None])[0, 0] / mean.abs()).mean(dim=0)
        expected = model.stft.inverse(mask * spectra, audio.shape[1]).numpy()
    np.testing.assert_allclose(system(model).separate(audio, RATE)["bass"], expected, atol=1e-6)


def test_networks_of_one_channel_and_of_two_are_one_system() -> None:
    models = umx_of_both(), small_blstm("drums"), small_cnn()
    audio = noise(4000)
    together = system(*models, is_with_residual=True).separate(audio, RATE)
    for model in models:
        for target, values in system(model).separate(audio, RATE).items():
            np.testing.assert_allclose(together[target], values, atol=1e-6)
    names = [name for name in together if name != RESIDUAL]
    total = np.sum([together[name] for name in names], axis=0)
    np.testing.assert_allclose(together[RESIDUAL] + total, audio, atol=1e-5)


def test_where_channels_cancel_there_is_no_estimate() -> None:
    left = noise(4000, 1)
    separated = system(small_blstm(), is_with_residual=True)
    estimates = separated.separate(np.concatenate([left, -left]), RATE)
    assert not estimates["bass"].any()
    np.testing.assert_array_equal(estimates[RESIDUAL], np.concatenate([left, -left]))


@pytest.mark.parametrize("name", NETWORKS)
def test_silence_stays_silent(name: str) -> None:
    model = NETWORKS[name]()
    estimates = system(model).separate(np.zeros((2, 3000), np.float32), RATE)
    for values in estimates.values():
        assert np.isfinite(values).all()
        assert model.is_complex or not values.any()


# ---------------------------------------------------------------------------------------------
# Segments


@pytest.mark.parametrize("name", ["cnn", "chandna", "resnet"])
@pytest.mark.parametrize("overlap", [None, 0.0, 0.3, 0.75])
@pytest.mark.parametrize("n_frames", [1, 11, 12, 13, 22, 70, 131])
def test_overlapping_segments_are_averaged(name: str, overlap: float | None, n_frames: int) -> None:
    """A slow loop over segments and frames, filled up with silence."""
    model = NETWORKS[name]()
    length = model.config.segment_frames
    default = {"cnn": 10, "chandna": 5, "resnet": 16}[name]
    step = default if overlap is None else length - int(overlap * length)
    rng = np.random.default_rng(n_frames)
    shape = 1, 65, n_frames
    spectra = torch.tensor(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    spectra = spectra.to(torch.complex64)
    sums = np.zeros((2, 65, n_frames), np.complex64)
    counts = np.zeros(n_frames)
    with torch.no_grad():
        start = 0
        while True:
            segment = torch.zeros(1, 65, length, dtype=torch.complex64)
            n = min(length, n_frames - start)
            segment[..., :n] = spectra[..., start : start + n]
            sums[..., start : start + n] += model(segment)[0, ..., :n].numpy()
            counts[start : start + n] += 1
            if start + length >= n_frames:
                break
            start += step
        made = estimation.Segments(model, overlap).finish(spectra)[:, 0]
    if not model.is_complex:
        made = made * spectra.abs()
    assert counts.min() >= 1
    np.testing.assert_allclose(made.numpy(), sums / counts, atol=2e-5)


@pytest.mark.parametrize(("overlap", "step"), [(29 / 30, 1), (1 / 6, 25), (0.95, 2), (0.0, 30)])
def test_steps_of_overlaps(overlap: float, step: int) -> None:
    model = small_cnn(segment_frames=30, step_frames=30)
    assert estimation.step_of(model, overlap) == step


def test_context_makes_chunks_of_recurrent_networks_inaudible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimation, "CHUNK_FRAMES", 64)
    monkeypatch.setattr(estimation, "CONTEXT_FRAMES", 32)
    for model in (small_blstm(), small_umx()):
        for n_frames in (1, 63, 128, 129, 192, 400, 1001):
            rng = np.random.default_rng(n_frames)
            spectra = torch.tensor(rng.standard_normal((1, 65, n_frames, 2)))
            spectra = torch.view_as_complex(spectra.float())
            with torch.no_grad():
                whole = model(spectra)[0]
                made = estimation.Segments(model).finish(spectra)[:, 0] * spectra.abs()
            np.testing.assert_allclose(made.numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_pieces_do_not_change_the_result(name: str, rate: int) -> None:
    audio, rng = noise(30_000), np.random.default_rng(5)
    separator = system(NETWORKS[name](), is_with_residual=True)
    whole = separator.separate(audio, rate)
    stream, pieces, start = separator.stream(rate), [], 0
    while start < audio.shape[1]:
        end = start + int(rng.integers(0, 3000))
        pieces.append(stream.push(audio[:, start:end]))
        start = end
    pieces.append(stream.finish(audio[:, :0]))
    for target, values in whole.items():
        joined = np.concatenate([piece[target] for piece in pieces], axis=1)
        np.testing.assert_allclose(joined, values, atol=1e-6)


@pytest.mark.parametrize("window", list(Window))
@pytest.mark.parametrize(("n_fft", "hop"), [(128, 32), (128, 64), (100, 7)])
def test_the_transform_by_pieces_is_the_transform(window: Window, n_fft: int, hop: int) -> None:
    stft = Stft(StftConfig(n_fft, hop, window))
    audio = torch.from_numpy(noise(2003))
    analysis = Analysis(stft)
    synthesis = Synthesis(analysis)
    frames = [analysis.push(block) for block in audio.split(333, dim=-1)]
    frames.append(analysis.finish(audio[:, :0]))
    spectra = torch.cat(frames, dim=-1)
    torch.testing.assert_close(spectra, stft.whole(audio), atol=1e-5, rtol=0)
    changed = spectra * torch.linspace(0.1, 1, spectra.shape[-1])
    both = torch.stack([spectra, changed])
    back = [synthesis.push(block) for block in both.split(5, dim=-1)]
    back.append(synthesis.finish(both[..., :0]))
    expected = stft.inverse(changed, audio.shape[1])
    torch.testing.assert_close(torch.cat(back, dim=-1)[0], expected, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------------------------------------
# Sample rates


@pytest.mark.parametrize("rate", [44100, 48000, 22050, 16001])
def test_resampling_is_aligned_and_keeps_the_length(rate: int) -> None:
    """Noise within the model's band goes through unchanged but for its first and last 50 ms."""
    white = np.random.default_rng(0).standard_normal((2, 2 * rate + 17))
    sos = butter(8, 3500, fs=rate, output="sos")
    audio = np.asarray(0.1 * sosfiltfilt(sos, white), np.float32)
    made = system(fake(rate=16000)).separate(audio, rate)["a"]
    assert made.shape == audio.shape
    inside = slice(rate // 20, -rate // 20)
    assert np.abs(made - audio)[:, inside].max() < 1e-4
    lags = correlate(made[0], audio[0], mode="full", method="fft")
    assert lags.argmax() == audio.shape[1] - 1


@pytest.mark.parametrize("rate", [96000, 7000])
@pytest.mark.parametrize("n_samples", [1, 2, 37, 1001, 20_011])
def test_any_rate_and_length_keeps_its_length(rate: int, n_samples: int) -> None:
    for separator in (system(fake()), system(small_cnn()), system(small_blstm())):
        for values in separator.separate(noise(n_samples), rate).values():
            assert values.shape == (2, n_samples) and np.isfinite(values).all()


def test_resampling_by_pieces_is_resampling() -> None:
    audio = torch.from_numpy(noise(30_001))
    whole = Resampler(44100, 16000).finish(audio)
    resampler = Resampler(44100, 16000)
    pieces = [resampler.push(block) for block in audio.split(997, dim=-1)]
    pieces.append(resampler.finish(audio[:, :0]))
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, atol=1e-7, rtol=0)


@pytest.mark.parametrize("rate", [RATE, 11025, 44100])
def test_a_beginning_of_small_pieces_moves_nothing(rate: int) -> None:
    """Of which a resampler gives nothing at first, or until the end of a short recording."""
    model = fake(rate=RATE)
    for n_samples, n_piece in ((4000, 16), (4000, 4000), (60, 60), (200, 200)):
        audio = np.hanning(n_samples).astype(np.float32)[None]
        stream = system(model).stream(rate)
        pieces = [stream.push(audio[:, :0])["a"]]
        pieces += [
            stream.push(audio[:, start : start + n_piece])["a"]
            for start in range(0, n_samples, n_piece)
        ]
        pieces.append(stream.finish(audio[:, :0])["a"])
        np.testing.assert_allclose(np.concatenate(pieces, axis=1), audio, atol=0.02)


# ---------------------------------------------------------------------------------------------
# Several runs


def test_runs_of_different_rates_are_one_system() -> None:
    models = fake(masks=(1.0,), rate=16000), small_cnn(), small_umx()
    separator = system(*models, is_with_residual=True)
    assert separator.targets == ("a", "x", "y", "piano", RESIDUAL)
    audio = noise(20_000)
    estimates = separator.separate(audio, 22050)
    assert list(estimates) == list(separator.targets)
    for model in models:
        alone = system(model).separate(audio, 22050)
        for target, values in alone.items():
            np.testing.assert_allclose(estimates[target], values, atol=1e-6)
    np.testing.assert_allclose(sum(estimates.values()), audio, atol=1e-5)


def test_networks_that_share_a_transform_are_in_step() -> None:
    audio = noise(40_000)
    estimates = system(small_umx("a"), fake(FixedFake, names="b"), fake(names="c"))
    separated = estimates.separate(audio, RATE)
    np.testing.assert_allclose(separated["b"], audio, atol=1e-6)
    np.testing.assert_allclose(separated["c"], audio, atol=1e-6)
    np.testing.assert_allclose(
        separated["a"], system(small_umx("a")).separate(audio, RATE)["a"], atol=1e-6
    )


# ---------------------------------------------------------------------------------------------
# What is done to estimates


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 20.0])
def test_masks_share_the_mixture(exponent: float) -> None:
    """Of four networks, with different segments, of one transform."""
    models = small_blstm("bass"), small_umx("piano"), fake(masks=(0.3, 2.0))
    audio = noise(9000)
    plain = system(*models).separate(audio, RATE)
    estimates = system(*models, mask_exponent=exponent).separate(audio, RATE)
    np.testing.assert_allclose(sum(estimates.values()), audio, atol=1e-6)
    assert np.abs(sum(plain.values()) - audio).max() > 1e-2


def test_shares_are_those_of_the_paper() -> None:
    magnitudes = torch.tensor([[3.0, 0.0, 1e-30, 1e30], [4.0, 0.0, 3e-30, 1e30]])
    wiener = shares(magnitudes, 2.0)
    expected = torch.tensor([[9 / 25, 0.5, 0.1, 0.5], [16 / 25, 0.5, 0.9, 0.5]])
    torch.testing.assert_close(wiener, expected)
    torch.testing.assert_close(shares(magnitudes, 1.0)[:, 0], torch.tensor([3 / 7, 4 / 7]))


def test_shares_of_complex_estimates() -> None:
    """A shared mixture has its phase, whatever phase the estimates had."""
    model = fake(ComplexFake, (1.0, 3.0))
    audio = noise(5000)
    estimates = system(model, mask_exponent=2.0).separate(audio, RATE)
    np.testing.assert_allclose(estimates["a"], 0.1 * audio, atol=1e-6)
    np.testing.assert_allclose(estimates["b"], 0.9 * audio, atol=1e-6)


def bursts(levels_dbfs: Sequence[float], n_each: int) -> Float32s:
    """Return noise of as many levels one after the other: RMS in dB."""
    gains = np.repeat(10 ** (np.array(levels_dbfs) / 20), n_each)
    return (gains * np.random.default_rng(3).standard_normal((2, len(gains)))).astype(np.float32)


def test_thresholds_are_powers_of_samples() -> None:
    """-30 dBFS is 0.001: what is 1 dB below becomes silent, what is 1 dB above does not."""
    n_frames = round(140 * 256 / 44100 * RATE / 32)
    n_each = 4 * n_frames * 32
    audio = bursts([-31, -29, -31], n_each)
    thresholds = {"a": Threshold(0.001, 0.0), "b": Threshold(0.0, 0.001)}
    model = fake(masks=(1.0, 0.5, 0.25))
    estimates = system(model, thresholds=thresholds).separate(audio, RATE)
    for target, mask in (("a", 1.0), ("b", 0.5)):
        made, loud = estimates[target], slice(n_each + 128, 2 * n_each - 128)
        assert not made[:, : n_each - 128].any() and not made[:, 2 * n_each + 128 :].any()
        np.testing.assert_allclose(made[:, loud], mask * audio[:, loud], atol=1e-6)
    np.testing.assert_allclose(estimates["c"], 0.25 * audio, atol=1e-6)
    of_estimate = {"*": Threshold(0.001, 0.0)}
    estimates = system(model, thresholds=of_estimate).separate(audio, RATE)
    assert estimates["a"].any() and not estimates["b"].any() and not estimates["c"].any()


def test_thresholds_by_segments_in_a_slow_loop() -> None:
    stft = Stft(StftConfig(128, 32, Window.HANN))
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((3, 2, 80_000))
    audio *= np.repeat(rng.uniform(0, 0.05, (3, 1, 16)), 5000, axis=-1)
    spectra = stft.whole(torch.from_numpy(audio).float())
    thresholds = [Threshold(8e-4, 4e-4), Threshold(2e-4, 9e-4)]
    gate = EnergyGate(thresholds, stft, RATE)
    pieces = [gate.push(block) for block in spectra.split(61, dim=-1)]
    gated = torch.cat([*pieces, gate.finish(spectra[..., :0])], dim=-1)
    n_frames, kept = round(140 * 256 / 44100 * RATE / 32), 0
    for start in range(0, spectra.shape[-1], n_frames):
        part = np.abs(spectra[..., start : start + n_frames].numpy()) ** 2
        both_sides = 2 * part.sum(axis=2) - part[:, :, 0] - part[:, :, -1]
        powers = both_sides.mean(axis=(1, 2)) / (128 * (stft.window.numpy() ** 2).sum())
        for j, (source, mixture) in enumerate(thresholds, start=1):
            is_kept = powers[j] >= source and powers[0] >= mixture
            kept += is_kept
            expected = spectra[j, ..., start : start + n_frames] * bool(is_kept)
            torch.testing.assert_close(gated[j, ..., start : start + n_frames], expected)
    assert 2 < kept < 2 * spectra.shape[-1] / n_frames - 2
    torch.testing.assert_close(gated[0], spectra[0])


def test_griffin_lim_makes_spectra_consistent() -> None:
    stft = Stft(StftConfig(128, 32, Window.HANN))
    true = stft.whole(torch.from_numpy(noise(8000, 1)))
    assert inconsistency(true, stft) < 1e-6
    torch.testing.assert_close(griffin_lim(true, stft, 3), true, atol=1e-5, rtol=1e-4)
    generator = torch.Generator().manual_seed(0)
    angles = 2 * np.pi * torch.rand(true.shape, generator=generator)
    wrong = torch.polar(true.abs(), angles)
    distances = [inconsistency(griffin_lim(wrong, stft, n), stft) for n in (0, 1, 2, 4, 8, 16, 32)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.4 * distances[0]
    torch.testing.assert_close(griffin_lim(wrong, stft, 5).abs(), true.abs(), atol=1e-5, rtol=1e-5)


def test_griffin_lim_recovers_phases_that_are_nearly_right() -> None:
    stft = Stft(StftConfig(128, 32, Window.HANN))
    true = stft.whole(torch.from_numpy(noise(8000, 1)))
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(true.shape, generator=generator) * 0.2
    wrong = torch.polar(true.abs(), true.angle() + errors)
    found = griffin_lim(wrong, stft, 200)
    assert (found - true).norm() < 0.25 * (wrong - true).norm()
    assert inconsistency(found, stft) < 0.1 * inconsistency(wrong, stft)


@pytest.mark.parametrize("n_iterations", [1, 4])
@pytest.mark.parametrize("hop", [32, 48])
def test_griffin_lim_by_stretches_is_griffin_lim(n_iterations: int, hop: int) -> None:
    stft = Stft(StftConfig(128, hop, Window.HANN))
    generator = torch.Generator().manual_seed(0)
    spectra = torch.randn((3, 2, 65, 150), generator=generator, dtype=torch.complex64)
    spectra[..., 0, :], spectra[..., -1, :] = spectra[..., 0, :].real, spectra[..., -1, :].real
    stage = GriffinLim(stft, n_iterations)
    pieces = [stage.push(block) for block in spectra.split(17, dim=-1)]
    assert sum(piece.shape[-1] for piece in pieces) > 0
    made = torch.cat([*pieces, stage.finish(spectra[..., :0])], dim=-1)
    torch.testing.assert_close(made[0], spectra[0])
    whole = griffin_lim(spectra[1:], stft, n_iterations)
    # Angles of values near 0 amplify rounding; nearly all bins agree to the last digits.
    error = (made[1:] - whole).abs()
    assert error.quantile(0.999) < 1e-4 and error.mean() < 1e-5


@pytest.mark.parametrize("n_samples", [1, 31, 33, 5000])
def test_griffin_lim_keeps_the_length_and_what_is_consistent(n_samples: int) -> None:
    audio = noise(n_samples)
    separated = system(fake(), phase="griffin-lim", n_iterations=4).separate(audio, RATE)["a"]
    assert separated.shape == audio.shape
    np.testing.assert_allclose(separated, audio, atol=1e-4)


# ---------------------------------------------------------------------------------------------
# Streaming


@pytest.mark.parametrize("overlap", [None, 0.0, 0.75])
@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_streaming_gives_the_same_as_early_as_it_says(name: str, overlap: float | None) -> None:
    audio = noise(6000, 1)
    model = NETWORKS[name]()
    offline = system(model, overlap=overlap).separate(audio, RATE)
    separator = system(NETWORKS[name](), overlap=overlap, is_streaming=True)
    stream = separator.stream(RATE)
    pieces, waits, n_out = [], [], 0
    for start in range(0, 6000, 8):
        pieces.append(stream.push(audio[:, start : start + 8]))
        n_new = next(iter(pieces[-1].values())).shape[1]
        if n_new:  # the first of them had to wait longest
            waits.append(start + 8 - n_out)
        n_out += n_new
    pieces.append(stream.finish(audio[:, :0]))
    for target, values in offline.items():
        joined = np.concatenate([piece[target] for piece in pieces], axis=1)
        np.testing.assert_allclose(joined, values, atol=1e-6)
    n_segment = model.config.segment_frames
    assert separator.latency_s * RATE == (n_segment - 1) * 32 + 128
    assert max(waits[1:]) == (n_segment - 1) * 32 + 128


def test_the_latency_of_the_papers_network() -> None:
    """29 steps of 512 and a window of 4096 samples at 44.1 kHz."""
    config = CNNConfig(targets=("a", "b"))
    model = fake(FixedFake, (1.0, 1.0))
    model.config = config
    assert system(model).latency_s == pytest.approx(18944 / 44100)


# ---------------------------------------------------------------------------------------------
# What cannot be


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_exponent": 0.0}, "above 0"),
        ({"mask_exponent": float("nan")}, "above 0"),
        ({"mask_exponent": 2.0}, "two or more targets"),
        ({"thresholds": {"tuba": Threshold(0, 0)}}, "tuba: not a target"),
        ({"thresholds": {"*": Threshold(-1, 0)}}, "0 or more"),
        ({"phase": "griffin-lim", "n_iterations": -1}, "iterations"),
        ({"n_iterations": 3}, "iterations"),
        ({"overlap": 0.5}, "fixed length"),
        ({"is_streaming": True}, "recurrent"),
        ({"is_streaming": True, "phase": "griffin-lim"}, "later"),
        ({"is_streaming": True, "thresholds": {"*": Threshold(0, 0)}}, "later"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        system(small_blstm(), **options)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0, float("nan")])
def test_overlaps_that_cannot_be(overlap: float) -> None:
    with pytest.raises(UsageError, match="overlap"):
        system(small_cnn(), overlap=overlap)


def test_systems_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="run1: separates bass, as run0 does"):
        system(small_blstm(), small_blstm())
    with pytest.raises(UsageError, match="no run"):
        Separator({})
    with pytest.raises(UsageError, match="one transform"):
        system(fake(masks=(1, 1)), small_cnn(sample_rate=16000), mask_exponent=1.0)
    with pytest.raises(UsageError, match="residual"):
        system(small_blstm(RESIDUAL), is_with_residual=True)
    with pytest.raises(UsageError, match="twice"):
        Separator.of_runs([Path("a"), Path("a")])
    with pytest.raises(UsageError, match="22050 Hz, not 8000 Hz"):
        system(small_cnn(), is_streaming=True).stream(22050)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="CUDA"):
            Separator({"a": small_blstm()}, device="cuda")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(value: float) -> None:
    audio = noise(200_000, 1)
    audio[0, 150_000] = value
    with pytest.raises(InvalidCorpus, match="NaN"):
        system(fake()).separate(audio, RATE)
    with pytest.raises(InvalidCorpus, match="no samples"):
        system(fake()).separate(audio[:, :0], RATE)
    with pytest.raises(UsageError, match="0 Hz"):
        system(fake()).separate(audio, 0)


class ExhaustedFake(Fake):
    def forward(self, mixture: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.\nGPU 0 has ...")


def test_a_gpu_without_memory_is_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"^audio: the GPU's memory is too small; use --device cpu$"
    ):
        system(fake(ExhaustedFake)).separate(noise(3000), RATE)


def test_estimates_that_are_no_numbers() -> None:
    with pytest.raises(InvalidCorpus, match="estimate of b is no audio"):
        system(fake(masks=(1.0, float("nan")))).separate(noise(3000), RATE)


@pytest.mark.parametrize(
    "audio",
    [noise(300)[0], noise(300)[None], noise(300)[:0], (1000 * noise(300)).astype(np.int16)],
)
def test_arrays_that_are_no_audio(audio: Any) -> None:
    with pytest.raises(UsageError, match="n_samples"):
        system(fake()).separate(audio, RATE)
