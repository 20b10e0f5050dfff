"""What a folder is, and what a user may have meant who gave it in place of another.

Commands take folders of five kinds and more, which lie beside each other and have names that their
users chose. Whatever opens one says by `refusal` what it holds instead, in one line, and what may
be meant: another folder, or the command that makes what is wanted of it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, cast

from stemsmith.manifests.documents import read_json
from stemsmith.manifests.errors import StemsmithError
from stemsmith.manifests.places import joined, place
from stemsmith.manifests.stores import ObjectPath, is_address, is_object

__all__ = [
    "ARRAY",
    "MANIFEST",
    "MIDI_ENDINGS",
    "OF_STEMSMITH",
    "RUN",
    "FolderKind",
    "kind_of",
    "own_kind",
    "refusal",
]

MANIFEST: Final = "manifest.json"
RUN: Final = "run.json"
ARRAY: Final = "array"  # below the state of a run, what the jobs of an array have in common
MIDI_ENDINGS: Final = (".mid", ".midi", ".kar", ".rmi", ".smf")
_TRACK: Final = "metadata.yaml"  # of Slakh's layout
# Folders in which a stage keeps its state until it has finished.
_UNFINISHED: Final = (".render", ".mix", ".evaluate", ".export")
_AUDIO: Final = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".mp4", ".m4a",
)  # fmt: skip
_MOST_ENTRIES: Final = 20_000  # that are looked at; a folder says early what it holds


class FolderKind(StrEnum):
    """What a folder holds; the values are words of messages."""

    CORPUS = "a corpus"
    RENDITIONS = "a corpus of renditions"
    MIXTURES = "mixtures"
    RESULTS = "results of `evaluate`"
    RUN = "a trained run"
    EXPORT = "an export"
    UNFINISHED = "what a command has not finished"
    SLAKH = "tracks in Slakh's layout"
    MIDI = "MIDI files"
    AUDIO = "audio files"
    OTHER = "nothing that is known here"
    EMPTY = "nothing"
    FILE = "a file"
    MISSING = "missing"

    @property
    def words(self) -> str:
        """What stands behind the name of the folder and a colon."""
        said = {
            FolderKind.EMPTY: "is an empty folder",
            FolderKind.FILE: "is a file",
            FolderKind.MISSING: "is not there",
        }
        return said.get(self, f"holds {self.value}")


OF_STEMSMITH: Final = (
    FolderKind.CORPUS,
    FolderKind.RENDITIONS,
    FolderKind.MIXTURES,
    FolderKind.RUN,
    FolderKind.RESULTS,
    FolderKind.EXPORT,
)
_NOTHING_IN_IT: Final = {
    FolderKind.EMPTY: "; the folder is empty",
    FolderKind.MISSING: "; there is no such folder",
}
_STAGES: Final = {
    "corpus": FolderKind.CORPUS,
    "mixtures": FolderKind.MIXTURES,
    "evaluation": FolderKind.RESULTS,
    "export": FolderKind.EXPORT,
}
_CORPORA: Final = (FolderKind.CORPUS, FolderKind.RENDITIONS)
# What is wanted, what is there, and what makes the one of the other.
_ADVICE: Final = {
    ("a corpus", FolderKind.MIDI): "render them first: stemsmith render {folder} CORPUS",
    ("a corpus", FolderKind.EXPORT): "where a layout is taken, write it: musdb:{folder}, ...",
    ("a corpus", FolderKind.SLAKH): "where a layout is taken, write it: slakh:{folder}, ...",
    ("mixtures", FolderKind.CORPUS): "mix it first: stemsmith mix {folder} MIXTURES",
    ("mixtures", FolderKind.RENDITIONS): (
        "mix it first: stemsmith mix {folder} MIXTURES --mode renditions"
    ),
    ("mixtures", FolderKind.MIDI): "render them first, and mix the corpus",
    ("mixtures", FolderKind.AUDIO): "mix them first: stemsmith mix folder:{folder} MIXTURES",
    ("a trained run", FolderKind.MIXTURES): (
        "train on them first: stemsmith train {folder} RUN --target NAME"
    ),
    ("a trained run", FolderKind.CORPUS): "mix it first, and train on the mixtures",
    ("a trained run", FolderKind.RENDITIONS): "mix it first, and train on the mixtures",
    ("results of `evaluate`", FolderKind.RUN): (
        "evaluate it first: stemsmith evaluate run:{folder} DATASET RESULTS"
    ),
}


def kind_of(folder: Path) -> FolderKind:
    """Return what a folder holds, without reading more than its manifest and names of files.

    Parameters
    ----------
    folder : Path
        Any path, which need not be there.
    """
    if not folder.exists():
        return FolderKind.MISSING
    if not folder.is_dir():
        return FolderKind.FILE
    if (folder / RUN).is_file():
        return FolderKind.RUN
    header = _header(folder)
    if isinstance(stage := header.get("stage"), str) and stage in _STAGES:
        is_of_renditions = header.get("kind") == "renditions"
        return FolderKind.RENDITIONS if is_of_renditions else _STAGES[stage]
    if any((folder / name).is_dir() for name in _UNFINISHED):
        return FolderKind.UNFINISHED
    if any(folder.glob("*.parquet")):  # of a folder of ours that has lost its manifest
        return FolderKind.OTHER
    return _kind_of_files(folder)


def _kind_of_files(folder: Path) -> FolderKind:
    endings: set[str] = set()
    is_empty = True
    for path in itertools.islice(_files_below(folder), _MOST_ENTRIES):
        is_empty = False
        if path.name == _TRACK:
            return FolderKind.SLAKH
        endings.add(path.suffix.lower())
    if is_empty:
        return FolderKind.OTHER if any(_entries(folder)) else FolderKind.EMPTY
    if endings & set(MIDI_ENDINGS):
        return FolderKind.MIDI
    return FolderKind.AUDIO if endings & set(_AUDIO) else FolderKind.OTHER


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and three levels below it."""
    if is_object(folder):
        yield from _objects_below(folder, 3)
        return
    for root, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(root).relative_to(folder).parts) >= 3:
            folders.clear()
        yield from (Path(root, name) for name in sorted(names))


def _objects_below(folder: ObjectPath, n_levels: int) -> Iterator[Path]:
    entries = sorted(folder.entries())
    yield from (cast(Path, path) for path, status in entries if S_ISREG(status.st_mode))
    for path, status in entries if n_levels else ():
        if not S_ISREG(status.st_mode):
            yield from _objects_below(path, n_levels - 1)


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _header(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    """Return a manifest, or nothing if there is none that can be read."""
    try:
        content: Any = read_json(folder / name)
    except (OSError, StemsmithError):
        return {}
    return content if isinstance(content, dict) else {}


def refusal(folder: Path, *wanted: FolderKind, otherwise: str = "") -> str:
    """Return why a folder is not what was wanted, and what may be meant, in one line.

    Parameters
    ----------
    folder : Path
        As the user gave it.
    *wanted : FolderKind
        What would have been taken.
    otherwise : str
        The line for a folder that may be what is wanted, but is empty, damaged or incomplete.

    Returns
    -------
    str
        The line, which begins with the folder.
    """
    found = kind_of(folder)
    if inner := _folders_in(folder, wanted):
        return f"{folder}: {_lacks(found, wanted)}; did you mean {' or '.join(inner)}?"
    if made_of := _made_of(folder, wanted):
        return f"{folder}: {found.words}, made of {made_of}; did you mean that?"
    name = " or ".join(_names(wanted))
    for one in _names(wanted):
        if (one, found) in _ADVICE:
            advice = _ADVICE[one, found].format(folder=folder)
            return f"{folder}: {found.words}, not {name}; {advice}"
    if others := _folders_in(folder, OF_STEMSMITH):
        held = ", ".join(f"{path} ({own_kind(place(path))})" for path in others)
        return f"{folder}: not {name}; in it are {held}"
    if found is FolderKind.UNFINISHED:
        is_of_jobs = any((folder / name / ARRAY).is_dir() for name in _UNFINISHED)
        advice = f", or join its jobs: stemsmith merge {folder}" if is_of_jobs else ""
        return f"{folder}: not a finished folder; repeat the command that was writing to it{advice}"
    if otherwise and found in (FolderKind.OTHER, FolderKind.SLAKH, *_NOTHING_IN_IT):
        return otherwise + _NOTHING_IN_IT.get(found, "")
    return f"{folder}: {found.words}; expected {name}"


def _lacks(found: FolderKind, wanted: tuple[FolderKind, ...]) -> str:
    if found in OF_STEMSMITH:
        return found.words
    if set(wanted) == set(OF_STEMSMITH):
        return "no folder of stemsmith"
    return f"not {' or '.join(_names(wanted))}"


def _names(wanted: tuple[FolderKind, ...]) -> list[str]:
    """Return what was wanted in words: a corpus may be of either kind."""
    both = set(_CORPORA) <= set(wanted)
    return [str(kind) for kind in wanted if not (both and kind is FolderKind.RENDITIONS)]


def _folders_in(folder: Path, wanted: tuple[FolderKind, ...]) -> list[str]:
    """Return the folders right below another one that are what was wanted."""
    if own_kind(folder) is not None:
        return []
    below = itertools.islice(_entries(folder), _MOST_ENTRIES)
    return [str(path) for path in below if own_kind(path) in wanted]


def own_kind(folder: Path) -> FolderKind | None:
    """Return the kind of a folder that stemsmith wrote and finished, or None.

    Parameters
    ----------
    folder : Path
        Any path; no file is searched for.
    """
    if not any((folder / name).is_file() for name in (MANIFEST, RUN)):
        return None
    kind = kind_of(folder)
    return kind if kind in OF_STEMSMITH else None


def _made_of(folder: Path, wanted: tuple[FolderKind, ...], most_steps: int = 2) -> str | None:
    """Return the folder that another was made of, if it is what was wanted."""
    for origin in _origins(folder):
        if own_kind(origin) in wanted:
            return str(origin)
    if most_steps > 1:
        for origin in _origins(folder):
            if found := _made_of(origin, wanted, most_steps - 1):
                return found
    return None


def _origins(folder: Path) -> list[Path]:
    """Return the folders that the record of a folder of mixtures, or of a run, names."""
    roots = _header(folder).get("roots")
    data = _header(folder, RUN).get("data")
    named: list[Any] = list(roots.values()) if isinstance(roots, dict) else []
    if isinstance(data, dict):
        named += [path for paths in data.values() if isinstance(paths, list) for path in paths]
    return [_origin(folder, name) for name in named if isinstance(name, str)]


def _origin(folder: Path, name: str) -> Path:
    if is_object(folder) or is_address(name):
        return joined(folder, name)
    return Path(os.path.normpath(folder / name))
