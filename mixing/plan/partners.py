"""Finding out which clips may meet, on real audio (Chiu et al. 2020, sections IV-B and IV-C).

Clips are the chunks of one clip length that songs are divided into (section III-A), the same for
every pairing. The target's (or the first target's) are the anchors; a clip of another target may
meet an anchor by the statistic of `stemsmith.mixing.plan.pairing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from stemsmith.manifests.arrays import Float32s, Float64s, Int64s
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.places import place
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan import pairing
from stemsmith.mixing.plan.clip_table import ClipTable
from stemsmith.mixing.plan.config import MixConfig, Pairing
from stemsmith.mixing.plan.incoherent import Partners
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.find import locate

__all__ = ["ClipPlace", "PairJob", "PairResult", "PartnerSearch", "pair_clips"]

_CLIPS_PER_JOB: Final = 128
_MAX_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """Where a clip lies.

    Attributes
    ----------
    path, stream : str, int
        Absolute path of the file, and the audio stream in it.
    start, n_samples, sample_rate : int
        The clip, in samples of the file.
    """

    path: str
    stream: int
    start: int
    n_samples: int
    sample_rate: int

    def read(self, sample_rate: int) -> Float32s:
        """Return the clip as (n_samples,) float32, mono, at a sample rate."""
        audio = read_excerpt(place(self.path), self.start, self.n_samples, self.stream)
        mono = audio.mean(axis=0, dtype=np.float32)
        if self.sample_rate != sample_rate:
            mono = soxr.resample(mono, self.sample_rate, sample_rate, quality="HQ")
        return np.ascontiguousarray(mono, np.float32)


@dataclass(frozen=True, slots=True)
class PairJob:
    """Chroma features of some clips, or products of some anchors with all clips of a target.

    Attributes
    ----------
    group : str
        The target whose clips these are, or whose clips the anchors are compared to.
    first : int
        Number of the first clip.
    clips : tuple of ClipPlace
        The clips, or the anchors.
    others : tuple of ClipPlace
        Clips of the target to multiply with; empty for chroma.
    sample_rate : int
        At which clips are compared, in Hz.
    """

    group: str
    first: int
    clips: tuple[ClipPlace, ...]
    others: tuple[ClipPlace, ...]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class PairResult:
    """What came of a job.

    Attributes
    ----------
    group, first : str, int
        Target and number of the first clip, as in the job.
    values : numpy.ndarray
        (n_clips, 12) chroma features, or (n_clips, n_others) products.
    norms, other_norms : numpy.ndarray
        (n_clips,) and (n_others,) norms of the waveforms as compared; empty for chroma.
    """

    group: str
    first: int
    values: Float32s
    norms: Float64s
    other_norms: Float64s


def pair_clips(job: PairJob) -> PairResult:
    """Read clips and compare them; every clip is read once for a block of the other side."""

    def reader(clips: Sequence[ClipPlace], norms: Float64s) -> Callable[[int], Float32s]:
        def read(i: int) -> Float32s:
            audio = clips[i].read(job.sample_rate)
            norms[i] = np.linalg.norm(audio.astype(np.float64))
            return audio

        return read

    norms, other_norms = np.zeros(len(job.clips)), np.zeros(len(job.others))
    if not job.others:
        features = [
            pairing.chroma_feature(clip.read(job.sample_rate), job.sample_rate)
            for clip in job.clips
        ]
        return PairResult(job.group, job.first, np.array(features, np.float32), norms, other_norms)
    clip = job.clips[0]
    n_samples = clip.n_samples * job.sample_rate // clip.sample_rate
    products = pairing.inner_products(
        reader(job.clips, norms),
        len(job.clips),
        reader(job.others, other_norms),
        len(job.others),
        n_samples,
        _MAX_BYTES,
    )
    return PairResult(job.group, job.first, products, norms, other_norms)


class PartnerSearch:
    """The search for partners in one split.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The stems of the split.
    config : MixConfig
        Options of the set of mixtures; the pairing is not random.
    roots : mapping of str to str
        Folders of the roots.
    """

    def __init__(
        self, catalogue: SplitCatalogue, config: MixConfig, roots: Mapping[str, str]
    ) -> None:
        self._catalogue, self._config = catalogue, config
        self._clips: dict[str, Int64s] = {}
        for group in catalogue.members:
            table = ClipTable(catalogue, group, config, config.clip_steps)
            if len(table):
                self._clips[group] = table.all_clips()
        self._anchor = config.target or next(iter(self._clips), "")
        rates = catalogue.stems.sample_rates
        self._sample_rate = int(rates.min()) if len(rates) else 0
        self._files = {
            group: [self._clip(k, step, roots) for k, step in clips.tolist()]
            for group, clips in self._clips.items()
        }

    def _clip(self, k: int, step: int, roots: Mapping[str, str]) -> ClipPlace:
        stem = self._catalogue.stems[k]
        return ClipPlace(
            path=str(locate(roots, stem.root, stem.path)),
            stream=stem.stream,
            start=step * stem.step_samples,
            n_samples=self._config.clip_steps * stem.step_samples,
            sample_rate=stem.sample_rate,
        )

    def jobs(self) -> Iterator[PairJob]:
        """Yield what must be computed; nothing if there are no anchors."""
        if self._anchor not in self._files:
            return
        is_chroma = self._config.pairing is Pairing.CHROMA
        for group, files in self._files.items():
            if group == self._anchor and not is_chroma:
                continue
            clips = files if is_chroma else self._files[self._anchor]
            others = () if is_chroma else tuple(files)
            for first in range(0, len(clips), _CLIPS_PER_JOB):
                block = tuple(clips[first : first + _CLIPS_PER_JOB])
                yield PairJob(group, first, block, others, self._sample_rate)

    def partners(self, results: Iterable[PairResult]) -> Partners:
        """Return which clips may meet, from the results of all jobs in any order."""
        found: dict[str, list[PairResult]] = {}
        for result in results:
            found.setdefault(result.group, []).append(result)
        ordered = {group: sorted(rs, key=lambda r: r.first) for group, rs in found.items()}
        may_meet = {
            group: self._may_meet(ordered[group], ordered.get(self._anchor, []))
            for group in self._clips
            if group != self._anchor and group in ordered
        }
        may_meet = {group: table for group, table in may_meet.items() if table.any()}
        # An anchor needs a partner of every target.
        is_usable = np.ones(len(self._clips.get(self._anchor, ())), bool)
        for table in may_meet.values():
            is_usable &= table.any(axis=1)
        if not may_meet or not is_usable.any():
            return Partners(self._anchor, {}, {})
        clips = {group: self._clips[group] for group in may_meet}
        clips[self._anchor] = self._clips[self._anchor][is_usable]
        return Partners(
            self._anchor, clips, {group: table[is_usable] for group, table in may_meet.items()}
        )

    def _may_meet(
        self, results: Sequence[PairResult], anchors: Sequence[PairResult]
    ) -> npt.NDArray[np.bool_]:
        """Return the (n_anchors, n_clips) table of one target from its results in order."""
        kind = self._config.pairing or Pairing.RANDOM
        values = np.concatenate([r.values for r in results])
        if kind is Pairing.CHROMA:
            features = np.concatenate([r.values for r in anchors])
            statistic = pairing.chroma_distances(features, values)
            # Chunks of silence have no chroma to be near to; two of them would be one.
            statistic[~features.any(axis=1)] = np.inf
            statistic[:, ~values.any(axis=1)] = np.inf
        elif kind is Pairing.CORRELATION:
            statistic = pairing.correlations(values)
        else:
            norms = np.concatenate([r.norms for r in results])
            statistic = pairing.pearson(values, norms, results[0].other_norms)
        threshold = self._config.pairing_threshold
        if threshold is None:
            threshold = pairing.DEFAULT_THRESHOLDS[kind]
        if kind is Pairing.CORRELATION:
            n_samples = self._config.clip_steps * (self._sample_rate // ENVELOPE_HZ)
            threshold = pairing.scaled_threshold(threshold, n_samples)
        return pairing.may_meet(kind, statistic, threshold)
