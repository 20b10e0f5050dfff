"""What a folder is, and what messages say of one that was given in place of another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stemsmith.manifests.folder_kinds import FolderKind, kind_of, own_kind, refusal

CORPUS = (FolderKind.CORPUS, FolderKind.RENDITIONS)


@pytest.fixture
def folders(workshop: Path, make_noise) -> Path:
    """Return, and go to, a folder with one of each kind."""
    (workshop / "empty").mkdir()
    (workshop / "other").mkdir()
    (workshop / "other" / "thesis.txt").write_text("x")
    (workshop / "unfinished" / ".render").mkdir(parents=True)
    (workshop / "hollow" / "a" / "b").mkdir(parents=True)
    (workshop / "slakh" / "train" / "Track00001").mkdir(parents=True)
    (workshop / "slakh" / "train" / "Track00001" / "metadata.yaml").write_text("stems: {}\n")
    for song in ("One", "Two"):
        make_noise(workshop / "songs" / song / "bass.wav", seconds=0.1)
    (workshop / "export").mkdir()
    manifest = {"stage": "export", "schema_version": 1, "format": "musdb"}
    (workshop / "export" / "manifest.json").write_text(json.dumps(manifest))
    (workshop / "parent").mkdir()
    for name in ("corpus", "mixtures", "run"):
        shutil.copytree(name, workshop / "parent" / name)
    return workshop


KINDS = {
    "corpus": FolderKind.CORPUS,
    "renditions": FolderKind.RENDITIONS,
    "mixtures": FolderKind.MIXTURES,
    "run": FolderKind.RUN,
    "results": FolderKind.RESULTS,
    "export": FolderKind.EXPORT,
    "unfinished": FolderKind.UNFINISHED,
    "slakh": FolderKind.SLAKH,
    "scores": FolderKind.MIDI,
    "songs": FolderKind.AUDIO,
    "other": FolderKind.OTHER,
    "hollow": FolderKind.OTHER,
    "empty": FolderKind.EMPTY,
    "README.md": FolderKind.FILE,
    "nowhere": FolderKind.MISSING,
}


@pytest.mark.usefixtures("folders")
def test_every_folder_is_known_by_its_content() -> None:
    assert {name: kind_of(Path(name)) for name in KINDS} == KINDS
    own = {name for name in KINDS if own_kind(Path(name)) is not None}
    assert own == {"corpus", "renditions", "mixtures", "run", "results", "export"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"stage": 3}', '{"stage": "x"}', "\x00"])
def test_a_damaged_manifest_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    assert kind_of(tmp_path) is FolderKind.OTHER
    assert own_kind(tmp_path) is None


REFUSALS = {
    ("mixtures", CORPUS): "mixtures: holds mixtures, made of corpus; did you mean that?",
    ("run", CORPUS): "run: holds a trained run, made of corpus; did you mean that?",
    ("run", (FolderKind.MIXTURES,)): (
        "run: holds a trained run, made of mixtures; did you mean that?"
    ),
    ("results", CORPUS): "results: holds results of `evaluate`; expected a corpus",
    ("export", CORPUS): (
        "export: holds an export, not a corpus; where a layout is taken, write it: "
        "musdb:export, ..."
    ),
    ("scores", CORPUS): (
        "scores: holds MIDI files, not a corpus; render them first: stemsmith render scores CORPUS"
    ),
    ("corpus", (FolderKind.MIXTURES,)): (
        "corpus: holds a corpus, not mixtures; mix it first: stemsmith mix corpus MIXTURES"
    ),
    ("mixtures", (FolderKind.RUN,)): (
        "mixtures: holds mixtures, not a trained run; train on them first: "
        "stemsmith train mixtures RUN --target NAME"
    ),
    ("run", (FolderKind.RESULTS,)): (
        "run: holds a trained run, not results of `evaluate`; evaluate it first: "
        "stemsmith evaluate run:run DATASET RESULTS"
    ),
    ("parent", CORPUS): "parent: not a corpus; did you mean parent/corpus?",
    ("parent", (FolderKind.RUN,)): "parent: not a trained run; did you mean parent/run?",
    ("unfinished", CORPUS): (
        "unfinished: not a finished folder; repeat the command that was writing to it"
    ),
    ("parent", (FolderKind.RESULTS,)): (
        "parent: not results of `evaluate`; in it are parent/corpus (a corpus), "
        "parent/mixtures (mixtures), parent/run (a trained run)"
    ),
    ("scores", (FolderKind.CORPUS, FolderKind.RENDITIONS, FolderKind.MIXTURES)): (
        "scores: holds MIDI files, not a corpus or mixtures; render them first: "
        "stemsmith render scores CORPUS"
    ),
    ("empty", CORPUS): "empty: is an empty folder; expected a corpus",
    ("nowhere", CORPUS): "nowhere: is not there; expected a corpus",
    ("README.md", CORPUS): "README.md: is a file; expected a corpus",
}


@pytest.mark.parametrize(("name", "wanted"), REFUSALS, ids=str)
@pytest.mark.usefixtures("folders")
def test_a_refusal_says_what_is_there_and_what_may_be_meant(
    name: str, wanted: tuple[FolderKind, ...]
) -> None:
    assert refusal(Path(name), *wanted) == REFUSALS[name, wanted]


# Each command with a place for a folder; others are given what they want.
COMMANDS = {
    "scan {}": {"MIDI"},
    "render {} new": {"MIDI"},
    "render scores {}": {"corpus"},
    "audit {}": {"corpus"},
    "mix {} new --mixtures 2 --clip 1": {"corpus"},
    "mix folder:{} new": {"audio"},
    "mix corpus {}": {"mixtures"},
    "train {} new --target bass": {"mixtures"},
    "train mixtures new --target bass --init {}": {"run"},
    "train mixtures new --target bass --validation {}": {"mixtures"},
    "runs {}": {"run", "parent"},
    "separate {} corpus/test/Track00003/mix.flac new": {"run"},
    "separate run {} new": {"audio file"},
    "evaluate {} corpus new": {"nothing"},
    "evaluate run:{} corpus new": {"run"},
    "evaluate estimates:{} corpus new": {"audio"},
    "evaluate mixture {} new": {"corpus"},
    "evaluate mixture folder:{} new": {"audio"},
    "gap {} corpus": {"corpus"},
    "compare {}": {"results"},
    "export {} new --format musdb": {"corpus", "mixtures"},
    "validate {}": {"corpus", "mixtures", "results", "run", "export"},
    "certify {}": {"corpus"},
    "pack {} new.json": {"corpus"},
}
TAKEN = {
    "corpus": {"corpus"},
    "renditions": {"corpus"},
    "mixtures": {"mixtures"},
    "run": {"run"},
    "results": {"results"},
    "scores": {"MIDI"},
    "songs": {"audio"},
    "parent": {"parent", "MIDI", "audio"},  # MIDI files and audio lie below it
    "empty": set(),
    "nowhere": set(),
}
SAYS = {
    "corpus": ("holds a corpus",),
    "renditions": ("holds a corpus of renditions",),
    "mixtures": ("holds mixtures",),
    "run": ("holds a trained run", "is a run"),
    "results": ("holds results of `evaluate`",),
    "scores": ("holds MIDI files", "no songs", "no estimates", "no run of"),
    "songs": ("holds audio files", "no run of"),
    "parent": ("did you mean parent/", "in it are parent/corpus (a corpus)", "unknown system"),
    "empty": ("empty", "no songs", "no estimates", "no run of"),
    "nowhere": ("no such folder", "not a folder", "unknown system"),
}
CASES = [
    (command, name)
    for command, taken in COMMANDS.items()
    for name in TAKEN
    if not taken & TAKEN[name]
]


@pytest.mark.parametrize(("command", "name"), CASES, ids=str)
@pytest.mark.usefixtures("folders")
def test_every_command_names_what_it_was_given(command: str, name: str, here) -> None:
    if command.startswith(("train", "separate", "evaluate run", "runs")) or name == "run":
        pytest.importorskip("lightning")
    jobs = () if command.startswith(("runs", "separate", "compare")) else ("--jobs", 0)
    is_destination = command.endswith(" {}") and command.split()[0] in ("render", "mix")
    if is_destination and name in ("empty", "nowhere"):
        return
    done = here(*command.format(name).split(), *jobs)
    assert done.returncode in (1, 2), done.stdout
    *warnings, line = done.stderr.splitlines()
    assert line.startswith("Error: ") and name in line, done.stderr
    assert all("of version 0.1" in warning for warning in warnings)  # of the run of the workshop
    says = SAYS[name]
    if is_destination:
        says = (*says, "not empty and no", "lies in the source")
    if command.startswith("separate run"):
        says = ("is a folder, and no audio", "cannot be read: not there")
    assert any(text in line for text in says), line
