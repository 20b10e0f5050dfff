"""A run as one file: read as the folder is, without running code of it, or refused on one line."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import stemsmith
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.render.checking import certify_corpus
from stemsmith.share import export_dataset
from stemsmith.train.run import LAST, TrainedRun
from stemsmith.train.run_file import pack_members, read_members_of

torch = pytest.importorskip("torch")
SONG = "corpus/test/Track00003/mix.flac"
Here = Callable[..., CompletedProcess[str]]


@pytest.fixture
def file(workshop: Path) -> Path:
    """Return the run of the workshop as one file."""
    export_dataset("run", "model.ckpt", "checkpoint")
    return workshop / "model.ckpt"


def test_the_file_is_read_as_the_folder_is(file: Path) -> None:
    packed, folder = stemsmith.Run(file), stemsmith.Run("run")
    assert packed.is_file and not folder.is_file
    assert packed.history == folder.history and packed.best == folder.best
    assert packed.settings == folder.settings and packed.targets == folder.targets
    ours, theirs = packed.model().state_dict(), folder.model().state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[n], theirs[n]) for n in ours)
    assert np.array_equal(packed.separate(SONG)["bass"], folder.separate(SONG)["bass"])
    with pytest.raises(InvalidCorpus, match="has the best weights alone, not the last"):
        packed.model(LAST)


def test_separate_evaluate_validate_and_init_take_the_file(file: Path, here: Here) -> None:
    for run, out in (("model.ckpt", "a"), ("run", "b")):
        done = here("separate", run, SONG, out, "--device", "cpu")
        assert done.returncode == 0, done.stderr
    (first,), (second,) = (list(Path(out).rglob("bass.wav")) for out in "ab")
    assert first.read_bytes() == second.read_bytes()
    done = here("evaluate", "run:model.ckpt", "corpus", "r", "--bss", "none", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    done = here("validate", "model.ckpt")
    assert done.returncode == 0, done.stderr
    assert isinstance(stemsmith.open_folder("model.ckpt"), stemsmith.Run)
    fine = stemsmith.train_model(
        "mixtures",
        "fine",
        target="bass",
        settings={"n_layers": 1, "n_units": 4, "segment_frames": 50, "hop": 128, "n_fft": 256},
        epochs=1,
        batch_size=2,
        init=file,
        device="cpu",
    )
    assert fine.config["init"] == TrainedRun(file).weights_hash()


def test_the_same_run_gives_the_same_bytes(file: Path, here: Here) -> None:
    first = file.read_bytes()
    shutil.copytree("run", "elsewhere/run")
    for folder in ("mixtures", "corpus"):
        shutil.copytree(folder, f"elsewhere/{folder}")
    done = here("export", "elsewhere/run", "again.ckpt", "--format", "checkpoint")
    assert done.returncode == 0, done.stderr
    assert "again.ckpt: 0.0 MB, a checkpoint" in done.stdout
    assert Path("again.ckpt").read_bytes() == first
    export_dataset("run", "model.ckpt", "checkpoint")  # it is there, and is the same
    with pytest.raises(UsageError, match=r"model\.ckpt: is there already, and is another file"):
        export_dataset("run", "model.ckpt", "checkpoint", licence="MIT")
    with pytest.raises(UsageError, match="corpus: is a folder; the format checkpoint writes one"):
        export_dataset("run", "corpus", "checkpoint")
    assert not list(Path().glob(".stemsmith*"))


def test_licences_and_provenance_are_inside(workshop: Path) -> None:
    certify_corpus("corpus")
    export_dataset("run", "model.ckpt", "checkpoint", licence="CC-BY-4.0")
    members = read_members_of(workshop / "model.ckpt")
    provenance = json.loads(members["provenance.json"])
    (mixtures,) = provenance["mixtures"]
    assert mixtures["is_found"] and mixtures["used_for"] == ["train", "validation"]
    (source,) = mixtures["sources"]
    certificate = json.loads((workshop / "corpus" / "CERTIFICATE.json").read_text())
    assert source["certificate"] == certificate
    assert source["manifest_sha256"] == certificate["bytes"]["manifest_sha256"]
    assert source["licences"]["scores"] == {"unknown": 3}
    text = members["LICENCES.md"].decode()
    assert "given under CC-BY-4.0" in text and "| unknown | 3 |" in text and "TimGM6mb" in text
    for member in members.values():
        assert str(workshop).encode() not in member and b".." not in members["run.json"]


def test_what_is_not_known_is_said_to_be_unknown(workshop: Path) -> None:
    shutil.rmtree(workshop / "corpus")
    export_dataset("run", "no-corpus.ckpt", "checkpoint")
    members = read_members_of(workshop / "no-corpus.ckpt")
    assert "No licence of these weights is on record" in members["LICENCES.md"].decode()
    assert "its licence is unknown" in members["LICENCES.md"].decode()
    shutil.rmtree(workshop / "mixtures")
    export_dataset("run", "no-mixtures.ckpt", "checkpoint")
    members = read_members_of(workshop / "no-mixtures.ckpt")
    assert "their sources are unknown" in members["LICENCES.md"].decode()
    assert json.loads(members["provenance.json"])["mixtures"][0]["is_found"] is False


def test_a_licence_is_an_spdx_expression(workshop: Path, here: Here) -> None:
    done = here("export", "run", "x.ckpt", "--format", "checkpoint", "--licence", "do what!")
    assert done.returncode == 2 and "not an SPDX licence" in done.stderr
    with pytest.raises(UsageError, match="--licence: has no effect in the format musdb"):
        export_dataset("corpus", "x", "musdb", licence="MIT")


def test_damage_is_one_line(file: Path) -> None:
    whole = file.read_bytes()
    weights = whole.index(b"best.ckpt") + 5000
    for position in (0, 200, weights, len(whole) - 30):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        with pytest.raises(InvalidCorpus, match=r"model\.ckpt: ") as caught:
            TrainedRun(file).model()
        assert "\n" not in str(caught.value)
    for n_bytes in (0, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:n_bytes])
        with pytest.raises(InvalidCorpus, match=r"model\.ckpt: "):
            TrainedRun(file)


def rewritten(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of members in their order, without hashes that hold."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def test_what_is_no_run_is_refused(file: Path) -> None:
    members = read_members_of(file)
    names = ("run.json", "metrics.csv", "LICENCES.md", "provenance.json", "best.ckpt")
    plain = {name: members[name] for name in names}
    for content, problem in (
        (b"no archive", "model.ckpt: is a file"),
        (b"PK\x03\x04", "no file of a run, or damaged"),
        (rewritten({"a": b""}), "not a run that `stemsmith export` wrote"),
        (rewritten({**plain, "SHA256SUMS": b""}), "its members are not those of its SHA256SUMS"),
        (rewritten({**plain, "SHA256SUMS": b""}, zipfile.ZIP_DEFLATED), "compressed members"),
        (pack_members({**plain, "run.json": b"{"}), "cannot be read as JSON"),
        (pack_members({**plain, "run.json": b"{}"}), "not a run of this version"),
        (pack_members({**plain, "metrics.csv": b"\xff"}), "cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(InvalidCorpus, match=problem):
            _ = TrainedRun(file).history
    with pytest.raises(ValueError, match="members"):
        pack_members({"run.json": b""})


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil",)


def test_weights_run_no_code(file: Path, workshop: Path) -> None:
    members = read_members_of(file)
    content = io.BytesIO()
    torch.save({"state_dict": {"model.x": _Evil()}}, content)
    file.write_bytes(pack_members({**members, "best.ckpt": content.getvalue()}))
    with pytest.raises(InvalidCorpus, match=r"best\.ckpt: cannot be read"):
        TrainedRun(file).model()
    assert not (workshop / "evil").exists()


def test_a_kill_leaves_no_half_file(
    workshop: Path, killed_after: Callable[[int], AbstractContextManager[None]]
) -> None:
    with killed_after(0):
        export_dataset("run", "model.ckpt", "checkpoint")
    assert not (workshop / "model.ckpt").exists()
    export_dataset("run", "model.ckpt", "checkpoint")
    assert TrainedRun("model.ckpt").history
