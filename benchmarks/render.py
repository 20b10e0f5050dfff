"""What rendering costs, as ratios of things timed in one run.

    python benchmarks/render.py MIDI_DIR [--songs 12] [--repeats 3] [--only commands]

* bare synthesis: the smallest loop that renders the same stems with the same libfluidsynth;
* song: `stemsmith.render.songs.render.run` in process, from MIDI file to published track folder;
* script: what a user would write today with pretty_midi, pyloudnorm and soundfile;
* command: `stemsmith render` with one and two worker processes, start-up and scan included;
* memory: largest resident size of a process that renders 10 minutes of 48 parts.

Machines are noisy: songs are timed in turn (bare, song, script), and only ratios are worth keeping.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import mido
import numpy as np
import pyloudnorm
import soundfile
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.notes import BLOCK
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.smf import Event
from stemsmith.render.songs.corpus import CorpusDestination
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.plan import CorpusPlan, plan_corpus
from stemsmith.render.songs.render import render_song
from stemsmith.render.sound import fluid
from stemsmith.render.sound.patches import Bank, bank_from_soundfonts
from stemsmith.render.sound.sf2 import default_soundfont
from stemsmith.render.sound.synth import on_grid
from stemsmith.render.workflow import scan

SAMPLE_RATE = 44100


class BareLoop:
    """Synthesis and nothing else: one mono float buffer, silence skipped, one synthesiser."""

    def __init__(self, soundfont: str) -> None:
        self._fluid = fluid.fluidsynth()
        settings = self._fluid.new_fluid_settings()
        for name, value in {
            "synth.reverb.active": 0,
            "synth.chorus.active": 0,
            "synth.threadsafe-api": 0,
        }.items():
            self._fluid.fluid_settings_setint(settings, name.encode(), value)
        self._fluid.fluid_settings_setnum(settings, b"synth.sample-rate", float(SAMPLE_RATE))
        self._synth = self._fluid.new_fluid_synth(settings)
        self._font = self._fluid.fluid_synth_sfload(self._synth, soundfont.encode(), 1)
        self._buffer = np.zeros(0, np.float32)

    def prepare(self, job: RenderJob) -> list[tuple[list[Event], list[int], int, int, int]]:
        """Read a song: everything the loop itself does not have to do."""
        _, score = load_score(Path(job.midi_root) / job.song.path, 1200.0)
        n_samples = int((score.duration_s + job.config.tail_s) * SAMPLE_RATE) // BLOCK * BLOCK
        self._buffer = np.ones(max(n_samples, len(self._buffer)), np.float32)  # touched
        parts = []
        for k, patch in enumerate(job.patches):
            if patch is not None and patch.preset is not None:
                events = score.events(k)
                seconds = score.tempo_map.seconds([e.tick for e in events])
                frames = on_grid(seconds, SAMPLE_RATE).tolist()
                parts.append((events, frames, patch.preset.bank, patch.preset.number, n_samples))
        return parts

    def run(self, parts: list[tuple[list[Event], list[int], int, int, int]]) -> None:
        """Synthesise all parts."""
        f, synth = self._fluid, self._synth
        address, outputs = self._buffer.ctypes.data, (ctypes.c_void_p * 2)()
        for events, frames, bank, number, n_samples in parts:
            f.fluid_synth_system_reset(synth)
            for channel in range(16):
                f.fluid_synth_program_select(synth, channel, self._font, bank, number)
            now = 0
            for frame, (_, data) in zip(
                [*frames, n_samples], [*events, Event(0, b"\0")], strict=True
            ):
                frame = min(frame, n_samples)
                if frame > now:
                    if f.fluid_synth_get_active_voice_count(synth):
                        outputs[0] = outputs[1] = address + 4 * now
                        f.fluid_synth_process(synth, frame - now, 0, None, 2, outputs)
                    now = frame
                kind, channel = data[0] >> 4, data[0] & 15
                if kind == 9 and data[2]:
                    f.fluid_synth_noteon(synth, channel, data[1], data[2])
                elif kind in (8, 9):
                    f.fluid_synth_noteoff(synth, channel, data[1])
                elif kind == 0xB and data[1] not in (0, 32):
                    f.fluid_synth_cc(synth, channel, data[1], data[2])
                elif kind == 0xE:
                    f.fluid_synth_pitch_bend(synth, channel, data[1] | data[2] << 7)


def run_script(midi: Path, destination: Path) -> None:
    """Make stems and mixture the way a user would write it today."""
    import pretty_midi

    destination.mkdir()
    score = pretty_midi.PrettyMIDI(str(midi))
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    n_samples = int((score.get_end_time() + 5) * SAMPLE_RATE)
    stems = []
    for instrument in score.instruments:
        audio = instrument.fluidsynth(fs=SAMPLE_RATE)
        audio = np.pad(audio, (0, max(0, n_samples - len(audio))))[:n_samples]
        loudness = meter.integrated_loudness(audio)
        if np.isfinite(loudness):
            audio = pyloudnorm.normalize.loudness(audio, loudness, -13.0)
        stems.append(audio)
    mix = np.sum(stems, axis=0)
    gain = min(1.0, 10 ** (-1 / 20) / np.abs(mix).max())
    for k, audio in enumerate(stems):
        soundfile.write(destination / f"S{k:02d}.flac", audio * gain, SAMPLE_RATE)
    soundfile.write(destination / "mix.flac", mix * gain, SAMPLE_RATE)


def timed(function: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def plan_songs(midi: Path, folder: Path, n_songs: int) -> tuple[CorpusPlan, Bank]:
    """Choose songs as `stemsmith render --seed 1` does."""
    scanned = scan(midi).found
    bank = bank_from_soundfonts([default_soundfont()])
    config = RenderConfig(seed=1, n_songs=n_songs)
    return plan_corpus(scanned, midi.resolve(), folder, config, bank), bank


def compare_songs(midi: Path, n_songs: int, repeats: int) -> list[str]:
    """Time bare synthesis, song and script in turn."""
    ratios: dict[str, list[float]] = {"song / bare": [], "script / song": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan, bank = plan_songs(midi, folder / "corpus", n_songs)
        loop = BareLoop(bank.soundfonts[0].path)
        audio_s = sum(job.song.duration_s + 5 for job in plan.jobs)
        for _ in range(repeats):
            totals = {"bare": 0.0, "song": 0.0, "script": 0.0}
            run = CorpusDestination(folder / "corpus", plan)
            with run.opened():
                for k, job in enumerate(plan.jobs):
                    parts = loop.prepare(job)
                    totals["bare"] += timed(partial(loop.run, parts))
                    totals["song"] += timed(partial(render_song, job))
                    source = Path(job.midi_root) / job.song.path
                    out = folder / f"script{k}"
                    totals["script"] += timed(partial(run_script, source, out))
                    shutil.rmtree(out)
            shutil.rmtree(folder / "corpus")
            ratios["song / bare"].append(totals["song"] / totals["bare"])
            ratios["script / song"].append(totals["script"] / totals["song"])
            click.echo(f"# {totals}, {audio_s / totals['song']:.0f} x real time", err=True)
    return [row(name, values) for name, values in ratios.items()]


def row(name: str, values: list[float]) -> str:
    """Return one line of the table: median, smallest and largest."""
    return f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |"


def compare_commands(midi: Path, n_songs: int, repeats: int) -> list[str]:
    """Time the whole command with one and two workers, and bare synthesis before and after each.

    A command takes minutes, in which the machine may become another: its time is divided by the
    mean of the two around it.
    """
    ratios: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        plan, bank = plan_songs(midi, Path(name), n_songs)
    loop = BareLoop(bank.soundfonts[0].path)

    def bare_s() -> float:
        return sum(timed(partial(loop.run, loop.prepare(job))) for job in plan.jobs)

    before_s = bare_s()
    for _ in range(repeats):
        for n_jobs, found in ratios.items():
            with tempfile.TemporaryDirectory() as name:
                command = [
                    sys.executable, "-m", "stemsmith.cli.main", "render", str(midi), f"{name}/c",
                    "--seed", "1", "--songs", str(n_songs), "--jobs", str(n_jobs), "-q",
                ]  # fmt: skip
                command_s = timed(partial(subprocess.run, command, check=True))
            after_s = bare_s()
            found.append(2 * command_s / (before_s + after_s))
            click.echo(f"# --jobs {n_jobs}: {command_s}, bare {before_s}, {after_s}", err=True)
            before_s = after_s
    return [
        row("command --jobs 1 / bare", ratios[1]),
        row("command --jobs 2 / bare", ratios[2]),
        row("--jobs 1 / --jobs 2", [a / b for a, b in zip(ratios[1], ratios[2], strict=True)]),
    ]


def large_song(path: Path, n_parts: int = 48, minutes: int = 10) -> None:
    """Write a score of many busy parts."""
    file = mido.MidiFile(ticks_per_beat=480)
    n_notes = minutes * 60 * 2
    for part in range(n_parts):
        channel = part % 9
        track = mido.MidiTrack()
        track.append(mido.Message("program_change", program=part % 32, channel=channel))
        for note in range(n_notes):
            key = 40 + (note * 7 + part) % 40
            track.append(mido.Message("note_on", note=key, velocity=80, channel=channel))
            track.append(mido.Message("note_off", note=key, time=480, channel=channel))
        file.tracks.append(track)
    file.save(path)


def peak_memory_mib() -> float:
    """Return the largest resident size of a process that renders a large song."""
    with tempfile.TemporaryDirectory() as name:
        large_song(Path(name, "large.mid"))
        command = [
            sys.executable, "-m", "stemsmith.cli.main", "render", name, f"{name}/c",
            "--no-band", "--jobs", "0", "-q",
        ]  # fmt: skip
        subprocess.run(command, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


@click.command()
@click.argument("midi_dir", type=click.Path(exists=True, path_type=Path))
@click.option("--songs", default=12)
@click.option("--repeats", default=3)
@click.option("--only", type=click.Choice(["songs", "commands"]))
def main(midi_dir: Path, songs: int, repeats: int, only: str | None) -> None:
    """Print the table of docs/benchmarks.md."""
    os.environ.pop("CI", None)
    warnings.filterwarnings("ignore", "Possible clipped samples")  # the script's, at every stem
    memory = peak_memory_mib()
    fluid.fluidsynth()  # before pretty_midi, so that both use the same library
    rows = []
    if only != "commands":
        rows += compare_songs(midi_dir, songs, repeats)
    if only != "songs":
        rows += compare_commands(midi_dir, songs, repeats)
    packages = ("numpy", "scipy", "soundfile", "pretty_midi")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(
        f"{songs} songs; {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, libfluidsynth {fluid.version()}, {versions}"
    )
    print("\n| ratio | median | min | max |\n|---|--:|--:|--:|")
    print("\n".join(rows))
    print(f"\nPeak memory, 48 parts of 10 minutes: {memory:.0f} MiB")


if __name__ == "__main__":
    main()
