"""The bundled scores: made by `examples/compose.py`, and good material for a corpus."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pretty_midi
import pytest
from stemsmith.manifests.programs import DRUMS, OMITTED_PROGRAMS
from stemsmith.render.midi.score import Score, read_score

ROOT = Path(__file__).resolve().parents[2]
SCORES = ROOT / "cli" / "scores"
BANDS = sorted(SCORES.glob("band_*.mid"))
CHORALES = sorted(SCORES.glob("chorale_*.mid"))
SECTIONS = {  # what every band song of Slakh has
    "piano": range(8),
    "guitar": range(24, 32),
    "bass": range(32, 38),
    "drums": range(DRUMS, DRUMS + 1),
}
QUARTET = [40, 71, 66, 70]  # violin, clarinet, tenor sax, bassoon
MIN_NOTES = 50  # of an instrument that makes a song a band song

Span = tuple[float, float]
# A way to read a score: how long it lasts, and the program and the sounding times of each part.
Reading = tuple[float, list[tuple[int, list[Span]]]]


def read_ours(path: Path) -> Reading:
    score = read_score(path.read_bytes())
    parts = []
    for k, part in enumerate(score.parts):
        notes = score.notes(k)
        onsets = score.tempo_map.seconds(notes.onset_tick).tolist()
        offsets = score.tempo_map.seconds(notes.offset_tick).tolist()
        parts.append((part.program, list(zip(onsets, offsets, strict=True))))
    last_s = max(offset for _, spans in parts for _, offset in spans)
    assert score.duration_s >= last_s  # a pedal may hold notes after the last key is released
    return last_s, parts


def read_theirs(path: Path) -> Reading:
    midi = pretty_midi.PrettyMIDI(str(path))
    parts = [
        (
            DRUMS if instrument.is_drum else instrument.program,
            sorted((note.start, note.end) for note in instrument.notes),
        )
        for instrument in midi.instruments
    ]
    return max(span[1] for _, spans in parts for span in spans), parts


each_band = pytest.mark.parametrize("path", BANDS, ids=lambda path: path.stem)
each_chorale = pytest.mark.parametrize("path", CHORALES, ids=lambda path: path.stem)
each_reader = pytest.mark.parametrize("read", [read_ours, read_theirs])


def overlaps(spans: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Return the neighbours, by onset, that sound at once; a microsecond is rounding."""
    return [(one, two) for one, two in pairwise(spans) if two[0] < one[1] - 1e-6]


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    return {path.name: read_score(path.read_bytes()) for path in BANDS + CHORALES}


def test_script_writes_the_bundled_files_byte_for_byte(tmp_path: Path) -> None:
    script = ROOT / "examples" / "compose.py"
    command = [sys.executable, "-W", "error", str(script), str(tmp_path / "new")]
    # From a folder of its own: nothing is found by way of the working directory.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    bundled = {path.name: path.read_bytes() for path in SCORES.glob("*.mid")}
    assert sorted(made) == sorted(bundled)
    assert [name for name in made if made[name] != bundled[name]] == []


def test_there_are_enough_scores_of_both_kinds() -> None:
    assert len(BANDS) >= 8
    assert len(CHORALES) >= 4
    assert sorted(BANDS + CHORALES) == sorted(SCORES.glob("*.mid"))


def test_no_score_needs_repairs(scores: dict[str, Score]) -> None:
    assert {name: score.repairs for name, score in scores.items() if score.repairs} == {}


def test_no_two_scores_are_the_same_music(scores: dict[str, Score]) -> None:
    assert len({score.notes_sha256() for score in scores.values()}) == len(scores)


def test_one_band_score_has_one_part_that_slakh_omits(scores: dict[str, Score]) -> None:
    omitted = {
        name: sum(part.program in OMITTED_PROGRAMS for part in score.parts)
        for name, score in scores.items()
    }
    with_omitted = {name: n_parts for name, n_parts in omitted.items() if n_parts}
    assert list(with_omitted.values()) == [1]
    assert next(iter(with_omitted)).startswith("band_")


@each_reader
@each_band
def test_band_score_is_a_short_song_of_a_whole_band(
    path: Path, read: Callable[[Path], Reading]
) -> None:
    duration_s, parts = read(path)
    assert 15 <= duration_s <= 30
    for section, programs in SECTIONS.items():
        n_notes = [len(spans) for program, spans in parts if program in programs]
        assert max(n_notes, default=0) >= MIN_NOTES, section


@each_reader
@each_chorale
def test_chorale_has_four_parts_of_one_voice(path: Path, read: Callable[[Path], Reading]) -> None:
    duration_s, parts = read(path)
    assert 15 <= duration_s <= 35
    assert [program for program, _ in parts] == QUARTET
    for program, spans in parts:
        assert overlaps(spans) == [], program


@pytest.mark.parametrize("path", BANDS + CHORALES, ids=lambda path: path.stem)
def test_pretty_midi_hears_the_same_parts(path: Path) -> None:
    (duration_s, ours), (other_duration_s, theirs) = read_ours(path), read_theirs(path)
    assert duration_s == pytest.approx(other_duration_s)
    counts = [sorted((program, len(spans)) for program, spans in parts) for parts in (ours, theirs)]
    assert counts[0] == counts[1]
