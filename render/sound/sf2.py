"""What is inside a SoundFont file, without loading it: presets, names, licence.

Reads .sf2 and .sf3 (the same RIFF tree, with Vorbis samples). Reference: SoundFont Technical
Specification 2.04, sections 4 to 7.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import local_copy
from stemsmith.render.sound import riff

__all__ = [
    "DRUM_BANKS",
    "SOUNDFONT_ENDINGS",
    "PresetHeader",
    "Soundfont",
    "default_soundfont",
    "read_soundfont",
]

SOUNDFONT_ENDINGS: Final = frozenset({".sf2", ".sf3"})

# Where drum kits lie: 128 in SoundFonts, 120 by General MIDI 2.
DRUM_BANKS: Final = (128, 120)

_PRESET_BYTES: Final = 38
_MAX_TEXT_BYTES: Final = 65536  # a length field may say 4 GB
_INFO_FIELDS: Final = {b"INAM": "name", b"ICOP": "copyright", b"ICMT": "comment", b"IENG": "author"}

# Licences of well-known files that do not carry them inside.
_KNOWN_LICENCES: Final = {
    "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1": (
        "GPL-2 (2004 Tim Brechbill, 2010 David Bolton; TimGM6mb.sf2 as packaged with pretty_midi)"
    ),
}


@dataclass(frozen=True, slots=True)
class PresetHeader:
    """One preset: MIDI bank (128 for percussion), number and name."""

    bank: int
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Soundfont:
    """A SoundFont file.

    Attributes
    ----------
    path : str
        Absolute path of the file, or its address in an object store.
    file : str
        Its file name; what records call it.
    sha256 : str
        SHA-256 of the file.
    licence : str
        What the file says of its author, copyright and terms, or what is known of it by its
        hash, or the text of ``<file>.LICENSE`` beside it; empty if none says anything.
    presets : tuple of PresetHeader
        By bank and number.
    """

    path: str
    file: str
    sha256: str
    licence: str
    presets: tuple[PresetHeader, ...]


def default_soundfont() -> Path:
    """Return TimGM6mb.sf2, which pretty_midi ships; Flakh was rendered with it."""
    import importlib.util

    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise UsageError("pretty_midi is not installed; give a --soundfont")
    return Path(spec.origin).parent / "TimGM6mb.sf2"


def read_soundfont(path: Path) -> Soundfont:
    """Read the headers of a SoundFont.

    Raises
    ------
    UsageError
        If it is missing, unreadable or not a SoundFont, naming it.
    """
    info: dict[str, str] = {}
    presets: list[PresetHeader] = []
    try:
        here = local_copy(path)
        size = here.stat().st_size
        with here.open("rb") as file:
            if riff.form_of(file) != b"sfbk":
                raise UsageError(f"{path}: not a SoundFont (.sf2 or .sf3)")
            file.seek(4)
            if struct.unpack("<L", file.read(4))[0] + 8 != size:  # FluidSynth refuses it too
                raise UsageError(f"{path}: damaged soundfont: cut off")
            file.seek(12)
            for chunk in riff.chunks(file, size):
                if chunk.kind == b"LIST":
                    _read_list(file, chunk, info, presets)
        sha256 = storage.file_hash(here)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the soundfont: {error.strerror or error}") from error
    except riff.DamagedRiff as damage:
        raise UsageError(f"{path}: damaged soundfont: {damage}") from None
    if not presets:
        raise UsageError(f"{path}: damaged soundfont: no presets")
    presets.sort(key=lambda p: (p.bank, p.number))
    return Soundfont(
        str(path.resolve()), path.name, sha256, _licence(path, sha256, info), tuple(presets)
    )


def _read_list(
    file: BinaryIO, chunk: riff.Chunk, info: dict[str, str], presets: list[PresetHeader]
) -> None:
    if file.read(4) not in (b"INFO", b"pdta"):
        return
    for field, _, n_bytes in riff.chunks(file, chunk.start + chunk.n_bytes):
        if field in _INFO_FIELDS:
            text = file.read(min(n_bytes, _MAX_TEXT_BYTES)).split(b"\0")[0]
            info[_INFO_FIELDS[field]] = _decoded(text).strip()
        elif field == b"phdr":
            for _ in range(n_bytes // _PRESET_BYTES - 1):  # the last record is a terminator
                record = file.read(_PRESET_BYTES)
                if len(record) < _PRESET_BYTES:
                    raise riff.DamagedRiff("a chunk is cut off")
                name, number, bank = struct.unpack_from("<20sHH", record)
                text = name.split(b"\0")[0].decode("latin-1").strip()
                presets.append(PresetHeader(bank, number, text))


def _decoded(text: bytes) -> str:
    """Return a text, which says nothing of its encoding."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _licence(path: Path, sha256: str, info: dict[str, str]) -> str:
    sidecar = path.with_name(path.name + ".LICENSE")
    if sidecar.is_file():
        return sidecar.read_text("utf-8", errors="replace").strip()
    if sha256 in _KNOWN_LICENCES:
        return _KNOWN_LICENCES[sha256]
    fields = ("author", "copyright", "comment")
    return "\n".join(f"{field}: {info[field]}" for field in fields if info.get(field))
