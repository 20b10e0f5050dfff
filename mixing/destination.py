"""The folder that a set of mixtures goes into: shards of recipes, and of audio on request."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.audio.formats import AudioFormat
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.mixtures import STAGE, Mixture
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.mixing.audio_shards import AudioJob
from stemsmith.mixing.mixtures import STATE_FOLDER, fingerprint_of, hours_of
from stemsmith.mixing.plan.mixtures import MixturePlan

__all__ = ["MixtureDestination"]

_REJECTIONS: Final = "rejections-00000.parquet"
_PER_SHARD: Final = 4096
_PER_AUDIO_SHARD: Final = 256  # 10 s at 44.1 kHz, mixture and one target: about 0.3 GB


class MixtureDestination:
    """The folder that a set of mixtures goes into, until its manifest is written.

    Parameters
    ----------
    root : Path
        Where the mixtures go; new, or left unfinished by the same plan.
    mixture_plan : MixturePlan
        Which mixtures they are.
    targets : sequence of str
        Targets written as audio beside the mixture; empty for recipes alone.
    audio_format : AudioFormat or None
        Format of the audio shards; None writes recipes alone.

    Attributes
    ----------
    matched : mapping of str to str
        SHA-256 of the matched stems that recipes name, by their paths; to be set when they are
        rendered.
    """

    matched: Mapping[str, str] = MappingProxyType({})

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
    def is_own(self) -> bool:
        """Whether the folder holds what this plan makes, finished or not."""
        return self._folder.is_own

    @property
    def is_closed(self) -> bool:
        """Whether an earlier run has finished."""
        return self._folder.is_closed

    @property
    def n_mixtures(self) -> int:
        """Number of mixtures of all splits."""
        return sum(self._plan.n_mixtures.values())

    @property
    def is_with_audio(self) -> bool:
        """Whether audio shards are wanted beside the recipes."""
        return self._format is not None

    def write_recipes(self) -> Iterator[list[Mixture]]:
        """Write shard after shard of recipes, and yield what each holds."""
        size = _PER_SHARD if self._format is None else _PER_AUDIO_SHARD
        for split, made in self._plan.splits.items():
            n_mixtures = self._plan.n_mixtures[split]
            for number, first in enumerate(range(0, n_mixtures, size)):
                planned = made.mixtures(first, min(first + size, n_mixtures))
                mixtures = [self._hashed(mixture) for mixture in planned]
                path = self._root / f"mixtures-{split}-{number:05d}.parquet"
                shards.write_records(path, Mixture, mixtures)
                self._duration_s += sum(m.n_samples / m.sample_rate for m in mixtures)
                yield mixtures

    def _hashed(self, mixture: Mixture) -> Mixture:
        """Return a recipe that names the hashes of what was rendered for it."""
        if not any(source.root == MATCHED for source in mixture.sources):
            return mixture
        sources = tuple(
            dataclasses.replace(source, sha256=self.matched[source.path])
            if source.root == MATCHED
            else source
            for source in mixture.sources
        )
        return dataclasses.replace(mixture, sources=sources)

    def audio_jobs(self) -> Iterator[AudioJob]:
        """Yield one job for each shard of recipes, which it writes on the way."""
        assert self._format is not None
        numbers: Counter[str] = Counter()
        for mixtures in self.write_recipes():
            split = mixtures[0].split
            path = self._root / f"audio-{split}-{numbers[split]:05d}.tar"
            numbers[split] += 1
            yield AudioJob(
                path=str(path.absolute()),  # for workers elsewhere
                mixtures=tuple(mixtures),
                roots=self._plan.roots,
                targets=self._targets,
                audio_format=self._format,
                staging=str(self._folder.staging.absolute()),
            )

    def close(self) -> None:
        """Write the manifest, unless an earlier run has."""
        if self._folder.is_closed:
            return
        recipes = sorted(self._root.glob("mixtures-*.parquet"))
        tars = sorted(self._root.glob("audio-*.tar"))
        header = {
            **self._header,
            **self._left_out(),
            "hours": hours_of(self._duration_s),
            "shards": [shards.shard_entry(path) for path in recipes],
            "audio_shards": [
                {"file": path.name, "sha256": storage.file_hash(path)} for path in tars
            ],
        }
        self._folder.close(header)

    def _left_out(self) -> dict[str, Any]:
        """Write what of the sources is in no mixture; return what the manifest says of it."""
        rejections = self._plan.rejections
        if not rejections:
            return {}
        shards.write_records(self._root / _REJECTIONS, Rejection, rejections)
        reasons = Counter(str(row.reason) for row in rejections)
        entry = shards.shard_entry(self._root / _REJECTIONS)
        return {"rejections": dict(sorted(reasons.items())), "rejection_shards": [entry]}


def _versions(audio_format: AudioFormat | None) -> dict[str, str]:
    """Return what the bytes of the audio depend on, beyond its samples."""
    return flac.encoder_version() if audio_format is AudioFormat.FLAC else {}
