"""What there is to mix: the stems of all sources with their envelopes, by split.

Everything a plan asks of audio is answered here, from the envelopes: which clips are loud
enough, and how loud a clip is. Stems and songs have numbers, from 0 in the order of their names;
records and names are made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, overload

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.loudness import integrated_loudness, loudness_when_played_at
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = [
    "CatalogueSongs",
    "SplitCatalogue",
    "check_splits",
    "pieces",
    "sounding_steps",
    "split_catalogues",
]

_TOP_DB: Final = 20.0
_GATE_BLOCK_STEPS: Final = 4
_STEPS_AT_ONCE: Final = 1 << 19  # of envelopes: a few MiB
_THINGS_AT_ONCE: Final = 1 << 14
_REMEMBERED: Final = 1 << 16  # loudnesses
_GATE_POWER: Final = 10 ** ((-70 + 0.691) / 10)  # BS.1770-4: K-weighted power of -70 LUFS


def sounding_steps(power: Float32s) -> Int64s:
    """Return the steps of an envelope within 20 dB of its loudest."""
    loudest = power.max(initial=0.0)
    return np.flatnonzero(power > loudest * 10 ** (-_TOP_DB / 10))


class _Groups(Sequence[str]):
    """The target of each stem."""

    def __init__(self, targets: Sequence[str], numbers: npt.NDArray[np.int16]) -> None:
        self._targets, self._numbers = targets, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._targets[number] for number in self._numbers[index].tolist()]
        return self._targets[int(self._numbers[index])]


class CatalogueSongs(Mapping[str, list[int]]):
    """The stems of every song, by its name or by its number.

    Songs have numbers from 0 in the order of their first stems.

    Parameters
    ----------
    stems : StemTable
        The stems of the catalogue.

    Attributes
    ----------
    of_stem : numpy.ndarray
        (n_stems,) int32, number of each stem's song.
    """

    def __init__(self, stems: StemTable) -> None:
        self._stems = stems
        self.of_stem, self._n_songs = _numbered(stems.song_numbers)
        is_grouped = bool((np.diff(self.of_stem) >= 0).all())
        self._order = None if is_grouped else np.argsort(self.of_stem, kind="stable")
        counts = np.bincount(self.of_stem, minlength=self._n_songs)
        self._first: Int64s = np.concatenate([[0], np.cumsum(counts)])

    def stems(self, song: int) -> list[int]:
        """Return the numbers of the stems of a song, ascending."""
        first, stop = int(self._first[song]), int(self._first[song + 1])
        if self._order is None:
            return list(range(first, stop))
        stems: list[int] = self._order[first:stop].tolist()
        return stems

    def stems_of(self, songs: Sequence[int] | Int32s | Int64s) -> tuple[Int64s, Int64s]:
        """Return the stems of some songs, one song after another, and where each song begins.

        Returns
        -------
        stems, starts : numpy.ndarray
            Numbers of stems, and (n_songs,) the place of the first stem of each song.
        """
        wanted = np.asarray(songs, np.int64)
        counts = np.diff(self._first)[wanted]
        starts = np.cumsum(counts) - counts
        places = np.repeat(self._first[wanted] - starts, counts) + np.arange(counts.sum())
        return (places if self._order is None else self._order[places]), starts

    def name(self, song: int) -> str:
        """Return the name of a song."""
        return self._stems.song_id(self.stems(song)[0])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {self.name(song): song for song in range(self._n_songs)}

    def __getitem__(self, name: str) -> list[int]:
        return self.stems(self._numbers[name])

    def __iter__(self) -> Iterator[str]:
        return map(self.name, range(self._n_songs))

    def __len__(self) -> int:
        return self._n_songs


def _different(values: Int32s) -> Int32s:
    """Return the different values in the order in which they come first."""
    first = np.unique(values, return_index=True)[1]
    return values[np.sort(first)]


def _numbered(codes: Int32s) -> tuple[Int32s, int]:
    """Return codes as numbers from 0 in the order in which they come first, and how many."""
    is_new = np.concatenate([[True], codes[1:] != codes[:-1]])[: len(codes)]
    runs = codes[is_new]
    _, first, inverse = np.unique(runs, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    numbers: Int32s = rank[inverse][np.cumsum(is_new) - 1] if len(codes) else codes
    return numbers, len(first)


class SplitCatalogue:
    """The stems of one split, grouped by target and by song.

    Parameters
    ----------
    stems : sequence of CatalogueStem
        In any order; the catalogue's order depends on their names alone.
    taxonomy : Taxonomy
        Targets. Stems that belong to none are left out.

    Attributes
    ----------
    stems : StemTable
        Stems that belong to a target, in order of their stem_id.
    groups : sequence of str
        Target of each stem.
    members : dict of str to numpy.ndarray
        (n,) int32 numbers of the stems of every target, in order of the taxonomy; targets without
        a stem are absent.
    songs : CatalogueSongs
        Stems of every song.
    songs_with : dict of str to numpy.ndarray
        Numbers of the songs that have a stem of a target, in order of these stems.
    loudness_lufs : callable
        Returns the integrated loudness of stem `k` as a whole, as it lies on disk, or None.
    """

    def __init__(self, stems: Sequence[CatalogueStem], taxonomy: Taxonomy) -> None:
        table = StemTable.of(stems)
        place = {target: number for number, target in enumerate(taxonomy.targets)}
        found = (taxonomy.target_of(classes) for classes in table.kinds)
        of_kind = np.array([-1 if t is None else place[t] for t in found], np.int16)
        wanted = table.take(of_kind[table.kind_numbers] >= 0)
        self.stems = wanted.take(wanted.name_order())
        numbers = of_kind[self.stems.kind_numbers]
        self.groups: Sequence[str] = _Groups(taxonomy.targets, numbers)
        members = {t: np.flatnonzero(numbers == n).astype(np.int32) for t, n in place.items()}
        self.members: dict[str, Int32s] = {t: ks for t, ks in members.items() if len(ks)}
        self.songs = CatalogueSongs(self.stems)
        self.songs_with: dict[str, Int32s] = {
            target: _different(self.songs.of_stem[ks]) for target, ks in self.members.items()
        }
        self.loudness_lufs = lru_cache(_REMEMBERED)(self._loudness_lufs)

    def clip_k_powers(self, stems: Int64s, steps: Int64s, n_steps: int) -> Float32s:
        """Return the (n_clips, n_steps) K-weighted powers of clips; clips may wrap around."""
        return self.stems.clip_k_powers(stems, steps, n_steps)

    def present(self, stems: npt.NDArray[np.integer], n_steps: int, min_rms_dbfs: float) -> Bools:
        """Tell at which steps a clip of some stems is present.

        Parameters
        ----------
        stems : numpy.ndarray
            (n,) numbers of stems, not so many that their envelopes are too much for memory.
        n_steps : int
            Length of the clip in 100 ms.
        min_rms_dbfs : float
            Its RMS is above this value (Slakh section 3.2), and it has a BS.1770 loudness.

        Returns
        -------
        numpy.ndarray
            (n, n_starts) for every step at which a clip of the longest stem may begin.
        """
        lengths = self.stems.n_steps[stems]
        n_starts = max(0, int(lengths.max(initial=0)) - n_steps + 1)
        if n_steps < _GATE_BLOCK_STEPS or not n_starts:
            return np.zeros((len(lengths), 0), bool)
        k_power, power = self.stems.powers(stems)
        is_present = _sliding_sums(power, n_steps) > n_steps * 10 ** (min_rms_dbfs / 10)
        blocks = _sliding_sums(k_power, _GATE_BLOCK_STEPS) / _GATE_BLOCK_STEPS
        n_blocks = n_steps - _GATE_BLOCK_STEPS + 1
        is_present &= _sliding_sums(blocks > _GATE_POWER, n_blocks) > 0.5
        is_present &= np.arange(n_starts) <= (lengths - n_steps)[:, np.newaxis]
        return is_present

    def n_present(
        self, stems: npt.NDArray[np.integer], n_steps: int, min_rms_dbfs: float
    ) -> Int32s:
        """Return at how many steps a clip of each stem is `present`, (n,) for any number of them.

        The parameters are those of `present`.
        """
        counts = np.zeros(len(stems), np.int32)
        order = np.argsort(self.stems.places(stems), kind="stable")
        for piece in pieces(self.stems.n_steps[stems[order]]):
            some = order[piece]
            counts[some] = self.present(stems[some], n_steps, min_rms_dbfs).sum(axis=1)
        return counts

    def starts_of(
        self, stems: npt.NDArray[np.integer], n_steps: int, min_rms_dbfs: float
    ) -> Iterator[Int32s]:
        """Yield the steps at which a clip of each stem is `present`, ascending."""
        for piece in pieces(self.stems.n_steps[stems]):
            for is_present in self.present(stems[piece], n_steps, min_rms_dbfs):
                yield np.flatnonzero(is_present).astype(np.int32)

    def loud_starts(self, k: int, n_steps: int, min_rms_dbfs: float) -> Int32s:
        """Return the (n,) first steps, ascending, at which a clip of stem `k` is `present`."""
        (starts,) = self.starts_of(np.array([k]), n_steps, min_rms_dbfs)
        return starts

    def activity(self, k: int, starts: Int32s, n_steps: int) -> Float64s:
        """Return how much a stem plays in some of its clips: voices, summed over their steps.

        Parameters
        ----------
        k : int
            Number of the stem.
        starts : numpy.ndarray
            (n_clips,) first steps of clips that lie in it.
        n_steps : int
            Length of the clips in 100 ms.

        Returns
        -------
        numpy.ndarray
            (n_clips,) float64. A stem without notes is one voice wherever it is within 20 dB of
            its loudest.
        """
        voices = self.stems.voices(k)
        if voices is None:
            voices = np.zeros(int(self.stems.n_steps[k]), np.float32)
            voices[sounding_steps(self.stems.power(k))] = 1
        if len(voices) < n_steps:
            return np.zeros(len(starts))
        return _sliding_sums(voices, n_steps)[starts]

    def loudest_group(self, clips: Sequence[tuple[int, int]], n_steps: int) -> str:
        """Return the target whose stem has the most power in its clip (stem, first step)."""

        def power(clip: tuple[int, int]) -> float:
            return float(self.stems.power(clip[0])[clip[1] : clip[1] + n_steps].sum())

        return self.groups[max(clips, key=power)[0]]

    def only_group(
        self, clips: Sequence[tuple[int, int]], n_steps: int, min_rms_dbfs: float
    ) -> str | None:
        """Return the target that alone sounds in its clips (stem, first step), if one does.

        Parameters
        ----------
        clips : sequence of (int, int)
            Number of each stem, and the step at which its clip starts.
        n_steps : int
            Length of the clips in 100 ms.
        min_rms_dbfs : float
            A clip sounds if its RMS is above this value.
        """
        least = n_steps * 10 ** (min_rms_dbfs / 10)
        sounding = {
            self.groups[k]
            for k, first in clips
            if self.stems.power(k)[first : first + n_steps].sum() > least
        }
        return sounding.pop() if len(sounding) == 1 else None

    def _loudness_lufs(self, k: int) -> float | None:
        return integrated_loudness(self.stems.k_power(k))

    def level_db(self, k: int, target_lufs: float) -> float:
        """Return the gain in dB with which a whole stem has an integrated loudness.

        A stem that has none, for it is silent or shorter than 0.4 s, keeps its level.
        """
        loudness_lufs = loudness_when_played_at(self.stems.k_power(k), target_lufs)
        return 0.0 if loudness_lufs is None else target_lufs - loudness_lufs


def _sliding_sums(values: npt.NDArray[np.generic], n: int) -> Float64s:
    """Return the sums of all n values that follow one another, along the last axis."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, dtype=np.float64, out=sums[..., 1:])
    windows: Float64s = sums[..., n:] - sums[..., :-n]
    return windows


def pieces(lengths: npt.NDArray[np.integer]) -> Iterator[slice]:
    """Yield which of some things are looked at together, so that memory stays bounded.

    Parameters
    ----------
    lengths : numpy.ndarray
        (n,) length of each in 100 ms; together they are as long as the longest.
    """
    for begin in range(0, len(lengths), _THINGS_AT_ONCE):
        some = lengths[begin : begin + _THINGS_AT_ONCE].tolist()
        first, longest = 0, 0
        for place, length in enumerate(some):
            longest = max(longest, length)
            if place > first and longest * (place + 1 - first) > _STEPS_AT_ONCE:
                yield slice(begin + first, begin + place)
                first, longest = place, length
        yield slice(begin + first, begin + len(some))


def check_splits(stems: Sequence[CatalogueStem]) -> None:
    """Check that no music lies in two splits, whatever sources it comes from.

    Raises
    ------
    UsageError
        Naming two stems of the same music in different splits.
    """
    table = StemTable.of(stems)
    contents, splits = table.content_numbers, table.split_numbers
    first = np.zeros(int(contents.max(initial=0)) + 1, np.int32)
    first[contents[::-1]] = np.arange(len(table), dtype=np.int32)[::-1]  # the last one stays
    is_divided = splits != splits[first[contents]]
    if is_divided.any():
        number = int(is_divided.argmax())
        stem, other = table[number], table[int(first[contents[number]])]
        raise UsageError(
            f"{stem.name} of split {stem.split} is the same music as {other.name} of split "
            f"{other.split}; a mixture set must not have both: name both with --leave-out, "
            "leave one source out, or make the corpora with one --seed"
        )


def split_catalogues(
    stems: Sequence[CatalogueStem], taxonomy: Taxonomy
) -> dict[str, SplitCatalogue]:
    """Return the catalogue of every split that has stems of the taxonomy."""
    table = StemTable.of(stems)
    check_splits(table)
    catalogues = {
        split: SplitCatalogue(table.take(table.split_numbers == number), taxonomy)
        for number, split in enumerate(SPLITS)
    }
    return {split: catalogue for split, catalogue in catalogues.items() if catalogue.stems}
