"""What the plans of all kinds of mixtures share: records, roles, rates, shares of the splits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import MOST_MIXTURES, MixConfig
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.stems import StemTable

__all__ = [
    "GAIN_DECIMALS",
    "SILENCE_RMS_DBFS",
    "Unused",
    "common_sample_rate",
    "is_as_it_lies",
    "n_of_splits",
    "n_per_split",
    "recipe",
    "recipe_source",
    "role_of",
    "stretched_steps",
    "too_quiet",
    "too_short",
]

GAIN_DECIMALS: Final = 4
# A clip that is softer is no music: the tail of a release. Ours; the papers only say "silent".
SILENCE_RMS_DBFS: Final = -60.0


class Unused(NamedTuple):
    """A stem that can be in no mixture of a plan.

    Attributes
    ----------
    k : int
        Number of the stem in its catalogue.
    reason : Reason
        The reason as programs compare it.
    detail : str
        The reason as people read it.
    """

    k: int
    reason: Reason
    detail: str


def too_short(n_steps: int, config: MixConfig, what: str = "has") -> tuple[Reason, str]:
    """Return why nothing can be cut from some 100 ms."""
    seconds = n_steps / ENVELOPE_HZ
    return Reason.TOO_SHORT, f"{what} {seconds:g} s, and clips have {config.length_s:g} s"


def too_quiet(min_rms_dbfs: float, config: MixConfig) -> tuple[Reason, str]:
    """Return why no clip is present."""
    text = f"no clip of {config.length_s:g} s is above {min_rms_dbfs:g} dBFS RMS, and audible"
    return Reason.TOO_QUIET, text


def common_sample_rate(stems: StemTable, wanted: int | None) -> int:
    """Return the rate of the mixtures: the one asked for, or the lowest of the sources."""
    return wanted or int(stems.sample_rates.min())


def n_per_split(n_mixtures: int, n_songs: Mapping[str, int]) -> dict[str, int]:
    """Divide a number of mixtures in proportion to songs, by largest remainders."""
    total = sum(n_songs.values())
    exact = {split: n_mixtures * n / total for split, n in n_songs.items()}
    counts = {split: math.floor(share) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: counts[split] - exact[split])
    for split in by_remainder[: n_mixtures - sum(counts.values())]:
        counts[split] += 1
    return counts


def n_of_splits(config: MixConfig, n_songs: Mapping[str, int]) -> dict[str, int]:
    """Return the number of mixtures of every split.

    Parameters
    ----------
    config : MixConfig
        Says how many training mixtures are wanted, and perhaps how many of other splits.
    n_songs : mapping of str to int
        Songs that each split has clips of, at least one.

    Returns
    -------
    dict of str to int
        In the order of `n_songs`. A split of which nothing was said has its share, rounded, and at
        least one; without training songs such splits divide the number among them.

    Raises
    ------
    NothingToDo
        If mixtures are asked for of a split that has no clip.
    UsageError
        If a share is larger than a set of mixtures may be.
    """
    said = config.n_said
    if lacking := [split for split, n in said.items() if n and split not in n_songs]:
        split = lacking[0]
        more = "; --validation-songs takes some from training" if split == "validation" else ""
        raise NothingToDo(
            f"--{split}-mixtures and --{split}-hours: no {split} song has a clip{more}"
        )
    rest = {split: n for split, n in n_songs.items() if split not in said}
    n_train = rest.get("train")
    if n_train is None:
        counts = n_per_split(config.n_wanted, rest) if rest else {}
    else:
        wanted = 2 * config.n_wanted
        counts = {s: max(1, (wanted * n + n_train) // (2 * n_train)) for s, n in rest.items()}
    if max(counts.values(), default=0) > MOST_MIXTURES:
        raise UsageError(f"--mixtures and --hours: at most {MOST_MIXTURES} mixtures of any split")
    return {split: {**counts, **said}[split] for split in n_songs}


def stretched_steps(config: MixConfig, speed: float) -> int:
    """Return how much is read, in 100 ms, for a clip at another tempo."""
    return math.ceil(config.clip_steps * speed)


def role_of(group: str, target: str | None) -> str:
    """Return the role of a source."""
    if target is None:
        return "source"
    return "target" if group == target else "interference"


def is_as_it_lies(source: MixtureSource) -> bool:
    """Tell whether a source is an excerpt of its stem as it lies on disk, at its level."""
    is_moved = source.shift != 0 or bool(source.transforms)
    return not is_moved and source.target_lufs is None and source.gain_db == 0


def recipe_source(
    catalogue: SplitCatalogue,
    k: int,
    config: MixConfig,
    *,
    start_step: float,
    n_steps: int,
    shift_steps: int = 0,
    is_shift_padded: bool = False,
    transforms: Sequence[str] = (),
    target_lufs: float | None = None,
    gain_db: float = 0.0,
    match: str | None = None,
) -> MixtureSource:
    """Return the record of one source; times in 100 ms."""
    stem = catalogue.stems[k]
    step = stem.step_samples
    group = catalogue.groups[k]
    return MixtureSource(
        stem_id=stem.stem_id,
        song_id=stem.song_id,
        root=stem.root,
        path=stem.path,
        stream=stem.stream,
        sha256=stem.sha256,
        group=group,
        role=role_of(group, config.target),
        sample_rate=stem.sample_rate,
        n_stem_samples=stem.n_samples,
        start=round(start_step * step),
        n_read=n_steps * step,
        shift=shift_steps * step,
        is_shift_padded=is_shift_padded,
        transforms=tuple(transforms),
        target_lufs=target_lufs,
        gain_db=gain_db,
        match=match,
    )


def recipe(
    split: str,
    number: int,
    config: MixConfig,
    sample_rate: int,
    sources: Sequence[MixtureSource],
    augment: Augmenter,
    n_steps: int | None = None,
    own_mixture: MixtureSource | None = None,
) -> Mixture:
    """Return the record of one mixture, of some 100 ms or of the ordinary clip length.

    What is drawn for a mixture as a whole is drawn here: faults of recordings, and its master.
    """
    if n_steps is None:
        n_steps = config.clip_steps
    faults = augment.draw_faults(sources, split, number)
    sources = [
        dataclasses.replace(source, transforms=(*source.transforms, *texts)) if texts else source
        for source, texts in zip(sources, faults, strict=True)
    ]
    return Mixture(
        mixture_id=f"{split}-{number:08d}",
        mode=str(config.mode),
        split=split,
        sample_rate=sample_rate,
        n_samples=n_steps * (sample_rate // ENVELOPE_HZ),
        n_channels=config.n_channels,
        peak_ceiling_dbfs=config.peak_ceiling_dbfs,
        sources=tuple(sources),
        master=augment.draw_master(split, number),
        own_mixture=own_mixture,
    )
