"""Files of a corpus, read only if they are those that its records describe."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stemsmith.manifests import places
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Reason
from stemsmith.share.exports.base import NotExportable

__all__ = ["n_recorded_bytes", "read_recorded"]


def n_recorded_bytes(path: Path) -> int:
    """Return the size of a file of a corpus; 0 if it cannot be read, which `read_recorded` says."""
    try:
        return places.size_of(path)
    except (OSError, InvalidCorpus):
        return 0


def read_recorded(path: Path, sha256: str) -> bytes:
    """Return the content of a file, which is the one that was rendered.

    Parameters
    ----------
    path : Path
        File of a corpus.
    sha256 : str
        SHA-256 of its content, by the record.

    Raises
    ------
    NotExportable
        If it is missing, cannot be read or is another one.
    """
    try:
        data = places.read_bytes(path)
    except FileNotFoundError:
        raise NotExportable(Reason.MISSING, f"{path}: missing") from None
    except OSError as error:
        detail = f"{path}: cannot be read: {error.strerror}"
        raise NotExportable(Reason.UNREADABLE, detail) from error
    except InvalidCorpus as error:  # of the tar that it is in
        raise NotExportable(Reason.DAMAGED, str(error)) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        detail = f"{path}: damaged: not the file that was rendered; restore it from a copy"
        raise NotExportable(Reason.DAMAGED, detail)
    return data
