"""What there is to do here: training a model, checking a run, listing runs.

These functions print nothing; they tell of their progress to whoever is given, and use workers only
where asked to. Importing them does not import PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.errors import NothingToDo, UsageError, require
from stemsmith.manifests.folder_kinds import own_kind
from stemsmith.manifests.jobs import QUIET, Progress, Workers
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.places import is_remote, place
from stemsmith.train.listing import ListedRun, find_runs
from stemsmith.train.models.registry import configure, model_class
from stemsmith.train.options import TrainOptions, read_options
from stemsmith.train.run import RUN, TrainedRun
from stemsmith.train.schedule import without_validation

if TYPE_CHECKING:
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.mixing.workflow import HasRoot
    from stemsmith.train.data.config import ExampleConfig
    from stemsmith.train.data.examples import ExampleRules
    from stemsmith.train.data.store import Decoding
    from stemsmith.train.models.base import ModelConfig
    from stemsmith.train.schedule import TrainConfig

    Folder = str | PathLike[str] | HasRoot

__all__ = ["list_runs", "train_model", "validate_run"]


_TENSORBOARD: Final = "tensorboard"


def train_model(
    mixtures: Folder | Sequence[Folder],
    run: str | PathLike[str],
    *,
    model: str = "blstm",
    target: str | None = None,
    targets: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    validation: Folder | Sequence[Folder] | None = (),
    init: Folder | None = None,
    resume: bool = False,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a model on mixtures.

    Killed at any moment, the same call with ``resume=True`` goes on and, on a CPU, ends with the
    same weights.

    Parameters
    ----------
    mixtures : path or Mixtures, or several
        Folders of mixtures, which are concatenated.
    run : path
        Folder that is made, or gone on with.
    model : str
        One of `stemsmith.train.MODELS`, or ``package.module:Class`` of a `SeparationModel` of your
        own.
    target : str, optional
        Name of the one target to separate, for models of one.
    targets : sequence of str
        Names of the targets to separate, for models of several.
    settings : mapping of str to object, optional
        Settings of the model that differ from its paper's, such as ``{"n_units": 64}``. Its
        channels, ``n_channels``, are those of the mixtures unless they are set; 1 where not all
        mixtures have 2.
    validation : path or Mixtures, or several, or None
        Folders whose validation mixtures count; by default those trained on. None validates
        nothing, so that the last weights are the run's: for models that stop by their training
        cost, or after so many epochs.
    init : path or Run, optional
        A run whose weights are the first ones, for fine-tuning.
    resume : bool
        Whether to go on with the run from its last whole epoch.
    jobs : int or Workers
        Number of worker processes that decode mixtures, where 0 works in this process; or workers
        that are open.
    scheduler : str, optional
        Address of a Dask scheduler whose workers decode.
    progress : Progress
        Is told which loader was chosen, and how far decoding and each epoch are.
    **options
        Fields of `TrainConfig`, whose defaults are the model's, of `ExampleConfig` and of
        `Machine`, such as ``epochs=20``, ``seed=1`` or ``device="cuda"``.

    Returns
    -------
    Run
        The trained run.

    Raises
    ------
    UsageError
        If options make no sense or do not fit the mixtures, the folder holds something else, or a
        package that training needs is not installed.
    NothingToDo
        If there are no mixtures to train or validate on, or the loss became infinite.
    InvalidCorpus
        If mixtures or another run are not what they should be.

    Examples
    --------
    >>> import stemsmith
    >>> run = stemsmith.train_model(
    ...     "mixtures",
    ...     "new-run",
    ...     target="bass",
    ...     settings={"n_layers": 1, "n_units": 4, "segment_frames": 50},
    ...     epochs=2,
    ...     batch_size=2,
    ...     device="cpu",
    ... )
    >>> len(run.history), run.targets
    (2, ('bass',))
    """
    logger = options.get("logger", _TENSORBOARD)
    needed = [_TENSORBOARD] if logger == _TENSORBOARD else []
    require("train", "torch", "lightning", *needed, task="training")
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.train.request import TrainRequest
    from stemsmith.train.trainer import fit, is_first_process

    folders, root = _paths(mixtures), place(run)
    more = None if validation is None else _paths(validation)
    chosen = dict(settings or {})
    if "n_channels" not in chosen:
        chosen["n_channels"] = _n_channels((*folders, *(more or ())), root if resume else None)
    shape = configure(model, _names(target, targets), chosen)
    training, examples, machine = read_options(model_class(model).training_defaults, options)
    if more is None:
        training = _without_validation(training, options, progress if is_first_process() else QUIET)
    request = TrainRequest(
        mixtures=folders,
        validation=more,
        model=model,
        settings=shape,
        training=training,
        rules=_rules(examples, shape),
        init=None if init is None else TrainedRun(_path(init)),
    )

    def decode(decodings: list[Decoding]) -> None:
        if not all(decoding.is_closed for decoding in decodings):
            with open_workers(jobs, scheduler) as workers:
                for decoding in decodings:
                    decoding.fill(workers, progress)

    fit(request, root, machine, decode, is_resumed=resume, progress=progress)
    return Run(root)


def validate_run(run: Folder, *, progress: Progress = QUIET) -> Run:
    """Check that a run can be used: its checkpoints can be loaded, and are of the model it says.

    Parameters
    ----------
    run : path or Run
        A run that has ended an epoch.
    progress : Progress
        Is warned of checkpoints that have no checksum, as in runs of version 0.1.

    Returns
    -------
    Run
        The run, which is sound.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is missing, damaged, of another model or version, or has weights
        that are not finite.
    UsageError
        If PyTorch is not installed.

    Examples
    --------
    >>> len(validate_run("run").history)
    1
    """
    require("train", "torch", "lightning", task="checking a run")
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.train.validate import check_run

    found = Run(_path(run))
    check_run(found, progress)
    return found


def list_runs(folder: str | PathLike[str], *, progress: Progress = QUIET) -> list[ListedRun]:
    """Return the runs in a folder and below it, by path.

    Parameters
    ----------
    folder : path
        Where to look for runs.
    progress : Progress
        Is warned of runs that cannot be read, which are left out.

    Returns
    -------
    list of ListedRun
        One row a run, by path; `stemsmith.train.listing.differing_settings` says which settings
        are worth a column.

    Raises
    ------
    UsageError
        If there is no such folder.
    NothingToDo
        If there is no run.

    Examples
    --------
    >>> [(run.run, run.model, run.n_epochs) for run in list_runs(".")]
    [('run', 'blstm', 1)]
    """
    root = place(folder)
    if not root.is_dir():
        raise UsageError(f"{root}: is not a folder")
    runs = list(find_runs(root, progress))
    if not runs:
        found = own_kind(root)
        holds = f", which {found.words}" if found else ""
        raise NothingToDo(f"{root}: no run of `stemsmith train` here or below{holds}")
    return runs


def _without_validation(
    training: TrainConfig, options: TrainOptions, progress: Progress
) -> TrainConfig:
    """Return how a model learns where nothing is validated, and tell of what is left out."""
    if options.get("n_validation") is not None:
        raise UsageError(
            f"--validation-examples {options['n_validation']}: needs validation mixtures, and "
            "--validation none has none"
        )
    settled, left_out = without_validation(training, options.keys())
    if left_out:
        progress.note(f"validation: none, and so without the model's {left_out}")
    return settled


def _names(target: str | None, targets: Sequence[str]) -> tuple[str, ...]:
    if (target is None) == (not targets):
        raise UsageError("say what to separate: --target bass, or --targets bass,drums,...")
    return tuple(map(normal_name, targets if target is None else (target,)))


def _paths(folders: Folder | Sequence[Folder]) -> tuple[Path, ...]:
    """Return paths of one or several folders; what was opened may be a sequence itself."""
    if isinstance(folders, str | PathLike) or is_remote(folders) or hasattr(folders, "root"):
        return (_path(cast("Folder", folders)),)
    return tuple(map(_path, folders))


def _path(folder: Folder) -> Path:
    is_named = isinstance(folder, str | PathLike) or is_remote(folder)
    return place(cast("str | Path", folder) if is_named else cast("HasRoot", folder).root)


def _n_channels(folders: Sequence[Path], resumed: Path | None) -> int:
    """Return the channels that a model has by default: those of the mixtures, or of its run."""
    from stemsmith.mixing.mixtures import Mixtures

    if resumed is not None and (resumed / RUN).exists():
        return int(TrainedRun(resumed).settings.n_channels)
    return min((Mixtures(folder).n_channels for folder in folders), default=1)


def _rules(examples: ExampleConfig, shape: ModelConfig) -> ExampleRules:
    from stemsmith.train.data.examples import ExampleRules

    low, high = examples.gain
    return ExampleRules(
        seed=examples.seed,
        segment_samples=shape.segment_samples,
        step_samples=shape.block_frames * shape.hop,
        n_examples=examples.n_examples,
        n_validation=examples.n_validation,
        remix=examples.remix,
        gain_low=low,
        gain_high=high,
    )
