"""Networks on spectra of any length: segment by segment, overlapping, averaged.

**Networks with segments of a fixed length** (cnn, chandna, resnet) begin one every `step` frames,
from the first frame on; the last one is filled up with silence. The estimates of a frame are
averaged over the segments that it lies in (Brunner, section IV-D.1; Miron, algorithm 2:
"overlap-adding"). With an overlap gamma the step is ``T - floor(gamma T)``, as in the code of
Brunner's authors. Departure: both papers count fewer segments, ``n / ((1 - gamma) T)`` and
``(n - T) / O``, which would leave out frames at the end.

**Recurrent networks** take any length, but their memory grows with it, and one sequence alone
leaves a processor idle. They get chunks with `CONTEXT_FRAMES` more on either side, whose estimates
count only where there are no better ones; the first and the last chunk end where the recording
does. A recording no longer than a chunk is estimated as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import torch
from stemsmith.evaluate.separation.streaming import OverlapAverage, Queue
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import ModelConfig, SeparationModel
from torch import Tensor

__all__ = [
    "CHUNK_FRAMES",
    "CONTEXT_FRAMES",
    "Estimates",
    "Segments",
    "heard_of",
    "step_of",
    "takes_both",
]

# Of recurrent networks. What the context costs and buys is measured in docs/separation.md.
CHUNK_FRAMES: Final = 512
CONTEXT_FRAMES: Final = 128
# What a frame of context weighs beside one that is none. Not 0: at the ends of a recording, and
# only there, it is all there is.
_CONTEXT_WEIGHT: Final = 1e-9
# Frames and chunks, of all channels, of one forward pass: a compromise between memory (resnet needs
# 1 GiB for 420 frames) and idle processors.
_FRAMES_OF_BATCH: Final = {"cpu": 512, "cuda": 1024}
_CHUNKS_OF_BATCH: Final = {"cpu": 8, "cuda": 32}
# cuDNN would round factors to 10 bits (TF32), and not the same way for every number of segments.
_EXACTLY: Final = partial(torch.backends.cudnn.flags, enabled=True, allow_tf32=False)


def step_of(model: SeparationModel[Any], overlap: float | None) -> int:
    """Return the frames from one segment to the next, of a network of fixed length.

    Parameters
    ----------
    model : SeparationModel
        A network whose segments have a fixed length.
    overlap : float or None
        Brunner's gamma, from 0 to below 1; above ``(T - 1) / T`` nothing changes. None takes the
        step by which the model's training examples are cut: `step_frames` of cnn and chandna, and
        no overlap for resnet.

    Raises
    ------
    UsageError
        If the overlap cannot be.
    """
    config: ModelConfig = model.config
    length = config.segment_frames
    if overlap is None:
        return config.block_frames or length
    if not 0 <= overlap < 1:
        raise UsageError(f"an overlap of {overlap:g}: segments overlap by a part, 0 to below 1")
    return length - math.floor(overlap * length + 1e-9)  # 29 / 30 * 30 may be a little less


def takes_both(model: SeparationModel[Any]) -> bool:
    """Return whether a network takes the two channels of stereo together."""
    return bool(model.is_joint and model.config.n_channels > 1)


def heard_of(model: SeparationModel[Any], spectra: Tensor) -> Tensor:
    """Return the channels of a mixture that a network is given.

    Parameters
    ----------
    model : SeparationModel
        The network that is to estimate the targets.
    spectra : Tensor
        (n_channels, n_bins, n_frames) complex.

    Returns
    -------
    Tensor
        (n_heard, n_bins, n_frames) complex: all channels of a network that estimates them one by
        one, which are those of complex spectra and those that were trained on two channels; two of
        one that takes both together, the mean of the channels twice where there are not two; and
        the mean of the channels of other networks.
    """
    if takes_both(model):
        return spectra if len(spectra) == 2 else spectra.mean(0, keepdim=True).expand(2, -1, -1)
    if model.is_complex or model.config.n_channels > 1:
        return spectra
    return spectra.mean(dim=0, keepdim=True)


class Segments:
    """Estimates by one network, segment by segment: a `Stage`.

    Parameters
    ----------
    model : SeparationModel
        The network, in evaluation mode.
    overlap : float, optional
        Share by which its segments overlap, if they have a fixed length; see `step_of`.
    is_streaming : bool
        Whether a segment is estimated as soon as it is complete, and not with others.

    Attributes
    ----------
    length : int
        Length in frames of a segment, or of a chunk with its context.
    step : int
        Frames from the start of one to that of the next.
    """

    def __init__(
        self, model: SeparationModel[Any], overlap: float | None = None, is_streaming: bool = False
    ) -> None:
        self._model = model
        device = model.stft.window.device
        if model.is_fixed_length:
            self.length, self.step = model.config.segment_frames, step_of(model, overlap)
            self._weights = torch.ones(self.length, device=device)
            n_batch = max(1, _FRAMES_OF_BATCH[device.type] // self.length)
        else:
            self.length, self.step = CHUNK_FRAMES + 2 * CONTEXT_FRAMES, CHUNK_FRAMES
            self._weights = torch.ones(self.length, device=device)
            self._weights[:CONTEXT_FRAMES] = self._weights[-CONTEXT_FRAMES:] = _CONTEXT_WEIGHT
            n_batch = _CHUNKS_OF_BATCH[device.type]
        self._n_batch = 1 if is_streaming else n_batch
        self._average = OverlapAverage(self._weights, self.step)
        self._queue = Queue()
        self._n_in = self._n_out = 0

    def push(self, spectra: Tensor) -> Tensor:
        """Estimate frames of a mixture.

        Parameters
        ----------
        spectra : Tensor
            (n_channels, n_bins, n_frames) complex, of the channels that `heard_of` returns.

        Returns
        -------
        Tensor
            (n_targets, n_channels, n_bins, n) complex spectra, or the factors that make them of
            the mixture's: masks. They are 0 where the mixture is.
        """
        self._queue.push(spectra)
        self._n_in += spectra.shape[-1]
        pieces = [self._average.push(self._nothing(spectra))]
        n_batch = max(1, self._n_batch // len(spectra))
        while len(self._queue) >= (n_batch - 1) * self.step + self.length:
            pieces.append(self._average.push(self._complete(n_batch)))
        final = torch.cat(pieces, dim=-1)
        self._n_out += final.shape[-1]
        return final

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        final = self.push(spectra)
        n_complete = max(0, (len(self._queue) - self.length) // self.step + 1)
        blocks = [self._nothing(spectra)]
        if n_complete:
            blocks.append(self._complete(n_complete))
        is_first = not self._n_out and not n_complete
        if len(self._queue) > (0 if is_first else self.length - self.step):
            blocks.append(self._incomplete())
        rest = self._average.finish(torch.cat(blocks, dim=-2))[..., : self._n_in - self._n_out]
        return torch.cat([final, rest], dim=-1)

    def _nothing(self, spectra: Tensor) -> Tensor:
        """Return the estimates of no segment."""
        dtype = spectra.dtype if self._model.is_complex else spectra.real.dtype
        shape = len(self._model.config.targets), *spectra.shape[:-1], 0, self.length
        return spectra.new_zeros(shape, dtype=dtype)

    def _complete(self, n_segments: int) -> Tensor:
        """Estimate the segments that the queue begins with, and take what they have for their own.

        Returns (n_targets, n_channels, n_bins, n_segments, length), weighted.
        """
        frames = self._queue.peek((n_segments - 1) * self.step + self.length)
        segments = frames.unfold(-1, self.length, self.step).permute(2, 0, 1, 3)
        self._queue.pop(n_segments * self.step)
        return self._estimated(segments) * self._weights

    def _incomplete(self) -> Tensor:
        """Estimate the last segment, which the recording ends before."""
        segment = self._queue.pop(len(self._queue))[None]
        missing = 0, self.length - segment.shape[-1]
        if self._model.is_fixed_length:
            estimates = self._estimated(torch.nn.functional.pad(segment, missing))
        else:
            estimates = torch.nn.functional.pad(self._estimated(segment), missing)
        return estimates * self._weights

    def _estimated(self, segments: Tensor) -> Tensor:
        """Run the network on (n_segments, n_channels, n_bins, n_frames)."""
        with _EXACTLY():
            if takes_both(self._model):
                estimates: Tensor = self._model(segments).permute(1, 2, 3, 0, 4)
            else:
                estimates = self._model(segments.flatten(0, 1))
                estimates = estimates.reshape(*segments.shape[:2], *estimates.shape[1:])
                estimates = estimates.permute(2, 1, 3, 0, 4)
        if self._model.is_complex:
            return estimates
        magnitude = segments.abs().permute(1, 2, 0, 3)
        return torch.where(magnitude > 0, estimates / magnitude, 0)


class Estimates:
    """Spectra of a mixture become spectra of it and of all targets: a `Stage`.

    A mono network of magnitudes sees the mean of all channels, and its masks are applied to every
    channel; where the channels cancel, it has nothing to say, and its estimates are 0. A network
    of complex spectra, or one that was trained on each channel of stereo, estimates every channel
    by itself. One that takes both channels together is given mono twice, and what it makes of the
    two is averaged.

    Parameters
    ----------
    networks : sequence of (SeparationModel, Segments)
        The networks, which share one transform, each with its segments.
    """

    def __init__(self, networks: Sequence[tuple[SeparationModel[Any], Segments]]) -> None:
        self._networks = networks
        self._mixture = Queue()
        self._estimates = [Queue() for _ in networks]

    def push(self, spectra: Tensor) -> Tensor:
        """Return what all networks have estimated.

        Parameters
        ----------
        spectra : Tensor
            (n_channels, n_bins, n_frames) complex.

        Returns
        -------
        Tensor
            (1 + n_targets, n_channels, n_bins, n) complex, the mixture first.
        """
        return self._estimated(spectra, is_last=False)

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        return self._estimated(spectra, is_last=True)

    def _estimated(self, spectra: Tensor, is_last: bool) -> Tensor:
        self._mixture.push(spectra)
        for (model, segments), queue in zip(self._networks, self._estimates, strict=True):
            heard = heard_of(model, spectra)
            queue.push(segments.finish(heard) if is_last else segments.push(heard))
        n_frames = min(map(len, self._estimates))
        mixture = self._mixture.pop(n_frames)[None]
        estimates = [mixture]
        for (model, _), queue in zip(self._networks, self._estimates, strict=True):
            values = queue.pop(n_frames)
            if values.shape[1] not in (1, len(spectra)):
                values = values.mean(dim=1, keepdim=True)
            estimates.append(
                values.expand(-1, len(spectra), -1, -1) if model.is_complex else values * mixture
            )
        return torch.cat(estimates)
