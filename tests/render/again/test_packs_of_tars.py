"""Corpora in tars without audio, and their packs: the same tars again, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests import places, storage
from stemsmith.manifests.audio import flac
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.records import Reason
from stemsmith.manifests.tar_shards import INDEX
from stemsmith.mixing.workflow import mix
from stemsmith.render.again import lazy
from stemsmith.render.again.pack import read_pack
from stemsmith.render.checking import certify_corpus, validate_corpus
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.packs import pack, restore
from stemsmith.render.songs import render
from stemsmith.render.workflow import merge_corpus, render_corpus

IN_TARS: dict[str, Any] = {
    "band": None, "sample_rate": 8000, "tail_s": 0.3, "splits": "3,0,1", "tracks_per_tar": 2,
    "audit": False,
}  # fmt: skip
COMMAND = ("--no-band", "--sample-rate", 8000, "--tail", 0.3, "--splits", "3,0,1",
           "--tracks-per-tar", 2, "--no-audit")  # fmt: skip
TARS = ["test-00000.tar", "train-00000.tar", "train-00001.tar"]


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): storage.file_hash(path) for path in files}


def members(tar: Path) -> dict[str, bytes]:
    """Return what is in a tar, by name, but for its index."""
    names = [name for name in places.members_of(tar) if name != INDEX]
    return {name: places.read_bytes(tar / name) for name in names}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory, make_song) -> Path:
    """Return four songs of a second."""
    folder = tmp_path_factory.mktemp("scores")
    for k in range(4):
        make_song(folder / f"{k}.mid", ((0, 0), (33, 1), (0, 9)), n_notes=12, seed=k)
    return folder


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Corpus:
    """Return a corpus in tars; read only."""
    return render_corpus(scores, tmp_path_factory.mktemp("eager") / "c", **IN_TARS)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Corpus:
    """Return the same corpus without audio; read only."""
    return render_corpus(scores, tmp_path_factory.mktemp("lazy") / "c", lazy=True, **IN_TARS)


@pytest.fixture(scope="module")
def packed(eager: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pack of the corpus with its audio; read only."""
    path = tmp_path_factory.mktemp("packed") / "c.pack.json"
    pack(eager, path)
    return path


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Path]:
    """Give each test an empty cache of songs, beside what is known of soundfonts."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for known in own_cache.glob("*"):
        if known.name != "songs":
            (folder / known.name).symlink_to(known)
    monkeypatch.setenv("STEMSMITH_CACHE", str(folder))
    yield folder / "songs"


def changed(path: Path, change: Callable[[Any], None], copy: Path) -> Path:
    """Write a copy of a pack whose content was changed."""
    content = json.loads(path.read_text("utf-8"))
    change(content)
    copy.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return copy


# ---------------------------------------------------------------------------------------------
# Without audio


def test_tars_without_audio_have_all_else(eager: Corpus, idle: Corpus) -> None:
    assert sorted(path.name for path in idle.root.glob("*.tar")) == TARS
    for name in TARS:
        kept, whole = members(idle.root / name), members(eager.root / name)
        assert kept == {n: data for n, data in whole.items() if not n.endswith(".flac")}
        assert idle.tars[name] == storage.file_hash(idle.root / name) != eager.tars[name]
    own = {"manifest.json", "lazy.json", *TARS}
    kept, whole = hashes(idle.root), hashes(eager.root)
    assert {n: kept[n] for n in kept.keys() - own} == {n: whole[n] for n in whole.keys() - own}


def test_missing_members_are_rendered_with_the_bytes_of_the_eager_tars(
    eager: Corpus, idle: Corpus, fresh_cache: Path
) -> None:
    for name in TARS:
        for member, data in members(eager.root / name).items():
            path = idle.root / name / member
            assert places.is_file(path)
            assert places.read_bytes(path) == data, member
    assert len(list(fresh_cache.glob("[0-9a-f]" * 64))) == len(idle), "each song is there once"
    for member in ("Track00001/stems/S77.flac", "Track00009/mix.flac", "Track00001/x.mid"):
        assert not places.is_file(idle.root / TARS[1] / member)
        with pytest.raises(FileNotFoundError):
            places.opened(idle.root / TARS[1] / member)


def test_they_are_validated_certified_and_mixed(
    eager: Corpus, idle: Corpus, tmp_path: Path
) -> None:
    copies = [
        Corpus(shutil.copytree(one.root, tmp_path / name))
        for name, one in (("e", eager), ("l", idle))
    ]
    assert validate_corpus(copies[1].root)
    counted = [dict(certify_corpus(one.root).content["bytes"]) for one in copies]
    assert counted[0]["n_files"] == counted[1]["n_files"]
    options = {"target": "bass", "n_mixtures": 4, "clip_s": 0.5, "min_rms_dbfs": -70.0, "seed": 2}
    for one, name in ((eager, "me"), (idle, "ml")):
        place = tmp_path / "corpus"  # one path, since recipes have it
        place.unlink(missing_ok=True)
        place.symlink_to(one.root)
        mix(place, tmp_path / name, audio_format="flac", **options)
    mixed = [hashes(tmp_path / name) for name in ("me", "ml")]
    assert {n: h for n, h in mixed[0].items() if n != "manifest.json"} == {
        n: h for n, h in mixed[1].items() if n != "manifest.json"
    }


def test_damage_of_them_is_one_line(idle: Corpus, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(idle.root, tmp_path / "c"))
    tar = copy / TARS[1]
    data = bytearray(tar.read_bytes())
    member = places.members_of(tar)["Track00002/all_src.mid"]
    data[member.offset + 30] ^= 1
    tar.write_bytes(data)
    with pytest.raises(InvalidCorpus, match=rf"{TARS[1]}/Track00002.*"):
        places.opened(tar / "Track00002/mix.flac")
    with pytest.raises(InvalidCorpus, match=TARS[1]) as caught:
        validate_corpus(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_steps", [31, 44, 58])
def test_rendering_them_is_killed_and_resumed(
    scores: Path, idle: Corpus, tmp_path: Path, killed_after, n_steps: int
) -> None:
    with killed_after(n_steps):
        render_corpus(scores, tmp_path / "c", lazy=True, **IN_TARS)
    render_corpus(scores, tmp_path / "c", lazy=True, **IN_TARS)
    assert hashes(tmp_path / "c") == hashes(idle.root)


def test_jobs_of_an_array_make_them(scores: Path, idle: Corpus, tmp_path: Path) -> None:
    render_corpus(scores, tmp_path / "c", lazy=True, job="2/2", **IN_TARS)
    with pytest.raises(NothingToDo, match="1/2"):
        merge_corpus(tmp_path / "c")
    render_corpus(scores, tmp_path / "c", lazy=True, job="1/2", **IN_TARS)
    merge_corpus(tmp_path / "c")
    assert hashes(tmp_path / "c") == hashes(idle.root)


# ---------------------------------------------------------------------------------------------
# Packs


def test_the_same_tars_are_made_again(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path
) -> None:
    again = restore(packed, tmp_path / "again", midi_dir=scores)
    assert hashes(again.root) == hashes(eager.root)
    assert not (again.root / ".render").exists()
    twice = restore(packed, tmp_path / "twice", midi_dir=eager.root)  # scores in tars will do
    assert hashes(twice.root) == hashes(eager.root)


def test_a_corpus_without_audio_has_the_same_pack(
    scores: Path, idle: Corpus, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMSMITH_CACHE_GB", "1e-6")  # in which no song has room
    rendered: list[str] = []
    write_track = lazy.write_track

    def counted(job: Any, folder: Path) -> Any:
        rendered.append(job.track)
        return write_track(job, folder)

    monkeypatch.setattr(lazy, "write_track", counted)
    pack(idle, tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == packed.read_bytes()
    assert set(rendered) == set(idle)


def test_songs_that_rendering_rejects_keep_their_places(
    scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tar a song goes into was decided before the first one of it was found to be silent."""
    write_track = render._write_track

    def without_the_first(job: Any, staged: Path) -> Any:
        if job.track == "Track00001":
            raise Unusable(Reason.SILENT, "nothing sounds")
        return write_track(job, staged)

    monkeypatch.setattr(render, "_write_track", without_the_first)
    made = render_corpus(scores, tmp_path / "c", **{**IN_TARS, "splits": "1,0,0"})
    monkeypatch.setattr(render, "_write_track", write_track)
    assert [song.path for song in made.song_records()] == [
        "train-00000.tar/Track00002", "train-00001.tar/Track00003", "train-00001.tar/Track00004",
    ]  # fmt: skip
    pack(made, tmp_path / "p")
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    assert hashes(again.root) == hashes(made.root)


def test_some_songs_are_tars_of_them_alone(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path
) -> None:
    names = [track for track in eager if eager[track].record.split == "train"][1:]
    some = restore(packed, tmp_path / "some", midi_dir=scores, tracks=names)
    assert list(some) == names
    assert sorted(some.tars) == ["train-00000.tar", "train-00001.tar"]
    for tar in some.tars:
        whole = members(eager.root / tar)
        kept = {n: data for n, data in whole.items() if n.partition("/")[0] in names}
        assert members(some.root / tar) == kept
    assert some.tars["train-00000.tar"] != eager.tars["train-00000.tar"]
    assert some.tars["train-00001.tar"] == eager.tars["train-00001.tar"], "which has all its songs"
    assert some.header["restored_from"]["fingerprint"] == eager.header["fingerprint"]
    assert validate_corpus(some.root)
    pack(some, tmp_path / "p")
    again = restore(tmp_path / "p", tmp_path / "again", midi_dir=scores)
    assert hashes(again.root) == hashes(some.root)


@pytest.mark.parametrize("n_jobs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_song_that_differs_is_in_no_tar(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path, n_jobs: int
) -> None:
    track = list(eager)[1]

    def spoil(content: Any) -> None:
        (song,) = (song for song in content["songs"] if song["track"] == track)
        song["files"]["stems/S01.flac"] = ["0" * 64, "1" * 64]

    spoiled = changed(packed, spoil, tmp_path / "p")
    with pytest.raises(InvalidCorpus, match=r"stems/S01.flac: has other samples than") as caught:
        restore(spoiled, tmp_path / "c", midi_dir=scores, jobs=n_jobs)
    path = eager[track].record.path
    assert str(caught.value).startswith(f"{tmp_path / 'c' / path}/stems/S01.flac: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c" / path.partition("/")[0]).exists()
    assert not (tmp_path / "c" / ".render" / "songs" / track).exists()
    assert not list((tmp_path / "c" / ".render" / "staging").iterdir())
    for tar in (tmp_path / "c").glob("*.tar"):  # what is there is right
        assert storage.file_hash(tar) == eager.tars[tar.name]
    again = restore(packed, tmp_path / "c", midi_dir=scores)  # the right pack goes on from there
    assert hashes(again.root) == hashes(eager.root)


SPOILED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "tar": (
        lambda c: c["manifest"]["tars"][0].update(sha256="0" * 64),
        r"train-00000.tar has other bytes than the packed one, of the same files",
    ),
    "name of a tar": (
        lambda c: c["manifest"]["tars"][0].update(file="../x.tar"), "is no file with its hash",
    ),
    "no tars": (
        lambda c: c["manifest"]["config"].pop("tracks_per_tar"),
        "the folder of Track0000. is 't.*-0000..tar/Track0000.', where no song of its kind lies",
    ),
    "folder": (
        lambda c: c["songs"][0].update(folder="../train-00000.tar/Track00001"),
        "the folder of Track00001 is '../train",
    ),
    "other split": (
        lambda c: c["songs"][0].update(folder="validation-00000.tar/Track00001"),
        "the folder of Track00001 is 'validation-",
    ),
    "other tar": (
        lambda c: c["songs"][0].update(folder=f"{c['songs'][0]['split']}-00007.tar/Track00001"),
        r"Track00001 \(.*its (files|records).*|metadata|outside|other bytes|records",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_every_hash_of_tars_is_proved(
    scores: Path, packed: Path, tmp_path: Path, name: str
) -> None:
    change, message = SPOILED[name]
    with pytest.raises(InvalidCorpus, match=message) as caught:
        restore(changed(packed, change, tmp_path / "p"), tmp_path / "c", midi_dir=scores)
    assert "\n" not in str(caught.value)


def test_another_encoder_is_proved_by_samples(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path, monkeypatch, killed_after
) -> None:
    monkeypatch.setattr(flac, "_libflac", lambda: None)
    with killed_after(40):  # songs that are there already count, too
        restore(packed, tmp_path / "again", midi_dir=scores)
    again = restore(packed, tmp_path / "again", midi_dir=scores)
    assert validate_corpus(again.root)
    assert "restored_from" in again.header
    assert "libsndfile" in again.header["versions"]
    for name in TARS:
        ours, theirs = members(again.root / name), members(eager.root / name)
        assert ours.keys() == theirs.keys()
        assert {n for n in ours if ours[n] != theirs[n]} == {n for n in ours if n[-5:] == ".flac"}


@pytest.mark.parametrize("n_steps", [33, 60, 74, 88])
def test_killed_at_any_write(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path, killed_after, n_steps: int
) -> None:
    with killed_after(n_steps):
        restore(packed, tmp_path / "c", midi_dir=scores)
    for tar in (tmp_path / "c").glob("*.tar"):
        assert storage.file_hash(tar) == eager.tars[tar.name]
    again = restore(packed, tmp_path / "c", midi_dir=scores)
    assert hashes(again.root) == hashes(eager.root)


def test_processes_that_are_killed_leave_what_is_right(
    scores: Path, eager: Corpus, packed: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "stemsmith.cli.main", "restore", packed, tmp_path / "c",
        "--midi", scores, "-q", "--jobs", "0",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not list((tmp_path / "c").glob(".render/songs/Track*")):
        time.sleep(0.002)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = restore(packed, tmp_path / "c", midi_dir=scores)
    assert hashes(again.root) == hashes(eager.root)


def test_the_commands_do_the_same(
    scores: Path, eager: Corpus, idle: Corpus, packed: Path, tmp_path: Path, here
) -> None:
    done = here("render", scores, tmp_path / "l", "--lazy", *COMMAND, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "l") == hashes(idle.root)
    done = here("pack", tmp_path / "l", tmp_path / "p", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p").read_bytes() == packed.read_bytes()
    assert len(read_pack(tmp_path / "p").songs) == 4
    with pytest.raises(UsageError, match="was made with other arguments"):
        restore(packed, idle.root, midi_dir=scores)
