"""Many runs beside each other: what they have in common, what differs, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.train.run import RUN, TrainedRun

__all__ = ["ListedRun", "differing_settings", "find_runs"]

_NONE: Final = "none"
_OF_A_HASH: Final = 6  # digits that tell data and weights apart
_DERIVED: Final = ("segment_samples", "step_samples")  # of other settings


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run as a row of a table.

    Attributes
    ----------
    run : str
        Path of the run from the folder that was searched, ``.`` for that folder itself.
    model : str
        Name of the model.
    targets : tuple of str
        Names of the targets that it separates.
    settings : mapping of str to object
        Settings of the model and of how it learns, as JSON values by name.
    data : mapping of str to object
        What it is trained on, as JSON values by name: seed, examples, mixtures, and the run that it
        begins with; these two are named by the beginning of their hash.
    n_epochs : int
        Number of epochs so far.
    best_epoch : int or None
        The epoch whose weights are the best, by what the run monitors; None before the first, and
        in runs that validate nothing.
    validation_loss, si_sdr_db : float or None
        Validation loss and SI-SDR in dB of that epoch.
    elapsed_s : float or None
        Seconds that all epochs took; None if a version that did not count them trained one.
    """

    run: str
    model: str
    targets: tuple[str, ...]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    n_epochs: int
    best_epoch: int | None
    validation_loss: float | None
    si_sdr_db: float | None
    elapsed_s: float | None


def find_runs(folder: Path, progress: Progress = QUIET) -> Iterator[ListedRun]:
    """Yield the runs in a folder and below it, by path; what cannot be read is a warning."""
    for path in sorted(folder.rglob(RUN)):
        try:
            yield _listed(TrainedRun(path.parent), folder)
        except InvalidCorpus as error:
            progress.warn(str(error))


def _listed(run: TrainedRun, folder: Path) -> ListedRun:
    best, times = run.best, [epoch.elapsed_s for epoch in run.history]
    known = [time for time in times if time is not None]
    return ListedRun(
        run=run.root.relative_to(folder).as_posix(),
        model=run.model_name,
        targets=run.targets,
        settings=_settings(run),
        data=_data(run),
        n_epochs=len(run.history),
        best_epoch=None if best is None else best.epoch,
        validation_loss=None if best is None else best.validation_loss,
        si_sdr_db=None if best is None else best.si_sdr_db,
        elapsed_s=round(sum(known), 3) if known and len(known) == len(times) else None,
    )


def _settings(run: TrainedRun) -> dict[str, Any]:
    known = {**run.config["settings"], **run.config["training"]}
    del known["targets"]
    return known


def _data(run: TrainedRun) -> dict[str, Any]:
    config = run.config
    known = {k: v for k, v in config.get("rules", {}).items() if k not in _DERIVED}
    for split, hashes in config.get("data", {}).items():
        names = [Path(path).name for path in run.content.get("data", {}).get(split, ())]
        pairs = zip(names, hashes, strict=False)
        texts = [f"{name} {value[:_OF_A_HASH]}" for name, value in pairs]
        known[f"{split} mixtures"] = ", ".join(texts) or _NONE
    known["init"] = (config.get("init") or "")[:_OF_A_HASH] or None
    return known


def differing_settings(runs: Sequence[ListedRun]) -> list[str]:
    """Return the names of settings in which some runs differ.

    Settings of models, and of how they learn, count where runs of the same model differ: another
    model has other ones anyway.
    """
    groups = [[run.settings for run in runs if run.model == model] for model in _models(runs)]
    groups.append([run.data for run in runs])
    names = dict.fromkeys(
        name for group in groups for one in group for name in one if _differ(name, group)
    )
    return list(names)


def _models(runs: Sequence[ListedRun]) -> list[str]:
    return list(dict.fromkeys(run.model for run in runs))


def _differ(name: str, group: Sequence[Mapping[str, Any]]) -> bool:
    return any(one.get(name) != group[0].get(name) for one in group)
