"""How far the mixtures that songs have of their own are from the sums of their stems.

A song of a corpus that was rendered with ``--mix-source unsplit`` has such a mixture: the score
rendered as a whole. What it holds beside the stems (programs that have no stem, voices that start
elsewhere in the stereo panorama) is its residual, here in dB of the power of the mixture::

    10 log10(sum((x - sum of stems)^2) / sum(x^2))

over all samples and channels of the song: 0 dB is a mixture of which no stem holds anything, and
rounding to 16 bits is at some -80 dB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.corpus import SONGS, Corpus
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs, needed
from stemsmith.manifests.places import place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Song
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.sources.find import locate

__all__ = ["ResidualJob", "SongResidual", "measure_residual", "mixture_residuals"]

_BLOCK: Final = 1 << 21  # samples of a file that are in memory at a time


@dataclass(frozen=True, slots=True)
class ResidualJob:
    """One song to measure.

    Attributes
    ----------
    song : str
        What the song is called: its track, or the file of its mixture where mixtures are measured.
    mixture : (str, int)
        Absolute path of its own mixture, and the audio stream in the file.
    stems : tuple of (str, int)
        The same of all of its stems.
    """

    song: str
    mixture: tuple[str, int]
    stems: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SongResidual:
    """What was measured of a song.

    Attributes
    ----------
    song : str
        What the song is called.
    residual_db : float
        Power of the residual against that of the mixture; -inf if the mixture is the exact sum.
    """

    song: str
    residual_db: float


def measure_residual(job: ResidualJob) -> SongResidual:
    """Measure a song, block after block.

    Raises
    ------
    InvalidCorpus
        If a file is missing, damaged, or shorter than the mixture; the text names it.
    """
    path, stream = job.mixture
    n_samples = audio_info(place(path), stream).n_samples
    power = residual = 0.0
    for start in range(0, n_samples, _BLOCK):
        n = min(_BLOCK, n_samples - start)
        rest = read_excerpt(place(path), start, n, stream)
        power += _energy(rest)
        for stem, stem_stream in job.stems:
            rest -= read_excerpt(place(stem), start, n, stem_stream)
        residual += _energy(rest)
    return SongResidual(job.song, _ratio_db(residual, power))


def _energy(audio: Float32s) -> float:
    return float(np.square(audio, dtype=np.float64).sum())


def _ratio_db(power: float, reference: float) -> float:
    if not power:
        return -math.inf
    return 10 * math.log10(power / reference) if reference else math.inf


def mixture_residuals(
    opened: Corpus | Mixtures,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> dict[str, float]:
    """Measure how far mixtures of songs are from the sums of their stems.

    Parameters
    ----------
    opened : Corpus or Mixtures
        A corpus; or mixtures, of which the songs are measured whose own mixtures they take
        excerpts of, as whole files and with the stems that belong to a target.
    jobs, scheduler, progress : int or Workers, str or None, Progress
        Who reads the audio, and who is told of it, as in `stemsmith.mix`.

    Returns
    -------
    dict of str to float
        Residual in dB by song, in order of their names; empty where all mixtures are sums.

    Raises
    ------
    InvalidCorpus
        If a file is missing or damaged; the text names it.
    """
    planned = list(_of_corpus(opened) if isinstance(opened, Corpus) else _of_mixtures(opened))
    if not planned:
        return {}
    files = (path for job in planned for path, _ in (job.mixture, *job.stems))
    found = {}
    with (
        open_workers(jobs, scheduler) as workers,
        preflight(workers, inputs=[files]),
        progress.loop("residual", len(planned)) as ticker,
    ):
        for done in do_jobs(workers, measure_residual, planned, needed(lambda job: job.mixture[0])):
            found[done.song] = done.residual_db
            ticker.advance()
    return dict(sorted(found.items()))


def _of_corpus(corpus: Corpus) -> Iterator[ResidualJob]:
    if corpus.kind != SONGS:
        return
    if not any(song.has_own_mixture for song in corpus.iter_records("songs", Song)):
        return
    for song, stems, _ in corpus.iter_with_stems():
        if song.has_own_mixture:
            mixture = str(storage.inside(corpus.root, song.mix_path)), 0
            places = ((str(storage.inside(corpus.root, stem.path)), 0) for stem in stems)
            yield ResidualJob(song.track, mixture, tuple(places))


def _of_mixtures(mixtures: Mixtures) -> Iterator[ResidualJob]:
    if not mixtures.n_own_mixtures:
        return
    stems: dict[tuple[str, str, int], dict[tuple[str, int], None]] = {}
    for recipe in mixtures.records():
        if (own := recipe.own_mixture) is not None:
            of_song = stems.setdefault((own.root, own.path, own.stream), {})
            for source in recipe.sources:
                of_song[_place(mixtures.roots, source.root, source.path), source.stream] = None
    for (root, path, stream), of_song in stems.items():
        mixture = _place(mixtures.roots, root, path), stream
        yield ResidualJob(f"{root}:{path}", mixture, tuple(of_song))


def _place(roots: Mapping[str, str], root: str, path: str) -> str:
    return str(locate(roots, root, path))
