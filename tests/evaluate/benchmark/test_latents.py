"""Sources in the latent space of a ResNet: known places, the same bytes, bad input."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stemsmith.evaluate.benchmark.latent_options import LatentConfig, LatentOptions
from stemsmith.manifests.errors import UsageError

pytest.importorskip("sklearn")
torch = pytest.importorskip("torch")

from stemsmith.evaluate.benchmark import latents  # noqa: E402
from stemsmith.train.models.architectures.resnet import ResNet, ResNetConfig  # noqa: E402

RATE = 8000
T = 16  # frames of a segment: 16 * 16 + 48 samples
TARGETS = ("bass", "drums")
OLD = Path(__file__).parents[2] / "data" / "0.1"


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of a second, of a low and a high noise; in the second one drums end half way."""
    root = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for song in ("One", "Two"):
        bass = np.convolve(rng.standard_normal(RATE), np.ones(20) / 20, "same")
        drums = np.diff(rng.standard_normal(RATE + 1)) / 4
        drums[RATE // 2 :] *= song == "One"
        for name, audio in (("bass", bass), ("drums", drums)):
            (root / song).mkdir(exist_ok=True)
            soundfile.write(root / song / f"{name}.wav", 0.5 * audio, RATE, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a network that has learned nothing."""
    from stemsmith.train import run as trained
    from stemsmith.train.checkpoints import AtomicCheckpointIO
    from stemsmith.train.destination import RunDestination
    from stemsmith.train.models.registry import make_model

    config = ResNetConfig(
        targets=TARGETS, sample_rate=RATE, n_fft=64, hop=16, segment_frames=T, n_latent=8,
        n_blocks=1,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = RunDestination(tmp_path_factory.mktemp("runs") / "resnet")
    folder.checkpoints.mkdir(parents=True)
    state = make_model("resnet", config).state_dict()
    weights = {"state_dict": {f"model.{key}": value for key, value in state.items()}}
    AtomicCheckpointIO().save_checkpoint(weights, folder.checkpoint(trained.BEST))
    content = {"model": "resnet", "settings": dataclasses.asdict(config)}
    text = json.dumps({"version": trained.VERSION, "config": content})
    (folder.root / "run.json").write_text(text)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder.root
    torch.set_num_threads(n_threads)


def test_keywords_are_the_fields() -> None:
    fields = {field.name for field in dataclasses.fields(LatentConfig)}
    assert set(LatentOptions.__annotations__) == fields


@pytest.mark.parametrize(
    "options", [{"splits": ["dev"]}, {"n_segments": 0}, {"perplexity": 1}, {"seed": -1}]
)
def test_values_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--"):
        LatentConfig(**options)  # type: ignore[arg-type]


def test_decoders_are_given_the_latents() -> None:
    config = ResNetConfig(
        targets=TARGETS, n_fft=64, hop=16, segment_frames=T, n_latent=8, n_blocks=1
    )
    model = ResNet(config).eval()
    spectra = torch.randn(2, 33, T, dtype=torch.complex64)
    with torch.inference_mode():
        found = model.latents(spectra)
        assert found.shape == (2, 2, 4, 7, 4)  # Table I: J, K / J, (F - 5) / 4, T / 4
        decoded = model.decoders[0](found[:, 1])
        expected = torch.complex(decoded[:, 0], decoded[:, 1])
        torch.testing.assert_close(model(spectra)[:, 1], expected)


def test_sources_that_sound_are_points(songs: Path, run: Path, tmp_path: Path, here) -> None:
    command = ("latents", run, f"folder:{songs}", "--segments", 8, "--perplexity", 5)
    files = ("--csv", tmp_path / "points.csv", "--plot", tmp_path / "map.svg")
    done = here(*command, *files, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = list(csv.DictReader((tmp_path / "points.csv").read_text().splitlines()))
    assert len(rows) == found["n_points"]
    points = {(row["song"], row["target"], float(row["start_s"])) for row in rows}
    starts = sorted(start for song, target, start in points if (song, target) == ("One", "bass"))
    assert len(starts) == 8 and starts[0] == 0 and starts[-1] <= 1 - T * 16 / RATE
    assert {start for song, target, start in points if (song, target) == ("Two", "drums")} == {
        start for start in starts if start < 0.5
    }
    assert found["is_decoder_shared"] and -1 <= found["silhouette"] <= 1
    assert set(found["silhouettes"]) == set(TARGETS)
    svg = (tmp_path / "map.svg").read_text()
    assert svg.startswith("<svg ") and "a shared decoder" in svg and "bass" in svg
    again = {path: path.read_bytes() for path in (tmp_path / "points.csv", tmp_path / "map.svg")}
    assert here(*command, *files, "-q").returncode == 0
    assert {path: path.read_bytes() for path in again} == again


def test_silhouettes_are_rousseeuw_s(songs: Path, run: Path) -> None:
    found = latents.map_latents(run, f"folder:{songs}", n_segments=6, perplexity=3)
    places = np.array([(point.x, point.y) for point in found.points])
    names = np.array([point.target for point in found.points])
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    values = []
    for k, name in enumerate(names):
        own, other = names == name, names != name
        a = distances[k, own].sum() / (own.sum() - 1)
        b = distances[k, other].mean()
        values.append((b - a) / max(a, b))
    assert found.map_silhouette == pytest.approx(np.mean(values), abs=1e-9)
    weights = [np.mean(names == target) for target in found.silhouettes]
    assert found.silhouette == pytest.approx(np.dot(weights, list(found.silhouettes.values())))


def test_what_lies_apart_is_drawn_apart() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 300)) + np.repeat([[0.0], [3.0]], 20, axis=0)
    names = ["a"] * 20 + ["b"] * 20
    config = LatentConfig(perplexity=5)
    places = latents._embedded(vectors, config)
    assert latents._silhouettes(places, names).mean() > 0.5
    assert np.array_equal(places, latents._embedded(vectors, config))
    shuffled = rng.permutation(names).tolist()
    assert latents._silhouettes(places, shuffled).mean() < 0.2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--perplexity", 500), "--perplexity 500: below the number of points"),
        (("--taxonomy", "vocals-accompaniment"), "only no target here"),
        (("--plot", "map.png"), "call it map.svg"),
        (("--csv", "no/points.csv"), "its folder is not there"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    songs: Path, run: Path, here, arguments: tuple[object, ...], text: str
) -> None:
    done = here("latents", run, f"folder:{songs}", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert text in done.stderr


def test_other_files_are_not_written_over(songs: Path, run: Path, tmp_path: Path, here) -> None:
    mine = tmp_path / "thesis.svg"
    mine.write_text("mine")
    done = here("latents", run, f"folder:{songs}", "--plot", mine)
    assert done.returncode == 2 and "not of an earlier map" in done.stderr
    assert mine.read_text() == "mine"


def test_a_model_without_latents_says_so(songs: Path, here) -> None:
    done = here("latents", OLD / "run", f"folder:{songs}")
    assert done.returncode == 2 and "resnet has" in done.stderr, done.stderr
