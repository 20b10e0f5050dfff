"""The plan of a study: its stages, what is shared among them, and which scores fill which cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.options import json_value
from stemsmith.studies.inputs import StudyInputs
from stemsmith.studies.stages import StageKind, StudyStage, in_order
from stemsmith.studies.study import (
    BenchmarkSpec,
    CorpusSpec,
    InputKind,
    MixtureSpec,
    ModelSpec,
    PredictionSpec,
    RowSpec,
    Study,
)

__all__ = ["PlannedCell", "PlannedPrediction", "PlannedTest", "StudyPlan", "plan_stages"]

_NO_VALIDATION = "none"


@dataclass(frozen=True)
class PlannedTest:
    """The songs of one test.

    Attributes
    ----------
    spec : BenchmarkSpec
        As the study declares it.
    name : str
        That of the declaration; where an input was given several times, with the folder's name.
    title : str
        What people read.
    dataset : mapping
        The data set, as work of stages names it.
    """

    spec: BenchmarkSpec
    name: str
    title: str
    dataset: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedCell:
    """The scores of a row in a test.

    Attributes
    ----------
    row : str
        Name of the row.
    test : str
        Name of the planned test.
    results : tuple of tuple of str
        By seed, the stages with its scores: one, or one for each fold.
    """

    row: str
    test: str
    results: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PlannedPrediction:
    """The distances that may predict the gains of rows.

    Attributes
    ----------
    spec : PredictionSpec
        As the study declares it.
    gaps : mapping of str to str
        By row, the stage that measures how far its corpus is from the songs of the tests.
    """

    spec: PredictionSpec
    gaps: Mapping[str, str]


@dataclass(frozen=True)
class StudyPlan:
    """All that a study does.

    Attributes
    ----------
    study : Study
        What is planned.
    inputs : StudyInputs
        What the user gave.
    seeds : int
        Number of trainings of each row.
    stages : tuple of StudyStage
        None before what it needs.
    tests : tuple of PlannedTest
        The tests that can be made.
    cells : tuple of PlannedCell
        The scores of every row in every test.
    predictions : tuple of PlannedPrediction
        Of which rows it is asked whether the sound of their corpora predicts their scores.
    left_out : tuple of str
        Rows and tests that cannot be made of what was given: a sentence each.
    """

    study: Study
    inputs: StudyInputs
    seeds: int
    stages: tuple[StudyStage, ...]
    tests: tuple[PlannedTest, ...]
    cells: tuple[PlannedCell, ...]
    predictions: tuple[PlannedPrediction, ...]
    left_out: tuple[str, ...]

    def title_of(self, row: str) -> str:
        """Return what tables call a row."""
        return self.inputs.filled(self.study.rows[row].title)


def plan_stages(inputs: StudyInputs, seeds: int | None = None) -> StudyPlan:
    """Plan a study.

    Parameters
    ----------
    inputs : StudyInputs
        The study, and what the user gave.
    seeds : int, optional
        Number of trainings of each row; None takes the study's.

    Raises
    ------
    UsageError
        If no row of the study can be made, or its declarations do not fit each other.
    """
    study = inputs.study
    n_seeds = study.seeds if seeds is None else seeds
    if n_seeds < 1:
        place = f"{study.path}: seeds:" if seeds is None else "--seeds"
        raise UsageError(f"{place} {n_seeds}: at least 1")
    titles = [row.title for row in study.rows.values()]
    titles += [test.title for test in study.tests.values()]
    titles += [table.title for table in study.tables]
    titles += [comparison.title for comparison in study.comparisons]
    titles += [prediction.title for prediction in study.predictions]
    for title in titles:  # those that name no input would be found when all is done
        inputs.filled(title)
    planner = _StagePlanner(inputs)
    cells, left_out = [], list(planner.left_out_rows())
    tests = list(planner.tests())
    made = {test.spec.name for test in tests}
    left_out += [
        f"test {spec.name}: needs --{planner.lacks_of(spec.dataset)}"
        for spec in study.tests.values()
        if spec.name not in made
    ]
    for test in tests:
        for row in study.rows.values():
            if planner.lacks(row) is None and (not test.spec.rows or row.name in test.spec.rows):
                cells.append(planner.cell(row, test, n_seeds))
    if not cells:
        raise UsageError(f"{study.path}: no row can be made; {'; '.join(left_out)}")
    # Seed by seed, so that a study that was stopped has whole tables of fewer seeds.
    rounds = max(len(cell.results) for cell in cells)
    wanted = [
        name
        for number in range(rounds)
        for cell in cells
        for name in cell.results[number : number + 1]
    ]
    predictions = tuple(planner.predictions(tests))
    gaps = [stage for one in predictions for stage in one.gaps.values()]
    stages = in_order(planner.stages, [*(name for some in wanted for name in some), *gaps])
    return StudyPlan(
        study, inputs, n_seeds, stages, tuple(tests), tuple(cells), predictions, tuple(left_out)
    )


class _StagePlanner:
    """Adds the stages that rows and tests need, each once."""

    def __init__(self, inputs: StudyInputs) -> None:
        self.inputs, self.study = inputs, inputs.study
        self.stages: dict[str, StudyStage] = {}
        self._ids: dict[str, str] = {}  # by what is done: what is the same is done once

    def lacks(self, row: RowSpec) -> str | None:
        """Return an input that a row needs and nobody gave."""
        if row.estimates and row.estimates not in self.inputs.given:
            return row.estimates
        names = (*row.train, *(name for name in row.validation if name != _NO_VALIDATION))
        for name in names:
            if (missing := self._lacks(self.study.mixtures[name].sources)) is not None:
                return missing
        if row.fold and (missing := self._lacks([self.study.folds[row.fold].of])) is not None:
            return missing
        return self.lacks(self.study.rows[row.init]) if row.init else None

    def lacks_of(self, name: str) -> str | None:
        """Return an input that the data set of a test needs and nobody gave."""
        return self._lacks(self.study.mixtures[name].sources if self._is_mixed(name) else (name,))

    def _is_mixed(self, name: str) -> bool:
        """Whether the data set of a test is a set of mixtures."""
        return name not in self.study.corpora and name not in self.study.inputs

    def _lacks(self, sources: Sequence[str]) -> str | None:
        for source in sources:
            corpus = source
            if source in self.study.inputs:
                if not self.inputs.is_there(source):
                    return source
                corpus = "" if source in self.inputs.given else self.study.inputs[source].stand_in
            aligned = self.study.corpora[corpus].aligned if corpus else ""
            if aligned and (missing := self._lacks([aligned])) is not None:
                return missing
        return None

    def left_out_rows(self) -> Iterator[str]:
        for row in self.study.rows.values():
            if (missing := self.lacks(row)) is not None:
                yield f"row {row.name}: needs --{missing}"

    def tests(self) -> Iterator[PlannedTest]:
        for spec in self.study.tests.values():
            given = self.inputs.given.get(spec.dataset, ())
            if self.lacks_of(spec.dataset) is not None:
                continue
            title = self.inputs.filled(spec.title)
            if len(given) < 2:
                yield PlannedTest(spec, spec.name, title, self._dataset(spec.dataset))
                continue
            for label, path in self.inputs.parts(spec.dataset):
                yield PlannedTest(
                    spec, f"{spec.name}-{label}", f"{title}: {label}", {"given": path}
                )

    def cell(self, row: RowSpec, test: PlannedTest, n_seeds: int) -> PlannedCell:
        """Return the scores of a row in a test, with all stages that make them."""
        n_folds = self.study.folds[row.fold].count if row.fold else 0
        folds = range(1, n_folds + 1) if n_folds else [0]
        seeds = range(n_seeds) if row.train else [0]
        results = tuple(
            tuple(self._results(row, test, seed, fold) for fold in folds) for seed in seeds
        )
        return PlannedCell(row.name, test.name, results)

    def predictions(self, tests: Sequence[PlannedTest]) -> Iterator[PlannedPrediction]:
        """Yield the predictions whose tests can be made, with the gap of every row's corpus."""
        for spec in self.study.predictions:
            real: list[Mapping[str, Any]] = []
            for test in tests:
                if test.spec.name in spec.tests and test.dataset not in real:
                    real.append(test.dataset)
            rows = [name for name in spec.rows if self.lacks(self.study.rows[name]) is None]
            if real and rows:
                gaps = {name: self._gap(spec, name, real) for name in rows}
                self._check_factors(spec, gaps)
                yield PlannedPrediction(spec, gaps)

    def _check_factors(self, spec: PredictionSpec, gaps: Mapping[str, str]) -> None:
        """Check that no corpus counts twice because it is said to differ from itself."""
        first: dict[str, str] = {}
        for row, stage in gaps.items():
            other = first.setdefault(stage, row)
            if spec.rows[row] != spec.rows[other]:
                raise UsageError(
                    f"{self.study.path}: predictions.{spec.name}.rows.{row}: has other factors "
                    f"than {other}, and at size {self.study.size} the same corpus"
                )

    def _gap(self, spec: PredictionSpec, row: str, real: Sequence[Mapping[str, Any]]) -> str:
        (corpus,) = self.study.sources_of(self.study.rows[row])
        work = {
            "corpus": self._source(corpus)[0],
            "real": list(real),
            "artists": self.inputs.given.get(spec.artists, (None,))[0],
            "options": dict(spec.gap),
        }
        return self._add(StageKind.GAP, f"{spec.name}-{corpus}", work)

    def _results(self, row: RowSpec, test: PlannedTest, seed: int, fold: int) -> str:
        if row.train:
            system: Any = {"runs": self._runs(row, seed, fold)}
        elif row.estimates:
            system = {"system": f"estimates:{self.inputs.given[row.estimates][0]}"}
        else:
            system = {"system": row.system}
        songs = test.spec.songs if test.spec.dataset in self.inputs.given else ()
        name = f"{test.name}/{row.name}{_ending(seed, fold) if row.train else ''}"
        work = {
            **system,
            "dataset": test.dataset,
            "fold": self._fold_work(row.fold, fold) if fold else None,
            "targets": list(self.study.targets_of(row)),
            "options": {
                **test.spec.evaluate,
                **row.evaluate,
                **({"songs": list(songs)} if songs else {}),
            },
        }
        return self._add(StageKind.RESULTS, name, work)

    def _runs(self, row: RowSpec, seed: int, fold: int) -> list[dict[str, str]]:
        model = self.study.models[row.model]
        targets = self.study.targets_of(row)
        groups = [targets] if model.is_joint else [(target,) for target in targets]
        return [{"stage": self._run(row, model, group, seed, fold)} for group in groups]

    def _run(
        self, row: RowSpec, model: ModelSpec, targets: Sequence[str], seed: int, fold: int
    ) -> str:
        def mixtures(names: Sequence[str]) -> list[dict[str, str]]:
            single = targets[0] if len(targets) == 1 else None
            return [
                {"stage": self._mixtures(self.study.mixtures[name], row, single, fold)}
                for name in names
            ]

        init = None
        self._refuse_tested(row, (*row.train, *row.validation))
        if row.init:
            other = self.study.rows[row.init]
            self._refuse_tested(row, other.train)
            if other.fold not in ("", row.fold):
                raise UsageError(
                    f"{self.study.path}: rows.{row.name}: begins with the weights of {other.name}, "
                    f"which has a run for each of the folds {other.fold}; give both the same fold"
                )
            init = {"stage": self._run(other, model, targets, seed, fold if other.fold else 0)}
        is_validated = tuple(row.validation) != (_NO_VALIDATION,)
        work = {
            "mixtures": mixtures(row.train),
            "validation": mixtures(row.validation) if is_validated else None,
            "model": model.model,
            "targets": list(targets),
            "is_joint": model.is_joint,
            "settings": dict(model.settings),
            "options": {**model.train, **row.options, "seed": seed},
            "init": init,
        }
        name = row.name if model.is_joint else f"{row.name}-{targets[0]}"
        return self._add(StageKind.RUN, name + _ending(seed, fold), work)

    def _refuse_tested(self, row: RowSpec, names: Sequence[str]) -> None:
        """Check that no set of a row of folds has songs that a fold leaves out to be tested on."""
        divided = self._source(self.study.folds[row.fold].of) if row.fold else []
        for spec in (self.study.mixtures[name] for name in names if name != _NO_VALIDATION):
            found = (source for name in spec.sources for source in self._source(name))
            if not spec.fold and any(source in divided for source in found):
                raise UsageError(
                    f"{self.study.path}: rows.{row.name}: is tested on songs that the folds "
                    f"{row.fold} leave out, and {spec.name} holds them; give it "
                    f"fold = {row.fold!r}"
                )

    def _mixtures(
        self, spec: MixtureSpec, row: RowSpec | None, target: str | None, fold: int
    ) -> str:
        user = "tests" if row is None else f"rows.{row.name}"
        if spec.fold and (row is None or spec.fold != row.fold):
            raise UsageError(
                f"{self.study.path}: {user}: takes {spec.name}, whose songs are left "
                f"out by the folds {spec.fold}; give a row fold = {spec.fold!r}"
            )
        name, mix = spec.name, dict(spec.mix)
        if spec.is_per_target:
            if target is None:
                raise UsageError(
                    f"{self.study.path}: {user}: separates all targets, and "
                    f"{spec.name} has a set for each"
                )
            name, mix["target"] = f"{name}-{target}", target
        if spec.fold:
            name += f"-f{fold}"
        work = {
            "sources": [source for one in spec.sources for source in self._source(one)],
            "options": mix,
            "fold": self._fold_work(spec.fold, fold) if spec.fold else None,
        }
        return self._add(StageKind.MIXTURES, name, work)

    def _fold_work(self, name: str, number: int) -> dict[str, Any]:
        spec = self.study.folds[name]
        artists, songs = None, self._source(spec.of)
        if spec.by == "artist" and spec.of in self.inputs.given:  # a stand-in's are not known
            artists = self.inputs.given.get(spec.artists, (None,))[0]
            if artists is None:
                raise UsageError(f"folds of {name} are by artist: --{spec.artists} FILE names them")
        # Corpora number the same scores in other orders: their pieces go by the scores' names.
        of_scores = {"pieces": "scores"} if any("stage" in song for song in songs) else {}
        return {
            **of_scores,
            "of": songs,
            "count": spec.count,
            "number": number,
            "splits": list(spec.splits),
            "artists": artists,
        }

    def _dataset(self, name: str) -> Mapping[str, str]:
        """Return where the songs of a test are; mixtures are written out as songs."""
        if not self._is_mixed(name):
            return self._source(name)[0]
        mixtures = self._mixtures(self.study.mixtures[name], None, None, 0)
        songs = self._add(StageKind.SONGS, name, {"mixtures": {"stage": mixtures}})
        return {"stage": songs, "layout": "folder"}

    def _source(self, name: str) -> list[dict[str, str]]:
        """Return where a corpus or an input is."""
        if name in self.inputs.given:
            return [{"given": path} for path in self.inputs.given[name]]
        corpus = self.study.inputs[name].stand_in if name in self.study.inputs else name
        return [{"stage": self._corpus(self.study.corpora[corpus])}]

    def _corpus(self, spec: CorpusSpec) -> str:
        scores = self._scores(spec)
        soundfonts: list[str] = []
        for name in spec.soundfonts:
            known = self.study.inputs.get(name)
            if known is not None and known.kind == InputKind.SOUNDFONT:
                soundfonts += self.inputs.given.get(name, ())
            else:
                soundfonts.append(name)
        work: dict[str, Any] = {
            "scores": {"stage": scores},
            "kind": spec.kind,
            "options": dict(spec.render),
            "bank": spec.bank or None,
            "soundfonts": soundfonts,
        }
        if spec.aligned:
            timing = {"of": self._source(spec.aligned)[0], "scores": {"stage": scores}}
            work["aligned"] = {"stage": self._add(StageKind.ALIGNED, spec.name, timing)}
        return self._add(StageKind.CORPUS, spec.name, work)

    def _scores(self, spec: CorpusSpec) -> str:
        """Return the stage with the scores of a corpus."""
        given = self.inputs.given.get(spec.scores)
        (low, high), patterns = spec.part, list(spec.bundled)
        name = f"{spec.scores if given else 'bundled'}-{low:g}-{high:g}"
        if patterns and not given:
            low, high, name = 0.0, 1.0, f"bundled-{slug('-'.join(patterns))}"
        work = {
            "folder": given[0] if given else None,
            "part": [low, high],
            "patterns": [] if given else patterns,
        }
        return self._add(StageKind.SCORES, name, work)

    def _add(self, kind: StageKind, name: str, work: Mapping[str, Any]) -> str:
        stage = StudyStage(kind=kind, name=name, work=work, needs=tuple(_needs(work)))
        same = json.dumps([str(kind), json_value(dict(work))], sort_keys=True)
        if same not in self._ids:
            if stage.id in self.stages:
                raise UsageError(f"{self.study.path}: two stages would fill {stage.id}")
            self.stages[stage.id] = stage
        return self._ids.setdefault(same, stage.id)


def _needs(work: Any) -> Iterator[str]:
    """Yield the stages that work names."""
    if isinstance(work, Mapping):
        if set(work) <= {"stage", "layout"} and work:
            yield work["stage"]
        else:
            for value in work.values():
                yield from _needs(value)
    elif isinstance(work, list | tuple):
        for value in work:
            yield from _needs(value)


def _ending(seed: int, fold: int) -> str:
    return f"-s{seed + 1}" + (f"-f{fold}" if fold else "")
