"""BSS Eval against museval, against MATLAB's scores, and against what it must be by definition."""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.metrics.bsseval import bsseval, correlations, levinson, projections
from stemsmith.evaluate.metrics.bsseval.bsseval import bss_eval
from stemsmith.evaluate.metrics.bsseval.frames import SISEC18, BssScores, Framing, SilenceRule
from stemsmith.evaluate.metrics.bsseval.levinson import solve_block_toeplitz
from stemsmith.evaluate.metrics.museval_engine import _museval_metrics, museval_bss_eval
from stemsmith.evaluate.metrics.per_song.snr import snr_db
from stemsmith.manifests.arrays import Float64s

RATE = 4000
METRICS = ("sdr_db", "isr_db", "sir_db", "sar_db")
WHOLE = Framing(math.inf, math.inf)


def make_track(n_targets: int, n_channels: int, n_samples: int) -> tuple[Float64s, Float64s]:
    """Return coloured noises, and estimates of them with an echo, interference and noise."""
    rng = np.random.default_rng(n_samples)
    noise = 0.1 * rng.standard_normal((n_targets, n_channels, n_samples))
    poles = np.linspace(-0.5, 0.9, n_targets)
    references = np.stack(
        [scipy.signal.lfilter([1], [1, -p], n) for p, n in zip(poles, noise, strict=True)]
    )
    echo = 0.2 * np.roll(references, 30, axis=2)
    interference = 0.3 * np.roll(references, 1, axis=0) if n_targets > 1 else 0.0
    return references, references + echo + interference + 0.2 * noise[::-1]


def matrix(scores: BssScores) -> Float64s:
    """Return (4, n_targets, n_frames)."""
    return np.stack([getattr(scores, metric) for metric in METRICS])


def same(a: BssScores, b: BssScores, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(matrix(a), matrix(b), rtol=0, atol=atol)
    np.testing.assert_allclose(a.start_s, b.start_s)


def museval(references: Any, estimates: Any, framing: Framing, rate: int = RATE) -> BssScores:
    return museval_bss_eval(references, estimates, rate, [framing])[0]


# ---------------------------------------------------------------------------------------------
# Against museval

CASES = {
    "two mono": (2, 1, 4 * RATE + 1, SISEC18),
    "two stereo": (2, 2, 4 * RATE - 1, SISEC18),
    "three channels": (1, 3, RATE + 13, SISEC18),
    "three, overlapping": (3, 1, 5 * RATE + 777, Framing(2.0, 1.0)),
    "three, short windows": (3, 1, RATE + 100, Framing(0.5, 0.25)),
    "hop below the filters' length": (2, 1, 3 * RATE, Framing(1.0, 0.03)),
    "overlap below the filters' length": (2, 1, 4 * RATE, Framing(1.0, 0.9)),
    "gaps between windows": (2, 1, 6 * RATE, Framing(1.0, 1.5)),
    "a window shorter than the filters": (2, 1, RATE, Framing(0.1, 0.1)),
    "shorter than a window": (2, 1, RATE // 2 + 1, SISEC18),
    "as long as a window": (2, 1, RATE, SISEC18),
    "whole track": (2, 2, 2 * RATE, WHOLE),
    "version 3, mono": (2, 1, 3 * RATE + 17, Framing(2.0, 1.0, has_own_filters=True)),
    "version 3, stereo": (2, 2, 2 * RATE, Framing(1.0, 1.0, has_own_filters=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_museval(name: str) -> None:
    n_targets, n_channels, n_samples, framing = CASES[name]
    track = make_track(n_targets, n_channels, n_samples)
    (ours,) = bss_eval(*track, RATE, [framing])
    same(ours, museval(*track, framing), atol=1e-6)


@pytest.mark.slow
def test_scores_of_four_stereo_targets_are_those_of_museval() -> None:
    track = make_track(4, 2, 4 * RATE + 5)
    (ours,) = bss_eval(*track, RATE)
    same(ours, museval(*track, SISEC18), atol=1e-6)


@pytest.mark.parametrize(
    ("framing", "n_channels"),
    [(SISEC18, 2), (Framing(2.0, 1.0), 1), (Framing(1.0, 2.0, has_own_filters=True), 1)],
)
def test_silence_makes_the_same_frames_nan(framing: Framing, n_channels: int) -> None:
    references, estimates = make_track(2, n_channels, 6 * RATE)
    references[0, :, : RATE + 200] = 0.0
    estimates[1, :, 3 * RATE - 50 : 5 * RATE + 50] = 0.0
    references[1, 1:, 2 * RATE : 3 * RATE] = 0.0  # one channel of two is no silence
    (ours,) = bss_eval(references, estimates, RATE, [framing])
    theirs = museval(references, estimates, framing)
    assert np.isnan(matrix(theirs)).any() and np.isfinite(matrix(theirs)).any()
    same(ours, theirs, atol=1e-4)


def test_opposite_channels_are_silent_as_in_museval() -> None:
    references, estimates = make_track(2, 2, 2 * RATE)
    estimates[0, 1, :RATE] = -estimates[0, 0, :RATE]
    (ours,) = bss_eval(references, estimates, RATE)
    assert np.isnan(matrix(ours)[:, :, 0]).all() and np.isfinite(matrix(ours)[:, :, 1]).all()
    same(ours, museval(references, estimates, SISEC18), atol=1e-6)


def mono_on_two_channels(references: Float64s) -> Float64s:
    return references[:, [0, 0]]


def one_panned_mono(references: Float64s) -> Float64s:
    references[0, 1] = 0.5 * references[0, 0]
    return references


def two_of_a_kind(references: Float64s) -> Float64s:
    return references[[0, 0, 1]]


@pytest.mark.parametrize(
    ("change", "n_targets", "n_channels"),
    [(mono_on_two_channels, 2, 2), (one_panned_mono, 2, 2), (two_of_a_kind, 3, 1)],
)
def test_dependent_references_are_solved_in_full(
    change: Any, n_targets: int, n_channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    references, estimates = make_track(n_targets, n_channels, RATE)
    references = change(np.round(references * 32768) / 32768)
    solved = []
    in_full = levinson._solve_in_full
    monkeypatch.setattr(levinson, "_solve_in_full", lambda *a: solved.append(1) or in_full(*a))
    (ours,) = bss_eval(references, estimates, RATE)
    assert solved
    # What museval's filters are here depends on its rounding errors.
    same(ours, museval(references, estimates, SISEC18), atol=1e-3)


# ---------------------------------------------------------------------------------------------
# Against published scores


def test_museval_s_golden_scores_of_real_music(shared: Path) -> None:
    folder = shared / "evaluation" / "museval"
    stems = {path.stem: soundfile.read(path)[0].T for path in (folder / "decoded").glob("*.flac")}
    accompaniment = stems["drums"] + stems["bass"] + stems["other"]
    random = np.random.RandomState(0)
    estimates = np.stack([random.random_sample((stems["mixture"].shape[1], 2)).T for _ in range(2)])
    (scores,) = bss_eval(np.stack([stems["vocals"], accompaniment]), estimates, 44100)
    golden = json.loads((folder / "Music Delta - 80s Rock.json").read_text())
    for target, expected in enumerate(golden["targets"]):
        for metric in METRICS:
            values = [f["metrics"][metric[:3].upper()] for f in expected["frames"]]
            # The file has five decimals.
            np.testing.assert_allclose(getattr(scores, metric)[target], values, atol=1e-5)


# Dependent references of up to 6144 unknowns: their channels are copies.
MATLAB = [
    *("01", "03", "09"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("02", "05", "06", "07", "08")),
]


def matlab_case(shared: Path, name: str, kind: str) -> tuple[Float64s, Float64s, dict[str, Any]]:
    """Return references, estimates and MATLAB's scores; channels are made as in mir_eval's test."""
    folder = shared / "evaluation" / "mir_eval" / "separation"
    case = json.loads((folder / f"output{name}.json").read_text())[kind]
    references, estimates = (
        np.stack([read_mono(path) for path in sorted((folder / f"{group}{name}").iterdir())])
        for group in ("ref", "est")
    )
    references = np.repeat(references[:, None], case["nchan"], axis=1)
    estimates = np.repeat(estimates[:, None], case["nchan"], axis=1)
    estimates[:, 1:] *= case["gain"]
    return references, estimates[:, :: -1 if case["reverse"] else 1], case


def read_mono(path: Path) -> Float64s:
    mono: Float64s = soundfile.read(path, always_2d=True)[0].mean(axis=1)
    return mono


FIELDS = {
    "sdr_db": "Source to Distortion",
    "isr_db": "Image to Spatial",
    "sir_db": "Source to Interference",
    "sar_db": "Source to Artifact",
}


def check_matlab(scores: BssScores, case: dict[str, Any], frames: slice, atol: float) -> None:
    for metric, field in FIELDS.items():
        expected = np.array(case[field]).reshape(len(scores.sdr_db), -1)[:, frames]
        np.testing.assert_allclose(getattr(scores, metric), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", MATLAB)
def test_matlab_s_scores_of_images(shared: Path, name: str) -> None:
    references, estimates, case = matlab_case(shared, name, "Images")
    estimates = estimates[np.array(case["Source permutation"], int)]
    (scores,) = bss_eval(references, estimates, 1, [Framing(math.inf, math.inf, True)])
    check_matlab(scores, case, slice(None), atol=2e-4)  # all but two SIRs of one within 1e-6


@pytest.mark.parametrize("name", MATLAB)
def test_matlab_s_scores_of_images_by_window(shared: Path, name: str) -> None:
    references, estimates, case = matlab_case(shared, name, "Images Framewise")
    n_samples = case["win"] + case["hop"]  # two frames
    framing = Framing(case["win"], case["hop"], has_own_filters=True)
    (scores,) = bss_eval(references[:, :, :n_samples], estimates[:, :, :n_samples], 1, [framing])
    check_matlab(scores, case, slice(2), atol=1e-4)


@pytest.mark.parametrize("name", ["01", "03", "09"])
def test_matlab_s_scores_of_sources(shared: Path, name: str) -> None:
    folder = shared / "evaluation" / "mir_eval" / "separation"
    case = json.loads((folder / f"output{name}.json").read_text())["Sources"]
    references, estimates = (
        np.stack([read_mono(path) for path in sorted((folder / f"{group}{name}").iterdir())])
        for group in ("ref", "est")
    )
    estimates = estimates[np.array(case["Source permutation"], int)]
    (scores,) = bss_eval(references[:, None], estimates[:, None], 1, [WHOLE])
    for field, values in (
        ("Source to Distortion", scores.values("source-SDR")),
        ("Source to Interference", scores.sir_db),
        ("Source to Artifact", scores.sar_db),
    ):
        np.testing.assert_allclose(values[:, 0], case[field], rtol=0, atol=2e-4)


@pytest.mark.filterwarnings("ignore:mir_eval:FutureWarning")
def test_the_sdr_of_sources_is_mir_eval_s() -> None:
    mir_eval = pytest.importorskip("mir_eval")
    references, estimates = make_track(3, 1, 2 * RATE + 11)
    (scores,) = bss_eval(references, estimates, RATE, [WHOLE])
    sdr, sir, sar, _ = mir_eval.separation.bss_eval_sources(
        references[:, 0], estimates[:, 0], compute_permutation=False
    )
    np.testing.assert_allclose(scores.values("source-SDR")[:, 0], sdr, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores.sir_db[:, 0], sir, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores.sar_db[:, 0], sar, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["two stereo", "hop below the filters' length", "whole track", "version 3, stereo"]
)
def test_the_sdr_of_sources_is_museval_s(name: str) -> None:
    n_targets, n_channels, n_samples, framing = CASES[name]
    track = make_track(n_targets, n_channels, n_samples)
    (ours,) = bss_eval(*track, RATE, [framing])
    windows = framing.windows(RATE, n_samples)
    hop = windows[1][0] - windows[0][0] if len(windows) > 1 else n_samples
    sdr, *_ = _museval_metrics().bss_eval(
        *(signals.transpose(0, 2, 1) for signals in track),
        window=windows[0][1],
        hop=hop,
        framewise_filters=framing.has_own_filters,
        bsseval_sources_version=True,
    )
    np.testing.assert_allclose(ours.values("source-SDR"), sdr, rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------------------------
# By definition


def test_the_sdr_of_sources_forgives_a_filter_and_nothing_else() -> None:
    references, _ = make_track(2, 1, 2 * RATE)
    references[:, :, -2:] = 0  # a filter rings on
    filtered = scipy.signal.lfilter([0.5, 0, 0.3], [1], references, axis=2)
    (scores,) = bss_eval(references, filtered, RATE, [WHOLE])
    assert scores.sdr_db.max() < 15 and scores.values("source-SDR").min() > 100
    noise = np.random.default_rng(1).standard_normal(filtered.shape)
    noise *= np.sqrt(np.square(filtered).sum(axis=2) / np.square(noise).sum(axis=2))[..., None]
    (scores,) = bss_eval(references, filtered + 0.1 * noise, RATE, [WHOLE])
    # The filters' 512 taps explain a part of the noise, too.
    assert np.all(np.abs(scores.values("source-SDR") - 20) < 1.0)


def test_sdr_is_the_plain_ratio_of_the_frame() -> None:
    references, estimates = make_track(2, 2, 3 * RATE + 1)
    (scores,) = bss_eval(references, estimates, RATE)
    for target in range(2):
        for frame in range(3):
            span = slice(frame * RATE, (frame + 1) * RATE)
            expected = snr_db(references[target, :, span], estimates[target, :, span])
            assert scores.sdr_db[target, frame] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("n_samples", "framing", "starts_s", "duration_s"),
    [
        (3 * RATE - 1, SISEC18, [0, 1], 1.0),
        (3 * RATE, SISEC18, [0, 1, 2], 1.0),
        (3 * RATE + 2000, Framing(2.0, 0.5), [0, 0.5, 1, 1.5], 2.0),
        (RATE // 2, SISEC18, [0], 0.5),
        (2 * RATE, WHOLE, [0], 2.0),
    ],
)
def test_frames_are_whole_but_for_a_short_track(
    n_samples: int, framing: Framing, starts_s: list[float], duration_s: float
) -> None:
    (scores,) = bss_eval(*make_track(2, 1, n_samples), RATE, [framing])
    assert matrix(scores).shape == (4, 2, len(starts_s))
    np.testing.assert_array_equal(scores.start_s, starts_s)
    assert scores.duration_s == duration_s


FRAMINGS = (
    SISEC18,
    Framing(3.0, 1.5),
    Framing(2.0, 2.0, has_own_filters=True),
    WHOLE,
    Framing(0.5, 0.7),
)


def test_framings_together_score_as_each_alone() -> None:
    track = make_track(2, 1, 6 * RATE + 123)
    for framing, scores in zip(FRAMINGS, bss_eval(*track, RATE, FRAMINGS), strict=True):
        same(scores, bss_eval(*track, RATE, [framing])[0])


@pytest.mark.parametrize("framings", [FRAMINGS, FRAMINGS[2:3]])
def test_scores_do_not_depend_on_the_memory(
    framings: tuple[Framing, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    track = make_track(2, 1, 6 * RATE + 123)
    expected = bss_eval(*track, RATE, framings)
    monkeypatch.setattr(bsseval, "_CORRELATION_BYTES", 3 * 8 * 512 * 2 * 4)
    monkeypatch.setattr(bsseval, "_READ_AT_ONCE", 1000)
    monkeypatch.setattr(correlations, "_BLOCKS_AT_ONCE", 2)
    for scores, others in zip(expected, bss_eval(*track, RATE, framings), strict=True):
        same(scores, others)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_other_types_of_samples_score_as_float64(dtype: Any) -> None:
    references, estimates = ((8000 * x).astype(dtype) for x in make_track(2, 1, 2 * RATE))
    (scores,) = bss_eval(references, estimates, RATE)
    same(scores, bss_eval(references.astype(float), estimates.astype(float), RATE)[0])


def test_filtering_the_references_gives_the_energies_of_the_quadratic_forms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    track = make_track(2, 1, 2 * RATE)
    framings = [SISEC18, Framing(0.3, 0.3, has_own_filters=True)]
    expected = bss_eval(*track, RATE, framings)
    monkeypatch.setattr(projections, "_SMALLEST", math.inf)
    monkeypatch.setattr(projections, "_BLOCKS_AT_ONCE", 2)
    for scores, others in zip(expected, bss_eval(*track, RATE, framings), strict=True):
        same(scores, others)


def test_lost_digits_are_found_again_by_filtering(monkeypatch: pytest.MonkeyPatch) -> None:
    references, estimates = make_track(2, 1, 3 * RATE)
    estimates = references + 1e-7 * (estimates - references)
    estimates[:, :, RATE : 2 * RATE] = references[:, :, RATE : 2 * RATE]  # perfect in one frame
    filtered = []
    by_filtering = projections.filtered_energies
    monkeypatch.setattr(
        bsseval, "filtered_energies", lambda *a: filtered.append(a[1]) or by_filtering(*a)
    )
    (scores,) = bss_eval(references, estimates, RATE)
    assert filtered == [0, RATE, 2 * RATE]
    assert np.isinf(scores.sdr_db[:, 1]).all()
    theirs = museval(references, estimates, SISEC18)
    np.testing.assert_allclose(matrix(scores)[:, :, ::2], matrix(theirs)[:, :, ::2], atol=1e-4)


def test_the_mixture_as_an_estimate_has_no_artefacts() -> None:
    references, _ = make_track(2, 2, 2 * RATE)
    mixture = np.repeat(references.sum(axis=0)[None], 2, axis=0)
    (scores,) = bss_eval(references, mixture, RATE)
    assert (scores.sar_db > 200).all()


@settings(deadline=None, max_examples=10)
@given(st.floats(-60, 60), st.integers(0, 3))
def test_a_gain_of_everything_changes_nothing(gain_db: float, seed: int) -> None:
    references, estimates = make_track(2, 1, RATE + seed)
    gain = 10 ** (gain_db / 20)
    same(
        bss_eval(references, estimates, RATE)[0],
        bss_eval(gain * references, gain * estimates, RATE)[0],
        atol=1e-6,
    )


@settings(deadline=None, max_examples=10)
@given(st.floats(-40, 40), st.integers(0, 3))
def test_a_gain_of_an_estimate_leaves_its_sir_and_sar(gain_db: float, seed: int) -> None:
    references, estimates = make_track(2, 1, RATE + seed)
    (before,) = bss_eval(references, estimates, RATE)
    (after,) = bss_eval(references, 10 ** (gain_db / 20) * estimates, RATE)
    np.testing.assert_allclose(after.sir_db, before.sir_db, atol=1e-6)
    np.testing.assert_allclose(after.sar_db, before.sar_db, atol=1e-6)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_targets_is_that_of_the_scores(order: tuple[int, ...]) -> None:
    references, estimates = make_track(3, 1, RATE + 5)
    (scores,) = bss_eval(references, estimates, RATE)
    (permuted,) = bss_eval(references[list(order)], estimates[list(order)], RATE)
    np.testing.assert_allclose(matrix(permuted), matrix(scores)[:, list(order)], atol=1e-7)


# ---------------------------------------------------------------------------------------------
# Departures from museval


def test_a_reference_that_is_silent_throughout_is_as_if_it_were_not_there() -> None:
    references, estimates = make_track(3, 1, 3 * RATE)
    references[1] = 0.0
    (scores,) = bss_eval(references, estimates, RATE)
    assert np.isnan(matrix(scores)[:, 1]).all()
    rest = [0, 2]
    (alone,) = bss_eval(references[rest], estimates[rest], RATE)
    np.testing.assert_allclose(matrix(scores)[:, rest], matrix(alone), atol=1e-9)


def test_the_reference_of_an_estimate_that_is_silent_throughout_still_interferes() -> None:
    references, estimates = make_track(3, 1, 3 * RATE)
    (expected,) = bss_eval(references, estimates, RATE)
    estimates[1] = 0.0
    (scores,) = bss_eval(references, estimates, RATE)
    assert np.isnan(matrix(scores)[:, 1]).all()
    np.testing.assert_allclose(matrix(scores)[:, [0, 2]], matrix(expected)[:, [0, 2]], atol=1e-9)


def test_silence_is_without_scores() -> None:
    silence = np.zeros((2, 1, 2 * RATE))
    for framing in (SISEC18, Framing(1.0, 1.0, has_own_filters=True)):
        assert np.isnan(matrix(bss_eval(silence, silence, RATE, [framing])[0])).all()


def test_own_silence_makes_no_other_target_nan() -> None:
    references, estimates = make_track(3, 1, 4 * RATE)
    references[0, :, RATE : 2 * RATE] = 0.0
    estimates[1, :, 2 * RATE : 3 * RATE] = 0.0
    (strict,) = bss_eval(references, estimates, RATE)
    (own,) = bss_eval(references, estimates, RATE, silence=SilenceRule.OWN)
    is_nan = np.zeros((3, 4), bool)
    is_nan[0, 1] = is_nan[1, 2] = True
    np.testing.assert_array_equal(np.isnan(matrix(own)), np.broadcast_to(is_nan, (4, 3, 4)))
    np.testing.assert_array_equal(np.isnan(strict.sdr_db), [is_nan.any(axis=0)] * 3)
    np.testing.assert_allclose(matrix(own)[:, :, [0, 3]], matrix(strict)[:, :, [0, 3]])


def test_one_target_is_scored_against_sources_without_estimates() -> None:
    references, estimates = make_track(3, 2, 3 * RATE)
    (all_of_them,) = bss_eval(references, estimates, RATE)
    (one,) = bss_eval(references[:1], estimates[:1], RATE, others=references[1:])
    np.testing.assert_allclose(matrix(one), matrix(all_of_them)[:, :1], atol=1e-9)


def test_without_other_sources_there_is_no_interference() -> None:
    references, estimates = make_track(2, 2, 2 * RATE)
    (scores,) = bss_eval(references[:1], estimates[:1], RATE)
    assert np.isposinf(scores.sir_db).all()
    assert np.isfinite(matrix(scores)[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("references", "estimates", "others", "message"),
    [
        ((2, 1, 9), (2, 1, 8), (0, 1, 9), r"\(2, 1, 9\) and estimates of \(2, 1, 8\)"),
        ((2, 9), (2, 9), (0, 9), r"\(2, 9\) is not \(n_targets"),
        ((2, 1, 0), (2, 1, 0), (0, 1, 0), r"\(2, 1, 0\) is not"),
        ((2, 1, 9), (2, 1, 9), (1, 2, 9), r"other sources of \(1, 2, 9\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    references: tuple[int, ...], estimates: tuple[int, ...], others: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bss_eval(np.ones(references), np.ones(estimates), RATE, others=np.ones(others))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_samples_that_are_not_finite_are_refused(bad: float, where: int) -> None:
    track = make_track(2, 1, 3 * RATE)
    track[where][1, 0, 2 * RATE + 5] = bad
    with pytest.raises(ValueError, match=r"between 2\.000 s and 3\.000 s is not finite"):
        bss_eval(*track, RATE)


@pytest.mark.parametrize("framing", [Framing(0.0, 1.0), Framing(1.0, 0.0), Framing(1.0, -1.0)])
def test_a_framing_without_samples_is_refused(framing: Framing) -> None:
    with pytest.raises(ValueError, match="less than a sample at 4000 Hz"):
        bss_eval(*make_track(2, 1, 3 * RATE), RATE, [framing])


@pytest.mark.parametrize(
    "framings", [[], [Framing(math.nan, 1.0)], [Framing(1.0, math.nan)], [Framing(1.0, math.inf)]]
)
def test_what_is_no_framing_is_refused(framings: list[Framing]) -> None:
    with pytest.raises(ValueError, match="no framing"):
        bss_eval(*make_track(2, 1, 3 * RATE), RATE, framings)


def test_an_infinite_window_is_the_track() -> None:
    track = make_track(2, 1, 3 * RATE)
    infinite, whole = bss_eval(*track, RATE, [Framing(math.inf, 1.0), Framing(3.0, 1.0)])
    np.testing.assert_array_equal(matrix(infinite), matrix(whole))


# ---------------------------------------------------------------------------------------------
# The solver


@pytest.mark.parametrize(("n_systems", "n", "n_right"), [(1, 1, 1), (3, 2, 2), (1, 4, 3)])
def test_solutions_are_those_of_the_full_system(n_systems: int, n: int, n_right: int) -> None:
    n_taps = 16
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_systems, n, 500))
    lags = [x[:, :, : 500 - lag] @ x[:, :, lag:].transpose(0, 2, 1) for lag in range(n_taps)]
    blocks = np.stack(lags, axis=1)
    right = rng.standard_normal((n_systems, n_taps, n, n_right))
    solution = solve_block_toeplitz(blocks, right)
    for system in range(n_systems):
        full = levinson._in_full(blocks[system])
        np.testing.assert_array_equal(full, full.T)
        flat = right[system].transpose(1, 0, 2).reshape(-1, n_right)
        expected = np.linalg.solve(full, flat).reshape(n, n_taps, n_right).transpose(1, 0, 2)
        np.testing.assert_allclose(solution[system], expected, atol=1e-12)


def test_a_singular_system_beside_a_regular_one_is_solved() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2, 500))
    x[1, 1] = x[1, 0]
    lags = [x[:, :, : 500 - lag] @ x[:, :, lag:].transpose(0, 2, 1) for lag in range(8)]
    blocks = np.stack(lags, axis=1)
    wanted = rng.standard_normal((2, 8, 2, 1))
    right = levinson._product(blocks, wanted)
    solution = solve_block_toeplitz(blocks, right)
    np.testing.assert_allclose(solution[0], wanted[0], atol=1e-10)
    np.testing.assert_allclose(levinson._product(blocks, solution), right, atol=1e-8)
