"""What the comparisons share: scores, a clock of the processor, and a table of ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["SCORES", "compare", "cpu_s_of"]

SCORES: Final = Path(__file__).resolve().parents[2] / "cli" / "scores"

T = TypeVar("T")


def cpu_s_of(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work returns, and the processor's seconds that it took in this process."""
    start = time.process_time()
    return work(), time.process_time() - start


def compare(
    steps: Mapping[str, Callable[[str, int], object]], names: tuple[str, str], n_repeats: int
) -> None:
    """Print what steps take in each of two ways, the lowest of repeats in turn, and the ratios.

    Parameters
    ----------
    steps : mapping of str to callable
        By its name, what does a step: its arguments are one of the names and the number of the
        repeat.
    names : (str, str)
        What the two ways are called; the first is what the second is compared with.
    n_repeats : int
        How often each step is done each way.
    """
    first, second = names
    print(f"| | {first}, CPU s | {second}, CPU s | ratio |\n|---|---:|---:|---:|")
    for step, action in steps.items():
        taken: dict[str, list[float]] = {name: [] for name in names}
        for number in range(n_repeats):
            for name, seconds in taken.items():
                seconds.append(cpu_s_of(partial(action, name, number))[1])
        a, b = (min(seconds) for seconds in taken.values())
        print(f"| {step} | {a:.3f} | {b:.3f} | {b / a:.3f} |", flush=True)
