"""Flakh2100: tracks as Slakh has them, whose mixtures are no sums of their stems.

FluidSynth rendered each MIDI file in one piece to ``mix.flac`` (Manilow et al. 2019, section 2.3),
with the programs that have no stem. Coherent mixtures are excerpts of it.
"""

from __future__ import annotations

from typing import Final

from stemsmith.mixing.sources.layouts.slakh import SlakhLayout

__all__ = ["LAYOUT"]


class _Flakh(SlakhLayout):
    has_own_mixtures = True


LAYOUT: Final = _Flakh()
