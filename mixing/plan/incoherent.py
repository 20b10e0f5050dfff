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
from stemsmith.manifests.arrays import Bools, Float64s, Int64s
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.augmentation import CutStems, Decided
from stemsmith.mixing.level.loudness import excerpts_when_played_at
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.clip_table import ClipTable
from stemsmith.mixing.plan.config import Level, MixConfig
from stemsmith.mixing.plan.kept import KeptArrays
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
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["IncoherentPlan", "Partners"]

_BLOCK: Final = 1024


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
        self._kept = KeptArrays()
        steps = config.clip_steps
        if partners is None:
            self.groups = [g for g in catalogue.members if len(self._table(g, steps))]
        else:
            self.groups = [g for g in catalogue.members if g in partners.clips]
        self.missing = [g for g in catalogue.members if g not in self.groups]
        is_complete = len(self.groups) > 1 and config.target in (None, *self.groups)
        self.n_songs = len(catalogue.songs) if is_complete else 0

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        catalogue, config = self._catalogue, self._config
        for group, stems in catalogue.members.items():
            is_heard = np.isin(stems, self._table(group, config.clip_steps).stems)
            is_drawn = is_heard & bool(self.n_songs)
            if self._partners is not None:
                clips = self._partners.clips.get(group, np.zeros((0, 2), np.int64))
                is_drawn &= np.isin(stems, clips[:, 0])
            least = config.least_rms_dbfs if group == config.target else SILENCE_RMS_DBFS
            for place in np.flatnonzero(~is_drawn).tolist():
                k = int(stems[place])
                n_steps = int(catalogue.stems.n_steps[k])
                if n_steps < config.clip_steps:
                    yield Unused(k, *too_short(n_steps, config))
                elif is_heard[place]:
                    text = "no clip of another target that it may be mixed with"
                    yield Unused(k, Reason.NO_PARTNER, text)
                else:
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
            config = self._config
            self._tables[key] = ClipTable(self._catalogue, group, config, n_steps, self._kept)
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
            if not len(table):
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
