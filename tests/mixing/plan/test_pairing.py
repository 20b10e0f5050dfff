"""Pairing against closed forms, scipy's own distances and correlation, and counts of readings."""

from __future__ import annotations

import re
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.signal
import scipy.spatial.distance
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import UsageError, install_command
from stemsmith.mixing.plan.config import Pairing
from stemsmith.mixing.plan.pairing import (
    DEFAULT_THRESHOLDS,
    chroma_distances,
    chroma_feature,
    correlations,
    inner_products,
    may_meet,
    pearson,
    scaled_threshold,
)

RATE = 44_100
PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
ROOMY = 1 << 30


def tone(
    hz: float, duration_s: float = 1.0, phase: float = 0.0, sample_rate: int = RATE
) -> Float32s:
    t = np.arange(round(duration_s * sample_rate)) / sample_rate
    return (0.5 * np.sin(2 * np.pi * hz * t + phase)).astype(np.float32)


def noise(n_clips: int, n_samples: int, seed: int = 0) -> Float32s:
    return 0.1 * np.random.default_rng(seed).standard_normal((n_clips, n_samples), np.float32)


def products(a: Float32s, b: Float32s, max_bytes: int = ROOMY) -> Float32s:
    n_samples = a.shape[1]
    return inner_products(a.__getitem__, len(a), b.__getitem__, len(b), n_samples, max_bytes)


def norms(clips: Float32s) -> Float64s:
    return np.sqrt((clips.astype(np.float64) ** 2).sum(axis=1))


# ---------------------------------------------------------------------------------------------
# Chroma


@pytest.mark.parametrize("octave", [4, 5, 6])
@pytest.mark.parametrize(("pitch", "name"), list(enumerate(PITCHES)))
def test_the_chroma_of_a_tone_peaks_at_its_pitch_class(pitch: int, name: str, octave: int) -> None:
    pytest.importorskip("librosa")
    hz = 440 * 2 ** ((pitch + 12 * (octave + 1) - 69) / 12)
    feature = chroma_feature(tone(hz), RATE)
    assert feature.shape == (12,)
    assert feature.dtype == np.float32
    assert PITCHES[int(feature.argmax())] == name


def test_the_chroma_of_a_c_major_chord_has_its_three_notes() -> None:
    pytest.importorskip("librosa")
    chord = tone(523.25) + tone(659.26) + tone(783.99)
    feature = chroma_feature(chord, RATE)
    assert {PITCHES[i] for i in np.argsort(feature)[-3:]} == {"C", "E", "G"}


def test_the_chroma_of_a_clip_is_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    clip = tone(440.0) + noise(1, RATE)[0]
    expected = librosa.feature.chroma_stft(y=clip, sr=RATE).mean(axis=1)
    np.testing.assert_allclose(chroma_feature(clip, RATE), expected, atol=1e-6)


def test_chroma_knows_neither_level_nor_octave() -> None:
    pytest.importorskip("librosa")
    features = np.array([chroma_feature(x, RATE) for x in (tone(880.0), 0.01 * tone(1760.0))])
    assert chroma_distances(features, features)[0, 1] < DEFAULT_THRESHOLDS[Pairing.CHROMA]


@pytest.mark.parametrize(
    "clip",
    [np.zeros(RATE, np.float32), tone(30.0), tone(440.0, 0.01), np.zeros(1, np.float32)],
    ids=["silent", "deep", "short", "one sample"],
)
def test_clips_that_librosa_warns_of_have_a_chroma(clip: Float32s) -> None:
    pytest.importorskip("librosa")
    feature = chroma_feature(clip, RATE)
    assert np.isfinite(feature).all()
    assert feature.any() == clip.any()


def test_without_librosa_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(UsageError, match=f"{re.escape(install_command('augment'))}$"):
        chroma_feature(tone(440.0), RATE)


features = st.integers(1, 6).flatmap(
    lambda n: hnp.arrays(np.float32, (n, 12), elements=st.floats(0, 1, width=32))
)


@settings(deadline=None)
@given(features, features)
def test_distances_are_scipys(a: Float32s, b: Float32s) -> None:
    distances = chroma_distances(a, b)
    assert distances.dtype == np.float32
    expected = scipy.spatial.distance.cdist(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    np.testing.assert_allclose(distances, chroma_distances(b, a).T, atol=1.1e-6)


def test_a_clip_is_at_no_distance_from_itself() -> None:
    a = np.random.default_rng(0).random((200, 12), np.float32)
    assert not chroma_distances(a, a).diagonal().any()


def test_distances_have_six_decimals() -> None:
    a = np.random.default_rng(0).random((20, 12), np.float32)
    distances = chroma_distances(a, a[::-1])
    np.testing.assert_array_equal(distances, distances.astype(np.float64).round(6).astype("f4"))


# ---------------------------------------------------------------------------------------------
# Inner products


def test_sine_and_cosine_are_orthogonal() -> None:
    clips = np.stack([tone(441.0), tone(441.0, phase=np.pi / 2)])
    expected = np.diag([0.125 * RATE, 0.125 * RATE])  # amplitude^2 / 2 * samples
    np.testing.assert_allclose(products(clips, clips), expected, atol=0.01)


@pytest.mark.parametrize(("n_a", "n_b", "n_samples"), [(1, 1, 1), (3, 2, 700), (2, 5, 9001)])
def test_a_correlation_is_what_the_authors_call_computes(
    n_a: int, n_b: int, n_samples: int
) -> None:
    a, b = noise(n_a, n_samples, 1), noise(n_b, n_samples, 2)
    statistic = correlations(products(a, b))
    for i, j in np.ndindex(n_a, n_b):
        theirs = scipy.signal.correlate2d(
            a[i, :, None].astype(np.float64),
            b[j, :, None].astype(np.float64),
            boundary="symm",
            mode="valid",
        )
        assert theirs.shape == (1, 1)
        assert statistic[i, j] == pytest.approx(abs(theirs.item()), abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_long_clips_keep_their_precision(offset: float) -> None:
    a, b = (noise(2, 3_000_000, seed) + np.float32(offset) for seed in (1, 2))
    expected = [[np.dot(x, y) for y in b.astype(np.float64)] for x in a.astype(np.float64)]
    errors = np.abs(products(a, b) - np.array(expected))
    assert (errors < 1e-5 * np.outer(norms(a), norms(b))).all()


def counted(clips: Float32s, calls: list[int]) -> Callable[[int], Float32s]:
    def read(i: int) -> Float32s:
        calls.append(i)
        return clips[i]

    return read


@pytest.mark.parametrize(
    ("n_a", "n_b", "n_fit", "n_blocks"),
    [
        (5, 7, 12, 1),  # all fit
        (5, 7, 6, 1),  # all of a and one of b
        (5, 7, 4, 2),
        (5, 7, 2, 5),
        (40, 3, 16, 3),  # fourteen of a, two of b
        (40, 1, 16, 3),  # fifteen of a
        (3, 40, 16, 1),
        (1, 1, 2, 1),
        (0, 3, 4, 0),
        (3, 0, 4, 1),
    ],
)
def test_a_clip_is_read_once_or_once_per_block_of_the_other_group(
    n_a: int, n_b: int, n_fit: int, n_blocks: int
) -> None:
    a, b = noise(n_a, 100, 1), noise(n_b, 100, 2)
    calls_a: list[int] = []
    calls_b: list[int] = []
    result = inner_products(
        counted(a, calls_a), n_a, counted(b, calls_b), n_b, 100, n_fit * 400 + 399
    )
    assert calls_a == list(range(n_a))
    assert Counter(calls_b) == dict.fromkeys(range(n_b), n_blocks) or not n_blocks
    np.testing.assert_allclose(result, a @ b.T, atol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 20), st.integers(1, 5000))
def test_blocks_change_nothing(n_a: int, n_b: int, n_fit: int, n_samples: int) -> None:
    a, b = noise(n_a, n_samples, 1), noise(n_b, n_samples, 2)
    blocked = products(a, b, n_fit * n_samples * 4)
    np.testing.assert_allclose(blocked, products(a, b), atol=1e-5)
    np.testing.assert_allclose(blocked, products(b, a).T, atol=1e-5)


@pytest.mark.parametrize("n_fit", [2, 5, 16])
def test_memory_stays_within_the_bound(n_fit: int) -> None:
    n_samples = 50_000
    clip = noise(1, n_samples)[0]
    max_bytes = n_fit * clip.nbytes
    tracemalloc.start()
    inner_products(lambda i: clip, 20, lambda i: clip, 30, n_samples, max_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.9 * max_bytes < peak < max_bytes + 0.1 * clip.nbytes


def test_memory_for_less_than_two_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="two clips of 100 samples do not fit 799 bytes"):
        products(noise(2, 100), noise(2, 100), 799)


@pytest.mark.parametrize("shape", [(1,), (99,), (2, 100)])
def test_a_clip_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clip 0 is"):
        inner_products(lambda i: np.zeros(shape, np.float32), 1, lambda i: tone(1), 1, 100, ROOMY)


# ---------------------------------------------------------------------------------------------
# Statistics and thresholds


@settings(deadline=None)
@given(st.floats(-60, 40), st.floats(-60, 40), st.sampled_from([-1.0, 1.0]))
def test_pearson_does_not_know_levels(gain_a_db: float, gain_b_db: float, sign: float) -> None:
    a, b = noise(3, 2000, 1), noise(4, 2000, 2)
    b[0] = a[0] + b[0]
    gain_a, gain_b = (np.float32(10 ** (db / 20)) for db in (gain_a_db, gain_b_db))
    x, y = a * gain_a, b * gain_b * np.float32(sign)
    plain = pearson(products(a, b), norms(a), norms(b))
    moved = pearson(products(x, y), norms(x), norms(y))
    np.testing.assert_allclose(moved, plain, atol=3e-6)
    assert plain[0, 0] == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_pearson_is_numpys_for_waveforms_without_offset() -> None:
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (noise(3, 2000, 1), noise(4, 2000, 2)))
    expected = np.abs(np.corrcoef(a, b)[:3, 3:])
    np.testing.assert_allclose(pearson(products(a, b), norms(a), norms(b)), expected, atol=2e-6)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=32)))
def test_pearson_lies_between_none_and_one_and_is_none_for_silence(clips: Float32s) -> None:
    clips[0] = 0
    statistic = pearson(products(clips, clips), norms(clips), norms(clips))
    assert statistic.dtype == np.float32
    assert ((statistic >= 0) & (statistic <= 1)).all()
    assert not statistic[0].any()
    assert not statistic[:, 0].any()


def test_a_clip_is_all_of_itself() -> None:
    clips = noise(5, 3000)
    statistic = pearson(products(clips, -clips), norms(clips), norms(clips))
    np.testing.assert_array_equal(statistic.diagonal(), np.ones(5))


@pytest.mark.parametrize(
    ("duration_s", "sample_rate", "expected"),
    [(10, 44_100, 20.0), (5, 44_100, 10.0), (10, 22_050, 10.0), (20, 44_100, 40.0)],
)
def test_the_papers_threshold_is_for_ten_seconds_at_44100(
    duration_s: int, sample_rate: int, expected: float
) -> None:
    threshold = DEFAULT_THRESHOLDS[Pairing.CORRELATION]
    assert scaled_threshold(threshold, duration_s * sample_rate) == expected


def test_a_pair_that_goes_on_keeps_its_place_relative_to_the_threshold() -> None:
    for duration_s, sample_rate in ((1.0, 44_100), (2.0, 44_100), (2.0, 16_000)):
        clips = tone(440.0, duration_s, 0.0, sample_rate)[np.newaxis]
        threshold = scaled_threshold(20.0, clips.shape[1])
        assert products(clips, clips)[0, 0] / threshold == pytest.approx(
            0.125 * 441_000 / 20, rel=1e-3
        )


def test_every_statistic_has_a_default_threshold() -> None:
    assert set(DEFAULT_THRESHOLDS) == set(Pairing) - {Pairing.RANDOM}
    assert DEFAULT_THRESHOLDS[Pairing.CHROMA] == 0.48
    assert DEFAULT_THRESHOLDS[Pairing.CORRELATION] == 20


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        (Pairing.RANDOM, [[True, True, True]]),
        (Pairing.CHROMA, [[True, False, False]]),
        (Pairing.CORRELATION, [[False, False, True]]),
        (Pairing.PEARSON, [[False, False, True]]),
    ],
)
def test_distances_are_to_be_small_and_correlations_large(
    pairing: Pairing, expected: list[list[bool]]
) -> None:
    statistic = np.array([[0.25, 0.5, 0.75]], np.float32)
    chosen = may_meet(pairing, statistic, 0.5)
    assert chosen.dtype == np.bool_
    assert chosen.tolist() == expected
