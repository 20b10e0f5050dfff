"""The key of a song from its notes, after Krumhansl and Schmuckler.

How long each of the twelve pitch classes sounds is correlated with the profiles that Krumhansl and
Kessler (1982) measured for major and minor, in each of their twelve transpositions; the key is the
one that fits best. It is right for most tonal music and knows nothing of modulations: what a song
is mostly in is what is said of it. The key signatures that MIDI files carry are not asked, since
most of them say C major because nobody set them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float64s

__all__ = ["KEYS", "key_of"]

_TONICS: Final = (
    "C",
    "D\u266d",
    "D",
    "E\u266d",
    "E",
    "F",
    "F\u266f",
    "G",
    "A\u266d",
    "A",
    "B\u266d",
    "B",
)
KEYS: Final = (*(f"{t} major" for t in _TONICS), *(f"{t} minor" for t in _TONICS))
# Krumhansl and Kessler, Psychological Review 89 (1982), as given in Krumhansl, Cognitive
# Foundations of Musical Pitch (1990), p. 30.
_MAJOR: Final = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR: Final = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def key_of(durations: Float64s) -> str | None:
    """Return the key that fits the durations of pitch classes best.

    Parameters
    ----------
    durations : numpy.ndarray
        (12,) how long each pitch class sounds, from C on, in any unit.

    Returns
    -------
    str or None
        One of `KEYS`; None where nothing sounds, or all pitch classes equally long.
    """
    if not np.isfinite(durations).all() or np.ptp(durations) <= 0:
        return None
    shapes = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    fits = [np.corrcoef(durations, shape)[0, 1] for shape in shapes]
    return KEYS[int(np.argmax(fits))]
