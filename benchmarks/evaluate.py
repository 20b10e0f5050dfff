"""What BSS Eval costs here and in museval, on one core.

    python benchmarks/evaluate.py [--seconds 240] [--repeats 1]

Four stereo sources at 44.1 kHz in windows of 1 s: coloured noise that is silent now and then, and
estimates with interference, noise and an echo. Needs museval, and threadpoolctl to hold NumPy's
libraries to one thread; Linux, for the memory.

Seconds are CPU seconds of the process: what one free core takes. The two take turns, so that both
see the same other load, and a ratio is of runs one after the other. Memory is the largest resident
size during a run, above the one before it: the audio, in float64, is there before.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import scipy.io.wavfile
import scipy.signal
import threadpoolctl
from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
from stemsmith.evaluate.metrics.bsseval.frames import BssScores
from stemsmith.evaluate.metrics.museval_engine import museval_bss_eval
from stemsmith.manifests.audio.read import read_excerpt

_SAMPLE_RATE = 44100
_MUSDB18_TEST_S = 12_439  # 50 songs, in whole seconds

Audio = npt.NDArray[np.float64]
Engine = Callable[[Audio, Audio, int], list[BssScores]]


def make_track(seconds: int) -> tuple[Audio, Audio]:
    """Return references and estimates, (4, 2, n_samples)."""
    rng = np.random.default_rng(0)
    references = np.empty((4, 2, seconds * _SAMPLE_RATE))
    for source, pole in enumerate((0.95, 0.5, -0.3, 0.8)):
        for channel in range(2):
            noise = 0.05 * rng.standard_normal(references.shape[2])
            references[source, channel] = scipy.signal.lfilter([1], [1, -pole], noise)
        silent_s = 7 * source + 3
        references[source, :, silent_s * _SAMPLE_RATE : (silent_s + 2) * _SAMPLE_RATE] = 0.0
    estimates = references + 0.2 * np.roll(references, 1, axis=0)
    estimates += 0.1 * np.roll(references, 40, axis=2)
    estimates += 0.01 * rng.standard_normal(estimates.shape)
    return references, estimates


def run(engine: Engine, references: Audio, estimates: Audio) -> tuple[BssScores, float, float]:
    """Return the scores, the CPU seconds they take, and the GiB added to the resident size."""
    before_gib = resident_gib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the largest size so far is forgotten
    start = time.process_time()
    (scores,) = engine(references, estimates, _SAMPLE_RATE)
    taken_s = time.process_time() - start
    return scores, taken_s, resident_gib("VmHWM") - before_gib


def resident_gib(field: str) -> float:
    """Return the resident size of this process: now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def deviation_db(ours: BssScores, theirs: BssScores) -> float:
    """Return the largest difference; inf if scores are NaN in one of them alone."""
    a, b = (np.stack([s.sdr_db, s.isr_db, s.sir_db, s.sar_db]) for s in (ours, theirs))
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    return float(np.nanmax(np.abs(a - b)))


def row(name: str, values: list[float], digits: int = 2) -> str:
    """Return one line of the table: median, smallest and largest."""
    cells = (statistics.median(values), min(values), max(values))
    return f"| {name} | " + " | ".join(f"{cell:,.{digits}f}" for cell in cells) + " |"


def compare_reading() -> str:
    """Read 10 s out of a MUSDB18-HQ song of a minute, here and with the musdb package."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        return "musdb cannot be compared: it needs ffmpeg and ffprobe"
    import musdb

    with tempfile.TemporaryDirectory() as name:
        song = Path(name, "train", "A - Song")
        song.mkdir(parents=True)
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 60 * _SAMPLE_RATE))
        samples = (noise * 32767).astype(np.int16)
        for stem in ("mixture", "vocals", "drums", "bass", "other"):
            scipy.io.wavfile.write(song / f"{stem}.wav", _SAMPLE_RATE, samples.T)
        (track,) = musdb.DB(name, is_wav=True, subsets="train")
        track.chunk_start, track.chunk_duration = 20.0, 10.0
        start, n = 20 * _SAMPLE_RATE, 10 * _SAMPLE_RATE
        assert np.array_equal(track.audio.T, read_excerpt(song / "mixture.wav", start, n))
        ours_s = theirs_s = 0.0
        for _ in range(20):
            begin = time.perf_counter()
            read_excerpt(song / "mixture.wav", start, n)
            ours_s += time.perf_counter() - begin
            begin = time.perf_counter()
            _ = track.audio
            theirs_s += time.perf_counter() - begin
    ratio = theirs_s / ours_s
    return f"Reading 10 s of a WAV: musdb {version('musdb')} takes {ratio:.0f} times as long"


@click.command()
@click.option("--seconds", default=60, help="Length of the track.")
@click.option("--repeats", default=3, help="Pairs of runs.")
def main(seconds: int, repeats: int) -> None:
    """Print the table of docs/benchmarks.md."""
    threadpoolctl.threadpool_limits(1)
    audio = make_track(seconds)
    run(bss_eval, *(signals[:, :, : 3 * _SAMPLE_RATE] for signals in audio))  # warm up
    ours_s, theirs_s, ours_gib, theirs_gib, ratios, deviations_db = ([] for _ in range(6))
    for _ in range(repeats):
        ours, taken_s, added_gib = run(bss_eval, *audio)
        theirs, museval_s, museval_gib = run(museval_bss_eval, *audio)
        again, taken_again_s, _ = run(bss_eval, *audio)
        ours_s.append((taken_s + taken_again_s) / 2)
        theirs_s.append(museval_s)
        ours_gib.append(added_gib)
        theirs_gib.append(museval_gib)
        ratios.append(theirs_s[-1] / ours_s[-1])
        deviations_db.append(max(deviation_db(ours, theirs), deviation_db(again, theirs)))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "museval"))
    print(
        f"4 stereo sources of {seconds} s, windows of 1 s, one of {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}"
    )
    print("\n| | median | min | max |\n|---|--:|--:|--:|")
    print(row("seconds of museval / seconds of ours", ratios, 1))
    print(row("seconds of ours", ours_s))
    print(row("seconds of museval", theirs_s))
    print(row("GiB added by ours", ours_gib))
    print(row("GiB added by museval", theirs_gib))
    print(f"\nLargest deviation: {max(deviations_db):.1e} dB")
    hours = [_MUSDB18_TEST_S * statistics.median(s) / seconds / 3600 for s in (ours_s, theirs_s)]
    print(f"Projected for MUSDB18 test: {60 * hours[0]:.1f} min; museval {hours[1]:.1f} h")

    print(compare_reading())


if __name__ == "__main__":
    main()
