"""Training of separators on mixtures: examples, models, losses, and the loop.

The names below are all that a training loop of one's own, or a model of one's own, needs. They are
imported when they are first asked for: the options of commands lie in this package too, and need no
PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.train.data.config import ExampleConfig
    from stemsmith.train.data.module import MixtureDataset
    from stemsmith.train.machine import Machine
    from stemsmith.train.models.architectures.blstm import BLSTM, BLSTMConfig
    from stemsmith.train.models.architectures.chandna import Chandna, ChandnaConfig
    from stemsmith.train.models.architectures.cnn import CNN, CNNConfig
    from stemsmith.train.models.architectures.resnet import ResNet, ResNetConfig
    from stemsmith.train.models.architectures.umx import UMX, UMXConfig
    from stemsmith.train.models.base import ModelConfig, SeparationModel
    from stemsmith.train.models.loss import LOSSES, Loss
    from stemsmith.train.models.registry import MODELS
    from stemsmith.train.models.stft import Window
    from stemsmith.train.report import LOGGERS
    from stemsmith.train.run import TrainedRun
    from stemsmith.train.schedule import Epoch, TrainConfig
    from stemsmith.train.workflow import list_runs, train_model, validate_run

__all__ = [
    "BLSTM",
    "CNN",
    "LOGGERS",
    "LOSSES",
    "MODELS",
    "UMX",
    "BLSTMConfig",
    "CNNConfig",
    "Chandna",
    "ChandnaConfig",
    "Epoch",
    "ExampleConfig",
    "Loss",
    "Machine",
    "MixtureDataset",
    "ModelConfig",
    "ResNet",
    "ResNetConfig",
    "SeparationModel",
    "TrainConfig",
    "TrainedRun",
    "UMXConfig",
    "Window",
    "list_runs",
    "train_model",
    "validate_run",
]

_MODULES: Final = {
    "data.config": ("ExampleConfig",),
    "data.module": ("MixtureDataset",),
    "machine": ("Machine",),
    "models.architectures.blstm": ("BLSTM", "BLSTMConfig"),
    "models.architectures.chandna": ("Chandna", "ChandnaConfig"),
    "models.architectures.cnn": ("CNN", "CNNConfig"),
    "models.architectures.resnet": ("ResNet", "ResNetConfig"),
    "models.architectures.umx": ("UMX", "UMXConfig"),
    "models.base": ("ModelConfig", "SeparationModel"),
    "models.loss": ("LOSSES", "Loss"),
    "models.registry": ("MODELS",),
    "models.stft": ("Window",),
    "report": ("LOGGERS",),
    "run": ("TrainedRun",),
    "schedule": ("Epoch", "TrainConfig"),
    "workflow": ("list_runs", "train_model", "validate_run"),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}

__getattr__, __dir__ = lazily(__name__, _HOMES)
