"""Whether the distance of corpora to real music predicts what training on them gains.

Spearman's rank correlation (Spearman 1904) over corpora, with a two-sided p value by permutation:
the share of ways to give the gains to the corpora in which the correlation is as far from zero, of
99,999 that are drawn by a seed and the one as it is. A distance that predicts the gain has a
correlation below zero.

Corpora along one option say nothing of other options, and of a few corpora any order comes by
chance. So nothing is claimed of fewer than twelve corpora, or of such as differ in one factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy.stats
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.seeds import rng_for
from stemsmith.share.compare.statistics import holm

__all__ = ["LEAST_CORPORA", "CorpusGain", "GapPrediction", "predict_gains"]

LEAST_CORPORA: Final = 12
_N_DRAWN: Final = 99_999
_SAME: Final = 1e-12


@dataclass(frozen=True, slots=True)
class CorpusGain:
    """A corpus, how far it is from real music, and what training on it gained.

    Attributes
    ----------
    name : str
        Name of the corpus.
    factors : mapping of str to str
        By factor, the level of this corpus, such as ``{"bank": "general", "balance": "real"}``.
        The seed is no factor.
    gaps : mapping of str to float
        By measure, its distance to the real songs (`stemsmith.measure_gap`).
    gain : float
        What a model that is trained on it scores on real songs, or gains over another one.
    """

    name: str
    factors: Mapping[str, str]
    gaps: Mapping[str, float]
    gain: float


@dataclass(frozen=True, slots=True)
class GapPrediction:
    """Whether one measure of distance predicts the gain.

    Attributes
    ----------
    measure : str
        Name of the measure.
    n : int
        Number of corpora that differ in some factor and have both numbers.
    n_factors : int
        Number of factors in which they differ.
    correlation : float or None
        Spearman's rank correlation of distance and gain; None where nothing is claimed.
    p, p_holm : float or None
        Of the permutation test, and corrected for all measures.
    reason : str
        Why nothing is claimed; empty otherwise.
    """

    measure: str
    n: int
    n_factors: int
    correlation: float | None
    p: float | None
    p_holm: float | None
    reason: str

    def to_text(self) -> str:
        """Return it in a line."""
        if self.correlation is None or self.p is None or self.p_holm is None:
            return f"{self.measure}: nothing is claimed: {self.reason}"
        return (
            f"{self.measure}: Spearman's rho {self.correlation:+.2f} over {self.n} corpora of "
            f"{self.n_factors} factors, p {self.p:.3g} (permutation; {self.p_holm:.3g} by Holm)"
        )


def predict_gains(corpora: Sequence[CorpusGain], seed: int = 0) -> tuple[GapPrediction, ...]:
    """Return for each measure of distance whether it predicts the gain.

    Parameters
    ----------
    corpora : sequence of CorpusGain
        The corpora. Those of the same levels of all factors, such as a null arm, count as one,
        with the means of their distances and gains.
    seed : int
        Of the permutations that are drawn.

    Returns
    -------
    tuple of GapPrediction
        One for each measure, in the order in which corpora have them.
    """
    measures = dict.fromkeys(measure for corpus in corpora for measure in corpus.gaps)
    found = [_predict(corpora, measure, seed) for measure in measures]
    corrected = iter(holm([row.p for row in found if row.p is not None]))
    return tuple(row if row.p is None else replace(row, p_holm=next(corrected)) for row in found)


def _predict(corpora: Sequence[CorpusGain], measure: str, seed: int) -> GapPrediction:
    same: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for corpus in corpora:
        numbers = (corpus.gaps.get(measure, math.nan), corpus.gain)
        if all(map(math.isfinite, numbers)):
            same.setdefault(tuple(sorted(corpus.factors.items())), []).append(numbers)
    points = np.array([np.mean(numbers, axis=0) for numbers in same.values()]).reshape(-1, 2)
    n, n_factors = len(points), _varying(same)
    reason = ""
    if n < LEAST_CORPORA:
        reason = f"{n} different corpora, fewer than {LEAST_CORPORA}"
    elif n_factors < 2:
        reason = f"{n} corpora that differ in {n_factors} factor alone"
    elif (np.ptp(points, axis=0) == 0).any():
        reason = f"{n} corpora with the same distance or the same gain"
    if reason:
        return GapPrediction(measure, n, n_factors, None, None, None, reason)
    correlation, p = _spearman(points[:, 0], points[:, 1], seed)
    return GapPrediction(measure, n, n_factors, correlation, p, None, "")


def _varying(settings: Mapping[tuple[tuple[str, str], ...], object]) -> int:
    """Return in how many factors corpora differ; a factor that one lacks is a level of its own."""
    every = [dict(setting) for setting in settings]
    names = {name for setting in every for name in setting}
    return sum(len({setting.get(name) for setting in every}) > 1 for name in names)


def _unit_ranks(values: Float64s) -> Float64s:
    """Return ranks about zero, of length one."""
    ranks = scipy.stats.rankdata(values)
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))


def _spearman(gaps: Float64s, gains: Float64s, seed: int) -> tuple[float, float]:
    """Return Spearman's correlation and its two-sided p value."""
    one, other = (_unit_ranks(values) for values in (gaps, gains))
    correlation = float(one @ other)
    orders = np.tile(np.arange(len(one)), (_N_DRAWN, 1))
    orders = rng_for(seed, "spearman").permuted(orders, axis=1)
    n_extreme = int((np.abs(other[orders] @ one) >= abs(correlation) - _SAME).sum())
    return correlation, (n_extreme + 1) / (_N_DRAWN + 1)
