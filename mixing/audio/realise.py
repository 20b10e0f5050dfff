"""From a recipe to audio, bit for bit the same each time.

The order is fixed (`stemsmith.manifests.mixtures`); resampling (soxr, HQ) belongs to reading.
Excerpts are resampled with 0.1 s of what surrounds them, which is cut off again.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soxr
from stemsmith.manifests import places
from stemsmith.manifests.arrays import Float32s, Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16, read_excerpt
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.mixing.audio.transforms import apply_transforms, effect_of, kept_stretches
from stemsmith.mixing.level.gains import db_to_linear, peak_of, quantise, uniform_gain_db
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import envelope, loudness_when_played_at
from stemsmith.mixing.sources.find import locate

__all__ = ["MIXTURE", "TRUE", "Realised", "quantised", "realise"]

MIXTURE: Final = "mixture"
TRUE: Final = ".true"  # after the name of a target: what it is, where its recording is faulty
_GAIN_DECIMALS: Final = 4


class Realised(dict[str, Float32s]):
    """Audio by name: ``mixture`` and every target, (n_channels, n_samples) float32.

    A recipe with faults of recordings (``bleed``, ``label-noise``) has what is recorded of a target
    under its name, and what it is under ``<name>.true``.

    Attributes
    ----------
    guard_gain_db : float
        What everything was turned down by so that no sample exceeds the ceiling; at most 0.
    gains_db : dict of str to float
        Gain of each stem before that.
    addends : tuple of str
        Names of the targets, as they are, that the mixture is the sum of; empty for a master, and
        for an excerpt of a song's own mixture.
    """

    guard_gain_db: float = 0.0
    addends: tuple[str, ...] = ()

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
        Targets to return beside the mixture; one the mixture lacks is silent. ``<name>.true`` is
        what a target is, whether its recording is faulty or not. None returns all that it has. All
        are made in any case: the mixture is their sum, or the excerpt of the song's own mixture
        that stands in its place, or a master of either.
    is_verified : bool
        Whether every file's SHA-256 is compared to the recipe's, once a process.

    Returns
    -------
    Realised
        The sum of `Realised.addends`, if it has some, equals the mixture to 1e-6; no sample exceeds
        the ceiling.

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
    faults = [_fault_of(source) for source in mixture.sources]
    recorded: dict[str, Float32s] = {}
    for source, fault in zip(mixture.sources, faults, strict=True):
        audio, made.gains_db[source.stem_id] = _excerpt_of(source, mixture, roots, is_verified)
        if any(faults):
            _record(recorded, audio, fault or _Fault(source.group), faults, mixture)
        if source.group in groups:
            groups[source.group] += audio
        else:
            groups[source.group] = audio
    if mixture.own_mixture is not None:
        total, _ = _excerpt_of(mixture.own_mixture, mixture, roots, is_verified)
    else:
        total = np.zeros(shape, np.float32)
        for audio in groups.values():
            total += audio
    _guard(made, total, groups, recorded, mixture)
    if mixture.master is not None:
        master = effect_of(mixture.master)
        total = np.array(master.apply(total, mixture.sample_rate), np.float32)
        _guard(made, total, groups, recorded, mixture)
    made[MIXTURE] = total
    if mixture.sums:
        made.addends = tuple(name + TRUE if recorded else name for name in groups)
    shown = recorded or groups
    true = {name + TRUE: audio for name, audio in groups.items()}
    if targets is None:
        targets = [*shown, *(true if recorded else ())]
    for name in targets:
        found = shown.get(name, true.get(name))
        made[name] = np.zeros(shape, np.float32) if found is None else found
    return made


def _excerpt_of(
    source: MixtureSource,
    mixture: Mixture,
    roots: Mapping[str, str | Path],
    is_verified: bool,
) -> tuple[Float32s, float]:
    """Return a source as it is in a mixture, before the guard gain, and its own gain in dB."""
    path = locate(roots, source.root, source.path)
    if is_verified:
        _verify(path, source.sha256)
    audio = _transformed(_read(source, path, mixture), source, mixture)
    gain_db = _gain_db(audio, source, mixture.sample_rate)
    if gain_db:
        audio *= np.float32(db_to_linear(gain_db))
    return audio, gain_db


class _Fault(NamedTuple):
    """What is wrong with the recording of a source: its label, and how it leaks into others."""

    label: str
    leak_db: float | None = None


def _fault_of(source: MixtureSource) -> _Fault | None:
    effects = [effect_of(text) for text in source.transforms]
    label = next((effect.label for effect in effects if effect.label is not None), source.group)
    leak_db = next((effect.leak_db for effect in effects if effect.leak_db is not None), None)
    is_right = label == source.group and leak_db is None
    return None if is_right else _Fault(label, leak_db)


def _record(
    recorded: dict[str, Float32s],
    audio: Float32s,
    fault: _Fault,
    faults: Sequence[_Fault | None],
    mixture: Mixture,
) -> None:
    """Add a source to the recordings of the targets: all of it to one, and leaks to the others."""
    if not recorded:
        pairs = zip(faults, mixture.sources, strict=True)
        labels = (fault.label if fault else source.group for fault, source in pairs)
        recorded.update({label: np.zeros_like(audio) for label in labels})
    for label, recording in recorded.items():
        if label == fault.label:
            recording += audio
        elif fault.leak_db is not None:
            recording += audio * np.float32(db_to_linear(fault.leak_db))


def _guard(
    made: Realised,
    total: Float32s,
    groups: Mapping[str, Float32s],
    recorded: Mapping[str, Float32s],
    mixture: Mixture,
) -> None:
    """Turn everything down until no sample is above the ceiling."""
    peaks = [peak_of(audio) for audio in groups.values()]
    # Recordings are no addends of the mixture: they need no room for its rounding.
    peaks[:1] = [max([*peaks[:1], *map(peak_of, recorded.values())], default=0.0)]
    gain_db = uniform_gain_db(peak_of(total), peaks, mixture.peak_ceiling_dbfs, FULL_SCALE_16)
    if gain_db:
        made.guard_gain_db += gain_db
        factor = np.float32(db_to_linear(gain_db))
        for audio in (total, *groups.values(), *recorded.values()):
            audio *= factor


def quantised(made: Realised) -> dict[str, Int16s]:
    """Round the audio of a recipe to 16 bits.

    Parameters
    ----------
    made : Realised
        What `realise` returned, with all targets of the recipe.

    Returns
    -------
    dict of str to numpy.ndarray
        (n_channels, n_samples) int16 by name: every target, and ``mixture``, the exact sum of
        `Realised.addends`; a master or a song's own mixture, which has none, is rounded itself.
    """
    integers = {
        name: quantise(audio, 0.0, FULL_SCALE_16) for name, audio in made.items() if name != MIXTURE
    }
    if made.addends:
        # Partial sums may wrap around; the whole is below full scale (the guard gain sees to it).
        addends = [integers[name] for name in made.addends]
        integers[MIXTURE] = np.sum(addends, axis=0, dtype=np.int16)
    else:
        integers[MIXTURE] = quantise(made[MIXTURE], 0.0, FULL_SCALE_16)
    return integers


@functools.lru_cache(maxsize=100_000)
def _hash_of(path: Path, n_bytes: int, changed_ns: int) -> str:
    return places.sha256_of(path)


def _verify(path: Path, sha256: str) -> None:
    try:
        found = _hash_of(path, *places.status_of(path)[:2])
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
