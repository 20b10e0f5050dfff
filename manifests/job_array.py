"""Several jobs that fill one folder at the same time, and what joins them in the end.

They share no file that two of them write to. Each holds a lock of its own as long as it is at
work. What is the same for all of them, such as the outline by which the folder is closed, is
written once, by whoever comes first, and read by the others.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import documents, storage
from stemsmith.manifests.errors import InUse, NothingToDo, UsageError
from stemsmith.manifests.folder_kinds import ARRAY
from stemsmith.manifests.places import is_remote
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.shares import Share, array_text

__all__ = ["JobArray", "Outline"]

_ARRAY: Final = "array.json"
_OUTLINE: Final = "outline"
_HEADER: Final = "header.json"
_CHECKSUM: Final = "sha256"
_PER_FILE: Final = 100_000  # entries of a list: a million songs are no larger than JSON may be
_MOST_NAMED: Final = 8
_DOOR_S: Final = 120  # for which others may come in before us: a thousand jobs that start at once


@dataclass(frozen=True, slots=True)
class Outline:
    """What of a plan is needed to close a folder that several jobs have filled.

    Attributes
    ----------
    header : mapping
        What the manifest will say, as far as it was decided by the plan.
    items : sequence of sequence
        What is to be known of each item that a job makes, in the order of the whole run: text and
        numbers.
    rejections : sequence of Rejection
        What was left out by the plan.
    facts : mapping
        Whatever else is to be known, as JSON has it.
    """

    header: Mapping[str, Any]
    items: Sequence[Sequence[Any]]
    rejections: Sequence[Rejection]
    facts: Mapping[str, Any]


class JobArray:
    """What the jobs of an array have in common below the state of their run.

    Parameters
    ----------
    root : Path
        The folder that they fill.
    state : Path
        Folder of the run's state.
    """

    def __init__(self, root: Path, state: Path) -> None:
        self._root, self._state = root, state
        self.folder = state / ARRAY

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold what everybody holds for a moment who begins, or looks who is at work.

        Raises
        ------
        InUse
            If others hold it for minutes.
        """
        with storage.exclusive(self._state / "door", wait_s=_DOOR_S):
            yield

    @property
    def n_jobs(self) -> int | None:
        """The number of jobs; None if none has begun."""
        path = self.folder / _ARRAY
        if not path.exists():
            return None
        try:
            return int(documents.read_json(path)["n_jobs"])
        except (UsageError, KeyError, TypeError, ValueError):
            raise UsageError(
                f"{path}: damaged; remove {self.folder} and run the jobs again"
            ) from None

    def check(self, share: Share) -> None:
        """Check that a job belongs to the array.

        Raises
        ------
        UsageError
            If its jobs are of another number.
        """
        n_jobs = self.n_jobs
        if n_jobs not in (None, share.n_jobs):
            raise UsageError(
                f"{self._root}: its jobs are of {n_jobs}, such as --job 1/{n_jobs}; go on with "
                "these, or repeat the command without --job, or choose another folder"
            )

    def begin(self, share: Share) -> None:
        """Say how many jobs there are, unless another job has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        storage.write_once(self.folder / _ARRAY, json.dumps({"n_jobs": share.n_jobs}).encode())
        self.check(share)

    @contextmanager
    def holding(self, share: Share) -> Iterator[Callable[[], None]]:
        """Hold the lock of a job as long as it is at work; begun `alone`.

        Yields
        ------
        callable
            Raises `InUse` if it is held no longer; see `stemsmith.manifests.storage.exclusive`.

        Raises
        ------
        InUse
            If it was started twice.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        said = f"{self._root}: job {share} is at work here already; wait for it to end"
        with storage.exclusive(self._lock(share.number), said) as check:
            yield check

    def _lock(self, number: int) -> Path:
        return self.folder / f"{number}.lock"

    def refuse_jobs_at_work(self) -> None:
        """Check that no job is at work; called `alone`.

        Raises
        ------
        InUse
            If one is, naming it.
        """
        for lock in sorted(self.folder.glob("*.lock")):
            if storage.is_held(lock):
                job = f"job {lock.stem}/{self.n_jobs}"
                raise InUse(f"{self._root}: {job} is writing here; wait for it to end")

    def save(self, outline: Outline) -> None:
        """Keep what is needed to close the folder, unless another job has."""
        final = self.folder / _OUTLINE
        if (final / _CHECKSUM).exists():
            return
        with storage.staged_folder(self.folder, _OUTLINE) as staged:
            _write_list(staged, "items", outline.items)
            _write_list(staged, "rejections", [astuple(row) for row in outline.rejections])
            content = {"header": outline.header, "facts": outline.facts}
            (staged / _HEADER).write_text(json.dumps(content))
            checksum = _digest(staged)
            if not is_remote(final):
                (staged / _CHECKSUM).write_text(checksum)
            storage.publish_folder(staged, final)
            if is_remote(final):  # where files appear one after the other
                (final / _CHECKSUM).write_text(checksum)

    def outline(self) -> Outline:
        """Return what a job has kept.

        Raises
        ------
        UsageError
            If there is none, since the run is no array, or if it is damaged.
        """
        folder = self.folder / _OUTLINE
        if not folder.exists() or self.n_jobs is None:
            raise UsageError(
                f"{self._root}: no job with --job has begun what is unfinished here; repeat the "
                "command to go on"
            )
        checksum = folder / _CHECKSUM
        if not checksum.exists() or checksum.read_bytes() != _digest(folder).encode():
            raise UsageError(f"{folder}: damaged; remove it, run any job again, and merge then")
        content = documents.read_json(folder / _HEADER)
        rejections = [
            Rejection(name, stage, Reason(reason), detail)
            for name, stage, reason, detail in _read_list(folder, "rejections")
        ]
        items = list(_read_list(folder, "items"))
        return Outline(content["header"], items, rejections, content["facts"])

    def refuse_unfinished(self, missing: Sequence[int], n_items: int, what: str) -> None:
        """Check that every job has made its share.

        Parameters
        ----------
        missing : sequence of int
            Places of the items that are not there, in the order of the whole run.
        n_items : int
            Number of all items.
        what : str
            What the items are, in the plural.

        Raises
        ------
        NothingToDo
            If any is missing, naming the jobs whose they are and what to run.
        """
        n_jobs = self.n_jobs
        assert n_jobs is not None
        n_missing = Counter(index % n_jobs + 1 for index in missing)
        if not n_missing:
            return
        with self.alone():
            numbers = sorted(n_missing)
            at_work = [number for number in numbers if storage.is_held(self._lock(number))]
        states = []
        for number in sorted(n_missing)[:_MOST_NAMED]:
            n_own = len(range(number - 1, n_items, n_jobs))
            state = f"has {n_missing[number]} of {n_own} {what} left"
            if number in at_work:
                state = "is at work"
            elif not self._lock(number).exists() and not is_remote(self.folder):
                state = "has not begun"  # a lease is there as long as its job
            states.append(f"{number}/{n_jobs} {state}")
        if (n_more := len(n_missing) - len(states)) > 0:
            states.append(f"{n_more} more")
        raise NothingToDo(
            f"{self._root}: jobs that have not finished: {', '.join(states)}; "
            f"{_advice(sorted(n_missing), at_work, n_jobs)}, and merge then"
        )


def _advice(missing: Sequence[int], at_work: Sequence[int], n_jobs: int) -> str:
    """Say what to do about jobs that have not finished."""
    steps = ["wait for those at work"] if at_work else []
    if stopped := [number for number in missing if number not in at_work]:
        example = f"--job {stopped[0]}/{n_jobs}"
        array = f" and so on (--array={array_text(stopped)})" if len(stopped) > 1 else ""
        steps.append(f"repeat the command with {example}{array}")
    return ", ".join(steps)


def _digest(folder: Path) -> str:
    """Return the hash of all JSON files of a folder."""
    names = sorted(path.name for path in folder.glob("*.json"))
    lines = [f"{storage.file_hash(folder / name)}  {name}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write_list(folder: Path, name: str, rows: Sequence[Any]) -> None:
    for number, start in enumerate(range(0, len(rows), _PER_FILE)):
        text = json.dumps(list(rows[start : start + _PER_FILE]))
        (folder / f"{name}-{number:05d}.json").write_text(text)


def _read_list(folder: Path, name: str) -> Iterable[Any]:
    for path in sorted(folder.glob(f"{name}-*.json")):
        yield from documents.read_json(path)
