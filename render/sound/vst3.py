"""VST3 instruments through pedalboard (extra `effects`, GPL-3).

They are other people's programs; whether they repeat themselves is theirs to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mido
import numpy as np
import numpy.typing as npt
from stemsmith.manifests.errors import optional_package
from stemsmith.render.midi.smf import Event

__all__ = ["instrument_problem", "play_instrument"]

_BLOCK_SAMPLES: Final = 8192


def _pedalboard() -> Any:
    return optional_package("pedalboard", "effects", "VST3 instruments need")


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
