"""Leases: one holder, renewed while it lives, taken over when it is dead or has run out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests import leases, storage
from stemsmith.manifests.errors import InUse, NoAnswer, UsageError
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.stores import ObjectPath

LONG_S = 60.0  # after which something that should have happened has not


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def held(path: ObjectPath, **changes: Any) -> None:
    """Write a lease of somebody on another machine."""
    lease = {
        "holder": "x" * 32,
        "host": "elsewhere",
        "process": 12345,
        "machine": "another",
        "until_s": time.time() + 1000,
    }
    path.write_bytes(json.dumps({**lease, **changes}).encode())


def test_a_second_holder_is_refused_in_one_line(store: ObjectPath) -> None:
    lock = store / ".run" / "lock"
    with storage.exclusive(lock) as check:
        check()
        with pytest.raises(InUse) as refusal, storage.exclusive(lock):
            pass
        assert str(refusal.value).startswith(f"{store}: another run is writing here (process ")
        ends = time.strftime("%Y-%m-%d ", time.gmtime(json.loads(lock.read_bytes())["until_s"]))
        assert ends in str(refusal.value)
        assert "UTC" in str(refusal.value)
        check()
    assert not lock.exists()
    with storage.exclusive(lock):
        assert lock.exists()


def test_one_of_another_machine_is_respected_until_it_has_run_out(store: ObjectPath) -> None:
    lock = store / ".run" / "lock"
    held(lock)
    with pytest.raises(InUse, match="process 12345 on elsewhere"), storage.exclusive(lock):
        pass
    assert json.loads(lock.read_bytes())["host"] == "elsewhere"
    held(lock, until_s=time.time() - 1)
    with storage.exclusive(lock):
        assert json.loads(lock.read_bytes())["host"] != "elsewhere"


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="this system does not say")
def test_one_of_a_process_that_is_dead_counts_no_more(store: ObjectPath) -> None:
    lock = store / ".run" / "lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held(lock, process=dead.pid)  # of another machine, where the number means nothing
    with pytest.raises(InUse), storage.exclusive(lock):
        pass
    held(lock, process=dead.pid, machine=leases._machine())
    with storage.exclusive(lock):
        pass


def test_it_is_renewed_while_its_holder_lives(
    store: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leases.LEASE_VARIABLE, "0.5")
    lock = store / ".run" / "lock"
    with storage.exclusive(lock) as check:
        first_s = json.loads(lock.read_bytes())["until_s"]
        until(lambda: time.time() > first_s + 0.1)
        until(lambda: json.loads(lock.read_bytes())["until_s"] > time.time())
        check()


def test_of_many_that_take_over_one_succeeds(shared_store: ObjectPath) -> None:
    lock = shared_store / ".run" / "lock"
    held(lock, until_s=0.0)
    everybody, taken, refused = threading.Barrier(6), [], []

    def take() -> None:
        own = leases._Lease(f"{threading.get_ident():032}", "here", 1, "", 0.0)
        everybody.wait()
        try:
            taken.append(leases._taken(lock, shared_store, own, 100.0))
        except InUse as refusal:
            refused.append(refusal)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 5)


def test_a_run_that_has_lost_it_does_not_finish(
    store: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that could not reach the store for longer than a lease."""
    monkeypatch.setenv(leases.LEASE_VARIABLE, "0.5")
    folder = RunFolder(store / "c", "corpus", store / "c" / ".render", "fingerprint")
    with folder.opened():
        held(folder.lock)
        with pytest.raises(InUse, match="another run has taken over"):
            for _ in range(10_000):
                assert folder._check_held is not None
                folder._check_held()
                time.sleep(0.01)
        with pytest.raises(InUse):
            folder.close({"stage": "corpus"})
    assert not folder.is_closed
    assert json.loads(folder.lock.read_bytes())["host"] == "elsewhere"


def test_what_is_no_lease_is_named(store: ObjectPath) -> None:
    lock = store / ".run" / "lock"
    for content in (b"", b"[]", b"{}", b"\xff"):
        lock.write_bytes(content)
        with pytest.raises(UsageError, match="lock: is no lease"), storage.exclusive(lock):
            pass


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "1e9"])
def test_a_time_that_is_none(store: ObjectPath, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(leases.LEASE_VARIABLE, text)
    with pytest.raises(UsageError, match=leases.LEASE_VARIABLE), storage.exclusive(store / "lock"):
        pass


def test_a_run_leaves_nothing_of_its_own(store: ObjectPath) -> None:
    folder = RunFolder(store / "c", "corpus", store / "c" / ".render", "fingerprint")
    with folder.opened():
        (folder.state / "records" / "x").write_bytes(b"")
        folder.close({"stage": "corpus"})
    assert sorted(path.name for path in store.rglob("*")) == ["manifest.json"]
    # Killed after the manifest was written, and before the rest was removed.
    (folder.state / "records" / "x").write_bytes(b"")
    held(folder.lock)
    with folder.opened():
        pass
    assert sorted(path.name for path in store.rglob("*")) == ["manifest.json"]


def test_what_does_not_answer_is_not_asked_to_let_go(store: ObjectPath) -> None:
    """Nor does this process wait for its own lease afterwards."""
    lock = store / ".run" / "lock"
    with pytest.raises(NoAnswer), storage.exclusive(lock):
        raise NoAnswer(f"{lock}: does not answer")
    assert lock.exists()
    with storage.exclusive(lock):
        pass
    assert not lock.exists()
