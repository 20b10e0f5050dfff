"""Files that a study names."""

from pathlib import Path

from stemsmith.studies.files import beside, hashes_of_files
from stemsmith.studies.stages import StageKind, StudyStage


def test_files_are_found_beside_the_study(tmp_path: Path) -> None:
    assert beside("own.toml", tmp_path) == str(tmp_path / "own.toml")
    assert beside("/else/own.yaml", tmp_path) == "/else/own.yaml"
    assert beside("musdb", tmp_path) == "musdb"
    assert beside(3, tmp_path) == 3


def test_what_files_hold_decides_a_stage(tmp_path: Path) -> None:
    work = {
        "options": {"taxonomy": "own.toml", "mode": "coherent", "hours": 2},
        "bank": "bank.yaml",
        "fold": {"artists": str(tmp_path / "artists.tsv")},
    }
    stage = StudyStage(kind=StageKind.MIXTURES, name="some", work=work)
    assert hashes_of_files(stage, tmp_path) == {}
    for name in ("own.toml", "bank.yaml", "artists.tsv"):
        (tmp_path / name).write_text(name)
    before = hashes_of_files(stage, tmp_path)
    assert set(before) == {"own.toml", "bank.yaml", str(tmp_path / "artists.tsv")}
    (tmp_path / "own.toml").write_text("other")
    after = hashes_of_files(stage, tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["own.toml"]


def test_stages_without_files_have_none(tmp_path: Path) -> None:
    work = {"options": {"targets": ["a.toml"]}, "fold": None, "bank": None}
    stage = StudyStage(kind=StageKind.RESULTS, name="some", work=work)
    assert hashes_of_files(stage, tmp_path) == {}


def test_the_artists_of_a_gap_decide_it(tmp_path: Path) -> None:
    table = tmp_path / "artists.tsv"
    table.touch()
    stage = StudyStage(kind=StageKind.GAP, name="some", work={"artists": str(table)})
    assert set(hashes_of_files(stage, tmp_path)) == {str(table)}
