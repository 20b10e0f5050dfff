"""Weights: how often classes, songs and excerpts are drawn, against closed forms."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MixConfig
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.plan.weights import WeightedItems
from stemsmith.mixing.sources.catalogue import SplitCatalogue
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import Taxonomy

RATE, N_STEPS, CLIP = 8000, 60, 10
N = 4000
TAXONOMY = Taxonomy("two", {"bass": ("bass",), "rest": ("*",)})


def stem(song: str, name: str, classes: tuple[str, ...], voices: Float32s | None = None):
    stem_id = f"{song}/{name}"
    power = np.full(N_STEPS, 0.01, np.float32)
    return CatalogueStem(
        stem_id=stem_id, song_id=song, content_id=stem_id, split="train", classes=classes,
        root="corpus", path=f"{stem_id}.flac", stream=0, sha256=stem_id, sample_rate=RATE,
        n_samples=N_STEPS * RATE // 10, k_power=power, power=power, voices=voices,
    )  # fmt: skip


def band(voices: Float32s | None = None) -> SplitCatalogue:
    """Four songs: pianos in all, guitars in two, a harp in one, and basses of one class."""
    stems = [stem(f"song{k}", "S00", ("bass",)) for k in range(4)]
    stems += [stem(f"song{k}", "S01", ("piano", "grand-piano"), voices) for k in range(4)]
    stems += [stem(f"song{k}", "S02", ("guitar", "clean-guitar")) for k in (1, 2)]
    stems += [stem("song3", "S03", ("strings", "harp"))]
    return SplitCatalogue(stems, TAXONOMY)


def fits(counts: Counter[str], expected: dict[str, float]) -> bool:
    assert set(counts) == {name for name, share in expected.items() if share}
    names = sorted(counts)
    total = sum(counts.values())
    shares = np.array([expected[name] for name in names])
    assert shares.sum() == pytest.approx(1)
    found = [counts[name] for name in names]
    return float(chisquare(found, shares * total).pvalue) > 0.01


def classes_drawn(weights: str | None) -> Counter[str]:
    config = MixConfig(mode="incoherent", clip_s=1.0, weights=weights)
    catalogue = band()
    plan = IncoherentPlan(catalogue, "train", config, RATE)
    class_of = {s.stem_id: s.classes[-1] for s in catalogue.stems}
    sources = (m.sources[1] for m in plan.mixtures(0, N))
    return Counter(class_of[source.stem_id] for source in sources)


def test_incoherent_classes_of_a_target_are_drawn_evenly() -> None:
    """Before: by their stems, 4, 2 and 1 of 7. After: a third each."""
    before = {"grand-piano": 4 / 7, "clean-guitar": 2 / 7, "harp": 1 / 7}
    assert fits(classes_drawn(None), before)
    after = classes_drawn("inverse-class")
    assert fits(after, dict.fromkeys(before, 1 / 3))
    assert not fits(after, before)


def test_coherent_songs_are_drawn_by_their_rarest_classes() -> None:
    """A class evenly, then a stem of it: song k has the sum of 1 / (4 classes x n stems)."""
    config = MixConfig(clip_s=1.0, weights="inverse-class")
    plan = CoherentPlan(band(), "train", config, RATE)
    songs = Counter(m.sources[0].song_id for m in plan.mixtures(0, N))
    common = 1 / 16 + 1 / 16  # a bass of four, a piano of four
    assert fits(
        songs,
        {
            "song0": common,
            "song1": common + 1 / 8,
            "song2": common + 1 / 8,
            "song3": common + 1 / 4,
        },
    )
    evenly = CoherentPlan(band(), "train", MixConfig(clip_s=1.0), RATE)
    counts = Counter(m.sources[0].song_id for m in evenly.mixtures(0, N))
    assert set(counts.values()) == {N // 4}


VOICES = np.zeros(N_STEPS, np.float32)
VOICES[20:30] = 3  # a chord
VOICES[40:60] = 1


def played(first: int) -> float:
    return float(VOICES[first : first + CLIP].sum())


@pytest.mark.parametrize("mode", ["incoherent", "coherent"])
def test_excerpts_are_drawn_by_what_is_played_in_them(mode: str) -> None:
    stems = [stem("a", "S00", ("bass",)), stem("a", "S01", ("piano",), VOICES)]
    catalogue = SplitCatalogue(stems, TAXONOMY)
    config = MixConfig(mode=mode, clip_s=1.0, weights="activity")
    kind = IncoherentPlan if mode == "incoherent" else CoherentPlan
    plan = kind(catalogue, "train", config, RATE)
    sources = [m.sources[1] for m in plan.mixtures(0, N)]
    assert {source.stem_id for source in sources} == {"a/S01"}
    starts = Counter(str(source.start // (RATE // 10)) for source in sources)
    # The bass has no notes: one voice in every step, as it sounds all the time.
    more = CLIP if mode == "coherent" else 0.0
    weights = {str(k): played(k) + more for k in range(N_STEPS - CLIP + 1)}
    total = sum(weights.values())
    assert fits(starts, {k: weight / total for k, weight in weights.items()})


def test_stems_are_drawn_evenly_whatever_is_played_in_them() -> None:
    config = MixConfig(mode="incoherent", clip_s=1.0, weights="activity")
    plan = IncoherentPlan(band(VOICES), "train", config, RATE)
    names = Counter(m.sources[1].stem_id for m in plan.mixtures(0, N))
    assert fits(names, dict.fromkeys(names, 1 / 7))


def test_a_stem_in_which_nothing_is_played_is_drawn_evenly() -> None:
    stems = [stem("a", "S00", ("bass",)), stem("a", "S01", ("piano",), np.zeros(N_STEPS, "f4"))]
    config = MixConfig(mode="incoherent", clip_s=1.0, weights="activity")
    plan = IncoherentPlan(SplitCatalogue(stems, TAXONOMY), "train", config, RATE)
    starts = Counter(str(m.sources[1].start // (RATE // 10)) for m in plan.mixtures(0, N))
    assert fits(starts, {str(k): 1 / (N_STEPS - CLIP + 1) for k in range(N_STEPS - CLIP + 1)})


@given(
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=12),
    v=st.floats(0, 1, exclude_max=True),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_what_has_no_weight_is_never_drawn(weights: list[float], v: float, data) -> None:
    first = data.draw(st.integers(0, len(weights) - 1))
    last = data.draw(st.integers(first + 1, len(weights)))
    sums = np.cumsum([0.0, *weights])[first : last + 1]
    (item,) = first + WeightedItems.of_sums(sums).draw(np.array([v]))
    assert first <= item < last
    assert weights[item] > 0 or not any(weights[first:last])


def test_voices_are_the_notes_that_sound(corpus: Path) -> None:
    """Counted note by note, in a loop; the pedals and what is not heard follow the records."""
    catalogue = read_stems(find_sources([corpus], corpus), {}, 1, is_with_voices=True)
    by_id = {s.stem_id: s for s in catalogue}
    n_notes = 0
    for record in Corpus(corpus).stem_records():
        found = by_id[f"corpus:{record.stem_id}"]
        step = record.sample_rate // 10
        counts = np.zeros(found.n_steps + 1000)
        rows = zip(record.note_onset, record.note_sounding_offset, record.note_heard, strict=True)
        for onset, offset, is_heard in rows:
            if is_heard:
                n_notes += 1
                last = max(onset // step, (offset - 1) // step)
                counts[onset // step : last + 1] += 1
        np.testing.assert_array_equal(found.voices, counts[: found.n_steps])
    assert n_notes > 100
    plain = read_stems(find_sources([corpus], corpus), {}, 1)
    assert all(s.voices is None for s in plain)


@pytest.mark.parametrize("weights", ["inverse-class", "activity"])
@pytest.mark.parametrize("mode", ["coherent", "incoherent"])
def test_weights_are_in_the_manifest_and_give_the_same_bytes(
    corpus: Path, tmp_path: Path, here: Callable, weights: str, mode: str
) -> None:
    common = ("--clip", 1, "--mixtures", 30, "--mode", mode, "--jobs", 0, "--min-rms", -60)
    extras = ("--augment", "silence") if mode == "incoherent" else ()
    for name, options in (("plain", ()), ("one", ("--weights", weights)),
                          ("two", ("--weights", weights))):  # fmt: skip
        done = here("mix", corpus, tmp_path / name, *common, *extras, *options)
        assert done.returncode == 0, done.stderr
    for path in (tmp_path / "one").glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    plain, one = (shards.read_manifest(tmp_path / name, "mixtures") for name in ("plain", "one"))
    assert one["config"]["weights"] == weights
    assert "weights" not in plain["config"]
    is_even = mode == "incoherent" and weights == "inverse-class"  # one class a target here
    assert (plain["shards"] == one["shards"]) == is_even
    done = here("mix", corpus, tmp_path / "plain", *common, *extras, "--weights", weights)
    assert done.returncode == 2  # another set
    assert here("validate", tmp_path / "one").returncode == 0


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "renditions"},
        {"mode": "incoherent", "pairing": "chroma"},
    ],
)
def test_weights_are_refused_where_they_make_no_sense(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--weights activity: only with --mode coherent or"):
        MixConfig(weights="activity", **options)
    with pytest.raises(UsageError, match="--weights kazoo: unknown; known: inverse-class, activ"):
        MixConfig(weights="kazoo")
    without = dataclasses.replace(MixConfig(weights="activity"), weights=None)
    assert json.dumps(without.to_dict()) == json.dumps(MixConfig().to_dict())
