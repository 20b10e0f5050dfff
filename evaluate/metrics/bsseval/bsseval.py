"""BSS Eval of source images, version 4 and 3: the numbers of museval, exactly and fast.

An estimate y of a target s is compared with everything that time-invariant filters of 512 taps can
make of the references (Vincent et al. 2006; 2012 for images; Stöter et al. 2018 for version 4)::

    P1 = the projection of y onto the delayed channels of s
    P2 = the projection of y onto the delayed channels of all references
    SDR = |s|^2 / |s - y|^2          ISR = |s|^2 / |P1 - s|^2
    SIR = |P1|^2 / |P2 - P1|^2       SAR = |P2|^2 / |y - P2|^2

in dB, energies summed over the channels and samples of a window. The three errors add up to y - s,
so that the SDR of images is the plain signal-to-noise ratio of the window and knows no filter.
Vincent et al. 2006 compare with sources, of which any filter is forgiven (their equations 5 to 11
with filters, which is ``bss_eval_sources`` of the BSS Eval toolbox)::

    source-SDR = |P1|^2 / |y - P1|^2

SIR and SAR are the same in both, and there is no ISR. With several channels, what is forgiven are
filters from all channels of the target to each of them.
Version 4 fits the filters to the whole track, version 3 to each window. In both, what is filtered
is the window with silence around it, and the 511 samples for which the filters ring on count.

museval filters each reference over each window, and solves the same linear system once a target.
None of this is needed:

1. Filters and energies depend on the audio by correlations at lags 0 .. 511 alone. One pass over
   the track finds them for all windows of all framings (`correlations`).
2. The least-squares filters of all targets are one block-Toeplitz system with many right-hand
   sides, solved by Levinson's recursion, and in full where that fails (`levinson`).
3. The energy of a filtered signal is a quadratic form in its taps with the correlations as
   coefficients; where one loses its digits the window is filtered after all (`projections`).

On real music the results differ from museval's by less than 1e-5 dB, which is about as much as
museval's change when the channels are swapped. Three things are rounding errors, here and
there: scores above 150 dB or so; filters of references that depend on each other (mono on two
channels, a stem twice), with little effect, as such tracks agree to 1e-4 dB; and all scores but
the SDR of tracks, in version 3 of windows, that have no more samples than their filters have taps,
512 for each channel of all references: 0.1 s of four stereo sources. Anything fits such filters.

Departures from museval 0.4.1
-----------------------------
* A reference or an estimate that is silent throughout is no error. The scores of its target are
  NaN, and it makes no other target's frames NaN. A silent estimate's reference still interferes.
* `SilenceRule.OWN` makes a frame NaN only for the target that is silent in it.
* ``others`` are references without an estimate: one target can be evaluated against all sources.
* Estimates must be as long as the references. museval cuts long ones and fills up short ones,
  of which the frames then are silent and do not count.
* Samples that are not finite are an error, not NaN scores.

As in museval, the last window must be complete, a track shorter than a window is one frame, and
silence means that the channels sum to zero: opposite channels are silent, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.evaluate.metrics.bsseval.correlations import Signals, correlate, cut_track
from stemsmith.evaluate.metrics.bsseval.frames import SISEC18, BssScores, Framing, SilenceRule
from stemsmith.evaluate.metrics.bsseval.projections import (
    COMPONENTS,
    Filters,
    component_energies,
    filtered_energies,
    solve_filters,
)
from stemsmith.manifests.arrays import Bools, Float64s

__all__ = ["bss_eval"]


_N_TAPS: Final = 512
_TRACK: Final = -1  # its place among the windows
_READ_AT_ONCE: Final = 1 << 16  # samples of all signals
_CORRELATION_BYTES: Final = 256 << 20  # kept at a time: 8 min of 1 s windows of 4 stereo targets


def bss_eval(
    references: npt.NDArray[Any],
    estimates: npt.NDArray[Any],
    sample_rate: int,
    framings: Sequence[Framing] = (SISEC18,),
    *,
    others: npt.NDArray[Any] | None = None,
    silence: SilenceRule = SilenceRule.ALL,
) -> list[BssScores]:
    """Compare estimates with references.

    Parameters
    ----------
    references, estimates : numpy.ndarray
        (n_targets, n_channels, n_samples) of any real type.
    sample_rate : int
        Sample rate of all signals in Hz.
    framings : sequence of Framing
        Windows of the scores; several framings cost little more than one.
    others : numpy.ndarray, optional
        (n_others, n_channels, n_samples) sources in the mixture of which there is no estimate.
    silence : SilenceRule
        Whose scores are NaN in a frame in which something is silent.

    Returns
    -------
    list of BssScores
        Scores for each framing.

    Raises
    ------
    ValueError
        If shapes do not fit or are empty, a sample is not finite, or a framing is empty or none
        is given.

    Examples
    --------
    >>> import numpy as np
    >>> import stemsmith
    >>> rng = np.random.default_rng(0)
    >>> references = rng.standard_normal((2, 1, 8000))
    >>> noise = rng.standard_normal((2, 1, 8000))
    >>> (scores,) = stemsmith.bss_eval(references, references + 0.1 * noise, 4000)
    >>> scores.sdr_db.shape
    (2, 2)
    >>> bool(abs(np.median(scores.sdr_db) - 20) < 1.5)
    True
    """
    if not framings:
        raise ValueError("no framing is given")
    others = references[:0] if others is None else others
    _check_shapes(references, estimates, others)
    signals = Signals(references, others, estimates)
    spans = [framing.windows(sample_rate, signals.n_samples) for framing in framings]
    windows = [window for span in spans for window in span]
    has_own_filters = np.repeat([f.has_own_filters for f in framings], [len(s) for s in spans])
    levels = _measure_levels(signals, windows, sample_rate)
    is_scored = _is_scored(levels, silence)
    energies = _component_energies(signals, windows, has_own_filters, levels, is_scored)
    scores_db = np.where(is_scored, _scores_db(levels, energies), np.nan)
    results = []
    for span in spans:
        of_span, scores_db = np.split(scores_db, [len(span)], axis=1)
        sdr_db, isr_db, sir_db, sar_db, source_sdr_db = of_span.transpose(0, 2, 1)
        start_s = np.array([start for start, _ in span]) / sample_rate
        duration_s = (span[0][1] - span[0][0]) / sample_rate
        scores = (sdr_db, isr_db, sir_db, sar_db, start_s, duration_s, source_sdr_db)
        results.append(BssScores(*scores))
    return results


def _check_shapes(
    references: npt.NDArray[Any], estimates: npt.NDArray[Any], others: npt.NDArray[Any]
) -> None:
    if references.shape != estimates.shape:
        raise ValueError(
            f"references are of shape {references.shape} and estimates of {estimates.shape}"
        )
    if references.ndim != 3 or not references.size:
        raise ValueError(
            f"audio of shape {references.shape} is not (n_targets, n_channels, n_samples)"
        )
    if others.shape[1:] != references.shape[1:]:
        raise ValueError(
            f"references are of shape {references.shape} and other sources of {others.shape}"
        )


class _Levels(NamedTuple):
    """What is known of windows without filters."""

    reference: Float64s  # (n_windows, n_targets) energies, here and below
    estimate: Float64s
    error: Float64s  # of reference minus estimate
    is_heard: Bools  # (n_windows, n_targets): the reference and the estimate
    are_all_heard: Bools  # (n_windows,): all references and estimates that are ever heard


def _measure_levels(
    signals: Signals, windows: Sequence[tuple[int, int]], sample_rate: int
) -> _Levels:
    n_samples, n, n_channels = signals.n_samples, signals.n_targets, signals.n_channels
    pieces = [(t, min(t + _READ_AT_ONCE, n_samples)) for t in range(0, n_samples, _READ_AT_ONCE)]
    cut = cut_track([(0, n_samples), *windows, *pieces], _N_TAPS)
    segments = []
    for start, stop in pairwise(cut.edges):
        audio = signals.read(start, stop - start, start, stop)
        error = audio[: n * n_channels] - audio[-n * n_channels :]
        powers = np.concatenate([np.einsum("it,it->i", a, a) for a in (audio, error)])
        if not np.isfinite(powers).all():
            first_s, last_s = start / sample_rate, stop / sample_rate
            raise ValueError(f"a sample between {first_s:.3f} s and {last_s:.3f} s is not finite")
        is_heard = audio.reshape(-1, n_channels, stop - start).sum(axis=1).any(axis=1)
        segments.append(np.concatenate([powers.reshape(-1, n_channels).sum(axis=1), is_heard]))
    sums = cut.is_inside[: len(windows) + 1].astype(np.float64) @ segments
    n_sources = (sums.shape[1] - n) // 2
    energies, errors, heard = np.split(sums, [n_sources, n_sources + n], axis=1)
    is_heard = heard > 0
    return _Levels(
        energies[1:, :n],
        energies[1:, -n:],
        errors[1:],
        is_heard[1:, :n] & is_heard[1:, -n:],
        (is_heard[1:] | ~is_heard[0]).all(axis=1),
    )


def _is_scored(levels: _Levels, silence: SilenceRule) -> Bools:
    if silence is SilenceRule.OWN:
        return levels.is_heard
    return levels.is_heard & levels.are_all_heard[:, None]


def _component_energies(
    signals: Signals,
    spans: list[tuple[int, int]],
    has_own_filters: Bools,
    levels: _Levels,
    is_scored: Bools,
) -> Float64s:
    """Return (n_windows, n_components, n_targets) energies, right where they are scored."""
    energies = np.zeros((len(spans), len(COMPONENTS), signals.n_targets))
    for fit in _fits(signals, spans, has_own_filters, np.atleast_1d(is_scored.any(axis=1))):
        energies[fit.windows], is_exact = component_energies(
            fit.correlations, fit.is_part, levels.estimate[fit.windows], fit.filters
        )
        is_lost = (is_scored[fit.windows] & ~is_exact).any(axis=1)
        for row in np.flatnonzero(is_lost):
            start, stop = spans[fit.windows[row]]
            energies[fit.windows[row]] = filtered_energies(signals, start, stop, fit.filters)
    return energies


class _Fit(NamedTuple):
    """Windows that share filters, and their correlations."""

    windows: list[int]
    correlations: Float64s  # (n_cells, n_taps, n_references, n_signals)
    is_part: Float64s  # (n_windows, n_cells)
    filters: Filters


def _fits(
    signals: Signals, spans: list[tuple[int, int]], has_own_filters: Bools, is_needed: Bools
) -> Iterator[_Fit]:
    """Fit filters to the track and to windows, with bounded memory."""
    spans = [*spans, (0, signals.n_samples)]
    shape = signals.n_targets, signals.n_channels
    track_filters: Filters | None = None
    for slab in _slabs(signals, spans, has_own_filters):
        cut = cut_track([spans[k] for k in slab], _N_TAPS)
        correlations = correlate(signals, cut, _N_TAPS)
        if slab[0] == _TRACK:
            track_filters = solve_filters(np.tensordot(cut.is_part[0], correlations, 1), *shape)
        sharing = [row for row, k in enumerate(slab) if k != _TRACK and not has_own_filters[k]]
        if sharing and track_filters is not None:
            windows = [slab[row] for row in sharing]
            yield _Fit(windows, correlations, cut.is_part[sharing], track_filters)
        for row, k in enumerate(slab):
            if k != _TRACK and has_own_filters[k] and is_needed[k]:
                own = np.tensordot(cut.is_part[row], correlations, 1)
                yield _Fit([k], own[None], np.ones((1, 1)), solve_filters(own, *shape))


def _slabs(
    signals: Signals, spans: list[tuple[int, int]], has_own_filters: Bools
) -> list[list[int]]:
    """Group the windows, in the order of time, so that the correlations of a group fit in memory.

    The track is in the first group if filters are to be fitted to it; alone if there are more.
    """
    order = sorted(range(len(has_own_filters)), key=lambda k: spans[k])
    track = [] if has_own_filters.all() else [_TRACK]
    n_cells = cut_track([spans[k] for k in (*track, *order)], _N_TAPS).is_part.shape[1]
    n_bytes = 8 * n_cells * _N_TAPS * signals.n_references * signals.n_signals
    n_groups = -(-n_bytes // _CORRELATION_BYTES)
    if n_groups == 1:
        return [track + order]
    groups = [group.tolist() for group in np.array_split(order, min(n_groups, len(order)))]
    return [track, *groups] if track else groups


def _scores_db(levels: _Levels, energies: Float64s) -> Float64s:
    """Return (5, n_windows, n_targets): SDR, ISR, SIR, SAR and the SDR of sources."""
    filtered, spatial, projected, interference, artefacts, distortion = energies.transpose(1, 0, 2)
    signal = np.stack([levels.reference, levels.reference, filtered, projected, filtered])
    error = np.stack([levels.error, spatial, interference, artefacts, distortion])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, np.inf, 10 * np.log10(signal / error))
