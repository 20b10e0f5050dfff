"""What the commands `mix` and `validate` do, as functions: from sources to a folder of mixtures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Unpack, cast, overload, runtime_checkable

import numpy as np
from stemsmith.manifests.audio.flac import encoder_warnings
from stemsmith.manifests.audio.formats import AudioFormat
from stemsmith.manifests.cache import cache_folder
from stemsmith.manifests.cluster import open_workers
from stemsmith.manifests.corpus import SONGS
from stemsmith.manifests.errors import NothingToDo, UsageError
from stemsmith.manifests.findings import raise_first_offence
from stemsmith.manifests.jobs import QUIET, Progress, Ticker, Workers, do_jobs, needed
from stemsmith.manifests.matched import MATCHED
from stemsmith.manifests.mixtures import STAGE, MeasuredFile
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.preflight import preflight
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.manifests.run_folder import RunFolder, refuse_foreign, refuse_other_kind
from stemsmith.manifests.shards import MANIFEST
from stemsmith.manifests.shares import FinishedJob, Share, share_of
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.audio.realise import TRUE
from stemsmith.mixing.audio_shards import write_audio_shard
from stemsmith.mixing.augmentations import AUGMENTATIONS
from stemsmith.mixing.destination import MixtureDestination, merge_shards, n_per_shard
from stemsmith.mixing.mixtures import STATE_FOLDER, Mixtures
from stemsmith.mixing.plan.config import (
    Match,
    MixConfig,
    MixOptions,
    Mode,
    Weights,
)
from stemsmith.mixing.plan.incoherent import Partners
from stemsmith.mixing.plan.matcher import Matcher, WantedStem
from stemsmith.mixing.plan.matching import Scores, read_notes
from stemsmith.mixing.plan.mixtures import MixturePlan, plan_mixtures
from stemsmith.mixing.plan.partners import PartnerSearch, pair_clips
from stemsmith.mixing.plan.renditions import read_renditions
from stemsmith.mixing.plan.songs import divided, limited, without_other_songs
from stemsmith.mixing.sources import measure
from stemsmith.mixing.sources.catalogue import SplitCatalogue, split_catalogues
from stemsmith.mixing.sources.find import (
    Source,
    check_destination,
    find_sources,
    read_stems,
)
from stemsmith.mixing.sources.measure import MeasureJob
from stemsmith.mixing.sources.taxonomy import Taxonomy, names_pieces, read_taxonomy
from stemsmith.mixing.validate import check_file, plan_checks

__all__ = ["HasRoot", "ValidMixtures", "merge_mixtures", "mix", "validate_mixtures"]


@runtime_checkable
class HasRoot(Protocol):
    """A folder that is open already, such as a `stemsmith.Corpus`."""

    @property
    def root(self) -> Path: ...  # noqa: D102


SourceLike = str | Path | HasRoot


@overload
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    job: None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    matcher: Matcher | None = None,
    **options: Unpack[MixOptions],
) -> Mixtures: ...
@overload
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    job: str,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    matcher: Matcher | None = None,
    **options: Unpack[MixOptions],
) -> FinishedJob: ...
def mix(
    sources: SourceLike | Sequence[SourceLike],
    mixtures: str | Path,
    config: MixConfig | None = None,
    *,
    taxonomy: str | Taxonomy = "slakh",
    stems: str | Sequence[str] | None = None,
    audio_format: AudioFormat | str | None = None,
    job: str | None = None,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
    matcher: Matcher | None = None,
    **options: Unpack[MixOptions],
) -> Mixtures | FinishedJob:
    """Draw mixtures of the stems of some sources, and write how they are mixed.

    A call that was killed goes on where it was if it is repeated; one whose mixtures are all there
    returns them.

    Parameters
    ----------
    sources : str, Path, Corpus, or a sequence of these
        Corpora, and other data sets as ``LAYOUT:PATH``, such as ``"musdb:musdb18"``.
    mixtures : str or Path
        The folder to write, which lies in none of the sources.
    config : MixConfig, optional
        Decisions about the mixtures.
    taxonomy : str or Taxonomy
        The targets: a built-in name, a TOML file, ``package.module:Object``, or one made in
        Python.
    stems : str or sequence of str, optional
        Targets whose audio is written beside the mixture, or ``"all"``. None writes the target
        that was asked for, or else all.
    audio_format : AudioFormat or str, optional
        ``"flac"`` or ``"wav"`` writes audio shards too; None writes recipes alone.
    job : str, optional
        Which job of an array this is, such as ``3/8``: an eighth of the shards is written, and
        seven other calls, at the same time and anywhere, write the rest into the same folder.
        `stemsmith.merge` closes it.
    jobs, scheduler : int or Workers, str or None
        Worker processes; see `stemsmith.manifests.cluster.open_workers`. The result does not
        depend on them.
    progress : Progress
        Told of what is done and what is to be warned of; silent by default.
    matcher : Matcher, optional
        Reads scores and renders from them what is to match; `stemsmith.mix` brings one.
    **options
        Fields of `MixConfig`, which replace those of `config`.

    Returns
    -------
    Mixtures or FinishedJob
        The folder, opened. For a `job`, what it has done.

    Raises
    ------
    UsageError
        If options make no sense, a source is no folder, or the destination holds something else.
    InvalidCorpus
        If a source is damaged, or not what it was said to be.
    NothingToDo
        If no mixture can be drawn; the text says what to change.

    Examples
    --------
    >>> import stemsmith
    >>> mixtures = stemsmith.mix(
    ...     "corpus", "new-mixtures", target="bass", n_mixtures=4, clip_s=1, min_rms_dbfs=-60
    ... )
    >>> mixtures.splits["train"], sorted(mixtures[0].realise())
    (4, ['bass', 'drums', 'guitar', 'mixture', 'piano'])
    """
    config = dataclasses.replace(config or MixConfig(), **cast(Any, options))
    folder, share = place(mixtures), share_of(job)
    refuse_foreign(folder, STAGE, STATE_FOLDER)
    names = taxonomy if isinstance(taxonomy, Taxonomy) else read_taxonomy(taxonomy)
    targets = _written_targets(stems, config.target, names.targets)
    if any(AUGMENTATIONS.load(name).is_fault for name in config.augment):
        targets = tuple(target + end for target in targets for end in ("", TRUE))
    written_format = _format_of(audio_format)
    given = cast(Sequence[SourceLike], [sources] if _is_one(sources) else sources)
    texts = [_named(source) for source in given]
    found = find_sources(texts, cache_folder(), names.class_names)
    check_destination(folder, found)
    found = without_other_songs(found, config.songs)
    refuse_other_kind(folder, STAGE)
    matcher = _matcher_for(config, found, names, matcher)
    with open_workers(jobs, scheduler) as workers, preflight(workers, inputs=_files_of(found)):
        found, measured = _measured(workers, progress, found, share)
        plan = _plan_of(workers, progress, found, measured, names, config, matcher)
        if "n_mixtures_of" in plan.header and not config.n_said:
            old = plan.as_of_old()
            if MixtureDestination(folder, old, targets, written_format).is_own:
                plan = old
        per_shard = n_per_shard(written_format)
        plan, wanted = _with_matches(plan, folder, config, progress, per_shard, share)
        is_flac = written_format is AudioFormat.FLAC
        for warning in (*plan.warnings, *(encoder_warnings() if is_flac else ())):
            progress.warn(warning)
        destination = MixtureDestination(folder, plan, targets, written_format, share)
        with destination.opened():
            if not destination.is_closed:
                if share is not None:
                    destination.keep_outline()
                length_s = 0.0 if config.is_whole else config.length_s
                with preflight(workers, destination=folder.absolute() / STATE_FOLDER):
                    if matcher is not None:
                        destination.matched = _rendered_matches(
                            matcher, wanted, destination, found, plan, workers, progress
                        )
                    _write(workers, progress, destination, length_s)
            if share is not None:
                return destination.finish_job()
            destination.close()
    return Mixtures(folder)


def merge_mixtures(mixtures: str | Path) -> Mixtures:
    """Close a folder of mixtures that the jobs of an array have filled; see `stemsmith.merge`.

    Parameters
    ----------
    mixtures : str or Path
        The folder of mixtures.

    Returns
    -------
    Mixtures
        The folder, opened; its files are those of an undivided call.

    Raises
    ------
    NothingToDo
        If a job has not finished, naming it.
    UsageError
        If a job is at work, or the folder is none that jobs fill.
    """
    root = place(mixtures)
    folder = RunFolder.left(root, STAGE, root / STATE_FOLDER)
    if folder.is_closed:
        with folder.opened():
            return Mixtures(root)
    merge_shards(root, folder)
    return Mixtures(root)


def _rendered_matches(
    matcher: Matcher,
    wanted: Sequence[WantedStem],
    destination: MixtureDestination,
    sources: Sequence[Source],
    plan: MixturePlan,
    workers: Workers,
    progress: Progress,
) -> dict[str, str]:
    """Render the matched stems that nobody has rendered; return the SHA-256 of all by path."""
    known = {stem.stem_id for stem in destination.matched_stems()}
    missing = [one for one in wanted if one.stem_id not in known]
    matcher.render(
        missing,
        _corpora_of(sources),
        place(plan.roots[MATCHED]),
        destination.matched_state,
        workers,
        progress,
        len(wanted) - len(missing),
    )
    return {stem.path: stem.sha256 for stem in destination.matched_stems()}


def _files_of(sources: Sequence[Source]) -> Iterator[Iterator[Path]]:
    """Yield what workers read of each source: a corpus has a manifest, others their stems."""
    for source in sources:
        names = itertools.chain([MANIFEST], (file.path for file in source.files))
        yield (source.root / name for name in names)


def _named(source: SourceLike) -> str | Path:
    """Return a source as `find_sources` takes it: text may name a layout, a path does not."""
    is_named = isinstance(source, str | Path) or is_remote(source)
    return cast("str | Path", source) if is_named else cast(HasRoot, source).root


def _is_one(sources: SourceLike | Sequence[SourceLike]) -> bool:
    return isinstance(sources, str | Path | HasRoot) or is_remote(sources)


def _format_of(name: AudioFormat | str | None) -> AudioFormat | None:
    if name is None:
        return None
    if name not in list(AudioFormat):
        known = ", ".join(AudioFormat)
        raise UsageError(f"--audio-format {name}: unknown; known: {known}")
    return AudioFormat(name)


def _written_targets(
    wanted: str | Sequence[str] | None, target: str | None, known: Sequence[str]
) -> tuple[str, ...]:
    """Return the targets whose audio is written."""
    if wanted is None:
        return (target,) if target is not None else tuple(known)
    if wanted == "all":
        return tuple(known)
    given = [wanted] if isinstance(wanted, str) else wanted
    names = tuple(dict.fromkeys(map(normal_name, given)))
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--stems {unknown[0]}: not a target; known: {', '.join(known)}")
    return names


def _measured(
    workers: Workers, progress: Progress, sources: Sequence[Source], share: Share | None
) -> tuple[list[Source], measure.MeasuredFiles]:
    """Measure the files that nobody has measured yet.

    The jobs of an array all need all of them. Each begins with its own share, and takes over what
    others have not measured meanwhile, so that none waits for another.

    Returns
    -------
    sources : list of Source
        Without the songs of which a file cannot be measured.
    measured : MeasuredFiles
        What is known of all files that are left.
    """
    jobs = list(dict.fromkeys(job for source in sources for job in source.to_measure))
    measured = measure.MeasuredFiles()
    for job in jobs:
        if (known := measure.cached(job)) is not None:
            measured.add(job, known)
    refused: dict[str, Rejection] = {}
    if missing := [job for job in jobs if job not in measured]:
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        in_turn = missing if share is None else share.first_of(missing)
        with (
            preflight(workers, destination=cache),
            progress.loop("measure", len(missing)) as ticker,
        ):
            open_jobs = _not_measured_by_others(in_turn, ticker)
            for found in do_jobs(workers, measure.measure_file, open_jobs, _killed):
                if isinstance(found, Rejection):
                    refused[found.id] = found
                    ticker.advance()
                else:
                    ticker.advance(audio_s=found.n_samples / found.sample_rate)
        # Results come in any order; each was also written to its place in the cache.
        for job in missing:
            if job.path not in refused:
                measured.add(job, measure.read(job))
    rejections = {job: refused[job.path] for job in jobs if job.path in refused}
    for source in sources:
        rejections |= source.misfits(measured)
    kept = [source.without(rejections) for source in sources]
    for source, rest in zip(sources, kept, strict=True):
        if source.files and not rest.files:
            causes = [row for row in rest.left_out if row.reason is not Reason.INCOMPLETE]
            raise NothingToDo(f"{source.root}: no song can be used: {causes[-1].detail}")
    return kept, measured


def _not_measured_by_others(jobs: Iterable[MeasureJob], ticker: Ticker) -> Iterator[MeasureJob]:
    """Yield the jobs that nobody else has done when it is their turn."""
    for job in jobs:
        if place(job.record).exists() and measure.cached(job) is not None:
            ticker.advance()
        else:
            yield job


def _killed(job: MeasureJob) -> Rejection:
    detail = f"{job.path}: killed the process that measured it, twice"
    return Rejection(job.path, measure.MEASURED_BY, Reason.WORKER_DIED, detail)


def _plan_of(
    workers: Workers,
    progress: Progress,
    sources: Sequence[Source],
    measured: Mapping[MeasureJob, MeasuredFile],
    taxonomy: Taxonomy,
    config: MixConfig,
    matcher: Matcher | None,
) -> MixturePlan:
    """Decide on the mixtures."""
    is_with_voices = config.weights is Weights.ACTIVITY
    stems = read_stems(sources, measured, config.n_channels, is_with_voices, taxonomy.class_names)
    stems, warnings = divided(stems, config, sources)
    stems = limited(stems, config, taxonomy)
    catalogues = split_catalogues(stems, taxonomy)
    partners = _partners_of(workers, progress, sources, catalogues, config)
    renditions = read_renditions(sources) if config.mode is Mode.RENDITIONS else []
    has_no_target = [taxonomy.target_of(classes) is None for classes in stems.kinds]
    is_untargeted = np.array(has_no_target, bool)[stems.kind_numbers]
    if config.splits:
        wanted = [SPLITS.index(split) for split in config.splits]
        is_untargeted &= np.isin(stems.split_numbers, wanted)
    untargeted = stems.take(is_untargeted)
    scores = None
    if matcher is not None:
        songs = sorted({song for catalogue in catalogues.values() for song in catalogue.songs})
        split_ids = [(root, song) for root, _, song in (s.partition(":") for s in songs)]
        grids = matcher.read_grids(_corpora_of(sources), split_ids, workers, progress)
        scores = Scores(grids, read_notes(sources), matcher.header)
    plan = plan_mixtures(
        sources, catalogues, taxonomy, config, partners, renditions, untargeted, scores
    )
    return dataclasses.replace(plan, warnings=(*warnings, *plan.warnings))


def _matcher_for(
    config: MixConfig, sources: Sequence[Source], taxonomy: Taxonomy, matcher: Matcher | None
) -> Matcher | None:
    """Return who renders what is to match; None if nothing is to be rendered.

    Raises
    ------
    UsageError
        If a source has no scores, or nobody can read them, or pieces of drum kits would have to be
        rendered, which are no parts of a score.
    """
    if config.match is Match.NONE or config.coherence == 1:
        return None
    if names_pieces(taxonomy.class_names):
        raise UsageError(
            f"--match {config.match}: whole parts are rendered again, no pieces of drum kits; give "
            f"another taxonomy than {taxonomy.name}, or --match none"
        )
    for source in sources:
        if source.kind != SONGS:
            what = "holds no songs" if source.kind else "has no scores"
            raise UsageError(
                f"{source.root}: {what}, and --match {config.match} renders again from scores; "
                "give corpora of songs, or --match none"
            )
    if matcher is None:
        raise UsageError(f"--match {config.match} needs a matcher, as stemsmith.mix brings it")
    return matcher


def _corpora_of(sources: Sequence[Source]) -> dict[str, Path]:
    return {source.name: source.root for source in sources}


def _with_matches(
    plan: MixturePlan,
    folder: Path,
    config: MixConfig,
    progress: Progress,
    per_shard: int,
    share: Share | None,
) -> tuple[MixturePlan, tuple[WantedStem, ...]]:
    """Return the plan with the folder of matched stems among its roots, and what goes there."""
    if MATCHED not in {source["root"] for source in plan.header["sources"]}:
        return plan, ()
    wanted, n_matched, n_unmatched = plan.matches(per_shard, share)
    if not n_matched and n_unmatched:
        raise NothingToDo(
            f"--match {config.match}: no stem of another song fits any clip, transposed by at most "
            "6 semitones and at 0.67 to 1.5 times its tempo; give more songs, or match less"
        )
    if n_unmatched:
        progress.warn(
            f"{n_unmatched} of {n_matched + n_unmatched} sources of other songs are left out: "
            f"nothing matches their anchors"
        )
    roots = {**plan.roots, MATCHED: str(folder.absolute() / MATCHED)}
    return dataclasses.replace(plan, roots=roots), wanted


def _partners_of(
    workers: Workers,
    progress: Progress,
    sources: Sequence[Source],
    catalogues: Mapping[str, SplitCatalogue],
    config: MixConfig,
) -> dict[str, Partners]:
    """Return which clips may meet in every split; nothing for random pairing."""
    if not config.is_paired:
        return {}
    roots = {source.name: str(source.root) for source in sources}
    found = {}
    for split, catalogue in catalogues.items():
        if config.splits and split not in config.splits:
            continue
        search = PartnerSearch(catalogue, config, roots)
        jobs, results = list(search.jobs()), []
        with progress.loop(f"pair {split}", len(jobs)) as ticker:
            done = do_jobs(workers, pair_clips, jobs, needed(lambda job: job.clips[0].path))
            for result in done:
                results.append(result)
                ticker.advance()
        found[split] = search.partners(results)
    return found


def _write(
    workers: Workers,
    progress: Progress,
    destination: MixtureDestination,
    length_s: float,
) -> None:
    """Write all shards."""
    n_mixtures = destination.n_mixtures
    audio_s = n_mixtures * length_s if destination.is_with_audio else 0.0
    with progress.loop("mix", n_mixtures, audio_s=audio_s) as ticker:
        if destination.is_with_audio:
            jobs = destination.audio_jobs()
            done = do_jobs(workers, write_audio_shard, jobs, needed(lambda job: job.path))
            for report in done:
                ticker.advance(report.n_mixtures, report.audio_s)
        else:
            for recipes in destination.write_recipes():
                ticker.advance(len(recipes))


class ValidMixtures(NamedTuple):
    """What a valid folder of mixtures holds.

    Attributes
    ----------
    n_mixtures : int
        Number of recipes, every one of which can be followed.
    n_files : int
        Files that were compared to their hashes: stems of the sources, and audio shards.
    """

    n_mixtures: int
    n_files: int


def validate_mixtures(
    mixtures: str | Path | Mixtures,
    *,
    jobs: int | Workers = 0,
    scheduler: str | None = None,
    progress: Progress = QUIET,
) -> ValidMixtures:
    """Check every checksum of a folder of mixtures, and that every recipe can be followed.

    Parameters
    ----------
    mixtures : str, Path or Mixtures
        The folder of mixtures, by its path or opened.
    jobs, scheduler, progress : int or Workers, str or None, Progress
        Who does the checks, and who is told of them, as in `mix`.

    Returns
    -------
    ValidMixtures
        How much was checked.

    Raises
    ------
    InvalidCorpus
        Naming the first file, in order of the alphabet, that is not as it was recorded.
    """
    opened = mixtures if isinstance(mixtures, Mixtures) else Mixtures(place(mixtures).resolve())
    checks = plan_checks(opened)
    files = (check.path for check in checks)
    with open_workers(jobs, scheduler) as workers, preflight(workers, inputs=[files]):
        raise_first_offence(workers, check_file, checks, lambda check: check.path, progress)
    return ValidMixtures(len(opened), len(checks))
