"""`stemsmith validate`: check a corpus against its checksums and invariants."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import Common, common_options

__all__ = ["validate"]


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@common_options
def validate(corpus: Path, common: Common) -> None:
    """Check every checksum and invariant of CORPUS; name the first offender.

    Checksums of shards and files, MD5 of the scores, equal lengths, mixture = exact sum of the
    stems, loudness and peaks on disk as recorded, duplicates within one split, no stray folders.
    """
    from stemsmith.cli.cluster import Died, workers
    from stemsmith.cli.console import print_summary, progress
    from stemsmith.manifests.errors import InvalidCorpus
    from stemsmith.render import validate as checks

    content = checks.CorpusContent.read(corpus.resolve())
    checks.check_whole(content)
    offenders: dict[str, str] = {}
    with (
        workers(common.n_jobs, common.scheduler) as pool,
        progress(common, "validate", len(content.songs)) as ticker,
    ):
        for finding in pool.map(checks.run, checks.plan(content)):
            if isinstance(finding, Died):
                finding = checks.Finding(finding.job.song.track, "checking it killed the worker")
            if finding.offence:
                offenders[finding.track] = finding.offence
            ticker.advance()
    if offenders:
        raise InvalidCorpus(offenders[min(offenders)])
    print_summary(
        common,
        f"{corpus}: valid; {len(content.songs)} songs, {len(content.stems)} stems",
        {"corpus": str(corpus), "n_songs": len(content.songs), "n_stems": len(content.stems)},
    )
