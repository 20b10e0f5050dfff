"""`stemsmith certify`: write what was checked of a corpus, and what was found, beside it."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import ANY_PATH, Common, command, common_options

__all__ = ["certify"]


@command(
    "stemsmith certify corpus",
    "stemsmith certify corpus --jobs 8",
)
@click.argument("corpus", type=ANY_PATH)
@common_options
def certify(corpus: Path, common: Common) -> None:
    """Check CORPUS and write CERTIFICATE.md and CERTIFICATE.json into it.

    The checks are those of `stemsmith validate`, and a search for songs that are nearly the same
    music in two splits. The certificate says how often each was made, what was found and on which
    bytes, what the audit of the stems found, and under which licences scores and soundfonts are.
    It has no date and no names: the same corpus has the same certificate. `stemsmith validate`
    says when a corpus has other bytes than were certified.
    """
    from stemsmith.cli.console import Summary, Terminal, print_summary
    from stemsmith.render.checking import certify_corpus

    made = certify_corpus(
        corpus, jobs=common.n_jobs, scheduler=common.scheduler, progress=Terminal(common)
    )
    content = made.content
    n_songs = sum(content["corpus"]["n_songs"].values())
    n_unknown = content["licences"]["scores"].get("unknown", 0)
    summary = Summary(
        f"{corpus}: certified; {n_songs} songs in {content['bytes']['n_files']} files, "
        f"{len(made.leaks)} pairs of nearly the same music in two splits, "
        f"{n_unknown} scores of unknown licence",
        {"folder": str(corpus), **content},
    )
    print_summary(common, summary)
