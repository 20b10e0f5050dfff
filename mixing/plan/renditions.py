"""Mixtures of a corpus of renditions: one for every rendition, or for every block of it.

Miron et al. 2017, section 3.4: the stems of a rendition are shifted in a circle, each by its own
shift, and summed. Levels are the synthesiser's, so that a soft part stays softer, or equal by
BS.1770.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.renditions import RENDITIONS, Rendition, RenditionSource
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
from stemsmith.mixing.sources.find import Source

__all__ = ["RenditionMixes", "read_renditions"]


def read_renditions(sources: Sequence[Source]) -> list[tuple[str, Rendition]]:
    """Return the renditions of all corpora, each with the name of its root."""
    found = []
    for source in sources:
        if source.kind == RENDITIONS:
            found += [(source.name, r) for r in Corpus(source.root).rendition_records()]
    return found


class RenditionMixes:
    """The mixtures of the renditions of one split.

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
    renditions : sequence of (str, Rendition)
        Renditions of all splits, with the name of their root.

    Attributes
    ----------
    n_songs : int
        Pieces that have mixtures.
    n_mixtures : int
        Blocks of all renditions. What is left of a rendition after its last whole block is not
        used.
    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        split: str,
        config: MixConfig,
        sample_rate: int,
        renditions: Sequence[tuple[str, Rendition]],
    ) -> None:
        self._catalogue, self._split, self._config = catalogue, split, config
        self._sample_rate, self._augment = sample_rate, Augmenter(config)
        self._index: Mapping[str, int] = {
            catalogue.stems.stem_id(k): k for k in range(len(catalogue.stems))
        }
        self._blocks = [
            (root, rendition, first, n_steps)
            for root, rendition in renditions
            if self._is_usable(root, rendition)
            for first, n_steps in self._blocks_of(rendition)
        ]
        self.n_mixtures = len(self._blocks)
        self.n_songs = len({rendition.song_id for _, rendition, _, _ in self._blocks})

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        catalogue, config = self._catalogue, self._config
        used = {
            self._stem(root, rendition, source)
            for root, rendition, _, _ in self._blocks
            for source in rendition.sources
        }
        for k, n_steps in enumerate(catalogue.stems.n_steps.tolist()):
            if k in used:
                continue
            if not config.is_whole and n_steps < config.clip_steps:
                yield Unused(k, *too_short(n_steps, config))
            else:
                text = f"no rendition with it has {config.target or 'a block of this length'}"
                yield Unused(k, Reason.NO_TARGET, text)

    def _is_usable(self, root: str, rendition: Rendition) -> bool:
        """Tell whether a rendition's stems are in this split, and the target plays in it."""
        groups = {
            self._catalogue.groups[k]
            for source in rendition.sources
            if (k := self._stem(root, rendition, source)) is not None
        }
        return bool(groups) and self._config.target in (None, *groups)

    def _stem(self, root: str, rendition: Rendition, source: RenditionSource) -> int | None:
        """Return a stem's number, or None if no target of the taxonomy has it."""
        return self._index.get(f"{root}:{rendition.song_id}/{source.stem_id}")

    def _blocks_of(self, rendition: Rendition) -> list[tuple[int, int]]:
        n_steps = rendition.n_samples * 10 // rendition.sample_rate
        if self._config.is_whole:
            return [(0, n_steps)]
        size = self._config.clip_steps
        return [(first, size) for first in range(0, n_steps - size + 1, size)]

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers, in order of rendition and block."""
        for number in range(first, stop):
            root, rendition, start, n_steps = self._blocks[number]
            stems = [
                (k, source)
                for source in rendition.sources
                if (k := self._stem(root, rendition, source)) is not None
            ]
            groups = [self._catalogue.groups[k] for k, _ in stems]
            muted = self._augment.draw_muted(
                groups, functools.partial(self._kept, stems, start, n_steps), self._split, number
            )
            sources = [
                self._source(k, source, number, start, n_steps, muted) for k, source in stems
            ]
            yield recipe(
                self._split,
                number,
                self._config,
                self._sample_rate,
                sources,
                self._augment,
                n_steps,
            )

    def _kept(
        self, stems: Sequence[tuple[int, RenditionSource]], start: int, n_steps: int
    ) -> str | None:
        """Return the target that is never muted: the one asked for, or one that sounds alone."""
        clips = [(k, start) for k, _ in stems]
        alone = self._catalogue.only_group(clips, n_steps, SILENCE_RMS_DBFS)
        return self._config.target or alone

    def _source(
        self,
        k: int,
        source: RenditionSource,
        number: int,
        start: int,
        n_steps: int,
        muted: str | None,
    ) -> MixtureSource:
        stem = self._catalogue.stems[k]
        shift_steps, rest = divmod(source.shift, stem.step_samples)
        if rest:
            raise InvalidCorpus(f"{stem.stem_id}: a shift of {source.shift} is not on the grid")
        decided = Decided(
            is_muted=self._catalogue.groups[k] == muted,
            classes=stem.classes,
            sample_rate=self._sample_rate,
        )
        transforms, gain_db = self._augment.draw_transforms(
            decided, self._split, number, stem.stem_id
        )
        gain_db += source.gain_db
        if self._config.levels is Level.EQUAL:
            gain_db += self._catalogue.level_db(k, self._config.target_lufs)
        return recipe_source(
            self._catalogue,
            k,
            self._config,
            start_step=start,
            n_steps=n_steps,
            shift_steps=shift_steps,
            transforms=transforms,
            gain_db=round(gain_db, GAIN_DECIMALS),
        )
