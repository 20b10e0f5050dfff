"""`stemsmith demo`: a corpus of the bundled scores, and mixtures of it."""

from __future__ import annotations

from pathlib import Path

import click
from stemsmith.cli.options import Common, common_options

__all__ = ["demo"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
@common_options
def demo(folder: Path, common: Common) -> None:
    """Render the bundled scores into FOLDER/corpus, mix them, and say what to look at."""
    from stemsmith.cli.console import Summary, print_summary
    from stemsmith.cli.mix import Names, make_mixtures
    from stemsmith.cli.render import bank_of, make_corpus
    from stemsmith.mixing.audio_shards import AudioFormat
    from stemsmith.mixing.recipes import MixConfig, Mode
    from stemsmith.render.config import RenderConfig

    scores = Path(__file__).parent / "scores"
    corpus = folder / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    bank = bank_of(common, (), None)
    made = make_corpus(common, scores, corpus, RenderConfig(band=None), bank)
    mixed = {}
    for mode in (Mode.COHERENT, Mode.INCOHERENT):
        config = MixConfig(mode=mode, target="bass", n_mixtures=24)
        mixtures = folder / str(mode)
        mixed[str(mode)] = make_mixtures(
            common, [str(corpus)], mixtures, config, Names(), AudioFormat.FLAC
        )
    lines = [made.line, *(summary.line for summary in mixed.values())]
    values = {**made.values, "mixtures": {mode: dict(s.values) for mode, s in mixed.items()}}
    print_summary(common, Summary("\n".join(lines), values))
    if not common.is_json and not common.is_quiet:
        print(f"Listen to {corpus}/*/Track*/mix.flac and its stems/ beside it.")
        print(f"Mixtures of them, with the bass apart: {folder}/*coherent/audio-train-00000.tar")
        print(f"Check them with: stemsmith validate {corpus}")
