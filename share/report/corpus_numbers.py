"""What is in a corpus, in numbers: all that its page tells, from its records, without any audio.

A corpus of songs has its songs counted; of a corpus of renditions each rendition is a song, as
`Corpus` has it, and shifts are left aside. What a version did not write is not known, which is not
the same as nothing: such numbers are of the songs and stems of which something is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stemsmith.evaluate.benchmark.datasets import Dataset
from stemsmith.manifests.arrays import Float64s, Int64s
from stemsmith.manifests.audio.read import audio_info
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.renditions import RENDITIONS, Rendition, RenditionStem
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.loudness import integrated_loudness
from stemsmith.render.corpus.card import UNKNOWN
from stemsmith.share.report.musical_key import KEYS, key_of

__all__ = ["CorpusNumbers", "DatasetSize", "TrackCounts", "measure_corpus", "measure_dataset"]


@dataclass(frozen=True, slots=True)
class TrackCounts:
    """How many stems songs have.

    Attributes
    ----------
    least : int
        The fewest stems of a song; 0 if there are no songs.
    median : float
        The median over the songs; NaN if there are none.
    most : int
        The most stems of a song.
    """

    least: int
    median: float
    most: int


@dataclass(frozen=True, slots=True, eq=False)
class CorpusNumbers:
    """What is in a corpus. Counts are in descending order, and by name where they are equal.

    Attributes
    ----------
    kind : str
        ``songs`` or ``renditions``.
    n_songs, n_stems, n_notes : int
        Songs; stems of them, in renditions as often as they are used; and notes of these.
    hours : float
        Duration of all mixtures in hours.
    tracks : TrackCounts
        Stems of a song.
    songs_by_split, hours_by_split : dict of str to int, and to float
        Songs and hours of each split that has some.
    songs_by_class, songs_by_rendering_class : dict of str to int
        Songs that have at least one stem of a class: one of Slakh's coarse ones, as its Figure 1
        has them, and one of the 34 that patches are drawn from, which its Table 1 counts.
    duration_s : numpy.ndarray
        (n_songs,) duration of each song in seconds.
    mixture_lufs : numpy.ndarray
        Integrated loudness of the mixture of each song that sounds, from the envelopes of its
        stems as if these were unrelated.
    stem_lufs : numpy.ndarray
        Integrated loudness of each stem that sounds, as it is in the mixture.
    level_spread_lu : numpy.ndarray
        Loudest against softest stem of each song with two that sound, in LU.
    polyphony : numpy.ndarray
        Mean number of notes that sound together, of each song that has notes, while any sounds.
    tempo_bpm : numpy.ndarray
        Tempo of each song that has one and keeps it, in quarter notes a minute.
    songs_by_key : dict of str to int
        Songs in each of the 24 keys of `KEYS`, in their order, as `key_of` finds them.
    n_songs_without_key : int
        Songs in which no pitched notes are, or none that tell a key.
    stems_by_patch : dict of str to int
        Stems that each patch plays; in renditions each stem counts once.
    n_audited : int
        Stems that the audit has looked at; the same for the next two.
    n_defective : int
        Stems of these that have a defect.
    stems_by_defect, defects_by_kind : dict of str to int
        Stems that have a defect of a kind, and defects of that kind.
    rejections : dict of (str, str) to int
        What was left out, by stage and reason.
    n_duplicate_groups, n_songs_in_groups : int
        Groups of pieces that are the same music or nearly so, and pieces in them. Renditions of
        one piece are no duplicates.
    licences : dict of str to int
        Songs by the licence of their score; `UNKNOWN` where no licence is known.
    soundfonts : tuple of (str, str)
        File and licence of each soundfont.
    """

    kind: str
    n_songs: int
    n_stems: int
    n_notes: int
    hours: float
    tracks: TrackCounts
    songs_by_split: dict[str, int]
    hours_by_split: dict[str, float]
    songs_by_class: dict[str, int]
    songs_by_rendering_class: dict[str, int]
    duration_s: Float64s
    mixture_lufs: Float64s
    stem_lufs: Float64s
    level_spread_lu: Float64s
    polyphony: Float64s
    tempo_bpm: Float64s
    songs_by_key: dict[str, int]
    n_songs_without_key: int
    stems_by_patch: dict[str, int]
    n_audited: int
    n_defective: int
    stems_by_defect: dict[str, int]
    defects_by_kind: dict[str, int]
    rejections: dict[tuple[str, str], int]
    n_duplicate_groups: int
    n_songs_in_groups: int
    licences: dict[str, int]
    soundfonts: tuple[tuple[str, str], ...]


def measure_corpus(corpus: Corpus) -> CorpusNumbers:
    """Count what is in a corpus of either kind.

    Raises
    ------
    UsageError
        For the stems alone that a folder of mixtures has of its own.
    InvalidCorpus
        If its records cannot be read; the text names the file.
    """
    stems = _StemTally()
    songs = list(_renditions(corpus, stems) if corpus.kind == RENDITIONS else _songs(corpus, stems))
    seconds = np.array([song.duration_s for song in songs], np.float64)
    n_tracks = [song.n_stems for song in songs]
    by_split = Counter(song.split for song in songs)
    keys = Counter(song.key for song in songs)
    groups = _duplicate_groups(songs)
    reasons = Counter((r.stage, str(r.reason)) for r in corpus.rejection_records())
    return CorpusNumbers(
        kind=corpus.kind,
        n_songs=len(songs),
        n_stems=sum(n_tracks),
        n_notes=sum(song.n_notes for song in songs),
        hours=float(seconds.sum()) / 3600,
        tracks=_track_counts(n_tracks),
        songs_by_split={split: by_split[split] for split in SPLITS if by_split[split]},
        hours_by_split={
            split: sum(song.duration_s for song in songs if song.split == split) / 3600
            for split in SPLITS
            if by_split[split]
        },
        songs_by_class=_ranked(Counter(name for song in songs for name in song.classes)),
        songs_by_rendering_class=_ranked(
            Counter(name for song in songs for name in song.rendering_classes)
        ),
        duration_s=seconds,
        mixture_lufs=_known(song.loudness_lufs for song in songs),
        stem_lufs=_known(level for song in songs for level in song.stem_lufs),
        level_spread_lu=_known(song.level_spread_lu for song in songs),
        polyphony=_known(song.polyphony for song in songs),
        tempo_bpm=_known(song.tempo_bpm for song in songs),
        songs_by_key={key: keys[key] for key in KEYS if keys[key]},
        n_songs_without_key=keys[None],
        stems_by_patch=_ranked(stems.patches),
        n_audited=stems.n_audited,
        n_defective=stems.n_defective,
        stems_by_defect=_ranked(stems.stems_by_defect),
        defects_by_kind=_ranked(stems.defects),
        rejections=_ranked(reasons),
        n_duplicate_groups=len(groups),
        n_songs_in_groups=sum(groups.values()),
        licences=_ranked(Counter(song.licence or UNKNOWN for song in songs)),
        soundfonts=_soundfonts(corpus.header),
    )


class _StemTally:
    """Counts of stems, each once."""

    def __init__(self) -> None:
        self.patches: Counter[str] = Counter()
        self.n_audited = self.n_defective = 0
        self.stems_by_defect: Counter[str] = Counter()
        self.defects: Counter[str] = Counter()

    def add(self, stem: Stem | RenditionStem) -> None:
        self.patches[stem.patch] += 1
        found = stem.audit if isinstance(stem, Stem) else None
        if found is not None:
            self.n_audited += 1
            self.n_defective += bool(found)
            self.defects.update(str(defect.kind) for defect in found)
            self.stems_by_defect.update({str(defect.kind) for defect in found})


@dataclass(slots=True)
class _SongTally:
    """What is known of one song, to which its stems are added one after another."""

    piece: str  # the score that it is made of
    split: str
    duration_s: float
    tempo_bpm: float | None
    licence: str | None = None
    group: str | None = None
    n_stems: int = 0
    n_notes: int = 0
    classes: set[str] = field(default_factory=set)
    rendering_classes: set[str] = field(default_factory=set)
    stem_lufs: list[float] = field(default_factory=list)
    loudness_lufs: float | None = None
    polyphony: float | None = None
    key: str | None = None
    _k_power: Float64s = field(default_factory=lambda: np.zeros(0))
    _spans: list[tuple[Int64s, Int64s]] = field(default_factory=list)
    _pitch_classes: Float64s = field(default_factory=lambda: np.zeros(12))

    def add(self, stem: Stem | RenditionStem, gain_db: float) -> None:
        """Add a stem that is played with a gain on top of its own."""
        self.n_stems += 1
        self.n_notes += stem.n_notes
        self.classes.add(stem.inst_class)
        self.rendering_classes.add(stem.rendering_class)
        gain_db += stem.gain_db
        if stem.loudness_lufs is not None:
            self.stem_lufs.append(stem.loudness_lufs + gain_db)
        k_power = stem.k_power * 10 ** (gain_db / 10)
        longest = max(len(k_power), len(self._k_power))
        self._k_power = np.pad(self._k_power, (0, longest - len(self._k_power)))
        self._k_power[: len(k_power)] += k_power
        ends = stem.note_sounding_offset if isinstance(stem, Stem) else None
        start = stem.note_onset.astype(np.int64)
        end = np.minimum(stem.note_offset if ends is None else ends, stem.n_samples)
        end = np.maximum(end.astype(np.int64), start)
        self._spans.append((start, end))
        if stem.program != DRUMS:
            self._pitch_classes += np.bincount(stem.note_pitch % 12, end - start, 12)

    def finish(self) -> _SongTally:
        """Work out what needs all stems, and let go of what it needed."""
        self.loudness_lufs = integrated_loudness(self._k_power)
        starts, ends = zip(*self._spans, strict=True)
        self.polyphony = _mean_polyphony(np.concatenate(starts), np.concatenate(ends))
        self.key = key_of(self._pitch_classes)
        self._k_power, self._spans = np.zeros(0), []
        return self

    @property
    def level_spread_lu(self) -> float | None:
        """Loudest against softest stem."""
        levels = self.stem_lufs
        return max(levels) - min(levels) if len(levels) > 1 else None


def _songs(corpus: Corpus, stems: _StemTally) -> Iterator[_SongTally]:
    """Yield the songs of a corpus; its stems are read one shard at a time."""
    songs = corpus.song_records()
    tallies = {song.song_id: _tally_of(song) for song in songs}
    missing = {song.song_id: song.n_stems for song in songs}
    for stem in corpus.iter_stems():
        if stem.song_id not in tallies:
            raise InvalidCorpus(f"{corpus.root}: {stem.stem_id} is a stem of no song")
        stems.add(stem)
        tallies[stem.song_id].add(stem, 0.0)
        missing[stem.song_id] -= 1
        if not missing[stem.song_id]:  # lets go of what it needed
            tallies[stem.song_id].finish()
    for song in songs:
        if missing[song.song_id]:
            raise InvalidCorpus(f"{corpus.root}: {song.track} does not have all its stems")
        yield tallies[song.song_id]


def _tally_of(song: Song) -> _SongTally:
    return _SongTally(
        piece=song.song_id,
        split=song.split,
        duration_s=song.n_samples / song.sample_rate,
        tempo_bpm=song.tempo_bpm,
        licence=song.licence,
        group=song.duplicate_group or song.notes_sha256,
    )


def _renditions(corpus: Corpus, stems: _StemTally) -> Iterator[_SongTally]:
    """Yield the renditions of a corpus, which share its stems."""
    records = {}
    for stem in corpus.rendition_stem_records():
        stems.add(stem)
        records[stem.song_id, stem.stem_id] = stem
    for rendition in corpus.rendition_records():
        keys = [(rendition.song_id, source.stem_id) for source in rendition.sources]
        if not keys or not records.keys() >= set(keys):
            name = rendition.rendition_id
            raise InvalidCorpus(f"{corpus.root}: {name} does not have all its stems")
        parts = [records[key] for key in keys]
        tally = _SongTally(
            piece=rendition.song_id,
            split=rendition.split,
            duration_s=rendition.n_samples / rendition.sample_rate,
            tempo_bpm=_tempo_of(rendition),
            licence=parts[0].licence,
            group=parts[0].duplicate_group or parts[0].notes_sha256,
        )
        for source, part in zip(rendition.sources, parts, strict=True):
            tally.add(part, source.gain_db)
        yield tally.finish()


def _tempo_of(rendition: Rendition) -> float | None:
    """Return the tempo that a rendition was asked for, where it is a number."""
    try:
        tempo = float(rendition.tempo)
    except ValueError:
        return None
    return tempo if math.isfinite(tempo) and tempo > 0 else None


def _mean_polyphony(starts: Int64s, ends: Int64s) -> float | None:
    """Return how many spans there are at a time, on average over the time when there is any."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    if not len(starts):
        return None
    reached = np.maximum.accumulate(ends)
    # Each span adds to the time with sound what lies beyond all spans before it.
    before = np.concatenate([starts[:1], reached[:-1]])
    covered = int(np.maximum(ends - np.maximum(starts, before), 0).sum())
    return float((ends - starts).sum()) / covered if covered else None


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """How large a data set is that others made.

    Attributes
    ----------
    n_songs : int
        Number of songs.
    hours : float
        Hours of its songs; those whose length nobody can read count as nothing.
    tracks : TrackCounts
        How many files of stems songs have.
    n_classes : int
        Number of its targets.
    """

    n_songs: int
    hours: float
    tracks: TrackCounts
    n_classes: int


def measure_dataset(dataset: Dataset) -> DatasetSize:
    """Return how large a data set is; of its audio, only what headers of files say is read."""
    seconds = 0.0
    for song in dataset.songs:
        first = song.files[0]
        with suppress(InvalidCorpus, UsageError):
            info = audio_info(first.location, first.stream)
            seconds += info.n_samples / info.sample_rate
    n_tracks = [len(song.stems) for song in dataset.songs]
    n_classes = len(dataset.targets)
    return DatasetSize(len(n_tracks), seconds / 3600, _track_counts(n_tracks), n_classes)


def _duplicate_groups(songs: Sequence[_SongTally]) -> dict[str, int]:
    """Return how many pieces are in each group of more than one."""
    pieces = {song.piece: song.group for song in songs}
    counts = Counter(group for group in pieces.values() if group is not None)
    return {group: n for group, n in counts.items() if n > 1}


def _track_counts(n_tracks: Sequence[int]) -> TrackCounts:
    if not n_tracks:
        return TrackCounts(0, math.nan, 0)
    return TrackCounts(min(n_tracks), float(np.median(n_tracks)), max(n_tracks))


def _soundfonts(header: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    fonts = header.get("soundfonts") or []
    return tuple((str(f.get("file", "")), str(f.get("licence") or UNKNOWN)) for f in fonts)


def _ranked(counts: Mapping[Any, int]) -> dict[Any, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _known(values: Any) -> Float64s:
    """Return the values that there are, as an array."""
    return np.array([v for v in values if v is not None and math.isfinite(v)], np.float64)
