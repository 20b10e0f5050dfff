"""What an SFZ instrument costs: reading and checking it, and a stem of it.

    python benchmarks/sfz.py INSTRUMENT.sfz [--drums] [--seconds 120] [--repeats 3]

The part is drawn: eight notes a second of those that the instrument plays, held for 0.3 s, at
44,100 Hz in stereo. CPU times are medians; loading is what a stem of one sample takes. Memory is
that of the largest process so far, so that each instrument needs a process of its own.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import numpy as np
from stemsmith.render.midi.smf import Event
from stemsmith.render.sound.sfz.instrument import SfzInstrument, file_hashes, read_sfz
from stemsmith.render.sound.sfz.playing import play_sfz

SAMPLE_RATE = 44100
NOTES_PER_S = 8
HELD_S = 0.3


@dataclass(frozen=True)
class SfzFigures:
    """What was measured of an instrument.

    Attributes
    ----------
    n_regions, n_files : int
        Regions, and files that it is made of.
    n_megabytes : float
        Their size in 10^6 bytes.
    read_s : float
        CPU time of reading and checking it, once in the process that plans.
    load_s : float
        CPU time of the process of a stem until it plays.
    times_real_time : float
        Seconds of audio for each second of CPU time after that.
    n_megabytes_memory : float
        Memory of the process of a stem.
    is_same : bool
        Whether all stems were the same samples.
    """

    n_regions: int
    n_files: int
    n_megabytes: float
    read_s: float
    load_s: float
    times_real_time: float
    n_megabytes_memory: float
    is_same: bool


def measure_sfz(path: Path, is_drum: bool, seconds: float, n_repeats: int) -> SfzFigures:
    """Measure an instrument."""
    start = time.process_time()
    instrument = read_sfz(path, is_drum)
    read_s = time.process_time() - start
    files = file_hashes(instrument)
    loads = [_play(instrument, 1 / SAMPLE_RATE)[0] for _ in range(n_repeats)]
    stems = [_play(instrument, seconds) for _ in range(n_repeats)]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    load_s = median(loads)
    return SfzFigures(
        n_regions=instrument.n_regions,
        n_files=len(files),
        n_megabytes=sum(Path(file).stat().st_size for file in files) / 1e6,
        read_s=read_s,
        load_s=load_s,
        times_real_time=seconds / (median(cpu_s for cpu_s, _ in stems) - load_s),
        n_megabytes_memory=usage / (1e6 if sys.platform == "darwin" else 1e3),
        is_same=len({audio for _, audio in stems}) == 1,
    )


def _play(instrument: SfzInstrument, seconds: float) -> tuple[float, bytes]:
    """Return the CPU time of a stem, and its samples."""
    rng = np.random.default_rng(0)
    table = np.unpackbits(np.frombuffer(instrument.notes, np.uint8)).reshape(128, 128)
    notes = np.argwhere(table[:, 40:121]) + np.array([0, 40])
    events: list[tuple[int, int, bytes]] = []
    for k in range(int(seconds * NOTES_PER_S)):
        key, velocity = rng.choice(notes).tolist()
        onset = round(k * SAMPLE_RATE / NOTES_PER_S)
        events.append((onset, 1, bytes((0x90, key, velocity))))
        events.append((onset + round(HELD_S * SAMPLE_RATE), 0, bytes((0x80, key, 0))))
    events.sort()
    out = np.empty((2, round(seconds * SAMPLE_RATE)), np.float32)
    before = _children_s()
    frames = np.array([frame for frame, _, _ in events], np.int64)
    play_sfz(instrument, [Event(0, data) for *_, data in events], frames, out, SAMPLE_RATE)
    return _children_s() - before, out.tobytes()


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@click.command(help=__doc__)
@click.argument("instrument", type=click.Path(exists=True, path_type=Path))
@click.option("--drums", is_flag=True)
@click.option("--seconds", default=120.0)
@click.option("--repeats", default=3)
def main(instrument: Path, drums: bool, seconds: float, repeats: int) -> None:
    """Measure and print."""
    found = measure_sfz(instrument, drums, seconds, repeats)
    print(f"{found.n_regions} regions, {found.n_files} files, {found.n_megabytes:.0f} MB")
    print(f"read and checked in {found.read_s:.1f} CPU s")
    print(
        f"a stem: loaded in {found.load_s:.1f} CPU s, {found.n_megabytes_memory:.0f} MB of memory"
    )
    print(f"played at {found.times_real_time:.0f} times real time in CPU time")
    print(f"the same samples {repeats} times: {'yes' if found.is_same else 'no'}")


if __name__ == "__main__":
    main()
