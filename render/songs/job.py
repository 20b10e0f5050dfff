"""What is decided for one song, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stemsmith.manifests.places import place
from stemsmith.manifests.records import ScannedSong
from stemsmith.render.corpus.config import RenderConfig
from stemsmith.render.corpus.layout import SongTar
from stemsmith.render.songs.production import NO_PRODUCTION, Production
from stemsmith.render.sound.patches import Patch

__all__ = ["RenderJob", "RenderedSong"]


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Everything `render_song` needs to know of a song; all decisions are made.

    Attributes
    ----------
    song : ScannedSong
        What the scan found in the MIDI file.
    track, split : str
        Label of the song in the corpus, and the split it lies in.
    patches : tuple of Patch or None
        The patch of each part of the score; parts with None are not rendered.
    midi_root, corpus : str
        Absolute folders of the scores and of the corpus.
    soundfonts : tuple of str
        All soundfonts of the bank, which the unsplit mixture is rendered with.
    config : RenderConfig
        Options of the corpus.
    duplicate_group : str or None
        As the record of the song has it.
    second_patches : tuple of Patch or None
        What a part gets if the audit finds a defect with its first one; empty where such stems are
        not drawn again, and None where there is no other patch.
    levels_lu : tuple of (str, float)
        Level of each group as it was drawn; empty where all stems are equally loud.
    production : Production
        What the options of effects and rooms name, as it was read.
    staging : str
        Folder in which the song lies until it is complete; empty if it is rendered into memory.
    tar : SongTar or None
        The tar that the song goes into; None where songs have folders.
    score_path : str or None
        Where the score lies below `midi_root`, if not at the path that the song has in records.
    is_lazy : bool
        Whether audio is hashed and not kept.
    """

    song: ScannedSong
    track: str
    split: str
    patches: tuple[Patch | None, ...]
    midi_root: str
    corpus: str
    soundfonts: tuple[str, ...]
    config: RenderConfig
    duplicate_group: str | None = None
    second_patches: tuple[Patch | None, ...] = ()
    levels_lu: tuple[tuple[str, float], ...] = ()
    production: Production = NO_PRODUCTION
    staging: str = ""
    tar: SongTar | None = None
    score_path: str | None = None
    is_lazy: bool = False

    @property
    def folder(self) -> str:
        """Where the song lies in the corpus, as paths of records say it (POSIX)."""
        return f"{self.tar.name if self.tar else self.split}/{self.track}"

    @property
    def score(self) -> Path:
        """The file of the score."""
        return place(self.midi_root) / (self.score_path or self.song.path)


@dataclass(frozen=True, slots=True)
class RenderedSong:
    """What `render_song` reports of a finished song.

    Attributes
    ----------
    duration_s : float
        Length of the mixture in seconds.
    """

    duration_s: float
