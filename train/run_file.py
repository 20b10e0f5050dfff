"""A run as one file: settings, epochs, weights, and what is known of data and licences.

The file is a zip archive of a fixed list of members, stored without compression and without times,
so that the same run gives the same bytes. ``SHA256SUMS`` has the hash of every other member, and
nothing of a damaged file is used. Weights are read by ``torch.load(weights_only=True)``: opening a
file runs none of its code.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import InvalidCorpus, one_line
from stemsmith.manifests.folder_kinds import RUN
from stemsmith.train.history import METRICS

__all__ = [
    "LICENCES",
    "PROVENANCE",
    "is_run_file",
    "pack_members",
    "read_members_of",
]

LICENCES: Final = "LICENCES.md"
PROVENANCE: Final = "provenance.json"
_SUMS: Final = "SHA256SUMS"
_MEMBERS: Final = (RUN, METRICS, LICENCES, PROVENANCE)
_WEIGHTS: Final = ("best.ckpt", "last.ckpt")  # one of them, the run's
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first one that the format knows
_PLAIN_FILE: Final = 0o100644 << 16
_MAGIC: Final = b"PK\x03\x04"  # of archives that are not empty


def is_run_file(path: Path) -> bool:
    """Tell by its first bytes whether a path may be the file of a run: an archive."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def pack_members(members: Mapping[str, bytes]) -> bytes:
    """Return the file of a run.

    Parameters
    ----------
    members : mapping of str to bytes
        The content of each member: `RUN`, `METRICS`, `LICENCES`, `PROVENANCE`, and the weights as
        ``best.ckpt``, or ``last.ckpt`` of a run that validated nothing.
    """
    names = _names(members)
    if names is None:
        raise ValueError(f"members {sorted(members)}, not {sorted(_MEMBERS)} and weights")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (*names, _SUMS):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.create_system, entry.external_attr = 3, _PLAIN_FILE  # the same on every system
            archive.writestr(entry, _sums(members) if name == _SUMS else members[name])
    return packed.getvalue()


def _names(found: Collection[str]) -> tuple[str, ...] | None:
    """Return the names of members in their order in the file; None for those of no run."""
    orders = ((*_MEMBERS, weights) for weights in _WEIGHTS)
    return next((names for names in orders if set(names) == set(found)), None)


def _sums(members: Mapping[str, bytes]) -> bytes:
    lines = (
        f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in _names(members) or ()
    )
    return "".join(lines).encode()


def read_members_of(path: Path) -> dict[str, bytes]:
    """Return the members of the file of a run, all of which have their hashes.

    Parameters
    ----------
    path : Path
        What `pack_members` has made.

    Raises
    ------
    InvalidCorpus
        If it cannot be read, is something else or is damaged; the text names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            found_names = [entry.filename for entry in entries]
            names = _names(found_names[:-1])
            if names is None or found_names != [*names, _SUMS]:
                raise InvalidCorpus(f"{path}: not a run that `stemsmith export` wrote as a file")
            # What is compressed may have any size; what is stored, no more than the file.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise InvalidCorpus(f"{path}: has compressed members, as no run of ours")
            found = {entry.filename: archive.read(entry) for entry in entries}
    except FileNotFoundError:
        raise InvalidCorpus(f"{path}: not there") from None
    except zipfile.BadZipFile as error:
        raise InvalidCorpus(
            f"{path}: no file of a run, or damaged: {one_line(error)}; restore it from a copy"
        ) from error
    except (OSError, ValueError, RuntimeError, NotImplementedError, MemoryError) as error:
        raise InvalidCorpus(f"{path}: cannot be read: {one_line(error)}") from error
    if found.pop(_SUMS) != _sums(found):
        raise InvalidCorpus(
            f"{path}: damaged: its members are not those of its {_SUMS}; restore it from a copy"
        )
    return found
