"""stemsmith: multi-track corpora for music source separation, made from MIDI files."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("stemsmith")
