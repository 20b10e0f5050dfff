"""The regions of an SFZ instrument: which sample sounds for which keys and velocities.

A region has the opcodes of its ``<global>``, ``<master>`` and ``<group>`` before its own; the later
one counts. What is asked here is what a note can make sound while nobody touches a key switch or a
controller: regions that sound at a note's release, or under another articulation, do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from stemsmith.manifests.errors import UsageError
from stemsmith.render.sound.sfz.text import Opcode, Section

__all__ = ["Region", "RegionTable", "named_samples", "parse_regions"]

_MAX_REGIONS: Final = 100_000
# Below a header of the first kind, those of the others end.
_INHERITED: Final = {"global": ("master", "group"), "master": ("group",), "group": ()}
_WHOLE: Final = re.compile(r"\s*([+-]?\d{1,18})", re.ASCII)
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_NOTE: Final = re.compile(r"([A-Ga-g])(#|b|\u266f|\u266d)?(-?\d{1,3})", re.ASCII)
_SEMITONES: Final = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SHIFTS: Final = {None: 0, "#": 1, "\u266f": 1, "b": -1, "\u266d": -1}
_IMPOSSIBLE: Final = frozenset({"e#", "b#", "cb", "fb"})  # sfizz does not read these
_CONDITION: Final = re.compile(r"(lo|hi)(cc|hdcc|realcc)(\d{1,9})", re.ASCII)
_SETTING: Final = re.compile(r"set_(cc|hdcc|realcc)(\d{1,9})", re.ASCII)
_N_MIDI: Final = 128  # controllers from here on are not MIDI's: a random number, the key, ...
_AT_RESET: Final = {7: 100.0, 10: 64.0, 11: 127.0}  # as sfizz has them
_SOUNDLESS: Final = frozenset({"", "*silence"})
_STRUCK: Final = frozenset({"attack", "first"})  # triggers that any note may be


@dataclass(slots=True)
class Region:
    """One region.

    Attributes
    ----------
    where : str
        File and line of its header.
    sample : str
        Path as it is written, after the default path, with slashes; a sound that is generated
        starts with an asterisk. Empty for a region without one, which is silent.
    keys, velocities : (float, float)
        Lowest and highest.
    is_struck : bool
        Whether a note's beginning makes it sound as the instrument is at its start.
    bend_cents : (int, int)
        What the pitch wheel does at its lowest and highest.
    """

    where: str
    sample: str = ""
    keys: tuple[int, int] = (0, 127)
    velocities: tuple[float, float] = (0, 127)
    is_struck: bool = True
    bend_cents: tuple[int, int] = (-200, 200)
    _is_on_note: bool = True
    _trigger: str = "attack"
    _switches: tuple[int, int] | None = None
    _needs_switch: bool = False
    _conditions: dict[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegionTable:
    """The regions of an instrument.

    Attributes
    ----------
    regions : tuple of Region
        In the order of the text.
    has_effects : bool
        Whether it has effects of its own, which ring on after the voices.
    """

    regions: tuple[Region, ...]
    has_effects: bool


def parse_regions(sections: Sequence[Section]) -> RegionTable:
    """Return the regions of an instrument.

    Parameters
    ----------
    sections : sequence of Section
        The text of the instrument, as `read_text` returns it.

    Raises
    ------
    UsageError
        If there are more regions than any instrument has, or samples in the text itself.
    """
    builder = _Builder()
    for section in sections:
        builder.read(section)
    return builder.finish()


class _Builder:
    """Follows the text from header to header."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._inherited: dict[str, list[Opcode]] = {name: [] for name in _INHERITED}
        self._default_path = ""
        self._offsets = {"octave_offset": 0, "note_offset": 0}
        self._switch: int | None = None
        self._controllers = dict(_AT_RESET)
        self._has_effects = False

    def read(self, section: Section) -> None:
        """Read one section."""
        header, where, opcodes = section
        if header in _INHERITED:
            self._inherited[header] = opcodes
            for name in _INHERITED[header]:
                self._inherited[name] = []
            self._follow_switch(opcodes)
        elif header == "control":
            self._control(opcodes)
        elif header == "region":
            if len(self._regions) == _MAX_REGIONS:
                raise UsageError(f"{where}: more than {_MAX_REGIONS} regions")
            self._regions.append(self._region(section))
        elif header == "sample":
            raise UsageError(f"{where}: samples within the text are not supported; give files")
        elif header == "effect":
            self._has_effects = True

    def finish(self) -> RegionTable:
        """Return the regions; what is set at the end of the text is what a note meets."""
        for region in self._regions:
            region.is_struck = self._is_struck(region)
        return RegionTable(tuple(self._regions), self._has_effects)

    @property
    def _offset(self) -> int:
        return 12 * self._offsets["octave_offset"] + self._offsets["note_offset"]

    def _control(self, opcodes: Iterable[Opcode]) -> None:
        self._default_path = ""
        for name, value, _ in opcodes:
            if name == "default_path":
                self._default_path = value.replace("\\", "/")
            elif name in self._offsets:
                self._offsets[name] = _whole(value) or 0
            elif setting := _SETTING.fullmatch(name):
                scale = 1.0 if setting[1] == "cc" else 127.0
                self._controllers[int(setting[2])] = scale * (_number(value) or 0.0)

    def _follow_switch(self, opcodes: Iterable[Opcode]) -> None:
        for name, value, _ in opcodes:
            if name == "sw_default":
                key = _key(value)
                self._switch = (60 if key is None else key) + self._offset

    def _region(self, section: Section) -> Region:
        region = Region(section.where)
        inherited = (self._inherited[header] for header in _INHERITED)
        for opcodes in (*inherited, section.opcodes):
            for opcode in opcodes:
                self._obey(region, opcode)
        self._follow_switch(section.opcodes)
        if region.keys != (0, 127):
            low, high = (min(max(key + self._offset, 0), 127) for key in region.keys)
            region.keys = (low, high)
        return region

    def _obey(self, region: Region, opcode: Opcode) -> None:
        name, value, _ = opcode
        if name == "sample":
            if value:
                path = value.replace("\\", "/")
                region.sample = path if path.startswith("*") else self._default_path + path
        elif name in ("key", "lokey", "hikey"):
            _obey_key(region, name, value)
        elif name in ("lovel", "hivel"):
            _set_end(region, "velocities", name == "hivel", _number(value), (0.0, 127.0))
        elif name == "trigger":
            region._trigger = value
        elif name in ("sw_last", "sw_lolast", "sw_hilast"):
            self._obey_switch(region, name, value)
        elif name in ("sw_down", "sw_previous"):
            region._needs_switch = _key(value) is not None
        elif name in ("bend_down", "benddown", "bend_up", "bendup"):
            _set_end(region, "bend_cents", name.endswith("up"), _whole(value), (-200, 200))
        elif condition := _CONDITION.fullmatch(name):
            scale = 1.0 if condition[2] == "cc" else 127.0
            limits = region._conditions.setdefault(int(condition[3]), (0.0, 127.0))
            limit = _number(value)
            if limit is not None:
                low, high = limits
                limits = (limit * scale, high) if condition[1] == "lo" else (low, limit * scale)
                region._conditions[int(condition[3])] = limits

    def _obey_switch(self, region: Region, name: str, value: str) -> None:
        key = _key(value)
        if name == "sw_last":
            shift = self._offset  # of the keys of a range sfizz shifts none
            region._switches = None if key is None else (key + shift, key + shift)
            return
        key = 60 if key is None else key
        low, high = region._switches or (key, key)
        region._switches = (key, high) if name == "sw_lolast" else (low, key)

    def _is_struck(self, region: Region) -> bool:
        if not region._is_on_note or region._needs_switch or region._trigger not in _STRUCK:
            return False
        if region.sample in _SOUNDLESS:
            return False
        if region._switches is not None:
            low, high = region._switches
            if self._switch is None or not low <= self._switch <= high:
                return False
        return all(
            low <= self._controllers.get(number, 0.0) <= high
            for number, (low, high) in region._conditions.items()
            if number < _N_MIDI
        )


def _obey_key(region: Region, name: str, value: str) -> None:
    """Set the keys of a region; a highest key of -1 means that no key makes it sound."""
    key = _key(value)
    if name == "lokey":
        region.keys = (0 if key is None else key, region.keys[1])
        return
    region._is_on_note = key is not None
    if name == "hikey":
        region.keys = (region.keys[0], 127 if key is None else key)
    else:
        key = 60 if key is None else key
        region.keys = (key, key)


def _set_end(
    region: Region,
    name: str,
    is_high: bool,
    value: float | None,
    default: tuple[float, float],
) -> None:
    """Set the lower or the higher end of a range."""
    ends = list(getattr(region, name))
    ends[is_high] = default[is_high] if value is None else value
    setattr(region, name, tuple(ends))


def _number(value: str) -> float | None:
    """Return the number that a value starts with."""
    found = _NUMBER.match(value)
    return None if found is None else float(found[1])


def _whole(value: str) -> int | None:
    found = _WHOLE.match(value)
    return None if found is None else int(found[1])


def _key(value: str) -> int | None:
    """Return a key from its number or its name (c4 is 60); None for what is no MIDI key."""
    key = _whole(value)
    if key is None and (note := _NOTE.fullmatch(value.strip())):
        letter, sign, octave = note[1].lower(), note[2], int(note[3])
        if letter + {"\u266f": "#", "\u266d": "b"}.get(sign, sign or "") in _IMPOSSIBLE:
            return None
        key = _SEMITONES[letter] + _SHIFTS[sign] + 12 * (octave + 1)
    return key if key is not None and 0 <= key <= 127 else None


def named_samples(regions: Iterable[Region]) -> Iterator[tuple[str, str]]:
    """Yield each file that regions name once, and where it is named first."""
    seen: set[str] = set()
    for region in regions:
        if region.sample and not region.sample.startswith("*") and region.sample not in seen:
            seen.add(region.sample)
            yield region.sample, region.where
