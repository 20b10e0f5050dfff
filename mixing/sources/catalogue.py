"""What there is to mix: the stems of all sources with their envelopes, by split.

Everything a plan asks of audio is answered here, from the envelopes: which clips are loud
enough, and how loud a clip is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Float32s, Float64s, Int32s, Int64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.level.loudness import integrated_loudness, loudness_when_played_at
from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = [
    "CatalogueStem",
    "OwnMixture",
    "SplitCatalogue",
    "check_splits",
    "sounding_steps",
    "split_catalogues",
]

_TOP_DB: Final = 20.0
_GATE_BLOCK_STEPS: Final = 4
_GATE_POWER: Final = 10 ** ((-70 + 0.691) / 10)  # BS.1770-4: K-weighted power of -70 LUFS


def sounding_steps(power: Float32s) -> Int64s:
    """Return the steps of an envelope within 20 dB of its loudest."""
    loudest = power.max(initial=0.0)
    return np.flatnonzero(power > loudest * 10 ** (-_TOP_DB / 10))


class OwnMixture(NamedTuple):
    """The mixture that a song has beside its stems, sample-aligned with them and at their level.

    Attributes
    ----------
    path, stream : str, int
        Path below the root of the song's stems, and the audio stream in the file.
    sha256 : str
        SHA-256 of the file.
    """

    path: str
    stream: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueStem:
    """A stem as mixtures can use it.

    Attributes
    ----------
    stem_id, song_id : str
        Unique over all sources, prefixed by the root's name.
    content_id : str
        The same for music that must not lie in two splits.
    split : str
        ``train``, ``validation`` or ``test``.
    classes : tuple of str
        Names of its class, as `Taxonomy.target_of` takes them.
    root, path, stream : str, str, int
        Name of its root, path below it, and the audio stream in the file.
    sha256 : str
        SHA-256 of the file.
    sample_rate, n_samples : int
        Sample rate in Hz and length of the file.
    k_power, power : numpy.ndarray
        (n_steps,) K-weighted and plain mean square of each whole 100 ms of the file as it lies on
        disk, with the channels of the mixtures.
    label : str
        What people call the song: ``Track00003``, ``Artist - Title``.
    song_key : str
        What songs are drawn by: the hash of its notes, the least one of songs that are nearly the
        same music, or its name in its data set.
    voices : numpy.ndarray or None
        (n_steps,) notes that sound in each 100 ms; None for what has no notes, or if nobody asks.
    tempo_bpm, bar_quarters : float or None
        Tempo of its song in quarter notes a minute, and the quarter notes of a bar, if both stay
        the same from its first sample to its last; else None.
    own_mixture : OwnMixture or None
        The mixture of its song, where that is not the sum of its stems. It has their sample rate
        and length.
    """

    stem_id: str
    song_id: str
    content_id: str
    split: str
    classes: tuple[str, ...]
    root: str
    path: str
    stream: int
    sha256: str
    sample_rate: int
    n_samples: int
    k_power: Float32s
    power: Float32s
    label: str = ""
    song_key: str = ""
    voices: Float32s | None = None
    tempo_bpm: float | None = None
    bar_quarters: float | None = None
    own_mixture: OwnMixture | None = None

    @property
    def name(self) -> str:
        """What messages call its song."""
        return f"{self.root}:{self.label}" if self.label else self.stem_id

    @property
    def n_steps(self) -> int:
        """Whole 100 ms."""
        return len(self.power)

    @property
    def step_samples(self) -> int:
        """Samples of 100 ms."""
        return self.sample_rate // ENVELOPE_HZ


class SplitCatalogue:
    """The stems of one split, grouped by target and by song.

    Parameters
    ----------
    stems : sequence of CatalogueStem
        In any order; the catalogue's order depends on their names alone.
    taxonomy : Taxonomy
        Targets. Stems that belong to none are left out.

    Attributes
    ----------
    stems : list of CatalogueStem
        Stems that belong to a target, in order of their stem_id.
    groups : list of str
        Target of each stem.
    members : dict of str to list of int
        Stems of every target, in order of the taxonomy; targets without a stem are absent.
    songs : dict of str to list of int
        Stems of every song.
    songs_with : dict of str to list of str
        Songs that have a stem of a target.
    """

    def __init__(self, stems: Sequence[CatalogueStem], taxonomy: Taxonomy) -> None:
        found = [
            (stem, target)
            for stem in sorted(stems, key=lambda stem: stem.stem_id)
            if (target := taxonomy.target_of(stem.classes)) is not None
        ]
        self.stems = [stem for stem, _ in found]
        self.groups = [target for _, target in found]
        by_target: dict[str, list[int]] = {target: [] for target in taxonomy.targets}
        self.songs: dict[str, list[int]] = {}
        for k, (stem, target) in enumerate(found):
            by_target[target].append(k)
            self.songs.setdefault(stem.song_id, []).append(k)
        self.members = {target: ks for target, ks in by_target.items() if ks}
        self.songs_with = {
            target: list(dict.fromkeys(self.stems[k].song_id for k in ks))
            for target, ks in self.members.items()
        }
        self._loudness_lufs: dict[int, float | None] = {}
        # One array for all, so that the clips of a thousand mixtures are gathered at once.
        self._first_step = np.cumsum([0, *(stem.n_steps for stem in self.stems)])
        self._k_power = np.concatenate(
            [stem.k_power for stem in self.stems] or [np.zeros(0, np.float32)]
        )

    def clip_k_powers(self, stems: Int64s, steps: Int64s, n_steps: int) -> Float32s:
        """Return the (n_clips, n_steps) K-weighted powers of clips; clips may wrap around."""
        first = self._first_step[stems]
        length = self._first_step[stems + 1] - first
        inside = (steps[:, None] + np.arange(n_steps)) % length[:, None]
        powers: Float32s = self._k_power[first[:, None] + inside]
        return powers

    def loud_starts(self, k: int, n_steps: int, min_rms_dbfs: float) -> Int32s:
        """Return the steps at which a clip of a stem is present.

        Parameters
        ----------
        k : int
            Number of the stem, its place in `stems`.
        n_steps : int
            Length of the clip in 100 ms.
        min_rms_dbfs : float
            Its RMS is above this value (Slakh section 3.2), and it has a BS.1770 loudness.

        Returns
        -------
        numpy.ndarray
            (n,) first steps, ascending.
        """
        stem = self.stems[k]
        if n_steps < _GATE_BLOCK_STEPS or stem.n_steps < n_steps:
            return np.zeros(0, np.int32)
        is_loud = _sliding_sums(stem.power, n_steps) > n_steps * 10 ** (min_rms_dbfs / 10)
        blocks = _sliding_sums(stem.k_power, _GATE_BLOCK_STEPS) / _GATE_BLOCK_STEPS
        is_heard = blocks > _GATE_POWER
        n_blocks = n_steps - _GATE_BLOCK_STEPS + 1
        is_loud &= _sliding_sums(is_heard, n_blocks) > 0.5
        return np.flatnonzero(is_loud).astype(np.int32)

    def activity(self, k: int, starts: Int32s, n_steps: int) -> Float64s:
        """Return how much a stem plays in some of its clips: voices, summed over their steps.

        Parameters
        ----------
        k : int
            Number of the stem.
        starts : numpy.ndarray
            (n_clips,) first steps of clips that lie in it.
        n_steps : int
            Length of the clips in 100 ms.

        Returns
        -------
        numpy.ndarray
            (n_clips,) float64. A stem without notes is one voice wherever it is within 20 dB of
            its loudest.
        """
        stem = self.stems[k]
        voices = stem.voices
        if voices is None:
            voices = np.zeros(stem.n_steps, np.float32)
            voices[sounding_steps(stem.power)] = 1
        if stem.n_steps < n_steps:
            return np.zeros(len(starts))
        return _sliding_sums(voices, n_steps)[starts]

    def loudest_group(self, clips: Sequence[tuple[int, int]], n_steps: int) -> str:
        """Return the target whose stem has the most power in its clip (stem, first step)."""

        def power(clip: tuple[int, int]) -> float:
            return float(self.stems[clip[0]].power[clip[1] : clip[1] + n_steps].sum())

        return self.groups[max(clips, key=power)[0]]

    def only_group(
        self, clips: Sequence[tuple[int, int]], n_steps: int, min_rms_dbfs: float
    ) -> str | None:
        """Return the target that alone sounds in its clips (stem, first step), if one does.

        Parameters
        ----------
        clips : sequence of (int, int)
            Number of each stem, and the step at which its clip starts.
        n_steps : int
            Length of the clips in 100 ms.
        min_rms_dbfs : float
            A clip sounds if its RMS is above this value.
        """
        least = n_steps * 10 ** (min_rms_dbfs / 10)
        sounding = {
            self.groups[k]
            for k, first in clips
            if self.stems[k].power[first : first + n_steps].sum() > least
        }
        return sounding.pop() if len(sounding) == 1 else None

    def loudness_lufs(self, k: int) -> float | None:
        """Return the integrated loudness of a whole stem as it lies on disk."""
        if k not in self._loudness_lufs:
            self._loudness_lufs[k] = integrated_loudness(self.stems[k].k_power)
        return self._loudness_lufs[k]

    def level_db(self, k: int, target_lufs: float) -> float:
        """Return the gain in dB with which a whole stem has an integrated loudness.

        A stem that has none, for it is silent or shorter than 0.4 s, keeps its level.
        """
        loudness_lufs = loudness_when_played_at(self.stems[k].k_power, target_lufs)
        return 0.0 if loudness_lufs is None else target_lufs - loudness_lufs


def _sliding_sums(values: npt.NDArray[np.generic], n: int) -> npt.NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    windows: npt.NDArray[np.float64] = sums[n:] - sums[:-n]
    return windows


def check_splits(stems: Sequence[CatalogueStem]) -> None:
    """Check that no music lies in two splits, whatever sources it comes from.

    Raises
    ------
    UsageError
        Naming two stems of the same music in different splits.
    """
    seen: dict[str, CatalogueStem] = {}
    for stem in stems:
        other = seen.setdefault(stem.content_id, stem)
        if other.split != stem.split:
            raise UsageError(
                f"{stem.name} of split {stem.split} is the same music as {other.name} of split "
                f"{other.split}; a mixture set must not have both: name both with --leave-out, "
                "leave one source out, or make the corpora with one --seed"
            )


def split_catalogues(
    stems: Sequence[CatalogueStem], taxonomy: Taxonomy
) -> dict[str, SplitCatalogue]:
    """Return the catalogue of every split that has stems of the taxonomy."""
    check_splits(stems)
    catalogues = {
        split: SplitCatalogue([stem for stem in stems if stem.split == split], taxonomy)
        for split in SPLITS
    }
    return {split: catalogue for split, catalogue in catalogues.items() if catalogue.stems}
