"""Same bytes, whatever the number of workers and however often the run is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stemsmith.manifests import storage
from stemsmith.render.songs import mixdown

N_KILLS = 20


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): storage.file_hash(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_bytes_for_any_number_of_workers(
    corpus: Path, band_folder: Path, tmp_path: Path, here
) -> None:
    for n_jobs in (1, 2):
        again = tmp_path / f"c{n_jobs}"
        done = here("render", band_folder, again, "--seed", 3, "--jobs", n_jobs)
        assert done.returncode == 0, done.stderr
        assert hashes(again) == hashes(corpus)


def test_stems_that_wait_on_disk_for_the_second_pass_are_the_same(
    corpus: Path, band_folder: Path, tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens to long songs of many parts."""
    monkeypatch.setattr(mixdown, "_MAX_BYTES_IN_MEMORY", 0)
    again = tmp_path / "again"
    done = here("render", band_folder, again, "--seed", 3, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert hashes(again) == hashes(corpus)


def test_file_names_and_other_songs_do_not_change_a_song(
    corpus: Path, band_folder: Path, tmp_path: Path, here
) -> None:
    (tmp_path / "midi").mkdir()
    source = band_folder / "album0" / "song2.mid"
    (tmp_path / "midi" / "renamed.mid").write_bytes(source.read_bytes())
    done = here("render", tmp_path / "midi", tmp_path / "c", "--seed", 3, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    (alone,) = tmp_path.glob("c/*/Track*")
    (among,) = (
        p.parent for p in corpus.glob("*/*/all_src.mid") if p.read_bytes() == source.read_bytes()
    )
    ours, theirs = hashes(alone), hashes(among)
    ours.pop("metadata.yaml"), theirs.pop("metadata.yaml")  # it names the source file
    assert ours == theirs


def finished(corpus: Path) -> dict[Path, int]:
    """Return the modification times of everything in published track folders."""
    return {p: p.stat().st_mtime_ns for p in corpus.glob("*/Track*/**/*")}


@pytest.mark.slow
def test_killed_at_random_instants_and_resumed(tmp_path: Path, make_song, stemsmith) -> None:
    midi = tmp_path / "midi"
    for k in range(24):
        make_song(midi / f"{k}.mid", n_notes=200, seed=k)
    (midi / "broken.mid").write_bytes(b"MThd")
    arguments = ("render", midi, tmp_path / "whole", "--seed", 1, "--no-band", "--jobs", 0)
    assert stemsmith(*arguments).returncode == 0
    whole = hashes(tmp_path / "whole")

    rng = random.Random(20261121)
    n_interrupted = 0
    for attempt in range(N_KILLS):
        corpus = tmp_path / f"killed{attempt // 5}"  # five kills a corpus
        before = finished(corpus)
        command = [
            sys.executable, "-m", "stemsmith.cli.main", "render", midi, corpus,
            "--seed", "1", "--no-band", "-q", "--jobs", str(attempt % 3),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(rng.uniform(0.4, 3.0))
        n_interrupted += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = finished(corpus)
        assert {p: after[p] for p in before} == before
        if attempt % 5 == 4:
            done = stemsmith("render", midi, corpus, "--seed", 1, "--no-band", "--jobs", 1)
            assert done.returncode == 0, done.stderr
            assert {p: finished(corpus)[p] for p in after} == after
            assert hashes(corpus) == whole
            assert stemsmith("validate", corpus, "--jobs", 0).returncode == 0
    assert n_interrupted >= N_KILLS // 2


def test_a_finished_corpus_is_left_alone(
    corpus: Path, band_folder: Path, tmp_path: Path, here
) -> None:
    before = {p: p.stat().st_mtime_ns for p in corpus.rglob("*")}
    done = here("render", band_folder, corpus, "--seed", 3, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in corpus.rglob("*")} == before


@pytest.mark.parametrize(
    "change",
    [("--seed", 4), ("--seed", 3, "--tail", 4), ("--seed", 3, "--no-band")],
    ids=["seed", "tail", "band"],
)
def test_other_arguments_on_an_existing_corpus_are_refused(
    corpus: Path, band_folder: Path, change, here
) -> None:
    before = hashes(corpus)
    done = here("render", band_folder, corpus, *change, "--jobs", 0)
    assert done.returncode == 2
    assert "other arguments" in done.stderr
    assert done.stderr.count("\n") == 1
    assert hashes(corpus) == before


def test_a_folder_of_other_files_is_refused(band_folder: Path, tmp_path: Path, here) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = here("render", band_folder, tmp_path, "--jobs", 0)
    assert done.returncode == 2
    assert f"{tmp_path}: not empty" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_do_not_write_one_corpus(
    band_folder: Path, tmp_path: Path, stemsmith, make_song
) -> None:
    from stemsmith.render.corpus.layout import Layout

    layout = Layout(tmp_path / "c")
    layout.run.mkdir(parents=True)
    with storage.exclusive(layout.run / "lock"):
        done = stemsmith("render", band_folder, tmp_path / "c", "--jobs", 0)
    assert done.returncode == 2
    assert "another run is writing here" in done.stderr
    assert stemsmith("render", band_folder, tmp_path / "c", "--jobs", 0).returncode == 0
