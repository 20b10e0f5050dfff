"""`stemsmith gap`: its figures, what it refuses, and that workers change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stemsmith.mixing.level.balance import read_balance

RATE = 16000


def write_songs(root: Path, levels: dict[str, float], n_songs: int = 4, first: int = 0) -> Path:
    """Write songs of noise, ``Artist k - Song/STEM.wav``, at given levels in dB."""
    for k in range(n_songs):
        folder = root / f"Artist {first + k} - Song"
        folder.mkdir(parents=True)
        for number, (stem, level_db) in enumerate(levels.items()):
            rng = np.random.default_rng(100 * (first + k) + number)
            audio = 0.1 * 10 ** (level_db / 20) * rng.standard_normal((13 * RATE, 2))
            soundfile.write(folder / f"{stem}.wav", audio, RATE, subtype="FLOAT")
    return root


EQUAL = {"drums": 0.0, "bass": 0.0, "other": 0.0}


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_songs(tmp_path / "real", {"drums": 0.0, "bass": -3.0, "other": -6.0})


def test_a_fit_finds_the_levels_of_the_songs(real: Path, tmp_path: Path, here) -> None:
    path = tmp_path / "balance.yaml"
    done = here("gap", f"folder:{real}", "--fit", path, "--jobs", 0, "--json")
    assert done.returncode == 0, done.stderr
    groups = json.loads(done.stdout)["groups"]
    total = 10 * np.log10(1 + 10**-0.3 + 10**-0.6)
    for group, level_db in (("drums", 0), ("bass", -3), ("other", -6)):
        assert groups[group]["median_lu"] == pytest.approx(level_db - total, abs=0.05)
        assert (groups[group]["n_songs"], groups[group]["n_artists"]) == (4, 4)
    drawn = read_balance(path).draw(0, "x")
    assert drawn["drums"] - drawn["bass"] == pytest.approx(3, abs=0.1)
    again = here("gap", f"folder:{real}", "--fit", path, "--jobs", 0)  # over its own file
    assert again.returncode == 0, again.stderr


def test_levels_that_an_option_mends_come_out_closer(real: Path, tmp_path: Path, here) -> None:
    before = write_songs(tmp_path / "before", EQUAL, first=10)
    after = write_songs(tmp_path / "after", {"drums": 0, "bass": -3, "other": -6}, first=10)
    done = here(
        "gap", f"folder:{after}", f"folder:{real}", "--baseline", f"folder:{before}", "--jobs", 0,
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["gap_db"] < 0.5
    assert found["spectra"]["mixture"]["floor_db"]["n_splits"] == 3
    other = found["paired"]["level of other, LU"]
    assert other["n_songs"] == 4
    assert other["difference"] == pytest.approx(
        -(10 * np.log10((1 / 3) / (0.2512 / 1.7524))), abs=0.1
    )
    assert other["interval"][1] < 0
    assert found["measures"]["left-right correlation"]["corpus"] == pytest.approx(0, abs=0.02)


def test_a_corpus_is_compared_and_vocals_are_left_out(
    corpus: Path, tmp_path: Path, make_noise, here
) -> None:
    real = write_songs(tmp_path / "real", {**EQUAL, "vocals": 0.0})
    silent = next(real.iterdir())
    soundfile.write(silent / "bass.wav", np.zeros((13 * RATE, 2)), RATE)
    done = here("gap", corpus, f"folder:{real}", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "mixtures of drums, bass, other" in done.stdout
    assert "bass not heard" in done.stdout
    assert "the corpus has no vocals" in done.stderr


def test_a_table_of_songs_says_who_the_artists_are(real: Path, tmp_path: Path, here) -> None:
    table = tmp_path / "songs.tsv"
    rows = [f"Artist {k} - Song\tone\t11000" for k in range(3)] + ["Artist 3 - Song\ttwo\t"]
    table.write_text("\n".join(["song\tartist\treach_hz", *rows]) + "\n")
    ours = write_songs(tmp_path / "ours", EQUAL, first=10)
    how = (f"folder:{ours}", f"folder:{real}", "--jobs", 0, "--json", "--songs", table)
    found = json.loads(here("gap", *how).stdout)
    assert found["n_artists"] == 2
    assert found["spectra"]["mixture"]["floor_db"]["n_splits"] == 1


def test_busy_and_uneven_songs_are_told_from_even_noise(real: Path, tmp_path: Path, here) -> None:
    """Noise in bursts of 0.25 s: its level spreads, onsets keep to a grid, and flux is higher."""
    ours = write_songs(tmp_path / "ours", EQUAL, first=10)
    burst = np.exp(-np.arange(RATE // 4) / (0.05 * RATE))[:, None]
    for path in ours.glob("*/*.wav"):
        audio, _ = soundfile.read(path)
        gate = np.resize(burst, (len(audio), 1))
        soundfile.write(path, audio * gate, RATE, subtype="FLOAT")
    done = here("gap", f"folder:{ours}", f"folder:{real}", "--jobs", 0)
    assert done.returncode == 0, done.stderr
    assert "polyphony, notes" in done.stdout and "95 % from" in done.stdout
    done = here("gap", f"folder:{ours}", f"folder:{real}", "--jobs", 0, "--json")
    measures = json.loads(done.stdout)["measures"]
    for name in ("level spread, LU", "spectral flux, %"):
        assert measures[name]["interval"][0] > 0
    assert measures["onset deviation, ms"]["corpus"] < 5 < measures["onset deviation, ms"]["real"]


@pytest.mark.slow
def test_workers_find_the_same(real: Path, tmp_path: Path, here) -> None:
    ours = write_songs(tmp_path / "ours", EQUAL, first=10)
    texts = [
        here("gap", f"folder:{ours}", f"folder:{real}", "--json", "--jobs", jobs).stdout
        for jobs in (0, 2)
    ]
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("REAL",), "give a corpus and at least one set of real songs"),
        (("nowhere", "REAL"), "nowhere: not a folder"),
        (("REAL", "REAL", "REAL"), "given twice"),
        (("REAL", "--fit", "b.yaml", "--baseline", "REAL"), "not with --baseline"),
        (("REAL", "--fit", "no/folder/b.yaml"), "its folder is not there"),
        (("REAL", "--fit", "TABLE"), "is there already, and no balance"),
        (("REAL", "REAL", "--masters"), "has no masters to measure"),
        (("REAL", "REAL", "--halves", "0"), "--halves must be between"),
        (("REAL", "REAL", "--songs", "none.tsv"), "none.tsv: cannot be read"),
        (("REAL", "REAL", "--songs", "TABLE"), "the first line must name the columns"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    real: Path, tmp_path: Path, here, arguments: tuple[str, ...], complaint: str
) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("name\tsinger\n")
    names = {"REAL": f"folder:{real}", "TABLE": str(table)}
    done = here("gap", *(names.get(argument, argument) for argument in arguments), "--jobs", 0)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert table.read_text() == "name\tsinger\n"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a\tb\tloud", "line 2: reach_hz is not a frequency"),
        ("a\tb\t-5", "line 2: reach_hz is not a frequency"),
        ("a\tb\t1\t2", "line 2: more than 3 columns"),
        ("\tb\t1", "line 2: names no song"),
        ("a\tb\t1\na\tb\t1", "line 3: a is there twice"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(
    real: Path, tmp_path: Path, here, row: str, complaint: str
) -> None:
    table = tmp_path / "songs.tsv"
    table.write_text(f"song\tartist\treach_hz\n{row}\n")
    done = here("gap", f"folder:{real}", f"folder:{real}", "--songs", table, "--jobs", 0)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_songs_that_cannot_be_read_are_listed_and_the_others_measured(
    real: Path, tmp_path: Path, here
) -> None:
    (real / "Artist 0 - Song" / "bass.wav").write_bytes(b"RIFF")
    ours = write_songs(tmp_path / "ours", EQUAL, first=10)
    done = here("gap", f"folder:{ours}", f"folder:{real}", "--jobs", 0, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n_real"] == 3
    assert any("bass.wav" in row["detail"] for row in found["rejections"])


def test_nothing_to_compare_is_one_line(real: Path, tmp_path: Path, here) -> None:
    ours = write_songs(tmp_path / "ours", {"drums": 0.0, "other": 0.0}, first=10)
    done = here("gap", f"folder:{ours}", f"folder:{real}", "--jobs", 0)
    assert done.returncode == 1
    assert "no song of the corpus can be compared: bass missing in all" in done.stderr


def test_masters_are_measured_where_they_are_wanted(make_song, tmp_path: Path, here) -> None:
    """A limiter lowers the crest factor; groups stay those of the mixture before it."""
    pytest.importorskip("pedalboard")
    make_song(tmp_path / "midi" / "song.mid", n_notes=200)
    corpus = tmp_path / "c"
    how = ("--master", "bus", "--sample-rate", RATE, "--no-audit", "--jobs", 0)
    done = here("render", tmp_path / "midi", corpus, *how)
    assert done.returncode == 0, done.stderr
    found = {
        options: json.loads(here("gap", corpus, corpus, "--jobs", 0, "--json", *options).stdout)
        for options in ((), ("--masters",))
    }
    measures = {options: content["measures"] for options, content in found.items()}
    crest = [measures[options]["crest factor, dB"]["difference"] for options in found]
    assert crest[0] == 0
    assert crest[1] < -0.1
    assert found["--masters",]["spectra"]["drums"]["gap_db"] == 0
