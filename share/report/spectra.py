"""Mean spectra of data sets side by side, as in Figure 2 of the Slakh paper.

"The average spectrum for a track is computed using an STFT with frame size of 4096 samples and 50 %
overlap, averaging over all frames, and normalizing each average spectrum to have unit energy"
(Manilow et al. 2019, section 2.4). Here the frames have a Hann window, which the paper does not
say; what is averaged is the magnitude, of the mean of the channels; and what is compared is the
mean and the standard deviation over songs of 20 lg of it.

This is the one picture that needs audio. It is bounded: a sample of the songs is read, the same one
each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from stemsmith.evaluate.benchmark.datasets import Dataset, DatasetSong, StemFile, find_dataset
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.audio.read import audio_info, read_blocks
from stemsmith.manifests.corpus import SONGS, Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError, one_line
from stemsmith.manifests.seeds import unit_hash
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.find import CORPUS, parse_source

__all__ = ["N_FRAME", "DatasetSpectrum", "measure_spectrum", "song_spectrum"]

N_FRAME: Final = 4096
_N_HOP: Final = N_FRAME // 2
_N_BLOCK: Final = 256 * _N_HOP  # samples that are read at a time
_FLOOR: Final = 1e-10  # -200 dB: of frequencies at which there is digital silence


@dataclass(frozen=True, slots=True, eq=False)
class DatasetSpectrum:
    """Mean and deviation of the normalised log-magnitude spectra of some songs.

    Attributes
    ----------
    name : str
        The data set, as it was named.
    n_songs : int
        Number of songs that were measured.
    n_available : int
        Number of songs of the data set.
    sample_rate : int
        Sample rate in Hz that these songs have.
    frequency_hz : numpy.ndarray
        (2049,) frequencies in Hz.
    mean_db, deviation_db : numpy.ndarray
        (2049,) mean and standard deviation over the songs, in dB.
    left_out : tuple of str
        Why songs of the sample were left out, one line each.
    """

    name: str
    n_songs: int
    n_available: int
    sample_rate: int
    frequency_hz: Float64s
    mean_db: Float64s
    deviation_db: Float64s
    left_out: tuple[str, ...] = ()


def measure_spectrum(dataset: str | Dataset, n_songs: int = 20, seed: int = 0) -> DatasetSpectrum:
    """Measure the mean spectrum of the mixtures of a data set.

    Parameters
    ----------
    dataset : str or Dataset
        A corpus, or another data set as `find_dataset` takes them, such as ``musdb:PATH``; or one
        that it has found.
    n_songs : int
        How many songs are read at most.
    seed : int
        Chooses them, by their names.

    Returns
    -------
    DatasetSpectrum
        Of the songs that have the sample rate of the first one chosen; others, and what is silent
        or cannot be read, are left out.

    Raises
    ------
    UsageError, InvalidCorpus
        As `find_dataset`; or if nothing could be measured.
    """
    songs = _songs(dataset)
    name_of_set = dataset if isinstance(dataset, str) else dataset.name
    chosen = sorted(songs, key=lambda name: (unit_hash(seed, "spectrum", name), name))[:n_songs]
    spectra: list[Float64s] = []
    left_out: list[str] = []
    sample_rate = 0
    for name in sorted(chosen):
        try:
            rate = audio_info(songs[name][0].location, songs[name][0].stream).sample_rate
            if rate != (sample_rate or rate):
                raise InvalidCorpus(f"{rate} Hz; songs before it have {sample_rate} Hz")
            spectrum = song_spectrum(_blocks(songs[name]))
        except (InvalidCorpus, UsageError, OSError) as error:
            left_out.append(f"{name}: {one_line(error)}")
            continue
        if spectrum is None:
            left_out.append(f"{name}: silent")
            continue
        sample_rate = rate
        spectra.append(20 * np.log10(np.maximum(spectrum, _FLOOR)))
    if not spectra:
        why = "; ".join(left_out) or "empty"
        raise InvalidCorpus(f"{name_of_set}: no song has a spectrum: {why}")
    return DatasetSpectrum(
        name=name_of_set,
        n_songs=len(spectra),
        n_available=len(songs),
        sample_rate=sample_rate,
        frequency_hz=np.linspace(0.0, sample_rate / 2, N_FRAME // 2 + 1),
        mean_db=np.mean(spectra, axis=0),
        deviation_db=np.std(spectra, axis=0),
        left_out=tuple(left_out),
    )


def song_spectrum(blocks: Iterator[Float32s]) -> Float64s | None:
    """Return the mean magnitude spectrum of a recording, normalised to unit energy.

    Parameters
    ----------
    blocks : iterator of numpy.ndarray
        (n_channels, n) stretches that follow each other. What is shorter than a frame is filled
        with zeros; what is left after the last whole frame is not looked at.

    Returns
    -------
    numpy.ndarray or None
        (2049,) magnitudes whose squares sum to 1; None for a recording that is silent or has
        samples that are not finite.
    """
    window = np.hanning(N_FRAME + 1)[:-1]
    total = np.zeros(N_FRAME // 2 + 1)
    rest = np.zeros(0)
    n_frames = 0
    for block in blocks:
        rest = np.concatenate([rest, block.mean(axis=0, dtype=np.float64)])
        if len(rest) < N_FRAME:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(rest, N_FRAME)[::_N_HOP]
        total += np.abs(np.fft.rfft(frames * window)).sum(axis=0)
        n_frames += len(frames)
        rest = rest[len(frames) * _N_HOP :]
    if not n_frames:
        total = np.abs(np.fft.rfft(np.pad(rest, (0, N_FRAME - len(rest))) * window))
    energy = float(np.sqrt(np.sum(total**2)))
    return total / energy if np.isfinite(energy) and energy > 0 else None


def _songs(dataset: str | Dataset) -> dict[str, tuple[StemFile, ...]]:
    """Return the files that add up to the mixture of each song, by its name."""
    if not isinstance(dataset, str):
        return {song.name: _summed(song) for song in dataset.songs}
    layout, path = parse_source(dataset)
    if layout == CORPUS:
        corpus = Corpus(path)
        if corpus.kind == SONGS:
            songs = corpus.song_records()
            root = corpus.root
            return {s.track: (StemFile("", str(storage.inside(root, s.mix_path))),) for s in songs}
    found = find_dataset(dataset, None, SPLITS)
    return {song.name: _summed(song) for song in found.songs}


def _summed(song: DatasetSong) -> tuple[StemFile, ...]:
    return song.stems if song.mixture is None else (song.mixture,)


def _blocks(files: Sequence[StemFile]) -> Iterator[Float32s]:
    """Yield the sum of some files in stretches; what ends early goes on in silence.

    Shifts of renditions are left aside: moved in a circle, a stem has nearly the same frames.
    """
    readers = [read_blocks(file.location, _N_BLOCK, file.stream) for file in files]
    gains = [np.float32(10 ** (file.gain_db / 20)) for file in files]
    while True:
        blocks = [next(reader, None) for reader in readers]
        sounding = [(b, g) for b, g in zip(blocks, gains, strict=True) if b is not None]
        if not sounding:
            return
        n = max(block.shape[1] for block, _ in sounding)
        total = np.zeros((1, n), np.float32)
        for block, gain in sounding:
            total[:, : block.shape[1]] += gain * block.mean(axis=0, keepdims=True)
        yield total
