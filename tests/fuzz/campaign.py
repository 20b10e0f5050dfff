"""Spoils files, and kills runs, for as long as one likes: ``make fuzz``, or this file.

    python tests/fuzz/campaign.py files --runs FILE [--kind KIND] [--examples N]
    python tests/fuzz/campaign.py kills --runs FILE [--kills N]
    python tests/fuzz/campaign.py totals FILE

Every batch is a line of JSON at the end of FILE, which says what was tried, at which commit, and
what was found; the next batch begins where the last one has ended, so that several nights add up.
Spoiled files are read in a process of its own, whose death is a fault like any other. A file that
made one lies in the folder ``FILE.faults``.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fuzz"), str(ROOT / "tests" / "support")]

import fuzz_kills  # noqa: E402
from fuzz_mutations import Case  # noqa: E402
from fuzz_targets import TARGETS, try_case  # noqa: E402

BATCH = 1000  # examples of a process
LONGEST_S = 30  # that reading one file may take
MOST_BYTES = 6 << 30  # of memory that a process may ask for


class TooLong(BaseException):
    """Reading a file did not end: not to be caught as an error."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    files, kills = commands.add_parser("files"), commands.add_parser("kills")
    batch, totals = commands.add_parser("batch"), commands.add_parser("totals")
    for command in (files, kills):
        command.add_argument("--runs", type=Path, required=True)
    files.add_argument("--kind", choices=list(TARGETS), help="by default all, for ever")
    files.add_argument("--examples", type=int, help="how many; by default no end")
    kills.add_argument("--kills", type=int, help="how many; by default no end")
    batch.add_argument("kind", choices=list(TARGETS))
    batch.add_argument("seed", type=int)
    batch.add_argument("examples", type=int)
    batch.add_argument("folder", type=Path)
    totals.add_argument("runs", type=Path)
    given = parser.parse_args()
    if given.command == "files":
        spoil_files(given.runs, [given.kind] if given.kind else list(TARGETS), given.examples)
    elif given.command == "kills":
        kill_runs(given.runs, given.kills)
    elif given.command == "batch":
        read_batch(given.kind, given.seed, given.examples, given.folder)
    else:
        print_totals(lines_of(given.runs))


# The file of all runs.


def lines_of(runs: Path) -> list[dict[str, Any]]:
    text = runs.read_text() if runs.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def append(runs: Path, what: str, started: float, **values: object) -> None:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    seconds = round(time.time() - started, 1)
    line = {"what": what, "at": round(started), "seconds": seconds, "commit": commit, **values}
    with runs.open("a") as file:
        file.write(json.dumps(line) + "\n")


# Spoiled files.


def spoil_files(runs: Path, kinds: list[str], n_wanted: int | None) -> None:
    """Try so many examples of every kind, in turn a batch of each."""
    n_tried = Counter[str]()
    while todo := [kind for kind in kinds if n_wanted is None or n_tried[kind] < n_wanted]:
        for kind in todo:
            n = BATCH if n_wanted is None else min(BATCH, n_wanted - n_tried[kind])
            n_tried[kind] += n
            seed = sum(line["what"] == "files" and line["kind"] == kind for line in lines_of(runs))
            run_batch(runs, kind, seed, n)


def run_batch(runs: Path, kind: str, seed: int, n: int) -> None:
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        out, current = Path(folder, "out"), Path(folder, "current")
        out.mkdir()
        command = [sys.executable, __file__, "batch", kind, str(seed), str(n), folder]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        report = Path(folder, "report.json")
        if report.exists():
            found = json.loads(report.read_bytes())
        else:
            n_before = Path(folder, "count").stat().st_size
            last = done.stderr[-300:].decode(errors="replace")
            error = f"the process ended with {done.returncode}: {last}"
            found = {"n": n_before, "n_read": 0, "faults": {error: 1}}
            (out / "died").write_bytes(current.read_bytes())
        if found["faults"]:
            kept = runs.with_name(f"{runs.name}.faults")
            kept.mkdir(exist_ok=True)
            for path in out.iterdir():
                (kept / f"{kind}-{seed}-{path.name}").write_bytes(path.read_bytes())
    append(runs, "files", started, kind=kind, seed=seed, **found)
    print(
        f"{kind} {seed}: {found['n']} tried, {found['n_read']} read, {found['faults']}", flush=True
    )


def read_batch(kind: str, seed: int, n: int, folder: Path) -> None:
    """Read the files of a batch; what is found is written as ``report.json``."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGALRM, give_up)
    target, place = TARGETS[kind], folder / "place"
    place.mkdir()
    target.prepare(place)
    n_tried = n_read = 0
    faults = Counter[str]()
    counter = (folder / "count").open("wb", buffering=0)

    @seeded(seed)
    @settings(
        max_examples=n, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.cases())
    def attempt(case: Case) -> None:
        nonlocal n_tried, n_read
        n_tried += 1
        (folder / "current").write_bytes(case.data)
        counter.write(b".")
        signal.alarm(LONGEST_S)
        faulthandler.dump_traceback_later(2 * LONGEST_S, exit=True)  # not in Python
        try:
            n_read += try_case(target, place, case)
        except BaseException as error:
            name = hashlib.sha256(case.data).hexdigest()[:12]
            where = traceback.extract_tb(error.__traceback__)[-1]
            place_in_code = f"{Path(where.filename).name}:{where.lineno}"
            fault = f"{type(error).__name__}: {str(error)[:200]} ({place_in_code})"
            if not faults[fault]:
                (folder / "out" / f"{name}-{Path(case.name).name}").write_bytes(case.data)
                (folder / "out" / f"{name}.txt").write_text(traceback.format_exc())
            faults[fault] += 1
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()

    with counter:
        attempt()
    (folder / "report.json").write_text(
        json.dumps({"n": n_tried, "n_read": n_read, "faults": faults})
    )


def give_up(_: int, __: FrameType | None) -> None:
    raise TooLong(f"not done after {LONGEST_S} s")


# Kills.


def kill_runs(runs: Path, n_wanted: int | None) -> None:
    """Kill every stage with every number of workers in turn."""
    n_done = sum(line["n_kills"] for line in lines_of(runs) if line["what"] == "kills")
    seed = sum(line["what"] == "kills" for line in lines_of(runs))
    n_last = None if n_wanted is None else n_done + n_wanted
    with tempfile.TemporaryDirectory() as folder:
        tiny = fuzz_kills.Tiny(Path(folder))
        for stage, n_workers in endless(fuzz_kills.STAGES, fuzz_kills.N_WORKERS, seed):
            if n_last is not None and n_done >= n_last:
                return
            started = time.time()
            n_kills, faults = tiny.kill_and_resume(stage, n_workers, seed)
            n_done, seed = n_done + n_kills, seed + 1
            values = {"stage": stage, "n_workers": n_workers, "n_kills": n_kills, "faults": faults}
            append(runs, "kills", started, **values)
            print(f"{stage} with {n_workers} workers: {n_kills} kills, {faults}", flush=True)


def endless(
    stages: tuple[str, ...], n_workers: tuple[int, ...], first: int
) -> Iterator[tuple[str, int]]:
    turns = [(stage, n) for n in n_workers for stage in stages]
    while True:
        yield turns[first % len(turns)]
        first += 1


# Totals.


def print_totals(lines: list[dict[str, Any]]) -> None:
    print("| Files | Tried | Read | Faults | Kinds of fault | s |\n|---|---:|---:|---:|---:|---:|")
    for kind in TARGETS:
        own = [line for line in lines if line["what"] == "files" and line["kind"] == kind]
        n, n_read, seconds = (sum(line[key] for line in own) for key in ("n", "n_read", "seconds"))
        faults = Counter[str]()
        for line in own:
            faults.update(line["faults"])
        print(f"| {kind} | {n} | {n_read} | {faults.total()} | {len(faults)} | {seconds:.0f} |")
    print(
        "\n| Killed | Workers | Runs | Kills | Not as if undisturbed |\n|---|---:|---:|---:|---:|"
    )
    kills = [line for line in lines if line["what"] == "kills"]
    for stage in fuzz_kills.STAGES:
        for n_workers in fuzz_kills.N_WORKERS:
            turn = (stage, n_workers)
            own = [line for line in kills if (line["stage"], line["n_workers"]) == turn]
            n_kills = sum(line["n_kills"] for line in own)
            n_wrong = sum(bool(line["faults"]) for line in own)
            print(f"| {stage} | {n_workers} | {len(own)} | {n_kills} | {n_wrong} |")
    commits = dict.fromkeys(line["commit"] for line in lines)
    print(f"\n{len(lines)} lines, of commits {', '.join(commits)}")


if __name__ == "__main__":
    main()
