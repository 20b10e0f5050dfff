"""`stemsmith render --renditions`: many performances of each score, every stem rendered once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import Common, decorate

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.renditions.config import RenditionConfig
    from stemsmith.render.renditions.corpus import RenditionRun
    from stemsmith.render.sound.patches import Bank

__all__ = ["are_wanted", "config_of", "make_renditions", "rendition_options"]

rendition_options = decorate(
    click.option("--renditions", metavar="N", help="Renditions of each score: a number, or all."),
    click.option(
        "--preset",
        type=click.Choice(["miron-rwc", "miron-sibelius"]),
        help="Factors of a paper's renditions; options win over it.",
    ),
    click.option("--tempo", help="One a rendition: BPM (80,100), factors (0.8,1.2), as-written."),
    click.option(
        "--tempo-mode",
        type=click.Choice(["scale", "replace"]),
        help="BPM scale the tempo changes of a score, or replace them.  [default: scale]",
    ),
    click.option("--timbres", type=int, help="Patches of each part's instrument.  [default: 1]"),
    click.option("--dynamics", help="Of each part: p,m,f or as-written."),
    click.option("--velocities", help="Median velocities of dynamics: p=48,m=80,f=112."),
    click.option("--shift", help="Circular shifts of each part in seconds: 0,0.1,0.2."),
    click.option("--jitter", type=float, help="Standard deviation of note onsets in seconds."),
    click.option("--tuning", type=float, help="Standard deviation of note tuning in cents."),
    click.option(
        "--aligned",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of aligned scores (MIDI, or Bach10's text) whose timing is played.",
    ),
    click.option("--headroom", type=float, help="dB below the synthesiser's level.  [default: 18]"),
)

_NAMES = ("tempo", "tempo_mode", "timbres", "dynamics", "velocities", "shift", "jitter", "tuning")


def are_wanted(options: Mapping[str, Any]) -> bool:
    """Tell whether renditions are asked for.

    Raises
    ------
    UsageError
        If a factor is given without them.
    """
    from stemsmith.manifests.errors import UsageError

    if options["renditions"] is not None or options["preset"] is not None:
        return True
    for name in (*_NAMES, "aligned", "headroom"):
        if options[name] is not None:
            raise UsageError(f"--{name.replace('_', '-')} needs --renditions or --preset")
    return False


def config_of(options: Mapping[str, Any], base: RenderConfig) -> RenditionConfig:
    """Return the configuration that the options name.

    Raises
    ------
    UsageError
        For a value that makes no sense, naming the option.
    """
    from stemsmith.manifests.errors import UsageError
    from stemsmith.render.renditions import config as factors
    from stemsmith.render.renditions.performance import Deviations, TempoMode

    values = dict(factors.PRESETS[options["preset"]]) if options["preset"] else {}
    n = options["renditions"]
    if n is not None:
        if n != "all" and not n.isdecimal():
            raise UsageError(f"--renditions {n}: a number, or all")
        values["n_renditions"] = None if n == "all" else int(n)
    if options["tempo"] is not None:
        values["tempos"] = factors.parse_tempos(options["tempo"])
    if options["tempo_mode"] is not None:
        values["tempo_mode"] = TempoMode(options["tempo_mode"])
    if options["timbres"] is not None:
        values["n_timbres"] = options["timbres"]
    if options["velocities"] is not None and not (options["dynamics"] or values.get("dynamics")):
        raise UsageError("--velocities needs --dynamics")
    if options["dynamics"] is not None or options["velocities"] is not None:
        names = options["dynamics"] or ",".join(d.name for d in values.get("dynamics", ()))
        values["dynamics"] = factors.parse_dynamics(names or "as-written", options["velocities"])
    if options["shift"] is not None:
        values["shifts_s"] = factors.parse_shifts(options["shift"])
    if options["headroom"] is not None:
        values["headroom_db"] = options["headroom"]
    if options["aligned"] is not None:
        values["aligned"] = str(options["aligned"].resolve())
    deviations = Deviations(options["jitter"] or 0.0, options["tuning"] or 0.0)
    return factors.RenditionConfig(base=base, deviations=deviations, **values)


def make_renditions(
    common: Common, midi_dir: Path, corpus: Path, config: RenditionConfig, bank: Bank
) -> Summary:
    """Scan, plan, render and close a corpus of renditions; return what came of it."""
    from stemsmith.cli.console import print_rejections, warn
    from stemsmith.cli.render import inventory_of
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.records import Rejection
    from stemsmith.manifests.shards import read_records
    from stemsmith.render.renditions.corpus import RenditionRun
    from stemsmith.render.renditions.plan import plan

    with open_workers(common.n_jobs, common.scheduler) as pool:
        scanned = inventory_of(common, pool, midi_dir, config.base.max_duration_s, corpus)
        rendition_plan = plan(scanned, midi_dir, config, bank)
        for warning in rendition_plan.warnings:
            warn(common, warning)
        run = RenditionRun(corpus, rendition_plan)
        with run.opened():
            _render(common, pool, run)
            header = run.close()
    print_rejections(common, read_records(corpus / "rejections-00000.parquet", Rejection))
    return _summary(corpus, header)


def _render(common: Common, pool: Any, run: RenditionRun) -> None:
    from stemsmith.cli.console import progress
    from stemsmith.manifests.jobs import Died
    from stemsmith.manifests.records import Rejection
    from stemsmith.render.renditions import render as stem_job

    jobs = run.open_jobs()
    with progress(common, "render", run.n_jobs) as ticker:
        ticker.advance(run.n_jobs - len(jobs))
        for result in pool.map(stem_job.run, jobs):
            if isinstance(result, Died):
                run.died(result.job)
                ticker.advance()
            elif isinstance(result, Rejection):
                run.reject(result)
                ticker.advance()
            else:
                ticker.advance(audio_s=result.audio_s)


def _summary(corpus: Path, header: Mapping[str, Any]) -> Summary:
    from stemsmith.cli.console import Summary

    by_split = ", ".join(f"{n} {split}" for split, n in header["n_songs"].items())
    n_songs = sum(header["n_songs"].values())
    return Summary(
        f"{corpus}: {header['n_renditions']} renditions of {n_songs} scores ({by_split}), made of "
        f"{header['n_stems']} stems",
        {
            "corpus": str(corpus),
            "n_songs": header["n_songs"],
            "n_renditions": header["n_renditions"],
            "n_stems": header["n_stems"],
            "rejections": header["rejections"],
        },
    )
