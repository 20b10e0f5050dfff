"""Options of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.names import normal_name
from stemsmith.manifests.options import option, settle
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.splits import SPLITS
from stemsmith.render.corpus.licences import parse_licence

__all__ = ["ExportConfig", "ExportOptions", "Missing"]


class Missing(StrEnum):
    """What becomes of a source that a song does not have, or that is silent in it."""

    SILENCE = "silence"  # a silent file
    SKIP = "skip"  # none


def _listed(text: str) -> tuple[str, ...]:
    return tuple(normal_name(name.strip()) for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class ExportConfig:
    """What is exported of a source, and how.

    Attributes
    ----------
    variant : str or None
        One of the shapes that a format has; None is its first one.
    taxonomy : str or None
        Taxonomy of the targets, as `stemsmith.mixing.sources.taxonomy.read_taxonomy` takes it; None
        is the format's own.
    stems : tuple of str
        Targets that are written; empty for all. Mixtures hold all of them in any case.
    missing : Missing or None
        What becomes of targets that a song lacks; None is what users of the format expect.
    sample_rate : int or None
        Sample rate in Hz; None keeps that of each song, or is the format's only one.
    splits : tuple of str
        Splits whose songs are written.
    limit : int or None
        Largest number of songs of each split.
    licence : str or None
        SPDX licence that whoever exports weights gives them; None says that nobody said one.
    """

    variant: str | None = option(
        None, "Which of the format's shapes: see the list of formats.", default_text="the first"
    )
    taxonomy: str | None = option(
        None, "Names of the sources: a taxonomy, or a TOML file.", default_text="the format's"
    )
    stems: tuple[str, ...] = option(
        (),
        "Sources to write, separated by commas; mixtures hold all.",
        parse=_listed,
        metavar="NAME,...",
        default_text="all",
    )
    missing: Missing | None = option(
        None, "A source that a song lacks: a silent file, or none.", default_text="the format's"
    )
    sample_rate: int | None = option(
        None, "Sample rate in Hz.", metavar="HZ", default_text="the songs'"
    )
    splits: tuple[str, ...] = option(
        SPLITS, "Splits to write.", flag="--split", parse=_listed, metavar="SPLIT,..."
    )
    limit: int | None = option(None, "Songs of each split, at most.", default_text="all")
    licence: str | None = option(
        None,
        "SPDX licence that you give weights, such as CC-BY-4.0.",
        parse=parse_licence,
        metavar="SPDX",
        default_text="not said",
    )

    def __post_init__(self) -> None:
        settle(self)
        if self.taxonomy is not None:
            local_path(self.taxonomy)  # which refuses addresses
        for split in self.splits:
            if split not in SPLITS:
                raise UsageError(f"--split {split}: unknown; known: {', '.join(SPLITS)}")
        if not self.splits:
            raise UsageError("--split: names no split")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit {self.limit}: at least 1")
        if self.sample_rate is not None and not 1000 <= self.sample_rate <= 384_000:
            raise UsageError(f"--sample-rate {self.sample_rate}: 1000 to 384000 Hz")


class ExportOptions(TypedDict, total=False):
    """The fields of `ExportConfig`, as keyword arguments."""

    variant: str | None
    taxonomy: str | None
    stems: Sequence[str]
    missing: Missing | str | None
    sample_rate: int | None
    splits: Sequence[str]
    limit: int | None
    licence: str | None
