"""Processing time per second of audio, of networks of the papers' sizes.

    python benchmarks/separate.py [--model cnn --model blstm ...] [--seconds 60] [--device cpu]

One core: the weights are random, which costs the same as trained ones. The audio is mono noise at
the network's own rate; resampling and stereo are timed apart. The bars are 0.76 on one core, Miron
et al.'s figure, and 0.002 on a GPU.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import click
import numpy as np
import torch
from stemsmith.evaluate.separation.options import SeparationConfig
from stemsmith.evaluate.separation.separator import Separator
from stemsmith.train.models.architectures.blstm import BLSTM, BLSTMConfig
from stemsmith.train.models.architectures.chandna import Chandna, ChandnaConfig
from stemsmith.train.models.architectures.cnn import CNN, CNNConfig
from stemsmith.train.models.architectures.resnet import ResNet, ResNetConfig
from stemsmith.train.models.architectures.umx import UMX, UMXConfig
from stemsmith.train.models.base import SeparationModel

FOUR: Final = ("vocals", "drums", "bass", "other")
MODELS: Final[dict[str, Callable[[], SeparationModel[Any]]]] = {
    "blstm": lambda: BLSTM(BLSTMConfig(targets=("bass",))),
    "umx": lambda: UMX(UMXConfig(targets=("bass",))),
    "cnn": lambda: CNN(CNNConfig(targets=FOUR)),
    "chandna": lambda: Chandna(ChandnaConfig(targets=FOUR)),
    "resnet": lambda: ResNet(ResNetConfig(targets=FOUR)),
}


class Case(NamedTuple):
    """What is timed."""

    name: str
    n_channels: int
    sample_rate: int | None  # in Hz; None is the network's own
    is_streaming: bool = False


CASES: Final = (
    Case("mono, own rate", 1, None),
    Case("stereo, 48 kHz", 2, 48000),
    Case("streaming, mono", 1, None, is_streaming=True),
)


def ratios(
    model: SeparationModel[Any], case: Case, seconds: float, repeats: int, device: str
) -> list[float]:
    """Return processing time / duration, of every repetition."""
    config = SeparationConfig(is_streaming=case.is_streaming)
    separator = Separator({"run": model}, config, device)
    sample_rate = case.sample_rate or model.config.sample_rate
    rng = np.random.default_rng(0)
    shape = case.n_channels, round(seconds * sample_rate)
    audio = (0.1 * rng.standard_normal(shape)).astype(np.float32)
    separator.separate(audio, sample_rate)  # plans, kernels and memory are there from now on
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        separator.separate(audio, sample_rate)
        found.append((time.perf_counter() - start) / seconds)
    return found


@click.command()
@click.option("--model", "names", multiple=True, type=click.Choice([*MODELS]))
@click.option("--seconds", type=float, default=60.0, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(names: tuple[str, ...], seconds: float, repeats: int, device: str) -> None:
    """Print a Markdown table: median, smallest and largest of the repetitions."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    where = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, 1 thread"
    print(f"{where} of {os.cpu_count()}; torch {version('torch')}; {seconds:g} s of audio\n")
    print(
        "| network | parameters | case | time / duration | least | most |\n"
        "|---|--:|---|--:|--:|--:|"
    )
    for name in names or MODELS:
        model = MODELS[name]()
        for case in CASES:
            if case.is_streaming and not model.is_fixed_length:
                continue
            made = ratios(model, case, seconds, repeats, device)
            cells = statistics.median(made), min(made), max(made)
            figures = " | ".join(f"{cell:.4f}" for cell in cells)
            print(f"| {name} | {model.n_parameters:,} | {case.name} | {figures} |", flush=True)
        del model
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nLargest resident size: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
