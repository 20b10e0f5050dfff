"""What augmentations of mixtures cost when recipes are made into audio.

    python benchmarks/augmentations.py SOURCE [--taxonomy slakh] [--channels 2] [--mixtures 8]

CPU seconds of this process for a second of mixture: the reading of stems is in all of them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
from stemsmith.mixing.workflow import mix

_CLIP_S = 5.0
_NAMES = ("none", "wet", "class-effects", "room", "bleed", "label-noise", "master")


def cost(source: str, name: str, taxonomy: str, n_channels: int, n_mixtures: int) -> float:
    """Return the CPU seconds that a second of mixtures with an augmentation takes."""
    augment = () if name == "none" else (name,)
    with tempfile.TemporaryDirectory() as folder:
        mixtures = mix(
            source,
            Path(folder) / "mixtures",
            taxonomy=taxonomy,
            augment=augment,
            n_channels=n_channels,
            n_mixtures=n_mixtures,
            clip_s=_CLIP_S,
        )
        mixtures[0].realise()  # files are hashed once a process, and packages imported
        start_s = time.process_time()
        for mixture in mixtures:
            mixture.realise()
        return (time.process_time() - start_s) / (len(mixtures) * _CLIP_S)


@click.command()
@click.argument("source")
@click.option("--taxonomy", default="slakh")
@click.option("--channels", default=2)
@click.option("--mixtures", default=8)
def main(source: str, taxonomy: str, channels: int, mixtures: int) -> None:
    """Print one row of a table for each augmentation."""
    print("| augmentation | CPU s a second of mixture |\n|---|--:|")
    for name in _NAMES:
        print(f"| `{name}` | {cost(source, name, taxonomy, channels, mixtures):.3f} |")


if __name__ == "__main__":
    main()
