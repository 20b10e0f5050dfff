"""Rendering into an object store, and mixing from one: moto's server on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import stemsmith
from scaling.measuring import SCORES, compare
from stemsmith.manifests.cache import CACHE_VARIABLE
from stemsmith.manifests.places import place
from stemsmith.render.corpus.config import Splits
from stemsmith.render.sound.measured_bank import with_compasses

_ALL_TRAIN: Final = Splits.parse("1,0,0")


@contextmanager
def store() -> Iterator[str]:
    """Run a server in a process of its own; yield the address of an empty bucket."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        while True:
            assert server.poll() is None, "the server has ended"
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket="scale")
        yield "s3://scale"
    finally:
        server.terminate()
        server.wait()


@click.command()
@click.option("--midi", type=click.Path(path_type=Path), default=SCORES, help="Scores.")
@click.option("--songs", "n_songs", type=int, help="Songs to render; all by default.")
@click.option("--mixtures", "n_mixtures", type=int, default=64, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
def stores(midi: Path, n_songs: int | None, n_mixtures: int, repeats: int) -> None:
    """Compare a corpus in an object store with one on a disk."""
    with tempfile.TemporaryDirectory() as name, store() as bucket:
        cache = Path(name, "cache")
        os.environ[CACHE_VARIABLE] = str(cache)

        roots = {"disk": name, "store": bucket}

        def render(where: str, number: int) -> None:
            root = roots[where]
            stemsmith.render_corpus(
                midi, f"{root}/corpus-{number}", band=None, n_songs=n_songs, splits=_ALL_TRAIN
            )

        def mix(where: str, number: int) -> None:
            root = roots[where]
            shutil.rmtree(cache / "fetched", ignore_errors=True)  # what is read is fetched anew
            stemsmith.mix(
                f"{root}/corpus-{number}", f"{root}/mixtures-{number}", target="bass",
                n_mixtures=n_mixtures, min_rms_dbfs=-60.0, audio_format="flac",
            )  # fmt: skip

        with_compasses(stemsmith.make_bank())  # soundfonts are listened to once on a machine
        render("disk", -1)
        place(f"{bucket}/first").write_bytes(b"")  # imports what it takes
        compare({"render": render, "mix": mix}, ("disk", "store"), repeats)
