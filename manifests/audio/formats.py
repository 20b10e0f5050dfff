"""Formats that estimates and other float audio can be written in; imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AudioFormat", "FileFormat"]


class FileFormat(StrEnum):
    """How samples are written."""

    WAV = "wav"  # 32-bit float, as they are
    WAV16 = "wav16"  # 16-bit, and below 24-bit: rounded, and clipped to full scale
    FLAC = "flac"

    @property
    def suffix(self) -> str:
        """Ending of the names of such files."""
        return ".flac" if self is FileFormat.FLAC else ".wav"

    @property
    def is_integer(self) -> bool:
        """Whether samples beyond full scale are clipped."""
        return self is not FileFormat.WAV


class AudioFormat(StrEnum):
    """How the samples of audio shards are written."""

    FLAC = "flac"  # 16 bits
    WAV = "wav"  # 32-bit float
