"""Opening a finished export: its manifest, what it left out, and whether its files are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.documents import Every, Optional
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.records import Rejection

__all__ = ["EXPORT", "REJECTIONS", "SUMS", "Exported"]

EXPORT: Final = "export"  # the stage that manifests and rejections name
SUMS: Final = "SHA256SUMS"
REJECTIONS: Final = "rejections.parquet"
_SHAPE: Final = {
    "format": str,
    "n_songs": Every(dict, int),
    "n_files": int,
    "gains_db": Every(dict, float),
    "rejections": Optional(Every(dict, int)),
    "checksums": {"file": str, "sha256": str},
}


class Exported:
    """A finished export.

    Parameters
    ----------
    folder : path
        What `stemsmith export` wrote.

    Attributes
    ----------
    root : Path
        Where the export is, as it was given.
    header : dict
        The content of ``manifest.json``.

    Raises
    ------
    InvalidCorpus
        If the folder has no manifest of an export.
    """

    def __init__(self, folder: str | Path) -> None:
        self.root = local_path(folder)
        self.header: dict[str, Any] = shards.read_manifest(self.root, EXPORT)
        shards.check_header(self.root, self.header, _SHAPE)

    def __fspath__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"Exported({str(self.root)!r})"

    def rejection_records(self) -> list[Rejection]:
        """Return the songs that are left out, as records."""
        return shards.read_records(self.root / REJECTIONS, Rejection)

    def verify(self) -> Exported:
        """Compare all files with their checksums; return the export.

        Raises
        ------
        InvalidCorpus
            Naming the first file that is missing or not as it was written.
        """
        sums = self.root / SUMS
        if not sums.exists():
            raise InvalidCorpus(f"{sums}: missing")
        if storage.file_hash(sums) != self.header["checksums"]["sha256"]:
            raise InvalidCorpus(f"{sums}: its SHA-256 is not that of the manifest")
        for sha256, place in self._checksums():
            path = storage.inside(self.root, place)
            if not path.is_file():
                raise InvalidCorpus(f"{path}: missing")
            if storage.file_hash(path) != sha256:
                raise InvalidCorpus(f"{path}: its SHA-256 is not that of {SUMS}")
        return self

    def _checksums(self) -> Iterator[tuple[str, str]]:
        """Yield SHA-256 and path of every file."""
        with (self.root / SUMS).open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                sha256, _, place = line.rstrip("\n").partition("  ")
                yield sha256, place
