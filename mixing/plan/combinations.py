"""Every choice of one stem of each target of a song, as a mixture of its own.

Chiu et al. 2020, section III-B: most of six songs of MedleyDB have several violins, and each violin
with the piano is a mixture, which makes 16; all other instruments are left out. As there, stems are
taken whole and, unless equal levels are asked for, as loud as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.mixing.augmentation import Decided
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import Level, MixConfig
from stemsmith.mixing.plan.recipes import (
    GAIN_DECIMALS,
    SILENCE_RMS_DBFS,
    Unused,
    recipe,
    recipe_source,
    too_short,
)
from stemsmith.mixing.sources.catalogue import SplitCatalogue

__all__ = ["CombinationPlan"]


class _Block(NamedTuple):
    """A stretch of some stems of a song, one of each target, in 100 ms."""

    stems: tuple[int, ...]
    start: int
    n_steps: int


class CombinationPlan:
    """The combinations of the stems of one split's songs.

    A song takes part that has the target, or with none asked for all targets that any song of the
    split has; a target that a song lacks is no reason to leave it out if another one is asked for
    and there are two.

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

    Attributes
    ----------
    n_songs : int
        Songs that have combinations.
    n_mixtures : int
        Combinations of all songs, or their blocks of one clip length. What is left after the last
        whole block is not used.
    """

    def __init__(
        self, catalogue: SplitCatalogue, split: str, config: MixConfig, sample_rate: int
    ) -> None:
        self._catalogue, self._split, self._config = catalogue, split, config
        self._sample_rate, self._augment = sample_rate, Augmenter(config)
        self._blocks = [
            block
            for song in range(len(catalogue.songs))
            for stems in self._choices(song)
            for block in self._blocks_of(stems)
        ]
        self.n_mixtures = len(self._blocks)
        self.n_songs = len({catalogue.songs.of_stem[block.stems[0]] for block in self._blocks})

    def _choices(self, song: int) -> Iterator[tuple[int, ...]]:
        """Yield the choices of one stem of each target of a song."""
        by_group: dict[str, list[int]] = {}
        for k in self._catalogue.songs.stems(song):
            by_group.setdefault(self._catalogue.groups[k], []).append(k)
        target = self._config.target
        is_wanted = target in by_group if target else len(by_group) == len(self._catalogue.members)
        if is_wanted and len(by_group) > 1:
            yield from itertools.product(
                *(by_group[group] for group in self._catalogue.members if group in by_group)
            )

    def _blocks_of(self, stems: tuple[int, ...]) -> Iterator[_Block]:
        n_steps = min(self._catalogue.stems.n_steps[list(stems)].tolist())
        size = n_steps if self._config.is_whole else self._config.clip_steps
        if size:
            for start in range(0, n_steps - size + 1, size):
                yield _Block(stems, start, size)

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        used = {k for block in self._blocks for k in block.stems}
        for song in range(len(self._catalogue.songs)):
            stems = self._catalogue.songs.stems(song)
            is_chosen = any(True for _ in self._choices(song))
            shortest = min(self._catalogue.stems.n_steps[stems].tolist())
            for k in stems:
                if k in used:
                    continue
                if is_chosen:
                    yield Unused(k, *too_short(shortest, self._config, "its song has a stem of"))
                else:
                    lacking = self._config.target or "a stem of every target"
                    yield Unused(k, Reason.NO_PARTNER, f"its song lacks {lacking}")

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers, in order of song, stems and block."""
        for number, block in enumerate(self._blocks[first:stop], first):
            muted = self._muted(block, number)
            sources = [self._source(k, block, number, muted) for k in block.stems]
            yield recipe(
                self._split,
                number,
                self._config,
                self._sample_rate,
                sources,
                self._augment,
                block.n_steps,
            )

    def _muted(self, block: _Block, number: int) -> str | None:
        catalogue, target = self._catalogue, self._config.target
        clips = [(k, block.start) for k in block.stems]

        def kept() -> str | None:
            return target or catalogue.only_group(clips, block.n_steps, SILENCE_RMS_DBFS)

        groups = [catalogue.groups[k] for k in block.stems]
        return self._augment.draw_muted(groups, kept, self._split, number)

    def _source(self, k: int, block: _Block, number: int, muted: str | None) -> MixtureSource:
        stem = self._catalogue.stems[k]
        decided = Decided(
            is_muted=self._catalogue.groups[k] == muted,
            classes=stem.classes,
            sample_rate=self._sample_rate,
        )
        transforms, gain_db = self._augment.draw_transforms(
            decided, self._split, number, stem.stem_id
        )
        if self._config.levels is Level.EQUAL:
            gain_db += self._catalogue.level_db(k, self._config.target_lufs)
        return recipe_source(
            self._catalogue,
            k,
            self._config,
            start_step=block.start,
            n_steps=block.n_steps,
            transforms=transforms,
            gain_db=round(gain_db, GAIN_DECIMALS),
        )
