"""What is measured of a song: its mixture, which is the sum of its groups, and each group.

Songs are read in stretches of 12 s, so that memory is bounded, and excerpts compare with whole
songs: the longer a signal is, the higher is its peak and the wider its range of loudness. Crest
factor, peak-to-loudness ratio and loudness range are means over the stretches of a song.

The loudness range is that between the 10th and the 95th percentile of the loudness of blocks of
400 ms, gated as in EBU Tech 3342 (at -70 LUFS, and 20 LU below the loudness of what is above that).
Tech 3342 itself takes windows of 3 s, of which excerpts of 10 to 20 s have too few. The level
spread is the standard deviation of the levels of steps of 100 ms, K-weighted and with these gates:
what notes and their decay do to the level within the blocks. `texture` has what else is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from stemsmith.evaluate.benchmark.datasets import StemFile
from stemsmith.evaluate.realism.bands import PowerSpectrum
from stemsmith.evaluate.realism.texture import Texture, TextureMeter
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.audio.read import AudioInfo, audio_info, read_blocks, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus, Unreadable, UsageError
from stemsmith.manifests.jobs import recheck
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing.level.balance import SUMMED
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import (
    ABSOLUTE_GATE_LUFS,
    BLOCK_STEPS,
    envelope,
    integrated_loudness,
    power_of,
)

__all__ = ["MEASURED_BY", "MIXTURE", "GroupSound", "SongSound", "SoundJob", "measure_song"]

MEASURED_BY: Final = "gap"  # the stage that rejections name
MIXTURE: Final = "mixture"
_DRUMS: Final = "drums"
_STRETCH_S: Final = 12
_FAINT_LU: Final = 20.0  # stretches that much softer than the song are no music
_WARM_UP_STEPS: Final = 5  # after half a second the filters have forgotten where they started
_LOWEST_DB: Final = -60.0  # of the side against the mid signal: mono
_LARGEST_SAMPLE: Final = 1e6
_LOWEST_RATE_HZ: Final = 8000


@dataclass(frozen=True, slots=True)
class SoundJob:
    """One song to measure.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    identity : str
        What the song is called in every corpus that has it.
    artist : str
        Name of the artist; of its own for a song of which nobody knows it.
    is_artist_unknown : bool
        Whether that is so.
    groups : tuple of (str, tuple of StemFile)
        The groups, each with the stems that sum to it.
    summed : tuple of str
        Names of the groups that the mixture is made of: drums, bass, other, and where singing
        counts, that of songs that have any.
    master : StemFile or None
        What is measured as the mixture in place of the sum.
    reach_hz : float
        Frequency that the sources of the song are known to reach; infinite where nobody said.
    """

    song: str
    identity: str
    artist: str
    is_artist_unknown: bool
    groups: tuple[tuple[str, tuple[StemFile, ...]], ...]
    summed: tuple[str, ...]
    master: StemFile | None = None
    reach_hz: float = math.inf

    def summing(self, groups: Sequence[str]) -> SoundJob:
        """Return the same song with a mixture of other groups."""
        return replace(self, summed=tuple(groups))


@dataclass(frozen=True, slots=True)
class GroupSound:
    """A group of a song, or its mixture.

    Attributes
    ----------
    levels_db : numpy.ndarray
        (n_bands,) level of each third-octave band against the K-weighted power; NaN beyond half
        the sample rate.
    loudness_lufs : float
        Integrated loudness; one channel counts as two that are equal.
    k_power : float
        Mean K-weighted power over the whole song; of a mixture, that of the sum of its groups.
    """

    levels_db: Float64s
    loudness_lufs: float
    k_power: float


@dataclass(frozen=True, slots=True)
class SongSound:
    """What was measured of a song.

    Attributes
    ----------
    song, identity, artist : str
        As of the job.
    duration_s : float
        Length of the song in seconds.
    sounds : dict of str to GroupSound
        The groups that sound and, as `MIXTURE`, the mixture; without the latter where drums, bass
        or other do not sound.
    missing : tuple of str
        Which of these do not.
    reach_hz : float
        Frequency that all sources reach, as far as it is known or seen.
    crest_db : float
        Highest sample against the mean power, of the mixture.
    peak_to_loudness_lu : float
        Highest sample in dBFS minus the integrated loudness.
    loudness_range_lu : float
        See the module.
    correlation : float
        Of left and right; 1 for one channel.
    side_mid_db : float
        Power of the side signal against that of the mid signal, -60 at least.
    level_spread_lu : float
        See the module.
    texture : Texture
        How busy the song is.
    """

    song: str
    identity: str
    artist: str
    duration_s: float
    sounds: dict[str, GroupSound]
    missing: tuple[str, ...]
    reach_hz: float
    crest_db: float
    peak_to_loudness_lu: float
    loudness_range_lu: float
    correlation: float
    side_mid_db: float
    level_spread_lu: float
    texture: Texture

    def level_lu(self, group: str) -> float:
        """Return the level of a group against the mixture; NaN if either does not sound.

        It is the ratio of their K-weighted powers over the whole song in LU, without gates: that of
        a group that pauses would be how loud it is while it plays.
        """
        if group not in self.sounds or MIXTURE not in self.sounds:
            return math.nan
        return 10 * math.log10(self.sounds[group].k_power / self.sounds[MIXTURE].k_power)


def measure_song(job: SoundJob) -> SongSound | Rejection:
    """Measure a song.

    Returns
    -------
    SongSound or Rejection
        A rejection if a file cannot be read, files do not fit together, or nothing sounds.
    """
    try:
        return _SongMeter(job).measure()
    except _Unmeasurable as error:
        recheck(error)
        return Rejection(job.song, MEASURED_BY, error.reason, str(error))
    except (InvalidCorpus, UsageError, OSError) as error:
        recheck(error)
        is_unreadable = isinstance(error, Unreadable | OSError)
        reason = Reason.UNREADABLE if is_unreadable else Reason.DAMAGED
        return Rejection(job.song, MEASURED_BY, reason, " ".join(str(error).split()))


class _Unmeasurable(InvalidCorpus):
    """A song cannot be measured; carries the reason for its `Rejection`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _SongMeter:
    """Reads a song once, all groups side by side."""

    def __init__(self, job: SoundJob) -> None:
        self._job = job
        files = [file for _, stems in job.groups for file in stems]
        files += [job.master] if job.master is not None else []
        self._infos = {(f.path, f.stream): audio_info(f.location, f.stream) for f in files}
        first, *_ = self._infos.values()
        for (path, _), info in self._infos.items():
            if (info.sample_rate, info.n_channels) != (first.sample_rate, first.n_channels):
                detail = f"{path}: {_described(info)}; another stem has {_described(first)}"
                raise _Unmeasurable(Reason.MISMATCH, detail)
        self._info = first
        if first.n_channels > 2 or first.sample_rate % ENVELOPE_HZ:
            detail = f"{files[0].path}: {_described(first)}; 1 or 2, and a multiple of 10 Hz"
            raise _Unmeasurable(Reason.UNSUPPORTED, detail)
        if first.sample_rate < _LOWEST_RATE_HZ:
            detail = f"{files[0].path}: {first.sample_rate} Hz is less than {_LOWEST_RATE_HZ} Hz"
            raise _Unmeasurable(Reason.UNSUPPORTED, detail)
        self._n_samples = max(info.n_samples for info in self._infos.values())
        self._n_block = _STRETCH_S * first.sample_rate

    def measure(self) -> SongSound:
        """Return what is measured."""
        job, rate = self._job, self._info.sample_rate
        meters = {name: _Meter(rate) for name, _ in job.groups}
        mixture, total, texture = _MixtureMeter(rate), _Meter(rate), TextureMeter(rate)
        sources = {name: self._stretches(stems) for name, stems in job.groups}
        master = None if job.master is None else self._stretches((job.master,))
        for _ in range(0, self._n_samples, self._n_block):
            pieces = {name: next(stretches) for name, stretches in sources.items()}
            for name, piece in pieces.items():
                meters[name].add(piece)
            own = None if master is None else next(master)
            summed = np.zeros(next(iter(pieces.values())).shape, np.float32)
            pitched = np.zeros_like(summed)
            for name in job.summed:
                summed += pieces.get(name, 0)
                pitched += pieces.get(name, 0) if name != _DRUMS else 0
            mixture.add(summed if own is None else own)
            texture.add(summed if own is None else own, pitched)
            if own is not None:
                total.add(summed)
        sounds = {name: found for name, m in meters.items() if (found := m.found()) is not None}
        missing = tuple(name for name in SUMMED if name not in sounds)
        whole = mixture.found()
        if whole is None:
            raise _Unmeasurable(Reason.SILENT, f"{job.song}: nothing of it sounds")
        if not missing:
            # Levels of groups are against their sum, whatever its master's is.
            power = whole.k_power if master is None else total.mean_k_power()
            sounds[MIXTURE] = replace(whole, k_power=power)
        heard = [meters[name].spectrum.reach_hz() for name in sounds if name != MIXTURE]
        return SongSound(
            job.song,
            job.identity,
            job.artist,
            self._n_samples / rate,
            sounds,
            missing,
            min([job.reach_hz, *heard]),
            *mixture.dynamics(whole.loudness_lufs),
            *mixture.width(),
            mixture.level_spread_lu(whole.loudness_lufs),
            texture.found(),
        )

    def _stretches(self, stems: Sequence[StemFile]) -> Iterator[Float32s]:
        """Yield the sum of some files, stretch by stretch; what ends early goes on in silence."""
        readers = [self._blocks(file) for file in stems]
        for start in range(0, self._n_samples, self._n_block):
            n = min(self._n_block, self._n_samples - start)
            total = np.zeros((self._info.n_channels, n), np.float32)
            for reader in readers:
                block = next(reader, None)
                if block is not None:
                    total[:, : block.shape[1]] += block
            yield total

    def _blocks(self, file: StemFile) -> Iterator[Float32s]:
        path, info = file.location, self._infos[file.path, file.stream]
        factor = np.float32(10 ** (file.gain_db / 20))
        blocks: Iterator[Float32s]
        if file.shift:  # of a rendition, which are short
            moved = np.roll(read_excerpt(path, 0, info.n_samples, file.stream), file.shift, axis=1)
            starts = range(0, info.n_samples, self._n_block)
            blocks = (moved[:, start : start + self._n_block] for start in starts)
        else:
            blocks = read_blocks(path, self._n_block, file.stream)
        for block in blocks:
            if not (np.abs(block) < _LARGEST_SAMPLE).all():  # NaN is not below anything
                detail = f"{file.path}: has samples that are not finite, or far above full scale"
                raise _Unmeasurable(Reason.NOT_FINITE, detail)
            yield block * factor if file.gain_db else block


def _described(info: AudioInfo) -> str:
    return f"{info.sample_rate} Hz, {info.n_channels} channels"


class _Meter:
    """Measures a signal that comes in stretches."""

    def __init__(self, sample_rate: int) -> None:
        self._step = sample_rate // ENVELOPE_HZ
        self._sample_rate = sample_rate
        self.spectrum = PowerSpectrum(sample_rate)
        self.k_power: list[Float32s] = []
        self._before: Float32s | None = None

    def add(self, audio: Float32s) -> None:
        """Take a stretch, (n_channels, n_samples)."""
        self.spectrum.add(audio)
        n_steps = audio.shape[1] // self._step
        warm_up = np.zeros((len(audio), 0), np.float32) if self._before is None else self._before
        joined = np.concatenate([warm_up, audio[:, : n_steps * self._step]], axis=1)
        n_before = warm_up.shape[1] // self._step
        power = envelope(joined, self._sample_rate).k_power[n_before:]
        # One channel is what both speakers play, and so 3 LU louder than it reads alone.
        self.k_power.append(power * np.float32(3 - len(audio)))
        n_kept = min(_WARM_UP_STEPS, n_steps) * self._step
        self._before = joined[:, joined.shape[1] - n_kept :]

    def found(self) -> GroupSound | None:
        """Return spectrum and loudness; None if the signal does not sound."""
        loudness = integrated_loudness(np.concatenate(self.k_power))
        levels = self.spectrum.levels_db()
        if loudness is None or levels is None:
            return None
        return GroupSound(levels, loudness, self.mean_k_power())

    def mean_k_power(self) -> float:
        """Return the mean K-weighted power."""
        return float(np.concatenate(self.k_power).mean(dtype=np.float64))


class _MixtureMeter(_Meter):
    """Measures dynamics and width as well."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__(sample_rate)
        self._peaks: list[tuple[float, float]] = []  # of each stretch: peak, mean power
        self._products = np.zeros(3)  # of left and left, right and right, left and right

    def add(self, audio: Float32s) -> None:
        """Take a stretch, (n_channels, n_samples)."""
        super().add(audio)
        left, right = (audio[0], audio[-1])
        products = [np.dot(left, left), np.dot(right, right), np.dot(left, right)]
        self._products += np.array(products, np.float64)
        power = float(products[0] + products[1]) / (2 * audio.shape[1])
        self._peaks.append((float(np.abs(audio).max()), power))

    def dynamics(self, loudness_lufs: float) -> tuple[float, float, float]:
        """Return crest factor, peak-to-loudness ratio and loudness range: means over stretches."""
        values = []
        for k_power, (peak, power), own in self._stretches(loudness_lufs):
            peak_db = 20 * math.log10(peak)
            values.append((peak_db - 10 * math.log10(power), peak_db - own, _range_lu(k_power)))
        crest, ratio, loudness_range = np.mean(values, axis=0) if values else (math.nan,) * 3
        return float(crest), float(ratio), float(loudness_range)

    def level_spread_lu(self, loudness_lufs: float) -> float:
        """Return the standard deviation of levels of 100 ms, the mean over stretches."""
        spreads = [
            float(np.std(10 * np.log10(heard)))
            for k_power, _, _ in self._stretches(loudness_lufs)
            if len(heard := _gated(k_power.astype(np.float64)))
        ]
        return float(np.mean(spreads)) if spreads else math.nan

    def _stretches(
        self, loudness_lufs: float
    ) -> Iterator[tuple[Float32s, tuple[float, float], float]]:
        """Yield the whole stretches that are music: power of steps, peak and power, loudness."""
        n_whole = max(len(k_power) for k_power in self.k_power)
        for k_power, peak_power in zip(self.k_power, self._peaks, strict=True):
            own = integrated_loudness(k_power)
            is_cut = len(k_power) < n_whole  # the rest of a song
            if own is None or own < loudness_lufs - _FAINT_LU or is_cut or not peak_power[1]:
                continue
            yield k_power, peak_power, own

    def width(self) -> tuple[float, float]:
        """Return the correlation of left and right, and the power of side against mid in dB."""
        left, right, both = self._products
        if not left or not right:
            return math.nan, 0.0
        mid, side = left + right + 2 * both, max(left + right - 2 * both, 0.0)
        lowest = 10 ** (_LOWEST_DB / 10)
        ratio = side / mid if mid > 0 else 1 / lowest
        side_mid_db = 10 * math.log10(min(max(ratio, lowest), 1 / lowest))
        return float(both / math.sqrt(left * right)), side_mid_db


def _range_lu(k_power: Float32s) -> float:
    """Return the loudness range of a stretch."""
    steps = k_power.astype(np.float64)
    if len(steps) < BLOCK_STEPS:
        return math.nan
    heard = _gated(np.convolve(steps, np.full(BLOCK_STEPS, 1 / BLOCK_STEPS), "valid"))
    if not len(heard):
        return math.nan
    low, high = np.percentile(10 * np.log10(heard), [10, 95])
    return float(high - low)


def _gated(power: Float64s) -> Float64s:
    """Return the powers that count: see the module."""
    heard = power[power > power_of(ABSOLUTE_GATE_LUFS)]
    return heard[heard > heard.mean() * 10 ** (-_FAINT_LU / 10)] if len(heard) else heard
