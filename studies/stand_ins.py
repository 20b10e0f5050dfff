"""Targets of stand-ins: MIDI has no singers, and something has to take their part."""

from __future__ import annotations

from typing import Final

from stemsmith.mixing.sources.taxonomy import Taxonomy

__all__ = ["LEAD_FOR_VOCALS"]

# Of real songs the targets are MUSDB18's. In rendered ones what mostly has the tune, winds and lead
# synthesisers, takes the part of the singer; a song of both kinds has none of them as a class.
LEAD_FOR_VOCALS: Final = Taxonomy(
    "lead-for-vocals",
    {
        "vocals": ["vocals", "pipe", "reed", "brass", "synth-lead", "violin"],
        "drums": ["drums"],
        "bass": ["bass"],
        "other": ["*"],
    },
)
