"""What a scan has found, kept for the other jobs of an array: one of them reads the scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import InUse, InvalidCorpus
from stemsmith.manifests.jobs import Progress
from stemsmith.manifests.records import Rejection, ScannedSong
from stemsmith.manifests.scratch import ScratchRecords
from stemsmith.manifests.stores import is_object

__all__ = ["KeptScan"]

Found = Sequence[ScannedSong | Rejection]


class KeptScan:
    """The place of what a scan has found, below the state of a run.

    What is kept holds of the same files, by name, size and time of modification, and of the same
    way to read them. Whoever finds nothing reads the scores; the others wait meanwhile, which takes
    them no longer than to do the same.

    Parameters
    ----------
    state : Path
        Folder of the run's state.
    root : Path
        Folder of the scores.
    paths : sequence of str
        Files of the scores, relative to it.
    how : sequence of object
        What decides how they are read, as JSON has it.
    """

    def __init__(
        self, state: Path, root: Path, paths: Sequence[str], how: Sequence[object]
    ) -> None:
        digest = hashlib.sha256(json.dumps([package_version("stemsmith"), *how]).encode())
        for path, identity in zip(paths, _identities(root, paths), strict=True):
            digest.update(f"{path}|{identity}\n".encode("utf-8", "surrogateescape"))
        self._scans = state / "scans"
        self._kept = self._scans / digest.hexdigest()[:40]

    def found(self, read: Callable[[], Found], progress: Progress) -> Found:
        """Return what was kept, or what is read now and kept for others.

        Parameters
        ----------
        read : callable
            Reads the scores.
        progress : Progress
            Is told if another job is waited for.

        Returns
        -------
        sequence of ScannedSong or Rejection
            One for each file, in any order.
        """
        self._scans.mkdir(parents=True, exist_ok=True)
        with self._alone(progress):
            if (kept := self._read()) is not None:
                return kept
            found = read()
            self._keep(found)
            return found

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Wait until no other job reads the same scores."""
        lock = self._kept.with_suffix(".lock")
        with ExitStack() as held:
            try:
                held.enter_context(storage.exclusive(lock))
            except InUse:
                progress.note("another job is reading the scores; waiting for what it finds")
                held.enter_context(storage.exclusive(lock, wait_s=-1))
            yield

    def _read(self) -> Found | None:
        """Return what was kept; None if it was not, or is damaged."""
        kept = ScratchRecords[ScannedSong | Rejection]()
        try:
            kept.extend(shards.iter_records([self._kept / "songs.parquet"], ScannedSong))
            kept.extend(shards.iter_records([self._kept / "rejections.parquet"], Rejection))
        except InvalidCorpus:
            return None
        return kept

    def _keep(self, found: Found) -> None:
        if not all(map(_can_be_kept, found)):
            return
        songs = (item for item in found if isinstance(item, ScannedSong))
        rejections = (item for item in found if isinstance(item, Rejection))
        with (
            suppress(FileNotFoundError),  # the run was closed meanwhile
            storage.staged_folder(self._scans, self._kept.name) as staged,
        ):
            shards.write_records(staged / "songs.parquet", ScannedSong, songs)
            shards.write_records(staged / "rejections.parquet", Rejection, rejections)
            storage.remove_tree(self._kept)  # what is damaged
            storage.publish_folder(staged, self._kept)


def _identities(root: Path, paths: Sequence[str]) -> Iterator[str]:
    """Yield what tells each file from another one of its name; a store is asked for a list."""
    listed: dict[Any, Any] = dict(root.files_below()) if is_object(root) else {}
    for path in paths:
        try:
            status: Any = listed.get(root / path) or (root / path).stat()
        except OSError:
            yield "unreadable"
        else:
            yield f"{status.st_size}|{status.st_mtime_ns}"


def _can_be_kept(item: ScannedSong | Rejection) -> bool:
    """Tell whether all text can be stored as it is: names of files may hold other bytes."""
    if isinstance(item, Rejection):
        texts = [item.id, item.detail]
    else:
        texts = [item.path, *(part.name for part in item.parts)]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
