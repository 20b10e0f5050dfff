"""What score-constrained NMF and the CNN of Miron et al. 2017 take of a recording's duration.

    python benchmarks/nmf.py SCORE.mid [--seconds 30] [--repeats 3]

One core. The recording is the score, rendered at 44.1 kHz in mono and repeated to the length that
is asked for; the network has random weights, which cost the same as trained ones. Times are those
of the processor, so that others' work counts less. The paper (section 4.4.2) has 4.6 for its NMF,
in Matlab, and 0.76 for its CNN, in Python, both on a laptop of 2013. Learning the bases is timed
apart, since a run does it once for all its songs.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import stemsmith
import torch
from stemsmith.evaluate.nmf.options import NmfConfig
from stemsmith.evaluate.nmf.separator import LearnedBases, NmfSeparator
from stemsmith.evaluate.separation.blockwise import BlockwiseSeparator
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.train.models.architectures.cnn import CNN, CNNConfig

RATE = 44100


def ratios(separate: Callable[[], object], seconds: float, repeats: int) -> list[float]:
    """Return time of the processor / duration of every repetition."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        separate()
        found.append((time.process_time() - start) / seconds)
    return found


def peak_mib() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.argument("score", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", type=float, default=30.0, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
def main(score: Path, seconds: float, repeats: int) -> None:
    """Print a Markdown table: median, smallest and largest of the repetitions."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stems = stemsmith.render_midi(score, sample_rate=RATE)
    mixture = np.sum([*stems.values()], axis=0).reshape(1, -1)
    n_samples = round(seconds * RATE)
    mixture = np.tile(mixture, -(-n_samples // mixture.shape[1]))[:, :n_samples]
    print(f"{platform.machine()}, 1 thread of {os.cpu_count()}; torch {version('torch')}")
    bases = LearnedBases(stemsmith.make_bank())
    start = time.process_time()
    plain = NmfSeparator.of_score(score, bases, NmfConfig(), device="cpu")
    informed = NmfSeparator.of_score(score, bases, NmfConfig(), is_informed=True, device="cpu")
    plain.stream(RATE)
    print(
        f"{seconds:g} s of {score.name}: {', '.join(plain.targets)}; bases of "
        f"{bases.at(RATE).n_learned} notes learned in {time.process_time() - start:.1f} s\n"
    )
    cnn = Separator({"run": CNN(CNNConfig(targets=plain.targets))}, device="cpu")
    cnn.separate(mixture[:, :RATE], RATE)
    before = peak_mib()
    print("| system | time / duration | least | most |\n|---|--:|--:|--:|")
    systems: dict[str, BlockwiseSeparator] = {"nmf:": plain, "nmf:,informed": informed, "cnn": cnn}
    for name, system in systems.items():
        made = ratios(partial(system.separate, mixture, RATE), seconds, repeats)
        cells = statistics.median(made), min(made), max(made)
        figures = " | ".join(f"{cell:.3f}" for cell in cells)
        print(f"| {name} | {figures} |", flush=True)
    print(f"\nLargest resident size: {peak_mib():,.0f} MiB, before separating {before:,.0f} MiB")


if __name__ == "__main__":
    main()
