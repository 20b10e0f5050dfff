"""What renditions will take is said before, and refused where the disk has no room."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Quiet
from stemsmith.render.midi.playing import parse_dynamics
from stemsmith.render.renditions.config import RenditionConfig, parse_tempos
from stemsmith.render.renditions.corpus import RenditionDestination
from stemsmith.render.renditions.forecast import RenditionForecast, forecast_renditions
from stemsmith.render.renditions.plan import plan_renditions
from stemsmith.render.workflow import make_bank, render_renditions, scan

PF = parse_dynamics("p,f")
TWO_SHIFTS: dict[str, Any] = {"n_renditions": None, "shifts_s": (0.0, 0.1)}


def expected(midi: Path, **factors: Any) -> RenditionForecast:
    plan = plan_renditions(scan(midi).found, midi, RenditionConfig(**factors), make_bank())
    jobs = RenditionDestination(midi / "corpus", plan).open_jobs()
    return forecast_renditions(jobs, plan)


@pytest.fixture
def duet(tmp_path: Path, make_song) -> Path:
    """Return a folder with a score of two parts."""
    folder = tmp_path / "duet"
    make_song(folder / "duet.mid", [(40, 0), (42, 1)], n_notes=12)
    return folder


def test_every_stem_counts_once_however_many_renditions_use_it(duet: Path) -> None:
    one = expected(duet, sample_rate=44100, tail_s=1.0)
    duration_s = scan(duet).found[0].duration_s  # type: ignore[union-attr]
    assert one.n_stems == 2
    assert one.audio_s == pytest.approx(2 * (duration_s + 1))
    assert one.n_bytes == pytest.approx(1.1 * 44100 * one.audio_s, abs=1)
    assert expected(duet, sample_rate=44100, tail_s=1.0, **TWO_SHIFTS) == one
    louder = expected(duet, sample_rate=44100, tail_s=1.0, n_renditions=None, dynamics=PF)
    assert (louder.n_stems, louder.audio_s) == (4, pytest.approx(2 * one.audio_s))
    late = expected(duet, sample_rate=44100, tail_s=1.0, jitter_s=0.1)
    assert late.audio_s == pytest.approx(one.audio_s + 2 * 0.3)


@pytest.mark.parametrize(
    ("tempo", "mode", "factor"),
    [("0.5", "scale", 0.5), ("60", "scale", 0.5), ("240", "replace", 2.0)],
)
def test_lengths_are_those_of_the_tempo(duet: Path, tempo: str, mode: str, factor: float) -> None:
    """The score is at 120 BPM."""
    one = expected(duet, tail_s=0.0)
    other = expected(duet, tail_s=0.0, tempos=parse_tempos(tempo), tempo_mode=mode)
    assert other.audio_s == pytest.approx(one.audio_s / factor)


def test_a_score_that_is_gone_is_as_long_as_it_was(duet: Path, tmp_path: Path) -> None:
    midi = Path(shutil.copytree(duet, tmp_path / "midi"))
    config = RenditionConfig(tempos=parse_tempos("60"))
    plan = plan_renditions(scan(midi).found, midi, config, make_bank())
    jobs = RenditionDestination(tmp_path / "c", plan).open_jobs()
    (midi / "duet.mid").unlink()
    assert forecast_renditions(jobs, plan).audio_s == expected(duet).audio_s


@pytest.mark.parametrize(
    ("forecast", "n_workers", "line"),
    [
        (RenditionForecast(36, 9000, 330_000_000, 1200), 4,
         "36 stems, 2.5 h of audio: about 0.33 GB and 5 min"),
        (RenditionForecast(1, 36, 10_000_000, 1), 0,
         "1 stem, 0.01 h of audio: about 0.01 GB and less than a minute"),
    ],
)  # fmt: skip
def test_one_line_says_it(forecast: RenditionForecast, n_workers: int, line: str) -> None:
    assert forecast.sentence(n_workers) == line


class Notes(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def test_it_is_said_before_rendering_and_not_of_what_is_done(duet: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"sample_rate": 8000, "tail_s": 0.5, "headroom_db": 30}
    first, again = Notes(), Notes()
    render_renditions(duet, tmp_path / "c", progress=first, **options)
    render_renditions(duet, tmp_path / "c", progress=again, **options)
    assert first.said == [expected(duet, **options).sentence(0)]
    assert again.said == []


def test_a_disk_without_room_is_refused(
    duet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10**9, free=expected(duet).n_bytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UsageError, match=r"c: the corpus needs about .* or ask for fewer --rend"):
        render_renditions(duet, tmp_path / "c")
    assert not (tmp_path / "c").exists()
