"""The ResNet latent separator of Brunner et al. 2019 (section IV-A).

A convolutional encoder on real and imaginary parts, residual blocks, and a convolutional decoder,
shared or one per target, on each target's part of the latent channels. There are no masks: spectra
with a phase come out.

The paper refers to its authors' published code for kernels, strides and padding; they give the
parameter counts of Table I, which count the scale and shift of batch normalisation. Of that code's
other traits, the last addition of a block without a ReLU and the initialisation are kept.
These are ours:

- PyTorch's padding in time of the strided convolutions, one frame before and one after, where
  TensorFlow's lacks the one before: filters look one of their input's frames further back.
- Batch normalisation by running statistics in separation. The code normalises by the batch there
  too, so that its estimates depend on what is separated with them.
- A shared decoder sees the targets of a batch together, so that these statistics are those of
  training. In the code every target is normalised by its own.
- The loss is the paper's alone. The code adds a quarter of the error of the targets' sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from stemsmith.manifests.errors import UsageError
from stemsmith.train.models.base import ModelConfig, SeparationModel
from stemsmith.train.models.stft import Window
from stemsmith.train.schedule import TrainConfig
from torch import Tensor, nn

__all__ = ["MODEL", "ResNet", "ResNetConfig"]


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(ModelConfig):
    """Shape of a `ResNet`; defaults are the paper's.

    Attributes
    ----------
    n_latent : int
        Number of latent channels, K of Table I; a multiple of 4 and of the number of targets. The
        other layers have a half and a quarter of them.
    n_blocks : int
        Number of residual blocks.
    is_decoder_shared : bool
        Whether one decoder serves all targets (the paper on DSD100), or each has its own (on
        MUSDB18, section V-E).
    """

    sample_rate: int = 44100
    n_fft: int = 1024
    hop: int = 256
    window: Window = Window.HANN
    segment_frames: int = 140
    # Section IV-A, but a mean over targets and bins: the paper's sum over targets, frequencies and
    # frames is J F T times as large (287,280 for its sizes).
    loss: str = "complex"
    n_latent: int = 256
    n_blocks: int = 6
    is_decoder_shared: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_latent % 4 or self.n_latent % len(self.targets):
            raise UsageError(
                f"{self.n_latent} latent channels of resnet do not divide by 4 "
                f"and by {len(self.targets)} targets"
            )
        # Frequencies less 5 and frames are halved twice; reflections need something to reflect.
        if self.n_fft % 8 or self.n_fft < 32:
            raise UsageError(f"resnet needs an n_fft of 32, 40, 48, ..., not {self.n_fft}")
        if self.segment_frames % 4 or self.segment_frames < 8:
            raise UsageError(f"resnet needs 8, 12, 16, ... frames, not {self.segment_frames}")

    @property
    def block_frames(self) -> int:
        """Step by which mixtures are cut into examples: segments do not overlap."""
        return self.segment_frames


class ResNet(SeparationModel[ResNetConfig]):
    """Separation in the latent space of an autoencoder of complex spectra.

    Attributes
    ----------
    encoder, separator : nn.Module
        What makes latent channels of the mixture, and works on them.
    decoders : nn.ModuleList
        One decoder for all targets, or one for each.
    """

    config_type: ClassVar[type[ModelConfig]] = ResNetConfig
    # Section IV-A. Ours: batch size and number of epochs.
    training_defaults: ClassVar[TrainConfig] = TrainConfig(batch_size=16, learning_rate=5e-5)
    is_fixed_length: ClassVar[bool] = True
    is_complex: ClassVar[bool] = True

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__(config)
        n_latent, n_targets = config.n_latent, len(config.targets)
        self.encoder = _encoder(n_latent)
        self.separator = nn.Sequential(*(_Residual(n_latent) for _ in range(config.n_blocks)))
        n_decoders = 1 if config.is_decoder_shared else n_targets
        self.decoders = nn.ModuleList(
            _decoder(n_latent // n_targets, n_latent) for _ in range(n_decoders)
        )
        self.apply(_initialise)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return complex spectra; see `SeparationModel.forward`."""
        n_targets, latent = len(self.config.targets), self.latents(mixture)
        if self.config.is_decoder_shared:
            decoded = self.decoders[0](latent.flatten(0, 1)).unflatten(0, (-1, n_targets))
        else:
            separate = [decode(latent[:, j]) for j, decode in enumerate(self.decoders)]
            decoded = torch.stack(separate, dim=1)
        parts = decoded.to(mixture.real.dtype)
        return torch.complex(parts[:, :, 0], parts[:, :, 1])

    def latents(self, mixture: Tensor) -> Tensor:
        """Return the latent representation of every target (section V-E draws these).

        Parameters
        ----------
        mixture : Tensor
            (n, F, T) complex spectra, as for `forward`.

        Returns
        -------
        Tensor
            (n, n_targets, n_latent / n_targets, (F - 5) / 4, T / 4).
        """
        parts = torch.stack([mixture.real, mixture.imag], dim=1)
        latents: Tensor = self.separator(self.encoder(parts))
        shape = len(latents), len(self.config.targets), -1, *latents.shape[2:]
        return latents.reshape(shape)


def _encoder(n_latent: int) -> nn.Sequential:
    """Make (n, 2, F, T) into (n, n_latent, (F - 5) / 4, T / 4): 127 frequencies for 513."""
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        nn.Conv2d(2, n_latent // 4, (12, 7), bias=False),
        *_normalised_relu(n_latent // 4),
        nn.Conv2d(n_latent // 4, n_latent // 2, (12, 3), stride=2, padding=(5, 1), bias=False),
        *_normalised_relu(n_latent // 2),
        nn.Conv2d(n_latent // 2, n_latent, (12, 3), stride=2, padding=(5, 1), bias=False),
        *_normalised_relu(n_latent),
    )


class _Residual(nn.Module):
    """A block of two 3x3 convolutions, added to what it is fed."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, n_channels, 3, padding=1, padding_mode="reflect", bias=False),
            *_normalised_relu(n_channels),
            nn.Conv2d(n_channels, n_channels, 3, padding=1, padding_mode="reflect", bias=False),
            nn.BatchNorm2d(n_channels),
        )

    def forward(self, values: Tensor) -> Tensor:
        added: Tensor = values + self.layers(values)
        return added


def _decoder(n_channels: int, n_latent: int) -> nn.Sequential:
    """Make (n, n_channels, (F - 5) / 4, T / 4) into (n, 2, F, T)."""
    return nn.Sequential(
        _doubling(n_channels, n_latent // 2),
        *_normalised_relu(n_latent // 2),
        _doubling(n_latent // 2, n_latent // 4),
        *_normalised_relu(n_latent // 4),
        nn.ReflectionPad2d((5, 4, 8, 8)),  # back to F frequencies
        nn.Conv2d(n_latent // 4, 2, (12, 10), bias=False),
        *_normalised_relu(2),
        nn.Conv2d(2, 2, 3, padding=1, bias=False),
    )


def _doubling(n_in: int, n_out: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that doubles frequencies and frames exactly."""
    return nn.ConvTranspose2d(
        n_in, n_out, (12, 3), stride=2, padding=(5, 1), output_padding=(0, 1), bias=False
    )


def _normalised_relu(n_channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(n_channels), nn.ReLU()


def _initialise(module: nn.Module) -> None:
    """Draw weights as the authors' code does: a normal distribution cut at two deviations."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)


MODEL: Final = ResNet
