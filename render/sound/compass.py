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

__all__ = ["Compass", "compass_of", "has_own_octave", "octave_of", "velocity_db"]

IN_TUNE_CENTS: Final = 30.0
_DRUM_BANKS: Final = frozenset({120, 128})
_REFERENCE_VELOCITY: Final = 100
_HEARD_DB: Final = 60.0  # below the loudest key of a preset: not heard
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
    """

    velocities: Int32s
    levels_db: Float32s
    errors_cents: Float32s

    def layers_of(self, velocity: npt.ArrayLike) -> Int64s:
        """Return the layer of each velocity, 1 to 127 (same shape)."""
        layers: Int64s = np.searchsorted(self.velocities, velocity, side="right") - 1
        return layers

    def notes_db(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Float64s:
        """Return the peak of notes in dB below full scale, volume and expression as at a reset.

        Parameters
        ----------
        pitch, velocity : array_like
            (n_notes,) MIDI numbers; velocities from 1 on.

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
        return levels

    def sounding_pitch(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Float32s:
        """Return the pitch that notes sound at, (n_notes,): the key's own where it is in tune."""
        errors = self.errors_cents[self.layers_of(velocity), np.asarray(pitch)]
        sounding: Float32s = (np.asarray(pitch) + errors / 100).astype(np.float32)
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


def compass_of(measured: PresetMeasurement, octaves: Collection[int]) -> Compass:
    """Judge what was measured of a preset.

    Parameters
    ----------
    measured : PresetMeasurement
        What was heard of it.
    octaves : collection of int
        Octaves at which other presets of its class sound, which it may have too.

    Returns
    -------
    Compass
        The notes it plays.
    """
    levels = measured.levels_db
    loudest = levels.max(axis=1, keepdims=True)
    heard = np.where(levels >= loudest - _HEARD_DB, levels, -np.inf)
    errors = np.zeros_like(levels)
    if _has_pitch(measured):
        cents = measured.deviations
        allowed = [0, *octaves, *_OWN_OCTAVES.get(measured.number, ())]
        nearest = np.min([np.abs(cents - 1200 * octave) for octave in allowed], axis=0)
        is_wrong = np.isfinite(heard) & (nearest > IN_TUNE_CENTS)  # NaN is not wrong
        errors = np.where(is_wrong, cents, 0).astype(np.float32)
    return Compass(measured.velocities, heard.astype(np.float32), errors)


def _has_pitch(measured: PresetMeasurement) -> bool:
    """Return whether the keys of a preset agree, be it that all are in tune or none is."""
    if measured.bank in _DRUM_BANKS or measured.number in _WITHOUT_PITCH:
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
