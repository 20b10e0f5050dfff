"""Mixtures between coherent and incoherent: each source of the anchor's song with a probability.

The anchor is the target, or where none is asked for the loudest of the moment. Mixture 7 with a
coherence of 1 is coherent mixture 7, and with a coherence of 0 and nothing to match incoherent
mixture 7. In between, every target but the anchor's is drawn on its own, from a generator of its
own: if it is of the anchor's song, it is what the coherent mixture has, and if not, what the
incoherent one has, or an excerpt that matches the anchor (`stemsmith.mixing.plan.matching`). The
higher the coherence, the more sources come from the anchor's song; those that did before stay.

Where sources of several songs meet, those of the anchor's song keep their levels to each other and
get one gain, with which the anchor has the loudness of an incoherent source; the others have it,
too. Where a level is asked for, all have it: their own, or the same. All of these mixtures are
sums, whatever the coherence: mixtures that songs have of their own are not used.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.level.gains import db_to_linear
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import loudness_when_played_at
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MOST_MIXTURES, Match, MixConfig, Mode
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.plan.matcher import WantedStem
from stemsmith.mixing.plan.matching import Anchor, Matched, Scores, SourceMatching
from stemsmith.mixing.plan.recipes import GAIN_DECIMALS, Unused
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["AcrossPlan", "Drawn", "plan_across"]

_MOST_ANCHORS: Final = 12  # that are tried for one mixture
_NO_BEAT: Final = "its notes keep to no beat, which --match asks for"


class Drawn(NamedTuple):
    """A mixture, with what has to be rendered for it.

    Attributes
    ----------
    mixture : Mixture
        The recipe; files that are to be rendered have no hash yet.
    wanted : list of WantedStem
        What is to be rendered.
    n_matched, n_unmatched : int
        Sources that match the anchor, and those for which nothing was found.
    """

    mixture: Mixture
    wanted: list[WantedStem]
    n_matched: int = 0
    n_unmatched: int = 0


class _Own(NamedTuple):
    """A coherent mixture, and the numbers of the stems that its sources are of."""

    mixture: Mixture
    stems: list[int]

    def of_group(self, group: str) -> tuple[list[MixtureSource], list[int]]:
        """Return the sources of a target, and their stems."""
        pairs = zip(self.mixture.sources, self.stems, strict=True)
        found = [(source, k) for source, k in pairs if source.group == group]
        return [source for source, _ in found], [k for _, k in found]


def plan_across(
    catalogue: SplitCatalogue,
    split: str,
    config: MixConfig,
    sample_rate: int,
    taxonomy: Taxonomy,
    scores: Scores | None,
) -> CoherentPlan | IncoherentPlan | AcrossPlan:
    """Return the plan of a split's mixtures: at the ends of the dial that of another mode.

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
    taxonomy : Taxonomy
        Targets of the catalogue.
    scores : Scores or None
        What is known of the scores, if something is to match.
    """
    if config.coherence == 1:
        coherent = config.with_mode(Mode.COHERENT)
        return CoherentPlan(catalogue, split, coherent, sample_rate, is_sum=True)
    if config.coherence == 0 and scores is None:
        return IncoherentPlan(catalogue, split, config.with_mode(Mode.INCOHERENT), sample_rate)
    return AcrossPlan(catalogue, split, config, sample_rate, taxonomy, scores)


class AcrossPlan:
    """The mixtures of one split, of which some sources may be of other songs.

    Parameters
    ----------
    catalogue, split, config, sample_rate, taxonomy, scores
        As for `plan_across`.

    Attributes
    ----------
    groups, missing : list of str
        Targets that have clips, and those that have stems but no clips.
    n_songs : int
        Number of songs that anchors are taken from; 0 if only one target has clips.
    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        split: str,
        config: MixConfig,
        sample_rate: int,
        taxonomy: Taxonomy,
        scores: Scores | None,
    ) -> None:
        self._split, self._config = split, config
        self._is_usable = np.ones(len(catalogue.stems), bool)
        if scores is not None:
            has_grid = [_has_grid(song, config.match, scores) for song in catalogue.songs]
            self._is_usable = np.array(has_grid, bool)[catalogue.songs.of_stem]
        if not self._is_usable.all():
            catalogue = SplitCatalogue(catalogue.stems.take(self._is_usable), taxonomy)
        self._catalogue = catalogue
        self._coherent = CoherentPlan(
            catalogue, split, config.with_mode(Mode.COHERENT), sample_rate, is_sum=True
        )
        self._incoherent = IncoherentPlan(
            catalogue, split, config.with_mode(Mode.INCOHERENT), sample_rate
        )
        self._matching = (
            None
            if scores is None
            else SourceMatching(catalogue, split, config, scores, sample_rate)
        )
        self.groups, self.missing = self._incoherent.groups, self._incoherent.missing
        self.n_songs = self._coherent.n_songs if self._incoherent.n_songs else 0

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        for k in np.flatnonzero(~self._is_usable).tolist():
            yield Unused(k, Reason.NO_PARTNER, _NO_BEAT)
        numbers = np.flatnonzero(self._is_usable)
        is_unused = np.zeros(len(numbers), bool)
        is_unused[[row.k for row in self._coherent.unused()]] = True
        for row in self._incoherent.unused():
            if is_unused[row.k]:
                yield row._replace(k=int(numbers[row.k]))

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers; each depends on its number alone."""
        for drawn in self.draw(first, stop):
            yield drawn.mixture

    def draw(self, first: int, stop: int) -> Iterator[Drawn]:
        """Yield the mixtures of some numbers with what has to be rendered for them."""
        coherent = itertools.starmap(_Own, self._coherent.numbered(first, stop))
        if self._matching is not None:
            for number, own in zip(range(first, stop), coherent, strict=True):
                yield self._matched_mixture(number, own)
            return
        incoherent = self._incoherent.mixtures(first, stop)
        for number, own, other in zip(range(first, stop), coherent, incoherent, strict=True):
            yield Drawn(self._plain_mixture(number, own, other), [])

    def _plain_mixture(self, number: int, own: _Own, other: Mixture) -> Mixture:
        """Return the mixture of a number, from the coherent and the incoherent one."""
        anchor = self._anchor_of(own)
        elsewhere = self._elsewhere(number, anchor)
        if not elsewhere:
            return own.mixture
        if len(elsewhere) == len(self._catalogue.members) - 1:
            return other
        foreign = [source for source in other.sources if source.group in elsewhere]
        return self._joined(own, anchor, elsewhere, foreign)

    def _matched_mixture(self, number: int, own: _Own) -> Drawn:
        """Return the mixture of a number whose sources of other songs match the anchor.

        Where an anchor lacks a match, others are tried: those of coherent mixtures that nobody asks
        for.
        """
        best = self._matched_to(number, own)
        for attempt in range(1, _MOST_ANCHORS):
            if not best.n_unmatched:
                break
            other = number + attempt * MOST_MIXTURES
            ((anchored, stems),) = self._coherent.numbered(other, other + 1)
            anchored = dataclasses.replace(anchored, mixture_id=own.mixture.mixture_id)
            found = self._matched_to(number, _Own(anchored, stems))
            if found.n_unmatched < best.n_unmatched:
                best = found
        return best

    def _matched_to(self, number: int, own: _Own) -> Drawn:
        """Return the mixture of a number that has the anchor of a coherent one."""
        assert self._matching is not None
        anchor = self._anchor_of(own)
        elsewhere = self._elsewhere(number, anchor)
        if not elsewhere:
            return Drawn(own.mixture, [])
        sources, stems = own.of_group(anchor)
        place = Anchor(
            song_id=sources[0].song_id,
            start_s=sources[0].start / sources[0].sample_rate,
            n_steps=self._config.clip_steps,
            stems=stems,
        )
        drawn = [self._matching.draw(number, group, place) for group in elsewhere]
        found: list[Matched] = [one for one in drawn if one is not None]
        mixture = self._joined(own, anchor, elsewhere, [one.source for one in found])
        wanted = [one.wanted for one in found if one.wanted is not None]
        return Drawn(mixture, wanted, len(found), len(drawn) - len(found))

    def _anchor_of(self, own: _Own) -> str:
        """Return the target that everything else is drawn around."""
        if self._config.target is not None:
            return self._config.target
        places = list(zip(own.stems, map(_first_step, own.mixture.sources), strict=True))
        return self._catalogue.loudest_group(places, self._config.clip_steps)

    def _elsewhere(self, number: int, anchor: str) -> list[str]:
        """Draw which targets are not of the anchor's song."""
        config = self._config

        def is_own(group: str) -> bool:
            rng = rng_for(config.seed, self._split, number, group, "coherence")
            return bool(rng.random() < (config.coherence or 0.0))

        others = [group for group in self._catalogue.members if group != anchor]
        return [group for group in others if not is_own(group)]

    def _joined(
        self,
        own: _Own,
        anchor: str,
        elsewhere: Sequence[str],
        foreign: Sequence[MixtureSource],
    ) -> Mixture:
        """Return a mixture of what the anchor's song keeps and of sources of other songs."""
        kept = [source for source in own.mixture.sources if source.group not in elsewhere]
        gain_db = 0.0
        if self._config.levels is None:
            gain_db = self._gain_db(*own.of_group(anchor))
        levelled = [
            dataclasses.replace(s, gain_db=round(s.gain_db + gain_db, GAIN_DECIMALS)) for s in kept
        ]
        order = {group: place for place, group in enumerate(self._catalogue.members)}
        sources = sorted([*levelled, *foreign], key=lambda source: order[source.group])
        return dataclasses.replace(own.mixture, mode=str(Mode.ACROSS), sources=tuple(sources))

    def _gain_db(self, sources: Sequence[MixtureSource], stems: Sequence[int]) -> float:
        """Return the gain with which the anchor has the loudness of an incoherent source.

        Powers of several stems add up: what they have in common nobody knows without reading them.
        """
        steps = np.array([_first_step(source) for source in sources])
        powers = self._catalogue.clip_k_powers(np.array(stems), steps, self._config.clip_steps)
        scale = np.array([db_to_linear(source.gain_db) ** 2 for source in sources])
        target_lufs = self._config.target_lufs
        loudness_lufs = loudness_when_played_at(scale @ powers, target_lufs)
        return 0.0 if loudness_lufs is None else target_lufs - loudness_lufs


def _first_step(source: MixtureSource) -> int:
    return source.start * ENVELOPE_HZ // source.sample_rate


def _has_grid(song_id: str, match: Match, scores: Scores) -> bool:
    """Tell whether a song's stems may be used: to match beats, it must have some."""
    grid = scores.grids.get(song_id)
    return grid is not None and (grid.has_beat or not match.is_retimed)
