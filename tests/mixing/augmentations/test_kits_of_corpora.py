"""Kits of several songs as audio: onsets of swapped pieces lie on the beats of the anchor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
from stemsmith.manifests.corpus import Corpus
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.workflow import validate_mixtures

RATE = 44100
KEYS = {"kick": 36, "snare": 38, "hi-hat": 42}


def write_groove(path: Path, bpm: float, seed: int, n_bars: int = 12) -> None:
    """Write a kick on 1 and 3, a snare on 2 and 4, a hi-hat on eighths, and a bass."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=480)
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))])
    conductor.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    file.tracks.append(conductor)
    hits = []
    for bar in range(n_bars):
        for beat in range(4):
            tick = (4 * bar + beat) * 480
            hits.append((tick, KEYS["snare" if beat % 2 else "kick"]))
            hits += [(tick, KEYS["hi-hat"]), (tick + 240, KEYS["hi-hat"])]
    for channel, notes in (
        (9, hits),
        (1, [(480 * k, int(rng.integers(36, 48))) for k in range(4 * n_bars)]),
    ):
        track, now = mido.MidiTrack(), 0
        track.append(
            mido.Message("program_change", program=0 if channel == 9 else 33, channel=channel)
        )
        events = [(t, "note_on", k) for t, k in notes] + [
            (t + 120, "note_off", k) for t, k in notes
        ]
        for tick, kind, key in sorted(events):
            track.append(
                mido.Message(
                    kind,
                    note=key,
                    velocity=int(rng.integers(60, 110)) if kind == "note_on" else 0,
                    channel=channel,
                    time=tick - now,
                )
            )
            now = tick
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)


@pytest.fixture(scope="module")
def grooves(tmp_path_factory: pytest.TempPathFactory, here: Callable) -> Path:
    """Return a corpus of three grooves of one tempo and one of another, drums in pieces."""
    root = tmp_path_factory.mktemp("grooves")
    for k, bpm in enumerate((100, 100, 100, 117)):
        write_groove(root / "midi" / f"{k}.mid", bpm, k)
    done = here("render", root / "midi", root / "corpus", "--drum-pieces", "--splits", "4,0,0",
                "--no-band", "--sample-rate", RATE, "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root / "corpus"


def test_songs_say_their_tempo_and_meter(grooves: Path) -> None:
    songs = Corpus(grooves).song_records()
    assert sorted(song.tempo_bpm for song in songs) == pytest.approx([100, 100, 100, 117], rel=1e-5)
    assert {song.bar_quarters for song in songs} == {4.0}


def test_swapped_pieces_are_played_on_the_beats_of_the_anchor(
    grooves: Path, tmp_path: Path, here: Callable
) -> None:
    done = here("mix", grooves, tmp_path / "m", "--taxonomy", "drum-pieces", "--target", "kick",
                "--augment", "kit-swap", "--mixtures", 24, "--clip", 4, "--min-rms", -60,
                "--jobs", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    mixtures = Mixtures(tmp_path / "m")
    tempos = {f"corpus:{song.song_id}": song.tempo_bpm for song in Corpus(grooves).song_records()}
    n_swapped = n_onsets = 0
    for stored in mixtures:
        songs = {source.group: source.song_id for source in stored.record.sources}
        labels = stored.labels()
        kick = labels["kick"].onset[labels["kick"].is_onset_inside]
        tempo_bpm = tempos[songs["kick"]]
        beat = 60 / tempo_bpm * RATE
        for name in ("snare", "hi-hat"):
            n_swapped += songs[name] != songs["kick"]
            assert tempo_bpm < 101 or songs[name] == songs["kick"]
            onsets = labels[name].onset[labels[name].is_onset_inside]
            n_onsets += len(onsets)
            places = (onsets - kick[0]) / beat
            grid = places * (1 if name == "snare" else 2)
            assert np.abs(grid - np.rint(grid)).max(initial=0) * beat < 0.005 * RATE
            if name == "snare":  # on 2 and 4, between the kicks
                assert (np.rint(places).astype(int) % 2 == 1).all()
    assert n_swapped > 20
    assert n_onsets > 200
    assert validate_mixtures(mixtures).n_mixtures == 24


def test_kits_that_are_whole_cannot_be_swapped(
    grooves: Path, tmp_path: Path, here: Callable
) -> None:
    done = here("mix", grooves, tmp_path / "m", "--augment", "kit-swap", "--jobs", 0)
    assert done.returncode == 1
    assert "no stem is a piece of a drum kit" in done.stderr
    assert not (tmp_path / "m").exists()
