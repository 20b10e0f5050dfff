"""What a soundfont really plays: every preset is listened to once, and the result is kept.

The zones of a preset say where voices start and where they change (`Layers.cells`); within a cell
the pitch is a straight line over the keys and the level changes little, so that a few keys are
played and the others follow. What is found lies in the user's cache by the hash of the file; a
damaged or older record is measured again.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s, Float64s, Int32s
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.places import place
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound import fluid
from stemsmith.render.sound.attack import samples_until_heard
from stemsmith.render.sound.mono import is_lossy
from stemsmith.render.sound.pitch import UNSTABLE, find_pitch, hertz
from stemsmith.render.sound.sf2 import DRUM_BANKS, Soundfont
from stemsmith.render.sound.synth import Preset, Synth
from stemsmith.render.sound.velocity_layers import Cell, Layers, velocity_layers

__all__ = ["N_KEYS", "PresetMeasurement", "is_measured", "measure_soundfont"]

N_KEYS: Final = 128
_FORMAT: Final = "notes-2"  # changes when what is measured changes
_RATE_HZ: Final = 22050
_PITCHED_KEYS: Final = (24, 100)  # beyond them neither ears nor estimators are sure of a pitch
_STEP: Final = 6  # keys between the notes that are played in a cell
_VELOCITY: Final = 100
_MIDDLE_C, _SNARE = 60, 38
_SILENT_DBFS: Final = -110.0  # below the rounding to 16 bits, even after a gain of 30 dB
_RELEASE_DB: Final = 60.0
_BATCH: Final = 64  # notes that are played at once
_WINDOW: Final = 8  # blocks of 64 before the note-off in which the level is taken
_ALL_SOUND_OFF: Final = Event(0, bytes((0xB0, 120, 0)))


def _blocks(seconds: float) -> int:
    return round(seconds * _RATE_HZ / BLOCK) * BLOCK


_HELD: Final = _blocks(0.4)  # of a note whose pitch is measured
_ATTACK: Final = _blocks(0.05)  # is left out of it
_STRUCK: Final = _blocks(0.25)  # of one that is only to be heard
_GAP: Final = 2 * BLOCK  # after all sound off
_LONG: Final = _blocks(1.0)  # of the one whose attack and release are measured
_RELEASED: Final = _blocks(3.0)


@dataclass(frozen=True, slots=True, eq=False)
class PresetMeasurement:
    """What was heard of one preset.

    Attributes
    ----------
    bank, number : int
        MIDI bank (128 for percussion) and number.
    velocities : numpy.ndarray
        (n_layers,) the lowest velocity of each stretch of velocities in which every key keeps its
        voices; the first is 1.
    level_db : numpy.ndarray
        (n_layers * 128,) peak of each key in the first 250 ms in dB below full scale, at velocity
        100 or the nearest one of the stretch; -inf for a key that is silent. It is that of a mono
        stem of the key alone: of (left + right) / 2, or of the louder channel where that is lossy.
    cents : numpy.ndarray
        (n_layers * 128,) deviation of the fundamental from the key, octaves included; NaN for keys
        that are silent, have no stable pitch, or are not judged.
    attack_s : float
        Time from the start of the voice to 10 % of its peak, of the key that sounds and is nearest
        to middle C, for drums to the snare; NaN for a preset that makes no sound.
    release_s : float
        Time from the note-off of the same key to 60 dB less, 3 s at most. NaN where nothing is
        left to be released a second after the strike.
    correlation : float
        Correlation of left and right, -1 to 1: 1 for mono, below 0 where a mono sum loses much.
    left_power, right_power, both_power : numpy.ndarray
        (n_layers * 128,) mean squares of the left channel, the right channel and
        (left + right) / 2 for each key, full scale 1, at the velocity of `level_db` and with the
        pan in the middle.
    """

    bank: int
    number: int
    velocities: Int32s
    level_db: Float32s
    cents: Float32s
    attack_s: float
    release_s: float
    correlation: float
    left_power: Float32s
    right_power: Float32s
    both_power: Float32s

    @property
    def powers(self) -> Float32s:
        """Powers of left, right and both as (3, n_layers, 128)."""
        found = np.stack([self.left_power, self.right_power, self.both_power])
        return found.reshape(3, -1, N_KEYS)

    @property
    def levels_db(self) -> Float32s:
        """Levels as (n_layers, 128)."""
        return self.level_db.reshape(-1, N_KEYS)

    @property
    def deviations(self) -> Float32s:
        """Deviations in cents as (n_layers, 128)."""
        return self.cents.reshape(-1, N_KEYS)


# What this process has measured or read, by the file of the record.
_KNOWN: Final[dict[Path, dict[tuple[int, int], PresetMeasurement]]] = {}


class _Strike(NamedTuple):
    """A note to be played, and how many samples it takes."""

    key: int
    velocity: int
    is_pitched: bool

    @property
    def n_samples(self) -> int:
        return (_HELD if self.is_pitched else _STRUCK) + _GAP


def measure_soundfont(
    soundfont: Soundfont, progress: Progress = QUIET
) -> dict[tuple[int, int], PresetMeasurement]:
    """Listen to all presets of a soundfont, or look up what was heard before.

    Parameters
    ----------
    soundfont : Soundfont
        The file; it is loaded only if it was not measured before.
    progress : Progress, optional
        Is told how far the listening is. Nothing is shown by default.

    Returns
    -------
    dict of (int, int) to PresetMeasurement
        By bank and number; the same for the same file and the same version of FluidSynth.

    Raises
    ------
    UsageError
        If the soundfont cannot be read or played, naming it.
    """
    record = _record(soundfont)
    if record not in _KNOWN:
        try:
            found = shards.read_records(record, PresetMeasurement)
        except InvalidCorpus:
            found = list(_listen(soundfont, progress))
            _keep(record, found)
        _KNOWN[record] = {(preset.bank, preset.number): preset for preset in found}
    return _KNOWN[record]


def is_measured(soundfont: Soundfont) -> bool:
    """Return whether this FluidSynth has played the soundfont before: then it can load it."""
    return _record(soundfont).exists()


def _record(soundfont: Soundfont) -> Path:
    name = f"{soundfont.sha256}-{fluid.version()}-{_FORMAT}.parquet"
    return cache_folder() / "soundfonts" / name


def _keep(record: Path, found: Sequence[PresetMeasurement]) -> None:
    """Write a record whole or not at all, whoever else writes it; do without where none can be."""
    own = record.with_name(f"{secrets.token_hex(8)}.parquet")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        shards.write_records(own, PresetMeasurement, found)
        own.replace(record)
    except OSError:
        with suppress(OSError):
            own.unlink(missing_ok=True)


def _listen(soundfont: Soundfont, progress: Progress) -> Iterator[PresetMeasurement]:
    synth = Synth(_RATE_HZ, (soundfont.path,))
    layers = velocity_layers(place(soundfont.path))
    presets = dict.fromkeys((preset.bank, preset.number) for preset in soundfont.presets)
    with progress.loop(f"listen to {soundfont.file}", len(presets)) as ticker:
        for bank, number in presets:
            listener = _Listener(synth, Preset(soundfont.path, bank, number))
            yield listener.measure(layers[bank, number])
            ticker.advance()


class _Heard(NamedTuple):
    """What was heard of one strike.

    Peak in dB below full scale, deviation in cents or NaN, and the powers of left, right and both.
    """

    key: int
    level_db: float
    cents: float
    powers: Float64s


class _Listener:
    """Plays one preset note by note."""

    def __init__(self, synth: Synth, preset: Preset) -> None:
        self._synth, self._preset = synth, preset
        self._is_pitched = preset.bank not in DRUM_BANKS
        self._products = np.zeros(3)  # left with right, left with left, right with right

    def measure(self, layers: Layers) -> PresetMeasurement:
        """Play some notes of every cell."""
        cells = layers.cells()
        edges = {edge for cell in cells for edge in (cell.velocities[0], cell.velocities[1] + 1)}
        velocities = np.array(sorted({1, *edges} - {128}), np.int32)
        levels = np.full((len(velocities), N_KEYS), -np.inf, np.float32)
        cents = np.full((len(velocities), N_KEYS), np.nan, np.float32)
        powers = np.zeros((3, len(velocities), N_KEYS), np.float32)
        plan = self._plan(cells)
        notes = self._play([strike for strikes in plan for strike in strikes])
        pitches: dict[tuple[object, ...], Float32s] = {}
        for cell, strikes in zip(cells, plan, strict=True):
            heard = [self._hear(strike, next(notes)) for strike in strikes]
            rows = (velocities >= cell.velocities[0]) & (velocities <= cell.velocities[1])
            columns = slice(cell.keys[0], cell.keys[1] + 1)
            levels[rows, columns] = _levels_of(cell, heard)
            powers[:, rows, columns] = _powers_of(cell, heard)[:, np.newaxis]
            if (cell.keys, cell.tuning) not in pitches:
                pitches[cell.keys, cell.tuning] = _deviations_of(cell, heard)
            cents[rows, columns] = pitches[cell.keys, cell.tuning]
        attack_s, release_s = self._envelope(levels, velocities)
        both, left, right = self._products
        return PresetMeasurement(
            bank=self._preset.bank,
            number=self._preset.number,
            velocities=velocities,
            level_db=levels.ravel(),
            cents=np.where(np.isfinite(levels), cents, np.nan).astype(np.float32).ravel(),
            attack_s=attack_s,
            release_s=release_s,
            correlation=float(both / math.sqrt(left * right)) if left * right else 1.0,
            left_power=powers[0].ravel(),
            right_power=powers[1].ravel(),
            both_power=powers[2].ravel(),
        )

    def _plan(self, cells: Sequence[Cell]) -> list[list[_Strike]]:
        """Return the notes to be played of each cell; each tuning is measured once."""
        known: set[tuple[object, ...]] = set()
        plan = []
        for cell in cells:
            low, high = cell.keys
            is_new = self._is_pitched and (cell.keys, cell.tuning) not in known
            known.add((cell.keys, cell.tuning))
            n_steps = -(-(high - low) // (_STEP if is_new else 4 * _STEP))
            keys = np.linspace(low, high, n_steps + 1) if high - low > 2 else [(low + high) // 2]
            velocity = min(max(_VELOCITY, cell.velocities[0]), cell.velocities[1])
            first, last = _PITCHED_KEYS
            plan.append(
                [
                    _Strike(key, velocity, is_new and first <= key <= last)
                    for key in map(round, keys)
                ]
            )
        return plan

    def _play(self, strikes: Sequence[_Strike]) -> Iterator[Float32s]:
        """Yield (2, n_samples) of each note, all sound off after it."""
        for batch in (strikes[i : i + _BATCH] for i in range(0, len(strikes), _BATCH)):
            starts = np.cumsum([0, *(strike.n_samples for strike in batch)])
            events, frames = [], []
            for strike, start in zip(batch, starts, strict=False):
                events += [Event(0, bytes((0x90, strike.key, strike.velocity))), _ALL_SOUND_OFF]
                frames += [start, start + strike.n_samples - _GAP]
            audio = np.empty((2, int(starts[-1])), np.float32)
            self._synth.render(events, np.array(frames, np.int64), self._preset, audio)
            for start, end in pairwise(starts.tolist()):
                yield audio[:, start : end - _GAP]

    def _hear(self, strike: _Strike, note: Float32s) -> _Heard:
        left, right = note.astype(np.float64)
        products = [left @ right, left @ left, right @ right]
        self._products += products
        both, *alone = products
        powers = np.array([*alone, (alone[0] + alone[1] + 2 * both) / 4])
        mono = (note[0] + note[1]) / 2
        if is_lossy(*powers):
            mono = note[int(powers[1] > powers[0])]
        peak = float(np.abs(mono[:_STRUCK]).max())
        level_db = 20 * math.log10(peak) if peak else -math.inf
        cents = math.nan
        if strike.is_pitched and level_db > _SILENT_DBFS:
            found = find_pitch(mono[_ATTACK:], _RATE_HZ, hertz(strike.key))
            cents = found.cents if found.aperiodicity < UNSTABLE else math.nan
        return _Heard(strike.key, level_db, cents, powers / note.shape[1])

    def _envelope(self, levels: Float32s, velocities: Int32s) -> tuple[float, float]:
        """Return attack and release of one of the keys that sound."""
        layer = int(np.searchsorted(velocities, _VELOCITY, side="right")) - 1
        (keys,) = np.nonzero(np.isfinite(levels[layer]))
        if not len(keys):
            return math.nan, math.nan
        wanted = _MIDDLE_C if self._is_pitched else _SNARE
        key = int(keys[np.abs(keys - wanted).argmin()])
        out = np.empty(_LONG + _RELEASED, np.float32)
        events = [Event(0, bytes((0x90, key, _VELOCITY))), Event(0, bytes((0x80, key, 0)))]
        self._synth.render(events, np.array([0, _LONG]), self._preset, out)
        if not out.any():
            return math.nan, math.nan
        attack_s = samples_until_heard(out[:_LONG]) / _RATE_HZ
        peaks = np.abs(out).reshape(-1, BLOCK).max(axis=1)
        at_release = float(peaks[_LONG // BLOCK - _WINDOW : _LONG // BLOCK].max())
        if 20 * math.log10(max(at_release, 1e-20)) < _SILENT_DBFS:
            return attack_s, math.nan
        floor = at_release * 10 ** (-_RELEASE_DB / 20)
        (loud,) = np.nonzero(peaks[_LONG // BLOCK :] > floor)
        return attack_s, float((loud[-1] + 1 if len(loud) else 0) * BLOCK / _RATE_HZ)


def _levels_of(cell: Cell, heard: Sequence[_Heard]) -> Float32s:
    """Return the level of every key of a cell, in between on a straight line."""
    keys = np.arange(cell.keys[0], cell.keys[1] + 1)
    floor = 2 * _SILENT_DBFS
    known = [max(note.level_db, floor) for note in heard]
    levels = np.interp(keys, [note.key for note in heard], known)
    return np.where(levels > _SILENT_DBFS, levels, -np.inf).astype(np.float32)


def _powers_of(cell: Cell, heard: Sequence[_Heard]) -> Float32s:
    """Return the powers of every key of a cell, (3, n_keys), in between on straight lines."""
    keys = np.arange(cell.keys[0], cell.keys[1] + 1)
    places = [note.key for note in heard]
    rows = np.array([note.powers for note in heard]).T
    return np.stack([np.interp(keys, places, row) for row in rows]).astype(np.float32)


def _deviations_of(cell: Cell, heard: Sequence[_Heard]) -> Float32s:
    """Return the deviation of every key of a cell: octaves as of the nearest note."""
    keys = np.arange(cell.keys[0], cell.keys[1] + 1)
    stable = [note for note in heard if not math.isnan(note.cents)]
    if not stable:
        return np.full(len(keys), np.nan, np.float32)
    places, found = np.array([[note.key, note.cents] for note in stable]).T
    octaves = 1200 * np.rint(found / 1200)
    nearest = np.abs(keys[:, None] - places).argmin(axis=1)
    cents = octaves[nearest] + np.interp(keys, places, found - octaves)
    # A note without a stable pitch is no neighbour of one that has it.
    unstable = [note.key for note in heard if math.isnan(note.cents)]
    if unstable:
        gaps = np.abs(keys[:, None] - np.array(unstable)).min(axis=1)
        cents[np.abs(keys - places[nearest]) > gaps] = np.nan
    cents[(keys < _PITCHED_KEYS[0]) | (keys > _PITCHED_KEYS[1])] = np.nan
    deviations: Float32s = cents.astype(np.float32)
    return deviations
