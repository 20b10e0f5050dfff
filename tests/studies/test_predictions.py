"""Whether the gap predicts the gain: how a study declares it, measures it, and tells of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from stemsmith.evaluate.metrics.registry import known_metric
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import QUIET, InProcess
from stemsmith.share.compare.systems import ScoredSystem, SongKind, TakenMetric
from stemsmith.studies.gaps import read_distances
from stemsmith.studies.outcome import ScoredRow
from stemsmith.studies.page import write_page
from stemsmith.studies.perform import StudyMachine, perform
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.predictions import RowPrediction, predict_rows, write_predictions
from stemsmith.studies.stages import StageKind, StudyStage, fingerprints
from stemsmith.studies.workflow import plan_study

USEFUL = Path(__file__).resolve().parents[2] / "examples" / "studies" / "useful.toml"
N_CORPORA = 13
BANKS = ("one", "two", "three")

HEAD = """
title = "A study"
targets = ["bass", "drums"]

[inputs.real]
kind = "songs"
layout = "folder"
title = "Real songs"
stand_in = "band"
stand_in_title = "Band"

[inputs.artists]
kind = "artists"

[corpora.band]
part = [0.5, 1.0]

[models.net]
model = "blstm"

[tests.real]
title = "{real}"
dataset = "real"

[tests.again]
title = "{real}, again"
dataset = "real"

[tests.one]
title = "one of {real}"
dataset = "real"
songs = ["One"]

[tables.scores]
title = "Scores"
tests = ["real"]

[mixtures.both]
sources = ["c0", "c1"]

[mixtures.real]
sources = ["real"]

[rows.both]
title = "both"
model = "net"
train = ["both"]

[rows.real]
like = "both"
title = "real"
train = ["real"]
"""
PREDICTION = """
[predictions.gap]
title = "Whether the gap to {real} predicts the gain"
tests = ["real"]
base = "r0"
target = "bass"
artists = "artists"
gap = { halves = 3 }
"""


def _arms() -> str:
    """Return corpora, sets and rows of one kind, and what a prediction says of the rows."""
    arms, rows = "", "[predictions.gap.rows]\n"
    for k in range(N_CORPORA):
        arms += (
            f"[corpora.c{k}]\npart = [0.0, 0.5]\nrender = {{ seed = {k} }}\n"
            f'[mixtures.m{k}]\nsources = ["c{k}"]\n'
            f'[rows.r{k}]\ntitle = "arm {k}"\nmodel = "net"\ntrain = ["m{k}"]\n'
        )
        rows += f'r{k} = {{ bank = "{BANKS[k % 3]}", take = "{k}" }}\n'
    return arms + PREDICTION + rows


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the study, with texts replaced by others."""

    def write(*replaced: tuple[str, str], more: str = "") -> Path:
        text = HEAD + _arms() + more
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


WriteStudy = Callable[..., Path]


def _gap_stages(plan: StudyPlan) -> list[StudyStage]:
    return [stage for stage in plan.stages if stage.kind == StageKind.GAP]


# What a study declares.


def test_each_corpus_is_compared_once_with_the_songs_of_all_tests(write_study: WriteStudy) -> None:
    more = '[predictions.other]\nlike = "gap"\ntests = ["real", "again"]\ntarget = "drums"\n'
    plan = plan_study(write_study(more=more), "tiny", seeds=2)
    stages = _gap_stages(plan)
    assert [stage.id for stage in stages] == [f"gaps/gap-c{k}" for k in range(N_CORPORA)]
    assert stages[3].work["real"] == [{"stage": "corpora/band"}]
    assert set(stages[3].needs) == {"corpora/c3", "corpora/band"}
    assert stages[3].work["options"] == {"halves": 3}
    first, second = plan.predictions
    assert first.gaps == second.gaps == {f"r{k}": f"gaps/gap-c{k}" for k in range(N_CORPORA)}


def test_all_songs_that_are_given_are_the_real_ones(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "artists.tsv").write_text("song\tartist\n")
    given = {"real": [tmp_path / "a", tmp_path / "b"], "artists": tmp_path / "artists.tsv"}
    work = _gap_stages(plan_study(write_study(), "tiny", inputs=given))[0].work
    assert work["real"] == [{"given": f"folder:{tmp_path / name}"} for name in ("a", "b")]
    assert work["artists"] == str(tmp_path / "artists.tsv")


def test_a_prediction_changes_no_other_stage(write_study: WriteStudy) -> None:
    with_it = fingerprints(plan_study(write_study(), "small").stages)
    content = write_study().read_text().partition("[predictions")[0]
    (write_study()).write_text(content)
    without = fingerprints(plan_study(write_study().parent / "study.toml", "small").stages)
    assert without.items() <= with_it.items()


def test_rows_are_of_the_sizes_that_they_name(write_study: WriteStudy) -> None:
    old, new = 'r5 = { bank = "three", take = "5" }', 'r5 = { paper = { bank = "three" } }'
    path = write_study((old, new))
    assert "r5" not in plan_study(path, "small").predictions[0].gaps
    paper = plan_study(path, "paper").predictions[0]
    assert "r5" in paper.gaps and paper.spec.rows["r5"] == {"bank": "three"}


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (("r3 = {", "both = {"), "predictions.gap.rows.both: is not trained on mixtures of one"),
        (("r3 = {", "real = {"), "predictions.gap.rows.real: is not trained on mixtures of one"),
        (("r3 = {", "nobody = {"), "predictions.gap.rows: 'nobody' is not there"),
        (('take = "3"', "take = 3"), "predictions.gap.rows.r3.take is not text"),
        (('base = "r0"', 'base = "r99"'), "predictions.gap.base: 'r99' is not there"),
        (('target = "bass"', 'target = "vocals"'), "predictions.gap.target: 'vocals' is not"),
        (('target = "bass"\n', ""), "predictions.gap.target is missing"),
        (("halves = 3", "halfs = 3"), "predictions.gap.gap: no option 'halfs'; known: halves,"),
        (("halves = 3", 'songs = "a.tsv"'), "predictions.gap.gap: no option 'songs'"),
        (('["real"]\nbase', '["one"]\nbase'), "predictions.gap.tests: one has songs of its own"),
        (("[tables.scores]", "[tables.gap]"), "predictions.gap: a table or a comparison has its"),
        (("seed = 3 }", "seed = 2 }"), "predictions.gap.rows.r3: has other factors than r2"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    write_study: WriteStudy, replaced: tuple[str, str], message: str
) -> None:
    path = write_study(replaced)
    with pytest.raises(UsageError) as caught:
        plan_study(path, "tiny")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


# What the stage does.


def _machine(root: Path) -> StudyMachine:
    return StudyMachine(root, root, InProcess(), "cpu", QUIET)


def test_a_corpus_is_as_far_from_itself_as_nothing(musdb: Path, tmp_path: Path) -> None:
    songs = {"given": f"musdb:{musdb}"}
    work = {"corpus": songs, "real": [songs], "artists": None, "options": {"halves": 2}}
    perform(StudyStage(kind=StageKind.GAP, name="one", work=work), _machine(tmp_path))
    distances = read_distances(tmp_path / "gaps" / "one")
    assert next(iter(distances)) == "gap of mixture, dB"
    assert len(distances) > 10 and set(distances.values()) == {0.0}


def test_a_gap_that_is_damaged_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus, match=r"gap\.json: is missing; remove .* and run again"):
        read_distances(tmp_path)
    (tmp_path / "gap.json").write_text('{"spectra": {"mixture": {}}, "measures": {}}')
    with pytest.raises(InvalidCorpus, match=r"spectra\.mixture\.gap_db is missing"):
        read_distances(tmp_path)


def test_distances_have_no_sign_and_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    content = {
        "spectra": {"bass": {"gap_db": 2.0}, "mixture": {"gap_db": 1}, "drums": {"gap_db": None}},
        "measures": {"level": {"difference": -3.5}, "flux": {"difference": None}},
    }
    (tmp_path / "gap.json").write_text(json.dumps(content))
    found = read_distances(tmp_path)
    assert list(found.items()) == [
        ("gap of mixture, dB", 1.0),
        ("gap of bass, dB", 2.0),
        ("level", 3.5),
    ]


# What is told.

GAPS = np.round(np.random.default_rng(0).uniform(1, 4, N_CORPORA), 2)
GAINS = np.round(-GAPS + np.random.default_rng(1).normal(0, 0.8, N_CORPORA), 2)


def _system(scores: Mapping[str, float]) -> ScoredSystem:
    metric = known_metric("SI-SDR", {"si_sdr_rate": 16000})
    return ScoredSystem(
        name="a system",
        source=str(id(scores)),
        dataset="",
        taxonomy=None,
        folds=None,
        is_published=False,
        metrics={"SI-SDR": TakenMetric(metric, "", "")},
        parts=dict.fromkeys(scores, SongKind.TEST),
        values={("bass", "SI-SDR"): dict(scores)},
        rejected={},
    )


def _scored(plan: StudyPlan, numbers: Sequence[int]) -> list[ScoredRow]:
    """Return rows whose mean over seeds and songs is their gain and four; one has a song more."""
    rows = []
    for k in numbers:
        gain = float(GAINS[k] - GAINS[0])
        seeds = [{"a": gain + 1, "b": gain + 5}, {"a": gain + 3, "b": gain + 7}]
        if k == 2:
            seeds = [{**seed, "c": 99.0} for seed in seeds]
        rows.append(ScoredRow(f"r{k}", plan.tests[0], tuple(map(_system, seeds))))
    return rows


def _measured(plan: StudyPlan, root: Path) -> None:
    for k, stage in enumerate(_gap_stages(plan)):
        folder = root / stage.id
        folder.mkdir(parents=True)
        content = {
            "spectra": {"mixture": {"gap_db": float(GAPS[k])}},
            "measures": {"flat": {"difference": 1.0}, "width": {"difference": float(GAPS[k] ** 2)}},
        }
        (folder / "gap.json").write_text(json.dumps(content))


@pytest.fixture
def plan(write_study: WriteStudy, tmp_path: Path) -> StudyPlan:
    made = plan_study(write_study(), "tiny")
    _measured(made, tmp_path)
    return made


def _one(plan: StudyPlan, root: Path, numbers: Sequence[int], **more: Any) -> RowPrediction:
    found, failed = predict_rows(plan, _scored(plan, numbers), root, **more)
    assert not failed
    return found[0]


def test_rho_is_that_of_gaps_and_gains(plan: StudyPlan, tmp_path: Path) -> None:
    one = _one(plan, tmp_path, range(N_CORPORA))
    assert [corpus.gain for corpus in one.corpora] == pytest.approx((GAINS - GAINS[0]).tolist())
    gap, flat, width = one.found
    assert gap.correlation == pytest.approx(scipy.stats.spearmanr(GAPS, GAINS).statistic)
    assert gap.correlation == width.correlation  # squares are in the same order
    assert gap.p is not None and gap.p_holm == pytest.approx(2 * gap.p)
    assert (gap.n, gap.n_factors, flat.correlation) == (N_CORPORA, 2, None)
    assert one.claims_nothing == ""
    assert one.title == "Whether the gap to Band predicts the gain"


def test_fewer_than_twelve_claim_nothing(plan: StudyPlan, tmp_path: Path) -> None:
    one = _one(plan, tmp_path, range(11))
    assert one.claims_nothing == "Nothing is claimed: 11 different corpora, fewer than 12."
    write_predictions([one], tmp_path)
    text = (tmp_path / "gap.md").read_text()
    assert one.claims_nothing in text and "rho" not in text and "| arm 10 |" in text


def test_what_could_not_be_measured_or_trained_does_not_count(
    plan: StudyPlan, tmp_path: Path
) -> None:
    missing = ["gaps/gap-c4", "gaps/gap-c5"]
    one = _one(plan, tmp_path, range(N_CORPORA), missing=missing)
    assert one.claims_nothing == "Nothing is claimed: 11 different corpora, fewer than 12."
    assert {"arm 4", "arm 5"}.isdisjoint(corpus.name for corpus in one.corpora)


def test_without_the_base_or_a_common_song_there_is_a_line(plan: StudyPlan, tmp_path: Path) -> None:
    assert predict_rows(plan, _scored(plan, [1, 2]), tmp_path) == ([], ["gap: r0 has no scores"])
    rows = [*_scored(plan, [0]), ScoredRow("r1", plan.tests[0], (_system({"z": 1.0}),))]
    found = predict_rows(plan, rows, tmp_path)
    assert found == ([], ["gap: no song has SI-SDR of bass by every row"])


def test_a_damaged_gap_costs_no_other_table(plan: StudyPlan, tmp_path: Path) -> None:
    (tmp_path / "gaps" / "gap-c7" / "gap.json").write_text("{")
    found, (line,) = predict_rows(plan, _scored(plan, range(N_CORPORA)), tmp_path)
    assert not found and "gap-c7" in line and "\n" not in line


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_files_and_page_have_the_numbers(plan: StudyPlan, tmp_path: Path) -> None:
    rows = _scored(plan, range(N_CORPORA))
    one = _one(plan, tmp_path, range(N_CORPORA))
    write_predictions([one], tmp_path)
    measures = _rows(tmp_path / "gap.csv")
    assert [row["distance"] for row in measures] == ["gap of mixture, dB", "flat", "width"]
    assert float(measures[0]["rho"]) == one.found[0].correlation
    assert measures[1]["rho"] == "" and "same distance" in measures[1]["reason"]
    corpora = _rows(tmp_path / "gap-corpora.csv")
    assert [float(row["gap of mixture, dB"]) for row in corpora] == GAPS.tolist()
    assert [row["bank"] for row in corpora] == [BANKS[k % 3] for k in range(N_CORPORA)]
    text = (tmp_path / "gap.md").read_text()
    assert f"| gap of mixture, dB | {one.found[0].correlation:+.2f} |" in text
    assert "not given: Real songs; in its place Band, rendered with " in text
    page = write_page(plan, rows[:0], [], [one], {}, {}, tmp_path).read_text()
    assert one.title in page and "Spearman" in page


# The study that asks it.


def test_the_useful_study_claims_nothing_but_at_the_size_of_papers() -> None:
    for size, n_rows in (("tiny", 2), ("small", 6), ("paper", 15)):
        plan = plan_study(USEFUL, size)
        for prediction in plan.predictions:
            levels = [tuple(sorted(own.items())) for own in prediction.spec.rows.values()]
            factors = {factor for own in levels for factor, _ in own}
            assert (len(levels), len(set(levels)) >= 12) == (n_rows, size == "paper")
            assert size != "paper" or len(factors) == 5


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_its_corpora_differ_where_their_factors_do(size: str) -> None:
    plan = plan_study(USEFUL, size)
    works = {stage.id: stage.work for stage in plan.stages if stage.kind == StageKind.CORPUS}

    def sound(stage: str) -> str:
        work = dict(works[stage])
        options = {key: value for key, value in work.pop("options").items() if key != "seed"}
        return json.dumps([work, options], sort_keys=True)

    (prediction, _) = plan.predictions
    by_id = {stage.id: stage for stage in plan.stages}
    for one, other in combinations(prediction.gaps, 2):
        corpora = [by_id[prediction.gaps[row]].work["corpus"]["stage"] for row in (one, other)]
        is_same = prediction.spec.rows[one] == prediction.spec.rows[other]
        assert (sound(corpora[0]) == sound(corpora[1])) == is_same, (one, other)
