"""What a MIDI file may be at most and still be a song: beyond, it is left out."""

from __future__ import annotations

from typing import Final

__all__ = [
    "DEFAULT_MAX_DURATION_S",
    "MAX_CLIPPED_SHARE",
    "MAX_COMMON_BYTES",
    "MAX_CPU_S",
    "MAX_EVENTS",
    "MAX_FILE_BYTES",
    "MAX_LOST_SHARE",
    "MAX_NOTES_PER_S",
    "MAX_PARTS",
    "MAX_STEM_EVENTS",
    "MAX_STEM_S",
    "MAX_TRACKS",
]

DEFAULT_MAX_DURATION_S: Final = 1200.0
MAX_FILE_BYTES: Final = 32 << 20  # the longest score seen has 3 MB
MAX_TRACKS: Final = 0xFFFF  # what the header can count
MAX_EVENTS: Final = 1_000_000
MAX_LOST_SHARE: Final = 0.01  # of the bytes of all tracks; more is not "the same song"
MAX_CLIPPED_SHARE: Final = 0.02  # of the events; more means that the reader is out of step
MAX_PARTS: Final = 128
MAX_NOTES_PER_S: Final = 1000
# Each part has the controllers of its channel, and what concerns the whole score, once more.
MAX_STEM_EVENTS: Final = 4_000_000
MAX_COMMON_BYTES: Final = 64 << 20
MAX_STEM_S: Final = 80_000.0  # of all parts together: 66 parts of 20 minutes
MAX_CPU_S: Final = 60.0  # of reading a file; the slowest seen takes 3
