"""What a user gives to a study, and what rows are called then."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.inputs import read_inputs
from stemsmith.studies.study import read_study

StudyFile = Callable[..., Path]


def test_a_stand_in_is_never_called_what_it_stands_in_for(
    study_file: StudyFile, tmp_path: Path
) -> None:
    study = read_study(study_file(), "tiny")
    without = read_inputs(study, {})
    assert without.filled("on {real}") == "on Other songs"
    assert without.is_there("real")
    assert not without.is_there("separated")
    given = read_inputs(study, {"real": [str(tmp_path)]})
    assert given.filled("on {real}") == "on Real songs"
    assert given.given == {"real": (f"musdb:{tmp_path}",)}


def test_an_input_of_several_data_sets_is_so_many_parts(
    study_file: StudyFile, tmp_path: Path
) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "b" / "x").mkdir(parents=True)
    paths = [f"folder:{tmp_path / name / 'x'}" for name in "ab"]
    inputs = read_inputs(read_study(study_file(), "tiny"), {"real": paths})
    assert inputs.parts("real") == (("x-1", paths[0]), ("x-2", paths[1]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"real": [".", "./../{here}"]}, r"--real \.: given twice"),
        ({"real": ["unknown:."]}, "--real unknown:.: unknown:. is not a folder"),
        ({"reel": ["."]}, "--reel: .* has no such input; it has --midi, --real, --separated"),
        ({"midi": [".", ".."]}, "--midi: takes one path, 2 are given"),
        ({"real": [".", "."]}, r"--real \.: given twice"),
        ({"midi": ["nowhere"]}, "--midi nowhere: is not there"),
        ({"real": ["folder:nowhere"]}, "--real folder:nowhere: nowhere is not a folder"),
    ],
)
def test_what_is_wrong_with_an_input_is_said(
    study_file: StudyFile, given: dict[str, list[str]], said: str
) -> None:
    given = {n: [p.replace("{here}", Path.cwd().name) for p in own] for n, own in given.items()}
    with pytest.raises(UsageError, match=said):
        read_inputs(read_study(study_file(), "tiny"), given)


def test_a_title_that_names_no_input_is_refused(study_file: StudyFile) -> None:
    inputs = read_inputs(read_study(study_file(), "tiny"), {})
    with pytest.raises(UsageError, match=r"'of \{x\}' names an input that is not there"):
        inputs.filled("of {x}")


def test_paths_may_have_colons_and_spaces(study_file: StudyFile, tmp_path: Path) -> None:
    odd = tmp_path / "disk: a" / "my songs"
    odd.mkdir(parents=True)
    study = read_study(study_file(), "tiny")
    for given in (str(odd), f"folder:{odd}", f"stemsmith.x:layout:{odd}"):
        inputs = read_inputs(study, {"real": [given]})
        layout = given.removesuffix(str(odd)) or "musdb:"
        assert inputs.given["real"] == (f"{layout}{odd}",)
        assert inputs.parts("real") == (("my-songs", f"{layout}{odd}"),)
