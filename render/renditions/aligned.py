"""Perfectly aligned scores: what was really played, in place of a score's own timing.

Miron et al. 2017, section 4.1 ("GT"). The aligned notes of the score ``a/b.mid`` are ``a/b.mid`` in
another folder, a MIDI file with the same parts, or the texts of a folder ``a/b``, one for each
part, named after the stem (``S00.txt``), the part or its instrument (``violin.txt``,
``violin_g.txt``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import rendering_class_of
from stemsmith.manifests.records import Part
from stemsmith.render.midi.notes import read_aligned_text
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.smf import Unusable
from stemsmith.render.renditions.performance import TimedNotes
from stemsmith.render.songs.metadata import stem_name

__all__ = ["aligned_hash", "aligned_notes"]

_SUFFIXES: Final = ("", "_g")  # of the texts; the second one is that of the paper's data sets
_DEFAULT_VELOCITY: Final = 80
_MAX_DURATION_S: Final = 7200.0


def aligned_hash(folder: Path, path: str, parts: Sequence[Part], rendered: Sequence[int]) -> str:
    """Return a hash of the aligned notes of a score.

    Raises
    ------
    UsageError
        If there are none for it, naming what was looked for.
    """
    midi = folder / path
    files = (
        [midi]
        if midi.is_file()
        else [_text(folder, path, parts, part_index) for part_index in rendered]
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(storage.file_hash(file).encode())
    return digest.hexdigest()


def aligned_notes(
    folder: Path,
    path: str,
    parts: Sequence[Part],
    part_index: int,
    *,
    are_drums_joined: bool = False,
) -> TimedNotes:
    """Return the aligned notes of one part.

    Parameters
    ----------
    folder : Path
        Folder of the aligned scores.
    path : str
        The score, relative to its own folder.
    parts : sequence of Part
        Parts of the score.
    part_index : int
        Index of the part in the score.
    are_drums_joined : bool
        Whether drums that are spread over tracks are one part of the score.

    Returns
    -------
    TimedNotes
        In order of onset. Texts have no velocities: all are 80.

    Raises
    ------
    UsageError
        If the file is missing or cannot be read, or a MIDI file has other parts.
    """
    midi = folder / path
    if not midi.is_file():
        onset_s, offset_s, pitch = read_aligned_text(_text(folder, path, parts, part_index))
        order = np.lexsort((pitch, onset_s))
        velocity = np.full(len(pitch), _DEFAULT_VELOCITY, np.uint8)
        return TimedNotes(onset_s[order], offset_s[order], pitch[order], velocity)
    try:
        _, score = load_score(midi, _MAX_DURATION_S, are_drums_joined=are_drums_joined)
    except Unusable as finding:
        raise UsageError(f"{midi}: cannot be used: {finding.detail}") from finding
    if [part.program for part in score.parts] != [part.program for part in parts]:
        raise UsageError(f"{midi}: its parts are not those of the score")
    notes, seconds = score.notes(part_index), score.tempo_map.seconds
    return TimedNotes(
        seconds(notes.onset_tick), seconds(notes.offset_tick), notes.pitch, notes.velocity
    )


def _text(folder: Path, path: str, parts: Sequence[Part], part_index: int) -> Path:
    part = parts[part_index]
    texts = folder / Path(path).with_suffix("")
    names = [stem_name(part_index), slug(part.name), slug(rendering_class_of(part.program))]
    if names[-1].endswith("-sax"):
        names += ["saxophone", "saxphone"]  # Bach10 spells it the second way
    for name in filter(None, names):
        for suffix in _SUFFIXES:
            if (file := texts / f"{name}{suffix}.txt").is_file():
                return file
    wanted = ", ".join(f"{name}.txt" for name in names if name)
    raise UsageError(f"{folder / path}: no aligned score, and no {wanted} in {texts}")
