"""What is decided for one song, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass

from stemsmith.manifests.records import ScannedSong
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.sound.patches import Patch

__all__ = ["RenderedSong", "SongJob"]


@dataclass(frozen=True, slots=True)
class SongJob:
    """Everything `run` needs; all decisions are made.

    Attributes
    ----------
    song : ScannedSong
        As scanned.
    track, split : str
        Label and split.
    patches : tuple of Patch or None
        Of each part; None is not rendered.
    midi_root, corpus : str
        Folders.
    soundfonts : tuple of str
        All of the bank, for the unsplit mixture.
    config : RenderConfig
        Options.
    """

    song: ScannedSong
    track: str
    split: str
    patches: tuple[Patch | None, ...]
    midi_root: str
    corpus: str
    soundfonts: tuple[str, ...]
    config: RenderConfig


@dataclass(frozen=True, slots=True)
class RenderedSong:
    """What `run` reports of a finished song."""

    duration_s: float
