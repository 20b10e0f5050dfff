"""`stemsmith compare`: stored scores of several systems beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from stemsmith.cli.options import ANY_PATH, LOCAL_PATH, Common, command, serial_options

if TYPE_CHECKING:
    from stemsmith.share.compare.comparison import SystemComparison

__all__ = ["compare"]


@command(
    "stemsmith compare results/mixture results/run results/irm",
    "stemsmith compare results/run --public sigsep-mus-2018/submissions --method UHL2 --test",
    "stemsmith compare results/a results/b --target bass --csv scores.csv --plot scores.svg",
    "stemsmith compare results/* --seeds --groups artists.tsv --null gm-again gm",
)
@click.argument("results", type=ANY_PATH, nargs=-1)
@click.option(
    "--public",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Scores of songs that others published: museval's files, CSV, or JSON of models.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Take this system of --public; may be repeated.  [default: all]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Compare by this metric, such as SDR; may be repeated.  [default: all in common]",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Compare this target; may be repeated.  [default: all in common]",
)
@click.option(
    "--pairs",
    type=click.Choice(["first", "all"]),
    default="first",
    show_default=True,
    help="Subtract the first system from each other one, or take all pairs.",
)
@click.option(
    "--test",
    "is_tested",
    is_flag=True,
    help="Test differences: Wilcoxon's signed ranks, corrected for their number (Holm).",
)
@click.option(
    "--seeds",
    "are_seeds",
    is_flag=True,
    help="RESULTS of one --label are one system, trained with several seeds: take the mean a song.",
)
@click.option(
    "--groups",
    type=LOCAL_PATH,
    metavar="FILE",
    help="TSV or CSV with the columns song and artist: intervals and tests are of artists.",
)
@click.option(
    "--primary",
    nargs=3,
    type=str,
    default=None,
    metavar="SYSTEM BASELINE TARGET",
    help="The comparison declared beforehand, not corrected; all others are exploratory.",
)
@click.option(
    "--null",
    nargs=2,
    type=str,
    default=None,
    metavar="SYSTEM SYSTEM",
    help="Two systems that differ by seeds alone: say what difference the design can see.",
)
@click.option(
    "--aim",
    type=float,
    default=0.5,
    show_default=True,
    help="The difference that it should see, in the unit of the metric.",
)
@click.option(
    "--per-song",
    "has_songs",
    is_flag=True,
    help="Show the scores of every song; in --csv instead of their averages.",
)
@click.option("--markdown", type=LOCAL_PATH, metavar="FILE", help="Write the tables as Markdown.")
@click.option("--latex", type=LOCAL_PATH, metavar="FILE", help="Write the tables as LaTeX.")
@click.option("--csv", "csv_file", type=LOCAL_PATH, metavar="FILE", help="Write a row a number.")
@click.option(
    "--plot",
    type=LOCAL_PATH,
    metavar="FILE.svg",
    help="Draw the first table: differences with their intervals.",
)
@serial_options
def compare(
    results: tuple[Path, ...],
    public: Path | None,
    methods: tuple[str, ...],
    metrics: tuple[str, ...],
    targets: tuple[str, ...],
    pairs: str,
    is_tested: bool,
    are_seeds: bool,
    groups: Path | None,
    primary: tuple[str, str, str] | None,
    null: tuple[str, str] | None,
    aim: float,
    has_songs: bool,
    markdown: Path | None,
    latex: Path | None,
    csv_file: Path | None,
    plot: Path | None,
    common: Common,
) -> None:
    """Compare the scores in folders of RESULTS of `stemsmith evaluate`, song by song.

    Nothing is scored again. Tables are of the songs and metrics that all systems have, with 95 %
    intervals; differences are of the same songs, against the first of RESULTS. What is left out is
    listed. Published scores of songs that are no test songs have tables of their own.
    """
    from stemsmith.cli.console import Summary, check_replaceable, print_summary
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.storage import write_atomic
    from stemsmith.share.compare.comparison import compare_results
    from stemsmith.share.compare.tables import to_csv, to_latex, to_markdown

    outputs = ((markdown, b"**"), (latex, b"% "), (csv_file, b"songs_are,"), (plot, b"<svg "))
    files = [path for path, _ in outputs if path is not None]
    for path, begin in outputs:
        if path is not None:
            check_replaceable(path, begin, "comparison")
    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: a picture is SVG; call it {plot.stem}.svg")
    if len({path.absolute() for path in files}) < len(files):
        raise UsageError(f"{files[0]}: one file for two things; name each its own")
    found = compare_results(
        results,
        public,
        methods=methods,
        metrics=metrics,
        targets=targets,
        pairs=pairs,
        is_tested=is_tested,
        are_seeds=are_seeds,
        groups=groups,
        primary=primary,
        null=null,
        aim=aim,
    )
    text = to_markdown(found, has_songs=has_songs)
    if markdown is not None:
        write_atomic(markdown, text.encode())
    if latex is not None:
        write_atomic(latex, to_latex(found, has_songs=has_songs).encode())
    if csv_file is not None:
        write_atomic(csv_file, to_csv(found, has_songs=has_songs).encode())
    if plot is not None:
        from stemsmith.share.compare.plot import comparison_plot

        write_atomic(plot, comparison_plot(found.tables[0]).encode())
    if not common.is_json and not common.is_quiet:
        print(text)
    print_summary(common, Summary(_line(found), found.to_dict()))


def _line(found: SystemComparison) -> str:
    songs = {song for table in found.tables for c in table.columns for song in c.songs}
    metrics = dict.fromkeys(table.metric.name for table in found.tables)
    n_systems, n_left_out = len(found.systems), sum(len(row.songs) for row in found.left_out)
    return (
        f"{n_systems} system{'s' * (n_systems > 1)} on {len(songs)} song{'s' * (len(songs) > 1)} "
        f"by {', '.join(metrics)}; {n_left_out} left out"
    )
