"""A destination while a stage writes to it: new, or ours to go on with, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import documents, shards, storage
from stemsmith.manifests.errors import InUse, InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.folder_kinds import own_kind
from stemsmith.manifests.job_array import JobArray
from stemsmith.manifests.shares import Share

__all__ = ["RunFolder", "refuse_foreign", "refuse_other_kind", "refuse_unfinished"]

_PLAN: Final = "plan.json"


def refuse_foreign(root: Path, stage: str, state: str) -> None:
    """Check that a destination is new, or may be a run's: worth finding out before long work.

    Parameters
    ----------
    root : Path
        Folder that the stage writes to.
    stage : str
        What is to be written.
    state : str
        Name of the folder in which a run of this stage keeps its state.

    Raises
    ------
    UsageError
        If it is no folder, or holds other files.
    """
    if not root.exists() or (root / shards.MANIFEST).exists() or (root / state / _PLAN).exists():
        return
    if not root.is_dir():
        raise UsageError(f"{root}: is not a folder")
    if any(path.name != state for path in root.iterdir()):
        raise UsageError(f"{root}: not empty and no {stage} folder; choose another")


def refuse_other_kind(root: Path, stage: str) -> None:
    """Check that a destination does not hold what another stage wrote.

    Parameters
    ----------
    root : Path
        Folder that the stage writes to.
    stage : str
        What is to be written, as its manifest says it.

    Raises
    ------
    UsageError
        If it does, saying what it holds.
    """
    found = own_kind(root)
    if found is not None and found not in shards.KINDS.get(stage, ()):
        raise UsageError(f"{root}: {found.words}; choose another folder")


def refuse_unfinished(state: Path, command: str) -> None:
    """Check that nothing is left of a run, whose last act is to remove its state.

    Raises
    ------
    InvalidCorpus
        If the folder of its state is there, naming it and the command to repeat.
    """
    if state.exists():
        raise InvalidCorpus(f"{state}: left by a run; repeat the {command} command")


class RunFolder:
    """A folder that one run fills; its plan is kept beside what is written until the end.

    A run that is started again on the same folder goes on where the last one was killed if its
    plan is the same, and is refused otherwise. The manifest, written last, says that it is done.

    Or several jobs of an array fill it at the same time, each a share of the plan. They come in one
    after the other, by a lock that is held for a moment, and then each holds its own. Whoever
    closes the folder, which may be a run of the whole plan, does so when none of them is at work.

    Parameters
    ----------
    root : Path
        Folder that the stage writes to.
    stage : str
        As in its manifest.
    state : Path
        Folder below `root` that holds lock, plan and staging.
    fingerprint : str
        Hash of everything that decides the result; the manifest has it too.
    share : Share, optional
        Job of an array that this is; None for the whole run.

    Attributes
    ----------
    staging : Path
        Where files lie until they are complete; a job has a folder of its own, which it sweeps.
    array : JobArray
        What the jobs of an array have in common.
    """

    def __init__(
        self, root: Path, stage: str, state: Path, fingerprint: str, share: Share | None = None
    ) -> None:
        self.root, self.state = root, state
        self.staging = state / "staging"
        if share is not None:
            self.staging /= share.label
        self.array = JobArray(root, state)
        self._stage, self._fingerprint, self._share = stage, fingerprint, share
        self.lock = state / "lock"
        self._check_held: Callable[[], None] | None = None
        self._plan = state / _PLAN

    @classmethod
    def left(cls, root: Path, stage: str, state: Path) -> RunFolder:
        """Return the folder of a run of which only what it has left there is known.

        Raises
        ------
        NothingToDo
            If no run has made its plan.
        UsageError
            If the plan is damaged.
        """
        folder = cls(root, stage, state, "")
        if folder.is_closed:
            folder._fingerprint = str(shards.read_manifest(root, stage).get("fingerprint"))
        elif folder._plan.exists():
            folder._fingerprint = folder._planned()
        else:
            raise NothingToDo(f"{root}: no job has made its plan here; run the jobs, merge then")
        return folder

    @property
    def is_closed(self) -> bool:
        """Whether the run is finished."""
        return (self.root / shards.MANIFEST).exists()

    @property
    def is_own(self) -> bool:
        """Whether the folder holds this run, finished or not."""
        if self.is_closed:
            header = shards.read_manifest(self.root, self._stage)
            return bool(header.get("fingerprint") == self._fingerprint)
        return self._plan.exists() and self._planned() == self._fingerprint

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder, and sweep what was killed.

        Raises
        ------
        UsageError
            If it holds another run or other files, or another process holds it.
        """
        self._check()
        if self.is_closed:
            storage.remove_tree(self.state)  # killed just before it was removed
            yield
            return
        self.state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            with self.array.alone():
                self._check()  # another process may have finished in the meantime
                if not self.is_closed:
                    self._hold(held)
                    self._begin()
            yield
        self._check_held = None
        if self.is_closed:  # Windows removes no file that is open, such as the lock
            storage.remove_tree(self.state)

    def _hold(self, held: ExitStack) -> None:
        """Take the lock that is ours, if nobody is at work who must not be."""
        if self._share is None:
            self._check_held = held.enter_context(storage.exclusive(self.lock))
            self.array.refuse_jobs_at_work()
        else:
            if storage.is_held(self.lock):
                raise InUse(f"{self.root}: another run is writing here; wait for it to end")
            self._check_held = held.enter_context(self.array.holding(self._share))

    def _begin(self) -> None:
        """Sweep what was killed of our own, and say what is done here."""
        storage.remove_tree(self.staging)
        self.staging.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"fingerprint": self._fingerprint}).encode()
        if self._share is None and not self._plan.exists():
            storage.write_atomic(self._plan, content)
        if self._share is not None:
            storage.write_once(self._plan, content)
            self.array.begin(self._share)
            self._check()  # where locks are of one machine only, another one may have been first

    def _check(self) -> None:
        root = self.root
        refuse_other_kind(root, self._stage)
        other = "was made with other arguments, other input files or other versions"
        if self.is_closed:
            if not self.is_own:
                raise UsageError(f"{root}: what is here {other}; choose another folder")
        elif self._plan.exists():
            if not self.is_own:
                raise UsageError(
                    f"{root}: the unfinished run here {other}; "
                    "repeat its command to go on, or choose another folder"
                )
            if self._share is not None:
                self.array.check(self._share)
        else:
            refuse_foreign(root, self._stage, self.state.name)

    def _planned(self) -> Any:
        """Return the fingerprint of the unfinished run."""
        try:
            return documents.read_json(self._plan)["fingerprint"]
        except (UsageError, KeyError, TypeError):
            raise UsageError(
                f"{self._plan}: damaged; remove {self.root} and run again, or choose another folder"
            ) from None

    def close(self, header: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest and remove the run's own files; return the manifest.

        A header may say the fingerprint of the run that it is of, where that was another one.

        Raises
        ------
        InUse
            If another run has taken over, as where this one could not reach the store for long.
        """
        if self._check_held is not None:
            self._check_held()
        header = {"fingerprint": self._fingerprint, **header}
        shards.write_manifest(self.root, header)
        self.abandon()
        return header

    def abandon(self) -> None:
        """Remove the run's own files: another plan may do better in this folder."""
        storage.remove_tree(self.state, but=self.lock)
