"""Which MIDI files a corpus of a study has: a part of a folder, or of the bundled scores."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path

from stemsmith.manifests import storage
from stemsmith.manifests.errors import NothingToDo
from stemsmith.render.midi.scan import find_midi_files

__all__ = ["bundled_scores", "copy_part", "files_of_part"]


def bundled_scores() -> Path:
    """Return the folder of the scores that come with stemsmith."""
    return Path(str(files("stemsmith.cli") / "scores"))


def files_of_part(
    source: Path, part: tuple[float, float], patterns: Sequence[str] = ()
) -> dict[str, Path]:
    """Return a part of the MIDI files of a folder.

    Files are ranked by the hash of their content, so that parts depend on nothing else: those that
    do not overlap have no file in common, files of one content being one.

    Parameters
    ----------
    source : Path
        Folder with MIDI files, in folders of any depth.
    part : (float, float)
        From one share of them to another, from 0 to 1.
    patterns : sequence of str
        Files count whose names match one of them, as ``chorale_*``; all files where there is none.

    Returns
    -------
    dict of str to Path
        The file of each hash, in their order; at least one.

    Raises
    ------
    NothingToDo
        If no file falls into the part.
    UsageError
        If the folder is none, or cannot be read.
    """
    ranked: dict[str, Path] = {}
    for name in find_midi_files(source):
        path = source / name
        if not patterns or any(fnmatch(path.name, pattern) for pattern in patterns):
            ranked.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    first, last = (round(share * len(ranked)) for share in part)
    chosen = sorted(ranked)[first:last]
    if not chosen:
        low, high = part
        raise NothingToDo(
            f"{source}: of its {len(ranked)} MIDI files none is in the part {low:g} to {high:g}"
        )
    return {digest: ranked[digest] for digest in chosen}


def copy_part(
    source: Path, part: tuple[float, float], destination: Path, patterns: Sequence[str] = ()
) -> int:
    """Copy a part of the MIDI files of a folder into one that is made anew.

    Parameters
    ----------
    source, part, patterns
        As of `files_of_part`.
    destination : Path
        The folder that is made; what was there is removed.

    Returns
    -------
    int
        Number of files that were copied.
    """
    chosen = files_of_part(source, part, patterns)
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    for digest, path in chosen.items():
        storage.write_atomic(destination / f"{digest[:8]}-{path.name}", path.read_bytes())
    return len(chosen)
