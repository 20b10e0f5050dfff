"""What rendering a corpus will take: hours of music, room on the disk, and time.

The figures are those of 14 songs with 88 stems: FLAC takes half of what samples take in mixtures,
and a fifth in stems, which are silent for much of the time. With ten stems a song, that is 0.75 GB
an hour of mixture at 44,100 Hz.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stemsmith.manifests.programs import DrumPiece
from stemsmith.render.corpus.config import NONE, Master, RenderConfig
from stemsmith.render.corpus.forecast import (
    RECORD_BYTES_PER_STEM_S,
    check_room,
    cost_in_words,
    in_short,
)
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.mixdown import n_staged_bytes

__all__ = ["Forecast", "forecast"]

_BYTES_PER_SAMPLE_OF_MIX: Final = 1.0
_BYTES_PER_SAMPLE_OF_STEM: Final = 0.37
_CORE_S_PER_STEM_S: Final = 1 / 360  # a mixture counts as a stem
# What production takes on top, for a second of a stem or of a mixture.
_EFFECTS_CORE_S: Final = 0.0014
_ROOM_CORE_S: Final = 0.0013
_EQUALISER_CORE_S: Final = 0.0016
_BUS_CORE_S: Final = 0.006
_CODEC_CORE_S: Final = 0.02
_COST_OF_CHANNELS: Final = {1: 1.0, 2: 1.3}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What rendering some songs will take.

    Attributes
    ----------
    n_songs : int
        Number of songs.
    mixture_s : float
        Length of all mixtures in seconds.
    n_bytes : int
        Size of all files.
    n_staged_bytes : int
        Room that the largest song needs while it is rendered, and the largest tar while it and the
        folders of its songs are there, on top.
    core_s : float
        Seconds that one core needs.
    """

    n_songs: int
    mixture_s: float
    n_bytes: int
    n_staged_bytes: int
    core_s: float

    def sentence(self, n_workers: int) -> str:
        """Return one line for a person."""
        songs = "1 song" if self.n_songs == 1 else f"{self.n_songs} songs"
        cost = cost_in_words(self.n_bytes, self.core_s, n_workers)
        return f"{songs}, {in_short(self.mixture_s / 3600)} h of mixture: {cost}"

    def check_room(self, corpus: Path) -> None:
        """Refuse what the disk cannot hold.

        Raises
        ------
        UsageError
            Naming the folder, what is needed and what is free.
        """
        check_room(corpus, self.n_bytes + self.n_staged_bytes, "draw fewer --songs")


def forecast(jobs: Sequence[RenderJob]) -> Forecast:
    """Say what rendering takes.

    Parameters
    ----------
    jobs : sequence of RenderJob
        The songs that are not finished yet.
    """
    mixture_s = n_bytes = core_s = 0.0
    n_staged = 0
    in_tars: Counter[str] = Counter()
    for job in jobs:
        n_stems = sum(patch is not None for patch in job.patches)
        song_s = job.song.duration_s + job.config.tail_s
        n_channels = job.config.n_channels
        n_samples = song_s * job.config.sample_rate * n_channels
        mixture_s += song_s
        n_natives = n_stems
        if job.config.drum_pieces:
            parts = zip(job.song.parts, job.patches, strict=True)
            n_kits = sum(part.is_drum and patch is not None for part, patch in parts)
            n_stems, n_natives = n_stems + n_kits, n_natives + n_kits * len(DrumPiece)
        core_s += song_s * (n_stems + 1) * _CORE_S_PER_STEM_S * _COST_OF_CHANNELS[n_channels]
        core_s += song_s * _production_core_s(job.config, n_stems)
        stem_bytes = n_stems * _BYTES_PER_SAMPLE_OF_STEM * (1 + job.config.dry)
        n_mixtures = 1 + job.config.has_master
        if job.is_lazy:
            n_song_bytes = n_stems * song_s * n_channels * RECORD_BYTES_PER_STEM_S
        else:
            n_song_bytes = n_samples * (n_mixtures * _BYTES_PER_SAMPLE_OF_MIX + stem_bytes)
        n_bytes += n_song_bytes
        if job.tar is not None:
            in_tars[job.tar.name] += round(n_song_bytes)
        n_staged = max(n_staged, n_staged_bytes(round(n_samples), n_natives, job.config.dry))
    n_staged += max(in_tars.values(), default=0)
    return Forecast(len(jobs), mixture_s, round(n_bytes), n_staged, core_s)


def _production_core_s(config: RenderConfig, n_stems: int) -> float:
    """Return the core seconds that production takes for a second of a song."""
    per_stem = (
        _EFFECTS_CORE_S * (config.effects != NONE)
        + _ROOM_CORE_S * (config.room != NONE)
        + _EQUALISER_CORE_S * config.equalise
    )
    per_mixture = _BUS_CORE_S * (config.master is Master.BUS) + _CODEC_CORE_S * bool(config.codec)
    return (n_stems * per_stem + per_mixture) * _COST_OF_CHANNELS[config.n_channels]
