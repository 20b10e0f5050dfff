"""Which notes a patch plays: the keys and velocities at which it is heard, and how far off it is.

A preset is measured against its key (`stemsmith.render.sound.measurement`); here that is judged.
Out of tune is more than 30 cents off. An octave counts as wrong unless instruments of the kind are
like that (16-foot organ stops, timpani, guitar harmonics, glockenspiel, a lead in fifths) or other
presets of the class have it too. What has no stable pitch is judged by its sound alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from stemsmith.render.sound.measurement import PresetMeasurement
from stemsmith.render.sound.mono import MonoFrom, is_lossy, mono_from
from stemsmith.render.sound.sf2 import DRUM_BANKS

__all__ = ["Compass", "compass_of", "has_own_octave", "octave_of", "velocity_db"]

IN_TUNE_CENTS: Final = 30.0
_REFERENCE_VELOCITY: Final = 100
_HEARD_DB: Final = 60.0  # below the loudest key of a preset: not heard
_FAINT_DBFS: Final = -54.0
_JUDGED_KEYS: Final = slice(36, 85)  # what tells whether a preset has a pitch, and its octave
_STEADY_CENTS: Final = 60.0  # spread of the deviations of a preset that is out of tune throughout

# Octaves that instruments of a General MIDI program sound at, besides that of the key.
_OWN_OCTAVES: Final[dict[int, tuple[int, ...]]] = {
    9: (1,),  # glockenspiel
    **dict.fromkeys((16, 17, 18, 19), (-2, -1)),  # 16-foot and 32-foot stops
    31: (1, 2),  # guitar harmonics
    47: (-1,),  # timpani
    86: (-2, -1),  # a fifth repeats at the octave below its root
    97: (-1,),  # soundtrack, which has a fifth too
}
# Bells, crystal, percussion and noises: their partials are no harmonics of any key.
_WITHOUT_PITCH: Final = frozenset({9, 14, 98, *range(112, 128)})


@dataclass(frozen=True, slots=True, eq=False)
class Compass:
    """The notes that a preset plays.

    Attributes
    ----------
    velocities : numpy.ndarray
        (n_layers,) lowest velocity of each layer; the first is 1.
    levels_db : numpy.ndarray
        (n_layers, 128) peak of each key in dB below full scale, at velocity 100 or the nearest of
        the layer; -inf where the key is not heard.
    errors_cents : numpy.ndarray
        (n_layers, 128) how far the key sounds from where it should; 0 where it is in tune, is not
        heard, or has no pitch to be judged.
    powers : numpy.ndarray or None
        (3, n_layers, 128) mean squares of the left channel, the right channel and
        (left + right) / 2 of each key; None where nobody looked.
    octaves : numpy.ndarray or None
        (n_layers, 128) octaves from a key to where it sounds and may sound, such as -1 for a
        16-foot stop; 0 where it is at its key, out of tune, or without a pitch. None is all 0.
    """

    velocities: Int32s
    levels_db: Float32s
    errors_cents: Float32s
    powers: Float32s | None = None
    octaves: Int32s | None = None

    @property
    def is_faint(self) -> bool:
        """Whether no key is loud enough for music with the controllers as they are at a reset.

        Such presets wait for a controller, as those called "Expr." in MuseScore_General do for the
        breath controller (CC2): they peak at -58 dB at most, all others of eight soundfonts at -48
        dB at least.
        """
        return float(self.levels_db.max(initial=-np.inf)) < _FAINT_DBFS

    def has_keys(self, keys: Collection[int]) -> bool:
        """Return whether all of some keys are heard, at whatever velocity."""
        heard = np.isfinite(self.levels_db[:, list(keys)]).any(axis=0)
        return bool(heard.all())

    def layers_of(self, velocity: npt.ArrayLike) -> Int64s:
        """Return the layer of each velocity, 1 to 127 (same shape)."""
        layers: Int64s = np.searchsorted(self.velocities, velocity, side="right") - 1
        return layers

    def mono_from(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> MonoFrom:
        """Return what a mono stem of some notes is: the sum of the channels, or one of them.

        Parameters
        ----------
        pitch, velocity : array_like
            (n_notes,) MIDI numbers; velocities from 1 on.
        """
        if self.powers is None:
            return MonoFrom.SUM
        return mono_from(*self.powers[:, self.layers_of(velocity), np.asarray(pitch)])

    def notes_db(
        self,
        pitch: npt.ArrayLike,
        velocity: npt.ArrayLike,
        mono_from: MonoFrom = MonoFrom.SUM,
    ) -> Float64s:
        """Return the peak of notes in dB below full scale, volume and expression as at a reset.

        Parameters
        ----------
        pitch, velocity : array_like
            (n_notes,) MIDI numbers; velocities from 1 on.
        mono_from : MonoFrom
            What of the two channels their stem is.

        Returns
        -------
        numpy.ndarray
            (n_notes,) with -inf for notes that are not heard.
        """
        layers, velocity = self.layers_of(velocity), np.asarray(velocity, np.float64)
        lowest = np.append(self.velocities, 128)
        reference = np.clip(_REFERENCE_VELOCITY, lowest[layers], lowest[layers + 1] - 1)
        change: Float64s = velocity_db(velocity) - velocity_db(reference)
        levels: Float64s = self.levels_db[layers, np.asarray(pitch)] + change
        if mono_from is not MonoFrom.SUM and self.powers is not None:
            levels = levels + _change_db(self.powers[:, layers, np.asarray(pitch)], mono_from)
        return levels

    def sounding_pitch(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Float32s:
        """Return the pitch that notes sound at, (n_notes,).

        It is the key's own where it is in tune, or whole octaves from it where the instrument is
        like that.
        """
        where = self.layers_of(velocity), np.asarray(pitch)
        away = self.errors_cents[where] / 100
        if self.octaves is not None:
            away = away + 12 * self.octaves[where]
        sounding: Float32s = (np.asarray(pitch) + away).astype(np.float32)
        return sounding

    def plays(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Bools:
        """Return which notes are heard and in tune, (n_notes,)."""
        layers, pitch = self.layers_of(velocity), np.asarray(pitch)
        is_heard = np.isfinite(self.levels_db[layers, pitch])
        played: Bools = is_heard & (self.errors_cents[layers, pitch] == 0)
        return played


def velocity_db(velocity: npt.ArrayLike) -> Float64s:
    """Return the level of a velocity, a volume or an expression (1 to 127) against 127, in dB.

    The concave curve of 96 dB in the SoundFont Technical Specification 2.04, sections 8.4.1, 8.4.5
    and 9.5, which FluidSynth has.
    """
    decibels: Float64s = 40 * np.log10(np.asarray(velocity, np.float64) / 127)
    return decibels


def _change_db(powers: Float32s, mono_from: MonoFrom) -> Float64s:
    """Return by how much one channel is louder than what `levels_db` is of, in dB."""
    left, right, both = powers.astype(np.float64)
    alone = np.where(is_lossy(left, right, both), np.maximum(left, right), both)
    wanted = left if mono_from is MonoFrom.LEFT else right
    with np.errstate(divide="ignore", invalid="ignore"):
        change: Float64s = np.where(alone > 0, 10 * np.log10(wanted / alone), 0.0)
    return change


def octave_of(measured: PresetMeasurement) -> int | None:
    """Return the octave that a preset sounds at, 0 for that of its keys; None without a pitch."""
    cents = _judged(measured)
    octaves = np.rint(cents / 1200)
    octaves = octaves[np.abs(cents - 1200 * octaves) <= IN_TUNE_CENTS].astype(np.int64)
    if 2 * len(octaves) <= len(cents) or not len(octaves):
        return None
    found, counts = np.unique(octaves, return_counts=True)
    return int(found[counts.argmax()])


def has_own_octave(measured: PresetMeasurement) -> bool:
    """Return whether the instrument of a preset is known to sound at another octave."""
    return measured.number in _OWN_OCTAVES


def compass_of(
    measured: PresetMeasurement, octaves: Collection[int], is_drum: bool = False
) -> Compass:
    """Judge what was measured of a preset.

    Parameters
    ----------
    measured : PresetMeasurement
        What was heard of it.
    octaves : collection of int
        Octaves at which other presets of its class sound, which it may have too.
    is_drum : bool
        Whether it plays drums, in whatever bank it lies: its keys then have no pitch.

    Returns
    -------
    Compass
        The notes it plays.
    """
    levels = measured.levels_db
    loudest = levels.max(axis=1, keepdims=True)
    heard = np.where(levels >= loudest - _HEARD_DB, levels, -np.inf)
    errors, shifts = np.zeros_like(levels), np.zeros(levels.shape, np.int32)
    if not is_drum and _has_pitch(measured):
        cents = measured.deviations
        allowed = [0, *octaves, *_OWN_OCTAVES.get(measured.number, ())]
        off = np.abs(np.stack([cents - 1200 * octave for octave in allowed]))
        nearest = off.min(axis=0)
        is_wrong = np.isfinite(heard) & (nearest > IN_TUNE_CENTS)  # NaN is not wrong
        errors = np.where(is_wrong, cents, 0).astype(np.float32)
        is_right = np.isfinite(heard) & (nearest <= IN_TUNE_CENTS)
        found = np.where(is_right, np.array(allowed, np.int32)[off.argmin(axis=0)], 0)
        shifts = np.stack([*map(_as_neighbours, found, is_right, heard > -np.inf)])
        shifts[is_wrong] = 0
    levels_db = heard.astype(np.float32)
    return Compass(measured.velocities, levels_db, errors, measured.powers, shifts)


def _as_neighbours(octaves: Int32s, is_known: Bools, is_heard: Bools) -> Int32s:
    """Return the octaves of all keys that are heard: where unknown, those of the nearest known."""
    (known,) = np.nonzero(is_known)
    if not len(known):
        return np.zeros_like(octaves)
    nearest = known[np.abs(np.arange(len(octaves))[:, np.newaxis] - known).argmin(axis=1)]
    filled: Int32s = np.where(is_heard, octaves[nearest], 0).astype(np.int32)
    return filled


def _has_pitch(measured: PresetMeasurement) -> bool:
    """Return whether the keys of a preset agree, be it that all are in tune or none is."""
    if measured.bank in DRUM_BANKS or measured.number in _WITHOUT_PITCH:
        return False
    cents = _judged(measured)
    if not len(cents):
        return False
    from_octave = (cents + 600) % 1200 - 600
    is_mostly_in_tune = 2 * np.sum(np.abs(from_octave) <= IN_TUNE_CENTS) > len(cents)
    quarter, three_quarters = np.percentile(from_octave, [25, 75])
    return bool(is_mostly_in_tune or three_quarters - quarter <= _STEADY_CENTS)


def _judged(measured: PresetMeasurement) -> Float32s:
    """Return the deviations of the keys in the middle; none if most of them have no pitch."""
    layer = int(np.searchsorted(measured.velocities, _REFERENCE_VELOCITY, side="right")) - 1
    cents = measured.deviations[layer, _JUDGED_KEYS]
    n_heard = int(np.isfinite(measured.levels_db[layer, _JUDGED_KEYS]).sum())
    known: Float32s = cents[np.isfinite(cents)]
    return known if 2 * len(known) > n_heard else known[:0]
