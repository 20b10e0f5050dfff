"""`stemsmith export`: a corpus in another tool's layout."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import Common, common_options

__all__ = ["export"]


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "layout",
    type=click.Choice(["bach10"]),
    required=True,
    help="bach10: NN-Name/NN-Name_STYLE_source.wav and score texts, of a corpus of renditions.",
)
@click.option(
    "--taxonomy",
    default="bach10",
    show_default=True,
    help="Names of the sources: a taxonomy, or a TOML file.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Renditions of each split, at most.")
@common_options
def export(
    corpus: Path,
    destination: Path,
    layout: str,
    taxonomy: str,
    limit: int | None,
    common: Common,
) -> None:
    """Write the renditions of CORPUS below DESTINATION as other tools read them.

    Float WAV at the levels of the corpus; one guard gain for all sources of a rendition against
    clipping.
    """
    from stemsmith.cli.console import Summary, print_summary, progress
    from stemsmith.manifests.cluster import open_workers
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.jobs import do_jobs, needed
    from stemsmith.mixing.plan.mixtures import plan as mixture_plan
    from stemsmith.mixing.plan.recipes import MixConfig, Mode
    from stemsmith.mixing.plan.renditions import read_renditions
    from stemsmith.mixing.sources.catalogue import split_catalogues
    from stemsmith.mixing.sources.find import check_destination, find_sources, read_stems
    from stemsmith.mixing.sources.taxonomy import read_taxonomy
    from stemsmith.render.renditions import export_bach10

    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError(f"{destination}: not an empty folder; choose another")
    names = read_taxonomy(taxonomy)
    sources = find_sources([str(corpus)], Path())
    check_destination(destination, sources)
    config = MixConfig(mode=Mode.RENDITIONS, is_whole=True)
    catalogues = split_catalogues(read_stems(sources, {}, 1), names)
    plan = mixture_plan(sources, catalogues, names, config, {}, read_renditions(sources))
    counts = {split: min(n, limit or n) for split, n in plan.n_mixtures.items()}
    mixtures = (
        mixture
        for split, made in plan.splits.items()
        for mixture in made.mixtures(0, counts[split])
    )
    n_renditions, n_files = sum(counts.values()), 0
    with (
        open_workers(common.n_jobs, common.scheduler) as pool,
        progress(common, f"export {layout}", n_renditions) as ticker,
    ):
        jobs = export_bach10.plan(mixtures, corpus, plan.roots, destination)
        for n_sources in do_jobs(pool, export_bach10.run, jobs, needed(lambda job: job.piece)):
            n_files += n_sources
            ticker.advance()
    summary = Summary(
        f"{destination}: {n_renditions} renditions, {n_files} sources, in the layout of Bach10",
        {"folder": str(destination), "n_renditions": n_renditions, "n_sources": n_files},
    )
    print_summary(common, summary)
