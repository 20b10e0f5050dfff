"""How long after its label a note is heard: the attack of a preset."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float32s
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.synth import Preset, shared_synth

__all__ = ["attack_s", "samples_until_heard"]

_NOTE_S: Final = 4.0  # long enough for pads that swell; the note is held all along
_HEARD: Final = 0.1  # of the peak
_NOTE_ON: Final = 0x90


def attack_s(
    preset: Preset,
    key: int,
    velocity: int,
    sample_rate: int,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> float:
    """Return the time from the start of a note's voices to 10 % of its peak.

    Labels say when the voices start (`stemsmith.render.sound.synth.on_grid`); this is how much
    later the note is there.

    Parameters
    ----------
    preset : Preset
        What plays. Its soundfont is loaded and stays loaded (`shared_synth`).
    key, velocity : int
        Key of the note, 0 to 127, and its velocity, 1 to 127. It is held for 4 s; what comes later
        is no peak.
    sample_rate : int
        Sample rate of the rendering in Hz, 8000 to 96000.
    mono_from : MonoFrom
        What of the two channels is heard.

    Returns
    -------
    float
        In seconds, to the sample: when the magnitude first is at least a tenth of its maximum.
        NaN if the note makes no sound.

    Raises
    ------
    UsageError
        If the soundfont cannot be loaded or has no such preset.
    """
    out = np.empty(round(_NOTE_S * sample_rate), np.float32)
    events = [Event(0, bytes((_NOTE_ON, key, velocity)))]
    synth = shared_synth(sample_rate, (preset.soundfont,))
    synth.render(events, np.zeros(1, np.int64), preset, out, mono_from)
    return samples_until_heard(out) / sample_rate if out.any() else math.nan


def samples_until_heard(audio: Float32s) -> int:
    """Return the first sample whose magnitude is at least a tenth of the largest, (n_samples,)."""
    magnitude = np.abs(audio)
    return int(np.argmax(magnitude >= _HEARD * float(magnitude.max())))
