"""Sources of other songs that are made to match an anchor: which excerpt, and how it is changed.

A source shares with the anchor its key, or key and beats, or key, beats and bars. It is rendered
again from its score: transposed by at most 6 semitones, and with the anchor's tempo in place of its
own. Nothing is stretched. Here it is only decided; whoever can read scores says where their beats
are (`ScoreGrid`), and renders what is wanted (`stemsmith.mixing.plan.matcher.Matcher`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float64s, UInt8s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.mixtures import MixtureSource
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Stem
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.augmentation import Decided
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.config import Level, Match, MixConfig
from stemsmith.mixing.plan.matcher import WantedStem
from stemsmith.mixing.plan.recipes import SILENCE_RMS_DBFS, recipe_source, role_of
from stemsmith.mixing.plan.score_grid import LARGEST_TRANSPOSITION, ScoreGrid, TempoKnots
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.find import Source

__all__ = [
    "Anchor",
    "HeardNotes",
    "Matched",
    "Scores",
    "SourceMatching",
    "chroma_of",
    "read_notes",
    "transposition_of",
]

_LARGEST_RATIO: Final = 1.5  # of tempi; beyond, an instrument is asked for what nobody plays on it
_MOST_STEMS: Final = 48  # that are looked at for one source
_MOST_EXCERPTS: Final = 6  # of one stem
_DECIMALS: Final = 9  # of beats and seconds in recipes
_SAME_BEAT: Final = 1e-4  # quarter notes
_LEAST_LEAD: Final = 0.1  # of the best transposition's correlation over the others'


class HeardNotes(NamedTuple):
    """The notes of a stem that are heard, in seconds; four arrays of shape (n_notes,) but one.

    Attributes
    ----------
    onset_s, offset_s : numpy.ndarray
        Where each begins and ends in the stem.
    pitch : numpy.ndarray
        MIDI numbers as sent.
    is_drums : bool
        Whether they are drums, whose numbers are no pitches.
    """

    onset_s: Float64s
    offset_s: Float64s
    pitch: UInt8s
    is_drums: bool


class Anchor(NamedTuple):
    """What sources of other songs are to match.

    Attributes
    ----------
    song_id : str
        The song, as the catalogue has it.
    start_s : float
        Where the clip begins in the song.
    n_steps : int
        Length of the clip in 100 ms.
    stems : sequence of int
        The stems of the anchor in the catalogue.
    """

    song_id: str
    start_s: float
    n_steps: int
    stems: Sequence[int]

    @property
    def length_s(self) -> float:
        """Length of the clip in seconds."""
        return self.n_steps / ENVELOPE_HZ


class Matched(NamedTuple):
    """A source that matches, and what has to be rendered for it, if anything."""

    source: MixtureSource
    wanted: WantedStem | None


class _Excerpt(NamedTuple):
    """Part of a stem: where it begins and ends in seconds, and when its beats are to be played."""

    start_s: float
    end_s: float
    tempo_map: TempoKnots


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of the scores of all sources.

    Attributes
    ----------
    grids : mapping of str to ScoreGrid
        By song, as the catalogue has it.
    notes : mapping of str to HeardNotes
        By stem, as the catalogue has it.
    header : mapping of str to object
        What decides how excerpts sound, as `Matcher.header` has it.
    """

    grids: Mapping[str, ScoreGrid]
    notes: Mapping[str, HeardNotes]
    header: Mapping[str, Any]


def read_notes(sources: Sequence[Source]) -> dict[str, HeardNotes]:
    """Return the notes of all stems of some corpora, by stem as catalogues have it."""
    found = {}
    for source in sources:
        for stem in Corpus(source.root).iter_stems():
            assert isinstance(stem, Stem)  # renditions are refused before
            heard = slice(None) if stem.note_heard is None else stem.note_heard
            found[f"{source.name}:{stem.stem_id}"] = HeardNotes(
                stem.note_onset[heard] / stem.sample_rate,
                np.minimum(stem.note_offset[heard], stem.n_samples) / stem.sample_rate,
                stem.note_pitch[heard],
                stem.program == DRUMS,
            )
    return found


def chroma_of(notes: HeardNotes, start_s: float, end_s: float) -> Float64s:
    """Return how long each pitch class sounds between two moments, (12,) seconds from C to B."""
    if notes.is_drums:
        return np.zeros(12)
    length_s = np.minimum(notes.offset_s, end_s) - np.maximum(notes.onset_s, start_s)
    weights = length_s.clip(min=0)
    return np.bincount(notes.pitch % 12, weights, minlength=12).astype(np.float64)


def _correlations(chroma: Float64s, reference: Float64s) -> Float64s:
    """Return Pearson's correlation of a chroma, transposed by 0 to 11 semitones, with another."""
    turned = np.array([np.roll(chroma, shift) for shift in range(12)])
    turned -= turned.mean(axis=1, keepdims=True)
    centred = reference - reference.mean()
    scale = np.linalg.norm(turned, axis=1) * np.linalg.norm(centred)
    found: Float64s = np.divide(turned @ centred, scale, out=np.zeros(12), where=scale > 0)
    return found


def transposition_of(chroma: Float64s, reference: Float64s, playable: Bools) -> int | None:
    """Return the transposition with which a chroma is most like another.

    Parameters
    ----------
    chroma, reference : numpy.ndarray
        (12,) durations of pitch classes.
    playable : numpy.ndarray
        (13,) which transpositions from -6 to 6 can be played.

    Returns
    -------
    int or None
        In semitones. None where no transposition is clearly better than the others (by less than
        0.1 in correlation), or it cannot be played.
    """
    correlation = _correlations(chroma, reference)
    second, best = np.sort(correlation)[-2:]
    if best - second < _LEAST_LEAD:
        return None
    shift = int(correlation.argmax())
    choices = [shift, shift - 12] if shift <= LARGEST_TRANSPOSITION else [shift - 12]
    choices = [choice for choice in choices if abs(choice) <= LARGEST_TRANSPOSITION]
    return next((c for c in choices if playable[c + LARGEST_TRANSPOSITION]), None)


class SourceMatching:
    """Finds excerpts of other songs that match an anchor.

    Parameters
    ----------
    catalogue : SplitCatalogue
        The stems of the split.
    split : str
        Name of the split.
    config : MixConfig
        Options of the set of mixtures; something is to match.
    scores : Scores
        What is known of the scores.
    sample_rate : int
        Sample rate of the mixtures in Hz.
    """

    def __init__(
        self,
        catalogue: SplitCatalogue,
        split: str,
        config: MixConfig,
        scores: Scores,
        sample_rate: int,
    ) -> None:
        self._sample_rate = sample_rate
        self._catalogue, self._split, self._config = catalogue, split, config
        self._scores, self._augment = scores, Augmenter(config)
        text = json.dumps(scores.header, sort_keys=True)
        self._version = hashlib.sha256(text.encode()).hexdigest()

    def draw(self, number: int, group: str, anchor: Anchor) -> Matched | None:
        """Draw a source of a target that matches the anchor; None if none is found.

        Stems are drawn evenly, as in incoherent mixtures, and then excerpts.
        """
        rng = rng_for(self._config.seed, self._split, number, group, "match")
        grid = self._scores.grids[anchor.song_id]
        reference = self._reference(anchor)
        for k in rng.permutation(self._catalogue.members[group])[:_MOST_STEMS]:
            for excerpt in self._excerpts(int(k), anchor, grid, rng):
                transposition = self._transposition(int(k), excerpt, reference)
                if transposition is not None:
                    return self._matched(number, int(k), anchor, excerpt, transposition)
        return None

    def _reference(self, anchor: Anchor) -> Float64s:
        """Return the chroma to match: the anchor's, or where it has none its song's."""
        end_s = anchor.start_s + anchor.length_s

        def chroma(stems: Sequence[int]) -> Float64s:
            notes = (self._scores.notes[self._catalogue.stems[k].stem_id] for k in stems)
            found = [chroma_of(n, anchor.start_s, end_s) for n in notes]
            total: Float64s = np.array(found).sum(axis=0)
            return total

        own = chroma(anchor.stems)
        if own.any():
            return own
        songs = self._catalogue.songs
        return chroma(songs.stems(int(songs.of_stem[anchor.stems[0]])))

    def _transposition(self, k: int, excerpt: _Excerpt, reference: Float64s) -> int | None:
        stem = self._catalogue.stems[k]
        notes = self._scores.notes[stem.stem_id]
        if notes.is_drums:
            return 0
        playable = self._scores.grids[stem.song_id].transpositions[_name_of(stem.stem_id)]
        return transposition_of(
            chroma_of(notes, excerpt.start_s, excerpt.end_s), reference, playable
        )

    def _excerpts(
        self, k: int, anchor: Anchor, grid: ScoreGrid, rng: np.random.Generator
    ) -> Iterator[_Excerpt]:
        """Yield some excerpts of a stem that sound and fit in time, in a random order."""
        stem = self._catalogue.stems[k]
        own = self._scores.grids.get(stem.song_id)
        anchor_stem = self._catalogue.stems[anchor.stems[0]]
        is_same = stem.song_id == anchor.song_id or stem.content_id == anchor_stem.content_id
        if own is None or is_same or _name_of(stem.stem_id) not in own.transpositions:
            return
        if not self._config.match.is_retimed:
            yield from self._plain_excerpts(k, anchor, own, rng)
        elif own.has_beat:
            yield from self._retimed_excerpts(k, anchor, grid, own, rng)

    def _plain_excerpts(
        self, k: int, anchor: Anchor, own: ScoreGrid, rng: np.random.Generator
    ) -> Iterator[_Excerpt]:
        starts = self._catalogue.loud_starts(k, anchor.n_steps, SILENCE_RMS_DBFS)
        for start in rng.permutation(starts)[:_MOST_EXCERPTS].tolist():
            start_s = start / ENVELOPE_HZ
            end_s = start_s + anchor.length_s
            if self._strikes(k, start_s, end_s):
                knots = own.knots(float(own.beats(start_s)), float(own.beats(end_s)))
                yield _Excerpt(start_s, end_s, _rounded(knots, own.seconds(knots) - start_s))

    def _retimed_excerpts(
        self, k: int, anchor: Anchor, grid: ScoreGrid, own: ScoreGrid, rng: np.random.Generator
    ) -> Iterator[_Excerpt]:
        """Yield excerpts whose beats, and bars if wanted, are the anchor's."""
        first, last = grid.beats([anchor.start_s, anchor.start_s + anchor.length_s]).tolist()
        stem = self._catalogue.stems[k]
        end = float(own.beats(stem.n_steps / ENVELOPE_HZ))
        begins = np.arange(np.ceil(-first), np.floor(end - last) + 1) + first
        start_s, end_s = own.seconds(begins), own.seconds(begins + last - first)
        ratio = (end_s - start_s) / anchor.length_s
        fits = (ratio <= _LARGEST_RATIO) & (ratio >= 1 / _LARGEST_RATIO) & (start_s >= 0)
        fits &= end_s <= stem.n_steps / ENVELOPE_HZ
        knots = grid.knots(first, last)
        n_found = 0
        for i in rng.permutation(np.flatnonzero(fits)).tolist():
            begin = float(begins[i])
            if not self._strikes(k, start_s[i], end_s[i]) or not self._sounds(
                k, start_s[i], end_s[i]
            ):
                continue
            if self._config.match is Match.DOWNBEAT and not _same_bars(
                _bars(grid, first, last), _bars(own, begin, begin + last - first)
            ):
                continue
            tempo_map = _rounded(knots - first + begin, grid.seconds(knots) - anchor.start_s)
            yield _Excerpt(float(start_s[i]), float(end_s[i]), tempo_map)
            n_found += 1
            if n_found == _MOST_EXCERPTS:
                return

    def _strikes(self, k: int, start_s: float, end_s: float) -> bool:
        """Tell whether a note of a stem begins between two moments."""
        onset_s = self._scores.notes[self._catalogue.stems[k].stem_id].onset_s
        return bool(((onset_s >= start_s) & (onset_s < end_s)).any())

    def _sounds(self, k: int, start_s: float, end_s: float) -> bool:
        """Tell whether a stem is not silent between two moments: past the gate, and loud enough."""
        first, stop = int(start_s * ENVELOPE_HZ), int(np.ceil(end_s * ENVELOPE_HZ))
        stop = min(stop, self._catalogue.stems[k].n_steps)
        starts = self._catalogue.loud_starts(k, stop - first, SILENCE_RMS_DBFS)
        i = np.searchsorted(starts, first)
        return bool(i < len(starts) and starts[i] == first)

    def _matched(
        self, number: int, k: int, anchor: Anchor, excerpt: _Excerpt, transposition: int
    ) -> Matched:
        catalogue, config = self._catalogue, self._config
        group, stem = catalogue.groups[k], catalogue.stems[k]
        decided = Decided(classes=stem.classes, sample_rate=self._sample_rate)
        transforms, gain_db = self._augment.draw_transforms(decided, self._split, number, group)
        target_lufs = None if config.levels is Level.NATIVE else config.target_lufs
        match = json.dumps(
            {
                "anchor_song": anchor.song_id,
                "anchor_group": catalogue.groups[anchor.stems[0]],
                "transposition": transposition,
                "offset_s": round(excerpt.start_s, _DECIMALS),
                "tempo_map": excerpt.tempo_map,
            }
        )
        if not transposition and not config.match.is_retimed:  # it is there already
            source = recipe_source(
                catalogue,
                k,
                config,
                start_step=round(excerpt.start_s * ENVELOPE_HZ),
                n_steps=anchor.n_steps,
                transforms=transforms,
                target_lufs=target_lufs,
                gain_db=gain_db,
                match=match,
            )
            return Matched(source, None)
        root, _, name = stem.stem_id.partition(":")
        song_id, _, part = name.partition("/")
        shape = (transposition, excerpt.tempo_map, anchor.n_steps, stem.sample_rate)
        identity = json.dumps([stem.sha256, song_id, part, shape, self._version])
        stem_id = hashlib.sha256(identity.encode()).hexdigest()[:40]
        wanted = WantedStem(stem_id, root, song_id, part, stem.sha256, *shape)
        source = MixtureSource(
            stem_id=stem.stem_id,
            song_id=stem.song_id,
            root=MATCHED,
            path=wanted.path,
            stream=0,
            sha256="",  # until it is rendered
            group=group,
            role=role_of(group, config.target),
            sample_rate=stem.sample_rate,
            n_stem_samples=(anchor.n_steps + 2) * stem.step_samples,
            start=stem.step_samples,
            n_read=anchor.n_steps * stem.step_samples,
            shift=0,
            is_shift_padded=False,
            transforms=tuple(transforms),
            target_lufs=target_lufs,
            gain_db=gain_db,
            match=match,
        )
        return Matched(source, wanted)


def _name_of(stem_id: str) -> str:
    return stem_id.rpartition("/")[2]


def _rounded(beats: Float64s, seconds: Float64s) -> TempoKnots:
    """Return a tempo map as recipes have it."""
    columns = [(column.round(_DECIMALS) + 0.0).tolist() for column in (beats, seconds)]  # no -0.0
    return tuple(zip(*columns, strict=True))


def _bars(grid: ScoreGrid, first: float, last: float) -> Float64s:
    """Return where bars begin within a stretch, and the last one before it, from its beginning."""
    begin = int(np.searchsorted(grid.bars, first + _SAME_BEAT, side="right")) - 1
    end = int(np.searchsorted(grid.bars, last - _SAME_BEAT))
    within: Float64s = grid.bars[max(begin, 0) : end] - first
    return within


def _same_bars(one: Float64s, other: Float64s) -> bool:
    return len(one) == len(other) and bool((np.abs(one - other) < _SAME_BEAT).all())
