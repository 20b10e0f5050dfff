"""A catalogue of songs without audio, and what is done with one before and after rendering."""

from __future__ import annotations

import hashlib
import multiprocessing
import resource
import shutil
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.programs import inst_class_of
from stemsmith.manifests.records import Song, Stem
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.validate import plan_checks
from stemsmith.mixing.workflow import mix
from stemsmith.render.corpus.config import RenderConfig, Splits
from stemsmith.render.songs.job import RenderJob
from stemsmith.render.songs.plan import CorpusPlan, plan_corpus
from stemsmith.render.workflow import make_bank, scan

# Piano, bass, guitar and drums as Slakh has them, and six more: program and channel.
_PARTS: Final = (
    (0, 0), (33, 1), (27, 2), (0, 9), (48, 3), (56, 4), (65, 5), (73, 6), (19, 7), (89, 8),
)  # fmt: skip
_N_NOTES: Final = 10  # of a part, the fewest by which near duplicates are looked for
_TICKS: Final = 960  # from note to note: 10 s in all, with 480 ticks in half a second
_PER_FOLDER: Final = 1000
_PER_SHARD: Final = 256
_RATE_HZ: Final = 44100
_STEP_HZ: Final = 10
_CLIP_S: Final = 5.0
_N_SHAPES: Final = 64  # different envelopes
_BLOCK: Final = 512  # bytes, in which systems count what files take
_WATCHED_S: Final = 1.0  # between two looks at scratch files


class Row(NamedTuple):
    """What a stage took."""

    stage: str
    n: int
    seconds: float
    cpu_s: float
    peak_mib: float
    scratch_mib: float


# ---------------------------------------------------------------------------------------------
# Making the catalogue


def score_bytes(number: int) -> bytes:
    """Return a MIDI file that no other number has: ten parts of ten notes."""
    rng = np.random.default_rng(number)
    keys = rng.integers(36, 72, (len(_PARTS), _N_NOTES)).tolist()
    tracks = [b"\x00\xff\x51\x03\x07\xa1\x20\x00\xff\x2f\x00"]
    for (program, channel), notes in zip(_PARTS, keys, strict=True):
        events = bytearray((0, 0xC0 | channel, program))
        for key in notes:
            events += bytes((0, 0x90 | channel, key, 96))
            events += bytes((0x80 | _TICKS >> 7, _TICKS & 0x7F, 0x80 | channel, key, 0))
        tracks.append(bytes(events) + b"\x00\xff\x2f\x00")
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), 480)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(t)) + t for t in tracks)


def write_scores(folder: Path, n_songs: int) -> None:
    """Write the scores, a thousand in a folder."""
    for number in range(n_songs):
        place = folder / f"{number // _PER_FOLDER:04d}"
        if not number % _PER_FOLDER:
            place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:07d}.mid").write_bytes(score_bytes(number))


def shapes(n_steps: int) -> list[Float32s]:
    """Return some envelopes, of which a fifth is soft."""
    rng = np.random.default_rng(0)
    levels_db = rng.integers(-45, -12, (_N_SHAPES, n_steps)).astype(np.float64)
    levels_db[:, rng.random(n_steps) < 0.2] = -80
    return list((10 ** (levels_db / 10)).astype(np.float32))


def stems_of(job: RenderJob, envelopes: Sequence[Float32s]) -> Iterator[Stem]:
    """Yield the records of the stems of a song, as rendering would write them."""
    song, folder = job.song, f"{job.split}/{job.track}"
    onset = np.arange(_N_NOTES, dtype=np.int32) * _RATE_HZ
    keys = np.full(_N_NOTES, 60, np.uint8)
    for number, (part, patch) in enumerate(zip(song.parts, job.patches, strict=True)):
        if patch is None:
            continue
        name = f"S{number:02d}"
        made_up = hashlib.sha256(f"{song.md5}/{name}".encode())
        shape = envelopes[made_up.digest()[0] % len(envelopes)]
        yield Stem(
            stem_id=f"{song.md5}/{name}",
            song_id=song.md5,
            track=job.track,
            split=job.split,
            stem=name,
            program=part.program,
            inst_class=inst_class_of(part.program),
            rendering_class=patch.rendering_class,
            patch=patch.name,
            path=f"{folder}/stems/{name}.flac",
            midi_path=f"{folder}/MIDI/{name}.mid",
            sample_rate=_RATE_HZ,
            n_samples=len(shape) * _RATE_HZ // _STEP_HZ,
            loudness_lufs=-20.0,
            gain_db=0.25,
            is_silent=False,
            is_gain_limited=False,
            n_notes=_N_NOTES,
            sha256=made_up.hexdigest(),
            midi_sha256=hashlib.sha256(made_up.digest()).hexdigest(),
            k_power=shape,
            power=shape,
            note_onset=onset,
            note_offset=onset + 1000,
            note_pitch=keys,
            note_velocity=keys,
            n_channels=1,
        )


def song_of(job: RenderJob, n_stems: int, n_samples: int) -> Song:
    """Return the record of a song."""
    song, folder = job.song, f"{job.split}/{job.track}"
    return Song(
        song_id=song.md5,
        track=job.track,
        split=job.split,
        source=song.path,
        notes_sha256=song.notes_sha256,
        path=folder,
        mix_path=f"{folder}/mix.flac",
        sample_rate=_RATE_HZ,
        n_samples=n_samples,
        mix_source="automix",
        overall_gain_db=0.0,
        mix_peak_dbfs=-1.0,
        n_stems=n_stems,
        midi_sha256=hashlib.sha256(song.md5.encode()).hexdigest(),
        mix_sha256=hashlib.sha256(song.path.encode()).hexdigest(),
        metadata_sha256=hashlib.sha256(song.notes_sha256.encode()).hexdigest(),
        duplicate_group=job.duplicate_group,
        n_channels=1,
    )


def write_records(plan: CorpusPlan, corpus: Path, seconds: float) -> None:
    """Write the records of a corpus, and its manifest."""
    corpus.mkdir(parents=True)
    envelopes = shapes(round(seconds * _STEP_HZ))
    n_samples = round(seconds * _RATE_HZ)
    files: list[Path] = []
    n_songs: Counter[str] = Counter()
    for number, start in enumerate(range(0, len(plan.jobs), _PER_SHARD)):
        songs: list[Song] = []
        stems: list[Stem] = []
        for job in plan.jobs[start : start + _PER_SHARD]:
            own = list(stems_of(job, envelopes))
            stems += own
            songs.append(song_of(job, len(own), n_samples))
            n_songs[job.split] += 1
        for kind, record_type, rows in (("songs", Song, songs), ("stems", Stem, stems)):
            files.append(corpus / f"{kind}-{number:05d}.parquet")
            shards.write_records(files[-1], record_type, rows)
    entries = [shards.shard_entry(path) for path in sorted(files)]
    counts = {split: n_songs[split] for split in SPLITS}
    shards.write_manifest(corpus, {**plan.header, "n_songs": counts, "shards": entries})


# ---------------------------------------------------------------------------------------------
# The stages


@dataclass(frozen=True)
class Work:
    """What all stages are told.

    Attributes
    ----------
    folder : Path
        Where everything goes.
    n_songs, n_mixtures : int
        Numbers of scores, and of recipes of each kind.
    seconds : float
        Length of the songs, as their records have it.
    n_jobs : int
        Worker processes that read scores.
    """

    folder: Path
    n_songs: int
    n_mixtures: int
    seconds: float
    n_jobs: int


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scratch_mib() -> float:
    """Return what the files without a name take on disk that this process has open."""
    n_blocks: dict[int, int] = {}  # a file that is mapped is open twice
    for link in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile
            if str(link.readlink()).endswith(" (deleted)"):
                status = link.stat()
                n_blocks[status.st_ino] = status.st_blocks
    return sum(n_blocks.values()) * _BLOCK / (1 << 20)


class Clock:
    """Takes the time of stages that follow one another in a process."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._start, self._cpu = time.perf_counter(), time.process_time()
        self._scratch_mib = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._scratch_mib = max(self._scratch_mib, scratch_mib())
            time.sleep(_WATCHED_S)

    def stop(self, stage: str, n: int) -> None:
        """Take the time of a stage, and begin with the next."""
        now, cpu = time.perf_counter(), time.process_time()
        took = now - self._start, cpu - self._cpu
        self.rows.append(Row(stage, n, *took, peak_mib(), max(self._scratch_mib, scratch_mib())))
        self._scratch_mib = 0.0
        self._start, self._cpu = time.perf_counter(), time.process_time()


def make(work: Work) -> list[Row]:
    """Write the scores."""
    clock = Clock()
    write_scores(work.folder / "scores", work.n_songs)
    clock.stop("write scores", work.n_songs)
    return clock.rows


def plan(work: Work) -> list[Row]:
    """Read the scores, plan a corpus of them, and write its records."""
    clock = Clock()
    bank = make_bank()
    config = RenderConfig(min_notes=_N_NOTES, splits=Splits.parse("0.8,0.1,0.1"))
    inventory = scan(work.folder / "scores", jobs=work.n_jobs)
    clock.stop("scan", len(inventory))
    places = work.folder / "scores", work.folder / "corpus"
    planned = plan_corpus(inventory.found, *places, config, bank)
    clock.stop("select, split and plan", len(planned.jobs))
    planned.fingerprint()
    clock.stop("fingerprint of the plan", len(planned.jobs))
    write_records(planned, work.folder / "corpus", work.seconds)
    clock.stop("write records", len(planned.jobs))
    return clock.rows


def n_of_splits(work: Work) -> dict[str, int]:
    """Return how many mixtures each split gets, in proportion to its songs."""
    songs = shards.read_manifest(work.folder / "corpus", "corpus")["n_songs"]
    total = sum(songs.values())
    rest = {name: work.n_mixtures * songs[name] // total for name in ("validation", "test")}
    return {"train": work.n_mixtures - sum(rest.values()), **rest}


def mixed(work: Work, mode: str) -> list[Row]:
    """Mix recipes."""
    clock, n = Clock(), n_of_splits(work)
    made = mix(
        work.folder / "corpus",
        work.folder / mode,
        mode=mode,
        clip_s=min(_CLIP_S, work.seconds),
        n_mixtures=n["train"],
        n_validation_mixtures=n["validation"],
        n_test_mixtures=n["test"],
    )
    clock.stop(f"mix, {mode}", len(made))
    return clock.rows


def coherent(work: Work) -> list[Row]:
    """Mix coherent recipes."""
    return mixed(work, "coherent")


def incoherent(work: Work) -> list[Row]:
    """Mix incoherent recipes."""
    return mixed(work, "incoherent")


def opened(work: Work) -> list[Row]:
    """Open the incoherent recipes, and read one; then check all of them."""
    clock = Clock()
    mixtures = Mixtures(work.folder / "incoherent")
    clock.stop("open mixtures", len(mixtures))
    assert mixtures[len(mixtures) - 1].record.sources
    clock.stop("read one recipe", 1)
    assert len(plan_checks(mixtures))
    clock.stop("check all recipes", len(mixtures))
    return clock.rows


_PROCESSES: Final[Sequence[tuple[str, Callable[[Work], list[Row]], str]]] = (
    ("making", make, "scores"), ("planning", plan, "corpus"), ("mixing", coherent, "coherent"),
    ("mixing", incoherent, "incoherent"), ("opening", opened, ""),
)  # fmt: skip


def in_new_process(stage: Callable[[Work], list[Row]], work: Work) -> list[Row]:
    """Do the stages of one process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(stage, work).result()


def n_bytes_of(folder: Path) -> int:
    """Return the bytes that all files below a folder take on disk."""
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file()) * _BLOCK


@click.command()
@click.option("--songs", "n_songs", type=click.IntRange(4), default=1_000_000, show_default=True)
@click.option("--mixtures", "n_mixtures", type=click.IntRange(10), help="As many as songs.")
@click.option("--seconds", type=click.FloatRange(1), default=10.0, show_default=True)
@click.option("--jobs", "n_jobs", type=click.IntRange(0), default=0, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep everything here.")
def million(folder: Path | None, n_mixtures: int | None, n_songs: int, **options: Any) -> None:
    """Take a catalogue of many songs from scores to recipes."""
    root = Path(tempfile.mkdtemp(prefix="stemsmith-million-")) if folder is None else folder
    work = Work(root, n_songs, n_mixtures or n_songs, **options)
    try:
        begun = time.perf_counter()
        names = "stage", "number", "seconds", "CPU s", "a second", "peak, MiB", "scratch, MiB"
        print(f"| process | {' | '.join(names)} |\n|---|---{'|--:' * 6}|", flush=True)
        taken = []
        for process, stage, made in _PROCESSES:
            for row in in_new_process(stage, work):
                rate = row.n / max(row.seconds, 1e-9)
                print(
                    f"| {process} | {row.stage} | {row.n} | {row.seconds:.1f} | {row.cpu_s:.1f} "
                    f"| {rate:.0f} | {row.peak_mib:.0f} | {row.scratch_mib:.0f} |",
                    flush=True,
                )
            if made:
                taken.append(f"{made}: {n_bytes_of(root / made) / 1e6:.1f} MB on disk")
            if stage is plan:  # a million files have as many blocks, which nobody needs any more
                shutil.rmtree(root / "scores")
        print(f"\nall: {time.perf_counter() - begun:.0f} s", *taken, sep="\n", flush=True)
    finally:
        if folder is None:
            shutil.rmtree(root, ignore_errors=True)
