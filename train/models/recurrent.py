"""LSTMs under autocast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["run_lstm"]


def run_lstm(lstm: nn.LSTM, features: Tensor) -> Tensor:
    """Run an LSTM; in float32 where autocast asks for bfloat16.

    On a GPU, cuDNN's LSTM has a cast of its own under autocast, which knows float16 only (PyTorch,
    ``ATen/cudnn/AutocastRNN.cpp``): asked for bfloat16 it would run in float16 without the scaling
    of the loss that float16 needs, and most gradients would become 0.

    Parameters
    ----------
    lstm : nn.LSTM
        With the batch first.
    features : Tensor
        (n_batch, n_frames, n_features).

    Returns
    -------
    Tensor
        (n_batch, n_frames, n_outputs).
    """
    device = features.device.type
    is_cast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if is_cast and torch.get_autocast_dtype(device) is torch.bfloat16:
        with torch.autocast(device, enabled=False):
            return run_lstm(lstm, features.float())
    values: Tensor = lstm(features)[0]
    return values
