"""Stems with their scores, in a corpus of ours or in any folder that is laid out as Slakh is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Int64s
from stemsmith.manifests.audio.read import audio_info, read_excerpt
from stemsmith.manifests.corpus import SONGS, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.folder_kinds import FolderKind, kind_of
from stemsmith.manifests.places import place
from stemsmith.manifests.programs import DRUMS
from stemsmith.manifests.records import Defect, Stem
from stemsmith.mixing.sources.slakh_tracks import METADATA, SlakhTrack, find_tracks
from stemsmith.render.audit.reference import reference_of
from stemsmith.render.audit.stem import audit_stem
from stemsmith.render.audit.stem_notes import StemNotes, as_played
from stemsmith.render.midi.scan import load_score
from stemsmith.render.midi.score import Score
from stemsmith.render.midi.smf import Event, Unusable
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Bank
from stemsmith.render.sound.synth import Preset, on_grid

__all__ = ["SLAKH", "AuditedStem", "StemAudit", "audit_file", "plan_audit"]

SLAKH: Final = "slakh:"
_LONGEST_S: Final = 7200.0


@dataclass(frozen=True, slots=True)
class StemAudit:
    """One stem to check.

    Attributes
    ----------
    name : str
        Track and stem, such as ``Track00001/S03``.
    path, midi_path : str
        Its audio and its MIDI file.
    is_drum : bool
        Whether its notes are drums.
    record : Stem or None
        What our own corpora know of it, whose note table is to the sample; of other corpora the
        notes are those of the MIDI file.
    preset : Preset or None
        What played it, if that is known and at hand: the stem is then laid beside its notes as they
        sound alone.
    is_thorough : bool
        Whether it is looked at more closely, too.
    """

    name: str
    path: str
    midi_path: str
    is_drum: bool
    record: Stem | None
    preset: Preset | None
    is_thorough: bool


@dataclass(frozen=True, slots=True)
class AuditedStem:
    """What the audit of one stem found.

    Attributes
    ----------
    name : str
        Track and stem.
    sample_rate : int
        Sample rate in Hz, which the defects are in samples of.
    duration_s : float
        Length of the stem in seconds.
    defects : tuple of Defect
        What is wrong; empty if nothing is.
    """

    name: str
    sample_rate: int
    duration_s: float
    defects: tuple[Defect, ...]


def plan_audit(source: str, is_thorough: bool = False, bank: Bank | None = None) -> list[StemAudit]:
    """List the stems of a corpus.

    Parameters
    ----------
    source : str
        Folder of a corpus of songs, or ``slakh:`` and a folder in which track folders lie at any
        depth: a published corpus, or a part of one.
    is_thorough : bool
        Whether stems are looked at more closely, too.
    bank : Bank, optional
        The bank that a corpus of ours was rendered with.

    Raises
    ------
    UsageError
        If there are no stems, the corpus is one of renditions, or the bank is not the one that it
        was rendered with.
    InvalidCorpus
        If a corpus of ours is damaged.
    """
    if not source.startswith(SLAKH):
        if kind_of(place(source)) is FolderKind.SLAKH:
            raise UsageError(f"{source}: holds tracks in Slakh's layout; write {SLAKH}{source}")
        return list(_own_stems(Corpus(source), is_thorough, bank))
    root = place(source.removeprefix(SLAKH))
    tracks = find_tracks(root) if root.is_dir() else ()
    stems = [stem for track in tracks for stem in _published_stems(root, track, is_thorough)]
    if not stems:
        raise UsageError(f"{root}: no track folders of Slakh's layout, with {METADATA} and stems")
    return stems


def _own_stems(corpus: Corpus, is_thorough: bool, bank: Bank | None) -> Iterator[StemAudit]:
    if corpus.kind != SONGS:
        raise UsageError(f"{corpus.root}: a corpus of {corpus.kind}; only songs are audited")
    presets = {} if bank is None else {p.name: p.preset for p in bank.patches if not p.effects}
    in_rooms = {song.song_id for song in corpus.song_records() if song.room is not None}
    for stem in corpus.stem_records():
        is_wet = stem.effects or stem.equaliser or stem.song_id in in_rooms
        if is_wet and stem.dry_path is None:
            raise UsageError(
                f"{corpus.root}: its stems went through effects, rooms or filters, which the audit "
                "would take for defects; render it with --dry to have them audited"
            )
        files = (stem.dry_path if is_wet else None) or stem.path, stem.midi_path
        audio, midi = (str(storage.inside(corpus.root, path)) for path in files)
        yield StemAudit(
            f"{stem.track}/{stem.stem}",
            audio,
            midi,
            stem.program == DRUMS,
            stem,
            # Notes are laid beside what the preset plays alone, which is not tuned.
            presets.get(stem.patch) if stem.note_cents is None else None,
            is_thorough,
        )


def _published_stems(root: Path, track: SlakhTrack, is_thorough: bool) -> Iterator[StemAudit]:
    place = track.folder.relative_to(root).as_posix()
    for stem in track.stems:
        if stem.audio.is_file() and stem.midi.is_file():
            label = f"{place}/{stem.name}".removeprefix("./")
            files = str(stem.audio), str(stem.midi)
            yield StemAudit(label, *files, stem.is_drum, None, None, is_thorough)


def audit_file(job: StemAudit) -> AuditedStem:
    """Read a stem and its score, and check one against the other.

    Raises
    ------
    InvalidCorpus
        Naming the audio or the MIDI file that cannot be read.
    """
    path = place(job.path)
    info = audio_info(path)
    audio = read_excerpt(path, 0, info.n_samples)
    events, frames, notes = _score_of(job, info.sample_rate)
    reference = None
    if job.preset is not None:
        recorded = None if job.record is None else job.record.mono_from
        reference = reference_of(
            notes,
            events,
            frames,
            job.preset,
            info.sample_rate,
            info.n_samples,
            job.is_thorough,
            MonoFrom(recorded or MonoFrom.SUM),
        )
    defects = audit_stem(audio, notes, info.sample_rate, None, reference, job.is_thorough)
    return AuditedStem(job.name, info.sample_rate, info.n_samples / info.sample_rate, defects)


def _score_of(job: StemAudit, sample_rate: int) -> tuple[list[Event], Int64s, StemNotes]:
    """Return the events of a stem, their samples, and its notes."""
    path = place(job.midi_path)
    try:
        _, score = load_score(path, _LONGEST_S)
    except Unusable as finding:
        raise InvalidCorpus(f"{path}: cannot be used: {finding.detail}") from finding
    events = score.events(0)
    seconds = score.tempo_map.seconds([event.tick for event in events])
    if job.record is not None:
        stem = job.record
        columns = (stem.note_onset, stem.note_offset, stem.note_pitch, stem.note_velocity)
        table = np.stack([column.astype(np.int64) for column in columns], axis=1)
        frames = on_grid(seconds, sample_rate)
    else:
        table = _midi_notes(score, sample_rate)
        frames = np.rint(seconds * sample_rate).astype(np.int64)
    notes = as_played(
        table,
        sample_rate,
        is_drum=job.is_drum,
        events=events,
        frames=frames,
        heard=None if job.record is None else job.record.note_heard,
        cents=None if job.record is None else job.record.note_cents,
    )
    return events, frames, notes


def _midi_notes(score: Score, sample_rate: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the notes of all parts, (n_notes, 4): a stem has one, unless its file is odd."""
    tables = []
    for part_index in range(len(score.parts)):
        onset, offset, pitch, velocity, *_ = score.notes(part_index)
        times = [score.tempo_map.seconds(ticks) * sample_rate for ticks in (onset, offset)]
        frames = [np.rint(samples).astype(np.int64) for samples in times]
        numbers = [pitch.astype(np.int64), velocity.astype(np.int64)]
        tables.append(np.stack([*frames, *numbers], axis=1))
    return np.concatenate(tables)
