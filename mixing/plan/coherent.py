"""Coherent mixtures: all stems of one song over one interval (Slakh section 3.2).

Songs take turns in a random order, and every song has its own random order of offsets; a song that
has none left sits out. So no clip comes twice before all have come (with one tempo), and adding a
song leaves the offsets of the others as they were. Departure from the paper, which draws song and
offset anew each time: while no song sits out, the distribution of single clips is the same. With
weights songs and offsets are drawn anew each time, as there.

A song that has a mixture of its own (Flakh, section 2.3: the file rendered as a whole) is mixed to
an excerpt of that wherever its stems are mixed as they are; whatever changes, moves or replaces one
of them leaves nothing but their sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Bools, Int32s, Int64s
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.mixing.augmentation import Decided
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import Level, MixConfig, Weights
from stemsmith.mixing.plan.kept import KeptArrays
from stemsmith.mixing.plan.recipes import (
    GAIN_DECIMALS,
    SILENCE_RMS_DBFS,
    Unused,
    is_as_it_lies,
    recipe,
    recipe_source,
    stretched_steps,
    too_quiet,
    too_short,
)
from stemsmith.mixing.plan.weights import WeightedItems, inverse_class_weights, song_activity
from stemsmith.mixing.sources.catalogue import SplitCatalogue, pieces
from stemsmith.mixing.sources.stems import CatalogueStem

__all__ = ["CoherentPlan"]

_SAME_TEMPO: Final = 1e-3  # 10 ms in 10 s
_SONGS_AT_ONCE: Final = 4096

_Clip = tuple[int, int, float]  # a stem, its song, and where it begins in 100 ms


class CoherentPlan:
    """The coherent mixtures of one split.

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
    is_sum : bool
        Whether every mixture is the sum of its stems, also where songs have mixtures of their own.

    Attributes
    ----------
    n_songs : int
        Number of songs with at least one clip.
    n_clips : int
        Number of different clips there are, without augmentation.

    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        split: str,
        config: MixConfig,
        sample_rate: int,
        *,
        is_sum: bool = False,
    ) -> None:
        self._catalogue, self._split, self._config = catalogue, split, config
        self._is_sum = is_sum
        self._sample_rate, self._augment = sample_rate, Augmenter(config)
        self._starts, self._group_starts = KeptArrays(), KeptArrays()
        n_clips = self._n_clips_of(np.flatnonzero(self._may_have_clips()))
        self._songs = np.flatnonzero(n_clips)
        self.n_songs = len(self._songs)
        self._n_offsets = n_clips[self._songs]
        self.n_clips = int(self._n_offsets.sum())
        # Songs that have a clip left in each turn, and where the turns end.
        counts = np.bincount(self._n_offsets)[:-1]
        self._turn_ends = np.cumsum(self.n_songs - np.cumsum(counts), dtype=np.int64)
        self._order: tuple[int, Int64s] = (-1, np.zeros(0, np.int64))

    def _may_have_clips(self) -> Bools:
        """Tell which songs have one sample rate, and something to put the overlay over.

        A solo that is itself an overlay has nothing.
        """
        catalogue = self._catalogue
        n_songs = len(catalogue.songs)
        stems, starts = catalogue.songs.stems_of(np.arange(n_songs))
        if not n_songs:
            return np.zeros(0, bool)
        rates = catalogue.stems.sample_rates[stems]
        is_one_rate = np.minimum.reduceat(rates, starts) == np.maximum.reduceat(rates, starts)
        is_overlay = np.zeros(len(stems), bool)
        is_overlay[catalogue.members.get(self._config.overlay or "", np.zeros(0, np.int32))] = True
        has_others = np.logical_or.reduceat(~is_overlay[stems], starts)
        may_have: Bools = is_one_rate & has_others
        return may_have

    def _n_clips_of(self, songs: Int64s) -> Int64s:
        """Return how many clips every song has, (n_songs,), of these alone."""
        catalogue, n_steps = self._catalogue, self._config.clip_steps
        counts = np.zeros(len(catalogue.songs), np.int64)
        is_wanted = np.ones(len(catalogue.stems), bool)
        if self._config.target is not None:
            is_wanted[:] = False
            is_wanted[catalogue.members.get(self._config.target, np.zeros(0, np.int32))] = True
        stems, starts = catalogue.songs.stems_of(songs)
        songs = songs[np.argsort(catalogue.stems.places(stems[starts]), kind="stable")]
        for begin in range(0, len(songs), _SONGS_AT_ONCE):
            some = songs[begin : begin + _SONGS_AT_ONCE]
            stems, starts = catalogue.songs.stems_of(some)
            shortest = np.minimum.reduceat(catalogue.stems.n_steps[stems], starts)
            n_wanted = np.add.reduceat(is_wanted[stems].astype(np.int64), starts)
            has_any = n_wanted > 0
            stems, n_wanted = stems[is_wanted[stems]], n_wanted[has_any]
            counts[some[has_any]] = self._n_starts(stems, n_wanted, shortest[has_any], n_steps)
        return counts

    def _n_starts(self, stems: Int64s, n_stems: Int64s, shortest: Int32s, n_steps: int) -> Int64s:
        """Return at how many steps one of the stems of each song is present, (n_songs,).

        Parameters
        ----------
        stems : numpy.ndarray
            The stems that are wanted, song after song.
        n_stems : numpy.ndarray
            (n_songs,) how many of them each song has, at least one.
        shortest : numpy.ndarray
            (n_songs,) length of the shortest stem of each song in 100 ms, wanted or not.
        n_steps : int
            Length of the clips in 100 ms.
        """
        catalogue, counts = self._catalogue, np.zeros(len(n_stems), np.int64)
        first = np.cumsum(n_stems) - n_stems
        if not len(n_stems):
            return counts
        longest = np.maximum.reduceat(catalogue.stems.n_steps[stems], first)
        for piece in pieces(longest * n_stems):
            start, stop = int(first[piece][0]), int(first[piece][-1] + n_stems[piece][-1])
            if piece.stop - piece.start == 1:  # which may be too much for memory at once
                some = stems[start:stop].tolist(), n_steps, self._config.least_rms_dbfs
                counts[piece] = len(self._starts_of(*some, int(shortest[piece][0])))
                continue
            is_present = catalogue.present(stems[start:stop], n_steps, self._config.least_rms_dbfs)
            of_song = np.logical_or.reduceat(is_present, first[piece] - start)
            of_song &= np.arange(of_song.shape[1]) <= (shortest[piece] - n_steps)[:, np.newaxis]
            counts[piece] = of_song.sum(axis=1)
        return counts

    def _rates(self, song: int) -> set[int]:
        stems = self._catalogue.songs.stems(song)
        return set(self._catalogue.stems.sample_rates_of(stems).tolist())

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        catalogue, config = self._catalogue, self._config
        groups, is_used = list(catalogue.members), np.zeros(len(catalogue.songs), bool)
        is_used[self._songs] = True
        elsewhere = {config.overlay}
        if self.n_songs:
            elsewhere |= {*self._augment.from_elsewhere(groups, config.target or groups[0])}
        for song in np.flatnonzero(~is_used).tolist():
            why = self._why_not(song)
            for k in catalogue.songs.stems(song):
                group = catalogue.groups[k]
                is_drawn = self.n_songs and group in elsewhere
                if not is_drawn or not len(self._audible(song, group, config.clip_steps)):
                    yield Unused(k, *why)

    def _why_not(self, song: int) -> tuple[Reason, str]:
        """Return why a song has no clip."""
        catalogue, config = self._catalogue, self._config
        stems = catalogue.songs.stems(song)
        rates = sorted(self._rates(song))
        if len(rates) > 1:
            text = ", ".join(f"{rate} Hz" for rate in rates)
            return Reason.MISMATCH, f"the stems of its song have {len(rates)} sample rates: {text}"
        shortest = int(catalogue.stems.n_steps[stems].min())
        if shortest < config.clip_steps:
            return too_short(shortest, config, "its song has a stem of")
        if config.target not in (None, *(catalogue.groups[k] for k in stems)):
            return Reason.NO_TARGET, f"its song has no {config.target}"
        return too_quiet(config.least_rms_dbfs, config)

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers; each depends on its number alone."""
        for mixture, _ in self.numbered(first, stop):
            yield mixture

    def numbered(self, first: int, stop: int) -> Iterator[tuple[Mixture, list[int]]]:
        """Yield the same, each with the number of the stem of every source."""
        for number in range(first, stop):
            yield self._mixture(number)

    def _mixture(self, number: int) -> tuple[Mixture, list[int]]:
        config, split = self._config, self._split
        turn, song = self._turn(number) if config.weights is None else (0, self._weighted(number))
        factor = self._augment.draw_speed(split, number)
        offsets = self._offsets(song, factor)
        if not len(offsets):  # the song is too short at that tempo
            factor, offsets = 1.0, self._offsets(song, 1.0)
        if config.weights is None:
            offset = int(offsets[turn % len(offsets)])
        else:
            offset = self._weighted_offset(song, offsets, number, factor)
        clips: list[_Clip] = [(k, song, offset) for k in self._catalogue.songs.stems(song)]
        clips = self._in_time(self._remixed(clips, number, factor), number, factor)
        muted = self._muted(clips, number, factor)
        sources = [(self._source(k, o, number, factor, muted), k) for k, _, o in clips]
        if config.overlay is not None:
            sources += self._overlay(song, number, factor, muted)
        records, stems = [source for source, _ in sources], [k for _, k in sources]
        own = None if self._is_sum else self._own_mixture(song, records)
        rate = self._sample_rate
        mixture = recipe(split, number, config, rate, records, self._augment, own_mixture=own)
        return mixture, stems

    def _turn(self, number: int) -> tuple[int, int]:
        """Return the turn that a mixture belongs to, and its song."""
        rest = number % self.n_clips
        turn = int(np.searchsorted(self._turn_ends, rest, side="right"))
        place = rest - (int(self._turn_ends[turn - 1]) if turn else 0)
        return turn, int(self._songs[self._order_of(turn)[place]])

    @cached_property
    def _weighted_songs(self) -> WeightedItems:
        """The songs as they are drawn: by their stems where rare classes are drawn more often."""
        if self._config.weights is not Weights.INVERSE_CLASS:
            return WeightedItems(np.ones(len(self._songs)))
        stems, starts = self._catalogue.songs.stems_of(self._songs)
        weights = inverse_class_weights(self._catalogue, stems)
        return WeightedItems(np.add.reduceat(weights, starts))

    def _weighted(self, number: int) -> int:
        """Draw the song of a mixture by the weights of the songs."""
        return int(self._songs[self._drawn_by(self._weighted_songs, number, "weighted song")])

    def _weighted_offset(self, song: int, offsets: Int32s, number: int, factor: float) -> int:
        """Draw one of a song's offsets: evenly, or by what all of its stems play."""
        weights = np.ones(len(offsets))
        if self._config.weights is Weights.ACTIVITY:
            stems = self._catalogue.songs.stems(song)
            n_steps = stretched_steps(self._config, factor)
            weights = song_activity(self._catalogue, stems, offsets, n_steps)
        return int(offsets[self._drawn_by(WeightedItems(weights), number, "weighted offset")])

    def _drawn_by(self, items: WeightedItems, number: int, what: str) -> int:
        """Draw one of some items for a mixture, in proportion to their weights."""
        u = rng_for(self._config.seed, self._split, number, what).random(1)
        return int(items.draw(u)[0])

    def _muted(self, clips: Sequence[_Clip], number: int, factor: float) -> str | None:
        """Draw the group to mute; the target stays, and what alone sounds in the mixture."""
        config, catalogue = self._config, self._catalogue

        def kept() -> str | None:
            if config.target is not None:
                return config.target
            places = [(k, int(offset)) for k, _, offset in clips]
            n_steps = stretched_steps(config, factor)
            return catalogue.only_group(places, n_steps, SILENCE_RMS_DBFS)

        groups = [catalogue.groups[k] for k, _, _ in clips]
        return self._augment.draw_muted(groups, kept, self._split, number)

    def _order_of(self, turn: int) -> Int64s:
        """Return the order of the songs in a turn; it depends on their names and the turn."""
        if self._order[0] != turn:
            rng = rng_for(self._config.seed, self._split, "songs", turn)
            self._order = turn, rng.permutation(np.flatnonzero(self._n_offsets > turn))
        return self._order[1]

    def _offsets(self, song: int, factor: float) -> Int32s:
        """Return a song's offsets with the target present, in their random order."""
        n_steps = stretched_steps(self._config, factor)
        return self._starts.made((song, n_steps), lambda: self._made_offsets(song, n_steps))

    def _made_offsets(self, song: int, n_steps: int) -> Int32s:
        catalogue, target = self._catalogue, self._config.target
        stems = catalogue.songs.stems(song)
        wanted = [k for k in stems if target in (None, catalogue.groups[k])]
        shortest = int(catalogue.stems.n_steps[stems].min())
        offsets = self._starts_of(wanted, n_steps, self._config.least_rms_dbfs, shortest)
        rng = rng_for(self._config.seed, catalogue.songs.name(song), "offsets", n_steps)
        return rng.permutation(offsets)

    def _starts_of(
        self, stems: Sequence[int], n_steps: int, min_rms_dbfs: float, shortest: int
    ) -> Int32s:
        """Return the starts at which at least one of some stems is present by itself.

        Of several stems of the target (two guitars) one must be: their sum is not known without
        reading it.
        """
        catalogue, starts = self._catalogue, np.zeros(0, np.int32)
        numbers = np.array(stems, np.int64)
        for piece in pieces(catalogue.stems.n_steps[numbers]):
            is_present = catalogue.present(numbers[piece], n_steps, min_rms_dbfs).any(axis=0)
            starts = np.union1d(starts, np.flatnonzero(is_present).astype(np.int32))
        return starts[starts + n_steps <= shortest]

    def _source(
        self, k: int, offset: float, number: int, factor: float, muted: str | None
    ) -> MixtureSource:
        """Return one source of a mixture.

        Shifts are drawn per target. The interval is moved along with the target's shift, so that
        what is read of the target is what was found to be present.
        """
        config, split, augment = self._config, self._split, self._augment
        group, stem_id = self._catalogue.groups[k], self._catalogue.stems[k].stem_id
        decided = Decided(
            factor,
            group == muted,
            classes=self._catalogue.stems[k].classes,
            sample_rate=self._sample_rate,
        )
        transforms, gain_db = augment.draw_transforms(decided, split, number, stem_id)
        if config.levels is Level.EQUAL:
            gain_db += self._catalogue.level_db(k, config.target_lufs)
            gain_db = round(gain_db, GAIN_DECIMALS)
        target = config.target
        moved = 0 if target is None else augment.draw_shift_steps(split, number, target)
        return recipe_source(
            self._catalogue,
            k,
            config,
            start_step=offset + moved,
            n_steps=stretched_steps(config, factor),
            shift_steps=augment.draw_shift_steps(split, number, group),
            is_shift_padded=augment.is_shift_padded,
            transforms=transforms,
            gain_db=gain_db,
        )

    def _own_mixture(self, song: int, sources: Sequence[MixtureSource]) -> MixtureSource | None:
        """Return the excerpt of a song's own mixture that some sources are the stems of."""
        stem, first = self._catalogue.stems[self._catalogue.songs.stems(song)[0]], sources[0]
        own = stem.own_mixture
        if own is None or not all(
            source.song_id == stem.song_id and is_as_it_lies(source) for source in sources
        ):
            return None
        return dataclasses.replace(
            first,
            stem_id=f"{stem.song_id}/{MIXTURE}",
            path=own.path,
            stream=own.stream,
            sha256=own.sha256,
            group=MIXTURE,
            role=MIXTURE,
        )

    def _audible(self, song: int, group: str, n_steps: int) -> Int32s:
        """Return the starts at which a group of a song is not silent."""

        def starts() -> Int32s:
            stems = self._stems_of(song, group)
            shortest = min(self._catalogue.stems.n_steps[stems].tolist(), default=0)
            return self._starts_of(stems, n_steps, SILENCE_RMS_DBFS, shortest)

        return self._group_starts.made((song, group, n_steps), starts)

    def _stems_of(self, song: int, group: str) -> list[int]:
        """Return the stems of a song that belong to a group."""
        groups = self._catalogue.groups
        return [k for k in self._catalogue.songs.stems(song) if groups[k] == group]

    def _drawn_clip(
        self, group: str, number: int, n_steps: int, excluded: int
    ) -> tuple[int, int] | None:
        """Draw a song that has a group, and an offset at which it sounds; None if there is none."""
        songs = self._catalogue.songs_with[group]
        rng = rng_for(self._config.seed, self._split, number, group, "elsewhere")
        for song in songs[rng.permutation(len(songs))].tolist():
            starts = self._audible(song, group, n_steps)
            if len(starts) and song != excluded:
                return song, int(rng.choice(starts))
        return None

    def _remixed(self, clips: list[_Clip], number: int, factor: float) -> list[_Clip]:
        """Take from other songs what an augmentation says; the target (or the first group) stays.

        As in Brunner IV-C every kind of source comes at most once; a group nobody else has stays.
        """
        catalogue, n_steps = self._catalogue, stretched_steps(self._config, factor)
        groups = list(dict.fromkeys(catalogue.groups[k] for k, _, _ in clips))
        elsewhere = self._augment.from_elsewhere(groups, self._config.target or groups[0])
        if not elsewhere:
            return clips
        song = clips[0][1]
        remixed = []
        for group in groups:
            drawn = None
            if group in elsewhere:
                drawn = self._drawn_clip(group, number, n_steps, song)
            if drawn is None:
                remixed += [clip for clip in clips if catalogue.groups[clip[0]] == group]
            else:
                remixed += [(k, *drawn) for k in self._stems_of(drawn[0], group)]
        return remixed

    def _in_time(self, clips: list[_Clip], number: int, factor: float) -> list[_Clip]:
        """Take from other songs of the same tempo what an augmentation says, bar on bar.

        A target that no such song has stays.
        """
        catalogue, classes = self._catalogue, dict[str, set[str]]()
        for k, _, _ in clips:
            classes.setdefault(catalogue.groups[k], set()).update(catalogue.stems[k].classes)
        kept = self._config.target or next(iter(classes))
        swapped = []
        for group in self._augment.in_time(classes, kept):
            own = next(clip for clip in clips if catalogue.groups[clip[0]] == group)
            if (drawn := self._drawn_in_time(group, own, number, factor)) is not None:
                song, offset = drawn
                clips = [clip for clip in clips if catalogue.groups[clip[0]] != group]
                swapped += [(k, song, offset) for k in self._stems_of(song, group)]
        return sorted([*clips, *swapped]) if swapped else clips

    def _drawn_in_time(
        self, group: str, own: _Clip, number: int, factor: float
    ) -> tuple[int, float] | None:
        """Draw another song of the tempo, and an offset with a bar as far on as in the own song."""
        k, song, offset = own
        anchor, n_steps = self._catalogue.stems[k], stretched_steps(self._config, factor)
        songs = self._catalogue.songs_with[group]
        rng = rng_for(self._config.seed, self._split, number, group, "in time")
        for other in songs[rng.permutation(len(songs))].tolist():
            stem = self._catalogue.stems[self._stems_of(other, group)[0]]
            if other == song or not _is_in_time(anchor, stem):
                continue
            own_bar, bar = _bar_steps(anchor), _bar_steps(stem)
            first = offset % own_bar / own_bar * bar
            places = np.arange(first, stem.n_steps - n_steps, bar)
            audible = self._audible(other, group, n_steps)
            places = places[np.isin(np.floor(places).astype(np.int64), audible)]
            if len(places):
                return other, float(rng.choice(places))
        return None

    def _overlay(
        self, song: int, number: int, factor: float, muted: str | None
    ) -> list[tuple[MixtureSource, int]]:
        """Put a group over a song that lacks it (a vocal over a rendered band).

        It is brought to the median integrated loudness of the song's stems, as Slakh's automatic
        mix has all stems equally loud; where all are made so anyway, it is one of them.
        """
        catalogue, group = self._catalogue, self._config.overlay
        stems = catalogue.songs.stems(song)
        if group not in catalogue.members or group in {catalogue.groups[k] for k in stems}:
            return []
        drawn = self._drawn_clip(group, number, stretched_steps(self._config, factor), song)
        levels = [level for k in stems if (level := catalogue.loudness_lufs(k)) is not None]
        if drawn is None or not levels:
            return []
        sources = []
        for k in self._stems_of(drawn[0], group):
            own = catalogue.loudness_lufs(k)
            if own is None:
                continue
            source = self._source(k, drawn[1], number, factor, muted)
            if self._config.levels is not Level.EQUAL:
                gain_db = source.gain_db + float(np.median(levels)) - own
                level_db = round(gain_db, GAIN_DECIMALS)
                source = dataclasses.replace(source, gain_db=level_db)
            sources.append((source, k))
        return sources


def _is_in_time(one: CatalogueStem, other: CatalogueStem) -> bool:
    """Tell whether two stems have one tempo, and bars of one length."""
    if one.tempo_bpm is None or other.tempo_bpm is None or one.bar_quarters is None:
        return False
    is_same = abs(other.tempo_bpm / one.tempo_bpm - 1) <= _SAME_TEMPO
    return is_same and one.bar_quarters == other.bar_quarters


def _bar_steps(stem: CatalogueStem) -> float:
    """Return the length of a bar in 100 ms."""
    assert stem.tempo_bpm is not None
    assert stem.bar_quarters is not None
    return 60 * ENVELOPE_HZ * stem.bar_quarters / stem.tempo_bpm
