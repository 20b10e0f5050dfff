"""How each note of a part sounds on its own, from the patch that plays it.

A voice of FluidSynth is the same wherever it starts, since reverb, chorus and dither are off and
voices begin at multiples of 64 samples. A key is therefore played once as long as its longest note,
and once let go, which gives the fall of its release; velocities within a layer differ in level
alone. Where a patch does not keep to that, every velocity is played.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests.arrays import Float32s, Int64s
from stemsmith.render.audit.setups import Setup
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.compass import velocity_db
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.synth import Preset, shared_synth
from stemsmith.render.sound.velocity_layers import Layers

__all__ = ["Played", "Player", "Strikes", "Voice", "decimated", "decimation", "voices"]

_LOWEST_RATE_HZ: Final = 8000
_LONGEST_S: Final = 8.0  # that a key is held for; what is held longer is not compared from there
_TAIL_S: Final = 4.0
_LET_GO_S: Final = 0.2
_OVER: Final = 0.03  # of the peak of a voice, -30 dB
_GAP: Final = 2 * BLOCK
_BATCH: Final = 1 << 21  # samples
_COMMON_SHARE: Final = 0.1  # of the notes of a key
_COMMON: Final = 3  # notes of a length that is played for its own sake
_SILENT: Final = 1e-4  # of the peak of a voice, -80 dB
_ALIKE: Final = 1e-3  # energy of the difference of two velocities, after their levels
_SOUND_OFF: Final = bytes((0xB0, 120, 0))
_AT_RESET: Final = ((121, 0), (7, 100), (10, 64), *((n, 64) for n in range(70, 80)))
# Registered parameters: bend range of 2 semitones, no fine and no coarse tuning.
_UNTUNED: Final = (
    *((101, 0), (100, 0), (6, 2), (38, 0)),
    *((101, 0), (100, 1), (6, 64), (38, 0)),
    *((101, 0), (100, 2), (6, 64)),
)
_RESET: Final = tuple(bytes((0xB0, n, value)) for n, value in (*_AT_RESET, *_UNTUNED))


class Strikes(NamedTuple):
    """Notes to be played alone, arrays of (n_notes,).

    Attributes
    ----------
    setup : list of tuple of bytes
        How the channel of each is set.
    key, velocity : numpy.ndarray
        MIDI numbers as sent.
    held : numpy.ndarray
        Samples until the note is let go.
    """

    setup: Sequence[Setup]
    key: Int64s
    velocity: Int64s
    held: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A key as it sounds alone, decimated (`decimated`).

    Attributes
    ----------
    velocity : int
        The velocity it was struck with.
    n_held : int
        Decimated samples after which it was let go.
    sound : numpy.ndarray
        (n_sound,) float32 the note that was let go then, until it is silent.
    held : numpy.ndarray or None
        (n_long,) float32 the same key held for as long as any note needs; None where all are of one
        length.
    fall : numpy.ndarray
        (n_fall,) float32 factors by which `held` falls once the key is up.
    is_cut : bool
        Whether it goes on after the last of these.
    """

    velocity: int
    n_held: int
    sound: Float32s
    held: Float32s | None
    fall: Float32s
    is_cut: bool

    def note(self, n_held: int, velocity: int) -> Float32s:
        """Return a note of a velocity that is let go after some decimated samples."""
        gain = np.float32(10 ** (float(velocity_db(velocity) - velocity_db(self.velocity)) / 20))
        if n_held == self.n_held or self.held is None:
            return self.sound * gain
        out: Float32s = self.held[: n_held + len(self.fall)] * gain
        tail = out[n_held:]
        tail *= self.fall[: len(tail)]
        return out

    @property
    def longest(self) -> int:
        """Decimated samples for which a key may be held."""
        return self.n_held if self.held is None else len(self.held) - len(self.fall)


def decimation(sample_rate: int) -> int:
    """Return by how much stems of a sample rate are decimated before they are compared."""
    factor = 1
    while factor < BLOCK and sample_rate // (2 * factor) >= _LOWEST_RATE_HZ:
        factor *= 2
    return factor


def decimated(audio: Float32s, factor: int) -> Float32s:
    """Return the mean of every few samples.

    No filter is needed where only signals that were decimated alike are compared.
    """
    n = len(audio) // factor * factor
    out: Float32s = audio[:n:factor].copy()
    for phase in range(1, factor):
        out += audio[phase:n:factor]  # several times as fast as a mean over rows
    out *= np.float32(1 / factor)
    return out


def voices(strikes: Strikes, player: Player, layers: Layers, is_exact: bool = False) -> list[Voice]:
    """Play each note alone, or find it among those that were played.

    Parameters
    ----------
    strikes : Strikes
        The notes that are wanted.
    player : Player
        What plays them.
    layers : Layers
        The velocity layers of its preset.
    is_exact : bool
        Whether each length of a note is played, and not only common ones.

    Returns
    -------
    list of Voice
        (n_notes,) what sounds for each; equal ones are one object.
    """
    is_level = player.answers_in_level(strikes)
    boundaries = {key: layers.boundaries(key) for key in set(strikes.key.tolist())}
    of_key = Counter(strikes.key.tolist())
    durations = Counter(zip(strikes.key.tolist(), strikes.held.tolist(), strict=True))
    columns = (strikes.key.tolist(), strikes.velocity.tolist(), strikes.held.tolist())
    groups: dict[tuple[Setup, int, int, int | None], list[int]] = defaultdict(list)
    for index, (setup, key, velocity, held) in enumerate(zip(strikes.setup, *columns, strict=True)):
        layer = bisect_right(boundaries[key], velocity) if is_level else velocity
        is_common = durations[key, held] >= max(_COMMON, _COMMON_SHARE * of_key[key])
        is_common = (is_common or is_exact) and held <= player.longest
        groups[setup, key, layer, held if is_common else None].append(index)
    order = sorted(groups, key=lambda group: group[:3])
    wanted = [
        _Wanted(setup, key, int(strikes.velocity[members].max()), strikes.held[members])
        for (setup, key, *_), members in ((group, groups[group]) for group in order)
    ]
    found: dict[int, Voice] = {}
    for group, voice in zip(order, player.play(wanted), strict=True):
        found.update(dict.fromkeys(groups[group], voice))
    return [found[index] for index in range(len(strikes.key))]


class _Wanted(NamedTuple):
    """A key that is to be heard, and for how many samples all notes hold it that it stands for."""

    setup: Setup
    key: int
    velocity: int
    held: Int64s

    def played(self, length: int, held: int | None = None) -> Played:
        return Played(self.setup, self.key, self.velocity, length if held is None else held, length)


class Played(NamedTuple):
    """A note that is played: let go after `held` samples, and cut off after `length`."""

    setup: Setup
    key: int
    velocity: int
    held: int
    length: int


class Player:
    """Plays notes alone.

    Parameters
    ----------
    preset : Preset
        What plays them.
    sample_rate : int
        Sample rate of the stem in Hz.
    mono_from : MonoFrom
        What of the two channels the stem is.
    """

    def __init__(
        self, preset: Preset, sample_rate: int, mono_from: MonoFrom = MonoFrom.SUM
    ) -> None:
        self._preset, self._mono_from = preset, mono_from
        self._sample_rate = sample_rate
        self._factor = decimation(sample_rate)
        self.longest, self._tail = (
            round(s * sample_rate / BLOCK) * BLOCK for s in (_LONGEST_S, _TAIL_S)
        )

    def answers_in_level(self, strikes: Strikes) -> bool:
        """Return whether velocity changes nothing but the level, for the commonest key."""
        if len(np.unique(strikes.velocity)) < 2:
            return True
        keys, counts = np.unique(strikes.key, return_counts=True)
        key = int(keys[counts.argmax()])
        velocities = strikes.velocity[strikes.key == key]
        soft, hard = int(velocities.min()), int(velocities.max())
        return True if soft == hard else self._alike(strikes.setup[0], key, soft, hard)

    def _alike(self, setup: Setup, key: int, soft: int, hard: int) -> bool:
        n = round(0.2 * self._sample_rate / BLOCK) * BLOCK
        pieces = self._sequence([Played(setup, key, v, n, n) for v in (soft, hard)])
        gain = 10 ** (float(velocity_db(hard) - velocity_db(soft)) / 20)
        difference = pieces[0] * np.float32(gain) - pieces[1]
        return float(np.vdot(difference, difference)) <= _ALIKE * float(
            np.vdot(pieces[1], pieces[1])
        )

    def play(self, wanted: Sequence[_Wanted]) -> list[Voice]:
        """Return the voice of each group, from a key that is let go and one that is held."""
        let_go = self._let_go(wanted)
        longest = [
            min(int(w.held.max()), self.longest) + (len(sound) - n_held) * self._factor
            for w, (n_held, sound) in zip(wanted, let_go, strict=True)
        ]
        several = [index for index, w in enumerate(wanted) if w.held.min() < w.held.max()]
        held = dict(
            zip(several, self.sounds(wanted[i].played(longest[i]) for i in several), strict=True)
        )
        size, found = BLOCK // self._factor, []
        for index, (w, (n_held, sound)) in enumerate(zip(wanted, let_go, strict=True)):
            long = held.get(index)
            fall = sound[:0] if long is None else _fall(long[n_held:], sound[n_held:], size)
            is_cut = len(sound) - n_held >= self._tail // self._factor
            found.append(Voice(w.velocity, n_held, sound, long, fall, is_cut))
        return found

    def _let_go(self, wanted: Sequence[_Wanted]) -> list[tuple[int, Float32s]]:
        """Return for each group when its key is let go, and what is heard, both decimated.

        That is when most attacks are over and most sounds are loud enough to be followed as they
        fall; what has died away by then is let go as early as any of its notes.
        """
        usual = round(_LET_GO_S * self._sample_rate)
        held = [
            int(min(np.clip(usual, w.held.min(), w.held.max()), self.longest)) // BLOCK * BLOCK
            for w in wanted
        ]
        sounds = list(
            self.sounds(w.played(n + self._tail, n) for w, n in zip(wanted, held, strict=True))
        )
        early = [
            index
            for index, (w, n) in enumerate(zip(wanted, held, strict=True))
            if w.held.min() < n and _is_over(sounds[index], n // self._factor)
        ]
        for index in early:
            held[index] = int(wanted[index].held.min())
        again = (wanted[i].played(held[i] + self._tail, held[i]) for i in early)
        for index, sound in zip(early, self.sounds(again), strict=True):
            sounds[index] = sound
        n_held = [n // self._factor for n in held]
        return [(n, _trimmed(sound, n)) for n, sound in zip(n_held, sounds, strict=True)]

    def sounds(self, notes: Iterable[Played]) -> Iterator[Float32s]:
        """Yield the decimated sound of each note, played in batches that fit into memory."""
        batch: list[Played] = []
        n_samples = 0
        for note in notes:
            batch.append(note)
            n_samples += note.length
            if n_samples > _BATCH:
                yield from self._sequence(batch)
                batch, n_samples = [], 0
        yield from self._sequence(batch)

    def _sequence(self, notes: Sequence[Played]) -> list[Float32s]:
        """Play notes one after the other."""
        events: list[Event] = []
        frames: list[int] = []
        starts: list[int] = []
        now = 0
        previous: Setup | None = None

        def send(data: bytes, at: int) -> None:
            events.append(Event(0, data))
            frames.append(at)

        for note in notes:
            if note.setup != previous:
                for data in (*_RESET, *note.setup):
                    send(data, now)
                previous = note.setup
            send(bytes((0x90, note.key, note.velocity)), now)
            if note.held < note.length:
                send(bytes((0x80, note.key, 0)), now + note.held)
            starts.append(now // self._factor)
            now += -(-note.length // BLOCK) * BLOCK
            send(_SOUND_OFF, now)
            now += _GAP
        out = np.empty(now, np.float32)
        synth = shared_synth(self._sample_rate, (self._preset.soundfont,))
        where = np.array(frames, np.int64)
        spans = synth.render(events, where, self._preset, out, self._mono_from)
        low = np.zeros(now // self._factor, np.float32)
        for start, stop in spans:
            sound = decimated(out[start:stop], self._factor)
            low[start // self._factor : start // self._factor + len(sound)] = sound
        lengths = (note.length // self._factor for note in notes)
        return [low[start : start + n] for start, n in zip(starts, lengths, strict=True)]


def _is_over(sound: Float32s, n_held: int) -> bool:
    """Return whether a sound has nearly died away before its key is let go."""
    last = np.abs(sound[max(0, n_held - BLOCK) : n_held]).max(initial=0.0)
    return bool(last < _OVER * np.abs(sound).max(initial=0.0))


def _trimmed(sound: Float32s, n_held: int) -> Float32s:
    """Leave out the end that is silent."""
    loud = np.flatnonzero(np.abs(sound) > _SILENT * float(np.abs(sound).max(initial=0.0)))
    last = max(int(loud[-1]) + 1 if len(loud) else 0, n_held)
    return sound[: -(-last // BLOCK) * BLOCK]


def _fall(held: Float32s, let_go: Float32s, size: int) -> Float32s:
    """Return by how much a note falls after its end, block by block."""
    n = min(len(held), len(let_go)) // size
    still, falling = (sound[: n * size].reshape(n, size) for sound in (held, let_go))
    energy = np.einsum("ij,ij->i", still, still)
    product = np.einsum("ij,ij->i", still, falling)
    fall = np.clip(product / np.maximum(energy, 1e-20), 0, 1)
    return np.repeat(fall, size).astype(np.float32)
