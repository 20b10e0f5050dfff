"""Recipes are those of version 0.1, however little is kept in memory while they are planned."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stemsmith.manifests import scratch
from stemsmith.mixing.plan import clip_table, coherent, kept
from stemsmith.mixing.plan.across import plan_across
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.combinations import CombinationPlan
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.plan.mixtures import SplitPlan, plan_mixtures
from stemsmith.mixing.sources import catalogue, stems
from stemsmith.mixing.sources.catalogue import SplitCatalogue, split_catalogues
from stemsmith.mixing.sources.find import Source
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import TAXONOMIES

RATE = 8000
SLAKH = TAXONOMIES["slakh"]
NAMES = ("piano", "bass", "guitar", "drums", "violin", "organ")
# Hashes of what the version before planned, which had all stems in memory as objects.
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("coherent", "e4d7aa02f9601624", {}),
    ("target", "b2c836d76aae81ef", {"target": "bass"}),
    ("equal", "f45473a098515456", {"level": "equal"}),
    ("by activity", "34ceb6051755c68c", {"weights": "activity"}),
    ("by class", "812984edda9c0e92", {"weights": "inverse-class"}),
    ("overlay", "ed42fd59d6368025", {"overlay": "residual"}),
    (
        "changed",
        "e584248a922f4000",
        {"augment": ("shift", "remix", "gain", "tempo"), "target": "piano"},
    ),
    ("incoherent", "ca39a3ceea100906", {"mode": "incoherent"}),
    ("incoherent target", "609a180e20fd135b", {"mode": "incoherent", "target": "drums"}),
    ("incoherent by activity", "d984c988973f915e", {"mode": "incoherent", "weights": "activity"}),
    ("incoherent by class", "277d17e1be458908", {"mode": "incoherent", "weights": "inverse-class"}),
    (
        "incoherent at tempi",
        "910a3b84998556cb",
        {"mode": "incoherent", "augment": ("tempo", "gain")},
    ),
    ("without silence", "9112b9c811837481", {"mode": "incoherent", "augment": ("silence",)}),
    ("chunks", "b630d79d61aec51b", {"mode": "incoherent", "pairing": "random"}),
    (
        "chunks of a target",
        "eae232decc8f9945",
        {"mode": "incoherent", "pairing": "random", "target": "bass", "min_rms_dbfs": -35.0},
    ),
    ("across", "1c82c8346bd797eb", {"mode": "across", "coherence": 0.4}),
    ("across, equal", "d35d5ad0eda8a01f", {"mode": "across", "coherence": 0.7, "level": "equal"}),
    ("combinations", "d2f6949479c396a5", {"mode": "combinations", "target": "bass"}),
]


def songs_of_many_kinds() -> Iterator[CatalogueStem]:
    """Yield stems of songs of other lengths, rates, classes and sources; powers are exact."""
    rng = np.random.default_rng(7)
    for song in range(30):
        root = "corpus" if song % 4 else "other-corpus"
        n_steps = int(rng.integers(20, 90))
        for number, name in enumerate(NAMES):
            if rng.random() < 0.2:
                continue
            own = n_steps + int(rng.integers(0, 3)) * (song % 5 == 0)
            loud = rng.integers(0, 4096, own) * (rng.random(own) < 0.7)
            power = ((loud.astype(np.float64) / 65536) ** 2).astype(np.float32)
            yield CatalogueStem(
                stem_id=f"{root}:song{song}/S{number:02d}",
                song_id=f"{root}:song{song}",
                content_id=f"{root}:song{song}",
                split="train",
                classes=(name, f"{name}-{song % 2}"),
                root=root,
                path=f"song{song}/S{number:02d}.flac",
                stream=song % 2,
                sha256=f"{song * 31 + number:064x}",
                sample_rate=RATE * (1 + (song == 11)),
                n_samples=own * RATE // 10,
                k_power=power[::-1].copy(),
                power=power,
                label=f"song{song}",
                song_key=f"{song % 20:064x}",
                voices=rng.integers(0, 4, own).astype(np.float32) if song % 3 else None,
                tempo_bpm=120.0 if song % 2 else None,
                bar_quarters=4.0 if song % 2 else None,
            )


def plan_of(options: dict[str, Any]) -> SplitPlan:
    values = {"clip_s": 1.0, **({} if "pairing" in options else {"min_rms_dbfs": -40.0}), **options}
    config = MixConfig(**values)
    found = SplitCatalogue(list(songs_of_many_kinds()), SLAKH)
    if config.mode == "across":
        return plan_across(found, "train", config, RATE, SLAKH, None)
    if config.mode == "combinations":
        return CombinationPlan(found, "train", config, RATE)
    if config.mode == "coherent":
        return CoherentPlan(found, "train", config, RATE)
    cut = Augmenter(config).cut(found, SLAKH)
    return IncoherentPlan(found, "train", config, RATE, cut)


def hash_of(plan: SplitPlan) -> str:
    recipes = [*plan.mixtures(0, 50), *plan.mixtures(1500, 1520)]
    unused = sorted((row.k, str(row.reason), row.detail) for row in plan.unused())
    text = repr((recipes, unused)).replace("\n", "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture(params=["memory", "disk"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plan with all the memory that is allowed, or with next to none."""
    if request.param == "disk":
        for module, name, value in (
            (scratch, "_IN_MEMORY", 1000), (scratch, "_WRITTEN", 500), (scratch, "_N_TAKEN", 9),
            (scratch, "_N_COMPARED", 7), (stems, "_REMEMBERED", 3), (stems, "_AT_ONCE", 5),
            (stems, "_WRITTEN", 100), (catalogue, "_STEPS_AT_ONCE", 300),
            (catalogue, "_THINGS_AT_ONCE", 11), (kept, "_MOST_BYTES", 2000),
            (coherent, "_SONGS_AT_ONCE", 3), (clip_table, "_AT_ONCE", 4),
        ):  # fmt: skip
            assert getattr(module, name) > value
            monkeypatch.setattr(module, name, value)
    return str(request.param)


@pytest.mark.parametrize(
    ("expected", "options"), [k[1:] for k in KINDS], ids=[kind[0] for kind in KINDS]
)
def test_recipes_are_the_same_as_ever(room: str, expected: str, options: dict[str, Any]) -> None:
    assert hash_of(plan_of(options)) == expected


def many_songs(n_songs: int, n_steps: int) -> Iterator[CatalogueStem]:
    power = np.full(n_steps, 0.01, np.float32)
    for song in range(n_songs):
        for name in NAMES:
            song_id = f"corpus:{song:032x}"
            yield CatalogueStem(
                stem_id=f"{song_id}/{name}", song_id=song_id, content_id=f"{song:064x}",
                split="train", classes=(name,), root="corpus", path=f"{song:08d}/{name}.flac",
                stream=0, sha256=f"{song:064x}", sample_rate=RATE, n_samples=n_steps * RATE // 10,
                k_power=power.copy(), power=power.copy(), label=f"Track{song:08d}",
                song_key=f"{song:064x}",
            )  # fmt: skip


def peak_bytes(tmp_path: Any, mode: str, n_songs: int, n_steps: int) -> int:
    """Return the most memory in use at a time, from stems one by one to the first recipes."""
    config = MixConfig(mode=mode, clip_s=1.0, n_mixtures=50)
    tracemalloc.start()
    try:
        table = StemTable.of(many_songs(n_songs, n_steps))
        found = split_catalogues(table, SLAKH)
        sources = [Source("corpus", "corpus", tmp_path, "songs")]
        plan = plan_mixtures(sources, found, SLAKH, config, {}, [])
        assert len(list(plan.splits["train"].mixtures(0, 50))) == 50
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_memory_does_not_grow_with_the_length_of_songs(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A song of six stems and 24 s has 11.5 kB of envelopes, of which next to none counts."""
    monkeypatch.setattr(scratch, "_IN_MEMORY", 1 << 16)
    monkeypatch.setattr(scratch, "_WRITTEN", 1 << 16)
    monkeypatch.setattr(kept, "_MOST_BYTES", 1 << 16)
    monkeypatch.setattr(catalogue, "_STEPS_AT_ONCE", 1 << 13)
    few, many = (peak_bytes(tmp_path, mode, n, 240) for n in (300, 1500))
    assert (many - few) / 1200 < 2500  # bytes a song
    short = peak_bytes(tmp_path, mode, 1500, 24)
    assert many - short < 1_500_000  # of 15 MB of envelopes more
