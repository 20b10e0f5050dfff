"""Stretches of audio that may be other than zero, and what rings on after them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Spans", "whole_if_none", "with_tails"]

Spans = Sequence[tuple[int, int]]


def whole_if_none(spans: Spans | None, n_samples: int) -> Spans:
    """Return spans, or all of the audio where nothing is known of it."""
    return [(0, n_samples)] if spans is None else spans


def with_tails(spans: Spans, n_tail: int, n_samples: int) -> list[tuple[int, int]]:
    """Return spans that end later, joined where they touch.

    Parameters
    ----------
    spans : sequence of (int, int)
        Start and stop of each stretch, in order.
    n_tail : int
        By how many samples each of them ends later.
    n_samples : int
        Length of the audio, which none of them exceeds.

    Examples
    --------
    >>> with_tails([(0, 10), (15, 20), (90, 95)], 6, 100)
    [(0, 26), (90, 100)]
    """
    joined: list[tuple[int, int]] = []
    for start, stop in spans:
        end = min(stop + n_tail, n_samples)
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
