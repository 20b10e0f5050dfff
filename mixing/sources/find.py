"""Where stems come from: corpora of ours, and public data sets in their own layouts.

A source is written as the command line has it: the path of a corpus, or ``LAYOUT:PATH`` with one of
`stemsmith.mixing.sources.layouts`, such as ``musdb:PATH``, or ``package.module:function:PATH``.
Corpora bring their envelopes with them; other files are measured once
(`stemsmith.mixing.sources.measure`).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Bools, Float32s, Int32s
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.folder_kinds import FolderKind, kind_of, own_kind
from stemsmith.manifests.mixtures import MeasuredFile, SourceFile
from stemsmith.manifests.names import slug
from stemsmith.manifests.places import lies_in, place
from stemsmith.manifests.records import Reason, Rejection, Song
from stemsmith.manifests.renditions import RENDITIONS
from stemsmith.manifests.scratch import ScratchMapping
from stemsmith.mixing.level.grid import ENVELOPE_HZ
from stemsmith.mixing.sources import measure
from stemsmith.mixing.sources.files import (
    FOUND_BY,
    find_files,
    incomplete,
    load_layout,
    unused_files,
)
from stemsmith.mixing.sources.layouts import LAYOUTS
from stemsmith.mixing.sources.measure import MeasureJob
from stemsmith.mixing.sources.stems import CatalogueStem, OwnMixture, StemTable
from stemsmith.mixing.sources.taxonomy import names_pieces

__all__ = [
    "SongMixture",
    "Source",
    "check_destination",
    "divided_source",
    "find_sources",
    "locate",
    "parse_source",
    "read_stems",
]

CORPUS: Final = "corpus"
_WITHOUT_LAYOUT: Final = dict.fromkeys(
    (FolderKind.CORPUS, FolderKind.RENDITIONS), ", which is written without a layout"
)
_OWN_LAYOUT: Final = re.compile(r"(?P<layout>[A-Za-z_][\w.]*:[A-Za-z_]\w*):(?P<path>.+)")


class SongMixture(NamedTuple):
    """The mixture that a song of a data set has beside its stems, and the job that measures it."""

    file: SourceFile
    job: MeasureJob


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that stems come from.

    Attributes
    ----------
    name : str
        Name of the root in manifests: ``corpus``, ``musdb``, ``corpus2``, ...
    layout : str
        ``corpus`` or one of `LAYOUTS`.
    root : Path
        Absolute path of the folder.
    kind : str
        Of a corpus: ``songs`` or ``renditions``; else empty.
    files : tuple of SourceFile
        What is there; empty for a corpus, which has records.
    jobs : tuple of MeasureJob
        One job for each file, in the same order.
    left_out : tuple of Rejection
        What is there and not used, by path below the folder.
    mixtures : mapping of str to SongMixture
        By song_id, the mixtures of songs whose stems do not sum to them.
    splits : frozenset of str
        Splits that songs of a folder that is no corpus are in, also songs that are not wanted.
    """

    name: str
    layout: str
    root: Path
    kind: str = ""
    files: tuple[SourceFile, ...] = ()
    jobs: tuple[MeasureJob, ...] = ()
    left_out: tuple[Rejection, ...] = ()
    mixtures: Mapping[str, SongMixture] = field(default_factory=dict)
    splits: frozenset[str] = frozenset()

    @property
    def to_measure(self) -> list[MeasureJob]:
        """The jobs of all files, and of the mixtures of their songs."""
        songs = dict.fromkeys(file.song_id for file in self.files)
        own = (self.mixtures[song].job for song in songs if song in self.mixtures)
        return [*self.jobs, *own]

    def misfits(self, measured: Mapping[MeasureJob, MeasuredFile]) -> dict[MeasureJob, Rejection]:
        """Return the jobs of mixtures that are not as long as their stems, and why.

        Parameters
        ----------
        measured : mapping of MeasureJob to MeasuredFile
            What is known of the files.
        """
        found = {}
        for file, job in zip(self.files, self.jobs, strict=True):
            own = self.mixtures.get(file.song_id)
            if own is not None and own.job in measured and job in measured:
                stem, mixture = measured[job], measured[own.job]
                if (stem.sample_rate, stem.n_samples) != (mixture.sample_rate, mixture.n_samples):
                    text = (
                        f"{own.job.path}: {mixture.n_samples} samples at {mixture.sample_rate} Hz, "
                        f"but {file.path} has {stem.n_samples} at {stem.sample_rate} Hz"
                    )
                    place = own.file.path
                    found[own.job] = Rejection(place, FOUND_BY, Reason.MISMATCH, text)
        return found

    def without(self, refused: Mapping[MeasureJob, Rejection]) -> Source:
        """Return the source without songs of which a file cannot be measured.

        Parameters
        ----------
        refused : mapping of MeasureJob to Rejection
            Jobs that were not done, and why.
        """
        faulty: dict[str, SourceFile] = {}
        pairs = list(zip(self.files, self.jobs, strict=True))
        own = [(mixture.file, mixture.job) for mixture in self.mixtures.values()]
        for file, job in (*pairs, *own):
            if job in refused:
                faulty.setdefault(file.song_id, file)
        kept = [(file, job) for file, job in pairs if file.song_id not in faulty]
        rows = [
            dataclasses.replace(refused[job], id=file.path)
            if job in refused
            else incomplete(self.root, file, faulty[file.song_id])
            for file, job in (*pairs, *own)
            if file.song_id in faulty
        ]
        return dataclasses.replace(
            self,
            files=tuple(file for file, _ in kept),
            jobs=tuple(job for _, job in kept),
            left_out=(*self.left_out, *rows),
        )


def parse_source(source: str | Path) -> tuple[str, Path]:
    """Return the layout and the folder of a source, which may lie in an object store.

    Parameters
    ----------
    source : str or Path
        Text may name a layout before a colon; a path is that of a corpus.

    Returns
    -------
    layout : str
        ``corpus``, one of `LAYOUTS`, or ``package.module:function``.
    path : Path
        Path of the folder, as it was written.

    Raises
    ------
    UsageError
        If it is not a folder.
    InvalidCorpus
        If it is a folder of stemsmith with a layout, or one of audio without.
    """
    text = str(source)
    layout, path = divided_source(text) if isinstance(source, str) else (CORPUS, text)
    folder = place(path if isinstance(source, str) else source) if path else None
    if folder is None or not folder.is_dir():
        prefixes = ", ".join(f"{name}:PATH" for name in LAYOUTS.names)
        raise UsageError(
            f"{path or repr(text)}: not a folder; a source is a corpus, {prefixes}, or "
            "package.module:function:PATH"
        )
    found = own_kind(folder)
    if layout != CORPUS and found is not None and found is not FolderKind.EXPORT:
        said = _WITHOUT_LAYOUT.get(found, ", and no data set in this layout")
        raise InvalidCorpus(f"{folder}: {found.words}{said}")
    if layout == CORPUS and found is None and kind_of(folder) is FolderKind.AUDIO:
        named = ", ".join(f"{name}:{folder}" for name in ("folder", "musdb"))
        raise InvalidCorpus(f"{folder}: holds audio files; say in which layout: {named}, ...")
    return layout, folder


def divided_source(text: str) -> tuple[str, str]:
    """Return the layout that a text names, or that of a corpus, and the path, as it is written.

    Parameters
    ----------
    text : str
        ``PATH``, ``LAYOUT:PATH`` or ``package.module:function:PATH``; nothing need be there.
    """
    layout, _, path = text.partition(":")
    if layout in LAYOUTS:
        return layout, path
    own = _OWN_LAYOUT.fullmatch(text)
    if own is not None and not Path(text).exists():
        return own["layout"], own["path"]
    return CORPUS, text


def find_sources(
    given: Sequence[str | Path], cache: Path, classes: Collection[str] = ()
) -> list[Source]:
    """Look at all sources, without reading audio.

    Parameters
    ----------
    given : sequence of str or Path
        Text as `parse_source` reads it, or folders of corpora.
    cache : Path
        Folder in which measured envelopes are kept.
    classes : collection of str
        Instrument classes of the taxonomy that is used, beside those that are known anyway.

    Raises
    ------
    UsageError
        If one is not a folder, or is given twice.
    InvalidCorpus
        If one is not what it was said to be, or lacks a stem.
    """
    sources: list[Source] = []
    for one in given:
        layout, path = parse_source(one)
        root = path.resolve()
        if any(root == other.root for other in sources):
            raise UsageError(f"{path}: given twice")
        number = 1 + sum(other.layout == layout for other in sources)
        name = layout.replace(":", ".")  # of stems too, where a colon follows it
        name = name if number == 1 else f"{name}{number}"
        if layout == CORPUS:
            sources.append(Source(name, layout, root, Corpus(path).kind))  # named as given
        else:
            left_out: list[Rejection] = []
            files = tuple(find_files(layout, root, classes, left_out=left_out))
            mixtures = _own_mixtures(layout, root, files, cache)
            known = {*(file.path for file in files), *(row.id for row in left_out)}
            known |= {mixture.file.path for mixture in mixtures.values()}
            left_out += unused_files(layout, root, known)
            jobs = measure.plan_measurements(
                [(root / file.path, file.stream) for file in files], cache
            )
            splits = frozenset(file.split for file in files)
            own = tuple(jobs), tuple(left_out), mixtures, splits
            sources.append(Source(name, layout, root, "", files, *own))
    return sources


def _own_mixtures(
    layout: str, root: Path, files: Iterable[SourceFile], cache: Path
) -> dict[str, SongMixture]:
    """Return the mixtures of songs whose stems do not sum to them."""
    kind = load_layout(layout)
    if not kind.has_own_mixtures:
        return {}
    named = {file.song_id: kind.mixture_of(file) for file in files}
    found = {song: mixture for song, mixture in named.items() if mixture is not None}
    places = [(root / mixture.path, mixture.stream) for mixture in found.values()]
    jobs = measure.plan_measurements(places, cache)
    return {
        song: SongMixture(mixture, job)
        for (song, mixture), job in zip(found.items(), jobs, strict=True)
    }


def check_destination(folder: Path, sources: Iterable[Source]) -> None:
    """Check that mixtures do not go into a source: a source is never written to.

    Raises
    ------
    UsageError
        Naming the source.
    """
    destination = folder.resolve()
    for source in sources:
        if lies_in(destination, source.root):
            raise UsageError(f"{folder}: lies in the source {source.root}; choose another folder")


def read_stems(
    sources: Iterable[Source],
    measured: Mapping[MeasureJob, MeasuredFile],
    n_channels: int,
    is_with_voices: bool = False,
    classes: Collection[str] = (),
) -> StemTable:
    """Read all stems of all sources, in their own splits.

    Parameters
    ----------
    sources : iterable of Source
        What `find_sources` returned.
    measured : mapping of MeasureJob to MeasuredFile
        Results of all jobs of the sources.
    n_channels : int
        Number of channels of the mixtures: 1 looks at the mean of the channels, 2 at both. A mono
        stem is then the same on both channels, and by BS.1770 3 LU louder.
    is_with_voices : bool
        Whether the stems of corpora know how many notes sound in each 100 ms.
    classes : collection of str
        Instrument classes of the taxonomy that is used. Where pieces of drum kits are among them,
        corpora give these in place of the kits.

    Raises
    ------
    UsageError
        If a corpus has no such pieces.
    InvalidCorpus
        If the records of a corpus are damaged or missing.
    """
    return StemTable.of(
        stem
        for source in sources
        for stem in (
            _corpus_stems(source, n_channels, is_with_voices, names_pieces(classes))
            if source.layout == CORPUS
            else _foreign_stems(source, measured, n_channels)
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class StemLevels:
    """What mixing asks of the record of a stem, of a song or of renditions."""

    stem_id: str
    song_id: str
    track: str
    split: str
    inst_class: str
    rendering_class: str
    path: str
    sample_rate: int
    n_samples: int
    gain_db: float
    sha256: str
    k_power: Float32s
    power: Float32s
    notes_sha256: str | None  # of renditions
    n_channels: int | None
    k_power_mono: Float32s | None
    power_mono: Float32s | None


@dataclass(frozen=True, slots=True, eq=False)
class StemLevelsAndNotes(StemLevels):
    """The same, with when notes sound."""

    n_notes: int
    note_onset: Int32s
    note_offset: Int32s
    note_heard: Bools | None
    note_sounding_offset: Int32s | None


class _SongOfStems(NamedTuple):
    """What stems have of the record of their song."""

    notes_sha256: str
    song_key: str
    tempo_bpm: float | None = None
    bar_quarters: float | None = None
    own_mixture: OwnMixture | None = None


def _corpus_stems(
    source: Source, n_channels: int, is_with_voices: bool, in_pieces: bool
) -> Iterator[CatalogueStem]:
    corpus = Corpus(source.root).verify()
    record_type: type[StemLevels] = StemLevelsAndNotes if is_with_voices else StemLevels
    if corpus.kind == RENDITIONS and not in_pieces:
        for stem in corpus.iter_records("stems", record_type):
            stem_id = f"{stem.song_id}/{stem.stem_id}"
            song = _SongOfStems(stem.notes_sha256 or "", stem.notes_sha256 or "")
            yield _corpus_stem(source, stem_id, stem, song, n_channels)
        return
    songs = ScratchMapping(
        (song.song_id, _of_song(song)) for song in corpus.iter_records("songs", Song)
    )
    stems = corpus.iter_in_pieces if in_pieces else functools.partial(corpus.iter_records, "stems")
    song_id, of_song = None, None
    for stem in stems(record_type):
        if stem.song_id != song_id:
            song_id, of_song = stem.song_id, songs.get(stem.song_id)
        if of_song is None:
            raise InvalidCorpus(f"{source.root}: no record is of the song of {stem.stem_id}")
        yield _corpus_stem(source, stem.stem_id, stem, of_song, n_channels)


def _of_song(song: Song) -> _SongOfStems:
    own = OwnMixture(song.mix_path, 0, song.mix_sha256) if song.has_own_mixture else None
    key = song.duplicate_group or song.notes_sha256
    return _SongOfStems(song.notes_sha256, key, song.tempo_bpm, song.bar_quarters, own)


def _corpus_stem(
    source: Source, stem_id: str, stem: StemLevels, song: _SongOfStems, n_channels: int
) -> CatalogueStem:
    factor = np.float32(10 ** (stem.gain_db / 10))
    k_power, power = _powers(stem, n_channels)
    return CatalogueStem(
        stem_id=f"{source.name}:{stem_id}",
        song_id=f"{source.name}:{stem.song_id}",
        label=stem.track,
        song_key=song.song_key,
        content_id=song.notes_sha256,
        split=stem.split,
        classes=_classes(stem.inst_class, stem.rendering_class),
        root=source.name,
        path=stem.path,
        stream=0,
        sha256=stem.sha256,
        sample_rate=stem.sample_rate,
        n_samples=stem.n_samples,
        k_power=k_power * factor,
        power=power * factor,
        voices=_voices(stem, len(power)) if isinstance(stem, StemLevelsAndNotes) else None,
        tempo_bpm=song.tempo_bpm,
        bar_quarters=song.bar_quarters,
        own_mixture=song.own_mixture,
    )


@functools.cache
def _classes(inst_class: str, rendering_class: str) -> tuple[str, str]:
    return slug(inst_class), slug(rendering_class)


def _voices(stem: StemLevelsAndNotes, n_steps: int) -> Float32s:
    """Return the (n_steps,) notes of a stem that sound in each 100 ms; at least one step a note."""
    step_samples = stem.sample_rate // ENVELOPE_HZ
    offset = stem.note_offset
    if stem.note_sounding_offset is not None:
        offset = stem.note_sounding_offset
    first = np.minimum(stem.note_onset // step_samples, n_steps)
    end = np.clip(-(-offset // step_samples), first + 1, None)
    if stem.note_heard is not None:
        first, end = first[stem.note_heard], end[stem.note_heard]
    changes = np.zeros(n_steps + 1, np.int64)
    np.add.at(changes, first, 1)
    np.add.at(changes, np.minimum(end, n_steps), -1)
    return np.cumsum(changes)[:n_steps].astype(np.float32)


def _powers(stem: StemLevels, n_channels: int) -> tuple[Float32s, Float32s]:
    """Return the K-weighted power and the power of a stem in so many channels."""
    if n_channels == 1 and stem.k_power_mono is not None and stem.power_mono is not None:
        return stem.k_power_mono, stem.power_mono
    return stem.k_power * np.float32(n_channels // (stem.n_channels or 1)), stem.power


def _foreign_stems(
    source: Source, known: Mapping[MeasureJob, MeasuredFile], n_channels: int
) -> Iterator[CatalogueStem]:
    for file, job in zip(source.files, source.jobs, strict=True):
        yield _foreign_stem(source, file, known, job, n_channels)


def _foreign_stem(
    source: Source,
    file: SourceFile,
    known: Mapping[MeasureJob, MeasuredFile],
    job: MeasureJob,
    n_channels: int,
) -> CatalogueStem:
    root, measured = source.name, known[job]
    own = source.mixtures.get(file.song_id)
    if n_channels == 1:
        k_power, power = measured.k_power_mono, measured.power_mono
    else:
        k_power = measured.k_power * np.float32(n_channels // measured.n_channels)
        power = measured.power
    stem_id = f"{root}:{file.song_id}/{file.stem}"
    # Digital silence is no music, and may well be the same file in two splits.
    content = f"{measured.sha256}/{file.stream}" if measured.power.any() else stem_id
    return CatalogueStem(
        stem_id=stem_id,
        song_id=f"{root}:{file.song_id}",
        label=file.song_id.rpartition("/")[2],
        song_key=file.song_id,
        content_id=content,
        split=file.split,
        classes=file.classes,
        root=root,
        path=file.path,
        stream=file.stream,
        sha256=measured.sha256,
        sample_rate=measured.sample_rate,
        n_samples=measured.n_samples,
        k_power=k_power,
        power=power,
        own_mixture=None
        if own is None
        else OwnMixture(own.file.path, own.file.stream, known[own.job].sha256),
    )


def locate(roots: Mapping[str, str | os.PathLike[str]], root: str, path: str) -> Path:
    """Return the absolute path of a source's file.

    Raises
    ------
    UsageError
        If the root is not known.
    InvalidCorpus
        If the path leads out of it.
    """
    if root not in roots:
        raise UsageError(f"no folder is given for the root {root!r} of {path}")
    return storage.inside(place(roots[root]), path)
