"""A folder of mixtures while it is being made: shards of recipes, and of audio on request."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.mixing.audio_shards import AudioFormat, AudioJob
from stemsmith.mixing.plan.mixtures import STAGE, MixturePlan

__all__ = ["STATE_FOLDER", "MixtureRun", "fingerprint_of", "hours_of"]

STATE_FOLDER: Final = ".mix"
_PER_SHARD: Final = 4096
_PER_AUDIO_SHARD: Final = 256  # 10 s at 44.1 kHz, mixture and one target: about 0.3 GB
_NO_DECISION: Final = frozenset(
    {"schema_version", "roots", "hours", "shards", "audio_shards", "fingerprint"}
)


def hours_of(duration_s: float) -> float:
    """Return a duration as manifests have it."""
    return round(duration_s / 3600, 6)


def fingerprint_of(header: Mapping[str, Any]) -> str:
    """Return the hash of all decisions in a manifest, or in what will be one.

    Where a set of mixtures lies does not make it another one, and its files have hashes.
    """
    decisions = {key: value for key, value in header.items() if key not in _NO_DECISION}
    return hashlib.sha256(json.dumps(decisions, sort_keys=True).encode()).hexdigest()


class MixtureRun:
    """A folder of mixtures while it is being made.

    Parameters
    ----------
    root : Path
        The folder.
    mixture_plan : MixturePlan
        What goes into it.
    targets : sequence of str
        Targets written as audio beside the mixture; empty for recipes alone.
    audio_format : AudioFormat or None
        None writes recipes alone.
    """

    def __init__(
        self,
        root: Path,
        mixture_plan: MixturePlan,
        targets: Sequence[str] = (),
        audio_format: AudioFormat | None = None,
    ) -> None:
        self._root, self._plan = root, mixture_plan
        self._targets, self._format = tuple(targets), audio_format
        self._duration_s = 0.0
        self._header = {
            **mixture_plan.header,
            "versions": {**mixture_plan.header["versions"], **_versions(audio_format)},
            "audio": audio_format and {"format": str(audio_format), "targets": list(targets)},
            "roots": {
                name: storage.relative(Path(path), root)
                for name, path in mixture_plan.roots.items()
            },
        }
        fingerprint = fingerprint_of(self._header)
        self._folder = RunFolder(root, STAGE, root / STATE_FOLDER, fingerprint)

    def opened(self) -> AbstractContextManager[None]:
        """Hold the folder; see `RunFolder.opened`."""
        return self._folder.opened()

    @property
    def is_closed(self) -> bool:
        """Whether an earlier run has finished."""
        return self._folder.is_closed

    def write_recipes(self) -> Iterator[list[Mixture]]:
        """Write shard after shard of recipes, and yield what each holds."""
        size = _PER_SHARD if self._format is None else _PER_AUDIO_SHARD
        for split, made in self._plan.splits.items():
            n_mixtures = self._plan.n_mixtures[split]
            for number, first in enumerate(range(0, n_mixtures, size)):
                mixtures = list(made.mixtures(first, min(first + size, n_mixtures)))
                path = self._root / f"mixtures-{split}-{number:05d}.parquet"
                shards.write_records(path, Mixture, mixtures)
                self._duration_s += sum(m.n_samples / m.sample_rate for m in mixtures)
                yield mixtures

    def audio_jobs(self) -> Iterator[AudioJob]:
        """Yield one job for each shard of recipes, which it writes on the way."""
        assert self._format is not None
        numbers: Counter[str] = Counter()
        for mixtures in self.write_recipes():
            split = mixtures[0].split
            path = self._root / f"audio-{split}-{numbers[split]:05d}.tar"
            numbers[split] += 1
            yield AudioJob(
                path=str(path),
                mixtures=tuple(mixtures),
                roots=self._plan.roots,
                targets=self._targets,
                audio_format=self._format,
                staging=str(self._folder.staging),
            )

    def close(self) -> dict[str, Any]:
        """Write the manifest and return it."""
        if self._folder.is_closed:
            return shards.read_manifest(self._root, STAGE)
        recipes = sorted(self._root.glob("mixtures-*.parquet"))
        tars = sorted(self._root.glob("audio-*.tar"))
        header = {
            **self._header,
            "hours": hours_of(self._duration_s),
            "shards": [shards.shard_entry(path) for path in recipes],
            "audio_shards": [
                {"file": path.name, "sha256": storage.file_hash(path)} for path in tars
            ],
        }
        return self._folder.close(header)


def _versions(audio_format: AudioFormat | None) -> dict[str, str]:
    """Return what the bytes of the audio depend on, beyond its samples."""
    return flac.encoder_version() if audio_format is AudioFormat.FLAC else {}
