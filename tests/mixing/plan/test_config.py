"""The options of a set of mixtures: as Python has them, as the manifest says them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests import shards
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.plan.config import Level, MixConfig, MixOptions, Mode, Pairing

# What manifests of version 0.1 say; other text would make finished folders another set.
COHERENT = (
    '{"augment": ["gain", "instrument", "polarity", "remix", "shift", "tempo", "wet"], '
    '"clip_s": 1.0, "is_equally_loud": false, "is_whole": false, "left_out": [], '
    '"min_rms_dbfs": -50.0, "mode": "coherent", "n_channels": 1, "n_mixtures": 12, '
    '"overlay": null, "pairing": "random", "pairing_threshold": null, '
    '"peak_ceiling_dbfs": -1.0, "sample_rate": 16000, "seed": 4, "splits": [], '
    '"target": "bass", "target_lufs": -25.0}'
)
INCOHERENT = (
    '{"augment": [], "clip_s": 10.0, "is_equally_loud": false, "is_whole": false, '
    '"left_out": ["One", "Two"], "min_rms_dbfs": -30.0, "mode": "incoherent", "n_channels": 2, '
    '"n_mixtures": 900, "overlay": null, "pairing": "random", "pairing_threshold": null, '
    '"peak_ceiling_dbfs": -1.0, "sample_rate": null, "seed": 0, "splits": ["test", "train"], '
    '"target": null, "target_lufs": -25.0}'
)
RENDITIONS = (
    '{"augment": ["wet"], "clip_s": 10.0, "is_equally_loud": true, "is_whole": true, '
    '"left_out": [], "min_rms_dbfs": -30.0, "mode": "renditions", "n_channels": 1, '
    '"n_mixtures": 360, "overlay": null, "pairing": "random", "pairing_threshold": null, '
    '"peak_ceiling_dbfs": -1.0, "sample_rate": null, "seed": 0, "splits": [], '
    '"target": "violin", "target_lufs": -25.0}'
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {
                "augment": ("wet", "tempo", "gain", "polarity", "instrument", "remix", "shift"),
                "clip_s": 1,
                "min_rms_dbfs": -50,
                "n_mixtures": 12,
                "sample_rate": 16000,
                "seed": 4,
                "target": "bass",
            },
            COHERENT,
        ),
        (
            {
                "mode": "incoherent",
                "hours": 2.5,
                "left_out": ["Two", "One", "Two"],
                "splits": ("train", "test"),
                "n_channels": 2,
            },
            INCOHERENT,
        ),
        (
            {"mode": "renditions", "level": "equal", "augment": "wet", "target": "violin"},
            RENDITIONS,
        ),
    ],
    ids=["coherent", "incoherent", "renditions"],
)
def test_the_manifest_says_the_same_as_ever(options: dict[str, Any], text: str) -> None:
    config = dataclasses.replace(MixConfig(), **options)
    assert json.dumps(config.to_dict(), sort_keys=True) == text


@pytest.mark.parametrize("pairing", ["random", "chroma"])
def test_sets_of_chunks_are_none_of_version_0_1(pairing: str) -> None:
    old = MixConfig(mode=Mode.INCOHERENT).to_dict()
    new = MixConfig(mode=Mode.INCOHERENT, pairing=Pairing(pairing)).to_dict()
    assert new == {**old, "pairing": pairing, "min_rms_dbfs": None, "is_chunked": True}
    assert MixConfig(
        mode=Mode.INCOHERENT, pairing=Pairing(pairing), min_rms_dbfs=-40
    ).to_dict() == {
        **new,
        "min_rms_dbfs": -40.0,
    }


@pytest.mark.parametrize("mode", ["coherent", "incoherent", "renditions", "combinations"])
def test_a_level_that_is_that_of_the_mode_is_no_other_set(mode: str) -> None:
    plain = MixConfig(mode=Mode(mode))
    assert plain.levels is not None
    assert MixConfig(mode=Mode(mode), level=plain.levels).to_dict()["mode"] == mode
    if mode != "incoherent":
        assert MixConfig(mode=Mode(mode), level=plain.levels).to_dict() == plain.to_dict()


def test_keywords_are_the_fields() -> None:
    fields = [field.name for field in dataclasses.fields(MixConfig)]
    assert sorted(MixOptions.__annotations__) == sorted(fields)
    assert MixOptions.__required_keys__ == frozenset()


def test_text_becomes_what_it_names() -> None:
    options: dict[str, Any] = {"mode": "renditions", "level": "equal"}
    config = MixConfig(**options)
    assert (config.mode, config.level) == (Mode.RENDITIONS, Level.EQUAL)
    paired: dict[str, Any] = {"mode": "incoherent", "pairing": "pearson"}
    assert MixConfig(**paired).pairing is Pairing.PEARSON
    for name in ("mode", "pairing", "level", "augment"):
        wrong: dict[str, Any] = {name: "kazoo"}
        with pytest.raises(UsageError, match=f"--{name} kazoo: unknown; known: ") as error:
            MixConfig(**wrong)
        assert "\n" not in str(error.value)


def test_mixtures_and_hours_are_two_ways_to_say_one_thing() -> None:
    assert MixConfig().n_wanted == 360
    assert MixConfig(hours=0.5, clip_s=2.0).n_wanted == 900
    assert MixConfig(n_mixtures=7).n_wanted == 7
    with pytest.raises(UsageError, match="either --mixtures or --hours"):
        MixConfig(n_mixtures=7, hours=1.0)
    with pytest.raises(UsageError, match="--mode renditions makes all of them"):
        MixConfig(mode=Mode.RENDITIONS, n_mixtures=7)
    with pytest.raises(UsageError, match="--mode renditions makes all of them"):
        MixConfig(mode=Mode.RENDITIONS, hours=1.0)


def test_renditions_are_whole_unless_clips_are_asked_for() -> None:
    assert MixConfig(mode=Mode.RENDITIONS).is_whole
    assert not MixConfig(mode=Mode.RENDITIONS, clip_s=10.0).is_whole
    assert not MixConfig().is_whole


def test_the_command_writes_what_the_options_say(mixtures: Path) -> None:
    header = shards.read_manifest(mixtures / "recipes", "mixtures")
    config = MixConfig(clip_s=2.0, n_mixtures=27, sample_rate=16000)
    assert header["config"] == config.to_dict()


def test_options_need_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import stemsmith.mixing.plan.config; "
        "names = {n.partition('.')[0] for n in set(sys.modules) - before}; "
        "print(*sorted(names - {'stemsmith'} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
