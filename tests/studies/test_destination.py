"""The folder of a study."""

import json
from pathlib import Path

import pytest
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.studies.destination import STUDY, StudyDestination
from stemsmith.studies.stages import StageKind, StudyStage

STAGE = StudyStage(kind=StageKind.SCORES, name="all", work={"part": [0, 1]})


def _filled(root: Path) -> StudyDestination:
    destination = StudyDestination(root, "title", "tiny")
    with destination.opened():
        (root / STAGE.id).mkdir(parents=True)
        destination.record(STAGE, "abc", 1.234, {"bank.yaml": "1"})
    return destination


def test_what_is_done_is_remembered(tmp_path: Path) -> None:
    _filled(tmp_path / "study")
    again = StudyDestination(tmp_path / "study", "title", "tiny")
    assert again.is_done(STAGE)
    assert again.seconds_of([STAGE]) == {"scores/all": 1.23}
    again.check({"scores/all": "abc", "corpora/new": "x"}, {"scores/all": {"bank.yaml": "1"}})
    (tmp_path / "study" / STAGE.id).rmdir()
    assert not again.is_done(STAGE)


def test_what_was_made_of_other_declarations_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scores/all: was made of other declarations"):
        _filled(tmp_path / "study").check({"scores/all": "other"}, {"scores/all": {}})


@pytest.mark.parametrize("files", [{}, {"bank.yaml": "2"}])
def test_what_was_made_with_another_file_is_named(tmp_path: Path, files: dict[str, str]) -> None:
    destination = _filled(tmp_path / "study")
    with pytest.raises(UsageError, match=r"scores/all: was made with another bank\.yaml; remove"):
        destination.check({"scores/all": "abc"}, {"scores/all": files})


def test_a_folder_that_was_removed_may_be_made_of_something_else(tmp_path: Path) -> None:
    destination = _filled(tmp_path / "study")
    (tmp_path / "study" / STAGE.id).rmdir()
    destination.check({"scores/all": "other"}, {"scores/all": {}})


def test_a_record_without_files_is_as_good_as_before(tmp_path: Path) -> None:
    destination = StudyDestination(tmp_path / "study", "title", "tiny")
    with destination.opened():
        (tmp_path / "study" / STAGE.id).mkdir(parents=True)
        destination.record(STAGE, "abc", 1.0, {})
    assert "files" not in (tmp_path / "study" / STUDY).read_text()
    destination.check({"scores/all": "abc"}, {"scores/all": {"bank.yaml": "1"}})


def test_a_folder_of_another_size_or_of_something_else_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path / "study")
    with pytest.raises(UsageError, match="holds this study at size tiny"):
        StudyDestination(tmp_path / "study", "title", "small")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "file").touch()
    with pytest.raises(UsageError, match="not empty and no study"):
        StudyDestination(tmp_path / "else", "title", "tiny")


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', '{"version": "1", "stages": {}}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / STUDY).write_text(content)
    with pytest.raises(InvalidCorpus, match=STUDY):
        StudyDestination(tmp_path, "title", "tiny")


def test_a_record_of_a_later_version_is_refused(tmp_path: Path) -> None:
    _filled(tmp_path / "study")
    record = tmp_path / "study" / STUDY
    record.write_text(json.dumps({**json.loads(record.read_text()), "version": 2}))
    with pytest.raises(InvalidCorpus, match="of version 2, not 1"):
        StudyDestination(tmp_path / "study", "title", "tiny")


def test_two_processes_do_not_fill_one_folder(tmp_path: Path) -> None:
    one, two = (StudyDestination(tmp_path / "study", "title", "tiny") for _ in range(2))
    with one.opened(), pytest.raises(UsageError), two.opened():
        pass
