"""``wet``: effects as on dry recordings that were produced (Chiu et al. 2020, section IV-A).

Departures from the authors, who ran sox through pysox
------------------------------------------------------
* Nothing is clipped after an effect, where sox clips its integers: loud stems come out less
  distorted, and may exceed full scale.
* Reverb keeps mono mono (sox's left channel), where sox makes it stereo, and is longer than the
  authors' for a third of the draws: see `Reverb`.
* Noise is drawn for each channel; the authors' stems are mono.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
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

__all__ = ["AUGMENTATION", "Contrast", "Equalizer", "Noise", "Reverb", "Wet"]

_P_EACH: Final = 0.3
_DRAWN_DECIMALS: Final = 4  # keeps recipes short


def _run(plugin: Any, audio: Float32s, sample_rate: int) -> Float32s:
    # pedalboard tells channels from samples by the shape, and refuses two samples of stereo.
    processed: Float32s = plugin(at_least(audio, 3), sample_rate, reset=True)
    return processed[:, : audio.shape[1]]


@dataclass(frozen=True)
class Contrast(SourceEffect):
    """The contrast of sox; an amount of 0 is not the identity."""

    name = "contrast"
    amount: float = number(0, 100)

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Raise what is soft, sample by sample."""
        # sox's contrast.c. Beyond full scale, which sox's integers cannot reach, the sine would
        # fold. In float64: sines of float32 differ in the last bit between processors.
        angle = np.clip(audio.astype(np.float64), -1, 1) * (np.pi / 2)
        return np.sin(angle + self.amount / 750 * np.sin(4 * angle)).astype(np.float32)


@dataclass(frozen=True)
class Equalizer(SourceEffect):
    """A peaking equaliser."""

    name = "equalizer"
    freq_hz: float = number(1, 1_000_000)
    q: float = number(0.01, 100)
    gain_db: float = number(-60, 60)

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Raise or cut what is near the frequency."""
        # There is nothing to raise or cut above half the sample rate, and sox refuses it.
        # pedalboard would, without a word, put the peak 100 Hz below; it does so with the last
        # 100 Hz.
        if self.freq_hz >= sample_rate / 2:
            return audio
        peak = required_package("pedalboard").PeakFilter(
            cutoff_frequency_hz=self.freq_hz, gain_db=self.gain_db, q=self.q
        )
        return _run(peak, audio, sample_rate)


@dataclass(frozen=True)
class Reverb(SourceEffect):
    """Freeverb with the defaults of sox."""

    name = "reverb"
    reverberance: float = number(0, 100)

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Add what a room would."""
        # sox's reverb.c: feedback from 0.3 (reverberance 0) to 0.98 (100), damping 0.5 * 0.3 +
        # 0.2, wet and dry gain 1; two channels share the mean of their reverbs. JUCE, in
        # pedalboard: feedback 0.7 + 0.28 room_size, damping 0.4 damping, wet gain 3 wet_level on
        # the sum of the channels, dry gain 2 dry_level. The rest is the same: mono at 44.1 kHz
        # agrees with sox to rounding.
        # Departures: JUCE's feedback is 0.7 at least, so that all reverberances below 24 sound as
        # 24 (RT60 0.6 s where sox goes down to 0.2 s: more reverberant). On the right, JUCE's
        # delays are 23 samples longer, sox's 12 longer and shorter in turn.
        a = -1 / math.log(1 - 0.3)
        b = 100 / (math.log(1 - 0.98) * a + 1)
        feedback = 1 - math.exp((self.reverberance - b) / (a * b))
        freeverb = required_package("pedalboard").Reverb(
            room_size=min(max((feedback - 0.7) / 0.28, 0.0), 1.0),
            damping=0.35 / 0.4,
            wet_level=1 / 3 / audio.shape[0],
            dry_level=1 / 2,
            width=1.0,
        )
        return _run(freeverb, audio, sample_rate)


@dataclass(frozen=True)
class Noise(SourceEffect):
    """Noise whose power falls as 1 / f^exponent, of an RMS that does not follow the stem's."""

    name = "noise"
    level: float = number(0, 1)
    exponent: float = number(0, 2)
    seed: int = number(0, 2**53, (int,))

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Add the noise, other noise to every channel."""
        # The level is absolute, as in the authors' code: soft stems become noisier than loud ones.
        n_channels, n_samples = audio.shape
        unit = required_package("colorednoise").powerlaw_psd_gaussian(
            self.exponent, (n_channels, max(n_samples, 2)), random_state=self.seed
        )
        noisy: Float32s = (audio + self.level * unit[:, :n_samples]).astype(np.float32)
        return noisy


def _whole(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), _DRAWN_DECIMALS)


class Wet(Augmentation):
    """Contrast, two equalisers, reverb and pink noise, each with probability 0.3."""

    name = "wet"
    summary = (
        "each with p = 0.3: contrast 1-70, two peaking equalisers 32-4096 Hz, reverb 1-70, "
        "pink noise 0.01-0.04"
    )
    after = "Chiu IV-A"
    effects = (Contrast, Equalizer, Reverb, Noise)
    packages = ("pedalboard", "colorednoise")

    def draw_effects(self, rng: DrawRng, decided: Decided) -> list[SourceEffect]:
        """Draw the effects of one source (Table I).

        Each comes with probability 0.3, in this order: contrast of 1 to 70 (integers, both
        included, as in the table and the authors' code); two equalizers under one coin, at 32 to
        4096 Hz (integers), q 2, -10 to 5 dB; reverb of 1 to 70 (integers); pink noise of level
        0.01 to 0.04. Gains of the equalizers, q and the single coin are from the authors' code.
        """
        draw = rng()
        drawn: list[SourceEffect] = []
        if draw.random() < _P_EACH:
            drawn.append(Contrast(_whole(draw, 1, 70)))
        if draw.random() < _P_EACH:
            for _ in range(2):
                freq_hz, gain_db = _whole(draw, 32, 4096), _uniform(draw, -10, 5)
                drawn.append(Equalizer(freq_hz, 2, gain_db))
        if draw.random() < _P_EACH:
            drawn.append(Reverb(_whole(draw, 1, 70)))
        if draw.random() < _P_EACH:
            level, seed = _uniform(draw, 0.01, 0.04), _whole(draw, 0, 2**32 - 1)
            drawn.append(Noise(level, 1, seed))
        return drawn


AUGMENTATION: Final = Wet()
