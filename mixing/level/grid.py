"""The grid of 100 ms that envelopes, clips and shifts lie on; imports nothing."""

from __future__ import annotations

from typing import Final

__all__ = ["ENVELOPE_HZ"]

ENVELOPE_HZ: Final = 10  # BS.1770 moves its blocks of 400 ms by a quarter of their length
