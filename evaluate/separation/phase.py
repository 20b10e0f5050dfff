"""Phases for magnitudes: the algorithm of Griffin and Lim (1984), as Chiu 2020, section V-A, asks.

Spectra are consistent if they are the transform of some audio. In turn, audio is made of the
spectra (`Stft.inverse`, the least-squares inverse), and the phases of its transform replace theirs.
The distance of the magnitudes from those of the audio's transform never grows.

Chiu names the algorithm only. Ours are the phases it starts from, those of the estimates (for a
mask the mixture's), which are nearer than random ones and give the same audio every time; and, by
default, 32 iterations as in librosa.
"""

from __future__ import annotations

import torch
from stemsmith.evaluate.separation.streaming import Queue
from stemsmith.train.models.stft import Stft
from torch import Tensor

__all__ = ["GriffinLim", "griffin_lim", "inconsistency"]


def griffin_lim(spectra: Tensor, stft: Stft, n_iterations: int) -> Tensor:
    """Give spectra phases that fit together; their magnitudes stay.

    Parameters
    ----------
    spectra : Tensor
        (..., n_bins, n_frames) complex, as `Stft.whole` makes them of recordings.
    stft : Stft
        The transform that the spectra are of.
    n_iterations : int
        How often phases are replaced.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    magnitude = spectra.abs()
    for _ in range(n_iterations):
        spectra = torch.polar(magnitude, _consistent(spectra, stft).angle())
    return spectra


def inconsistency(spectra: Tensor, stft: Stft) -> float:
    """Return how far the magnitudes of spectra are from those of the audio that is made of them.

    ``|| |S| - |STFT(ISTFT(S))| || / || S ||``: 0 for a recording's transform, and at most 1.
    """
    magnitude = spectra.abs()
    distance = torch.linalg.vector_norm(magnitude - _consistent(spectra, stft).abs())
    return float(distance / torch.linalg.vector_norm(magnitude))


def _consistent(spectra: Tensor, stft: Stft) -> Tensor:
    """Return the transform of the audio of spectra; a single frame has none to agree with."""
    n_samples = (spectra.shape[-1] - 1) * stft.config.hop
    return stft.whole(stft.inverse(spectra, n_samples)) if n_samples else spectra


class GriffinLim:
    """`griffin_lim` of all targets in bounded memory, with the same result: a `Stage`.

    An iteration carries what is at a frame no further than a window's length. Stretches are
    surrounded by as many frames as all iterations reach.

    Parameters
    ----------
    stft, n_iterations : Stft, int
        The transform, and how often phases are replaced; see `griffin_lim`.
    """

    def __init__(self, stft: Stft, n_iterations: int) -> None:
        self._stft, self._n_iterations = stft, n_iterations
        self._context = n_iterations * ((stft.config.n_fft - 1) // stft.config.hop)
        self._queue = Queue()
        self._n_before = 0  # frames at the start of the queue that are done

    def push(self, spectra: Tensor) -> Tensor:
        """Give (1 + n_targets, n_channels, n_bins, n_frames) other phases; the first has its own.

        The first is the mixture.
        """
        self._queue.push(spectra)
        n_final = len(self._queue) - self._n_before - self._context
        # Half of what is computed is context; less often would need more memory.
        return self._done(n_final if n_final >= 2 * self._context else 0)

    def finish(self, spectra: Tensor) -> Tensor:
        """See `Stage.finish`."""
        self._queue.push(spectra)
        return self._done(len(self._queue) - self._n_before)

    def _done(self, n_frames: int) -> Tensor:
        """Return the next frames, and keep the context of those after them."""
        start, end = self._n_before, self._n_before + n_frames
        if not n_frames:
            return self._queue.peek(0)
        excerpt = self._queue.peek(len(self._queue))
        done = excerpt[..., start:end].clone()
        for target in range(1, len(excerpt)):
            for channel in range(excerpt.shape[1]):  # one by one, for the memory
                spectra = griffin_lim(excerpt[target, channel], self._stft, self._n_iterations)
                done[target, channel] = spectra[:, start:end]
        self._n_before = min(end, self._context)
        self._queue.pop(end - self._n_before)
        return done
