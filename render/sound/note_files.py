"""Which notes a folder of recordings holds: by the names of its files, or by its ``map.csv``."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests import storage
from stemsmith.manifests.audio.read import audio_info
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.render.midi.note_names import pitch_of

__all__ = ["DYNAMICS", "Recording", "read_recordings"]

DYNAMICS: Final = ("pp", "p", "mp", "m", "mf", "f", "ff")  # from soft to loud

_MAP: Final = "map.csv"
_COLUMNS: Final = ("file", "pitch", "dynamic")
_SUFFIXES: Final = (".wav", ".flac")
_UNMARKED: Final = "m"


class Recording(NamedTuple):
    """One recorded note.

    Attributes
    ----------
    path, sha256 : str
        Absolute path of the file, and its SHA-256.
    pitch : int
        MIDI number of the note.
    dynamic : str
        Dynamic it was played at, one of `DYNAMICS`.
    sample_rate, n_samples : int
        Sample rate of the file in Hz, and samples of each channel.
    """

    path: str
    sha256: str
    pitch: int
    dynamic: str
    sample_rate: int
    n_samples: int


def read_recordings(path: Path) -> tuple[Recording, ...]:
    """Read which notes a folder holds.

    Notes are files ``<pitch>[_<dynamic>].wav`` or ``.flac``: the pitch as a MIDI number or a name
    (``60``, ``C4``, ``F#3``, ``Bb2``; middle C is C4, 60), the dynamic one of `DYNAMICS`, ``m`` if
    left out. Or ``map.csv`` names them, with a header of the columns file, pitch and dynamic; then
    it alone counts. Sample rates and channels may differ. A file is read again only if its size or
    time has changed since the process first read it.

    Parameters
    ----------
    path : Path
        The folder; folders in it are only looked into if ``map.csv`` names files there.

    Returns
    -------
    tuple of Recording
        At least one; by pitch and dynamic, from low to high and from soft to loud.

    Raises
    ------
    UsageError
        For a folder that is not there or holds no notes, a name or a row that cannot be
        understood, a pitch that is there twice in one dynamic, a file that is missing or holds no
        audio; one line that names the file.
    """
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such folder of notes")
    table = path / _MAP
    try:
        found = list(_checked(_listed(path, table) if table.exists() else _named(path)))
    except OSError as error:
        where = error.filename or path
        raise UsageError(f"{where}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table}: not a CSV file in UTF-8: {error}") from error
    if not found:
        raise UsageError(f"{path}: no notes: neither files such as 60.wav or C4_mf.flac nor {_MAP}")
    found.sort(key=lambda r: (r.pitch, DYNAMICS.index(r.dynamic)))
    return tuple(found)


class _Entry(NamedTuple):
    """What a folder says of a file, and where it says so."""

    where: str
    file: Path
    pitch: str
    dynamic: str


def _named(folder: Path) -> Iterator[_Entry]:
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."):
            pitch, *dynamic = file.stem.split("_", 1)
            yield _Entry(str(file), file, pitch, dynamic[0] if dynamic else _UNMARKED)


def _listed(folder: Path, table: Path) -> Iterator[_Entry]:
    with table.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text, strict=True)
        if sorted(rows.fieldnames or ()) != sorted(_COLUMNS):
            raise UsageError(f"{table}: the first line must be {','.join(_COLUMNS)}")
        for row in rows:
            where = f"{table}: line {rows.line_num}"
            if set(row) != set(_COLUMNS) or None in row.values():
                raise UsageError(f"{where}: must have {len(_COLUMNS)} fields")
            fields = {column: value.strip() for column, value in row.items()}
            try:
                file = storage.inside(folder, fields["file"])
            except InvalidCorpus:
                raise UsageError(f"{where}: {fields['file']} is outside of the folder") from None
            if not file.is_file():
                raise UsageError(f"{where}: there is no file {file}")
            yield _Entry(where, file, fields["pitch"], fields["dynamic"] or _UNMARKED)


def _checked(entries: Iterable[_Entry]) -> Iterator[Recording]:
    files: dict[tuple[int, str], Path] = {}
    for where, file, text, dynamic in entries:
        pitch = pitch_of(text)
        if pitch is None:
            raise UsageError(f"{where}: {text!r} is no pitch; give 0 to 127 or a name such as F#3")
        if dynamic not in DYNAMICS:
            raise UsageError(f"{where}: no dynamic {dynamic!r}; known: {', '.join(DYNAMICS)}")
        if (other := files.setdefault((pitch, dynamic), file)) is not file:
            raise UsageError(f"{where}: pitch {pitch} in {dynamic} is there twice; also {other}")
        status = file.stat()
        sha256, sample_rate, n_samples = _inspected(file, status.st_size, status.st_mtime_ns)
        yield Recording(str(file.resolve()), sha256, pitch, dynamic, sample_rate, n_samples)


@functools.lru_cache(maxsize=10_000)
def _inspected(file: Path, n_bytes: int, mtime_ns: int) -> tuple[str, int, int]:
    """Return hash, sample rate and length of a file, as long as size and time stay the same."""
    try:
        info = audio_info(file)
    except InvalidCorpus as error:
        raise UsageError(str(error)) from error
    if info.n_samples == 0:
        raise UsageError(f"{file}: holds no samples")
    return storage.file_hash(file), info.sample_rate, info.n_samples
