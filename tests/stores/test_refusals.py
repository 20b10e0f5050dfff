"""Stores that are not there, refuse, hang or go away: one line each, and no traceback."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import stemsmith as front
from stemsmith.manifests import stores
from stemsmith.manifests.errors import StoreError, UsageError
from stemsmith.manifests.stores import PATIENCE_VARIABLE, ObjectPath

pytest.importorskip("s3fs")
COMMANDS: dict[str, list[object]] = {
    "scan": ["scan", "{}"],
    "render from": ["render", "{}", "corpus"],
    "render to": ["render", "midi", "{}"],
    "mix from": ["mix", "{}", "mixtures", "--clip", 1, "--min-rms", -70],
    "mix to": ["mix", "corpus", "{}", "--clip", 1, "--min-rms", -70],
    "evaluate": ["evaluate", "mixture", "{}", "results"],
    "validate": ["validate", "{}"],
    "runs": ["runs", "{}"],
}


@pytest.fixture
def here_in_workshop(workshop: Path, here: Callable[..., Any]) -> Callable[..., str]:
    """Return a function that runs a command on an address, and returns its one line."""
    (workshop / "scores" / "bands").rename(workshop / "midi")
    before = sorted(path.name for path in workshop.iterdir())

    def run(name: str, address: object, code: int = 1) -> str:
        options = ("--min-notes", 1) if name.startswith("render") else ()
        given = [str(argument).format(address) for argument in COMMANDS[name]]
        done = here(*given, "-q", *options, *(() if name == "runs" else ("--jobs", 0)))
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("Error: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in workshop.iterdir()) == before
        return str(done.stderr)

    return run


@contextlib.contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server; yield its endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refusing(
    status: int, code: str, message: str, methods: str = "GET HEAD PUT POST DELETE"
) -> type[BaseHTTPRequestHandler]:
    """Return a store that refuses some methods, and has nothing for the others."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # whose clients ask before they send a body

        def answer(self) -> None:
            n_bytes = int(self.headers.get("Content-Length", 0))
            self.rfile.read(n_bytes)
            found, body = 404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
            if self.command in methods.split():
                found, body = (
                    status,
                    f"<Error><Code>{code}</Code><Message>{message}</Message></Error>",
                )
            elif self.command == "GET" and "list-type" in self.path:
                found, body = 200, "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
            data = b"" if self.command == "HEAD" else body.encode()
            self.send_response(found)
            self.send_header("Content-Type", "application/xml")
            self.send_header("x-amz-bucket-region", "eu-west-1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bucket_that_is_not_there(s3_client: Any, here_in_workshop, name: str) -> None:
    line = here_in_workshop(name, "s3://no-such-bucket/x")
    assert "there is no bucket 'no-such-bucket'" in line


@pytest.mark.parametrize("name", COMMANDS)
def test_an_address_with_credentials(s3_client: Any, here_in_workshop, name: str) -> None:
    line = here_in_workshop(name, "s3://user:password@bucket/x", 2)
    assert "credentials do not belong into an address" in line
    assert "password" not in line


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "InvalidAccessKeyId", "the store refuses access; see to the credentials"),
        (403, "SignatureDoesNotMatch", "the store refuses access; see to the credentials"),
        (403, "AccessDenied", "the store refuses access; see to the credentials"),
        (403, "ExpiredToken", "the store refuses access; see to the credentials"),
        (301, "PermanentRedirect", "is in another region than us-east-1; set AWS_DEFAULT_REGION"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (400, "IllegalLocationConstraintException", "region"),
    ],
)
@pytest.mark.parametrize("name", ["scan", "render to", "validate"])
def test_what_a_store_refuses(
    s3_client: Any,
    here_in_workshop,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    status: int,
    code: str,
    said: str,
) -> None:
    with answering(refusing(status, code, "so it is")) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        line = here_in_workshop(name, "s3://bucket/x")
    assert said in line
    assert "s3://bucket/x" in line


@pytest.mark.parametrize("name", ["render to", "mix to"])
def test_a_bucket_that_can_only_be_read(
    s3_client: Any, here_in_workshop, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with answering(refusing(403, "AccessDenied", "read only", "PUT POST DELETE")) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        line = here_in_workshop(name, "s3://bucket/x")
    assert "s3://bucket/x" in line
    assert "the store refuses access" in line
    assert "read only" in line


def test_no_credentials(s3_client: Any, here_in_workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    line = here_in_workshop("scan", "s3://bucket/x")
    assert "there are no credentials for it in the environment (AWS_ACCESS_KEY_ID" in line


@pytest.mark.parametrize("is_listening", [True, False])
def test_an_endpoint_that_hangs_or_is_not_there(
    s3_client: Any, here_in_workshop, monkeypatch: pytest.MonkeyPatch, is_listening: bool
) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, "1.5")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if is_listening:
            server.listen()  # and never answers
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        line = here_in_workshop("scan", "s3://bucket/x")
    assert "s3://bucket/x: the store does not answer, and was asked for" in line


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gcs"), ("az", "azure")])
def test_an_extra_that_is_missing(
    here_in_workshop, monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str
) -> None:
    from stemsmith.manifests import errors

    find_spec = errors.find_spec
    packages = {"s3fs", "gcsfs", "adlfs"}
    monkeypatch.setattr(
        errors, "find_spec", lambda name: None if name in packages else find_spec(name)
    )
    for name in ("scan", "render to", "mix from"):
        line = here_in_workshop(name, f"{protocol}://bucket/x", 2)
        assert f"Error: {protocol}:// needs" in line
        assert f"[{extra}]" in line


def test_a_bucket_itself_that_is_not_there(s3_client: Any, here_in_workshop) -> None:
    for address in ("s3://no-such-bucket", "s3://no-such-bucket/"):
        assert "there is no bucket 'no-such-bucket'" in here_in_workshop("scan", address)


def test_workers_do_not_see_the_memory_of_this_process(workshop: Path) -> None:
    with pytest.raises(UsageError, match=r"memory://x/c.*: is in the memory of this process alone"):
        front.render_corpus(workshop / "scores" / "bands", "memory://x/c", jobs=1, min_notes=1)


@pytest.mark.clients
@pytest.mark.parametrize("name", ["scan", "render to", "validate"])
def test_a_container_that_is_not_there(azurite: Any, here_in_workshop, name: str) -> None:
    assert "there is no container 'nowhere'" in here_in_workshop(name, "az://nowhere/x")


@pytest.mark.clients
def test_what_azure_refuses(
    azurite: Any, here_in_workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "AZURE_STORAGE_CONNECTION_STRING"
    connection = os.environ[variable]
    monkeypatch.setenv(variable, connection.replace("Eby8", "Abc8"))
    assert "the store refuses access; see to the cred" in here_in_workshop("scan", "az://abc/x")
    for text in ("", "AccountName"):
        monkeypatch.setenv(variable, text)
        assert "there are no credentials for it" in here_in_workshop("scan", "az://abc/x")
    monkeypatch.setenv(PATIENCE_VARIABLE, "1.5")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()  # and never answers
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv(variable, re.sub(r"127\.0\.0\.1:\d+", endpoint, connection))
        assert "the store does not answer" in here_in_workshop("scan", "az://abc/x")


@pytest.mark.parametrize("text", ["soon", "0", "-2", "nan", "1e12"])
def test_a_patience_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, text)
    with pytest.raises(UsageError, match=PATIENCE_VARIABLE):
        ObjectPath("memory://bucket/x").exists()


def test_a_second_run_is_refused_by_the_first_ones_lease(
    s3_server: str, bucket: ObjectPath, here_in_workshop
) -> None:
    from stemsmith.manifests import storage

    corpus = bucket / "corpus"
    with storage.exclusive(corpus / ".render" / "lock"):
        line = here_in_workshop("render to", corpus, 2)
    assert f"{corpus}: another run is writing here (process " in line
    assert " UTC unless it goes on" in line


# A store that goes away for a while


class Flaky:
    """Fails a number of times before it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.n_asked = list(errors), 0

    def __call__(self) -> str:
        self.n_asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


class SlowDown(Exception):
    """As of a store that is asked too often."""

    status_code = 503


class _Refusal(Exception):
    """As botocore has it."""

    response: ClassVar = {
        "Error": {"Code": "InternalError"},
        "ResponseMetadata": {"HTTPStatusCode": 500},
    }


def internal_error() -> OSError:
    """Return what s3fs makes of it where the system has no name for it, as macOS and Windows."""
    error = OSError(5, "We encountered an internal error.")
    error.__cause__ = _Refusal()
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError(16, "busy"),
        SlowDown(),
        BrokenPipeError(),
        internal_error(),
    ],
)
def test_what_passes_is_asked_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(stores.time, "sleep", pauses.append)
    flaky = Flaky(*[error] * 5)
    assert stores._patiently(flaky, ObjectPath("memory://bucket/x")) == "answer"
    assert flaky.n_asked == 6
    assert len(pauses) == 5
    for before, after in itertools.pairwise(pauses):
        assert 1 < after / before < 4


@pytest.mark.parametrize("error", [PermissionError("no"), ValueError("odd"), OSError(22, "bad")])
def test_what_does_not_pass_is_asked_once(error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(StoreError, match="memory://bucket/x: "):
        stores._patiently(flaky, ObjectPath("memory://bucket/x"))
    assert flaky.n_asked == 1
