"""FluidSynth as a function from events to float audio, mono or stereo.

* Float output: FluidSynth dithers only its 16-bit output, and that dither is what kept the authors
  of Slakh from mixing Flakh by loudness (paper, section 2.3).
* FluidSynth starts a voice at the next multiple of 64 frames after the event. Events come in
  rounded to the nearest multiple, so that a label says when the voice really starts.
* Reverb and chorus are off. Where no voice sounds, nothing is computed.
* Every rendering has a new synthesiser (about 1 ms), and all of a process share the loaded
  soundfonts (about 100 ms each). FluidSynth's own system reset is not enough: a voice that is used
  again starts with the panning gains of its previous life and glides to its own over one block,
  and tunings and the bank-select mode set by system exclusives stay.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import local_copy, place
from stemsmith.render.midi.channel import BANK_SELECTS, MODES
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.fluid import fluidsynth
from stemsmith.render.sound.mono import MonoFrom

__all__ = [
    "Preset",
    "Spans",
    "Synth",
    "check_soundfonts",
    "on_grid",
    "shared_synth",
    "synthesis",
]

_CHUNK: Final = 256 * BLOCK
# With FluidSynth's default of 0.2 ordinary stems lie near -45 LUFS, so that the gate of -70 LUFS
# and the largest gain would act on music instead of on silence; with 1 they lie near -30 LUFS, and
# float output does not clip. Half of it makes left + right the mono (L + R) / 2, exactly; where
# both are kept apart it is doubled.
_GAIN: Final = 1.0 / 2
_SETTINGS: Final[dict[str, int]] = {
    "synth.reverb.active": 0,
    "synth.chorus.active": 0,
    "synth.polyphony": 256,  # FluidSynth's default
    "synth.threadsafe-api": 0,
    "synth.cpu-cores": 1,
}
_DRUM_CHANNEL: Final = 1  # CHANNEL_TYPE_DRUM


class Preset(NamedTuple):
    """A preset of a soundfont file."""

    soundfont: str
    bank: int
    number: int


Spans = list[tuple[int, int]]


def on_grid(seconds: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.int64]:
    """Return the sample at which FluidSynth acts on events: the nearest multiple of 64."""
    blocks = np.rint(np.asarray(seconds, np.float64) * (sample_rate / BLOCK))
    return blocks.astype(np.int64) * BLOCK


def check_soundfonts(paths: Sequence[str]) -> None:
    """Load soundfonts once and forget them.

    Raises
    ------
    UsageError
        Naming the first one that FluidSynth cannot load.
    """
    fluid = fluidsynth()
    settings = fluid.new_fluid_settings()
    for path in paths:
        synth = fluid.new_fluid_synth(settings)
        number = fluid.fluid_synth_sfload(synth, os.fsencode(local_copy(place(path))), 1)
        fluid.delete_fluid_synth(synth)
        if number < 0:
            raise UsageError(f"{path}: FluidSynth cannot load this soundfont")
    fluid.delete_fluid_settings(settings)


@cache
def shared_synth(sample_rate: int, soundfonts: tuple[str, ...]) -> Synth:
    """Return this process's synthesiser for a sample rate and a list of soundfonts."""
    return Synth(sample_rate, soundfonts)


def _new_settings(fluid: Any) -> Any:
    """Return the settings of every synthesiser here, but for the sample rate."""
    settings = fluid.new_fluid_settings()
    for name, value in _SETTINGS.items():
        fluid.fluid_settings_setint(settings, name.encode(), value)
    fluid.fluid_settings_setnum(settings, b"synth.gain", _GAIN)
    return settings


def synthesis() -> dict[str, bool | int]:
    """Return how the synthesiser is set, as FluidSynth itself says: for manifests."""
    fluid = fluidsynth()
    settings = _new_settings(fluid)

    def value_of(name: str) -> int:
        value = ctypes.c_int()
        fluid.fluid_settings_getint(settings, f"synth.{name}".encode(), value)
        return value.value

    said: dict[str, bool | int] = {
        "reverb": bool(value_of("reverb.active")),
        "chorus": bool(value_of("chorus.active")),
        "polyphony": value_of("polyphony"),
    }
    fluid.delete_fluid_settings(settings)
    return said


class Synth:
    """Soundfonts ready to be played.

    Parameters
    ----------
    sample_rate : int
        In Hz, 8000 to 96000.
    soundfonts : sequence of str
        Paths or addresses; where two have a preset, unsplit scores take the first one's. They stay
        loaded for the life of the process.

    Raises
    ------
    UsageError
        If a soundfont cannot be loaded.
    """

    def __init__(self, sample_rate: int, soundfonts: Sequence[str]) -> None:
        fluid = self._fluid = fluidsynth()
        self._settings = _new_settings(fluid)
        fluid.fluid_settings_setnum(self._settings, b"synth.sample-rate", float(sample_rate))
        self._fonts = {path: self._load(path) for path in soundfonts}

    def _load(self, path: str) -> Any:
        """Load a soundfont and take it out of the synthesiser that loaded it."""
        fluid = self._fluid
        synth = fluid.new_fluid_synth(self._settings)
        try:
            number = fluid.fluid_synth_sfload(synth, os.fsencode(local_copy(place(path))), 1)
            if number < 0:
                raise UsageError(f"{path}: FluidSynth cannot load this soundfont")
            font = fluid.fluid_synth_get_sfont_by_id(synth, number)
            fluid.fluid_synth_remove_sfont(synth, font)
            return font
        finally:
            fluid.delete_fluid_synth(synth)

    @contextmanager
    def _opened(self, n_outputs: int = 1) -> Iterator[tuple[Any, dict[str, int]]]:
        """Yield a new synthesiser with all soundfonts, and their numbers in it.

        Of several outputs the first is that of the first channel, and so on.
        """
        fluid = self._fluid
        for name in (b"synth.audio-channels", b"synth.audio-groups"):
            fluid.fluid_settings_setint(self._settings, name, n_outputs)
        synth = fluid.new_fluid_synth(self._settings)
        try:
            # The last one added is searched first.
            numbers = {
                path: fluid.fluid_synth_add_sfont(synth, font)
                for path, font in reversed(self._fonts.items())
            }
            # As after loading: channels choose their presets from what is there.
            fluid.fluid_synth_system_reset(synth)
            yield synth, numbers
        finally:
            fluid.fluid_synth_system_reset(synth)  # voices let go of their samples
            for font in self._fonts.values():
                fluid.fluid_synth_remove_sfont(synth, font)
            fluid.delete_fluid_synth(synth)

    def render(
        self,
        events: Sequence[Event],
        frames: npt.NDArray[np.int64],
        preset: Preset | None,
        out: npt.NDArray[np.float32],
        mono_from: MonoFrom = MonoFrom.SUM,
    ) -> Spans:
        """Play events.

        Parameters
        ----------
        events : sequence of Event
            Channel messages and system exclusives by time.
        frames : numpy.ndarray
            (n_events,) sample at which each happens, from `on_grid`.
        preset : Preset or None
            What sounds, on every channel; program changes and bank selects are then left out.
            None follows the score's own.
        out : numpy.ndarray
            (n_samples,) or (1, n_samples) float32, contiguous; receives what `mono_from` says. Or
            (2, n_samples): left and right. Events from n_samples on are not played.
        mono_from : MonoFrom
            What of the two channels a single one is: (left + right) / 2, or one of them.

        Returns
        -------
        list of (int, int)
            Start and stop of the stretches of `out` that may be other than zero, in order.
        """
        with self._opened() as (synth, numbers):
            if len(np.atleast_2d(out)) == 2 or mono_from is not MonoFrom.SUM:
                self._fluid.fluid_synth_set_gain(synth, 2 * _GAIN)
            controls = _Controls(self._fluid, synth, preset, numbers)
            player = _Player(self._fluid, synth, out, mono_from)
            for frame, (_, data) in zip(frames.tolist(), events, strict=True):
                if frame >= out.shape[-1]:
                    break
                if frame > player.now:
                    player.play_to(frame)
                controls.send(data)
            player.play_to(out.shape[-1])
        return player.spans

    def render_apart(
        self,
        events: Sequence[Event],
        frames: npt.NDArray[np.int64],
        preset: Preset,
        out: npt.NDArray[np.float32],
        group_of_key: Sequence[int],
        mono_from: MonoFrom = MonoFrom.SUM,
    ) -> Spans:
        """Play events of one channel, groups of keys apart from one another.

        The voices are those of `render`, which share one synthesiser: the groups add up to what it
        renders. Each is played on a channel of its own, so that a key does not choke one of another
        group.

        Parameters
        ----------
        events, frames, preset, mono_from
            As for `render`. Mode messages (controllers 124 to 127) are left out.
        out : numpy.ndarray
            (n_groups, n_channels, n_samples) float32, contiguous, at most 16 groups; receives each
            group as `render` has the whole.
        group_of_key : sequence of int
            The group of each of the 128 keys.

        Returns
        -------
        list of (int, int)
            Start and stop of the stretches of `out` that may be other than zero, in order.
        """
        n_groups, n_channels, n_samples = out.shape
        with self._opened(n_groups) as (synth, numbers):
            if n_channels == 2 or mono_from is not MonoFrom.SUM:
                self._fluid.fluid_synth_set_gain(synth, 2 * _GAIN)
            controls = _Controls(self._fluid, synth, preset, numbers, n_groups)
            player = _Player(self._fluid, synth, out, mono_from)
            for frame, (_, data) in zip(frames.tolist(), events, strict=True):
                if frame >= n_samples:
                    break
                if frame > player.now:
                    player.play_to(frame)
                for sent in _apart(data, group_of_key, n_groups):
                    controls.send(sent)
            player.play_to(n_samples)
        return player.spans


def _apart(data: bytes, group_of_key: Sequence[int], n_groups: int) -> Iterator[bytes]:
    """Yield a message for the channel of its key's group, or for all of them."""
    kind = data[0] >> 4
    if kind == 0xF:
        yield data
    elif kind in (0x8, 0x9, 0xA):
        yield bytes((data[0] & 0xF0 | group_of_key[data[1]],)) + data[1:]
    elif kind != 0xB or data[1] not in MODES:
        yield from (bytes((data[0] & 0xF0 | group,)) + data[1:] for group in range(n_groups))


class _Controls:
    """Sends messages to a synthesiser, holding it to a preset if there is one."""

    def __init__(
        self,
        fluid: Any,
        synth: Any,
        preset: Preset | None,
        numbers: dict[str, int],
        n_groups: int = 0,
    ) -> None:
        self._fluid, self._synth = fluid, synth
        self._preset, self._numbers = preset, numbers
        self._n_groups = n_groups  # of keys of a drum kit, each on a channel of its own
        self._select()

    def _select(self) -> None:
        for channel in range(self._n_groups):  # drums are the last voices that are given up
            self._fluid.fluid_synth_set_channel_type(self._synth, channel, _DRUM_CHANNEL)
        if self._preset is not None:
            number = self._numbers[self._preset.soundfont]
            for channel in range(16):
                done = self._fluid.fluid_synth_program_select(
                    self._synth, channel, number, self._preset.bank, self._preset.number
                )
                if done != 0:
                    raise UsageError(f"{self._preset.soundfont}: no preset {self._preset[1:]}")

    def send(self, data: bytes) -> None:
        """Send one message."""
        fluid, synth = self._fluid, self._synth
        kind, channel = data[0] >> 4, data[0] & 0x0F
        if kind == 0x9 and data[2] > 0:
            fluid.fluid_synth_noteon(synth, channel, data[1], data[2])
        elif kind <= 0x9:
            fluid.fluid_synth_noteoff(synth, channel, data[1])
        elif kind == 0xB:
            if self._preset is None or data[1] not in BANK_SELECTS:
                fluid.fluid_synth_cc(synth, channel, data[1], data[2])
        elif kind == 0xE:
            fluid.fluid_synth_pitch_bend(synth, channel, data[1] | data[2] << 7)
        elif kind == 0xD:
            fluid.fluid_synth_channel_pressure(synth, channel, data[1])
        elif kind == 0xA:
            fluid.fluid_synth_key_pressure(synth, channel, data[1], data[2])
        elif kind == 0xC:
            if self._preset is None:
                fluid.fluid_synth_program_change(synth, channel, data[1])
        else:
            self._send_sysex(data)

    def _send_sysex(self, data: bytes) -> None:
        if data[0] != 0xF0 or data[-1] != 0xF7:
            return  # a fragment of a longer message; FluidSynth takes whole ones only
        body = data[1:-1]
        self._fluid.fluid_synth_sysex(self._synth, body, len(body), None, None, None, 0)
        self._select()  # a GM or GS reset selects program 0 on all channels


class _Player:
    """Runs the synthesiser over one stretch of time, skipping what is silent."""

    def __init__(
        self, fluid: Any, synth: Any, out: npt.NDArray[np.float32], mono_from: MonoFrom
    ) -> None:
        self._process = fluid.fluid_synth_process
        self._count = fluid.fluid_synth_get_active_voice_count
        self._synth = synth
        self._out, self._n_samples = out, out.shape[-1]
        # FluidSynth adds to its outputs: left and right into one are mono.
        self._unwanted = np.zeros(_CHUNK, np.float32)  # where the other channel goes
        groups = out if out.ndim == 3 else np.atleast_2d(out)[np.newaxis]
        self._targets = [target for rows in groups for target in self._of_rows(rows, mono_from)]
        self._outputs = (ctypes.c_void_p * len(self._targets))()
        self.spans: Spans = []
        self.now = 0

    def _of_rows(self, rows: npt.NDArray[np.float32], mono_from: MonoFrom) -> list[tuple[int, int]]:
        """Return the addresses of left and right, and how far they advance a sample."""
        addresses = [rows[0].ctypes.data, rows[-1].ctypes.data]
        steps = [rows.itemsize, rows.itemsize]
        if len(rows) == 1 and mono_from is not MonoFrom.SUM:
            unwanted = 0 if mono_from is MonoFrom.RIGHT else 1
            addresses[unwanted], steps[unwanted] = self._unwanted.ctypes.data, 0
        return list(zip(addresses, steps, strict=True))

    def play_to(self, frame: int) -> None:
        """Render up to a frame: a multiple of 64, or the end of the output."""
        out, n_samples = self._out, self._n_samples
        end = -(-frame // BLOCK) * BLOCK
        while self.now < end:
            now = self.now
            if not self._count(self._synth):
                out[..., now:end] = 0.0
                self.now = end
                return
            stop = min(end, now + _CHUNK, n_samples)
            out[..., now:stop] = 0.0
            for channel, (address, step) in enumerate(self._targets):
                self._outputs[channel] = address + now * step
            self._process(self._synth, stop - now, 0, None, len(self._outputs), self._outputs)
            self._add_span(now, stop)
            self.now = stop if stop < n_samples else end

    def _add_span(self, start: int, stop: int) -> None:
        if self.spans and self.spans[-1][1] == start:
            self.spans[-1] = (self.spans[-1][0], stop)
        else:
            self.spans.append((start, stop))
