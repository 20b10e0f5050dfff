"""Scoring one song: what a system makes of its mixture, and how far that is from the truth.

SI-SDR is taken of mono audio at 16 kHz (Manilow et al. 2019, section 3.1), one number a song, and
oracles are made from what it is taken of. BSS Eval is taken of the audio as it is, or of the mean
of its channels (Brunner et al. 2019 and Chiu et al. 2020 separate mono audio), frame by frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import soxr
from stemsmith.evaluate.benchmark.datasets import DatasetSong
from stemsmith.evaluate.benchmark.options import Lengths
from stemsmith.evaluate.benchmark.oracle import Oracle, oracle_estimates
from stemsmith.evaluate.benchmark.results import REJECTED_BY, EstimateFit, SongScore
from stemsmith.evaluate.benchmark.song import Fit, SongAudio, Unscorable, read_estimate, read_song
from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
from stemsmith.evaluate.metrics.bsseval.frames import BssScores, Framing
from stemsmith.evaluate.metrics.museval_engine import museval_bss_eval
from stemsmith.evaluate.metrics.museval_json import write_track
from stemsmith.evaluate.metrics.options import Engine, MetricConfig
from stemsmith.evaluate.metrics.registry import Metric, song_metrics
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection

__all__ = ["ScoredSong", "ScoringJob", "score_song"]


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """One song to score.

    Attributes
    ----------
    song : DatasetSong
        The song with the files of its stems.
    targets : tuple of str
        Targets that are scored. Others of the song are interference.
    oracle : Oracle or None
        The oracle that makes the estimates, if one does.
    estimates : tuple of (str, tuple of str) or None
        For each target the files that sum to its estimate. Where this and `oracle` are None, the
        estimate of every target is the mixture.
    metrics : MetricConfig
        The metrics that are taken.
    staged : str
        Folder in which estimates of runs wait for the job.
    scores : str
        File that the job writes its scores to.
    rejection : str
        File that it writes instead where the song cannot be scored, saying why.
    frames : str
        File that it writes the frames of BSS Eval to, for museval to read.
    lengths : Lengths
        Whether estimates are made to fit the song.
    fits : str
        File that it writes what was fitted to, where that is wanted.
    time : str
        File that holds how long its separation took, where it was separated here.
    """

    song: DatasetSong
    targets: tuple[str, ...]
    oracle: Oracle | None
    estimates: tuple[tuple[str, tuple[str, ...]], ...] | None
    metrics: MetricConfig
    staged: str
    scores: str
    rejection: str
    frames: str
    lengths: Lengths = Lengths.REFUSE
    fits: str = ""
    time: str = ""


class ScoredSong(NamedTuple):
    """A song that has its scores.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    duration_s : float
        Its length in seconds.
    """

    song: str
    duration_s: float


def score_song(job: ScoringJob) -> ScoredSong | Rejection:
    """Score a song and write its records; the last file written makes it finished.

    One that was rejected already, since it could not be separated, stays so.
    """
    if place(job.rejection).exists():
        return shards.read_records(place(job.rejection), Rejection)[0]
    try:
        audio = read_song(job.song, job.targets)
        scores = list(_scores(job, audio))
    except Unscorable as error:
        recheck(error)
        rejection = Rejection(job.song.name, REJECTED_BY, error.reason, error.detail)
        shards.write_records(place(job.rejection), Rejection, [rejection])
        return rejection
    shards.write_records(place(job.scores), SongScore, scores)
    return ScoredSong(job.song.name, audio.mixture.shape[1] / audio.sample_rate)


def _scores(job: ScoringJob, audio: SongAudio) -> Iterator[SongScore]:
    song, framing = job.song.name, job.metrics.framing
    of_song = song_metrics(job.metrics.more_metrics)
    heard = [target for target in audio.targets if target in job.targets]
    silent = _silent_targets(job, heard, of_song)
    scored = [*heard, *silent]
    given = None if job.estimates is None else _read_estimates(job, audio, scored)
    if scored:
        has_others = any("others" in metric.needs for metric in of_song)
        signals = _Signals(job, audio, (len(heard), len(silent)), given, has_others)
        for metric in of_song:
            compared = signals.mono if metric.is_mono else signals.whole
            for row, target in enumerate(scored if metric.is_of_silence else heard):
                yield SongScore(song, target, None, metric.name, compared.score(metric, row))
        if framing is not None and heard:
            compared = signals.downmix if job.metrics.is_mono else signals.whole
            yield from _bss_scores(job, compared, heard, framing)
    for target in job.targets:
        if target not in heard:
            for metric in (*of_song, *job.metrics.bss_metrics):
                if not (metric.is_of_silence and target in silent):
                    yield SongScore(song, target, None, metric.name, math.nan)


def _silent_targets(job: ScoringJob, heard: Sequence[str], metrics: Sequence[Metric]) -> list[str]:
    """Return targets that are silent, or not there, and yet scored: those that have estimates."""
    if not any(metric.is_of_silence for metric in metrics):
        return []
    silent = [target for target in job.targets if target not in heard]
    if job.estimates is None:
        return silent
    files_of = dict(job.estimates)
    return [target for target in silent if target in files_of]


def _read_estimates(job: ScoringJob, audio: SongAudio, targets: Sequence[str]) -> Float32s:
    files_of, is_fitting = dict(job.estimates or ()), job.lengths is Lengths.FIT
    estimates = np.empty((len(targets), *audio.mixture.shape), np.float32)
    rows: list[EstimateFit] = []
    for row, target in enumerate(targets):
        fits: list[Fit] | None = [] if is_fitting else None
        estimates[row] = read_estimate(
            files_of[target], audio, job.song.stems[0].path, fits, is_mono=job.metrics.is_mono
        )
        rows += [EstimateFit(job.song.name, target, *fit) for fit in fits or ()]
    if is_fitting:
        shards.write_records(place(job.fits), EstimateFit, rows)
    return estimates


class _Compared(NamedTuple):
    """What a metric is taken of.

    Attributes
    ----------
    references, estimates : numpy.ndarray
        (n_targets, n_channels, n_samples) float32; estimates may be more, of silent targets.
    others : numpy.ndarray
        (n_others, n_channels, n_samples) float32 of sources without an estimate.
    mixture : numpy.ndarray
        (n_channels, n_samples) float32.
    sample_rate : int
        Sample rate of all of them in Hz.
    """

    references: Float32s
    estimates: Float32s
    others: Float32s
    mixture: Float32s
    sample_rate: int

    def score(self, metric: Metric, row: int) -> float:
        """Return the score of an estimate."""
        is_heard, needed = row < len(self.references), dict[str, Float32s]()
        if "others" in metric.needs:
            kept = [k for k in range(len(self.references)) if k != row]
            needed["others"] = np.concatenate([self.references[kept], self.others])
        if "mixture" in metric.needs:
            needed["mixture"] = self.mixture
        reference = self.references[row] if is_heard else np.zeros_like(self.mixture)
        assert metric.compute is not None
        return float(metric.compute(reference, self.estimates[row], self.sample_rate, **needed))


class _Signals:
    """A song beside its estimates, in each of the forms that metrics are taken of."""

    def __init__(
        self,
        job: ScoringJob,
        audio: SongAudio,
        n_targets: tuple[int, int],  # that are heard, and silent ones that are scored all the same
        given: Float32s | None,
        has_others: bool,  # whether a metric of mono audio asks for all sources
    ) -> None:
        self._oracle, self._rate = job.oracle, job.metrics.si_sdr_rate
        self._audio, self._given, self._has_others = audio, given, has_others
        self._n_heard, self._n_silent = n_targets

    @cached_property
    def whole(self) -> _Compared:
        """The audio as it is."""
        audio = self._audio
        return self._compared(audio.references, audio.mixture, audio.sample_rate, self._given)

    @cached_property
    def downmix(self) -> _Compared:
        """The mean of the channels, (1, n_samples) of each source."""
        audio, given = self._audio, self._given
        return self._compared(
            audio.references.mean(axis=1, keepdims=True),
            audio.mixture.mean(axis=0, keepdims=True),
            audio.sample_rate,
            None if given is None else given.mean(axis=1, keepdims=True),
        )

    @cached_property
    def mono(self) -> _Compared:
        """The mean of the channels at the rate of SI-SDR (Slakh 3.1: 16 kHz)."""
        audio, rates = self._audio, (self._audio.sample_rate, self._rate)
        sources = audio.references[: None if self._has_others else self._n_heard]
        mixture = _mono(audio.mixture, *rates)
        return self._compared(
            np.array([_mono(source, *rates) for source in sources]).reshape(-1, *mixture.shape),
            mixture,
            self._rate,
            None if self._given is None else np.array([_mono(e, *rates) for e in self._given]),
        )

    def _compared(
        self, sources: Float32s, mixture: Float32s, sample_rate: int, given: Float32s | None
    ) -> _Compared:
        references, others = sources[: self._n_heard], sources[self._n_heard :]
        if given is not None:
            estimates = given
        elif self._oracle is not None:
            # All oracles make silence of a silent target.
            silence = np.zeros((self._n_silent, *mixture.shape), np.float32)
            estimates = oracle_estimates(self._oracle, references, mixture, sample_rate)
            estimates = np.concatenate([estimates, silence]) if self._n_silent else estimates
        else:
            n_scored = self._n_heard + self._n_silent
            estimates = np.broadcast_to(mixture, (n_scored, *mixture.shape))
        return _Compared(references, estimates, others, mixture, sample_rate)


def _mono(audio: Float32s, sample_rate: int, wanted_rate: int) -> Float32s:
    """Return the (1, n) mean of the channels at another rate."""
    mono: Float32s = audio.mean(axis=0)
    if sample_rate != wanted_rate:
        mono = soxr.resample(mono, sample_rate, wanted_rate, quality="HQ")
    return mono[np.newaxis]


def _bss_scores(
    job: ScoringJob, compared: _Compared, targets: Sequence[str], framing: Framing
) -> Iterator[SongScore]:
    """Yield the frames of BSS Eval, and write them for museval."""
    result = _bss_eval(job, compared, framing)
    path = place(job.frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_track(path, {target: (result, row) for row, target in enumerate(targets)})
    for row, target in enumerate(targets):
        for metric in job.metrics.bss_metrics:
            for frame, value in enumerate(result.values(metric.name)[row].tolist()):
                yield SongScore(job.song.name, target, frame, metric.name, value)


def _bss_eval(job: ScoringJob, compared: _Compared, framing: Framing) -> BssScores:
    references, others, sample_rate = compared.references, compared.others, compared.sample_rate
    estimates = compared.estimates[: len(references)]
    if job.metrics.engine is Engine.STEMSMITH:
        return bss_eval(
            references, estimates, sample_rate, (framing,),
            others=others, silence=job.metrics.silence,
        )[0]  # fmt: skip
    try:
        return museval_bss_eval(references, estimates, sample_rate, (framing,))[0]
    except ValueError as error:
        raise Unscorable(Reason.SILENT, f"{job.song.name}: museval: {error}") from error
