"""Systems that can be scored: the mixture as it is, oracles, trained runs, anyone's files.

A run separates the mixtures in this process, ahead of the workers that score its estimates; they
are files in the meantime, so that a run is scored by the same code as everybody's estimates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from stemsmith.evaluate.benchmark.datasets import DatasetSong
from stemsmith.evaluate.benchmark.oracle import Oracle
from stemsmith.evaluate.benchmark.song import Unscorable, read_song
from stemsmith.manifests.audio.read import encode_wav, is_audio
from stemsmith.manifests.errors import InvalidCorpus, UsageError, require
from stemsmith.manifests.folder_kinds import FolderKind, kind_of, own_kind
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing.sources.files import FOUND_BY, all_files
from stemsmith.mixing.sources.song_folders import find_songs

if TYPE_CHECKING:
    from stemsmith.evaluate.separation.options import SeparationConfig

__all__ = [
    "FOLD",
    "EstimateFolder",
    "JointRuns",
    "Kind",
    "System",
    "parse_system",
    "require_torch",
    "system_of",
]

FOLD: Final = "{fold}"  # stands for the number of a fold in a path
_RUN: Final = "run:"
_INFORMED: Final = "informed"
_BEFORE_RUN: Final = re.compile(f",(?={_RUN})")


class Kind(StrEnum):
    """The kinds of systems, by where their estimates come from."""

    MIXTURE = "mixture"
    ORACLE = "oracle"
    RUN = "run"
    ESTIMATES = "estimates"
    NMF = "nmf"


@dataclass(frozen=True, slots=True)
class System:
    """A system that can be scored.

    Attributes
    ----------
    name : str
        What the system is called: the text by which the command line names it.
    kind : Kind
        Where its estimates come from.
    oracle : Oracle or None
        The oracle, if it is one.
    folders : tuple of Path
        Folders of its runs, or the one folder of its estimates or scores.
    is_informed : bool
        Whether NMF knows when the notes of the score are played, and not only which.
    """

    name: str
    kind: Kind
    oracle: Oracle | None = None
    folders: tuple[Path, ...] = ()
    is_informed: bool = False

    @property
    def is_folded(self) -> bool:
        """Whether every fold has a system of its own."""
        return any(FOLD in str(folder) for folder in self.folders)

    def of_fold(self, fold: int) -> System:
        """Return the system of a fold."""
        folders = tuple(place(str(path).replace(FOLD, str(fold))) for path in self.folders)
        return replace(self, folders=folders)


def parse_system(text: str) -> System:
    """Return the system that a text means.

    Parameters
    ----------
    text : str
        ``mixture``, ``oracle:irm``, ``run:DIR[,run:DIR...]``, ``estimates:DIR`` or
        ``nmf:[SCORES][,informed]``.

    Raises
    ------
    UsageError
        If it is none of them.
    """
    kind, _, rest = text.partition(":")
    if text == Kind.MIXTURE:
        return System(text, Kind.MIXTURE)
    if kind == Kind.ORACLE and rest in list(Oracle):
        return System(text, Kind.ORACLE, Oracle(rest))
    if kind == Kind.ESTIMATES and rest:
        return System(text, Kind.ESTIMATES, None, (place(rest),))
    if text.startswith(f"{Kind.NMF}:"):
        return _nmf_system(text, rest)
    runs = _BEFORE_RUN.split(text)  # a comma may be part of a path
    if all(run.startswith(_RUN) and run != _RUN for run in runs):
        folders = [place(run.removeprefix(_RUN)) for run in runs]
        return System(text, Kind.RUN, None, tuple(folders))
    found = kind_of(place(text)) if text else FolderKind.MISSING
    if found in (FolderKind.RUN, FolderKind.AUDIO):
        meant = "run" if found is FolderKind.RUN else "estimates"
        raise UsageError(f"{text}: {found.words}; did you mean {meant}:{text}?")
    oracles = "|".join(Oracle)
    is_there = found not in (FolderKind.MISSING, FolderKind.FILE)
    holds = f"{found.words}; " if is_there else ""
    raise UsageError(
        f"{text}: {holds}unknown system; known: mixture, oracle:{oracles}, run:DIR[,run:DIR...], "
        "estimates:DIR, nmf:[SCORES][,informed]"
    )


def _nmf_system(text: str, rest: str) -> System:
    """Return score-constrained NMF: of scores beside the stems, unless a folder has them."""
    before, _, last = rest.rpartition(",")
    is_informed = last == _INFORMED
    folder = before if is_informed else rest
    folders = (place(folder),) if folder else ()
    return System(text, Kind.NMF, None, folders, is_informed)


def system_of(system: str | PathLike[str] | Sequence[PathLike[str]]) -> System:
    """Return the system that a caller means.

    Parameters
    ----------
    system : str, path, or sequence of path
        A text as for `parse_system`; or a trained run, or several that are one system together,
        each as the run itself or the path of its folder.

    Raises
    ------
    UsageError
        If it is none of them.
    """
    if isinstance(system, str):
        return parse_system(system)
    is_one = isinstance(system, PathLike) or is_remote(system)
    runs = cast(Sequence[PathLike[str]], [system] if is_one else system)
    if not runs:
        raise UsageError("no run is given")
    name = ",".join(f"{_RUN}{_text_of(run)}" for run in runs)
    return System(name, Kind.RUN, None, tuple(place(run) for run in runs))


def _text_of(run: PathLike[str]) -> str:
    return str(run) if is_remote(run) else fspath(run)


def require_torch() -> None:
    """Check that what trained runs need is installed.

    Raises
    ------
    UsageError
        If it is not, saying how to install it.
    """
    require("train", "torch", task="separating")


class EstimateFolder:
    """Anyone's separated files: ``[test/]<song>/<name>.wav`` or ``.flac``, or by a pattern.

    Parameters
    ----------
    root : Path
        The folder that holds a folder for each song.
    pattern : str
        Path of a file below it with ``{song}`` and ``{target}``, without an ending for files of
        any kind of audio; empty for folders of songs.
    songs : collection of str
        Names of the songs of the data set, by which the files of a pattern are told apart.

    Attributes
    ----------
    names : tuple of str
        Names of the estimates that at least one song has.

    Raises
    ------
    UsageError
        If it is no folder, or has no estimates.
    InvalidCorpus
        If a song or an estimate is there twice.
    """

    def __init__(self, root: Path, pattern: str = "", songs: Collection[str] = ()) -> None:
        self.root, self._pattern = root, pattern
        if not root.is_dir():
            raise UsageError(f"{root}: not a folder of estimates")
        if (found := own_kind(root)) is not None and found is not FolderKind.EXPORT:
            meant = f"; did you mean run:{root}?" if found is FolderKind.RUN else ""
            raise UsageError(f"{root}: {found.words}, not estimates{meant}")
        self._files: Mapping[str, Mapping[str, Path]]
        if pattern:
            self._files = _matching_files(root, pattern, songs)
        else:
            self._files = {folder.song: folder.files for folder in find_songs(root)}
        if not self._files:
            expected = "<song>/<target>.wav or .flac" if not pattern else f"{pattern} of a song"
            hint = "" if pattern else "; --pattern '{song}_{target}.wav' reads flat folders"
            raise UsageError(f"{root}: no estimates: expected {expected}{hint}")
        self.names = tuple(sorted({name for files in self._files.values() for name in files}))

    def find(self, song: str, name: str) -> Path | None:
        """Return the file of an estimate, or None if there is none."""
        return self._files.get(normal_name(song), {}).get(normal_name(name))

    def missing(self, song: str, name: str) -> str:
        """Say which file of a song would be an estimate, and is not there."""
        if self._pattern:
            wanted = self._pattern.replace("{song}", song).replace("{target}", name)
            return f"{self.root}: no {wanted}"
        return f"{self.root / song}: no {name}.wav or .flac"

    def unused(self, songs: Collection[str], names: Collection[str]) -> list[Rejection]:
        """Return a row for every file that is no estimate of anything that is scored.

        Parameters
        ----------
        songs : collection of str
            Names of the songs that are scored with this folder, or have a row of their own.
        names : collection of str
            Names of the estimates that are wanted of each.
        """
        song_of, used = dict[Path, str](), set[Path]()
        for song, files in self._files.items():
            song_of.update(dict.fromkeys(files.values(), song))
            used.update(path for name, path in files.items() if song in songs and name in names)
        rows = []
        for path, fault in all_files(self.root):
            if path in used:
                continue
            if fault:
                reason, text = Reason.UNREADABLE, f"cannot be read: {fault}"
            elif not is_audio(path):
                reason, text = Reason.NOT_AUDIO, "not audio that can be read, by its ending"
            elif path not in song_of:
                text = (
                    "fits no song by its name" if self._pattern else "not in the folder of a song"
                )
                reason = Reason.NO_STEM
            elif song_of[path] not in songs:
                reason, text = Reason.NO_SONG, f"no song {song_of[path]} is scored"
            else:
                reason, text = Reason.NO_TARGET, "an estimate of no target that is scored"
            place = f"estimates:{path.relative_to(self.root).as_posix()}"
            rows.append(Rejection(place, FOUND_BY, reason, f"{path}: {text}"))
        return rows


def _matching_files(root: Path, pattern: str, songs: Collection[str]) -> dict[str, dict[str, Path]]:
    """Return the files that a pattern names, by song and by target.

    A song's name may hold what stands between the fields: of several songs that a file fits, it is
    of the one with the longest name. A pattern that does not end as audio does is that of files
    with any such ending.
    """
    has_ending = is_audio(Path(pattern))
    form = re.escape(normal_name(pattern)).replace(r"\{target\}", "(?P<target>[^/]+)")
    longest_first = sorted(songs, key=lambda song: (-len(song), song))
    forms = {
        song: re.compile(form.replace(r"\{song\}", re.escape(normal_name(song))))
        for song in longest_first
    }
    found: dict[str, dict[str, Path]] = {}
    for path, fault in all_files(root):
        if fault or not is_audio(path):
            continue
        place = path.relative_to(root)
        name = normal_name((place if has_ending else place.with_suffix("")).as_posix())
        matches = (
            (song, match) for song in longest_first if (match := forms[song].fullmatch(name))
        )
        song, match = next(matches, ("", None))
        if match is None:
            continue
        files = found.setdefault(normal_name(song), {})
        if (other := files.setdefault(match["target"], path)) != path:
            raise InvalidCorpus(f"{path}: the same estimate as {other.name}")
    return found


class JointRuns:
    """Trained runs that are one system together.

    Parameters
    ----------
    folders : sequence of Path
        Folders that ``stemsmith train`` wrote.
    config : SeparationConfig
        What is done with their estimates.
    device : str
        Where they separate: ``auto``, ``cpu`` or ``cuda``.
    progress : Progress
        Is warned of weights that have no checksum.

    Attributes
    ----------
    names : tuple of str
        Names of the targets that they separate.
    weights : list of str
        SHA-256 of the files of their weights.

    Raises
    ------
    InvalidCorpus
        If one is no run, or has no weights.
    UsageError
        If torch is not there, or the runs or options do not go together.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        config: SeparationConfig,
        device: str,
        progress: Progress = QUIET,
    ) -> None:
        require_torch()
        from stemsmith.evaluate.separation.separator import Separator
        from stemsmith.train.run import TrainedRun

        self._separator = Separator.of_runs(folders, config, device, progress)
        self.names = self._separator.targets
        self.weights = [TrainedRun(folder).weights_hash() for folder in folders]

    def separate(self, song: DatasetSong, folder: Path) -> None:
        """Write the estimates of a song as ``<name>.wav``, 32-bit float.

        Nothing is written for a song that cannot be read, since scoring it will say why.
        """
        try:
            audio = read_song(song)
        except Unscorable:
            return
        folder.mkdir(parents=True, exist_ok=True)
        estimates = self._separator.separate(audio.mixture, audio.sample_rate)
        for name, estimate in estimates.items():
            (folder / f"{name}.wav").write_bytes(encode_wav(estimate, audio.sample_rate))
