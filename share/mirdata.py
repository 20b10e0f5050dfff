"""A corpus as a data set of mirdata: ready to load, and validated by it, without a download."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import documents, storage
from stemsmith.manifests.corpus import SONGS, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError, optional_package
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.records import Song, Stem
from stemsmith.render.corpus.card import CITATION
from stemsmith.share.exports.mirdata_index import (
    INDEX,
    VERSION,
    IndexedSong,
    files_of_song,
    index_of,
)

__all__ = ["mirdata_dataset"]

_SHAPE: Final = {"version": str, "tracks": dict, "multitracks": dict}


def mirdata_dataset(folder: str | Path | Corpus) -> Any:
    """Open a corpus of songs as a data set of mirdata, by its loader for Slakh2100.

    Parameters
    ----------
    folder : path or Corpus
        A corpus of songs, or what ``stemsmith export --format mirdata`` made of one.

    Returns
    -------
    mirdata.datasets.slakh.Dataset
        Its tracks are the stems, ``Track00001-S00``, its multitracks the songs. ``validate()``
        compares all files with their checksums: SHA-256 of the records in a corpus, and the MD5 of
        the index in an export.

    Raises
    ------
    UsageError
        If mirdata is not installed, or it is a corpus of renditions, which have another layout.
    InvalidCorpus
        If it is neither, or damaged.

    Examples
    --------
    >>> from stemsmith.share import mirdata_dataset
    >>> dataset = mirdata_dataset("corpus")
    >>> track = dataset.track("Track00001-S01")
    >>> track.split, track.instrument, len(track.midi.instruments[0].notes)
    ('train', 'Bass', 4)
    >>> missing, invalid = dataset.validate(verbose=False)
    >>> any(missing.values()), any(invalid.values())
    (False, False)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its own packages find missing or outdated
        optional_package("mirdata.datasets.slakh", "share", "mirdata_dataset needs")
    root = local_path(os.fspath(folder) if isinstance(folder, Corpus) else folder).resolve()
    if (root / INDEX).is_file():
        index = documents.read_json(root / INDEX, InvalidCorpus)
        if problem := documents.misfit(index, _SHAPE):
            raise InvalidCorpus(f"{root / INDEX}: {problem}")
        return _dataset(root, index, "md5")
    return _dataset(root.parent, _index(Corpus(root)), "sha256")


def _index(corpus: Corpus) -> dict[str, Any]:
    """Return the index of a corpus, with the SHA-256 of its records in place of MD5."""
    if corpus.kind != SONGS:
        raise UsageError(
            f"{corpus.root}: a corpus of {corpus.kind}; mirdata reads the layout of songs"
        )

    if corpus.tars:
        raise UsageError(
            f"{corpus.root}: its songs lie in tars, which mirdata does not open; write them as "
            "folders: stemsmith export CORPUS FOLDER --format mirdata"
        )

    def songs() -> Iterator[IndexedSong]:
        for track in corpus.values():
            stems = [s.record for s in track.stems.values() if isinstance(s.record, Stem)]
            if isinstance(track.record, Song):
                files = files_of_song(track.record, stems, corpus.root.name)
                yield IndexedSong(track.name, files)

    return index_of(songs())


def _dataset(home: Path, index: dict[str, Any], algorithm: str) -> Any:
    from mirdata import core
    from mirdata.datasets import slakh

    class CorpusDataset(slakh.Dataset):  # type: ignore[misc]
        """A corpus of stemsmith, read by mirdata's loader for Slakh2100."""

        def __init__(self) -> None:
            core.Dataset.__init__(
                self,
                str(home),
                VERSION,
                name="slakh",
                track_class=slakh.Track,
                multitrack_class=slakh.MultiTrack,
                bibtex=CITATION,
                indexes={VERSION: core.Index(INDEX)},
                remotes={},
                license_info="That of its scores and soundfonts: see README.md of the corpus.",
            )
            self.index_path = str(home / INDEX)

        _index = index

        def validate(self, verbose: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
            """Compare all files with their checksums; return those missing, and those changed."""
            return _validated(home, index, algorithm)

    return CorpusDataset()


def _validated(
    home: Path, index: dict[str, Any], algorithm: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return missing and changed files in the shape of `mirdata.validate.validator`."""
    missing: dict[str, dict[str, list[str]]] = {"tracks": {}, "multitracks": {}}
    invalid: dict[str, dict[str, list[str]]] = {"tracks": {}, "multitracks": {}}
    found: dict[str, str | None] = {}  # metadata.yaml is named by every stem
    for kind in missing:
        for name, parts in index[kind].items():
            for part, entry in parts.items():
                if part == "tracks":
                    continue
                path = storage.inside(home, entry[0])
                if entry[0] not in found:
                    is_there = path.is_file()
                    found[entry[0]] = storage.file_hash(path, algorithm) if is_there else None
                if found[entry[0]] is None:
                    missing[kind].setdefault(name, []).append(str(path))
                elif found[entry[0]] != entry[1]:
                    invalid[kind].setdefault(name, []).append(str(path))
    return missing, invalid
