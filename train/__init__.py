"""Training of separators on mixtures: examples, models, losses, and the loop.

The names below are all that a training loop of one's own needs.
"""

from stemsmith.train.data.module import MixtureDataset
from stemsmith.train.models.blstm import BLSTM, BLSTMConfig
from stemsmith.train.models.cnn import CNN, CNNConfig
from stemsmith.train.models.resnet import ResNet, ResNetConfig
from stemsmith.train.models.umx import UMX, UMXConfig
from stemsmith.train.run_dir import load_run

__all__ = [
    "BLSTM",
    "CNN",
    "UMX",
    "BLSTMConfig",
    "CNNConfig",
    "MixtureDataset",
    "ResNet",
    "ResNetConfig",
    "UMXConfig",
    "load_run",
]
