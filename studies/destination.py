"""The folder of a study: which stages are done, and of what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.documents import Every, Optional, misfit, read_json
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.studies.stages import StudyStage

__all__ = ["STUDY", "StudyDestination"]

STUDY: Final = "study.json"
_STATE: Final = ".study"
_VERSION: Final = 1
_SHAPE: Final = {
    "version": int,
    "title": str,
    "size": str,
    "stages": Every(
        dict, {"fingerprint": str, "seconds": float, "files": Optional(Every(dict, str))}
    ),
}


class StudyDestination:
    """A folder that a study fills, stage by stage.

    ``study.json`` names the stages that are done with a hash of all that decided them. A study may
    grow: stages that are not there are done, and those that are there are kept.

    Parameters
    ----------
    root : Path
        Folder that is filled.
    title, size : str
        Of the study.

    Raises
    ------
    UsageError
        If the folder holds something else, or a study of another size.
    InvalidCorpus
        If its record is damaged.
    """

    def __init__(self, root: Path, title: str, size: str) -> None:
        self.root = root
        self._head = {"version": _VERSION, "title": title, "size": size}
        self._done: dict[str, dict[str, Any]] = {}
        record = root / STUDY
        if record.exists():
            self._done = self._read(record)
        elif root.exists() and (not root.is_dir() or any(p.name != _STATE for p in root.iterdir())):
            raise UsageError(f"{root}: not empty and no study; choose another folder")

    def _read(self, record: Path) -> dict[str, dict[str, Any]]:
        content = read_json(record, InvalidCorpus)
        if problem := misfit(content, _SHAPE):
            raise InvalidCorpus(f"{record}: {problem}")
        if content["version"] != _VERSION:
            raise InvalidCorpus(f"{record}: of version {content['version']}, not {_VERSION}")
        if content["size"] != self._head["size"]:
            raise UsageError(
                f"{self.root}: holds this study at size {content['size']}; choose another folder"
            )
        stages: dict[str, dict[str, Any]] = content["stages"]
        return stages

    def check(self, hashes: Mapping[str, str], files: Mapping[str, Mapping[str, str]]) -> None:
        """Check that what is done, and still there, was done of the same declarations.

        Parameters
        ----------
        hashes : mapping of str to str
            The hash of every stage of the study.
        files : mapping of str to mapping of str to str
            By stage, the hash of every file that decides it.

        Raises
        ------
        UsageError
            Naming the first stage that is not.
        """
        for stage, digest in hashes.items():
            if stage not in self._done or not (self.root / stage).exists():
                continue
            if self._done[stage]["fingerprint"] != digest:
                raise UsageError(
                    f"{self.root / stage}: was made of other declarations or other inputs than the "
                    "study has now; remove it and what was made of it, or choose another folder"
                )
            for name, of_file in self._done[stage].get("files", {}).items():
                if files[stage].get(name) != of_file:
                    raise UsageError(
                        f"{self.root / stage}: was made with another {name}; remove it and what "
                        "was made of it, or choose another folder"
                    )

    def is_done(self, stage: StudyStage) -> bool:
        """Whether a stage is done, and its folder is still there."""
        return stage.id in self._done and (self.root / stage.id).exists()

    def seconds_of(self, stages: Sequence[StudyStage]) -> dict[str, float]:
        """Return how long each stage that is done took, by its `id`."""
        return {s.id: self._done[s.id]["seconds"] for s in stages if s.id in self._done}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep other processes out.

        Raises
        ------
        UsageError
            If another process holds the folder.
        """
        state = self.root / _STATE
        state.mkdir(parents=True, exist_ok=True)
        with storage.exclusive(state / "lock"):
            if (record := self.root / STUDY).exists():
                self._done = self._read(record)
            self._write()
            yield

    def record(
        self, stage: StudyStage, fingerprint: str, seconds: float, files: Mapping[str, str]
    ) -> None:
        """Write that a stage is done.

        Parameters
        ----------
        stage : StudyStage
            What has been done.
        fingerprint : str
            Hash of all that decided it.
        seconds : float
            How long it took; a stage that was killed and gone on with counts its last part.
        files : mapping of str to str
            The hash of every file that decided it.
        """
        row: dict[str, Any] = {"fingerprint": fingerprint, "seconds": round(seconds, 2)}
        self._done[stage.id] = {**row, "files": dict(files)} if files else row
        self._write()

    def _write(self) -> None:
        content = {**self._head, "stages": self._done}
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        storage.write_atomic(self.root / STUDY, text.encode() + b"\n")
