"""What rendering will take is said before, and refused where the disk has no room."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.records import Part, ScannedSong
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.songs.forecast import Forecast, forecast
from stemsmith.render.songs.job import RenderJob


def job(duration_s: float, n_parts: int, n_stems: int) -> RenderJob:
    parts = tuple(Part(0, k % 16, 0, 0, 0, 9, "") for k in range(n_parts))
    song = ScannedSong("a.mid", "0" * 32, "0" * 64, duration_s, 9 * n_parts, parts, ())
    patch = SimpleNamespace(name="x")
    patches = tuple(patch if k < n_stems else None for k in range(n_parts))
    return RenderJob(song, "Track00001", "train", patches, "", "", (), RenderConfig())  # type: ignore[arg-type]


def test_an_hour_of_ten_stems_takes_three_quarters_of_a_gigabyte() -> None:
    expected = forecast([job(3600 - 5, 12, 10)])
    assert expected.mixture_s == 3600
    assert expected.n_bytes / 1e9 == pytest.approx(0.75, rel=0.02)
    assert expected.core_s == pytest.approx(11 * 10)


def test_songs_add_up_and_the_largest_is_staged() -> None:
    small, large = job(195, 8, 8), job(1195, 40, 40)
    both = forecast([small, large])
    parts = [forecast([one]) for one in (small, large)]
    assert both.n_bytes == pytest.approx(sum(one.n_bytes for one in parts), abs=1)
    assert [one.n_staged_bytes for one in parts] == [0, 4 * 1200 * 44100 * 40]
    assert both.n_staged_bytes == parts[1].n_staged_bytes
    assert forecast([]).n_songs == 0


@pytest.mark.parametrize(
    ("core_s", "n_workers", "words"),
    [
        (59, 0, "less than a minute"), (600, 1, "10 min"), (600, 5, "2 min"),
        (36000, 2, "5 h"), (360000, 1, "100 h"),
    ],
)  # fmt: skip
def test_one_line_says_it(core_s: float, n_workers: int, words: str) -> None:
    line = Forecast(20, 3600 * 2.5, 1_900_000_000, 0, core_s).sentence(n_workers)
    assert line == f"20 songs, 2.5 h of mixture: about 1.9 GB and {words}"
    assert Forecast(1, 36, 10_000_000, 0, 1).sentence(1).startswith("1 song, 0.01 h of mixture")


def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=3_000_000_000, free=2_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    Forecast(1, 1, 1_500_000_000, 400_000_000, 1).check_room(tmp_path / "a" / "b")
    with pytest.raises(UsageError, match=r"b: the corpus needs about 2\.1 GB, and 2 GB are free"):
        Forecast(1, 1, 1_500_000_000, 600_000_000, 1).check_room(tmp_path / "a" / "b")
