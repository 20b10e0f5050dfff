"""How the statistics of pairing tell clips of one song from clips of two.

    python benchmarks/pairing.py CORPUS [--groups bass,guitar] [--clip 10]

CORPUS was made by `stemsmith render`. As in Table I of Chiu et al. 2020: of all clips of the stems
of two classes, pairs within songs sound together in their song, and pairs across songs are of two
songs; the table shows how each statistic is distributed over both, and how many may meet at the
default threshold. Clips follow one another without overlap; silent ones are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s
from stemsmith.manifests.audio.read import FULL_SCALE_16, read_int16
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.names import slug
from stemsmith.manifests.records import Stem
from stemsmith.mixing.plan import pairing
from stemsmith.mixing.plan.config import Pairing
from stemsmith.mixing.plan.recipes import SILENCE_RMS_DBFS

PERCENTILES = (5, 50, 95)
MAX_BYTES = 1 << 30


class Clip(NamedTuple):
    """A clip of a stem, and what is known of it."""

    song_id: str
    interval: int
    audio: npt.NDArray[np.int16]
    norm: float
    chroma: Float32s


def as_float(samples: npt.NDArray[np.int16]) -> Float32s:
    """Return integers as (n_samples,) float32 with full scale at 1."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE_16)


def clips_of(folder: Path, stem: Stem, clip_s: float) -> list[Clip]:
    """Cut a stem into clips that are not silent."""
    (samples, *_), sample_rate = read_int16(folder / stem.path)
    n_samples = round(clip_s * sample_rate)
    lowest_norm = 10 ** (SILENCE_RMS_DBFS / 20) * n_samples**0.5
    clips = []
    for interval in range(len(samples) // n_samples):
        excerpt = samples[interval * n_samples : (interval + 1) * n_samples]
        audio = as_float(excerpt)
        norm = float(np.sqrt(np.square(audio, dtype=np.float64).sum()))
        if norm > lowest_norm:
            chroma = pairing.chroma_feature(audio, sample_rate)
            clips.append(Clip(stem.song_id, interval, excerpt.copy(), norm, chroma))
    return clips


def statistics(a: list[Clip], b: list[Clip]) -> dict[Pairing, Float32s]:
    """Return each statistic of all pairs, (n_a, n_b)."""
    products = pairing.inner_products(
        lambda i: as_float(a[i].audio),
        len(a),
        lambda i: as_float(b[i].audio),
        len(b),
        len(a[0].audio),
        MAX_BYTES,
    )
    chromas = [np.array([clip.chroma for clip in clips]) for clips in (a, b)]
    norms = [np.array([clip.norm for clip in clips]) for clips in (a, b)]
    return {
        Pairing.CHROMA: pairing.chroma_distances(*chromas),
        Pairing.CORRELATION: pairing.correlations(products),
        Pairing.PEARSON: pairing.pearson(products, *norms),
    }


def chosen_pairs(a: list[Clip], b: list[Clip]) -> Mapping[str, Bools]:
    """Return which pairs sound together, and which are of two songs."""
    songs = [np.array([clip.song_id for clip in clips]) for clips in (a, b)]
    intervals = [np.array([clip.interval for clip in clips]) for clips in (a, b)]
    is_same_song = songs[0][:, np.newaxis] == songs[1]
    is_same_interval = intervals[0][:, np.newaxis] == intervals[1]
    return {"within": is_same_song & is_same_interval, "across": ~is_same_song}


def row(kind: Pairing, pairs: str, values: Float32s, threshold: float) -> str:
    """Return one line of the table."""
    share = 100 * pairing.may_meet(kind, values, threshold).mean()
    numbers = [values.mean(dtype=np.float64), *np.percentile(values, PERCENTILES)]
    cells = " | ".join(f"{number:.3g}" for number in numbers)
    return f"| {kind} | {pairs} | {values.size} | {cells} | {share:.1f} |"


@click.command()
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--groups", default="bass,guitar", help="Two instrument classes.")
@click.option("--clip", "clip_s", default=10.0, help="Length of clips in seconds.")
def main(corpus: Path, groups: str, clip_s: float) -> None:
    """Print how the statistics are distributed within songs and across songs."""
    stems = Corpus(corpus).stem_records()
    names = groups.split(",")
    if len(names) != 2:
        raise click.BadParameter("name two classes", param_hint="--groups")
    a, b = (
        [c for s in stems if slug(s.inst_class) == name for c in clips_of(corpus, s, clip_s)]
        for name in names
    )
    if not a or not b:
        raise click.ClickException(f"{corpus}: no clips of {names[0] if not a else names[1]}")
    pairs = chosen_pairs(a, b)
    print(f"{len(a)} clips of {names[0]}, {len(b)} of {names[1]}, {clip_s:g} s\n")
    print("| statistic | songs | n | mean | 5 % | 50 % | 95 % | may meet, % |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for kind, statistic in statistics(a, b).items():
        threshold = pairing.DEFAULT_THRESHOLDS[kind]
        if kind is Pairing.CORRELATION:
            n_samples = len(a[0].audio)
            threshold = pairing.scaled_threshold(threshold, n_samples)
        for name, is_chosen in pairs.items():
            print(row(kind, name, statistic[is_chosen], threshold))


if __name__ == "__main__":
    main()
