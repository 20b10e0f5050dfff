"""Corpora in tars: the files of the folder, the same bytes for any run, and damage in one line."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import stemsmith
from stemsmith.manifests import places, shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.records import Reason, Rejection, Song, Stem
from stemsmith.manifests.tar_shards import INDEX, index_text, writing_tar
from stemsmith.render import workflow
from stemsmith.render.checking import validate_corpus
from stemsmith.render.corpus.layout import Layout, SongTar
from stemsmith.render.songs.forecast import forecast
from stemsmith.render.songs.tars import is_complete, plan_tars
from stemsmith.render.workflow import render_corpus

TINY: dict[str, Any] = {
    "band": None, "splits": "4,1,1", "sample_rate": 8000, "tail_s": 0.5, "audit": False,
}  # fmt: skip
COMMAND = (
    "--no-band", "--splits", "4,1,1", "--sample-rate", 8000, "--tail", 0.5, "--no-audit",
    "--tracks-per-tar", 3,
)  # fmt: skip
TARS = ["test-00000.tar", "train-00000.tar", "train-00001.tar", "validation-00000.tar"]


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory, make_song: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("midi")
    for k in range(6):
        make_song(folder / f"{k}.mid", ((0, 0), (33, 1), (0, 9)), n_notes=12, seed=k)
    return folder


@pytest.fixture(scope="module")
def tars(midi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus of three songs a tar; read only."""
    return render_corpus(midi, tmp_path_factory.mktemp("t") / "c", tracks_per_tar=3, **TINY).root


@pytest.fixture
def copy(tars: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tars, tmp_path / "copy"))


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


def contents(tar: Path) -> dict[str, bytes]:
    """Return what Python's tarfile finds."""
    with tarfile.open(tar) as file:
        return {m.name: file.extractfile(m).read() for m in file.getmembers()}  # type: ignore[union-attr]


PRODUCED = {"effects": "class", "dry": True, "master": "bus", "n_channels": 2}


@pytest.mark.parametrize("more", [{}, {"drum_pieces": True}, PRODUCED], ids=["", "kits", "dry"])
def test_members_are_the_files_of_the_folder(
    more: dict[str, Any], midi: Path, tmp_path: Path
) -> None:
    options = {**TINY, **more}
    folder = render_corpus(midi, tmp_path / "folder", **options)
    made = render_corpus(midi, tmp_path / "tars", tracks_per_tar=3, **options)
    files: dict[str, bytes] = {}
    for path in sorted(made.root.glob("*.tar")):
        split = path.name.split("-")[0]
        files |= {f"{split}/{k}": v for k, v in contents(path).items() if k != INDEX}
    there = [path for path in folder.root.glob("*/Track*/**/*") if path.is_file()]
    assert files == {p.relative_to(folder.root).as_posix(): p.read_bytes() for p in there}
    assert sorted(path.name for path in made.root.iterdir()) == sorted(
        {path.name for path in folder.root.iterdir()} - {"train", "validation", "test"} | {*TARS}
    )
    paths = {"path", "midi_path", "dry_path", "mix_path", "master_path"}
    for kind, record_type in (("songs", Song), ("stems", Stem), ("pieces", Stem)):
        ours, theirs = (list(c.iter_tables(kind)) for c in (made, folder))
        for one, other in zip(ours, theirs, strict=True):
            same = [name for name in shards.schema_of(record_type).names if name not in paths]
            assert one.select(same).equals(other.select(same))
    validate_corpus(made.root)


def test_paths_lead_into_the_tars(tars: Path) -> None:
    corpus = Corpus(tars)
    assert sorted(corpus.tars) == TARS
    assert corpus.tars == {name: storage.file_hash(tars / name) for name in TARS}
    assert corpus.header["config"]["tracks_per_tar"] == 3
    assert [(e["n_songs"], e["n_bytes"]) for e in corpus.header["tars"]] == [
        (n, (tars / name).stat().st_size)
        for name, n in zip([*TARS[1:], TARS[0]], (3, 1, 1, 1), strict=True)
    ]
    for song in corpus.song_records():
        assert song.path == f"{song.mix_path.partition('/')[0]}/{song.track}"
        assert song.path.startswith(f"{song.split}-0000")
        data = contents(tars / song.path.partition("/")[0])[f"{song.track}/mix.flac"]
        audio, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        assert np.array_equal(corpus[song.track].mixture, audio.T)
        for stem in corpus[song.track].stems.values():
            assert stem.audio.shape == (1, song.n_samples)
            assert stem.notes.num_rows == 12


def test_headers_say_nothing_of_who_wrote_them(tars: Path) -> None:
    for name in TARS:
        with tarfile.open(tars / name) as tar:
            members = tar.getmembers()
        assert members[0].name == INDEX
        names = [member.name for member in members[1:]]
        tracks = [n.partition("/")[0] for n in names]
        assert tracks == sorted(tracks) and len(names) == len(set(names))
        for member in members:
            facts = (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode)
            assert facts == (0, 0, 0, "", "", 0o644) and member.isreg()


def test_webdataset_reads_the_tars(tars: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    files = sorted(str(path) for path in tars.glob("train-*.tar"))

    def samples(**options: Any) -> list[dict[str, Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves files to the collector
            found = list(webdataset.WebDataset(files, shardshuffle=False, **options))
            gc.collect()
        return found

    plain = samples()
    wanted = {f"train/{name}" for path in files for name in contents(Path(path)) if name != INDEX}
    assert {f"train/{s['__key__']}.{k}" for s in plain for k in s if k[0] != "_"} == wanted
    # As the card of the corpus says: a song is a sample, and not each of its files.
    whole = samples(rename_files=lambda name: name.replace("/", "."))
    corpus = Corpus(tars)
    songs = {sample["__key__"]: sample for sample in whole}
    assert list(songs) == [song.track for song in corpus.song_records() if song.split == "train"]
    for track, sample in songs.items():
        song = corpus[track].record
        assert isinstance(song, Song)
        assert hashlib.sha256(sample["mix.flac"]).hexdigest() == song.mix_sha256
        assert hashlib.sha256(sample["all_src.mid"]).hexdigest() == song.midi_sha256
        for name, stem in corpus[track].stems.items():
            data = sample[f"stems.{name.lower()}.flac"]
            assert hashlib.sha256(data).hexdigest() == stem.record.sha256
    assert "rename_files" in (tars / "README.md").read_text("utf-8")


def test_same_bytes_for_any_number_of_workers(midi: Path, tars: Path, tmp_path: Path) -> None:
    for n_jobs in (1, 2):
        made = render_corpus(midi, tmp_path / str(n_jobs), tracks_per_tar=3, jobs=n_jobs, **TINY)
        assert hashes(made.root) == hashes(tars)


def test_a_run_that_ends_anywhere_goes_on_with_the_same_bytes(
    midi: Path, tars: Path, tmp_path: Path, killed_after: Callable[[int], Any]
) -> None:
    n_tars_left: set[int] = set()
    for n_steps in range(10, 200, 33):
        root = tmp_path / str(n_steps)
        with killed_after(n_steps):
            render_corpus(midi, root, tracks_per_tar=3, **TINY)
        if (root / "manifest.json").exists():
            break
        n_tars_left.add(len(list(root.glob("*.tar"))))
        before = {path: path.stat().st_mtime_ns for path in root.glob("*.tar")}
        made = render_corpus(midi, root, tracks_per_tar=3, **TINY)
        assert hashes(made.root) == hashes(tars)
        assert {path: path.stat().st_mtime_ns for path in before} == before
    assert n_tars_left >= {0, 1, 2}


@pytest.mark.slow
def test_killed_at_random_instants_and_resumed(midi: Path, tars: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    root, n_interrupted = tmp_path / "c", 0
    command = [
        sys.executable, "-m", "stemsmith.cli.main", "render", midi, root, *COMMAND, "-q", "--jobs",
    ]  # fmt: skip
    for attempt in range(6):
        process = subprocess.Popen(
            [*map(str, command), str(attempt % 3)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.5, 4.0))
        n_interrupted += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert n_interrupted
    done = subprocess.run([*map(str, command), "0"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert hashes(root) == hashes(tars)


def test_few_songs_wait_as_folders(
    midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, render = [0], workflow.render_song

    def watched(job: Any) -> Any:
        made = render(job)
        folder = Layout(tmp_path / "c").songs
        most.append(len(list(folder.iterdir())) if folder.is_dir() else 0)
        return made

    monkeypatch.setattr(workflow, "render_song", watched)
    render_corpus(midi, tmp_path / "c", tracks_per_tar=2, **TINY)
    assert max(most) == 1  # the second one completes the tar
    assert not (tmp_path / "c" / ".render").exists()


def test_jobs_of_an_array_share_no_tar(midi: Path, tars: Path, tmp_path: Path) -> None:
    root = tmp_path / "c"
    made = 0
    for job in ("2/3", "3/3"):
        done = render_corpus(midi, root, tracks_per_tar=3, job=job, **TINY)
        made += done.n_made
    assert sorted(path.name for path in root.glob("*.tar")) == [TARS[2], TARS[3]]
    with pytest.raises(stemsmith.NothingToDo, match=r"1/3 has not begun"):
        stemsmith.merge(root)
    made += render_corpus(midi, root, tracks_per_tar=3, job="1/3", **TINY).n_made
    stemsmith.merge(root)
    assert made == 6 and hashes(root) == hashes(tars)
    # More jobs than tars: some have nothing to do.
    other = tmp_path / "d"
    n_made = [
        render_corpus(midi, other, tracks_per_tar=3, job=f"{k}/6", **TINY).n_made
        for k in range(1, 7)
    ]
    assert n_made == [3, 1, 1, 1, 0, 0]
    stemsmith.merge(other)
    assert hashes(other) == hashes(tars)


def test_rejected_songs_are_in_no_tar(midi: Path, tmp_path: Path) -> None:
    scores = Path(shutil.copytree(midi, tmp_path / "midi"))
    options = {**TINY, "splits": "1,0,0"}
    corpus = render_corpus(scores, tmp_path / "whole", tracks_per_tar=2, **options)
    assert [entry["n_songs"] for entry in corpus.header["tars"]] == [2, 2, 2]
    # No note of these two passes the gate: the first two songs, which are a tar.
    songs = corpus.song_records()
    layout = Layout(tmp_path / "part")

    def quiet(job: Any) -> Any:
        if job.track not in (songs[0].track, songs[1].track, songs[3].track):
            return render(job)
        rejection = Rejection(job.song.path, "render", Reason.SILENT, "silent")
        shards.write_records(layout.record(job.track, "rejections"), Rejection, [rejection])
        return rejection

    render = workflow.render_song
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "render_song", quiet)
        part = render_corpus(scores, layout.root, tracks_per_tar=2, **options)
    assert [(e["file"], e["n_songs"]) for e in part.header["tars"]] == [
        ("train-00001.tar", 1), ("train-00002.tar", 2),
    ]  # fmt: skip
    assert part.rejections.num_rows == 3
    validate_corpus(part.root)
    assert storage.file_hash(part.root / "train-00002.tar") == corpus.tars["train-00002.tar"]


def test_a_tar_waits_for_songs_that_may_be_tried_again(tmp_path: Path) -> None:
    layout, tar = Layout(tmp_path), SongTar("train-00000.tar", ("T1", "T2"))
    assert not is_complete(layout, tar)
    (layout.songs / "T1").mkdir(parents=True)
    layout.records.mkdir()
    assert not is_complete(layout, tar)
    for reason, is_final in ((Reason.UNREADABLE, False), (Reason.SILENT, True)):
        row = Rejection("a.mid", "render", reason, "why")
        shards.write_records(layout.record("T2", "rejections"), Rejection, [row])
        assert is_complete(layout, tar) is is_final


def test_a_song_that_cannot_be_read_is_made_when_it_can(
    midi: Path, tars: Path, tmp_path: Path
) -> None:
    scores = Path(shutil.copytree(midi, tmp_path / "midi"))
    root = tmp_path / "c"
    (first,) = (s for s in Corpus(tars).song_records() if s.track == "Track00001")
    data = (scores / first.source).read_bytes()
    other = next(p for p in sorted(scores.iterdir()) if p.name != first.source).read_bytes()
    render, done = workflow.render_song, []

    def spoiling(job: Any) -> Any:
        if job.track == "Track00001":
            (scores / first.source).write_bytes(other)
        made = render(job)
        (scores / first.source).write_bytes(data)
        done.append(made)
        return made

    with pytest.MonkeyPatch.context() as patch, pytest.raises(stemsmith.NothingToDo):
        patch.setattr(workflow, "render_song", spoiling)
        render_corpus(scores, root, tracks_per_tar=3, **TINY)
    assert any(isinstance(made, Rejection) for made in done)
    assert not (root / "train-00000.tar").exists()
    render_corpus(scores, root, tracks_per_tar=3, **TINY)
    assert hashes(root) == hashes(tars)


@pytest.mark.parametrize("seed", range(5))
def test_the_plan_puts_the_songs_of_a_split_in_order(seed: int) -> None:
    rng = random.Random(seed)
    songs = [(f"Track{k:05d}", rng.choice(("train", "validation", "test"))) for k in range(97)]
    n = rng.randint(1, 40)
    tars = plan_tars(songs, n)
    assert list(tars) and {track for track, _ in songs} == set(tars)
    for split in ("train", "validation", "test"):
        members = [track for track, its in songs if its == split]
        for place, track in enumerate(members):
            assert tars[track].name == f"{split}-{place // n:05d}.tar"
            start = place // n * n
            assert tars[track].tracks == tuple(members[start : start + n])
    assert plan_tars(songs, None) == {}


def test_room_for_the_largest_tar_is_wanted(midi: Path, tmp_path: Path) -> None:
    def expected(n: int | None) -> Any:
        from stemsmith.render.corpus.config import RenderConfig
        from stemsmith.render.songs.plan import plan_corpus

        config = RenderConfig(**{**TINY, "tracks_per_tar": n})
        found = stemsmith.scan(midi).found
        plan = plan_corpus(found, midi, tmp_path / "c", config, stemsmith.make_bank())
        return forecast(plan.jobs)

    plain, large, small = expected(None), expected(4), expected(1)
    assert plain.n_bytes == large.n_bytes == small.n_bytes
    assert plain.n_staged_bytes == 0
    assert 0 < small.n_staged_bytes < large.n_staged_bytes < plain.n_bytes


def test_what_makes_no_sense_is_refused(midi: Path, tars: Path, tmp_path: Path, here) -> None:
    for n in (0, -1):
        done = here("render", midi, tmp_path / "c", "--tracks-per-tar", n, "--jobs", 0)
        assert (done.returncode, done.stderr) == (2, "Error: --tracks-per-tar must be at least 1\n")
    with pytest.raises(UsageError, match="--tracks-per-tar must be at least 1"):
        render_corpus(midi, tmp_path / "c", tracks_per_tar=0)
    done = here(
        "render", midi, tmp_path / "c", "--renditions", 2, "--tracks-per-tar", 2, "--jobs", 0
    )
    assert done.returncode == 2 and done.stderr.startswith("Error: --tracks-per-tar: not of rendit")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "c").exists()
    done = here("render", midi, tars, *COMMAND[:-1], 2, "--jobs", 0)
    assert done.returncode == 2 and "other arguments" in done.stderr


def refused(root: Path, *parts: str) -> str:
    """Validate a damaged corpus; return what is said, in one line, without the folder."""
    with pytest.raises(InvalidCorpus) as caught:
        validate_corpus(root)
    text = str(caught.value)
    assert text.isprintable() and text.startswith(str(root.resolve()))
    assert all(part in text for part in parts), text
    return text


def rewritten(tar: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Write a tar with other members, and its index."""
    members = contents(tar)
    del members[INDEX]
    change(members)
    with tar.open("wb") as file, writing_tar(file) as add:
        add(INDEX, index_text([(name, len(data)) for name, data in members.items()]))
        for name, data in members.items():
            add(name, data)


def agree(root: Path) -> None:
    """Make the manifest agree with the tars as they are."""
    header = json.loads((root / "manifest.json").read_text())
    for entry in header["tars"]:
        entry["sha256"] = storage.file_hash(root / entry["file"])
    (root / "manifest.json").write_text(json.dumps(header))


def test_damage_is_found_and_named(copy: Path) -> None:
    train, mix = copy / "train-00000.tar", "Track00001/mix.flac"
    whole = train.read_bytes()

    def flip(at: int) -> None:
        data = bytearray(whole)
        data[at] ^= 1
        train.write_bytes(data)

    flip(whole.index(b"fLaC") + 500)
    refused(copy, "train-00000.tar/Track00001", "SHA-256 is not the recorded one")
    flip(whole.index(b"Track00002/all_src.mid", 4096) + 3)  # a header, and not the index
    refused(copy, "train-00000.tar: cannot be read as tar: a header is damaged")
    flip(len(whole) - 5)  # behind the end
    refused(copy, "train-00000.tar: SHA-256 is not the one in manifest.json")
    train.write_bytes(whole[: len(whole) // 2])
    refused(copy, "train-00000.tar: has no '", "where its index says so")
    train.write_bytes(b"")
    refused(copy, "train-00000.tar: cannot be read as tar")
    train.unlink()
    refused(copy, "train-00000.tar: missing")

    train.write_bytes(whole)
    rewritten(train, lambda members: members.pop(mix) and None)
    agree(copy)
    refused(copy, f"train-00000.tar/{mix}: missing")

    train.write_bytes(whole)
    rewritten(train, lambda members: members.update({mix: members["Track00002/mix.flac"]}))
    agree(copy)
    refused(copy, f"train-00000.tar/{mix}: SHA-256 is not the recorded one")

    train.write_bytes(whole)
    rewritten(train, lambda members: members.update({"Track00009/mix.flac": b""}))
    agree(copy)
    refused(copy, "train-00000.tar: has 28 files, and records name 27 of it")

    members = contents(train)
    with train.open("wb") as file, writing_tar(file) as add:
        for name, data in members.items():
            add(name, data.replace(b"mix.flac", b"mis.flac") if name == INDEX else data)
    agree(copy)
    refused(copy, f"train-00000.tar/{mix}: missing")


def test_an_index_of_other_members_is_found(copy: Path) -> None:
    train = copy / "train-00000.tar"
    members = contents(train)
    with train.open("wb") as file, writing_tar(file) as add:
        for name, data in members.items():
            if name != INDEX:
                add(name, data)
    agree(copy)
    refused(copy, f"train-00000.tar: does not begin with its index, {INDEX}")
    extra = members[INDEX] + members[INDEX].splitlines(keepends=True)[-1].replace(b"Tr", b"tr")
    with train.open("wb") as file, writing_tar(file) as add:
        for name, data in members.items():
            add(name, extra if name == INDEX else data)
    agree(copy)
    with pytest.raises(InvalidCorpus):
        validate_corpus(copy)


def test_tars_that_nobody_knows_are_found(copy: Path) -> None:
    shutil.copyfile(copy / "train-00000.tar", copy / "train-00007.tar")
    refused(copy, "train-00007.tar: no record names it")
    (copy / "train-00007.tar").unlink()
    header = json.loads((copy / "manifest.json").read_text())
    entries = header["tars"]
    header["tars"] = entries[1:]
    (copy / "manifest.json").write_text(json.dumps(header))
    refused(copy, "train-00000.tar: is not among the tars of manifest.json")
    header["tars"] = [*entries, {**entries[0], "file": "train-00008.tar"}]
    (copy / "manifest.json").write_text(json.dumps(header))
    refused(copy, "train-00008.tar: no record names it")
    for spoiled in ({"file": 1}, {"file": "x.tar"}, 7):
        header["tars"] = [spoiled]
        (copy / "manifest.json").write_text(json.dumps(header))
        refused(copy, "manifest.json: tars.0")


def test_readers_name_the_member_that_is_missing(copy: Path) -> None:
    rewritten(copy / "train-00000.tar", lambda m: m.pop("Track00001/stems/S01.flac") and None)
    track = Corpus(copy)["Track00001"]
    assert track.stems["S00"].audio.size
    with pytest.raises(InvalidCorpus, match=r"train-00000\.tar/Track00001/stems/S01\.flac: .*not"):
        _ = track.stems["S01"].audio
    (copy / "train-00000.tar").unlink()
    with pytest.raises(InvalidCorpus, match=r"S00\.flac: cannot be read: not there"):
        _ = track.stems["S00"].audio


def test_another_size_of_tars_is_another_run(midi: Path, tars: Path, tmp_path: Path) -> None:
    one = render_corpus(midi, tmp_path / "one", tracks_per_tar=100, **TINY)
    assert sorted(one.tars) == [TARS[0], TARS[1], TARS[3]]
    assert one.header["fingerprint"] != Corpus(tars).header["fingerprint"]
    ours = {(s.track, s.stem): s.sha256 for s in one.stem_records()}
    assert ours == {(s.track, s.stem): s.sha256 for s in Corpus(tars).stem_records()}
    plain = render_corpus(midi, tmp_path / "plain", **TINY)
    assert "tars" not in plain.header and "tracks_per_tar" not in plain.header["config"]
    assert "rename_files" not in (plain.root / "README.md").read_text("utf-8")
    assert places.is_file(one.root / one.song_records()[0].mix_path)
