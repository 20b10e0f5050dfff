"""Frozen records that flow between stages, and their Parquet columns.

Times are in samples of the record's sample rate unless the name carries a unit; paths are
POSIX paths relative to the root of the corpus (or of the MIDI folder), never absolute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stemsmith.manifests.arrays import Bools, Float32s, Int32s, UInt8s
from stemsmith.manifests.programs import DRUMS

__all__ = [
    "UNREAD",
    "Defect",
    "DefectKind",
    "Finding",
    "Note",
    "Part",
    "Reason",
    "Rejection",
    "ScannedSong",
    "Song",
    "Stem",
]


class Reason(StrEnum):
    """Why a song or a file was left out."""

    # found when reading the file
    UNREADABLE = "unreadable"  # the operating system refuses it
    TOO_LARGE = "too-large"  # more bytes, events or parts than any song has
    NOT_MIDI = "not-midi"  # no Standard MIDI File header
    DAMAGED = "damaged"  # truncated or corrupt beyond what can be rescued
    BAD_DIVISION = "bad-division"  # ticks without a length
    ASYNCHRONOUS = "asynchronous"  # format 2: tracks that are not played together
    NO_NOTES = "no-notes"
    TOO_LONG = "too-long"
    TOO_DENSE = "too-dense"  # thousands of notes within a moment
    # found when selecting
    NO_BAND = "no-band"  # a player of the band is missing or plays too few notes
    NO_PATCH = "no-patch"  # no part has a patch in the bank
    LICENCE = "licence"  # another licence than those that are wanted, or an unknown one
    DUPLICATE_FILE = "duplicate-file"  # byte for byte another song's file
    SPLIT_FULL = "split-full"  # a duplicate that would have had to cross splits
    # found when rendering
    CHANGED = "changed"  # the file is not the one that was scanned
    SILENT = "silent"  # no stem of the song sounds
    UNPLAYABLE = (
        "unplayable"  # a folder of notes, or an SFZ file, has no sound for a pitch of the song
    )
    RENDERER_DIED = "renderer-died"  # killed its worker process twice
    # found when looking through a data set, and when planning its mixtures
    NOT_AUDIO = "not-audio"  # the ending of its name is none that can be read
    NO_STEM = "no-stem"  # audio in a place where the layout has no stems
    OMITTED = "omitted"  # the data set itself leaves its song out
    MIXTURE = "mixture"  # called a mixture, and so no stem
    INCOMPLETE = "incomplete"  # its song lacks another stem
    BAD_NAME = "bad-name"  # no record can hold the name
    UNSUPPORTED = "unsupported"  # a sample rate or a number of channels that cannot be mixed
    NO_TARGET = "no-target"  # it belongs to no target of the taxonomy, or of the songs
    TOO_SHORT = "too-short"  # shorter than a clip
    TOO_QUIET = "too-quiet"  # no clip of it is loud enough, or of its target
    NO_PARTNER = "no-partner"  # nothing that it may be mixed with
    NO_SONG = "no-song"  # estimates of a song that is not scored
    # found when evaluating
    MISSING = "missing"  # a file of the song is not there
    NO_ESTIMATE = "no-estimate"  # the system has nothing for this song, or not every target
    MISMATCH = "mismatch"  # stems or estimates of other lengths, rates or channels
    NOT_FINITE = "not-finite"  # samples that are NaN or infinite
    WORKER_DIED = "worker-died"  # killed the process that scored it, twice


# Of files that may be there, and as they were, another time.
UNREAD: Final = frozenset({Reason.UNREADABLE, Reason.CHANGED})


@dataclass(frozen=True, slots=True)
class Rejection:
    """One song, or one file, that was left out, and why.

    Attributes
    ----------
    id : str
        Path of the file relative to the scanned folder; of data sets after the name of the root
        and a colon; for ``evaluate`` the name of the song.
    stage : str
        ``scan``, ``select``, ``render``; ``find``, ``measure``, ``mix``; or ``evaluate``.
    reason : Reason
        The reason as programs compare it.
    detail : str
        One sentence for a person.
    """

    id: str
    stage: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What `validate` finds of one song or file.

    Attributes
    ----------
    name : str
        Label of the song, or path of the file, that was checked.
    offence : str or None
        What is wrong with it, naming the file; None if nothing is.
    """

    name: str
    offence: str | None


class DefectKind(StrEnum):
    """What may be wrong with a stem; after each, what the size of such a defect says."""

    SILENT_STEM = "silent-stem"  # notes that must sound, and none does; number of notes
    MISSING_NOTE = "missing-note"  # peak against the stem's, in dB
    LATE_ONSET = "late-onset"  # ms after the label
    DOUBLED_NOTE = "doubled-note"  # an onset without a note; peak against the stem's, in dB
    HUNG_NOTE = "hung-note"  # ms that a tone goes on for longer than its kind
    UNEXPECTED_SOUND = "unexpected-sound"  # where no note is; peak against the stem's, in dB
    WRONG_PITCH = "wrong-pitch"  # cents from the label
    WRONG_OCTAVE = "wrong-octave"  # octaves from the label
    CLIPPING = "clipping"  # share of the sounding samples
    DC_OFFSET = "dc-offset"  # of full scale, with its sign
    DROPOUT = "dropout"  # ms of constant samples within a sound
    WHITE_NOISE = "white-noise"  # power against the stem's, in dB


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that the audit of a stem found.

    Attributes
    ----------
    kind : DefectKind
        What is wrong.
    start, end : int
        Samples of the stem from which and up to which it is wrong.
    size : float
        How wrong it is, in the unit that the kind has.
    """

    kind: DefectKind
    start: int
    end: int
    size: float


@dataclass(frozen=True, slots=True)
class Note:
    """One note of a stem: a row of the table that `Corpus` gives.

    Attributes
    ----------
    onset, offset : int
        Sample at which the synthesiser starts the voice, and sample of the note-off.
    pitch, velocity : int
        MIDI numbers as sent.
    is_heard : bool or None
        Whether the note is to be heard in the stem; None if nobody looked.
    sounding_pitch : float or None
        Pitch that is heard, as a MIDI number with fractions; None if it is not known.
    sounding_offset : int or None
        Sample at which the voice is told to end: `offset`, or later where a pedal holds the note.
        None if it is not known, as in renditions.
    """

    onset: int
    offset: int
    pitch: int
    velocity: int
    is_heard: bool | None = None
    sounding_pitch: float | None = None
    sounding_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument of a score: the notes of one track, channel and program.

    Attributes
    ----------
    track, channel : int
        0-based track and channel it comes from.
    program : int
        0-based General MIDI program; 128 for drums, on channel 10 or where the score says so.
    bank : int
        Bank-select MSB in force at the first note (0 for most scores).
    kit : int
        For drums, the program in force at the first note (the drum kit); else 0.
    n_notes : int
        Number of notes that the part plays.
    name : str
        Track name, as in the file.
    strikes : numpy.ndarray or None
        (3 n_strikes,) what is asked of a patch: key, velocity, and number of notes (255 for any
        larger one) of each pair of key and velocity that is played, in ascending order. None where
        nobody asked for it. Parts are compared without it.
    """

    track: int
    channel: int
    program: int
    bank: int
    kit: int
    n_notes: int
    name: str
    strikes: UInt8s | None = field(default=None, compare=False, repr=False)

    @property
    def is_drum(self) -> bool:
        """Whether the part plays drums."""
        return self.program == DRUMS


@dataclass(frozen=True, slots=True)
class ScannedSong:
    """What `scan` knows about one MIDI file.

    Attributes
    ----------
    path : str
        Relative to the scanned folder.
    md5 : str
        MD5 of the file; the song's identity, and Slakh's ``UUID``.
    notes_sha256 : str
        Hash of the note content: equal for files that differ in name, metadata, track order,
        program numbers, tempo or resolution only.
    duration_s : float
        Time of the last note's end.
    n_notes : int
        Number of notes of all parts.
    parts : tuple of Part
        The parts, in the order of the score.
    repairs : tuple of str
        What had to be mended to read the file; empty for a sound one.
    licence : str or None
        SPDX licence of the score; None if it is not known.
    melodic_signature : str or None
        What finds near duplicates, as `stemsmith.render.midi.signature` makes it; None for scores
        that have too few notes, or too plain ones, to be told from others.
    """

    path: str
    md5: str
    notes_sha256: str
    duration_s: float
    n_notes: int
    parts: tuple[Part, ...]
    repairs: tuple[str, ...]
    licence: str | None = None
    melodic_signature: str | None = None


@dataclass(frozen=True, slots=True)
class Song:
    """One song of a corpus: a row of ``songs-NNNNN.parquet``.

    Attributes
    ----------
    song_id : str
        MD5 of the MIDI file.
    track : str
        Folder name, ``Track00001``; a label, never a seed.
    split : str
        ``train``, ``validation`` or ``test``.
    source : str
        Path of the MIDI file relative to the folder the corpus was made from.
    notes_sha256 : str
        Note-content hash; songs that share it share their split.
    path, mix_path : str
        Song folder and its mixture; in a tar, that comes first (``train-00000.tar/Track00001``).
    sample_rate, n_samples : int
        Common to all stems and the mixture.
    mix_source : str
        ``automix`` (the mixture is the integer sum of the stems) or ``unsplit``.
    overall_gain_db : float
        Uniform gain of stems and mixture against clipping; 0 or less.
    mix_peak_dbfs : float or None
        Sample peak of the mixture as written.
    n_stems : int
        Number of stems that were rendered.
    midi_sha256, mix_sha256, metadata_sha256 : str
        SHA-256 of ``all_src.mid``, of the mixture and of ``metadata.yaml``.
    licence : str or None
        SPDX licence of the score; None if it is not known.
    duplicate_group : str or None
        The least `notes_sha256` of the songs that are the same music or nearly so, which share
        their split; its own if there is no other. None in what version 0.1 wrote.
    n_channels : int or None
        Channels of stems and mixture: 1 or 2. None in what version 0.1 wrote, which is mono.
    balance : str or None
        JSON of the levels in LU that were drawn for the groups of the song, against the sum of
        drums, bass and other, as `stemsmith.mixing.level.balance` has them: only their differences
        count. None where all stems are equally loud.
    room : str or None
        The room of all stems, as JSON: parameters of `stemsmith.mixing.production.room.Room`, or
        file and SHA-256 of an impulse response. None where there is none.
    bus, codec : str or None
        What made the master of the mixture, as JSON: parameters of
        `stemsmith.mixing.production.bus.Bus`, and name and bit rate of the codec.
    master_path, master_sha256 : str or None
        The mixture after bus and codec, sample-aligned, and the SHA-256 of its file.
    tempo_bpm, bar_quarters : float or None
        Tempo in quarter notes a minute, and the quarter notes of a bar, where the score has one
        tempo and one meter from beginning to end: bars then begin at multiples of their length from
        the first sample on. None where they change, and in what version 0.1 wrote.
    """

    song_id: str
    track: str
    split: str
    source: str
    notes_sha256: str
    path: str
    mix_path: str
    sample_rate: int
    n_samples: int
    mix_source: str
    overall_gain_db: float
    mix_peak_dbfs: float | None
    n_stems: int
    midi_sha256: str
    mix_sha256: str
    metadata_sha256: str
    licence: str | None = None
    duplicate_group: str | None = None
    n_channels: int | None = None
    balance: str | None = None
    room: str | None = None
    bus: str | None = None
    codec: str | None = None
    master_path: str | None = None
    master_sha256: str | None = None
    tempo_bpm: float | None = None
    bar_quarters: float | None = None

    @property
    def has_own_mixture(self) -> bool:
        """Whether the mixture was rendered by itself, and not summed of the stems."""
        return self.mix_source == "unsplit"


@dataclass(frozen=True, slots=True, eq=False)
class Stem:
    """One rendered stem: a row of ``stems-NNNNN.parquet``.

    Attributes
    ----------
    stem_id : str
        Unique name of the stem: ``<song_id>/S00``.
    song_id, track, split, stem : str
        Song, folder, split, and ``S00``.
    program : int
        0-based program; 128 for drums.
    inst_class, rendering_class : str
        Slakh's coarse class and the class the patch belongs to.
    patch : str
        Name of the patch, unique in the bank.
    path, midi_path : str
        FLAC and MIDI of the stem.
    sample_rate, n_samples : int
        Sample rate in Hz and length, the same as of the song.
    loudness_lufs : float or None
        BS.1770 integrated loudness before any gain; None for a stem that never passes the
        -70 LUFS gate or is shorter than 400 ms.
    gain_db : float
        Gain applied to the written file, the uniform gain included.
    is_silent, is_gain_limited : bool
        No loudness to be set from; wanted more than the allowed gain.
    n_notes : int
        Notes, as many as entries in the four note columns.
    sha256, midi_sha256 : str
        SHA-256 of the FLAC and of the MIDI file.
    k_power, power : numpy.ndarray
        (n_samples / sample_rate * 10,) K-weighted and plain mean square of each 100 ms, of the
        stem before gain, full scale 1.
    note_onset, note_offset : numpy.ndarray
        (n_notes,) sample at which the synthesiser starts the voice and receives the note-off.
    note_pitch, note_velocity : numpy.ndarray
        (n_notes,) MIDI numbers as sent.
    samples_sha256 : str or None
        SHA-256 of the samples that the FLAC holds, as `stemsmith.manifests.audio.flac.SampleHash`
        has it: the same whatever encodes them. None in what version 0.1 wrote.
    note_heard : numpy.ndarray or None
        (n_notes,) whether a note is to be heard in the stem: its peak is above -70 dBFS and above
        -60 dB of the stem's. Others are in ``all_src.mid``, but not in the MIDI file of the stem:
        the patch has no sound for the key or the velocity, or volume and expression mute it. None
        where nobody looked, as in what version 0.1 wrote.
    note_sounding_offset : numpy.ndarray or None
        (n_notes,) sample at which the voice is told to end: `note_offset`, or later where the
        sustain or the sostenuto pedal holds the note. A folder of notes knows no pedals. None in
        what version 0.1 wrote.
    note_sounding_pitch : numpy.ndarray or None
        (n_notes,) MIDI number, with fractions, of the pitch that is heard: `note_pitch` where the
        patch plays it within 30 cents or has no stable pitch, octaves from it where instruments
        of the kind sound there (16-foot organ stops, timpani), moved by the tuning that the score
        sends to the channel (RPN 1 and 2), which folders of notes do not follow. Pitch bends are
        not in it. None where it is not known.
    n_notes_unheard : int or None
        Notes of which `note_heard` is false.
    audit : tuple of Defect or None
        What the audit found; empty where nothing is wrong, None where the stem was not audited.
    n_channels : int or None
        1 or 2. None in what version 0.1 wrote, which is mono. Powers are those of both channels:
        `k_power` their sum, as BS.1770 has it, and `power` their mean.
    k_power_mono, power_mono : numpy.ndarray or None
        The same powers of (left + right) / 2; None for a mono stem.
    pan : int or None
        MIDI controller 10 that was drawn for the part, 0 (left) to 127; None where none was.
    balance_lu : float or None
        Level that was drawn for the sum of the stems of its group (drums, bass, or all others), as
        in the record of the song; None where all stems are equally loud.
    effects : str or None
        Chain of effects that the stem got by its class, as JSON in the order in which it was
        applied; None where stems get none. Effects of the patch are not in it.
    position : str or None
        Place of the part in the room, in metres from a corner, as JSON.
    equaliser : str or None
        Gains in dB of the filter against masking, as JSON: one for each of
        `stemsmith.mixing.production.equaliser.BANDS_HZ`.
    dry_path, dry_sha256 : str or None
        The stem before all effects, those of the patch included, with `gain_db` applied, and the
        SHA-256 of its file.
    mono_from : str or None
        What a mono stem is of the synthesiser's two channels: ``sum``, which is (left + right) / 2,
        or the one channel ``left`` or ``right``, where the sum of a key of the part is more than
        3 dB below the mean of the channels' powers. None for stems of two channels, for patches
        that are no presets, and in what version 0.1 wrote, which is the sum.
    dynamic : str or None
        Dynamic that the part is played at; None where velocities are as written.
    velocity_sd, onset_sd_s, tuning_sd_cents : float or None
        Standard deviations that the velocities of the notes, their onsets in seconds and their
        tuning in cents were drawn with. None where the part is played as written, as in what
        earlier versions wrote; the note columns have what was drawn.
    ensemble_sd_s : float or None
        Standard deviation in seconds of what onsets have in common with all notes of the song that
        begin at the same time, beside their own.
    note_cents : numpy.ndarray or None
        (n_notes,) deviation of each note's tuning in cents, which `note_sounding_pitch` has too.
        None where nothing is tuned.
    """

    stem_id: str
    song_id: str
    track: str
    split: str
    stem: str
    program: int
    inst_class: str
    rendering_class: str
    patch: str
    path: str
    midi_path: str
    sample_rate: int
    n_samples: int
    loudness_lufs: float | None
    gain_db: float
    is_silent: bool
    is_gain_limited: bool
    n_notes: int
    sha256: str
    midi_sha256: str
    k_power: Float32s
    power: Float32s
    note_onset: Int32s
    note_offset: Int32s
    note_pitch: UInt8s
    note_velocity: UInt8s
    samples_sha256: str | None = None
    note_heard: Bools | None = None
    note_sounding_offset: Int32s | None = None
    note_sounding_pitch: Float32s | None = None
    n_notes_unheard: int | None = None
    audit: tuple[Defect, ...] | None = None
    n_channels: int | None = None
    k_power_mono: Float32s | None = None
    power_mono: Float32s | None = None
    pan: int | None = None
    balance_lu: float | None = None
    effects: str | None = None
    position: str | None = None
    equaliser: str | None = None
    dry_path: str | None = None
    dry_sha256: str | None = None
    mono_from: str | None = None
    dynamic: str | None = None
    velocity_sd: float | None = None
    onset_sd_s: float | None = None
    ensemble_sd_s: float | None = None
    tuning_sd_cents: float | None = None
    note_cents: Float32s | None = None
