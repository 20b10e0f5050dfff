"""Files that a study names: what they hold decides stages, as what the study says does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.studies.stages import StudyStage

__all__ = ["beside", "hashes_of_files"]

_ENDINGS: Final = (".toml", ".yaml")  # of taxonomies and banks


def beside(value: Any, home: Path) -> Any:
    """Return the path of a file that lies beside the study's; any other value as it is.

    Parameters
    ----------
    value : object
        Value of an option.
    home : Path
        Folder of the study's file.
    """
    is_file = isinstance(value, str) and value.endswith(_ENDINGS)
    return str(home / value) if is_file and not Path(value).is_absolute() else value


def hashes_of_files(stage: StudyStage, home: Path) -> dict[str, str]:
    """Return the hash of each file that decides a stage, by its name in the study.

    Parameters
    ----------
    stage : StudyStage
        What is to be done.
    home : Path
        Folder of the study's file.

    Returns
    -------
    dict of str to str
        Of taxonomies, banks and tables of artists, as far as they are there. What is rendered,
        mixed or scored is no part of it: nobody changes it in its place.
    """
    paths = {name: Path(beside(name, home)) for name in _names(stage.work)}
    return {name: storage.file_hash(path) for name, path in paths.items() if path.is_file()}


def _names(work: Mapping[str, Any]) -> Iterator[str]:
    values = (*work.get("options", {}).values(), work.get("bank"))
    yield from (v for v in values if isinstance(v, str) and v.endswith(_ENDINGS))
    artists = (work.get("fold") or work).get("artists")
    if artists is not None:
        yield artists
