"""Songs of corpora, for formats that keep stems and notes as they are and know no targets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import Corpus, Track
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import portable_name
from stemsmith.manifests.places import place
from stemsmith.manifests.splits import SPLITS
from stemsmith.share.exports.base import ExportedSong
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.recorded import read_recorded
from stemsmith.share.exports.sources import ExportSource, SourceKind

__all__ = [
    "CorpusSong",
    "RecordedFile",
    "find_corpus_songs",
    "labels_of",
    "only_corpus",
    "read_checked",
]


class RecordedFile(NamedTuple):
    """A file of a corpus, and the hash that its record has.

    Attributes
    ----------
    path : str
        Where it is below the corpus (POSIX).
    sha256 : str
        SHA-256 of the file.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CorpusSong:
    """A song, or a rendition, of a corpus.

    Attributes
    ----------
    name : str
        Name of the song, unique in the export.
    split : str
        Split it belongs to: ``train``, ``validation`` or ``test``.
    key : str
        Its name in the corpus.
    label : str
        Label of the song in the corpus, which is one for all renditions of a score.
    root : str
        Absolute path of the corpus.
    """

    name: str
    split: str
    key: str
    label: str
    root: str

    @property
    def corpus(self) -> Corpus:
        """The corpus of the song, opened once for many songs."""
        manifest = place(self.root) / shards.MANIFEST
        return _opened(self.root, manifest.stat().st_mtime_ns if manifest.exists() else 0)

    def track(self) -> Track:
        """Return the song as its corpus has it."""
        return self.corpus[self.key]


@lru_cache(maxsize=2)
def _opened(root: str, _: int) -> Corpus:
    """Return a corpus, whose index takes a while; anew when its manifest has another time."""
    return Corpus(root)


def only_corpus(sources: Sequence[ExportSource], format_name: str) -> Corpus:
    """Return the one corpus that a format takes.

    Raises
    ------
    UsageError
        If there are several.
    """
    if len(sources) > 1:
        raise UsageError(f"{sources[1].text}: the format {format_name} takes one corpus at a time")
    return Corpus(sources[0].root)


def find_corpus_songs(sources: Sequence[ExportSource], config: ExportConfig) -> list[CorpusSong]:
    """Find the songs of corpora, by source, split and name, without reading audio.

    Parameters
    ----------
    sources : sequence of ExportSource
        Corpora of songs or of renditions.
    config : ExportConfig
        Splits and number of songs.

    Returns
    -------
    list of CorpusSong
        Songs of several corpora are called after their corpus as well.
    """
    found: list[CorpusSong] = []
    prefixes = _prefixes(sources)
    for source, prefix in zip(sources, prefixes, strict=True):
        counts: Counter[str] = Counter()
        names = list(_names(Corpus(source.root), source.kind))
        for key, label, split in sorted(names, key=lambda row: SPLITS.index(row[2])):
            counts[split] += 1
            is_wanted = config.limit is None or counts[split] <= config.limit
            if split in config.splits and is_wanted:
                found.append(CorpusSong(f"{prefix}{key}", split, key, label, str(source.root)))
    return found


def labels_of(songs: Iterable[ExportedSong[CorpusSong]]) -> dict[Path, set[str]]:
    """Return the labels that some songs have in their corpora, by the roots of these."""
    labels: dict[Path, set[str]] = defaultdict(set)
    for song in songs:
        labels[place(song.song.root)].add(song.song.label)
    return labels


def _prefixes(sources: Sequence[ExportSource]) -> list[str]:
    if len(sources) == 1:
        return [""]
    names = [portable_name(source.root.name) for source in sources]
    return [
        f"{name}-" if names.count(name) == 1 else f"{name}-{number}-"
        for number, name in enumerate(names, 1)
    ]


def _names(corpus: Corpus, kind: SourceKind) -> Iterator[tuple[str, str, str]]:
    """Yield name, label and split of every song."""
    if kind is SourceKind.RENDITIONS:
        yield from ((f"{r.track}-{r.point}", r.track, r.split) for r in corpus.rendition_records())
    else:
        yield from ((song.track, song.track, song.split) for song in corpus.song_records())


def read_checked(root: Path, file: RecordedFile) -> bytes:
    """Return the content of a file of a corpus; see `read_recorded`."""
    return read_recorded(storage.inside(root, file.path), file.sha256)
