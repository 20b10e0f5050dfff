"""Finding libfluidsynth, and the functions of it that pyfluidsynth does not declare.

The environment variable STEMSMITH_LIBFLUIDSYNTH may name another library than that of the wheel of
pygame-ce.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import importlib
import io
import sys
from functools import cache
from typing import Any, Final

from stemsmith.manifests.audio.native import find_library
from stemsmith.manifests.errors import UsageError

__all__ = ["VARIABLE", "fluidsynth", "version"]

VARIABLE: Final = "STEMSMITH_LIBFLUIDSYNTH"
_MODULE: Final = "fluidsynth"
_LOG_LEVELS: Final = 5


@cache
def fluidsynth() -> Any:
    """Return the module of pyfluidsynth, bound to the chosen library.

    Raises
    ------
    UsageError
        If no libfluidsynth can be loaded.
    """
    if _MODULE in sys.modules:  # somebody imported it first: there is one library a process
        module = sys.modules[_MODULE]
    else:
        module = _import_bound_to(find_library("fluidsynth", VARIABLE))
    _declare(module)
    for level in range(_LOG_LEVELS):  # it writes to stderr, where the progress bar lives
        module.fluid_set_log_function(level, None, None)
    return module


def version() -> str:
    """Return the version of the libfluidsynth in use."""
    major, minor, micro = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    fluidsynth().fluid_version(major, minor, micro)
    return f"{major.value}.{minor.value}.{micro.value}"


def _import_bound_to(library: str | None) -> Any:
    original = ctypes.util.find_library
    if library is not None:
        ctypes.util.find_library = lambda name: library
    try:
        # With CI set in the environment, pyfluidsynth prints what it finds.
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module(_MODULE)
    except (ImportError, OSError) as error:
        raise UsageError(
            f"libfluidsynth cannot be loaded from {library or 'the system'}: {error}; "
            f"install pygame-ce, or set {VARIABLE} to the library's path"
        ) from error
    finally:
        ctypes.util.find_library = original


def _declare(module: Any) -> None:
    """Add the prototypes pyfluidsynth leaves out (FluidSynth 2 API)."""
    synth = ("synth", ctypes.c_void_p, 1)

    def ints(*names: str) -> list[tuple[str, Any, int]]:
        return [(name, ctypes.c_int, 1) for name in names]

    def pointers(*names: str) -> list[tuple[str, Any, int]]:
        return [(name, ctypes.c_void_p, 1) for name in names]

    prototypes: dict[str, list[Any]] = {
        "fluid_synth_process": [
            synth, *ints("len", "nfx"), *pointers("fx"), *ints("nout"), *pointers("out"),
        ],
        "fluid_synth_get_active_voice_count": [synth],  # not in 1.3.3
        "fluid_synth_channel_pressure": [synth, *ints("chan", "val")],
        "fluid_synth_key_pressure": [synth, *ints("chan", "key", "val")],
        "fluid_synth_sysex": [
            synth, ("data", ctypes.c_char_p, 1), *ints("len"),
            *pointers("response", "response_len", "handled"), *ints("dryrun"),
        ],
        "fluid_synth_add_sfont": [synth, ("sfont", ctypes.c_void_p, 1)],
        "fluid_synth_remove_sfont": [synth, ("sfont", ctypes.c_void_p, 1)],
        "fluid_synth_set_channel_type": [synth, *ints("chan", "type")],
        "fluid_synth_set_gain": [synth, ("gain", ctypes.c_float, 1)],
        "fluid_set_log_function": [*ints("level"), *pointers("function", "data")],
    }  # fmt: skip
    for name, arguments in prototypes.items():
        setattr(module, name, module.cfunc(name, ctypes.c_int, *arguments))
    module.fluid_synth_get_sfont_by_id = module.cfunc(
        "fluid_synth_get_sfont_by_id", ctypes.c_void_p, synth, *ints("id")
    )
