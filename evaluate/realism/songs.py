"""The songs that are compared: found in corpora and data sets, and what else is known of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.evaluate.benchmark.datasets import DatasetSong, StemFile, find_dataset
from stemsmith.evaluate.realism.song_sound import SoundJob
from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.balance import GROUPS, SUMMED
from stemsmith.mixing.sources.find import CORPUS, parse_source

__all__ = ["KnownSong", "SongSet", "find_songs", "read_known_songs"]

_COLUMNS: Final = ("song", "artist", "reach_hz")
_TAXONOMY: Final = "musdb"
_BETWEEN: Final = " - "


class KnownSong(NamedTuple):
    """What somebody wrote down of a song.

    Attributes
    ----------
    artist : str
        Name of the artist; empty if it is not known.
    reach_hz : float
        Frequency that its sources reach; infinite if it is not known.
    """

    artist: str
    reach_hz: float


class SongSet(NamedTuple):
    """The songs of one side of a comparison.

    Attributes
    ----------
    names : tuple of str
        The data sets, as they were named.
    jobs : tuple of SoundJob
        One for each song.
    has_vocals : bool
        Whether any of the songs has a stem of singing.
    left_out : tuple of Rejection
        Files that are part of no song.
    """

    names: tuple[str, ...]
    jobs: tuple[SoundJob, ...]
    has_vocals: bool
    left_out: tuple[Rejection, ...]

    def summing(self, groups: Sequence[str]) -> SongSet:
        """Return the same songs with mixtures of other groups."""
        return self._replace(jobs=tuple(job.summing(groups) for job in self.jobs))


def read_known_songs(path: str | PathLike[str]) -> dict[str, KnownSong]:
    """Read a table of songs, separated by tabs or commas: song, artist and reach_hz.

    The first line names the columns; `artist` and `reach_hz` may be left out or empty. Fields with
    commas stand between double quotes where commas separate.

    Raises
    ------
    UsageError
        If it cannot be read, or is no such table; the text names file and line.
    """
    file = local_path(path)
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{file}: cannot be read: {reason}") from error
    header = lines[0].split("\t") if lines else []
    split = _split_tabs
    if len(header) == 1 and "," in header[0]:
        header, split = _split_commas(lines[0]), _split_commas
    if "song" not in header or not set(header) <= set(_COLUMNS):
        raise UsageError(f"{file}: the first line must name the columns song, artist, reach_hz")
    known: dict[str, KnownSong] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        values = split(line)
        if len(values) > len(header):
            raise UsageError(f"{file}: line {number}: more than {len(header)} columns")
        row = dict(zip(header, (value.strip() for value in values), strict=False))
        name = normal_name(row["song"])
        try:
            reach_hz = float(row.get("reach_hz") or math.inf)
        except ValueError:
            reach_hz = math.nan
        if not reach_hz > 0:
            raise UsageError(f"{file}: line {number}: reach_hz is not a frequency in Hz")
        if not name or name in known:
            fault = f"{name} is there twice" if name else "names no song"
            raise UsageError(f"{file}: line {number}: {fault}")
        known[name] = KnownSong(row.get("artist", ""), reach_hz)
    return known


def _split_tabs(line: str) -> list[str]:
    return line.split("\t")


def _split_commas(line: str) -> list[str]:
    return next(csv.reader([line]))


def find_songs(
    datasets: Iterable[str | PathLike[str]],
    known: Mapping[str, KnownSong] | None = None,
    *,
    splits: Sequence[str] = SPLITS,
    is_master: bool = False,
) -> SongSet:
    """Find the songs of some corpora and data sets, without reading audio.

    Parameters
    ----------
    datasets : iterable of str or path
        Corpora, and data sets as `find_dataset` takes them, such as ``folder:PATH``.
    known : mapping of str to KnownSong, optional
        What is known of songs, by name.
    splits : sequence of str
        Splits whose songs are wanted.
    is_master : bool
        Whether the mixture of a corpus is its master where there is one.

    Raises
    ------
    UsageError, InvalidCorpus
        As `find_dataset`; and if two data sets are the same folder, or one has no master.
    """
    names: list[str] = []
    jobs: list[SoundJob] = []
    left_out: list[Rejection] = []
    roots: set[Path] = set()
    has_vocals = False
    for number, dataset in enumerate(datasets):
        name = fspath(dataset)
        found = find_dataset(name, _TAXONOMY, splits)
        if found.root in roots:
            raise UsageError(f"{name}: given twice")
        roots.add(found.root)
        names.append(name)
        left_out += found.left_out
        has_vocals = has_vocals or "vocals" in found.targets
        layout, _ = parse_source(name)
        identities, masters = _of_corpus(found.root) if layout == CORPUS else ({}, {})
        if is_master and not masters:
            raise UsageError(f"{name}: has no masters to measure (--masters)")
        for song in found.songs:
            own = (known or {}).get(song.name) or KnownSong("", math.inf)
            artist = own.artist or _artist_of(song.name)
            jobs.append(
                SoundJob(
                    song=song.name,
                    identity=identities.get(song.name, song.name),
                    artist=artist or f"{number}:{song.name}",
                    is_artist_unknown=not artist,
                    groups=_groups(song),
                    summed=SUMMED,
                    master=masters.get(song.name) if is_master else None,
                    reach_hz=own.reach_hz,
                )
            )
    return SongSet(tuple(names), tuple(jobs), has_vocals, tuple(left_out))


def _groups(song: DatasetSong) -> tuple[tuple[str, tuple[StemFile, ...]], ...]:
    """Return the groups of a song that it has stems of."""
    stems = [(g, tuple(stem for stem in song.stems if stem.target == g)) for g in GROUPS]
    return tuple((group, files) for group, files in stems if files)


def _artist_of(name: str) -> str:
    """Return the artist of a name like those of MUSDB18, ``Artist - Title``."""
    artist, between, _ = name.partition(_BETWEEN)
    return artist.strip() if between else ""


def _of_corpus(root: Path) -> tuple[dict[str, str], dict[str, StemFile]]:
    """Return what identifies the songs of a corpus, and their masters, by name."""
    corpus = Corpus(root)
    if corpus.kind == RENDITIONS:
        renditions = corpus.rendition_records()
        return {f"{r.track}-{r.point}": f"{r.song_id}-{r.point}" for r in renditions}, {}
    songs = corpus.song_records()
    masters = {
        song.track: StemFile("", str(storage.inside(root, song.master_path)))
        for song in songs
        if song.master_path is not None
    }
    return {song.track: song.song_id for song in songs}, masters
