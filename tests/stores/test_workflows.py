"""From scores to scores of a model, in a store: the same bytes as on a disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import stemsmith as front
from stemsmith.manifests import shards, storage
from stemsmith.manifests.errors import StoreError, UsageError
from stemsmith.manifests.records import Stem
from stemsmith.manifests.stores import ObjectPath
from stemsmith.train.workflow import list_runs
from stored_songs import MIXED, RENDERED, TRAINED, killed_after, weights_of

LONG_S = 300.0


def test_a_folder_of_scores_is_scanned(
    disk: Path, stored: ObjectPath, here: Callable[..., Any]
) -> None:
    ours = here("scan", stored / "midi", "--json", "--jobs", 0)
    theirs = here("scan", disk / "midi", "--json", "--jobs", 0)
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert json.loads(ours.stdout) == json.loads(theirs.stdout)


def test_a_corpus_is_opened(disk: Path, stored: ObjectPath) -> None:
    ours, theirs = (front.Corpus(str(root / "corpus")) for root in (stored, disk))
    assert ours.verify().header == theirs.header
    assert list(ours) == list(theirs)
    assert ours.stems.equals(theirs.stems)
    name = next(iter(ours))
    assert (ours[name].mixture == theirs[name].mixture).all()
    stems = ours[name].stems
    assert all((stems[key].audio == one.audio).all() for key, one in theirs[name].stems.items())
    assert shards.table_of(list(ours.iter_stems()), Stem).equals(theirs.stems)
    grouped = [(song, len(own)) for song, own, _ in ours.iter_with_stems()]
    assert grouped == [(song, len(own)) for song, own, _ in theirs.iter_with_stems()]
    assert front.open_folder(str(stored / "corpus")).root == stored / "corpus"


@pytest.mark.parametrize("n_jobs", [0, 2])
def test_the_same_corpus_is_rendered(
    disk: Path, stored: ObjectPath, shared_store: ObjectPath, contents, n_jobs: int
) -> None:
    corpus = shared_store / "x" / "corpus"
    made = front.render_corpus(str(stored / "midi"), str(corpus), jobs=n_jobs, **RENDERED)
    assert made.root == corpus
    assert contents(corpus) == contents(disk / "corpus")
    assert contents(shared_store).keys() == {f"x/corpus/{name}" for name in contents(corpus)}


def test_what_is_finished_is_left_alone_and_no_other_run_begun(
    disk: Path, stored: ObjectPath, here: Callable[..., Any]
) -> None:
    def written() -> dict[ObjectPath, int]:
        return {path: status.st_mtime_ns for path, status in stored.files_below()}

    before = written()
    front.render_corpus(disk / "midi", str(stored / "corpus"), **RENDERED)
    front.mix(str(stored / "corpus"), str(stored / "mixtures"), **MIXED)
    done = here(
        "render", disk / "midi", stored / "corpus", "--seed", 4, "--min-notes", 1, "--jobs", 0
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "other arguments" in done.stderr
    done = here("render", disk / "midi", stored / "midi", "--jobs", 0)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"Error: {stored / 'midi'}: not empty and no corpus folder; choose another\n"
    )
    done = here("mix", stored / "corpus", stored / "corpus" / "m", "--target", "bass", "--jobs", 0)
    assert done.returncode == 2
    assert "lies in the source" in done.stderr
    assert written() == before


@pytest.mark.parametrize("kind", ["corpus", "mixtures"])
def test_a_folder_is_validated(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, upload, here, kind: str
) -> None:
    ours = here("validate", stored / kind, "--jobs", 0)
    theirs = here("validate", disk / kind, "--jobs", 0)
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert ours.stdout == theirs.stdout.replace(str(disk), str(stored))
    upload(disk, bucket)
    names = [path for path, _ in (bucket / kind).files_below() if path.suffix in (".flac", ".tar")]
    data = bytearray(names[0].read_bytes())
    data[-1] ^= 1
    names[0].write_bytes(bytes(data))
    done = here("validate", bucket / kind, "--jobs", 0)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(names[0]) in done.stderr
    names[0].unlink()
    done = here("validate", bucket / kind, "--jobs", 0)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(names[0]) in done.stderr


def test_the_same_mixtures_are_made(
    disk: Path, stored: ObjectPath, shared_store: ObjectPath, tmp_path: Path, upload, contents
) -> None:
    upload(disk / "corpus", shared_store / "corpus")
    made = front.mix(str(shared_store / "corpus"), str(shared_store / "mixtures"), **MIXED)
    assert contents(shared_store / "mixtures") == contents(disk / "mixtures")
    assert made.roots == {"corpus": str(shared_store / "corpus")}
    # From a store to a disk, and from a disk to a store, the header has the whole path.
    for source, folder in (
        (stored / "corpus", tmp_path / "m"),
        (disk / "corpus", shared_store / "other"),
    ):
        other = front.mix(source, folder, **MIXED)
        assert other.roots == {"corpus": str(source)}
        ours, theirs = contents(folder), contents(disk / "mixtures")
        changed = {name for name in ours if ours[name] != theirs[name]}
        assert (ours.keys(), changed) == (theirs.keys(), {"manifest.json"})
        assert other.fingerprint == made.fingerprint
    again, first = made[0].realise(), front.Mixtures(disk / "mixtures")[0].realise()
    assert all((again[name] == first[name]).all() for name in first)
    assert made[0].labels().keys() == front.Mixtures(disk / "mixtures")[0].labels().keys()


def test_renditions_and_soundfonts_are_of_a_store_too(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, tmp_path: Path, contents
) -> None:
    from stemsmith.render.sound.sf2 import default_soundfont

    font = bucket / "fonts" / "TimGM6mb.sf2"
    font.upload(default_soundfont())
    config = front.RenditionConfig(
        n_renditions=2, shifts_s=(0.0, 0.1), headroom_db=36, sample_rate=8000, band=None, n_songs=2
    )
    front.render_renditions(disk / "midi", tmp_path / "r", config)
    front.render_renditions(str(stored / "midi"), str(bucket / "r"), config, soundfonts=[str(font)])
    assert contents(bucket / "r") == contents(tmp_path / "r")
    front.validate(str(bucket / "r"))


def test_a_corpus_of_a_store_is_packed_and_restored(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, tmp_path: Path, here, contents
) -> None:
    pack, again = bucket / "packed.json", bucket / "again"
    done = here("pack", stored / "corpus", pack, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert here("pack", disk / "corpus", tmp_path / "packed.json", "--jobs", 0).returncode == 0
    assert pack.read_bytes() == (tmp_path / "packed.json").read_bytes()
    done = here("restore", pack, again, "--midi", stored / "midi", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert contents(again) == contents(disk / "corpus")


def test_patch_banks_are_of_a_store_too(store: ObjectPath, tmp_path: Path) -> None:
    from stemsmith.render.sound.sf2 import default_soundfont

    here = default_soundfont()
    (store / "fonts" / here.name).upload(here)
    bank, entry = store / "banks" / "bank.yaml", "Electric Bass: [{soundfont: %s, preset: 33}]"
    (tmp_path / "bank.yaml").write_text(entry % here)
    wanted = front.make_bank(bank=tmp_path / "bank.yaml")
    for name in (here, store / "fonts" / here.name, f"../fonts/{here.name}"):
        bank.write_text(entry % name)
        found = front.make_bank(bank=str(bank))
        assert [patch.name for patch in found.patches] == [patch.name for patch in wanted.patches]
        assert [font.sha256 for font in found.soundfonts] == [wanted.soundfonts[0].sha256]
    (tmp_path / "bank.yaml").write_text(entry % (store / "fonts" / here.name))
    assert front.make_bank(bank=tmp_path / "bank.yaml").soundfonts[0].sha256 == (
        wanted.soundfonts[0].sha256
    )
    for kind in ("folder", "sfz", "instrument"):
        bank.write_text(f"Electric Bass: [{{{kind}: bass}}]")
        with pytest.raises(UsageError, match=r"bank\.yaml: Electric Bass\[0\]: .*banks/bass lies"):
            front.make_bank(bank=str(bank))


@pytest.mark.parametrize(("loader", "n_workers"), [("resident", 0), ("stream", 0), ("stream", 1)])
def test_the_same_weights_are_trained_and_gone_on_with(
    stored: ObjectPath, bucket: ObjectPath, trained, loader: str, n_workers: int
) -> None:
    how = {"loader": loader, "n_workers": n_workers, **TRAINED}
    run = str(bucket / "run")
    front.train_model(str(stored / "mixtures"), run, epochs=1, **how)
    with pytest.raises(front.UsageError, match="holds a run; --resume goes on"):
        front.train_model(str(stored / "mixtures"), run, epochs=2, **how)
    made = front.train_model(str(stored / "mixtures"), run, epochs=2, resume=True, **how)
    assert weights_of(made) == weights_of(trained)
    names = {path.relative_to(bucket / "run").as_posix() for path in bucket.rglob("*")}
    checkpoints = {
        f"checkpoints/{c}.ckpt{end}" for c in ("best", "last") for end in ("", ".sha256")
    }
    assert names == {"run.json", "metrics.csv", *checkpoints}
    assert len(front.validate(run).history) == 2
    assert [one.run for one in list_runs(str(bucket))] == ["run"]


def test_events_for_tensorboard_are_written(
    stored: ObjectPath, bucket: ObjectPath, trained
) -> None:
    how = {**TRAINED, "logger": "tensorboard"}
    front.train_model(str(stored / "mixtures"), str(bucket / "run"), epochs=2, **how)
    (events,) = (bucket / "run" / "tensorboard").iterdir()
    assert events.read_bytes().count(b"validation_loss") == 2


def test_the_same_scores_are_given(
    disk: Path, stored: ObjectPath, bucket: ObjectPath, tmp_path: Path, trained, upload, contents
) -> None:
    upload(trained.root, bucket / "run")
    systems = [("oracle:irm", "oracle:irm"), (f"run:{trained.root}", f"run:{bucket / 'run'}")]
    for number, (local, remote) in enumerate(systems):
        how = {"bss": "none", "splits": ("test",), "label": "it"}
        front.evaluate_system(local, disk / "corpus", tmp_path / f"e{number}", **how)
        found = front.evaluate_system(
            remote, str(stored / "corpus"), str(bucket / f"e{number}"), **how
        )
        ours, theirs = contents(bucket / f"e{number}"), contents(tmp_path / f"e{number}")
        # How long it took, where it lies, and when its files were written are other things.
        for one in (ours, theirs):
            summary = json.loads(one.pop("summary.json"))
            assert summary.pop("dataset")
            one["summary"] = json.dumps(summary).encode()
            del one["manifest.json"]
            one.pop("times.parquet", None)
            one.pop("scores.md", None)
        assert ours.keys() == theirs.keys()
        assert {k for k in ours if ours[k] != theirs[k]} == set()
        front.validate(found.root)


def test_jobs_of_an_array_fill_a_folder_of_a_store(
    disk: Path, shared_store: ObjectPath, upload, contents
) -> None:
    corpus, mixtures = str(shared_store / "corpus"), str(shared_store / "mixtures")
    first = front.render_corpus(disk / "midi", corpus, job="1/2", **RENDERED)
    assert first.n_made == 2
    with pytest.raises(front.NothingToDo, match="2/2"):
        front.merge(corpus)
    with pytest.raises(front.UsageError, match="its jobs are of 2"):
        front.render_corpus(disk / "midi", corpus, job="1/3", **RENDERED)
    with storage.exclusive(shared_store / "corpus" / ".render" / "array" / "2.lock"):
        with pytest.raises(front.UsageError, match="job 2/2 is at work here already"):
            front.render_corpus(disk / "midi", corpus, job="2/2", **RENDERED)
        with pytest.raises(front.UsageError, match="job 2/2 is writing here"):
            front.render_corpus(disk / "midi", corpus, **RENDERED)
    front.render_corpus(disk / "midi", corpus, job="2/2", **RENDERED)
    front.merge(corpus)
    assert contents(shared_store / "corpus") == contents(disk / "corpus")
    for job in ("2/2", "1/2"):
        front.mix(corpus, mixtures, job=job, **MIXED)
    front.merge(mixtures)
    assert contents(shared_store / "mixtures") == contents(disk / "mixtures")


@pytest.mark.parametrize("n_writes", [0, 1, 3, 9, 20, 33, 45, 52, 58])
def test_rendering_is_killed_before_any_write_and_goes_on(
    disk: Path, contents, n_writes: int
) -> None:
    corpus = ObjectPath(f"memory://killed-{n_writes}/corpus")
    whole = contents(disk / "corpus")
    with killed_after(n_writes):
        front.render_corpus(disk / "midi", str(corpus), **RENDERED)
    left = contents(corpus)
    for name in left:  # a song whose record is there is whole
        if name.endswith(".songs.parquet"):
            track = Path(name).name.split(".")[0]
            files = {file for file in whole if f"/{track}/" in file}
            assert files
            assert {file: left.get(file) for file in files} == {file: whole[file] for file in files}
    assert all(left[name] == whole[name] for name in left if not name.startswith(".render/"))
    front.render_corpus(disk / "midi", str(corpus), **RENDERED)
    assert contents(corpus) == whole


def test_a_list_that_lags_does_no_harm(
    disk: Path, contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written last is not listed yet, and what was removed still is."""
    corpus = ObjectPath("memory://lagging/corpus")
    with killed_after(30):
        front.render_corpus(disk / "midi", str(corpus), **RENDERED)
    files_below = ObjectPath.files_below

    def lagging(self: ObjectPath) -> Any:
        return [] if self.name == "records" else files_below(self)

    monkeypatch.setattr(ObjectPath, "files_below", lagging)
    monkeypatch.setattr(ObjectPath, "fetch_below", lambda self, folder: None)
    front.render_corpus(disk / "midi", str(corpus), **RENDERED)
    assert contents(corpus) == contents(disk / "corpus")


def test_who_may_not_remove_finishes_all_the_same(
    disk: Path, contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: ObjectPath, but: object = None) -> None:
        raise StoreError(f"{self}: the store refuses access")

    corpus = ObjectPath("memory://no-removal/corpus")
    monkeypatch.setattr(ObjectPath, "remove_below", refused)
    front.render_corpus(disk / "midi", str(corpus), **RENDERED)
    made = {k: v for k, v in contents(corpus).items() if not k.startswith(".render/")}
    assert made == contents(disk / "corpus")


@pytest.mark.parametrize("n_writes", [0, 1, 2, 4, 6, 7])
def test_mixing_is_killed_before_any_write_and_goes_on(
    disk: Path, upload, contents, n_writes: int
) -> None:
    root = ObjectPath(f"memory://killed-mix-{n_writes}")
    upload(disk / "corpus", root / "corpus")
    with killed_after(n_writes):
        front.mix(str(root / "corpus"), str(root / "mixtures"), **MIXED)
    front.mix(str(root / "corpus"), str(root / "mixtures"), **MIXED)
    assert contents(root / "mixtures") == contents(disk / "mixtures")


def killed(command: list[object], is_far_enough: Callable[[], bool]) -> bool:
    """Run a command until something is there, kill it and all it has started; say if it was."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stemsmith.cli.main", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end_s = time.monotonic() + LONG_S
    while process.poll() is None and not is_far_enough() and time.monotonic() < end_s:
        time.sleep(0.02)
    was_running = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


@pytest.mark.skipif(sys.platform == "win32", reason="kills a group of processes")
def test_commands_are_killed_and_go_on(
    disk: Path, shared_store: ObjectPath, contents, stemsmith, trained
) -> None:
    options = (
        "--seed", 3, "--sample-rate", 8000, "--min-notes", 1, "--tail", 0.5, "--splits", "2,1,1",
        "--no-audit", "-q",
    )  # fmt: skip
    corpus, mixtures, run = (shared_store / name for name in ("corpus", "mixtures", "run"))
    render = ["render", disk / "midi", corpus, *options, "--jobs", 1]
    n_interrupted = killed(render, lambda: any((corpus / ".render/records").glob("*.songs.*")))
    done = stemsmith(*render)  # its lease counts no more: the process is dead
    assert done.returncode == 0, done.stderr
    assert contents(corpus) == contents(disk / "corpus")

    mix = [
        "mix", corpus, mixtures, "--target", "bass", "--mixtures", 6, "--validation-mixtures", 2,
        "--test-mixtures", 1, "--clip", 1, "--min-rms", -70, "--audio", "-q", "--jobs", 0,
    ]  # fmt: skip
    n_interrupted += killed(mix, lambda: any(mixtures.glob("mixtures-*")))
    done = stemsmith(*mix)
    assert done.returncode == 0, done.stderr
    assert contents(mixtures) == contents(disk / "mixtures")

    train = [
        "train", mixtures, run, "--target", "bass", "--set", "n_layers=1", "--set", "n_units=4",
        "--set", "segment_frames=20", "--set", "sample_rate=8000", "--batch-size", 2, "--device",
        "cpu", "--logger", "csv", "--epochs", 2, "--resume", "-q",
    ]  # fmt: skip
    n_interrupted += killed(train, lambda: (run / "checkpoints/last.ckpt").exists())
    done = stemsmith(*train)
    assert done.returncode == 0, done.stderr
    assert weights_of(front.open_folder(str(run))) == weights_of(trained)
    assert n_interrupted >= 2
