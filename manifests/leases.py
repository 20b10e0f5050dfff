"""Leases: what keeps a second run out of a destination in an object store, which has no locks.

A lease is an object that says who holds it and until when. It is taken by a write that the store
does only if there is no such object, renewed while its holder lives, and may be taken over when it
has run out, by a write that the store does only if nobody else has just done so. A run that was
killed on this machine leaves one whose process is not there any more, which counts at once.

Clocks of machines are compared: they should differ by less than a lease lasts.
"""

from __future__ import annotations

import json
import math
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests.errors import InUse, NoAnswer, StoreError, UsageError
from stemsmith.manifests.stores import ObjectPath
from stemsmith.manifests.variables import number_in

__all__ = ["LEASE_VARIABLE", "is_leased", "leased"]

LEASE_VARIABLE: Final = "STEMSMITH_LEASE_S"
_LEASE_S: Final = 120.0
_RENEWALS: Final = 4  # in the time that a lease lasts
_N_ATTEMPTS: Final = 5  # where others come and go at the same time
_SHORT_S: Final = 20.0  # of one that is held for moments, so that others wait for it
_LOOK_AGAIN_S, _LONGEST_PAUSE_S = 0.25, 5.0  # a store has its price for each question
_held: set[str] = set()  # secrets of the leases that this process holds


class _Lease(NamedTuple):
    """What the object says: a secret of its holder, where that is, and when the lease ends."""

    holder: str
    host: str
    process: int
    machine: str
    until_s: float

    def encoded(self) -> bytes:
        return json.dumps(self._asdict()).encode()

    @property
    def has_ended(self) -> bool:
        return self._was_left or self.until_s < time.time()

    @property
    def _was_left(self) -> bool:
        """Whether its holder was of this machine, and is known to hold it no more."""
        if self.machine != _machine() or self.machine == "":
            return False
        if self.process == os.getpid():
            return self.holder not in _held
        return not _is_alive(self.process)


@contextmanager
def leased(
    path: ObjectPath, folder: ObjectPath, said: str | None = None, wait_s: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Hold a lease while the body runs.

    Parameters
    ----------
    path : ObjectPath
        The object that is the lease.
    folder : ObjectPath
        What it keeps others out of, for messages.
    said : str, optional
        What is said if another run holds it, in place of who it is and until when.
    wait_s : float
        Seconds for which another one may hold it meanwhile; -1 waits as long as it does.

    Yields
    ------
    callable
        Raises `InUse` if the lease has been lost, as where the store could not be reached for
        longer than it lasts and another run has taken it over.

    Raises
    ------
    InUse
        If another run holds it; the text says who, and until when.
    """
    lasts_s = min(_lasts_s(), _SHORT_S) if wait_s else _lasts_s()
    own = _Lease(secrets.token_hex(16), socket.gethostname(), os.getpid(), _machine(), 0.0)
    _held.add(own.holder)  # before others of this process can see the object
    try:
        tag = _waited_for(path, folder, own, lasts_s, said, wait_s)
    except BaseException:
        _held.discard(own.holder)
        raise
    holding = _Holding(path, own, lasts_s, tag)
    thread = threading.Thread(target=holding.renew, name="stemsmith lease", daemon=True)
    thread.start()

    def check() -> None:
        if holding.is_lost:
            raise InUse(f"{folder}: another run has taken over here, since this one was not heard")

    is_answered = True
    try:
        yield check
    except NoAnswer:
        is_answered = False
        raise
    finally:
        _held.discard(own.holder)
        holding.ended.set()
        if is_answered:  # else we would wait as long again for nothing
            thread.join()
            holding.release()


def _waited_for(
    path: ObjectPath,
    folder: ObjectPath,
    own: _Lease,
    lasts_s: float,
    said: str | None,
    wait_s: float,
) -> str:
    """Take a lease as soon as nobody has it; return the tag of its object, as `leased` does."""
    end_s = math.inf if wait_s < 0 else time.monotonic() + wait_s
    pause_s = _LOOK_AGAIN_S
    while True:
        try:
            return _taken(path, folder, own, lasts_s)
        except InUse as refusal:
            if time.monotonic() > end_s or not wait_s:
                raise InUse(said or str(refusal)) from None
        time.sleep(pause_s * random.uniform(0.75, 1.25))  # not all jobs of an array at once
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def is_leased(path: ObjectPath) -> bool:
    """Return whether somebody holds a lease, which need not be there."""
    found = _read(path)
    return found is not None and not found[0].has_ended


class _Holding:
    """A lease that is held, and renewed by a thread of its own."""

    def __init__(self, path: ObjectPath, own: _Lease, lasts_s: float, tag: str) -> None:
        self._path, self._own, self._lasts_s, self._tag = path, own, lasts_s, tag
        self.ended = threading.Event()
        self.is_lost = False

    def renew(self) -> None:
        """Renew the lease until it is told to end, or has lost it."""
        while not self.ended.wait(self._lasts_s / _RENEWALS):
            try:
                tag = self._path.conditionally(_from_now(self._own, self._lasts_s), self._tag)
            except (StoreError, OSError):
                continue  # the lease is ours for as long as nobody takes it
            if tag is None:
                self.is_lost = True
                return
            self._tag = tag

    def release(self) -> None:
        """Remove the lease, if it is still ours."""
        with suppress(StoreError, OSError):
            found = _read(self._path)
            if found is not None and found[0].holder == self._own.holder:
                self._path.unlink(missing_ok=True)


def _taken(path: ObjectPath, folder: ObjectPath, own: _Lease, lasts_s: float) -> str:
    """Take a lease; return the tag of its object."""
    for _ in range(_N_ATTEMPTS):
        tag = path.conditionally(_from_now(own, lasts_s), None)
        if tag is not None:
            return tag
        found = _read(path)
        if found is None:  # removed meanwhile
            continue
        held, held_tag = found
        if not held.has_ended:
            raise InUse(_refusal(folder, held))
        if tag := path.conditionally(_from_now(own, lasts_s), held_tag):
            return tag
    raise InUse(f"{folder}: other runs are beginning to write here; wait for them to end")


def _refusal(folder: ObjectPath, held: _Lease) -> str:
    until = datetime.fromtimestamp(held.until_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"{folder}: another run is writing here (process {held.process} on {held.host}), which "
        f"has it until {until} UTC unless it goes on; wait for it to end, or until then if it was "
        "killed"
    )


def _from_now(own: _Lease, lasts_s: float) -> bytes:
    return own._replace(until_s=time.time() + lasts_s).encoded()


def _read(path: ObjectPath) -> tuple[_Lease, str] | None:
    """Return a lease and the tag of its object; None if it is not there."""
    try:
        tag = path.stat().tag
        content: Any = json.loads(path.read_bytes())
        lease = _Lease(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}: is no lease that this version can read; remove it if nobody is writing there"
        ) from None
    return lease, tag


def _lasts_s() -> float:
    return number_in(LEASE_VARIABLE, _LEASE_S, 86_400, "seconds")


def _machine() -> str:
    """Return what tells this machine, since it was started, from others; empty if nobody can say.

    Processes of another container have other numbers.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # on systems with /proc alone: elsewhere this would end it
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
