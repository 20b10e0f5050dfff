"""Stems without their silence (Chiu et al. 2020, section IV-D).

Departure from the paper, which calls ``librosa.effects.split(top_db=20)`` on frames of 46 ms every
12 ms: silence is judged on the 100 ms steps of the envelope, against the loudest step. An onset
can bring up to 0.1 s of the silence before it; in return nothing has to be decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.mixing.audio.transforms import decode, encode
from stemsmith.mixing.sources.catalogue import CatalogueStem, SplitCatalogue
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["Gapless", "kept_stretches", "sounding_steps"]

TOP_DB: Final = 20.0


def sounding_steps(power: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the steps of an envelope within 20 dB of its loudest."""
    loudest = power.max(initial=0.0)
    return np.flatnonzero(power > loudest * 10 ** (-TOP_DB / 10))


class Gapless:
    """The stems of a split with their silence cut out.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The whole stems.
    taxonomy : Taxonomy
        Its targets.

    Attributes
    ----------
    catalogue : SplitCatalogue
        The same stems in the same order, made of their sounding steps.
    """

    def __init__(self, catalogue: SplitCatalogue, taxonomy: Taxonomy) -> None:
        self._steps = [sounding_steps(stem.power) for stem in catalogue.stems]
        shortened = [
            _only(stem, steps) for stem, steps in zip(catalogue.stems, self._steps, strict=True)
        ]
        self.catalogue = SplitCatalogue(shortened, taxonomy)

    def transform(self, k: int, first: int, n_steps: int) -> str:
        """Return the transform that reads some of a stem's sounding steps.

        Parameters
        ----------
        k : int
            The stem.
        first, n_steps : int
            Which of its sounding steps, as counted without silence.

        Returns
        -------
        str
            Its record: the stretches to read, in samples of the file.
        """
        step_samples = self.catalogue.stems[k].step_samples
        steps = self._steps[k][first : first + n_steps]
        breaks = np.flatnonzero(np.diff(steps) > 1) + 1
        keep = [
            [int(run[0]) * step_samples, len(run) * step_samples] for run in np.split(steps, breaks)
        ]
        return encode({"name": "silence", "keep": keep})


def _only(stem: CatalogueStem, steps: npt.NDArray[np.int64]) -> CatalogueStem:
    return dataclasses.replace(stem, k_power=stem.k_power[steps], power=stem.power[steps])


def kept_stretches(transforms: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return what a source reads after its transforms: (start, n_samples), in samples of the file.

    None for a source that reads one excerpt, the ordinary case.
    """
    for transform in map(decode, transforms):
        if transform["name"] == "silence":
            return [(start, n) for start, n in transform["keep"]]
    return None
