"""SFZ instruments as patches know them: which notes they play, and what tells one from another."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Bools, UInt8s
from stemsmith.manifests.errors import UsageError, require
from stemsmith.render.sound.sfz.drum_map import DRUM_FALLBACKS
from stemsmith.render.sound.sfz.regions import Region, RegionTable, named_samples, parse_regions
from stemsmith.render.sound.sfz.samples import check_samples, find_samples
from stemsmith.render.sound.sfz.text import LEVELS_UP, SfzText, read_text

__all__ = ["SfzInstrument", "file_hashes", "read_sfz"]

_N_KEYS: Final = 128
_LICENCE_NAMES: Final = ("licence", "license", "copying", "copyright")
_MAX_LICENCE: Final = 1 << 16  # characters


@dataclass(frozen=True, slots=True)
class SfzInstrument:
    """An SFZ instrument.

    Attributes
    ----------
    path : str
        Absolute path of the .sfz file.
    fingerprint : str
        SHA-256 over the .sfz file, all includes and all samples, with their names as written.
    licence : str
        Text of the licence beside the file or in the folder above it; empty if there is none.
    n_regions : int
        Number of regions in the text.
    links : tuple of (str, str)
        Path in a folder that mirrors the instrument's, and the absolute path that a link of this
        name leads to: all that the instrument names. The first is that of the .sfz file.
    sent_keys : bytes
        By key, the one that is sent for it: another one for drums that a kit lacks.
    notes : bytes
        128 x 128 bits: by key and velocity, whether a region begins to sound.
    bend_cents : (int, int)
        What the pitch wheel does at its lowest and highest.
    has_layers : bool
        Whether velocities choose among regions.
    has_effects : bool
        Whether it has effects of its own, which ring on after the voices.
    """

    path: str
    fingerprint: str
    licence: str
    n_regions: int
    links: tuple[tuple[str, str], ...]
    sent_keys: bytes
    notes: bytes
    bend_cents: tuple[int, int]
    has_layers: bool
    has_effects: bool

    def plays(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Bools:
        """Return for which notes there is a region, (n_notes,), from their MIDI numbers."""
        table = np.unpackbits(np.frombuffer(self.notes, np.uint8)).reshape(_N_KEYS, -1)
        found: Bools = table[np.asarray(pitch, np.int64), np.asarray(velocity, np.int64)] == 1
        return found


def read_sfz(path: Path, is_drum: bool) -> SfzInstrument:
    """Read an SFZ instrument, and check all that sfizz would pass over in silence.

    Parameters
    ----------
    path : Path
        The .sfz file. Its samples and includes lie beside it, or up to two folders above.
    is_drum : bool
        Whether it is a drum kit: the keys it lacks are then played by others of their kind.

    Raises
    ------
    UsageError
        If pysfizz is not installed, a file is missing, lies elsewhere, cannot be decoded, or no
        key sounds; one line that names the file.
    """
    require("sfz", "pysfizz", task=f"{path}: an SFZ instrument")
    path = path.resolve()
    if path.suffix.lower() != ".sfz":
        raise UsageError(f"{path}: an SFZ instrument is a file that ends in .sfz")
    found = _parsed(path)
    if not any(region.is_struck for region in found.table.regions):
        raise UsageError(f"{path}: no key makes a region sound")
    hashes = check_samples(found.samples)
    regions = _note_table(found.table.regions)
    sent_keys = _sent_keys(regions, is_drum)
    return SfzInstrument(
        path=str(path),
        fingerprint=_fingerprint(found.text, hashes),
        licence=_licence_beside(path),
        n_regions=len(found.table.regions),
        links=_links(path, found.text.files | found.samples),
        sent_keys=sent_keys.tobytes(),
        notes=np.packbits(regions[sent_keys]).tobytes(),
        bend_cents=Counter(r.bend_cents for r in found.table.regions).most_common(1)[0][0],
        has_layers=any(
            region.velocities[0] > 1 or region.velocities[1] < _N_KEYS - 1
            for region in found.table.regions
            if region.is_struck
        ),
        has_effects=found.table.has_effects,
    )


def file_hashes(instrument: SfzInstrument) -> dict[str, str]:
    """Return the SHA-256 of each file that an instrument is made of, by its absolute path."""
    found = _parsed(Path(instrument.path))
    hashes = check_samples(found.samples)
    return {
        **{str(path): storage.file_hash(path) for path in found.text.files.values()},
        **{str(path): hashes[name] for name, path in found.samples.items()},
    }


class _Parsed(NamedTuple):
    text: SfzText
    table: RegionTable
    samples: dict[str, Path]


def _parsed(path: Path) -> _Parsed:
    text = read_text(path)
    table = parse_regions(text.sections)
    return _Parsed(text, table, find_samples(path, named_samples(table.regions)))


def _fingerprint(text: SfzText, sample_hashes: dict[str, str]) -> str:
    texts = [(name, storage.file_hash(path)) for name, path in sorted(text.files.items())]
    content = json.dumps([texts, sorted(sample_hashes.items())])
    return hashlib.sha256(content.encode()).hexdigest()


def _note_table(regions: Iterable[Region]) -> Bools:
    """Return (128, 128), by key and velocity, where a region begins to sound."""
    table = np.zeros((_N_KEYS, _N_KEYS), np.bool_)
    for region in regions:
        if region.is_struck:
            low, high = region.keys
            softest, loudest = np.clip(region.velocities, -1, _N_KEYS)
            table[low : high + 1, max(math.ceil(softest), 0) : math.floor(loudest) + 1] = True
    return table


def _sent_keys(regions: Bools, is_drum: bool) -> UInt8s:
    """Return the key that is sent for each key, (128,)."""
    sent = np.arange(_N_KEYS, dtype=np.uint8)
    has_region = np.array(regions.any(axis=1), np.bool_)
    for key, others in DRUM_FALLBACKS.items() if is_drum else ():
        if not has_region[key]:
            sent[key] = next((other for other in others if has_region[other]), key)
    return sent


def _links(path: Path, files: Mapping[str, Path]) -> tuple[tuple[str, str], ...]:
    """Return what leads to files from a copy of the folders in which the instrument lies.

    The folder of the instrument and those above are made anew, so that a path upwards stays inside;
    what is beside them and leads to a file is a link.
    """
    top = path.parents[min(LEVELS_UP, len(path.parents) - 1)]
    chain = path.parent.relative_to(top).parts
    places = {path.relative_to(top): path}
    targets = [*files.values(), *_passed(path.parent, files)]
    for target in filter(lambda target: target.is_relative_to(top), targets):
        parts = target.relative_to(top).parts
        shared = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(parts, chain, strict=False)
        )
        n_shared = len(list(shared))
        if n_shared < len(parts):
            place = Path(*parts[: n_shared + 1])
            places[place] = top / place
    return tuple((place.as_posix(), str(target)) for place, target in places.items())


def _passed(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield the folders that paths enter only to leave them again, as ``a`` in ``a/../b.wav``."""
    for name in names:
        parts = Path(name).parts
        for i, (here, after) in enumerate(itertools.pairwise(parts), 1):
            if here != ".." == after:
                yield Path(os.path.normpath(folder.joinpath(*parts[:i])))


def _licence_beside(path: Path) -> str:
    """Return the text of a licence in the instrument's folder, or in the one above."""
    for folder in path.parents[:2]:
        with suppress(OSError):  # a folder above may be closed to us
            for file in sorted(folder.iterdir()):
                if file.stem.casefold() in _LICENCE_NAMES and file.is_file():
                    with file.open(encoding="utf-8", errors="replace") as text:
                        return text.read(_MAX_LICENCE).strip()
    return ""
