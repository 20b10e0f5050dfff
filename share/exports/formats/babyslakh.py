"""BabySlakh's layout: ``babyslakh_16k/TrackNNNNN/{mix,stems/SNN}.wav``, 16 kHz, mono, and scores.

BabySlakh is the first twenty tracks of Slakh2100, made small for trying things out; it has no
splits. Audio is resampled, and the mean of its channels is taken. Where the mixture of the corpus
is the sum of its stems, so it is here, of the files to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.audio.read import decode
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Reason
from stemsmith.render.songs.metadata import MIX
from stemsmith.share.exports.base import NotExportable, PlannedFile
from stemsmith.share.exports.track_folders import TrackFile, TrackFolderFormat, TrackSong
from stemsmith.share.exports.writing import (
    n_resampled,
    n_wav_bytes,
    resampled,
    rounded_together,
    write_wav,
)

__all__ = ["FORMAT", "BabySlakhFormat"]

_SAMPLE_RATE: Final = 16000


class BabySlakhFormat(TrackFolderFormat):
    """Folders as BabySlakh has them."""

    summary = "BabySlakh: babyslakh_16k/TrackNNNNN, WAV of 16 kHz and one channel, MIDI, metadata"
    top = "babyslakh_16k"

    def folder_of(self, song: TrackSong) -> str:
        """Return the folder of a song."""
        return song.name

    def planned(self, song: TrackSong, file: TrackFile) -> PlannedFile:
        """Return the file as WAV."""
        n_samples = n_resampled(song.n_samples, song.sample_rate, _SAMPLE_RATE)
        return PlannedFile(_as_wav(file.place), n_wav_bytes(n_samples, 1))

    def write_audio(self, song: TrackSong, folder: Path) -> Mapping[str, Any]:
        """Write mixture and stems."""
        signals = {}
        for file in song.files:
            if file.is_audio:
                try:
                    audio, sample_rate = decode(file.read(), file.path)
                except InvalidCorpus as error:
                    raise NotExportable(Reason.DAMAGED, str(error)) from error
                mono = audio.mean(axis=0, keepdims=True)
                signals[_as_wav(file.place)] = resampled(mono, sample_rate, _SAMPLE_RATE)
        integers, gain_db = rounded_together(signals, _as_wav(MIX) if song.is_sum else None)
        for place, samples in integers.items():
            write_wav(folder / place, samples, _SAMPLE_RATE)
        return {"gain_db": gain_db}


def _as_wav(place: str) -> str:
    return f"{place.removesuffix('.flac')}.wav"


FORMAT: Final = BabySlakhFormat()
