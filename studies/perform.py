"""What each kind of stage does: a call of the workflow that the command of the same name calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.evaluate.benchmark.datasets import find_dataset
from stemsmith.evaluate.realism.songs import read_known_songs
from stemsmith.evaluate.realism.workflow import measure_gap
from stemsmith.evaluate.workflow import evaluate_system
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Progress, Workers
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.workflow import SourceLike, mix
from stemsmith.render.sound.known_fonts import KNOWN, find_fonts
from stemsmith.render.workflow import make_bank, render_corpus, render_renditions
from stemsmith.share.workflow import export_dataset
from stemsmith.studies.aligned import write_aligned
from stemsmith.studies.files import beside
from stemsmith.studies.folds import artist_folds, in_fold, piece_of, pieces_of, song_folds
from stemsmith.studies.gaps import write_gap
from stemsmith.studies.scores import bundled_scores, copy_part
from stemsmith.studies.stages import StageKind, StudyStage

__all__ = ["CACHE", "StudyMachine", "perform", "trim_cache"]

CACHE: Final = "cache"
_LARGEST_CACHE: Final = 6e9  # bytes; what is needed again is decoded again


@dataclass(frozen=True)
class StudyMachine:
    """Where a study is done, which decides none of its results.

    Attributes
    ----------
    root : Path
        Folder of the study.
    home : Path
        Folder of the study's file, beside which it names taxonomies, banks and the like.
    workers : Workers
        Who renders, mixes and scores.
    device : str
        What trains and separates: ``auto``, ``cpu`` or ``cuda``.
    progress : Progress
        Is told how far each stage is.
    """

    root: Path
    home: Path
    workers: Workers
    device: str
    progress: Progress

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.root / stage

    def settled(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options in which files that lie beside the study's are found from anywhere."""
        return {name: self.beside(value) for name, value in options.items()}

    def beside(self, value: Any) -> Any:
        """Return the path of a file that lies beside the study's; any other value as it is."""
        return beside(value, self.home)

    def place(self, source: Mapping[str, str]) -> str:
        """Return where a source of some work is, as commands take it."""
        if "given" in source:
            return source["given"]
        place = str(self.folder(source["stage"]))
        return f"{source['layout']}:{place}" if "layout" in source else place


def perform(stage: StudyStage, machine: StudyMachine) -> None:
    """Do a stage, or go on with one that was killed.

    Parameters
    ----------
    stage : StudyStage
        What is to be done; all that it needs is done.
    machine : StudyMachine
        Where it is done.

    Raises
    ------
    StemsmithError
        As the workflow of the stage.
    """
    _PERFORMERS[stage.kind](stage.work, machine.folder(stage.id), machine)


def _copy_scores(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    source = bundled_scores() if work["folder"] is None else Path(work["folder"])
    low, high = work["part"]
    copy_part(source, (low, high), folder, work["patterns"])


def _align(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    write_aligned(Path(machine.place(work["of"])), Path(machine.place(work["scores"])), folder)


def _render(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    sound: dict[str, Any] = {"jobs": machine.workers, "progress": machine.progress}
    if work["bank"] or work["soundfonts"]:
        fonts = [_soundfont(name) for name in work["soundfonts"]]
        sound["bank"] = make_bank(fonts, machine.beside(work["bank"]), machine.progress)
    scores, options = machine.place(work["scores"]), machine.settled(work["options"])
    if options.get("band") == []:
        options["band"] = None  # which TOML cannot say
    if "aligned" in work:
        options["aligned"] = machine.place(work["aligned"])
    if work["kind"] == "renditions":
        render_renditions(scores, folder, **sound, **options)
    else:
        render_corpus(scores, folder, **sound, **options)


def _soundfont(name: str) -> Path:
    """Return the file of a soundfont: one of those that `stemsmith banks` lists, or a path."""
    wanted = [font for font in KNOWN if font.name == name]
    if not wanted:
        return Path(name)
    if found := find_fonts(wanted):
        return found[wanted[0]]
    raise UsageError(f"the soundfont {name} is not found: {wanted[0].source}; or name another one")


def _mix(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    options = machine.settled(work["options"])
    if work["fold"] is not None:
        options["left_out"] = [*options.get("left_out", ()), *_left_out(work, machine)]
    # A path with a colon in it would be taken for a layout.
    sources: list[SourceLike] = [
        source["given"] if "given" in source else machine.folder(source["stage"])
        for source in work["sources"]
    ]
    mix(sources, folder, jobs=machine.workers, progress=machine.progress, **options)


def _left_out(work: Mapping[str, Any], machine: StudyMachine) -> list[str]:
    """Return the songs of a fold in what is mixed: all that was made of its pieces."""
    fold = work["fold"]
    folds, found = _folds(fold, machine), dict[str, None]()
    for source in work["sources"]:
        if "stage" in source or source in fold["of"]:  # others may be recordings of solos
            pieces = pieces_of(machine.place(source))
            found |= {s: None for s, one in pieces.items() if in_fold(one, folds, fold["number"])}
    # What begins with @ would be the name of a file with names.
    return [f"[@]{name[1:]}" if name.startswith("@") else name for name in found]


def _write_songs(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    mixtures = machine.place(work["mixtures"])
    export_dataset(mixtures, folder, "musdb", jobs=machine.workers, progress=machine.progress)


def _train(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    from stemsmith.train.workflow import train_model

    def mixtures(names: Sequence[Mapping[str, str]]) -> list[Path]:
        return [machine.folder(name["stage"]) for name in names]

    targets = work["targets"]
    named: dict[str, Any] = {"targets": targets} if work["is_joint"] else {"target": targets[0]}
    validation = work["validation"]
    train_model(
        mixtures(work["mixtures"]),
        folder,
        model=work["model"],
        settings=work["settings"],
        validation=None if validation is None else mixtures(validation),
        init=None if work["init"] is None else machine.folder(work["init"]["stage"]),
        resume=folder.exists(),
        device=machine.device,
        cache=machine.root / CACHE,
        logger="csv",
        jobs=machine.workers,
        progress=machine.progress,
        **named,
        # On cores that others use, too, PyTorch's threads wait for each other: two took ten times
        # the processor's time of one (`train --threads`), and the networks are small.
        **{"n_threads": 1, **work["options"]},
    )


def trim_cache(cache: Path) -> None:
    """Remove decoded mixtures, the oldest first, while they take too much room.

    Parameters
    ----------
    cache : Path
        Folder of the cache, which nobody reads meanwhile.
    """
    stores = sorted(cache.glob("decoded/*/"), key=lambda path: path.stat().st_mtime)
    sizes = [sum(file.stat().st_size for file in store.glob("*")) for store in stores]
    for store, size in zip(stores, list(sizes), strict=True):
        if sum(sizes) <= _LARGEST_CACHE:
            break
        shutil.rmtree(store)
        sizes.remove(size)


def _evaluate(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    options, system = machine.settled(work["options"]), work.get("system")
    runs = [machine.folder(run["stage"]) for run in work.get("runs", ())]
    dataset = machine.place(work["dataset"])
    if "soundfonts" in options:  # of NMF
        options["soundfonts"] = [_soundfont(name) for name in options["soundfonts"]]
    if runs or str(system).startswith("nmf:"):
        options["device"] = machine.device
    if work["fold"] is not None and not _chosen_songs(work["fold"], dataset, options, machine):
        folder.mkdir(parents=True, exist_ok=True)  # none of these songs is in the fold
        return
    evaluate_system(
        system or runs,
        dataset,
        folder,
        targets=work["targets"],
        jobs=machine.workers,
        progress=machine.progress,
        **options,
    )


def _measure_gap(work: Mapping[str, Any], folder: Path, machine: StudyMachine) -> None:
    found = measure_gap(
        machine.place(work["corpus"]),
        [machine.place(songs) for songs in work["real"]],
        songs=work["artists"],
        jobs=machine.workers,
        progress=machine.progress,
        **work["options"],
    )
    write_gap(found, folder)


def _chosen_songs(
    work: Mapping[str, Any], dataset: str, options: dict[str, Any], machine: StudyMachine
) -> bool:
    """Set the songs of a fold, where the data set has songs of folds; say if there are any."""
    folds, pieces = _folds(work, machine), pieces_of(dataset)
    found = find_dataset(dataset, options.get("taxonomy"), options.get("splits", ("test",)))
    names = [song.name for song in found.of_songs(options.get("songs", ())).songs]
    of_song = {name: piece_of(name, pieces) for name in names}
    if not any(in_fold(one, folds, k) for one in of_song.values() for k in {*folds.values()}):
        return True
    options["songs"] = [n for n, one in of_song.items() if in_fold(one, folds, work["number"])]
    return bool(options["songs"])


def _folds(work: Mapping[str, Any], machine: StudyMachine) -> dict[str, int]:
    """Return the fold of each piece of a data set."""
    splits, names = work["splits"] or SPLITS, set[str]()
    for source in work["of"]:
        names |= {*pieces_of(machine.place(source), splits).values()}
    pieces = sorted(names)
    if work["artists"] is None:
        return song_folds(pieces, work["count"])
    artists = {song: known.artist for song, known in read_known_songs(work["artists"]).items()}
    if missing := [name for name in pieces if not artists.get(name)]:
        raise UsageError(f"{work['artists']}: does not name the artist of {missing[0]}")
    return artist_folds({name: artists[name] for name in pieces}, work["count"])


_PERFORMERS: Final[dict[StageKind, Callable[[Mapping[str, Any], Path, StudyMachine], None]]] = {
    StageKind.SCORES: _copy_scores,
    StageKind.ALIGNED: _align,
    StageKind.CORPUS: _render,
    StageKind.MIXTURES: _mix,
    StageKind.SONGS: _write_songs,
    StageKind.RUN: _train,
    StageKind.RESULTS: _evaluate,
    StageKind.GAP: _measure_gap,
}
