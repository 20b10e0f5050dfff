"""Any folder that a command of stemsmith wrote: opened as what it is, validated, and closed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stemsmith.manifests.errors import InvalidCorpus, UsageError, require
from stemsmith.manifests.folder_kinds import (
    MANIFEST,
    OF_STEMSMITH,
    RUN,
    FolderKind,
    kind_of,
    own_kind,
    refusal,
)
from stemsmith.manifests.jobs import QUIET, Progress, Workers
from stemsmith.manifests.places import place
from stemsmith.manifests.shards import read_manifest
from stemsmith.train.run_file import is_run_file

if TYPE_CHECKING:
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.evaluate.separation.run import Run
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.share.exports.exported import Exported

    Folder = Corpus | Exported | Mixtures | Results | Run

__all__ = ["merge", "open_folder", "validate"]


def open_folder(folder: str | Path) -> Folder:
    """Open a folder as what it is.

    Parameters
    ----------
    folder : str or Path
        What a command, or a function of the front door, wrote; or a run as one file.

    Returns
    -------
    Corpus, Exported, Mixtures, Results or Run
        Which one, the folder itself says.

    Raises
    ------
    InvalidCorpus
        If it is none of these, naming those that lie in it; or of a newer version.
    UsageError
        If it is a run, and PyTorch is not installed.

    Examples
    --------
    >>> import stemsmith
    >>> type(stemsmith.open_folder("corpus")).__name__
    'Corpus'
    >>> type(stemsmith.open_folder("run")).__name__
    'Run'
    """
    root = place(folder)
    if (root / RUN).exists() or is_run_file(root):
        require("train", "torch", "lightning", task="opening a run")
        from stemsmith.evaluate.separation.run import Run

        return Run(root)
    if own_kind(root) is None and not (root / MANIFEST).exists():
        missing = f"{root / MANIFEST}: missing; not a finished folder of stemsmith"
        raise InvalidCorpus(refusal(root, *OF_STEMSMITH, otherwise=missing))
    stage = read_manifest(root, "corpus", "mixtures", "evaluation", "export")["stage"]
    if stage == "export":
        from stemsmith.share.exports.exported import Exported

        return Exported(root)
    if stage == "mixtures":
        from stemsmith.mixing.mixtures import Mixtures

        return Mixtures(root)
    if stage == "evaluation":
        from stemsmith.evaluate.benchmark.results import Results

        return Results(root)
    from stemsmith.manifests.corpus import Corpus

    return Corpus(root)


def validate(
    folder: str | Path,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Folder:
    """Check every checksum and invariant of a folder.

    Parameters
    ----------
    folder : str or Path
        What a command, or a function of the front door, wrote.
    jobs : int or Workers
        Number of worker processes, 0 for this process alone; or workers that are open.
    scheduler : str, optional
        Address of a running Dask scheduler whose workers are used instead.
    progress : Progress
        Is told how far it is.

    Returns
    -------
    Corpus, Exported, Mixtures, Results or Run
        The folder, opened.

    Raises
    ------
    InvalidCorpus
        Naming the first file that is not what it was when the folder was written.

    Examples
    --------
    >>> import stemsmith
    >>> len(stemsmith.validate("corpus"))
    3
    """
    from stemsmith.evaluate.benchmark.results import Results
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.share.exports.exported import Exported

    opened = open_folder(folder)
    if isinstance(opened, Corpus):
        from stemsmith.render.checking import validate_corpus

        validate_corpus(opened.root, jobs=jobs, scheduler=scheduler, progress=progress)
    elif isinstance(opened, Mixtures):
        from stemsmith.mixing.workflow import validate_mixtures

        validate_mixtures(opened, jobs=jobs, scheduler=scheduler, progress=progress)
    elif isinstance(opened, Exported):
        opened.verify()
    elif isinstance(opened, Results):
        from stemsmith.evaluate.workflow import validate_results

        validate_results(opened.root)
    else:
        from stemsmith.train.workflow import validate_run

        validate_run(opened.root)
    return opened


def merge(folder: str | Path) -> Corpus | Mixtures:
    """Close a folder that the jobs of an array have filled.

    Shards of records, card and manifest are written, and what the jobs needed is removed. Every
    file is then, byte for byte, what one undivided call would have written. Killed at any moment,
    the same call goes on; of a folder that is closed, it returns what is there.

    Parameters
    ----------
    folder : str or Path
        What `render_corpus`, `render_renditions` or `mix` were given as their destination, with
        ``job="1/8"`` and so on.

    Returns
    -------
    Corpus or Mixtures
        The folder, opened.

    Raises
    ------
    NothingToDo
        If jobs have not finished, naming them and what to run; or if nothing came of all of them.
    UsageError
        If a job is at work there, or the folder is none that jobs fill.

    Examples
    --------
    >>> import stemsmith
    >>> options = {"n_songs": 2, "seed": 1, "min_notes": 1, "sample_rate": 16000}
    >>> for job in ("1/2", "2/2"):  # on one machine after the other, or at the same time
    ...     done = stemsmith.render_corpus("scores/bands", "new-corpus", job=job, **options)
    >>> done.job, done.n_made
    ('2/2', 1)
    >>> list(stemsmith.merge("new-corpus"))
    ['Track00001', 'Track00002']
    """
    from stemsmith.mixing.mixtures import STATE_FOLDER
    from stemsmith.mixing.workflow import merge_mixtures
    from stemsmith.render.corpus.layout import RUN_FOLDER
    from stemsmith.render.workflow import merge_corpus

    root = place(folder)
    kind = own_kind(root)
    if (root / RUN_FOLDER).is_dir() or kind in (FolderKind.CORPUS, FolderKind.RENDITIONS):
        return merge_corpus(root)
    if (root / STATE_FOLDER).is_dir() or kind is FolderKind.MIXTURES:
        return merge_mixtures(root)
    raise UsageError(
        f"{root}: {kind_of(root).words}; expected what jobs of `render` or `mix` have filled"
    )
