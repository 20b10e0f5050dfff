"""Pairing of clips: what NumPy and librosa say of the audio of every pair that was chosen."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from stemsmith.manifests.arrays import Float64s
from stemsmith.manifests.mixtures import MixtureSource
from stemsmith.manifests.storage import file_hash
from stemsmith.mixing.level.loudness import envelope
from stemsmith.mixing.plan import partners
from stemsmith.mixing.plan.config import MixConfig, Mode, Pairing
from stemsmith.mixing.plan.incoherent import IncoherentPlan, Partners
from stemsmith.mixing.sources.catalogue import SplitCatalogue, split_catalogues
from stemsmith.mixing.sources.find import find_sources, read_stems
from stemsmith.mixing.sources.stems import CatalogueStem
from stemsmith.mixing.sources.taxonomy import TAXONOMIES, Taxonomy

RATE = 16000
DUO = Taxonomy("duo", {"violin": ["violin"], "piano": ["piano"]})
KINDS = [Pairing.CHROMA, Pairing.CORRELATION, Pairing.PEARSON]


@functools.lru_cache(maxsize=64)
def whole(path: Path) -> Float64s:
    audio: Float64s = soundfile.read(path)[0]
    return audio


@dataclasses.dataclass(frozen=True)
class Place:
    """A second of a file."""

    path: Path
    start: int

    @property
    def audio(self) -> Float64s:
        return whole(self.path)[self.start : self.start + 44100]


@functools.cache
def chroma(place: Place) -> Float64s:
    librosa = pytest.importorskip("librosa")
    features = librosa.feature.chroma_stft(y=place.audio.astype(np.float32), sr=44100)
    return np.asarray(features.mean(axis=1), np.float64)


def statistic(kind: Pairing, one: Place, two: Place) -> float:
    """Return what two clips have in common, from their samples alone."""
    if kind is Pairing.CHROMA:
        return float(np.sqrt(np.sum((chroma(one) - chroma(two)) ** 2)))
    a, b = one.audio, two.audio
    product = abs(float(np.sum(a * b)))
    if kind is Pairing.PEARSON:
        return product / np.sqrt(float(np.sum(a**2)) * float(np.sum(b**2)))
    return product


def obeys(kind: Pairing, value: float, threshold: float, slack: float = 1e-4) -> bool:
    """Return whether two clips may meet; `slack` is the share by which the test may be off."""
    if kind is Pairing.CHROMA:
        return value < threshold * (1 + slack)
    return value > threshold * (1 - slack)


def config_of(kind: Pairing, **changes: Any) -> MixConfig:
    return dataclasses.replace(MixConfig(mode=Mode.INCOHERENT, clip_s=1.0, pairing=kind), **changes)


def search(catalogue: SplitCatalogue, config: MixConfig, root: Path, name: str) -> Partners:
    found = partners.PartnerSearch(catalogue, config, {name: str(root)})
    return found.partners([partners.pair_clips(job) for job in found.jobs()])


# ---------------------------------------------------------------------------------------------
# A rendered corpus


@pytest.fixture(scope="module")
def training(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitCatalogue:
    sources = find_sources([str(corpus)], tmp_path_factory.mktemp("cache"))
    return split_catalogues(read_stems(sources, {}, 1), TAXONOMIES["slakh"])["train"]


def median_statistic(kind: Pairing, corpus: Path, catalogue: SplitCatalogue) -> float:
    """Return the median over pairs of bass and guitar, at 1 s each."""
    clips = [
        [Place(corpus / catalogue.stems[k].path, 44100) for k in catalogue.members[group]]
        for group in ("bass", "guitar")
    ]
    return float(np.median([statistic(kind, a, b) for a, b in itertools.product(*clips)]))


@pytest.mark.parametrize("target", ["bass", None])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_a_mixture_obeys_the_threshold(
    corpus: Path, training: SplitCatalogue, kind: Pairing, target: str | None
) -> None:
    # What half of the pairs have, so that the rule decides.
    threshold = median_statistic(kind, corpus, training)
    given = threshold * 10 if kind is Pairing.CORRELATION else threshold  # for clips of 10 s
    config = config_of(kind, target=target, pairing_threshold=given, min_rms_dbfs=-40.0)
    plan = IncoherentPlan(
        training, "train", config, 44100, partners=search(training, config, corpus, "corpus")
    )
    assert plan.n_songs == len(training.songs)
    anchor = target or next(iter(training.members))
    assert anchor in plan.groups

    def place(source: MixtureSource) -> Place:
        assert source.start % 44100 == 0  # clips lie on a grid of one clip length
        assert source.n_read == 44100
        return Place(corpus / source.path, source.start)

    seen: dict[tuple[str, int, str, int], float] = {}
    for mixture in plan.mixtures(0, 150):
        groups = {source.group: source for source in mixture.sources}
        assert list(groups) == plan.groups
        first = groups.pop(anchor)
        for other in groups.values():
            key = first.stem_id, first.start, other.stem_id, other.start
            if key not in seen:
                seen[key] = statistic(kind, place(first), place(other))
            assert obeys(kind, seen[key], threshold), key
    assert len(seen) > 20
    assert len({key[0] for key in seen}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs_that_obey_the_threshold_may_meet_and_no_others(
    corpus: Path, training: SplitCatalogue, kind: Pairing
) -> None:
    threshold = median_statistic(kind, corpus, training)
    given = threshold * 10 if kind is Pairing.CORRELATION else threshold
    config = config_of(kind, target="bass", pairing_threshold=given)
    found = search(training, config, corpus, "corpus")

    def places(group: str) -> list[Place]:
        clips = found.clips[group].tolist()
        return [Place(corpus / training.stems[k].path, step * 4410) for k, step in clips]

    table, anchors, others = found.may_meet["guitar"], places("bass"), places("guitar")
    assert table.shape == (len(anchors), len(others))
    n_clear = 0
    for (i, one), (j, two) in itertools.product(enumerate(anchors), enumerate(others)):
        if not (one.audio.any() and two.audio.any()):  # silence goes with nothing
            assert not table[i, j]
            n_clear += 1
            continue
        value = statistic(kind, one, two)
        if abs(value / threshold - 1) > 1e-4:
            assert table[i, j] == obeys(kind, value, threshold)
            n_clear += 1
    assert n_clear > 0.9 * table.size
    assert 0 < table.sum() < table.size
    assert table.any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_results_may_come_in_any_order_and_in_blocks_of_any_size(
    corpus: Path, training: SplitCatalogue, kind: Pairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Taxonomy("pair", {"guitar": ["guitar"], "bass": ["bass"]})
    catalogue = SplitCatalogue(training.stems, pair)
    config = config_of(kind, target="bass", pairing_threshold=0.5)
    at_once = search(catalogue, config, corpus, "corpus")
    monkeypatch.setattr(partners, "_CLIPS_PER_JOB", 3)
    monkeypatch.setattr(partners, "_MAX_BYTES", 4 * 44100 * 4)
    finder = partners.PartnerSearch(catalogue, config, {"corpus": str(corpus)})
    jobs = list(finder.jobs())
    assert len(jobs) > 3
    pieces = finder.partners([partners.pair_clips(job) for job in reversed(jobs)])
    assert list(pieces.may_meet) == list(at_once.may_meet)
    for group, table in at_once.may_meet.items():
        np.testing.assert_array_equal(pieces.may_meet[group], table)
    for group, clips in at_once.clips.items():
        np.testing.assert_array_equal(pieces.clips[group], clips)


# ---------------------------------------------------------------------------------------------
# Clips whose statistic is known

TONES_HZ = {"c": 261.63, "e": 329.63, "g#": 415.30, "h": 493.88}
Write = Callable[..., CatalogueStem]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a stem: one second for each letter, a dot for silence."""

    def write_stem(
        stem_id: str, notes: list[str], rate: int = RATE, n_channels: int = 1, level: float = 0.2
    ) -> CatalogueStem:
        t = np.arange(rate) / rate
        silence = np.zeros(rate)
        seconds = [
            level * np.sin(2 * np.pi * TONES_HZ[note] * t) if note != "." else silence
            for note in notes
        ]
        audio = np.concatenate(seconds).astype(np.float32)
        path = tmp_path / f"{stem_id}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.stack([audio] * n_channels, axis=1), rate, subtype="FLOAT")
        levels = envelope(audio, rate)
        song, target = stem_id.split("/")
        return CatalogueStem(
            stem_id=stem_id,
            song_id=song,
            content_id=song,
            split="train",
            classes=(target,),
            root="root",
            path=f"{stem_id}.wav",
            stream=0,
            sha256=file_hash(path),
            sample_rate=rate,
            n_samples=len(audio),
            k_power=levels.k_power,
            power=levels.power,
        )

    return write_stem


@pytest.mark.parametrize(
    ("kind", "threshold"),
    [(Pairing.CHROMA, 0.3), (Pairing.CORRELATION, 1000.0), (Pairing.PEARSON, 0.5)],
)
@pytest.mark.parametrize("rates", [(RATE, RATE), (44100, RATE), (RATE, 48000)])
def test_only_clips_of_the_same_tone_meet(
    tmp_path: Path, write: Write, kind: Pairing, threshold: float, rates: tuple[int, int]
) -> None:
    if kind is Pairing.CHROMA:
        pytest.importorskip("librosa")
    # 1 s of a sine of 0.2 with itself: 0.02 * 16000 = 320, and the threshold, for 441000
    # samples, is 1000 * 16000 / 441000 = 36. One with another: less than 10.
    notes = {
        "s1/violin": ["c", "e", ".", "g#"],
        "s2/piano": ["h", "c", "g#", "c"],
        "s3/piano": ["e", ".", "e"],
    }
    stems = [
        write("s1/violin", notes["s1/violin"], rates[0], 2),
        write("s2/piano", notes["s2/piano"], rates[1]),
        write("s3/piano", notes["s3/piano"], rates[1]),
    ]
    catalogue = SplitCatalogue(stems, DUO)
    config = config_of(kind, target="violin", pairing_threshold=threshold)
    found = search(catalogue, config, tmp_path, "root")
    plan = IncoherentPlan(catalogue, "train", config, RATE, partners=found)
    met = set()
    for mixture in plan.mixtures(0, 200):
        places = [(s.stem_id, s.start // s.sample_rate) for s in mixture.sources]
        assert [source.role for source in mixture.sources] == ["target", "interference"]
        met.add(tuple(places))
    expected = {
        ((one, i), (two, j))
        for one, two in (("s1/violin", "s2/piano"), ("s1/violin", "s3/piano"))
        for i, a in enumerate(notes[one])
        for j, b in enumerate(notes[two])
        if a == b != "."
    }
    assert met == expected
    assert len(expected) == 5


def test_the_level_does_not_matter_to_pearson_and_does_to_correlation(
    tmp_path: Path, write: Write
) -> None:
    stems = [write("s1/violin", ["c"]), write("s2/piano", ["c"], level=0.01)]
    catalogue = SplitCatalogue(stems, DUO)
    loud = config_of(Pairing.PEARSON, pairing_threshold=0.99, min_rms_dbfs=-60.0)
    assert search(catalogue, loud, tmp_path, "root").may_meet["piano"].tolist() == [[True]]
    # 0.2 * 0.01 / 2 * 16000 = 16, of which 441 would be asked for by 10 s at 44.1 kHz.
    for threshold, is_met in ((440.0, True), (442.0, False)):
        config = config_of(Pairing.CORRELATION, pairing_threshold=threshold, min_rms_dbfs=-60.0)
        found = search(catalogue, config, tmp_path, "root")
        assert bool(found.may_meet) is is_met


def test_clips_are_compared_at_the_lowest_rate(tmp_path: Path, write: Write) -> None:
    stems = [write("s1/violin", ["c", "e"], 44100), write("s2/piano", ["e"], RATE)]
    config = config_of(Pairing.PEARSON)
    finder = partners.PartnerSearch(SplitCatalogue(stems, DUO), config, {"root": str(tmp_path)})
    (job,) = finder.jobs()
    result = partners.pair_clips(job)
    audio = soundfile.read(tmp_path / "s1/violin.wav")[0]
    tone = soundfile.read(tmp_path / "s2/piano.wav")[0]
    for i in range(2):
        clip = soxr.resample(audio[i * 44100 : (i + 1) * 44100], 44100, RATE, quality="HQ")
        assert result.values[i, 0] == pytest.approx(np.dot(clip, tone), abs=0.01)
        assert result.norms[i] == pytest.approx(np.linalg.norm(clip), rel=1e-5)
    assert result.other_norms[0] == pytest.approx(np.linalg.norm(tone), rel=1e-5)


def test_without_a_pair_there_are_no_mixtures(tmp_path: Path, write: Write) -> None:
    catalogue = SplitCatalogue([write("s1/violin", ["c"]), write("s2/piano", ["h"])], DUO)
    config = config_of(Pairing.PEARSON, pairing_threshold=0.5)
    found = search(catalogue, config, tmp_path, "root")
    assert IncoherentPlan(catalogue, "train", config, RATE, partners=found).n_songs == 0


def test_without_the_target_there_is_nothing_to_compute(tmp_path: Path, write: Write) -> None:
    catalogue = SplitCatalogue([write("s1/violin", ["."]), write("s2/piano", ["h"])], DUO)
    config = config_of(Pairing.PEARSON, target="violin", min_rms_dbfs=-60.0)
    finder = partners.PartnerSearch(catalogue, config, {"root": str(tmp_path)})
    assert list(finder.jobs()) == []
    found = finder.partners([])
    assert IncoherentPlan(catalogue, "train", config, RATE, partners=found).n_songs == 0


def test_an_anchor_needs_a_partner_of_every_other_target(tmp_path: Path, write: Write) -> None:
    trio = Taxonomy("trio", {name: [name] for name in ("violin", "piano", "cello")})
    stems = [
        write("s1/violin", ["c", "e", "h"]),
        write("s2/piano", ["c", "e"]),
        write("s3/cello", ["e", "h"]),
    ]
    catalogue = SplitCatalogue(stems, trio)
    config = config_of(Pairing.PEARSON, pairing_threshold=0.5)
    found = search(catalogue, config, tmp_path, "root")
    plan = IncoherentPlan(catalogue, "train", config, RATE, partners=found)
    assert plan.groups == ["violin", "piano", "cello"]
    for mixture in plan.mixtures(0, 20):
        assert [source.start // RATE for source in mixture.sources] == [1, 1, 0]


def test_paired_mixtures_depend_on_identity(corpus: Path, training: SplitCatalogue) -> None:
    config = config_of(Pairing.PEARSON, pairing_threshold=0.01, target="bass")
    shuffled = SplitCatalogue(training.stems[::-1], TAXONOMIES["slakh"])
    plans = [
        IncoherentPlan(c, "train", config, 44100, partners=search(c, config, corpus, "corpus"))
        for c in (training, shuffled)
    ]
    expected = list(plans[0].mixtures(0, 1100))
    assert list(plans[1].mixtures(1000, 1100)) == expected[1000:]
    assert list(plans[1].mixtures(0, 7)) == expected[:7]
