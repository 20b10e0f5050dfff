"""The transform against slow sums, scipy and closed forms, and its inverse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from stemsmith.train.models.stft import Stft, StftConfig, Window
from torch import Tensor

PAPERS = {
    "Slakh": StftConfig(512, 256, Window.SQRT_HANN),
    "Chiu": StftConfig(4096, 1024, Window.HANN),
    "Miron": StftConfig(4096, 512, Window.BLACKMAN_HARRIS),
    "Brunner": StftConfig(1024, 256, Window.HANN),
}
SMALL = [
    StftConfig(64, 32, Window.SQRT_HANN),
    StftConfig(64, 16, Window.HANN),
    StftConfig(64, 8, Window.BLACKMAN_HARRIS),
]
papers = pytest.mark.parametrize("config", PAPERS.values(), ids=PAPERS)
small = pytest.mark.parametrize("config", SMALL, ids=lambda c: str(c.window))
tolerances = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=str
)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return noise in [-1, 1]."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, shape)).to(dtype)


def closed_form(config: StftConfig) -> npt.NDArray[np.float64]:
    """Return the periodic window from its cosines."""
    phase = 2 * np.pi * np.arange(config.n_fft) / config.n_fft
    match config.window:
        case Window.HANN:
            return 0.5 - 0.5 * np.cos(phase)
        case Window.SQRT_HANN:
            return np.sin(phase / 2)
        case Window.BLACKMAN_HARRIS:  # Harris 1978, the four terms of -92 dB
            terms = (0.35875, -0.48829, 0.14128, -0.01168)
            return sum(term * np.cos(k * phase) for k, term in enumerate(terms))


@papers
def test_windows_are_the_closed_forms(config: StftConfig) -> None:
    window = Stft(config).window
    assert window.dtype == torch.float64
    np.testing.assert_allclose(window.numpy(), closed_form(config), rtol=0, atol=1e-12)


@small
def test_frames_are_the_sums_of_the_definition(config: StftConfig) -> None:
    audio = noise(200)
    n = np.arange(config.n_fft)
    starts = range(0, 200 - config.n_fft + 1, config.hop)
    frames = [audio.numpy()[start : start + config.n_fft] * closed_form(config) for start in starts]
    wave = np.exp(-2j * np.pi * np.outer(np.arange(config.n_bins), n) / config.n_fft)
    np.testing.assert_allclose(Stft(config)(audio).numpy(), wave @ np.stack(frames, 1), atol=1e-12)


@papers
@pytest.mark.parametrize("n_samples", [2500, 12_345])
def test_a_recording_transforms_as_scipy_does_it(config: StftConfig, n_samples: int) -> None:
    audio = noise(n_samples)
    oracle = scipy.signal.ShortTimeFFT(closed_form(config), config.hop, fs=1.0, phase_shift=None)
    n_frames = 1 + -(-n_samples // config.hop)
    expected = oracle.stft(audio.numpy(), p0=0, p1=n_frames)
    np.testing.assert_allclose(Stft(config).whole(audio).numpy(), expected, atol=1e-9)


@papers
def test_float32_is_float64_rounded(config: StftConfig) -> None:
    stft, audio = Stft(config), noise(9999)
    exact, rounded = stft.whole(audio), stft.whole(audio.float())
    assert rounded.dtype == torch.complex64
    assert float((rounded - exact).abs().max()) < 1e-6 * float(exact.abs().max())


@papers
@tolerances
@pytest.mark.parametrize("n_samples", [1, 2, 511, 4097, 30_001])
def test_the_inverse_gives_a_recording_back(
    config: StftConfig, dtype: torch.dtype, tolerance: float, n_samples: int
) -> None:
    stft, audio = Stft(config), noise(2, n_samples, dtype=dtype)
    spectrum = stft.whole(audio)
    assert spectrum.shape == (2, config.n_bins, 1 + -(-n_samples // config.hop))
    again = stft.inverse(spectrum, n_samples)
    assert again.dtype == dtype
    assert float((again - audio).abs().max()) <= tolerance


@papers
def test_one_frame_comes_back_through_the_synthesis_window(config: StftConfig) -> None:
    # A frame in the middle, of a spectrum that is 0 elsewhere, is weighted by w / sum of w^2.
    n_frames = 2 * config.n_fft // config.hop + 1
    middle = n_frames // 2
    spectrum = torch.zeros(config.n_bins, n_frames, dtype=torch.complex128)
    frame = noise(config.n_fft)
    spectrum[:, middle] = torch.fft.rfft(frame)
    window = closed_form(config)
    power = np.sum((window**2).reshape(-1, config.hop), axis=0)  # over all shifts by the hop
    synthesis = window / np.tile(power, config.n_fft // config.hop)
    if config.window is Window.SQRT_HANN:
        np.testing.assert_allclose(synthesis, window, atol=1e-12)
    expected = np.zeros((n_frames - 1) * config.hop)
    start = middle * config.hop - config.n_fft // 2
    expected[start : start + config.n_fft] = synthesis * frame.numpy()
    audio = Stft(config).inverse(spectrum, len(expected))
    np.testing.assert_allclose(audio.numpy(), expected, rtol=0, atol=1e-12)


@small
@pytest.mark.parametrize("n_samples", [333, 640])
def test_the_inverse_is_the_nearest_in_least_squares(config: StftConfig, n_samples: int) -> None:
    # What the best recording leaves is orthogonal to the transform of every recording.
    stft = Stft(config)
    shape = stft.whole(noise(n_samples)).shape
    spectrum = torch.complex(noise(*shape, seed=1), noise(*shape, seed=2))
    rest = stft.whole(stft.inverse(spectrum, n_samples)) - spectrum
    twice = torch.full((config.n_bins, 1), 2.0)  # bins that stand for negative frequencies too
    twice[[0, -1]] = 1.0
    for seed in range(3, 6):
        direction = stft.whole(noise(n_samples, seed=seed))
        product = (twice * (rest * direction.conj()).real).sum()
        assert abs(float(product)) < 1e-9


@small
def test_leading_axes_are_kept_and_transformed_alone(config: StftConfig) -> None:
    stft, audio = Stft(config), noise(2, 3, 500)
    for transform in (stft.forward, stft.whole):
        spectrum = transform(audio)
        assert spectrum.shape[:3] == (2, 3, config.n_bins)
        torch.testing.assert_close(spectrum[1, 2], transform(audio[1, 2]))
    assert stft.inverse(stft.whole(audio), 500).shape == (2, 3, 500)


@papers
def test_excerpts_are_as_long_as_their_frames(config: StftConfig) -> None:
    for n_frames in (1, 2, 30):
        n_samples = config.n_samples(n_frames)
        assert Stft(config)(noise(n_samples)).shape[-1] == n_frames
        assert Stft(config)(noise(n_samples + config.hop - 1)).shape[-1] == n_frames


@papers
def test_an_excerpt_lies_in_the_recording(config: StftConfig) -> None:
    stft, audio = Stft(config), noise(20_000)
    first = config.n_fft // 2 // config.hop  # the first frame that nothing was padded to
    excerpt = stft(audio)
    torch.testing.assert_close(stft.whole(audio)[:, first : first + excerpt.shape[1]], excerpt)


@pytest.mark.parametrize(("n_fft", "hop"), [(512, 257), (512, 0), (511, 128), (512, -1)])
def test_sizes_without_an_inverse_are_refused(n_fft: int, hop: int) -> None:
    with pytest.raises(ValueError, match=f"hop {hop} for n_fft {n_fft}"):
        StftConfig(n_fft, hop, Window.HANN)
