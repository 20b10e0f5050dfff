"""Scores of songs: where they lie, whose parts are whose, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import pytest
from stemsmith.evaluate.nmf.scores import (
    ScorePart,
    parts_of_targets,
    program_of,
    read_parts,
    score_of_song,
    score_of_stem,
)
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

Tracks = Sequence[tuple[str, int | None]]


def write_midi(path: Path, tracks: Tracks, pitch: int = 60) -> Path:
    """Write a part for each name and program: one note of a second, a semitone apart."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, (name, program) in enumerate(tracks):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        if program is not None:
            track.append(mido.Message("program_change", channel=channel, program=program))
        key = pitch + channel
        track.append(mido.Message("note_on", channel=channel, note=key, velocity=80, time=480))
        track.append(mido.Message("note_off", channel=channel, note=key, time=960))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def test_midi_and_text_say_the_same(tmp_path: Path) -> None:
    midi = read_parts(write_midi(tmp_path / "violin.mid", [("solo", 40)]))[0]
    text_file = tmp_path / "violin.txt"
    text_file.write_text("0.5,1.5,C4\n")
    text = read_parts(text_file, ("violin",))[0]
    for part in (midi, text):
        assert (part.program, part.kit) == (40, 0)
        assert (part.pitch.tolist(), part.onset_s.tolist(), part.offset_s.tolist()) == (
            [60],
            [0.5],
            [1.5],
        )


def test_what_is_no_score_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"no MIDI")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.txt").write_text("0,1,C4")
    with pytest.raises(UsageError, match=r"a\.mid: cannot be used as a score"):
        read_parts(tmp_path / "a.mid")
    with pytest.raises(UsageError, match=r"b\.txt: has no notes"):
        read_parts(tmp_path / "b.txt", ("violin",))
    with pytest.raises(UsageError, match=r"c\.txt: nobody knows what instrument hum or other is"):
        read_parts(tmp_path / "c.txt", ("hum", "other"))


@pytest.mark.parametrize(
    "place", ["One/violin.mid", "One/One-violin.txt", "One/violin_g.txt", "MIDI/violin.mid"]
)
def test_a_stem_has_its_score_beside_it(tmp_path: Path, place: str) -> None:
    stem = tmp_path / "One" / "One-violin.wav"
    assert score_of_stem(stem, "One", None) is None
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    assert score_of_stem(stem, "One", None) == tmp_path / place


def test_a_folder_of_scores_has_one_of_each_stem_or_song(tmp_path: Path) -> None:
    stem, scores = tmp_path / "One" / "violin.wav", tmp_path / "scores"
    assert score_of_song(stem, "One", None) is None
    assert score_of_song(stem, "One", scores) is None
    for place in ("One/any name.mid", "One/One.mid"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
        assert score_of_song(stem, "One", None) == tmp_path / place
    (scores / "One").mkdir(parents=True)
    assert score_of_song(stem, "One", scores) is None
    for place in ("One/x.mid", "One.mid"):
        (scores / place).touch()
        assert score_of_song(stem, "One", scores) == scores / place
    assert score_of_stem(stem, "One", scores) is None
    (scores / "One" / "violin.mid").touch()
    assert score_of_stem(stem, "One", scores) == scores / "One" / "violin.mid"


BACH10 = ("violin", "clarinet", "saxophone", "bassoon")


@pytest.mark.parametrize(
    "tracks",
    [
        [("Soprano", 40), ("Alto", 71), ("Tenor", 66), ("Bass", 70)],  # by program
        [("bassoon", 0), ("clarinet", 0), ("tenor sax", 0), ("Violin", 0)],  # by name
        [("", None)] * 4,  # by their order
    ],
    ids=["program", "name", "order"],
)
def test_parts_are_given_to_their_targets(tmp_path: Path, tracks: Tracks) -> None:
    path = write_midi(tmp_path / "song.mid", tracks)
    found = parts_of_targets(path, BACH10, TAXONOMIES["bach10"])
    pitches = {target: parts[0].pitch.tolist() for target, parts in found.items()}
    is_upside_down = tracks[0][0] == "bassoon"
    order = BACH10 if not is_upside_down else (BACH10[3], BACH10[1], BACH10[2], BACH10[0])
    assert pitches == {target: [60 + k] for k, target in enumerate(order)}
    if not tracks[0][0]:
        assert [found[target][0].program for target in BACH10] == [40, 71, 66, 70]


def test_a_target_without_a_part_is_named(tmp_path: Path) -> None:
    path = write_midi(tmp_path / "song.mid", [("", 40), ("", 71)])
    with pytest.raises(UsageError, match=r"no part of saxophone; there is Violin, Clarinet"):
        parts_of_targets(path, BACH10, TAXONOMIES["bach10"])


@pytest.mark.parametrize(
    ("name", "program"),
    [
        *(("violin", 40), ("Tenor Sax", 66), ("saxophone", 66), ("bass", 33), ("piano", 0)),
        *(("drums", 128), ("synth-lead", 80), ("guitar", 24), ("other", None), ("", None)),
    ],
)
def test_classes_name_instruments(name: str, program: int | None) -> None:
    assert program_of(name) == program


def test_a_part_goes_round_with_its_stem() -> None:
    part = ScorePart(
        "", 0, 0, np.array([60, 62]), np.array([0.0, 8.0]), np.array([1.0, 9.5])
    )  # fmt: skip
    moved = part.shifted(1.0, 10.0)
    rows = zip(moved.pitch, moved.onset_s, moved.offset_s, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [(60, 1, 2), (62, 9, 10.5), (62, 0, 0.5)]
