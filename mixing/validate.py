"""Checking a folder of mixtures: shards, recipes, and the stems they name."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.places import lies_in, place
from stemsmith.manifests.records import Finding
from stemsmith.manifests.run_folder import refuse_unfinished
from stemsmith.manifests.scratch import ComparedTexts, ScratchRecords
from stemsmith.manifests.tar_shards import read_members
from stemsmith.mixing.audio.realise import MIXTURE
from stemsmith.mixing.audio.transforms import decode, effect_of, kept_stretches
from stemsmith.mixing.mixtures import STATE_FOLDER, Mixtures, hours_of
from stemsmith.mixing.sources.find import locate

__all__ = ["FileCheck", "check_file", "plan_checks"]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file that recipes read, or a tar shard, and the hash it must have.

    Attributes
    ----------
    path : str
        The file to check.
    sha256 : str
        Hash that it must have.
    members : tuple of str or None
        Names of all files in a tar shard; None for other files.
    """

    path: str
    sha256: str
    members: tuple[str, ...] | None = None


def plan_checks(mixtures: Mixtures) -> Sequence[FileCheck]:
    """Check the manifest and every recipe of a folder.

    Parameters
    ----------
    mixtures : Mixtures
        The folder, whose shards were compared to their hashes when it was opened.

    Returns
    -------
    sequence of FileCheck
        Files whose hashes remain to be checked, each once.

    Raises
    ------
    InvalidCorpus
        Naming the first offender.
    """
    folder, header, roots = mixtures.root, mixtures.header, mixtures.roots
    refuse_unfinished(folder / STATE_FOLDER, "mix")
    if set(roots) != {source["root"] for source in header["sources"]}:
        raise InvalidCorpus(f"{folder / shards.MANIFEST}: its roots are not those of its sources")
    wanted = _WantedFiles()
    try:
        _check_recipes(mixtures, wanted)
    except InvalidCorpus:
        wanted.check()  # what two recipes disagree about may come before
        raise
    wanted.check()
    if MATCHED in roots:
        _check_matched(place(roots[MATCHED]), wanted)
    checks = ScratchRecords(itertools.starmap(FileCheck, wanted))
    checks.extend(_tar_checks(mixtures))
    return checks


def _check_recipes(mixtures: Mixtures, wanted: _WantedFiles) -> None:
    """Check every recipe of a folder, and take the files that they read."""
    folder, header, roots = mixtures.root, mixtures.header, mixtures.roots
    seen: set[str] = set()
    duration_s = 0.0
    for shard in mixtures.recipe_shards:
        path = shard.path
        wanted.begin(path)
        for mixture in shard.recipes[:]:
            if mixture.mixture_id in seen or mixture.split != shard.split:
                raise InvalidCorpus(
                    f"{path}: {mixture.mixture_id} is not alone, or not in its split"
                )
            seen.add(mixture.mixture_id)
            duration_s += mixture.n_samples / mixture.sample_rate
            if problem := next(_problems(mixture, header), None):
                raise InvalidCorpus(f"{path}: {mixture.mixture_id}: {problem}")
            for source in mixture.excerpts:
                wanted.add(roots, source)
    if len(seen) != sum(header["n_mixtures"].values()):
        raise InvalidCorpus(f"{folder}: {len(seen)} mixtures, not as many as in the manifest")
    if header.get("hours") != hours_of(duration_s):
        raise InvalidCorpus(f"{folder}: {hours_of(duration_s)} h, not as it says")


class _WantedFiles:
    """Files that recipes read and their hashes, most of which are not in memory."""

    def __init__(self) -> None:
        self._files = ScratchRecords[tuple[str, str]]()
        self._paths, self._hashes = ComparedTexts(), ComparedTexts()
        self._shards: list[tuple[int, Path]] = []  # where the files of each begin
        self._of_shard: dict[tuple[str, str, str], None] = {}

    def begin(self, shard: Path) -> None:
        """Take what follows as files of a shard."""
        self._shards.append((len(self._files), shard))
        self._of_shard.clear()

    def add(self, roots: Mapping[str, str], source: MixtureSource) -> None:
        """Take the file of a source, which the shard may have named before."""
        key = source.root, source.path, source.sha256
        if key not in self._of_shard:
            self._of_shard[key] = None
            file = str(locate(roots, source.root, source.path))
            self._files.append((file, source.sha256))
            self._paths.append(file)
            self._hashes.append(source.sha256)

    def check(self) -> None:
        """Check that all recipes agree about every file.

        Raises
        ------
        InvalidCorpus
            Naming the first file about which two do not, and the shard of the second.
        """
        hashes = self._hashes.numbers()
        disputed = np.flatnonzero(hashes != hashes[self._paths.firsts()])
        if len(disputed):
            number = int(disputed[0])
            index = bisect_right(self._shards, number, key=itemgetter(0)) - 1
            shard, (file, _) = self._shards[index][1], self._files[number]
            raise InvalidCorpus(f"{shard}: two recipes disagree about {file}")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield every file once, and its hash."""
        is_new = self._paths.firsts() == np.arange(len(self._paths))
        return map(self._files.__getitem__, np.flatnonzero(is_new).tolist())


def _check_matched(folder: Path, wanted: Iterable[tuple[str, str]]) -> None:
    """Check that the stems that were rendered for recipes are those that are recorded."""
    corpus = Corpus(folder).verify()
    recorded = {
        str(storage.inside(folder, s.path)): s.sha256 for s in corpus.matched_stem_records()
    }
    named = {path: sha256 for path, sha256 in wanted if lies_in(place(path), folder)}
    for path in sorted(recorded.keys() ^ named.keys()):
        where = "its records" if path in named else "any recipe"
        raise InvalidCorpus(f"{path}: is not in {where}")
    for path, sha256 in sorted(named.items()):
        if recorded[path] != sha256:
            raise InvalidCorpus(f"{path}: its recipes and its record disagree about its SHA-256")


def _tar_checks(mixtures: Mixtures) -> Iterator[FileCheck]:
    """Yield the checks of the tar shards, each of which has the audio of one shard of recipes."""
    folder, header = mixtures.root, mixtures.header
    recipes = {str(shard.tar): shard for shard in mixtures.recipe_shards}
    audio = header["audio"]
    for entry in _audio_shards(folder, header):
        tar = str(storage.inside(folder, entry["file"]))
        if tar not in recipes or audio is None:
            raise InvalidCorpus(f"{tar}: no shard of recipes is of this audio")
        names = [f"{name}.{audio['format']}" for name in (MIXTURE, *audio["targets"])] + ["json"]
        ids = recipes[tar].recipes.table.column("mixture_id").to_pylist()
        yield FileCheck(tar, entry["sha256"], tuple(f"{i}.{name}" for i in ids for name in names))


def _audio_shards(folder: Path, header: Mapping[str, Any]) -> list[dict[str, str]]:
    entries = header.get("audio_shards")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict)
        and set(entry) == {"file", "sha256"}
        and all(isinstance(value, str) for value in entry.values())
        for entry in entries
    ):
        raise InvalidCorpus(f"{folder / shards.MANIFEST}: does not list its audio shards")
    return entries


def _problems(mixture: Mixture, header: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a recipe."""
    if not mixture.sources:
        yield "no source"
    if mixture.sample_rate != header["sample_rate"]:
        yield f"{mixture.sample_rate} Hz, not {header['sample_rate']}"
    target = header["config"]["target"]
    if target is not None and target not in {s.group for s in mixture.sources}:
        yield f"no source of the target {target}"
    config = header["config"]
    is_plain = config["mode"] == "coherent" and not config["augment"] and not config["overlay"]
    if is_plain and len({s.song_id for s in mixture.sources}) > 1:
        yield "sources of several songs in a coherent mixture"
    if mixture.master is not None:
        decode(mixture.master)
    for source in mixture.excerpts:
        if problem := _source_problem(source, header["taxonomy"]):
            yield f"{source.stem_id}: {problem}"
    if (own := mixture.own_mixture) is not None:
        place = (own.root, own.song_id, own.start, own.n_read)
        if any((s.root, s.song_id, s.start, s.n_read) != place for s in mixture.sources):
            yield "a source is of another song or moment than the song's own mixture"


def _source_problem(source: MixtureSource, taxonomy: Collection[str]) -> str | None:
    for effect in map(effect_of, source.transforms):
        if effect.label is not None and effect.label not in taxonomy:
            return f"is labelled {effect.label}, which is no target"
    if source.n_read <= 0 or source.n_stem_samples <= 0 or source.start < 0:
        return "reads nothing, or from before the stem"
    stretches = kept_stretches(source.transforms) or []
    if any(start + n > source.n_stem_samples for start, n in stretches):
        return "reads beyond the end of the stem"
    return None


def check_file(job: FileCheck) -> Finding:
    """Compare a file's SHA-256 to the one that was recorded; look into a tar shard."""
    path = place(job.path)
    try:
        found = places.sha256_of(path)
        if job.members is not None and set(read_members(path)) != set(job.members):
            return Finding(job.path, f"{path}: its members are not those of its recipes")
    except InvalidCorpus as error:
        recheck(error)
        return Finding(job.path, str(error))
    except OSError as error:
        recheck(error)
        return Finding(job.path, f"{path}: cannot be read: {error.strerror}")
    if found == job.sha256:
        return Finding(job.path, None)
    changed = InvalidCorpus(f"{path}: SHA-256 is not the one recorded; it has changed")
    recheck(changed)
    return Finding(job.path, str(changed))
