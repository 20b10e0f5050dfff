"""Scores of recordings: which notes each target plays, and the files that say so.

A stem's own score is a MIDI file, or a text as Bach10's aligned scores have it (see
`stemsmith.render.midi.notes.read_aligned_text`), with the stem's name; a song's score is one MIDI
file, whose parts are given to the targets by name, by program, or in the order of the taxonomy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from stemsmith.manifests.arrays import Float64s, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import slug
from stemsmith.manifests.programs import PROGRAM_NAMES, classes_of, players
from stemsmith.mixing.sources.taxonomy import Taxonomy, known_classes
from stemsmith.render.midi.notes import read_aligned_text
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.smf import Unusable

__all__ = [
    "ScorePart",
    "parts_of_targets",
    "program_of",
    "read_parts",
    "score_of_song",
    "score_of_stem",
]

_MIDI: Final = (".mid", ".midi", ".MID")
_TEXTS: Final = (".txt", "_g.txt")  # the second one is that of Miron's data sets
_MAX_DURATION_S: Final = 7200.0
_OTHER_NAMES: Final = {"saxophone": 66, "saxphone": 66, "sax": 66, "bass": 33, "vocals": 53}


@dataclass(frozen=True, slots=True, eq=False)
class ScorePart:
    """The notes that one instrument of a score plays.

    Attributes
    ----------
    name : str
        Name of its track, or of its file.
    program, kit : int
        0-based General MIDI program, 128 for drums, and the drum kit.
    pitch : numpy.ndarray
        (n_notes,) MIDI numbers; of drums the keys of the kit.
    onset_s, offset_s : numpy.ndarray
        (n_notes,) when the notes begin and end in seconds, pedals included.
    """

    name: str
    program: int
    kit: int
    pitch: Int64s
    onset_s: Float64s
    offset_s: Float64s

    def shifted(self, shift_s: float, duration_s: float) -> ScorePart:
        """Return the part as it sounds in a stem that is moved in a circle of some length."""
        onset_s = (self.onset_s + shift_s) % duration_s
        offset_s = onset_s + self.offset_s - self.onset_s
        goes_on = offset_s > duration_s  # at the beginning
        return replace(
            self,
            pitch=np.concatenate([self.pitch, self.pitch[goes_on]]),
            onset_s=np.concatenate([onset_s, np.zeros(int(goes_on.sum()))]),
            offset_s=np.concatenate([offset_s, offset_s[goes_on] - duration_s]),
        )


def program_of(name: str) -> int | None:
    """Return the program of an instrument or of a class of instruments; None if nobody knows.

    Examples
    --------
    >>> program_of("violin"), program_of("Bassoon"), program_of("drums"), program_of("other")
    (40, 70, 128, None)
    """
    key = slug(name)
    names = {slug(known): program for program, known in reversed([*enumerate(PROGRAM_NAMES)])}
    if (program := (_OTHER_NAMES | names).get(key)) is not None:
        return program
    try:
        return min(players([key])[key])
    except KeyError:
        return None


def read_parts(path: Path, classes: Sequence[str] = ()) -> list[ScorePart]:
    """Read the parts of a score.

    Parameters
    ----------
    path : Path
        A MIDI file, or a text of aligned notes, which has one part.
    classes : sequence of str
        What the instrument of a text may be called; the first that is known counts.

    Returns
    -------
    list of ScorePart
        At least one part, each with a note.

    Raises
    ------
    UsageError
        If the file cannot be read, has no notes, or nobody knows the instrument; it is named.
    """
    if path.suffix == ".txt":
        return [_read_text(path, classes)]
    try:
        _, score = load_score(path, _MAX_DURATION_S)
    except Unusable as finding:
        raise UsageError(f"{path}: cannot be used as a score: {finding.detail}") from finding
    parts = []
    for index, part in enumerate(score.parts):
        notes, seconds = score.notes(index), score.tempo_map.seconds
        pitch = notes.pitch if part.is_drum else np.rint(notes.sounding_pitch)
        parts.append(
            ScorePart(
                part.name,
                part.program,
                part.kit,
                np.clip(pitch, 0, 127).astype(np.int64),
                seconds(notes.onset_tick),
                seconds(notes.sounding_offset_tick),
            )
        )
    return parts


def _read_text(path: Path, classes: Sequence[str]) -> ScorePart:
    found = (program for name in classes if (program := program_of(name)) is not None)
    if (program := next(found, None)) is None:
        raise UsageError(f"{path}: nobody knows what instrument {' or '.join(classes)} is")
    onset_s, offset_s, pitch = read_aligned_text(path)
    if not len(pitch):
        raise UsageError(f"{path}: has no notes")
    return ScorePart(path.stem, program, 0, pitch.astype(np.int64), onset_s, offset_s)


def score_of_stem(stem: Path, song: str, folder: Path | None) -> Path | None:
    """Return the score that lies beside a stem, or that a folder has of it; None if there is none.

    Parameters
    ----------
    stem : Path
        The audio of the stem.
    song : str
        Name of its song, with which names of stems may begin, as in ``01-Ach-violin.wav``.
    folder : Path or None
        Folder of scores, which has a folder for each song; None looks beside the stem, and where
        Slakh has it, in ``../MIDI``.
    """
    places = [stem.parent, stem.parent.parent / "MIDI"]
    if folder is not None:
        places = [folder / song, folder / song / "MIDI"]
    names = dict.fromkeys((stem.stem, stem.stem.removeprefix(f"{song}-")))
    return _first(place / f"{name}{end}" for place in places for name in names
                  for end in (*_MIDI, *_TEXTS))  # fmt: skip


def score_of_song(stem: Path, song: str, folder: Path | None) -> Path | None:
    """Return the one score of all stems of a song; None if there is none.

    Parameters
    ----------
    stem, song, folder
        As for `score_of_stem`. It is called what the song is, or is the only MIDI file of the
        song's folder.
    """
    places = [stem.parent] if folder is None else [folder, folder / song]
    named = _first(place / f"{song}{end}" for place in places for end in _MIDI)
    if named is not None or not places[-1].is_dir():
        return named
    others = [path for path in sorted(places[-1].iterdir()) if path.suffix in _MIDI]
    return others[0] if len(others) == 1 else None


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def parts_of_targets(
    path: Path, targets: Sequence[str], taxonomy: Taxonomy
) -> dict[str, list[ScorePart]]:
    """Give the parts of a song's score to its targets.

    A part is of the target of its program, or where that says nothing (piano, which files without
    programs have) of the class that it is called, such as ``violin``. Where these leave a target
    without a part, and there are as many parts as targets, the parts are those of the targets in
    order, and their instruments what the targets are called: a file that says nothing of
    instruments.

    Parameters
    ----------
    path : Path
        The MIDI file.
    targets : sequence of str
        Targets of the song in the taxonomy's order.
    taxonomy : Taxonomy
        What says which target an instrument belongs to.

    Returns
    -------
    dict of str to list of ScorePart
        For every target at least one.

    Raises
    ------
    UsageError
        As `read_parts` does, or naming a target that has no part.
    """
    parts, found = read_parts(path), dict[str, list[ScorePart]]()
    for part in parts:
        if (target := _target_of(part, taxonomy)) in targets:
            found.setdefault(str(target), []).append(part)
    lacking = [target for target in targets if target not in found]
    if not lacking:
        return found
    programs = {target: program_of(target) for target in targets}
    if len(parts) != len(targets) or None in programs.values():
        raise UsageError(f"{path}: has no part of {lacking[0]}; {_described(parts)}")
    return {
        target: [replace(part, program=int(programs[target] or 0))]
        for target, part in zip(targets, parts, strict=True)
    }


def _target_of(part: ScorePart, taxonomy: Taxonomy) -> str | None:
    """Ask the program first: a bassoon may play a track that is called Bass."""
    by_program = taxonomy.target_of(classes_of(part.program))
    name = slug(part.name)
    says_nothing = by_program is None or part.program == 0
    if says_nothing and name in known_classes():
        return taxonomy.target_of((name,)) or by_program
    return by_program


def _described(parts: Sequence[ScorePart]) -> str:
    names = dict.fromkeys(PROGRAM_NAMES[part.program] for part in parts)
    return f"there is {', '.join(names)}"
