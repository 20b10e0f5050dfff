"""Songs as targets and their mixture, and the formats that have a file for each of them.

MUSDB18's folders, those of Open-Unmix, Demucs and their successors hold one file for each target of
a taxonomy and one for the mixture. Here all of these are `TargetFormat`, which only has to say
where files lie.

Everything is written as integers of 16 bits. Targets are rounded, and the mixture is the sum of the
rounded targets where it is their sum at all, so that it equals the sum of the files exactly: stems
of corpora are 16-bit integers already, and nothing is rounded. (A mixture that a data set brings
with it, such as MUSDB18's masters, is not a sum and is rounded by itself.) Where a file would clip,
all files of the song get one gain.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from stemsmith.evaluate.benchmark.datasets import DatasetSong, find_dataset
from stemsmith.evaluate.benchmark.song import Unscorable, read_song
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio.read import audio_info
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.names import portable_name
from stemsmith.manifests.records import Reason
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.mixing.mixtures import Mixtures, StoredMixture
from stemsmith.mixing.sources.taxonomy import read_taxonomy
from stemsmith.share.exports.base import ExportFormat, NotExportable, PlannedFile
from stemsmith.share.exports.options import ExportConfig, Missing
from stemsmith.share.exports.sources import ExportSource, SourceKind
from stemsmith.share.exports.writing import (
    n_resampled,
    n_wav_bytes,
    resampled,
    rounded_together,
    write_wav,
)

__all__ = ["SUBSETS", "TargetAudio", "TargetFormat", "TargetSong", "find_target_songs"]

# What trainers call the splits.
SUBSETS: Final = {"train": "train", "validation": "valid", "test": "test"}
_N_NUMBER_BYTES: Final = 8  # room for what tells apart songs of one name


@dataclass(frozen=True, slots=True)
class TargetSong:
    """A song of targets.

    Attributes
    ----------
    name : str
        Name of the song, unique in the export, as a folder may be called.
    split : str
        Split it belongs to: ``train``, ``validation`` or ``test``.
    targets : tuple of str
        All targets of the taxonomy in its order; the song need not have all of them.
    audio : DatasetSong or StoredMixture
        Where its audio is.
    """

    name: str
    split: str
    targets: tuple[str, ...]
    audio: DatasetSong | StoredMixture

    @property
    def own_targets(self) -> tuple[str, ...]:
        """The targets that the song has; any of them may still be silent."""
        if isinstance(self.audio, DatasetSong):
            own = {stem.target for stem in self.audio.stems}
        else:
            own = {source.group for source in self.audio.record.sources}
        return tuple(target for target in self.targets if target in own)

    @property
    def has_own_mixture(self) -> bool:
        """Whether its mixture is a file, and not made of its stems."""
        if isinstance(self.audio, DatasetSong):
            return self.audio.mixture is not None
        return self.audio.record.own_mixture is not None

    def length(self) -> tuple[int, int]:
        """Return sample rate in Hz and number of samples; raise `NotExportable` if unknown."""
        if not isinstance(self.audio, DatasetSong):
            return self.audio.record.sample_rate, self.audio.record.n_samples
        first = self.audio.files[0]
        try:
            info = audio_info(first.location, first.stream)
        except (InvalidCorpus, UsageError) as error:
            raise NotExportable(Reason.UNREADABLE, str(error)) from error
        return info.sample_rate, info.n_samples

    def read(self) -> TargetAudio:
        """Read targets and mixture.

        Raises
        ------
        NotExportable
            If a file is missing, damaged, or not as the others.
        """
        if isinstance(self.audio, DatasetSong):
            return _read_dataset_song(self.audio)
        return _read_mixture(self.audio)


class TargetAudio(NamedTuple):
    """A song in memory.

    Attributes
    ----------
    sample_rate : int
        Sample rate in Hz.
    mixture : numpy.ndarray
        (n_channels, n_samples) float32, full scale 1.
    targets : dict of str to numpy.ndarray
        (n_channels, n_samples) float32 of each target that sounds.
    is_sum : bool
        Whether the mixture is the sum of the targets.
    """

    sample_rate: int
    mixture: Float32s
    targets: dict[str, Float32s]
    is_sum: bool


def _read_dataset_song(song: DatasetSong) -> TargetAudio:
    try:
        audio = read_song(song)
    except Unscorable as error:
        raise NotExportable(error.reason, error.detail) from error
    targets = dict(zip(audio.targets, audio.references, strict=True))
    return TargetAudio(audio.sample_rate, audio.mixture, targets, song.mixture is None)


def _read_mixture(stored: StoredMixture) -> TargetAudio:
    try:
        made = stored.realise()
    except InvalidCorpus as error:
        raise NotExportable(Reason.DAMAGED, str(error)) from error
    groups = {source.group for source in stored.record.sources}
    targets = {name: audio for name, audio in made.items() if name in groups and audio.any()}
    # A faulty recording is what users train on; what is true of it has names of its own.
    total = np.sum([made[name] for name in groups if name in made], axis=0)
    is_sum = bool(np.allclose(total, made[MIXTURE], rtol=0, atol=1e-5))
    is_sum = is_sum and stored.record.own_mixture is None
    return TargetAudio(stored.record.sample_rate, made[MIXTURE], targets, is_sum)


def find_target_songs(
    sources: Sequence[ExportSource], config: ExportConfig, taxonomy: str
) -> list[TargetSong]:
    """Find the songs of all sources, without reading audio.

    Parameters
    ----------
    sources : sequence of ExportSource
        Corpora, mixtures and other data sets.
    config : ExportConfig
        Taxonomy, splits and number of songs.
    taxonomy : str
        Taxonomy of corpora and data sets where `config` names none. Mixtures have their own.

    Returns
    -------
    list of TargetSong
        In the order of the sources, and within each by split and name. Songs of several sources
        that have one name are called after their source as well.

    Raises
    ------
    UsageError
        If no song has a target, an unknown target is wanted, or a taxonomy is given for mixtures.
    """
    found: list[tuple[ExportSource, TargetSong]] = []
    for source in sources:
        songs = list(
            _mixture_songs(source, config)
            if source.kind is SourceKind.MIXTURES
            else _dataset_songs(source, config, taxonomy)
        )
        counts: Counter[str] = Counter()
        for song in sorted(songs, key=lambda song: (SPLITS.index(song.split), song.name)):
            counts[song.split] += 1
            if config.limit is None or counts[song.split] <= config.limit:
                found.append((source, song))
    if not found:
        raise UsageError(f"{sources[0].text}: no songs of split {' or '.join(config.splits)}")
    known = {target for _, song in found for target in song.targets}
    if unknown := [name for name in config.stems if name not in known]:
        raise UsageError(f"--stems {unknown[0]}: no such source; known: {', '.join(sorted(known))}")
    return list(_named(found))


def _dataset_songs(
    source: ExportSource, config: ExportConfig, taxonomy: str
) -> Iterator[TargetSong]:
    known = read_taxonomy(config.taxonomy or taxonomy)
    dataset = find_dataset(source.text, config.taxonomy or taxonomy, config.splits)
    for song in dataset.songs:
        yield TargetSong(song.name, song.split, known.targets, song)


def _mixture_songs(source: ExportSource, config: ExportConfig) -> Iterator[TargetSong]:
    if config.taxonomy is not None:
        raise UsageError(
            f"--taxonomy {config.taxonomy}: the mixtures {source.text} have their own targets"
        )
    mixtures = Mixtures(source.root)
    for stored in mixtures:
        record = stored.record
        if record.split in config.splits:
            yield TargetSong(record.mixture_id, record.split, mixtures.targets, stored)


def _named(found: Sequence[tuple[ExportSource, TargetSong]]) -> Iterator[TargetSong]:
    """Yield the songs with names that folders may have, each another one."""
    plain = [_folder_name(song.name) for _, song in found]
    counts = Counter(name.casefold() for name in plain)
    taken: set[str] = set()
    for (source, song), name in zip(found, plain, strict=True):
        if counts[name.casefold()] > 1:
            name = _folder_name(f"{source.root.name}-{song.name}")
        numbered, number = name, 1
        while numbered.casefold() in taken:
            number += 1
            numbered = f"{name}-{number}"
        taken.add(numbered.casefold())
        yield TargetSong(numbered, song.split, song.targets, song.audio)


def _folder_name(name: str) -> str:
    """Return a name that a folder may have, and that has room for a number."""
    return storage.short_name(portable_name(name), _N_NUMBER_BYTES)


def _check_rates(songs: Sequence[TargetSong]) -> None:
    """Refuse songs of two sample rates where readers would not tell them apart."""
    seen: dict[int, str] = {}
    for song in songs:
        with contextlib.suppress(NotExportable):  # `TargetFormat.write` says why
            seen.setdefault(song.length()[0], song.name)
    if len(seen) > 1:
        (one, name), (other, other_name), *_ = sorted(seen.items(), reverse=True)
        raise UsageError(
            f"{name} has {one} Hz and {other_name} {other} Hz, which trainers read as one rate: "
            f"give --sample-rate {one}"
        )


class TargetFormat(ExportFormat[TargetSong]):
    """A format with a WAV file for each target of a song, and one for the mixture.

    Attributes
    ----------
    n_channels : int or None
        Channels that readers of the format expect: mono is written twice. None keeps those of the
        song.
    sample_rate : int or None
        The only sample rate of the format in Hz.
    has_one_rate : bool
        Whether readers take all files to be of one sample rate, whatever their headers say.
    """

    takes = frozenset(
        {SourceKind.SONGS, SourceKind.RENDITIONS, SourceKind.MIXTURES, SourceKind.DATASET}
    )
    taxonomy: ClassVar[str | None] = "musdb"
    missing: ClassVar[Missing | None] = Missing.SILENCE
    accepts = frozenset({"taxonomy", "stems", "missing", "sample_rate"})
    n_channels: ClassVar[int | None] = 2
    sample_rate: ClassVar[int | None] = None
    has_one_rate: ClassVar[bool] = False

    @abstractmethod
    def path_of(self, song: TargetSong, target: str, config: ExportConfig) -> str | None:
        """Return where the file of a target is, or of the mixture (`MIXTURE`); None for nowhere."""

    def n_unheard_mixtures(self, songs: Sequence[TargetSong], config: ExportConfig) -> int:
        """Return how many songs have mixtures that are no sums, and that training never hears."""
        return sum(
            song.split == "train"
            and song.has_own_mixture
            and self.path_of(song, MIXTURE, config) is None
            for song in songs
        )

    def missing_in(self, song: TargetSong, config: ExportConfig) -> Missing | None:
        """Return what becomes of a target that the song lacks."""
        return config.missing or self.missing

    def facts_of(self, song: TargetSong, mixture: Int16s) -> Mapping[str, Any]:
        """Return what `finish` has to know of the mixture as it is written; nothing by default."""
        return {}

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> list[TargetSong]:
        """Find the songs; see `ExportFormat.songs`."""
        assert self.taxonomy is not None
        songs = find_target_songs(sources, config, self.taxonomy)
        if self.has_one_rate and self._rate(config) is None:
            _check_rates(songs)
        return songs

    def files(self, song: TargetSong, config: ExportConfig) -> list[PlannedFile]:
        """Return what will be written of a song; see `ExportFormat.files`."""
        try:
            sample_rate, n_samples = song.length()
        except NotExportable:
            return []  # `write` says why
        n_samples = n_resampled(n_samples, sample_rate, self._rate(config) or sample_rate)
        n_bytes = n_wav_bytes(n_samples, self.n_channels or 2)
        names = self._written(song, song.own_targets, config)
        return [PlannedFile(path, n_bytes) for path in names.values()]

    def write(self, song: TargetSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the files of a song; see `ExportFormat.write`."""
        audio = song.read()
        rate = self._rate(config) or audio.sample_rate
        mixture, targets, gain_db = self._integers(audio, rate)
        paths = self._written(song, tuple(targets), config)
        if not set(paths) - {MIXTURE}:
            raise NotExportable(Reason.NO_TARGET, f"{song.name}: has none of the sources wanted")
        for target, path in paths.items():
            samples = mixture if target == MIXTURE else targets.get(target)
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            write_wav(place, np.zeros_like(mixture) if samples is None else samples, rate)
        return {
            "sample_rate": rate,
            "n_samples": mixture.shape[1],
            "n_channels": len(mixture),
            "gain_db": gain_db,
            **self.facts_of(song, mixture),
            "targets": [target for target in song.targets if target in targets],
        }

    def _rate(self, config: ExportConfig) -> int | None:
        return self.sample_rate or config.sample_rate

    def _written(
        self, song: TargetSong, own: Sequence[str], config: ExportConfig
    ) -> dict[str, str]:
        """Return the paths of the files that are written of a song, by their targets."""
        wanted = [name for name in song.targets if not config.stems or name in config.stems]
        if self.missing_in(song, config) is Missing.SKIP:
            wanted = [name for name in wanted if name in own]
        paths = {name: self.path_of(song, name, config) for name in (MIXTURE, *wanted)}
        return {name: path for name, path in paths.items() if path is not None}

    def _integers(self, audio: TargetAudio, rate: int) -> tuple[Int16s, dict[str, Int16s], float]:
        """Return mixture and targets as they are written, and their common gain in dB."""
        fitted = {
            name: resampled(self._mixed_down(signal), audio.sample_rate, rate)
            for name, signal in (*audio.targets.items(), (MIXTURE, audio.mixture))
        }
        integers, gain_db = rounded_together(fitted, MIXTURE if audio.is_sum else None)
        spread = {name: self._spread(signal) for name, signal in integers.items()}
        return spread.pop(MIXTURE), spread, gain_db

    def _mixed_down(self, signal: Float32s) -> Float32s:
        """Return the mean of the channels where the format has one."""
        if self.n_channels == 1 and len(signal) > 1:
            mean: Float32s = signal.mean(axis=0, keepdims=True)
            return mean
        return signal

    def _spread(self, samples: Int16s) -> Int16s:
        """Return a signal as it is, and a mono one on both channels where the format has two."""
        if self.n_channels == 2 and len(samples) == 1:
            return np.broadcast_to(samples, (2, samples.shape[1]))
        return samples
