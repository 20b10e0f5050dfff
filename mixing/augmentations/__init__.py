"""Augmentations: what ``--augment`` can do to a recipe, a file each.

Every module here is one: it offers an `AUGMENTATION`, whose class says which modes exclude it, what
is drawn and when, and what it writes into recipes. What is written there is a `SourceEffect`, whose
class says what it does to audio and to the times of notes. Both base classes are those of
`stemsmith.mixing.augmentation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.registry import Registry

if TYPE_CHECKING:
    from stemsmith.mixing.augmentation import Augmentation

AUGMENTATIONS: Final[Registry[Augmentation]] = Registry(
    "augmentation", "stemsmith.mixing.augmentations", "AUGMENTATION"
)
