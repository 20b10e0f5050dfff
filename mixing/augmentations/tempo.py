"""``tempo``: a phase vocoder, one factor for a coherent mixture (Brunner et al. 2019, IV-C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.arrays import Float32s
from stemsmith.mixing.augmentation import (
    Augmentation,
    Decided,
    DrawRng,
    SourceEffect,
    at_least,
    number,
    required_package,
)

__all__ = ["AUGMENTATION", "TempoChange", "VariedTempo"]

_FACTORS: Final = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
_P_UNSTRETCHED: Final = 2 / 5
_VOCODER_WINDOW: Final = 2048  # librosa's n_fft


@dataclass(frozen=True)
class TempoChange(SourceEffect):
    """Another tempo at the same pitch; a factor above 1 is faster and shorter."""

    name = "tempo"
    factor: float = number(0.25, 4)

    @property
    def speed(self) -> float:
        """The factor."""
        return self.factor

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Stretch the audio, or squeeze it."""
        # Channels are stretched one by one, which blurs their phase difference. Slowing down costs
        # a steady sine 0.8 dB (factor 0.75) or 1.2 dB (0.5); loudness is better set afterwards.
        if self.factor == 1:
            return audio
        stretched: Float32s = required_package("librosa").effects.time_stretch(
            at_least(audio, _VOCODER_WINDOW), rate=self.factor
        )
        return stretched[:, : round(audio.shape[1] / self.factor)]


class VariedTempo(Augmentation):
    """Half to double the tempo."""

    name = "tempo"
    summary = "phase vocoder, factors 0.5 to 2, P(1) = 2/5; one factor for a coherent mixture"
    after = "Brunner IV-C"
    # A factor of the renditions themselves; sources that match have one tempo already.
    excluded_modes = frozenset({"renditions", "across", "combinations"})
    effects = (TempoChange,)
    place = 1
    packages = ("librosa",)
    is_as_recorded = False

    def draw_speed(self, rng: DrawRng) -> float:
        """Draw 0.5, 0.75, 1, 1.25, 1.5, 1.75 or 2: 1 with probability 2/5, the others 1/10 each."""
        p_other = (1 - _P_UNSTRETCHED) / (len(_FACTORS) - 1)
        p = [_P_UNSTRETCHED if factor == 1 else p_other for factor in _FACTORS]
        return float(rng().choice(_FACTORS, p=p))

    def draw_effects(self, rng: DrawRng, decided: Decided) -> Sequence[SourceEffect]:
        """Return the change of tempo that the plan has decided on."""
        return () if decided.speed == 1.0 else (TempoChange(decided.speed),)


AUGMENTATION: Final = VariedTempo()
