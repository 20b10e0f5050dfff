"""What a study will do, before it does it: hours of mixtures, seconds seen, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemsmith.manifests.options import fields_of
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.stages import StageKind, StudyStage

__all__ = ["StageForecast", "forecast_stages"]


@dataclass(frozen=True)
class StageForecast:
    """What is known of a stage before it is done.

    Attributes
    ----------
    id : str
        The stage's folder below the study's.
    needs : tuple of str
        Stages that have to be done before.
    about : str
        What decides its cost.
    n_parameters : int or None
        Trained parameters of a run's network.
    seen_h : float or None
        Hours of audio that a training sees in all its epochs, or hours of mixtures.
    """

    id: str
    needs: tuple[str, ...]
    about: str
    n_parameters: int | None = None
    seen_h: float | None = None


def forecast_stages(plan: StudyPlan) -> list[StageForecast]:
    """Say what each stage of a study will do.

    Parameters
    ----------
    plan : StudyPlan
        The study's plan.

    Returns
    -------
    list of StageForecast
        In the order in which they are done.

    Raises
    ------
    UsageError
        If a model or its settings are not known.
    """
    known: dict[str, int] = {}
    return [_forecast(stage, known) for stage in plan.stages]


def _forecast(stage: StudyStage, known: dict[str, int]) -> StageForecast:
    options: Mapping[str, Any] = stage.work.get("options", {})
    words = ", ".join(f"{name} {value}" for name, value in options.items())
    if stage.kind == StageKind.SCORES:
        low, high = stage.work["part"]
        folder = stage.work["folder"] or "the scores of stemsmith"
        return StageForecast(stage.id, stage.needs, f"{low:.0%} to {high:.0%} of {folder}")
    if stage.kind == StageKind.MIXTURES:
        hours = options.get("hours")
        if hours is None and "n_mixtures" in options:
            clip_s = options.get("clip_s") or _default(MixConfig, "clip_s") or 10.0
            hours = options["n_mixtures"] * clip_s / 3600
        return StageForecast(stage.id, stage.needs, words, seen_h=hours)
    if stage.kind == StageKind.RUN:
        return _of_run(stage, words, known)
    return StageForecast(stage.id, stage.needs, words)


def _of_run(stage: StudyStage, words: str, known: dict[str, int]) -> StageForecast:
    from stemsmith.train.models.registry import configure, model_class
    from stemsmith.train.options import read_options

    work = stage.work
    shape = configure(work["model"], tuple(work["targets"]), work["settings"])
    key = repr((work["model"], shape))
    if key not in known:
        known[key] = _n_parameters(model_class(work["model"]), shape)
    training, examples, _ = read_options(
        model_class(work["model"]).training_defaults, work["options"]
    )
    seen_h = None
    if examples.n_examples is not None:
        samples = shape.segment_samples
        seen_h = training.epochs * examples.n_examples * samples / shape.sample_rate / 3600
    return StageForecast(stage.id, stage.needs, words, known[key], seen_h)


def _n_parameters(model: Any, shape: Any) -> int:
    import torch

    with torch.device("meta"):
        network = model(shape)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _default(config: type, name: str) -> Any:
    return next(field.default for field in fields_of(config) if field.name == name)
