"""Stems by the million: what mixing knows of each, in columns.

A `StemTable` is a sequence of `CatalogueStem`s that are made when they are asked for. What is
compared for all stems lies in arrays (three dozen bytes a stem); names, paths, hashes and envelopes
lie in unnamed files (`stemsmith.manifests.scratch`), so that memory does not grow with the length
of songs. Tables that are taken of others share all of this.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Int32s, Int64s
from stemsmith.manifests.scratch import (
    N_PREFIX,
    ComparedTexts,
    ScratchColumn,
    ScratchRecords,
    prefix_of,
    text_order,
)
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.grid import ENVELOPE_HZ

__all__ = ["CatalogueStem", "OwnMixture", "SongFacts", "StemTable"]

_REMEMBERED: Final = 4096  # stems of a table that are kept once they were made
_WRITTEN: Final = 1 << 20  # bytes of names at a time
_NO_VOICES: Final = -1
_AT_ONCE: Final = 256  # stems whose envelopes are looked at together
_COLUMNS: Final = {
    "song": "i", "run": "i", "kind": "i", "split": "b", "sample_rate": "i", "n_steps": "i",
    "first_voice": "q",
}  # fmt: skip


class OwnMixture(NamedTuple):
    """The mixture that a song has beside its stems, sample-aligned with them and at their level.

    Attributes
    ----------
    path, stream : str, int
        Path below the root of the song's stems, and the audio stream in the file.
    sha256 : str
        SHA-256 of the file.
    """

    path: str
    stream: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueStem:
    """A stem as mixtures can use it.

    Attributes
    ----------
    stem_id, song_id : str
        Unique over all sources, prefixed by the root's name.
    content_id : str
        The same for music that must not lie in two splits.
    split : str
        ``train``, ``validation`` or ``test``.
    classes : tuple of str
        Names of its class, as `Taxonomy.target_of` takes them.
    root, path, stream : str, str, int
        Name of its root, path below it, and the audio stream in the file.
    sha256 : str
        SHA-256 of the file.
    sample_rate, n_samples : int
        Sample rate in Hz and length of the file.
    k_power, power : numpy.ndarray
        (n_steps,) K-weighted and plain mean square of each whole 100 ms of the file as it lies on
        disk, with the channels of the mixtures.
    label : str
        What people call the song: ``Track00003``, ``Artist - Title``.
    song_key : str
        What songs are drawn by: the hash of its notes, the least one of songs that are nearly the
        same music, or its name in its data set.
    voices : numpy.ndarray or None
        (n_steps,) notes that sound in each 100 ms; None for what has no notes, or if nobody asks.
    tempo_bpm, bar_quarters : float or None
        Tempo of its song in quarter notes a minute, and the quarter notes of a bar, if both stay
        the same from its first sample to its last; else None.
    own_mixture : OwnMixture or None
        The mixture of its song, where that is not the sum of its stems. It has their sample rate
        and length.
    """

    stem_id: str
    song_id: str
    content_id: str
    split: str
    classes: tuple[str, ...]
    root: str
    path: str
    stream: int
    sha256: str
    sample_rate: int
    n_samples: int
    k_power: Float32s
    power: Float32s
    label: str = ""
    song_key: str = ""
    voices: Float32s | None = None
    tempo_bpm: float | None = None
    bar_quarters: float | None = None
    own_mixture: OwnMixture | None = None

    @property
    def name(self) -> str:
        """What messages call its song."""
        return f"{self.root}:{self.label}" if self.label else self.stem_id

    @property
    def n_steps(self) -> int:
        """Whole 100 ms."""
        return len(self.power)

    @property
    def step_samples(self) -> int:
        """Samples of 100 ms."""
        return self.sample_rate // ENVELOPE_HZ


class SongFacts(NamedTuple):
    """What the stems of a song have in common; the fields are those of `CatalogueStem`."""

    root: str
    song_id: str
    label: str
    song_key: str
    tempo_bpm: float | None
    bar_quarters: float | None
    own_mixture: OwnMixture | None


# stem_id, content_id, path, stream, sha256, n_samples
_Text = tuple[str, str, str, int, str, int]


class _Store:
    """The columns of all stems that were read together."""

    def __init__(self, stems: Iterable[CatalogueStem]) -> None:
        self.kinds: list[tuple[str, ...]] = []  # different classes
        self.has_own_mixtures = False
        self.songs = ScratchRecords[SongFacts]()
        self._last_facts: tuple[int, SongFacts] | None = None
        self.texts = ScratchRecords[_Text]()
        self.prefixes = ScratchColumn[np.bytes_](f"S{N_PREFIX}")
        self.k_power = ScratchColumn[np.float32](np.float32)
        self.power = ScratchColumn[np.float32](np.float32)
        self.voices = ScratchColumn[np.float32](np.float32)
        columns = {name: array(code) for name, code in _COLUMNS.items()}
        self._fill(stems, columns)
        # Copies are exact in size, and the arrays behind them grow no more.
        found = {name: np.array(column) for name, column in columns.items()}
        self.song: Int32s = found["song"]
        self.kind, self.split = found["kind"], found["split"]
        self.sample_rate: Int32s = found["sample_rate"]
        self.n_steps: Int32s = found["n_steps"]
        self.first: Int64s = np.concatenate([[0], np.cumsum(self.n_steps, dtype=np.int64)])[:-1]
        self.content: Int32s = self._content_of_run[found["run"]]
        has_voices = (found["first_voice"] != _NO_VOICES).any()
        self.first_voice: Int64s | None = found["first_voice"] if has_voices else None

    def _fill(self, stems: Iterable[CatalogueStem], columns: dict[str, array[int]]) -> None:
        kinds: dict[tuple[str, ...], int] = {}
        song_ids, contents, prefixes = ComparedTexts(), ComparedTexts(), bytearray()
        last_song, last_content = None, None
        for stem in stems:
            song = SongFacts(
                stem.root, stem.song_id, stem.label, stem.song_key, stem.tempo_bpm,
                stem.bar_quarters, stem.own_mixture,
            )  # fmt: skip
            if song != last_song:
                self.songs.append(song)
                self.has_own_mixtures |= song.own_mixture is not None
                song_ids.append(stem.song_id)
                last_song = song
            if stem.content_id != last_content:
                contents.append(stem.content_id)
                last_content = stem.content_id
            columns["song"].append(len(self.songs) - 1)
            columns["run"].append(len(contents) - 1)
            columns["kind"].append(kinds.setdefault(stem.classes, len(kinds)))
            columns["split"].append(SPLITS.index(stem.split))
            columns["sample_rate"].append(stem.sample_rate)
            columns["n_steps"].append(stem.n_steps)
            has_voices = stem.voices is not None
            columns["first_voice"].append(len(self.voices) if has_voices else _NO_VOICES)
            self.texts.append(
                (stem.stem_id, stem.content_id, stem.path, stem.stream, stem.sha256, stem.n_samples)
            )
            prefixes += prefix_of(stem.stem_id).ljust(N_PREFIX, b"\0")
            if len(prefixes) >= _WRITTEN:
                self._add_prefixes(prefixes)
            self.k_power.append(stem.k_power)
            self.power.append(stem.power)
            if stem.voices is not None:
                self.voices.append(stem.voices)
        self._add_prefixes(prefixes)
        self.kinds = list(kinds)
        self.song_code = song_ids.numbers()  # the same for all rows of one song
        self._content_of_run = contents.numbers()

    def facts(self, number: int) -> SongFacts:
        """Return what the stems of a song have in common; they are mostly asked for in a row."""
        if self._last_facts is None or self._last_facts[0] != number:
            self._last_facts = number, self.songs[number]
        return self._last_facts[1]

    def _add_prefixes(self, prefixes: bytearray) -> None:
        self.prefixes.append(np.frombuffer(bytes(prefixes), f"S{N_PREFIX}"))
        prefixes.clear()


class StemTable(Sequence[CatalogueStem]):
    """Some stems, in an order; made by `of`, `joined` and `take`.

    Attributes
    ----------
    n_steps : numpy.ndarray
        (n_stems,) int32, whole 100 ms of each.
    split_numbers : numpy.ndarray
        (n_stems,) int8, place of each one's split in `SPLITS`.
    """

    def __init__(
        self,
        store: _Store,
        rows: Int32s,
        split_numbers: npt.NDArray[np.int8] | None = None,
        n_steps: Int32s | None = None,
    ) -> None:
        self._store, self._rows = store, rows
        self.split_numbers = store.split[rows] if split_numbers is None else split_numbers
        self.n_steps: Int32s = store.n_steps[rows] if n_steps is None else n_steps
        self._made: dict[int, CatalogueStem] = {}

    @classmethod
    def of(cls, stems: Iterable[CatalogueStem]) -> StemTable:
        """Return stems as a table, which they may be already; they are read once, in order."""
        if isinstance(stems, StemTable):
            return stems
        store = _Store(stems)
        return cls(store, np.arange(len(store.texts), dtype=np.int32))

    @classmethod
    def joined(cls, tables: Sequence[StemTable]) -> StemTable:
        """Return the stems of several tables, one table after the other."""
        stores = {id(table._store) for table in tables}
        if len(stores) != 1:
            return cls.of(stem for table in tables for stem in table)
        return cls(
            tables[0]._store,
            np.concatenate([table._rows for table in tables]),
            np.concatenate([table.split_numbers for table in tables]),
            np.concatenate([table.n_steps for table in tables]),
        )

    def take(self, which: npt.NDArray[Any]) -> StemTable:
        """Return some of the stems, by their numbers or by what is true of each."""
        return StemTable(
            self._store, self._rows[which], self.split_numbers[which], self.n_steps[which]
        )

    def in_splits(self, split_numbers: npt.NDArray[np.int8]) -> StemTable:
        """Return the stems in other splits, (n_stems,) places in `SPLITS`."""
        return StemTable(self._store, self._rows, split_numbers, self.n_steps)

    def beginnings(self, n_steps: Int32s) -> StemTable:
        """Return the beginnings of the stems, (n_stems,) whole 100 ms of each at most."""
        shortened = np.minimum(self.n_steps, n_steps).astype(np.int32)
        return StemTable(self._store, self._rows, self.split_numbers, shortened)

    @property
    def sample_rates(self) -> Int32s:
        """Sample rate of each stem in Hz, (n_stems,)."""
        return self._store.sample_rate[self._rows]

    def sample_rates_of(self, numbers: Sequence[int]) -> Int32s:
        """Return the sample rates of some stems in Hz."""
        return self._store.sample_rate[self._rows[numbers]]

    @property
    def kinds(self) -> Sequence[tuple[str, ...]]:
        """The different classes that stems have."""
        return self._store.kinds

    @property
    def kind_numbers(self) -> Int32s:
        """Place of the classes of each stem in `kinds`, (n_stems,)."""
        return self._store.kind[self._rows]

    @property
    def song_numbers(self) -> Int32s:
        """A number for the song of each stem, (n_stems,), from 0 and the same in all tables."""
        return self._store.song_code[self._store.song[self._rows]]

    @property
    def facts_numbers(self) -> Int32s:
        """Number of the facts of each stem's song, as `facts` takes it, (n_stems,)."""
        return self._store.song[self._rows]

    def facts(self, number: int) -> SongFacts:
        """Return what the stems of a song have in common."""
        return self._store.facts(number)

    @property
    def content_numbers(self) -> Int32s:
        """A number for the content of each stem, (n_stems,), from 0 and the same in all tables."""
        return self._store.content[self._rows]

    def identities(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield name, split, path and SHA-256 of every stem."""
        texts, rows = self._store.texts, self._rows
        for start in range(0, len(self), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            splits = self.split_numbers[some].tolist()
            for row, split in zip(rows[some].tolist(), splits, strict=True):
                stem_id, _, path, _, sha256, _ = texts[row]
                yield stem_id, SPLITS[split], path, sha256

    @property
    def has_own_mixtures(self) -> bool:
        """Whether any song of these stems, or of those that they were taken of, has a mixture."""
        return self._store.has_own_mixtures

    def stem_id(self, number: int) -> str:
        """Return the name of a stem."""
        return self._store.texts[int(self._rows[number])][0]

    def places(self, numbers: npt.NDArray[Any]) -> Int32s:
        """Return where the envelopes of some stems lie: those of near ones are read together."""
        places: Int32s = self._rows[numbers]
        return places

    def song_id(self, number: int) -> str:
        """Return the name of a stem's song."""
        return self.facts(int(self._store.song[self._rows[number]])).song_id

    def name_order(self) -> Int64s:
        """Return the numbers of the stems in order of their names, (n_stems,)."""
        return text_order(self._store.prefixes.take(self._rows), self.stem_id)

    def powers(self, numbers: npt.NDArray[Any]) -> tuple[Float32s, Float32s]:
        """Return K-weighted power and power of some stems.

        Returns
        -------
        k_power, power : numpy.ndarray
            (n, longest of them) float32 each, with zeros after the end of a stem.
        """
        store, n_steps = self._store, self.n_steps[numbers]
        first = store.first[self._rows[numbers]]
        return store.k_power.rows(first, n_steps), store.power.rows(first, n_steps)

    def clip_k_powers(self, numbers: Int64s, steps: Int64s, n_steps: int) -> Float32s:
        """Return the (n_clips, n_steps) K-weighted powers of clips; clips may wrap around."""
        first, length = self._store.first[self._rows[numbers]], self.n_steps[numbers]
        is_inside = steps + n_steps <= length
        powers = np.empty((len(numbers), n_steps), np.float32)
        if is_inside.any():
            inside = first[is_inside] + steps[is_inside]
            powers[is_inside] = self._store.k_power.rows(inside, np.full(len(inside), n_steps))
        for place in np.flatnonzero(~is_inside).tolist():
            whole = self.k_power(int(numbers[place]))
            powers[place] = whole[(int(steps[place]) + np.arange(n_steps)) % len(whole)]
        return powers

    @property
    def loudest_power(self) -> float:
        """The largest power of any 100 ms; 0 if there is none."""
        loudest = 0.0
        for start in range(0, len(self), _AT_ONCE):
            _, power = self.powers(np.arange(start, min(start + _AT_ONCE, len(self))))
            loudest = max(loudest, float(power.max(initial=0.0)))
        return loudest

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StemTable):
            return NotImplemented
        mine, theirs = (
            (table._rows, table.split_numbers, table.n_steps) for table in (self, other)
        )
        return self._store is other._store and all(map(np.array_equal, mine, theirs))

    __hash__ = None  # type: ignore[assignment]  # as of other sequences that are compared

    @overload
    def __getitem__(self, index: int) -> CatalogueStem: ...
    @overload
    def __getitem__(self, index: slice) -> StemTable: ...
    def __getitem__(self, index: int | slice) -> CatalogueStem | StemTable:
        if isinstance(index, slice):
            return StemTable(
                self._store, self._rows[index], self.split_numbers[index], self.n_steps[index]
            )
        number = range(len(self))[index]  # IndexError beyond the end
        if (stem := self._made.get(number)) is None:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            self._made[number] = stem = self._stem(number)
        return stem

    def __iter__(self) -> Iterator[CatalogueStem]:
        return map(self._stem, range(len(self)))

    def _stem(self, number: int) -> CatalogueStem:
        store, row = self._store, int(self._rows[number])
        stem_id, content_id, path, stream, sha256, n_samples = store.texts[row]
        song = store.facts(int(store.song[row]))
        return CatalogueStem(
            stem_id=stem_id,
            song_id=song.song_id,
            content_id=content_id,
            split=SPLITS[self.split_numbers[number]],
            classes=store.kinds[store.kind[row]],
            root=song.root,
            path=path,
            stream=stream,
            sha256=sha256,
            sample_rate=int(store.sample_rate[row]),
            n_samples=n_samples,
            k_power=self._span(store.k_power, store.first, number),
            power=self._span(store.power, store.first, number),
            label=song.label,
            song_key=song.song_key,
            voices=self._voices(number),
            tempo_bpm=song.tempo_bpm,
            bar_quarters=song.bar_quarters,
            own_mixture=song.own_mixture,
        )

    def _span(self, column: ScratchColumn[np.float32], first: Int64s, number: int) -> Float32s:
        """Return a stem's part of a column: a view, of which nothing is read here."""
        start = int(first[self._rows[number]])
        return column.mapped[start : start + int(self.n_steps[number])]

    def _has_voices(self, number: int) -> bool:
        first = self._store.first_voice
        return first is not None and bool(first[self._rows[number]] != _NO_VOICES)

    def _voices(self, number: int) -> Float32s | None:
        first = self._store.first_voice
        if first is None or not self._has_voices(number):
            return None
        return self._span(self._store.voices, first, number)

    def k_power(self, number: int) -> Float32s:
        """Read the K-weighted power of a stem, (n_steps,)."""
        return self._read(self._store.k_power, self._store.first, number)

    def power(self, number: int) -> Float32s:
        """Read the power of a stem, (n_steps,)."""
        return self._read(self._store.power, self._store.first, number)

    def voices(self, number: int) -> Float32s | None:
        """Read the voices of a stem, (n_steps,); None if they are not known."""
        first = self._store.first_voice
        if first is None or not self._has_voices(number):
            return None
        return self._read(self._store.voices, first, number)

    def _read(self, column: ScratchColumn[np.float32], first: Int64s, number: int) -> Float32s:
        return column.read(int(first[self._rows[number]]), int(self.n_steps[number]))
