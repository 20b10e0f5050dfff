"""A folder of recorded notes as an instrument: a part is put together note by note.

This is the method of Miron et al. 2017 (section 3.4, algorithm 3; section 4.1 b, with the notes of
the RWC database). Departures: the published code writes each note over what sounds already, and
leaves out a stretch of the piece if one of its notes was not recorded. Here notes are added to each
other, so that a release or a chord keeps its energy, and a note that cannot be played is an error.

Velocities, where no dynamic is asked for, only choose among recordings. Pedals and pitch bends are
not followed.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from stemsmith.manifests.arrays import Bools, Float32s
from stemsmith.manifests.audio.read import read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.mixing.level.spans import joined
from stemsmith.render.sound.attack import samples_until_heard
from stemsmith.render.sound.note_files import DYNAMICS, Recording, read_recordings
from stemsmith.render.sound.synth import Spans

__all__ = ["MAX_SEMITONES", "RELEASE_S", "SampleFolder", "Unplayable", "read_sample_folder"]

RELEASE_S: Final = 0.030  # a note fades out from its offset on for so long
MAX_SEMITONES: Final = 2  # a recording that is shifted further has another timbre


_CACHED_RECORDINGS: Final = 256  # notes of 5 s at 44.1 kHz take 0.9 MB each
# Read beyond the end of a note that is resampled, so that it does not end in the filter's edge.
_MARGIN: Final = 1024


class Unplayable(UsageError):
    """A note is out of the reach of a folder; that is for its song to be left out."""


@dataclass(frozen=True, slots=True)
class SampleFolder:
    """An instrument made of recorded notes.

    Attributes
    ----------
    path : str
        Absolute path of the folder.
    recordings : tuple of Recording
        By pitch and dynamic, from low to high and from soft to loud.
    """

    path: str
    recordings: tuple[Recording, ...]
    _by_pitch: dict[int, list[Recording]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_pitch: dict[int, list[Recording]] = defaultdict(list)
        for recording in self.recordings:
            by_pitch[recording.pitch].append(recording)
        object.__setattr__(self, "_by_pitch", dict(by_pitch))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over pitches, dynamics and contents of the files; their names do not count."""
        content = [(r.pitch, r.dynamic, r.sha256) for r in self.recordings]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def layers(self, pitch: int) -> int:
        """Return how many dynamics are recorded of a pitch itself; 0 if it is not recorded."""
        return len(self._by_pitch.get(pitch, ()))

    def attack_s(self, pitch: int, dynamic: str) -> float:
        """Return how long after its onset a note is there: at 10 % of the peak of its recording.

        Parameters
        ----------
        pitch : int
            MIDI number; one that is not recorded has the attack of what is played for it.
        dynamic : str
            Dynamic of the recording, one of `DYNAMICS`.

        Returns
        -------
        float
            In seconds, from 0.

        Raises
        ------
        UsageError
            For what `render` refuses, too.
        """
        recording = self._choose(pitch, dynamic, velocity=1)
        first = samples_until_heard(_decoded(recording, recording.sample_rate, 1)[0])
        return first / recording.sample_rate / _ratio(pitch - recording.pitch)

    def render(
        self,
        notes: npt.ArrayLike,
        out: Float32s,
        sample_rate: int,
        dynamic: str | None = None,
        cents: npt.ArrayLike | None = None,
    ) -> Spans:
        """Play notes: each one's recording is added at its onset (section 3.4, algorithm 3).

        The recording is the one of the pitch, or of the nearest pitch up to two semitones away
        (of two, the lower), resampled; and of the pitch's dynamics the one nearest to the one
        asked for (of two, the softer). It sounds from its first sample, at the level at which it
        was recorded, up to the offset and from there fades out for `RELEASE_S`, in the shape of a
        raised cosine; a note longer than its recording ends with the recording.

        Parameters
        ----------
        notes : array_like of int
            (n_notes, 4) onset and offset in samples of `out`, 0 <= onset <= offset; pitch, 0 to
            127; velocity, 1 to 127. Notes from n_samples on are not played.
        out : numpy.ndarray
            (n_channels, n_samples) float32; what it held is lost. Into one channel goes the mean
            of those of a recording, into two a recording of one twice.
        sample_rate : int
            Sample rate of `out` in Hz; recordings at other rates are resampled.
        dynamic : str or None
            One of `DYNAMICS`, for all notes; None chooses by velocity: the dynamics that are
            recorded of a pitch divide 1 to 127 evenly.
        cents : array_like of float, optional
            (n_notes,) deviation of each note from its pitch, in cents.

        Returns
        -------
        list of (int, int)
            Start and stop of the stretches of `out` that may be other than zero, in order.

        Raises
        ------
        UsageError
            If a note is further than two semitones from every recording, or a recording is silent
            or cannot be decoded, or there is no such dynamic.
        ValueError
            For notes out of range.
        """
        table = np.asarray(notes, np.int64).reshape(-1, 4)
        deviations = np.zeros(len(table)) if cents is None else np.asarray(cents, np.float64)
        _check(table, deviations)
        n_release = round(RELEASE_S * sample_rate)
        release = _release(n_release)
        out.fill(0.0)
        played: Spans = []
        for (onset, offset, pitch, velocity), deviation in zip(
            table.tolist(), deviations.tolist(), strict=True
        ):
            recording = self._choose(pitch, dynamic, velocity)
            if onset >= out.shape[1]:
                continue
            n_held = offset - onset
            semitones = pitch - recording.pitch + deviation / 100
            decoded = _decoded(recording, sample_rate, len(out))
            audio = _played(decoded, semitones, n_held + n_release)
            audio[:, n_held:] *= release[: max(audio.shape[1] - n_held, 0)]
            end = min(onset + audio.shape[1], out.shape[1])
            out[:, onset:end] += audio[:, : end - onset]
            played.append((onset, end))
        return joined(played)

    def reaches(self, pitch: npt.ArrayLike) -> Bools:
        """Return which pitches (same shape) a recording is near enough to."""
        recorded = np.array(sorted(self._by_pitch))
        distance = np.abs(np.asarray(pitch, np.int64)[..., None] - recorded).min(axis=-1)
        reached: Bools = distance <= MAX_SEMITONES
        return reached

    def _choose(self, pitch: int, dynamic: str | None, velocity: int) -> Recording:
        """Return the recording that plays a note: by pitch first, then by dynamic."""
        nearest = min(self._by_pitch, key=lambda recorded: (abs(recorded - pitch), recorded))
        if abs(nearest - pitch) > MAX_SEMITONES:
            raise Unplayable(
                f"{self.path}: no recording within {MAX_SEMITONES} semitones of pitch {pitch}; "
                f"{len(self._by_pitch)} pitches from {min(self._by_pitch)} to "
                f"{max(self._by_pitch)} are recorded, the nearest is {nearest}"
            )
        layers = self._by_pitch[nearest]
        if dynamic is None:
            return layers[(velocity - 1) * len(layers) // 127]
        if dynamic not in DYNAMICS:
            raise UsageError(f"{self.path}: no dynamic {dynamic!r}; known: {', '.join(DYNAMICS)}")
        rank = DYNAMICS.index(dynamic)
        return min(layers, key=lambda r: abs(DYNAMICS.index(r.dynamic) - rank))


def read_sample_folder(path: Path) -> SampleFolder:
    """Read which notes a folder holds, as `stemsmith.render.sound.note_files.read_recordings` says.

    Raises
    ------
    UsageError
        For a folder that is not there or holds no notes, a name or a row that cannot be
        understood, a pitch that is there twice in one dynamic, a file that is missing or holds no
        audio; one line that names the file.
    """
    return SampleFolder(str(path.resolve()), read_recordings(path))


@functools.lru_cache(maxsize=_CACHED_RECORDINGS)
def _decoded(recording: Recording, sample_rate: int, n_channels: int) -> Float32s:
    """Return a recording at a sample rate, (n_channels, n_samples), which is not to be changed."""
    try:
        audio = read_excerpt(Path(recording.path), 0, recording.n_samples)
    except InvalidCorpus as error:
        raise UsageError(str(error)) from error
    if n_channels == 1:
        audio = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    elif len(audio) == 1:
        audio = np.repeat(audio, n_channels, axis=0)
    if audio.shape[0] != n_channels:
        raise UsageError(f"{recording.path}: has {len(audio)} channels; mono or stereo is wanted")
    if not 0 < float(np.abs(audio).max()) < np.inf:  # false for not-a-number too
        raise UsageError(f"{recording.path}: is silent or has infinite samples")
    if recording.sample_rate != sample_rate:
        audio = _resampled(audio, recording.sample_rate, sample_rate)
    audio.flags.writeable = False
    return audio


def _played(audio: Float32s, semitones: float, n_samples: int) -> Float32s:
    """Return the beginning of a recording, shifted: at most n_samples, a copy."""
    if semitones:
        ratio = _ratio(semitones)
        n_read = int((n_samples + _MARGIN) * ratio) + 1
        return _resampled(audio[:, :n_read], ratio, 1.0)[:, :n_samples]
    return audio[:, :n_samples].copy()


def _resampled(audio: Float32s, from_hz: float, to_hz: float) -> Float32s:
    """Resample each channel."""
    return np.stack([soxr.resample(channel, from_hz, to_hz, quality="HQ") for channel in audio])


def _ratio(semitones: float) -> float:
    return float(2.0 ** (semitones / 12))


def _release(n_samples: int) -> Float32s:
    """Return the falling half of a raised cosine, from just below 1 to just above 0."""
    phase = (np.arange(n_samples) + 0.5) / n_samples
    return (0.5 + 0.5 * np.cos(np.pi * phase)).astype(np.float32)


def _check(table: npt.NDArray[np.int64], cents: npt.NDArray[np.float64]) -> None:
    onset, offset, pitch, velocity = table.T
    if np.any((onset < 0) | (offset < onset)):
        raise ValueError("notes must start at sample 0 or later and not end before they start")
    if np.any((pitch < 0) | (pitch > 127) | (velocity < 1) | (velocity > 127)):
        raise ValueError("pitches must be 0 to 127, velocities 1 to 127")
    if cents.shape != onset.shape or not np.all(np.isfinite(cents)):
        raise ValueError("give one finite deviation in cents for each note")
