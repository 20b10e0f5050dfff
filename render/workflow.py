"""From MIDI files to corpora: what the commands `scan` and `render` do, in Python.

The functions print nothing and raise the errors of `stemsmith.manifests.errors`. They work in this
process unless `jobs` or `scheduler` ask for workers, and tell `progress` how far they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

from stemsmith.manifests.arrays import Float32s
from stemsmith.manifests.audio.flac import encoder_warnings
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.corpus import CORPUS, Corpus
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.folder_kinds import own_kind
from stemsmith.manifests.jobs import QUIET, Progress, Workers, do_jobs
from stemsmith.manifests.options import member
from stemsmith.manifests.places import place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import UNREAD, Reason, Rejection, ScannedSong
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.run_folder import RunFolder, refuse_foreign, refuse_other_kind
from stemsmith.manifests.scratch import OnDemand, ScratchRecords, prefixes_of, text_order
from stemsmith.manifests.shares import FinishedJob, Share, share_of
from stemsmith.render.corpus.config import Drums, RenderConfig, RenderOptions, SoundOptions
from stemsmith.render.corpus.kept_scan import KeptScan
from stemsmith.render.corpus.layout import RUN_FOLDER, Layout
from stemsmith.render.corpus.lazy_sources import lazy_sources
from stemsmith.render.corpus.licences import read_licences
from stemsmith.render.corpus.manifest import sfz_versions, sound_versions
from stemsmith.render.corpus.selection import patches_of
from stemsmith.render.midi.limits import DEFAULT_MAX_DURATION_S
from stemsmith.render.midi.scan import Inventory, ScanJob, find_midi_files, plan_scan, scan_files
from stemsmith.render.renditions.config import PRESETS, RenditionConfig, RenditionOptions
from stemsmith.render.renditions.corpus import RenditionDestination, merge_renditions
from stemsmith.render.renditions.forecast import forecast_renditions
from stemsmith.render.renditions.plan import plan_renditions
from stemsmith.render.renditions.render import RefusedStems, render_stems
from stemsmith.render.songs.balance import balance_of, levels_of
from stemsmith.render.songs.corpus import CorpusDestination, merge_songs
from stemsmith.render.songs.forecast import forecast
from stemsmith.render.songs.job import RenderedSong, RenderJob
from stemsmith.render.songs.plan import plan_corpus
from stemsmith.render.songs.production import plan_production
from stemsmith.render.songs.render import render_song, stems_of_song
from stemsmith.render.sound.bank_names import BANK_NAMES
from stemsmith.render.sound.known_fonts import named_soundfonts
from stemsmith.render.sound.measured_bank import with_compasses
from stemsmith.render.sound.measurement import is_measured
from stemsmith.render.sound.patches import Bank, bank_from_soundfonts, bank_from_yaml, bank_of
from stemsmith.render.sound.sf2 import SOUNDFONT_ENDINGS, default_soundfont
from stemsmith.render.sound.sfz.instrument import file_hashes
from stemsmith.render.sound.synth import check_soundfonts

__all__ = [
    "make_bank",
    "merge_corpus",
    "refuse_other_folder",
    "render_corpus",
    "render_midi",
    "render_renditions",
    "same_sound",
    "scan",
    "state_of",
]

C = TypeVar("C", bound=RenderConfig)


def scan(
    midi_dir: str | Path,
    *,
    max_duration_s: float = DEFAULT_MAX_DURATION_S,
    drums: Drums | str = Drums.TRACKS,
    skipped: str | Path | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> Inventory:
    """Read all MIDI files below a folder, and say which of them are songs.

    Parameters
    ----------
    midi_dir : path
        Folder that is searched, with all its subfolders, for .mid, .midi, .kar, .rmi and
        .smf files.
    max_duration_s : float
        Longest score that is a song, in seconds.
    drums : Drums
        Which parts drums are: ``tracks`` or ``joined``, as of `RenderConfig`.
    skipped : path, optional
        A folder that is not searched: a corpus has MIDI files of its own.
    jobs : int or Workers
        Number of local worker processes, where 0 works in this process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler to use in place of local workers.
    progress : Progress, optional
        Is told how far the scan is. Nothing is shown by default.

    Returns
    -------
    Inventory
        Songs and rejections, as tables and as records.

    Raises
    ------
    UsageError
        If `midi_dir` is not a folder, or cannot be read, or a ``licences.tsv`` in it cannot.

    Examples
    --------
    >>> import stemsmith
    >>> inventory = stemsmith.scan("scores")
    >>> inventory.songs.num_rows, inventory.rejections.num_rows
    (5, 0)
    """
    root = place(midi_dir)
    are_drums_joined = member(Drums, drums, "--drums") is Drums.JOINED
    paths = find_midi_files(root, None if skipped is None else place(skipped).resolve())
    with open_workers(jobs, scheduler) as workers:
        found = _scanned(root, paths, max_duration_s, are_drums_joined, workers, progress)
    return _inventory_of(root, paths, found)


def _scanned(
    root: Path,
    paths: Sequence[str],
    max_duration_s: float,
    are_drums_joined: bool,
    workers: Workers,
    progress: Progress,
) -> Sequence[ScannedSong | Rejection]:
    """Read some files of a folder; return a song or a rejection for each, in any order."""
    found = ScratchRecords[ScannedSong | Rejection]()
    deadly: list[str] = []

    def put_off(job: ScanJob) -> list[ScannedSong | Rejection]:
        deadly.extend(job.paths)  # one of each job's files
        return []

    def reject(job: ScanJob) -> list[ScannedSong | Rejection]:
        detail = "killed the scanning process twice"
        return [Rejection(path, "scan", Reason.RENDERER_DIED, detail) for path in job.paths]

    files = (root.resolve() / path for path in paths)
    with (
        preflight(workers, inputs=[files]),
        progress.loop("scan", len(paths)) as ticker,
    ):
        several = plan_scan(
            root.resolve(), paths, max_duration_s, are_drums_joined=are_drums_joined
        )
        for results in do_jobs(workers, scan_files, several, put_off):
            found.extend(results)
            ticker.advance(len(results))
        alone = plan_scan(
            root.resolve(), deadly, max_duration_s, n_files=1, are_drums_joined=are_drums_joined
        )
        for results in do_jobs(workers, scan_files, alone, reject):
            found.extend(results)
            ticker.advance(len(results))
    return found


def _inventory_of(
    root: Path, paths: Sequence[str], found: Sequence[ScannedSong | Rejection]
) -> Inventory:
    licences = read_licences(root, paths)
    prefixes = prefixes_of(map(_path_of, found))
    order = text_order(prefixes, lambda number: _path_of(found[number]))
    return Inventory(OnDemand(lambda number: _licensed(found[number], licences), order))


def _path_of(item: ScannedSong | Rejection) -> str:
    return item.path if isinstance(item, ScannedSong) else item.id


def _licensed(
    item: ScannedSong | Rejection, licences: Mapping[str, str]
) -> ScannedSong | Rejection:
    if isinstance(item, Rejection):
        return item
    return dataclasses.replace(item, licence=licences.get(item.path))


def make_bank(
    soundfonts: Sequence[str | Path] = (),
    bank: str | Path | None = None,
    progress: Progress = QUIET,
    *,
    patches: str | Path | None = None,
) -> Bank:
    """Read soundfonts, or a patch bank, and check that they can be played.

    Parameters
    ----------
    soundfonts : sequence of path
        SoundFont files (.sf2, .sf3). With none, and without `bank`, it is TimGM6mb.sf2.
    bank : path or str, optional
        A patch bank in place of soundfonts: a YAML file (see
        `stemsmith.render.sound.patches.bank_from_yaml`), ``general`` for three soundfonts known to
        be good, all of which must be there, or ``installed`` for whatever is there of those known
        (`stemsmith.render.sound.known_fonts`).
    progress : Progress, optional
        Is told of the patches that are left out, such as those of a missing plug-in, and of
        another encoder of FLAC than the usual one.
    patches : path, optional
        The older name of `bank`, for a file.

    Returns
    -------
    Bank
        The patches that parts may get.

    Raises
    ------
    UsageError
        If several are given, or a file cannot be read or played; the text names it.

    Examples
    --------
    >>> import stemsmith
    >>> bank = stemsmith.make_bank()
    >>> [soundfont.file for soundfont in bank.soundfonts], len(bank.patches)
    (['TimGM6mb.sf2'], 136)
    """
    made = _read_bank(soundfonts, bank, patches)
    check_soundfonts([font.path for font in made.soundfonts if not is_measured(font)])
    for warning in (*made.warnings, *encoder_warnings()):
        progress.warn(warning)
    return made


def _read_bank(
    soundfonts: Sequence[str | Path], bank: str | Path | None, patches: str | Path | None
) -> Bank:
    flag, name = ("--bank", bank) if patches is None else ("--patches", patches)
    if patches is not None and bank is not None:
        raise UsageError("give either --bank or --patches, which is its older name")
    if name is None:
        several = [soundfonts] if isinstance(soundfonts, str) else soundfonts
        return bank_from_soundfonts([place(s) for s in several] or [default_soundfont()])
    if soundfonts:
        raise UsageError(f"give either {flag} or --soundfont")
    if name in BANK_NAMES and patches is None:
        return bank_of(named_soundfonts(str(name)))
    path = place(name)
    if path.suffix.lower() in SOUNDFONT_ENDINGS:
        raise UsageError(f"{path}: is no patch bank but a soundfont; give it with --soundfont")
    if not path.suffix and not path.exists():
        raise UsageError(f"{flag} {path}: no such file, and no bank but {' or '.join(BANK_NAMES)}")
    return bank_from_yaml(path)


def _measured_bank(
    bank: Bank | str | Path | None,
    soundfonts: Sequence[str | Path],
    patches: str | Path | None,
    progress: Progress,
) -> Bank:
    """Return the bank that arguments name, measured."""
    if not isinstance(bank, Bank):
        bank = make_bank(soundfonts, bank, progress, patches=patches)
    elif soundfonts or patches is not None:
        raise UsageError("give either a bank or soundfonts")
    return with_compasses(bank, progress)


@overload
def render_corpus(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenderConfig | None = None,
    *,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenderOptions],
) -> Corpus: ...
@overload
def render_corpus(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenderConfig | None = None,
    *,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: str,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenderOptions],
) -> FinishedJob: ...
def render_corpus(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenderConfig | None = None,
    *,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: str | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenderOptions],
) -> Corpus | FinishedJob:
    """Render the MIDI files below a folder into a multi-track corpus like Slakh2100.

    Killed at any moment, the same call goes on where it was and ends with the same bytes.

    Parameters
    ----------
    midi_dir : path
        Folder of the scores.
    corpus : path
        Folder that the corpus goes to: a new one, or that of the same call before.
    config : RenderConfig, optional
        Options of the corpus; Slakh's by default.
    bank : Bank or str or path, optional
        Patches, as `make_bank` returns them or as it takes them: a YAML file, ``general`` or
        ``installed``. By default those of `soundfonts`.
    soundfonts, patches
        As for `make_bank`.
    lazy : bool
        Whether no audio is kept: records, envelopes and MIDI are, and whoever reads a file of audio
        has its song rendered again, into a cache that stays small.
    job : str, optional
        Which job of an array this is, such as ``3/8``: an eighth of the songs is rendered, and
        seven other calls, at the same time and anywhere, render the rest into the same folder.
        `stemsmith.merge` closes it.
    jobs : int or Workers
        Number of local worker processes, where 0 works in this process; or workers that are open.
    scheduler : str, optional
        Address of a Dask scheduler to use in place of local workers.
    progress : Progress, optional
        Is told how far the rendering is. Nothing is shown by default.
    **options
        Fields of `RenderConfig`, such as ``n_songs=20``; they win over `config`.

    Returns
    -------
    Corpus or FinishedJob
        The finished corpus. What was left out stands in its `rejections`. For a `job`, what it has
        done.

    Raises
    ------
    NothingToDo
        If no song fits, saying what was wrong with the most and what to change.
    UsageError
        For options that make no sense, a folder that holds something else, or a disk that has no
        room for the corpus.

    Examples
    --------
    >>> import stemsmith
    >>> corpus = stemsmith.render_corpus(
    ...     "scores/bands", "new-corpus", n_songs=2, seed=1, min_notes=1, sample_rate=16000
    ... )
    >>> len(corpus), corpus.rejections.num_rows
    (2, 0)
    """
    config, share = _config(config or RenderConfig(), options), share_of(job)
    # What the files are worth that they name is said before thousands of scores are read.
    balance_of(config)
    plan_production(config)
    refuse_other_folder(corpus)
    named, bank = bank, _measured_bank(bank, soundfonts, patches, progress)
    kept = lazy_sources(bank, named or patches, config) if lazy else None
    with open_workers(jobs, scheduler) as workers, same_sound(workers, bank):
        inventory = _inventory(midi_dir, corpus, config, workers, progress, share)
        plan = plan_corpus(inventory.found, place(midi_dir), place(corpus), config, bank, kept)
        _check_number(midi_dir, config, len(plan.jobs), plan.rejections)
        if config.n_songs is not None and len(plan.jobs) < config.n_songs:
            progress.warn(f"{config.n_songs} songs wanted, {len(plan.jobs)} fit")
        destination = CorpusDestination(place(corpus), plan, share)
        expected = forecast(destination.open_jobs())
        # Other jobs of an array fill the same disk.
        of_all = expected if share is None else forecast(destination.all_open_jobs())
        of_all.check_room(place(corpus))
        with destination.opened():
            if expected.n_songs:
                progress.note(expected.sentence(jobs if isinstance(jobs, int) else 1))
            open_jobs = destination.open_jobs()
            scores = (job.score for job in open_jobs)
            n_songs = destination.n_songs
            n_done = n_songs - len(open_jobs)
            audio_s = expected.mixture_s
            with (
                preflight(workers, inputs=[scores], destination=state_of(corpus)),
                progress.loop("render", n_songs, n_done=n_done, audio_s=audio_s) as ticker,
            ):
                for result in do_jobs(workers, render_song, open_jobs, destination.died):
                    audio_s = result.duration_s if isinstance(result, RenderedSong) else 0.0
                    ticker.advance(audio_s=audio_s)
            if config.n_wanted is not None:
                unread = destination.reopen(UNREAD)
                _check_number(midi_dir, config, len(plan.jobs) - len(unread), unread)
            return destination.close() if share is None else destination.finish_job()


@overload
def render_renditions(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenditionConfig | None = None,
    *,
    preset: str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenditionOptions],
) -> Corpus: ...
@overload
def render_renditions(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenditionConfig | None = None,
    *,
    preset: str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: str,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenditionOptions],
) -> FinishedJob: ...
def render_renditions(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenditionConfig | None = None,
    *,
    preset: str | None = None,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    lazy: bool = False,
    job: str | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    **options: Unpack[RenditionOptions],
) -> Corpus | FinishedJob:
    """Render many performances of each score below a folder, every stem once.

    Parameters
    ----------
    midi_dir : path
        Folder of the scores.
    corpus : path
        Folder that the corpus goes to: a new one, or that of the same call before.
    config : RenditionConfig, optional
        Options of the corpus; one rendition as written by default.
    preset : str, optional
        Factors of a paper's renditions, which win over `config`: ``miron-rwc`` or
        ``miron-sibelius``.
    bank, soundfonts, patches, lazy, job, jobs, scheduler, progress
        As for `render_corpus`; the jobs of an array share scores and tempi.
    **options
        Fields of `RenditionConfig`, such as ``n_renditions=400``; they win over `preset`.

    Returns
    -------
    Corpus or FinishedJob
        The finished corpus, of the kind ``renditions``. For a `job`, what it has done.

    Raises
    ------
    NothingToDo
        If no score can be used.
    UsageError
        For options that make no sense, a stem that would clip, a folder that holds something
        else, or a disk that has no room for the corpus.

    Examples
    --------
    >>> import stemsmith
    >>> corpus = stemsmith.render_renditions(
    ...     "scores/duets",
    ...     "new-renditions",
    ...     stemsmith.RenditionConfig(n_renditions=2, shifts_s=(0.0, 0.1), headroom_db=36),
    ... )
    >>> len(corpus)
    4
    """
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"--preset {preset}: unknown; known: {', '.join(PRESETS)}")
    values = {**(PRESETS[preset] if preset else {}), **options}
    config, share = _config(config or RenditionConfig(), values), share_of(job)
    refuse_other_folder(corpus)
    named, bank = bank, _measured_bank(bank, soundfonts, patches, progress)
    kept = lazy_sources(bank, named or patches, config, config.aligned) if lazy else None
    with open_workers(jobs, scheduler) as workers, same_sound(workers, bank):
        inventory = _inventory(midi_dir, corpus, config, workers, progress, share)
        plan = plan_renditions(inventory.found, place(midi_dir), config, bank, kept)
        _check_number(midi_dir, config, len(plan.pieces), inventory.unusable)
        for warning in plan.warnings:
            progress.warn(warning)
        destination = RenditionDestination(place(corpus), plan, share)
        open_jobs = destination.open_jobs()
        expected = forecast_renditions(open_jobs, plan)
        # Other jobs of an array fill the same disk.
        of_all = destination.n_all_open() / max(len(open_jobs), 1)
        expected.times(of_all).check_room(place(corpus))
        with destination.opened():
            if expected.n_stems:
                progress.note(expected.sentence(jobs if isinstance(jobs, int) else 1))
            open_jobs = destination.open_jobs()
            scores = (job.score for job in open_jobs)
            n_done = destination.n_jobs - len(open_jobs)
            with (
                preflight(workers, inputs=[scores], destination=state_of(corpus)),
                progress.loop(
                    "render", destination.n_jobs, n_done=n_done, audio_s=expected.audio_s
                ) as ticker,
            ):
                for result in do_jobs(workers, render_stems, open_jobs, destination.died):
                    if isinstance(result, RefusedStems):
                        unread = [result.rejection]
                        _check_number(midi_dir, config, len(plan.pieces) - 1, unread)
                        destination.reject(result)
                        ticker.advance()
                    else:
                        ticker.advance(audio_s=result.audio_s)
            return destination.close() if share is None else destination.finish_job()


def merge_corpus(corpus: str | Path) -> Corpus:
    """Close a corpus that the jobs of an array have rendered; `stemsmith.merge` says more.

    Parameters
    ----------
    corpus : path
        Folder of the corpus.

    Returns
    -------
    Corpus
        The corpus, whose files are those of an undivided call.

    Raises
    ------
    NothingToDo
        If a job has not finished, naming it; or if every song was rejected.
    UsageError
        If a job is at work, or the folder is none that jobs fill.
    """
    layout = Layout(place(corpus))
    folder = RunFolder.left(layout.root, CORPUS, layout.run)
    if folder.is_closed:
        with folder.opened():
            return Corpus(layout.root)
    is_of_renditions = folder.array.outline().header.get("kind") == RENDITIONS
    return (merge_renditions if is_of_renditions else merge_songs)(layout, folder)


def render_midi(
    path: str | Path,
    config: RenderConfig | None = None,
    *,
    bank: Bank | str | Path | None = None,
    soundfonts: Sequence[str | Path] = (),
    patches: str | Path | None = None,
    progress: Progress = QUIET,
    **options: Unpack[SoundOptions],
) -> dict[str, Float32s]:
    """Render one MIDI file into memory, part by part.

    The audio is that of a corpus with the same options and patches, before its rounding to 16
    bits: stems have their patches by seed and by the content of the file, are brought to one
    loudness (`target_lufs`, by gains up to `max_gain_db`), and share a uniform gain such that
    neither they nor their sum, the mixture, pass `target_peak_dbfs`.

    Parameters
    ----------
    path : path
        The MIDI file. Any song is taken, whatever plays in it.
    config : RenderConfig, optional
        Options; those that choose songs and splits have no effect.
    bank, soundfonts, patches, progress
        As for `render_corpus`.
    **options
        Fields of `RenderConfig` that decide the sound, such as ``sample_rate=16000``.

    Returns
    -------
    dict of str to numpy.ndarray
        (1, n_samples) float32 for each part that is rendered, by its name: ``S00`` is the first
        part of the score. All are equally long, and full scale is 1.

    Raises
    ------
    UsageError
        If the file cannot be used, no part of it has a patch, or none sounds.

    Examples
    --------
    >>> import stemsmith
    >>> stems = stemsmith.render_midi("scores/bands/band_1.mid", sample_rate=16000)
    >>> sorted(stems), stems["S00"].dtype
    (['S00', 'S01', 'S02', 'S03'], dtype('float32'))
    """
    path = place(path)
    config = _config(config or RenderConfig(), options)
    bank = _measured_bank(bank, soundfonts, patches, progress)
    (job,) = plan_scan(
        path.parent,
        [path.name],
        config.max_duration_s,
        are_drums_joined=config.drums is Drums.JOINED,
    )
    (song,) = scan_files(job)
    if isinstance(song, Rejection):
        raise UsageError(f"{path}: cannot be used: {song.detail}")
    chosen = patches_of(song, config, bank)
    if not any(chosen):
        raise UsageError(f"{path}: no part has a patch in the bank")
    return stems_of_song(
        RenderJob(
            song=song,
            track="",
            split="",
            patches=chosen,
            midi_root=str(path.parent),
            corpus="",
            soundfonts=tuple(soundfont.path for soundfont in bank.soundfonts),
            config=config,
            levels_lu=levels_of(balance_of(config), config, song),
            production=plan_production(config)[0],
        )
    )


def refuse_other_folder(corpus: str | Path) -> None:
    """Refuse a destination that holds something else, before thousands of scores are read."""
    folder = place(corpus)
    refuse_other_kind(folder, CORPUS)
    refuse_foreign(folder, CORPUS, RUN_FOLDER)


def state_of(corpus: str | Path) -> Path:
    """Return the folder in which a run keeps its state while it fills a corpus."""
    return place(corpus).absolute() / RUN_FOLDER


def _check_number(
    midi_dir: str | Path, config: RenderConfig, n_songs: int, rejections: Sequence[Rejection]
) -> None:
    """Refuse to make fewer songs than were asked for because files cannot be read.

    Fewer because no more of them fit are made, with a warning.
    """
    n_wanted = config.n_wanted
    if n_wanted is None or n_songs >= n_wanted:
        return
    unread = [rejection for rejection in rejections if rejection.reason in UNREAD]
    if unread:
        raise NothingToDo(
            f"{midi_dir}: {n_wanted} songs wanted, {n_songs} found, and {len(unread)} files "
            f"cannot be read, such as {unread[0].id}: {unread[0].detail}; see to that and run "
            "again, or ask for fewer --songs"
        )


def same_sound(workers: Workers, bank: Bank) -> AbstractContextManager[None]:
    """Check that workers have the same soundfonts, and the same libraries to play them."""
    hashed = {soundfont.path: soundfont.sha256 for soundfont in bank.soundfonts}
    instruments = {patch.sfz for patch in bank.patches if patch.sfz is not None}
    for instrument in instruments:
        hashed |= file_hashes(instrument)
    places = [[name] for patch in bank.patches if (name := patch.folder or patch.instrument)]
    versions = sfz_versions if instruments else sound_versions
    return preflight(workers, inputs=places, hashed=hashed, versions=versions)


def _config(config: C, options: Mapping[str, Any]) -> C:
    return dataclasses.replace(config, **options)


def _inventory(
    midi_dir: str | Path,
    corpus: str | Path,
    config: RenderConfig,
    workers: Workers,
    progress: Progress,
    share: Share | None,
) -> Inventory:
    """Scan a folder, but not the corpus in it; one of the jobs of an array does it for all."""
    root, folder = place(midi_dir), place(corpus)
    paths = find_midi_files(root, folder.resolve())
    are_drums_joined = config.drums is Drums.JOINED

    def read() -> Sequence[ScannedSong | Rejection]:
        return _scanned(root, paths, config.max_duration_s, are_drums_joined, workers, progress)

    if share is None or own_kind(folder) is not None:
        return _inventory_of(root, paths, read())
    kept = KeptScan(folder / RUN_FOLDER, root, paths, [config.max_duration_s, are_drums_joined])
    return _inventory_of(root, paths, kept.found(read, progress))
