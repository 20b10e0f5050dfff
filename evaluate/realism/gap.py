"""How far synthetic songs are from real ones, and how far real ones are among themselves.

The gap is the mean, over third-octave bands, of the absolute difference between the mean spectra of
two sets of songs. The floor is the same between halves of the real songs, no artist in both: less
than that says nothing. Everything else that is measured has its difference of means and its floor.

What concerns mixtures comes from songs in which every group of the mixture sounds, the bass above
all; a group's own spectrum from every song that has the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.evaluate.metrics.summary import Interval, bootstrap_interval
from stemsmith.evaluate.realism.bands import CENTRES_HZ, has_bands
from stemsmith.evaluate.realism.song_sound import MIXTURE, SongSound
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.seeds import rng_for

__all__ = [
    "Compared",
    "Floor",
    "Gap",
    "Paired",
    "SpectrumCompared",
    "compare_sounds",
    "pair_sounds",
]

_RANGES_HZ: Final = {
    "50-80 Hz": (50, 80),
    "100-125 Hz": (100, 125),
    "160-500 Hz": (160, 500),
    "630-800 Hz": (630, 800),
    "1-4 kHz": (1000, 4000),
    "5-6.3 kHz": (5000, 6300),
    "over 8 kHz": (8000, 16000),
}
_MEASURES: Final[dict[str, Callable[[SongSound], float]]] = {
    "crest factor, dB": lambda song: song.crest_db,
    "peak to loudness, LU": lambda song: song.peak_to_loudness_lu,
    "loudness range, LU": lambda song: song.loudness_range_lu,
    "left-right correlation": lambda song: song.correlation,
    "side to mid, dB": lambda song: song.side_mid_db,
    "level spread, LU": lambda song: song.level_spread_lu,
    "spectral flux, %": lambda song: song.texture.flux_percent,
    "onset deviation, ms": lambda song: song.texture.onset_deviation_ms,
    "polyphony, notes": lambda song: song.texture.polyphony,
}
_N_RESAMPLES: Final = 10_000
_DRAWN_AT_ONCE: Final = 1_000_000


class Floor(NamedTuple):
    """How much halves of the real songs differ.

    Attributes
    ----------
    mean, lowest, highest : float
        Over the ways in which the songs were divided.
    n_splits : int
        Number of different ways.
    """

    mean: float
    lowest: float
    highest: float
    n_splits: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A number of each song, over two sets of songs.

    Attributes
    ----------
    corpus, real : float
        Means over the songs of either set.
    floor : Floor or None
        Of the absolute difference of the means; None for songs of one artist.
    interval : (float, float)
        Limits of the 95 % interval of the difference, by a bootstrap over the songs of either set;
        NaN where one of them has fewer than two.
    """

    corpus: float
    real: float
    floor: Floor | None
    interval: Interval

    @property
    def difference(self) -> float:
        """What the corpus has more."""
        return self.corpus - self.real


@dataclass(frozen=True, slots=True)
class SpectrumCompared:
    """Mean spectra of two sets of songs: of their mixtures, or of a group.

    Attributes
    ----------
    difference_db : numpy.ndarray
        (n_bands,) what the corpus has more; NaN where either set has nothing to say.
    n_corpus, n_real : int
        Numbers of songs.
    n_real_of_bands : numpy.ndarray
        (n_bands,) number of real songs whose sources reach the band.
    floor : Floor or None
        Of the gap; None for songs of one artist.
    """

    difference_db: Float64s
    n_corpus: int
    n_real: int
    n_real_of_bands: Float64s
    floor: Floor | None

    @property
    def gap_db(self) -> float:
        """Mean absolute difference over the bands."""
        return _mean(np.abs(self.difference_db))

    def ranges_db(self) -> dict[str, float]:
        """Return the mean difference in some ranges of frequency."""
        centres = np.array(CENTRES_HZ)
        return {
            name: _mean(self.difference_db[(low <= centres) & (centres <= high)])
            for name, (low, high) in _RANGES_HZ.items()
        }


@dataclass(frozen=True, slots=True)
class Paired:
    """Distances of the same synthetic songs to the real ones, with and without an option.

    Attributes
    ----------
    with_it, without_it : float
        Mean distance to the mean of the real songs, over the synthetic songs.
    difference : float
        The former less the latter: below zero where the option brings songs closer.
    interval : (float, float)
        Of the difference: 95 %, by a bootstrap over songs.
    n_songs : int
        Number of songs that both corpora have.
    """

    with_it: float
    without_it: float
    difference: float
    interval: Interval
    n_songs: int


@dataclass(frozen=True)
class Gap:
    """What `measure_gap` found.

    Attributes
    ----------
    corpus, real : tuple of str
        The data sets of either side, as they were named.
    groups : tuple of str
        Groups that mixtures are made of.
    n_artists : int
        Number of artists of the real songs that count.
    spectra : dict of str to SpectrumCompared
        Of ``mixture``, and of every group that both sides have.
    measures : dict of str to Compared
        Everything else, by name and unit.
    song_gaps_db : dict of str to float
        For each synthetic song the mean absolute difference of its spectrum from the mean of the
        real ones.
    paired : dict of str to Paired
        Distances with and without an option; empty where no second corpus was given.
    rejections : tuple of Rejection
        Songs that do not count, or count for some of it only, and why.
    """

    corpus: tuple[str, ...]
    real: tuple[str, ...]
    groups: tuple[str, ...]
    n_artists: int
    spectra: dict[str, SpectrumCompared]
    measures: dict[str, Compared]
    song_gaps_db: dict[str, float]
    paired: dict[str, Paired]
    rejections: tuple[Rejection, ...]

    @property
    def gap_db(self) -> float:
        """The gap of the mixtures in dB."""
        return self.spectra[MIXTURE].gap_db

    @property
    def n_corpus(self) -> int:
        """Number of synthetic songs whose mixtures count."""
        return self.spectra[MIXTURE].n_corpus

    @property
    def n_real(self) -> int:
        """Number of real songs whose mixtures count."""
        return self.spectra[MIXTURE].n_real

    def rows(self) -> list[tuple[str, float | None, float | None, float, Floor | None]]:
        """Return the table: name, corpus, real, difference, and floor."""
        rows: list[tuple[str, float | None, float | None, float, Floor | None]] = []
        for kind, spectrum in self.spectra.items():
            rows.append((f"gap of {kind}, dB", None, None, spectrum.gap_db, spectrum.floor))
            if kind == MIXTURE:
                for name, value in spectrum.ranges_db().items():
                    rows.append((f"  {name}, dB", None, None, value, None))
        for name, compared in self.measures.items():
            values = (compared.corpus, compared.real, compared.difference)
            rows.append((name, *values, compared.floor))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it; what is not known is None."""
        return {
            "corpus": list(self.corpus),
            "real": list(self.real),
            "groups": list(self.groups),
            "n_corpus": self.n_corpus,
            "n_real": self.n_real,
            "n_artists": self.n_artists,
            "gap_db": _plain(self.gap_db),
            "centres_hz": list(CENTRES_HZ),
            "spectra": {
                kind: {
                    "gap_db": _plain(s.gap_db),
                    "floor_db": _plain(s.floor),
                    "difference_db": _plain(s.difference_db),
                    "ranges_db": _plain(s.ranges_db()),
                    "n_corpus": s.n_corpus,
                    "n_real": s.n_real,
                    "n_real_of_bands": [int(n) for n in s.n_real_of_bands],
                }
                for kind, s in self.spectra.items()
            },
            "measures": {
                name: {
                    "corpus": _plain(c.corpus),
                    "real": _plain(c.real),
                    "difference": _plain(c.difference),
                    "floor": _plain(c.floor),
                    "interval": _plain(c.interval),
                }
                for name, c in self.measures.items()
            },
            "songs": _plain(self.song_gaps_db),
            "paired": {
                name: {
                    "with": _plain(p.with_it),
                    "without": _plain(p.without_it),
                    "difference": _plain(p.difference),
                    "interval": [_plain(limit) for limit in p.interval],
                    "n_songs": p.n_songs,
                }
                for name, p in self.paired.items()
            },
            "rejections": [asdict(rejection) for rejection in self.rejections],
        }


def compare_sounds(
    corpus: Sequence[SongSound],
    real: Sequence[SongSound],
    groups: Sequence[str],
    *,
    seed: int,
    n_halves: int,
) -> tuple[dict[str, SpectrumCompared], dict[str, Compared]]:
    """Compare two sets of songs.

    Parameters
    ----------
    corpus, real : sequence of SongSound
        Songs that were measured, with mixtures of the same groups.
    groups : sequence of str
        Groups whose levels and spectra are compared.
    seed : int
        Seed of the divisions into halves.
    n_halves : int
        How often the real songs are divided.

    Raises
    ------
    NothingToDo
        If either set has no song in which all groups of the mixture sound.
    """
    for side, name in ((corpus, "the corpus"), (real, "the real songs")):
        if not _with(side, MIXTURE):
            missing = next((song.missing[0] for song in side if song.missing), "groups")
            raise NothingToDo(f"no song of {name} can be compared: {missing} missing in all")
    spectra: dict[str, SpectrumCompared] = {}
    for kind in (MIXTURE, *groups):
        ours, theirs = _with(corpus, kind), _with(real, kind)
        if ours and theirs:
            spectra[kind] = _spectrum(ours, theirs, kind, seed, n_halves)
    whole, real_whole = _with(corpus, MIXTURE), _with(real, MIXTURE)
    measures = {
        name: Compared(
            _mean([measure(song) for song in whole]),
            _mean([measure(song) for song in real_whole]),
            _floor(
                real_whole,
                lambda one, other, measure=measure: abs(  # type: ignore[misc]
                    _mean([measure(s) for s in one]) - _mean([measure(s) for s in other])
                ),
                seed,
                n_halves,
            ),
            _difference_interval(
                [measure(song) for song in whole], [measure(song) for song in real_whole], seed
            ),
        )
        for name, measure in _measures(groups).items()
    }
    return spectra, measures


def song_gap_db(song: SongSound, profile: Float64s, kind: str = MIXTURE) -> float:
    """Return the mean absolute difference of a song's spectrum from a mean spectrum."""
    return _mean(np.abs(song.sounds[kind].levels_db - profile))


def song_gaps(corpus: Sequence[SongSound], real: Sequence[SongSound]) -> dict[str, float]:
    """Return the gap of each synthetic song by its name."""
    profile, _ = _profile(_with(real, MIXTURE), MIXTURE)
    return {song.song: song_gap_db(song, profile) for song in _with(corpus, MIXTURE)}


def pair_sounds(
    with_it: Sequence[SongSound],
    without_it: Sequence[SongSound],
    real: Sequence[SongSound],
    groups: Sequence[str],
    seed: int,
) -> dict[str, Paired]:
    """Compare the distances of the same songs to the real ones, with and without an option.

    Parameters
    ----------
    with_it, without_it, real : sequence of SongSound
        Songs that were measured, with mixtures of the same groups.
    groups : sequence of str
        Groups whose levels and spectra are compared.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    UsageError
        If the corpora have no song in common.
    """
    before = {song.identity: song for song in without_it}
    pairs = [(song, before[song.identity]) for song in with_it if song.identity in before]
    if not any(MIXTURE in a.sounds and MIXTURE in b.sounds for a, b in pairs):
        raise UsageError("--baseline: the two corpora have no song in common that can be compared")
    paired: dict[str, Paired] = {}
    for kind in (MIXTURE, *groups):
        theirs = _with(real, kind)
        both = [(a, b) for a, b in pairs if kind in a.sounds and kind in b.sounds]
        if theirs and both:
            profile, _ = _profile(theirs, kind)
            paired[f"gap of {kind}, dB"] = _paired(
                both,
                lambda song, profile=profile, kind=kind: song_gap_db(song, profile, kind),  # type: ignore[misc]
                seed,
            )
    both = [(a, b) for a, b in pairs if MIXTURE in a.sounds and MIXTURE in b.sounds]
    for name, measure in _measures(groups).items():
        aim = _mean([measure(song) for song in _with(real, MIXTURE)])
        paired[name] = _paired(
            both,
            lambda song, aim=aim, measure=measure: abs(measure(song) - aim),  # type: ignore[misc]
            seed,
        )
    return paired


def _paired(
    pairs: Sequence[tuple[SongSound, SongSound]],
    distance: Callable[[SongSound], float],
    seed: int,
) -> Paired:
    values = np.array([[distance(one), distance(other)] for one, other in pairs])
    values = values[~np.isnan(values).any(axis=1)]
    if not len(values):
        return Paired(math.nan, math.nan, math.nan, (math.nan, math.nan), 0)
    differences = values[:, 0] - values[:, 1]
    return Paired(
        float(values[:, 0].mean()),
        float(values[:, 1].mean()),
        float(differences.mean()),
        bootstrap_interval(differences, np.mean, seed),
        len(values),
    )


def _measures(groups: Iterable[str]) -> dict[str, Callable[[SongSound], float]]:
    levels: dict[str, Callable[[SongSound], float]] = {
        f"level of {group}, LU": lambda song, group=group: song.level_lu(group)  # type: ignore[misc]
        for group in groups
    }
    return {**_MEASURES, **levels}


def _with(songs: Iterable[SongSound], kind: str) -> list[SongSound]:
    return [song for song in songs if kind in song.sounds]


def _profile(
    songs: Sequence[SongSound], kind: str, is_real: bool = True
) -> tuple[Float64s, Float64s]:
    """Return the mean spectrum of songs, and how many of them each band has."""
    levels = np.array([song.sounds[kind].levels_db for song in songs])
    if is_real:
        levels[~np.array([has_bands(song.reach_hz) for song in songs])] = np.nan
    counts = (~np.isnan(levels)).sum(axis=0)
    sums = np.nansum(levels, axis=0)
    with np.errstate(invalid="ignore"):
        return sums / counts, counts.astype(np.float64)


def _spectrum(
    corpus: Sequence[SongSound], real: Sequence[SongSound], kind: str, seed: int, n_halves: int
) -> SpectrumCompared:
    ours, _ = _profile(corpus, kind, is_real=False)
    theirs, counts = _profile(real, kind)

    def between(one: Sequence[SongSound], other: Sequence[SongSound]) -> float:
        return _mean(np.abs(_profile(one, kind)[0] - _profile(other, kind)[0]))

    floor = _floor(real, between, seed, n_halves)
    return SpectrumCompared(ours - theirs, len(corpus), len(real), counts, floor)


def _floor(
    real: Sequence[SongSound],
    between: Callable[[Sequence[SongSound], Sequence[SongSound]], float],
    seed: int,
    n_halves: int,
) -> Floor | None:
    """Return how much halves of the songs differ; None if they are of one artist."""
    by_artist: dict[str, list[SongSound]] = {}
    for song in real:
        by_artist.setdefault(song.artist, []).append(song)
    if len(by_artist) < 2:
        return None
    found: dict[frozenset[str], float] = {}
    artists = sorted(by_artist)
    rng = rng_for(seed, "halves")
    for _ in range(n_halves):
        halves: tuple[list[str], list[str]] = ([], [])
        sizes = [0, 0]
        for k in rng.permutation(len(artists)):
            side = int(sizes[1] < sizes[0])
            halves[side].append(artists[k])
            sizes[side] += len(by_artist[artists[k]])
        first = frozenset(min(halves, key=sorted))
        if first not in found:
            one, other = ([song for a in half for song in by_artist[a]] for half in halves)
            found[first] = between(one, other)
    values = [value for value in found.values() if not math.isnan(value)]
    if not values:
        return None
    return Floor(float(np.mean(values)), min(values), max(values), len(values))


def _difference_interval(corpus: Sequence[float], real: Sequence[float], seed: int) -> Interval:
    """Return the 95 % interval of the difference of means, by a bootstrap of either set."""
    drawn = []
    for name, values in (("corpus", corpus), ("real", real)):
        there = np.asarray(values, np.float64)
        there = there[~np.isnan(there)]
        if len(there) < 2:
            return math.nan, math.nan
        rng, n_at_once = rng_for(seed, "bootstrap", name), max(1, _DRAWN_AT_ONCE // len(there))
        means = [
            there[
                rng.integers(len(there), size=(min(n_at_once, _N_RESAMPLES - k), len(there)))
            ].mean(axis=1)
            for k in range(0, _N_RESAMPLES, n_at_once)
        ]
        drawn.append(np.concatenate(means))
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return float(low), float(high)


def _mean(values: Sequence[float] | Float64s) -> float:
    """Return the mean of what is not NaN; NaN if nothing is left."""
    there = np.asarray(values, np.float64)
    there = there[~np.isnan(there)]
    return float(there.mean()) if len(there) else math.nan


def _plain(value: Any) -> Any:
    """Return numbers as strict JSON has them, to 0.0001."""
    if isinstance(value, Floor):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, int):
        return value
    return None if math.isnan(value) else round(float(value), 4)
