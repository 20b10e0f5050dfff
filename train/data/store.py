"""Decoded clips on disk: 16-bit samples as they are, memory-mapped, with checksums.

Clips are decoded and resampled once, by many workers, into parts of a folder in the user's cache;
every later run of the same mixtures, targets and rate finds them there.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests import shards, storage
from stemsmith.manifests.arrays import Int16s
from stemsmith.manifests.errors import InUse, InvalidCorpus
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs, needed
from stemsmith.manifests.places import place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.train.data.clips import Clips, MixtureClip, read_clip

__all__ = ["ClipStore", "DecodeJob", "Decoding", "decode_clips"]

_STAGE: Final = "decoded"
_STATE_FOLDER: Final = ".decode"
_LOOK_AGAIN_S: Final = 0.5  # where another run decodes
_PER_PART: Final = 256  # clips; 10 s of mixture and one target at 16 kHz: 164 MB


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One part to write.

    Attributes
    ----------
    path : str
        File of the part.
    clips : tuple of MixtureClip
        Clips that it holds, one after the other.
    targets : tuple of str
        Names of the targets beside each mixture.
    sample_rate : int
        Sample rate of the decoded clips, in Hz.
    n_channels : int
        Number of channels of the decoded clips.
    staging : str
        Folder for what is not finished.
    """

    path: str
    clips: tuple[MixtureClip, ...]
    targets: tuple[str, ...]
    sample_rate: int
    n_channels: int
    staging: str


def decode_clips(job: DecodeJob) -> int:
    """Write a part, unless a run that was killed has finished it; return its number of clips.

    Raises
    ------
    InvalidCorpus
        If audio is missing, damaged or has changed; the text names the file.
    """
    path = place(job.path)
    if not path.exists():
        with storage.atomic_file(path, place(job.staging)) as file:
            for clip in job.clips:
                samples = read_clip(clip, job.targets, job.sample_rate, job.n_channels)
                file.write(samples.astype("<i2").tobytes())
    return len(job.clips)


def _path_of(job: DecodeJob) -> str:
    return job.path


class Decoding:
    """Fills the store of some clips, once.

    Parameters
    ----------
    clips : Clips
        The clips to decode.
    cache : Path
        Folder that holds stores.
    """

    def __init__(self, clips: Clips, cache: Path) -> None:
        self._clips = clips
        self.root = cache.absolute() / "decoded" / clips.identity
        self._folder = RunFolder(self.root, _STAGE, self.root / _STATE_FOLDER, clips.identity)

    @property
    def n_clips(self) -> int:
        """Number of clips to decode."""
        return len(self._clips.clips)

    @property
    def is_closed(self) -> bool:
        """Whether all clips are decoded."""
        return self._folder.is_closed

    def opened(self) -> AbstractContextManager[None]:
        """Hold the folder; see `RunFolder.opened`."""
        return self._folder.opened()

    def fill(self, workers: Workers, progress: Progress = QUIET) -> None:
        """Decode what is not there, and close the store.

        Another process that does so already is waited for: it makes what is wanted.

        Parameters
        ----------
        workers : Workers
            Workers that decode the clips.
        progress : Progress
            Is told how far decoding is.

        Raises
        ------
        InvalidCorpus
            If audio is missing, damaged or has changed, or a job has killed its worker twice; the
            text names the file.
        """
        is_told = False
        while True:
            try:
                return self._fill(workers, progress)
            except InUse:
                if not is_told:
                    progress.note(f"{self.root}: waits for another run, which decodes the same")
                is_told = True
                time.sleep(_LOOK_AGAIN_S)

    def _fill(self, workers: Workers, progress: Progress) -> None:
        with self.opened():
            if not self.is_closed:
                clips = self._clips.clips
                paths = (clip.tar or folder for clip in clips for folder in clip.roots.values())
                with (
                    preflight(workers, inputs=[paths], destination=self._folder.state),
                    progress.loop("decode", self.n_clips) as ticker,
                ):
                    for n_clips in do_jobs(workers, decode_clips, self.jobs(), needed(_path_of)):
                        ticker.advance(n_clips)
            self._close()

    def jobs(self) -> Iterator[DecodeJob]:
        """Yield one job for each part."""
        clips = self._clips
        for number, first in enumerate(range(0, len(clips.clips), _PER_PART)):
            yield DecodeJob(
                path=str(self.root / _part_name(number)),
                clips=tuple(clips.clips[first : first + _PER_PART]),
                targets=clips.names,
                sample_rate=clips.sample_rate,
                n_channels=clips.n_channels,
                staging=str(self._folder.staging),
            )

    def _close(self) -> None:
        if self._folder.is_closed:
            return
        parts = sorted(self.root.glob("part-*.i16"))
        self._folder.close(
            {
                "stage": _STAGE,
                "sample_rate": self._clips.sample_rate,
                "targets": list(self._clips.targets),
                "parts": [{"file": p.name, "sha256": storage.file_hash(p)} for p in parts],
            }
        )

    def store(self) -> ClipStore:
        """Open what was decoded.

        Raises
        ------
        InvalidCorpus
            If it is not complete, or a part is not as its checksum says; the text names it.
        """
        return ClipStore(self.root, self._clips)


def _part_name(number: int) -> str:
    return f"part-{number:05d}.i16"


class ClipStore:
    """Decoded clips, memory-mapped; a `stemsmith.train.data.clips.ClipSource`.

    Parameters
    ----------
    root : Path
        Folder that `Decoding` filled.
    clips : Clips
        The clips that were decoded.

    Attributes
    ----------
    parts : tuple of numpy.ndarray
        One-dimensional int16; clip after clip, of each the mixture and then its targets, and of
        each of these channel after channel.
    part, offset : numpy.ndarray
        (n_clips,) int64: where the first sample of each clip's mixture is.
    """

    def __init__(self, root: Path, clips: Clips) -> None:
        self.n_samples, self.targets = clips.n_samples, clips.targets
        self.n_channels = clips.n_channels
        header = shards.read_manifest(root, _STAGE)
        sizes = self.n_samples * (1 + len(clips.targets)) * clips.n_channels
        self.part = np.arange(len(sizes)) // _PER_PART
        before = np.cumsum(sizes) - sizes
        self.offset = before - before[self.part * _PER_PART]
        n_per_part = np.bincount(self.part, weights=sizes).astype(np.int64)
        self._paths = [root / _part_name(number) for number in range(len(n_per_part))]
        hashes = _hashes(root, header, self._paths)
        self.parts = tuple(map(_checked, self._paths, n_per_part.tolist(), hashes))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "parts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the parts again: pickled for a loader's worker, they would be copied."""
        self.__dict__.update(state)
        self.parts = tuple(_map(path) for path in self._paths)

    def read(self, number: int) -> Int16s:
        """Return mixture and targets of a clip, not copied; see `ClipSource.read`."""
        shape = [1 + len(self.targets), self.n_channels, int(self.n_samples[number])]
        first = int(self.offset[number])
        clip: Int16s = self.parts[self.part[number]][first : first + math.prod(shape)]
        return clip.reshape(shape if self.n_channels > 1 else shape[::2])


def _map(path: Path) -> Int16s:
    samples: Int16s = np.memmap(path, "<i2", "r")
    return samples


def _hashes(root: Path, header: Mapping[str, Any], paths: Sequence[Path]) -> list[str]:
    """Return the hash that each part must have."""
    try:
        known = {entry["file"]: str(entry["sha256"]) for entry in header["parts"]}
    except (KeyError, TypeError):
        known = {}
    if list(known) != [path.name for path in paths]:
        path = root / shards.MANIFEST
        raise InvalidCorpus(f"{path}: does not list the parts; {_advice(root)}")
    return list(known.values())


def _checked(path: Path, n_samples: int, sha256: str) -> Int16s:
    """Map a part into memory, reading it once (which brings it into the page cache)."""
    try:
        samples = _map(path)
    except (OSError, ValueError) as error:
        advice = _advice(path.parent)
        raise InvalidCorpus(f"{path}: cannot be read: {error}; {advice}") from error
    if len(samples) != n_samples or hashlib.sha256(samples.data).hexdigest() != sha256:
        raise InvalidCorpus(f"{path}: is not as it was written; {_advice(path.parent)}")
    return samples


def _advice(root: Path) -> str:
    return f"remove {root} to have it made again"
