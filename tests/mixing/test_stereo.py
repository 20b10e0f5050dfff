"""Mixtures of stereo sources: channels that stay, the mean of both, and levels by BS.1770."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from stemsmith.manifests import shards
from stemsmith.manifests.errors import InvalidCorpus
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.mixtures import Mixtures
from stemsmith.mixing.workflow import mix, validate_mixtures

RATE = 16000


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, band_folder: Path, here: Callable) -> Path:
    """Return a folder of the same songs as ``stereo`` and as ``mono``."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, n_channels in (("stereo", 2), ("mono", 1)):
        done = here("render", band_folder, folder / name, "--channels", n_channels, "--songs", 4,
                    "--splits", "2,1,1", "--pan", "drawn" if n_channels == 2 else "score",
                    "--sample-rate", RATE, "--jobs", 0)  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folder


def mixed(corpus: Path, folder: Path, **options: object) -> Mixtures:
    common = {"n_mixtures": 6, "clip_s": 2, "min_rms_dbfs": -60}
    return mix(corpus, folder, **{**common, **options})


def test_a_stereo_corpus_stays_stereo_where_two_channels_are_asked_for(
    corpora: Path, tmp_path: Path
) -> None:
    corpus = corpora / "stereo"
    mixtures = mixed(corpus, tmp_path / "m", n_channels=2, audio_format="flac")
    assert mixtures.n_channels == 2
    n_wide = 0
    for stored in mixtures:
        record, audio = stored.record, stored.realise()
        factor = 10 ** (audio.guard_gain_db / 20)
        expected: dict[str, np.ndarray] = {}
        for s in record.sources:
            stem = soundfile.read(corpus / s.path, always_2d=True)[0].T
            assert stem.shape[0] == 2
            excerpt = factor * stem[:, s.start : s.start + s.n_read]
            expected[s.group] = expected.get(s.group, 0) + excerpt
            n_wide += not np.allclose(*excerpt)
        for name, values in expected.items():
            np.testing.assert_allclose(audio[name], values, atol=1e-6)
    assert n_wide > 10
    assert validate_mixtures(mixtures).n_mixtures == len(mixtures) == 12


def test_mixtures_are_mono_unless_two_channels_are_asked_for(corpora: Path, tmp_path: Path) -> None:
    one = mixed(corpora / "stereo", tmp_path / "one")
    two = mixed(corpora / "stereo", tmp_path / "two", n_channels=2)
    assert one.n_channels == 1
    for first, second in zip(one, two, strict=True):
        mono, stereo = first.realise(), second.realise()
        starts = [s.start for s in first.record.sources]
        if starts != [s.start for s in second.record.sources]:
            continue  # what is loud enough in the mean of both need not be so in each
        factor = 10 ** ((mono.guard_gain_db - stereo.guard_gain_db) / 20)
        for name, values in mono.items():
            mean = stereo[name].mean(axis=0, keepdims=True)
            np.testing.assert_allclose(values, factor * mean, atol=1e-6)


@pytest.mark.parametrize("kind", ["stereo", "mono"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_incoherent_sources_have_the_loudness_of_bs_1770(
    corpora: Path, tmp_path: Path, kind: str, n_channels: int
) -> None:
    """Against pyloudnorm, which adds the powers of both channels."""
    mixtures = mixed(corpora / kind, tmp_path / "m", mode="incoherent", n_channels=n_channels)
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    n = 0
    for stored in mixtures:
        audio = stored.realise()
        for s in stored.record.sources:
            loudness_lufs = meter.integrated_loudness(audio[s.group].T) - audio.guard_gain_db
            assert loudness_lufs == pytest.approx(-25, abs=0.5), s.stem_id
            n += 1
    assert n >= 24


def test_a_recipe_of_other_channels_than_the_manifest_is_found(
    corpora: Path, tmp_path: Path
) -> None:
    mixtures = mixed(corpora / "mono", tmp_path / "m")
    shard = mixtures.recipe_shards[0]
    records = [dataclasses.replace(record, n_channels=2) for record in shard.recipes[:]]
    shards.write_records(shard.path, Mixture, records)
    mixtures.__dict__.pop("recipe_shards")
    with pytest.raises(InvalidCorpus, match=r"has a mixture of other channels than manifest\.json"):
        list(mixtures)
