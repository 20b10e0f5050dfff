"""How often a store is asked: it has its price for each question, and each takes its time."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from stemsmith.manifests import places, stores
from stemsmith.manifests.stores import ObjectPath
from stored_songs import MIXED, RENDERED

N_STEMS = 4  # of each song of the band
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
REQUEST = re.compile(r'"([A-Z]+) (\S+) HTTP/')


class Requests(logging.Handler):
    """What the server has been asked, from its log: the method and what it was asked of."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = REQUEST.search(COLOURS.sub("", record.getMessage()))
        if found is not None:
            self.all.append((found[1], found[2]))

    def of(self, *words: str) -> Counter[str]:
        """Return how often each method was used on what has some words in its name."""
        return Counter(method for method, path in self.all if all(word in path for word in words))


@pytest.fixture
def requests(s3_server: str) -> Iterator[Requests]:
    """Return what the store is asked from now on."""
    handler, log = Requests(), logging.getLogger("werkzeug")
    level, is_passed_on = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.propagate = is_passed_on
    log.setLevel(level)


def test_a_rendered_song_takes_few(
    bucket: ObjectPath, make_band, tmp_path: Path, upload, requests: Requests, new_cache: None
) -> None:
    make_band(tmp_path / "midi")
    upload(tmp_path / "midi", bucket / "midi")
    front.scan(str(bucket / "midi"))  # which fetches the scores
    n_asked = []
    for k, splits in enumerate(("2,0,0", "4,0,0")):
        stores._recent.clear()
        requests.all.clear()
        front.render_corpus(
            str(bucket / "midi"), str(bucket / f"c{k}"), **{**RENDERED, "splits": splits}
        )
        n_asked.append(len(requests.all))
    # Two files of each stem; mixture, metadata and source; two records, put and read; the score.
    n_least = 2 * N_STEMS + 3 + 2 * 2 + 1
    assert n_least <= (n_asked[1] - n_asked[0]) / 2 <= n_least + 2
    assert n_asked[0] < 160  # two songs, and what each run asks
    assert not requests.of("/midi/", ".mid")["GET"]
    lists = [path for method, path in requests.all if method == "GET" and "list-type" in path]
    assert sum("records" in path for path in lists) <= 10  # and none for each song


def test_a_file_that_is_scanned_takes_two(
    bucket: ObjectPath, make_band, tmp_path: Path, upload, requests: Requests, new_cache: None
) -> None:
    make_band(tmp_path / "midi")
    upload(tmp_path / "midi", bucket / "midi")
    requests.all.clear()
    front.scan(str(bucket / "midi"))
    assert requests.of(".mid") == {"HEAD": 5, "GET": 5}


def test_sources_are_fetched_once_and_mixtures_take_none(
    disk: Path, bucket: ObjectPath, upload, requests: Requests, new_cache: None
) -> None:
    upload(disk / "corpus", bucket / "corpus")
    n_asked = []
    for n_mixtures in (6, 30, 60):
        requests.all.clear()
        destination = str(bucket / f"m{n_mixtures}")
        front.mix(str(bucket / "corpus"), destination, **{**MIXED, "n_mixtures": n_mixtures})
        n_asked.append(len(requests.all))
        if n_mixtures == 6:
            of_stems = [path for method, path in requests.all if "/stems/" in path]
            assert max(Counter(of_stems).values()) <= 2  # what it is, and its content
        else:
            assert requests.of("/stems/")["GET"] <= 16
    assert abs(n_asked[2] - n_asked[1]) <= 2 * 16
    assert max(n_asked) < 250


def test_an_example_takes_one_for_each_file_that_it_needs(
    stored: ObjectPath, bucket: ObjectPath, requests: Requests, new_cache: None
) -> None:
    pytest.importorskip("lightning")
    n_asked = []
    for k, epochs in enumerate((1, 1, 3)):  # the first one reads where members are, too
        requests.all.clear()
        front.train_model(
            str(stored / "mixtures"),
            str(bucket / f"run{k}"),
            target="bass",
            settings={"n_layers": 1, "n_units": 4, "segment_frames": 20, "sample_rate": 8000},
            batch_size=2,
            device="cpu",
            logger="csv",
            loader="stream",
            epochs=epochs,
        )
        n_asked.append(requests.of("/mixtures/", ".tar")["GET"])
    # Two epochs of mixtures to train and to validate, and of their targets.
    assert n_asked[2] - n_asked[1] == 2 * (6 + 2) * 2


def test_a_small_object_is_read_by_one_request(
    bucket: ObjectPath, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_SMALL", 1000)
    for n_bytes in (0, 1, 1000):
        (bucket / "x").write_bytes(bytes(n_bytes))
        requests.all.clear()
        with (bucket / "x").open("rb") as file:
            assert file.read() == bytes(n_bytes)
        assert (bucket / "x").read_bytes() == bytes(n_bytes)
        assert requests.of("/x") == {"GET": 2}
    (bucket / "folder" / "x").write_bytes(b"")
    with pytest.raises(IsADirectoryError):
        (bucket / "folder").open("rb")


def test_what_others_write_is_seen_after_ten_seconds(
    bucket: ObjectPath, s3_client: Any, requests: Requests, new_cache: None, monkeypatch
) -> None:
    path, now_s = bucket / "x", 1000.0
    monkeypatch.setattr(stores, "_RECENT_S", 10.0)
    monkeypatch.setattr(stores.time, "monotonic", lambda: now_s)
    path.write_bytes(b"one")
    assert places.read_bytes(path) == b"one"
    requests.all.clear()
    s3_client.put_object(Bucket=bucket.bucket, Key="x", Body=b"others")
    now_s += 9
    assert places.read_bytes(path) == b"one"
    assert requests.of("/x") == {"PUT": 1}
    now_s += 2
    assert places.read_bytes(path) == b"others"
    path.write_bytes(b"ours")
    assert places.read_bytes(path) == b"ours"
