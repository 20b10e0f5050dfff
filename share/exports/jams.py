"""JAMS: notes with pedals and bends as one JSON file (JAMS 0.3; jams.readthedocs.io).

Notes are annotations in the namespace ``note_midi``, one a stem, and pedals in ``segment_open``. No
namespace has velocities or bends beside notes: they stand in the sandbox of the annotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stemsmith.share.exports.sounding_notes import Control, SoundingNote

__all__ = ["jams_text"]

_VERSION: Final = "0.3.4"
_DOWN: Final = 64


def jams_text(
    title: str,
    duration_s: float,
    notes: Mapping[str, Sequence[SoundingNote]],
    controls: Mapping[str, Sequence[Control]],
    versions: Mapping[str, str],
) -> str:
    """Return a JAMS file.

    Parameters
    ----------
    title : str
        Name of the recording.
    duration_s : float
        Its duration in seconds.
    notes : mapping of str to sequence of SoundingNote
        Notes of each stem, by its name.
    controls : mapping of str to sequence of Control
        Pedals and bends of each stem.
    versions : mapping of str to str
        What made the notes: ``stemsmith`` among them.
    """
    annotations = []
    for stem, played in notes.items():
        moved = controls.get(stem, ())
        bends = [[c.time_s, c.value] for c in moved if c.kind == "bend"]
        data = [_observation(n.onset_s, n.offset_s, n.sounding_pitch) for n in played]
        sandbox = {
            "stem": stem,
            "velocity": [note.velocity for note in played],
            "key_offset_s": [note.key_offset_s for note in played],
            "bends_s_semitones": bends,
        }
        annotations.append(_annotation("note_midi", data, sandbox, duration_s, versions))
        pedals = [_observation(start, end, kind) for start, end, kind in _held(moved, duration_s)]
        if pedals:
            named = {"stem": stem}
            annotations.append(_annotation("segment_open", pedals, named, duration_s, versions))
    content = {
        "annotations": annotations,
        "file_metadata": {
            "title": title,
            "artist": "",
            "release": "",
            "duration": duration_s,
            "identifiers": {},
            "jams_version": _VERSION,
        },
        "sandbox": {},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _observation(start_s: float, end_s: float, value: object) -> dict[str, Any]:
    return {"time": start_s, "duration": end_s - start_s, "value": value, "confidence": None}


def _annotation(
    namespace: str,
    data: Sequence[Mapping[str, Any]],
    sandbox: Mapping[str, Any],
    duration_s: float,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "data": data,
        "annotation_metadata": {
            "curator": {"name": "", "email": ""},
            "annotator": {},
            "version": versions.get("stemsmith", ""),
            "corpus": "",
            "annotation_tools": "stemsmith",
            "annotation_rules": "",
            "validation": "",
            "data_source": "synthesis",
        },
        "sandbox": sandbox,
        "time": 0,
        "duration": duration_s,
    }


def _held(controls: Sequence[Control], end_s: float) -> Iterator[tuple[float, float, str]]:
    """Yield from when to when each pedal is down."""
    down: dict[str, float] = {}
    for control in controls:
        if control.kind == "bend":
            continue
        if control.value >= _DOWN:
            down.setdefault(control.kind, control.time_s)
        elif control.kind in down:
            yield down.pop(control.kind), control.time_s, control.kind
    yield from ((start_s, end_s, kind) for kind, start_s in down.items())
