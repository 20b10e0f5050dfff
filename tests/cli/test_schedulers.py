"""Schedulers that commands are told of: by address, by the file they write, with TLS."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from distributed import LocalCluster
from distributed.security import Security
from stemsmith.manifests import cluster
from stemsmith.manifests.errors import UsageError

Command = Callable[..., subprocess.CompletedProcess[str]]
SCORES = Path(__file__).resolve().parents[1] / "data" / "0.1" / "scores"


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


class Secured(NamedTuple):
    """A scheduler with TLS, and the files by which a client is let in."""

    address: str
    ca: Path
    cert: Path
    key: Path

    def options(self) -> tuple[object, ...]:
        return ("--tls-ca", self.ca, "--tls-cert", self.cert, "--tls-key", self.key)


def write_certificates(folder: Path) -> tuple[Security, tuple[Path, Path, Path]]:
    pytest.importorskip("cryptography")
    security = Security.temporary()
    paths = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    texts = security.tls_ca_file, security.tls_client_cert, security.tls_client_key
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return security, paths


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Start a scheduler with TLS and a worker."""
    security, paths = write_certificates(tmp_path_factory.mktemp("certificates"))
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0",
        protocol="tls", security=security, host="127.0.0.1",
    ) as running:  # fmt: skip
        assert running.scheduler_address.startswith("tls://")
        yield Secured(running.scheduler_address, *paths)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for long for what does not come."""
    monkeypatch.setattr(cluster, "_COMING_S", 0.5)
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(cluster, "_FILE_POLL_S", 0.01)
    monkeypatch.setattr(cluster, "_WRITING_S", 0.1)


@pytest.fixture
def wanted(here: Command) -> str:
    """Return what a scan in this process prints."""
    return here("scan", SCORES, "--no-band", "--jobs", 0, "--json").stdout


def test_with_tls(secured: Secured, wanted: str, here: Command) -> None:
    scan = ("scan", SCORES, "--no-band", "--json")
    done = here(*scan, "--scheduler", secured.address, *secured.options())
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr
    bare = secured.address.removeprefix("tls://")
    done = here(*scan, "--scheduler", bare, *secured.options())
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_the_key_may_be_in_the_file_of_the_certificate(
    secured: Secured, wanted: str, tmp_path: Path, here: Command
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(secured.cert.read_text() + secured.key.read_text())
    options = ("--scheduler", secured.address, "--tls-ca", secured.ca, "--tls-cert", both)
    done = here("scan", SCORES, "--no-band", "--json", *options)
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_with_settings_of_dask_itself(
    secured: Secured, wanted: str, stemsmith: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has told Dask need not tell us."""
    names = {"CA_FILE": secured.ca, "CLIENT__CERT": secured.cert, "CLIENT__KEY": secured.key}
    for name, path in names.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(path))
    done = stemsmith("scan", SCORES, "--no-band", "--json", "--scheduler", secured.address)
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_with_certificates_as_text(secured: Secured) -> None:
    """As clusters in the cloud have them; see the page about clusters."""
    import dask

    settings = {
        "distributed.comm.tls.ca-file": secured.ca.read_text(),
        "distributed.comm.tls.client.cert": secured.cert.read_text(),
        "distributed.comm.tls.client.key": secured.key.read_text(),
    }
    with dask.config.set(settings), cluster.open_workers(0, secured.address) as workers:
        assert sorted(workers.map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_a_client_that_is_not_let_in(secured: Secured, tmp_path: Path, here: Command) -> None:
    _, (ca, cert, key) = write_certificates(tmp_path)
    scan = ("scan", SCORES, "--no-band", "--scheduler", secured.address)
    for options in (
        (),
        ("--tls-ca", secured.ca),
        ("--tls-ca", ca, "--tls-cert", cert, "--tls-key", key),
        ("--tls-ca", secured.ca, "--tls-cert", cert, "--tls-key", key),
        ("--tls-ca", secured.ca, "--tls-cert", secured.cert, "--tls-key", key),
        ("--tls-ca", secured.key, "--tls-cert", secured.cert, "--tls-key", secured.key),
    ):
        assert_one_line_error(here(*scan, *options), 2, f"{secured.address}: no Dask scheduler")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tls-ca", "no.pem", "--scheduler", "tls://h:1"), "--tls-ca no.pem: no such file"),
        (("--tls-key", __file__, "--scheduler", "tls://h:1"), "--tls-key: the certificate"),
        (("--tls-ca", __file__), "only with --scheduler"),
        (("--tls-ca", __file__, "--scheduler", "tcp://h:1"), "tcp://h:1: a scheduler without TLS"),
        (("--scheduler", "h:1", "--scheduler-file", "f.json"), "either --scheduler or"),
        (("--scheduler-file", "f.json"), "f.json: no Dask scheduler has written it"),
        (("--scheduler-file", __file__), "cannot be read as JSON"),
    ],
    ids=str,
)
def test_what_makes_no_sense(options: tuple[str, ...], said: str, here: Command) -> None:
    assert_one_line_error(here("scan", SCORES, *options), 2, said)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 3}', '"x"'])
def test_files_that_no_scheduler_writes(text: str, tmp_path: Path, here: Command) -> None:
    (tmp_path / "s.json").write_text(text)
    done = here("scan", SCORES, "--scheduler-file", tmp_path / "s.json")
    assert_one_line_error(done, 2, str(tmp_path / "s.json"))


def test_the_file_of_a_scheduler_is_waited_for(
    wanted: str, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_COMING_S", 60)
    monkeypatch.setattr(cluster, "_WRITING_S", 60)
    path = tmp_path / "s.json"
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as running:

        def write() -> None:
            time.sleep(0.3)
            path.write_text('{"type": "Sched')  # Dask writes it where it is
            time.sleep(0.3)
            (tmp_path / "t").write_text(json.dumps({"address": running.scheduler_address}))
            (tmp_path / "t").replace(path)

        writer = threading.Thread(target=write)
        writer.start()
        done = here("scan", SCORES, "--no-band", "--json", "--scheduler-file", path)
        writer.join()
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_the_first_worker_is_waited_for(
    wanted: str, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as running:
        scan = ("scan", SCORES, "--no-band", "--json", "--scheduler", running.scheduler_address)
        assert_one_line_error(here(*scan), 2, "the scheduler has no workers")
        monkeypatch.setattr(cluster, "_COMING_S", 60)
        timer = threading.Timer(0.5, running.scale, [1])
        timer.start()
        done = here(*scan)
        timer.join()
    assert (done.returncode, done.stdout) == (0, wanted), done.stderr


def test_settings_last_as_long_as_the_command(secured: Secured) -> None:
    import dask

    def known() -> Any:
        return dask.config.get("distributed.comm.tls.ca-file")

    before = known()
    with cluster.tls_files(secured.ca, None, None):
        assert known() == str(secured.ca)
    assert known() == before
    with pytest.raises(UsageError, match="no such file"), cluster.tls_files(None, Path("x"), None):
        pass
