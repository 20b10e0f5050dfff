"""Metrics beside the defaults: closed forms, other implementations, and what published code gives.

Pinned numbers were computed with the published code that each metric names, from `signals`.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.evaluate.benchmark.results import Results
from stemsmith.evaluate.metrics.per_song._mel import mel_bands, mel_spectrogram
from stemsmith.evaluate.metrics.per_song.bleedless import bleedless
from stemsmith.evaluate.metrics.per_song.fullness import fullness
from stemsmith.evaluate.metrics.per_song.global_sdr import global_sdr_db
from stemsmith.evaluate.metrics.per_song.log_wmse import hearing_filter, log_wmse
from stemsmith.evaluate.metrics.per_song.multi_mel_snr import multi_mel_snr_db
from stemsmith.evaluate.metrics.per_song.pes import predicted_energy_at_silence_db
from stemsmith.evaluate.metrics.per_song.si_sar import si_sar_db
from stemsmith.evaluate.metrics.per_song.si_sdr import si_sdr_db
from stemsmith.evaluate.metrics.per_song.si_sir import si_sir_db
from stemsmith.evaluate.metrics.per_song.snr import snr_db
from stemsmith.evaluate.metrics.registry import Metric, known_metric, song_metrics
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import UsageError

RATE = 8000
Command = Callable[..., subprocess.CompletedProcess[str]]


def signals(rate: int, seconds: float = 1.5) -> tuple[Float32s, Float32s, Float32s]:
    """Return a reference, an estimate and a mixture in stereo, of formulas alone."""
    t = np.arange(int(rate * seconds)) / rate
    left = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 880 * t * (1 + 0.1 * t))
    s = np.stack([left, 0.2 * np.sin(2 * np.pi * 330 * t)])
    square, chirp = np.sign(np.sin(2 * np.pi * 55.5 * t)), np.sin(2 * np.pi * 3000 * t * t)
    other = np.stack([0.2 * square, 0.1 * chirp])
    estimate = 0.8 * s + 0.2 * other + 0.05 * s**2
    return s.astype(np.float32), estimate.astype(np.float32), (s + other).astype(np.float32)


def orthonormal(n: int, n_samples: int = 400) -> Float64s:
    columns, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n_samples, n)))
    return columns.T


# ---------------------------------------------------------------------------------------------
# Global SDR


def test_global_sdr_is_the_snr_where_energies_are_not_tiny() -> None:
    """``sdr`` in evaluator/music_demixing.py of the MDX starter kit at ec65914: 11.814795."""
    s, estimate, _ = signals(44100)
    assert global_sdr_db(s, estimate) == pytest.approx(11.814795, abs=1e-6)
    assert global_sdr_db(s, estimate) == pytest.approx(snr_db(s, estimate), abs=1e-8)


def test_global_sdr_adds_the_same_to_both_energies() -> None:
    s, noise = orthonormal(2)
    found = global_sdr_db(1e-3 * s[None], (1e-3 * s + 1e-4 * noise)[None])
    assert found == pytest.approx(10 * math.log10((1e-6 + 1e-7) / (1e-8 + 1e-7)))
    assert global_sdr_db(s[None], s[None]) == pytest.approx(10 * math.log10((1 + 1e-7) / 1e-7))
    assert global_sdr_db(0 * s[None], 0 * s[None]) == 0.0


# ---------------------------------------------------------------------------------------------
# SI-SIR and SI-SAR


@pytest.mark.parametrize("gain", [1.0, -0.3, 40.0])
def test_parts_of_orthogonal_signals_are_their_gains(gain: float) -> None:
    s, one, other, noise = orthonormal(4)
    estimate = gain * (s + 0.3 * one - 0.4 * other + 0.1 * noise)
    others = np.stack([one, other])
    assert si_sir_db(s, estimate, others) == pytest.approx(20 * math.log10(1 / 0.5))
    assert si_sar_db(s, estimate, others) == pytest.approx(20.0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_errors_add_up_to_that_of_si_sdr(seed: int, n_others: int) -> None:
    """Le Roux et al. 2019: the inverse ratios of interference and artefacts sum to SI-SDR's."""
    rng = np.random.default_rng(seed)
    s, noise = rng.standard_normal((2, 300))
    others = rng.standard_normal((n_others, 300)) + 0.5 * s  # not orthogonal to the target
    estimate = s + rng.standard_normal(n_others) @ others + 0.3 * noise
    inverse = [10 ** (-f(s, estimate, others) / 10) for f in (si_sir_db, si_sar_db)]
    assert sum(inverse) == pytest.approx(10 ** (-si_sdr_db(s, estimate) / 10))


def test_parts_are_those_of_fast_bss_eval() -> None:
    """Its SAR counts interference as signal, as BSS Eval does; both follow from the same parts."""
    torch = pytest.importorskip("torch")
    fast = pytest.importorskip("fast_bss_eval")
    rng = np.random.default_rng(3)
    s, one, other, noise = rng.standard_normal((4, 4000))
    others = np.stack([one, other + 0.4 * s])
    estimate = 0.7 * s + 0.1 * one + 0.2 * other + 0.05 * noise
    given = [np.stack([s, *others]), np.stack([estimate, s, s + one])]
    sdr, sir, sar = fast.si_bss_eval_sources(
        *map(torch.from_numpy, given), zero_mean=False, compute_permutation=False, clamp_db=None
    )
    assert si_sdr_db(s, estimate) == pytest.approx(sdr[0].item(), abs=1e-6)
    assert si_sir_db(s, estimate, others) == pytest.approx(sir[0].item(), abs=1e-6)
    artefacts = 10 ** (-si_sar_db(s, estimate, others) / 10)
    interference = 10 ** (-si_sir_db(s, estimate, others) / 10)
    expected = 10 * math.log10((1 + interference) / artefacts)
    assert expected == pytest.approx(sar[0].item(), abs=1e-6)


def test_sources_that_are_the_same_or_silent_are_explained_once() -> None:
    s, one, noise = orthonormal(3)
    estimate = s + 0.5 * one + 0.1 * noise
    for others in ([one], [one, one], [one, 0 * one], [3 * one, s + one]):
        assert si_sir_db(s, estimate, np.stack(others)) == pytest.approx(20 * math.log10(2))
        assert si_sar_db(s, estimate, np.stack(others)) == pytest.approx(20.0)


def test_what_cannot_be_said_of_parts_is_nan() -> None:
    s, one = orthonormal(2)
    nothing = np.zeros((0, len(s)))
    assert math.isnan(si_sir_db(s, s + one, nothing))
    assert math.isnan(si_sir_db(0 * s, one, one[None]))
    assert math.isnan(si_sar_db(0 * s, one, one[None]))
    assert si_sar_db(s, s + one, nothing) == pytest.approx(0.0)
    assert si_sir_db(s, 0 * s, one[None]) == -math.inf
    assert si_sar_db(s, s + one, one[None]) > 200  # rounding errors
    with pytest.raises(ValueError, match="mono"):
        si_sir_db(s.reshape(2, -1), s.reshape(2, -1), one[None])
    with pytest.raises(ValueError, match="other sources is not finite"):
        si_sir_db(s, s, np.full((1, len(s)), math.nan))


# ---------------------------------------------------------------------------------------------
# Mel spectrograms, bleedless and fullness, multi-mel SNR


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize(("rate", "n_fft", "n_bands"), [(44100, 4096, 512), (16000, 1024, 64)])
def test_bands_are_those_of_librosa(rate: int, n_fft: int, n_bands: int) -> None:
    librosa = pytest.importorskip("librosa")
    for scale in ("slaney", "htk"):
        expected = librosa.filters.mel(
            sr=rate, n_fft=n_fft, n_mels=n_bands, htk=scale == "htk",
            norm="slaney" if scale == "slaney" else None, dtype=np.float64,
        )  # fmt: skip
        found = mel_bands(rate, n_fft, n_bands, rate / 2, scale)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_frames_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    audio, bands = rng.standard_normal((2, 70_000)), np.eye(33)  # more than one block
    found = mel_spectrogram(audio, bands, 16, power=1, padding="constant")
    window = scipy.signal.get_window("hann", 64)
    stft = scipy.signal.ShortTimeFFT(window, 16, fs=1)
    expected = np.abs(stft.stft(audio, p0=0, p1=found.shape[2]))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_bleedless_and_fullness_are_those_of_msst() -> None:
    """``bleed_full`` in utils/metrics.py of ZFTurbo's MSST at ccc011a, in float32."""
    s, estimate, _ = signals(44100)
    assert bleedless(s, estimate, 44100) == pytest.approx(6.766368, abs=1e-4)
    assert fullness(s, estimate, 44100) == pytest.approx(33.671986, abs=1e-4)


def test_a_gain_is_all_excess_or_all_loss() -> None:
    s, *_ = signals(RATE)
    louder, softer = 2 * s, s / 2
    of_6_db = 100 / (1 + 20 * math.log10(2))
    assert bleedless(s, s, RATE) == fullness(s, s, RATE) == 100.0
    assert bleedless(s, louder, RATE) == pytest.approx(of_6_db)
    assert (fullness(s, louder, RATE), bleedless(s, softer, RATE)) == (100.0, 100.0)
    assert fullness(s, softer, RATE) == pytest.approx(of_6_db)
    for metric in (bleedless, fullness):
        with pytest.raises(ValueError, match="a sample of the estimate is not finite"):
            metric(s, np.full_like(s, np.inf), RATE)


@pytest.mark.parametrize(("rate", "expected"), [(48000, 22.766224), (44100, 22.927095)])
def test_multi_mel_snr_is_that_of_the_challenge(rate: int, expected: float) -> None:
    """``MultiMelSNRMetric`` of CPJKU/music-source-restoration at 3bae84c, in float32."""
    s, estimate, _ = signals(rate)
    assert multi_mel_snr_db(s, estimate, rate) == pytest.approx(expected, abs=1e-4)


def test_multi_mel_snr_does_not_depend_on_gain_or_silent_channels() -> None:
    s, estimate, _ = signals(RATE)
    expected = multi_mel_snr_db(s, estimate, RATE)
    assert multi_mel_snr_db(s, 5 * estimate, RATE) == pytest.approx(expected, abs=1e-5)
    one = multi_mel_snr_db(s[:1], estimate[:1], RATE)
    beside = np.stack([s[0], 0 * s[0]]), np.stack([estimate[0], estimate[1]])
    assert multi_mel_snr_db(*beside, RATE) == one
    assert math.isnan(multi_mel_snr_db(0 * s, estimate, RATE))
    assert multi_mel_snr_db(s, s, RATE) > 100


# ---------------------------------------------------------------------------------------------
# log-WMSE


@pytest.mark.parametrize(
    ("rate", "expected", "of_silence"),
    [(44100, 12.886120, 39.525200), (16000, 12.884170, 39.505772)],
)
def test_log_wmse_is_the_published_one(rate: int, expected: float, of_silence: float) -> None:
    """``calculate_log_wmse`` of nomonosound/log-wmse-audio-quality at ed03283, in float32."""
    s, estimate, mixture = signals(rate)
    assert log_wmse(s, estimate, rate, mixture) == pytest.approx(expected, abs=1e-4)
    found = log_wmse(0 * s, 0.01 * estimate, rate, mixture)
    assert found == pytest.approx(of_silence, abs=1e-4)


def test_log_wmse_has_ends_and_does_not_depend_on_the_level_of_all() -> None:
    s, estimate, mixture = signals(44100)
    best = -4 * math.log(1e-8)
    assert log_wmse(s, s, 44100, mixture) == log_wmse(0 * s, 0 * s, 44100, mixture) == best
    assert log_wmse(s, s, 44100, 0 * mixture) == best
    assert log_wmse(s, s + 1e-5, 44100, mixture) == best  # inaudible
    expected = log_wmse(s, estimate, 44100, mixture)
    louder = [8 * x for x in (s, estimate, mixture)]
    assert log_wmse(louder[0], louder[1], 44100, louder[2]) == pytest.approx(expected, abs=1e-6)
    halved = s + (estimate - s) / 2
    assert log_wmse(s, halved, 44100, mixture) - expected == pytest.approx(
        4 * math.log(4), abs=0.05
    )


def test_the_filter_is_symmetric_and_weighs_as_hearing_does() -> None:
    taps = hearing_filter()
    assert taps.shape == (4000,) and np.argmax(taps) == 1999
    np.testing.assert_allclose(taps[:1999][::-1], taps[2000:3999], atol=1e-8)
    hz = np.array([30.0, 120.0, 3500.0, 20000.0])
    gains_db = 20 * np.log10(np.abs(scipy.signal.freqz(taps, worN=hz, fs=44100)[1]))
    assert gains_db[0] < -20 and gains_db[3] < -8
    assert gains_db[1] == pytest.approx(-3, abs=0.3)  # where the high-pass begins
    assert 3.5 < gains_db[2] < 5  # above the shelf


# ---------------------------------------------------------------------------------------------
# PES


def test_energy_at_silence_is_that_of_the_paper() -> None:
    """``eval_silent_frames`` of schufo/wiass at 34068ba, a second at 8 kHz."""
    s, estimate, _ = signals(RATE, 4.5)
    s[:, 8000:20000] = s[:, 24000:32000] = estimate[:, 24000:32000] = 0
    assert predicted_energy_at_silence_db(s[0], estimate[0], RATE) == pytest.approx(-47.853333)
    # Two seconds are silent, and one of them in the estimate, too.
    energy_db = 10 * math.log10(float(np.square(estimate[0, 8000:16000], dtype=float).sum()))
    assert predicted_energy_at_silence_db(s[:1], estimate[:1], RATE) == pytest.approx(
        (energy_db - 120) / 2, abs=1e-6
    )


def test_a_target_that_is_never_silent_for_a_second_says_nothing() -> None:
    s, estimate, _ = signals(RATE)
    assert math.isnan(predicted_energy_at_silence_db(s[0], estimate[0], RATE))
    short = np.zeros(RATE - 1)
    assert math.isnan(predicted_energy_at_silence_db(short, short, RATE))
    with pytest.raises(ValueError, match="mono"):
        predicted_energy_at_silence_db(s, estimate, RATE)


# ---------------------------------------------------------------------------------------------
# What scoring gives to metrics


EVERY = ("global-sdr", "si-sir", "si-sar", "log-wmse", "bleedless", "fullness", "multi-mel-snr",
         "pes", "snr")  # fmt: skip


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two songs of 2 s at 8 kHz in stereo; the bass of Two is silent, and Three has none."""
    root = tmp_path / "songs"
    for song in ("One", "Two", "Three"):
        (root / song).mkdir(parents=True)
        for number, name in enumerate(("drums", "bass", "vocals")):
            if (song, name) != ("Three", "bass"):
                audio = 0.1 * np.random.default_rng(number).standard_normal((2 * RATE, 2))
                audio *= (song, name) != ("Two", "bass")
                soundfile.write(root / song / f"{name}.wav", audio, RATE, subtype="FLOAT")
    return root


def read(path: Path) -> Float32s:
    audio: Float32s = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    return audio


def test_metrics_get_what_they_ask_for(songs: Path, tmp_path: Path, here: Command) -> None:
    flags = [word for name in EVERY for word in ("--metric", name)]
    rates = ("--si-sdr-rate", RATE, "--bss", "none", "--jobs", 0)
    done = here("evaluate", "mixture", f"folder:{songs}", tmp_path / "r", *flags, *rates)
    assert done.returncode == 0, done.stderr
    assert "**PES [dB], lower is better, mono at 8000 Hz: mean over songs**" in done.stdout
    assert "**log-WMSE: mean over songs**" in done.stdout
    results = Results(tmp_path / "r")
    scores = {(s.song, s.target, s.metric): s.value for s in results.score_records()}
    one = {p.stem: read(p) for p in (songs / "One").iterdir()}
    mixture = one["drums"] + one["bass"] + one["vocals"]
    others = np.stack([one["bass"], one["vocals"]]).mean(axis=1)
    drums, mono = one["drums"].mean(axis=0), mixture.mean(axis=0)
    expected = {
        "SI-SIR": si_sir_db(drums, mono, others),
        "log-WMSE": log_wmse(one["drums"], mixture, RATE, mixture),
        "bleedless": bleedless(one["drums"], mixture, RATE),
        "multi-mel SNR": multi_mel_snr_db(one["drums"], mixture, RATE),
        "global SDR": global_sdr_db(one["drums"], mixture),
    }
    for metric, value in expected.items():
        assert scores["One", "drums", metric] == pytest.approx(value, abs=1e-3), metric
    assert scores["One", "drums", "SI-SAR"] > 80  # the mixture has no artefacts
    assert math.isnan(scores["One", "drums", "PES"])
    for song in ("Two", "Three"):  # silent, or not there at all
        for metric in ("SI-SDR", "SNR", "SI-SIR", "fullness"):
            assert math.isnan(scores[song, "bass", metric])
        rest = sum(read(songs / song / f"{name}.wav") for name in ("drums", "vocals"))
        assert isinstance(rest, np.ndarray)
        assert scores[song, "bass", "log-WMSE"] == pytest.approx(
            log_wmse(0 * rest, rest, RATE, rest), abs=1e-4
        )
        energies = np.square(rest.mean(axis=0).reshape(2, RATE), dtype=float).sum(axis=1)
        assert scores[song, "bass", "PES"] == pytest.approx(
            np.mean(10 * np.log10(energies)), abs=1e-4
        )
    assert here("validate", tmp_path / "r").returncode == 0
    # The scores that are always there do not depend on the others.
    assert here("evaluate", "mixture", f"folder:{songs}", tmp_path / "s", *rates).returncode == 0
    alone = {(s.song, s.target, s.metric): s.value for s in Results(tmp_path / "s").score_records()}
    for key, value in alone.items():
        assert scores[key] == value or (math.isnan(value) and math.isnan(scores[key]))
    known = known_metric("PES", results.summary["metrics"])
    assert known.is_lower_better and not known_metric("SNR", results.summary["metrics"]).needs


@pytest.mark.parametrize("system", ["oracle:irm", "estimates"])
def test_silent_targets_are_scored_where_there_are_estimates(
    songs: Path, tmp_path: Path, here: Command, system: str
) -> None:
    if system == "estimates":
        for song in ("One", "Two", "Three"):
            for name in ("drums", "bass", "vocals"):
                if (song, name) != ("Three", "bass"):
                    path = tmp_path / "e" / song / f"{name}.wav"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    audio = np.full((2 * RATE, 2), 0.01, np.float32)
                    soundfile.write(path, audio, RATE, subtype="FLOAT")
        system = f"estimates:{tmp_path / 'e'}"
    options = ("--metric", "pes", "--si-sdr-rate", RATE, "--jobs", 0, "--target", "bass")
    done = here("evaluate", system, f"folder:{songs}", tmp_path / "r", *options)
    assert done.returncode == 0, done.stderr
    scores = {s.song: s.value for s in Results(tmp_path / "r").score_records() if s.metric == "PES"}
    is_oracle = system == "oracle:irm"
    expected = -120.0 if is_oracle else 10 * math.log10(RATE * 1e-4)
    assert scores["Two"] == pytest.approx(expected, abs=1e-4)
    if is_oracle:
        assert scores["Three"] == -120.0
    else:
        assert math.isnan(scores["Three"])  # nobody needs an estimate of what is not there
    assert here("validate", tmp_path / "r").returncode == 0


def test_a_metric_may_ask_for_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type("module", (), {"ODD": Metric("odd", lambda *_: 0.0, needs=("bass",))})  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "odd_metrics", module)
    with pytest.raises(UsageError, match="needs bass; known: others, mixture"):
        song_metrics(["odd_metrics:ODD"])
