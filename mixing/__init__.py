"""Mixing: loudness, where stems come from, and how they become mixtures.

``level`` has the loudness meter and the automatic mix, ``sources`` finds stems, ``plan`` draws
recipes of mixtures from them, ``audio`` follows a recipe; ``workflow`` joins these to `mix`, and
``mixtures`` opens what it wrote. Imports ``manifests`` only.

The names below are imported when they are first used: commands and configurations import this
package, and must stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.mixing.audio.labels import realise_labels
    from stemsmith.mixing.audio.realise import realise
    from stemsmith.mixing.mixtures import Mixtures
    from stemsmith.mixing.plan.config import MixConfig
    from stemsmith.mixing.workflow import mix, validate_mixtures

__all__ = [
    "MixConfig",
    "Mixtures",
    "mix",
    "realise",
    "realise_labels",
    "validate_mixtures",
]

_HOMES: Final = {
    "MixConfig": "plan.config",
    "Mixtures": "mixtures",
    "mix": "workflow",
    "realise": "audio.realise",
    "realise_labels": "audio.labels",
    "validate_mixtures": "workflow",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
