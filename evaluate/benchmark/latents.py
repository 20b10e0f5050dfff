"""Where the sources of mixtures lie in the latent space of a `ResNet`: Brunner et al., Fig. 3.

The network makes a latent representation of every source from the mixture alone. Section V-E maps
"the test set to the latent space" and draws it by t-SNE (van der Maaten and Hinton 2008), for a
shared decoder and for separate ones, to see whether the sources have come apart. Beside the
picture there is a number here, the silhouette (Rousseeuw 1987): how much nearer a point is to those
of its own source than to those of the nearest other one, from -1 to 1.

Departure: the paper does not say what a point is. Here it is a segment of T frames of one song, in
which the source sounds: its latent representation averaged over frames, so that frequencies stay
apart. t-SNE sees the 50 principal components.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike, fspath
from typing import Any, Final, NamedTuple, Unpack

import numpy as np
import soxr
import torch
from stemsmith.evaluate.benchmark.datasets import DatasetSong, find_dataset
from stemsmith.evaluate.benchmark.latent_options import LatentConfig, LatentOptions
from stemsmith.evaluate.benchmark.results import REJECTED_BY
from stemsmith.evaluate.benchmark.song import Unscorable, read_song
from stemsmith.evaluate.separation.blockwise import torch_device
from stemsmith.manifests.arrays import Float32s, Float64s
from stemsmith.manifests.errors import NothingToDo, UsageError, require
from stemsmith.manifests.jobs import QUIET, Progress
from stemsmith.manifests.records import Rejection
from stemsmith.mixing.sources.find import parse_source
from stemsmith.train.models.architectures.resnet import ResNet
from stemsmith.train.run import TrainedRun

__all__ = ["LatentMap", "LatentPoint", "map_latents"]

_SOUNDING: Final = 1e-6  # mean square of a reference, -60 dBFS
_N_COMPONENTS: Final = 50
_SEGMENTS_AT_ONCE: Final = 4  # resnet needs 1 GiB for three


@dataclass(frozen=True, slots=True)
class LatentPoint:
    """A source in a segment of a song.

    Attributes
    ----------
    song : str
        Name of the song in its data set.
    target : str
        The source, as the run calls it.
    start_s : float
        Where the segment begins in the song, in seconds.
    x, y : float
        Where t-SNE has put it.
    """

    song: str
    target: str
    start_s: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class LatentMap:
    """Sources in the latent space of a run.

    Attributes
    ----------
    run, dataset : str
        The run and the data set, as they were given.
    is_decoder_shared : bool
        Whether one decoder serves all sources.
    points : tuple of LatentPoint
        The sources by song, target and time.
    silhouettes : dict of str to float
        Mean silhouette of each target's points in the latent space, by target.
    silhouette, map_silhouette : float
        Mean silhouette of all points in the latent space, and on the map.
    rejections : tuple of Rejection
        Songs that could not be read, and why.
    """

    run: str
    dataset: str
    is_decoder_shared: bool
    points: tuple[LatentPoint, ...]
    silhouettes: Mapping[str, float]
    silhouette: float
    map_silhouette: float
    rejections: tuple[Rejection, ...] = ()

    def to_csv(self) -> str:
        """Return the points as CSV, with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(LatentPoint.__slots__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in self.points)
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of the points, without them, as JSON has it."""
        return {
            "run": self.run,
            "dataset": self.dataset,
            "is_decoder_shared": self.is_decoder_shared,
            "n_points": len(self.points),
            "silhouette": self.silhouette,
            "map_silhouette": self.map_silhouette,
            "silhouettes": dict(self.silhouettes),
        }


def map_latents(
    run: str | PathLike[str],
    dataset: str | PathLike[str],
    config: LatentConfig | None = None,
    *,
    progress: Progress = QUIET,
    **options: Unpack[LatentOptions],
) -> LatentMap:
    """Map the sources of a data set in the latent space of a trained `ResNet`.

    Parameters
    ----------
    run : path
        A run of the model ``resnet``, or the path of its folder.
    dataset : str or path
        A `Corpus`, the path of one, or a text such as ``musdb:PATH``, as of `evaluate_system`.
    config : LatentConfig, optional
        Options to begin with; None takes the defaults.
    progress : Progress
        Is told how far the work is; by default nobody is.
    **options
        Fields of `LatentConfig` that replace those of `config`.

    Returns
    -------
    LatentMap
        The same for the same run, data set and options, on one machine and device.

    Raises
    ------
    UsageError
        If the run is of another model, or the options do not go with the data set.
    NothingToDo
        If not one song can be read.
    InvalidCorpus
        If the run or the data set is not what it should be.
    """
    wanted = replace(config, **options) if config else LatentConfig(**options)  # type: ignore[arg-type]
    require("evaluate", "sklearn", task="t-SNE")
    parse_source(fspath(dataset))  # before the model is read
    trained = TrainedRun(run)
    model = trained.model(progress=progress)
    if not isinstance(model, ResNet):
        raise UsageError(
            f"{trained.root}: a {trained.model_name}, which has no latent representation of each "
            "source; resnet has"
        )
    model = model.eval().to(torch_device(str(wanted.device)))
    found = find_dataset(fspath(dataset), wanted.taxonomy, wanted.splits)
    latents, rejections = list[_Latent](), list[Rejection]()
    with progress.loop("latents", len(found.songs)) as ticker:
        for song in found.songs:
            try:
                latents += _latents_of(model, song, wanted.n_segments)
            except Unscorable as error:
                rejections.append(Rejection(song.name, REJECTED_BY, error.reason, error.detail))
            ticker.advance()
    if len(rejections) == len(found.songs):
        raise NothingToDo(f"{found.name}: no song can be read; {rejections[0].detail}")
    latents.sort(key=lambda each: (each.song, model.config.targets.index(each.target)))
    _check_enough(latents, wanted.perplexity)
    vectors = np.array([each.vector for each in latents], np.float64)
    targets = [each.target for each in latents]
    places = _embedded(vectors, wanted)
    by_point = _silhouettes(vectors, targets)
    return LatentMap(
        run=fspath(run),
        dataset=found.name,
        is_decoder_shared=model.config.is_decoder_shared,
        points=tuple(
            LatentPoint(each.song, each.target, each.start_s, float(x), float(y))
            for each, (x, y) in zip(latents, places, strict=True)
        ),
        silhouettes={
            target: float(by_point[[name == target for name in targets]].mean())
            for target in dict.fromkeys(targets)
        },
        silhouette=float(by_point.mean()),
        map_silhouette=float(_silhouettes(places, targets).mean()),
        rejections=tuple(rejections),
    )


class _Latent(NamedTuple):
    song: str
    target: str
    start_s: float
    vector: Float32s


def _latents_of(model: ResNet, song: DatasetSong, n_segments: int) -> Iterator[_Latent]:
    """Yield the latents of a song, of the sources that sound in each segment."""
    audio, config = read_song(song), model.config
    rate, n_samples = config.sample_rate, config.stft.n_samples(config.segment_frames)
    mixture = _mono(audio.mixture, audio.sample_rate, rate, n_samples)
    references = {
        name: _mono(reference, audio.sample_rate, rate, n_samples)
        for name, reference in zip(audio.targets, audio.references, strict=True)
        if name in config.targets
    }
    step = config.segment_frames * config.hop
    n_whole = (len(mixture) - n_samples) // step + 1
    chosen = np.unique(np.linspace(0, n_whole - 1, min(n_segments, n_whole)).round()).astype(int)
    for first in range(0, len(chosen), _SEGMENTS_AT_ONCE):
        starts = (step * chosen[first : first + _SEGMENTS_AT_ONCE]).tolist()
        heard = np.stack([mixture[start : start + n_samples] for start in starts])
        vectors = _vectors(model, heard)
        for start, by_target in zip(starts, vectors, strict=True):
            for target, vector in zip(config.targets, by_target, strict=True):
                reference = references.get(target)
                if reference is not None and _sounds(reference[start : start + n_samples]):
                    yield _Latent(song.name, target, start / rate, vector)


def _mono(audio: Float32s, sample_rate: int, wanted_rate: int, n_least: int) -> Float32s:
    """Return the mean of the channels at the rate of a network, filled up to one segment."""
    mono: Float32s = audio.mean(axis=0)
    if sample_rate != wanted_rate:
        mono = soxr.resample(mono, sample_rate, wanted_rate, quality="HQ")
    return np.pad(mono, (0, max(0, n_least - len(mono))))


def _sounds(reference: Float32s) -> bool:
    return bool(np.mean(np.square(reference, dtype=np.float64)) > _SOUNDING)


@torch.inference_mode()
def _vectors(model: ResNet, segments: Float32s) -> Float32s:
    """Return (n_segments, n_targets, n_features) of (n_segments, n_samples)."""
    audio = torch.from_numpy(segments).to(model.stft.window.device)
    latents = model.latents(model.stft(audio)).mean(dim=-1)
    vectors: Float32s = latents.flatten(2).cpu().numpy()
    return vectors


def _check_enough(latents: Sequence[_Latent], perplexity: float) -> None:
    targets = {each.target for each in latents}
    if len(targets) < 2:
        heard = ", ".join(sorted(targets)) or "no target"
        raise UsageError(
            f"of the run's targets there is only {heard} here: two have to be told apart"
        )
    if perplexity >= len(latents):
        raise UsageError(
            f"--perplexity {perplexity:g}: below the number of points, which is {len(latents)} "
            "(--segments, --split)"
        )


def _embedded(vectors: Float64s, config: LatentConfig) -> Float64s:
    """Return (n, 2) places of (n, n_features) vectors."""
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits

    components = _principal(vectors)
    begin = components[:, :2] / max(float(components[:, 0].std()), np.finfo(np.float64).tiny)
    if begin.shape[1] < 2:
        begin = np.pad(begin, ((0, 0), (0, 1)))
    embedding = TSNE(
        perplexity=config.perplexity, init=1e-4 * begin, random_state=config.seed, n_jobs=1
    )
    with threadpool_limits(1):  # sums depend on how many threads share them
        places: Float64s = embedding.fit_transform(components).astype(np.float64)
    return places


def _principal(vectors: Float64s) -> Float64s:
    """Return the first principal components, of which the sign is that of the largest weight."""
    _, _, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    axes = axes[:_N_COMPONENTS]
    largest = np.abs(axes).argmax(axis=1)
    signs = np.sign(axes[np.arange(len(axes)), largest])
    components: Float64s = (vectors - vectors.mean(axis=0)) @ (axes * signs[:, None]).T
    return components


def _silhouettes(vectors: Float64s, targets: Sequence[str]) -> Float64s:
    from sklearn.metrics import silhouette_samples  # type: ignore[import-untyped]

    if len(set(targets)) == len(targets):  # one point each: nothing is near its own kind
        return np.zeros(len(targets))
    found: Float64s = silhouette_samples(vectors, targets)
    return found
