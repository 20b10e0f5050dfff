"""Soundfonts known to be good, and where they are on this machine.

A font is known by its SHA-256, whatever its file is called and wherever it lies; only files of a
known size are hashed, and hashes are remembered. Not in the list: fonts whose licence forbids or
leaves open what corpora are for (Merlin, sf_GMbank), and fonts of sound effects.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from stemsmith.manifests import storage
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.paths import local_path
from stemsmith.render.sound.bank_names import GENERAL, INSTALLED
from stemsmith.render.sound.sf2 import (
    SOUNDFONT_ENDINGS,
    Soundfont,
    default_soundfont,
    read_soundfont,
)

__all__ = [
    "KNOWN",
    "VARIABLE",
    "KnownFont",
    "find_fonts",
    "find_soundfonts",
    "is_in_bank",
    "named_soundfonts",
]

VARIABLE: Final = "STEMSMITH_SOUNDFONTS"


@dataclass(frozen=True, slots=True)
class KnownFont:
    """A soundfont known to be good.

    Attributes
    ----------
    name : str
        What people call it.
    file : str
        Name of its file, which records have.
    n_bytes : int
        Size of the file.
    sha256 : str
        SHA-256 of the file.
    licence : str
        SPDX expression, or in a few words what it allows.
    source : str
        Package or address to get it from.
    adds : str
        What it has that others do not, and what to know of it.
    is_general_midi : bool
        Whether programs and banks say what its presets are; others are for a patch bank.
    """

    name: str
    file: str
    n_bytes: int
    sha256: str
    licence: str
    source: str
    adds: str
    is_general_midi: bool = True


KNOWN: Final = (
    KnownFont(
        "TimGM6mb",
        "TimGM6mb.sf2",
        5994284,
        "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1",
        "GPL-2.0-only",
        "pretty_midi, which comes with stemsmith",
        "136 presets, the default; one preset a program, no velocity layers",
    ),
    KnownFont(
        "FluidR3 GM",
        "FluidR3_GM.sf2",
        148398306,
        "74594e8f4250680adf590507a306655a299935343583256f3b722c48a1bc1cb0",
        "MIT",
        "apt install fluid-soundfont-gm",
        "189 presets, 92 with velocity layers; stereo pianos and strings",
    ),
    KnownFont(
        "GeneralUser GS 1.47",
        "GeneralUser-v1.47.sf2",
        31281184,
        "226bdc28613368ce9b740ecf0748618c575657f19b9c88eada1a50b060ef7eba",
        "own licence: free for any use, also in software",
        "apt install minuet-data; https://schristiancollins.com/generaluser.php",
        "258 presets, 106 with velocity layers; variations in banks 1 to 13, the most a megabyte",
    ),
    KnownFont(
        "MuseScore General (full)",
        "MuseScore_General_Full.sf3",
        85967114,
        "f9a37b36655f23e167c66ec91bef6097c8e99be29286219a54062919eb41aeae",
        "MIT",
        "apt install musescore-general-soundfont",
        "strings by sections, another piano, marching drums; the rest is mostly FluidR3",
    ),
    KnownFont(
        "MuseScore General (lite)",
        "MuseScore_General_Lite.sf3",
        39978561,
        "916aaca6b0eb9f9083eb42399614acb2ff4ec72ce28dffff1814592a9696b479",
        "MIT",
        "apt install musescore-general-soundfont-small",
        "as the full one with fewer samples: its sections of strings share those of the ensemble",
    ),
    KnownFont(
        "FluidR3 Mono GM",
        "FluidR3Mono_GM.sf3",
        23614353,
        "cda013d8c370a48ae8dad271e761078d2e77455488dabdedbfbe5fc76a38c682",
        "MIT",
        "apt install fluidr3mono-gm-soundfont",
        "FluidR3 in mono, for mono stems and small disks; 78 of 112 programs are the same samples",
    ),
    KnownFont(
        "AVL Drumkits: Black Pearl",
        "Black_Pearl_4_LV2.sf2",
        19448282,
        "3bc27deb1b9d6a919c7cfc4ba5fc5c077ac7899fc21becbbb234749ffc523d13",
        "CC-BY-SA-3.0",
        "apt install avldrums.lv2-soundfont",
        "a recorded drum kit, 5 velocity layers; for Drums in a patch bank: bank 0, preset 0",
        is_general_midi=False,
    ),
    KnownFont(
        "AVL Drumkits: Red Zeppelin",
        "Red_Zeppelin_4_LV2.sf2",
        26571984,
        "e8710b899ece8f83b109d0e2f6a89b007b864c8c088ca3ad3cd6e47bd8e629cc",
        "CC-BY-SA-3.0",
        "apt install avldrums.lv2-soundfont",
        "a recorded drum kit, 5 velocity layers; for Drums in a patch bank: bank 0, preset 0",
        is_general_midi=False,
    ),
)

# The three of "general" have next to no sample in common.
_NAMED: Final = {GENERAL: KNOWN[:3], INSTALLED: KNOWN}


def is_in_bank(font: KnownFont, name: str) -> bool:
    """Tell whether a font belongs to the bank of a name, wherever it is."""
    return font.is_general_midi and font in _NAMED[name]


def find_fonts(wanted: Sequence[KnownFont]) -> dict[KnownFont, Path]:
    """Return where known soundfonts are on this machine.

    Parameters
    ----------
    wanted : sequence of KnownFont
        The fonts to look for.

    Returns
    -------
    dict of KnownFont to Path
        The first file of each font that is found, in the order of `wanted`; fonts that are not
        found are missing. Looked at are the files and folders that ``$STEMSMITH_SOUNDFONTS`` names,
        then the package that brings the default font, then the usual folders of the system.
    """
    by_size: dict[int, list[KnownFont]] = {}
    for font in wanted:
        by_size.setdefault(font.n_bytes, []).append(font)
    hashes = _Hashes(cache_folder() / "soundfonts" / "hashes.json")
    found: dict[KnownFont, Path] = {}
    for path in _candidates():
        with suppress(OSError):
            size = path.stat().st_size
            missing = [font for font in by_size.get(size, []) if font not in found]
            sha256 = hashes.of(path) if missing else ""
            found.update({font: path for font in missing if font.sha256 == sha256})
    hashes.keep()
    return {font: found[font] for font in wanted if font in found}


def find_soundfonts(wanted: Collection[str]) -> dict[str, Path]:
    """Return where soundfonts of some hashes are on this machine, known to be good or not.

    Parameters
    ----------
    wanted : collection of str
        SHA-256 of the files to look for, where `find_fonts` looks. All files there are hashed,
        until those are found; hashes are remembered.

    Returns
    -------
    dict of str to Path
        The first file of each hash that is found.
    """
    hashes = _Hashes(cache_folder() / "soundfonts" / "hashes.json")
    found: dict[str, Path] = {}
    for path in _candidates():
        if len(found) == len(set(wanted)):
            break
        with suppress(OSError):
            sha256 = hashes.of(path)
            if sha256 in wanted:
                found.setdefault(sha256, path)
    hashes.keep()
    return found


def named_soundfonts(name: str) -> list[Soundfont]:
    """Read the soundfonts of a bank that has a name.

    Parameters
    ----------
    name : str
        ``general`` is the first three of `KNOWN`, ``installed`` whatever of it is there and is for
        General MIDI.

    Returns
    -------
    list of Soundfont
        In the order of `KNOWN`, called what they are called there: the same bank on every machine.

    Raises
    ------
    UsageError
        If a font of ``general`` is missing, naming it and where to get it, or none is there.
    """
    wanted = [font for font in KNOWN if is_in_bank(font, name)]
    found = find_fonts(wanted)
    missing = [f"{font.name} ({font.source})" for font in wanted if font not in found]
    if not found or (missing and name != INSTALLED):
        raise UsageError(
            f"--bank {name}: not found: {', '.join(missing)}; `stemsmith banks` lists what is, and "
            f"${VARIABLE} names further files and folders"
        )
    return [replace(read_soundfont(path), file=font.file) for font, path in found.items()]


def _candidates() -> Iterator[Path]:
    """Yield the files that may be soundfonts, each once, in order of preference."""
    seen: set[Path] = set()
    for place in _places():
        try:
            entries = sorted(place.iterdir()) if place.is_dir() else [place]
        except OSError:
            continue
        for entry in entries:
            with suppress(OSError):
                path = entry.resolve()  # what is called default-GM.sf2 is a link
                if path.suffix.lower() in SOUNDFONT_ENDINGS and path not in seen:
                    seen.add(path)
                    yield path


def _places() -> Iterator[Path]:
    for text in os.environ.get(VARIABLE, "").split(os.pathsep):
        if text:
            yield local_path(text)
    with suppress(UsageError):
        yield default_soundfont()
    yield from _usual_folders(sys.platform, os.environ)


def _usual_folders(platform: str, environment: Mapping[str, str]) -> list[Path]:
    """Return the folders in which packages and programs of a system put soundfonts."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    if platform == "win32":
        data, programs = (
            Path(environment.get(name, default))
            for name, default in (
                ("PROGRAMDATA", "C:/ProgramData"),
                ("PROGRAMFILES", "C:/Program Files"),
            )
        )
        return [
            Path("C:/soundfonts"),
            data / "soundfonts",
            home / "soundfonts",
            *(home / "Documents" / f"MuseScore{n}" / "SoundFonts" for n in (4, 3)),
            *(programs / f"MuseScore {n}" / "sound" for n in (4, 3)),
        ]
    if platform == "darwin":
        return [
            home / "Library/Audio/Sounds/Banks",
            Path("/Library/Audio/Sounds/Banks"),
            *(home / "Documents" / f"MuseScore{n}" / "SoundFonts" for n in (4, 3)),
            *(
                Path(prefix, "share", name)
                for prefix in ("/opt/homebrew", "/usr/local", "/opt/local")
                for name in ("soundfonts", "sounds/sf2", "sounds/sf3")
            ),
        ]
    own = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    names = ("soundfonts", "sounds/sf2", "sounds/sf3", "minuet/soundfonts")
    return [
        *(
            Path(prefix, name)
            for prefix in (own, "/usr/local/share", "/usr/share")
            for name in names
        ),
        *(home / "Documents" / f"MuseScore{n}" / "SoundFonts" for n in (4, 3)),
    ]


class _Hashes:
    """SHA-256 of files, remembered by path, size and time of modification."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._is_changed = False
        with suppress(OSError, ValueError):
            content = json.loads(path.read_text("utf-8"))
            if isinstance(content, dict):
                self._known = {k: v for k, v in content.items() if isinstance(v, str)}

    def of(self, path: Path) -> str:
        status = path.stat()
        identity = f"{path}|{status.st_size}|{status.st_mtime_ns}"
        if identity not in self._known:
            self._known[identity] = storage.file_hash(path)
            self._is_changed = True
        return self._known[identity]

    def keep(self) -> None:
        """Write what is new, or do without where none can be written."""
        if not self._is_changed:
            return
        own = self._path.with_name(f"{secrets.token_hex(8)}.json")  # others may write it too
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(json.dumps(self._known), "utf-8")
            own.replace(self._path)
        except OSError:
            with suppress(OSError):
                own.unlink(missing_ok=True)
