"""Incoherent mixtures: one clip of every target, each from any song, all equally loud.

Slakh section 3.2. Clips are drawn evenly over the stems of a target and then over the offsets at
which the stem sounds, unless weights are asked for. With a pairing (Chiu et al. 2020) songs are
divided into chunks of one clip length (section III-A), whatever sounds in them, and all chunks of a
target are as probable: with `Pairing.RANDOM`, their baseline, of which any may meet, and with
others such that every source may meet the target's (IV-B, IV-C). All pairings draw from the same
chunks.

Mixtures are planned in blocks of a fixed size, one random generator for each block and target:
the first mixtures are the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float64s, Int32s, Int64s
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.augmentation import CutStems, Decided
from stemsmith.mixing.level.loudness import excerpts_when_played_at
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import Level, MixConfig, Weights
from stemsmith.mixing.plan.recipes import (
    GAIN_DECIMALS,
    SILENCE_RMS_DBFS,
    Unused,
    recipe,
    recipe_source,
    stretched_steps,
    too_quiet,
    too_short,
)
from stemsmith.mixing.plan.weights import draw_weighted, inverse_class_weights
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["ClipTable", "IncoherentPlan", "Partners", "clips_of"]

_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class ClipTable:
    """The clips of one target that may be drawn, stem after stem.

    Attributes
    ----------
    stems : numpy.ndarray
        (n_stems,) stems that have clips.
    first : numpy.ndarray
        (n_stems + 1,) where the clips of each begin in `steps`.
    steps : numpy.ndarray
        (n_clips,) first 100 ms of every clip.
    stem_weights : numpy.ndarray or None
        (n_stems,) how often each stem is drawn; None draws them evenly.
    clip_weights : numpy.ndarray or None
        (n_clips,) how often each clip is drawn among those of its stem; None draws them evenly.
    """

    stems: Int64s
    first: Int64s
    steps: npt.NDArray[np.int32]
    stem_weights: Float64s | None = None
    clip_weights: Float64s | None = None

    def draw(self, u: Float64s, v: Float64s) -> tuple[Int64s, Int64s]:
        """Return stems and steps of clips for numbers in [0, 1): first a stem, then its clip."""
        if self.stem_weights is None:
            which = (u * len(self.stems)).astype(np.int64)
        else:
            zeros = np.zeros(len(u), np.int64)
            which = draw_weighted(self.stem_weights, zeros, zeros + len(self.stems), u)
        first, last = self.first[which], self.first[which + 1]
        if self.clip_weights is None:
            clip = first + (v * (last - first)).astype(np.int64)
        else:
            clip = draw_weighted(self.clip_weights, first, last, v)
        return self.stems[which], self.steps[clip].astype(np.int64)


def clips_of(catalogue: SplitCatalogue, group: str, config: MixConfig, n_steps: int) -> ClipTable:
    """Return the clips of a target: present if it is *the* target, not silent otherwise.

    With a pairing they are all chunks, but for a target whose level is asked for.
    """
    is_target = group == config.target
    least_dbfs = config.least_rms_dbfs if is_target else SILENCE_RMS_DBFS
    is_unconditional = config.pairing is not None and not (
        is_target and config.min_rms_dbfs is not None
    )
    stems, starts = [], []
    for k in catalogue.members[group]:
        found = _chunks(catalogue.stems[k].n_steps, n_steps, config.clip_steps)
        if not is_unconditional:
            loud = catalogue.loud_starts(k, n_steps, least_dbfs)
            found = loud if config.pairing is None else np.intersect1d(found, loud)
        if len(found):
            stems.append(k)
            starts.append(found)
    first = np.cumsum([0, *map(len, starts)])
    steps = np.concatenate([*starts, np.zeros(0, np.int32)]).astype(np.int32)
    stem_weights = clip_weights = None
    if config.pairing is not None:
        stem_weights = np.array([len(found) for found in starts], np.float64)
    elif config.weights is Weights.INVERSE_CLASS:
        stem_weights = inverse_class_weights(catalogue, stems)
    elif config.weights is Weights.ACTIVITY:
        played = [catalogue.activity(k, s, n_steps) for k, s in zip(stems, starts, strict=True)]
        clip_weights = np.concatenate([*played, np.zeros(0)])
    return ClipTable(np.array(stems, np.int64), first, steps, stem_weights, clip_weights)


def _chunks(n_stem_steps: int, n_steps: int, hop_steps: int) -> Int32s:
    """Return where the chunks of a stem begin that has room for so many steps in each."""
    return np.arange(0, n_stem_steps - n_steps + 1, hop_steps, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Partners:
    """Which clips may meet: the anchor's clips against those of every other target.

    Attributes
    ----------
    anchor : str
        The target whose clip is drawn first.
    clips : mapping of str to numpy.ndarray
        (n_clips, 2) stem and step of the clips of every target.
    may_meet : mapping of str to numpy.ndarray
        (n_anchor_clips, n_clips) for every other target; every row has at least one True.
    """

    anchor: str
    clips: Mapping[str, Int64s]
    may_meet: Mapping[str, Bools]

    def draw(self, group: str, anchors: Int64s, v: Float64s) -> Int64s:
        """Return clips of a target that may meet the given clips of the anchor."""
        rows = self.may_meet[group][anchors]
        wanted = (v * rows.sum(axis=1)).astype(np.int64)
        clips: Int64s = (np.cumsum(rows, axis=1) > wanted[:, None]).argmax(axis=1)
        return clips


class IncoherentPlan:
    """The incoherent mixtures of one split.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The stems of the split.
    split : str
        Name of the split.
    config : MixConfig
        Options of the set of mixtures.
    sample_rate : int
        Sample rate of the mixtures in Hz.
    cut : CutStems or None
        The same stems as they are read, if not as they lie on disk: without their silence.
    partners : Partners or None
        Which clips may meet, if not all.

    Attributes
    ----------
    groups : list of str
        Targets that have clips.
    missing : list of str
        Targets that have stems but no clips.
    n_songs : int
        Songs of the split; 0 if the target, or all but one target, are missing.
    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        split: str,
        config: MixConfig,
        sample_rate: int,
        cut: CutStems | None = None,
        partners: Partners | None = None,
    ) -> None:
        catalogue = catalogue if cut is None else cut.catalogue
        self._catalogue, self._split, self._config = catalogue, split, config
        self._sample_rate, self._cut, self._partners = sample_rate, cut, partners
        self._augment = Augmenter(config)
        self._tables: dict[tuple[str, int], ClipTable] = {}
        steps = config.clip_steps
        if partners is None:
            self.groups = [g for g in catalogue.members if len(self._table(g, steps).stems)]
        else:
            self.groups = [g for g in catalogue.members if g in partners.clips]
        self.missing = [g for g in catalogue.members if g not in self.groups]
        is_complete = len(self.groups) > 1 and config.target in (None, *self.groups)
        self.n_songs = len(catalogue.songs) if is_complete else 0

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        catalogue, config = self._catalogue, self._config
        for group, stems in catalogue.members.items():
            heard = set(self._table(group, config.clip_steps).stems.tolist())
            drawn = heard if self.n_songs else set[int]()
            if self._partners is not None:
                drawn &= set(self._partners.clips.get(group, np.zeros((0, 2)))[:, 0].tolist())
            for k in stems:
                n_steps = catalogue.stems[k].n_steps
                if k in drawn:
                    continue
                if n_steps < config.clip_steps:
                    yield Unused(k, *too_short(n_steps, config))
                elif k in heard:
                    text = "no clip of another target that it may be mixed with"
                    yield Unused(k, Reason.NO_PARTNER, text)
                else:
                    is_target = group == config.target
                    least = config.least_rms_dbfs if is_target else SILENCE_RMS_DBFS
                    yield Unused(k, *too_quiet(least, config))

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers; each depends on its number alone."""
        for block in range(first // _BLOCK, -(-stop // _BLOCK)):
            start = block * _BLOCK
            wanted = range(max(first, start), min(stop, start + _BLOCK))
            by_group = self._block(block, [number - start for number in wanted])
            for number, sources in zip(wanted, zip(*by_group, strict=True), strict=True):
                yield recipe(
                    self._split, number, self._config, self._sample_rate, sources, self._augment
                )

    def _table(self, group: str, n_steps: int) -> ClipTable:
        key = group, n_steps
        if key not in self._tables:
            self._tables[key] = clips_of(self._catalogue, group, self._config, n_steps)
        return self._tables[key]

    def _block(self, block: int, places: list[int]) -> list[list[MixtureSource]]:
        """Return the sources of some places of a block, target by target."""
        numbers = [block * _BLOCK + place for place in places]
        config, split = self._config, self._split
        muted = [
            self._augment.draw_muted(self.groups, lambda: config.target, split, n) for n in numbers
        ]
        anchors = np.zeros(0, np.int64)
        if self._partners is not None:
            u, _ = self._uniform(block, self._partners.anchor)
            n_clips = len(self._partners.clips[self._partners.anchor])
            anchors = (u[places] * n_clips).astype(np.int64)
        by_group = []
        for group in self.groups:
            factors = np.array([self._augment.draw_speed(split, n, group) for n in numbers])
            u, v = (draws[places] for draws in self._uniform(block, group))
            stems, steps = self._clips(group, factors, u, v, anchors)
            is_muted = [group == m for m in muted]
            by_group.append(self._sources(numbers, group, stems, steps, factors, is_muted))
        return by_group

    def _uniform(self, block: int, group: str) -> tuple[Float64s, Float64s]:
        u, v = rng_for(self._config.seed, self._split, "clips", group, block).random((2, _BLOCK))
        return u, v

    def _clips(
        self, group: str, factors: Float64s, u: Float64s, v: Float64s, anchors: Int64s
    ) -> tuple[Int64s, Int64s]:
        """Draw a clip for every mixture; where no stem is long enough, the tempo stays."""
        if self._partners is not None:
            is_anchor = group == self._partners.anchor
            rows = anchors if is_anchor else self._partners.draw(group, anchors, v)
            stems, steps = self._partners.clips[group][rows].T
            return stems, steps
        stems, steps = np.zeros(len(u), np.int64), np.zeros(len(u), np.int64)
        for factor in np.unique(factors):
            at = factors == factor
            table = self._table(group, stretched_steps(self._config, factor))
            if not len(table.stems):
                factors[at] = 1.0
                table = self._table(group, self._config.clip_steps)
            stems[at], steps[at] = table.draw(u[at], v[at])
        return stems, steps

    def _sources(
        self,
        numbers: list[int],
        group: str,
        stems: Int64s,
        steps: Int64s,
        factors: Float64s,
        is_muted: list[bool],
    ) -> list[MixtureSource]:
        """Return the records of one target's sources."""
        config, split = self._config, self._split
        gains_db = self._gains_db(stems, steps)
        is_equal = config.levels is Level.EQUAL
        sources = []
        for i, (number, k, step) in enumerate(
            zip(numbers, stems.tolist(), steps.tolist(), strict=True)
        ):
            factor, stem = float(factors[i]), self._catalogue.stems[k]
            n_steps = stretched_steps(config, factor)
            keep = None if self._cut is None else self._cut.keep(k, step, n_steps)
            decided = Decided(factor, is_muted[i], keep, stem.classes, self._sample_rate)
            transforms, added_db = self._augment.draw_transforms(decided, split, number, group)
            # What changes the spectrum changes the loudness, which is then set by measuring.
            is_changed = is_equal and (bool(transforms) or stem.sample_rate != self._sample_rate)
            sources.append(
                recipe_source(
                    self._catalogue,
                    k,
                    config,
                    start_step=step,
                    n_steps=n_steps,
                    transforms=transforms,
                    target_lufs=config.target_lufs if is_changed else None,
                    gain_db=added_db if is_changed else round(gains_db[i] + added_db, 4),
                )
            )
        return sources

    def _gains_db(self, stems: Int64s, steps: Int64s) -> list[float]:
        """Return the gain of each clip: that which makes it as loud as all are, or none."""
        config = self._config
        if config.levels is Level.NATIVE:
            return [0.0] * len(stems)
        powers = self._catalogue.clip_k_powers(stems, steps, config.clip_steps)
        loudness_lufs = excerpts_when_played_at(powers, config.target_lufs)
        # A chunk of silence has no loudness, and keeps its level.
        loudness_lufs = np.where(np.isnan(loudness_lufs), config.target_lufs, loudness_lufs)
        gains_db: list[float] = np.round(config.target_lufs - loudness_lufs, GAIN_DECIMALS).tolist()
        return gains_db
