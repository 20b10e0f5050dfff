"""Training of separators on mixtures: examples, models, losses, and the loop.

The names below are all that a training loop of one's own needs.
"""

from stemsmith.train.blstm import BLSTM, BLSTMConfig
from stemsmith.train.cnn import CNN, CNNConfig
from stemsmith.train.data import MixtureDataset
from stemsmith.train.resnet import ResNet, ResNetConfig
from stemsmith.train.run_dir import load_run
from stemsmith.train.umx import UMX, UMXConfig

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
