"""Which clips, from where and how loud: the rules by which clips become training examples.

An epoch is a table that depends on the seed and the epoch alone, so that examples are the same
whoever loads them, in whatever order, resumed or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.seeds import rng_for

__all__ = ["VALIDATION", "EpochTable", "ExampleRules", "Turns", "validation_of"]

VALIDATION: Final = -1  # the epoch of examples that never change


def validation_of(epoch: int) -> int:
    """Return the epoch of the validation examples that are drawn for one of training."""
    return VALIDATION - 1 - epoch


@dataclass(frozen=True, slots=True, eq=False)
class EpochTable:
    """The examples of an epoch; column 0 is the accompaniment, column 1 + j target j.

    An example is the sum of its sources, each times its gain. The accompaniment is what remains of
    a mixture without its targets, so that the sum of one clip's sources is that clip's mixture.

    Attributes
    ----------
    clip : numpy.ndarray
        (n_examples, 1 + n_targets) int64.
    start : numpy.ndarray
        (n_examples, 1 + n_targets) int64, first sample in that clip.
    gain : numpy.ndarray
        (n_examples, 1 + n_targets) float32, linear.
    is_plain : bool
        Whether every example is one clip's mixture as it is.
    """

    clip: Int64s
    start: Int64s
    gain: Float32s
    is_plain: bool

    def __len__(self) -> int:
        return len(self.clip)


@dataclass(frozen=True, slots=True)
class ExampleRules:
    """How examples are drawn.

    Attributes
    ----------
    seed : int
        Seed of all draws.
    segment_samples : int
        Length of an example in samples; clips that are shorter are followed by silence.
    step_samples : int
        0: every clip gives one example an epoch, from a random place. Else every clip gives all
        its blocks of that step (Miron et al. 2017, algorithm 1).
    n_examples : int or None
        Number of examples of an epoch, drawn anew each time (Chiu et al. 2020, section V-A: 250 or
        2000); None takes all there are.
    n_validation : int or None
        Number of validation examples of an epoch, drawn anew each time (Chiu et al. 2020, section
        V-A: 100); None takes all there are, the same in every epoch.
    remix : float
        Share of examples whose sources come from different clips and places (Brunner et al. 2019,
        section IV-C), in [0, 1]. Only for training.
    gain_low, gain_high : float
        Every source is multiplied by a number drawn from here (Open-Unmix: 0.25 to 1.25). Only
        for training.
    """

    seed: int
    segment_samples: int
    step_samples: int = 0
    n_examples: int | None = None
    remix: float = 0.0
    gain_low: float = 1.0
    gain_high: float = 1.0
    n_validation: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.remix <= 1:
            raise UsageError(f"the share of remixed examples is between 0 and 1, not {self.remix}")
        if not 0 < self.gain_low <= self.gain_high < math.inf:
            raise UsageError(f"gains from {self.gain_low} to {self.gain_high}: not a range above 0")
        for kind, n in (("", self.n_examples), ("validation ", self.n_validation)):
            if n is not None and n < 1:
                raise UsageError(f"{n} {kind}examples an epoch: at least one")

    def table(self, n_samples: Int64s, n_targets: int, epoch: int) -> EpochTable:
        """Draw the examples of an epoch.

        Parameters
        ----------
        n_samples : numpy.ndarray
            (n_clips,) int64, the lengths of all clips.
        n_targets : int
            Number of sources beside the accompaniment.
        epoch : int
            Number of the epoch, from 0 on; `VALIDATION` draws plain examples in the order of the
            clips, and `validation_of` an epoch `n_validation` plain ones in random order.
        """
        is_training = epoch >= 0
        rng = rng_for(self.seed, epoch, "examples")
        clip, start = self._units(n_samples)
        if epoch != VALIDATION:
            wanted = self.n_examples if is_training else self.n_validation
            clip, start = self._in_turn(clip, start, wanted, rng)
        if not self.step_samples:
            start = self._places(n_samples[clip], rng)
        shape = len(clip), 1 + n_targets
        clips, starts = (np.repeat(a[:, None], shape[1], axis=1) for a in (clip, start))
        gain = np.ones(shape, np.float32)
        if not is_training:
            return EpochTable(clips, starts, gain, is_plain=True)
        is_remixed = rng.random(shape[0]) < self.remix
        if is_remixed.any():
            unit = rng.integers(len(clip), size=(int(is_remixed.sum()), shape[1]))
            clips[is_remixed] = clip[unit]
            starts[is_remixed] = (
                start[unit] if self.step_samples else self._places(n_samples[clip[unit]], rng)
            )
        if (self.gain_low, self.gain_high) != (1.0, 1.0):
            gain = rng.uniform(self.gain_low, self.gain_high, shape).astype(np.float32)
        is_plain = not is_remixed.any() and bool((gain == 1).all())
        return EpochTable(clips, starts, gain, is_plain)

    def _units(self, n_samples: Int64s) -> tuple[Int64s, Int64s]:
        """Return clip and first sample of everything an epoch takes once."""
        if not self.step_samples:
            return np.arange(len(n_samples)), np.zeros(len(n_samples), np.int64)
        n_blocks = 1 + np.maximum(n_samples - self.segment_samples, 0) // self.step_samples
        clip = np.repeat(np.arange(len(n_samples)), n_blocks)
        first = np.repeat(np.cumsum(n_blocks) - n_blocks, n_blocks)
        return clip, (np.arange(len(clip)) - first) * self.step_samples

    def _in_turn(
        self, clip: Int64s, start: Int64s, n: int | None, rng: np.random.Generator
    ) -> tuple[Int64s, Int64s]:
        """Return units in random order: none comes again before all have come; None is all."""
        wanted = len(clip) if n is None else n
        turns = [rng.permutation(len(clip)) for _ in range(-(-wanted // len(clip)))]
        order = np.concatenate(turns)[:wanted]
        return clip[order], start[order]

    def _places(self, n_samples: Int64s, rng: np.random.Generator) -> Int64s:
        """Return a random first sample for every one of some clips."""
        room = np.maximum(n_samples - self.segment_samples, 0) + 1
        places: Int64s = (rng.random(room.shape) * room).astype(np.int64)
        return places


class Turns:
    """Batches of ``(epoch, row of its table)``: the batch sampler of all loaders.

    Parameters
    ----------
    n_examples : int
        Number of examples of an epoch.
    n_batch : int
        Number of examples of a batch in one process.
    rank, n_ranks : int
        Number of this process, from 0 on, and how many there are; together they make batches of
        ``n_batch * n_ranks``.
    epoch : int
        The first epoch, of training, or of validation, for which the last batch may be smaller. (In
        training what does not fill a batch is left out of the epoch, unless it is all there is.)
    """

    def __init__(
        self, n_examples: int, n_batch: int, rank: int = 0, n_ranks: int = 1, epoch: int = 0
    ) -> None:
        self._n, self._n_batch, self._rank, self._n_ranks = n_examples, n_batch, rank, n_ranks
        self._epoch = epoch

    @property
    def sampler(self) -> Turns:
        """What is told the epoch: Lightning asks a batch sampler for it."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch of training, or to its validation; `VALIDATION` stays where it is."""
        if self._epoch != VALIDATION:
            self._epoch = epoch if self._epoch >= 0 else validation_of(epoch)

    def __len__(self) -> int:
        whole = self._n_batch * self._n_ranks
        is_dropped = self._epoch >= 0 and self._n >= whole
        return self._n // whole if is_dropped else -(-self._n // whole)

    def n_own(self, batch: int) -> int:
        """Return how many examples of a batch no other rank has: 0 where it repeats one."""
        return len(self._rows(batch))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in range(len(self)):
            # A rank that has run out repeats the last example: all ranks take as many steps.
            yield [(self._epoch, row) for row in self._rows(batch) or [self._n - 1]]

    def _rows(self, batch: int) -> range:
        first = (batch * self._n_ranks + self._rank) * self._n_batch
        return range(first, min(first + self._n_batch, self._n))
