"""``silence``: stems without their silence (Chiu et al. 2020, section IV-D).

Departure from the paper, which calls ``librosa.effects.split(top_db=20)`` on frames of 46 ms every
12 ms: silence is judged on the 100 ms steps of the envelope, against the loudest step. An onset
can bring up to 0.1 s of the silence before it; in return nothing has to be decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from stemsmith.manifests.arrays import Int64s
from stemsmith.mixing.augmentation import (
    Augmentation,
    Decided,
    DrawRng,
    Parameter,
    SourceEffect,
    parameter,
)
from stemsmith.mixing.sources.catalogue import SplitCatalogue, sounding_steps
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["AUGMENTATION", "Gapless", "Silence", "WithoutSilence"]


class Gapless:
    """The stems of a split with their silence cut out.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The stems as they lie on disk.
    taxonomy : Taxonomy
        Taxonomy that the catalogue was made with.

    Attributes
    ----------
    catalogue : SplitCatalogue
        The same stems in the same order, made of their sounding steps.
    """

    def __init__(self, catalogue: SplitCatalogue, taxonomy: Taxonomy) -> None:
        self._whole = catalogue.stems
        self.catalogue = SplitCatalogue(StemTable.of(self._shortened()), taxonomy)

    def _shortened(self) -> Iterator[CatalogueStem]:
        whole = self._whole
        for k, stem in enumerate(whole):
            steps, voices = self._steps(k), whole.voices(k)
            yield dataclasses.replace(
                stem,
                k_power=whole.k_power(k)[steps],
                power=whole.power(k)[steps],
                voices=None if voices is None else voices[steps],
            )

    def _steps(self, k: int) -> Int64s:
        return sounding_steps(self._whole.power(k))

    def keep(self, k: int, first: int, n_steps: int) -> list[tuple[int, int]]:
        """Return where some of a stem's sounding steps lie in its file.

        Parameters
        ----------
        k : int
            Number of the stem.
        first, n_steps : int
            Which of its sounding steps, as counted without silence.

        Returns
        -------
        list of (int, int)
            Start and length of every stretch to read, in samples of the file.
        """
        step_samples = self.catalogue.stems[k].step_samples
        steps = self._steps(k)[first : first + n_steps]
        breaks = np.flatnonzero(np.diff(steps) > 1) + 1
        return [
            (int(run[0]) * step_samples, len(run) * step_samples) for run in np.split(steps, breaks)
        ]


def _are_stretches(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(stretch, list)
        and [type(n) for n in stretch] == [int, int]
        and stretch[0] >= 0 < stretch[1]
        for stretch in value
    )


_STRETCHES: Final = Parameter("a list of [start, n_samples]", _are_stretches)


@dataclass(frozen=True)
class WithoutSilence(SourceEffect):
    """Says what of the file is read, and does nothing to the audio once it is."""

    name = "silence"
    keep: list[list[int]] = parameter(_STRETCHES)

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """The stretches to read."""
        return [(start, n) for start, n in self.keep]


class Silence(Augmentation):
    """Clips are cut from what sounds of a stem."""

    name = "silence"
    summary = "clips are cut from what is within 20 dB of the stem's loudest 100 ms (incoherent)"
    after = "Chiu IV-D"
    excluded_modes = frozenset({"coherent", "renditions", "across", "combinations"})
    effects = (WithoutSilence,)
    place = 0
    is_as_recorded = False

    def cut(self, catalogue: SplitCatalogue, taxonomy: Taxonomy) -> Gapless:
        """Return the stems without their silence."""
        return Gapless(catalogue, taxonomy)

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Return what the plan has decided to read."""
        if decided.keep is None:
            return ()
        return (WithoutSilence([[start, n] for start, n in decided.keep]),)


AUGMENTATION: Final = Silence()
