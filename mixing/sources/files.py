"""The stems of a data set in any layout, found and checked."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.layout import FunctionLayout, SourceLayout
from stemsmith.mixing.sources.layouts import LAYOUTS
from stemsmith.mixing.sources.taxonomy import known_classes

__all__ = ["find_files", "load_layout"]


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

    Returns
    -------
    list of SourceFile
        By song_id and stem. Mixtures are left out.

    Raises
    ------
    UsageError
        If `root` is not a folder, or the layout is unknown.
    InvalidCorpus
        If nothing of the layout is there, a song lacks a stem, two files are the same stem, or
        the name of one is not UTF-8.
    """
    kind = load_layout(layout)
    if not root.is_dir():
        raise UsageError(f"{root}: not a folder")
    find = kind.find_songs if is_played_together else kind.find
    found = find(root, known_classes() | set(classes))
    files = sorted(found, key=lambda file: (file.song_id, file.stem))
    for file in files:
        if file.split not in SPLITS:
            known = ", ".join(SPLITS)
            raise UsageError(f"layout {layout!r}: gives the split {file.split!r}, not {known}")
        if is_complete and not (root / file.path).is_file():
            raise InvalidCorpus(f"{root / file.path}: missing; a song needs all of its stems")
        if any("\ud800" <= character <= "\udfff" for character in file.path):
            raise InvalidCorpus(f"{root / file.path}: a recipe cannot hold this name: not UTF-8")
    for one, other in pairwise(files):
        if (one.song_id, one.stem) == (other.song_id, other.stem):
            raise InvalidCorpus(
                f"{root / other.path}: the same stem as {root / one.path}; remove one of them"
            )
    return files
