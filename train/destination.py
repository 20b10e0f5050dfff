"""The folder of a run while it is trained: new, or ours to go on with, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.folder_kinds import own_kind
from stemsmith.train.run import RUN, VERSION, TrainedRun, checkpoint_path

__all__ = ["RunDestination"]

_LOCK: Final = ".lock"
# What may differ when a run goes on: how far, not where to.
_FREE: Final = ("epochs",)


class RunDestination:
    """The folder that a run is written to.

    Parameters
    ----------
    root : Path
        Folder that the run is written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = self.checkpoint("").parent

    def checkpoint(self, name: str) -> Path:
        """Return where a checkpoint is; see `stemsmith.train.run.checkpoint_path`."""
        return checkpoint_path(self.root, name)

    @contextmanager
    def opened(self, content: dict[str, Any], is_resumed: bool) -> Iterator[None]:
        """Write ``run.json``, or check that it is of the same run, and keep other runs out.

        Parameters
        ----------
        content : dict
            JSON values: what decides the result under ``"config"``, and what is good to know.
        is_resumed : bool
            Whether to go on with what is there; a folder without a run begins one.

        Raises
        ------
        UsageError
            If the folder holds another run, one that was not to be resumed, or other files; or
            if another process is writing there.
        """
        self._check(content, is_resumed)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with storage.exclusive(self.checkpoints / _LOCK):
            self._check(content, is_resumed)
            text = json.dumps({"version": VERSION, **content}, indent=2, sort_keys=True)
            storage.write_atomic(self.root / RUN, text.encode() + b"\n")
            yield

    def _check(self, content: dict[str, Any], is_resumed: bool) -> None:
        if (self.root / RUN).exists():
            if not is_resumed:
                raise UsageError(
                    f"{self.root}: holds a run; --resume goes on with it, or choose another folder"
                )
            known = TrainedRun(self.root).config
            if other := _difference(known, json.loads(json.dumps(content["config"]))):
                raise UsageError(
                    f"{self.root}: the run here has another {other}; repeat its command with "
                    "--resume, or choose another folder"
                )
        elif (found := own_kind(self.root)) is not None:
            raise UsageError(f"{self.root}: {found.words}; choose another folder")
        elif self.root.exists() and not (self.root.is_dir() and self._is_new()):
            raise UsageError(f"{self.root}: not empty and no run; choose another folder")

    def _is_new(self) -> bool:
        """Whether nothing is in the folder but what a run leaves that was killed at once."""
        own = {f".{RUN}.tmp", self.checkpoints.name, f"{self.checkpoints.name}/{_LOCK}"}
        return all(path.relative_to(self.root).as_posix() in own for path in self.root.rglob("*"))


def _difference(known: Any, wanted: Any, name: str = "configuration") -> str:
    """Return the name of the first value in which two configurations differ, or nothing."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in sorted({*known, *wanted} - set(_FREE)):
            if found := _difference(known.get(key), wanted.get(key), key):
                return found
        return ""
    return "" if known == wanted else name
