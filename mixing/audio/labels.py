"""From a recipe to the notes of its targets: what `stemsmith.mixing.audio.realise` does to time.

Corpora know their notes by the sample. A recipe moves them as it moves the audio: excerpt, shift,
stretches without silence, resampling, change of tempo; mute leaves none. Other transforms leave
time as it is. Data sets in their own layouts have no notes here: their sources are listed as
unlabelled, so that "nothing is played" and "nobody knows" stay apart.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Bools, Float64s, Int32s, Int64s, UInt8s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.matched import MATCHED, MatchedStem
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Stem
from stemsmith.manifests.renditions import RenditionStem
from stemsmith.mixing.audio.transforms import effect_of, kept_stretches
from stemsmith.mixing.sources.find import locate

__all__ = ["Labels", "NoteTable", "realise_labels"]


@dataclass(frozen=True, slots=True, eq=False)
class NoteTable:
    """The notes of one target of a mixture, in order of onset.

    Attributes
    ----------
    onset, offset : numpy.ndarray
        (n_notes,) float64, in samples of the mixture, 0 to its length. Whole numbers unless a
        source was resampled or changed in tempo. The offset is the note-off: what rings on after
        it, and what a reverb adds, is not in it.
    pitch, velocity : numpy.ndarray
        (n_notes,) uint8, MIDI numbers as sent to the synthesiser; what a drum sounds like, not its
        pitch, is in its number.
    is_onset_inside : numpy.ndarray
        (n_notes,) bool; False for a note that sounds already where its clip begins, or that the
        end of its stem cut in two: there is no attack at its onset.
    stem : numpy.ndarray
        (n_notes,) int32, index into `stem_ids`.
    sounding_offset : numpy.ndarray
        (n_notes,) float64, in samples of the mixture: when the voice is told to end, which is
        `offset`, or later where a pedal holds the note. NaN where nobody knows, as in renditions.
        A note that only a pedal holds where a clip begins is not listed.
    stem_ids : tuple of str
        The target's sources that have notes to know of, as the recipe names them.
    """

    onset: Float64s
    offset: Float64s
    pitch: UInt8s
    velocity: UInt8s
    is_onset_inside: Bools
    stem: Int32s
    sounding_offset: Float64s
    stem_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.onset)


class Labels(dict[str, NoteTable]):
    """Notes by target. Targets none of whose sources has notes to know of are absent.

    Attributes
    ----------
    unlabelled : dict of str to tuple of str
        Sources whose notes nobody knows, by target. A target that is here and in the mapping has
        more notes than its table.
    """

    unlabelled: dict[str, tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.unlabelled = {}


class _StemNotes(NamedTuple):
    sha256: str
    onset: Int32s
    offset: Int32s
    pitch: UInt8s
    velocity: UInt8s
    sounding_offset: Int32s | None


class _Pieces(NamedTuple):
    """Notes, or pieces of them, in samples of what a source reads; four arrays (n_pieces,)."""

    onset: Int64s
    offset: Int64s
    note: Int64s  # which of the stem's notes it is
    is_onset_inside: Bools


def realise_labels(mixture: Mixture, roots: Mapping[str, str | Path]) -> Labels:
    """Return the notes of every target of a mixture.

    Parameters
    ----------
    mixture : Mixture
        The recipe whose notes are wanted.
    roots : mapping of str to path
        Folders of the roots it names. Those that are corpora have their notes read once a
        process and kept, 14 bytes a note.

    Returns
    -------
    Labels
        A table for each target with at least one source from a corpus, and the names of all
        other sources. A muted source has notes to know of: none.

    Raises
    ------
    InvalidCorpus
        If a root is not there, or a corpus is damaged, lacks a stem of the recipe, or has another
        one by its name.
    UsageError
        If a root is unknown.
    """
    labels = Labels()
    known: dict[str, list[tuple[MixtureSource, _StemNotes]]] = {}
    for source in mixture.sources:
        notes = _notes_of(source, roots)
        if notes is None:
            others = labels.unlabelled.get(source.group, ())
            labels.unlabelled[source.group] = (*others, source.stem_id)
        else:
            known.setdefault(source.group, []).append((source, notes))
    for group, sources in known.items():
        labels[group] = _merged([(s.stem_id, _placed(s, n, mixture)) for s, n in sources])
    return labels


def _notes_of(source: MixtureSource, roots: Mapping[str, str | Path]) -> _StemNotes | None:
    """Return the notes of a source's whole stem, or None if its root is no corpus."""
    root = locate(roots, source.root, "")
    by_path = _corpus_notes(root, _changed_at(root))
    if by_path is None:
        return None
    notes = by_path.get(source.path)
    if notes is None:
        raise InvalidCorpus(f"{root}: has no stem {source.path}; run mix again, or restore it")
    if notes.sha256 != source.sha256:
        raise InvalidCorpus(
            f"{root / source.path}: has changed since the mixtures were planned; run mix again, or "
            "restore it"
        )
    return notes


def _changed_at(root: Path) -> int:
    """Return when the manifest of a folder was written (ns); 0 if it has none."""
    if not root.is_dir():
        raise InvalidCorpus(f"{root}: the folder is not there")
    manifest = root / shards.MANIFEST
    return manifest.stat().st_mtime_ns if manifest.is_file() else 0


@functools.lru_cache(maxsize=16)
def _corpus_notes(root: Path, changed_at: int) -> dict[str, _StemNotes] | None:
    """Return the heard notes of a corpus by path of stem or piece, or None for another folder.

    A data set may well have a ``manifest.json`` of its own; a corpus has shards of stems as well.
    """
    if next(root.glob("stems-*.parquet"), None) is None:
        return None
    corpus = Corpus(root).verify()
    stems: Iterable[Stem | RenditionStem | MatchedStem] = (
        corpus.matched_stem_records() if corpus.kind == MATCHED else corpus.iter_stems()
    )
    pieces = corpus.piece_records() if corpus.has_pieces else []
    # One shard at a time: of all columns only those of the notes are kept.
    return {stem.path: _notes_heard(stem) for stem in itertools.chain(stems, pieces)}


def _notes_heard(stem: Stem | RenditionStem | MatchedStem) -> _StemNotes:
    heard = slice(None) if stem.note_heard is None else stem.note_heard
    sounding = stem.note_sounding_offset if isinstance(stem, Stem) else None
    return _StemNotes(
        stem.sha256,
        stem.note_onset[heard],
        stem.note_offset[heard],
        stem.note_pitch[heard],
        stem.note_velocity[heard],
        None if sounding is None else sounding[heard],
    )


def _placed(source: MixtureSource, notes: _StemNotes, mixture: Mixture) -> NoteTable:
    """Return one source's notes in samples of the mixture."""
    effects = [effect_of(text) for text in source.transforms]
    pieces = _joined(_read(source, notes.onset, notes.offset))
    speed = float(source.sample_rate)  # samples of the file for a second of the mixture
    for effect in effects:
        speed *= effect.speed
    onset = pieces.onset * mixture.sample_rate / speed
    offset = pieces.offset * mixture.sample_rate / speed
    sounding_offset = _sounding_until(source, notes, pieces) * mixture.sample_rate / speed
    is_heard = onset < mixture.n_samples
    if any(effect.is_muting for effect in effects):
        is_heard[:] = False
    note = pieces.note[is_heard]
    return NoteTable(
        onset=onset[is_heard],
        offset=np.minimum(offset[is_heard], float(mixture.n_samples)),
        pitch=notes.pitch[note],
        velocity=notes.velocity[note],
        is_onset_inside=pieces.is_onset_inside[is_heard],
        stem=np.zeros(len(note), np.int32),
        sounding_offset=np.minimum(sounding_offset[is_heard], float(mixture.n_samples)),
        stem_ids=(source.stem_id,),
    )


def _sounding_until(source: MixtureSource, notes: _StemNotes, pieces: _Pieces) -> Float64s:
    """Return when each piece of a note ends that pedals may hold; NaN where nobody knows."""
    if notes.sounding_offset is None:
        return np.full(len(pieces.note), np.nan)
    # Each piece is the beginning of one that sounds, or of the rest of one.
    held = _joined(_read(source, notes.onset, notes.sounding_offset))
    length = np.int64(1 + max(held.onset.max(initial=0), pieces.onset.max(initial=0)))
    begun, wanted = (p.note * length + p.onset for p in (held, pieces))
    return held.offset[np.searchsorted(begun, wanted, side="right") - 1].astype(np.float64)


def _read(source: MixtureSource, onset: Int32s, offset: Int32s) -> list[_Pieces]:
    """Return the notes of what a source reads, stretch after stretch."""
    stretches = kept_stretches(source.transforms)
    if stretches is None:
        stretches = [(source.start - source.shift, source.n_read)]
    pieces, position = [], 0
    for start, n_samples in stretches:
        pieces += _excerpt(source, onset, offset, start, n_samples, position)
        position += n_samples
    return pieces


def _excerpt(
    source: MixtureSource,
    note_onset: Int32s,
    note_offset: Int32s,
    start: int,
    n_samples: int,
    position: int,
) -> list[_Pieces]:
    """Return the notes of a stretch of a stem that may begin before it and end after it.

    Outside lies the stem again, turn after turn, unless the shift is padded. `position` is where
    the stretch goes.
    """
    length, end = source.n_stem_samples, start + n_samples
    onset = note_onset.astype(np.int64)
    offset = np.minimum(note_offset.astype(np.int64), length)
    turns = range(start // length, -(-end // length))
    pieces = []
    for turn in [0] if source.is_shift_padded else turns:
        begins, ends = onset + turn * length, offset + turn * length
        is_inside = (begins >= start) & (begins < end)
        # Notes that begin where the stem ends never sound; the next turn is not theirs.
        is_read = (is_inside | ((begins < start) & (ends > start))) & (onset < length)
        pieces.append(
            _Pieces(
                np.maximum(begins[is_read], start) - start + position,
                np.minimum(ends[is_read], end) - start + position,
                np.flatnonzero(is_read),
                is_inside[is_read],
            )
        )
    return pieces


def _joined(pieces: list[_Pieces]) -> _Pieces:
    """Put pieces together where a note goes on after a silence that was cut out of it."""
    onset, offset, note, is_inside = map(np.concatenate, zip(*pieces, strict=True))
    order = np.lexsort((offset, onset, note))
    onset, offset, note, is_inside = (a[order] for a in (onset, offset, note, is_inside))
    goes_on = np.zeros(len(note) + 1, np.bool_)
    goes_on[1:-1] = (note[1:] == note[:-1]) & (onset[1:] == offset[:-1]) & ~is_inside[1:]
    is_first, is_last = ~goes_on[:-1], ~goes_on[1:]
    return _Pieces(onset[is_first], offset[is_last], note[is_first], is_inside[is_first])


def _merged(tables: list[tuple[str, NoteTable]]) -> NoteTable:
    """Put the notes of a target's sources into one table."""
    stem = np.repeat(np.arange(len(tables)), [len(table) for _, table in tables])
    onset = np.concatenate([table.onset for _, table in tables])
    pitch = np.concatenate([table.pitch for _, table in tables])
    order = np.lexsort((pitch, stem, onset))
    return NoteTable(
        onset=onset[order],
        offset=np.concatenate([table.offset for _, table in tables])[order],
        pitch=pitch[order],
        velocity=np.concatenate([table.velocity for _, table in tables])[order],
        is_onset_inside=np.concatenate([t.is_onset_inside for _, t in tables])[order],
        stem=stem[order].astype(np.int32),
        sounding_offset=np.concatenate([t.sounding_offset for _, t in tables])[order],
        stem_ids=tuple(stem_id for stem_id, _ in tables),
    )
