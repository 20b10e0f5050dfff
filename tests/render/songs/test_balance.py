"""Levels of groups as drawn: what is written, recorded and checked; drums that are joined."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pyloudnorm
import pytest
import soundfile
import yaml
from stemsmith.manifests import shards
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.records import Song, Stem
from stemsmith.mixing.level.balance import BUILT_IN, SUMMED, read_balance
from stemsmith.render.songs.balance import group_of, reach_levels, wanted_levels
from stemsmith.render.songs.validate import plan_validation, validate_song

RATE = 16000
OPTIONS = ("--jobs", 0, "--sample-rate", RATE, "--min-notes", 1, "--no-audit")
# Piano, bass, guitar, drums, strings and a second piano: four parts are "other".
PARTS = ((0, 0), (33, 1), (27, 2), (0, 9), (48, 3), (0, 4))


def records(corpus: Path) -> tuple[list[Song], list[Stem]]:
    return (
        shards.read_records(corpus / "songs-00000.parquet", Song),
        shards.read_records(corpus / "stems-00000.parquet", Stem),
    )


def rendered(here, midi: Path, corpus: Path, *options: object) -> tuple[list[Song], list[Stem]]:
    done = here("render", midi, corpus, *OPTIONS, *options)
    assert done.returncode == 0, done.stderr
    done = here("validate", corpus, "--jobs", 0)
    assert done.returncode == 0, done.stderr
    return records(corpus)


def loudness_of(audio: np.ndarray) -> float:
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    return float(meter.integrated_loudness(audio))


def group_sums(corpus: Path, stems: list[Stem]) -> dict[str, np.ndarray]:
    sums: dict[str, np.ndarray] = {}
    for stem in stems:
        audio = soundfile.read(corpus / stem.path, always_2d=True)[0]
        group = group_of(stem.program, stem.rendering_class)
        sums[group] = sums.get(group, 0) + audio
    return sums


@pytest.mark.parametrize("options", [(), ("--channels", 2)])
def test_sums_of_groups_differ_as_drawn(make_song, tmp_path: Path, here, options) -> None:
    """By pyloudnorm, of the files; the balance is that of the file, by seed and identity."""
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    how = ("--balance", "real", "--seed", 5, *options)
    (song,), stems = rendered(here, tmp_path / "midi", tmp_path / "c", *how)
    drawn = read_balance(BUILT_IN).draw(5, song.song_id)
    assert song.balance is not None
    assert json.loads(song.balance) == {group: drawn[group] for group in SUMMED}
    sums = group_sums(tmp_path / "c", stems)
    loudness = {group: loudness_of(audio) for group, audio in sums.items()}
    for group in SUMMED:
        difference = loudness[group] - loudness["drums"]
        assert difference == pytest.approx(drawn[group] - drawn["drums"], abs=0.1)
    loudest = max(SUMMED, key=lambda group: drawn[group])
    assert loudness[loudest] == pytest.approx(-13 + song.overall_gain_db, abs=0.1)
    for stem in stems:
        assert stem.balance_lu == drawn[group_of(stem.program, stem.rendering_class)]
    others = [
        loudness_of(soundfile.read(tmp_path / "c" / stem.path, always_2d=True)[0])
        for stem in stems
        if group_of(stem.program, stem.rendering_class) == "other"
    ]
    assert len(others) == 4
    assert max(others) - min(others) < 0.1
    metadata = yaml.safe_load((tmp_path / "c" / song.path / "metadata.yaml").read_bytes())
    assert metadata["normalized"] is False
    assert metadata["stemsmith"]["balance_lu"] == json.loads(song.balance)


def constant(folder: Path, drums: float, bass: float, other: float) -> Path:
    path = folder / "balance.yaml"
    levels = {"drums": drums, "bass": bass, "other": other}
    groups = {group: {"quantiles_lu": {50: level}} for group, level in levels.items()}
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path


def test_parts_that_double_each_other_are_measured_together(
    make_song, tmp_path: Path, here
) -> None:
    """Two equal parts are 6 dB louder than one and not 3: a sum of powers would miss that."""
    path = make_song(tmp_path / "midi" / "song.mid", ((0, 0), (33, 1)))
    file = mido.MidiFile(path)
    file.tracks.append(file.tracks[1].copy())
    file.save(path)
    balance = constant(tmp_path, -6, -6, -6)
    how = ("--no-band", "--balance", balance, "--patch-choice", "program")
    _, stems = rendered(here, tmp_path / "midi", tmp_path / "c", *how)
    sums = group_sums(tmp_path / "c", stems)
    assert loudness_of(sums["other"]) == pytest.approx(loudness_of(sums["bass"]), abs=0.1)
    pianos = [stem for stem in stems if stem.program == 0]
    alone = loudness_of(soundfile.read(tmp_path / "c" / pianos[0].path, always_2d=True)[0])
    assert loudness_of(sums["other"]) - alone == pytest.approx(20 * math.log10(2), abs=0.1)


def test_a_song_without_a_group_keeps_the_others_relation(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", ((33, 1), (0, 9)))
    balance = constant(tmp_path, -8, -4, -1)
    how = ("--no-band", "--balance", balance)
    (song,), stems = rendered(here, tmp_path / "midi", tmp_path / "c", *how)
    assert json.loads(song.balance or "") == {"drums": -8.0, "bass": -4.0}
    sums = {group: loudness_of(a) for group, a in group_sums(tmp_path / "c", stems).items()}
    assert sums["bass"] - sums["drums"] == pytest.approx(4.0, abs=0.1)
    assert sums["bass"] == pytest.approx(-13 + song.overall_gain_db, abs=0.1)


def test_stems_of_equal_loudness_are_the_default_and_record_no_balance(
    make_song, tmp_path: Path, here
) -> None:
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    (one,), stems = rendered(here, tmp_path / "midi", tmp_path / "a")
    (other,), others = rendered(here, tmp_path / "midi", tmp_path / "b", "--balance", "slakh")
    assert (one.balance, [stem.balance_lu for stem in stems]) == (None, [None] * len(stems))
    assert [stem.sha256 for stem in stems] == [stem.sha256 for stem in others]
    assert one.metadata_sha256 == other.metadata_sha256


def test_a_limited_gain_is_recorded_and_valid(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    how = ("--balance", "real", "--max-gain", 3)
    _, stems = rendered(here, tmp_path / "midi", tmp_path / "c", *how)
    assert any(stem.is_gain_limited for stem in stems)
    assert all(stem.gain_db <= 3 for stem in stems)


@pytest.mark.slow
def test_workers_write_the_same_bytes(make_song, tmp_path: Path, here) -> None:
    for k in range(3):
        make_song(tmp_path / "midi" / f"{k}.mid", PARTS, seed=k)
    hashes = []
    for jobs in (0, 2):
        corpus = tmp_path / str(jobs)
        how = ("--balance", "real", "--drums", "joined", "--sample-rate", RATE, "--min-notes", 1)
        done = here("render", tmp_path / "midi", corpus, "--jobs", jobs, *how)
        assert done.returncode == 0, done.stderr
        hashes.append([song.mix_sha256 for song in records(corpus)[0]])
    assert hashes[0] == hashes[1]


def test_levels_do_not_depend_on_other_songs(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "one" / "a.mid", PARTS, seed=1)
    make_song(tmp_path / "two" / "a.mid", PARTS, seed=1)
    make_song(tmp_path / "two" / "b.mid", PARTS, seed=2)
    (alone,), _ = rendered(here, tmp_path / "one", tmp_path / "c1", "--balance", "real")
    both, _ = rendered(here, tmp_path / "two", tmp_path / "c2", "--balance", "real")
    (same,) = (song for song in both if song.song_id == alone.song_id)
    (new,) = (song for song in both if song.song_id != alone.song_id)
    assert same.mix_sha256 == alone.mix_sha256
    assert same.balance == alone.balance != new.balance


def test_another_balance_is_another_corpus(make_song, tmp_path: Path, here) -> None:
    """Also where the file has the same name."""
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    balance = constant(tmp_path, -6, -6, -6)
    rendered(here, tmp_path / "midi", tmp_path / "c", "--balance", balance)
    header = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert header["balance"]["bass"] == {"50": -6.0}
    constant(tmp_path, -6, -5, -6)
    done = here("render", tmp_path / "midi", tmp_path / "c", *OPTIONS, "--balance", balance)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--balance", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--balance", ""), "path is empty"),
        (
            ("--balance", "real", "--mix-source", "unsplit", "--patch-choice", "program"),
            "--balance cannot be with --mix-source unsplit",
        ),
        (("--balance", "real", "--renditions", 2), "--balance: stems of renditions keep"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    make_song, tmp_path: Path, here, options, complaint: str
) -> None:
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    done = here("render", tmp_path / "midi", tmp_path / "c", "--jobs", 0, *options)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_validate_finds_levels_that_are_not_as_recorded(make_song, tmp_path: Path, here) -> None:
    make_song(tmp_path / "midi" / "song.mid", PARTS)
    corpus = tmp_path / "c"
    (song,), _ = rendered(here, tmp_path / "midi", corpus, "--balance", "real")
    drawn = json.loads(song.balance or "")
    checked = next(iter(plan_validation(Corpus(corpus))))
    for text, complaint in (
        (json.dumps({**drawn, "bass": drawn["bass"] - 1}), "balance is not that of its group"),
        ("{", "balance is no JSON"),
        ("{}", "balance.* is missing"),
    ):
        finding = validate_song(replace(checked, song=replace(song, balance=text)))
        assert re.search(complaint, finding.offence or "")
    bass = drawn["bass"] - 1
    lowered = tuple(
        replace(stem, balance_lu=bass) if stem.inst_class == "Bass" else stem
        for stem in checked.stems
    )
    spoilt = replace(song, balance=json.dumps({**drawn, "bass": bass}))
    finding = validate_song(replace(checked, song=spoilt, stems=lowered))
    assert re.search("together have .* LUFS, their level is", finding.offence or "")
    assert validate_song(checked).offence is None


@pytest.mark.parametrize("stems", [["drums"], ["drums", "bass", "other", "other"]])
def test_levels_are_reached_whatever_the_sums_are(stems: list[str]) -> None:
    """A closed form: sums that are 5 dB above what independent stems would have."""
    wanted = wanted_levels({"drums": -3.0, "bass": -4.0, "other": -8.0}, stems)
    assert max(wanted.values()) == 0.0

    def k_power_at(group: str, levels_lu: list[float]) -> np.ndarray:
        power = sum(
            10 ** ((-20 + level + 0.691) / 10)
            for own, level in zip(stems, levels_lu, strict=True)
            if own == group
        )
        return np.full(100, power * 10**0.5)

    levels = reach_levels(stems, wanted, -20.0, k_power_at)
    for group, level in zip(stems, levels, strict=True):
        n = stems.count(group)
        assert level == pytest.approx(wanted[group] - 10 * math.log10(n) - 5, abs=0.01)


def drum_song(path: Path, n_tracks: int) -> Path:
    """Write a song whose bass plays all the time, and whose drums are spread over tracks."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, key in ((0, 60), (1, 40), (2, 64)):
        program = {0: 0, 1: 33, 2: 27}[channel]
        track = mido.MidiTrack([mido.Message("program_change", program=program, channel=channel)])
        for k in range(32):
            message = {"channel": channel, "note": key + k % 5}
            track.append(mido.Message("note_on", velocity=90, **message))
            track.append(mido.Message("note_off", time=120, **message))
        file.tracks.append(track)
    for key in (36, 38, 42)[:n_tracks]:
        track = mido.MidiTrack()
        for _ in range(32):
            track.append(mido.Message("note_on", velocity=90, channel=9, note=key))
            track.append(mido.Message("note_off", time=120, channel=9, note=key))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def test_a_lone_hi_hat_is_no_longer_as_loud_as_the_bass(tmp_path: Path, here) -> None:
    drum_song(tmp_path / "midi" / "song.mid", 3)
    loudness = {}
    for drums in ("tracks", "joined"):
        corpus = tmp_path / drums
        _, stems = rendered(here, tmp_path / "midi", corpus, "--drums", drums)
        kits = [stem for stem in stems if stem.inst_class == "Drums"]
        assert len(kits) == {"tracks": 3, "joined": 1}[drums]
        assert sum(stem.n_notes for stem in kits) == 96
        bass = next(stem for stem in stems if stem.inst_class == "Bass")
        mix = sum(soundfile.read(corpus / stem.path)[0] for stem in kits)
        loudness[drums] = loudness_of(np.asarray(mix)) - loudness_of(
            soundfile.read(corpus / bass.path)[0]
        )
    assert loudness["tracks"] > 3
    assert loudness["joined"] == pytest.approx(0, abs=0.1)


def test_the_band_rule_counts_the_notes_of_joined_drums(tmp_path: Path, here) -> None:
    """32 notes a track are too few; a drummer with 96 is not."""
    drum_song(tmp_path / "midi" / "song.mid", 3)
    how = ("--band", "drums", "--min-notes", 50, "--jobs", 0, "--json")
    for drums, n_fitting in (("tracks", 1), ("joined", 1)):
        done = here("scan", tmp_path / "midi", *how, "--drums", drums)
        assert done.returncode == 0, done.stderr
        scanned = json.loads(done.stdout)
        assert scanned["n_fitting"] == n_fitting
        n_kits = sum(part["is_drum"] for part in scanned["songs"][0]["parts"])
        assert n_kits == {"tracks": 3, "joined": 1}[drums]


def test_min_stem_notes_count_the_notes_of_joined_drums(tmp_path: Path, here) -> None:
    drum_song(tmp_path / "midi" / "song.mid", 3)
    how = ("--min-stem-notes", 33, "--no-band", "--drums")
    done = here("render", tmp_path / "midi", tmp_path / "a", *OPTIONS, *how, "tracks")
    assert done.returncode == 1  # no part has so many
    _, stems = rendered(here, tmp_path / "midi", tmp_path / "b", *how, "joined")
    assert [stem.inst_class for stem in stems] == ["Drums"]


def test_renditions_join_drums_too(tmp_path: Path, here) -> None:
    drum_song(tmp_path / "midi" / "song.mid", 3)
    how = ("--renditions", 1, "--jobs", 0, "--headroom", 30, "--sample-rate", RATE)
    for drums, n_stems in (("tracks", 6), ("joined", 4)):
        corpus = tmp_path / drums
        done = here("render", tmp_path / "midi", corpus, *how, "--drums", drums, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n_stems"] == n_stems
        assert here("validate", corpus, "--jobs", 0).returncode == 0
