"""Finding shared libraries that the wheel of pygame-ce carries, without importing pygame.

"Couldn't find the FluidSynth library" is the first thing every user of pyfluidsynth meets. The
wheels of pygame-ce for Linux and macOS carry libfluidsynth and libFLAC, and what these need.
Order: an environment variable that names the library, the wheel's library, the system's.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
from pathlib import Path

__all__ = ["find_library", "load_needed"]


def find_library(name: str, variable: str) -> str | None:
    """Return what to load for a library: a path, or a name that the system knows.

    Parameters
    ----------
    name : str
        Without ``lib`` and suffix, such as ``FLAC``.
    variable : str
        Environment variable that may name another one.

    Returns
    -------
    str or None
        None if there is none.
    """
    return os.environ.get(variable) or _in_wheel(name) or ctypes.util.find_library(name)


def _in_wheel(name: str) -> str | None:
    spec = importlib.util.find_spec("pygame")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    for folder in (package.parent / "pygame_ce.libs", package / ".dylibs"):
        for pattern in (f"lib{name}[-.]*so*", f"lib{name}.*dylib"):
            for path in sorted(folder.glob(pattern)):
                load_needed(path)
                return str(path)
    return None


def load_needed(library: Path, loading: frozenset[Path] = frozenset()) -> None:
    """Load those libraries beside one that it needs and would not find by itself.

    Before 2.5.8, only pygame's own modules told the loader of glibc where the others lie. What
    cannot be mended is said when the library is loaded in earnest.

    Parameters
    ----------
    library : Path
        Path of the library to load.
    loading : frozenset of Path
        Those that need it.
    """
    found: Path | None = None
    while True:
        try:
            ctypes.CDLL(str(library))
        except OSError as error:  # "libgomp.so.1: cannot open shared object file: ..."
            missing = library.parent / str(error).partition(":")[0]
            if missing == found or missing in {library, *loading} or not missing.is_file():
                return
            load_needed(missing, loading | {library})
            found = missing
        else:
            return
