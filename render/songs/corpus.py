"""One run of `render`: planning it, resuming it, and closing the corpus.

The plan is written before the first song. A run that is started again on the same folder goes on
where the last one was killed if its plan is the same, byte for byte, and is refused otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import shards
from stemsmith.manifests.audio import flac
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.records import Reason, Rejection, ScannedSong, Song, Stem
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.config import MixSource, RenderConfig
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.corpus.selection import Selection, select
from stemsmith.render.songs.job import SongJob
from stemsmith.render.sound import fluid
from stemsmith.render.sound.patches import Bank
from stemsmith.render.sound.sample_folder import read_sample_folder
from stemsmith.render.sound.synth import POLYPHONY

__all__ = ["STAGE", "CorpusRun", "RunPlan", "bank_header", "plan", "why_nothing"]

STAGE: Final = "corpus"
_SONGS_PER_SHARD: Final = 256
_PACKAGES: Final = ("numpy", "scipy", "pyloudnorm", "soundfile", "pyarrow", "mido")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All decisions of a run.

    Attributes
    ----------
    jobs : tuple of SongJob
        One a song, in order of track number.
    selection : Selection
        What was chosen.
    rejections : tuple of Rejection
        Songs left out so far (scanning and selecting).
    header : dict
        What the manifest will say of the run; also what makes two runs the same.
    """

    jobs: tuple[SongJob, ...]
    selection: Selection
    rejections: tuple[Rejection, ...]
    header: dict[str, Any]

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the corpus."""
        songs = [
            (job.track, job.split, job.song.path, job.song.md5, [p and p.name for p in job.patches])
            for job in self.jobs
        ]
        rejections = [(r.id, str(r.reason), r.detail) for r in self.rejections]
        text = json.dumps([self.header, songs, rejections], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def plan(
    scanned: Sequence[ScannedSong | Rejection],
    midi_root: Path,
    corpus: Path,
    config: RenderConfig,
    bank: Bank,
) -> RunPlan:
    """Decide which songs are rendered, and how.

    Parameters
    ----------
    scanned : sequence of ScannedSong or Rejection
        The inventory of `midi_root`.
    midi_root, corpus : Path
        Where the scores are and where the corpus goes.
    config : RenderConfig
        Options.
    bank : Bank
        Patches.

    Returns
    -------
    RunPlan
        With at least one job.

    Raises
    ------
    NothingToDo
        If no song fits, saying what was wrong with the most and what to change.
    UsageError
        If splits of exact sizes cannot be filled.
    """
    if config.mix_source is MixSource.UNSPLIT and bank.has_effects:
        raise UsageError(
            "--mix-source unsplit cannot have effects, VST3 instruments or folders of notes"
        )
    songs = [s for s in scanned if isinstance(s, ScannedSong)]
    unusable = [r for r in scanned if isinstance(r, Rejection)]
    selection = select(songs, config, bank)
    rejections = sorted([*unusable, *selection.rejections], key=lambda r: r.id)
    if not selection.chosen:
        raise NothingToDo(why_nothing(midi_root, len(scanned), rejections))
    wanted = int(sum(config.splits.sizes))
    if config.splits.are_counts and len(selection.chosen) < wanted:
        n_full = sum(r.reason is Reason.SPLIT_FULL for r in selection.rejections)
        raise UsageError(
            f"{midi_root}: --splits {config.splits} wants {wanted} songs; "
            f"{selection.n_fitting} fit, of which {n_full} are duplicates that fill no split; "
            "ask for fewer, or loosen --band and --min-notes"
        )
    soundfonts = tuple(s.path for s in bank.soundfonts)
    jobs = tuple(
        SongJob(
            song=chosen.song,
            track=chosen.track,
            split=chosen.split,
            patches=chosen.patches,
            midi_root=str(midi_root.resolve()),
            corpus=str(corpus.resolve()),
            soundfonts=soundfonts,
            config=config,
        )
        for chosen in selection.chosen
    )
    header = {
        "stage": STAGE,
        "config": config.to_dict(),
        "roots": {"corpus": "."},
        **bank_header(bank),
    }
    return RunPlan(jobs, selection, tuple(rejections), header)


def why_nothing(midi_root: Path, n_files: int, rejections: Sequence[Rejection]) -> str:
    """Say why no song is left, and what to change."""
    if not n_files:
        return f"{midi_root}: no .mid, .midi or .kar files"
    counts = Counter(r.reason for r in rejections)
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
    advice = {
        Reason.NO_BAND: "; loosen --band or --min-notes, or use --no-band",
        Reason.NO_PATCH: "; give another --soundfont, or use --render-omitted",
    }.get(counts.most_common(1)[0][0], "")
    return f"{midi_root}: none of {n_files} files can be rendered: {reasons}{advice}"


def bank_header(bank: Bank) -> dict[str, Any]:
    """Return what a manifest says of the patches and of what plays them."""
    patches = [
        [
            patch.name,
            patch.rendering_class,
            patch.preset and [Path(patch.preset.soundfont).name, *patch.preset[1:]],
            patch.instrument,
            patch.effects,
            *([read_sample_folder(Path(patch.folder)).fingerprint] if patch.folder else []),
        ]
        for patch in bank.patches
    ]
    return {
        "soundfonts": [
            {"file": s.file, "sha256": s.sha256, "licence": s.licence} for s in bank.soundfonts
        ],
        "patch_bank": {
            "n_patches": len(bank.patches),
            "sha256": hashlib.sha256(json.dumps(patches).encode()).hexdigest(),
        },
        "synthesis": {"reverb": False, "chorus": False, "polyphony": POLYPHONY},
        "versions": {
            "stemsmith": package_version("stemsmith"),
            "libfluidsynth": fluid.version(),
            **flac.encoder_version(),
            **{name: package_version(name) for name in _PACKAGES},
            **{name: package_version(name) for name in _packages_of(bank)},
        },
    }


def _packages_of(bank: Bank) -> list[str]:
    """Return the packages that only some banks need."""
    uses_pedalboard = any(patch.effects or patch.instrument for patch in bank.patches)
    uses_soxr = any(patch.folder for patch in bank.patches)
    return ["pedalboard"] * uses_pedalboard + ["soxr"] * uses_soxr


class CorpusRun:
    """A corpus folder while it is being rendered.

    Parameters
    ----------
    root : Path
        The corpus folder.
    run_plan : RunPlan
        The plan.
    """

    def __init__(self, root: Path, run_plan: RunPlan) -> None:
        self._layout = Layout(root)
        self._plan = run_plan
        self._folder = RunFolder(root, STAGE, self._layout.run, run_plan.fingerprint())

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder: check that it is new, or ours to go on with; sweep what was killed.

        Raises
        ------
        UsageError
            If the folder holds another run or other files, or another process holds it.
        """
        with self._folder.opened():
            if not self._folder.is_closed:
                self._layout.records.mkdir(exist_ok=True)
            yield

    def open_jobs(self) -> list[SongJob]:
        """Return the jobs that are not finished, the longest first.

        The order balances the load of workers; it does not change a byte.
        """
        jobs = [job for job in self._plan.jobs if not self._is_finished(job)]
        return sorted(jobs, key=lambda job: job.song.duration_s * len(job.patches), reverse=True)

    def _is_finished(self, job: SongJob) -> bool:
        layout = self._layout
        return (
            layout.track(job.split, job.track).is_dir()
            or layout.record(job.track, "rejections").exists()
        )

    def reject(self, job: SongJob, reason: Reason, detail: str) -> Rejection:
        """Record that a job could not be done at all, unless it was done before it died."""
        rejection = Rejection(job.song.path, "render", reason, detail)
        if not self._is_finished(job):
            path = self._layout.record(job.track, "rejections")
            shards.write_records(path, Rejection, [rejection])
        return rejection

    def close(self) -> dict[str, Any]:
        """Gather the records into shards, write the manifest, remove the run's own files.

        Returns
        -------
        dict
            The manifest.

        Raises
        ------
        NothingToDo
            If every song was rejected.
        """
        layout = self._layout
        if self._folder.is_closed:
            return shards.read_manifest(layout.root, STAGE)
        tracks = [job.track for job in self._plan.jobs]
        refused = [t for t in tracks if layout.record(t, "rejections").exists()]
        rejections = [
            *self._plan.rejections,
            *shards.read_records([layout.record(t, "rejections") for t in refused], Rejection),
        ]
        done = [track for track in tracks if track not in set(refused)]
        if not done:
            self._folder.abandon()
            raise NothingToDo(why_nothing(layout.root, len(tracks), rejections))
        files = self._write_shards("songs", Song, done) + self._write_shards("stems", Stem, done)
        path = layout.root / "rejections-00000.parquet"
        shards.write_records(path, Rejection, sorted(rejections, key=lambda r: r.id))
        reasons = Counter(str(r.reason) for r in rejections)
        header = {
            **self._plan.header,
            "n_songs": self._count_by_split(set(done)),
            "n_duplicates_grouped": self._plan.selection.n_grouped,
            "rejections": dict(sorted(reasons.items())),
            "shards": [shards.shard_entry(file) for file in [*files, path]],
        }
        return self._folder.close(header)

    def _count_by_split(self, done: set[str]) -> dict[str, int]:
        counts = Counter(job.split for job in self._plan.jobs if job.track in done)
        return {split: counts[split] for split in SPLITS}

    def _write_shards(self, kind: str, record_type: type, tracks: Sequence[str]) -> list[Path]:
        written = []
        for number, start in enumerate(range(0, len(tracks), _SONGS_PER_SHARD)):
            members = tracks[start : start + _SONGS_PER_SHARD]
            records: list[Any] = shards.read_records(
                [self._layout.record(track, kind) for track in members], record_type
            )
            written.append(self._layout.root / f"{kind}-{number:05d}.parquet")
            shards.write_records(written[-1], record_type, records)
        return written
