"""How much automatic equalisation lowers masking between stems, and what that gives an oracle.

    python benchmarks/masking.py CORPUS [--classes guitar,piano]

CORPUS was made by `stemsmith render`. Its stems are equalised as ``--equalise`` does it, brought
back to their loudness, and mixed. The table shows, for each class, the mean share of a stem's
energy that lies in a third octave in which another stem of the song is more than 6 dB louder; the
mean SI-SDR of the class against the rest of the song behind an ideal ratio mask; and the largest
change of a stem's loudness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from stemsmith.evaluate.benchmark.oracle import Oracle, oracle_estimates
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.names import slug
from stemsmith.mixing.level.loudness import envelope, integrated_loudness
from stemsmith.mixing.production.equaliser import (
    apply_equaliser,
    band_energies,
    least_masking,
    masked_shares,
)


def loudness_lufs(audio: Float32s, sample_rate: int) -> float | None:
    """Return the integrated loudness of a stem."""
    return integrated_loudness(envelope(audio, sample_rate).k_power)


def equalised(stems: list[Float32s], sample_rate: int) -> list[Float32s]:
    """Return the stems of a song with less masking, as loud as they were."""
    filters = least_masking([band_energies(audio, sample_rate) for audio in stems])
    made = []
    for audio, found in zip(stems, filters, strict=True):
        filtered = apply_equaliser(audio, found, sample_rate)
        before, after = (loudness_lufs(one, sample_rate) for one in (audio, filtered))
        change_db = before - after if before is not None and after is not None else 0.0
        made.append(filtered * np.float32(10 ** (change_db / 20)))
    return made


def oracle_db(stems: list[Float32s], classes: list[str], wanted: str, sample_rate: int) -> float:
    """Return the SI-SDR of what an ideal ratio mask takes out of a song."""
    mixture: Any = sum(stems)
    target: Any = sum(audio for audio, name in zip(stems, classes, strict=True) if name == wanted)
    references = np.stack([target, mixture - target])
    estimate = oracle_estimates(Oracle.IRM, references, mixture, sample_rate)[0]
    return float(np.mean(si_sdr_db(target, estimate)))


@click.command()
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("--classes", default="guitar,piano", help="Classes to show.")
def main(corpus: Path, classes: str) -> None:
    """Print the table."""
    wanted = classes.split(",")
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in wanted}
    oracles: dict[str, list[tuple[float, float]]] = {name: [] for name in wanted}
    largest_lu = 0.0
    reader = Corpus(corpus)
    stems_of: dict[str, list[Any]] = {}
    for stem in reader.stem_records():
        stems_of.setdefault(stem.song_id, []).append(stem)
    for records in stems_of.values():
        sample_rate = records[0].sample_rate
        names = [slug(stem.inst_class) for stem in records]
        before = [read_excerpt(corpus / s.path, 0, s.n_samples) for s in records]
        after = equalised(before, sample_rate)
        for one, other in zip(before, after, strict=True):
            levels = loudness_lufs(one, sample_rate), loudness_lufs(other, sample_rate)
            if levels[0] is not None and levels[1] is not None:
                largest_lu = max(largest_lu, abs(levels[1] - levels[0]))
        masked = [
            masked_shares(np.stack([band_energies(audio, sample_rate) for audio in stems]))
            for stems in (before, after)
        ]
        for k, name in enumerate(names):
            if name in wanted:
                shares[name].append((masked[0][k], masked[1][k]))
        for name in set(wanted) & set(names):
            pair = [oracle_db(stems, names, name, sample_rate) for stems in (before, after)]
            oracles[name].append((pair[0], pair[1]))
    print(f"{len(stems_of)} songs; largest change of loudness {largest_lu:.3f} LU")
    for name in wanted:
        was, is_now = np.mean(shares[name], axis=0)
        db = np.mean(oracles[name], axis=0)
        print(
            f"{name}: masked {100 * was:.1f} -> {100 * is_now:.1f} % ({is_now / was - 1:+.0%}), "
            f"IRM SI-SDR {db[0]:.2f} -> {db[1]:.2f} dB"
        )


if __name__ == "__main__":
    main()
