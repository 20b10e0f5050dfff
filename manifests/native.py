"""Finding shared libraries that the wheel of pygame-ce carries, without importing pygame.

"Couldn't find the FluidSynth library" is the first thing every user of pyfluidsynth meets. The
wheels of pygame-ce for Linux and macOS carry libfluidsynth and libFLAC, each self-contained.
Order: an environment variable that names the library, the wheel's library, the system's.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
from pathlib import Path

__all__ = ["find_library"]


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
                return str(path)
    return None
