"""Tracks in Slakh's layout: ``[train/]Track00001/{metadata.yaml,mix.flac,stems,MIDI}``.

So lie Slakh2100 with its splits (original and redux), Flakh2100, BabySlakh (WAV, no splits) and
every corpus of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.documents import Every, Nullable, Optional, misfit, read_yaml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import DRUMS, inst_class_of, rendering_class_of
from stemsmith.mixing.sources.layout import first_file, is_file, visible

__all__ = ["METADATA", "SlakhStem", "SlakhTrack", "find_tracks"]

METADATA: Final = "metadata.yaml"
_ENDINGS: Final = (".flac", ".wav")
_SHAPE: Final = {
    "UUID": Optional(Nullable(object)),
    "stems": Every(
        dict,
        {
            "inst_class": Optional(Nullable(str)),
            "is_drum": Optional(Nullable(bool)),
            "program_num": Optional(Nullable(int)),
        },
    ),
}


@dataclass(frozen=True, slots=True)
class SlakhStem:
    """A stem that ``metadata.yaml`` lists.

    Attributes
    ----------
    name : str
        Its name there: ``S00``.
    audio, midi : Path
        Where its audio and its notes are, or should be.
    classes : tuple of str
        Slakh's coarse and fine class of its program, as `slug` writes them.
    is_drum : bool
        Whether its notes are drums.
    is_mixed : bool
        Whether it was part of the mixture, so that its audio must be there: its loudness was
        measured. Sound effects, for which Slakh has no patches, are listed and were never rendered.
    """

    name: str
    audio: Path
    midi: Path
    classes: tuple[str, ...]
    is_drum: bool
    is_mixed: bool


@dataclass(frozen=True, slots=True)
class SlakhTrack:
    """A folder of a track.

    Attributes
    ----------
    folder : Path
        The folder with ``metadata.yaml``.
    midi_id : str
        Which MIDI file it was rendered from: its MD5, by which Lakh names its files; empty if it
        is not said.
    stems : tuple of SlakhStem
        Its stems by name.
    """

    folder: Path
    midi_id: str
    stems: tuple[SlakhStem, ...]


def find_tracks(root: Path) -> Iterator[SlakhTrack]:
    """Yield the tracks at any depth below a folder, and the folder itself if it is one, by path.

    Raises
    ------
    UsageError
        Naming a ``metadata.yaml`` that cannot be read, or is none of a track.
    """
    for folder in _track_folders(root, set()):
        yield _read_track(folder)


def _track_folders(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:  # links may lead in circles
        return
    seen.add((status.st_dev, status.st_ino))
    if is_file(folder / METADATA):
        yield folder
        return
    for path in visible(folder):
        if path.is_dir():
            yield from _track_folders(path, seen)


def _read_track(folder: Path) -> SlakhTrack:
    path = folder / METADATA
    content = read_yaml(path)
    if problem := misfit(content, _SHAPE):
        raise UsageError(f"{path}: not the metadata of a track of Slakh's layout: {problem}")
    stems: Mapping[object, Mapping[str, Any]] = content["stems"]
    if odd := [name for name in stems if Path(str(name)).name != str(name)]:
        raise UsageError(f"{path}: {odd[0]!r} is no name of a stem, like S00")
    endings = _ENDINGS[::-1] if is_file(folder / "mix.wav") else _ENDINGS
    read = (_stem(folder, str(name), stem, endings) for name, stem in stems.items())
    midi_id = str(content.get("UUID") or "")
    return SlakhTrack(folder, midi_id, tuple(sorted(read, key=lambda stem: stem.name)))


def _stem(folder: Path, name: str, content: Mapping[str, Any], endings: Sequence[str]) -> SlakhStem:
    program, said = content.get("program_num"), content.get("inst_class")
    is_drum = bool(content.get("is_drum")) or program == DRUMS
    program = DRUMS if is_drum else program
    own = [said] if said and not is_drum else []
    if program is not None and 0 <= program <= DRUMS:
        own += [inst_class_of(program), rendering_class_of(program)]
    classes = tuple(dict.fromkeys(filter(None, map(slug, own)))) or ("unknown",)
    return SlakhStem(
        name,
        first_file(folder / "stems" / f"{name}{ending}" for ending in endings),
        folder / "MIDI" / f"{name}.mid",
        classes,
        is_drum,
        content.get("integrated_loudness") is not None,
    )
