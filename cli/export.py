"""`stemsmith export`: corpora, mixtures and other data sets as other programs read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    LOCAL_PATH,
    SOURCE,
    Common,
    command,
    common_options,
    config_options,
    read_config,
)
from stemsmith.share.exports.formats import FORMATS
from stemsmith.share.exports.options import ExportConfig

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.share.exports.exported import Exported
    from stemsmith.share.workflow import ExportForecast

__all__ = ["export"]


@command(
    "stemsmith export corpus musdb --format musdb --dry-run",
    "stemsmith export corpus musdb --format musdb",
    "stemsmith export corpus musdb:musdb18hq songs --format demucs --taxonomy musdb",
    "stemsmith export renditions bach10 --format bach10 --limit 10",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=SOURCE)
@click.argument("destination", type=LOCAL_PATH)
@click.option(
    "--format",
    "layout",
    metavar="FORMAT",
    required=True,
    help=f"{', '.join(FORMATS.names)}, or package.module:Object.",
)
@config_options(ExportConfig)
@click.option(
    "--dry-run", "is_dry", is_flag=True, help="Write nothing; print the files and their size."
)
@common_options
def export(
    sources: tuple[str, ...],
    destination: Path,
    layout: str,
    is_dry: bool,
    common: Common,
    **options: Any,
) -> None:
    """Write SOURCE... into the folder DESTINATION as other programs read it.

    SOURCE is a corpus, a folder of mixtures, another data set as LAYOUT:PATH, or for some formats
    a run; may be repeated. Which format takes what, and how its readers then train, stands in
    docs/export.md. Every export has SHA256SUMS of its files.

    Killed at any moment, the same command goes on and ends with the same bytes.
    """
    from stemsmith.cli.console import Terminal, print_rejections, print_summary
    from stemsmith.share.workflow import export_dataset, forecast_export

    config = read_config(ExportConfig, options)
    if is_dry:
        forecast = forecast_export(sources, layout, config)
        if not common.is_json and not common.is_quiet:
            for path in forecast.paths:
                print(path)
        print_summary(common, _summary_of_forecast(destination, layout, forecast))
        return
    exported = export_dataset(
        sources,
        destination,
        layout,
        config,
        jobs=common.n_jobs,
        scheduler=common.scheduler,
        progress=Terminal(common),
    )
    rejections = exported.rejection_records()
    print_rejections(common, rejections)
    print_summary(common, _summary(layout, exported, len(rejections)))


def _summary_of_forecast(destination: Path, layout: str, forecast: ExportForecast) -> Summary:
    from dataclasses import asdict

    from stemsmith.cli.console import Summary

    line = (
        f"{destination}: would get {sum(forecast.n_songs.values())} songs in the format {layout}, "
        f"{forecast.n_files} files, about {forecast.n_bytes / 1e6:.1f} MB"
    )
    if forecast.n_linked_bytes:
        line += f", and {forecast.n_linked_bytes / 1e6:.1f} MB in hard links"
    return Summary(line, {"folder": str(destination), "format": layout, **asdict(forecast)})


def _summary(layout: str, exported: Exported, n_left_out: int) -> Summary:
    from stemsmith.cli.console import Summary

    n_songs = sum(exported.header["n_songs"].values())
    line = f"{exported.root}: {n_songs} songs in the format {layout}"
    if exported.root.is_file():
        line = f"{exported.root}: {exported.root.stat().st_size / 1e6:.1f} MB, a {layout}"
    if gains := exported.header["gains_db"]:
        line += f"; {len(gains)} of them softer by up to {-min(gains.values()):.2f} dB, not to clip"
    if n_left_out:
        line += f"; {n_left_out} left out"
    keys = ("format", "variant", "n_songs", "n_files", "gains_db", "rejections")
    values = {key: exported.header[key] for key in keys}
    return Summary(line, {"folder": str(exported.root), **values})
