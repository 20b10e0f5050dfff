"""CPU time of production, a second of song.

    python benchmarks/production.py CORPUS [--songs 3]

CORPUS was made by `stemsmith render`; its stems go through what ``--effects class``, ``--room
drawn``, ``--equalise``, ``--master bus`` and ``--codec`` do to those of a corpus that is rendered.
Measuring levels, quantising and writing are what every corpus needs, and are not counted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.corpus import Corpus
from stemsmith.mixing.level.spans import Spans
from stemsmith.mixing.production.codec import CODECS, Codec
from stemsmith.mixing.production.equaliser import least_masking
from stemsmith.render.corpus.config import Master, RenderConfig
from stemsmith.render.songs.production import SongProduction, plan_production


class Clock:
    """Adds up CPU seconds by what they were spent on."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)

    def __call__(self, what: str, work: Callable[[], Any]) -> Any:
        """Return what some work gives."""
        start_s = time.process_time()
        result = work()
        self.spent_s[what] += time.process_time() - start_s
        return result


def spans_of(audio: np.ndarray[Any, Any], sample_rate: int) -> Spans:
    """Return where a stem sounds, in steps of 100 ms."""
    step = sample_rate // 10
    loud = np.abs(audio).max(axis=0).reshape(-1, step).max(axis=1) > 0
    edges = np.flatnonzero(np.diff(np.r_[False, loud, False].astype(int)))
    return [(int(a) * step, int(b) * step) for a, b in edges.reshape(-1, 2)]


def measure(corpus: Path, records: list[Any], clock: Clock) -> float:
    """Produce one song; return its length in seconds."""
    sample_rate, n_samples = records[0].sample_rate, records[0].n_samples
    found = {}
    for what, options in (
        ("class effects", {"effects": "class"}),
        ("room", {"room": "drawn"}),
        ("bus", {"master": Master.BUS}),
        *((f"{name}:128", {"codec": Codec(name, 128)}) for name in CODECS),
    ):
        config = RenderConfig(sample_rate=sample_rate, **options)  # type: ignore[arg-type]
        production, _ = plan_production(config)
        found[what] = SongProduction(config, production, records[0].song_id)
    stems = [read_excerpt(corpus / s.path, 0, n_samples) for s in records]
    mix = np.rint(sum(stems) * 32768).astype(np.int16)
    spans = [spans_of(audio, sample_rate) for audio in stems]
    for audio, record, where in zip(stems, records, spans, strict=True):
        for what in ("class effects", "room"):
            play = partial(found[what].play, record.stem, record.program, audio.copy(), where)
            clock(what, play)
    song = found["bus"]
    energies = [clock("equaliser", partial(song.energies, audio)) for audio in stems]
    filters = clock("equaliser", partial(least_masking, energies))
    for audio, one, where in zip(stems, filters, spans, strict=True):
        clock("equaliser", partial(song.equalise, audio, one, where))
    for what in found:
        if what not in ("class effects", "room"):
            clock(what, partial(found[what].master, mix))
    return float(n_samples / sample_rate)


@click.command()
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("--songs", "n_songs", default=3)
def main(corpus: Path, n_songs: int) -> None:
    """Print CPU seconds a second of song."""
    stems_of: dict[str, list[Any]] = defaultdict(list)
    for stem in Corpus(corpus).stem_records():
        stems_of[stem.song_id].append(stem)
    chosen = list(stems_of.values())[:n_songs]
    measure(corpus, chosen[0], Clock())  # imports, and the delays of codecs
    clock = Clock()
    duration_s = sum(measure(corpus, records, clock) for records in chosen)
    n_stems = sum(map(len, chosen)) / len(chosen)
    print(f"{len(chosen)} songs of {n_stems:.1f} stems, {duration_s:.0f} s")
    for what, spent_s in clock.spent_s.items():
        print(f"{what}: {spent_s / duration_s:.4f} CPU s a second of song")


if __name__ == "__main__":
    main()
