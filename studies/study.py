"""A study as its file declares it: what is rendered, mixed, trained and tested, and what is told.

The file is TOML. Values may differ by size (`stemsmith.studies.sizes`), and what is ``like``
another table has all of its values but those that it names itself, so that two sets which are to
be compared differ in nothing but what the file says. docs/studies.md explains every table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.documents import Every, Optional, misfit, read_toml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.splits import SPLITS
from stemsmith.studies.sizes import at_size, merged

__all__ = [
    "STATISTICS",
    "BenchmarkSpec",
    "ComparisonSpec",
    "CorpusSpec",
    "FoldSpec",
    "InputKind",
    "InputSpec",
    "MixtureSpec",
    "ModelSpec",
    "PredictionSpec",
    "RowSpec",
    "Study",
    "StudyTable",
    "read_study",
]

# What stands for many songs in a table.
STATISTICS: Final = ("mean", "median", "windows")

_TEXTS: Final = Every(list, str)
_ANY: Final = Every(dict, object)
_NAME: Final = re.compile(r"\w[\w.-]*")


class InputKind(StrEnum):
    """What a user may give to a study."""

    SCORES = "scores"  # a folder of MIDI files
    SONGS = "songs"  # a data set, to train on or to test on
    SOUNDFONT = "soundfont"
    ESTIMATES = "estimates"  # a folder of separated files
    ARTISTS = "artists"  # a table of songs and their artists


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a user may give to a study, and what is taken where it is not given.

    Attributes
    ----------
    name : str
        Its option on the command line, without the dashes.
    kind : str
        One of `InputKind`.
    title : str
        What rows call it where it is given: the name of a data set, say.
    layout : str
        Layout of the data set where the path names none.
    stand_in : str
        Corpus that stands in for songs that are not given; empty for none, and then rows that need
        the input are left out.
    stand_in_title : str
        What rows call the stand-in.
    help : str
        One line for people.
    """

    name: str
    kind: str
    title: str = ""
    layout: str = ""
    stand_in: str = ""
    stand_in_title: str = ""
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class CorpusSpec:
    """A corpus that is rendered.

    Attributes
    ----------
    name : str
        What mixtures and tests call it.
    scores : str
        Input with the MIDI files; empty for the scores that come with stemsmith.
    part : (float, float)
        Which of the scores, in an order that their contents decide: from one share to another.
        Parts that do not overlap have no score in common.
    bundled : tuple of str
        Which of the scores that come with stemsmith are taken, whole, where no others are given:
        patterns of their names, as ``chorale_*``. Empty for `part` of them all.
    kind : str
        ``songs``, or ``renditions`` of scores.
    aligned : str
        Corpus of songs of the same scores, or input with aligned scores, whose timing the
        renditions have; empty for that of the scores.
    render : mapping of str to object
        Fields of `RenderConfig` or `RenditionConfig`, and ``preset``.
    bank : str
        As of ``render --bank``; empty for none.
    soundfonts : tuple of str
        Inputs with soundfonts, or files; empty for the default.
    """

    name: str
    scores: str = ""
    part: tuple[float, float] = (0.0, 1.0)
    bundled: tuple[str, ...] = ()
    kind: str = "songs"
    aligned: str = ""
    render: Mapping[str, Any] = field(default_factory=dict)
    bank: str = ""
    soundfonts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MixtureSpec:
    """A set of mixtures.

    Attributes
    ----------
    name : str
        What rows call it.
    sources : tuple of str
        Corpora and inputs.
    mix : mapping of str to object
        Fields of `MixConfig`, and ``taxonomy``.
    is_per_target : bool
        Whether there is a set for each target, which has the target in every mixture.
    fold : str
        Folds whose songs are left out, one fold after the other; empty for one set of all.
    """

    name: str
    sources: tuple[str, ...]
    mix: Mapping[str, Any] = field(default_factory=dict)
    is_per_target: bool = False
    fold: str = ""


@dataclass(frozen=True, kw_only=True)
class FoldSpec:
    """How the songs of a data set are divided, so that none is tested by what it trained.

    Attributes
    ----------
    name : str
        What sets, rows and tests call it.
    of : str
        The corpus or the input whose songs are divided.
    count : int
        Number of folds.
    by : str
        ``song``, or ``artist``: all songs of an artist are in one fold.
    splits : tuple of str
        Splits of the data set whose songs are divided; empty for all.
    artists : str
        Input with the artists of the songs.
    """

    name: str
    of: str
    count: int
    by: str = "song"
    splits: tuple[str, ...] = ()
    artists: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network and how it is trained.

    Attributes
    ----------
    name : str
        What rows call it.
    model : str
        As of `stemsmith.train_model`.
    settings : mapping of str to object
        Settings that differ from the paper's.
    train : mapping of str to object
        Options of training.
    is_joint : bool
        Whether one run separates all targets.
    """

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    is_joint: bool = False


@dataclass(frozen=True, kw_only=True)
class RowSpec:
    """A row of tables: a trained system, or one that needs no training.

    Attributes
    ----------
    name : str
        What tables call for it.
    title : str
        What people read, where ``{input}`` stands for the title of an input or of its stand-in.
    train : tuple of str
        Sets of mixtures that are concatenated; empty for a system that is not trained.
    validation : tuple of str
        Sets whose validation mixtures count; empty for those of training, ("none",) for none.
    model : str
        The model that is trained.
    options : mapping of str to object
        Options of training that win over the model's.
    init : str
        Row whose weights are the first ones.
    system : str
        System that is not trained, such as ``oracle:tpsa``.
    estimates : str
        Input with separated files of the songs, in place of a system.
    evaluate : mapping of str to object
        Fields of `EvaluationConfig` that win over the tests'.
    targets : tuple of str
        Targets of the row; empty for the study's.
    fold : str
        Folds, with a run of each.
    """

    name: str
    title: str
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    init: str = ""
    system: str = ""
    estimates: str = ""
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    fold: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSpec:
    """Songs that all rows are tested on.

    Attributes
    ----------
    name : str
        What tables call for it.
    title : str
        What people read, with ``{input}`` as in rows.
    dataset : str
        A corpus, an input, or a set of mixtures; an input that is given several times is so many
        tests.
    songs : tuple of str
        Songs of the data set that are scored where it was given; empty for all, as of stand-ins.
    evaluate : mapping of str to object
        Fields of `EvaluationConfig`.
    rows : tuple of str
        Rows that are tested; empty for all.
    """

    name: str
    title: str
    dataset: str
    songs: tuple[str, ...] = ()
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """A table of the study.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What people read above it.
    tests : tuple of str
        Tests whose scores it has, each with its own columns.
    metrics : tuple of str
        Names of the metrics, as in results; and for the target ``mean``, what separation took:
        ``seconds a song``, or ``cost``, in relation to the length of songs.
    statistic : str
        What stands for many songs: their ``mean``, their ``median``, or the median over all
        ``windows`` of all songs, as in Brunner et al. 2019 (section V).
    targets : tuple of str
        Its columns, for each metric, where ``mean`` is the mean over all targets of the row.
    rows : tuple of str
        Its rows; empty for all that were tested.
    source : str
        Where the printed figures are from.
    printed : mapping of str to mapping of str to tuple of float
        By row, what the paper prints of each metric, NaN for nothing: by target, or by test and
        target as ``test.target``.
    """

    name: str
    title: str
    tests: tuple[str, ...]
    metrics: tuple[str, ...] = ("SI-SDR",)
    statistic: str = "mean"
    targets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    source: str = ""
    printed: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ComparisonSpec:
    """Rows that are compared with one of them, song by song.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What people read above it.
    tests : tuple of str
        Tests whose songs count together.
    base : str
        Row that is subtracted from all others.
    rows : tuple of str
        Rows that are compared with it; empty for all that are trained.
    metric : str
        Name of the metric.
    targets : tuple of str
        Targets of the table; empty for the study's.
    artists : str
        Input with the artists of the songs: intervals and tests are then of artists.
    null : tuple of str
        Two rows that differ by their seeds alone, or none: what difference can be seen.
    candidates : tuple of str
        Rows of which the best is the one primary comparison with the base, or none. The best is
        that with the highest mean over the songs of the artist with most songs, which do not count
        in the comparison.
    target : str
        Target of the primary comparison.
    """

    name: str
    title: str
    tests: tuple[str, ...]
    base: str
    rows: tuple[str, ...] = ()
    metric: str = "SI-SDR"
    targets: tuple[str, ...] = ()
    artists: str = ""
    null: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class PredictionSpec:
    """Whether the distance of corpora to the songs of tests predicts what training on them gains.

    Attributes
    ----------
    name : str
        Name of its files.
    title : str
        What people read above it.
    tests : tuple of str
        Tests whose songs the corpora are compared with, and whose scores are the gain.
    base : str
        Row that the gain is over.
    target : str
        Target whose scores count.
    rows : mapping of str to mapping of str to str
        Rows that are each trained on mixtures of one corpus, and the level of each factor in which
        that corpus differs from others, such as ``{"bank": "general", "balance": "real"}``.
    metric : str
        Name of the metric.
    gap : mapping of str to object
        Fields of `GapConfig`.
    artists : str
        Input with the artists of the songs, by which the floor is taken.
    """

    name: str
    title: str
    tests: tuple[str, ...]
    base: str
    target: str
    rows: Mapping[str, Mapping[str, str]]
    metric: str = "SI-SDR"
    gap: Mapping[str, Any] = field(default_factory=dict)
    artists: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study at one size.

    Attributes
    ----------
    path : Path
        The file that declares it.
    size : str
        One of `stemsmith.studies.sizes.SIZES`.
    title : str
        What it is about, in a line.
    about : str
        What is asked, and what the paper found.
    seeds : int
        Number of trainings of each row.
    targets : tuple of str
        Targets that rows separate.
    inputs, corpora, mixtures, folds, models, rows, tests : mapping of str to object
        What the file declares, by name.
    tables : tuple of StudyTable
        What is told of it.
    comparisons : tuple of ComparisonSpec
        Which rows are compared with which.
    predictions : tuple of PredictionSpec
        Of which rows it is asked whether the sound of their corpora predicts their scores.
    """

    path: Path
    size: str
    title: str
    about: str
    seeds: int
    targets: tuple[str, ...]
    inputs: Mapping[str, InputSpec]
    corpora: Mapping[str, CorpusSpec]
    mixtures: Mapping[str, MixtureSpec]
    folds: Mapping[str, FoldSpec]
    models: Mapping[str, ModelSpec]
    rows: Mapping[str, RowSpec]
    tests: Mapping[str, BenchmarkSpec]
    tables: tuple[StudyTable, ...]
    comparisons: tuple[ComparisonSpec, ...]
    predictions: tuple[PredictionSpec, ...]

    def targets_of(self, row: RowSpec) -> tuple[str, ...]:
        """Return the targets that a row separates."""
        return row.targets or self.targets

    def sources_of(self, row: RowSpec) -> tuple[str, ...]:
        """Return the corpora and inputs that a row is trained on, each once."""
        return tuple(dict.fromkeys(s for name in row.train for s in self.mixtures[name].sources))


# Keys of each table and their shapes; a star marks lists that become tuples.
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "inputs": {"kind": str, "title": str, "layout": str, "stand_in": str, "stand_in_title": str,
               "help": str},
    "corpora": {"scores": str, "part": Every(list, float), "bundled": _TEXTS, "kind": str,
                "aligned": str, "render": _ANY, "bank": str, "soundfonts": _TEXTS},
    "mixtures": {"sources": _TEXTS, "mix": _ANY, "is_per_target": bool, "fold": str},
    "folds": {"of": str, "count": int, "by": str, "splits": _TEXTS, "artists": str},
    "models": {"model": str, "settings": _ANY, "train": _ANY, "is_joint": bool},
    "rows": {"title": str, "train": _TEXTS, "validation": _TEXTS, "model": str, "options": _ANY,
             "init": str, "system": str, "estimates": str, "evaluate": _ANY, "targets": _TEXTS,
             "fold": str},
    "tests": {"title": str, "dataset": str, "songs": _TEXTS, "evaluate": _ANY, "rows": _TEXTS},
    "tables": {"title": str, "tests": _TEXTS, "metrics": _TEXTS, "statistic": str,
               "targets": _TEXTS, "rows": _TEXTS, "source": str,
               "printed": Every(dict, Every(dict, object))},
    "comparisons": {"title": str, "tests": _TEXTS, "base": str, "rows": _TEXTS, "metric": str,
                    "targets": _TEXTS, "artists": str, "null": _TEXTS, "candidates": _TEXTS,
                    "target": str},
    "predictions": {"title": str, "tests": _TEXTS, "base": str, "target": str,
                    "rows": Every(dict, Every(dict, str)), "metric": str, "gap": _ANY,
                    "artists": str},
}  # fmt: skip
_NEEDED: Final = {
    "inputs": ("kind",),
    "mixtures": ("sources",),
    "folds": ("of", "count"),
    "models": ("model",),
    "rows": ("title",),
    "tests": ("title", "dataset"),
    "tables": ("title", "tests"),
    "comparisons": ("title", "tests", "base"),
    "predictions": ("title", "tests", "base", "target", "rows"),
}
_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "inputs": InputSpec,
    "corpora": CorpusSpec,
    "mixtures": MixtureSpec,
    "folds": FoldSpec,
    "models": ModelSpec,
    "rows": RowSpec,
    "tests": BenchmarkSpec,
    "tables": StudyTable,
    "comparisons": ComparisonSpec,
    "predictions": PredictionSpec,
}
_HEAD: Final = {
    "title": str,
    "about": Optional(str),
    "seeds": Optional(int),
    "targets": _TEXTS,
}


def read_study(path: Path, size: str) -> Study:
    """Read a study.

    Parameters
    ----------
    path : Path
        Its TOML file.
    size : str
        One of `stemsmith.studies.sizes.SIZES`.

    Raises
    ------
    UsageError
        If the file cannot be read or declares something that is not there; the text names the
        file and the place in it.
    """
    content = at_size(read_toml(path), size)
    if problem := misfit(content, _HEAD):
        raise UsageError(f"{path}: {problem}")
    if unknown := sorted(set(content) - {*_HEAD, *_SHAPES}):
        known = ", ".join((*_HEAD, *_SHAPES))
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; known: {known}")
    if not content["targets"]:
        raise UsageError(f"{path}: targets: at least one")
    sections = {name: _section(path, name, content.get(name, {})) for name in _SHAPES}
    tables, comparisons, predictions = (
        tuple(sections.pop(name).values()) for name in ("tables", "comparisons", "predictions")
    )
    study = Study(
        path=path,
        size=size,
        title=content["title"],
        about=content.get("about", ""),
        seeds=content.get("seeds", 1),
        targets=tuple(content["targets"]),
        tables=tables,
        comparisons=comparisons,
        predictions=predictions,
        **sections,
    )
    _check_references(study)
    _check_circles(study)
    return study


def _section(path: Path, section: str, content: Any) -> dict[str, Any]:
    """Return what a table of tables declares, by name; names are those of files and folders."""
    if not isinstance(content, dict):
        raise UsageError(f"{path}: {section} is not a table of names and values")
    if unfit := [name for name in content if not _NAME.fullmatch(name)]:
        raise UsageError(
            f"{path}: {section}.{unfit[0]!r}: not a name; these are letters, digits and - _ . alone"
        )
    return {name: _declared(path, section, name, content) for name in content}


def _declared(path: Path, section: str, name: str, content: Mapping[str, Any]) -> Any:
    place = f"{section}.{name}"
    own = _likened(path, place, name, content, ())
    shape = _SHAPES[section]
    if unknown := sorted(set(own) - set(shape)):
        known = ", ".join(("like", *shape))
        raise UsageError(f"{path}: {place}.{unknown[0]}: unknown; known: {known}")
    needed = _NEEDED.get(section, ())
    wanted = {key: kind if key in needed else Optional(kind) for key, kind in shape.items()}
    if problem := misfit(own, wanted, place):
        raise UsageError(f"{path}: {problem}")
    values = {key: tuple(item) if isinstance(item, list) else item for key, item in own.items()}
    if "printed" in values:
        values["printed"] = _figures(path, f"{place}.printed", values)
    return _KINDS[section](name=name, **values)


def _figures(
    path: Path, place: str, values: Mapping[str, Any]
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return what a paper prints: one figure alone, or one of each metric."""
    n_metrics = len(values.get("metrics", ("",)))
    printed: dict[str, dict[str, tuple[float, ...]]] = {}
    for row, figures in values["printed"].items():
        for column, given in figures.items():
            several = given if isinstance(given, list) else [given]
            if misfit(several, Every(list, float)) or len(several) != n_metrics:
                raise UsageError(f"{path}: {place}.{row}.{column}: a number for each metric")
            printed.setdefault(row, {})[column] = tuple(several)
    return printed


def _likened(
    path: Path, place: str, name: str, content: Mapping[str, Any], seen: tuple[str, ...]
) -> dict[str, Any]:
    """Return a table with all values of the one that it is like."""
    own = content[name]
    if not isinstance(own, dict):
        raise UsageError(f"{path}: {place} is not a table of names and values")
    other = own.get("like")
    rest = {key: value for key, value in own.items() if key != "like"}
    if other is None:
        return rest
    if other not in content:
        raise UsageError(f"{path}: {place}.like: {other!r} is not there")
    if other in (*seen, name):
        raise UsageError(f"{path}: {place}.like: leads back to itself")
    return merged(_likened(path, place, other, content, (*seen, name)), rest)


def _check_circles(study: Study) -> None:
    """Check that nothing is needed before itself."""
    leads_to = {f"rows.{name}.init": f"rows.{row.init}.init" for name, row in study.rows.items()}
    for corpus in study.corpora.values():
        stand_in = study.inputs[corpus.aligned].stand_in if corpus.aligned in study.inputs else ""
        leads_to[f"corpora.{corpus.name}.aligned"] = f"corpora.{stand_in or corpus.aligned}.aligned"
    for place in leads_to:
        following, n_steps = leads_to[place], 0
        while following in leads_to:
            following, n_steps = leads_to[following], n_steps + 1
            if n_steps > len(leads_to):
                raise UsageError(f"{study.path}: {place}: leads back to itself")


def _check_references(study: Study) -> None:
    """Check that every name that is used is declared."""

    def check(place: str, names: Iterable[str], *known: Iterable[str]) -> None:
        declared = [name for some in known for name in some]
        for name in names:
            if name and name not in declared:
                listed = ", ".join(declared) or "nothing"
                raise UsageError(
                    f"{study.path}: {place}: {name!r} is not there; there are {listed}"
                )

    for spec in study.inputs.values():
        place = f"inputs.{spec.name}"
        check(f"{place}.stand_in", [spec.stand_in], study.corpora)
        check(f"{place}.kind", [spec.kind], InputKind)
    for corpus in study.corpora.values():
        place = f"corpora.{corpus.name}"
        check(f"{place}.scores", [corpus.scores], study.inputs)
        check(f"{place}.kind", [corpus.kind], ("songs", "renditions"))
        check(f"{place}.aligned", [corpus.aligned], study.corpora, study.inputs)
        is_part = len(corpus.part) == 2 and 0 <= corpus.part[0] < corpus.part[1] <= 1
        if not is_part:
            raise UsageError(f"{study.path}: {place}.part: two shares from 0 to 1, as [0, 0.5]")
    for mixtures in study.mixtures.values():
        place = f"mixtures.{mixtures.name}"
        check(f"{place}.sources", mixtures.sources, study.corpora, study.inputs)
        check(f"{place}.fold", [mixtures.fold], study.folds)
    for fold in study.folds.values():
        check(f"folds.{fold.name}.of", [fold.of], study.corpora, study.inputs)
        check(f"folds.{fold.name}.artists", [fold.artists], study.inputs)
        check(f"folds.{fold.name}.by", [fold.by], ("song", "artist"))
        check(f"folds.{fold.name}.splits", fold.splits, SPLITS)
        if fold.count < 2:
            raise UsageError(f"{study.path}: folds.{fold.name}.count: {fold.count}; at least 2")
        if fold.by == "artist" and not fold.artists:
            raise UsageError(
                f"{study.path}: folds.{fold.name}.artists: missing; by artist needs it"
            )
    for row in study.rows.values():
        place = f"rows.{row.name}"
        check(f"{place}.train", row.train, study.mixtures)
        check(f"{place}.validation", row.validation, study.mixtures, ("none",))
        check(f"{place}.model", [row.model], study.models)
        check(f"{place}.init", [row.init], study.rows)
        check(f"{place}.fold", [row.fold], study.folds)
        check(f"{place}.estimates", [row.estimates], study.inputs)
        kinds = [bool(kind) for kind in (row.train, row.system, row.estimates)]
        if sum(kinds) != 1 or bool(row.train) != bool(row.model):
            raise UsageError(
                f"{study.path}: {place}: needs train and model, or a system, or estimates"
            )
    for test in study.tests.values():
        place = f"tests.{test.name}"
        check(f"{place}.dataset", [test.dataset], study.corpora, study.inputs, study.mixtures)
        check(f"{place}.rows", test.rows, study.rows)
    for table in study.tables:
        place = f"tables.{table.name}"
        check(f"{place}.tests", table.tests, study.tests)
        check(f"{place}.rows", table.rows, study.rows)
        check(f"{place}.printed", table.printed, study.rows)
        check(f"{place}.statistic", [table.statistic], STATISTICS)
    for one in study.comparisons:
        place = f"comparisons.{one.name}"
        check(f"{place}.tests", one.tests, study.tests)
        check(place, (one.base, *one.rows, *one.null, *one.candidates), study.rows)
        check(f"{place}.artists", [one.artists], study.inputs)
        check(f"{place}.target", (one.target, *one.targets), study.targets)
        if len(one.null) not in (0, 2) or (one.candidates and not one.target):
            raise UsageError(f"{study.path}: {place}: null are two rows; candidates need a target")
    for prediction in study.predictions:
        place = f"predictions.{prediction.name}"
        check(f"{place}.tests", prediction.tests, study.tests)
        check(f"{place}.base", [prediction.base], study.rows)
        check(f"{place}.rows", prediction.rows, study.rows)
        check(f"{place}.artists", [prediction.artists], study.inputs)
        check(f"{place}.target", [prediction.target], study.targets)
        _check_corpora(study, prediction)
    told = {*(table.name for table in study.tables), *(one.name for one in study.comparisons)}
    for prediction in study.predictions:
        if prediction.name in told:
            raise UsageError(
                f"{study.path}: predictions.{prediction.name}: a table or a comparison has its name"
            )


def _check_corpora(study: Study, prediction: PredictionSpec) -> None:
    """Check that each row of a prediction has one corpus, and that it is of whole data sets."""
    place = f"{study.path}: predictions.{prediction.name}"
    for name in prediction.rows:
        sources = study.sources_of(study.rows[name])
        if len(sources) != 1 or sources[0] not in study.corpora:
            raise UsageError(f"{place}.rows.{name}: is not trained on mixtures of one corpus")
    if chosen := [name for name in prediction.tests if study.tests[name].songs]:
        raise UsageError(
            f"{place}.tests: {chosen[0]} has songs of its own, and corpora are compared with all "
            "songs of a data set"
        )
