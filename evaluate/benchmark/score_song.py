"""Scoring one song: what a system makes of its mixture, and how far that is from the truth.

SI-SDR is taken of mono audio at 16 kHz (Manilow et al. 2019, section 3.1), one number a song, and
oracles are made from what it is taken of. BSS Eval is taken of the audio as it is, or of the mean
of its channels (Brunner et al. 2019 and Chiu et al. 2020 separate mono audio), frame by frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import soxr
from stemsmith.evaluate.benchmark.datasets import DatasetSong
from stemsmith.evaluate.benchmark.oracle import Oracle, oracle_estimates
from stemsmith.evaluate.benchmark.song import SongAudio, Unscorable, read_estimate, read_song
from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
from stemsmith.evaluate.metrics.bsseval.frames import BssScores, Framing, SilenceRule
from stemsmith.evaluate.metrics.museval_engine import museval_bss_eval
from stemsmith.evaluate.metrics.museval_json import METRICS as BSS_METRICS
from stemsmith.evaluate.metrics.museval_json import write_track
from stemsmith.evaluate.metrics.ratios import si_sdr_db
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.records import Reason, Rejection

__all__ = ["SI_SDR", "STAGE", "Engine", "MetricOptions", "Score", "Scored", "SongJob", "run"]

SI_SDR: Final = "SI-SDR"
STAGE: Final = "evaluate"  # in rejections


class Engine(StrEnum):
    """Who computes BSS Eval."""

    STEMSMITH = "stemsmith"
    MUSEVAL = "museval"


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What is computed.

    Attributes
    ----------
    si_sdr_rate : int
        Rate in Hz at which SI-SDR is taken of mono audio.
    framing : Framing or None
        Windows of BSS Eval; None for no BSS Eval.
    silence : SilenceRule
        Of BSS Eval.
    engine : Engine
        Of BSS Eval.
    is_mono : bool
        Take BSS Eval of the mean of the channels.
    """

    si_sdr_rate: int = 16000
    framing: Framing | None = None
    silence: SilenceRule = SilenceRule.ALL
    engine: Engine = Engine.STEMSMITH
    is_mono: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a manifest."""
        framing = self.framing
        bss = framing and {
            "version": "v3" if framing.has_own_filters else "v4",
            "window_s": framing.window_s,
            "hop_s": framing.hop_s,
            "silence": str(self.silence),
            "engine": str(self.engine),
            "is_mono": self.is_mono,
        }
        return {"si_sdr_rate": self.si_sdr_rate, "bss": bss}


@dataclass(frozen=True, slots=True)
class Score:
    """One number: a row of ``scores.parquet``.

    Attributes
    ----------
    song, target : str
        Of what.
    frame : int or None
        Number of the window; None for a score of the whole song.
    metric : str
        ``SI-SDR``, or ``SDR``, ``SIR``, ``SAR``, ``ISR``.
    value : float
        In dB. NaN where nothing can be said; infinite for perfect or silent estimates.
    """

    song: str
    target: str
    frame: int | None
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class SongJob:
    """One song to score.

    Attributes
    ----------
    song : DatasetSong
        The song.
    targets : tuple of str
        Those that are scored. Others of the song are interference.
    oracle : Oracle or None
        Makes the estimates.
    estimates : tuple of (str, tuple of str) or None
        For each target the files that sum to its estimate. Where this and `oracle` are None, the
        estimate of every target is the mixture.
    metrics : MetricOptions
        What is computed.
    staged : str
        Folder in which estimates of runs wait for the job.
    scores, rejection, frames : str
        The files this job writes: its records, or why there are none, and museval's.
    """

    song: DatasetSong
    targets: tuple[str, ...]
    oracle: Oracle | None
    estimates: tuple[tuple[str, tuple[str, ...]], ...] | None
    metrics: MetricOptions
    staged: str
    scores: str
    rejection: str
    frames: str


class Scored(NamedTuple):
    """A song that has its scores, and its duration in s."""

    song: str
    duration_s: float


def run(job: SongJob) -> Scored | Rejection:
    """Score a song and write its records; the last file written makes it finished."""
    try:
        audio = read_song(job.song, job.targets)
        scores = list(_score(job, audio))
    except Unscorable as error:
        rejection = Rejection(job.song.name, STAGE, error.reason, error.detail)
        shards.write_records(Path(job.rejection), Rejection, [rejection])
        return rejection
    shards.write_records(Path(job.scores), Score, scores)
    return Scored(job.song.name, audio.mixture.shape[1] / audio.sample_rate)


def _score(job: SongJob, audio: SongAudio) -> Iterator[Score]:
    heard = [target for target in audio.targets if target in job.targets]
    given = None if job.estimates is None else _read_estimates(job, audio, heard)
    if heard:
        yield from _si_sdr_scores(job, audio, heard, given)
        if job.metrics.framing is not None:
            yield from _bss_scores(job, audio, heard, given)
    metrics = (SI_SDR,) if job.metrics.framing is None else (SI_SDR, *BSS_METRICS)
    for target in job.targets:
        if target not in heard:
            yield from (Score(job.song.name, target, None, name, math.nan) for name in metrics)


def _read_estimates(job: SongJob, audio: SongAudio, targets: Sequence[str]) -> Float32s:
    files_of = dict(job.estimates or ())
    estimates = np.empty((len(targets), *audio.mixture.shape), np.float32)
    for row, target in enumerate(targets):
        estimates[row] = read_estimate(files_of[target], audio, job.song.stems[0].path)
    return estimates


def _si_sdr_scores(
    job: SongJob, audio: SongAudio, targets: Sequence[str], given: Float32s | None
) -> Iterator[Score]:
    """Yield SI-SDR of mono audio (Slakh 3.1: 16 kHz), of which oracles are made too."""
    rates = audio.sample_rate, job.metrics.si_sdr_rate
    mixture = _mono(audio.mixture, *rates)
    references = np.array([_mono(each, *rates) for each in audio.references[: len(targets)]])
    if given is not None:
        given = np.array([_mono(estimate, *rates) for estimate in given])
    estimates = _estimates(job, references, mixture, rates[1], given)
    for target, reference, estimate in zip(targets, references, estimates, strict=True):
        yield Score(job.song.name, target, None, SI_SDR, si_sdr_db(reference, estimate))


def _mono(audio: Float32s, sample_rate: int, wanted_rate: int) -> Float32s:
    """Return the (1, n) mean of the channels at another rate."""
    mono: Float32s = audio.mean(axis=0)
    if sample_rate != wanted_rate:
        mono = soxr.resample(mono, sample_rate, wanted_rate, quality="HQ")
    return mono[np.newaxis]


def _estimates(
    job: SongJob, references: Float32s, mixture: Float32s, sample_rate: int, given: Float32s | None
) -> Float32s:
    """Return the estimates that are given, or are made of the mixture."""
    if given is not None:
        return given
    if job.oracle is not None:
        return oracle_estimates(job.oracle, references, mixture, sample_rate)
    return np.broadcast_to(mixture, references.shape)


def _bss_scores(
    job: SongJob, audio: SongAudio, targets: Sequence[str], given: Float32s | None
) -> Iterator[Score]:
    """Yield the frames of BSS Eval, and write them for museval."""
    if job.metrics.is_mono:
        mixture = audio.mixture.mean(axis=0, keepdims=True)
        references = audio.references.mean(axis=1, keepdims=True)
        audio = audio._replace(mixture=mixture, references=references)
        given = None if given is None else given.mean(axis=1, keepdims=True)
    references = audio.references[: len(targets)]
    estimates = _estimates(job, references, audio.mixture, audio.sample_rate, given)
    result = _bss_eval(job, audio, estimates)
    path = Path(job.frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_track(path, {target: (result, row) for row, target in enumerate(targets)})
    columns = (result.sdr_db, result.sir_db, result.sar_db, result.isr_db)
    for row, target in enumerate(targets):
        for metric, values in zip(BSS_METRICS, columns, strict=True):
            for frame, value in enumerate(values[row].tolist()):
                yield Score(job.song.name, target, frame, metric, value)


def _bss_eval(job: SongJob, audio: SongAudio, estimates: Float32s) -> BssScores:
    metrics, n = job.metrics, len(estimates)
    assert metrics.framing is not None
    framings = (metrics.framing,)
    references, others = audio.references[:n], audio.references[n:]
    if metrics.engine is Engine.STEMSMITH:
        return bss_eval(
            references, estimates, audio.sample_rate, framings,
            others=others, silence=metrics.silence,
        )[0]  # fmt: skip
    try:
        return museval_bss_eval(references, estimates, audio.sample_rate, framings)[0]
    except ValueError as error:
        raise Unscorable(Reason.SILENT, f"{job.song.name}: museval: {error}") from error
