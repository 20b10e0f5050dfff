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
import numpy.typing as npt
from stemsmith.manifests.arrays import Float64s, Int32s
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.mixing.augmentation import Decided
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import Level, MixConfig, Weights
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
from stemsmith.mixing.plan.weights import draw_weighted, inverse_class_weights, song_activity
from stemsmith.mixing.sources.catalogue import CatalogueStem, SplitCatalogue

__all__ = ["CoherentPlan"]

_SAME_TEMPO: Final = 1e-3  # 10 ms in 10 s


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
        self._starts: dict[tuple[str, int], Int32s] = {}
        self._group_starts: dict[tuple[str, str, int], Int32s] = {}
        self._songs = [
            song
            for song in catalogue.songs
            if len(self._rates(song)) == 1
            and not self._is_overlay_alone(song)
            and len(self._offsets(song, 1.0))
        ]
        self.n_songs = len(self._songs)
        self._n_offsets = np.array([len(self._offsets(song, 1.0)) for song in self._songs])
        self.n_clips = int(self._n_offsets.sum())
        # Songs that have a clip left in each turn, and where the turns end.
        sizes = [(self._n_offsets > turn).sum() for turn in range(max(self._n_offsets, default=0))]
        self._turn_ends = np.cumsum(sizes, dtype=np.int64)
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def _is_overlay_alone(self, song: str) -> bool:
        """Whether a song has nothing to put the overlay over: a solo that is itself one."""
        groups = self._catalogue.groups
        return all(groups[k] == self._config.overlay for k in self._catalogue.songs[song])

    def _rates(self, song: str) -> set[int]:
        return {self._catalogue.stems[k].sample_rate for k in self._catalogue.songs[song]}

    def unused(self) -> Iterator[Unused]:
        """Yield the stems that can be in no mixture, and why."""
        catalogue, config = self._catalogue, self._config
        groups, used = list(catalogue.members), set(self._songs)
        elsewhere = {config.overlay}
        if self._songs:
            elsewhere |= {*self._augment.from_elsewhere(groups, config.target or groups[0])}
        for song, stems in catalogue.songs.items():
            if song in used:
                continue
            why = self._why_not(song)
            for k in stems:
                group = catalogue.groups[k]
                is_drawn = used and group in elsewhere
                if not is_drawn or not len(self._audible(song, group, config.clip_steps)):
                    yield Unused(k, *why)

    def _why_not(self, song: str) -> tuple[Reason, str]:
        """Return why a song has no clip."""
        catalogue, config = self._catalogue, self._config
        stems = catalogue.songs[song]
        rates = sorted(self._rates(song))
        if len(rates) > 1:
            text = ", ".join(f"{rate} Hz" for rate in rates)
            return Reason.MISMATCH, f"the stems of its song have {len(rates)} sample rates: {text}"
        shortest = min(catalogue.stems[k].n_steps for k in stems)
        if shortest < config.clip_steps:
            return too_short(shortest, config, "its song has a stem of")
        if config.target not in (None, *(catalogue.groups[k] for k in stems)):
            return Reason.NO_TARGET, f"its song has no {config.target}"
        return too_quiet(config.least_rms_dbfs, config)

    def mixtures(self, first: int, stop: int) -> Iterator[Mixture]:
        """Yield the mixtures of some numbers; each depends on its number alone."""
        for number in range(first, stop):
            yield self._mixture(number)

    def _mixture(self, number: int) -> Mixture:
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
        clips: list[tuple[int, str, float]] = [
            (k, song, offset) for k in self._catalogue.songs[song]
        ]
        clips = self._in_time(self._remixed(clips, number, factor), number, factor)
        muted = self._muted(clips, number, factor)
        sources = [self._source(k, o, number, factor, muted) for k, _, o in clips]
        if config.overlay is not None:
            sources += self._overlay(song, number, factor, muted)
        own = None if self._is_sum else self._own_mixture(song, sources)
        rate = self._sample_rate
        return recipe(split, number, config, rate, sources, self._augment, own_mixture=own)

    def _turn(self, number: int) -> tuple[int, str]:
        """Return the turn that a mixture belongs to, and its song."""
        rest = number % self.n_clips
        turn = int(np.searchsorted(self._turn_ends, rest, side="right"))
        place = rest - (int(self._turn_ends[turn - 1]) if turn else 0)
        return turn, self._songs[self._order_of(turn)[place]]

    @cached_property
    def _song_weights(self) -> Float64s:
        """How often each song is drawn: by its stems where rare classes are drawn more often."""
        if self._config.weights is not Weights.INVERSE_CLASS:
            return np.ones(len(self._songs))
        of_song = [self._catalogue.songs[song] for song in self._songs]
        weights = inverse_class_weights(self._catalogue, [k for stems in of_song for k in stems])
        ends = np.cumsum([0, *map(len, of_song)])
        return np.add.reduceat(weights, ends[:-1])

    def _weighted(self, number: int) -> str:
        """Draw the song of a mixture by the weights of the songs."""
        return self._songs[self._drawn_by(self._song_weights, number, "weighted song")]

    def _weighted_offset(self, song: str, offsets: Int32s, number: int, factor: float) -> int:
        """Draw one of a song's offsets: evenly, or by what all of its stems play."""
        weights = np.ones(len(offsets))
        if self._config.weights is Weights.ACTIVITY:
            stems, n_steps = self._catalogue.songs[song], stretched_steps(self._config, factor)
            weights = song_activity(self._catalogue, stems, offsets, n_steps)
        return int(offsets[self._drawn_by(weights, number, "weighted offset")])

    def _drawn_by(self, weights: Float64s, number: int, what: str) -> int:
        """Draw one of some items for a mixture, in proportion to their weights."""
        u = rng_for(self._config.seed, self._split, number, what).random(1)
        first, last = np.zeros(1, np.int64), np.full(1, len(weights))
        return int(draw_weighted(weights, first, last, u)[0])

    def _muted(
        self, clips: Sequence[tuple[int, str, float]], number: int, factor: float
    ) -> str | None:
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

    def _order_of(self, turn: int) -> npt.NDArray[np.int64]:
        """Return the order of the songs in a turn; it depends on their names and the turn."""
        if self._order[0] != turn:
            rng = rng_for(self._config.seed, self._split, "songs", turn)
            self._order = turn, rng.permutation(np.flatnonzero(self._n_offsets > turn))
        return self._order[1]

    def _offsets(self, song: str, factor: float) -> Int32s:
        """Return a song's offsets with the target present, in their random order."""
        n_steps = stretched_steps(self._config, factor)
        if (song, n_steps) not in self._starts:
            target = self._config.target
            stems = self._catalogue.songs[song]
            wanted = [k for k in stems if target in (None, self._catalogue.groups[k])]
            shortest = min(self._catalogue.stems[k].n_steps for k in stems)
            offsets = self._starts_of(wanted, n_steps, self._config.least_rms_dbfs, shortest)
            rng = rng_for(self._config.seed, song, "offsets", n_steps)
            self._starts[song, n_steps] = rng.permutation(offsets)
        return self._starts[song, n_steps]

    def _starts_of(
        self, stems: Sequence[int], n_steps: int, min_rms_dbfs: float, shortest: int
    ) -> Int32s:
        """Return the starts at which at least one of some stems is present by itself.

        Of several stems of the target (two guitars) one must be: their sum is not known without
        reading it.
        """
        found = [self._catalogue.loud_starts(k, n_steps, min_rms_dbfs) for k in stems]
        starts = np.unique(np.concatenate([*found, np.zeros(0, np.int32)]))
        return starts[starts + n_steps <= shortest].astype(np.int32)

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

    def _own_mixture(self, song: str, sources: Sequence[MixtureSource]) -> MixtureSource | None:
        """Return the excerpt of a song's own mixture that some sources are the stems of."""
        own, first = self._catalogue.stems[self._catalogue.songs[song][0]].own_mixture, sources[0]
        if own is None or not all(
            source.song_id == song and is_as_it_lies(source) for source in sources
        ):
            return None
        return dataclasses.replace(
            first,
            stem_id=f"{song}/{MIXTURE}",
            path=own.path,
            stream=own.stream,
            sha256=own.sha256,
            group=MIXTURE,
            role=MIXTURE,
        )

    def _audible(self, song: str, group: str, n_steps: int) -> Int32s:
        """Return the starts at which a group of a song is not silent."""
        key = song, group, n_steps
        if key not in self._group_starts:
            stems = [k for k in self._catalogue.songs[song] if self._catalogue.groups[k] == group]
            shortest = min((self._catalogue.stems[k].n_steps for k in stems), default=0)
            starts = self._starts_of(stems, n_steps, SILENCE_RMS_DBFS, shortest)
            self._group_starts[key] = starts
        return self._group_starts[key]

    def _drawn_clip(
        self, group: str, number: int, n_steps: int, excluded: str
    ) -> tuple[str, int] | None:
        """Draw a song that has a group, and an offset at which it sounds; None if there is none."""
        songs = self._catalogue.songs_with[group]
        rng = rng_for(self._config.seed, self._split, number, group, "elsewhere")
        for j in rng.permutation(len(songs)):
            starts = self._audible(songs[j], group, n_steps)
            if len(starts) and songs[j] != excluded:
                return songs[j], int(rng.choice(starts))
        return None

    def _remixed(
        self, clips: list[tuple[int, str, float]], number: int, factor: float
    ) -> list[tuple[int, str, float]]:
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
                stems = [k for k in catalogue.songs[drawn[0]] if catalogue.groups[k] == group]
                remixed += [(k, *drawn) for k in stems]
        return remixed

    def _in_time(
        self, clips: list[tuple[int, str, float]], number: int, factor: float
    ) -> list[tuple[int, str, float]]:
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
                stems = [k for k in catalogue.songs[song] if catalogue.groups[k] == group]
                swapped += [(k, song, offset) for k in stems]
        return sorted([*clips, *swapped]) if swapped else clips

    def _drawn_in_time(
        self, group: str, own: tuple[int, str, float], number: int, factor: float
    ) -> tuple[str, float] | None:
        """Draw another song of the tempo, and an offset with a bar as far on as in the own song."""
        k, song, offset = own
        anchor, n_steps = self._catalogue.stems[k], stretched_steps(self._config, factor)
        songs = self._catalogue.songs_with[group]
        rng = rng_for(self._config.seed, self._split, number, group, "in time")
        for j in rng.permutation(len(songs)):
            stem = next(
                self._catalogue.stems[n]
                for n in self._catalogue.songs[songs[j]]
                if self._catalogue.groups[n] == group
            )
            if songs[j] == song or not _is_in_time(anchor, stem):
                continue
            own_bar, bar = _bar_steps(anchor), _bar_steps(stem)
            first = offset % own_bar / own_bar * bar
            places = np.arange(first, stem.n_steps - n_steps, bar)
            audible = self._audible(songs[j], group, n_steps)
            places = places[np.isin(np.floor(places).astype(np.int64), audible)]
            if len(places):
                return songs[j], float(rng.choice(places))
        return None

    def _overlay(
        self, song: str, number: int, factor: float, muted: str | None
    ) -> list[MixtureSource]:
        """Put a group over a song that lacks it (a vocal over a rendered band).

        It is brought to the median integrated loudness of the song's stems, as Slakh's automatic
        mix has all stems equally loud; where all are made so anyway, it is one of them.
        """
        catalogue, group = self._catalogue, self._config.overlay
        stems = catalogue.songs[song]
        if group not in catalogue.members or group in {catalogue.groups[k] for k in stems}:
            return []
        drawn = self._drawn_clip(group, number, stretched_steps(self._config, factor), song)
        levels = [level for k in stems if (level := catalogue.loudness_lufs(k)) is not None]
        if drawn is None or not levels:
            return []
        sources = []
        for k in catalogue.songs[drawn[0]]:
            own = catalogue.loudness_lufs(k)
            if catalogue.groups[k] == group and own is not None:
                source = self._source(k, drawn[1], number, factor, muted)
                if self._config.levels is Level.EQUAL:
                    sources.append(source)
                    continue
                gain_db = source.gain_db + float(np.median(levels)) - own
                level_db = round(gain_db, GAIN_DECIMALS)
                sources.append(dataclasses.replace(source, gain_db=level_db))
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
