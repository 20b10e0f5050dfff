"""Plans of mixtures: their rules checked in the audio that the recipes name."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests import shards
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.manifests.records import Reason
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.level.loudness import envelope
from stemsmith.mixing.plan.coherent import CoherentPlan
from stemsmith.mixing.plan.config import MixConfig, Mode, Pairing
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.plan.recipes import common_sample_rate, n_per_split
from stemsmith.mixing.sources.catalogue import SplitCatalogue, split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.stems import CatalogueStem, StemTable
from stemsmith.mixing.sources.taxonomy import TAXONOMIES, Taxonomy

SLAKH = TAXONOMIES["slakh"]
BAND = ("piano", "bass", "guitar", "drums")
RATE = 8000
STEP = RATE // 10
PLAIN = MixConfig(clip_s=1.0)
INCOHERENT = MixConfig(mode=Mode.INCOHERENT, clip_s=1.0)


def coherent(catalogue: SplitCatalogue, split: str = "train", **changes: Any) -> CoherentPlan:
    rate = catalogue.stems[0].sample_rate
    return CoherentPlan(catalogue, split, dataclasses.replace(PLAIN, **changes), rate)


def incoherent(
    catalogue: SplitCatalogue, split: str = "train", rate: int | None = None, **changes: Any
) -> IncoherentPlan:
    rate = rate or catalogue.stems[0].sample_rate
    return IncoherentPlan(catalogue, split, dataclasses.replace(INCOHERENT, **changes), rate)


def rms_dbfs(audio: Float64s) -> float:
    power = float(np.mean(audio**2))
    return 10 * math.log10(power) if power else -math.inf


# ---------------------------------------------------------------------------------------------
# A rendered corpus


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A rendered corpus: its catalogues, and a reader that knows nothing of envelopes."""

    root: Path
    stems: list[CatalogueStem]
    catalogues: dict[str, SplitCatalogue]

    @functools.cache  # noqa: B019 - one corpus a session
    def audio(self, path: str) -> Float64s:
        audio, rate = soundfile.read(self.root / path)
        assert rate == 44100
        assert audio.ndim == 1
        return audio

    def read(self, source: MixtureSource) -> Float64s:
        """Return what the record of a source says it reads."""
        audio = self.audio(source.path)
        assert len(audio) == source.n_stem_samples
        indices = np.arange(source.start, source.start + source.n_read) - source.shift
        return np.take(audio, indices, mode="wrap")


@pytest.fixture(scope="module")
def rendered(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    sources = find_sources([str(corpus)], tmp_path_factory.mktemp("cache"))
    stems = read_stems(sources, {}, 1)
    return Corpus(corpus, stems, split_catalogues(stems, SLAKH))


def every_mixture(
    rendered: Corpus, n_mixtures: int, mode: Mode, **changes: Any
) -> Iterator[Mixture]:
    plan_of = coherent if mode is Mode.COHERENT else incoherent
    for split, catalogue in rendered.catalogues.items():
        plan = plan_of(catalogue, split, **changes)
        assert plan.n_songs == len(catalogue.songs)
        yield from plan.mixtures(0, n_mixtures)


@pytest.mark.parametrize("target", [*BAND, None])
@pytest.mark.parametrize("min_rms_dbfs", [-30.0, -24.0])
def test_coherent_mixtures_are_one_moment_of_one_song_with_the_target_present(
    rendered: Corpus, target: str | None, min_rms_dbfs: float
) -> None:
    split_of = {stem.song_id: stem.split for stem in rendered.stems}
    n_stems = Counter(stem.song_id for stem in rendered.stems)
    options = {"target": target, "min_rms_dbfs": min_rms_dbfs}
    for mixture in every_mixture(rendered, 40, Mode.COHERENT, **options):
        assert (mixture.mode, mixture.n_samples, mixture.sample_rate) == ("coherent", 44100, 44100)
        (song,) = {source.song_id for source in mixture.sources}
        assert split_of[song] == mixture.split
        assert len({source.stem_id for source in mixture.sources}) == len(mixture.sources)
        assert len(mixture.sources) == n_stems[song]
        ((start, n_read),) = {(source.start, source.n_read) for source in mixture.sources}
        assert n_read == 44100
        assert 0 <= start <= mixture.sources[0].n_stem_samples - n_read
        levels = {s.group: rms_dbfs(rendered.read(s)) for s in mixture.sources}
        loudest = max(levels.values()) if target is None else levels[target]
        assert loudest > min_rms_dbfs - 0.005  # stems are rounded to 16 bits after measuring
        for source in mixture.sources:
            expected = "source" if target is None else "interference"
            assert source.role == ("target" if source.group == target else expected)
            assert (source.shift, source.transforms, source.gain_db) == (0, (), 0.0)
            assert source.target_lufs is None


@pytest.mark.parametrize("target", ["piano", "drums", None])
def test_incoherent_mixtures_have_one_sounding_clip_of_every_target_equally_loud(
    rendered: Corpus, target: str | None
) -> None:
    split_of = {stem.stem_id: stem.split for stem in rendered.stems}
    meter = pyloudnorm.Meter(44100, filter_class="DeMan")
    n_songs, n_off_lu, n_sources = Counter[int](), 0, 0
    for mixture in every_mixture(rendered, 60, Mode.INCOHERENT, target=target):
        catalogue = rendered.catalogues[mixture.split]
        assert [source.group for source in mixture.sources] == list(catalogue.members)
        n_songs[len({source.song_id for source in mixture.sources})] += 1
        for source in mixture.sources:
            assert split_of[source.stem_id] == mixture.split
            assert 0 <= source.start <= source.n_stem_samples - source.n_read
            assert source.n_read == 44100
            audio = rendered.read(source)
            assert rms_dbfs(audio) > (-30.005 if source.group == target else -60.05)
            assert source.target_lufs is None
            played = audio * 10 ** (source.gain_db / 20)
            n_off_lu += abs(meter.integrated_loudness(played) + 25.0) > 0.15
            n_sources += 1
    assert n_off_lu < 0.02 * n_sources  # releases, cut at their beginning
    assert max(n_songs) >= 3  # of the training songs


def test_what_is_resampled_is_measured_when_it_is_realised(rendered: Corpus) -> None:
    plan = incoherent(rendered.catalogues["train"], rate=16000)
    for mixture in plan.mixtures(0, 20):
        assert (mixture.sample_rate, mixture.n_samples) == (16000, 16000)
        for source in mixture.sources:
            assert (source.target_lufs, source.gain_db) == (-25.0, 0.0)
            assert (source.sample_rate, source.n_read) == (44100, 44100)


def test_what_is_shifted_is_still_present_at_its_new_place(rendered: Corpus) -> None:
    options = {"target": "drums", "augment": ("shift",)}
    shifts = Counter[float]()
    for mixture in every_mixture(rendered, 60, Mode.COHERENT, **options):
        assert len({source.start for source in mixture.sources}) == 1  # one moment of the mixture
        for source in mixture.sources:
            shifts[source.shift / 44100] += 1
            assert not source.is_shift_padded
            if source.group == "drums":
                assert rms_dbfs(rendered.read(source)) > -30.005
    assert set(shifts) == {0, 0.1, 0.2}
    assert min(shifts.values()) > 0.25 * sum(shifts.values())


def test_only_padded_shifts_are_padded(rendered: Corpus) -> None:
    circular, padded = (
        list(every_mixture(rendered, 20, Mode.COHERENT, augment=(augment,)))
        for augment in ("shift", "shift-padded")
    )
    for one, two in zip(circular, padded, strict=True):
        assert all(source.is_shift_padded for source in two.sources)
        same = tuple(dataclasses.replace(s, is_shift_padded=False) for s in two.sources)
        assert dataclasses.replace(two, sources=same) == one


def test_remixes_keep_the_target_and_take_all_else_from_elsewhere(rendered: Corpus) -> None:
    catalogue = rendered.catalogues["train"]
    plan = coherent(catalogue, target="bass", augment=("remix",))
    plain = coherent(catalogue, target="bass")
    donors = set()
    for mixture, before in zip(plan.mixtures(0, 60), plain.mixtures(0, 60), strict=True):
        (target,) = (source for source in mixture.sources if source.group == "bass")
        assert target == next(source for source in before.sources if source.group == "bass")
        assert {s.group for s in mixture.sources} == {s.group for s in before.sources}
        for source in mixture.sources:
            if source.group == "bass":
                continue
            others = map(catalogue.songs.name, catalogue.songs_with[source.group])
            elsewhere = [song for song in others if song != target.song_id]
            assert source.song_id in elsewhere or not elsewhere
            if elsewhere:
                donors.add(source.song_id)
                assert rms_dbfs(rendered.read(source)) > -60.05
            assert 0 <= source.start <= source.n_stem_samples - source.n_read
    assert len(donors) == len(catalogue.songs)


def test_at_another_tempo_the_target_is_present_in_all_that_is_read(rendered: Corpus) -> None:
    options = {"target": "guitar", "augment": ("tempo",)}
    lengths = set()
    for mixture in every_mixture(rendered, 60, Mode.COHERENT, **options):
        for source in mixture.sources:
            assert 0 <= source.start <= source.n_stem_samples - source.n_read
            lengths.add(source.n_read / 44100)
            if source.group == "guitar":
                assert rms_dbfs(rendered.read(source)) > -30.005
    assert lengths == {0.5, 0.8, 1.0, 1.3, 1.5, 1.8, 2.0}


def test_recipes_survive_their_file(rendered: Corpus, tmp_path: Path) -> None:
    augment = ("tempo", "wet", "gain")
    mixtures = [
        *every_mixture(rendered, 5, Mode.COHERENT, target="bass", augment=augment),
        *every_mixture(rendered, 5, Mode.INCOHERENT, augment=augment),
    ]
    shards.write_records(tmp_path / "m.parquet", Mixture, mixtures)
    assert shards.read_records(tmp_path / "m.parquet", Mixture) == mixtures


@pytest.mark.slow
def test_the_rules_hold_for_real_scores(shared: Path, tmp_path: Path, here: Any) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    for name in ("casio_mellowrb", "casio_discosoul", "pflib_8beat2"):
        score = shared / "midi" / "dev" / "mma_generated" / f"mma__{name}.mid"
        (scores / score.name).write_bytes(score.read_bytes())
    options = "--seed", 1, "--jobs", 0, "--splits", "1,0,0"
    done = here("render", scores, tmp_path / "c", *options)
    assert done.returncode == 0, done.stderr
    stems = read_stems(find_sources([str(tmp_path / "c")], tmp_path), {}, 1)
    real = Corpus(tmp_path / "c", stems, split_catalogues(stems, SLAKH))
    for target in BAND:
        for mixture in every_mixture(real, 50, Mode.COHERENT, target=target, clip_s=10.0):
            assert len({source.song_id for source in mixture.sources}) == 1
            (source,) = (source for source in mixture.sources if source.group == target)
            assert rms_dbfs(real.read(source)) > -30.005
    meter = pyloudnorm.Meter(44100, filter_class="DeMan")
    misses = []
    for mixture in every_mixture(real, 250, Mode.INCOHERENT, clip_s=10.0):
        for source in mixture.sources:
            played = real.read(source) * 10 ** (source.gain_db / 20)
            misses.append(abs(meter.integrated_loudness(played) + 25.0))
    assert len(misses) >= 1000
    assert np.mean(np.array(misses) <= 0.15) >= 0.999


# ---------------------------------------------------------------------------------------------
# Stems whose sound is known


def levels_of(text: str) -> list[float]:
    """Return 0.5 s of -22 dBFS for every #, of silence for every dot."""
    return [level for sign in text for level in [-22.0 if sign == "#" else -300.0] * 5]


def stem_of(stem_id: str, text: str, **changes: Any) -> CatalogueStem:
    """Return a stem without a file: ``song/target``."""
    rng = np.random.default_rng(len(stem_id))
    levels = np.array(levels_of(text))
    audio = rng.standard_normal((len(levels), STEP))
    audio *= 10 ** (levels[:, None] / 20) / np.sqrt(np.mean(audio**2, axis=1, keepdims=True))
    measured = envelope(audio.ravel().astype(np.float32), RATE)
    song, _, target = stem_id.partition("/")
    stem = CatalogueStem(
        stem_id=stem_id,
        song_id=song,
        content_id=song,
        split="train",
        classes=(target.rstrip("0123456789"),),
        root="root",
        path=f"{stem_id}.wav",
        stream=0,
        sha256="",
        sample_rate=RATE,
        n_samples=audio.size,
        k_power=measured.k_power,
        power=measured.power,
    )
    return dataclasses.replace(stem, **changes)


#                        seconds   0 1 2 3 4 5
STEMS = [
    stem_of("one/piano", "############"),
    stem_of("one/bass", "....####...."),
    stem_of("two/piano", "..##..######"),
    stem_of("two/bass", "............"),
    stem_of("two/guitar", "####........"),
    stem_of("three/bass", "##########"),
    stem_of("three/piano", "############"),
    stem_of("four/drums", "############"),
    stem_of("five/bass", "##"),
    stem_of("five/piano", "."),
]
CATALOGUE = SplitCatalogue(STEMS, SLAKH)


def starts(mixtures: Sequence[Mixture]) -> dict[str, list[float]]:
    """Return the offsets of every song in 100 ms, in order of the mixtures."""
    found: dict[str, list[float]] = {}
    for mixture in mixtures:
        source = mixture.sources[0]
        found.setdefault(source.song_id, []).append(source.start / STEP)
    return found


def test_every_offset_at_which_the_target_sounds_comes_once_before_any_comes_twice() -> None:
    # Noise of -22 dBFS has -32 dBFS in a clip of 10 steps if it lasts for one, -29 if for two.
    # Song "one" has it from step 20 to 40, "three" (5 s long) throughout.
    plan = coherent(CATALOGUE, target="bass")
    expected = {"one": set(range(12, 39)), "three": set(range(41))}
    assert plan.n_songs == 2
    assert plan.n_clips == sum(map(len, expected.values()))
    assert "five" not in starts(list(plan.mixtures(0, 500)))  # one stem is too short for a clip
    for song, offsets in starts(list(plan.mixtures(0, 500))).items():
        n_offsets = len(expected[song])
        for first in range(0, len(offsets) - n_offsets, n_offsets):
            assert set(offsets[first : first + n_offsets]) == expected[song]


def test_songs_take_turns() -> None:
    plan = coherent(CATALOGUE)
    songs = [mixture.sources[0].song_id for mixture in plan.mixtures(0, plan.n_clips)]
    assert plan.n_songs == 4
    n_clips = Counter(songs)
    n_turns = min(n_clips.values())  # then the first song has no clip left and sits out
    turns = [songs[k : k + 4] for k in range(0, 4 * n_turns, 4)]
    assert n_turns >= 5
    assert all(set(turn) == {"one", "two", "three", "four"} for turn in turns)
    last = max(n_clips.values()) - sorted(n_clips.values())[-2]
    assert set(songs[len(songs) - last :]) <= {max(n_clips, key=n_clips.__getitem__)}


def test_no_clip_comes_twice_before_all_have_come() -> None:
    plan = coherent(CATALOGUE, target="bass")
    mixtures = list(plan.mixtures(0, 2 * plan.n_clips))
    clips = [(m.sources[0].song_id, m.sources[0].start) for m in mixtures]
    first, second = clips[: plan.n_clips], clips[plan.n_clips :]
    assert len(set(first)) == plan.n_clips
    assert second == first


def test_no_clip_comes_from_a_silent_target() -> None:
    for target in ("bass", "guitar", "drums"):
        for mixture in coherent(CATALOGUE, target=target).mixtures(0, 200):
            (source,) = (s for s in mixture.sources if s.group == target)
            assert source.stem_id != "two/bass"
            stem = next(stem for stem in STEMS if stem.stem_id == source.stem_id)
            power = stem.power[source.start // STEP :][:10]
            assert power.mean(dtype=np.float64) > 1e-3


def test_without_a_target_the_mixture_is_not_silent() -> None:
    # Song "two": the bass is silent throughout, and piano and guitar are from 2 s to 3 s.
    offsets = set(starts(list(coherent(CATALOGUE).mixtures(0, 400)))["two"])
    assert offsets == {*range(19), *range(22, 51)}


def test_a_threshold_that_nothing_reaches_leaves_no_song() -> None:
    plan = coherent(CATALOGUE, target="bass", min_rms_dbfs=-5.0)
    assert (plan.n_songs, plan.n_clips) == (0, 0)


def test_a_song_whose_stems_have_two_rates_is_left_out() -> None:
    other = stem_of("one/drums", "############", sample_rate=2 * RATE)
    catalogue = SplitCatalogue([*STEMS, other], SLAKH)
    plan = coherent(catalogue)
    assert plan.n_songs == coherent(CATALOGUE).n_songs - 1
    assert "one" not in {s.song_id for m in plan.mixtures(0, 400) for s in m.sources}
    unused = {catalogue.stems[k].stem_id: (reason, text) for k, reason, text in plan.unused()}
    for k in catalogue.songs["one"]:
        reason, text = unused[catalogue.stems[k].stem_id]
        assert reason is Reason.MISMATCH
        assert text == f"the stems of its song have 2 sample rates: {RATE} Hz, {2 * RATE} Hz"


def test_what_is_not_unused_is_used() -> None:
    for plan in (coherent(CATALOGUE), coherent(CATALOGUE, target="bass"), incoherent(CATALOGUE)):
        unused = {CATALOGUE.stems[k].stem_id for k, _, _ in plan.unused()}
        used = {s.stem_id for m in plan.mixtures(0, 3000) for s in m.sources}
        assert used.isdisjoint(unused)
        assert used | unused == {stem.stem_id for stem in CATALOGUE.stems}


def test_clips_are_drawn_evenly_over_stems_and_over_offsets() -> None:
    plan = incoherent(CATALOGUE)
    counts: dict[str, Counter[str]] = {}
    offsets = Counter[int]()
    n_mixtures = 3000
    for mixture in plan.mixtures(0, n_mixtures):
        for source in mixture.sources:
            counts.setdefault(source.group, Counter())[source.song_id] += 1
            if source.stem_id == "four/drums":
                offsets[source.start // STEP] += 1
    assert set(counts["bass"]) == {"one", "three", "five"}
    assert set(counts["piano"]) == {"one", "two", "three"}
    for group in ("bass", "piano"):
        assert all(abs(n - n_mixtures / 3) < 130 for n in counts[group].values())  # 5 sigma
    assert set(offsets) == set(range(51))
    assert all(20 < n < 105 for n in offsets.values())  # 59 expected


def test_sources_of_an_incoherent_mixture_are_drawn_apart_from_each_other() -> None:
    songs = [
        tuple(s.song_id for s in mixture.sources if s.group in ("bass", "piano"))
        for mixture in incoherent(CATALOGUE).mixtures(0, 3000)
    ]
    pairs = Counter(songs)
    assert len(pairs) == 9
    assert all(abs(n - 3000 / 9) < 90 for n in pairs.values())


def test_incoherent_mixtures_need_two_targets_and_the_one_asked_for() -> None:
    assert incoherent(SplitCatalogue(STEMS, Taxonomy("t", {"bass": ["bass"]}))).n_songs == 0
    silent = SplitCatalogue([stem for stem in STEMS if stem.song_id == "two"], SLAKH)
    assert incoherent(silent).n_songs == 1
    assert incoherent(silent).missing == ["bass"]
    assert incoherent(silent, target="bass").n_songs == 0
    assert incoherent(silent, target="piano").n_songs == 1


# ---------------------------------------------------------------------------------------------
# Identity, not order

# Of those that do not go together, one.
EVERY = set(AUGMENTATIONS.names) - {"silence", "shift-padded", "kit-swap", "drums-bass-noise"}
ALL_COHERENT = tuple(sorted(EVERY))
ALL_INCOHERENT = tuple(sorted(EVERY - {"shift", "remix"}))
PLANS = [
    (coherent, {"target": "bass", "augment": ALL_COHERENT, "overlay": "drums"}),
    (coherent, {}),
    (incoherent, {"target": "bass", "augment": ALL_INCOHERENT}),
    (incoherent, {}),
]
each_plan = pytest.mark.parametrize(("plan_of", "options"), PLANS)


@each_plan
@settings(deadline=None, max_examples=15)
@given(order=st.permutations(STEMS))
def test_the_order_of_stems_does_not_matter(
    plan_of: Any, options: dict[str, Any], order: list[CatalogueStem]
) -> None:
    expected = list(plan_of(CATALOGUE, **options).mixtures(0, 12))
    assert list(plan_of(SplitCatalogue(order, SLAKH), **options).mixtures(0, 12)) == expected


@each_plan
@settings(deadline=None, max_examples=15)
@given(first=st.integers(0, 1100), n=st.integers(0, 40))
def test_a_mixture_depends_on_its_number_and_not_on_who_came_before(
    plan_of: Any, options: dict[str, Any], first: int, n: int
) -> None:
    whole = whole_plan(PLANS.index((plan_of, options)))
    again = plan_of(CATALOGUE, n_mixtures=first + n + 1, **options)
    assert list(again.mixtures(first, first + n)) == whole[first : first + n]
    assert [m.mixture_id for m in whole[:2]] == ["train-00000000", "train-00000001"]


@functools.cache
def whole_plan(number: int) -> list[Mixture]:
    plan_of, options = PLANS[number]
    return list(plan_of(CATALOGUE, n_mixtures=5000, **options).mixtures(0, 1200))


@each_plan
def test_another_seed_gives_other_mixtures(plan_of: Any, options: dict[str, Any]) -> None:
    one, two = (list(plan_of(CATALOGUE, seed=s, **options).mixtures(0, 40)) for s in (0, 1))
    assert sum(a == b for a, b in zip(one, two, strict=True)) < 10


def test_a_song_more_leaves_the_offsets_of_the_others_in_their_order() -> None:
    more = SplitCatalogue([*STEMS, stem_of("six/bass", "####")], SLAKH)
    before = starts(list(coherent(CATALOGUE, target="bass").mixtures(0, 60)))
    after = starts(list(coherent(more, target="bass").mixtures(0, 90)))
    assert set(after) == {*before, "six"}
    for song, offsets in before.items():
        n = min(len(offsets), len(after[song]))
        assert n >= 5
        assert after[song][:n] == offsets[:n]


def test_what_sounds_at_a_moment_does_not_depend_on_the_effects_asked_for() -> None:
    plain = coherent(CATALOGUE, target="bass")
    wet = coherent(CATALOGUE, target="bass", augment=("wet", "gain", "polarity"))
    for one, two in zip(plain.mixtures(0, 30), wet.mixtures(0, 30), strict=True):
        same = [dataclasses.replace(s, transforms=(), gain_db=0.0) for s in two.sources]
        assert dataclasses.replace(two, sources=tuple(same)) == one


def test_a_mixture_never_takes_stems_of_two_splits() -> None:
    split_of = {"one": "train", "two": "test", "three": "train", "four": "train", "five": "test"}
    stems = [dataclasses.replace(stem, split=split_of[stem.song_id]) for stem in STEMS]
    catalogues = split_catalogues(stems, SLAKH)
    assert list(catalogues) == ["train", "test"]
    augment = ("remix",)
    for split, catalogue in catalogues.items():
        plans = [
            coherent(catalogue, split, augment=augment, overlay="drums"),
            incoherent(catalogue, split),
        ]
        for mixture in itertools.chain(*(plan.mixtures(0, 50) for plan in plans)):
            assert mixture.split == split
            assert mixture.mixture_id.startswith(split)
            assert {split_of[source.song_id] for source in mixture.sources} == {split}


# ---------------------------------------------------------------------------------------------
# Augmentations


def transforms_of(source: MixtureSource) -> list[dict[str, Any]]:
    return [json.loads(text) for text in source.transforms]


@pytest.mark.parametrize("augment", ["shift", "shift-padded"])
def test_the_interval_moves_along_with_the_shifted_target(augment: str) -> None:
    read: dict[str, set[int]] = {"one": set(), "three": set()}
    for mixture in coherent(CATALOGUE, target="bass", augment=(augment,)).mixtures(0, 400):
        (target,) = (source for source in mixture.sources if source.group == "bass")
        assert {source.start for source in mixture.sources} == {target.start}
        read[target.song_id].add((target.start - target.shift) // STEP)
    assert read == {"one": set(range(12, 39)), "three": set(range(41))}


@pytest.mark.parametrize("plan_of", [coherent, incoherent])
def test_tempo_is_one_factor_for_a_song_and_one_for_every_clip(plan_of: Any) -> None:
    counts = Counter[float]()
    n_factors = Counter[int]()
    for mixture in plan_of(CATALOGUE, augment=("tempo",)).mixtures(0, 1000):
        factors = []
        for source in mixture.sources:
            factor = next((t["factor"] for t in transforms_of(source)), 1)
            # Just what the clip needs, in whole 100 ms.
            assert source.n_read == math.ceil(10 * factor) * STEP
            factors.append(factor)
            if plan_of is incoherent:
                assert source.target_lufs == (None if factor == 1 else -25.0)
        counts[factors[0]] += 1
        n_factors[len(set(factors))] += 1
    assert set(counts) == {0.5, 0.75, 1, 1.25, 1.5, 1.75, 2}
    assert abs(counts[1] - 400) < 80
    assert all(abs(n - 100) < 50 for factor, n in counts.items() if factor != 1)
    assert (max(n_factors) == 1) == (plan_of is coherent)


@pytest.mark.parametrize("plan_of", [coherent, incoherent])
def test_a_clip_that_is_too_short_at_a_tempo_keeps_its_own(plan_of: Any) -> None:
    stems = [stem_of("a/piano", "###"), stem_of("a/bass", "###")]
    plan = plan_of(SplitCatalogue(stems, SLAKH), augment=("tempo",))
    factors = set()
    for mixture in plan.mixtures(0, 200):
        for source in mixture.sources:
            assert source.start + source.n_read <= source.n_stem_samples
            factors |= {t["factor"] for t in transforms_of(source)} or {1}
    assert factors == {0.5, 0.75, 1, 1.25, 1.5}


@pytest.mark.parametrize("plan_of", [coherent, incoherent])
@pytest.mark.parametrize("target", ["piano", None])
def test_at_most_one_instrument_is_muted_and_never_the_target(
    plan_of: Any, target: str | None
) -> None:
    muted = Counter[str | None]()
    for mixture in plan_of(CATALOGUE, target=target, augment=("instrument",)).mixtures(0, 900):
        groups = {s.group for s in mixture.sources if {"name": "mute"} in transforms_of(s)}
        assert len(groups) <= 1
        assert target not in groups
        assert any({"name": "mute"} not in transforms_of(s) for s in mixture.sources)
        muted[next(iter(groups), None)] += 1
    assert muted[None] > 100
    assert len(muted) > 2


@pytest.mark.parametrize("plan_of", [coherent, incoherent])
def test_without_a_target_all_four_are_muted_as_often_as_none(plan_of: Any) -> None:
    catalogue = SplitCatalogue([stem_of(f"a/{name}", 9 * "######") for name in BAND], SLAKH)
    muted = Counter[str | None]()
    for mixture in plan_of(catalogue, target=None, augment=("instrument",)).mixtures(0, 1500):
        groups = [s.group for s in mixture.sources if {"name": "mute"} in transforms_of(s)]
        muted[next(iter(groups), None)] += 1
    assert set(muted) == {None, *BAND}
    deviation = math.sqrt(1500 * 0.2 * 0.8)
    assert all(abs(n - 300) < 4 * deviation for n in muted.values()), muted


def test_what_alone_sounds_is_not_muted() -> None:
    silent = [stem_of(f"a/{name}", "......") for name in ("guitar", "bass")]
    stems = [stem_of("a/piano", "######"), *silent]
    plan = coherent(SplitCatalogue(stems, SLAKH), target=None, augment=("instrument",))
    muted = {
        s.group
        for mixture in plan.mixtures(0, 100)
        for s in mixture.sources
        if {"name": "mute"} in transforms_of(s)
    }
    assert muted == {"guitar", "bass"}


def test_all_stems_of_the_muted_instrument_are_muted() -> None:
    stems = [stem_of(f"a/{name}", "######") for name in ("guitar1", "guitar2", "bass", "piano")]
    stems[0] = dataclasses.replace(stems[0], classes=("guitar",))
    plan = coherent(SplitCatalogue(stems, SLAKH), target="piano", augment=("instrument",))
    for mixture in plan.mixtures(0, 100):
        guitars = {s.transforms for s in mixture.sources if s.group == "guitar"}
        assert len([s for s in mixture.sources if s.group == "guitar"]) == 2
        assert len(guitars) == 1


@pytest.mark.parametrize("plan_of", [coherent, incoherent])
def test_gains_are_0_25_to_1_25_and_half_of_the_sources_upside_down(plan_of: Any) -> None:
    plain = plan_of(CATALOGUE)
    plan = plan_of(CATALOGUE, augment=("gain", "polarity"))
    amplitudes, is_inverted = [], []
    for mixture, before in zip(plan.mixtures(0, 500), plain.mixtures(0, 500), strict=True):
        for source, original in zip(mixture.sources, before.sources, strict=True):
            is_inverted.append(source.transforms == ('{"name":"invert"}',))
            base_db = 0.0 if source.target_lufs is not None else original.gain_db
            amplitudes.append(10 ** ((source.gain_db - base_db) / 20))
    assert min(amplitudes) > 0.25 - 1e-4
    assert max(amplitudes) < 1.25 + 1e-4
    assert np.mean(amplitudes) == pytest.approx(0.75, abs=0.03)
    assert np.std(amplitudes) == pytest.approx(1 / math.sqrt(12), abs=0.02)
    assert np.mean(is_inverted) == pytest.approx(0.5, abs=0.06)


def test_effects_differ_between_the_sources_of_a_mixture() -> None:
    names = Counter[str]()
    n_alike = 0
    for mixture in incoherent(CATALOGUE, augment=("wet",)).mixtures(0, 400):
        chains = [source.transforms for source in mixture.sources if source.transforms]
        n_alike += len(chains) - len(set(chains))
        for source in mixture.sources:
            names.update(t["name"] for t in transforms_of(source))
            assert source.target_lufs == (-25.0 if source.transforms else None)
    assert n_alike == 0
    n_sources = 400 * 4
    for name in ("contrast", "reverb", "noise"):
        assert names[name] / n_sources == pytest.approx(0.3, abs=0.06)


def test_an_overlay_is_put_over_songs_that_lack_it_as_loud_as_their_median_stem() -> None:
    vocals = stem_of("solo/vocals", "..##########")
    stems = [*STEMS, dataclasses.replace(vocals, k_power=vocals.k_power * np.float32(0.01))]
    taxonomy = Taxonomy("t", {"vocals": ["vocals"], "other": ["*"]})
    catalogue = SplitCatalogue(stems, taxonomy)
    n_over = 0
    for mixture in coherent(catalogue, target="other", overlay="vocals").mixtures(0, 100):
        over = [source for source in mixture.sources if source.group == "vocals"]
        (song,) = {source.song_id for source in mixture.sources if source.group == "other"}
        assert [source.role for source in over] == ["interference"]
        levels = [catalogue.loudness_lufs(k) for k in catalogue.songs[song]]
        heard = [level for level in levels if level is not None]
        own = catalogue.loudness_lufs(catalogue.members["vocals"][0])
        assert own is not None
        assert over[0].gain_db == pytest.approx(np.median(heard) - own, abs=1e-3)
        assert vocals.power[over[0].start // STEP :][:10].any()
        n_over += 1
    assert n_over == 100
    for mixture in coherent(catalogue, target="vocals").mixtures(0, 5):
        assert {source.song_id for source in mixture.sources} == {"solo"}


def test_nothing_is_put_over_a_song_that_has_it() -> None:
    for mixture in coherent(CATALOGUE, target="piano", overlay="guitar").mixtures(0, 60):
        guitars = [s.song_id for s in mixture.sources if s.group == "guitar"]
        songs = {s.song_id for s in mixture.sources if s.group != "guitar"}
        assert len(guitars) == len(songs) == 1
        assert guitars == ["two"]


# ---------------------------------------------------------------------------------------------
# Options


@given(
    st.integers(1, 10_000),
    st.dictionaries(
        st.sampled_from(["train", "validation", "test"]), st.integers(1, 900), min_size=1
    ),
)
def test_mixtures_are_divided_in_proportion_to_songs(n: int, n_songs: dict[str, int]) -> None:
    counts = n_per_split(n, n_songs)
    assert list(counts) == list(n_songs)
    assert sum(counts.values()) == n
    total = sum(n_songs.values())
    for split, count in counts.items():
        assert abs(count * total - n * n_songs[split]) < total  # within one mixture


def test_the_largest_remainders_round_up() -> None:
    assert n_per_split(10, {"train": 7, "validation": 2, "test": 1}) == {
        "train": 7,
        "validation": 2,
        "test": 1,
    }
    assert n_per_split(5, {"train": 14, "validation": 3, "test": 3}) == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    assert n_per_split(1, {"train": 5, "validation": 4, "test": 4}) == {
        "train": 1,
        "validation": 0,
        "test": 0,
    }


def test_the_sample_rate_is_the_lowest_or_the_one_wanted() -> None:
    rates = (48000, 22050, 44100)
    stems = StemTable.of(stem_of("a/bass", "##", sample_rate=rate) for rate in rates)
    assert common_sample_rate(stems, None) == 22050
    assert common_sample_rate(stems, 16000) == 16000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_mixtures": 0}, "at least one mixture"),
        ({"clip_s": 0.3}, "multiple of 0.1 s"),
        ({"clip_s": 1.25}, "multiple of 0.1 s"),
        ({"clip_s": -10.0}, "multiple of 0.1 s"),
        ({"clip_s": math.inf}, "multiple of 0.1 s"),
        ({"clip_s": math.nan}, "multiple of 0.1 s"),
        ({"sample_rate": 11025}, "multiple of 10 Hz"),
        ({"sample_rate": 0}, "multiple of 10 Hz"),
        ({"peak_ceiling_dbfs": 0.1}, "--peak-ceiling"),
        ({"peak_ceiling_dbfs": math.nan}, "--peak-ceiling"),
        ({"peak_ceiling_dbfs": -100.0}, "--peak-ceiling"),
        ({"min_rms_dbfs": math.nan}, "--min-rms"),
        ({"target_lufs": math.nan}, "--target-lufs"),
        ({"target_lufs": -math.inf}, "--target-lufs"),
        ({"pairing_threshold": math.nan, "mode": Mode.INCOHERENT}, "--pairing-threshold"),
        ({"augment": ("silence",)}, "silence: not with --mode coherent"),
        ({"augment": ("remix",), "mode": Mode.INCOHERENT}, "remix: not with"),
        ({"augment": ("shift",), "mode": Mode.INCOHERENT}, "shift: not with"),
        ({"augment": ("shift", "shift-padded")}, "exclude each other"),
        ({"pairing": Pairing.CHROMA}, "--pairing chroma: only with"),
        (
            {"pairing": Pairing.CHROMA, "mode": Mode.INCOHERENT, "augment": ("tempo",)},
            "not with tempo",
        ),
        ({"overlay": "vocals", "mode": Mode.INCOHERENT}, "--overlay needs"),
        ({"overlay": "bass", "target": "bass"}, "--overlay needs"),
    ],
)
def test_options_without_a_sense_are_refused_with_one_line(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError, match=text) as error:
        MixConfig(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("clip_s", [0.4, 0.7, 2.3, 10.0, 12.8])
def test_a_clip_is_a_whole_number_of_100_ms(clip_s: float) -> None:
    assert MixConfig(clip_s=clip_s).clip_steps == round(clip_s * 10)
