"""Corpora that are exported: a small stereo one, with pedals, bends and names of all the world."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest

NAME = "Żółć, noc <1> ночь"


def write_score(path: Path, seed: int = 0) -> Path:
    """Write two parts and drums; the piano's pedal holds notes, and the bass is bent."""
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)]))
    for program, channel, keys in ((0, 0, (60, 64, 60)), (33, 1, (40, 43, 45)), (0, 9, (36, 38))):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=f"part {channel}")])
        track.append(mido.Message("program_change", program=program, channel=channel))
        if channel == 0:
            track.append(mido.Message("control_change", control=64, value=100, channel=0))
        if channel == 1:
            for control, value in ((101, 0), (100, 0), (6, 12)):
                track.append(
                    mido.Message("control_change", control=control, value=value, channel=1)
                )
        for number, key in enumerate(keys):
            note = {"note": key + seed, "channel": channel} if channel != 9 else {"note": key}
            note["channel"] = channel
            track.append(mido.Message("note_on", velocity=90, **note))
            if channel == 1 and number == 1:
                track.append(mido.Message("pitchwheel", pitch=4096, channel=1, time=120))
                track.append(mido.Message("pitchwheel", pitch=0, channel=1, time=60))
            track.append(mido.Message("note_off", time=240, **note))
        if channel == 0:
            track.append(mido.Message("control_change", control=64, value=0, channel=0, time=480))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a stereo corpus of two songs, both for training; read only."""
    from stemsmith.render.workflow import render_corpus

    folder = tmp_path_factory.mktemp("stereo")
    for number in range(2):
        write_score(folder / "scores" / f"{NAME} {number}.mid", number)
    (folder / "scores" / "licences.tsv").write_text(".\tCC0-1.0\n")
    made = render_corpus(
        folder / "scores",
        folder / "c",
        band=None,
        min_notes=1,
        sample_rate=8000,
        tail_s=0.5,
        n_channels=2,
        drum_pieces=True,
        master="bus",
        splits="2,0,0",
        seed=1,
    )
    assert len(made) == 2
    return folder / "c"
