"""What mixing asks of whoever can render from scores: where beats are, and excerpts of stems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stemsmith.manifests.jobs import Progress, Workers
from stemsmith.mixing.plan.score_grid import ScoreGrid, TempoKnots

__all__ = ["Matcher", "WantedStem"]


class WantedStem(NamedTuple):
    """An excerpt that is to be rendered.

    Attributes
    ----------
    stem_id : str
        Hash of all that decides its audio.
    root, song_id, stem : str
        Corpus, MD5 of the score, and name of the stem in it (``S00``).
    original_sha256 : str
        SHA-256 of the stem's file.
    transposition : int
        Semitones by which it is higher than the score.
    tempo_map : tuple of (float, float)
        Quarter notes of the score, and the seconds of the excerpt at which they are played.
    n_steps : int
        Length of the excerpt in 100 ms; one more on either side is rendered.
    sample_rate : int
        Sample rate of the stem in Hz.
    """

    stem_id: str
    root: str
    song_id: str
    stem: str
    original_sha256: str
    transposition: int
    tempo_map: TempoKnots
    n_steps: int
    sample_rate: int

    @property
    def path(self) -> str:
        """Where it lies below the folder of matched stems."""
        return f"stems/{self.stem_id[:2]}/{self.stem_id}.flac"


class Matcher(Protocol):
    """Reads scores of corpora, and renders excerpts of their stems again."""

    @property
    def header(self) -> Mapping[str, Any]:
        """What decides how excerpts sound, as a manifest has it."""

    def read_grids(
        self,
        corpora: Mapping[str, Path],
        songs: Sequence[tuple[str, str]],
        workers: Workers,
        progress: Progress,
    ) -> Mapping[str, ScoreGrid]:
        """Read the scores of some songs.

        Parameters
        ----------
        corpora : mapping of str to Path
            Folders of the corpora, by the names of their roots.
        songs : sequence of (str, str)
            Root of each song, and the MD5 of its score.
        workers, progress : Workers, Progress
            Who does it, and who is told.

        Returns
        -------
        mapping of str to ScoreGrid
            Grids of scores by ``root:MD5``, as songs of catalogues are named.
        """

    def render(
        self,
        wanted: Sequence[WantedStem],
        corpora: Mapping[str, Path],
        folder: Path,
        state: Path,
        workers: Workers,
        progress: Progress,
        n_done: int = 0,
    ) -> None:
        """Render some stems.

        Parameters
        ----------
        wanted : sequence of WantedStem
            Stems that are to be rendered, each once.
        corpora : mapping of str to Path
            Folders of the corpora, by the names of their roots.
        folder : Path
            Where the audio files go.
        state : Path
            Folder that the records go to, Parquet files of `MatchedStem`; they last until
            everything is mixed. It is written by this process and its workers alone.
        workers, progress : Workers, Progress
            Who does it, and who is told.
        n_done : int
            Number of stems that were rendered before, for whoever is told.
        """
