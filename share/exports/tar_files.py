"""Tar files that say nothing of who wrote them, and when: WebDataset's shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stemsmith.manifests import storage

__all__ = ["writing_tar"]


@contextmanager
def writing_tar(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Write a tar file; the same members, the same bytes.

    Parameters
    ----------
    path : Path
        File to write, in a folder that is there.

    Yields
    ------
    callable
        Takes the name of a member and its content, in the order of the file.
    """
    with storage.naming(path), tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, content: bytes) -> None:
            header = tarfile.TarInfo(name)  # of no user, and of no time
            header.size, header.mode, header.mtime = len(content), 0o644, 0
            tar.addfile(header, io.BytesIO(content))

        yield add
