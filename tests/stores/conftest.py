"""An object store of the tests: moto's server of S3, in a thread, with made-up credentials."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import stemsmith as front
from stemsmith.manifests import cache, stores
from stemsmith.manifests.stores import ObjectPath
from stored_songs import MIXED, RENDERED, TRAINED


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Return the endpoint of a store, which is in the environment of this process and its own."""
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    said = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
        "STEMSMITH_STORE_PATIENCE_S": "900",  # of a machine that does much else
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(name, value)
        yield said["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_server: str) -> Any:
    """Return a client that is not ours: what it sees is what is there."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(read_timeout=900, retries={"total_max_attempts": 1}))
    client.list_buckets()  # the server imports what it takes when it is first asked
    return client


@pytest.fixture
def bucket(s3_client: Any) -> ObjectPath:
    """Return a new bucket."""
    name = f"bucket-{secrets.token_hex(6)}"
    s3_client.create_bucket(Bucket=name)
    return ObjectPath(f"s3://{name}")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a client of azurite, a store of Azure's kind, where it is installed.

    It is the program azurite-blob on PATH, or the one that STEMSMITH_AZURITE names.
    """
    program = shutil.which(os.environ.get("STEMSMITH_AZURITE", "azurite-blob"))
    if program is None:
        reason = "no azurite-blob on PATH or in STEMSMITH_AZURITE: npm install azurite"
        if "STEMSMITH_AZURITE" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    pytest.importorskip("adlfs")
    from azure.storage.blob import BlobServiceClient

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("azurite")
    command = [
        program,
        "--blobPort",
        str(port),
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    # The account and the key are azurite's own, which everybody knows.
    connection = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey="
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
        f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        end_s = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < end_s
                time.sleep(0.05)
        with BlobServiceClient.from_connection_string(connection) as client:
            yield client
    process.terminate()
    process.wait()


# Azure's own client hands a large body to aiohttp in one piece, of which that warns.
AZURE = pytest.param(
    "az", marks=[pytest.mark.clients, pytest.mark.filterwarnings("ignore:Sending a large body")]
)


@pytest.fixture(params=["s3", "memory", AZURE])
def store(request: pytest.FixtureRequest) -> ObjectPath:
    """Return an empty place in each kind of store that can be had here."""
    return new_place(request)


@pytest.fixture(params=["s3", AZURE])
def shared_store(request: pytest.FixtureRequest) -> ObjectPath:
    """Return an empty place in each kind of store that other processes see, too."""
    return new_place(request)


def new_place(request: pytest.FixtureRequest) -> ObjectPath:
    name = f"bucket-{secrets.token_hex(6)}"
    if request.param == "s3":
        request.getfixturevalue("s3_client").create_bucket(Bucket=name)
    elif request.param == "az":
        request.getfixturevalue("azurite").create_container(name)
    return ObjectPath(f"{request.param}://{name}")


def uploaded(folder: Path, destination: ObjectPath) -> ObjectPath:
    """Copy a local folder into a store."""
    for path in folder.rglob("*"):
        if path.is_file():
            (destination / path.relative_to(folder).as_posix()).upload(path)
    return destination


@pytest.fixture(scope="session")
def upload() -> Callable[[Path, ObjectPath], ObjectPath]:
    """Return `uploaded`."""
    return uploaded


def content_of(folder: Path | ObjectPath) -> dict[str, bytes]:
    """Return all files or objects below, by name."""
    if isinstance(folder, ObjectPath):
        found = [path for path, _ in folder.files_below()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def contents() -> Callable[[Path | ObjectPath], dict[str, bytes]]:
    """Return `content_of`."""
    return content_of


@pytest.fixture(scope="session")
def make_band() -> Callable[[Path], Path]:
    """Return a function that writes four short songs of a band, and a file that is none."""

    def make(folder: Path) -> Path:
        for k in range(4):
            write_short_song(folder / f"album{k % 2}" / f"song{k}.mid", k)
        (folder / "broken.mid").write_bytes(b"MThd")
        return folder

    return make


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory, make_band: Callable[[Path], Path]) -> Path:
    """Return a folder with scores, what is rendered of them, and what is mixed of that."""
    folder = tmp_path_factory.mktemp("disk")
    make_band(folder / "midi")
    front.render_corpus(folder / "midi", folder / "corpus", **RENDERED)
    front.mix(folder / "corpus", folder / "mixtures", **MIXED)
    return folder


@pytest.fixture(scope="session")
def trained(disk: Path) -> Any:
    """Return a run of two epochs on a disk."""
    pytest.importorskip("lightning")
    return front.train_model(disk / "mixtures", disk.parent / "disk-run", epochs=2, **TRAINED)


@pytest.fixture
def new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing fetched yet, and no answer grow old while a slow machine works."""
    monkeypatch.setattr(stores, "_RECENT_S", 1e6)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def stored(disk: Path, s3_client: Any, upload: Callable[..., ObjectPath]) -> ObjectPath:
    """Return the same in a store; read only."""
    s3_client.create_bucket(Bucket="stored")
    return upload(disk, ObjectPath("s3://stored/all"))


def write_short_song(path: Path, seed: int) -> None:
    """Write one second and a half of piano, bass, guitar and drums."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    for program, channel in ((0, 0), (33, 1), (27, 2), (0, 9)):
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        for _ in range(12):
            key = int(rng.integers(36, 60))
            track.append(mido.Message("note_on", note=key, velocity=90, channel=channel))
            track.append(mido.Message("note_off", note=key, channel=channel, time=120))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
