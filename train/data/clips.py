"""Mixtures of one or several folders as clips: decoded to 16 bits, at a model's rate and channels.

A clip is what ``stemsmith mix --audio`` would write, whether it is read from tar shards or made
from its recipe: targets are rounded to 16 bits, and the mixture is their exact sum, unless its
recipe says otherwise. (WAV shards, and clips that are resampled or made mono here, are rounded one
by one: a sum to half a step each.)
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple, Protocol, overload

import numpy as np
import soxr
from stemsmith.manifests import places, shards
from stemsmith.manifests.arrays import Float32s, Int16s, Int64s
from stemsmith.manifests.audio.read import FULL_SCALE_16, decode
from stemsmith.manifests.errors import InvalidCorpus, NothingToDo, UsageError
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.places import members_of, place, read_stretch
from stemsmith.manifests.tar_shards import TarMember
from stemsmith.mixing.audio.realise import MIXTURE, TRUE, quantised, realise
from stemsmith.mixing.level.gains import quantise
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.sources.find import locate

__all__ = ["ClipSource", "Clips", "MixtureClip", "find_clips", "read_clip"]

_FORMAT: Final = 1  # of decoded clips
_N_ASKED: Final = 16  # files that are asked for at once, which may lie in a store
_MORE: Final = "mix more, or of more songs"
_ADVICE: Final = {
    "validation": "mix with --validation-songs, train with --validation MIXTURES of another "
    "folder, or with --validation none, so that the last weights count"
}


class ClipSource(Protocol):
    """Decoded clips by number, wherever they are.

    Attributes
    ----------
    n_samples : numpy.ndarray
        (n_clips,) int64, length of each.
    targets : tuple of str
        In this order beside the mixture.
    n_channels : int
        Number of channels, 1 or 2.
    """

    @property
    def n_samples(self) -> Int64s: ...  # noqa: D102

    @property
    def targets(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def n_channels(self) -> int: ...  # noqa: D102

    def read(self, number: int) -> Int16s:
        """Return mixture and targets of a clip as int16.

        They are (1 + n_targets, n_samples), and (1 + n_targets, 2, n_samples) of two channels.
        """


@dataclass(frozen=True, slots=True)
class MixtureClip:
    """One mixture and where its audio is.

    Attributes
    ----------
    mixture : Mixture
        Recipe of the mixture.
    roots : mapping of str to str
        Folders of its sources, by the names that the recipe has for them.
    tar : str
        Tar shard with its audio; empty if the audio is made from the recipe.
    """

    mixture: Mixture
    roots: Mapping[str, str]
    tar: str


class _Shard(NamedTuple):
    recipes: shards.RecordTable[Mixture]
    roots: Mapping[str, str]
    tar: str


class _ClipTable(Sequence[MixtureClip]):
    """The clips of shards in their order, made when they are asked for."""

    def __init__(self, members: Sequence[_Shard]) -> None:
        self._members = tuple(members)
        self._ends = list(accumulate(len(member.recipes) for member in members))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> MixtureClip: ...
    @overload
    def __getitem__(self, index: slice) -> list[MixtureClip]: ...
    def __getitem__(self, index: int | slice) -> MixtureClip | list[MixtureClip]:
        rows = range(len(self))[index]  # IndexError beyond the end
        if isinstance(rows, range):
            return [self[row] for row in rows]
        number = bisect_right(self._ends, rows)
        recipes, roots, tar = self._members[number]
        return MixtureClip(recipes[rows - self._ends[number]], roots, tar)


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """The clips of one split, decoded when they are asked for; a `ClipSource`.

    Attributes
    ----------
    clips : sequence of MixtureClip
        In the order of the folders and of their shards.
    n_samples : numpy.ndarray
        (n_clips,) int64, length of each when decoded.
    targets : tuple of str
        In this order beside the mixture.
    sample_rate : int
        Sample rate of the decoded clips, in Hz.
    identity : str
        Hash of everything that decides the samples.
    n_channels : int
        Number of channels of the decoded clips, 1 or 2.
    is_true : bool
        Whether targets are what they are, or what is recorded of them, where these differ.
    """

    clips: Sequence[MixtureClip]
    n_samples: Int64s
    targets: tuple[str, ...]
    sample_rate: int
    identity: str
    n_channels: int = 1
    is_true: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names that mixtures have for the targets that are read."""
        return tuple(name + TRUE for name in self.targets) if self.is_true else self.targets

    @property
    def n_bytes(self) -> int:
        """Size of all decoded samples."""
        return int(self.n_samples.sum()) * (1 + len(self.targets)) * self.n_channels * 2

    def read(self, number: int) -> Int16s:
        """Return mixture and targets of a clip; see `ClipSource.read`."""
        return read_clip(self.clips[number], self.names, self.sample_rate, self.n_channels)


def find_clips(
    folders: Sequence[Path],
    split: str,
    targets: tuple[str, ...],
    sample_rate: int,
    n_channels: int = 1,
    is_true: bool = False,
) -> Clips:
    """Find the clips of a split, and check that they can be decoded, without decoding them.

    Parameters
    ----------
    folders : sequence of Path
        Folders that `mix` wrote; their clips are concatenated.
    split : str
        ``train``, ``validation`` or ``test``.
    targets : tuple of str
        Names of the targets that are wanted beside the mixture.
    sample_rate : int
        Wanted sample rate in Hz; no folder may have a lower one.
    n_channels : int
        Wanted number of channels; no folder may have fewer.
    is_true : bool
        Whether to read what targets are, where recordings of them are faulty.

    Raises
    ------
    InvalidCorpus
        If a folder is not finished or damaged, or audio is missing.
    UsageError
        If a folder's taxonomy lacks a target, or it has a lower sample rate or fewer channels.
    NothingToDo
        If there is no clip, or none with one of the targets.
    """
    members: list[_Shard] = []
    rules = f"{_FORMAT}|{soxr.__version__}|{split}|{targets}|{sample_rate}"
    if n_channels != 1:  # mono clips are known by the names that they have always had
        rules += f"|{n_channels} channels"
    identity = hashlib.sha256(rules.encode())
    for folder in folders:
        mixtures = Mixtures(folder)
        _check_fit(mixtures, targets, sample_rate, n_channels)
        if is_true and mixtures.is_recorded_faulty:
            identity.update(b"|true")
        identity.update(f"|{mixtures.fingerprint}".encode())
        members += _shards_of(mixtures, split, set(targets) <= set(mixtures.audio_targets))
    if not any(len(member.recipes) for member in members):
        names = ", ".join(map(str, folders))
        raise NothingToDo(f"{names}: no {split} mixtures; {_ADVICE.get(split, _MORE)}")
    present = {
        found["group"]
        for member in members
        for found in member.recipes.distinct("sources", "group")
    }
    if absent := [target for target in targets if target not in present]:
        names = ", ".join(map(str, folders))
        raise NothingToDo(f"{names}: no {split} mixture has {absent[0]}; mix with --target")
    _check_audio(members)
    lengths = [
        recipes.column("n_samples") * sample_rate // recipes.column("sample_rate")
        for recipes, _, _ in members
    ]
    n_samples = np.concatenate(lengths)
    name = identity.hexdigest()
    return Clips(_ClipTable(members), n_samples, targets, sample_rate, name, n_channels, is_true)


def _check_fit(
    mixtures: Mixtures, targets: Sequence[str], sample_rate: int, n_channels: int
) -> None:
    folder, known = mixtures.root, mixtures.targets
    if absent := [target for target in targets if target not in known]:
        raise UsageError(f"{folder}: has no target {absent[0]!r}; it has {', '.join(known)}")
    if mixtures.sample_rate < sample_rate:
        raise UsageError(
            f"{folder}: is at {mixtures.sample_rate} Hz and the model at {sample_rate} Hz; "
            "mix with a higher --sample-rate, or give the model a lower one"
        )
    if mixtures.n_channels < n_channels:
        raise UsageError(
            f"{folder}: is mono and the model has {n_channels} channels; mix with --channels "
            f"{n_channels}, or train with --set n_channels=1"
        )


def _shards_of(mixtures: Mixtures, split: str, is_audio: bool) -> Iterator[_Shard]:
    roots: Mapping[str, str] = {} if is_audio else mixtures.roots
    for shard in mixtures.recipe_shards:
        if shard.split == split:
            yield _Shard(shard.recipes, roots, str(shard.tar.absolute()) if is_audio else "")


def _check_audio(members: Sequence[_Shard]) -> None:
    """Check that every file that will be read is there."""
    wanted: dict[Path, None] = {}
    for recipes, roots, tar in members:
        files = [place(tar)] if tar else _files_of(recipes, roots)
        wanted.update(dict.fromkeys(files))
    with ThreadPoolExecutor(_N_ASKED) as pool:
        for path, is_there in zip(wanted, pool.map(places.is_file, wanted), strict=True):
            if not is_there:
                pool.shutdown(cancel_futures=True)
                raise InvalidCorpus(f"{path}: is missing; restore it, or run mix again")


def _files_of(recipes: shards.RecordTable[Mixture], roots: Mapping[str, str]) -> list[Path]:
    names = ("sources", "own_mixture")
    found = (file for name in names for file in recipes.distinct(name, "root", "path"))
    return [locate(roots, file["root"], file["path"]) for file in found]


def _n_decoded(mixture: Mixture, sample_rate: int) -> int:
    return mixture.n_samples * sample_rate // mixture.sample_rate


def read_clip(
    clip: MixtureClip, targets: Sequence[str], sample_rate: int, n_channels: int = 1
) -> Int16s:
    """Decode a clip.

    Parameters
    ----------
    clip : MixtureClip
        The clip, and where its audio is.
    targets : sequence of str
        Names of the targets that are wanted beside the mixture; one that it lacks is silent. With
        ``.true`` at the end, what a target is, and not what is recorded of it.
    sample_rate : int
        Wanted sample rate in Hz, at most that of the mixture.
    n_channels : int
        Wanted number of channels, at most that of the mixture.

    Returns
    -------
    numpy.ndarray
        (1 + n_targets, n_samples) int16, the mixture first, where stereo becomes (left + right) / 2
        if one channel is wanted; (1 + n_targets, 2, n_samples) of two.

    Raises
    ------
    InvalidCorpus
        If a file is missing, damaged or has changed; the text names it.
    """
    mixture = clip.mixture
    if clip.tar:
        parts = {name: _from_tar(clip, name) for name in (MIXTURE, *targets)}
    else:
        parts = quantised(realise(mixture, clip.roots))
    n_samples = _n_decoded(mixture, sample_rate)
    decoded = np.zeros((1 + len(targets), n_channels, n_samples), np.int16)
    for source, name in zip(decoded, (MIXTURE, *targets), strict=True):
        found = parts.get(name, parts.get(name.removesuffix(TRUE)))
        if found is not None:
            channels = found if n_channels > 1 else [found]
            for row, samples in zip(source, channels, strict=True):
                row[:] = _resampled(samples, mixture.sample_rate, sample_rate, n_samples)
    return decoded if n_channels > 1 else decoded[:, 0]


def _resampled(samples: Int16s, rate: int, wanted_rate: int, n_samples: int) -> Int16s:
    """Return mono at the wanted rate, of the mean of channels; mono may be one-dimensional."""
    if rate == wanted_rate and (samples.ndim == 1 or len(samples) == 1):
        mono: Int16s = samples.reshape(-1)
        return mono
    channels = np.atleast_2d(samples)
    audio: Float32s = channels.mean(axis=0, dtype=np.float32)
    if rate != wanted_rate:
        audio = soxr.resample(audio, rate, wanted_rate, quality="HQ")[:n_samples]
    limits = np.iinfo(np.int16)  # resampling overshoots, though rarely past the ceiling of a mix
    rounded = np.zeros(n_samples, np.int16)
    rounded[: len(audio)] = np.clip(np.rint(audio), limits.min, limits.max)
    return rounded


def _from_tar(clip: MixtureClip, name: str) -> Int16s:
    members = _members(clip.tar)
    member = f"{clip.mixture.mixture_id}.{name}"
    if member not in members:  # what is recorded as it is has one name
        member = member.removesuffix(TRUE)
    try:
        offset, n_bytes = members[member]
    except KeyError:
        raise InvalidCorpus(f"{clip.tar}: has no {member}; run mix again") from None
    try:
        data = read_stretch(place(clip.tar), offset, n_bytes)
    except OSError as error:
        raise InvalidCorpus(f"{clip.tar}: cannot be read: {error.strerror}") from error
    audio, _ = decode(data, f"{clip.tar}: {member}")
    if audio.shape != (clip.mixture.n_channels, clip.mixture.n_samples):
        raise InvalidCorpus(f"{clip.tar}: {member} is not as long as its recipe says")
    return quantise(audio, 0.0, FULL_SCALE_16)


@lru_cache(maxsize=1024)
def _members(tar: str) -> dict[str, TarMember]:
    """Return where the files of a tar shard are, by their name without the suffix."""
    return {name.rpartition(".")[0]: where for name, where in members_of(place(tar)).items()}
