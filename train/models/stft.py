"""The short-time Fourier transform of the papers, and its exact inverse.

The inverse is the least-squares one: frames are windowed with the analysis window w again, added,
and divided by the sum of the squared windows. That is the synthesis window
``w[n] / sum_k w[n + k hop]^2``, which reconstructs perfectly for every window here (Slakh,
section 3.1: "the synthesis window is designed to achieve perfect reconstruction"). For the square
root of the periodic Hann window at 50 % overlap it is the analysis window itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from scipy.signal import get_window
from torch import Tensor, nn

__all__ = ["Stft", "StftConfig", "Window"]


class Window(StrEnum):
    """Analysis windows; all are periodic."""

    HANN = "hann"
    SQRT_HANN = "sqrt-hann"
    BLACKMAN_HARRIS = "blackman-harris"


@dataclass(frozen=True, slots=True)
class StftConfig:
    """Sizes of a transform.

    Attributes
    ----------
    n_fft : int
        Length of window and transform in samples.
    hop : int
        Samples from one frame to the next; at most half of `n_fft`.
    window : Window
        Window that frames are multiplied by before the transform.
    """

    n_fft: int
    hop: int
    window: Window

    def __post_init__(self) -> None:
        if not 0 < 2 * self.hop <= self.n_fft or self.n_fft % 2:
            raise ValueError(f"hop {self.hop} for n_fft {self.n_fft}: at most half of an even one")

    @property
    def n_bins(self) -> int:
        """Number of frequencies, 0 to half the sample rate."""
        return self.n_fft // 2 + 1

    def n_samples(self, n_frames: int) -> int:
        """Return how many samples `n_frames` frames without padding are."""
        return (n_frames - 1) * self.hop + self.n_fft


class Stft(nn.Module):
    """Transforms along the last axis.

    Parameters
    ----------
    config : StftConfig
        Sizes and window of the transform.
    """

    window: Tensor

    def __init__(self, config: StftConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", _window(config), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Transform excerpts: frames lie inside, nothing is padded.

        Parameters
        ----------
        audio : Tensor
            (..., n_samples) float.

        Returns
        -------
        Tensor
            (..., n_bins, 1 + (n_samples - n_fft) // hop) complex.
        """
        return self._frames(audio, is_padded=False)

    def whole(self, audio: Tensor) -> Tensor:
        """Transform a recording: frames are centred on multiples of the hop, from its first sample.

        Parameters
        ----------
        audio : Tensor
            (..., n_samples) float; silence is assumed before and after.

        Returns
        -------
        Tensor
            (..., n_bins, 1 + ceil(n_samples / hop)) complex.
        """
        missing = -audio.shape[-1] % self.config.hop
        return self._frames(nn.functional.pad(audio, (0, missing)), is_padded=True)

    def inverse(self, spectrum: Tensor, n_samples: int) -> Tensor:
        """Return the recording whose transform `whole` is nearest to a spectrum.

        Parameters
        ----------
        spectrum : Tensor
            (..., n_bins, n_frames) complex.
        n_samples : int
            Number of samples of the result.

        Returns
        -------
        Tensor
            (..., n_samples) float.
        """
        config = self.config
        audio = torch.istft(
            spectrum.reshape(-1, *spectrum.shape[-2:]),
            n_fft=config.n_fft,
            hop_length=config.hop,
            window=self.window.to(spectrum.real.dtype),
            length=n_samples,
        )
        return audio.reshape(*spectrum.shape[:-2], n_samples)

    def inverse_inner(self, spectrum: Tensor) -> Tensor:
        """Return the inner part of the excerpt whose transform `forward` is nearest to a spectrum.

        At its ends an excerpt lies in the rims of few windows, whose inverse is not worth much, or
        does not exist: this is what lies between the centres of the first and the last frame.

        Parameters
        ----------
        spectrum : Tensor
            (..., n_bins, n_frames) complex.

        Returns
        -------
        Tensor
            (..., (n_frames - 1) * hop) float. Its first sample is sample ``n_fft / 2`` of the
            excerpt.
        """
        n_samples = (spectrum.shape[-1] - 1) * self.config.hop
        if not n_samples:
            return spectrum.real.new_zeros(*spectrum.shape[:-2], 0)
        return self.inverse(spectrum, n_samples)

    def _frames(self, audio: Tensor, is_padded: bool) -> Tensor:
        config = self.config
        spectrum = torch.stft(
            audio.reshape(-1, audio.shape[-1]),
            n_fft=config.n_fft,
            hop_length=config.hop,
            window=self.window.to(audio.dtype),
            center=is_padded,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:])


def _window(config: StftConfig) -> Tensor:
    """Return the analysis window in float64; it is rounded to the precision of the audio."""
    if config.window is Window.SQRT_HANN:
        window = get_window("hann", config.n_fft) ** 0.5
    else:
        window = get_window(config.window.replace("-", ""), config.n_fft)
    return torch.from_numpy(window)
