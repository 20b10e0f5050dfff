"""Scanning a folder of MIDI files: what is in it, and what cannot be used."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Reason, Rejection, ScannedSong
from stemsmith.render.midi.score import Score, read_score
from stemsmith.render.midi.smf import MAX_FILE_BYTES, Unusable

__all__ = ["ScanJob", "find_midi_files", "load_score", "plan", "run"]

_SUFFIXES: Final = frozenset({".mid", ".midi", ".kar"})
_FILES_PER_JOB: Final = 16


@dataclass(frozen=True, slots=True)
class ScanJob:
    """A few files of one folder."""

    root: str
    paths: tuple[str, ...]
    max_duration_s: float


def find_midi_files(root: Path, skipped: Path | None = None) -> list[str]:
    """Return the MIDI files below a folder: .mid, .midi and .kar in any case, sorted.

    Symbolic links are followed; a folder that is reached twice is read once, so that loops end.

    Parameters
    ----------
    root : Path
        The folder.
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
        raise UsageError(f"{root}: not a folder of MIDI files")

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error

    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen or Path(folder).resolve() == skipped:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        relative = Path(folder).relative_to(root)
        found += [
            (relative / name).as_posix() for name in names if Path(name).suffix.lower() in _SUFFIXES
        ]
    return sorted(found)


def plan(root: Path, paths: Sequence[str], max_duration_s: float) -> Iterator[ScanJob]:
    """Divide the files of a folder into jobs."""
    for start in range(0, len(paths), _FILES_PER_JOB):
        yield ScanJob(str(root), tuple(paths[start : start + _FILES_PER_JOB]), max_duration_s)


def run(job: ScanJob) -> list[ScannedSong | Rejection]:
    """Read the files of a job."""
    return [_scan(Path(job.root), path, job.max_duration_s) for path in job.paths]


def load_score(path: Path, max_duration_s: float) -> tuple[bytes, Score]:
    """Read a file and its score.

    Raises
    ------
    Unusable
        If the operating system or the parser refuses it.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise Unusable(Reason.UNREADABLE, "not a regular file")
        if status.st_size > MAX_FILE_BYTES:  # before reading it into memory
            raise Unusable(Reason.TOO_LARGE, f"{status.st_size} bytes")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # the parser refuses one byte more
    except OSError as error:
        raise Unusable(Reason.UNREADABLE, error.strerror or str(error)) from error
    return data, read_score(data, max_duration_s)


def _scan(root: Path, path: str, max_duration_s: float) -> ScannedSong | Rejection:
    try:
        data, score = load_score(root / path, max_duration_s)
    except Unusable as finding:
        return Rejection(path, "scan", finding.reason, finding.detail)
    return ScannedSong(
        path=path,
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        notes_sha256=score.notes_sha256(),
        duration_s=score.duration_s,
        n_notes=score.n_notes,
        parts=tuple(score.parts),
        repairs=score.repairs,
    )
