"""`stemsmith merge`: what the jobs of an array have made becomes one finished folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from stemsmith.cli.options import ANY_PATH, Common, command, serial_options

if TYPE_CHECKING:
    from stemsmith.cli.console import Summary
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.mixing.mixtures import Mixtures

__all__ = ["merge"]


@command(
    "stemsmith merge corpus",
    "stemsmith merge mixtures --json",
)
@click.argument("folder", type=ANY_PATH)
@serial_options
def merge(folder: Path, common: Common) -> None:
    """Close FOLDER, which the jobs of `render --job` or `mix --job` have filled.

    Every file is then, byte for byte, what the same command without --job would have written. If
    jobs have not finished, nothing is written: they are named, and what to run.
    """
    from stemsmith.cli.console import print_rejections, print_summary
    from stemsmith.folders import merge as merge_folder

    made = merge_folder(folder)
    print_rejections(common, made.rejection_records())
    print_summary(common, _summary_of(made))


def _summary_of(made: Corpus | Mixtures) -> Summary:
    from stemsmith.cli.mix import summary_of
    from stemsmith.cli.render import corpus_summary
    from stemsmith.cli.renditions import rendition_summary
    from stemsmith.manifests.corpus import Corpus
    from stemsmith.manifests.renditions import RENDITIONS

    if not isinstance(made, Corpus):
        return summary_of(made)
    return rendition_summary(made) if made.kind == RENDITIONS else corpus_summary(made)
