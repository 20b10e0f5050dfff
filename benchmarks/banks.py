"""What banks of soundfonts hold: the tables of docs/sound.md.

python benchmarks/banks.py [FONT.sf2 ...] [general]
"""

from __future__ import annotations

from collections import Counter

import click
import numpy as np
from stemsmith.manifests.programs import RENDERING_CLASSES
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.measurement import measure_soundfont
from stemsmith.render.sound.mono import is_lossy
from stemsmith.render.workflow import make_bank


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Print presets, those in Slakh's classes and drawn, and those whose mono sum is lossy."""
    print("| bank | presets | in the 34 classes | of them drawn | fewest of a class | lossy |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in names or ("general",):
        bank = make_bank(bank=name) if name == "general" else make_bank([name])
        bank = with_compasses(bank)
        classed = [p for p in bank.patches if p.rendering_class in RENDERING_CLASSES]
        drawn = Counter(
            cls for cls, found in bank._drawn.items() if cls in RENDERING_CLASSES for _ in found
        )
        n_lossy = sum(
            bool(np.any(is_lossy(*heard.powers)))
            for soundfont in bank.soundfonts
            for heard in measure_soundfont(soundfont).values()
        )
        cells = [len(bank.patches), len(classed), sum(drawn.values()), min(drawn.values()), n_lossy]
        print(f"| {name} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
