"""Exports that are one file and no folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import Rejection
from stemsmith.share.exports.destination import ExportPlan
from stemsmith.share.exports.exported import Exported

__all__ = ["ExportedFile", "write_one_file"]

_PREFIX: Final = ".stemsmith-export-"


class ExportedFile(Exported):
    """A finished export that is one file.

    Parameters
    ----------
    path : Path
        File that was written.
    plan : ExportPlan
        Plan that it was made by.

    Attributes
    ----------
    root : Path
        The file, as it was given.
    header : dict
        What the manifest of a folder would say.
    """

    def __init__(self, path: Path, plan: ExportPlan) -> None:
        self.root = path
        self.header: dict[str, Any] = {
            "format": plan.format_name,
            "variant": plan.layout.variant(plan.config) or None,
            "n_songs": {},
            "n_files": 1,
            "gains_db": {},
            "rejections": {},
            "checksums": {"file": path.name, "sha256": storage.file_hash(path)},
        }

    def rejection_records(self) -> list[Rejection]:
        """Return nothing: a file is whole or is not there."""
        return []

    def verify(self) -> Exported:
        """Compare the file with what was written; return the export."""
        if storage.file_hash(self.root) != self.header["checksums"]["sha256"]:
            raise InvalidCorpus(f"{self.root}: its SHA-256 is not that of what was written")
        return self


def write_one_file(plan: ExportPlan, path: Path) -> ExportedFile:
    """Write an export that is one file; it has its name when it is whole.

    Parameters
    ----------
    plan : ExportPlan
        What is written: one thing.
    path : Path
        File to write. One that is there already is left alone if it is the same.

    Raises
    ------
    UsageError
        If another file or a folder is there.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; the format {plan.format_name} writes one file")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    with storage.scratch_folder(path.absolute().parent, _PREFIX) as folder:
        written = Path(tempfile.mkdtemp(dir=folder))
        plan.layout.write(plan.songs[0], plan.config, written)
        (made,) = (file for file in written.rglob("*") if file.is_file())
        if path.exists() and storage.file_hash(path) != storage.file_hash(made):
            raise UsageError(f"{path}: is there already, and is another file; choose another name")
        storage.sync(made)
        made.replace(path)
        storage.sync(path.absolute().parent)
    return ExportedFile(path, plan)
