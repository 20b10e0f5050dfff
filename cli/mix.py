"""`stemsmith mix`: stems become mixtures, as recipes and on request as audio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from stemsmith.cli.options import Common, common_options, decorate

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.jobs import Workers
    from stemsmith.mixing.audio_shards import AudioFormat
    from stemsmith.mixing.mixtures import MixtureRun
    from stemsmith.mixing.plan.incoherent import Partners
    from stemsmith.mixing.plan.recipes import MixConfig
    from stemsmith.mixing.sources.catalogue import SplitCatalogue
    from stemsmith.mixing.sources.find import Source

__all__ = ["Names", "make_mixtures", "mix"]

_DEFAULT_CLIP_S: Final = 10.0
_KIND_OPTIONS = decorate(
    click.option(
        "--mode",
        type=click.Choice(["coherent", "incoherent", "renditions"]),
        default="coherent",
        show_default=True,
        help="All stems of a moment of a song; clips of any song, equally loud; or renditions.",
    ),
    click.option("--target", help="Must be present in every mixture; names come from --taxonomy."),
    click.option(
        "--taxonomy",
        default="slakh",
        show_default=True,
        help="slakh, musdb, violin-piano, bach10, or a TOML file with a table [targets].",
    ),
    click.option("--mixtures", "n_mixtures", type=int, help="Number of mixtures of all splits."),
    click.option("--hours", type=float, help="The same as a duration.  [default: 1]"),
    click.option(
        "--leave-out",
        "left_out",
        multiple=True,
        metavar="SONG",
        help="Splits anew: this song in test, all others in train; may be repeated.",
    ),
    click.option("--split", "splits", multiple=True, help="Only this split; may be repeated."),
    click.option(
        "--clip",
        type=float,
        help="Seconds of a mixture.  [default: 10; renditions are taken whole]",
    ),
    click.option(
        "--min-rms",
        type=float,
        default=-30.0,
        show_default=True,
        help="The target's RMS in dBFS is above it.",
    ),
    click.option(
        "--pairing",
        type=click.Choice(["random", "chroma", "correlation", "pearson"]),
        default="random",
        show_default=True,
        help="Which clips may meet in incoherent mixtures.",
    ),
    click.option(
        "--pairing-threshold",
        type=float,
        help="Of that statistic (correlation: for 10 s at 44.1 kHz).  [default: the paper's]",
    ),
    click.option(
        "--augment",
        multiple=True,
        help="wet, silence, tempo, shift, shift-padded, instrument, remix, gain or polarity; "
        "may be repeated.",
    ),
    click.option("--overlay", metavar="TARGET", help="Put it over coherent songs that lack it."),
    click.option(
        "--level",
        type=click.Choice(["native", "equal"]),
        help="Stems of renditions keep their levels, or have --target-lufs.  [default: native]",
    ),
)
_SOUND_OPTIONS = decorate(
    click.option(
        "--sample-rate", type=int, help="In Hz, a multiple of 10.  [default: lowest of the sources]"
    ),
    click.option(
        "--channels",
        type=click.Choice(["1", "2"]),
        default="1",
        show_default=True,
        help="Mono is (left + right) / 2.",
    ),
    click.option(
        "--target-lufs",
        type=float,
        default=-25.0,
        show_default=True,
        help="Loudness of every source of an incoherent mixture.",
    ),
    click.option(
        "--peak-ceiling", type=float, default=-1.0, show_default=True, help="In dBFS, of samples."
    ),
    click.option("--audio", is_flag=True, help="Also write WebDataset shards of audio."),
    click.option(
        "--audio-format", type=click.Choice(["flac", "wav"]), default="flac", show_default=True
    ),
    click.option(
        "--stems",
        help="Targets to write beside the mixture, or 'all'.  [default: --target, else all]",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Of all random choices."),
)


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("mixtures", type=click.Path(path_type=Path))
@_KIND_OPTIONS
@_SOUND_OPTIONS
@common_options
def mix(sources: tuple[str, ...], mixtures: Path, common: Common, **options: Any) -> None:
    """Mix the stems of SOURCES into MIXTURES: shards of recipes, and of audio with --audio.

    A source is a corpus that `stemsmith render` made, or musdb:PATH, folder:PATH, dsd100:PATH,
    bach10:PATH. Killed at any moment, the same command goes on and ends with the same bytes.
    """
    from stemsmith.cli.console import print_summary
    from stemsmith.mixing.audio_shards import AudioFormat

    audio_format = AudioFormat(options["audio_format"]) if options["audio"] else None
    names = Names(options["taxonomy"], options["stems"])
    summary = make_mixtures(common, sources, mixtures, _config(options), names, audio_format)
    print_summary(common, summary)


class Names(NamedTuple):
    """A taxonomy by name or file, and the targets of it whose audio is written.

    Targets are separated by commas; ``all`` stands for all of them, and None for the target that
    was asked for, or else all.
    """

    taxonomy: str = "slakh"
    stems: str | None = None


def make_mixtures(
    common: Common,
    sources: Sequence[str],
    mixtures: Path,
    config: MixConfig,
    names: Names,
    audio_format: AudioFormat | None,
) -> Summary:
    """Find, measure, plan, write and close a set of mixtures; return what came of it."""
    from stemsmith.cli.console import warn
    from stemsmith.manifests.audio.flac import encoder_warnings
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.run_folder import refuse_foreign
    from stemsmith.mixing.audio_shards import AudioFormat
    from stemsmith.mixing.mixtures import STATE_FOLDER, MixtureRun
    from stemsmith.mixing.plan.mixtures import STAGE, plan
    from stemsmith.mixing.plan.recipes import Mode
    from stemsmith.mixing.plan.renditions import read_renditions
    from stemsmith.mixing.sources import measure
    from stemsmith.mixing.sources.catalogue import split_catalogues
    from stemsmith.mixing.sources.find import check_destination, find_sources, leave_out
    from stemsmith.mixing.sources.taxonomy import read_taxonomy

    refuse_foreign(mixtures, STAGE, STATE_FOLDER)
    taxonomy = read_taxonomy(names.taxonomy)
    targets = _written_targets(names.stems, config.target, taxonomy.targets)
    found = find_sources(sources, measure.cache_folder())
    check_destination(mixtures, found)
    with open_workers(common.n_jobs, common.scheduler) as pool:
        stems = _stems_of(common, pool, found, config)
        if config.left_out:
            stems = leave_out(stems, config.left_out)
        catalogues = split_catalogues(stems, taxonomy)
        partners = _partners_of(common, pool, found, catalogues, config)
        renditions = read_renditions(found) if config.mode is Mode.RENDITIONS else []
        mixture_plan = plan(found, catalogues, taxonomy, config, partners, renditions)
        is_flac = audio_format is AudioFormat.FLAC
        for warning in (*mixture_plan.warnings, *(encoder_warnings() if is_flac else ())):
            warn(common, warning)
        run = MixtureRun(mixtures, mixture_plan, targets, audio_format)
        with run.opened():
            if not run.is_closed:
                n_mixtures = sum(mixture_plan.n_mixtures.values())
                _write(common, pool, run, n_mixtures, audio_format is not None)
            header = run.close()
    return _summary(mixtures, header, config)


def _config(options: Mapping[str, Any]) -> MixConfig:
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.splits import SPLITS
    from stemsmith.mixing.plan.pairing import Pairing
    from stemsmith.mixing.plan.recipes import Augment, MixConfig, Mode

    mode = Mode(options["mode"])
    n_mixtures, hours = options["n_mixtures"], options["hours"]
    clip_s = _DEFAULT_CLIP_S if options["clip"] is None else options["clip"]
    if mode is Mode.RENDITIONS and (n_mixtures is not None or hours is not None):
        raise UsageError("--mode renditions makes all of them: not with --mixtures or --hours")
    if mode is not Mode.RENDITIONS and options["level"] is not None:
        raise UsageError("--level: only with --mode renditions")
    if n_mixtures is not None and hours is not None:
        raise UsageError("give either --mixtures or --hours")
    if n_mixtures is None:
        wanted = (1.0 if hours is None else hours) * 3600 / (clip_s or math.nan)
        n_mixtures = round(wanted) if math.isfinite(wanted) else 0  # refused below
    names = [name for text in options["augment"] for name in text.split(",") if name]
    if unknown := [name for name in names if name not in list(Augment)]:
        raise UsageError(f"--augment {unknown[0]}: unknown; known: {', '.join(Augment)}")
    if unknown := [split for split in options["splits"] if split not in SPLITS]:
        raise UsageError(f"--split {unknown[0]}: unknown; known: {', '.join(SPLITS)}")
    return MixConfig(
        seed=options["seed"],
        mode=mode,
        target=options["target"],
        n_mixtures=n_mixtures,
        clip_s=clip_s,
        left_out=tuple(sorted(set(options["left_out"]))),
        is_whole=mode is Mode.RENDITIONS and options["clip"] is None,
        is_equally_loud=options["level"] == "equal",
        min_rms_dbfs=options["min_rms"],
        pairing=Pairing(options["pairing"]),
        pairing_threshold=options["pairing_threshold"],
        augment=tuple(sorted({Augment(name) for name in names})),
        overlay=options["overlay"],
        sample_rate=options["sample_rate"],
        n_channels=int(options["channels"]),
        target_lufs=options["target_lufs"],
        peak_ceiling_dbfs=options["peak_ceiling"],
        splits=tuple(sorted(set(options["splits"]))),
    )


def _written_targets(
    wanted: str | None, target: str | None, known: Sequence[str]
) -> tuple[str, ...]:
    """Return the targets whose audio is written."""
    from stemsmith.manifests.errors import UsageError

    if wanted is None:
        return (target,) if target is not None else tuple(known)
    if wanted == "all":
        return tuple(known)
    names = tuple(dict.fromkeys(wanted.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--stems {unknown[0]}: not a target; known: {', '.join(known)}")
    return names


def _stems_of(
    common: Common, pool: Workers, sources: Sequence[Source], config: MixConfig
) -> list[Any]:
    """Return the stems of all sources; measure those that nobody has measured yet."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import do_jobs, needed
    from stemsmith.mixing.sources import measure
    from stemsmith.mixing.sources.find import read_stems

    jobs = [job for source in sources for job in source.jobs]
    measured = {job: known for job in jobs if (known := measure.cached(job)) is not None}
    if open_jobs := [job for job in jobs if job not in measured]:
        with progress(common, "measure", len(open_jobs)) as ticker:
            for result in do_jobs(pool, measure.run, open_jobs, needed(lambda job: job.path)):
                ticker.advance(audio_s=result.n_samples / result.sample_rate)
        # The cache is shared: what a run has measured, the next one finds.
        measured |= {job: measure.read(job) for job in open_jobs}
    return read_stems(sources, measured, config.n_channels)


def _partners_of(
    common: Common,
    pool: Workers,
    sources: Sequence[Source],
    catalogues: Mapping[str, SplitCatalogue],
    config: MixConfig,
) -> dict[str, Partners]:
    """Return which clips may meet in every split; nothing for random pairing."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import do_jobs, needed
    from stemsmith.mixing.plan import partners
    from stemsmith.mixing.plan.pairing import Pairing

    if config.pairing is Pairing.RANDOM:
        return {}
    roots = {source.name: str(source.root) for source in sources}
    found = {}
    for split, catalogue in catalogues.items():
        if config.splits and split not in config.splits:
            continue
        search = partners.PartnerSearch(catalogue, config, roots)
        jobs = list(search.jobs())
        results = []
        with progress(common, f"pair {split}", len(jobs)) as ticker:
            for result in do_jobs(pool, partners.run, jobs, needed(lambda job: job.clips[0].path)):
                results.append(result)
                ticker.advance()
        found[split] = search.partners(results)
    return found


def _write(
    common: Common, pool: Workers, run: MixtureRun, n_mixtures: int, is_with_audio: bool
) -> None:
    """Write all shards."""
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import do_jobs, needed
    from stemsmith.mixing import audio_shards

    with progress(common, "mix", n_mixtures) as ticker:
        if is_with_audio:
            done = do_jobs(pool, audio_shards.run, run.audio_jobs(), needed(lambda job: job.path))
            for report in done:
                ticker.advance(report.n_mixtures, report.audio_s)
        else:
            for shard in run.write_recipes():
                ticker.advance(len(shard))


def _summary(mixtures: Path, header: Mapping[str, Any], config: MixConfig) -> Summary:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.splits import SPLITS

    # A manifest that was read again has its keys in order of the alphabet.
    counts = {split: n for split in SPLITS if (n := header["n_mixtures"].get(split)) is not None}
    n_mixtures = sum(counts.values())
    hours = header["hours"]
    by_split = ", ".join(f"{n} {split}" for split, n in counts.items())
    audio = f", audio in {len(header['audio_shards'])} shards" if header["audio"] else ""
    return Summary(
        f"{mixtures}: {n_mixtures} {config.mode} mixtures ({by_split}), {hours:.2f} h{audio}",
        {
            "mixtures": str(mixtures),
            "n_mixtures": counts,
            "hours": hours,
            "sample_rate": header["sample_rate"],
            "n_shards": len(header["shards"]),
            "n_audio_shards": len(header["audio_shards"]),
        },
    )
