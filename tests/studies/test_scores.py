"""Which scores a corpus of a study has."""

import hashlib
from pathlib import Path

import pytest
from stemsmith.manifests.errors import NothingToDo
from stemsmith.studies.scores import bundled_scores, copy_part


def _contents(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_parts_share_no_score_and_miss_none(scores: Path, tmp_path: Path) -> None:
    shares = [(0.0, 0.3), (0.3, 0.55), (0.55, 1.0)]
    parts = []
    for number, share in enumerate(shares):
        n_copied = copy_part(scores, share, tmp_path / str(number))
        parts.append(_contents(tmp_path / str(number)))
        assert n_copied == len(parts[-1])
    assert sum(map(len, parts)) == 5
    assert set.union(*parts) == _contents(scores)


def test_parts_depend_on_contents_alone(scores: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    for number, path in enumerate(sorted(scores.iterdir(), reverse=True)):
        (renamed / str(number)).mkdir(parents=True)
        (renamed / str(number) / "a.MID").write_bytes(path.read_bytes())
        (renamed / str(number) / "copy.mid").write_bytes(path.read_bytes())
        (renamed / str(number) / "note.txt").write_text("no score")
    copy_part(scores, (0.2, 0.6), tmp_path / "a")
    copy_part(renamed, (0.2, 0.6), tmp_path / "b")
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_a_folder_is_made_anew(scores: Path, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "left.mid").write_bytes(b"of a run that was killed")
    copy_part(scores, (0.0, 0.2), tmp_path / "part")
    assert len(list((tmp_path / "part").iterdir())) == 1


def test_bundled_scores_are_chosen_by_name(tmp_path: Path) -> None:
    assert copy_part(bundled_scores(), (0.0, 1.0), tmp_path / "a", ["chorale_*"]) == 4
    assert copy_part(bundled_scores(), (0.0, 0.5), tmp_path / "b", ["band_0[12]*", "x"]) == 1


def test_an_empty_part_is_refused(scores: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match=r"of its 5 MIDI files none is in the part 0 to 0\.05"):
        copy_part(scores, (0.0, 0.05), tmp_path / "part")
    assert not (tmp_path / "part").exists()
