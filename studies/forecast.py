"""What a study will do, before it does it: hours of mixtures, seconds seen, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.records import ScannedSong
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S
from stemsmith.render.midi.scan import ScanJob, scan_files
from stemsmith.studies.plan import StudyPlan
from stemsmith.studies.scores import bundled_scores, files_of_part
from stemsmith.studies.stages import StageKind, StudyStage

__all__ = ["StageForecast", "forecast_stages"]

_N_SAMPLED: Final = 24  # scores that are read to say how long songs are
_CLIP_S: Final = 10.0  # of mixtures, by default
_BYTES_PER_SAMPLE_OF_STEM: Final = 0.37  # as `stemsmith.render.songs.forecast` has it


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
    hours : float or None
        Hours of a corpus at most, of training mixtures, or of audio that a training sees in all
        its epochs; None where nobody knows.
    n_bytes : int or None
        Size of a corpus, estimated.
    """

    id: str
    needs: tuple[str, ...]
    about: str
    n_parameters: int | None = None
    hours: float | None = None
    n_bytes: int | None = None


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
    # Files are ranked by their hash: each is read once for a stage of scores, and never again.
    paths = {stage.id: _paths(stage) for stage in plan.stages if stage.kind is StageKind.SCORES}
    return [_forecast(stage, paths, known) for stage in plan.stages]


def _forecast(
    stage: StudyStage, paths: Mapping[str, list[Path]], known: dict[str, int]
) -> StageForecast:
    options: Mapping[str, Any] = stage.work.get("options", {})
    words = ", ".join(f"{name} {value}" for name, value in options.items())
    if stage.kind == StageKind.SCORES:
        return _of_scores(stage, len(paths[stage.id]))
    if stage.kind == StageKind.CORPUS:
        return _of_corpus(stage, words, paths[stage.work["scores"]["stage"]])
    if stage.kind == StageKind.MIXTURES:
        hours = options.get("hours")
        if hours is None and "n_mixtures" in options:
            clip_s = options.get("clip_s") or _CLIP_S
            hours = options["n_mixtures"] * clip_s / 3600
        return StageForecast(stage.id, stage.needs, words, hours=hours)
    if stage.kind == StageKind.RUN:
        return _of_run(stage, words, known)
    return StageForecast(stage.id, stage.needs, words)


def _paths(stage: StudyStage) -> list[Path]:
    """Return the MIDI files of a stage of scores."""
    folder, (low, high) = stage.work["folder"], stage.work["part"]
    source = bundled_scores() if folder is None else Path(folder)
    return list(files_of_part(source, (low, high), stage.work["patterns"]).values())


def _of_scores(stage: StudyStage, n_files: int) -> StageForecast:
    folder = stage.work["folder"] or "the scores that come with stemsmith"
    return StageForecast(stage.id, stage.needs, f"{n_files} MIDI files of {folder}")


def _of_corpus(stage: StudyStage, words: str, paths: list[Path]) -> StageForecast:
    """Estimate the largest corpus that the scores can make, from some of them."""
    options = stage.work["options"]
    some = paths[:: -(-len(paths) // _N_SAMPLED)]
    scanned = [
        song
        for path in some
        for song in scan_files(ScanJob(str(path.parent), (path.name,), DEFAULT_MAX_DURATION_S))
        if isinstance(song, ScannedSong)
    ]
    n_songs = options.get("n_songs") or len(paths) * len(scanned) // len(some)
    if stage.work["kind"] == "renditions" or not scanned:
        return StageForecast(stage.id, stage.needs, f"{len(paths)} scores; {words}")
    song_s = sum(song.duration_s for song in scanned) / len(scanned)
    n_stems = sum(len(song.parts) for song in scanned) / len(scanned)
    rate = options.get("sample_rate", RenderConfig().sample_rate) * options.get("n_channels", 1)
    n_bytes = n_songs * song_s * rate * (1 + _BYTES_PER_SAMPLE_OF_STEM * n_stems)
    about = f"at most {n_songs} songs; {words}"
    return StageForecast(
        stage.id, stage.needs, about, hours=n_songs * song_s / 3600, n_bytes=round(n_bytes)
    )


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
    hours = None
    if examples.n_examples is not None:
        samples = shape.segment_samples
        hours = training.epochs * examples.n_examples * samples / shape.sample_rate / 3600
    return StageForecast(stage.id, stage.needs, words, known[key], hours)


def _n_parameters(model: Any, shape: Any) -> int:
    import torch

    with torch.device("meta"):
        network = model(shape)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
