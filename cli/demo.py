"""`stemsmith demo`: a corpus of the bundled scores."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import Common, common_options

__all__ = ["demo"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
@common_options
def demo(folder: Path, common: Common) -> None:
    """Render the bundled scores into FOLDER/corpus and say what to look at."""
    from stemsmith.cli.render import bank_of, make_corpus
    from stemsmith.render.config import RenderConfig

    scores = Path(__file__).parent / "scores"
    corpus = folder / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    make_corpus(common, scores, corpus, RenderConfig(band=None), bank_of(common, (), None))
    if not common.is_json and not common.is_quiet:
        print(f"Listen to {corpus}/*/Track*/mix.flac and its stems/ beside it.")
        print(f"Check it with: stemsmith validate {corpus}")
