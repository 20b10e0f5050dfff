"""The catalogue against the audio itself: RMS by NumPy, loudness by pyloudnorm, brute force."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.level.loudness import envelope
from stemsmith.mixing.sources.catalogue import SplitCatalogue, check_splits, split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import TAXONOMIES, Taxonomy

RATE = 8000
STEP = RATE // 10
SLAKH = TAXONOMIES["slakh"]


def noise(levels_dbfs: Sequence[float], seed: int = 0) -> Float32s:
    """Return noise of one level in each 100 ms."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((len(levels_dbfs), STEP))
    steps /= np.sqrt(np.mean(steps**2, axis=1, keepdims=True))
    levels = 10 ** (np.array(levels_dbfs) / 20)
    return (steps * levels[:, None]).ravel().astype(np.float32)


def stem_of(audio: Float32s, stem_id: str = "song/a", rate: int = RATE, **changes: Any) -> Any:
    """Return a stem of the catalogue; it has no file."""
    whole = len(audio) // (rate // 10) * (rate // 10)
    levels = envelope(audio[:whole], rate)
    stem = CatalogueStem(
        stem_id=stem_id,
        song_id=stem_id.partition("/")[0],
        content_id=stem_id.partition("/")[0],
        split="train",
        classes=("piano",),
        root="root",
        path=f"{stem_id}.wav",
        stream=0,
        sha256="",
        sample_rate=rate,
        n_samples=len(audio),
        k_power=levels.k_power,
        power=levels.power,
    )
    return dataclasses.replace(stem, **changes)


def rms_dbfs(audio: Float64s) -> float:
    power = float(np.mean(audio.astype(np.float64) ** 2))
    return 10 * math.log10(power) if power else -math.inf


def loud_by_hand(audio: Float64s, rate: int, n_steps: int, min_rms_dbfs: float) -> list[int]:
    step = rate // 10
    starts = range(0, len(audio) - n_steps * step + 1, step)
    return [
        start // step
        for start in starts
        if rms_dbfs(audio[start : start + n_steps * step]) > min_rms_dbfs
    ]


# ---------------------------------------------------------------------------------------------
# Which clips are loud enough


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([-300.0, -55.0, -38.0, -31.0, -29.0, -12.0]), max_size=40),
    st.integers(4, 15),
)
def test_loud_clips_are_those_of_which_numpy_says_so(levels: list[float], n_steps: int) -> None:
    audio = noise(levels)
    catalogue = SplitCatalogue([stem_of(audio)], SLAKH)
    expected = loud_by_hand(audio, RATE, n_steps, -30.0)
    assert catalogue.loud_starts(0, n_steps, -30.0).tolist() == expected


@pytest.mark.parametrize(("level_dbfs", "n_found"), [(-29.99, 6), (-30.01, 0)])
def test_the_threshold_is_that_of_the_rms_in_dbfs(level_dbfs: float, n_found: int) -> None:
    catalogue = SplitCatalogue([stem_of(noise([level_dbfs] * 15))], SLAKH)
    assert len(catalogue.loud_starts(0, 10, -30.0)) == n_found


def test_one_second_in_four_counts_6_db_less() -> None:
    # 10 of 40 steps at -20 dBFS: the whole has -20 - 10 log10(4) = -26.02 dBFS.
    catalogue = SplitCatalogue(
        [stem_of(noise([-300.0] * 10 + [-20.0] * 10 + [-300.0] * 20))], SLAKH
    )
    assert catalogue.loud_starts(0, 40, -26.03).tolist() == [0]
    assert catalogue.loud_starts(0, 40, -26.01).tolist() == []


def test_the_unfinished_100_ms_at_the_end_belong_to_no_clip() -> None:
    audio = np.concatenate([noise([-20.0] * 10), noise([-20.0])[: STEP - 1]])
    catalogue = SplitCatalogue([stem_of(audio)], SLAKH)
    assert catalogue.loud_starts(0, 10, -30.0).tolist() == [0]
    assert catalogue.loud_starts(0, 11, -30.0).tolist() == []


def test_a_clip_without_a_loudness_is_not_loud() -> None:
    # A constant has power and no K-weighted power; only its two ends are heard.
    catalogue = SplitCatalogue([stem_of(np.full(40 * STEP, 0.5, np.float32))], SLAKH)
    starts = catalogue.loud_starts(0, 10, -30.0)
    assert 0 in starts
    assert not set(starts.tolist()) & set(range(10, 31))


def test_what_stays_below_minus_70_lufs_is_not_loud_at_any_threshold() -> None:
    catalogue = SplitCatalogue([stem_of(noise([-85.0] * 20))], SLAKH)
    assert catalogue.loud_starts(0, 10, -100.0).tolist() == []


@pytest.mark.parametrize("n_steps", [1, 3])
def test_clips_shorter_than_a_gating_block_are_not_loud(n_steps: int) -> None:
    catalogue = SplitCatalogue([stem_of(noise([-10.0] * 20))], SLAKH)
    assert catalogue.loud_starts(0, n_steps, -30.0).tolist() == []


def test_soft_music_after_an_hour_of_loud_music_is_told_apart() -> None:
    # Sums over an hour must not swallow what is 60 dB below.
    power = np.full(36_000, 0.5, np.float32)
    power[-20:] = 10 ** (-59.9 / 10)
    power[-10:] = 10 ** (-60.1 / 10)
    stem = stem_of(noise([-20.0]), power=power, k_power=power)
    starts = SplitCatalogue([stem], SLAKH).loud_starts(0, 10, -60.0)
    assert starts[-1] == 36_000 - 15  # half of either: the mean is a little above
    assert len(starts) == 36_000 - 14


# ---------------------------------------------------------------------------------------------
# How loud clips are


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), min_size=1), st.integers(1, 9))
def test_powers_of_clips_wrap_around(clips: list[tuple[int, int]], n_steps: int) -> None:
    stems = [stem_of(noise([-20.0] * n, seed=n), f"song/{n:02d}") for n in (3, 11, 40)]
    catalogue = SplitCatalogue(stems, SLAKH)
    which, steps = (np.array(column, np.int64) for column in zip(*clips, strict=True))
    powers = catalogue.clip_k_powers(which, steps, n_steps)
    assert powers.shape == (len(clips), n_steps)
    for (k, step), row in zip(clips, powers, strict=True):
        expected = np.take(stems[k].k_power, np.arange(step, step + n_steps), mode="wrap")
        np.testing.assert_array_equal(row, expected)


def test_the_loudness_of_a_stem_is_pyloudnorms() -> None:
    audio = noise([-20.0] * 30 + [-300.0] * 20 + [-33.0] * 20 + [-72.0] * 20)
    silent = np.zeros(20 * STEP, np.float32)
    catalogue = SplitCatalogue([stem_of(audio), stem_of(silent, "song/b")], SLAKH)
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    expected = meter.integrated_loudness(audio.astype(np.float64))
    assert catalogue.loudness_lufs(0) == pytest.approx(expected, abs=0.001)
    assert catalogue.loudness_lufs(1) is None


# ---------------------------------------------------------------------------------------------
# Order, groups and splits

STEMS = [
    stem_of(noise([-20.0] * 10), f"{song}/{name}", classes=(name,))
    for song in ("s2", "s1", "s3")
    for name in ("drums", "violin", "bass", "piano")
    if (song, name) != ("s3", "bass")
]
TRIO = Taxonomy("trio", {"rhythm": ["bass", "drums"], "harp": ["harp"], "piano": ["piano"]})


@settings(deadline=None)
@given(st.permutations(STEMS))
def test_the_order_in_which_stems_are_given_does_not_matter(stems: list[CatalogueStem]) -> None:
    catalogue = SplitCatalogue(stems, TRIO)
    ids = [stem.stem_id for stem in catalogue.stems]
    assert ids == sorted(s.stem_id for s in STEMS if "violin" not in s.classes)
    assert list(catalogue.songs) == ["s1", "s2", "s3"]
    assert list(catalogue.members) == ["rhythm", "piano"]  # of the taxonomy, without the harp
    assert {k: songs.tolist() for k, songs in catalogue.songs_with.items()} == {
        "rhythm": [0, 1, 2], "piano": [0, 1, 2],
    }  # fmt: skip
    assert [catalogue.songs.name(song) for song in range(3)] == ["s1", "s2", "s3"]
    for song, ks in catalogue.songs.items():
        assert {ids[k] for k in ks} == {i for i in ids if i.startswith(f"{song}/")}
    for k, target in enumerate(catalogue.groups):
        assert k in catalogue.members[target]
        assert TRIO.target_of(catalogue.stems[k].classes) == target
    assert sum(map(len, catalogue.members.values())) == len(ids) == 8


def test_a_catalogue_may_be_empty() -> None:
    catalogue = SplitCatalogue(STEMS, Taxonomy("harp", {"harp": ["harp"]}))
    assert (list(catalogue.stems), catalogue.members, catalogue.songs) == ([], {}, {})


def test_a_song_without_a_target_is_not_listed_for_it() -> None:
    catalogue = SplitCatalogue(STEMS, SLAKH)
    assert [catalogue.songs.name(song) for song in catalogue.songs_with["bass"]] == ["s1", "s2"]


@settings(deadline=None)
@given(st.permutations(range(len(STEMS))), st.integers(0, len(STEMS) - 1))
def test_the_same_music_in_two_splits_is_refused(order: list[int], odd: int) -> None:
    stems = [STEMS[k] for k in order]
    check_splits(stems)
    stems[odd] = dataclasses.replace(stems[odd], split="test")
    with pytest.raises(UsageError, match=f"{stems[odd].song_id}/") as error:
        check_splits(stems)
    assert "split test" in str(error.value)
    assert "split train" in str(error.value)


def test_every_split_has_its_own_stems() -> None:
    split_of = {"s1": "validation", "s2": "train", "s3": "validation"}
    stems = [dataclasses.replace(stem, split=split_of[stem.song_id]) for stem in STEMS]
    catalogues = split_catalogues(stems, SLAKH)
    assert list(catalogues) == ["train", "validation"]
    for split, catalogue in catalogues.items():
        assert {stem.split for stem in catalogue.stems} == {split}
    assert sum(len(catalogue.stems) for catalogue in catalogues.values()) == len(STEMS)


def test_a_split_without_a_stem_of_the_taxonomy_is_absent() -> None:
    alone = stem_of(noise([-20.0] * 10), "s4/violin", classes=("violin",), split="test")
    assert list(split_catalogues([*STEMS, alone], TRIO)) == ["train"]


# ---------------------------------------------------------------------------------------------
# A rendered corpus, read again


def test_loud_clips_of_a_corpus_are_loud_in_its_files(corpus: Path, tmp_path: Path) -> None:
    sources = find_sources([str(corpus)], tmp_path)
    n_found = 0
    for split, catalogue in split_catalogues(read_stems(sources, {}, 1), SLAKH).items():
        for k, stem in enumerate(catalogue.stems):
            assert stem.split == split
            audio, rate = soundfile.read(corpus / stem.path)
            assert (rate, len(audio)) == (stem.sample_rate, stem.n_samples)
            found = catalogue.loud_starts(k, 10, -30.0).tolist()
            # Stems are rounded to 16 bits after their envelope is taken.
            surely = loud_by_hand(audio, rate, 10, -29.99)
            maybe = loud_by_hand(audio, rate, 10, -30.01)
            assert set(surely) <= set(found) <= set(maybe)
            n_found += len(found)
    assert n_found > 500
