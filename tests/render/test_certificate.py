"""Certificates: the same for the same corpus, and no longer valid for other bytes."""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mido
import pytest
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.records import Defect, DefectKind, Reason
from stemsmith.render.certificate import JSON, MARKDOWN, make_certificate
from stemsmith.render.checking import certify_corpus, validate_corpus
from stemsmith.render.corpus.config import Splits
from stemsmith.render.workflow import render_corpus, render_renditions

SMALL: dict[str, Any] = {"band": None, "sample_rate": 8000, "tail_s": 0.5}


def transpose(source: Path, path: Path, semitones: int, n_parts: int) -> None:
    """Write a copy in another key and tempo, with some of the parts in another order."""
    file = mido.MidiFile(source)
    for track in file.tracks:
        for message in track:
            message.time = round(message.time * 1.25)
            if message.type in ("note_on", "note_off"):
                message.note += semitones
            elif message.type == "program_change":
                message.program = 73
    file.tracks = [file.tracks[0], *reversed(file.tracks[1 : 1 + n_parts])]
    file.save(path)


@pytest.fixture
def scores(tmp_path: Path, make_song: Callable[..., Path]) -> Path:
    """Return two songs of 4 s, one of them again in another key, and the licence of two."""
    folder = tmp_path / "scores"
    parts = ((0, 0), (33, 1), (40, 2))
    make_song(folder / "a.mid", parts, seed=1)
    make_song(folder / "free" / "b.mid", parts, seed=2)
    transpose(folder / "a.mid", folder / "free" / "copy|of a.mid", semitones=5, n_parts=2)
    (folder / "licences.tsv").write_text("free\tCC0-1.0\n", "utf-8")
    return folder


@pytest.fixture
def corpus_with_a_leak(scores: Path, tmp_path: Path) -> Corpus:
    """Return a corpus in which a song and its copy lie in two splits."""
    splits = Splits.parse("1,1,1")
    return render_corpus(scores, tmp_path / "c", splits=splits, near_duplicates=False, **SMALL)


def certificate_files(root: Path) -> tuple[bytes, bytes]:
    return (root / JSON).read_bytes(), (root / MARKDOWN).read_bytes()


def test_a_copy_of_a_corpus_has_the_same_certificate(
    corpus_with_a_leak: Corpus, tmp_path: Path
) -> None:
    root = corpus_with_a_leak.root
    made = certify_corpus(root)
    files = certificate_files(root)
    assert json.loads(files[0]) == made.content
    assert certify_corpus(root).content == made.content
    assert certificate_files(root) == files
    shutil.copytree(root, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("CERTIFICATE*"))
    certify_corpus(tmp_path / "elsewhere")
    assert certificate_files(tmp_path / "elsewhere") == files
    for text in (str(tmp_path), platform.node(), getpass.getuser()):
        assert text.encode() not in b"".join(files)


def test_its_bytes_are_all_files_of_the_corpus(corpus_with_a_leak: Corpus) -> None:
    root = corpus_with_a_leak.root
    files = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    listing = [
        f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in files
    ]
    certified = certify_corpus(root).content["bytes"]
    assert certified["n_files"] == len(files)
    assert certified["files_sha256"] == hashlib.sha256("".join(listing).encode()).hexdigest()
    assert certified["n_bytes"] == sum((root / name).stat().st_size for name in files)


def test_near_duplicates_in_two_splits_are_listed(corpus_with_a_leak: Corpus) -> None:
    made = certify_corpus(corpus_with_a_leak.root)
    (leak,) = made.leaks
    assert {song["source"] for song in leak["songs"]} == {"a.mid", "free/copy|of a.mid"}
    assert leak["contained"] == pytest.approx(1, abs=0.15)
    found = {row["check"]: (row["n_checked"], row["n_found"]) for row in made.content["checks"]}
    assert found["near duplicates in one split"] == (3, 1)
    assert "(free/copy\\|of a.mid)" in made.markdown


def test_near_duplicates_in_one_split_are_no_leak(scores: Path, tmp_path: Path) -> None:
    for seed in range(8):
        corpus = render_corpus(scores, tmp_path / str(seed), seed=seed, n_songs=3, **SMALL)
        made = certify_corpus(corpus.root)
        assert made.leaks == []
        assert made.content["leaks"]["n_pairs"] == 1
        groups = [song.duplicate_group for song in corpus.song_records()]
        assert len(set(groups)) == 2
        assert corpus.header["n_duplicates_grouped"] == 2


def test_licences_are_counted(corpus_with_a_leak: Corpus) -> None:
    licences = {song.source: song.licence for song in corpus_with_a_leak.song_records()}
    assert licences == {"a.mid": None, "free/b.mid": "CC0-1.0", "free/copy|of a.mid": "CC0-1.0"}
    content = certify_corpus(corpus_with_a_leak.root).content
    assert content["licences"]["scores"] == {"CC0-1.0": 2, "unknown": 1}
    (font,) = content["licences"]["soundfonts"]
    assert font["sha256"]


def test_songs_of_other_licences_are_left_out_by_name(scores: Path, tmp_path: Path) -> None:
    corpus = render_corpus(scores, tmp_path / "c", licence_ok=["CC0-1.0"], **SMALL)
    (rejection,) = corpus.rejection_records()
    assert (rejection.id, rejection.reason) == ("a.mid", Reason.LICENCE)
    assert {song.licence for song in corpus.song_records()} == {"CC0-1.0"}


def test_validate_says_when_the_bytes_are_others(corpus_with_a_leak: Corpus) -> None:
    root = corpus_with_a_leak.root
    certify_corpus(root)
    validate_corpus(root)
    stem = sorted(root.glob("*/*/stems/*.flac"))[0]
    sound = stem.read_bytes()
    stem.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(InvalidCorpus, match=r"no longer the bytes of CERTIFICATE\.json") as caught:
        validate_corpus(root)
    assert str(stem) in str(caught.value)
    with pytest.raises(InvalidCorpus, match="SHA-256 is not the recorded one"):
        certify_corpus(root)
    stem.write_bytes(sound)
    validate_corpus(root)
    manifest = root / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(InvalidCorpus, match="no longer those that were certified"):
        validate_corpus(root)
    certify_corpus(root)
    validate_corpus(root)


def test_validate_says_when_the_certificate_is_damaged(corpus_with_a_leak: Corpus) -> None:
    root = corpus_with_a_leak.root
    certify_corpus(root)
    (root / MARKDOWN).write_text("all is well")
    with pytest.raises(InvalidCorpus, match=r"CERTIFICATE\.md: not what CERTIFICATE\.json says"):
        validate_corpus(root)
    for damage in (b"", b"[]", b"{}", b'{"bytes": {"manifest_sha256": 3}}', b"\xff"):
        (root / JSON).write_bytes(damage)
        with pytest.raises(InvalidCorpus, match=r"CERTIFICATE\.json: cannot be read"):
            validate_corpus(root)
    (root / JSON).unlink()
    with pytest.raises(InvalidCorpus, match=r"CERTIFICATE\.json is missing"):
        validate_corpus(root)
    (root / MARKDOWN).unlink()
    validate_corpus(root)


def test_a_certified_corpus_is_the_finished_run_it_was(scores: Path, tmp_path: Path) -> None:
    corpus = render_corpus(scores, tmp_path / "c", **SMALL)
    certify_corpus(corpus.root)
    render_corpus(scores, tmp_path / "c", **SMALL)
    validate_corpus(corpus.root)


def test_a_corpus_of_renditions_is_certified(scores: Path, tmp_path: Path) -> None:
    corpus = render_renditions(
        scores, tmp_path / "r", n_renditions=2, shifts_s=(0.0, 0.1), headroom_db=36, **SMALL
    )
    content = certify_corpus(corpus.root).content
    assert content["corpus"]["kind"] == "renditions"
    assert content["corpus"]["n_renditions"] == 6
    assert content["licences"]["scores"] == {"CC0-1.0": 2, "unknown": 1}
    assert (content["leaks"]["n_pairs"], content["leaks"]["across_splits"]) == (1, [])
    root = corpus.root
    files = [p for p in root.rglob("*") if p.is_file() and "CERTIFICATE" not in p.name]
    assert content["bytes"]["n_files"] == len(files)
    validate_corpus(root)
    score = sorted(root.glob("scores/*.mid"))[0]
    score.write_bytes(score.read_bytes() + b"\0")
    with pytest.raises(InvalidCorpus, match=r"no longer the bytes of CERTIFICATE\.json"):
        validate_corpus(root)


class _Audited(Corpus):
    """A corpus in which every stem has been audited, with two findings in each S01."""

    def iter_stems(self) -> Iterator[Any]:
        found = (
            Defect(DefectKind.DROPOUT, 0, 80, 10.0),
            Defect(DefectKind.DROPOUT, 400, 480, 10.0),
        )
        for stem in super().iter_stems():
            yield dataclasses.replace(stem, audit=found if stem.stem == "S01" else ())


def test_what_the_audit_found_is_certified(corpus_with_a_leak: Corpus) -> None:
    made = make_certificate(_Audited(corpus_with_a_leak.root), [])
    n_stems = corpus_with_a_leak.stems.num_rows
    assert made.content["audit"] == {
        "n_stems": n_stems,
        "n_defective": 3,
        "n_stems_by_kind": {"dropout": 3},
        "n_defects_by_kind": {"dropout": 6},
    }
    assert "| dropout | 3 | 6 |" in made.markdown


def test_the_commands(scores: Path, tmp_path: Path, here: Callable[..., Any]) -> None:
    options = ("--no-band", "--sample-rate", 8000, "--jobs", 0)
    apart = (*options, "--splits", "1,1,1", "--no-near-duplicates", "--licence", "CC-BY-4.0")
    done = here("render", scores, tmp_path / "c", *apart)
    assert done.returncode == 0, done.stderr
    done = here("certify", tmp_path / "c", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "1 pairs of nearly the same music in two splits, 0 scores of unknown" in done.stdout
    assert here("validate", tmp_path / "c", "--jobs", 0).returncode == 0
    done = here("render", scores, tmp_path / "d", *options, "--licence-ok", "CC-BY-4.0,MIT")
    assert done.returncode == 1
    assert "3 licence; loosen --licence-ok, or say what the licences are" in done.stderr
    done = here("scan", scores, "--no-band", "--json", "--jobs", 0, "--licence-ok", "CC0-1.0")
    summary = json.loads(done.stdout)
    assert summary["fitting"] == ["free/b.mid", "free/copy|of a.mid"]
    assert [song["licence"] for song in summary["songs"]] == [None, "CC0-1.0", "CC0-1.0"]
    config = tmp_path / "options.toml"
    config.write_text('near-duplicates = false\nlicence-ok = ["CC0-1.0", "MIT"]\n')
    done = here("scan", scores, "--no-band", "--json", "--jobs", 0, "--config", config)
    assert json.loads(done.stdout)["n_duplicates_grouped"] == 0
