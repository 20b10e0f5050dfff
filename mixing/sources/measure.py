"""Envelopes of foreign audio files, measured once and kept in the user's cache folder.

Departure from a cache keyed by content alone: the key is the file's path, size and time of
modification, since hashing 30 GB to look something up takes as long as measuring it. The SHA-256
is part of what is kept, and recipes are checked against it when they are realised.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import places, shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.mixtures import MeasuredFile
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.scratch import ScratchColumn
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import envelope

__all__ = [
    "MEASURED_BY",
    "MeasureJob",
    "MeasuredFiles",
    "cached",
    "measure_file",
    "plan_measurements",
    "read",
]

MEASURED_BY: Final = "measure"  # the stage that rejections name
_FORMAT: Final = "envelope-1"  # changes when what is measured changes
_LOWEST_RATE_HZ: Final = 8000  # below some 3.4 kHz the K-weighting filter is none
_LARGEST_SAMPLE: Final = 1e6  # 120 dB over full scale is no audio, and its squares overflow
_BLOCK_STEPS: Final = 600  # a minute at a time
_WARM_UP_STEPS: Final = 5  # after half a second the filters have forgotten where they started


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """One audio stream to measure, and the file its record goes to."""

    path: str
    stream: int
    record: str


class MeasuredFiles(Mapping[MeasureJob, MeasuredFile]):
    """What is known of files whose envelopes are not all in memory."""

    def __init__(self) -> None:
        self._shapes: dict[MeasureJob, tuple[str, int, int, int]] = {}
        self._spans: dict[MeasureJob, list[tuple[int, int]]] = {}
        self._columns = [ScratchColumn[np.float32](np.float32) for _ in range(4)]

    def add(self, job: MeasureJob, file: MeasuredFile) -> None:
        """Remember what was measured of a file."""
        self._shapes[job] = file.sha256, file.sample_rate, file.n_channels, file.n_samples
        powers = file.k_power, file.power, file.k_power_mono, file.power_mono
        self._spans[job] = []
        for column, power in zip(self._columns, powers, strict=True):
            self._spans[job].append((len(column), len(power)))
            column.append(power)

    def __getitem__(self, job: MeasureJob) -> MeasuredFile:
        spans = zip(self._columns, self._spans[job], strict=True)
        return MeasuredFile(*self._shapes[job], *(column.read(*span) for column, span in spans))

    def __iter__(self) -> Iterator[MeasureJob]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def plan_measurements(files: Sequence[tuple[Path, int]], folder: Path) -> list[MeasureJob]:
    """Return one job for each (file, stream), in the same order."""
    return [
        MeasureJob(str(path), stream, str(_record(path, stream, folder))) for path, stream in files
    ]


def _record(path: Path, stream: int, folder: Path) -> Path:
    try:
        status = path.stat()
        identity = f"{status.st_size}|{status.st_mtime_ns}"
    except OSError:  # measuring it will say why
        identity = "unreadable"
    text = f"{_FORMAT}|{path.resolve()}|{stream}|{identity}"
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return folder / "envelopes" / key[:2] / f"{key}.parquet"


def read(job: MeasureJob) -> MeasuredFile:
    """Return what was measured.

    Raises
    ------
    InvalidCorpus
        If it was not, or its record is damaged.
    """
    return shards.read_records(place(job.record), MeasuredFile)[0]


def cached(job: MeasureJob) -> MeasuredFile | None:
    """Return what an earlier run measured; None if it did not, or its record is damaged."""
    try:
        return read(job)
    except InvalidCorpus:
        return None


def measure_file(job: MeasureJob) -> MeasuredFile | Rejection:
    """Measure a file and keep the result.

    Returns
    -------
    MeasuredFile or Rejection
        A rejection if the file cannot be read or decoded, has more than two channels, a sample
        rate that is below 8000 Hz or not a multiple of 10 Hz, or samples that are not finite or
        far above full scale.

    Raises
    ------
    OSError
        If the result cannot be kept.
    """
    try:
        measured = _measured(place(job.path), job.stream)
    except _NotFit as error:
        recheck(error)
        return Rejection(job.path, MEASURED_BY, error.reason, str(error))
    except UsageError as error:  # PyAV is not there
        recheck(error)
        return Rejection(job.path, MEASURED_BY, Reason.UNSUPPORTED, str(error))
    except InvalidCorpus as error:
        recheck(error)
        is_unreadable = isinstance(error, Unreadable)
        reason = Reason.UNREADABLE if is_unreadable else Reason.DAMAGED
        return Rejection(job.path, MEASURED_BY, reason, str(error))
    except OSError as error:
        recheck(error)
        detail = f"{job.path}: cannot be read: {error.strerror or error}"
        return Rejection(job.path, MEASURED_BY, Reason.UNREADABLE, detail)
    record = place(job.record)
    record.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may measure one file at the same time: each has a name of its own to write to.
    own = record.with_name(f"{record.stem}-{secrets.token_hex(8)}.tmp")
    shards.write_records(own, MeasuredFile, [measured])
    own.replace(record)
    return measured


class _NotFit(InvalidCorpus):
    """The audio of a file cannot be mixed; carries the reason for its `Rejection`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _measured(path: Path, stream: int) -> MeasuredFile:
    info = audio_info(path, stream)
    unsupported = Reason.UNSUPPORTED
    if info.n_channels > 2:
        text = f"{path}: {info.n_channels} channels; mono or stereo is wanted"
        raise _NotFit(unsupported, text)
    if info.sample_rate % ENVELOPE_HZ:
        text = f"{path}: {info.sample_rate} Hz is not a multiple of {ENVELOPE_HZ} Hz"
        raise _NotFit(unsupported, text)
    if info.sample_rate < _LOWEST_RATE_HZ:
        text = f"{path}: {info.sample_rate} Hz is less than {_LOWEST_RATE_HZ} Hz"
        raise _NotFit(unsupported, text)
    columns = [np.concatenate(rows) for rows in zip(*_blocks(path, stream), strict=True)]
    return MeasuredFile(places.sha256_of(path), *info, *columns)


def _blocks(path: Path, stream: int) -> Iterator[tuple[Float32s, ...]]:
    """Yield (k_power, power, k_power_mono, power_mono) of one minute after another."""
    sample_rate, _, n_samples = audio_info(path, stream)
    step = sample_rate // ENVELOPE_HZ
    n_steps = n_samples // step
    if not n_steps:
        yield (np.zeros(0, np.float32),) * 4
    for first in range(0, n_steps, _BLOCK_STEPS):
        warm_up = min(first, _WARM_UP_STEPS)
        last = min(first + _BLOCK_STEPS, n_steps)
        start = (first - warm_up) * step
        # What is left after the last whole step is not measured, but may be read.
        stop = n_samples if last == n_steps else last * step
        audio = read_excerpt(path, start, stop - start, stream)
        if not np.isfinite(audio).all():
            raise _NotFit(Reason.NOT_FINITE, f"{path}: has samples that are not finite")
        if np.abs(audio).max() > _LARGEST_SAMPLE:
            text = f"{path}: has samples above {_LARGEST_SAMPLE:g} of full scale"
            raise _NotFit(Reason.NOT_FINITE, text)
        audio = audio[:, : last * step - start]
        levels = envelope(audio, sample_rate)
        rows = levels.k_power, levels.power, levels.k_power_mono, levels.power_mono
        yield tuple(row[warm_up:] for row in rows)
