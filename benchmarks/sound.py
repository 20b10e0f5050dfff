"""What sound costs and what it changes: the same songs rendered in several ways.

    python benchmarks/sound.py costs MIDI_DIR [--songs 8] [--repeats 3] [--sfz F.sfz]
    python benchmarks/sound.py table MIDI_DIR REAL... [--songs 20] [--keep FOLDER]

* costs: CPU seconds of `stemsmith render --jobs 0` with an option against those without, of one
  run; start and scan, which are the same in both, are taken off;
* table: the rows of docs/sound.md: what each option adds to all before it, in CPU seconds, bytes
  on disk and distance to real songs (`stemsmith gap`).

Machines are noisy: what is compared is rendered in turn, and CPU seconds are counted, of processes
that a command starts as well.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

STEREO = ("--channels", "2")
# Each row has the options of all before it.
ROWS: Mapping[str, Sequence[str]] = {
    "TimGM6mb, mono": (),
    "stereo": STEREO,
    "--bank general": ("--bank", "general"),
    "--balance real": ("--balance", "real"),
    "--drums joined": ("--drums", "joined"),
    "--effects class": ("--effects", "class"),
    "--room drawn": ("--room", "drawn"),
    "--master": ("--master", "bus"),
}


def run(*arguments: object) -> tuple[dict[str, Any], float]:
    """Run a command of stemsmith; return its summary and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "stemsmith.cli.main", *map(str, arguments), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), cpu_s


def render(midi: Path, corpus: Path, options: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Render a corpus; return its summary and the CPU seconds that songs took."""
    return run("render", midi, corpus, "--no-band", "--jobs", "0", *options)


@contextmanager
def chosen_songs(midi: Path, n_songs: int) -> Iterator[Path]:
    """Yield a folder with songs that a corpus of `midi` would have, of at most four minutes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = ["--songs", str(n_songs), "--seed", "1", "--max-duration", "240"]
        corpus = folder / "chosen"
        run("render", midi, corpus, *options, "--sample-rate", "8000", "--no-audit", "--jobs", "0")
        songs = folder / "songs"
        songs.mkdir()
        for source in sorted(corpus.glob("*/Track*/all_src.mid")):
            shutil.copy(source, songs / f"{source.parent.name}.mid")
        shutil.rmtree(corpus)
        yield songs


def n_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@click.group()
def main() -> None:
    """Measure what sound costs and what it changes."""


@main.command()
@click.argument("midi", type=click.Path(exists=True, path_type=Path))
@click.option("--songs", default=8)
@click.option("--repeats", default=3)
@click.option("--sfz", type=click.Path(exists=True, path_type=Path), help="A piano to compare.")
def costs(midi: Path, songs: int, repeats: int, sfz: Path | None) -> None:
    """Print CPU seconds with an option against those without."""
    cases: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "stereo / mono": (STEREO, ()),
        "stereo / mono, not audited": ((*STEREO, "--no-audit"), ("--no-audit",)),
        "three fonts / one": (("--bank", "general"), ()),
        "class effects / none, stereo": ((*STEREO, "--effects", "class"), STEREO),
        "room / none, stereo": ((*STEREO, "--room", "drawn"), STEREO),
        "drum pieces / none": (("--drum-pieces",), ()),
    }
    with chosen_songs(midi, songs) as chosen, tempfile.TemporaryDirectory() as name:
        corpus = Path(name, "corpus")
        ratios: dict[str, list[float]] = {case: [] for case in cases}
        extra: dict[str, list[float]] = {case: [] for case in cases}
        _, idle_s = run("scan", chosen)
        for _ in range(repeats):
            for case, pair in cases.items():
                spent = []
                for options in pair:
                    summary, cpu_s = render(chosen, corpus, options)
                    spent.append(cpu_s - idle_s)
                    hours = summary["hours"]
                    shutil.rmtree(corpus)
                ratios[case].append(spent[0] / spent[1])
                extra[case].append((spent[0] - spent[1]) / (3600 * hours))
                click.echo(f"# {case}: {spent}", err=True)
    print("| | ratio | min | max | CPU s more a song-second |\n|---|--:|--:|--:|--:|")
    for case, found in ratios.items():
        more = statistics.median(extra[case])
        low, middle, high = min(found), statistics.median(found), max(found)
        print(f"| {case} | {middle:.2f} | {low:.2f} | {high:.2f} | {more:.4f} |")


@main.command()
@click.argument("midi", type=click.Path(exists=True, path_type=Path))
@click.argument("real", nargs=-1, required=True)
@click.option("--songs", default=20)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder that the corpora stay in.")
def table(midi: Path, real: Sequence[str], songs: int, keep: Path | None) -> None:
    """Print what each option adds to those before it."""
    with chosen_songs(midi, songs) as chosen, tempfile.TemporaryDirectory() as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        options: list[str] = []
        before: Path | None = None
        print("| | gap dB | change a song, dB (95 %) | CPU s | MB |\n|---|--:|--:|--:|--:|")
        for number, (row, added) in enumerate(ROWS.items()):
            options += added
            corpus = folder / f"{number}"
            _, cpu_s = render(chosen, corpus, options)
            measured = ["--masters"] if row == "--master" else []
            measured += ["--baseline", str(before)] if before and not measured else []
            found, _ = run("gap", corpus, *real, *measured)
            change = ""
            if paired := found.get("paired", {}).get("gap of mixture, dB"):
                low, high = paired["interval"]
                change = f"{paired['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
            size = n_bytes(corpus) / 1e6
            print(f"| {row} | {found['gap_db']:.2f} | {change} | {cpu_s:.0f} | {size:.0f} |")
            before = corpus


if __name__ == "__main__":
    main()
