"""Cross-validation from Python as docs/evaluation.md has it: folds, mixtures, runs, one score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stemsmith

pytest.importorskip("lightning")
torch = pytest.importorskip("torch")

RATE = 8000
SOURCES = ("vocals", "drums")
SIZES = {
    "sample_rate": RATE, "n_fft": 64, "hop": 16, "segment_frames": 16, "n_latent": 8, "n_blocks": 1,
}  # fmt: skip


@pytest.fixture
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other where a core is busy
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_every_song_is_separated_by_a_run_that_has_not_seen_it(tmp_path: Path) -> None:
    """Brunner et al. 2019, section V-C, with two folds of two songs and one epoch each."""
    rng = np.random.default_rng(0)
    for song in ("Anna - One", "Bert - Two"):
        folder = tmp_path / "songs" / "train" / song
        folder.mkdir(parents=True)
        for source in SOURCES:
            soundfile.write(folder / f"{source}.wav", 0.1 * rng.standard_normal(3 * RATE), RATE)
    dataset, results = f"folder:{tmp_path / 'songs'}", tmp_path / "results"
    scored = {"splits": ["train"], "n_folds": 2, "is_mono": True, "window_s": 1, "hop_s": 0.5}
    mixture = stemsmith.evaluate_system("mixture", dataset, results / "mixture", **scored)
    for fold in (1, 2):
        songs = [song for song, own in mixture.summary["folds"].items() if own == fold]
        mixed = stemsmith.mix(
            dataset, tmp_path / f"m{fold}", taxonomy="musdb", left_out=songs, n_mixtures=2, clip_s=2
        )
        trained = {source.song_id for row in mixed.records("train") for source in row.sources}
        assert trained and not any(song in name for song in songs for name in trained)
        stemsmith.train_model(
            mixed, tmp_path / f"r{fold}", model="resnet", targets=SOURCES, settings=SIZES,
            validation=None, epochs=1, batch_size=1, device="cpu",
        )  # fmt: skip
    system = f"run:{tmp_path}/r{{fold}}"
    found = stemsmith.evaluate_system(system, dataset, results / "r", overlap=0.3, **scored)
    assert found.header["n_songs"] == 2 and found.summary["folds"] == mixture.summary["folds"]
    assert [time.song for time in found.times] == ["Anna - One", "Bert - Two"]
    assert found.summary["windows"]["drums"]["SDR"]["n"] == 2 * 5
