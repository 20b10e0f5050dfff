"""The audit in `render`, and of corpora that are there: ours and published ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from soundfont_maker import write_two_banks
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Defect, DefectKind
from stemsmith.render.checking import audit_corpus
from stemsmith.render.corpus.config import OnDefect, RenderConfig
from stemsmith.render.songs import patched_part
from stemsmith.render.workflow import render_corpus

SMALL = {"band": None, "sample_rate": 16000, "tail_s": 1.0}
FOUND = (Defect(DefectKind.DROPOUT, 10, 90, 5.0),)


@pytest.fixture
def scores(tmp_path: Path, make_song: Callable[..., Path]) -> Path:
    make_song(tmp_path / "scores" / "a.mid", seed=3, ticks_per_note=240)
    return tmp_path / "scores"


def render(scores: Path, **options) -> Corpus:
    return render_corpus(scores, scores.parent / "corpus", **{**SMALL, **options})


def claim(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[int], bool]) -> list[int]:
    """Let the audit find something in the stems of some numbers of calls; return the calls."""
    calls: list[int] = []

    def audit_stem(*_: object) -> tuple[Defect, ...]:
        calls.append(len(calls))
        return FOUND if wrong(calls[-1]) else ()

    monkeypatch.setattr(patched_part, "audit_stem", audit_stem)
    return calls


def test_records_and_manifest_say_what_was_found(scores: Path, monkeypatch) -> None:
    claim(monkeypatch, lambda call: call == 1)
    corpus = render(scores)
    assert [stem.audit for stem in corpus.stem_records()] == [(), FOUND, (), ()]
    assert corpus.header["audit"] == {
        "n_stems": 4, "n_defective": 1, "kinds": {"dropout": {"n_stems": 1, "rate": 0.25}},
    }  # fmt: skip
    assert corpus.header["config"]["on_defect"] == "keep"


def test_without_the_audit_nothing_is_said(scores: Path, monkeypatch) -> None:
    calls = claim(monkeypatch, lambda call: True)
    corpus = render(scores, audit=False)
    assert not calls
    assert {stem.audit for stem in corpus.stem_records()} == {None}
    assert "audit" not in corpus.header


def test_stems_with_defects_are_left_out(scores: Path, monkeypatch) -> None:
    claim(monkeypatch, lambda call: call == 2)
    corpus = render(scores, on_defect="drop")
    assert [stem.stem for stem in corpus.stem_records()] == ["S00", "S01", "S03"]
    track = corpus["Track00001"]
    total = sum(stem.audio for stem in track.stems.values())
    assert np.array_equal(track.mixture, total)


def test_stems_with_defects_are_drawn_again_once(scores: Path, monkeypatch) -> None:
    calls = claim(monkeypatch, lambda call: call < 2)
    corpus = render(scores, on_defect="redraw")
    first, *others = corpus.stem_records()
    assert len(calls) == 5
    assert first.audit == FOUND  # the second patch is no better
    assert all(stem.audit == () for stem in others)
    shutil.rmtree(corpus.root)
    claim(monkeypatch, lambda call: False)
    patches = [stem.patch for stem in render(scores).stem_records()]
    assert first.patch != patches[0]
    assert [stem.patch for stem in others] == patches[1:]


@pytest.mark.parametrize(
    "options",
    [
        {"audit": False, "on_defect": OnDefect.DROP},
        {"on_defect": "redraw", "mix_source": "unsplit", "patch_choice": "program"},
    ],
)
def test_options_that_exclude_each_other(options) -> None:
    with pytest.raises(UsageError, match="--on-defect"):
        RenderConfig(**options)


def test_a_corpus_and_its_copy_without_records_are_audited_alike(scores: Path, here) -> None:
    corpus = render(scores, sample_rate=44100)
    ours = audit_corpus(corpus.root, thorough=True)
    assert [stem.name for stem in ours] == [f"Track00001/S0{k}" for k in range(4)]
    assert [stem.defects for stem in ours] == [()] * 4
    copy = scores.parent / "copy"
    (song,) = corpus.song_records()
    shutil.copytree(corpus.root / song.split, copy)
    bass = copy / "Track00001" / "stems" / "S01.flac"
    audio, rate = soundfile.read(bass)
    audio[:] = 0
    soundfile.write(bass.with_suffix(".wav"), audio, rate)
    bass.unlink()
    done = here("audit", f"slakh:{copy}", "--json", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["n_stems"] == 4
    assert {row["stem"] for row in said["defects"] if row["kind"] == "silent-stem"} == {
        "Track00001/S01"
    }
    done = here("audit", f"slakh:{copy}", "--jobs", 0)
    assert "silent-stem in 1" in done.stdout


def test_a_note_that_is_changed_in_a_file_is_found(scores: Path, here) -> None:
    corpus = render(scores, sample_rate=44100)
    stem = corpus.stem_records()[0]
    path = corpus.root / stem.path
    audio, rate = soundfile.read(path)
    note = len(stem.note_onset) // 2
    later = int(0.01 * rate)  # from this note on, all is 10 ms late
    at = int(stem.note_onset[note])
    audio[at + later :] = audio[at:-later].copy()
    audio[at : at + later] = 0
    soundfile.write(path, audio, rate)
    done = here("audit", corpus.root, "--json", "--jobs", 0)
    rows = json.loads(done.stdout)["defects"]
    late = [row for row in rows if row["kind"] == "late-onset"]
    assert {row["stem"] for row in rows} == {"Track00001/S00"}
    assert late
    assert late[0]["size"] == pytest.approx(10, abs=0.5)
    assert min(row["start_s"] for row in rows) == pytest.approx(at / rate, abs=0.03)


def test_stems_are_checked_with_what_they_were_rendered_with_and_nothing_else(
    scores: Path, tmp_path: Path, here
) -> None:
    corpus = render(scores)
    font = write_two_banks(tmp_path / "other.sf2", 0)
    done = here("audit", corpus.root, "--soundfont", font)
    assert (done.returncode, done.stdout) == (2, "")
    assert "other soundfonts or patches than these" in done.stderr
    done = here("audit", f"slakh:{corpus.root}", "--soundfont", font)
    assert done.returncode == 2
    assert "leave them out" in done.stderr
    shutil.rmtree(corpus.root)
    corpus = render(scores, soundfonts=[font], render_omitted=True)
    done = here("audit", corpus.root, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "name the soundfonts" in done.stderr
    done = here("audit", corpus.root, "--soundfont", font, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "name the soundfonts" not in done.stderr


def test_a_folder_without_tracks_is_named(tmp_path: Path, here) -> None:
    done = here("audit", f"slakh:{tmp_path}")
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    (tmp_path / "metadata.yaml").write_text("a: [")
    done = here("audit", f"slakh:{tmp_path}")
    assert done.returncode == 2
    assert "metadata.yaml" in done.stderr


def test_published_stems_are_read(shared: Path) -> None:
    folder = shared / "audio" / "babyslakh"
    if not folder.is_dir():
        pytest.skip("needs BabySlakh")
    stems = audit_corpus(f"slakh:{folder}")
    assert len(stems) == 20
    assert {stem.sample_rate for stem in stems} == {16000, 44100}
