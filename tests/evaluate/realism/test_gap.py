"""Comparisons of sets of songs: closed forms on made-up measurements."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.realism.bands import CENTRES_HZ
from stemsmith.evaluate.realism.fit import fit_levels
from stemsmith.evaluate.realism.gap import Gap, compare_sounds, pair_sounds, song_gaps
from stemsmith.evaluate.realism.song_sound import MIXTURE, GroupSound, SongSound
from stemsmith.evaluate.realism.texture import Texture
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.mixing.level.balance import SUMMED, read_balance

N = len(CENTRES_HZ)


def song(
    name: str = "song",
    levels_db: object = 0.0,
    artist: str | None = None,
    levels_lu: tuple[float, ...] = (-4.0, -5.0, -6.0),
    reach_hz: float = math.inf,
    missing: tuple[str, ...] = (),
    crest_db: float = 12.0,
    flux_percent: float = 8.0,
) -> SongSound:
    levels = np.full(N, 1.0) * np.asarray(levels_db)
    sounds = {
        group: GroupSound(levels, -20.0, 10 ** (lu / 10))
        for group, lu in zip(SUMMED, levels_lu, strict=True)
        if group not in missing
    }
    if not missing:
        sounds[MIXTURE] = GroupSound(levels, -18.0, 1.0)
    width = (12.0, 10.0, 5.0, 0.9, -15.0)
    more = (4.0, Texture(flux_percent, 6.0, 2.5))
    measured = SongSound(name, name, artist or name, 10.0, sounds, missing, reach_hz, *width, *more)
    return replace(measured, crest_db=crest_db)


def compared(corpus: list[SongSound], real: list[SongSound], n_halves: int = 50):
    return compare_sounds(corpus, real, SUMMED, seed=0, n_halves=n_halves)


def test_the_gap_is_the_mean_absolute_difference_of_mean_spectra() -> None:
    """Songs that differ from the real ones in both directions may have a mean that does not."""
    shape = np.where(np.arange(N) % 2, 3.0, -3.0)
    corpus = [song("a", shape), song("b", -shape), song("c", 6.0)]
    real = [song("x", 1.0), song("y", 3.0)]
    spectra, _ = compared(corpus, real)
    np.testing.assert_allclose(spectra[MIXTURE].difference_db, 0.0, atol=1e-12)
    assert spectra[MIXTURE].gap_db == pytest.approx(0.0, abs=1e-12)
    assert song_gaps(corpus, real) == pytest.approx({"a": 3.0, "b": 3.0, "c": 4.0})
    spectra, _ = compared(corpus[:1], real[:1])
    assert spectra[MIXTURE].gap_db == pytest.approx(3.0)
    ranges = spectra[MIXTURE].ranges_db()
    assert ranges["50-80 Hz"] == pytest.approx(np.mean([-4, 2, -4]))


def test_high_bands_come_from_songs_whose_sources_reach_them() -> None:
    real = [song("x", 0.0, reach_hz=9000.0), song("y", 2.0)]
    spectra, _ = compared([song("a", 0.0, reach_hz=9000.0)], real)
    difference = spectra[MIXTURE].difference_db
    np.testing.assert_allclose(difference[:-2], -1.0)
    np.testing.assert_allclose(difference[-2:], -2.0)
    assert spectra[MIXTURE].n_real_of_bands.tolist() == [2.0] * (N - 2) + [1.0] * 2


def test_a_band_that_no_real_song_reaches_or_no_rate_holds_does_not_count() -> None:
    levels = np.zeros(N)
    levels[-3:] = np.nan
    spectra, _ = compared([song("a", levels)], [song("x", 1.0, reach_hz=9000.0)])
    assert np.isnan(spectra[MIXTURE].difference_db[-3:]).all()
    assert spectra[MIXTURE].gap_db == pytest.approx(1.0)


def test_songs_without_a_bass_count_for_their_groups_alone() -> None:
    real = [song("x", 0.0), song("y", 10.0, missing=("bass",))]
    corpus = [song("a", 0.0), song("b", 10.0, missing=("bass",))]
    spectra, measures = compared(corpus, real)
    assert (spectra[MIXTURE].n_corpus, spectra[MIXTURE].n_real) == (1, 1)
    assert (spectra["drums"].n_corpus, spectra["bass"].n_corpus) == (2, 1)
    assert measures["level of drums, LU"].real == pytest.approx(-4.0)


def test_without_any_whole_song_there_is_nothing_to_compare() -> None:
    lacking = [song("y", missing=("bass",))]
    with pytest.raises(NothingToDo, match="the real songs can be compared: bass missing in all"):
        compared([song("a")], lacking)
    with pytest.raises(NothingToDo, match="the corpus can be compared"):
        compared(lacking, [song("a")])


def test_the_floor_divides_by_artist() -> None:
    """Two artists, one loud above and one below: there is one way, and the difference is 4 dB."""
    real = [song(f"x{k}", 4.0 * (k % 2), artist=f"artist {k % 2}") for k in range(6)]
    spectra, measures = compared([song("a")], real)
    floor = spectra[MIXTURE].floor
    assert floor is not None
    assert floor == pytest.approx((4.0, 4.0, 4.0, 1))
    assert measures["crest factor, dB"].floor == pytest.approx((0.0, 0.0, 0.0, 1))


def test_every_measure_has_the_interval_of_its_difference() -> None:
    """Of two songs a side draws are of one alone in a quarter of all cases: by hand."""
    corpus = [song("a", flux_percent=8.0), song("b", flux_percent=10.0)]
    real = [song("x", flux_percent=1.0), song("y", flux_percent=5.0)]
    _, measures = compared(corpus, real)
    flux = measures["spectral flux, %"]
    assert (flux.corpus, flux.real, flux.difference) == (9.0, 3.0, 6.0)
    assert flux.interval == (3.0, 9.0)
    assert measures["polyphony, notes"].interval == (0.0, 0.0)
    _, measures = compared(corpus, real[:1])
    assert all(map(math.isnan, measures["spectral flux, %"].interval))


def test_intervals_of_many_songs_are_those_of_normal_means() -> None:
    drawn = np.random.default_rng(0).normal(8, [[1.0], [3.0]], (2, 40))
    corpus, real = ([song(str(k), flux_percent=f) for k, f in enumerate(row)] for row in drawn)
    low, high = compared(corpus, real, n_halves=1)[1]["spectral flux, %"].interval
    difference = drawn[0].mean() - drawn[1].mean()
    error = math.sqrt((drawn**2).mean(axis=1).sum() / 40 - (drawn.mean(axis=1) ** 2).sum() / 40)
    assert (low, high) == pytest.approx(
        (difference - 1.96 * error, difference + 1.96 * error), abs=0.1
    )


def test_songs_of_one_artist_have_no_floor() -> None:
    spectra, measures = compared([song("a")], [song(f"x{k}", artist="one") for k in range(4)])
    assert spectra[MIXTURE].floor is None
    assert measures["side to mid, dB"].floor is None


def test_halves_are_all_that_there_are() -> None:
    """Of four artists with one song each there are three ways: 6 over 2."""
    real = [song(f"x{k}", float(k)) for k in range(4)]
    spectra, _ = compared([song("a")], real, n_halves=500)
    floor = spectra[MIXTURE].floor
    assert floor is not None
    # {0,1}|{2,3}: 2; {0,2}|{1,3}: 1; {0,3}|{1,2}: 0
    assert floor == pytest.approx((1.0, 0.0, 2.0, 3))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_songs_changes_nothing(order: list[int]) -> None:
    real = [song(f"x{k}", float(k), artist=f"a{k // 2}") for k in range(6)]
    one, _ = compared([song("a")], real)
    other, _ = compared([song("a")], [real[k] for k in order])
    assert one[MIXTURE].floor == pytest.approx(other[MIXTURE].floor)


def test_pairs_are_compared_song_by_song() -> None:
    real = [song("x", 0.0, levels_lu=(-4.0, -4.0, -7.0))]
    before = [song(f"s{k}", 4.0 + k) for k in range(8)] + [song("other", 0.0)]
    after = [song(f"s{k}", 3.0 + k) for k in reversed(range(8))] + [song("new", 9.0)]
    paired = pair_sounds(after, before, real, SUMMED, seed=0)
    gap = paired["gap of mixture, dB"]
    assert (gap.with_it, gap.without_it) == pytest.approx((6.5, 7.5))
    assert gap.difference == pytest.approx(-1.0)
    assert gap.interval == pytest.approx((-1.0, -1.0))
    assert gap.n_songs == 8
    assert paired["level of bass, LU"].difference == pytest.approx(0.0)


def test_an_option_that_does_nothing_has_an_interval_around_zero() -> None:
    rng = np.random.default_rng(0)
    real = [song("x", 0.0)]
    gaps = rng.uniform(3, 6, (2, 40))
    before, after = ([song(f"s{k}", g) for k, g in enumerate(row)] for row in gaps)
    low, high = pair_sounds(after, before, real, SUMMED, seed=0)["gap of mixture, dB"].interval
    assert low < 0 < high


def test_corpora_without_a_common_song_cannot_be_paired() -> None:
    with pytest.raises(UsageError, match="no song in common"):
        pair_sounds([song("a")], [song("b")], [song("x")], SUMMED, seed=0)


def test_what_is_said_is_strict_json() -> None:
    spectra, measures = compared([song("a", crest_db=math.nan)], [song("x", 1.0)])
    found = Gap(("c",), ("r",), SUMMED, 1, spectra, measures, {"a": 1.0}, {}, ())
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["gap_db"] == 1.0
    assert content["measures"]["crest factor, dB"]["corpus"] is None
    assert [row[0] for row in found.rows()][:2] == ["gap of mixture, dB", "  50-80 Hz, dB"]


def test_a_fit_has_quantiles_and_where_they_come_from(tmp_path) -> None:
    songs = [
        song(f"it's {k}", artist="one" if k else "two", levels_lu=(-3.0 - k, -5.0, -6.0))
        for k in range(5)
    ]
    fit = fit_levels([*songs, song("no bass", missing=("bass",))], ["folder:/home/me/real songs"])
    drums = fit.groups["drums"]
    assert (drums.median_lu, drums.mean_lu, drums.n_songs, drums.n_artists) == (-5.0, -5.0, 5, 2)
    assert drums.sd_lu == pytest.approx(np.std(range(5), ddof=1), abs=0.01)
    assert drums.quantiles_lu == {0: -7, 10: -6.6, 25: -6, 50: -5, 75: -4, 90: -3.4, 100: -3}
    path = tmp_path / "balance.yaml"
    path.write_text(fit.to_yaml())
    assert "/home" not in fit.to_yaml()
    assert dict(read_balance(path).quantiles_lu["drums"]) == drums.quantiles_lu


def test_nothing_is_fitted_to_songs_without_a_bass() -> None:
    with pytest.raises(NothingToDo, match="no song has all of drums, bass, other"):
        fit_levels([song("x", missing=("bass",))], ["real"])
