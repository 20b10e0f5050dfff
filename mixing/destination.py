"""The folder that a set of mixtures goes into: shards of recipes, and of audio on request."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from stemsmith.manifests import shards, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.audio.formats import AudioFormat
from stemsmith.manifests.corpus import CORPUS
from stemsmith.manifests.job_array import Outline
from stemsmith.manifests.matched import MATCHED, MatchedStem
from stemsmith.manifests.mixtures import STAGE, Mixture
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.shares import FinishedJob, Share
from stemsmith.mixing.audio_shards import AudioJob
from stemsmith.mixing.mixtures import STATE_FOLDER, fingerprint_of, hours_of
from stemsmith.mixing.plan.mixtures import MixturePlan, PlannedShard

__all__ = ["MixtureDestination", "merge_shards", "n_per_shard"]

_REJECTIONS: Final = "rejections-00000.parquet"
_PER_SHARD: Final = 4096
_PER_AUDIO_SHARD: Final = 256  # 10 s at 44.1 kHz, mixture and one target: about 0.3 GB
_MATCHED_STEMS: Final = "stems-00000.parquet"


def n_per_shard(audio_format: AudioFormat | None) -> int:
    """Return how many mixtures lie in a shard; None writes recipes alone."""
    return _PER_SHARD if audio_format is None else _PER_AUDIO_SHARD


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
    share : Share, optional
        Job of an array, whose shards are written here; None for all shards.

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
        share: Share | None = None,
    ) -> None:
        self._root, self._plan, self._share = root, mixture_plan, share
        self._targets, self._format = tuple(targets), audio_format
        self._shards = mixture_plan.shards(n_per_shard(audio_format))
        self._own = self._shards if share is None else share.of(self._shards)
        self._duration_s = 0.0
        self._header = {
            **mixture_plan.header,
            "versions": {**mixture_plan.header["versions"], **_versions(audio_format)},
            "audio": audio_format and {"format": str(audio_format), "targets": list(targets)},
            "roots": {
                name: storage.relative(place(path), root)
                for name, path in mixture_plan.roots.items()
            },
        }
        fingerprint = fingerprint_of(self._header)
        self._folder = RunFolder(root, STAGE, root / STATE_FOLDER, fingerprint, share)

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
        """Number of mixtures of all splits that are written here."""
        return sum(shard.stop - shard.start for shard in self._own)

    @property
    def is_with_audio(self) -> bool:
        """Whether audio shards are wanted beside the recipes."""
        return self._format is not None

    @property
    def matched_state(self) -> Path:
        """Absolute folder for the records of matched stems that are rendered here."""
        state = (self._folder.state / MATCHED).absolute()
        return state if self._share is None else state / self._share.label

    def matched_stems(self) -> list[MatchedStem]:
        """Return the matched stems that there are, whoever has rendered them."""
        return _matched_stems(self._folder)

    def write_recipes(self) -> Iterator[list[Mixture]]:
        """Write shard after shard of recipes, and yield what each holds."""
        for shard in self._own:
            yield self._write(shard)

    def _write(self, shard: PlannedShard) -> list[Mixture]:
        planned = self._plan.splits[shard.split].mixtures(shard.start, shard.stop)
        mixtures = [self._hashed(mixture) for mixture in planned]
        shards.write_records(self._root / shard.recipes, Mixture, mixtures)
        self._duration_s += sum(m.n_samples / m.sample_rate for m in mixtures)
        return mixtures

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
        for shard in self._own:
            yield AudioJob(
                path=str((self._root / shard.audio).absolute()),  # for workers elsewhere
                mixtures=tuple(self._write(shard)),
                roots=self._plan.roots,
                targets=self._targets,
                audio_format=self._format,
                staging=str(self._folder.staging.absolute()),
            )

    def keep_outline(self) -> None:
        """Keep what is needed to close the folder when all jobs of the array have finished."""
        self._folder.array.save(self._outline().to_keep())

    def finish_job(self) -> FinishedJob:
        """Return what a job of an array has done; the folder is left to whoever closes it."""
        return FinishedJob(self._root, str(self._share), self.n_mixtures)

    def close(self) -> None:
        """Write the manifest, unless an earlier run has."""
        _close(self._root, self._folder, self._outline(), self._duration_s)

    def _outline(self) -> _MixtureOutline:
        return _MixtureOutline(
            self._header, self._shards, self._plan.rejections, self._format is not None
        )


@dataclass(frozen=True, slots=True)
class _MixtureOutline:
    """What of a plan is needed to close a folder of mixtures.

    Attributes
    ----------
    header : mapping
        What the manifest will say, as far as the plan decides it.
    shards : sequence of PlannedShard
        All shards, in their order.
    rejections : sequence of Rejection
        What of the sources is in no mixture.
    is_with_audio : bool
        Whether there is a shard of audio beside each shard of recipes.
    """

    header: Mapping[str, Any]
    shards: Sequence[PlannedShard]
    rejections: Sequence[Rejection]
    is_with_audio: bool

    @classmethod
    def read(cls, kept: Outline) -> _MixtureOutline:
        """Return what the jobs of an array have kept."""
        planned = [PlannedShard(*item) for item in kept.items]
        return cls(kept.header, planned, kept.rejections, kept.facts["is_with_audio"])

    def to_keep(self) -> Outline:
        """Return what the jobs of an array keep."""
        facts = {"is_with_audio": self.is_with_audio}
        return Outline(self.header, self.shards, self.rejections, facts)

    def files_of(self, shard: PlannedShard) -> list[str]:
        """Return the names of the files of a shard."""
        return [shard.recipes, shard.audio] if self.is_with_audio else [shard.recipes]


def merge_shards(root: Path, folder: RunFolder) -> None:
    """Close a folder of mixtures that the jobs of an array have filled.

    Parameters
    ----------
    root : Path
        Folder of the mixtures.
    folder : RunFolder
        The same folder, which is not closed.

    Raises
    ------
    NothingToDo
        If a job has not finished, naming it.
    InUse
        If a job is at work.
    """
    outline = _MixtureOutline.read(folder.array.outline())
    missing = [
        index
        for index, shard in enumerate(outline.shards)
        if not all((root / name).exists() for name in outline.files_of(shard))
    ]
    folder.array.refuse_unfinished(missing, len(outline.shards), "shards")
    with folder.opened():
        duration_s = 0.0
        for shard in outline.shards:
            duration_s += _duration_s(root / shard.recipes)
        _close(root, folder, outline, duration_s)


def _close(root: Path, folder: RunFolder, outline: _MixtureOutline, duration_s: float) -> None:
    if folder.is_closed:
        return
    if any(source["root"] == MATCHED for source in outline.header["sources"]):
        _close_matched(root / MATCHED, _matched_stems(folder), outline.header["matcher"])
    recipes = sorted(root / shard.recipes for shard in outline.shards)
    tars = sorted(root / shard.audio for shard in outline.shards if outline.is_with_audio)
    header = {
        **outline.header,
        **_left_out(root, outline.rejections),
        "hours": hours_of(duration_s),
        "shards": [shards.shard_entry(path) for path in recipes],
        "audio_shards": [{"file": path.name, "sha256": storage.file_hash(path)} for path in tars],
    }
    folder.close(header)


def _duration_s(path: Path) -> float:
    """Return how long the mixtures of a shard are together."""
    recipes = shards.RecordTable(path, Mixture)
    lengths, rates = (recipes.column(name).tolist() for name in ("n_samples", "sample_rate"))
    return float(sum(n / rate for n, rate in zip(lengths, rates, strict=True)))


def _left_out(root: Path, rejections: Sequence[Rejection]) -> dict[str, Any]:
    """Write what of the sources is in no mixture; return what the manifest says of it."""
    if not rejections:
        return {}
    shards.write_records(root / _REJECTIONS, Rejection, rejections)
    reasons = Counter(str(row.reason) for row in rejections)
    entry = shards.shard_entry(root / _REJECTIONS)
    return {"rejections": dict(sorted(reasons.items())), "rejection_shards": [entry]}


def _matched_stems(folder: RunFolder) -> list[MatchedStem]:
    """Return the matched stems of which there are records, each once, in order of their names."""
    found: dict[str, MatchedStem] = {}
    for path in sorted((folder.state / MATCHED).rglob("*.parquet")):
        found |= {stem.stem_id: stem for stem in shards.read_records(path, MatchedStem)}
    return [found[key] for key in sorted(found)]


def _close_matched(folder: Path, stems: Sequence[MatchedStem], header: Mapping[str, Any]) -> None:
    """Write the records of matched stems, and the manifest of their folder."""
    shards.write_records(folder / _MATCHED_STEMS, MatchedStem, stems)
    shards.write_manifest(
        folder,
        {
            "stage": CORPUS,
            "kind": MATCHED,
            **header,
            "n_stems": len(stems),
            "shards": [shards.shard_entry(folder / _MATCHED_STEMS)],
        },
    )


def _versions(audio_format: AudioFormat | None) -> dict[str, str]:
    """Return what the bytes of the audio depend on, beyond its samples."""
    return flac.encoder_version() if audio_format is AudioFormat.FLAC else {}
