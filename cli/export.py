"""`stemsmith export`: a corpus in another tool's layout."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import LOCAL_PATH, Common, common_options

__all__ = ["export"]


@click.command()
@click.argument("corpus", type=LOCAL_PATH)
@click.argument("destination", type=LOCAL_PATH)
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
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.render.workflow import export_renditions

    exported = export_renditions(
        corpus,
        destination,
        taxonomy=taxonomy,
        limit=limit,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    summary = Summary(
        f"{destination}: {exported.n_renditions} renditions, {exported.n_sources} sources, "
        "in the layout of Bach10",
        {"folder": str(destination), **exported._asdict()},
    )
    print_summary(common, summary)
