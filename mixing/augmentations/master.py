"""``master``: the mixture is compressed, limited and coded; its sources stay as they were."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.errors import UsageError
from stemsmith.mixing.augmentation import (
    Augmentation,
    DrawRng,
    Parameter,
    SourceEffect,
    number,
    parameter,
)
from stemsmith.mixing.production.bus import Bus, apply_bus, draw_bus
from stemsmith.mixing.production.codec import CODECS, Codec, apply_codec

__all__ = ["AUGMENTATION", "BusAndCodec", "Mastering"]

_P_CODED: Final = 0.5
_BITRATES_KBPS: Final = (96, 128, 192, 256)


def _is_codec(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and str(Codec.parse(value)) == value
    except UsageError:
        return False


_CODEC: Final = Parameter(f"null, or one of {', '.join(CODECS)} and kbit/s: mp3:128", _is_codec)


@dataclass(frozen=True)
class BusAndCodec(SourceEffect):
    """A bus, and after it perhaps a codec."""

    name = "master"
    threshold_db: float = number(-100, 0)
    ratio: float = number(1, 100)
    attack_ms: float = number(0, 10_000)
    release_ms: float = number(0, 10_000)
    limiting_db: float = number(0, 60)
    lookahead_ms: float = number(0, 1000)
    ceiling_dbfs: float = number(-60, 0)
    codec: str | None = parameter(_CODEC)

    def apply(self, audio: Float32s, sample_rate: int) -> Float32s:
        """Make a master of a mixture."""
        bus = Bus(**{field.name: getattr(self, field.name) for field in fields(Bus)})
        mastered = apply_bus(audio, bus, sample_rate)
        if self.codec is None or not mastered.any():
            return mastered
        return apply_codec(mastered, Codec.parse(self.codec), sample_rate)


class Mastering(Augmentation):
    """A bus for every mixture, and a codec for every second one."""

    name = "master"
    summary = "the mixture alone: bus compression, limiting, and with p = 0.5 a codec"
    effects = (BusAndCodec,)
    place = 9
    packages = ("pedalboard", "av")
    keeps_sum = False

    def draw_master(self, rng: DrawRng) -> SourceEffect:
        """Draw the bus, and whether and what encodes its output."""
        draw = rng()
        bus = draw_bus(draw)
        name = CODECS[int(draw.integers(len(CODECS)))]
        kbps = _BITRATES_KBPS[int(draw.integers(len(_BITRATES_KBPS)))]
        is_coded = draw.random() < _P_CODED
        return BusAndCodec(**asdict(bus), codec=f"{name}:{kbps}" if is_coded else None)


AUGMENTATION: Final = Mastering()
