"""`stemsmith report`: a page to look at and to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from stemsmith.cli.options import (
    LAYOUT_NAMES,
    LOCAL_PATH,
    SOURCE,
    Common,
    command,
    config_options,
    read_config,
    serial_options,
)
from stemsmith.share.report.config import ReportConfig

__all__ = ["report"]


@command(
    "stemsmith report demo/corpus --out corpus.html",
    "stemsmith report corpus musdb:musdb18hq --songs 5",
    "stemsmith report results/run results/irm --out results.html",
    epilog=LAYOUT_NAMES,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=SOURCE)
@click.option(
    "--out",
    type=LOCAL_PATH,
    default=Path("report.html"),
    show_default=True,
    help="File of the page.",
)
@config_options(ReportConfig)
@serial_options
def report(paths: tuple[str, ...], out: Path, common: Common, **options: Any) -> None:
    """Write one HTML page of PATHs: corpora, mixtures, runs, results, separated recordings.

    It has charts, tables, and players of stems in sync, and needs neither a network nor another
    file. Data sets of others, such as musdb:PATH or slakh:PATH, are put beside corpora.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.share.workflow import write_report

    page = write_report(paths, out, read_config(ReportConfig, options), progress=Terminal(common))
    n_bytes = page.stat().st_size
    print_summary(
        common,
        Summary(
            f"{page}: {n_bytes / 1e6:.1f} MB, of {', '.join(paths)}",
            {"page": str(page), "n_bytes": n_bytes, "paths": list(paths)},
        ),
    )
