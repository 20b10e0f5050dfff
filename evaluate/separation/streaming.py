"""Block by block what is otherwise done at once: resampling, the transform, overlapping blocks.

A `Stage` takes a signal in consecutive pieces, of any lengths, and gives back what is final. Put
together, what it gives does not depend on how the signal was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import soxr
import torch
from stemsmith.train.models.stft import Stft
from torch import Tensor

__all__ = ["Analysis", "Chain", "OverlapAverage", "Queue", "Resampler", "Stage", "Synthesis"]


class Stage(Protocol):
    """Something that takes a signal in pieces, along the last axis, and gives back another."""

    def push(self, values: Tensor) -> Tensor:
        """Take the next piece; return all that has become final, perhaps nothing."""

    def finish(self, values: Tensor) -> Tensor:
        """Take the last piece, perhaps an empty one; return all that remains."""


class Chain:
    """Stages one after another.

    Parameters
    ----------
    stages : sequence of Stage
        The stages, of which the first is fed and each feeds the next.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def push(self, values: Tensor) -> Tensor:
        """See `Stage.push`."""
        for stage in self._stages:
            values = stage.push(values)
        return values

    def finish(self, values: Tensor) -> Tensor:
        """See `Stage.finish`."""
        for stage in self._stages:
            values = stage.finish(values)
        return values


class Queue:
    """Values that wait, along the last axis.

    Something must be put in, even if it is empty, before anything is taken.
    """

    def __init__(self) -> None:
        self._pieces: list[Tensor] = []
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def push(self, values: Tensor) -> None:
        """Put values at the end."""
        self._pieces.append(values)
        self._n += values.shape[-1]

    def peek(self, n: int) -> Tensor:
        """Return the first `n` without taking them."""
        if n and len(self._pieces) > 1:
            self._pieces = [torch.cat(self._pieces, dim=-1)]
        return self._pieces[0][..., :n]

    def pop(self, n: int) -> Tensor:
        """Take the first `n`."""
        first = self.peek(n)
        if n:
            # A copy: a view would keep what was taken, for as long as anything waits.
            self._pieces = [self._pieces[0][..., n:].clone()]
            self._n -= n
        return first


class Resampler:
    """Resampling by soxr (HQ), aligned to the sample: a `Stage`.

    The result may be longer by one sample than the recording.

    Parameters
    ----------
    from_hz, to_hz : int
        Sample rates before and after; where they are equal, audio goes through unchanged.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._rates = from_hz, to_hz
        self._soxr: soxr.ResampleStream | None = None

    def push(self, audio: Tensor) -> Tensor:
        """Resample (..., n_samples) float32; see `Stage.push`."""
        return self._resample(audio, is_last=False)

    def finish(self, audio: Tensor) -> Tensor:
        """See `Stage.finish`."""
        return self._resample(audio, is_last=True)

    def _resample(self, audio: Tensor, is_last: bool) -> Tensor:
        if self._rates[0] == self._rates[1]:
            return audio
        channels = audio.flatten(0, -2).T.contiguous().numpy()
        if self._soxr is None:
            self._soxr = soxr.ResampleStream(*self._rates, channels.shape[1], quality="HQ")
        resampled = torch.from_numpy(self._soxr.resample_chunk(channels, last=is_last))
        return resampled.T.reshape(*audio.shape[:-1], len(resampled))


class Analysis:
    """The transform of a recording, `Stft.whole`, frame by frame: a `Stage`.

    Parameters
    ----------
    stft : Stft
        The transform, on whose device the spectra are.

    Attributes
    ----------
    n_samples : int
        Number of samples that have come in so far.
    """

    def __init__(self, stft: Stft) -> None:
        self.stft = stft
        self.n_samples = 0
        self._queue = Queue()
        self._is_begun = False

    def push(self, audio: Tensor) -> Tensor:
        """Return the (n_channels, n_bins, n_frames) spectra that (n_channels, n_samples) end."""
        if not self._is_begun:  # once: the first pieces may be empty, as a resampler's are
            self._is_begun = True
            self._queue.push(self._zeros(audio, self.stft.config.n_fft // 2))
        self.n_samples += audio.shape[-1]
        return self._frames(audio)

    def finish(self, audio: Tensor) -> Tensor:
        """See `Stage.finish`."""
        spectra = self.push(audio)
        config = self.stft.config
        n_missing = -self.n_samples % config.hop + config.n_fft // 2
        return torch.cat([spectra, self._frames(self._zeros(audio, n_missing))], dim=-1)

    def _frames(self, audio: Tensor) -> Tensor:
        config = self.stft.config
        self._queue.push(audio.to(self.stft.window.device))
        n_frames = max(0, (len(self._queue) - config.n_fft) // config.hop + 1)
        if not n_frames:
            shape = len(audio), config.n_bins, 0
            return torch.zeros(shape, dtype=torch.complex64, device=self.stft.window.device)
        spectra: Tensor = self.stft(self._queue.peek(config.n_samples(n_frames)))
        self._queue.pop(n_frames * config.hop)
        return spectra

    def _zeros(self, audio: Tensor, n: int) -> Tensor:
        return audio.new_zeros(*audio.shape[:-1], n, device=self.stft.window.device)


class Synthesis:
    """The inverse transform of all targets, `Stft.inverse`, frame by frame: a `Stage`.

    Parameters
    ----------
    analysis : Analysis
        The analysis of the mixture, whose transform and length the targets have.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        config = analysis.stft.config
        self._window = analysis.stft.window.float()
        self._average = OverlapAverage(self._window.square(), config.hop)
        # As many samples lie before the recording, and belong to nobody.
        self._n_out = -(config.n_fft // 2)

    def push(self, spectra: Tensor) -> Tensor:
        """Return the audio of targets.

        Parameters
        ----------
        spectra : Tensor
            (1 + n_targets, ..., n_bins, n_frames) complex, the first one the mixture's.

        Returns
        -------
        Tensor
            (n_targets, ..., n_samples) on the CPU.
        """
        return self._trimmed(self._average.push(self._windowed(spectra[1:])))

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        return self._trimmed(self._average.finish(self._windowed(spectra[1:])))

    def _windowed(self, spectra: Tensor) -> Tensor:
        if not spectra.shape[-1]:  # MKL refuses transforms of nothing
            return spectra.real.new_zeros(*spectra.shape[:-2], 0, len(self._window))
        frames = torch.fft.irfft(spectra.transpose(-1, -2), n=len(self._window))
        windowed: Tensor = frames * self._window
        return windowed

    def _trimmed(self, audio: Tensor) -> Tensor:
        first, self._n_out = self._n_out, self._n_out + audio.shape[-1]
        start, end = max(0, -first), self._analysis.n_samples - first
        return audio[..., start : max(start, end)].cpu()


class OverlapAverage:
    """The weighted mean of overlapping blocks, each `step` after the one before.

    Parameters
    ----------
    weights : Tensor
        (length,) float, the weights of the values of a block.
    step : int
        Distance from one block to the next, at most the length of a block.
    """

    def __init__(self, weights: Tensor, step: int) -> None:
        self._weights, self._step = weights, step
        self._sums: Tensor | None = None
        self._sums_of_weights: Tensor | None = None

    def push(self, blocks: Tensor) -> Tensor:
        """Return what no later block reaches.

        Parameters
        ----------
        blocks : Tensor
            (..., n_blocks, length), already multiplied by the weights.

        Returns
        -------
        Tensor
            (..., n_blocks * step).
        """
        n_final = blocks.shape[-2] * self._step
        mean = self._add(blocks)[..., :n_final]
        assert self._sums is not None and self._sums_of_weights is not None
        self._sums = self._sums[..., n_final:].clone()
        self._sums_of_weights = self._sums_of_weights[n_final:].clone()
        return mean

    def finish(self, blocks: Tensor) -> Tensor:
        """Return all that the last blocks (as above, perhaps none) and those before reach."""
        return self._add(blocks)

    def _add(self, blocks: Tensor) -> Tensor:
        """Add blocks to what earlier ones have left; return the means."""
        sums = _overlap_added(blocks, self._step)
        weights = _overlap_added(self._weights.expand(blocks.shape[-2:]), self._step)
        if self._sums is not None and self._sums_of_weights is not None:
            sums[..., : self._sums.shape[-1]] += self._sums
            weights[: len(self._sums_of_weights)] += self._sums_of_weights
        self._sums, self._sums_of_weights = sums, weights
        # Nothing weighs anything before the first and after the last sample of some windows.
        return sums / weights.clamp_min(torch.finfo(weights.dtype).tiny)


def _overlap_added(blocks: Tensor, step: int) -> Tensor:
    """Return the sum of (..., n_blocks, length), (..., (n_blocks + ceil(length / step) - 1) step).

    A loop over the parts of a block, of which there are fewer than blocks.
    """
    *shape, n_blocks, length = blocks.shape
    n_parts = -(-length // step)
    sums = blocks.new_zeros(*shape, n_blocks + n_parts - 1, step)
    for k in range(n_parts):
        part = blocks[..., k * step : (k + 1) * step]
        sums[..., k : k + n_blocks, : part.shape[-1]] += part
    return sums.flatten(-2)
