"""What an augmentation is, and what it writes into a recipe.

Drawing and applying are apart. An augmentation is drawn when a recipe is planned, each draw from a
generator of its own that only the seed, the mixture, the source and the augmentation decide; an
effect has every number already, the seed of a noise included, and is followed whenever the recipe
is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import optional_package
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = [
    "Augmentation",
    "CutStems",
    "Decided",
    "DrawRng",
    "Parameter",
    "SourceEffect",
    "at_least",
    "effects_by_name",
    "number",
    "parameter",
    "required_package",
]

Stretches = Sequence[tuple[int, int]]  # (start, n_samples)

_KEY: Final = "stemsmith.parameter"


class DrawRng(Protocol):
    """Makes a random generator, for an augmentation that draws something.

    All draws of one augmentation for one source have the same generator, from its start.
    """

    def __call__(self) -> np.random.Generator: ...  # noqa: D102


class Parameter(NamedTuple):
    """What a parameter of an effect may be.

    Attributes
    ----------
    wanted : str
        In words: ``a number from 0 to 100``.
    holds : callable
        Tells whether a value is that.
    """

    wanted: str
    holds: Callable[[Any], bool]


def parameter(rule: Parameter) -> Any:
    """Return a dataclass field that is a parameter of an effect."""
    return dataclasses.field(metadata={_KEY: rule})


def number(low: float, high: float, kinds: tuple[type, ...] = (int, float)) -> Any:
    """Return a dataclass field for a number in a range, both ends included."""

    def holds(value: Any) -> bool:
        return type(value) in kinds and low <= value <= high  # a bool is no number

    return parameter(Parameter(f"a number from {low} to {high}", holds))


@dataclass(frozen=True)
class SourceEffect:
    """What happens to one source, or to a sum: a transform of a recipe, with its parameters.

    Subclasses are frozen dataclasses whose fields are made by `parameter` or `number`.

    Attributes
    ----------
    name : str
        What recipes call it.
    """

    name: ClassVar[str]

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Return what every parameter may be."""
        return {field.name: field.metadata[_KEY] for field in dataclasses.fields(cls)}

    def record(self) -> dict[str, Any]:
        """Return the effect as a recipe has it: its name and its parameters."""
        return {"name": self.name, **{key: getattr(self, key) for key in self.parameters()}}

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Change the audio of a source.

        Parameters
        ----------
        audio : numpy.ndarray
            (n_channels, n_samples) float32, one or two channels; must not be modified.
        sample_rate : int
            Sample rate in Hz.

        Returns
        -------
        numpy.ndarray
            (n_channels, m) float32, the same bytes each time; m is n_samples / `speed`, rounded.
        """
        return audio

    @property
    def speed(self) -> float:
        """How much faster time goes by: notes come that much earlier."""
        return 1.0

    @property
    def is_muting(self) -> bool:
        """Whether no note is heard any more."""
        return False

    @property
    def stretches(self) -> Stretches | None:
        """What of the file is read, in its samples; None for one excerpt as it is."""
        return None

    @property
    def label(self) -> str | None:
        """The target that the source is recorded as; None for its own."""
        return None

    @property
    def leak_db(self) -> float | None:
        """How loud the source is in the recordings of other targets, in dB; None if it is not."""
        return None


class CutStems(Protocol):
    """Stems that are not read as they lie on disk.

    Attributes
    ----------
    catalogue : SplitCatalogue
        The same stems in the same order, as they are read.
    """

    @property
    def catalogue(self) -> SplitCatalogue: ...  # noqa: D102

    def keep(self, k: int, first: int, n_steps: int) -> Stretches:
        """Return which samples of the file are some steps of 100 ms of stem `k`."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a plan has decided about a source before its effects are drawn.

    Attributes
    ----------
    speed : float
        Product of what `Augmentation.draw_speed` gave.
    is_muted : bool
        Whether `Augmentation.draw_muted` gave its target.
    keep : sequence of (int, int), optional
        What of the file is read, if stems are cut.
    classes : tuple of str
        Classes of the source's instrument, from the coarsest to the finest.
    sample_rate : int
        Sample rate of the mixture in Hz.
    rng_of_mixture : DrawRng, optional
        Generator that all sources of the mixture share; each starts from its beginning.
    """

    speed: float = 1.0
    is_muted: bool = False
    keep: Stretches | None = None
    classes: tuple[str, ...] = ()
    sample_rate: int = 44100
    rng_of_mixture: DrawRng | None = None


class Augmentation:
    """A change of recipes that has a name. Subclasses override what they take part in.

    Attributes
    ----------
    name : str
        What ``--augment`` calls it: its module, with hyphens.
    summary : str
        What it does, in a few words.
    after : str
        Where it comes from: a paper and its section, or ``ours``.
    excluded_modes : frozenset of str
        Modes it makes no sense with.
    excludes : frozenset of str
        Augmentations it makes no sense with.
    effects : tuple of type
        Effects that it may write into recipes.
    place : int
        Where its effects stand among those of others, from what is read (0) to what is heard (9).
    packages : tuple of str
        Packages beyond the core that its effects need.
    is_as_recorded : bool
        Whether a clip stays comparable to the file it is from, which pairing needs.
    is_shift_padded : bool
        Whether what a shift moves out of the stem is lost, instead of coming in at its other end.
    is_fault : bool
        Whether it makes recordings of targets other than what the targets are; the true ones are
        then kept beside them.
    keeps_sum : bool
        Whether the mixture stays the sum of the recordings of its targets.
    """

    name: str
    summary: str
    after: str = "ours"
    excluded_modes: frozenset[str] = frozenset()
    excludes: frozenset[str] = frozenset()
    effects: tuple[type[SourceEffect], ...] = ()
    place: int = 5
    packages: tuple[str, ...] = ()
    is_as_recorded: bool = True
    is_shift_padded: bool = False
    is_fault: bool = False
    keeps_sum: bool = True

    @property
    def key(self) -> str:
        """What its random generators are keyed by."""
        return self.name

    def cut(self, catalogue: SplitCatalogue, taxonomy: Taxonomy) -> CutStems | None:
        """Return the stems of a split as they shall be read, if not as they are."""
        return None

    def from_elsewhere(self, groups: Sequence[str], kept: str) -> Collection[str]:
        """Return which targets of a coherent mixture are taken from other songs."""
        return ()

    def why_idle(self, stems: Sequence[CatalogueStem], targets: Collection[str]) -> str | None:
        """Return why it can do nothing with the stems of a set, and what to change, or None.

        Parameters
        ----------
        stems : sequence of CatalogueStem
            All stems of the set.
        targets : collection of str
            The targets that they belong to.
        """
        return None

    def in_time(self, groups: Mapping[str, Collection[str]], kept: str) -> Collection[str]:
        """Return which targets of a coherent mixture are taken from other songs of its tempo.

        Parameters
        ----------
        groups : mapping of str to collection of str
            Targets of the mixture, each with the classes of its sources.
        kept : str
            The target that stays.
        """
        return ()

    def draw_speed(self, rng: DrawRng) -> float:
        """Draw how fast a coherent mixture, or a source of another one, is played."""
        return 1.0

    def draw_shift_steps(self, rng: DrawRng) -> int:
        """Draw by how many 100 ms a target of a coherent mixture is late."""
        return 0

    def draw_muted(
        self, rng: DrawRng, groups: Sequence[str], kept: Callable[[], str | None]
    ) -> str | None:
        """Draw the target that is muted in a mixture; `kept` returns one that must not be."""
        return None

    def draw_gain_db(self, rng: DrawRng) -> float:
        """Draw by how much a source is louder."""
        return 0.0

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Draw what happens to a source, in order."""
        return ()

    def draw_faults(
        self, rng: DrawRng, rng_of_mixture: DrawRng, group: str, groups: Sequence[str]
    ) -> Sequence[SourceEffect]:
        """Draw what is wrong with the recording of a source; nothing of it changes its audio.

        Parameters
        ----------
        rng, rng_of_mixture : DrawRng
            Generators of the source and of the mixture.
        group : str
            Target of the source.
        groups : sequence of str
            Targets of the mixture, each once and in alphabetical order.
        """
        return ()

    def draw_master(self, rng: DrawRng) -> SourceEffect | None:
        """Draw what happens to a mixture after its sources were summed; None for nothing."""
        return None


def required_package(name: str) -> Any:
    """Import a package that the extra `augment` has.

    Raises
    ------
    UsageError
        If it is not installed; the text says how it is.
    """
    return optional_package(name, "augment", "this augmentation needs")


def at_least(audio: Float32s, n_samples: int) -> Float32s:
    """Return audio with zeros at its end, so that it has so many samples at least."""
    return np.pad(audio, ((0, 0), (0, max(0, n_samples - audio.shape[1]))))


def effects_by_name(augmentations: Sequence[Augmentation]) -> Mapping[str, type[SourceEffect]]:
    """Return the effects of some augmentations, in order of their names."""
    found = {effect.name: effect for one in augmentations for effect in one.effects}
    return dict(sorted(found.items()))
