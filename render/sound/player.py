"""Whatever plays a patch: a soundfont preset, recorded notes, a VST3 or an SFZ instrument."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.level.spans import joined
from stemsmith.mixing.production.chain import apply_effects
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.attack import attack_s
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Patch
from stemsmith.render.sound.sample_folder import SampleFolder, read_sample_folder
from stemsmith.render.sound.sfz.playing import play_sfz
from stemsmith.render.sound.synth import Spans, shared_synth
from stemsmith.render.sound.vst3 import play_instrument

__all__ = ["attack_of", "infinite", "play", "play_apart", "run_effects", "synthesise"]

_OF_KEYS: Final = (0x8, 0x9, 0xA)  # note-off, note-on, key pressure


def play(
    patch: Patch,
    events: Sequence[Event],
    frames: Int64s,
    notes: Callable[[], tuple[npt.ArrayLike, npt.ArrayLike | None]],
    out: Float32s,
    sample_rate: int,
    dynamic: str | None = None,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> Spans:
    """Synthesise a part and apply the patch's effects; parameters as for `synthesise`."""
    spans = synthesise(patch, events, frames, notes, out, sample_rate, dynamic, mono_from)
    return run_effects(patch, out, spans, sample_rate)


def infinite(patch: Patch) -> UsageError:
    """Return the error of a patch that gives samples that are not finite."""
    return UsageError(f"{patch.name}: its effects or instrument give infinite samples")


def run_effects(patch: Patch, out: Float32s, spans: Spans, sample_rate: int) -> Spans:
    """Apply the patch's effects to a part, in its place; return where it may be other than zero."""
    if not patch.effects:
        return spans
    out[:] = apply_effects(out, patch.effects, sample_rate)
    return [(0, out.shape[1])]


def synthesise(
    patch: Patch,
    events: Sequence[Event],
    frames: Int64s,
    notes: Callable[[], tuple[npt.ArrayLike, npt.ArrayLike | None]],
    out: Float32s,
    sample_rate: int,
    dynamic: str | None = None,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> Spans:
    """Synthesise a part, without the patch's effects.

    Parameters
    ----------
    patch : Patch
        Patch that plays the part.
    events : sequence of Event
        Channel messages and system exclusives by time; their ticks do not count.
    frames : numpy.ndarray
        (n_events,) sample of each.
    notes : callable
        Returns the (n_notes, 4) onset, offset (in samples), pitch and velocity, and their
        (n_notes,) deviations in cents or None; called for recorded notes only.
    out : numpy.ndarray
        (n_channels, n_samples) float32, contiguous; receives the part: left and right, or one
        channel of them.
    sample_rate : int
        Sample rate of `out` in Hz.
    dynamic : str, optional
        Recordings to take; by velocity if None.
    mono_from : MonoFrom
        What a single channel of a preset is (`Patch.mono_from`); that of other patches is the mean.

    Returns
    -------
    list of (int, int)
        Where `out` may be other than zero.

    Raises
    ------
    UsageError
        If recorded notes or an SFZ instrument do not reach the pitches, a preset is not in its
        soundfont, or an SFZ instrument is not what it was.
    """
    if patch.folder is not None:
        table, cents = notes()
        folder = read_sample_folder(Path(patch.folder))
        spans = folder.render(table, out, sample_rate, dynamic, cents)
    elif patch.preset is not None:
        synth = shared_synth(sample_rate, (patch.preset.soundfont,))
        spans = synth.render(events, frames, patch.preset, out, mono_from)
    elif patch.sfz is not None:
        spans = play_sfz(patch.sfz, events, frames, out, sample_rate)
    else:
        assert patch.instrument is not None
        seconds = frames / sample_rate
        out[:] = play_instrument(patch.instrument, events, seconds, out.shape, sample_rate)
        spans = [(0, out.shape[1])]
    return spans


def play_apart(
    patch: Patch,
    events: Sequence[Event],
    frames: Int64s,
    notes: Callable[[], tuple[npt.ArrayLike, npt.ArrayLike | None]],
    out: Float32s,
    sample_rate: int,
    group_of_key: Sequence[int],
    dynamic: str | None = None,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> Spans:
    """Synthesise groups of keys of a part apart from one another; a patch has no effects then.

    Parameters
    ----------
    patch, events, frames, notes, sample_rate, dynamic, mono_from
        As for `synthesise`.
    out : numpy.ndarray
        (n_groups, n_channels, n_samples) float32, contiguous; receives the groups.
    group_of_key : sequence of int
        The group of each of the 128 keys.

    Returns
    -------
    list of (int, int)
        Where `out` may be other than zero.
    """
    if patch.preset is not None:
        synth = shared_synth(sample_rate, (patch.preset.soundfont,))
        return synth.render_apart(events, frames, patch.preset, out, group_of_key, mono_from)
    table, cents = notes()
    rows = np.asarray(table)
    groups = np.asarray(group_of_key)
    deviations = np.zeros(len(rows)) if cents is None else np.asarray(cents)
    spans: Spans = []
    for group, audio in enumerate(out):
        kept = [
            i
            for i, event in enumerate(events)
            if event.data[0] >> 4 not in _OF_KEYS or group_of_key[event.data[1]] == group
        ]
        own = groups[rows[:, 2]] == group
        spans += synthesise(
            patch,
            [events[i] for i in kept],
            frames[kept],
            partial(_given, rows[own], deviations[own]),
            audio,
            sample_rate,
            dynamic,
        )
    return joined(spans)


def _given(table: Int64s, cents: Float64s) -> tuple[Int64s, Float64s]:
    return table, cents


def attack_of(
    patch: Patch,
    pitch: int,
    velocity: int,
    dynamic: str | None,
    sample_rate: int,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> float:
    """Return the time from the start of a patch's voice to 10 % of its peak, in seconds.

    Dynamic and `mono_from` are as in `play`. NaN for VST3 and SFZ instruments, which may start as
    they like.
    """
    if patch.folder is not None:
        folder = read_sample_folder(Path(patch.folder))
        return folder.attack_s(pitch, dynamic or _dynamic_of(folder, pitch, velocity))
    if patch.preset is None:
        return math.nan
    return attack_s(patch.preset, pitch, velocity, sample_rate, mono_from)


def _dynamic_of(folder: SampleFolder, pitch: int, velocity: int) -> str:
    """Return the dynamic of the recording that `SampleFolder.render` takes for a velocity."""
    recorded = {recording.pitch for recording in folder.recordings}
    nearest = min(recorded, key=lambda other: (abs(other - pitch), other))
    layers = [r.dynamic for r in folder.recordings if r.pitch == nearest]
    return layers[(velocity - 1) * len(layers) // 127]
