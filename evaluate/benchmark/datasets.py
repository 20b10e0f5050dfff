"""What systems are scored on: the songs of a data set, their true sources and their mixtures.

The stems of a target are summed to its reference, and all stems that belong to a target to the
mixture, as in coherent mixtures. Where a layout has mixtures of its own, these are separated:
MUSDB18's are masters, to which its stems do not quite sum (by -15 and by -32 dB in the two songs
of its public sample). So are those of a corpus that was rendered with ``--mix-source unsplit``.
What a mixture holds beside its stems is in no reference: of "residual", "other" and
"accompaniment", too, the reference is the sum of stems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests import storage
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import SourceFile
from stemsmith.manifests.names import slug
from stemsmith.manifests.places import place
from stemsmith.manifests.records import Reason, Rejection, Song
from stemsmith.manifests.renditions import RENDITIONS, Rendition
from stemsmith.manifests.seeds import unit_hash
from stemsmith.manifests.splits import SPLITS
from stemsmith.mixing.sources.files import FOUND_BY, find_files, load_layout, unused_files
from stemsmith.mixing.sources.find import CORPUS, parse_source
from stemsmith.mixing.sources.taxonomy import Taxonomy, names_pieces, read_taxonomy

__all__ = ["Dataset", "DatasetSong", "StemFile", "find_dataset", "folds_of"]

_CORPUS_TAXONOMY: Final = "slakh"


@dataclass(frozen=True, slots=True)
class StemFile:
    """One stem of a song.

    Attributes
    ----------
    target : str
        Target of the taxonomy that the stem belongs to.
    path : str
        Absolute path of its file.
    stream : int
        Number of the audio stream in the file.
    shift : int
        Samples by which a rendition moves the stem later, in a circle; 0 in songs.
    gain_db : float
        Gain in dB that a rendition gives to the file; 0 in songs.
    score : str
        Absolute path of the MIDI file of its notes, where the data set says which; else empty.
    """

    target: str
    path: str
    stream: int = 0
    shift: int = 0
    gain_db: float = 0.0
    score: str = ""

    @property
    def location(self) -> Path:
        """Where the file is, on a disk or in a store."""
        return place(self.path)


@dataclass(frozen=True, slots=True)
class DatasetSong:
    """One song to separate.

    Attributes
    ----------
    name : str
        Name of the song, unique in the data set, and fit for a file.
    split : str
        Split it belongs to: ``train``, ``validation`` or ``test``.
    stems : tuple of StemFile
        The stems that belong to a target.
    mixture : StemFile or None
        The mixture to separate; None for the sum of the stems.
    """

    name: str
    split: str
    stems: tuple[StemFile, ...]
    mixture: StemFile | None = None

    @property
    def files(self) -> tuple[StemFile, ...]:
        """All files of the song."""
        return self.stems if self.mixture is None else (*self.stems, self.mixture)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The songs of some splits of a data set.

    Attributes
    ----------
    name : str
        What the data set is called: the text that names it on the command line.
    root : Path
        Absolute path of its folder.
    taxonomy : str
        Name of the taxonomy that groups its stems.
    targets : tuple of str
        Targets that at least one song has, in the taxonomy's order.
    songs : tuple of DatasetSong
        The songs in the order of their names.
    left_out : tuple of Rejection
        Files of the data set that are part of no song.
    """

    name: str
    root: Path
    taxonomy: str
    targets: tuple[str, ...]
    songs: tuple[DatasetSong, ...]
    left_out: tuple[Rejection, ...] = ()

    def of_songs(self, names: Collection[str]) -> Dataset:
        """Return the data set with these songs alone, or as it is where none is named.

        Parameters
        ----------
        names : collection of str
            Names of songs.

        Raises
        ------
        UsageError
            If there is no song of a name.
        """
        if not names:
            return self
        known = {song.name for song in self.songs}
        if unknown := sorted(set(names) - known):
            raise UsageError(f"--song {unknown[0]}: not in {self.name}; there is {min(known)}")
        songs = tuple(song for song in self.songs if song.name in names)
        present = {stem.target for song in songs for stem in song.stems}
        targets = tuple(target for target in self.targets if target in present)
        return replace(self, songs=songs, targets=targets)


class _Found(NamedTuple):
    """A stem of any class, before the taxonomy is asked."""

    song: str
    split: str
    classes: tuple[str, ...]
    file: StemFile
    mixture: StemFile | None = None  # of the song, where the data set has its own


def find_dataset(name: str, taxonomy: str | None, splits: Sequence[str]) -> Dataset:
    """Find the songs of some splits, without reading audio.

    Parameters
    ----------
    name : str
        A corpus, or another data set as for mixing: ``musdb:PATH``, ``folder:PATH`` with songs
        and not solos, or ``package.module:function:PATH``.
    taxonomy : str or None
        Name or file as `read_taxonomy` takes it; None takes the layout's own, and slakh for
        corpora.
    splits : sequence of str
        Splits whose songs are wanted, of `SPLITS`.

    Returns
    -------
    Dataset
        The songs found, at least one.

    Raises
    ------
    UsageError
        If there is no such folder or taxonomy, no song of these splits, or no stem of a target.
    InvalidCorpus
        If the folder is not what it was said to be, or two songs have one name.
    """
    layout, path = parse_source(name)
    if layout == CORPUS:
        Corpus(path)  # which names it as it was given
    root = path.resolve()
    own = _CORPUS_TAXONOMY if layout == CORPUS else load_layout(layout).taxonomy
    known = read_taxonomy(taxonomy or own)
    left_out: list[Rejection] = []
    found = _stems_of(layout, root, known, left_out)
    if layout != CORPUS and load_layout(layout).is_undivided:
        found = (stem._replace(split=splits[0]) for stem in found)
    wanted = [stem for stem in found if stem.split in splits]
    if not wanted:
        there = {stem.song: stem.split for stem in _stems_of(layout, root, known, [])}
        counts = Counter(there.values())
        others = ", ".join(f"{counts[split]} of {split}" for split in SPLITS if counts[split])
        raise UsageError(
            f"{path}: no songs of split {' or '.join(splits)}; there are {others or 'none at all'}"
            " (--split)"
        )
    songs = tuple(_songs(root, wanted, known))
    if not songs:
        raise UsageError(f"{path}: no stem belongs to a target of the taxonomy {known.name}")
    present = {stem.target for song in songs for stem in song.stems}
    targets = tuple(target for target in known.targets if target in present)
    for stem in wanted:
        if known.target_of(stem.classes) is None:
            kind = " or ".join(dict.fromkeys(stem.classes))
            text = f"{stem.file.path}: {kind} belongs to no target"
            path_below = stem.file.location.relative_to(root).as_posix()
            left_out.append(Rejection(path_below, FOUND_BY, Reason.NO_TARGET, text))
    prefix = layout.replace(":", ".")
    rows = tuple(replace(row, id=f"{prefix}:{row.id}") for row in left_out)
    return Dataset(name, root, known.name, targets, songs, rows)


def _stems_of(
    layout: str, root: Path, taxonomy: Taxonomy, left_out: list[Rejection]
) -> Iterator[_Found]:
    """Yield the stems of all splits; what is none of them gets a row."""
    if layout == CORPUS:
        yield from _corpus_stems(root, taxonomy)
        return
    kind = load_layout(layout)
    # A song that lacks a stem is left out when it is read, and the rest is scored.
    files = find_files(
        layout,
        root,
        taxonomy.class_names,
        is_complete=False,
        is_played_together=True,
        left_out=left_out,
    )
    mixtures = (own for file in files if (own := kind.mixture_of(file)) is not None)
    known = {*(file.path for file in (*files, *mixtures)), *(row.id for row in left_out)}
    left_out += unused_files(layout, root, known)
    for file in files:
        song = file.song_id.rpartition("/")[2]
        own = kind.mixture_of(file)
        mixture = None if own is None else _stem_file(root, own)
        yield _Found(song, file.split, file.classes, _stem_file(root, file), mixture)


def _stem_file(root: Path, file: SourceFile) -> StemFile:
    return StemFile("", str(root / file.path), file.stream)


@dataclass(frozen=True, slots=True)
class _StemPlaces:
    """What is asked of the record of a stem, of a song or of renditions."""

    stem_id: str
    song_id: str
    track: str
    split: str
    inst_class: str
    rendering_class: str
    path: str
    midi_path: str


def _corpus_stems(root: Path, taxonomy: Taxonomy) -> Iterator[_Found]:
    corpus = Corpus(root).verify()
    in_pieces = names_pieces(taxonomy.class_names)
    if corpus.kind != RENDITIONS or in_pieces:
        mixtures = {
            song.song_id: StemFile("", str(storage.inside(root, song.mix_path)))
            for song in corpus.iter_records("songs", Song)
            if song.has_own_mixture
        }
        stems = (
            corpus.iter_in_pieces(_StemPlaces)
            if in_pieces
            else corpus.iter_records("stems", _StemPlaces)
        )
        for part in stems:
            found = _corpus_stem(root, part, part.track, 0, 0.0)
            yield found._replace(mixture=mixtures.get(part.song_id))
        return
    by_id = {(s.song_id, s.stem_id): s for s in corpus.iter_records("stems", _StemPlaces)}
    for rendition in corpus.iter_records("renditions", Rendition):
        song = f"{rendition.track}-{rendition.point}"
        for source in rendition.sources:
            stem = by_id[rendition.song_id, source.stem_id]
            yield _corpus_stem(root, stem, song, source.shift, source.gain_db)


def _corpus_stem(root: Path, stem: _StemPlaces, song: str, shift: int, gain_db: float) -> _Found:
    classes = (slug(stem.inst_class), slug(stem.rendering_class))
    path, score = (str(storage.inside(root, file)) for file in (stem.path, stem.midi_path))
    return _Found(song, stem.split, classes, StemFile("", path, 0, shift, gain_db, score))


def _songs(root: Path, stems: Iterable[_Found], taxonomy: Taxonomy) -> Iterator[DatasetSong]:
    """Yield the songs, each with its stems that belong to a target."""
    splits: dict[str, str] = {}
    mixtures: dict[str, StemFile | None] = {}
    members: dict[str, list[StemFile]] = {}
    for stem in stems:
        if splits.setdefault(stem.song, stem.split) != stem.split:
            raise InvalidCorpus(
                f"{root}: {stem.song} is in {splits[stem.song]} and in {stem.split}; "
                "results need one name a song"
            )
        if (target := taxonomy.target_of(stem.classes)) is not None:
            members.setdefault(stem.song, []).append(replace(stem.file, target=target))
            mixtures.setdefault(stem.song, stem.mixture)
    for name in sorted(members):
        files = tuple(sorted(members[name], key=lambda f: (f.target, f.path, f.stream)))
        yield DatasetSong(name, splits[name], files, mixtures[name])


def folds_of(songs: Sequence[str], n_folds: int) -> dict[str, int]:
    """Divide songs into folds of equal size, give or take one, in an order that names decide.

    Parameters
    ----------
    songs : sequence of str
        Names of the songs; the same ones give the same folds in any order.
    n_folds : int
        Number of folds, at least 2, and at most one for each song.

    Returns
    -------
    dict of str to int
        Number of the fold of each song, from 1.

    Raises
    ------
    UsageError
        If there are fewer songs than folds.
    """
    if not 2 <= n_folds <= len(songs):
        raise UsageError(f"--folds {n_folds}: from 2 to {len(songs)}, the number of songs")
    ranked = sorted(songs, key=lambda name: (unit_hash(0, "fold", name), name))
    return {name: 1 + rank % n_folds for rank, name in enumerate(ranked)}
