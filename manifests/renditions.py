"""Records of a corpus of renditions: its stems, each stored once, and what uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.arrays import Bools, Float32s, Int32s, UInt8s

__all__ = ["RENDITIONS", "Rendition", "RenditionSource", "RenditionStem"]

RENDITIONS: Final = "renditions"  # kind of a corpus, in its manifest


@dataclass(frozen=True, slots=True, eq=False)
class RenditionStem:
    """One part at one tempo, timbre and dynamic: a row of ``stems-NNNNN.parquet``.

    Attributes
    ----------
    stem_id : str
        Hash of all that decides its audio; also its file name.
    song_id, track, split, stem : str
        Piece (MD5 of its score), label, split, and the part (``S00``).
    notes_sha256 : str
        Note-content hash of the piece; pieces that share it share their split.
    program : int
        0-based program; 128 for drums.
    inst_class, rendering_class : str
        Slakh's coarse class and the class the patch belongs to, as in a `Stem`.
    patch : str
        Name of the patch that plays, which is the timbre.
    tempo, dynamic : str
        Tempo and dynamic, spelled as they were asked for.
    dynamic_changes : str
        What the dynamic changes against the others of the corpus: ``timbre`` (the patch has
        other samples for it), ``level`` (it has not), or ``nothing`` (as written).
    attack_s : float
        Time from the start of a voice to 10 % of its peak, of the patch at the part's median
        pitch and velocity. NaN where the patch does not play that note, and for VST3 instruments,
        whose voices start when they like.
    path, midi_path : str
        FLAC, and the part as it sounds (tempo and deviations included) as MIDI.
    sample_rate, n_samples : int
        All stems of a piece at one tempo are equally long.
    loudness_lufs : float or None
        Integrated loudness before any gain.
    gain_db : float
        The headroom of the corpus, the same for all.
    peak_dbfs : float or None
        Sample peak of the file.
    n_notes : int
        Entries of the note columns.
    sha256, midi_sha256 : str
        SHA-256 of the FLAC and of the MIDI file.
    k_power, power : numpy.ndarray
        (n_samples / sample_rate * 10,) powers of each 100 ms before gain, as in a `Stem`.
    note_onset, note_offset : numpy.ndarray
        (n_notes,) sample at which the voice starts and is released.
    note_pitch, note_velocity : numpy.ndarray
        (n_notes,) MIDI numbers as played, with the velocities of the dynamic.
    note_cents : numpy.ndarray
        (n_notes,) deviation of the tuning in cents.
    samples_sha256 : str or None
        SHA-256 of the samples that the FLAC holds, as `stemsmith.manifests.audio.flac.SampleHash`
        has it: the same whatever encodes them. None in what version 0.1 wrote.
    licence, duplicate_group : str or None
        Of the piece, as in a `Song`.
    note_heard, note_sounding_pitch, n_notes_unheard
        As in a `Stem`; the sounding pitch has the deviation of the tuning in it as well.
    n_channels, k_power_mono, power_mono, pan, mono_from
        As in a `Stem`.
    """

    stem_id: str
    song_id: str
    track: str
    split: str
    stem: str
    notes_sha256: str
    program: int
    inst_class: str
    rendering_class: str
    patch: str
    tempo: str
    dynamic: str
    dynamic_changes: str
    attack_s: float
    path: str
    midi_path: str
    sample_rate: int
    n_samples: int
    loudness_lufs: float | None
    gain_db: float
    peak_dbfs: float | None
    n_notes: int
    sha256: str
    midi_sha256: str
    k_power: Float32s
    power: Float32s
    note_onset: Int32s
    note_offset: Int32s
    note_pitch: UInt8s
    note_velocity: UInt8s
    note_cents: Float32s
    samples_sha256: str | None = None
    licence: str | None = None
    duplicate_group: str | None = None
    note_heard: Bools | None = None
    note_sounding_pitch: Float32s | None = None
    n_notes_unheard: int | None = None
    n_channels: int | None = None
    k_power_mono: Float32s | None = None
    power_mono: Float32s | None = None
    pan: int | None = None
    mono_from: str | None = None


@dataclass(frozen=True, slots=True)
class RenditionSource:
    """One stem's part in a rendition.

    Attributes
    ----------
    stem_id, stem : str
        The stem, and the part it is.
    shift : int
        Circular shift in samples; later for positive values.
    gain_db : float
        Gain on top of the stem's file; 0 keeps the native level.
    """

    stem_id: str
    stem: str
    shift: int
    gain_db: float


@dataclass(frozen=True, slots=True)
class Rendition:
    """One rendition of a piece: a row of ``renditions-NNNNN.parquet``.

    Attributes
    ----------
    rendition_id : str
        Unique name of the rendition: ``<song_id>/<point>``.
    song_id, track, split : str
        The score that is performed: MD5, label and split.
    source : str
        Path of its score relative to the folder the corpus was made from.
    point : str
        Number of the point in the space of renditions (it may exceed 64 bits).
    tempo : str
        Tempo, spelled as it was asked for.
    sample_rate, n_samples : int
        Sample rate in Hz and length of all its stems.
    sources : tuple of RenditionSource
        In order of part.
    """

    rendition_id: str
    song_id: str
    track: str
    split: str
    source: str
    point: str
    tempo: str
    sample_rate: int
    n_samples: int
    sources: tuple[RenditionSource, ...]
