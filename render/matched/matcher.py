"""What `stemsmith.mixing` needs of scores: their beats, and excerpts of them rendered again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.jobs import Progress, Workers, do_jobs, needed
from stemsmith.manifests.places import place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Song
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.plan.matcher import WantedStem
from stemsmith.mixing.plan.score_grid import ScoreGrid
from stemsmith.render.corpus.config import Drums
from stemsmith.render.corpus.manifest import bank_header, is_bank_of, sound_versions
from stemsmith.render.matched.grid import CorpusScore, GridJob, StemToMatch, read_grid
from stemsmith.render.matched.render import MatchJob, MatchSpec, render_matches
from stemsmith.render.songs.metadata import SOURCE_MIDI
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patches import Bank, Patch

__all__ = ["ScoreMatcher"]

# Options of corpora that change stems in ways that excerpts do not have, and what leaves them out.
_NOT_DONE_AGAIN: Final[Mapping[str, tuple[str, Any]]] = {
    "effects": ("--effects", "none"),
    "room": ("--room", "none"),
    "equalise": ("--equalise", False),
    "humanise": ("--humanise", False),
    "jitter_s": ("--jitter", 0.0),
    "tuning_cents": ("--tuning", 0.0),
    "dynamics": ("--dynamics", {}),
}
_PER_JOB: Final = 32  # excerpts of one score: a job that is killed is done again


class ScoreMatcher:
    """Reads the scores of corpora, and renders excerpts of their stems again.

    It is a `stemsmith.mixing.plan.matcher.Matcher`.

    Parameters
    ----------
    bank : Bank
        The patches that the corpora were rendered with, measured.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._patches = {patch.name: patch for patch in bank.patches}
        self._songs: dict[str, _SongToMatch] = {}

    @property
    def header(self) -> Mapping[str, Any]:
        """What decides how excerpts sound, as a manifest has it."""
        return bank_header(self._bank)

    def read_grids(
        self,
        corpora: Mapping[str, Path],
        songs: Sequence[tuple[str, str]],
        workers: Workers,
        progress: Progress,
    ) -> Mapping[str, ScoreGrid]:
        """Read the scores of some songs; see `Matcher.read_grids`.

        Raises
        ------
        UsageError
            If the patches or soundfonts are not those of a corpus, naming what to do.
        InvalidCorpus
            If a score is not that of its song.
        """
        for root, folder in corpora.items():
            self._songs |= self._songs_of(root, Corpus(folder).verify())
        names = [f"{root}:{md5}" for root, md5 in songs]
        jobs = [GridJob(name, self._songs[name].score, self._songs[name].stems) for name in names]
        grids = {}
        with (
            preflight(workers, inputs=[(job.score.path for job in jobs)]),
            progress.loop("read scores", len(jobs)) as ticker,
        ):
            for name, grid in do_jobs(workers, read_grid, jobs, needed(lambda job: job.score.path)):
                grids[name] = grid
                ticker.advance()
        return {name: grids[name] for name in names}

    def _songs_of(self, root: str, corpus: Corpus) -> dict[str, _SongToMatch]:
        """Return the songs of a corpus by root and MD5."""
        _refuse_what_is_not_done_again(corpus)
        is_same_bank = is_bank_of(self.header, corpus.header)
        fonts = {font["file"]: font.get("sha256") for font in corpus.header.get("soundfonts") or ()}
        songs = {song.song_id: song for song in corpus.song_records()}
        stems: dict[str, dict[str, StemToMatch]] = defaultdict(dict)
        for stem in corpus.stem_records():
            patch = self._patches.get(stem.patch)
            if patch is None or not (is_same_bank or self._is_from(patch, fonts)):
                raise UsageError(
                    f"{corpus.root}: {stem.patch} plays some of its stems, which is not in the "
                    "soundfonts or patches at hand; give those that it was rendered with "
                    "(--soundfont, --bank)"
                )
            stems[stem.song_id][stem.stem] = StemToMatch(
                part_index=int(stem.stem[1:]),
                program=stem.program,
                n_notes=stem.n_notes,
                gain_db=stem.gain_db,
                n_channels=songs[stem.song_id].n_channels or 1,
                pan=stem.pan,
                mono_from=MonoFrom(stem.mono_from) if stem.mono_from else MonoFrom.SUM,
                patch=patch,
            )
        folder, config = corpus.root.resolve(), corpus.header.get("config") or {}

        def score_of(song: Song) -> CorpusScore:
            path = storage.inside(folder, f"{song.path}/{SOURCE_MIDI}")
            return CorpusScore(str(path), song.song_id, config.get("drums") == Drums.JOINED)

        return {
            f"{root}:{song_id}": _SongToMatch(score_of(song), stems[song_id])
            for song_id, song in songs.items()
        }

    def _is_from(self, patch: Patch, fonts: Mapping[str, str | None]) -> bool:
        """Tell whether a patch is a preset, as it is, of one of some soundfonts."""
        if patch.preset is None or patch.effects:
            return False
        sha256 = {font.path: font.sha256 for font in self._bank.soundfonts}
        path = patch.preset.soundfont
        return fonts.get(place(path).name) == sha256[path]

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
        """Render some stems; see `Matcher.render`.

        Raises
        ------
        UsageError
            If a patch cannot play its part.
        """
        staging = state / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        jobs = list(self._jobs(wanted, folder, state, staging))
        n_stems = n_done + len(wanted)
        hashed = {font.path: font.sha256 for font in self._bank.soundfonts}
        audio_s = sum(one.n_steps / ENVELOPE_HZ for one in wanted)
        with (
            preflight(workers, destination=state, hashed=hashed, versions=sound_versions),
            progress.loop("match", n_stems, n_done=n_done, audio_s=audio_s) as ticker,
        ):
            done = do_jobs(workers, render_matches, jobs, needed(lambda job: job.score.path))
            for report in done:
                ticker.advance(report.n_stems, report.audio_s)

    def _jobs(
        self, wanted: Sequence[WantedStem], folder: Path, state: Path, staging: Path
    ) -> Iterator[MatchJob]:
        """Yield jobs of one score each, the same for the same excerpts."""
        by_song: dict[str, list[WantedStem]] = defaultdict(list)
        for one in sorted(wanted):
            by_song[f"{one.root}:{one.song_id}"].append(one)
        for name, several in by_song.items():
            song = self._songs[name]
            for first in range(0, len(several), _PER_JOB):
                some = several[first : first + _PER_JOB]
                key = hashlib.sha256("".join(one.stem_id for one in some).encode()).hexdigest()
                yield MatchJob(
                    score=song.score,
                    specs=tuple(MatchSpec(one, song.stems[one.stem]) for one in some),
                    folder=str(folder),
                    staging=str(staging),
                    record=str(state / f"{key[:40]}.parquet"),
                )


def _refuse_what_is_not_done_again(corpus: Corpus) -> None:
    """Check that stems are what patches play as the score says, and nothing was done to them."""
    config = corpus.header.get("config") or {}
    for key, (flag, nothing) in _NOT_DONE_AGAIN.items():
        if config.get(key, nothing) != nothing:
            raise UsageError(
                f"{corpus.root}: was rendered with {flag}, which --match does not do again; give a "
                "corpus without, or --match none"
            )


class _SongToMatch(NamedTuple):
    """A song of a corpus: its score, and its stems by name."""

    score: CorpusScore
    stems: Mapping[str, StemToMatch]
