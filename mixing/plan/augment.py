"""The augmentations of a set of mixtures, drawn: each by seed, mixture, source and name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.mixtures import MixtureSource
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.transforms import encode
from stemsmith.mixing.augmentation import Augmentation, CutStems, Decided, DrawRng
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["Augmenter"]


class Augmenter:
    """Draws what a configuration's augmentations do; nothing here touches audio.

    Parameters
    ----------
    config : MixConfig
        Names the augmentations, and the seed.
    """

    def __init__(self, config: MixConfig) -> None:
        self._seed = config.seed
        chosen = [AUGMENTATIONS.load(name) for name in config.augment]
        self._chosen: list[Augmentation] = sorted(chosen, key=lambda one: (one.place, one.name))

    @property
    def is_shift_padded(self) -> bool:
        """Whether what a shift moves out of a stem is lost."""
        return any(one.is_shift_padded for one in self._chosen)

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages that the audio depends on."""
        return tuple(name for one in self._chosen for name in one.packages)

    def check(self, stems: Sequence[CatalogueStem], targets: Collection[str]) -> None:
        """Check that each augmentation can do something with the stems of a set, and its targets.

        Raises
        ------
        NothingToDo
            Naming the first that cannot, and what to change.
        """
        for one in self._chosen:
            if (reason := one.why_idle(stems, targets)) is not None:
                raise NothingToDo(f"--augment {one.name}: {reason}")

    def _rng(self, one: Augmentation, ids: Sequence[str | int]) -> DrawRng:
        return lambda: rng_for(self._seed, *ids, one.key)

    def cut(self, catalogue: SplitCatalogue, taxonomy: Taxonomy) -> CutStems | None:
        """Return the stems of a split as they are read, if not as they are."""
        cuts = (one.cut(catalogue, taxonomy) for one in self._chosen)
        return next((cut for cut in cuts if cut is not None), None)

    def from_elsewhere(self, groups: Sequence[str], kept: str) -> Collection[str]:
        """Return which targets of a coherent mixture are taken from other songs."""
        return {group for one in self._chosen for group in one.from_elsewhere(groups, kept)}

    def in_time(self, groups: Mapping[str, Collection[str]], kept: str) -> Collection[str]:
        """Return which targets of a coherent mixture are taken from other songs of its tempo."""
        return {group for one in self._chosen for group in one.in_time(groups, kept)}

    def draw_speed(self, *ids: str | int) -> float:
        """Return the tempo factor of what `ids` name."""
        speed = 1.0
        for one in self._chosen:
            speed *= one.draw_speed(self._rng(one, ids))
        return speed

    def draw_shift_steps(self, *ids: str | int) -> int:
        """Return the shift of what `ids` name in 100 ms."""
        return sum(one.draw_shift_steps(self._rng(one, ids)) for one in self._chosen)

    def draw_muted(
        self, groups: Sequence[str], kept: Callable[[], str | None], *ids: str | int
    ) -> str | None:
        """Return the target that is muted in a mixture, or None."""
        for one in self._chosen:
            muted = one.draw_muted(self._rng(one, ids), groups, kept)
            if muted is not None:
                return muted
        return None

    def draw_transforms(self, decided: Decided, *ids: str | int) -> tuple[list[str], float]:
        """Return the transforms of a source in order, and its additional gain.

        Parameters
        ----------
        decided : Decided
            What the plan has decided about the source.
        *ids : str or int
            Name the mixture, by its split and number, and the source.

        Returns
        -------
        transforms : list of str
            As `stemsmith.mixing.audio.transforms.encode` writes them.
        gain_db : float
            0 without an augmentation that has gains.
        """
        transforms: list[str] = []
        gain_db = 0.0
        for one in self._chosen:
            rng = self._rng(one, ids)
            decided = dataclasses.replace(decided, rng_of_mixture=self._rng(one, ids[:2]))
            transforms += [encode(effect.record()) for effect in one.draw_effects(rng, decided)]
            gain_db += one.draw_gain_db(rng)
        return transforms, gain_db

    def draw_faults(self, sources: Sequence[MixtureSource], *ids: str | int) -> list[list[str]]:
        """Return what is wrong with the recording of each source of a mixture, as transforms.

        Parameters
        ----------
        sources : sequence of MixtureSource
            Sources of the mixture.
        *ids : str or int
            Name the mixture, by its split and number.
        """
        groups = sorted({source.group for source in sources})
        drawn: list[list[str]] = [[] for _ in sources]
        for one in self._chosen:
            shared = self._rng(one, ids)
            for texts, source in zip(drawn, sources, strict=True):
                rng = self._rng(one, (*ids, source.stem_id))
                faults = one.draw_faults(rng, shared, source.group, groups)
                texts += [encode(fault.record()) for fault in faults]
        return drawn

    def draw_master(self, *ids: str | int) -> str | None:
        """Return what happens to the sum of a mixture that `ids` name, as a transform, or None."""
        effects = (one.draw_master(self._rng(one, ids)) for one in self._chosen)
        effect = next((effect for effect in effects if effect is not None), None)
        return None if effect is None else encode(effect.record())
