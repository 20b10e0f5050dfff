"""Loaders: the same tensors wherever clips lie, and which loader a run takes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
# ruff: noqa: E402

from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.jobs import InProcess
from stemsmith.train import BLSTMConfig, MixtureDataset
from stemsmith.train.data import store
from stemsmith.train.data.clips import Clips, find_clips
from stemsmith.train.data.config import Loader
from stemsmith.train.data.examples import VALIDATION, ExampleRules, Turns
from stemsmith.train.data.loaders import choose_loader, free_memory
from stemsmith.train.data.module import Batches, ResidentLoader, StreamLoader
from stemsmith.train.data.store import ClipStore, Decoding
from torch.utils.data import DataLoader

TARGETS = ("bass", "drums", "piano")
N_BATCH = 4
PLAIN = ExampleRules(seed=11, segment_samples=3000)
RULES = {
    "plain": PLAIN,
    "remixed": replace(PLAIN, remix=0.6, gain_low=0.25, gain_high=1.25),
    "gains": replace(PLAIN, gain_low=0.25, gain_high=1.25),
    "blocks": replace(PLAIN, step_samples=9500, n_examples=20),
    "remixed blocks": replace(PLAIN, step_samples=9500, n_examples=20, remix=0.5),
    "short": replace(PLAIN, segment_samples=40_000, remix=0.5),  # clips have 32,000
    "drawn": replace(PLAIN, n_examples=31),
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(mixtures: Path) -> Clips:
    return find_clips([mixtures / "audio"], "train", TARGETS, 16000)


@pytest.fixture(scope="module")
def decoded(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_PER_PART", 10)
        decoding = Decoding(clips, tmp_path_factory.mktemp("store"))
        decoding.fill(InProcess())
        return decoding.store()


def turns(source: Clips | ClipStore, rules: ExampleRules, epoch: int = 0) -> Turns:
    return Turns(len(rules.table(source.n_samples, len(TARGETS), epoch)), N_BATCH, epoch=epoch)


def stream(
    source: Clips | ClipStore, rules: ExampleRules, epoch: int = 0, n: int = 0
) -> StreamLoader:
    return StreamLoader(MixtureDataset(source, rules), turns(source, rules, epoch), n)


def resident(source: ClipStore, rules: ExampleRules, epoch: int = 0) -> Batches:
    return ResidentLoader(source, rules, turns(source, rules, epoch), CPU)


def epoch_of(loader: Batches, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader.batch_sampler.set_epoch(epoch)
    return [(mixture.clone(), references.clone()) for mixture, references in loader]


def are_equal(ours, others) -> bool:
    assert len(ours) == len(others)
    batches = zip(ours, others, strict=True)
    return all(torch.equal(x, y) for a, b in batches for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", RULES)
def test_all_loaders_give_the_same_tensors(clips: Clips, decoded: ClipStore, name: str) -> None:
    rules = RULES[name]
    loaders = [stream(clips, rules), stream(decoded, rules), resident(decoded, rules)]
    epochs = []
    for epoch in (0, 3):
        found, *others = (epoch_of(loader, epoch) for loader in loaders)
        for other in others:
            assert are_equal(found, other)
        n_rows = len(rules.table(clips.n_samples, len(TARGETS), epoch)) // N_BATCH * N_BATCH
        assert sum(len(mixture) for mixture, _ in found) == n_rows
        for mixture, references in found:
            assert mixture.dtype == references.dtype == torch.float32
            assert mixture.shape == (N_BATCH, rules.segment_samples)
            assert references.shape == (N_BATCH, len(TARGETS), rules.segment_samples)
        epochs.append(found)
    assert not are_equal(*epochs)


def test_validation_is_the_same_from_all_loaders(clips: Clips, decoded: ClipStore) -> None:
    rules = RULES["remixed"]
    found = list(stream(clips, rules, VALIDATION))
    assert sum(len(mixture) for mixture, _ in found) == len(clips.clips)
    assert len(found[-1][0]) == len(clips.clips) % N_BATCH
    for loader in (resident(decoded, rules, VALIDATION), stream(decoded, rules, VALIDATION)):
        assert are_equal(found, epoch_of(loader, 5))


def test_examples_are_what_the_table_says(clips: Clips) -> None:
    """Examples against sums written out in numpy float64."""
    for rules in RULES.values():
        dataset = MixtureDataset(clips, rules)
        table = rules.table(clips.n_samples, len(TARGETS), 2)
        for row in range(0, len(table), 5):
            sources = []
            for column in range(1 + len(TARGETS)):
                whole = clips.read(int(table.clip[row, column])).astype(float) / 32768
                rows = [whole[0] - whole[1:].sum(axis=0), *whole[1:]]
                excerpt = rows[column][int(table.start[row, column]) :][: rules.segment_samples]
                padded = np.pad(excerpt, (0, rules.segment_samples - len(excerpt)))
                sources.append(padded * table.gain[row, column])
            mixture, references = dataset[2, row]
            assert np.abs(mixture.numpy() - np.sum(sources, axis=0)).max() < 1e-6
            assert np.abs(references.numpy() - sources[1:]).max() < 1e-6


@pytest.mark.parametrize("is_decoded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workers_give_the_same_tensors_over_epochs(
    clips: Clips, decoded: ClipStore, is_decoded: bool
) -> None:
    """Workers stay from one epoch to the next, and load ahead.

    The iterator is made before the epoch is known, as Lightning does it in a run that goes on.
    """
    rules, others = RULES["remixed"], set(multiprocessing.active_children())
    with closing(stream(decoded if is_decoded else clips, rules, n=2)) as loader:
        for epoch in (3, 4, 0):
            batches = iter(loader)
            loader.batch_sampler.set_epoch(epoch)
            assert are_equal(list(batches), epoch_of(resident(decoded, rules), epoch))
        workers = set(multiprocessing.active_children()) - others
        assert len(workers) == 2
    assert [worker.exitcode for worker in workers] == [0, 0]  # neither was killed


def test_workers_pass_errors_on_as_one_line(mixtures: Path, tmp_path: Path, clips: Clips) -> None:
    lost = tuple(replace(clip, tar=str(tmp_path / "gone.tar")) for clip in clips.clips)
    with (
        closing(stream(replace(clips, clips=lost), PLAIN, n=1)) as loader,
        pytest.raises(InvalidCorpus) as caught,
    ):
        list(loader)
    assert str(caught.value).startswith(f"{tmp_path / 'gone.tar'}: ")
    assert "\n" not in str(caught.value)


class Environment:
    """A source whose clips say what a variable is where they are read."""

    n_samples, targets = np.full(2 * N_BATCH, 3000), TARGETS

    def read(self, number: int) -> np.ndarray:
        value = int(os.environ.get("STEMSMITH_OF_A_TEST", -1))
        return np.full((1 + len(TARGETS), 3000), value, np.int16)


def test_workers_have_the_environment_of_the_process_that_asks(monkeypatch) -> None:
    """And not that of the server they are forked from, which an earlier loader has started."""
    found = []
    for value in (3, None):
        if value is None:
            monkeypatch.delenv("STEMSMITH_OF_A_TEST")
        else:
            monkeypatch.setenv("STEMSMITH_OF_A_TEST", str(value))
        with closing(stream(Environment(), PLAIN, n=1)) as loader:
            found += [references.mul(32768).unique().tolist() for _, references in loader]
    assert found == [[3.0], [3.0], [-1.0], [-1.0]]


def test_loading_draws_no_random_numbers(clips: Clips, decoded: ClipStore) -> None:
    makers: list[Callable[[], Batches]] = [
        lambda: stream(clips, RULES["remixed"]),
        lambda: resident(decoded, RULES["remixed"]),
    ]
    for make in makers:
        torch.manual_seed(3)
        list(make())
        after = torch.rand(1)
        torch.manual_seed(3)
        assert torch.equal(after, torch.rand(1))


def test_an_example_decodes_a_clip_once(clips: Clips) -> None:
    read: list[int] = []

    class Counted:
        n_samples, targets = clips.n_samples, clips.targets

        def read(self, number: int) -> np.ndarray:
            read.append(number)
            return clips.read(number)

    dataset = MixtureDataset(Counted(), RULES["gains"])
    for row in range(10):
        _ = dataset[0, row]
    assert len(read) == 10


def test_a_data_set_in_a_loop_of_ones_own(mixtures: Path) -> None:
    config = BLSTMConfig(targets=("bass",), n_fft=256, hop=128, segment_frames=40)
    dataset = MixtureDataset.of([str(mixtures / "recipes")], config, seed=4)
    n = len(find_clips([mixtures / "recipes"], "train", ("bass",), 16000).clips)
    assert len(dataset) == n
    loader = DataLoader(dataset, batch_size=5)
    first = list(loader)
    assert sum(len(mixture) for mixture, _ in first) == n
    assert first[0][1].shape == (5, 1, config.segment_samples)
    assert len(list(dataset)) == n  # iteration by index ends too
    with pytest.raises(IndexError):
        _ = dataset[n]
    with pytest.raises(IndexError):
        _ = dataset[-1]
    assert are_equal(first, list(loader))
    dataset.set_epoch(1)
    assert not are_equal(first, list(loader))
    with pytest.raises(UsageError, match="vocals"):
        MixtureDataset.of([mixtures / "recipes"], replace(config, targets=("vocals",)))


def test_a_data_set_can_be_pickled(clips: Clips, decoded: ClipStore) -> None:
    for source in (clips, decoded):
        dataset = MixtureDataset(source, RULES["remixed"])
        dataset.set_epoch(2)
        _ = dataset[0]
        again = pickle.loads(pickle.dumps(dataset))
        assert all(torch.equal(a, b) for a, b in zip(dataset[3], again[3], strict=True))
        assert all(torch.equal(a, b) for a, b in zip(dataset[5, 3], again[5, 3], strict=True))


GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "n_bytes", "n_free", "n_gpu", "loader", "is_on_device", "reason"),
    [
        (Loader.AUTO, 11, 64, 140, Loader.RESIDENT, True, "11.0 GB.*140 GB are free on the GPU"),
        (Loader.AUTO, 84, 8, 141, Loader.RESIDENT, True, "84.0 GB"),
        (Loader.AUTO, 90, 500, 141, Loader.RESIDENT, False, "90.0 GB.*in the page cache"),
        (Loader.AUTO, 11, 64, 0, Loader.RESIDENT, False, "11.0 GB.*in the page cache"),
        (Loader.AUTO, 11, 12, 0, Loader.STREAM, False, "11.0 GB.*12 GB of memory are free"),
        (Loader.AUTO, 11, 12, 16, Loader.STREAM, False, "11.0 GB.*12 GB of memory are free"),
        (Loader.RESIDENT, 11, 1, 0, Loader.RESIDENT, False, "11.0 GB.*in the page cache"),
        (Loader.RESIDENT, 11, 1, 24, Loader.RESIDENT, True, "24 GB are free on the GPU"),
        (Loader.STREAM, 1, 100, 100, Loader.STREAM, False, "as asked"),
    ],
)
def test_the_choice_of_a_loader_and_its_reason(
    wanted, n_bytes, n_free, n_gpu, loader, is_on_device, reason
) -> None:
    choice = choose_loader(wanted, n_bytes * GB, n_free * GB, n_gpu * GB)
    assert (choice.loader, choice.is_on_device) == (loader, is_on_device)
    assert re.search(reason, choice.reason)


def test_more_memory_never_means_streaming() -> None:
    order = [choose_loader(Loader.AUTO, 10 * GB, n * GB, 0).loader for n in range(40)]
    assert order[0] is Loader.STREAM
    assert order[-1] is Loader.RESIDENT
    assert sum(a is not b for a, b in pairwise(order)) == 1


def test_free_memory_is_some_of_it() -> None:
    assert 2**20 < free_memory() < 2**50
