"""Reading the file of a study."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.study import read_study

StudyFile = Callable[..., Path]


def test_a_study_is_read(study_file: StudyFile) -> None:
    study = read_study(study_file(), "tiny")
    assert study.mixtures["many"].mix == {**study.mixtures["few"].mix, "n_mixtures": 8}
    assert study.mixtures["many"].sources == ("songs",)
    assert study.rows["again"].targets == ("bass",)
    assert study.targets_of(study.rows["mixture"]) == ("bass", "drums")
    assert study.tables[0].printed == {"few": {"bass": (1.25, 2), "real.drums": (3, 4)}}
    assert study.tables[1].printed == {"few": {"bass": (-1,)}}
    assert read_study(study.path, "small").mixtures["few"].mix["n_mixtures"] == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "A study"\n', "", "title is missing"),
        ('title = "A study"', 'title = "A study"\nbudget = 3', "unknown key 'budget'"),
        ("[mixtures.few]", "[mixtures]\nx = 3\n[mixtures.few]", "mixtures.x is not a table"),
        ('sources = ["songs"]', 'sources = "songs"', "mixtures.few.sources is not a list"),
        ('sources = ["songs"]', 'sources = ["song"]', "mixtures.few.sources: 'song' is not there"),
        ('like = "songs"', 'like = "others"', "corpora.others.like: leads back to itself"),
        ('like = "songs"', 'like = "nothing"', "corpora.others.like: 'nothing' is not there"),
        ("part = [0.0, 0.6]", "part = [0.6, 0.6]", "corpora.songs.part: two shares from 0 to 1"),
        ('kind = "scores"', 'kind = "score"', "inputs.midi.kind: 'score' is not there"),
        ('model = "blstm"\ntrain', 'model = "umx"\ntrain', "rows.few.model: 'umx' is not there"),
        ('system = "mixture"', "", "rows.mixture: needs train and model, or a system, or estim"),
        ('estimates = "separated"', 'estimates = "x"', "rows.others.estimates: 'x' is not there"),
        ('statistic = "windows"', 'statistic = "mode"', "tables.bss.statistic: 'mode' is not"),
        ("bass = [1.25, 2]", "bass = 1.25", "tables.bss.printed.few.bass: a number for each"),
        ("bass = [1.25, 2]", 'bass = ["a", 2]', "tables.bss.printed.few.bass: a number for each"),
        ('dataset = "real"', 'dataset = "unreal"', "tests.real.dataset: 'unreal' is not there"),
        ('title = "few of {midi}"', "titel = 3", "rows.few.titel: unknown; known: like, title"),
        ('targets = ["bass", "drums"]', "targets = []", "targets: at least one"),
        ("[rows.again]", '[rows."../again"]', "rows.'../again': not a name"),
        ("[tables.bss]", '[tables."a/b"]', "tables.'a/b': not a name"),
        ("[corpora.songs]", '[corpora.songs]\naligned = "songs"', "corpora.songs.aligned: leads"),
        ("[corpora.others]", '[corpora.others]\naligned = "real"', "corpora.others.aligned: leads"),
        ('title = "few of {midi}"', 'title = "x"\ninit = "again"', "rows.few.init: leads back"),
    ],
)
def test_errors_name_the_file_and_the_place(
    study_file: StudyFile, old: str, new: str, said: str
) -> None:
    path = study_file((old, new))
    with pytest.raises(UsageError) as refused:
        read_study(path, "tiny")
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fold", "said"),
    [
        ("count = 0", "folds.half.count: 0; at least 2"),
        ("count = -1", "folds.half.count: -1; at least 2"),
        ('count = 2\nby = "artist"', "folds.half.artists: missing; by artist needs it"),
    ],
)
def test_folds_that_leave_nothing_out_are_refused(
    study_file: StudyFile, fold: str, said: str
) -> None:
    path = study_file(more=f'\n[folds.half]\nof = "songs"\n{fold}\n')
    with pytest.raises(UsageError) as refused:
        read_study(path, "tiny")
    assert said in str(refused.value)
