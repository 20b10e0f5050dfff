"""The options that a study sets, checked before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from stemsmith.manifests.errors import StemsmithError, UsageError
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.stages import StageKind
from stemsmith.studies.study import Study

__all__ = ["check_options"]

# What a study says elsewhere, or the machine decides.
_OF_TRAINING: Final = ("device", "cache", "logger", "seed")
_OF_EVALUATION: Final = ("targets", "songs", "device")


def check_options(plan: StudyPlan) -> None:
    """Check the names of all options of a study, and the values of those that stages have.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.

    Raises
    ------
    UsageError
        Naming the file, the place and the option that there is not or whose value cannot be.
    """
    study = plan.study
    for place, option, names in _given_options(study):
        if option not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"{study.path}: {place}: no option {option!r}; known: {known}")
    _check_names(study)
    makers = _makers()
    for stage in plan.stages:
        make = makers.get(
            f"{stage.kind} of {stage.work['kind']}" if "kind" in stage.work else str(stage.kind)
        )
        if make is None:
            continue
        options = dict(stage.work["options"])
        try:
            make(dict(options))
        except StemsmithError as error:
            raise UsageError(f"{study.path}: {stage.id}: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:  # as of a list in place of text
            shown = ", ".join(f"{name} = {value!r}" for name, value in options.items())
            raise UsageError(
                f"{study.path}: {stage.id}: one of these is of another kind than it has to be: "
                f"{shown}"
            ) from error


def _check_names(study: Study) -> None:
    """Check the names of models and systems."""
    from stemsmith.evaluate.benchmark.systems import parse_system
    from stemsmith.train.models.registry import MODELS, is_model_name

    for model in study.models.values():
        if not is_model_name(model.model):
            known = ", ".join(MODELS.names)
            raise UsageError(
                f"{study.path}: models.{model.name}.model: {model.model!r} unknown; known: {known}"
            )
    for row in study.rows.values():
        try:
            parse_system(row.system or "mixture")
        except UsageError as error:
            raise UsageError(f"{study.path}: rows.{row.name}.system: {error}") from error


def _makers() -> Mapping[str, Callable[[dict[str, Any]], object]]:
    """Return what makes a configuration of a stage's options, which refuses what cannot be."""
    from stemsmith.evaluate.benchmark.options import EvaluationConfig
    from stemsmith.mixing.plan.config import MixConfig
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.renditions.config import PRESETS, RenditionConfig
    from stemsmith.train.options import read_options
    from stemsmith.train.schedule import TrainConfig

    def songs(options: dict[str, Any]) -> object:
        if options.get("band") == []:
            options["band"] = None
        return RenderConfig(**options)

    def renditions(options: dict[str, Any]) -> object:
        preset = options.pop("preset", None)
        if preset is not None and preset not in PRESETS:
            raise UsageError(f"preset {preset!r}: unknown; known: {', '.join(PRESETS)}")
        return RenditionConfig(**{**(PRESETS[preset] if preset else {}), **options})

    def mixtures(options: dict[str, Any]) -> object:
        options.pop("taxonomy", None)
        return MixConfig(**options)

    def training(options: dict[str, Any]) -> object:
        return read_options(TrainConfig(), options)  # type: ignore[arg-type]

    return {
        f"{StageKind.CORPUS} of songs": songs,
        f"{StageKind.CORPUS} of renditions": renditions,
        StageKind.MIXTURES: mixtures,
        StageKind.RUN: training,
        StageKind.RESULTS: lambda options: EvaluationConfig(**options),
    }


def _given_options(study: Study) -> Iterator[tuple[str, str, set[str]]]:
    from stemsmith.evaluate.benchmark.options import EvaluationOptions
    from stemsmith.evaluate.realism.options import GapOptions
    from stemsmith.mixing.plan.config import MixOptions
    from stemsmith.render.corpus.config import RenderOptions
    from stemsmith.render.renditions.config import RenditionOptions
    from stemsmith.train.options import TrainOptions

    def names(options: Any, *others: str) -> set[str]:
        return set(options.__annotations__) - {*others}

    of_training = names(TrainOptions, *_OF_TRAINING)
    of_evaluation = names(EvaluationOptions, *_OF_EVALUATION)

    for corpus in study.corpora.values():
        is_songs = corpus.kind == "songs"
        known = (
            names(RenderOptions) if is_songs else names(RenditionOptions, "aligned") | {"preset"}
        )
        for option in corpus.render:
            yield f"corpora.{corpus.name}.render", option, known
    for mixtures in study.mixtures.values():
        for option in mixtures.mix:
            yield f"mixtures.{mixtures.name}.mix", option, names(MixOptions) | {"taxonomy"}
    for model in study.models.values():
        for option in model.train:
            yield f"models.{model.name}.train", option, of_training
    for row in study.rows.values():
        for option in row.options:
            yield f"rows.{row.name}.options", option, of_training
        for option in row.evaluate:
            yield f"rows.{row.name}.evaluate", option, of_evaluation
    for test in study.tests.values():
        for option in test.evaluate:
            yield f"tests.{test.name}.evaluate", option, of_evaluation
    for prediction in study.predictions:
        for option in prediction.gap:
            known = names(GapOptions, "songs")  # which are the artists
            yield f"predictions.{prediction.name}.gap", option, known
