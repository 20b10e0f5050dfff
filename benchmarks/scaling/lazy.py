"""A corpus without audio and one with it: what is stored, and examples a second of training."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import click
import stemsmith
from scaling.measuring import SCORES
from stemsmith.manifests.cache import CACHE_VARIABLE, SIZE_VARIABLE
from stemsmith.render.corpus.config import Splits
from stemsmith.render.sound.measured_bank import with_compasses

_RATE_HZ: Final = 44100
_SEGMENT_S: Final = 4
_N_BATCH: Final = 8
_AUDIO: Final = ".flac"


def size_of(root: Path, *, is_audio: bool) -> int:
    """Return the bytes of the files of a folder that are audio, or are not."""
    files = (path for path in root.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if (path.suffix == _AUDIO) == is_audio)


def rate_of(mixtures: Path, n_workers: int) -> float:
    """Return the examples of an epoch per second, as the streaming loader gives them."""
    # Not above: processes whose memory `million` measures import this file, and need no torch.
    from stemsmith.train.data.clips import find_clips
    from stemsmith.train.data.examples import ExampleRules, Turns
    from stemsmith.train.data.module import MixtureDataset, StreamLoader

    clips = find_clips([mixtures], "train", ("bass",), _RATE_HZ)
    rules = ExampleRules(0, _SEGMENT_S * _RATE_HZ)
    dataset = MixtureDataset(clips, rules)
    turns = Turns(len(rules.table(clips.n_samples, 1, 0)), _N_BATCH)
    with closing(StreamLoader(dataset, turns, n_workers)) as loader:
        start, n_examples = time.perf_counter(), 0
        for mixture, _ in loader:
            n_examples += len(mixture)
        return n_examples / (time.perf_counter() - start)


def row(name: str, value: str, ratio: float | None) -> None:
    """Print one row of a table."""
    print(f"| {name} | {value} | {'' if ratio is None else f'{ratio:.4g}'} |", flush=True)


@click.command()
@click.option("--midi", type=click.Path(path_type=Path), default=SCORES, help="Scores.")
@click.option("--songs", "n_songs", type=int, help="Songs to render; all by default.")
@click.option("--mixtures", "n_mixtures", type=int, default=64, show_default=True)
@click.option("--mode", default="coherent", show_default=True)
@click.option("--workers", "n_workers", type=int, default=2, show_default=True)
@click.option("--cache-gb", type=float, default=8.0, show_default=True)
def lazy(
    midi: Path, n_songs: int | None, n_mixtures: int, mode: str, n_workers: int, cache_gb: float
) -> None:
    """Compare a corpus without audio with one that has it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ[CACHE_VARIABLE] = str(root / "cache")
        os.environ[SIZE_VARIABLE] = str(cache_gb)
        with_compasses(stemsmith.make_bank())  # soundfonts are listened to once on a machine
        seconds, corpora = {}, {}
        for kind in ("eager", "lazy"):
            start = time.perf_counter()
            corpora[kind] = stemsmith.render_corpus(
                midi, root / kind, band=None, n_songs=n_songs, splits=Splits.parse("1,0,0"),
                lazy=kind == "lazy", jobs=n_workers,
            )  # fmt: skip
            seconds[kind] = time.perf_counter() - start
        stemsmith.pack(corpora["eager"], root / "pack.json")
        n_flac = size_of(root / "eager", is_audio=True)
        n_kept, n_pack = size_of(root / "lazy", is_audio=False), (root / "pack.json").stat().st_size
        print("| | | ratio |\n|---|---:|---:|")
        row(f"FLAC of {len(corpora['eager'])} songs", f"{n_flac:,} bytes", None)
        row("kept by --lazy", f"{n_kept:,} bytes", n_kept / n_flac)
        row("pack", f"{n_pack:,} bytes", n_pack / n_flac)
        row("rendering", f"{seconds['eager']:.1f} s", None)
        row("rendering with --lazy", f"{seconds['lazy']:.1f} s", seconds["lazy"] / seconds["eager"])
        for kind, corpus in corpora.items():
            stemsmith.mix(
                corpus, root / f"mixtures-{kind}", mode=mode, target="bass",
                n_mixtures=n_mixtures, min_rms_dbfs=-60.0, jobs=0,
            )  # fmt: skip
        shutil.rmtree(root / "cache" / "songs", ignore_errors=True)
        rates = {
            "eager": rate_of(root / "mixtures-eager", n_workers),
            "lazy, cold cache": rate_of(root / "mixtures-lazy", n_workers),
            "lazy, warm cache": rate_of(root / "mixtures-lazy", n_workers),
        }
        for kind, rate in rates.items():
            row(f"examples/s, {kind}", f"{rate:.1f}", rate / rates["eager"])
