"""Corpora without audio, and packs, in a store: what a disk would have, and read where they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from click.testing import CliRunner
from stemsmith.cli.main import main
from stemsmith.manifests import places
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.stores import ObjectPath
from stemsmith.render.again import lazy
from stemsmith.render.sound.sf2 import default_soundfont
from stored_songs import MIXED, RENDERED, TRAINED, killed_after, weights_of

IN_TARS: dict[str, Any] = {**RENDERED, "splits": "3,0,1", "tracks_per_tar": 2}
FEW: dict[str, Any] = {**MIXED, "n_mixtures": 3, "n_validation_mixtures": 1, "n_test_mixtures": 0}


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Path]:
    """Give each test an empty cache, beside what is known of soundfonts."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for known in own_cache.glob("*"):
        if known.name not in ("songs", "fetched", "copies"):
            (folder / known.name).symlink_to(known)
    monkeypatch.setenv("STEMSMITH_CACHE", str(folder))
    yield folder


@pytest.fixture(scope="module")
def idle(disk: Path) -> Path:
    """Return the corpus of the disk without its audio; read only."""
    return front.render_corpus(disk / "midi", disk.parent / "idle", lazy=True, **RENDERED).root


@pytest.fixture(scope="module")
def tars(disk: Path) -> Path:
    """Return a corpus in tars with its audio; read only."""
    return front.render_corpus(disk / "midi", disk.parent / "whole-tars", **IN_TARS).root


def check_same_audio(corpus: ObjectPath, eager: Path) -> None:
    audio = [path.relative_to(eager).as_posix() for path in eager.rglob("*.flac")]
    assert audio
    for name in audio:
        assert places.is_file(corpus / name)
        assert places.read_bytes(corpus / name) == (eager / name).read_bytes(), name


def test_it_is_rendered_mixed_and_validated_there(
    disk: Path, idle: Path, bucket: ObjectPath, tmp_path: Path, contents
) -> None:
    (bucket / "font.sf2").upload(default_soundfont())
    corpus = front.render_corpus(
        disk / "midi",
        str(bucket / "corpus"),
        lazy=True,
        soundfonts=[str(bucket / "font.sf2")],
        **{**RENDERED, "seed": 3},
    )
    kept = contents(bucket / "corpus")
    assert kept.keys() == contents(idle).keys()
    (named,) = json.loads(kept["lazy.json"])["soundfonts"].values()
    assert named == str(bucket / "font.sf2")
    assert front.validate(str(bucket / "corpus"))
    front.mix(corpus, str(bucket / "mixtures"), **FEW)
    front.mix(disk / "corpus", tmp_path / "mixtures", **FEW)
    ours, theirs = contents(bucket / "mixtures"), contents(tmp_path / "mixtures")
    assert {n: d for n, d in ours.items() if n.endswith(".tar")} == {
        n: d for n, d in theirs.items() if n.endswith(".tar")
    }


def test_a_copy_in_a_store_is_read_and_shares_the_songs(
    disk: Path,
    idle: Path,
    bucket: ObjectPath,
    upload: Callable[..., ObjectPath],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = upload(idle, bucket / "corpus")
    check_same_audio(corpus, disk / "corpus")
    monkeypatch.setattr(lazy, "write_track", None)  # nobody renders again
    for path in (disk / "corpus").rglob("*.flac"):
        assert places.read_bytes(idle / path.relative_to(disk / "corpus")) == path.read_bytes()


def test_models_are_trained_from_it_there(
    disk: Path, idle: Path, bucket: ObjectPath, upload: Callable[..., ObjectPath], tmp_path: Path
) -> None:
    """Songs are rendered by a process that loads."""
    recipes = {name: value for name, value in MIXED.items() if name != "audio_format"}
    how = {"epochs": 1, "loader": "stream", **TRAINED}
    front.mix(disk / "corpus", tmp_path / "mixtures", **recipes)
    wanted = front.train_model(tmp_path / "mixtures", tmp_path / "run", **how)
    corpus = upload(idle, bucket / "corpus")
    front.mix(str(corpus), str(bucket / "mixtures"), **recipes)
    run = front.train_model(str(bucket / "mixtures"), str(bucket / "run"), n_workers=1, **how)
    assert weights_of(run) == weights_of(wanted)


def test_systems_are_evaluated_on_it_there(
    disk: Path, idle: Path, bucket: ObjectPath, upload: Callable[..., ObjectPath], tmp_path: Path
) -> None:
    corpus = upload(idle, bucket / "corpus")
    how: dict[str, Any] = {"bss": "none", "splits": ("train", "test"), "label": "it"}
    wanted = front.evaluate_system("oracle:irm", disk / "corpus", tmp_path / "e", **how)
    found = front.evaluate_system("oracle:irm", str(corpus), str(bucket / "e"), **how)
    assert found.scores.equals(wanted.scores)


def test_its_bank_and_soundfonts_are_of_the_store(
    disk: Path, bucket: ObjectPath, tmp_path: Path
) -> None:
    (bucket / "fonts" / "font.sf2").upload(default_soundfont())
    bank = bucket / "banks" / "bank.yaml"
    bank.write_text("Electric Bass: [{soundfont: ../fonts/font.sf2, preset: 35}]")
    how: dict[str, Any] = {"bank": str(bank), "band": None, **RENDERED}
    eager = front.render_corpus(disk / "midi", tmp_path / "eager", **how)
    front.render_corpus(disk / "midi", str(bucket / "corpus"), lazy=True, **how)
    check_same_audio(bucket / "corpus", eager.root)
    bank.unlink()  # what it said stands in the corpus
    shutil.rmtree(tmp_path / "cache" / "songs")
    check_same_audio(bucket / "corpus", eager.root)


def test_what_is_missing_there_is_one_line(
    idle: Path, upload: Callable[..., ObjectPath], tmp_path: Path
) -> None:
    corpus = upload(idle, ObjectPath("memory://lazy-damage/corpus"))
    path = corpus / front.Corpus(idle)["Track00001"].record.mix_path
    assert not places.is_file(corpus / "train" / "Track00077" / "mix.flac")
    (corpus / "lazy.json").write_text("{")
    with pytest.raises(InvalidCorpus, match=r"lazy.json: cannot be read as JSON"):
        places.opened(path)
    (corpus / "lazy.json").unlink()
    with pytest.raises(InvalidCorpus, match=r"lazy.json: missing; without it no song"):
        places.opened(path)


@pytest.mark.parametrize("n_writes", [12, 40])
def test_rendering_it_in_tars_is_killed_and_goes_on(
    disk: Path, tars: Path, contents, n_writes: int
) -> None:
    corpus = ObjectPath(f"memory://killed-lazy-{n_writes}/corpus")
    with killed_after(n_writes):
        front.render_corpus(disk / "midi", str(corpus), lazy=True, **IN_TARS)
    front.render_corpus(disk / "midi", str(corpus), lazy=True, **IN_TARS)
    whole = contents(tars)
    kept = contents(corpus)
    assert kept.keys() == whole.keys() | {"lazy.json"}
    for tar in tars.glob("*.tar"):
        for name in places.members_of(tar):
            if name.endswith(".flac"):
                assert places.read_bytes(corpus / tar.name / name) == places.read_bytes(tar / name)
    front.validate(str(corpus))


# ---------------------------------------------------------------------------------------------
# Packs


def test_packs_and_what_they_are_made_of_are_of_a_store(
    disk: Path, tars: Path, bucket: ObjectPath, upload: Callable[..., ObjectPath], contents,
    tmp_path: Path,
) -> None:  # fmt: skip
    front.pack(tars, tmp_path / "p")
    corpus, midi = upload(tars, bucket / "corpus"), upload(disk / "midi", bucket / "midi")
    done = CliRunner().invoke(main, ["pack", str(corpus), str(bucket / "p"), "--jobs", "0"])
    assert done.exit_code == 0, done.output
    assert (bucket / "p").read_bytes() == (tmp_path / "p").read_bytes()
    again = bucket / "again"
    command = ["restore", str(bucket / "p"), str(again), "--midi", str(midi), "--jobs", "0"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert contents(again) == contents(tars)


@pytest.mark.parametrize("n_writes", [9, 30, 47])
def test_restoring_into_a_store_is_killed_and_goes_on(
    disk: Path, tars: Path, contents, tmp_path: Path, n_writes: int
) -> None:
    front.pack(tars, tmp_path / "p")
    corpus = ObjectPath(f"memory://killed-restore-{n_writes}/corpus")
    with killed_after(n_writes):
        front.restore(tmp_path / "p", str(corpus), midi_dir=disk / "midi")
    whole, left = contents(tars), contents(corpus)
    assert all(left[name] == whole[name] for name in left if name.endswith(".tar"))
    front.restore(tmp_path / "p", str(corpus), midi_dir=disk / "midi")
    assert contents(corpus) == whole


def test_what_differs_is_not_put_into_a_store(disk: Path, tmp_path: Path, contents) -> None:
    front.pack(disk / "corpus", tmp_path / "p")
    content = json.loads((tmp_path / "p").read_text("utf-8"))
    content["songs"][0]["files"]["stems/S01.flac"] = ["0" * 64, "1" * 64]
    (tmp_path / "q").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    corpus = ObjectPath("memory://restore-differs/corpus")
    with pytest.raises(InvalidCorpus, match=r"stems/S01.flac: has other samples") as caught:
        front.restore(tmp_path / "q", str(corpus), midi_dir=disk / "midi")
    assert "\n" not in str(caught.value)
    folder = content["songs"][0]["folder"]
    assert not [name for name in contents(corpus) if name.startswith(f"{folder}/")]
    (ObjectPath("memory://restore-differs/thesis")).write_bytes(b"precious")
    with pytest.raises(UsageError, match="is there already, and no pack"):
        front.pack(disk / "corpus", "memory://restore-differs/thesis")
    with pytest.raises(UsageError, match="memory://restore-differs/none: there is no such pack"):
        front.restore("memory://restore-differs/none", tmp_path / "x", midi_dir=disk / "midi")


def test_renditions_without_audio_and_their_packs(
    disk: Path, tmp_path: Path, contents, upload: Callable[..., ObjectPath]
) -> None:
    config = front.RenditionConfig(headroom_db=36, sample_rate=8000, band=None, n_songs=1)
    eager = front.render_renditions(disk / "midi", tmp_path / "e", config)
    corpus = ObjectPath("memory://lazy-renditions/corpus")
    midi = upload(disk / "midi", ObjectPath("memory://lazy-renditions/midi"))
    front.render_renditions(str(midi), str(corpus), config, lazy=True)
    check_same_audio(corpus, eager.root)
    front.pack(eager, tmp_path / "p")
    front.pack(str(corpus), "memory://lazy-renditions/p")
    packed = ObjectPath("memory://lazy-renditions/p")
    assert packed.read_bytes() == (tmp_path / "p").read_bytes()
    shutil.rmtree(tmp_path / "cache" / "songs")
    again = ObjectPath("memory://lazy-renditions/again")
    front.restore(str(packed), str(again), midi_dir=str(midi))
    assert contents(again) == contents(eager.root)
