"""Mixtures on disk: the one place that opens what ``stemsmith mix`` wrote."""

from __future__ import annotations

import hashlib
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, overload

from stemsmith.manifests import shards, storage
from stemsmith.manifests.documents import Every, Nullable, Optional
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import STAGE, Mixture
from stemsmith.manifests.places import joined, place
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.audio.labels import Labels, realise_labels
from stemsmith.mixing.audio.realise import Realised, realise
from stemsmith.mixing.augmentation import Augmentation
from stemsmith.mixing.augmentations import AUGMENTATIONS

__all__ = [
    "STATE_FOLDER",
    "MixtureShard",
    "Mixtures",
    "StoredMixture",
    "fingerprint_of",
    "hours_of",
]

STATE_FOLDER: Final = ".mix"
_SHARDS_IN_MEMORY: Final = 16  # 65,536 recipes: some 100 MB
_SHAPE: Final = {  # of what readers ask of the manifest
    "roots": Optional(Every(dict, str)),
    "n_mixtures": Every(dict, int),
    "hours": float,
    "sample_rate": int,
    "taxonomy": dict,
    "audio": Nullable({"format": str, "targets": Every(list, str)}),
    "sources": Every(list, {"root": str}),
    "config": {
        "mode": str,
        "target": Nullable(str),
        "n_channels": int,
        "augment": Every(list, str),
        "overlay": object,
    },
}
_NO_DECISION: Final = frozenset(
    {
        "schema_version",
        "roots",
        "hours",
        "shards",
        "audio_shards",
        "rejections",
        "rejection_shards",
        "fingerprint",
    }
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


@dataclass(frozen=True, slots=True)
class StoredMixture:
    """One mixture of a folder.

    Attributes
    ----------
    record : Mixture
        Its recipe, as it stands in the shard.
    roots : mapping of str to str
        Absolute folders of its sources, by the names that recipes have for them.
    """

    record: Mixture
    roots: Mapping[str, str]

    def realise(
        self, targets: Collection[str] | None = None, *, is_verified: bool = True
    ) -> Realised:
        """Make the audio from the sources; see `stemsmith.mixing.audio.realise.realise`.

        Parameters
        ----------
        targets : collection of str, optional
            Targets to return beside the mixture; None returns all that it has.
        is_verified : bool
            Whether the files of the sources are checked to be those of the recipe.

        Returns
        -------
        Realised
            ``mixture`` and the targets, (n_channels, n_samples) float32 each.
        """
        return realise(self.record, self.roots, targets, is_verified)

    def labels(self) -> Labels:
        """Return the notes of its targets, where its sources have notes to know of."""
        return realise_labels(self.record, self.roots)


@dataclass(frozen=True, slots=True, eq=False)
class MixtureShard:
    """One file of recipes.

    Attributes
    ----------
    path : Path
        The Parquet file.
    split : str
        The split of its mixtures.
    n_mixtures : int
        Number of its mixtures.
    """

    path: Path
    split: str
    n_mixtures: int
    _read: Callable[[Path], shards.RecordTable[Mixture]]

    @property
    def recipes(self) -> shards.RecordTable[Mixture]:
        """The recipes, which are read when they are asked for, and made into records one by one.

        A folder keeps those of a few shards, which were asked for last.
        """
        return self._read(self.path)

    @property
    def tar(self) -> Path:
        """Where the audio of the same mixtures lies, if audio was written."""
        return self.path.with_name(self.path.name.replace("mixtures-", "audio-", 1)).with_suffix(
            ".tar"
        )


class Mixtures(Sequence[StoredMixture]):
    """A finished folder of mixtures: ``train`` first, then ``validation`` and ``test``.

    Opening it reads the manifest and compares the hashes of its shards; recipes are read when
    they are needed, and audio is made only by `StoredMixture.realise`.

    Parameters
    ----------
    folder : str or Path
        What ``stemsmith mix`` wrote: a folder, or the address of one in an object store.

    Attributes
    ----------
    root : Path
        The folder that was opened.
    header : mapping
        Content of its manifest.

    Raises
    ------
    InvalidCorpus
        If the folder is not finished, was changed, or lacks a shard; the text names the file.

    Examples
    --------
    >>> import stemsmith
    >>> mixtures = stemsmith.Mixtures("mixtures")
    >>> mixtures.splits
    {'train': 2, 'validation': 2, 'test': 2}
    >>> mixtures[0].record.mixture_id
    'train-00000000'
    >>> mixtures[0].realise()["bass"].shape
    (1, 16000)
    """

    def __init__(self, folder: str | Path) -> None:
        self.root = place(folder)
        self.header: Mapping[str, Any] = shards.read_manifest(self.root, STAGE)
        if fingerprint_of(self.header) != self.header.get("fingerprint"):
            manifest = self.root / shards.MANIFEST
            raise InvalidCorpus(f"{manifest}: was changed: not what its hash is of")
        shards.check_header(self.root, self.header, _SHAPE)
        shards.check_shards(self.root, dict(self.header))
        shards.check_shards(self.root, {"shards": self.header.get("rejection_shards", [])})

    def __getstate__(self) -> dict[str, Any]:
        # Workers that load examples get a copy, which reads its shards itself.
        return {name: value for name, value in vars(self).items() if name != "recipe_shards"}

    @property
    def splits(self) -> dict[str, int]:
        """Number of mixtures of every split that has some."""
        counts = self.header["n_mixtures"]
        return {split: counts[split] for split in SPLITS if counts.get(split)}

    @property
    def hours(self) -> float:
        """Duration of all mixtures."""
        return float(self.header["hours"])

    @property
    def sample_rate(self) -> int:
        """Sample rate of the mixtures in Hz."""
        return int(self.header["sample_rate"])

    @property
    def n_channels(self) -> int:
        """Number of channels of the mixtures, 1 or 2."""
        return int(self.header["config"]["n_channels"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the taxonomy, in alphabetical order; not every mixture has them all."""
        return tuple(sorted(self.header["taxonomy"]))

    @property
    def audio_targets(self) -> tuple[str, ...]:
        """Targets that were written as audio; none if there are recipes alone.

        Where recordings are faulty, ``<target>.true`` stands beside every target.
        """
        return tuple((self.header["audio"] or {}).get("targets", ()))

    @property
    def is_recorded_faulty(self) -> bool:
        """Whether recordings of targets may differ from what the targets are.

        Each target then has a second name, ``<target>.true``, for what it is.
        """
        return any(one.is_fault for one in self._augmentations)

    @property
    def is_sum(self) -> bool:
        """Whether every mixture is the sum of what is recorded of its targets."""
        return self.is_additive and not self.n_own_mixtures

    @property
    def is_additive(self) -> bool:
        """Whether a mixture without what is recorded of a target is all else that is in it."""
        return all(one.keeps_sum for one in self._augmentations)

    @cached_property
    def n_own_mixtures(self) -> int:
        """Number of mixtures that are excerpts of what their songs have as their own mixtures."""
        if "own_mixtures_sha256" not in self.header:  # nothing of the recipes has to be read
            return 0
        return sum(shard.recipes.n_given("own_mixture") for shard in self.recipe_shards)

    @property
    def _augmentations(self) -> list[Augmentation]:
        names = self.header["config"]["augment"]
        return [AUGMENTATIONS.load(name) for name in names if name in AUGMENTATIONS]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decided the mixtures."""
        return str(self.header["fingerprint"])

    @cached_property
    def roots(self) -> dict[str, str]:
        """Absolute folders of the sources, by the names that recipes have for them.

        Raises
        ------
        InvalidCorpus
            If one is not there, or the manifest does not say where they are.
        """
        named = self.header.get("roots")
        if not isinstance(named, dict) or not all(isinstance(path, str) for path in named.values()):
            raise InvalidCorpus(f"{self.root / shards.MANIFEST}: does not say where its roots are")
        if any("\0" in path for path in named.values()):
            raise InvalidCorpus(
                f"{self.root / shards.MANIFEST}: a root has a null byte in its path"
            )
        roots = {name: str(joined(self.root, path)) for name, path in named.items()}
        for name, path in roots.items():
            if not place(path).is_dir():
                raise InvalidCorpus(
                    f"{path}: the root {name!r} of {self.root} is not there; put the folder back, "
                    "or mix again from where it is now"
                )
        return roots

    @cached_property
    def recipe_shards(self) -> tuple[MixtureShard, ...]:
        """The files of recipes, split after split."""
        read = lru_cache(_SHARDS_IN_MEMORY)(self._read_shard)
        found = []
        for entry in self.header["shards"]:
            path = storage.inside(self.root, entry["file"])
            split = next((s for s in SPLITS if path.name.startswith(f"mixtures-{s}-")), "")
            found.append(MixtureShard(path, split, entry["n_records"], read))
        order = {split: place for place, split in enumerate(SPLITS)}
        return tuple(sorted(found, key=lambda s: (order.get(s.split, len(order)), s.path.name)))

    def _read_shard(self, path: Path) -> shards.RecordTable[Mixture]:
        recipes = shards.RecordTable(path, Mixture)
        roots = (recipes.distinct(name, "root") for name in ("sources", "own_mixture"))
        for source in itertools.chain.from_iterable(roots):
            if source["root"] not in self.header.get("roots", {}):
                raise InvalidCorpus(f"{path}: no root {source['root']!r} in {shards.MANIFEST}")
        if not (recipes.column("n_samples") > 0).all():
            raise InvalidCorpus(f"{path}: has a mixture of no length")
        if not (recipes.column("n_channels") == self.n_channels).all():
            raise InvalidCorpus(f"{path}: has a mixture of other channels than {shards.MANIFEST}")
        return recipes

    @cached_property
    def recipes(self) -> shards.Table:
        """All recipes as one Arrow table, a row a mixture; the columns are those of `Mixture`."""
        return shards.read_table([shard.path for shard in self.recipe_shards], Mixture)

    @cached_property
    def rejections(self) -> shards.Table:
        """The files of the sources that are in no mixture, with the fields of `Rejection`."""
        return shards.read_table(self._rejection_files, Rejection)

    def rejection_records(self) -> list[Rejection]:
        """Return the files of the sources that are in no mixture as records."""
        return shards.read_records(self._rejection_files, Rejection)

    @property
    def _rejection_files(self) -> list[Path]:
        entries = self.header.get("rejection_shards", [])  # none where nothing was left out
        return [storage.inside(self.root, entry["file"]) for entry in entries]

    def records(self, split: str | None = None) -> Iterator[Mixture]:
        """Yield the recipes of one split, or of all."""
        for shard in self.recipe_shards:
            if split in (None, shard.split):
                yield from shard.recipes[:]

    @cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(shard.n_mixtures for shard in self.recipe_shards))

    def __iter__(self) -> Iterator[StoredMixture]:
        return (StoredMixture(record, self.roots) for record in self.records())

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> StoredMixture: ...
    @overload
    def __getitem__(self, index: slice) -> list[StoredMixture]: ...
    def __getitem__(self, index: int | slice) -> StoredMixture | list[StoredMixture]:
        rows = range(len(self))[index]  # IndexError beyond the end
        if isinstance(rows, range):
            return [self[row] for row in rows]
        number = bisect_right(self._ends, rows)
        recipes = self.recipe_shards[number].recipes
        return StoredMixture(recipes[rows - self._ends[number] + len(recipes)], self.roots)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {split}" for split, n in self.splits.items())
        return f"Mixtures({str(self.root)!r}: {counts})"
