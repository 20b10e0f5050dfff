"""How a part of a score comes by its patch."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["PatchChoice"]


class PatchChoice(StrEnum):
    """How a part gets its patch."""

    CLASS = "class"  # any patch of its class (Slakh)
    PROGRAM = "program"  # the preset its program names (Flakh)
