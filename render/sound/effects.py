"""A patch's effect chain and VST3 instruments, through pedalboard (extra `effects`, GPL-3).

Processing is sample by sample from a clean state: the same audio gives the same bytes. VST3
instruments are other people's programs; whether they repeat themselves is theirs to say.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import mido
import numpy as np
import numpy.typing as npt
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.render.midi.smf import Event

__all__ = [
    "EFFECTS",
    "Effect",
    "apply_effects",
    "instrument_problem",
    "parse_effects",
    "play_instrument",
]

# pedalboard's own names; parameters are pedalboard's too.
EFFECTS: Final = (
    "Chorus",
    "Compressor",
    "Delay",
    "Distortion",
    "Gain",
    "HighShelfFilter",
    "HighpassFilter",
    "Limiter",
    "LowShelfFilter",
    "LowpassFilter",
    "PeakFilter",
    "Reverb",
)
_BLOCK_SAMPLES: Final = 8192


class Effect(NamedTuple):
    """One effect: pedalboard's class name and its parameters, sorted by name."""

    name: str
    parameters: tuple[tuple[str, float], ...]


def _pedalboard() -> Any:
    try:
        return importlib.import_module("pedalboard")
    except ImportError:
        raise UsageError(
            "this patch bank has effects or VST3 instruments; "
            f"install them with: {install_command('effects')}"
        ) from None


def parse_effects(entries: object, where: str) -> tuple[Effect, ...]:
    """Check the effect chain of a patch bank file.

    Parameters
    ----------
    entries : object
        A list of one-key mappings, ``[{Reverb: {room_size: 0.3}}, ...]``.
    where : str
        File and patch, for messages.

    Returns
    -------
    tuple of Effect
        The effects in the order in which they are applied.

    Raises
    ------
    UsageError
        For an unknown effect or parameter, or a value pedalboard refuses.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UsageError(f"{where}: effects must be a list")
    chain = []
    for entry in entries:
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise UsageError(f"{where}: an effect is one name with its parameters, not {entry!r}")
        ((name, parameters),) = entry.items()
        if name not in EFFECTS:
            raise UsageError(f"{where}: no effect {name!r}; known: {', '.join(EFFECTS)}")
        if not isinstance(parameters, Mapping | None):
            raise UsageError(f"{where}: {name}: parameters must be a mapping")
        try:
            values = tuple(sorted((str(k), float(v)) for k, v in (parameters or {}).items()))
            if not all(math.isfinite(value) for _, value in values):
                raise ValueError("a parameter is not a finite number")
            getattr(_pedalboard(), name)(**dict(values))
        except (TypeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise UsageError(f"{where}: {name}: {first}") from error
        chain.append(Effect(name, values))
    return tuple(chain)


def apply_effects(
    audio: npt.NDArray[np.float32], effects: Sequence[Effect], sample_rate: int
) -> npt.NDArray[np.float32]:
    """Run audio through a chain.

    Parameters
    ----------
    audio : numpy.ndarray
        (n_channels, n_samples) float32 samples of the part.
    effects : sequence of Effect
        Effects in the order in which they are applied.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32; what rings on after the end is cut.
    """
    pedalboard = _pedalboard()
    for effect in effects:
        cutoff_hz = dict(effect.parameters).get("cutoff_frequency_hz", 0.0)
        if cutoff_hz >= sample_rate / 2:
            raise UsageError(
                f"{effect.name}: cutoff_frequency_hz {cutoff_hz:g} is not below half the sample "
                f"rate of {sample_rate} Hz"
            )
    board = pedalboard.Pedalboard(
        [getattr(pedalboard, effect.name)(**dict(effect.parameters)) for effect in effects]
    )
    processed: npt.NDArray[np.float32] = board(
        audio, sample_rate, buffer_size=_BLOCK_SAMPLES, reset=True
    )
    return processed


def instrument_problem(plugin_path: str) -> str:
    """Return why a VST3 instrument cannot be loaded, or the empty string."""
    try:
        _pedalboard().load_plugin(plugin_path)
    except (ImportError, ValueError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return ""


def play_instrument(
    plugin_path: str,
    events: Sequence[Event],
    seconds: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    sample_rate: int,
) -> npt.NDArray[np.float32]:
    """Render a part with a VST3 instrument.

    Parameters
    ----------
    plugin_path : str
        The .vst3 file or bundle.
    events : sequence of Event
        Messages of the part; program changes are left out.
    seconds : numpy.ndarray
        (n_events,) time of each event in seconds.
    shape : (int, int)
        Number of channels, 1 or 2, and of samples.
    sample_rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray
        (n_channels, n_samples) float32: left and right, or their mean.
    """
    plugin = _pedalboard().load_plugin(plugin_path)
    messages = [
        mido.Message.from_bytes(event.data, time=float(time))
        for event, time in zip(events, seconds, strict=True)
        if event.data[0] < 0xF0 and event.data[0] >> 4 != 0xC
    ]
    n_channels, n_samples = shape
    stereo = plugin(
        messages,
        duration=n_samples / sample_rate,
        sample_rate=sample_rate,
        num_channels=2,
        buffer_size=_BLOCK_SAMPLES,
        reset=True,
    )
    audio = np.zeros(shape, np.float32)
    n = min(n_samples, stereo.shape[1])
    if n_channels == 1:
        np.mean(stereo[:, :n], axis=0, out=audio[0, :n])
    else:
        audio[:, :n] = stereo[:, :n]
    return audio
