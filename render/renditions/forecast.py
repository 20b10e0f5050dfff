"""What rendering a corpus of renditions will take: stems, room on the disk, and time.

Each stem counts once, however many renditions use it. The figures are those of 60 stems of
chorales and of songs: at 44,100 Hz a sample of 24 bits takes 1.07 bytes where a part plays all the
time, and 0.78 in songs. At 16,000 Hz it takes half as much again, of which nothing is made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stemsmith.render.corpus.config import Drums
from stemsmith.render.corpus.forecast import (
    RECORD_BYTES_PER_STEM_S,
    check_room,
    cost_in_words,
    in_short,
)
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.renditions.plan import RenditionPlan
from stemsmith.render.renditions.render import StemJob

__all__ = ["RenditionForecast", "forecast_renditions"]

_BYTES_PER_SAMPLE: Final = 1.1
_CORE_S_PER_STEM_S: Final = 1 / 250


@dataclass(frozen=True, slots=True)
class RenditionForecast:
    """What rendering some stems will take.

    Attributes
    ----------
    n_stems : int
        Number of stems.
    audio_s : float
        Length of all of them in seconds.
    n_bytes : int
        Size of all files.
    core_s : float
        Seconds that one core needs.
    """

    n_stems: int
    audio_s: float
    n_bytes: int
    core_s: float

    def sentence(self, n_workers: int) -> str:
        """Return one line for a person."""
        stems = "1 stem" if self.n_stems == 1 else f"{self.n_stems} stems"
        cost = cost_in_words(self.n_bytes, self.core_s, n_workers)
        return f"{stems}, {in_short(self.audio_s / 3600)} h of audio: {cost}"

    def times(self, factor: float) -> RenditionForecast:
        """Return what several times as many stems will take."""
        return RenditionForecast(
            round(self.n_stems * factor),
            self.audio_s * factor,
            round(self.n_bytes * factor),
            self.core_s * factor,
        )

    def check_room(self, corpus: Path) -> None:
        """Refuse what the disk cannot hold.

        Raises
        ------
        UsageError
            Naming the folder, what is needed and what is free.
        """
        check_room(corpus, self.n_bytes, "vary less, or ask for fewer --renditions")


def forecast_renditions(jobs: Sequence[StemJob], plan: RenditionPlan) -> RenditionForecast:
    """Say what rendering takes.

    Parameters
    ----------
    jobs : sequence of StemJob
        The stems that are not finished yet.
    plan : RenditionPlan
        What they are of. Scores whose tempo is asked for in BPM are read for their own tempo.
    """
    written_s = {piece.chosen.song.path: piece.chosen.song.duration_s for piece in plan.pieces}
    n_stems, audio_s, n_bytes = 0, 0.0, 0.0
    for job in jobs:
        config = job.config
        ends_s = _end_s(job, written_s[job.source])
        stems_s = len(job.specs) * (ends_s + 3 * config.deviations.onset_s + config.tail_s)
        n_stems += len(job.specs)
        audio_s += stems_s
        if job.is_lazy:
            n_bytes += stems_s * config.n_channels * RECORD_BYTES_PER_STEM_S
        else:
            n_bytes += stems_s * config.sample_rate * config.n_channels * _BYTES_PER_SAMPLE
    return RenditionForecast(n_stems, audio_s, round(n_bytes), audio_s * _CORE_S_PER_STEM_S)


def _end_s(job: StemJob, written_s: float) -> float:
    """Return when the last note of a score ends at the tempo of a job, in seconds."""
    if job.tempo.bpm is None:
        return written_s / (job.tempo.factor or 1)
    try:
        _, score = load_score(
            job.score,
            job.config.max_duration_s,
            are_drums_joined=job.config.drums is Drums.JOINED,
        )
    except Unusable:  # which rendering will say
        return written_s
    tempo_map = job.tempo.of(score.tempo_map, job.config.tempo_mode, score.first_tick)
    return float(tempo_map.seconds(score.end_tick))
