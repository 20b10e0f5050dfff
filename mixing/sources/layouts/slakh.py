"""Slakh2100, original and redux, and BabySlakh: ``train/Track00001/stems/S00.flac``.

Splits are those of the folders; tracks in none, as BabySlakh has them, are of ``train``. Of the
2100 tracks of the original release 390 were rendered from a MIDI file that an earlier track has
too, most of them in another split. They are left out as redux leaves them out, which keeps the
first of those tracks (``redux.json`` and ``duplicates.json`` of ethman/slakh-utils, commit
3f62d6a); so the original gives the 1710 tracks of redux. What lies in redux's folder ``omitted``
is not used either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.splits import split_of_folder
from stemsmith.mixing.sources.layout import SourceLayout, is_file, some
from stemsmith.mixing.sources.slakh_tracks import SlakhTrack, find_tracks

__all__ = ["LAYOUT", "SlakhLayout"]

_OMITTED: Final = "omitted"


class SlakhLayout(SourceLayout):
    """Tracks in Slakh's layout, whose mixtures are the sums of their stems."""

    taxonomy = "slakh"
    companions = ("*metadata.yaml", "*.mid")

    def find(self, root: Path, classes: Collection[str]) -> list[SourceFile]:
        """Return the stems of all tracks that are used, and of those that are not."""
        # By the name of the track, and not of the split before it, whose order is another.
        tracks = sorted(find_tracks(root), key=lambda track: (track.folder.name, track.folder))
        first: dict[str, SlakhTrack] = {}
        found: list[SourceFile] = []
        for track in tracks:
            omission = ""
            if _OMITTED in track.folder.relative_to(root).parts:
                omission = f"in the folder {_OMITTED}"
            elif (twin := first.setdefault(track.midi_id or str(track.folder), track)) is not track:
                omission = f"from the same MIDI file as {twin.folder.relative_to(root).as_posix()}"
            found += _files(root, track, omission)
        return some(found, root, "tracks of Slakh", "[train/]Track00001/{metadata.yaml,stems}")

    def mixture_of(self, file: SourceFile) -> SourceFile:
        """Return ``mix.flac`` or ``mix.wav`` beside the stems."""
        place = PurePosixPath(file.path)
        mixture = place.parents[1] / f"mix{place.suffix}"
        return replace(file, stem="mixture", path=str(mixture))


def _files(root: Path, track: SlakhTrack, omission: str) -> Iterator[SourceFile]:
    song_id = track.folder.relative_to(root).as_posix()
    if track.folder == root:
        song_id = root.name
    for stem in track.stems:
        if stem.is_mixed or is_file(stem.audio):
            inst_class, *others = stem.classes
            yield SourceFile(
                song_id=song_id,
                stem=stem.name,
                split=_split_of(root, track.folder),
                inst_class=inst_class,
                path=stem.audio.relative_to(root).as_posix(),
                other_classes=tuple(others),
                omission=omission,
            )


def _split_of(root: Path, folder: Path) -> str:
    """Return the split of the folder that holds a track, or of the whole that was named."""
    for name in (*folder.relative_to(root).parts[-2::-1], root.name):
        if split := split_of_folder(name):
            return split
    return "train"


LAYOUT: Final = SlakhLayout()
