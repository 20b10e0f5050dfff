"""The cards of exports that are made of corpora: what they hold, and under which licences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from stemsmith.manifests.corpus import Corpus
from stemsmith.render.corpus.card import CARD, corpus_facts, dataset_card
from stemsmith.share.exports.sources import ExportSource

__all__ = ["write_cards"]


def write_cards(
    folder: Path,
    sources: Sequence[ExportSource],
    labels: Mapping[Path, Collection[str]],
    how_to_load: str,
) -> None:
    """Write ``README.md`` of the first corpus, ``README-2.md`` of the second, and so on.

    Parameters
    ----------
    folder : Path
        Folder to write to.
    sources : sequence of ExportSource
        Corpora that are exported.
    labels : mapping of Path to collection of str
        Labels of the songs that are written, by the root of their corpus.
    how_to_load : str
        Markdown on how the export is read.
    """
    for number, source in enumerate(sources, 1):
        corpus = Corpus(source.root)
        facts = corpus_facts(corpus.root, corpus.header, labels.get(source.root, ()))
        name = CARD if number == 1 else f"{Path(CARD).stem}-{number}.md"
        text = dataset_card(facts, (), how_to_load, manifest="the `manifest.json` of the corpus")
        (folder / name).write_bytes(text.encode("utf-8", "backslashreplace"))
