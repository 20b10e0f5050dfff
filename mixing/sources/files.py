"""The stems of a data set in any layout, found and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

from stemsmith.manifests.audio.read import is_audio
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.places import is_remote
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.layout import (
    FunctionLayout,
    SourceLayout,
    is_file,
    is_readable,
    visible,
)
from stemsmith.mixing.sources.layouts import LAYOUTS
from stemsmith.mixing.sources.song_folders import is_mixture
from stemsmith.mixing.sources.taxonomy import known_classes

__all__ = ["FOUND_BY", "all_files", "find_files", "incomplete", "load_layout", "unused_files"]

FOUND_BY: Final = "find"  # the stage that rejections name


def load_layout(name: str) -> SourceLayout:
    """Return a layout by its name.

    Parameters
    ----------
    name : str
        A built-in one, or ``package.module:function`` of anyone's; see `FunctionLayout`.

    Raises
    ------
    UsageError
        If there is none of that name, or it is not a layout.
    """
    found = LAYOUTS.load(name)
    if isinstance(found, SourceLayout):
        return found
    if not callable(found):
        raise UsageError(f"layout {name!r}: neither a function nor a SourceLayout")
    return FunctionLayout(found)


def find_files(
    layout: str,
    root: Path,
    classes: Collection[str] = (),
    *,
    is_complete: bool = True,
    is_played_together: bool = False,
    left_out: list[Rejection] | None = None,
) -> list[SourceFile]:
    """Return all stems of a data set, without looking into the files.

    Parameters
    ----------
    layout : str
        Name of a layout, as `load_layout` takes it.
    root : Path
        Folder of the data set.
    classes : collection of str
        Instrument classes of the taxonomy that is used, beside those that are known anyway.
    is_complete : bool
        Whether a song that lacks a stem is refused; else a record says where the stem should be.
    is_played_together : bool
        Whether folders of solos are refused.
    left_out : list of Rejection, optional
        Gets a row for every song that lacks a stem and every name that no record can hold, and
        the others are returned; without it these are refused.

    Returns
    -------
    list of SourceFile
        By song_id and stem, whose names are as `normal_name` writes them. Mixtures are left out.

    Raises
    ------
    UsageError
        If `root` is not a folder, or the layout is unknown.
    InvalidCorpus
        If nothing of the layout is there, no song is whole, two files are the same stem, or two
        names would be the same class.
    """
    kind = load_layout(layout)
    if not root.is_dir():
        raise UsageError(f"{root}: not a folder")
    if not is_readable(root):
        raise UsageError(f"{root}: cannot be read: permission denied")
    find = kind.find_songs if is_played_together else kind.find
    found = [_normal(file) for file in find(root, known_classes() | set(classes))]
    files = sorted(found, key=lambda file: (file.song_id, file.stem))
    for file in files:
        if file.split not in SPLITS:
            known = ", ".join(SPLITS)
            raise UsageError(f"layout {layout!r}: gives the split {file.split!r}, not {known}")
    for one, other in pairwise(files):
        if (one.song_id, one.stem) == (other.song_id, other.stem):
            raise InvalidCorpus(
                f"{root / other.path}: the same stem as {root / one.path}; remove one of them"
            )
    usable: list[SourceFile] = []
    rejections: list[Rejection] = []
    for _, group in groupby(files, key=lambda file: file.song_id):
        song = list(group)
        faults = _own_faults(root, song) or list(_faults(root, song, is_complete))
        rejections += faults
        usable += [] if faults else song
    if rejections and (left_out is None or not usable):
        raise InvalidCorpus(rejections[0].detail)
    if left_out is not None:
        left_out += rejections
    return usable


def _normal(file: SourceFile) -> SourceFile:
    return replace(
        file,
        song_id=normal_name(file.song_id),
        stem=normal_name(file.stem),
        inst_class=normal_name(file.inst_class),
        other_classes=tuple(map(normal_name, file.other_classes)),
    )


def _own_faults(root: Path, song: Sequence[SourceFile]) -> list[Rejection]:
    """Return a row for every file of a song that the data set itself leaves out."""
    return [
        Rejection(
            file.path, FOUND_BY, Reason.OMITTED, f"{root / file.path}: not used: {file.omission}"
        )
        for file in song
        if file.omission
    ]


def _faults(root: Path, song: Sequence[SourceFile], is_complete: bool) -> Iterator[Rejection]:
    """Yield a row for every file of a song that cannot be taken as it is."""
    unnamed = [file for file in song if _is_no_text(f"{file.song_id}{file.stem}{file.path}")]
    for file in unnamed:
        detail = f"{root / file.path}: a recipe cannot hold this name: not UTF-8"
        yield Rejection(file.path, FOUND_BY, Reason.BAD_NAME, detail)
    missing = [file for file in song if is_complete and not is_file(root / file.path)]
    if missing and len(missing) == len(song):  # a folder that is no song
        folder = Path(song[0].path).parent.as_posix()
        detail = f"{root / song[0].path}: missing; a song needs all of its stems"
        yield Rejection(folder, FOUND_BY, Reason.MISSING, detail)
        return
    for file in missing:
        detail = f"{root / file.path}: missing; a song needs all of its stems"
        yield Rejection(file.path, FOUND_BY, Reason.MISSING, detail)
    for file in song if missing or unnamed else ():
        if file not in missing and file not in unnamed:
            yield incomplete(root, file, [*missing, *unnamed][0])


def _is_no_text(name: str) -> bool:
    """Tell whether a name holds bytes that are no UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)


def incomplete(root: Path, file: SourceFile, other: SourceFile) -> Rejection:
    """Return the row of a stem whose song cannot do without another one."""
    detail = f"{root / file.path}: its song lacks {other.stem}, and a song needs all of its stems"
    return Rejection(file.path, FOUND_BY, Reason.INCOMPLETE, detail)


def unused_files(layout: str, root: Path, known: Collection[str]) -> list[Rejection]:
    """Return a row for every file of a data set that is none of its stems.

    Hidden files, and what systems keep for themselves, are no part of a data set; what a data set
    is known to have beside its stems needs no row.

    Parameters
    ----------
    layout : str
        Name of the layout by which the stems were found.
    root : Path
        Folder of the data set.
    known : collection of str
        Paths below it of all that is used or has a row already.
    """
    companions = load_layout(layout).companions
    places = ((path.relative_to(root).as_posix(), path, fault) for path, fault in all_files(root))
    return [
        _unused(layout, root, path, fault)
        for place, path, fault in places
        if place not in known and not any(fnmatchcase(place, known_as) for known_as in companions)
    ]


def _unused(layout: str, root: Path, path: Path, fault: str) -> Rejection:
    place = path.relative_to(root).as_posix()
    if fault:
        return Rejection(place, FOUND_BY, Reason.UNREADABLE, f"{path}: cannot be read: {fault}")
    if not is_audio(path):
        detail = f"{path}: not audio that can be read, by the ending of its name"
        return Rejection(place, FOUND_BY, Reason.NOT_AUDIO, detail)
    if is_mixture(path.stem):
        return Rejection(place, FOUND_BY, Reason.MIXTURE, f"{path}: a mixture is no stem")
    detail = f"{path}: not in a place where {layout} has stems"
    return Rejection(place, FOUND_BY, Reason.NO_STEM, detail)


def all_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder with nothing, and folders that cannot be read with the reason.

    A folder that is reached twice is entered once. What `visible` passes over is no file of a
    user's.
    """
    return _all_files(root, set())


def _all_files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    if not is_readable(folder):
        yield folder, "permission denied"
        return
    if not is_remote(folder):  # where nothing leads to another folder
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
    for path in visible(folder):
        if path.is_dir():
            yield from _all_files(path, seen)
        else:
            yield path, ""
