"""Songs in tars and in folders: rendering them, and reading all or excerpts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
import numpy as np
import stemsmith
from scaling.measuring import SCORES, compare
from stemsmith.manifests import storage
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.corpus import Corpus

_EXCERPT_S: Final = 10
_N_EXCERPTS: Final = 200


def read_all(corpus: Corpus) -> None:
    """Decode every mixture and every stem."""
    for track in corpus.values():
        assert track.mixture.size
        assert all(stem.audio.size for stem in track.stems.values())


def read_excerpts(corpus: Corpus) -> None:
    """Decode excerpts of stems, drawn from all, the same ones of the same songs."""
    rng, stems = np.random.default_rng(0), corpus.stem_records()
    for _ in range(_N_EXCERPTS):
        stem = stems[rng.integers(len(stems))]
        n_samples = min(_EXCERPT_S * stem.sample_rate, stem.n_samples)
        start = int(rng.integers(stem.n_samples - n_samples + 1))
        read_excerpt(storage.inside(corpus.root, stem.path), start, n_samples)


@click.command()
@click.option("--midi", type=click.Path(path_type=Path), default=SCORES, help="Scores.")
@click.option("--songs", "n_songs", type=int, help="Songs to render; all by default.")
@click.option("--tracks-per-tar", type=int, default=4, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
def tars(midi: Path, n_songs: int | None, tracks_per_tar: int, repeats: int) -> None:
    """Compare a corpus in tars with one in folders."""
    with tempfile.TemporaryDirectory() as name:
        made: dict[str, Corpus] = {}

        def render(kind: str, number: int) -> None:
            made[kind] = stemsmith.render_corpus(
                midi, Path(name, f"{kind}-{number}"), band=None, n_songs=n_songs,
                tracks_per_tar=tracks_per_tar if kind == "tars" else None,
            )  # fmt: skip

        stemsmith.render_corpus(midi, Path(name, "first"), band=None, n_songs=1)  # listens to fonts
        steps: dict[str, Callable[[str, int], None]] = {
            "render": render,
            "read all": lambda kind, _: read_all(made[kind]),
            f"read {_N_EXCERPTS} excerpts": lambda kind, _: read_excerpts(made[kind]),
        }
        compare(steps, ("folders", "tars"), repeats)
