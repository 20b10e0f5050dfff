"""Closing a corpus of renditions that are all rendered: shards, scores, card and manifest."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stemsmith.manifests import shards, storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import NothingToDo
from stemsmith.manifests.job_array import Outline
from stemsmith.manifests.records import Rejection
from stemsmith.manifests.renditions import Rendition, RenditionStem
from stemsmith.manifests.run_folder import RunFolder
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.card import write_records_card
from stemsmith.render.corpus.layout import Layout
from stemsmith.render.corpus.lazy_sources import publish_lazy_sources
from stemsmith.render.corpus.manifest import why_nothing
from stemsmith.render.renditions.render import STEMS_FOLDER

__all__ = [
    "SCORES_FOLDER",
    "PlannedPiece",
    "PlannedStems",
    "RenditionOutline",
    "close_renditions",
    "refusal_of",
]

SCORES_FOLDER: Final = "scores"
_STEMS_PER_SHARD: Final = 1024
_RENDITIONS_PER_SHARD: Final = 4096


class PlannedStems(NamedTuple):
    """The stems of a piece at one tempo: what one job renders.

    Attributes
    ----------
    name : str
        Name of their records: the label of the piece and the number of the tempo.
    n_stems : int
        Number of stems.
    """

    name: str
    n_stems: int


class PlannedPiece(NamedTuple):
    """A piece of the plan.

    Attributes
    ----------
    track, split : str
        Its label, and the split it lies in.
    jobs : sequence of PlannedStems
        Its stems, tempo after tempo.
    """

    track: str
    split: str
    jobs: Sequence[PlannedStems]


@dataclass(frozen=True, slots=True)
class RenditionOutline:
    """What of a plan is needed to close a corpus of renditions.

    Attributes
    ----------
    pieces : sequence of PlannedPiece
        All pieces, in order of their labels.
    rejections : sequence of Rejection
        Scores that were left out by scanning and selecting.
    header : dict
        What the manifest will say, as far as the plan decides it.
    """

    pieces: Sequence[PlannedPiece]
    rejections: Sequence[Rejection]
    header: dict[str, Any]

    @classmethod
    def read(cls, kept: Outline) -> RenditionOutline:
        """Return what the jobs of an array have kept."""
        pieces = [
            PlannedPiece(track, split, [PlannedStems(*job) for job in jobs])
            for track, split, jobs in kept.items
        ]
        return cls(pieces, kept.rejections, dict(kept.header))

    def to_keep(self) -> Outline:
        """Return what the jobs of an array keep."""
        return Outline(self.header, self.pieces, self.rejections, {})


def refusal_of(layout: Layout, piece: PlannedPiece) -> Rejection | None:
    """Return why a piece is left out; None if all of its stems were rendered.

    If several of its jobs were refused, the last one counts, in the order in which a run without
    workers does them.
    """
    in_order = sorted(piece.jobs, key=lambda job: job.n_stems, reverse=True)
    for job in reversed(in_order):
        if (rejection := layout.rejection(job.name)) is not None:
            return rejection
    return None


def close_renditions(
    layout: Layout,
    folder: RunFolder,
    outline: RenditionOutline,
    drafts_of: Callable[[PlannedPiece], Iterator[Rendition]],
    copy_score: Callable[[PlannedPiece], None],
    settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Corpus:
    """Gather the records, write renditions, scores, card and manifest.

    Parameters
    ----------
    layout : Layout
        Where things lie in the corpus.
    folder : RunFolder
        The folder, held by this process.
    outline : RenditionOutline
        What there is, all stems of it rendered, or their pieces rejected.
    drafts_of : callable
        Returns the renditions of a piece, without their lengths.
    copy_score : callable
        Writes the score of a piece, unless that has been done.
    settled : callable, optional
        Returns what the manifest says in the end, when shards are written; may raise.

    Raises
    ------
    NothingToDo
        If every piece was rejected.
    """
    root = layout.root
    if folder.is_closed:
        return Corpus(root)
    refused = {piece.track: refusal_of(layout, piece) for piece in outline.pieces}
    pieces = [piece for piece in outline.pieces if refused[piece.track] is None]
    left_out = [row for row in refused.values() if row is not None]
    rejections = sorted([*outline.rejections, *left_out], key=lambda r: r.id)
    if not pieces:
        folder.abandon()
        for name in (STEMS_FOLDER, SCORES_FOLDER):
            storage.remove_tree(root / name)
        raise NothingToDo(why_nothing(root, len(left_out), rejections))
    _sweep(layout, [piece for piece in outline.pieces if refused[piece.track] is not None])
    for piece in pieces:
        copy_score(piece)
    records = [layout.record(job.name, "stems") for piece in pieces for job in piece.jobs]
    stems = shards.read_records(records, RenditionStem)
    lengths = {stem.stem_id: stem.n_samples for stem in stems}
    renditions = [
        dataclasses.replace(draft, n_samples=lengths[draft.sources[0].stem_id])
        for piece in pieces
        for draft in drafts_of(piece)
    ]
    files = _write(root, "stems", RenditionStem, stems, _STEMS_PER_SHARD)
    files += _write(root, "renditions", Rendition, renditions, _RENDITIONS_PER_SHARD)
    files += _write(root, "rejections", Rejection, rejections, max(len(rejections), 1))
    splits = Counter(piece.split for piece in pieces)
    header = {
        **outline.header,
        "n_songs": {split: splits[split] for split in SPLITS},
        "n_stems": len(stems),
        "n_renditions": len(renditions),
        "rejections": dict(sorted(Counter(str(r.reason) for r in rejections).items())),
        "shards": [shards.shard_entry(file) for file in files],
    }
    if settled is not None:
        header = settled(header)
    publish_lazy_sources(layout)
    write_records_card(root, header)
    folder.close(header)
    return Corpus(root)


def _sweep(layout: Layout, refused: Sequence[PlannedPiece]) -> None:
    """Remove what was rendered and copied of pieces that were rejected in the end."""
    for piece in refused:
        (layout.root / SCORES_FOLDER / f"{piece.track}.mid").unlink(missing_ok=True)
        records = [layout.record(job.name, "stems") for job in piece.jobs]
        there = [path for path in records if path.exists()]
        for stem in shards.read_records(there, RenditionStem):
            for name in (stem.path, stem.midi_path):
                (layout.root / name).unlink(missing_ok=True)


def _write(
    root: Path, kind: str, record_type: type, records: Sequence[Any], size: int
) -> list[Path]:
    written = []
    for number, start in enumerate(range(0, max(len(records), 1), size)):
        written.append(root / f"{kind}-{number:05d}.parquet")
        shards.write_records(written[-1], record_type, records[start : start + size])
    return written
