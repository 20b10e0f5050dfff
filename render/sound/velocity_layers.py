"""Which presets of a SoundFont play other samples when a key is struck harder.

A preset without velocity layers answers a softer velocity with the same sound at a lower level.
What sounds follows from the zones alone: a preset's zones name instruments, their zones name
samples, both have ranges of keys and velocities, and a voice starts for every pair of zones whose
ranges hold the key and the velocity (SoundFont Technical Specification 2.04, sections 7.2 to 7.9
for the records, 8.1 for the generators, 8.5 and 9.4 for how they add up). Reads .sf2 and .sf3.

Modulators are not read: a filter that velocity opens is no layer. Of the default ones, FluidSynth
lets velocity act on the attenuation alone.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import local_copy
from stemsmith.render.sound.riff import DamagedRiff, chunks, form_of

__all__ = ["Cell", "Layers", "velocity_layers"]

Range = tuple[int, int]

_INSTRUMENT: Final = 41
_KEY_RANGE: Final = 43
_VELOCITY_RANGE: Final = 44
_ATTENUATION: Final = 48
# Generators that act on the pitch: modulations, tuning, keynum, scaleTuning, overridingRootKey.
_PITCH: Final = frozenset({5, 6, 7, 46, 51, 52, 56, 58})
_SAMPLE: Final = 53
_EXCLUSIVE: Final = 57
_EVERYTHING: Final = 127 << 8  # a range of 0 to 127: the low end in the low byte

# Generators whose default is not 0 (section 8.1.3): one that is set to it changes nothing.
_DEFAULTS: Final[Mapping[int, int]] = {
    8: 13500,  # initialFilterFc
    **dict.fromkeys((21, 23, 25, 26, 27, 28, 30, 33, 34, 35, 36, 38), -12000),  # times
    **dict.fromkeys((46, 47, 58), -1),  # keynum, velocity, overridingRootKey
    56: 100,  # scaleTuning
}

# Fields that are read of each record, the others skipped.
_RECORDS: Final = {
    b"phdr": struct.Struct("<20xHHH12x"),  # number, bank, first zone
    b"pbag": struct.Struct("<H2x"),  # first generator
    b"pgen": struct.Struct("<Hh"),  # generator, amount
    b"inst": struct.Struct("<20xH"),
    b"ibag": struct.Struct("<H2x"),
    b"igen": struct.Struct("<Hh"),
    b"shdr": struct.Struct("<46x"),
}
_Records = dict[bytes, list[tuple[int, ...]]]


class _Zone(NamedTuple):
    """Zone of a preset or an instrument: the instrument or sample it plays, when, and how."""

    plays: int
    keys: Range
    velocities: Range
    generators: Mapping[int, int]


class _Voice(NamedTuple):
    """What a key starts in a range of velocities: a sample with all generators, and its level."""

    velocities: Range
    sound: tuple[tuple[int, int], ...]
    attenuation: int


class Cell(NamedTuple):
    """A rectangle of keys and velocities in which a preset starts the voices of the same zones.

    Attributes
    ----------
    keys, velocities : (int, int)
        The lowest and the highest; velocities from 1 on.
    tuning : tuple
        What decides the pitch: cells of the same keys and tuning are equally in tune.
    """

    keys: Range
    velocities: Range
    tuning: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Layers:
    """The velocity layers of one preset.

    A layer is a stretch of velocities in which a key starts the same voices. Voices are the same
    if they play the same sample with the same generators; an attenuation that all voices of a
    velocity share is level and makes no difference.
    """

    _zones: tuple[tuple[_Zone, tuple[_Zone, ...]], ...]

    def boundaries(self, key: int) -> tuple[int, ...]:
        """Return the lowest velocity of each stretch but the first, 2 to 127, ascending.

        Silence is a stretch too: a key that sounds from velocity 64 on has the boundary 64.
        """
        return _boundaries(self._voices(key))

    def n_layers(self, key: int) -> int:
        """Return the number of stretches in which a key sounds; 0 if it never does."""
        voices = self._voices(key)
        return sum(bool(_heard(voices, start)) for start in (1, *_boundaries(voices)))

    def differ(self, key: int, velocity_a: int, velocity_b: int) -> bool:
        """Return whether two velocities of a key start voices that differ in more than level."""
        voices = self._voices(key)
        return _heard(voices, velocity_a) != _heard(voices, velocity_b)

    def exclusive_class(self, key: int) -> int:
        """Return the class of a key, of whose voices one at a time sounds; 0 for none."""
        found = {dict(voice.sound).get(_EXCLUSIVE, 0) for voice in self._voices(key)}
        return max(found, default=0)

    def cells(self) -> list[Cell]:
        """Return where the preset sounds, by keys and then by velocities."""
        cells: list[Cell] = []
        for keys, voices in self._stretches():
            edges = {1, 128}
            edges |= {v.velocities[0] for v in voices} | {v.velocities[1] + 1 for v in voices}
            for low, end in pairwise(sorted(edge for edge in edges if 1 <= edge <= 128)):
                found = [v.sound for v in voices if v.velocities[0] <= low <= v.velocities[1]]
                if found:
                    tuning = tuple(sorted(map(_tuning, found)))
                    cells.append(Cell(keys, (low, end - 1), tuning))
        return cells

    def _stretches(self) -> Iterator[tuple[Range, list[_Voice]]]:
        """Yield stretches of keys that start the same voices, and these."""
        voices = [self._voices(key) for key in range(128)]
        starts = [key for key in range(128) if not key or voices[key] != voices[key - 1]]
        for first, end in pairwise([*starts, 128]):
            yield (first, end - 1), voices[first]

    def _voices(self, key: int) -> list[_Voice]:
        """Return the voices that some velocity of a key starts."""
        return [
            _voice(outer, inner)
            for outer, inners in self._zones
            if outer.keys[0] <= key <= outer.keys[1]
            for inner in inners
            if inner.keys[0] <= key <= inner.keys[1]
        ]


def _voice(outer: _Zone, inner: _Zone) -> _Voice:
    """Return what a zone of a preset and one of its instrument make together (section 8.5)."""
    sound = [(_SAMPLE, inner.plays)]
    for generator in sorted(outer.generators.keys() | inner.generators.keys()):
        default = _DEFAULTS.get(generator, 0)
        # Those of the instrument replace the default, those of the preset are added.
        amount = inner.generators.get(generator, default) + outer.generators.get(generator, 0)
        if generator != _ATTENUATION and amount != default:
            sound.append((generator, amount))
    low = max(outer.velocities[0], inner.velocities[0])
    high = min(outer.velocities[1], inner.velocities[1])
    attenuation = sum(zone.generators.get(_ATTENUATION, 0) for zone in (outer, inner))
    return _Voice((low, high), tuple(sound), attenuation)


def _tuning(sound: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple(item for item in sound if item[0] in {_SAMPLE, *_PITCH})


def _heard(voices: Sequence[_Voice], velocity: int) -> list[tuple[object, int]]:
    """Return the sounds of a velocity, with their attenuation against the loudest."""
    sounding = [v for v in voices if v.velocities[0] <= velocity <= v.velocities[1]]
    least = min((v.attenuation for v in sounding), default=0)
    return sorted((v.sound, v.attenuation - least) for v in sounding)


def _boundaries(voices: Sequence[_Voice]) -> tuple[int, ...]:
    edges = {edge for v in voices for edge in (v.velocities[0], v.velocities[1] + 1)}
    return tuple(
        edge
        for edge in sorted(edges)
        if 1 < edge <= 127 and _heard(voices, edge - 1) != _heard(voices, edge)
    )


def velocity_layers(path: Path) -> dict[tuple[int, int], Layers]:
    """Read the zones of all presets of a SoundFont.

    Parameters
    ----------
    path : Path
        A .sf2 or .sf3 file.

    Returns
    -------
    dict of (int, int) to Layers
        By bank (128 for percussion) and number. Of two presets with the same ones, the first.

    Raises
    ------
    UsageError
        If the file is missing, unreadable, not a SoundFont or damaged, naming it.
    """
    try:
        records = _read_records(_preset_data(local_copy(path)))
        instruments = _zones(b"inst", b"ibag", b"igen", records)
        presets = _zones(b"phdr", b"pbag", b"pgen", records)
        layers: dict[tuple[int, int], Layers] = {}
        for (number, bank, _), zones in zip(records[b"phdr"], presets, strict=False):
            pairs = tuple((zone, instruments[zone.plays]) for zone in zones)
            layers.setdefault((bank, number), Layers(pairs))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the soundfont: {error.strerror or error}") from error
    except DamagedRiff as damage:
        raise UsageError(f"{path}: damaged soundfont: {damage}") from None
    return layers


def _preset_data(path: Path) -> bytes:
    """Return the content of the LIST chunk ``pdta`` (sections 4.1 and 7), without its samples."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if form_of(file) != b"sfbk":
            raise UsageError(f"{path}: not a SoundFont (.sf2 or .sf3)")
        for kind, start, n_bytes in chunks(file, size):
            if kind == b"LIST" and file.read(4) == b"pdta":
                if start + n_bytes > size:
                    raise DamagedRiff("cut off")
                return file.read(max(n_bytes - 4, 0))
    raise DamagedRiff("no presets")


def _read_records(data: bytes) -> _Records:
    """Read the chunks of ``pdta``; each ends in one record more that only closes the last."""
    records: _Records = {}
    for kind, start, n_bytes in chunks(io.BytesIO(data), len(data)):
        content = data[start : start + n_bytes]
        name = kind.decode("latin-1")
        if len(content) != n_bytes:
            raise DamagedRiff(f"chunk {name!r} is cut off")
        if kind in _RECORDS:
            if n_bytes == 0 or n_bytes % _RECORDS[kind].size:
                raise DamagedRiff(f"chunk {name!r} does not hold whole records")
            records[kind] = list(_RECORDS[kind].iter_unpack(content))
    for kind in _RECORDS:
        if kind not in records:
            raise DamagedRiff(f"no chunk {kind.decode()!r}")
    return records


def _zones(head: bytes, bag: bytes, gen: bytes, records: _Records) -> list[tuple[_Zone, ...]]:
    """Return the zones of every preset (``phdr``) or every instrument (``inst``)."""
    is_preset = head == b"phdr"
    link, links = (_INSTRUMENT, b"inst") if is_preset else (_SAMPLE, b"shdr")
    generators = records[gen]
    parts = _parts(bag, [first for (first,) in records[bag]], len(generators))
    zones = [_generators(generators[part], link) for part in parts]
    for zone in zones:
        if link in zone and zone[link] >= len(records[links]) - 1:
            raise DamagedRiff(
                f"{gen.decode()!r} names {links.decode()!r} {zone[link]}: there is none"
            )
    owners = _parts(head, [record[-1] for record in records[head]], len(zones))
    return [_with_global(zones[part], link) for part in owners]


def _parts(kind: bytes, firsts: Sequence[int], n_items: int) -> Iterator[slice]:
    """Yield what belongs to each record: from its first item to the first one of the next."""
    for first, end in pairwise(firsts):
        if not first <= end <= n_items:
            raise DamagedRiff(f"chunk {kind.decode()!r} points at {first} to {end} of {n_items}")
        yield slice(first, end)


def _generators(records: Sequence[tuple[int, ...]], link: int) -> dict[int, int]:
    """Read the generators of a zone: key range, velocity range, the others, what it plays.

    A range out of its place is ignored, and so is what follows the link (section 8.1.2).
    """
    found: dict[int, int] = {}
    for generator, amount in records:
        if generator == link:
            found[generator] = amount & 0xFFFF
            break
        may_follow = {_KEY_RANGE: set(), _VELOCITY_RANGE: {_KEY_RANGE}}.get(generator)
        if may_follow is None or found.keys() <= may_follow:
            found[generator] = amount
    return found


def _with_global(zones: Sequence[dict[int, int]], link: int) -> tuple[_Zone, ...]:
    """Give the generators of a global zone to all others that do not have them.

    It is the first zone, if that plays nothing; later ones that play nothing are ignored
    (sections 7.3 and 7.7). FluidSynth hands ranges on as it does all other generators.
    """
    shared = zones[0] if zones and link not in zones[0] else {}
    return tuple(_zone({**shared, **zone}, link) for zone in zones if link in zone)


def _zone(generators: dict[int, int], link: int) -> _Zone:
    plays = generators.pop(link)
    keys = _range(generators.pop(_KEY_RANGE, _EVERYTHING))
    return _Zone(plays, keys, _range(generators.pop(_VELOCITY_RANGE, _EVERYTHING)), generators)


def _range(amount: int) -> Range:
    return amount & 0xFF, amount >> 8 & 0xFF
