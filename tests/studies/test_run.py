"""A study from its file to its tables, and what is done when it is called again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.studies import schedule
from stemsmith.studies.aligned import write_aligned
from stemsmith.studies.perform import StudyMachine, perform
from stemsmith.studies.stages import StudyStage
from stemsmith.studies.workflow import StudyOutcome, run_study


class Performed:
    """Does stages, notes their names, and is interrupted before one of them if it shall be."""

    def __init__(self, perform: Callable[[StudyStage, StudyMachine], None]) -> None:
        self._perform = perform
        self.names: list[str] = []
        self.last = -1

    def __call__(self, stage: StudyStage, machine: StudyMachine) -> None:
        if len(self.names) == self.last:
            raise KeyboardInterrupt
        self.names.append(stage.id)
        self._perform(stage, machine)


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> Performed:
    noting = Performed(perform)
    monkeypatch.setattr(schedule, "perform", noting)
    return noting


def _tables(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "tables").iterdir())}


def _again(made: StudyOutcome, out: Path, **options: object) -> StudyOutcome:
    given = {"midi": made.plan.inputs.given["midi"]}
    return run_study(made.plan.study.path, out, "tiny", inputs=given, **options)  # type: ignore[arg-type]


def test_a_study_makes_its_tables_and_its_page(made: StudyOutcome) -> None:
    assert not made.failed
    assert set(made.seconds) == {stage.id for stage in made.plan.stages}
    bss, si_sdr = made.tables()
    assert "| mixture | bass | - |" in bss
    assert f"| few of {made.plan.inputs.title('midi')} | 0.00" in si_sdr
    assert made.page.read_text().count("Other songs") > 2
    assert {name.rpartition(".")[2] for name in _tables(made.root)} == {"md", "tex", "csv"}


def test_the_median_over_windows_is_that_of_the_scores(made: StudyOutcome) -> None:
    row = next(row for row in made.rows if row.row == "mixture")
    values = [
        score.value
        for score in Results(made.root / "results/real/mixture").score_records()
        if (score.target, score.metric) == ("bass", "SDR") and np.isfinite(score.value)
    ]
    found = row.score("bass", "SDR", "windows")
    assert found is not None
    assert len(values) > 4
    assert found.value == pytest.approx(np.median(values))


def test_what_separation_took_is_that_of_its_results(made: StudyOutcome) -> None:
    row = next(row for row in made.rows if row.row == "few")
    times = Results(made.root / "results/real/few-s1").times
    seconds, cost = (row.score("mean", name) for name in ("seconds a song", "cost"))
    assert seconds is not None
    assert cost is not None
    assert seconds.value == pytest.approx(np.mean([time.separation_s for time in times]))
    relative = [time.separation_s / time.duration_s for time in times]
    assert cost.value == pytest.approx(np.mean(relative))
    assert row.score("bass", "cost") is None
    untrained = next(row for row in made.rows if row.row == "mixture")
    assert untrained.score("mean", "cost") is None


def test_called_again_nothing_is_done(made: StudyOutcome, performed: Performed) -> None:
    before = _tables(made.root)
    again = _again(made, made.root)
    assert performed.names == []
    assert again.seconds == made.seconds
    assert _tables(made.root) == before


def test_killed_and_gone_on_with_it_ends_with_the_same_tables(
    made: StudyOutcome, performed: Performed, tmp_path: Path
) -> None:
    performed.last = 5  # the training has not begun
    with pytest.raises(KeyboardInterrupt):
        _again(made, tmp_path / "out")
    before = list(performed.names)
    performed.last = -1
    _again(made, tmp_path / "out")
    assert sorted(performed.names) == sorted(stage.id for stage in made.plan.stages)
    assert performed.names[:5] == before
    assert _tables(tmp_path / "out") == _tables(made.root)


def test_more_trainings_keep_those_that_are_done(
    made: StudyOutcome, performed: Performed, tmp_path: Path
) -> None:
    shutil.copytree(made.root, tmp_path / "out")
    more = _again(made, tmp_path / "out", seeds=2)
    assert performed.names == ["runs/few-bass-s2", "results/real/few-s2"]
    assert "±" in more.tables()[1]


def test_a_stage_that_fails_is_named_and_the_rest_goes_on(
    made: StudyOutcome, tmp_path: Path
) -> None:
    text = made.plan.study.path.read_text()
    path = tmp_path / "study.toml"
    path.write_text(text.replace("n_units = 2", "n_units = 0"))
    shutil.copytree(made.root, tmp_path / "out")
    for stage in ("runs/few-bass-s1", "results/real/few-s1"):
        with pytest.raises(UsageError, match=f"{stage}: was made of other declarations"):
            run_study(path, tmp_path / "out", "tiny", inputs=dict(made.plan.inputs.given))
        shutil.rmtree(tmp_path / "out" / stage)  # as the message says
    outcome = run_study(path, tmp_path / "out", "tiny", inputs=dict(made.plan.inputs.given))
    assert "hidden_size must be greater than zero" in outcome.failed["runs/few-bass-s1"]
    assert outcome.failed["results/real/few-s1"] == "needs runs/few-bass-s1"
    assert [row.row for row in outcome.rows] == ["mixture"]
    assert "hidden_size must be greater than zero" in outcome.page.read_text()


def test_the_timing_of_a_performance_is_that_of_its_notes(
    made: StudyOutcome, tmp_path: Path
) -> None:
    played = made.root / "corpora" / "others"
    scores = next(made.root.glob("scores/midi-0.6-1"))
    write_aligned(played, scores, tmp_path / "aligned")
    for track in Corpus(played).values():
        folder = tmp_path / "aligned" / Path(track.record.source).stem
        for name, stem in track.stems.items():
            lines = [line.split(",") for line in (folder / f"{name}.txt").read_text().split()]
            notes = stem.notes.to_pydict()
            assert [int(pitch) for _, _, pitch in lines] == notes["pitch"]
            onsets = np.array([float(onset) for onset, _, _ in lines])
            np.testing.assert_allclose(onsets, np.array(notes["onset"]) / 8000, atol=6e-5)


def test_aligned_scores_of_anyone_are_found_by_their_names(tmp_path: Path) -> None:
    scores, played = tmp_path / "scores", tmp_path / "played"
    scores.mkdir()
    (played / "b").mkdir(parents=True)
    (scores / "01234567-a.mid").touch()
    (scores / "89abcdef-b.mid").touch()
    (played / "a.mid").write_bytes(b"midi")
    (played / "b" / "violin.txt").write_text("0,1,60")
    write_aligned(played, scores, tmp_path / "out")
    assert (tmp_path / "out" / "01234567-a.mid").read_bytes() == b"midi"
    assert (tmp_path / "out" / "89abcdef-b" / "violin.txt").read_text() == "0,1,60"
    (played / "a.mid").unlink()
    with pytest.raises(UsageError, match=r"neither a\.mid nor a folder a is there"):
        write_aligned(played, scores, tmp_path / "out")
