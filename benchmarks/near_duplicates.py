"""How many changed copies of scores are found, which other songs are, and what many songs cost.

    python benchmarks/near_duplicates.py MIDI_DIR [--copies 200] [--songs 100000] [--seed 0]

Copies are files: transposed by up to 6 semitones, 0.8 to 1.25 times as fast (half of them by their
ticks, half by their tempi), with tracks shuffled, other programs and one part removed. Then every
pair of different songs of MIDI_DIR that is found is listed, for a person to judge. At last there
are as many signatures as `--songs` says, half as many, and a quarter: random numbers, of which
each has 2 % in common with all others, and a tenth are copies of others to 80 %.
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
from pathlib import Path

import click
import mido
import numpy as np
from stemsmith.manifests.records import ScannedSong
from stemsmith.render.corpus.near_duplicates import near_pairs
from stemsmith.render.midi.signature import N_HASHES, MelodicSignature
from stemsmith.render.workflow import scan

N_SHINGLES = 800


def write_copy(source: Path, path: Path, rng: random.Random) -> None:
    """Write a changed copy of a score."""
    file = mido.MidiFile(source, clip=True)
    semitones, speed = rng.choice([s for s in range(-6, 7) if s]), rng.uniform(0.8, 1.25)
    is_by_ticks, shift = rng.random() < 0.5, rng.randrange(1, 128)
    parts = {
        (number, message.channel)
        for number, track in enumerate(file.tracks)
        for message in track
        if message.type == "note_on" and message.velocity
    }
    removed = rng.choice(sorted(parts)) if len(parts) > 1 else None
    tracks = []
    for number, track in enumerate(file.tracks):
        tick, last, changed = 0, 0, mido.MidiTrack()
        for message in track:
            tick += message.time
            if message.type in ("note_on", "note_off"):
                if (number, message.channel) == removed:
                    continue
                step = 0 if message.channel == 9 else semitones
                message.note = min(max(message.note + step, 0), 127)
            elif message.type == "program_change":
                message.program = (message.program + shift) % 128
            elif message.type == "set_tempo" and not is_by_ticks:
                message.tempo = min(round(message.tempo / speed), 0xFFFFFF)
            now = round(tick / speed) if is_by_ticks else tick
            changed.append(message.copy(time=now - last))
            last = now
        tracks.append(changed)
    others = tracks[1:]
    rng.shuffle(others)
    file.tracks = [*tracks[:1], *others]
    file.save(path)


def pairs_of(songs: list[ScannedSong]) -> dict[tuple[int, int], tuple[float, float]]:
    """Return shared and contained shingles of each pair that is found."""
    found = near_pairs([song.melodic_signature for song in songs])
    first, second, shared, contained = (column.tolist() for column in found)
    return dict(
        zip(zip(first, second, strict=True), zip(shared, contained, strict=True), strict=True)
    )


def copies_found(folder: Path, songs: list[ScannedSong], seed: int) -> tuple[int, list[str]]:
    """Copy songs and look for them; return how many copies there are, and which were missed."""
    with tempfile.TemporaryDirectory() as scratch:
        for number, song in enumerate(songs):
            path = Path(scratch) / f"{number:05d}.mid"
            write_copy(folder / song.path, path, random.Random(f"{seed}/{song.md5}"))
        copies = {song.path: song for song in scan(scratch).song_records()}
    both = {k: copies[f"{k:05d}.mid"] for k in range(len(songs)) if f"{k:05d}.mid" in copies}
    found = pairs_of([*(songs[k] for k in both), *both.values()])
    n = len(both)
    missed = [songs[k].path for place, k in enumerate(both) if (place, place + n) not in found]
    return n, missed


def cost_of(n_songs: int, seed: int) -> tuple[float, float]:
    """Return seconds, and the process's largest memory so far in MiB."""
    rng = np.random.default_rng(seed)
    minima = rng.integers(0, 1 << 16, (n_songs, N_HASHES), dtype=np.uint16)
    common = rng.integers(0, 1 << 16, N_HASHES, dtype=np.uint16)
    n_copies = n_songs // 10
    for row, minimum in enumerate(minima):
        if row >= n_songs - n_copies:
            copied = rng.random(N_HASHES) < 0.8
            minimum[copied] = minima[row - n_copies][copied]
        else:
            shared = rng.random(N_HASHES) < 0.02
            minimum[shared] = common[shared]
    texts = [str(MelodicSignature(N_SHINGLES, minimum)) for minimum in minima]
    del minima
    start = time.perf_counter()
    assert len(near_pairs(texts).first) >= 0.99 * n_copies
    duration_s = time.perf_counter() - start
    return duration_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.argument("midi_dir", type=click.Path(path_type=Path, exists=True))
@click.option("--copies", default=200, show_default=True, help="Songs that are copied.")
@click.option("--songs", default=100_000, show_default=True, help="Signatures, at last.")
@click.option("--seed", default=0, show_default=True)
def main(midi_dir: Path, copies: int, songs: int, seed: int) -> None:
    """Print the three tables."""
    by_notes = {song.notes_sha256: song for song in scan(midi_dir).song_records()}
    found = list(by_notes.values())
    chosen = random.Random(seed).sample(found, min(copies, len(found)))
    n_copies, missed = copies_found(midi_dir, chosen, seed)
    print(f"{n_copies - len(missed)} of {n_copies} copies found; missed: {missed or 'none'}")
    for (first, second), (shared, contained) in sorted(pairs_of(found).items()):
        names = f"{found[first].path} and {found[second].path}"
        print(f"{names}: {shared:.2f} shared, {contained:.2f} contained")
    for n_songs in (songs // 4, songs // 2, songs):
        duration_s, memory_mib = cost_of(n_songs, seed)
        print(f"{n_songs:,} songs: {duration_s:.1f} s, {memory_mib:.0f} MiB")


if __name__ == "__main__":
    main()
