"""What renditions cost, as ratios of things timed in one run.

    python benchmarks/renditions.py SCORES [--renditions 400]

* stems: the synthesis alone of the distinct stems that the renditions need, one process;
* command: `stemsmith render --renditions`, one process, and `mix --mode renditions` after it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
from stemsmith.manifests.seeds import rng_for
from stemsmith.render.midi.playing import parse_dynamics
from stemsmith.render.midi.scan import load_score
from stemsmith.render.renditions.config import (
    RenditionConfig,
    parse_shifts,
    parse_tempos,
)
from stemsmith.render.renditions.performance import perform
from stemsmith.render.renditions.plan import Piece, plan_renditions
from stemsmith.render.sound.patches import bank_from_soundfonts
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import shared_synth
from stemsmith.render.workflow import scan

FACTORS = ("--tempo", "80,100,120", "--dynamics", "p,m,f", "--shift", "0,0.1,0.2")


def timed(function: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def pieces_of(scores: Path, n_renditions: int) -> tuple[tuple[Piece, ...], RenditionConfig]:
    """Plan the renditions as the command does."""
    config = RenditionConfig(
        n_renditions=n_renditions,
        tempos=parse_tempos(FACTORS[1]),
        dynamics=parse_dynamics(FACTORS[3], None),
        shifts_s=parse_shifts(FACTORS[5]),
    )
    scanned = scan(scores).found
    bank = bank_from_soundfonts([default_soundfont()])
    return plan_renditions(scanned, scores, config, bank).pieces, config


def synthesise(pieces: tuple[Piece, ...], config: RenditionConfig, scores: Path) -> float:
    """Return the seconds of synthesis of all distinct stems, without reading scores."""
    seconds = 0.0
    out = np.ones(1 << 25, np.float32)  # touched: no page faults later
    rate = config.sample_rate
    for piece in pieces:
        song = piece.chosen.song
        _, score = load_score(scores / song.path, 1200.0)
        for (tempo, *_), spec in piece.specs.items():
            tempo_map = config.tempos[tempo].of(
                score.tempo_map, config.tempo_mode, score.first_tick
            )
            rng = rng_for(0, "unused")
            performance = perform(
                score, spec.part_index, tempo_map, spec.dynamic, config.deviations, rate, rng
            )
            n_samples = int((tempo_map.seconds(score.end_tick) + config.tail_s) * rate)
            assert spec.patch.preset is not None
            synth = shared_synth(rate, (spec.patch.preset.soundfont,))
            play = partial(
                synth.render,
                performance.events,
                performance.frames,
                spec.patch.preset,
                out[:n_samples],
            )
            seconds += timed(play)
    return seconds


@click.command()
@click.argument("scores", type=click.Path(exists=True, path_type=Path))
@click.option("--renditions", default=400)
def main(scores: Path, renditions: int) -> None:
    """Print the table of docs/benchmarks.md."""
    pieces, config = pieces_of(scores, renditions)
    n_stems = sum(len(piece.specs) for piece in pieces)
    stems_s = synthesise(pieces, config, scores)
    with tempfile.TemporaryDirectory() as name:
        python = [sys.executable, "-m", "stemsmith.cli.main"]
        common = ["--jobs", "0", "-q"]
        render = [*python, "render", str(scores), f"{name}/c", *common, *FACTORS]
        render_s = timed(
            partial(subprocess.run, [*render, "--renditions", str(renditions)], check=True)
        )
        mix = [*python, "mix", f"{name}/c", f"{name}/m", "--mode", "renditions", *common]
        mix_s = timed(partial(subprocess.run, mix, check=True))
    print(f"{len(pieces)} scores, {renditions} renditions each, {n_stems} distinct stems")
    print("\n| ratio | value |\n|---|--:|")
    print(f"| render / synthesis of the stems | {render_s / stems_s:.2f} |")
    print(f"| render and mix / synthesis of the stems | {(render_s + mix_s) / stems_s:.2f} |")


if __name__ == "__main__":
    main()
