"""Renditions as Bach10-style folders, for tools that read the data sets of Miron et al. 2017.

``<NN-Name>/<NN-Name>_<style>_<source>.wav`` and ``<NN-Name>/<source>_g_<style>.txt``, the score in
sounding time. A style is the number of a rendition. Sources are targets of a taxonomy. Audio is
float at the levels of the corpus, with one guard gain against clipping for all sources of a
rendition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests import storage
from stemsmith.manifests.audio.read import encode_wav
from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import InvalidCorpus, UsageError
from stemsmith.manifests.mixtures import Mixture
from stemsmith.manifests.names import portable_name
from stemsmith.manifests.records import Reason
from stemsmith.mixing.audio.labels import realise_labels
from stemsmith.mixing.audio.realise import MIXTURE, realise
from stemsmith.mixing.plan.config import MixConfig, Mode
from stemsmith.mixing.plan.mixtures import MixturePlan, plan_mixtures
from stemsmith.mixing.plan.renditions import read_renditions
from stemsmith.mixing.sources.catalogue import split_catalogues
from stemsmith.mixing.sources.find import Source, find_sources, read_stems
from stemsmith.mixing.sources.taxonomy import read_taxonomy
from stemsmith.render.midi.notes import write_aligned_text
from stemsmith.share.exports.base import ExportFormat, NotExportable, PlannedFile
from stemsmith.share.exports.options import ExportConfig
from stemsmith.share.exports.sources import ExportSource, SourceKind

__all__ = ["FORMAT", "Bach10Format", "RenditionSong"]

_TAXONOMY: Final = "bach10"
_HEADER_BYTES: Final = 58  # of a WAV file of floats
_NOTE_BYTES: Final = 19  # of a line such as 6.1600,6.7000,F4#


@dataclass(frozen=True, slots=True)
class RenditionSong:
    """One rendition to write.

    Attributes
    ----------
    name : str
        Piece and style, unique in the export.
    split : str
        Split of the piece.
    piece, style : str
        Name of the piece (``NN-Name``), and name of the rendition.
    mixture : Mixture
        Recipe of the rendition.
    roots : mapping of str to str
        Folders of the roots that it names.
    """

    name: str
    split: str
    piece: str
    style: str
    mixture: Mixture
    roots: Mapping[str, str]

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in alphabetical order."""
        return tuple(sorted({source.group for source in self.mixture.sources}))

    def audio_place(self, source: str) -> str:
        """Return where the audio of a source is."""
        ending = f"_{self.style}_{source}.wav"
        return f"{self.piece}/{storage.short_name(self.piece, len(ending.encode())) + ending}"

    def score_place(self, source: str) -> str:
        """Return where the score of a source is."""
        return f"{self.piece}/{source}_g_{self.style}.txt"


class Bach10Format(ExportFormat[RenditionSong]):
    """Folders of pieces, each with the sources of all its renditions."""

    summary = "Bach10: NN-Name/NN-Name_STYLE_source.wav and score texts, of a corpus of renditions"
    takes = frozenset({SourceKind.RENDITIONS})
    taxonomy = _TAXONOMY
    accepts = frozenset({"taxonomy"})

    def songs(self, sources: Sequence[ExportSource], config: ExportConfig) -> list[RenditionSong]:
        """Plan the renditions; see `ExportFormat.songs`.

        Raises
        ------
        UsageError
            If two scores have the same file name.
        """
        found = find_sources([str(source.root) for source in sources], Path())
        taxonomy = read_taxonomy(config.taxonomy or _TAXONOMY)
        catalogues = split_catalogues(read_stems(found, {}, 1), taxonomy)
        mixing = MixConfig(mode=Mode.RENDITIONS)
        plan = plan_mixtures(found, catalogues, taxonomy, mixing, {}, read_renditions(found))
        return list(_songs(plan, _pieces(found), config))

    def files(self, song: RenditionSong, config: ExportConfig) -> list[PlannedFile]:
        """Return what will be written of a rendition; see `ExportFormat.files`."""
        mixture = song.mixture
        n_bytes = _HEADER_BYTES + 4 * mixture.n_samples * mixture.n_channels
        planned = []
        for source in song.sources:
            planned.append(PlannedFile(song.audio_place(source), n_bytes))
            planned.append(PlannedFile(song.score_place(source), 100 * _NOTE_BYTES))
        return planned

    def write(self, song: RenditionSong, config: ExportConfig, folder: Path) -> Mapping[str, Any]:
        """Write the sources of a rendition and their scores; see `ExportFormat.write`."""
        try:
            audio = realise(song.mixture, song.roots)
            labels = realise_labels(song.mixture, song.roots)
        except InvalidCorpus as error:
            raise NotExportable(Reason.DAMAGED, str(error)) from error
        (folder / song.piece).mkdir()
        rate = song.mixture.sample_rate
        for source in sorted(set(audio) - {MIXTURE}):
            notes = labels[source]
            text = write_aligned_text(notes.onset / rate, notes.offset / rate, notes.pitch)
            for place, content in (
                (song.audio_place(source), encode_wav(audio[source], rate)),
                (song.score_place(source), text.encode()),
            ):
                with storage.naming(folder / place):
                    (folder / place).write_bytes(content)
        return {}


def _pieces(sources: Sequence[Source]) -> dict[str, str]:
    """Return the names of the pieces by the song_id that recipes have of them."""
    scores: dict[str, str] = {}  # by name: a piece may be in several corpora
    pieces: dict[str, str] = {}
    for source in sources:
        for rendition in Corpus(source.root).rendition_records():
            name = portable_name(Path(rendition.source).stem)
            if scores.setdefault(name, rendition.song_id) != rendition.song_id:
                raise UsageError(
                    f"{source.root}: two scores are called {name}; their folders would be one"
                )
            pieces[f"{source.name}:{rendition.song_id}"] = name
    return pieces


def _songs(
    plan: MixturePlan, pieces: Mapping[str, str], config: ExportConfig
) -> Iterator[RenditionSong]:
    counts = dict.fromkeys(pieces.values(), 0)
    for split, made in plan.splits.items():
        n_wanted = plan.n_mixtures[split]
        if split not in config.splits:
            continue
        for mixture in made.mixtures(0, min(n_wanted, config.limit or n_wanted)):
            song_id = mixture.sources[0].song_id
            if song_id not in pieces:
                raise InvalidCorpus(f"{mixture.mixture_id}: belongs to no score")
            piece = pieces[song_id]
            style = f"r{counts[piece]:05d}"
            counts[piece] += 1
            yield RenditionSong(f"{piece}_{style}", split, piece, style, mixture, plan.roots)


FORMAT: Final = Bach10Format()
