"""Changes to estimated spectra: masks that share the mixture, and silence by energy.

Spectra are (1 + n_targets, n_channels, n_bins, n_frames) complex, the mixture's first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from stemsmith.evaluate.separation.options import Threshold
from stemsmith.evaluate.separation.streaming import Queue
from stemsmith.train.models.stft import Stft
from torch import Tensor

__all__ = ["EnergyGate", "Masking", "shares"]

# Of Brunner's segments: 140 frames of 256 samples at 44.1 kHz.
_SEGMENT_S: Final = 140 * 256 / 44100


def shares(magnitudes: Tensor, exponent: float) -> Tensor:
    """Return time-frequency masks that sum to 1 (Brunner, section IV-B).

    ``M_j = |S_j|^alpha / sum_k |S_k|^alpha``; with an exponent of 2 the masks of a Wiener filter.

    Parameters
    ----------
    magnitudes : Tensor
        (n_targets, ...) float, at least 0.
    exponent : float
        Alpha, above 0; large ones give a bin to its loudest target.

    Returns
    -------
    Tensor
        As `magnitudes`, in [0, 1]. Where all are 0 (the paper divides by it) all get the same.
    """
    loudest = magnitudes.amax(dim=0, keepdim=True)
    # Relative to the loudest, so that no power overflows or vanishes.
    powers = torch.where(loudest > 0, magnitudes / loudest, 1.0) ** exponent
    return powers / powers.sum(dim=0, keepdim=True)


class Masking:
    """Replaces estimates by shares of the mixture: a `Stage`.

    Parameters
    ----------
    exponent : float
        Exponent of the magnitudes, above 0; see `shares`.
    """

    def __init__(self, exponent: float) -> None:
        self._exponent = exponent

    def push(self, spectra: Tensor) -> Tensor:
        """See `Stage.push`."""
        mixture, estimates = spectra[:1], spectra[1:]
        return torch.cat([mixture, mixture * shares(estimates.abs(), self._exponent)])

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        return self.push(spectra)


class EnergyGate:
    """Makes segments silent where target or mixture are below a threshold: a `Stage`.

    Segments follow each other from the start of the recording and last as long as Brunner's, 0.81
    s, in frames of whatever transform. The power of a segment is the mean over its frames and all
    channels.

    Parameters
    ----------
    thresholds : sequence of Threshold
        Thresholds of the targets, in their order.
    stft : Stft
        The transform of the spectra.
    sample_rate : int
        Sample rate in Hz of the recording whose spectra come.
    """

    def __init__(self, thresholds: Sequence[Threshold], stft: Stft, sample_rate: int) -> None:
        device = stft.window.device
        self._source, self._mixture = torch.tensor(thresholds, device=device).T
        self._n_frames = max(1, round(_SEGMENT_S * sample_rate / stft.config.hop))
        # Parseval: the bins between the first and the last stand for two each.
        bins = torch.full((stft.config.n_bins, 1), 2.0, device=device)
        bins[[0, -1]] = 1.0
        self._scale = bins / (stft.config.n_fft * stft.window.square().sum()).float()
        self._queue = Queue()

    def push(self, spectra: Tensor) -> Tensor:
        """See `Stage.push`."""
        self._queue.push(spectra)
        segments = [self._queue.peek(0)]
        while len(self._queue) >= self._n_frames:
            segments.append(self._gated(self._queue.pop(self._n_frames)))
        return torch.cat(segments, dim=-1)

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        whole = self.push(spectra)
        rest = self._queue.pop(len(self._queue))
        return torch.cat([whole, self._gated(rest)], dim=-1) if rest.shape[-1] else whole

    def _gated(self, segment: Tensor) -> Tensor:
        powers = (segment.abs().square() * self._scale).sum(dim=-2).mean(dim=(-2, -1))
        is_present = (powers[1:] >= self._source) & (powers[0] >= self._mixture)
        return torch.cat([segment[:1], segment[1:] * is_present[:, None, None, None]])
