"""What can be exported: folders that stemsmith wrote, and other data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.folder_kinds import RUN
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.mixing.sources.files import all_files
from stemsmith.mixing.sources.find import CORPUS, parse_source

__all__ = ["ExportSource", "SourceKind", "find_export_sources"]


class SourceKind(StrEnum):
    """What a source is."""

    SONGS = "songs"
    RENDITIONS = "renditions"
    MIXTURES = "mixtures"
    RUN = "run"
    DATASET = "dataset"

    @property
    def text(self) -> str:
        """The kind as a message names it."""
        return _TEXTS[self]


_TEXTS: Final = {
    SourceKind.SONGS: "a corpus of songs",
    SourceKind.RENDITIONS: "a corpus of renditions",
    SourceKind.MIXTURES: "a folder of mixtures",
    SourceKind.RUN: "a run",
    SourceKind.DATASET: "a data set in another layout",
}


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A folder that is exported.

    Attributes
    ----------
    text : str
        As it was given: a path, or ``LAYOUT:PATH``.
    kind : SourceKind
        What it is.
    root : Path
        Absolute path of the folder.
    """

    text: str
    kind: SourceKind
    root: Path

    @property
    def identity(self) -> str:
        """SHA-256 that changes with the content: of the manifest, or of files' sizes and times."""
        if self.kind is SourceKind.DATASET:
            # Hashing hundreds of gigabytes would take longer than the export.
            stats = [(str(path), path.stat()) for path, fault in all_files(self.root) if not fault]
            listing = [self.text, sorted((p, s.st_size, s.st_mtime_ns) for p, s in stats)]
            return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        name = RUN if self.kind is SourceKind.RUN else shards.MANIFEST
        return storage.file_hash(self.root / name)


def find_export_sources(given: Sequence[str | Path]) -> tuple[ExportSource, ...]:
    """Say what each source is.

    Parameters
    ----------
    given : sequence of str or Path
        Folders that stemsmith wrote, or ``LAYOUT:PATH`` as for mixing.

    Raises
    ------
    UsageError
        If one is not a folder, is given twice, or is a run beside others.
    InvalidCorpus
        If one is nothing that stemsmith wrote.
    """
    sources: list[ExportSource] = []
    for one in given:
        layout, path = parse_source(one)
        root = path.resolve()
        if any(root == other.root for other in sources):
            raise UsageError(f"{path}: given twice")
        kind = SourceKind.DATASET if layout != CORPUS else _kind_of(path)
        sources.append(ExportSource(str(one), kind, root))
    if len(sources) > 1 and (runs := [s for s in sources if s.kind is SourceKind.RUN]):
        raise UsageError(f"{runs[0].text}: a run is exported alone")
    return tuple(sources)


def _kind_of(folder: Path) -> SourceKind:
    """Return what a folder is that stemsmith wrote."""
    if (folder / RUN).exists():
        return SourceKind.RUN
    stage = shards.read_manifest(folder, "corpus", "mixtures")["stage"]
    if stage == "mixtures":
        return SourceKind.MIXTURES
    kind = Corpus(folder).kind
    if kind == MATCHED:
        raise UsageError(f"{folder}: stems of a folder of mixtures; export that instead")
    return SourceKind.RENDITIONS if kind == RENDITIONS else SourceKind.SONGS
