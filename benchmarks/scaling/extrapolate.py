"""What large collections would take on more cores, from what parts of it take on one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import click
from scaling.measuring import cpu_s_of
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.jobs import do_jobs
from stemsmith.render.workflow import render_corpus, scan


class Collection(NamedTuple):
    """A collection of scores.

    Attributes
    ----------
    name : str
        What it is called.
    n_files : int
        Number of scores.
    hours : float
        Length of all of them.
    """

    name: str
    n_files: int
    hours: float


_LMD: Final = Collection("LMD", 176_581, 10_521.0)
_N_OF_GIGAMIDI: Final = 2_100_000  # of which nobody says how long they are: taken to be as of LMD
_COLLECTIONS: Final = (
    _LMD, Collection("GigaMIDI", _N_OF_GIGAMIDI, _N_OF_GIGAMIDI / _LMD.n_files * _LMD.hours),
)  # fmt: skip
_CORES: Final = (1, 16, 1000)
_N_HANDED: Final = 5000
_SIZE_OF_JOB: Final = 4000  # bytes


@dataclass(frozen=True)
class Parts:
    """Seconds of a processor that parts of the work take.

    Attributes
    ----------
    scanning : float
        Of a worker, for each file.
    rendering : float
        Of a worker, for each second of music.
    flac_bytes : float
        Of each second of music, all stems and the mixture.
    handing_out : float
        Of the process that gives workers work, for each job.
    client : mapping of str to float
        The same, of stages of ``million``, for each song or recipe.
    """

    scanning: float
    rendering: float
    flac_bytes: float
    handing_out: float
    client: dict[str, float]


def client_parts(table: str) -> dict[str, float]:
    """Return the processor's seconds for each song or recipe of the stages of a table."""
    cells = [[c.strip() for c in line.split("|")] for line in table.splitlines() if "|" in line]
    return {row[2]: float(row[5]) / int(row[3]) for row in cells if row[3].isdigit()}


def measured_parts(midi_dir: Path, table: str, n_songs: int) -> Parts:
    """Scan a folder, render some songs of it, and hand out jobs that are none."""
    inventory, scan_s = cpu_s_of(lambda: scan(midi_dir))
    with tempfile.TemporaryDirectory() as name:
        corpus, render_s = cpu_s_of(
            lambda: render_corpus(
                midi_dir, Path(name, "corpus"), seed=1, band=None, n_songs=n_songs
            )
        )
        music_s = sum(song.n_samples / song.sample_rate for song in corpus.song_records())
        n_bytes = sum(path.stat().st_size for path in corpus.root.rglob("*.flac"))
    jobs = [f"{number:0{_SIZE_OF_JOB}d}" for number in range(_N_HANDED)]
    with open_workers(2) as workers:
        list(do_jobs(workers, len, jobs[:100], len))
        _, handed_s = cpu_s_of(lambda: list(do_jobs(workers, len, jobs, len)))
    return Parts(
        scanning=scan_s / len(inventory),
        rendering=(render_s - scan_s) / music_s,
        flac_bytes=n_bytes / music_s,
        handing_out=handed_s / _N_HANDED,
        client=client_parts(table),
    )


def stages_of(parts: Parts, what: Collection) -> dict[str, tuple[float, float]]:
    """Return what each stage takes: seconds of all workers together, and of the client."""
    n, client = what.n_files, parts.client
    planning = client["select, split and plan"] + client["fingerprint of the plan"]
    return {
        "scan": (parts.scanning * n, client["scan"] * n),
        "select, split and plan": (0.0, planning * n),
        "render": (parts.rendering * what.hours * 3600, parts.handing_out * n),
        "gather the records": (0.0, client["write records"] * n),
        "mix, a recipe a song": (0.0, client["mix, coherent"] * n),
    }


@click.command()
@click.argument("midi_dir", type=click.Path(exists=True, path_type=Path))
@click.argument("table", type=click.File())
@click.option("--songs", "n_songs", type=click.IntRange(1), default=12, show_default=True)
def extrapolate(midi_dir: Path, table: TextIO, n_songs: int) -> None:
    """Say what large collections would take on more cores, from what parts of it take here.

    TABLE is a file with what ``million`` has printed.
    """
    parts = measured_parts(midi_dir, table.read(), n_songs)
    print(f"scanning: {1000 * parts.scanning:.1f} ms a file of a worker")
    print(f"rendering: {1 / parts.rendering:.1f} x real time on a core")
    print(f"FLAC: {parts.flac_bytes * 3600 / 1e6:.0f} MB an hour of music")
    print(f"handing out: {1000 * parts.handing_out:.2f} ms a job of the client\n")
    print(f"| collection | stage | {' | '.join(f'{n} cores, h' for n in _CORES)} | bound by |")
    print(f"|---|---|{'--:|' * len(_CORES)}---|")
    for what in _COLLECTIONS:
        totals = [0.0] * len(_CORES)
        for stage, (workers_s, client_s) in stages_of(parts, what).items():
            hours = [max(workers_s / n, client_s) / 3600 for n in _CORES]
            totals = [a + b for a, b in zip(totals, hours, strict=True)]
            bound = "the client alone"
            if workers_s and client_s:
                bound = f"the client from {workers_s / client_s:.0f} cores on"
            print(row_of(what.name, stage, hours, bound))
        flac_tb = parts.flac_bytes * what.hours * 3600 / 1e12
        print(row_of(what.name, "all", totals, f"{flac_tb:.1f} TB of FLAC"))


def row_of(name: str, stage: str, hours: Sequence[float], note: str) -> str:
    """Return a row of the table of collections."""
    return f"| {name} | {stage} | {' | '.join(f'{h:.2f}' for h in hours)} | {note} |"
