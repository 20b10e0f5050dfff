"""What a stem must sound like: its notes, each as the patch plays it alone, added up.

It is made of labels, and knows nothing of the events that the stem was rendered from or of other
notes: a voice that was cut off, a note that came late or hangs, or a wrong key is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Bools, Float32s, Int64s
from stemsmith.manifests.places import place
from stemsmith.render.audit.setups import Setup, setups
from stemsmith.render.audit.stem_notes import StemNotes
from stemsmith.render.audit.voices import Played, Player, Strikes, Voice, decimation, voices
from stemsmith.render.midi.channel import (
    EXPRESSION,
    VOLUME,
)
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.synth import Preset
from stemsmith.render.sound.velocity_layers import Layers, velocity_layers

__all__ = ["Reference", "reference_of"]

# How fast FluidSynth (2.5.7) ends a voice of the same exclusive class, measured at 16 to 44.1 kHz.
_CHOKED_DB_S: Final = 284.0
_NEVER: Final = 1 << 40
_LAST_S, _BEYOND_S = 0.05, 4.0
_SHORTEST_S: Final = 0.01  # FluidSynth's synth.min-note-length: an earlier end waits


class Reference(NamedTuple):
    """The sound that the labels of a stem promise, decimated.

    Attributes
    ----------
    audio : numpy.ndarray
        (n_low,) float32 all notes, in the level of the synthesiser.
    doubtful : numpy.ndarray
        (n_low,) float32 the part of it that does not follow from the notes alone: magnitudes of
        notes from where a controller moves, or where they are held for very long.
    voices : list of Voice
        (n_notes,) how each note sounds alone.
    start, held : numpy.ndarray
        (n_notes,) decimated sample at which a note starts, and for how many it is held.
    setups : list of tuple of bytes
        (n_notes,) how the channel of each is set.
    key, velocity : numpy.ndarray
        (n_notes,) MIDI numbers.
    factor : int
        Samples of the stem for one of these.
    player : Player
        What plays notes alone.
    """

    audio: Float32s
    doubtful: Float32s
    voices: list[Voice]
    start: Int64s
    held: Int64s
    setups: Sequence[Setup]
    key: Int64s
    velocity: Int64s
    factor: int
    player: Player

    def longer(self, index: int, n_more: int) -> Float32s:
        """Return a note as it sounds alone if it is held for more decimated samples."""
        n_held = (int(self.held[index]) + n_more) * self.factor
        played = Played(
            self.setups[index], int(self.key[index]), int(self.velocity[index]), n_held, n_held
        )
        (sound,) = self.player.sounds([played])
        return sound

    def note(self, index: int) -> Float32s:
        """Return a note as it sounds alone, from its start on."""
        return self.voices[index].note(int(self.held[index]), int(self.velocity[index]))


@cache
def _layers(soundfont: str) -> dict[tuple[int, int], Layers]:
    return velocity_layers(place(soundfont))


def reference_of(
    notes: StemNotes,
    events: Sequence[Event],
    frames: Int64s,
    preset: Preset,
    sample_rate: int,
    n_samples: int,
    is_exact: bool = False,
    mono_from: MonoFrom = MonoFrom.SUM,
) -> Reference | None:
    """Add up the notes of a stem.

    Parameters
    ----------
    notes : StemNotes
        What shall be heard.
    events, frames : sequence of Event, numpy.ndarray
        Channel messages of the part, of which only controllers are looked at, and their samples.
    preset : Preset
        What plays the notes.
    sample_rate, n_samples : int
        Sample rate of the stem in Hz, and its length.
    is_exact : bool
        Whether each length of a note is played, and not only common ones.
    mono_from : MonoFrom
        What of the preset's two channels the stem is.

    Returns
    -------
    Reference or None
        None for a part in which notes are tied together, and for one without notes.
    """
    layers = _layers(preset.soundfont).get((preset.bank, preset.number))
    if not len(notes.key) or notes.is_tied or layers is None:
        return None
    factor = decimation(sample_rate)
    channel = setups(events, frames)
    index = np.searchsorted(channel.start, notes.onset, side="right") - 1
    messages = [channel.messages[i] for i in index.tolist()]
    shortest = math.ceil(_SHORTEST_S * sample_rate / BLOCK) * BLOCK
    held = np.maximum(notes.voice_end - notes.onset, shortest)
    player = Player(preset, sample_rate, mono_from)
    played = voices(Strikes(messages, notes.key, notes.velocity, held), player, layers, is_exact)
    reference = Reference(
        audio=np.zeros(n_samples // factor, np.float32),
        doubtful=np.zeros(n_samples // factor, np.float32),
        voices=played,
        start=notes.onset // factor,
        held=held // factor,
        setups=messages,
        key=notes.key,
        velocity=notes.velocity,
        factor=factor,
        player=player,
    )
    end, is_sure = _choked(notes, layers)
    changes = np.where(is_sure, np.append(channel.start, _NEVER)[index + 1], notes.onset)
    _add_up(reference, changes // factor, end // factor, sample_rate / factor)
    return reference


def _add_up(reference: Reference, changes: Int64s, choked: Int64s, rate_hz: float) -> None:
    """Add the notes to the sound, and what is not certain of them to what is doubtful."""
    n_low = len(reference.audio)
    for note, (voice, start, held) in enumerate(
        zip(reference.voices, reference.start.tolist(), reference.held.tolist(), strict=True)
    ):
        sound = reference.note(note)[: max(0, n_low - start)]
        until = start + len(sound)
        if choked[note] < until:
            fall = np.arange(until - choked[note]) / rate_hz
            sound[choked[note] - start :] *= 10 ** (-_CHOKED_DB_S / 20 * fall)
        reference.audio[start:until] += sound
        doubted = min(int(changes[note]), start + voice.longest if held > voice.longest else until)
        if doubted < until:
            loudest = np.float32(_loudest(reference.setups[note]))
            reference.doubtful[doubted:until] += loudest * np.abs(sound[doubted - start :])
        if held > voice.longest or voice.is_cut:  # it was not followed to its end
            last = np.abs(sound[-round(_LAST_S * rate_hz) :]).max(initial=0.0)
            beyond = max(until, start + held) + round(_BEYOND_S * rate_hz)
            reference.doubtful[until:beyond] += last


def _loudest(setup: Setup) -> float:
    """Return by what a note may become louder once volume or expression change."""
    values = {message[1]: message[2] for message in setup if message[0] == 0xB0}
    volume, expression = values.get(VOLUME, 100), values.get(EXPRESSION, 127)
    return (127 / max(volume, 1)) ** 2 * (127 / max(expression, 1)) ** 2


def _choked(notes: StemNotes, layers: Layers) -> tuple[Int64s, Bools]:
    """Return the sample at which another note of its exclusive class ends each, or a late one.

    Of several that are struck together the last one that is sent remains: nobody knows which.
    """
    class_of = {key: layers.exclusive_class(key) for key in set(notes.key.tolist())}
    classes = np.array([class_of[key] for key in notes.key.tolist()])
    end = np.full(len(classes), _NEVER, np.int64)
    is_sure = np.ones(len(classes), np.bool_)
    for number in np.unique(classes[classes > 0]):
        members = np.flatnonzero(classes == number)
        onset = notes.onset[members]
        following = np.searchsorted(onset, onset, side="right")
        end[members] = np.append(onset, _NEVER)[following]
        is_sure[members] = following - np.searchsorted(onset, onset, side="left") == 1
    return end, is_sure
