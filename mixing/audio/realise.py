"""From a recipe to audio, bit for bit the same each time.

The order is fixed (`stemsmith.manifests.mixtures`); resampling (soxr, HQ) belongs to reading.
Excerpts are resampled with 0.1 s of what surrounds them, which is cut off again.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.mixing.audio.transforms import apply_transforms, kept_stretches
from stemsmith.mixing.level.gains import db_to_linear, quantise, uniform_gain_db
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import envelope, loudness_when_played_at
from stemsmith.mixing.sources.find import locate

__all__ = ["MIXTURE", "Realised", "quantised", "realise"]

MIXTURE: Final = "mixture"
_GAIN_DECIMALS: Final = 4


class Realised(dict[str, Float32s]):
    """Audio by name: ``mixture`` and every target, (n_channels, n_samples) float32.

    Attributes
    ----------
    guard_gain_db : float
        What everything was turned down by so that no sample exceeds the ceiling; at most 0.
    gains_db : dict of str to float
        Gain of each stem before that.
    """

    guard_gain_db: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.gains_db: dict[str, float] = {}


def realise(
    mixture: Mixture,
    roots: Mapping[str, str | Path],
    targets: Collection[str] | None = None,
    is_verified: bool = True,
) -> Realised:
    """Make the audio of a recipe.

    Parameters
    ----------
    mixture : Mixture
        The recipe to follow.
    roots : mapping of str to path
        Folders of the roots it names.
    targets : collection of str, optional
        Targets to return beside the mixture; one the mixture lacks is silent. None returns all
        that it has. All are made in any case: the mixture is their sum.
    is_verified : bool
        Whether every file's SHA-256 is compared to the recipe's, once a process.

    Returns
    -------
    Realised
        The targets' sum equals the mixture to 1e-6, and no sample exceeds the ceiling.

    Raises
    ------
    InvalidCorpus
        If a file is missing, changed, or shorter than the recipe says; the text names it.
    UsageError
        If a root is unknown, or a transform's package is not installed.

    Examples
    --------
    >>> import stemsmith
    >>> mixtures = stemsmith.Mixtures("mixtures")
    >>> audio = stemsmith.realise(mixtures[0].record, mixtures.roots)
    >>> audio["mixture"].shape
    (1, 16000)
    """
    made = Realised()
    shape = mixture.n_channels, mixture.n_samples
    groups: dict[str, Float32s] = {}
    for source in mixture.sources:
        path = locate(roots, source.root, source.path)
        if is_verified:
            _verify(path, source.sha256)
        audio = _transformed(_read(source, path, mixture), source, mixture)
        gain_db = made.gains_db[source.stem_id] = _gain_db(audio, source, mixture.sample_rate)
        if gain_db:
            audio *= np.float32(db_to_linear(gain_db))
        if source.group in groups:
            groups[source.group] += audio
        else:
            groups[source.group] = audio
    total = np.zeros(shape, np.float32)
    for audio in groups.values():
        total += audio
    peaks = [_peak(audio) for audio in groups.values()]
    made.guard_gain_db = uniform_gain_db(
        _peak(total), peaks, mixture.peak_ceiling_dbfs, FULL_SCALE_16
    )
    if made.guard_gain_db:
        factor = np.float32(db_to_linear(made.guard_gain_db))
        for audio in (total, *groups.values()):
            audio *= factor
    made[MIXTURE] = total
    for name in groups if targets is None else targets:
        made[name] = groups[name] if name in groups else np.zeros(shape, np.float32)
    return made


def quantised(made: Realised) -> dict[str, Int16s]:
    """Round the audio of a recipe to 16 bits.

    Parameters
    ----------
    made : Realised
        What `realise` returned, with all targets of the recipe.

    Returns
    -------
    dict of str to numpy.ndarray
        (n_channels, n_samples) int16 by name: every target, and ``mixture``, their exact sum.
    """
    integers = {
        name: quantise(audio, 0.0, FULL_SCALE_16) for name, audio in made.items() if name != MIXTURE
    }
    # Partial sums may wrap around; the whole sum is below full scale (the guard gain sees to it).
    integers[MIXTURE] = np.sum(list(integers.values()), axis=0, dtype=np.int16)
    return integers


@functools.lru_cache(maxsize=100_000)
def _hash_of(path: Path, n_bytes: int, mtime_ns: int) -> str:
    return storage.file_hash(path)


def _verify(path: Path, sha256: str) -> None:
    try:
        status = path.stat()
        found = _hash_of(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InvalidCorpus(f"{path}: cannot be read: {error.strerror}") from error
    if found != sha256:
        raise InvalidCorpus(
            f"{path}: has changed since the mixtures were planned; run mix again, or restore it"
        )


def _read(source: MixtureSource, path: Path, mixture: Mixture) -> Float32s:
    """Return what a source reads, with the channels and at the rate of the mixture."""
    stretches = kept_stretches(source.transforms)
    is_resampled = source.sample_rate != mixture.sample_rate
    margin = source.sample_rate // ENVELOPE_HZ if is_resampled else 0
    if stretches is None:
        audio = _excerpt(source, path, margin)
    else:
        pieces = [read_excerpt(path, start, n, source.stream) for start, n in stretches]
        audio = np.pad(np.concatenate(pieces, axis=1), ((0, 0), (margin, margin)))
    if len(audio) > mixture.n_channels:
        audio = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    if is_resampled:
        rates = source.sample_rate, mixture.sample_rate
        step = mixture.sample_rate // ENVELOPE_HZ
        audio = soxr.resample(audio.T, *rates, quality="HQ").T[:, step:-step]
    if len(audio) < mixture.n_channels:
        audio = np.repeat(audio, mixture.n_channels, axis=0)
    return np.ascontiguousarray(audio, np.float32)


def _excerpt(source: MixtureSource, path: Path, margin: int) -> Float32s:
    """Return a source's excerpt with a margin on both sides.

    What lies outside the stem is its other end, as in a loop, or silence if the shift is padded;
    what surrounds an excerpt that keeps inside is silence there too.
    """
    length = source.n_stem_samples
    first = source.start - source.shift
    position, end = first - margin, first + source.n_read + margin
    if position >= 0 and end <= length:
        return read_excerpt(path, position, end - position, source.stream)
    is_inside = first >= 0 and first + source.n_read <= length
    is_padded = source.is_shift_padded or (is_inside and not source.shift)
    pieces: list[Float32s | int] = []
    while position < end:
        turn, inside = divmod(position, length)
        n = min(end - position, length - inside)
        is_outside = turn != 0 and is_padded
        pieces.append(n if is_outside else read_excerpt(path, inside, n, source.stream))
        position += n
    n_channels = next((len(p) for p in pieces if not isinstance(p, int)), 1)
    return np.concatenate(
        [np.zeros((n_channels, p), np.float32) if isinstance(p, int) else p for p in pieces], axis=1
    )


def _transformed(audio: Float32s, source: MixtureSource, mixture: Mixture) -> Float32s:
    """Apply a source's transforms and give it the mixture's length."""
    if source.transforms:
        audio = apply_transforms(audio, mixture.sample_rate, source.transforms)
    missing = mixture.n_samples - audio.shape[1]
    if missing > 0:  # a phase vocoder rounds to its hops
        audio = np.pad(audio, ((0, 0), (0, missing)))
    return audio[:, : mixture.n_samples]


def _gain_db(audio: Float32s, source: MixtureSource, sample_rate: int) -> float:
    """Return a source's gain: the recipe's, after what brings it to the recipe's loudness."""
    if source.target_lufs is None:
        return source.gain_db
    k_power = envelope(audio, sample_rate).k_power
    loudness_lufs = loudness_when_played_at(k_power, source.target_lufs)
    if loudness_lufs is None:  # muted, or silent after its transforms
        return source.gain_db
    return round(source.target_lufs - loudness_lufs + source.gain_db, _GAIN_DECIMALS)


def _peak(audio: Float32s) -> float:
    return max(float(audio.max()), -float(audio.min()))
