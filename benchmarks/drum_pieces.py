"""What the pieces of drum kits cost, and how near they are to kits that are rendered at once.

    python benchmarks/drum_pieces.py MIDI_DIR [--songs 12] [--repeats 3]

* synthesis: CPU seconds of kits in pieces against kits at once, by FluidSynth alone, and the
  largest difference of the sum in steps of 16 bits at a peak of -1 dBFS;
* all included: CPU seconds of `render --drum-pieces --jobs 0` against `render --jobs 0` of songs
  of which only the kits are left: synthesis, loudness, audit, FLAC, MIDI, records.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from stemsmith.manifests.programs import DrumPiece
from stemsmith.render.midi.drum_pieces import pieces_of_keys
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import Preset, on_grid, shared_synth
from stemsmith.render.workflow import render_corpus

RATE = 44100
STEP = 10 ** (-1 / 20) * 32768


def kits_of(midi: Path, n_songs: int) -> list[tuple[Score, int]]:
    """Return the kits of the first songs that have one of at least 100 notes."""
    found = []
    for path in sorted(midi.rglob("*.mid")):
        try:
            _, score = load_score(path, 240.0)
        except Unusable:
            continue
        kits = [i for i, p in enumerate(score.parts) if p.is_drum and p.n_notes >= 100]
        found += [(score, index) for index in kits[:1]]
    return found[:n_songs]


def synthesis(score: Score, index: int, n_channels: int) -> tuple[float, float, float]:
    """Return CPU seconds in pieces and at once, and the largest difference in steps."""
    preset = Preset(str(default_soundfont()), 128, 0)
    synth, part = shared_synth(RATE, (preset.soundfont,)), score.parts[index]
    events = score.events(index)
    frames = on_grid(score.tempo_map.seconds([event.tick for event in events]), RATE)
    of_keys = pieces_of_keys(part, 0)
    played = {of_keys[key] for key in score.notes(index).pitch.tolist()}
    pieces = [piece for piece in DrumPiece if piece in played]
    groups = [pieces.index(piece) if piece in pieces else 0 for piece in of_keys]
    n_samples = round((score.duration_s + 5) * RATE)
    whole = np.ones((n_channels, n_samples), np.float32)
    apart = np.ones((len(pieces), *whole.shape), np.float32)
    start = time.process_time()
    synth.render_apart(events, frames, preset, apart, groups)
    in_pieces_s = time.process_time() - start
    start = time.process_time()
    synth.render(events, frames, preset, whole)
    at_once_s = time.process_time() - start
    factor = STEP / np.abs(whole).max()
    total = sum(np.rint(piece * factor) for piece in apart)
    return in_pieces_s, at_once_s, float(np.abs(total - np.rint(whole * factor)).max())


def all_included(midi: Path, in_pieces: bool) -> float:
    """Return the CPU seconds of rendering a folder in this process."""
    with tempfile.TemporaryDirectory() as name:
        start = time.process_time()
        render_corpus(midi, Path(name, "c"), band=None, min_notes=1, drum_pieces=in_pieces)
        return time.process_time() - start


@click.command()
@click.argument("midi", type=click.Path(exists=True, path_type=Path))
@click.option("--songs", default=12)
@click.option("--repeats", default=3)
def main(midi: Path, songs: int, repeats: int) -> None:
    """Print both ratios."""
    kits = kits_of(midi, songs)
    for n_channels in (1, 2):
        ratios, steps = [], 0.0
        for _ in range(repeats):
            found = [synthesis(score, index, n_channels) for score, index in kits]
            apart_s, whole_s, differences = zip(*found, strict=True)
            ratios.append(sum(apart_s) / sum(whole_s))
            steps = max(steps, *differences)
        print(
            f"synthesis, {n_channels} channels, {len(kits)} kits: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}); largest difference {steps:.0f} steps"
        )
    with tempfile.TemporaryDirectory() as name:
        for number, (score, index) in enumerate(kits):
            Path(name, f"{number:02d}.mid").write_bytes(score.midi(index))
        all_included(Path(name), in_pieces=False)  # fonts and libraries are loaded
        ratios = [all_included(Path(name), True) / all_included(Path(name), False)
                  for _ in range(repeats)]  # fmt: skip
    print(
        f"all included, {len(kits)} kits: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
