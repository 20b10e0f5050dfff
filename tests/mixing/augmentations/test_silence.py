"""Stems without silence, against librosa's split, closed forms and NumPy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.storage import file_hash
from stemsmith.mixing.audio.realise import realise
from stemsmith.mixing.audio.transforms import encode, kept_stretches
from stemsmith.mixing.augmentations.silence import Gapless
from stemsmith.mixing.level.loudness import envelope
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.plan.incoherent import IncoherentPlan
from stemsmith.mixing.sources.catalogue import SplitCatalogue, sounding_steps
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import Taxonomy

RATE = 16000
STEP = RATE // 10
DUO = Taxonomy("duo", {"piano": ["piano"], "violin": ["violin"]})


def noise(levels_dbfs: Sequence[float], seed: int = 0) -> Float32s:
    """Return noise of one level in each 100 ms."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((len(levels_dbfs), STEP))
    steps /= np.sqrt(np.mean(steps**2, axis=1, keepdims=True))
    return (steps * 10 ** (np.array(levels_dbfs)[:, None] / 20)).ravel().astype(np.float32)


def write_stem(root: Path, stem_id: str, audio: Float32s, target: str) -> CatalogueStem:
    path = root / f"{stem_id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    levels = envelope(audio, RATE)
    song = stem_id.partition("/")[0]
    return CatalogueStem(
        stem_id=stem_id,
        song_id=song,
        content_id=song,
        split="train",
        classes=(target,),
        root="root",
        path=path.relative_to(root).as_posix(),
        stream=0,
        sha256=file_hash(path),
        sample_rate=RATE,
        n_samples=len(audio),
        k_power=levels.k_power,
        power=levels.power,
    )


def bursts(rng: np.random.Generator, n_bursts: int) -> tuple[list[float], list[bool]]:
    """Return levels of 0.5 to 1.5 s of sound and of silence in turn, and where sound is."""
    levels: list[float] = []
    sounds: list[bool] = []
    for _ in range(n_bursts):
        for level, is_sound in ((rng.uniform(-34, -20), True), (rng.uniform(-90, -46), False)):
            n_steps = int(rng.integers(5, 16))
            levels += [level] * n_steps
            sounds += [is_sound] * n_steps
    return [-20.0, *levels], [True, *sounds]


# ---------------------------------------------------------------------------------------------
# Which steps sound


@pytest.mark.parametrize(("level_db", "is_kept"), [(-19.9, True), (-20.1, False)])
def test_steps_within_20_db_of_the_loudest_sound(level_db: float, is_kept: bool) -> None:
    power = np.array([0.0, 0.01, 0.01 * 10 ** (level_db / 10), 0.0], np.float32)
    assert sounding_steps(power).tolist() == ([1, 2] if is_kept else [1])


@pytest.mark.parametrize("n_steps", [0, 1, 50])
def test_silence_has_no_sounding_step(n_steps: int) -> None:
    assert sounding_steps(np.zeros(n_steps, np.float32)).tolist() == []


@given(st.lists(st.floats(1e-6, 1.0), min_size=1), st.floats(-60, 20))
def test_what_sounds_does_not_depend_on_the_level(powers: list[float], gain_db: float) -> None:
    steps = np.array(powers)
    edge = np.abs(10 * np.log10(steps / steps.max()) + 20)
    plain = sounding_steps(steps.astype(np.float32))
    moved = sounding_steps((steps * 10 ** (gain_db / 10)).astype(np.float32))
    unclear = set(np.flatnonzero(edge < 1e-3).tolist())
    assert set(plain.tolist()) - unclear == set(moved.tolist()) - unclear


@pytest.mark.parametrize("seed", range(4))
def test_steps_are_those_librosa_keeps_but_for_one_at_each_edge(seed: int) -> None:
    librosa = pytest.importorskip("librosa")
    levels, sounds = bursts(np.random.default_rng(seed), 8)
    audio = noise(levels, seed)
    kept = np.zeros(len(audio), bool)
    for start, stop in librosa.effects.split(audio, top_db=20):
        kept[start:stop] = True
    share = kept.reshape(-1, STEP).mean(axis=1)
    is_sounding = np.zeros(len(levels), bool)
    is_sounding[sounding_steps(envelope(audio, RATE).power)] = True
    assert is_sounding.tolist() == sounds
    # Frames of librosa reach half a frame and a hop, 96 ms, beyond a burst: never a whole step.
    assert (share[is_sounding] > 0.3).all()
    assert (share[~is_sounding] < 1).all()
    is_inside = np.array(sounds) & np.roll(sounds, 1) & np.roll(sounds, -1)
    is_outside = ~(np.array(sounds) | np.roll(sounds, 1) | np.roll(sounds, -1))
    assert share[is_inside].all()
    assert not share[is_outside].any()


# ---------------------------------------------------------------------------------------------
# What is read


@settings(deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=40).filter(any),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_stretches_are_the_sounding_steps_in_order(
    sounds: list[bool], first: int, n_steps: int
) -> None:
    n_sounding = sum(sounds)
    first %= n_sounding
    n_steps = min(n_steps, n_sounding - first)
    audio = noise([-20.0 if sound else -80.0 for sound in sounds])
    levels = envelope(audio, RATE)
    stem = CatalogueStem(
        "s/a", "s", "s", "train", ("piano",), "root", "a.wav", 0, "", RATE, len(audio),
        levels.k_power, levels.power,
    )  # fmt: skip
    keep = Gapless(SplitCatalogue([stem], DUO), DUO).keep(0, first, n_steps)
    transform = encode({"name": "silence", "keep": [list(stretch) for stretch in keep]})
    stretches = kept_stretches(['{"name":"mute"}', transform])
    assert stretches is not None
    steps = audio.reshape(-1, STEP)[np.flatnonzero(sounds)][first : first + n_steps]
    read = np.concatenate([audio[start : start + n] for start, n in stretches])
    np.testing.assert_array_equal(read, steps.ravel())
    ends = [start + n for start, n in stretches]
    assert all(end < start for end, (start, _) in zip(ends, stretches[1:], strict=False))


def test_a_source_that_reads_one_excerpt_has_no_stretches() -> None:
    assert kept_stretches([]) is None
    assert kept_stretches(['{"name":"invert"}', '{"factor":2,"name":"tempo"}']) is None


# ---------------------------------------------------------------------------------------------
# Mixtures without silence


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SplitCatalogue]:
    """Stems that sound half of the time, one that is silent, and one that sounds for 0.5 s."""
    root = tmp_path_factory.mktemp("sparse")
    stems = []
    for seed in range(4):
        levels, _ = bursts(np.random.default_rng(seed), 6)
        target = ("piano", "violin")[seed % 2]
        stems.append(write_stem(root, f"song{seed}/a", noise(levels, seed), target))
    stems.append(write_stem(root, "silent/a", np.zeros(10 * RATE, np.float32), "piano"))
    short = noise([-90.0] * 40 + [-20.0] * 5 + [-90.0] * 40)
    stems.append(write_stem(root, "short/a", short, "violin"))
    return root, SplitCatalogue(stems, DUO)


def plan_of(catalogue: SplitCatalogue, **changes: object) -> IncoherentPlan:
    config = MixConfig(mode=Mode.INCOHERENT, clip_s=2.0, augment=("silence",), target_lufs=-30.0)
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    return IncoherentPlan(catalogue, "train", config, RATE, Gapless(catalogue, DUO))


def test_gapless_stems_are_the_same_stems_but_shorter(sparse: tuple[Path, SplitCatalogue]) -> None:
    _, catalogue = sparse
    gapless = Gapless(catalogue, DUO).catalogue
    assert [stem.stem_id for stem in gapless.stems] == [s.stem_id for s in catalogue.stems]
    assert list(gapless.groups) == list(catalogue.groups)
    assert gapless.members.keys() == catalogue.members.keys()
    for target, members in gapless.members.items():
        assert members.tolist() == catalogue.members[target].tolist()
    for whole, short in zip(catalogue.stems, gapless.stems, strict=True):
        is_kept = np.zeros(whole.n_steps, bool)
        if whole.power.any():
            is_kept = whole.power > whole.power.max() / 100
        np.testing.assert_array_equal(short.power, whole.power[is_kept])
        np.testing.assert_array_equal(short.k_power, whole.k_power[is_kept])


def test_mixtures_have_no_gap_and_their_loudness(sparse: tuple[Path, SplitCatalogue]) -> None:
    root, catalogue = sparse
    audio_of = {s.stem_id: soundfile.read(root / s.path)[0] for s in catalogue.stems}
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    n_joined, seen = 0, set()
    for mixture in plan_of(catalogue).mixtures(0, 60):
        made = realise(mixture, {"root": root})
        assert made.guard_gain_db == 0
        for source in mixture.sources:
            seen.add(source.stem_id)
            transforms = [json.loads(text) for text in source.transforms]
            assert [transform["name"] for transform in transforms] == ["silence"]
            stretches = transforms[0]["keep"]
            n_joined += len(stretches) > 1
            audio = audio_of[source.stem_id]
            read = np.concatenate([audio[start : start + n] for start, n in stretches])
            assert len(read) == 2 * RATE
            loudest = np.mean(audio.reshape(-1, STEP) ** 2, axis=1).max()
            assert (np.mean(read.reshape(-1, STEP) ** 2, axis=1) > loudest / 100.1).all()
            made_audio = made[source.group][0].astype(np.float64)
            factor = np.dot(made_audio, read) / np.dot(read, read)
            np.testing.assert_allclose(made_audio, factor * read, atol=1e-6)
            assert meter.integrated_loudness(made_audio) == pytest.approx(-30.0, abs=0.05)
    assert seen == {f"song{k}/a" for k in range(4)}  # neither the silent nor the short one
    assert n_joined > 60


def test_an_instrument_that_only_sounds_in_snatches_gets_clips_without_silence(
    tmp_path: Path,
) -> None:
    # 12 s with 0.3 s of sound each second: no clip of 2 s is free of silence before it is cut.
    levels = [-20.0 if k % 10 < 3 else -300.0 for k in range(120)]
    stems = [
        write_stem(tmp_path, f"{target}/a", noise(levels, seed), target)
        for seed, target in enumerate(("piano", "violin"))
    ]
    plan = plan_of(SplitCatalogue(stems, DUO))
    assert plan.n_songs == 2
    for mixture in plan.mixtures(0, 20):
        made = realise(mixture, {"root": tmp_path})
        for target in ("piano", "violin"):
            power = np.mean(made[target].reshape(-1, STEP) ** 2, axis=1)
            assert 10 * np.log10(power.max() / power.min()) < 1


def test_a_change_of_tempo_reads_as_much_more_of_what_sounds(
    sparse: tuple[Path, SplitCatalogue],
) -> None:
    pytest.importorskip("librosa")
    root, catalogue = sparse
    factors = set()
    for mixture in plan_of(catalogue, augment=("silence", "tempo")).mixtures(0, 30):
        for source in mixture.sources:
            transforms = {t["name"]: t for t in map(json.loads, source.transforms)}
            assert next(iter(transforms)) == "silence"  # what is read comes first
            factor = transforms.get("tempo", {"factor": 1})["factor"]
            n_read = sum(n for _, n in transforms["silence"]["keep"])
            assert n_read == source.n_read == round(2 * RATE * factor)
            factors.add(factor)
        if len(factors) > 6:
            made = realise(mixture, {"root": root})
            assert all(audio.shape == (1, 2 * RATE) for audio in made.values())
    assert factors == {0.5, 0.75, 1, 1.25, 1.5, 1.75, 2}
