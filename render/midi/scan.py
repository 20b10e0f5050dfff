"""Scanning a folder of MIDI files: what is in it, and what cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Bools, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.folder_kinds import MIDI_ENDINGS, own_kind
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection, ScannedSong
from stemsmith.manifests.scratch import OnDemand
from stemsmith.manifests.shards import Table, table_of
from stemsmith.manifests.stores import is_object
from stemsmith.render.midi.limits import MAX_FILE_BYTES
from stemsmith.render.midi.score import Notes, Score, read_score
from stemsmith.render.midi.signature import melodic_signature
from stemsmith.render.midi.smf import Unusable

__all__ = [
    "Inventory",
    "ScanJob",
    "files_below",
    "find_midi_files",
    "load_score",
    "plan_scan",
    "scan_files",
]


class Inventory:
    """What is in a folder of MIDI files.

    ``len(inventory)`` is the number of files.

    Parameters
    ----------
    found : sequence of ScannedSong or Rejection
        One for each file, in order of path.

    Attributes
    ----------
    found : sequence of ScannedSong or Rejection
        As it was given.
    """

    def __init__(self, found: Sequence[ScannedSong | Rejection]) -> None:
        self.found = found

    @cached_property
    def _is_song(self) -> Bools:
        """Whether each file can be used, (n_files,): all are read for it."""
        is_song = (isinstance(item, ScannedSong) for item in self.found)
        return np.fromiter(is_song, bool, len(self.found))

    @cached_property
    def usable(self) -> Sequence[ScannedSong]:
        """The files that can be used, in order of path; each is asked for in `found`."""
        item = cast(Callable[[int], Any], self.found.__getitem__)
        return OnDemand(item, np.flatnonzero(self._is_song))

    @cached_property
    def unusable(self) -> Sequence[Rejection]:
        """The files that cannot."""
        item = cast(Callable[[int], Any], self.found.__getitem__)
        return OnDemand(item, np.flatnonzero(~self._is_song))

    def __len__(self) -> int:
        return len(self.found)

    @property
    def songs(self) -> Table:
        """The files that can be used, as a table with a column for every field of `ScannedSong`."""
        return table_of(self.song_records(), ScannedSong)

    @property
    def rejections(self) -> Table:
        """The files that cannot, as a table with the fields of `Rejection`."""
        return table_of(self.rejection_records(), Rejection)

    def song_records(self) -> list[ScannedSong]:
        """Return the files that can be used as records."""
        return list(self.usable)

    def rejection_records(self) -> list[Rejection]:
        """Return the files that cannot be used as records."""
        return list(self.unusable)


@dataclass(frozen=True, slots=True)
class ScanJob:
    """A few files of one folder.

    Attributes
    ----------
    root : str
        Folder that is scanned.
    paths : tuple of str
        Files, relative to it.
    max_duration_s : float
        Longest score that is a song, in seconds.
    are_drums_joined : bool
        Whether drums that are spread over tracks are one part.
    """

    root: str
    paths: tuple[str, ...]
    max_duration_s: float
    are_drums_joined: bool = False


def find_midi_files(root: Path, skipped: Path | None = None) -> list[str]:
    """Return the MIDI files below a folder: .mid, .midi, .kar, .rmi and .smf in any case, sorted.

    Symbolic links are followed; a folder that is reached twice is read once, so that loops end.

    Parameters
    ----------
    root : Path
        Folder that is searched, with its subfolders.
    skipped : Path, optional
        A folder that is not entered: the corpus, which has MIDI files of its own.

    Returns
    -------
    list of str
        POSIX paths relative to `root`.

    Raises
    ------
    UsageError
        If it is not a folder, or cannot be read.
    """
    if not root.is_dir():
        of_file = "; give the folder that it is in" if root.is_file() else ""
        raise UsageError(f"{root}: not a folder of MIDI files{of_file}")
    if (kind := own_kind(root)) is not None:
        raise UsageError(f"{root}: {kind.words}, not a folder of MIDI files")
    return sorted(
        path for path in files_below(root, skipped) if Path(path).suffix.lower() in MIDI_ENDINGS
    )


def files_below(root: Path, skipped: Path | None = None) -> Iterator[str]:
    """Yield all files below a folder, as `find_midi_files` finds those that are MIDI files.

    Parameters
    ----------
    root, skipped
        As for `find_midi_files`.

    Raises
    ------
    UsageError
        If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error

    if is_object(root):
        objects = (path for path, _ in root.files_below())
        outside = (path for path in objects if skipped is None or not path.is_relative_to(skipped))
        yield from (path.relative_to(root).as_posix() for path in outside)
        return
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen or Path(folder).resolve() == skipped:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        relative = Path(folder).relative_to(root)
        yield from ((relative / name).as_posix() for name in sorted(names))


def plan_scan(
    root: Path,
    paths: Sequence[str],
    max_duration_s: float,
    n_files: int = 16,
    *,
    are_drums_joined: bool = False,
) -> Iterator[ScanJob]:
    """Divide the files of a folder into jobs of some files each."""
    for start in range(0, len(paths), n_files):
        some = tuple(paths[start : start + n_files])
        yield ScanJob(str(root), some, max_duration_s, are_drums_joined)


def scan_files(job: ScanJob) -> list[ScannedSong | Rejection]:
    """Read the files of a job; return a song or a rejection for each, in their order."""
    return [_scan(job, path) for path in job.paths]


def load_score(
    path: Path, max_duration_s: float, *, are_drums_joined: bool = False, is_fine: bool = False
) -> tuple[bytes, Score]:
    """Read a file and its score; parameters as of `read_score`.

    Raises
    ------
    Unusable
        If the operating system or the parser refuses it.
    """
    try:
        status = places.status_of(path)
        if not status.is_regular:  # reading a pipe or a device may never end
            raise Unusable(Reason.UNREADABLE, "not a regular file")
        if status.n_bytes > MAX_FILE_BYTES:  # before reading it into memory
            raise Unusable(Reason.TOO_LARGE, f"{status.n_bytes} bytes")
        with places.opened(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)  # the parser refuses one byte more
    except OSError as error:
        recheck(error)
        raise Unusable(Reason.UNREADABLE, error.strerror or str(error)) from error
    score = read_score(data, max_duration_s, are_drums_joined=are_drums_joined, is_fine=is_fine)
    return data, score


def _scan(job: ScanJob, path: str) -> ScannedSong | Rejection:
    try:
        data, score = load_score(
            place(job.root) / path, job.max_duration_s, are_drums_joined=job.are_drums_joined
        )
    except Unusable as finding:
        return Rejection(path, "scan", finding.reason, finding.detail)
    signature = melodic_signature(_lines(score))
    return ScannedSong(
        path=path,
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        notes_sha256=score.notes_sha256(),
        duration_s=score.duration_s,
        n_notes=score.n_notes,
        parts=tuple(score.parts),
        repairs=score.repairs,
        melodic_signature=None if signature is None else str(signature),
    )


def _lines(score: Score) -> Iterator[tuple[Int64s, Int64s]]:
    """Yield onsets and pitches of what is no drums, together where only the program differs."""
    lines: dict[tuple[int, int], list[Notes]] = defaultdict(list)
    for part_index, part in enumerate(score.parts):
        if not part.is_drum:
            lines[part.track, part.channel].append(score.notes(part_index))
    for notes in lines.values():
        onset = np.concatenate([some.onset_tick for some in notes])
        yield onset, np.concatenate([some.pitch for some in notes]).astype(np.int64)
