"""Mixtures that were killed, continued, refused, and checked by `stemsmith validate`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from stemsmith.manifests import shards, storage
from stemsmith.manifests.mixtures import Mixture

N_KILLS = 20
SHORT = ("--clip", 1, "--mixtures", 8, "--jobs", 0, "--audio")
# Four shards, and some seconds of work.
LONG = ("--clip", "0.4", "--mixtures", "1000", "--audio", "--stems", "all")


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, (text, done.stderr)


def assert_what_has_a_name_is_whole(folder: Path, whole: dict[str, bytes]) -> None:
    for path in folder.glob("[!.]*"):
        assert path.read_bytes() == whole[path.name], f"{path.name} looks finished and is not"
    if (folder / shards.MANIFEST).exists():
        assert set(whole) <= {path.name for path in folder.iterdir()}


def killed_and_resumed(corpus: Path, tmp_path: Path, stemsmith, n_kills: int) -> None:
    (tmp_path / "c").symlink_to(corpus)
    start = time.monotonic()
    done = stemsmith("mix", tmp_path / "c", tmp_path / "whole", *LONG, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    longest_s = 1.3 * (time.monotonic() - start)  # as fast as the machine is today
    whole = tree(tmp_path / "whole")
    assert sum(name.endswith(".tar") for name in whole) >= 4
    rng = random.Random(20261121)
    n_interrupted = 0
    for attempt in range(n_kills):
        folder = tmp_path / f"killed{attempt // 4}"  # four kills a folder
        command = [
            sys.executable, "-m", "stemsmith.cli.main", "mix", tmp_path / "c", folder, *LONG,
            "--jobs", str(attempt % 3), "-q",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(rng.uniform(0.6, longest_s))
        n_interrupted += process.poll() is None
        if attempt % 2:
            with contextlib.suppress(ProcessLookupError):  # it was done
                os.killpg(process.pid, signal.SIGKILL)
        else:  # its workers see to themselves
            process.kill()
        process.wait()
        assert_what_has_a_name_is_whole(folder, whole)
        if attempt % 4 == 3:
            done = stemsmith("mix", tmp_path / "c", folder, *LONG, "--jobs", attempt // 4 % 3)
            assert done.returncode == 0, done.stderr
            assert tree(folder) == whole
            assert stemsmith("validate", folder, "--jobs", 0).returncode == 0
    assert n_interrupted


@pytest.mark.slow
def test_killed_at_random_instants_and_resumed(corpus: Path, tmp_path: Path, stemsmith) -> None:
    killed_and_resumed(corpus, tmp_path, stemsmith, N_KILLS)


def test_killed_at_every_step_and_resumed(corpus: Path, tmp_path: Path, here, killed_after) -> None:
    """The process ends at the 1st, 2nd, ... sync or rename, the steps that files appear by."""
    arguments = ("mix", corpus, None, "--clip", 1, "--mixtures", 4, "--jobs", 0, "--audio")

    def mix(folder: Path):
        return here(*(folder if argument is None else argument for argument in arguments))

    (tmp_path / "c").symlink_to(corpus)
    assert mix(tmp_path / "whole").returncode == 0
    whole = tree(tmp_path / "whole")
    for n_steps in range(1000):
        folder = tmp_path / f"m{n_steps}"
        is_done = False
        with killed_after(n_steps):
            is_done = mix(folder).returncode == 0
        if folder.exists():
            assert_what_has_a_name_is_whole(folder, whole)
        assert mix(folder).returncode == 0
        assert tree(folder) == whole
        assert not list(folder.glob(".*"))
        if is_done:
            break
    assert n_steps > 3 * len(whole)  # two syncs and a rename a file


def test_a_finished_folder_is_left_alone(corpus: Path, tmp_path: Path, here) -> None:
    first = here("mix", corpus, tmp_path / "m", *SHORT)
    before = state(tmp_path / "m")
    again = here("mix", corpus, tmp_path / "m", *SHORT)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", first.stdout)
    assert state(tmp_path / "m") == before


@pytest.mark.parametrize(
    "change",
    [
        ("--seed", 1),
        ("--mixtures", 13),
        ("--clip", 1.1),
        ("--target", "bass"),
        ("--stems", "bass"),
        ("--audio-format", "wav"),
        ("--channels", 2),
        ("--taxonomy", "musdb"),
    ],
    ids=lambda change: change[0],
)
def test_another_plan_on_a_folder_is_refused(corpus: Path, tmp_path: Path, here, change) -> None:
    for is_finished in (False, True):
        folder = tmp_path / f"m{is_finished}"
        assert here("mix", corpus, folder, *SHORT).returncode == 0
        if not is_finished:  # as if killed before the manifest
            header = shards.read_manifest(folder, "mixtures")
            (folder / shards.MANIFEST).unlink()
            (folder / ".mix").mkdir()
            plan = json.dumps({"fingerprint": header["fingerprint"]})
            (folder / ".mix" / "plan.json").write_text(plan)
        before = tree(folder)
        done = here("mix", corpus, folder, *SHORT, *change)
        assert_one_line_error(done, 2, str(folder), "other arguments", "choose another folder")
        assert tree(folder) == before
        assert here("mix", corpus, folder, *SHORT).returncode == 0
        assert here("validate", folder, "--jobs", 0).returncode == 0


def test_another_source_on_a_folder_is_refused(
    corpus: Path, musdb: Path, tmp_path: Path, here
) -> None:
    assert here("mix", corpus, tmp_path / "m", *SHORT, "--taxonomy", "musdb").returncode == 0
    for sources in ((f"musdb:{musdb}",), (corpus, f"musdb:{musdb}")):
        done = here("mix", *sources, tmp_path / "m", *SHORT, "--taxonomy", "musdb")
        assert_one_line_error(done, 2, "other input files")


def test_other_files_in_the_destination(corpus: Path, tmp_path: Path, here) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = here("mix", corpus, tmp_path, *SHORT)
    assert_one_line_error(done, 2, f"{tmp_path}: not empty")
    assert tree(tmp_path) == {"thesis.txt": b"precious"}
    done = here("mix", corpus, tmp_path / "thesis.txt", *SHORT)
    assert_one_line_error(done, 2, "thesis.txt: is not a folder")
    (tmp_path / "empty").mkdir()
    assert here("mix", corpus, tmp_path / "empty", *SHORT).returncode == 0


def test_a_plan_that_is_damaged(corpus: Path, tmp_path: Path, here) -> None:
    (tmp_path / "m" / ".mix").mkdir(parents=True)
    for text in ("", "{}", "[]", "{"):
        (tmp_path / "m" / ".mix" / "plan.json").write_text(text)
        assert_one_line_error(here("mix", corpus, tmp_path / "m", *SHORT), 2, "plan.json: damaged")


def test_two_runs_on_one_folder(corpus: Path, tmp_path: Path, here) -> None:
    (tmp_path / "m" / ".mix").mkdir(parents=True)
    with storage.exclusive(tmp_path / "m" / ".mix" / "lock"):
        done = here("mix", corpus, tmp_path / "m", *SHORT)
    assert_one_line_error(done, 2, f"{tmp_path / 'm'}: another run is writing here")
    assert here("mix", corpus, tmp_path / "m", *SHORT).returncode == 0
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0


def test_two_runs_started_together(corpus: Path, tmp_path: Path, here) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stemsmith.cli.main", "mix", corpus, tmp_path / "m",
             *map(str, SHORT)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    errors = [process.communicate(timeout=120)[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    # The second may come while the first writes, or after it.
    assert codes in ([0, 2], [0, 0]), errors
    assert all(e == "" or "another run is writing here" in e for e in errors), errors
    assert here("validate", tmp_path / "m", "--jobs", 0).returncode == 0


def test_no_permission_to_write(corpus: Path, tmp_path: Path, here) -> None:
    (tmp_path / "file").write_text("")
    done = here("mix", corpus, tmp_path / "file" / "m", *SHORT)
    assert_one_line_error(done, 1, str(tmp_path / "file"))
    assert_one_line_error(here("mix", corpus, "/proc/m", *SHORT), 1, "/proc/m")


@pytest.mark.parametrize("n_bytes", [2_000, 60_000], ids=["recipes", "tar"])
def test_a_full_disk_is_one_line_and_can_be_gone_on_from(
    corpus: Path, tmp_path: Path, stemsmith, here, n_bytes: int
) -> None:
    """A limit on the size of files stands in for the full disk: writing fails in the same way."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    done = stemsmith("mix", corpus, tmp_path / "m", *SHORT, preexec_fn=limit)
    assert_one_line_error(done, 1, str(tmp_path / "m"), "File too large")
    assert not list((tmp_path / "m").glob("*.tar"))
    assert not (tmp_path / "m" / shards.MANIFEST).exists()
    assert here("mix", corpus, tmp_path / "m", *SHORT).returncode == 0
    assert here("mix", corpus, tmp_path / "n", *SHORT).returncode == 0
    assert tree(tmp_path / "m") == tree(tmp_path / "n")


@pytest.fixture
def mixed(corpus: Path, make_noise: Callable[..., Path], tmp_path: Path, here) -> Path:
    """Return valid mixtures with audio of a small folder that a test may spoil."""
    for k, name in enumerate(("violin", "piano")):
        for split in ("train", "test"):
            make_noise(tmp_path / "solos" / split / name / "a.wav", 2, seed=2 * k + len(split))
    done = here("mix", f"folder:{tmp_path / 'solos'}", tmp_path / "m", *SHORT, "--mode",
                "incoherent", "--taxonomy", "violin-piano")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tmp_path / "m"


def flip(path: Path, place: float = 0.5) -> Path:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    return path


def spoil_header(folder: Path, change: Callable[[dict], object]) -> Path:
    path = folder / shards.MANIFEST
    header = json.loads(path.read_bytes())
    change(header)
    path.write_text(json.dumps(header))
    return path


def with_link(mixed: Path) -> Path:
    """Add a link to a tar shard, and vouch for it as somebody would who wants it believed."""
    path = mixed / "audio-test-00000.tar"
    with tarfile.open(path, "a:", format=tarfile.USTAR_FORMAT) as tar:
        link = tarfile.TarInfo("test-00000000.extra.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return vouched(path)


def without_end(mixed: Path) -> Path:
    """Leave out the last file of a tar shard, and vouch for it."""
    path = mixed / "audio-test-00000.tar"
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset] + bytes(10240))
    return vouched(path)


def vouched(path: Path) -> Path:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def change(header: dict) -> None:
        (entry,) = [entry for entry in header["audio_shards"] if entry["file"] == path.name]
        entry["sha256"] = sha256

    spoil_header(path.parent, change)
    return path


def without_length(mixed: Path) -> Path:
    """Write a recipe of no samples, and vouch for its shard."""
    path = mixed / "mixtures-test-00000.parquet"
    recipes = shards.read_records(path, Mixture)
    recipes[-1] = dataclasses.replace(recipes[-1], n_samples=0)
    shards.write_records(path, Mixture, recipes)

    def change(header: dict) -> None:
        (entry,) = [entry for entry in header["shards"] if entry["file"] == path.name]
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    spoil_header(mixed, change)
    return path


SPOILED: dict[str, Callable[[Path], Path]] = {
    "recipes": lambda m: flip(m / "mixtures-train-00000.parquet"),
    "tar": lambda m: flip(m / "audio-test-00000.tar"),
    "recipe-without-length": without_length,
    "tar-with-a-link": with_link,
    "tar-without-its-last-file": without_end,
    "tar-end": lambda m: flip(m / "audio-train-00000.tar", 0.9999),
    "stem": lambda m: flip(m.parent / "solos" / "test" / "piano" / "a.wav"),
    "stem-header": lambda m: flip(m.parent / "solos" / "train" / "violin" / "a.wav", 0),
    "manifest": lambda m: flip(m / "manifest.json", 0.001),
    "config": lambda m: spoil_header(m, lambda h: h["config"].update(seed=1)),
    "fingerprint": lambda m: spoil_header(m, lambda h: h.pop("fingerprint")),
    "no-config": lambda m: spoil_header(m, lambda h: h.pop("config")),
    "no-roots": lambda m: spoil_header(m, lambda h: h.pop("roots")),
    "list-of-roots": lambda m: spoil_header(m, lambda h: h.update(roots=["x"])),
    "no-shards": lambda m: spoil_header(m, lambda h: h.pop("shards")),
    "no-audio-shards": lambda m: spoil_header(m, lambda h: h.pop("audio_shards")),
    "odd-audio-shards": lambda m: spoil_header(m, lambda h: h.update(audio_shards=[1])),
}


@pytest.mark.parametrize("what", SPOILED)
def test_validate_names_the_file_that_was_changed(mixed: Path, here, what: str) -> None:
    assert here("validate", mixed, "--jobs", 0).returncode == 0
    path = SPOILED[what](mixed)
    assert_one_line_error(here("validate", mixed, "--jobs", 0), 1, str(path))


@pytest.mark.parametrize(
    "name",
    [
        "m/mixtures-train-00000.parquet",
        "m/audio-train-00000.tar",
        "m/manifest.json",
        "solos/test/violin/a.wav",
        "solos",
    ],
)
def test_validate_names_the_file_that_is_missing(mixed: Path, here, name: str) -> None:
    path = mixed.parent / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_one_line_error(here("validate", mixed, "--jobs", 0), 1, str(path))


def test_validate_in_workers_and_as_json(mixed: Path, stemsmith, here) -> None:
    done = stemsmith("validate", mixed, "--jobs", 1, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == {"mixtures": str(mixed), "n_mixtures": 16, "n_files": 6}
    flip(mixed / "audio-test-00000.tar")
    flip(mixed / "audio-train-00000.tar")
    done = here("validate", mixed, "--jobs", 0)
    assert_one_line_error(done, 1, "audio-test-00000.tar")


def test_validate_finds_what_a_run_has_left(mixed: Path, here) -> None:
    (mixed / ".mix").mkdir()
    assert_one_line_error(here("validate", mixed, "--jobs", 0), 1, ".mix", "repeat the mix command")
    (mixed / "manifest.json").unlink()
    assert_one_line_error(here("validate", mixed, "--jobs", 0), 1, "not a finished")


def test_validate_of_what_is_no_folder(tmp_path: Path, here) -> None:
    assert_one_line_error(here("validate", tmp_path / "no"), 1, "manifest.json: missing")
    (tmp_path / "manifest.json").write_text('{"stage": "songs", "schema_version": 1}')
    assert_one_line_error(here("validate", tmp_path), 1, "corpus or mixtures")


def test_a_flipped_bit_of_the_manifest_is_never_a_traceback(mixed: Path, here) -> None:
    rng = random.Random(7)
    path = mixed / "manifest.json"
    data = path.read_bytes()
    n_seen = 0
    for i in range(0, len(data), 11):
        flipped = bytearray(data)
        flipped[i] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        done = here("validate", mixed, "--jobs", 0)
        assert done.returncode in (0, 1)
        if done.returncode:
            assert_one_line_error(done, 1, str(mixed.parent))
            n_seen += 1
        else:
            assert json.loads(flipped) == json.loads(data), "a changed manifest passes"
    assert n_seen > len(data) / 11 / 2


def test_recipes_alone_can_be_followed_later(corpus: Path, tmp_path: Path, here) -> None:
    """Recipes without audio, realised from the manifest's roots, are the audio of `--audio`."""
    from stemsmith.mixing.audio.realise import realise
    from stemsmith.mixing.mixtures import Mixtures

    options = ("--clip", 1, "--mixtures", 4, "--jobs", 0, "--channels", 2)
    assert here("mix", corpus, tmp_path / "r", *options).returncode == 0
    wav = ("--audio", "--audio-format", "wav", "--stems", "drums")
    assert here("mix", corpus, tmp_path / "a", *options, *wav).returncode == 0
    roots = Mixtures(tmp_path / "r").roots
    for path in sorted((tmp_path / "r").glob("*.parquet")):
        for mixture in shards.read_records(path, Mixture):
            made = realise(mixture, roots)
            tar_path = tmp_path / "a" / f"audio-{mixture.split}-00000.tar"
            for name in ("mixture", "drums"):
                with tarfile.open(tar_path) as tar:
                    file = tar.extractfile(f"{mixture.mixture_id}.{name}.wav")
                    audio = soundfile.read(file, dtype="float32")[0].T
                assert (audio == made[name]).all()
