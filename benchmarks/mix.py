"""What mixing costs, as ratios of things timed in one run.

    python benchmarks/mix.py CORPUS [--mixtures 200] [--repeats 3]

* planning: incoherent mixtures from envelopes, written to a shard, against decoding the same
  clips and measuring them with pyloudnorm;
* accuracy: loudness of random clips from the envelope against pyloudnorm on the decoded clip;
* realising: coherent mixtures against decoding their clips alone;
* memory: largest resident size of a process that plans few and many mixtures.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pyloudnorm
from stemsmith.manifests import shards
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.audio.realise import realise
from stemsmith.mixing.level.loudness import integrated_loudness
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.sources.catalogue import SplitCatalogue, split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

_PLANNED_PER_REALISED = 50  # planning is too quick to be timed on as few mixtures


def timed(function: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def row(name: str, values: list[float], digits: int = 2) -> str:
    """Return one line of the table: median, smallest and largest."""
    cells = (statistics.median(values), min(values), max(values))
    return f"| {name} | " + " | ".join(f"{cell:,.{digits}f}" for cell in cells) + " |"


def catalogue_of(corpus: Path) -> tuple[SplitCatalogue, dict[str, str]]:
    """Return the training split of a corpus, and its root."""
    sources = find_sources([str(corpus)], Path(tempfile.gettempdir()))
    stems = read_stems(sources, {}, 1)
    roots = {source.name: str(source.root) for source in sources}
    return split_catalogues(stems, TAXONOMIES["slakh"])["train"], roots


def decode_and_measure(mixture: Mixture, root: Path, meter: pyloudnorm.Meter) -> None:
    """Find the gains of a mixture as one would without envelopes."""
    for source in mixture.sources:
        clip = read_excerpt(root / source.path, source.start, source.n_read)
        meter.integrated_loudness(clip[0])


def decode(mixture: Mixture, root: Path) -> None:
    """Read all clips of a mixture."""
    for source in mixture.sources:
        read_excerpt(root / source.path, source.start, source.n_read)


def write_plan(plan: IncoherentPlan, n_mixtures: int, path: Path) -> None:
    """Plan mixtures and write their recipes."""
    shards.write_records(path, Mixture, list(plan.mixtures(0, n_mixtures)))


def compare_planning(
    catalogue: SplitCatalogue, root: Path, n_mixtures: int, repeats: int
) -> list[str]:
    """Plan from envelopes, and from audio."""
    config = MixConfig(mode=Mode.INCOHERENT, n_mixtures=n_mixtures)
    plan = IncoherentPlan(catalogue, "train", config, 44100)
    meter = pyloudnorm.Meter(44100, filter_class="DeMan")
    ratios, rates = [], []
    n_planned = n_mixtures * _PLANNED_PER_REALISED
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "mixtures.parquet")
        for _ in range(repeats):
            planning_s = timed(partial(write_plan, plan, n_planned, path)) / n_planned
            mixtures = list(plan.mixtures(0, n_mixtures))
            audio_s = 0.0
            for mixture in mixtures:
                audio_s += timed(partial(decode_and_measure, mixture, root, meter)) / n_mixtures
            ratios.append(audio_s / planning_s)
            rates.append(len(plan.groups) / planning_s)
    return [
        row("decoding + pyloudnorm / planning, per mixture", ratios, 0),
        row("sources planned and written per second", rates, 0),
    ]


def compare_realising(
    catalogue: SplitCatalogue, roots: dict[str, str], n_mixtures: int, repeats: int
) -> str:
    """Realise coherent mixtures, and only decode their clips."""
    plan = CoherentPlan(catalogue, "train", MixConfig(target="bass"), 44100)
    mixtures = list(plan.mixtures(0, n_mixtures))
    root = Path(roots["corpus"])
    for mixture in mixtures:  # files are hashed once a process
        realise(mixture, roots)
    ratios = []
    for _ in range(repeats):
        decode_s = realise_s = 0.0
        for mixture in mixtures:
            decode_s += timed(partial(decode, mixture, root))
            realise_s += timed(partial(realise, mixture, roots))
        ratios.append(decode_s / realise_s)
    return row("rate of realising / rate of decoding alone", ratios)


def loudness_errors(catalogue: SplitCatalogue, root: Path, n_clips: int) -> np.ndarray:
    """Return how far the envelope is from pyloudnorm on random clips of 10 s, in LU."""
    rng = np.random.default_rng(0)
    meter = pyloudnorm.Meter(44100, filter_class="DeMan")
    errors: list[float] = []
    n_steps = 100
    long_enough = [stem for stem in catalogue.stems if stem.n_steps > n_steps]
    while len(errors) < n_clips:
        stem = long_enough[rng.integers(len(long_enough))]
        first = int(rng.integers(stem.n_steps - n_steps))
        ours = integrated_loudness(stem.k_power[first : first + n_steps])
        if ours is None:
            continue
        step = stem.step_samples
        clip = read_excerpt(root / stem.path, first * step, n_steps * step)[0]
        errors.append(abs(ours - meter.integrated_loudness(clip.astype(np.float64))))
    return np.array(errors)


def planning_memory_mib(corpus: Path, n_mixtures: int) -> float:
    """Return the largest resident size of `mix` for a number of incoherent mixtures."""
    run = "runpy.run_module('stemsmith.cli.main', run_name='__main__')"
    show = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    script = f"import atexit, resource, runpy, sys\natexit.register(lambda: {show})\n{run}\n"
    with tempfile.TemporaryDirectory() as name:
        command = [
            sys.executable, "-c", script, "mix", str(corpus), f"{name}/m", "--jobs", "0",
            "--mode", "incoherent", "--split", "train", "--mixtures", str(n_mixtures), "-q",
        ]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@click.command()
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("--mixtures", default=200)
@click.option("--repeats", default=3)
@click.option("--clips", default=2000, help="For the accuracy of loudness.")
@click.option("--many", default=1_000_000, help="Mixtures planned for the memory.")
def main(corpus: Path, mixtures: int, repeats: int, clips: int, many: int) -> None:
    """Print the tables of docs/benchmarks.md."""
    catalogue, roots = catalogue_of(corpus)
    root = Path(roots["corpus"])
    rows = compare_planning(catalogue, root, mixtures, repeats)
    rows.append(compare_realising(catalogue, roots, mixtures, repeats))
    errors = np.sort(loudness_errors(catalogue, root, clips))
    packages = ("numpy", "scipy", "soundfile", "pyloudnorm", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(
        f"{len(catalogue.stems)} stems of {len(catalogue.songs)} songs; {mixtures} mixtures; "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}"
    )
    print("\n| ratio | median | min | max |\n|---|--:|--:|--:|")
    print("\n".join(rows))
    mean, largest = errors.mean(), errors[-1]
    print(
        f"\nLoudness of {clips} random 10 s clips against pyloudnorm: mean {mean:.4f} LU, "
        f"99.9 % within {np.quantile(errors, 0.999):.4f} LU, largest {largest:.4f} LU"
    )
    sizes = {n: planning_memory_mib(corpus, n) for n in (many // 100, many)}
    texts = [f"{n:,} mixtures {mib:.0f} MiB" for n, mib in sizes.items()]
    print("Peak memory of planning: " + ", ".join(texts))


if __name__ == "__main__":
    main()
