"""What is measured of a song, against closed forms and pyloudnorm."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from stemsmith.evaluate.benchmark.datasets import StemFile
from stemsmith.evaluate.realism.song_sound import MIXTURE, SongSound, SoundJob, measure_song
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.mixing.level.balance import GROUPS, SUMMED

RATE = 16000
Audio = dict[str, np.ndarray]


def noise(level: float, seconds: float = 24.0, n_channels: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return level * rng.standard_normal((round(seconds * RATE), n_channels))


def measured(folder: Path, stems: Audio, **details: object) -> SongSound | Rejection:
    groups = []
    for group in GROUPS:
        files = []
        for name, audio in stems.items():
            if name.startswith(group):
                path = folder / f"{name}.wav"
                soundfile.write(path, audio, RATE, subtype="FLOAT")
                files.append(StemFile(group, str(path)))
        if files:
            groups.append((group, tuple(files)))
    values = {"summed": SUMMED, "is_artist_unknown": False, **details}
    return measure_song(SoundJob("song", "id", "artist", groups=tuple(groups), **values))


def sound(folder: Path, stems: Audio, **details: object) -> SongSound:
    found = measured(folder, stems, **details)
    assert isinstance(found, SongSound), found
    return found


def band(n_channels: int = 2, seconds: float = 24.0) -> Audio:
    levels = {"drums": 0.1, "bass": 0.05, "other": 0.02}
    return {
        name: noise(level, seconds, n_channels, seed)
        for seed, (name, level) in enumerate(levels.items())
    }


def test_levels_are_shares_of_the_power(tmp_path: Path) -> None:
    """Independent noises of equal spectra: levels are their powers against the sum of these."""
    song = sound(tmp_path, band())
    total = 0.1**2 + 0.05**2 + 0.02**2
    for group, level in (("drums", 0.1), ("bass", 0.05), ("other", 0.02)):
        assert song.level_lu(group) == pytest.approx(10 * math.log10(level**2 / total), abs=0.05)


def test_levels_are_of_the_whole_song_and_not_of_where_a_group_plays(tmp_path: Path) -> None:
    stems = band()
    stems["bass"][len(stems["bass"]) // 2 :] = 0
    total = 0.1**2 + 0.05**2 / 2 + 0.02**2
    level = sound(tmp_path, stems).level_lu("bass")
    assert level == pytest.approx(10 * math.log10(0.05**2 / 2 / total), abs=0.05)


def test_stems_of_a_group_are_summed_as_they_are(tmp_path: Path) -> None:
    """Two equal stems are 6 dB above one, where independent ones would be 3."""
    stems = band()
    stems["other-2"] = stems["other"]
    twice = sound(tmp_path, stems).sounds["other"].loudness_lufs
    (tmp_path / "one").mkdir()
    once = sound(tmp_path / "one", band()).sounds["other"].loudness_lufs
    assert twice - once == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_loudness_is_pyloudnorm_s(tmp_path: Path) -> None:
    stems = band()
    song = sound(tmp_path, stems)
    mixture = sum(stems.values())
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    expected = meter.integrated_loudness(mixture)
    assert song.sounds[MIXTURE].loudness_lufs == pytest.approx(expected, abs=0.02)


def test_one_channel_is_as_two_equal_ones(tmp_path: Path) -> None:
    mono = band(1)
    (tmp_path / "stereo").mkdir()
    one = sound(tmp_path, mono)
    both = {name: np.repeat(audio, 2, axis=1) for name, audio in mono.items()}
    two = sound(tmp_path / "stereo", both)
    assert one.sounds[MIXTURE].loudness_lufs == pytest.approx(two.sounds[MIXTURE].loudness_lufs)
    assert one.peak_to_loudness_lu == pytest.approx(two.peak_to_loudness_lu)
    assert one.crest_db == pytest.approx(two.crest_db, abs=1e-6)
    assert (one.correlation, one.side_mid_db) == pytest.approx((1.0, -60.0))


def sine(seconds: float = 24.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * RATE)) / RATE)


def test_a_sine_has_a_crest_factor_of_3_db_and_no_loudness_range(tmp_path: Path) -> None:
    stems = band(1)
    stems = {name: 1e-4 * audio for name, audio in stems.items()}
    stems["other"] = sine()[:, None]
    song = sound(tmp_path, stems)
    assert song.crest_db == pytest.approx(10 * math.log10(2), abs=0.02)
    assert song.loudness_range_lu == pytest.approx(0, abs=0.02)
    power = 2 * 0.5**2 / 2  # of both speakers
    k_gain_db = 0.691  # what K-weighting adds at 1 kHz
    expected = 20 * math.log10(0.5) - (-0.691 + 10 * math.log10(power) + k_gain_db)
    assert song.peak_to_loudness_lu == pytest.approx(expected, abs=0.05)


def test_half_a_stretch_10_db_softer_is_a_range_of_10_lu(tmp_path: Path) -> None:
    stems = {name: 1e-4 * audio for name, audio in band(1, 12).items()}
    tone = sine(12)[:, None]
    tone[len(tone) // 2 :] *= 10 ** (-10 / 20)
    stems["other"] = tone
    assert sound(tmp_path, stems).loudness_range_lu == pytest.approx(10, abs=0.1)


def test_dynamics_of_an_excerpt_and_of_a_song_of_four_like_it_are_the_same(tmp_path: Path) -> None:
    once = band(1, 12)
    (tmp_path / "four").mkdir()
    one = sound(tmp_path, once)
    four = sound(tmp_path / "four", {n: np.tile(a, (4, 1)) for n, a in once.items()})
    assert four.crest_db == pytest.approx(one.crest_db, abs=0.01)
    assert four.peak_to_loudness_lu == pytest.approx(one.peak_to_loudness_lu, abs=0.02)
    assert four.loudness_range_lu == pytest.approx(one.loudness_range_lu, abs=0.05)


@pytest.mark.parametrize(
    ("matrix", "correlation", "side_mid_db"),
    [
        ([[1, 0], [0, 1]], 0.0, 0.0),
        ([[1, 1], [0, 0]], 1.0, -60.0),
        ([[1, -1], [0, 0]], -1.0, 60.0),
        # mid + 0.5 side: (1 - 0.25) / (1 + 0.25), and 20 log10(0.5)
        ([[1, 1], [0.5, -0.5]], 0.6, -6.02),
    ],
)
def test_width_is_that_of_mid_and_side(
    tmp_path: Path, matrix: list[list[float]], correlation: float, side_mid_db: float
) -> None:
    turned = {name: audio @ np.array(matrix) for name, audio in band().items()}
    song = sound(tmp_path, turned)
    assert song.correlation == pytest.approx(correlation, abs=0.02)
    assert song.side_mid_db == pytest.approx(side_mid_db, abs=0.1)


def test_a_song_without_a_bass_has_no_mixture_but_its_groups(tmp_path: Path) -> None:
    stems = band()
    stems["bass"] = np.zeros_like(stems["bass"])
    song = sound(tmp_path, stems)
    assert song.missing == ("bass",)
    assert set(song.sounds) == {"drums", "other"}
    assert math.isnan(song.level_lu("drums"))


def test_vocals_are_in_the_mixture_where_they_are_wanted(tmp_path: Path) -> None:
    stems = {**band(), "vocals": noise(0.1, seed=9)}
    without, with_them = sound(tmp_path, stems), sound(tmp_path, stems, summed=GROUPS)
    assert without.level_lu("drums") - with_them.level_lu("drums") > 2
    assert without.level_lu("vocals") == pytest.approx(without.level_lu("drums"), abs=0.1)


def test_a_rendition_s_shift_and_gain_count(tmp_path: Path) -> None:
    path = tmp_path / "other.wav"
    audio = noise(0.1, 12)
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    moved = StemFile("other", str(path), 0, shift=RATE, gain_db=-6.0)
    still = StemFile("other", str(path))
    jobs = [
        SoundJob("s", "s", "a", False, tuple((g, (file,)) for g in SUMMED), SUMMED)
        for file in (moved, still)
    ]
    shifted, plain = map(measure_song, jobs)
    assert isinstance(shifted, SongSound)
    assert isinstance(plain, SongSound)
    loudness = [song.sounds[MIXTURE].loudness_lufs for song in (shifted, plain)]
    assert loudness[1] - loudness[0] == pytest.approx(6.0, abs=0.01)


def test_a_master_stands_for_the_mixture_and_not_for_groups(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "master.wav", sine()[:, None], RATE, subtype="FLOAT")
    master = StemFile("", str(tmp_path / "master.wav"))
    song = sound(tmp_path, band(1), master=master)
    assert song.crest_db == pytest.approx(10 * math.log10(2), abs=0.02)
    assert song.level_lu("drums") == pytest.approx(sound(tmp_path, band(1)).level_lu("drums"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda stems: stems.update(bass=stems["bass"][:, :1]), Reason.MISMATCH),
        (lambda stems: stems.update(bass=stems["bass"] * np.nan), Reason.NOT_FINITE),
        (lambda stems: stems.update({n: 0 * a for n, a in stems.items()}), Reason.SILENT),
        (
            lambda stems: stems.update({n: np.repeat(a, 2, axis=1) for n, a in stems.items()}),
            Reason.UNSUPPORTED,
        ),
    ],
)
def test_a_song_that_cannot_be_measured_has_a_reason(tmp_path: Path, change, reason) -> None:
    stems = band()
    change(stems)
    found = measured(tmp_path, stems)
    assert isinstance(found, Rejection)
    assert (found.id, found.reason) == ("song", reason)
    assert "\n" not in found.detail


def test_a_missing_file_is_a_rejection() -> None:
    job = SoundJob(
        "s", "s", "a", False, (("drums", (StemFile("drums", "/no/where.wav"),)),), SUMMED
    )
    found = measure_song(job)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.UNREADABLE


def test_a_stem_that_ends_early_is_silent_from_there(tmp_path: Path) -> None:
    stems = band()
    stems["bass"] = stems["bass"][: 10 * RATE]
    assert sound(tmp_path, stems).duration_s == 24.0
