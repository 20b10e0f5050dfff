"""Decoded clips on disk: the same samples, through kills, and never damaged ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from queue import Queue
from threading import Thread
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import QUIET, InProcess, Progress
from stemsmith.train.data import store
from stemsmith.train.data.clips import Clips, find_clips
from stemsmith.train.data.store import ClipStore, Decoding

TARGETS = ("bass", "drums")


@pytest.fixture
def clips(mixtures: Path) -> Clips:
    return find_clips([mixtures / "audio"], "train", TARGETS, 16000)


@pytest.fixture(autouse=True)
def few_clips_per_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PER_PART", 10)


def fill(clips: Clips, cache: Path) -> Decoding:
    decoding = Decoding(clips, cache)
    decoding.fill(InProcess())
    return decoding


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_decoded_clips_are_the_clips(clips: Clips, mixtures: Path, tmp_path: Path) -> None:
    both = find_clips([mixtures / "audio", mixtures / "recipes"], "train", TARGETS, 8000)
    for wanted in (clips, both):
        decoding = fill(wanted, tmp_path)
        found = decoding.store()
        assert len(found.parts) == -(-len(wanted.clips) // 10) >= 3
        assert (found.n_samples == wanted.n_samples).all()
        assert found.targets == TARGETS
        for number in range(len(wanted.clips)):
            assert (found.read(number) == wanted.read(number)).all()
            assert found.read(number).dtype == np.int16
        parts = sum(path.stat().st_size for path in decoding.root.glob("*.i16"))
        assert parts == wanted.n_bytes
        assert sorted(p.name for p in decoding.root.iterdir()) == [
            "manifest.json", *(f"part-{n:05d}.i16" for n in range(len(found.parts))),
        ]  # fmt: skip


def test_clips_of_different_lengths_lie_one_after_the_other(
    mixtures: Path, musdb: Path, tmp_path: Path, here
) -> None:
    lengths = (("0.7", 5), ("1.3", 9), ("0.5", 11))
    folders = []
    for seconds, n in lengths:
        folders.append(tmp_path / seconds)
        done = here("mix", f"musdb:{musdb}", folders[-1], "--taxonomy", "musdb", "--clip", seconds,
                    "--mixtures", n, "--split", "train", "--jobs", 0)  # fmt: skip
        assert done.returncode == 0, done.stderr
    wanted = find_clips(folders, "train", TARGETS, 16000)
    assert len(set(wanted.n_samples)) == 3
    found = fill(wanted, tmp_path / "cache").store()
    assert len(found.parts) == 3
    for number in range(len(wanted.clips)):
        assert (found.read(number) == wanted.read(number)).all()


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_at_every_step_and_resumed(clips: Clips, tmp_path: Path, killed_after) -> None:
    whole = tree(fill(clips, tmp_path / "whole").root)
    for n_steps in range(100):
        cache = tmp_path / str(n_steps)
        is_done = False
        with killed_after(n_steps):
            fill(clips, cache)
            is_done = True
        decoding = Decoding(clips, cache)
        if not is_done and not decoding.is_closed:
            with pytest.raises(InvalidCorpus, match=r"manifest\.json: missing"):
                decoding.store()
        for path in decoding.root.glob("*.i16"):
            assert path.read_bytes() == whole[path.name], f"{path.name} looks finished"
        assert tree(fill(clips, cache).root) == whole
        if is_done:
            break
    assert n_steps == 3 * (3 + 1 + 1)  # two syncs and a rename of parts, plan and manifest


def test_a_second_run_finds_what_the_first_has_decoded(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(clips, tmp_path)
    monkeypatch.setattr(store, "read_clip", lambda *_: pytest.fail("decoded again"))
    decoding = fill(clips, tmp_path)
    assert decoding.is_closed
    decoding.store()


def test_a_resumed_run_decodes_what_is_not_there(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read = [0]
    read_clip = store.read_clip

    def counted(*arguments):
        n_read[0] += 1
        if n_read[0] == 15:
            raise Killed
        return read_clip(*arguments)

    monkeypatch.setattr(store, "read_clip", counted)
    with pytest.raises(Killed):
        fill(clips, tmp_path)
    n_read[0] = 100
    fill(clips, tmp_path)
    assert n_read[0] == 100 + len(clips.clips) - 10


def test_other_targets_rates_splits_and_folders_are_other_stores(
    mixtures: Path, tmp_path: Path
) -> None:
    roots = {
        Decoding(find_clips([mixtures / name], split, targets, rate), tmp_path).root
        for name in ("audio", "recipes")
        for split in ("train", "validation")
        for targets in (("bass",), ("bass", "drums"), ("drums", "bass"))
        for rate in (8000, 16000)
    }
    assert len(roots) == 2 * 2 * 3 * 2
    assert {root.parent for root in roots} == {tmp_path / "decoded"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-2]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"ab"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 128]) + path.read_bytes()[1:]),
    ],
    ids=["missing", "empty", "a sample short", "a byte short", "long", "last bit", "first bit"],
)
def test_a_damaged_part_is_named(clips: Clips, tmp_path: Path, spoil) -> None:
    decoding = fill(clips, tmp_path)
    path = decoding.root / "part-00001.i16"
    spoil(path)
    with pytest.raises(
        InvalidCorpus, match=r"part-00001\.i16: .*remove .* to have it made"
    ) as error:
        decoding.store()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("parts"),
        lambda header: header.update(parts=1),
        lambda header: header.update(parts=[1, 2, 3]),
        lambda header: header["parts"].pop(),
        lambda header: header["parts"][0].pop("sha256"),
        lambda header: header["parts"][0].update(file=3),
        lambda header: header["parts"].reverse(),
    ],
)
def test_a_damaged_manifest_is_named(clips: Clips, tmp_path: Path, change) -> None:
    decoding = fill(clips, tmp_path)
    path = decoding.root / "manifest.json"
    header = json.loads(path.read_bytes())
    change(header)
    path.write_text(json.dumps(header))
    with pytest.raises(InvalidCorpus, match=str(decoding.root)):
        decoding.store()


def test_a_store_is_sent_to_another_process_without_its_samples(
    clips: Clips, tmp_path: Path
) -> None:
    found = fill(clips, tmp_path).store()
    text = pickle.dumps(found)
    assert len(text) < clips.n_bytes / 100
    again: ClipStore = pickle.loads(text)
    assert (again.read(26) == found.read(26)).all()


def test_two_runs_do_not_decode_into_one_store(clips: Clips, tmp_path: Path) -> None:
    with (
        Decoding(clips, tmp_path).opened(),
        pytest.raises(UsageError, match="another run is writing here"),
        Decoding(clips, tmp_path).opened(),
    ):
        pass


def test_a_run_waits_for_another_one_that_decodes_the_same(clips: Clips, tmp_path: Path) -> None:
    notes = Queue[str]()
    progress = cast(Progress, SimpleNamespace(note=notes.put, loop=QUIET.loop))
    decoding = Decoding(clips, tmp_path)
    waiter = Thread(target=decoding.fill, args=(InProcess(), progress))
    with Decoding(clips, tmp_path).opened():
        waiter.start()
        assert "waits for another run, which decodes the same" in notes.get(timeout=60)
        assert waiter.is_alive()
    waiter.join(60)
    assert decoding.is_closed
