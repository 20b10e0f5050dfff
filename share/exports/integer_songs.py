"""Songs of corpora as integers of 16 bits, stems and mixture, as their files have them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16, read_int16
from stemsmith.manifests.corpus import Track
from stemsmith.manifests.errors import InvalidCorpus, Unreadable
from stemsmith.manifests.records import Reason, Song
from stemsmith.mixing.level.gains import quantise
from stemsmith.share.exports.base import NotExportable
from stemsmith.share.exports.corpus_songs import RecordedFile, read_checked

__all__ = ["IntegerSong", "read_integers"]

_HIGHEST: Final = FULL_SCALE_16 - 1


class IntegerSong(NamedTuple):
    """The audio of a song.

    Attributes
    ----------
    mixture : numpy.ndarray
        (n_channels, n_samples) int16.
    stems : dict of str to numpy.ndarray
        (n_channels, n_samples) int16 of every stem, by its name; they add up to the mixture.
    gain_db : float
        Gain in dB that all of them got so that nothing clips; 0 for songs, which do not.
    """

    mixture: Int16s
    stems: dict[str, Int16s]
    gain_db: float


def read_integers(track: Track) -> IntegerSong:
    """Read the mixture and the stems of a song, or make those of a rendition.

    Parameters
    ----------
    track : Track
        A song of a corpus.

    Raises
    ------
    NotExportable
        If a file is missing, damaged, or not that of its record.
    """
    for stem in track.stems.values():
        read_checked(track.root, RecordedFile(stem.record.path, stem.record.sha256))
    if isinstance(track.record, Song):
        read_checked(track.root, RecordedFile(track.record.mix_path, track.record.mix_sha256))
    try:
        if isinstance(track.record, Song):
            stems = {
                name: read_int16(storage.inside(track.root, stem.record.path))[0]
                for name, stem in track.stems.items()
            }
            mixture, _ = read_int16(storage.inside(track.root, track.record.mix_path))
            return IntegerSong(mixture, stems, 0.0)
        return _rendition(track)
    except Unreadable as error:
        raise NotExportable(Reason.MISSING, str(error)) from error
    except InvalidCorpus as error:
        raise NotExportable(Reason.DAMAGED, str(error)) from error


def _rendition(track: Track) -> IntegerSong:
    """Return the stems of a rendition, which are moved and turned up or down, and their sum."""
    audio = {name: stem.audio for name, stem in track.stems.items()}
    peak = float(np.abs(np.sum(list(audio.values()), axis=0)).max(initial=0.0))
    highest = max([peak, *(float(np.abs(one).max(initial=0.0)) for one in audio.values())])
    # Rounding may add half a step for each stem.
    room = (_HIGHEST - len(audio)) / FULL_SCALE_16
    gain_db = min(0.0, 20 * np.log10(room / highest)) if highest > 0 else 0.0
    stems = {name: quantise(one, gain_db, FULL_SCALE_16) for name, one in audio.items()}
    mixture: Int16s = np.sum(np.stack(list(stems.values())), axis=0, dtype=np.int16)
    return IntegerSong(mixture, stems, round(float(gain_db), 4))
