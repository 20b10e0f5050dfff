"""The folder of an export while it is filled: one song after another, killed and resumed.

A song's files are made in the folder's staging and moved to their places; then a record of them is
written, which makes the song finished. At the end come what the format says of all songs,
``SHA256SUMS`` of every file, and the manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.options import to_manifest
from stemsmith.manifests.preflight import library_versions
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.mixing.sources.taxonomy import read_taxonomy
from stemsmith.share.exports.base import ExportedSong, ExportFormat, NotExportable, PlannedFile
from stemsmith.share.exports.exported import EXPORT, REJECTIONS, SUMS, Exported
from stemsmith.share.exports.formats import FORMATS
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.sources import ExportSource

__all__ = [
    "STATE_FOLDER",
    "ExportDestination",
    "ExportPlan",
    "SongExport",
    "plan_export",
    "write_song",
]

STATE_FOLDER: Final = ".export"


@dataclass(frozen=True, slots=True)
class SongExport:
    """One song to write.

    Attributes
    ----------
    format_name : str
        Format whose files are written.
    song : object
        The song as the format planned it.
    config : ExportConfig
        What is wanted.
    root : str
        Absolute path of the destination.
    number : int
        Number of the song in the plan, which its record is called by.
    """

    format_name: str
    song: Any
    config: ExportConfig
    root: str
    number: int

    @property
    def record(self) -> Path:
        """File that says that the song is done."""
        return Path(self.root, STATE_FOLDER, "songs", f"{self.number:08d}.json")


class ExportPlan(NamedTuple):
    """What an export will write.

    Attributes
    ----------
    format_name : str
        Name of the format.
    layout : ExportFormat
        The format itself.
    sources : tuple of ExportSource
        What is exported.
    config : ExportConfig
        What is wanted of it.
    songs : tuple
        The songs as the format planned them.
    """

    format_name: str
    layout: ExportFormat[Any]
    sources: tuple[ExportSource, ...]
    config: ExportConfig
    songs: tuple[Any, ...]

    def files(self) -> Iterator[tuple[str, PlannedFile]]:
        """Yield every file that songs will have, with the split of its song."""
        for song in self.songs:
            for file in self.layout.files(song, self.config):
                yield song.split, file

    def fingerprint(self) -> str:
        """Return a hash of all that decides the bytes of the export."""
        taxonomy = self.config.taxonomy  # a file, perhaps: what it says counts
        content = {
            "format": self.format_name,
            "config": to_manifest(self.config),
            "targets": read_taxonomy(taxonomy).classes if taxonomy else None,
            "sources": [(source.text, source.identity) for source in self.sources],
            "songs": [(song.name, song.split) for song in self.songs],
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plan_export(
    format_name: str, sources: Sequence[ExportSource], config: ExportConfig
) -> ExportPlan:
    """Decide which songs are exported, without reading audio.

    Parameters
    ----------
    format_name : str
        One of `FORMATS`, or ``package.module:Object``.
    sources : sequence of ExportSource
        What is exported.
    config : ExportConfig
        What is wanted of it.

    Raises
    ------
    UsageError
        If the format is unknown, takes no such source, or an option has no effect in it.
    NothingToDo
        If there is no song to write.
    """
    layout = FORMATS.load(format_name)
    layout.check(format_name, sources, config)
    songs = tuple(layout.songs(sources, config))
    if not songs:
        raise NothingToDo(f"{sources[0].text}: has no song to export (--split)")
    names = Counter(song.name for song in songs)
    if twice := [name for name, n in names.items() if n > 1]:
        raise UsageError(f"{sources[-1].text}: two songs would be called {twice[0]}")
    return ExportPlan(format_name, layout, tuple(sources), config, songs)


def write_song(job: SongExport) -> Rejection | None:
    """Write the files of a song, and the record that it is done; return why it could not be."""
    layout = FORMATS.load(job.format_name)
    staged = Path(job.root, STATE_FOLDER, "staging", secrets.token_hex(8))
    staged.mkdir(parents=True)
    try:
        facts = layout.write(job.song, job.config, staged)
        hashes = _publish(staged, Path(job.root))
    except NotExportable as error:
        recheck(error)
        return _reject(job, error.reason, error.detail)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    content = {"facts": dict(facts), "files": hashes}
    storage.write_atomic(job.record, json.dumps(content).encode())
    return None


def _reject(job: SongExport, reason: Reason, detail: str) -> Rejection:
    rejection = Rejection(job.song.name, EXPORT, reason, detail)
    content = {"rejection": [str(rejection.reason), rejection.detail]}
    storage.write_atomic(job.record, json.dumps(content).encode())
    return rejection


def _publish(staged: Path, root: Path) -> dict[str, str]:
    """Move files to their places; return their SHA-256 by their paths."""
    hashes: dict[str, str] = {}
    for folder, folders, names in os.walk(staged):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            place = path.relative_to(staged).as_posix()
            hashes[place] = storage.file_hash(path)
            storage.sync(path)
            final = root / place
            final.parent.mkdir(parents=True, exist_ok=True)
            path.replace(final)
    for filled in {(root / place).parent for place in hashes}:
        storage.sync(filled)
    return hashes


class ExportDestination:
    """The folder that an export goes to.

    Parameters
    ----------
    root : Path
        Folder to fill.
    plan : ExportPlan
        What is written.
    """

    def __init__(self, root: Path, plan: ExportPlan) -> None:
        self.root, self._plan = root, plan
        self._folder = RunFolder(root, EXPORT, root / STATE_FOLDER, plan.fingerprint())

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder, and sweep what was killed; see `RunFolder.opened`."""
        with self._folder.opened():
            if not self._folder.is_closed:
                (self._folder.state / "songs").mkdir(exist_ok=True)
            yield

    def jobs(self) -> list[SongExport]:
        """Return all songs as jobs."""
        root, plan = str(self.root.absolute()), self._plan
        return [
            SongExport(plan.format_name, song, plan.config, root, number)
            for number, song in enumerate(plan.songs)
        ]

    def open_jobs(self) -> list[SongExport]:
        """Return the songs that are not done."""
        if self._folder.is_closed:
            return []
        return [job for job in self.jobs() if not self._is_done(job)]

    def _is_done(self, job: SongExport) -> bool:
        """Tell whether a song has its record and its files: these may have been removed since."""
        if not job.record.exists():
            return False
        content = _read_record(job.record)
        return all((self.root / place).exists() for place in content.get("files", {}))

    def died(self, job: SongExport) -> Rejection:
        """Record that a song killed its worker twice."""
        return _reject(
            job, Reason.WORKER_DIED, f"{job.song.name}: killed the process that wrote it"
        )

    def close(self) -> Exported:
        """Write what the format says of all songs, the checksums and the manifest.

        Raises
        ------
        NothingToDo
            If no song could be written; the folder is left as it was found.
        """
        if self._folder.is_closed:
            return Exported(self.root)
        plan, done, rejections = self._plan, [], []
        for job in self.jobs():
            content = _read_record(job.record)
            if "rejection" in content:
                reason, detail = content["rejection"]
                rejections.append(Rejection(job.song.name, EXPORT, Reason(reason), detail))
            else:
                done.append(ExportedSong(job.song, content["facts"], content["files"]))
        if not done:
            self._folder.abandon()
            raise NothingToDo(f"{self.root}: no song could be exported; {rejections[0].detail}")
        files = self._finish(done)
        shards.write_records(self.root / REJECTIONS, Rejection, rejections)
        files[REJECTIONS] = storage.file_hash(self.root / REJECTIONS)
        listing = "".join(f"{files[place]}  {place}\n" for place in sorted(files))
        storage.write_atomic(self.root / SUMS, os.fsencode(listing))
        splits = Counter(song.song.split for song in done)
        self._folder.close(
            {
                "stage": EXPORT,
                "format": plan.format_name,
                "variant": plan.layout.variant(plan.config) or None,
                "config": to_manifest(plan.config),
                "sources": [_described(source) for source in plan.sources],
                "n_songs": dict(sorted(splits.items())),
                "n_files": len(files),
                "n_sounding": _n_sounding(done),
                "gains_db": {
                    song.song.name: gain for song in done if (gain := song.facts.get("gain_db"))
                },
                "rejections": dict(Counter(str(rejection.reason) for rejection in rejections)),
                "shards": [shards.shard_entry(self.root / REJECTIONS)],
                "checksums": {"file": SUMS, "sha256": storage.file_hash(self.root / SUMS)},
                "versions": library_versions(),
            }
        )
        return Exported(self.root)

    def _finish(self, done: Sequence[ExportedSong[Any]]) -> dict[str, str]:
        """Have the format write its own files; return the SHA-256 of all files by their paths."""
        plan = self._plan
        staged = self._folder.staging / secrets.token_hex(8)
        staged.mkdir()
        plan.layout.finish(done, plan.sources, plan.config, staged)
        plan.layout.finish_at(self.root.absolute(), done, plan.config, staged)
        files = {place: digest for song in done for place, digest in song.files.items()}
        return files | _publish(staged, self.root)


def _n_sounding(done: Sequence[ExportedSong[Any]]) -> dict[str, int] | None:
    """Return in how many songs each target sounds, of formats that know of targets."""
    if not all("targets" in song.facts for song in done):
        return None
    counts = Counter(target for song in done for target in song.facts["targets"])
    known = dict.fromkeys(target for song in done for target in song.song.targets)
    return {target: counts[target] for target in known}


def _read_record(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = documents.read_json(path, InvalidCorpus)
    return content


def _described(source: ExportSource) -> dict[str, str]:
    return {**dataclasses.asdict(source), "root": str(source.root), "identity": source.identity}
