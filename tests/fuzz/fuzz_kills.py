"""Kills runs at moments drawn by chance, resumes them, and compares every byte.

Tiny inputs: four songs at 8 kHz, mixtures of a second, a model of a few thousand weights, one
epoch. What an undisturbed run without workers wrote is what every other one must have written.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["N_WORKERS", "STAGES", "Tiny"]

STAGES = ("render", "mix", "train", "evaluate")
N_WORKERS = (0, 1, 2)
SCORES = Path(__file__).parents[1] / "data" / "0.1" / "scores"
LONGEST_S = 300


class Tiny:
    """Inputs of all stages, and what they make of them when nothing is killed.

    Parameters
    ----------
    folder : Path
        An empty folder to work in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "STEMSMITH_CACHE": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "OMP_NUM_THREADS": "1",
        }
        self._scores = folder / "scores"
        self._write_scores()
        self._seconds: dict[str, float] = {}
        self._wanted: dict[str, dict[str, str]] = {}
        for stage in STAGES:
            started = time.monotonic()
            done = self._start(stage, self._folder / stage, 0).wait(LONGEST_S)
            assert done == 0, self._log.read_text()
            self._seconds[stage] = time.monotonic() - started
            self._wanted[stage] = digests(self._folder / stage)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _write_scores(self) -> None:
        """Write four songs: those that there are, and two of them once more, transposed."""
        import mido

        for number, path in enumerate(sorted(SCORES.glob("bands/*.mid"))[:2] * 2):
            song = mido.MidiFile(path)
            for message in (m for track in song.tracks for m in track if m.type.startswith("note")):
                if number > 1 and message.channel != 9:
                    message.note += 5
            (self._scores).mkdir(exist_ok=True)
            song.save(self._scores / f"song_{number}.mid")

    def _arguments(self, stage: str, out: Path, n_workers: int) -> list[object]:
        jobs = ("--jobs", n_workers, "--quiet")
        made = {name: self._folder / name for name in STAGES}
        return {
            "render": [
                "render", self._scores, out, "--min-notes", 1, "--sample-rate", 8000,
                "--tail", 0.5, "--target-lufs", -42, "--splits", "2,1,1", "--no-audit", *jobs,
            ],
            "mix": [
                "mix", made["render"], out, "--target", "bass", "--mixtures", 8, "--clip", 1,
                "--min-rms", -60, "--audio", *jobs,
            ],
            "train": [
                "train", made["mix"], out, "--target", "bass", "--epochs", 1, "--batch-size", 2,
                "--device", "cpu", "--resume", *jobs,
                *(word for size in SIZES for word in ("--set", size)),
            ],
            "evaluate": [
                "evaluate", f"run:{made['train']}", made["render"], out, "--device", "cpu",
                "--bss", "none", *jobs,
            ],
        }[stage]  # fmt: skip

    def _start(self, stage: str, out: Path, n_workers: int) -> subprocess.Popen[bytes]:
        words = map(str, self._arguments(stage, out, n_workers))
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "stemsmith.cli.main", *words], stdout=log, stderr=log,
                env=self._environment, cwd=self._folder, start_new_session=True,
            )  # fmt: skip

    def kill_and_resume(self, stage: str, n_workers: int, seed: int) -> tuple[int, list[str]]:
        """Kill a run up to three times, and let it go on to its end.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        n_workers : int
            Number of worker processes.
        seed : int
            Decides when it is killed, and whether its workers are killed with it.

        Returns
        -------
        n_kills : int
            Number of times that the run was alive when it was killed.
        faults : list of str
            What is not as if it had not been killed.
        """
        rng = random.Random(seed)
        out = self._folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        if stage == "train":  # what it has decoded is kept for later runs
            shutil.rmtree(self._folder / "cache", ignore_errors=True)
        self._log.write_bytes(b"")
        n_kills = 0
        for _ in range(rng.randint(1, 3)):
            process = self._start(stage, out, n_workers)
            n_kills += self._kill(process, rng, self._seconds[stage] + 1.5 * n_workers)
        code = self._start(stage, out, n_workers).wait(LONGEST_S)
        if code:
            return n_kills, [f"exit code {code}: {self._log.read_text()[-500:]}"]
        found, wanted = digests(out), self._wanted[stage]
        names = sorted({*found, *wanted})
        return n_kills, [name for name in names if found.get(name) != wanted.get(name)]

    def _kill(self, process: subprocess.Popen[bytes], rng: random.Random, most_s: float) -> bool:
        """Kill a process, or it and all that it has started; return whether it was still alive."""
        is_whole = rng.random() < 0.5
        try:
            process.wait(rng.uniform(0.3, 0.9 * most_s))
        except subprocess.TimeoutExpired:
            if is_whole:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            return True
        return False


SIZES = ("n_layers=1", "n_units=4", "n_fft=256", "hop=128", "segment_frames=20", "sample_rate=8000")
# What says how long something took, and on which machine.
_TIMES = {"examples_per_s", "elapsed_s"}
_NO_CONTENT = {".lock", "times.parquet"}


def digests(root: Path) -> dict[str, str]:
    """Return the hash of every file of a folder without times; of a run's without paths, too."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir() or name.startswith("tensorboard/") or path.name in _NO_CONTENT:
            continue
        found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".ckpt":
        return _of_checkpoint(path)
    if path.name.endswith(".ckpt.sha256"):
        ckpt = path.with_name(path.name.removesuffix(".sha256"))
        (line,) = path.read_text().splitlines()
        assert line == f"{hashlib.sha256(ckpt.read_bytes()).hexdigest()}  {ckpt.name}"
        return b"its checksum"
    if path.name == "metrics.csv":
        header, *rows = (line.split(",") for line in path.read_text().splitlines())
        kept = [k for k, name in enumerate(header) if name not in _TIMES]
        return json.dumps([[row[k] for k in kept] for row in (header, *rows)]).encode()
    if path.name == "run.json":
        content = json.loads(path.read_bytes())
        return json.dumps([content["config"], content["n_parameters"]], sort_keys=True).encode()
    return path.read_bytes()


def _of_checkpoint(path: Path) -> bytes:
    import torch

    content = torch.load(path, weights_only=True)
    weights = {name: value.numpy().tobytes().hex() for name, value in content["state_dict"].items()}
    history = [
        {k: v for k, v in e.items() if k not in _TIMES} for e in content["stemsmith"]["history"]
    ]
    return json.dumps([weights, history]).encode()
