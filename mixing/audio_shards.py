"""Mixtures as audio: WebDataset tar shards, the same bytes each time.

A sample is ``<mixture_id>.mixture.flac``, ``<mixture_id>.<target>.flac``, ... and
``<mixture_id>.json``, which repeats the recipe and says what every source was turned up or down by.
FLAC has 16 bits: targets are rounded, and the mixture is the exact integer sum of all targets,
those that are not written included, unless it is a master or the excerpt of a song's own mixture,
which its JSON says (``sums`` is false).
WAV has the float32 samples as they are. Where recordings may be faulty, every target has a second
file, ``<mixture_id>.<target>.true.flac``: what it is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.audio.flac import encode_flac
from stemsmith.manifests.audio.formats import AudioFormat
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.places import place
from stemsmith.manifests.tar_shards import writing_tar
from stemsmith.mixing.audio.realise import MIXTURE, TRUE, Realised, quantised, realise

__all__ = ["AudioJob", "ShardReport", "write_audio_shard"]


@dataclass(frozen=True, slots=True)
class AudioJob:
    """One tar shard.

    Attributes
    ----------
    path : str
        The tar file to write.
    mixtures : tuple of Mixture
        Recipes of the mixtures in it.
    roots : mapping of str to str
        Absolute folders of the roots that recipes name.
    targets : tuple of str
        Targets to write beside the mixture.
    audio_format : AudioFormat
        How samples are written.
    staging : str
        Folder in which a shard lies until it is finished.
    """

    path: str
    mixtures: tuple[Mixture, ...]
    roots: Mapping[str, str]
    targets: tuple[str, ...]
    audio_format: AudioFormat
    staging: str


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What came of a job.

    Attributes
    ----------
    name : str
        Name of the tar file.
    n_mixtures : int
        Number of mixtures in it.
    audio_s : float
        Duration of all its mixtures in seconds.
    """

    name: str
    n_mixtures: int
    audio_s: float


def write_audio_shard(job: AudioJob) -> ShardReport:
    """Write a shard, unless a run that was killed has finished it.

    Raises
    ------
    InvalidCorpus
        If a stem is missing or has changed; the text names it.
    """
    path = place(job.path)
    if not path.exists():
        staging = place(job.staging)
        with storage.atomic_file(path, staging) as file, writing_tar(file) as add:
            for mixture in job.mixtures:
                for name, content in _members(mixture, job):
                    add(name, content)
    seconds = sum(mixture.n_samples / mixture.sample_rate for mixture in job.mixtures)
    return ShardReport(path.name, len(job.mixtures), seconds)


def _members(mixture: Mixture, job: AudioJob) -> list[tuple[str, bytes]]:
    """Return the files of one sample, by name."""
    made = realise(mixture, job.roots)
    silence = np.zeros((mixture.n_channels, mixture.n_samples), np.float32)
    for target in job.targets:  # one that is recorded as it is has no other name
        made.setdefault(target, made.get(target.removesuffix(TRUE), silence))
    encode = _encode_flac if job.audio_format is AudioFormat.FLAC else _encode_wav
    files = encode(made, (MIXTURE, *job.targets), mixture.sample_rate)
    suffix = str(job.audio_format)
    members = [(f"{mixture.mixture_id}.{name}.{suffix}", data) for name, data in files.items()]
    members.append((f"{mixture.mixture_id}.json", _description(mixture, made)))
    return sorted(members)


def _encode_wav(made: Realised, names: Sequence[str], sample_rate: int) -> dict[str, bytes]:
    return {name: encode_wav(made[name], sample_rate) for name in names}


def _encode_flac(made: Realised, names: Sequence[str], sample_rate: int) -> dict[str, bytes]:
    integers = quantised(made)
    return {name: encode_flac(integers[name], sample_rate) for name in names}


def _description(mixture: Mixture, made: Realised) -> bytes:
    content: dict[str, Any] = {
        **dataclasses.asdict(mixture),
        "guard_gain_db": made.guard_gain_db,
        "gains_db": made.gains_db,
    }
    if mixture.own_mixture is None:  # shards of others keep the bytes that they have always had
        del content["own_mixture"]
    if not mixture.sums:
        content["sums"] = False
    return json.dumps(content, sort_keys=True, ensure_ascii=True).encode()
