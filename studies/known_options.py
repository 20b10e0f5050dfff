"""The names of all options that a study sets, checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stemsmith.manifests.errors import UsageError
from stemsmith.studies.study import Study

__all__ = ["check_options"]


def check_options(study: Study) -> None:
    """Check the names of all options of a study, before anything is done.

    Raises
    ------
    UsageError
        Naming the file, the stage and the option that there is not.
    """
    for place, option, names in _given_options(study):
        if option not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"{study.path}: {place}: no option {option!r}; known: {known}")


def _given_options(study: Study) -> Iterator[tuple[str, str, set[str]]]:
    from stemsmith.evaluate.benchmark.options import EvaluationOptions
    from stemsmith.evaluate.realism.options import GapOptions
    from stemsmith.mixing.plan.config import MixOptions
    from stemsmith.render.corpus.config import RenderOptions
    from stemsmith.render.renditions.config import RenditionOptions
    from stemsmith.train.options import TrainOptions

    def names(options: Any) -> set[str]:
        return set(options.__annotations__)

    for corpus in study.corpora.values():
        is_songs = corpus.kind == "songs"
        known = names(RenderOptions) if is_songs else names(RenditionOptions) | {"preset"}
        for option in corpus.render:
            yield f"corpora.{corpus.name}.render", option, known
    for mixtures in study.mixtures.values():
        for option in mixtures.mix:
            yield f"mixtures.{mixtures.name}.mix", option, names(MixOptions) | {"taxonomy"}
    for model in study.models.values():
        for option in model.train:
            yield f"models.{model.name}.train", option, names(TrainOptions)
    for row in study.rows.values():
        for option in row.options:
            yield f"rows.{row.name}.options", option, names(TrainOptions)
        for option in row.evaluate:
            yield f"rows.{row.name}.evaluate", option, names(EvaluationOptions)
    for test in study.tests.values():
        for option in test.evaluate:
            yield f"tests.{test.name}.evaluate", option, names(EvaluationOptions)
    for prediction in study.predictions:
        for option in prediction.gap:
            known = names(GapOptions) - {"songs"}  # which are the artists
            yield f"predictions.{prediction.name}.gap", option, known
