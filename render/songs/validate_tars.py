"""Checking the tars of a corpus: that they are those of the manifest, and hold its files alone.

What is in a member is checked with its song (`stemsmith.render.songs.validate`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.corpus import PIECES, Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.records import Finding, Song, Stem
from stemsmith.manifests.tar_shards import INDEX, index_text, read_members
from stemsmith.render.songs.metadata import AUDIO
from stemsmith.render.songs.tars import song_files, stem_files

__all__ = ["TarValidation", "check_tar_names", "plan_tar_validation", "validate_tar"]


@dataclass(frozen=True, slots=True)
class TarValidation:
    """One tar to check.

    Attributes
    ----------
    path : str
        The tar file.
    sha256 : str
        Hash that the manifest has of it.
    n_files : int
        Number of files that records have in it, audio that is not kept aside. Each is looked for
        with its song, so that it holds no other one if it holds as many.
    """

    path: str
    sha256: str
    n_files: int


def check_tar_names(root: Path, tars: Collection[str], songs: Iterable[str]) -> None:
    """Check that the tars of a folder are those of its manifest, and of its songs.

    Parameters
    ----------
    root : Path
        Folder of the corpus.
    tars : collection of str
        Names of the tars that the manifest has.
    songs : iterable of str
        Paths of all songs, as records have them.

    Raises
    ------
    InvalidCorpus
        Naming the first tar that is missing, or that one of them does not know.
    """
    named = {path.partition("/")[0] for path in songs if path.partition("/")[0].endswith(".tar")}
    for name in sorted({*tars, *named, *(path.name for path in root.glob("*.tar"))}):
        if name not in named:
            raise InvalidCorpus(f"{root / name}: no record names it")
        if name not in tars:
            raise InvalidCorpus(f"{root / name}: is not among the tars of {shards.MANIFEST}")
        if not places.is_file(storage.inside(root, name)):
            raise InvalidCorpus(f"{root / name}: missing")


def plan_tar_validation(corpus: Corpus) -> list[TarValidation]:
    """Plan the checks of the tars of a corpus; none where its songs have folders."""
    n_files = Counter(path.partition("/")[0] for path in _files_of(corpus)) if corpus.tars else {}
    return [
        TarValidation(str(storage.inside(corpus.root, name)), sha256, n_files[name])
        for name, sha256 in corpus.tars.items()
    ]


def _files_of(corpus: Corpus) -> Iterator[str]:
    """Yield the paths of the files that the songs of a corpus have, as far as it keeps them."""
    is_lazy = "lazy" in corpus.header
    for path in _recorded_files_of(corpus):
        if not (is_lazy and path.endswith(AUDIO)):
            yield path


def _recorded_files_of(corpus: Corpus) -> Iterator[str]:
    for song in corpus.iter_records("songs", Song):
        yield from song_files(song)
    for kind in ("stems", PIECES):
        for stem in corpus.iter_records(kind, Stem):
            yield from stem_files(stem)


def validate_tar(job: TarValidation) -> Finding:
    """Check a tar against the manifest, and its index against its headers."""
    try:
        _check(places.place(job.path), job)
    except InvalidCorpus as error:
        recheck(error)
        return Finding(job.path, str(error))
    except OSError as error:
        recheck(error)
        return Finding(job.path, f"{job.path}: cannot be read: {error.strerror}")
    return Finding(job.path, None)


def _check(path: Path, job: TarValidation) -> None:
    members = read_members(path)
    if storage.file_hash(path) != job.sha256:  # read where it is: tars may be larger than the cache
        raise InvalidCorpus(f"{path}: SHA-256 is not the one in {shards.MANIFEST}")
    names = list(members)
    if names[:1] != [INDEX]:
        raise InvalidCorpus(f"{path}: does not begin with its index, {INDEX}")
    text = index_text([(name, members[name].n_bytes) for name in names[1:]])
    with path.open("rb") as file:
        file.seek(members[INDEX].offset)
        is_right = file.read(members[INDEX].n_bytes) == text
    if not is_right:
        raise InvalidCorpus(f"{path}: its index is not that of its members")
    if len(names) - 1 != job.n_files:
        raise InvalidCorpus(
            f"{path}: has {len(names) - 1} files, and records name {job.n_files} of it"
        )
