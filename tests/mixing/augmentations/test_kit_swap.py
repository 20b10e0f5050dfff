"""Kits of several songs: which pieces are taken, of which tempo, and where in the bar."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.mixing.plan.augment import Augmenter
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import Taxonomy

RATE, N_STEPS = 8000, 300
PIECES = ("kick", "snare", "hi-hat")
TAXONOMY = Taxonomy("kit", {**{name: [name] for name in PIECES}, "rest": ["*"]})
# Tempo and quarter notes of a bar.
SONGS: dict[str, tuple[float | None, float | None]] = {
    "a": (120, 4), "b": (120.05, 4), "c": (120, 4), "waltz": (120, 3), "fast": (133, 4),
    "free": (None, 4), "changing": (120, None),
}  # fmt: skip


def stem(song: str, name: str, power: float = 0.01) -> CatalogueStem:
    tempo_bpm, bar_quarters = SONGS[song]
    powers = np.full(N_STEPS, power, np.float32)
    return CatalogueStem(
        stem_id=f"{song}/{name}", song_id=song, content_id=f"{song}/{name}", split="train",
        classes=(name, "drums") if name in PIECES else (name,), root="corpus",
        path=f"{song}/{name}.flac", stream=0, sha256=f"{song}/{name}", sample_rate=RATE,
        n_samples=N_STEPS * RATE // 10, k_power=powers, power=powers, tempo_bpm=tempo_bpm,
        bar_quarters=bar_quarters,
    )  # fmt: skip


def catalogue() -> SplitCatalogue:
    names = (*PIECES, "bass")
    return SplitCatalogue([stem(song, name) for song in SONGS for name in names], TAXONOMY)


def plan(**options: Any) -> CoherentPlan:
    config = MixConfig(clip_s=2.0, augment=("kit-swap",), **options)
    return CoherentPlan(catalogue(), "train", config, RATE)


def bar_samples(song: str) -> float:
    tempo_bpm, bar_quarters = SONGS[song]
    assert tempo_bpm
    assert bar_quarters
    return 60 * bar_quarters / tempo_bpm * RATE


def test_pieces_are_of_other_songs_of_the_tempo_and_fall_on_the_same_place_of_a_bar() -> None:
    in_time = {"a", "b", "c"}
    seen = set()
    for mixture in plan(target="rest").mixtures(0, 300):
        by_group = {source.group: source for source in mixture.sources}
        assert set(by_group) == {*PIECES, "rest"}
        anchor = by_group["rest"]
        songs = {name: by_group[name].song_id for name in PIECES}
        if anchor.song_id not in in_time:
            assert set(songs.values()) == {anchor.song_id}
            continue
        for name, song in songs.items():
            assert song in in_time - {anchor.song_id}
            seen.add((anchor.song_id, name, song))
            own = anchor.start % bar_samples(anchor.song_id) / bar_samples(anchor.song_id)
            other = by_group[name].start % bar_samples(song) / bar_samples(song)
            apart = abs(own - other)
            assert min(apart, 1 - apart) * bar_samples(song) <= 1  # sample
            assert by_group[name].start + by_group[name].n_read <= by_group[name].n_stem_samples
    assert len(seen) == 3 * 3 * 2  # every piece of every other song


def test_the_target_keeps_its_song() -> None:
    n_swapped = 0
    for mixture in plan(target="snare").mixtures(0, 100):
        by_group = {source.group: source.song_id for source in mixture.sources}
        assert by_group["snare"] == by_group["rest"]
        n_swapped += by_group["kick"] != by_group["snare"]
    assert n_swapped > 30


def test_a_kit_is_the_same_whoever_else_is_drawn_and_others_stay() -> None:
    """Everything but the pieces is what it is without."""
    with_swap = list(plan(target="rest").mixtures(0, 40))
    assert list(plan(target="rest").mixtures(30, 40)) == with_swap[30:]
    config = MixConfig(clip_s=2.0, target="rest")
    without = list(CoherentPlan(catalogue(), "train", config, RATE).mixtures(0, 40))
    for one, two in zip(with_swap, without, strict=True):
        rest = [[s for s in m.sources if s.group == "rest"] for m in (one, two)]
        assert rest[0] == rest[1]
    seeded = list(plan(target="rest", seed=1).mixtures(0, 40))
    assert seeded != with_swap


def test_a_silent_piece_is_not_taken() -> None:
    stems = [stem(song, name) for song in ("a", "b") for name in ("kick", "bass")]
    stems = [dataclasses.replace(s, power=0 * s.power, k_power=0 * s.k_power)
             if s.stem_id == "b/kick" else s for s in stems]  # fmt: skip
    config = MixConfig(clip_s=2.0, augment=("kit-swap",), target="rest")
    mixtures = CoherentPlan(SplitCatalogue(stems, TAXONOMY), "train", config, RATE).mixtures(0, 20)
    for mixture in mixtures:
        songs = {source.group: source.song_id for source in mixture.sources}
        assert songs["kick"] == "a"  # that of b is silent


def test_what_it_needs_is_said() -> None:
    augmenter = Augmenter(MixConfig(augment=("kit-swap",)))
    augmenter.check(catalogue().stems, TAXONOMY.targets)
    with pytest.raises(NothingToDo, match=r"--augment kit-swap: no stem is a piece .*drum-pieces"):
        augmenter.check([stem("a", "bass")], ["rest"])
    with pytest.raises(NothingToDo, match="keep one tempo and meter"):
        augmenter.check([stem("free", "kick"), stem("changing", "kick")], ["kick"])
    for mode in ("incoherent", "renditions"):
        with pytest.raises(UsageError, match="--augment kit-swap: not with --mode"):
            MixConfig(mode=mode, augment="kit-swap")
    with pytest.raises(UsageError, match="exclude each other"):
        MixConfig(augment=("kit-swap", "remix"))
