"""Where the stems of public data sets lie.

A layout turns a folder into `SourceFile` records. Songs are named by their folders on disk, so
that a recipe points to something one can find; splits have one name whatever a data set calls
them. Hidden files are no audio: macOS leaves ``._x.wav`` beside every ``x.wav`` on foreign disks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.programs import slug

__all__ = ["LAYOUTS", "MUSDB_VALIDATION", "find_files"]

# https://github.com/sigsep/sigsep-mus-db, musdb/configs/mus.yaml
MUSDB_VALIDATION: Final = frozenset(
    (
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    )
)
# Audio streams of a .stem.mp4; number 0 is the mixture.
_MUSDB_STREAMS: Final = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
_MP4_ENDING: Final = ".stem.mp4"

_FOLDER_SPLITS: Final = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
_AUDIO_SUFFIXES: Final = frozenset((".wav", ".flac", ".ogg", ".aif", ".aiff"))

_DSD100_SPLITS: Final = {"Dev": "train", "Test": "test"}

# The first spelling of each is the data set's own.
_BACH10_SPELLINGS: Final = {
    "bassoon": ("bassoon",),
    "clarinet": ("clarinet",),
    "saxophone": ("saxphone", "saxophone"),
    "violin": ("violin",),
}


def find_files(layout: str, root: Path, *, is_complete: bool = True) -> list[SourceFile]:
    """Return all stems of a data set, without looking into the files.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.

        ``musdb``
            MUSDB18-HQ, ``train/Artist - Title/vocals.wav``, or MUSDB18,
            ``train/Artist - Title.stem.mp4``. The 14 songs that musdb calls ``valid`` are split
            ``validation``.
        ``folder``
            Folders of solos, ``train/violin/anything.wav``, the ``sourcefolder`` of open-unmix.
            Each file is its own song, and its class is the name of its folder.
        ``dsd100``
            DSD100 and HHDS, ``Sources/Dev/055 - Artist - Title/vocals.wav``; Dev is ``train``.
        ``bach10``
            Bach10, ``01-AchGottundHerr/01-AchGottundHerr-violin.wav``, also below ``Sources``. All
            is split ``test``, for it has no other use with ten pieces.
    root : Path
        Folder of the data set.
    is_complete : bool
        Whether a song that lacks a stem is refused; else a record says where the stem should be.

    Returns
    -------
    list of SourceFile
        By song_id and stem. Mixtures are left out.

    Raises
    ------
    UsageError
        If `root` is not a folder.
    InvalidCorpus
        If nothing of the layout is there, a song lacks a stem, two files are the same stem, or
        the name of one is not UTF-8.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: not a folder")
    files = sorted(LAYOUTS[layout](root), key=lambda file: (file.song_id, file.stem))
    for file in files:
        if is_complete and not (root / file.path).is_file():
            raise InvalidCorpus(f"{root / file.path}: missing; a song needs all of its stems")
        if any("\ud800" <= character <= "\udfff" for character in file.path):
            raise InvalidCorpus(f"{root / file.path}: a recipe cannot hold this name: not UTF-8")
    for one, other in pairwise(files):
        if (one.song_id, one.stem) == (other.song_id, other.stem):
            raise InvalidCorpus(
                f"{root / other.path}: the same stem as {root / one.path}; remove one of them"
            )
    return files


def _musdb(root: Path) -> list[SourceFile]:
    found: list[SourceFile] = []
    for subset in ("train", "test"):
        for path in _visible(root / subset):
            is_mp4 = path.is_file() and path.name.endswith(_MP4_ENDING)
            if not is_mp4 and not path.is_dir():
                continue
            song = path.name.removesuffix(_MP4_ENDING) if is_mp4 else path.name
            is_validation = subset == "train" and song in MUSDB_VALIDATION
            split = "validation" if is_validation else subset
            song_id = f"{subset}/{song}"
            if is_mp4:
                place = path.relative_to(root).as_posix()
                found += [
                    SourceFile(song_id, stem, split, stem, place, stream)
                    for stem, stream in _MUSDB_STREAMS.items()
                ]
            else:
                found += _wav_song(root, path, song_id, split)
    return _some(found, root, "MUSDB18 songs", "train/<song>/vocals.wav or train/<song>.stem.mp4")


def _folder(root: Path) -> list[SourceFile]:
    found = [
        SourceFile(
            song_id=f"{split.name}/{target.name}/{path.stem}",
            stem=target.name,
            split=_FOLDER_SPLITS[split.name.lower()],
            inst_class=slug(target.name),
            path=path.relative_to(root).as_posix(),
        )
        for split in _visible(root)
        if split.name.lower() in _FOLDER_SPLITS
        for target in _visible(split)
        for path in _visible(target)
        if path.suffix.lower() in _AUDIO_SUFFIXES and path.is_file()
    ]
    return _some(found, root, "solos", "train/<class>/<name>.wav or .flac")


def _dsd100(root: Path) -> list[SourceFile]:
    found: list[SourceFile] = []
    for subset, split in _DSD100_SPLITS.items():
        for song in _visible(root / "Sources" / subset):
            if song.is_dir():
                found += _wav_song(root, song, f"{subset}/{song.name}", split)
    return _some(found, root, "DSD100 songs", "Sources/Dev/<song>/vocals.wav")


def _bach10(root: Path) -> list[SourceFile]:
    base = root / "Sources" if (root / "Sources").is_dir() else root
    found: list[SourceFile] = []
    for song in _visible(base):
        if not song.is_dir() or not re.match(r"\d\d-", song.name):
            continue
        for inst_class, spellings in _BACH10_SPELLINGS.items():
            path = _first_file(song / f"{song.name}-{spelling}.wav" for spelling in spellings)
            place = path.relative_to(root).as_posix()
            found.append(SourceFile(song.name, inst_class, "test", inst_class, place))
    return _some(found, root, "Bach10 pieces", "<NN-name>/<NN-name>-violin.wav")


LAYOUTS: Final[Mapping[str, Callable[[Path], list[SourceFile]]]] = {
    "musdb": _musdb,
    "folder": _folder,
    "dsd100": _dsd100,
    "bach10": _bach10,
}


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, or nothing if it is none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _wav_song(root: Path, folder: Path, song_id: str, split: str) -> list[SourceFile]:
    """Return the four stems of a song of SiSEC's campaigns."""
    return [
        SourceFile(
            song_id=song_id,
            stem=stem,
            split=split,
            inst_class=stem,
            path=_first_file([folder / f"{stem}.wav"]).relative_to(root).as_posix(),
        )
        for stem in _MUSDB_STREAMS
    ]


def _first_file(paths: Iterable[Path]) -> Path:
    """Return the first that is there, or the first: that is where it should be."""
    candidates = list(paths)
    return next((path for path in candidates if path.is_file()), candidates[0])


def _some(found: list[SourceFile], root: Path, what: str, expected: str) -> list[SourceFile]:
    if not found:
        raise InvalidCorpus(f"{root}: no {what}: expected {expected}")
    return found
