"""The recordings of an SFZ instrument: finding them, and checking what sfizz would pass over.

sfizz leaves a region out whose sample is missing or has more than two channels, and plays silence
for one that it cannot decode. Here these are errors.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests import storage
from stemsmith.manifests.audio.read import audio_info, read_blocks
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.render.sound.sfz.text import beside

__all__ = ["check_samples", "find_samples"]

_MAX_BYTES: Final = 8 << 30  # of all recordings when they are decoded: sfizz has them in memory
_N_BLOCK: Final = 1 << 18
_N_THREADS: Final = 4  # decoding and hashing let each other run
_HEAD_BYTES: Final = 1 << 12
# First bytes of what sfizz decodes: WAV in its three sizes, AIFF, FLAC, Ogg, MP3.
_HEADS: Final = re.compile(
    rb"RIFF....WAVE|RF64....WAVE|riff|FORM....AIF[FC]|fLaC|OggS|ID3|\xff[\xe2-\xff]", re.DOTALL
)
# PCM, Microsoft's ADPCM, float, A-law, u-law, IMA ADPCM, extensible
_WAV_CODECS: Final = frozenset({1, 2, 3, 6, 7, 17, 0xFFFE})


def find_samples(path: Path, named: Iterable[tuple[str, str]]) -> dict[str, Path]:
    """Find the files that an instrument names.

    Parameters
    ----------
    path : Path
        The .sfz file, as an absolute path.
    named : iterable of (str, str)
        Path of each file as it is written, and where.

    Returns
    -------
    dict of str to Path
        The files by their paths as they are written. As in sfizz, capital letters do not count
        where there is no file that is written just so.

    Raises
    ------
    UsageError
        For a file that is not there, or lies elsewhere than beside the instrument.
    """
    folders: dict[Path, dict[str, str]] = {}

    def entries(folder: Path) -> dict[str, str]:
        if folder not in folders:
            names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
            folders[folder] = {name.casefold(): name for name in reversed(names)}
        return folders[folder]

    def find(place: Path) -> Path | None:
        if place.exists() or place == place.parent:
            return place
        folder = find(place.parent)
        name = None if folder is None else entries(folder).get(place.name.casefold())
        return None if folder is None or name is None else folder / name

    found = {}
    for name, where in named:
        place = find(beside(path, name, where))
        if place is None or not place.is_file():
            raise UsageError(f"{where}: there is no sample {name}")
        found[name] = place
    return found


def check_samples(samples: Mapping[str, Path]) -> dict[str, str]:
    """Decode recordings from end to end, to see that it can be done.

    Parameters
    ----------
    samples : mapping of str to Path
        Files by their names.

    Returns
    -------
    dict of str to str
        SHA-256 of the files, by the same names.

    Raises
    ------
    UsageError
        Naming the first file that sfizz could not play, or if there is more audio than memory.
    """
    n_bytes = sum(_header(*_version(path)).n_bytes for path in set(samples.values()))
    if n_bytes > _MAX_BYTES:
        first = next(iter(samples.values()))
        raise UsageError(
            f"{first.parent}: its samples take {n_bytes / 2**30:.1f} GiB when they are decoded, "
            f"more than {_MAX_BYTES >> 30}"
        )
    with ThreadPoolExecutor(_N_THREADS) as threads:
        hashes = list(threads.map(lambda path: _checked(*_version(path)), samples.values()))
    return dict(zip(samples, hashes, strict=True))


class _Header(NamedTuple):
    n_samples: int
    n_bytes: int  # decoded


def _version(path: Path) -> tuple[Path, int, int]:
    """Return what tells a file from what it was before: what is known of it holds so long."""
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    return path, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=100_000)
def _header(path: Path, n_file_bytes: int, mtime_ns: int) -> _Header:
    try:
        info = audio_info(path)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except InvalidCorpus as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not _is_played(head):
        raise UsageError(f"{path}: sfizz plays WAV, FLAC, Ogg Vorbis, AIFF and MP3; convert it")
    if info.n_channels > 2:
        raise UsageError(f"{path}: has {info.n_channels} channels; sfizz plays one or two")
    if not info.n_samples:
        raise UsageError(f"{path}: holds no samples")
    return _Header(info.n_samples, 4 * info.n_channels * info.n_samples)


def _is_played(head: bytes) -> bool:
    if _HEADS.match(head) is None:
        return False
    if head[8:12] == b"WAVE":
        at = head.find(b"fmt ", 12) + 8
        return at < 20 or int.from_bytes(head[at : at + 2], "little") in _WAV_CODECS
    return not (head.startswith(b"OggS") and b"vorbis" not in head[:64])


@functools.lru_cache(maxsize=100_000)
def _checked(path: Path, n_file_bytes: int, mtime_ns: int) -> str:
    """Decode a file; return its SHA-256."""
    try:
        n_decoded = sum(block.shape[1] for block in read_blocks(path, _N_BLOCK))
    except InvalidCorpus as error:
        raise UsageError(str(error)) from error
    if n_decoded < _header(path, n_file_bytes, mtime_ns).n_samples:
        raise UsageError(f"{path}: is cut: {n_decoded} samples can be decoded")
    return storage.file_hash(path)
