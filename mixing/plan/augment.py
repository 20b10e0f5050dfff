"""Augmentations as draws: what of a recipe is changed, keyed by mixture and source.

Nothing here touches audio; what the transforms do stands in `stemsmith.mixing.audio.transforms`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.audio.transforms import Transform, draw_tempo, draw_wet, encode
from stemsmith.mixing.plan.config import Augment, MixConfig
from stemsmith.mixing.plan.recipes import GAIN_DECIMALS

__all__ = ["draw_muted", "draw_shift_steps", "draw_stretch", "draw_transforms", "stretched_steps"]

SHIFT_STEPS: Final = (0, 1, 2)  # 0, 0.1 and 0.2 s (Miron 3.4, Martel 3.2 c)
# Open-Unmix's gain augmentation.
_MIN_AMPLITUDE, _MAX_AMPLITUDE = 0.25, 1.25

Ids = tuple[str | int, ...]


def draw_stretch(config: MixConfig, *ids: str | int) -> float:
    """Return the tempo factor of what `ids` name; 1 without the augmentation."""
    if Augment.TEMPO not in config.augment:
        return 1.0
    return draw_tempo(rng_for(config.seed, *ids, "tempo"))


def stretched_steps(config: MixConfig, factor: float) -> int:
    """Return how much is read, in 100 ms, for a clip at another tempo."""
    return math.ceil(config.clip_steps * factor)


def draw_shift_steps(config: MixConfig, *ids: str | int) -> int:
    """Return the shift of a source in 100 ms; 0 without the augmentation."""
    if not {Augment.SHIFT, Augment.SHIFT_PADDED} & set(config.augment):
        return 0
    return int(rng_for(config.seed, *ids, "shift").choice(SHIFT_STEPS))


def draw_muted(
    config: MixConfig, groups: Sequence[str], kept: str | None, *ids: str | int
) -> str | None:
    """Return the group that is muted: none, or one other than `kept`, all alike likely."""
    if Augment.INSTRUMENT not in config.augment or len(set(groups)) < 2:
        return None
    candidates = [None, *sorted(set(groups) - {kept})]
    return candidates[int(rng_for(config.seed, *ids, "instrument").integers(len(candidates)))]


def draw_transforms(
    config: MixConfig, factor: float, is_muted: bool, *ids: str | int
) -> tuple[list[str], float]:
    """Return the transforms of a source in order, and its additional gain.

    Parameters
    ----------
    config : MixConfig
        Options.
    factor : float
        Tempo factor.
    is_muted : bool
        Whether the source is silenced.
    *ids : str or int
        Mixture and source.

    Returns
    -------
    transforms : list of str
        As `stemsmith.mixing.audio.transforms.encode` writes them.
    gain_db : float
        0 without the gain augmentation.
    """
    if not config.augment:
        return [], 0.0
    transforms: list[Transform] = []
    if factor != 1.0:
        transforms.append({"name": "tempo", "factor": factor})
    if Augment.WET in config.augment:
        transforms += draw_wet(rng_for(config.seed, *ids, "wet"))
    if Augment.POLARITY in config.augment and rng_for(config.seed, *ids, "polarity").random() < 0.5:
        transforms.append({"name": "invert"})
    if is_muted:
        transforms.append({"name": "mute"})
    gain_db = 0.0
    if Augment.GAIN in config.augment:
        amplitude = rng_for(config.seed, *ids, "gain").uniform(_MIN_AMPLITUDE, _MAX_AMPLITUDE)
        gain_db = round(20 * math.log10(amplitude), GAIN_DECIMALS)
    return [encode(transform) for transform in transforms], gain_db
