"""What is in a folder of mixtures, in numbers, from its recipes: no audio is read."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from stemsmith.manifests.arrays import Float64s, Int64s
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.mixtures import Mixtures

__all__ = ["MixtureNumbers", "count_mixtures", "effect_name"]


@dataclass(frozen=True, slots=True, eq=False)
class MixtureNumbers:
    """What is in a folder of mixtures.

    Attributes
    ----------
    n_by_split : dict of str to int
        Mixtures of each split that has some.
    hours_by_split : dict of str to float
        Their duration in hours.
    n_by_mode : dict of str to int
        Mixtures by how their sources go together: ``coherent``, ``incoherent``, ...
    n_by_target : dict of str to int
        Mixtures that have a source of a target, in alphabetical order.
    sources_by_target : dict of str to int
        Sources of each target, in the same order.
    n_sources, n_songs : numpy.ndarray
        (n_mixtures,) sources of each mixture, and songs that these are of.
    gain_db : dict of str to numpy.ndarray
        By target, the gain of each source in dB: after its loudness was set, and before what guards
        the mixture against clipping.
    n_by_effect : dict of str to int
        Sources that each effect was applied to, the most frequent first.
    n_shifted, n_matched, n_masters, n_own_mixtures : int
        Sources that were shifted in time; sources that were made to match another song; mixtures
        that are masters; and mixtures that are excerpts of their songs' own ones.
    n_stems, n_source_songs : int
        Different stems, and different songs, that are used anywhere.
    rejections : dict of (str, str) to int
        Files that are in no mixture, by stage and reason.
    """

    n_by_split: dict[str, int]
    hours_by_split: dict[str, float]
    n_by_mode: dict[str, int]
    n_by_target: dict[str, int]
    sources_by_target: dict[str, int]
    n_sources: Int64s
    n_songs: Int64s
    gain_db: dict[str, Float64s]
    n_by_effect: dict[str, int]
    n_shifted: int
    n_matched: int
    n_masters: int
    n_own_mixtures: int
    n_stems: int
    n_source_songs: int
    rejections: dict[tuple[str, str], int]


def count_mixtures(mixtures: Mixtures) -> MixtureNumbers:
    """Count what is in a folder of mixtures, one file of recipes in memory at a time.

    Raises
    ------
    InvalidCorpus
        If its recipes cannot be read; the text names the file.
    """
    by_split, modes, seconds = Counter[str](), Counter[str](), defaultdict[str, float](float)
    having, sources, effects = Counter[str](), Counter[str](), Counter[str]()
    n_sources, n_songs = list[int](), list[int]()
    gains: dict[str, list[float]] = {}
    stems, songs = set[tuple[str, str]](), set[tuple[str, str]]()
    n_shifted = n_matched = n_masters = n_own = 0
    for recipe in mixtures.records():
        by_split[recipe.split] += 1
        seconds[recipe.split] += recipe.n_samples / recipe.sample_rate
        modes[recipe.mode] += 1
        n_masters += recipe.master is not None
        n_own += recipe.own_mixture is not None
        having.update({source.group for source in recipe.sources})
        n_sources.append(len(recipe.sources))
        n_songs.append(len({(source.root, source.song_id) for source in recipe.sources}))
        for source in recipe.sources:
            sources[source.group] += 1
            gains.setdefault(source.group, []).append(source.gain_db)
            effects.update(effect_name(text) for text in source.transforms)
            n_shifted += source.shift != 0
            n_matched += source.match is not None
            stems.add((source.root, source.stem_id))
            songs.add((source.root, source.song_id))
    reasons = Counter((r.stage, str(r.reason)) for r in mixtures.rejection_records())
    return MixtureNumbers(
        n_by_split={split: by_split[split] for split in SPLITS if by_split[split]},
        hours_by_split={split: seconds[split] / 3600 for split in SPLITS if by_split[split]},
        n_by_mode=dict(modes.most_common()),
        n_by_target=dict(sorted(having.items())),
        sources_by_target=dict(sorted(sources.items())),
        n_sources=np.array(n_sources, np.int64),
        n_songs=np.array(n_songs, np.int64),
        gain_db={target: np.array(gains[target], np.float64) for target in sorted(gains)},
        n_by_effect=dict(sorted(effects.items(), key=lambda item: (-item[1], item[0]))),
        n_shifted=n_shifted,
        n_matched=n_matched,
        n_masters=n_masters,
        n_own_mixtures=n_own,
        n_stems=len(stems),
        n_source_songs=len(songs),
        rejections=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )


def effect_name(transform: str) -> str:
    """Return the name of an effect from the JSON that a recipe has of it."""
    try:
        found = json.loads(transform)
    except ValueError:
        return transform
    return str(found.get("name", transform)) if isinstance(found, dict) else transform
