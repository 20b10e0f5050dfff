"""Renditions as Bach10-style folders, for tools that read the data sets of Miron et al. 2017.

``<NN-Name>/<NN-Name>_<style>_<source>.wav`` and ``<NN-Name>/<source>_g_<style>.txt``, the score in
sounding time. A style is the number of a rendition. Sources are targets of a taxonomy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stemsmith.manifests import storage
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import Mixture
from stemsmith.mixing.audio.labels import realise_labels
from stemsmith.mixing.audio.realise import MIXTURE, realise
from stemsmith.render.midi.notes import write_aligned_text

__all__ = ["ExportJob", "export_rendition", "plan_export"]


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One rendition to write.

    Attributes
    ----------
    mixture : Mixture
        Recipe of the rendition.
    roots : mapping of str to str
        Folders of the roots.
    folder, piece, style : str
        Folder that is written to, name of the piece (``NN-Name``), and name of the rendition.
    """

    mixture: Mixture
    roots: Mapping[str, str]
    folder: str
    piece: str
    style: str


def plan_export(
    mixtures: Iterator[Mixture], corpus: Path, roots: Mapping[str, str], folder: Path
) -> Iterator[ExportJob]:
    """Plan the export of some renditions: which piece each is of, and what it is called.

    Parameters
    ----------
    mixtures : iterator of Mixture
        Whole renditions, in the corpus' order.
    corpus : Path
        Folder of the corpus.
    roots : mapping of str to str
        Folders of the roots.
    folder : Path
        Folder that the pieces are written to.

    Raises
    ------
    UsageError
        If two scores have the same file name.
    """
    pieces: dict[str, str] = {}
    for rendition in Corpus(corpus).rendition_records():
        name = Path(rendition.source).stem
        if pieces.setdefault(name, rendition.song_id) != rendition.song_id:
            raise UsageError(f"{corpus}: two scores are called {name}; their folders would be one")
    names = {song_id: name for name, song_id in pieces.items()}
    counts = dict.fromkeys(names.values(), 0)
    for mixture in mixtures:
        song_id = mixture.sources[0].song_id.partition(":")[2]
        if song_id not in names:
            raise InvalidCorpus(f"{corpus}: {mixture.mixture_id} belongs to no score")
        piece = names[song_id]
        style = f"r{counts[piece]:05d}"
        counts[piece] += 1
        yield ExportJob(mixture, roots, str(folder), piece, style)


def export_rendition(job: ExportJob) -> int:
    """Write the sources of a rendition and their scores; return how many sources there are."""
    audio = realise(job.mixture, job.roots)
    labels = realise_labels(job.mixture, job.roots)
    folder = Path(job.folder, job.piece)
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(set(audio) - {MIXTURE})
    for source in sources:
        ending = f"_{job.style}_{source}.wav"
        name = storage.short_name(job.piece, len(ending.encode())) + ending
        content = encode_wav(audio[source], job.mixture.sample_rate)
        storage.write_atomic(folder / name, content)
        notes = labels[source]
        rate = job.mixture.sample_rate
        text = write_aligned_text(notes.onset / rate, notes.offset / rate, notes.pitch)
        storage.write_atomic(folder / f"{source}_g_{job.style}.txt", text.encode())
    return len(sources)
