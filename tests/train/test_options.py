"""The options of training: one description for Python, the command and ``run.json``."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of, to_manifest
from stemsmith.train.data.config import ExampleConfig, Loader
from stemsmith.train.machine import Device, Machine
from stemsmith.train.models.loss import LOSSES
from stemsmith.train.models.registry import MODELS
from stemsmith.train.options import TrainOptions, read_options
from stemsmith.train.report import LOGGERS
from stemsmith.train.schedule import Monitor, Optimiser, Precision, TrainConfig

CONFIGS = (TrainConfig, ExampleConfig, Machine)


def test_keyword_arguments_are_the_fields_of_the_configurations() -> None:
    fields = [field for config in CONFIGS for field in fields_of(config)]
    assert list(TrainOptions.__annotations__) == [field.name for field in fields]
    for config in CONFIGS:
        names = [field.name for field in dataclasses.fields(config)]
        assert names == [field.name for field in fields_of(config)], "every field is an option"


def test_options_are_read_by_their_configurations() -> None:
    defaults = TrainConfig(epochs=7, batch_size=3)
    training, examples, machine = read_options(
        defaults,
        {
            "batch_size": 5,
            "precision": "bf16-mixed",
            "monitor": "si-sdr",
            "seed": 3,
            "gain": (0.5, 2.0),
            "device": "cpu",
            "loader": "stream",
            "cache": "here",
        },
    )
    assert training == TrainConfig(
        epochs=7, batch_size=5, precision=Precision.BFLOAT16, monitor=Monitor.SI_SDR
    )
    assert examples == ExampleConfig(seed=3, gain=(0.5, 2.0))
    assert machine == Machine(device=Device.CPU, loader=Loader.STREAM, cache=Path("here"))
    assert read_options(defaults, {}) == (defaults, ExampleConfig(), Machine())


def test_an_option_that_there_is_not_is_an_error_of_the_program() -> None:
    wrong: Any = {"epoch": 3}
    with pytest.raises(TypeError, match="no option of training: 'epoch'; there are epochs, "):
        read_options(TrainConfig(), wrong)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"optimiser": "sgd"}, "--optimiser sgd: unknown; known: adam, adadelta"),
        ({"precision": "8"}, "--precision 8: unknown; known: 32-true, bf16-mixed, 16-mixed"),
        ({"monitor": "pesq"}, "--monitor pesq: unknown; known: loss, si-sdr"),
        ({"device": "tpu"}, "--device tpu: unknown; known: auto, cpu, cuda"),
        ({"loader": "fast"}, "--loader fast: unknown; known: auto, stream, resident"),
        ({"n_devices": 0}, "--devices 0: at least 1"),
        ({"n_nodes": 0}, "--nodes 0: at least 1"),
        ({"n_workers": -1}, "--workers -1: at least 0"),
        ({"n_threads": 0}, "--threads 0: at least 1"),
    ],
)
def test_values_that_cannot_be_are_named_as_the_command_has_them(
    options: TrainOptions, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(TrainConfig(), options)
    assert str(caught.value) == text


def test_run_json_has_the_keys_of_version_0_1_and_the_monitor() -> None:
    assert to_manifest(TrainConfig(optimiser=Optimiser.ADADELTA)) == {
        "epochs": 100,
        "batch_size": 32,
        "optimiser": "adadelta",
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "plateau_epochs": 0,
        "plateau_factor": 0.5,
        "plateau_cooldown": 0,
        "stop_epochs": 0,
        "stop_change": 0.0,
        "clip_gradient": 0.0,
        "precision": "32-true",
        "monitor": "loss",
    }


def test_the_options_and_workflows_of_training_need_no_torch() -> None:
    code = (
        "import sys, stemsmith.cli.train, stemsmith.cli.runs, stemsmith.train.workflow\n"
        "print(sorted({'torch', 'lightning', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_names_what_is_registered(here) -> None:
    text = " ".join(here("train", "--help").stdout.split())
    assert {"blstm", "umx", "cnn", "resnet"} <= set(MODELS.names)
    assert {"tpsa", "magnitude", "complex"} <= set(LOSSES.names)
    assert {"csv", "tensorboard"} <= set(LOGGERS.names)
    assert f"{', '.join(MODELS.names)}, or package.module:Class" in text
    assert f"loss={'|'.join(LOSSES.names)}" in text
    assert f"beside metrics.csv: {', '.join(LOGGERS.names)}, or package.module:Class" in text
    assert "Number of epochs, at most. [default: the model's]" in text
