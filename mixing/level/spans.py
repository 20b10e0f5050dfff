"""Stretches of audio that may be other than zero, and what rings on after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Spans", "joined", "whole_if_none", "with_tails"]

Spans = Sequence[tuple[int, int]]


def whole_if_none(spans: Spans | None, n_samples: int) -> Spans:
    """Return spans, or all of the audio where nothing is known of it."""
    return [(0, n_samples)] if spans is None else spans


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that touch or overlap as one.

    Examples
    --------
    >>> joined([(15, 20), (0, 10), (8, 15)])
    [(0, 20)]
    """
    whole: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], stop))
        else:
            whole.append((start, stop))
    return whole


def with_tails(spans: Spans, n_tail: int, n_samples: int) -> list[tuple[int, int]]:
    """Return spans that end later, joined where they touch.

    Parameters
    ----------
    spans : sequence of (int, int)
        Start and stop of each stretch.
    n_tail : int
        By how many samples each of them ends later.
    n_samples : int
        Length of the audio, which none of them exceeds.

    Examples
    --------
    >>> with_tails([(0, 10), (15, 20), (90, 95)], 6, 100)
    [(0, 26), (90, 100)]
    """
    return joined((start, min(stop + n_tail, n_samples)) for start, stop in spans)
