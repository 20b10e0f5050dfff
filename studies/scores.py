"""Which MIDI files a corpus of a study has: a part of a folder, or of the bundled scores."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path

from stemsmith.manifests import storage
from stemsmith.manifests.errors import NothingToDo

__all__ = ["bundled_scores", "copy_part"]

_ENDINGS = (".mid", ".midi", ".kar")


def bundled_scores() -> Path:
    """Return the folder of the scores that come with stemsmith."""
    return Path(str(files("stemsmith.cli") / "scores"))


def copy_part(
    source: Path, part: tuple[float, float], destination: Path, patterns: Sequence[str] = ()
) -> int:
    """Copy a part of the MIDI files of a folder.

    Files are ranked by the hash of their content, so that parts depend on nothing else: those that
    do not overlap have no file in common, files of one content being one.

    Parameters
    ----------
    source : Path
        Folder with MIDI files, in folders of any depth.
    part : (float, float)
        From one share of them to another, from 0 to 1.
    destination : Path
        Folder that is made anew.
    patterns : sequence of str
        Files count whose names match one of them, as ``chorale_*``; all files where there is none.

    Returns
    -------
    int
        Number of files that were copied.

    Raises
    ------
    NothingToDo
        If no file falls into the part.
    """
    ranked: dict[str, Path] = {}
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            is_wanted = not patterns or any(fnmatch(name, pattern) for pattern in patterns)
            if is_wanted and name.lower().endswith(_ENDINGS):
                path = Path(folder, name)
                ranked.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    first, last = (round(share * len(ranked)) for share in part)
    chosen = sorted(ranked)[first:last]
    if not chosen:
        low, high = part
        raise NothingToDo(
            f"{source}: of its {len(ranked)} MIDI files none is in the part {low:g} to {high:g}"
        )
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    for digest in chosen:
        path = ranked[digest]
        storage.write_atomic(destination / f"{digest[:8]}-{path.name}", path.read_bytes())
    return len(chosen)
