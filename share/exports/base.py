"""What a format is: which songs it takes, which files it makes of each, and what it needs besides.

A format is a module in `stemsmith.share.exports.formats` with an `ExportFormat` called `FORMAT`.
`stemsmith.share.exports.destination` drives it: songs are written one by one, by workers, below a
folder of their own, and moved to their places when they are whole. So a format neither writes
atomically nor resumes nor hashes; it makes the files of one song.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.options import fields_of
from stemsmith.manifests.records import Reason
from stemsmith.share.exports.options import ExportConfig, Missing
from stemsmith.share.exports.sources import ExportSource, SourceKind

__all__ = ["ExportFormat", "ExportedSong", "NamedSong", "NotExportable", "PlannedFile"]

_ALWAYS: Final = frozenset({"variant", "splits", "limit"})  # fields that every format heeds


class NotExportable(Exception):
    """A song cannot be exported: its `reason` and `detail` become a rejection."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class NamedSong(Protocol):
    """What all songs have that are exported, whatever else a format needs to know of them."""

    @property
    def name(self) -> str:
        """Name of the song, unique in the export."""

    @property
    def split(self) -> str:
        """Split it belongs to: ``train``, ``validation`` or ``test``."""


S = TypeVar("S", bound=NamedSong)


class PlannedFile(NamedTuple):
    """A file that an export will have.

    Attributes
    ----------
    path : str
        Where it will be, below the destination (POSIX).
    n_bytes : int
        Its size: exactly for WAV, and an estimate for what is compressed.
    is_linked : bool
        Whether it takes no room, as a hard link to a file of the source, where the file system has
        such links.
    """

    path: str
    n_bytes: int
    is_linked: bool = False


class ExportedSong(NamedTuple, Generic[S]):
    """A song that is written, for what a format says of all of them at the end.

    Attributes
    ----------
    song : object
        The song as the format planned it.
    facts : mapping of str to object
        What `ExportFormat.write` found out of it.
    files : mapping of str to str
        SHA-256 of its files by their paths below the destination.
    """

    song: S
    facts: Mapping[str, Any]
    files: Mapping[str, str]


class ExportFormat(ABC, Generic[S]):
    """A folder that other programs read.

    Attributes
    ----------
    summary : str
        What is written and who reads it, on one line.
    takes : frozenset of SourceKind
        What it can be made of.
    variants : tuple of str
        Names of its shapes, the usual one first; empty if there is but one.
    taxonomy : str or None
        Taxonomy of its targets; None for a format without targets.
    missing : Missing or None
        What becomes of a target that a song lacks, if a user does not say; None for a format
        without targets.
    accepts : frozenset of str
        Fields of `ExportConfig` that have an effect, beside those that have one in every format.
    is_one_file : bool
        Whether it is no folder but a file, the one that `write` makes of the only song.
    """

    summary: ClassVar[str]
    takes: ClassVar[frozenset[SourceKind]]
    variants: ClassVar[tuple[str, ...]] = ()
    taxonomy: ClassVar[str | None] = None
    missing: ClassVar[Missing | None] = None
    accepts: ClassVar[frozenset[str]] = frozenset()
    is_one_file: ClassVar[bool] = False

    @abstractmethod
    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> Sequence[S]:
        """Return the songs to write, in a fixed order, without reading audio.

        Parameters
        ----------
        sources : sequence of ExportSource
            Each of a kind that the format takes.
        config : ExportConfig
            What is wanted, checked already against `accepts` and `variants`.

        Raises
        ------
        UsageError
            If options and sources do not go together.
        InvalidCorpus
            If a source is damaged.
        """

    @abstractmethod
    def files(self, song: S, config: ExportConfig) -> Sequence[PlannedFile]:
        """Return what will be written of a song, without reading audio."""

    @abstractmethod
    def write(self, song: S, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the files of a song; called by workers.

        Parameters
        ----------
        song : object
            The song as `songs` gave it.
        config : ExportConfig
            As for `songs`.
        folder : Path
            An empty folder, below which the files are written at the paths that they will have
            below the destination. Other songs may have files in the same folders.

        Returns
        -------
        mapping of str to object
            What `finish` has to know of the song, as JSON values.

        Raises
        ------
        NotExportable
            If this song cannot be written; the others are.
        """

    def finish(
        self,
        songs: Sequence[ExportedSong[S]],
        sources: Sequence[ExportSource],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write what the whole needs, such as an index; nothing by default.

        Parameters
        ----------
        songs : sequence of ExportedSong
            The songs that are written, in the order of `songs`.
        sources : sequence of ExportSource
            As for `songs`.
        config : ExportConfig
            As for `songs`.
        folder : Path
            An empty folder, as for `write`.
        """

    def finish_at(
        self,
        root: Path,
        songs: Sequence[ExportedSong[S]],
        config: ExportConfig,
        folder: Path,
    ) -> None:
        """Write what holds of one place only, such as a list of absolute paths; nothing by default.

        Parameters
        ----------
        root : Path
            Absolute path of the destination.
        songs, config, folder
            As for `finish`.
        """

    def variant(self, config: ExportConfig) -> str:
        """Return the variant that is wanted; empty if there is but one."""
        return config.variant or (self.variants[0] if self.variants else "")

    def check(self, name: str, sources: Sequence[ExportSource], config: ExportConfig) -> None:
        """Check that a source is of a kind that is taken, and that options have an effect.

        Parameters
        ----------
        name : str
            Name of the format, for the message.
        sources : sequence of ExportSource
            What is to be exported.
        config : ExportConfig
            What is wanted.

        Raises
        ------
        UsageError
            Naming the source and what the format takes, or the option.
        """
        for source in sources:
            if source.kind not in self.takes:
                taken = " or ".join(kind.text for kind in SourceKind if kind in self.takes)
                raise UsageError(
                    f"{source.text}: is {source.kind.text}; the format {name} takes {taken}"
                )
        if config.variant is not None and config.variant not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise UsageError(f"--variant {config.variant}: the format {name} has {known}")
        for field in fields_of(ExportConfig):
            has_effect = field.name in self.accepts | _ALWAYS
            if not has_effect and getattr(config, field.name) not in (None, ()):
                raise UsageError(f"{field.flag}: has no effect in the format {name}")
