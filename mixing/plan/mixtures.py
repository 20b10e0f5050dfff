"""Deciding on a set of mixtures: which splits, how many, and what the manifest will say."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.mixtures import STAGE
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.renditions import RENDITIONS, Rendition
from stemsmith.manifests.scratch import ScratchRecords, in_order
from stemsmith.manifests.shares import Share
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.across import AcrossPlan, plan_across
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.combinations import CombinationPlan
from stemsmith.mixing.plan.config import MixConfig, Mode, Pairing
from stemsmith.mixing.plan.incoherent import IncoherentPlan, Partners
from stemsmith.mixing.plan.matcher import WantedStem
from stemsmith.mixing.plan.matching import Scores
from stemsmith.mixing.plan.recipes import common_sample_rate, n_of_splits, n_per_split
from stemsmith.mixing.plan.renditions import RenditionMixes
from stemsmith.mixing.production.codec import libav_version
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.find import Source
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["Matches", "MixturePlan", "PlannedShard", "SplitPlan", "plan_mixtures"]

_PLANNED_BY: Final = "mix"  # the stage that rejections name
_PACKAGES: Final = ("numpy", "scipy", "pyloudnorm", "soundfile", "soxr", "pyarrow")
# Manifests have always named these, whichever augmentation it was: a change would refuse to go on.
_AUGMENT_PACKAGES: Final = ("librosa", "colorednoise", "pedalboard")

_Exhaustive = RenditionMixes | CombinationPlan
SplitPlan = CoherentPlan | IncoherentPlan | AcrossPlan | _Exhaustive


@dataclass(frozen=True, slots=True)
class MixturePlan:
    """All decisions of a run, made when they are asked for.

    Attributes
    ----------
    splits : mapping of str to plan
        Plan of every split that has mixtures.
    n_mixtures : mapping of str to int
        Number of mixtures of every split.
    header : mapping
        What the manifest will say of the run; also what makes two runs the same.
    roots : mapping of str to str
        Absolute folders of the roots.
    warnings : tuple of str
        What a user should know: splits without mixtures, clips that come twice.
    rejections : sequence of Rejection
        Files of the sources that can be in no mixture, by name of the root and path.
    """

    splits: Mapping[str, SplitPlan]
    n_mixtures: Mapping[str, int]
    header: Mapping[str, Any]
    roots: Mapping[str, str]
    warnings: tuple[str, ...]
    rejections: Sequence[Rejection] = ()

    def as_of_old(self) -> MixturePlan:
        """Return the plan that the options stood for before numbers were of the training split.

        They were of all splits together. Manifests that do not say otherwise are of that time, and
        so are unfinished folders: they are finished as they were begun.
        """
        wanted = self.header["config"]["n_mixtures"]
        counts = n_per_split(wanted, {split: made.n_songs for split, made in self.splits.items()})
        header = {**self.header, "n_mixtures": counts}
        del header["n_mixtures_of"]
        kept = {split: n for split, n in counts.items() if n}
        splits = {split: self.splits[split] for split in kept}
        return replace(self, header=header, splits=splits, n_mixtures=kept)

    def matches(self, n_per_shard: int, share: Share | None = None) -> Matches:
        """Return what has to be rendered so that sources match their anchors.

        Parameters
        ----------
        n_per_shard : int
            Number of mixtures in a shard; the jobs of an array take shards in turn.
        share : Share, optional
            Job of an array, whose mixtures alone want stems; the counts are of all mixtures.
        """
        wanted: dict[str, WantedStem] = {}
        n_matched = n_unmatched = 0
        for index, shard in enumerate(self.shards(n_per_shard)):
            made = self.splits[shard.split]
            if isinstance(made, AcrossPlan):
                for drawn in made.draw(shard.start, shard.stop):
                    if share is None or share.takes(index):
                        wanted |= {one.stem_id: one for one in drawn.wanted}
                    n_matched += drawn.n_matched
                    n_unmatched += drawn.n_unmatched
        return Matches(tuple(wanted[key] for key in sorted(wanted)), n_matched, n_unmatched)

    def shards(self, n_per_shard: int) -> list[PlannedShard]:
        """Return the shards of the mixtures, split after split.

        Parameters
        ----------
        n_per_shard : int
            Number of mixtures in each but the last one of a split.
        """
        return [
            PlannedShard(split, number, start, min(start + n_per_shard, self.n_mixtures[split]))
            for split in self.splits
            for number, start in enumerate(range(0, self.n_mixtures[split], n_per_shard))
        ]


class PlannedShard(NamedTuple):
    """Some mixtures of one split, which lie in one file.

    Attributes
    ----------
    split : str
        The split of the mixtures.
    number : int
        Which shard of the split it is, from 0.
    start, stop : int
        Numbers of the first mixture, and of the one after the last.
    """

    split: str
    number: int
    start: int
    stop: int

    @property
    def recipes(self) -> str:
        """Name of the file of recipes."""
        return f"mixtures-{self.split}-{self.number:05d}.parquet"

    @property
    def audio(self) -> str:
        """Name of the file of audio."""
        return f"audio-{self.split}-{self.number:05d}.tar"


class Matches(NamedTuple):
    """What becomes of the sources that are to match an anchor.

    Attributes
    ----------
    wanted : tuple of WantedStem
        What is to be rendered, each once, in order of `stem_id`.
    n_matched, n_unmatched : int
        Sources of all mixtures that match, and those for which nothing was found.
    """

    wanted: tuple[WantedStem, ...]
    n_matched: int
    n_unmatched: int


def plan_mixtures(
    sources: Sequence[Source],
    catalogues: Mapping[str, SplitCatalogue],
    taxonomy: Taxonomy,
    config: MixConfig,
    partners: Mapping[str, Partners],
    renditions: Sequence[tuple[str, Rendition]],
    untargeted: Sequence[CatalogueStem] = (),
    scores: Scores | None = None,
) -> MixturePlan:
    """Decide on a set of mixtures.

    Parameters
    ----------
    sources : sequence of Source
        Where the stems are.
    catalogues : mapping of str to SplitCatalogue
        The stems of every split.
    taxonomy : Taxonomy
        Targets of the mixtures, and the classes of each.
    config : MixConfig
        Options of the set of mixtures.
    partners : mapping of str to Partners
        For a pairing, which clips may meet in every split; else empty.
    renditions : sequence of (str, Rendition)
        Renditions of the sources, each with the name of its root, for the mode of that name; else
        empty.
    untargeted : sequence of CatalogueStem
        Stems that the taxonomy has no target for.
    scores : Scores, optional
        What is known of the scores, where sources are to match.

    Raises
    ------
    NothingToDo
        If no clip can be drawn, saying why and what to change.
    """
    wanted = {s: c for s, c in catalogues.items() if s in config.splits or not config.splits}
    stems = StemTable.joined([catalogue.stems for catalogue in wanted.values()])
    _check_kinds(sources, config)
    if catalogues and not wanted:
        there = ", ".join(catalogues)
        raise NothingToDo(
            f"--split {', '.join(config.splits)}: no song of it; all are of {there} (--leave-out "
            "and --validation-songs take some for testing and validation)"
        )
    _check_target(wanted, taxonomy, config)
    if not stems:
        raise NothingToDo(_why_nothing(stems, config) + _faults(sources))
    Augmenter(config).check(stems, {name for c in wanted.values() for name in c.members})
    sample_rate = common_sample_rate(stems, config.sample_rate)
    splits: dict[str, SplitPlan] = {}
    folders = {source.name: source.root for source in sources}
    unused = ScratchRecords(_not_found(sources))
    unused.extend(_no_target(folders, untargeted))
    for split, catalogue in wanted.items():
        made: SplitPlan
        if config.mode is Mode.RENDITIONS:
            made = RenditionMixes(catalogue, split, config, sample_rate, renditions)
        elif config.mode is Mode.COMBINATIONS:
            made = CombinationPlan(catalogue, split, config, sample_rate)
        elif config.is_coherent:
            made = CoherentPlan(catalogue, split, config, sample_rate)
        elif config.mode is Mode.ACROSS:
            made = plan_across(catalogue, split, config, sample_rate, taxonomy, scores)
        else:
            cut = Augmenter(config).cut(catalogue, taxonomy)
            made = IncoherentPlan(catalogue, split, config, sample_rate, cut, partners.get(split))
        if made.n_songs:
            splits[split] = made
        unused.extend(
            _rejection(folders, catalogue.stems[k], reason, text)
            for k, reason, text in made.unused()
        )
    if not splits:
        raise NothingToDo(_why_nothing(stems, config) + _faults(sources))
    if config.mode.is_exhaustive:
        mixes = {s: made for s, made in splits.items() if isinstance(made, _Exhaustive)}
        counts = {s: made.n_mixtures for s, made in mixes.items()}
    else:
        counts = n_of_splits(config, {s: made.n_songs for s, made in splits.items()})
    header = _header(sources, wanted.values(), taxonomy, config, sample_rate, counts)
    if "train" in counts and not config.mode.is_exhaustive:
        header["n_mixtures_of"] = "train"  # what the number in the configuration is of
    if renditions:  # their stems alone do not say which renditions they are
        text = "\n".join(f"{root} {rendition}" for root, rendition in renditions)
        header["renditions_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    if scores is not None:
        header["matcher"] = dict(scores.header)
        header["sources"].append({"root": MATCHED, "layout": MATCHED})
    if config.mode is Mode.COHERENT and (own := _own_mixtures_sha256(stems)) is not None:
        header["own_mixtures_sha256"] = own
    roots = {source.name: str(source.root) for source in sources}
    return MixturePlan(
        splits={split: made for split, made in splits.items() if counts[split]},
        n_mixtures={split: n for split, n in counts.items() if n},
        header=header,
        roots=roots,
        warnings=tuple(_warnings(wanted, splits, counts, config)),
        rejections=ScratchRecords(in_order(unused, _by_all)),
    )


def _by_all(row: Rejection) -> str:
    """Return what sorts as all fields of a row do, one after the other."""
    return "\0".join(astuple(row))


def _own_mixtures_sha256(stems: StemTable) -> str | None:
    """Return the hash of the mixtures that songs have of their own; None if none has."""
    if not stems.has_own_mixtures:
        return None
    songs = map(stems.facts, np.unique(stems.facts_numbers).tolist())
    found = ScratchRecords((s.song_id, s.own_mixture) for s in songs if s.own_mixture is not None)
    if not found:
        return None
    content = hashlib.sha256()
    separator = ""
    by_song = itertools.groupby(in_order(found, lambda row: row[0]), lambda row: row[0])
    for song, rows in by_song:
        *_, (_, own) = rows
        content.update(f"{separator}{song}|{own.path}|{own.sha256}".encode())
        separator = "\n"
    return content.hexdigest()


def _not_found(sources: Sequence[Source]) -> Iterator[Rejection]:
    """Yield what was left out of every source before anything was planned."""
    for source in sources:
        for row in source.left_out:
            yield replace(row, id=f"{source.name}:{row.id}")


def _no_target(roots: Mapping[str, Path], stems: Sequence[CatalogueStem]) -> Iterator[Rejection]:
    for stem in stems:
        name = " or ".join(dict.fromkeys(stem.classes))
        yield _rejection(roots, stem, Reason.NO_TARGET, f"{name} belongs to no target")


def _rejection(
    roots: Mapping[str, Path], stem: CatalogueStem, reason: Reason, text: str
) -> Rejection:
    path = roots[stem.root] / stem.path
    return Rejection(f"{stem.root}:{stem.path}", _PLANNED_BY, reason, f"{path}: {text}")


def _check_kinds(sources: Sequence[Source], config: MixConfig) -> None:
    """Check that renditions are mixed as renditions: their stems are not one performance."""
    kinds = {source.kind for source in sources}
    if MATCHED in kinds:
        names = [str(source.root) for source in sources if source.kind == MATCHED]
        raise UsageError(f"{names[0]}: belongs to a folder of mixtures; give its corpora")
    if config.mode is Mode.RENDITIONS and kinds != {RENDITIONS}:
        raise UsageError("--mode renditions: all sources must be corpora of renditions")
    if config.mode not in (Mode.INCOHERENT, Mode.RENDITIONS) and RENDITIONS in kinds:
        names = [str(source.root) for source in sources if source.kind == RENDITIONS]
        raise UsageError(f"{names[0]}: holds renditions; use --mode renditions")


def _check_target(
    catalogues: Mapping[str, SplitCatalogue], taxonomy: Taxonomy, config: MixConfig
) -> None:
    found = {target for catalogue in catalogues.values() for target in catalogue.members}
    for option, target in (("--target", config.target), ("--overlay", config.overlay)):
        if target is None:
            continue
        if target not in taxonomy.targets:
            known = ", ".join(taxonomy.targets)
            raise UsageError(f"{option} {target}: the taxonomy {taxonomy.name} has {known}")
        if target not in found:
            have = ", ".join(sorted(found)) or "nothing"
            raise NothingToDo(f"{option} {target}: no stem of it in any source; there is {have}")


def _why_nothing(stems: StemTable, config: MixConfig) -> str:
    if not stems:
        return "no stem of any source belongs to a target of the taxonomy, in the splits wanted"
    longest_s = int(stems.n_steps.max()) / ENVELOPE_HZ
    if longest_s < config.length_s and not config.is_whole:
        return f"--clip {config.length_s:g}: the longest stem has {longest_s:g} s"
    if config.mode is Mode.RENDITIONS:
        return f"no rendition has {config.target or 'a stem'}, in the splits wanted"
    if config.mode is Mode.COMBINATIONS:
        return f"no song has {config.target or 'a stem'} and a stem of another target"
    if config.is_coherent:
        wanted = config.target or "any stem"
        return (
            f"no clip of {config.length_s:g} s with {wanted} above {config.least_rms_dbfs:g} dBFS "
            "RMS; lower --min-rms or --clip"
        )
    loosened = ", or loosen --pairing-threshold" if config.is_paired else ""
    loudest = stems.loudest_power
    level = f"{10 * math.log10(loudest):.0f} dBFS" if loudest else "silent"
    return (
        f"no split has clips of {config.length_s:g} s of two targets that may meet (the loudest "
        f"moment of any stem is {level}); lower --min-rms or --clip{loosened}"
    )


def _faults(sources: Sequence[Source]) -> str:
    """Return the first thing that is wrong with a source, to go on with, or nothing."""
    harmless = {
        Reason.MIXTURE, Reason.NOT_AUDIO, Reason.NO_STEM, Reason.INCOMPLETE, Reason.OMITTED,
    }  # fmt: skip
    faults = [row for source in sources for row in source.left_out if row.reason not in harmless]
    return f"; {len(faults)} files cannot be used: {faults[0].detail}" if faults else ""


def _warnings(
    wanted: Mapping[str, SplitCatalogue],
    splits: Mapping[str, SplitPlan],
    counts: Mapping[str, int],
    config: MixConfig,
) -> Iterator[str]:
    found = {group for made in splits.values() for group in getattr(made, "groups", ())}
    for split in wanted:
        if split not in splits:
            yield f"{split}: no mixtures; no clip fits"
            continue
        if not counts[split]:
            if split not in config.n_said:
                yield f"{split}: no mixtures; too few are asked for"
            continue
        made = splits[split]
        if isinstance(made, CoherentPlan) and counts[split] > made.n_clips:
            yield f"{split}: {counts[split]} mixtures of {made.n_clips} different clips"
        if isinstance(made, IncoherentPlan | AcrossPlan):
            missing = sorted({*made.missing, *(found - set(made.groups))})
            if missing:
                yield f"{split}: no clip of {', '.join(missing)}; its mixtures do without"


def _header(
    sources: Sequence[Source],
    catalogues: Iterable[SplitCatalogue],
    taxonomy: Taxonomy,
    config: MixConfig,
    sample_rate: int,
    counts: Mapping[str, int],
) -> dict[str, Any]:
    content = hashlib.sha256()
    stems = (catalogue.stems.identities() for catalogue in catalogues)
    for identity in heapq.merge(*stems, key=itemgetter(0)):
        content.update(f"{'|'.join(identity)}\n".encode())
    return {
        "stage": STAGE,
        "config": config.to_dict(),
        "taxonomy": {target: list(classes) for target, classes in taxonomy.classes.items()},
        "sources": [
            {"root": source.name, "layout": source.layout}
            for source in sorted(sources, key=lambda source: source.name)
        ],
        "stems_sha256": content.hexdigest(),
        "sample_rate": sample_rate,
        "n_mixtures": dict(counts),
        "versions": _versions(config, sources),
    }


def _versions(config: MixConfig, sources: Sequence[Source]) -> dict[str, str]:
    names = ["stemsmith", *_PACKAGES, *(_AUGMENT_PACKAGES if config.augment else ())]
    names += Augmenter(config).packages
    if config.pairing is Pairing.CHROMA:
        names.append("librosa")
    if any(file.path.endswith(".mp4") for source in sources for file in source.files):
        names.append("av")
    versions = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):  # an extra this set does not need
            versions[name] = package_version(name)
    if "av" in Augmenter(config).packages:
        with contextlib.suppress(UsageError):
            versions["libavcodec"] = libav_version()
    return versions
