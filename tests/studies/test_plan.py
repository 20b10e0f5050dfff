"""What a plan shares, and what it leaves out."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.studies.stages import fingerprints
from stemsmith.studies.workflow import plan_study

StudyFile = Callable[..., Path]


def _kinds(plan: object, kind: str) -> list[str]:
    return [stage.name for stage in plan.stages if stage.kind == kind]  # type: ignore[attr-defined]


def test_what_is_the_same_is_done_once(study_file: StudyFile) -> None:
    plan = plan_study(study_file(), "tiny")
    assert _kinds(plan, "runs") == ["few-bass-s1"]
    assert _kinds(plan, "results") == ["real/mixture", "real/few-s1"]
    cells = {cell.row: cell.results for cell in plan.cells}
    assert cells["few"] == cells["again"]
    assert plan.left_out == ("row others: needs --separated",)


def test_rows_that_differ_in_evaluation_share_their_training(study_file: StudyFile) -> None:
    changed = 'title = "the same for {real}"\nevaluate = { mask_exponent = 2 }'
    plan = plan_study(study_file(('title = "the same for {real}"', changed)), "tiny", seeds=2)
    assert _kinds(plan, "runs") == ["few-bass-s1", "few-bass-s2"]
    options = {s.name: s.work["options"] for s in plan.stages if s.kind == "results"}
    assert options["real/again-s1"] == {**options["real/few-s1"], "mask_exponent": 2}


def test_no_stage_stands_before_what_it_needs(study_file: StudyFile) -> None:
    plan = plan_study(study_file(), "tiny", seeds=3)
    done: set[str] = set()
    for stage in plan.stages:
        assert set(stage.needs) <= done
        done.add(stage.id)
    rounds = [s.name.rpartition("-")[2] for s in plan.stages if s.kind == "runs"]
    assert rounds == ["s1", "s2", "s3"]


def test_a_hash_tells_of_all_that_a_stage_is_made_of(study_file: StudyFile) -> None:
    before = fingerprints(plan_study(study_file(), "tiny").stages)
    after = fingerprints(plan_study(study_file(("seed = 1", "seed = 5")), "tiny").stages)
    same = {stage for stage in before if before[stage] == after[stage]}
    # Not of the songs that are tested, and of what is called for them alone.
    assert same == {stage for stage in before if "others" in stage or "mixture" in stage} - {
        "mixtures/few"
    } | {stage for stage in before if stage.startswith("scores")}


def test_songs_are_chosen_of_a_data_set_that_was_given_alone(
    study_file: StudyFile, tmp_path: Path
) -> None:
    given = plan_study(study_file(), "tiny", inputs={"real": tmp_path})
    options = [s.work["options"] for s in given.stages if s.kind == "results"]
    assert all(of_stage["songs"] == ["One", "Two"] for of_stage in options)
    without = plan_study(study_file(), "tiny")
    assert not any("songs" in s.work["options"] for s in without.stages if s.kind == "results")


def test_estimates_are_a_row_where_they_are_given(study_file: StudyFile, tmp_path: Path) -> None:
    plan = plan_study(study_file(), "tiny", inputs={"separated": tmp_path})
    work = next(s.work for s in plan.stages if s.name == "real/others")
    assert work["system"] == f"estimates:{tmp_path}"
    assert plan.title_of("others") == "Somebody"


def test_a_row_of_folds_leaves_its_songs_out(study_file: StudyFile) -> None:
    folds = '\n[folds.half]\nof = "songs"\ncount = 2\nsplits = ["train"]\n'
    row = '\n[rows.fold]\nlike = "few"\ntitle = "folds"\ntrain = ["left"]\nfold = "half"\n'
    mixtures = '\n[mixtures.left]\nlike = "few"\nfold = "half"\n'
    path = study_file(more=folds + row + mixtures)
    plan = plan_study(path, "tiny")
    assert _kinds(plan, "runs") == ["few-bass-s1", "fold-bass-s1-f1", "fold-bass-s1-f2"]
    for stage in plan.stages:
        if stage.name.endswith("-f2"):
            assert stage.kind == "runs" or stage.work["fold"]["number"] == 2
    path.write_text(path.read_text().replace('train = ["left"]\nfold = "half"', 'train = ["left"]'))
    with pytest.raises(UsageError, match=r"rows\.fold: takes left, whose songs are left out"):
        plan_study(path, "tiny")


_FOLDS = """
[folds.half]
of = "songs"
count = 2

[mixtures.left]
like = "few"
fold = "half"

[rows.fold]
like = "few"
title = "folds"
train = ["left"]
fold = "half"
"""


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            'train = ["left", "many"]',
            r"rows\.fold: is tested on songs that the folds half leave out",
        ),
        ('train = ["left"]\nvalidation = ["few"]', r"half leave out, and few holds them"),
        ('train = ["left"]\ninit = "many"', r"half leave out, and many holds them"),
    ],
)
def test_songs_that_folds_leave_out_are_in_no_other_set(
    study_file: StudyFile, row: str, said: str
) -> None:
    more = '\n[rows.many]\nlike = "few"\ntitle = "many"\ntrain = ["many"]\n'
    path = study_file(more=_FOLDS.replace('train = ["left"]', row) + more)
    with pytest.raises(UsageError, match=said):
        plan_study(path, "tiny")


def test_weights_of_folds_are_those_of_the_same_fold(study_file: StudyFile) -> None:
    tuned = (
        '\n[rows.tuned]\nlike = "fold"\ntitle = "tuned"\ninit = "fold"\noptions = { epochs = 2 }\n'
    )
    path = study_file(more=_FOLDS + tuned)
    runs = {stage.name: stage.work for stage in plan_study(path, "tiny").stages}
    assert runs["tuned-bass-s1-f2"]["init"] == {"stage": "runs/fold-bass-s1-f2"}
    path.write_text(path.read_text() + 'train = ["few"]\nfold = ""\n')
    with pytest.raises(UsageError, match=r"rows\.tuned: begins with the weights of fold"):
        plan_study(path, "tiny")


def test_artists_are_asked_for_where_the_songs_are_given(
    study_file: StudyFile, tmp_path: Path
) -> None:
    folds = _FOLDS.replace('of = "songs"', 'of = "real"\nby = "artist"\nartists = "artists"')
    folds += '\n[inputs.artists]\nkind = "artists"\n'
    path, table = study_file(more=folds), tmp_path / "artists.tsv"
    table.touch()

    def artists(**inputs: Path) -> set[str | None]:
        stages = plan_study(path, "tiny", inputs=inputs).stages
        return {s.work["fold"]["artists"] for s in stages if s.work.get("fold")}

    assert artists(real=tmp_path, artists=table) == {str(table)}
    assert artists(artists=table) == artists() == {None}
    with pytest.raises(UsageError, match="--artists FILE names them"):
        artists(real=tmp_path)


def test_a_corpus_needs_the_input_whose_timing_it_has(study_file: StudyFile) -> None:
    aligned = (
        "[corpora.songs]",
        '[inputs.timing]\nkind = "scores"\n\n[corpora.songs]\naligned = "timing"',
    )
    others = ('like = "songs"\npart = [0.6, 1.0]', 'scores = "midi"\npart = [0.6, 1.0]')
    plan = plan_study(study_file(aligned, others), "tiny")
    assert {cell.row for cell in plan.cells} == {"mixture"}
    assert "row few: needs --timing" in plan.left_out


def test_mixtures_are_a_test_as_songs(study_file: StudyFile) -> None:
    more = '\n[mixtures.pairs]\nlike = "few"\nsources = ["others"]\n'
    plan = plan_study(study_file(('dataset = "real"', 'dataset = "pairs"'), more=more), "tiny")
    assert _kinds(plan, "songs") == ["pairs"]
    work = next(s.work for s in plan.stages if s.kind == "results")
    assert work["dataset"] == {"stage": "songs/pairs", "layout": "folder"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clip_s = 1", "clip = 1", r"mixtures\.few\.mix: no option 'clip'; known: "),
        ("epochs = 1", "epoch = 1", r"models\.blstm\.train: no option 'epoch'"),
        ("window_s = 0.5", "window = 1", r"tests\.real\.evaluate: no option 'window'"),
        ("seed = 1,", "sed = 1,", r"corpora\.songs\.render: no option 'sed'"),
    ],
)
def test_options_that_there_are_not_are_named(
    study_file: StudyFile, old: str, new: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan_study(study_file((old, new)), "tiny")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clip_s = 1", "clip_s = -1", r"mixtures/few: --clip -1"),
        (
            "clip_s = 1",
            'clip_s = "long"',
            r"mixtures/few: one of these is of another kind .*'long'",
        ),
        ("epochs = 1", "epochs = 0", r"runs/few-bass-s1: epochs must be above 0"),
        ("epochs = 1", 'epochs = ["1"]', r"runs/few-bass-s1: one of these .*epochs = \['1'\]"),
        ("epochs = 1", 'epochs = 1, device = "cpu"', r"models.blstm.train: no option 'device'"),
        ('system = "mixture"', 'system = "mix"', r"rows.mixture.system: mix: unknown system"),
        ('model = "blstm"\ntrain = {', 'model = "lstm"\ntrain = {', r"models.blstm.model: 'lstm'"),
        ('targets = ["bass", "drums"]', 'targets = ["bass"]\nseeds = -1', r"toml: seeds: -1: at"),
        ('title = "mixture"', 'title = "{mix}"', r"'{mix}' names an input that is not there"),
        ('title = "Scores of {real}"', 'title = "{0}"', r"'{0}' names an input that is not there"),
        ("window_s = 0.5", 'bss = "v5"', r"results/real/mixture: --bss v5"),
        ("window_s = 0.5", 'targets = ["bass"]', r"tests.real.evaluate: no option 'targets'"),
        ("sample_rate = 8000, splits", 'sample_rate = "x", splits', r"corpora/others: .*'x'"),
    ],
)
def test_values_that_cannot_be_are_named_before_anything_is_done(
    study_file: StudyFile, old: str, new: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan_study(study_file((old, new)), "tiny")


def test_no_trainings_are_refused(study_file: StudyFile) -> None:
    with pytest.raises(UsageError, match="--seeds 0: at least 1"):
        plan_study(study_file(), "tiny", seeds=0)
