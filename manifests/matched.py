"""Records of stems that were rendered again to match another song: the ``matched`` of mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.arrays import Bools, Int32s, UInt8s

__all__ = ["MATCHED", "MatchedStem"]

MATCHED: Final = "matched"  # kind of a corpus, in its manifest, and name of its root in recipes


@dataclass(frozen=True, slots=True, eq=False)
class MatchedStem:
    """An excerpt of one part, transposed and retimed: a row of ``stems-NNNNN.parquet``.

    A tenth of a second more is rendered on both sides of the excerpt, for those who resample it.

    Attributes
    ----------
    stem_id : str
        Hash of all that decides its audio; also its file name.
    song_id, stem : str
        MD5 of the score, and the part (``S00``).
    original_sha256 : str
        SHA-256 of the stem's FLAC in its corpus, whose patch plays the excerpt too.
    transposition : int
        Semitones by which its notes are higher than the score's; 0 for drums.
    tempo_map : str
        JSON pairs of quarter notes of its score and the seconds after the beginning of the excerpt
        at which they are played; in between the tempo is constant.
    program : int
        0-based program; 128 for drums.
    inst_class, rendering_class, patch : str
        As in the `Stem` that it is an excerpt of.
    path : str
        The FLAC, below the folder of matched stems.
    sample_rate, n_channels, n_samples : int
        Shape of its audio, margins included.
    gain_db : float
        Gain of the written file: that of the stem in its corpus, or less where it would clip.
    peak_dbfs : float or None
        Sample peak of the file; None where it is silent.
    n_notes : int
        Entries of the note columns.
    sha256, samples_sha256 : str
        SHA-256 of the FLAC, and of the samples it holds.
    note_onset, note_offset : numpy.ndarray
        (n_notes,) sample of the file at which the voice starts and is released; an onset of 0 is
        that of a note that sounds already.
    note_pitch, note_velocity : numpy.ndarray
        (n_notes,) MIDI numbers as sent, transposed.
    note_heard : numpy.ndarray
        (n_notes,) whether a note is to be heard, as in a `Stem`.
    """

    stem_id: str
    song_id: str
    stem: str
    original_sha256: str
    transposition: int
    tempo_map: str
    program: int
    inst_class: str
    rendering_class: str
    patch: str
    path: str
    sample_rate: int
    n_channels: int
    n_samples: int
    gain_db: float
    peak_dbfs: float | None
    n_notes: int
    sha256: str
    samples_sha256: str
    note_onset: Int32s
    note_offset: Int32s
    note_pitch: UInt8s
    note_velocity: UInt8s
    note_heard: Bools
