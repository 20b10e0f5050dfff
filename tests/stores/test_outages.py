"""Stores that go away for a while: what is at work goes on when they are back."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from stemsmith.manifests.stores import ObjectPath
from stored_songs import MIXED, RENDERED, TRAINED, weights_of

pytest.importorskip("s3fs")
METHODS = (b"GET ", b"PUT ", b"POST", b"HEAD", b"DELE")


class Gate(socketserver.ThreadingTCPServer):
    """Hands on to a store what comes, unless it is shut: then all connections break."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Handed)
        self.target, self.is_shut, self.n_broken = target, threading.Event(), 0
        self.open_ones: set[socket.socket] = set()
        self.n_bytes_before_break = -1  # of what comes in; then one connection breaks
        self.n_requests, self.n_outages = 0, 0
        self.is_last: Callable[[bytes], bool] = lambda data: False  # before the gate is shut
        self.outage_s = 0.0
        self._lock = threading.Lock()

    def see(self, data: bytes) -> None:
        """Count a request, and shut for a while if it is the last."""
        with self._lock:
            if not data.startswith(METHODS):
                return
            self.n_requests += 1
            if not self.is_last(data):
                return
            self.n_outages += 1
            self.is_shut.set()
        self.break_all()
        threading.Timer(self.outage_s, self.is_shut.clear).start()

    def break_all(self) -> None:
        """Break the connections that there are."""
        for one in list(self.open_ones):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *arguments: object) -> None:
        """Say nothing."""


class Handed(socketserver.BaseRequestHandler):
    server: Gate

    def handle(self) -> None:
        gate = self.server
        if gate.is_shut.is_set():
            gate.n_broken += 1
            return
        with socket.create_connection(gate.target) as store:
            gate.open_ones |= {self.request, store}
            back = threading.Thread(target=self._hand, args=(store, self.request), daemon=True)
            back.start()
            self._hand(self.request, store)
            back.join()
            gate.open_ones -= {self.request, store}

    def _hand(self, source: socket.socket, target: socket.socket) -> None:
        gate, is_in = self.server, source is self.request
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_in:
                    gate.see(data)
                if is_in and gate.n_bytes_before_break >= 0:
                    gate.n_bytes_before_break -= len(data)
                    if gate.n_bytes_before_break < 0:  # half way
                        gate.n_broken += 1
                        target.sendall(data[: len(data) // 2])
                        break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Return the only way to the store."""
    host, _, port = s3_server.removeprefix("http://").partition(":")
    with Gate((host, int(port))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()
        server.break_all()
        thread.join()


def test_a_run_goes_on_after_five_seconds(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, gate: Gate, contents
) -> None:
    """Nothing answers from the moment at which the first song is finished."""
    gate.outage_s = 5.0
    gate.is_last = lambda data: gate.n_outages == 0 and b".songs." in data.partition(b"\r")[0]
    made = front.render_corpus(str(stored / "midi"), str(bucket / "corpus"), **RENDERED)
    assert (gate.n_outages, len(made)) == (1, 4)
    assert gate.n_broken
    assert contents(bucket / "corpus") == contents(disk / "corpus")


@pytest.fixture
def outages(gate: Gate, new_cache: None) -> Iterator[None]:
    """Have the store go away for a while after every fifteenth request."""
    gate.outage_s = 0.1
    gate.is_last = lambda data: gate.n_requests % 15 == 0
    yield
    assert gate.n_outages > 1
    assert gate.n_broken


def test_mixing_goes_on(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, outages: None, contents
) -> None:
    front.mix(str(stored / "corpus"), str(bucket / "mixtures"), **MIXED)
    found, wanted = (contents(folder / "mixtures") for folder in (bucket, disk))
    for one in (found, wanted):
        del one["manifest.json"]  # which says where the corpus is
    assert found == wanted


def test_training_goes_on(
    stored: ObjectPath, bucket: ObjectPath, trained: Any, outages: None
) -> None:
    how = {"loader": "stream", "epochs": 2, **TRAINED}
    run = front.train_model(str(stored / "mixtures"), str(bucket / "run"), **how)
    assert weights_of(run) == weights_of(trained)


def test_evaluating_goes_on(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, outages: None, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"bss": "none", "splits": ("train", "test"), "label": "it"}
    wanted = front.evaluate_system("mixture", disk / "corpus", tmp_path / "e", **how)
    found = front.evaluate_system("mixture", str(stored / "corpus"), str(bucket / "e"), **how)
    assert found.scores.equals(wanted.scores)


def test_validating_goes_on(disk: Path, stored: ObjectPath, outages: None) -> None:
    assert front.validate(str(stored / "corpus")).header == front.Corpus(disk / "corpus").header


@pytest.mark.parametrize("n_bytes", [0, 5_000, 40_000, 90_000])
def test_a_put_that_fails_half_way_does_no_harm(
    bucket: ObjectPath, gate: Gate, n_bytes: int
) -> None:
    data = bytes(range(256)) * 512
    (bucket / "x").write_bytes(b"before")
    gate.n_bytes_before_break = n_bytes
    (bucket / "x").write_bytes(data)
    assert gate.n_broken == 1
    assert (bucket / "x").read_bytes() == data
