"""Options of evaluating and separating: one description, the same words in manifests as ever."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from stemsmith.evaluate.benchmark.options import EvaluationConfig, EvaluationOptions
from stemsmith.evaluate.metrics.bsseval.frames import Framing
from stemsmith.evaluate.metrics.options import MetricConfig, MetricOptions
from stemsmith.evaluate.separation.options import (
    Phase,
    SeparationConfig,
    SeparationOptions,
    Threshold,
)
from stemsmith.manifests.errors import UsageError


@pytest.mark.parametrize(
    ("config", "keywords"),
    [
        (EvaluationConfig, EvaluationOptions),
        (MetricConfig, MetricOptions),
        (SeparationConfig, SeparationOptions),
    ],
)
def test_keywords_are_the_fields(config: Any, keywords: Any) -> None:
    assert set(keywords.__annotations__) == {field.name for field in dataclasses.fields(config)}


def test_manifests_say_of_metrics_what_they_always_said() -> None:
    assert list(MetricConfig().to_dict().items()) == [
        ("si_sdr_rate", 16000),
        (
            "bss",
            {
                "version": "v4",
                "window_s": 1.0,
                "hop_s": 1.0,
                "silence": "all",
                "engine": "stemsmith",
                "is_mono": False,
            },
        ),
    ]
    config = MetricConfig(bss="v3", window_s=30, hop_s=15, silence="own", is_mono=True)
    assert config.framing == Framing(30.0, 15.0, has_own_filters=True)
    assert config.to_dict()["bss"]["version"] == "v3"
    assert MetricConfig(bss="none").to_dict() == {"si_sdr_rate": 16000, "bss": None}


def test_manifests_say_of_separation_what_they_always_said() -> None:
    assert list(SeparationConfig().to_dict().items()) == [
        ("overlap", None),
        ("mask_exponent", None),
        ("thresholds", {}),
        ("griffin_lim_iterations", 0),
        ("is_with_residual", False),
        ("is_streaming", False),
    ]
    config = SeparationConfig(
        mask_exponent=2, thresholds={"drums": (1, 0)}, phase="griffin-lim", is_with_residual=True
    )
    assert config.phase is Phase.GRIFFIN_LIM
    assert config.threshold_of("drums") == Threshold(1.0, 0.0)
    found = config.to_dict()
    assert (found["griffin_lim_iterations"], found["thresholds"]) == (32, {"drums": [1.0, 0.0]})
    assert str(found["mask_exponent"]) == "2.0"


def test_an_evaluation_has_the_options_of_its_parts() -> None:
    config = EvaluationConfig(bss="none", overlap=0.5, sums={"violin": ["vocals", "drums"]})
    assert config.metrics == MetricConfig(bss="none")
    assert config.separation == SeparationConfig(overlap=0.5)
    assert config.sums == {"violin": ("vocals", "drums")}
    assert dataclasses.replace(config, label="x").metrics == config.metrics


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"splits": ["dev"]}, "--split dev: unknown; known: train, validation, test"),
        ({"splits": []}, "--split"),
        ({"n_folds": 1}, "--folds 1: at least 2"),
        ({"device": "tpu"}, "--device tpu: unknown; known: auto, cpu, cuda"),
        ({"si_sdr_rate": 10}, "--si-sdr-rate 10: at least 1000"),
        ({"bss": "v5"}, "--bss v5: unknown; known: v4, v3, none"),
        ({"phase": "loud"}, "--phase loud: unknown; known: mixture, griffin-lim"),
    ],
)
def test_values_that_make_no_sense_name_the_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        EvaluationConfig(**options)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"overlap": 0.0}, "--overlap"),
        ({"mask_exponent": 2.0}, "--mask-exponent"),
        ({"thresholds": {"*": (0, 0)}}, "--threshold"),
        ({"phase": "griffin-lim"}, "--phase"),
        ({"is_with_residual": True}, "--residual"),
        ({"is_streaming": True}, "--streaming"),
    ],
)
def test_what_separates_nothing_takes_no_option_of_separation(
    options: dict[str, Any], flag: str
) -> None:
    EvaluationConfig(bss="v3", label="x").refuse_separation()
    with pytest.raises(UsageError, match=f"{flag}: only with run:"):
        EvaluationConfig(**options).refuse_separation()


def test_reading_the_options_imports_nothing_heavy() -> None:
    heavy = {"numpy", "scipy", "pyarrow", "soundfile", "torch", "yaml", "rich", "dask"}
    code = (
        "import sys, stemsmith.cli.evaluate, stemsmith.cli.separate, stemsmith.evaluate\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
