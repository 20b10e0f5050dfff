"""SI-SDR of validation: closed forms, torchmetrics, and a run's own numbers found another way."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

import scipy.signal
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db as of_a_song
from stemsmith.manifests.arrays import Float64s
from stemsmith.train import MixtureDataset, TrainedRun, train_model
from stemsmith.train.data.clips import find_clips
from stemsmith.train.data.examples import VALIDATION, ExampleRules
from stemsmith.train.si_sdr import LIMIT_DB, SiSdrTotal, si_sdr_db
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("noise_db", [-60.0, -12.0, 0.0, 7.5, 40.0])
def test_orthogonal_noise_has_the_ratio_of_the_powers(noise_db: float) -> None:
    time = torch.arange(1000, dtype=torch.float64) / 1000
    reference, other = torch.sin(50 * math.pi * time), torch.sin(80 * math.pi * time)
    estimate = 0.3 * (reference + 10 ** (noise_db / 20) * other)
    assert float(si_sdr_db(estimate, reference)) == pytest.approx(-noise_db, abs=1e-6)


def test_it_is_that_of_torchmetrics_and_of_whole_songs() -> None:
    reference = noise(5, 3, 4000)
    estimate = reference + torch.logspace(-3, 1, 15).reshape(5, 3, 1) * noise(5, 3, 4000, seed=1)
    found = si_sdr_db(estimate, reference)
    assert found.shape == (5, 3)
    expected = scale_invariant_signal_distortion_ratio(estimate, reference)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for at in np.ndindex(5, 3):
        pair = reference[at].numpy(), estimate[at].numpy()
        assert float(found[at]) == pytest.approx(of_a_song(*pair), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, -1.0, 1000.0])
def test_the_scale_of_either_signal_does_not_matter(scale: float) -> None:
    reference = noise(4000)
    estimate = reference + 0.5 * noise(4000, seed=1)
    expected = float(si_sdr_db(estimate, reference))
    assert float(si_sdr_db(scale * estimate, reference)) == pytest.approx(expected, abs=1e-9)
    assert float(si_sdr_db(estimate, scale * reference)) == pytest.approx(expected, abs=1e-9)


def test_single_precision_is_summed_in_double() -> None:
    reference = noise(400_000).float()
    estimate = reference + 1e-3 * noise(400_000, seed=1).float()
    exact = si_sdr_db(estimate.double(), reference.double())
    assert float(si_sdr_db(estimate, reference)) == float(exact)


def test_silence_and_perfection() -> None:
    sound, other, silence = noise(100), torch.zeros(100).double(), torch.zeros(100).double()
    other[0], other[1] = sound[1], -sound[0]  # orthogonal
    assert float(si_sdr_db(sound, sound)) == LIMIT_DB
    assert float(si_sdr_db(silence, sound)) == -LIMIT_DB
    assert float(si_sdr_db(other, sound)) == -LIMIT_DB
    assert math.isnan(si_sdr_db(sound, silence))
    assert math.isnan(si_sdr_db(silence, silence))


def test_silent_references_are_left_out_of_the_total() -> None:
    reference, total = noise(2, 2, 500), SiSdrTotal()
    estimate = reference + noise(2, 2, 500, seed=1)
    reference[1, 0] = 0
    counted = [si_sdr_db(estimate[at], reference[at]) for at in ((0, 0), (0, 1), (1, 1))]
    for row in range(2):
        total.add(estimate[row : row + 1], reference[row : row + 1])
    assert total.sum_and_number == pytest.approx([float(sum(counted)), 3.0], abs=1e-9)
    assert SiSdrTotal().sum_and_number == [0.0, 0.0]


def slow_audio(spectrum: np.ndarray, window: Float64s, hop: int) -> Float64s:
    """Return the least-squares inverse of unpadded frames, (n_bins, n_frames)."""
    n_fft, n_frames = len(window), spectrum.shape[1]
    audio, weight = np.zeros((2, (n_frames - 1) * hop + n_fft))
    for t in range(n_frames):
        place = slice(t * hop, t * hop + n_fft)
        audio[place] += window * np.fft.irfft(spectrum[:, t], n_fft)
        weight[place] += window**2
    inner = slice(n_fft // 2, len(audio) - n_fft // 2)
    return audio[inner] / weight[inner]


SIZES = {
    "blstm": {"n_fft": 256, "hop": 128, "segment_frames": 50, "n_units": 8, "n_layers": 1},
    "resnet": {"sample_rate": 16000, "n_fft": 128, "hop": 64, "segment_frames": 40, "n_latent": 8,
               "n_blocks": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.usefixtures("workshop")
def test_a_run_records_the_mean_over_its_validation_examples(name: str) -> None:
    """Magnitudes with the phase of the mixture, and complex spectra: audio by slow sums."""
    targets = ("bass",) if name == "blstm" else ("bass", "drums")
    run = train_model(
        "mixtures", "new", model=name, targets=targets, settings=SIZES[name],
        epochs=2, batch_size=4, seed=5, device="cpu",
    )  # fmt: skip
    model = run.model("last")
    config = model.config
    clips = find_clips([Path("mixtures")], "validation", targets, config.sample_rate)
    rules = ExampleRules(5, config.segment_samples, config.block_frames * config.hop)
    window = scipy.signal.get_window("hann", config.n_fft) ** (1 if model.is_complex else 0.5)
    ratios = []
    dataset = MixtureDataset(clips, rules)
    for row in range(len(rules.table(clips.n_samples, len(targets), VALIDATION))):
        mixture, references = dataset[VALIDATION, row]
        spectrum = model.stft(mixture[None])
        with torch.no_grad():
            estimate = model(spectrum)[0].numpy()
        phase = np.exp(1j * np.angle(spectrum[0].numpy()))
        for j in range(len(targets)):
            spectra = estimate[j] if model.is_complex else estimate[j] * phase
            audio = slow_audio(spectra, window, config.hop)
            half = config.n_fft // 2
            reference = references[j].numpy()[half : half + len(audio)]
            ratios.append(of_a_song(reference, audio))
    found = run.history[-1].si_sdr_db
    assert found == pytest.approx(np.nanmean(ratios), abs=1e-3)
    assert TrainedRun("new").history == run.history
